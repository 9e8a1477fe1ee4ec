"""The policy store of a run: where it lies, and the risk profile that it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.run_identity import Statement
from quantum_trader.app.settings import RunSettings
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import open_to_read
from quantum_trader.policy.policy_store import ActiveRiskProfile, PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE

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
