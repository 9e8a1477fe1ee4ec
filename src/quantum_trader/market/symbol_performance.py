"""The performance of all symbols of a run: one row of an array each, by the functions of ``market.performance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.enums import TAG_BAD, TAG_CODES, TAG_GOOD, TAG_NEUTRAL
from quantum_trader.domain.errors import StateError, require_finite
from quantum_trader.domain.policy import SymbolPerformanceData
from quantum_trader.market.performance import (
    AVG_R,
    JUDGED,
    LOSSES,
    PNL,
    RISK_FACTOR,
    SIZE,
    TAG,
    TRADES,
    WINRATE,
    record_shadow,
    record_trade,
    reset_row,
)


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
