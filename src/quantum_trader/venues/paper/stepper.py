"""Bars, step by step: which orders a bar reaches, and in which order they are filled.

Market orders fill at the next open, resting orders inside the ranges after them. In one bar stops come before targets
and limits; of a stop and the liquidation the one nearer to the open comes first; what the open gapped through fills at
the open. Everything triggers on the last price: bars contain no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from quantum_trader.domain.errors import require
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.venues.paper import fills
from quantum_trader.venues.paper.account import PaperAccount
from quantum_trader.venues.paper.execution import Execution
from quantum_trader.venues.paper.funding import FundingLedger
from quantum_trader.venues.paper.orders import OrderBook, PaperOrder
from quantum_trader.venues.paper.prices import Prices
from quantum_trader.venues.paper.watch import PriceWatch

_LIQUIDATION_SEQ: Final = 2**62  # behind every order that is as near to the open


class Stepper:
    """Takes each bar in two steps, its opens and its ranges, and hands what they reach to the execution."""

    def __init__(
        self, symbols: Sequence[str], maker_slippage_bps: float, *, prices: Prices, account: PaperAccount,
        orders: OrderBook, funding: FundingLedger, watch: PriceWatch, execution: Execution,
    ) -> None:
        self._symbols = tuple(symbols)
        self._maker_slippage_bps = maker_slippage_bps
        self._prices = prices
        self._account = account
        self._orders = orders
        self._funding = funding
        self._watch = watch
        self._execution = execution

    def on_open(self, batch: MarketBatch) -> list[VenueEvent]:
        """Process the opens: funding that is due, waiting orders, then what the opens gapped through.

        Raises InputError when time goes backwards; a second call for one moment returns nothing.
        """
        prices = self._prices
        if batch.ts_ns <= prices.bar_ns:
            require(batch.ts_ns == prices.bar_ns, "batch.ts_ns", batch.ts_ns, f"is before {prices.bar_ns}")
            return []
        previous = prices.open_bar(batch)
        return self._opens(batch, previous) if self._watch.rows else []

    def on_range(self, batch: MarketBatch) -> list[VenueEvent]:
        """Process the ranges, stops first. Called again for one batch, it looks at stops sent since an inside fill.

        Raises InputError when *batch* is not the moment given to :meth:`on_open`.
        """
        prices = self._prices
        require(batch.ts_ns == prices.bar_ns, "batch.ts_ns", batch.ts_ns, f"on_open was given {prices.bar_ns}")
        prices.batch = batch
        if prices.in_range:
            return self._ranges_again() if prices.traded else []
        prices.in_range = True
        if not self._watch.rows:
            return []
        item = batch.ohlcv.item
        reached = [i for i, below, above in self._watch.rows if item(i, 2) <= below or item(i, 1) >= above]
        events: list[VenueEvent] = []
        for index in reached:
            if batch.present[index]:
                self._settle(index, item(index, 0), events)
        return events

    def _opens(self, batch: MarketBatch, previous: MarketBatch | None) -> list[VenueEvent]:
        """Funding, waiting orders and gaps; also keeps the last close of a watched symbol whose bars stop."""
        item, present = batch.ohlcv.item, batch.present.tolist()
        reached = []
        for index, below, above in self._watch.rows:
            if present[index]:
                price = item(index, 0)
                if price <= below or price >= above:
                    reached.append(index)
            elif previous is not None and previous.present[index]:
                self._prices.last[index] = previous.ohlcv.item(index, 3)
        funding_due = batch.ts_ns >= self._funding.next_ns
        if not (reached or self._orders.waiting or funding_due):
            return []
        events: list[VenueEvent] = []
        if funding_due:
            self._funding.charge(batch, self._symbols, events)
        for order in sorted(self._orders.waiting, key=lambda waiting: waiting.seq):
            if present[order.index] and item(order.index, 0) > 0.0:
                self._execution.fill_at_open(order, item(order.index, 0), events)
        for index, below, above in tuple(self._watch.rows):
            if present[index] and not below < item(index, 0) < above:
                self._settle(index, item(index, 0), events, at_open=True)
        return events

    def _ranges_again(self) -> list[VenueEvent]:
        """After fills inside the range: the stops sent since, and the liquidation of what was opened there."""
        events: list[VenueEvent] = []
        for index, price in tuple(self._prices.traded.items()):
            self._settle(index, price, events, late=True)
        return events

    def _settle(
        self, index: int, open_: float, events: list[VenueEvent], *, at_open: bool = False, late: bool = False
    ) -> None:
        """Fill what the open alone, or the bar's range, reaches for one symbol, in the order it is assumed to come."""
        batch = self._prices.batch
        assert batch is not None
        low = open_ if at_open else batch.ohlcv.item(index, 2)
        high = open_ if at_open else batch.ohlcv.item(index, 1)
        holding = self._account.holdings[index]
        reached: list[tuple[int, float, int, PaperOrder | None]] = [
            (0 if order.is_stop else 1, abs(order.level - open_), order.seq, order)
            for order in self._orders.by_row[index]
            if self._reaches(order, low, high) and (not late or self._is_late_stop(order))
        ]
        if holding.liquidation > 0.0 and fills.stop_touched(-holding.sign, holding.liquidation, low, high):
            reached.append((0, abs(holding.liquidation - open_), _LIQUIDATION_SEQ, None))
        for _, _, _, order in sorted(reached, key=lambda candidate: candidate[:3]):
            if order is None:
                self._execution.liquidate(index, open_, low, high, events)
            elif self._orders.is_open(order):
                self._execution.fill_at_level(order, open_, events)

    def _reaches(self, order: PaperOrder, low: float, high: float) -> bool:
        """Whether a price between *low* and *high* fills a resting order that was not tried in this bar yet."""
        if order.waiting or order.touched_ns == self._prices.bar_ns:
            return False
        if order.is_limit:
            return fills.limit_touched(order.side_sign, order.level, low, high, self._maker_slippage_bps)
        touched = fills.stop_touched if order.is_stop else fills.target_touched
        return touched(order.side_sign, order.level, low, high)

    def _is_late_stop(self, order: PaperOrder) -> bool:
        """Whether *order* is a stop sent before this bar closed; the range did not reach the older ones."""
        return order.is_stop and order.request.created_ns < self._prices.bar_end_ns
