"""The sweep and the engine are one: every decision, trade and mark is the same to the last bit.

Both run the same bars, once bar by bar through engine, gateway and paper venue, once through the compiled sweep, for
all profiles, enforced and observed. There is no tolerance anywhere in this file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from quantum_trader.app.runs.replay import FundingRates
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.enums import ExitMode, ExitReason, Side
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.core import Engine
from quantum_trader.engine.recorded_intents import RecordedIntents
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.sweep.columns import counter, exit_reason, money, trade, trade_whole
from quantum_trader.lab.sweep.market import SweepSettings, levels_of, prepare
from quantum_trader.lab.sweep.sweep import decision_name, run_one, sources_of
from quantum_trader.lab.sweep.targets import targets_of
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, open_recording, recording_from_arrays
from quantum_trader.models import Exit, Model, Panel
from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.models.gates import GATES, GateSettings, ModeLimits
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

Models = Callable[[], Sequence[LoadedModel]]  # makes the models anew: they may keep a state


class Decisions:
    """A record sink that keeps decisions and approved quantities."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.quantities: dict[str, float] = {}
        self.topics: set[str] = set()
        self.intents: list[str] = []  # outcome of each outside intent: why it failed, else empty
        self.received: dict[str, int] = {}  # trace id of an intent -> its place in the above
        self.reductions = 0  # market orders that closed a position or reduced it

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep what a decision or an opening order says."""
        if b'"topic":"signal.decided"' in line:
            self.reasons.append(msgspec.json.decode(line)["data"]["reason"])
        elif b'"topic":"order.submitted"' in line:
            data = msgspec.json.decode(line)["data"]
            if not data["reduce_only"]:
                self.quantities[data["trace_id"]] = data["qty"]
            elif data["type"] == "MARKET":
                self.reductions += 1
        elif b'"topic":"intent.received"' in line:
            self.received[msgspec.json.decode(line)["trace_id"]] = len(self.intents)
            self.intents.append("")
        elif b'"topic":"trade.failed"' in line:
            self.topics.add("trade.failed")
            failed = msgspec.json.decode(line)
            is_known = failed["trace_id"] in self.received  # others are entries that rested and may not go to market
            if failed["data"].get("source") and is_known:  # by the engine: what the venue refuses was approved before
                self.intents[self.received[failed["trace_id"]]] = failed["data"]["reason"]


def through_engine(
    recording: Recording, settings: SweepSettings, intents: Sequence[Intent] = (), models: Models = list
) -> tuple[Engine, Decisions, Any, PaperVenue]:
    """Replay *recording* through engine and paper venue; returns them with the decisions and the hourly equity."""
    sink = Decisions()
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    engine = Engine(
        instruments, recording.interval_ns, settings.engine, sink, forecasts=forecasts_of(recording, models)
    )
    venue = PaperVenue(
        instruments, settings.venue, funding=recording.funding,
        taker_cost_bps=engine.market.kernel.out[:, col.TAKER_COST_BPS],
    )
    driver = ReplayDriver(engine, venue, recording.interval_ns, RecordedIntents(intents))
    _warm_up(engine, recording)
    funding = FundingRates(recording, engine)
    hourly: dict[int, float] = {}
    for ts_ns, ohlcv, present, holes in recording.chunks():
        for at, moment in enumerate(ts_ns.tolist()):
            funding.advance(moment)
            driver.step(moment, ohlcv[at], present[at])
            close_ns = moment + recording.interval_ns
            hourly[(close_ns - 1) // NS_PER_HOUR] = engine.account.equity
            if holes[at].any():
                driver.hole(close_ns, np.flatnonzero(holes[at]).tolist())
    return engine, sink, np.array(list(hourly.values())), venue


def _warm_up(engine: Engine, recording: Recording) -> None:
    """Show the engine the bars from before the range, as a run does."""
    if recording.earlier is not None:
        funding = FundingRates(recording.earlier, engine)
        for ts_ns, ohlcv, present, _ in recording.chunks_before():
            for at, moment in enumerate(ts_ns.tolist()):
                funding.advance(moment)
                engine.market.warm(MarketBatch(moment, recording.interval_ns, ohlcv[at], present[at]))


def forecasts_of(recording: Recording, models: Models) -> Forecasts | None:
    """The forecasts of new *models* before the first bar; None where the intraday ensemble gives the signals."""
    made = models()
    return Forecasts(recording.symbols, recording.interval_ns, made) if made else None


def assert_equal(
    recording: Recording, settings: SweepSettings, intents: Sequence[Intent] = (), models: Models = list
) -> tuple[Engine, Decisions]:
    """Run both and compare everything they leave behind."""
    engine, sink, hourly, venue = through_engine(recording, settings, intents, models)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    forecasts = forecasts_of(recording, models)
    market = prepare(recording, instruments, settings, intents, forecasts.name if forecasts is not None else "")
    targets = targets_of(recording, market, forecasts) if forecasts is not None else None
    vector = np.array(profile_vector(settings.engine.profile))
    desk, outcome = run_one(market, vector, levels_of(market, vector, targets))
    sources = sources_of(market, outcome)
    of_signals = sources == 0
    assert [decision_name(code) for code in outcome.decision[of_signals].tolist()] == sink.reasons
    assert [decision_name(code) for code in outcome.decision[~of_signals].tolist()] == sink.intents
    traces = _traces(of_signals, list(sink.received))
    approved = {traces[n]: outcome.quantity[n] for n in np.flatnonzero(outcome.decision == 0).tolist()}
    assert approved == sink.quantities
    count = int(desk.counts[counter.TRADES])
    trades = engine.records.tally.trades
    assert [_of_sweep(recording, outcome, n) for n in range(count)] == [_of_engine(t) for t in trades]
    rows = outcome.trade_whole[:count, trade_whole.SIGNAL]
    assert [market.sources[sources[row]] for row in rows] == [one.model for one in trades]
    np.testing.assert_array_equal(outcome.equity[~np.isnan(outcome.equity)], hourly)
    books, amounts, counts = engine.account.books, desk.money, desk.counts
    assert (amounts[money.CASH], amounts[money.VENUE_CASH]) == (books.cash, venue.balance().wallet)
    assert (amounts[money.FEES], amounts[money.FUNDING]) == (books.fees_paid, books.funding_received)
    assert (counts[counter.LOSING], counts[counter.BROKEN], counts[counter.WINS]) == (
        books.losing_streak, books.broken_streak, books.wins_since
    )
    payoff = engine.judging.payoff
    assert (counts[counter.SHADOWS], counts[counter.SHADOWS_WON], amounts[money.SHADOW_WON]) == (
        payoff.count, payoff.wins, payoff.won
    )
    assert (counts[counter.SHADOWS_LOST], amounts[money.SHADOW_LOST]) == (payoff.losses, payoff.lost)
    assert counts[counter.BLOCKED] == engine.records.tally.policy_moments_blocked
    assert counts[counter.REDUCED] == engine.records.tally.policy_moments_reduced
    for mine, theirs in (
        (desk.policy.out, engine.policy.slots.out), (desk.policy.memory, engine.policy.slots.mem),
        (desk.performance, engine.account.performance.rows), (desk.governor, engine.account.governor),
        (desk.losses, engine.account.losses),
    ):
        np.testing.assert_array_equal(mine, theirs)
    return engine, sink


def _traces(of_signals: Any, of_intents: list[str]) -> list[str]:
    """The trace id of each row: signals by their number, intents by their own."""
    numbers, names = itertools.count(1), iter(of_intents)
    return [f"tr{next(numbers):08d}" if is_signal else next(names) for is_signal in of_signals.tolist()]


def _of_sweep(recording: Recording, outcome: Any, n: int) -> tuple[Any, ...]:
    whole, figures = outcome.trade_whole[n].tolist(), outcome.trade[n].tolist()
    return (
        recording.symbols[whole[trade_whole.SYMBOL]], whole[trade_whole.SIGN], whole[trade_whole.ENTRY_NS],
        whole[trade_whole.EXIT_NS], exit_reason.REASONS[whole[trade_whole.REASON]], figures[trade.QTY],
        figures[trade.ENTRY], figures[trade.EXIT], figures[trade.PNL], figures[trade.R], figures[trade.FEES],
        figures[trade.FUNDING], figures[trade.RISK],
    )


def _of_engine(one: Any) -> tuple[Any, ...]:
    return (
        one.symbol, one.side.sign, one.entry_ns, one.exit_ns, one.exit_reason, one.qty, one.entry_price,
        one.exit_price, one.pnl, one.r_multiple, one.fees, one.funding, one.risk_amount,
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
    often = ts_ns[:: 2][5:-5]
    funding = {
        names[2]: (due + 3_000_000, random.normal(0.0, 0.002, len(due))),
        names[3]: (often, random.normal(0.0, 0.0005, len(often))),
    }
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
        seen |= {one.exit_reason.value for one in engine.records.tally.trades} | set(sink.reasons) | sink.topics
    assert {"STOP", "TRAILING_STOP", "SIGNAL_FLIP", "DATA_HOLE", "TIMEOUT", "ALREADY_HELD"} <= seen


def random_intents(recording: Recording, seed: int, count: int = 600) -> list[Intent]:
    """Intents of two sources at random moments: own stops, none, wrong ones, reducing, too large, expired, many."""
    random = np.random.default_rng(seed)
    times, made = recording.times.tolist(), []
    closes = dict(enumerate(recording.first_closes().tolist()))
    newest = np.concatenate([chunk[1][:, :, 3] for chunk in recording.chunks()])
    for number in range(count):
        row = int(random.integers(0, len(times)))
        index = int(random.integers(0, len(recording.symbols)))
        price = float(newest[row, index]) if newest[row, index] > 0.0 else closes[index]
        sign = 1 if random.random() < 0.5 else -1
        distance = float(random.choice([0.002, 0.01, 0.03, 0.1, -0.02]))
        stop = 0.0 if random.random() < 0.3 else round(price * (1.0 - sign * distance), 2)
        created_ns = times[row] + recording.interval_ns - int(random.choice([0, 1, 600_000_000_000]))
        life_ns = int(random.choice([-1, 0, 30_000_000_000, 30_000_000_000, 30_000_000_000]))
        made += [
            Intent(
                intent_id=f"x{number}-{copy}", trace_id=f"trace-x{number}-{copy}", symbol=recording.symbols[index],
                side=Side.LONG if sign > 0 else Side.SHORT, reference_price=price, stop_price=stop,
                qty=float(random.choice([0.01, 1.0, 40.0, 1e5])), reduce_only=bool(random.random() < 0.15),
                leverage=float(random.choice([1.0, 3.0, 10.0, 60.0])), created_ns=created_ns,
                expires_ns=created_ns + life_ns, source="PILOT" if number % 3 else "DESK",
                confidence=float(random.choice([0.3, 0.6, 1.0])),
            )
            for copy in range(int(random.choice([1, 1, 1, 3])))
        ]
    return made


@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize(("seed", "profile"), list(enumerate(PROFILES)))
def test_sweep_equals_engine_with_outside_intents(
    seed: int, profile: str, integration: OrchestratorIntegrationConfig
) -> None:
    """Recorded intents of two sources beside the signals: the same outcome of each, the same trades by source."""
    recording = rough_recording(seed)
    limits = RiskLimits(
        max_risk_pct=10.0, max_exposure_pct=100.0, daily_loss_pct=40.0, max_cost_r=5.0,
        max_data_age_s=86_400.0 if seed == 1 else 120.0,
    )
    settings = sweep_settings(profile, integration, signals=EAGER, limits=limits, leverage=10.0)
    engine, sink = assert_equal(recording, settings, random_intents(recording, seed))
    assert {one.model for one in engine.records.tally.trades} >= {"PILOT", "DESK"}
    if integration is OBSERVE:
        wanted = {"", "EXPIRED", "CLOSES_FIRST", "NO_POSITION", "NO_STOP", "LEVERAGE", "LOW_CONFIDENCE"}
        assert wanted <= set(sink.intents)
    assert engine.shield.failures == 0


def test_days_are_days() -> None:
    """The rough bars begin at a UTC midnight boundary plus whole hours, so that latches meet midnights."""
    recording = rough_recording(0)
    assert int(recording.times[0]) % NS_PER_HOUR == 0
    assert int(recording.times[-1]) - int(recording.times[0]) > 30 * NS_PER_DAY


# ---- models --------------------------------------------------------------------------------------------------------
AT_THE_VENUE = {
    ExitReason.STOP, ExitReason.TRAILING_STOP, ExitReason.TAKE_PROFIT, ExitReason.LIQUIDATION, ExitReason.DATA_HOLE,
}


class Rising(Model):
    """Long what rose over the last *bars*."""

    bars, warmup, horizon, needs = "4h", 60, "2d", ("close", "funding")

    class Params(msgspec.Struct, frozen=True):
        """How far it looks back, and whether it bets on the opposite."""

        bars: int = 18
        sign: float = 1.0

    def score(self, panel: Panel) -> Any:
        """The change of the price."""
        return self.params.sign * (panel.close[-1] / panel.close[-1 - self.params.bars] - 1.0)


class Hourly(Rising):
    """The same on short bars: it decides often, and turns often."""

    bars, horizon = "1h", "8h"


class Remembering(Rising):
    """Scores that depend on how often it was asked."""

    bars, horizon = "1h", "8h"

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        self.asked = 0

    def score(self, panel: Panel) -> Any:
        """The change of the price, at times without a view."""
        self.asked += 1
        return super().score(panel) * (np.nan if self.asked % 11 == 0 else 1.0 + 0.1 * (self.asked % 7))


BY_SCORE, BY_REGIME = Exit(), Exit(on="regime")
NEAR = Exit(on="score", stop_atr=0.8)


def loaded(
    kind: type[Model] = Rising, exit_: Exit = BY_SCORE, mean: float = 3.0, symbols: tuple[str, ...] = (), **params: Any
) -> LoadedModel:
    """A model with a prior that lets it trade."""
    name = f"{kind.__name__}{params.get('bars', '')}"
    model = kind(kind.Params(**params))
    prior = ForecastSettings(prior_mean=mean, prior_sd=0.5)
    return LoadedModel(name=name, model=model, fingerprint=name, forecast=prior, exit=exit_, symbols=symbols)


@pytest.mark.parametrize("exit_", [BY_SCORE, BY_REGIME], ids=["score", "regime"])
@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize("profile", PROFILES)
def test_sweep_equals_engine_with_a_model(
    bundled: Recording, profile: str, integration: OrchestratorIntegrationConfig, exit_: Exit
) -> None:
    """Its targets, shadow trades, costs and exits: the same decisions, trades, equity and policy."""
    engine, sink = assert_equal(bundled, sweep_settings(profile, integration), models=lambda: [loaded(exit_=exit_)])
    assert len(sink.reasons) > 100
    assert engine.shield.failures == 0


@pytest.mark.parametrize("exit_", [BY_SCORE, NEAR, BY_REGIME], ids=["score", "near", "regime"])
@pytest.mark.parametrize("integration", [LIVE, OBSERVE], ids=["live", "observe"])
@pytest.mark.parametrize(("seed", "profile"), list(enumerate(PROFILES)))
def test_sweep_equals_engine_with_models_where_markets_are_rough(
    seed: int, profile: str, integration: OrchestratorIntegrationConfig, exit_: Exit
) -> None:
    """Several models of short bars that turn often, one of them for two symbols, among outages, holes and intents."""
    recording = rough_recording(seed)
    limits = RiskLimits(
        max_risk_pct=10.0, max_leverage=50.0, max_exposure_pct=100.0, daily_loss_pct=40.0, max_positions=20,
        liquidation_buffer_pct=0.05, max_notional_pct=4000.0, max_cost_r=5.0,
    )
    settings = sweep_settings(profile, integration, limits=limits, leverage=50.0 if seed % 2 else 10.0)

    def models() -> list[LoadedModel]:
        return [
            loaded(Hourly, exit_, bars=5), loaded(Remembering, exit_, bars=13, sign=-1.0),
            loaded(Hourly, exit_, bars=30, symbols=recording.symbols[1:3]),
        ]

    engine, sink = assert_equal(recording, settings, random_intents(recording, seed, 200), models)
    assert len(sink.reasons) > 100
    assert engine.shield.failures == 0


def test_the_models_reach_the_rare_roads() -> None:
    """Stops, targets that wait for a close, holes, trailing, additions and reductions are among what was compared."""
    seen: set[str] = set()
    opened = reduced = trades = 0
    limits = RiskLimits(max_risk_pct=10.0, max_exposure_pct=100.0, daily_loss_pct=40.0)
    for seed, exit_mode in ((1, "TREND_FOLLOW"), (2, "FAST_TP"), (4, "DEFENSIVE_TRAIL")):
        integration = OrchestratorIntegrationConfig.create_observe_mode()
        integration = msgspec.structs.replace(integration, fixed_exit_mode=ExitMode(exit_mode))
        settings = sweep_settings("AGGRESSIVE", integration, limits=limits, leverage=10.0)
        engine, sink = assert_equal(
            rough_recording(seed), settings, models=lambda: [loaded(Hourly, NEAR, bars=5)]
        )
        seen |= {one.exit_reason.value for one in engine.records.tally.trades} | set(sink.reasons) | sink.topics
        ended = [one.exit_reason for one in engine.records.tally.trades]
        opened, trades = opened + len(sink.quantities), trades + len(ended)
        reduced += sink.reductions - sum(reason not in AT_THE_VENUE for reason in ended)
    assert {"STOP", "TRAILING_STOP", "SCORE", "TAKE_PROFIT", "DATA_HOLE", "CLOSES_FIRST"} <= seen
    assert opened > 1.5 * trades
    assert reduced > 50


@pytest.mark.parametrize("models", [list, lambda: [loaded()]], ids=["ensemble", "model"])
def test_sweep_equals_engine_after_a_warm_up(models: Models) -> None:
    """Bars from before the range warm measures, calibration and models up on both sides."""
    recording = open_recording(None, start="2018-01-01", end="2018-02-28", warm_up=True)
    assert recording.earlier is not None
    _, sink = assert_equal(recording, sweep_settings("STANDARD", LIVE), models=models)
    assert len(sink.reasons) > 30


class Scripted(Model):
    """Long, but for six hours after a fall."""

    bars, warmup, horizon = "1h", 2, "2d"

    def score(self, panel: Panel) -> Any:
        """1, and 0 from the second to the seventh hour after the fall."""
        since = panel.now_ns // NS_PER_HOUR - FALL_HOUR
        return np.array([0.0 if 2 <= since < 8 else 1.0])


FALL_HOUR = 1_700_006_400_000_000_000 // NS_PER_HOUR + 400


def test_a_target_that_was_given_up_after_a_stop_is_taken_again() -> None:
    """One symbol is stopped out, its target becomes 0 and then long again: it is entered a second time."""
    hours = 600
    ts_ns = 1_700_006_400_000_000_000 + np.arange(hours, dtype=np.int64) * NS_PER_HOUR
    close = 100.0 + np.where(np.arange(hours) % 2 == 0, 0.2, -0.2)
    close[400:] -= 10.0
    open_ = np.concatenate([close[:1], close[:-1]])
    bars = [open_, np.maximum(open_, close) + 0.1, np.minimum(open_, close) - 0.1, close, np.full(hours, 1e4)]
    recording = recording_from_arrays(
        ["ONEUSDT"], "1h", ts_ns, np.stack(bars, axis=1)[:, None, :].round(2), np.ones((hours, 1), dtype=bool)
    )
    integration = msgspec.structs.replace(OBSERVE, fixed_confidence=0.0)
    settings = sweep_settings("SAFE", integration, limits=RiskLimits(max_cost_r=10.0))
    engine, _ = assert_equal(recording, settings, models=lambda: [loaded(Scripted)])
    assert [one.exit_reason for one in engine.records.tally.trades] == [ExitReason.STOP]
    assert engine.account.books.positions["ONEUSDT"].entry_ns == ts_ns[408]


class Daily(Rising):
    """Days: the trend that the policy sees is judged on them too."""

    bars, warmup, horizon = "1d", 20, "7d"


@pytest.mark.parametrize("profile", PROFILES)
def test_sweep_equals_engine_with_a_daily_model(profile: str) -> None:
    """Trends of days, the profile's volatility target, and results weighted by risk."""
    recording = open_recording(None, start="2018-01-15", end="2018-05-31", warm_up=True)
    engine, sink = assert_equal(recording, sweep_settings(profile, LIVE), models=lambda: [loaded(Daily, bars=10)])
    assert engine.market.forecasts is not None
    assert engine.market.forecasts.trends is not None
    assert len(sink.reasons) > 20


