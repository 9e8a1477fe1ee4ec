"""What a run held and what was in force at a time of its history, and what of the policy can be compared.

A page that is shown at a time asks these roads and the lists with `as_of`: the answer is the same whether the run goes
on, has ended, or is asked again next year.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.access import Access, Caller
from quantum_trader.app.api.endpoints import Call, Endpoint, Lane
from quantum_trader.app.api.freqtrade.candles import Candles
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.read_endpoints import V1
from quantum_trader.app.api.reader import RunReader, query_time_ns
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.report.profiles import ComparedSetting, compared_profiles
from quantum_trader.app.runs.equity_history import EquityPoint, equity_history
from quantum_trader.app.runs.gates_record import GatesPreview, preview_gates
from quantum_trader.app.runs.past_state import RulesOverTime, halts_at, positions_at, rules_over_time
from quantum_trader.app.runs.status import HaltLine, PositionLine
from quantum_trader.journal.lake import Lake
from quantum_trader.policy.profiles import OrchestratorConfig, load_profile, packaged_names

_MOST_PIECES: Final = 500
_EVERY_SAMPLE: Final = 1 << 31  # of the equity, none of them joined with others
_TIME: Final = msgspec.Meta(description="Time of the market (UTC, ISO 8601).")


class AtQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A time of the run's history."""

    at: Annotated[str, _TIME]


class PastState(msgspec.Struct, frozen=True, kw_only=True):
    """The run as it was at *at_ns*. Money in USDT, transfers left out.

    *equity* is that of the last full hour; its *drawdown* is the deepest within that hour. What only the venue knew of
    a position, and its first stop, are not on record: 0.
    """

    at_ns: int
    first_ns: int  # of the run's history
    last_ns: int
    start_equity: float | None
    equity: EquityPoint | None  # None: the books had not begun
    deepest_drawdown: float | None  # since the books began, a fraction
    positions: tuple[PositionLine, ...]
    halts: tuple[HaltLine, ...]
    policy: dict[str, Any] | None
    rollout: dict[str, Any] | None  # the last change of what is enforced; None: there was none
    regimes: dict[str, str]  # the market state of each symbol


class RulesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Between which times, and how finely."""

    since: Annotated[str, _TIME] = ""
    as_of: Annotated[str, _TIME] = ""
    pieces: Annotated[int, msgspec.Meta(ge=2, le=_MOST_PIECES, description="Parts that the time is cut into.")] = 200


class ProfilesCompared(msgspec.Struct, frozen=True, kw_only=True):
    """The profiles side by side. *in_force*: the run's, whose own column stands first where it is none of the others'.

    *settings*: each with one value a name of *names*.
    """

    names: list[str]
    descriptions: list[str]
    in_force: str
    settings: list[ComparedSetting]


class GatesProposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the gates, as ``gates set`` takes them: ``{"scalp.max_spread_bps": "4"}``."""

    values: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=50)]


