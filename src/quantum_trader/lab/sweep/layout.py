"""The places of numbers in a sweep: what is shared by all settings, and what one setting keeps and leaves behind.

A :class:`Tape` is everything that does not depend on a setting, a :class:`Rules` what is the same for all settings of
one sweep, a :class:`Desk` the state of one setting under way, a :class:`Outcome` its results.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from quantum_trader.domain.enums import ExitReason

# ---- a symbol at the desk: flat, an order on its way, or held ------------------------------------------------------
STATE_FLAT, STATE_PENDING, STATE_HELD = 0.0, 1.0, 2.0
(
    D_STATE, D_SIGN, D_QTY, D_ENTRY, D_FIRST_STOP, D_STOP, D_TARGET, D_BEST, D_FEES, D_FUNDING, D_LEVERAGE, D_ATR,
    D_STOP_ATR, D_TARGET_ATR, D_BREAKEVEN_R, D_TRAIL_ATR, D_MAX_HOURS, D_EXIT_MODE, D_REASON, D_CLOSING, D_MARGIN,
    D_RESERVE, D_EQUITY, V_QTY, V_ENTRY, V_MARGIN, V_LIQUIDATION, V_STOP, V_TARGET, D_SIZE,
) = range(30)  # V_: as the venue has it
S_ENTRY_NS, S_FUNDED, S_SIGNAL, S_SIZE = range(4)  # whole numbers of a symbol: S_FUNDED counts funding times paid

(
    C_HELD, C_PENDING, C_WAITING, C_OPENED, C_TRADES, C_LOSING, C_BROKEN, C_WINS, C_LEVEL, C_LOSS_HALTED, C_BLOCKED,
    C_REDUCED, C_RESULTS, C_MOVED, C_EVALUATED, C_SHADOW_WINS, C_LAST_CLOSE, C_ERROR, C_SIZE,
) = range(19)  # C_RESULTS: a symbol's results changed; C_MOVED: symbols evaluated last; C_EVALUATED: slots in all
M_CASH, M_VENUE_CASH, M_EQUITY, M_FEES, M_FUNDING, M_PEAK, M_DRAWDOWN, M_SIZE = range(8)

# ---- a market as the rules see it, packed into bits ----------------------------------------------------------------
# state (uint8): trend 0-1, direction 2-3, stale 4, liquidity + 1 5-6. key (uint32): state, volatility 8-10,
# spread + 1 11-12, slippage + 1 13-14, cost above the limit 15, always set 16.
STATE_DIRECTION, STATE_STALE, STATE_LIQUIDITY = 2, 4, 5
KEY_VOL, KEY_SPREAD, KEY_SLIPPAGE, KEY_COST, KEY_SET = 8, 11, 13, 15, 16
REST_DRIFT: Final = 1 << 17  # the slot rests, but the overall one only while the symbols' slots do
B_VOL_RATIO, B_SPREAD_BPS, B_SLIPPAGE_BPS, B_SIZE = range(4)
(
    A_BITS, A_STREAK, A_BROKEN, A_WINS, A_DRAWDOWN, A_DAILY_PNL, A_LATCHED, A_STALE, A_QUALITY, A_OPEN, A_EXPOSURE,
    A_SIZE,
) = range(12)  # the account as the rules see it: A_BITS to A_QUALITY decide whether anything changed for them

BAR_OPEN, BAR_HIGH, BAR_LOW, BAR_CLOSE, BAR_SIZE = range(5)
TIER_SIZE: Final = 4

# what the rules say of a slot: looseness values by policy.layout.FIELD_*, then the refusal bits
W_BITS, W_SIZE = 9, 10

# ---- instruments and signals ---------------------------------------------------------------------------------------
I_TICK, I_STEP_SIZE, I_LEAST_QTY, I_LEAST_NOTIONAL, I_TAKER_BPS, I_SIZE = range(6)
(
    G_SIGN, G_CONFIDENCE, G_ATR, G_PRICE, G_TREND, G_QTY, G_STOP, G_LEVERAGE, G_REDUCES, G_AGE_S, G_EXPIRED, G_SIZE,
) = range(12)  # from G_QTY on of outside intents alone; G_AGE_S: age of the symbol's newest bar

# ---- trades --------------------------------------------------------------------------------------------------------
T_SYMBOL, T_SIGN, T_SIGNAL, T_ENTRY_NS, T_EXIT_NS, T_REASON, T_WHOLE_SIZE = range(7)
T_QTY, T_ENTRY, T_EXIT, T_PNL, T_R, T_FEES, T_FUNDING, T_RISK, T_EQUITY, T_SIZE = range(10)

REASON_NONE: Final = -1.0
EXIT_REASONS: Final = tuple(ExitReason)
(
    X_STOP, X_TRAILING_STOP, X_TAKE_PROFIT, X_TIMEOUT, X_SIGNAL_FLIP, X_LIQUIDATION, X_DATA_HOLE, X_UNPROTECTED,
    X_FLATTEN, X_EXTERNAL,
) = range(len(EXIT_REASONS))

PURPOSE_STOP, PURPOSE_TARGET, PURPOSE_CLOSE, PURPOSE_LIQUIDATION = 0, 1, 2, 3
ERROR_NOT_FLAT: Final = 1  # a closing fill left something: the sweep must not be trusted
GUARD_CODE: Final = 100  # decision codes from here on are the guard's refusals; below, ROAD codes of engine.road


class Tape(NamedTuple):
    """A recording with everything that does not depend on a setting. T moments, S symbols, N signals and intents."""

    ts_ns: Any  # int64 (T,) open of the bars
    ohlc: Any  # (T, S, 4)
    present: Any  # uint8 (T, S)
    mark: Any  # (T, S) newest close as the engine knows it
    cost_bps: Any  # (T + 1, S) taker's cost: row t before moment t, row t + 1 after it
    funding_count: Any  # int64 (T, S) funding times up to the open
    funding_rate: Any  # (F,) rates, symbol after symbol
    funding_from: Any  # int64 (S + 1,)
    quality: Any  # (T,)
    signal_from: Any  # int64 (T + 1,) rows of a moment: its signals, then the outside intents due at its close
    signal_symbol: Any  # int64 (N,)
    signals: Any  # (N, G_SIZE)
    shadow_span: Any  # int64 (T, 2) shadow results known at a moment's close
    shadow_symbol: Any  # int64 (M,)
    shadow_signal: Any  # int64 (M,) index of the signal
    shadow_r: Any  # (M,)
    hole_from: Any  # int64 (T + 1,)
    holes: Any  # int64 (H, 3) symbol, first and last + 1 of its shadow results
    state: Any  # uint8 (T, S + 1) trend, direction, staleness and liquidity of every market, packed; row 0 overall
    measures: Any  # (T, S + 1, B_SIZE) what thresholds are held against
    atr: Any  # (T, S) ATR of hourly bars
    funding_8h: Any  # (T, S) the newest known funding rate
    intent_from: Any  # int64 (T,) the row behind a moment's last signal, where its intents begin


class Bars(NamedTuple):
    """One moment of the tape, as pointers to its rows."""

    ts_ns: Any
    now_ns: Any  # when the bars are complete
    ohlc: Any  # (S, 4)
    present: Any
    mark: Any
    cost_bps: Any  # before the moment
    cost_after_bps: Any
    funding_count: Any
    keys: Any  # (S + 1,)
    quality: Any


class Rules(NamedTuple):
    """What is the same for every setting of a sweep."""

    size: Any  # symbols
    depth: Any  # rows of a symbol's leverage tiers
    interval_ns: Any
    period_ns: Any  # of the equity samples
    switches: Any  # int64 (6,)
    fixed_confidence: Any
    fixed_risk_pct: Any
    fixed_positions: Any
    fixed_exit: Any
    limits: Any  # (LIMIT_SIZE,) the guard's own
    instruments: Any  # (S, I_SIZE)
    tiers: Any  # (S, K, 4)
    leverage: Any
    resume_hours: Any
    trail_step_atr: Any
    default_cost_bps: Any
    liquidation_bps: Any  # fee of a liquidation on top of the taker's


class Levels(NamedTuple):
    """What depends on a setting's thresholds alone; shared by the settings that have the same."""

    signal_vol: Any  # int64 (N,) VOL_* code of the symbol at its signal
    signal_cost_r: Any  # (N,) estimated round trip at the signal, in R
    key: Any  # uint32 (T, S + 1) everything the rules see of a market, packed; never 0


