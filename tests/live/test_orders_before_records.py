"""A moment's bars are written in parts and its orders go out one by one: the same inputs, orders and records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.journal.records import CheckedSink
from tests.live.live_world import MINUTE, MemoryLog, MemoryStore

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.trading import Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.live.inputs import BarsReceived, HealthChanged, SessionStarted, VenueEventReceived
from quantum_trader.live.session import Session
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.regime import MarketSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import load_profile
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals import columns as col
from quantum_trader.signals.settings import SignalSettings

SYMBOLS = 8
RECORDING = generated_recording(SYMBOLS, interval="1m", bars=420, seed=4)
SETTINGS = EngineSettings(
    profile=load_profile("STANDARD"), start_equity=1e6, market=MarketSettings(trend_minutes=5, vol_minutes=5),
    integration=OrchestratorIntegrationConfig(fixed_risk_pct=0.05, fixed_confidence=0.0, fixed_max_positions=50),
    limits=RiskLimits(max_cost_r=10.0, max_exposure_pct=100.0, max_positions=50, max_orders_per_hour=100_000),
    signals=SignalSettings(decision_minutes=1, horizon_hours=0.1, cooldown_hours=0.2, edge=0.5, warmup_outcomes=5.0),
)
Moment = tuple[int, Any, Any]


def receive(session: Session, ts_ns: int, some: Iterable[int], ohlcv: Any, present: Any) -> None:
    """Let the bars of *some* symbols out of a moment's (S, 5), (S,) arrive."""
    for index in some:
        session.moments.add(ts_ns, index, ohlcv[index], bool(present[index]))


def write(session: Session, ts_ns: int, some: Iterable[int], ohlcv: Any, present: Any) -> None:
    """Let bars arrive and write them down."""
    receive(session, ts_ns, some, ohlcv, present)
    session.write_bars(ts_ns)


def decide(session: Session, moment: Moment, some: Iterable[int] = range(SYMBOLS)) -> list[Command]:
    """Let the bars of *some* symbols arrive, then decide on the moment."""
    ts_ns, ohlcv, present = moment
    receive(session, ts_ns, some, ohlcv, present)
    return session.decide(ts_ns, ts_ns + MINUTE)


