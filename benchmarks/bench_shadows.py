"""How fast shadow trades are followed to their end, beside the plainest compiled loop that finds the same ends.

The unit is shadow-bars a second: the bars that every shadow trade was open, added up, over the time from the first bar
to the last result. The reference knows all bars and all shadows beforehand and walks each shadow through the bars of
its symbol until its stop, its target or a day: high and low against two levels, no cost of any kind. The system takes
a moment at a time and counts costs, fees, funding, gaps and R. It is timed twice: its kernels in a compiled loop over
the moments, as the sweep runs them, and the shadow book as the engine drives it, with a call from Python for each
moment and each new shadow.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from benchmarks.bench_engine import SYMBOLS, generated
from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from quantum_trader.domain.market import MarketBatch
from quantum_trader.signals.shadow import RESOLVED_BARS, ShadowBook, queue_shadow, shadow_moment

TURNS = 5
BARS = 20_000  # one-minute bars of each symbol
EVERY = 30  # a new shadow of each symbol, bars
STOP, TARGET = 0.012, 0.024  # of the price: about what 1.5 and 3 ATRs of an hour are
DAY = 1_440
AT_LEAST = 0.1


@njit(cache=False, nogil=True)  # type: ignore[untyped-decorator]
def plain_loop(ohlc: Any, starts: Any, signs: Any, held: Any) -> int:
    """Walk each shadow (symbol after symbol) through *ohlc* (S, T, 4); the bars that each was open into *held*.

    Returns how many bars that were in all.
    """
    total = 0
    for s in range(ohlc.shape[0]):
        for k in range(starts.shape[0]):
            first, sign = starts[k], signs[k]
            entry = ohlc[s, first, 0]
            stop, target = entry * (1.0 - sign * STOP), entry * (1.0 + sign * TARGET)
            at = first
            while at < ohlc.shape[1] and at - first < DAY:
                high, low = ohlc[s, at, 1], ohlc[s, at, 2]
                worst, best = (low, high) if sign > 0.0 else (high, low)
                at += 1
                if sign * (worst - stop) <= 0.0 or sign * (best - target) >= 0.0:
                    break
            held[s, k] = at - first
            total += at - first
    return total


@njit(cache=False, nogil=True)  # type: ignore[untyped-decorator]
def kernel_loop(
    ts_ns: Any, interval_ns: int, ohlcv: Any, present: Any, signs: Any, costs: Any, rates: Any, fees: Any, held: Any,
    counts: Any, marks: Any, resolved: Any, max_bars: float, range_bps: float,
) -> float:
    """Take all moments through the kernels of the shadow book; returns the shadow-bars of the shadows that ended."""
    total, number = 0.0, 0
    for at in range(ts_ns.shape[0]):
        if at % EVERY == 0:
            for s in range(ohlcv.shape[1]):
                close = ohlcv[max(at - 1, 0), s, 3]
                queue_shadow(s, number, signs[number], STOP * close, TARGET * close, 1.0, held, counts)
            number += 1
        made = shadow_moment(
            ts_ns[at], interval_ns, max_bars, range_bps, fees, ohlcv[at], present[at], costs, rates, held, counts,
            marks, resolved,
        )
        for row in range(made):
            total += resolved[row, RESOLVED_BARS]
    return total


def by_kernels(interval_ns: int, ts_ns: Any, ohlcv: Any, present: Any, signs: Any) -> float:
    """The kernels' way through all moments, with a new book."""
    symbols = ohlcv.shape[1]
    book = ShadowBook(symbols, interval_ns, 5.0)
    return float(kernel_loop(
        ts_ns, interval_ns, ohlcv, present, signs, np.full(symbols, 2.0), np.zeros(symbols), book.taker_fees_bps,
        *book.arrays(), book.max_bars, book.range_slippage_bps,
    ))


def by_book(interval_ns: int, ts_ns: Any, ohlcv: Any, present: Any, signs: Any) -> int:
    """Take all moments through the shadow book; returns the shadow-bars of the shadows that ended."""
    symbols = ohlcv.shape[1]
    book = ShadowBook(symbols, interval_ns, 5.0)
    costs, rates, total, number = np.full(symbols, 2.0), np.zeros(symbols), 0, 0
    for at, moment in enumerate(ts_ns.tolist()):
        if at % EVERY == 0:
            for s in range(symbols):
                close = float(ohlcv[max(at - 1, 0), s, 3])
                book.open(s, number, int(signs[number]), close, STOP, TARGET)
            number += 1
        made = book.on_bar(MarketBatch(moment, interval_ns, ohlcv[at], present[at]), costs, rates)
        if made:
            total += int(book.resolved[:made, RESOLVED_BARS].sum())
    return total


@bench("shadows")
def shadow_resolution() -> Iterator[Figure]:
    """Shadow trades of 20 symbols on one-minute bars, a new one of each symbol every half hour."""
    recording = generated(SYMBOLS, BARS)
    chunk = recording.arrays()
    by_symbol = np.ascontiguousarray(chunk.ohlcv[:, :, :4].transpose(1, 0, 2))
    starts = np.arange(0, BARS, EVERY)
    signs = np.where(np.arange(len(starts)) % 2 == 0, 1.0, -1.0)
    held = np.zeros((len(SYMBOLS), len(starts)), dtype=np.int64)
    plain = plain_loop(by_symbol, starts, signs, held)
    bars = (recording.interval_ns, chunk.ts_ns, chunk.ohlcv, chunk.present, signs)
    name = "compiled plain loop over the bars, M shadow-bars/s"
    for title, way, bar in (
        ("shadows.kernels_20_symbols_1m", by_kernels, AT_LEAST), ("shadows.book_20_symbols_1m", by_book, None),
    ):
        followed = way(*bars)
        took = fastest_in_turns(
            TURNS, partial(seconds, partial(way, *bars)),
            lambda: seconds(lambda: plain_loop(by_symbol, starts, signs, held)),
        )
        yield Figure(
            name=title, value=followed / took.value / 1e6, unit="M shadow-bars/s",
            reference=plain / took.reference / 1e6, reference_name=name, at_least=bar,
        )
