"""Confidences are calibrated on held-out bars, and stay near 0.5 on a random walk."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.signals import columns as c
from quantum_trader.signals.calibration import POOL_CELLS, POOL_SIZE, calibrated, learn_cell, score_bin
from quantum_trader.signals.ensemble import emitted, pooled
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.models import MODEL_COUNT
from quantum_trader.signals.settings import SignalSettings

from .conftest import HALF_HOUR, Market, random_market

EDGES = np.array([0.5, 0.51, 0.52, 0.53, 0.54, 0.56, 0.60, 1.0])


def confidences_and_hits(market: Market, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From moment *start*: confidence, whether the direction was right, and whether it was a signal."""
    out = SignalKernel(market.symbols, market.interval_ns).advance_all(market.ts, market.ohlcv, market.present)
    horizon = SignalSettings().horizon_bars(market.interval_ns)
    close = out[..., c.CLOSE]
    moved = close[horizon:] - close[:-horizon]
    up = out[:-horizon, :, c.UP_PROBABILITY]
    use = market.present[:-horizon] & (up != 0.5) & (moved != 0.0)
    use[:start] = False
    right = ((moved > 0.0) == (up > 0.5))[use]
    return np.maximum(up, 1.0 - up)[use], right, out[:-horizon, :, c.SIGNAL][use] != 0.0


@pytest.fixture(scope="module")
def held_out(bundled: Market) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bundled recording's second year; settings were chosen on its first."""
    return confidences_and_hits(bundled, bundled.ts.shape[0] // 2)


def test_confidence_is_reliable_on_held_out_bars(held_out: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The mean distance of stated and observed rates, over bins, is under 2.5 points; no large bin is off by over 6."""
    confidence, right, _ = held_out
    place = np.digitize(confidence, EDGES)
    errors, shares = [], []
    for k in range(1, len(EDGES)):
        here = place == k
        if here.any():
            errors.append(abs(confidence[here].mean() - right[here].mean()))
            shares.append(here.mean())
            assert here.mean() < 0.05 or errors[-1] < 0.06
    assert float(np.dot(errors, shares)) < 0.025


def test_signals_are_right_more_often_than_a_coin(held_out: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Held-out signals beat one half, and their stated confidence exceeds the observed rate by less than two points."""
    confidence, right, signal = held_out
    assert right[signal].mean() > 0.51
    assert confidence[signal].mean() - right[signal].mean() < 0.02


def test_stated_probabilities_beat_a_coin_in_likelihood(held_out: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Mean log-likelihood gain is above zero: overconfidence would make it negative."""
    confidence, right, _ = held_out
    gain = math.log(2.0) + np.where(right, np.log(confidence), np.log(1.0 - confidence)).mean()
    assert gain > 0.0


def test_without_an_edge_confidence_stays_at_a_coin() -> None:
    """On a random walk the mean confidence is under 0.52 and costs next to nothing in likelihood."""
    market = random_market(12_000, 5, HALF_HOUR, seed=23)
    confidence, right, _ = confidences_and_hits(market, 3000)
    gain = math.log(2.0) + np.where(right, np.log(confidence), np.log(1.0 - confidence)).mean()
    assert confidence.mean() < 0.52
    assert gain > -0.002


def test_an_untouched_cell_says_one_half() -> None:
    """The prior is 0.5, for every model and score."""
    pool = np.zeros(POOL_SIZE)
    assert {calibrated(pool, m, s, 20.0) for m in range(MODEL_COUNT) for s in (-1.0, -0.3, 0.0, 0.7, 1.0)} == {0.5}


def test_a_cell_learns_its_share_and_mirrors_it() -> None:
    """After 300 outcomes, two thirds right, with a prior of 30: (200 + 15) / 330, and the complement for a fall."""
    pool = np.zeros(POOL_SIZE)
    for i in range(300):
        learn_cell(pool, 2, 0.7, 0.0 if i % 3 == 0 else 1.0, 1.0, 1e12)
    expected = 215.0 / 330.0
    assert calibrated(pool, 2, 0.7, 30.0) == pytest.approx(expected)
    assert calibrated(pool, 2, -0.7, 30.0) == pytest.approx(1.0 - expected)
    assert calibrated(pool, 2, 0.1, 30.0) == 0.5
    assert calibrated(pool, 1, 0.7, 30.0) == 0.5


def test_old_outcomes_fade() -> None:
    """After a thousand outcomes of the other kind the first hundred hardly count."""
    pool = np.zeros(POOL_SIZE)
    for _ in range(100):
        learn_cell(pool, 0, 0.9, 1.0, 1.0, 100.0)
    for _ in range(1000):
        learn_cell(pool, 0, 0.9, 0.0, 1.0, 100.0)
    assert pool[POOL_CELLS + 2 * score_bin(0.9)] < 0.01


@pytest.mark.parametrize(("score", "cell"), [(0.0, 0), (0.199, 0), (-0.2, 1), (0.99, 4), (-1.0, 4)])
def test_score_cells(score: float, cell: int) -> None:
    """Five cells by size, the sign apart."""
    assert score_bin(score) == cell


def test_models_without_gain_have_no_weight() -> None:
    """Six models at 0.9 P(up) without gain: the pool is 0.5; one with gain: it stays below that one's vote."""
    votes = np.full(MODEL_COUNT, 0.9)
    pool = np.zeros(POOL_SIZE)
    assert pooled(pool, votes, 0, 0.001)[0] == 0.5
    pool[POOL_CELLS - 1] = 0.05  # the last model's gain
    up, consensus = pooled(pool, votes, 0, 0.001)
    assert 0.85 < up < 0.9
    assert consensus == 1.0


@pytest.mark.parametrize(
    ("up", "last", "since", "expected"),
    [
        (0.53, 0, 99, 1), (0.47, 0, 99, -1), (0.505, 0, 99, 0), (0.495, 0, 99, 0),  # the edge is 0.51
        (0.53, 1, 7, 0), (0.53, 1, 8, 1), (0.47, 1, 0, -1), (0.5, 0, 99, 0),  # cool-down 8, another direction is news
    ],
)
def test_emission(up: float, last: int, since: int, expected: int) -> None:
    """A signal needs an edge, and a new direction or a finished cool-down."""
    assert emitted(up, 0.51, last, since, 8) == expected


def test_quality_starts_at_a_half_and_follows_outcomes(bundled: Market) -> None:
    """It is one number for all symbols, stays in 0..1, and moves once outcomes are known."""
    some = bundled.rows(0, 4000)
    out = SignalKernel(some.symbols, HALF_HOUR).advance_all(*some[:3])
    quality = out[..., c.QUALITY]
    assert quality[0, 0] == 0.5
    assert (quality == quality[:, :1]).all()
    assert (quality >= 0.0).all()
    assert (quality <= 1.0).all()
    assert quality[-1, 0] != 0.5


@pytest.mark.parametrize(
    ("key", "value"),
    [("edge", 0.4), ("edge", 1.0), ("horizon_hours", 0.0), ("decision_minutes", 7), ("prior_outcomes", 0.0),
     ("learning_rate", float("nan"))],
)
def test_settings_out_of_range_name_their_key(key: str, value: float) -> None:
    """Each bad setting is refused by name."""
    with pytest.raises(ValueError, match=key):
        SignalSettings(**{key: value})  # type: ignore[arg-type]
