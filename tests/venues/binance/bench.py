"""A local venue and the real adapter, on one loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.venue_port import StreamEvent, StreamState
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.streams import StreamTiming
from quantum_trader.venues.local.build import scripted_exchange
from quantum_trader.venues.local.exchange import ExchangeSettings
from quantum_trader.venues.local.server import LocalVenue
from quantum_trader.venues.local.signing import ApiKey

T = TypeVar("T")
SYMBOL = "AAAUSDT"
COIN = Instrument(
    symbol=SYMBOL, tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0,
    tiers=(LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0),),
)
DEADLINE_S = 5.0
QUICK = StreamTiming(probe_s=0.02, silent_s=2.0, no_data_s=0.0, first_pause_s=0.02, longest_pause_s=0.1)


class Bench:
    """The venue, an adapter on it, and the events of its stream."""

    def __init__(self, venue: LocalVenue, adapter: BinanceFuturesExecutionAdapter) -> None:
        self.venue = venue
        self.adapter = adapter
        self.events: list[StreamEvent] = []

    def of(self, kind: type[T]) -> list[T]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def states(self) -> list[tuple[str, bool]]:
        """Which streams went up and down."""
        return [(event.stream, event.up) for event in self.of(StreamState)]

    async def listen(self) -> None:
        """Collect events until the adapter is closed."""
        async for event in self.adapter.stream(NS_PER_MINUTE):
            self.events.append(event)

    async def until(self, true: Callable[[], Any], what: str) -> None:
        """Poll until *true*, not longer than the deadline."""
        async with asyncio.timeout(DEADLINE_S):
            while not true():
                await asyncio.sleep(0.005)
        assert true(), what


def keys_of(venue: LocalVenue) -> ApiKeys:
    """The venue's first keys, as the adapter takes them."""
    return ApiKeys("local", Secret(venue.keys[0].key), Secret(venue.keys[0].secret), "environment")


def adapter_for(venue: LocalVenue, *, signed: bool = True, **settings: Any) -> BinanceFuturesExecutionAdapter:
    """An adapter that is not connected yet."""
    return BinanceFuturesExecutionAdapter(
        endpoint("local", venue.url), [SYMBOL], keys_of(venue) if signed else None, rng=Random(7),
        settings=AdapterSettings(**({"timing": QUICK} | settings)),
    )


@asynccontextmanager
async def venue_of(*, keys: list[ApiKey] | None = None, **exchange: Any) -> AsyncIterator[LocalVenue]:
    """A venue of one coin at 100 whose prices come by hand."""
    made = scripted_exchange(
        [COIN], {SYMBOL: 100.0}, interval_ns=NS_PER_MINUTE, settings=ExchangeSettings(**exchange)
    )
    async with LocalVenue(made, keys=keys) as venue:
        yield venue


@asynccontextmanager
async def bench(*, signed: bool = True, link_by_order_id: bool = False, **settings: Any) -> AsyncIterator[Bench]:
    """A connected adapter that is listened to, all streams up."""
    async with venue_of(link_by_order_id=link_by_order_id) as venue:
        made = Bench(venue, adapter_for(venue, signed=signed, **settings))
        await made.adapter.connect()
        listening = asyncio.create_task(made.listen())
        try:
            wanted = {("market", True), ("user", True)} if signed else {("market", True)}
            await made.until(lambda: wanted <= set(made.states()), "the streams come up")
            yield made
        finally:
            await made.adapter.close()
            await listening


def order(
    number: int, kind: OrderType = OrderType.MARKET, side: OrderSide = OrderSide.BUY, **more: Any
) -> OrderRequest:
    """An order of one coin, one unit."""
    values = dict(
        client_order_id=f"qt-{number:020x}", intent_id="i", trace_id="t", symbol=SYMBOL, side=side, type=kind, qty=1.0,
        created_ns=0,
    )
    return OrderRequest(**(values | more))


def stop(number: int, price: float, **more: Any) -> OrderRequest:
    """A protective stop of a long position."""
    return order(number, OrderType.STOP_MARKET, OrderSide.SELL, stop_price=price, reduce_only=True, **more)
