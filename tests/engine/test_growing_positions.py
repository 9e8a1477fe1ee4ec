"""What a position that grows, or a venue that does not say everything, may not change."""

from __future__ import annotations

import msgspec
import pytest
from tests.engine.test_engine_events import SYMBOL, engine, opened, orders, update

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.trading import Fill
from quantum_trader.engine.facts import HoleNotice
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.records import Records
from quantum_trader.engine.tally import Tally


def test_a_later_fill_does_not_loosen_a_stop_that_has_moved() -> None:
    """A stop at the entry stays there when the rest of the opening order fills lower."""
    trader = engine()
    opening, _ = opened(trader, filled=0.004)
    position = trader.account.books.positions[SYMBOL]
    position.stop = 10_000.0
    moved = orders(trader.gateway.move_stop(position, 25))[0]
    trader.on_event(update(moved.client_order_id, OrderStatus.NEW))

    commands = trader.on_event(Fill(
        fill_id="f2", client_order_id=opening, symbol=SYMBOL, side=OrderSide.BUY, qty=0.006, price=10_050.0, fee=0.0,
        liquidity="taker", ts_ns=40,
    ))

    stops = [order.stop_price for order in orders(commands) if order.type is OrderType.STOP_MARKET]
    assert stops == [10_000.0]
    assert position.first_stop < 10_000.0


def test_a_failing_record_leaves_out_nothing_behind_it() -> None:
    """What was put off after a failure is still done, and the failure is raised."""

    def broken() -> None:
        raise RuntimeError("an observer is broken")

    records, done = Records(MemorySink(), Tally()), []
    records.defer()
    records.afterwards(broken)
    records.afterwards(done.append, 1)
    records.record("market.hole", "", 5, HoleNotice(symbol=SYMBOL))

    with pytest.raises(RuntimeError, match="observer"):
        records.catch_up()

    assert done == [1]
    assert records.tally.topics["market.hole"] == 1


def test_a_late_cancel_of_an_old_order_keeps_the_plan_of_the_new_one() -> None:
    """The plan that a symbol's newer opening order is waiting with belongs to that order alone."""
    trader = engine()
    opening, _ = opened(trader, filled=0.004)
    trader.opening.orders.pending[SYMBOL] = msgspec.structs.replace(
        trader.opening.orders.pending[SYMBOL],
        plan=msgspec.structs.replace(trader.opening.orders.pending[SYMBOL].plan, intent_id="i2"),
    )

    trader.on_event(update(opening, OrderStatus.CANCELED, filled=0.004))

    assert trader.opening.orders.pending[SYMBOL].plan.intent_id == "i2"
