"""A stand-in engine that walks the road of an order, so that the road is warm when a real order takes it.

A decision comes once in a bar. Until then hundreds of frames have pushed its code out of the processor's caches, and
walking a cold road takes three times as long. The stand-in has symbols of its own making, holds nothing of the real
engine's state and is listened to by nobody: what it makes is thrown away.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.enums import TREND_CODES, Trend
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.books import Plan
from quantum_trader.engine.gateway import Command, Gateway, Purpose
from quantum_trader.engine.live_engine import LiveEngine
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals import columns as col

_PRICE: Final = 100.0
_ATR: Final = 1.0
_OPENS, _HOLDS = 0, 1  # what its two symbols are for
_FREE: Final = RiskLimits(max_orders_per_hour=100_000, max_cost_r=10.0, max_data_age_s=86_400.0, max_positions=100)
_SWITCHES: Final = OrchestratorIntegrationConfig(fixed_risk_pct=0.5, fixed_confidence=0.0, fixed_max_positions=10)


class StandIn(LiveEngine):
    """An engine like *engine*, of two symbols: one gets a signal at every moment, the other is held."""

    def __init__(self, engine: LiveEngine) -> None:
        """Take over the settings of *engine* that decide which code runs; never its state."""
        first = engine.instruments[0]
        instruments = [
            msgspec.structs.replace(first, symbol=f"{first.symbol}{end}", tick_size=0.01, step_size=0.001,
                                    min_qty=0.001, min_notional=5.0)
            for end in ("-0", "-1")
        ]
        settings = msgspec.structs.replace(engine.settings, limits=_FREE, integration=_SWITCHES, start_equity=1e6)
        super().__init__(instruments, engine.interval_ns, settings, MemorySink())
        self.begin(1e6, "stand-in", 1)
        self._ts_ns = 0
        self.catch_up()

    def walk(self) -> list[Command]:
        """Decide on one moment of bars; returns the commands it would send, one of them a market order."""
        self._ts_ns += self.interval_ns
        now_ns = self._ts_ns + self.interval_ns
        self._hold_again(now_ns)
        bars = np.array([(_PRICE, _PRICE + 0.1, _PRICE - 0.1, _PRICE, 10.0)] * 2)
        self.expect_bar(self._ts_ns, _OPENS, bars[_OPENS])
        commands = self.on_bars(MarketBatch(self._ts_ns, self.interval_ns, bars, np.ones(2, dtype=np.bool_)), now_ns)
        row = self.kernel.out[_OPENS]
        row[col.SIGNAL], row[col.CONFIDENCE], row[col.ATR_1H] = 1.0, 0.9, _ATR
        row[col.VOL_RATIO], row[col.TREND] = 1.0, float(TREND_CODES.index(Trend.TRENDING))
        self.costs[_OPENS] = 0.01
        self._due = [_OPENS]
        commands += self.more()
        self._forget()
        return commands

    def compile(self) -> None:
        """Go through everything that bars bring about, so that no kernel is left to be compiled while one waits."""
        bars = np.full((2, 5), _PRICE)
        for _ in range(2):
            self._ts_ns += self.interval_ns
            self.on_bars(MarketBatch(self._ts_ns, self.interval_ns, bars, np.ones(2, dtype=np.bool_)), self._ts_ns)
            self.more()
            self.record_bars()
        self.walk()

    def _hold_again(self, now_ns: int) -> None:
        """Hold the second symbol since a moment ago, with its stop at the venue."""
        symbol = self.symbols[_HOLDS]
        plan = Plan(
            intent_id="h", trace_id="h", sign=1, leverage=2.0, atr=_ATR, stop_atr=2.0, target_atr=4.0,
            breakeven_r=1.0, trail_atr=3.0, max_hours=12.0, exit_mode=self.integration.fixed[3], confidence=0.5,
            policy_hash="", model="ensemble", regime="",
        )
        position = self.books.adopt(symbol, _HOLDS, plan, 1.0, _PRICE, now_ns - self.interval_ns)
        position.stop = position.first_stop = _PRICE - 2.0
        self.gateway = Gateway()
        self.gateway.namespace = "stand-in"
        self.gateway.protect(position, now_ns)
        for ticket in self.gateway.tickets():
            ticket.resting = ticket.purpose is Purpose.STOP

    def _forget(self) -> None:
        """Leave nothing of the walk behind."""
        self._later, self._unrecorded, self._due = None, None, []
        self._pending.clear()
