"""A freqtrade strategy under the policy: the guard is one name in the line of the class.

Copy it to ``user_data/strategies`` of a freqtrade installation that has quantum-trader installed. Freqtrade decides
when to enter and exit; the policy says whether a trade may be opened and how much it may risk. freqtrade is
GPL-licensed and no dependency of this package.
"""

from __future__ import annotations

from typing import Any

from freqtrade.strategy import IStrategy
from pandas import DataFrame

from quantum_trader.policy.freqtrade import PolicyGuard


class PolicyGuardedStrategy(PolicyGuard, IStrategy):
    """Buy pullbacks in an uptrend, as far as the policy permits."""

    guard_confidence = 0.58  # what this rule has earned in your own backtests, 0..1
    guard_stop_pct = 3.0  # percent of the stake that a losing trade costs: here what the stoploss says

    INTERFACE_VERSION = 3
    timeframe = "1h"
    startup_candle_count = 100  # 60 hours are needed before the policy knows a market
    stoploss = -0.03
    minimal_roi = {"0": 0.06}  # noqa: RUF012 - freqtrade's own form
    can_short = False

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Averages for the rule."""
        dataframe["fast"] = dataframe["close"].ewm(span=12).mean()
        dataframe["slow"] = dataframe["close"].ewm(span=48).mean()
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Enter above the slow average after a pullback below the fast one."""
        up = dataframe["fast"] > dataframe["slow"]
        dataframe.loc[up & (dataframe["close"] < dataframe["fast"]), "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Leave when the trend is over."""
        dataframe.loc[dataframe["fast"] < dataframe["slow"], "exit_long"] = 1
        return dataframe
