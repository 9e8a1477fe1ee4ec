"""Aids of the local venue's tests: a coin at 100, a client that signs, sockets read with a timeout."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.venues.local.build import scripted_exchange
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.orders import OrderTicket
from quantum_trader.venues.local.server import LocalVenue

Result = TypeVar("Result")
PATIENCE_S = 5.0
START_NS = 475_000 * NS_PER_HOUR
TIERS = (
    LeverageTier(max_notional=50_000.0, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0),
    LeverageTier(max_notional=1e6, maintenance_margin_rate=0.02, max_leverage=10.0, maintenance_amount=500.0),
)
COIN = Instrument(symbol="AAAUSDT", tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=TIERS)
OTHER = Instrument(symbol="BBBUSDT", tick_size=0.5, step_size=0.1, min_qty=0.1, min_notional=5.0, tiers=TIERS)
QUIET = ExchangeSettings(assumed_funding_rate=0.0, leverage=5.0)


def exchange(settings: ExchangeSettings = QUIET, history: int = 3) -> Exchange:
    """AAAUSDT at 100 and BBBUSDT at 50, hourly bars appended by the test."""
    return scripted_exchange(
        [COIN, OTHER], {"AAAUSDT": 100.0, "BBBUSDT": 50.0}, interval_ns=NS_PER_HOUR, settings=settings,
        start_ns=START_NS, history=history,
    )


def ticket(side: str, kind: str, qty: float = 1.0, **changes: Any) -> OrderTicket:
    """An order for AAAUSDT."""
    fields: dict[str, Any] = {"symbol": "AAAUSDT", "side": side, "type": kind, "qty": qty}
    return OrderTicket(**(fields | changes))


def names(events: list[Any]) -> list[str]:
    """Return the events in short, in order; price ticks left out."""
    found = []
    for event in events:
        kind = type(event).__name__
        if kind == "ExecutionReport":
            found.append(f"order {event.execution} {event.status}")
        elif kind == "AlgoEvent":
            found.append(f"algo {event.status}")
        elif kind == "AccountEvent":
            found.append(f"account {event.reason}")
        elif kind == "ConfigEvent":
            found.append("config")
    return found


def signature(secret: str, payload: str) -> str:
    """HMAC-SHA256 as the venue wants it."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


class Client:
    """A client that signs its requests."""

    def __init__(self, venue: LocalVenue, http: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.http = http
        self.key = venue.keys[0]

    async def ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **params: Any) -> Any:
        """Ask unsigned; return (status, JSON, headers)."""
        query = urlencode(params)
        async with self.http.request(method, f"{self.venue.url}{path}?{query}", headers=headers) as answer:
            return answer.status, msgspec.json.decode(await answer.read()), answer.headers

    async def signed(self, method: str, path: str, **params: Any) -> Any:
        """Ask signed; return (status, JSON)."""
        params.setdefault("timestamp", time.time_ns() // 1_000_000)
        query = urlencode(params)
        query += f"&signature={signature(self.key.secret, query)}"
        headers = {"X-MBX-APIKEY": self.key.key}
        exact = URL(f"{self.venue.url}{path}?{query}", encoded=True)  # as it was signed
        async with self.http.request(method, exact, headers=headers) as answer:
            return answer.status, msgspec.json.decode(await answer.read())

    async def ok(self, method: str, path: str, **params: Any) -> Any:
        """Ask signed and expect a result."""
        status, body = await self.signed(method, path, **params)
        assert status == 200, body
        return body

    async def refused(self, method: str, path: str, **params: Any) -> int:
        """Ask signed and expect a refusal; return its code."""
        status, body = await self.signed(method, path, **params)
        assert status != 200, body
        return int(body["code"])

    async def admin(self, action: str, **body: Any) -> Any:
        """Send an admin request; return (status, JSON)."""
        headers = {"Authorization": f"Bearer {self.venue.admin_token}"}
        async with self.http.post(f"{self.venue.url}/admin/{action}", json=body, headers=headers) as answer:
            return answer.status, msgspec.json.decode(await answer.read())


@asynccontextmanager
async def served(market: Exchange | None = None, **options: Any) -> AsyncIterator[tuple[LocalVenue, Client]]:
    """A venue and a client of it, both gone afterwards."""
    async with LocalVenue(market or exchange(), **options) as venue, aiohttp.ClientSession() as http:
        yield venue, Client(venue, http)


def run(scenario: Callable[[], Awaitable[Result]]) -> Result:
    """Run one scenario with a timeout."""

    async def limited() -> Result:
        async with asyncio.timeout(6 * PATIENCE_S):
            return await scenario()

    return asyncio.run(limited())


async def frame(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next frame of *socket*, decoded."""
    message = await asyncio.wait_for(socket.receive(), PATIENCE_S)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return msgspec.json.decode(message.data)


async def frames(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    """The next *count* frames."""
    return [await frame(socket) for _ in range(count)]


async def connected(venue: LocalVenue, count: int) -> None:
    """Wait until the venue knows *count* connections."""
    async with asyncio.timeout(PATIENCE_S):
        while len(venue.hub.connections) < count:
            await asyncio.sleep(0)
