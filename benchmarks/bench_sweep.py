"""How fast the sweep runs whole histories: symbol-bars times settings, per second, on one core."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.harness import Figure, bench
from quantum_trader.app.settings import load_settings
from quantum_trader.lab.sweep.market import Market, SweepSettings, levels_of, prepare
from quantum_trader.lab.sweep.sweep import run_one
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.jit import kernel
from quantum_trader.market.recording import open_recording
from quantum_trader.policy.profiles import OrchestratorConfig, load_profile, profile_vector

RUNS = 7


@kernel
def ema_cross_with_stop(closes: Any) -> float:
    """The reference: a portfolio of EMA crosses with a stop, bar by bar, compiled; no policy, no guard, no venue."""
    cash = 0.0
    for s in range(closes.shape[1]):
        fast = slow = closes[0, s]
        position, entry = 0, 0.0
        for t in range(closes.shape[0]):
            close = closes[t, s]
            if not close > 0.0:
                continue
            fast += (close - fast) * 0.15
            slow += (close - slow) * 0.05
            if position and close < entry * 0.98:
                cash += (close - entry) / entry
                position = 0
            elif not position and fast > slow:
                position, entry = 1, close
            elif position and fast < slow:
                cash += (close - entry) / entry
                position = 0
    return cash


def bundled_market() -> tuple[Market, int, Any]:
    """The bundled recording prepared for a sweep, its symbol-bars and its closes."""
    recording = open_recording()
    settings = load_settings(None, {"rollout.mode": ("LIVE", "--mode")}).settings
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    sweep_settings = SweepSettings(engine=settings.engine_settings(), venue=settings.paper_settings())
    market = prepare(recording, table.instruments, sweep_settings)
    return market, recording.report.bars, recording.arrays().ohlcv[:, :, 3]


def settings_per_second(market: Market, config: OrchestratorConfig) -> float:
    """Settings a second of one profile, the best of some runs, the compilation before."""
    vector = np.array(profile_vector(config))
    levels = levels_of(market, vector)
    run_one(market, vector, levels)
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run_one(market, vector, levels)
        times.append(time.perf_counter() - started)
    return 1.0 / min(times)


@bench("sweep")
def sweep_speed() -> list[Figure]:
    """Each bundled profile with everything enforced; signals and shadow results computed once, before."""
    market, bars, closes = bundled_market()
    closes = np.ascontiguousarray(closes)
    ema_cross_with_stop(closes)
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        ema_cross_with_stop(closes)
        times.append(time.perf_counter() - started)
    reference = bars / min(times) / 1e6
    return [
        Figure(
            name=f"sweep.{name.lower()}", value=settings_per_second(market, load_profile(name)) * bars / 1e6,
            unit="M bars x settings/s", reference=reference,
            reference_name="compiled EMA cross with stop, M bars/s", bar=">= 5 (aim 20)",
        )
        for name in ("SAFE", "STANDARD", "AGGRESSIVE")
    ]
