"""The markets that a guard measures from bars of its own: a bar store on disk, or a venue's public market data.

Trend and volatility come from :class:`~quantum_trader.policy.pair_market.PairMarket`, which runs the engine's
indicators. A symbol is watched from the first question about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, Protocol

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.domain.market import MarketState
from quantum_trader.market.intervals import RUN_INTERVALS, interval_ns
from quantum_trader.policy.pair_market import PairMarket
from quantum_trader.policy.profiles import OrchestratorConfig

WARM_UP_NS: Final = 30 * NS_PER_DAY  # of bars before the newest; the indicators need 60 hours to begin
RETRY_NS: Final = 15 * NS_PER_SECOND  # after a failure, and after bars that did not come when they were due
SETTLED_NS: Final = 2 * NS_PER_SECOND  # after the end of a bar it is asked for
MOST_SYMBOLS: Final = 2_000  # watched at once, of all bots: each is asked for again and again


class ClosedBar(NamedTuple):
    """A completed bar: its open in seconds since the epoch, and its prices."""

    start_s: int
    high: float
    low: float
    close: float


class ClosedBars(Protocol):
    """Where bars come from."""

    @property
    def bar_s(self) -> int:
        """The length of a bar in seconds."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether asking costs no more than a look at a file, so that it may be asked before each answer."""
        ...

    def bars(self, symbol: str, after_s: int, now_ns: int) -> Sequence[ClosedBar]:
        """The bars of *symbol* that opened after *after_s* (-1: the last days) and are complete at *now_ns*.

        Raises DataError where they cannot be had.
        """
        ...


