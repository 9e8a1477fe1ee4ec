"""The venue as a server: HTTP and WebSocket requests in front, market time behind."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.venues.local import admin, rest_account, rest_market, rest_trade, ws_api
from quantum_trader.venues.local.api import Api, Route
from quantum_trader.venues.local.api_errors import VenueApiError, not_here
from quantum_trader.venues.local.build import flat_bar
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.faults import Faults, InjectedFault, refusal_of
from quantum_trader.venues.local.limits import Limits, LimitSettings
from quantum_trader.venues.local.misbehaviour import Misbehaviour
from quantum_trader.venues.local.signing import ApiKey, parsed
from quantum_trader.venues.local.streams import ALL, ROADS, Hub

ENDPOINTS: Final = rest_market.routes.table | rest_account.routes.table | rest_trade.routes.table
_ENCODE: Final = msgspec.json.Encoder().encode
_BODY_LIMIT: Final = 1 << 20
_REFUSALS_KEPT: Final = 1_000
_FAULT_RETRY_S: Final = 1  # Retry-After of a 429 or 418 that a fault makes up
_Answer = TypeVar("_Answer")
# The paths of ccxt's addresses. What this venue does not have (spot, coin-margined futures, options, stocks) is there
# too, and answers that it is not here.
_CCXT_REST: Final = {
    "fapiPublic": "fapi/v1", "fapiPublicV2": "fapi/v2", "fapiPublicV3": "fapi/v3", "fapiPrivate": "fapi/v1",
    "fapiPrivateV2": "fapi/v2", "fapiPrivateV3": "fapi/v3", "fapiData": "futures/data", "sapi": "sapi/v1",
    "sapiV2": "sapi/v2", "sapiV3": "sapi/v3", "sapiV4": "sapi/v4", "dapiPublic": "dapi/v1", "dapiPrivate": "dapi/v1",
    "dapiPrivateV2": "dapi/v2", "dapiData": "dapi/data", "eapiPublic": "eapi/v1", "eapiPrivate": "eapi/v1",
    "public": "api/v3", "private": "api/v3", "v1": "api/v1", "papi": "papi/v1", "papiV2": "papi/v2",
}
_CCXT_STREAMS: Final = {
    "linear": "ws", "future": "ws", "inverse": "coin/ws", "delivery": "coin/ws", "spot": "spot/ws",
    "margin": "spot/ws", "stock": "equity/ws", "option": "option/public/ws", "optionMarket": "option/market/ws",
    "optionPrivate": "option/private/ws", "papi": "pm/ws",
}
_CCXT_REQUESTS: Final = {
    "linear": "ws-fapi/v1", "future": "ws-fapi/v1", "inverse": "ws-dapi/v1", "delivery": "ws-dapi/v1",
    "spot": "ws-api/v3",
}


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the server listens and which clock it shows. *server_clock* "wall" or "market" (decision 0061)."""

    host: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    server_clock: str = "wall"
    tick_s: float = 0.25  # real time between two steps of market time
    limits: LimitSettings = LimitSettings()

    def __post_init__(self) -> None:
        if self.server_clock not in ("wall", "market"):
            raise ConfigError(f"server_clock = {self.server_clock!r}: use wall or market")
        if not self.allow_remote and not _is_loopback(self.host):
            raise ConfigError(f"host = {self.host!r}: the local venue listens on loopback only; set allow_remote")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def new_key() -> ApiKey:
    """A fresh key pair."""
    return ApiKey(key=secrets.token_hex(32), secret=secrets.token_hex(32))

