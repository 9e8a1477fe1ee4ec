"""How much to trade: quantity from risk, what a venue accepts, liquidation and leverage.

*tiers* is any indexable of rows ``(max_notional, rate, max_leverage, amount)`` in ascending order; rows of zeros are
padding. *room* and notionals are USDT, quantities base units. Unusable numbers give 0.0 (no trade) or NaN (unknown).
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.instrument import Tiers, floor_to
from quantum_trader.domain.scalar import scalar
from quantum_trader.risk.governor import level_factors

_MAX_STEPS: Final = 2.0**52  # beyond this many steps a quantity cannot be rounded exactly
_MIN_STEP: Final = 1e-12
_MAX_LEVERAGE: Final = 1000.0


@scalar
def tier_index(notional: float, tiers: Tiers) -> int:
    """Index of the first tier that holds *notional* (USDT); -1 above the table or when not finite."""
    if math.isfinite(notional) and notional > 0.0:
        for index in range(len(tiers)):
            if notional <= tiers[index][0]:
                return index
    return -1


@scalar
def risk_quantity(equity: float, risk_pct: float, factor: float, price: float, stop: float) -> float:
    """Quantity that loses ``risk_pct * factor`` percent of *equity* between *price* and *stop*; not rounded."""
    distance = abs(price - stop)
    amount = equity * risk_pct / 100.0 * factor
    if not (math.isfinite(amount) and math.isfinite(distance)) or amount <= 0.0 or distance <= 0.0:
        return 0.0
    quantity_found = amount / distance
    return quantity_found if math.isfinite(quantity_found) else 0.0


@scalar
def volatility_quantity(notional: float, volatility_pct: float, equity: float, price: float) -> float:
    """Quantity at *price* for a portfolio volatility of *volatility_pct* percent a year; not rounded.

    *notional*: in equities, for a portfolio volatility of 100 %.
    """
    return notional * volatility_pct / 100.0 * equity / price if price > 0.0 else 0.0


@scalar
def risk_weight(notional: float, volatility_pct: float, distance: float, price: float, risk_pct: float) -> float:
    """What one R counts for, of a position of *notional* (as in :func:`volatility_quantity`) with a stop at *distance*.

    Its loss at the stop over that of the permitted *risk_pct*, 1.0 at most; 1.0 where it cannot be said.
    """
    if not (price > 0.0 and risk_pct > 0.0):
        return 1.0
    weight = notional * volatility_pct * distance / price / risk_pct
    return weight if weight > 0.0 and weight < 1.0 else 1.0


@scalar
def excess_quantity(
    qty: float, most: float, price: float, step: float, min_qty: float, min_notional: float
) -> float:
    """What a position of *qty* holds beyond *most*, if it can be traded; 0.0 where that would close it."""
    excess = tradable(qty - most, price, step, min_qty, min_notional)
    return excess if excess < qty else 0.0


@scalar
def quantity_beside(sign: float, price: float, stop: float, amount: float, held: tuple[float, float]) -> float:
    """Quantity at *price* that loses *amount* USDT at *stop*, together with what is *held* (quantity, average entry).

    Not rounded; below 0.0 where the position alone would lose more, 0.0 where the stop is at the price.
    """
    if price == stop:
        return 0.0
    if held[0] > 0.0:
        amount -= held[0] * sign * (held[1] - stop)
    return amount / abs(price - stop)


@scalar
def tradable(qty: float, price: float, step: float, min_qty: float, min_notional: float) -> float:
    """*qty* rounded down to the step; 0.0 when that is under the venue's minimum quantity or notional."""
    if not (math.isfinite(qty) and math.isfinite(price) and qty > 0.0 and price > 0.0):
        return 0.0
    if not (math.isfinite(step) and step >= _MIN_STEP and qty < step * _MAX_STEPS):
        return 0.0
    rounded = floor_to(qty, step)
    if rounded > 0.0 and rounded >= min_qty and rounded * price >= min_notional:
        return rounded
    return 0.0


