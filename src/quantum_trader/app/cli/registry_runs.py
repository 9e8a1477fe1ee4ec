"""``quantum-trader registry live | trades | which | outcomes``: what runs have done with registered models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import escaped

if TYPE_CHECKING:
    from quantum_trader.app.runs.model_journal import ModelJournal, ModelSpan, ModelTrade, RefusedModel
    from quantum_trader.lab.registry.outcomes import ModelOutcomes, Summary

PILOT_KIND: Final = "pilot"  # what an alias means where no kind is named
_SHOWN: Final = 12  # digits of an id in a table
_NO_DATA: Final = "no data"

RegistryOption = Annotated[
    Path | None, typer.Option("--registry", metavar="DIR", help="Folder of the registry; this user's when left out.")
]
StatesOption = Annotated[
    list[Path] | None, typer.Option("--state", metavar="DIR", help="State folder of a run; repeatable.")
]
RunModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Id of a model, or its first 6 digits or more; or champion, challenger "
                        "or shadow of the registry.", show_default=False)
]
AliasKindOption = Annotated[
    str, typer.Option("--kind", metavar="KIND", help="Kind of the model that an alias means: pilot (when left out) or "
                      "signal.", show_default=False)
]


def live_command(state: StateOption, as_json: JsonOption = False) -> None:
    """Say which models were in force in a run, from when to when, by which alias and why; and which were refused."""
    journal = _journal(state)
    spans, refusals = journal.spans(), journal.refusals()
    if as_json:
        _print_json({
            "state": str(state), "until": iso(journal.last_ns()), "models": [_span(one) for one in spans],
            "refused": [msgspec.to_builtins(one) | {"time": iso(one.ts_ns)} for one in refusals],
        })
        return
    lines = [*map(span_text, spans), *map(_refusal_text, refusals)]
    typer.echo("\n".join(lines) or f"{state}: no model is on record; the intraday models have no id")


def trades_command(
    model: RunModelArgument, state: StateOption, registry: RegistryOption = None, kind: AliasKindOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the closed trades that a model opened in a run."""
    journal = _journal(state)
    model_id = _model_id(model, journal, registry, kind)
    found = journal.trades_of(model_id)
    if as_json:
        _print_json({"model_id": model_id, "trades": [_trade(one) for one in found]})
        return
    head = f"{model_id}: {len(found):,} closed trades in {state}"
    typer.echo("\n".join([head, *map(_trade_text, found)]))


def which_command(
    trade_id: Annotated[str, typer.Argument(metavar="TRADE_ID", help="Id of a trade, as a report or the journal shows "
                                            "it.", show_default=False)],
    state: StateOption, as_json: JsonOption = False,
) -> None:
    """Say which model made a trade, and how that model came to be in force."""
    journal = _journal(state)
    trade = journal.trade(trade_id)
    spans = [
        one for one in journal.spans()
        if one.model_id in trade.model_ids and one.from_ns < trade.entry_ns
        and not 0 < one.until_ns < trade.entry_ns
    ]
    if as_json:
        _print_json({"trade": _trade(trade), "models": [_span(one) for one in spans]})
        return
    lines = [_trade_text(trade)]
    if not trade.model_ids:
        lines.append(f"made by {trade.model}, which has no model id")
    lines += [f"made by {span_text(one)}" for one in spans]
    lines += [f"made by {one}" for one in trade.model_ids if one not in {span.model_id for span in spans}]
    typer.echo("\n".join(lines))


