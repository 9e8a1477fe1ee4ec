"""The inputs of the policy as one frozen value, the functions that make them, and their codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from quantum_trader.domain.enums import (
    DIRECTION_CODES,
    LEVEL_CODES,
    TREND_CODES,
    VOL_CODES,
    Direction,
    Level,
    PerformanceTag,
    Trend,
    VolLevel,
)
from quantum_trader.domain.errors import InputError, brief, require, require_finite
from quantum_trader.domain.indicators import vol_level
from quantum_trader.domain.market import MarketState
from quantum_trader.domain.policy import CostMetrics, RiskState, SymbolPerformanceData
from quantum_trader.policy.core import NOT_MEASURED, Cost, MarketCodes
from quantum_trader.policy.policy import to_enum
from quantum_trader.policy.profiles import OrchestratorConfig

OVERALL = "*"  # the key of the overall costs in a mapping of costs
Performances = Sequence[SymbolPerformanceData] | Mapping[str, SymbolPerformanceData]
Costs = CostMetrics | Mapping[str, CostMetrics]

NO_COST: Cost = (NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, math.nan)
UNKNOWN_MARKET: MarketCodes = (TREND_CODES.index(Trend.UNKNOWN), 0, VOL_CODES.index(VolLevel.UNKNOWN), 0.0)

# A string equals its enum member, so either finds the code.
_TREND = {member: code for code, member in enumerate(TREND_CODES)}
_VOL = {member: code for code, member in enumerate(VOL_CODES)}
_LEVEL = {member: code for code, member in enumerate(LEVEL_CODES)}
_DIRECTION: dict[object, int] = {member: code for code, member in enumerate(DIRECTION_CODES)}


class PolicyInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of one evaluation; ``None`` means not measured.

    *market_age_bars* is the age of the overall market in its own bars, *risk_age_s* that of the risk state. *markets*
    gives symbols a state of their own. *cost_metrics* is one for all, or one per symbol with ``"*"`` for overall.
    """

    regime_tag: Trend
    vol_level: VolLevel
    risk_state: RiskState
    direction: Direction | None = None
    market_age_bars: float = 0.0
    symbol_performance: tuple[SymbolPerformanceData, ...] = ()
    ensemble_quality: float | None = None
    cost_metrics: CostMetrics | dict[str, CostMetrics] | None = None
    markets: dict[str, MarketState] | None = None
    risk_age_s: float = 0.0


def vol_level_of(ratio: float, config: OrchestratorConfig) -> VolLevel:
    """The level of *ratio*, ATR(14) over price of 4-hour bars, against the thresholds of *config*."""
    return VOL_CODES[vol_level(ratio, config.high_vol_threshold, config.extreme_vol_threshold)]


def market_of(regime_tag: object, volatility: object, direction: object, age_bars: float) -> MarketCodes:
    """The codes of a market state given as enum members or as their strings."""
    try:
        market = _TREND[regime_tag], _DIRECTION[direction], _VOL[volatility], float(age_bars)  # type: ignore[index]
    except (KeyError, TypeError, ValueError, OverflowError):
        to_enum(Trend, "regime_tag", regime_tag)
        to_enum(VolLevel, "vol_level", volatility)
        if direction is not None:
            to_enum(Direction, "direction", direction)
        raise InputError(f"market_age_bars = {brief(age_bars)}: must be a number") from None
    require(not market[3] < 0.0, "market_age_bars", age_bars, "cannot be negative")
    return market


def market_codes(state: MarketState) -> MarketCodes:
    """The codes of a :class:`MarketState`."""
    return market_of(state.trend, state.vol_level, state.direction, state.age_bars)


def cost_codes(cost: CostMetrics | None) -> Cost:
    """The codes of *cost*; not measured where it is None. Raises InputError unless it is a CostMetrics."""
    if cost is None:
        return NO_COST
    try:
        liquidity = NOT_MEASURED if cost.liquidity_level is None else _LEVEL[cost.liquidity_level]
        in_r = math.nan if cost.cost_in_r is None else cost.cost_in_r
        return _LEVEL[cost.spread_level], _LEVEL[cost.slippage_level], liquidity, in_r
    except (AttributeError, KeyError, TypeError):  # checked after the failure: this is the hot path
        raise InputError(
            f"cost_metrics = {brief(cost)}: must be a CostMetrics with levels LOW, NORMAL or HIGH: "
            "create_cost_metrics()"
        ) from None


