"""Money that moves changes no percentage that anything judges: loss limits, governor and policy decide as without it.

One account trades, another makes the same percentages while money is paid in and out of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_MINUTE, NS_PER_SECOND, to_ns
from quantum_trader.engine.account import Account
from quantum_trader.policy import OrchestratorConfig, OrchestratorPolicy, RiskState
from quantum_trader.policy.compiled import new_mem
from quantum_trader.policy.profiles import profile_vector
from quantum_trader.policy.stability import account_step
from quantum_trader.risk import RiskGuard, SafetyGovernor
from quantum_trader.risk.governor import GOV_ROW_EQUITY, GOV_ROW_LEVEL, GOV_ROW_PEAK, governor_step
from quantum_trader.risk.limits import losses_latched, losses_pct, record_losses

START = to_ns(datetime(2024, 5, 1, 20, tzinfo=UTC))
CONFIG = OrchestratorConfig()
VECTOR = profile_vector(CONFIG)
LOSS_LIMIT_PCT = 5.0

# Minutes to the next mark; the change until then in tenths of a percent (the fraction keeps off every limit); the
# equity after a transfer as a share of the equity before it, 1.0: none.
MARKS = st.lists(
    st.tuples(st.integers(1, 600), st.integers(-30, 30), st.one_of(st.just(1.0), st.floats(1e-4, 1e4))), max_size=25
)


class Judged(Protocol):
    """Something that judges an account."""

    def mark(self, now_ns: int, equity: float) -> tuple[list[float], tuple[Any, ...]]:
        """Note *equity*; returns percentages, and what was decided by them."""

    def transfer(self, amount: float) -> None:
        """Money is paid in or out."""


class Library:
    """The three objects for another program."""

    def __init__(self) -> None:
        self.guard, self.governor, self.policy = RiskGuard(), SafetyGovernor(), OrchestratorPolicy(CONFIG)

    def mark(self, now_ns: int, equity: float) -> tuple[list[float], tuple[Any, ...]]:
        """Losses and the governor's drawdown in percent; latches, level, permission."""
        self.guard.note_equity(now_ns, equity)
        self.governor.update(equity, now_ns)
        risk = RiskState(daily_pnl_pct=0.0, current_drawdown_pct=0.0, equity=equity)
        policy = self.policy.update_policy("TRENDING", "NORMAL", risk, now=now_ns)
        drawdown = (equity / self.governor.peak - 1.0) * 100.0
        decided = (
            len(self.guard.halts()), self.governor.code, self.policy.latched, policy.allow_new_trades,
            [rule.rule for rule in policy.rules],
        )
        return [*losses_pct(self.guard._losses, equity), drawdown], decided

    def transfer(self, amount: float) -> None:
        """Note the transfer in guard, governor and policy."""
        for one in (self.guard, self.governor, self.policy):
            one.note_transfer(amount)


class Engine:
    """The engine's account, stepped as the engine steps it."""

    def __init__(self) -> None:
        self.account = Account(("A",), 0.0, 2, new_mem())

    def mark(self, now_ns: int, equity: float) -> tuple[list[float], tuple[Any, ...]]:
        """Losses, the governor's and the day's drawdown in percent; latches, level."""
        account = self.account
        account.equity = equity
        record_losses(account.losses, now_ns, equity, LOSS_LIMIT_PCT)
        governor_step(account.governor, equity, now_ns // NS_PER_SECOND, 0)
        rolling, midnight = losses_pct(account.losses, equity)
        day, latched = account_step(
            account.policy_memory, account.losses, float(now_ns // NS_PER_SECOND), midnight, 0.0, equity, VECTOR
        )
        drawdown = (equity / account.governor[GOV_ROW_PEAK] - 1.0) * 100.0
        decided = (losses_latched(account.losses), account.governor[GOV_ROW_LEVEL], latched)
        return [rolling, midnight, drawdown, day], decided

    def transfer(self, amount: float) -> None:
        """The account is the one that moves."""
        self.account.move_money(amount)


@pytest.mark.parametrize("kind", [Library, Engine])
@given(marks=MARKS)
def test_money_that_moves_changes_no_percentage_and_no_latch(kind: type[Judged], marks: list[Any]) -> None:
    """Any size at any moment: the same losses and drawdowns in percent, the same latches, level and permission."""
    still, moved = kind(), kind()
    now_ns, equity, share = START, 10_000.0, 1.0
    for minutes, tenths, wanted in marks:
        now_ns += minutes * NS_PER_MINUTE
        equity *= 1.0 + (tenths + 0.0137) / 1000.0
        transfer = wanted if 1e-3 < share * wanted < 1e6 else 1.0
        percentages, decided = still.mark(now_ns, equity)
        with_transfers, also_decided = moved.mark(now_ns, equity * share)
        assert with_transfers == pytest.approx(percentages, abs=1e-7)
        assert also_decided == decided
        moved.transfer(equity * share * (transfer - 1.0))
        share *= transfer


def test_a_resume_after_a_transfer_starts_from_the_money_that_is_there() -> None:
    """EMERGENCY, half of the account paid out, resumed before the next equity: that equity is no drawdown."""
    governor = SafetyGovernor()
    for second, equity in enumerate((10_000.0, 9_000.0)):
        governor.update(equity, second * NS_PER_SECOND)
    governor.note_transfer(-4_500.0)
    assert governor.row[GOV_ROW_EQUITY] == 4_500.0
    governor.resume("seen", 2 * NS_PER_SECOND)
    assert governor.update(4_500.0, 3 * NS_PER_SECOND) is None
