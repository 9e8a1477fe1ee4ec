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
from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import StateError, VenueError, VenueUnavailable
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.venue_port import Kline
from quantum_trader.live.inputs import ModelBarsReceived, SessionStarted, decode_input
from quantum_trader.models import Model, Panel
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

EAGER = {"integration": OrchestratorIntegrationConfig(fixed_confidence=0.0)}


class Trend(Model):
    """Long what stands above its mean of ten hours."""

    bars, warmup, horizon = "1h", 10, "12h"
    fails, sign = False, 1.0

    def score(self, panel: Panel) -> Any:
        """The distance from the mean."""
        if self.fails:
            raise RuntimeError("the model is broken")
        return self.sign * (panel.close[-1] / panel.close.mean(axis=0) - 1.0)


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
                stops = orders(world.fill(order, order.qty, price, symbol=order.symbol))
                world.update(order, OrderStatus.FILLED, filled=order.qty)
                sent += stops
                for stop in stops:
                    world.update(stop, OrderStatus.NEW)
    return sent


def started(model: Model | None = None) -> World:
    """A world whose session has begun."""
    world = World(forecasts=forecasts(model), **EAGER)
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    return world


class Hourly:
    """Forty hourly bars of each symbol; *troubles* are raised first, one for each request of them."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.asked: list[tuple[str, int]] = []
        self.spans: list[int] = []  # the starts of the requests for hourly bars

    async def get_klines(self, symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        """The bars from *start_ns* on."""
        self.asked.append((symbol, interval_ns))
        if interval_ns != NS_PER_HOUR:
            return []
        if self.troubles:
            raise self.troubles.pop(0)
        self.spans.append(start_ns)
        now_hour = (START + 5_000_000_000) // NS_PER_HOUR * NS_PER_HOUR
        return [
            Kline(symbol=symbol, interval_ns=interval_ns, ts_ns=ts, open=100.0, high=102.0, low=99.0,
                  close=100.0 + number % 3, volume=5.0)
            for number, ts in enumerate(range(now_hour - 40 * NS_PER_HOUR, now_hour, NS_PER_HOUR)) if ts >= start_ns
        ]


def warmed(world: World, *troubles: Exception) -> list[tuple[str, int]]:
    """Start *world* and stop it once its models are warm; returns the symbols and intervals that were asked for."""
    _, venue, driver = make(world, timing=FAST)
    bars = Hourly(*troubles)
    venue.get_klines = bars.get_klines

    async def run() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: not world.engine.market.forecasts.lacks() and driver.bars.caught_up, 10.0)
        driver.stop()
        await running

    asyncio.run(run())
    return bars.asked


def test_a_first_start_fetches_the_models_bars_before_it_decides() -> None:
    """A model of hourly bars is warm at the first minute, from bars of before it."""
    world = World(forecasts=forecasts())
    asked = warmed(world)
    assert {(SYMBOL, NS_PER_HOUR), (OTHER, NS_PER_HOUR)} <= set(asked)
    assert world.engine.market.forecasts.history.seen.tolist() == [40, 40]
    assert not np.isnan(world.engine.market.forecasts.out[:, fc.SCORE]).any()


@pytest.mark.parametrize("trouble", [VenueUnavailable("no answer"), VenueError("GET klines: -1003 too many")])
def test_a_warm_up_that_the_venue_fails_is_asked_for_again(trouble: Exception) -> None:
    """Both symbols fail once, then answer: the models are as warm as without the failure, and nothing is twice."""
    world = World(forecasts=forecasts())
    asked = warmed(world, trouble, trouble)
    assert [interval for _, interval in asked].count(NS_PER_HOUR) == 4
    plain = World(forecasts=forecasts())
    warmed(plain)
    assert world.engine.market.forecasts.history.seen.tolist() == [40, 40]
    np.testing.assert_array_equal(world.engine.market.forecasts.out, plain.engine.market.forecasts.out)


class LongMemory(Trend):
    """Remembers, and needs 700 bars to be called at all."""

    warmup = 700


def test_a_model_that_remembers_is_called_through_its_whole_warm_up_before_it_trades() -> None:
    """700 bars until its first call, and 700 calls, which is what the check has judged: 1,400 bars are asked for."""
    world = World(forecasts=forecasts(LongMemory()))
    _, venue, driver = make(world, timing=FAST)
    bars = Hourly()
    venue.get_klines = bars.get_klines

    async def run() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: driver.bars.caught_up, 10.0)
        driver.stop()
        await running

    asyncio.run(run())
    now_hour = (START + 5_000_000_000) // NS_PER_HOUR * NS_PER_HOUR
    assert max(bars.spans) <= now_hour - 1_400 * NS_PER_HOUR


def test_calls_begin_at_the_same_bar_in_a_warm_up_from_the_venue_and_in_a_replay() -> None:
    """A model is called once a symbol has its warm-up's bars, whole ones or those made of minutes."""
    hours, called = 14, []
    for whole in (True, False):
        model = Counting()
        made = forecasts(model)
        rng = np.random.default_rng(3)
        for hour in range(hours):
            closes = 100.0 + rng.random((2, 1))
            ohlcv, present = np.tile(closes, 5), np.ones(2, dtype=np.bool_)
            for minute in range(1 if whole else 60):
                ts_ns = START + hour * NS_PER_HOUR + minute * MINUTE
                if whole:
                    made.warm(ts_ns, ohlcv, present, np.ones(2), np.zeros(2))
                else:
                    made.take(MarketBatch(ts_ns, MINUTE, ohlcv, present), np.ones(2), np.zeros(2))
        called.append(model.closes)
    assert called[0] == called[1] == [START + hour * NS_PER_HOUR for hour in range(10, hours + 1)]


