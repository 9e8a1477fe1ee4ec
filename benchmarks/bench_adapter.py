"""What the Binance adapter takes for a frame's way in and an order's way out.

The references are ccxt's own parsing of the same frame and ccxt's signature of a ready order.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec

from benchmarks.harness import Figure, bench, median_us_in_turns
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.venues.binance import parse
from quantum_trader.venues.binance.clock import VenueClock
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.orders import Grid, order_fields
from quantum_trader.venues.binance.rest import PRIVATE, Rest

COUNT = 20_000
SYMBOL = "BTCUSDT"
BAR = {
    "e": "kline", "E": 1638747660000, "s": SYMBOL, "k": {
        "t": 1638747660000, "T": 1638747719999, "s": SYMBOL, "i": "1m", "f": 100, "L": 200, "o": "57001.10",
        "c": "57010.00", "h": "57020.50", "l": "56990.00", "v": "1000.125", "n": 100, "x": True, "q": "57005000.1",
        "V": "500.5", "Q": "28502500.5", "B": "0",
    },
}
QUOTE = {
    "e": "bookTicker", "u": 400900217, "E": 1568014460893, "T": 1568014460891, "s": SYMBOL, "b": "57001.10",
    "B": "31.21", "a": "57001.20", "A": "40.66",
}
FIELDS = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.100", "newClientOrderId": "qt-1"}


def frame(data: dict[str, Any], stream: str) -> bytes:
    """A combined stream's frame."""
    return msgspec.json.encode({"stream": stream, "data": data})


def ccxt_stream() -> Any:
    """ccxt's own client with one market, and no caller waiting for its messages."""
    import ccxt.pro

    exchange = ccxt.pro.binanceusdm({})
    exchange.set_markets([{
        "id": SYMBOL, "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "type": "swap",
        "spot": False, "swap": True, "linear": True, "inverse": False, "contract": True, "margin": False,
        "future": False, "option": False, "precision": {"amount": 0.001, "price": 0.1}, "limits": {},
    }])
    return exchange


def order_maker() -> tuple[Rest, Grid, OrderRequest]:
    """What an order's bytes are made with."""
    tier = LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0)
    coin = Instrument(symbol=SYMBOL, tick_size=0.1, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=(tier,))
    keys = ApiKeys("binance-testnet", Secret("k" * 64), Secret("s" * 64), "environment")
    rest = Rest(
        endpoint("binance-testnet"), keys, VenueClock(time.time_ns), time.monotonic, timeout_s=5.0,
        receive_window_ms=5000,
    )
    request = OrderRequest(
        client_order_id=f"qt-{random.Random(1).randbytes(10).hex()}", intent_id="i", trace_id="t", symbol=SYMBOL,
        side=OrderSide.SELL, type=OrderType.STOP_MARKET, qty=0.1, stop_price=56000.0, reduce_only=True, created_ns=0,
    )
    return rest, Grid(coin), request


@bench("adapter")
def adapter() -> Iterator[Figure]:
    """Decode a frame into an event; make and sign an order. Medians of single calls.

    The references are ccxt's ``handle_message`` of the same frame and its ``sign`` of fields that are ready.
    """
    theirs = ccxt_stream()
    client = SimpleNamespace(
        url="wss://fstream.binance.com/market/ws/1", subscriptions={}, futures={}, resolve=lambda *_: None
    )
    frames = {"bar": (frame(BAR, "btcusdt@kline_1m"), 99.0), "quote": (frame(QUOTE, "btcusdt@bookTicker"), 99.0)}
    for name, (raw, bar) in frames.items():
        pair = median_us_in_turns(
            COUNT, lambda _, raw=raw: parse.market_event(raw, NS_PER_MINUTE),  # type: ignore[misc]
            lambda _, raw=raw: theirs.handle_message(client, json.loads(raw)),  # type: ignore[misc]
        )
        yield Figure(
            name=f"{name} frame to event", value=pair.value, unit="us", reference=pair.reference,
            reference_name="ccxt handle_message, us", at_most=bar,
        )
    rest, grid, request = order_maker()
    pair = median_us_in_turns(
        COUNT, lambda _: rest.prepare("POST", PRIVATE, "algoOrder", order_fields(request, grid, "CONTRACT_PRICE")),
        lambda _: theirs_sign(rest),
    )
    yield Figure(
        name="stop order to signed bytes", value=pair.value, unit="us", reference=pair.reference,
        reference_name="ccxt sign alone, us", at_most=99.0,
    )


def theirs_sign(rest: Rest) -> object:
    """ccxt's signature of a ready order."""
    return rest._exchange.sign("order", [PRIVATE], "POST", FIELDS)
