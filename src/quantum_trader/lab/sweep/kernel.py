"""One setting over a whole recording, as machine code: the decision road of the engine and the paper venue.

Nothing is decided here. Every number comes from the scalars that the engine, the policy, the risk room and the paper
venue use themselves; this module only keeps their order of events, which is that of ``engine.replay``: funding, then
waiting orders in the order they were sent, then what the open gapped through, then new stops, then the range, then
the completed bars. Markets, signals and shadow trades come ready made on the tape. Where models give the signals, what
they want comes ready made; which of it becomes a signal depends on what is held, and shadow trades are followed here.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

import math

import numpy as np
from numba import carray

from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.enums import GOV_EMERGENCY, RISK_NONE, RISK_REDUCED, TAG_BAD, VOL_HIGH
from quantum_trader.domain.instrument import floor_to, round_to
from quantum_trader.engine.accounting import (
    broken_by_command,
    counted_loss,
    net_pnl,
    percent_of,
    realised_pnl,
    risk_amount,
    weighted_r,
)
from quantum_trader.engine.road import (
    ROAD_APPROVED,
    ROAD_FLIP,
    ROAD_NO_POSITION,
    ROAD_PENDING,
    ROAD_REDUCES,
    ROAD_SIZE,
    ROAD_SPREAD,
    entry_stop,
    gate,
    planned_stop,
    resting_price,
    size_entry,
    size_intent,
)
from quantum_trader.lab.sweep.columns import (
    bar,
    counter,
    exit_reason,
    gate_limit,
    instrument,
    measure,
    money,
    position,
    signal,
    stamp,
    trade,
    trade_whole,
)
from quantum_trader.lab.sweep.layout import (
    ERROR_FULL,
    ERROR_NOT_FLAT,
    GUARD_CODE,
    HELD_BY_SCORE,
    LEFT_BY_SCORE,
    ORDER_ADD,
    ORDER_CLOSE,
    ORDER_ENTRY,
    ORDER_KINDS,
    ORDER_REDUCE,
    ORDER_REST,
    PURPOSE_CLOSE,
    PURPOSE_LIQUIDATION,
    PURPOSE_REDUCE,
    PURPOSE_STOP,
    PURPOSE_TARGET,
    REST_ENDS,
    REST_GOES_TO_MARKET,
    REST_STAYS,
    STATE_HELD,
    STATE_PENDING,
    TIER_SIZE,
    Bars,
    Desk,
    Entry,
    Following,
    Levels,
    Outcome,
    PolicyState,
    Rules,
    SweepTape,
    Targets,
)
from quantum_trader.lab.sweep.memory import pointer, shift
from quantum_trader.lab.sweep.policy import measured_symbol, policy_step, stop_distance
from quantum_trader.market import performance as perf
from quantum_trader.market.costs import fill_cost_bps, round_trip_bps
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.models.entry_features import direction_edge_bps, signal_cost_bps
from quantum_trader.models.gates import OF_FORECAST, GateInputs, GateLimits, first_gate, payoff_ratio, refused_gates
from quantum_trader.policy import layout as pol
from quantum_trader.policy.core import next_streak
from quantum_trader.policy.enforcement import SWITCH_POSITION_LIMITS, SWITCH_RISK_SIZING, Settings, settings_in_use
from quantum_trader.policy.streaks import streak_ends
from quantum_trader.risk import (
    account_column,
    exits,
    governor,
    guard,
    intent_column,
    limit_column,
    limits,
    refusal_code,
    sizing,
)
from quantum_trader.signals import shadow
from quantum_trader.venues.paper import fills

_direction_edge = compiled(direction_edge_bps)
_signal_cost = compiled(signal_cost_bps)
_round_trip = compiled(round_trip_bps)
_refused_gates = compiled(refused_gates)
_first_gate = compiled(first_gate)
_payoff_ratio = compiled(payoff_ratio)
_round_to = compiled(round_to)
_floor_to = compiled(floor_to)
_entry_after_fill = compiled(entry_after_fill)
_realised_pnl = compiled(realised_pnl)
_net_pnl = compiled(net_pnl)
_risk_amount = compiled(risk_amount)
_percent_of = compiled(percent_of)
_counted_loss = compiled(counted_loss)
_weighted_r = compiled(weighted_r)
_gate = compiled(gate)
_planned_stop = compiled(planned_stop)
_resting_price = compiled(resting_price)
_entry_stop = compiled(entry_stop)
_size_entry = compiled(size_entry)
_size_intent = compiled(size_intent)
_settings_in_use = compiled(settings_in_use)
_next_streak = compiled(next_streak)
_broken_by_command = compiled(broken_by_command)
_streak_ends = compiled(streak_ends)
_record_trade = compiled(perf.record_trade)
_record_shadow = compiled(perf.record_shadow)
_bracket = compiled(exits.bracket)
_exit_row = compiled(exits.exit_row)
_score_exit_row = compiled(exits.score_exit_row)
_next_stop = compiled(exits.next_stop)
_timed_out = compiled(exits.timed_out)
_added_stop = compiled(exits.added_stop)
_would_trigger = compiled(exits.would_trigger)
_governor_trade = compiled(governor.governor_trade)
_governor_resume = compiled(governor.governor_resume)
_operator_resumes = compiled(governor.operator_resumes)
_level_factors = compiled(governor.level_factors)
_guard_core = compiled(guard.guard_core)
_tighter = compiled(guard.tighter)
_losses_pct = compiled(limits.losses_pct)
_losses_latched = compiled(limits.losses_latched)
_note_order = compiled(limits.note_order)
_orders_last_hour = compiled(limits.orders_last_hour)
_risk_liquidation = compiled(sizing.liquidation_price)
_excess_quantity = compiled(sizing.excess_quantity)
_volatility_quantity = compiled(sizing.volatility_quantity)
_risk_weight = compiled(sizing.risk_weight)
_is_behind_liquidation = compiled(exits.is_behind_liquidation)
_taker_cost = compiled(fills.taker_cost)
_fill_cost = compiled(fill_cost_bps)
_market_price = compiled(fills.market_fill_price)
_stop_price = compiled(fills.stop_fill_price)
_target_price = compiled(fills.target_fill_price)
_limit_touched = compiled(fills.limit_touched)
_first_exit = compiled(fills.first_exit)
_liquidation_price = compiled(fills.position_liquidation_price)
_liquidation_fill = compiled(fills.liquidation_fill_price)
_initial_margin = compiled(fills.initial_margin)
_tier_cap = compiled(fills.tier_cap)
_fee = compiled(fills.fee_amount)
_funding = compiled(fills.funding_amount)

_NS_PER_SECOND = 1_000_000_000
_BAR_END_NS = 1_000_000  # a bar's last moment is one millisecond before the next one's first
_PURPOSE = (0, PURPOSE_STOP, PURPOSE_LIQUIDATION, PURPOSE_TARGET)  # by paper_fills.EXIT_*


# ---- memory --------------------------------------------------------------------------------------------------------
@kernel
def _tiers(s, rules):
    """The leverage tiers of symbol *s*, with the length that the sizing scalars ask for."""
    return carray(shift(rules.tiers, s * rules.depth * TIER_SIZE), (rules.depth, TIER_SIZE))


@kernel
def _bars(t, tape, levels, rules):
    """The rows of moment *t*."""
    at = t * rules.size
    return Bars(
        tape.ts_ns[t], tape.ts_ns[t] + rules.interval_ns, shift(tape.ohlc, at * bar.SIZE), shift(tape.present, at),
        shift(tape.mark, at), shift(tape.cost_bps, at), shift(tape.cost_bps, at + rules.size),
        shift(tape.funding_count, at), shift(tape.funding_due, at), shift(levels.key, at + t), tape.quality[t],
    )


# ---- lists ---------------------------------------------------------------------------------------------------------
@kernel
def _remove(items, count, value):
    """Take *value* out of the first *count* *items*, keeping their order; returns the new count."""
    kept = 0
    for at in range(count):
        if items[at] != value:
            items[kept] = items[at]
            kept += 1
    return kept


@kernel
def _wait(desk, order):
    """Put an order behind those that fill at the next open."""
    desk.waiting[desk.counts[counter.WAITING]] = order
    desk.counts[counter.WAITING] += 1


@kernel
def _withdraw(desk, s, kind):
    """Take the order of *kind* of symbol *s* off those that wait."""
    desk.counts[counter.WAITING] = _remove(desk.waiting, desk.counts[counter.WAITING], ORDER_KINDS * s + kind)


@kernel
def _drop_addition(desk, s):
    """Forget an addition that will not fill."""
    row = shift(desk.symbols, s * position.SIZE)
    desk.counts[counter.PENDING] = _remove(desk.pending, desk.counts[counter.PENDING], s)
    row[position.ADD_QTY] = row[position.MARGIN] = row[position.RESERVE] = 0.0


@kernel
def _close_at_next_open(desk, s, reason):
    """Send the order that closes symbol *s*, unless one is on its way; an addition on its way is cancelled."""
    row = shift(desk.symbols, s * position.SIZE)
    row[position.REASON] = reason
    if row[position.ADD_QTY] > 0.0:
        _withdraw(desk, s, ORDER_ADD)
        _drop_addition(desk, s)
    if row[position.CLOSING] == 0.0:
        row[position.CLOSING] = 1.0
        _wait(desk, ORDER_KINDS * s + ORDER_CLOSE)


@kernel
def _clear(desk, s):
    """Make symbol *s* flat and drop its resting orders."""
    row = shift(desk.symbols, s * position.SIZE)
    for column in range(position.SIZE):
        row[column] = 0.0
    row[position.REASON] = exit_reason.NONE


@kernel
def _drop_opening(desk, s, kind):
    """Forget an opening order of *kind* that will not fill."""
    if kind == ORDER_ADD:
        _drop_addition(desk, s)
    else:
        desk.counts[counter.PENDING] = _remove(desk.pending, desk.counts[counter.PENDING], s)
        _clear(desk, s)


# ---- the venue's account -------------------------------------------------------------------------------------------
@kernel
def _margin_used(rules, desk):
    """Isolated margins of all positions at the venue."""
    total = 0.0
    for s in range(rules.size):
        total += desk.symbols[s * position.SIZE + position.VENUE_MARGIN]
    return total


@kernel
def _reserved(desk, first, last, total):
    """*total* and what the opening orders at places *first* to *last* have reserved."""
    for at in range(first, last):
        kind = desk.waiting[at] % ORDER_KINDS
        if kind in (ORDER_ENTRY, ORDER_ADD, ORDER_REST):
            row = shift(desk.symbols, desk.waiting[at] // ORDER_KINDS * position.SIZE)
            qty = row[position.ADD_QTY] if kind == ORDER_ADD else row[position.QTY]
            total += row[position.RESERVE] * qty / qty
    return total


# ---- fills ---------------------------------------------------------------------------------------------------------
@kernel
def _cost_in_bar(s, bars, rules):
    """What a taker's fill of *s* costs in the bar of the moment, in basis points a side."""
    prices = shift(bars.ohlc, s * bar.SIZE)
    return _fill_cost(
        _taker_cost(bars.cost_bps[s], rules.default_cost_bps), rules.range_bps, prices[bar.OPEN], prices[bar.HIGH],
        prices[bar.LOW], rules.interval_ns,
    )


