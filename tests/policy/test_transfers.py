"""Money paid in or out is no profit, loss or drawdown: for the policy library and for its compiled form."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR, to_ns
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.loss_window import empty_ring, newest_equity, scale_ring
from quantum_trader.market.jit import compiled
from quantum_trader.policy import OrchestratorConfig, OrchestratorPolicy, RiskState
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import SlotPolicy
from quantum_trader.policy.stability import new_memory, scale_memory

MORNING = datetime(2024, 5, 1, 6, tzinfo=UTC)  # the profile limits the daily loss to 3 %


class Library:
    """The object policy, given the equity alone."""

    def __init__(self) -> None:
        self.policy = OrchestratorPolicy(OrchestratorConfig())

    def allows(self, hours: float, equity: float) -> bool:
        """Whether new trades are allowed at *hours* after the start."""
        risk = RiskState(daily_pnl_pct=0.0, current_drawdown_pct=0.0, equity=equity)
        now = MORNING + timedelta(hours=hours)
        return self.policy.update_policy("TRENDING", "NORMAL", risk, now=now).allow_new_trades

    def transfer(self, amount: float) -> None:
        """Pay *amount* in."""
        self.policy.note_transfer(amount)


class Compiled:
    """The compiled policy of one calm symbol, given the equity alone."""

    def __init__(self) -> None:
        self.policy, self.ring = SlotPolicy(OrchestratorConfig(), ("A",)), np.array(empty_ring())
        row = self.policy.inputs[1]
        row[[pol.IN_TREND, pol.IN_DIRECTION, pol.IN_VOLUME_RATIO, pol.IN_TAG]] = 1.0
        row[pol.IN_VOL_RATIO], row[pol.IN_COST_IN_R] = 0.01, 0.05
        self.policy.account[pol.ACC_QUALITY] = 0.6

    def allows(self, hours: float, equity: float) -> bool:
        """Whether new trades are allowed at *hours* after the start."""
        self.policy.account[[pol.ACC_EQUITY, pol.ACC_DRAWDOWN_PCT]] = equity, 0.0
        self.policy.step((to_ns(MORNING) + int(hours * NS_PER_HOUR)) / 1e9, self.ring)
        return bool(self.policy.out[0, pol.OUT_ALLOW])

    def transfer(self, amount: float) -> None:
        """Pay *amount* in."""
        equity = newest_equity(self.ring)
        scale_memory(self.policy.mem, equity, amount)
        scale_ring(self.ring, equity, amount)


@pytest.fixture(params=[Library, Compiled])
def account(request: pytest.FixtureRequest) -> Library | Compiled:
    """Either form of the policy."""
    made: Library | Compiled = request.param()
    return made


def test_a_withdrawal_above_the_daily_limit_closes_nothing(account: Library | Compiled) -> None:
    """3.1 % paid out, at the same hour and the next: trading stays open, today and tomorrow."""
    assert account.allows(0.0, 10_000.0)
    account.transfer(-310.0)
    assert account.allows(0.1, 9_690.0)
    assert account.allows(1.0, 9_690.0)
    assert account.allows(23.0, 9_690.0)


def test_a_loss_after_a_withdrawal_is_measured_from_what_remains(account: Library | Compiled) -> None:
    """5,000 of 10,000 paid out; 140 lost of the rest (2.8 %) is inside the limit, 160 (3.2 %) is not."""
    assert account.allows(0.0, 10_000.0)
    account.transfer(-5_000.0)
    assert account.allows(0.1, 4_860.0)
    assert not account.allows(0.2, 4_840.0)


def test_a_withdrawal_makes_no_loss_larger(account: Library | Compiled) -> None:
    """2 % lost, then half of the account paid out: the loss is 2 % still, not 4 %."""
    assert account.allows(0.0, 10_000.0)
    assert account.allows(0.1, 9_800.0)
    account.transfer(-4_900.0)
    assert account.allows(0.2, 4_900.0)
    assert not account.allows(0.3, 4_840.0)


def test_a_deposit_hides_no_loss(account: Library | Compiled) -> None:
    """400 lost of 10,000 while 400 is paid in: the equity is what it was, and rule B1 is in force."""
    assert account.allows(0.0, 10_000.0)
    account.transfer(400.0)
    assert not account.allows(0.1, 10_000.0)


@pytest.mark.parametrize("amount", [200.0, 20_000.0])
def test_a_deposit_does_not_lift_a_latch(account: Library | Compiled, amount: float) -> None:
    """4 % lost in the evening, money paid in at night: the 24-hour loss stays 4 % and is in force until a day old."""
    assert account.allows(12.0, 10_000.0)
    assert not account.allows(16.0, 9_600.0)
    account.transfer(amount)
    for hours in (19.0, 25.0, 35.0):  # 01:00, 07:00 and 17:00 of the next day
        assert not account.allows(hours, 9_600.0 + amount)
    opened = [account.allows(41.0 + step / 6.0, 9_600.0 + amount) for step in range(12)]
    assert opened[-1]


def test_without_a_transfer_the_same_equities_close_trading(account: Library | Compiled) -> None:
    """What the transfers above change: 3.1 % less is a loss."""
    assert account.allows(0.0, 10_000.0)
    assert not account.allows(0.1, 9_690.0)


def test_only_the_days_peak_changes() -> None:
    """An empty memory stays empty; clock, day, latch and halt stay; the compiled form gives the same bits."""
    memory = new_memory()
    scale_memory(memory, 90.0, 50.0)
    assert memory == new_memory()
    memory[:] = [7.0, 3.0, 100.0, 2.0, 1.0]
    scale_memory(memory, 90.0, -45.0)
    assert memory == [7.0, 3.0, 50.0, 2.0, 1.0]
    array = np.array(memory)
    compiled(scale_memory)(array, 45.3, -0.7)
    scale_memory(memory, 45.3, -0.7)
    assert repr(array.tolist()) == repr(memory)


def test_a_transfer_is_saved_and_must_be_a_number(tmp_path: Path) -> None:
    """The moved peak is in force after a restart; NaN is refused by name."""
    path = tmp_path / "policy.json"
    policy = OrchestratorPolicy(OrchestratorConfig(), state_path=path)
    risk = RiskState(daily_pnl_pct=0.0, current_drawdown_pct=0.0, equity=10_000.0)
    policy.update_policy("TRENDING", "NORMAL", risk, now=MORNING)
    policy.note_transfer(-310.0)
    again = OrchestratorPolicy(OrchestratorConfig(), state_path=path)
    after = RiskState(daily_pnl_pct=0.0, current_drawdown_pct=0.0, equity=9_690.0)
    assert again.update_policy("TRENDING", "NORMAL", after, now=MORNING + timedelta(minutes=5)).allow_new_trades
    with pytest.raises(InputError, match="amount"):
        policy.note_transfer(math.nan)
