"""Watching: keys through a pseudo-terminal, how often is read and drawn, and a terminal as before at the end."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from tests.app.terminal.pseudo_terminal import CURSOR_SHOWN, OTHER_SCREEN, OWN_SCREEN, watching

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
    keys_in,
)
from quantum_trader.app.terminal.page_reader import AGED_S, READ_S, PageReader
from quantum_trader.app.terminal.place import NAMES
from quantum_trader.app.terminal.watcher import DRAW_S, WatchScreen


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_keys_change_the_page_and_q_restores_the_terminal(finished: Path, tmp_path: Path) -> None:
    """In another screen, which is left at the end with its cursor shown."""
    with watching(finished, tmp_path) as terminal:
        terminal.until(OTHER_SCREEN)
        terminal.frame("Why nothing happens")
        terminal.press("2")
        terminal.frame("Done by others")
        terminal.press("\x1b[C\x1b[D\x1b[D")
        terminal.frame("last trade")
        terminal.press("q")
        assert CURSOR_SHOWN in terminal.until(OWN_SCREEN)
        assert (terminal.ended(), terminal.told, terminal.is_as_before) == (0, "", True)


def test_ctrl_c_is_no_error(finished: Path, tmp_path: Path) -> None:
    """Typed: the terminal sends SIGINT. Nothing is printed over the shell's screen."""
    with watching(finished, tmp_path) as terminal:
        terminal.frame("Why nothing happens")
        terminal.press("\x03")
        terminal.until(OWN_SCREEN)
        assert (terminal.ended(), terminal.told, terminal.is_as_before) == (0, "", True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_terminal_restored(finished: Path, tmp_path: Path, number: int) -> None:
    """The exit code says which it was."""
    with watching(finished, tmp_path) as terminal:
        terminal.frame("Why nothing happens")
        terminal.process.send_signal(number)
        terminal.until(OWN_SCREEN)
        assert (terminal.ended(), terminal.told, terminal.is_as_before) == (128 + number, "", True)


def test_a_closed_terminal_ends_it(finished: Path, tmp_path: Path) -> None:
    """No process stays behind, and no error is written anywhere: nobody is there to read it."""
    with watching(finished, tmp_path) as terminal:
        terminal.frame("Why nothing happens")
        terminal.hang_up()
        assert terminal.ended() == 128 + signal.SIGHUP
        assert terminal.told == ""


def test_a_resized_terminal_is_drawn_anew_and_a_vanished_folder_is_told(finished: Path, tmp_path: Path) -> None:
    """And the watching goes on when it is back."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    with watching(folder, tmp_path) as terminal:
        terminal.frame("Why nothing happens")
        terminal.resize(30, 90)
        terminal.frame("Why nothing happens", "lines 1–")
        folder.rename(tmp_path / "gone")
        terminal.frame("not read: No such file or directory")
        (tmp_path / "gone").rename(folder)
        terminal.press(str(len(NAMES)))
        terminal.frame("Damage of the journal")
        terminal.press("q")
        assert terminal.ended() == 0


@pytest.mark.parametrize(("lines", "letters"), [(24, 80), (20, 60)])
def test_a_small_terminal_scrolls_chooses_and_opens(finished: Path, tmp_path: Path, lines: int, letters: int) -> None:
    """Every screen fits; a list goes on below its edge, says where one is, and a signal of it opens with its steps."""
    with watching(finished, tmp_path, "--page", "decisions", size=(lines, letters)) as terminal:
        first = terminal.frame("The newest signals", "lines 1–")
        terminal.press("\x1b[6~")
        second = terminal.frame("q: quit", f"lines {lines - 4}–")
        assert first[4] not in second
        terminal.press("\x1b[F")
        last = terminal.frame("q: quit")
        of = next(line for line in last if line.startswith("lines "))
        assert re.match(r"lines \d+–(\d+) of \1 ", of)
        terminal.press("\r")
        opened = terminal.frame("what changes it  quantum-trader why s00000001", "Esc: back")
        terminal.press("\x1b")
        assert terminal.frame(of) == last
        terminal.press("\x1b[H")
        assert terminal.frame("lines 1–") == first
        for shown in (first, second, last, opened):
            assert len(shown) <= lines
            assert max(map(len, shown)) <= letters
        terminal.press("q")
        assert terminal.ended() == 0


def test_the_folder_is_read_at_most_once_a_second_and_only_where_something_changed(
    finished: Path, tmp_path: Path
) -> None:
    """A finished run is read once; a file that changes is read a second after the reading before."""
    folder, clock = tmp_path / "copy", Clock()
    shutil.copytree(finished, folder)
    reader = PageReader(folder, clock)
    assert reader.step("positions")
    clock.now += 10 * AGED_S
    assert not reader.step("positions")
    os.utime(folder / "checkpoint", ns=(1, 1))
    assert reader.step("positions")
    os.utime(folder / "checkpoint", ns=(2, 2))
    clock.now += READ_S * 0.9
    assert not reader.step("positions")
    clock.now += READ_S * 0.2
    assert reader.step("positions")


def test_another_page_is_read_at_once_when_it_is_first_looked_at(finished: Path) -> None:
    """And not again while nothing changes; so is the item of a page, and the one opened before is forgotten."""
    reader = PageReader(finished, Clock())
    assert reader.step("positions")
    assert reader.step("health")
    assert not reader.step("positions")
    assert set(reader.found.pages) == {"positions", "health"}
    assert reader.step("decisions", "s00000001")
    assert reader.step("decisions", "s00000002")
    assert reader.found.of("decisions", "s00000001") is None
    opened = reader.found.of("decisions", "s00000002")
    assert opened is not None
    assert opened.facts["signal"]["signal_id"] == "s00000002"


def test_a_folder_that_is_gone_is_told_and_forgotten_when_it_is_back(finished: Path, tmp_path: Path) -> None:
    """The figures known stay."""
    folder, clock = tmp_path / "copy", Clock()
    shutil.copytree(finished, folder)
    reader = PageReader(folder, clock)
    reader.step("health")
    folder.rename(tmp_path / "gone")
    clock.now += READ_S
    assert not reader.step("health")
    assert reader.found.told.startswith("not read: No such file or directory")
    assert "health" in reader.found.pages
    (tmp_path / "gone").rename(folder)
    clock.now += READ_S
    assert reader.step("health")
    assert reader.found.told == ""


def test_figures_are_drawn_at_most_twice_a_second_and_keys_at_once(finished: Path) -> None:
    """Nothing new, nothing drawn; a key does not wait."""
    clock = Clock()
    reader = PageReader(finished, clock)
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    screen = WatchScreen(Live(console=console, auto_refresh=False), "health", clock)
    assert screen.show(reader)
    assert not screen.show(reader)
    reader.step("health")
    clock.now += DRAW_S * 0.9
    assert not screen.show(reader)
    clock.now += DRAW_S * 0.2
    assert screen.show(reader)
    clock.now += 10 * DRAW_S
    assert not screen.show(reader)
    assert screen.press(["2"])
    assert screen.show(reader)
    assert not screen.press([QUIT])


def test_watching_loads_no_library_of_tables_or_keys() -> None:
    """They took 30 MB of each process that watches a run."""
    code = (
        "import sys\nfrom quantum_trader.app.terminal import watcher\n"
        "print([name for name in ('polars', 'cryptography', 'xgboost', 'jax') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_keys_are_told_apart() -> None:
    """Arrows of both modes and with Shift, Home and End as three terminals send them, digits, ends, Escape alone."""
    assert keys_in(b"\x1b[C\x1bOD3x0\tq") == [NEXT, BEFORE, "3", NEXT, QUIT]
    assert keys_in(b"\x1b[A\x1b[1;2B\x1b[5~\x1b[6~ ") == [UP, DOWN, PAGE_UP, PAGE_DOWN, PAGE_DOWN]
    assert keys_in(b"\x1b[H\x1b[1~\x1bOH\x1b[7~\x1b[F\x1b[4~\x1bOF\x1b[8~") == [HOME] * 4 + [END] * 4
    assert keys_in(b"\r\x7f\x1b\x1b[2~\x1b[15~") == [OPEN, BACK, BACK]
    assert keys_in("é0x".encode()) == []
