"""The arithmetic of one isolated-margin position, step by step: decision, fill, stop, range of a bar, funding.

Every formula stands here once. It is written without branches, on scalars, so that three forms come of one source:
``market.jit.compiled`` makes machine code for one symbol at a time (the virtual positions, the Gymnasium view);
``array_form.array_form`` puts numpy or jax.numpy under the same functions, which then take arrays of any shapes that
broadcast. The originals are those of the engine and of the paper venue (``risk/sizing.py``,
``risk/exits.py``, ``engine/road.py``, ``venues/paper/fills.py``); this room may not import them, and tests prove the
two equal.

Prices in USDT, quantities in base units, money in USDT, costs in basis points. *side* is +1 for long or a buy, -1 for
short or a sale. A quantity or a price of 0.0 means that there is none.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from numpy import ceil, floor, isfinite, isnan, logical_not, maximum, minimum, rint, sign

from quantum_trader.domain.scalar import scalar

EXIT_NONE: Final = 0.0
EXIT_STOP: Final = 1.0  # also of a position that could have no stop
EXIT_LIQUIDATION: Final = 2.0
EXIT_FLAT: Final = 3.0  # closed by a decision for nothing
EXIT_FLIP: Final = 4.0  # closed by a decision for the other side
EXIT_HOLE: Final = 5.0  # closed at the last price before a hole in the data
EXIT_REPLACED: Final = 6.0  # closed at the last price, because another model takes the place of its own

_GRID: Final = 1e-9  # of a step: nearer than this to a multiple is the multiple
_HAIR: Final = 1e-6  # of a tick: nearer than this two prices are the same
_BPS: Final = 1e-4
_CLEAR: Final = 1.0 + 1e-6  # times the buffer, beyond rounding noise
_LIQUIDATION_BUFFER: Final = 0.1  # share of the way from liquidation to entry that a stop keeps clear of
_BESIDE_LIQUIDATION: Final = 0.002  # of the entry price: a stop nearer than this to liquidation is next to it
_LARGEST: Final = 1e300  # stands for "no limit" where an infinite number would give no number


class Terms(NamedTuple):
    """What a venue asks of one symbol. Each a number, or arrays of one shape; *tiers* has two axes before that."""

    tick: Any
    step: Any
    min_qty: Any
    min_notional: Any  # USDT
    fee_bps: Any  # of a taker, a side
    liquidation_fee_bps: Any  # on top of the taker's
    range_bps: Any  # of a taker, times range/price of a 4-hour bar
    range_root: Any  # square root of 4 hours over the length of a bar
    tiers: Any  # (K, 4, ...) most notional, maintenance rate, most leverage, maintenance amount; rows of 0 are padding


class Sizing(NamedTuple):
    """How large a position may be and where its stop lies."""

    stop_atr: Any  # distance of the stop, in ATRs
    risk_pct: Any  # of the equity, lost between entry and stop at most
    leverage: Any  # whole number wanted of the account
    buffer_pct: Any  # between stop and liquidation, percent of the price


class VirtualPosition(NamedTuple):
    """One symbol's position; all 0.0 is none."""

    qty: Any  # signed
    entry: Any  # average price
    margin: Any  # locked, USDT
    liquidation: Any  # price, 0.0: never
    leverage: Any
    stop: Any  # resting at the venue, 0.0: none
    first_stop: Any  # that R is measured from
    peak_qty: Any  # largest quantity so far
    share: Any  # signed share of the equity that it was opened or resized for
    atr: Any  # when it was opened, price units
    net: Any  # USDT earned so far: realised profit and funding less fees
    stop_qty: Any  # quantity that the stop was placed for; a reduction leaves it as it is


class PendingOrder(NamedTuple):
    """A market order that waits for the next open; all 0.0 is none."""

    qty: Any  # signed, of an opening, an addition or a reduction
    closes: Any  # EXIT_FLAT, EXIT_FLIP or EXIT_STOP: closes whatever is held
    leverage: Any
    atr: Any  # price units
    stop_atr: Any
    stop: Any  # that an addition was judged with
    share: Any  # signed share of the equity that is wanted


