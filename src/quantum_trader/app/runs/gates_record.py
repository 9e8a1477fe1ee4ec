"""What ``quantum-trader gates`` knows of a state folder: its gates, its signals, and what people changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from quantum_trader.app.report.gates import limit_words
from quantum_trader.app.runs.gates_file import GatesFile, read_gates_state
from quantum_trader.app.runs.journal_commands import RECORDS
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.journal.audit import record_lines
from quantum_trader.journal.lake import JOURNAL, journal_of
from quantum_trader.lab.gate_changes import (
    GateRefused,
    GatesState,
    changed,
    enforce_gate,
    observe_gate,
    unmet_to_enforce,
    with_effect,
)
from quantum_trader.lab.gate_record import (
    GateHistory,
    GatesEffect,
    effect_of_change,
    gate_evidence,
    gate_history,
    gate_rates,
)
from quantum_trader.lab.shadows.advice import ThresholdChange, changed_thresholds
from quantum_trader.lab.shadows.judged_signals import judged_signals_in
from quantum_trader.models.gate_tables import gate_changes, gates_with
from quantum_trader.models.gates import MODES, GateSettings

MadeChange = Callable[[GatesState, GateHistory], "GatesState | GateRefused"]


class _Started(msgspec.Struct):
    topic: str = ""
    data: dict[str, Any] = {}


def gates_of(folder: Path) -> GatesState:
    """The gates of the run in *folder*: those of its gates file, else those that it was started with.

    Raises StateError where there is no such folder or a file of it cannot be read.
    """
    require_folder(folder)
    return read_gates_state(folder) or GatesState(settings=_started_with(folder))


def require_folder(folder: Path) -> None:
    """Raise StateError unless *folder* is there."""
    if not folder.is_dir():
        raise StateError(
            f"--state {folder}: no such folder; give the folder of a run "
            f"(quantum-trader run --state {folder} creates it)"
        )


def _started_with(folder: Path) -> GateSettings:
    """The gates that the first record of *folder* states; the defaults where there are no records yet."""
    for _, line in record_lines(folder / RECORDS):
        try:
            effective = msgspec.json.decode(line, type=_Started).data.get("effective", {})
            return msgspec.convert(effective.get("gates", {}), GateSettings)
        except (ValueError, AttributeError) as error:
            raise StateError(f"{folder / RECORDS}: its first record cannot be read ({error})") from None
    return GateSettings()


def history_in(folder: Path) -> GateHistory:
    """The signals in the journal of *folder*; none where it has no journal yet."""
    if not (folder / JOURNAL).is_dir():
        return GateHistory()
    return gate_history(judged_signals_in(journal_of(folder)))


def change_gates(
    folder: Path, change: MadeChange, set_aside: Callable[[str], None] | None = None
) -> GatesState | GateRefused:
    """Apply *change* to the gates in *folder*, with its effect on the signals on record, and write them.

    A damaged file is refused, unless *set_aside* is there to be told what became of it: every gate is observed then,
    which the change begins with. Raises StateError where the file cannot be used or written, or another process has
    changed it meanwhile.
    """
    require_folder(folder)
    if set_aside is None:
        read_gates_state(folder)
    file = GatesFile(folder, initial=_started_with(folder), now_ns=time.time_ns())
    if file.notice and set_aside is not None:
        set_aside(file.notice)
    history, before = history_in(folder), file.state
    after = change(before, history)
    if isinstance(after, GateRefused):
        return after
    if history.signals:
        after = with_effect(after, effect_of_change(history, before.settings, after.settings))
    try:
        file.write(after)
    except OSError as error:
        raise StateError(
            f"--state {folder}: {file.path.name} cannot be written ({error.strerror}); nothing was changed"
        ) from None
    return after


def enforcing(gate: str, *, actor: str, force: bool, reason: str) -> MadeChange:
    """The change that enforces *gate*."""
    return lambda state, history: enforce_gate(
        state, gate_evidence(history, state.settings, gate), now_ns=time.time_ns(), actor=actor, force=force,
        reason=reason,
    )


def observing(gate: str | None, *, actor: str, reason: str) -> MadeChange:
    """The change that lets *gate*, or every one, refuse nothing more."""
    return lambda state, _: observe_gate(state, gate, now_ns=time.time_ns(), actor=actor, reason=reason)


def setting(make: Callable[[GateSettings], GateSettings], *, actor: str, reason: str) -> MadeChange:
    """The change to the settings that *make* makes of the present ones; ConfigError where it changes nothing."""
    def change(state: GatesState, _: GateHistory) -> GatesState:
        after = make(state.settings)
        if after == state.settings:
            raise ConfigError("nothing changes: the gates are set so already")
        return changed(state, after, now_ns=time.time_ns(), actor=actor, action="set", reason=reason)

    return change


class GatesPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of the gates would do. *errors*: what is wrong, by setting; nothing else is known where there are.

    *effect*: on the signals on record, as it would stand beside the change; None where there are none. *thresholds*:
    each changed one by itself, as ``gates advice`` counts it.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    errors: dict[str, str]
    effect: GatesEffect | None = None
    thresholds: tuple[ThresholdChange, ...] = ()


def preview_gates(folder: Path, values: Mapping[str, str]) -> GatesPreview:
    """What setting *values*, as ``gates set`` takes them, would do to the gates in *folder*; it changes nothing."""
    settings, errors = gates_of(folder).settings, {}
    for key, value in values.items():
        try:
            gates_with(settings, [f"{key}={value}"])
        except ConfigError as error:
            errors[key] = str(error)
    if errors:
        return GatesPreview(before={}, after={}, errors=errors)
    after = gates_with(settings, [f"{key}={value}" for key, value in values.items()])
    old, new = gate_changes(settings, after)
    if not (folder / JOURNAL).is_dir() or not new:
        return GatesPreview(before=old, after=new, errors={})
    signals = judged_signals_in(journal_of(folder))
    if not len(signals):
        return GatesPreview(before=old, after=new, errors={})
    history = gate_history(signals)
    modes = [mode for mode in MODES if mode in signals.modes]
    return GatesPreview(
        before=old, after=new, errors={}, effect=effect_of_change(history, settings, after),
        thresholds=tuple(
            one for mode in modes
            for one in changed_thresholds(signals, mode, settings.limits(mode), after.limits(mode))
        ),
    )


def gates_document(state: GatesState, history: GateHistory) -> dict[str, Any]:
    """The content of ``gates show --json``."""
    settings, modes = state.settings, _modes_in_use(state.settings, history)
    rows = []
    for rate in gate_rates(history, settings):
        facts = gate_evidence(history, settings, rate.gate)
        missing = [] if rate.gate in settings.enforced else [item.text for item in unmet_to_enforce(settings, facts)]
        rows.append({
            "gate": rate.gate, "limits": {mode: limit_words(rate.gate, settings, mode) for mode in modes},
            "enforced": rate.gate in settings.enforced, **msgspec.to_builtins(rate),
            "target": settings.pass_targets.get(rate.gate), "evidence": msgspec.to_builtins(facts), "missing": missing,
        })
    return {
        "mode": settings.mode, "modes": modes, "enforced": list(settings.enforced), "revision": state.revision,
        "signals": len(history.signals), "market_hours": history.market_hours, "gates": rows,
        "settings": msgspec.to_builtins(settings),
    }


def _modes_in_use(settings: GateSettings, history: GateHistory) -> list[str]:
    """The modes of the signals on record; all that may be, where there are none."""
    if settings.mode in MODES:
        return [settings.mode]
    found = [settings.mode_of(by_score=one.by_score) for one in history.signals]
    return list(dict.fromkeys(found)) or ["trend", "scalp"]
