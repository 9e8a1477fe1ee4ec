"""Features that know the future are found, and honest ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.leakage_checks import (
    check_feature_times,
    check_recorded,
    check_single_features,
    check_truncation,
)

NAMES = ("past_return", "next_return", "smoothed")


def made(count: int = 1_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closes, features of every bar (the second and third of them peek), and labels: whether the next bar rises."""
    rng = np.random.default_rng(1)
    returns = rng.normal(size=count + 1)
    closes = np.cumsum(returns)
    past, following = returns[:-1], returns[1:]
    smoothed = np.convolve(closes, np.ones(5) / 5.0, "same")[:-1]  # centred: two bars of the future
    return closes, np.stack((past, following, smoothed), axis=1), (following > 0.0).astype(float)


def test_a_feature_later_than_the_decision_is_found() -> None:
    """By its stated time; one of the same moment is honest."""
    decisions = np.arange(5) * NS_PER_MINUTE
    times = np.stack((decisions, decisions + NS_PER_MINUTE, decisions - 1), axis=1)
    found = check_feature_times(NAMES, times, decisions)
    assert [one.feature for one in found] == ["next_return"]
    assert found[0].value == NS_PER_MINUTE
    assert "in 5 of 5 samples" in found[0].told


def test_a_feature_that_changes_without_the_future_is_found() -> None:
    """Computed again on truncated data, the peeking two are others; the honest one is the same."""
    closes, features, _ = made()

    def recompute(row: int) -> np.ndarray:
        known = closes[: row + 1]
        step = np.diff(known, prepend=0.0)
        return np.array([step[-1], np.nan, np.convolve(known, np.ones(5) / 5.0, "same")[-1]])

    found = check_truncation(NAMES, features, recompute, rows=range(100, 900, 100))
    assert [one.feature for one in found] == ["next_return", "smoothed"]
    assert "differs in 8 of 8 samples" in found[1].told


def test_missing_values_and_rounding_are_no_leak() -> None:
    """NaN there and here, and a difference of one part in 10^12."""
    features = np.array([[np.nan, 1.0], [2.0, 3.0]])
    assert check_truncation(("a", "b"), features, lambda row: features[row] * (1.0 + 1e-12), rows=[0, 1]) == ()


def test_a_feature_that_was_not_recorded_at_the_decision_is_found() -> None:
    """A record behind its result's, and a value that another record of the decision contradicts; NaN is NaN."""
    features = np.array([[0.5, 7.0], [np.nan, 7.0], [0.7, 7.0]])
    honest = {"confidence": features[:, 0].copy()}
    order = np.array([[1, 9], [2, 8], [3, 4]])

    assert check_recorded(("confidence", "adx"), features, honest, order) == ()
    other = {"confidence": np.array([0.5, np.nan, 0.6])}
    (found,) = check_recorded(("confidence", "adx"), features, other, order)
    assert (found.feature, found.value) == ("confidence", 1.0)
    assert "0.7 in the training data and 0.6 in the other records" in found.told
    (late,) = check_recorded(("confidence", "adx"), features, honest, order[:, ::-1])
    assert "3 of 3 samples were recorded after their results, the first with record 9 behind record 1" in late.told


def test_a_feature_that_alone_knows_the_outcome_is_found() -> None:
    """The next return ranks the outcomes without error; the reverse of it too."""
    _, features, labels = made()
    found = check_single_features(NAMES, features, labels)
    assert [(one.feature, one.value) for one in found] == [("next_return", 1.0)]
    assert check_single_features(NAMES, -features, labels)[0].value == 0.0


def test_an_honest_signal_is_not_suspected() -> None:
    """An AUC of 0.76, far above anything a market gives, passes; fewer than 100 samples say nothing."""
    rng = np.random.default_rng(2)
    score = rng.normal(size=5_000)
    labels = (rng.random(5_000) < 1.0 / (1.0 + np.exp(-1.2 * score))).astype(float)
    assert check_single_features(("x",), score[:, None], labels) == ()
    assert check_single_features(("x",), labels[:99, None], labels[:99]) == ()


def test_nothing_looked_at_is_no_check() -> None:
    """InputError without a row."""
    with pytest.raises(InputError, match="rows"):
        check_truncation(("a",), np.zeros((3, 1)), lambda row: np.zeros(1), rows=[])