class StepBar(NamedTuple):
    """One bar and what is charged in it."""

    open: Any
    high: Any
    low: Any
    cost_bps: Any  # of a taker in a calm market, as known before the bar
    funding_rate: Any  # sum of the rates due at its open


class BarOutcome(NamedTuple):
    """What a bar did."""

    position: Any
    order: Any
    cash: Any  # change of the wallet, USDT
    exit: Any  # EXIT_*; the position ended in this bar
    closed_net: Any  # USDT that the position made that ended
    closed_risk: Any  # USDT between its entry and its first stop
    closed_sign: Any  # side of the position that ended
    closed_share: Any  # signed share that was wanted of it
    traded: Any  # notional traded, USDT


# ---------------------------------------------------------------------- numbers


@scalar
def where(condition: Any, chosen: Any, other: Any) -> Any:
    """*chosen* where *condition* holds, else *other*; both are computed."""
    return chosen if condition else other


@scalar
def safe(divisor: Any) -> Any:
    """*divisor*, or 1.0 where it is 0.0: of a quotient that is not used there."""
    return where(divisor == 0.0, 1.0, divisor)


@scalar
def grid_price(count: Any, increment: Any) -> Any:
    """*count* increments; through the inverse where it is below 1, which keeps decimals exact."""
    inverse = maximum(rint(1.0 / safe(increment)), 1.0)
    return where(increment < 1.0, count / inverse, count * increment)


@scalar
def round_down(value: Any, increment: Any) -> Any:
    """*value* rounded down to a multiple of *increment*."""
    return grid_price(floor(value / safe(increment) + _GRID), increment)


@scalar
def round_up(value: Any, increment: Any) -> Any:
    """*value* rounded up to a multiple of *increment*."""
    return grid_price(ceil(value / safe(increment) - _GRID), increment)


@scalar
def round_nearest(value: Any, increment: Any) -> Any:
    """*value* rounded to the nearest multiple of *increment*, halves up."""
    return grid_price(floor(value / safe(increment) + 0.5), increment)


# ---------------------------------------------------------------------- quantity and leverage


@scalar
def tradable_qty(qty: Any, price: Any, terms: Any) -> Any:
    """*qty* rounded down to the step; 0.0 when that is under the least quantity or notional."""
    rounded = round_down(maximum(qty, 0.0), terms.step)
    enough = (rounded > 0.0) & (rounded >= terms.min_qty) & (rounded * price >= terms.min_notional)
    return where(enough, rounded, 0.0)


@scalar
def average_entry(qty: Any, entry: Any, added: Any, price: Any) -> Any:
    """Average entry price after adding *added* at *price* to *qty* at *entry*."""
    return (qty * entry + added * price) / safe(qty + added)


@scalar
def liquidation_of(side: Any, qty: Any, entry: Any, margin: Any, tiers: Any) -> Any:
    """Price at which an isolated position's margin and loss meet its maintenance margin; 0.0 where there is none.

    The nearest to the entry of the prices of all tiers, which is that of the tier in force: a table is convex.
    """
    long_price = 0.0 * entry
    short_price = 0.0 * entry
    for row in range(len(tiers)):
        rate, amount = tiers[row][1], tiers[row][3]
        found = (qty * entry - side * (margin + amount)) / safe(qty * (1.0 - side * rate))
        listed = (tiers[row][0] > 0.0) & (qty > 0.0)
        long_price = where(listed, maximum(long_price, found), long_price)
        nearer = listed & ((short_price == 0.0) | (found < short_price))
        short_price = where(nearer, found, short_price)
    return where(side > 0.0, long_price, short_price)


@scalar
def most_leverage(notional: Any, tiers: Any) -> Any:
    """The most leverage that a venue's table allows for *notional*; 0.0 above the table."""
    found = 0.0 * notional
    for row in range(len(tiers)):
        found = where((tiers[row][0] >= notional) & (notional > 0.0), maximum(found, tiers[row][2]), found)
    return found


