"""Recorded order books: snapshot and updates under Binance's own chaining rules, and the trades of the same day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_MINUTE, NS_PER_MS
from quantum_trader.domain.errors import DataError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.market.store import Values
from quantum_trader.venues.local.orders import DepthDiff, MarketTrade
from quantum_trader.venues.local.tape import Tape

_KINDS: Final = ("snapshot", "depth", "trades")


class Book:
    """One symbol's levels. Events must chain: each one's *pu* is the *u* before it."""

    def __init__(self, last_id: int, bids: Mapping[float, float], asks: Mapping[float, float]) -> None:
        self.last_id = last_id
        self._bids, self._asks = dict(bids), dict(asks)
        self._chained = False

    def apply(self, diff: DepthDiff) -> bool:
        """Apply one update; False when it is older than the snapshot. DataError when the chain is broken."""
        if diff.last_id < self.last_id and not self._chained:
            return False
        fits = diff.previous_id == self.last_id if self._chained else diff.first_id <= self.last_id <= diff.last_id
        if not fits:
            raise DataError(
                f"depth update U={diff.first_id} u={diff.last_id} pu={diff.previous_id} does not follow "
                f"{self.last_id}: updates are missing, take a new snapshot"
            )
        self._chained, self.last_id = True, diff.last_id
        for side, changes in ((self._bids, diff.bids), (self._asks, diff.asks)):
            for price, qty in changes:
                if qty > 0.0:
                    side[price] = qty
                else:
                    side.pop(price, None)
        return True

    def levels(self, count: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Return bids and asks (price, quantity), best first."""
        bids = sorted(self._bids, reverse=True)[:count]
        asks = sorted(self._asks)[:count]
        return [(price, self._bids[price]) for price in bids], [(price, self._asks[price]) for price in asks]

    def best(self) -> tuple[float, float]:
        """Return best bid and ask; 0.0 for an empty side."""
        return max(self._bids, default=0.0), min(self._asks, default=0.0)

    def against(self, sign: int) -> list[tuple[float, float]]:
        """Return the levels an order of *sign* takes from, best first."""
        side = self._asks if sign > 0 else self._bids
        return [(price, side[price]) for price in sorted(side, reverse=sign < 0)]

    def take(self, sign: int, price: float, qty: float) -> None:
        """Remove what an order of *sign* took at *price*, until the next recorded update of that level."""
        side = self._asks if sign > 0 else self._bids
        left = side.get(price, 0.0) - qty
        if left > 1e-12:
            side[price] = left
        else:
            side.pop(price, None)


class BookRecording(msgspec.Struct, frozen=True):
    """Books and trades of some symbols of one day, in time order."""

    symbols: tuple[str, ...]
    start_ns: int  # from when on every symbol has a snapshot
    end_ns: int
    books: tuple[Book, ...]
    diffs: tuple[DepthDiff, ...]
    trades: tuple[MarketTrade, ...]


def load_books(
    folder: Path, symbols: Sequence[str] | None = None, day: str | None = None, shift_ns: int = 0
) -> BookRecording:
    """Read ``SYMBOL_DAY_{snapshot,depth,trades}.parquet`` of *day* (the newest when None).

    DataError names what is missing.
    """
    found = sorted({tuple(path.name.split("_")[:2]) for path in folder.glob("*_*_snapshot.parquet")})
    if not found:
        raise DataError(f"{folder}: there are no recorded books (expected BTCUSDT_2024-07-18_snapshot.parquet or so)")
    day = day or max(pair[1] for pair in found)
    there = [pair[0] for pair in found if pair[1] == day]
    names = tuple(symbols) if symbols else tuple(there)
    if missing := [name for name in names if name not in there]:
        raise DataError(f"{folder}: no books of {', '.join(missing)} on {day}; there are {', '.join(there)}")
    frames = {(name, kind): _read(folder / f"{name}_{day}_{kind}.parquet") for name in names for kind in _KINDS}
    books = tuple(_book(frames[name, "snapshot"]) for name in names)
    diffs = [diff for row, name in enumerate(names) for diff in _diffs(row, frames[name, "depth"], shift_ns)]
    trades = [trade for row, name in enumerate(names) for trade in _trades(row, frames[name, "trades"], shift_ns)]
    starts = [int(frames[name, "snapshot"]["tx_ms"].to_list()[0]) * NS_PER_MS + shift_ns for name in names]
    return BookRecording(
        symbols=names, start_ns=max(starts), end_ns=max(diff.ts_ns for diff in diffs), books=books,
        diffs=tuple(sorted(diffs, key=lambda diff: diff.ts_ns)),
        trades=tuple(sorted(trades, key=lambda trade: (trade.ts_ns, trade.trade_id))),
    )