@kernel
def _book_entry(s, qty, price, fee, ts_ns, funded, rules, desk):
    """Book an opening fill at the venue and in the engine's books."""
    row, amounts, counts = shift(desk.symbols, s * position.SIZE), desk.money, desk.counts
    step = rules.instruments[s * instrument.SIZE + instrument.STEP_SIZE]
    row[position.VENUE_ENTRY] = _entry_after_fill(0.0, 0.0, qty, price)
    row[position.VENUE_MARGIN] = _initial_margin(qty, price, row[position.LEVERAGE])
    row[position.VENUE_QTY] = _round_to(qty, step)
    row[position.VENUE_LIQUIDATION] = _liquidation_of(s, rules, desk)
    amounts[money.VENUE_CASH] += 0.0 - fee
    amounts[money.CASH] -= fee
    amounts[money.FEES] += fee
    counts[counter.PENDING] = _remove(desk.pending, counts[counter.PENDING], s)
    desk.held[counts[counter.HELD]] = s
    counts[counter.HELD] += 1
    desk.opened[counts[counter.OPENED]] = s
    counts[counter.OPENED] += 1
    desk.stamps[s * stamp.SIZE + stamp.ENTRY_NS] = ts_ns
    desk.stamps[s * stamp.SIZE + stamp.FUNDED] = funded
    row[position.STATE] = STATE_HELD
    row[position.QTY], row[position.ENTRY], row[position.BEST] = qty, price, price
    row[position.PEAK_QTY] = qty
    row[position.FEES], row[position.FUNDING] = fee, 0.0
    row[position.MARGIN] = row[position.RESERVE] = row[position.LIMIT] = 0.0


@kernel
def _rests(s, desk):
    """Whether an entry of *s* rests post-only."""
    row = shift(desk.symbols, s * position.SIZE)
    return row[position.STATE] == STATE_PENDING and row[position.LIMIT] > 0.0


@kernel
def _reaches_entry(s, at_open, bars, rules, desk):
    """Whether the bar of *s*, or its open alone, trades through the price at which an entry rests."""
    if bars.present[s] == 0 or not _rests(s, desk):
        return False
    row, prices = shift(desk.symbols, s * position.SIZE), shift(bars.ohlc, s * bar.SIZE)
    low = prices[bar.OPEN] if at_open else prices[bar.LOW]
    high = prices[bar.OPEN] if at_open else prices[bar.HIGH]
    return _limit_touched(int(row[position.SIGN]), row[position.LIMIT], low, high, rules.maker_bps)


@kernel
def _fill_resting(s, ts_ns, bars, rules, desk):
    """Fill the entry of *s* that rests, at its price, or lose it when the margin no longer suffices."""
    row, terms = shift(desk.symbols, s * position.SIZE), shift(rules.instruments, s * instrument.SIZE)
    price, qty = row[position.LIMIT], _round_to(row[position.QTY], terms[instrument.STEP_SIZE])
    fee = _fee(qty, price, terms[instrument.MAKER_BPS])
    reserved = _reserved(desk, 0, desk.counts[counter.WAITING], 0.0)
    available = desk.money[money.VENUE_CASH] - _margin_used(rules, desk) - reserved
    room = available + row[position.RESERVE] * row[position.QTY] / row[position.QTY]
    _withdraw(desk, s, ORDER_REST)
    if _initial_margin(qty, price, row[position.LEVERAGE]) + fee > room:
        _drop_opening(desk, s, ORDER_REST)
    else:
        _book_entry(s, qty, price, fee, ts_ns, bars.funding_count[s], rules, desk)


@kernel
def _fill_entry(s, kept, at, count, bars, rules, desk):
    """Fill a waiting opening order at the open, or lose it when the margin no longer suffices.

    Orders at places 0 to *kept* and *at* to *count* of the waiting ones are still open, this one included.
    """
    row, terms = shift(desk.symbols, s * position.SIZE), shift(rules.instruments, s * instrument.SIZE)
    sign, open_ = int(row[position.SIGN]), bars.ohlc[s * bar.SIZE + bar.OPEN]
    adds = desk.waiting[at] % ORDER_KINDS == ORDER_ADD
    ordered = row[position.ADD_QTY] if adds else row[position.QTY]
    price = _market_price(sign, open_, _cost_in_bar(s, bars, rules), terms[instrument.TICK])
    qty = _round_to(ordered, terms[instrument.STEP_SIZE])
    fee = _fee(qty, price, terms[instrument.TAKER_BPS])
    reserved = _reserved(desk, at, count, _reserved(desk, 0, kept, 0.0))
    available = desk.money[money.VENUE_CASH] - _margin_used(rules, desk) - reserved
    room = available + row[position.RESERVE] * ordered / ordered
    if _initial_margin(qty, price, row[position.LEVERAGE]) + fee > room:
        _drop_opening(desk, s, desk.waiting[at] % ORDER_KINDS)
    elif adds:
        _book_addition(s, qty, price, fee, rules, desk)
    else:
        _book_entry(s, qty, price, fee, bars.ts_ns, bars.funding_count[s], rules, desk)


@kernel
def _liquidation_of(s, rules, desk):
    """The price at which the venue liquidates its position of *s*."""
    row = shift(desk.symbols, s * position.SIZE)
    return _liquidation_price(
        int(row[position.SIGN]), row[position.VENUE_QTY], row[position.VENUE_ENTRY], row[position.VENUE_MARGIN],
        _tiers(s, rules),
    )


@kernel
def _book_addition(s, qty, price, fee, rules, desk):
    """Book a fill that makes the position of *s* larger, at the venue and in the engine's books."""
    row, amounts, counts = shift(desk.symbols, s * position.SIZE), desk.money, desk.counts
    step, venue_qty = rules.instruments[s * instrument.SIZE + instrument.STEP_SIZE], row[position.VENUE_QTY]
    row[position.VENUE_ENTRY] = _entry_after_fill(venue_qty, row[position.VENUE_ENTRY], qty, price)
    row[position.VENUE_MARGIN] += _initial_margin(qty, price, row[position.LEVERAGE])
    row[position.VENUE_QTY] = _round_to(venue_qty + qty, step)
    row[position.VENUE_LIQUIDATION] = _liquidation_of(s, rules, desk)
    amounts[money.VENUE_CASH] += 0.0 - fee
    amounts[money.CASH] -= fee
    amounts[money.FEES] += fee
    row[position.ENTRY] = _entry_after_fill(row[position.QTY], row[position.ENTRY], qty, price)
    row[position.QTY] += qty
    row[position.PEAK_QTY] = max(row[position.PEAK_QTY], row[position.QTY])
    row[position.FEES] += fee
    row[position.VOLATILITY_PCT], row[position.ADDED] = row[position.ADD_VOLATILITY_PCT], 1.0
    _drop_addition(desk, s)
    desk.opened[counts[counter.OPENED]] = s
    counts[counter.OPENED] += 1


@kernel
def _exit_code(row, purpose):
    """Why a closing fill of *purpose* ends the position; a liquidation comes before an exit already sent."""
    if purpose == PURPOSE_LIQUIDATION:
        return exit_reason.LIQUIDATION
    if purpose == PURPOSE_TARGET:
        return exit_reason.TAKE_PROFIT
    if purpose == PURPOSE_STOP:
        return exit_reason.STOP if row[position.STOP] == row[position.FIRST_STOP] else exit_reason.TRAILING_STOP
    if purpose == PURPOSE_REDUCE and row[position.REASON] == exit_reason.NONE:
        return exit_reason.SCORE
    return int(row[position.REASON])


@kernel
def _note_stopped(s, sign, reason, desk):
    """Keep symbol *s* out of the target that a stop has taken it out of."""
    by_stop = reason == exit_reason.STOP or reason == exit_reason.TRAILING_STOP or reason == exit_reason.LIQUIDATION
    if by_stop and desk.symbols[s * position.SIZE + position.BY_SCORE] == HELD_BY_SCORE:
        desk.stamps[s * stamp.SIZE + stamp.STOPPED] = sign


@kernel
def _book_exit(s, purpose, qty, price, fee, ts_ns, profile, rules, desk, outcome):
    """Book a fill that closes the position, or a part of it, at the venue and in the engine's books; end the trade."""
    row, amounts, counts = shift(desk.symbols, s * position.SIZE), desk.money, desk.counts
    sign, venue_qty = int(row[position.SIGN]), row[position.VENUE_QTY]
    left = _round_to(venue_qty - qty, rules.instruments[s * instrument.SIZE + instrument.STEP_SIZE])
    amounts[money.VENUE_CASH] += _realised_pnl(sign, row[position.VENUE_ENTRY], qty, price) - fee
    amounts[money.CASH] -= fee
    amounts[money.FEES] += fee
    realised = _realised_pnl(sign, row[position.ENTRY], qty, price)
    amounts[money.CASH] += realised
    row[position.REALISED] += realised
    row[position.FEES] += fee
    row[position.CLOSED_VALUE] += qty * price
    row[position.CLOSED_QTY] += qty
    row[position.QTY] -= qty
    is_flat = row[position.QTY] <= row[position.PEAK_QTY] * 1e-9
    if is_flat != (left == 0.0) or (not is_flat and (purpose in (PURPOSE_CLOSE, PURPOSE_LIQUIDATION))):
        counts[counter.ERROR] = ERROR_NOT_FLAT
    if not is_flat:
        row[position.VENUE_MARGIN] *= left / venue_qty
        row[position.VENUE_QTY] = left
        row[position.VENUE_LIQUIDATION] = _liquidation_of(s, rules, desk)
        if purpose != PURPOSE_REDUCE:
            row[position.REASON] = _exit_code(row, purpose)
        return
    pnl = _net_pnl(row[position.REALISED], row[position.FEES], row[position.FUNDING])
    lost = _counted_loss(pnl, row[position.PERMITTED])
    if pnl >= 0.0:
        counts[counter.LOSING], counts[counter.BROKEN], counts[counter.WINS] = _next_streak(
            counts[counter.LOSING], counts[counter.BROKEN], counts[counter.WINS], 1,
            int(profile[pol.PROFILE_RECOVERY_AFTER]),
        )
        amounts[money.LOST_R] = counts[counter.LOSING]
    else:
        amounts[money.LOST_R] += lost
        counts[counter.LOSING] = int(amounts[money.LOST_R])
    risk = _risk_amount(
        sign, row[position.ENTRY], row[position.FIRST_STOP], row[position.STOP_ATR], row[position.ATR],
        row[position.PEAK_QTY],
    )
    reason = _exit_code(row, purpose)
    _note_stopped(s, sign, reason, desk)
    exit_price = row[position.CLOSED_VALUE] / row[position.CLOSED_QTY]
    _write_trade(s, reason, exit_price, pnl, risk, ts_ns, desk, outcome)
    result = _weighted_r(pnl, pnl / risk, row[position.PERMITTED])
    by_score = 1 if row[position.BY_SCORE] != 0.0 else 0
    _record_trade(shift(desk.performance, s * perf.SIZE), result, pnl, lost, by_score)
    counts[counter.RESULTS], counts[counter.SHADOW_WINS], counts[counter.LAST_CLOSE] = 1, 0, ts_ns
    _governor_trade(desk.governor, pnl, lost)
    counts[counter.HELD] = _remove(desk.held, counts[counter.HELD], s)
    if purpose != PURPOSE_CLOSE and purpose != PURPOSE_REDUCE:
        if row[position.CLOSING] != 0.0:
            _withdraw(desk, s, ORDER_CLOSE)
        if row[position.REDUCE_QTY] != 0.0:
            _withdraw(desk, s, ORDER_REDUCE)
    _clear(desk, s)


