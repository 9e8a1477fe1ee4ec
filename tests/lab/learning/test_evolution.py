"""Models compared, followed and judged ready: what is better is found, and noise is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.lab.learning.made_evidence import SPAN_NS, made_evidence, made_samples

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.lab.learning.calibration import sigmoid
from quantum_trader.lab.learning.evidence_file import LeakageFinding, ModelEvidence
from quantum_trader.lab.learning.evolution import (
    ModelEvolutionTracker,
    ReadinessRules,
    compare_evidence,
    evidence_p_value,
)
from quantum_trader.lab.learning.leakage_checks import LEAKAGE_CHECKS, RECORDED_CHECKS, check_single_features
from quantum_trader.lab.learning.probability_scores import auc_interval, time_blocks
from quantum_trader.lab.learning.trend_line import trend_line
from quantum_trader.models.entry_features import ENTRY_FEATURES_HASH

GOOD, CHAMPION = "a" * 64, "b" * 64


def tracker_of(*evidences: ModelEvidence, champion: str = "", **rules: float) -> ModelEvolutionTracker:
    """A tracker that knows these models."""
    known = {one.model_id: one for one in evidences}

    def evidence_of(model_id: str) -> ModelEvidence:
        if model_id not in known:
            raise DataError(f"model {model_id}: has no evidence")
        return known[model_id]

    return ModelEvolutionTracker(evidence_of, lambda: champion, ReadinessRules(**rules))  # type: ignore[arg-type]


def made_pair(seed: int = 1, noise: float = 2.0) -> tuple[ModelEvidence, ModelEvidence]:
    """A model that knows the score, and a champion that sees it through *noise*, with older data."""
    samples = made_samples(seed)
    blurred = samples["score"] + np.random.default_rng(seed + 1_000).normal(0.0, noise, len(samples["score"]))
    weak = sigmoid(1.2 * blurred / (1.0 + noise * noise))
    return (
        made_evidence(GOOD, samples, sigmoid(1.2 * samples["score"])),
        made_evidence(CHAMPION, samples, weak, data_until_ns=SPAN_NS - NS_PER_DAY),
    )


def test_a_good_model_is_ready_without_a_champion() -> None:
    """AUC 0.77, calibrated, 3,000 samples, no leakage: no blockers."""
    good, _ = made_pair()
    found = tracker_of(good).is_ready_for_hamilton(GOOD)
    assert found.ready, found.blockers
    assert found.blockers == ()


def test_a_better_model_replaces_the_champion() -> None:
    """Newer data and significantly better on the same samples."""
    good, champion = made_pair()
    tracker = tracker_of(good, champion, champion=CHAMPION)
    found = tracker.compare_models(GOOD, CHAMPION)
    assert (found.is_better, found.is_worse, found.samples) == (True, False, 3_000)
    assert found.auc.difference > 0.05
    assert found.log_loss.difference < 0.0
    assert tracker.is_ready_for_hamilton(GOOD).ready
    back = tracker.compare_models(CHAMPION, GOOD)
    assert (back.is_better, back.is_worse) == (False, True)
    assert back.auc.difference == pytest.approx(-found.auc.difference)


@pytest.mark.parametrize(("changes", "name", "told"), [
    ({"data_until_ns": SPAN_NS - 2 * NS_PER_DAY}, "newer_data", "its data end"),
    ({"leakage_checks": ("feature_times",)}, "leakage", "was not checked for leakage by truncation, single_feature"),
    ({"leakage": (LeakageFinding(check="truncation", feature="x", told="x peeks"),)}, "leakage", "x peeks"),
])
def test_each_condition_blocks_by_itself(changes: dict[str, object], name: str, told: str) -> None:
    """The only blocker names what was found."""
    good, champion = made_pair()
    samples = made_samples(1)
    changed = made_evidence(GOOD, samples, good.probabilities, **changes)
    found = tracker_of(changed, champion, champion=CHAMPION).is_ready_for_hamilton(GOOD)
    assert [one.name for one in found.checks if not one.passed] == [name]
    assert told in found.blockers[0]


def test_features_of_a_journal_are_not_said_to_have_been_computed_again() -> None:
    """A meta-label needs the check of when its features were recorded; a stated truncation check of it is none."""
    good, champion = made_pair()
    for checks, told in (
        (RECORDED_CHECKS, "recorded at the decisions, and are not computed again"),
        (LEAKAGE_CHECKS, "was not checked for leakage by recorded_at_decision"),
    ):
        changed = made_evidence(
            GOOD, made_samples(1), good.probabilities, features_hash=ENTRY_FEATURES_HASH, leakage_checks=checks
        )
        found = tracker_of(changed, champion, champion=CHAMPION).is_ready_for_hamilton(GOOD)
        assert found.ready == (checks == RECORDED_CHECKS)
        assert told in {one.name: one.told for one in found.checks}["leakage"]


def test_few_samples_a_low_auc_and_bad_calibration_block() -> None:
    """900 samples; a weak score; probabilities pushed to the ends."""
    few = made_samples(2, 900)
    assert "900 out-of-sample samples" in " ".join(
        tracker_of(made_evidence(GOOD, few, sigmoid(1.2 * few["score"]))).is_ready_for_hamilton(GOOD).blockers
    )
    weak = made_samples(3, 3_000, 0.3)
    names = [one.name for one in tracker_of(made_evidence(GOOD, weak, sigmoid(0.3 * weak["score"])))
             .is_ready_for_hamilton(GOOD).checks if not one.passed]
    assert names == ["auc"]
    sure = made_samples(4)
    names = [one.name for one in tracker_of(made_evidence(GOOD, sure, sigmoid(9.0 * sure["score"])))
             .is_ready_for_hamilton(GOOD).checks if not one.passed]
    assert names == ["ece"]


def test_many_samples_of_one_market_are_not_many() -> None:
    """1,500 labels within six hours: an AUC of 0.77 has no interval, and that blocks."""
    samples = made_samples(5, 1_500)
    starts = np.sort(np.random.default_rng(5).integers(0, 6 * NS_PER_HOUR, 1_500))
    crowded = samples | {"starts_ns": starts, "ends_ns": starts + 8 * NS_PER_HOUR}
    found = tracker_of(made_evidence(GOOD, crowded, sigmoid(1.2 * samples["score"]))).is_ready_for_hamilton(GOOD)
    assert [one.name for one in found.checks if not one.passed] == ["auc_above_chance"]
    assert "blocks of time are too few" in found.blockers[0]


def test_the_same_model_is_not_better_than_itself() -> None:
    """A copy of the champion with newer data: not told apart; the champion itself is not promoted again."""
    good, _ = made_pair()
    samples = made_samples(1)
    copy = made_evidence(CHAMPION, samples, good.probabilities, data_until_ns=SPAN_NS - NS_PER_DAY)
    tracker = tracker_of(good, copy, champion=CHAMPION)
    assert "not told apart" in tracker.is_ready_for_hamilton(GOOD).blockers[0]
    assert tracker.is_ready_for_hamilton(CHAMPION).blockers == ("it is the champion already",)


def test_samples_are_paired_by_what_they_are() -> None:
    """Another order and half of them missing: compared on the common half, with the same result as there."""
    good, champion = made_pair()
    half = np.random.default_rng(3).permutation(3_000)[:1_500]
    arrays = {name: getattr(champion, name)[half] for name in (
        "keys", "probabilities", "labels", "starts_ns", "ends_ns", "weights")}
    samples = {name: arrays[name] for name in ("labels", "starts_ns", "ends_ns")}
    part = made_evidence(CHAMPION, samples, arrays["probabilities"], keys=arrays["keys"], weights=arrays["weights"])
    found = compare_evidence(good, part)
    assert found.samples == 1_500
    direct = auc_interval(good.labels[half], good.probabilities[half]).value - auc_interval(
        arrays["labels"], arrays["probabilities"]).value
    assert found.auc.difference == pytest.approx(direct)


def test_what_the_training_said_of_a_rival_is_used() -> None:
    """Without common samples: the champion's predictions on the new model's samples."""
    good, champion = made_pair()
    later = made_samples(1) | {"starts_ns": good.starts_ns + SPAN_NS, "ends_ns": good.ends_ns + SPAN_NS}
    alone = made_evidence(GOOD, later, good.probabilities, data_until_ns=2 * SPAN_NS)
    with pytest.raises(DataError, match="no out-of-sample sample in common; train one of them again"):
        compare_evidence(alone, champion)
    scored = made_evidence(
        GOOD, later, good.probabilities, data_until_ns=2 * SPAN_NS, rivals={CHAMPION: champion.probabilities}
    )
    assert compare_evidence(scored, champion).is_better
    assert compare_evidence(champion, scored).is_worse


def test_models_with_other_labels_are_not_compared() -> None:
    """DataError says how many samples differ."""
    good, champion = made_pair()
    other = made_samples(1)
    other["labels"] = 1.0 - other["labels"]
    with pytest.raises(DataError, match="3,000 of 3,000 common samples differently"):
        compare_evidence(good, made_evidence(CHAMPION, other, champion.probabilities))


def test_a_model_without_evidence_is_not_ready() -> None:
    """Its own missing file, or the champion's, is a blocker and no error."""
    good, _ = made_pair()
    assert "has no evidence" in tracker_of().is_ready_for_hamilton(GOOD).blockers[0]
    blockers = tracker_of(good, champion=CHAMPION).is_ready_for_hamilton(GOOD).blockers
    assert len(blockers) == 1
    assert "cannot be compared with the champion" in blockers[0]