@scalar
def is_clear(side: Any, price: Any, stop: Any, qty: Any, leverage: Any, buffer_pct: Any, tiers: Any) -> Any:
    """Whether a position's liquidation is beyond its *stop* by *buffer_pct* percent of *price*, or there is none."""
    liquidation = liquidation_of(side, qty, price, qty * price / maximum(leverage, 1.0), tiers)
    gap = side * (stop - liquidation) / safe(price) * 100.0
    return (liquidation <= 0.0) | (gap >= buffer_pct)


@scalar
def safe_leverage(
    wanted: Any, side: Any, price: Any, stop: Any, qty: Any, buffer_pct: Any, tiers: Any
) -> Any:
    """The highest whole leverage up to *wanted* that the table allows and that keeps liquidation clear of the stop.

    0.0 where there is none. The margin that is needed is solved for each tier; the whole numbers around that answer
    are then tried as they are, so that rounding decides as it does for the venue.
    """
    cap = most_leverage(qty * price, tiers)
    highest = floor(minimum(wanted, cap) + _GRID)
    needed = 0.0 * price
    for row in range(len(tiers)):
        bound = (side * stop - buffer_pct * price / 100.0) * qty * (1.0 - side * tiers[row][1])
        needed = where(
            tiers[row][0] > 0.0, maximum(needed, side * qty * price - tiers[row][3] - bound), needed
        )
    solved = where(needed > 0.0, floor(minimum(qty * price / safe(needed), 1e6)), 1e6)
    found = where(is_clear(side, price, stop, qty, 1.0, buffer_pct, tiers), 1.0, 0.0)
    for offset in range(3):
        tried = minimum(solved + (offset - 1.0), highest)
        fits = (tried >= 1.0) & is_clear(side, price, stop, qty, tried, buffer_pct, tiers)
        found = where(fits, maximum(found, tried), found)
    return where(highest >= 1.0, found, 0.0)


# ---------------------------------------------------------------------- the decision


@scalar
def order_for(position: Any, order: Any, share: Any, close: Any, atr: Any, equity: Any, terms: Any, sizing: Any) -> Any:
    """The order of a decision for the signed *share* of *equity* at the *close* of an observed bar.

    *share*: 0.0 closes, NaN keeps. The same share as before keeps too; a larger one on the same side adds, with the
    ATR of the opening; a smaller one reduces; the other side closes, and opens at a later decision. *atr* in price
    units. While an *order* waits it stays.
    """
    side, held = sign(position.qty), abs(position.qty)
    keeps = isnan(share)
    wanted_share = where(keeps, 0.0, share)
    wanted_side = sign(wanted_share)
    wanted = abs(wanted_share) * equity / safe(close)
    waits = (order.qty != 0.0) | (order.closes != 0.0)
    closes = (held > 0.0) & (wanted_side != side)
    resizes = (held > 0.0) & (wanted_side == side) & (wanted_share != position.share)
    adds = resizes & (abs(wanted_share) > abs(position.share))
    opens = (held == 0.0) & (wanted_side != 0.0)
    range_ = where(adds, position.atr, atr)
    held_before = where(adds, held, 0.0)
    entry_before = where(adds, position.entry, 0.0)
    stop = judged_stop(wanted_side, close, range_, wanted, held_before, entry_before, position, terms, sizing)
    qty, leverage = sized_entry(
        wanted_side, close, stop, equity, wanted, held_before, entry_before,
        where(adds, position.leverage, sizing.leverage), terms, sizing,
    )
    may_enter = (opens | adds) & (range_ > 0.0) & (leverage >= where(adds, position.leverage, 1.0))
    excess = tradable_qty(held - wanted, close, terms)
    reduces = resizes & logical_not(adds) & (excess > 0.0) & (excess < held)
    signed = where(may_enter, wanted_side * qty, where(reduces, -side * excess, 0.0))
    code = where(closes, where(wanted_side == 0.0, EXIT_FLAT, EXIT_FLIP), 0.0)
    new = logical_not(keeps | waits)
    return PendingOrder(
        where(new, signed, order.qty),
        where(new, code, order.closes),
        where(new, where(may_enter, leverage, 0.0), order.leverage),
        where(new, where(signed != 0.0, range_, 0.0), order.atr),
        where(new, where(signed != 0.0, sizing.stop_atr, 0.0), order.stop_atr),
        where(new, where(may_enter & adds, stop, 0.0), order.stop),
        where(new, where(signed != 0.0, wanted_share, 0.0), order.share),
    )


