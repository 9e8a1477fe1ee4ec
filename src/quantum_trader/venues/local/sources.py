"""Where prices and quantities come from: the port, and the source that plays bars and makes up a book around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from quantum_trader.domain.instrument import Instrument, ceil_to, floor_to
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.event_log import Recorded
from quantum_trader.venues.local.matching import Matching
from quantum_trader.venues.local.orders import Order, OrderTicket
from quantum_trader.venues.local.tape import Tape
from quantum_trader.venues.paper.fills import limit_marketable

if TYPE_CHECKING:
    from quantum_trader.venues.local.price_path import PricePath

MADE_UP_LEVELS: Final = 20
_LEVEL_USDT: Final = 10_000.0  # notional of the best level of a made-up book
_MOST_PARTS: Final = 1_000  # fills of one market order

BookLevels = list[tuple[float, float]]  # (price, quantity), best first
# priceMatch: whether the price is of the other side, and which level of it (from 1).
PRICE_MATCHES: Final = {
    "OPPONENT": (True, 1), "OPPONENT_5": (True, 5), "OPPONENT_10": (True, 10), "OPPONENT_20": (True, 20),
    "QUEUE": (False, 1), "QUEUE_5": (False, 5), "QUEUE_10": (False, 10), "QUEUE_20": (False, 20),
}


class PriceSource(Protocol):
    """Moves the market's time and prices, shows a book, and fills new orders from it."""

    def advance(self, to_ns: int, path: PricePath) -> Recorded | None:
        """Let time pass up to *to_ns*; return what a recording lists of book and trades, None without one."""

    def prepare(self, index: int, ticket: OrderTicket) -> None:
        """Set the price that the paper venue must see before it takes the order."""

    def fill(self, order: Order) -> None:
        """Fill a new order from what the market has now."""

    def limit_fills(self, index: int) -> None:
        """Apply the market's largest fill to the next batches."""

    def fillable(self, index: int, sign: int, price: float) -> float:
        """Return how much a limit order of *sign* at *price* would take at once; 0.0 when it would rest."""

    def quote(self, index: int) -> tuple[float, float]:
        """Return best bid and ask."""

    def levels(self, index: int, count: int) -> tuple[BookLevels, BookLevels]:
        """Return bids and asks, best first."""

    def levels_at(self, index: int, last: float, count: int) -> tuple[BookLevels, BookLevels]:
        """Return the book made up around a *last* price."""

    def book_id(self, index: int) -> int:
        """Return the update id of the symbol's current book."""

    def touch(self) -> None:
        """Count an update of the book, so that a snapshot's id lies within the next update's."""


def matched_price(source: PriceSource, index: int, sign: int, price_match: str) -> float:
    """Return the price that *price_match* means for an order of *sign* now; -5041 where the book is not that deep."""
    opponent, level = PRICE_MATCHES[price_match]
    bids, asks = source.levels(index, level)
    side = asks if (sign > 0) == opponent else bids
    if len(side) < level:
        raise VenueApiError(-5041)
    return side[level - 1][0]


class BarSource:
    """Plays the bars of *tape* along the path assumed inside each; the book is made up around the last price."""

    def __init__(self, matching: Matching, tape: Tape, taker_cost_bps: float) -> None:
        self._matching = matching
        self._market = matching.market
        self._tape = tape
        self._taker_cost_bps = taker_cost_bps
        self._row = tape.row_at(self._market.now_ns)  # the bar that runs; -1 before the first

    # ------------------------------------------------------------------ time

    def advance(self, to_ns: int, path: PricePath) -> Recorded | None:
        """Let time pass up to *to_ns*, corner by corner."""
        while self._market.now_ns < to_ns:
            self._advance_once(to_ns, path)
        return None

    def _advance_once(self, to_ns: int, path: PricePath) -> None:
        """Process one leg of the path inside a bar, or go on to the next bar."""
        row, tape, market = self._row, self._tape, self._market
        row_end = int(tape.ts_ns[row]) + tape.interval_ns if row >= 0 else -1
        if row >= 0 and market.now_ns < row_end:
            target = min(to_ns, tape.next_corner(row, market.now_ns))
            market.now_ns = target
            path.move(tape.prices(row, target), tape.present[row])
            if target < row_end:
                return
        following = row + 1
        opens = int(tape.ts_ns[following]) if following < len(tape) else to_ns + 1
        if opens > to_ns:
            market.now_ns = to_ns
            self._matching.settle()
            return
        market.now_ns, self._row = opens, following
        present = tape.present[following]
        path.jump(np.where(present, tape.ohlcv[following, :, 0], market.last))

    # ------------------------------------------------------------------ orders

    def prepare(self, index: int, ticket: OrderTicket) -> None:
        """Do nothing: the paper venue sees the last price already."""

    def fill(self, order: Order) -> None:
        """Fill a new order at the current price, in as many parts as the volume makes."""
        self._matching.settle()
        index, parts = self._tape.index[order.ticket.symbol], 0
        expires = self._market.rest_expires[index]
        while order.status == "PARTIALLY_FILLED" and not expires and parts < _MOST_PARTS:
            if order.ticket.type == "LIMIT" and order.ticket.tif not in ("IOC", "FOK"):
                return  # the rest of it rests
            self._matching.settle()
            parts += 1

    def limit_fills(self, index: int) -> None:
        """Make the largest fill the volume of the next batches."""
        self._market.volume[index] = self._market.largest_fill[index]

    def fillable(self, index: int, sign: int, price: float) -> float:
        """Return the volume where a limit order of *sign* at *price* would trade at once; else 0.0."""
        market = self._market
        return float(market.volume[index]) if limit_marketable(sign, price, float(market.last[index])) else 0.0

    # ------------------------------------------------------------------ book

    def quote(self, index: int) -> tuple[float, float]:
        """Return best bid and ask: the taker's cost to either side of the last price."""
        bids, asks = self.levels_at(index, float(self._market.last[index]), 1)
        return bids[0][0], asks[0][0]

    def levels(self, index: int, count: int) -> tuple[BookLevels, BookLevels]:
        """Return bids and asks, best first, at most 20 of each."""
        return self.levels_at(index, float(self._market.last[index]), min(count, MADE_UP_LEVELS))

    def levels_at(self, index: int, last: float, count: int) -> tuple[BookLevels, BookLevels]:
        """Return the book made up around a *last* price."""
        return made_up_levels(self._tape.instruments[index], self._taker_cost_bps, last, count)

    def book_id(self, index: int) -> int:
        """Return the number of updates so far."""
        return self._market.updates

    def touch(self) -> None:
        """Count an update of the book."""
        self._market.updates += 1


def made_up_levels(instrument: Instrument, cost_bps: float, last: float, count: int) -> tuple[BookLevels, BookLevels]:
    """Return *count* bids and asks *cost_bps* away from the *last* price: a tick apart, with growing sizes."""
    cost, tick = cost_bps * 1e-4, instrument.tick_size
    bid = max(floor_to(last * (1.0 - cost), tick), tick)
    ask = max(ceil_to(last * (1.0 + cost), tick), bid + tick)
    lot = max(instrument.step_size, _LEVEL_USDT / ask)
    bids = [(bid - level * tick, lot * (1 + level)) for level in range(count) if bid - level * tick > tick / 2]
    return bids, [(ask + level * tick, lot * (1 + level)) for level in range(count)]
