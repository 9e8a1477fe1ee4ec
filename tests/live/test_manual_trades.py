"""Positions that a person opened or changed by hand: adopted, protected, and no result of this bot."""

from __future__ import annotations

import numpy as np
import pytest
from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, World, held, look, orders

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.engine.core import LiveAccount
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.live.inputs import AccountRead, BarsReceived, SessionStarted
from quantum_trader.risk.governor import GOV_ROW_LEVEL


def test_a_manual_trade_is_adopted_and_protected(world: World) -> None:
    """A purchase on the website: the books hold it, with a stop below entry and price."""
    commands = world.fill("web_1", 0.02, side=OrderSide.BUY)
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.qty, position.plan.model) == (0.02, "adopted")
    (stop,) = [one for one in orders(commands) if one.type is OrderType.STOP_MARKET]
    assert 0.0 < stop.stop_price < min(position.entry_price, 10_000.0)
    assert not world.engine.halts.held
    assert "position.adopted" in world.topics()


def test_a_manual_trade_halts_where_the_settings_say_so() -> None:
    """With on_foreign = halt nothing opens until `resume`; the position is protected all the same."""
    world = World(live=LiveAccount(adopt_quietly=False)).begin()
    commands = world.fill("web_1", 0.02, side=OrderSide.SELL)
    assert any(one.type is OrderType.STOP_MARKET for one in orders(commands))
    assert orders(world.wish("x2", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1)) == []
    world.request("resume", "that was me")
    assert len(orders(world.wish("x3", symbol="ETHUSDT", reference_price=1000.0, stop_price=980.0, qty=0.1))) == 1


def test_a_manual_sale_larger_than_the_position_closes_it_and_opens_the_rest(world: World) -> None:
    """0.03 sold against 0.01 held: the long is closed as EXTERNAL, a short of 0.02 is adopted."""
    world.opened()
    world.fill("web_2", 0.03, side=OrderSide.SELL)
    position = world.engine.account.books.positions[SYMBOL]
    assert (position.sign, position.qty) == (-1, pytest.approx(0.02))
    assert world.engine.records.tally.trades[-1].exit_reason is ExitReason.EXTERNAL


def test_a_part_sold_by_hand_leaves_the_rest_open(world: World) -> None:
    """The rest goes on; it is not closed at the next bar."""
    world.opened()
    world.fill("web_3", 0.004, side=OrderSide.SELL)
    assert world.engine.account.books.positions[SYMBOL].exit_reason is None
    assert world.engine.account.books.positions[SYMBOL].qty == pytest.approx(0.006)


def test_leverage_changed_by_hand_moves_the_stop_inside_liquidation(world):
    """Leverage is raised to 125 on the website: liquidation comes nearer than the stop, and the stop follows."""
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    ours = [
        VenueOrder(
            client_order_id=t.client_order_id,
            venue_order_id="1",
            symbol=SYMBOL,
            side=OrderSide.SELL,
            type=OrderType.STOP_MARKET,
            qty=t.qty,
            filled_qty=0.0,
            average_price=0.0,
            price=0.0,
            stop_price=t.price,
            reduce_only=True,
            status=OrderStatus.NEW,
            created_ns=0,
        )
        for t in world.engine.gateway.tickets()
    ]
    look(world, held(leverage=125.0), orders=tuple(ours)) + look(world, held(leverage=125.0), orders=tuple(ours))
    from quantum_trader.risk.sizing import liquidation_price

    liq = liquidation_price(
        1, position.entry_price, position.qty, position.plan.leverage, world.engine.instruments.tiers[position.index]
    )
    assert position.plan.leverage == 125.0
    assert position.stop > liq, f"stop {position.stop} is beyond liquidation {liq}"


