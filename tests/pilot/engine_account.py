"""One symbol's account under a real engine, replay driver and paper venue, with a pilot whose actions are scripted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tests.pilot.sequences import INTERVAL_NS, START, Sequence

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.pilot_settings import MOST_TRADES, PilotSettings
from quantum_trader.engine.core import Engine
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.predictor import Predictions
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

WARM_BARS = 200
LIMITS = RiskLimits(
    max_risk_pct=10.0, max_notional_usdt=1e9, max_exposure_pct=100.0, daily_loss_pct=50.0,
    max_orders_per_hour=100_000, max_cost_r=10.0,
)


class ScriptedPilot:
    """The actions of a sequence, one at each close, whatever it is shown."""

    identity, horizon_ns, outcomes = "scripted", 6 * NS_PER_HOUR, (1e6, 1e6, 1e6, 2e5, 1e6, 1e6, 1e6)
    length_ns = INTERVAL_NS

    def __init__(self, one: Sequence) -> None:
        self.trained_until_ns = self.outcomes_until_ns = 0
        self._one, self.stop_atr, self.range_ratios = one, one.settings.stop_atr, np.full(1, np.nan)
        self.own: list[np.ndarray] = []  # what it was shown of the account, (11,) a decision

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Look away."""

    def take(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Predictions | None:
        """The action of the bar that opened at *ts_ns*."""
        bar = (ts_ns - START) // INTERVAL_NS
        self.own.append(own[0].copy())
        self.range_ratios[0] = self._one.atr[bar] / self._one.ohlc[bar, 3]
        if bar == len(self._one.actions):
            return None
        actions = self._one.actions[bar : bar + 1]
        return Predictions(ts_ns + INTERVAL_NS, np.zeros(1, dtype=np.int64), actions, np.eye(ACTION_COUNT)[actions])

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue."""


class EngineAccount:
    """Runs a sequence bar by bar; the engine's limits are wide, its gates are off."""

    def __init__(self, one: Sequence) -> None:
        self.costs, self.sink = np.full(1, np.nan), MemorySink()
        self.pilot = ScriptedPilot(one)
        self.engine = Engine(
            [one.instrument], INTERVAL_NS, EngineSettings(
                profile=load_profile("STANDARD"), start_equity=one.equity, leverage=one.settings.leverage,
                limits=LIMITS, ungated=True,
            ),
            self.sink, pilot=self.pilot,
        )
        self.engine.piloting.stance.settings = PilotSettings(
            mode=PilotMode.PRIMARY, min_confidence=0.0, max_trades_per_hour=MOST_TRADES
        )
        self.venue = PaperVenue(
            [one.instrument], PaperSettings(initial_cash=one.equity), funding=one.funding, taker_cost_bps=self.costs
        )
        self._warm(float(one.ohlc[0, 0]))
        self.driver = ReplayDriver(self.engine, self.venue, INTERVAL_NS)

    def _warm(self, price: float) -> None:
        """Bars of before the sequence, so that the hourly ranges are known: costs in R are infinite without."""
        for bar in range(-WARM_BARS, 0):
            row = np.array([[price, price * 1.01, price * 0.99, price, 1.0]])
            present = np.ones(1, dtype=np.bool_)
            self.engine.market.warm(MarketBatch(START + bar * INTERVAL_NS, INTERVAL_NS, row, present))

    @property
    def risk_pct(self) -> float:
        """The risk of a trade that the engine permits, percent."""
        return float(self.engine.policy.used(0).risk_pct)

    def take(self, ts_ns: int, ohlc: np.ndarray, cost_bps: float) -> None:
        """Run one moment; the pilot decides at its close."""
        self.costs[0] = cost_bps
        self.driver.step(ts_ns, np.array([[*ohlc, 1.0]]), np.ones(1, dtype=np.bool_))

    @property
    def equity(self) -> float:
        """Wallet and unrealised profit at the last price."""
        balance = self.venue.balance()
        return balance.wallet + balance.unrealised_pnl

    @property
    def qty(self) -> float:
        """Signed quantity that the venue holds."""
        return sum(position.qty for position in self.venue.positions())
