"""The features of a signal model from bars: one definition for a whole recording and for a panel.

A row of features is made of the last 200 intervals of the model's bars and nothing else, so that a panel of so many
rows gives the same bits as a recording of years. Bars that a symbol lacks are left out: lengths count its own bars.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.jit import kernel
from quantum_trader.models.history import CLOSE, FUNDING, HIGH, LOW, OPEN, VOLUME
from quantum_trader.models.learned.feature_list import LEAST_BARS, LEAST_RANKED, NAMES, OWN_FEATURES, WINDOW
from quantum_trader.models.port import FIELDS, Panel
from quantum_trader.models.whole_bars import WholeBars

NEEDS: Final = FIELDS  # what a panel must show
COUNT: Final = len(NAMES)
_OWN: Final = len(OWN_FEATURES)
_BPS: Final = 10_000.0
_WEEK_DAYS: Final = 7.0
_MONDAY: Final = 3  # days from a Monday to 1970-01-01
_COLUMNS: Final = {name: column for column, name in enumerate(NAMES)}
_RANKED: Final = tuple(name.removeprefix("rank_") for name in NAMES if name.startswith("rank_"))
_MOVES: Final = (1, 3, 6, 12, 24, 48, 96, 192)
_PLACES: Final = (1, 24, 96, 192)
_DISTANCES: Final = (6, 24, 96, 192)
_CROSSOVERS: Final = ((6, 24), (24, 96), (48, 192))
_MOVE_1, _MOVE_24, _HOUR = (_COLUMNS[name] for name in ("move_1", "move_24", "hour_sine"))
_RANK_FROM: Final = np.array([_COLUMNS[name] for name in _RANKED], dtype=np.int64)
_RANK_TO: Final = np.array([_COLUMNS[f"rank_{name}"] for name in _RANKED], dtype=np.int64)


@kernel
def _ratio(above, below):  # type: ignore[no-untyped-def]
    """*above* / *below*; NaN where *below* is not above 0."""
    return above / below if below > 0.0 else np.nan


@kernel
def _mean(values, end, count):  # type: ignore[no-untyped-def]
    """Mean of the last *count* of *values* before *end*."""
    total = 0.0
    for i in range(end - count, end):
        total += values[i]
    return total / count


@kernel
def _root_mean_square(logs, end, count):  # type: ignore[no-untyped-def]
    """Root mean square of the last *count* changes of *logs* before *end*."""
    total = 0.0
    for i in range(end - count, end):
        change = logs[i] - logs[i - 1]
        total += change * change
    return math.sqrt(total / count)


@kernel
def _write_moves(logs, begin, end, volatility, out, at):  # type: ignore[no-untyped-def]
    """Moves in deviations, and ratios of volatilities; returns the next column."""
    for bars in _MOVES:
        known = end - begin > bars
        out[at] = _ratio(logs[end - 1] - logs[end - 1 - bars], volatility * math.sqrt(bars)) if known else np.nan
        at += 1
    out[at] = volatility
    day = _root_mean_square(logs, end, 24)
    out[at + 1] = _ratio(_root_mean_square(logs, end, 6), day)
    out[at + 2] = _ratio(day, volatility)
    out[at + 3] = _ratio(volatility, _root_mean_square(logs, end, 192)) if end - begin > 192 else np.nan
    falls, squares, products = 0.0, 0.0, 0.0
    for i in range(end - 48, end):
        change, before = logs[i] - logs[i - 1], logs[i - 1] - logs[i - 2]
        squares += change * change
        falls += change * change if change < 0.0 else 0.0
        products += change * before
    out[at + 4] = _ratio(falls, squares)
    out[at + 5] = _ratio(products, squares)
    return at + 6


@kernel
def _true_range(bars, i):  # type: ignore[no-untyped-def]
    """True range of bar *i*."""
    before = bars[CLOSE, i - 1]
    return max(bars[HIGH, i], before) - min(bars[LOW, i], before)


@kernel
def _write_ranges(bars, begin, end, out, at):  # type: ignore[no-untyped-def]
    """Ranges, and where the close lies in them; returns the next column."""
    newest = end - 1
    total = 0.0
    for i in range(end - 24, end):
        total += _true_range(bars, i)
    close = bars[CLOSE, newest]
    out[at] = total / 24.0 / close
    out[at + 1] = _ratio(_true_range(bars, newest), total / 24.0)
    out[at + 2] = _ratio(close - bars[OPEN, newest], bars[HIGH, newest] - bars[LOW, newest])
    at += 3
    for count in _PLACES:
        if end - begin < count:
            out[at] = np.nan
        else:
            high, low = bars[HIGH, newest], bars[LOW, newest]
            for i in range(end - count, newest):
                high, low = max(high, bars[HIGH, i]), min(low, bars[LOW, i])
            out[at] = _ratio(close - low, high - low)
        at += 1
    return at


@kernel
def _write_averages(bars, logs, begin, end, volatility, out, at):  # type: ignore[no-untyped-def]
    """Distances of the close from its means, and of means from each other; returns the next column."""
    for count in _DISTANCES:
        out[at] = np.nan
        if end - begin >= count:
            gap = logs[end - 1] - math.log(_mean(bars[CLOSE], end, count))
            out[at] = _ratio(gap, volatility * math.sqrt(count))
        at += 1
    for fast, slow in _CROSSOVERS:
        out[at] = np.nan
        if end - begin >= slow:
            gap = math.log(_mean(bars[CLOSE], end, fast) / _mean(bars[CLOSE], end, slow))
            out[at] = _ratio(gap, volatility * math.sqrt(slow))
        at += 1
    return at


@kernel
def _write_paths(bars, logs, begin, end, out, at):  # type: ignore[no-untyped-def]
    """Strength and efficiency of moves, and the age of the extremes; returns the next column."""
    for count in (14, 48):
        rises, moved = 0.0, 0.0
        for i in range(end - count, end):
            change = logs[i] - logs[i - 1]
            rises += change if change > 0.0 else 0.0
            moved += abs(change)
        out[at] = _ratio(rises, moved)
        at += 1
    for count in (24, 96):
        moved = 0.0
        for i in range(end - count, end):
            moved += abs(logs[i] - logs[i - 1])
        out[at] = _ratio(logs[end - 1] - logs[end - 1 - count], moved)
        at += 1
    out[at], out[at + 1] = np.nan, np.nan
    if end - begin > 192:
        top, bottom = end - 1, end - 1
        for back in range(1, 192):
            i = end - 1 - back
            top = i if bars[HIGH, i] > bars[HIGH, top] else top
            bottom = i if bars[LOW, i] < bars[LOW, bottom] else bottom
        out[at], out[at + 1] = (end - 1 - top) / 192.0, (end - 1 - bottom) / 192.0
    return at + 2


@kernel
def _write_flows(bars, end, out, at):  # type: ignore[no-untyped-def]
    """Volume and funding; returns the next column."""
    volume, rates = bars[VOLUME], bars[FUNDING]
    out[at] = math.log1p(_ratio(volume[end - 1], _mean(volume, end, 24)))
    out[at + 1] = math.log1p(_ratio(_mean(volume, end, 6), _mean(volume, end, 96)))
    rising, falling, total = 0.0, 0.0, 0.0
    for i in range(end - 24, end):
        rising += volume[i] if bars[CLOSE, i] > bars[OPEN, i] else 0.0
        falling += volume[i] if bars[CLOSE, i] < bars[OPEN, i] else 0.0
        total += volume[i]
    out[at + 2] = _ratio(rising - falling, total)
    known, rate = 0.0, 0.0
    for i in range(end - 96, end):
        if abs(rates[i]) < np.inf:
            known += 1.0
            rate += rates[i]
    newest = rates[end - 1] * _BPS if abs(rates[end - 1]) < np.inf else np.nan
    mean = _ratio(rate, known) * _BPS
    out[at + 3], out[at + 4], out[at + 5] = newest, mean, newest - mean
    return at + 6


@kernel
def _write_own(bars, logs, begin, end, out):  # type: ignore[no-untyped-def]
    """Write a symbol's own features at its bar *end* - 1 into *out*, made of its *bars* (6, n) from *begin* on."""
    volatility = _root_mean_square(logs, end, 96)
    at = _write_moves(logs, begin, end, volatility, out, 0)
    at = _write_ranges(bars, begin, end, out, at)
    at = _write_averages(bars, logs, begin, end, volatility, out, at)
    at = _write_paths(bars, logs, begin, end, out, at)
    _write_flows(bars, end, out, at)


