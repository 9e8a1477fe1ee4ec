"""Training sessions on record: what each learned from, with what settings, and what it gave; and the best of a day.

They lie in the table ``sessions`` of the trade journal, so that trades, models and trainings are queried together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND, from_ns, to_ns
from quantum_trader.domain.errors import InputError, StateError, brief
from quantum_trader.domain.fields import FieldLookup, TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.journal.trade_journal import DEFAULT_FILE, TradeJournal
from quantum_trader.lab.learning.trend_line import MetricTrend, trend_line
from quantum_trader.policy import clock as default_clock

LOWER_IS_BETTER: Final = ("ece", "brier", "log_loss")
HIGHER_IS_BETTER: Final = ("auc",)

Metrics = dict[str, float | None]


class LearningSession(msgspec.Struct, frozen=True, kw_only=True):
    """One training session, successful or not. Metrics are out of sample: auc, ece, brier, log_loss.

    *before* is the model in use before, the champion say, on the same samples as *after*; empty where there was none.
    """

    session_id: str
    kind: str  # of the model: "booster", "logistic", "pilot" ...
    started_ns: TimeNs
    ended_ns: TimeNs
    data_hash: str
    rows: int
    data_from_ns: TimeNs
    data_until_ns: TimeNs
    parameters: dict[str, Any]
    seed: int
    model_id: str = ""  # empty: it made none
    before: Metrics = {}
    after: Metrics = {}
    importance: dict[str, float] = {}  # feature -> share, of any scale
    importance_shift: float | None = None  # against the last session of its kind, 0 to 1; set when it is recorded

    def __post_init__(self) -> None:
        for key in ("session_id", "kind", "data_hash"):
            if not getattr(self, key).strip():
                raise InputError(f"{key} = {getattr(self, key)!r}: must not be empty")
        if self.ended_ns < self.started_ns or self.data_until_ns < self.data_from_ns:
            raise InputError(f"session {self.session_id}: ends before it begins; give both times in nanoseconds")

    @property
    def duration_s(self) -> float:
        """How long it took."""
        return (self.ended_ns - self.started_ns) / NS_PER_SECOND


class DailyLearning(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """What was learned on a UTC day, as attributes or by key."""

    day: str  # 2026-01-31
    num_sessions: int
    best_metrics: Metrics  # of the best session; empty where none has any
    improvement: dict[str, float]  # of the best session over what was in use before; above 0 is better, of losses too
    best_session: str  # its id; empty where there is none
    best_model: str
    models: int  # sessions that made a model
    rows: int  # trained on, of the largest session
    duration_s: float  # of all sessions


class LearningTracker:
    """The training sessions in *journal*: a trade journal, or its path or URL.

    *clock* gives ns since the epoch. Use it as a context manager, or call :meth:`close`, where it opens the journal.
    """

    def __init__(
        self, journal: TradeJournal | Path | str = DEFAULT_FILE, *, clock: Callable[[], int] = default_clock.now_ns
    ) -> None:
        self._own = not isinstance(journal, TradeJournal)
        self.journal = journal if isinstance(journal, TradeJournal) else TradeJournal(journal)
        self._clock = clock

    def record_session(self, session: LearningSession) -> LearningSession:
        """Add *session*, with how far its importance is from the last one of its kind; returns it as recorded.

        A session that is on record already stays as it is. Raises StateError where it cannot be written.
        """
        earlier = [
            one for one in self.sessions(kind=session.kind)
            if one.importance and one.started_ns <= session.started_ns and one.session_id != session.session_id
        ]
        if session.importance and earlier:
            shift = importance_shift(earlier[-1].importance, session.importance)
            session = msgspec.structs.replace(session, importance_shift=shift)
        row = {name: getattr(session, name) for name in session.__struct_fields__}
        self.journal.add_sessions([row])
        return session

    def sessions(self, day: str | date | None = None, *, kind: str = "", since_ns: int = 0) -> list[LearningSession]:
        """The sessions that began on a UTC *day*, or all from *since_ns* on, in order; of one *kind* or of all."""
        first = since_ns if day is None else _day_ns(day)
        rows = self.journal.rows("sessions", limit=None, since_ns=first)
        end = None if day is None else first + NS_PER_DAY
        return [
            _session_of(row) for row in rows
            if (not kind or row["kind"] == kind) and (end is None or row["started_ns"] < end)
        ]

    def get_daily_summary(self, day: str | date | None = None) -> DailyLearning:
        """What was learned on the UTC *day*: a date, or text such as 2026-01-31; today where it is left out."""
        wanted = day if day is not None else from_ns(self._clock()).date()
        found = self.sessions(wanted)
        best = best_session(found)
        return DailyLearning(
            day=from_ns(_day_ns(wanted)).date().isoformat(), num_sessions=len(found),
            best_metrics={} if best is None else best.after,
            improvement={} if best is None else improvement_of(best.before, best.after),
            best_session="" if best is None else best.session_id, best_model="" if best is None else best.model_id,
            models=len([one for one in found if one.model_id]), rows=max((one.rows for one in found), default=0),
            duration_s=math.fsum(one.duration_s for one in found),
        )

    def trend(self, metric: str, days: int = 30, *, kind: str = "") -> MetricTrend:
        """The best session's *metric* of each of the last *days* with one, and the line through them."""
        if days < 1:
            raise InputError(f"days = {days!r}: must be at least 1")
        today = self._clock() // NS_PER_DAY
        by_day: dict[int, list[LearningSession]] = {}
        for one in self.sessions(kind=kind, since_ns=(today - days + 1) * NS_PER_DAY):
            by_day.setdefault(one.started_ns // NS_PER_DAY, []).append(one)
        known = [(number, best) for number in sorted(by_day) if (best := best_session(by_day[number])) is not None]
        values = [_known(best.after.get(metric)) for _, best in known]
        return MetricTrend(
            metric=metric, days_ns=tuple(number * NS_PER_DAY for number, _ in known), values=tuple(values),
            samples=tuple(len(by_day[number]) for number, _ in known),
            line=trend_line([float(number) for number, _ in known], values),
        )

    def close(self) -> None:
        """Close the journal where this tracker opened it."""
        if self._own:
            self.journal.close()

    def __enter__(self) -> LearningTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def best_session(sessions: list[LearningSession]) -> LearningSession | None:
    """The session with the highest AUC out of sample, of equal ones the lowest log loss; None where none has any."""
    measured = [one for one in sessions if any(value is not None for value in one.after.values())]
    return max(
        measured, key=lambda one: (_known(one.after.get("auc"), -1.0), -_known(one.after.get("log_loss"), math.inf)),
        default=None,
    )


def improvement_of(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, float]:
    """How much better each metric is that both know: above 0 is better, of the losses too."""
    found = {}
    for name in (*HIGHER_IS_BETTER, *LOWER_IS_BETTER):
        one, other = before.get(name), after.get(name)
        if one is not None and other is not None:
            found[name] = other - one if name in HIGHER_IS_BETTER else one - other
    return found


def importance_shift(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """How much of the importance lies on other features than *before*: 0 the same, 1 wholly others.

    The total variation distance of the two rows of shares, each scaled to a sum of 1; a negative importance counts as
    0. NaN where one of them has none.
    """
    shares = []
    for row in (before, after):
        positive = {name: max(value, 0.0) for name, value in row.items()}
        total = math.fsum(positive.values())
        if not total > 0.0:
            return math.nan
        shares.append({name: value / total for name, value in positive.items()})
    one, other = shares
    return 0.5 * math.fsum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in {**one, **other})


def _known(value: float | None, otherwise: float = math.nan) -> float:
    return otherwise if value is None else value


def _day_ns(day: str | date) -> int:
    """The first moment of a UTC day; InputError where *day* is none."""
    try:
        found = date.fromisoformat(day) if isinstance(day, str) else day
        return to_ns(from_ns(0).replace(year=found.year, month=found.month, day=found.day))
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"day = {brief(day)}: must be a date, such as 2026-01-31") from None


def _session_of(row: Mapping[str, Any]) -> LearningSession:
    """A row of the journal as a session; StateError where it holds no session."""
    values = {name: row[name] for name in LearningSession.__struct_fields__}
    for name in ("parameters", "before", "after", "importance"):
        values[name] = decode_json(values[name]) if values[name] else {}
    values["ended_ns"] = values["started_ns"] if values["ended_ns"] is None else values["ended_ns"]
    for name in ("rows", "seed", "data_from_ns", "data_until_ns"):
        values[name] = 0 if values[name] is None else values[name]
    values["kind"] = values["kind"] or "unknown"
    values["data_hash"] = values["data_hash"] or "unknown"
    try:
        return msgspec.convert(values, LearningSession)
    except msgspec.ValidationError as error:
        raise StateError(f"sessions: {row['session_id']!r} is no training session: {error}") from None
