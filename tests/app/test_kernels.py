"""Kernels are compiled by an engine that trades, so that a live process compiles nothing while an order waits."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.app.runs import kernels
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.instruments import instrument_for
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile


@pytest.mark.parametrize("integration", [None, OrchestratorIntegrationConfig.create_live_mode_full()])
def test_the_compiling_engine_opens_and_closes_positions(
    monkeypatch: pytest.MonkeyPatch, integration: OrchestratorIntegrationConfig | None
) -> None:
    """Signals, orders, fills and exits are all run, without an error; the engine that will trade is left alone."""
    settings = EngineSettings(profile=load_profile("STANDARD"))
    if integration is not None:
        settings = EngineSettings(profile=load_profile("STANDARD"), integration=integration)
    engine = Engine([instrument_for("BTCUSDT", 1e4)[0]], NS_PER_MINUTE, settings, MemorySink(),
                    live=LiveAccount())
    made: list[Engine] = []

    def making(*arguments: Any, **keywords: Any) -> Engine:
        made.append(Engine(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr(kernels, "Engine", making)
    kernels.compile_kernels(engine)

    (spare,) = made
    assert len(spare.records.tally.trades) >= 2
    assert spare.records.tally.signals > 0
    assert spare.shield.failures == spare.records.refused.failures == 0
    assert engine.records.tally.signals == 0
    assert not engine.halts.started
