"""ccxt has every REST path of the adapter, and signs as the venue documents it."""

from __future__ import annotations

import ast
import hashlib
import hmac
from pathlib import Path

import ccxt

from quantum_trader.venues import binance
from quantum_trader.venues.binance.clock import VenueClock
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.rest import PRIVATE, Rest

FOLDER = Path(str(binance.__file__)).parent
GROUPS = {
    "PUBLIC": "fapiPublic", "PUBLIC_V2": "fapiPublicV2", "PRIVATE": "fapiPrivate", "PRIVATE_V3": "fapiPrivateV3",
    "ACCOUNT_API": "sapi",
}


def paths() -> set[tuple[str, str, str]]:
    """Every (group, method, path) that the adapter names, read out of its source."""
    found = set()
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name))):
                continue
            words = [arg.value if isinstance(arg, ast.Constant) else getattr(arg, "id", "") for arg in node.args]
            for index, word in enumerate(words[:-1]):
                path = words[index + 1]
                if word in GROUPS and isinstance(path, str) and path and path != "path":
                    method = words[index - 1] if index and words[index - 1] in ("POST", "PUT", "DELETE") else "GET"
                    found.add((GROUPS[word], method, path))
    return found


def test_ccxt_has_every_path() -> None:
    """A path that ccxt does not have is one the venue does not have either."""
    api = ccxt.binanceusdm().describe()["api"]

    unknown = {road for road in paths() if road[2] not in api[road[0]][road[1].lower()]}

    assert len(paths()) > 15
    assert unknown == set()
    for method in ("post", "get", "delete"):
        assert {"order", "algoOrder"} <= set(api["fapiPrivate"][method])


def test_the_signature_is_the_documented_one() -> None:
    """HMAC-SHA256 of the fields as they are sent, with the venue's time and the receive window among them."""
    secret = "s" * 64
    keys = ApiKeys("binance-testnet", Secret("k" * 64), Secret(secret), "environment")
    clock = VenueClock(lambda: 1_700_000_000_000 * 1_000_000)
    clock.offset_ns = 250_000_000
    rest = Rest(endpoint("binance-testnet"), keys, clock, lambda: 0.0, timeout_s=5.0, receive_window_ms=5000)

    prepared = rest.prepare("POST", PRIVATE, "order", {"symbol": "BTCUSDT", "newClientOrderId": "qt-1"})

    assert prepared.body is not None
    query, _, signature = prepared.body.decode().rpartition("&signature=")
    assert signature == hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    assert "timestamp=1700000000250" in query
    assert "recvWindow=5000" in query
    assert "newClientOrderId=qt-1" in query
    assert prepared.url == "https://demo-fapi.binance.com/fapi/v1/order"
    assert "k" * 64 not in repr(prepared)
