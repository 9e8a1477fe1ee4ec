"""``quantum-trader halt | resume | flatten``: ask something of a run through its state folder."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from quantum_trader.app.operator_requests import Action, OperatorRequest, ask

StateOption = Annotated[Path, typer.Option("--state", help="The state folder of the run.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it goes on record.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _ask(action: Action, state: Path, reason: str, as_json: bool) -> None:
    request = OperatorRequest(action=action, reason=reason, actor=getpass.getuser(), ts_ns=time.time_ns())
    ask(state, request)
    if as_json:
        typer.echo(msgspec.json.encode(request).decode())
    else:
        typer.echo(f"{action.value}: noted in {state}; a running process takes it at once, else the next start does.")


halt_app = typer.Typer(add_completion=False)


@halt_app.command()
def halt(state: StateOption, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Stop all openings of a run until `resume`; reducing and closing go on."""
    _ask(Action.HALT, state, reason, as_json)


resume_app = typer.Typer(add_completion=False)


@resume_app.command()
def resume(state: StateOption, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """End a halt, an EMERGENCY or a losing streak's closure of a run; the drawdown peak starts from today's equity."""
    _ask(Action.RESUME, state, reason, as_json)


flatten_app = typer.Typer(add_completion=False)


@flatten_app.command()
def flatten(state: StateOption, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Close every position of a run, cancel the rest, and halt openings until `resume`."""
    _ask(Action.FLATTEN, state, reason, as_json)
