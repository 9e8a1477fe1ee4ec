"""A slow, obvious model of the paper exchange in decimals, written from the rules and not from the code.

One symbol after another, one order after another, no watch lists, no shared arithmetic: what the fast venue is
compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from tests.venues.paper.world import BUY, LIMIT, MARKET, STOP, TARGET, TIERS

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.trading import OrderRequest

TICK, STEP = Decimal("0.01"), Decimal("0.001")
TAKER, MAKER = Decimal("0.0005"), Decimal("0.0002")
ZERO = Decimal(0)


def dec(value: float) -> Decimal:
    """The decimal a person would write for *value*."""
    return Decimal(repr(value))


@dataclass
class Order:
    """An open order: *phase* is 'market' until it needs no price any more, else 'rest'."""

    id: str
    symbol: str
    sign: int
    kind: object
    left: Decimal
    level: Decimal
    reduce: bool
    phase: str
    reserve: Decimal = ZERO  # per unit


@dataclass
class Book:
    """One symbol's position."""

    qty: Decimal = ZERO
    entry: Decimal = ZERO
    margin: Decimal = ZERO
    last: Decimal = ZERO
    funded: int = 0


@dataclass
class Reference:
    """The whole exchange. *fills* lists (order id, qty, price, fee) in order."""

    symbols: tuple[str, ...]
    cash: Decimal
    cost_bps: Decimal
    range_bps: Decimal  # times twice the range over the open: the bars are hours, a quarter of 4
    maker_bps: Decimal
    liquidation_bps: Decimal
    funding_rate: Decimal
    share: Decimal  # of a bar's volume an order may fill; 0: no limit
    leverage: Decimal
    books: dict[str, Book] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    fills: list[tuple[str, Decimal, Decimal, Decimal]] = field(default_factory=list)
    closes: int = 0
    now: int = 0
    bars: dict[str, tuple[Decimal, ...] | None] = field(default_factory=dict)

    def bar(self, ts_ns: int, bars: dict[str, tuple[float, ...] | None]) -> None:
        """Run one hour: funding, waiting orders at the open, gaps, then ranges."""
        self.now = ts_ns
        self.bars = {s: None if b is None else tuple(dec(x) for x in b) for s, b in bars.items()}
        seen: set[str] = set()
        for symbol, bar in self.bars.items():
            if bar is not None:
                self.books[symbol].last = bar[0]
                self._fund(symbol)
        for order in list(self.orders):
            bar = self.bars[order.symbol]
            if order.phase == "market" and bar is not None:
                self._at_open(order, bar, seen)
        for symbol, bar in self.bars.items():
            if bar is not None:
                self._prices(symbol, bar[0], bar[0], bar[0], seen)
        for symbol, bar in self.bars.items():
            if bar is not None:
                self._prices(symbol, bar[0], bar[2], bar[1], seen)
                self.books[symbol].last = bar[3]

    def submit(self, request: OrderRequest) -> bool:
        """Whether the order is accepted."""
        book, sign = self.books[request.symbol], 1 if request.side is BUY else -1
        kind, qty = request.type, dec(request.qty)
        level = dec(request.price) if kind is LIMIT else dec(request.stop_price)
        order = Order(request.client_order_id, request.symbol, sign, kind, qty, level, request.reduce_only, "rest")
        if order.reduce:
            if sign * book.qty >= 0:
                return False
        elif not self._may_open(order, level if level > 0 else book.last):
            return False
        if kind is MARKET or (kind is LIMIT and sign * (level - book.last) >= 0):
            order.phase = "market"
        if (kind is STOP and sign * (level - book.last) <= 0) or (kind is TARGET and sign * (level - book.last) >= 0):
            return False
        self.orders.append(order)
        return True

    def cancel(self, order_id: str) -> None:
        """Take an order away."""
        self.orders = [order for order in self.orders if order.id != order_id]

    def equity(self) -> Decimal:
        """Wallet and open profit."""
        return self.cash + sum((b.qty * (b.last - b.entry) for b in self.books.values()), ZERO)

    def available(self) -> Decimal:
        """What is free for new entries."""
        margins = sum((b.margin for b in self.books.values()), ZERO)
        return self.cash - margins - sum((o.reserve * o.left for o in self.orders), ZERO)

    def liquidation(self, book: Book) -> Decimal:
        """The price whose own tier says that margin and profit equal maintenance; 0 for none."""
        if book.qty == 0:
            return ZERO
        size, sign, floor = abs(book.qty), 1 if book.qty > 0 else -1, ZERO
        for tier in TIERS:
            rate, amount = dec(tier.maintenance_margin_rate), dec(tier.maintenance_amount)
            price = (size * book.entry - sign * (book.margin + amount)) / (size * (1 - sign * rate))
            if floor <= size * price <= dec(tier.max_notional):
                return price
            floor = dec(tier.max_notional)
        return ZERO

    def _may_open(self, order: Order, price: Decimal) -> bool:
        book = self.books[order.symbol]
        if self.bars.get(order.symbol) is None and order.left > self._closes(order, book):
            return False
        if order.left * price < 5:
            return False
        opening = order.left - self._closes(order, book)
        if opening <= 0:
            return True
        same = abs(book.qty) if order.sign * book.qty > 0 else ZERO
        same += sum(
            (o.left for o in self.orders if o.symbol == order.symbol and o.sign == order.sign and not o.reduce), ZERO
        )
        cap = max(dec(t.max_notional) for t in TIERS if dec(t.max_leverage) >= self.leverage)
        need = opening * price / self.leverage + order.left * price * TAKER
        if opening < order.left:
            need -= book.margin + book.qty * (price - book.entry)
        if (same + opening) * price > cap or need > self.available():
            return False
        order.reserve = max(need, ZERO) / order.left
        return True

    @staticmethod
    def _closes(order: Order, book: Book) -> Decimal:
        return min(order.left, abs(book.qty)) if order.sign * book.qty < 0 else ZERO

    def _fund(self, symbol: str) -> None:
        book, grid = self.books[symbol], 8 * NS_PER_HOUR
        if book.qty != 0:
            for _ in range(self.now // grid - book.funded // grid):
                self.cash -= book.qty * book.last * self.funding_rate
            book.funded = self.now

    def _at_open(self, order: Order, bar: tuple[Decimal, ...], seen: set[str]) -> None:
        price = self._worse(order, bar[0])
        if order.kind is LIMIT:
            order.phase = "rest"
            if order.sign * (order.level - bar[0]) < 0:
                return
            price = min(price, order.level) if order.sign > 0 else max(price, order.level)
        seen.add(order.id)
        self._fill(order, price, TAKER)

    def _prices(self, symbol: str, open_: Decimal, low: Decimal, high: Decimal, seen: set[str]) -> None:
        """What one symbol's prices reach, nearest stop or liquidation first, then targets and limits."""
        book = self.books[symbol]
        todo: list[tuple[int, Decimal, int, Order | None]] = []
        for place, order in enumerate(self.orders):
            fresh = order.symbol == symbol and order.phase == "rest" and order.id not in seen
            if fresh and self._reached(order, low, high):
                todo.append((0 if order.kind is STOP else 1, abs(order.level - open_), place, order))
        dead = self.liquidation(book)
        if dead > 0 and (low <= dead if book.qty > 0 else high >= dead):
            todo.append((0, abs(dead - open_), 10**6, None))
        for _, _, _, order in sorted(todo, key=lambda row: row[:3]):
            if order is None:
                self._liquidate(symbol, open_, low, high)
            elif order in self.orders:
                seen.add(order.id)
                if order.kind is LIMIT:
                    self._fill(order, order.level, MAKER)
                    continue
                worse, better = (max, min) if order.sign > 0 else (min, max)
                met = worse(order.level, open_) if order.kind is STOP else better(order.level, open_)
                order.phase = "market"
                self._fill(order, self._worse(order, met), TAKER)

    def _reached(self, order: Order, low: Decimal, high: Decimal) -> bool:
        through = order.level * self.maker_bps / 10_000
        if order.kind is LIMIT:
            return low < order.level - through if order.sign > 0 else high > order.level + through
        rising = (order.kind is STOP) == (order.sign > 0)
        return high >= order.level if rising else low <= order.level

    def _worse(self, order: Order, price: Decimal) -> Decimal:
        bar = self.bars[order.symbol]
        assert bar is not None
        cost = self.cost_bps + self.range_bps * 2 * (bar[1] - bar[2]) / bar[0]
        paid = round(price * (1 + order.sign * cost / 10_000) / TICK, 12)
        return paid.to_integral_value(ROUND_CEILING if order.sign > 0 else ROUND_FLOOR) * TICK

    def _fill(self, order: Order, price: Decimal, rate: Decimal) -> None:
        book, bar = self.books[order.symbol], self.bars[order.symbol]
        assert bar is not None
        wanted = self._closes(order, book) if order.reduce else order.left
        if wanted == 0:
            self.cancel(order.id)
            return
        most = (bar[4] * self.share / STEP).to_integral_value(ROUND_FLOOR) * STEP if self.share else wanted
        qty = min(wanted, most)
        if qty <= 0:
            return
        closing = min(qty, abs(book.qty)) if order.sign * book.qty < 0 else ZERO
        opening = qty - closing
        if opening > 0:
            room = self.available() + order.reserve * order.left
            if closing > 0:
                room += book.margin + book.qty * (price - book.entry)
            if opening * price / self.leverage + qty * price * rate > room:
                self.cancel(order.id)
                return
        self._move(order.symbol, order.sign, qty, price, qty * price * rate, order.id)
        order.left -= qty
        if order.left == 0 or (order.reduce and book.qty == 0):
            self.cancel(order.id)

    def _move(self, symbol: str, sign: int, qty: Decimal, price: Decimal, fee: Decimal, order_id: str) -> None:
        book = self.books[symbol]
        if book.qty == 0:
            book.funded = self.now
        closing = min(qty, abs(book.qty)) if sign * book.qty < 0 else ZERO
        self.cash += (1 if book.qty > 0 else -1) * closing * (price - book.entry) - fee
        if closing:
            book.margin -= book.margin * closing / abs(book.qty)
            book.qty += sign * closing
            if book.qty == 0:
                book.margin = book.entry = ZERO
        opening = qty - closing
        if opening:
            book.entry = (abs(book.qty) * book.entry + opening * price) / (abs(book.qty) + opening)
            book.margin += opening * price / self.leverage
            book.qty += sign * opening
        self.fills.append((order_id, qty, price, fee))

    def _liquidate(self, symbol: str, open_: Decimal, low: Decimal, high: Decimal) -> None:
        book = self.books[symbol]
        dead = self.liquidation(book)
        if not (dead > 0 and (low <= dead if book.qty > 0 else high >= dead)):
            return
        sign = -1 if book.qty > 0 else 1
        price = min(dead, open_) if sign < 0 else max(dead, open_)
        price = (price / TICK).to_integral_value(ROUND_FLOOR if sign < 0 else ROUND_CEILING) * TICK
        self.closes += 1
        fee = abs(book.qty) * price * (TAKER + self.liquidation_bps / 10_000)
        self._move(symbol, sign, abs(book.qty), price, fee, f"autoclose-{self.closes}")
        self.orders = [order for order in self.orders if order.symbol != symbol]
