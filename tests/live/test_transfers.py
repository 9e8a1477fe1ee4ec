"""Money paid in or withdrawn: counted once, and never profit, loss or drawdown."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.live.live_account import FAST, Account, make, until
from tests.live.live_world import World, orders, peak, twice

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.errors import VenueUnavailable
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.venue_port import Transfer, WalletChanged
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import AccountRead, MoneyTransferred
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.layout import ACC_DRAWDOWN_PCT, MEM_LATCH_DAY, MEM_PEAK, OUT_ALLOW
from quantum_trader.risk.limits import losses_pct


def moved(world: World, amount: float, move_id: str = "", after_s: int = 0) -> None:
    """Money was paid in or out a second after the books began, or later."""
    ts_ns = world.engine.money.began_ns + (1 + after_s) * NS_PER_SECOND
    world.tell(MoneyTransferred(ts_ns=ts_ns, amount=amount, move_id=move_id))


def test_money_paid_in_or_out_is_no_profit_and_no_drawdown(world: World) -> None:
    """Half the account is withdrawn: the governor stays where it was, the day's loss is nothing."""
    world.tell(MoneyTransferred(ts_ns=world.now_ns, amount=-5_000.0))
    world.bar(1500, 10_000.0, 1_000.0)
    assert world.engine.account.books.cash == 5_000.0
    assert world.engine.account.governor[0] == 0.0
    assert abs(world.engine.account.losses_pct()[0]) < 1e-6


def enforced(world: World) -> World:
    """*world* with every part of the policy enforced."""
    world.engine.policy.integration = OrchestratorIntegrationConfig.create_live_mode_full()
    return world


def allows(world: World) -> bool:
    """Whether the policy in force allows new trades."""
    return bool(world.engine.policy.slots.out[0, OUT_ALLOW])


def latched(world: World) -> bool:
    """Whether rule B1 (the daily limit) is latched."""
    return bool(world.engine.policy.slots.mem[MEM_LATCH_DAY] >= 0.0)


def minutes(world: World, first: int, end: int) -> None:
    """Quiet bars from minute *first* to before *end*."""
    for minute in range(first, end):
        world.bar(minute, 10_000.0, 1_000.0)


def test_a_withdrawal_above_the_policys_daily_limit_closes_nothing(world: World) -> None:
    """Policy enforced, 310 of 10,000 USDT withdrawn (3.1 %, the limit is 3 %): openings stay allowed."""
    enforced(world)
    minutes(world, 1500, 1502)
    assert allows(world)
    moved(world, -310.0, after_s=1500 * 60)
    minutes(world, 1502, 1504)
    assert world.engine.account.equity == 9_690.0
    assert allows(world)
    assert not latched(world)
    assert world.engine.policy.slots.account[ACC_DRAWDOWN_PCT] == 0.0
    assert [one for one in orders(world.wish(confidence=1.0)) if not one.reduce_only], "an intent opens"


def test_a_deposit_does_not_lift_the_policys_latch_early(world: World) -> None:
    """4 % lost at 01:02, 20,000 USDT paid in: rule B1 holds over midnight, and until the loss is a day old."""
    enforced(world)
    minutes(world, 1500, 1502)
    world.engine.account.books.cash -= 400.0
    minutes(world, 1502, 1504)
    assert latched(world)
    moved(world, 20_000.0, after_s=1504 * 60)
    minutes(world, 1504, 2939)
    assert world.now_ns % NS_PER_DAY == 59 * 60 * NS_PER_SECOND, "00:59 of the next day: the loss is not a day old yet"
    assert world.engine.account.equity == 29_600.0
    assert latched(world)
    assert not allows(world)
    minutes(world, 2939, 3000)
    assert not latched(world)


def test_a_withdrawal_makes_no_loss_larger(world: World) -> None:
    """2 % lost, then half of the account withdrawn: the loss stays 2 % for the limits and for the policy."""
    enforced(world)
    minutes(world, 1500, 1502)
    world.engine.account.books.cash -= 200.0
    minutes(world, 1502, 1504)
    before, drawdown = world.engine.account.losses_pct(), world.engine.policy.slots.account[ACC_DRAWDOWN_PCT]
    moved(world, -4_900.0, after_s=1504 * 60)
    minutes(world, 1504, 1506)
    assert world.engine.account.losses_pct() == pytest.approx(before)
    assert world.engine.policy.slots.account[ACC_DRAWDOWN_PCT] == pytest.approx(drawdown) == pytest.approx(-2.0)
    assert allows(world)


