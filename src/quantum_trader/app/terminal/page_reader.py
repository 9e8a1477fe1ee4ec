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
    """The newest reading of each page, and of the item that was opened last.

    *told* says why the folder cannot be read just now, empty where it can.
    """

    pages: dict[str, PageFacts]
    opened: PageFacts | None = None
    told: str = ""

    def of(self, page: str, item: str = "") -> PageFacts | None:
        """The reading of *page*, or of its *item*; None where there is none yet."""
        if not item:
            return self.pages.get(page)
        one = self.opened
        return one if one is not None and (one.page, one.item) == (page, item) else None


class PageReader:
    """Reads pages of the folder *state*; one thread calls ``step``, any may look at ``found``."""

    def __init__(
        self, state: Path, clock: Callable[[], float] = time.monotonic, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._state, self._clock, self._now_ns = state, clock, now_ns
        self._next_s = clock()
        self._stamps: dict[tuple[str, str], tuple[tuple[int, ...], ...]] = {}
        self._read_s: dict[tuple[str, str], float] = {}
        self.found = PagesRead(pages={})

    def step(self, page: str, item: str = "") -> bool:
        """Read *page*, or its *item*, if that is due; whether it was read.

        What was not read before does not wait for the second to be over.
        """
        now, known = self._clock(), self.found.of(page, item)
        if now < self._next_s and (known is not None or self.found.told):
            return False
        try:
            stamp = fingerprint(self._state)
            if stamp == self._stamps.get((page, item)) and known is not None and not self._is_aged(known, now):
                if self.found.told:
                    self.found = msgspec.structs.replace(self.found, told="")
                return False
            self._next_s = now + READ_S
            found = read_page(self._state, page, self._now_ns(), item)
        except (QuantumTraderError, OSError) as error:
            self._next_s = now + READ_S
            self._stamps.pop((page, item), None)
            text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            told = f"not read: {text}; the figures shown are older, and it is tried again every second"
            self.found = msgspec.structs.replace(self.found, told=told)
            return False
        self._stamps[page, item], self._read_s[page, item] = stamp, now
        if item:  # the one opened before is forgotten
            self._stamps = {key: one for key, one in self._stamps.items() if key == (page, item) or not key[1]}
            self._read_s = {key: one for key, one in self._read_s.items() if key == (page, item) or not key[1]}
            self.found = msgspec.structs.replace(self.found, opened=found, told="")
        else:
            self.found = msgspec.structs.replace(self.found, pages={**self.found.pages, page: found}, told="")
        return True

    def _is_aged(self, known: PageFacts, now: float) -> bool:
        """Whether the process of the run lived at the reading *known*, and that is some time ago."""
        return bool(known.facts["pid"]) and now - self._read_s[known.page, known.item] >= AGED_S
