"""Ctrl-C and SIGTERM for commands that train: finish a piece of work, save it, end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """SIGINT and SIGTERM as a request that is looked at between pieces of work; a second Ctrl-C ends at once."""

    def __init__(self, tell: Callable[[str], None], piece: str) -> None:
        """*piece*: what is finished before the stop, such as "an update"."""
        self._event, self._tell, self._piece = threading.Event(), tell, piece
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._event.is_set():
            raise KeyboardInterrupt
        self._event.set()
        self._tell(f"stopping; {self._piece} in progress is finished and saved first. Ctrl-C again ends at once")

    def __call__(self) -> bool:
        """Whether it was asked to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it is asked to stop: then true."""
        return self._event.wait(seconds)
