"""Watching: keys through a pseudo-terminal, how often is read and drawn, and a terminal as before at the end."""

from __future__ import annotations

import io
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from quantum_trader.app.terminal.keys import BEFORE, NEXT, QUIT, keys_in
from quantum_trader.app.terminal.page_reader import AGED_S, READ_S, PageReader
from quantum_trader.app.terminal.screen import NAMES
from quantum_trader.app.terminal.watcher import DRAW_S, WatchScreen, page_after

PATIENCE_S = 60.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def watching(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, list[int | list[bytes]]]]:
    """`watch` in a terminal of its own: the process, our end of the terminal, and its settings before."""
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    termios.tcsetwinsize(ours, (40, 120))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # they would win
    process = subprocess.Popen(
        [sys.executable, "-m", "quantum_trader", "watch", "--state", str(folder)], stdin=theirs, stdout=theirs,
        stderr=theirs, env={**environ, "TERM": "xterm-256color"}, start_new_session=True,
    )
    try:
        yield process, ours, before
        assert termios.tcgetattr(theirs) == before, "the terminal is as it was"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def seen_until(ours: int, text: str) -> str:
    """What the terminal shows until *text* comes; fails where it never does."""
    shown, ends = b"", time.monotonic() + PATIENCE_S
    while text.encode() not in shown:
        ready, _, _ = select.select([ours], [], [], max(0.0, ends - time.monotonic()))
        assert ready, f"{text!r} never came; seen: {shown[-2000:]!r}"
        shown += os.read(ours, 65_536)
    return shown.decode(errors="replace")


def test_keys_change_the_page_and_q_restores_the_terminal(finished: Path) -> None:
    """In another screen, which is left at the end with its cursor shown."""
    with watching(finished) as (process, ours, _):
        assert "\x1b[?1049h" in seen_until(ours, "Why nothing happens")
        os.write(ours, b"2")
        seen_until(ours, "Done by others")
        os.write(ours, b"\x1b[C\x1b[D\x1b[D")
        seen_until(ours, "last trade")
        os.write(ours, b"q")
        assert "\x1b[?25h" in seen_until(ours, "\x1b[?1049l")
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_ctrl_c_and_a_signal_end_it_with_the_terminal_restored(finished: Path, number: int, code: int) -> None:
    """Ctrl-C is no error; a signal's exit code says which it was. Nothing is printed over the shell's screen."""
    with watching(finished) as (process, ours, _):
        seen_until(ours, "Why nothing happens")
        process.send_signal(number)
        assert "Traceback" not in seen_until(ours, "\x1b[?1049l")
        assert process.wait(PATIENCE_S) == code


def test_a_resized_terminal_is_drawn_anew_and_a_vanished_folder_is_told(finished: Path, tmp_path: Path) -> None:
    """And the watching goes on when it is back."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    with watching(folder) as (process, ours, _):
        seen_until(ours, "Why nothing happens")
        termios.tcsetwinsize(ours, (30, 90))
        seen_until(ours, "Why nothing happens")
        folder.rename(tmp_path / "gone")
        seen_until(ours, "not read: No such file or directory")
        (tmp_path / "gone").rename(folder)
        seen_until(ours, f"{len(NAMES)} health")
        os.write(ours, str(len(NAMES)).encode())
        seen_until(ours, "Damage of the journal")
        os.write(ours, b"q")
        seen_until(ours, "\x1b[?1049l")
        assert process.wait(PATIENCE_S) == 0


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


def test_another_page_is_read_when_it_is_looked_at(finished: Path) -> None:
    """Once, a second after the reading before."""
    clock = Clock()
    reader = PageReader(finished, clock)
    assert reader.step("positions")
    assert not reader.step("health")
    clock.now += READ_S
    assert reader.step("health")
    assert set(reader.found.pages) == {"positions", "health"}


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


def test_the_screen_is_drawn_at_most_twice_a_second_and_only_where_it_changed(finished: Path) -> None:
    """Nothing new, nothing drawn; a key's page half a second after the drawing before."""
    clock = Clock()
    reader = PageReader(finished, clock)
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    screen = WatchScreen(Live(console=console, auto_refresh=False), clock)
    assert screen.show("health", reader)
    assert not screen.show("health", reader)
    reader.step("health")
    clock.now += DRAW_S * 0.9
    assert not screen.show("health", reader)
    clock.now += DRAW_S * 0.2
    assert screen.show("health", reader)
    clock.now += 10 * DRAW_S
    assert not screen.show("health", reader)
    assert screen.show("positions", reader)


def test_keys_are_told_apart() -> None:
    """Arrows of both modes, digits, ends; what means nothing is nothing."""
    assert keys_in(b"\x1b[C\x1bOD3x0\tq") == [NEXT, BEFORE, "3", NEXT, QUIT]
    assert keys_in(b"\x1b") == []
    assert page_after(NAMES[0], [BEFORE]) == NAMES[-1]
    assert page_after(NAMES[-1], [NEXT]) == NAMES[0]
    assert page_after(NAMES[0], ["2", "9"]) == NAMES[1]
    assert page_after(NAMES[0], ["2", QUIT]) == ""
