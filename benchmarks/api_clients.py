"""Clients of the API's stream for a benchmark: ``python benchmarks/api_clients.py PORT COUNT``.

They listen until their standard input ends, then print how long after its receipt each event arrived (JSON, seconds).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect

NS = 1_000_000_000


async def listen(port: int, lags: list[float], ready: asyncio.Semaphore) -> None:
    """One client; *lags* takes the lag of the newest event of each message."""
    async with connect(f"ws://127.0.0.1:{port}/api/v1/stream", max_size=None, open_timeout=60) as socket:
        ready.release()
        async for text in socket:
            now_ns = time.time_ns()
            message = json.loads(text)
            if message["type"] == "events":
                lags.append((now_ns - message["rows"][-1]["received_ns"]) / NS)


async def main(port: int, count: int) -> None:
    """Listen with *count* clients until standard input ends."""
    lags: list[float] = []
    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(listen(port, lags, ready)) for _ in range(count)]
    for _ in range(count):
        await ready.acquire()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(lags), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
