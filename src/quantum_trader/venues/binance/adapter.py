"""Binance USD-M futures as an :class:`quantum_trader.engine.venue_port.ExecutionVenue`.

REST requests are signed by ccxt (:mod:`rest`); the streams use own sockets (:mod:`streams`). Without keys the adapter
is a feed: filters, bars and quotes, no account.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final

import msgspec

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import ConfigError, VenueError, VenueUnavailable, require
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import Rejection, VenueBalance, VenueOrder, VenuePosition, update_of
from quantum_trader.engine.venue_port import FundingRate, Kline, LeverageChanged, MarkPrice, StreamEvent, Transfer
from quantum_trader.venues.binance import errors, history, parse, safety, wire
from quantum_trader.venues.binance.clock import VenueClock
from quantum_trader.venues.binance.endpoints import BinanceEndpoint
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.feeds import Feeds
from quantum_trader.venues.binance.filters import Filters
from quantum_trader.venues.binance.keys import ApiKeys
from quantum_trader.venues.binance.limits import Priority
from quantum_trader.venues.binance.orders import OrderDirectory, OrderService, order_fields, service_of
from quantum_trader.venues.binance.rest import (
    PRIVATE,
    PRIVATE_V3,
    PUBLIC,
    PUBLIC_V2,
    PreparedRequest,
    Rest,
    decoded,
)
from quantum_trader.venues.binance.rows import all_rows
from quantum_trader.venues.binance.streams import StreamTiming

_MARGIN_S: Final = 1.5  # beyond the receive window: clock differences and the answer's travel time
_PRICE_KEPT_S: Final = 1800.0  # how long the price of a fee asset is cached
_TRIGGERS: Final = ("CONTRACT_PRICE", "MARK_PRICE")
_FINISHED: Final = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED})

_order = wire.decoder(wire.OrderAnswer).decode
_orders = all_rows(wire.OrderAnswer)
_algo = wire.decoder(wire.AlgoAnswer).decode
_algos = all_rows(wire.AlgoAnswer)
_cancelled = wire.decoder(wire.AlgoCancelled).decode
_leverage = wire.decoder(wire.LeverageAnswer).decode
_price = wire.decoder(wire.TickerPrice).decode


class AdapterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the adapter's requests and streams."""

    trigger_on: str = "CONTRACT_PRICE"  # trigger price of stops and targets: the last price, or MARK_PRICE
    receive_window_ms: int = 5000
    timeout_s: float = 10.0  # of each request
    quotes: bool = True  # stream best bid and ask
    marks: bool = True  # stream mark prices and funding rates
    closing: bool = False  # only closes positions: checks that forbid openings (rights, margin types) are skipped
    timing: StreamTiming | None = None  # None: by endpoint; a recorded venue may pause

    def __post_init__(self) -> None:
        if self.trigger_on not in _TRIGGERS:
            raise ConfigError(f"trigger_on = {self.trigger_on!r}: use one of {', '.join(_TRIGGERS)}")
        if not 1000 <= self.receive_window_ms <= 60_000:
            raise ConfigError(f"receive_window_ms = {self.receive_window_ms}: use 1000 to 60000")


