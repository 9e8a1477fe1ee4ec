"""``quantum-trader trials``: everything that was tried, and what it means for the best of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, TrialsOption
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import DataError, escaped

if TYPE_CHECKING:
    from quantum_trader.lab.trials.ledger import LedgerReading
    from quantum_trader.lab.trials.record import TrialRecord

_SHOWN: Final = 12  # digits of a hash
_LEAST: Final = 6  # digits that may stand for a whole one

app = typer.Typer(no_args_is_help=True, help="Everything that was tried: list, show, and what it means for the best.")
trials_app = app


@app.command("list")
def list_command(
    trials: TrialsOption = None,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Those of one command, such as sweep.")] = "",
    data: Annotated[
        str, typer.Option("--data-hash", metavar="HASH", help="Those on one set of data; its first digits suffice.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0 for all.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what was tried, the newest last: settings of sweeps, seeds of trainings, thresholds, models."""
    reading = _reading(trials)
    found = [
        one for one in reading.records
        if one.trial.source.startswith(source) and one.trial.data_hash.startswith(data.strip().lower())
    ]
    shown = found[-limit:] if limit else found
    if as_json:
        _print({"trials": [_row(one) for one in shown], "found": len(found), "damage": list(reading.damage)})
        return
    lines = [_line(one) for one in shown] or ["no trials on record"]
    if len(shown) < len(found):
        lines.append(f"the newest {len(shown):,} of {len(found):,}; --limit 0 shows all")
    typer.echo("\n".join(map(escaped, (*lines, *(f"damaged: {one}" for one in reading.damage)))))


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of a trial, as `trials list` shows it; 6 digits or "
                                        "more.", show_default=False)],
    trials: TrialsOption = None, as_json: JsonOption = False,
) -> None:
    """Show a trial: what was varied, its result, and how often the same was tried."""
    wanted = name.strip().lower()
    found = [one for one in _reading(trials).records if one.trial.identity.startswith(wanted)]
    ids = {one.trial.identity for one in found}
    if len(wanted) < _LEAST or len(ids) != 1:
        told = "is the beginning of several ids; give more of it" if len(ids) > 1 else (
            f"is no trial; `quantum-trader trials list` shows them, and {_LEAST} digits of an id are the least"
        )
        raise DataError(f"{name!r} {told}")
    if as_json:
        _print({"id": ids.pop(), "trials": [_row(one) for one in found]})
        return
    newest = found[-1].trial
    rows = [
        ("id", newest.identity), ("tried", f"{len(found)} times, last {iso(found[-1].ts_ns)} by {newest.source}"),
        ("what", f"{newest.kind} {newest.label}"), ("varied", _values(newest.settings)),
        ("settings", newest.settings_hash), ("data", newest.data_hash),
        ("sharpe", "not measured" if newest.sharpe is None else f"{newest.sharpe:+.4f} a day in {newest.days} days"),
        ("p-value", "unknown" if newest.tested is None else f"{newest.tested:.4f}"),
        ("results", _values(newest.metrics)), ("model", newest.model_id or "none"),
    ]
    for key, text in rows:
        typer.echo(escaped(f"{key:9} {text}"))


@app.command("summary")
def summary_command(
    trials: TrialsOption = None,
    registry: Annotated[
        Path | None, typer.Option("--registry", metavar="DIR", help="Registry whose promotions are judged; this user's "
                                  "when left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Count all trials, deflate the best ones for them, and say how many promoted models may be false discoveries."""
    from quantum_trader.app.runs.registries import open_registry
    from quantum_trader.app.runs.trial_ledgers import promoted_models
    from quantum_trader.lab.trials.summary import summarise, summary_sentences

    reading = _reading(trials)
    found = summarise(reading.records, promoted_models(open_registry(registry)), reading.damage)
    if as_json:
        _print(msgspec.to_builtins(found))
        return
    typer.echo("\n".join(map(escaped, summary_sentences(found))))


def _reading(trials: Path | None) -> LedgerReading:
    from quantum_trader.app.runs.trial_ledgers import open_trials

    return open_trials(trials).read()


def _row(record: TrialRecord) -> dict[str, Any]:
    trial: dict[str, Any] = msgspec.to_builtins(record.trial)
    return {
        "id": record.trial.identity, "ts_ns": record.ts_ns, "run": record.run, **trial,
        "p_value": record.trial.tested,
    }


def _line(record: TrialRecord) -> str:
    trial = record.trial
    result = "" if trial.sharpe is None else f"  Sharpe {trial.sharpe * math.sqrt(365.0):+.2f} a year"
    return (
        f"{trial.identity[:_SHOWN]}  {iso(record.ts_ns)[:19]}  {trial.source:12} {trial.kind:9} {trial.label}"
        f"  data {trial.data_hash[:_SHOWN]}{result}"
    )


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {'unknown' if value is None else value}" for key, value in values.items()) or "none"


def _print(document: dict[str, Any]) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
