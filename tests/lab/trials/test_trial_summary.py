"""What the number of trials means: the published deflation, raw and distinct, and promoted models."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.lab.trials.made_trials import made_trial

from quantum_trader.lab.sharpe import expected_best_sharpe
from quantum_trader.lab.trials.record import TrialRecord
from quantum_trader.lab.trials.summary import PromotedModel, best_on, judge_promotions, summarise, summary_sentences


def published_records() -> list[TrialRecord]:
    """100 trials whose ratios have the variance of the example of Bailey and Lopez de Prado (2014); the best is theirs.

    Five years of 250 days, annual ratio 2.5, variance of the annual ratios 1/2, skew -3, kurtosis 10.
    """
    best, variance = 2.5 / math.sqrt(250.0), 0.5 / 250.0
    others = np.linspace(-1.0, 1.0, 99)

    def ratios(scale: float) -> np.ndarray:
        return np.append(scale * others, best)

    low, high = 0.0, 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if ratios(middle).var(ddof=1) < variance else (low, middle)
    return [
        TrialRecord(ts_ns=0, run="r", trial=made_trial(
            number, sharpe=float(ratio), days=1250, skew=-3.0, kurtosis=10.0
        ))
        for number, ratio in enumerate(ratios(low))
    ]


def test_the_best_of_a_hundred_is_deflated_as_published() -> None:
    """0.9004 after 100 trials; the ratio expected by chance is 0.1132 a day."""
    found = best_on(published_records())
    assert found is not None
    assert (found.raw_trials, found.distinct_trials) == (100, 100)
    assert found.expected_best / math.sqrt(365.0) == pytest.approx(0.1132, abs=5e-5)
    assert found.deflated == pytest.approx(0.9004, abs=5e-5)


def test_a_sweep_made_twice_counts_twice_raw_and_once_distinct() -> None:
    """The raw number deflates more: it is the conservative one."""
    once = published_records()
    again = [TrialRecord(ts_ns=1, run="s", trial=one.trial) for one in once]
    found = best_on([*once, *again])
    assert found is not None
    assert (found.raw_trials, found.distinct_trials) == (200, 100)
    assert found.deflated < found.deflated_distinct == pytest.approx(0.9004, abs=5e-5)
    assert found.days_needed > 1250.0 * 0.5


def test_the_days_that_would_be_needed() -> None:
    """None is enough for a best trial below what chance gives."""
    rng = np.random.default_rng(1)
    noise = [
        TrialRecord(ts_ns=0, run="r", trial=made_trial(number, sharpe=float(ratio), days=500))
        for number, ratio in enumerate(rng.normal(0.0, 0.05, 300))
    ]
    found = best_on(noise)
    assert found is not None
    variance = float(np.var([one.trial.sharpe for one in noise], ddof=1))
    assert found.expected_best == pytest.approx(expected_best_sharpe(variance, 300) * math.sqrt(365.0))
    assert math.isinf(found.days_needed) or found.days_needed > 500.0
    assert found.deflated < 0.95


def test_counts_by_source_and_data() -> None:
    """Data sets apart, the most tried first; trials without a ratio count too."""
    records = [
        TrialRecord(ts_ns=0, run="a", trial=made_trial(1, sharpe=0.1, days=100)),
        TrialRecord(ts_ns=0, run="b", trial=made_trial(1, sharpe=0.1, days=100)),
        TrialRecord(ts_ns=0, run="c", trial=made_trial(2, data="e" * 64, source="pilot train", kind="seed")),
    ]
    found = summarise(records)
    assert (found.raw, found.distinct) == (3, 2)
    assert [(one.name, one.raw, one.distinct) for one in found.by_source] == [("sweep", 2, 1), ("pilot train", 1, 1)]
    assert [one.name[0] for one in found.by_data] == ["d", "e"]
    assert len(found.best) == 1
    assert "2 distinct" in summary_sentences(found)[0]
    assert "conservative" in " ".join(summary_sentences(found))


def test_one_trial_alone_is_not_deflated() -> None:
    """Its deflated ratio is its probabilistic one."""
    found = best_on([TrialRecord(ts_ns=0, run="a", trial=made_trial(1, sharpe=0.458, days=24))])
    assert found is not None
    assert found.deflated == found.above_zero == pytest.approx(0.982, abs=1e-3)


def test_promoted_models_among_all_trials() -> None:
    """Three of 100 trials with p 0.0005, 0.03 and unknown: one discovery at 10 %, and up to all may be false."""
    found = judge_promotions(
        [PromotedModel(model_id="a", p_value=0.0005), PromotedModel(model_id="b", p_value=0.03),
         PromotedModel(model_id="c")], trials=100,
    )
    assert (found.promoted, found.without_p_value, found.discoveries) == (3, 1, 1)
    assert found.rates == {"a": pytest.approx(0.001), "b": pytest.approx(0.03)}
    assert found.rates_of_all == {"a": pytest.approx(0.05), "b": 1.0}
    assert found.expected_false_share == 1.0


def test_nothing_tried_and_nothing_promoted() -> None:
    """Said as it is."""
    found = summarise([])
    assert summary_sentences(found) == (
        "0 trials on record, 0 distinct, on 0 sets of data.", "No model was promoted.",
    )
    assert math.isnan(found.promotions.expected_false_share)
