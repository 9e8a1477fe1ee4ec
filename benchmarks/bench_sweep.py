"""How fast the sweep runs whole histories: symbol-bars times settings, per second, on one core.

The reference is a compiled portfolio of EMA crosses over the same bars, once for each of eight stop distances: a sweep
with no policy, no guard and no venue.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from benchmarks.references import crosses_of_settings
from quantum_trader.app.settings import load_settings
from quantum_trader.lab.sweep.market import SweepMarket, SweepSettings, levels_of, prepare
from quantum_trader.lab.sweep.sweep import run_one
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import open_recording
from quantum_trader.policy.profiles import load_profile, profile_vector

TURNS = 7
STOPS = np.linspace(0.01, 0.05, 8)
AT_LEAST = {"SAFE": 0.0, "STANDARD": 0.0, "AGGRESSIVE": 0.0}


def bundled_market() -> tuple[SweepMarket, int, Any]:
    """The bundled recording prepared for a sweep of the intraday models, its symbol-bars and its closes."""
    recording = open_recording()
    flags = {"rollout.mode": ("LIVE", "--mode"), "models": ([{"model": "intraday-demo"}], "--model")}
    settings = load_settings(None, flags).settings
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    sweep_settings = SweepSettings(engine=settings.engine_settings(), venue=settings.paper_settings())
    market = prepare(recording, table.instruments, sweep_settings)
    return market, recording.report.bars, recording.arrays().ohlcv[:, :, 3]


@bench("sweep")
def sweep_speed() -> Iterator[Figure]:
    """Each bundled profile with everything enforced; signals and shadow results computed once, before.

    The reference is a compiled sweep of EMA crosses over eight stop distances.
    """
    market, bars, closes = bundled_market()
    closes = np.ascontiguousarray(closes)
    crosses_of_settings(closes, STOPS)
    for name, bar in AT_LEAST.items():
        vector = np.array(profile_vector(load_profile(name)))
        levels = levels_of(market, vector)
        run_one(market, vector, levels)

        def one_setting(vector: Any = vector, levels: Any = levels) -> float:
            return seconds(lambda: run_one(market, vector, levels))

        took = fastest_in_turns(TURNS, one_setting, lambda: seconds(lambda: crosses_of_settings(closes, STOPS)))
        yield Figure(
            name=f"sweep.{name.lower()}", value=bars / took.value / 1e6, unit="M bars x settings/s",
            reference=bars * len(STOPS) / took.reference / 1e6,
            reference_name="compiled EMA crosses, M bars x settings/s", at_least=bar,
        )
