"""The governor: levels, how each ends, and that nothing forgets."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_CAUTIOUS, GOV_DEFENSIVE, GOV_EMERGENCY, GOV_NORMAL, GovernorLevel
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.risk.governor import (
    HOLD_S,
    Health,
    LevelChange,
    SafetyGovernor,
    governor_resume,
    health_level,
    level_factors,
    operator_resumes,
    risk_level,
)

S = NS_PER_SECOND


def _governor(*equities: float) -> SafetyGovernor:
    governor = SafetyGovernor()
    for at, equity in enumerate(equities):
        governor.update(equity, at * S)
    return governor


@pytest.mark.parametrize(
    ("level", "factors"),
    [(GOV_NORMAL, (1.0, 1.0, 1.0)), (GOV_CAUTIOUS, (0.75, 0.75, 0.85)), (GOV_DEFENSIVE, (0.5, 0.5, 0.6)),
     (GOV_EMERGENCY, (0.0, 0.0, 0.0)), (9, (0.0, 0.0, 0.0)), (-1, (0.0, 0.0, 0.0))],
)
def test_factors_are_the_table(level: int, factors: tuple[float, float, float]) -> None:
    """Size, leverage, exposure by level; an unknown level allows nothing."""
    assert level_factors(level) == factors


@pytest.mark.parametrize(
    ("drawdown", "losses", "level"),
    [
        (0.0, 0, GOV_NORMAL), (4.999, 4, GOV_NORMAL), (5.0, 0, GOV_CAUTIOUS), (0.0, 5, GOV_CAUTIOUS),
        (6.499, 6, GOV_CAUTIOUS), (6.5, 0, GOV_DEFENSIVE), (0.0, 7, GOV_DEFENSIVE), (7.999, 7, GOV_DEFENSIVE),
        (8.0, 0, GOV_EMERGENCY), (0.0, 8, GOV_EMERGENCY), (100.0, 99, GOV_EMERGENCY), (math.nan, 0, GOV_EMERGENCY),
        (0.0, math.nan, GOV_EMERGENCY), (math.inf, 0, GOV_EMERGENCY),
    ],
)
def test_risk_level_at_its_thresholds(drawdown: float, losses: float, level: int) -> None:
    """5 % or 5 losses, 6.5 % or 7, 8 % or 8; unknown is the worst."""
    assert risk_level(drawdown, losses) == level


@given(st.floats(0.0, 20.0), st.floats(0.0, 20.0), st.integers(0, 12), st.integers(0, 12))
def test_worse_never_gives_a_milder_level(one: float, two: float, few: int, many: int) -> None:
    """Monotone in drawdown and in losses."""
    assert risk_level(min(one, two), min(few, many)) <= risk_level(max(one, two), max(few, many))


@pytest.mark.parametrize(
    ("health", "level"),
    [
        (Health(), GOV_NORMAL), (Health(lag_s=5.0), GOV_CAUTIOUS), (Health(lag_s=30.0), GOV_DEFENSIVE),
        (Health(lag_s=300.0), GOV_EMERGENCY), (Health(connected=False), GOV_DEFENSIVE),
        (Health(clock_offset_ms=-500.0), GOV_CAUTIOUS), (Health(clock_offset_ms=1000.0), GOV_DEFENSIVE),
        (Health(queue_fill=0.949), GOV_NORMAL), (Health(queue_fill=0.95), GOV_DEFENSIVE),
        (Health(lag_s=math.nan), GOV_DEFENSIVE), (Health(clock_offset_ms=math.nan), GOV_DEFENSIVE),
        (Health(queue_fill=math.nan), GOV_DEFENSIVE),
    ],
)
def test_health_raises_the_level(health: Health, level: int) -> None:
    """Lag, connection, clock and queue each raise it; an unknown reading is never normal."""
    assert health.level == level
    governor = _governor(100.0)
    governor.update(100.0, S, health)
    assert governor.code == level


def test_health_level_treats_an_unknown_connection_as_lost() -> None:
    """Anything but 1.0 is not connected."""
    assert health_level(0.0, math.nan, 0.0, 0.0) == GOV_DEFENSIVE


@given(st.lists(st.floats(50.0, 150.0), min_size=1, max_size=60))
def test_the_level_is_never_below_what_drawdown_from_the_all_time_peak_calls_for(path: list[float]) -> None:
    """Holds at every step of any equity path; and the governor never leaves EMERGENCY by itself."""
    governor, peak, emergency = SafetyGovernor(), 0.0, False
    for at, equity in enumerate(path):
        governor.update(equity, at * 7200 * S)
        peak = max(peak, equity)
        assert governor.peak == peak
        assert governor.code >= risk_level((peak - equity) * 100.0 / peak, 0)
        emergency = emergency or governor.code == GOV_EMERGENCY
        assert not emergency or governor.code == GOV_EMERGENCY


def test_levels_end_by_themselves_after_the_hold_with_hysteresis() -> None:
    """CAUTIOUS at 5 %; 4.5 % is not enough; below 4 % for 15 minutes is."""
    governor = _governor(100.0, 95.0)
    hold = int(HOLD_S)
    assert governor.level is GovernorLevel.CAUTIOUS
    governor.update(95.5, 10_000 * S)
    governor.update(95.5, 20_000 * S)
    assert governor.level is GovernorLevel.CAUTIOUS
    governor.update(96.5, 30_000 * S)
    governor.update(96.5, (30_000 + hold - 1) * S)
    assert governor.level is GovernorLevel.CAUTIOUS
    change = governor.update(96.5, (30_000 + hold) * S)
    assert change is not None
    assert (change.before, change.after) == (GovernorLevel.CAUTIOUS, GovernorLevel.NORMAL)


def test_levels_are_left_one_at_a_time() -> None:
    """From DEFENSIVE through CAUTIOUS, a hold each; a relapse starts the hold again."""
    governor, hold = _governor(100.0, 93.0), int(HOLD_S)
    assert governor.level is GovernorLevel.DEFENSIVE
    governor.update(99.0, 100 * S)
    governor.update(94.0, 200 * S)  # 6 %: the calm is broken
    governor.update(99.0, 300 * S)
    governor.update(99.0, (299 + hold) * S)
    assert governor.level is GovernorLevel.DEFENSIVE
    governor.update(99.0, (300 + hold) * S)
    assert governor.level is GovernorLevel.CAUTIOUS
    governor.update(99.0, (300 + 2 * hold) * S)
    assert governor.level is GovernorLevel.NORMAL


def test_a_clock_set_back_does_not_shorten_the_hold() -> None:
    """The calm is counted anew from the earlier time."""
    governor = _governor(100.0, 95.0)
    governor.update(99.0, 10_000 * S)
    governor.update(99.0, 5_000 * S)
    governor.update(99.0, (5_000 + int(HOLD_S) - 1) * S)
    assert governor.level is GovernorLevel.CAUTIOUS
    governor.update(99.0, (5_000 + int(HOLD_S)) * S)
    assert governor.level is GovernorLevel.NORMAL


def test_losses_in_a_row_raise_at_once_and_a_win_ends_the_streak() -> None:
    """Five losses CAUTIOUS, seven DEFENSIVE, eight EMERGENCY; zero changes nothing; an unknown result is a loss."""
    governor = _governor(100.0)
    changes = [governor.note_trade(pnl, S) for pnl in (-1.0, -1.0, 0.0, math.nan, -1.0, -1.0)]
    assert changes[-1] is not None
    assert changes[-1].after is GovernorLevel.CAUTIOUS
    assert changes[-1].cause == "losses in a row"
    assert [governor.note_trade(-1.0, S) is not None for _ in range(3)] == [False, True, True]
    assert governor.level is GovernorLevel.EMERGENCY
    calm = _governor(100.0)
    for pnl in (-1.0, -1.0, -1.0, -1.0, 5.0, -1.0):
        calm.note_trade(pnl, S)
    assert (calm.losses, calm.level) == (1, GovernorLevel.NORMAL)


def test_emergency_is_a_halt_with_its_command_and_ends_only_by_resume() -> None:
    """Even at a new peak it stays; resume re-bases the peak and the streak, and needs a reason."""
    governor = _governor(100.0, 92.0)
    halt = governor.halt()
    assert halt is not None
    assert (halt.owner, halt.since_ns) == ("governor", S)
    assert "resume" in halt.command
    assert "drawdown" in halt.reason
    governor.update(120.0, 10**6 * S)
    assert governor.level is GovernorLevel.EMERGENCY
    assert governor.factors[0] == 0.0
    governor.update(92.0, 10**6 * S)
    with pytest.raises(InputError, match="reason"):
        governor.resume("  ", 10**6 * S)
    change = governor.resume("checked the books", 10**6 * S)
    assert isinstance(change, LevelChange)
    assert change.after is GovernorLevel.NORMAL
    assert (governor.peak, governor.losses, governor.halt()) == (92.0, 0, None)
    governor.update(92.0, 10**6 * S)
    assert governor.level is GovernorLevel.NORMAL
    with pytest.raises(StateError, match="only EMERGENCY"):
        governor.resume("again", 10**6 * S)


def test_unknown_equity_makes_it_safer_and_three_times_in_a_row_an_emergency() -> None:
    """One NaN is DEFENSIVE, not a halt; the third in a row is; resume waits for a known equity."""
    governor = _governor(100.0, math.nan)
    assert governor.level is GovernorLevel.DEFENSIVE
    governor.update(100.0, 2 * S)
    governor.update(math.inf, 3 * S)
    governor.update(math.nan, 4 * S)
    assert governor.level is GovernorLevel.DEFENSIVE
    governor.update(math.nan, 5 * S)
    assert governor.level is GovernorLevel.EMERGENCY
    with pytest.raises(StateError, match="equity"):
        governor.resume("looks fine", 6 * S)
    governor.update(100.0, 7 * S)
    assert governor.resume("account is back", 8 * S).after is GovernorLevel.NORMAL


@pytest.mark.parametrize("equity", [0.0, -10.0])
def test_equity_gone_is_an_emergency_even_at_the_first_look(equity: float) -> None:
    """No peak is needed to see it."""
    assert _governor(equity).level is GovernorLevel.EMERGENCY


@given(st.lists(st.tuples(st.floats(80.0, 120.0), st.floats(-5.0, 5.0)), min_size=1, max_size=40), st.integers(0, 40))
def test_a_restart_changes_nothing(steps: list[tuple[float, float]], cut: int) -> None:
    """Saved as JSON and loaded anywhere along the way, peak, streak, level and hold go on."""
    straight, restarted = SafetyGovernor(), SafetyGovernor()
    for at, (equity, pnl) in enumerate(steps):
        if at == cut:
            saved = json.loads(json.dumps(restarted.state()))
            restarted = SafetyGovernor()
            assert restarted.load_state(saved, at * 600 * S)
        for governor in (straight, restarted):
            governor.update(equity, at * 600 * S)
            governor.note_trade(pnl, at * 600 * S)
    assert restarted.state() == straight.state()


@pytest.mark.parametrize(
    "state",
    [None, "x", {}, {"version": 2}, {"version": 1, "row": [0.0]}, {"version": 1, "row": [None] * 9},
     {"version": 1, "row": [7.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]},
     {"version": 1, "row": [0.0, 1.0, -2.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]}],
)
def test_a_damaged_state_is_an_emergency(state: object) -> None:
    """Never normal; it ends by resume once equity is known."""
    governor = SafetyGovernor()
    assert not governor.load_state(state, 50 * S)
    halt = governor.halt()
    assert halt is not None
    assert "damaged" in halt.reason
    assert halt.since_ns == 50 * S
    governor.update(100.0, 51 * S)
    assert governor.resume("rebuilt from the journal", 52 * S).after is GovernorLevel.NORMAL


@pytest.mark.parametrize(
    ("since", "now", "hours", "expected"),
    [(0.0, 86_400.0, 24.0, True), (0.0, 86_399.0, 24.0, False), (0.0, 1e9, 0.0, False), (0.0, 1e9, -1.0, False),
     (0.0, 1e9, math.nan, False)],
)
def test_the_simulated_operator(since: float, now: float, hours: float, expected: bool) -> None:
    """Comes back after the hours it was given, and never when given none."""
    assert operator_resumes(since, now, hours) is expected


def test_resume_of_a_row_does_nothing_outside_emergency() -> None:
    """Neither a milder level nor an unknown equity is resumed."""
    governor = _governor(100.0, 95.0)
    before = list(governor.row)
    assert not governor_resume(governor.row, 95.0, 9)
    assert governor.row == before
    worse = _governor(100.0, 90.0)
    assert not governor_resume(worse.row, math.nan, 9)
    assert worse.code == GOV_EMERGENCY


def test_three_lines_govern_another_bot() -> None:
    """6 % below the peak: three quarters of size and leverage."""
    governor = SafetyGovernor()
    for at, equity in enumerate((10_000.0, 9_400.0)):
        governor.update(equity, at * S)
    assert governor.factors == (0.75, 0.75, 0.85)


@pytest.mark.parametrize("amount", [-5_000.0, 5_000.0])
def test_money_paid_in_or_out_is_no_drawdown_and_hides_none(amount: float) -> None:
    """Half of the account paid out, or in, changes no level; 5 % lost afterwards does."""
    governor = _governor(10_000.0)
    governor.note_transfer(amount)
    assert governor.update(10_000.0 + amount, S) is None
    change = governor.update((10_000.0 + amount) * 0.95, 2 * S)
    assert change is not None
    assert change.after is GovernorLevel.CAUTIOUS
    with pytest.raises(InputError, match="amount"):
        governor.note_transfer(math.inf)
    governor.note_transfer(-1e9)
    assert governor.peak == 0.0
