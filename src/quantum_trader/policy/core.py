"""The rules, each defined once, as scalar functions over numbers and the profile vector.

:func:`decide` applies rules A to F to one market and one account; :func:`symbol_refusal` applies C1 and D2 to one
symbol. They are plain Python for the library and machine code for the engine and the sweep. *trace* collects
``(rule, field, before, after)`` codes for the explanation; compiled callers pass None and the branch vanishes.

The inputs are three values: a :data:`MarketCodes`, a :data:`Cost` and an :class:`AccountState`. A decision under way is
the tuple ``(risk_pct, confidence, entry, exit, bits)``: *entry* and *exit* are codes, *bits* are the refusals so far. A
rule that changes a decision takes it and returns the changed one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from quantum_trader.domain.enums import (
    DIR_DOWN,
    DIR_NONE,
    DIR_UP,
    ENTRY_AGGRESSIVE,
    ENTRY_DEFENSIVE,
    ENTRY_NORMAL,
    EXIT_FAST_TP,
    EXIT_TREND_FOLLOW,
    LEVEL_HIGH,
    LEVEL_LOW,
    LEVEL_NORMAL,
    RISK_NONE,
    RISK_NORMAL,
    RISK_REDUCED,
    TAG_BAD,
    TREND_RANGING,
    TREND_TRENDING,
    TREND_UNKNOWN,
    VOL_EXTREME,
    VOL_HIGH,
    VOL_NORMAL,
    VOL_UNKNOWN,
)
from quantum_trader.domain.scalar import scalar
from quantum_trader.policy.layout import (
    COST_HIGH,
    COST_STANDARD,
    FIELD_ALLOW,
    FIELD_ENTRY,
    FIELD_EXIT,
    FIELD_MIN_CONF,
    FIELD_RISK_PCT,
    FIELD_RISK_PROFILE,
    FLAG_STALE_REGIME,
    FLAG_STREAK_LATCH,
    LABEL_BEAR,
    LABEL_BULL,
    LABEL_CALM_TREND,
    LABEL_CHOP,
    LABEL_HIGH_VOL,
    LABEL_NORMAL,
    PROFILE_BAD_STREAK,
    PROFILE_BASE_CONFIDENCE,
    PROFILE_BASE_RISK,
    PROFILE_COMPOUND,
    PROFILE_CONF_EXTREME,
    PROFILE_CONF_LIQUIDITY,
    PROFILE_CONF_SLIPPAGE,
    PROFILE_CONF_SPREAD,
    PROFILE_COST_SENSITIVITY,
    PROFILE_DD_LIMIT,
    PROFILE_EXPOSURE_LIMIT,
    PROFILE_HIGHEST_CONF,
    PROFILE_LOWEST_RISK,
    PROFILE_MAX_COST_R,
    PROFILE_MAX_OPEN,
    PROFILE_MIN_AVG_R,
    PROFILE_MIN_WINRATE,
    PROFILE_MULT_EXTREME,
    PROFILE_MULT_SLIPPAGE,
    PROFILE_MULT_SPREAD,
    PROFILE_PER_DRAWDOWN,
    PROFILE_PER_LOSS,
    PROFILE_RECOVERY,
    PROFILE_RECOVERY_AFTER,
    PROFILE_ROWS,
    PROFILE_STREAK_LIMIT,
    REFUSE_BAD_SYMBOL,
    REFUSE_COST,
    REFUSE_DAILY_LOSS,
    REFUSE_EXPOSURE,
    REFUSE_EXTREME_VOL,
    REFUSE_HALT,
    REFUSE_POSITIONS,
    REFUSE_STALE_RISK,
    REFUSE_ZERO_RISK,
    ROW_CONF,
    ROW_ENTRY,
    ROW_EXIT,
    ROW_RISK,
    ROW_SIZE,
    RULE_A,
    RULE_A1,
    RULE_A2,
    RULE_A3,
    RULE_A4,
    RULE_A5,
    RULE_B1,
    RULE_B2,
    RULE_B3,
    RULE_B4,
    RULE_CLAMP,
    RULE_D1,
    RULE_D2,
    RULE_D3,
    RULE_E1,
    RULE_F1,
    RULE_F2,
    RULE_HALT,
    RULE_P1,
    RULE_P2,
    RULE_R1,
    RULE_ZERO,
)

State = tuple[float, float, int, int, int]  # risk_pct, confidence, entry, exit, refusal bits
MarketCodes = tuple[int, int, int, float]  # trend, direction, volatility codes and age in bars
Cost = tuple[int, int, int, float]  # spread, slippage, liquidity codes and cost in R; -1 and NaN where not measured


class AccountState(NamedTuple):
    """The account as the rules take it; percentages are percent, *quality* is NaN where not measured."""

    daily_pnl: float  # percent since UTC midnight
    drawdown: float  # percent from the day's peak, 0 or negative
    latched: bool  # rule B1 is in force from an earlier evaluation
    streak: float  # losing trades in a row
    broken_streak: float  # the losing streak that a win ended last
    wins_since: float  # winning trades since then
    open_count: float
    exposure: float  # percent of equity
    stale: bool  # rule F2
    halted: bool
    quality: float  # recent hit rate of the signal ensemble, 0..1

MAX_CONFIDENCE: Final = 0.95
STREAK_RISK: Final = 0.3  # B2
STREAK_CONFIDENCE: Final = 0.05  # B2
QUALITY_FLOOR: Final = 0.40  # E1
QUALITY_CONFIDENCE: Final = 0.05  # E1
MAX_MARKET_AGE_BARS: Final = 3.0  # F1
MAX_RISK_AGE_S: Final = 60.0  # F2
MIN_TRADES: Final = 5  # C1: judged by thresholds from here on
LOW_VOLUME_RATIO: Final = 0.3  # D3
NOT_MEASURED: Final = -1  # level code of a cost that is not measured

_REFUSALS: Final = (
    REFUSE_EXTREME_VOL | REFUSE_DAILY_LOSS | REFUSE_POSITIONS | REFUSE_EXPOSURE | REFUSE_COST | REFUSE_STALE_RISK
    | REFUSE_ZERO_RISK | REFUSE_HALT
)


# ---- measures to levels -------------------------------------------------------------------------------------------
@scalar
def cost_level(bps: float, high_bps: float) -> int:
    """LEVEL_* code of a spread or slippage against *high_bps*; LOW below half of it; NaN: not measured."""
    if math.isnan(bps):
        return NOT_MEASURED
    if bps >= high_bps:
        return LEVEL_HIGH
    return LEVEL_LOW if bps < 0.5 * high_bps else LEVEL_NORMAL


@scalar
def liquidity_level(volume_ratio: float) -> int:
    """LEVEL_LOW when the 24-hour volume ratio is below 0.3, else LEVEL_NORMAL; NaN: not measured."""
    if math.isnan(volume_ratio):
        return NOT_MEASURED
    return LEVEL_LOW if volume_ratio < LOW_VOLUME_RATIO else LEVEL_NORMAL


@scalar
def commonest_trend(unknown: float, ranging: float, trending: float, up: float, down: float) -> tuple[int, int]:
    """The TREND_* and DIR_* codes of a market from the numbers of its fresh symbols in each state.

    A tie between trends is RANGING, then UNKNOWN; a tie between directions is none.
    """
    trend, most = TREND_UNKNOWN, unknown
    if trending > unknown:
        trend, most = TREND_TRENDING, trending
    if ranging > 0.0 and ranging >= most:
        trend = TREND_RANGING
    direction = DIR_NONE
    if trend == TREND_TRENDING and up != down:
        direction = DIR_UP if up > down else DIR_DOWN
    return trend, direction


@scalar
def next_streak(losing: int, broken: int, wins: int, won: bool, recovery_after: int) -> tuple[int, int, int]:
    """The (losing, broken, wins_since) streak after one more trade.

    A win ends the losing streak, which becomes the broken one unless a longer one is still being recovered from.
    """
    if not won:
        return losing + 1, broken, wins
    recovering = broken > 0 and wins < recovery_after
    if losing > 0 and not (recovering and broken > losing):
        return 0, losing, 1
    return 0, broken, wins + 1


@scalar
def is_recovering(broken: float, wins: float, limit: float, recovery_after: float) -> bool:
    """Whether rule B2 is latched after its streak was broken: until *recovery_after* wins have followed."""
    return broken >= limit and wins < recovery_after


# ---- A and F1: the market -----------------------------------------------------------------------------------------
@scalar
def trend_label(trend: int, direction: int) -> int:
    """Label of a trend: BULL, BEAR, NORMAL (no direction, or nothing known) or CHOP."""
    if trend == TREND_RANGING:
        return LABEL_CHOP
    if trend == TREND_TRENDING and direction == DIR_UP:
        return LABEL_BULL
    if trend == TREND_TRENDING and direction == DIR_DOWN:
        return LABEL_BEAR
    return LABEL_NORMAL


@scalar
def prefer_entry(first: int, second: int) -> int:
    """The entry mode that wins: DEFENSIVE, then AGGRESSIVE, then NORMAL."""
    if first == ENTRY_DEFENSIVE or second == ENTRY_DEFENSIVE:
        return ENTRY_DEFENSIVE
    if first == ENTRY_AGGRESSIVE or second == ENTRY_AGGRESSIVE:
        return ENTRY_AGGRESSIVE
    return ENTRY_NORMAL


@scalar
def apply_row(label: int, rule: int, profile: Sequence[float], state: State, trace: list[Any] | None) -> State:
    """Apply the profile's row of *label*: risk multiplier, confidence adjustment, entry and exit vote."""
    at = PROFILE_ROWS + ROW_SIZE * label
    risk, confidence, entry, exit_, bits = state
    new_risk = risk * profile[at + ROW_RISK]
    new_confidence = confidence + profile[at + ROW_CONF]
    new_entry = prefer_entry(entry, int(profile[at + ROW_ENTRY]))
    new_exit = max(exit_, int(profile[at + ROW_EXIT]))
    if trace is not None:
        trace_change(trace, rule, state, (new_risk, new_confidence, new_entry, new_exit, bits))
    return new_risk, new_confidence, new_entry, new_exit, bits


