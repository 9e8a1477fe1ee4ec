"""Models in live trading: warmed up from the venue, saved in checkpoints, and unable to take the engine down."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from tests.live.live_account import FAST, make, until
from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, MemoryLog, MemoryStore, World, orders

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import ExitReason, OrderStatus
from quantum_trader.engine.venue_port import Kline
from quantum_trader.models import Model, Panel
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

EAGER = {"integration": OrchestratorIntegrationConfig(fixed_confidence=0.0)}


class Trend(Model):
    """Long what stands above its mean of ten hours."""

    bars, warmup, horizon = "1h", 10, "12h"
    fails = False

    def score(self, panel: Panel) -> Any:
        """The distance from the mean."""
        if self.fails:
            raise RuntimeError("the model is broken")
        return panel.close[-1] / panel.close.mean(axis=0) - 1.0


def forecasts(model: Model | None = None, prior: float = 3.0) -> Forecasts:
    """One hourly model with an optimistic prior, so that it trades at once."""
    loaded = LoadedModel(
        name="Trend", model=model or Trend(), fingerprint="f",
        forecast=ForecastSettings(prior_mean=prior, prior_sd=0.5),
    )
    return Forecasts((SYMBOL, OTHER), MINUTE, [loaded])


def rising(world: World, hours: int, start: int = 0, slope: float = 0.002) -> list[Any]:
    """Minutes of *hours* in which the first symbol rises; everything that the engine sends is filled."""
    sent = []
    for minute in range(start * 60, (start + hours) * 60):
        price = 10_000.0 * (1.0 + slope * minute / 60 + 0.001 * math.sin(minute / 7.0))
        for order in orders(world.bar(minute, price, 1_000.0 * (1.0 + 0.001 * math.sin(minute / 11.0)))):
            sent.append(order)
            world.update(order, OrderStatus.NEW)
            if order.type.value == "MARKET":
                world.fill(order, order.qty, price, symbol=order.symbol)
                world.update(order, OrderStatus.FILLED, filled=order.qty)
    return sent


def started(model: Model | None = None) -> World:
    """A world whose session has begun."""
    from quantum_trader.live.inputs import SessionStarted

    world = World(forecasts=forecasts(model), **EAGER)
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    return world


def test_a_first_start_fetches_the_models_bars_before_it_decides() -> None:
    """A model of hourly bars is warm at the first minute, from bars of before it."""
    world, venue, driver = make(World(forecasts=forecasts()), timing=FAST)
    asked: list[tuple[str, int]] = []
    now_hour = (START + 5_000_000_000) // NS_PER_HOUR * NS_PER_HOUR

    async def get_klines(symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        asked.append((symbol, interval_ns))
        if interval_ns != NS_PER_HOUR:
            return []
        return [
            Kline(symbol=symbol, interval_ns=interval_ns, ts_ns=ts, open=100.0, high=102.0, low=99.0,
                  close=100.0 + number % 3, volume=5.0)
            for number, ts in enumerate(range(now_hour - 40 * NS_PER_HOUR, now_hour, NS_PER_HOUR))
        ]

    venue.get_klines = get_klines

    async def run() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: not world.engine.market.forecasts.lacks(), 10.0)
        driver.stop()
        await running

    asyncio.run(run())
    assert {(SYMBOL, NS_PER_HOUR), (OTHER, NS_PER_HOUR)} <= set(asked)
    assert world.engine.market.forecasts.history.seen.tolist() == [40, 40]
    assert not np.isnan(world.engine.market.forecasts.out[:, fc.SCORE]).any()


def test_a_model_trades_live_and_leaves_when_its_score_flips() -> None:
    """The entry carries the stop of the model's ATR; the flip closes it with SCORE."""
    world = started()
    rising(world, 40)
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.sign, position.plan.model, position.plan.by_score) == (1, "Trend", True)
    assert position.plan.atr == pytest.approx(world.engine.market.forecasts.out[0, fc.ATR], rel=0.5)
    rising(world, 12, 40, -0.004)
    assert world.engine.records.tally.trades[-1].exit_reason is ExitReason.SCORE


def test_a_model_that_fails_halts_openings_and_leaves_positions_protected() -> None:
    """Its targets stay as they were; trailing, timing and flatten go on; a person must look."""
    model = Trend()
    world = started(model)
    rising(world, 40)
    assert SYMBOL in world.engine.account.books.positions
    model.fails = True
    rising(world, 2, 40)
    reasons = [one["data"]["reason"] for one in world.records("halt.raised")]
    assert any("the engine failed on the model of Trend: ModelError: Trend: RuntimeError" in why for why in reasons)
    assert world.engine.halts.kill_switch
    assert SYMBOL in world.engine.account.books.positions
    assert world.engine.market.target(0) == 1
    assert orders(world.request("flatten"))


def test_a_session_with_a_model_continues_from_its_checkpoint_and_its_inputs() -> None:
    """The same forecasts, targets and records as a session that was not interrupted."""
    whole = started()
    rising(whole, 45)
    first = started()
    rising(first, 30)
    assert first.session.checkpoint()
    rising(first, 5, 30)
    second = World(first.log, first.store, forecasts=forecasts(), **EAGER)
    second.session.recover()
    second.fills = first.fills
    rising(second, 10, 35)
    np.testing.assert_array_equal(whole.engine.market.forecasts.out, second.engine.market.forecasts.out)
    assert whole.engine.account.books.state() == second.engine.account.books.state()
    assert isinstance(first.log, MemoryLog)
    assert isinstance(first.store, MemoryStore)


def test_a_target_of_a_late_moment_is_taken_with_the_first_bar_of_the_present() -> None:
    """A restart across the close of the model's bar costs no target: late bars open nothing, the next one does."""
    world = started()
    late = 3 * NS_PER_HOUR
    sent = []
    for minute in range(40 * 60):
        price = 10_000.0 * (1.0 + 0.002 * minute / 60 + 0.001 * math.sin(minute / 7.0))
        sent += orders(world.bar(minute, price, 1_000.0, late_ns=late))
    assert sent == []
    assert world.engine.records.tally.signals == 0
    assert world.engine.market.target(0) == 1
    opening = orders(world.bar(40 * 60, 10_800.0, 1_000.0))
    assert [(one.symbol, one.reduce_only) for one in opening] == [(SYMBOL, False)]
