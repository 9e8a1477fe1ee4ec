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
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.enums import TAG_BAD, TAG_CODES, TAG_GOOD, TAG_NEUTRAL
from quantum_trader.domain.errors import StateError, require_finite
from quantum_trader.domain.indicators import Cells
from quantum_trader.domain.policy import SymbolPerformanceData
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


class SymbolPerformance:
    """The performance of all symbols: ``rows`` (S, SIZE) float64, named by the ``P_…`` columns."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = tuple(symbols)
        self.rows: npt.NDArray[np.float64] = np.zeros((len(self.symbols), SIZE))
        for row in self.rows:
            reset_row(row)
        self._snapshots: list[SymbolPerformanceData | None] = [None] * len(self.symbols)
        self._all: tuple[SymbolPerformanceData, ...] | None = None

    def trade(self, index: int, r: float, pnl: float, lost: float = 1.0, *, by_score: bool = False) -> None:
        """Count a closed trade of symbol *index* (:func:`record_trade`). Raises InputError for a non-finite number."""
        for key, value in (("r", r), ("pnl", pnl), ("lost", lost)):
            require_finite(key, value)
        record_trade(self.rows[index], r, pnl, lost, int(by_score))
        self._drop_snapshot(index)

    def shadow(self, index: int, r: float) -> bool:
        """Count the shadow result of a signal that was not traded; True when it re-admits the symbol."""
        require_finite("r", r)
        readmitted = bool(record_shadow(self.rows[index], r))
        if readmitted:
            self._drop_snapshot(index)
        return readmitted

    def risk_factor(self, index: int) -> float:
        """The factor symbol *index*'s results put on its risk: 1.0 or 0.5."""
        return float(self.rows[index, RISK_FACTOR])

    def snapshot(self, index: int) -> SymbolPerformanceData:
        """The figures of symbol *index* for the policy; the same object until one of them changes."""
        known = self._snapshots[index]
        if known is None:
            row = self.rows[index]
            known = SymbolPerformanceData(
                symbol=self.symbols[index],
                winrate=float(row[WINRATE]),
                avg_r=float(row[AVG_R]),
                cumulative_pnl=float(row[PNL]),
                performance_tag=TAG_CODES[int(row[TAG])],
                trades=int(row[TRADES]),
                consecutive_losses=int(row[LOSSES]),
            )
            self._snapshots[index] = known
        return known

    def snapshots(self) -> tuple[SymbolPerformanceData, ...]:
        """All symbols in order; the same tuple until one of them changes."""
        if self._all is None:
            self._all = tuple(self.snapshot(index) for index in range(len(self.symbols)))
        return self._all

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """A copy of everything that must survive a restart."""
        return {"rows": self.rows.copy()}

    def load_state(self, state: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Continue from :meth:`state`. Raises StateError when it is of another shape or not finite."""
        rows = np.asarray(state["rows"], dtype=np.float64)
        if rows.shape == (len(self.symbols), JUDGED):  # of before models' trades were judged apart
            rows = np.column_stack([rows, rows[:, TRADES]])
        if rows.shape != self.rows.shape or not np.isfinite(rows).all():
            raise StateError(f"performance rows {rows.shape}: not finite {self.rows.shape}; start a new state folder")
        if not np.isin(rows[:, TAG], (TAG_GOOD, TAG_NEUTRAL, TAG_BAD)).all():
            raise StateError("performance rows: unknown performance tag; start a new state folder")
        self.rows[:] = rows
        self._snapshots = [None] * len(self.symbols)
        self._all = None

    def _drop_snapshot(self, index: int) -> None:
        self._snapshots[index] = None
        self._all = None
