"""The network between trader and exchange: latency, lost and late requests and messages, disconnects.

``SimulatedVenue`` is one process's connection and ends with it. A request that has left the machine still arrives.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final, TypeVar

from quantum_trader.domain.errors import InputError, OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import FundingRate, Kline, StreamEvent, StreamState, Transfer
from quantum_trader.lab.simulation.deadlines import Disruptions
from quantum_trader.lab.simulation.exchange import SimulatedExchange
from quantum_trader.lab.simulation.loop import VirtualLoop
from quantum_trader.lab.simulation.schedule import FOREIGN_SYMBOLS, MESSAGE_FAULTS, REQUEST_FAULTS, STREAMS, Fault, Kind

T = TypeVar("T")
RECEIVE_WINDOW_S: Final = 5.0
TIMEOUT_S: Final = 3.0  # the connection gives a request up after so long
CLOCK_EVERY_S: Final = 300.0  # between two measurements of the venue's clock
RECONNECT_S: Final = 0.1  # after the end of a disconnect
LATENCY_S: Final = (0.004, 0.06)  # of one way
_AGAIN_S: Final = 2.0  # a duplicated message arrives again within


class WireFaults:
    """Faults armed for requests and messages, and how often each took effect; one for the day, all connections."""

    def __init__(self, rng: Random, disruptions: Disruptions | None = None) -> None:
        self.rng = rng
        self.disruptions = disruptions or Disruptions()
        self.struck: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.rate_limited_until = 0.0
        self.banned_until = 0.0
        self.silent_until = dict.fromkeys(STREAMS, 0.0)
        self.down_until = dict.fromkeys(STREAMS, 0.0)
        self._requests: deque[list[Any]] = deque()  # [fault, how often it still strikes]
        self._messages: deque[list[Any]] = deque()

    def strike(self, kind: Kind) -> None:
        """Count a fault that takes effect."""
        self.struck[kind.value] += 1

    def arm(self, fault: Fault) -> None:
        """Let *fault* strike the next requests or messages it is meant for."""
        if fault.kind in REQUEST_FAULTS:
            self._requests.append([fault, fault.count])
        elif fault.kind in MESSAGE_FAULTS:
            self._messages.append([fault, fault.count])
        else:
            raise InputError(f"kind = {fault.kind.value!r}: is no fault of a wire")

    def request(self, what: str) -> Fault | None:
        """The fault that strikes a request, if any."""
        return self._take(self._requests, what) if self._requests else None

    def message(self, stream: str) -> Fault | None:
        """The fault that strikes a message, if any."""
        return self._take(self._messages, stream) if self._messages else None

    def _take(self, armed: deque[list[Any]], what: str) -> Fault | None:
        for entry in armed:
            fault: Fault = entry[0]
            if fault.on == what:
                entry[1] -= 1
                if entry[1] <= 0:
                    armed.remove(entry)
                self.strike(fault.kind)
                return fault
        return None


class SimulatedVenue:
    """A :class:`quantum_trader.engine.venue_port.ExecutionVenue` on virtual time."""

    name = "simulated"
    receive_window_s = RECEIVE_WINDOW_S

    def __init__(
        self, loop: VirtualLoop, exchange: SimulatedExchange, wire: WireFaults, local_ns: Callable[[], int],
        timeouts_s: tuple[float, ...] = (TIMEOUT_S,),
    ) -> None:
        """*timeouts_s*: one is drawn for each request that gets no answer."""
        self.symbols = exchange.symbols
        self.exchange = exchange
        self._loop, self._wire, self._local_ns = loop, wire, local_ns
        self._timeouts_s = timeouts_s
        self._queue: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        self._arrivals = dict.fromkeys(STREAMS, 0.0)  # when the newest message of each stream arrives
        self._epoch = dict.fromkeys(STREAMS, 0)  # counts connections; messages of an old one are lost
        self._streaming = False
        self._filters = self._filters_now()
        self._offset_ms = 0.0
        self._measured_s = -1e9
        self.dead = False
        self.closed = False
        self.submitted: Callable[[OrderRequest, bool], None] = lambda request, may_arrive: None
        self.no_effect: Callable[[str], None] = lambda client_order_id: None

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        """Measure the clock; the simulated account is always safe to trade on."""
        await self._ask("query", self._measure)

    async def close(self) -> None:
        """End the stream."""
        if not self.closed:
            self.closed = True
            self._queue.put_nowait(None)

    def kill(self) -> None:
        """End the connection without a message, as the end of its process does."""
        self.dead = self.closed = True

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown."""
        if symbol in FOREIGN_SYMBOLS:
            return self.exchange.clients.instrument(symbol)
        if symbol not in self._filters:
            raise InputError(f"symbol = {symbol!r}: this venue trades {', '.join(self.symbols)}")
        return self._filters[symbol]

    async def read_instruments(self) -> None:
        """Ask for the filters of every symbol; from then on :meth:`instrument` returns them."""
        self._filters = await self._ask("query", self._filters_now)

    def _filters_now(self) -> dict[str, Instrument]:
        return {instrument.symbol: instrument for instrument in self.exchange.refusals.filters}

    def clock_offset_ms(self) -> float:
        """The venue's clock less ours, at the last measurement."""
        if self._loop.time() - self._measured_s > CLOCK_EVERY_S:
            self._measure()
        return self._offset_ms

    def _measure(self) -> None:
        self._measured_s = self._loop.time()
        self._offset_ms = (self.exchange.now_ns() - self._local_ns()) / 1e6

    # ------------------------------------------------------------------ the streams

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        """Events until :meth:`close`; begins with a StreamState for each stream."""
        if interval_ns != self.exchange.market.interval_ns:
            raise InputError(f"interval_ns = {interval_ns}: this day has bars of {self.exchange.market.interval_ns}")
        self._streaming = True
        for stream in STREAMS:
            down = self._is_down(stream)
            self._queue.put_nowait(StreamState(stream=stream, up=not down, ts_ns=self._local_ns()))
            if down:
                self._loop.call_at(self._wire.down_until[stream] + RECONNECT_S, self._reconnected, stream)
        while True:
            event = await self._queue.get()
            if event is None:
                return
            yield event

    def _is_down(self, stream: str) -> bool:
        return self._wire.down_until[stream] > self._loop.time()

    def deliver(self, stream: str, message: tuple[StreamEvent, ...]) -> None:
        """Carry one message of the exchange to the trader, unless an armed fault strikes it."""
        if not self._streaming or self.closed:
            return
        now = self._loop.time()
        if self._is_down(stream):
            return
        if self._wire.silent_until[stream] > now:
            return
        at = max(now + self._latency(), self._arrivals[stream])
        fault = self._wire.message(stream)
        if fault is not None:
            again_s = _AGAIN_S if fault.kind is Kind.MESSAGE_DUPLICATED else fault.seconds
            self._wire.disruptions.message(stream, at + again_s)
            if fault.kind is Kind.MESSAGE_LOST:
                return
            if fault.kind is Kind.MESSAGE_DUPLICATED:
                later = at + self._wire.rng.uniform(0.0, _AGAIN_S)
                self._loop.call_at(later, self._arrive, stream, self._epoch[stream], message)
            else:
                at += fault.seconds
        if fault is None or fault.kind is not Kind.MESSAGE_REORDERED:
            self._arrivals[stream] = at  # what comes after a late message comes after it; a reordered one is overtaken
        self._loop.call_at(at, self._arrive, stream, self._epoch[stream], message)

    def _arrive(self, stream: str, epoch: int, message: tuple[StreamEvent, ...]) -> None:
        if self.closed or epoch != self._epoch[stream]:
            return
        for event in message:
            self._queue.put_nowait(event)

    def disconnect(self, stream: str, seconds: float) -> None:
        """Lose the connection of *stream* for *seconds*, with every message on its way."""
        self._epoch[stream] += 1
        self._loop.call_later(self._latency(), self._report_state, stream, False, "connection reset by peer")
        self._loop.call_later(seconds + RECONNECT_S, self._reconnected, stream)

    def _reconnected(self, stream: str) -> None:
        if not self._is_down(stream):
            self._report_state(stream, True, "")

    def _report_state(self, stream: str, up: bool, reason: str) -> None:
        if self._streaming and not self.closed:
            self._queue.put_nowait(StreamState(stream=stream, up=up, ts_ns=self._local_ns(), reason=reason))

    # ------------------------------------------------------------------ requests

    async def get_positions(self) -> list[VenuePosition]:
        """Return the open positions."""
        return await self._ask("query", self.exchange.positions)

    async def get_cash_balance(self) -> VenueBalance:
        """Return the account's money."""
        return await self._ask("query", self.exchange.paper.balance)

    async def account_mode(self) -> str:
        """Return why the account cannot be traded in its mode."""
        return await self._ask("query", lambda: "the account is in hedge mode" if self.exchange.clients.hedged else "")

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """Return the completed bars of *interval_ns* that open in [start, end), oldest first."""
        if (delay_s := self.exchange.clients.bars_delay_s()) > 0.0:
            await asyncio.sleep(delay_s)
        return await self._ask("query", lambda: self.exchange.bars(symbol, interval_ns, start_ns, end_ns))

    async def get_funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the funding rates charged in [start, end), oldest first."""
        return await self._ask("query", lambda: self.exchange.funding_rates(symbol, start_ns, end_ns))

    async def get_ticker_price(self, symbol: str) -> float:
        """Return the last traded price."""
        return await self._ask("query", lambda: self.exchange.ticker(symbol))

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """Ask for a leverage and return the one in force."""
        return await self._ask("leverage", lambda: self.exchange.set_leverage(symbol, leverage))

    async def get_leverages(self) -> dict[str, float]:
        """Return the leverage in force of every symbol."""
        paper = self.exchange.paper
        return await self._ask("query", lambda: {symbol: paper.leverage(symbol) for symbol in self.symbols})

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Acknowledge or refuse an order."""
        return await self._ask("submit", lambda: self.exchange.submit(request), request)

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """Cancel an open order; a finished one answers its final status, an unknown one REJECTED -2011."""
        return await self._ask("cancel", lambda: self.exchange.cancel(request))

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """Return an order by its client id; None when the venue does not know it."""
        return await self._ask("query", lambda: self.exchange.order(symbol, client_order_id))

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, oldest first."""
        return await self._ask("query", lambda: self.exchange.open_orders(symbol))

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """Return the account's fills since *since_ns*, oldest first."""
        return await self._ask(
            "query", lambda: [f for f in self.exchange.fills if f.symbol == symbol and f.ts_ns >= since_ns]
        )

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """Return funding since *since_ns*, oldest first."""
        return await self._ask("query", lambda: [f for f in self.exchange.funding if f.ts_ns >= since_ns])

    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """Return money paid in or taken out since *since_ns*, oldest first."""
        return await self._ask("query", lambda: [m for m in self.exchange.transfers if m.ts_ns >= since_ns])

    def _latency(self) -> float:
        return self._wire.rng.uniform(*LATENCY_S)

    async def _ask(self, what: str, act: Callable[[], T], order: OrderRequest | None = None) -> T:
        """Carry a request there and its answer back; each trip has its own latency."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self.dead:
            return await future
        now = self._loop.time()
        self._wire.requests[what] += 1
        if order is not None:
            self.submitted(order, True)
        if self._wire.banned_until > now:  # the connection knows it and sends nothing
            self._wire.strike(Kind.BANNED)
            self._wire.disruptions.request(self._wire.banned_until)
            left = self._wire.banned_until - now
            self._without_effect(future, 0.0, VenueUnavailable("HTTP 418: banned", retry_after_s=left), order)
            return await future
        fault = self._wire.request(what)
        there, back = self._latency(), self._latency()
        if fault is None:
            self._loop.call_later(there, self._reach, future, act, back, order)
            return await future
        self._wire.disruptions.request(now + fault.seconds)
        if fault.kind is Kind.UNREACHABLE:
            self._without_effect(future, back, VenueUnavailable("connection refused"), order)
        elif fault.kind is Kind.CLOCK_REFUSED:
            self._without_effect(future, there + back, VenueUnavailable("-1021 outside of the recvWindow"), order)
        elif fault.kind in (Kind.SERVER_ERROR, Kind.BACKEND_TIMEOUT):
            self._unknown_outcome(fault, what, future, act, there, back)
        else:
            self._no_answer(fault, what, future, act, there, back, order)
        return await future

    def _unknown_outcome(
        self, fault: Fault, what: str, future: asyncio.Future[Any], act: Callable[[], Any], there: float, back: float
    ) -> None:
        """An error of unknown outcome: the request took effect, or does so later, or never."""
        if fault.value > 0.0:
            self._loop.call_later(there + fault.seconds, self._reach, None, act, back)
        slow = fault.kind is Kind.BACKEND_TIMEOUT
        text = "-1007 Timeout waiting for response from backend server" if slow else "HTTP 503: Unknown error"
        error = VenueUnavailable(text) if what == "query" else OutcomeUnknown(text)
        self._fail(future, there + back, error)

    def _no_answer(
        self, fault: Fault, what: str, future: asyncio.Future[Any], act: Callable[[], Any], there: float, back: float,
        order: OrderRequest | None,
    ) -> None:
        """No answer in time: the request is lost, or its answer is, or one of them is late."""
        if fault.kind is Kind.SLOW:
            back += fault.seconds
            answered = future if there + back < TIMEOUT_S else None
            self._loop.call_later(there, self._reach, answered, act, back, order)
        elif fault.kind is not Kind.REQUEST_LOST:
            late = fault.kind is Kind.REQUEST_LATE
            when = min(TIMEOUT_S + 0.01 + fault.seconds, RECEIVE_WINDOW_S - 0.05) if late else there
            self._loop.call_later(when, self._reach, None, act, back)
        patience = self._wire.rng.choice(self._timeouts_s)
        self._fail(future, patience, OutcomeUnknown(f"{what}: no answer within {patience:g} s"))

    def _without_effect(
        self, future: asyncio.Future[Any], after: float, error: VenueUnavailable, order: OrderRequest | None
    ) -> None:
        """Answer that the request had no effect, which is true."""
        self._fail(future, after, error)
        if order is not None:
            self.no_effect(order.client_order_id)

    def _reach(
        self, future: asyncio.Future[Any] | None, act: Callable[[], Any], back: float,
        order: OrderRequest | None = None,
    ) -> None:
        """The request arrives at the exchange."""
        if self._wire.rate_limited_until > self._loop.time():
            left = self._wire.rate_limited_until - self._loop.time()
            self._wire.disruptions.request(self._wire.rate_limited_until)
            self._wire.strike(Kind.RATE_LIMIT)
            if future is not None:
                error = VenueUnavailable("HTTP 429: too many requests", retry_after_s=left)
                self._without_effect(future, back, error, order)
            return
        try:
            result = act()
        except VenueError as error:
            if future is not None:
                self._fail(future, back, error)
            return
        if future is not None:
            self._loop.call_later(back, self._answer, future, result)

    def _answer(self, future: asyncio.Future[Any], result: Any) -> None:
        if not future.done() and not self.dead:
            future.set_result(result)

    def _fail(self, future: asyncio.Future[Any], after: float, error: VenueError) -> None:
        self._loop.call_later(after, self._raise, future, error)

    def _raise(self, future: asyncio.Future[Any], error: VenueError) -> None:
        if not future.done() and not self.dead:
            future.set_exception(error)


