"""What a run's journal holds of one day and of the days before it, and nothing of what came after.

An insight of a past day therefore says the same whenever it is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, iso
from quantum_trader.domain.errors import DataError, InputError, StateError
from quantum_trader.engine.decision_inputs import DecisionInputs, recorded_inputs
from quantum_trader.lab.explain.recorded import context_of, recorded_profile
from quantum_trader.lab.explain.search import DecisionContext
from quantum_trader.lab.shadows.judged_signals import JUDGED_KINDS, SIGNAL_KINDS, JudgedSignals, judged_signals_of

if TYPE_CHECKING:
    from quantum_trader.journal.lake import Lake

WINDOW_DAYS: Final = 30  # of signals, up to the end of the day, that blocks and conditions are judged by
_STANDING: Final = ("run.started", "halt.raised", "halt.cleared")  # in force until the next one
_CHANGED: Final = (
    "gates.changed", "rollout.changed", "pilot.changed", "model.in_force", "model.refused", "operator.requested",
    "training", "model", "halt.raised", "halt.cleared",
)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_Line = tuple[int, int, bytes]  # number, time, payload of a record


class RecordedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change on the day; *actor* and *reason* are as people and programs typed them."""

    at: str  # UTC
    kind: str  # of the record
    what: str
    actor: str = ""
    reason: str = ""


class RefusedSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal of the day that was not traded, with everything that its decision was made of."""

    signal_id: str
    reason: str
    inputs: DecisionInputs
    context: DecisionContext


class DayRecords(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The records of one *day* that an insight is made of."""

    day: str
    signals: JudgedSignals | None  # of the window; None: there was none
    given: int  # signals of the day with a decision
    refusals: dict[str, int]  # reason -> signals of the day that it stopped, the most frequent first
    refused: tuple[RefusedSignal, ...]
    changes: tuple[RecordedChange, ...]
    halts: dict[str, str]  # kind of a halt that stands at the end of the day -> how it ends


def midnight_of(day: str) -> int:
    """The first nanosecond of *day*; InputError for what is no date."""
    try:
        return (date.fromisoformat(day).toordinal() - _EPOCH) * NS_PER_DAY
    except ValueError:
        raise InputError(f"day = {day!r}: write it as 2026-11-27") from None


def read_day(lake: Lake, day: str, window_days: int = WINDOW_DAYS) -> DayRecords:
    """The records of *day* in *lake*, and the signals of the *window_days* up to its end."""
    begin_ns = midnight_of(day)
    end_ns = begin_ns + NS_PER_DAY
    lines = _lines(lake, end_ns - window_days * NS_PER_DAY, begin_ns, end_ns)
    started = [msgspec.json.decode(payload)["data"] for _, _, payload in lines["run.started"]]
    signals = judged_signals_of(lines, str(lake.directory))
    found = _by_signal(lines, begin_ns)
    reasons = Counter(one["signal.decided"]["reason"] for one in found.values() if one["signal.decided"]["reason"])
    profile = recorded_profile(started[-1] if started else None)
    return DayRecords(
        day=day, signals=signals if len(signals) else None, given=len(found),
        refusals=dict(sorted(reasons.items(), key=_most_first)), refused=tuple(_refused(found, profile)),
        changes=tuple(_changes(lines, begin_ns)), halts=_standing(lines),
    )


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _lines(lake: Lake, since_ns: int, begin_ns: int, end_ns: int) -> dict[str, list[_Line]]:
    """Records by kind, in order: signals since *since_ns*, changes since *begin_ns*, standing things from the start."""
    names = ", ".join(f"'{kind}'" for kind in JUDGED_KINDS)
    changed = ", ".join(f"'{kind}'" for kind in _CHANGED if kind not in _STANDING)
    standing = ", ".join(f"'{kind}'" for kind in _STANDING)
    columns = "select kind, seq, ts_ns, payload, producer from events where"
    found = lake.sql(
        f"select kind, seq, ts_ns, payload from ({columns} kind in ({names}) and ts_ns >= ? and ts_ns < ? union all "
        f"{columns} kind in ({changed}) and ts_ns >= ? and ts_ns < ? union all {columns} kind in ({standing}) and "
        "ts_ns < ?) order by producer, seq", [since_ns, end_ns, begin_ns, end_ns, end_ns],
    )
    lines: dict[str, list[_Line]] = {kind: [] for kind in (*JUDGED_KINDS, *_STANDING, *_CHANGED)}
    for kind, number, ts_ns, payload in zip(*(column.to_pylist() for column in found.columns), strict=True):
        lines[kind].append((number, ts_ns, payload.encode()))
    return lines


