"""A pilot that was late is late again where the same inputs are taken again, however fast the machine is then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.engine.pilot_world import BASE_NS, FREE, LONG_SMALL, WIDE, FixedConfidence, ScriptedPilot, bars, decision_of
from tests.journal.records import CheckedSink
from tests.live.live_world import ADOPTING, MemoryLog, MemoryStore

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.live.inputs import BarsReceived, PilotSettingsReceived, PilotWasLate, SessionStarted, decode_input
from quantum_trader.live.pilot_limit import TimeLimitedPilot
from quantum_trader.live.session import Session
from quantum_trader.market.instruments import instruments_for
from quantum_trader.policy.profiles import load_profile

RECORDING = bars(last=258)
LATE = 3  # decision


class Sluggish(ScriptedPilot):
    """Does not answer some bars before it is let go."""

    def __init__(self, *, is_slow: bool) -> None:
        super().__init__(lambda number, place: LONG_SMALL, 2)
        self.is_slow, self.go = is_slow, threading.Event()
        self.looked_at: list[int] = []

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Wait where it is slow, and note the bars."""
        if self.is_slow and ts_ns + BASE_NS == self.first_late_ns:
            self.go.wait(10.0)
        self.looked_at.append(ts_ns)
        super().observe(ts_ns, ohlcv, present, feed)

    @property
    def first_late_ns(self) -> int:
        """Close of the bars that it does not answer."""
        return next(
            ts + BASE_NS for ts in RECORDING.times.tolist() if decision_of(ts + BASE_NS) == LATE
            and (ts + BASE_NS) % self.length_ns == 0
        )


class Live:
    """An engine with a pilot in PRIMARY behind the limit, in a session."""

    def __init__(self, log: MemoryLog, *, is_slow: bool) -> None:
        self.pilot, self.sink = Sluggish(is_slow=is_slow), CheckedSink()
        self.limited = TimeLimitedPilot(self.pilot, 0.2)
        self.engine = Engine(
            instruments_for(RECORDING.symbols, RECORDING.first_closes().tolist()).instruments, BASE_NS,
            EngineSettings(profile=load_profile("STANDARD"), integration=FREE, limits=WIDE), self.sink, live=ADOPTING,
            pilot=self.limited,
        )
        parts = self.engine.piloting._parts
        assert parts is not None
        self.engine.piloting._parts = parts._replace(confidence=FixedConfidence(lambda number: 0.9, self.engine))
        self.session = Session(self.engine, log, MemoryStore(), BASE_NS, pilot=self.limited)

    def trade(self) -> None:
        """Take all bars; the pilot is let go after two moments without it."""
        first_ns = int(RECORDING.times[0])
        self.session.apply(SessionStarted(ts_ns=first_ns, wallet=10_000.0, namespace="n-"))
        after = PilotSettings(mode=PilotMode.PRIMARY, min_confidence=0.0)
        change = PilotChanged(actor="me", reason="test", before=None, after=after, version=1)
        self.session.apply(PilotSettingsReceived(ts_ns=first_ns, change=change))
        for ts_ns, ohlcv, present, _ in RECORDING.chunks():
            for row, moment in enumerate(ts_ns.tolist()):
                if moment > self.pilot.first_late_ns and not self.pilot.go.is_set():
                    self.pilot.go.set()
                    self.limited._worker.submit(lambda: None).result(5.0)
                self.session.apply(BarsReceived.of(moment, moment + BASE_NS, ohlcv[row], present[row]))
        self.session.finish_bars()


@pytest.fixture(name="interrupted")
def interrupted_session() -> Iterator[tuple[Live, MemoryLog]]:
    """A session whose pilot was late at two moments."""
    log = MemoryLog()
    live = Live(log, is_slow=True)
    live.trade()
    yield live, log
    live.pilot.go.set()
    live.limited.close()


@contextmanager
def continued(log: MemoryLog) -> Iterator[Live]:
    """Another process that takes the same inputs, with a pilot that is never late."""
    live = Live(log, is_slow=False)
    try:
        assert live.session.recover() == len(log.entries)
        yield live
    finally:
        live.limited.close()


def test_a_restart_repeats_that_the_pilot_was_late(interrupted: tuple[Live, MemoryLog]) -> None:
    """The same records, decisions and orders; it has seen the same bars, and no line is written again."""
    first, log = interrupted
    written = len(log.entries)
    late = [one for entry in log.entries if isinstance(one := decode_input(entry), PilotWasLate)]
    assert [one.seen for one in late] == [True, False]
    assert late[0].bars_ns + BASE_NS == first.pilot.first_late_ns
    failed = [msgspec.json.decode(line)["data"] for line in first.sink.lines if b'"pilot.failed"' in line]
    assert [one["what"] for one in failed] == ["SLOW"]  # the first in a row
    with continued(log) as second:
        assert second.sink.lines == first.sink.lines
        assert second.pilot.looked_at == first.pilot.looked_at
        assert second.engine.gateway.state() == first.engine.gateway.state()
        assert second.engine.piloting.failed == first.engine.piloting.failed
        assert second.session.input_count == first.session.input_count
        assert len(log.entries) == written


def test_after_a_restart_it_is_not_waited_for_again(interrupted: tuple[Live, MemoryLog]) -> None:
    """The limit holds for new bars."""
    _, log = interrupted
    with continued(log) as second:
        second.pilot.is_slow = True
        with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
            second.limited.take(second.pilot.first_late_ns - BASE_NS, np.zeros((2, 5)), np.ones(2, bool), None, None)
        second.pilot.go.set()
