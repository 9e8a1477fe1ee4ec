"""Fees that another coin pays: the wallet keeps the USDT, and limits judge the fee as the loss it is."""

from __future__ import annotations

import msgspec
import pytest
from tests.live.live_world import MINUTE, SYMBOL, World, held, look, orders, twice

from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.domain.trading import Fill
from quantum_trader.risk.governor import GOV_ROW_PEAK

BAR = 1500


def opened(world: World, fee: float, asset: str) -> None:
    """Open a long of 0.01 at 10,000 whose opening fill costs *fee* USDT, paid in *asset*."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    coin = {"fee_asset": asset} if asset else {}
    for resting in orders(world.fill(order, 0.01, fee=fee, **coin)):
        world.update(resting, OrderStatus.NEW)


def test_a_fee_in_another_coin_leaves_the_books_money_at_the_wallets(world: World) -> None:
    """No USDT was paid, so nothing differs from the wallet, and nothing is adjusted unexplained."""
    opened(world, 5.0, "BNB")
    books = world.engine.account.books
    assert (books.cash, books.fees_paid, books.positions[SYMBOL].fees) == (10_000.0, 5.0, 5.0)
    twice(world, held(), wallet=10_000.0)
    assert [one["data"]["explained"] for one in world.records("cash.adjusted")] == [True]
    assert world.records("cash.adjusted")[-1]["data"]["why"] == "BNB pays a fee of BTCUSDT"
    assert world.records("order.filled")[-1]["data"]["fee_asset"] == "BNB"
    assert not world.engine.reconciler.misses_money


@pytest.mark.parametrize("fee", [1.0, 100.0])
def test_every_limit_judges_a_fee_alike_whatever_coin_pays_it(warm: bytes, fee: float) -> None:
    """The same losses in percent and the same drawdown."""
    judged = []
    for asset in ("", "BNB"):
        world = World()
        world.store.content = warm
        world.session.recover()
        opened(world, fee, asset)
        world.bar(BAR, 10_000.0, 1_000.0)
        account = world.engine.account
        judged.append([*account.losses_pct(), (account.equity / account.governor[GOV_ROW_PEAK] - 1.0) * 100.0])
    assert judged[0][0] == pytest.approx(-fee / 100.0, rel=0.05)
    assert judged[1] == pytest.approx(judged[0], rel=1e-9)


def test_fees_in_another_coin_alone_reach_the_daily_loss_limit(world: World) -> None:
    """Six fees of 1 % of the account each: USDT stays, and nothing opens any more."""
    for minute in range(6):
        opened(world, 100.0, "BNB") if minute == 0 else world.fill(
            "web_1", 0.001, side=OrderSide.BUY, fee=100.0, fee_asset="BNB"
        )
        world.bar(BAR + minute, 10_000.0, 1_000.0)
    assert world.engine.account.books.cash == 10_000.0
    assert world.engine.account.loss_latched


def test_a_closed_trade_is_net_of_fees_in_another_coin(world: World) -> None:
    """Its result counts for streak and governor: it was a loss."""
    opened(world, 1.0, "BNB")
    world.fill("web_2", 0.01, 10_050.0, side=OrderSide.SELL, fee=1.0, fee_asset="BNB", ts_ns=world.now_ns + MINUTE)
    (trade,) = world.records("trade.closed")
    assert trade["data"]["pnl"] == pytest.approx(0.01 * 50.0 - 2.0)
    assert world.engine.account.books.cash == pytest.approx(10_000.5)
    look(world, wallet=10_000.5)
    assert not world.engine.reconciler.misses_money


def test_a_fill_paid_in_usdt_is_recorded_as_before() -> None:
    """No new field: records and hashes of replays stay byte for byte."""
    fill = Fill(
        fill_id="f", client_order_id="o", symbol=SYMBOL, side=OrderSide.BUY, qty=1.0, price=1.0, fee=0.1,
        liquidity="taker", ts_ns=1,
    )
    assert b"fee_asset" not in msgspec.json.encode(fill)
    assert msgspec.json.decode(msgspec.json.encode(fill), type=Fill) == fill
