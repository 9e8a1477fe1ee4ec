"""The prices at which something happens at the paper venue, so that a bar that reaches none costs nothing."""

from __future__ import annotations

import math

from quantum_trader.venues.paper.account import PaperAccount
from quantum_trader.venues.paper.orders import OrderBook


class PriceWatch:
    """For each symbol with an order or a position the nearest price below and above that fills or liquidates.

    *rows* holds (row, price below, price above) in row order; minus and plus infinity where there is none.
    """

    def __init__(self, account: PaperAccount, orders: OrderBook) -> None:
        self.rows: list[tuple[int, float, float]] = []
        self._account = account
        self._orders = orders
        self._envelopes: list[tuple[int, float, float] | None] = [None] * len(account.holdings)

    def refresh(self, index: int) -> None:
        """Find the prices of one symbol again, after an order or its position changed."""
        below, above = -math.inf, math.inf
        holding, orders = self._account.holdings[index], self._orders.by_row[index]
        for order in orders:
            if order.waiting:
                continue
            if order.below:
                below = max(below, order.level)
            else:
                above = min(above, order.level)
        if holding.qty > 0.0 and holding.liquidation > 0.0:
            below = max(below, holding.liquidation)
        elif holding.qty < 0.0 and holding.liquidation > 0.0:
            above = min(above, holding.liquidation)
        watched = bool(orders) or holding.qty != 0.0
        self._envelopes[index] = (index, below, above) if watched else None
        self.rows = [envelope for envelope in self._envelopes if envelope is not None]
