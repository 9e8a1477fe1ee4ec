"""Distribution of streams over sockets, the event queue, and reconnects of sockets."""

from __future__ import annotations

import asyncio
from random import Random

import aiohttp
import pytest
from aiohttp import web

from quantum_trader.domain.errors import VenueUnavailable
from quantum_trader.engine.venue_port import Kline, MarkPrice, Quote, StreamEvent, StreamState
from quantum_trader.venues.binance.streams import EventQueue, Socket, StreamStates, StreamTiming, stream_names


def quote(symbol: str, bid: float) -> Quote:
    """A quote."""
    return Quote(symbol=symbol, bid=bid, bid_qty=1.0, ask=bid + 1.0, ask_qty=1.0, ts_ns=1)


def bar(ts_ns: int) -> Kline:
    """A bar."""
    return Kline(symbol="A", interval_ns=60, ts_ns=ts_ns, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)


def test_two_hundred_streams_a_socket() -> None:
    """222 symbols with bars and marks need three sockets, and every stream is asked for once."""
    symbols = [f"S{number}USDT" for number in range(222)]

    groups = stream_names(symbols, ["kline_1m", "markPrice@1s"])

    assert [len(group) for group in groups] == [200, 200, 44]
    assert len({name for group in groups for name in group}) == 444
    assert groups[0][0] == "s0usdt@kline_1m"
    assert stream_names(symbols, []) == []


def test_only_the_newest_quote_of_a_symbol_waits() -> None:
    """A slow reader sees no old quote; bars and orders are all there, in order."""

    async def story() -> list[StreamEvent]:
        queue = EventQueue()
        mark = MarkPrice(symbol="A", price=5.0, funding_rate=0.0, next_funding_ns=0, ts_ns=0)
        for event in (quote("A", 1.0), bar(1), quote("B", 1.0), quote("A", 2.0), bar(2), mark):
            queue.put(event)
        queue.close()
        found = []
        while (event := await queue.get()) is not None:
            found.append(event)
        return found

    found = asyncio.run(story())

    assert found[:4] == [quote("A", 2.0), bar(1), quote("B", 1.0), bar(2)]
    assert isinstance(found[4], MarkPrice)


def test_a_failed_task_raises_in_the_reader() -> None:
    """After what came before it."""

    async def story() -> None:
        queue = EventQueue()
        queue.put(bar(1))
        queue.close(ValueError("broken"))
        assert await queue.get() == bar(1)
        with pytest.raises(ValueError, match="broken"):
            await queue.get()

    asyncio.run(story())


def test_a_stream_is_up_when_all_its_sockets_are() -> None:
    """Each change is reported once, with the socket that caused it."""
    events: list[StreamState] = []
    states = StreamStates("market", 2, events.append, lambda: 5)  # type: ignore[arg-type]

    for socket, up, reason in (
        ("a", True, ""), ("b", True, ""), ("a", False, "gone"), ("b", False, "too"), ("a", True, ""), ("b", True, "")
    ):
        states.note(socket, up, reason)

    assert [(state.up, state.reason) for state in events] == [(True, ""), (False, "a: gone"), (True, "")]


def test_a_failed_first_connection_is_reported() -> None:
    """The stream is reported as down."""
    events: list[StreamState] = []
    states = StreamStates("user", 1, events.append, lambda: 5)  # type: ignore[arg-type]

    states.note("user", False, "no")
    states.note("user", False, "no")

    assert [(state.up, state.reason) for state in events] == [(False, "user: no")]


def socket_at(address: str, changes: list[tuple[bool, str]], *, timing: StreamTiming, sends_always: bool = False,
              session: aiohttp.ClientSession) -> Socket:
    """A socket that records its state changes."""

    async def where() -> str:
        if not address:
            raise VenueUnavailable("no key", 0.01)
        return address

    return Socket(
        "s", lambda: session, where, lambda frame: None, lambda name, up, reason: changes.append((up, reason)),
        timing=timing, rng=Random(1), now_s=asyncio.get_running_loop().time, sends_always=sends_always,
    )


def story_of(timing: StreamTiming, *, pongs: bool, wanted: int, server: bool = True) -> list[tuple[bool, str]]:
    """The first *wanted* state changes of a socket at a silent server."""
    changes: list[tuple[bool, str]] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(autoping=pongs)
        await response.prepare(request)
        async for _ in response:
            continue
        return response

    async def story() -> None:
        app = web.Application()
        app.router.add_get("/", serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/" if server else ""
        async with aiohttp.ClientSession() as session, asyncio.timeout(5.0):
            task = asyncio.create_task(socket_at(address, changes, timing=timing, session=session).run())
            while len(changes) < wanted:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()

    asyncio.run(story())
    return changes


def test_a_socket_that_answers_no_ping_is_down() -> None:
    """Half of the silence is spent, a ping goes out; nothing comes back; it is made again."""
    timing = StreamTiming(probe_s=0.02, silent_s=0.1, first_pause_s=0.01)

    changes = story_of(timing, pongs=False, wanted=3)

    assert changes[0] == (True, "")
    assert changes[1][1].startswith("silent for")
    assert changes[2] == (True, "")


def test_a_quiet_socket_that_answers_pings_is_renewed_before_its_day_ends() -> None:
    """An account may have no events for hours; the venue disconnects after a day."""
    timing = StreamTiming(probe_s=0.02, silent_s=0.1, life_s=1800.0 * Random(1).random() + 0.3, first_pause_s=0.01)

    changes = story_of(timing, pongs=True, wanted=2)

    assert changes == [(True, ""), (False, "renewed before the venue's 24 hours end")]


def test_pauses_double_with_jitter_and_end_somewhere() -> None:
    """Between half and all of it, never above the longest."""

    async def story() -> list[float]:
        timing = StreamTiming(first_pause_s=0.25, longest_pause_s=30.0)
        async with aiohttp.ClientSession() as session:
            socket = socket_at("x", [], timing=timing, session=session)
            return [socket._pause_s(failures) for failures in range(12)]

    pauses = asyncio.run(story())

    assert all(0.125 * 2**n <= pause <= 0.25 * 2**n for n, pause in enumerate(pauses[:7]))
    assert all(15.0 <= pause <= 30.0 for pause in pauses[7:])
    assert len(set(pauses[7:])) == 5


def test_an_unavailable_address_is_requested_again() -> None:
    """After the venue's pause, with the reason reported."""
    changes = story_of(StreamTiming(first_pause_s=0.01, longest_pause_s=0.02), pongs=True, wanted=3, server=False)

    assert changes[:3] == [(False, "no key")] * 3