@scalar
def judged_stop(
    side: Any, price: Any, atr: Any, wanted: Any, held: Any, entry: Any, position: Any, terms: Any, sizing: Any
) -> Any:
    """The stop that an entry at *price* is judged with, or that a position *held* at *entry* has after an addition.

    It lies ``stop_atr`` ATRs from the average entry of all that is *wanted*; after an addition it is also clear of
    liquidation by the buffer, and never looser than before.
    """
    average = average_entry(held, entry, maximum(wanted - held, 0.0), price)
    after = average - side * sizing.stop_atr * atr
    liquidation = liquidation_of(side, wanted, average, wanted * average / maximum(position.leverage, 1.0), terms.tiers)
    clear = liquidation + side * sizing.buffer_pct * _CLEAR / 100.0 * average
    cleared = where((liquidation > 0.0) & ((clear - after) * side > 0.0), clear, after)
    tighter = where((cleared - position.stop) * side > 0.0, cleared, position.stop)
    return where(held > 0.0, tighter, price - side * sizing.stop_atr * atr)


@scalar
def sized_entry(
    side: Any, price: Any, stop: Any, equity: Any, wanted: Any, held: Any, entry: Any, wanted_leverage: Any, terms: Any,
    sizing: Any,
) -> Any:
    """(quantity, leverage) of an entry at *price* with its *stop*, or of an addition to what is *held*; 0.0: none.

    *wanted*: the quantity to hold in all; together it loses the permitted risk at the stop at most.
    """
    distance = abs(price - stop)
    amount = equity * sizing.risk_pct / 100.0
    left = amount - held * side * (entry - stop)
    by_risk = where((amount > 0.0) & (distance > 0.0), left / safe(distance), 0.0)
    qty = tradable_qty(minimum(by_risk, wanted - held), price, terms)
    average = average_entry(held, entry, qty, price)
    leverage = safe_leverage(wanted_leverage, side, average, stop, held + qty, sizing.buffer_pct, terms.tiers)
    enters = (qty > 0.0) & (leverage > 0.0)
    return where(enters, qty, 0.0), where(enters, leverage, 0.0)


# ---------------------------------------------------------------------- fills


@scalar
def cost_in_bar(bar: Any, terms: Any) -> Any:
    """Cost of a taker's fill in *bar*, a side, in basis points, without fee: that of a calm market and of its range."""
    spread = where(bar.high > bar.low, bar.high - bar.low, 0.0)
    return bar.cost_bps + terms.range_bps * (spread / safe(bar.open) * terms.range_root)


@scalar
def worse_tick(side: Any, price: Any, tick: Any) -> Any:
    """*price* on the tick grid, against the one who trades; a sale gets one tick at least."""
    return where(side > 0.0, round_up(price, tick), maximum(round_down(price, tick), tick))


@scalar
def market_price(side: Any, reference: Any, cost_bps: Any, tick: Any) -> Any:
    """Price of a taker's fill when the market stands at *reference*."""
    return worse_tick(side, reference * (1.0 + side * cost_bps * _BPS), tick)


