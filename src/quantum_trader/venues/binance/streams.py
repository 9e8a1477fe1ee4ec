"""Sockets that stay up, and say when they were not.

Each socket reconnects by itself, with a growing, jittered pause; before the venue's limit of 24 hours it does so of its
own accord. One that is silent counts as down: a market stream that was asked for on the wrong road connects and says
nothing for ever. ccxt's own streams are not used: they hide reconnects, and what was missed in them (decision 0066).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final

import aiohttp
import msgspec

from quantum_trader.domain.errors import VenueError, VenueUnavailable
from quantum_trader.engine.venue_port import MarkPrice, Quote, StreamEvent, StreamState

STREAMS_PER_SOCKET: Final = 200
_CLOSING: Final = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)
_LARGEST_FRAME: Final = 4 * 1024 * 1024


class StreamTiming(msgspec.Struct, frozen=True, kw_only=True):
    """How long a socket may be silent, and when it is tried again. Seconds."""

    connect_s: float = 10.0
    probe_s: float = 5.0  # how often silence is looked at; half of a silence, a ping is sent
    silent_s: float = 30.0  # no frame, ping or pong for this long: down
    no_data_s: float = 20.0  # a socket that always has something to say, and does not: down; 0.0: never
    life_s: float = 23.0 * 3600.0  # reconnect before the venue's 24 hours; up to half an hour earlier
    first_pause_s: float = 0.25
    longest_pause_s: float = 30.0
    stable_s: float = 60.0  # a connection that lived this long begins with the first pause again


class EventQueue:
    """Events on their way to who reads them; of quotes and mark prices only each symbol's newest waits."""

    def __init__(self) -> None:
        self._waiting: deque[StreamEvent | tuple[type, str]] = deque()
        self._newest: dict[tuple[type, str], StreamEvent] = {}
        self._reader: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False

    def put(self, event: StreamEvent) -> None:
        """Queue an event."""
        if isinstance(event, (Quote, MarkPrice)):
            key = (type(event), event.symbol)
            known = key in self._newest
            self._newest[key] = event
            if known:
                return
            self._waiting.append(key)
        else:
            self._waiting.append(event)
        self._wake()

    def close(self, failure: BaseException | None = None) -> None:
        """End: :meth:`get` returns None once all is read, or raises *failure*."""
        self._closed = True
        self._failure = self._failure or failure
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> StreamEvent | None:
        """Return the next event; None at the end. For one reader."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        entry = self._waiting.popleft()
        return self._newest.pop(entry) if isinstance(entry, tuple) else entry


class StreamStates:
    """Which sockets of a stream are up: the stream is, when all are. Tells each change once."""

    def __init__(
        self, stream: str, sockets: int, tell: Callable[[StreamEvent], None], now_ns: Callable[[], int]
    ) -> None:
        self._stream = stream
        self._sockets = sockets
        self._tell = tell
        self._now_ns = now_ns
        self._up: set[str] = set()
        self._told: bool | None = None

    def note(self, socket: str, up: bool, reason: str) -> None:
        """A socket came up or went down."""
        if up:
            self._up.add(socket)
        else:
            self._up.discard(socket)
        whole = len(self._up) == self._sockets
        if whole is not self._told and (whole or not up):
            self._told = whole
            text = "" if whole else f"{socket}: {reason}"
            self._tell(StreamState(stream=self._stream, up=whole, ts_ns=self._now_ns(), reason=text))


class Socket:
    """One WebSocket that is kept up.

    *address* is asked before each connection; *on_frame* gets each text frame in order and may raise VenueError, which
    takes the connection down; *on_state* hears of every up and down.
    """

    def __init__(
        self, name: str, session: Callable[[], aiohttp.ClientSession], address: Callable[[], Awaitable[str]],
        on_frame: Callable[[bytes], Awaitable[None] | None], on_state: Callable[[str, bool, str], None], *,
        timing: StreamTiming, rng: Random, now_s: Callable[[], float], always_talks: bool = False,
    ) -> None:
        self.name = name
        self._session = session
        self._address = address
        self._on_frame = on_frame
        self._on_state = on_state
        self._timing = timing
        self._rng = rng
        self._now_s = now_s
        self._always_talks = always_talks
        self._verdict = ""
        self._heard_s = self._data_s = 0.0
        self._wire: aiohttp.ClientWebSocketResponse[bool] | None = None

    async def run(self) -> None:
        """Keep the socket up until cancelled."""
        failures = 0
        while True:
            began_s, at_least_s = self._now_s(), 0.0
            try:
                reason = await self._connection()
            except VenueUnavailable as error:
                reason, at_least_s = str(error), error.retry_after_s
            except VenueError as error:
                reason = str(error)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = _kind(error)
            self._on_state(self.name, False, reason)
            failures = 0 if self._now_s() - began_s >= self._timing.stable_s else failures + 1
            await asyncio.sleep(max(at_least_s, self._pause_s(failures)))

    async def restart(self, reason: str) -> None:
        """Take the connection down, so that :meth:`run` makes a new one."""
        self._verdict = reason
        if self._wire is not None:
            await self._wire.close()

    def _pause_s(self, failures: int) -> float:
        """A pause that doubles, with jitter: between half of it and all of it."""
        longest = min(self._timing.longest_pause_s, self._timing.first_pause_s * 2.0 ** min(failures, 16))
        return longest * (0.5 + 0.5 * self._rng.random())

    async def _connection(self) -> str:
        """One connection from its beginning to its end; return why it ended."""
        self._verdict = ""
        async with asyncio.timeout(self._timing.connect_s):
            address = await self._address()
            connection = await self._session().ws_connect(
                address, autoping=False, max_msg_size=_LARGEST_FRAME, decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        self._wire = connection
        self._heard_s = self._data_s = self._now_s()
        watch = asyncio.create_task(self._watch(connection))
        try:
            self._on_state(self.name, True, "")
            await self._receive(connection)
        finally:
            self._wire = None
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await connection.close()
        return self._verdict or f"closed by the venue ({connection.close_code})"

    async def _receive(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        text, now_s, on_frame = aiohttp.WSMsgType.TEXT, self._now_s, self._on_frame
        while True:
            message = await connection.receive()
            self._heard_s = now_s()
            if message.type is text:
                self._data_s = self._heard_s
                pending = on_frame(message.data)
                if pending is not None:
                    await pending
            elif message.type is aiohttp.WSMsgType.PING:
                await connection.pong(message.data)
            elif message.type in _CLOSING:
                return
            elif message.type is aiohttp.WSMsgType.ERROR:
                self._verdict = self._verdict or _kind(message.data)
                return

    async def _watch(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        """End a connection that is silent or old."""
        timing = self._timing
        ends_s = self._now_s() + timing.life_s - 1800.0 * self._rng.random()
        try:
            while not self._verdict:
                await asyncio.sleep(timing.probe_s)
                now_s = self._now_s()
                silent_s, no_data_s = now_s - self._heard_s, now_s - self._data_s
                if silent_s >= timing.silent_s or (self._always_talks and no_data_s >= timing.no_data_s):
                    self._verdict = f"silent for {max(silent_s, no_data_s):.0f} s"
                elif now_s >= ends_s:
                    self._verdict = "renewed before the venue's 24 hours end"
                elif silent_s >= timing.silent_s / 2.0:
                    await connection.ping()
        except (aiohttp.ClientError, OSError) as error:
            self._verdict = _kind(error)
        await connection.close()


def _kind(error: object) -> str:
    """What kind of error it is; its text may hold an address with a key in it."""
    status = getattr(error, "status", None)
    return f"{type(error).__name__} {status}" if isinstance(status, int) else type(error).__name__


def stream_names(symbols: Sequence[str], suffixes: Sequence[str]) -> list[list[str]]:
    """Names of streams in groups that one socket may carry."""
    names = [f"{symbol.lower()}@{suffix}" for suffix in suffixes for symbol in symbols]
    return [names[start:start + STREAMS_PER_SOCKET] for start in range(0, len(names), STREAMS_PER_SOCKET)]
