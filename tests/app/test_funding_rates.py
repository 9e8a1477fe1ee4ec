"""The cost gate reads funding rates per 8 hours, whatever the interval of the contract, in a replay as in a sweep."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.app.runs.replay import FundingRates
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.engine import stage
from quantum_trader.engine.core import Engine
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.sweep.market import SweepSettings, prepare
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.policy.profiles import load_profile
from quantum_trader.venues.paper.settings import PaperSettings

START = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z


def orca() -> Recording:
    """Two days of a contract whose shorts pay 2 % each 2 hours."""
    ts_ns = START + np.arange(48) * NS_PER_HOUR
    flat = np.full((48, 1, 5), 100.0)
    times = START + np.arange(2, 48, 2) * NS_PER_HOUR
    return recording_from_arrays(
        ["ORCAUSDT"], "1h", ts_ns, flat, funding={"ORCAUSDT": (times, np.full(len(times), -0.02))}
    )


def test_a_two_percent_rate_each_two_hours_is_eight_percent_in_replay_and_sweep() -> None:
    """ORCA's short costs 0.504 R of funding, not 0.126: the limit of 0.30 refuses it. The rate paid stays 2 %."""
    recording = orca()
    instruments = instruments_for(recording.symbols, [100.0]).instruments
    settings = EngineSettings(profile=load_profile("STANDARD"))
    engine = Engine(instruments, NS_PER_HOUR, settings, MemorySink())
    rates = FundingRates(recording, engine)
    rates.advance(START + NS_PER_HOUR)
    assert engine.market.symbols[0, stage.SYM_FUNDING] == settings.funding_rate_8h, "nothing is known yet"
    for hour in (2, 3, 20, 47):
        rates.advance(START + hour * NS_PER_HOUR)
        assert engine.market.symbols[0, stage.SYM_FUNDING] == pytest.approx(-0.08)
    tape = prepare(recording, instruments, SweepSettings(engine=settings, venue=PaperSettings())).tape
    assert tape.funding_8h[:3, 0].tolist() == pytest.approx([1e-4, 1e-4, -0.08])
    assert set(tape.funding_rate[2:-1].tolist()) == {-0.02}
    stop = 0.02 * 36.0 * stage.EXPECTED_HOLD_SHARE / 8.0 / 0.126 * 100.0  # as far away as ORCA's was
    per_8h = (stage.estimated_cost_r(100.0, stop, 1.0, 36.0, 0.0, 0.0, 0.0, rate) for rate in (-0.02, -0.08))
    assert tuple(per_8h) == (pytest.approx(0.126), pytest.approx(0.504))
