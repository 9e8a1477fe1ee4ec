"""The sweep and the engine are one: every decision, trade and mark is the same to the last bit.

Both run the same bars, once bar by bar through engine, gateway and paper venue, once through the compiled sweep, for
all profiles, enforced and observed. There is no tolerance anywhere in this file.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.engine import stage
from quantum_trader.engine.core import Engine
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.sweep.layout import (
    C_BLOCKED,
    C_BROKEN,
    C_LOSING,
    C_REDUCED,
    C_TRADES,
    C_WINS,
    EXIT_REASONS,
    M_CASH,
    M_FEES,
    M_FUNDING,
    M_VENUE_CASH,
    T_ENTRY,
    T_ENTRY_NS,
    T_EXIT,
    T_EXIT_NS,
    T_FEES,
    T_FUNDING,
    T_PNL,
    T_QTY,
    T_R,
    T_REASON,
    T_RISK,
    T_SIGN,
    T_SYMBOL,
)
from quantum_trader.lab.sweep.market import SweepSettings, levels_of, prepare
from quantum_trader.lab.sweep.sweep import decision_name, run_one
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, open_recording, recording_from_arrays
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile, profile_vector
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals import columns as col
from quantum_trader.signals.settings import SignalSettings
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

LIVE = OrchestratorIntegrationConfig.create_live_mode_full()
OBSERVE = OrchestratorIntegrationConfig.create_observe_mode()
EAGER = SignalSettings(edge=0.5, cooldown_hours=0.5, warmup_outcomes=0.0)
PROFILES = ("SAFE", "STANDARD", "AGGRESSIVE")


class Decisions:
    """A record sink that keeps decisions and approved quantities."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.quantities: dict[str, float] = {}
        self.topics: set[str] = set()

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep what a decision or an opening order says."""
        if b'"topic":"signal.decided"' in line:
            self.reasons.append(msgspec.json.decode(line)["data"]["reason"])
        elif b'"topic":"order.submitted"' in line:
            data = msgspec.json.decode(line)["data"]
            if not data["reduce_only"]:
                self.quantities[data["trace_id"]] = data["qty"]
        elif b'"topic":"trade.failed"' in line:
            self.topics.add("trade.failed")


def through_engine(recording: Recording, settings: SweepSettings) -> tuple[Engine, Decisions, Any, PaperVenue]:
    """Replay *recording* through engine and paper venue; returns them with the decisions and the hourly equity."""
    sink = Decisions()
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    engine = Engine(instruments, recording.interval_ns, settings.engine, sink)
    venue = PaperVenue(
        instruments, settings.venue, funding=recording.funding,
        taker_cost_bps=engine.market.kernel.out[:, col.TAKER_COST_BPS],
    )
    driver = ReplayDriver(engine, venue, recording.interval_ns)
    hourly: dict[int, float] = {}
    for ts_ns, ohlcv, present, holes in recording.chunks():
        for at, moment in enumerate(ts_ns.tolist()):
            for index, symbol in enumerate(recording.symbols):
                times, rates = recording.funding.get(symbol, ((), ()))
                known = int(np.searchsorted(np.asarray(times, dtype=np.int64), moment, side="right"))
                if known:
                    engine.market.symbols[index, stage.SYM_FUNDING] = rates[known - 1]
            driver.step(moment, ohlcv[at], present[at])
            close_ns = moment + recording.interval_ns
            hourly[(close_ns - 1) // NS_PER_HOUR] = engine.account.equity
            if holes[at].any():
                driver.hole(close_ns, np.flatnonzero(holes[at]).tolist())
    return engine, sink, np.array(list(hourly.values())), venue


def assert_equal(recording: Recording, settings: SweepSettings) -> tuple[Engine, Decisions]:
    """Run both and compare everything they leave behind."""
    engine, sink, hourly, venue = through_engine(recording, settings)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    market = prepare(recording, instruments, settings)
    vector = np.array(profile_vector(settings.engine.profile))
    desk, outcome = run_one(market, vector, levels_of(market, vector))
    assert [decision_name(code) for code in outcome.decision.tolist()] == sink.reasons
    approved = {f"tr{n + 1:08d}": outcome.quantity[n] for n in np.flatnonzero(outcome.decision == 0).tolist()}
    assert approved == sink.quantities
    count = int(desk.counts[C_TRADES])
    trades = engine.records.tally.trades
    assert [_of_sweep(recording, outcome, n) for n in range(count)] == [_of_engine(trade) for trade in trades]
    np.testing.assert_array_equal(outcome.equity[~np.isnan(outcome.equity)], hourly)
    books, money, counts = engine.account.books, desk.money, desk.counts
    assert (money[M_CASH], money[M_VENUE_CASH]) == (books.cash, venue.balance().wallet)
    assert (money[M_FEES], money[M_FUNDING]) == (books.fees_paid, books.funding_received)
    assert (counts[C_LOSING], counts[C_BROKEN], counts[C_WINS]) == (
        books.losing_streak, books.broken_streak, books.wins_since
    )
    assert counts[C_BLOCKED] == engine.records.tally.policy_moments_blocked
    assert counts[C_REDUCED] == engine.records.tally.policy_moments_reduced
    for mine, theirs in (
        (desk.policy, engine.policy.slots.out), (desk.memory, engine.policy.slots.mem),
        (desk.performance, engine.account.performance.rows), (desk.governor, engine.account.governor),
        (desk.losses, engine.account.losses),
    ):
        np.testing.assert_array_equal(mine, theirs)
    return engine, sink


def _of_sweep(recording: Recording, outcome: Any, n: int) -> tuple[Any, ...]:
    whole, trade = outcome.trade_whole[n].tolist(), outcome.trade[n].tolist()
    return (
        recording.symbols[whole[T_SYMBOL]], whole[T_SIGN], whole[T_ENTRY_NS], whole[T_EXIT_NS],
        EXIT_REASONS[whole[T_REASON]], trade[T_QTY], trade[T_ENTRY], trade[T_EXIT], trade[T_PNL], trade[T_R],
        trade[T_FEES], trade[T_FUNDING], trade[T_RISK],
    )


def _of_engine(trade: Any) -> tuple[Any, ...]:
    return (
        trade.symbol, trade.side.sign, trade.entry_ns, trade.exit_ns, trade.exit_reason, trade.qty, trade.entry_price,
        trade.exit_price, trade.pnl, trade.r_multiple, trade.fees, trade.funding, trade.risk_amount,
    )


def sweep_settings(profile: str, integration: OrchestratorIntegrationConfig, **engine: Any) -> SweepSettings:
    """Settings for both sides, equity sampled hourly."""
    made = EngineSettings(profile=load_profile(profile), integration=integration, **engine)
    return SweepSettings(
        engine=made, venue=PaperSettings(initial_cash=made.start_equity), period_ns=NS_PER_HOUR
    )


@pytest.fixture(scope="module")
def bundled() -> Recording:
    """Seven months of the bundled bars: the top of 2017 and the fall after it."""
    return open_recording(None, start="2017-10-01", end="2018-04-30")


@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize("profile", PROFILES)
def test_sweep_equals_engine_on_the_bundled_bars(
    bundled: Recording, profile: str, integration: OrchestratorIntegrationConfig
) -> None:
    """Same decisions, quantities, trades, hourly equity, policy in force and state of every latch."""
    engine, sink = assert_equal(bundled, sweep_settings(profile, integration))
    assert len(sink.reasons) > 200
    assert engine.shield.failures == 0


@pytest.mark.long
@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize("profile", PROFILES)
def test_sweep_equals_engine_on_all_bundled_bars(profile: str, integration: OrchestratorIntegrationConfig) -> None:
    """The same over the whole two years."""
    _, sink = assert_equal(open_recording(None), sweep_settings(profile, integration))
    assert len(sink.reasons) > 2_000


def rough_recording(seed: int, symbols: int = 4, hours: int = 1500) -> Recording:
    """A wild market of hourly bars: jumps, outages, holes of days, a listing, a delisting, a funding history."""
    random = np.random.default_rng(seed)
    names = [f"ROUGH{index}USDT" for index in range(symbols)]
    ts_ns = 1_700_006_400_000_000_000 + np.arange(hours, dtype=np.int64) * NS_PER_HOUR
    shape = (hours, symbols)
    heat = np.exp(np.cumsum(random.normal(0.0, 0.03, shape), axis=0).clip(-2.0, 1.5))
    steps = random.standard_t(2.5, shape) * 0.006 * heat
    steps[random.random(shape) < 0.004] += random.choice([-0.18, 0.22])
    close = np.round(100.0 * np.exp(np.cumsum(steps.clip(-0.5, 0.5), axis=0).clip(-3.0, 3.0)), 2)
    open_ = np.round(np.vstack([close[:1], close[:-1]]) * (1.0 + random.normal(0.0, 0.002, shape)), 2)
    high = np.round(np.maximum(open_, close) * (1.0 + np.abs(random.normal(0.0, 0.004, shape))) + 0.01, 2)
    low = np.round(np.minimum(open_, close) * (1.0 - np.abs(random.normal(0.0, 0.004, shape))), 2)
    ohlcv = np.stack([open_, high, low, close, random.lognormal(5.0, 1.0, shape)], axis=2)
    present = random.random(shape) > 0.03
    for index in range(symbols):
        first = int(random.integers(200, hours - 200))
        present[first : first + int(random.integers(20, 90)), index] = False
    present[:150, 0] = False
    present[-120:, 1] = False
    present[:, 2] = True
    due = ts_ns[:: 8][5:-5]
    funding = {names[2]: (due + 3_000_000, random.normal(0.0, 0.002, len(due)))}
    return recording_from_arrays(names, "1h", ts_ns, ohlcv, present, funding=funding)


@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize(("seed", "profile"), list(enumerate(PROFILES * 2)))
def test_sweep_equals_engine_where_markets_are_rough(
    seed: int, profile: str, integration: OrchestratorIntegrationConfig
) -> None:
    """Gaps through stops, outages with orders on their way, holes, refused margins: the same on both sides."""
    loose = RiskLimits(
        max_risk_pct=10.0, max_leverage=50.0, max_exposure_pct=100.0, daily_loss_pct=40.0, max_positions=20,
        liquidation_buffer_pct=0.05, max_notional_pct=4000.0, max_cost_r=5.0,
    )
    settings = sweep_settings(
        profile, integration, signals=EAGER, limits=loose, leverage=50.0 if seed % 2 else 10.0,
        start_equity=10_000.0 if seed % 3 else 300.0,
    )
    _, sink = assert_equal(rough_recording(seed), settings)
    assert len(sink.reasons) > 100


def test_the_rough_markets_reach_the_rare_roads() -> None:
    """Holes, time-outs, targets and gaps are among what was compared, or the comparison would prove little."""
    seen: set[str] = set()
    for seed, integration in ((1, LIVE), (1, OBSERVE), (2, OBSERVE), (4, OBSERVE)):
        settings = sweep_settings(
            "AGGRESSIVE" if integration is OBSERVE else "STANDARD", integration, signals=EAGER,
            limits=RiskLimits(max_risk_pct=10.0, max_exposure_pct=100.0, daily_loss_pct=40.0), leverage=10.0,
        )
        engine, sink = assert_equal(rough_recording(seed), settings)
        seen |= {trade.exit_reason.value for trade in engine.records.tally.trades} | set(sink.reasons) | sink.topics
    assert {"STOP", "TRAILING_STOP", "SIGNAL_FLIP", "DATA_HOLE", "TIMEOUT", "ALREADY_HELD"} <= seen


def test_days_are_days() -> None:
    """The rough bars begin at a UTC midnight boundary plus whole hours, so that latches meet midnights."""
    recording = rough_recording(0)
    assert int(recording.times[0]) % NS_PER_HOUR == 0
    assert int(recording.times[-1]) - int(recording.times[0]) > 30 * NS_PER_DAY
