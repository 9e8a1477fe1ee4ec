"""The difference of two Sharpe ratios: its doubt agrees with a bootstrap, and its interval holds the true one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.sharpe import moments, sharpe_difference

YEAR = math.sqrt(365.0)


def pair(
    rng: np.random.Generator, days: int, *, common: float = 0.7, memory: float = 0.0, sharpes: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns of two accounts that share *common* of their moves; *memory* is their first-order correlation."""
    shocks = rng.standard_normal((3, days)) * math.sqrt(1.0 - memory * memory)
    moves = np.empty_like(shocks)
    last = rng.standard_normal(3)
    for day in range(days):
        last = moves[:, day] = memory * last + shocks[:, day]
    own = math.sqrt(1.0 - common * common)
    first, second = common * moves[0] + own * moves[1], common * moves[0] + own * moves[2]
    return 0.01 * (first + sharpes[0] / YEAR), 0.03 * (second + sharpes[1] / YEAR)


def bootstrap_error(first: np.ndarray, second: np.ndarray, block: int, draws: int = 1_500) -> float:
    """Standard error of the annual difference by a circular block bootstrap (Politis and Romano), written anew."""
    rng = np.random.default_rng(7)
    days = len(first)
    found = []
    for _ in range(draws):
        starts = rng.integers(0, days, size=-(-days // block))
        rows = ((starts[:, None] + np.arange(block)) % days).ravel()[:days]
        one, other = first[rows], second[rows]
        found.append(one.mean() / one.std(ddof=1) - other.mean() / other.std(ddof=1))
    return float(np.std(found)) * YEAR


@pytest.mark.parametrize(("memory", "block"), [(0.0, 5), (0.3, 25)])
def test_the_doubt_agrees_with_a_block_bootstrap(memory: float, block: int) -> None:
    """Independent days, and days that remember; four years of pairs that share half of their variance."""
    first, second = pair(np.random.default_rng(11), 1_460, memory=memory, sharpes=(1.0, 0.2))
    found = sharpe_difference(first, second)
    assert found is not None
    assert found.difference == pytest.approx(moments(first).annual_sharpe - moments(second).annual_sharpe)
    error = (found.high - found.low) / 2.0 / 1.9616
    assert error == pytest.approx(bootstrap_error(first, second, block), rel=0.12)


def test_a_pair_that_moves_together_is_told_apart_sooner() -> None:
    """The test is paired: what both share does not blur the difference."""
    widths = {}
    for common in (0.0, 0.95):
        found = sharpe_difference(*pair(np.random.default_rng(3), 730, common=common, sharpes=(0.5, 0.5)))
        assert found is not None
        widths[common] = found.high - found.low
    assert widths[0.95] < 0.5 * widths[0.0]


@pytest.mark.parametrize("memory", [0.0, 0.2])
def test_the_interval_holds_the_true_difference(memory: float) -> None:
    """In 95 of 100 histories of two years, within the noise of 600."""
    rng, held = np.random.default_rng(20261129), 0
    for _ in range(600):
        found = sharpe_difference(*pair(rng, 730, memory=memory, sharpes=(0.8, 0.3)))
        assert found is not None
        held += found.low <= 0.5 <= found.high
    assert 0.925 <= held / 600 <= 0.975


def test_it_is_the_same_the_other_way_round_and_unknown_where_nothing_can_differ() -> None:
    """Sign and bounds turn; an account that never moved, and the same returns at another size, say nothing."""
    first, second = pair(np.random.default_rng(5), 400, sharpes=(1.0, 0.0))
    one, other = sharpe_difference(first, second), sharpe_difference(second, first)
    assert one is not None
    assert other is not None
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert one.probability == pytest.approx(1.0 - other.probability)
    assert sharpe_difference(first, np.zeros(400)) is None
    assert sharpe_difference(first, 3.0 * first) is None
    assert sharpe_difference(first[:8], second[:8]) is None
    with pytest.raises(InputError, match="same days"):
        sharpe_difference(first, second[:-1])
