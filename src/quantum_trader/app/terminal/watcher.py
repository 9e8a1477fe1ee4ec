"""The dashboard in a terminal: keys are followed, the folder is read beside it, what changed is drawn."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console
from rich.live import Live

from quantum_trader.app.terminal.keys import TerminalKeys
from quantum_trader.app.terminal.page_reader import PageReader
from quantum_trader.app.terminal.place import Seen, WatchPlace, followed, place_after
from quantum_trader.app.terminal.screen import DrawnPage, body_height, drawn_page, screen_layout

DRAW_S: Final = 0.5  # the least time between two drawings
_TICK_S: Final = 0.2  # how often it is looked whether there is something new; a key is taken at once
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class WatchScreen:
    """Draws on *live* what is at its place: keys are followed at once, figures at most twice a second."""

    def __init__(self, live: Live, page: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.place = WatchPlace(page=page)
        self._live, self._clock = live, clock
        self._next_s = clock()
        self._source: tuple[object, ...] = ()  # what the page was drawn of
        self._drawn = DrawnPage(lines=[], rows={})
        self._seen = Seen()
        self._shown: WatchPlace | None = None

    def press(self, keys: list[str]) -> bool:
        """Go where *keys* lead; False where they end the dashboard."""
        place = place_after(self.place, keys, self._seen)
        self.place = place if place is not None else self.place
        return place is not None

    def show(self, reader: PageReader) -> bool:
        """Draw the place as *reader* knows it; whether it was drawn now."""
        found, size, place = reader.found, self._live.console.size, self.place
        page = found.of(place.page, place.item)
        source = (place.page, place.item, page.read_ns if page is not None else 0, found.told, size)
        is_new = source != self._source
        if place == self._shown and not (is_new and self._clock() >= self._next_s):
            return False
        if is_new:
            self._source, self._drawn = source, drawn_page(self._live.console, page, found.told, place)
            self._next_s = self._clock() + DRAW_S
        lines = len(self._drawn.lines)
        seen = Seen(rows=self._drawn.rows, lines=lines, height=body_height(page, size))
        shown = self._shown
        stays = shown is not None and (shown.page, shown.item) == (place.page, place.item)
        self.place = self._shown = followed(place, self._seen if stays else seen, seen)
        self._seen = seen
        self._live.update(screen_layout(page, self._drawn, self.place, seen, size), refresh=True)
        return True


def watch_folder(state: Path, name: str, console: Console, descriptor: int) -> None:
    """Show the run in *state* on *console*, from the page *name* on, until a key of the terminal *descriptor* ends it.

    The terminal is as before at the end, also after an error, Ctrl-C or SIGTERM. One that is closed ends the program as
    SIGHUP does.
    """
    reader = PageReader(state)
    pool = ThreadPoolExecutor(1, "watch")
    try:
        with (
            _ended_by_signals(), TerminalKeys(descriptor) as keys,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            screen, reading = WatchScreen(live, name), pool.submit(reader.step, name)
            while True:
                reading = _next_reading(pool, reading, reader, screen.place)
                screen.show(reader)
                if not screen.press(keys.wait(_TICK_S)):
                    break
    except KeyboardInterrupt:
        return
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), console.file.fileno())  # what waits to be written has no reader
        raise SystemExit(128 + signal.SIGHUP) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next_reading(
    pool: ThreadPoolExecutor, reading: Future[bool], reader: PageReader, place: WatchPlace
) -> Future[bool]:
    """The reading under way, or the next one where it is done; an error that nobody foresaw is raised here."""
    if not reading.done():
        return reading
    reading.result()
    return pool.submit(reader.step, place.page, place.item)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Inside it SIGTERM and SIGHUP end the program by an exception, so that the terminal is restored."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = [(one, signal.signal(one, end)) for one in _ENDING]
    try:
        yield
    finally:
        for one, handler in before:
            signal.signal(one, handler)
