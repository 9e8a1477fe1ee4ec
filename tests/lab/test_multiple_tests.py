"""The false discovery rate against the paper's example and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.multiple_tests import expected_false_share, false_discovery_rates

stats = pytest.importorskip("scipy.stats")

# The example of Benjamini and Hochberg (1995): 15 p-values of a study of thrombolysis (Neuhaus et al., JACC 19(5),
# 1992). scipy's documentation of false_discovery_control goes through it and prints the adjusted values.
PUBLISHED = (
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
)
ADJUSTED = (
    0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714, 0.06385714, 0.0645, 0.0765, 0.486, 0.58118182, 0.714875,
    0.75323077, 0.81321429, 1.0,
)


def test_the_papers_example_has_four_discoveries() -> None:
    """Four at a rate of 5 %, as the paper says, where Bonferroni has three; each rate is the one scipy prints."""
    rates = false_discovery_rates(PUBLISHED)
    assert len([rate for rate in rates if rate <= 0.05]) == 4
    assert len([value for value in PUBLISHED if value * len(PUBLISHED) <= 0.05]) == 3
    assert rates == pytest.approx(ADJUSTED, abs=5e-9)


def test_tests_that_are_not_known_count() -> None:
    """150 tests instead of 15: two discoveries are left."""
    assert len([rate for rate in false_discovery_rates(PUBLISHED, 150) if rate <= 0.05]) == 2


def test_what_chance_alone_would_have_accepted() -> None:
    """200 tests at 5 % are 10 by chance: 10 of 12 may be false, all of 8; nothing is said of none."""
    assert expected_false_share(200, 12, 0.05) == pytest.approx(10 / 12)
    assert expected_false_share(200, 8, 0.05) == 1.0
    assert math.isnan(expected_false_share(200, 0, 0.05))


def test_no_p_values_and_impossible_ones() -> None:
    """Nothing of nothing; InputError outside [0, 1] and for fewer tests than p-values."""
    assert false_discovery_rates([]) == ()
    for values, tests in (([1.2], None), ([-0.1], None), ([math.nan], None), ([0.1, 0.2], 1)):
        with pytest.raises(InputError):
            false_discovery_rates(values, tests)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_it_agrees_with_scipy(p_values: list[float]) -> None:
    """Ties and any order included."""
    assert false_discovery_rates(p_values) == pytest.approx(stats.false_discovery_control(np.array(p_values)))
