"""A tour of the adapter over the local venue: every request it can make, every frame it reads, written down as sent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.venues.binance.bench import SYMBOL, Bench, adapter_for, bench, order, stop
from yarl import URL

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.venue_port import Kline, MarkPrice, Quote, WalletChanged
from quantum_trader.venues.binance import feeds, parse
from quantum_trader.venues.binance.rest import PreparedRequest, Rest


class TourResult(NamedTuple):
    """What came back: by "METHOD /path" each answer, by kind each stream's frame out of its envelope."""

    answers: dict[str, list[Any]]
    frames: dict[str, list[Any]]


def call_of(request: PreparedRequest) -> str:
    """A request in short: ``GET /fapi/v1/time``."""
    return f"{request.method} {URL(request.url).path}"


@contextmanager
def written_down() -> Iterator[TourResult]:
    """Write down all answers and frames of every adapter meanwhile, and renew listen keys quickly."""
    recorded = TourResult(defaultdict(list), defaultdict(list))
    send, market_event, user_frame = Rest.send, parse.market_event, parse.user_frame

    async def sent(self: Rest, request: PreparedRequest) -> Any:
        answer = await send(self, request)
        kept = recorded.answers[call_of(request)]
        if isinstance(answer, bytes):
            kept.append(msgspec.json.decode(answer))
        return answer

    def note(frame: bytes | str) -> None:
        content = msgspec.json.decode(frame)
        content = content.get("data", content)
        recorded.frames[content["e"]].append(content)

    def market(frame: bytes | str, interval_ns: int) -> Any:
        note(frame)
        return market_event(frame, interval_ns)

    def user(frame: bytes | str) -> Any:
        note(frame)
        return user_frame(frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rest, "send", sent)
        patch.setattr(parse, "market_event", market)
        patch.setattr(parse, "user_frame", user)
        patch.setattr(feeds, "KEY_RENEWAL_S", 0.02)
        yield recorded


def _cancel(request: OrderRequest) -> CancelRequest:
    return CancelRequest(client_order_id=request.client_order_id, symbol=request.symbol, created_ns=0)


async def _trade(b: Bench) -> None:
    """Open, rest, protect, ask about everything, cancel, and be stopped out."""
    limit, first, second = order(2, OrderType.LIMIT, price=90.0), stop(3, 95.0), stop(4, 94.0)
    b.venue.show({SYMBOL: 100.0})
    await b.adapter.set_leverage(SYMBOL, 5.0)
    for request in (order(1), limit, first, second):
        assert (await b.adapter.submit_order(request)).status is OrderStatus.NEW
    assert len(await b.adapter.open_orders()) == 3
    assert len(await b.adapter.get_positions()) == 1
    assert (await b.adapter.get_cash_balance()).margin_used > 0.0
    assert await b.adapter.get_order(SYMBOL, first.client_order_id) is not None
    await b.adapter.cancel_order(_cancel(limit))
    await b.adapter.cancel_order(_cancel(first))
    b.venue.advance(b.venue.exchange.funding_of(0)[1] - b.venue.exchange.now_ns)
    await b.until(lambda: b.of(FundingPayment), "the funding is reported")
    b.venue.show({SYMBOL: 90.0})
    await b.until(lambda: len(b.of(Fill)) == 2, "the second stop closes the position")
    await b.until(lambda: [u.status for u in b.of(OrderUpdate)].count(OrderStatus.FILLED) == 2, "and says so")


async def _query_past_events(b: Bench) -> None:
    """Query past events, as after a restart; and read the market without a key."""
    now_ns = b.venue.exchange.now_ns
    assert await b.adapter.get_klines(SYMBOL, NS_PER_MINUTE, now_ns - NS_PER_HOUR, now_ns)
    assert await b.adapter.get_ticker_price(SYMBOL) == 90.0
    assert await b.adapter.get_funding(0)
    restarted, stranger = adapter_for(b.venue), adapter_for(b.venue, signed=False)
    await restarted.connect()
    assert await restarted.get_fills(SYMBOL, 0) == b.of(Fill)
    await restarted.close()
    await stranger.connect()
    await stranger.close()


async def _receive_the_rest(b: Bench) -> None:
    """All kinds of market frames, the renewal of a listen key, and its end."""
    await b.until(lambda: b.of(Kline) and b.of(Quote) and b.of(MarkPrice) and b.of(WalletChanged), "all kinds arrive")
    for key in tuple(b.venue.api.listen_keys):
        b.venue.api.end_listen_key(key)
    b.venue.flush()
    await b.until(lambda: ("user", False) in b.states(), "the account's stream ends with its key")


def tour() -> TourResult:
    """Everything the adapter asks for and reads, from a venue that plays one story."""

    async def story() -> TourResult:
        with written_down() as recorded:
            async with bench() as b:
                await _trade(b)
                await _query_past_events(b)
                while not recorded.answers["PUT /fapi/v1/listenKey"]:
                    await asyncio.sleep(0.005)
                await _receive_the_rest(b)
            return recorded

    async def limited() -> TourResult:
        async with asyncio.timeout(30.0):
            return await story()

    return asyncio.run(limited())
