"""The market of a simulated day: prices, completed bars, and which symbols trade.

The recording's bars are walked through open, both extremes and close in several ticks each, so that an order that
arrives between two ticks meets the price that stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import VenueError
from quantum_trader.domain.instrument import Instrument, round_to
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.venue_port import Kline, MarkPrice, Quote, StreamEvent
from quantum_trader.market.resample import resample

TICKS_PER_BAR: Final = 10
UNLIMITED_VOLUME: Final = 1e12  # of a tick, where orders fill whole
_EXTREMES: Final = (0, 3, 6, 9)  # ticks of a bar at open, one extreme, the other, close


class BarsBefore(NamedTuple):
    """The recording's bars of before a day: opens (n,), bars (n, S, 5), which symbols have one (n, S)."""

    ts_ns: Any
    ohlcv: Any
    present: Any


class SimulatedMarket:
    """Prices and bars of one day. *ohlcv* (T, S, 5) are the recording's bars, the first opening at *start_ns*.

    *before* is what :meth:`bars` answers of the time before the day; None: nothing.
    """

    def __init__(
        self, instruments: Sequence[Instrument], ohlcv: Any, start_ns: int, interval_ns: int, rng: Random,
        before: BarsBefore | None = None,
    ) -> None:
        self.instruments = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.start_ns, self.interval_ns = start_ns, interval_ns
        self.bar_count = len(ohlcv)
        self.index = {symbol: index for index, symbol in enumerate(self.symbols)}
        size = len(self.symbols)
        self._path = tick_path(ohlcv, [i.tick_size for i in instruments], rng)
        self._volumes = ohlcv[:, :, 4].tolist()
        self._before = before
        self._scale = [1.0] * size  # product of all price gaps so far
        self._unfinished = [[0.0, 0.0, 0.0, 0.0] for _ in range(size)]  # open, high, low, close of the bar so far
        self.prices = [float(price) for price in self._path[0]]
        self.halted = [False] * size
        self.delisted = [False] * size
        self.fill_steps = [0] * size  # a tick fills at most so many quantity steps; 0: no limit
        self.klines: dict[str, list[Kline]] = {symbol: [] for symbol in self.symbols}  # completed, oldest first
        self._buffers = [(np.zeros((size, 5)), np.ones(size, dtype=np.bool_)) for _ in range(2)]

    def walk(self, bar: int, tick: int) -> None:
        """Move every symbol that trades to its price at *tick* of *bar*."""
        row = self._path[bar * TICKS_PER_BAR + tick]
        for index in range(len(self.symbols)):
            if not self.halted[index]:
                self.set_price(index, float(row[index]) * self._scale[index], first=tick == 0)

    def set_price(self, index: int, price: float, *, first: bool = False) -> None:
        """Set the price, on the tick grid; *first*: it opens a bar."""
        increment = self.instruments[index].tick_size
        price = max(round_to(price, increment), increment)
        self.prices[index] = price
        bar = self._unfinished[index]
        if first or bar[0] == 0.0:
            bar[:] = (price, price, price, price)
        else:
            bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price

    def gap(self, index: int, share: float) -> None:
        """Let the price jump by *share* and stay there."""
        self._scale[index] *= 1.0 + share
        self.set_price(index, self.prices[index] * (1.0 + share))

    def batch(self, ts_ns: int) -> MarketBatch:
        """The prices that stand, as the batch a paper venue matches against."""
        ohlcv, present = self._buffers[0]
        self._buffers.reverse()
        for index, price in enumerate(self.prices):
            ohlcv[index, :4] = price
            steps = self.fill_steps[index]
            ohlcv[index, 4] = steps * self.instruments[index].step_size if steps else UNLIMITED_VOLUME
            present[index] = not self.halted[index]
        return MarketBatch(ts_ns, NS_PER_SECOND, ohlcv, present)

    def quotes(self, now_ns: int) -> list[StreamEvent]:
        """Quote and mark price of every symbol that trades."""
        events: list[StreamEvent] = []
        for index, symbol in enumerate(self.symbols):
            if self.halted[index]:
                continue
            price, tick = self.prices[index], self.instruments[index].tick_size
            events.append(Quote(symbol=symbol, bid=price, bid_qty=1.0, ask=price + tick, ask_qty=1.0, ts_ns=now_ns))
            events.append(
                MarkPrice(
                    symbol=symbol, price=price, funding_rate=0.0001, next_funding_ns=_next_funding(now_ns),
                    ts_ns=now_ns,
                )
            )
        return events

    def complete(self, bar: int) -> list[Kline]:
        """Complete *bar* of every symbol that has traded in it; returns the new klines."""
        completed = []
        for index, symbol in enumerate(self.symbols):
            row = self._unfinished[index]
            if row[0] == 0.0:
                continue
            kline = Kline(
                symbol=symbol, interval_ns=self.interval_ns, ts_ns=self.start_ns + bar * self.interval_ns, open=row[0],
                high=row[1], low=row[2], close=row[3], volume=max(self._volumes[bar][index], 1.0),
            )
            self.klines[symbol].append(kline)
            row[:] = (0.0, 0.0, 0.0, 0.0)
            completed.append(kline)
        return completed

    def bars(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """The completed bars of *interval_ns* that open in [start, end), oldest first, made from the base bars.

        Raises VenueError for an interval that the base bars do not make.
        """
        if interval_ns <= 0 or interval_ns % self.interval_ns:
            raise VenueError(f"interval_ns = {interval_ns}: there are bars of {self.interval_ns} and of its multiples")
        ts_ns, ohlcv = self._base_bars(symbol, start_ns // interval_ns * interval_ns, end_ns + interval_ns)
        if interval_ns != self.interval_ns:
            ts_ns, ohlcv = resample(ts_ns, ohlcv, self.interval_ns, interval_ns)
        return [
            Kline(symbol=symbol, interval_ns=interval_ns, ts_ns=opened, open=row[0], high=row[1], low=row[2],
                  close=row[3], volume=row[4])
            for opened, row in zip(ts_ns.tolist(), ohlcv.tolist(), strict=True) if start_ns <= opened < end_ns
        ]

    def _base_bars(self, symbol: str, start_ns: int, end_ns: int) -> tuple[Any, Any]:
        """The completed base bars that open in [start, end): opens (n,) and bars (n, 5)."""
        today = [kline for kline in self.klines.get(symbol, ()) if start_ns <= kline.ts_ns < end_ns]
        times = np.array([kline.ts_ns for kline in today], dtype=np.int64)
        rows = np.array([(one.open, one.high, one.low, one.close, one.volume) for one in today]).reshape(-1, 5)
        if self._before is None or symbol not in self.index:
            return times, rows
        first, last = np.searchsorted(self._before.ts_ns, (start_ns, end_ns)).tolist()
        index, span = self.index[symbol], slice(first, last)
        there = self._before.present[span, index]
        return (
            np.concatenate([self._before.ts_ns[span][there], times]),
            np.concatenate([self._before.ohlcv[span, index][there], rows]),
        )


def tick_path(ohlcv: Any, tick_sizes: Sequence[float], rng: Random) -> Any:
    """Prices (T * TICKS_PER_BAR, S) that walk each bar through open, one extreme, the other, and close."""
    bars, size = ohlcv.shape[:2]
    path = np.empty((bars, TICKS_PER_BAR, size))
    ticks = np.arange(TICKS_PER_BAR)
    for bar in range(bars):
        for column in range(size):
            open_, high, low, close = ohlcv[bar, column, :4].tolist()
            falling_first = rng.random() < (0.7 if close >= open_ else 0.3)
            corners = (open_, low, high, close) if falling_first else (open_, high, low, close)
            path[bar, :, column] = np.interp(ticks, _EXTREMES, corners)
    return path.reshape(bars * TICKS_PER_BAR, size)


def _next_funding(now_ns: int) -> int:
    """The next of 00:00, 08:00 and 16:00 UTC."""
    eight_hours = 8 * 3600 * NS_PER_SECOND
    return (now_ns // eight_hours + 1) * eight_hours
