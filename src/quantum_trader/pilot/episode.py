"""What an episode of the training market is: its settings, and the table of bars that it is played on."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from quantum_trader.domain.errors import ConfigError, brief, is_finite_number
from quantum_trader.pilot.episode_steps import RewardWeights
from quantum_trader.pilot.position_steps import Terms
from quantum_trader.pilot.shadow_book import PositionSettings


class RewardSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decision is rewarded with, and what each term weighs. Unit: the permitted risk of a trade (R)."""

    profit: float = 1.0  # times the change of equity, net of all costs
    drawdown: float = 0.01  # times the growth of the squared drawdown, in R²: 0.19 from 9 R to 10 R
    turnover: float = 0.02  # times the notional traded, in equities
    regime: float = 0.001  # times size where the position goes with BULL or BEAR, against it where it does not

    def __post_init__(self) -> None:
        for key in self.__struct_fields__:
            value = getattr(self, key)
            if not (is_finite_number(value) and 0.0 <= value <= 1000.0):
                raise ConfigError(f"reward.{key} = {brief(value)}: must be a finite number, 0 to 1000")

    @property
    def weights(self) -> RewardWeights:
        """The weights as numbers."""
        return RewardWeights(float(self.profit), float(self.drawdown), float(self.turnover), float(self.regime))


class EnvironmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One episode: a window of one symbol's bars, traded by an account of its own."""

    episode_bars: int = 336  # decisions of an episode; a week of half-hour bars
    start_equity: float = 10_000.0  # USDT
    ruin_share: float = 0.5  # of it; with less an episode ends
    positions: PositionSettings = PositionSettings()
    reward: RewardSettings = RewardSettings()

    def __post_init__(self) -> None:
        if not (type(self.episode_bars) is int and 1 <= self.episode_bars <= 1_000_000):
            raise ConfigError(f"environment.episode_bars = {brief(self.episode_bars)}: must be 1 to 1,000,000")
        for key, low, high in (("start_equity", 1.0, 1e12), ("ruin_share", 0.0, 0.99)):
            value = getattr(self, key)
            if not (is_finite_number(value) and low <= value <= high):
                raise ConfigError(f"environment.{key} = {brief(value)}: must be between {low:g} and {high:g}")


class EpisodeTable(NamedTuple):
    """Bars of S symbols on one grid of T observed bars, as numpy or as device arrays. NaN where there is no bar.

    A column at bar t is known at its close; *cost_bps* and *funding_rate* at bar t are what fills and positions pay
    *in* bar t: the cost as known before it, and the sum of the rates due after the open before and up to its open.
    """

    open: Any  # (S, T) USDT
    high: Any
    low: Any
    close: Any
    atr: Any  # (S, T) price units
    cost_bps: Any  # (S, T) of a taker in a calm market, a side, without fee
    funding_rate: Any  # (S, T)
    trend: Any  # (S, T) 1 in BULL, -1 in BEAR, else 0
    features: Any  # (S, T, 53) float32, scaled, without those of the account
    starts: Any  # (W, 2) int32: symbol and bar of the first decision of each window
    terms: Terms  # arrays (S,), tiers (K, 4, S)
    own_centers: Any  # (11,)
    own_scales: Any  # (11,)
    own_seen: Any  # (11,) bool: False is masked
    cost_share: Any  # () share of fee, spread and slippage in force, 0 to 1
