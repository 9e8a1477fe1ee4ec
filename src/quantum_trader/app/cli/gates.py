"""``quantum-trader gates``: the six gates of a run, what they let through, and changing them on evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from quantum_trader.app.cli.gates_advice import advice_command
from quantum_trader.app.cli.options import JsonOption, StateOption, acting_user, one_line
from quantum_trader.app.report.gates import gate_name
from quantum_trader.domain.clock import from_ns
from quantum_trader.domain.errors import ConfigError, escaped
from quantum_trader.models.gates import GATES, GateSettings, gate_place

if TYPE_CHECKING:
    from quantum_trader.lab.gate_changes import GateRefused, GatesChange, GatesState
    from quantum_trader.lab.gate_record import GateEstimate, GateHistory, GateRate, GatesEffect, Outcomes

REFUSED: Final = 1
_NONE: Final = "–"
_SHOWN: Final = 20  # changes of the history

app = typer.Typer(no_args_is_help=True, help="The six gates of a signal: show, change, enforce on evidence.")
gates_app = app

GateArgument = Annotated[str, typer.Argument(metavar="GATE", help=f"One of: {', '.join(GATES)}.")]
OptionalGate = Annotated[
    str | None, typer.Argument(metavar="[GATE]", help="The gate to observe; all when left out.")
]
OptionalState = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State folder of a run; the defaults when left out.")
]
BecauseOption = Annotated[
    str, typer.Option("--because", "--reason", metavar="TEXT", help="Why; it is recorded.", callback=one_line)
]


app.command("advice")(advice_command)


@app.command("show")
def show_command(state: OptionalState = None, as_json: JsonOption = False) -> None:
    """Show each gate's limit, whether it is enforced, what it lets through, and what the refused signals were worth."""
    from quantum_trader.app.runs.gates_record import gates_document, gates_of, history_in
    from quantum_trader.lab.gate_changes import GatesState
    from quantum_trader.lab.gate_record import GateHistory

    known = gates_of(state) if state is not None else GatesState()
    history = history_in(state) if state is not None else GateHistory()
    if as_json:
        _print_json(gates_document(known, history))
    else:
        _show(known, history, Console(highlight=False, soft_wrap=True), state)


@app.command("set")
def set_command(
    assignments: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE", help="Such as scalp.max_spread_bps=4, mode=trend, "
                                  "trend.regimes=TREND,CHOP or pass_targets.spread=0.95 (empty: no target).")
    ],
    state: StateOption, because: BecauseOption = "", as_json: JsonOption = False,
) -> None:
    """Change limits, mode or pass-rate targets; the effect on the signals on record stands beside the change."""
    from quantum_trader.app.runs.gates_record import change_gates, setting
    from quantum_trader.models.gate_tables import gates_with

    made = setting(lambda settings: gates_with(settings, assignments), actor=acting_user(), reason=_needed(because))
    _confirm(change_gates(state, made), as_json)


@app.command("enforce")
def enforce_command(
    gate: GateArgument, state: StateOption,
    force: Annotated[bool, typer.Option("--force", help="Enforce without the evidence; needs --because.")] = False,
    because: BecauseOption = "", as_json: JsonOption = False,
) -> None:
    """Let GATE refuse signals, when the signals that it would have refused lost money. A running process follows."""
    from quantum_trader.app.runs.gates_record import change_gates, enforcing

    gate_place(gate)
    _confirm(change_gates(state, enforcing(gate, actor=acting_user(), force=force, reason=because)), as_json)


@app.command("observe")
def observe_command(
    state: StateOption, gate: OptionalGate = None, because: BecauseOption = "", as_json: JsonOption = False
) -> None:
    """Let GATE, or every one, refuse nothing more: it stays on record. Always permitted; a running process follows."""
    from quantum_trader.app.runs.gates_record import change_gates, observing

    made = observing(gate, actor=acting_user(), reason=because)
    _confirm(change_gates(state, made, lambda notice: typer.echo(f"warning: {notice}", err=True)), as_json)


@app.command("history")
def history_command(
    state: StateOption,
    last: Annotated[int, typer.Option("--last", min=1, help="Changes to show, the newest last.")] = _SHOWN,
    as_json: JsonOption = False,
) -> None:
    """Show who changed what, when and why, and the effect on the signals on record at that time."""
    from quantum_trader.app.runs.gates_record import gates_of

    changes = gates_of(state).changes[-last:]
    if as_json:
        _print_json({"changes": [_audit(one) for one in changes]})
        return
    if not changes:
        typer.echo(f"No change of the gates in {state}.")
    for change in changes:
        _say_change(change)