@kernel
def _write_trade(s, reason, exit_price, pnl, risk, ts_ns, desk, outcome):
    """Note a round trip."""
    number, row = desk.counts[counter.TRADES], shift(desk.symbols, s * position.SIZE)
    whole, figures = shift(outcome.trade_whole, number * trade_whole.SIZE), shift(outcome.trade, number * trade.SIZE)
    whole[trade_whole.SYMBOL], whole[trade_whole.SIGN] = s, int(row[position.SIGN])
    whole[trade_whole.SIGNAL] = desk.stamps[s * stamp.SIZE + stamp.SIGNAL]
    whole[trade_whole.ENTRY_NS], whole[trade_whole.EXIT_NS] = desk.stamps[s * stamp.SIZE + stamp.ENTRY_NS], ts_ns
    whole[trade_whole.REASON] = reason
    figures[trade.QTY], figures[trade.ENTRY] = row[position.PEAK_QTY], row[position.ENTRY]
    figures[trade.EXIT] = exit_price
    figures[trade.PNL], figures[trade.R], figures[trade.RISK] = pnl, pnl / risk, risk
    figures[trade.FEES], figures[trade.FUNDING] = row[position.FEES], row[position.FUNDING]
    figures[trade.EQUITY] = row[position.EQUITY]
    desk.counts[counter.TRADES] += 1


@kernel
def _fill_exit(s, purpose, reference, open_, cost, ts_ns, profile, rules, desk, outcome):
    """Fill what ends or reduces the position of *s*: a market order, a stop, a target or the liquidation."""
    row, terms = shift(desk.symbols, s * position.SIZE), shift(rules.instruments, s * instrument.SIZE)
    sign, tick, fee_bps = int(row[position.SIGN]), terms[instrument.TICK], terms[instrument.TAKER_BPS]
    ordered = row[position.REDUCE_QTY] if purpose == PURPOSE_REDUCE else row[position.QTY]
    if purpose == PURPOSE_STOP:
        ordered, row[position.VENUE_STOP] = row[position.STOP_QTY], 0.0
        price = _stop_price(-sign, reference, open_, cost, tick)
    elif purpose == PURPOSE_TARGET:
        ordered, row[position.VENUE_TARGET] = row[position.TARGET_QTY], 0.0
        price = _target_price(-sign, reference, open_, cost, tick)
    elif purpose == PURPOSE_LIQUIDATION:
        ordered, fee_bps = row[position.VENUE_QTY], fee_bps + rules.liquidation_bps
        price = _liquidation_fill(sign, reference, open_, tick)
    else:
        price = _market_price(-sign, reference, cost, tick)
    qty = min(_round_to(ordered, terms[instrument.STEP_SIZE]), row[position.VENUE_QTY])
    fee = _fee(qty, price, fee_bps)
    _book_exit(s, purpose, qty, price, fee, ts_ns, profile, rules, desk, outcome)


# ---- a bar meets what rests ----------------------------------------------------------------------------------------
@kernel
def _pay_funding(bars, tape, rules, desk):
    """Charge every funding since the last one on the positions whose bar is here, in the order of the symbols."""
    due = False
    for at in range(desk.counts[counter.HELD]):
        s = desk.held[at]
        due = due or bars.funding_count[s] > desk.stamps[s * stamp.SIZE + stamp.FUNDED]
    if not due:
        return
    for s in range(rules.size):
        row = shift(desk.symbols, s * position.SIZE)
        if row[position.STATE] != STATE_HELD or bars.present[s] == 0:
            continue
        for k in range(desk.stamps[s * stamp.SIZE + stamp.FUNDED], bars.funding_count[s]):
            rate = tape.funding_rate[tape.funding_from[s] + k]
            amount = _funding(row[position.SIGN] * row[position.VENUE_QTY], bars.ohlc[s * bar.SIZE + bar.OPEN], rate)
            desk.money[money.VENUE_CASH] += amount
            desk.money[money.CASH] += amount
            desk.money[money.FUNDING] += amount
            row[position.FUNDING] += amount
        desk.stamps[s * stamp.SIZE + stamp.FUNDED] = bars.funding_count[s]


@kernel
def _fill_waiting(bars, profile, rules, desk, outcome):
    """Fill the waiting orders whose symbol has a bar, in the order they were sent."""
    count, kept = desk.counts[counter.WAITING], 0
    for at in range(count):
        order = desk.waiting[at]
        s, kind = order // ORDER_KINDS, order % ORDER_KINDS
        if bars.present[s] == 0 or kind == ORDER_REST:
            desk.waiting[kept] = order
            kept += 1
        elif kind in (ORDER_ENTRY, ORDER_ADD):
            _fill_entry(s, kept, at, count, bars, rules, desk)
        elif desk.symbols[s * position.SIZE + position.STATE] == STATE_HELD:
            open_ = bars.ohlc[s * bar.SIZE + bar.OPEN]
            purpose = PURPOSE_CLOSE if kind == ORDER_CLOSE else PURPOSE_REDUCE
            _fill_exit(
                s, purpose, open_, open_, _cost_in_bar(s, bars, rules), bars.ts_ns, profile, rules, desk, outcome,
            )
            if kind == ORDER_REDUCE:
                desk.symbols[s * position.SIZE + position.REDUCE_QTY] = 0.0
    desk.counts[counter.WAITING] = kept


@kernel
def _reaches(s, at_open, bars, desk):
    """What ends the position of *s* in this bar, or at its open alone (paper_fills.EXIT_*)."""
    row, prices = shift(desk.symbols, s * position.SIZE), shift(bars.ohlc, s * bar.SIZE)
    low = prices[bar.OPEN] if at_open else prices[bar.LOW]
    high = prices[bar.OPEN] if at_open else prices[bar.HIGH]
    return _first_exit(
        int(row[position.SIGN]), row[position.VENUE_STOP], row[position.VENUE_TARGET], row[position.VENUE_LIQUIDATION],
        prices[bar.OPEN], low, high,
    )


@kernel
def _settle(at_open, ts_ns, bars, profile, rules, desk, outcome):
    """Fill what the opens, or the ranges, reach, in the order of the symbols.

    A stop or target from before an addition closes a part; what else is reached takes the rest.
    """
    reached = False
    for at in range(desk.counts[counter.PENDING]):
        reached = reached or _reaches_entry(desk.pending[at], at_open, bars, rules, desk)
    for at in range(desk.counts[counter.HELD]):
        s = desk.held[at]
        reached = reached or (bars.present[s] != 0 and _reaches(s, at_open, bars, desk) != fills.EXIT_NONE)
    if not reached:
        return
    for s in range(rules.size):
        row = shift(desk.symbols, s * position.SIZE)
        if _reaches_entry(s, at_open, bars, rules, desk):
            _fill_resting(s, ts_ns, bars, rules, desk)
            continue
        if row[position.STATE] != STATE_HELD or bars.present[s] == 0:
            continue
        found = _reaches(s, at_open, bars, desk)
        while found != fills.EXIT_NONE:
            level = row[position.VENUE_STOP]
            if found == fills.EXIT_TARGET:
                level = row[position.VENUE_TARGET]
            elif found == fills.EXIT_LIQUIDATION:
                level = row[position.VENUE_LIQUIDATION]
            _fill_exit(
                s, _PURPOSE[found], level, bars.ohlc[s * bar.SIZE + bar.OPEN], _cost_in_bar(s, bars, rules), ts_ns,
                profile, rules, desk, outcome,
            )
            is_held = row[position.STATE] == STATE_HELD
            found = _reaches(s, at_open, bars, desk) if is_held else fills.EXIT_NONE


@kernel
def _settle_opened_inside(ts_ns, bars, profile, rules, desk, outcome):
    """Let the ranges reach the stops and the liquidation of the positions that an entry at rest opened inside them."""
    for s in range(rules.size):
        row, prices = shift(desk.symbols, s * position.SIZE), shift(bars.ohlc, s * bar.SIZE)
        opened = row[position.STATE] == STATE_HELD and desk.stamps[s * stamp.SIZE + stamp.ENTRY_NS] == ts_ns
        if not opened or bars.present[s] == 0:
            continue
        entry = row[position.ENTRY]
        found = _first_exit(
            int(row[position.SIGN]), row[position.VENUE_STOP], 0.0, row[position.VENUE_LIQUIDATION], entry,
            prices[bar.LOW], prices[bar.HIGH],
        )
        if found != fills.EXIT_NONE:
            level = row[position.VENUE_STOP] if found == fills.EXIT_STOP else row[position.VENUE_LIQUIDATION]
            _fill_exit(
                s, _PURPOSE[found], level, entry, _cost_in_bar(s, bars, rules), ts_ns, profile, rules, desk, outcome,
            )


@kernel
def _protect_opened(inside, bars, rules, desk):
    """Rest stop and target of the positions that have just grown at the venue; what cannot be protected is closed.

    *inside*: the fills were inside the bars' ranges, so that the last price is theirs.
    """
    refused = 0
    for at in range(desk.counts[counter.OPENED]):
        s = desk.opened[at]
        row = shift(desk.symbols, s * position.SIZE)
        if row[position.STATE] != STATE_HELD:
            continue
        if row[position.ADDED] != 0.0:
            refused += _protect_addition(s, refused, bars, rules, desk)
            continue
        sign, last = int(row[position.SIGN]), bars.ohlc[s * bar.SIZE + bar.OPEN]
        if inside:
            last = row[position.ENTRY]
        liquidation = _risk_liquidation(
            sign, row[position.ENTRY], row[position.QTY], row[position.LEVERAGE], _tiers(s, rules)
        )
        stop, target = _bracket(
            sign, row[position.ENTRY], row[position.ATR], row[position.STOP_ATR], row[position.TARGET_ATR],
            int(row[position.EXIT_MODE]),
            rules.instruments[s * instrument.SIZE + instrument.TICK], liquidation,
        )
        if stop != stop:
            _close_at_next_open(desk, s, exit_reason.UNPROTECTED)
            continue
        row[position.FIRST_STOP], row[position.STOP], row[position.TARGET] = stop, stop, target
        if not _rest(s, last, desk):
            desk.opened[refused] = s
            refused += 1
    for at in range(refused):
        row = shift(desk.symbols, desk.opened[at] * position.SIZE)
        reason = row[position.REASON]
        if reason == exit_reason.NONE:
            rests = row[position.VENUE_STOP] > 0.0 and row[position.STOP_QTY] >= row[position.QTY] * (1.0 - 1e-9)
            reason = exit_reason.TRAILING_STOP if rests else exit_reason.UNPROTECTED
        _close_at_next_open(desk, desk.opened[at], reason)
    desk.counts[counter.OPENED] = 0