def _read(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise DataError(f"{path}: there is no such file, and the book needs it")
    return pl.read_parquet(path)


def _book(frame: pl.DataFrame) -> Book:
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    for side, price, qty in frame.select("side", "price", "qty").iter_rows():
        sides["bid" if str(side).startswith("b") else "ask"][price] = qty
    return Book(int(frame["last_update_id"].to_list()[0]), sides["bid"], sides["ask"])


def _diffs(index: int, frame: pl.DataFrame, shift_ns: int) -> list[DepthDiff]:
    found: list[DepthDiff] = []
    chosen = frame.select("tx_ms", "U", "u", "pu", "side", "price", "qty")
    current: tuple[int, int, int, int] | None = None
    bids: list[tuple[float, float]] = []
    asks: list[tuple[float, float]] = []

    def finish() -> None:
        if current is not None:
            tx_ms, first, last, previous = current
            found.append(DepthDiff(
                index, tx_ms * NS_PER_MS + shift_ns, first, last, previous, tuple(bids), tuple(asks)
            ))

    for tx_ms, first, last, previous, side, price, qty in chosen.iter_rows():
        if current is None or last != current[2]:
            finish()
            current, bids, asks = (tx_ms, first, last, previous), [], []
        (bids if str(side).startswith("b") else asks).append((price, qty))
    finish()
    return found


def _trades(index: int, frame: pl.DataFrame, shift_ns: int) -> list[MarketTrade]:
    chosen = frame.filter(pl.col("qty") > 0.0).select("tx_ms", "trade_id", "price", "qty", "buyer_is_maker")
    return [
        MarketTrade(index, tx_ms * NS_PER_MS + shift_ns, number, price, qty, maker)
        for tx_ms, number, price, qty, maker in chosen.iter_rows()
    ]


class BookTape(Tape):
    """One-minute bars of recorded trades; the running bar holds the trades so far and nothing else."""

    def __init__(self, instruments: Sequence[Instrument], recording: BookRecording) -> None:
        size = len(instruments)
        self._times: list[NDArray[np.int64]] = []
        self._prices: list[Values] = []
        self._sizes: list[Values] = []
        for index in range(size):
            mine = [trade for trade in recording.trades if trade.index == index]
            self._times.append(np.array([trade.ts_ns for trade in mine], dtype=np.int64))
            self._prices.append(np.array([trade.price for trade in mine]))
            self._sizes.append(np.array([trade.qty for trade in mine]))
        first = min(int(times[0]) for times in self._times) // NS_PER_MINUTE * NS_PER_MINUTE
        last = max(int(times[-1]) for times in self._times) // NS_PER_MINUTE * NS_PER_MINUTE
        ts_ns = np.arange(first, last + 1, NS_PER_MINUTE, dtype=np.int64)
        bars = np.stack([self._between(int(opened), int(opened) + NS_PER_MINUTE) for opened in ts_ns])
        super().__init__(instruments, NS_PER_MINUTE, ts_ns, bars, ~np.isnan(bars[:, :, 0]))

    def _between(self, start_ns: int, end_ns: int) -> Values:
        """Bars of the trades in [start, end), shape (S, 5); NaN without any."""
        bars = np.full((len(self._times), 5), np.nan)
        for index, times in enumerate(self._times):
            cut = slice(*np.searchsorted(times, [start_ns, end_ns]).tolist())
            prices = self._prices[index][cut]
            if len(prices):
                bars[index] = prices[0], prices.max(), prices.min(), prices[-1], self._sizes[index][cut].sum()
        return bars

    def prices(self, row: int, now_ns: int) -> Values:
        """The last trade at or before *now_ns*."""
        return np.array([self.last_price(index, now_ns) for index in range(len(self._times))])

    def last_price(self, index: int, now_ns: int) -> float:
        """Price of the last trade, 0.0 before the first."""
        at = int(np.searchsorted(self._times[index], now_ns, side="right")) - 1
        return float(self._prices[index][at]) if at >= 0 else 0.0

    def bar_so_far(self, row: int, now_ns: int) -> Values:
        """The running bar: its trades up to *now_ns*."""
        opened = int(self.ts_ns[row])
        return self._between(opened, min(now_ns + 1, opened + self.interval_ns))