@scalar
def market_rows(
    trend: int, direction: int, vol: int, profile: Sequence[float], state: State, trace: list[Any] | None
) -> State:
    """Rules A, A1, A2, A3: the rows of the labels that apply, one of them or trend and volatility both."""
    if profile[PROFILE_COMPOUND] == 0.0:
        label = LABEL_HIGH_VOL if vol == VOL_HIGH else trend_label(trend, direction)
        return apply_row(label, RULE_A, profile, state, trace)
    label = trend_label(trend, direction)
    state = apply_row(label, RULE_A2 if label == LABEL_CHOP else RULE_A, profile, state, trace)
    if trend == TREND_TRENDING and vol == VOL_NORMAL:
        state = apply_row(LABEL_CALM_TREND, RULE_A1, profile, state, trace)
    if vol == VOL_HIGH:
        state = apply_row(LABEL_HIGH_VOL, RULE_A3, profile, state, trace)
    return state


@scalar
def market_is_stale(trend: int, vol: int, age_bars: float) -> bool:
    """Whether F1 applies: the state is unknown, not finite or older than three of its bars."""
    return trend == TREND_UNKNOWN or vol == VOL_UNKNOWN or not age_bars <= MAX_MARKET_AGE_BARS


@scalar
def market_rules(market: MarketCodes, profile: Sequence[float], trace: list[Any] | None) -> tuple[State, float]:
    """The decision after rules A to A4 and F1, and the most risk (percent) that later rules may reach."""
    trend, direction, vol, age_bars = market
    base = profile[PROFILE_BASE_RISK]
    start = (base, profile[PROFILE_BASE_CONFIDENCE], ENTRY_NORMAL, EXIT_TREND_FOLLOW, 0)
    known = trend != TREND_UNKNOWN
    state = market_rows(trend, direction, vol, profile, start, trace if known else None) if known else start
    ceiling = max(base, state[0])
    if vol == VOL_EXTREME:
        before = state
        state = (
            state[0] * profile[PROFILE_MULT_EXTREME], state[1] + profile[PROFILE_CONF_EXTREME], state[2], state[3],
            state[4] | REFUSE_EXTREME_VOL,
        )
        if trace is not None:
            trace.append((RULE_A4, FIELD_ALLOW, 1.0, 0.0))
            trace_change(trace, RULE_A4, before, state)
    if market_is_stale(trend, vol, age_bars):
        before = state
        state = (
            min(state[0], base * profile[PROFILE_LOWEST_RISK]),
            max(state[1], profile[PROFILE_BASE_CONFIDENCE] + profile[PROFILE_HIGHEST_CONF]),
            ENTRY_DEFENSIVE, EXIT_FAST_TP, state[4] | FLAG_STALE_REGIME,
        )
        if trace is not None:
            trace_change(trace, RULE_F1, before, state)
    return state, ceiling


