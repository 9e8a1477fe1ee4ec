"""The checks of an opening signal as scalar functions: gates, sizing, leverage; then the guard.

The cheapest checks come first. The engine calls them as Python and maps their code to a recorded reason; the sweep
compiles them. A signal against an open position does not open: the opposite position must close first, and closing
has no gates.
"""

from __future__ import annotations

import math
from typing import Any, Final

from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.indicators import vol_level
from quantum_trader.domain.instrument import ceil_to, floor_to
from quantum_trader.domain.scalar import scalar
from quantum_trader.policy.enforcement import NOT_CONFIDENCE, NOT_GATE, NOT_SYMBOL, refusals
from quantum_trader.risk.exits import exit_row
from quantum_trader.risk.sizing import fit_leverage, liquidation_price, quantity_beside, risk_quantity, tradable

ROAD_APPROVED: Final = 0
ROAD_WARM_UP: Final = 1
ROAD_HELD: Final = 2
ROAD_FLIP: Final = 3
ROAD_PENDING: Final = 4
ROAD_GATE: Final = 5
ROAD_SYMBOL: Final = 6
ROAD_CONFIDENCE: Final = 7
ROAD_POSITIONS: Final = 8
ROAD_SIZE: Final = 9
ROAD_LEVERAGE: Final = 10
ROAD_GOVERNOR: Final = 11
ROAD_NO_POSITION: Final = 12  # a reducing intent without a position
ROAD_REDUCES: Final = 13  # a reducing intent, which closes its position
ROAD_PILOT_PRIMARY: Final = 14  # a signal while the pilot alone opens positions
ROAD_PILOT_CONFIDENT: Final = 15  # a signal against a pilot that is more confident
# An enforced gate of models.gates refuses, in the order of its GATES.
(
    ROAD_SPREAD, ROAD_VOLUME, ROAD_REGIME, ROAD_EDGE, ROAD_GATE_CONFIDENCE, ROAD_META_LABEL,
) = range(16, 22)


_CLEAR: Final = 1.0 + 1e-6  # times the guard's buffer, beyond rounding noise
EXIT_HIGH_VOL: Final = 0.04  # STANDARD's thresholds
EXIT_EXTREME_VOL: Final = 0.06

ROAD_REASONS: Final = {
    ROAD_WARM_UP: "WARM_UP",
    ROAD_HELD: "ALREADY_HELD",
    ROAD_FLIP: "CLOSES_FIRST",
    ROAD_PENDING: "ORDER_PENDING",
    ROAD_GATE: "TRADING_GATE",
    ROAD_SYMBOL: "SYMBOL_FILTER",
    ROAD_CONFIDENCE: "LOW_CONFIDENCE",
    ROAD_POSITIONS: "POSITION_LIMIT",
    ROAD_SIZE: "BELOW_MINIMUM_SIZE",
    ROAD_LEVERAGE: "NO_SAFE_LEVERAGE",
    ROAD_GOVERNOR: "GOVERNOR",
    ROAD_NO_POSITION: "NO_POSITION",
    ROAD_PILOT_PRIMARY: "PILOT_PRIMARY",
    ROAD_PILOT_CONFIDENT: "PILOT_MORE_CONFIDENT",
    ROAD_SPREAD: "GATE_SPREAD",
    ROAD_VOLUME: "GATE_VOLUME",
    ROAD_REGIME: "GATE_REGIME",
    ROAD_EDGE: "GATE_COST",
    ROAD_GATE_CONFIDENCE: "GATE_CONFIDENCE",
    ROAD_META_LABEL: "GATE_META_LABEL",
}


@scalar
def gate(
    sign: int, confidence: float, atr: float, held_sign: int, pending: int, open_count: int, settings: Any
) -> int:
    """The gates before sizing; *settings* as ``settings_in_use`` returns them. 0 passes, else a ROAD code."""
    if not (atr > 0.0):
        return ROAD_WARM_UP
    if held_sign == sign:
        return ROAD_HELD
    if held_sign != 0:
        return ROAD_FLIP
    if pending != 0:
        return ROAD_PENDING
    found = refusals(settings, confidence, open_count)
    if found == 0:
        return ROAD_APPROVED
    if found & NOT_GATE:
        return ROAD_GATE
    if found & NOT_SYMBOL:
        return ROAD_SYMBOL
    return ROAD_CONFIDENCE if found & NOT_CONFIDENCE else ROAD_POSITIONS


@scalar
def road_of_signal(
    sign: int, confidence: float, atr: float, held: tuple[int, int, int], adds: int, is_kept: int, is_pilots: int,
    pilot_road: int, settings: Any,
) -> int:
    """The ROAD code of a signal before the six gates: warm-up, positions, the settings in use, the pilot's stance.

    *held*: sign of the symbol's position, 1 where an order for it is on its way, positions and such orders in all. A
    signal that *adds* to a position counts as no further one; one that *is_kept* is not reversed by a signal.
    """
    held_sign, pending, open_count = held
    if adds != 0:
        code = gate(sign, confidence, atr, 0, pending, open_count - 1, settings)
    else:
        code = gate(sign, confidence, atr, held_sign, pending, open_count, settings)
        if code == ROAD_FLIP and is_kept != 0:
            code = ROAD_HELD
    if code == ROAD_APPROVED or (is_pilots != 0 and code in (ROAD_HELD, ROAD_PENDING)):
        return pilot_road if pilot_road != ROAD_APPROVED else code
    return code


