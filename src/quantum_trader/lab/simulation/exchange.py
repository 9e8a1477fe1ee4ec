"""The exchange of a simulated day: the truth about orders and money, which outlives every restart of the trader.

A paper venue does the matching; it gets ticks instead of bars (:mod:`.market`). What the exchange refuses is in
:mod:`.refusals`; what people and the exchange itself do to the account is in :mod:`.exchange_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.errors import VenueError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueEvent, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import FundingRate, Kline, LeverageChanged, StreamEvent, Transfer, WalletChanged
from quantum_trader.lab.simulation.client_faults import CLIENT_FAULTS, HEDGE_REFUSAL, ClientFaults
from quantum_trader.lab.simulation.deadlines import Disruptions
from quantum_trader.lab.simulation.exchange_faults import ExchangeFaults
from quantum_trader.lab.simulation.loop import VirtualLoop
from quantum_trader.lab.simulation.market import TICKS_PER_BAR, BarsBefore, SimulatedMarket
from quantum_trader.lab.simulation.refusals import Refusals
from quantum_trader.lab.simulation.schedule import FOREIGN_SYMBOLS, Fault, Kind
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

KLINE_DELAY_S: Final = 0.02  # from the end of a bar to its message
Publish = Callable[[str, tuple[StreamEvent, ...]], None]


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """One order the exchange accepted, with leverage and position at that moment."""

    ts_ns: int
    request: OrderRequest
    leverage: float
    position_qty: float
    by_trader: bool


class SimulatedExchange:
    """Account and matching of one day. *ohlcv* (T, S, 5) are the day's bars, the first opening at *start_ns*.

    *before*: the bars of before it, which can be asked for.

    *publish* carries each message (stream, events) to the trader; *struck* is called with the kind of every fault that
    takes effect here. Both are set by the owner of the day.
    """

    def __init__(
        self, loop: VirtualLoop, instruments: Sequence[Instrument], ohlcv: Any, start_ns: int, interval_ns: int,
        wallet: float, rng: Random, disruptions: Disruptions | None = None, before: BarsBefore | None = None,
    ) -> None:
        self.loop, self.disruptions = loop, disruptions or Disruptions()
        self.paper = PaperVenue(
            instruments, PaperSettings(initial_cash=wallet, participation=1.0, default_taker_cost_bps=1.0)
        )
        self.market = SimulatedMarket(instruments, ohlcv, start_ns, interval_ns, rng, before)
        self.symbols = self.market.symbols
        self.refusals = Refusals(self.market, self._refused)
        self.faults, self.clients = ExchangeFaults(self), ClientFaults(self)
        self.fills: list[Fill] = []
        self.funding: list[FundingPayment] = []
        self.transfers: list[Transfer] = []
        self.accepted: list[Acceptance] = []
        self.acceptances: dict[str, int] = {}  # client order id -> times accepted
        self.cancelled: list[VenueOrder] = []  # open stops that the trader cancelled
        self.leverage_changed_ns: dict[str, int] = {}  # when a person last changed a symbol's leverage
        self.publish: Publish = ignore_message
        self.struck: Callable[[Kind], None] = lambda kind: None
        self.version = 0  # rises whenever an order or a position changes
        self._batch_ns = 0
        self.settle()
        self._schedule_bar(0)

    # ------------------------------------------------------------------ time

    def now_ns(self) -> int:
        """The venue's clock."""
        return self.market.start_ns + round(self.loop.time() * NS_PER_SECOND)

    def _schedule_bar(self, bar: int) -> None:
        """Schedule the ticks of one bar and its end; the end schedules the next."""
        if bar >= self.market.bar_count:
            return
        length = self.market.interval_ns / NS_PER_SECOND
        begin = bar * length
        for tick in range(TICKS_PER_BAR):
            at = begin + tick * (length - 2.0) / (TICKS_PER_BAR - 1) + 0.5
            self.loop.call_at(at, self._tick, bar, tick)
        self.loop.call_at(begin + length + KLINE_DELAY_S, self._end_bar, bar)

    def _tick(self, bar: int, tick: int) -> None:
        self.market.walk(bar, tick)
        self.settle()
        self.publish_prices()
        self.faults.retry()
        self.clients.retry()

    def _end_bar(self, bar: int) -> None:
        for kline in self.market.complete(bar):
            self.publish("market", (kline,))
        self._schedule_bar(bar + 1)

    # ------------------------------------------------------------------ matching and messages

    def settle(self) -> None:
        """Match every waiting order at the prices that stand."""
        self._batch_ns = max(self.now_ns(), self._batch_ns + 1)
        self._publish_account(self.paper.on_open(self.market.batch(self._batch_ns)))

    def publish_prices(self) -> None:
        """Send quotes and mark prices."""
        quotes = self.market.quotes(self.now_ns())
        if quotes:
            self.publish("market", tuple(quotes))

    def _publish_account(self, events: Sequence[VenueEvent]) -> None:
        """Note *events* and send them, each fill in one message with the order update that follows from it."""
        if not events:
            return
        self.version += 1
        pending: list[StreamEvent] = []
        for raw in events:
            event = _with_exchange_id(raw)
            if isinstance(event, Fill):
                event = self.clients.paid(event)
                self.fills.append(event)
            elif isinstance(event, FundingPayment):
                self.funding.append(event)
            elif event.status is OrderStatus.REJECTED:
                continue
            pending.append(event)
            if not isinstance(event, Fill) or event.client_order_id.startswith("autoclose"):
                self._publish_user(pending)
                pending = []
        if pending:
            self._publish_user(pending)

    def _publish_user(self, message: list[StreamEvent]) -> None:
        """Send one message of the user stream, and the wallet behind it where money moved."""
        self.publish("user", tuple(message))
        reason = "FUNDING_FEE" if isinstance(message[0], FundingPayment) else "ORDER"
        if reason == "FUNDING_FEE" or isinstance(message[0], Fill):
            wallet = self.paper.balance().wallet
            self.publish("user", (WalletChanged(wallet=wallet, reason=reason, ts_ns=self.now_ns()),))

    # ------------------------------------------------------------------ requests of the trader

    def submit(self, request: OrderRequest, *, by_trader: bool = True) -> OrderUpdate:
        """Accept or refuse an order; a market order meets the price at once, and the stream reports its fill."""
        now = self.now_ns()
        if by_trader and request.symbol in FOREIGN_SYMBOLS:
            return self.clients.submit(request)
        refused = self.refusals.reason(request) if by_trader else ""
        if self.clients.hedged:
            refused = HEDGE_REFUSAL
        if refused:
            return _rejection(request, refused, now)
        position = self.position_qty(request.symbol)
        leverage = self.paper.leverage(request.symbol) if request.symbol in self.market.index else 0.0
        events = self.paper.submit(msgspec.structs.replace(request, created_ns=now))
        answer = events[0]
        assert isinstance(answer, OrderUpdate)
        if answer.status is OrderStatus.NEW and not answer.reason:
            self.acceptances[request.client_order_id] = self.acceptances.get(request.client_order_id, 0) + 1
            self.accepted.append(
                Acceptance(
                    ts_ns=now, request=request, leverage=leverage, position_qty=position, by_trader=by_trader
                )
            )
            self._publish_account(events)
            self.settle()
        return answer

    def _refused(self, kind: Kind, symbol: str) -> None:
        self.struck(kind)
        self.disruptions.refused(symbol, self.loop.time())

    def cancel(self, request: CancelRequest, *, by_trader: bool = True) -> OrderUpdate:
        """Cancel an open order; for any other, answer its final status."""
        if request.symbol in FOREIGN_SYMBOLS:
            return self.clients.cancel(request)
        orders = self.paper.open_orders(request.symbol)
        open_now = [order for order in orders if order.client_order_id == request.client_order_id]
        if by_trader:
            self.cancelled += [order for order in open_now if order.type is OrderType.STOP_MARKET]
        events = self.paper.cancel(msgspec.structs.replace(request, created_ns=self.now_ns()))
        if open_now:
            self._publish_account(events)
        answer = events[0]
        assert isinstance(answer, OrderUpdate)
        return answer

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Set a leverage, unless a fault keeps the old one; returns the leverage in force."""
        if symbol in FOREIGN_SYMBOLS:
            return leverage
        in_force = self.paper.leverage(symbol)
        if self.refusals.keeps_leverage(symbol, in_force, leverage):
            return in_force
        return self.change_leverage(symbol, leverage)

    def change_leverage(self, symbol: str, leverage: float) -> float:
        """Set a leverage and report a change by the user stream; returns the leverage in force."""
        before = self.paper.leverage(symbol)
        actual = self.paper.set_leverage(symbol, leverage)
        if actual != before:
            self.publish("user", (LeverageChanged(symbol=symbol, leverage=actual, ts_ns=self.now_ns()),))
        return actual

    def bars(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """The completed bars of *symbol* that open in [start, end), of *interval_ns*; VenueError while refused."""
        if self.refusals.refuses_klines(symbol, self.loop.time()):
            self.struck(Kind.KLINES_REFUSED)
            self.disruptions.bars_s = self.loop.time()
            raise VenueError(f"{symbol}: bars cannot be asked for now")
        return self.market.bars(symbol, interval_ns, start_ns, end_ns)

    def funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """The funding rates of *symbol* charged in [start, end)."""
        due = self.paper.funding_schedule(symbol).due(start_ns - 1, min(end_ns - 1, self.now_ns()))
        return [FundingRate(symbol=symbol, ts_ns=ts_ns, rate=rate) for ts_ns, rate in due]

    def ticker(self, symbol: str) -> float:
        """The last price; VenueError for a delisted symbol."""
        if symbol in FOREIGN_SYMBOLS:
            return self.clients.price(symbol)
        index = self.market.index[symbol]
        if self.market.delisted[index]:
            raise VenueError(f"{symbol}: is not traded any more")
        return self.market.prices[index]

    def positions(self) -> list[VenuePosition]:
        """Every position of the account, in symbols that are not traded here too."""
        return [*self.paper.positions(), *self.clients.positions()]

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Every open order of the account, or those of *symbol*."""
        foreign = [order for order in self.clients.orders() if symbol in (None, order.symbol)]
        if symbol in FOREIGN_SYMBOLS:
            return foreign
        return [*self.paper.open_orders(symbol), *foreign]

    def order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """An order by its client id; None when it is not known."""
        if symbol in FOREIGN_SYMBOLS:
            return next((one for one in self.clients.orders() if one.client_order_id == client_order_id), None)
        return self.paper.get_order(client_order_id)

    def position_qty(self, symbol: str) -> float:
        """Signed quantity held of *symbol*."""
        return ordered_sum(position.qty for position in self.paper.positions() if position.symbol == symbol)

    # ------------------------------------------------------------------ faults and transfers

    def apply(self, fault: Fault) -> None:
        """Do what *fault* says; one that needs a position waits for the first."""
        if fault.kind in CLIENT_FAULTS:
            self.clients.apply(fault)
        else:
            self.faults.apply(fault)

    def transfer(self, amount: float) -> None:
        """Pay *amount* USDT into the account (below 0: out of it) and report it."""
        state = self.paper.state()
        state["account"]["cash"] += amount
        self.paper.load_state(state)
        self.transfers.append(Transfer(
            move_id=f"m{len(self.transfers)}", amount=amount, ts_ns=self.now_ns(), reason="TRANSFER"
        ))
        wallet = self.paper.balance().wallet
        reason = "DEPOSIT" if amount > 0.0 else "WITHDRAW"
        self.publish("user", (WalletChanged(wallet=wallet, reason=reason, ts_ns=self.now_ns(), moved=amount),))


def ignore_message(stream: str, message: tuple[StreamEvent, ...]) -> None:
    """Drop a message: no trader is connected."""


def _with_exchange_id(event: VenueEvent) -> VenueEvent:
    """*event* with the exchange's own order id for deleveraging, which counts as liquidation."""
    if isinstance(event, FundingPayment) or not event.client_order_id.startswith("adl_autoclose"):
        return event
    if isinstance(event, Fill):
        return msgspec.structs.replace(event, client_order_id="adl_autoclose", liquidation=True)
    return msgspec.structs.replace(event, client_order_id="adl_autoclose")


def _rejection(request: OrderRequest, reason: str, ts_ns: int) -> OrderUpdate:
    return OrderUpdate(
        client_order_id=request.client_order_id, venue_order_id="", symbol=request.symbol,
        status=OrderStatus.REJECTED, ts_ns=ts_ns, reason=reason,
    )