def noise_evidence(seed: int) -> tuple[ModelEvidence, ModelEvidence]:
    """A model and a champion that know nothing, each with its own noise, on samples in which runs of 20 end alike."""
    rng = np.random.default_rng(seed)
    samples = made_samples(seed, 2_000, 0.0)
    labels = np.repeat(rng.random(100) < 0.5, 20).astype(float)
    made = samples | {"labels": labels}
    slow = [np.repeat(rng.normal(0.0, 0.2, 100), 20) + rng.normal(0.0, 0.2, 2_000) for _ in range(2)]
    older = SPAN_NS - NS_PER_DAY
    return (
        made_evidence(GOOD, made, sigmoid(slow[0])), made_evidence(CHAMPION, made, sigmoid(slow[1]),
                                                                   data_until_ns=older),
    )


def refusals(runs: int, **rules: float) -> tuple[int, int]:
    """How many of *runs* noise models are refused, without a champion and against one."""
    alone = against = 0
    for seed in range(runs):
        model, champion = noise_evidence(seed)
        alone += not tracker_of(model, **rules).is_ready_for_hamilton(GOOD).ready
        against += not tracker_of(model, champion, champion=CHAMPION, **rules).is_ready_for_hamilton(GOOD).ready
    return alone, against


def test_noise_is_refused() -> None:
    """Ten of ten."""
    assert refusals(10) == (10, 10)


