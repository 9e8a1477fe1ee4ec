"""The dashboard of a run that was started in a terminal: opened in a browser once, and served until Ctrl-C."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import typer

from quantum_trader.domain.errors import StateError

if TYPE_CHECKING:
    from quantum_trader.app.runs.serving import Server

_ON_SCREEN: Final = ("darwin", "win32", "cygwin")  # systems whose users sit in front of a screen
_REMOTE: Final = ("SSH_CONNECTION", "SSH_TTY")
_IN_TERMINAL: Final = frozenset(("www-browser", "links", "elinks", "lynx", "w3m"))  # browsers that would take it over


def stays(ends: bool, is_terminal: bool, environ: Mapping[str, str]) -> bool:
    """Whether the dashboard is served after the recording: in a terminal, unless *ends* (``--exit``) or in CI."""
    return is_terminal and not ends and not environ.get("CI")


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a browser would be seen: there is a display, and it is this user's and not a far machine's."""
    if any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        return True
    return platform in _ON_SCREEN and not any(environ.get(name) for name in _REMOTE)


def open_page(address: str) -> None:
    """Open *address* in the user's browser; a line says where that fails."""
    try:
        browser = webbrowser.get()
        opened = PurePath(getattr(browser, "name", "")).name not in _IN_TERMINAL and browser.open(address)
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        typer.echo(f"no browser could be opened; open {address} in one", err=True)


def opener_for(stays_open: bool, no_browser: bool) -> Callable[[str], None] | None:
    """What opens the page of a run; None where none is to be opened."""
    return open_page if stays_open and not no_browser and has_display(os.environ, sys.platform) else None


def keep_serving(server: Server) -> None:
    """Serve on until Ctrl-C, SIGTERM or SIGHUP. Raises StateError where the server has ended by itself."""
    from quantum_trader.app.runs.serving import wait_until_ended

    if not server.is_own:
        return
    typer.echo(f"serving on {server.address} - Ctrl-C ends", err=True)
    if not _waited(server, wait_until_ended):
        raise StateError(f"the server at {server.address} has ended by itself; `quantum-trader serve` starts one again")
    with suppress(OSError):  # the terminal may be gone
        typer.echo("ended", err=True)


def _waited(server: Server, wait: Callable[[Server, Callable[[float], bool]], bool]) -> bool:
    """Wait for the end, also by a key where standard input is a terminal that is ours; False: the server has ended."""
    import threading

    from quantum_trader.app.terminal.keys import QUIT, TerminalKeys

    if not _is_our_terminal(sys.stdin.fileno() if sys.stdin is not None else -1):
        return wait(server, threading.Event().wait)
    with TerminalKeys(sys.stdin.fileno(), takes_interrupt=True) as keys:
        return wait(server, lambda seconds: QUIT in keys.wait(seconds))


def _is_our_terminal(descriptor: int) -> bool:
    """Whether *descriptor* is a terminal in whose foreground this process is: one in the background may read no key."""
    try:
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
