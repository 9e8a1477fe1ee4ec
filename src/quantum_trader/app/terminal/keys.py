"""Keys of a terminal, as they are pressed; the terminal is as before at the end, whatever ends it."""

from __future__ import annotations

import os
import re
import select
import termios
import tty
from types import TracebackType
from typing import Any, Final

QUIT: Final = "quit"
NEXT: Final = "next"
BEFORE: Final = "before"
UP: Final = "up"
DOWN: Final = "down"
PAGE_UP: Final = "page up"
PAGE_DOWN: Final = "page down"
HOME: Final = "home"
END: Final = "end"
OPEN: Final = "open"
BACK: Final = "back"
_LETTERS: Final = {
    b"q": QUIT, b"Q": QUIT, b"\x03": QUIT, b"\x04": QUIT,  # also Ctrl-C and Ctrl-D where they come as letters
    b"\t": NEXT, b" ": PAGE_DOWN, b"\r": OPEN, b"\n": OPEN, b"\x7f": BACK, b"\x08": BACK,
}
_FINALS: Final = {  # of a sequence that begins with ESC [ or ESC O
    b"A": UP, b"B": DOWN, b"C": NEXT, b"D": BEFORE, b"H": HOME, b"F": END, b"Z": BEFORE, b"M": OPEN,
}
_NUMBERS: Final = {b"1": HOME, b"7": HOME, b"4": END, b"8": END, b"5": PAGE_UP, b"6": PAGE_DOWN}  # before a ~
_SEQUENCE: Final = re.compile(rb"\x1b[\[O]([\d;]*)([A-Za-z~])")
_UNFINISHED: Final = re.compile(rb"\x1b(?:[\[O][\d;]*)?$")
_READ: Final = 64
_REST_S: Final = 0.05  # a sequence that comes in parts is whole after so long
_CONTROL_KEYS: Final = 6  # where termios keeps the keys that send signals


def keys_in(raw: bytes) -> list[str]:
    """The keys in *raw* that mean something here: one of the names above, or a digit from 1 on."""
    found, place = [], 0
    while place < len(raw):
        sequence = _SEQUENCE.match(raw, place)
        if sequence is not None:
            number, final = sequence.groups()
            key = _NUMBERS.get(number.partition(b";")[0]) if final == b"~" else _FINALS.get(final)
            place = sequence.end()
        else:
            one = raw[place:place + 1]
            digit = one.decode() if one in b"123456789" else None
            key = BACK if one == b"\x1b" else _LETTERS.get(one, digit)
            place += 1
        if key is not None:
            found.append(key)
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
        raw = self._read(seconds)
        if raw and _UNFINISHED.search(raw):
            raw += self._read(_REST_S) or b""
        return [QUIT] if raw == b"" else keys_in(raw or b"")

    def _read(self, seconds: float) -> bytes | None:
        """What comes within *seconds*; None: nothing, empty: the terminal is gone."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return None
        try:
            return os.read(self._descriptor, _READ)
        except OSError:
            return b""
