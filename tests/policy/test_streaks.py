"""Losing streaks that end without a trade, as the library counts them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.policy import OrchestratorPolicy, RiskState, TradingPolicy, load_profile
from quantum_trader.policy.core import next_streak
from quantum_trader.policy.profiles import profile_vector
from quantum_trader.policy.streaks import NO_SHADOWS, StreakWatch, streak_ends

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR_S = 3_600.0
SAFE = profile_vector(load_profile("SAFE"))


def ask(policy: OrchestratorPolicy, hour: float, losing: int = 4, **more: Any) -> TradingPolicy:
    risk = RiskState(losing_streak=losing, **more)
    return policy.update_policy("TRENDING", "NORMAL", risk, direction="UP", now=NOON + timedelta(hours=hour))


@pytest.mark.parametrize(
    ("streak", "flat_h", "shadow_wins", "ends"),
    [
        ((4, 0, 0), 71.9, NO_SHADOWS, False),
        ((4, 0, 0), 72.0, NO_SHADOWS, True),
        ((1, 0, 0), 72.0, NO_SHADOWS, True),  # the penalty per loss
        ((0, 4, 1), 72.0, NO_SHADOWS, True),  # B2 is latched
        ((0, 4, 2), 72.0, NO_SHADOWS, False),  # it is not
        ((0, 3, 0), 72.0, NO_SHADOWS, False),
        ((4, 0, 0), 500.0, 0, False),  # there are shadow trades: they decide
        ((4, 0, 0), 24.0, 1, False),
        ((4, 0, 0), 23.9, 2, False),
        ((4, 0, 0), 24.0, 2, True),
        ((0, 4, 0), 24.0, 2, True),
    ],
)
def test_when_a_streak_ends_without_a_trade(
    streak: tuple[int, int, int], flat_h: float, shadow_wins: int, ends: bool
) -> None:
    """24 h flat and recovery_after_streak (2) shadow wins; without shadow trades 72 h flat."""
    assert streak_ends(*streak, flat_h * HOUR_S, shadow_wins, 4.0, 2.0) is ends


def test_a_streak_ends_after_72_flat_hours_with_its_reason_and_b2_with_it() -> None:
    """SAFE after four losses: 0.60 and a fraction of the risk; flat for 72 hours: 0.55 and the whole of it."""
    policy = OrchestratorPolicy(load_profile("SAFE"))
    tight = ask(policy, 0)
    assert (tight.min_confidence, tight.entry_mode) == (pytest.approx(0.60), "DEFENSIVE")
    assert ask(policy, 71).min_confidence == pytest.approx(0.60)
    for hour in range(72, 82):
        got = ask(policy, hour)
    assert (got.min_confidence, got.max_risk_pct) == (pytest.approx(0.55), pytest.approx(0.72))
    assert got.entry_mode == "NORMAL"
    assert "B2-END losing streak ended: 72 h without a position (losing_streak 4 → 0)" in got.note


def test_an_open_position_or_a_closed_trade_begins_the_72_hours_again() -> None:
    """Flat means no position, and the same figures."""
    watch = StreakWatch()
    assert watch.see((4, 0, 0), 0, 0.0, SAFE) == (4, 0, 0)
    assert watch.see((4, 0, 0), 1, 71 * HOUR_S, SAFE) == (4, 0, 0)
    assert watch.see((4, 0, 0), 0, 73 * HOUR_S, SAFE) == (4, 0, 0)
    assert watch.see((5, 0, 0), 0, 144 * HOUR_S, SAFE) == (5, 0, 0)
    assert watch.see((5, 0, 0), 0, 215 * HOUR_S, SAFE) == (5, 0, 0)
    assert watch.see((5, 0, 0), 0, 216 * HOUR_S, SAFE) == (0, 0, 0)


@pytest.mark.parametrize("then", [(True,), (False, True), (False, False, False, False, True, False), (False,) * 5])
def test_what_has_ended_stays_ended_while_the_caller_goes_on_counting(then: tuple[bool, ...]) -> None:
    """A caller that counts on from four lost trades is judged like one that began to count at the end of the streak."""
    watch, given, fresh = StreakWatch(), (4, 0, 0), (0, 0, 0)
    watch.see(given, 0, 0.0, SAFE)
    assert watch.see(given, 0, 72 * HOUR_S, SAFE) == fresh
    for place, won in enumerate(then):
        given, fresh = next_streak(*given, won, 2), next_streak(*fresh, won, 2)
        assert watch.see(given, 0, (73 + place) * HOUR_S, SAFE) == fresh


@pytest.mark.parametrize("seed", range(20))
def test_the_library_counts_like_the_engine_which_forgets_what_has_ended(seed: int) -> None:
    """Any trades with 72 flat hours between some of them: the engine's figures, whatever the caller's are."""
    draw, watch = random.Random(seed), StreakWatch()
    given, engine, now_s = (0, 0, 0), (0, 0, 0), 0.0
    for _ in range(400):
        won = draw.random() < 0.3
        given, engine = next_streak(*given, won, 2), next_streak(*engine, won, 2)
        now_s += HOUR_S
        assert watch.see(given, 0, now_s, SAFE) == engine
        if draw.random() < 0.1:
            now_s += 72 * HOUR_S
            if streak_ends(*engine, 72 * HOUR_S, NO_SHADOWS, 4.0, 2.0):
                engine = (0, 0, 0)
            assert watch.see(given, 0, now_s, SAFE) == engine
            again = StreakWatch()
            again.load(watch.saved())
            watch = again


def test_a_win_after_a_streak_that_ended_leaves_rule_b2_in_force() -> None:
    """L, 72 h flat, LLLL W LLLL W: the caller's own streak of five is recovered from, the one of four is not."""
    watch, given = StreakWatch(), (1, 0, 0)
    watch.see(given, 0, 0.0, SAFE)
    watch.see(given, 0, 72 * HOUR_S, SAFE)
    for place, letter in enumerate("LLLLWLLLLW"):
        given = next_streak(*given, letter == "W", 2)
        got = watch.see(given, 0, (73 + place) * HOUR_S, SAFE)
    assert (given, got) == ((0, 5, 2), (0, 4, 1))
    assert watch.holds(SAFE)


