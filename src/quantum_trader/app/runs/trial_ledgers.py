"""The trial ledger of a user: where it lies, and what the commands record in it without being asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quantum_trader.app.runs.registries import registry_folder
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.lab.learning.evolution import EVIDENCE_P_VALUE
from quantum_trader.lab.registry.state import ALIASES, PROMOTE
from quantum_trader.lab.sharpe import moments
from quantum_trader.lab.trials.ledger import RecordedTrials, TrialLedger
from quantum_trader.lab.trials.record import SEED, SETTING, Trial, hash_of_values, with_moments
from quantum_trader.lab.trials.summary import BestTrial, PromotedModel, best_on

if TYPE_CHECKING:
    from quantum_trader.app.runs.comparison import Comparison
    from quantum_trader.app.runs.results import RunFacts
    from quantum_trader.app.settings import RunSettings
    from quantum_trader.lab.pilot.training_market import TrainingMarket
    from quantum_trader.lab.pilot.training_plan import TrainingPlan
    from quantum_trader.lab.pilot.training_result import SeedResult
    from quantum_trader.lab.registry import ModelRegistry
    from quantum_trader.lab.sweep.grid import Setting
    from quantum_trader.lab.sweep.sweep import SettingResult

TRIALS_VARIABLE: Final = "QUANTUM_TRADER_TRIALS"  # the folder of the ledger where no option names one
TRIALS_FOLDER: Final = "trials"
SWEEP, COMPARE, RUN, PILOT_TRAIN = "sweep", "compare", "run", "pilot train"
_OF_DATA: Final = ("interval", "symbols", "start", "end")  # settings that the hash of the data covers
_LONGEST_LABEL: Final = 300
Trials = Callable[[], list[Trial]]


def ledger_folder(given: Path | str | None) -> Path:
    """The folder *given*, else the one that QUANTUM_TRADER_TRIALS names, else ``trials`` beside this user's registry.

    One ledger for all runs: what was tried in another folder was tried too.
    """
    named = given or os.environ.get(TRIALS_VARIABLE, "").strip()
    return Path(named) if named else registry_folder(None).parent / TRIALS_FOLDER


def open_trials(given: Path | str | None) -> TrialLedger:
    """The ledger in the folder *given*, or this user's."""
    return TrialLedger(ledger_folder(given))


# ---- a sweep -------------------------------------------------------------------------------------------------------
def sweep_trials(
    settings: RunSettings, results: Sequence[SettingResult], data_hash: str, intents_hash: str = ""
) -> list[Trial]:
    """A trial for each setting of a sweep over the data *data_hash*."""
    shared = _shared(settings, intents_hash)
    models: dict[int, Any] = {}
    found = []
    for one in results:
        setting = one.setting
        if setting.variant not in models:
            models[setting.variant] = _models_of(setting)
        decisive = {**shared, "vector": setting.vector.tolist(), "models": models[setting.variant]}
        found.append(Trial(
            source=SWEEP, kind=SETTING, label=setting.label[:_LONGEST_LABEL], settings_hash=hash_of_values(decisive),
            data_hash=data_hash, settings={"profile": setting.profile, "changes": dict(setting.changes)},
            metrics={"return_pct": one.whole.return_pct, "trades": float(one.whole.trades)},
            **with_moments(one.whole.moments),
        ))
    return found


def _shared(settings: RunSettings, intents_hash: str = "") -> dict[str, Any]:
    """What decides a result beside profile, models and data."""
    shared = settings.effective()
    for key in ("profile", "models"):
        shared.pop(key, None)
    shared["policy"].pop("profile", None)
    shared["data"] = {key: value for key, value in shared["data"].items() if key not in _OF_DATA}
    shared["intents"] = intents_hash
    return shared


def _models_of(setting: Setting) -> list[Any]:
    """What decides the signals of *setting*: each model's fingerprint and parameters."""
    from quantum_trader.models.loading import load_models

    return [
        {"fingerprint": one.fingerprint, "params": msgspec.to_builtins(one.model.params)}
        for one in load_models(setting.models)
    ]


def record_quietly(trials: Trials, given: Path | None, source: str, warn: Callable[[str], None]) -> int:
    """Record what *trials* makes, in the ledger of *given*; returns how many.

    Results are there already: what cannot be recorded is a warning and costs nobody the results.
    """
    ledger = open_trials(given)
    try:
        recorded = ledger.record(trials(), ledger.new_run(source))
    except QuantumTraderError as error:
        warn(f"warning: {error}")
        return 0
    if recorded.repaired:
        warn(f"warning: {recorded.repaired}")
    return recorded.trials


