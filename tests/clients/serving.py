"""The local venue in a thread, so that a client process connects on loopback while the test reads its state.

The recording is made here: minutes of constant price, then the test's price path, one bar a step.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.clock import MarketClock
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.server import LocalVenue, ServerSettings

SCRIPTS = Path(__file__).resolve().parent / "scripts"
START_NS = 1_688_947_200 * 1_000_000_000  # 2023-07-10
SYMBOLS = ("BTCUSDT", "ETHUSDT")
BASES = (30_000.0, 1_850.0)
HISTORY = 1_600  # minutes before the venue's "now"
WALLET = 10_000.0
_PATIENCE_S = 60.0
T = TypeVar("T")


def minutes(closes: Sequence[float], history: int = HISTORY) -> Recording:
    """Return one-minute bars: *history* calm ones, then one for each of *closes* (relative to the base, 1.0 = base).

    Every bar opens at the close before it and reaches a thousandth beyond both.
    """
    waves = 1.0 + 0.001 * np.sin(np.arange(history) * 2 * np.pi / 240)
    waves[-1] = 1.0
    path = np.concatenate([waves, np.asarray(closes, dtype=np.float64)])
    close = np.round(path[:, None] * np.array(BASES), 2)
    open_ = np.vstack([close[:1], close[:-1]])
    high, low = np.round(np.maximum(open_, close) * 1.0002, 2), np.round(np.minimum(open_, close) * 0.9998, 2)
    ohlcv = np.stack([open_, high, low, close, np.full_like(close, 250.0)], axis=-1)
    ts = START_NS + (np.arange(len(path), dtype=np.int64) - history) * NS_PER_MINUTE
    return recording_from_arrays(SYMBOLS, "1m", ts, ohlcv)


class Served:
    """A venue served from another thread: :meth:`ask` reads its state, :meth:`play_to` advances its time."""

    def __init__(self, venue: LocalVenue, loop: asyncio.AbstractEventLoop) -> None:
        self.venue = venue
        self.unanswered: Counter[str] = Counter()  # "METHOD path status code": answers other than 200
        self._loop = loop
        self._answer = venue.answer
        venue.answer = self._note  # type: ignore[method-assign]

    def _note(self, method: str, path: str, query: str, body: str, key: str) -> tuple[int, dict[str, str], Any]:
        status, headers, answer = self._answer(method, path, query, body, key)
        if status != 200:
            self.unanswered[f"{method} {path} {status} {answer['code']}"] += 1
        return status, headers, answer

    def ask(self, question: Callable[[Exchange], T]) -> T:
        """Return the result of *question* for the exchange, computed in the venue's thread."""
        async def answer() -> T:
            return question(self.venue.exchange)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(_PATIENCE_S)

    def play_to(self, bar: int) -> None:
        """Let market time jump to the close of *bar*, counted from 0 at the start; nothing when it was played."""
        async def play() -> None:
            rest = START_NS + (bar + 1) * NS_PER_MINUTE - self.venue.exchange.now_ns
            if rest > 0:
                self.venue.advance(rest)

        asyncio.run_coroutine_threadsafe(play(), self._loop).result(_PATIENCE_S)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of a script: addresses and keys."""
        key = self.venue.keys[0]
        told = {"VENUE_URL": self.venue.url, "VENUE_WS": self.venue.ws_url, "VENUE_KEY": key.key,
                "VENUE_SECRET": key.secret, "VENUE_CCXT": json.dumps(self.venue.ccxt_urls())}
        return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TZ": "UTC"} | told


@contextmanager
def serve(
    recording: Recording, *, wallet: float = WALLET, settings: ServerSettings | None = None,
    clock: MarketClock | None = None, start_ns: int = START_NS, now_ns: int | None = None,
) -> Iterator[Served]:
    """Serve *recording* from *start_ns* on an ephemeral port until the block ends; moved to *now_ns* where given."""
    exchange = recorded_exchange(
        recording, settings=ExchangeSettings(wallet=wallet), start_ns=start_ns, now_ns=now_ns
    )
    venue = LocalVenue(exchange, settings=settings or ServerSettings(), clock=clock)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local-venue")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(venue.start(), loop).result(_PATIENCE_S)
        yield Served(venue, loop)
    finally:
        asyncio.run_coroutine_threadsafe(venue.stop(), loop).result(_PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_S)
        loop.close()


def run_script(
    name: str, served: Served, *, python: Path | str = sys.executable,
    react: Mapping[str, Callable[[], None]] | None = None, timeout_s: float = _PATIENCE_S,
    more: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run scripts/*name* against *served*, with *more* environment variables; return what it printed, by step.

    A script prints one JSON object a line: {"step": ..., ...}. When it comes to a step named in *react*, that is
    called: so market time moves exactly where the script waits for it. AssertionError when the script fails.
    """
    steps: dict[str, Any] = {}
    with subprocess.Popen(
        [str(python), str(SCRIPTS / name)], env=served.environment | dict(more or {}), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        watchdog = threading.Timer(timeout_s, process.kill)
        reader.start()
        watchdog.start()
        try:
            for line in process.stdout:
                told = json.loads(line)
                step = told.pop("step")
                steps[step] = told
                if react and step in react:
                    react[step]()
        finally:
            process.stdout.close()
            if sys.exc_info()[0] is not None:
                process.kill()
            process.wait()
            watchdog.cancel()
            watchdog.join()
            reader.join()
    assert process.returncode == 0, f"{name} ended with {process.returncode} after {list(steps)}:\n{errors[0][-4_000:]}"
    return steps
