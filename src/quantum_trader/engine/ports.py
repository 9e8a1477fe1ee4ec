"""The engine's ports: interfaces of venues, record sinks, policy watchers and tracers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate, Signal

if TYPE_CHECKING:  # a venue adapter needs the port, not the policy room
    from quantum_trader.engine.facts import PolicyContext, PolicyVerdict, SignalDecision
    from quantum_trader.pilot.predictor import Predictions
    from quantum_trader.policy.policy import TradingPolicy

VenueEvent = OrderUpdate | Fill | FundingPayment


class Rejection(str, Enum):
    """Why a venue refuses an order, in the codes of Binance USD-M; an update's reason begins with one of them."""

    BAD_VALUE = "-1102"
    UNKNOWN_SYMBOL = "-1121"
    UNKNOWN_ORDER = "-2011"
    MARGIN = "-2019"
    WOULD_TRIGGER = "-2021"
    REDUCE_ONLY = "-2022"
    MAX_POSITION = "-2027"
    MIN_QTY = "-4004"
    TICK = "-4014"
    STEP = "-4023"
    DUPLICATE = "-4116"
    POST_ONLY = "-5022"
    NO_PRICE = "-4131"
    MIN_NOTIONAL = "-4164"
    LOST = "LOST"  # set by the adapter: the request did not reach the venue
    UNAVAILABLE = "UNAVAILABLE"  # set by the adapter: the venue is not reachable; openings are not queued


class VenuePosition(msgspec.Struct, frozen=True, kw_only=True):
    """An open position as reported by the venue. Money in USDT."""

    symbol: str
    qty: float  # signed: positive is long
    entry_price: float
    leverage: float
    margin: float  # isolated, locked inside the wallet
    liquidation_price: float  # 0.0 when there is none
    mark_price: float
    unrealised_pnl: float


class VenueBalance(msgspec.Struct, frozen=True, kw_only=True):
    """The account's money, in USDT. The wallet changes by realised profit, fees and funding alone."""

    wallet: float
    unrealised_pnl: float
    margin_used: float  # isolated margins of open positions
    available: float  # wallet less margins and what open orders reserve

    @property
    def equity(self) -> float:
        """Wallet and unrealised profit together."""
        return self.wallet + self.unrealised_pnl


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order as reported by the venue."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    qty: float
    filled_qty: float
    average_price: float  # 0.0 while nothing is filled
    price: float
    stop_price: float
    reduce_only: bool
    status: OrderStatus
    created_ns: int
    reason: str = ""


def update_of(order: VenueOrder, ts_ns: int, reason: str = "") -> OrderUpdate:
    """Return the event with *order*'s status."""
    return OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id=order.venue_order_id, symbol=order.symbol,
        status=order.status, ts_ns=ts_ns, filled_qty=order.filled_qty, reason=reason or order.reason,
    )


class Venue(Protocol):
    """An in-process venue: takes orders and returns events; the bars of each moment drive it.

    Row order of every batch is that of *symbols*. A returned list may be shared: callers read it, never change it.
    """

    symbols: tuple[str, ...]

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        ...

    def on_open(self, batch: MarketBatch) -> list[VenueEvent]:
        """Process the bars' opens: funding, waiting market orders, and orders that the opens gap through."""
        ...

    def on_range(self, batch: MarketBatch) -> list[VenueEvent]:
        """Process the bars' ranges, stops first; a repeated call for one batch processes stops sent since."""
        ...

    def submit(self, request: OrderRequest) -> list[VenueEvent]:
        """Acknowledge (NEW) or refuse (REJECTED) an order; never fill it at once."""
        ...

    def cancel(self, request: CancelRequest) -> list[VenueEvent]:
        """Cancel an open order; a finished one answers its final status, an unknown one REJECTED -2011."""
        ...

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Request a leverage and return the one in force; the caller compares."""
        ...

    def leverage(self, symbol: str) -> float:
        """Return the leverage in force for *symbol*."""
        ...

    def close_before_hole(self, symbol: str, ts_ns: int) -> list[VenueEvent]:
        """Cancel the symbol's orders and close its position at the last price before a hole in its data."""
        ...

    def positions(self) -> list[VenuePosition]:
        """Return the open positions, in the order of *symbols*."""
        ...

    def balance(self) -> VenueBalance:
        """Return the account's money at the last known prices."""
        ...

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, oldest first."""
        ...

    def get_order(self, client_order_id: str) -> VenueOrder | None:
        """Return an open or lately finished order by its client id; None when the venue has no such order."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state to save for a restart, as plain values that JSON and msgpack keep exactly."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`; StateError when it does not fit this venue."""
        ...


class RecordSink(Protocol):
    """Destination of encoded records; appending does not block on a disk."""

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Append one encoded record of *topic* at time *ts_ns*, in order."""
        ...


class PolicyWatcher(Protocol):
    """Observer of policies and signal decisions; its exceptions do not affect trading."""

    def policy_updated(self, policy: TradingPolicy, context: PolicyContext, now_ns: int) -> None:
        """Receive the policy now in force and its inputs."""
        ...

    def signal_decided(self, signal: Signal, decision: SignalDecision, verdict: PolicyVerdict) -> None:
        """Receive the decision on one signal and the policy's verdict."""
        ...


class PilotSource(Protocol):
    """A trained pilot as the engine asks it: the bars of a moment in, its choice for each ready symbol out.

    The same bars and accounts give the same predictions. An exception, such as one that says that an answer took too
    long, leaves trading without a pilot.
    """

    identity: str
    name: str  # for people
    length_ns: int  # of the bars that it observes
    horizon_ns: int  # for how long its positions are held on average
    stop_atr: float  # distance of a stop, in ATRs of these bars
    outcomes: tuple[float, ...]  # what its decisions were worth out of sample; empty: not known
    outcomes_until_ns: int  # close of the last bar that they are of
    trained_until_ns: int  # close of the last bar that it was trained on: it is not asked before that is over

    @property
    def range_ratios(self) -> Any:
        """ATR over close (S,) of the bars that were observed last; NaN where it is not known."""
        ...

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Take the bars (S, 5) that opened at *ts_ns* without a prediction."""
        ...

    def take(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Predictions:
        """Take the bars (S, 5) that opened at *ts_ns* with what feed (S, 5) and account (S, 11) say at their close."""
        ...

    def succeed(self, before: Any) -> None:
        """Go on with what *before*, the source of the model in force until now, has seen of the market.

        Raises StateError where that observes other bars or symbols.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to continue."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where it is another model's."""
        ...


class DecisionTracing(Protocol):
    """Times the steps of decisions with a clock of its own; decisions do not use its measurements."""

    def now(self) -> int:
        """Return the time, ns."""
        ...

    def start_trace(self, trace_id: str, ts_ns: int | None = None, *, symbol: str = "") -> str:
        """Begin a decision that a market event at *ts_ns* led to."""
        ...

    def mark(
        self, name: str, outcome: str = "OK", *, trace_id: str | None = None, at_ns: int | None = None, **facts: Any
    ) -> None:
        """Add the step that ends at *at_ns* (None: now) and began at the end of the last step."""
        ...

    def finish_trace(self, trace_id: str | None = None, end_ns: int | None = None, outcome: str = "DONE") -> None:
        """End a decision."""
        ...