@kernel
def _rest(s, open_, desk):
    """Rest target and stop of the position of *s* at the venue, whose last price is *open_*; False: the stop cannot."""
    row = shift(desk.symbols, s * position.SIZE)
    sign = int(row[position.SIGN])
    if row[position.TARGET] > 0.0 and not _would_trigger(-sign, row[position.TARGET], open_):
        row[position.VENUE_TARGET], row[position.TARGET_QTY] = row[position.TARGET], row[position.QTY]
    if _would_trigger(sign, row[position.STOP], open_):
        return False
    row[position.VENUE_STOP], row[position.STOP_QTY] = row[position.STOP], row[position.QTY]
    return True


@kernel
def _protect_addition(s, refused, bars, rules, desk):
    """Rest stop and target of *s* after an addition; returns 1 where the stop is refused, noted at *refused*."""
    row, terms = shift(desk.symbols, s * position.SIZE), shift(rules.instruments, s * instrument.SIZE)
    sign, moved = int(row[position.SIGN]), row[position.STOP] != row[position.FIRST_STOP]
    row[position.ADDED] = 0.0
    row[position.STOP] = _added_stop(sign, row[position.ADD_STOP], row[position.STOP], terms[instrument.TICK])
    if not moved:
        row[position.FIRST_STOP] = row[position.STOP]
    liquidation = _risk_liquidation(
        sign, row[position.ENTRY], row[position.QTY], row[position.LEVERAGE], _tiers(s, rules)
    )
    if _is_behind_liquidation(sign, row[position.STOP], row[position.ENTRY], liquidation):
        _close_at_next_open(desk, s, exit_reason.UNPROTECTED)
        return 0
    if _rest(s, bars.ohlc[s * bar.SIZE + bar.OPEN], desk):
        return 0
    desk.opened[refused] = s
    return 1


@kernel
def _meet_bars(bars, tape, profile, rules, desk, outcome):
    """Let the bars of moment *t* meet positions and orders: opens, then ranges."""
    ts_ns = bars.ts_ns
    _pay_funding(bars, tape, rules, desk)
    if desk.counts[counter.WAITING] > 0:
        _fill_waiting(bars, profile, rules, desk, outcome)
    _settle(True, ts_ns, bars, profile, rules, desk, outcome)
    if desk.counts[counter.OPENED] > 0:
        _protect_opened(False, bars, rules, desk)
    end_ns = ts_ns + rules.interval_ns - _BAR_END_NS
    _settle(False, end_ns, bars, profile, rules, desk, outcome)
    if desk.counts[counter.OPENED] > 0:
        _protect_opened(True, bars, rules, desk)
        _settle_opened_inside(end_ns, bars, profile, rules, desk, outcome)


# ---- completed bars ------------------------------------------------------------------------------------------------
@kernel
def _count_payoff(r, desk):
    """Count the result of one more shadow trade, in R."""
    desk.counts[counter.SHADOWS] += 1
    if r > 0.0:
        desk.counts[counter.SHADOWS_WON] += 1
        desk.money[money.SHADOW_WON] += r
    elif r < 0.0:
        desk.counts[counter.SHADOWS_LOST] += 1
        desk.money[money.SHADOW_LOST] -= r


@kernel
def _take_shadows(first, last, tape, desk, outcome):
    """Let results of shadow trades count: for the payoff, and for the symbols whose signals were not traded."""
    for at in range(first, last):
        r = tape.shadow_r[at]
        _count_payoff(r, desk)
        if outcome.decision[tape.shadow_signal[at]] != ROAD_APPROVED:
            _record_shadow(shift(desk.performance, tape.shadow_symbol[at] * perf.SIZE), r)
            desk.counts[counter.SHADOW_WINS] = desk.counts[counter.SHADOW_WINS] + 1 if r > 0.0 else 0
            desk.counts[counter.RESULTS] = 1


@kernel
def _break_streak(desk):
    """End the losing streak without a win."""
    counts = desk.counts
    counts[counter.LOSING], counts[counter.BROKEN], counts[counter.WINS] = _broken_by_command(
        counts[counter.LOSING], counts[counter.BROKEN], counts[counter.WINS]
    )
    desk.money[money.LOST_R] = counts[counter.LOSING]


@kernel
def _watch_streak(now_ns, profile, desk):
    """Let shadow wins end a losing streak that keeps the account from ever winning again."""
    counts = desk.counts
    flat_s = 0.0 if counts[counter.HELD] > 0 else (now_ns - counts[counter.LAST_CLOSE]) / _NS_PER_SECOND
    if _streak_ends(
        counts[counter.LOSING], counts[counter.BROKEN], counts[counter.WINS], flat_s, counts[counter.SHADOW_WINS],
        profile[pol.PROFILE_STREAK_LIMIT], profile[pol.PROFILE_RECOVERY_AFTER],
    ):
        counts[counter.LOSING] = counts[counter.BROKEN] = counts[counter.WINS] = 0
        counts[counter.SHADOW_WINS], desk.money[money.LOST_R] = 0, 0.0


@kernel
def _mark(bars, desk):
    """Mark the books; returns (equity, exposure in percent)."""
    equity = desk.money[money.CASH]
    count = desk.counts[counter.HELD]
    if count == 0:
        return equity, 0.0
    margin = 0.0
    for at in range(count):
        s = desk.held[at]
        row = shift(desk.symbols, s * position.SIZE)
        equity += _realised_pnl(int(row[position.SIGN]), row[position.ENTRY], row[position.QTY], bars.mark[s])
        margin += row[position.QTY] * row[position.ENTRY] / row[position.LEVERAGE]
    return equity, _percent_of(margin, equity)


@kernel
def _watch_halts(now_ns, equity, rules, desk):
    """Note the daily-loss latch, and let the simulated operator end an EMERGENCY."""
    counts, now_s = desk.counts, now_ns // _NS_PER_SECOND
    latched = _losses_latched(desk.losses)
    if counts[counter.LEVEL] == 0 and counts[counter.LOSS_HALTED] == 0 and not latched:
        return
    counts[counter.LOSS_HALTED] = 1 if latched else 0
    if counts[counter.LEVEL] == GOV_EMERGENCY and _operator_resumes(
        desk.governor[governor.GOV_ROW_SINCE_S], now_s, rules.resume_hours
    ):
        _governor_resume(desk.governor, equity, now_s)
        _break_streak(desk)
        counts[counter.LEVEL] = int(desk.governor[governor.GOV_ROW_LEVEL])


@kernel
def _trail(s, bars, rules, desk):
    """Move the stop where the exit rules say so; it never loosens."""
    row = shift(desk.symbols, s * position.SIZE)
    sign = int(row[position.SIGN])
    stop = _next_stop(
        sign, row[position.ENTRY], row[position.FIRST_STOP], row[position.STOP], row[position.BEST], row[position.ATR],
        row[position.BREAKEVEN_R],
        row[position.TRAIL_ATR], int(row[position.EXIT_MODE]), rules.instruments[s * instrument.SIZE + instrument.TICK],
        rules.trail_step_atr * row[position.ATR],
    )
    if stop == row[position.STOP]:
        return
    if _would_trigger(sign, stop, bars.mark[s]):
        _close_at_next_open(desk, s, exit_reason.TRAILING_STOP)
        return
    row[position.STOP] = stop
    row[position.VENUE_STOP], row[position.STOP_QTY] = stop, row[position.QTY]


@kernel
def _reduce_to(s, most, bars, rules, desk):
    """Reduce the position of *s* to the notional *most*, at the target that it was sized for."""
    row, terms = shift(desk.symbols, s * position.SIZE), shift(rules.instruments, s * instrument.SIZE)
    price = bars.mark[s]
    if row[position.REDUCE_QTY] != 0.0:
        return
    largest = _volatility_quantity(most, row[position.VOLATILITY_PCT], desk.money[money.EQUITY], price)
    excess = _excess_quantity(
        row[position.QTY], largest, price, terms[instrument.STEP_SIZE], terms[instrument.LEAST_QTY],
        terms[instrument.LEAST_NOTIONAL],
    )
    if excess > 0.0:
        row[position.REDUCE_QTY] = excess
        _wait(desk, ORDER_KINDS * s + ORDER_REDUCE)


@kernel
def _manage(bars, targets, most, decided, fresh, rules, desk):
    """Trail, time out and reduce the open positions, in the order they were opened.

    What models want, None without them: *targets* (S,), the directions; *most* (S,), the notionals to hold at most,
    which in a *fresh* decision are new for the symbols *decided* (S,).
    """
    for at in range(desk.counts[counter.HELD]):
        s = desk.held[at]
        if bars.present[s] == 0:
            continue
        row = shift(desk.symbols, s * position.SIZE)
        best = bars.ohlc[s * bar.SIZE + bar.HIGH] if row[position.SIGN] > 0.0 else bars.ohlc[s * bar.SIZE + bar.LOW]
        if (best - row[position.BEST]) * row[position.SIGN] > 0.0:
            row[position.BEST] = best
        if row[position.REASON] != exit_reason.NONE:
            if row[position.CLOSING] == 0.0:  # what rests has closed a part of it
                _close_at_next_open(desk, s, row[position.REASON])
            continue
        if targets is not None and row[position.BY_SCORE] != 0.0 and targets[s] != row[position.SIGN]:
            _close_at_next_open(desk, s, exit_reason.SCORE)
        elif _timed_out(desk.stamps[s * stamp.SIZE + stamp.ENTRY_NS], bars.now_ns, row[position.MAX_HOURS]):
            _close_at_next_open(desk, s, exit_reason.TIMEOUT)
        else:
            _trail(s, bars, rules, desk)
            if targets is not None and fresh:  # noqa: SIM102 - numba drops the branch without models
                if row[position.BY_SCORE] != 0.0 and decided[s] != 0 and row[position.REASON] == exit_reason.NONE:
                    _reduce_to(s, most[s], bars, rules, desk)


# ---- signals -------------------------------------------------------------------------------------------------------
@kernel
def _limit_row(s, rules, desk):
    """Fill the guard's limits, tightened by the policy's where position limits are enforced."""
    limit_row = desk.limit_row
    for column in range(limit_column.SIZE):
        limit_row[column] = rules.limits[column]
    if rules.switches[SWITCH_POSITION_LIMITS] != 0:
        out = shift(desk.policy.out, (s + 1) * pol.OUT_SIZE)
        limit_row[limit_column.POSITIONS] = _tighter(out[pol.OUT_MAX_OPEN], rules.limits[limit_column.POSITIONS])
        limit_row[limit_column.EXPOSURE_PCT] = _tighter(
            out[pol.OUT_EXPOSURE_LIMIT], rules.limits[limit_column.EXPOSURE_PCT]
        )


