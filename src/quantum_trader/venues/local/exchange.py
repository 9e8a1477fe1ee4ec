"""The exchange behind the local venue: one account over the paper venue, a source of prices, and venue time.

Deterministic and without I/O: time passes in :meth:`Exchange.advance` alone, and what happened meanwhile comes out of
:meth:`Exchange.take_events`. Prices reach the paper venue as small batches in which one symbol's path is a straight
line, so that a market order fills at once at the current price and a conditional order at its trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import InputError
from quantum_trader.engine.ports import Rejection
from quantum_trader.venues.local.account import AccountMirror
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.checks import check_algo, check_order
from quantum_trader.venues.local.coin_fees import COIN, CoinFees
from quantum_trader.venues.local.conditional_orders import ConditionalOrders
from quantum_trader.venues.local.event_log import EventLog
from quantum_trader.venues.local.incidents import Incidents
from quantum_trader.venues.local.market import LocalMarket
from quantum_trader.venues.local.matching import Matching
from quantum_trader.venues.local.order_entry import OrderEntry
from quantum_trader.venues.local.orders import (
    AccountEvent,
    AlgoOrder,
    ConfigEvent,
    MarketTick,
    Order,
    OrderTicket,
    Trade,
    UserEvent,
)
from quantum_trader.venues.local.price_path import PricePath
from quantum_trader.venues.local.regular_orders import RegularOrders
from quantum_trader.venues.local.sources import BarSource, PriceSource
from quantum_trader.venues.local.tape import Tape
from quantum_trader.venues.paper.funding import FundingHistory
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the exchange behaves."""

    wallet: float = 10_000.0
    leverage: float = 20.0  # of a symbol whose leverage was never set
    taker_cost_bps: float = 1.0  # half spread and slippage; the quoted bid and ask are this far from the last price
    maker_slippage_bps: float = 0.4  # how far the price must trade through a resting limit order
    assumed_funding_rate: float = 0.0001
    link_by_order_id: bool = False  # a triggered order gets a client id of its own; TRIGGERED is reported first
    max_algo_orders: int = 200  # of all symbols together
    bnb: float = 0.0  # BNB in the wallet, which pays fees while it lasts
    bnb_price: float = 600.0  # USDT, where BNBUSDT is not traded here