class Life:
    """One process: a session, its log and what it was given to send."""

    def __init__(self, log: MemoryLog | None = None, store: MemoryStore | None = None) -> None:
        table = instruments_for(RECORDING.symbols, RECORDING.first_closes().tolist())
        self.log, self.store, self.sink = log or MemoryLog(), store or MemoryStore(), CheckedSink()
        self.engine = Engine(table.instruments, MINUTE, SETTINGS, self.sink, live=LiveAccount())
        self.session = Session(self.engine, self.log, self.store, MINUTE)
        self.sent: list[str] = []
        self.waiting: list[OrderRequest] = []

    def begin(self) -> Life:
        """Start with a million."""
        self.session.apply(SessionStarted(ts_ns=RECORDING.start_ns, wallet=1e6, namespace="n-"))
        return self

    def send(self, commands: list[Command]) -> int:
        """Note the orders among *commands*; returns how many."""
        self.sent += [repr(command) for command in commands]
        orders = [one for one in commands if isinstance(one, OrderRequest) and one.type is OrderType.MARKET]
        self.waiting += orders
        return len(orders)

    def refuse(self, now_ns: int) -> None:
        """Let the venue cancel every order, so that its symbol is free again."""
        orders, self.waiting = self.waiting, []
        for order in orders:
            self.send(self.session.apply(VenueEventReceived.of(OrderUpdate(
                client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, ts_ns=now_ns,
                status=OrderStatus.CANCELED,
            ))))

    def at_once(self, moment: Moment) -> None:
        """Take a moment as one input."""
        ts_ns, ohlcv, present = moment
        self.send(self.session.apply(BarsReceived.of(ts_ns, ts_ns + MINUTE, ohlcv, present)))
        self.refuse(ts_ns + MINUTE)

    def in_parts(self, moment: Moment, parts: int = 3) -> list[int]:
        """Write a moment's bars in parts and decide on it; returns how many orders each step gave."""
        ts_ns, ohlcv, present = moment
        order = [(3 * step + ts_ns // MINUTE) % SYMBOLS for step in range(SYMBOLS)]
        for part in range(parts - 1):
            write(self.session, ts_ns, order[2 * part:2 * part + 2], ohlcv, present)
        left = order[2 * (parts - 1):]
        steps = [self.send(decide(self.session, (ts_ns, ohlcv, present), left))]
        while commands := self.session.next_commands():
            steps.append(self.send(commands))
        self.refuse(ts_ns + MINUTE)
        return steps

    def end(self) -> tuple[list[str], list[Any], Any, Any]:
        """What there is in the end."""
        self.session.finish_bars()
        return self.sent, self.sink.lines, self.engine.gateway.state(), self.engine.account.equity


def moments() -> Iterator[Moment]:
    """The recording, a moment at a time."""
    for ts_ns, ohlcv, present, _ in RECORDING.chunks(8192):
        for row, moment in enumerate(ts_ns.tolist()):
            yield moment, ohlcv[row], present[row]


@pytest.fixture(scope="module")
def whole() -> tuple[list[str], list[Any], Any, Any]:
    """What comes of it when every moment is one input, taken in one go."""
    life = Life().begin()
    for moment in moments():
        life.at_once(moment)
    return life.end()


def test_bars_in_parts_and_orders_one_by_one_change_nothing(whole: Any) -> None:
    """The same orders in the same order and the same records; never two opening orders in one step."""
    life, steps = Life().begin(), []
    for moment in moments():
        steps.append(life.in_parts(moment))
    assert life.end() == whole
    assert max(max(counts) for counts in steps) == 1
    assert max(sum(counts) for counts in steps) > 1


def test_commands_not_sent_yet_come_with_the_next_input(whole: Any) -> None:
    """Another input, a checkpoint or the next moment between two orders of one: none is lost, none comes twice."""
    life, broken = Life().begin(), 0
    for number, (ts_ns, ohlcv, present) in enumerate(moments()):
        life.send(decide(life.session, (ts_ns, ohlcv, present)))
        before = len(life.sent)
        if number % 3 == 0:
            life.send(life.session.apply(HealthChanged(ts_ns=ts_ns + MINUTE, level=0, connected=True, reason="fine")))
        elif number % 3 == 1:
            life.session.checkpoint()
            life.send(life.session.next_commands())
        broken += len(life.sent) > before
        life.session.finish_bars()
        life.send(life.session.next_commands())
        life.refuse(ts_ns + MINUTE)
    assert life.end()[0] == whole[0]
    assert broken > 3


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_killed_process_between_two_parts_of_a_moment_loses_no_bar(whole: Any, checkpoint: bool) -> None:
    """Bars that were written are in the log or in the checkpoint; the next process decides on the whole moment."""
    life, everything = Life().begin(), list(moments())
    for number, moment in enumerate(everything):
        if number in (200, 300):
            ts_ns, ohlcv, present = moment
            write(life.session, ts_ns, [6, 1, 3], ohlcv, present)
            if checkpoint:
                life.session.checkpoint()
            after = Life(life.log, life.store)
            after.sent, after.waiting = life.sent, life.waiting
            after.sink.lines[:] = life.sink.lines if checkpoint or number == 300 else []
            after.session.recover()
            life = after
            rest = [0, 2, 4, 5, 7]
            life.send(decide(life.session, (ts_ns, ohlcv, present), rest))
            while commands := life.session.next_commands():
                life.send(commands)
            life.refuse(ts_ns + MINUTE)
        else:
            life.in_parts(moment)
    sent, _, tickets, equity = life.end()
    assert (sent, tickets, equity) == (whole[0], whole[2], whole[3])


@pytest.mark.parametrize("arrived", [[], [5], list(range(SYMBOLS))])
def test_a_moment_without_further_bars_is_decided_on_those_that_arrived(arrived: list[int]) -> None:
    """The other symbols stayed silent: every bar that arrived was written before the decision."""
    lives = Life().begin(), Life().begin()
    for ts_ns, ohlcv, present in moments():
        some = np.isin(np.arange(SYMBOLS), arrived) & present
        write(lives[0].session, ts_ns, arrived, np.where(some[:, None], ohlcv, np.nan), some)
        decide(lives[0].session, (ts_ns, ohlcv, some), [])
        lives[1].at_once((ts_ns, np.where(some[:, None], ohlcv, np.nan), some))
        if ts_ns > RECORDING.start_ns + 30 * MINUTE:
            break
    for life in lives:
        life.session.finish_bars()
        assert life.session.shield.failures == 0
    assert lives[0].sink.lines == lives[1].sink.lines


def test_a_repeated_bar_replaces_the_earlier_one() -> None:
    """After a restart a moment is fetched whole: the bars fetched replace those written before."""
    life, plain = Life().begin(), Life().begin()
    for ts_ns, ohlcv, present in moments():
        life.session.apply(BarsReceived.of(ts_ns, 0, ohlcv * 1.5, present, [2]))
        life.at_once((ts_ns, ohlcv, present))
        plain.at_once((ts_ns, ohlcv, present))
        if ts_ns > RECORDING.start_ns + 30 * MINUTE:
            break
    life.session.finish_bars()
    plain.session.finish_bars()
    assert life.sink.lines == plain.sink.lines


def broken_at(engine: Engine, ts_ns: int, bad: int) -> list[int]:
    """Let the signal of symbol *bad* raise at the moment that opened at *ts_ns*; returns where taken ones are noted."""
    take, taken = engine.opening._take_signal, []

    def taking(index: int, commands: list[Command]) -> None:
        if engine.now_ns == ts_ns + MINUTE:
            taken.append(index)
            if index == bad:
                raise ZeroDivisionError("a signal that fails")
        take(index, commands)

    engine.opening._take_signal = taking  # type: ignore[method-assign]
    return taken


@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_signal_that_fails_is_taken_once_and_stops_no_other(place: int) -> None:
    """First, second or last of its moment: openings halt, the moment is learned from, and a replay does the same."""
    life, busy, due = Life().begin(), 0, []
    for ts_ns, ohlcv, present in moments():
        decide(life.session, (ts_ns, ohlcv, present))
        due = np.flatnonzero(life.engine.market.kernel.out[:, col.SIGNAL]).tolist()
        life.session.finish_bars()
        busy = ts_ns
        if len(due) >= 4:
            break
    lives = []
    for log in (None, "of the first"):
        life = Life().begin() if log is None else Life(lives[0].log, lives[0].store)
        taken = broken_at(life.engine, busy, due[place])
        if log is None:
            for moment in moments():
                if moment[0] > busy + 3 * MINUTE:
                    break
                life.in_parts(moment)
        else:
            life.session.recover()
        life.session.finish_bars()
        assert taken == due
        assert life.engine.halts.operator_halt
        lives.append(life)
    assert repr(lives[1].engine.state()) == repr(lives[0].engine.state())


def test_what_open_positions_need_is_sent_though_a_signal_fails() -> None:
    """Bars that bring a time-out and a signal that fails: the close goes out, then openings halt."""
    life = Life().begin()
    for ts_ns, ohlcv, present in moments():
        engine = life.engine
        commands = decide(life.session, (ts_ns, ohlcv, present))
        first = next((one for one in commands if isinstance(one, OrderRequest) and not one.reduce_only), None)
        while more := life.session.next_commands():
            commands += more
        if first is not None:
            break
    resting = life.session.apply(VenueEventReceived.of(Fill(
        fill_id="f1", client_order_id=first.client_order_id, symbol=first.symbol, side=first.side, qty=first.qty,
        price=float(ohlcv[engine.symbols.index(first.symbol), 3]), fee=0.0, liquidity="taker", ts_ns=ts_ns + MINUTE,
    )))
    for order in resting:
        life.session.apply(VenueEventReceived.of(OrderUpdate(
            client_order_id=order.client_order_id, venue_order_id="2", symbol=order.symbol, ts_ns=ts_ns + MINUTE,
            status=OrderStatus.NEW,
        )))
    after = [moment for moment in moments() if moment[0] > ts_ns]
    for ts_ns, ohlcv, present in after:
        plan = engine.account.books.positions[first.symbol].plan
        probe = Life(life.log, life.store)
        probe.session.recover()
        decide(probe.session, (ts_ns, ohlcv, present))
        due = np.flatnonzero(probe.engine.market.kernel.out[:, col.SIGNAL]).tolist()
        life.log.entries.pop()  # the probe wrote into the same log
        if due:
            plan.max_hours = 0.0
            broken_at(engine, ts_ns, due[0])
        commands = decide(life.session, (ts_ns, ohlcv, present))
        if due:
            break
        life.session.finish_bars()
    assert [one.symbol for one in commands if isinstance(one, OrderRequest) and one.reduce_only] == [first.symbol]
    assert engine.halts.operator_halt
    assert "the signal of" in engine.records.tally.halts[-1].reason
