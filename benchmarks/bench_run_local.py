"""How fast a recording goes over the local venue: the production adapter on a socket of this machine.

The reference plays as many symbols over a websocket of the same process: each moment asks for the bars, and ccxt parses
their frames. It has no orders, no engine and no venue.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import aiohttp
from aiohttp import web

from benchmarks.bench_adapter import BAR, ccxt_stream, frame
from benchmarks.harness import Figure, bench
from quantum_trader.app.runs.local import run_over_local_venue
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunResult
from quantum_trader.app.settings import RunSettings, load_settings

SPAN = {  # a month with much trading, of the models that trade often
    "data.start": ("2018-08-01", "bench"), "data.end": ("2018-09-01", "bench"),
    "models": ([{"model": "intraday-demo"}], "bench"),
}
FRAMES = 5  # as many as the recording has symbols
ROUNDS = 3_000
TURNS = 3


def steps_per_s(result: RunResult) -> float:
    """Moments of the recording a second, from the first request to the last answer."""
    return result.facts.data.moments / result.wall_s


def settings() -> RunSettings:
    """The bundled recording's month with the intraday models, everything else as delivered."""
    return load_settings(None, SPAN).settings


async def _answer(request: web.Request) -> web.WebSocketResponse:
    """Send five bars for each message."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    bar = frame(BAR, "btcusdt@kline_1m")
    async for _ in socket:
        for _ in range(FRAMES):
            await socket.send_bytes(bar)
    return socket


async def _plain_moments(count: int) -> float:
    """Moments a second of ccxt's parsing behind a websocket of this process."""
    app = web.Application()
    app.router.add_get("/", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    theirs = ccxt_stream()
    client = SimpleNamespace(
        url="wss://fstream.binance.com/market/ws/1", subscriptions={}, futures={}, resolve=lambda *_: None
    )
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{host}:{port}/") as socket:
        started = time.perf_counter()
        for _ in range(count):
            await socket.send_str("next")
            for _ in range(FRAMES):
                theirs.handle_message(client, json.loads(await socket.receive_bytes()))
        spent = time.perf_counter() - started
    await runner.cleanup()
    return count / spent


@bench("run_local")
def run_local() -> Iterator[Figure]:
    """Moments of five symbols a second, the best of three runs in turns with the references.

    The references are ccxt's parsing of as many frames from a websocket, and the same run in one process.
    """
    run_over_local_venue(settings())
    run(settings())
    asyncio.run(_plain_moments(100))
    over, within, plain = [], [], []
    for _ in range(TURNS):
        over.append(run_over_local_venue(settings()))
        plain.append(asyncio.run(_plain_moments(ROUNDS)))
        within.append(run(settings()))
    yield Figure(
        name="recording over the local venue", value=max(map(steps_per_s, over)), unit="moments/s",
        reference=max(plain), reference_name="ccxt behind a websocket, moments/s", at_least=0.0,
    )
    yield Figure(
        name="recording over the local venue, beside one process", value=max(map(steps_per_s, over)),
        unit="moments/s", reference=max(map(steps_per_s, within)), reference_name="run --venue paper, moments/s",
    )
    yield Figure(
        name="trades over the local venue", value=len(over[-1].facts.trades), unit="trades",
        reference=len(within[-1].facts.trades), reference_name="run --venue paper, trades", at_least=0.9, at_most=1.1,
    )