class Counting(Trend):
    """Keeps the time of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.closes: list[int] = []

    def score(self, panel: Panel) -> Any:
        """The distance from the mean."""
        self.closes.append(panel.now_ns)
        return super().score(panel)


def test_a_symbol_that_is_refused_does_not_hold_up_the_warm_up_of_the_others() -> None:
    """It lacks its bars, and says so."""
    world = World(forecasts=forecasts())
    _, venue, driver = make(world, timing=FAST)
    bars = Hourly()

    async def get_klines(symbol: str, *span: int) -> list[Kline]:
        if symbol == OTHER:
            raise VenueError("GET klines: -1121 Invalid symbol.")
        return await bars.get_klines(symbol, *span)

    venue.get_klines = get_klines

    async def run() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: driver.bars.caught_up, 10.0)
        driver.stop()
        await running

    asyncio.run(run())
    assert [(one.symbol, one.bars, one.needed) for one in world.engine.market.forecasts.lacks()] == [(OTHER, 0, 10)]


def test_a_stop_during_the_warm_up_ends_at_once_and_the_next_start_warms_up() -> None:
    """A venue that does not answer holds up no stop; no bar is decided on before the models are warm."""
    world = World(forecasts=forecasts())
    _, venue, driver = make(world, timing=FAST)
    waiting = asyncio.Event()

    async def get_klines(*_: Any) -> list[Kline]:
        waiting.set()
        await asyncio.Event().wait()
        return []

    venue.get_klines = get_klines

    async def run() -> float:
        running = asyncio.create_task(driver.run())
        await asyncio.wait_for(waiting.wait(), 10.0)
        began = asyncio.get_running_loop().time()
        driver.stop()
        await asyncio.wait_for(running, 10.0)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(run()) < FAST.stop_s + 1.0
    assert not driver.bars.caught_up
    assert world.engine.now_ns == 0

    second = World(world.log, world.store, forecasts=forecasts())
    second.session.recover()
    warmed(second)
    assert second.engine.market.forecasts.history.seen.tolist() == [40, 40]


def test_a_warm_up_that_was_cut_goes_on_behind_what_it_has_seen() -> None:
    """The process dies after 25 of 40 bars are written: the next one asks for the other 15 alone, and ends the same."""
    whole = World(forecasts=forecasts())
    warmed(whole)
    warm = [entry for entry in whole.log.entries if isinstance(decode_input(entry), ModelBarsReceived)]
    assert len(warm) == 40
    cut = MemoryLog()
    cut.entries = whole.log.entries[:whole.log.entries.index(warm[24]) + 1]
    second = World(cut, forecasts=forecasts())
    second.session.recover()
    assert second.engine.market.forecasts.history.seen.tolist() == [25, 25]
    _, venue, driver = make(second, timing=FAST)
    bars = Hourly()
    venue.get_klines = bars.get_klines

    async def run() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: driver.bars.caught_up, 10.0)
        driver.stop()
        await running

    asyncio.run(run())
    assert set(bars.spans) == {decode_input(warm[24]).ts_ns + NS_PER_HOUR}
    np.testing.assert_array_equal(
        second.engine.market.forecasts.out, whole.engine.market.forecasts.out
    )


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
    position = world.engine.account.books.positions[SYMBOL]
    assert world.engine.gateway.is_protected(position)
    assert orders(world.request("flatten"))


def test_a_target_from_before_a_failure_is_not_traded_after_a_resume() -> None:
    """It waited for a bar of the present; the next bar of the model that works again is the first to be traded."""
    model = Trend()
    world = started(model)
    late, hours = 3 * NS_PER_HOUR, 40
    for minute in range(hours * 60 - 1):
        price = 10_000.0 * (1.0 + 0.002 * minute / 60 + 0.001 * math.sin(minute / 7.0))
        world.bar(minute, price, 1_000.0, late_ns=late)
    assert world.engine.market.target(0) == 1
    model.fails = True
    world.bar(hours * 60 - 1, 10_800.0, 1_000.0, late_ns=late)
    failed_ns = START + hours * NS_PER_HOUR
    assert world.engine.market.forecasts.failed_ns == failed_ns
    world.request("resume")
    for minute in range(hours * 60, hours * 60 + 59):
        assert orders(world.bar(minute, 10_800.0, 1_000.0)) == []
    assert world.engine.records.tally.signals == 0

    model.fails = False
    opening = orders(world.bar(hours * 60 + 59, 10_810.0, 1_000.0))
    assert [(one.symbol, one.reduce_only) for one in opening] == [(SYMBOL, False)]
    assert world.engine.market.forecasts.failed_ns == 0


def test_a_failure_outlives_a_restart() -> None:
    """Targets of before stay untraded in the next process too."""
    model = Trend()
    world = started(model)
    rising(world, 40)
    model.fails = True
    rising(world, 2, 40)
    assert world.session.checkpoint()
    second = World(world.log, world.store, forecasts=forecasts(), **EAGER)
    second.session.recover()
    assert second.engine.market.forecasts.failed_ns == START + 41 * NS_PER_HOUR


class Leaving(Trend):
    """Ends the process from within."""

    def score(self, panel: Panel) -> Any:
        """Nothing."""
        raise SystemExit(3)


def test_a_model_cannot_end_the_process() -> None:
    """What it raises is a failure like any other."""
    world = started(Leaving())
    rising(world, 11)
    assert "ModelError: Trend: SystemExit: 3" in world.engine.halts.in_force["operator"]


class Forgetful(Trend):
    """Cannot say what it remembers."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        raise RuntimeError("lost it")