def test_a_state_saved_before_counts_on() -> None:
    """Files with what has ended in place of what counts."""
    watch = StreakWatch()
    watch.load({"losing_streak": 5, "broken_streak": 0, "wins_since": 0, "flat_since_s": 0, "ended_losing": 4,
                "ended_broken": 0})
    assert watch.counted() == (1, 0, 0)
    watch.load({"losing_streak": 3, "broken_streak": 4, "wins_since": 1})
    assert watch.counted() == (3, 4, 1)


def test_several_trades_between_two_evaluations_are_counted() -> None:
    """Wins, then losses, in one step; and a caller that gives its losing streak alone."""
    watch = StreakWatch()
    watch.see((4, 0, 0), 0, 0.0, SAFE)
    watch.see((4, 0, 0), 0, 72 * HOUR_S, SAFE)
    assert watch.see((2, 4, 2), 0, 73 * HOUR_S, SAFE) == (2, 0, 2)
    alone = StreakWatch()
    alone.see((4, 0, 0), 0, 0.0, SAFE)
    alone.see((4, 0, 0), 0, 72 * HOUR_S, SAFE)
    assert alone.see((1, 0, 0), 0, 73 * HOUR_S, SAFE) == (1, 0, 0)


def test_the_end_of_a_streak_survives_a_restart(tmp_path: Path) -> None:
    """The hours before it count, and what has ended stays ended."""
    first = OrchestratorPolicy(load_profile("SAFE"), state_path=tmp_path / "policy.json")
    ask(first, 0)
    again = OrchestratorPolicy(load_profile("SAFE"), state_path=tmp_path / "policy.json")
    assert "B2-END" in ask(again, 72).note
    last = OrchestratorPolicy(load_profile("SAFE"), state_path=tmp_path / "policy.json")
    assert "B2-END" in ask(last, 73).note


def test_time_alone_ends_a_streak_for_a_caller_that_gives_the_same_inputs_again() -> None:
    """The same risk state, the very object, at 0 h and at 72 h."""
    policy, risk = OrchestratorPolicy(load_profile("SAFE")), RiskState(losing_streak=4)
    for hour in (0, 1, 2, 72):
        got = policy.update_policy("TRENDING", "NORMAL", risk, direction="UP", now=NOON + timedelta(hours=hour))
    assert "B2-END" in got.note
