"""WebSocket streams: subscriptions, and a sender for each connection.

A *road* is the first part of a stream's path: public, market or private. A path without one is of the road ALL, which
carries the streams of every road (decision 0103).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import ClientConnectionError, WSMsgType, web

from quantum_trader.domain.json_text import decode_json
from quantum_trader.venues.local.market_frames import FrameStream, MarketFrames, stream_of
from quantum_trader.venues.local.orders import MarketTick, UserEvent
from quantum_trader.venues.local.user_frames import expired_frame, user_frames

if TYPE_CHECKING:
    from quantum_trader.venues.local.api import Api
    from quantum_trader.venues.local.faults import Faults

ROADS: Final = ("public", "market", "private")
ALL: Final = "all"
_LISTEN_KEY: Final = re.compile("[0-9a-f]{64}")
_ENCODE: Final = msgspec.json.Encoder().encode
_SLOW: Final = 20_000  # frames a client may be behind before its connection is broken
_MOST_STREAMS: Final = 1024  # of one connection, as at Binance
_SHOWN: Final = 100  # characters of a request that an answer repeats
_PING_S: Final = 180.0


class Connection:
    """One client's socket on one road."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, road: str, combined: bool) -> None:
        self._request = request
        self.socket = socket
        self.road = road
        self.combined = combined
        self.names: dict[str, None] = {}
        self.events: dict[str, frozenset[str] | None] = {}  # listen key -> event types, None for all
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self.closing = False

    def send(self, stream: str, data: bytes) -> None:
        """Queue one frame, wrapped when the connection is a combined one."""
        if self.closing:
            return
        self._queue(b'{"stream":"' + stream.encode() + b'","data":' + data + b"}" if self.combined else data)

    def answer(self, body: dict[str, Any]) -> None:
        """Queue the answer to a request on this socket."""
        if not self.closing:
            self._queue(_ENCODE(body))

    def _queue(self, frame: bytes) -> None:
        """Queue one frame; a client that is too far behind is disconnected."""
        self._waiting.append(frame)
        if len(self._waiting) > _SLOW:
            self.close()
        self._wake.set()

    def close(self) -> None:
        """Break the connection without a close frame, now: its sender may wait for a client that reads nothing."""
        self.closing = True
        self._waiting.clear()
        self._abort()
        self._wake.set()

    async def pump(self) -> None:
        """Send what is queued until the connection ends."""
        while not self.closing:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and not self.closing:
                await self.socket.send_frame(self._waiting.popleft(), WSMsgType.TEXT)
        self._abort()

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


