"""The arithmetic of the paper venue as scalars: prices of fills, what a bar touches, margin, fees and funding.

The venue calls them as Python; the policy sweep compiles the very same functions. ``side_sign`` is that of the order
(+1 buy, -1 sell), ``position_sign`` that of the position (+1 long, -1 short). Prices in USDT, quantities in base
units, costs in basis points. ``tiers`` is any indexable of rows (max notional, maintenance rate, max leverage,
maintenance amount), ascending; rows with a max notional of 0 are padding.
"""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.instrument import Tiers, ceil_to, floor_to
from quantum_trader.domain.scalar import scalar

EXIT_NONE: Final = 0
EXIT_STOP: Final = 1
EXIT_LIQUIDATION: Final = 2
EXIT_TARGET: Final = 3

_BPS: Final = 1e-4


@scalar
def taker_cost(cost_bps: float, default_bps: float) -> float:
    """The taker's cost a side in a calm market, without fee; *default_bps* where the measured one is no cost."""
    if cost_bps >= 0.0 and cost_bps < 1e4:
        return cost_bps
    return default_bps


@scalar
def adverse_tick(side_sign: int, price: float, tick: float) -> float:
    """*price* on the tick grid, rounded against the one who trades; a sale gets one tick at least."""
    if side_sign > 0:
        return ceil_to(price, tick)
    return max(floor_to(price, tick), tick)


@scalar
def market_fill_price(side_sign: int, reference: float, cost_bps: float, tick: float) -> float:
    """Price of a taker's fill when the market stands at *reference*."""
    return adverse_tick(side_sign, reference * (1.0 + side_sign * cost_bps * _BPS), tick)


@scalar
def stop_fill_price(side_sign: int, trigger: float, open_: float, cost_bps: float, tick: float) -> float:
    """Price of a triggered stop: from the trigger, or from the open when the bar opened beyond it."""
    reference = max(trigger, open_) if side_sign > 0 else min(trigger, open_)
    return market_fill_price(side_sign, reference, cost_bps, tick)


@scalar
def target_fill_price(side_sign: int, trigger: float, open_: float, cost_bps: float, tick: float) -> float:
    """Price of a triggered take-profit (a taker): from the trigger, or from the open that gapped through it."""
    reference = min(trigger, open_) if side_sign > 0 else max(trigger, open_)
    return market_fill_price(side_sign, reference, cost_bps, tick)


@scalar
def limit_taker_price(side_sign: int, limit: float, open_: float, cost_bps: float, tick: float) -> float:
    """Price of a limit order that is marketable when it arrives: the market's, never worse than *limit*."""
    price = market_fill_price(side_sign, open_, cost_bps, tick)
    return min(price, limit) if side_sign > 0 else max(price, limit)


@scalar
def stop_touched(side_sign: int, trigger: float, low: float, high: float) -> bool:
    """Whether a stop triggers: a buy when the price rises to it, a sale when it falls to it."""
    return high >= trigger if side_sign > 0 else low <= trigger


@scalar
def target_touched(side_sign: int, trigger: float, low: float, high: float) -> bool:
    """Whether a take-profit triggers: a buy when the price falls to it, a sale when it rises to it."""
    return low <= trigger if side_sign > 0 else high >= trigger


@scalar
def limit_touched(side_sign: int, limit: float, low: float, high: float, maker_bps: float) -> bool:
    """Whether a resting limit fills: the price must trade *through* it by the maker's slippage, not touch it."""
    if side_sign > 0:
        return low < limit * (1.0 - maker_bps * _BPS)
    return high > limit * (1.0 + maker_bps * _BPS)


@scalar
def limit_marketable(side_sign: int, limit: float, price: float) -> bool:
    """Whether a limit order would trade at once when the market stands at *price*."""
    return limit >= price if side_sign > 0 else limit <= price


