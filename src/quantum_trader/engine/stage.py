"""The account stage: two compiled calls a moment from marks to the policy in force.

The first is trading's: it latches loss limits, steps the governor and measures costs in R for every symbol. The second
is the policy's: it steps the policy over all slots, which judges the UTC day's drawdown (``policy.stability``).
They call only scalar functions, which the object code and the sweep use as well.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantum_trader.domain.scalar import scalar
from quantum_trader.engine.road import exit_vol_level
from quantum_trader.market import performance as perf
from quantum_trader.market.costs import cost_in_r
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.models import forecast as fc
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import fill_overall, step_slots
from quantum_trader.risk.exits import exit_row
from quantum_trader.risk.governor import governor_step
from quantum_trader.risk.halts import bar_ok, note_tick
from quantum_trader.risk.limits import losses_pct, record_losses
from quantum_trader.signals import columns as col

# The engine's inputs of each moment.
BOOK_EQUITY, BOOK_EXPOSURE, BOOK_OPEN, BOOK_STREAK, BOOK_BROKEN, BOOK_WINS, BOOK_HEALTH, BOOK_SIZE = range(8)
# Constants of a symbol.
SYM_FEE_BPS, SYM_FUNDING, SYM_STOP, SYM_HOURS = range(4)  # stop: distance in price units, 0: by regime
SYM_TREND, SYM_DIRECTION, SYM_SIZE = range(4, 7)  # TREND_* code on the models' bars plus 1, 0: of hourly bars; DIR_*

EXPECTED_HOLD_SHARE: Final = 0.25  # share of the exit row's time limit over which a round trip's funding is estimated
_NS_PER_SECOND: Final = 1_000_000_000


@scalar
def estimated_cost_r(
    price: float, atr: float, stop_atr: float, max_hours: float, fee_bps: float, spread_bps: float,
    slippage_bps: float, funding_8h: float,
) -> float:
    """Round-trip cost in R of an entry now with the exit row's stop; infinite before the ATR is known."""
    if not (atr > 0.0):
        return float("inf")
    return cost_in_r(
        price, stop_atr * atr, fee_bps, spread_bps, slippage_bps, abs(funding_8h), max_hours * EXPECTED_HOLD_SHARE
    )


_record_losses = compiled(record_losses)
_losses_pct = compiled(losses_pct)
_governor_step = compiled(governor_step)
_cost_r = compiled(estimated_cost_r)
_exit_row = compiled(exit_row)
_exit_vol_level = compiled(exit_vol_level)
_bar_ok = compiled(bar_ok)
_note_tick = compiled(note_tick)


@kernel
def is_bar(row):  # type: ignore[no-untyped-def]
    """Whether open, high, low, close and volume (5,) form a valid bar."""
    return _bar_ok(row[0], row[1], row[2], row[3], row[4])


