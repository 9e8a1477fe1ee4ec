"""Slow reading keeps neither a STOP nor a change waiting; slow senders keep no connection for ever."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import pytest
import uvicorn
from tests.app.api.asgi import answer_to

from quantum_trader.app.api import connections, endpoints
from quantum_trader.app.api.access import Access, AccessSettings
from quantum_trader.app.api.connections import DeadlineProtocol
from quantum_trader.app.api.endpoints import Endpoint, Lane, create_app
from quantum_trader.app.api.freqtrade.socket import READINGS, MessageSocket
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.server import endpoints_of
from quantum_trader.app.api.stopping import Stopper
from quantum_trader.app.api.tokens import TokenStore


class _Roads:
    """A road of each lane; each waits until it is let go."""

    def __init__(self, folder: Any) -> None:
        self.go = Event()
        access = Access(AccessSettings(), TokenStore(folder), lambda: 0)
        made = [
            Endpoint(
                path=f"/{lane.name}", summary=lane.name, answers=str, run=lambda _: self.go.wait(10.0), example="",
                lane=lane,
            )
            for lane in Lane
        ]
        quick = Endpoint(path="/stop", summary="stop", answers=str, run=lambda _: "", example="", lane=Lane.URGENT)
        self.app = create_app("test", "test", [*made, quick], access, "1")


def test_an_urgent_request_runs_while_every_other_lane_is_full(tmp_path: Any) -> None:
    """Forty of each wait."""
    roads = _Roads(tmp_path)

    async def ask() -> None:
        others = [one for one in Lane if one is not Lane.URGENT]
        waiting = [asyncio.create_task(answer_to(roads.app, f"/{one.name}")) for one in others for _ in range(40)]
        await asyncio.sleep(0.1)
        try:
            assert (await asyncio.wait_for(answer_to(roads.app, "/stop"), 5.0))[0] == 200
        finally:
            roads.go.set()
        assert {one[0] for one in await asyncio.gather(*waiting)} == {200}

    asyncio.run(ask())


def test_a_request_whose_turn_does_not_come_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that run are finished, and then there is room again."""
    monkeypatch.setattr(endpoints, "WAIT_S", 0.05)
    roads = _Roads(tmp_path)

    async def ask() -> None:
        runs = [asyncio.create_task(answer_to(roads.app, "/QUERIES")) for _ in range(Lane.QUERIES.value[1])]
        await asyncio.sleep(0.05)
        status, _, body = await answer_to(roads.app, "/QUERIES")
        roads.go.set()
        assert (status, b"try again" in body) == (503, True)
        assert {one[0] for one in await asyncio.gather(*runs)} == {200}
        assert (await answer_to(roads.app, "/QUERIES"))[0] == 200

    asyncio.run(ask())


def test_what_stops_and_closes_is_urgent(tmp_path: Any) -> None:
    """And so is what a person looks at meanwhile; a query of the journal is in a lane of its own."""
    roads = {(one.method, one.path): one.turns for one in endpoints_of(RunReader(tmp_path), Stopper(tmp_path))}
    urgent = [
        ("POST", "flatten"), ("GET", "flatten"), ("POST", "halt"), ("POST", "positions/{symbol}/close"),
        ("GET", "status"), ("GET", "positions"), ("GET", "health"), ("GET", "halts"),
    ]
    assert {roads[method, f"/api/v1/{road}"] for method, road in urgent} == {Lane.URGENT}
    assert roads["POST", "/api/v1/journal/sql"] is Lane.QUERIES
    assert roads["POST", "/api/v1/resume"] is Lane.CHANGES
    assert roads["GET", "/api/v1/trades"] is Lane.READS


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: lo"])
def test_a_connection_without_a_whole_head_is_closed(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    """Whether nothing came, or a part; one whose head came is answered."""
    monkeypatch.setattr(connections, "HEAD_S", 0.2)

    async def ask() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.5)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        server = uvicorn.Server(uvicorn.Config(app, port=0, http=DeadlineProtocol, lifespan="off", log_level="error"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        slow, slow_writer = await asyncio.open_connection("127.0.0.1", port)
        slow_writer.write(begun)
        whole, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.wait_for(slow.read(), 5.0) == b""
        assert b" 204 " in await asyncio.wait_for(whole.readline(), 5.0)
        for one in (slow_writer, writer):
            one.close()
        server.should_exit = True
        await task

    asyncio.run(ask())


def test_fifty_message_sockets_read_two_at_a_time() -> None:
    """They leave the machine to the run."""
    sockets = MessageSocket(None, None)  # type: ignore[arg-type]
    running: list[int] = []
    most: list[int] = []

    def read() -> None:
        running.append(1)
        most.append(len(running))
        Event().wait(0.02)
        running.pop()

    async def ask() -> None:
        await asyncio.gather(*(sockets._in_thread(read) for _ in range(50)))

    asyncio.run(ask())
    assert (len(most), max(most)) == (50, READINGS)