def test_a_state_that_cannot_be_saved_halts_openings_and_not_the_process() -> None:
    """The checkpoint is not written, and says which model is the reason."""
    world = started(Forgetful())
    rising(world, 2)
    assert not world.session.checkpoint()
    assert "Trend: state(): RuntimeError: lost it" in world.session.checkpoint_error
    assert world.engine.halts.closed() == "inputs cannot be written"


class Growing(Trend):
    """Comes to remember a number that no checkpoint holds."""

    def state(self) -> dict[str, Any]:
        """A number beyond 64 bits."""
        return {"count": 2**70}


def test_a_state_that_no_checkpoint_holds_halts_openings_and_not_the_process() -> None:
    """The model is named; it may have passed the check, which saw a smaller number."""
    world = started(Growing())
    rising(world, 2)
    assert not world.session.checkpoint()
    assert "Trend: state() cannot be saved: can't serialize ints" in world.session.checkpoint_error
    assert world.engine.halts.closed() == "inputs cannot be written"


def test_a_session_of_a_model_is_not_continued_without_it() -> None:
    """Nor one without models with one: their positions are left by other rules."""
    world = started()
    rising(world, 2)
    assert world.session.checkpoint()
    with pytest.raises(StateError, match="made with other models than intraday-demo"):
        World(world.log, world.store, **EAGER).session.recover()
    plain = World(**EAGER).begin(3)
    assert plain.session.checkpoint()
    with pytest.raises(StateError, match="was made with the intraday models, not with Trend"):
        World(plain.log, plain.store, forecasts=forecasts(), **EAGER).session.recover()


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


def test_a_warm_up_leaves_no_target_to_be_taken_before_the_models_next_bar() -> None:
    """Bars from before the books began make no trade; the next bar of the model does, as in a replay from there."""
    hours = 40
    world = World(forecasts=forecasts(), **EAGER)
    world.tell(SessionStarted(ts_ns=START + hours * NS_PER_HOUR, wallet=10_000.0, namespace="n-"))
    for minute in range(hours * 60):
        price = 10_000.0 * (1.0 + 0.002 * minute / 60 + 0.001 * math.sin(minute / 7.0))
        world.bar(minute, price, 1_000.0, late_ns=3 * NS_PER_HOUR)
    assert world.engine.market.target(0) == 1
    for minute in range(hours * 60, hours * 60 + 59):
        assert orders(world.bar(minute, 10_800.0, 1_000.0)) == []
    opening = orders(world.bar(hours * 60 + 59, 10_810.0, 1_000.0))
    assert [(one.symbol, one.reduce_only) for one in opening] == [(SYMBOL, False)]


def test_a_stop_that_fills_before_the_close_by_the_score_bars_no_later_target() -> None:
    """One trade is booked, for the stop that filled; the score had left the position, so its next target is taken."""
    world = started()
    sent = rising(world, 40)
    stop = next(one for one in reversed(sent) if one.type is OrderType.STOP_MARKET)
    world.engine.market.forecasts.models[0].model.sign = 0.0
    close = []
    for minute in range(40 * 60, 41 * 60):
        close += orders(world.bar(minute, 10_800.0, 1_000.0))
    assert [one.type for one in close] == [OrderType.MARKET]
    world.fill(stop, stop.qty, 10_700.0, symbol=SYMBOL, side=OrderSide.SELL)
    world.update(stop, OrderStatus.FILLED, filled=stop.qty)
    assert orders(world.update(close[0], OrderStatus.REJECTED, reason="-2022: ReduceOnly Order is rejected.")) == []
    trades = world.engine.records.tally.trades
    assert [(one.exit_reason, one.qty) for one in trades] == [(ExitReason.STOP, stop.qty)]
    assert world.engine.account.books.positions == {}

    world.engine.market.forecasts.models[0].model.sign = 1.0
    opening = []
    for minute in range(41 * 60, 42 * 60):
        opening += orders(world.bar(minute, 10_900.0, 1_000.0))
    assert [(one.type, one.side) for one in opening] == [(OrderType.MARKET, OrderSide.BUY)]
