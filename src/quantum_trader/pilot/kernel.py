"""All symbols' raw features, one compiled call a moment; the form for many moments calls the same function.

A moment is the base bars of all symbols that opened at one time. They are built up into observed bars, aligned to UTC.
An observed bar is complete when the moment of its last base bar has come, and then an observation is made. Where that
moment is missing for every symbol, the bar is completed at the next moment, and no observation is made of it.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.indicators import NAN, Cells
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.market.resample import BUCKET_SIZE, bucket_add
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot import feed_columns as feeds
from quantum_trader.pilot import own_columns as own_col
from quantum_trader.pilot.bar_features import BAR_FEATURES_SIZE, step_bar_features
from quantum_trader.pilot.market_factor import FACTOR_SIZE, return_of_market, step_factor
from quantum_trader.pilot.regime_features import REGIME_SIZE, clear_regime, step_regime, take_base_bar

# Cells of one symbol.
_BAR: Final = 0  # the observed bar in the making
_FEATURES: Final = _BAR + BUCKET_SIZE
_REGIME: Final = _FEATURES + BAR_FEATURES_SIZE
_FACTOR: Final = _REGIME + REGIME_SIZE
ROW_SIZE: Final = _FACTOR + FACTOR_SIZE

INTERVAL, LENGTH, BITCOIN = 0, 1, 2  # places in a memory's *setting*
NO_BAR: Final = -1
_HOLE_NS: Final = NS_PER_DAY  # without bars for longer, from a close to the next open, a symbol starts anew
_MONDAY_NS: Final = 3 * NS_PER_DAY  # the epoch began on a Thursday
_WEEK_NS: Final = 7 * NS_PER_DAY


class Memory(NamedTuple):
    """What is kept from moment to moment, as arrays that the kernels change."""

    rows: Any  # (S, ROW_SIZE) cells of each symbol
    clocks: Any  # (S,) open of each symbol's newest base bar, NO_BAR before the first
    making: Any  # (1,) number of the observed bar in the making, NO_BAR where there is none
    setting: Any  # (3,) lengths of base and observed bars in ns, Bitcoin's index
    returns: Any  # (S,) room for the returns of one observed bar
    late: Any  # (S, 64) room for the features of a bar that is completed too late to be observed


@scalar
def clear_row(row: Any) -> None:
    """Forget all bars of the symbol in *row*."""
    for cell in range(row.shape[0]):
        row[cell] = 0.0
    clear_regime(row, _REGIME)


@scalar
def is_usable(bar: Cells) -> bool:
    """Whether a base bar (5,) has finite prices above 0 and a finite volume; another one counts as missing."""
    for place in range(5):
        if not math.isfinite(bar[place]):
            return False
    return bar[2] > 0.0 and bar[3] > 0.0 and bar[1] > 0.0


@scalar
def finite_or_nan(number: float) -> float:
    """*number*, NaN for an infinite one."""
    return number if math.isfinite(number) else NAN


@scalar
def take_bar(row: Any, ts_ns: int, last_ns: int, bar: Cells, setting: Any) -> None:
    """Add a symbol's base bar (5,) that opened at *ts_ns* to its observed bar and to the regime's bars."""
    end_ns = ts_ns + setting[INTERVAL]
    if last_ns == NO_BAR or ts_ns - last_ns - setting[INTERVAL] > _HOLE_NS:
        clear_row(row)
    bucket_add(row, _BAR, float(ts_ns // setting[LENGTH]), bar[0], bar[1], bar[2], bar[3], bar[4])
    take_base_bar(row, _REGIME, ts_ns, end_ns, bar)


@scalar
def close_bar(row: Cells, out: Cells) -> float:
    """Measure a symbol's observed bar, write the features made of it into *out*, and return its return; NaN without."""
    for place in range(col.FEATURE_COUNT):
        out[place] = NAN
    if row[_BAR] == 0.0:
        return NAN
    row[_BAR] = 0.0
    step_bar_features(row, _FEATURES, row[_BAR + 3], row[_BAR + 4], row[_BAR + 5], row[_BAR + 6], out)
    step_regime(row, _REGIME, out)
    return out[col.RETURN_1]


@scalar
def write_clock(close_ns: int, out: Cells) -> None:
    """Write how much of the UTC day and of the week has passed, each as sine and cosine."""
    day = 2.0 * math.pi * (close_ns % NS_PER_DAY) / NS_PER_DAY
    week = 2.0 * math.pi * ((close_ns + _MONDAY_NS) % _WEEK_NS) / _WEEK_NS
    out[col.HOUR_SINE] = math.sin(day)
    out[col.HOUR_COSINE] = math.cos(day)
    out[col.WEEK_SINE] = math.sin(week)
    out[col.WEEK_COSINE] = math.cos(week)


