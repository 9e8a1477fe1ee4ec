"""The policy store of a run: where it lies, and the risk profile that it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.run_identity import Statement
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.pilot_settings import LIVE, PilotSettings
from quantum_trader.domain.private_files import open_to_read
from quantum_trader.policy.policy_store import ActiveRiskProfile, PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE, StoreReading
from quantum_trader.policy.policy_store_state import SettingChange

_LONGEST_LINE: Final = 1 << 20


class _FirstRecord(msgspec.Struct):
    topic: str
    data: Statement


def risk_profile_of(settings: RunSettings) -> ActiveRiskProfile:
    """The profile that *settings* choose, and the guard's leverage limit: no profile has one of its own."""
    active = settings.active_profile()
    return ActiveRiskProfile(
        name=active.name, source=active.source, max_leverage=settings.engine_settings().limits.max_leverage
    )


def recorded_risk_profile(folder: Path) -> ActiveRiskProfile | None:
    """The profile and leverage limit that the run of *folder* states in its first record; None where it states none."""
    try:
        with open(open_to_read(folder / "records.jsonl"), "rb") as file:
            first = decode_json(file.readline(_LONGEST_LINE), _FirstRecord)
        stated = first.data.effective
        return ActiveRiskProfile(
            name=str(stated["policy"]["profile"]), source="this run's settings",
            max_leverage=stated["risk"]["max_leverage"],
        )
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ConfigError):
        return None


def store_of(state: Path | None, file: Path | None) -> PolicyStore:
    """The store in the state folder *state*, or in the file *file*.

    ConfigError where not exactly one is given; StateError where there is no such folder.
    """
    if (state is None) == (file is None):
        raise ConfigError("give --state DIR, a run's state folder, or --file FILE, a store of its own")
    if state is None:
        assert file is not None
        return PolicyStore(file, risk_profile=risk_profile_of(RunSettings()))
    if not state.is_dir():
        raise StateError(f"--state {state}: no such folder; give the folder of `run --state` or `live --state`")
    return PolicyStore(state / STORE_FILE, risk_profile=recorded_risk_profile(state))


def pilot_settings_document(store: PolicyStore, reading: StoreReading, history: bool) -> dict[str, Any]:
    """The store as JSON shows it."""
    document = {
        "file": str(store.path), "version": reading.state.version, "mode_in_force": reading.pilot.mode_in_force.value,
        "trouble": reading.trouble or None, "notice": reading.notice or None,
        "settings": {LIVE: msgspec.to_builtins(reading.pilot)},
        "sources": {f"{LIVE}.{name}": setting_source(reading, name) for name in PilotSettings.__struct_fields__},
        "risk_profile": msgspec.to_builtins(store.active_risk_profile),
    }
    if history:
        document["older_changes"] = reading.state.older_changes
        document["history"] = [setting_change_document(one) for one in reading.state.changes]
    return document


def setting_change_document(change: SettingChange) -> dict[str, Any]:
    """A change as JSON shows it."""
    return {**msgspec.to_builtins(change), "time": iso(change.ts_ns)}


def setting_source(reading: StoreReading, name: str) -> str:
    """Where the value of the field *name* came from."""
    if reading.trouble and name == "mode":
        return "the store cannot be used"
    last = reading.state.last_change_of(name)
    if last is not None:
        return f"version {last.version}, {iso(last.ts_ns)[:19]}Z, by {last.actor}"
    if getattr(reading.state.pilot, name) == getattr(PilotSettings(), name):
        return "default"
    return "a change that is no longer listed" if reading.state.older_changes else "the default of its first version"
