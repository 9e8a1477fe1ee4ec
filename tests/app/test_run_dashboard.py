"""`run --serve`: the dashboard while the recording plays and until Ctrl-C after it; real processes, a real terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from quantum_trader.app.cli import dashboard
from quantum_trader.app.cli.dashboard import has_display, stays

ROOT = Path(__file__).resolve().parents[2]
SPAN = ("--model", "trend", "--from", "2018-03-01", "--to", "2018-03-08")
WAITS_S = 240.0
CTRL_C = b"\x03"
TAKES_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


def words(folder: Path, port: int, *more: str) -> list[str]:
    """The command line of a run of a week that serves its folder."""
    return [
        sys.executable, "-m", "quantum_trader", "run", "--state", str(folder / "run"), "--serve", str(port), *SPAN,
        *more,
    ]


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a person at a terminal, without display; the browser writes what it is to open into a file."""
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {folder / "opened"}\n')
    browser.chmod(0o755)
    other = {"CI", "DISPLAY", "WAYLAND_DISPLAY", "MAKEFLAGS"}
    quiet = {name: value for name, value in os.environ.items() if name not in other}
    return {
        **quiet, "BROWSER": str(browser), "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "COLUMNS": "120",
        "QUANTUM_TRADER_TRIALS": str(folder / "trials"), **more,
    }


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


class Terminal:
    """A process in the foreground of a terminal of its own; *text* is what it has shown."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self.process = process
        self.text = ""

    def reads_until(self, wanted: str) -> None:
        """Read what it shows until *wanted* is there."""
        ends_s = time.monotonic() + WAITS_S
        while wanted not in self.text:
            assert time.monotonic() < ends_s, f"no {wanted!r} in:\n{self.text}"
            assert self._read() or self.process.poll() is None, f"ended without {wanted!r}:\n{self.text}"

    def presses(self, keys: bytes) -> None:
        """Type *keys*."""
        os.write(self._master, keys)

    def ends(self) -> int:
        """Read to its end, and the exit status."""
        ends_s = time.monotonic() + WAITS_S
        while self.process.poll() is None:
            assert time.monotonic() < ends_s, self.text
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.2)[0]:
            return False
        with suppress(OSError):  # the terminal is closed once its last process has ended
            found = os.read(self._master, 1 << 16)
            self.text += found.decode(errors="replace")
            return bool(found)
        return False


@contextmanager
def at_a_terminal(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[Terminal]:
    """*command* as a shell starts it: in a session whose terminal it is, in the foreground."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKES_TERMINAL, *command], stdin=slave, stdout=slave, stderr=slave, env=environ,
        cwd=folder, start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(master)


def page_at(port: int, place: str = "") -> str:
    """What is answered at *place*."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/{place}", timeout=20) as answer:
        return str(answer.read().decode())


def listens(port: int) -> bool:
    """Whether something listens on *port*."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_run_at_a_terminal_serves_its_dashboard_until_ctrl_c_and_ends_with_0(tmp_path: Path) -> None:
    """The report and the comparison come first; the page shows the finished run; the browser is opened exactly once.

    `make` sees the exit status 0 too: Ctrl-C is a key of the run by then, and no signal that would end make.
    """
    port = free_port()
    command = " ".join(words(tmp_path, port, "--compare", str(tmp_path / "compare.html")))
    (tmp_path / "Makefile").write_text(f"run:\n\t@{command}\n")
    with at_a_terminal(["make", "run"], surroundings(tmp_path, DISPLAY=":0"), tmp_path) as shown:
        shown.reads_until(f"serving on http://127.0.0.1:{port} - Ctrl-C ends")
        assert shown.text.index("Run report") < shown.text.index("compared in")
        status = json.loads(page_at(port, "api/v1/status"))
        page = page_at(port)
        shown.presses(CTRL_C)
        code = shown.ends()

    assert code == 0, shown.text
    assert status["stage"] == "finished"
    assert "<title>" in page
    assert (tmp_path / "compare.html").is_file()
    assert (tmp_path / "opened").read_text() == f"http://127.0.0.1:{port}\n"
    assert "Traceback" not in shown.text
    assert not listens(port)


