"""How many signals became trades: the counts of each step, of the whole journal or of its last days."""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec

from quantum_trader.app.api.reader import RunReader
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR

_GATES: Final = """'[{"passed":"BOOLEAN","measured":"BOOLEAN"}]'"""
_STEPS: Final = {  # step -> view, condition
    "signals": ("signals", "true"),
    "gates": (
        "signal_gates", f"len(list_filter(from_json(gates, {_GATES}), lambda g: g.measured and not g.passed)) = 0",
    ),
    "policy": ("verdicts", "verdict = 'ALLOW'"), "allowed": ("decisions", "decision = 'ALLOWED'"),
    "intents": ("intents", "not reduce_only"), "refused": ("refusals", "true"),
    "orders": ("orders", "kind = 'order.submitted' and not reduce_only"), "trades": ("trades", "true"),
}


class FunnelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which time."""

    days: Annotated[int, msgspec.Meta(ge=0, le=3650, description="The last so many days; 0: all.")] = 7


class Funnel(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of each step from signals to trades since *since_ns* (0: the beginning), as of *as_of_ns*.

    *gates*: signals that pass every measured gate; *policy*: that a fully enforced policy would allow; *allowed*: by
    what is enforced; *intents* and *orders*: opening ones; *refused*: intents that the guard refused.
    """

    as_of_ns: int
    since_ns: int
    signals: int
    gates: int
    policy: int
    allowed: int
    intents: int
    refused: int
    orders: int
    trades: int
    sql: str  # the SELECT that counts them, which `POST /api/v1/journal/sql` takes as it is


def funnel_query(since_ns: int) -> str:
    """The SELECT of the counts since *since_ns*; 0: of all."""
    after = f" and ts_ns >= {since_ns}" if since_ns else ""
    counts = [
        f"(select count(*) from {view} where {condition}{after}) as {step}"
        for step, (view, condition) in _STEPS.items()
    ]
    return "select " + ",\n  ".join(counts)


def funnel(reader: RunReader, days: int) -> Funnel:
    """The counts of the last *days* days of the run's time, from a full hour on; 0: of all."""
    status, as_of_ns = reader.status(), time.time_ns()
    now_ns = status.equity_ns or status.as_of_ns
    since_ns = max(0, (now_ns - days * NS_PER_DAY) // NS_PER_HOUR * NS_PER_HOUR) if days else 0
    query = funnel_query(since_ns)
    return Funnel(as_of_ns=as_of_ns, since_ns=since_ns, sql=query, **reader.rows(query, [])[0])
