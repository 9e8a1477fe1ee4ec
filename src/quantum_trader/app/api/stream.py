"""The WebSocket stream: the status of the run as it changes, and what happens, to every client from one reading.

A client gets ``{"type": "status", ...}`` when the status has changed and ``{"type": "events", "rows": [...]}`` for new
records of the kinds below. It sends nothing but, where reading needs one, its token as the first message:
``{"token": "..."}``. A client that reads too slowly, or whose token is revoked, is closed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

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

PATH: Final = "/api/v1/stream"
KINDS: Final = (
    "signal.decided", "order.filled", "trade.closed", "halt.raised", "halt.cleared", "policy.updated",
    "rollout.changed", "operator.requested", "trade.failed", "model.in_force", "health.changed", "run.ended",
)
EVERY_S: Final = 0.5
MOST_CLIENTS: Final = 1_000
_QUEUE: Final = 64  # messages a client may be behind
_MOST_EVENTS: Final = 200  # of one message: of a faster replay the newest are told
_LOGIN_S: Final = 5.0
_POLICY: Final = 1008  # close codes
_TRY_LATER: Final = 1013
_log: Final = logging.getLogger("quantum_trader.api")


class _Client:
    """One socket: who it is, and what it is to be sent."""

    def __init__(self, socket: WebSocket, caller: Caller) -> None:
        self.socket, self.caller = socket, caller
        self.queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self.closing: tuple[int, str] | None = None

    def put(self, text: str) -> None:
        """Send *text* next; a client that is too far behind is closed."""
        if self.closing is not None:
            return
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self.close(_TRY_LATER, "too slow: the messages were not read in time")

    def close(self, code: int, reason: str) -> None:
        """End the socket; messages that still wait are not sent."""
        self.closing = (code, reason)
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait("")


class Stream:
    """The sockets of one folder. Nothing is read while nobody listens."""

    def __init__(self, reader: RunReader, access: Access) -> None:
        self._reader, self._access = reader, access
        self._clients: set[_Client] = set()
        self._task: asyncio.Task[None] | None = None
        self._status = b""
        self._facts: FolderStatus | None = None
        self._seen: dict[str, int] = {}

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket until either end closes it."""
        await socket.accept()
        try:
            caller = await self._caller(socket)
        except ApiError as error:
            await _close(socket, _POLICY, str(error))
            return
        except WebSocketDisconnect:
            return
        if len(self._clients) >= MOST_CLIENTS:
            await _close(socket, _TRY_LATER, f"{MOST_CLIENTS} clients listen already")
            return
        client = _Client(socket, caller)
        if self._status:
            client.put(_message("status", self._status))
        self._clients.add(client)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        listening = asyncio.create_task(_until_closed(socket))
        try:
            await self._send(client, listening)
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

    async def _send(self, client: _Client, listening: asyncio.Task[None]) -> None:
        while client.closing is None:
            waiting = asyncio.create_task(client.queue.get())
            await asyncio.wait((waiting, listening), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                return
            if client.closing is None:
                try:
                    await client.socket.send_text(waiting.result())
                except (WebSocketDisconnect, RuntimeError):
                    return
        await _close(client.socket, *client.closing)

    # ---- the one reading ---------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        """Read and tell, until nobody listens."""
        self._seen, self._facts = {}, None
        while self._clients:
            for client in list(self._clients):
                if not self._access.is_still_valid(client.caller):
                    client.close(_POLICY, "the token was revoked")
            try:
                status, rows = await anyio.to_thread.run_sync(self._read)
            except (QuantumTraderError, OSError, ApiError) as error:
                _log.warning("the stream cannot read the folder: %s", error)
            else:
                if status is not None:
                    self._status = msgspec.json.encode(status)
                    self._tell(_message("status", self._status))
                if rows:
                    self._tell(_message("events", msgspec.json.encode(rows)))
            await asyncio.sleep(EVERY_S)

    def _tell(self, text: str) -> None:
        for client in list(self._clients):
            client.put(text)

    def _read(self) -> tuple[FolderStatus | None, list[dict[str, Any]]]:
        """The status where more than its ages has changed, and new records of the kinds above, oldest first."""
        found = self._reader.status()
        facts = msgspec.structs.replace(found, age_s=None, checkpoint_age_s=None)
        status, self._facts = (found if facts != self._facts else None), facts
        try:
            lake = self._reader.lake()
        except ApiError:
            return status, []
        fresh: list[dict[str, Any]] = []
        for producer in lake.producers():
            last = lake.last_number(producer)
            seen = self._seen.setdefault(producer, last)
            if last <= seen:
                continue
            marks = ", ".join("?" * len(KINDS))
            fresh += self._reader.rows(
                "select ts_ns, received_ns, kind, symbol, trace_id, producer, seq, payload from events "
                f"where producer = ? and seq > ? and kind in ({marks}) order by seq desc limit ?",
                [producer, seen, *KINDS, _MOST_EVENTS],
            )
            self._seen[producer] = last
        return status, [{**row, "payload": msgspec.Raw(row["payload"].encode())} for row in reversed(fresh)]


def _message(kind: str, content: bytes) -> str:
    return f'{{"type":"{kind}","{"rows" if kind == "events" else "data"}":{content.decode()}}}'


async def _until_closed(socket: WebSocket) -> None:
    """Wait until the client closes; what it sends meanwhile is dropped."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive()
            if socket.client_state is WebSocketState.DISCONNECTED:
                return


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, reason[:120])
