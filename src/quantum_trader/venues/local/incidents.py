"""What an exchange may do to an account: halts, delisting, deleveraging, liquidation, fills in parts."""

from __future__ import annotations

from quantum_trader.venues.local.account import AccountMirror
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.conditional_orders import ConditionalOrders
from quantum_trader.venues.local.market import AMPLE
from quantum_trader.venues.local.matching import Matching
from quantum_trader.venues.local.price_path import PricePath
from quantum_trader.venues.local.regular_orders import RegularOrders
from quantum_trader.venues.local.sources import PriceSource
from quantum_trader.venues.local.tape import Tape


class Incidents:
    """Does one thing to one symbol on demand; -1121 for an unknown symbol."""

    def __init__(
        self, tape: Tape, matching: Matching, source: PriceSource, path: PricePath, account: AccountMirror,
        orders: RegularOrders, algos: ConditionalOrders,
    ) -> None:
        self._tape = tape
        self._matching = matching
        self._market = matching.market
        self._source = source
        self._path = path
        self._account = account
        self._orders = orders
        self._algos = algos

    def halt(self, symbol: str) -> None:
        """Stop trading in *symbol*: no prices, no new orders, no fills."""
        self._market.trading[self._tape.row_of(symbol)] = False

    def resume(self, symbol: str) -> None:
        """Trade again, from the tape's current price."""
        index = self._tape.row_of(symbol)
        if self._market.delisted[index]:
            raise VenueApiError(-4141)
        self._market.trading[index] = True
        price = self._tape.last_price(index, self._market.now_ns) or float(self._market.last[index])
        self._path.jump(self._market.with_price(index, price))

    def delist(self, symbol: str) -> None:
        """Settle the position, cancel what is open, and never trade *symbol* again."""
        index = self._tape.row_of(symbol)
        self._force_close(index, f"settlement_autoclose-{self._orders.next_id}")
        self._market.trading[index], self._market.delisted[index] = False, True

    def deleverage(self, symbol: str) -> None:
        """Close the position against another account's liquidation (ADL)."""
        self._force_close(self._tape.row_of(symbol), "adl_autoclose")

    def liquidate(self, symbol: str) -> None:
        """Move the price to the position's liquidation price and back; -4054 without a position."""
        index = self._tape.row_of(symbol)
        price = self._account.holding(index).liquidation
        if price <= 0.0:
            raise VenueApiError(-4054)
        before = self._market.last.copy()
        self._matching.step(self._market.with_price(index, price))
        self._matching.step(before)

    def limit_volume(self, symbol: str, qty: float | None, *, expire: bool = False) -> None:
        """Fill orders of *symbol* in parts of *qty*, or (*expire*) that much and no more; None: no limit."""
        index = self._tape.row_of(symbol)
        self._market.largest_fill[index] = AMPLE if qty is None else qty
        self._source.limit_fills(index)
        self._market.rest_expires[index] = expire

    def _force_close(self, index: int, client_id: str) -> None:
        """Close the position in the venue's name, after expiring the symbol's conditional orders."""
        self._algos.expire_all(index)
        closed = self._matching.paper.close_before_hole(self._tape.symbols[index], self._market.stamp_ns)
        self._matching.report(closed, forced_id=client_id)