@scalar
def risk_is_stale(age_s: float, equity: float, given: bool) -> bool:
    """Whether F2 applies: the risk state is more than 60 s from now, or a *given* equity is not finite or <= 0."""
    return not abs(age_s) <= MAX_RISK_AGE_S or (given and not (math.isfinite(equity) and equity > 0.0))


# ---- B: the account -------------------------------------------------------------------------------------------------
@scalar
def account_refusals(
    daily_pnl: float, drawdown: float, latched: bool, open_count: float, exposure: float, profile: Sequence[float],
    trace: list[Any] | None
) -> int:
    """Rules B1 (latched from outside), B3 and B4 as refusal bits."""
    bits = 0
    limit = -profile[PROFILE_DD_LIMIT]
    hit = drawdown <= limit or daily_pnl <= limit
    if latched or hit:
        bits |= REFUSE_DAILY_LOSS
        if trace is not None:
            figure = (min(drawdown, daily_pnl),) if hit else ()
            trace.append((RULE_B1, FIELD_ALLOW, 1.0, 0.0, *figure))
    if open_count >= profile[PROFILE_MAX_OPEN]:
        bits |= REFUSE_POSITIONS
        if trace is not None:
            trace.append((RULE_B3, FIELD_ALLOW, 1.0, 0.0))
    if exposure >= profile[PROFILE_EXPOSURE_LIMIT]:
        bits |= REFUSE_EXPOSURE
        if trace is not None:
            trace.append((RULE_B4, FIELD_ALLOW, 1.0, 0.0))
    return bits


