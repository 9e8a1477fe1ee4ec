"""Timing of decisions: the steps of each signal, measured by a tracer that has a clock. Nothing here decides."""

from __future__ import annotations

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.trading import ClosedTrade, OrderUpdate, Signal
from quantum_trader.engine.ports import DecisionTracing
from quantum_trader.engine.records import Records


class Tracing:
    """Hands the steps of decisions to a tracer; without one it does nothing."""

    def __init__(self, tracer: DecisionTracing | None, records: Records) -> None:
        self.tracer = tracer
        self._records = records
        self._moment_ns = 0  # when the moment's bars came, on the tracer's clock

    def moment(self) -> None:
        """Note that the bars of a moment are here."""
        if self.tracer is not None:
            self._moment_ns = self.tracer.now()

    def now(self) -> int:
        """The time on the tracer's clock, ns; 0 without one."""
        return self.tracer.now() if self.tracer is not None else 0

    def signal(self, signal: Signal, made_ns: int) -> None:
        """Begin the trace of a signal that was made at *made_ns* on the tracer's clock."""
        if self.tracer is not None:
            self.tracer.start_trace(signal.trace_id, self._moment_ns, symbol=signal.symbol)
            self.tracer.mark("signal", at_ns=made_ns, confidence=signal.confidence)

    def step(self, name: str, outcome: str, trace_id: str) -> None:
        """Note that a step of a decision ends now."""
        if self.tracer is not None:
            self._records.afterwards(self._mark, name, outcome, trace_id, self.tracer.now())

    def _mark(self, name: str, outcome: str, trace_id: str, at_ns: int) -> None:
        if self.tracer is not None:
            self.tracer.mark(name, outcome, trace_id=trace_id, at_ns=at_ns)

    def recorded(self, trace_id: str, refusal: str) -> None:
        """Note that a decision is on record; a refused one ends."""
        if self.tracer is not None:
            self.tracer.mark("record", trace_id=trace_id)
            if refusal:
                self.tracer.finish_trace(trace_id, outcome=f"BLOCKED {refusal}")

    def order_update(self, trace_id: str, update: OrderUpdate) -> None:
        """Note what the venue says of an opening order; a refused one ends its decision."""
        if self.tracer is None:
            return
        if update.status is OrderStatus.NEW:
            self.tracer.mark("acknowledgement", trace_id=trace_id)
        elif update.status in (OrderStatus.REJECTED, OrderStatus.CANCELED) and update.filled_qty <= 0.0:
            self.tracer.mark("acknowledgement", update.status.value, trace_id=trace_id)
            self.tracer.finish_trace(trace_id, outcome="FAILED")

    def trade(self, trade: ClosedTrade) -> None:
        """End the trace of a trade that has closed."""
        if self.tracer is not None:
            self.tracer.mark("position", trade.exit_reason.value, trace_id=trade.trace_id)
            self.tracer.finish_trace(trade.trace_id, outcome="CLOSED")
