"""A market in memory that a test moves by hand: the smallest ``ExecutionVenue`` that takes no orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from quantum_trader.domain.errors import InputError, VenueError, VenueUnavailable
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import Kline, StreamEvent, StreamState, Transfer


class HandFeed:
    """Push events, and they come out of the stream; *bars* answer ``get_klines``; ``up = False`` unplugs it."""

    name = "hand"
    receive_window_s = 5.0

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.bars: list[Kline] = []
        self.last: dict[str, float] = {}
        self.up = True
        self.now_ns = 0
        self.offset_ms = 0.0
        self.asked: list[str] = []
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._events: asyncio.Queue[StreamEvent | VenueError | None] = asyncio.Queue()

    def push(self, event: StreamEvent | VenueError) -> None:
        """Tell *event* in the stream, or end it with an error; a bar can be asked for from now on."""
        if isinstance(event, Kline):
            self.bars.append(event)
            self.last[event.symbol] = event.close
        self._events.put_nowait(event)

    async def connect(self) -> None:
        """Nothing to load; VenueUnavailable while unplugged."""
        self._need("connect")

    async def close(self) -> None:
        """End the stream."""
        self._events.put_nowait(None)

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters of *symbol*; InputError when it is unknown."""
        if symbol not in self._instruments:
            raise InputError(f"symbol = {symbol!r}: not here")
        return self._instruments[symbol]

    def clock_offset_ms(self) -> float:
        """Our clock, unless set otherwise."""
        return self.offset_ms

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        """What was pushed, in order."""
        yield StreamState(stream="market", up=True, ts_ns=self.now_ns)
        yield StreamState(stream="user", up=True, ts_ns=self.now_ns)
        while (event := await self._events.get()) is not None:
            if isinstance(event, VenueError):
                raise event
            yield event

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """Return the bars pushed that open in [start, end)."""
        self._need("get_klines")
        bars = {bar.ts_ns: bar for bar in self.bars if bar.symbol == symbol and start_ns <= bar.ts_ns < end_ns}
        return [bars[ts_ns] for ts_ns in sorted(bars)]

    async def get_ticker_price(self, symbol: str) -> float:
        """Return the last price set or closed at."""
        self._need("get_ticker_price")
        return self.last[symbol]

    def _need(self, question: str) -> None:
        self.asked.append(question)
        if not self.up:
            raise VenueUnavailable("the hand feed is unplugged")

    async def get_positions(self) -> list[VenuePosition]:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")

    async def get_cash_balance(self) -> VenueBalance:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")

    async def get_leverages(self) -> dict[str, float]:
        """Not to be asked of a feed."""
        raise AssertionError("a feed has no account")

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """A feed has no account."""
        raise AssertionError("a feed takes no leverage")

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """A feed takes no orders."""
        raise AssertionError("a feed is never sent an order")

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """A feed takes no orders."""
        raise AssertionError("a feed is never sent a cancel")

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")

    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """A feed has no account."""
        raise AssertionError("a feed is not asked for an account")
