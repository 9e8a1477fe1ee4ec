"""Time and last prices at the paper venue, as the bars give them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantum_trader.domain.market import MarketBatch

_BAR_END_NS: Final = 1_000_000  # a bar's last moment is one millisecond before the next one's first


class Prices:
    """The current bar of every symbol, and the last price of each (USDT; 0.0 where none is known).

    *traded* maps a row to the price of its last fill inside the current bar's range.
    """

    def __init__(self, size: int) -> None:
        self.batch: MarketBatch | None = None
        self.bar_ns = -1
        self.in_range = False
        self.last = [0.0] * size  # of a symbol whose bars stopped: its last close or fill
        self.traded: dict[int, float] = {}

    def open_bar(self, batch: MarketBatch) -> MarketBatch | None:
        """Begin the bar of *batch* and return the batch before it."""
        previous, self.batch = self.batch, batch
        self.bar_ns = batch.ts_ns
        self.in_range = False
        if self.traded:
            self.traded = {}
        return previous

    def filled(self, index: int, price: float) -> None:
        """Note the price of a fill."""
        self.last[index] = price
        if self.in_range:
            self.traded[index] = price

    @property
    def now_ns(self) -> int:
        """The venue's time: the bar's open, or its last moment once its range was processed."""
        if not self.in_range or self.batch is None:
            return self.bar_ns
        return self.bar_ns + self.batch.interval_ns - _BAR_END_NS

    @property
    def bar_end_ns(self) -> int:
        """When the current bar closes."""
        assert self.batch is not None
        return self.bar_ns + self.batch.interval_ns

    def has_bar(self, index: int) -> bool:
        """Whether the symbol has a bar now."""
        return self.batch is not None and bool(self.batch.present[index])

    def mark(self, index: int) -> float:
        """The last price: the bar's open, its close once its range was processed, or the last before an outage."""
        if self.batch is not None and self.batch.present[index]:
            price: float = self.batch.ohlcv.item(index, 3 if self.in_range else 0)
            if 0.0 < price < math.inf:
                return price
        return self.last[index]

    def at(self, index: int, created_ns: int) -> float:
        """The last price at *created_ns*: inside the bar's range that of the symbol's last fill; 0.0 unknown."""
        if self.in_range and self.batch is not None and created_ns < self.bar_ns + self.batch.interval_ns:
            return self.traded.get(index) or self.mark(index)
        return self.mark(index)

    def state(self) -> dict[str, Any]:
        """Time and prices as plain values."""
        return {
            "bar_ns": self.bar_ns, "interval_ns": self.batch.interval_ns if self.batch is not None else 0,
            "in_range": self.in_range, "prices": [self._open_and_close(index) for index in range(len(self.last))],
            "last": list(self.last), "traded": [[index, price] for index, price in self.traded.items()],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        size = len(self.last)
        self.bar_ns, self.in_range = int(state["bar_ns"]), bool(state["in_range"])
        self.last = [float(price) for price in state["last"]]
        self.traded = {int(index): float(price) for index, price in state["traded"]}
        ohlcv = np.full((size, 5), np.nan)
        present = np.zeros(size, dtype=np.bool_)
        for index, prices in enumerate(state["prices"]):
            if prices is not None:
                ohlcv[index, 0], ohlcv[index, 3] = prices
                present[index] = True
        self.batch = MarketBatch(self.bar_ns, int(state["interval_ns"]), ohlcv, present)

    def _open_and_close(self, index: int) -> list[float] | None:
        """The current bar's open and close; None without a bar."""
        if self.batch is None or not self.batch.present[index]:
            return None
        return [self.batch.ohlcv.item(index, 0), self.batch.ohlcv.item(index, 3)]
