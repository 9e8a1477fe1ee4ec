"""The account stage and the policy of a sweep: every slot at every bar, evaluated anew only where that can matter.

The rules see a market as a handful of levels. Those levels are packed into one key per slot and moment, once for all
settings that share thresholds. A slot whose key and account are what they were when its evaluation last changed
nothing, and in which nothing waits, would change nothing again: it *rests*, and the same evaluation is not repeated.
What is in force is that of ``policy.compiled.step_slots`` at every bar.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import DIR_DOWN, DIR_UP, TREND_RANGING, TREND_TRENDING, TREND_UNKNOWN
from quantum_trader.domain.indicators import vol_level
from quantum_trader.engine import stage
from quantum_trader.engine.stage import fill_account, limits_step, measure_symbol
from quantum_trader.lab.sweep.columns import account_seen, counter, measure, wanted
from quantum_trader.lab.sweep.layout import (
    KEY_COST,
    KEY_SET,
    KEY_SLIPPAGE,
    KEY_SPREAD,
    KEY_VOL,
    STATE_DIRECTION,
    STATE_LIQUIDITY,
    STATE_STALE,
)
from quantum_trader.lab.sweep.memory import shift
from quantum_trader.market import performance as perf
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.policy import core, stability
from quantum_trader.policy import layout as pol
from quantum_trader.signals import columns as col

_commonest_trend = compiled(core.commonest_trend)
_vol_level = compiled(vol_level)
_cost_level = compiled(core.cost_level)
_liquidity_level = compiled(core.liquidity_level)
_symbol_refusal = compiled(core.symbol_refusal)
_decide = compiled(core.decide)
_account_refusals = compiled(core.account_refusals)
_risk_is_stale = compiled(core.risk_is_stale)
_policy_account = compiled(stability.account_step)
_clamp_clock = compiled(stability.clamp_clock)
_looseness = compiled(stability.looseness)
_hold_slot = compiled(stability.hold_slot)

_OK = pol.FIELD_SYMBOL * pol.HOLD_WIDTH + pol.HOLD_CURRENT
_NEVER_BARS = np.inf


# ---- once for all settings -----------------------------------------------------------------------------------------
@kernel
def pack_states(inputs, state, measures):
    """Pack what needs no threshold of the policy's *inputs* (S+1, IN_SIZE), and keep what does."""
    for s in range(inputs.shape[0]):
        row = inputs[s]
        fresh = 0 if row[pol.IN_AGE_BARS] <= core.MAX_MARKET_AGE_BARS else 1
        liquidity = _liquidity_level(row[pol.IN_VOLUME_RATIO]) + 1
        state[s] = (
            int(row[pol.IN_TREND]) | int(row[pol.IN_DIRECTION]) << STATE_DIRECTION | fresh << STATE_STALE
            | liquidity << STATE_LIQUIDITY
        )
        measures[s, measure.VOL_RATIO] = row[pol.IN_VOL_RATIO]
        measures[s, measure.SPREAD_BPS] = row[pol.IN_SPREAD_BPS]
        measures[s, measure.SLIPPAGE_BPS] = row[pol.IN_SLIPPAGE_BPS]


# ---- once for all settings with the same models --------------------------------------------------------------------
@kernel
def with_trends(state, row, trends):
    """The packed *state* (T, S + 1) with the *trends* (D, S, 2) of the decision *row* (T,) names in each moment."""
    out = state.copy()
    moments, slots = state.shape
    for t in range(moments):
        counts = np.zeros(3)
        up = down = 0.0
        for s in range(1, slots):
            trend, direction = int(trends[row[t], s - 1, 0]), int(trends[row[t], s - 1, 1])
            out[t, s] = _with_trend(int(state[t, s]), trend, direction)
            if int(state[t, s]) >> STATE_STALE & 1:
                continue
            counts[trend] += 1.0
            up += 1.0 if direction == DIR_UP else 0.0
            down += 1.0 if direction == DIR_DOWN else 0.0
        trend, direction = _commonest_trend(
            counts[TREND_UNKNOWN], counts[TREND_RANGING], counts[TREND_TRENDING], up, down
        )
        out[t, 0] = _with_trend(int(state[t, 0]), trend, direction)
    return out


@kernel
def _with_trend(state, trend, direction):
    """The packed *state* of one market with another *trend* and *direction*."""
    return state >> STATE_STALE << STATE_STALE | trend | direction << STATE_DIRECTION


