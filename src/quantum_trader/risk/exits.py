"""Exits by regime: the table, the one function that makes brackets, break-even, trailing and time.

Prices are in quote units, distances in multiples of the ATR(14) of 1-hour bars, times in nanoseconds. Every function
is scalar Python: bad numbers give a safe answer, never an exception.
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import (
    EXIT_DEFENSIVE_TRAIL,
    EXIT_TREND_FOLLOW,
    TREND_RANGING,
    TREND_TRENDING,
    VOL_EXTREME,
    VOL_HIGH,
    VOL_LOW,
    VOL_NORMAL,
)
from quantum_trader.domain.instrument import ceil_to, floor_to
from quantum_trader.domain.scalar import scalar

LIQUIDATION_BUFFER: Final = 0.1  # share of the way from liquidation to entry that a stop keeps clear of
BESIDE_LIQUIDATION: Final = 0.002  # of the entry price: a stop nearer than this to liquidation is next to it
DEFENSIVE_TRAIL_FACTOR: Final = 0.6  # DEFENSIVE_TRAIL trails at this share of the row's distance
_NEVER: Final = 1e9  # R or hours that no position reaches
_FAST_TP_R: Final = 2.0  # where FAST_TP takes profit of a position that the score holds, in R
_DEFENSIVE_ATR: Final = 2.0  # how far DEFENSIVE_TRAIL trails it, in ATRs of the model's bars
_MAX_TICKS: Final = 2.0**52  # beyond this many ticks a price cannot be rounded exactly
_MIN_TICK: Final = 1e-12
_HAIR: Final = 1e-6  # of a tick: nearer than this two prices are the same
_NAN: Final = float("nan")

ExitRow = tuple[float, float, float, float, float]


@scalar
def exit_row(trend: int, vol: int) -> ExitRow:
    """The row for TREND_* and VOL_* codes: stop ATR, target ATR, break-even R, trail ATR, longest hours.

    The volatility row applies; in LOW and NORMAL volatility a known trend's row replaces it. UNKNOWN volatility gets
    the safest of every column: widest stop (so the smallest position), nearest target, earliest break-even,
    tightest trail, shortest time.
    """
    if vol == VOL_HIGH:
        return (2.0, 4.0, 0.8, 2.5, 24.0)
    if vol == VOL_EXTREME:
        return (2.5, 5.0, 1.0, 3.0, 12.0)
    if vol in (VOL_LOW, VOL_NORMAL):
        if trend == TREND_TRENDING:
            return (1.8, 4.5, 0.4, 2.5, 72.0)
        if trend == TREND_RANGING:
            return (1.0, 2.0, 0.3, 1.5, 18.0)
        if vol == VOL_LOW:
            return (1.2, 3.5, 0.3, 1.8, 48.0)
        return (1.5, 3.0, 0.5, 2.0, 36.0)
    return (2.5, 2.0, 0.3, 1.5, 12.0)


@scalar
def score_exit_row(stop_atr: float, exit_mode: int) -> ExitRow:
    """The row of a position that a model's score holds, in the columns of :func:`exit_row`, under *exit_mode*.

    A catastrophe stop, *stop_atr* ATRs of the model's bars away. FAST_TP alone has a target and DEFENSIVE_TRAIL alone
    trails; the position is never timed out.
    """
    breakeven_r = _DEFENSIVE_ATR / stop_atr if exit_mode == EXIT_DEFENSIVE_TRAIL else _NEVER
    return (stop_atr, _FAST_TP_R * stop_atr, breakeven_r, _DEFENSIVE_ATR / DEFENSIVE_TRAIL_FACTOR, _NEVER)


@scalar
def _roundable(price: float, tick: float) -> bool:
    """Whether *price* can be put on a grid of *tick* exactly."""
    return math.isfinite(price) and math.isfinite(tick) and _MIN_TICK <= tick <= price < tick * _MAX_TICKS


@scalar
def _stop_price(sign: int, fill_price: float, distance: float, tick: float, liquidation_price: float) -> float:
    """The stop's price on the grid, rounded towards the entry so that the loss is never above the one sized for."""
    if sign > 0:
        bound = liquidation_price + LIQUIDATION_BUFFER * (fill_price - liquidation_price)
        stop = ceil_to(max(fill_price - distance, bound), tick)
        if stop > fill_price - _HAIR * tick:
            stop = floor_to(fill_price - _HAIR * tick, tick)
        return stop if max(bound - _HAIR * tick, liquidation_price) < stop < fill_price else _NAN
    wanted = fill_price + distance
    bound = wanted
    if liquidation_price > 0.0:
        bound = liquidation_price - LIQUIDATION_BUFFER * (liquidation_price - fill_price)
    if not _roundable(min(wanted, bound), tick):
        return _NAN
    stop = floor_to(min(wanted, bound), tick)
    if stop < fill_price + _HAIR * tick:
        stop = ceil_to(fill_price + _HAIR * tick, tick)
        if liquidation_price > 0.0 and stop > bound + _HAIR * tick:
            return _NAN
    inside = liquidation_price <= 0.0 or stop < liquidation_price
    return stop if inside and stop > fill_price else _NAN


