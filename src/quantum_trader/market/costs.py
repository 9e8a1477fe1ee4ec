"""Expected trading costs: scalar models, in basis points of price and in R.

The model is for estimates (policy, gates, shadow trades) and for the paper venue; realised fills and a recorded book
replace it where they exist. Slippage: spec 1 section 6, a base by the symbol's liquidity and a term from the range of
a bar. An estimate takes the average range of 4-hour bars, the ATR; a fill takes the range of the bar in which it
happens (:func:`fill_cost_bps`). Spread: liquid Binance USD-M perpetuals quote one tick nearly always (BTC and ETH in
recordings of 2023 and 2024: 0.02 to 0.04 bps); the model adds a floor for symbols that were not measured and widens
with volatility. How the numbers were fitted: docs/decisions/0097.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.scalar import scalar

if TYPE_CHECKING:
    from quantum_trader.market.arrays import Floats

BPS: Final = 10_000.0
TAKER_BASE_SLIPPAGE_BPS: Final = 2.0  # of a symbol whose liquidity was not measured
RANGE_SLIPPAGE_BPS: Final = 50.0  # times range/price of a 4-hour bar: 1 % of range adds half a basis point
MAKER_SHARE_OF_BASE: Final = 0.2
SPREAD_FLOOR_BPS: Final = 0.5
SPREAD_BPS_PER_ATR_RATIO: Final = 25.0  # a 2 % ATR adds half a basis point
UNMEASURED_ATR_RATIO: Final = 0.02  # assumed until the 4-hour ATR is known: an ordinary crypto market
FUNDING_HOURS: Final = 8.0
_RATIO_NS: Final = 4.0 * NS_PER_HOUR  # length of the bars that the ratio is for
_SHORTEST_NS: Final = NS_PER_SECOND  # a shorter step is no bar: it lies between two quotes


class Liquidity(NamedTuple):
    """What a symbol's order book costs a taker in a calm market, in basis points."""

    spread_floor_bps: float  # full spread where one tick is less
    slippage_bps: float  # a side, beyond the touch


UNMEASURED: Final = Liquidity(SPREAD_FLOOR_BPS, TAKER_BASE_SLIPPAGE_BPS)
# From recorded books: the spread is one tick, the mid price moves 0.1 to 0.2 bps in 250 ms.
_MEASURED: Final = {"BTCUSDT": Liquidity(0.0, 0.2), "ETHUSDT": Liquidity(0.0, 0.2)}


def liquidity_of(symbol: str) -> Liquidity:
    """The measured liquidity of *symbol*, or what is assumed of one that was not measured."""
    return _MEASURED.get(symbol, UNMEASURED)


@scalar
def known_atr_ratio(atr_ratio: float) -> float:
    """*atr_ratio*, or the assumed ratio where it is NaN."""
    return atr_ratio if atr_ratio == atr_ratio else UNMEASURED_ATR_RATIO


@scalar
def taker_slippage_bps(base_bps: float, atr_ratio: float) -> float:
    """Expected slippage of a market order, a side: *base_bps* of a calm market + 50 x ATR/price of 4-hour bars."""
    return base_bps + RANGE_SLIPPAGE_BPS * atr_ratio


@scalar
def fill_cost_bps(
    cost_bps: float, range_bps: float, open_: float, high: float, low: float, interval_ns: int
) -> float:
    """Cost of a taker's fill in a bar, a side, without fee: *cost_bps* of a calm market + *range_bps* x range/price.

    Ranges grow with the square root of time, so the range counts as that of a 4-hour bar of the same volatility. A bar
    without a known range, and a step shorter than a second, cost *cost_bps*.
    """
    if not (high > low and interval_ns >= _SHORTEST_NS):
        return cost_bps
    return cost_bps + range_bps * ((high - low) / open_ * math.sqrt(_RATIO_NS / interval_ns))


@scalar
def maker_slippage_bps() -> float:
    """Expected slippage of a resting order, a side: a fifth of the taker's base."""
    return MAKER_SHARE_OF_BASE * TAKER_BASE_SLIPPAGE_BPS


@scalar
def spread_bps(price: float, tick: float, floor_bps: float, atr_ratio: float) -> float:
    """Expected full spread: the larger of one tick and the floor, plus 25 bps x ATR/price. *tick* 0: unknown."""
    return max(floor_bps, tick / price * BPS) + SPREAD_BPS_PER_ATR_RATIO * atr_ratio


@scalar
def taker_cost_bps(spread: float, slippage: float) -> float:
    """Cost of a market order against the mid price, a side, in bps, without fee."""
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


@scalar
def round_trip_bps(fee_bps: Floats, slippage_bps: Floats, spread: Floats) -> Floats:
    """What a round trip costs in bps, without funding; fee and slippage are a side, the spread is full.

    The sweep compiles it for numbers.
    """
    return 2.0 * (fee_bps + slippage_bps) + spread