@pytest.mark.long
def test_noise_is_refused_in_a_hundred_runs() -> None:
    """At least 95 of 100 by the rules; and with the rule for the AUC taken away, by the interval alone."""
    assert min(refusals(100)) >= 95
    assert min(refusals(100, min_auc=0.0)) >= 95


def test_a_peeking_feature_is_caught() -> None:
    """A model that learned from the outcome itself: by its single feature, and by its own AUC of 1."""
    samples = made_samples(6)
    peek = samples["labels"] + np.random.default_rng(6).normal(0.0, 0.05, 3_000)
    leaked = made_evidence(
        GOOD, samples, np.clip(samples["labels"] * 0.98 + 0.01, 0.0, 1.0),
        leakage=check_single_features(("peek",), peek[:, None], samples["labels"]),
    )
    found = tracker_of(leaked).is_ready_for_hamilton(GOOD)
    assert not found.ready
    assert [one.name for one in found.checks if not one.passed] == ["leakage"]
    assert "peek alone has an AUC of 1.000" in found.blockers[0]
    assert "AUC of 1.000 is not plausible" in found.blockers[0]


def test_the_p_value_of_noise_is_not_small_too_often() -> None:
    """Under 5 % in about 5 % of 200 models on runs that end alike, where DeLong's own would be under it in a third."""
    low = naive = 0
    for seed in range(200):
        model, _ = noise_evidence(seed)
        low += evidence_p_value(model) < 0.05
        naive += auc_interval(model.labels, model.probabilities).low > 0.5
    assert low / 200 < 0.10
    assert naive / 200 > 0.15


