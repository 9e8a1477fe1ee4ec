"""Results of each symbol's own trades: one row of floats a symbol, updated by two scalar functions.

Win rate and average R cover the last 50 closed trades. A symbol is rated from 5 trades on. Ten losses in a row bar
it (BAD) until three shadow trades in a row, of signals that were not traded, have won since its last real trade; then
its row is reset (its cumulative PnL is kept).

Positions that a model's score holds win one time in four, and many are tiny. Their R is weighted by risk: the net
result over equity times the permitted risk per trade. Losses in a row are then R lost in a row, and the win rate is not
judged.
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.enums import TAG_BAD, TAG_GOOD, TAG_NEUTRAL
from quantum_trader.domain.indicators import Cells
from quantum_trader.domain.scalar import scalar

WINDOW: Final = 50
JUDGED_FROM: Final = 5
GOOD_WINRATE: Final = 0.5
POOR_WINRATE: Final = 0.30
DISABLED_AFTER_LOSSES: Final = 10
READMITTED_AFTER_SHADOW_WINS: Final = 3
BOUNDED_FROM: Final = 20  # trades from which the bound of the mean bars a symbol that models trade
BOUND_Z: Final = 0.8416  # 80 % of a standard normal distribution lies below

TRADES, WINRATE, AVG_R, PNL, LOSSES, SHADOW_WINS, TAG, RISK_FACTOR, RING = 0, 1, 2, 3, 4, 5, 6, 7, 8
JUDGED: Final = RING + WINDOW  # trades that a profile's thresholds of win rate and average R are held against
SIZE: Final = JUDGED + 1
PERF_COLUMNS: Final = (
    "trades", "winrate", "avg_r", "cumulative_pnl", "consecutive_losses", "shadow_wins", "tag", "risk_factor",
)


@scalar
def symbol_tag(trades: float, winrate: float, avg_r: float, consecutive_losses: float) -> int:
    """Return the TAG code: BAD after 10 losses in a row; GOOD from 5 trades, half of them won, average R above 0."""
    if consecutive_losses >= DISABLED_AFTER_LOSSES:
        return TAG_BAD
    good = trades >= JUDGED_FROM and winrate >= GOOD_WINRATE and avg_r > 0.0
    return TAG_GOOD if good else TAG_NEUTRAL


@scalar
def score_tag(trades: float, avg_r: float, bound: float, lost_r: float) -> int:
    """The TAG code of a symbol whose positions a model's score holds: most of its trades lose little, few win much.

    BAD after 10 R lost in a row, or from 20 trades on when *bound*, the upper one of the mean, is below 0; GOOD from 5
    trades with an average above 0.
    """
    if lost_r >= DISABLED_AFTER_LOSSES or (trades >= BOUNDED_FROM and bound < 0.0):
        return TAG_BAD
    return TAG_GOOD if trades >= JUDGED_FROM and avg_r > 0.0 else TAG_NEUTRAL


@scalar
def upper_bound(row: Cells) -> float:
    """The 80 % upper bound of the mean R of the trades in *row* (SIZE,); infinite for fewer than two."""
    seen = min(int(row[TRADES]), WINDOW)
    if seen < 2:
        return math.inf
    mean, squares = row[AVG_R], 0.0
    for place in range(seen):
        squares += (row[RING + place] - mean) ** 2
    return mean + BOUND_Z * math.sqrt(squares / (seen - 1.0) / seen)


@scalar
def symbol_risk_factor(trades: float, winrate: float, avg_r: float) -> float:
    """Return 0.5 from 5 trades on with a win rate below 30 % or an average R below 0, else 1.0."""
    poor = trades >= JUDGED_FROM and (winrate < POOR_WINRATE or avg_r < 0.0)
    return 0.5 if poor else 1.0


@scalar
def reset_row(row: Cells) -> None:
    """Reset *row* (SIZE,) to zero, except for the cumulative PnL."""
    for column in range(SIZE):
        if column != PNL:
            row[column] = 0.0
    row[TAG] = float(TAG_NEUTRAL)
    row[RISK_FACTOR] = 1.0


@scalar
def record_trade(row: Cells, r: float, pnl: float, lost: float, by_score: int) -> None:
    """Count a closed trade of *r* (net, multiples of risk) and *pnl* (USDT, net) in *row* (SIZE,); r > 0 is a win.

    *lost*: what it adds to the losses in a row if it is no win. *by_score*: 1 for a position that a model's
    score held; its *r* is weighted by risk, and the average alone is judged.
    """
    trades = int(row[TRADES])
    row[RING + trades % WINDOW] = r
    row[TRADES] = trades + 1.0
    row[PNL] += pnl
    row[LOSSES] = 0.0 if r > 0.0 else row[LOSSES] + lost
    row[SHADOW_WINS] = 0.0
    seen = min(trades + 1, WINDOW)
    wins = 0.0
    total = 0.0
    for place in range(seen):
        value = row[RING + place]
        total += value
        wins += 1.0 if value > 0.0 else 0.0
    row[WINRATE] = wins / seen
    row[AVG_R] = total / seen
    if by_score:
        row[TAG] = float(score_tag(row[TRADES], row[AVG_R], upper_bound(row), row[LOSSES]))
        row[RISK_FACTOR] = symbol_risk_factor(row[TRADES], 1.0, row[AVG_R])
    else:
        row[JUDGED] = row[TRADES]
        row[TAG] = float(symbol_tag(row[TRADES], row[WINRATE], row[AVG_R], row[LOSSES]))
        row[RISK_FACTOR] = symbol_risk_factor(row[TRADES], row[WINRATE], row[AVG_R])


@scalar
def record_shadow(row: Cells, r: float) -> bool:
    """Count the shadow result *r* of a signal that was not traded; return whether it re-admits the symbol."""
    if not r > 0.0:
        row[SHADOW_WINS] = 0.0
        return False
    row[SHADOW_WINS] += 1.0
    if row[SHADOW_WINS] < READMITTED_AFTER_SHADOW_WINS:
        return False
    reset_row(row)
    return True