def test_what_a_stop_left_and_the_venue_liquidates_ends_as_a_liquidation() -> None:
    """An addition fills behind the stop of the position: the stop closes a part, the venue takes the rest."""
    limits = RiskLimits(
        max_risk_pct=10.0, max_notional_pct=100.0, max_leverage=50.0, max_exposure_pct=100.0, max_positions=2,
        daily_loss_pct=40.0,
    )
    settings = sweep_settings("STANDARD", LIVE, limits=limits, leverage=50.0)
    exit_ = Exit(on="score", stop_atr=0.5)
    engine, _ = assert_equal(
        rough_recording(1056, hours=900), settings, models=lambda: [loaded(Remembering, exit_, bars=13, sign=-1.0)]
    )
    assert ExitReason.LIQUIDATION in {one.exit_reason for one in engine.records.tally.trades}


def test_a_stop_and_the_liquidation_behind_it_meet_the_same_bar() -> None:
    """The stop from before an addition closes a part, and the venue liquidates the rest in the same bar."""
    integration = msgspec.structs.replace(OBSERVE, fixed_confidence=0.3, fixed_risk_pct=0.1)
    limits = RiskLimits(
        max_notional_pct=100.0, max_leverage=50.0, max_exposure_pct=40.0, max_positions=2, daily_loss_pct=40.0,
        max_orders_per_hour=2, liquidation_buffer_pct=0.05, max_data_age_s=86_400.0,
    )
    settings = sweep_settings("STANDARD", integration, limits=limits, leverage=50.0)
    exit_ = Exit(on="score", stop_atr=1.5)
    engine, _ = assert_equal(
        rough_recording(2149, symbols=5, hours=900), settings, models=lambda: [loaded(Remembering, exit_, bars=3)]
    )
    assert ExitReason.LIQUIDATION in {one.exit_reason for one in engine.records.tally.trades}


