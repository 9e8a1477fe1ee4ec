"""The WebSocket stream: the status of the run as it changes, and what happens, to every client from one reading.

A client gets ``{"type": "status", ...}`` when the status has changed and ``{"type": "events", "rows": [...]}`` for new
records of the kinds below. Of more than MOST_EVENTS at once it gets the newest, with the number of the others as
``left_out`` and the road that lists them as ``more``. It sends nothing but, where reading needs one, its token as the
first message: ``{"token": "..."}``. A client that reads too slowly, or whose token is revoked, is closed.

A tick is EVERY_S long, and longer while the server uses much of a processor: the run comes first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode

import anyio
import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from quantum_trader.app.api.access import Access, Caller
from quantum_trader.app.api.endpoints import address_of
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.runs.status import FolderStatus
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.journal.follower import EventRow, JournalFollower, NewEvents
from quantum_trader.journal.lake import JOURNAL

PATH: Final = "/api/v1/stream"
KINDS: Final = (
    "signal.decided", "order.filled", "trade.closed", "halt.raised", "halt.cleared", "policy.updated",
    "rollout.changed", "operator.requested", "trade.failed", "model.in_force", "health.changed", "run.ended",
)
EVENTS: Final = "/api/v1/events"  # lists the records of KINDS
EVERY_S: Final = 0.5
LONGEST_S: Final = 2.0  # of a tick
BUSY: Final = 0.2  # of a processor: with more, ticks become longer
MOST_CLIENTS: Final = 1_000
MOST_EVENTS: Final = 100  # of one message
_MOST_LISTED: Final = 1_000  # rows of a page
_QUEUE: Final = 64  # messages of events a client may be behind
_LOGIN_S: Final = 5.0
_POLICY: Final = 1008  # close codes
_FAILED: Final = 1011
_TRY_LATER: Final = 1013
_log: Final = logging.getLogger("quantum_trader.api")


class _Client:
    """One socket: who it is, and what it is to be sent. Of several states only the newest waits."""

    def __init__(self, socket: WebSocket, caller: Caller) -> None:
        self.socket, self.caller = socket, caller
        self.closing: tuple[int, str] | None = None
        self.gone = False
        self._state = ""
        self._events: deque[str] = deque()
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many messages are not sent yet."""
        return len(self._events) + bool(self._state)

    def put_state(self, text: str) -> None:
        """Send *text* next, instead of an older state."""
        if self.closing is None:
            self._state = text
            self._news.set()

    def put_events(self, text: str) -> None:
        """Send *text* after the other events; a client that is too far behind is closed."""
        if self.closing is not None:
            return
        if len(self._events) >= _QUEUE:
            self.close(_TRY_LATER, "too slow: the messages were not read in time")
            return
        self._events.append(text)
        self._news.set()

    def close(self, code: int, reason: str) -> None:
        """End the socket; messages that still wait are not sent."""
        self.closing = (code, reason)
        self._state = ""
        self._events.clear()
        self._news.set()

    def leave(self) -> None:
        """The other end has closed."""
        self.gone = True
        self._news.set()

    async def next(self) -> str:
        """The next message; empty where the socket has ended or is to be closed."""
        while not (self.waiting or self.gone or self.closing is not None):
            self._news.clear()
            await self._news.wait()
        if self.gone or self.closing is not None:
            return ""
        if self._state:
            text, self._state = self._state, ""
            return text
        return self._events.popleft()