def record_sweep(
    ledger: TrialLedger, settings: RunSettings, results: Sequence[SettingResult], data_hash: str, intents_hash: str = ""
) -> tuple[RecordedTrials, BestTrial | None]:
    """Record a sweep's settings; returns that, and the best trial of all that are on record for these data."""
    recorded = ledger.record(sweep_trials(settings, results, data_hash, intents_hash), ledger.new_run(SWEEP))
    records = [one for one in ledger.read(data_hash).records if one.trial.data_hash == data_hash]
    return recorded, best_on(records)


# ---- a comparison, and a single run --------------------------------------------------------------------------------
def compared_trials(found: Comparison, observed: RunSettings, enforced: RunSettings) -> list[Trial]:
    """A trial for each row of a comparison that traded: the models under *observed*, and each profile *enforced*."""
    from quantum_trader.app.runs.comparison import OBSERVED

    trials = []
    for row in found.rows:
        if row.setting is None:
            continue
        decisive = _decisive(observed if row.key == OBSERVED else enforced, row.setting)
        if found.resume_hours:
            decisive["resume_hours"] = found.resume_hours
        trials.append(Trial(
            source=COMPARE, kind=SETTING, label=f"{row.setting.label}, {row.key}"[:_LONGEST_LABEL],
            settings_hash=hash_of_values(decisive), data_hash=found.recording.fingerprint,
            settings={"profile": row.setting.profile, "row": row.key},
            metrics={"return_pct": row.figures.return_pct, "trades": float(row.figures.trades)},
            **with_moments(moments(row.daily)),
        ))
    return trials


def run_trial(settings: RunSettings, facts: RunFacts, intents_hash: str = "", switches: Sequence[str] = ()) -> Trial:
    """The trial that a replay with *settings* was; *switches* are the models that took over in it."""
    from quantum_trader.app.report.data import daily_returns
    from quantum_trader.lab.sweep.grid import settings_of

    profile = settings.active_profile().name
    made = settings_of([profile], [], settings.policy.profile_directory or None, settings.models)[0]
    decisive = _decisive(settings, made, intents_hash)
    if facts.pilot is not None:
        decisive["pilot_model"] = facts.pilot.model
    if switches:
        decisive["switches"] = list(switches)
    daily = daily_returns(facts.ts_ns, facts.equity)
    return Trial(
        source=RUN, kind=SETTING, label=made.label[:_LONGEST_LABEL], settings_hash=hash_of_values(decisive),
        data_hash=facts.data.fingerprint, settings={"profile": made.profile},
        metrics={
            "return_pct": float(facts.equity[-1] / facts.start_equity - 1.0) * 100.0 if len(facts.equity) else None,
            "trades": float(len(facts.trades)),
        },
        **(with_moments(moments(daily)) if len(daily) > 1 else {"days": len(daily)}),
    )


def _decisive(settings: RunSettings, setting: Setting, intents_hash: str = "") -> dict[str, Any]:
    """What decides the result of one *setting*, as a sweep states it."""
    return {**_shared(settings, intents_hash), "vector": setting.vector.tolist(), "models": _models_of(setting)}


# ---- a training of the pilot ---------------------------------------------------------------------------------------
def seed_trials(plan: TrainingPlan, market: TrainingMarket, results: Sequence[SeedResult] = ()) -> list[Trial]:
    """A trial for each seed of *plan*, with its figures where it is trained."""
    identity = {key: value for key, value in plan.identity().items() if key != "seeds"}
    data = market.material.data
    by_seed = {one.seed: one for one in results}
    found = []
    for seed in plan.seeds:
        trained = by_seed.get(seed)
        found.append(Trial(
            source=PILOT_TRAIN, kind=SEED, label=f"seed {seed} of {plan.steps:,} steps",
            settings_hash=hash_of_values({**identity, "seed": seed}), data_hash=data.content_hash,
            settings={"seed": seed, "steps": plan.steps},
            metrics={} if trained is None else dict(trained.metrics), model_id="" if trained is None else trained.model,
        ))
    return found


def training_run(session: str, folder: Path) -> str:
    """The run of a training in *folder*: the same when it goes on."""
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return f"{PILOT_TRAIN} {session} {place}"


# ---- promoted models -----------------------------------------------------------------------------------------------
def promoted_models(registry: ModelRegistry) -> list[PromotedModel]:
    """Every model that was made champion in *registry*, with the p-value that its record states."""
    ids = dict.fromkeys(
        change.after for change in registry.state.changes if change.action == PROMOTE and change.alias == ALIASES[0]
    )
    return [PromotedModel(model_id=model_id, p_value=_p_value_of(registry, model_id)) for model_id in ids]


def _p_value_of(registry: ModelRegistry, model_id: str) -> float | None:
    """The p-value in the record of the model; None where it states none or cannot be read."""
    try:
        record = registry.verify_model(model_id).record
    except QuantumTraderError:
        return None
    value = None if record is None else record.metrics.get(EVIDENCE_P_VALUE)
    return value if value is not None and 0.0 <= value <= 1.0 else None
