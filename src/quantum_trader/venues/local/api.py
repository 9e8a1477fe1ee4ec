"""What HTTP and WebSocket requests share: the exchange, the API key of the caller, and the table of handlers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.limits import Limits
from quantum_trader.venues.local.orders import AlgoOrder, Order
from quantum_trader.venues.local.params import Params
from quantum_trader.venues.local.signing import ApiKey, Signing
from quantum_trader.venues.local.wire import Wire

LISTEN_KEY_NS: Final = 3_600 * NS_PER_SECOND

RequestHandler = Callable[["Api", Params], Any]


class Route(msgspec.Struct, frozen=True):
    """One method and path: its handler, its security (NONE, KEY, SIGNED), and its request weight."""

    handler: RequestHandler
    security: str = "NONE"
    weight: int = 1
    orders: bool = False


class Routes:
    """A table of endpoints that modules fill."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], Route] = {}

    def add(
        self, method: str, *paths: str, security: str = "NONE", weight: int = 1, orders: bool = False
    ) -> Callable[[RequestHandler], RequestHandler]:
        """Register a function under *paths*."""

        def register(handler: RequestHandler) -> RequestHandler:
            for path in paths:
                self.table[(method, path)] = Route(handler, security, weight, orders)
            return handler

        return register


class Api:
    """The venue's state beyond the exchange itself. *wall_ms* and *server_ms* are clocks."""

    def __init__(
        self, exchange: Exchange, keys: list[ApiKey], wall_ms: Callable[[], int], server_ms: Callable[[], int],
        limits: Limits | None = None,
    ) -> None:
        self.exchange = exchange
        self.wire = Wire(exchange)
        self.signing = Signing(keys)
        self.limits = limits or Limits()
        self.wall_ms = wall_ms
        self.server_ms = server_ms
        self.listen_keys: dict[str, int] = {}  # key -> wall time (ms) it expires at
        self.expired_keys: list[str] = []
        self.caller: ApiKey | None = None  # key of the request in progress
        self.good_till: list[tuple[int, Order | AlgoOrder]] = []  # server time (ms) at which an order ends
        self.countdowns: dict[str, int] = {}  # symbol -> wall time (ms) at which its orders are cancelled

    def start_listen_key(self) -> str:
        """The account's listen key, a new one when there is none; valid for 60 minutes from now."""
        now = self.wall_ms()
        live = [key for key, expires in self.listen_keys.items() if expires > now]
        key = live[0] if live else secrets.token_hex(32)
        self.listen_keys[key] = now + LISTEN_KEY_NS // 1_000_000
        return key

    def end_listen_key(self, key: str) -> bool:
        """Remove *key* and mark it for a listenKeyExpired event; False when it is not known."""
        if self.listen_keys.pop(key, None) is None:
            return False
        self.expired_keys.append(key)
        return True

    def on_time(self) -> None:
        """Do what is due: expire listen keys and orders that are good till a date, cancel what a countdown covers."""
        now = self.wall_ms()
        for key, expires in tuple(self.listen_keys.items()):
            if expires <= now:
                self.end_listen_key(key)
        self._expire_orders()
        for symbol, due in tuple(self.countdowns.items()):
            if due <= now:
                del self.countdowns[symbol]
                for order in self.exchange.open_orders(symbol):
                    self.exchange.cancel(order)

    def _expire_orders(self) -> None:
        """End the orders whose goodTillDate the server's clock has reached."""
        if not self.good_till:
            return
        now = self.server_ms()
        due = [order for moment, order in self.good_till if moment <= now]
        self.good_till = [row for row in self.good_till if row[0] > now]
        for order in due:
            self.exchange.expire(order)