def overall_cost(costs: Costs | None) -> Cost:
    """The costs of the overall market: the one given for it, else the worst level any symbol shows."""
    if not isinstance(costs, Mapping):
        return cost_codes(costs)
    if OVERALL in costs:
        return cost_codes(costs[OVERALL])
    each = [cost_codes(cost) for cost in costs.values()]
    if not each:
        return NO_COST
    liquidity = [cost[2] for cost in each if cost[2] != NOT_MEASURED]
    return (
        max(cost[0] for cost in each), max(cost[1] for cost in each), min(liquidity, default=NOT_MEASURED), math.nan
    )


def quality_of(ensemble_quality: float | None) -> float:
    """The quality as a number; NaN where not measured. Raises InputError unless it is a rate."""
    if ensemble_quality is None:
        return math.nan
    require_finite("ensemble_quality", ensemble_quality)
    require(0.0 <= ensemble_quality <= 1.0, "ensemble_quality", ensemble_quality, "is a rate between 0 and 1")
    return float(ensemble_quality)


def create_risk_state(
    daily_pnl_pct: float, day_drawdown_pct: float | None = None, losing_streak: int | None = None,
    open_trades_count: int | None = None, total_exposure_pct: float | None = None, broken_streak: int = 0,
    wins_since: int = 0, equity: float | None = None, ts_ns: int = 0, *, current_drawdown_pct: float | None = None,
) -> RiskState:
    """A validated RiskState; percent are percent.

    *day_drawdown_pct* is 0 or negative, against the UTC day's peak; the policy derives it where *equity* is given, and
    without an equity it must be given. *current_drawdown_pct* is its published name. Raises InputError for a figure
    that is missing or out of its domain.
    """
    if day_drawdown_pct is None and current_drawdown_pct is None and equity is None:
        raise InputError("day_drawdown_pct: is missing; give it, or give equity and the policy derives it")
    for key, value in (
        ("losing_streak", losing_streak), ("open_trades_count", open_trades_count),
        ("total_exposure_pct", total_exposure_pct),
    ):
        if value is None:
            raise InputError(f"{key}: is missing")
    names = {"day_drawdown_pct": day_drawdown_pct, "current_drawdown_pct": current_drawdown_pct}
    drawdowns = {key: value for key, value in names.items() if value is not None}
    return RiskState(
        daily_pnl_pct=daily_pnl_pct, **drawdowns,
        losing_streak=cast(int, losing_streak), open_trades_count=cast(int, open_trades_count),
        total_exposure_pct=cast(float, total_exposure_pct), broken_streak=broken_streak, wins_since=wins_since,
        equity=equity, ts_ns=ts_ns,
    )


def create_symbol_performance(
    symbol: str, winrate: float, avg_r: float, cumulative_pnl: float, performance_tag: PerformanceTag | str,
    trades: int = 0, consecutive_losses: int = 0,
) -> SymbolPerformanceData:
    """A validated SymbolPerformanceData; *winrate* is 0..1, *performance_tag* GOOD, NEUTRAL or BAD."""
    return SymbolPerformanceData(
        symbol=symbol, winrate=winrate, avg_r=avg_r, cumulative_pnl=cumulative_pnl,
        performance_tag=to_enum(PerformanceTag, "performance_tag", performance_tag), trades=trades,
        consecutive_losses=consecutive_losses,
    )


def create_cost_metrics(
    spread_level: Level | str, slippage_level: Level | str, liquidity_level: Level | str | None = None,
    funding_rate_estimate: float | None = None, cost_in_r: float | None = None,
) -> CostMetrics:
    """A validated CostMetrics; levels are LOW, NORMAL or HIGH, *cost_in_r* the round trip in R."""
    return CostMetrics(
        spread_level=to_enum(Level, "spread_level", spread_level),
        slippage_level=to_enum(Level, "slippage_level", slippage_level),
        liquidity_level=None if liquidity_level is None else to_enum(Level, "liquidity_level", liquidity_level),
        funding_rate_estimate=funding_rate_estimate, cost_in_r=cost_in_r,
    )