def test_a_taken_port_is_left_for_the_next_free_one_and_no_browser_opens_without_a_display(tmp_path: Path) -> None:
    """The line says so, and the page is there; SIGTERM ends it as Ctrl-C does."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with at_a_terminal(words(tmp_path, port), surroundings(tmp_path), tmp_path) as shown:
            shown.reads_until("Ctrl-C ends")
            address = shown.text.rsplit("serving on ", 1)[1].split(" ")[0]
            other = int(address.rsplit(":", 1)[1])
            status = json.loads(page_at(other, "api/v1/status"))
            shown.process.terminate()
            code = shown.ends()

    assert code == 0, shown.text
    assert f"port {port} is taken; serving on {other}" in shown.text
    assert status["stage"] == "finished"
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(("more", "environ", "is_terminal"), [
    (("--exit",), {"DISPLAY": ":0"}, True), ((), {"DISPLAY": ":0", "CI": "true"}, True), ((), {"DISPLAY": ":0"}, False),
], ids=["--exit", "CI", "a pipe"])
def test_a_run_ends_with_the_recording(
    more: tuple[str, ...], environ: dict[str, str], is_terminal: bool, tmp_path: Path
) -> None:
    """With --exit, where CI is set and in a pipe: exit status 0, no browser, no server left."""
    port = free_port()
    command, around = words(tmp_path, port, *more), surroundings(tmp_path, **environ)
    if is_terminal:
        with at_a_terminal(command, around, tmp_path) as shown:
            code = shown.ends()
        text = shown.text
    else:
        ended = subprocess.run(command, env=around, cwd=tmp_path, capture_output=True, timeout=WAITS_S, check=False)
        code, text = ended.returncode, (ended.stdout + ended.stderr).decode()

    assert code == 0, text
    assert f"dashboard at http://127.0.0.1:{port}" in text
    assert "Ctrl-C" not in text
    assert not (tmp_path / "opened").exists()
    assert not listens(port)


@pytest.mark.parametrize(("environ", "platform", "seen"), [
    ({"DISPLAY": ":0"}, "linux", True), ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True), ({}, "linux", False),
    ({"DISPLAY": ""}, "linux", False), ({}, "darwin", True), ({"SSH_CONNECTION": "1 2 3 4"}, "darwin", False),
    ({"SSH_CONNECTION": "1 2 3 4", "DISPLAY": "localhost:10.0"}, "linux", True),
    ({"SSH_TTY": "/dev/pts/1"}, "linux", False), ({}, "win32", True),
])
def test_a_browser_is_opened_where_it_is_seen(environ: dict[str, str], platform: str, seen: bool) -> None:
    """On a display, also one forwarded over SSH; on macOS and Windows unless over SSH."""
    assert has_display(environ, platform) is seen


def test_ci_and_exit_keep_no_dashboard_open() -> None:
    """In a terminal alone, and not with --exit or where CI is set."""
    assert stays(False, True, {})
    assert not stays(True, True, {})
    assert not stays(False, False, {})
    assert not stays(False, True, {"CI": "1"})


class Opener:
    """A browser that notes what it is to open; *name* as webbrowser gives it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: list[str] = []

    def open(self, address: str) -> bool:
        """Note *address*."""
        self.opened.append(address)
        return True


@pytest.mark.parametrize(("name", "opened"), [("firefox", ["http://x"]), ("/usr/bin/w3m", [])])
def test_a_browser_of_the_terminal_is_not_opened(
    name: str, opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would take the run's screen; the address is printed instead."""
    browser = Opener(name)
    monkeypatch.setattr(dashboard.webbrowser, "get", lambda: browser)

    dashboard.open_page("http://x")

    assert browser.opened == opened
    assert ("open http://x in one" in capsys.readouterr().err) is (opened == [])
