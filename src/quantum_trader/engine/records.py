"""What the engine puts on record: numbered events, and work that waits until the orders of a moment are out.

In live trading orders must not wait for records and observers. While a moment is decided on, both are put off and
done in their order by :meth:`Records.catch_up`: the same records, the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.recorder import ENGINE, Recorder
from quantum_trader.engine.supervision import Shield, run_all
from quantum_trader.engine.tally import Tally


class Records:
    """Numbers, counts and keeps the engine's events.

    Where it is *supervised*, an event that its sink refuses is counted in ``refused`` and trading goes on; else it
    raises.
    """

    def __init__(self, sink: RecordSink, tally: Tally, *, supervised: bool = False) -> None:
        self.recorder = Recorder(sink)
        self.tally = tally
        self.refused = Shield()  # of this process alone
        self._supervised = supervised
        self.bars: tuple[MarketBatch, int] | None = None  # decided on and not on record yet, and when they were there
        self._deferred: list[tuple[Callable[..., Any], tuple[Any, ...]]] | None = None

    @property
    def deferring(self) -> bool:
        """Whether records and observers are being put off."""
        return self._deferred is not None

    def record(self, topic: str, trace_id: str, ts_ns: int, data: Any, source: str = ENGINE) -> None:
        """Record one event of *topic* that happened at *ts_ns*."""
        if self._deferred is not None:
            self._deferred.append((self.record, (topic, trace_id, ts_ns, data, source)))
        elif self._supervised:
            self.refused.run(self._keep, topic, trace_id, ts_ns, data, source)
        else:
            self._keep(topic, trace_id, ts_ns, data, source)

    def _keep(self, topic: str, trace_id: str, ts_ns: int, data: Any, source: str) -> None:
        self.tally.topics[topic] += 1
        self.recorder.record(topic, trace_id, ts_ns, data, source)

    def outgoing(self, commands: Sequence[Command]) -> list[Command]:
        """Record commands that are on their way to the venue, and return them."""
        for command in commands:
            if isinstance(command, OrderRequest):
                self.record("order.submitted", command.trace_id, command.created_ns, command)
            else:
                self.record("order.cancel", "", command.created_ns, command)
        return list(commands)

    def defer(self) -> None:
        """Put off records and observers until :meth:`catch_up`."""
        self._deferred = []

    def afterwards(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do something that no order depends on: at once, or in its turn in :meth:`catch_up`."""
        if self._deferred is None:
            call(*arguments)
        else:
            self._deferred.append((call, arguments))

    def catch_up(self) -> None:
        """Do the deferred calls in their order; a call that fails stops none of the later ones.

        Raises the first failure once everything was done.
        """
        deferred, self._deferred = self._deferred, None
        run_all(deferred or ())
