"""Prices and quantities from recorded order books and trades.

The price is that of the recorded trades. An order that takes walks the recorded levels, one fill a level; what it took
is missing from the book until the recording next updates that level. An order that rests fills when trades go through
its price, by no more than they traded: it stands last in the queue at its own price.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.venues.local.book import BookRecording, BookTape
from quantum_trader.venues.local.event_log import Recorded
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.matching import Matching
from quantum_trader.venues.local.orders import DepthDiff, MarketTrade, Order, OrderTicket
from quantum_trader.venues.local.sources import BookLevels, made_up_levels

if TYPE_CHECKING:
    from quantum_trader.venues.local.price_path import PricePath

_QUEUE_BPS: Final = 1e-6  # a resting order fills when the market trades beyond its price, however little


def exchange_on_books(
    recording: BookRecording, instruments: Sequence[Instrument], settings: ExchangeSettings
) -> Exchange:
    """Return an exchange whose prices, quotes and fills come from *recording*."""
    without_cost = msgspec.structs.replace(settings, taker_cost_bps=0.0, maker_slippage_bps=_QUEUE_BPS)
    source = partial(BookSource, instruments=instruments, recording=recording)
    return Exchange(BookTape(instruments, recording), recording.start_ns, without_cost, source=source)


class BookSource:
    """Replays recorded updates and trades in their order; orders fill from the recorded levels."""

    def __init__(self, matching: Matching, instruments: Sequence[Instrument], recording: BookRecording) -> None:
        self._matching = matching
        self._market = matching.market
        self._instruments = tuple(instruments)
        self._index = {instrument.symbol: index for index, instrument in enumerate(instruments)}
        self._books = recording.books
        self._diffs, self._trades = recording.diffs, recording.trades
        self._next_diff = self._next_trade = 0
        self._market.volume[:] = 0.0
        self._traded = self._market.last.copy()  # price of the last trade; _show_price does not change it
        self._skip_to(recording.start_ns)

    def _skip_to(self, now_ns: int) -> None:
        """Apply the updates and drop the trades up to *now_ns*, where the replay starts."""
        while self._next_diff < len(self._diffs) and self._diffs[self._next_diff].ts_ns <= now_ns:
            diff = self._diffs[self._next_diff]
            self._books[diff.index].apply(diff)
            self._next_diff += 1
        while self._next_trade < len(self._trades) and self._trades[self._next_trade].ts_ns <= now_ns:
            self._next_trade += 1
        for index, book in enumerate(self._books):
            if self._market.last[index] <= 0.0:
                self._market.last[index] = self._traded[index] = book.best()[0]
        self._matching.settle()

    # ------------------------------------------------------------------ time

    def advance(self, to_ns: int, path: PricePath) -> Recorded | None:
        """Apply what was recorded up to *to_ns*, in its order, and return it."""
        diffs: list[DepthDiff] = []
        trades: list[MarketTrade] = []
        while (moment := self._next_moment()) <= to_ns:
            self._market.now_ns = max(self._market.now_ns, moment)
            if self._next_diff < len(self._diffs) and self._diffs[self._next_diff].ts_ns == moment:
                diff = self._diffs[self._next_diff]
                self._next_diff += 1
                if self._books[diff.index].apply(diff):
                    diffs.append(diff)
            else:
                trade = self._trades[self._next_trade]
                self._next_trade += 1
                trades.append(trade)
                self._apply_trade(trade, path)
        self._market.now_ns = to_ns
        self._matching.settle()
        return tuple(diffs), tuple(trades)

    def _next_moment(self) -> int:
        """Time of the next recorded update or trade; the largest integer after the last."""
        moments = []
        if self._next_diff < len(self._diffs):
            moments.append(self._diffs[self._next_diff].ts_ns)
        if self._next_trade < len(self._trades):
            moments.append(self._trades[self._next_trade].ts_ns)
        return min(moments, default=2**63 - 1)

    def _apply_trade(self, trade: MarketTrade, path: PricePath) -> None:
        """Move the price to a recorded trade, and fill resting orders by no more than it traded."""
        index, market = trade.index, self._market
        if not market.trading[index]:
            return
        path.walk(index, trade.price)
        target = market.with_price(index, trade.price)
        self._traded[index] = trade.price
        market.volume[index] = min(trade.qty, float(market.largest_fill[index]))
        self._matching.step(target)
        market.volume[index] = 0.0
        path.follow(index, trade.price)

    # ------------------------------------------------------------------ orders

    def prepare(self, index: int, ticket: OrderTicket) -> None:
        """Show the paper venue the side a limit order would take from, so that it rests unless it crosses the book."""
        if ticket.type == "LIMIT":
            bid, ask = self.quote(index)
            self._show_price(index, ask if ticket.sign > 0 else bid)

    def _show_price(self, index: int, price: float) -> None:
        """Move one price without any volume there."""
        if price > 0.0:
            self._matching.step(self._market.with_price(index, price))

    def fill(self, order: Order) -> None:
        """Walk the recorded levels, best first, until the order is filled or its limit stops it."""
        ticket, index = order.ticket, self._index[order.ticket.symbol]
        limit, book, market = ticket.type == "LIMIT", self._books[index], self._market
        for number, (price, qty) in enumerate(book.against(ticket.sign)):
            if not order.is_open or (limit and ticket.sign * (price - order.price) > 0.0):
                break
            before = order.filled
            self._show_price(index, price)
            if limit and number and order.is_open:
                self._matching.renew(order)  # a limit order takes once; its rest must be sent again
            market.volume[index] = min(qty, float(market.largest_fill[index]))
            self._matching.settle()
            market.volume[index] = 0.0
            if order.filled > before:
                book.take(ticket.sign, price, order.filled - before)
                self._traded[index] = price
        self._show_price(index, float(self._traded[index]))

    def limit_fills(self, index: int) -> None:
        """Keep batches without volume of their own: nothing fills without a level or a trade."""
        self._market.volume[index] = 0.0

    def fillable(self, index: int, sign: int, price: float) -> float:
        """Return what the recorded levels up to *price* hold."""
        return ordered_sum(qty for level, qty in self._books[index].against(sign) if sign * (level - price) <= 0.0)

    # ------------------------------------------------------------------ book

    def quote(self, index: int) -> tuple[float, float]:
        """Return best recorded bid and ask."""
        return self._books[index].best()

    def levels(self, index: int, count: int) -> tuple[BookLevels, BookLevels]:
        """Return the recorded book."""
        return self._books[index].levels(count)

    def levels_at(self, index: int, last: float, count: int) -> tuple[BookLevels, BookLevels]:
        """Return a book made up around a *last* price, without any cost."""
        return made_up_levels(self._instruments[index], 0.0, last, count)

    def book_id(self, index: int) -> int:
        """Return the id of the last recorded update."""
        return self._books[index].last_id

    def touch(self) -> None:
        """Do nothing: the recorded ids count."""
