"""A small HTTP server that answers as freqtrade's REST API does, with a state that the test changes.

The shapes are those of freqtrade 2026.9; tests/clients/test_freqtrade_veto.py runs the same guard against the real one.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from tests.app.guard.bars import rising

USER, PASSWORD = "someone", "a-password-nobody-else-has"
HOUR_S = 3_600


class FreqtradeState:
    """What the served freqtrade knows."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.pairs = ["BTC/USDT:USDT", "ETH/USDT:USDT"]
        self.candles: dict[str, np.ndarray] = {pair: rising() for pair in self.pairs}
        self.starting, self.profit = 10_000.0, 0.0
        self.profit_known = True
        self.drift = 0.0  # added to the starting capital at each reading
        self.slow_ns = 0  # how long an answer takes
        self.open: list[dict[str, Any]] = []
        self.closed: list[dict[str, Any]] = []
        self.locks: list[dict[str, Any]] = []
        self.refuses: set[str] = set()  # "METHOD path": answered with 502
        self.asked: list[str] = []
        self._next_lock = 1

    def add_lock(self, pair: str, until_ms: int, reason: str) -> None:
        """Set a lock as freqtrade does: until the end of the candle, and no second one that is the same."""
        end = -(-until_ms // (HOUR_S * 1000)) * HOUR_S * 1000
        if any((one["pair"], one["lock_end_timestamp"], one["reason"]) == (pair, end, reason) for one in self.active()):
            return
        self.locks.append({
            "id": self._next_lock, "pair": pair, "side": "*", "reason": reason, "active": True,
            "lock_end_timestamp": end, "lock_timestamp": self.now_ns // 1_000_000,
        })
        self._next_lock += 1

    def active(self) -> list[dict[str, Any]]:
        """Return the locks in force."""
        return [one for one in self.locks if one["active"] and one["lock_end_timestamp"] > self.now_ns // 1_000_000]

    def close_trade(self, number: int, profit: float) -> None:
        """Add a closed trade."""
        self.closed.append({
            "trade_id": number, "pair": "BTC/USDT:USDT", "is_open": False, "is_short": False, "stake_amount": 100.0,
            "close_timestamp": 1_700_000_000_000 + number, "close_profit_abs": profit, "close_rate": 100.0,
        })

    def open_trade(self, number: int, stake: float, profit: float | None = 0.0) -> None:
        """Add an open trade."""
        self.open.append({
            "trade_id": number, "pair": "BTC/USDT:USDT", "is_open": True, "is_short": False, "stake_amount": stake,
            "profit_abs": profit,
        })

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Return the status and the answer of one request."""
        self.asked.append(f"{method} {path}")
        self.now_ns += self.slow_ns
        if f"{method} {path}" in self.refuses:
            return 502, {"error": "Error querying /api/v1: somebody pulled the plug"}
        match method, path.split("/"):
            case "GET", ["show_config"]:
                return 200, {
                    "bot_name": "freqtrade", "stake_currency": "USDT", "state": "running", "runmode": "dry_run",
                    "timeframe": "1h", "timeframe_ms": HOUR_S * 1000, "position_adjustment_enable": False,
                    "force_entry_enable": True, "api_version": 2.5,
                }
            case "GET", ["whitelist"]:
                return 200, {"whitelist": self.pairs, "length": len(self.pairs), "method": ["StaticPairList"]}
            case "GET", ["status"]:
                return 200, self.open
            case "GET", ["trades"]:
                newest = sorted(self.closed, key=lambda one: -one["close_timestamp"])[: int(query["limit"][0])]
                assert query["order_by_id"] == ["false"]
                return 200, {"trades": newest, "trades_count": len(newest), "offset": 0,
                             "total_trades": len(self.closed)}
            case "GET", ["balance"]:
                self.starting += self.drift
                return 200, {"starting_capital": self.starting, "total": self.starting, "currencies": []}
            case "GET", ["profit"]:
                return 200, {"profit_all_coin": self.profit if self.profit_known else None}
            case "GET", ["pair_candles"]:
                return 200, self._candles(query["pair"][0], int(query["limit"][0]))
        return self._locks(method, path, body)

    def _locks(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            for one in body:
                until = datetime.fromisoformat(one["until"])
                assert until.tzinfo is not None
                self.add_lock(one["pair"], int(until.timestamp() * 1000), one["reason"])
        elif method == "DELETE":
            (found,) = [one for one in self.locks if one["id"] == int(path.split("/")[1])]
            found["active"] = False
        elif path != "locks":
            return 404, {"detail": "Not Found"}
        return 200, {"lock_count": len(self.active()), "locks": self.active()}

    def _candles(self, pair: str, limit: int) -> dict[str, Any]:
        values = self.candles[pair]
        last = self.now_ns // 1_000_000_000 // HOUR_S * HOUR_S
        opened = [(last - HOUR_S * (len(values) - row)) * 1000 for row in range(len(values))]
        rows = [["2026-12-31", *map(float, row), None, at] for row, at in zip(values, opened, strict=True)]
        columns = ["date", "open", "high", "low", "close", "volume", "rsi", "__date_ts"]
        return {"columns": columns, "data": rows[-limit:], "length": min(limit, len(rows)), "pair": pair}


class _Handler(BaseHTTPRequestHandler):
    state: FreqtradeState

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        parts = urlsplit(self.path)
        if self.headers.get("Authorization") != f"Basic {expected}":
            status, found = 401, {"detail": "Unauthorized"}
        else:
            status, found = self.state.answer(
                self.command, parts.path.removeprefix("/api/v1/"), parse_qs(parts.query), body
            )
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server calls


@contextmanager
def freqtrade_at(state: FreqtradeState) -> Iterator[str]:
    """Serve *state* until the block ends; gives the address."""
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
