"""What everybody who may read can ask: status, policy, positions, lists of what happened, single decisions."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.endpoints import Call, Endpoint, Lane, not_found
from quantum_trader.app.api.reader import AS_OF, ListQuery, Page, RunReader, query_time_ns
from quantum_trader.app.api.stream import EVENTS, KINDS
from quantum_trader.app.runs.equity_history import MOST_POINTS, EquityHistory, equity_history
from quantum_trader.app.runs.journal_trace import trace_in
from quantum_trader.app.runs.status import FolderStatus, HaltLine, OrderLine, PositionLine
from quantum_trader.app.runs.why import WhyNot, explain_signal, why_nothing
from quantum_trader.journal.tracer import TraceAnalysis, analyze

V1: Final = "/api/v1"
_ROW: Final = {"ts": "2019-02-24T16:30:00", "symbol": "BTCUSDT", "trace_id": "tr00000012", "seq": 19430}
_PAGE: Final = {"rows": [_ROW], "next": "1551025800000000000.engine.19430"}
LISTS: Final = {  # road -> view, what it is
    "signals": ("signals", "Direction forecasts of the models."),
    "decisions": ("decisions", "Signals allowed or blocked, with the reason."),
    "gates/results": ("signal_gates", "What the six gates said of each signal."),
    "intents": ("intents", "Position changes that were proposed, ours and from outside."),
    "failures": ("failures", "Intents from outside that led to no position, with the reason."),
    "orders/history": ("orders", "Orders sent, cancelled and reported by the venue."),
    "fills": ("fills", "Executions of our orders."),
    "trades": ("trades", "Round trips that have ended."),
    "shadows": ("shadows", "Shadow trades that have ended, of traded and of blocked signals."),
    "policy/history": ("policies", "The policies in force, from each change on."),
    "rollout/history": ("rollouts", "What of the policy was enforced, from each change on."),
    "regimes": ("regimes", "Changes of a symbol's market state."),
    "halts/history": ("halts", "Halts raised and cleared."),
    "requests": ("requests", "Requests of operators that were carried out."),
    "models/history": ("models_in_force", "Models in force, from each change on."),
    "pilot/decisions": ("pilot_decisions", "Decisions of the pilot."),
}


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """Open positions and what rests at the venue."""

    as_of_ns: int
    positions: tuple[PositionLine, ...]


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that may still be open."""

    as_of_ns: int
    orders: tuple[OrderLine, ...]


class HaltsInForce(msgspec.Struct, frozen=True, kw_only=True):
    """Halts in force, and how each ends; *entries_halted* says why no new position is opened, empty when one may be."""

    entries_halted: str
    halts: tuple[HaltLine, ...]


class RunHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the run is well. *problems* need a person; empty means healthy."""

    alive: bool
    stage: str
    age_s: float | None
    lag_s: float | None
    queue_fill: float | None
    dropped_events: int
    in_doubt: int
    problems: tuple[str, ...]


class PolicyNow(msgspec.Struct, frozen=True, kw_only=True):
    """The policy in force, as its record in the journal states it; None before the first."""

    policy: dict[str, Any] | None


class EquityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the equity."""

    since: Annotated[str, msgspec.Meta(description="From this time on (UTC, ISO 8601).")] = ""
    points: Annotated[int, msgspec.Meta(ge=2, le=MOST_POINTS, description="At most so many.")] = MOST_POINTS
    as_of: Annotated[str, AS_OF] = ""


class WhyNotQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol and a time."""

    symbol: str
    at: Annotated[str, msgspec.Meta(description="Time (UTC, ISO 8601).")]


def read_endpoints(reader: RunReader) -> list[Endpoint]:
    """The roads that read the run in *reader*'s folder."""
    return [
        Endpoint(
            path=f"{V1}/status", summary="State of the run, whether its process is alive or dead.", tag="run",
            answers=FolderStatus, run=lambda _: reader.status(), example={"state": "live-run", "alive": True},
            lane=Lane.URGENT,
        ),
        Endpoint(
            path=f"{V1}/health", summary="Whether the run is well, and what needs a person.", tag="run",
            answers=RunHealth, run=lambda _: _health(reader.status()),
            example={"alive": True, "stage": "trading", "problems": []},
            lane=Lane.URGENT,
        ),
        Endpoint(
            path=f"{V1}/positions", summary="Open positions with their stops.", tag="run", answers=Positions,
            lane=Lane.URGENT,
            run=lambda _: Positions(as_of_ns=reader.status().as_of_ns, positions=reader.status().positions),
            example={"as_of_ns": 1551025800000000000, "positions": [{"symbol": "BTCUSDT", "side": "LONG", "qty": 0.1}]},
        ),
        Endpoint(
            path=f"{V1}/orders", summary="Orders that may still be open.", tag="run", answers=Orders,
            run=lambda _: Orders(as_of_ns=reader.status().as_of_ns, orders=reader.status().orders),
            example={"as_of_ns": 1551025800000000000, "orders": []},
        ),
        Endpoint(
            path=f"{V1}/halts", summary="Halts in force, and how each ends.", tag="run", answers=HaltsInForce,
            run=lambda _: HaltsInForce(entries_halted=reader.status().entries_halted, halts=reader.status().halts),
            example={"entries_halted": "", "halts": []},
            lane=Lane.URGENT,
        ),
        Endpoint(
            path=f"{V1}/equity", summary="Equity and drawdown since the books began, hourly or coarser.", tag="run",
            answers=EquityHistory, query=EquityQuery, run=lambda call: _equity(reader, call),
            example={"start_equity": 10000.0, "points": [
                {"ts_ns": 1551025800000000000, "equity": 10120.5, "drawdown": -0.004},
            ]},
        ),
        Endpoint(
            path=f"{V1}/policy", summary="The policy in force, with its reasons.", tag="policy", answers=PolicyNow,
            run=lambda _: PolicyNow(policy=reader.last("policies")),
            example={"policy": {**_ROW, "allow_new_trades": True, "min_confidence": 0.45}},
        ),
        *(_list(road, view, text, reader) for road, (view, text) in LISTS.items()),
        Endpoint(
            path=EVENTS, summary="The records that the stream tells, of all their kinds.", tag="lists", answers=Page,
            query=ListQuery, run=lambda call: _events(reader, call.query), example=_PAGE,
        ),
        *_decision_endpoints(reader),
    ]


def _decision_endpoints(reader: RunReader) -> list[Endpoint]:
    """The roads that explain one decision."""
    return [
        Endpoint(
            path=f"{V1}/signals/{{signal_id}}", summary="Why a signal was traded or refused, and what would have "
            "changed it.", tag="decisions", answers=dict[str, Any],
            run=lambda call: msgspec.to_builtins(explain_signal(reader.folder, call.path["signal_id"])),
            example={"signal_id": "s00000012", "time": "2019-02-24T16:30:00Z"},
        ),
        Endpoint(
            path=f"{V1}/why-not", summary="Why nothing was traded in a symbol at a time.", tag="decisions",
            answers=WhyNot, query=WhyNotQuery, run=lambda call: _why_not(reader, call),
            example={"symbol": "BTCUSDT", "at": "2019-02-24T16:30:00Z", "state": "SMALL", "summary": "..."},
        ),
        Endpoint(
            path=f"{V1}/traces/{{id}}", summary="The steps of one decision, by the id of its trace, signal, intent, "
            "order or trade.", tag="decisions", answers=TraceAnalysis, run=lambda call: _trace(reader, call.path["id"]),
            example={"trace_id": "tr00000012", "symbol": "BTCUSDT", "outcome": "SCORE"},
        ),
    ]


def _list(road: str, view: str, text: str, reader: RunReader) -> Endpoint:
    def run(call: Call) -> Page:
        return reader.page(view, call.query)

    return Endpoint(
        path=f"{V1}/{road}", summary=text, tag="lists", answers=Page, query=ListQuery, run=run, example=_PAGE,
    )


def _events(reader: RunReader, asked: ListQuery) -> Page:
    found = reader.page("events", asked, f"kind in ({', '.join('?' * len(KINDS))})", KINDS)
    rows = [{**row, "payload": msgspec.Raw(row["payload"].encode())} for row in found.rows]
    return Page(rows=rows, next=found.next)


def _health(status: FolderStatus) -> RunHealth:
    return RunHealth(
        alive=status.alive, stage=status.stage, age_s=status.age_s, lag_s=status.lag_s, queue_fill=status.queue_fill,
        dropped_events=status.dropped_events, in_doubt=status.in_doubt, problems=status.problems,
    )


def _equity(reader: RunReader, call: Call) -> EquityHistory:
    since_ns = query_time_ns("since", call.query.since) if call.query.since else 0
    until_ns = query_time_ns("as_of", call.query.as_of) if call.query.as_of else None
    return equity_history(reader.folder, since_ns, call.query.points, until_ns=until_ns)


def _why_not(reader: RunReader, call: Call) -> WhyNot:
    reader.lake()
    return why_nothing(reader.folder, call.query.symbol, query_time_ns("at", call.query.at))


def _trace(reader: RunReader, given: str) -> TraceAnalysis:
    found = trace_in(reader.lake(), given)
    if found is None:
        not_found(f"id = {given[:100]!r}: no record carries it")
    return analyze(found)
