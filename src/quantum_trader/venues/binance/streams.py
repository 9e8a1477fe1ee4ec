"""WebSockets that reconnect and report their interruptions.

Each socket reconnects with a growing, jittered pause, and renews its connection before the venue's limit of 24 hours. A
silent socket counts as down: a market stream requested on the wrong path connects and never sends. ccxt's own streams
are not used: they hide reconnects and the events missed in between (decision 0066).
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
    """Timeouts and reconnect pauses of sockets, in seconds."""

    connect_s: float = 10.0
    probe_s: float = 5.0  # interval of the silence check; a ping goes out after half of silent_s
    silent_s: float = 30.0  # no frame, ping or pong for this long: down
    no_data_s: float = 20.0  # no data for this long on a socket that always sends: down; 0.0: no limit
    life_s: float = 23.0 * 3600.0  # reconnect before the venue's 24 hours; up to half an hour earlier
    first_pause_s: float = 0.25
    longest_pause_s: float = 30.0
    stable_s: float = 60.0  # a connection that lasted this long resets the pause


class EventQueue:
    """Queue of events for one reader; of quotes and mark prices it keeps only each symbol's newest."""

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
    """State of a stream of several sockets: up when all of them are. Reports each change once."""

    def __init__(
        self, stream: str, sockets: int, report: Callable[[StreamEvent], None], now_ns: Callable[[], int]
    ) -> None:
        self._stream = stream
        self._sockets = sockets
        self._report = report
        self._now_ns = now_ns
        self._up: set[str] = set()
        self._reported: bool | None = None

    def note(self, socket: str, up: bool, reason: str) -> None:
        """Set the state of one socket and report a change of the stream."""
        if up:
            self._up.add(socket)
        else:
            self._up.discard(socket)
        whole = len(self._up) == self._sockets
        if whole is not self._reported and (whole or not up):
            self._reported = whole
            text = "" if whole else f"{socket}: {reason}"
            self._report(StreamState(stream=self._stream, up=whole, ts_ns=self._now_ns(), reason=text))


class Socket:
    """One WebSocket that reconnects until it is cancelled.

    *address* is called before each connection; *on_frame* gets each text frame in order and may raise VenueError, which
    ends the connection; *on_state* is called at every up and down.
    """

    def __init__(
        self, name: str, session: Callable[[], aiohttp.ClientSession], address: Callable[[], Awaitable[str]],
        on_frame: Callable[[bytes], Awaitable[None] | None], on_state: Callable[[str, bool, str], None], *,
        timing: StreamTiming, rng: Random, now_s: Callable[[], float], sends_always: bool = False,
    ) -> None:
        self.name = name
        self._session = session
        self._address = address
        self._on_frame = on_frame
        self._on_state = on_state
        self._timing = timing
        self._rng = rng
        self._now_s = now_s
        self._sends_always = sends_always
        self._end_reason = ""
        self._last_frame_s = self._data_s = 0.0
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
        """End the connection; :meth:`run` makes a new one."""
        self._end_reason = reason
        if self._wire is not None:
            await self._wire.close()

    def _pause_s(self, failures: int) -> float:
        """The pause in seconds after *failures*: doubling, with jitter between half and all of it."""
        longest = min(self._timing.longest_pause_s, self._timing.first_pause_s * 2.0 ** min(failures, 16))
        return longest * (0.5 + 0.5 * self._rng.random())

    async def _connection(self) -> str:
        """Run one connection; return the reason for its end."""
        self._end_reason = ""
        async with asyncio.timeout(self._timing.connect_s):
            address = await self._address()
            connection = await self._session().ws_connect(
                address, autoping=False, max_msg_size=_LARGEST_FRAME, decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        self._wire = connection
        self._last_frame_s = self._data_s = self._now_s()
        watch = asyncio.create_task(self._watch(connection))
        try:
            self._on_state(self.name, True, "")
            await self._receive(connection)
        finally:
            self._wire = None
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await connection.close()
        return self._end_reason or f"closed by the venue ({connection.close_code})"

    async def _receive(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        text, now_s, on_frame = aiohttp.WSMsgType.TEXT, self._now_s, self._on_frame
        while True:
            message = await connection.receive()
            self._last_frame_s = now_s()
            if message.type is text:
                self._data_s = self._last_frame_s
                pending = on_frame(message.data)
                if pending is not None:
                    await pending
            elif message.type is aiohttp.WSMsgType.PING:
                await connection.pong(message.data)
            elif message.type in _CLOSING:
                return
            elif message.type is aiohttp.WSMsgType.ERROR:
                self._end_reason = self._end_reason or _kind(message.data)
                return

    async def _watch(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        """End a connection that is silent or old."""
        timing = self._timing
        ends_s = self._now_s() + timing.life_s - 1800.0 * self._rng.random()
        try:
            while not self._end_reason:
                await asyncio.sleep(timing.probe_s)
                now_s = self._now_s()
                silent_s, no_data_s = now_s - self._last_frame_s, now_s - self._data_s
                if silent_s >= timing.silent_s or (self._sends_always and no_data_s >= timing.no_data_s):
                    self._end_reason = f"silent for {max(silent_s, no_data_s):.0f} s"
                elif now_s >= ends_s:
                    self._end_reason = "renewed before the venue's 24 hours end"
                elif silent_s >= timing.silent_s / 2.0:
                    await connection.ping()
        except (aiohttp.ClientError, OSError) as error:
            self._end_reason = _kind(error)
        await connection.close()


def _kind(error: object) -> str:
    """The class name of an error; its text may hold an address with a key."""
    status = getattr(error, "status", None)
    return f"{type(error).__name__} {status}" if isinstance(status, int) else type(error).__name__


def stream_names(symbols: Sequence[str], suffixes: Sequence[str]) -> list[list[str]]:
    """Names of streams in groups that one socket may carry."""
    names = [f"{symbol.lower()}@{suffix}" for suffix in suffixes for symbol in symbols]
    return [names[start:start + STREAMS_PER_SOCKET] for start in range(0, len(names), STREAMS_PER_SOCKET)]