@kernel
def screen(ohlcv, present, ticks, clean, now_ns):  # type: ignore[no-untyped-def]
    """Mark in *clean* the present rows that are valid bars; return the number of invalid ones."""
    bad = 0
    for s in range(present.shape[0]):
        clean[s] = present[s]
        if present[s]:
            row = ohlcv[s]
            good = is_bar(row)
            _note_tick(ticks[s], good, now_ns // _NS_PER_SECOND)
            if not good:
                clean[s] = False
                bad += 1
    return bad


@kernel
def limits_step(now_ns, book, losses, loss_limit_pct, governor):  # type: ignore[no-untyped-def]
    """Latch losses and step the governor at *now_ns*; returns the governor's level."""
    equity = book[BOOK_EQUITY]
    _record_losses(losses, now_ns, equity, loss_limit_pct)
    return _governor_step(governor, equity, now_ns // _NS_PER_SECOND, int(book[BOOK_HEALTH]))


@kernel
def measure_symbol(row, symbol):  # type: ignore[no-untyped-def]
    """Volatility code and round-trip cost in R of one symbol; *row* is its row of the signal kernel's output."""
    level = _exit_vol_level(row[col.VOL_RATIO])
    stop_atr, _, _, _, max_hours = _exit_row(int(row[col.TREND]), level)
    atr = row[col.ATR_1H]
    if symbol[SYM_STOP] != 0.0:
        atr, stop_atr, max_hours = symbol[SYM_STOP], 1.0, symbol[SYM_HOURS]
    cost = _cost_r(
        row[col.CLOSE], atr, stop_atr, max_hours, symbol[SYM_FEE_BPS], row[col.SPREAD_BPS], row[col.SLIPPAGE_BPS],
        symbol[SYM_FUNDING],
    )
    return level, cost


@kernel
def show_trends(trends, symbols):  # type: ignore[no-untyped-def]
    """Write the *trends* (S, 2) on the models' bars where the policy's inputs are made of them."""
    for s in range(symbols.shape[0]):
        symbols[s, SYM_TREND], symbols[s, SYM_DIRECTION] = trends[s, 0] + 1.0, trends[s, 1]


@kernel
def show_forecasts(forecasts, decided, by_score, stop_atr, hours, out, symbols):  # type: ignore[no-untyped-def]
    """Write *forecasts* (columns in models.forecast) into the columns *out* that a signal is made of.

    With exits *by_score* the symbols' stops are *stop_atr* ATRs of the model's bars, and a trade is meant for *hours*.
    """
    for s in range(out.shape[0]):
        told, row = forecasts[s], out[s]
        confidence, distance = told[fc.CONFIDENCE], stop_atr * told[fc.ATR]
        row[col.SIGNAL] = told[fc.TARGET] if decided[s] else 0.0
        row[col.CONFIDENCE] = confidence if confidence == confidence else 0.0
        row[col.UP_PROBABILITY] = 0.5
        row[col.CONSENSUS] = 0.0
        row[col.QUALITY] = 0.5
        row[col.VOTE_0:] = 0.5
        if by_score:
            symbols[s, SYM_STOP] = distance if distance > 0.0 else np.nan
            symbols[s, SYM_HOURS] = hours / EXPECTED_HOLD_SHARE


@kernel
def fill_inputs(market, performance, levels, costs, symbols, inputs, regimes):  # type: ignore[no-untyped-def]
    """Fill the policy's inputs, the volatility codes and the costs in R from the market's columns.

    *regimes* (S, 4) int64 keeps each symbol's trend, direction and volatility codes; its last column is set where one
    of them changed. Returns how many symbols changed.
    """
    changed = 0
    for s in range(market.shape[0]):
        row = market[s]
        levels[s], costs[s] = measure_symbol(row, symbols[s])
        target = inputs[s + 1]
        trend, direction = int(row[col.TREND]), int(row[col.DIRECTION])
        if symbols[s, SYM_TREND] > 0.0:
            trend, direction = int(symbols[s, SYM_TREND]) - 1, int(symbols[s, SYM_DIRECTION])
        target[pol.IN_TREND], target[pol.IN_DIRECTION] = trend, direction
        target[pol.IN_VOL_RATIO] = row[col.VOL_RATIO]
        target[pol.IN_AGE_BARS] = row[col.MARKET_AGE]
        target[pol.IN_SPREAD_BPS] = row[col.SPREAD_BPS]
        target[pol.IN_SLIPPAGE_BPS] = row[col.SLIPPAGE_BPS]
        target[pol.IN_VOLUME_RATIO] = row[col.VOLUME_RATIO_24H]
        target[pol.IN_COST_IN_R] = costs[s]
        result = performance[s]
        target[pol.IN_TAG] = result[perf.TAG]
        target[pol.IN_WINRATE] = result[perf.WINRATE]
        target[pol.IN_AVG_R] = result[perf.AVG_R]
        target[pol.IN_TRADES] = result[perf.JUDGED]
        target[pol.IN_LOSSES] = result[perf.LOSSES]
        regime = regimes[s]
        regime[3] = 0
        if regime[0] != trend or regime[1] != direction or regime[2] != levels[s]:
            regime[0], regime[1], regime[2], regime[3] = trend, direction, levels[s], 1
            changed += 1
    return changed


@kernel
def fill_account(book, losses, quality, account):  # type: ignore[no-untyped-def]
    """Fill the policy's account row; the policy derives the day's drawdown from the equity, where that is above 0."""
    equity = book[BOOK_EQUITY]
    account[pol.ACC_DAILY_PNL_PCT] = _losses_pct(losses, equity)[1]
    account[pol.ACC_DRAWDOWN_PCT] = 0.0 if equity > 0.0 else -100.0
    account[pol.ACC_STREAK] = book[BOOK_STREAK]
    account[pol.ACC_BROKEN_STREAK] = book[BOOK_BROKEN]
    account[pol.ACC_WINS_SINCE] = book[BOOK_WINS]
    account[pol.ACC_OPEN_COUNT] = book[BOOK_OPEN]
    account[pol.ACC_EXPOSURE_PCT] = book[BOOK_EXPOSURE]
    account[pol.ACC_EQUITY] = equity
    account[pol.ACC_QUALITY] = quality
    account[pol.ACC_RISK_AGE_S] = 0.0


@kernel
def trading_stage(  # type: ignore[no-untyped-def]
    now_ns, book, market, performance, symbols, levels, costs, losses, loss_limit_pct, governor, inputs, regimes,
):
    """Compute trading's inputs of a moment, with or without a policy; returns (governor level, regimes changed)."""
    level = limits_step(now_ns, book, losses, loss_limit_pct, governor)
    return level, fill_inputs(market, performance, levels, costs, symbols, inputs, regimes)


@kernel
def policy_stage(  # type: ignore[no-untyped-def]
    now_ns, book, market, losses, profile, inputs, account, slots, mem, policy,
):
    """Step the policy over all slots; returns how many changed. Nothing of it is read by an observed run's trading.

    *losses* begins with the ring of the last 24 hours, in which :func:`trading_stage` has noted this equity.
    """
    fill_account(book, losses, market[0, col.QUALITY], account)
    fill_overall(inputs)
    return step_slots(float(now_ns // _NS_PER_SECOND), profile, inputs, account, slots, mem, losses, policy)