def test_a_metric_of_each_day_and_its_line() -> None:
    """A model whose score loses its worth over 200 days: a falling line; too few samples a day have no value."""
    samples = made_samples(7, 20_000)
    fading = 1.6 * (1.0 - samples["starts_ns"] / SPAN_NS) * samples["score"]
    labels = (np.random.default_rng(7).random(20_000) < sigmoid(fading)).astype(float)
    model = made_evidence(GOOD, samples | {"labels": labels}, sigmoid(samples["score"]))
    found = tracker_of(model).trend(GOOD, "auc")
    assert len(found.days_ns) == 200
    assert found.line.high < 0.0
    assert len(tracker_of(model).trend(GOOD, "brier", days=7).values) == 7
    few = tracker_of(made_pair()[0]).trend(GOOD, "auc")
    assert all(math.isnan(one) for one, count in zip(few.values, few.samples, strict=True) if count < 20)
    with pytest.raises(InputError, match="metric"):
        tracker_of(model).trend(GOOD, "sharpe")


def test_the_line_of_known_values() -> None:
    """scipy's linregress of the first five squares: slope 4, p below 1 %."""
    found = trend_line([0, 1, 2, 3, 4], [0.0, 1.0, 4.0, 9.0, 16.0])
    theirs = pytest.importorskip("scipy.stats").linregress([0, 1, 2, 3, 4], [0.0, 1.0, 4.0, 9.0, 16.0])
    assert (found.slope, found.p_value) == pytest.approx((theirs.slope, theirs.pvalue))
    assert math.isnan(trend_line([0, 1], [0.0, 1.0]).slope)


def test_drift_of_predictions_and_features() -> None:
    """The same market: nothing; another one: the prediction and the feature that moved."""
    rng = np.random.default_rng(8)
    samples = made_samples(8)
    reference = rng.normal(size=(2_000, 3))
    model = made_evidence(
        GOOD, samples, sigmoid(samples["score"]), feature_names=("a", "b", "c"), reference_features=reference
    )
    tracker = tracker_of(model)
    calm = tracker.drift(GOOD, sigmoid(rng.normal(size=1_000)), rng.normal(size=(1_000, 3)))
    assert calm.drifted == ()
    moved = rng.normal(size=(1_000, 3))
    moved[:, 1] += 1.0
    assert tracker.drift(GOOD, sigmoid(rng.normal(1.0, 1.0, 1_000)), moved).drifted == ("prediction", "b")
    with pytest.raises(DataError, match="no sample of features"):
        tracker_of(made_pair()[0]).drift(GOOD, np.full(100, 0.5), np.zeros((100, 1)))


def test_blocks_of_made_samples_are_many() -> None:
    """200 days give 60 blocks, so intervals rest on enough."""
    samples = made_samples(1)
    assert 55 <= len(np.unique(time_blocks(samples["starts_ns"], samples["ends_ns"]))) <= 61
