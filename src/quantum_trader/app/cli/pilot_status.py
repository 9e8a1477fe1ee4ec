"""``quantum-trader pilot status``: what the pilot does, and whether it is better than the signals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.app.cli.pilot_settings import MODE_DOES
from quantum_trader.domain.enums import PilotMode

PROBLEM: Final = 1  # exit code: the store cannot be used, and the pilot is OFF
CardOption = Annotated[
    Path | None, typer.Option("--model", metavar="FOLDER", help="Folder of the trained pilot, for its card; the one "
                                          "that the state folder keeps when left out.")
]


def status_command(state: StateOption, model: CardOption = None, as_json: JsonOption = False) -> None:
    """Show what the pilot does, its results beside the signals', and what a promotion still lacks.

    Pilot, signals and both combined (hybrid) trade the same market in the shadow, with all costs. Results are means a
    day in basis points of equity, and their intervals stay valid however often they are read. Exit code 1 where the
    policy store cannot be used.
    """
    from quantum_trader.app.runs.pilot_journal import pilot_history
    from quantum_trader.app.runs.pilot_report import card_metrics, pilot_document
    from quantum_trader.app.runs.pilot_store import store_of

    store = store_of(state, None)
    reading = store.read()
    history = pilot_history(state, settings=lambda: reading.pilot)
    document = pilot_document(reading, history, card_metrics(state, model, history.evidence.model))
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(pilot_status_lines(document)))
    raise typer.Exit(PROBLEM if reading.trouble else 0)


def pilot_status_lines(document: dict[str, Any]) -> list[str]:
    """The document of ``pilot status --json`` for a person."""
    return [
        *_settings_lines(document), *_work_lines(document), *evidence_lines(document["evidence"]),
        *_promotion_lines(document), "", document["verdict"],
    ]


def _settings_lines(document: dict[str, Any]) -> list[str]:
    mode, settings, since = document["mode_in_force"], document["settings"], document["since"]
    why = "" if settings["enabled"] else " (not enabled)"
    lines = [f"mode in force  {mode}{why}: {MODE_DOES[PilotMode(mode)]}"]
    if document["trouble"]:
        lines.append(f"PROBLEM        {document['trouble']}; the pilot is OFF. See `pilot settings`")
    lines.append(
        f"since          {since['time'][:19]}Z, by {since['actor']}: {since['reason']}" if since else
        "since          the start: its mode was never changed"
    )
    applied = document["in_force_in_the_run"]
    if applied is not None:
        lines.append(f"the run has    {applied['mode']} of version {applied['version']} since {applied['time'][:19]}Z")
    rate = document["rate"]
    lines.append(
        f"limits         confidence at least {settings['min_confidence']:g}; {rate['opened_last_hour']} of at most "
        f"{rate['max_trades_per_hour']} openings in the last hour"
    )
    return lines


def _work_lines(document: dict[str, Any]) -> list[str]:
    live = document["live_status"]
    decided = f", the last at {live['last_decision_at']}" if live["last_decision_at"] else ""
    sent = f", the last at {live['last_trade_intent_at']}" if live["last_trade_intent_at"] else ""
    failure = document["last_failure"]
    failed = "none"
    if failure:
        failed = f"{document['failures']:,}, the last at {failure['time']} ({failure['what']}): {failure['error']}"
    return [
        f"model          {document['model'] or 'none has decided yet'}",
        f"decisions      {document['decisions_total']:,}, in SHADOW {live['shadow_decisions']:,}{decided}",
        f"intents        {live['trade_intents_total']:,}, executed {live['trade_intents_executed']:,}{sent}",
        f"failures       {failed}",
    ]


def evidence_lines(evidence: dict[str, Any]) -> list[str]:
    """The three shadow books and the shadow trades for a person."""
    if not evidence["days"]:
        return ["shadow books   no day is on record yet", _trades_line(evidence["trades"])]
    lines = [
        f"shadow books   {evidence['days']:,} days of market ({evidence['market_hours']:,.0f} hours), "
        f"{evidence['first_day']} to {evidence['last_day']}; basis points of equity a day, net of costs",
    ]
    for name, one in evidence["bp_a_day"].items():
        bounds = one["interval"]
        shown = f"{bounds[0]:+.2f} to {bounds[1]:+.2f}" if bounds else f"from {one['next_look']} days"
        lines.append(f"  {name:16} {one['mean']:+8.2f}   95 % interval {shown:18} {one['says']}")
    return [*lines, _trades_line(evidence["trades"])]


def _trades_line(trades: dict[str, Any]) -> str:
    if not trades["count"]:
        return "shadow trades  none has ended"
    exits = ", ".join(f"{name} {count}" for name, count in trades["exits"].items())
    return (
        f"shadow trades  {trades['count']:,}, mean {trades['mean_r']:+.2f} R, {trades['win_rate']:.0%} won; ended by "
        f"{exits}"
    )


def _promotion_lines(document: dict[str, Any]) -> list[str]:
    lines = []
    for mode, missing in document["promotion"].items():
        if not missing:
            lines += ["", f"{mode}: may be promoted (pilot promote --to {mode})"]
        else:
            lines += ["", f"{mode} still needs", *(f"  - {text}" for text in missing)]
    return lines
