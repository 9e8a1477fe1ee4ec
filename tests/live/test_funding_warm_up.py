"""Models of funding at a first start and after an outage: past rates are fetched, recorded, and those of a replay."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.journal.records import CheckedSink
from tests.live.live_account import FAST, make, until
from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, MemoryLog, MemoryStore, World
from tests.venues.binance.bench import QUICK, keys_of

from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import VenueError, VenueUnavailable
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.venue_port import FundingRate, Kline
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import FundingHistoryReceived, SessionStarted, decode_input
from quantum_trader.live.session import Session
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.recording import Recording, RecordingSettings
from quantum_trader.models import Model, Panel
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.models.history import FUNDING
from quantum_trader.models.past_rates import PastRates
from quantum_trader.policy.profiles import OrchestratorConfig
from quantum_trader.venues.binance import history
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.local.build import recorded_exchange
from quantum_trader.venues.local.server import LocalVenue

SYMBOLS = (SYMBOL, OTHER)
HALF_HOUR = NS_PER_HOUR // 2


class Carry(Model):
    """Short what pays much funding, long what pays little."""

    bars, warmup, horizon, needs = "4h", 12, "2d", ("close", "funding")

    def score(self, panel: Panel) -> Any:
        """The mean rate of the panel, with the sign changed."""
        return -panel.funding.mean(axis=0)


class Trend(Model):
    """A model that does not look at funding."""

    bars, warmup = "4h", 12

    def score(self, panel: Panel) -> Any:
        """The move of the panel."""
        return panel.close[-1] / panel.close[0] - 1.0


def forecasts(model: Model, base_ns: int = HALF_HOUR) -> Forecasts:
    """The forecasts of one model."""
    return Forecasts(SYMBOLS, base_ns, [LoadedModel(name="Carry", model=model, fingerprint="f")])


def recording(days: int = 60) -> Recording:
    """Half-hours of two symbols; the first pays every 8 hours, the second every 4, each payment with its own rate."""
    bars = generated_recording(SYMBOLS, "30m", bars=48 * days)
    rng = np.random.default_rng(3)
    known = {}
    for symbol, hours in zip(SYMBOLS, (8, 4), strict=True):
        times = np.arange(bars.start_ns, bars.end_ns, hours * NS_PER_HOUR, dtype=np.int64)
        known[symbol] = times + 3_000_000, np.round(rng.normal(0.0001, 0.0002, len(times)), 8)  # 3 ms late
    return Recording(
        bars._series, "30m", bars.start_ns, bars.end_ns, settings=RecordingSettings(), source="generated",
        known_funding=known,
    )


class Trader:
    """A live engine of half-hours with one model, its session and its log."""

    def __init__(self, instruments: Any, model: Model, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()
        settings = EngineSettings(profile=OrchestratorConfig.from_profile("STANDARD"), operator_resume_hours=0.0)
        self.engine = Engine(
            instruments, HALF_HOUR, settings, CheckedSink(), live=LiveAccount(), forecasts=forecasts(model)
        )
        self.session = Session(self.engine, self.log, MemoryStore(), HALF_HOUR)

    @property
    def forecasts(self) -> Forecasts:
        """The model's forecasts."""
        assert self.engine.market.forecasts is not None
        return self.engine.market.forecasts

    def funding(self) -> tuple[Any, Any]:
        """Opens (n,) and funding rates (n, S) of the newest 200 bars of the model."""
        panel = self.forecasts.history.panel(("funding",), self.forecasts.history.capacity)
        return panel.ts_ns, panel.funding


async def warmed_up(market: Recording, model: Model) -> tuple[Trader, int, Any]:
    """A trader after its first start on the local venue that plays *market*, and by how much it is moved."""
    exchange = recorded_exchange(market, now_ns=time.time_ns())  # moved by whole days
    shift = int(exchange.tape.ts_ns[0]) - market.start_ns
    async with LocalVenue(exchange) as venue:
        adapter = BinanceFuturesExecutionAdapter(
            endpoint("local", venue.url), SYMBOLS, keys_of(venue), rng=Random(7), settings=AdapterSettings(timing=QUICK)
        )
        await adapter.connect()
        instruments = [adapter.instrument(symbol) for symbol in SYMBOLS]
        trader = Trader(instruments, model)
        timing = msgspec.structs.replace(FAST, warm_bars=30)
        driver = LiveDriver(trader.session, adapter, timing, time.time_ns, namespace="t-")
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.bars.caught_up, 120.0)  # kernels may have to be compiled first
        driver.stop()
        await task
    return trader, shift, instruments