@kernel
def _account_row(now_ns, open_count, desk):
    """Fill the guard's view of the account."""
    row, equity = desk.account_row, desk.money[money.EQUITY]
    used = 0.0
    for at in range(desk.counts[counter.HELD]):
        held = shift(desk.symbols, desk.held[at] * position.SIZE)
        used += held[position.QTY] * held[position.ENTRY] / held[position.LEVERAGE]
    on_the_way = 0.0
    for at in range(desk.counts[counter.PENDING]):
        on_the_way += desk.symbols[desk.pending[at] * position.SIZE + position.MARGIN]
    row[account_column.KILL], row[account_column.CONNECTED], row[account_column.POLICY_OK] = 0.0, 1.0, 1.0
    row[account_column.GOVERNOR] = desk.counts[counter.LEVEL]
    row[account_column.EQUITY] = equity
    row[account_column.USED_MARGIN] = used + on_the_way
    row[account_column.POSITIONS] = open_count
    row[account_column.ROLLING_PNL], row[account_column.MIDNIGHT_PNL] = _losses_pct(desk.losses, equity)
    row[account_column.LOSS_LATCHED] = 1.0 if _losses_latched(desk.losses) else 0.0
    row[account_column.ORDERS_HOUR] = _orders_last_hour(desk.rate, now_ns)


@kernel
def _intent_row(s, signal_row, qty, stop, leverage, cost_r, held, rules, desk):
    """Fill the guard's view of a *signal_row* or outside intent for *qty* with its *stop*, beside what is *held*."""
    row, terms = desk.intent_row, shift(rules.instruments, s * instrument.SIZE)
    row[intent_column.SIGN], row[intent_column.PRICE] = int(signal_row[signal.SIGN]), signal_row[signal.PRICE]
    row[intent_column.QTY], row[intent_column.STOP] = qty, stop
    row[intent_column.LEVERAGE], row[intent_column.STEP] = leverage, terms[instrument.STEP_SIZE]
    row[intent_column.MIN_QTY] = terms[instrument.LEAST_QTY]
    row[intent_column.MIN_NOTIONAL] = terms[instrument.LEAST_NOTIONAL]
    row[intent_column.COST_R], row[intent_column.DATA_AGE_S] = cost_r, signal_row[signal.AGE_S]
    row[intent_column.EXPIRED] = signal_row[signal.EXPIRED]
    row[intent_column.SYMBOL_OK], row[intent_column.NEW_POSITION] = 1.0, 1.0 if held[0] == 0.0 else 0.0
    row[intent_column.HELD_QTY], row[intent_column.HELD_ENTRY] = held


@kernel
def _open(n, s, entry, qty, stop, leverage, used, now_ns, rules, desk, outcome):
    """Ask the guard about *qty* of signal or intent *n*, plan its position, send its order; returns the decision."""
    signal_row = entry.row
    _intent_row(s, signal_row, qty, stop, leverage, entry.cost_r, (0.0, 0.0), rules, desk)
    _account_row(now_ns, desk.counts[counter.HELD] + desk.counts[counter.PENDING], desk)
    refusal, qty, _, _ = _guard_core(desk.intent_row, desk.account_row, desk.limit_row, _tiers(s, rules))
    if refusal != refusal_code.OK:
        return GUARD_CODE + refusal
    outcome.quantity[n] = qty
    row = shift(desk.symbols, s * position.SIZE)
    stop_atr, target_atr, breakeven_r, trail_atr, max_hours = entry.exits
    row[position.TARGET_ATR], row[position.BREAKEVEN_R] = target_atr, breakeven_r
    row[position.TRAIL_ATR], row[position.MAX_HOURS] = trail_atr, max_hours
    row[position.BY_SCORE], row[position.VOLATILITY_PCT] = entry.by_score, entry.volatility_pct
    row[position.STATE], row[position.SIGN] = STATE_PENDING, signal_row[signal.SIGN]
    row[position.QTY], row[position.LEVERAGE] = qty, leverage
    row[position.ATR], row[position.STOP_ATR] = signal_row[signal.ATR], stop_atr
    row[position.EXIT_MODE] = used.exit_code
    row[position.EQUITY] = desk.money[money.EQUITY]
    row[position.PERMITTED] = desk.money[money.EQUITY] * used.risk_pct / 100.0 if entry.by_score != 0.0 else 0.0
    row[position.MARGIN] = qty * signal_row[signal.PRICE] / leverage
    desk.stamps[s * stamp.SIZE + stamp.SIGNAL] = n
    desk.pending[desk.counts[counter.PENDING]] = s
    desk.counts[counter.PENDING] += 1
    _note_order(desk.rate, now_ns)
    order = ORDER_ENTRY
    if rules.maker_bars > 0:
        order, tick = ORDER_REST, rules.instruments[s * instrument.SIZE + instrument.TICK]
        row[position.LIMIT] = _resting_price(int(row[position.SIGN]), signal_row[signal.PRICE], tick)
        row[position.CONFIDENCE] = signal_row[signal.CONFIDENCE]
        desk.stamps[s * stamp.SIZE + stamp.RESTS_UNTIL] = now_ns + rules.maker_bars * rules.interval_ns
    _wait(desk, ORDER_KINDS * s + order)
    return ROAD_APPROVED


@kernel
def _add(n, s, entry, used, now_ns, rules, desk, outcome):
    """Size the addition of signal *n* to the position of *s* and open it; returns the decision's code."""
    row, terms = shift(desk.symbols, s * position.SIZE), shift(rules.instruments, s * instrument.SIZE)
    signal_row = entry.row
    sign, price, held = int(signal_row[signal.SIGN]), signal_row[signal.PRICE], (row[position.QTY], row[position.ENTRY])
    _limit_row(s, rules, desk)
    stop = _entry_stop(
        sign, price, row[position.ATR], row[position.STOP_ATR], entry.wanted, held, row[position.STOP],
        row[position.LEVERAGE], desk.limit_row, _tiers(s, rules),
    )
    code, qty, leverage = _size_entry(
        sign, price, stop, desk.money[money.EQUITY], used.risk_pct, _risk_factor(s, desk), desk.counts[counter.LEVEL],
        row[position.LEVERAGE],
        (terms[instrument.STEP_SIZE], terms[instrument.LEAST_QTY], terms[instrument.LEAST_NOTIONAL]),
        desk.limit_row, _tiers(s, rules), entry.wanted, held,
    )
    outcome.quantity[n] = qty
    if code != ROAD_APPROVED:
        return code
    _intent_row(s, signal_row, qty, stop, leverage, entry.cost_r, held, rules, desk)
    _account_row(now_ns, desk.counts[counter.HELD] + desk.counts[counter.PENDING], desk)
    refusal, qty, _, _ = _guard_core(desk.intent_row, desk.account_row, desk.limit_row, _tiers(s, rules))
    if refusal != refusal_code.OK:
        return GUARD_CODE + refusal
    outcome.quantity[n] = row[position.ADD_QTY] = qty
    row[position.ADD_STOP], row[position.ADD_VOLATILITY_PCT] = stop, entry.volatility_pct
    row[position.MARGIN] = qty * price / leverage
    desk.pending[desk.counts[counter.PENDING]] = s
    desk.counts[counter.PENDING] += 1
    _note_order(desk.rate, now_ns)
    _wait(desk, ORDER_KINDS * s + ORDER_ADD)
    return ROAD_APPROVED


@kernel
def _risk_factor(s, desk):
    """The share of the permitted risk that the symbol's record and the governor's level leave."""
    return desk.performance[s * perf.SIZE + perf.RISK_FACTOR] * _level_factors(desk.counts[counter.LEVEL])[0]


@kernel
def _enter(n, s, entry, used, now_ns, rules, desk, outcome):
    """Size the entry of signal *n* and open it; returns the decision's code."""
    signal_row, terms = entry.row, shift(rules.instruments, s * instrument.SIZE)
    sign, price, atr = int(signal_row[signal.SIGN]), signal_row[signal.PRICE], signal_row[signal.ATR]
    stop = _planned_stop(sign, price, atr, entry.exits[0])
    _limit_row(s, rules, desk)
    code, qty, leverage = _size_entry(
        sign, price, stop, desk.money[money.EQUITY], used.risk_pct, _risk_factor(s, desk), desk.counts[counter.LEVEL],
        rules.leverage, (terms[instrument.STEP_SIZE], terms[instrument.LEAST_QTY], terms[instrument.LEAST_NOTIONAL]),
        desk.limit_row, _tiers(s, rules), entry.wanted, (0.0, 0.0),
    )
    if code != ROAD_APPROVED:
        outcome.quantity[n] = qty
        return code
    return _open(n, s, entry, qty, stop, leverage, used, now_ns, rules, desk, outcome)


@kernel
def _enter_intent(n, s, entry, used, now_ns, rules, desk, outcome):
    """Clip intent *n* to the risk of a signal and open it; returns the decision's code."""
    intent, planned = entry.row, entry.exits
    qty, stop, stop_atr = _size_intent(
        int(intent[signal.SIGN]), intent[signal.QTY], intent[signal.PRICE], intent[signal.STOP], intent[signal.ATR],
        planned[0], desk.money[money.EQUITY], used.risk_pct, _risk_factor(s, desk),
    )
    _limit_row(s, rules, desk)
    own = Entry(intent, (stop_atr, planned[1], planned[2], planned[3], planned[4]), 0.0, entry.cost_r, math.inf, 0.0)
    return _open(n, s, own, qty, stop, intent[signal.LEVERAGE], used, now_ns, rules, desk, outcome)


@kernel
def _on_tape(n, tape, levels):
    """Signal or intent *n* of the tape, which is left by the regime table."""
    row = shift(tape.signals, n * signal.SIZE)
    planned = _exit_row(int(row[signal.TREND]), levels.signal_vol[n])
    return Entry(row, planned, 0.0, levels.signal_cost_r[n], math.inf, 0.0)


@kernel
def _settings_of(s, rules, desk):
    """The settings in force for symbol *s*: the policy's where a switch is on, else the fixed ones."""
    out = shift(desk.policy.out, (s + 1) * pol.OUT_SIZE)
    by_tag = 0 if desk.performance[s * perf.SIZE + perf.TAG] == TAG_BAD else 1
    by_policy = Settings(
        int(out[pol.OUT_ALLOW]), int(out[pol.OUT_SYMBOL_OK]), out[pol.OUT_MIN_CONF], out[pol.OUT_RISK_PCT],
        int(out[pol.OUT_MAX_OPEN]), int(out[pol.OUT_EXIT]),
    )
    fixed = Settings(
        1, by_tag, rules.fixed_confidence, rules.fixed_risk_pct, rules.fixed_positions, rules.fixed_exit
    )
    return _settings_in_use(rules.switches, by_policy, fixed)


@kernel
def _pass_gates(s, signal_row, used, desk):
    """The ROAD code of the gates for a signal or intent; one against a position closes it."""
    row = shift(desk.symbols, s * position.SIZE)
    open_count = desk.counts[counter.HELD] + desk.counts[counter.PENDING]
    held = int(row[position.SIGN]) if row[position.STATE] == STATE_HELD else 0
    pending = 1 if row[position.STATE] == STATE_PENDING else 0
    code = _gate(
        int(signal_row[signal.SIGN]), signal_row[signal.CONFIDENCE], signal_row[signal.ATR], held, pending, open_count,
        used,
    )
    if code == ROAD_FLIP and row[position.REASON] == exit_reason.NONE:
        _close_at_next_open(desk, s, exit_reason.SIGNAL_FLIP)
    return code


