"""The pilot of a run: its model, and its settings as the policy store has them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.runs.kept_models import PILOT_FOLDER, KeptModels
from quantum_trader.app.runs.models_in_force import models_in_force, saved_pilot_id
from quantum_trader.app.runs.pilot_store import risk_profile_of
from quantum_trader.app.runs.registries import followed_pilot, open_registry, registered_pilot
from quantum_trader.app.settings import PilotOptions, RunSettings
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.pilot_settings import LIMITS, PilotSettings
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.pilot_shadows import PilotTotals
from quantum_trader.engine.pilot_stance import HYBRID_CONSENSUS, HYBRID_RL, RL_PRIMARY
from quantum_trader.engine.piloting import RLv3LiveOrchestrator
from quantum_trader.models.loading import REGISTRY_PREFIX
from quantum_trader.pilot.artefact import CARD_FILE, Artefact, load_artefact, save_artefact
from quantum_trader.pilot.predictor import Predictor
from quantum_trader.policy.evidence import look_for
from quantum_trader.policy.pilot_evidence import (
    PilotEvidence,
    PilotRules,
    demotion_reason,
    drawdown_of,
    weigh_pilot,
)
from quantum_trader.policy.policy_store import PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE, StoreReading

BUNDLED: Final = "bundled"
START: Final = "start"  # who put the first settings of a run into force
_TRADES: Final = (PilotMode.PRIMARY, PilotMode.HYBRID)
_RETRY_S: Final = 60.0  # between two tries to tell a store that refuses
_log: Final = logging.getLogger(__name__)


def bundled_folder() -> Path:
    """Folder of the trained pilot that comes with the program."""
    return Path(str(files("quantum_trader").joinpath("data", "pilot")))


PILOT_OWNED: Final = (RL_PRIMARY, HYBRID_RL, HYBRID_CONSENSUS)  # sources of trades that are or may be the pilot's


def keep_artefact(folder: Path, artefact: Artefact, *, begun: bool = False) -> None:
    """Keep the model of a run in its state *folder*, so that the run can be continued, explained and replayed alone.

    StateError where a run has *begun* there with another model, which is the one that its records are of.
    """
    if begun and models_in_force(folder).pilot == artefact.card.identity:
        return
    kept = folder / PILOT_FOLDER
    there = load_artefact(kept).card.identity if (kept / CARD_FILE).exists() else ""
    if there == artefact.card.identity:
        return
    if begun and there:
        raise StateError(
            f"pilot.model: the run in {folder} was begun with model {there[:12]}, not with "
            f"{artefact.card.identity[:12]}; give that model ({kept}), or start a new --state folder"
        )
    save_artefact(kept, artefact)


def artefact_of(options: PilotOptions) -> Artefact | None:
    """The trained pilot that *options* name; None where they name none.

    Raises DataError for a damaged folder or a model that its registry refuses, ConfigError for a model that is not for
    this program.
    """
    if not options.model:
        return None
    if options.model.startswith(REGISTRY_PREFIX):
        return registered_pilot(options.model, options.registry)
    return load_artefact(bundled_folder() if options.model == BUNDLED else Path(options.model))


def pilot_store(folder: Path, settings: RunSettings) -> PolicyStore:
    """The policy store of the run in *folder*; a new one begins with what the run's *settings* say of the pilot."""
    store = PolicyStore(folder / STORE_FILE, risk_profile=risk_profile_of(settings))
    initial, reading = settings.pilot.settings, store.read()
    if initial != PilotSettings() and reading.state.version == 0 and not reading.trouble:
        store.change(
            msgspec.structs.asdict(initial), seen_version=0, actor=START, reason="the settings of the run"
        )
    return store