@app.command("targets")
def targets_command(state: StateOption, as_json: JsonOption = False) -> None:
    """Show the wanted pass rate of each gate beside the measured one. Set one: gates set pass_targets.GATE=SHARE."""
    from quantum_trader.app.runs.gates_record import gates_of, history_in
    from quantum_trader.lab.gate_record import gate_rates

    known = gates_of(state)
    rates = gate_rates(history_in(state), known.settings)
    if as_json:
        _print_json({"targets": [_target_row(one, known.settings) for one in rates]})
        return
    rows = []
    for rate in rates:
        row = _target_row(rate, known.settings)
        rows.append((
            gate_name(rate.gate), _share(row["target"]), _share(rate.share.value), _bounds(rate.share),
            row["verdict"], f"{rate.judged:,}",
        ))
    _table(
        Console(highlight=False, soft_wrap=True),
        ("gate", "target", "pass rate", "95 %", "", "signals"), rows, left=(0, 4),
    )


@app.command("defaults")
def defaults_command(as_json: JsonOption = False) -> None:
    """Print the defaults as a file for --gates (YAML)."""
    from quantum_trader.models.gate_tables import default_text

    if as_json:
        _print_json(msgspec.to_builtins(GateSettings()))
    else:
        typer.echo(default_text(), nl=False)


# ---- what is shown -------------------------------------------------------------------------------------------------
def _show(state: GatesState, history: GateHistory, console: Console, folder: Path | None) -> None:
    """Print the gates for a person."""
    from quantum_trader.app.runs.gates_record import gates_document

    shown = gates_document(state, history)
    modes = shown["modes"]
    auto = " (auto: trend for models whose score holds positions, else scalp)" if shown["mode"] == "auto" else ""
    enforced = ", ".join(map(gate_name, shown["enforced"])) or "none"
    console.print(f"Mode {' and '.join(modes)}{auto}; enforced: {enforced}.")
    for mode in modes:
        rows = [
            (gate_name(row["gate"]), row["limits"][mode], "enforced" if row["enforced"] else "observed")
            for row in shown["gates"]
        ]
        _table(console, ("gate", f"lets through ({mode})", "state"), rows, left=(0, 1, 2))
    if folder is None:
        console.print("These are the defaults; --state DIR shows the gates of a run.")
    elif not history.signals:
        console.print(f"No signal on record in {folder} yet.")
    else:
        _show_record(shown, console, folder)


def _show_record(shown: dict[str, Any], console: Console, folder: Path) -> None:
    """Print what the gates let through of the signals on record, and what enforcing each of them still needs."""
    console.print(
        f"{shown['signals']:,} signals in {shown['market_hours']:,.0f} hours of market, judged by the limits above:"
    )
    target = any(row["target"] is not None for row in shown["gates"])
    heads = ["gate", "pass rate", "95 %", *(["target"] if target else []), "unmeasured", "refused", "known", "mean R",
             "95 %"]
    _table(console, heads, [_record_cells(row, target=target) for row in shown["gates"]], left=(0,))
    console.print(
        "pass rate: of the measured signals. refused: signals that the gate does not let through, enforced or not; "
        "known: of them, the results of shadow trades (a paper copy of every signal), with their mean in R."
    )
    for row in shown["gates"]:
        if row["missing"]:
            console.print(f"{gate_name(row['gate'])} may not be enforced yet: {'; '.join(row['missing'])}")
        elif not row["enforced"]:
            console.print(f"Next: quantum-trader gates enforce {row['gate']} --state {folder}")


def _record_cells(row: dict[str, Any], *, target: bool) -> list[str]:
    """The cells of what is on record of one gate."""
    facts, share = row["evidence"], row["share"]
    mean = _NONE if facts["mean_r"] is None else f"{facts['mean_r']:+.3f}"
    bounds = f"{facts['interval'][0]:+.2f} to {facts['interval'][1]:+.2f}" if facts["interval"] else _NONE
    low, high = share["low"], share["high"]
    return [
        gate_name(row["gate"]), _share(share["value"]),
        f"{low * 100.0:.0f} to {high * 100.0:.0f}" if low is not None else _NONE,
        *([_share(row["target"])] if target else []),
        f"{row['unmeasured']:,}", f"{facts['refused']:,}", f"{facts['resolved']:,}", mean, bounds,
    ]


