"""Signs orders with the same bytes as ccxt, but faster: orders are the only urgent requests."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Final

from quantum_trader.venues.binance.endpoints import BinanceEndpoint
from quantum_trader.venues.binance.keys import ApiKeys

ORDER_PATHS: Final = frozenset({"order", "algoOrder"})
_PLAIN: Final = re.compile(r"(?:&?[A-Za-z]+=[A-Za-z0-9._~-]+)+")  # text that needs no URL escaping


class OrderSigner:
    """Makes the address, headers and body of one account's order requests."""

    __slots__ = ("__digest", "_headers", "_stamp_ms", "_tail", "_urls")

    def __init__(
        self, endpoint: BinanceEndpoint, keys: ApiKeys, stamp_ms: Callable[[], int], receive_window_ms: int
    ) -> None:
        """*stamp_ms* gives the venue's time. ConfigError for keys of another endpoint."""
        keys.require_endpoint(endpoint.name)
        self._stamp_ms = stamp_ms
        self._tail = f"&recvWindow={receive_window_ms}"
        self._urls = {path: f"{endpoint.rest}/fapi/v1/{path}" for path in ORDER_PATHS}
        self._headers = {
            "X-MBX-APIKEY": keys.key.reveal(), "Content-Type": "application/x-www-form-urlencoded",
        }
        secret = keys.secret.reveal().encode()

        def digest(query: bytes) -> str:
            return hmac.digest(secret, query, "sha256").hex()

        self.__digest = digest

    def sign(self, path: str, fields: Mapping[str, object]) -> tuple[str, dict[str, str], bytes] | None:
        """Return (address, headers, body) of a POST, signed now; None for fields that need URL escaping."""
        query = f"timestamp={self._stamp_ms()}"
        for name, value in fields.items():
            query += f"&{name}={value}"
        query += self._tail
        if query.count("=") != len(fields) + 2 or _PLAIN.fullmatch(query) is None:
            return None
        return self._urls[path], self._headers, f"{query}&signature={self.__digest(query.encode())}".encode()