@scalar
def stop_from_fill(side: Any, price: Any, distance: Any, liquidation: Any, tick: Any) -> Any:
    """The stop of a position filled at *price*, on the tick grid; 0.0 where there can be none.

    It is rounded towards the entry, and keeps a tenth of the way from liquidation to the fill clear of liquidation.
    """
    bound = liquidation + _LIQUIDATION_BUFFER * (price - liquidation)
    below = round_up(maximum(price - distance, bound), tick)
    below = where(below > price - _HAIR * tick, round_down(price - _HAIR * tick, tick), below)
    below_fits = (below > maximum(bound - _HAIR * tick, liquidation)) & (below < price)
    bound = where(liquidation > 0.0, bound, price + distance)
    wanted = minimum(price + distance, bound)
    above = round_down(wanted, tick)
    near = above < price + _HAIR * tick
    above = where(near, round_up(price + _HAIR * tick, tick), above)
    beyond = (liquidation > 0.0) & (above > bound + _HAIR * tick)
    above_fits = logical_not(near & beyond) & ((liquidation <= 0.0) | (above < liquidation)) & (above > price)
    fits = where(side > 0.0, below_fits, above_fits & (wanted >= tick)) & (distance > 0.0) & isfinite(distance)
    fits = fits & (price >= tick) & ((liquidation <= 0.0) | (side * (price - liquidation) > 0.0))
    return where(fits, where(side > 0.0, below, above), 0.0)


@scalar
def stop_after_addition(side: Any, judged: Any, current: Any, tick: Any) -> Any:
    """The stop after an addition that was judged with *judged*: on the grid, and never looser than *current*."""
    placed = where(side > 0.0, round_up(judged, tick), round_down(judged, tick))
    return where((judged >= tick) & ((placed - current) * side > 0.0), placed, current)


@scalar
def fill(position: Any, order: Any, bar: Any, terms: Any) -> Any:
    """Fill *order* at the open of *bar*: (position, order that is left, change of cash, notional, covered quantity).

    A position that can have no stop is closed by the order that is left, at the next open. After an addition whose
    stop the open has passed already, the stop of before still covers what it was placed for; that is the last number,
    0.0 where the stop covers all.
    """
    side, held = sign(position.qty), abs(position.qty)
    closing = where(
        order.closes != 0.0, held, where(order.qty * position.qty < 0.0, minimum(abs(order.qty), held), 0.0)
    )
    opening = where((order.closes == 0.0) & (order.qty * position.qty >= 0.0), abs(order.qty), 0.0)
    way = where(opening > 0.0, sign(order.qty), -side)
    qty = opening + closing
    price = market_price(way, bar.open, cost_in_bar(bar, terms), terms.tick)
    pnl = side * closing * (price - position.entry)
    cash = pnl - qty * price * terms.fee_bps * _BPS
    left = round_nearest(held - closing, terms.step)
    kept_margin = where(held > 0.0, position.margin * (left / safe(held)), 0.0)
    is_new = (held == 0.0) & (opening > 0.0)
    leverage = where(is_new, order.leverage, position.leverage)
    now = where(opening > 0.0, round_nearest(held + opening, terms.step), left)
    entry = where(opening > 0.0, average_entry(held, position.entry, opening, price), position.entry)
    margin = where(
        opening > 0.0, position.margin + opening * price / maximum(leverage, 1.0), kept_margin
    )
    now_side = where(opening > 0.0, sign(order.qty), side)
    liquidation = where(qty > 0.0, liquidation_of(now_side, now, entry, margin, terms.tiers), position.liquidation)
    distance = order.stop_atr * order.atr
    fresh_stop = stop_from_fill(now_side, price, distance, liquidation, terms.tick)
    moved_stop = stop_after_addition(now_side, order.stop, position.stop, terms.tick)
    adds = (opening > 0.0) & (held > 0.0)
    stop = where(is_new, fresh_stop, where(adds, moved_stop, position.stop))
    planned = where(is_new & (stop == 0.0), entry - now_side * distance, stop)
    first_stop = where(is_new | adds, planned, position.first_stop)
    passed = (stop > 0.0) & (now_side * (bar.open - stop) <= 0.0)
    behind = adds & (liquidation > 0.0) & ((stop - liquidation) * now_side < _BESIDE_LIQUIDATION * entry)
    unprotected = (now > 0.0) & ((is_new & (stop == 0.0)) | ((is_new | adds) & passed) | behind)
    kept_stop = where(unprotected, where(adds, position.stop, 0.0), stop)
    filled = VirtualPosition(
        now_side * now, entry, margin, liquidation, leverage, kept_stop, first_stop,
        maximum(position.peak_qty, now), where(order.qty != 0.0, order.share, position.share),
        where(is_new, order.atr, position.atr), position.net + cash,
        where((is_new | adds) & logical_not(unprotected), now, position.stop_qty),
    )
    rest = PendingOrder(
        0.0 * order.qty, where(unprotected, EXIT_STOP, 0.0), 0.0 * order.qty, 0.0 * order.qty, 0.0 * order.qty,
        0.0 * order.qty, 0.0 * order.qty,
    )
    covered = where(adds & unprotected, minimum(position.stop_qty, now), 0.0)
    return filled, rest, cash, qty * price, covered


