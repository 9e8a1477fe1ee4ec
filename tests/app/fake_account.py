"""An account in memory behind the venue port: virtual time, and answers that go wrong on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import InputError, OutcomeUnknown, VenueUnavailable
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import Kline, StreamEvent, Transfer

START_NS = 1_700_000_000 * NS_PER_SECOND


def position(symbol: str, qty: float) -> VenuePosition:
    """An open position at 100."""
    return VenuePosition(
        symbol=symbol, qty=qty, entry_price=100.0, leverage=5.0, margin=20.0 * abs(qty), liquidation_price=0.0,
        mark_price=100.0, unrealised_pnl=0.0,
    )


def order(
    order_id: str, symbol: str, side: OrderSide, kind: OrderType, qty: float, *, reduce_only: bool = True,
    stop_price: float = 0.0,
) -> VenueOrder:
    """A resting order."""
    return VenueOrder(
        client_order_id=order_id, venue_order_id=f"v-{order_id}", symbol=symbol, side=side, type=kind, qty=qty,
        filled_qty=0.0, average_price=0.0, price=0.0 if stop_price else 95.0, stop_price=stop_price,
        reduce_only=reduce_only, status=OrderStatus.NEW, created_ns=START_NS,
    )


@dataclass
class FakeAccount:
    """Positions and orders in memory behind the venue port.

    *faults* maps a method to what its next calls do first: an exception to raise, "lost" (raise OutcomeUnknown, nothing
    happened), "late" (raise OutcomeUnknown after it happened), or a rejection's text.
    """

    held: dict[str, float] = field(default_factory=dict)
    resting: dict[str, VenueOrder] = field(default_factory=dict)
    faults: dict[str, list[Exception | str]] = field(default_factory=dict)
    largest: float = 1e9  # of a market order
    now: int = START_NS
    refuses: tuple[str, ...] = ()  # symbols it was not connected for
    name: str = "local"
    symbols: tuple[str, ...] = ("AAAUSDT", "BBBUSDT")
    receive_window_s: float = 5.0

    def __post_init__(self) -> None:
        self.log: list[tuple[str, str, float]] = []  # what took effect
        self.calls: Counter[str] = Counter()
        self.done: dict[str, VenueOrder] = {}
        self.waited = 0.0
        self.open = False
        self.on_look: Callable[[], None] | None = None

    def now_ns(self) -> int:
        """The virtual clock."""
        return self.now

    async def pause(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.waited += seconds
        self.now += round(seconds * NS_PER_SECOND)

    def _meet(self, method: str) -> str:
        """Take the next fault of *method*."""
        self.calls[method] += 1
        self.now += 1_000_000
        waiting = self.faults.get(method, [])
        fault = waiting.pop(0) if waiting else ""
        if isinstance(fault, Exception):
            raise fault
        return fault

    async def connect(self) -> None:
        """Open."""
        self._meet("connect")
        self.open = True

    async def close(self) -> None:
        """Hang up."""
        self.open = False

    def instrument(self, symbol: str) -> Instrument:
        """Filters that fit any test."""
        tier = LeverageTier(max_notional=1e9, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0)
        return Instrument(
            symbol=symbol, tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=(tier,)
        )

    def clock_offset_ms(self) -> float:
        """No offset."""
        return 0.0

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        """No events."""
        return
        yield

    async def get_positions(self) -> list[VenuePosition]:
        """What is held."""
        self._meet("get_positions")
        if self.on_look is not None:
            self.on_look()
        return [position(symbol, qty) for symbol, qty in self.held.items() if qty]

    async def get_cash_balance(self) -> VenueBalance:
        """A thousand."""
        self._meet("get_cash_balance")
        return VenueBalance(wallet=1000.0, unrealised_pnl=0.0, margin_used=0.0, available=1000.0)

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """No bars."""
        return []

    async def get_ticker_price(self, symbol: str) -> float:
        """A hundred."""
        return 100.0

    async def get_leverages(self) -> dict[str, float]:
        """Not asked for here."""
        return {}

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """As asked."""
        return leverage

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Fill a reduce-only market order at once."""
        fault = self._meet("submit_order")
        if fault == "lost":
            raise OutcomeUnknown("no answer")
        if fault and fault != "late":
            return self._update(request, OrderStatus.REJECTED, fault)
        if request.symbol in self.refuses:
            raise InputError(f"symbol = {request.symbol!r}: not connected")
        assert request.type is OrderType.MARKET
        assert request.reduce_only
        qty = self.held.get(request.symbol, 0.0)
        closes = qty > 0.0 if request.side is OrderSide.SELL else qty < 0.0
        if not closes:
            return self._update(request, OrderStatus.REJECTED, "-2022 ReduceOnly Order is rejected.")
        if request.qty > self.largest:
            return self._update(request, OrderStatus.REJECTED, "-4005 Quantity greater than max quantity.")
        size = min(request.qty, abs(qty))
        left = round(abs(qty) - size, 9)
        self.held[request.symbol] = left if qty > 0.0 else -left
        self.log.append(("close", request.symbol, size))
        sent = order(request.client_order_id, request.symbol, request.side, request.type, request.qty)
        self.done[request.client_order_id] = msgspec.structs.replace(sent, filled_qty=size, status=OrderStatus.FILLED)
        if fault == "late":
            raise OutcomeUnknown("no answer")
        return self._update(request, OrderStatus.NEW, "")

    def _update(self, request: OrderRequest, status: OrderStatus, reason: str) -> OrderUpdate:
        return OrderUpdate(
            client_order_id=request.client_order_id, venue_order_id="1", symbol=request.symbol, status=status,
            ts_ns=self.now, reason=reason,
        )

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """Cancel what rests."""
        fault = self._meet("cancel_order")
        if fault == "lost":
            raise OutcomeUnknown("no answer")
        found = self.resting.pop(request.client_order_id, None)
        if found is not None:
            self.log.append(("cancel", request.client_order_id, found.qty))
        if fault == "late":
            raise OutcomeUnknown("no answer")
        return OrderUpdate(
            client_order_id=request.client_order_id, venue_order_id="1", symbol=request.symbol, ts_ns=self.now,
            status=OrderStatus.CANCELED if found else OrderStatus.REJECTED, reason="" if found else "-2011 unknown",
        )

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """What became of an order."""
        self._meet("get_order")
        return self.done.get(client_order_id)

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """What rests."""
        self._meet("open_orders")
        return list(self.resting.values())

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """None."""
        return []

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """None."""
        return []

    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """None."""
        return []


def protected_account() -> FakeAccount:
    """A long and a short with their stops, a resting opening of ours and a manual one."""
    account = FakeAccount(held={"AAAUSDT": 2.0, "BBBUSDT": -0.5})
    for made in (
        order("qt-stop-a", "AAAUSDT", OrderSide.SELL, OrderType.STOP_MARKET, 2.0, stop_price=90.0),
        order("qt-target-a", "AAAUSDT", OrderSide.SELL, OrderType.TAKE_PROFIT_MARKET, 2.0, stop_price=120.0),
        order("qt-stop-b", "BBBUSDT", OrderSide.BUY, OrderType.STOP_MARKET, 0.5, stop_price=110.0),
        order("qt-open", "AAAUSDT", OrderSide.BUY, OrderType.LIMIT, 1.0, reduce_only=False),
        order("manual", "BBBUSDT", OrderSide.SELL, OrderType.LIMIT, 1.0, reduce_only=False),
    ):
        account.resting[made.client_order_id] = made
    return account


UNREACHED = VenueUnavailable("connection refused", 2.0)