def _by_signal(lines: Mapping[str, Sequence[_Line]], begin_ns: int) -> dict[str, dict[str, dict[str, Any]]]:
    """The records of each signal of the day that was decided on, by kind."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for kind in SIGNAL_KINDS:
        for _, ts_ns, payload in lines[kind]:
            if ts_ns >= begin_ns:
                data = _data(kind, payload)
                found[str(data.get("signal_id"))][kind] = data
    return {name: one for name, one in found.items() if "signal.decided" in one}


def _data(kind: str, payload: bytes) -> dict[str, Any]:
    """What a record of a run holds, or what an event of a program states."""
    try:
        content: dict[str, Any] = msgspec.json.decode(payload, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise DataError(f"a record of {kind} cannot be read ({error})") from None
    data = content.get("data")
    return data if isinstance(data, dict) and "topic" in content else content


def _refused(found: Mapping[str, Mapping[str, dict[str, Any]]], profile: tuple[float, ...]) -> list[RefusedSignal]:
    """The refused among *found* whose inputs are on record."""
    made = []
    for name, one in found.items():
        if one["signal.decided"]["reason"] and "signal.inputs" in one:
            made.append(RefusedSignal(
                signal_id=name, reason=one["signal.decided"]["reason"], inputs=recorded_inputs(one["signal.inputs"]),
                context=context_of(one, profile),
            ))
    return made


# ---- what stands and what changed ------------------------------------------------------------------------------------
def _standing(lines: Mapping[str, Sequence[_Line]]) -> dict[str, str]:
    """The kinds of halts that were raised and not cleared, and how each ends."""
    events = [
        (ts_ns, is_end, _data(kind, payload)) for is_end, kind in enumerate(("halt.raised", "halt.cleared"))
        for _, ts_ns, payload in lines[kind]
    ]
    held: dict[str, str] = {}
    for _, is_end, data in sorted(events, key=lambda one: one[:2]):
        if is_end and data.get("level") in ("", "NORMAL", None):
            held.pop(str(data.get("kind")), None)
        else:
            held[str(data.get("kind"))] = str(data.get("exit_path") or "")
    return held


def waits_for_a_person(exit_path: str) -> bool:
    """Whether a halt that ends by *exit_path* needs ``resume``."""
    return exit_path.startswith("resume")


def _changes(lines: Mapping[str, Sequence[_Line]], begin_ns: int) -> list[RecordedChange]:
    """What changed on the day, oldest first."""
    found = [
        (ts_ns, _change(iso(ts_ns), kind, _data(kind, payload)))
        for kind in _CHANGED for _, ts_ns, payload in lines[kind] if ts_ns >= begin_ns
    ]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _change(at: str, kind: str, data: Mapping[str, Any]) -> RecordedChange:
    """One change in words."""
    change = data.get("change")
    inner: Mapping[str, Any] = change if isinstance(change, dict) else data
    return RecordedChange(
        at=at, kind=kind, what=_what(kind, data, inner), actor=str(inner.get("actor") or inner.get("owner") or ""),
        reason=str(inner.get("reason") or ""),
    )


def _what(kind: str, data: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
    if kind == "gates.changed":
        return f"gates: {inner.get('action', 'set')} {inner.get('gate') or ''}".strip()
    if kind == "rollout.changed":
        return f"rollout: {inner.get('action', 'taken')} {inner.get('switch') or ''}".strip()
    if kind == "model.in_force":
        return f"models of {data.get('role')} in force: {', '.join(map(str, data.get('names', ())))}"
    if kind == "model.refused":
        return f"model refused for {data.get('role')}: {str(data.get('model'))[:12]}"
    if kind in ("halt.raised", "halt.cleared"):
        return f"halt {kind.partition('.')[2]}: {data.get('kind')} {data.get('level') or ''}".strip()
    if kind == "model":
        return f"model {str(data.get('model_id'))[:12]}: {data.get('change')} {data.get('alias') or ''}".strip()
    if kind == "operator.requested":
        return f"operator: {data.get('action')}"
    return kind


def journal_days(lake: Lake) -> list[str]:
    """The days of the journal, oldest first; StateError where it is empty."""
    rows = lake.sql("select distinct ts_ns // 86400000000000 as day from events order by day").to_pylist()
    if not rows:
        raise StateError(f"{lake.directory}: the journal has no event yet")
    return [date.fromordinal(_EPOCH + row["day"]).isoformat() for row in rows]
