"""A position that a score holds is sized by a volatility target, and traded to the nearest edge of its band."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import ExitReason, OrderSide
from quantum_trader.domain.trading import Fill, OrderRequest
from quantum_trader.engine.core import Engine
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market import performance as perf
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.models import Exit, Model, Panel
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

HOURS = 400
FIRST_NS = 1_700_006_400_000_000_000
SYMBOL = "ONEUSDT"
START = 120  # hours before the first score

Scores = Callable[[int], float]


class Scripted(Model):
    """The score that the test wants at each hour."""

    bars, warmup, horizon = "1h", 2, "2d"
    wanted: Scores = staticmethod(lambda hour: 1.0)

    def score(self, panel: Panel) -> Any:
        """The same for all symbols; no view before the test begins."""
        hour = (panel.now_ns - FIRST_NS) // NS_PER_HOUR - 1
        return np.full(len(panel.symbols), self.wanted(int(hour)) if hour >= START else np.nan)


def market(seed: int = 1, drift: float = 0.0) -> Recording:
    """A quiet random walk of hourly bars."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(drift, 0.004, HOURS)))
    open_ = np.concatenate([close[:1], close[:-1]])
    bars = [open_, np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999, close, np.full(HOURS, 1e6)]
    ts_ns = FIRST_NS + np.arange(HOURS, dtype=np.int64) * NS_PER_HOUR
    ohlcv = np.stack(bars, axis=1)[:, None, :].round(4)
    return recording_from_arrays([SYMBOL], "1h", ts_ns, ohlcv, np.ones((HOURS, 1), dtype=bool))


class World:
    """An engine and a paper venue that follow a script, moment by moment."""

    def __init__(self, wanted: Scores, stop_atr: float = 12.0, **engine: Any) -> None:
        self.recording = market()
        kind = type("Wanted", (Scripted,), {"wanted": staticmethod(wanted)})
        loaded = LoadedModel(
            name="Wanted", model=kind(), fingerprint="x", forecast=ForecastSettings(prior_mean=5.0, prior_sd=0.5),
            exit=Exit(on="score", stop_atr=stop_atr),
        )
        integration = msgspec.structs.replace(OrchestratorIntegrationConfig.create_observe_mode(), fixed_risk_pct=10.0)
        settings = EngineSettings(**{
            "profile": load_profile("STANDARD"), "integration": integration,
            "limits": RiskLimits(max_risk_pct=10.0, max_cost_r=10.0, max_exposure_pct=100.0), **engine,
        })
        instruments = instruments_for(self.recording.symbols, self.recording.first_closes().tolist()).instruments
        self.sink = MemorySink()
        forecasts = Forecasts(self.recording.symbols, self.recording.interval_ns, [loaded])
        self.engine = Engine(instruments, self.recording.interval_ns, settings, self.sink, forecasts=forecasts)
        self.venue = PaperVenue(instruments, PaperSettings())
        self.driver = ReplayDriver(self.engine, self.venue, self.recording.interval_ns)
        self.step_size = instruments[0].step_size
        self.moments = [
            (ts, ohlcv[at], present[at])
            for times, ohlcv, present, _ in self.recording.chunks() for at, ts in enumerate(times.tolist())
        ]
        self.at = 0

    def until(self, hour: int) -> World:
        """Run up to and including bar *hour*."""
        while self.at <= hour:
            self.driver.step(*self.moments[self.at])
            self.at += 1
        return self

    @property
    def position(self) -> Any:
        """The open position."""
        return self.engine.account.books.positions[SYMBOL]

    def edge(self, column: int, target_pct: float = 6.0) -> float:
        """The quantity at an edge of the band, as the newest forecast says."""
        told = self.engine.market.forecasts.out[0]
        return float(told[column] * target_pct / 100.0 * self.engine.account.equity / self.engine.market.close(0))

    def records(self, topic: str) -> list[Any]:
        """The data of every record of *topic*."""
        lines = [msgspec.json.decode(line) for line in self.sink.lines]
        return [line["data"] for line in lines if line["topic"] == topic]


def growing(hour: int) -> float:
    """Small at first, large later."""
    return 1.0 if hour < START + 20 else 1.6


def shrinking(hour: int) -> float:
    """Large at first, small later."""
    return 1.6 if hour < START + 20 else 0.8


