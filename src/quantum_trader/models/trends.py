"""The trend of each symbol on the models' own bars, for models of daily or longer bars.

The policy judges the trend on hourly bars. For a model that decides once a day such a label is noise: it changes every
other day (docs/decisions/0137). The rule is the one of :mod:`quantum_trader.market.regime`, on longer bars.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.market.regime import (
    MEASURE_DIRECTION,
    MEASURE_SIZE,
    MEASURE_TREND,
    MarketSettings,
    measure_clear,
    measure_trend,
)
from quantum_trader.models.history import CLOSE, HIGH, LOW, Completed

LEAST_NS: Final = NS_PER_DAY  # shortest bars whose own trend is judged

_measure_trend = compiled(measure_trend)


@kernel
def _take(bars, present, rows, ema_period, enter, leave, min_bars):  # type: ignore[no-untyped-def]
    for s in range(rows.shape[0]):
        if present[s]:
            _measure_trend(
                rows[s], 0, bars[HIGH, s], bars[LOW, s], bars[CLOSE, s], 1.0, ema_period, enter, leave, min_bars
            )


class ModelTrends:
    """Trend and direction of *count* symbols; ``codes`` (S, 2): the TREND_* and DIR_* codes."""

    def __init__(self, count: int, settings: MarketSettings) -> None:
        self._rows = np.zeros((count, MEASURE_SIZE))
        for row in self._rows:
            measure_clear(row, 0)
        self._settings = (
            int(settings.ema_period), float(settings.adx_enter), float(settings.adx_leave),
            float(settings.regime_min_bars),
        )
        self.codes: Any = self._rows[:, [MEASURE_TREND, MEASURE_DIRECTION]]

    def take(self, bar: Completed) -> None:
        """Judge the trend anew of the symbols that have *bar*."""
        _take(bar.bars, bar.present, self._rows, *self._settings)
        self.codes = self._rows[:, [MEASURE_TREND, MEASURE_DIRECTION]]

    def state(self) -> Any:
        """Everything needed to continue, (S, MEASURE_SIZE)."""
        return self._rows.copy()

    def load_state(self, state: Any) -> None:
        """Continue from :meth:`state`."""
        self._rows[...] = state
        self.codes = self._rows[:, [MEASURE_TREND, MEASURE_DIRECTION]]