# ---- once for all settings with the same thresholds ----------------------------------------------------------------
@kernel
def stop_distance(stop_atr, atr):
    """Distance of a catastrophe stop in price units, as ``stage.SYM_STOP`` has it; NaN before the *atr* is known."""
    distance = stop_atr * atr
    return distance if distance > 0.0 else np.nan


@kernel
def measured_symbol(measures, state, close, atr, fee_bps, funding_8h, stop, hours, row, constants):
    """Volatility code (as exits see it) and cost in R of a symbol with *measures* (measure.SIZE,) and packed *state*.

    *stop* and *hours* are those of ``stage.SYM_STOP`` and ``stage.SYM_HOURS``. Fills *row* (signals.columns.SIZE,) and
    *constants* (stage.SYM_SIZE,).
    """
    row[col.VOL_RATIO], row[col.SPREAD_BPS] = measures[measure.VOL_RATIO], measures[measure.SPREAD_BPS]
    row[col.SLIPPAGE_BPS], row[col.TREND] = measures[measure.SLIPPAGE_BPS], int(state) & 3
    row[col.CLOSE], row[col.ATR_1H] = close, atr
    constants[stage.SYM_FEE_BPS], constants[stage.SYM_FUNDING] = fee_bps, funding_8h
    constants[stage.SYM_STOP], constants[stage.SYM_HOURS] = stop, hours
    return measure_symbol(row, constants)


@kernel
def _measured_at(t, s, tape, fee_bps, targets, row, constants):
    """Volatility code and cost in R of symbol *s* at moment *t*."""
    stop, hours = _score_terms(t, s, targets)
    return measured_symbol(
        tape.measures[t, s + 1], tape.state[t, s + 1], tape.mark[t, s], tape.atr[t, s], fee_bps[s],
        tape.funding_8h[t, s], stop, hours, row, constants,
    )


@kernel
def _score_terms(t, s, targets):
    """Stop and hours of a position that a model's score would hold, as ``stage.SYM_STOP`` and ``SYM_HOURS``."""
    if targets is None:
        return 0.0, 0.0
    if targets.by_score == 0:
        return 0.0, 0.0
    return stop_distance(targets.stop_atr, targets.atr[targets.row[t], s]), targets.hours


@kernel
def _state_at(t, s, tape, targets):
    """The packed state of slot *s* at moment *t* as the policy's inputs have it."""
    if targets is None:
        return tape.state[t, s]
    return targets.state[t, s]


@kernel
def fill_levels(tape, fee_bps, thresholds, levels):
    """Hold the tape's measures against *thresholds* (a profile vector) for every moment and signal."""
    row, constants, targets = np.zeros(col.SIZE), np.zeros(stage.SYM_SIZE), levels.targets
    moments, slots = tape.state.shape
    for t in range(moments):
        for s in range(slots):
            measures = tape.measures[t, s]
            vol = _vol_level(
                measures[measure.VOL_RATIO], thresholds[pol.PROFILE_HIGH_VOL], thresholds[pol.PROFILE_EXTREME_VOL]
            )
            spread = _cost_level(measures[measure.SPREAD_BPS], thresholds[pol.PROFILE_HIGH_SPREAD_BPS]) + 1
            slippage = _cost_level(measures[measure.SLIPPAGE_BPS], thresholds[pol.PROFILE_HIGH_SLIPPAGE_BPS]) + 1
            dear = 0
            if s > 0:
                _, cost = _measured_at(t, s - 1, tape, fee_bps, targets, row, constants)
                dear = 1 if cost > thresholds[pol.PROFILE_MAX_COST_R] else 0
            levels.key[t, s] = (
                int(_state_at(t, s, tape, targets)) | vol << KEY_VOL | spread << KEY_SPREAD | slippage << KEY_SLIPPAGE
                | dear << KEY_COST | 1 << KEY_SET
            )
        for n in range(tape.signal_from[t], tape.signal_from[t + 1]):
            vol, cost = _measured_at(t, tape.signal_symbol[n], tape, fee_bps, targets, row, constants)
            levels.signal_vol[n], levels.signal_cost_r[n] = vol, cost