@pytest.mark.parametrize("page", [1_000, 7])
def test_a_first_start_shows_a_model_the_funding_that_a_replay_shows_it(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rate per 8 hours equal to the bit, in the model's own bars and in those that the base bars make."""
    monkeypatch.setattr(history, "ROWS_PER_PAGE", page)
    market = recording()
    wanted = bars_of(market, 4 * NS_PER_HOUR)

    trader, shift, _ = asyncio.run(warmed_up(market, Carry()))
    opens, shown = trader.funding()

    rows = np.searchsorted(wanted.opens + shift, opens)
    assert (wanted.opens[rows] + shift == opens).all()
    np.testing.assert_array_equal(shown, wanted.fields[FUNDING][rows])
    assert len(set(shown[:, 0].tolist())) >= 6
    assert (np.abs(shown[:, 1]) > np.abs(shown[:, 0]).mean()).any()
    assert not trader.forecasts.lacks()


def test_the_rates_are_inputs_and_a_replay_of_them_gives_the_same_forecasts() -> None:
    """From the log alone: history, forecasts and what the model is shown."""
    market = recording()

    async def story() -> tuple[Trader, Any]:
        trader, _, instruments = await warmed_up(market, Carry())
        return trader, instruments

    first, instruments = asyncio.run(story())
    inputs = [decode_input(entry) for entry in first.log.entries]
    again = Trader(instruments, Carry(), first.log)
    again.session.recover()

    told = [one for one in inputs if isinstance(one, FundingHistoryReceived)]
    assert [one.symbol for one in told] == list(SYMBOLS)
    np.testing.assert_array_equal(first.forecasts.out, again.forecasts.out)
    np.testing.assert_array_equal(first.funding()[1], again.funding()[1])


def test_a_model_that_does_not_need_funding_costs_no_question() -> None:
    """No rates are asked for, and none is in the log."""
    market = recording()
    trader, _, _ = asyncio.run(warmed_up(market, Trend()))

    assert not trader.forecasts.lacks()
    assert not any(isinstance(decode_input(entry), FundingHistoryReceived) for entry in trader.log.entries)


def hours_of(now_hour: int, interval_ns: int, start_ns: int, end_ns: int, symbol: str) -> list[Kline]:
    """Bars at 100 up to *now_hour*."""
    first = -(-start_ns // interval_ns) * interval_ns
    return [
        Kline(symbol=symbol, interval_ns=interval_ns, ts_ns=ts, open=100.0, high=101.0, low=99.0, close=100.0,
              volume=5.0)
        for ts in range(first, min(end_ns, now_hour), interval_ns)
    ]


def test_refused_rates_leave_that_symbol_without_and_others_with_theirs() -> None:
    """A venue that does not answer is asked again; one that refuses a symbol is not, and the start goes on."""
    made = Forecasts(SYMBOLS, MINUTE, [LoadedModel(name="Carry", model=Carry(), fingerprint="f")])
    world, venue, driver = make(World(forecasts=made), timing=FAST)
    now_hour = (START + 5_000_000_000) // NS_PER_HOUR * NS_PER_HOUR
    asked: list[str] = []

    async def get_klines(symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        return hours_of(now_hour, interval_ns, start_ns, end_ns, symbol) if interval_ns != MINUTE else []

    async def get_funding_rates(symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        asked.append(symbol)
        if symbol == OTHER:
            raise VenueError("GET fundingRate: -1121 Invalid symbol.")
        if asked.count(SYMBOL) == 1:
            raise VenueUnavailable("GET fundingRate: no answer")
        assert start_ns <= now_hour - 1_000 * 4 * NS_PER_HOUR - NS_PER_DAY
        first = -(-start_ns // (8 * NS_PER_HOUR)) * 8 * NS_PER_HOUR
        return [
            FundingRate(symbol=symbol, ts_ns=ts, rate=0.0003) for ts in range(first, end_ns, 8 * NS_PER_HOUR)
        ]

    venue.get_klines, venue.get_funding_rates = get_klines, get_funding_rates

    async def story() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: driver.bars.caught_up, 10.0)
        driver.stop()
        await running

    asyncio.run(story())
    shown = made.history.panel(("funding",), 12).funding
    assert shown[:, 0].tolist() == [0.0003] * 12
    assert np.isnan(shown[:, 1]).all()
    assert sorted(asked) == [SYMBOL, SYMBOL, OTHER]


def test_bars_missed_in_an_outage_have_the_rates_of_their_time() -> None:
    """A restart fetches the missed bars: each has the rate charged before it, the next live bar the stream's."""
    world = World(forecasts=Forecasts(SYMBOLS, MINUTE, [LoadedModel(name="Carry", model=Carry(), fingerprint="f")]))
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    end = START + 12 * NS_PER_HOUR
    times = np.array([START - NS_PER_HOUR, START + 3 * NS_PER_HOUR], dtype=np.int64)
    for symbol, rates in zip(SYMBOLS, ([0.0002, 0.0005], [0.0, -0.0004]), strict=True):
        world.tell(FundingHistoryReceived(
            ts_ns=end, symbol=symbol, until_ns=end, times_ns=times.tobytes(), rates_8h=np.array(rates).tobytes()
        ))
    for minute in range(9 * 60):
        world.bar(minute, 10_000.0, 1_000.0, late_ns=end)
    assert world.session.checkpoint()
    again = World(world.log, world.store, forecasts=Forecasts(
        SYMBOLS, MINUTE, [LoadedModel(name="Carry", model=Carry(), fingerprint="f")]
    ))
    again.session.recover()
    for minute in range(9 * 60, 16 * 60):
        again.bar(minute, 10_000.0, 1_000.0)

    assert again.engine.market.forecasts is not None
    shown = again.engine.market.forecasts.history.panel(("funding",), 4)
    assumed = again.engine.settings.funding_rate_8h
    first = int(shown.ts_ns[0])
    by_open = {int(ts - START) // NS_PER_HOUR: row.tolist() for ts, row in zip(shown.ts_ns, shown.funding, strict=True)}
    assert first < START + 4 * NS_PER_HOUR
    assert [by_open[hour] for hour in sorted(by_open)] == [
        [0.0005, -0.0004], [0.0005, -0.0004], [0.0005, -0.0004], [assumed, assumed],
    ]


def test_a_restart_asks_for_the_rates_of_the_bars_that_it_missed() -> None:
    """From a day before the first missed bar to the last one, once a symbol; one that missed none asks nothing."""
    made = Forecasts(SYMBOLS, MINUTE, [LoadedModel(name="Carry", model=Carry(), fingerprint="f")])
    world = World(forecasts=made)
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    for minute in range(10):
        world.bar(minute, 10_000.0, 1_000.0)
    first = START + 10 * MINUTE

    assert asked_after(world, first + 5 * MINUTE) == [
        (symbol, first - NS_PER_DAY, first + 5 * MINUTE) for symbol in SYMBOLS
    ]
    assert asked_after(world, world.engine.now_ns) == []


def asked_after(world: World, now_ns: int) -> list[tuple[str, int, int]]:
    """The questions for funding rates of a driver that starts at *now_ns*, where every minute has a bar."""
    _, venue, _ = make(world)
    asked: list[tuple[str, int, int]] = []

    async def get_klines(symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        return hours_of(now_ns, interval_ns, start_ns, end_ns, symbol)

    async def get_funding_rates(symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        asked.append((symbol, start_ns, end_ns))
        return []

    venue.get_klines, venue.get_funding_rates = get_klines, get_funding_rates
    began = time.monotonic()
    driver = LiveDriver(
        world.session, venue, FAST, lambda: now_ns + int((time.monotonic() - began) * 1e9), namespace="t-"
    )

    async def story() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: driver.bars.caught_up, 10.0)
        driver.stop()
        await running

    asyncio.run(story())
    return asked


@pytest.mark.parametrize(("minutes", "asks"), [(3 * 60, True), (5, False)])
def test_bars_missed_while_the_process_runs_have_the_rates_of_their_time_too(minutes: int, asks: bool) -> None:
    """An outage over a full hour asks for the rates of its bars; a shorter one can have missed no payment."""
    made = Forecasts(SYMBOLS, MINUTE, [LoadedModel(name="Carry", model=Carry(), fingerprint="f")])
    world = World(forecasts=made)
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    for minute in range(10):
        world.bar(minute, 10_000.0, 1_000.0)
    _, venue, _ = make(world)
    first = world.engine.now_ns
    end, there = first + minutes * MINUTE, [False]  # whether the exchange has the bars by now
    asked: list[tuple[str, int, int]] = []

    async def get_klines(symbol: str, interval_ns: int, start_ns: int, end_ns: int) -> list[Kline]:
        return hours_of(end, interval_ns, start_ns, end_ns, symbol) if there[0] else []

    async def get_funding_rates(symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
        asked.append((symbol, start_ns, end_ns))
        return [FundingRate(symbol=symbol, ts_ns=START + NS_PER_HOUR, rate=0.0007)] if there[0] else []

    venue.get_klines, venue.get_funding_rates = get_klines, get_funding_rates
    driver = LiveDriver(world.session, venue, FAST, lambda: end + 1, namespace="t-")

    async def story() -> None:
        running = asyncio.create_task(driver.run())
        await until(lambda: driver.bars.caught_up, 10.0)
        asked.clear()
        made.past_rates.load_state({})  # of the start, when the exchange had neither bars nor rates
        there[0] = True
        driver.bars.fetch_missing()
        await until(lambda: driver.bars.decided_until_ns >= end, 10.0)
        driver.stop()
        await running

    asyncio.run(story())
    assert asked == [(symbol, first - NS_PER_DAY, end) for symbol in SYMBOLS if asks]
    rates = made.history.state()["making"][FUNDING].tolist()
    assert rates == ([8 * 0.0007] * 2 if asks else [world.engine.settings.funding_rate_8h] * 2)


def test_past_rates_end_where_the_stream_begins_and_are_then_forgotten() -> None:
    """NaN before the first payment, the newest one from its own moment on, the other rates from the end on."""
    rates, other = PastRates(), np.array([7.0, 8.0])
    assert rates.at(0, other) is other
    rates.note(1, np.array([100, 200], dtype=np.int64), np.array([0.1, 0.2]), 300)

    told = [rates.at(ts_ns, other).tolist() for ts_ns in (99, 100, 199, 200, 299, 300)]

    assert np.isnan(told[0][1])
    assert told[0][0] == 7.0
    assert told[1:] == [[7.0, 0.1], [7.0, 0.1], [7.0, 0.2], [7.0, 0.2], [7.0, 8.0]]
    assert rates.at(0, other) is other
