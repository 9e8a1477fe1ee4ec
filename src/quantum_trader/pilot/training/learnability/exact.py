"""Markets small enough to know everything: the best policy and the profit of any policy, by dynamic programming.

A market has levels (what is observed of it) and moves between them by chance. At a level and a position held, a policy
names the next position. It fills at the price of the next bar, and earns from there on. The profit of a policy is its
mean profit a bar, as a share of the equity, once the start is forgotten.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from quantum_trader.market.arrays import Floats
from quantum_trader.pilot.training.learnability.positions import TARGET_SHARES

Places = npt.NDArray[np.intp]  # (levels, positions): the place in POSITIONS of the next position

POSITIONS: Final = np.array(TARGET_SHARES)  # signed shares of the equity
_TOLERANCE: Final = 1e-9  # of the mean profit, relative to the largest profit of a bar
_MOST_ROUNDS: Final = 20_000
_FORGOTTEN: Final = 400  # bars after which the start no longer matters
_AVERAGED: Final = 400  # bars that the mean is taken over
_WIDTH: Final = 5.0  # levels reach this many standard deviations to either side


class ExactMarket(NamedTuple):
    """A market on a grid of levels."""

    seen: Floats  # (levels,) the feature that is observed at each level
    moves: Floats  # (levels, levels) probability of the next bar's level
    ahead: Floats  # (levels,) expected return of the first bar for which a position decided here is held
    cost: float  # of changing the position, a share of the change


def mean_reverting_market(phi: float, sigma: float, cost: float, levels: int = 301) -> ExactMarket:
    """Log price x around a fair value: next x = *phi* * x + *sigma* * noise; x over its deviation is observed."""
    deviation = sigma / math.sqrt(1.0 - phi * phi)
    grid = np.linspace(-_WIDTH, _WIDTH, levels) * deviation
    edges = (grid[1:] + grid[:-1]) / 2.0
    below = _normal_share((edges[None, :] - phi * grid[:, None]) / sigma)
    moves = np.diff(below, axis=1, prepend=0.0, append=1.0)
    next_return = moves @ grid - grid
    return ExactMarket(grid / deviation, moves, moves @ next_return, cost)


def leaked_market(correlation: float, sigma: float, cost: float, levels: int = 301) -> ExactMarket:
    """A random walk; observed is a number that has *correlation* with the return of the first bar after the fill."""
    grid = np.linspace(-_WIDTH, _WIDTH, levels)
    below = _normal_share((grid[1:] + grid[:-1]) / 2.0)
    shares = np.diff(below, prepend=0.0, append=1.0)
    return ExactMarket(grid, np.tile(shares, (levels, 1)), correlation * sigma * grid, cost)


def _normal_share(limits: Floats) -> Floats:
    """The share of a standard normal distribution below each of *limits*."""
    errors: Floats = np.array([math.erf(one) for one in (limits / math.sqrt(2.0)).ravel()]).reshape(limits.shape)
    return 0.5 * (1.0 + errors)


def bar_profits(market: ExactMarket) -> Floats:
    """Expected profit of each decision over the first bar it is held, less its cost: (levels, positions, next)."""
    changes = np.abs(POSITIONS[None, :] - POSITIONS[:, None])
    profits: Floats = market.ahead[:, None, None] * POSITIONS[None, None, :] - market.cost * changes[None, :, :]
    return profits


def best_policy(market: ExactMarket) -> Places:
    """The policy with the largest mean profit, by relative value iteration."""
    profits = bar_profits(market)
    worth = np.zeros(profits.shape[:2])
    for _ in range(_MOST_ROUNDS):
        choices = profits + (market.moves @ worth)[:, None, :]
        better = choices.max(axis=2)
        gained = better - worth
        worth = better - better[0, 0]
        if gained.max() - gained.min() <= _TOLERANCE * np.abs(profits).max():
            best: Places = choices.argmax(axis=2)
            return best
    raise ArithmeticError(f"no policy was found to be the best within {_MOST_ROUNDS} rounds")


def one_bar_policy(market: ExactMarket) -> Places:
    """The policy that looks one bar ahead: the largest expected profit of the first bar, less the cost."""
    nearest: Places = bar_profits(market).argmax(axis=2)
    return nearest


def mean_profit(market: ExactMarket, policy: Places) -> float:
    """The mean profit a bar of *policy*, exact on the grid, after a start without a position at the middle level."""
    profits = np.take_along_axis(bar_profits(market), policy[:, :, None], axis=2)[:, :, 0]
    share = np.zeros(policy.shape)
    share[len(share) // 2, 0] = 1.0
    total = 0.0
    for bar in range(_FORGOTTEN + _AVERAGED):
        if bar >= _FORGOTTEN:
            total += float((share * profits).sum())
        taken = np.stack([np.where(policy == place, share, 0.0).sum(axis=1) for place in range(len(POSITIONS))], axis=1)
        share = market.moves.T @ taken
    return total / _AVERAGED
