"""The embargo never lets a bar of a test, or one near it, into training."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.pilot.folds import Range, embargo_ns, folds_of, is_after_training
from quantum_trader.pilot.settings import ObservationSettings


@given(
    train_days=st.integers(1, 900), gap_days=st.integers(0, 60), test_days=st.integers(1, 900),
    count=st.integers(1, 12), interval=st.sampled_from(("5m", "30m", "1h", "4h")), holding=st.integers(1, 1000),
    first=st.integers(0, 20_000),
)
def test_no_bar_of_a_test_is_trained_on(
    train_days: int, gap_days: int, test_days: int, count: int, interval: str, holding: int, first: int
) -> None:
    """Each training ends an embargo before its test, the tests follow one another and cover the whole range."""
    embargo = embargo_ns(ObservationSettings(interval=interval), holding)
    start = first * NS_PER_DAY
    train = Range(from_ns=start, until_ns=start + train_days * NS_PER_DAY)
    begin = train.until_ns + gap_days * NS_PER_DAY
    test = Range(from_ns=begin, until_ns=begin + test_days * NS_PER_DAY)
    try:
        folds = folds_of(train, test, count, embargo)
    except ConfigError:
        return  # too short, and said so

    assert len(folds) == count
    assert (folds[0].test.from_ns, folds[-1].test.until_ns) == (test.from_ns, test.until_ns)
    for fold in folds:
        assert fold.train.from_ns == train.from_ns
        assert fold.train.from_ns < fold.train.until_ns <= fold.test.from_ns - embargo
        assert is_after_training(fold.train.until_ns, embargo, fold.test)
        assert not is_after_training(fold.test.from_ns - embargo + 1, embargo, fold.test)
    for before, after in pairwise(folds):
        assert before.test.until_ns == after.test.from_ns
        assert before.train.until_ns < after.train.until_ns
    assert folds[0].train.until_ns <= train.until_ns


@pytest.mark.parametrize(
    ("interval", "holding", "least_hours"), [("30m", 336, 100 + 168), ("5m", 1, 60), ("4h", 6, 824)]
)
def test_embargo_covers_the_longest_window_and_the_longest_holding(
    interval: str, holding: int, least_hours: int
) -> None:
    """200 observed bars or the regime's 60 hours, and the holding; in whole days."""
    found = embargo_ns(ObservationSettings(interval=interval), holding)

    assert found % NS_PER_DAY == 0
    assert least_hours * NS_PER_HOUR <= found < least_hours * NS_PER_HOUR + 2 * NS_PER_DAY


def test_a_test_before_the_end_of_the_training_is_refused() -> None:
    """The ranges may touch and not overlap."""
    train = Range(from_ns=0, until_ns=100 * NS_PER_DAY)
    test = Range(from_ns=train.until_ns - 30 * NS_PER_MINUTE, until_ns=200 * NS_PER_DAY)

    with pytest.raises(ConfigError, match="must not begin before the training ends"):
        folds_of(train, test, 1, NS_PER_DAY)


def test_too_little_to_train_on_is_refused() -> None:
    """What the embargo leaves must be a training."""
    train = Range(from_ns=0, until_ns=15 * NS_PER_DAY)
    test = Range(from_ns=train.until_ns, until_ns=100 * NS_PER_DAY)

    with pytest.raises(ConfigError, match="embargo of 12 days"):
        folds_of(train, test, 1, 12 * NS_PER_DAY)
