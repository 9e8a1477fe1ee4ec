"""Keys of a terminal, as they are pressed; the terminal is as before at the end, whatever ends it."""

from __future__ import annotations

import os
import select
import termios
import tty
from types import TracebackType
from typing import Any, Final

QUIT: Final = "quit"
NEXT: Final = "next"
BEFORE: Final = "before"
_ENDS: Final = (b"q", b"Q", b"\x03", b"\x04")  # also Ctrl-C and Ctrl-D where they come as letters
_ARROWS: Final = {b"C": NEXT, b"B": NEXT, b"D": BEFORE, b"A": BEFORE}
_READ: Final = 64
_ESCAPE: Final = 0x1B
_CONTROL_KEYS: Final = 6  # where termios keeps the keys that send signals


def keys_in(raw: bytes) -> list[str]:
    """The keys in *raw* that mean something here: QUIT, NEXT, BEFORE, or a digit from 1 on."""
    found, place = [], 0
    while place < len(raw):
        one = raw[place:place + 1]
        if raw[place] == _ESCAPE and raw[place + 1:place + 2] in (b"[", b"O"):
            arrow = _ARROWS.get(raw[place + 2:place + 3])
            found += [arrow] if arrow else []
            place += 3
            continue
        if one in _ENDS:
            found.append(QUIT)
        elif one in (b"\t", b" "):
            found.append(NEXT)
        elif one.isdigit() and one != b"0":
            found.append(one.decode())
        place += 1
    return found


class TerminalKeys:
    """The keys of the terminal *descriptor*, as a context: inside it keys come at once and are not shown.

    With *takes_interrupt* Ctrl-C is such a key too, and no signal: the program that has started this one, such as make,
    gets none and takes its exit status.
    """

    def __init__(self, descriptor: int, *, takes_interrupt: bool = False) -> None:
        self._descriptor = descriptor
        self._takes_interrupt = takes_interrupt
        self._before: list[Any] = []

    def __enter__(self) -> TerminalKeys:
        self._before = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor)
        if self._takes_interrupt:
            changed = termios.tcgetattr(self._descriptor)
            changed[_CONTROL_KEYS][termios.VINTR] = bytes([os.fpathconf(self._descriptor, "PC_VDISABLE")])
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, changed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        except termios.error:
            return  # the terminal is gone

    def wait(self, seconds: float) -> list[str]:
        """The keys that come within *seconds*, as soon as there is one; QUIT where the terminal is gone."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return []
        try:
            raw = os.read(self._descriptor, _READ)
        except OSError:
            return [QUIT]
        return keys_in(raw) if raw else [QUIT]