def test_an_entry_goes_to_the_lower_edge_of_the_band() -> None:
    """Score less a tenth, over the number and volatility of the symbols, for six percent a year."""
    world = World(lambda hour: 1.0).until(START)
    told = world.engine.market.forecasts.out[0]
    wanted, score = world.edge(fc.LEAST), abs(told[fc.SCORE])
    hours_a_year = 24.0 * 365.0
    per_hour = told[fc.VOL_DAY] / math.sqrt(24.0)
    by_hand = (score - 0.1) * 0.06 / (per_hour * math.sqrt(hours_a_year))
    assert told[fc.LEAST] * 0.06 == pytest.approx(by_hand)
    assert told[fc.MOST] - told[fc.LEAST] == pytest.approx(0.2 / (per_hour * math.sqrt(hours_a_year)))
    world.until(START + 1)
    assert wanted - world.step_size <= world.position.qty <= wanted
    assert world.position.plan.volatility_pct == 6.0


def test_a_score_that_grows_beyond_the_band_adds_and_is_a_signal() -> None:
    """The addition is signalled, judged and executed like an entry; the trade stays one."""
    world = World(growing).until(START + 19)
    before, signals = world.position.qty, len(world.records("signal.decided"))
    assert signals == len(world.records("trade.executed"))
    first_stop = world.position.stop
    world.until(START + 20)
    wanted = world.edge(fc.LEAST)
    world.until(START + 21)
    assert wanted - world.step_size <= world.position.qty <= wanted > before
    assert len(world.records("signal.decided")) == signals + 1
    assert len(world.records("trade.executed")) == signals + 1
    assert world.position.stop >= first_stop
    assert world.engine.gateway.is_protected(world.position)


def test_a_score_that_falls_below_the_band_reduces_without_a_signal() -> None:
    """To the upper edge; the position goes on, with its stop, and nothing of it is a refusal or a trade."""
    world = World(shrinking).until(START + 19)
    signals = len(world.records("signal.decided"))
    world.until(START + 20)
    most = world.edge(fc.MOST)
    world.until(START + 21)
    assert most <= world.position.qty <= most + world.step_size
    assert world.position.exit_reason is None
    assert world.engine.gateway.is_protected(world.position)
    assert len(world.records("signal.decided")) == signals
    assert world.records("trade.closed") == []


def test_inside_the_band_nothing_is_traded() -> None:
    """Scores that move by less than a tenth of the average position leave it alone."""
    world = World(lambda hour: 1.0 + 0.01 * (hour % 3)).until(START + 1)
    while world.at < START + 60:
        before = world.position.qty
        low, high = world.edge(fc.LEAST), world.edge(fc.MOST)
        world.until(world.at)
        if low <= before <= high:
            assert world.position.qty == before


def test_a_reduction_needs_no_permission() -> None:
    """In an EMERGENCY, with the kill switch on and a threshold above every confidence, it is sent all the same."""
    world = World(shrinking).until(START + 19)
    before = world.position.qty
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.until(START + 21)
    assert world.position.qty < before


def test_an_addition_is_refused_where_an_entry_would_be() -> None:
    """Openings are halted: the position stays as large as it was, and the refusal is on record once."""
    world = World(growing).until(START + 19)
    before = world.position.qty
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.until(START + 60)
    assert world.position.qty == before
    refused = [one for one in world.records("signal.decided") if one["reason"]]
    assert [one["reason"] for one in refused] == ["KILL_SWITCH"]


def test_a_tightened_target_shrinks_no_open_position() -> None:
    """Sized for six percent and held under four: it is not reduced, and not added to."""
    world = World(lambda hour: 1.0).until(START + 1)
    before = world.position.qty
    world.engine.policy.settings = msgspec.structs.replace(world.engine.policy.settings, volatility_target_pct=4.0)
    world.until(START + 2)
    assert world.edge(fc.MOST, 4.0) < before
    low, high = world.edge(fc.LEAST), world.edge(fc.MOST)
    world.until(START + 3)
    if low <= before <= high:
        assert world.position.qty == before


def test_the_profile_decides_where_risk_sizing_is_enforced() -> None:
    """Four percent for SAFE, six for STANDARD, eight for AGGRESSIVE; the fixed setting elsewhere."""
    for profile, percent in (("SAFE", 4.0), ("STANDARD", 6.0), ("AGGRESSIVE", 8.0)):
        live = OrchestratorIntegrationConfig.create_live_mode_full()
        enforced = World(lambda hour: 1.0, profile=load_profile(profile), integration=live)
        assert enforced.engine.policy.volatility_pct == percent
        observed = World(lambda hour: 1.0, profile=load_profile(profile), volatility_target_pct=3.0)
        assert observed.engine.policy.volatility_pct == 3.0


