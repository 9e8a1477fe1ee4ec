"""Purged folds against the tests of mlfinlab and the book's snippets, and no overlap whatever the labels.

AFML: M. Lopez de Prado, "Advances in Financial Machine Learning" (Wiley, 2018), chapter 7. mlfinlab: the tests of
hudson-and-thames/mlfinlab while it was public, tests/test_cross_validation.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.purged_folds import (
    PurgedFold,
    overlapping,
    purged_k_fold,
    purged_training,
    purged_walk_forward,
)

# mlfinlab's ten labels a minute apart, each known two minutes after its start.
STARTS = np.arange(10)
ENDS = STARTS + 2


@pytest.mark.parametrize(("test", "kept"), [
    ((1, 2), range(3, 10)),  # training that starts within the test
    ((8, 11), range(6)),  # training that ends within it: label 6 ends in the test's first moment and is purged
    ((6, 8), [0, 1, 2, 3, 9]),  # training that envelops it
])
def test_training_left_by_a_test_in_the_published_examples(test: tuple[int, int], kept: object) -> None:
    """test_get_train_times_1 to _3 of mlfinlab, which check AFML snippet 7.1."""
    assert purged_training(STARTS, ENDS, *test).tolist() == list(kept)  # type: ignore[call-overload]


def test_a_label_that_ends_in_the_tests_first_moment_is_purged_and_in_snippet_7_3_it_is_not() -> None:
    """The book's two conventions differ in label 6, which ends at 8 where the test begins."""
    ours = purged_training(STARTS, ENDS, 8, 11)
    snippet_7_3 = np.flatnonzero(ENDS <= 8)
    assert set(snippet_7_3) - set(ours) == {6}


def training_by_snippet_7_3(starts: np.ndarray, ends: np.ndarray, test: np.ndarray, embargo: int) -> list[int]:
    """Training as AFML snippet 7.3 (``PurgedKFold.split``) has it, for labels in order that start at different times.

    Labels known when the test starts, and labels from *embargo* places after the first that starts when or after the
    last test label is known.
    """
    before = np.flatnonzero(ends <= starts[test[0]])
    after = np.searchsorted(starts, ends[test].max()) + embargo
    return [*before.tolist(), *range(int(after), len(starts))]


@pytest.mark.parametrize(("embargo", "ours", "snippet"), [
    (0, [0, 9], [0, 1, 8, 9]), (1, [0], [0, 1, 9]), (2, [0], [0, 1]),
])
def test_a_k_fold_of_snippet_7_3_keeps_labels_that_touch_the_test(
    embargo: int, ours: list[int], snippet: list[int]
) -> None:
    """The second of three folds tests labels 3 to 6, over [3, 8]: ours purges 1, which ends at 3, and 8, which starts.

    Closed spans share that moment, so ours is the stricter one. Its embargo leaves out starts up to 8 + embargo; the
    snippet's counts places from label 8 on.
    """
    fold = purged_k_fold(STARTS, ENDS, 3, embargo)[1]
    assert (fold.test.tolist(), fold.test_from, fold.test_until) == ([3, 4, 5, 6], 3, 8)
    assert fold.train.tolist() == ours
    assert training_by_snippet_7_3(STARTS, ENDS, fold.test, embargo) == snippet
    assert set(ours) <= set(snippet)


def test_the_embargo_follows_the_test() -> None:
    """AFML snippet 7.2 by hand: after a test over [2, 5] an embargo of 2 leaves out labels that start at 6 and 7."""
    assert purged_training(STARTS, ENDS, 2, 5, embargo=2).tolist() == [8, 9]


def test_a_k_fold_tests_each_label_once() -> None:
    """Tests of 3, 4 and 3 labels, known until 4, 8 and 11; training is what they do not overlap."""
    folds = purged_k_fold(STARTS, ENDS, 3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(10))
    assert [fold.train.tolist() for fold in folds] == [[5, 6, 7, 8, 9], [0, 9], [0, 1, 2, 3, 4]]


def test_a_walk_forward_trains_on_the_past_alone() -> None:
    """The first test begins after 40 % of the labels; training ends more than the embargo before it."""
    one, two = purged_walk_forward(np.arange(20), np.arange(20) + 2, 2, embargo=1)
    assert (one.test.tolist(), one.train.tolist(), one.purged) == (list(range(8, 14)), list(range(5)), 3)
    assert (two.test.tolist(), two.train.tolist()) == (list(range(14, 20)), list(range(11)))


def test_the_calibration_lies_between_training_and_test() -> None:
    """The newest quarter of the 27 labels known in time; training ends more than the embargo before it."""
    (fold,) = purged_walk_forward(np.arange(40), np.arange(40) + 1, 1, embargo=2, first_share=0.75,
                                  calibration_share=0.25)
    assert (fold.train[-1], fold.calibration.tolist(), fold.test[0]) == (17, list(range(21, 27)), 30)


def test_training_may_be_bounded() -> None:
    """A longest training of 5 keeps labels that start at most 5 before the test."""
    (fold,) = purged_walk_forward(np.arange(20), np.arange(20), 1, first_share=0.5, longest=5)
    assert fold.train.tolist() == [5, 6, 7, 8, 9]


def test_labels_of_one_moment_stay_together() -> None:
    """Two symbols' labels of one start are in one test."""
    starts = np.repeat(np.arange(10), 2)
    for fold in purged_k_fold(starts, starts, 4):
        inside = set(starts[fold.test].tolist())
        assert not inside & set(starts[fold.train].tolist())


def test_too_many_folds_and_too_long_an_embargo_are_refused() -> None:
    """InputError says what to change."""
    with pytest.raises(InputError, match="folds"):
        purged_k_fold(np.zeros(5), np.zeros(5), 2)
    with pytest.raises(InputError, match="first_share"):
        purged_walk_forward(STARTS, ENDS, 2, embargo=50)


def check_fold(fold: PurgedFold, starts: np.ndarray, ends: np.ndarray, embargo: int, *, past: bool) -> None:
    """No training label shares a moment with the test, and none lies in the embargo."""
    used = np.concatenate((fold.train, fold.calibration))
    assert not set(used.tolist()) & set(fold.test.tolist())
    assert not set(fold.train.tolist()) & set(fold.calibration.tolist())
    assert not overlapping(starts[used], ends[used], fold.test_from, fold.test_until).any()
    if past:
        assert (ends[used] + embargo < starts[fold.test].min()).all()
        if len(fold.calibration):
            assert (ends[fold.train] + embargo < starts[fold.calibration].min()).all()
    else:
        later = used[starts[used] > fold.test_until]
        assert (starts[later] > fold.test_until + embargo).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(2, 5), st.sampled_from([0.0, 0.3]))
def test_no_training_label_overlaps_a_test(seed: int, embargo: int, folds: int, share: float) -> None:
    """Random spans in no order, both kinds of fold."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 500, 200)
    ends = starts + rng.integers(0, 20, 200)
    for fold in purged_k_fold(starts, ends, folds, embargo):
        check_fold(fold, starts, ends, embargo, past=False)
    walked = purged_walk_forward(starts, ends, folds, embargo, calibration_share=share)
    for fold in walked:
        check_fold(fold, starts, ends, embargo, past=True)
    tested = np.concatenate([fold.test for fold in walked])
    assert len(set(tested.tolist())) == len(tested)