# ---- gates ---------------------------------------------------------------------------------------------------------
WITHOUT_MODEL = GATES[:-1]  # an enforced meta-label gate without a meta-label refuses every signal
# Limits that the rough markets meet and miss.
HALF = ModeLimits(
    max_spread_bps=1.6, min_volume_ratio=0.8, regimes=("TRENDING", "RANGING"), margin_bps=-15.0, min_confidence=0.55,
    min_win_probability=0.0,
)
GATED = GateSettings(
    scalp=HALF, runner=msgspec.structs.replace(HALF, min_volume_ratio=0.3, regimes=("TRENDING",)),
    trend=msgspec.structs.replace(HALF, min_volume_ratio=0.5, margin_bps=0.0),
)


def gated(mode: str, enforced: Sequence[str]) -> GateSettings:
    """The limits above in *mode*, with the gates *enforced*."""
    return msgspec.structs.replace(GATED, mode=mode, enforced=tuple(enforced))


def refused_by(sink: Decisions) -> set[str]:
    """The gates that have refused a signal or an intent."""
    told = {*sink.reasons, *sink.intents}
    return {name for name in GATES if f"GATE_{name.upper()}" in told}


@pytest.mark.parametrize("mode", ["auto", "scalp", "runner", "trend"])
def test_sweep_equals_engine_with_gates_enforced(mode: str) -> None:
    """The ensemble's signals and outside intents in each mode: refused by the same gates, the others traded alike."""
    limits = RiskLimits(max_risk_pct=10.0, max_exposure_pct=100.0, daily_loss_pct=40.0, max_cost_r=5.0)
    seen: set[str] = set()
    for seed, integration in ((1, OBSERVE), (2, LIVE)):
        recording = rough_recording(seed)
        settings = sweep_settings(
            "STANDARD", integration, signals=EAGER, limits=limits, gates=gated(mode, WITHOUT_MODEL)
        )
        engine, sink = assert_equal(recording, settings, random_intents(recording, seed, 200))
        seen |= refused_by(sink)
        assert engine.records.tally.trades
    assert seen >= {"spread", "volume", "regime", "cost"}


