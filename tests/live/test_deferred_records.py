"""A live engine defers records and observation until its orders are out, and does them before the next input."""

from __future__ import annotations

from typing import Any

import pytest
from tests.live.live_world import MINUTE, World

from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.core import Engine
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.regime import MarketSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals import columns as col
from quantum_trader.signals.settings import SignalSettings
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

SYMBOLS = 12
FIXED = OrchestratorIntegrationConfig(fixed_risk_pct=0.05, fixed_confidence=0.0, fixed_max_positions=3)


class Deferring(Engine):
    """An engine under a replay's driver that defers records as with live bars, and records no bars."""

    def on_batch(self, batch: MarketBatch) -> list[Command]:
        """Take bars as a live engine takes them."""
        self.records.catch_up()
        self.prepare(batch)
        commands = self.on_bars(batch, batch.ts_ns + batch.interval_ns)
        while more := self.more():
            commands += more
        return commands

    def prepare(self, batch: MarketBatch) -> None:
        """Measure nothing before the moment is complete."""

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Take an event after the deferred records."""
        self.records.catch_up()
        return Engine.on_event(self, event)


class Preparing(Deferring):
    """An engine that gets most bars ahead of their moment, in a shuffled order, and some of them with wrong prices."""

    def prepare(self, batch: MarketBatch) -> None:
        """Measure some bars before their moment is complete."""
        moment = batch.ts_ns // MINUTE
        for step in range(SYMBOLS):
            index = (5 * step + moment) % SYMBOLS
            if (moment + step) % 4:
                self.prepare_bar(batch.ts_ns, index, batch.ohlcv[index])
            elif moment % 3:
                self.prepare_bar(batch.ts_ns, index, batch.ohlcv[index] * 1.001)


def replayed(kind: Any, integration: OrchestratorIntegrationConfig) -> Any:
    """An engine of *kind* that has traded generated bars."""
    recording = generated_recording(SYMBOLS, interval="1m", bars=1200, seed=4)
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    settings = EngineSettings(
        profile=load_profile("STANDARD"), start_equity=1e6, operator_resume_hours=0.02, integration=integration,
        market=MarketSettings(trend_minutes=5, vol_minutes=5), limits=RiskLimits(max_cost_r=10.0),
        signals=SignalSettings(
            decision_minutes=1, horizon_hours=0.1, cooldown_hours=0.5, edge=0.505, warmup_outcomes=5.0
        ),
    )
    engine = kind(table.instruments, recording.interval_ns, settings, MemorySink())
    engine.money.began_ns = 1
    venue = PaperVenue(
        table.instruments, PaperSettings(initial_cash=1e6),
        taker_cost_bps=engine.market.kernel.out[:, col.TAKER_COST_BPS],
    )
    driver = ReplayDriver(engine, venue, recording.interval_ns)
    for ts_ns, ohlcv, present, _ in recording.chunks(8192):
        for row, moment in enumerate(ts_ns.tolist()):
            driver.step(moment, ohlcv[row], present[row])
    engine.records.catch_up()
    return engine


@pytest.mark.parametrize("kind", [Deferring, Preparing])
@pytest.mark.parametrize(
    "integration", [FIXED, OrchestratorIntegrationConfig.create_live_mode_full()], ids=["observe", "enforced"]
)
def test_deferring_changes_no_record(integration: OrchestratorIntegrationConfig, kind: type[Deferring]) -> None:
    """Observing and enforcing, an engine that defers leaves the records, trades and books of one that does not."""
    plain, deferring = replayed(Engine, integration), replayed(kind, integration)
    assert deferring.records.recorder.digest == plain.records.recorder.digest
    assert deferring.records.recorder.seq == plain.records.recorder.seq
    assert deferring.records.tally.refusals == plain.records.tally.refusals
    assert deferring.account.equity == plain.account.equity
    assert plain.records.tally.signals > 100
    assert plain.shield.failures == deferring.shield.failures == 0


def test_deferred_records_are_written_before_the_next_input() -> None:
    """Records of a moment come with the next input or a checkpoint, in front of what that brings."""
    world = World().begin(2)
    before = len(world.sink.lines)
    world.session.finish_bars()
    after = len(world.sink.lines)
    assert after > before
    world.session.finish_bars()
    assert len(world.sink.lines) == after


def test_a_record_that_cannot_be_written_halts_openings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deferred record that fails halts openings as a failing input does, and the session goes on."""
    world = World().begin(1)

    def broken() -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(world.engine.records, "catch_up", broken)
    world.session.finish_bars()
    assert world.session.shield.failures == 1
    assert world.engine.halts.operator_halt
    assert world.engine.now_ns % MINUTE == 0
