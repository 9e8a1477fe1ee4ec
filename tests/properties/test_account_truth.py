"""What limits judge changes by what happens to the account, and by nothing else.

Money that moves, fees that another coin pays, bars of the past and another client's trades are given to a live engine
in any order; a plain account beside it books what really happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.live.live_world import MINUTE, START, SYMBOL, World, held, look, orders, twice

from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.live.inputs import MoneyTransferred, SessionStarted
from quantum_trader.risk.governor import GOV_ROW_PEAK

FIRST = 1500  # the first bar behind the warm world's
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

STEPS = st.lists(st.one_of(
    st.tuples(st.just("bar"), st.integers(-8, 8)),  # the price moves by so many tenths of a percent
    st.tuples(st.just("transfer"), st.sampled_from([-3_000.0, -500.0, 700.0, 20_000.0])),
    st.tuples(st.just("coin fee"), st.sampled_from([0.5, 5.0, 40.0])),
    st.tuples(st.just("client"), st.sampled_from([-0.2, 0.1, 0.2, 0.3])),  # another client trades so much
    st.tuples(st.just("old bar"), st.integers(-300, 300)),  # a bar of the past at another price
), max_size=14)


class Truth:
    """The same account on paper: cash, one position, and the results since the beginning as a share of the account."""

    def __init__(self) -> None:
        self.cash, self.qty, self.entry, self.price = 10_000.0, 0.0, 0.0, 10_000.0
        self.index = self.peak = 1.0
        self._equity = self.cash

    def equity(self) -> float:
        """Equity at the price of now."""
        return self.cash + self.qty * (self.price - self.entry)

    def result(self, moved: float = 0.0) -> None:
        """Chain what the account has earned since the last time; *moved* is no part of it."""
        self.index *= (self.equity() - moved) / self._equity
        self._equity = self.equity()

    def bar(self, price: float) -> None:
        """The price moves; the peak is that of bar closes."""
        self.price = price
        self.result()
        self.peak = max(self.peak, self.index)

    def trade(self, qty: float, price: float) -> None:
        """A trade of *qty* (signed) at *price*."""
        if self.qty * qty < 0.0:
            closed = min(abs(qty), abs(self.qty)) * (1.0 if self.qty > 0.0 else -1.0)
            self.cash += closed * (price - self.entry)
            self.qty, qty = self.qty - closed, qty + closed
        if qty != 0.0:
            self.entry = (self.qty * self.entry + qty * price) / (self.qty + qty)
            self.qty += qty


def accept(world: World, commands: list[Any]) -> None:
    """Let every order of *commands* rest, so that positions are protected."""
    for order in orders(commands):
        world.update(order, OrderStatus.NEW)


class Both:
    """A live engine and the account on paper."""

    def __init__(self, content: bytes) -> None:
        self.world, self.truth = World(), Truth()
        self.world.store.content = content
        self.world.session.recover()
        self.minute = FIRST
        self.price = 10_000.0
        self.moves = 0
        self.step("bar", 0)
        self.truth.peak = self.truth.index

    def drawdown_pct(self) -> float:
        """The engine's drawdown from its peak, percent."""
        account = self.world.engine.account
        return (account.equity / float(account.governor[GOV_ROW_PEAK]) - 1.0) * 100.0

    def step(self, kind: str, value: float) -> None:
        """Let something happen to both."""
        world, truth = self.world, self.truth
        if kind in ("transfer", "coin fee") and world.engine.market.is_past:
            self.step("bar", 0)  # a share of the account is exact only where the account is known
        if kind == "bar":
            self.price = round(self.price * (1.0 + value / 1000.0), 1)
            truth.bar(self.price)
            accept(world, world.bar(self.minute, self.price, 1_000.0))
            self.minute += 1
        elif kind == "transfer":
            amount = max(value, -0.3 * truth.cash)
            self.moves += 1
            world.tell(MoneyTransferred(ts_ns=world.now_ns + self.moves, amount=amount, move_id=f"m{self.moves}"))
            truth.cash += amount
            truth.result(amount)
        elif kind == "coin fee":
            self.trade(0.001, fee=value)
            truth.result(value)  # the wallet keeps it, and it is lost
        elif kind == "client":
            self.trade(value)
        else:  # a warm-up or a missed bar: the price was another one, and the account's is what it is
            price = self.price * (1.0 + value / 1000.0)
            world.bar(self.minute, price, 1_000.0, late_ns=60 * MINUTE)
            self.minute += 1

    def trade(self, qty: float, fee: float = 0.0) -> None:
        """Another client trades at the price of now; its fee is paid in BNB."""
        coin = {"fee_asset": "BNB", "fee": fee} if fee else {}
        side = OrderSide.BUY if qty > 0.0 else OrderSide.SELL
        accept(self.world, self.world.fill("web_1", abs(qty), self.price, side=side, **coin))
        self.truth.trade(qty, self.price)


