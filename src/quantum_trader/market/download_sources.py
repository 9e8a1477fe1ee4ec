"""Sources of bars: the venue's API (through ccxt) and its public archive of zip files.

Both retry temporary failures (lost connections, 429 and 418, server errors) with growing pauses, honour Retry-After,
and turn every other failure into a DataError.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MS, from_ns, to_ns
from quantum_trader.domain.errors import DataError
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.store import Times, Values
from quantum_trader.market.text_tables import ARCHIVE_COLUMNS, FUNDING_COLUMNS, read_text_table, unzip_csv

ARCHIVE_URL: Final = "https://data.binance.vision"
ATTEMPTS: Final = 6
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_TIMEOUT_S: Final = 30.0
_PAGE: Final = 1000
_RETRIED_STATUS: Final = (408, 418, 425, 429, 500, 502, 503, 504)

Sleep = Callable[[float], None]
_Result = TypeVar("_Result")


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The data of one part: ts (n,), values (n, k), and the pieces that the source does not have."""

    ts_ns: Times
    values: Values
    missing: tuple[str, ...] = ()


class DownloadSource(Protocol):
    """A source of bars and funding."""

    def bars(self, kind: str, symbol: str, interval: str, start_ns: int, end_ns: int) -> Fetched:
        """Bars (or mark prices) that open in [start_ns, end_ns)."""
        ...

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Fetched:
        """Funding payments in [start_ns, end_ns); values (n, 1)."""
        ...


class _TemporaryError(Exception):
    """A temporary failure; *pause_s* is the pause that the server requested in seconds, 0.0 for none."""

    def __init__(self, text: str, pause_s: float = 0.0) -> None:
        super().__init__(text)
        self.pause_s = pause_s


def _retry(action: Callable[[], _Result], where: str, sleep: Sleep) -> _Result:
    pause = _FIRST_PAUSE_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except _TemporaryError as failure:
            if attempt == ATTEMPTS:
                raise DataError(
                    f"{where}: {failure}; gave up after {ATTEMPTS} attempts. What was fetched is kept: run the same "
                    "command again to continue"
                ) from failure
            sleep(min(_LONGEST_PAUSE_S, max(pause, failure.pause_s)))
            pause *= 2.0
    raise AssertionError("unreachable")


def _join(pieces: Sequence[tuple[Times, Values]], width: int) -> tuple[Times, Values]:
    if not pieces:
        return np.empty(0, dtype=np.int64), np.empty((0, width))
    return np.concatenate([ts for ts, _ in pieces]), np.concatenate([values for _, values in pieces])


def _cut(ts: Times, values: Values, start_ns: int, end_ns: int) -> tuple[Times, Values]:
    inside = (ts >= start_ns) & (ts < end_ns)
    return ts[inside], values[inside]