@kernel
def _gate_limits(targets, rules):
    """The limits of the mode that signals have."""
    row = shift(rules.gate_limits, 0)
    if targets is not None:  # noqa: SIM102 - numba drops the branch without models
        if targets.by_score != 0:
            row = shift(rules.gate_limits, gate_limit.SIZE)
    return GateLimits(
        row[gate_limit.SPREAD_BPS], row[gate_limit.VOLUME_RATIO], int(row[gate_limit.REGIMES]),
        row[gate_limit.MARGIN_BPS], row[gate_limit.VOLATILITY_FACTOR], row[gate_limit.CONFIDENCE],
        row[gate_limit.WIN_PROBABILITY],
    )


@kernel
def _trend_at(slot, tape, targets):
    """The TREND code of a symbol's market at a moment; *slot*: its place in (T, S + 1)."""
    if targets is None:
        return int(tape.state[slot]) & 3
    return int(targets.state[slot]) & 3


@kernel
def _gates_refuse(t, s, which, confidence, vol, edge, used, tape, targets, rules, desk):
    """The ROAD code of the first of the gates *which* (bits) that refuses; ROAD_APPROVED where none does.

    *vol*: volatility code. *edge*: expected return and cost, basis points. No meta-label is asked: its probability is
    not known.
    """
    slot, counts, amounts = t * (rules.size + 1) + s + 1, desk.counts, desk.money
    payoff = _payoff_ratio(
        counts[counter.SHADOWS], counts[counter.SHADOWS_WON], amounts[money.SHADOW_WON], counts[counter.SHADOWS_LOST],
        amounts[money.SHADOW_LOST],
    )
    inputs = GateInputs(
        tape.measures[slot * measure.SIZE + measure.SPREAD_BPS], tape.volume_ratio[t * rules.size + s],
        _trend_at(slot, tape, targets), 1 if vol >= VOL_HIGH else 0, edge[0], edge[1], confidence, used.min_confidence,
        math.nan, payoff,
    )
    place = _first_gate(_refused_gates(inputs, _gate_limits(targets, rules)) & which)
    return ROAD_APPROVED if place < 0 else ROAD_SPREAD + place


@kernel
def _signal_gates(n, t, s, row, used, tape, levels, rules, desk):
    """The ROAD code of the enforced gates for signal *n* of the ensemble."""
    sign, measures = int(row[signal.SIGN]), shift(tape.measures, (t * (rules.size + 1) + s + 1) * measure.SIZE)
    trip = _round_trip(
        rules.instruments[s * instrument.SIZE + instrument.TAKER_BPS], measures[measure.SLIPPAGE_BPS],
        measures[measure.SPREAD_BPS],
    )
    expected = _direction_edge(row[signal.CONFIDENCE], row[signal.ATR], row[signal.PRICE], rules.gate_hours)
    cost = _signal_cost(sign, trip, tape.funding_8h[t * rules.size + s], rules.gate_hours)
    return _gates_refuse(
        t, s, rules.gates, row[signal.CONFIDENCE], levels.signal_vol[n], (expected, cost), used, tape, None, rules, desk
    )


@kernel
def _target_gates(t, s, vol, row, used, tape, targets, rules, desk):
    """The ROAD code of the enforced gates for the target of symbol *s*, in volatility *vol*."""
    at = targets.row[t] * rules.size + s
    return _gates_refuse(
        t, s, rules.gates, row[signal.CONFIDENCE], vol, (targets.expected_bps[at], targets.cost_bps[at]), used, tape,
        targets, rules, desk,
    )


@kernel
def _intent_gates(t, s, row, used, tape, targets, rules, desk):
    """The ROAD code of the enforced gates for an outside intent, which has no forecast."""
    return _gates_refuse(
        t, s, rules.gates & ~OF_FORECAST, row[signal.CONFIDENCE], 0, (math.nan, math.nan), used, tape, targets, rules,
        desk,
    )


@kernel
def _take_signal(n, t, now_ns, tape, levels, rules, desk, outcome):
    """Take signal *n* of moment *t* down the road and note how it fared."""
    s, entry = tape.signal_symbol[n], _on_tape(n, tape, levels)
    used = _settings_of(s, rules, desk)
    code = _pass_gates(s, entry.row, used, desk)
    if code == ROAD_APPROVED and rules.gates != 0:
        code = _signal_gates(n, t, s, entry.row, used, tape, levels, rules, desk)
    if code == ROAD_APPROVED:
        code = _enter(n, s, entry, used, now_ns, rules, desk, outcome)
    outcome.decision[n] = code


@kernel
def _take_intent(n, t, now_ns, tape, levels, targets, rules, desk, outcome):
    """Take outside intent *n* of moment *t* down the road and note how it fared; a reducing one closes its position."""
    s = tape.signal_symbol[n]
    row = shift(desk.symbols, s * position.SIZE)
    if tape.signals[n * signal.SIZE + signal.REDUCES] != 0.0:
        code = ROAD_NO_POSITION
        if row[position.STATE] == STATE_HELD:
            code = ROAD_REDUCES
            known = row[position.REASON]
            _close_at_next_open(desk, s, exit_reason.INTENT if known == exit_reason.NONE else known)
    else:
        used, entry = _settings_of(s, rules, desk), _on_tape(n, tape, levels)
        code = _pass_gates(s, entry.row, used, desk)
        if code == ROAD_APPROVED and rules.gates != 0:
            code = _intent_gates(t, s, entry.row, used, tape, targets, rules, desk)
        if code == ROAD_APPROVED:
            code = _enter_intent(n, s, entry, used, now_ns, rules, desk, outcome)
    outcome.decision[n] = code


# ---- models --------------------------------------------------------------------------------------------------------
@kernel
def _move_shadows(bars, rules, following):
    """Take the shadow trades of models' signals through the bars; returns how many results there are."""
    if following is None:
        return 0
    size, arrays = rules.size, _shadow_arrays(rules, following)
    return shadow.shadow_moment(
        bars.ts_ns, rules.interval_ns, following.max_bars, following.range_bps, following.fees,
        carray(bars.ohlc, (size, bar.SIZE)), bars.present, bars.cost_bps, bars.funding_due, *arrays,
    )


@kernel
def _shadow_arrays(rules, following):
    """The shadow book's arrays: held, counts, marks, results."""
    size = rules.size
    return (
        carray(following.held, (size, shadow.MAX_OPEN, shadow.SHADOW_SIZE)),
        carray(following.counts, (size, shadow.COUNTS_SIZE)), carray(following.marks, (size, shadow.MARKS_SIZE)),
        carray(following.resolved, (size * shadow.MAX_OPEN, shadow.RESULT_SIZE)),
    )


@kernel
def _take_results(count, rules, desk, following, outcome):
    """Let *count* results of shadow trades count: for the payoff, and where their signals were not traded."""
    for at in range(count):
        row = shift(following.resolved, at * shadow.RESULT_SIZE)
        _count_payoff(row[shadow.RESOLVED_NET_R], desk)
        if outcome.decision[int(row[shadow.RESOLVED_SEQ])] != ROAD_APPROVED:
            s, r = int(row[shadow.RESOLVED_SYMBOL]), row[shadow.RESOLVED_NET_R]
            _record_shadow(shift(desk.performance, s * perf.SIZE), r)
            desk.counts[counter.SHADOW_WINS] = desk.counts[counter.SHADOW_WINS] + 1 if r > 0.0 else 0
            desk.counts[counter.RESULTS] = 1


@kernel
def _age_s(t, s, tape, rules):
    """Age of the newest bar of symbol *s* at moment *t*, in seconds, as the engine counts it."""
    last = t
    while last > 0 and tape.present[last * rules.size + s] == 0:
        last -= 1
    age = (tape.ts_ns[t] - tape.ts_ns[last]) / rules.interval_ns
    return int(age * rules.interval_ns) / _NS_PER_SECOND


@kernel
def _is_fresh(t, targets):
    """Whether moment *t* has a new decision of the models."""
    return targets.row[t] != (targets.row[t - 1] if t > 0 else 0)


@kernel
def _see_target(t, s, bars, tape, targets, rules, following):
    """Write the signal that the target of symbol *s* makes at moment *t*; returns (volatility code, cost in R)."""
    size, row = rules.size, following.signal
    at, slot, here = targets.row[t] * size + s, t * (size + 1) + s + 1, t * size + s
    hourly, state, stop = tape.atr[here], tape.state[slot], 0.0
    if targets.by_score != 0:
        stop = stop_distance(targets.stop_atr, targets.atr[at])
    vol, cost = measured_symbol(
        shift(tape.measures, slot * measure.SIZE), state, bars.mark[s], hourly,
        rules.instruments[s * instrument.SIZE + instrument.TAKER_BPS], tape.funding_8h[here], stop, targets.hours,
        following.market, following.terms,
    )
    row[signal.SIGN], row[signal.CONFIDENCE] = targets.target[at], targets.confidence[at]
    row[signal.ATR] = targets.atr[at] if targets.by_score != 0 else hourly
    row[signal.PRICE], row[signal.TREND] = bars.mark[s], int(state) & 3
    row[signal.AGE_S] = 0.0 if bars.present[s] != 0 else _age_s(t, s, tape, rules)
    row[signal.EXPIRED] = 0.0
    return vol, cost


@kernel
def _open_shadow(n, s, hourly, vol, least, targets, rules, following):
    """Start the shadow trade of signal *n*, where its symbol is warm and has room for one.

    *least*: the notional that the signal's target wants at least.
    """
    row, atr, weight = following.signal, hourly, 1.0
    stop_atr, reach, _, _, _ = _exit_row(int(row[signal.TREND]), vol)
    if targets.by_score != 0:
        atr, stop_atr, reach = row[signal.ATR], targets.stop_atr, np.inf
        weight = _risk_weight(
            least, rules.fixed_volatility_pct, stop_atr * atr, row[signal.PRICE], rules.fixed_risk_pct
        )
    if atr > 0.0:
        held, counts, _, _ = _shadow_arrays(rules, following)
        shadow.queue_shadow(s, n, int(row[signal.SIGN]), stop_atr * atr, reach * atr, weight, held, counts)


@kernel
def _target_pct(profile, rules):
    """The volatility that the portfolio of models' positions is sized for, percent a year."""
    return profile[pol.PROFILE_VOLATILITY] if rules.switches[SWITCH_RISK_SIZING] != 0 else rules.fixed_volatility_pct


@kernel
def _least_quantity(at, s, price, targets, target_pct, desk):
    """The quantity of symbol *s* that its target wants at least, by decision *at*."""
    return _volatility_quantity(
        targets.least[at], target_pct * _risk_factor(s, desk), desk.money[money.EQUITY], price
    )


@kernel
def _pass_gates_to_add(signal_row, used, desk):
    """The ROAD code of the gates for an addition to a position, which counts as no further one."""
    open_count = desk.counts[counter.HELD] + desk.counts[counter.PENDING] - 1
    return _gate(
        int(signal_row[signal.SIGN]), signal_row[signal.CONFIDENCE], signal_row[signal.ATR], 0, 0, open_count, used
    )