@kernel
def _write_ranks(row):  # type: ignore[no-untyped-def]
    """Write the ranks of one moment's *row* (S, F)."""
    for which in range(_RANK_FROM.shape[0]):
        source, target = _RANK_FROM[which], _RANK_TO[which]
        known = 0
        for s in range(row.shape[0]):
            if row[s, source] == row[s, source]:
                known += 1
        for s in range(row.shape[0]):
            mine = row[s, source]
            row[s, target] = np.nan
            if mine == mine and known >= LEAST_RANKED:
                above = 0.0
                for other in range(row.shape[0]):
                    if row[other, source] == row[other, source]:
                        above += 1.0 if mine > row[other, source] else (-1.0 if mine < row[other, source] else 0.0)
                row[s, target] = above / (known - 1)


@kernel
def _known_mean(row, column):  # type: ignore[no-untyped-def]
    """Mean of a *column* of *row* (S, F) over the symbols that have it."""
    total, known = 0.0, 0.0
    for s in range(row.shape[0]):
        if row[s, column] == row[s, column]:
            total += row[s, column]
            known += 1.0
    return _ratio(total, known)


@kernel
def _write_shared(row, here, day, week):  # type: ignore[no-untyped-def]
    """Write what clock and market give into one moment's *row* (S, F); *day* and *week* are the shares passed."""
    breadth, known = 0.0, 0.0
    for s in range(row.shape[0]):
        if row[s, _MOVE_24] == row[s, _MOVE_24]:
            breadth += 1.0 if row[s, _MOVE_24] > 0.0 else 0.0
            known += 1.0
    move_1, move_24, share = _known_mean(row, _MOVE_1), _known_mean(row, _MOVE_24), _ratio(breadth, known)
    for s in range(row.shape[0]):
        if here[s]:
            row[s, _HOUR], row[s, _HOUR + 1] = math.sin(2.0 * math.pi * day), math.cos(2.0 * math.pi * day)
            row[s, _HOUR + 2], row[s, _HOUR + 3] = math.sin(2.0 * math.pi * week), math.cos(2.0 * math.pi * week)
            row[s, _HOUR + 4], row[s, _HOUR + 5], row[s, _HOUR + 6] = move_1, move_24, share
            row[s, _HOUR + 7] = row[s, _MOVE_24] - move_24
    _write_ranks(row)


