"""Margin at the paper venue: the leverage in force, the money available, and the refusals that follow from both."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quantum_trader.domain.enums import OrderType
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine.ports import Rejection
from quantum_trader.venues.paper import fills
from quantum_trader.venues.paper.account import PaperAccount
from quantum_trader.venues.paper.orders import OrderBook, PaperOrder, level_passed, refuse
from quantum_trader.venues.paper.prices import Prices


class Margin:
    """Leverage of every symbol, and whether the account can carry an order. Money in USDT."""

    def __init__(
        self, instruments: Sequence[Instrument], account: PaperAccount, orders: OrderBook, prices: Prices,
        default_leverage: float,
    ) -> None:
        self._instruments = tuple(instruments)
        self._account = account
        self._orders = orders
        self._prices = prices
        self.leverage = [self._allowed(index, default_leverage) for index in range(len(self._instruments))]

    def set_leverage(self, index: int, leverage: float) -> float:
        """Set and return the leverage in force; it stays as it is while a position or an opening order is there."""
        opening = any(not order.request.reduce_only for order in self._orders.by_row[index])
        if self._account.holdings[index].qty == 0.0 and not opening and math.isfinite(leverage):
            self.leverage[index] = self._allowed(index, leverage)
        return self.leverage[index]

    def change_leverage(self, index: int, leverage: float) -> Rejection | float:
        """Set *leverage* under what is open; return the margin its position lacks then, or why that is refused."""
        holding, before = self._account.holdings[index], self.leverage[index]
        opening = [order for order in self._orders.by_row[index] if not order.request.reduce_only]
        sides = [ordered_sum(order.remaining for order in opening if order.side_sign == sign) for sign in (1, -1)]
        largest = max(max(holding.qty, 0.0) + sides[0], max(-holding.qty, 0.0) + sides[1])
        if largest * self._prices.mark(index) > fills.tier_cap(leverage, self._account.tiers[index]):
            return Rejection.MAX_POSITION
        added = max(0.0, abs(holding.qty) * holding.entry / leverage - holding.margin)
        reserved = ordered_sum(order.reserved for order in opening) * max(0.0, before / leverage - 1.0)
        if leverage < before and added + reserved > self.available():
            return Rejection.MARGIN
        self.leverage[index] = leverage
        for order in opening:
            order.reserve *= before / leverage
        return added

    def may_move(self, index: int, amount: float) -> bool:
        """Whether *amount* may be added to (negative: taken from) the margin of the symbol's position."""
        holding = self._account.holdings[index]
        least = abs(holding.qty) * self._prices.mark(index) / self.leverage[index]
        too_little_left = amount < 0.0 and holding.margin + amount < least
        return not (holding.qty == 0.0 or amount > self.available() or too_little_left)

    def available(self) -> float:
        """Return the wallet less margins of positions and reserves of orders."""
        reserved = ordered_sum(order.reserved for order in self._orders.open.values())
        return self._account.cash - self._account.margin_used() - reserved

    def position_refusal(self, order: PaperOrder) -> str:
        """Return why position, notional or margin forbid *order*; reserves its margin when nothing does."""
        request, holding, index = order.request, self._account.holdings[order.index], order.index
        if request.reduce_only:
            reduces = order.side_sign * holding.qty < 0.0
            return "" if reduces else refuse(Rejection.REDUCE_ONLY, "no position to reduce")
        opening = holding.opening_qty(order.side_sign, request.qty)
        price = order.level or self._prices.at(index, request.created_ns)
        if opening > 0.0 and not (self._prices.has_bar(index) and price > 0.0):
            return refuse(Rejection.NO_PRICE, f"{request.symbol} has no price now")
        instrument, leverage = self._instruments[index], self.leverage[index]
        if request.qty * price < instrument.min_notional * (1.0 - 1e-9):
            return refuse(Rejection.MIN_NOTIONAL, f"notional is below {instrument.min_notional!r}")
        cap = fills.tier_cap(leverage, self._account.tiers[index])
        if opening > 0.0 and (self._same_side_qty(order) + opening) * price > cap:
            return refuse(Rejection.MAX_POSITION, f"notional above {cap!r} at leverage {leverage!r}")
        if opening > 0.0:
            need = fills.initial_margin(opening, price, leverage)
            need += fills.fee_amount(request.qty, price, instrument.taker_fee_bps)
            need -= self._freed(order, request.qty, price)
            if need > self.available():
                return refuse(Rejection.MARGIN, f"needs {need:.8g}, available {self.available():.8g}")
            order.reserve = max(0.0, need)
        return ""

    def price_refusal(self, order: PaperOrder) -> str:
        """Return why the last price forbids *order*; a limit that is already marketable waits for the next open.

        A post-only order rests at the last price too: that is where the best of its own side is taken to be.
        """
        last = self._prices.at(order.index, order.request.created_ns)
        if order.request.type is OrderType.LIMIT_MAKER:
            if last > 0.0 and order.side_sign * (order.level - last) > 0.0:
                return refuse(Rejection.POST_ONLY, f"{order.level!r} would take at the last price {last!r}")
        elif order.request.type is OrderType.LIMIT:
            order.waiting = last > 0.0 and fills.limit_marketable(order.side_sign, order.level, last)
        elif order.request.type is not OrderType.MARKET and last > 0.0 and level_passed(order, last):
            return refuse(Rejection.WOULD_TRIGGER, f"{order.level!r} is already passed by the last price {last!r}")
        return ""

    def is_short(self, order: PaperOrder, qty: float, price: float, fee: float) -> bool:
        """Whether the wallet cannot carry what filling *qty* at *price* opens."""
        opening = self._account.holdings[order.index].opening_qty(order.side_sign, qty)
        if opening <= 0.0:
            return False
        room = self.available() + order.reserved + self._freed(order, qty, price)
        return fills.initial_margin(opening, price, self.leverage[order.index]) + fee > room

    def _same_side_qty(self, order: PaperOrder) -> float:
        """Quantity of the position and of the open orders on the side of *order*."""
        holding = self._account.holdings[order.index]
        same = abs(holding.qty) if order.side_sign * holding.qty > 0.0 else 0.0
        for other in self._orders.by_row[order.index]:
            if other.side_sign == order.side_sign and not other.request.reduce_only:
                same += other.remaining
        return same

    def _freed(self, order: PaperOrder, qty: float, price: float) -> float:
        """What a fill that crosses zero frees first: the closed position's margin and profit (USDT)."""
        holding = self._account.holdings[order.index]
        if holding.opening_qty(order.side_sign, qty) >= qty:
            return 0.0
        return holding.margin + holding.qty * (price - holding.entry)

    def _allowed(self, index: int, leverage: float) -> float:
        """The whole number between 1 and the symbol's largest leverage that is nearest below *leverage*."""
        largest = max(row[2] for row in self._account.tiers[index])
        return float(math.floor(max(1.0, min(leverage, largest))))
