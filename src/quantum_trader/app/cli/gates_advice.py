"""``quantum-trader gates advice``: what other thresholds of the gates would have made of a run's signals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption, TrialsOption
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.models.gates import GATES

if TYPE_CHECKING:
    from quantum_trader.lab.shadows.advice import GateAdvice, ThresholdAdvice, ThresholdEffect
    from quantum_trader.lab.shadows.judged_signals import JudgedSignals

_PIPE_WIDTH: Final = 120
_NONE: Final = "-"


def advice_command(
    state: StateOption,
    gate: Annotated[
        str | None,
        typer.Option("--gate", metavar="NAME", help=f"Show every threshold tried of one: {', '.join(GATES)}."),
    ] = None,
    first_share: Annotated[
        float, typer.Option("--first-share", help="Share of the signals on which a threshold is chosen.")
    ] = 0.6,
    trials: TrialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try other thresholds of each gate on the shadow trades of a run, and advise one only where luck is ruled out.

    A threshold is chosen on the first part of the history and shown on the second. Each one that is tried is recorded
    in the trial ledger.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from quantum_trader.lab.shadows.advice import AdviceSettings, advise
    from quantum_trader.lab.shadows.judged_signals import read_judged_signals

    if gate is not None and gate not in GATES:
        raise ConfigError(f"--gate {gate!r}: choose from {', '.join(GATES)}")
    settings = AdviceSettings(first_share=first_share)
    signals = read_judged_signals(state)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json, transient=True) as progress:
        task = progress.add_task("gates", total=len(GATES))
        found = advise(signals, settings, lambda done, total: progress.update(task, completed=done, total=total))
    recorded = _record(found, signals, trials)
    if as_json:
        plain = {**msgspec.to_builtins(found), "trials": recorded}
        for row, one in zip(plain["gates"], found.gates, strict=True):
            row["command"] = _command(one, state) if one.is_told else ""
        typer.echo(msgspec.json.format(msgspec.json.encode(plain)).decode())
    else:
        _show(found, gate, recorded, state)
    for damage in signals.damage:
        typer.echo(f"warning: the journal is damaged, and what is lost is left out: {damage}", err=True)


def _record(found: ThresholdAdvice, signals: JudgedSignals, trials: Path | None) -> int:
    """Record every threshold as a trial and return how many; a ledger that cannot be written is told, no more."""
    from quantum_trader.app.runs.trial_ledgers import open_trials
    from quantum_trader.lab.shadows.advice import ADVICE, advice_trials

    ledger = open_trials(trials)
    try:
        recorded = ledger.record(advice_trials(found, signals.data_hash), ledger.new_run(ADVICE))
    except StateError as error:
        typer.echo(f"warning: {error}", err=True)
        return 0
    if recorded.repaired:
        typer.echo(f"warning: {recorded.repaired}", err=True)
    return recorded.trials


def _show(found: ThresholdAdvice, gate: str | None, recorded: int, state: Path) -> None:
    """Print the advice for a person."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, markup=False, highlight=False)
    others = f"; {found.other_modes:,} signals of other modes are left out" if found.other_modes else ""
    console.print(f"Mode {found.mode}: {found.signals:,} signals with a result{others}.", soft_wrap=True)
    for one in found.gates:
        if gate in (None, one.gate):
            console.print(f"\n{one.sentence}", soft_wrap=True)
            _effects(one, console, whole=gate is not None)
            if one.is_told:
                console.print(_command(one, state), soft_wrap=True)
    console.print(f"\n{found.sentence}", soft_wrap=True)
    console.print(
        "mean: bps a passed signal after costs and funding. difference: bps a signal of all, against today's "
        "threshold, with its 95 % interval over blocks of time (of the second part: at the error that all six gates "
        f"share). {recorded:,} thresholds were recorded as trials.", soft_wrap=True,
    )


def _command(one: GateAdvice, state: Path) -> str:
    """The command that puts the chosen threshold of a gate into force."""
    change = f"{one.mode}.{one.key}={one.chosen.replace(', ', ',')}"
    return f'quantum-trader gates set {change} --state {state} --because "gates advice"'


def _effects(one: GateAdvice, console: Any, *, whole: bool) -> None:
    """The table of a gate: today's threshold, the chosen one, and with *whole* every one that was tried."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows: list[tuple[str, ThresholdEffect]] = [("today, whole history", one.now)] if one.now is not None else []
    rows += [("tried, whole history", effect) for effect in one.tried] if whole else []
    rows += [("chosen, first part", one.first)] if one.first is not None else []
    rows += [("chosen, second part", one.second)] if one.second is not None else []
    if not rows:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", one.key):
        table.add_column(heading, no_wrap=True)
    for heading in ("signals", "pass", "mean bps", "total bps", "changed", "difference bps"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, effect in rows:
        mean = _NONE if effect.mean_bps is None else f"{effect.mean_bps:+.1f}"
        table.add_row(
            name, effect.value, f"{effect.signals:,}", f"{effect.pass_rate:.0%}", mean, f"{effect.total_bps:+,.0f}",
            f"{effect.changed:,}", _difference(effect),
        )
    console.print(table)


def _difference(effect: ThresholdEffect) -> str:
    if not effect.changed:
        return _NONE
    if effect.low_bps is None or effect.high_bps is None:
        return f"{effect.difference_bps:+.2f}"
    return f"{effect.difference_bps:+.2f} [{effect.low_bps:+.2f}, {effect.high_bps:+.2f}]"
