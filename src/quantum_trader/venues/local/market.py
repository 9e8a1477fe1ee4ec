"""The market behind the local venue: its time, last prices, and what may trade of each symbol."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.market import MarketBatch
from quantum_trader.venues.local.tape import Tape

AMPLE: Final = 1e12  # a volume that limits no fill
_BATCH_NS: Final = 1  # length of a batch: the venue's time is the batch's


class LocalMarket:
    """Time (ns), last prices (USDT, 0.0 unknown) and tradability of each symbol, in the row order of *tape*."""

    def __init__(self, tape: Tape, start_ns: int) -> None:
        size = len(tape.symbols)
        self.now_ns = start_ns
        self.last = np.array([tape.last_price(index, start_ns) for index in range(size)])
        self.trading = np.ones(size, dtype=np.bool_)  # False during a halt and after a delisting
        self.delisted = np.zeros(size, dtype=np.bool_)
        self.volume = np.full(size, AMPLE)  # of the next batches: what one order may fill
        self.largest_fill = np.full(size, AMPLE)  # of one order at once, independent of the market's volume
        self.rest_expires = [False] * size  # whether the part of an order above the largest fill expires
        self.updates = 0  # counts changes of prices and book
        self.stamp_ns = start_ns  # time of the last batch

    def step_to(self, target: NDArray[np.float64]) -> MarketBatch:
        """Move every symbol from its last price to *target* and return the batch of these straight lines."""
        start = np.where(self.last > 0.0, self.last, target)
        known = (target > 0.0) & self.trading
        self.updates += 1
        batch = self._batch(start, np.where(known, target, start))
        self.last = np.where(known, target, self.last)
        return batch

    def _batch(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> MarketBatch:
        self.stamp_ns = max(self.stamp_ns + _BATCH_NS, self.now_ns)
        ohlcv = np.column_stack([start, np.maximum(start, end), np.minimum(start, end), end, self.volume])
        return MarketBatch(self.stamp_ns, _BATCH_NS, ohlcv, (start > 0.0) & self.trading)

    def with_price(self, index: int, price: float) -> NDArray[np.float64]:
        """Return the last prices with one of them replaced."""
        prices = self.last.copy()
        prices[index] = price
        return prices
