"""The tables of a sweep: what is shared by all settings, and what one setting keeps and leaves behind.

A :class:`SweepTape` is everything that does not depend on a setting, a :class:`Rules` what is the same for all settings
of one sweep, a :class:`Desk` the state of one setting under way, a :class:`Outcome` its results. The columns of
the tables are in ``lab.sweep.columns``, one module a table, which the shapes below name.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

# ---- a symbol at the desk: flat, an order on its way, or held ------------------------------------------------------
STATE_FLAT, STATE_PENDING, STATE_HELD = 0.0, 1.0, 2.0
HELD_BY_SCORE, LEFT_BY_SCORE = 1.0, 2.0  # whether the score still wants a position that is left by it

# ---- a market as the rules see it, packed into bits ----------------------------------------------------------------
# state (uint8): trend 0-1, direction 2-3, stale 4, liquidity + 1 5-6. key (uint32): state, volatility 8-10,
# spread + 1 11-12, slippage + 1 13-14, cost above the limit 15, always set 16.
STATE_DIRECTION, STATE_STALE, STATE_LIQUIDITY = 2, 4, 5
KEY_VOL, KEY_SPREAD, KEY_SLIPPAGE, KEY_COST, KEY_SET = 8, 11, 13, 15, 16

TIER_SIZE: Final = 4  # columns of a leverage tier

PURPOSE_STOP, PURPOSE_TARGET, PURPOSE_CLOSE, PURPOSE_LIQUIDATION, PURPOSE_REDUCE = 0, 1, 2, 3, 4
# An order is ORDER_KINDS * symbol + kind; ORDER_REST is an entry that rests post-only.
ORDER_ENTRY, ORDER_CLOSE, ORDER_ADD, ORDER_REDUCE, ORDER_REST, ORDER_KINDS = 0, 1, 2, 3, 4, 5
REST_STAYS, REST_GOES_TO_MARKET, REST_ENDS = 0.0, 1.0, 2.0  # what becomes of such an entry after the moment
ERROR_NOT_FLAT: Final = 1  # a closing fill left something: the sweep must not be trusted
ERROR_FULL: Final = 2  # more signals of models than the outcome has room for: run it again with more
GUARD_CODE: Final = 100  # decision codes from here on are the guard's refusals; below, ROAD codes of engine.road


class SweepTape(NamedTuple):
    """A recording with everything that does not depend on a setting. T moments, S symbols, N signals and intents."""

    ts_ns: Any  # int64 (T,) open of the bars
    ohlc: Any  # (T, S, 4)
    present: Any  # uint8 (T, S)
    mark: Any  # (T, S) newest close as the engine knows it
    cost_bps: Any  # (T + 1, S) taker's cost in a calm market: row t before moment t, row t + 1 after it
    funding_count: Any  # int64 (T, S) funding times up to the open
    funding_rate: Any  # (F,) rates, symbol after symbol
    funding_from: Any  # int64 (S + 1,)
    quality: Any  # (T,)
    signal_from: Any  # int64 (T + 1,) rows of a moment: its signals, then the outside intents due at its close
    signal_symbol: Any  # int64 (N,)
    signals: Any  # (N, signal.SIZE)
    shadow_span: Any  # int64 (T, 2) shadow results known at a moment's close
    shadow_symbol: Any  # int64 (M,)
    shadow_signal: Any  # int64 (M,) index of the signal
    shadow_r: Any  # (M,)
    hole_from: Any  # int64 (T + 1,)
    holes: Any  # int64 (H, 3) symbol, first and last + 1 of its shadow results
    state: Any  # uint8 (T, S + 1) trend, direction, staleness and liquidity of every market, packed; row 0 overall
    measures: Any  # (T, S + 1, measure.SIZE) what thresholds are held against
    atr: Any  # (T, S) ATR of hourly bars
    funding_8h: Any  # (T, S) the newest known funding rate, per 8 hours
    funding_due: Any  # (T, S) sum of the rates that fell due since the moment before, as the engine knows them
    intent_from: Any  # int64 (T,) the row behind a moment's last signal, where its intents begin
    volume_ratio: Any  # (T, S) volume of the last hour over the mean of the last 24


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
    funding_due: Any
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
    fixed_volatility_pct: Any
    limits: Any  # (limit_column.SIZE,) the guard's own
    instruments: Any  # (S, instrument.SIZE)
    tiers: Any  # (S, K, 4)
    leverage: Any
    resume_hours: Any
    trail_step_atr: Any
    default_cost_bps: Any
    range_bps: Any  # of a taker's slippage, times range/price of a 4-hour bar
    liquidation_bps: Any  # fee of a liquidation on top of the taker's
    maker_bars: Any  # for how many bars an entry rests post-only; 0: it goes at market
    maker_bps: Any  # how far the price must trade through an order that rests, basis points
    gates: Any  # bits of the enforced gates of models.gates; 0: none, and then nothing of them is computed
    gate_limits: Any  # (2, gate_limit.SIZE) of signals whose positions the regime table ends, and a score holds
    gate_hours: Any  # that a signal of the ensemble is meant for


class Targets(NamedTuple):
    """What the models of a setting want at each moment. D decisions, S symbols; row 0 is before the first decision.

    A decision is a moment with new forecasts. A sweep without models has None in the place of this and of
    :class:`Following`, and code of its own is compiled for it, which knows nothing of models.
    """

    by_score: Any  # 1: positions are left by the score; 0: by the regime table
    stop_atr: Any  # of the catastrophe stop, in ATRs of the models' bars
    shadow_hours: Any  # longest time of a shadow trade
    hours: Any  # time over which the funding of a round trip is estimated, before the share that a trade is held
    row: Any  # int64 (T,) the newest decision at each moment
    target: Any  # int8 (D, S) +1, -1 or 0
    decided: Any  # uint8 (D, S) symbols whose forecast this decision has renewed
    small: Any  # uint8 (D, S) scores that would not enter a position from flat
    confidence: Any  # (D, S)
    atr: Any  # (D, S) of the models' bars, price units; NaN: not known yet
    least: Any  # (D, S) notional to hold at least, in equities, for a portfolio volatility of 100 % a year
    most: Any  # (D, S) notional to hold at most
    state: Any  # uint8 (T, S + 1) as that of the tape, with trends on the models' bars where those are judged
    expected_bps: Any  # (D, S) gross return that is expected over the horizon; NaN: not known
    cost_bps: Any  # (D, S) of that time


class Following(NamedTuple):
    """What one setting keeps to follow models: the signal in hand and the shadow trades, as ``signals.shadow`` has it.

    Which signals there are depends on what is held, so that shadow trades cannot be computed once for all settings.
    """

    signal: Any  # (signal.SIZE,)
    market: Any  # (signals.columns.SIZE,) the symbol's measures, as far as its cost needs them
    terms: Any  # (stage.SYM_SIZE,)
    fees: Any  # (S,) taker fees, basis points
    held: Any  # (S, MAX_OPEN, SHADOW_SIZE)
    counts: Any  # int64 (S, COUNTS_SIZE)
    marks: Any  # (S, MARKS_SIZE)
    resolved: Any  # (S * MAX_OPEN, RESULT_SIZE)
    max_bars: Any
    range_bps: Any
    first: Any  # row of the first signal in the outcome: the tape has the ones before
    room: Any  # signals that the outcome has room for


class Entry(NamedTuple):
    """A signal or intent on its way in: what it says, and how its position would be left."""

    row: Any  # (signal.SIZE,)
    exits: Any  # stop ATR, target ATR, break-even R, trail ATR, longest hours
    by_score: Any  # 1.0: left when the score no longer wants it
    cost_r: Any
    wanted: Any  # quantity to hold in all; infinite where the risk alone decides
    volatility_pct: Any  # target that it is sized for; 0.0: its risk alone


class Levels(NamedTuple):
    """What depends on a setting's thresholds and models alone; shared by the settings that have the same."""

    signal_vol: Any  # int64 (N,) VOL_* code of the symbol at its signal
    signal_cost_r: Any  # (N,) estimated round trip at the signal, in R
    key: Any  # uint32 (T, S + 1) everything the rules see of a market, packed; never 0
    targets: Targets | None  # None: the tape has the signals