@scalar
def _target_price(sign: int, fill_price: float, distance: float, tick: float) -> float:
    """The target's price on the grid, rounded towards the entry so that it is reached no later than meant."""
    if not (distance > 0.0 and _roundable(fill_price + distance, tick)):
        return _NAN
    if sign > 0:
        target = floor_to(fill_price + distance, tick)
        return target if target > fill_price + _HAIR * tick else ceil_to(fill_price + _HAIR * tick, tick)
    target = ceil_to(max(fill_price - distance, tick), tick)
    if target > fill_price - _HAIR * tick:
        target = floor_to(fill_price - _HAIR * tick, tick)
    return target if 0.0 < target < fill_price else _NAN


@scalar
def bracket(
    sign: int, fill_price: float, atr: float, stop_atr: float, target_atr: float, exit_mode: int, tick: float,
    liquidation_price: float,
) -> tuple[float, float]:
    """Make (stop, target) from the *fill* price: long stop < fill < target, short mirrored, both on the tick grid.

    *sign* is +1 long, -1 short; *liquidation_price* 0.0 means none. The stop keeps a tenth of the way between
    liquidation and fill clear of liquidation, moving nearer to the fill if it must. The target is 0.0 (none) in
    TREND_FOLLOW and DEFENSIVE_TRAIL, which trail instead; FAST_TP (and any unknown code) takes it.
    Returns (nan, nan) when no valid bracket exists: the caller closes the position.
    """
    nothing = (_NAN, _NAN)
    distance = stop_atr * atr
    if sign not in (1, -1) or not (_roundable(fill_price, tick) and math.isfinite(distance) and distance > 0.0):
        return nothing
    if not (math.isfinite(liquidation_price) and liquidation_price >= 0.0):
        return nothing
    if liquidation_price > 0.0 and not sign * (fill_price - liquidation_price) > 0.0:
        return nothing
    stop = _stop_price(sign, fill_price, distance, tick, liquidation_price)
    target = 0.0
    if exit_mode not in (EXIT_TREND_FOLLOW, EXIT_DEFENSIVE_TRAIL):
        target = _target_price(sign, fill_price, target_atr * atr, tick)
    if not (math.isfinite(stop) and math.isfinite(target)):
        return nothing
    return (stop, target)


@scalar
def next_stop(
    sign: int, entry: float, first_stop: float, current_stop: float, best_price: float, atr: float,
    breakeven_r: float, trail_atr: float, exit_mode: int, tick: float, min_step: float,
) -> float:
    """The stop after *best_price* was seen (highest for a long, lowest for a short); never looser than *current_stop*.

    At *breakeven_r* times the first risk the stop goes to the entry. From then on TREND_FOLLOW trails
    *trail_atr* ATRs behind the best price and DEFENSIVE_TRAIL 0.6 of that; FAST_TP does not trail. A move smaller than
    *min_step* (price units) is not worth an order. Any number that is not finite leaves the stop where it is.
    """
    risk = sign * (entry - first_stop)
    gain = sign * (best_price - entry)
    if sign not in (1, -1) or not (math.isfinite(current_stop) and math.isfinite(gain) and math.isfinite(risk)):
        return current_stop
    if not (_roundable(entry, tick) and _roundable(best_price, tick) and risk > 0.0 and gain > 0.0):
        return current_stop
    if not gain >= breakeven_r * risk:
        return current_stop
    candidate = entry
    factor = 0.0
    if exit_mode == EXIT_TREND_FOLLOW:
        factor = 1.0
    elif exit_mode == EXIT_DEFENSIVE_TRAIL:
        factor = DEFENSIVE_TRAIL_FACTOR
    distance = factor * trail_atr * atr
    if math.isfinite(distance) and distance > 0.0 and sign * (best_price - sign * distance - entry) > 0.0:
        candidate = best_price - sign * distance
    candidate = ceil_to(candidate, tick) if sign > 0 else floor_to(candidate, tick)
    step = sign * (candidate - current_stop)
    if step <= 0.0 or step < min_step or sign * (best_price - candidate) <= 0.0:
        return current_stop
    return candidate


@scalar
def is_behind_liquidation(sign: int, stop: float, entry: float, liquidation: float) -> bool:
    """Whether a venue would liquidate at *liquidation* (0.0: never) before *stop* triggers, or next to it."""
    return liquidation > 0.0 and (stop - liquidation) * sign < BESIDE_LIQUIDATION * entry


@scalar
def added_stop(sign: int, stop: float, current_stop: float, tick: float) -> float:
    """The stop after an addition that was judged with *stop*: on the grid, and never looser than *current_stop*."""
    if not _roundable(stop, tick):
        return current_stop
    stop = ceil_to(stop, tick) if sign > 0 else floor_to(stop, tick)
    return stop if (stop - current_stop) * sign > 0.0 else current_stop


@scalar
def would_trigger(sign: int, stop: float, last_price: float) -> bool:
    """Whether *stop* would fire at once (a venue answers -2021): the caller closes instead of placing it."""
    return not sign * (last_price - stop) > 0.0


@scalar
def timed_out(entry_ns: int, now_ns: int, max_hours: float) -> bool:
    """Whether a position has been held for *max_hours* or longer; an unusable limit counts as reached."""
    return not now_ns - entry_ns < max_hours * NS_PER_HOUR
