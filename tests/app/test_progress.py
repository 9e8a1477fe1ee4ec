"""Progress: never more than ten frames a second, lines where there is no terminal, a dashboard where there is."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console
from tests.app.sample import START_NS, facts

from quantum_trader.app.runs.progress import (
    LineProgress,
    LiveProgress,
    Throttle,
    dashboard,
    progress_for,
    progress_line,
)
from quantum_trader.app.runs.results import EventLine, PolicyView, ProgressView, ShadowTotals


def view(**changes: object) -> ProgressView:
    """A moment in the middle of a run."""
    policy = PolicyView(
        profile="SAFE", mode="OBSERVE", allow_new_trades=False, risk_profile="NO_NEW_TRADES", min_confidence=0.58,
        max_risk_pct=0.32, entry_mode="DEFENSIVE", exit_mode="FAST_TP", note="RANGING; drawdown limit",
        bans=("XRPUSDT",),
    )
    base = ProgressView(
        ts_ns=START_NS, bars_done=50, bars_total=200, equity=9_900.0, return_pct=-1.0, drawdown_pct=-1.5,
        positions=facts(days=2).positions, policy=policy, signals=12, trades=3, refusals={"CONFIDENCE": 7},
        shadows=ShadowTotals(blocked=4, blocked_r=-2.5, allowed=6, allowed_r=1.0), halts=(),
        events=(EventLine(ts_ns=START_NS, kind="trade", text="BTCUSDT LONG closed +1.20 R"),),
    )
    return msgspec.structs.replace(base, **changes)


def drawn(frame: object, width: int = 100) -> str:
    """*frame* as text."""
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(frame)
    return console.export_text()


def test_a_throttle_is_due_once_an_interval() -> None:
    """However often it is asked."""
    now = [0.0]
    throttle = Throttle(0.1, lambda: now[0])
    due = 0
    for step in range(1_000):
        now[0] = step / 1_000.0
        due += throttle.due()

    assert due == 9


def test_a_line_says_time_share_equity_and_halts() -> None:
    """The line for a log."""
    line = progress_line(view(halts=("daily loss",)), 2.0)

    for words in ("2017-10-01 00:00", "25.0%", "25 bars/s", "9,900.00", "3 trades", "[daily loss]"):
        assert words in line


@pytest.mark.parametrize("height", [18, 24, 34, 60])
def test_the_dashboard_fits_the_terminal(height: int) -> None:
    """No more lines than the terminal has, at a usual and a small size."""
    text = drawn(dashboard(view(), [10_000.0, 9_950.0, 9_900.0], 2.0, 100, height))

    assert len(text.splitlines()) <= height
    for words in ("9,900.00 USDT", "stopped", "SAFE, observe", "XRPUSDT", "BTCUSDT", "-2.5 R"):
        assert words in text


def test_return_and_drawdown_are_told_apart() -> None:
    """10,018.78 of 10,000 is +0.19 %; 0.54 % below the peak is a drawdown, in the line and in the dashboard."""
    now = view(equity=10_018.78, return_pct=0.1878, drawdown_pct=-0.54)

    assert "equity 10,018.78 (return +0.19 %, drawdown -0.54 %)" in progress_line(now, 1.0)
    text = drawn(dashboard(now, [9_000.0, 10_018.78], 2.0, 100, 40))
    assert "+0.19 %" in text, "since the start of the run, not since the first frame"
    assert "-0.54 %" in text


def test_a_tall_dashboard_shows_events() -> None:
    """The newest lines of the feed."""
    assert "BTCUSDT LONG closed" in drawn(dashboard(view(), [1.0], 2.0, 100, 40))


def test_a_dashboard_without_policy_positions_and_events_is_drawn() -> None:
    """The first moment of a run without a policy."""
    empty = view(policy=None, positions=(), events=(), refusals={})

    assert "none" in drawn(dashboard(empty, [], 0.0, 80, 30), 80)


def test_a_halt_is_visible() -> None:
    """With its reason."""
    assert "daily loss" in drawn(dashboard(view(halts=("daily loss",)), [1.0], 1.0, 100, 40))


def test_a_pipe_gets_lines_and_a_terminal_the_dashboard() -> None:
    """Chosen by what the console is."""
    assert isinstance(progress_for(Console(file=io.StringIO())), LineProgress)
    assert isinstance(progress_for(Console(file=io.StringIO(), force_terminal=True, width=120)), LiveProgress)
    assert isinstance(progress_for(Console(file=io.StringIO(), force_terminal=True, width=60)), LineProgress)


def test_the_live_dashboard_cleans_up_after_itself() -> None:
    """What it drew is gone when it ends, so that the report stands alone."""
    screen = io.StringIO()
    with LiveProgress(Console(file=screen, force_terminal=True, width=100, height=40), clock=lambda: 0.0) as live:
        live.show(view())

    assert "9,900.00 USDT" in screen.getvalue()
    assert screen.getvalue().count("\x1b[2K") >= 30, "each line it drew is erased"
