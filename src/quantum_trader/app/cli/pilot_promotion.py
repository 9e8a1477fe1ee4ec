"""``quantum-trader pilot promote | demote``: letting the pilot trade, on evidence, and stopping it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from quantum_trader.app.cli.options import ByOption, JsonOption, ReasonOption, StateOption
from quantum_trader.app.cli.pilot_settings import change_lines, user_name
from quantum_trader.app.cli.pilot_status import CardOption, evidence_lines
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError, StateError

if TYPE_CHECKING:
    from quantum_trader.policy.pilot_evidence import PilotEvidence
    from quantum_trader.policy.policy_store import StoreChange
    from quantum_trader.policy.rollout import Unmet

REFUSED: Final = 1


def promote_command(
    to: Annotated[str, typer.Option("--to", metavar="PRIMARY|HYBRID", help="The mode that the pilot is to have.")],
    state: StateOption, model: CardOption = None, reason: ReasonOption = "",
    force: Annotated[bool, typer.Option("--force", help="Promote without the evidence; needs --reason.")] = False,
    by: ByOption = "", as_json: JsonOption = False,
) -> None:
    """Let the pilot trade when its evidence permits it. A running pilot knows it within 10 seconds.

    Exit code 1 where it is refused, with everything that is missing.
    """
    from quantum_trader.app.runs.pilot_journal import pilot_history
    from quantum_trader.app.runs.pilot_report import card_metrics
    from quantum_trader.app.runs.pilot_store import store_of
    from quantum_trader.policy.pilot_evidence import promotion_reason, unmet_for

    mode = _mode(to, (PilotMode.PRIMARY, PilotMode.HYBRID), "promote", "`pilot demote` has the others")
    store = store_of(state, None)
    reading = store.read()
    if reading.trouble:
        raise StateError(f"{store.path}: {reading.trouble}; the pilot stays OFF. Nothing was changed")
    evidence = pilot_history(state).evidence
    metrics = card_metrics(state, model, evidence.model)
    unmet = unmet_for(mode, evidence, settings=reading.pilot, metrics=metrics)
    if reading.pilot.mode is mode or (unmet and not force):
        _refuse(mode, unmet, evidence, as_json)
    if force and unmet and not reason.strip():
        raise ConfigError("--force: needs --reason, which is recorded with the change. Nothing was changed")
    made = store.change(
        {"mode": mode}, seen_version=reading.state.version, actor=by or user_name(),
        reason=promotion_reason(mode, evidence, unmet, reason),
    )
    _confirm(made, unmet, as_json)


def demote_command(
    state: StateOption,
    to: Annotated[
        str, typer.Option("--to", metavar="SHADOW|OFF", help="The mode that the pilot is to have.")
    ] = "SHADOW",
    reason: ReasonOption = "demoted", by: ByOption = "", as_json: JsonOption = False,
) -> None:
    """Stop the pilot from trading. Always permitted; a running pilot knows it within 10 seconds."""
    from quantum_trader.app.runs.pilot_store import store_of

    mode = _mode(to, (PilotMode.SHADOW, PilotMode.OFF), "demote", "`pilot promote` has the others")
    made = store_of(state, None).change({"mode": mode}, seen_version=None, actor=by or user_name(), reason=reason)
    _confirm(made, (), as_json)


def _mode(text: str, modes: tuple[PilotMode, ...], command: str, hint: str) -> PilotMode:
    for mode in modes:
        if text.strip().upper() == mode.value:
            return mode
    names = " or ".join(mode.value for mode in modes)
    raise ConfigError(f"--to {text!r}: must be {names} for `pilot {command}`; {hint}")


def _refuse(mode: PilotMode, unmet: Sequence[Unmet], evidence: PilotEvidence, as_json: bool) -> NoReturn:
    """Print everything that is missing, with the evidence, and exit."""
    from quantum_trader.app.runs.pilot_report import evidence_document

    document = evidence_document(evidence)
    if as_json:
        typer.echo(json.dumps({
            "promoted": False, "mode": mode.value, "missing": [one.text for one in unmet], "evidence": document,
        }, indent=2, ensure_ascii=False))
        raise typer.Exit(REFUSED)
    lines = [f"{mode.value}: not promoted; it still needs", *(f"  - {one.text}" for one in unmet)]
    if any(one.condition != "mode" for one in unmet):
        lines += [*evidence_lines(document), 'To promote it anyway: --force --reason "why"']
    typer.echo("\n".join(lines), err=True)
    raise typer.Exit(REFUSED)


def _confirm(made: StoreChange, unmet: Sequence[Unmet], as_json: bool) -> None:
    from quantum_trader.app.runs.pilot_store import setting_change_document

    if as_json:
        document: dict[str, Any] = {
            "mode_in_force": made.state.pilot.mode_in_force.value, "version": made.state.version,
            "changes": [setting_change_document(one) for one in made.changes], "forced": bool(unmet),
            "missing": [one.text for one in unmet],
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    lines = [*change_lines(made), *(f"  condition not met: {one.text}" for one in unmet)]
    typer.echo("\n".join(lines))