class Hub:
    """Every open connection and its subscriptions."""

    def __init__(self, api: Api, faults: Faults) -> None:
        self.api = api
        self.faults = faults
        self.frames = MarketFrames(api.wire)
        self.connections: set[Connection] = set()
        self._streams: dict[str, FrameStream] = {}
        self._listeners: dict[str, dict[Connection, None]] = {}

    # ------------------------------------------------------------------ connections

    async def serve(self, request: web.Request, road: str, rest: str) -> web.StreamResponse:
        """Run one connection from its handshake to its end."""
        socket = web.WebSocketResponse(compress=False, heartbeat=_PING_S)
        await socket.prepare(request)
        connection = Connection(request, socket, road, combined=rest.startswith("stream"))
        self.connections.add(connection)
        self._subscribe(connection, _streams_in(request, rest))
        self._listen(connection, request.query.get("listenKey", ""), request.query.get("events", ""))
        sender = asyncio.create_task(connection.pump())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._request(connection, message.data)
        finally:
            self._forget(connection)
            sender.cancel()
            for result in await asyncio.gather(sender, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, (ConnectionError, ClientConnectionError)):
                    raise result
        return socket

    def _forget(self, connection: Connection) -> None:
        connection.closing = True
        self.connections.discard(connection)
        for name in tuple(connection.names):
            self._leave(connection, name)

    def drop(self, road: str = "") -> int:
        """Break every connection (of one road); return how many."""
        chosen = [connection for connection in self.connections if not road or connection.road in (road, ALL)]
        for connection in chosen:
            connection.close()
        return len(chosen)

    async def close(self) -> None:
        """Close every connection politely."""
        for connection in tuple(self.connections):
            await connection.socket.close(code=1001, message=b"venue stops")

    # ------------------------------------------------------------------ subscriptions

    def _request(self, connection: Connection, text: str) -> None:
        """SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS."""
        try:
            message = decode_json(text)
            method, number = message["method"], message.get("id")
            names = [str(name) for name in message.get("params") or []]
            streams = len({*connection.names, *names}) if method == "SUBSCRIBE" else 0
        except (msgspec.DecodeError, TypeError, KeyError, AttributeError):
            connection.answer({"error": {"code": 3, "msg": "Invalid JSON: expected value"}})
            return
        result: Any = None
        if streams > _MOST_STREAMS:
            told = f"Invalid request: {streams} streams; one connection takes {_MOST_STREAMS}"
            connection.answer({"error": {"code": 2, "msg": told}, "id": number})
            return
        if method == "SUBSCRIBE":
            self._subscribe(connection, names)
        elif method == "UNSUBSCRIBE":
            for name in names:
                self._leave(connection, name)
                connection.events.pop(name, None)
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(connection.names) + list(connection.events)
        else:
            connection.answer({
                "error": {"code": 2, "msg": f"Invalid request: unknown variant `{str(method)[:_SHOWN]}`"},
            })
            return
        connection.answer({"result": result, "id": number})

    def _subscribe(self, connection: Connection, names: list[str]) -> None:
        for name in names:
            key, _, events = name.partition("@")
            if connection.road == "private" or (connection.road == ALL and _LISTEN_KEY.fullmatch(key)):
                self._listen(connection, key, events)
                continue
            connection.names[name] = None
            stream = self._streams.get(name) or stream_of(self.api.exchange, name)
            if stream is None or connection.road not in (stream.road, ALL):
                continue  # accepted and silent, as at the venue
            self._streams[name] = stream
            self._listeners.setdefault(name, {})[connection] = None

    def _listen(self, connection: Connection, key: str, events: str) -> None:
        """Subscribe to the user stream of *key*, where the road has one."""
        if key and connection.road in ("private", ALL):
            connection.events[key] = frozenset(events.split("/")) if events else None

    def _leave(self, connection: Connection, name: str) -> None:
        connection.names.pop(name, None)
        listeners = self._listeners.get(name)
        if listeners is not None:
            listeners.pop(connection, None)
            if not listeners:
                del self._listeners[name]
                del self._streams[name]

    # ------------------------------------------------------------------ sending

    def publish(self, events: list[UserEvent | MarketTick]) -> None:
        """Send what happened: the account's events on the private road, the market's on the other two."""
        for event in events:
            if isinstance(event, MarketTick):
                self._publish_tick(event)
            else:
                for frame in user_frames(self.api.wire, event, self._event_ms()):
                    for passed in self.faults.user_frames(frame):
                        self._publish_user(passed)
        for key in self.api.expired_keys:
            self._send_user(key, "listenKeyExpired", _ENCODE(expired_frame(key, self._event_ms())))
        self.api.expired_keys.clear()

    def _event_ms(self) -> int:
        return self.api.exchange.now_ns // 1_000_000

    def _publish_tick(self, tick: MarketTick) -> None:
        for name, listeners in tuple(self._listeners.items()):
            stream = self._streams[name]
            if self.faults.silent(stream.road):
                continue
            for data in self.frames.frames(stream, tick):
                if self.faults.loses_market_frame():
                    continue
                for connection in listeners:
                    connection.send(name, data)
        self.frames.end_tick()

    def _publish_user(self, frame: dict[str, Any]) -> None:
        if self.faults.silent("private"):
            return
        data, now = _ENCODE(frame), self.api.wall_ms()
        for key, expires in self.api.listen_keys.items():
            if expires > now:
                self._send_user(key, frame["e"], data)

    def _send_user(self, key: str, event: str, data: bytes) -> None:
        for connection in self.connections:
            wanted = connection.events.get(key, frozenset())
            if wanted is None or event in wanted:
                connection.send(key, data)


def _streams_in(request: web.Request, rest: str) -> list[str]:
    """Streams named in the address: /ws/<name> and /stream?streams=a/b."""
    names = [name for name in request.query.get("streams", "").split("/") if name]
    return names + [name for name in rest.partition("/")[2].split("/") if name]