# ---- one setting, one moment ---------------------------------------------------------------------------------------
@kernel
def _see_account(now_s, losses, profile, policy):
    """Advance the policy's latches; returns (time of the last evaluation, whether the rules see another account)."""
    account, memory, seen = policy.account, policy.memory, policy.seen
    now_s, last_s = _clamp_clock(memory, now_s)
    daily_pnl, equity = account[pol.ACC_DAILY_PNL_PCT], account[pol.ACC_EQUITY]
    drawdown, latched = _policy_account(
        memory, losses, now_s, daily_pnl, account[pol.ACC_DRAWDOWN_PCT], equity, profile
    )
    stale = 1.0 if _risk_is_stale(account[pol.ACC_RISK_AGE_S], equity, True) else 0.0
    bits = _account_refusals(
        daily_pnl, drawdown, latched, account[pol.ACC_OPEN_COUNT], account[pol.ACC_EXPOSURE_PCT], profile, None
    )
    telling = drawdown if profile[pol.PROFILE_PER_DRAWDOWN] != 0.0 else 0.0
    low_quality = 1.0 if account[pol.ACC_QUALITY] < core.QUALITY_FLOOR else 0.0
    same = (
        seen[account_seen.BITS] == bits and seen[account_seen.STREAK] == account[pol.ACC_STREAK]
        and seen[account_seen.BROKEN] == account[pol.ACC_BROKEN_STREAK]
        and seen[account_seen.WINS] == account[pol.ACC_WINS_SINCE] and seen[account_seen.DRAWDOWN] == telling
        and seen[account_seen.STALE] == stale and seen[account_seen.QUALITY] == low_quality
    )
    seen[account_seen.BITS], seen[account_seen.STREAK] = bits, account[pol.ACC_STREAK]
    seen[account_seen.BROKEN] = account[pol.ACC_BROKEN_STREAK]
    seen[account_seen.WINS], seen[account_seen.DRAWDOWN], seen[account_seen.STALE], seen[account_seen.QUALITY] = (
        account[pol.ACC_WINS_SINCE], telling, stale, low_quality
    )
    seen[account_seen.DAILY_PNL], seen[account_seen.LATCHED] = daily_pnl, 1.0 if latched else 0.0
    seen[account_seen.OPEN], seen[account_seen.EXPOSURE] = account[pol.ACC_OPEN_COUNT], account[pol.ACC_EXPOSURE_PCT]
    return last_s, drawdown, not same


@kernel
def _refuse(s, key, performance, profile, policy):
    """Refusal bits of the symbol in slot *s*: by its own results, and by its cost as *key* has it."""
    row = shift(performance, (s - 1) * perf.SIZE)
    cost = np.inf if key >> KEY_COST & 1 else 0.0
    policy.refused[s] = _symbol_refusal(
        row[perf.TAG], row[perf.WINRATE], row[perf.AVG_R], row[perf.JUDGED], row[perf.LOSSES], cost, profile
    )


@kernel
def _shares(size, policy):
    """Jaccard indices of the allowed and the disallowed symbols, now and as in force."""
    both_ok = either_ok = both_bad = either_bad = 0
    for s in range(1, size):
        now_ok, was_ok = policy.refused[s] == 0, policy.slots[s * pol.SLOT_SIZE + _OK] == 1.0
        both_ok += 1 if now_ok and was_ok else 0
        either_ok += 1 if now_ok or was_ok else 0
        both_bad += 0 if now_ok or was_ok else 1
        either_bad += 0 if now_ok and was_ok else 1
    return both_ok / either_ok if either_ok > 0 else 1.0, both_bad / either_bad if either_bad > 0 else 1.0


@kernel
def _ask_rules(s, key, drawdown, profile, policy):
    """Note what the rules say of slot *s* with the market packed in *key*."""
    account, seen, wanted_row = policy.account, policy.seen, shift(policy.wanted, s * wanted.SIZE)
    trend, direction, vol = int(key & 3), int(key >> STATE_DIRECTION & 3), int(key >> KEY_VOL & 7)
    age = _NEVER_BARS if key >> STATE_STALE & 1 else 0.0
    market = (trend, direction, vol, age)
    cost = (
        int(key >> KEY_SPREAD & 3) - 1, int(key >> KEY_SLIPPAGE & 3) - 1, int(key >> STATE_LIQUIDITY & 3) - 1, np.nan
    )
    judged = core.AccountState(
        account[pol.ACC_DAILY_PNL_PCT], drawdown, seen[account_seen.LATCHED] != 0.0, account[pol.ACC_STREAK],
        account[pol.ACC_BROKEN_STREAK], account[pol.ACC_WINS_SINCE], account[pol.ACC_OPEN_COUNT],
        account[pol.ACC_EXPOSURE_PCT], seen[account_seen.STALE] != 0.0, policy.memory[pol.MEM_HALT] != 0.0,
        account[pol.ACC_QUALITY],
    )
    allow, level, risk, confidence, entry, exit_, bits = _decide(market, cost, judged, profile, None)
    symbol_ok = 1.0 if s == 0 or policy.refused[s] == 0 else 0.0
    candidate = _looseness(
        allow, level, risk, confidence, entry, exit_, profile[pol.PROFILE_MAX_OPEN],
        profile[pol.PROFILE_EXPOSURE_LIMIT], symbol_ok,
    )
    for field in range(pol.FIELD_COUNT):
        wanted_row[field] = candidate[field]
    wanted_row[wanted.BITS] = bits
    policy.wanted_for[s] = key


