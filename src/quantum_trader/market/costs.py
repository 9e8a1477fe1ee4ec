"""Expected trading costs: scalar models, in basis points of price and in R.

The model is for estimates (policy, gates, shadow trades) and for the paper venue; realised fills and a recorded book
replace it where they exist. Slippage: spec 1 section 6. Spread: liquid Binance USD-M perpetuals quote one tick
nearly always (BTC and ETH in recordings of 2023 and 2024: medians 0.02 to 0.04 bps); the model adds a floor for
thinner symbols and widens with volatility, so it overestimates the spread of the majors.
"""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.scalar import scalar

BPS: Final = 10_000.0
TAKER_BASE_SLIPPAGE_BPS: Final = 2.0
TAKER_SLIPPAGE_BPS_PER_ATR_RATIO: Final = 50.0
MAKER_SHARE_OF_BASE: Final = 0.2
SPREAD_FLOOR_BPS: Final = 0.5
SPREAD_BPS_PER_ATR_RATIO: Final = 25.0  # a 2 % ATR adds half a basis point
UNMEASURED_ATR_RATIO: Final = 0.02  # assumed until the 4-hour ATR is known: an ordinary crypto market
FUNDING_HOURS: Final = 8.0


@scalar
def known_atr_ratio(atr_ratio: float) -> float:
    """*atr_ratio*, or the assumed ratio where it is NaN."""
    return atr_ratio if atr_ratio == atr_ratio else UNMEASURED_ATR_RATIO


@scalar
def taker_slippage_bps(atr_ratio: float) -> float:
    """Expected slippage of a market order, a side: 2 bps + 50 x ATR/price."""
    return TAKER_BASE_SLIPPAGE_BPS + TAKER_SLIPPAGE_BPS_PER_ATR_RATIO * atr_ratio


@scalar
def maker_slippage_bps() -> float:
    """Expected slippage of a resting order, a side: a fifth of the taker's base."""
    return MAKER_SHARE_OF_BASE * TAKER_BASE_SLIPPAGE_BPS


@scalar
def spread_bps(price: float, tick: float, atr_ratio: float) -> float:
    """Expected full spread: the larger of one tick and the floor, plus 25 bps x ATR/price. *tick* 0: unknown."""
    return max(SPREAD_FLOOR_BPS, tick / price * BPS) + SPREAD_BPS_PER_ATR_RATIO * atr_ratio


@scalar
def taker_cost_bps(spread: float, slippage: float) -> float:
    """Cost of a market order against the mid price, per side, in bps, without fee."""
    return 0.5 * spread + slippage


@scalar
def cost_in_r(
    entry_price: float,
    stop_distance: float,
    fee_bps: float,
    spread: float,
    slippage_bps: float,
    funding_rate_8h: float,
    hours: float,
) -> float:
    """Return the round trip's cost as a share of the risk taken (R).

    *fee_bps* and *slippage_bps* are per side, *spread* is the full spread in bps (half of it a side),
    *funding_rate_8h* a fraction as this position pays it (positive pays; income counts as 0). *stop_distance*
    in price units; inf when it is not positive.
    """
    if not stop_distance > 0.0:
        return float("inf")
    funding = max(0.0, funding_rate_8h) * hours / FUNDING_HOURS
    share = (2.0 * (fee_bps + slippage_bps) + spread) / BPS + funding
    return entry_price * share / stop_distance
