"""``quantum-trader watch``: a run's dashboard in the terminal, also over SSH."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Final

import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import InputError

_PIPE_WIDTH: Final = 140  # of what is printed into a file or a pipe
app = typer.Typer(add_completion=False)


@app.command()
def watch(
    state: StateOption,
    page: Annotated[
        str,
        typer.Option("--page", metavar="NAME", help="Page to begin with: overview, positions, decisions, learning, "
                     "shadows, models, health."),
    ] = "overview",
    once: Annotated[bool, typer.Option("--once", help="Print the page once and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch a run in the terminal, live, replayed or finished. It only reads the folder, and slows no run.

    Keys: digits, arrows and Tab change the page, q or Ctrl-C ends it. Where standard input or output is no terminal,
    and with --json, the page is printed once.
    """
    import msgspec
    from rich.console import Console

    from quantum_trader.app.runs.status import is_alive
    from quantum_trader.app.terminal.page_facts import PAGES, read_page
    from quantum_trader.app.terminal.screen import document_console, page_document
    from quantum_trader.app.terminal.watcher import watch_folder

    if page not in PAGES:
        raise InputError(f"--page {page!r}: choose from {', '.join(PAGES)}")
    is_alive(state)  # StateError where the folder is no run's
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(read_page(state, page, time.time_ns()))).decode())
        return
    console = Console(highlight=False, markup=False)
    if not once and sys.stdin.isatty() and console.is_terminal and not console.is_dumb_terminal:
        watch_folder(state, page, console, sys.stdin.fileno())
        return
    shown = document_console(console, _PIPE_WIDTH)
    shown.print(page_document(read_page(state, page, time.time_ns()), shown.width))