def outcomes_command(
    model: RunModelArgument, state: StatesOption = None, registry: RegistryOption = None, kind: AliasKindOption = "",
    store: Annotated[
        bool, typer.Option("--store", help="Keep them in the registry, in a file that is named by its hash.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what came of a model's decisions in runs: its trades and its shadow trades.

    Without --state: what was kept in the registry before. A kept file changes nothing of the model.
    """
    from quantum_trader.app.runs.model_journal import ModelJournal
    from quantum_trader.app.runs.registries import open_registry
    from quantum_trader.lab.registry.outcomes import OutcomeStore, together

    opened = open_registry(registry)
    kept = OutcomeStore(opened.folder)
    if state:
        journals = [ModelJournal(one) for one in state]
        model_id = _model_id(model, journals[0], registry, kind)
        found = [journal.outcomes(model_id) for journal in journals]
    else:
        model_id = opened.resolve(model, kind or PILOT_KIND)
        found = kept.of_model(model_id)
    files = [str(kept.add(one)) for one in found] if store and state else []
    trades, shadows = together(found)
    if as_json:
        _print_json({
            "model_id": model_id, "trades": msgspec.to_builtins(trades), "shadows": msgspec.to_builtins(shadows),
            "runs": [_outcomes(one) for one in found], "kept": files,
        })
        return
    lines = [f"{model_id}: {len(found)} runs"] if found else [
        f"{model_id}: no outcomes are kept; name the runs with --state DIR, and keep them with --store"
    ]
    if found:
        lines += [summary_text("trades", trades), summary_text("shadow trades", shadows)]
    lines += [f"kept in {file}" for file in files]
    typer.echo("\n".join(lines))


def lived(model_id: str, states: Sequence[Path]) -> list[tuple[Path, ModelSpan]]:
    """When the model was in force in the runs of *states*."""
    return [
        (state, one) for state in states for one in _journal(state).spans() if one.model_id == model_id
    ]


def lived_text(state: Path, span: ModelSpan) -> str:
    """One span of a run in a line, without the model's own name."""
    return f"{state}: {span.role} {_times(span)}{_how(span)}"


def summary_text(what: str, summary: Summary) -> str:
    """The figures of some outcomes in a line."""
    if not summary.count:
        return f"{what}: none"
    win = _NO_DATA if summary.win_rate is None else f"{summary.win_rate:.1%}"
    mean = _NO_DATA if summary.mean_r is None else f"{summary.mean_r:+.3f} R"
    bounds = summary.interval_r
    interval = "no interval yet" if bounds is None else (
        f"95 % interval {bounds.low:+.3f} to {bounds.high:+.3f} R of the first {bounds.count:,}"
    )
    money = "" if summary.pnl is None else f", PnL {summary.pnl:+,.2f} USDT"
    return f"{what}: {summary.count:,}, won {win}, mean {mean} ({interval}){money}"


def span_text(span: ModelSpan) -> str:
    """One model in force in a line."""
    others = ", with others" if span.with_others else ""
    return f"{span.model_id[:_SHOWN]}  {span.role:8} {span.name}{others}: {_times(span)}{_how(span)}"


def _times(span: ModelSpan) -> str:
    return f"from {iso(span.from_ns)} until {iso(span.until_ns) if span.until_ns else 'now'}"


def _how(span: ModelSpan) -> str:
    """By which alias a model came into force, who had moved it, and why."""
    told = [span.alias] if span.alias else []
    if span.version:
        told.append(f"version {span.version} of the registry")
    if span.actor:
        told.append(escaped(f"by {span.actor}: {span.reason}"))
    return f" ({', '.join(told)})" if told else ""


def _refusal_text(one: RefusedModel) -> str:
    stays = "+".join(model[:_SHOWN] for model in one.in_force) or "none"
    head = f"{one.model[:_SHOWN] or 'none':{_SHOWN}}  {one.role:8} refused {iso(one.ts_ns)}"
    return f"{head}: {one.reason}; {stays} stayed"


def _trade_text(one: ModelTrade) -> str:
    result = _NO_DATA if one.r_multiple is None else f"{one.r_multiple:+.2f} R"
    return (
        f"{one.trade_id}  {one.side:5} {one.symbol} {iso(one.entry_ns)} to {iso(one.exit_ns)}  {result} "
        f"{one.pnl:+,.2f} USDT  {one.exit_reason}"
    )


def _span(one: ModelSpan) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    return plain | {"from": iso(one.from_ns), "until": iso(one.until_ns) if one.until_ns else None}


def _trade(one: ModelTrade) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    return plain | {"role": one.role or None}


def _outcomes(one: ModelOutcomes) -> dict[str, Any]:
    """The outcomes of one run without its single trades."""
    plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(one, trades=(), shadows=()))
    return plain | {
        "trades": msgspec.to_builtins(one.trade_summary), "shadows": msgspec.to_builtins(one.shadow_summary),
    }


def _model_id(name: str, journal: ModelJournal, registry: Path | None, kind: str) -> str:
    """The id that *name* means: an alias of the registry, or an id of the journal."""
    from quantum_trader.app.runs.registries import open_registry
    from quantum_trader.lab.registry.state import ALIASES

    if name in ALIASES:
        return open_registry(registry).resolve(name, kind or PILOT_KIND)
    return journal.model_id(name)


def _journal(state: Path) -> ModelJournal:
    from quantum_trader.app.runs.model_journal import ModelJournal

    return ModelJournal(state)


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