def test_a_withdrawal_reported_late_is_no_drawdown_for_the_policy_either(world: World) -> None:
    """Taken for a loss of 2.9 %, then reported: the day's peak and the 24 hours are in proportion again."""
    enforced(world)
    minutes(world, 1500, 1502)
    twice(world, wallet=9_710.0)
    since = world.now_ns
    minutes(world, 1502, 1504)
    assert world.engine.policy.slots.account[ACC_DRAWDOWN_PCT] == pytest.approx(-2.9)
    moved(world, 100.0, after_s=1504 * 60)
    world.tell(MoneyTransferred(ts_ns=since, amount=-290.0, move_id="T-1"))
    minutes(world, 1504, 1506)
    assert world.engine.account.equity == 9_810.0
    assert world.engine.policy.slots.mem[MEM_PEAK] == pytest.approx(9_810.0)
    assert world.engine.account.losses_pct() == pytest.approx((0.0, 0.0))
    assert world.engine.policy.slots.account[ACC_DRAWDOWN_PCT] == pytest.approx(0.0)
    assert not latched(world)


def test_what_a_late_transfer_corrects_survives_a_restart(world: World) -> None:
    """Money taken for a loss, a restart, and then the transfer: the peak changes as without the restart."""
    twice(world, wallet=7_000.0)
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    moved(again, -3_000.0, "TRANSFER-1")
    assert peak(again) == 7_000.0


def test_a_transfer_from_stream_and_history_counts_once(world: World) -> None:
    """Stream and history share no id and stamp it milliseconds apart; either may come first."""
    moved(world, -1_000.0)
    moved(world, -1_000.0, "TRANSFER-1")
    moved(world, 300.0, "TRANSFER-2", after_s=5)
    moved(world, 300.0, after_s=6)
    assert world.engine.account.books.cash == 9_300.0
    moved(world, 300.0, "TRANSFER-2", after_s=5)
    assert world.engine.account.books.cash == 9_300.0, "read again"


def test_two_transfers_of_one_amount_are_two(world: World) -> None:
    """Twice a hundred in a minute: the stream reports one, the history both."""
    moved(world, 100.0)
    moved(world, 100.0, "TRANSFER-1")
    moved(world, 100.0, "TRANSFER-2")
    assert world.engine.account.books.cash == 10_200.0


def test_a_wallet_is_not_corrected_before_transfers_were_read(world: World) -> None:
    """Withdrawn while the stream was down and /income does not answer: for a minute it is no loss."""
    before = peak(world)
    twice(world, wallet=7_000.0, moves_known=False)
    assert (world.engine.account.books.cash, world.engine.halts.held) == (10_000.0, "")
    moved(world, -3_000.0, "TRANSFER-1")
    twice(world, wallet=7_000.0)
    assert (world.engine.account.books.cash, world.engine.halts.held) == (7_000.0, "")
    assert peak(world) == before - 3_000.0


def test_an_unexplained_wallet_is_corrected_after_a_minute(world: World) -> None:
    """A question that is never answered does not leave the books with money that is gone."""
    twice(world, wallet=7_000.0, moves_known=False)
    later = world.now_ns + 61 * NS_PER_SECOND
    twice(world, wallet=7_000.0, moves_known=False, ts_ns=later)
    assert world.engine.account.books.cash == 7_000.0
    assert "wallet" in world.engine.halts.held


def test_a_transfer_that_was_taken_for_a_loss_is_none_once_it_is_known(world: World) -> None:
    """The money is in the books already; what drawdown is measured from moves with it."""
    before = peak(world)
    twice(world, wallet=7_000.0)
    moved(world, -3_000.0, "TRANSFER-1")
    assert world.engine.account.books.cash == 7_000.0
    assert peak(world) == before - 3_000.0


def test_transfers_survive_a_restart(world: World) -> None:
    """A transfer that the stream reported before a stop is not booked again from the history."""
    moved(world, -1_000.0)
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    moved(again, -1_000.0, "TRANSFER-1")
    assert again.engine.account.books.cash == 9_000.0


def test_money_withdrawn_while_the_trader_was_off_is_no_loss(warm: bytes) -> None:
    """The usual moment to withdraw: the start asks the venue what was moved, and nothing halts."""

    async def run() -> World:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        venue.wallet = 7_000.0
        venue.transfers = [
            Transfer(move_id="TRANSFER-1", amount=-3_000.0, ts_ns=world.now_ns + NS_PER_SECOND, reason="TRANSFER")
        ]
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not world.engine.reconciler.since_ns and venue.asked)
        driver.stop()
        await task
        return world

    world = asyncio.run(run())
    assert (world.engine.account.books.cash, world.engine.halts.held) == (7_000.0, "")
    assert int(world.engine.account.governor[0]) == 0


def test_a_transfer_that_the_stream_missed_is_read(warm: bytes) -> None:
    """The stream lost the message: the wallet differs, the venue is asked, the books agree without a halt."""

    async def run() -> World:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        venue.transfers = [
            Transfer(move_id="TRANSFER-1", amount=-3_000.0, ts_ns=driver.clock.now_ns(), reason="TRANSFER")
        ]
        venue.wallet = 7_000.0
        await until(lambda: world.engine.account.books.cash == 7_000.0)
        driver.stop()
        await task
        return world

    world = asyncio.run(run())
    assert world.engine.halts.held == ""
    assert [one["data"]["why"] for one in world.records("cash.adjusted")] == ["transfer"]