@scalar
def streak_rules(account: AccountState, profile: Sequence[float], state: State, trace: list[Any] | None) -> State:
    """Rule B2 with its recovery (R1), and the penalties per loss (P1) and per percent of drawdown (P2)."""
    drawdown, streak = account.drawdown, account.streak
    broken_streak, wins_since = account.broken_streak, account.wins_since
    before = state
    risk, confidence, entry, exit_, bits = state
    limit = profile[PROFILE_STREAK_LIMIT]
    in_streak = streak >= limit
    recovering = is_recovering(broken_streak, wins_since, limit, profile[PROFILE_RECOVERY_AFTER])
    if in_streak or recovering:
        risk, confidence, entry = risk * STREAK_RISK, confidence + STREAK_CONFIDENCE, ENTRY_DEFENSIVE
        bits |= FLAG_STREAK_LATCH
    if trace is not None:
        trace_change(trace, RULE_B2, before, (risk, confidence, entry, exit_, bits))
    before_recovery = risk
    if recovering and not in_streak:
        for _ in range(int(wins_since)):
            risk *= profile[PROFILE_RECOVERY]
    before_loss = risk
    risk *= max(0.0, 1.0 - profile[PROFILE_PER_LOSS] * streak)
    before_drawdown = risk
    risk *= max(0.0, 1.0 - profile[PROFILE_PER_DRAWDOWN] * abs(min(0.0, drawdown)))
    if trace is not None:
        trace_number(trace, RULE_R1, FIELD_RISK_PCT, before_recovery, before_loss)
        trace_number(trace, RULE_P1, FIELD_RISK_PCT, before_loss, before_drawdown)
        trace_number(trace, RULE_P2, FIELD_RISK_PCT, before_drawdown, risk)
    return risk, confidence, entry, exit_, bits


