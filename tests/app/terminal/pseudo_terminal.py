"""`watch` in a pseudo-terminal that is its controlling terminal, as in a window or over SSH."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_S = 60.0
OTHER_SCREEN = "\x1b[?1049h"
OWN_SCREEN = "\x1b[?1049l"
CURSOR_SHOWN = "\x1b[?25h"
_FRAME = "\x1b[H"
_QUIET_S = 0.2
_CODES = re.compile(r"\x1b(?:\[[?\d;]*[A-Za-z]|\][^\x07]*\x07)")


class WatchTerminal:
    """A terminal of *size* (lines, letters) in which `watch` runs; its standard error goes to the file *errors*."""

    def __init__(self, folder: Path, errors: Path, size: tuple[int, int], *words: str) -> None:
        self._ours, self._theirs = pty.openpty()
        self.settings = termios.tcgetattr(self._theirs)
        self.errors = errors
        self.resize(*size)
        self._raw = b""  # all that was ever shown
        self._taken = 0  # of it, by `until`
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # would win
        with errors.open("wb") as told:
            self.process = subprocess.Popen(
                [
                    "setsid", "--ctty", "env", "--default-signal=INT",  # which a job in the background ignores
                    sys.executable, "-m", "quantum_trader", "watch", "--state", str(folder), *words,
                ],
                stdin=self._theirs, stdout=self._theirs, stderr=told, env={**environ, "TERM": "xterm-256color"},
            )

    def resize(self, lines: int, letters: int) -> None:
        """Change the size, which tells the program."""
        termios.tcsetwinsize(self._ours, (lines, letters))

    def press(self, keys: str) -> None:
        """Type *keys*."""
        os.write(self._ours, keys.encode())

    def until(self, text: str) -> str:
        """What comes until *text* has come; fails where it never does."""
        ends = time.monotonic() + PATIENCE_S
        while (place := self._raw.find(text.encode(), self._taken)) < 0:
            assert time.monotonic() < ends, f"{text!r} never came; the last screen:\n{self._last()}\n{self.told}"
            self._read(1.0)
        found = self._raw[self._taken:place]
        self._taken = place + len(text.encode())
        return found.decode(errors="replace")

    def frame(self, *texts: str, patience_s: float = PATIENCE_S) -> list[str]:
        """The lines of the screen as soon as it has all *texts*; fails where it never has."""
        ends = time.monotonic() + patience_s
        while True:
            while self._read(_QUIET_S):
                pass  # until the screen is whole
            shown = self._last()
            if all(text in shown for text in texts):
                return shown.split("\n")
            assert time.monotonic() < ends, f"{texts} never came; the last screen:\n{shown}\n{self.told}"

    def _last(self) -> str:
        whole = self._raw.decode(errors="replace").rpartition(_FRAME)[2]
        return _CODES.sub("", whole).replace("\r", "")

    def _read(self, seconds: float) -> bool:
        """Whether something came within *seconds*."""
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if ready:
            self._raw += os.read(self._ours, 65_536)
        return bool(ready)

    @property
    def told(self) -> str:
        """What it wrote to its standard error."""
        return self.errors.read_text(errors="replace")

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal has its settings of before."""
        return termios.tcgetattr(self._theirs) == self.settings

    def ended(self) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(PATIENCE_S)

    def hang_up(self) -> None:
        """Close the window: the kernel sends SIGHUP to the process whose controlling terminal it was."""
        os.close(self._theirs)
        os.close(self._ours)
        self._ours = self._theirs = -1

    def close(self) -> None:
        """End everything."""
        self.process.kill()
        self.process.wait()
        for one in (self._ours, self._theirs):
            with suppress(OSError):
                os.close(one)


@contextmanager
def watching(
    folder: Path, tmp_path: Path, *words: str, size: tuple[int, int] = (40, 120)
) -> Iterator[WatchTerminal]:
    """`watch` of *folder* in a terminal of *size* (lines, letters)."""
    terminal = WatchTerminal(folder, tmp_path / "watch.errors", size, *words)
    try:
        yield terminal
    finally:
        terminal.close()
