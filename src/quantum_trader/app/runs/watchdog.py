"""The watchdog: a process that makes no progress ends itself, so that its supervisor starts it again.

Stops rest at the venue, a checkpoint and the inputs since are on disk, and the next start asks for what was in doubt: a
dead process is safer than one that hangs with its streams open.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

HUNG: Final = 70  # exit code: the process made no progress
_LOOKS: Final = 4  # looks within the time allowed


class Watchdog:
    """Ends the process, from a thread of its own, when :meth:`beat` was not called for *seconds*."""

    def __init__(
        self, seconds: float, *, clock: Callable[[], float] = time.monotonic, end: Callable[[], None] | None = None
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = end if end is not None else _end_process
        self._beaten = clock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self) -> None:
        """Say that there was progress; the first time begins the watch."""
        self._beaten = self._clock()
        if not self._thread.is_alive() and not self._done.is_set():
            self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_late(self) -> bool:
        """Whether the last progress lies too far back."""
        return self._clock() - self._beaten > self._seconds

    def _watch(self) -> None:
        while not self._done.wait(self._seconds / _LOOKS):
            if self.is_late():
                self._end()
                return


def _end_process() -> None:
    """Show where each thread stands (code places alone, no values), and end without waiting for any of them."""
    os.write(2, b"watchdog: no progress; the process ends itself, stops rest at the venue\n")
    faulthandler.dump_traceback(file=sys.__stderr__ if sys.__stderr__ is not None else 2)
    os._exit(HUNG)
