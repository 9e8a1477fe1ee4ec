"""The dashboard in a terminal: keys change the page, the folder is read beside it, what changed is drawn."""

from __future__ import annotations

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

from quantum_trader.app.terminal.keys import BEFORE, NEXT, QUIT, TerminalKeys
from quantum_trader.app.terminal.page_reader import PageReader
from quantum_trader.app.terminal.screen import NAMES, screen_layout

DRAW_S: Final = 0.5  # the least time between two drawings
_TICK_S: Final = 0.2  # how often it is looked whether there is something new; a key is taken at once
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class WatchScreen:
    """Draws on *live*, at most twice a second, and only what changed."""

    def __init__(self, live: Live, clock: Callable[[], float] = time.monotonic) -> None:
        self._live, self._clock = live, clock
        self._next_s = clock()
        self._shown: tuple[object, ...] = ()

    def show(self, name: str, reader: PageReader) -> bool:
        """Draw the page *name* as *reader* knows it; whether it was drawn now."""
        found, size = reader.found, self._live.console.size
        page = found.pages.get(name)
        wanted = (name, page.read_ns if page is not None else 0, found.told, size)
        if wanted == self._shown or self._clock() < self._next_s:
            return False
        self._live.update(screen_layout(name, page, found.told, size.width), refresh=True)
        self._shown, self._next_s = wanted, self._clock() + DRAW_S
        return True


def page_after(name: str, keys: list[str]) -> str:
    """The page that *keys* lead to from the page *name*; empty where they end the dashboard."""
    for key in keys:
        place = NAMES.index(name)
        if key == QUIT:
            return ""
        if key in (NEXT, BEFORE):
            name = NAMES[(place + (1 if key == NEXT else -1)) % len(NAMES)]
        elif 1 <= int(key) <= len(NAMES):
            name = NAMES[int(key) - 1]
    return name


def watch_folder(state: Path, name: str, console: Console, descriptor: int) -> None:
    """Show the run in *state* on *console*, from the page *name* on, until a key of the terminal *descriptor* ends it.

    The terminal is as before at the end, also after an error, Ctrl-C or SIGTERM.
    """
    reader = PageReader(state)
    pool = ThreadPoolExecutor(1, "watch")
    try:
        with (
            _ended_by_signals(), TerminalKeys(descriptor) as keys,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            screen, reading = WatchScreen(live), pool.submit(reader.step, name)
            while name:
                reading = _next_reading(pool, reading, reader, name)
                screen.show(name, reader)
                name = page_after(name, keys.wait(_TICK_S))
    except KeyboardInterrupt:
        return
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next_reading(pool: ThreadPoolExecutor, reading: Future[bool], reader: PageReader, name: str) -> Future[bool]:
    """The reading under way, or the next one where it is done; an error that nobody foresaw is raised here."""
    if not reading.done():
        return reading
    reading.result()
    return pool.submit(reader.step, name)


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