@scalar
def clip_to_margin(qty: float, price: float, leverage: float, room: float) -> float:
    """The part of *qty* whose initial margin (notional over leverage) fits into *room* USDT; not rounded."""
    if not (math.isfinite(qty) and math.isfinite(price) and math.isfinite(leverage) and math.isfinite(room)):
        return 0.0
    if qty <= 0.0 or price <= 0.0 or leverage <= 0.0 or room <= 0.0:
        return 0.0
    return min(qty, room * leverage / price)


@scalar
def _liquidation_in_tier(
    sign: float, entry: float, qty: float, leverage: float, rate: float, amount: float
) -> float:
    """Price where isolated margin plus loss equals ``qty * price * rate - amount`` (Binance USD-M, one position)."""
    margin = qty * entry / leverage
    divisor = qty * (1.0 - sign * rate)
    return (qty * entry - sign * (margin + amount)) / divisor if divisor > 0.0 else math.nan


@scalar
def liquidation_price(sign: float, entry: float, qty: float, leverage: float, tiers: Tiers) -> float:
    """Isolated liquidation price; 0.0 when a long cannot be liquidated, NaN for unusable numbers or above the table.

    The tier is the one that holds the notional *at the liquidation price*; while the search moves between tiers
    the price nearest to the entry is kept.
    """
    index = tier_index(qty * entry, tiers)
    if index < 0 or sign not in (1, -1) or not (math.isfinite(leverage) and leverage >= 1.0):
        return math.nan
    if not (qty > 0.0 and entry > 0.0):
        return math.nan
    found = _liquidation_in_tier(sign, entry, qty, leverage, tiers[index][1], tiers[index][3])
    for _ in range(len(tiers)):
        there = tier_index(qty * found, tiers)
        if there < 0 or there == index:
            break
        index = there
        price = _liquidation_in_tier(sign, entry, qty, leverage, tiers[index][1], tiers[index][3])
        if not sign * (price - found) <= 0.0:
            found = price
    return 0.0 if found <= 0.0 else found


@scalar
def liquidation_gap_pct(
    sign: float, price: float, stop: float, qty: float, leverage: float, tiers: Tiers
) -> float:
    """Percent of *price* between *stop* and liquidation; negative beyond it, inf when there is none, NaN unknown."""
    liquidation = liquidation_price(sign, price, qty, leverage, tiers)
    if liquidation == 0.0:
        return math.inf
    return sign * (stop - liquidation) / price * 100.0


@scalar
def leverage_cap(max_leverage: float, governor_level: float, notional: float, tiers: Tiers) -> float:
    """Highest whole leverage allowed: the limit times the governor's factor (at least 1), and the venue's tier.

    0.0 when nothing may be opened: EMERGENCY, a notional above the table, or an unusable limit.
    """
    index = tier_index(notional, tiers)
    if index < 0 or not (math.isfinite(max_leverage) and max_leverage >= 1.0) or not governor_level < GOV_EMERGENCY:
        return 0.0
    factor = level_factors(governor_level)[1]
    scaled = max(1.0, float(math.floor(min(max_leverage, _MAX_LEVERAGE) * factor + 1e-9)))
    venue_cap = float(tiers[index][2])
    if not venue_cap >= 1.0:
        return 0.0
    return min(scaled, venue_cap)


@scalar
def fit_leverage(
    wanted: float, max_leverage: float, governor_level: float, sign: float, price: float, stop: float, qty: float,
    buffer_pct: float, tiers: Tiers,
) -> float:
    """Highest whole leverage up to *wanted* that the guard accepts: under the cap, liquidation clear of the stop.

    0.0 when there is none.
    """
    cap = leverage_cap(max_leverage, governor_level, qty * price, tiers)
    if not (math.isfinite(wanted) and wanted >= 1.0):
        return 0.0
    leverage = float(math.floor(min(wanted, cap) + 1e-9))
    while leverage >= 1.0:
        if liquidation_gap_pct(sign, price, stop, qty, leverage, tiers) >= buffer_pct:
            return leverage
        leverage -= 1.0
    return 0.0