@kernel
def _evaluate(s, key, now_s, last_s, drawdown, anew, allowed, disallowed, profile, policy):
    """Evaluate slot *s*, write what is in force, and note whether the slot has come to rest.

    The rules are asked when key or account changed, or *anew*; otherwise they would say the same.
    """
    slot, out = shift(policy.slots, s * pol.SLOT_SIZE), shift(policy.out, s * pol.OUT_SIZE)
    candidate = shift(policy.wanted, s * wanted.SIZE)
    if anew or policy.wanted_for[s] != key:
        _ask_rules(s, key, drawdown, profile, policy)
    if s > 0:
        allowed = disallowed = 1.0 if candidate[pol.FIELD_SYMBOL] == slot[_OK] else 0.0
    moved, held = _hold_slot(slot, candidate, now_s, last_s, allowed, disallowed, profile)
    for field in range(pol.FIELD_COUNT):
        out[field] = slot[field * pol.HOLD_WIDTH]
    out[pol.OUT_RISK_PROFILE] = 0.0 - out[pol.OUT_RISK_PROFILE]
    out[pol.OUT_MIN_CONF] = 0.0 - out[pol.OUT_MIN_CONF]
    out[pol.OUT_ENTRY] = 0.0 - out[pol.OUT_ENTRY]
    out[pol.OUT_EXIT] = 0.0 - out[pol.OUT_EXIT]
    out[pol.OUT_BITS], out[pol.OUT_HELD] = int(candidate[wanted.BITS]) | policy.refused[s], held
    policy.rest[s] = key if moved == 0 and held == 0 else 0  # what waits to loosen counts each evaluation


@kernel
def _step_slots(keys, now_s, last_s, drawdown, anew, size, counts, performance, profile, policy):
    """Bring the *size* slots to this moment; *anew* evaluates all of them."""
    rest = policy.rest
    stirred = 0
    for s in range(1, size):
        if anew or rest[s] != keys[s]:
            _refuse(s, keys[s], performance, profile, policy)
            stirred += 1
    counts[counter.EVALUATED] += stirred
    if anew or rest[0] != keys[0]:
        allowed, disallowed = _shares(size, policy)
        _evaluate(0, keys[0], now_s, last_s, drawdown, anew, allowed, disallowed, profile, policy)
        counts[counter.EVALUATED] += 1
    if stirred == 0:
        return
    for s in range(1, size):
        if anew or rest[s] != keys[s]:
            _evaluate(s, keys[s], now_s, last_s, drawdown, anew, 1.0, 1.0, profile, policy)


@kernel
def policy_step(now_ns, quality, keys, equity, exposure, profile, symbols, loss_limit_pct, desk):
    """Run the account stage of a moment at *now_ns*: limits, governor, policy. Returns the governor's level.

    *keys* (symbols + 1,) are the markets as the rules see them.
    """
    book, counts, policy = desk.book, desk.counts, desk.policy
    book[stage.BOOK_EQUITY], book[stage.BOOK_EXPOSURE], book[stage.BOOK_OPEN] = equity, exposure, counts[counter.HELD]
    book[stage.BOOK_STREAK], book[stage.BOOK_BROKEN] = counts[counter.LOSING], counts[counter.BROKEN]
    book[stage.BOOK_WINS] = counts[counter.WINS]
    level = limits_step(now_ns, book, desk.losses, loss_limit_pct, desk.governor)
    fill_account(book, desk.losses, quality, policy.account)
    now_s = float(now_ns // NS_PER_SECOND)
    last_s, drawdown, another = _see_account(now_s, desk.losses, profile, policy)
    anew = another or counts[counter.RESULTS] != 0
    counts[counter.RESULTS] = 0
    _step_slots(keys, now_s, last_s, drawdown, anew, symbols + 1, counts, desk.performance, profile, policy)
    return level
