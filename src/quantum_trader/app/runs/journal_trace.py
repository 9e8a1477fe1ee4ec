"""The trace of one decision from a journal, by the id of anything that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from quantum_trader.engine import ids
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.tracer import Trace, trace_from_records

_DIGITS: Final = 18
_OF_ORDERS: Final = ("orders", "fills", "executions", "failures")  # views of what names an order
# where an id that is no trace's stands: its view and column
_ID_OF: Final = (("intents", "intent_id"), ("orders", "client_order_id"), ("trades", "trade_id"))


def trace_in(lake: Lake, given: str) -> Trace | None:
    """The trace of the decision that *given* belongs to: a trace, signal, intent, order or trade; None: not recorded.

    Raises InputError where the query exceeds the bounds of *lake*.
    """
    trace_id = _trace_id(lake, given)
    traces = [trace_id, *_of_score(lake, trace_id)]
    among = f"({', '.join(f'$t{place}' for place in range(len(traces)))})"
    orders = f"(select client_order_id from orders where trace_id in {among} and client_order_id <> '')"
    theirs = " union ".join(  # acknowledgements and fills carry the order's id alone
        f"select producer, seq, kind, ts_ns from {view} where client_order_id in {orders}" for view in _OF_ORDERS
    )
    own = f"select producer, seq, kind, ts_ns from events where trace_id in {among}"
    keys = lake.sql(f"{own} union {theirs}", {f"t{place}": one for place, one in enumerate(traces)}).to_pydict()
    return trace_from_records(_payloads(lake, keys), trace_id)


def _payloads(lake: Lake, keys: dict[str, list[Any]]) -> Iterator[bytes]:
    """The payloads of the events with those *keys*, in their order: made for no other, and looked for in no other part.

    Asking for payloads by a trace would make those of all events.
    """
    if not keys["seq"]:
        return
    kinds = sorted(set(keys["kind"]))
    found = lake.sql(
        f"select payload from events where kind in ({', '.join('?' * len(kinds))}) and ts_ns between ? and ? "
        "and (producer, seq) in (select unnest(?), unnest(?)) order by producer, seq",
        [*kinds, min(keys["ts_ns"]), max(keys["ts_ns"]), keys["producer"], keys["seq"]],
    )
    for line in found["payload"].to_pylist():
        yield line.encode()


def _of_score(lake: Lake, trace_id: str) -> list[str]:
    """The traces of the signals that an outside score was used in; none of any other trace."""
    if trace_id.startswith("tr"):
        return []
    if not lake.sql("select 1 from scores where trace_id = ? limit 1", [trace_id]).num_rows:
        return []
    found = lake.sql("select trace_id from signals where list_contains(outside_scores, ?)", [trace_id])
    return [str(one) for one in found["trace_id"].to_pylist()]


def _trace_id(lake: Lake, given: str) -> str:
    """The id of the trace that *given* belongs to; *given* itself where nothing else is known."""
    if given.startswith("s") and given[1:].isascii() and given[1:].isdigit() and len(given) <= _DIGITS:
        return ids.signal_trace_id(int(given[1:]))
    if given.startswith("tr"):
        return given
    for view, column in _ID_OF:
        query = f"select trace_id from {view} where {column} = ? and trace_id <> '' limit 1"
        found: list[dict[str, Any]] = lake.sql(query, [given]).to_pylist()
        if found:
            return str(found[0]["trace_id"])
    return given