def _target_row(rate: GateRate, settings: GateSettings) -> dict[str, Any]:
    """One gate's target beside what it lets through."""
    target, share = settings.pass_targets.get(rate.gate), rate.share
    verdict = ""
    if target is not None and share.value is not None:
        verdict = "below" if share.value < target else "met"
        if share.low is not None and share.high is not None and share.low <= target <= share.high:
            verdict = "within the interval"
    return {
        "gate": rate.gate, "target": target, "pass_rate": share.value, "low": share.low, "high": share.high,
        "signals": rate.judged, "unmeasured": rate.unmeasured, "verdict": verdict,
    }


def _table(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]
) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value * 100.0:.1f} %"


def _bounds(one: GateEstimate) -> str:
    return _NONE if one.low is None or one.high is None else f"{one.low * 100.0:.1f} to {one.high * 100.0:.1f} %"


# ---- what was changed ----------------------------------------------------------------------------------------------
def _confirm(outcome: GatesState | GateRefused, as_json: bool) -> None:
    """Print what a change did, or why it was refused."""
    from quantum_trader.lab.gate_changes import GateRefused

    if isinstance(outcome, GateRefused):
        _refuse(outcome, as_json)
    change = outcome.changes[-1]
    if as_json:
        _print_json(_audit(change))
        return
    _say_change(change)
    enforced = ", ".join(map(gate_name, outcome.settings.enforced)) or "none"
    typer.echo(f"Enforced now: {enforced}. A process that runs in this folder follows by itself.")


def _refuse(refusal: GateRefused, as_json: bool) -> NoReturn:
    from quantum_trader.policy.rollout import ALREADY

    is_enforced = any(item.condition == ALREADY for item in refusal.unmet)
    if as_json:
        _print_json({"enforced": is_enforced, "gate": refusal.gate, "unmet": [item.text for item in refusal.unmet]})
        raise typer.Exit(REFUSED)
    if is_enforced:
        typer.echo(f"{gate_name(refusal.gate)} is enforced already; nothing was changed.", err=True)
        raise typer.Exit(REFUSED)
    typer.echo(f"{gate_name(refusal.gate)} stays observed:", err=True)
    for item in refusal.unmet:
        typer.echo(f"  - {item.text}", err=True)
    typer.echo('To enforce it anyway: --force --because "why"', err=True)
    raise typer.Exit(REFUSED)


def _say_change(change: GatesChange) -> None:
    """Print one change: who, when, what, why, and its effect."""
    when = from_ns(change.ts_ns).isoformat(timespec="seconds")
    what = f"{change.action} {change.gate}".strip() + (" (forced)" if change.forced else "")
    why = f" - {change.reason}" if change.reason else ""
    typer.echo(escaped(f"{change.revision}. {when} {change.actor}: {what}{why}"))
    for key in change.after:
        typer.echo(f"   {key}: {_value(change.before.get(key))} -> {_value(change.after[key])}")
    for item in change.unmet:
        typer.echo(f"   condition not met: {item.text}")
    if change.effect is not None:
        for line in _effect_lines(change.effect):
            typer.echo(f"   {line}")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _effect_lines(effect: GatesEffect) -> list[str]:
    """The effect of a change on the signals on record, in sentences."""
    lines = [
        f"on {effect.signals:,} signals on record the enforced gates let through {_outcome_words(effect.before)} "
        f"before, {_outcome_words(effect.after)} after"
    ]
    lines += [
        f"{gate_name(one.gate)} by itself lets through {_outcome_words(one.before)} before, "
        f"{_outcome_words(one.after)} after" for one in effect.by_gate
    ]
    for name, one in (("newly refused", effect.newly_refused), ("newly passed", effect.newly_passed)):
        if one.count and one.value is not None:
            known = one.low is not None
            doubt = f" (95 %: {one.low:+.3f} to {one.high:+.3f})" if known else " (too few for an interval)"
            lines.append(f"{name}: {one.count:,} with a result, {one.value:+.3f} R on average{doubt}")
    return lines


def _outcome_words(one: Outcomes) -> str:
    won = "" if one.won.value is None else f", won {_share(one.won.value)}{_doubt(one.won)}"
    return f"{_share(one.passed.value)}{_doubt(one.passed)}{won}"


def _doubt(one: GateEstimate) -> str:
    return f" ({_bounds(one)})" if one.low is not None else ""


def _audit(change: GatesChange) -> dict[str, Any]:
    """The fields of a change, and its time as ISO text."""
    built: dict[str, Any] = msgspec.to_builtins(change)
    return {**built, "time": from_ns(change.ts_ns).isoformat(timespec="seconds")}


def _needed(because: str) -> str:
    if not because.strip():
        raise ConfigError('--because: say why, such as --because "the spread has halved since March"')
    return because


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