@kernel
def _take_target(t, s, bars, tape, targets, target_pct, rules, desk, following, outcome):
    """Take symbol *s*'s target down the road; unless it is refused as before, that is a signal: note how it fared."""
    counts = desk.counts
    if counts[counter.SIGNALS] >= following.room:
        counts[counter.ERROR] = ERROR_FULL
        return
    n = following.first + counts[counter.SIGNALS]
    vol, cost_r = _see_target(t, s, bars, tape, targets, rules, following)
    row, used = following.signal, _settings_of(s, rules, desk)
    entry = Entry(row, _exit_row(int(row[signal.TREND]), vol), 0.0, cost_r, math.inf, 0.0)
    if targets.by_score != 0:
        wanted = _least_quantity(targets.row[t] * rules.size + s, s, bars.mark[s], targets, target_pct, desk)
        entry = Entry(row, _score_exit_row(targets.stop_atr, used.exit_code), HELD_BY_SCORE, cost_r, wanted, target_pct)
    held = shift(desk.symbols, s * position.SIZE)
    adds = held[position.STATE] == STATE_HELD and held[position.SIGN] == row[signal.SIGN]
    code = _pass_gates_to_add(row, used, desk) if adds else _pass_gates(s, row, used, desk)
    if code == ROAD_APPROVED and rules.gates != 0:
        code = _target_gates(t, s, vol, row, used, tape, targets, rules, desk)
    if code in (ROAD_FLIP, ROAD_PENDING):
        desk.stamps[s * stamp.SIZE + stamp.AGAIN] = counts[counter.AGAIN] = 1
    if code == ROAD_APPROVED:
        if adds:
            code = _add(n, s, entry, used, bars.now_ns, rules, desk, outcome)
            if code == ROAD_SIZE:
                return
        else:
            code = _enter(n, s, entry, used, bars.now_ns, rules, desk, outcome)
    fared = 0 if code == ROAD_APPROVED else int(row[signal.SIGN]) * code
    again = fared != 0 and fared == desk.stamps[s * stamp.SIZE + stamp.REFUSED]
    desk.stamps[s * stamp.SIZE + stamp.REFUSED] = fared
    if again:
        return
    counts[counter.SIGNALS] += 1
    outcome.decision[n] = code
    if not adds:
        least = targets.least[targets.row[t] * rules.size + s]
        _open_shadow(n, s, tape.atr[t * rules.size + s], vol, least, targets, rules, following)


@kernel
def _is_wanted(at, s, price, targets, target_pct, desk):
    """Whether the target of symbol *s* by decision *at* is to be taken.

    It is not held, no stop keeps it out, and from flat its score is not small; or less is held than it wants.
    """
    row, target = shift(desk.symbols, s * position.SIZE), int(targets.target[at])
    held = int(row[position.SIGN]) if row[position.STATE] == STATE_HELD or _rests(s, desk) else 0
    if target == 0:
        return False
    if target != held:
        return (held != 0 or targets.small[at] == 0) and desk.stamps[s * stamp.SIZE + stamp.STOPPED] != target
    may_grow = row[position.VOLATILITY_PCT] > 0.0 and row[position.REASON] == exit_reason.NONE
    may_grow = may_grow and row[position.STATE] == STATE_HELD
    if not may_grow or row[position.ADD_QTY] > 0.0:
        return False
    return row[position.QTY] < _least_quantity(at, s, price, targets, target_pct, desk)


@kernel
def _note_left(row, target):
    """Note whether the score still wants a position of its own; where its bar is missing now it closes later."""
    if row[position.BY_SCORE] != 0.0:
        row[position.BY_SCORE] = HELD_BY_SCORE if target == row[position.SIGN] else LEFT_BY_SCORE


@kernel
def _take_targets(t, bars, tape, targets, target_pct, rules, desk, following, outcome):
    """Take the signals of the targets that are wanted and not held in full, in the order of the symbols."""
    counts, number = desk.counts, targets.row[t]
    fresh = _is_fresh(t, targets)
    if not fresh and counts[counter.AGAIN] == 0:
        return
    counts[counter.AGAIN] = 0
    for s in range(rules.size):
        at, row = number * rules.size + s, shift(desk.stamps, s * stamp.SIZE)
        target, decided = int(targets.target[at]), fresh and targets.decided[at] != 0
        if decided and (target != row[stamp.STOPPED] or targets.small[at] != 0):
            row[stamp.STOPPED] = 0
        due = row[stamp.AGAIN] != 0 or (decided and target != 0)
        row[stamp.AGAIN] = 0
        wanted = _is_wanted(at, s, bars.mark[s], targets, target_pct, desk)
        if decided and not wanted:
            row[stamp.REFUSED] = 0
        if decided:
            _note_left(shift(desk.symbols, s * position.SIZE), target)
        if due and wanted:
            _take_target(t, s, bars, tape, targets, target_pct, rules, desk, following, outcome)


@kernel
def _follow_targets(t, targets, rules, following):
    """Let the shadow trades end at the next open that are against a new decision's targets."""
    number, size = targets.row[t], rules.size
    if targets.by_score != 0 and _is_fresh(t, targets):
        held, counts, _, _ = _shadow_arrays(rules, following)
        wanted = carray(shift(targets.target, number * size), (size,))
        shadow.leave_shadows(wanted, carray(shift(targets.decided, number * size), (size,)), held, counts)


@kernel
def _follow_models(t, results, bars, tape, targets, profile, rules, desk, following, outcome):
    """Take the signals of models, then let *results* of their shadow trades count; nothing without models."""
    if targets is not None:
        _follow_targets(t, targets, rules, following)
        _take_targets(t, bars, tape, targets, _target_pct(profile, rules), rules, desk, following, outcome)
        if results > 0:
            _take_results(results, rules, desk, following, outcome)
            _watch_streak(bars.now_ns, profile, desk)


@kernel
def _manage_all(t, bars, targets, rules, desk):
    """Manage the open positions by what models want at moment *t*, if there are any."""
    if targets is None:
        _manage(bars, None, None, None, False, rules, desk)
    else:
        number, size = targets.row[t], rules.size
        fresh = _is_fresh(t, targets)
        _manage(
            bars, shift(targets.target, number * size), shift(targets.most, number * size),
            shift(targets.decided, number * size), fresh, rules, desk,
        )


@kernel
def _close_shadows(s, bars, rules, desk, following, outcome):
    """End the shadow trades of models' signals of symbol *s*, whose data ends here."""
    if following is not None:
        held, counts, marks, resolved = _shadow_arrays(rules, following)
        close, cost, fee = marks[s, shadow.MARK_CLOSE], bars.cost_bps[s], following.fees[s]
        ended = shadow.close_shadows(s, held, counts, close, cost, fee, resolved, 0)
        _take_results(ended, rules, desk, following, outcome)


@kernel
def _watch_resting(t, now_ns, targets, rules, desk):
    """Decide which of the entries at rest stay, which go to market and which end, by what is known before signals."""
    counts = desk.counts
    is_closed = counts[counter.LEVEL] == GOV_EMERGENCY or _losses_latched(desk.losses)
    for at in range(counts[counter.PENDING]):
        s = desk.pending[at]
        if not _rests(s, desk):
            continue
        row, sign = shift(desk.symbols, s * position.SIZE), int(desk.symbols[s * position.SIZE + position.SIGN])
        others = counts[counter.HELD] + counts[counter.PENDING] - 1
        code = _gate(
            sign, row[position.CONFIDENCE], row[position.ATR], 0, 0, others, _settings_of(s, rules, desk)
        )
        if is_closed or code != ROAD_APPROVED or int(targets.target[targets.row[t] * rules.size + s]) != sign:
            row[position.REST] = REST_ENDS
        elif now_ns >= desk.stamps[s * stamp.SIZE + stamp.RESTS_UNTIL]:
            row[position.REST] = REST_GOES_TO_MARKET


@kernel
def _goes_to_market(t, s, bars, tape, targets, rules, desk, following, outcome):
    """Ask the guard about an entry of *s* that has rested long enough, now at market; whether it may go."""
    row, counts = shift(desk.symbols, s * position.SIZE), desk.counts
    _, cost_r = _see_target(t, s, bars, tape, targets, rules, following)
    sign, price, leverage = int(row[position.SIGN]), bars.mark[s], row[position.LEVERAGE]
    stop = _planned_stop(sign, price, row[position.ATR], row[position.STOP_ATR])
    qty = _floor_to(row[position.QTY], rules.instruments[s * instrument.SIZE + instrument.STEP_SIZE])
    counts[counter.PENDING] = _remove(desk.pending, counts[counter.PENDING], s)
    _limit_row(s, rules, desk)
    _intent_row(s, following.signal, qty, stop, leverage, cost_r, (0.0, 0.0), rules, desk)
    _account_row(bars.now_ns, counts[counter.HELD] + counts[counter.PENDING], desk)
    refusal, qty, _, _ = _guard_core(desk.intent_row, desk.account_row, desk.limit_row, _tiers(s, rules))
    if refusal != refusal_code.OK:
        _clear(desk, s)
        return False
    outcome.quantity[desk.stamps[s * stamp.SIZE + stamp.SIGNAL]] = qty
    row[position.QTY], row[position.MARGIN] = qty, qty * price / leverage
    row[position.LIMIT] = row[position.RESERVE] = 0.0
    row[position.REST] = REST_STAYS
    desk.pending[counts[counter.PENDING]] = s
    counts[counter.PENDING] += 1
    _note_order(desk.rate, bars.now_ns)
    return True


@kernel
def _expire_entries(t, first, bars, tape, targets, rules, desk, following, outcome):
    """Cancel the opening orders among the first *first* waiting whose time is over. Returns how many of those stay.

    Those at market did not fill; those at rest go to market or end, as was decided before the signals.
    """
    count, kept, stay, at_market = desk.counts[counter.WAITING], 0, 0, 0
    for at in range(count):
        order = desk.waiting[at]
        s, kind = order // ORDER_KINDS, order % ORDER_KINDS
        rest = desk.symbols[s * position.SIZE + position.REST]
        if at < first and (kind in (ORDER_ENTRY, ORDER_ADD) or (kind == ORDER_REST and rest == REST_ENDS)):
            _drop_opening(desk, s, kind)
            continue
        if targets is not None and at < first and kind == ORDER_REST and rest == REST_GOES_TO_MARKET:
            if _goes_to_market(t, s, bars, tape, targets, rules, desk, following, outcome):
                desk.opened[at_market] = s
                at_market += 1
            continue
        desk.waiting[kept] = order
        kept += 1
        stay += 1 if at < first else 0
    desk.counts[counter.WAITING] = kept
    for at in range(at_market):
        _wait(desk, ORDER_KINDS * desk.opened[at] + ORDER_ENTRY)
    return stay


