"""Money paid into or out of another bot's account is neither profit nor loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.app.guard.test_guarded_bots import World, ask, codes, exit_of

from quantum_trader.app.guard.report import guard_report
from quantum_trader.app.guard.service import GuardService
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import InputError, StateError


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A guard's folders with rising hourly bars of BTCUSDT; the bot ``mine`` is ENFORCED."""
    found = World(tmp_path)
    found.enforce()
    return found


def drawdown_pct(guard: GuardService) -> float:
    """Return how far the bot's equity is below the day's peak."""
    (bot,) = guard.state().bots
    assert bot.equity is not None
    assert bot.day_peak is not None
    return (bot.equity / bot.day_peak - 1.0) * 100.0


def test_a_withdrawal_is_no_loss_where_the_bot_says_so(world: World) -> None:
    """Half the account paid out: permitted with paid_in; a bot that leaves it out is closed by rule B1."""
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0, paid_in=8_000.0))
        told = guard.decide(ask("2", equity=5_000.0, paid_in=3_000.0))
        assert drawdown_pct(guard) == 0.0
        untold = guard.decide(ask("3", equity=4_800.0))

    assert (told.allow, told.reason) == (True, "")
    assert (untold.allow, codes(untold)) == (False, ["B1"])


def test_a_deposit_hides_no_loss(world: World) -> None:
    """2 % lost, then as much paid in as there was: the loss stays 2 %, and another 1.3 % closes the bot."""
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0, paid_in=0.0))
        guard.decide(ask("2", equity=9_800.0, paid_in=0.0))
        paid = guard.decide(ask("3", equity=19_600.0, paid_in=9_800.0))
        kept = drawdown_pct(guard)
        lost = guard.decide(ask("4", equity=19_340.0, paid_in=9_800.0))

    assert paid.allow
    assert kept == pytest.approx(-2.0, abs=1e-9)
    assert (lost.allow, codes(lost)) == (False, ["B1"])


def test_the_first_total_is_no_transfer(world: World) -> None:
    """A bot that begins to say what was paid in has the same peak as before; one that stops saying it, too."""
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0))
        guard.decide(ask("2", equity=9_800.0, paid_in=50_000.0))
        began = drawdown_pct(guard)
        guard.decide(ask("3", equity=9_800.0))
        guard.decide(ask("4", equity=9_800.0, paid_in=50_000.0))
        again = drawdown_pct(guard)
    (report,) = guard_report(world.state)

    assert (began, again) == (pytest.approx(-2.0), pytest.approx(-2.0))
    assert (report.transfers, report.transferred) == (0, 0.0)


def test_a_report_of_a_fill_tells_a_transfer_too(world: World) -> None:
    """Its equity, positions and paid_in belong together; paid_in without them is refused."""
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0, paid_in=0.0))
        guard.fill(exit_of("out", 1.0, equity=5_001.0, positions=(), paid_in=-5_000.0))
        after = guard.decide(ask("2", equity=5_001.0, paid_in=-5_000.0))
        with pytest.raises(InputError, match=r"paid_in = 5\.0: give it with equity and positions"):
            exit_of("other", 1.0, paid_in=5.0)
    (report,) = guard_report(world.state)

    assert after.allow
    assert (report.transfers, report.transferred) == (1, -5_000.0)


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_kill_at_a_transfer_counts_it_once(world: World, is_saved: bool) -> None:
    """Whether or not the policy's file had it: the journal has, and the start settles the two."""
    policy = world.journal.with_name("policy.json")
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0, paid_in=0.0))
        guard.decide(ask("2", equity=9_900.0, paid_in=0.0))
        before = policy.read_bytes()
        bot = guard.bot("mine")
        if not is_saved:
            bot.policy.note_transfer = lambda amount: None  # type: ignore[method-assign]  # killed before it
        bot.observe(ask("3", equity=4_950.0, paid_in=-4_950.0).account, [], world.clock())
    if not is_saved:
        policy.write_bytes(before)
    with world.guard() as guard:
        world.clock.now_ns += NS_PER_SECOND
        after = guard.decide(ask("4", equity=4_950.0, paid_in=-4_950.0))
        kept = drawdown_pct(guard)

    assert after.allow
    assert kept == pytest.approx(-1.0)


def test_a_transfer_that_cannot_be_recorded_permits_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted with the next question that can be recorded, once."""
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0, paid_in=0.0))

        def full(*_: Any, **__: Any) -> None:
            raise StateError("journal.jsonl: No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(guard.bot("mine").journal, "append", full)
            refused = guard.decide(ask("2", equity=5_000.0, paid_in=-5_000.0))
        after = guard.decide(ask("3", equity=5_000.0, paid_in=-5_000.0))
    (report,) = guard_report(world.state)

    assert (refused.allow, codes(refused)) == (False, ["STATE"])
    assert "No space left" in refused.reason
    assert after.allow
    assert (report.transfers, report.transferred) == (1, -5_000.0)
