"""What a run's journal tells of the pilot: its decisions and intents, its shadow books, failures and changes.

Reading does not block the writer, so a journal can be read while its run goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.records import Record
from quantum_trader.engine.ids import rest_intent_id
from quantum_trader.journal.audit import day_of
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.live.pilot_metrics import PILOT_SOURCES, RLv3MetricsStore
from quantum_trader.policy.pilot_evidence import PilotEvidence, PilotRules, ShadowDay, ShadowTrade, weigh_pilot

_FED: Final = (  # of orders and fills the pilot's; trade.executed repeats the fills
    "with own as materialized (select producer, seq, intent_id from intents where kind = 'trade.intent' and "
    "starts_with(source, $source)), "
    "sent as materialized (select producer, seq, client_order_id from orders where kind = 'order.submitted' and "
    "intent_id in (select intent_id from own union all select intent_id || $rest from own)), "
    "keys as materialized (select producer, seq from own union all select producer, seq from sent union all "
    "select producer, seq from fills where client_order_id in (select client_order_id from sent)) "
    "select payload from events where kind = 'pilot.decided' or (kind in ('trade.intent', 'order.submitted', "
    "'order.filled') and (producer, seq) in (from keys)) order by producer, seq"
)
_MODELS: Final = (
    "select model, min(ts_ns) as first_ns, max(ts_ns) as last_ns, list(distinct ts_ns // 86400000000000) as days "
    "from pilot_decisions group by model order by last_ns desc"
)
_DAYS: Final = (
    "select stated_day as day, arg_max(pilot, seq) as pilot, arg_max(signals, seq) as signals, "
    "arg_max(hybrid, seq) as hybrid, arg_max(hours, seq) as hours, arg_max(decisions, seq) as decisions "
    "from pilot_days group by stated_day order by stated_day"
)
_TRADES: Final = "select entry_ns, exit_ns, r, exit from pilot_trades order by seq"
_FAILURES: Final = "select ts_ns, what, error, model from pilot_failures order by ts_ns, seq"
_CHANGES: Final = "select ts_ns, actor, reason, mode, version from pilot_changes order by ts_ns desc, seq desc limit 1"
_RATE: Final = (
    "select count(*) as n from intents where kind = 'trade.intent' and starts_with(source, ?) and not reduce_only "
    "and ts_ns > ? and not (starts_with(intent_id, 'i') and contains(source, 'HYBRID'))"  # those are the signals'
)
_LAST: Final = "select max(ts_ns) as ts_ns from events"


class PilotFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The pilot raised or was too slow."""

    ts_ns: int
    what: str
    error: str
    model: str


class AppliedChange(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that the run last took into force."""

    ts_ns: int
    actor: str
    reason: str
    mode: str
    version: int


class PilotHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``pilot status`` and ``pilot promote`` need of a journal."""

    evidence: PilotEvidence  # of the model that decided last
    metrics: RLv3MetricsStore
    intents_last_hour: int  # openings of the pilot in the hour before the journal's newest record
    last_ns: int | None = None  # time of that record
    failures: int = 0
    last_failure: PilotFailure | None = None
    applied: AppliedChange | None = None


def pilot_history(
    state: Path, *, settings: Callable[[], PilotSettings] = PilotSettings, rules: PilotRules | None = None
) -> PilotHistory:
    """What the journal of the state folder *state* tells; of a folder without one that nothing has happened.

    StateError where there is no such folder or its journal cannot be read.
    """
    lake = _lake_of(state)
    if lake is None:
        return PilotHistory(
            evidence=weigh_pilot([], [], model="", rules=rules), metrics=RLv3MetricsStore(settings),
            intents_last_hour=0,
        )
    last_ns = lake.sql(_LAST).to_pylist()[0]["ts_ns"]
    since = (last_ns or 0) - NS_PER_HOUR
    failures = lake.sql(_FAILURES).to_pylist()
    changes = lake.sql(_CHANGES).to_pylist()
    return PilotHistory(
        evidence=_evidence(lake, rules), metrics=_fed(lake, settings), last_ns=last_ns,
        intents_last_hour=lake.sql(_RATE, [PILOT_SOURCES, since]).to_pylist()[0]["n"], failures=len(failures),
        last_failure=msgspec.convert(failures[-1], PilotFailure) if failures else None,
        applied=msgspec.convert(changes[0], AppliedChange) if changes else None,
    )


def pilot_metrics(state: Path, settings: Callable[[], PilotSettings] = PilotSettings) -> RLv3MetricsStore:
    """The metrics of all decisions and intents in the journal of *state*, for a status or for a run that goes on."""
    lake = _lake_of(state)
    return RLv3MetricsStore(settings) if lake is None else _fed(lake, settings)


def _lake_of(state: Path) -> Lake | None:
    if not state.is_dir():
        raise StateError(f"--state {state}: no such folder; give the folder of `run --state` or `live --state`")
    return Lake(state / JOURNAL) if (state / JOURNAL).is_dir() else None


def _fed(lake: Lake, settings: Callable[[], PilotSettings]) -> RLv3MetricsStore:
    store, decode = RLv3MetricsStore(settings), msgspec.json.Decoder(Record).decode
    params = {"source": PILOT_SOURCES, "rest": rest_intent_id("")}
    for batch in lake.sql(_FED, params)["payload"].chunks:
        for line in batch.to_pylist():
            store.feed(decode(line))
    return store


def _evidence(lake: Lake, rules: PilotRules | None) -> PilotEvidence:
    """The evidence about the model that decided last: days on which no other one decided, and its own trades."""
    models: list[dict[str, Any]] = lake.sql(_MODELS).to_pylist()
    if not models:
        return weigh_pilot([], [], model="", rules=rules)
    own, others = models[0], models[1:]
    first = day_of(own["first_ns"])
    foreign = {day_of(day * NS_PER_DAY) for one in others for day in one["days"]}
    days = [
        msgspec.convert(row, ShadowDay) for row in lake.sql(_DAYS).to_pylist()
        if row["day"] >= first and row["day"] not in foreign
    ]
    trades = [
        msgspec.convert(row, ShadowTrade) for row in lake.sql(_TRADES).to_pylist()
        if row["entry_ns"] >= own["first_ns"] and day_of(row["exit_ns"]) not in foreign
    ]
    return weigh_pilot(days, trades, model=own["model"], rules=rules)