class BarFolder:
    """The bars of a store, as `quantum-trader data download` and `data import` write it; read again when it changes."""

    is_local = True

    def __init__(self, root: Path, interval: str | None = None) -> None:
        from quantum_trader.market.store import intervals_of

        known = [name for name in intervals_of(root) if name in RUN_INTERVALS]
        if interval is None and not known:
            raise ConfigError(
                f"--data {root}: has no bars of {', '.join(RUN_INTERVALS)}; fill it with "
                "`quantum-trader data download` or `data import`"
            )
        if interval is not None and interval not in known:
            raise ConfigError(f"--bars {interval}: --data {root} has bars of {', '.join(known) or 'no interval'}")
        self._root, self._interval = root, interval or known[-1]
        self._length_ns = interval_ns(self._interval)
        self._stamps: dict[str, tuple[int, int, int]] = {}

    @property
    def bar_s(self) -> int:
        """The length of a bar in seconds."""
        return self._length_ns // NS_PER_SECOND

    def bars(self, symbol: str, after_s: int, now_ns: int) -> Sequence[ClosedBar]:
        """The new bars of the symbol's file; none while the file is what it was."""
        from quantum_trader.market.store import read_series, series_path, series_span

        path = series_path(self._root, self._interval, symbol)
        try:
            found = path.stat()
        except OSError as error:
            self._stamps.pop(symbol, None)
            raise DataError(
                f"--data {self._root}: has no {self._interval} bars of {symbol} ({error.strerror}); add them with "
                "`quantum-trader data download` or `data import`"
            ) from None
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp == self._stamps.get(symbol):
            return ()
        first_ns = min(series_span(path)[1], now_ns) - WARM_UP_NS if after_s < 0 else (after_s + 1) * NS_PER_SECOND
        bars, is_whole = [], True
        for _, ts_ns, values in read_series(path, first_ns):
            for opened, row in zip(ts_ns.tolist(), values.tolist(), strict=True):
                if opened + self._length_ns > now_ns:
                    is_whole = False  # a bar is still to end: the file is read again
                elif opened >= first_ns:
                    bars.append(ClosedBar(opened // NS_PER_SECOND, row[1], row[2], row[3]))
        if is_whole:
            self._stamps[symbol] = stamp
        return bars


class VenueBars:
    """Binance USD-M's public market data; *base_url* names another server of the same protocol."""

    is_local = False

    def __init__(self, interval: str, base_url: str | None, sleep: Callable[[float], None]) -> None:
        from quantum_trader.market.download_sources import ApiSource

        if interval not in RUN_INTERVALS:
            raise ConfigError(f"--bars {interval}: must be one of {', '.join(RUN_INTERVALS)}")
        self._interval, self._length_ns = interval, interval_ns(interval)
        self._source = ApiSource(base_url, sleep)

    @property
    def bar_s(self) -> int:
        """The length of a bar in seconds."""
        return self._length_ns // NS_PER_SECOND

    def bars(self, symbol: str, after_s: int, now_ns: int) -> Sequence[ClosedBar]:
        """What the venue has after *after_s*."""
        end_ns = now_ns // self._length_ns * self._length_ns
        start_ns = end_ns - WARM_UP_NS if after_s < 0 else (after_s + 1) * NS_PER_SECOND
        if start_ns >= end_ns:
            return ()
        found = self._source.bars("bars", symbol, self._interval, start_ns, end_ns)
        return [
            ClosedBar(opened // NS_PER_SECOND, row[1], row[2], row[3])
            for opened, row in zip(found.ts_ns.tolist(), found.values.tolist(), strict=True)
        ]


class Markets:
    """The markets of all watched symbols. May be asked from several threads."""

    def __init__(self, source: ClosedBars) -> None:
        self.source = source
        self._known: dict[str, PairMarket] = {}
        self._problems: dict[str, str] = {}
        self._due_ns: dict[str, int] = {}
        self._lock = Lock()
        self._reading = Lock()

    def watch(self, symbols: Sequence[str], now_ns: int) -> None:
        """Measure *symbols* from now on; bars of a local source are read at once. InputError for too many."""
        with self._lock:
            for symbol in symbols:
                if symbol not in self._due_ns and len(self._due_ns) >= MOST_SYMBOLS:
                    raise InputError(
                        f"symbol = {symbol!r}: {MOST_SYMBOLS:,} symbols are watched already; a restart of the guard "
                        "forgets those that no bot asks about"
                    )
                self._due_ns.setdefault(symbol, 0)
        if self.source.is_local:
            self.refresh(now_ns, symbols)

    def refresh(self, now_ns: int, symbols: Sequence[str] | None = None) -> None:
        """Take the new bars of *symbols* (None: of all watched ones, those that are due)."""
        with self._reading:  # a bar is taken once, whichever thread reads it
            with self._lock:
                wanted = [
                    one for one in (self._due_ns if symbols is None else symbols)
                    if symbols is not None or now_ns >= self._due_ns[one]
                ]
            for symbol in wanted:
                self._read(symbol, now_ns)

    def state(self, symbol: str, now_ns: int, config: OrchestratorConfig) -> MarketState | None:
        """The market of *symbol* at *now_ns*; None without any bar."""
        with self._lock:
            market = self._known.get(symbol)
            return None if market is None else market.state(now_ns / NS_PER_SECOND, config)

    def problem(self, symbol: str) -> str:
        """Why the last bars of *symbol* could not be had; empty where they could."""
        return self._problems.get(symbol, "")

    def end_ns(self, symbol: str) -> int:
        """The end of the newest bar of *symbol*; 0 without any."""
        with self._lock:
            market = self._known.get(symbol)
            return 0 if market is None else market.end_s * NS_PER_SECOND

    def _read(self, symbol: str, now_ns: int) -> None:
        with self._lock:
            market = self._known.get(symbol)
        after_s = -1 if market is None else market.seen_s
        try:
            bars = self.source.bars(symbol, after_s, now_ns)
            problem = ""
        except DataError as error:
            bars, problem = (), str(error)
        with self._lock:
            self._problems[symbol] = problem
            if bars:
                market = market or PairMarket(self.source.bar_s)
                for bar in bars:
                    if all(map(math.isfinite, bar[1:])):
                        market.add(*bar)
                self._known[symbol] = market
            newest_ns = 0 if market is None else market.end_s * NS_PER_SECOND
            next_ns = newest_ns + self.source.bar_s * NS_PER_SECOND + SETTLED_NS
            self._due_ns[symbol] = next_ns if next_ns > now_ns and not problem else now_ns + RETRY_NS
