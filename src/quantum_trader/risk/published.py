"""Exits by regime under their published names, for use in another program: thin faces over :func:`exits.exit_row`."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.enums import (
    TREND_RANGING,
    TREND_TRENDING,
    TREND_UNKNOWN,
    VOL_EXTREME,
    VOL_HIGH,
    VOL_LOW,
    VOL_NORMAL,
)
from quantum_trader.domain.errors import InputError
from quantum_trader.risk.exits import exit_row

_REGIMES: Final = {
    "LOW_VOL": (TREND_UNKNOWN, VOL_LOW), "NORMAL_VOL": (TREND_UNKNOWN, VOL_NORMAL),
    "HIGH_VOL": (TREND_UNKNOWN, VOL_HIGH), "EXTREME_VOL": (TREND_UNKNOWN, VOL_EXTREME),
    "TRENDING": (TREND_TRENDING, VOL_NORMAL), "RANGING": (TREND_RANGING, VOL_NORMAL),
}


class RegimeExitConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The exits of one regime: distances in ATR(14) of 1-hour bars."""

    regime: str
    k1_SL: float  # noqa: N815 - the published name: stop, times ATR
    k2_TP: float  # noqa: N815 - target, times ATR
    breakeven_R: float  # noqa: N815 - profit in R at which the stop goes to the entry
    trail_atr: float  # trailing stop, times ATR
    max_duration_hours: float

    @property
    def risk_reward_ratio(self) -> float:
        """Target over stop."""
        return self.k2_TP / self.k1_SL


class ExitPolicyRegimeConfig:
    """The exits of every regime. In HIGH and EXTREME volatility the volatility's row applies, whatever the trend."""

    def get_exit_params(self, regime: str) -> RegimeExitConfig:
        """The exits of *regime*; InputError with the list of regimes for another name."""
        if regime not in _REGIMES:
            raise InputError(f"regime = {regime!r}: must be one of {', '.join(_REGIMES)}")
        stop, target, breakeven, trail, hours = exit_row(*_REGIMES[regime])
        return RegimeExitConfig(
            regime=regime, k1_SL=stop, k2_TP=target, breakeven_R=breakeven, trail_atr=trail, max_duration_hours=hours
        )

    def get_all_regimes(self) -> list[str]:
        """The names of the regimes."""
        return list(_REGIMES)

    def get_risk_reward_ratio(self, regime: str) -> float:
        """Target over stop of *regime*."""
        return self.get_exit_params(regime).risk_reward_ratio


def get_exit_params(regime: str) -> RegimeExitConfig:
    """The exits of *regime*, such as HIGH_VOL or TRENDING; the environment changes none of them."""
    return ExitPolicyRegimeConfig().get_exit_params(regime)
