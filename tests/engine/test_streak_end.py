"""A losing streak, and rule B2's latch after one, end in the engine by shadow trades, with a record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.engine.books import Books
from quantum_trader.engine.judging import Judging
from quantum_trader.policy.profiles import load_profile, profile_vector


def judging(streak: tuple[int, int, int], wins: int, enabled: bool = True) -> tuple[Judging, Books, list[Any]]:
    """The part of the engine that ends streaks, after *wins* shadow wins in a row, SAFE, the last trade closed at 0."""
    books, records = Books(10_000.0, 2), []
    books.lost_r, books.broken_streak, books.wins_since = float(streak[0]), *streak[1:]
    part = Judging.__new__(Judging)
    part._account = SimpleNamespace(books=books)  # type: ignore[assignment]
    part._policy = SimpleNamespace(  # type: ignore[assignment]
        slots=SimpleNamespace(profile=profile_vector(load_profile("SAFE"))),
        settings=SimpleNamespace(policy_enabled=enabled),
    )
    part._records = SimpleNamespace(record=lambda *what: records.append(what))  # type: ignore[assignment]
    part._shadow_wins, part._last_close_ns = wins, 0
    return part, books, records


@pytest.mark.parametrize("streak", [(4, 0, 0), (1, 0, 0), (0, 4, 0), (2, 4, 1)])
def test_two_shadow_wins_after_a_flat_day_end_the_streak_and_the_latch(streak: tuple[int, int, int]) -> None:
    """SAFE: recovery_after_streak is 2; the record says why, and nothing of the streak counts any more."""
    part, books, records = judging(streak, 2)
    part._end_streak(24 * NS_PER_HOUR)
    assert (books.losing_streak, books.broken_streak, books.wins_since) == (0, 0, 0)
    ((topic, _, _, notice, source),) = records
    assert (topic, notice.kind, source) == ("halt.cleared", "streak", "policy")
    assert notice.reason.endswith("ended by 2 shadow wins in a row and 24 h without a position")


@pytest.mark.parametrize(
    ("streak", "wins", "hours"), [((4, 0, 0), 1, 48), ((4, 0, 0), 2, 23), ((0, 4, 2), 2, 48), ((0, 0, 0), 2, 48)]
)
def test_it_stays_before_that_and_nothing_is_ended_where_nothing_is_in_force(
    streak: tuple[int, int, int], wins: int, hours: int
) -> None:
    """One win too few, an hour too early, a latch that wins have lifted, no streak."""
    part, books, records = judging(streak, wins)
    part._end_streak(hours * NS_PER_HOUR)
    assert (books.losing_streak, books.broken_streak, books.wins_since) == streak
    assert not records


def test_an_open_position_keeps_the_streak() -> None:
    """A trade under way can end it itself."""
    part, books, records = judging((4, 0, 0), 2)
    books.positions["BTCUSDT"] = SimpleNamespace()  # type: ignore[assignment]
    part._end_streak(48 * NS_PER_HOUR)
    assert books.losing_streak == 4
    assert not records


def test_without_a_policy_nothing_is_said_of_a_streak() -> None:
    """The policy alone asks for it, by the limits of its profile: what is traded does not depend on the profile."""
    part, books, records = judging((4, 0, 0), 2, enabled=False)
    part._end_streak(48 * NS_PER_HOUR)
    assert books.losing_streak == 0
    assert not records