@scalar
def planned_stop(sign: int, price: float, atr: float, stop_atr: float) -> float:
    """The stop, *stop_atr* ATRs away, of a position opened at *price*, before tick rounding."""
    return price - sign * stop_atr * atr


@scalar
def resting_price(sign: int, price: float, tick: float) -> float:
    """The best price of the own side when the market stands at *price*: where a post-only entry of *sign* rests."""
    return max(floor_to(price, tick), tick) if sign > 0 else ceil_to(price, tick)


@scalar
def entry_stop(
    sign: int, price: float, atr: float, stop_atr: float, wanted: float, held: tuple[float, float], stop: float,
    leverage: float, limits: Any, tiers: Any,
) -> float:
    """The stop that an entry at *price* is judged with, or that a position has after an addition.

    A position that is *held* (quantity, average entry) has its *stop* and *leverage*. After an addition up to *wanted*
    in all the stop lies *stop_atr* ATRs from the average entry, and clear of liquidation by the guard's buffer
    (*limits*, its row), where that is nearer to the price.
    """
    if not (held[0] > 0.0):
        return planned_stop(sign, price, atr, stop_atr)
    if not (wanted > held[0]):
        return stop
    entry = entry_after_fill(held[0], held[1], wanted - held[0], price)
    after = planned_stop(sign, entry, atr, stop_atr)
    liquidation = liquidation_price(sign, entry, wanted, leverage, tiers)
    if liquidation > 0.0:
        clear = liquidation + sign * limits[4] * _CLEAR / 100.0 * entry
        after = clear if (clear - after) * sign > 0.0 else after
    return after if (after - stop) * sign > 0.0 else stop


@scalar
def size_entry(
    sign: int, price: float, stop: float, equity: float, risk_pct: float, factor: float, governor: int,
    wanted_leverage: float, instrument: Any, limits: Any, tiers: Any, wanted: float, held: tuple[float, float],
) -> tuple[int, float, float]:
    """Quantity and leverage of an entry at *price* with its *stop*, or of an addition to what is *held*.

    *instrument* is (step, min_qty, min_notional), *limits* the guard's limit row, *factor* the symbol's risk factor
    times the governor's size. *wanted*: the quantity to hold in all; infinite where the risk alone decides. *held*:
    (quantity, average entry); its leverage must be the wanted one. Returns (ROAD code, quantity, leverage).
    """
    if governor >= GOV_EMERGENCY:
        return ROAD_GOVERNOR, 0.0, 0.0
    adds = held[0] > 0.0
    qty = risk_quantity(equity, risk_pct, factor, price, stop)
    if adds and qty > 0.0:
        qty = quantity_beside(sign, price, stop, equity * risk_pct / 100.0 * factor, held)
    if not (qty <= wanted - held[0]):
        qty = wanted - held[0]
    qty = tradable(qty, price, instrument[0], instrument[1], instrument[2])
    if not (qty > 0.0):
        return ROAD_SIZE, 0.0, 0.0
    entry = entry_after_fill(held[0], held[1], qty, price) if adds else price
    leverage = fit_leverage(
        wanted_leverage, limits[3], governor, sign, entry, stop, held[0] + qty, limits[4], tiers
    )
    if not (leverage > 0.0) or (adds and leverage < wanted_leverage):
        return ROAD_LEVERAGE, qty, 0.0
    return ROAD_APPROVED, qty, leverage


@scalar
def size_intent(
    sign: int, wanted: float, price: float, stop: float, atr: float, stop_atr: float, equity: float, risk_pct: float,
    factor: float,
) -> tuple[float, float, float]:
    """Quantity, stop and the stop's distance (ATRs) of an outside intent for *wanted* at *price*.

    The quantity is clipped to the risk that a signal would get, measured at the intent's own *stop*. Without one
    (*stop* 0.0) the stop lies *stop_atr* ATRs away. A stop on the wrong side has a distance that is not positive; the
    guard refuses it.
    """
    if stop == 0.0:
        stop = planned_stop(sign, price, atr, stop_atr)
    else:
        stop_atr = sign * (price - stop) / atr
    allowed = risk_quantity(equity, risk_pct, factor, price, stop)
    clipped = math.isfinite(wanted) and allowed > 0.0  # otherwise the guard refuses what is no number
    return (min(wanted, allowed) if clipped else wanted), stop, stop_atr


@scalar
def exit_vol_level(vol_ratio: float) -> int:
    """The volatility code of exits; it does not depend on the profile, so that observing a policy does not change
    exits."""
    return vol_level(vol_ratio, EXIT_HIGH_VOL, EXIT_EXTREME_VOL)


@scalar
def shadow_bracket(trend: int, vol_ratio: float) -> tuple[float, float]:
    """Stop and target (multiples of the hourly ATR) of the standardised shadow trade of a signal."""
    row = exit_row(trend, exit_vol_level(vol_ratio))
    return row[0], row[1]
