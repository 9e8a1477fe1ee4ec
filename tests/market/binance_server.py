"""A small Binance USD-M server on loopback for download tests: klines, mark klines, funding, and archive files.

Bars are a function of their opening time, so that a test can say what must arrive. Faults are set in advance:
``fail_next(n, status, headers)`` answers the next *n* data requests with an error.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MINUTE_MS = 60_000
FUNDING_MS = 8 * 60 * MINUTE_MS
LENGTHS = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "30m": 30 * MINUTE_MS, "1h": 60 * MINUTE_MS}


def price_at(open_ms: int) -> float:
    """Open and close of the bar that opens at *open_ms*."""
    return 100.0 + open_ms // MINUTE_MS % 1000 / 10.0


def kline(open_ms: int, length_ms: int) -> list[Any]:
    """One row as the venue sends it: numbers as text."""
    price = price_at(open_ms)
    cells = [f"{value:.2f}" for value in (price, price + 1.0, price - 1.0, price, 7.0)]
    return [open_ms, *cells, open_ms + length_ms - 1, "700.0", 12, "3.5", "350.0", "0"]


def _symbol(name: str) -> dict[str, Any]:
    base = name.removesuffix("USDT")
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01", "minPrice": "0.01", "maxPrice": "1000000"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
    ]
    return {
        "symbol": name, "pair": name, "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": base,
        "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
        "baseAssetPrecision": 8, "quotePrecision": 8, "onboardDate": 0, "deliveryDate": 4_133_404_800_000,
        "filters": filters, "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC"],
    }


class BinanceServer:
    """The server; use it as a context manager. *last_ms* is where its history ends."""

    def __init__(self, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"), last_ms: int = 2**60) -> None:
        self.symbols = symbols
        self.last_ms = last_ms
        self.requests: list[str] = []
        self.files: dict[str, bytes] = {}
        self.tamper: Callable[[list[list[Any]]], list[list[Any]]] = lambda rows: rows
        self._failures: list[tuple[int, dict[str, str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = server.answer(self.path)
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Stay quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> BinanceServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def fail_next(self, count: int, status: int, headers: dict[str, str] | None = None) -> None:
        """Answer the next *count* data requests with *status*."""
        self._failures += [(status, headers or {})] * count

    def count(self, part: str) -> int:
        """Requests whose path contains *part*."""
        return sum(part in path for path in self.requests)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for one path."""
        split = urlsplit(path)
        self.requests.append(path)
        if split.path.endswith("/exchangeInfo"):
            listed = {"timezone": "UTC", "serverTime": 0, "symbols": [_symbol(name) for name in self.symbols]}
            return self._json(listed)
        if self._failures:
            status, headers = self._failures.pop(0)
            return status, headers, json.dumps({"code": -1003, "msg": "Too many requests."}).encode()
        if split.path in self.files:
            return 200, {}, self.files[split.path]
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        if split.path in ("/fapi/v1/klines", "/fapi/v1/markPriceKlines"):
            return self._json(self.tamper(self._klines(query)))
        if split.path == "/fapi/v1/fundingRate":
            return self._json(self._funding(query))
        return 404, {}, b'{"code":-1,"msg":"not found"}'

    @staticmethod
    def _json(value: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()

    def _klines(self, query: dict[str, str]) -> list[list[Any]]:
        length = LENGTHS[query["interval"]]
        first = -(-int(query["startTime"]) // length) * length
        last = min(int(query.get("endTime", self.last_ms)), self.last_ms)
        times = range(first, min(last + 1, first + int(query["limit"]) * length), length)
        return [kline(open_ms, length) for open_ms in times]

    def _funding(self, query: dict[str, str]) -> list[dict[str, Any]]:
        first = -(-int(query["startTime"]) // FUNDING_MS) * FUNDING_MS
        last = min(int(query.get("endTime", self.last_ms)), self.last_ms)
        times = range(first, min(last + 1, first + int(query["limit"]) * FUNDING_MS), FUNDING_MS)
        return [
            {"symbol": query["symbol"], "fundingTime": at + 3, "fundingRate": "0.00020000", "markPrice": "100.0"}
            for at in times
        ]

    def publish(self, path: str, lines: list[str], checksum: str | None = None) -> None:
        """Put a CSV, zipped and with its checksum, under the archive's *path* (ending in .zip)."""
        buffer = io.BytesIO()
        name = path.rsplit("/", 1)[-1]
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name.replace(".zip", ".csv"), "\n".join(lines) + "\n")
        content = buffer.getvalue()
        full = f"/data/futures/um/{path}"
        self.files[full] = content
        digest = checksum or hashlib.sha256(content).hexdigest()
        self.files[f"{full}.CHECKSUM"] = f"{digest}  {name}\n".encode()

    def publish_klines(self, path: str, first_ms: int, rows: int, length_ms: int, unit: int = 1) -> None:
        """Publish *rows* bars from *first_ms*; *unit* 1000 writes microseconds."""
        lines = []
        for number in range(rows):
            row = kline(first_ms + number * length_ms, length_ms)
            lines.append(",".join(str(cell) for cell in [row[0] * unit, *row[1:]]))
        self.publish(path, lines)