@pytest.fixture(scope="module")
def begun(warm: bytes) -> Callable[[], Both]:
    """Makes an engine with bars behind it, and the account on paper."""

    def make() -> Both:
        return Both(warm)

    return make


@QUICK
@given(steps=STEPS)
def test_limits_judge_what_happened_and_nothing_else(
    begun: Callable[[], Both], steps: list[tuple[str, float]]
) -> None:
    """Books' money, equity and drawdown are those of the account on paper after any history."""
    both = begun()
    for kind, value in steps:
        both.step(kind, value)
        if kind == "old bar":  # what was held then moved with it; the next bar of now shows the account as it is
            both.truth.peak = max(both.truth.peak, _peak_of_old_bars(both))
    both.step("bar", 0)
    account, truth = both.world.engine.account, both.truth
    assert account.books.cash == pytest.approx(truth.cash, abs=1e-6)
    assert account.equity == pytest.approx(truth.equity(), abs=1e-6)
    judged = float(account.governor[GOV_ROW_PEAK])
    assert account.equity / judged == pytest.approx(truth.index / truth.peak, rel=1e-6)


def _peak_of_old_bars(both: Both) -> float:
    """The index that the followed equity stands for."""
    account, truth = both.world.engine.account, both.truth
    return truth.index * account.equity / truth.equity()


@QUICK
@given(entry=st.floats(5_000.0, 20_000.0), qty=st.sampled_from([-3.0, -0.1, 0.1, 3.0]), drift=st.floats(-0.5, 0.5))
def test_history_fed_after_an_adoption_judges_nothing(entry: float, qty: float, drift: float) -> None:
    """Any position found at the first start, any history behind it: no loss, no halt but the adoption's."""
    world = World()
    now_ns = START + 200 * MINUTE
    world.tell(SessionStarted(ts_ns=now_ns, wallet=100_000.0, namespace="n-"))
    accept(world, twice(world, held(qty, entry, mark=10_000.0), ts_ns=now_ns))
    before = world.engine.account.equity
    for minute in range(150):
        price = 10_000.0 * (1.0 + drift * (1.0 - minute / 150.0))
        assert orders(world.bar(minute, price, 1_000.0, late_ns=(199 - minute) * MINUTE)) == []
    account = world.engine.account
    assert account.equity == before
    assert account.losses_pct() == (0.0, 0.0)
    assert account.governor_level == 0
    assert set(world.engine.halts.in_force) == {"reconciliation"}


def test_a_foreign_position_in_another_symbol_is_judged_by_what_the_wallet_gains_or_loses(warm: bytes) -> None:
    """Open, it changes nothing that is judged; closed, its result is the wallet's and counts once."""
    both = Both(warm)
    world = both.world
    foreign = msgspec.structs.replace(held(1_000.0, 2.0, mark=3.0), symbol="币安人生USDT")
    for _ in range(3):
        look(world, foreign)
        both.step("bar", 0)
    assert world.engine.account.equity == 10_000.0
    twice(world, wallet=9_900.0)
    both.step("bar", 0)
    assert world.engine.account.equity == 9_900.0
    assert both.drawdown_pct() == pytest.approx(-1.0)
    assert SYMBOL not in world.engine.account.books.positions
