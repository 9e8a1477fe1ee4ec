"""Filters that the venue changes while the adapter is connected."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec
import pytest
from tests.venues.binance.bench import COIN, SYMBOL, bench, keys_of, order

from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.engine.venue_port import ChangingVenue
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.local.server import LocalVenue


def test_read_filters_replace_the_old_ones() -> None:
    """A coarser step: the old quantity is refused, the instrument read afterwards gives a valid one."""

    async def story() -> None:
        async with bench() as b:
            assert isinstance(b.adapter, ChangingVenue)
            await b.adapter.submit_order(order(1, qty=1.5))
            await b.until(lambda: b.venue.exchange.account.holding(0).qty == 1.5, "it fills")
            coarse = msgspec.structs.replace(COIN, step_size=1.0, min_qty=1.0, tick_size=0.1)
            b.venue.exchange.instruments = (coarse,)
            b.venue.api.wire.formats = type(b.venue.api.wire)(b.venue.exchange).formats
            refused = await b.adapter.submit_order(order(2, side=OrderSide.SELL, qty=1.5, reduce_only=True))
            assert refused.status is OrderStatus.REJECTED
            assert b.adapter.instrument(SYMBOL).step_size == COIN.step_size
            await b.adapter.read_instruments()
            read = b.adapter.instrument(SYMBOL)
            assert (read.step_size, read.min_qty, read.tick_size) == (1.0, 1.0, 0.1)
            assert (read.tiers, read.taker_fee_bps) == (COIN.tiers, COIN.taker_fee_bps), "fees and tiers stay"
            closed = await b.adapter.submit_order(order(3, side=OrderSide.SELL, qty=2.0, reduce_only=True))
            assert closed.status is OrderStatus.NEW
            await b.until(lambda: b.venue.exchange.account.holding(0).qty == 0.0, "all of it closes")

    asyncio.run(story())


def test_a_delisted_symbol_does_not_keep_the_others_from_being_closed() -> None:
    """A start on it is refused; an adapter that only closes connects all the same and closes what is there."""

    def adapter(venue: LocalVenue, *, closing: bool) -> BinanceFuturesExecutionAdapter:
        return BinanceFuturesExecutionAdapter(
            endpoint("local", venue.url), [SYMBOL, "GONEUSDT"], keys_of(venue), rng=Random(7),
            settings=AdapterSettings(closing=closing),
        )

    async def story() -> None:
        async with bench() as b:
            await b.adapter.submit_order(order(1, qty=1.5))
            starting, closing = adapter(b.venue, closing=False), adapter(b.venue, closing=True)
            with pytest.raises(ConfigError, match="GONEUSDT' is not traded at local: take it off the list"):
                await starting.connect()
            await closing.connect()
            closed = await closing.submit_order(order(2, side=OrderSide.SELL, qty=1.5, reduce_only=True))
            assert closed.status is OrderStatus.NEW
            refused = await closing.submit_order(order(3, symbol="GONEUSDT"))
            assert (refused.status, refused.reason[:5]) == (OrderStatus.REJECTED, "-1121")
            await closing.close()
            await starting.close()

    asyncio.run(story())


def test_a_changed_funding_interval_is_read_with_the_filters() -> None:
    """Every 4 hours at the start, then every hour: Binance shortens it in wild markets. Unanswered, it stays."""

    async def story() -> None:
        async with bench() as b:
            venue, adapter = b.venue, b.adapter
            venue.exchange.funding_hours = lambda index: 4
            await adapter.read_instruments()
            assert adapter.instrument(SYMBOL).funding_interval_hours == 4
            venue.exchange.funding_hours = lambda index: 1
            await adapter.read_instruments()
            assert adapter.instrument(SYMBOL).funding_interval_hours == 1
            ask = adapter._rest.ask

            async def refused(method: str, api: str, path: str, *arguments: object, **keywords: object) -> object:
                if path == "fundingInfo":
                    return VenueRefusal(code=-1003, message="too many requests")
                return await ask(method, api, path, *arguments, **keywords)

            adapter._rest.ask = refused
            await adapter.read_instruments()
            assert adapter.instrument(SYMBOL).funding_interval_hours == 1

    asyncio.run(story())


def test_a_symbol_listed_after_the_start_is_known_with_the_next_filters() -> None:
    """Somebody may hold it: its filters make a stop possible."""

    async def story() -> None:
        async with bench() as b:
            with pytest.raises(InputError):
                b.adapter.instrument("NEWUSDT")
            read = b.adapter._rest.read

            async def longer(api: str, path: str, decode: object) -> object:
                info = await read(api, path, decode)
                return msgspec.structs.replace(info, symbols=[
                    *info.symbols, msgspec.structs.replace(info.symbols[0], symbol="NEWUSDT"),
                    msgspec.structs.replace(info.symbols[0], symbol="BADUSDT", filters=[]),
                ])

            b.adapter._rest.read = longer
            await b.adapter.read_instruments()
            assert b.adapter.instrument("NEWUSDT").tick_size == COIN.tick_size
            with pytest.raises(InputError):  # its filters cannot be used
                b.adapter.instrument("BADUSDT")
            assert b.adapter.symbols == (SYMBOL,)
            refused = await b.adapter.submit_order(order(1, symbol="NEWUSDT"))
            assert refused.status is OrderStatus.REJECTED, "only what reduces may be sent for it"

    asyncio.run(story())
