"""A freqtrade strategy that asks the policy before it enters, and sizes by it.

Copy it to ``user_data/strategies`` of a freqtrade installation that has quantum-trader installed. Freqtrade decides
when to enter and exit; the policy says whether a trade may be opened (``confirm_trade_entry``) and how much it may risk
(``custom_stake_amount``). freqtrade is GPL-licensed and no dependency of this package.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy
from pandas import DataFrame

from quantum_trader.policy import (
    Direction,
    MarketState,
    OrchestratorPolicy,
    RiskState,
    SymbolPolicy,
    Trend,
    create_risk_state,
    vol_level_of,
)


class PolicyGuardedStrategy(IStrategy):
    """Buy pullbacks in an uptrend, as far as the policy permits."""

    INTERFACE_VERSION = 3
    timeframe = "1h"
    startup_candle_count = 100
    stoploss = -0.03
    minimal_roi = {"0": 0.06}  # noqa: RUF012 - freqtrade's own form
    can_short = False
    signal_confidence = 0.58  # what this rule has earned in your own backtests, 0..1

    def bot_start(self, **kwargs: Any) -> None:
        """Make the policy once; its memory lives in user_data."""
        self.policy = OrchestratorPolicy(state_path=self.config["user_data_dir"] / "policy.json")
        self.markets: dict[str, MarketState] = {}
        self.day_start: tuple[int, float] = (-1, 0.0)
        self.day_peak = 0.0

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """Averages for the rule, and ATR over price of 4-hour bars for the policy."""
        dataframe["fast"] = dataframe["close"].ewm(span=12).mean()
        dataframe["slow"] = dataframe["close"].ewm(span=48).mean()
        bars = dataframe.resample("4h", on="date").agg({"high": "max", "low": "min", "close": "last"})
        before = bars["close"].shift()
        true_range = DataFrame({"high": bars["high"], "before": before}).max(axis=1) - DataFrame(
            {"low": bars["low"], "before": before}
        ).min(axis=1)
        ratio = (true_range.ewm(alpha=1 / 14, adjust=False).mean() / bars["close"]).shift()  # completed bars only
        dataframe["vol_ratio"] = ratio.reindex(dataframe["date"].dt.floor("4h")).to_numpy()
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

    def ask(self, pair: str, now: datetime) -> SymbolPolicy:
        """The policy for *pair* at this moment; every pair is judged by its own market."""
        dataframe, _ = self.dp.get_analyzed_dataframe(pair, self.timeframe)
        last = dataframe.iloc[-1]
        gap = (last["fast"] / last["slow"] - 1.0) if last["slow"] else 0.0
        trending = abs(gap) > 0.005
        market = self.markets[pair] = MarketState(
            trend=Trend.TRENDING if trending else Trend.RANGING,
            direction=(Direction.UP if gap > 0 else Direction.DOWN) if trending else None,
            vol_level=vol_level_of(float(last["vol_ratio"]), self.policy.config),
        )
        answer = self.policy.update_policy(
            market.trend, market.vol_level, self.risk_state(now), direction=market.direction, markets=self.markets,
            now=now,
        )
        return answer.for_symbol(pair)

    def risk_state(self, now: datetime) -> RiskState:
        """The account from freqtrade's wallet and closed trades."""
        equity, day = self.wallets.get_total_stake_amount(), now.astimezone(UTC).toordinal()
        if day != self.day_start[0]:
            self.day_start, self.day_peak = (day, equity), equity
        self.day_peak = max(self.day_peak, equity)
        streak = 0
        for trade in sorted(Trade.get_trades_proxy(is_open=False), key=lambda one: one.close_date_utc, reverse=True):
            if trade.close_profit is None or trade.close_profit >= 0:
                break
            streak += 1
        open_trades = Trade.get_trades_proxy(is_open=True)
        return create_risk_state(
            daily_pnl_pct=(equity / self.day_start[1] - 1.0) * 100.0,
            current_drawdown_pct=min(0.0, (equity / self.day_peak - 1.0) * 100.0), losing_streak=streak,
            open_trades_count=len(open_trades),
            total_exposure_pct=sum(trade.stake_amount for trade in open_trades) / equity * 100.0, equity=equity,
        )

    def custom_stake_amount(
        self, pair: str, current_time: datetime, current_rate: float, proposed_stake: float, min_stake: float | None,
        max_stake: float, leverage: float, entry_tag: str | None, side: str, **kwargs: Any,
    ) -> float:
        """Stake so that a full stop-loss costs no more than the policy's risk."""
        allowed = self.ask(pair, current_time)
        if not allowed.allow_new_trades:
            return 0.0
        equity = self.wallets.get_total_stake_amount()
        stake = equity * allowed.max_risk_pct / 100.0 / abs(self.stoploss)
        return min(stake, proposed_stake, max_stake)

    def confirm_trade_entry(
        self, pair: str, order_type: str, amount: float, rate: float, time_in_force: str, current_time: datetime,
        entry_tag: str | None, side: str, **kwargs: Any,
    ) -> bool:
        """Open only what the policy in force permits."""
        allowed = self.policy.get_policy().for_symbol(pair)
        return allowed.allow_new_trades and self.signal_confidence >= allowed.min_confidence
