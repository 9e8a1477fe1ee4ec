"""Signals on record with given measures and results, for tests of what the gates let through."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.lab.gate_record import GatedSignal, GateHistory
from quantum_trader.lab.shadows.judged_signals import RESOLVED
from quantum_trader.models.gates import GateInputs

START = 1_700_006_400_000_000_000
GOOD = GateInputs(
    spread_bps=1.0, volume_ratio=1.0, trend=1, high_volatility=0, expected_bps=40.0, cost_bps=10.0, confidence=0.8,
    min_confidence=0.45, win_probability=math.nan, payoff=2.0,
)


def signal(
    number: int, *, hour: float, r: float = 0.0, outcome: int = RESOLVED, reason: str = "", **measured: Any
) -> GatedSignal:
    """Signal *number*, given at *hour*, which lives six hours; *measured* replaces what was good."""
    return GatedSignal(
        signal_id=f"s{number}", symbol="BTCUSDT", ts_ns=START + int(hour * NS_PER_HOUR), by_score=False,
        inputs=GOOD._replace(**measured), outcome=outcome, r=r, life_ns=6 * NS_PER_HOUR, reason=reason,
    )


def history(signals: Iterable[GatedSignal]) -> GateHistory:
    """*signals* in records from the first one to a day after the last."""
    made = tuple(signals)
    return GateHistory(signals=made, first_ns=START, last_ns=max(one.ts_ns for one in made) + 24 * NS_PER_HOUR)


def wide_spread(count: int, r: float) -> list[GatedSignal]:
    """Every other of *count* signals, five hours apart, has a spread too wide for scalp, and a result about *r*."""
    return [
        signal(n, hour=5.0 * n, r=r + 0.1 * (n % 7 - 3) if n % 2 else 0.4, spread_bps=8.0 if n % 2 else 1.0)
        for n in range(count)
    ]