# ---- D and E: costs and the ensemble --------------------------------------------------------------------------------
@scalar
def cost_effect(spread_high: bool, slippage_high: bool, profile: Sequence[float]) -> tuple[float, float]:
    """(risk multiplier, confidence adjustment) of rule D1 under the profile's cost sensitivity."""
    if spread_high and slippage_high:
        if profile[PROFILE_COST_SENSITIVITY] == COST_HIGH:
            return (
                profile[PROFILE_MULT_SPREAD] * profile[PROFILE_MULT_SLIPPAGE],
                profile[PROFILE_CONF_SPREAD] + profile[PROFILE_CONF_SLIPPAGE],
            )
        return (
            max(profile[PROFILE_MULT_SPREAD], profile[PROFILE_MULT_SLIPPAGE]),
            max(profile[PROFILE_CONF_SPREAD], profile[PROFILE_CONF_SLIPPAGE]),
        )
    if spread_high:
        return profile[PROFILE_MULT_SPREAD], profile[PROFILE_CONF_SPREAD]
    return profile[PROFILE_MULT_SLIPPAGE], profile[PROFILE_CONF_SLIPPAGE]


@scalar
def cost_rules(cost: Cost, profile: Sequence[float], state: State, trace: list[Any] | None) -> State:
    """Rules D1, D2 (for costs that hold for every symbol) and D3."""
    spread, slippage, liquidity, cost_in_r = cost
    if spread == LEVEL_HIGH or slippage == LEVEL_HIGH:
        before = state
        multiplier, adjustment = cost_effect(spread == LEVEL_HIGH, slippage == LEVEL_HIGH, profile)
        entry = ENTRY_DEFENSIVE if profile[PROFILE_COST_SENSITIVITY] == COST_STANDARD else state[2]
        state = (state[0] * multiplier, state[1] + adjustment, entry, state[3], state[4])
        if trace is not None:
            trace_change(trace, RULE_D1, before, state)
    if cost_in_r > profile[PROFILE_MAX_COST_R]:
        state = (state[0], state[1], state[2], state[3], state[4] | REFUSE_COST)
        if trace is not None:
            trace.append((RULE_D2, FIELD_ALLOW, 1.0, 0.0))
    if liquidity == LEVEL_LOW:
        before = state
        state = (state[0], state[1] + profile[PROFILE_CONF_LIQUIDITY], state[2], state[3], state[4])
        if trace is not None:
            trace_change(trace, RULE_D3, before, state)
    return state


@scalar
def quality_rule(quality: float, state: State, trace: list[Any] | None) -> State:
    """Rule E1: the signal ensemble has done badly lately (NaN: not measured)."""
    if not quality < QUALITY_FLOOR:
        return state
    after = (state[0], state[1] + QUALITY_CONFIDENCE, state[2], state[3], state[4])
    if trace is not None:
        trace_change(trace, RULE_E1, state, after)
    return after


# ---- C1 and D2: one symbol ------------------------------------------------------------------------------------------
@scalar
def symbol_is_bad(
    tag: int, winrate: float, avg_r: float, trades: float, losses: float, profile: Sequence[float]
) -> bool:
    """Whether rule C1 bans the symbol: tagged BAD, or below a threshold of the profile with 5 trades or more."""
    if tag == TAG_BAD:
        return True
    return trades >= MIN_TRADES and (
        winrate < profile[PROFILE_MIN_WINRATE] or avg_r < profile[PROFILE_MIN_AVG_R]
        or losses >= profile[PROFILE_BAD_STREAK]
    )