class Desk(NamedTuple):
    """One setting under way."""

    symbols: Any  # (S, D_SIZE)
    stamps: Any  # int64 (S, S_SIZE)
    held: Any  # int64 (S,) symbols held, in the order they were opened
    pending: Any  # int64 (S,) symbols with an opening order, in the order they were approved
    waiting: Any  # int64 (2 S,) orders that fill at the next open: 2 * symbol, + 1 for a closing one
    opened: Any  # int64 (S,) symbols opened at this open
    counts: Any  # int64 (C_SIZE,)
    money: Any  # (M_SIZE,)
    performance: Any  # (S, N_PERF)
    losses: Any  # (LOSS_SIZE,) begins with the equities of the last 24 hours
    rate: Any
    governor: Any
    book: Any  # (stage.BOOK_SIZE,)
    account: Any  # (ACC_SIZE,) the account as the policy is told it
    seen: Any  # (A_SIZE,) the account as the rules last saw it
    slots: Any  # (S + 1, SLOT_SIZE)
    memory: Any  # (MEM_SIZE,)
    policy: Any  # (S + 1, OUT_SIZE)
    refused: Any  # int64 (S + 1,) refusal bits of the symbols
    rest: Any  # uint32 (S + 1,) the key under which a slot has come to rest; 0: it has not
    wanted: Any  # (S + 1, W_SIZE) what the rules last said of each slot
    wanted_for: Any  # uint32 (S + 1,) the key they said it for
    intent_row: Any
    account_row: Any
    limit_row: Any


class Outcome(NamedTuple):
    """What one setting leaves behind."""

    decision: Any  # int16 (N,)
    quantity: Any  # (N,)
    trade_whole: Any  # int64 (N, T_WHOLE_SIZE)
    trade: Any  # (N, T_SIZE)
    equity: Any  # (P,) the last of each period, NaN where it had no moment
    first_period: Any