# ---------------------------------------------------------------------- the range of a bar


@scalar
def first_reached(side: Any, stop: Any, liquidation: Any, open_: Any, low: Any, high: Any) -> Any:
    """What ends a position between *low* and *high*: EXIT_NONE, EXIT_STOP or EXIT_LIQUIDATION.

    Of both the one that is nearer to the open; the stop when they tie.
    """
    stopped = (stop > 0.0) & where(side > 0.0, low <= stop, high >= stop) & (side != 0.0)
    liquidated = (liquidation > 0.0) & where(side > 0.0, low <= liquidation, high >= liquidation) & (side != 0.0)
    stop_first = stopped & (abs(stop - open_) <= abs(liquidation - open_))
    return where(
        liquidated & logical_not(stop_first), EXIT_LIQUIDATION, where(stopped, EXIT_STOP, EXIT_NONE)
    )


@scalar
def exit_price(code: Any, side: Any, stop: Any, liquidation: Any, bar: Any, terms: Any) -> Any:
    """Price at which a stop or a liquidation fills: its level, or the open where the bar opened beyond it."""
    level = where(code == EXIT_LIQUIDATION, liquidation, stop)
    worse = where(side > 0.0, minimum(level, bar.open), maximum(level, bar.open))
    stopped = market_price(-side, worse, cost_in_bar(bar, terms), terms.tick)
    return where(code == EXIT_LIQUIDATION, worse_tick(-side, worse, terms.tick), stopped)


@scalar
def risk_of(position: Any) -> Any:
    """USDT between the average entry and the first stop, of the largest quantity held."""
    return abs(position.entry - position.first_stop) * position.peak_qty


@scalar
def emptied(position: Any, ended: Any) -> Any:
    """*position*, or none where it has *ended*."""
    return VirtualPosition(
        where(ended, 0.0, position.qty), where(ended, 0.0, position.entry), where(ended, 0.0, position.margin),
        where(ended, 0.0, position.liquidation), where(ended, 0.0, position.leverage),
        where(ended, 0.0, position.stop), where(ended, 0.0, position.first_stop),
        where(ended, 0.0, position.peak_qty), where(ended, 0.0, position.share),
        where(ended, 0.0, position.atr), where(ended, 0.0, position.net), where(ended, 0.0, position.stop_qty),
    )


@scalar
def sold_at(position: Any, code: Any, stop: Any, qty: Any, bar: Any, terms: Any) -> Any:
    """(position, change of cash, notional) after *qty* of it left at its *stop* or its liquidation, by *code*.

    What is left of it has no stop. With a *qty* of 0.0 nothing changes.
    """
    side, held = sign(position.qty), abs(position.qty)
    price = exit_price(code, side, stop, position.liquidation, bar, terms)
    fee_bps = terms.fee_bps + where(code == EXIT_LIQUIDATION, terms.liquidation_fee_bps, 0.0)
    cash = side * qty * (price - position.entry) - qty * price * fee_bps * _BPS
    left = round_nearest(held - qty, terms.step)
    margin = position.margin * (left / safe(held))
    liquidation = liquidation_of(side, left, position.entry, margin, terms.tiers)
    sells = qty > 0.0
    after = VirtualPosition(
        where(sells, side * left, position.qty), position.entry, where(sells, margin, position.margin),
        where(sells, liquidation, position.liquidation), position.leverage, where(sells, 0.0, position.stop),
        position.first_stop, position.peak_qty, position.share, position.atr, position.net + cash, position.stop_qty,
    )
    return after, cash, qty * price


