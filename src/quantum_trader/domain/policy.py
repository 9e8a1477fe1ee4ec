"""The policy's inputs (account, symbol results, costs) and the rules it reports as fired.

Units: `_pct` is percent (1.0 = 1 %), `_bps` basis points, `_r` multiples of the risk taken, rates and confidences
0..1. Every value is validated where it is made: a drawdown of the wrong sign or a non-finite rate is an error here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.enums import Level, PerformanceTag
from quantum_trader.domain.errors import is_number, is_utf8_text, require, require_finite

_MOST: Final = 1 << 63


def _require_count(key: str, value: object) -> None:
    """Raise InputError unless *value* is a whole number, 0 or more."""
    require(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST, key, value,
        "must be a whole number, 0 or more",
    )


def _require_drawdown(key: str, value: float) -> None:
    """Raise InputError unless *value* is a drawdown in percent."""
    require_finite(key, value)
    require(
        -100.0 <= value <= 0.0, key, value,
        "a drawdown is 0 or negative, in percent (-3.5 means 3.5 % below the UTC day's peak)",
    )


class RiskState(msgspec.Struct, frozen=True, kw_only=True):
    """The account figures that the policy reads.

    *day_drawdown_pct* is 0 or negative: equity (unrealised included) against the UTC day's peak, not the all-time peak.
    With *equity* the policy derives it and it may be left out. *current_drawdown_pct* is its published name: either is
    taken, both then have the value, and the worse counts where they differ.
    *total_exposure_pct* is initial margin over equity. *equity* is optional; NaN or <= 0 makes rule F2 fire.
    *ts_ns* is when it was true (0: unknown, taken as now).
    """

    daily_pnl_pct: float = 0.0
    day_drawdown_pct: float = 0.0
    losing_streak: int = 0
    open_trades_count: int = 0
    total_exposure_pct: float = 0.0
    broken_streak: int = 0
    wins_since: int = 0
    equity: float | None = None
    ts_ns: int = 0
    current_drawdown_pct: float = 0.0

    def __post_init__(self) -> None:
        require_finite("daily_pnl_pct", self.daily_pnl_pct)
        _require_drawdown("day_drawdown_pct", self.day_drawdown_pct)
        _require_drawdown("current_drawdown_pct", self.current_drawdown_pct)
        if self.day_drawdown_pct != self.current_drawdown_pct:
            worse = min(self.day_drawdown_pct, self.current_drawdown_pct)
            msgspec.structs.force_setattr(self, "day_drawdown_pct", worse)
            msgspec.structs.force_setattr(self, "current_drawdown_pct", worse)
        require_finite("total_exposure_pct", self.total_exposure_pct)
        require(self.total_exposure_pct >= 0.0, "total_exposure_pct", self.total_exposure_pct, "cannot be negative")
        for key in ("losing_streak", "open_trades_count", "broken_streak", "wins_since", "ts_ns"):
            _require_count(key, getattr(self, key))
        if self.equity is not None:  # rule F2 handles a number that is not finite or not positive
            require(
                type(self.equity) is float or is_number(self.equity), "equity", self.equity, "must be a number or None",
            )


class SymbolPerformanceData(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one symbol's own trades."""

    symbol: str
    winrate: float
    avg_r: float
    cumulative_pnl: float
    performance_tag: PerformanceTag
    trades: int = 0
    consecutive_losses: int = 0

    def __post_init__(self) -> None:
        require(
            is_utf8_text(self.symbol) and bool(self.symbol) and self.symbol == self.symbol.strip(), "symbol",
            self.symbol, "must be a symbol like 'BTCUSDT'",
        )
        require_finite("winrate", self.winrate)
        require(0.0 <= self.winrate <= 1.0, "winrate", self.winrate, "is a rate between 0 and 1 (0.45 means 45 %)")
        require_finite("avg_r", self.avg_r)
        require_finite("cumulative_pnl", self.cumulative_pnl)
        require(isinstance(self.performance_tag, PerformanceTag), "performance_tag", self.performance_tag,
                "must be GOOD, NEUTRAL or BAD")
        if type(self.trades) is not int or not 0 <= self.trades < _MOST:
            _require_count("trades", self.trades)
        if type(self.consecutive_losses) is not int or not 0 <= self.consecutive_losses < _MOST:
            _require_count("consecutive_losses", self.consecutive_losses)


class CostMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Current trading costs; ``None`` means not measured."""

    spread_level: Level = Level.NORMAL
    slippage_level: Level = Level.NORMAL
    liquidity_level: Level | None = None
    funding_rate_estimate: float | None = None  # per 8 h, a fraction
    cost_in_r: float | None = None  # estimated round trip, in R

    def __post_init__(self) -> None:
        for key in ("funding_rate_estimate", "cost_in_r"):
            value = getattr(self, key)
            if value is not None:
                require_finite(key, value)
        require(self.cost_in_r is None or self.cost_in_r >= 0.0, "cost_in_r", self.cost_in_r, "cannot be negative")


class RuleFired(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's effect on one field."""

    rule: str
    field: str
    before: str
    after: str
    why: str