def test_bars_from_before_a_position_do_not_manage_it():
    """A first start: a position by hand is adopted while the warm-up bars are still being fetched."""
    world = World()
    world.tell(SessionStarted(ts_ns=START + 1600 * MINUTE, wallet=10_000.0, namespace="n-"))

    t = START + 1600 * MINUTE
    snap = VenueSnapshot(ts_ns=t, wallet=10_000.0, positions=(held(entry=10_000.0),), orders=())
    world.tell(AccountRead(snapshot=snap))
    sent = world.tell(AccountRead(snapshot=snap))
    assert SYMBOL in world.engine.account.books.positions
    for o in orders(sent):
        world.update(o, OrderStatus.NEW)
    exits = []
    for minute in range(300):  # history: the price came down from 11,000 to 10,000 before anybody bought
        price = 11_000.0 - 1_000.0 * min(1.0, minute / 250)
        for o in orders(world.bar(minute, price, 1_000.0, late_ns=(1600 - minute) * MINUTE)):
            exits.append((minute, o.type, o.stop_price))
            world.update(o, OrderStatus.NEW)
    assert not exits, exits[:3]


def test_an_adopted_losing_position_gets_its_stop_from_the_mark_price():
    """Cold start: entry 10,000, the mark is 9,700; the stop must be made from the price that is, not from the entry."""
    world = World()
    t = START
    world.tell(SessionStarted(ts_ns=t, wallet=10_000.0, namespace="n-"))
    snap = VenueSnapshot(ts_ns=t, wallet=10_000.0, positions=(held(entry=10_000.0, mark=9_000.0),), orders=())
    world.tell(AccountRead(snapshot=snap))
    sent = orders(world.tell(AccountRead(snapshot=snap)))
    stop = next(o for o in sent if o.type is OrderType.STOP_MARKET)
    assert stop.stop_price < 9_000.0, (
        f"stop {stop.stop_price} above the mark 9000: -2021, and the position is closed at market"
    )


def test_an_adopted_position_without_bars_raises_no_governor():
    """A first start: a long is adopted in a symbol whose first warm-up bars are missing (listed last week)."""

    world = World()
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    theirs = VenuePosition(
        symbol=OTHER,
        qty=2.0,
        entry_price=1_000.0,
        leverage=5.0,
        margin=20.0,
        liquidation_price=0.0,
        mark_price=1_000.0,
        unrealised_pnl=0.0,
    )
    for _ in range(2):
        look(world, theirs)
    assert OTHER in world.engine.account.books.positions
    for minute in range(4):
        rows = np.array([[1e4, 1e4, 1e4, 1e4, 100.0], [np.nan] * 5])
        ts = START + minute * MINUTE
        world.tell(
            BarsReceived.of(ts, ts + MINUTE, rows, np.array([True, False]))
        )
    assert world.engine.account.governor[GOV_ROW_LEVEL] == 0, (
        f"equity {world.engine.account.equity}, governor {world.engine.account.governor[GOV_ROW_LEVEL]}"
    )


def test_adopting_a_losing_position_is_no_drawdown():
    """Wallet 10,000; a manual long is 900 under water when it is first seen."""

    world = World()
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    world.bar(0, 10_000.0, 1_000.0)
    for _ in range(2):
        look(world, held(qty=0.9, entry=11_000.0))
    world.bar(1, 10_000.0, 1_000.0)
    account = world.engine.account
    assert account.governor_level < GOV_EMERGENCY, f"equity {account.equity}: EMERGENCY at the first start"


def test_a_trailed_stop_stays_when_a_part_is_closed_by_hand() -> None:
    """A look finds half of the position: its stop is placed anew for that half, and no farther from the price."""
    world = World().begin()
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    position.stop = trailed = position.entry_price * 1.005
    half = VenuePosition(
        symbol=SYMBOL, qty=position.qty / 2.0, entry_price=position.entry_price, leverage=position.plan.leverage,
        mark_price=position.entry_price * 1.02, margin=0.0, liquidation_price=0.0, unrealised_pnl=0.0,
    )
    for second in (1, 3):
        world.tell(AccountRead(snapshot=VenueSnapshot(
            ts_ns=world.now_ns + second * NS_PER_SECOND, wallet=world.engine.account.books.cash, positions=(half,),
            orders=(),
        )))
    assert world.engine.account.books.positions[SYMBOL].qty == half.qty
    assert world.engine.account.books.positions[SYMBOL].stop == trailed