def test_the_permitted_risk_caps_the_position_and_what_is_added_to_it() -> None:
    """Position and addition together lose no more at the stop than one trade may."""
    integration = msgspec.structs.replace(OrchestratorIntegrationConfig.create_observe_mode(), fixed_risk_pct=0.3)
    world = World(growing, integration=integration).until(START + 1)
    for hour in range(START + 2, START + 60):
        position = world.until(hour).position
        lost = position.qty * position.sign * (position.entry_price - position.stop)
        assert lost <= 0.003 * world.engine.account.equity * 1.05


def test_the_result_of_a_trade_with_additions_and_reductions_is_that_of_its_fills() -> None:
    """Quantity is the largest one, R is over that quantity and the average entry's distance to the stop."""
    world = World(lambda hour: 0.0 if hour >= START + 100 else 1.0 + 0.9 * math.sin(hour / 8.0)).until(START + 102)
    trade, = world.records("trade.closed")
    fills = world.records("order.filled")
    sides = [one["side"] for one in fills]
    assert sides.count("BUY") > 2
    assert sides.count("SELL") > 2
    cash = sum_of(one["qty"] * one["price"] * (1.0 if one["side"] == "SELL" else -1.0) - one["fee"] for one in fills)
    assert trade["exit_reason"] == ExitReason.SCORE.value
    assert trade["pnl"] == pytest.approx(cash + trade["funding"])
    held, largest = 0.0, 0.0
    for one in fills:
        held += one["qty"] if one["side"] == "BUY" else -one["qty"]
        largest = max(largest, held)
    assert trade["qty"] == pytest.approx(largest)
    risk = largest * abs(trade["entry_price"] - trade["stop_price"])
    assert trade["r_multiple"] == pytest.approx(trade["pnl"] / risk)
    assert world.engine.account.books.positions == {}


def sum_of(values: Any) -> float:
    """Their sum, exact."""
    return math.fsum(values)


def test_a_stop_that_fills_before_an_addition_leaves_nothing_behind() -> None:
    """Part of the position is stopped out while the addition fills: what is left is closed, as stopped."""
    world = World(growing).until(START + 20)
    adding = next(one for one in world.engine.gateway.tickets() if one.purpose.value == "OPEN")
    stop = next(one for one in world.engine.gateway.tickets() if one.purpose.value == "STOP")
    position, price = world.position, world.position.stop
    before = position.qty

    def fill(number: int, order: Any, side: OrderSide, qty: float) -> list[Any]:
        return world.engine.on_event(Fill(
            fill_id=f"f{number}", client_order_id=order.client_order_id, symbol=SYMBOL, side=side, qty=qty,
            price=price, fee=0.0, liquidity="taker", ts_ns=world.engine.now_ns + 1,
        ))

    fill(1, adding, OrderSide.BUY, adding.qty)
    fill(2, stop, OrderSide.SELL, before)
    assert position.exit_reason is ExitReason.STOP
    assert position.qty == pytest.approx(adding.qty)
    closing = [one for one in world.engine.on_timer(world.engine.now_ns + 2) if isinstance(one, OrderRequest)]
    assert [(one.reduce_only, one.qty) for one in closing] == [(True, pytest.approx(adding.qty))]


def test_a_streak_counts_the_risk_that_was_lost() -> None:
    """Small losses add up to little, and the symbol's R is over the risk that was permitted."""
    world = World(lambda hour: 0.0 if (hour - START) % 6 >= 4 else (1.0 if (hour - START) % 12 < 6 else -1.0))
    world.until(HOURS - 1)
    trades = world.records("trade.closed")
    assert len(trades) > 15
    lost, permitted = 0.0, 0.1  # of the equity, by the settings of this test
    equity = 10_000.0
    for trade in trades:
        lost = 0.0 if trade["pnl"] >= 0.0 else lost + -trade["pnl"] / (permitted * equity)
        equity += trade["pnl"]
    books = world.engine.account.books
    assert books.lost_r == pytest.approx(lost, rel=0.02)
    assert books.losing_streak == int(books.lost_r) == 0
    results = world.engine.account.performance.rows[0]
    assert abs(results[perf.AVG_R]) < 0.01
    assert results[perf.TRADES] == len(trades)
