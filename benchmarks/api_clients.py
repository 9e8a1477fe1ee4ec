"""Clients of the API for a benchmark, in a process of their own: ``python benchmarks/api_clients.py PORT COUNT WHAT``.

WHAT is ``stream`` (listeners), ``empty`` (as many connections that ask for an empty road at the stream's rhythm) or
``pages`` (pages of the dashboard: a listener each, and the requests that the page makes as messages come). They go on
until their standard input ends, then print how long after its receipt each record was heard (JSON, seconds).

A listener looks at the newest record of a message alone: what it does with the rest is the work of its own machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable, Coroutine

from websockets.asyncio.client import connect

NS = 1_000_000_000
EMPTY = "/livez"
EVERY_S = 0.5  # of the stream, quantum_trader.app.api.stream
BEAT_S = 2.0  # of a page, web/src/store.js: after a message it reads its lists at most so often
_RECEIVED = re.compile(r'\{"ts_ns":\d+,"received_ns":(\d+),"kind":')  # of a record, and not within its payload
PAGES: dict[str, dict[str, int]] = {  # of web/src/pages: road -> how many beats between two readings; 0: once
    "overview": {"trades?limit=1": 1, "equity?points=2000": 1, "policy": 1, "rollout": 5, "funnel?days=7": 5},
    "market": {"models": 0, "candles?symbol=BTCUSDT&limit=500": 5, "trades?symbol=BTCUSDT&limit=1000": 5},
    "decisions": {"decisions?limit=50": 1},
    "policy": {"policy": 3, "rollout": 3, "gates": 3, "policy/history?limit=10": 0},
    "models": {"models": 3, "pilot": 3, "rl-v3/dashboard/live-status": 3, "models/history?limit=25": 0},
    "lab": {"metrics?day=last": 0},
    "insights": {"insights?day=last&window=30": 0},
    "journal": {"journal/views": 0},
    "health": {"halts/history?limit=25": 1},
    "settings": {"changes?limit=200": 1},
}

Started = Callable[[], None]


async def listen(port: int, lags: list[float], started: Started, heard: Callable[[], None] = lambda: None) -> None:
    """One listener; *lags* takes the lag of the newest record of each message."""
    async with connect(
        f"ws://127.0.0.1:{port}/api/v1/stream", max_size=None, open_timeout=120, compression=None
    ) as socket:
        started()
        async for text in socket:
            now_ns = time.time_ns()
            assert isinstance(text, str)
            heard()
            if text.startswith('{"type":"events"'):
                lags.append((now_ns - int(_RECEIVED.findall(text)[-1])) / NS)


class Asker:
    """One connection that asks one road after the other."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.failed = 0

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def get(self, road: str) -> None:
        """Ask and read the whole answer."""
        self.writer.write(f"GET {road} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.failed += " 200 " not in head.partition("\r\n")[0]
        await self.reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))


async def ask_empty(port: int, lags: list[float], started: Started) -> None:
    """One client that asks the empty road at the stream's rhythm."""
    asker = Asker(port)
    await asker.open()
    started()
    while True:
        await asker.get(EMPTY)
        await asyncio.sleep(EVERY_S)


async def browse(port: int, page: str, lags: list[float], started: Started) -> None:
    """One open page."""
    news, beat, asker = asyncio.Event(), 0, Asker(port)
    await asker.open()
    listening = asyncio.create_task(listen(port, lags, started, news.set))
    try:
        while True:
            for road, every in PAGES[page].items():
                if beat == 0 or (every and beat % every == 0):
                    await asker.get(f"/api/v1/{road}")
            await asyncio.sleep(BEAT_S)
            news.clear()
            await news.wait()
            beat += 1
    finally:
        listening.cancel()


async def main(port: int, count: int, what: str) -> None:
    """Go on with *count* clients until standard input ends."""
    lags: list[float] = []
    ready = asyncio.Semaphore(0)

    def client(number: int) -> Coroutine[None, None, None]:
        if what == "pages":
            return browse(port, list(PAGES)[number % len(PAGES)], lags, ready.release)
        return (listen if what == "stream" else ask_empty)(port, lags, ready.release)

    tasks = [asyncio.create_task(client(number)) for number in range(count)]
    for _ in range(count):
        await ready.acquire()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    times = os.times()
    print(json.dumps({"lags": lags, "cpu_s": times.user + times.system}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
