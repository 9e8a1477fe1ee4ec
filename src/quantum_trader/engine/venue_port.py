"""The port of a remote venue: every request is awaited, and order events arrive by streams.

``ports.Venue`` is an exchange in memory that bars drive. A remote venue answers late, twice or not at all; all
live trading uses this port: the Binance adapter, the paper adapter on live market data, the simulated network.

Refusals are values (an ``OrderUpdate`` REJECTED whose reason begins with a ``Rejection`` code). Exceptions say
whether a request took effect: ``VenueUnavailable`` no, ``OutcomeUnknown`` unknown, ``VenueError`` other failures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, runtime_checkable

import msgspec

from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition


class Kline(msgspec.Struct, frozen=True, kw_only=True):
    """A completed bar of the venue; *ts_ns* is its open time."""

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
    """Mark price and the next funding."""

    symbol: str
    price: float
    funding_rate: float
    next_funding_ns: int
    ts_ns: int


class WalletChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The wallet as reported by the account stream; *reason* is the venue's (ORDER, FUNDING_FEE, DEPOSIT...)."""

    wallet: float
    reason: str
    ts_ns: int
    moved: float = 0.0  # paid in or out, USDT; 0.0 for profit, fees and funding


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money paid into the account or taken out: no result of trading."""

    move_id: str  # the venue's id, the same in every query
    amount: float  # USDT, signed
    ts_ns: int
    reason: str  # as named by the venue


class LeverageChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol's leverage was changed at the venue."""

    symbol: str
    leverage: float
    ts_ns: int


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream went down or is up again; events in between are missing and must be queried."""

    stream: str  # "market" | "user"
    up: bool
    ts_ns: int
    reason: str = ""


class FundingRate(msgspec.Struct, frozen=True, kw_only=True):
    """A rate that the venue has charged, as a fraction of a position's value."""

    symbol: str
    ts_ns: int
    rate: float


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A frame that could not be decoded; its content is lost, and the frame is counted."""

    stream: str  # "market" | "user"


StreamEvent = (
    Kline | Quote | MarkPrice | OrderUpdate | Fill | FundingPayment | WalletChanged | LeverageChanged | StreamState
    | Unreadable
)


class ExecutionVenue(Protocol):
    """An account at a venue, over a wire. Times are nanoseconds, money is USDT, a position's quantity is signed."""

    name: str  # endpoint name, such as "binance-testnet"
    symbols: tuple[str, ...]
    receive_window_s: float  # seconds after which the venue rejects a request that arrives

    async def connect(self) -> None:
        """Load filters and tiers, measure the clock, refuse what is not safe to trade on (ConfigError)."""
        ...

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        ...

    def clock_offset_ms(self) -> float:
        """The venue's clock minus ours in ms, at the last measurement."""
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
        """Request a leverage and return the one read back; the caller compares."""
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
        """Return an order by its client id; None when the venue has no such order."""
        ...

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, stops and targets included, oldest first."""
        ...

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """Return the account's fills since *since_ns*, oldest first, each with the client id of its order."""
        ...

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """Return funding paid or received since *since_ns*, oldest first; *ts_ns* equals the stream's."""
        ...


    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """Return money paid in or taken out since *since_ns*, oldest first; profit, fees and funding are none of it."""
        ...


@runtime_checkable
class ChangingVenue(Protocol):
    """A venue whose filters are those of the last read."""

    async def read_instruments(self) -> None:
        """Read the filters of every symbol; ``instrument`` returns them from then on."""
        ...


@runtime_checkable
class ModeVenue(Protocol):
    """A venue whose accounts have modes that another client may switch."""

    async def account_mode(self) -> str:
        """Return why the account cannot be traded in its mode; empty when it can."""
        ...


@runtime_checkable
class FundingHistoryVenue(Protocol):
    """A venue that can be asked for the funding rates of the past."""

    async def get_funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the rates charged in [start, end), oldest first, however many requests it takes."""
        ...


@runtime_checkable
class PreparingVenue(Protocol):
    """A venue that prepares an order's signed bytes synchronously and sends them afterwards."""

    def prepare_order(self, request: OrderRequest) -> Any:
        """Return what :meth:`submit_prepared` sends, signed now."""
        ...

    async def submit_prepared(self, request: OrderRequest, prepared: Any) -> OrderUpdate:
        """As ``submit_order``, with what :meth:`prepare_order` made of *request*."""
        ...
