"""The pilot of a run: its model, and its settings as the policy store has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.pilot_store import risk_profile_of
from quantum_trader.app.settings import PilotOptions, RunSettings
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.piloting import RLv3LiveOrchestrator
from quantum_trader.pilot.artefact import CARD_FILE, Artefact, load_artefact, save_artefact
from quantum_trader.pilot.predictor import Predictor
from quantum_trader.policy.policy_store import PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE

BUNDLED: Final = "bundled"
START: Final = "start"  # who put the first settings of a run into force


def bundled_folder() -> Path:
    """Folder of the trained pilot that comes with the program."""
    return Path(str(files("quantum_trader").joinpath("data", "pilot")))


PILOT_FOLDER: Final = "pilot"  # in a state folder: the model of its run


def keep_artefact(folder: Path, artefact: Artefact) -> None:
    """Keep the model of a run in its state *folder*, so that the run can be continued, explained and replayed alone."""
    kept = folder / PILOT_FOLDER
    if (kept / CARD_FILE).exists() and load_artefact(kept).card.identity == artefact.card.identity:
        return
    save_artefact(kept, artefact)


def artefact_of(options: PilotOptions) -> Artefact | None:
    """The trained pilot that *options* name; None where they name none.

    Raises DataError for a damaged folder, ConfigError for a model that is not for this program.
    """
    if not options.model:
        return None
    return load_artefact(bundled_folder() if options.model == BUNDLED else Path(options.model))


def predictor_of(artefact: Artefact | None, symbols: Sequence[str], base_ns: int) -> Predictor | None:
    """*artefact* over the symbols of a run on bars of *base_ns*; ConfigError where these bars do not make its own."""
    if artefact is None:
        return None
    try:
        return Predictor(artefact, symbols, base_ns)
    except ConfigError as error:
        raise ConfigError(f"pilot.model: the model {artefact.card.name!r} cannot see these bars: {error}") from None


def pilot_store(folder: Path, settings: RunSettings) -> PolicyStore:
    """The policy store of the run in *folder*; a new one begins with what the run's *settings* say of the pilot."""
    store = PolicyStore(folder / STORE_FILE, risk_profile=risk_profile_of(settings))
    initial, reading = settings.pilot.settings, store.read()
    if initial != PilotSettings() and reading.state.version == 0 and not reading.trouble:
        store.change(
            msgspec.structs.asdict(initial), seen_version=0, actor=START, reason="the settings of the run"
        )
    return store


class PilotStoreFollower:
    """Puts the settings of a policy store into force; without one, those that the run began with."""

    def __init__(self, initial: PilotSettings, store: PolicyStore | None) -> None:
        self._initial, self._store = initial, store

    def follow(
        self, in_force: PilotSettings | None, take: Callable[[PilotSettings, PilotChanged], None]
    ) -> int:
        """Hand *take* the settings that differ from those *in_force* (None: the run begins); returns how many times."""
        wanted, change = self._wanted(in_force)
        if wanted == in_force:
            return 0
        take(wanted, change)
        return 1

    def _wanted(self, in_force: PilotSettings | None) -> tuple[PilotSettings, PilotChanged]:
        """The settings to be in force, and the change that led there."""
        reading = self._store.read() if self._store is not None else None
        if reading is None or (reading.state.version == 0 and not reading.trouble):
            wanted = self._initial if reading is None else reading.pilot
            return wanted, PilotChanged(
                actor=START, reason="the settings of the run", before=in_force, after=wanted, version=0
            )
        wanted, version = reading.pilot, reading.state.version
        last = reading.state.changes[-1] if reading.state.changes else None
        if reading.trouble or last is None or last.after != wanted:
            return wanted, PilotChanged(
                actor="policy store", reason=reading.trouble or "as stored", before=in_force, after=wanted,
                version=version,
            )
        return wanted, PilotChanged(
            actor=last.actor, reason=last.reason, before=in_force, after=wanted, version=version
        )


def pilot_line(piloting: RLv3LiveOrchestrator) -> str:
    """What the pilot of a running system does, in a sentence; empty without one."""
    totals = piloting.totals
    if totals is None:
        return ""
    mode = piloting.stance.mode.value
    if piloting.failed:
        return f"{mode}, but not asked any more since it failed: {piloting.failed}"
    return _said(mode, piloting.identity, totals.decisions, totals.trades)


def saved_pilot(engine: Mapping[str, Any]) -> str:
    """The same of an engine's saved state."""
    saved = engine.get("piloting", {})
    if not saved.get("parts"):
        return ""
    source, _, shadows = saved["parts"]
    mode = msgspec.convert(saved["settings"], PilotSettings).mode_in_force.value
    decisions, trades = shadows["totals"][:2]
    return _said(mode, source.get("identity", ""), decisions, trades)


def _said(mode: str, identity: str, decisions: int, trades: int) -> str:
    return f"{mode}, model {identity[:12]}, {decisions:,} decisions, {trades:,} shadow trades ended"
