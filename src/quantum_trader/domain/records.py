"""The record: one line of the event log.

Records are byte-identical between two runs over the same data and seed: ids derive from the sequence, time
received equals time happened in replay, and nothing that varies between runs is written into one.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

SCHEMA_VERSION: Final = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One event with its identity and times (ns since the epoch)."""

    seq: int
    event_id: str
    topic: str
    trace_id: str
    ts_ns: int
    received_ns: int
    source: str
    schema: int
    data: Any


TOPICS: Final = (
    "run.started", "market.hole", "market.refused", "regime.changed", "policy.updated", "policy.verdict",
    "signal.generated", "signal.decided", "trade.intent", "risk.denied", "order.submitted", "order.updated",
    "order.cancel", "order.filled", "funding.paid", "trade.executed", "trade.failed", "trade.closed",
    "shadow.closed", "halt.raised", "halt.cleared", "rollout.changed", "operator.requested", "run.ended",
    "market.bar", "health.changed", "stream.changed", "position.adopted", "reconciliation.difference", "cash.adjusted",
    "account.by_others", "input.failed", "session.continued", "fill.known", "intent.received", "instrument.changed",
    "pilot.decided", "pilot.closed", "pilot.day", "pilot.changed", "pilot.failed", "signal.judged", "signal.inputs",
    "gates.changed", "model.in_force", "model.refused", "models.decided", "score.received", "score.refused",
)
