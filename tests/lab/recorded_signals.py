"""The signals of a run with all that is on record of them, for tests of what explains them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, PolicySettings, RunSettings
from quantum_trader.engine.decision_inputs import DecisionInputs, recorded_inputs
from quantum_trader.lab.explain.changeable import CHANGEABLE
from quantum_trader.lab.explain.effects import follow, settle
from quantum_trader.lab.explain.kernel import NUMBER, WORD
from quantum_trader.lab.explain.recorded import context_of
from quantum_trader.lab.explain.row import ENFORCED, ERROR_BPS, OWN_CONFIDENCE, SWITCHES, inputs_of
from quantum_trader.lab.explain.search import Decision, DecisionContext
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile, profile_vector

Recorded = tuple[DecisionInputs, DecisionContext, str]
PROFILE = tuple(profile_vector(load_profile("SAFE")))


def settings_of(first: str, last: str, *, enforced: bool = False, **more: Any) -> RunSettings:
    """The bundled recording under the profile SAFE: observed, or with the policy and most gates enforced."""
    if enforced:
        more |= {
            "rollout": OrchestratorIntegrationConfig.create_live_mode_full(),
            "gates": GateSettings(mode="runner", enforced=("volume", "regime", "cost", "confidence")),
        }
    return RunSettings(
        data=DataSettings(start=first, end=last), policy=PolicySettings(profile="SAFE"), **more
    )


def signals_of(path: Path) -> list[Recorded]:
    """Inputs, context and recorded reason of every signal in a file of records."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    with path.open("rb") as handle:
        for line in handle:
            if b'"topic":"signal.' in line[:100]:
                record = msgspec.json.decode(line)
                found[record["trace_id"]][record["topic"]] = record["data"]
    return [
        (recorded_inputs(one["signal.inputs"]), context_of(one, PROFILE), one["signal.decided"]["reason"])
        for one in found.values()
    ]


def recorded(folder: Path, settings: RunSettings) -> list[Recorded]:
    """The signals of a run of *settings*."""
    path = folder / "records.jsonl"
    run(settings, RunOptions(records=path))
    return signals_of(path)


def varied(recorded_one: Recorded, random: np.random.Generator) -> tuple[DecisionInputs, DecisionContext]:
    """A decision like a recorded one, with other switches and gates enforced and some inputs at random values."""
    inputs, context, _ = recorded_one
    base = Decision(inputs, context)
    row = list(base.row)
    if random.random() < 0.5:
        row[SWITCHES:SWITCHES + 6] = random.integers(0, 2, 6).astype(float).tolist()
    if random.random() < 0.7:
        row[ENFORCED] = float(random.integers(0, 64))
    changed = list(row)
    for place in random.choice(len(CHANGEABLE), int(random.integers(1, 7)), replace=False):
        one = CHANGEABLE[place]
        if one.column >= OWN_CONFIDENCE:
            continue  # in place of what settings and policy say
        if one.kind == WORD:
            changed[one.column] = float(random.choice(list(one.words)))
            continue
        before = row[one.column] if np.isfinite(row[one.column]) else one.least
        value = before * np.exp(random.normal(0.0, 1.0)) if random.random() < 0.6 else (
            before + one.least * random.normal(0.0, 30.0)
        )
        value = float(np.clip(value, one.low, one.high))
        changed[one.column] = value if one.kind == NUMBER else float(round(value))
    follow(changed, row)
    settle(changed, row, base.profile)
    features = {**context.features, "error_bps": changed[ERROR_BPS]}
    return inputs_of(changed, inputs), DecisionContext(
        profile=context.profile, features=features, bonus=context.bonus
    )
