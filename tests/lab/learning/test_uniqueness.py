"""Concurrency, uniqueness and weights against the book's example and the tests of mlfinlab.

AFML: M. Lopez de Prado, "Advances in Financial Machine Learning" (Wiley, 2018). mlfinlab: the tests of
hudson-and-thames/mlfinlab while it was public, tests/test_sampling.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.learning.uniqueness import (
    average_uniqueness,
    bar_spans,
    concurrency,
    return_weights,
    time_decay,
)

# AFML section 4.5.3 and snippet 4.6: three labels whose columns of the indicator matrix are (1,1,1,0,0,0),
# (0,0,1,1,0,0) and (0,0,0,0,1,1).
FIRST, LAST, BARS = np.array([0, 2, 4]), np.array([2, 3, 5]), 6
# The hourly labels of mlfinlab's tests: eight starts, each spanning two more hours.
STARTS = np.array([1, 2, 5, 7, 10, 11, 12, 20])


def test_uniqueness_of_the_books_three_labels() -> None:
    """0.8333, 0.75 and 1.0 in test_get_ind_mat_uniqueness of mlfinlab: a mean over each label's bars, which is ours.

    Snippet 4.4 of the book averages over all cells of the matrix at once, where long labels count more: 0.8571 in
    test_get_ind_mat_av_uniqueness. The plain mean of ours is 0.8611.
    """
    assert concurrency(FIRST, LAST, BARS).tolist() == [1, 1, 2, 1, 1, 1]
    found = average_uniqueness(FIRST, LAST, BARS)
    assert found == pytest.approx([5 / 6, 3 / 4, 1.0])
    lengths = LAST - FIRST + 1
    assert (found * lengths).sum() / lengths.sum() == pytest.approx(0.8571, abs=5.1e-5)
    assert found.mean() == pytest.approx(0.8611, abs=5.1e-5)


def test_uniqueness_of_a_second_draw_of_the_books_example() -> None:
    """After a draw of the second label the next is drawn with 5/14, 3/14 and 6/14: printed in AFML section 4.5.3.

    Those are the uniqueness of each label beside the drawn one, over their sum; also in mlfinlab's
    test_bootstrap_loop_run.
    """
    beside = [
        average_uniqueness(np.array([FIRST[1], FIRST[label]]), np.array([LAST[1], LAST[label]]), BARS)[1]
        for label in range(3)
    ]
    assert beside == pytest.approx([5 / 6, 1 / 2, 1.0])
    assert np.array(beside) / sum(beside) == pytest.approx([0.35714286, 0.21428571, 0.42857143], abs=5e-9)


def test_uniqueness_of_the_reference_implementations_labels() -> None:
    """0.66, 0.83, 0.44 and 1.0 for the first, third, sixth and last; hours under 0, 1, 2, 3 labels: 5, 11, 5, 1.

    test_get_av_uniqueness and test_num_concurrent_events of mlfinlab, which check AFML snippets 4.1 and 4.2.
    """
    counts = concurrency(STARTS, STARTS + 2, 23)[1:]
    assert [int((counts == number).sum()) for number in range(4)] == [5, 11, 5, 1]
    found = average_uniqueness(STARTS, STARTS + 2, 23)
    assert found[[0, 2, 5, 7]] == pytest.approx([0.66, 0.83, 0.44, 1.0], abs=1e-2)


def test_weights_by_return_share_what_overlaps() -> None:
    """AFML snippet 4.10 by hand: the third bar counts half for each; the absolute sums 3.5, 1.5, 0 to a mean of 1."""
    returns = np.array([1.0, 1.0, 3.0, -3.0, 2.0, -2.0])
    assert return_weights(returns, FIRST, LAST) == pytest.approx(np.array([3.5, 1.5, 0.0]) * 3 / 5)


def test_nothing_moved_weighs_all_alike() -> None:
    """No division by zero."""
    assert return_weights(np.zeros(6), FIRST, LAST).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("oldest", "expected"), [
    (1.0, [1.0, 1.0, 1.0, 1.0]), (0.0, [0.25, 0.5, 0.75, 1.0]), (0.5, [0.625, 0.75, 0.875, 1.0]),
    (-0.5, [0.0, 0.0, 0.5, 1.0]),
])
def test_time_decay_of_labels_that_overlap_none(oldest: float, expected: list[float]) -> None:
    """AFML snippet 4.11 by hand, with c = 1, 0, 0.5 and -0.5 on four labels of uniqueness 1."""
    assert time_decay(np.ones(4), oldest) == pytest.approx(expected)


def test_older_labels_never_count_more_than_newer_ones() -> None:
    """The book's snippet takes c above 1, which favours the past (mlfinlab tests 1.5); ours refuses it."""
    for oldest in (1.5, -1.0):
        with pytest.raises(InputError, match="oldest"):
            time_decay(np.ones(4), oldest)


def test_age_is_counted_in_uniqueness() -> None:
    """Two labels of uniqueness one half age like one."""
    assert time_decay(np.array([0.5, 0.5, 1.0]), 0.0) == pytest.approx([0.25, 0.5, 1.0])


def test_spans_given_as_times_are_the_bars_they_touch() -> None:
    """A span that ends at an opening time holds that bar: closed."""
    first, last = bar_spans(np.array([0, 10, 20, 30]), np.array([0, 15]), np.array([10, 29]))
    assert (first.tolist(), last.tolist()) == ([0, 1], [1, 2])


def test_a_span_outside_the_bars_is_refused() -> None:
    """InputError names it."""
    with pytest.raises(InputError, match="spans"):
        concurrency(np.array([2]), np.array([6]), 6)
    with pytest.raises(InputError, match="starts_ns"):
        bar_spans(np.array([10, 20]), np.array([5]), np.array([12]))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15)), min_size=1, max_size=40))
def test_every_spanned_bar_is_shared_out_whole(spans: list[tuple[int, int]]) -> None:
    """Uniqueness times length sums to the number of bars under at least one label; each lies in (0, 1]."""
    first = np.array([one for one, _ in spans])
    last = first + np.array([more for _, more in spans])
    found = average_uniqueness(first, last, 60)
    counts = concurrency(first, last, 60)
    assert ((found > 0.0) & (found <= 1.0 + 1e-12)).all()
    assert (found * (last - first + 1)).sum() == pytest.approx(int((counts > 0).sum()))
    for label in range(len(first)):
        assert found[label] == pytest.approx((1.0 / counts[first[label]:last[label] + 1]).mean())