class PolicyState(NamedTuple):
    """The policy of one setting under way."""

    account: Any  # (ACC_SIZE,) the account values that the policy reads
    seen: Any  # (account_seen.SIZE,) the account as the rules last saw it
    slots: Any  # (S + 1, SLOT_SIZE)
    memory: Any  # (MEM_SIZE,)
    out: Any  # (S + 1, OUT_SIZE) what is in force
    refused: Any  # int64 (S + 1,) refusal bits of the symbols
    rest: Any  # uint32 (S + 1,) the key under which a slot has come to rest; 0: it has not
    wanted: Any  # (S + 1, wanted.SIZE) what the rules last said of each slot
    wanted_for: Any  # uint32 (S + 1,) the key they said it for


class Desk(NamedTuple):
    """One setting under way."""

    symbols: Any  # (S, position.SIZE)
    stamps: Any  # int64 (S, stamp.SIZE)
    held: Any  # int64 (S,) symbols held, in the order they were opened
    pending: Any  # int64 (S,) symbols with an opening order, in the order they were approved
    waiting: Any  # int64 (ORDER_KINDS * S,) orders that fill at the next open, and entries that rest
    opened: Any  # int64 (S,) symbols opened or added to at this open
    counts: Any  # int64 (counter.SIZE,)
    money: Any  # (money.SIZE,)
    performance: Any  # (S, performance.SIZE)
    losses: Any  # (LOSS_SIZE,) begins with the equities of the last 24 hours
    rate: Any
    governor: Any
    book: Any  # (stage.BOOK_SIZE,)
    policy: PolicyState
    intent_row: Any
    account_row: Any
    limit_row: Any


class Outcome(NamedTuple):
    """What one setting leaves behind."""

    decision: Any  # int16 (N,) rows of the tape, then the signals of models as they come
    quantity: Any  # (N,)
    trade_whole: Any  # int64 (N, trade_whole.SIZE)
    trade: Any  # (N, trade.SIZE)
    equity: Any  # (P,) the last of each period, NaN where it had no moment
    gross: Any  # (P,) notional of all positions at the same moments
    first_period: Any