class Exchange:
    """One account at one exchange. Money in USDT, times in ns; refusals are raised as VenueApiError.

    *source* makes the source of prices and quantities; bars of *tape* without it.
    """

    def __init__(
        self, tape: Tape, start_ns: int, settings: ExchangeSettings = ExchangeSettings(),  # noqa: B008 - frozen
        *, funding: FundingHistory | None = None, source: Callable[[Matching], PriceSource] | None = None,
    ) -> None:
        self.tape = tape
        self.settings = settings
        self.instruments, self.symbols, self.index = tape.instruments, tape.symbols, tape.index
        self.isolated = [False] * len(self.symbols)
        self.market = LocalMarket(tape, start_ns)
        self.account = AccountMirror(settings.wallet, self.instruments, CoinFees(settings.bnb, self._coin_price))
        self.paper = PaperVenue(self.instruments, _paper_settings(settings), funding=funding)
        self._log = EventLog(self.market)
        self._orders = RegularOrders()
        self._algos = ConditionalOrders(self.index, self.market, self._log, self._orders)
        self._matching = Matching(self.paper, self.market, self._log, self.account, self._orders, self._algos)
        self._matching.settle()
        self.source = BarSource(self._matching, tape, settings.taker_cost_bps) if source is None else (
            source(self._matching)
        )
        self._entry = OrderEntry(
            self.index, self._matching, self.source, self._log, self.account, self._orders, self._algos,
            link_by_order_id=settings.link_by_order_id,
        )
        self._path = PricePath(self._matching, self._algos, self._entry)
        self.incidents = Incidents(
            tape, self._matching, self.source, self._path, self.account, self._orders, self._algos
        )

    # ------------------------------------------------------------------ time and prices

    @property
    def now_ns(self) -> int:
        """The venue's time."""
        return self.market.now_ns

    @property
    def last(self) -> NDArray[np.float64]:
        """Last price of each symbol, shape (S,); 0.0 unknown."""
        return self.market.last

    @property
    def update_id(self) -> int:
        """The number of changes of prices or book so far."""
        return self.market.updates

    def advance(self, to_ns: int) -> None:
        """Let time pass up to *to_ns*; InputError when it would run backwards."""
        if to_ns < self.now_ns:
            raise InputError(f"to_ns = {to_ns}: is before the venue's time {self.now_ns}")
        self._log.tick(self.source.advance(to_ns, self._path))

    def show(self, prices: Mapping[str, float]) -> None:
        """Let symbols jump to *prices* at once, as in a gap, independent of the tape."""
        target = self.last.copy()
        for symbol, price in prices.items():
            target[self.row_of(symbol)] = price
        self._path.jump(target)
        self._log.tick()

    def take_events(self) -> list[UserEvent | MarketTick]:
        """Return what happened since the last call, in order."""
        return self._log.take()

    def funding_of(self, index: int) -> tuple[float, int]:
        """Return the rate that is due next, and when (ns)."""
        schedule = self.paper.funding_schedule(self.symbols[index])
        moment = schedule.next_after(self.now_ns)
        return schedule.rate_at(moment), moment

    def funding_hours(self, index: int) -> int:
        """Return the hours between the symbol's last funding and the next; a gap in the record counts as 8."""
        interval_ns = self.paper.funding_schedule(self.symbols[index]).interval_ns(self.now_ns)
        return min(8, max(1, round(interval_ns / NS_PER_HOUR)))

    def funding_paid(self, index: int, start_ns: int, end_ns: int) -> list[tuple[int, float]]:
        """Return (time, rate) of the symbol's fundings in [start, end]."""
        return self.paper.funding_schedule(self.symbols[index]).due(start_ns - 1, end_ns)

    def row_of(self, symbol: str) -> int:
        """Return the row of *symbol*; -1121 when it is unknown."""
        return self.tape.row_of(symbol)

    # ------------------------------------------------------------------ orders

    @property
    def orders(self) -> Mapping[int, Order]:
        """Every regular order by id, oldest first."""
        return self._orders.by_id

    @property
    def trades(self) -> list[Trade]:
        """The account's trades, oldest first."""
        return self._matching.trades

    def place(self, ticket: OrderTicket) -> Order:
        """Place a regular order; a market order is filled at the current price when this returns."""
        check_order(self, self.row_of(ticket.symbol), ticket)
        return self._entry.enter(ticket)

    def check(self, ticket: OrderTicket) -> Order:
        """Return the order that *ticket* would be, without placing it; refused where :meth:`place` checks it."""
        check_order(self, self.row_of(ticket.symbol), ticket)
        return Order(0, ticket, self.now_ns)

    def expire(self, order: Order | AlgoOrder) -> None:
        """End an order whose goodTillDate has come; nothing where it is not open any more."""
        if isinstance(order, AlgoOrder):
            if order in self._algos.waiting[self.row_of(order.ticket.symbol)]:
                self._algos.cancel(order, "EXPIRED")
                return
            actual = self.orders.get(order.actual_id)
            if actual is None:
                return
            order = actual
        if order.is_open:
            self._entry.expire(order)

    def cancel(self, order: Order) -> Order:
        """Cancel an open order; -2011 when it is not open."""
        return self._entry.cancel(order)

    def amend(self, order: Order, qty: float, price: float) -> Order:
        """Change an open limit order's quantity and price; it keeps its id and its fills."""
        if not order.is_open or order.ticket.type != "LIMIT":
            raise VenueApiError(-2013)
        if qty == order.qty and price == order.price:
            raise VenueApiError(-5027)
        changed = msgspec.structs.replace(order.ticket, qty=qty, price=price)
        check_order(self, self.row_of(order.ticket.symbol), changed, amended=order)
        return self._entry.amend(order, changed)

    def find(self, symbol: str, order_id: int = 0, client_id: str = "") -> Order | None:
        """Return the order of that id, or the newest one of that client id; None when there is none."""
        return self._orders.find(symbol, order_id, client_id)

    def open_orders(self, symbol: str = "") -> list[Order]:
        """Return open regular orders, oldest first."""
        return self._orders.open_of(symbol)

    # ------------------------------------------------------------------ conditional orders

    @property
    def algos(self) -> Mapping[int, AlgoOrder]:
        """Every conditional order by id, oldest first."""
        return self._algos.by_id

    def place_algo(self, ticket: OrderTicket) -> AlgoOrder:
        """Accept a conditional order into the algo service."""
        check_algo(self, self.row_of(ticket.symbol), ticket)
        return self._algos.add(ticket)

    def cancel_algo(self, algo: AlgoOrder) -> AlgoOrder:
        """Cancel a waiting conditional order; -2011 when it does not wait any more."""
        return self._algos.cancel(algo)

    def find_algo(self, algo_id: int = 0, client_id: str = "") -> AlgoOrder | None:
        """Return the conditional order of that id, or the newest one of that client id; None without one."""
        return self._algos.find(algo_id, client_id)

    def open_algos(self, symbol: str = "") -> list[AlgoOrder]:
        """Return waiting conditional orders, oldest first."""
        return self._algos.open_of(symbol)

    # ------------------------------------------------------------------ account

    def set_leverage(self, symbol: str, leverage: int) -> int:
        """Set and return the leverage in force, whatever is open.

        -4028 outside the table, -4161 for less on an isolated position, -2027 where the position is too large for it,
        -2028 where the wallet does not carry the margin it asks for.
        """
        index = self.row_of(symbol)
        if not 1 <= leverage <= max(tier.max_leverage for tier in self.instruments[index].tiers):
            raise VenueApiError(-4028, leverage)
        before, held = self.paper.leverage(symbol), self.account.holding(index)
        if leverage == before:
            return leverage
        if leverage < before and held.qty and self.isolated[index]:
            raise VenueApiError(-4161)
        added = self.paper.change_leverage(symbol, float(leverage))
        if isinstance(added, Rejection):
            raise VenueApiError(-2027 if added is Rejection.MAX_POSITION else -2028)
        self.account.add_margin(index, added)
        self.add_event(ConfigEvent(ts_ns=self.now_ns, symbol=symbol, leverage=leverage))
        return leverage

    def move_margin(self, index: int, amount: float) -> None:
        """Add margin to (negative: take from) an isolated position; -4051 for more than is free."""
        if not self.paper.move_margin(self.symbols[index], amount):
            raise VenueApiError(-4051)
        self.add_event(self.account.moved_margin(index, amount, float(self.last[index]), self.now_ns))

    def pay(self, amount: float) -> None:
        """Pay money into (negative: out of) the account; -4051 for more than is free."""
        if not self.paper.pay(amount):
            raise VenueApiError(-4051)
        self.add_event(self.account.paid(amount, self.now_ns))

    def pay_coin(self, amount: float) -> None:
        """Pay BNB into (negative: out of) the account; -4051 for more than there is."""
        if self.account.coin.balance + amount < 0.0:
            raise VenueApiError(-4051)
        self.add_event(self.account.paid_coin(amount, self.now_ns))

    def _coin_price(self) -> float:
        """Return what one BNB is worth (USDT): its last price here, else the setting."""
        row = self.index.get(f"{COIN}USDT")
        return (float(self.last[row]) if row is not None else 0.0) or self.settings.bnb_price

    def add_event(self, event: AccountEvent | ConfigEvent) -> None:
        """Add an event of the account to those that :meth:`take_events` returns."""
        self._log.add(event)


def _paper_settings(settings: ExchangeSettings) -> PaperSettings:
    """Return the settings of the paper venue behind the exchange."""
    return PaperSettings(
        initial_cash=settings.wallet, default_leverage=settings.leverage,
        default_taker_cost_bps=settings.taker_cost_bps, maker_slippage_bps=settings.maker_slippage_bps,
        participation=1.0, assumed_funding_rate=settings.assumed_funding_rate,
    )
