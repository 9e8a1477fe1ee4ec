"""Pool the models' calibrated probabilities into one and emit a signal from it.

The pool is a weighted sum of log-odds. A model's weight is its recent mean log-likelihood gain over probability
0.5, on known outcomes, shrunk: a model without gain has weight 0. The weights sum to at most one, because the models
use the same prices and are correlated.
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.indicators import Cells
from quantum_trader.domain.scalar import scalar
from quantum_trader.signals.calibration import POOL_GAINS
from quantum_trader.signals.models import MODEL_COUNT, logistic

LOG_TWO: Final = math.log(2.0)


@scalar
def learn_gain(pool: Cells, model: int, vote: float, rose: float, rate: float) -> None:
    """Update *model*'s mean gain over probability 0.5 with the outcome of its past *vote* P(up)."""
    gain = LOG_TWO + rose * math.log(vote) + (1.0 - rose) * math.log(1.0 - vote)
    pool[POOL_GAINS + model] += rate * (gain - pool[POOL_GAINS + model])


@scalar
def pooled(pool: Cells, votes: Cells, votes_at: int, trust: float) -> tuple[float, float]:
    """Return (P(up), consensus) of the votes (MODEL_COUNT probabilities in *votes* from *votes_at*)."""
    total = 0.0
    logit = 0.0
    for model in range(MODEL_COUNT):
        gain = pool[POOL_GAINS + model]
        if gain > 0.0:
            vote = votes[votes_at + model]
            total += gain
            logit += gain * math.log(vote / (1.0 - vote))
    up = logistic(logit / (total + trust))
    agree = 0.0
    for model in range(MODEL_COUNT):
        agree += 1.0 if (votes[votes_at + model] > 0.5) == (up > 0.5) and votes[votes_at + model] != 0.5 else 0.0
    return up, (agree / MODEL_COUNT if up != 0.5 else 0.0)


@scalar
def emitted(up: float, edge: float, last_direction: int, bars_since: float, cooldown: float) -> int:
    """Return -1, 0 or +1: a signal when P reaches *edge* and the direction is new or the cool-down is over."""
    direction = 1 if up > 0.5 else -1
    if max(up, 1.0 - up) < edge or up == 0.5:
        return 0
    return direction if direction != last_direction or bars_since >= cooldown else 0
