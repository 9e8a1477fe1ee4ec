"""Reads the page that is looked at: at most once a second, and only where its run has written something."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.terminal.folder_view import fingerprint
from quantum_trader.app.terminal.page_facts import PageFacts, read_page
from quantum_trader.domain.errors import QuantumTraderError

READ_S: Final = 1.0  # the least time between two readings
AGED_S: Final = 5.0  # a run whose process lives is read again after so long, for silence is news too


class PagesRead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest reading of each page; *told* says why the folder cannot be read just now, empty where it can."""

    pages: dict[str, PageFacts]
    told: str = ""


class PageReader:
    """Reads pages of the folder *state*; one thread calls ``step``, any may look at ``found``."""

    def __init__(
        self, state: Path, clock: Callable[[], float] = time.monotonic, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._state, self._clock, self._now_ns = state, clock, now_ns
        self._next_s = clock()
        self._stamps: dict[str, tuple[tuple[int, ...], ...]] = {}
        self._read_s: dict[str, float] = {}
        self.found = PagesRead(pages={})

    def step(self, page: str) -> bool:
        """Read *page* if that is due; whether it was read."""
        now = self._clock()
        if now < self._next_s:
            return False
        try:
            stamp = fingerprint(self._state)
            if stamp == self._stamps.get(page) and not self._is_aged(page, now):
                if self.found.told:
                    self.found = msgspec.structs.replace(self.found, told="")
                return False
            self._next_s = now + READ_S
            found = read_page(self._state, page, self._now_ns())
        except (QuantumTraderError, OSError) as error:
            self._next_s = now + READ_S
            self._stamps.pop(page, None)
            text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            told = f"not read: {text}; the figures shown are older, and it is tried again every second"
            self.found = msgspec.structs.replace(self.found, told=told)
            return False
        self._stamps[page], self._read_s[page] = stamp, now
        self.found = PagesRead(pages={**self.found.pages, page: found})
        return True

    def _is_aged(self, page: str, now: float) -> bool:
        """Whether the process of the run lived at the last reading, and that is some time ago."""
        known = self.found.pages.get(page)
        return known is not None and bool(known.facts["pid"]) and now - self._read_s[page] >= AGED_S
