"""Spec 2, section 5: the lines the engine and its gateway hold, each against a venue or feed that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.journal.records import CheckedSink

from quantum_trader.app.runs.replay import Run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.enums import ExitReason, GovernorLevel, OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.recorder import MemorySink, Recorder

MOMENTS = 1_500


@pytest.fixture
def session() -> Iterator[Run]:
    """A month of the bundled bars with the intraday models, wired but not yet run."""
    flags = {
        "data.start": ("2018-03-01", "t"), "data.end": ("2018-04-05", "t"),
        "models": (({"model": "intraday-demo"},), "t"),
    }
    wired = Run(load_settings(None, flags).settings, RunOptions())
    yield wired
    wired.close()


def replay(session: Run, moments: int = MOMENTS, each: Any = None) -> MemorySink:
    """Run *moments* through the driver; *each* is called after every one. Returns the records."""
    sink = CheckedSink()
    session.engine.records.recorder = Recorder(sink)
    done = 0
    for ts_ns, ohlcv, present, _ in session.recording.chunks():
        for i, moment in enumerate(ts_ns.tolist()):
            session.driver.step(moment, ohlcv[i], present[i])
            if each is not None:
                each()
            done += 1
            if done == moments:
                return sink
    return sink


def test_1_contradicting_settings_stop_the_start() -> None:
    """OBSERVE with an enforcing switch is refused, naming the key."""
    with pytest.raises(ConfigError, match="use_for_risk_sizing"):
        load_settings(None, {"rollout.use_for_risk_sizing": (True, "t")})


def test_3_an_acknowledgement_moves_nothing(session: Run) -> None:
    """A venue that acknowledges every order and fills none leaves cash and positions as they were."""
    session.driver.venue.submit = lambda request: [OrderUpdate(  # type: ignore[method-assign]
        client_order_id=request.client_order_id, venue_order_id="1", symbol=request.symbol, status=OrderStatus.NEW,
        ts_ns=request.created_ns,
    )]
    replay(session)
    assert session.engine.records.tally.intents > 0
    assert not session.engine.account.books.positions
    assert session.engine.account.books.cash == session.engine.settings.start_equity


def test_6_a_position_whose_stop_is_refused_is_closed(session: Run) -> None:
    """Where the venue takes no stop, every position is closed at the next price, for that reason."""
    submit = session.driver.venue.submit

    def refuse_stops(request: OrderRequest) -> Any:
        if request.type is OrderType.STOP_MARKET:
            return [OrderUpdate(
                client_order_id=request.client_order_id, venue_order_id="", symbol=request.symbol,
                status=OrderStatus.REJECTED, ts_ns=request.created_ns, reason="-4000 no stops today",
            )]
        return submit(request)

    session.driver.venue.submit = refuse_stops  # type: ignore[method-assign]
    replay(session)
    reasons = {trade.exit_reason for trade in session.engine.records.tally.trades}
    assert reasons == {ExitReason.UNPROTECTED}


def test_6_every_open_position_has_a_stop_resting_at_the_venue(session: Run) -> None:
    """After each moment the venue itself holds a reduce-only stop for the whole of every position not being closed."""
    seen = 0

    def check() -> None:
        nonlocal seen
        for position in session.engine.account.books.positions.values():
            stops = [
                order for order in session.driver.venue.open_orders(position.symbol)
                if order.type is OrderType.STOP_MARKET and order.reduce_only and order.qty >= position.qty * (1 - 1e-9)
            ]
            assert stops or position.exit_reason is not None
            seen += 1

    replay(session, each=check)
    assert seen > 100


def test_7_a_leverage_that_reads_back_otherwise_refuses_the_trade(session: Run) -> None:
    """A venue stuck at 125x gets no opening order, and each refusal is on record."""
    session.driver.venue.set_leverage = lambda symbol, leverage: 125.0  # type: ignore[method-assign]
    sink = replay(session)
    assert not session.engine.records.tally.trades
    assert not session.driver.venue.positions()
    assert any(b"LEVERAGE_MISMATCH" in line and b"trade.failed" in line for line in sink.lines)


def test_8_the_books_equal_the_venue(session: Run) -> None:
    """After each moment cash and signed positions agree with the venue's."""

    def check() -> None:
        books = {p.symbol: p.qty * p.sign for p in session.engine.account.books.positions.values()}
        venue = {p.symbol: p.qty for p in session.driver.venue.positions()}
        assert books.keys() == venue.keys()
        assert all(books[symbol] == pytest.approx(venue[symbol], rel=1e-12) for symbol in books)
        assert session.engine.account.books.cash == pytest.approx(session.driver.venue.balance().wallet, abs=1e-6)

    replay(session, each=check)
    assert session.engine.records.tally.trades


def test_9_flatten_closes_everything_in_an_emergency(session: Run) -> None:
    """With positions open and the governor at EMERGENCY, flatten leaves none after the next price."""
    replay(session, 400)
    engine = session.engine
    step = 400
    for ts_ns, ohlcv, present, _ in session.recording.chunks(start_row=400):
        for i, moment in enumerate(ts_ns.tolist()):
            if engine.account.books.positions:
                break
            session.driver.step(moment, ohlcv[i], present[i])
            step += 1
        break
    assert engine.account.books.positions
    engine.account.governor[0] = list(GovernorLevel).index(GovernorLevel.EMERGENCY)
    session.driver.send(engine.flatten(engine.now_ns))
    ts_ns, ohlcv, present, _ = next(iter(session.recording.chunks(start_row=step)))
    session.driver.step(int(ts_ns[0]), ohlcv[0], present[0])
    assert not engine.account.books.positions
    assert not session.driver.venue.positions()


def test_10_one_bad_bar_halts_nothing_and_three_do(session: Run) -> None:
    """A NaN bar is refused and recorded; the third in a row stops openings in that symbol until three good ones."""
    sink = replay(session, 200)
    chunk = next(iter(session.recording.chunks(start_row=200)))
    halted = []
    for i in range(8):
        ohlcv = chunk[1][i].copy()
        if i < 3:
            ohlcv[0] = np.array([np.nan, -1.0, 0.0, np.inf, 1.0])
        session.driver.step(int(chunk[0][i]), ohlcv, chunk[2][i])
        halted.append(session.engine.market.is_halted(0))
    assert halted == [False, False, True, True, True, False, False, False]
    assert sum(b"market.refused" in line for line in sink.lines) == 3
    assert np.isfinite(session.engine.account.equity)


def test_15_a_resume_needs_a_reason(session: Run) -> None:
    """An empty reason is refused: every end of a halt has an owner and a why."""
    with pytest.raises(InputError, match="reason"):
        session.engine.resume("  ", 1)