class DemotionWatch:
    """Looks once a day whether a pilot that trades has broken a limit.

    What counts begins when the mode was put into force. The engine's state knows when that was, so a restart changes
    nothing.
    """

    def __init__(self) -> None:
        self._looked_at = ("", -1)  # model, and its days on record, at the newest look
        self._evidence: PilotEvidence | None = None  # of that look
        self._look = -1

    def reason(self, engine: Engine) -> str:
        """Why the pilot has to stop trading; empty where it may go on or does not trade."""
        piloting, totals = engine.piloting, engine.piloting.totals
        mode, since_ns = piloting.stance.mode, piloting.tenure.mode_since_ns
        looked_at = piloting.identity, len(totals.days) if totals is not None else 0
        if totals is None or mode not in _TRADES or looked_at == self._looked_at:
            return ""
        self._looked_at = looked_at
        since = [day for day in totals.days if day.start_ns + NS_PER_DAY > since_ns]
        if not since:
            return ""
        results = [day.hybrid - day.signals if mode is PilotMode.HYBRID else day.pilot for day in since]
        equity = max(engine.account.equity, 1.0)
        own = [
            trade.pnl / equity for trade in engine.records.tally.trades
            if trade.model in PILOT_OWNED and trade.exit_ns >= since_ns
        ]
        return demotion_reason(
            self._weighed(totals, piloting.identity), mode, promoted_model=piloting.tenure.promoted,
            shadow_drawdown=drawdown_of(results), real_drawdown=drawdown_of(own),
        )

    def _weighed(self, totals: PilotTotals, model: str) -> PilotEvidence:
        """The evidence of all days; between two looks it says nothing new."""
        look, _, _ = look_for(len([day for day in totals.days if day.tells]), PilotRules().min_days)
        if self._evidence is None or self._evidence.model != model or look != self._look:
            self._evidence, self._look = weigh_pilot(totals.days, totals.trades, model=model), look
        return self._evidence


