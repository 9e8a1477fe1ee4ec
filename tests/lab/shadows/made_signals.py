"""Signals with gates and shadow results, made up: for tests that must know what is true of them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.lab.shadows.judged_signals import RESOLVED, JudgedSignals
from quantum_trader.models.entry_features import ENTRY_FEATURES
from quantum_trader.models.gates import GATES, GateInputs, GateSettings, gate_readings

START_NS = 1_700_006_400_000_000_000
HOURS_OPEN = 12
SPREAD_OF_RESULTS = 80.0  # bps


def made_signals(count: int, seed: int, *, gain_per_confidence: float = 0.0, **changes: Any) -> JudgedSignals:
    """*count* signals of mode scalp, one each two hours, whose shadow trades last 12 and share a random market.

    The expected result is *gain_per_confidence* bps times the confidence above 0.6; 0.0: nothing tells wins from
    losses.
    """
    random = np.random.default_rng(seed)
    ts_ns = START_NS + np.arange(count, dtype=np.int64) * 2 * NS_PER_HOUR
    steps = random.normal(0.0, SPREAD_OF_RESULTS / np.sqrt(6.0), count + 6)
    market = np.array([steps[at : at + 6].sum() for at in range(count)])
    confidence = random.uniform(0.5, 0.7, count)
    own = random.normal(0.0, SPREAD_OF_RESULTS / 2.0, count)
    net_bps = 0.7 * market + own + gain_per_confidence * (confidence - 0.6)
    settings = GateSettings()
    limits = settings.limits("scalp")
    inputs = [
        GateInputs(
            spread_bps=float(random.uniform(1.0, 8.0)), volume_ratio=float(random.uniform(0.2, 2.0)),
            trend=int(random.integers(1, 3)), high_volatility=int(random.integers(0, 2)),
            expected_bps=float(random.uniform(0.0, 60.0)), cost_bps=20.0, confidence=float(one), min_confidence=0.52,
            win_probability=float("nan"), payoff=2.0,
        )
        for one in confidence
    ]
    readings = [gate_readings(one, limits) for one in inputs]
    observed, measured, passed = (
        np.array([[getattr(gate, key) for gate in row] for row in readings])
        for key in ("observed", "measured", "passed")
    )
    refused = random.random(count) < 0.5
    made = JudgedSignals(
        signal_ids=tuple(f"s{at + 1:08d}" for at in range(count)),
        symbols=tuple(("BTCUSDT", "ETHUSDT")[at % 2] for at in range(count)), models=("ensemble",) * count,
        modes=("scalp",) * count,
        regimes=tuple(("TRENDING UP NORMAL", "RANGING LOW")[one.trend - 1] for one in inputs),
        reasons=tuple("LOW_CONFIDENCE" if one else "" for one in refused.tolist()), ts_ns=ts_ns, features_ns=ts_ns,
        confidence=confidence, observed=observed.astype(np.float64), measured=measured.astype(np.bool_),
        passed=passed.astype(np.bool_), enforced=np.zeros((count, len(GATES)), dtype=np.bool_),
        gate_inputs=np.array(inputs, dtype=np.float64),
        gate_limits=np.tile(np.array(limits, dtype=np.float64), (count, 1)),
        features=random.normal(0.0, 1.0, (count, len(ENTRY_FEATURES))),
        record_numbers=np.stack((np.arange(count), np.arange(count) + 10 * count), axis=1),
        outcome=np.full(count, RESOLVED, dtype=np.int8), entry_ns=ts_ns, end_ns=ts_ns + HOURS_OPEN * NS_PER_HOUR,
        net_bps=net_bps, cost_bps=np.full(count, 20.0), funding_bps=np.zeros(count), r=net_bps / 100.0,
        by_score=np.zeros(count, dtype=np.bool_), risk_usdt=np.full(count, 50.0), exits=("TIMEOUT",) * count,
    )
    return msgspec.structs.replace(made, **changes)
