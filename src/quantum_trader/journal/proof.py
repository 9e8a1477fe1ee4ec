"""The replay proof: a day's records compared with the records of the same day run again.

The recorded lines are the only input: ``run.started`` has the settings and the data; ``operator.requested``,
``rollout.changed``, ``gates.changed``, ``intent.received``, ``score.received``, ``score.refused``, ``pilot.changed``,
``model.in_force`` and ``model.refused`` have what came from outside and when. The caller runs the engine again; this
module compares the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, to_ns
from quantum_trader.domain.errors import StateError
from quantum_trader.journal.audit import RecordLine, day_of, record_name

STARTED: Final = "run.started"
ENDED: Final = "run.ended"
REQUESTED: Final = "operator.requested"
ROLLOUT: Final = "rollout.changed"
INTENT: Final = "intent.received"
PILOT: Final = "pilot.changed"
GATES: Final = "gates.changed"
MODEL: Final = "model.in_force"
NO_MODEL: Final = "model.refused"
SCORE: Final = "score.received"
NO_SCORE: Final = "score.refused"
_TOPICS: Final = (REQUESTED, ROLLOUT, INTENT, PILOT, GATES, MODEL, NO_MODEL, SCORE, NO_SCORE)
_INPUTS: Final = tuple(f'"{topic}"'.encode() for topic in _TOPICS)
_HEAD: Final = 200  # bytes of a record that hold its topic


class ScriptInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a person or another program did during the run, and the time it took force."""

    topic: str
    ts_ns: int
    data: dict[str, Any]
    after_end: bool = False  # made after the end of the data


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a run, read from its records."""

    started: dict[str, Any]  # data of run.started
    started_ns: int
    inputs: tuple[ScriptInput, ...]
    ended: bool  # whether the run reached the end of its data


class RecordDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The first record that differs; None where one side has no more."""

    position: int  # within the day, from 1
    name: str  # event id and topic
    fields: tuple[str, ...]  # where the two differ, dotted
    recorded: str | None
    replayed: str | None


class ReplayProof(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of running a day again."""

    day: str
    identical: bool
    records: int  # of the day, compared
    complete: bool  # whether the recording of this day is finished
    difference: RecordDifference | None
    inputs: int  # operator requests, changes of rollout, pilot and models, outside intents and scores replayed
    notes: tuple[str, ...] = ()


class _Record(msgspec.Struct):
    topic: str
    ts_ns: int
    data: Any = None


_decode: Final = msgspec.json.Decoder(_Record).decode


def read_script(lines: Iterable[RecordLine]) -> Script:
    """Return the inputs of the run that wrote *lines*; StateError where they are not recorded."""
    started: dict[str, Any] | None = None
    started_ns = 0
    inputs = []
    ended = False
    for _, line in lines:
        head = line[:_HEAD]
        try:
            if started is None:
                record = _decode(line)
                if record.topic != STARTED:
                    raise StateError(f"the first record is {record.topic}, not {STARTED}: its run cannot be repeated")
                started, started_ns = record.data, record.ts_ns
            elif any(topic in head for topic in _INPUTS):
                record = _decode(line)
                if record.topic in _TOPICS and not _begins_with(record):
                    inputs.append(
                        ScriptInput(topic=record.topic, ts_ns=record.ts_ns, data=record.data, after_end=ended)
                    )
            elif b'"run.ended"' in head:
                ended = True
        except ValueError as error:
            raise StateError(
                f"record {line[:60]!r} cannot be read ({error}); `quantum-trader journal verify` names what was changed"
            ) from None
    if started is None:
        raise StateError("no records: there is nothing to run again")
    for key in ("effective", "recording"):
        if not isinstance(started.get(key), Mapping):
            raise StateError(f"{STARTED} has no {key!r}: the run was recorded by an older program; run it anew")
    return Script(started=started, started_ns=started_ns, inputs=tuple(inputs), ended=ended)


def _begins_with(record: _Record) -> bool:
    """Whether a record states what a run began with, which the run records by itself."""
    return record.topic == MODEL and not record.data["before"]


def prove_day(
    lines: Callable[[], Iterable[RecordLine]], day: str, rerun: Callable[[Script, int], Iterator[RecordLine]]
) -> ReplayProof:
    """Run *day* again and compare_records it record by record with the lines of the journal.

    *lines* returns all recorded lines at each call; *rerun* runs a script up to a time (ns) and yields its lines.
    StateError when the day has no records.
    """
    until_ns = _end_of(day)
    script = read_script(lines())
    recorded, last = [], 0
    for ts_ns, line in lines():
        last = max(last, ts_ns)
        if until_ns - NS_PER_DAY <= ts_ns < until_ns:
            recorded.append(line)
    if not recorded:
        first = min((ts_ns for ts_ns, _ in lines() if ts_ns), default=0)
        raise StateError(
            f"--day {day}: the journal has no record of it; it holds {day_of(first)} to {day_of(last)}"
        )
    complete = script.ended or last >= until_ns
    replayed = (line for ts_ns, line in rerun(script, until_ns) if until_ns - NS_PER_DAY <= ts_ns < until_ns)
    difference = compare_records(recorded, replayed, complete=complete)
    notes = [] if complete else ["the run had not finished this day: what it recorded so far was compared"]
    return ReplayProof(
        day=day, identical=difference is None, records=len(recorded), complete=complete, difference=difference,
        inputs=sum(1 for one in script.inputs if one.ts_ns < until_ns), notes=tuple(notes),
    )


def compare_records(
    recorded: Iterable[bytes], replayed: Iterable[bytes], *, complete: bool = True
) -> RecordDifference | None:
    """Return the first difference, None when there is none; a recording that is not *complete* may end first."""
    for position, (left, right) in enumerate(zip_longest(recorded, replayed), 1):
        if left == right:
            continue
        if left is None and not complete:
            return None
        return RecordDifference(
            position=position, name=record_name(left or right or b""), fields=_fields(left, right),
            recorded=_text(left), replayed=_text(right),
        )
    return None


def _text(line: bytes | None) -> str | None:
    return None if line is None else line.decode("utf-8", errors="backslashreplace")


def _fields(left: bytes | None, right: bytes | None) -> tuple[str, ...]:
    """Dotted names of the fields in which two records differ; empty where one cannot be read."""
    if left is None or right is None:
        return ()
    try:
        a, b = _flat(msgspec.json.decode(left)), _flat(msgspec.json.decode(right))
    except ValueError:
        return ()
    return tuple(key for key in {**a, **b} if a.get(key, _flat) != b.get(key, _flat))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat.update(_flat(item, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _end_of(day: str) -> int:
    """The first nanosecond after *day*."""
    try:
        return to_ns(datetime.fromisoformat(f"{day}T00:00:00+00:00")) + NS_PER_DAY
    except ValueError:
        raise StateError(f"--day {day}: is not a day; write it like 2024-01-31") from None
