"""What the plan of a live start says of the pilot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantum_trader.app.runs.pilot_run import RunPilot
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.clock import iso
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.policy.policy_store import PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE

_DOES = {
    PilotMode.OFF: "it decides nothing", PilotMode.SHADOW: "its decisions are recorded and never sent",
    PilotMode.PRIMARY: "IT ALONE OPENS POSITIONS, signals are shadowed",
    PilotMode.HYBRID: "IT OPENS POSITIONS where it is more confident than the signals",
}


def planned_pilot(
    settings: RunSettings, symbols: Sequence[str], interval_ns: int, state: Path
) -> tuple[str, tuple[str, ...]]:
    """The pilot and what it may do in a sentence, empty without one; and why a start with it would be refused."""
    try:
        pilot = RunPilot(settings, symbols, interval_ns)
    except QuantumTraderError as error:
        return settings.pilot.model, (str(error),)
    if pilot.artefact is None:
        return "", ()
    card, in_force = pilot.artefact.card, settings.pilot.settings
    if (state / STORE_FILE).exists():
        in_force = PolicyStore(state / STORE_FILE).pilot
    mode = in_force.mode_in_force
    trades = f", from a confidence of {in_force.min_confidence:g} on, at most {in_force.max_trades_per_hour} an hour"
    return (
        f"{card.name} ({card.identity[:12]}) in {mode.value}: {_DOES[mode]}"
        f"{trades if mode in (PilotMode.PRIMARY, PilotMode.HYBRID) else ''}; trained on bars until "
        f"{iso(card.data.last_ns)[:10]}", (),
    )