@scalar
def first_exit(
    position_sign: int, stop: float, target: float, liquidation: float, open_: float, low: float, high: float
) -> int:
    """What ends a position in a bar: EXIT_NONE, EXIT_STOP, EXIT_LIQUIDATION or EXIT_TARGET.

    0.0 means there is no such price. Stop before target; of stop and liquidation the one nearer to the open, the stop
    when they tie. The open alone is ``low = high = open_``.
    """
    stopped = stop > 0.0 and stop_touched(-position_sign, stop, low, high)
    if liquidation > 0.0 and stop_touched(-position_sign, liquidation, low, high):
        if stopped and abs(stop - open_) <= abs(liquidation - open_):
            return EXIT_STOP
        return EXIT_LIQUIDATION
    if stopped:
        return EXIT_STOP
    if target > 0.0 and target_touched(-position_sign, target, low, high):
        return EXIT_TARGET
    return EXIT_NONE


@scalar
def position_liquidation_price(position_sign: int, qty: float, entry: float, margin: float, tiers: Tiers) -> float:
    """Price at which an isolated position's margin and loss meet its maintenance margin; 0.0 when there is none.

    ``margin + pnl(P) = max over tiers (qty * P * rate - amount)``: a tier table is convex, so the nearest of the
    tiers' prices is exact for a notional in any tier. Source: Binance, "How to calculate liquidation
    price of USD-M futures contracts", for one isolated position.
    """
    found = 0.0
    for row in range(len(tiers)):
        if tiers[row][0] <= 0.0:
            continue
        rate, amount = tiers[row][1], tiers[row][3]
        price = (qty * entry - position_sign * (margin + amount)) / (qty * (1.0 - position_sign * rate))
        if position_sign > 0:
            found = max(found, price)
        elif found == 0.0 or price < found:
            found = price
    return found


@scalar
def liquidation_fill_price(position_sign: int, liquidation: float, open_: float, tick: float) -> float:
    """Price of a liquidation: the liquidation price, or the open when the bar opened beyond it."""
    worse = min(liquidation, open_) if position_sign > 0 else max(liquidation, open_)
    return adverse_tick(-position_sign, worse, tick)


@scalar
def maintenance_margin(notional: float, tiers: Tiers) -> float:
    """Margin (USDT) an open position of *notional* must keep."""
    found = 0.0
    for row in range(len(tiers)):
        if tiers[row][0] > 0.0:
            found = max(found, notional * tiers[row][1] - tiers[row][3])
    return found


@scalar
def tier_cap(leverage: float, tiers: Tiers) -> float:
    """Largest notional (USDT) allowed at *leverage*; 0.0 when no tier allows it."""
    found = 0.0
    for row in range(len(tiers)):
        if tiers[row][0] > 0.0 and tiers[row][2] >= leverage:
            found = max(found, tiers[row][0])
    return found


@scalar
def fee_amount(qty: float, price: float, fee_bps: float) -> float:
    """Fee in USDT, positive is paid."""
    return qty * price * fee_bps * _BPS


@scalar
def initial_margin(qty: float, price: float, leverage: float) -> float:
    """Margin (USDT) an isolated position of *qty* at *price* locks."""
    return qty * price / leverage


@scalar
def funding_amount(signed_qty: float, mark: float, rate: float) -> float:
    """Funding in USDT, positive is received: a long pays a positive *rate*, a short receives it."""
    return -signed_qty * mark * rate


@scalar
def fill_quantity(wanted: float, volume: float, participation: float, step: float) -> float:
    """How much of *wanted* a bar of *volume* fills: at most the share *participation*; all of it when that is 0."""
    if participation <= 0.0:
        return wanted
    return min(wanted, floor_to(max(volume, 0.0) * participation, step))


@scalar
def slippage_bps(side_sign: int, reference: float, price: float) -> float:
    """How much worse *price* is than *reference*, in basis points; negative is better."""
    return side_sign * (price - reference) / reference / _BPS
