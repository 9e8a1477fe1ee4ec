"""What a run held and what was in force at a time that is past, from its journal alone.

Positions follow from fills, funding and positions that were taken over, from each symbol's last flat moment on; stops
from what the venue said of their orders. The figures are those that the books had, by the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.runs.status import HaltLine, PositionLine
from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.enums import OrderSide, Side
from quantum_trader.engine.accounting import realised_pnl
from quantum_trader.journal.lake import Lake

_FLAT_SHARE: Final = 1e-9  # of the largest quantity, that rounding leaves of a position that is flat
_FLAT: Final = (
    "with flat as (select symbol, max(ts_ns) as ts_ns, max_by(seq, (ts_ns, seq)) as seq from trades "
    "where kind = 'trade.closed' and ts_ns <= $at group by symbol) "
)
_SINCE_FLAT: Final = (
    "left join flat on flat.symbol = one.symbol "
    "where one.ts_ns <= $at and (flat.ts_ns is null or (one.ts_ns, one.seq) > (flat.ts_ns, flat.seq))"
)
_BOOKED: Final = _FLAT + " union all ".join((
    "select one.symbol, one.ts_ns, one.seq, 'fill' as what, one.side, one.qty, one.price, one.fee, "
    f"one.client_order_id as id from fills one {_SINCE_FLAT} and one.kind = 'order.filled'",
    "select one.symbol, one.ts_ns, one.seq, 'adopted', '', one.qty, one.entry_price, 0.0, one.trace_id "
    f"from adoptions one {_SINCE_FLAT}",
    f"select one.symbol, one.ts_ns, one.seq, 'funding', '', 0.0, 0.0, one.amount, '' from funding one {_SINCE_FLAT}",
)) + " order by 2, 3"
_ORDERS: Final = (
    f"{_FLAT}, sent as (select one.symbol, one.client_order_id, one.trace_id, one.type, one.qty, one.stop_price, "
    f"one.leverage, one.reduce_only, one.ts_ns, one.seq from orders one {_SINCE_FLAT} "
    "and one.kind = 'order.submitted'), "
    "told as (select client_order_id, max_by(status, (ts_ns, seq)) as status from orders "
    "where kind = 'order.updated' and ts_ns <= $at and client_order_id in (select client_order_id from sent) "
    "group by client_order_id) "
    "select sent.*, coalesce(told.status, '') as status from sent left join told using (client_order_id) "
    "order by sent.ts_ns, sent.seq"
)
_RESTS: Final = ("NEW", "PARTIALLY_FILLED")


class _Held(msgspec.Struct, kw_only=True):
    """A position as its fills make it."""

    sign: int
    qty: float
    entry_price: float
    entry_ns: int
    opened_by: str  # client order id, or the trace of a position that was taken over
    peak_qty: float
    fees: float = 0.0
    funding: float = 0.0
    realised: float = 0.0

    def take(self, row: Mapping[str, Any]) -> None:
        """Book a further fill."""
        self.fees += row["fee"]
        if (1 if row["side"] == OrderSide.BUY.value else -1) == self.sign:
            self.entry_price = entry_after_fill(self.qty, self.entry_price, row["qty"], row["price"])
            self.qty += row["qty"]
            self.peak_qty = max(self.peak_qty, self.qty)
        else:
            self.realised += realised_pnl(self.sign, self.entry_price, row["qty"], row["price"])
            self.qty -= row["qty"]


def positions_at(lake: Lake, at_ns: int, marks: Mapping[str, float]) -> tuple[PositionLine, ...]:
    """The positions of the run at *at_ns*, in the order of their entry; *marks*: closes by symbol, where known.

    The first stop and what the venue alone knew, such as a liquidation price, are not on record: 0.0. What happened at
    *at_ns* itself counts, also funding that a run books after the bar that ended then.
    """
    held: dict[str, _Held] = {}
    for row in lake.sql(_BOOKED, {"at": at_ns}).to_pylist():
        _book(held, row)
    if not held:
        return ()
    orders: dict[str, list[dict[str, Any]]] = {}
    for row in lake.sql(_ORDERS, {"at": at_ns}).to_pylist():
        orders.setdefault(row["symbol"], []).append(row)
    models = _models(lake, {row["trace_id"] for rows in orders.values() for row in rows} - {""})
    return tuple(
        _line(symbol, one, orders.get(symbol, ()), models, marks.get(symbol, 0.0)) for symbol, one in held.items()
    )


def _book(held: dict[str, _Held], row: Mapping[str, Any]) -> None:
    """Take one row of _BOOKED into *held*."""
    symbol, what = row["symbol"], row["what"]
    known = held.get(symbol)
    if what == "funding":
        if known is not None:
            known.funding += row["fee"]
    elif what == "adopted":
        qty = row["qty"]
        held[symbol] = _Held(
            sign=1 if qty > 0.0 else -1, qty=abs(qty), entry_price=row["price"], entry_ns=row["ts_ns"],
            opened_by=row["id"], peak_qty=abs(qty),
        )
    elif known is None:
        held[symbol] = _Held(
            sign=1 if row["side"] == OrderSide.BUY.value else -1, qty=row["qty"], entry_price=row["price"],
            entry_ns=row["ts_ns"], opened_by=row["id"], peak_qty=row["qty"], fees=row["fee"],
        )
    else:
        known.take(row)
        if known.qty <= known.peak_qty * _FLAT_SHARE:
            del held[symbol]


def _line(
    symbol: str, held: _Held, orders: Sequence[Mapping[str, Any]], models: Mapping[str, str], mark_price: float
) -> PositionLine:
    opening = next((one for one in orders if one["client_order_id"] == held.opened_by), None)
    trace_id = opening["trace_id"] if opening is not None else held.opened_by
    stops = [one for one in orders if one["reduce_only"] and one["type"] == "STOP_MARKET"]
    resting = [
        one["stop_price"] for one in stops if one["status"] in _RESTS and one["qty"] >= held.qty * (1.0 - _FLAT_SHARE)
    ]
    targets = [one for one in orders if one["type"].startswith("TAKE_PROFIT") and one["status"] in _RESTS]
    return PositionLine(
        symbol=symbol, side=(Side.LONG if held.sign > 0 else Side.SHORT).value, qty=held.qty,
        entry_price=held.entry_price, stop=resting[-1] if resting else 0.0,
        target=targets[-1]["stop_price"] if targets else 0.0, mark_price=mark_price, protected=bool(resting),
        entry_ns=held.entry_ns, trace_id=trace_id, model=models.get(trace_id, ""),
        leverage=opening["leverage"] if opening is not None else 0.0,
        fees=held.fees, funding=held.funding, realised=held.realised,
    )


def _models(lake: Lake, traces: set[str]) -> dict[str, str]:
    """What decided each of *traces*: models joined by +, or the source of an intent."""
    rows = lake.sql(
        "select trace_id, model, 1 as rank from signals where list_contains($traces, trace_id) union all "
        "select trace_id, source, 0 from intents where list_contains($traces, trace_id) order by rank",
        {"traces": sorted(traces)},
    ).to_pylist()
    return {row["trace_id"]: row["model"] for row in rows if row["model"]}


def halts_at(lake: Lake, at_ns: int) -> tuple[HaltLine, ...]:
    """The halts that were in force at *at_ns*, oldest first."""
    rows = lake.sql(
        "select kind, payload, ts_ns from events where kind in ('halt.raised', 'halt.cleared') and ts_ns <= ? "
        "order by ts_ns, seq", [at_ns],
    ).to_pylist()
    held: dict[str, HaltLine] = {}
    for row in rows:
        data = msgspec.json.decode(row["payload"])["data"]
        if row["kind"] == "halt.cleared":
            held.pop(data["kind"], None)
        else:
            held[data["kind"]] = HaltLine(
                kind=data["kind"], reason=data["reason"], exit_path=data["exit_path"], since_ns=row["ts_ns"]
            )
    return tuple(held.values())


class RuleTime(msgspec.Struct, frozen=True, kw_only=True):
    """When one rule of the policy shaped it. *share*: of the time asked for; *spans*: from, to."""

    rule: str
    why: str  # as the newest record of it says
    share: float
    spans: list[tuple[int, int]]


class RulesOverTime(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that shaped the policy between two times, the one that did longest first."""

    from_ns: int
    to_ns: int
    changes: int  # of the policy in that time
    rules: list[RuleTime]