@kernel
def _submit_entries(first, bars, rules, desk):
    """Let the venue take or refuse the opening orders sent in this moment (places *first* on of those waiting)."""
    count, kept = desk.counts[counter.WAITING], first
    for at in range(first, count):
        order = desk.waiting[at]
        s, kind = order // ORDER_KINDS, order % ORDER_KINDS
        if kind in (ORDER_ENTRY, ORDER_ADD, ORDER_REST):
            row, price = shift(desk.symbols, s * position.SIZE), bars.ohlc[s * bar.SIZE + bar.CLOSE]
            if kind == ORDER_REST:
                price = row[position.LIMIT]
            qty = row[position.ADD_QTY] if kind == ORDER_ADD else row[position.QTY]
            need = _initial_margin(qty, price, row[position.LEVERAGE])
            need += _fee(qty, price, rules.instruments[s * instrument.SIZE + instrument.TAKER_BPS])
            available = desk.money[money.VENUE_CASH] - _margin_used(rules, desk) - _reserved(desk, 0, kept, 0.0)
            in_all = row[position.VENUE_QTY] + qty
            refused = bars.present[s] == 0 or in_all * price > _tier_cap(row[position.LEVERAGE], _tiers(s, rules))
            least = rules.instruments[s * instrument.SIZE + instrument.LEAST_NOTIONAL] * (1.0 - 1e-9)
            if refused or need > available or qty * price < least:
                _drop_opening(desk, s, kind)
                continue
            row[position.RESERVE] = need
        desk.waiting[kept] = order
        kept += 1
    desk.counts[counter.WAITING] = kept


@kernel
def _take_intents(t, bars, tape, levels, targets, rules, desk, outcome):
    """Take the outside intents of moment *t* one by one; the venue answers each before the next."""
    for n in range(tape.intent_from[t], tape.signal_from[t + 1]):
        waiting = desk.counts[counter.WAITING]
        _take_intent(n, t, bars.now_ns, tape, levels, targets, rules, desk, outcome)
        if desk.counts[counter.WAITING] > waiting:
            _submit_entries(waiting, bars, rules, desk)


@kernel
def _close_before_holes(t, bars, tape, profile, rules, desk, following, outcome):
    """Close what is held in symbols whose data ends here for more than a day."""
    for at in range(tape.hole_from[t], tape.hole_from[t + 1]):
        s = tape.holes[at * 3]
        _take_shadows(tape.holes[at * 3 + 1], tape.holes[at * 3 + 2], tape, desk, outcome)
        _close_shadows(s, bars, rules, desk, following, outcome)
        row = shift(desk.symbols, s * position.SIZE)
        if row[position.STATE] == STATE_PENDING:
            _withdraw(desk, s, ORDER_ENTRY)
            _withdraw(desk, s, ORDER_REST)
            _drop_opening(desk, s, ORDER_ENTRY)
        elif row[position.STATE] == STATE_HELD:
            _withdraw(desk, s, ORDER_CLOSE)
            _withdraw(desk, s, ORDER_REDUCE)
            if row[position.ADD_QTY] > 0.0:
                _withdraw(desk, s, ORDER_ADD)
                _drop_addition(desk, s)
            row[position.REASON], row[position.CLOSING] = exit_reason.DATA_HOLE, 0.0
            close = bars.ohlc[s * bar.SIZE + bar.CLOSE]
            cost = _taker_cost(bars.cost_after_bps[s], rules.default_cost_bps)
            _fill_exit(s, PURPOSE_CLOSE, close, close, cost, bars.now_ns, profile, rules, desk, outcome)


# ---- the moments ----------------------------------------------------------------------------------------------------
@kernel
def _count_state(state, counts):
    """Count a moment in which the overall policy, in this *state* (RISK_*), permits no new trades or smaller ones."""
    if state == RISK_NONE:
        counts[counter.BLOCKED] += 1
    elif state == RISK_REDUCED:
        counts[counter.REDUCED] += 1


@kernel
def _note_equity(now_ns, equity, bars, rules, desk, outcome):
    """Keep the newest equity of the period and the notional held, and the deepest drawdown from the peak."""
    amounts, place = desk.money, (now_ns - 1) // rules.period_ns - outcome.first_period
    outcome.equity[place] = equity
    gross = 0.0
    for at in range(desk.counts[counter.HELD]):
        s = desk.held[at]
        gross += desk.symbols[s * position.SIZE + position.QTY] * bars.mark[s]
    outcome.gross[place] = gross
    if equity > amounts[money.PEAK]:
        amounts[money.PEAK] = equity
    drawdown = equity / amounts[money.PEAK] - 1.0
    if drawdown < amounts[money.DRAWDOWN]:
        amounts[money.DRAWDOWN] = drawdown


@kernel
def _run_moments(first, last, tape, levels, targets, profile, rules, desk, following, outcome):
    """Run moments *first* to *last*, one after the other."""
    for t in range(first, last):
        counts, bars = desk.counts, _bars(t, tape, levels, rules)
        results = _move_shadows(bars, rules, following)
        if counts[counter.HELD] > 0 or counts[counter.WAITING] > 0:
            _meet_bars(bars, tape, profile, rules, desk, outcome)
        equity, exposure = _mark(bars, desk)
        desk.money[money.EQUITY] = equity
        counts[counter.LEVEL] = policy_step(
            bars.now_ns, bars.quality, bars.keys, equity, exposure, profile, rules.size,
            rules.limits[limit_column.DAILY_LOSS_PCT], desk,
        )
        _count_state(desk.policy.out[pol.OUT_RISK_PROFILE], counts)
        _watch_halts(bars.now_ns, equity, rules, desk)
        waiting = counts[counter.WAITING]
        if targets is not None and rules.maker_bars > 0:
            _watch_resting(t, bars.now_ns, targets, rules, desk)
        if counts[counter.HELD] > 0:
            _manage_all(t, bars, targets, rules, desk)
        _follow_models(t, results, bars, tape, targets, profile, rules, desk, following, outcome)
        if tape.intent_from[t] > tape.signal_from[t]:
            for n in range(tape.signal_from[t], tape.intent_from[t]):
                _take_signal(n, t, bars.now_ns, tape, levels, rules, desk, outcome)
        if tape.shadow_span[2 * t + 1] > tape.shadow_span[2 * t]:
            _take_shadows(tape.shadow_span[2 * t], tape.shadow_span[2 * t + 1], tape, desk, outcome)
            _watch_streak(bars.now_ns, profile, desk)
        if waiting > 0:
            waiting = _expire_entries(t, waiting, bars, tape, targets, rules, desk, following, outcome)
        if counts[counter.WAITING] > waiting:
            _submit_entries(waiting, bars, rules, desk)
        if tape.signal_from[t + 1] > tape.intent_from[t]:
            _take_intents(t, bars, tape, levels, targets, rules, desk, outcome)
        _note_equity(bars.now_ns, equity, bars, rules, desk, outcome)
        if tape.hole_from[t + 1] > tape.hole_from[t]:
            _close_before_holes(t, bars, tape, profile, rules, desk, following, outcome)


@kernel
def _bare_tape(tape):
    """*tape* as pointers; what only :func:`fill_levels` reads is left as it is."""
    return SweepTape(
        pointer(tape.ts_ns), pointer(tape.ohlc), pointer(tape.present), pointer(tape.mark), pointer(tape.cost_bps),
        pointer(tape.funding_count), pointer(tape.funding_rate), pointer(tape.funding_from), pointer(tape.quality),
        pointer(tape.signal_from), pointer(tape.signal_symbol), pointer(tape.signals), pointer(tape.shadow_span),
        pointer(tape.shadow_symbol), pointer(tape.shadow_signal), pointer(tape.shadow_r), pointer(tape.hole_from),
        pointer(tape.holes), pointer(tape.state), pointer(tape.measures), pointer(tape.atr), pointer(tape.funding_8h),
        pointer(tape.funding_due), pointer(tape.intent_from), pointer(tape.volume_ratio),
    )


@kernel
def _bare_policy(policy):
    """*policy* as pointers."""
    return PolicyState(
        pointer(policy.account), pointer(policy.seen), pointer(policy.slots), pointer(policy.memory),
        pointer(policy.out), pointer(policy.refused), pointer(policy.rest), pointer(policy.wanted),
        pointer(policy.wanted_for),
    )


@kernel
def _bare_desk(desk):
    """*desk* as pointers."""
    return Desk(
        pointer(desk.symbols), pointer(desk.stamps), pointer(desk.held), pointer(desk.pending), pointer(desk.waiting),
        pointer(desk.opened), pointer(desk.counts), pointer(desk.money), pointer(desk.performance),
        pointer(desk.losses), pointer(desk.rate), pointer(desk.governor), pointer(desk.book),
        _bare_policy(desk.policy), pointer(desk.intent_row), pointer(desk.account_row), pointer(desk.limit_row),
    )


@kernel
def _bare_rules(rules):
    """*rules* with pointers for arrays."""
    return Rules(
        rules.size, rules.depth, rules.interval_ns, rules.period_ns, pointer(rules.switches), rules.fixed_confidence,
        rules.fixed_risk_pct, rules.fixed_positions, rules.fixed_exit, rules.fixed_volatility_pct,
        pointer(rules.limits), pointer(rules.instruments), pointer(rules.tiers), rules.leverage, rules.resume_hours,
        rules.trail_step_atr,
        rules.default_cost_bps, rules.range_bps, rules.liquidation_bps, rules.maker_bars, rules.maker_bps,
        rules.gates, pointer(rules.gate_limits), rules.gate_hours,
    )


@kernel
def _bare_targets(targets):
    """*targets* as pointers."""
    if targets is None:
        return None
    return Targets(
        targets.by_score, targets.stop_atr, targets.shadow_hours, targets.hours, pointer(targets.row),
        pointer(targets.target), pointer(targets.decided), pointer(targets.small), pointer(targets.confidence),
        pointer(targets.atr), pointer(targets.least), pointer(targets.most), pointer(targets.state),
        pointer(targets.expected_bps), pointer(targets.cost_bps),
    )


@kernel
def _bare_following(following):
    """*following* as pointers."""
    if following is None:
        return None
    return Following(
        pointer(following.signal), pointer(following.market), pointer(following.terms), pointer(following.fees),
        pointer(following.held), pointer(following.counts), pointer(following.marks), pointer(following.resolved),
        following.max_bars, following.range_bps, following.first, following.room,
    )


@kernel
def run_setting(first, last, tape, levels, profile, rules, desk, following, outcome):
    """Run moments *first* to *last* of *tape* under one setting; returns the error code, 0 when there is none.

    All arrays are contiguous. *desk* and *following* are changed, *outcome* filled. Nothing is allocated, and the
    interpreter's lock is not held.
    """
    bare_tape, bare_rules, bare_desk = _bare_tape(tape), _bare_rules(rules), _bare_desk(desk)
    bare_levels = Levels(pointer(levels.signal_vol), pointer(levels.signal_cost_r), pointer(levels.key), None)
    targets = _bare_targets(levels.targets)
    bare_outcome = Outcome(
        pointer(outcome.decision), pointer(outcome.quantity), pointer(outcome.trade_whole), pointer(outcome.trade),
        pointer(outcome.equity), pointer(outcome.gross), outcome.first_period,
    )
    limits_of_policy, bare_following = pointer(profile), _bare_following(following)
    _run_moments(
        first, last, bare_tape, bare_levels, targets, limits_of_policy, bare_rules, bare_desk, bare_following,
        bare_outcome,
    )
    return desk.counts[counter.ERROR]
