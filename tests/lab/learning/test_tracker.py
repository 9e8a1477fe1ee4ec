"""Training sessions on record and the best of a day."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND, from_ns, to_ns
from quantum_trader.domain.errors import InputError
from quantum_trader.journal.trade_journal import TradeJournal
from quantum_trader.lab.learning.tracker import (
    LearningSession,
    LearningTracker,
    importance_shift,
    improvement_of,
)

DAY = to_ns(from_ns(0).replace(year=2026, month=1, day=31))


def made(session_id: str, started_ns: int = DAY, **changes: Any) -> LearningSession:
    """A session of ten seconds."""
    facts: dict[str, Any] = {
        "session_id": session_id, "kind": "booster", "started_ns": started_ns,
        "ended_ns": started_ns + 10 * NS_PER_SECOND, "data_hash": "d" * 64, "rows": 1_000, "data_from_ns": 0,
        "data_until_ns": started_ns, "parameters": {"depth": 4}, "seed": 7, "model_id": f"model {session_id}",
        "after": {"auc": 0.6, "ece": 0.05, "brier": 0.24, "log_loss": 0.67},
    }
    return LearningSession(**(facts | changes))


@pytest.fixture
def tracker(tmp_path: Path) -> LearningTracker:
    """A tracker on a new journal; today is 31 January 2026."""
    return LearningTracker(tmp_path / "journal.db", clock=lambda: DAY + NS_PER_DAY // 2)


def test_a_session_is_read_as_it_was_recorded(tracker: LearningTracker) -> None:
    """Every field; the same session again changes nothing."""
    session = made("a", before={"auc": None}, importance={"x": 2.0, "y": 1.0}, parameters={"deep": {"list": [1, 2]}})
    tracker.record_session(session)
    tracker.record_session(made("a", rows=5))
    assert tracker.sessions() == [session]
    assert session.duration_s == 10.0


def test_the_summary_of_a_day(tracker: LearningTracker) -> None:
    """Two sessions of the day, the best by AUC, and its improvement over what was in use before."""
    before = {"auc": 0.58, "ece": 0.08, "brier": 0.25, "log_loss": 0.68}
    tracker.record_session(made("early", DAY - 1))
    tracker.record_session(made("a"))
    better = {"auc": 0.66, "ece": 0.09, "brier": 0.23, "log_loss": 0.65}
    tracker.record_session(made("b", DAY + 5, before=before, after=better, rows=2_000))
    tracker.record_session(made("late", DAY + NS_PER_DAY))
    found = tracker.get_daily_summary("2026-01-31")
    assert found == tracker.get_daily_summary(date(2026, 1, 31)) == tracker.get_daily_summary()
    assert (found.num_sessions, found.models, found.rows, found.duration_s) == (2, 2, 2_000, 20.0)
    assert (found.best_session, found.best_model, found["best_metrics"]) == ("b", "model b", better)
    assert found.improvement == {
        "auc": pytest.approx(0.08), "ece": pytest.approx(-0.01), "brier": pytest.approx(0.02),
        "log_loss": pytest.approx(0.03),
    }


def test_a_day_without_sessions_or_metrics(tracker: LearningTracker) -> None:
    """No data, not zeros; a session that failed counts as a session."""
    empty = tracker.get_daily_summary("2025-06-01")
    assert (empty.num_sessions, empty.best_metrics, empty.improvement) == (0, {}, {})
    tracker.record_session(made("failed", after={}, model_id=""))
    found = tracker.get_daily_summary("2026-01-31")
    assert (found.num_sessions, found.models, found.best_session) == (1, 0, "")


def test_of_equal_aucs_the_lower_log_loss_is_the_best(tracker: LearningTracker) -> None:
    """And a session without an AUC comes after one with any."""
    tracker.record_session(made("a", after={"auc": 0.6, "log_loss": 0.67}))
    tracker.record_session(made("b", after={"auc": 0.6, "log_loss": 0.66}))
    tracker.record_session(made("c", after={"auc": None, "log_loss": 0.1}))
    assert tracker.get_daily_summary("2026-01-31").best_session == "b"


def test_the_importance_of_features_shifts_against_the_last_session_of_its_kind(tracker: LearningTracker) -> None:
    """A quarter moved from x to y; another kind's session is not what it is compared with."""
    tracker.record_session(made("a", importance={"x": 3.0, "y": 1.0}))
    tracker.record_session(made("other", DAY + 1, kind="logistic", importance={"z": 1.0}))
    done = tracker.record_session(made("b", DAY + 2, importance={"x": 50.0, "y": 50.0}))
    assert done.importance_shift == pytest.approx(0.25)
    assert tracker.sessions()[-1].importance_shift == pytest.approx(0.25)
    assert tracker.sessions()[0].importance_shift is None


def test_the_shift_of_importance() -> None:
    """0 the same in any scale, 1 wholly others, NaN of nothing; a negative importance is none."""
    assert importance_shift({"x": 1.0, "y": 3.0}, {"x": 10.0, "y": 30.0}) == 0.0
    assert importance_shift({"x": 1.0}, {"y": 2.0}) == 1.0
    assert importance_shift({"x": 1.0, "y": -5.0}, {"x": 2.0}) == 0.0
    assert math.isnan(importance_shift({}, {"x": 1.0}))


def test_an_improvement_needs_both_sides() -> None:
    """Metrics that one side does not know are left out."""
    assert improvement_of({"auc": 0.5, "ece": None}, {"auc": 0.6, "ece": 0.1, "brier": 0.2}) == {
        "auc": pytest.approx(0.1)
    }


def test_the_trend_over_days(tracker: LearningTracker) -> None:
    """The best of each day with sessions: an AUC that rises by 0.01 a day."""
    for number in range(5):
        tracker.record_session(made(f"a{number}", DAY - number * NS_PER_DAY, after={"auc": 0.65 - 0.01 * number}))
        tracker.record_session(made(f"b{number}", DAY - number * NS_PER_DAY + 1, after={"auc": 0.5}))
    found = tracker.trend("auc", days=4)
    assert found.days_ns == tuple(DAY - number * NS_PER_DAY for number in (3, 2, 1, 0))
    assert found.values == pytest.approx((0.62, 0.63, 0.64, 0.65))
    assert (found.samples, found.line.slope) == ((2, 2, 2, 2), pytest.approx(0.01))


def test_a_journal_of_the_first_schema_is_migrated(tmp_path: Path) -> None:
    """Its sessions are there, with what was not stated as unknown."""
    path = tmp_path / "journal.db"
    with TradeJournal(path) as journal:
        journal.add_sessions([{"session_id": "old", "started_ns": DAY, "seed": 3}])
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for column in ("kind", "data_from_ns", "data_until_ns", "importance", "importance_shift"):
            connection.execute(text(f"ALTER TABLE sessions DROP COLUMN {column}"))
        for table in ("trades", "shadow_trades"):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN model_id"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with LearningTracker(path) as tracker:
        (session,) = tracker.sessions()
        assert (session.session_id, session.kind, session.seed, session.importance) == ("old", "unknown", 3, {})


@pytest.mark.parametrize("day", ["2026-02-30", "yesterday", 5])
def test_what_is_no_day_is_refused(tracker: LearningTracker, day: Any) -> None:
    """InputError names it."""
    with pytest.raises(InputError, match="day ="):
        tracker.get_daily_summary(day)


def test_a_session_that_cannot_be_is_refused() -> None:
    """InputError: no kind, or an end before its beginning."""
    with pytest.raises(InputError, match="kind"):
        made("a", kind="")
    with pytest.raises(InputError, match="ends before"):
        made("a", ended_ns=DAY - 1)
