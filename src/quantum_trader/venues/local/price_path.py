"""How prices move at the local venue: in straight lines that stop at each trigger, or in gaps that pass them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.venues.local.conditional_orders import ConditionalOrders, is_passed
from quantum_trader.venues.local.matching import Matching
from quantum_trader.venues.local.order_entry import OrderEntry


class PricePath:
    """Moves prices and triggers the conditional orders on the way. Prices have shape (S,)."""

    def __init__(self, matching: Matching, algos: ConditionalOrders, entry: OrderEntry) -> None:
        self._matching = matching
        self._market = matching.market
        self._algos = algos
        self._entry = entry

    def jump(self, target: NDArray[np.float64]) -> None:
        """Move to *target* in a gap: the triggers it passes fill at the far side."""
        self._matching.step(target)
        for index, waiting in enumerate(self._algos.waiting):
            if not waiting or not self._market.trading[index]:
                continue
            price = float(self._market.last[index])
            for algo in tuple(waiting):
                if algo.is_open and is_passed(algo, price):
                    self._entry.trigger(algo)
                algo.follow(price)

    def move(self, target: NDArray[np.float64], present: NDArray[np.bool_]) -> None:
        """Move the symbols that are *present* to *target* in a straight line, stopping at each trigger."""
        target = np.where(present, target, self._market.last)
        for index, waiting in enumerate(self._algos.waiting):
            if waiting and self._market.trading[index]:
                self.walk(index, float(target[index]))
        self._matching.step(target)
        for index in range(len(target)):
            self.follow(index, float(self._market.last[index]))

    def follow(self, index: int, price: float) -> None:
        """Update the symbol's trailing stops with a new price."""
        self._algos.follow(index, price)

    def walk(self, index: int, target: float) -> None:
        """Move one symbol towards *target* up to each trigger in between, nearest first."""
        while True:
            algo = self._algos.next_between(index, float(self._market.last[index]), target)
            if algo is None:
                return
            self._matching.step(self._market.with_price(index, algo.level))
            if algo.is_open:
                self._entry.trigger(algo)