def rules_over_time(lake: Lake, from_ns: int, to_ns: int, pieces: int) -> RulesOverTime:
    """When each rule shaped the policy between *from_ns* and *to_ns*, to a *pieces*-th of that time exactly.

    The shares are exact; a span is as long as the pieces in which its rule held at any time.
    """
    rows = lake.sql(
        "select greatest(ts_ns, $from) as ts_ns, coalesce(lead(ts_ns) over (order by ts_ns, producer, seq), $to) "
        "as until_ns, rules from policies where ts_ns <= $to and ts_ns >= coalesce((select max(ts_ns) from policies "
        "where ts_ns <= $from), $from) order by ts_ns", {"from": from_ns, "to": to_ns},
    ).to_pylist()
    piece = max(1, -(-(to_ns - from_ns) // pieces))
    held: dict[str, np.ndarray[Any, Any]] = {}
    total: dict[str, int] = {}
    why: dict[str, str] = {}
    for row in rows:
        begins, ends = row["ts_ns"], max(row["ts_ns"], row["until_ns"])
        fired = {str(one["rule"]): str(one["why"]) for one in msgspec.json.decode(row["rules"] or "[]")}
        for rule in fired:
            places = held.setdefault(rule, np.zeros(pieces, dtype=np.bool_))
            places[(begins - from_ns) // piece: -(-(ends - from_ns) // piece)] = True
            total[rule] = total.get(rule, 0) + ends - begins
        why |= fired
    rules = [
        RuleTime(
            rule=rule, why=why[rule], share=total[rule] / max(1, to_ns - from_ns),
            spans=[(from_ns + a * piece, min(to_ns, from_ns + b * piece)) for a, b in _runs(places)],
        )
        for rule, places in held.items()
    ]
    rules.sort(key=lambda one: (-one.share, one.rule))
    return RulesOverTime(from_ns=from_ns, to_ns=to_ns, changes=len(rows), rules=rules)


def _runs(places: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """First and past-the-last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], places, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