class Stream:
    """The sockets of one folder. Nothing is read while nobody listens."""

    def __init__(self, reader: RunReader, access: Access) -> None:
        self._reader, self._access = reader, access
        self._clients: set[_Client] = set()
        self._task: asyncio.Task[None] | None = None
        self._status = ""
        self._facts: FolderStatus | None = None
        self._follower = self._followed()
        self._tick_s = EVERY_S

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket until either end closes it."""
        await socket.accept()
        try:
            caller = await self._caller(socket)
        except (ApiError, QuantumTraderError, OSError) as error:
            await _close(socket, _POLICY, str(error))
            return
        except WebSocketDisconnect:
            return
        if len(self._clients) >= MOST_CLIENTS:
            await _close(socket, _TRY_LATER, f"{MOST_CLIENTS} clients listen already")
            return
        client = _Client(socket, caller)
        if self._status and self._task is not None and not self._task.done():  # else it is as old as the last client
            client.put_state(self._status)
        self._clients.add(client)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        listening = asyncio.create_task(_until_closed(client))
        try:
            await self._send(client)
        finally:
            self._clients.discard(client)
            listening.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await listening

    async def _caller(self, socket: WebSocket) -> Caller:
        """Who listens: by the header, or by the first message where reading needs a token."""
        address = address_of(socket.scope)
        caller = self._access.caller(socket.headers, address)
        try:
            self._access.check_role(caller, Role.VIEWER)
        except ApiError:
            if caller.token_id:
                raise
            try:
                first = await asyncio.wait_for(socket.receive_text(), _LOGIN_S)
                token = msgspec.json.decode(first, type=dict[str, str]).get("token", "")
            except (TimeoutError, msgspec.DecodeError, KeyError):
                raise ApiError(401, 'the first message must be {"token": "..."}') from None
            caller = self._access.caller({}, address, text=token)
            self._access.check_role(caller, Role.VIEWER)
        return caller

    async def _send(self, client: _Client) -> None:
        while text := await client.next():
            try:
                await client.socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                return
        if client.closing is not None and not client.gone:
            await _close(client.socket, *client.closing)

    # ---- the one reading ---------------------------------------------------------------------------------------------
    def _followed(self) -> JournalFollower:
        return JournalFollower(self._reader.folder / JOURNAL, KINDS, self._reader.rows)

    async def _watch(self) -> None:
        """Read and tell, until nobody listens."""
        self._facts, self._follower, self._tick_s = None, self._followed(), EVERY_S
        try:
            await self._watch_on()
        finally:  # nobody is left waiting for what nobody reads any more
            for client in list(self._clients):
                client.close(_FAILED, "the server cannot read on; its log has the reason")

    async def _watch_on(self) -> None:
        while self._clients:
            self._close_revoked()
            began_s, used_s = time.monotonic(), time.process_time()
            try:
                status, news = await anyio.to_thread.run_sync(self._read)
            except (QuantumTraderError, OSError, ApiError) as error:
                _log.warning("the stream cannot read the folder: %s", error)
            else:
                self._tell(status, news)
            await self._pause()
            self._tick_s = tick_after(self._tick_s, (time.process_time() - used_s) / (time.monotonic() - began_s))

    async def _pause(self) -> None:
        """Wait for the next tick; revoked tokens are looked for all the time."""
        ends_s = time.monotonic() + self._tick_s
        while (left_s := ends_s - time.monotonic()) > 0.0:
            await asyncio.sleep(min(left_s, EVERY_S))
            if left_s > EVERY_S:
                self._close_revoked()

    def _close_revoked(self) -> None:
        for client in list(self._clients):
            try:
                why = "" if self._access.is_still_valid(client.caller) else "the token was revoked"
            except (QuantumTraderError, OSError):
                why = "the tokens cannot be read"
            if why:
                client.close(_POLICY, why)

    def _tell(self, status: FolderStatus | None, news: NewEvents) -> None:
        """Send everybody what is new: each message is made once for all."""
        if status is not None:
            self._status = f'{{"type":"status","data":{msgspec.json.encode(status).decode()}}}'
        events = events_message(news)
        for client in list(self._clients):
            if status is not None:
                client.put_state(self._status)
            if events:
                client.put_events(events)

    def _read(self) -> tuple[FolderStatus | None, NewEvents]:
        """The status where more than its ages has changed, and new records of the kinds above."""
        found = self._reader.status()
        facts = msgspec.structs.replace(found, age_s=None, checkpoint_age_s=None)
        news = self._follower.read(MOST_EVENTS)
        status, self._facts = (found if facts != self._facts else None), facts
        return status, news


def tick_after(tick_s: float, busy: float) -> float:
    """The length of the tick after one of *tick_s* in which the server used *busy* processors."""
    return min(LONGEST_S, tick_s * 2.0) if busy > BUSY else max(EVERY_S, tick_s / 2.0)


def events_message(news: NewEvents) -> str:
    """The message with *news*; empty where there is none."""
    if not news.rows:
        return ""
    rows: list[EventRow] = [{**row, "payload": msgspec.Raw(row["payload"].encode())} for row in news.rows]
    message: dict[str, object] = {"type": "events", "rows": rows, "left_out": news.left_out}
    if news.left_out:
        oldest = news.rows[0]
        before = f"{oldest['ts_ns']}.{oldest['producer']}.{oldest['seq']}"
        message["more"] = f"{EVENTS}?{urlencode({'before': before, 'limit': min(news.left_out, _MOST_LISTED)})}"
    return msgspec.json.encode(message).decode()


async def _until_closed(client: _Client) -> None:
    """Wait until the client closes; what it sends meanwhile is dropped."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await client.socket.receive()
            if client.socket.client_state is WebSocketState.DISCONNECTED:
                break
    client.leave()


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, reason[:120])