@scalar
def through_bar(position: Any, order: Any, bar: Any, terms: Any) -> Any:
    """Take a position and the *order* that waits through one *bar*: funding, fill, gaps at the open, its range."""
    funding = -position.qty * bar.open * bar.funding_rate
    before = VirtualPosition(
        position.qty, position.entry, position.margin, position.liquidation, position.leverage, position.stop,
        position.first_stop, position.peak_qty, position.share, position.atr, position.net + funding,
        position.stop_qty,
    )
    filled, rest, cash, traded, covered = fill(before, order, bar, terms)
    side, held = sign(filled.qty), abs(filled.qty)
    closed_by_order = (before.qty != 0.0) & (held == 0.0)
    gap = first_reached(side, filled.stop, filled.liquidation, bar.open, bar.open, bar.open)
    in_part = where((gap == EXIT_STOP) & (covered > 0.0), covered, held)
    gapped, gap_cash, gap_sold = sold_at(
        filled, gap, filled.stop, where(gap != EXIT_NONE, in_part, 0.0), bar, terms
    )
    reached = first_reached(sign(gapped.qty), gapped.stop, gapped.liquidation, bar.open, bar.low, bar.high)
    in_part = where((reached == EXIT_STOP) & (covered > 0.0), covered, abs(gapped.qty))
    stopped, stop_cash, stop_sold = sold_at(
        gapped, reached, gapped.stop, where(reached != EXIT_NONE, in_part, 0.0), bar, terms
    )
    last = first_reached(sign(stopped.qty), 0.0 * stopped.stop, stopped.liquidation, bar.open, bar.low, bar.high)
    last = where(reached == EXIT_STOP, last, EXIT_NONE)  # what the stop did not cover
    kept, last_cash, last_sold = sold_at(
        stopped, last, stopped.stop, where(last != EXIT_NONE, abs(stopped.qty), 0.0), bar, terms
    )
    finished = (kept.qty == 0.0) & ((held > 0.0) | closed_by_order)
    in_range = where(last != EXIT_NONE, last, reached)
    code = where(closed_by_order, order.closes, where(in_range != EXIT_NONE, in_range, gap))
    closes = where(finished, 0.0, rest.closes)
    return BarOutcome(
        emptied(kept, kept.qty == 0.0),
        PendingOrder(rest.qty, closes, rest.leverage, rest.atr, rest.stop_atr, rest.stop, rest.share),
        funding + cash + gap_cash + stop_cash + last_cash,
        where(finished, code, EXIT_NONE),
        where(finished, kept.net, 0.0), where(finished, risk_of(kept), 0.0),
        where(finished, where(closed_by_order, sign(before.qty), side), 0.0),
        where(finished, where(closed_by_order, before.share, filled.share), 0.0),
        traded + gap_sold + stop_sold + last_sold,
    )


@scalar
def open_profit(position: Any, price: Any) -> Any:
    """Unrealised profit at *price*, USDT."""
    return position.qty * (price - position.entry)


@scalar
def open_risks(position: Any, price: Any) -> Any:
    """Unrealised profit at *price* over the risk of the entry (R); 0.0 without a position."""
    risk = risk_of(position)
    return where((position.qty != 0.0) & (risk > 0.0), open_profit(position, price) / safe(risk), 0.0)


@scalar
def stop_share(position: Any, price: Any) -> Any:
    """Distance from *price* to the stop, a fraction of the price; 0.0 without a position or a stop."""
    known = (position.qty != 0.0) & (position.stop > 0.0) & (price > 0.0)
    return where(known, abs(price - position.stop) / safe(price), 0.0)