@scalar
def write_feed(feed: Cells, out: Cells) -> None:
    """Write what the feed (5,) knows of order book and funding; NaN for what it does not."""
    known = 0.0
    for place in range(3):
        value = finite_or_nan(feed[feeds.SPREAD_BPS + place])
        out[col.SPREAD + place] = value
        known += 1.0 if value == value else 0.0
    out[col.ORDER_BOOK_KNOWN] = known / 3.0
    out[col.FUNDING_RATE] = finite_or_nan(feed[feeds.FUNDING_8H])
    out[col.FUNDING_HOURS] = finite_or_nan(feed[feeds.HOURS_TO_FUNDING])


@scalar
def write_own(own: Cells, out: Cells) -> bool:
    """Write the account's own features from *own* (11,); return whether all of them are finite numbers."""
    whole = True
    for place in range(own_col.OWN_SIZE):
        value = finite_or_nan(own[place])
        out[col.FIRST_OWN + place] = value
        whole = whole and value == value
    out[col.BARS_HELD] = math.log(1.0 + max(0.0, own[own_col.HELD_BARS])) if whole else NAN
    return whole


@scalar
def is_warm(out: Cells) -> bool:
    """Whether every feature made of the symbol's own bars is known."""
    for place in range(col.RETURN_1, col.VOLUME_RATIO + 1):
        if out[place] != out[place]:
            return False
    return out[col.REGIME_AGE] == out[col.REGIME_AGE]


_take_bar, _close_bar, _write_clock = compiled(take_bar), compiled(close_bar), compiled(write_clock)
_write_feed, own_features, _is_warm, _is_usable = (
    compiled(write_feed), compiled(write_own), compiled(is_warm), compiled(is_usable)
)
_return_of_market, _step_factor = compiled(return_of_market), compiled(step_factor)


@kernel
def _close_bars(rows: Any, returns: Any, setting: Any, out: Any) -> None:
    """Close the observed bars of all symbols (S) and write the features made of bars into *out* (S, 64)."""
    total, known = 0.0, 0
    for s in range(rows.shape[0]):
        returns[s] = _close_bar(rows[s], out[s])
        if returns[s] == returns[s]:
            total += returns[s]
            known += 1
    for s in range(rows.shape[0]):
        market = _return_of_market(s, setting[BITCOIN], returns, total, known)
        _step_factor(rows[s], _FACTOR, returns[s], market, out[s])


@kernel
def take_moment(
    ts_ns: Any, ohlcv: Any, present: Any, feed: Any, own: Any, with_own: bool, memory: Any, raw: Any, ready: Any
) -> bool:
    """Take the base bars (S, 5) of one moment; where it ends an observed bar, write *raw* (S, 64) and *ready* (S,).

    Returns whether it does. *own* (S, 11) counts *with_own* only.
    """
    rows, clocks, making, setting = memory.rows, memory.clocks, memory.making, memory.setting
    number = ts_ns // setting[LENGTH]
    if making[0] != NO_BAR and making[0] != number:
        _close_bars(rows, memory.returns, setting, memory.late)
    making[0] = number
    for s in range(rows.shape[0]):
        ready[s] = present[s] and _is_usable(ohlcv[s])
        if ready[s]:
            _take_bar(rows[s], ts_ns, clocks[s], ohlcv[s], setting)
            clocks[s] = ts_ns
    close_ns = ts_ns + setting[INTERVAL]
    if close_ns % setting[LENGTH] != 0:
        ready[:] = False
        return False
    making[0] = NO_BAR
    _close_bars(rows, memory.returns, setting, raw)
    for s in range(rows.shape[0]):
        if not ready[s]:
            raw[s, :] = NAN
            continue
        _write_clock(close_ns, raw[s])
        _write_feed(feed[s], raw[s])
        ready[s] = _is_warm(raw[s])
        if with_own and not own_features(own[s], raw[s]):
            ready[s] = False
    return True


@kernel
def take_moments(
    ts_ns: Any, ohlcv: Any, present: Any, feed: Any, own: Any, with_own: bool, memory: Any, raw: Any, ready: Any,
    closes: Any,
) -> int:
    """Take T moments with the same step as a single one; return how many observations (n, S, 64) they made.

    *closes* (n,) are their times. *raw* and *ready* have a row more, for moments after the last observation.
    """
    made = 0
    for t in range(ts_ns.shape[0]):
        if take_moment(
            ts_ns[t], ohlcv[t], present[t], feed[t], own[t if with_own else 0], with_own, memory, raw[made], ready[made]
        ):
            closes[made] = ts_ns[t] + memory.setting[INTERVAL]
            made += 1
    return made
