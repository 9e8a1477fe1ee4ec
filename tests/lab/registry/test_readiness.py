"""A champion must meet the conditions of its kind; what is passed over is recorded with who and why."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.lab.learning.made_evidence import SPAN_NS, made_evidence, made_samples
from tests.lab.registry.made_registry import NOON, never
from tests.models.learned.made_models import made_artefact, write_folder
from tests.pilot.made_pilot import untrained

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.evidence_file import encode_evidence
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.lab.registry.registry import UnreadyModelError
from quantum_trader.lab.registry.state import decode_registry, encode_registry
from quantum_trader.models.learned.artefact import LINEAR, META_LABEL, SIGNAL, LearnedArtefact
from quantum_trader.pilot.artefact import save_artefact
from quantum_trader.policy.pilot_evidence import SEEDS_COUNT, SEEDS_KEY

SAMPLES = made_samples(1)


def opened(folder: Path) -> ModelRegistry:
    """A registry as the program opens it: with its conditions."""
    return ModelRegistry(folder / "registry", clock=lambda: NOON, pause=never)


def learned(registry: ModelRegistry, folder: Path, strength: float, kind: str = SIGNAL, **changes: Any) -> str:
    """The id of a registered model whose out-of-sample probabilities know the score by *strength* (0: noise)."""
    noise = np.random.default_rng(7).normal(0.0, 1.0, len(SAMPLES["score"]))
    known = strength * SAMPLES["score"] + (1.0 - strength) * noise
    evidence = encode_evidence(made_evidence("", SAMPLES, sigmoid(1.2 * known), **changes))
    card = msgspec.structs.replace(
        made_artefact(LINEAR, kind).card, name=f"{kind} {strength}",
        evidence_hash=hashlib.sha256(evidence).hexdigest(),
    )
    made = LearnedArtefact(card, made_artefact(LINEAR, kind).arrays, evidence)
    return registry.register_model(write_folder(folder / card.name, made), kind).record.model_id


def promote(registry: ModelRegistry, model_id: str, kind: str = SIGNAL, alias: str = "champion", why: str = "") -> Any:
    """Promote as ann; the change that was made."""
    return registry.promote(
        model_id, alias, actor="ann", reason="a test", seen_version=None, kind=kind, without_evidence=why
    ).changes[-1]


@pytest.mark.parametrize("kind", [SIGNAL, META_LABEL])
def test_a_model_that_is_ready_becomes_the_champion(kind: str, tmp_path: Path) -> None:
    """Nothing was passed over, and the history says so by saying nothing."""
    registry = opened(tmp_path)
    change = promote(registry, learned(registry, tmp_path, 1.0, kind), kind, why="never used")
    assert (change.unmet, change.without_evidence) == ((), "")
    assert registry.resolve("champion", kind) == change.after


@pytest.mark.parametrize("kind", [SIGNAL, META_LABEL])
def test_noise_is_refused_with_every_condition_and_promoted_only_with_a_reason(kind: str, tmp_path: Path) -> None:
    """Nothing is changed by a refusal; what is passed over is recorded, and read back."""
    registry = opened(tmp_path)
    noise = learned(registry, tmp_path, 0.0, kind)
    version = registry.state.version
    with pytest.raises(UnreadyModelError, match="is not ready to be the champion: AUC 0") as refused:
        promote(registry, noise, kind)
    assert registry.state.version == version
    assert any("must lie above 0.5" in one for one in refused.value.unmet)
    change = promote(registry, noise, kind, why="a demonstration")
    assert (change.unmet, change.without_evidence) == (refused.value.unmet, "a demonstration")
    assert decode_registry(encode_registry(registry.state)) == registry.state
    with pytest.raises(InputError, match="without_evidence"):
        promote(registry, learned(registry, tmp_path, 0.1, kind), kind, why="two\nlines")


def test_a_challenger_that_is_not_better_than_the_champion_is_refused(tmp_path: Path) -> None:
    """And so is one of older data; the other aliases ask for nothing, nor does a rollback."""
    registry = opened(tmp_path)
    good = learned(registry, tmp_path, 1.0, data_until_ns=SPAN_NS)
    promote(registry, good)
    worse = learned(registry, tmp_path, 0.8, data_until_ns=SPAN_NS - NS_PER_DAY)
    with pytest.raises(UnreadyModelError, match=r"its data end .*significantly worse"):
        promote(registry, worse)
    promote(registry, worse, alias="challenger")
    promote(registry, worse, why="a test of rollbacks")
    registry.rollback("champion", actor="ann", reason="worse", seen_version=None, kind=SIGNAL)
    assert registry.resolve("champion", SIGNAL) == good


def test_the_champion_itself_is_promoted_again_without_a_question(tmp_path: Path) -> None:
    """It changes nothing."""
    registry = opened(tmp_path)
    good = learned(registry, tmp_path, 1.0)
    promote(registry, good)
    before = registry.state
    promote(registry, good)
    assert registry.state == before


@pytest.mark.parametrize(("metrics", "told"), [
    ({}, "seeds_lower_quartile_sharpe in the model's card: not stated"),
    ({SEEDS_KEY: -0.4, SEEDS_COUNT: 32.0}, "seeds_lower_quartile_sharpe in the model's card: -0.40, needs above zero"),
    ({SEEDS_KEY: 0.4, SEEDS_COUNT: 1.0}, "seeds in the model's card: 1, needs at least 8"),
    ({SEEDS_KEY: 0.4, SEEDS_COUNT: 32.0}, ""),
])
def test_a_pilot_needs_the_evaluation_of_all_seeds(
    metrics: dict[str, float | None], told: str, tmp_path: Path
) -> None:
    """One that was never evaluated is refused as one whose evaluation was bad."""
    made, registry = untrained(3), opened(tmp_path)
    card = msgspec.structs.replace(made.card, metrics=metrics)
    save_artefact(tmp_path / "pilot", msgspec.structs.replace(made, card=card))
    model_id = registry.register_model(tmp_path / "pilot").record.model_id
    if not told:
        assert promote(registry, model_id, "pilot").after == model_id
        return
    with pytest.raises(UnreadyModelError, match=told):
        promote(registry, model_id, "pilot")
    assert promote(registry, model_id, "pilot", alias="shadow").after == model_id
    assert promote(registry, model_id, "pilot", why="watched in SHADOW").unmet != ()


def test_a_registry_of_before_there_were_conditions_is_read() -> None:
    """Its history has no field for them."""
    old = (
        b'{"schema":1,"seal":"%s","registry":%s}'
    )
    registry = (
        b'{"version":1,"aliases":{"pilot":{"champion":"' + b"a" * 64 + b'"}},"own_key":"","trusted":[],"changes":['
        b'{"version":1,"ts_ns":5,"actor":"ann","reason":"x","action":"promote","kind":"pilot","alias":"champion",'
        b'"before":"","after":"' + b"a" * 64 + b'"}]}'
    )
    seal = hashlib.blake2b(registry, digest_size=16).hexdigest().encode()
    state = decode_registry(old % (seal, registry))
    assert state.changes[0].unmet == ()