@pytest.mark.parametrize("enforced", [(name,) for name in GATES], ids=GATES)
def test_sweep_equals_engine_with_one_gate_enforced(enforced: tuple[str, ...]) -> None:
    """That gate refuses, and no other; without a meta-label its gate refuses every signal."""
    recording = rough_recording(3, hours=900)
    integration = msgspec.structs.replace(OBSERVE, fixed_confidence=0.3)
    settings = sweep_settings(
        "STANDARD", integration, signals=EAGER, limits=RiskLimits(max_cost_r=5.0), gates=gated("runner", enforced)
    )
    engine, sink = assert_equal(recording, settings)
    assert refused_by(sink) == set(enforced)
    assert bool(engine.records.tally.trades) == (enforced != ("meta_label",))


@pytest.mark.parametrize("mode", ["auto", "scalp", "runner", "trend"])
@pytest.mark.parametrize("exit_", [BY_SCORE, BY_REGIME], ids=["score", "regime"])
def test_sweep_equals_engine_with_gates_enforced_on_models(exit_: Exit, mode: str) -> None:
    """Entries, additions and targets that are refused again, of models, beside outside intents."""
    recording = rough_recording(2)
    limits = RiskLimits(
        max_risk_pct=10.0, max_leverage=50.0, max_exposure_pct=100.0, daily_loss_pct=40.0, max_positions=20,
        max_cost_r=5.0,
    )
    settings = sweep_settings("AGGRESSIVE", OBSERVE, limits=limits, gates=gated(mode, WITHOUT_MODEL))

    def models() -> list[LoadedModel]:
        return [loaded(Hourly, exit_, bars=5), loaded(Remembering, exit_, bars=13, sign=-1.0)]

    engine, sink = assert_equal(recording, settings, random_intents(recording, 2, 200), models)
    assert refused_by(sink) >= {"spread", "volume"}
    assert engine.records.tally.trades
    assert engine.shield.failures == 0