class BinanceFuturesExecutionAdapter:
    """An account at Binance USD-M, or at a venue with the same protocol.

    *keys* belong to *endpoint* (ConfigError otherwise); without them only market data is available. *rng* adds
    jitter to reconnects. ``notes`` holds the warnings for the operator after :meth:`connect`.
    """

    def __init__(
        self, endpoint: BinanceEndpoint, symbols: Sequence[str], keys: ApiKeys | None, *, rng: Random,
        settings: AdapterSettings = AdapterSettings(),  # noqa: B008 - frozen
        wall_ns: Callable[[], int] = time.time_ns, now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        require(bool(symbols), "symbols", tuple(symbols), "at least one is needed")
        self.name = endpoint.name
        self.symbols = tuple(symbols)
        self.settings = settings
        self.receive_window_s = settings.receive_window_ms / 1000.0 + _MARGIN_S
        self.notes: tuple[str, ...] = ()
        self._endpoint = endpoint
        self._timing = settings.timing or StreamTiming(no_data_s=0.0 if endpoint.recorded else StreamTiming().no_data_s)
        self._signed = keys is not None
        self._clock = VenueClock(wall_ns)
        self._rest = Rest(
            endpoint, keys, self._clock, now_s, timeout_s=settings.timeout_s,
            receive_window_ms=settings.receive_window_ms,
        )
        self._rng = rng
        self._now_s = now_s
        self._rank = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._directory = OrderDirectory()
        self._filters = Filters()
        self._mode = safety.AccountMode(self._rest, now_s)
        self._leverage: dict[str, float] = {}
        self._marks: dict[str, float] = {}
        self._prices: dict[str, tuple[float, float]] = {}  # fee asset -> (price, time read in s)
        self._feeds: Feeds | None = None

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        """Load filters and tiers, measure the clock, refuse what is not safe to trade on (ConfigError)."""
        self._rest.open()
        await self._rest.measure_clock()
        if self.settings.closing:
            await self._mode.read_hedged(must=False)
            self._filters.use({}, await safety.load_filters(self._rest))
            return
        if self._signed and await self._mode.read_hedged():
            raise ConfigError(safety.HEDGE_MODE)
        listed = await safety.load_instruments(self._rest, self.symbols, signed=self._signed)
        self._filters.use(listed.traded, listed.others)
        if not self._signed:
            self.notes = (f"{self.name}: no keys, so the market alone is read",)
            return
        notes = await safety.refuse_unsafe_account(self._rest)
        notes += await safety.money_outside(self._rest)
        self._leverage, more = await safety.isolate_margins(self._rest, self.symbols)
        await self._open_algos(None)  # so that a trigger is assigned to its order from the start
        self.notes = (*notes, *more)

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        feeds, self._feeds = self._feeds, None
        if feeds is not None:
            await feeds.stop()
        await self._rest.close()

    def instrument(self, symbol: str) -> Instrument:
        """Return the filters, fees and tiers of *symbol*; InputError when it is unknown or before :meth:`connect`.

        A symbol that is not traded here is known where the venue lists it: somebody else may hold a position in it.
        """
        return self._filters.instrument(symbol)

    async def read_instruments(self) -> None:
        """Read the filters and funding intervals of every symbol, also of those listed since the start.

        Fees, tiers and symbols that the venue no longer lists stay; so do intervals where it does not tell them.
        """
        info = await self._rest.read(PUBLIC, "exchangeInfo", safety.exchange_info)
        self._filters.update(info, await safety.funding_hours(self._rest), with_new=self._signed)

    def clock_offset_ms(self) -> float:
        """The venue's clock minus ours in ms, at the last measurement."""
        return self._clock.offset_ms

    # ------------------------------------------------------------------ streams

    async def stream(self, interval_ns: int) -> AsyncIterator[StreamEvent]:
        """Events until :meth:`close`; begins with a StreamState for each stream and reconnects by itself."""
        if self._feeds is not None:
            raise VenueError(f"{self.name}: its stream is already open")
        feeds = Feeds(
            self._rest, self._directory, self.symbols, interval_ns, signed=self._signed,
            quotes=self.settings.quotes, marks=self.settings.marks, timing=self._timing, rng=self._rng,
            now_s=self._now_s, fee=self._fee_usdt, mark_price=lambda symbol: self._marks.get(symbol, 0.0),
        )
        self._feeds = feeds
        feeds.start()
        try:
            while (event := await feeds.queue.get()) is not None:
                if type(event) is MarkPrice:
                    self._marks[event.symbol] = event.price
                elif type(event) is LeverageChanged:
                    self._leverage[event.symbol] = event.leverage
                yield event
        finally:
            await feeds.stop()
            if self._feeds is feeds:
                self._feeds = None

    # ------------------------------------------------------------------ questions

    async def get_positions(self) -> list[VenuePosition]:
        """Return the open positions of the whole account."""
        rows = await self._rest.read(PRIVATE_V3, "positionRisk", safety.position_rows, weight=5)
        self._mode.note_sides(rows)
        held = {row.symbol for row in rows if row.position_amt != 0.0}
        if held - set(self._leverage):
            with suppress(VenueError):  # an unknown leverage is 0.0; positions are read with it or without
                await self._read_leverage()
        return parse.positions(rows, self._leverage, self._rank)

    async def _read_leverage(self, symbol: str = "") -> None:
        fields = {"symbol": symbol} if symbol else None
        for row in await self._rest.read(PRIVATE, "symbolConfig", safety.symbol_configs, fields, weight=5):
            self._leverage[row.symbol] = row.leverage

    async def account_mode(self) -> str:
        """Why the account cannot be traded in its position or asset mode; empty when it can.

        Another client may switch it while nothing is open. It is read at most once in 50 seconds while it can.
        """
        return await self._mode.problem() if self._signed else ""

    async def get_cash_balance(self) -> VenueBalance:
        """Return the account's money."""
        return parse.balance(await self._rest.read(PRIVATE_V3, "account", safety.account_answer, weight=5))

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """Return the completed bars that open in [start, end), oldest first, however many requests it takes."""
        await self._follow_recording()
        return await history.klines(self._rest, symbol, interval_ns, start_ns, end_ns, self._clock.now_ns())

    async def get_ticker_price(self, symbol: str) -> float:
        """Return the last traded price."""
        return (await self._rest.read(PUBLIC_V2, "ticker/price", _price, {"symbol": symbol})).price

    async def get_fills(self, symbol: str, since_ns: int) -> list[Fill]:
        """Return the account's fills since *since_ns*, oldest first, each with the client id of its order."""
        await self._follow_recording()
        return await history.fills(
            self._rest, self._directory, symbol, since_ns, self._clock.now_ns(), self._fee_usdt
        )

    async def get_funding(self, since_ns: int) -> list[FundingPayment]:
        """Return funding of our symbols since *since_ns*, oldest first."""
        return await history.funding(self._rest, since_ns, frozenset(self.symbols))

    async def get_funding_rates(self, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        """Return the funding rates of *symbol* charged in [start, end), oldest first."""
        return await history.funding_rates(self._rest, symbol, start_ns, end_ns)

    async def get_transfers(self, since_ns: int) -> list[Transfer]:
        """Return money paid in or taken out since *since_ns*, oldest first."""
        return await history.transfers(self._rest, since_ns)

    async def _follow_recording(self) -> None:
        """Measure a recorded venue's time often, because it runs at its own speed."""
        if self._endpoint.recorded:
            await self._rest.measure_clock(1)

    async def _fee_usdt(self, symbol: str, asset: str, amount: float, notional: float) -> float:
        """A fee in USDT; one in an asset without a price is taken at the symbol's full rate."""
        if asset == parse.QUOTE_ASSET or amount == 0.0:
            return amount
        price, at_s = self._prices.get(asset, (0.0, float("-inf")))
        if self._now_s() - at_s > _PRICE_KEPT_S:
            try:
                price = await self.get_ticker_price(f"{asset}{parse.QUOTE_ASSET}")
            except VenueError:
                price = price or 0.0
            self._prices[asset] = (price, self._now_s())
        if price > 0.0:
            return amount * price
        instrument = self._filters.get(symbol)
        return notional * (instrument.taker_fee_bps if instrument is not None else 5.0) / 10_000.0

    # ------------------------------------------------------------------ leverage

    async def set_leverage(self, symbol: str, leverage: float) -> float:
        """Request a leverage and return the one read back; the caller compares."""
        fields = {"symbol": symbol, "leverage": int(leverage)}
        answer = await self._rest.ask("POST", PRIVATE, "leverage", fields, priority=Priority.OPENING)
        if not isinstance(answer, VenueRefusal):
            decoded(answer, _leverage, "POST leverage")
        self._leverage.pop(symbol, None)
        await self._read_leverage(symbol)  # also after a refusal: the leverage in force counts
        if symbol not in self._leverage:
            raise VenueError(f"symbolConfig has no row of {symbol}: its leverage is unknown")
        return self._leverage[symbol]

    async def get_leverages(self) -> dict[str, float]:
        """Return the leverage in force of every symbol of ours."""
        await self._read_leverage()
        return {symbol: self._leverage[symbol] for symbol in self.symbols if symbol in self._leverage}

    # ------------------------------------------------------------------ orders

    def prepare_order(self, request: OrderRequest) -> PreparedRequest:
        """Return the order's bytes, signed now.

        A reducing order may be of any symbol. InputError for an opening one of a symbol that is not traded here.
        """
        if not self._filters.takes(request):
            raise self._filters.unknown(request.symbol)
        service, grid = service_of(request.type), self._filters.grid(request.symbol)
        fields = order_fields(request, grid, self.settings.trigger_on, hedged=self._mode.hedges(request.symbol))
        return self._rest.prepare(
            "POST", PRIVATE, service.value, fields,
            priority=Priority.REDUCING if request.reduce_only else Priority.OPENING, weight=0,
            what=f"order {request.client_order_id}",
        )

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Acknowledge (NEW, or further where the venue is quick) or refuse (REJECTED) an order."""
        if not self._filters.known:
            raise VenueUnavailable(f"order {request.client_order_id}: {self.name} is not connected")
        if not self._filters.takes(request):
            return self._rejected(request, f"{Rejection.UNKNOWN_SYMBOL.value} no symbol {request.symbol!r} here")
        return await self.submit_prepared(request, self.prepare_order(request))

    async def submit_prepared(self, request: OrderRequest, prepared: PreparedRequest) -> OrderUpdate:
        """Send the result of :meth:`prepare_order` for *request*."""
        service = service_of(request.type)
        known = self._directory.service(request.client_order_id) is not None
        self._directory.sent(request.client_order_id, service, request.symbol)
        answer = await self._rest.send(prepared)
        if isinstance(answer, VenueRefusal):
            if not known:
                self._directory.end(request.client_order_id)
            return self._rejected(request, answer.reason)
        if service is OrderService.ALGO:
            algo = decoded(answer, _algo, prepared.what)
            self._directory.add_algo(algo.client_algo_id, algo.symbol, algo.actual_order_id)
            order = parse.algo_view(algo)
        else:
            regular = decoded(answer, _order, prepared.what)
            self._directory.add_order(regular.order_id, regular.client_order_id)
            order = parse.order_view(regular)
        return update_of(order, self._clock.now_ns())

    def _rejected(self, request: OrderRequest | CancelRequest, reason: str) -> OrderUpdate:
        return OrderUpdate(
            client_order_id=request.client_order_id, venue_order_id="", symbol=request.symbol,
            status=OrderStatus.REJECTED, ts_ns=self._clock.now_ns(), reason=reason,
        )

    async def cancel_order(self, request: CancelRequest) -> OrderUpdate:
        """Cancel an open order; a finished one answers its final status, an unknown one REJECTED -2011."""
        service = self._directory.service(request.client_order_id)
        for candidate in (service,) if service is not None else (OrderService.REGULAR, OrderService.ALGO):
            update = await self._cancel_on(candidate, request)
            if update is not None:
                return update
        reason = f"{Rejection.UNKNOWN_ORDER.value} no such open order"
        order = await self.get_order(request.symbol, request.client_order_id)
        if order is None:
            return self._rejected(request, reason)
        if order.status in _FINISHED:
            return update_of(order, self._clock.now_ns(), reason)
        return self._rejected(request, f"{reason}; it is {order.status.value}")

    async def _cancel_on(self, service: OrderService, request: CancelRequest) -> OrderUpdate | None:
        """Cancel at one order service; None when no such order is open there."""
        client_id = request.client_order_id
        fields: dict[str, object] = {"clientAlgoId": client_id}
        if service is OrderService.REGULAR:
            fields = {"symbol": request.symbol, "origClientOrderId": client_id}
        answer = await self._rest.ask("DELETE", PRIVATE, service.value, fields, priority=Priority.REDUCING)
        if isinstance(answer, VenueRefusal):
            if answer.code in (errors.UNKNOWN_CANCEL, errors.NO_SUCH_ORDER) or answer.code <= -4000:
                return None  # the caller queries the order next
            raise VenueError(f"cancel {client_id}: {answer.reason}")
        now_ns = self._clock.now_ns()
        if service is OrderService.REGULAR:
            return update_of(parse.order_view(decoded(answer, _order, "DELETE order")), now_ns)
        algo = decoded(answer, _cancelled, "DELETE algoOrder")
        self._directory.add_algo(client_id, request.symbol, "")
        self._directory.stop_waiting(client_id)  # the stream reports its end, as for every order
        return OrderUpdate(
            client_order_id=client_id, venue_order_id=str(algo.algo_id), symbol=request.symbol,
            status=OrderStatus.CANCELED, ts_ns=now_ns,
        )

    async def get_order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """Return an order by its client id; None when the venue has no such order."""
        service = self._directory.service(client_order_id)
        order: VenueOrder | None = None
        if service is not OrderService.ALGO:
            answer = await self._find("order", {"symbol": symbol, "origClientOrderId": client_order_id})
            if answer is not None:
                regular = decoded(answer, _order, "GET order")
                self._directory.add_order(regular.order_id, regular.client_order_id)
                order = parse.order_view(regular)
        if order is None and service is not OrderService.REGULAR:
            answer = await self._find("algoOrder", {"clientAlgoId": client_order_id})
            order = await self._whole_algo(decoded(answer, _algo, "GET algoOrder")) if answer is not None else None
        return order

    async def _find(self, path: str, fields: dict[str, object]) -> bytes | None:
        """Query one order; None when the venue has no such order."""
        answer = await self._rest.ask("GET", PRIVATE, path, fields, priority=Priority.REDUCING)
        if not isinstance(answer, VenueRefusal):
            return answer
        if answer.code in (errors.NO_SUCH_ORDER, errors.UNKNOWN_CANCEL):
            return None
        raise VenueError(f"GET {path}: {answer.reason}")

    async def _whole_algo(self, algo: wire.AlgoAnswer) -> VenueOrder:
        """A conditional order with the fills of the order it became."""
        self._directory.add_algo(algo.client_algo_id, algo.symbol, algo.actual_order_id)
        if not parse.loose_number(algo.actual_order_id):
            return parse.algo_view(algo, now_ms=self._clock.stamp_ms())
        answer = await self._find("order", {"symbol": algo.symbol, "orderId": algo.actual_order_id})
        return parse.algo_view(algo, decoded(answer, _order, "GET order") if answer is not None else None)

    async def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the orders that may still fill, stops and targets included, oldest first."""
        fields = {"symbol": symbol} if symbol is not None else None
        weight = 1 if symbol is not None else 40
        regular = await self._rest.read(PRIVATE, "openOrders", _orders, fields, weight=weight)
        algos = await self._open_algos(symbol)
        found: dict[str, VenueOrder] = {}
        for order in regular:
            self._directory.add_order(order.order_id, order.client_order_id)
            view = parse.order_view(order, self._directory.client_id_of(order.order_id) or "", is_open=True)
            found[view.client_order_id or f"#{view.venue_order_id}"] = view
        for algo in algos:
            view = parse.algo_view(algo, now_ms=self._clock.stamp_ms(), is_open=True)
            if view.status is OrderStatus.NEW:
                found.setdefault(algo.client_algo_id, view)
        return sorted(found.values(), key=lambda view: (view.created_ns, view.client_order_id))

    async def _open_algos(self, symbol: str | None) -> list[wire.AlgoAnswer]:
        fields = {"symbol": symbol} if symbol is not None else None
        weight = 1 if symbol is not None else 40
        algos = await self._rest.read(PRIVATE, "openAlgoOrders", _algos, fields, weight=weight)
        for algo in algos:
            self._directory.add_algo(algo.client_algo_id, algo.symbol, algo.actual_order_id)
        return algos
