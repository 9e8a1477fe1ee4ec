"""``quantum-trader rollout``: the evidence for each part of the policy, and switching it on or off."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from quantum_trader.app.cli.options import JsonOption, ReasonOption, StateOption, acting_user
from quantum_trader.app.report.words import policy_words
from quantum_trader.app.runs.rollout_record import require_rollout_folder, rollout_change_document, status_report
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.policy.enforcement import SWITCHES, switch_index
from quantum_trader.policy.evidence import Evidence, evidence
from quantum_trader.policy.ledger import read_ledger
from quantum_trader.policy.rollout import (
    ALREADY,
    PromotionRefused,
    RolloutChange,
    promote,
    rollback,
)
from quantum_trader.policy.rollout_file import RolloutFile, read_state

REFUSED: Final = 1
UNUSABLE: Final = 2

app = typer.Typer(no_args_is_help=True, help="Staged rollout of the policy: evidence, promotion, rollback.")
rollout_app = app

SwitchArgument = Annotated[str, typer.Argument(metavar="SWITCH", help=f"One of: {', '.join(SWITCHES)}.")]
OptionalSwitch = Annotated[
    str | None, typer.Argument(metavar="[SWITCH]", help="The switch to turn off; all when left out.")
]


@app.command("status")
def status_command(state: StateOption, as_json: JsonOption = False) -> None:
    """Show the evidence for each switch, and what its promotion still needs."""
    try:
        report = status_report(state)
    except (StateError, ConfigError) as error:
        _fail(str(error), as_json)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _show_status(report, Console(), state)


@app.command("promote")
def promote_command(
    switch: SwitchArgument, state: StateOption,
    force: Annotated[bool, typer.Option("--force", help="Promote without the evidence; needs --reason.")] = False,
    reason: ReasonOption = "", as_json: JsonOption = False,
) -> None:
    """Enforce SWITCH when its evidence permits it. A running process applies the change by itself."""
    try:
        switch_index(switch)
        require_rollout_folder(state)
        read_state(state)  # a damaged file is not made a fresh one here: that would enforce less without a word
        file = RolloutFile(state, now_ns=time.time_ns())
        facts = evidence(read_ledger(state), switch)
        outcome = promote(
            file.state, switch, facts, now_ns=time.time_ns(), actor=acting_user(), force=force, reason=reason
        )
        if isinstance(outcome, PromotionRefused):
            _refuse(outcome, facts, as_json, state)
        file.write(outcome.state)
    except (StateError, ConfigError) as error:
        _fail(str(error), as_json)
    except OSError as error:
        _fail(f"--state {state}: rollout.json cannot be written ({error.strerror}); nothing was changed", as_json)
    _confirm(outcome.change, as_json)


@app.command("rollback")
def rollback_command(
    state: StateOption, switch: OptionalSwitch = None, reason: ReasonOption = "", as_json: JsonOption = False
) -> None:
    """Stop enforcing SWITCH, or all of them. Always permitted; a running process applies the change by itself."""
    try:
        require_rollout_folder(state)
        file = RolloutFile(state, now_ns=time.time_ns())
        if file.notice:
            typer.echo(f"warning: {file.notice}", err=True)
        after, change = rollback(file.state, switch, now_ns=time.time_ns(), actor=acting_user(), reason=reason)
        file.write(after)
    except (StateError, ConfigError) as error:
        _fail(str(error), as_json)
    except OSError as error:
        _fail(f"--state {state}: rollout.json cannot be written ({error.strerror}); nothing was changed", as_json)
    _confirm(change, as_json)


def _show_status(report: dict[str, Any], console: Console, folder: Path) -> None:
    """Print the report for a person."""
    period = f", {report['seen_from']} to {report['seen_to']}" if report["seen_from"] else ""
    subject = f" of {report['subject']}" if report["subject"] else ""
    policy = policy_words(report["mode"])
    console.print(
        f"Policy {policy}; {report['signals']} signals{subject} in {report['market_hours']} hours of market{period}",
        highlight=False, soft_wrap=True,
    )
    if not report["rollout_file"]:
        console.print(f"No rollout.json in {folder}: nothing has been promoted here.", highlight=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("switch", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("changed", "closed", "sum of R", "average, 95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report["switches"]:
        table.add_row(
            row["switch"], _state_text(row), str(row["changed"]), str(row["resolved"]),
            f"{row['sum_r']:+.2f}" if row["resolved"] else "no data", _interval_text(row),
        )
    console.print(table)
    for row in report["switches"]:
        if row["missing"]:
            console.print(f"{row['switch']} still needs", highlight=False)
            for text in row["missing"]:
                console.print(f"  - {text}", highlight=False, soft_wrap=True)
    console.print(
        "average: average result, in R, of the trades it would have blocked (negative: it helps), from their shadow "
        "trades (a paper copy of every signal). The interval stays valid however often it is read.", highlight=False,
    )
    console.print(report["next"], highlight=False, soft_wrap=True)


def _state_text(row: dict[str, Any]) -> str:
    if row["enforced"]:
        return "on"
    return "ready" if row["promotable"] else "off"


def _interval_text(row: dict[str, Any]) -> str:
    if row["interval"] is None:
        return f"from {row['next_look']} closed" if row["look"] == 0 else "too few blocks"
    low, high = row["interval"]
    return f"{low:+.2f} to {high:+.2f}"


def _refuse(refusal: PromotionRefused, facts: Evidence, as_json: bool, folder: Path) -> NoReturn:
    """Print a refusal with every unmet condition, and exit."""
    if as_json:
        typer.echo(msgspec.json.encode({
            "promoted": False, "switch": refusal.switch, "unmet": [item.text for item in refusal.unmet],
            "evidence": msgspec.to_builtins(facts),
        }).decode())
        raise typer.Exit(REFUSED)
    typer.echo(f"{refusal.switch} was not promoted:", err=True)
    for item in refusal.unmet:
        typer.echo(f"  - {item.text}", err=True)
    if facts.signals == 0:
        typer.echo(f"No evidence yet. Collect some: quantum-trader run --policy observe --state {folder}", err=True)
    if all(item.condition != ALREADY for item in refusal.unmet):
        typer.echo('To promote it anyway: --force --reason "why"', err=True)
    raise typer.Exit(REFUSED)


def _confirm(change: RolloutChange, as_json: bool) -> None:
    """Print the effect of a change."""
    if as_json:
        typer.echo(msgspec.json.encode(rollout_change_document(change)).decode())
        return
    what = change.switch or "everything"
    forced = " (forced)" if change.forced else ""
    verb = {"promote": "enforced from now on", "rollback": "no longer enforced"}[change.action]
    left = ", ".join(change.after) or "nothing"
    typer.echo(f"{what}: {verb}{forced}. Policy {policy_words(change.mode_after.value)}; enforced: {left}.")
    for item in change.unmet:
        typer.echo(f"  condition not met: {item.text}")


def _fail(message: str, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(msgspec.json.encode({"error": message}).decode())
    else:
        typer.echo(f"error: {message}", err=True)
    raise typer.Exit(UNUSABLE)
