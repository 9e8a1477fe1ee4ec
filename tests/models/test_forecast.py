"""A score becomes a forecast with past data alone, and its confidence is the probability of paying the cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecast import Forecaster, ForecastSettings, duration_ns
from quantum_trader.models.history import Completed

COUNT = 4
ALL = np.ones(COUNT, dtype=np.bool_)
COST = np.full(COUNT, 12.0)
NO_FUNDING = np.zeros(COUNT)


def forecaster(mean: float = 0.0, deviation: float = 0.5, horizon_days: int = 7) -> Forecaster:
    """One of daily bars."""
    prior = ForecastSettings(prior_mean=mean, prior_sd=deviation)
    return Forecaster(COUNT, NS_PER_DAY, horizon_days * NS_PER_DAY, prior)


def bar(closes: np.ndarray, day: int = 0, present: np.ndarray = ALL, skipped: int = 0) -> Completed:
    """A completed day that closed at *closes*."""
    row = np.where(present, closes, np.nan)
    return Completed(day * NS_PER_DAY, np.array([row, row * 1.01, row * 0.99, row, row, row]), present, skipped)


def walk(days: int, edge: float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Closes (days + 1, COUNT) and scores (days, COUNT) whose sign moves the next return by *edge* volatilities."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((days, COUNT))
    returns = 0.03 * (edge * scores + rng.standard_normal((days, COUNT)))
    return 100.0 * np.vstack([np.ones(COUNT), np.cumprod(1.0 + np.clip(returns, -0.5, 0.5), axis=0)]), scores


def run(made: Forecaster, closes: np.ndarray, scores: np.ndarray, cost: np.ndarray = COST) -> np.ndarray:
    """Feed everything; returns the forecasts (days, COUNT, FORECAST_SIZE)."""
    rows = []
    for day in range(len(scores)):
        made.learn(bar(closes[day], day))
        made.forecast(scores[day], ALL, cost, NO_FUNDING)
        rows.append(made.out.copy())
    return np.array(rows)


def test_earlier_forecasts_do_not_change_when_the_future_does() -> None:
    """Two markets that are alike for 200 days give the same forecasts for 200 days, to the bit."""
    closes, scores = walk(300, 0.1)
    other_closes, other_scores = closes.copy(), scores.copy()
    other_closes[200:] *= 1.5
    other_scores[200:] = -scores[200:]
    one, other = run(forecaster(), closes, scores), run(forecaster(), other_closes, other_scores)
    np.testing.assert_array_equal(one[:200], other[:200])
    assert not np.array_equal(one[200:], other[200:], equal_nan=True)


@pytest.mark.parametrize("scale", [1e-6, 0.02, 1e5])
def test_the_scale_of_a_score_does_not_matter(scale: float) -> None:
    """A momentum of 0.02 and a z-score of 1 are the same forecast."""
    closes, scores = walk(200, 0.1)
    one, other = run(forecaster(), closes, scores), run(forecaster(), closes, scores * scale)
    np.testing.assert_allclose(one[:, :, : fc.RAW], other[:, :, : fc.RAW], rtol=1e-9)


def test_an_edge_is_learned_and_its_size_is_right() -> None:
    """A true slope of 0.1 volatilities a day per unit of score: the estimate comes within its own error."""
    closes, scores = walk(2000, 0.1)
    made = forecaster(deviation=3.0)
    told = run(made, closes, scores)
    slope = told[-1, :, fc.EXPECTED_DAY] / (np.abs(told[-1, :, fc.SCORE]) * told[-1, :, fc.VOL_DAY])
    error = told[-1, :, fc.ERROR_DAY] / (np.abs(told[-1, :, fc.SCORE]) * told[-1, :, fc.VOL_DAY])
    assert (np.abs(slope - 0.1) < 3.0 * error).all()
    assert (told[-1, :, fc.PRIOR_SHARE] < 0.1).all()
    assert made.outcomes == (2000 - 1 - fc.VOL_BARS) * COUNT


def test_without_outcomes_the_forecast_is_the_prior() -> None:
    """Its share is 1, and a prior of mean 0 has confidence below one half, because of the cost."""
    closes, scores = walk(fc.VOL_BARS + 2)
    told = run(forecaster(), closes, scores)
    assert told[fc.VOL_BARS, :, fc.PRIOR_SHARE] == pytest.approx(1.0)
    assert (told[fc.VOL_BARS, :, fc.CONFIDENCE] < 0.5).all()
    optimistic = run(forecaster(mean=3.0), closes, scores)
    assert (optimistic[fc.VOL_BARS, :, fc.CONFIDENCE] > 0.5).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 40.0), st.floats(-0.2, 0.2))
def test_doubling_the_cost_never_raises_confidence(seed: int, cost: float, edge: float) -> None:
    """Whatever the market, and whatever the prior says."""
    closes, scores = walk(60, edge, seed)
    cheap = run(forecaster(), closes, scores, np.full(COUNT, cost))
    dear = run(forecaster(), closes, scores, np.full(COUNT, 2.0 * cost))
    known = ~np.isnan(cheap[:, :, fc.CONFIDENCE])
    assert (dear[:, :, fc.CONFIDENCE][known] <= cheap[:, :, fc.CONFIDENCE][known]).all()


def test_funding_that_the_target_pays_lowers_confidence_and_funding_received_does_not_raise_it() -> None:
    """A long pays a positive rate; a short receives it, which counts as nothing."""
    closes, _ = walk(40)
    rates = np.array([0.0, 0.0, 0.001, 0.001])
    made = forecaster()
    for day in range(40):
        made.learn(bar(np.full(COUNT, closes[day, 0]), day))
        made.forecast(np.array([1.0, -1.0, 1.0, -1.0]), ALL, COST, rates)
    free_long, free_short, paying, receiving = made.out[:, fc.COST_DAY]
    assert paying == pytest.approx(free_long + 0.003)
    assert receiving == free_short


def test_a_target_is_entered_at_half_a_unit_held_and_left_at_zero_nan_or_a_flip() -> None:
    """The direction as a sequence of scaled scores moves it."""
    path = [(0.4, 0), (0.5, 1), (0.1, 1), (-0.2, 0), (-0.6, -1), (-0.1, -1), (0.7, 1), (0.0, 0), (-0.9, -1),
            (math.nan, 0)]
    before = 0.0
    for score, wanted in path:
        before = fc._next_target(score, before)
        assert before == wanted, score


def test_a_symbol_without_a_bar_keeps_its_target() -> None:
    """No bar is no view that changed."""
    closes, scores = walk(40, 0.2)
    made = forecaster()
    run(made, closes, np.abs(scores) + 1.0)
    before = made.out.copy()
    absent = np.array([False, True, True, True])
    made.learn(bar(closes[40], 40, absent))
    made.forecast(np.full(COUNT, np.nan), absent, COST, NO_FUNDING)
    np.testing.assert_array_equal(made.out[0], before[0])
    assert (made.out[1:, fc.TARGET] == 0.0).all()


def test_a_return_across_a_hole_teaches_nothing() -> None:
    """What happened between two bars that do not follow each other is no outcome of one bar."""
    closes, scores = walk(60)
    made = forecaster()
    run(made, closes, scores)
    known, outcomes = made.memory.copy(), made.outcomes
    made.learn(bar(closes[60] * 3.0, 70, skipped=9))
    assert made.outcomes == outcomes
    np.testing.assert_array_equal(made.memory[:, fc._MEAN_SQUARE], known[:, fc._MEAN_SQUARE])


def test_forecasts_continue_from_their_state() -> None:
    """Cut at any day, the rest is equal to the bit; another prior refuses the state."""
    closes, scores = walk(120, 0.1)
    expected = run(forecaster(), closes, scores)
    first, second = forecaster(), forecaster()
    run(first, closes[:60], scores[:60])
    second.load_state(first.state())
    for day in range(60, 120):
        second.learn(bar(closes[day], day))
        second.forecast(scores[day], ALL, COST, NO_FUNDING)
        np.testing.assert_array_equal(second.out, expected[day])
    with pytest.raises(StateError, match="other symbols, bars, horizon or prior"):
        forecaster(mean=0.25).load_state(first.state())


@pytest.mark.parametrize("text", ["", "d", "7", "7w", "-1d", "0d", "1.5d", "99999d"])
def test_times_that_are_none_are_refused(text: str) -> None:
    """The key, the value and what a time looks like."""
    with pytest.raises(InputError, match=r'horizon = .*must be a time like "12h"'):
        duration_ns(text)


@pytest.mark.parametrize("prior", [(math.nan, 0.5), (9.0, 0.5), (0.0, 0.0), (0.0, math.inf)])
def test_priors_out_of_range_are_refused(prior: tuple[float, float]) -> None:
    """Both numbers have a range."""
    with pytest.raises(InputError, match="prior"):
        ForecastSettings(prior_mean=prior[0], prior_sd=prior[1])


def test_a_hole_of_one_symbol_is_no_return_of_one_bar() -> None:
    """Ten absent days in which the price trebles change neither its volatility nor its range beyond one bar's."""
    closes, scores = walk(60)
    made = forecaster()
    run(made, closes[:41], scores[:40])
    before = made.out[0, fc.VOL_DAY]
    absent = np.array([False, True, True, True])
    for day in range(40, 50):
        made.learn(bar(closes[day], day, absent))
        made.forecast(scores[day], absent, COST, NO_FUNDING)
    grown = closes[50] * np.array([3.0, 1.0, 1.0, 1.0])
    made.learn(bar(grown, 50))
    made.forecast(scores[50], ALL, COST, NO_FUNDING)
    assert made.out[0, fc.VOL_DAY] == before
    assert made.out[0, fc.ATR] < 0.06 * grown[0]


@pytest.mark.parametrize("rate", [math.inf, -math.inf, math.nan])
def test_unknown_funding_costs_too_much_on_both_sides(rate: float) -> None:
    """Neither a long nor a short has confidence then."""
    closes, _ = walk(40)
    made = forecaster(mean=3.0)
    for day in range(40):
        made.learn(bar(closes[day], day))
        made.forecast(np.array([1.0, -1.0, 1.0, -1.0]), ALL, COST, np.full(COUNT, rate))
    assert (made.out[:, fc.COST_DAY] == math.inf).all()
    assert (made.out[:, fc.CONFIDENCE] == 0.0).all()


def test_one_score_beyond_measure_does_not_silence_the_later_ones() -> None:
    """A division by almost zero counts as ten root-mean-squares at most."""
    closes, scores = walk(200)
    scores[100, 0] = 1e200
    told = run(forecaster(), closes, scores)
    assert np.abs(told[150:, :, fc.SCORE]).mean() > 0.4
