"""Walk-forward folds: a training range, an embargo, a test range; no bar of a test is ever trained on."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, iso
from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.pilot.settings import ObservationSettings

LONGEST_WINDOW_BARS: Final = 200  # of a feature
LONGEST_WINDOW_NS: Final = 60 * NS_PER_HOUR  # of the regime, whatever the observed bars
LEAST_TEST_NS: Final = 10 * NS_PER_DAY
LEAST_TRAINING_NS: Final = 10 * NS_PER_DAY
MOST_FOLDS: Final = 50


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Bars that open at *from_ns* or later and close at *until_ns* or before: both ends belong to it."""

    from_ns: int
    until_ns: int

    @property
    def words(self) -> str:
        """The range as a person reads it."""
        return f"{iso(self.from_ns)[:16]} to {iso(self.until_ns)[:16]}"


class FoldRanges(msgspec.Struct, frozen=True, kw_only=True):
    """One fold."""

    number: int  # from 1
    train: Range
    embargo_ns: int  # at least, between the last close trained on and the first open tested on
    test: Range


def embargo_ns(observation: ObservationSettings, longest_holding_bars: int) -> int:
    """The least time between training and test: the longest window of a feature and the longest holding, whole days."""
    window = max(LONGEST_WINDOW_BARS * observation.length_ns, LONGEST_WINDOW_NS)
    whole = window + longest_holding_bars * observation.length_ns
    return -(-whole // NS_PER_DAY) * NS_PER_DAY


def folds_of(train: Range, test: Range, count: int, embargo: int) -> tuple[FoldRanges, ...]:
    """Cut *test* into *count* equal parts; each is trained for on everything from the start of *train* on.

    The first training ends with *train*, a later one goes on to its test; all of them end an *embargo* (ns) before
    their test begins. Raises ConfigError where the ranges are too short or the test does not follow the training.
    """
    if not (type(count) is int and 1 <= count <= MOST_FOLDS):
        raise ConfigError(f"folds = {brief(count)}: must be a whole number from 1 to {MOST_FOLDS}")
    if test.from_ns < train.until_ns:
        raise ConfigError(
            f"test from {iso(test.from_ns)}: must not begin before the training ends ({iso(train.until_ns)})"
        )
    part = (test.until_ns - test.from_ns) // count // NS_PER_DAY * NS_PER_DAY
    if part < LEAST_TEST_NS:
        raise ConfigError(
            f"folds = {count}: a test would have {max(part, 0) // NS_PER_DAY} days, at least "
            f"{LEAST_TEST_NS // NS_PER_DAY} are needed; take fewer folds or a longer test"
        )
    found = []
    for number in range(count):
        first = test.from_ns + number * part
        last = test.until_ns if number == count - 1 else first + part
        end = min(first - embargo, train.until_ns) if number == 0 else first - embargo
        if end - train.from_ns < LEAST_TRAINING_NS:
            raise ConfigError(
                f"train from {iso(train.from_ns)}: less than {LEAST_TRAINING_NS // NS_PER_DAY} days are left before "
                f"the embargo of {embargo // NS_PER_DAY} days; give a longer training range"
            )
        found.append(FoldRanges(
            number=number + 1, train=Range(from_ns=train.from_ns, until_ns=end), embargo_ns=embargo,
            test=Range(from_ns=first, until_ns=last),
        ))
    return tuple(found)


def is_after_training(last_trained_ns: int, embargo: int, test: Range) -> bool:
    """Whether *test* begins an *embargo* after the last close that was trained on, or later."""
    return test.from_ns >= last_trained_ns + embargo