@kernel
def _gather(fields, s, bars, logs, rows):  # type: ignore[no-untyped-def]
    """Copy the bars that symbol *s* has, the logarithms of their closes and their intervals; returns how many."""
    count = 0
    for row in range(fields.shape[1]):
        if fields[CLOSE, row, s] == fields[CLOSE, row, s]:
            for field in range(fields.shape[0]):
                bars[field, count] = fields[field, row, s]
            logs[count] = math.log(fields[CLOSE, row, s])
            rows[count] = row
            count += 1
    return count


@kernel
def _of_symbols(fields, wanted, out):  # type: ignore[no-untyped-def]
    """Each symbol's own features at its bars from interval *wanted* on."""
    bars, logs = np.empty((fields.shape[0], fields.shape[1])), np.empty(fields.shape[1])
    rows = np.empty(fields.shape[1], dtype=np.int64)
    for s in range(fields.shape[2]):
        begin, count = 0, _gather(fields, s, bars, logs, rows)
        for i in range(count):
            while rows[begin] <= rows[i] - WINDOW:
                begin += 1
            if rows[i] >= wanted and i + 1 - begin >= LEAST_BARS:
                _write_own(bars, logs, begin, i + 1, out[rows[i] - wanted, s])


@kernel
def _of_moments(out, closes_ns, wanted):  # type: ignore[no-untyped-def]
    """What the clock and the other symbols give, for each moment of *out* (T, S, F)."""
    here = np.zeros(out.shape[1], dtype=np.bool_)
    for t in range(out.shape[0]):
        days = closes_ns[wanted + t] / NS_PER_DAY
        day = days - math.floor(days)
        passed = days + _MONDAY
        week = (passed - math.floor(passed / _WEEK_DAYS) * _WEEK_DAYS) / _WEEK_DAYS
        for s in range(out.shape[1]):
            here[s] = out[t, s, 8] == out[t, s, 8]  # volatility: a symbol with features has it
        _write_shared(out[t], here, day, week)


def _features(fields: Floats, closes_ns: Ints, wanted: int) -> npt.NDArray[np.float32]:
    """Features (T - wanted, S, F) at the intervals from *wanted* on of the bars *fields* (6, T, S)."""
    out = np.full((fields.shape[1] - wanted, fields.shape[2], COUNT), np.nan)
    _of_symbols(np.ascontiguousarray(fields), wanted, out)
    _of_moments(out, closes_ns, wanted)
    single: npt.NDArray[np.float32] = out.astype(np.float32)
    return single


def recording_features(bars: WholeBars) -> npt.NDArray[np.float32]:
    """Features (T, S, F) at the close of every interval of *bars*, single precision.

    NaN where a symbol has no bar, or fewer than 97 within the window; and where a feature is missing.
    """
    return _features(bars.fields, bars.opens + bars.length_ns, 0)


def panel_features(panel: Panel) -> npt.NDArray[np.float32]:
    """Features (S, F) at the newest bar of *panel*, which has 200 rows and all fields; as ``recording_features``."""
    fields: Any = np.stack([panel.field(name) for name in FIELDS])
    closes_ns = np.full(len(panel.ts_ns), panel.now_ns, dtype=np.int64)
    row: npt.NDArray[np.float32] = _features(fields, closes_ns, len(panel.ts_ns) - 1)[0]
    return row
