"""The port of a venue that lies beyond a wire: every question is awaited, and what happens to orders comes by streams.

``ports.Venue`` is an exchange in memory that bars drive. This one answers late, twice or never, and everything that
trades live goes through it: the Binance adapter, the paper adapter on live market data, the simulated network.

Refusals are values (an ``OrderUpdate`` REJECTED whose reason begins with a ``Rejection`` code). What is raised says
only whether a request took effect: ``VenueUnavailable`` no, ``OutcomeUnknown`` nobody knows, ``VenueError`` else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

import msgspec

from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition


class Kline(msgspec.Struct, frozen=True, kw_only=True):
    """A completed bar as the venue tells it; *ts_ns* marks its open."""

    symbol: str
    interval_ns: int
    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """Best bid and ask."""

    symbol: str
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    ts_ns: int


class MarkPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Mark price and the funding that is due next."""

    symbol: str
    price: float
    funding_rate: float
    next_funding_ns: int
    ts_ns: int


class WalletChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The wallet as the account stream tells it; *reason* in the venue's word (ORDER, FUNDING_FEE, DEPOSIT...)."""

    wallet: float
    reason: str
    ts_ns: int
    moved: float = 0.0  # paid in or out, USDT; 0.0 for profit, fees and funding


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money paid into the account or taken out: no result of trading."""

    move_id: str  # the venue's, the same each time it is asked for
    amount: float  # USDT, signed
    ts_ns: int
    reason: str  # in the venue's word


class LeverageChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changed a symbol's leverage."""

    symbol: str
    leverage: float
    ts_ns: int


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream went down, or is up again: whatever came in between is missing and must be asked for."""

    stream: str  # "market" | "user"
    up: bool
    ts_ns: int
    reason: str = ""


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """Something came that could not be read: whatever it said is lost, and counted."""

    stream: str  # "market" | "user"


StreamEvent = (
    Kline | Quote | MarkPrice | OrderUpdate | Fill | FundingPayment | WalletChanged | LeverageChanged | StreamState
    | Unreadable
)


class ExecutionVenue(Protocol):
    """An account at a venue, over a wire. Times are nanoseconds, money is USDT, a position's quantity is signed."""

    name: str  # of the endpoint, as "binance-testnet"
    symbols: tuple[str, ...]
    receive_window_s: float  # a request that has not arrived after this long never will

    async def connect(self) -> None:
        """Load filters and tiers, measure the clock, refuse what is not safe to trade on (ConfigError)."""
        ...

    async def close(self) -> None:
        """Hang up; safe to call twice."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        ...

    def clock_offset_ms(self) -> float:
        """The venue's clock less ours, at the last measurement."""
        ...

    def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        """Events until :meth:`close`; begins with a StreamState for each stream and reconnects by itself."""
        ...

    async def get_positions(self) -> list[VenuePosition]:
        """Return the open positions."""
        ...

    async def get_cash_balance(self) -> VenueBalance:
        """Return the account's money."""
        ...

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """Return the completed bars that open in [start, end), oldest first, however many requests it takes."""
        ...

    async def get_ticker_price(self, symbol: str) -> float:
        """Return the last traded price."""
        ...

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """Ask for a leverage and return the one that was read back; the caller compares."""
        ...

    async def get_leverages(self) -> dict[str, float]:
        """Return the leverage in force of every symbol of ours, read from the venue now."""
        ...

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Acknowledge (NEW, or further where the venue is quick) or refuse (REJECTED) an order."""
        ...

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """Cancel an open order; a finished one answers its final status, an unknown one REJECTED -2011."""
        ...

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """Return an order by its client id; None when the venue does not know it."""
        ...

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, stops and targets included, oldest first."""
        ...

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """Return the account's fills since *since_ns*, oldest first, each with the client id of its order."""
        ...

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """Return funding paid or received since *since_ns*, oldest first; *ts_ns* is the same wherever it is told."""
        ...


    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """Return money paid in or taken out since *since_ns*, oldest first; profit, fees and funding are none of it."""
        ...


@runtime_checkable
class ChangingVenue(Protocol):
    """A venue that tells filters as they were when it was last asked for them."""

    async def read_instruments(self) -> None:
        """Ask for the filters of every symbol; from then on ``instrument`` tells them."""
        ...


@runtime_checkable
class PreparingVenue(Protocol):
    """A venue that can make an order's bytes at once, before anything is awaited, and send them afterwards."""

    def prepare_order(self, request: OrderRequest) -> Any:
        """Return what :meth:`submit_prepared` sends, signed now."""
        ...

    async def submit_prepared(self, request: OrderRequest, prepared: Any) -> OrderUpdate:
        """As ``submit_order``, with what :meth:`prepare_order` made of *request*."""
        ...