_QUIET: Final = logging.getLogger(f"{__name__}.http")  # malformed requests are answered, not logged
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class LocalVenue:
    """The venue as an async context manager: ``async with LocalVenue(exchange) as venue: venue.url``.

    Without a running *clock* time stands still until :meth:`advance` or :meth:`step_bars`.
    """

    def __init__(
        self, exchange: Exchange, *, keys: list[ApiKey] | None = None,
        settings: ServerSettings = ServerSettings(),  # noqa: B008 - frozen
        clock: MarketClock | None = None, faults: Faults | None = None, admin_token: str = "",
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.exchange = exchange
        self.settings = settings
        self.clock = clock
        self.admin_token = admin_token or secrets.token_hex(24)
        self.keys = keys or [new_key()]
        self.port = 0
        self._wall_ns = wall_ns
        self.api = Api(
            exchange, self.keys, wall_ms=lambda: wall_ns() // 1_000_000, server_ms=self._server_ms,
            limits=Limits(settings.limits),
        )
        self.faults = faults or Faults()
        self.hub = Hub(self.api, self.faults)
        self.misbehaviour = Misbehaviour(exchange, self.faults)
        self.unknown_paths: list[str] = []  # requested paths that this venue does not have
        self.refusals: deque[str] = deque(maxlen=_REFUSALS_KEPT)  # "METHOD path code", the latest
        self._late: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._pump: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ life

    async def __aenter__(self) -> LocalVenue:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; *port* is set afterwards."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, logger=_QUIET)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        await site.start()
        addresses = self._runner.addresses
        self.port = int(addresses[0][1])
        if self.clock is not None:
            self.clock.start(self.exchange.now_ns)
            self._pump = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop time, close connections, free the port; safe to call twice."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        if self._runner is not None:
            await self.hub.close()
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Base address, "http://127.0.0.1:PORT"."""
        return f"http://{self.settings.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base address of the sockets, "ws://127.0.0.1:PORT"."""
        return f"ws://{self.settings.host}:{self.port}"

    def ccxt_urls(self) -> dict[str, Any]:
        """Return ccxt's ``urls.api`` for an unmodified client of this venue: every address that any ccxt has.

        A ccxt in Python names the sockets of USD-M futures ``linear``, one in JavaScript ``future``. An address that
        was left out would be the real venue's, for signed orders too.
        """
        rest = {name: f"{self.url}/{path}" for name, path in _CCXT_REST.items()}
        streams = {name: f"{self.ws_url}/{path}" for name, path in _CCXT_STREAMS.items()}
        requests = {name: f"{self.ws_url}/{path}" for name, path in _CCXT_REQUESTS.items()}
        return rest | {"ws": streams | {"ws-api": requests}}

    # ------------------------------------------------------------------ time

    def _server_ms(self) -> int:
        if self.settings.server_clock == "market":
            return self.exchange.now_ns // 1_000_000
        return self._wall_ns() // 1_000_000

    async def _run(self) -> None:
        """Let the clock's time pass until cancelled."""
        assert self.clock is not None
        while True:
            target = self.clock.now_ns(self.exchange)
            moved = target > self.exchange.now_ns
            if moved:
                self.exchange.advance(target)
            self.misbehaviour.step()
            if self.faults.hangs_up():
                self.hub.drop()
            self.flush()
            await asyncio.sleep(self.clock.pause_s(self.settings.tick_s, moved))

    def advance(self, ns: int) -> None:
        """Let *ns* of market time pass now, and send what happened."""
        self.exchange.advance(self.exchange.now_ns + ns)
        self.flush()

    def step_bars(self, count: int = 1) -> None:
        """Go on to the close of the running bar and of *count* - 1 more."""
        tape = self.exchange.tape
        for _ in range(count):
            row = tape.row_at(self.exchange.now_ns)
            end = int(tape.ts_ns[row]) + tape.interval_ns if row >= 0 else self.exchange.now_ns
            if self.exchange.now_ns >= end:
                end = int(tape.ts_ns[row + 1]) + tape.interval_ns if row + 1 < len(tape) else end + tape.interval_ns
            self.exchange.advance(end)
            self.flush()

    def show(self, prices: Mapping[str, float]) -> None:
        """Append one flat bar at *prices* (other symbols at their last) to a scripted tape, and play it."""
        exchange = self.exchange
        known = {symbol: float(exchange.last[exchange.index[symbol]]) for symbol in exchange.symbols}
        known = {symbol: price for symbol, price in known.items() if price > 0.0} | dict(prices)
        opens = max(exchange.tape.end_ns, -(-exchange.now_ns // exchange.tape.interval_ns) * exchange.tape.interval_ns)
        exchange.tape.append(opens, *flat_bar(exchange.tape, known))
        exchange.advance(opens + exchange.tape.interval_ns)
        self.flush()

    def bar(self, symbol: str, open_: float, high: float, low: float, close: float, volume: float = 1_000.0) -> None:
        """Append one bar of *symbol* (others flat at their last) to a scripted tape, and play it."""
        exchange = self.exchange
        known = {name: float(exchange.last[row]) for name, row in exchange.index.items() if exchange.last[row] > 0.0}
        ohlcv, present = flat_bar(exchange.tape, known)
        ohlcv[exchange.row_of(symbol)] = (open_, high, low, close, volume)
        present[exchange.row_of(symbol)] = True
        opens = max(exchange.tape.end_ns, -(-exchange.now_ns // exchange.tape.interval_ns) * exchange.tape.interval_ns)
        exchange.tape.append(opens, ohlcv, present)
        exchange.advance(opens + exchange.tape.interval_ns)
        self.flush()

    def flush(self) -> None:
        """Do what is due and send what happened."""
        self.api.on_time()
        self.hub.publish(self.exchange.take_events())

    # ------------------------------------------------------------------ HTTP

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        head, _, rest = request.path.lstrip("/").partition("/")
        if head == "admin":
            return await self._administer(request, rest)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request, head, rest)
        return await self._rest(request)

    async def _socket(self, request: web.Request, head: str, rest: str) -> web.StreamResponse:
        """A stream on its road or on the root of all, or the WebSocket API."""
        if head in ROADS and rest.partition("/")[0] in ("ws", "stream"):
            return await self.hub.serve(request, head, rest)
        if head in ("ws", "stream"):
            return await self.hub.serve(request, ALL, request.path.lstrip("/"))
        if request.path == "/ws-fapi/v1":
            return await self._serve_api(request)
        roads = ", ".join(f"/{road}" for road in ROADS)
        return _json(404, {}, not_here(f"socket at {request.path}: use {roads}, /ws, /stream or /ws-fapi/v1").body())

    async def _serve_api(self, request: web.Request) -> web.StreamResponse:
        socket = await ws_api.open_socket(request)
        session = ws_api.SocketSession(self.api)
        async for message in socket:
            if not ws_api.is_text(message.type):
                continue
            answer = await self._spoilt(
                self.faults.for_request("WS", ws_api.method_of(message.data)),
                partial(self._flushed, partial(session.answer, message.data)),
            )
            if answer is None:
                _hang_up(request)
                break
            if isinstance(answer, VenueApiError):
                answer = ws_api.refusal_frame(message.data, answer)
            await socket.send_str(_ENCODE(answer).decode())
        return socket

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
        key = request.headers.get("X-MBX-APIKEY", "")
        answer = await self._spoilt(
            self.faults.for_request(request.method, request.path),
            partial(self.answer, request.method, request.path, request.raw_path.partition("?")[2], body, key),
        )
        if answer is None:
            _hang_up(request)
            return _json(500, {}, {})
        if isinstance(answer, VenueApiError):
            headers = {"Retry-After": str(_FAULT_RETRY_S)} if answer.status in (418, 429) else {}
            return _json(answer.status, headers, answer.body())
        return _json(*answer)

    async def _spoilt(self, fault: InjectedFault | None, act: Callable[[], _Answer]) -> _Answer | VenueApiError | None:
        """Return the answer of *act* under *fault*: on time, late, replaced by a refusal, or None for no answer."""
        if fault is None:
            return act()
        if fault.kind == "latency":
            if not fault.alive:  # the request is late, not its answer
                await asyncio.sleep(fault.seconds)
                return act()
            answer = act()
            await asyncio.sleep(fault.seconds)
            return answer
        if fault.kind == "late":
            task = asyncio.create_task(self._arrive(fault.seconds, act))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        elif fault.kind in ("unknown", "internal", "drop") and fault.alive:
            act()
        return None if fault.kind == "drop" else refusal_of(fault)

    @staticmethod
    async def _arrive(seconds: float, act: Callable[[], Any]) -> None:
        """Process a request after a delay."""
        await asyncio.sleep(seconds)
        act()

    def _flushed(self, act: Callable[[], _Answer]) -> _Answer:
        try:
            return act()
        finally:
            self.flush()

    async def _administer(self, request: web.Request, action: str) -> web.StreamResponse:
        if refused := admin.admin_refusal(self, request.remote, request.headers):
            return _json(403, {}, {"error": refused})
        body = (await request.read()).decode(errors="replace")
        status, answer = admin.perform(self, action, body)
        return _json(status, {}, answer)

    def answer(self, method: str, path: str, query: str, body: str, key: str) -> tuple[int, dict[str, str], Any]:
        """Return the answer to one request: status, headers, JSON."""
        endpoint, now = ENDPOINTS.get((method, path)), self.api.wall_ms()
        try:
            if endpoint is None:
                self.unknown_paths.append(f"{method} {path}")
                raise not_here(f"{method} {path}")
            self.api.limits.spend(endpoint.weight, now)
            result = self._authorised(endpoint, query, body, key)
            if endpoint.orders:
                self.api.limits.spend_order(now)
            return 200, self.api.limits.headers(now, endpoint.orders), endpoint.handler(self.api, result)
        except VenueApiError as error:
            self.refusals.append(f"{method} {path} {error.code}")
            headers = self.api.limits.headers(now, bool(endpoint and endpoint.orders))
            if error.status in (418, 429):
                headers["Retry-After"] = str(self.api.limits.retry_after_s(now))
            return error.status, headers, error.body()
        except InputError as error:
            return 400, self.api.limits.headers(now, False), {"code": -1130, "msg": str(error)}
        finally:
            self.flush()

    def _authorised(self, endpoint: Route, query: str, body: str, header: str) -> dict[str, str]:
        """Return the request's parameters after its key and signature were checked."""
        params = parsed(query, body)
        self.api.caller = None
        if endpoint.security != "NONE":
            self.api.caller = self.api.signing.key_of(header)
        if endpoint.security == "SIGNED":
            assert self.api.caller is not None
            self.api.signing.check(self.api.caller, query, body, params, self.api.server_ms())
        return params


def _json(status: int, headers: Mapping[str, str], body: Any) -> web.Response:
    return web.Response(status=status, headers=headers, body=_ENCODE(body), content_type="application/json")


def _hang_up(request: web.Request) -> None:
    """Break the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()


def write_new_private(path: Path, content: str) -> None:
    """Write a new file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