@pytest.mark.parametrize("late", ["the answer", "the row"])
def test_a_transfer_known_after_its_wallet_was_corrected_is_no_result(late: str) -> None:
    """/income was out of reach for over a minute, or showed the row some seconds late: it is asked for all the same."""

    async def run() -> None:
        world = World().begin(200)
        venue, skipped = Account(world.engine.instruments.all), [0]
        base, begun = world.now_ns + 5 * NS_PER_SECOND, time.monotonic()
        venue.now_ns = base

        def now() -> int:
            return base + skipped[0] + int((time.monotonic() - begun) * 1e9)

        driver = LiveDriver(world.session, venue, FAST, now, namespace="t-", steady=False)
        answer, reached = venue.get_transfers, [late == "the row"]

        async def ask(since_ns: int) -> list[Transfer]:
            if not reached[0]:
                raise VenueUnavailable("GET income: not reached")
            return await answer(since_ns)

        venue.get_transfers = ask
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and world.engine.reconciler.agreed_ns > 0)
        moved = Transfer(move_id="T-1", amount=-6000.0, ts_ns=now(), reason="TRANSFER")
        if late == "the answer":
            venue.transfers.append(moved)
        venue.wallet = 4000.0
        if late == "the answer":
            await until(lambda: world.engine.reconciler.since_ns > 0)
            skipped[0] += 70 * NS_PER_SECOND
        await until(lambda: world.engine.account.books.cash == 4000.0)
        reached[0] = True
        if late == "the row":
            venue.transfers.append(moved)
        await until(lambda: any("taken for a result" in one["data"]["why"] for one in world.records("cash.adjusted")))
        driver.stop()
        await task
        assert world.engine.account.books.cash == 4000.0

    asyncio.run(run())


def test_a_comparison_from_before_a_transfer_does_not_undo_it() -> None:
    """The wallet was read before the stream reported a deposit, and compared after: it holds no deposit."""
    world = World().begin(200)
    asked = world.now_ns + 10 * NS_PER_SECOND
    later = asked + 2 * NS_PER_SECOND

    def look(ts_ns: int, wallet: float) -> AccountRead:
        snapshot = VenueSnapshot(ts_ns=ts_ns, wallet=wallet, positions=(), orders=(), moves_known=True)
        return AccountRead(snapshot=snapshot)

    world.tell(look(asked, 9_990.0))
    world.tell(MoneyTransferred(ts_ns=later + NS_PER_SECOND // 5, amount=5_000.0))
    world.tell(look(later, 9_990.0))
    assert world.engine.account.books.cash == 15_000.0
    world.tell(look(later + 2 * NS_PER_SECOND, 14_990.0))
    world.tell(look(later + 4 * NS_PER_SECOND, 14_990.0))
    assert world.engine.account.books.cash == 14_990.0


def test_a_deposit_explained_late_makes_no_drawdown() -> None:
    """Taken for a profit it raised the peak; known as a deposit it moves nothing twice."""
    world = World().begin()
    twice(world, wallet=16_000.0)
    deposited = world.now_ns
    for minute in range(1500, 1510):
        world.bar(minute, 10_000.0, 1_000.0)
    assert peak(world) == 16_000.0
    world.tell(MoneyTransferred(ts_ns=deposited, amount=6_000.0, move_id="D-1"))
    for minute in range(1510, 1513):
        world.bar(minute, 10_000.0, 1_000.0)
    assert peak(world) == 16_000.0
    assert world.engine.account.equity == 16_000.0
    assert losses_pct(world.engine.account.losses, world.engine.account.equity) == (0.0, 0.0)


def test_a_withdrawal_explained_late_does_not_undo_a_resume() -> None:
    """An operator resumed: drawdown is measured from that equity; a transfer reported later does not change it."""
    world = World().begin()
    twice(world, wallet=8_200.0)
    moved = world.now_ns
    for minute in range(1500, 1505):
        world.bar(minute, 10_000.0, 1_000.0)
    assert world.engine.halts.closed()
    world.request("resume", "seen")
    assert peak(world) == 8_200.0
    world.tell(MoneyTransferred(ts_ns=moved, amount=-1_000.0, move_id="T-1"))
    for minute in range(1505, 1507):
        world.bar(minute, 10_000.0, 1_000.0)
    assert peak(world) == 8_200.0
    assert world.engine.halts.closed() == "daily loss limit reached"  # 800 of it was lost; that ends at midnight


def test_a_burst_of_funding_events_is_one_request(warm: bytes) -> None:
    """At funding time there is one event for each position; the next funding time asks again."""

    async def run() -> list[int]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not driver.requests)
        asked = []
        for times in (25, 50):
            before = sum(one.startswith("funding") for one in venue.asked)
            for second in range(25):
                venue.push(WalletChanged(wallet=10_000.0, reason="FUNDING_FEE", ts_ns=driver.clock.now_ns() + second))
            await until(lambda times=times: driver.counts["WalletChanged"] == times and not driver.requests)
            asked.append(sum(one.startswith("funding") for one in venue.asked) - before)
        driver.stop()
        await task
        return asked

    assert asyncio.run(run()) == [1, 1]