@scalar
def symbol_refusal(
    tag: int, winrate: float, avg_r: float, trades: float, losses: float, cost_in_r: float,
    profile: Sequence[float]
) -> int:
    """Refusal bits of one symbol: C1 by its own results, D2 by its own round-trip cost in R (NaN: not measured)."""
    bits = REFUSE_BAD_SYMBOL if symbol_is_bad(tag, winrate, avg_r, trades, losses, profile) else 0
    return bits | REFUSE_COST if cost_in_r > profile[PROFILE_MAX_COST_R] else bits


# ---- the whole ------------------------------------------------------------------------------------------------------
@scalar
def decide(
    market: MarketCodes, cost: Cost, account: AccountState, profile: Sequence[float], trace: list[Any] | None
) -> tuple[int, int, float, float, int, int, int]:
    """Apply every rule to one market and one account: the market's, then the account's, the costs' and the ensemble's.

    Codes as in ``domain.enums``. Returns (allow, risk_profile, risk_pct, confidence, entry, exit, bits).
    """
    state, ceiling = market_rules(market, profile, trace)
    bits = account_refusals(
        account.daily_pnl, account.drawdown, account.latched, account.open_count, account.exposure, profile, trace
    )
    state = streak_rules(account, profile, state, trace)
    state = cost_rules(cost, profile, state, trace)
    risk, confidence, entry, exit_, market_bits = quality_rule(account.quality, state, trace)
    bits |= market_bits
    if account.stale:
        bits |= REFUSE_STALE_RISK
        if trace is not None:
            trace.append((RULE_F2, FIELD_ALLOW, 1.0, 0.0))
    if account.halted:
        bits |= REFUSE_HALT
        if trace is not None:
            trace.append((RULE_HALT, FIELD_ALLOW, 1.0, 0.0))
    clamped_risk = min(max(0.0, risk), ceiling)
    clamped_confidence = min(max(0.0, confidence), MAX_CONFIDENCE)
    if clamped_risk <= 0.0:
        bits |= REFUSE_ZERO_RISK
    level = RISK_NORMAL
    if market[2] == VOL_HIGH:
        level = RISK_REDUCED
    allow = 0 if bits & _REFUSALS else 1
    if trace is not None:
        trace_number(trace, RULE_CLAMP, FIELD_RISK_PCT, risk, clamped_risk)
        trace_number(trace, RULE_CLAMP, FIELD_MIN_CONF, confidence, clamped_confidence)
        trace_end(trace, level, bits)
    return allow, level if allow else RISK_NONE, clamped_risk, clamped_confidence, entry, exit_, bits


# ---- explanation (plain Python only) --------------------------------------------------------------------------------
@scalar
def trace_number(trace: list[Any] | None, rule: int, field: int, before: float, after: float) -> None:
    """Note a change of one number."""
    if trace is not None and before != after:
        trace.append((rule, field, float(before), float(after)))


@scalar
def trace_change(trace: list[Any] | None, rule: int, before: State, after: State) -> None:
    """Note what *rule* changed between two states of a decision."""
    if trace is not None:
        trace_number(trace, rule, FIELD_RISK_PCT, before[0], after[0])
        trace_number(trace, rule, FIELD_MIN_CONF, before[1], after[1])
        trace_number(trace, rule, FIELD_ENTRY, before[2], after[2])
        trace_number(trace, rule, FIELD_EXIT, before[3], after[3])


@scalar
def trace_end(trace: list[Any] | None, level: int, bits: int) -> None:
    """Note what ends a decision: A5 and a risk of zero."""
    if trace is not None:
        if level == RISK_REDUCED:
            trace.append((RULE_A5, FIELD_RISK_PROFILE, float(RISK_NORMAL), float(RISK_REDUCED)))
        if bits & REFUSE_ZERO_RISK:
            trace.append((RULE_ZERO, FIELD_ALLOW, 1.0, 0.0))
