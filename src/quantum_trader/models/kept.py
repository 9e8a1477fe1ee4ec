"""Forecasts that keep what was forecast at every decision, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quantum_trader.domain.market import MarketBatch
from quantum_trader.market.arrays import Floats
from quantum_trader.models.forecasts import Forecasts, LoadedModel


class KeptForecasts(Forecasts):
    """The forecasts of a run, with a copy of each decision: of all models together, and of each."""

    def __init__(self, symbols: tuple[str, ...], base_ns: int, models: Sequence[LoadedModel]) -> None:
        """*symbols* (S,), base bars of *base_ns*. Raises ConfigError as the base class does."""
        super().__init__(symbols, base_ns, models)
        self._together = [self.out.copy()]
        self._each = [self._own()]

    def _own(self) -> Floats:
        return np.array([single.out for single in self.single])

    def take(self, batch: MarketBatch, cost_bps: Any, funding_8h: Any) -> bool:
        """See the base class."""
        fresh = super().take(batch, cost_bps, funding_8h)
        if fresh:
            self._together.append(self.out.copy())
            self._each.append(self._own())
        return fresh

    def together(self, count: int) -> Floats:
        """The newest *count* decisions (count, S, FORECAST_SIZE) of all models together, oldest first."""
        return np.array(self._together[-count:])

    def each(self, count: int) -> Floats:
        """The newest *count* decisions (count, M, S, FORECAST_SIZE) of each model by itself, oldest first."""
        return np.array(self._each[-count:])