def test_sweep_equals_engine_with_gates_that_see_the_trends_of_days() -> None:
    """The regime gate judges by the trend on the models' own bars, in the sweep as in the engine."""
    recording = open_recording(None, start="2018-01-15", end="2018-05-31", warm_up=True)
    gates = GateSettings(enforced=("regime", "cost"), trend=msgspec.structs.replace(HALF, regimes=("TRENDING",)))
    settings = sweep_settings("AGGRESSIVE", OBSERVE, gates=gates)
    _, sink = assert_equal(recording, settings, models=lambda: [loaded(Daily, bars=10)])
    assert "regime" in refused_by(sink)


def test_entries_at_rest_pass_the_gates_when_they_are_sent() -> None:
    """Post-only entries of a model with gates enforced: the same on both sides."""
    settings = sweep_settings(
        "AGGRESSIVE", OBSERVE, limits=RiskLimits(max_cost_r=5.0), maker_entry_bars=3,
        gates=gated("trend", ("spread", "volume")),
    )
    engine, sink = assert_equal(rough_recording(1), settings, models=lambda: [loaded(Hourly, bars=5)])
    assert refused_by(sink) == {"spread", "volume"}
    assert engine.records.tally.trades


def test_a_sweep_refuses_a_meta_label_that_is_enforced() -> None:
    """It cannot ask one, and says so; observed it is no matter."""
    with pytest.raises(ConfigError, match=r"gates\.meta_label = 'registry:champion': a sweep cannot ask"):
        sweep_settings(
            "SAFE", LIVE, gates=GateSettings(meta_label="registry:champion", enforced=("spread", "meta_label"))
        )
    assert sweep_settings("SAFE", LIVE, gates=GateSettings(meta_label="registry:champion", enforced=("spread",)))
