"""A position, the account and the settings in force, as the row of numbers that an observation takes.

The settings are those that trading uses: where a policy is only observed, the fixed settings and not the policy's.
"""

from __future__ import annotations

import msgspec

from quantum_trader.domain.errors import require, require_finite


class OwnPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol's position; the defaults are no position."""

    side: int = 0  # 1 long, -1 short, 0 none
    size_share: float = 0.0  # notional over equity
    open_r: float = 0.0  # unrealised profit over the risk taken at the entry
    held_bars: float = 0.0  # observed bars since the entry
    stop_share: float = 0.0  # distance from the price to the stop, a fraction of the price

    def __post_init__(self) -> None:
        require(self.side in (-1, 0, 1), "side", self.side, "must be 1 (long), -1 (short) or 0 (none)")
        for key in ("size_share", "held_bars", "stop_share"):
            _require_not_negative(key, getattr(self, key))
        require_finite("open_r", self.open_r)
        for key in ("size_share", "open_r", "held_bars", "stop_share"):
            value = getattr(self, key)
            require(self.side != 0 or value == 0.0, key, value, "must be 0 where there is no position (side = 0)")


class AccountInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The account's losses and exposure, and the settings in force for a symbol."""

    drawdown: float  # 1 - equity / its peak, a fraction
    exposure: float  # notional of all positions over equity
    losing_streak: float  # losses in a row, as the governor counts them
    min_confidence: float  # least confidence that trading asks for
    max_risk_pct: float  # largest risk of a trade, percent of equity
    may_open: bool  # whether the gates in force let the symbol be opened

    def __post_init__(self) -> None:
        for key in ("drawdown", "exposure", "losing_streak", "min_confidence", "max_risk_pct"):
            _require_not_negative(key, getattr(self, key))
        require(self.drawdown <= 1.0, "drawdown", self.drawdown, "is a fraction of the peak, 0 to 1")
        require(self.min_confidence <= 1.0, "min_confidence", self.min_confidence, "is a probability, 0 to 1")


def _require_not_negative(key: str, value: float) -> None:
    require_finite(key, value)
    require(value >= 0.0, key, value, "must not be negative")


def own_row(position: OwnPosition, account: AccountInForce) -> tuple[float, ...]:
    """The eleven numbers of a symbol, in the order of ``own_columns``."""
    return (
        float(position.side), position.size_share, position.open_r, position.held_bars, position.stop_share,
        account.drawdown, account.exposure, account.losing_streak, account.min_confidence, account.max_risk_pct,
        1.0 if account.may_open else 0.0,
    )
