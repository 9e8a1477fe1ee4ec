"""The WebSocket stream over a real server: status, events, tokens, revocation, slow clients."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import websockets
from tests.app.api.clients import token_of
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.server import app_of
from quantum_trader.app.api.stream import _Client, tick_after
from quantum_trader.app.api.tokens import FILE_NAME, Role, TokenStore
from quantum_trader.app.runs.journal_sink import PRODUCER
from quantum_trader.journal.event_logger import EventLogger

ROAD = "/api/v1/stream"


class Served:
    """A real server of a folder in a thread."""

    def __init__(self, folder: Path, settings: AccessSettings | None = None) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        app = app_of(folder, settings if settings is not None else AccessSettings())
        self.server = uvicorn.Server(uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_level="warning", ws="websockets-sansio", lifespan="off",
            timeout_graceful_shutdown=1,
        ))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Served:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10.0)

    @property
    def url(self) -> str:
        """Address of the stream."""
        return f"ws://127.0.0.1:{self.port}{ROAD}"


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    """A server that needs no token to read."""
    with Served(folder) as made:
        yield made


@pytest.fixture
def guarded(folder: Path) -> Iterator[Served]:
    """A server as others reach it, where reading needs a token."""
    with Served(folder, AccessSettings(host="0.0.0.0", has_tls=True)) as made:
        yield made


async def received(socket_: Any, kind: str, within_s: float = 10.0) -> Any:
    """The next message of *kind*."""
    async with asyncio.timeout(within_s):
        while True:
            message = json.loads(await socket_.recv())
            if message["type"] == kind:
                return message


async def closed(socket_: Any, within_s: float = 5.0) -> tuple[int, str]:
    """Code and reason with which the server closes."""
    async with asyncio.timeout(within_s):
        with suppress(ConnectionClosed):
            async for _ in socket_:
                pass
        return socket_.close_code, socket_.close_reason


def halts(folder: Path, numbers: Iterable[int]) -> None:
    """A record more in the journal for each of *numbers*."""
    data = {"kind": "operator", "reason": "test", "owner": "t", "exit_path": "resume", "level": ""}
    with EventLogger(folder / "journal", producer=f"{PRODUCER}-1") as logger:
        for number in numbers:
            ts_ns = 1_600_000_000_000_000_000 + number
            line = {"event_id": f"x{number}", "schema": 1, "topic": "halt.raised", "source": "ENGINE", "trace_id": "",
                    "ts_ns": ts_ns, "data": data}
            logger.log_checked_line("halt.raised", ts_ns, json.dumps(line).encode(), 1)


def test_a_client_gets_the_status_at_once_and_events_as_they_come(served: Served, folder: Path) -> None:
    """The status is that of the road; an event comes with its record."""

    async def listen() -> None:
        async with connect(served.url) as one:
            status = await received(one, "status")
            assert status["data"]["kind"] == "replay"
            await asyncio.sleep(1.2)
            await asyncio.to_thread(halts, folder, [1])  # the first record of its producer is told as well
            events = await received(one, "events")
            assert events["rows"][0]["kind"] == "halt.raised"
            assert events["rows"][0]["payload"]["data"]["reason"] == "test"

    asyncio.run(listen())


def test_records_that_do_not_fit_into_a_message_are_counted_and_listed(served: Served, folder: Path) -> None:
    """The newest come, with the number of the others, which the road that is named gives."""

    async def listen() -> None:
        async with connect(served.url) as one:
            await received(one, "status")
            await asyncio.sleep(1.2)
            await asyncio.to_thread(halts, folder, range(130))
            told, left_out, more = [], 0, ""
            while len(told) + left_out < 130:
                message = await received(one, "events")
                told += [row["payload"]["event_id"] for row in message["rows"]]
                left_out += message["left_out"]
                more = message.get("more", more)
            assert left_out >= 30
            assert told[-1] == "x129"
            with urllib.request.urlopen(f"http://127.0.0.1:{served.port}{more}") as answer:
                listed = [row["payload"]["event_id"] for row in json.load(answer)["rows"]]
            assert {*told, *listed} == {f"x{number}" for number in range(130)}

    asyncio.run(listen())


def test_ticks_become_longer_while_the_server_is_busy_and_short_again() -> None:
    """Twice as long each time up to the longest, half as long down to the shortest."""
    assert tick_after(0.5, 0.21) == 1.0
    assert tick_after(1.6, 0.9) == 2.0
    assert tick_after(2.0, 0.05) == 1.0
    assert tick_after(0.5, 0.0) == 0.5


def test_of_several_states_a_client_gets_the_newest() -> None:
    """A state that was not sent yet is replaced; events are all sent."""

    async def drive() -> None:
        client = _Client(None, None)  # type: ignore[arg-type]  # nothing is sent
        client.put_state("old")
        client.put_events("a")
        client.put_state("new")
        client.put_events("b")
        assert [await client.next() for _ in range(client.waiting)] == ["new", "a", "b"]

    asyncio.run(drive())


def test_a_stream_without_news_sends_nothing_more(served: Served) -> None:
    """The age of a status is no news."""

    async def listen() -> None:
        async with connect(served.url) as one:
            await received(one, "status")
            with pytest.raises(TimeoutError):
                await received(one, "status", 2.5)

    asyncio.run(listen())


def test_a_client_after_a_pause_gets_the_status_of_now_alone(served: Served) -> None:
    """While nobody listened nothing was read; what was told before is not told again."""

    async def listen() -> None:
        async with connect(served.url) as one:
            before = await received(one, "status")
        await asyncio.sleep(1.5)
        async with connect(served.url) as one:
            after = await received(one, "status")
            assert after["data"]["age_s"] > before["data"]["age_s"] + 1.0
            with pytest.raises(TimeoutError):
                await received(one, "status", 1.5)

    asyncio.run(listen())


def test_where_reading_needs_a_token_the_first_message_shows_it(guarded: Served, folder: Path) -> None:
    """Or the header; without either the socket is closed with the reason."""
    token = token_of(folder, Role.VIEWER)

    async def listen() -> None:
        async with connect(guarded.url) as one:
            await one.send(json.dumps({"token": token}))
            assert await received(one, "status")
        async with connect(guarded.url, additional_headers={"Authorization": f"Bearer {token}"}) as one:
            assert await received(one, "status")
        for wrong in ('{"token": "qt_x"}', "[]", "{}", "x"):
            async with connect(guarded.url) as one:
                await one.send(wrong)
                assert (await closed(one))[0] == 1008, wrong

    asyncio.run(listen())


def test_a_revoked_token_closes_its_sockets_within_a_second(guarded: Served, folder: Path) -> None:
    """Others stay open."""
    tokens = {name: token_of(folder, Role.VIEWER, name) for name in ("phone", "desk")}

    async def listen() -> None:
        async with (
            connect(guarded.url, additional_headers={"Authorization": f"Bearer {tokens['phone']}"}) as phone,
            connect(guarded.url, additional_headers={"Authorization": f"Bearer {tokens['desk']}"}) as desk,
        ):
            await received(phone, "status")
            await received(desk, "status")
            began = time.monotonic()
            TokenStore(folder).revoke("phone", 2)
            code, reason = await closed(phone)
            assert (code, reason) == (1008, "the token was revoked")
            assert time.monotonic() - began < 1.0
            await desk.ping()
            assert desk.close_code is None

    asyncio.run(listen())


def test_a_page_of_another_origin_or_host_gets_no_stream(served: Served) -> None:
    """The handshake is refused."""

    async def listen() -> None:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            with pytest.raises((websockets.InvalidStatus, websockets.ConnectionClosed)):
                async with connect(served.url, additional_headers=headers) as one:
                    await one.recv()

    asyncio.run(listen())


def test_a_client_that_is_too_far_behind_is_closed(served: Served) -> None:
    """It is told to come again, and what waited for it is dropped."""

    async def drive() -> None:
        client = _Client(None, None)  # type: ignore[arg-type]  # it is closed before it sends
        for number in range(200):
            client.put_events(str(number))
        assert client.closing is not None
        assert client.closing[0] == 1013
        assert client.waiting == 0
        assert await client.next() == ""

    asyncio.run(drive())


def test_sockets_are_closed_where_the_tokens_cannot_be_read(guarded: Served, folder: Path) -> None:
    """They are not left open without a word of what happens."""
    token = token_of(folder, Role.VIEWER)

    async def listen() -> None:
        async with connect(guarded.url, additional_headers={"Authorization": f"Bearer {token}"}) as one:
            await received(one, "status")
            (folder / FILE_NAME).write_text("{")
            assert await closed(one) == (1008, "the tokens cannot be read")
        async with connect(guarded.url, additional_headers={"Authorization": f"Bearer {token}"}) as one:
            code, reason = await closed(one)
            assert code == 1008
            assert "is damaged" in reason

    asyncio.run(listen())
