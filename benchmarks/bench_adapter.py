"""What the Binance adapter adds to a frame's way in and an order's way out, beside ccxt's own."""

from __future__ import annotations

import json
import random
import time
from types import SimpleNamespace
from typing import Any

import msgspec

from benchmarks.harness import Figure, bench, median_us
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
    """ccxt's own client with one market, and nobody waiting for its messages."""
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
def adapter() -> list[Figure]:
    """Decode a frame into an event; make and sign an order. Medians of single calls."""
    bar, quote = frame(BAR, "btcusdt@kline_1m"), frame(QUOTE, "btcusdt@bookTicker")
    theirs = ccxt_stream()
    client = SimpleNamespace(
        url="wss://fstream.binance.com/market/ws/1", subscriptions={}, futures={}, resolve=lambda *_: None
    )
    ccxt_bar = median_us(COUNT, lambda _: theirs.handle_message(client, json.loads(bar)))
    ccxt_quote = median_us(COUNT, lambda _: theirs.handle_message(client, json.loads(quote)))
    rest, grid, request = order_maker()
    signed = median_us(COUNT, lambda _: theirs_sign(rest))
    made = median_us(
        COUNT, lambda _: rest.prepare("POST", PRIVATE, "algoOrder", order_fields(request, grid, "CONTRACT_PRICE"))
    )
    return [
        Figure(
            name="bar frame to event", value=median_us(COUNT, lambda _: parse.market_event(bar, NS_PER_MINUTE)),
            unit="us", reference=ccxt_bar, reference_name="ccxt handle_message",
        ),
        Figure(
            name="quote frame to event", value=median_us(COUNT, lambda _: parse.market_event(quote, NS_PER_MINUTE)),
            unit="us", reference=ccxt_quote, reference_name="ccxt handle_message",
        ),
        Figure(
            name="stop order to signed bytes", value=made, unit="us", reference=signed,
            reference_name="ccxt sign alone", bar="<= 40 us",
        ),
    ]


def theirs_sign(rest: Rest) -> object:
    """ccxt's signature of a ready order."""
    return rest._exchange.sign("order", [PRIVATE], "POST", FIELDS)
