"""Answers that take long to make, kept: shown at once as they are, and made anew in the background.

An answer is made anew only when the journal has changed, and never for more than a share of the time: a page that is
open all day costs a run little. What an answer is of stands in it, as ``as_of_ns``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Semaphore, Thread
from typing import Final

from quantum_trader.app.api.errors import ApiError

AT_A_TIME: Final = 2
SHARE: Final = 5.0  # an answer that took a second to make is made anew six seconds after the last beginning
GRACE_S: Final = 0.5  # an older answer is given where a new one takes longer
PATIENCE_S: Final = 120.0  # of the first request, which has no older answer
_MOST: Final = 32  # answers
_log: Final = logging.getLogger("quantum_trader.api")


class _Kept:
    """One answer: its bytes, what they were made of, and the making that goes on."""

    def __init__(self) -> None:
        self.content = b""
        self.stamp: object = None
        self.took_s = 0.0
        self.made_s = 0.0
        self.making: Future[bytes] | None = None

    def is_due(self, now_s: float) -> bool:
        """Whether it may be made anew already."""
        return not self.content or now_s - self.made_s >= SHARE * self.took_s


class KeptAnswers:
    """The kept answers of one server; its methods are called in the server's loop."""

    def __init__(self, stamp: Callable[[], object]) -> None:
        """*stamp*: a value that is another one after each change of the journal."""
        self._stamp = stamp
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._turns = Semaphore(AT_A_TIME)

    async def answer(self, key: str, make: Callable[[], bytes]) -> bytes:
        """What *make* returns, or returned a while ago for the same *key*; raises what it raises.

        ApiError where a first answer takes longer than PATIENCE_S: it is made on meanwhile.
        """
        stamp = await asyncio.to_thread(self._stamp)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        if kept.content and kept.stamp == stamp:
            return kept.content
        making = kept.making
        if making is None and kept.is_due(time.monotonic()):
            making = self._begin(kept, make, stamp)
        if making is not None:
            await self._wait(key, kept, making)
        return kept.content

    async def _wait(self, key: str, kept: _Kept, making: Future[bytes]) -> None:
        """Wait for the making: long where there is nothing to show, else a moment."""
        found = asyncio.wrap_future(making)
        await asyncio.wait({found}, timeout=GRACE_S if kept.content else PATIENCE_S)
        if found.done() and found.exception() is not None and not kept.content:
            raise found.exception() or AssertionError
        if not kept.content:
            raise ApiError(503, f"{key.partition('?')[0]}: is still being computed; ask again", 10.0)

    def _begin(self, kept: _Kept, make: Callable[[], bytes], stamp: object) -> Future[bytes]:
        """Make the answer in a thread that the server's end does not wait for."""
        told: Future[bytes] = Future()
        kept.making = told  # before the thread, which ends it

        def run() -> None:
            with self._turns:
                began_s = time.monotonic()
                try:
                    content = make()
                except Exception as error:
                    kept.making = None
                    if kept.content:
                        _log.warning("an answer cannot be made anew: %s", error)
                    told.set_exception(error)
                    return
                kept.made_s = time.monotonic()
                kept.took_s = kept.made_s - began_s
                kept.content, kept.stamp, kept.making = content, stamp, None
                told.set_result(content)

        Thread(target=run, name="kept-answer", daemon=True).start()
        return told
