"""`run --venue local`: the production adapter over loopback gives a whole run, and its books are the venue's."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.app.runs import local as run_local
from quantum_trader.app.runs.replay import run as paper_run
from quantum_trader.app.runs.results import ProgressView, RunOptions
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.core import Engine
from quantum_trader.journal.lake import Lake
from quantum_trader.live.driver import LiveDriver
from quantum_trader.venues.binance.limits import Priority, RequestBudget


class Watched:
    """What one run over the local venue did, seen from inside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits: list[float] = []  # of requests, for the limits
        play, run, wait_s = run_local._Stepping._play, LiveDriver.run, RequestBudget.wait_s

        async def watched(stepping: run_local._Stepping, *arguments: Any) -> None:
            self.run = stepping
            await play(stepping, *arguments)

        async def running(driver: LiveDriver, **options: Any) -> None:
            self.driver = driver
            await run(driver, **options)

        def waited(budget: RequestBudget, priority: Priority, weight: int) -> float:
            self.waits.append(wait_s(budget, priority, weight))
            return self.waits[-1]

        monkeypatch.setattr(run_local._Stepping, "_play", watched)
        monkeypatch.setattr(LiveDriver, "run", running)
        monkeypatch.setattr(RequestBudget, "wait_s", waited)


def settings_of(start: str, end: str) -> RunSettings:
    """The bundled recording from *start* to *end* with the intraday models, which trade often."""
    return load_settings(None, {
        "models": (({"model": "intraday-demo"},), "test"),
        "data.start": (start, "test"), "data.end": (end, "test"), "policy.profile": ("STANDARD", "test"),
    }).settings


def test_a_run_over_loopback_trades_and_its_books_are_the_venues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six weeks of five symbols: trades closed, every one with its records in the journal, wallet and cash equal."""
    seen = Watched(monkeypatch)
    result = run_local.run_over_local_venue(
        settings_of("2018-01-01", "2018-02-12"), RunOptions(state_dir=tmp_path / "state")
    )
    run, facts = seen.run, result.facts
    assert len(facts.trades) >= 30
    assert run.engine.account.books.cash == pytest.approx(run.exchange.paper.balance().wallet, abs=0.005)
    assert run._core.shield.failures == 0
    held = {position.symbol: position.qty for position in run.exchange.paper.positions()}
    assert held == {name: one.sign * one.qty for name, one in run.engine.account.books.positions.items()}
    counts = Lake(tmp_path / "state" / "journal").counts()
    assert counts["trade.closed"] == len(facts.trades)
    assert counts["market.bar"] >= 1800
    assert facts.halts[0].ts_ns > run.session.recording.start_ns + 7 * NS_PER_DAY  # nothing is late at the start

    # No other run may write into its folder.
    again = RunOptions(state_dir=tmp_path / "state")
    with pytest.raises(StateError, match="name a new folder"):
        run_local.run_over_local_venue(settings_of("2018-01-01", "2018-01-03"), again)
    with pytest.raises(StateError, match="holds a run over the local venue"):
        paper_run(settings_of("2018-01-01", "2018-01-03"), again)

    # The market's time, not the machine's, says when books and venue are compared and how much may be asked.
    assert max(seen.waits) == 0.0
    assert seen.driver.counts["looks"] >= 42
    assert seen.driver.counts["looks failed"] == seen.driver.counts["leverages not read"] == 0
    assert run.engine.reconciler.agreed_ns > run.exchange.now_ns - 3 * NS_PER_DAY


def test_what_wants_attention_gets_it_at_every_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops that failed and openings that expired are looked after by the market's time, not the machine's."""
    seen: list[int] = []

    def on_timer(engine: Engine, now_ns: int, busy: Any) -> list[Any]:
        seen.append(now_ns)
        return []

    monkeypatch.setattr(Engine, "attention", lambda *_: True)
    monkeypatch.setattr(Engine, "on_timer", on_timer)
    result = run_local.run_over_local_venue(settings_of("2018-01-01", "2018-01-02"))
    data = result.facts.data
    assert seen == list(range(data.first_ns + 1800 * NS_PER_SECOND, data.last_ns + 1, 1800 * NS_PER_SECOND))


def test_the_end_is_shown_and_sampled() -> None:
    """The last view has every bar, and the last sample is the close of the last bar."""
    views: list[ProgressView] = []

    class Sink:
        def due(self) -> bool:
            return False

        def show(self, view: ProgressView) -> None:
            views.append(view)

    result = run_local.run_over_local_venue(settings_of("2018-01-01", "2018-01-02T00:30:00Z"), progress=Sink())
    (view,) = views
    assert view.bars_done == view.bars_total == result.facts.data.bars
    assert view.ts_ns == result.facts.ts_ns[-1] == result.facts.data.last_ns
    assert view.equity == result.facts.equity[-1]
    assert result.facts.data.last_ns % NS_PER_HOUR != 0  # no hourly sample


def test_a_pace_does_not_hold_up_the_loop_and_may_be_given_up() -> None:
    """Sockets stay alive while a run waits for the clock, and a run that is stopped does not wait for it."""

    async def story() -> None:
        loop, alive = asyncio.get_running_loop(), threading.Event()

        def pace(close_ns: int) -> None:
            loop.call_soon_threadsafe(alive.set)
            assert alive.wait(10.0)

        await run_local._in_a_thread(pace, 0)
        assert alive.is_set()
        go_on = threading.Event()
        waiting = asyncio.create_task(run_local._in_a_thread(lambda _: go_on.wait(60.0) and None, 0))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not go_on.is_set()
        go_on.set()

    asyncio.run(story())


def test_a_local_run_is_not_continued(tmp_path: Path) -> None:
    """A folder that holds a run is refused, with what to do."""
    from quantum_trader.app.runs.replay import run

    settings = load_settings(None, {
        "data.start": ("2018-01-01", "test"), "data.end": ("2018-01-02", "test"),
    }).settings
    run(settings, RunOptions(state_dir=tmp_path))
    with pytest.raises(StateError, match="name a new folder"):
        run_local.run_over_local_venue(settings, RunOptions(state_dir=tmp_path))
