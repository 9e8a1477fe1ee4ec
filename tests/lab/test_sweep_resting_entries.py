"""Entries that rest post-only: the sweep fills, ends and sends them to market as engine and paper venue do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.lab.test_sweep_equals_engine import (
    BY_REGIME,
    BY_SCORE,
    LIVE,
    NEAR,
    OBSERVE,
    PROFILES,
    Hourly,
    Remembering,
    assert_equal,
    loaded,
    rough_recording,
    sweep_settings,
)

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.sweep.market import prepare
from quantum_trader.market.instruments import instruments_for
from quantum_trader.models.loading import LoadedModel
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.risk.guard import RiskLimits

WIDE = RiskLimits(
    max_risk_pct=10.0, max_leverage=50.0, max_exposure_pct=100.0, daily_loss_pct=40.0, max_positions=20,
    liquidation_buffer_pct=0.05, max_notional_pct=4000.0, max_cost_r=5.0,
)


@pytest.mark.parametrize("exit_", [BY_SCORE, NEAR, BY_REGIME], ids=["score", "near", "regime"])
@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize(("seed", "profile"), list(enumerate(PROFILES)))
def test_sweep_equals_engine_where_entries_rest(
    seed: int, profile: str, integration: OrchestratorIntegrationConfig, exit_: object
) -> None:
    """Entries that fill at rest, stop in the bar they fill in, go to market or end, among outages and holes."""
    recording = rough_recording(seed)
    settings = sweep_settings(
        profile, integration, limits=WIDE, leverage=50.0 if seed % 2 else 10.0, maker_entry_bars=1 + seed
    )

    def models() -> list[LoadedModel]:
        return [
            loaded(Hourly, exit_, bars=5), loaded(Remembering, exit_, bars=13, sign=-1.0),
            loaded(Hourly, exit_, bars=30, symbols=recording.symbols[1:3]),
        ]

    engine, sink = assert_equal(recording, settings, models=models)
    fills = engine.records.tally.fills
    assert len(sink.reasons) > 100
    assert 0.0 < fills.maker_turnover < fills.turnover
    assert engine.shield.failures == 0


def test_sweep_refuses_resting_entries_that_it_cannot_follow() -> None:
    """Signals of the intraday set and recorded intents: their tape does not have the costs of later moments."""
    recording = rough_recording(0)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    settings = sweep_settings("SAFE", LIVE, maker_entry_bars=2)
    with pytest.raises(ConfigError, match=r"engine\.maker_entry_bars = 2: .* models alone; use `run`"):
        prepare(recording, instruments, settings)
    with pytest.raises(ConfigError, match=r"engine\.maker_entry_bars = 2: .* one hour at most"):
        prepare(SimpleNamespace(interval_ns=4 * NS_PER_HOUR), instruments, settings, models="mine")  # type: ignore