class ApiSource:
    """Binance USD-M through ccxt. *base_url* points it at another server of the same protocol."""

    def __init__(self, base_url: str | None, sleep: Sleep) -> None:
        import ccxt  # heavy, and needed for downloads alone

        self._errors = ccxt
        config: dict[str, Any] = {"enableRateLimit": True, "timeout": int(_TIMEOUT_S * 1000)}
        if base_url is not None:
            base = base_url.rstrip("/")
            config["urls"] = {"api": {
                "fapiPublic": f"{base}/fapi/v1", "fapiPublicV2": f"{base}/fapi/v2", "fapiPublicV3": f"{base}/fapi/v3",
                "fapiPrivate": f"{base}/fapi/v1", "fapiPrivateV2": f"{base}/fapi/v2",
                "fapiPrivateV3": f"{base}/fapi/v3", "fapiData": f"{base}/futures/data", "sapi": f"{base}/sapi/v1",
            }}
        self._exchange: Any = ccxt.binanceusdm(config)
        self._sleep = sleep

    def bars(self, kind: str, symbol: str, interval: str, start_ns: int, end_ns: int) -> Fetched:
        """Page through klines or mark-price klines."""
        market = self._market(symbol)
        params = {"price": "mark"} if kind == "mark" else {}
        width = 4 if kind == "mark" else 5

        def page(since_ns: int) -> list[list[float]]:
            rows: list[list[float]] = self._exchange.fetch_ohlcv(
                market, interval, since=since_ns // NS_PER_MS, limit=_PAGE, params=params
            )
            return rows

        pieces = [
            (self._stamps(rows), np.array([_cells(row[1 : 1 + width]) for row in rows]))
            for rows in self._pages(page, symbol, start_ns, end_ns, interval_ns(interval))
        ]
        ts, values = _cut(*_join(pieces, width), start_ns, end_ns)
        return Fetched(ts_ns=ts, values=values)

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Fetched:
        """Page through the funding rate history."""
        market = self._market(symbol)

        def page(since_ns: int) -> list[list[float]]:
            rows = self._exchange.fetch_funding_rate_history(market, since=since_ns // NS_PER_MS, limit=_PAGE)
            return [[row["timestamp"], row["fundingRate"]] for row in rows]

        pieces = [
            (self._stamps(rows), np.array([_cells(row[1:2]) for row in rows]))
            for rows in self._pages(page, symbol, start_ns, end_ns, NS_PER_MS)
        ]
        ts, values = _cut(*_join(pieces, 1), start_ns, end_ns)
        return Fetched(ts_ns=ts, values=values)

    @staticmethod
    def _stamps(rows: Sequence[Sequence[float]]) -> Times:
        return np.array([int(row[0]) for row in rows], dtype=np.int64) * NS_PER_MS

    def _pages(
        self, page: Callable[[int], list[list[float]]], symbol: str, start_ns: int, end_ns: int, step_ns: int
    ) -> Iterator[list[list[float]]]:
        since = start_ns
        while since < end_ns:
            rows = self._call(lambda since=since: page(since), symbol)  # type: ignore[misc]
            if not rows:
                return
            yield rows
            last = int(rows[-1][0]) * NS_PER_MS
            if last < since:
                raise DataError(f"{symbol}: the venue answered with bars before those asked for; nothing more fetched")
            since = last + step_ns

    def _market(self, symbol: str) -> str:
        self._call(self._exchange.load_markets, symbol)
        found = self._exchange.markets_by_id.get(symbol)
        if not found:
            near = sorted(name for name in self._exchange.markets_by_id if name.startswith(symbol[:3]))[:8]
            raise DataError(f"{symbol}: the venue does not know this symbol; near it are: {', '.join(near) or 'none'}")
        name: str = found[0]["symbol"]
        return name

    def _call(self, action: Callable[[], _Result], symbol: str) -> _Result:
        def attempt() -> _Result:
            try:
                return action()
            except self._errors.NetworkError as error:  # rate limits included
                raise _TemporaryError(str(error)[:200], self._retry_after_s()) from error
            except self._errors.BaseError as error:
                raise DataError(f"{symbol}: the venue refused: {str(error)[:200]}") from error

        return _retry(attempt, symbol, self._sleep)

    def _retry_after_s(self) -> float:
        return _seconds((self._exchange.last_response_headers or {}).get("Retry-After"))


def _cells(row: Sequence[float | None]) -> list[float]:
    return [float("nan") if cell is None else float(cell) for cell in row]


def _seconds(text: str | None) -> float:
    return float(text) if text and text.strip().isdigit() else 0.0


class ArchiveSource:
    """The public archive: one zip file a month with its checksum, or one a day where the month is not published yet."""

    def __init__(self, base_url: str | None, sleep: Sleep) -> None:
        self._base = (base_url or ARCHIVE_URL).rstrip("/") + "/data/futures/um"
        self._sleep = sleep

    def bars(self, kind: str, symbol: str, interval: str, start_ns: int, end_ns: int) -> Fetched:
        """Fetch the month of *start_ns* whole, or else its days."""
        folder = "markPriceKlines" if kind == "mark" else "klines"
        width = 4 if kind == "mark" else 5
        month = from_ns(start_ns)
        name = f"{symbol}-{interval}-{month:%Y-%m}"
        content = self._zip(f"monthly/{folder}/{symbol}/{interval}/{name}.zip")
        if content is not None:
            ts, values = _cut(*_klines(content, name, width), start_ns, end_ns)
            return Fetched(ts_ns=ts, values=values)
        pieces, missing = [], []
        for day_ns in range(start_ns // NS_PER_DAY * NS_PER_DAY, end_ns, NS_PER_DAY):
            name = f"{symbol}-{interval}-{from_ns(day_ns):%Y-%m-%d}"
            content = self._zip(f"daily/{folder}/{symbol}/{interval}/{name}.zip")
            if content is None:
                missing.append(name)
            else:
                pieces.append(_klines(content, name, width))
        ts, values = _cut(*_join(pieces, width), start_ns, end_ns)
        return Fetched(ts_ns=ts, values=values, missing=tuple(missing))

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Fetched:
        """Fetch the month's funding; the archive has no daily files of it."""
        name = f"{symbol}-fundingRate-{from_ns(start_ns):%Y-%m}"
        content = self._zip(f"monthly/fundingRate/{symbol}/{name}.zip")
        if content is None:
            return Fetched(ts_ns=np.empty(0, dtype=np.int64), values=np.empty((0, 1)), missing=(name,))
        table = _table(content, name, ("calc_time", "last_funding_rate"))
        ts, values = _cut(table[:, 0].astype(np.int64) * NS_PER_MS, table[:, 1:], start_ns, end_ns)
        return Fetched(ts_ns=ts, values=values)

    def _zip(self, path: str) -> bytes | None:
        """Fetch a file and compare it with its checksum; None when the archive does not have it."""
        url = f"{self._base}/{path}"

        def attempt() -> bytes | None:
            content = _get(url)
            if content is None:
                return None
            told = _get(f"{url}.CHECKSUM")
            expected = told.split()[0].decode("ascii", errors="replace") if told else ""
            if hashlib.sha256(content).hexdigest() != expected:
                raise _TemporaryError("the file does not match its checksum")
            return content

        return _retry(attempt, url, self._sleep)


def _get(url: str) -> bytes | None:
    """Fetch *url*; None for 404."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            content: bytes = response.read()
            return content
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        if error.code in _RETRIED_STATUS:
            raise _TemporaryError(f"HTTP {error.code}", _seconds(error.headers.get("Retry-After"))) from error
        raise DataError(f"{url}: HTTP {error.code} {error.reason}") from error
    except OSError as error:
        raise _TemporaryError(str(error)) from error


def _klines(content: bytes, name: str, width: int) -> tuple[Times, Values]:
    columns = ("open_time", "open", "high", "low", "close", "volume")[: 1 + width]
    table = _table(content, name, columns)
    times = table[:, 0].astype(np.int64)
    # Milliseconds until 2024, microseconds in newer files.
    return np.where(times < 10**14, times * NS_PER_MS, times * 1_000), table[:, 1:]


def _table(content: bytes, name: str, columns: Sequence[str]) -> Values:
    """Return the named columns of an archive's file as numbers; a file without a header has them by position."""
    bare = FUNDING_COLUMNS if "calc_time" in columns else ARCHIVE_COLUMNS
    frame = read_text_table(unzip_csv(content, name), name, bare)
    if lacking := [column for column in columns if column not in frame.columns]:
        raise DataError(f"{name}: column {', '.join(lacking)} is missing; it has {', '.join(frame.columns)}")
    numbers: Values = frame.select(columns).cast(dict.fromkeys(columns, float), strict=False).to_numpy()
    if not np.isfinite(numbers[:, 0]).all():
        row = int(np.flatnonzero(~np.isfinite(numbers[:, 0]))[0]) + 1
        raise DataError(f"{name}: row {row}: the time cannot be read")
    return numbers


def month_starts(start_ns: int, end_ns: int) -> list[int]:
    """Return the start (ns) of each UTC month that [start_ns, end_ns) touches, the first one cut to *start_ns*."""
    starts = [start_ns]
    while True:
        current = from_ns(starts[-1])
        year, month = (current.year + 1, 1) if current.month == 12 else (current.year, current.month + 1)
        following = to_ns(datetime(year, month, 1, tzinfo=UTC))
        if following >= end_ns:
            return starts
        starts.append(following)