class WhoAsks(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and whether this server lets everybody read and only a token change something."""

    name: str
    role: str
    has_token: bool
    is_read_public: bool


def past_endpoints(reader: RunReader, access: Access) -> list[Endpoint]:
    """The roads to the past of the run in *reader*'s folder, and to what is looked at before a change."""
    past = _Past(reader)
    return [
        Endpoint(
            path=f"{V1}/past", summary="The run as it was at a time: equity, positions, halts, policy, market states.",
            tag="run", answers=PastState, query=AtQuery, run=past.state,
            example={"at_ns": 1551025800000000000, "positions": [], "policy": None, "regimes": {}},
        ),
        Endpoint(
            path=f"{V1}/policy/rules", summary="When each rule shaped the policy.", tag="policy",
            answers=RulesOverTime, query=RulesQuery, run=past.rules,
            example={"from_ns": 0, "to_ns": 10, "changes": 1, "rules": [
                {"rule": "A5", "why": "HIGH volatility", "share": 0.4, "spans": [[0, 4]]},
            ]},
        ),
        Endpoint(
            path=f"{V1}/profiles", summary="Every setting of every profile, and which one the run has.", tag="policy",
            answers=ProfilesCompared, run=lambda _: past.profiles(),
            example={"names": ["SAFE"], "descriptions": ["..."], "in_force": "SAFE", "settings": [
                {"setting": "core.base_risk_pct", "values": [0.8], "differs": False},
            ]},
        ),
        Endpoint(
            path=f"{V1}/gates/preview", summary="What a change of the gates would have done to the signals on record.",
            tag="policy", method="POST", answers=GatesPreview, body=GatesProposal, is_read=True, lane=Lane.QUERIES,
            run=lambda call: preview_gates(reader.folder, call.body.values),
            body_example={"values": {"scalp.max_spread_bps": "4"}},
            example={"before": {"scalp.max_spread_bps": 5.0}, "after": {"scalp.max_spread_bps": 4.0}, "errors": {}},
        ),
        Endpoint(
            path=f"{V1}/access", summary="Who asks, and what that allows.", tag="control", answers=WhoAsks,
            run=lambda call: _who(call.caller, access),
            example={"name": "nobody", "role": "viewer", "has_token": False, "is_read_public": False},
        ),
    ]


def _who(caller: Caller, access: Access) -> WhoAsks:
    role = caller.role if caller.token_id else Role.VIEWER
    return WhoAsks(
        name=caller.name, role=role.value, has_token=bool(caller.token_id),
        is_read_public=access.settings.is_read_public,
    )


class _Past:
    """The history of one run."""

    def __init__(self, reader: RunReader) -> None:
        self._reader = reader
        self._candles = Candles(RunView(reader))

    def state(self, call: Call) -> PastState:
        """Everything that is known of the run at a time."""
        at_ns, lake = query_time_ns("at", call.query.at), self._reader.lake()
        history = equity_history(self._reader.folder, most=_EVERY_SAMPLE, until_ns=at_ns)
        regimes = {
            row["symbol"]: row["regime"] for row in lake.sql(
                "select symbol, max_by(after, (ts_ns, seq)) as regime from regimes where ts_ns <= ? "
                "group by symbol order by symbol", [at_ns],
            ).to_pylist()
        }
        held = positions_at(lake, at_ns, {})
        marked = tuple(
            msgspec.structs.replace(one, mark_price=self._candles.last(one.symbol, at_ns)) for one in held
        )
        first_ns, last_ns = self._span(lake)
        return PastState(
            at_ns=at_ns, first_ns=first_ns, last_ns=last_ns, start_equity=history.start_equity,
            equity=history.points[-1] if history.points else None,
            deepest_drawdown=min((one.drawdown for one in history.points), default=None),
            positions=marked, halts=halts_at(lake, at_ns),
            policy=self._reader.last("policies", "ts_ns <= ?", (at_ns,)),
            rollout=self._reader.last("rollouts", "ts_ns <= ?", (at_ns,)), regimes=regimes,
        )

    def rules(self, call: Call) -> RulesOverTime:
        """When each rule shaped the policy."""
        lake, query = self._reader.lake(), call.query
        first_ns, last_ns = self._span(lake)
        from_ns = query_time_ns("since", query.since) if query.since else first_ns
        to_ns = query_time_ns("as_of", query.as_of) if query.as_of else last_ns
        return rules_over_time(lake, min(from_ns, to_ns), to_ns, query.pieces)

    def profiles(self) -> ProfilesCompared:
        """The packaged profiles beside the one that the run has."""
        configs = [load_profile(name) for name in packaged_names()]
        own = self._own()
        if own is not None and own not in configs:
            configs = [own, *(one for one in configs if one.name != own.name)]
        return ProfilesCompared(
            names=[one.name for one in configs], descriptions=[one.description for one in configs],
            in_force=own.name if own is not None else "", settings=compared_profiles(configs),
        )

    def _own(self) -> OrchestratorConfig | None:
        """The profile that the run's newest start states; None where there is none on record."""
        found = self._reader.rows(
            "select payload from events where kind = 'run.started' order by ts_ns desc, seq desc limit 1", []
        )
        try:
            stated = msgspec.json.decode(found[0]["payload"])["data"]["effective"]["profile"]
            return msgspec.convert(stated, OrchestratorConfig)
        except (IndexError, KeyError, TypeError, msgspec.ValidationError):
            return None

    def _span(self, lake: Lake) -> tuple[int, int]:
        """Times of the first and the last record of the run."""
        row = lake.sql("select min(ts_ns) as first, max(ts_ns) as last from events").to_pylist()[0]
        return row["first"] or 0, row["last"] or 0
