"""A position that somebody else opened in a symbol that is not traded here: halted, told, stopped or closed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.live.live_world import SYMBOL, World, cancels, held, look, orders, resting

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.core import LiveAccount
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.market.instruments import instrument_for

FOREIGN = "币安人生USDT"
SECOND = 1_000_000_000


def theirs(qty: float = 500.0, mark: float = 100.0, **changes: float) -> VenuePosition:
    """Their position, entered at 100."""
    return msgspec.structs.replace(held(qty=qty, entry=100.0, mark=mark), symbol=FOREIGN, **changes)


def filters() -> tuple[Instrument, ...]:
    """What the venue lists of the symbol."""
    return (msgspec.structs.replace(instrument_for(SYMBOL, 100.0)[0], symbol=FOREIGN, tick_size=0.01, step_size=1.0),)


def seen(world: World, *positions: VenuePosition, after_s: int = 0, known: bool = True, **changes: object) -> list:
    """One comparison *after_s* seconds from now."""
    return look(
        world, *positions, filters=filters() if known else (), ts_ns=world.now_ns + after_s * SECOND, **changes
    )


def at_venue(order: OrderRequest, **changes: object) -> VenueOrder:
    """*order* as it rests at the venue."""
    return resting(order, symbol=FOREIGN, qty=order.qty, side=order.side, stop_price=order.stop_price, **changes)


@pytest.fixture
def halting() -> World:
    """A world with on_foreign = halt."""
    return World(live=LiveAccount(adopt_quietly=False)).begin(50)


def test_it_gets_a_stop_halts_openings_and_is_told_once(halting: World) -> None:
    """500 LONG at 100: a reduce-only stop for all of it, one halt, one line; books and equity stay as they were."""
    before = halting.engine.account.equity
    (stop,) = orders(seen(halting, theirs()))
    assert (stop.symbol, stop.side, stop.type, stop.qty, stop.reduce_only) == (
        FOREIGN, OrderSide.SELL, OrderType.STOP_MARKET, 500.0, True
    )
    assert 95.0 < stop.stop_price < 100.0
    assert seen(halting, theirs(), orders=(at_venue(stop),), after_s=60) == []
    assert f"{FOREIGN}: a position of +500 that this bot did not open" in halting.engine.halts.held
    assert len(halting.records("halt.raised")) == len(halting.records("account.by_others")) == 1
    assert FOREIGN not in halting.engine.account.books.positions
    assert halting.engine.account.equity == before
    assert orders(halting.wish("x1")) == []
    halting.request("resume", "that is mine")
    seen(halting, theirs(), orders=(at_venue(stop),), after_s=120)
    assert halting.engine.halts.closed() == ""


def test_with_adopt_it_gets_a_stop_and_halts_nothing(world: World) -> None:
    """The position is told and protected; openings go on."""
    assert len(orders(seen(world, theirs(-3.0)))) == 1
    assert world.engine.halts.closed() == ""
    assert len(orders(world.wish("x1"))) >= 1


def test_a_stop_of_theirs_is_enough(world: World) -> None:
    """One for the whole position on the losing side; a smaller one is not."""
    own = resting("web_1", symbol=FOREIGN, qty=500.0, stop_price=90.0)
    assert seen(world, theirs(), orders=(own,)) == []
    assert [one.stop for one in world.engine.adopting.untraded_positions()] == [90.0]
    small = resting("web_1", symbol=FOREIGN, qty=499.0, stop_price=90.0)
    assert len(orders(seen(world, theirs(), orders=(small,), after_s=60))) == 1


@pytest.mark.parametrize(("qty", "liquidation", "order"), [
    (500.0, 0.0, {"stop_price": 0.0}),  # a trailing stop
    (500.0, 0.0, {"stop_price": 90.0, "price": 89.0}),  # a stop-limit
    (500.0, 95.0, {"stop_price": 90.0}),  # liquidated before it triggers
    (-500.0, 105.0, {"stop_price": 110.0, "side": OrderSide.BUY}),
])
def test_an_order_that_cannot_stop_the_loss_is_no_stop(
    world: World, qty: float, liquidation: float, order: dict[str, Any]
) -> None:
    """The position gets one of ours, before the liquidation."""
    own = resting("web_1", symbol=FOREIGN, qty=500.0, **order)
    (stop,) = orders(seen(world, theirs(qty, liquidation_price=liquidation), orders=(own,)))
    assert stop.type is OrderType.STOP_MARKET
    assert liquidation == 0.0 or (stop.stop_price - liquidation) * qty > 0.0
    assert [one.stop for one in world.engine.adopting.untraded_positions()] == [0.0]


def test_a_position_without_a_possible_stop_is_closed(world: World) -> None:
    """A symbol whose filters the venue does not list: closed with a reduce-only market order."""
    (close,) = orders(seen(world, theirs(-2.5), known=False))
    assert (close.type, close.side, close.qty, close.reduce_only) == (OrderType.MARKET, OrderSide.BUY, 2.5, True)
    assert seen(world, theirs(-2.5), known=False, after_s=2) == [], "its outcome is awaited"
    assert seen(world, after_s=30) == []
    assert world.engine.adopting.untraded_positions() == []


def test_a_stop_that_would_trigger_at_once_closes_the_position(world: World) -> None:
    """-2021: the price has passed it."""
    (stop,) = orders(seen(world, theirs()))
    world.say(OrderUpdate(
        client_order_id=stop.client_order_id, venue_order_id="", symbol=FOREIGN, status=OrderStatus.REJECTED,
        ts_ns=world.now_ns, reason="-2021 Order would immediately trigger.",
    ))
    (close,) = orders(seen(world, theirs(), after_s=1))
    assert close.type is OrderType.MARKET


def test_stops_that_do_not_come_to_rest_lead_to_a_close(world: World) -> None:
    """Three tries, then the position is closed."""
    sent = [orders(seen(world, theirs(), after_s=60 * minute)) for minute in range(4)]
    assert [one.type for batch in sent for one in batch] == [OrderType.STOP_MARKET] * 3 + [OrderType.MARKET]
    assert len({one.client_order_id for batch in sent for one in batch}) == 4


def test_a_position_that_has_grown_gets_a_larger_stop_and_the_old_one_goes(world: World) -> None:
    """First the new one, then the cancel."""
    (stop,) = orders(seen(world, theirs()))
    commands = seen(world, theirs(700.0), orders=(at_venue(stop),), after_s=60)
    (larger,) = orders(commands)
    assert larger.qty == 700.0
    assert cancels(commands) == []
    commands = seen(world, theirs(700.0), orders=(at_venue(stop), at_venue(larger)), after_s=120)
    assert cancels(commands) == [stop.client_order_id]
    assert orders(commands) == []


def test_our_stop_goes_with_their_position(world: World) -> None:
    """They closed it: what protected it could only be in the way."""
    (stop,) = orders(seen(world, theirs()))
    assert cancels(seen(world, orders=(at_venue(stop),), after_s=60)) == [stop.client_order_id]


def test_flatten_closes_it_too(world: World) -> None:
    """A flatten closes everything; the stop stays until its position is gone."""
    (stop,) = orders(seen(world, theirs()))
    world.request("flatten")
    commands = seen(world, theirs(), orders=(at_venue(stop),), after_s=5)
    assert [one.type for one in orders(commands)] == [OrderType.MARKET]
    assert cancels(commands) == []


def test_an_unreadable_quantity_is_told_and_halts(halting: World) -> None:
    """NaN: something is held; nothing can be sent for it, and status shows it without a stop."""
    assert seen(halting, theirs(float("nan"))) == []
    assert "+nan" in halting.engine.halts.held
    seen(halting, theirs(float("nan")), after_s=60)
    assert len(halting.records("account.by_others")) == 1


def test_it_is_not_told_again_after_a_restart(world: World) -> None:
    """A checkpoint keeps what is known of it."""
    seen(world, theirs())
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    assert [one.symbol for one in again.engine.adopting.untraded_positions()] == [FOREIGN]
    seen(again, theirs(), after_s=5)
    assert again.records("account.by_others") == []


@pytest.mark.parametrize(("qty", "stop_price"), [(500.0, 97.5), (-500.0, 102.5)])
def test_an_entry_price_that_cannot_be_read_is_the_mark(qty: float, stop_price: float) -> None:
    """Its stop lies beyond the mark, and nothing is closed for want of an entry."""
    (order,) = orders(seen(World().begin(50), msgspec.structs.replace(theirs(qty), entry_price=0.0)))
    assert (order.type, order.stop_price) == (OrderType.STOP_MARKET, stop_price)


def refused(world: World, order: OrderRequest, reason: str) -> None:
    """The venue refuses *order*."""
    world.say(OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id="", symbol=FOREIGN, status=OrderStatus.REJECTED,
        ts_ns=world.now_ns, reason=reason,
    ))


def test_a_position_larger_than_the_largest_order_is_closed_in_parts(world: World) -> None:
    """5,000,000 contracts where the venue takes 1,000,000 in an order: smaller parts until all of it is closed."""
    left, sizes, minute = 5_000_000.0, [], 0
    while left > 0.0 and minute < 30:
        for one in orders(seen(world, theirs(left), after_s=60 * minute)):
            if one.qty > 1_000_000.0:
                refused(world, one, "-4005 Quantity greater than max quantity.")
            elif one.type is OrderType.MARKET:
                sizes.append(one.qty)
                left -= one.qty
        minute += 1
    assert left == 0.0
    assert minute <= 6
    assert max(sizes) == 625_000.0
    assert world.engine.halts.closed() == "", "two refusals, then a part is taken"


def test_a_close_that_is_refused_again_and_again_halts_also_with_adopt(world: World) -> None:
    """Three in a row, whatever their size; the halt comes once."""
    tried = []
    for minute in range(6):
        (close,) = orders(seen(world, theirs(-8.0), after_s=60 * minute, known=False))[:1]
        tried.append(close.qty)
        assert (world.engine.halts.held != "") is (minute >= 3)
        refused(world, close, "-4005 Quantity greater than max quantity.")
    assert tried == [8.0, 4.0, 2.0, 1.0, 0.5, 0.25]
    assert f"{FOREIGN}: closing is refused again and again: -4005" in world.engine.halts.held
    assert len(world.records("halt.raised")) == 1


def test_an_unreachable_venue_does_not_count_as_a_refused_close(world: World) -> None:
    """Nothing was refused: the same close is sent again."""
    for minute in range(5):
        (close,) = orders(seen(world, theirs(-8.0), after_s=60 * minute, known=False))
        assert close.qty == 8.0
        refused(world, close, "LOST: the venue does not know it")
    assert world.engine.halts.held == ""


def test_it_halts_after_another_difference_was_resumed(halting: World) -> None:
    """The wallet differs already: the position's halt is raised at the comparison after the resume, once."""
    halting.engine.halts.hold("the wallet holds 9.00 USDT, the books 10.00", halting.now_ns)
    (stop,) = orders(seen(halting, theirs()))
    halting.request("resume", "paid in")
    seen(halting, theirs(), orders=(at_venue(stop),), after_s=60)
    assert f"{FOREIGN}: a position of +500" in halting.engine.halts.held
    assert len(halting.records("halt.raised")) == 2
    halting.request("resume", "that is mine")
    seen(halting, theirs(), orders=(at_venue(stop),), after_s=120)
    assert halting.engine.halts.closed() == ""


def test_two_of_them_halt_one_after_the_other_also_after_a_restart(halting: World) -> None:
    """A checkpoint keeps what was not raised yet."""
    both = (theirs(), msgspec.structs.replace(theirs(), symbol="XYZUSDT"))
    seen(halting, *both)
    halting.request("resume", "seen")
    halting.session.checkpoint()
    again = World(halting.log, halting.store, live=LiveAccount(adopt_quietly=False))
    again.session.recover()
    seen(again, *both, after_s=60)
    assert len(again.records("halt.raised")) == 1
    assert f"{FOREIGN}: " in again.engine.halts.held