class RunPilot:
    """The pilot of one run: its model, its settings as the policy store has them, and the watch over its limits.

    Without a store, those settings hold that the run began with. Raises what :func:`artefact_of` raises, and
    ConfigError where the run's bars do not make the model's own.
    """

    def __init__(
        self, settings: RunSettings, symbols: Sequence[str], interval_ns: int, folder: Path | None = None
    ) -> None:
        """*folder*: the run's state folder. Where a run that follows an alias has begun there, its model goes on."""
        self._settings, self._initial = settings, settings.pilot.settings
        self.followed = followed_pilot(settings.pilot.model)
        in_force = models_in_force(folder).pilot if folder is not None and self.followed is not None else ""
        self.artefact = (
            KeptModels(folder).pilot(in_force) if folder is not None and in_force else artefact_of(settings.pilot)
        )
        self.found_by: dict[str, Any] = {}  # the alias that a run which begins now has found its model by
        if self.followed is not None and not in_force:
            self.found_by = self.followed.moved_by(open_registry(settings.pilot.registry), self.identity)
        self.source = self._predictor(symbols, interval_ns)
        self._store: PolicyStore | None = None
        self._watch = DemotionWatch()
        self._demoted = ""  # why it was put back into SHADOW
        self._held_version: int | None = None  # of the store, where it could not be told that; None: nothing is held
        self._retry_s = 0.0

    def _predictor(self, symbols: Sequence[str], interval_ns: int) -> Predictor | None:
        """The model over the symbols of the run."""
        if self.artefact is None:
            return None
        try:
            return Predictor(self.artefact, symbols, interval_ns)
        except ConfigError as error:
            name = self.artefact.card.name
            raise ConfigError(f"pilot.model: the model {name!r} cannot see these bars: {error}") from None

    @property
    def identity(self) -> str:
        """The model's; empty without one."""
        return self.artefact.card.identity if self.artefact is not None else ""

    def keep_in(self, folder: Path, *, begun: bool) -> None:
        """Keep the model in the state *folder*, and read the settings from the store there from now on.

        *begun*: a run is continued there. StateError where that was begun with another model.
        """
        if self.artefact is not None:
            keep_artefact(folder, self.artefact, begun=begun)
            self._store = pilot_store(folder, self._settings)

    def look(
        self, engine: Engine, take: Callable[[PilotChanged], None], *, begins: bool = False
    ) -> int:
        """Hand *take* the change to settings that are not in force yet; returns how many times.

        A pilot that has broken a limit is put back into SHADOW first. *begins*: nothing is in force yet.
        """
        if self.artefact is None:
            return 0
        if reason := self._watch.reason(engine):
            self._demote(reason)
        in_force = None if begins else engine.piloting.stance.settings
        change = self._change(in_force)
        if change.after == in_force:
            return 0
        take(change)
        return 1

    def _demote(self, reason: str) -> None:
        self._demoted = reason
        if self._store is None:
            self._initial = msgspec.structs.replace(self._initial, mode=PilotMode.SHADOW)
        else:
            self._held_version = self._store.read().state.version
            self._write_demotion(self._store)

    def _write_demotion(self, store: PolicyStore) -> None:
        """Put SHADOW into the store; where that fails it is in force all the same, and tried again later."""
        try:
            store.change({"mode": "SHADOW"}, seen_version=None, actor=LIMITS, reason=self._demoted)
        except (StateError, OSError) as error:
            _log.error("the pilot is back in SHADOW (%s), and the store cannot be told: %s", self._demoted, error)
            self._retry_s = time.monotonic() + _RETRY_S
        else:
            self._held_version = None

    def _held_back(self, store: PolicyStore, reading: StoreReading) -> PilotSettings:
        """What the store says, but SHADOW where it could not be told so; a later change of the mode there ends that."""
        wanted = reading.pilot
        if self._held_version is None:
            return wanted
        later = {name for one in reading.state.changes_after(self._held_version) for name in one.fields}
        if later & {"mode", "enabled"} or wanted.mode_in_force not in _TRADES:
            self._held_version = None
            return wanted
        if time.monotonic() >= self._retry_s:
            self._write_demotion(store)
        return msgspec.structs.replace(wanted, mode=PilotMode.SHADOW)

    def _change(self, in_force: PilotSettings | None) -> PilotChanged:
        """The change that leads from the settings *in_force* to those that should be."""
        reading = self._store.read() if self._store is not None else None
        if reading is None or (reading.state.version == 0 and not reading.trouble):
            wanted = self._initial if reading is None else reading.pilot
            by, why = (LIMITS, self._demoted) if self._demoted else (START, "the settings of the run")
            return PilotChanged(actor=by, reason=why, before=in_force, after=wanted, version=0)
        version = reading.state.version
        wanted = self._held_back(self._store, reading) if self._store is not None else reading.pilot
        last = reading.state.changes[-1] if reading.state.changes else None
        if wanted != reading.pilot:
            return PilotChanged(
                actor=LIMITS, reason=self._demoted, before=in_force, after=wanted, version=version
            )
        if reading.trouble or last is None or last.after != wanted:
            return PilotChanged(
                actor="policy store", reason=reading.trouble or "as stored", before=in_force, after=wanted,
                version=version,
            )
        return PilotChanged(
            actor=last.actor, reason=last.reason, before=in_force, after=wanted, version=version
        )


def pilot_line(piloting: RLv3LiveOrchestrator) -> str:
    """What the pilot of a running system does, in a sentence; empty without one."""
    totals = piloting.totals
    if totals is None:
        return ""
    mode = piloting.stance.mode.value
    if piloting.stance.is_trained_on:
        return f"{mode}: it was trained on the bars of this time, and decides on later ones"
    if piloting.failed:
        return f"{mode}, but not asked any more since it failed: {piloting.failed}"
    return _said(mode, piloting.identity, totals.decisions, len(totals.trades))


def saved_pilot(engine: Mapping[str, Any]) -> str:
    """The same of an engine's saved state."""
    saved = engine.get("piloting", {})
    if not saved.get("parts"):
        return ""
    _, _, shadows = saved["parts"]
    mode = msgspec.convert(saved["settings"], PilotSettings).mode_in_force.value
    return _said(mode, saved_pilot_id(engine), shadows["total_decisions"], len(shadows["ended"]))


def _said(mode: str, identity: str, decisions: int, trades: int) -> str:
    return f"{mode}, model {identity[:12]}, {decisions:,} decisions, {trades:,} shadow trades ended"
