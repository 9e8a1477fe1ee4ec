"""Orders signed without ccxt have the same bytes as with ccxt."""

from __future__ import annotations

import time
from typing import Any

import pytest

from quantum_trader.venues.binance.clock import VenueClock
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.rest import PRIVATE, Rest
from quantum_trader.venues.binance.signing import OrderSigner

NOW_NS = 1_763_700_000_123_000_000


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("order", {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.100",
                   "newClientOrderId": "qt-00ff", "newOrderRespType": "ACK"}),
        ("order", {"symbol": "\u5e01\u5b89USDT", "side": "SELL", "type": "LIMIT", "quantity": "1", "price": "0.5",
                   "timeInForce": "GTC", "newClientOrderId": "a b&c=/:\u00e9", "reduceOnly": "true"}),
        ("algoOrder", {"symbol": "ETHUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL",
                       "quantity": "2.5", "triggerPrice": "1999.99", "workingType": "CONTRACT_PRICE",
                       "priceProtect": "false", "clientAlgoId": "qt-01", "reduceOnly": "true"}),
    ],
    ids=["market", "limit in words beyond ASCII", "stop"],
)
def test_an_orders_bytes_are_ccxts(path: str, fields: dict[str, Any]) -> None:
    """Address, headers, body and signature equal what ccxt's own signing gives at the same moment."""
    keys = ApiKeys("binance-testnet", Secret("k" * 64), Secret("s" * 64), "environment")
    rest = Rest(
        endpoint("binance-testnet"), keys, VenueClock(lambda: NOW_NS), time.monotonic, timeout_s=5.0,
        receive_window_ms=5000,
    )
    ours = rest.prepare("POST", PRIVATE, path, fields)
    theirs = rest._exchange.sign(path, [PRIVATE], "POST", dict(fields))
    assert ours.url == theirs["url"]
    assert ours.headers == theirs["headers"]
    assert ours.body == theirs["body"].encode()
    assert ours.writes


@pytest.mark.parametrize("value", ["1&side=SELL", "a b", "", "\u00e9", "100%", "x=y"])
def test_text_that_needs_escaping_is_signed_by_ccxt(value: str) -> None:
    """Text that needs escaping is not signed directly, where it could be read as another field."""
    keys = ApiKeys("binance-testnet", Secret("k" * 64), Secret("s" * 64), "environment")
    signer = OrderSigner(endpoint("binance-testnet"), keys, lambda: 1, 5000)
    assert signer.sign("order", {"symbol": "BTCUSDT"}) is not None
    assert signer.sign("order", {"symbol": "BTCUSDT", "newClientOrderId": value}) is None
