"""Where the watcher of a run is: on which page, at which line, on which row, and what is open; and where keys lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from quantum_trader.app.terminal.keys import (
    BACK,
    BEFORE,
    DOWN,
    END,
    HOME,
    NEXT,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    QUIT,
    UP,
)
from quantum_trader.app.terminal.page_facts import PAGES

NAMES: Final = tuple(PAGES)
_STEPS: Final = {UP: -1, DOWN: 1}
_SCREENS: Final = {PAGE_UP: -1, PAGE_DOWN: 1}


class WatchPlace(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the dashboard."""

    page: str
    line: int = 0  # of the page, or of what is open: the first one on the screen
    row: str = ""  # key of the row that is chosen; empty: none yet
    item: str = ""  # key of the row that is open; empty: the page itself is shown
    under: int = 0  # line of the page while something is open


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was drawn of a place: the lines of its rows, how many lines there are, and how many fit."""

    rows: Mapping[str, tuple[int, int]] = {}  # key of a row that can be opened -> its first and its last line
    lines: int = 0
    height: int = 1

    @property
    def last(self) -> int:
        """The greatest line that can be the first on the screen."""
        return max(0, self.lines - self.height)

    def shows(self, row: str, line: int) -> bool:
        """Whether the whole *row* is on the screen that begins at *line*."""
        first, last = self.rows.get(row, (-1, -1))
        return first >= line and last < line + self.height

    def beside(self, row: str, line: int) -> int:
        """The first line nearest to *line* at which *row* is on the screen; the page's first for its first row."""
        first, last = self.rows[row]
        if row == next(iter(self.rows)) and last < self.height:
            return 0
        return min(max(min(line, first), last - self.height + 1), self.last)


def place_after(place: WatchPlace, keys: list[str], seen: Seen) -> WatchPlace | None:
    """The place that *keys* lead to from *place*, of which *seen* was drawn; None where they end the dashboard."""
    begun = place
    for key in keys:
        if key == QUIT:
            return None
        is_drawn = (place.page, place.item) == (begun.page, begun.item)
        place = _moved(place, key, seen if is_drawn else Seen())
    return place


def _moved(place: WatchPlace, key: str, seen: Seen) -> WatchPlace:
    if key.isdigit():
        return WatchPlace(page=NAMES[int(key) - 1]) if int(key) <= len(NAMES) else place
    if key in (NEXT, BEFORE):
        return WatchPlace(page=NAMES[(NAMES.index(place.page) + (1 if key == NEXT else -1)) % len(NAMES)])
    if key == BACK:
        return msgspec.structs.replace(place, item="", line=place.under, under=0) if place.item else place
    if key == OPEN:
        return _opened(place, seen)
    if key in _STEPS:
        return _stepped(place, _STEPS[key], seen)
    if key in _SCREENS:
        return _paged(place, _SCREENS[key], seen)
    return _ended(place, key, seen)


def _opened(place: WatchPlace, seen: Seen) -> WatchPlace:
    if place.item or place.row not in seen.rows:
        return place
    return msgspec.structs.replace(place, item=place.row, under=place.line, line=0)


def _stepped(place: WatchPlace, step: int, seen: Seen) -> WatchPlace:
    """The next row in the direction of *step*; a line further where there is none."""
    keys = list(seen.rows)
    if place.row in seen.rows:
        number = keys.index(place.row) + step
        wanted = keys[number] if 0 <= number < len(keys) else ""
    else:
        shown = [key for key in keys if seen.shows(key, place.line)]
        wanted = shown[0 if step > 0 else -1] if shown else ""
    if not wanted:
        return msgspec.structs.replace(place, line=_within(place.line + step, seen))
    return msgspec.structs.replace(place, row=wanted, line=seen.beside(wanted, place.line))


def _paged(place: WatchPlace, step: int, seen: Seen) -> WatchPlace:
    """A screen further, with the first row that is whole on it."""
    line = _within(place.line + step * max(1, seen.height - 1), seen)
    shown = [key for key in seen.rows if seen.shows(key, line)]
    if not shown:
        return msgspec.structs.replace(place, line=line)
    at_end = line == place.line
    return msgspec.structs.replace(place, line=line, row=shown[-1] if at_end and step > 0 else shown[0])


def _ended(place: WatchPlace, key: str, seen: Seen) -> WatchPlace:
    """The first line or the last one, with the first or the last row."""
    keys, is_home = list(seen.rows), key == HOME
    row = keys[0 if is_home else -1] if keys else place.row
    assert key in (HOME, END)
    return msgspec.structs.replace(place, line=0 if is_home else seen.last, row=row)


def _within(line: int, seen: Seen) -> int:
    return min(max(0, line), seen.last)


def followed(place: WatchPlace, before: Seen, now: Seen) -> WatchPlace:
    """*place* after the page has changed from *before* to *now*: the chosen row stays chosen and on the screen.

    A row that is gone leaves the choice to the one that took its place.
    """
    if place.item or not place.row:
        return msgspec.structs.replace(place, line=_within(place.line, now))
    row = place.row
    if row not in now.rows:
        keys = list(now.rows)
        number = list(before.rows).index(row) if row in before.rows else 0
        row = keys[min(number, len(keys) - 1)] if keys else ""
    line = _within(place.line, now)
    if row and (before.shows(place.row, place.line) or place.row not in before.rows) and not now.shows(row, line):
        line = now.beside(row, line)
    return msgspec.structs.replace(place, row=row, line=line)
