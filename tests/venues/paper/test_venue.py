"""What the paper venue does with orders, bars and money."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from tests.venues.paper.world import (
    BUY,
    LIMIT,
    MARKET,
    SELL,
    START,
    STOP,
    TARGET,
    World,
    fills_of,
    make_instrument,
    statuses_of,
)

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.ports import Rejection, VenueEvent
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

FLAT = (100.0, 100.0, 100.0, 100.0)


def test_market_order_fills_at_the_next_open_with_costs_against_it() -> None:
    """100.05 and 99.95: the next open plus or minus 5 bps; the acknowledgement moves nothing."""
    for side, price in ((BUY, 100.05), (SELL, 99.95)):
        world = World(default_taker_cost_bps=5.0)
        world.bar((90.0, 91.0, 89.0, 90.0))
        order = world.accept(side, MARKET, 1.0)
        assert world.qty == 0.0
        fill, update = world.open((100.0, 101.0, 99.0, 100.0))
        assert isinstance(fill, Fill)
        assert (fill.price, fill.qty, fill.liquidity) == (price, 1.0, "taker")
        assert fill.fee == pytest.approx(price * 5e-4, rel=1e-12)
        assert fill.slippage_bps == pytest.approx(5.0)
        assert fill.ts_ns == world.ts_ns
        assert statuses_of([update]) == [(order, "FILLED")]


def test_measured_costs_are_read_at_the_fill() -> None:
    """A shared array refreshed after the order was sent decides the price; NaN takes the default."""
    costs = np.array([np.nan])
    world = World(taker_cost_bps=costs, default_taker_cost_bps=7.0)
    world.bar(FLAT)
    world.accept(BUY, MARKET, 1.0)
    assert fills_of(world.bar(FLAT))[0].price == 100.07
    world.accept(BUY, MARKET, 1.0)
    costs[0] = 20.0
    assert fills_of(world.bar(FLAT))[0].price == 100.2


def test_a_fill_pays_for_the_range_of_its_bar() -> None:
    """An hour of 12 % range: 100 x 12 % = 12 bps on top of the 5, at the open, at a stop and at a target."""
    rough = (100.0, 106.0, 94.0, 100.0)
    for kind, level, price in ((MARKET, 0.0, 99.83), (STOP, 95.0, 94.83), (TARGET, 105.0, 104.82)):
        world = World(default_taker_cost_bps=5.0, range_slippage_bps=50.0)
        world.hold(BUY, 1.0)
        world.accept(SELL, kind, 1.0, level, reduce_only=True)
        (fill,) = fills_of(world.bar(rough))
        assert fill.price == price


def test_a_range_costs_no_limit_order_no_liquidation_and_no_close_before_a_hole() -> None:
    """A maker fills at its limit, a liquidation at its price with its own fee, a hole closes between bars."""
    def fill_of(change: Callable[[World], list[VenueEvent]]) -> Fill:
        world = World(range_slippage_bps=50.0)
        world.hold(BUY, 10.0)
        return fills_of(change(world))[0]

    def limit(world: World) -> list[VenueEvent]:
        world.accept(SELL, LIMIT, 10.0, 104.0, reduce_only=True)
        return world.bar((100.0, 106.0, 94.0, 100.0))

    def hole(world: World) -> list[VenueEvent]:
        world.bar((100.0, 106.0, 94.0, 100.0))
        return world.venue.close_before_hole("AAAUSDT", world.ts_ns + NS_PER_HOUR)

    assert fill_of(limit).price == 104.0
    assert fill_of(lambda world: world.bar((100.0, 100.0, 80.0, 85.0))).price == 90.9
    assert fill_of(hole).price == 100.0


def test_slippage_in_usdt_is_counted_from_the_reference_price() -> None:
    """A short's stop at 100 is gapped by 35 %: 10 coins lose 350 USDT to it, not 35 % of the fill's 1,350."""
    world = World()
    world.hold(SELL, 10.0, 99.0, leverage=1.0)
    world.accept(BUY, STOP, 10.0, 100.0, reduce_only=True)
    (fill,) = fills_of(world.bar((135.0, 135.0, 135.0, 135.0)))
    assert (fill.price, fill.slippage_bps) == (135.0, pytest.approx(3500.0))
    assert fill.slippage == pytest.approx(350.0)
    sold = msgspec.structs.replace(fill, side=SELL, price=65.0)
    assert sold.slippage == pytest.approx(350.0)


def test_second_open_of_one_moment_returns_nothing() -> None:
    """An order sent while an open is processed fills at the next one, never at the same."""
    world = World()
    world.bar(FLAT)
    world.open(FLAT)
    world.accept(BUY, MARKET, 1.0, created_ns=world.ts_ns)
    assert world.venue.on_open(world.batch) == []
    assert world.range() == []
    assert len(fills_of(world.open(FLAT))) == 1


def test_time_going_backwards_is_refused() -> None:
    """InputError for an older batch, and for a range whose open was not processed."""
    world = World()
    world.bar(FLAT)
    old = world.batch
    world.bar(FLAT)
    with pytest.raises(InputError, match="ts_ns"):
        world.venue.on_open(old)
    with pytest.raises(InputError, match="ts_ns"):
        world.venue.on_range(old)


@pytest.mark.parametrize(
    ("side", "bar", "price"),
    [
        (BUY, (100.0, 101.0, 94.0, 96.0), 95.0),  # touched inside the bar: at the trigger
        (BUY, (93.0, 94.0, 92.0, 93.0), 93.0),  # gap: at the open
        (SELL, (100.0, 106.0, 99.0, 104.0), 105.0),
        (SELL, (107.0, 108.0, 106.0, 107.0), 107.0),
    ],
)
def test_stop_fills_at_its_trigger_or_at_the_gap(side, bar, price) -> None:
    """The stop of a long at 95 and of a short at 105, inside the bar and gapped through."""
    world = World()
    world.hold(side, 1.0)
    exit_side, trigger = (SELL, 95.0) if side is BUY else (BUY, 105.0)
    world.accept(exit_side, STOP, 1.0, trigger, reduce_only=True)
    (fill,) = fills_of(world.bar(bar))
    assert (fill.price, world.qty) == (price, 0.0)


def test_stop_pays_costs_beyond_its_trigger() -> None:
    """94.90 for a stop at 95 with 10 bps, rounded down to the tick."""
    world = World(default_taker_cost_bps=10.0)
    world.hold(BUY, 1.0)
    world.accept(SELL, STOP, 1.0, 95.0, reduce_only=True)
    assert fills_of(world.bar((100.0, 100.0, 95.0, 100.0)))[0].price == 94.9


def test_stop_comes_before_target_in_one_bar() -> None:
    """Both touched: the stop fills; the target, touched while flat, is cancelled with -2022."""
    world = World()
    world.hold(BUY, 1.0)
    target = world.accept(SELL, TARGET, 1.0, 101.0, reduce_only=True)
    stop = world.accept(SELL, STOP, 1.0, 95.0, reduce_only=True)
    events = world.bar((100.0, 102.0, 94.0, 101.0))
    assert [fill.client_order_id for fill in fills_of(events)] == [stop]
    assert statuses_of(events) == [(stop, "FILLED"), (target, "CANCELED")]
    assert world.venue.get_order(target).reason.startswith(Rejection.REDUCE_ONLY.value)


def test_target_fills_at_its_trigger_and_better_at_a_gap() -> None:
    """105 inside the bar, 107 when the bar opens there."""
    for bar, price in (((100.0, 106.0, 100.0, 104.0), 105.0), ((107.0, 108.0, 106.0, 107.0), 107.0)):
        world = World()
        world.hold(BUY, 1.0)
        world.accept(SELL, TARGET, 1.0, 105.0, reduce_only=True)
        assert fills_of(world.bar(bar))[0].price == price


def test_bracket_sent_after_the_entry_protects_the_same_bar() -> None:
    """A stop acknowledged while the entry's open is processed fills in that bar's range."""
    world = World()
    world.bar(FLAT)
    world.accept(BUY, MARKET, 1.0)
    assert len(fills_of(world.open((100.0, 101.0, 94.0, 96.0)))) == 1
    world.accept(SELL, STOP, 1.0, 95.0, reduce_only=True, created_ns=world.ts_ns)
    (fill,) = fills_of(world.range())
    assert (fill.price, world.qty) == (95.0, 0.0)
    assert fill.ts_ns == world.ts_ns + NS_PER_HOUR - 1_000_000


def test_sibling_stays_when_the_position_closes() -> None:
    """The venue cancels no sibling of its own accord: the engine does, as it must on a real venue."""
    world = World()
    world.hold(BUY, 1.0)
    target = world.accept(SELL, TARGET, 1.0, 110.0, reduce_only=True)
    world.accept(SELL, STOP, 1.0, 95.0, reduce_only=True)
    world.bar((100.0, 100.0, 94.0, 96.0))
    assert [order.client_order_id for order in world.venue.open_orders()] == [target]
    assert world.cancel(target).status is OrderStatus.CANCELED


def test_resting_limit_needs_the_price_to_trade_through_it() -> None:
    """A touch at 99 is not enough, 98.99 is; the fill is a maker's at the limit itself."""
    world = World()
    world.bar(FLAT)
    order = world.accept(BUY, LIMIT, 1.0, 99.0)
    assert world.bar((100.0, 100.0, 99.0, 99.5)) == []
    fill, update = world.bar((99.5, 100.0, 98.99, 99.5))
    assert (fill.price, fill.liquidity) == (99.0, "maker")
    assert fill.fee == pytest.approx(99.0 * 2e-4, rel=1e-12)
    assert statuses_of([update]) == [(order, "FILLED")]


def test_marketable_limit_is_a_taker_never_worse_than_its_price() -> None:
    """At the next open plus costs while that is better than the limit, at the limit when costs would pass it."""
    for limit, price in ((101.0, 100.05), (100.02, 100.02)):
        world = World(default_taker_cost_bps=5.0)
        world.bar(FLAT)
        world.accept(BUY, LIMIT, 1.0, limit)
        (fill,) = fills_of(world.open(FLAT))
        assert (fill.price, fill.liquidity) == (price, "taker")


def test_limit_that_stopped_being_marketable_rests() -> None:
    """Sent above the last close, below the next open: it waits in the book and fills as a maker."""
    world = World()
    world.bar(FLAT)
    world.accept(BUY, LIMIT, 1.0, 100.5)
    assert world.open((102.0, 102.0, 100.0, 101.0)) == []
    (fill,) = fills_of(world.range())
    assert (fill.price, fill.liquidity) == (100.5, "maker")


def test_a_stop_sent_after_a_fill_inside_the_bar_can_fill_in_the_rest_of_it() -> None:
    """A limit entry at 99 and the stop at 98 sent for it: the bar's low at 97 reaches both, the target waits."""
    world = World()
    world.bar(FLAT)
    world.accept(BUY, LIMIT, 1.0, 99.0)
    assert fills_of(world.bar((100.0, 101.0, 97.0, 98.5)))[0].price == 99.0
    inside = {"reduce_only": True, "created_ns": world.ts_ns + 1}
    stop = world.accept(SELL, STOP, 1.0, 98.0, **inside)
    target = world.accept(SELL, TARGET, 1.0, 100.0, **inside)
    events = world.range()
    assert [(fill.client_order_id, fill.price) for fill in fills_of(events)] == [(stop, 98.0)]
    assert [order.client_order_id for order in world.venue.open_orders()] == [target]
    assert world.range() == []


def test_stop_sent_at_the_close_waits_for_the_next_bar() -> None:
    """After a fill inside the bar, a stop sent once the bar closed is not held against the bar's past."""
    world = World()
    world.bar(FLAT)
    world.accept(BUY, LIMIT, 1.0, 99.0)
    world.bar((100.0, 101.0, 97.0, 98.5))
    world.accept(SELL, STOP, 1.0, 98.0)
    assert world.range() == []
    assert fills_of(world.open((97.5, 98.0, 97.0, 98.0)))[0].price == 97.5


def test_reduce_only_is_clipped_and_never_flips() -> None:
    """Closing 5 of a position of 2 closes 2; the rest of the order is cancelled with -2022."""
    world = World()
    world.hold(BUY, 2.0)
    order = world.accept(SELL, MARKET, 5.0, reduce_only=True)
    events = world.bar(FLAT)
    assert [fill.qty for fill in fills_of(events)] == [2.0]
    assert statuses_of(events) == [(order, "CANCELED")]
    assert world.qty == 0.0


def test_plain_order_may_flip() -> None:
    """Selling 3 against a long of 2 leaves a short of 1 entered at the fill."""
    world = World()
    world.hold(BUY, 2.0)
    world.accept(SELL, MARKET, 3.0)
    world.bar((110.0, 110.0, 110.0, 110.0))
    (position,) = world.venue.positions()
    assert (position.qty, position.entry_price, position.margin) == (-1.0, 110.0, 11.0)


def test_flip_frees_what_it_closes_before_it_opens() -> None:
    """With 9000 of 10000 locked in a long of 90, selling 180 makes a short of 90; selling 200 does not fit."""
    world = World()
    world.hold(BUY, 90.0, leverage=1.0)
    assert world.send(SELL, MARKET, 200.0).reason.startswith(Rejection.MARGIN.value)
    world.accept(SELL, MARKET, 180.0)
    world.bar(FLAT)
    assert world.qty == -90.0
    assert world.venue.balance().margin_used == pytest.approx(9_000.0)


def test_last_price_inside_a_bar_is_forgotten_with_the_bar() -> None:
    """A fill at 99 in one bar does not count in the next: a stop sent inside that one is checked against its close."""
    world = World()
    world.bar(FLAT)
    world.accept(BUY, LIMIT, 1.0, 99.0)
    assert len(fills_of(world.bar((100.0, 100.0, 98.0, 98.5)))) == 1
    world.bar((103.0, 104.0, 102.0, 103.0))
    inside = {"reduce_only": True, "created_ns": world.ts_ns + 1}
    assert world.send(SELL, STOP, 1.0, 100.0, **inside).status is OrderStatus.NEW
    assert world.range() == []


@pytest.mark.parametrize(
    ("code", "order"),
    [
        (Rejection.UNKNOWN_SYMBOL, (BUY, MARKET, 1.0, 0.0, {"symbol": "NOPE"})),
        (Rejection.BAD_VALUE, (BUY, MARKET, 0.0, 0.0, {})),
        (Rejection.BAD_VALUE, (BUY, MARKET, float("nan"), 0.0, {})),
        (Rejection.BAD_VALUE, (BUY, LIMIT, 1.0, float("inf"), {})),
        (Rejection.MIN_QTY, (BUY, MARKET, 0.0004, 0.0, {})),
        (Rejection.STEP, (BUY, MARKET, 1.0005, 0.0, {})),
        (Rejection.TICK, (BUY, LIMIT, 1.0, 99.005, {})),
        (Rejection.MIN_NOTIONAL, (BUY, MARKET, 0.049, 0.0, {})),
        (Rejection.MARGIN, (BUY, MARKET, 150.0, 0.0, {})),
        (Rejection.MAX_POSITION, (BUY, MARKET, 2_001.0, 0.0, {})),
        (Rejection.REDUCE_ONLY, (SELL, STOP, 1.0, 90.0, {"reduce_only": True})),
        (Rejection.WOULD_TRIGGER, (SELL, STOP, 1.0, 100.0, {})),
        (Rejection.WOULD_TRIGGER, (BUY, STOP, 1.0, 99.0, {})),
        (Rejection.WOULD_TRIGGER, (BUY, TARGET, 1.0, 101.0, {})),
    ],
)
def test_refusals_say_why(code, order) -> None:
    """An order against a filter, the margin, the tier or the last price is REJECTED with the venue's code."""
    world = World()
    world.bar(FLAT)
    *fields, changes = order
    answer = world.send(*fields, **changes)
    assert answer.status is OrderStatus.REJECTED
    assert answer.reason.startswith(code.value + " ")
    assert world.venue.open_orders() == []


def test_opening_needs_a_current_price_and_closing_does_not() -> None:
    """A symbol without a bar refuses entries with -4131; its reduce-only close waits for the next bar."""
    world = World()
    assert world.send(BUY, MARKET, 1.0).reason.startswith(Rejection.NO_PRICE.value)
    world.hold(BUY, 1.0)
    world.bar(None)
    assert world.send(BUY, MARKET, 1.0).reason.startswith(Rejection.NO_PRICE.value)
    world.accept(SELL, MARKET, 1.0, reduce_only=True)
    assert world.bar(None) == []
    assert len(fills_of(world.bar(FLAT))) == 1


def test_same_request_while_open_is_one_order() -> None:
    """Repeating a request returns its status again; another order under that id is refused; a finished id is free."""
    world = World()
    world.bar(FLAT)
    request = world.request(BUY, LIMIT, 1.0, 90.0)
    first, again = world.venue.submit(request) + world.venue.submit(request)
    assert (first.status, again.status) == (OrderStatus.NEW, OrderStatus.NEW)
    assert again.venue_order_id == first.venue_order_id
    other = world.send(BUY, LIMIT, 2.0, 90.0, client_order_id=request.client_order_id)
    assert (other.status, other.reason[:5]) == (OrderStatus.REJECTED, Rejection.DUPLICATE.value)
    assert len(world.venue.open_orders()) == 1
    assert world.cancel(request.client_order_id).status is OrderStatus.CANCELED
    assert world.venue.submit(request)[0].status is OrderStatus.NEW


def test_cancel_of_a_finished_or_unknown_order() -> None:
    """A finished order answers how it ended, an unknown one REJECTED, both with -2011."""
    world = World()
    world.bar(FLAT)
    order = world.accept(BUY, MARKET, 1.0)
    world.bar(FLAT)
    done, unknown = world.cancel(order), world.cancel("nobody")
    assert (done.status, done.filled_qty) == (OrderStatus.FILLED, 1.0)
    assert unknown.status is OrderStatus.REJECTED
    assert done.reason.startswith(Rejection.UNKNOWN_ORDER.value)
    assert unknown.reason.startswith(Rejection.UNKNOWN_ORDER.value)


def test_leverage_is_whole_capped_and_locked_while_something_is_open() -> None:
    """7 for 7.9, 50 for 100, 1 for 0; unchanged with an opening order, a position, or a NaN."""
    world = World()
    world.bar(FLAT)
    asked = [world.venue.set_leverage("AAAUSDT", x) for x in (7.9, 100.0, 0.0, float("nan"), 5.0)]
    assert asked == [7.0, 50.0, 1.0, 1.0, 5.0]
    world.accept(BUY, MARKET, 1.0)
    assert world.venue.set_leverage("AAAUSDT", 3.0) == 5.0
    world.bar(FLAT)
    assert world.venue.set_leverage("AAAUSDT", 3.0) == 5.0
    assert world.venue.leverage("AAAUSDT") == 5.0
    with pytest.raises(InputError, match="NOPE"):
        world.venue.set_leverage("NOPE", 3.0)


def test_tier_caps_the_notional_at_a_leverage() -> None:
    """At 50x only 2000 USDT may be held, the resting entries counted."""
    world = World()
    world.bar(FLAT)
    world.venue.set_leverage("AAAUSDT", 50.0)
    world.accept(BUY, LIMIT, 15.0, 99.0)
    assert world.send(BUY, MARKET, 6.0).reason.startswith(Rejection.MAX_POSITION.value)
    assert world.send(BUY, MARKET, 5.0).status is OrderStatus.NEW


def test_liquidation_inside_the_bar_and_at_a_gap() -> None:
    """A 10x long of 10 at 100 dies at (1000 - 100) / (10 * 0.99), or at an open beyond it, with the fee on top."""
    expected = 90.90  # 90.909... rounded down to the tick
    for bar, price in (((100.0, 100.0, 90.0, 95.0), expected), ((88.0, 92.0, 87.0, 90.0), 88.0)):
        world = World()
        world.hold(BUY, 10.0)
        assert world.venue.positions()[0].liquidation_price == pytest.approx(900.0 / 9.9, rel=1e-12)
        limit = world.accept(BUY, LIMIT, 1.0, 80.0)
        before = world.venue.balance().wallet
        events = world.bar(bar)
        (fill,) = fills_of(events)
        assert (fill.price, fill.liquidation, fill.client_order_id) == (price, True, "autoclose-1")
        assert fill.fee == pytest.approx(10.0 * price * (5 + 125) * 1e-4, rel=1e-12)
        assert statuses_of(events) == [(limit, "CANCELED")]
        assert world.venue.balance().wallet == pytest.approx(before + 10 * (price - 100.0) - fill.fee, rel=1e-12)
        assert world.qty == 0.0


def test_stop_nearer_to_the_open_saves_from_liquidation() -> None:
    """Stop at 92 before liquidation at 90.9; a stop at 90 comes too late."""
    for trigger, liquidated, price in ((92.0, False, 92.0), (90.0, True, 90.90)):
        world = World()
        world.hold(BUY, 10.0)
        world.accept(SELL, STOP, 10.0, trigger, reduce_only=True)
        (fill,) = fills_of(world.bar((100.0, 100.0, 85.0, 95.0)))
        assert (fill.liquidation, fill.price) == (liquidated, price)


def test_funding_is_paid_at_its_real_time_on_the_open() -> None:
    """A long of 10 held into 16:00 pays 0.01 % of 10 * 101; the position of that very open pays nothing yet."""
    times, rates = np.array([START + 3_000_000, START + 8 * NS_PER_HOUR]), np.array([1e-4, -2e-4])
    world = World(funding={"AAAUSDT": (times, rates)}, hours_before=2)
    world.hold(BUY, 10.0)  # filled at 15:00
    events = world.open((101.0, 101.0, 101.0, 101.0))
    (payment,) = events
    assert isinstance(payment, FundingPayment)
    assert (payment.ts_ns, payment.rate, payment.mark_price, payment.qty) == (START, 1e-4, 101.0, 10.0)
    assert payment.amount == pytest.approx(-0.101)
    late = World(funding={"AAAUSDT": (times, rates)}, hours_before=1)
    late.hold(BUY, 10.0)  # filled at 16:00
    paid = [event for _ in range(8) for event in late.bar(FLAT)]
    assert [payment.rate for payment in paid] == [-2e-4]
    assert paid[0].amount == pytest.approx(0.2)


def test_fundings_of_an_outage_are_paid_when_the_bars_come_back() -> None:
    """Two assumed fundings passed while the symbol had no bar: both are charged on the next open."""
    world = World(assumed_funding_rate=1e-4, hours_before=2)
    world.hold(SELL, 10.0)
    assert all(world.bar(None) == [] for _ in range(10))
    events = world.open((90.0, 90.0, 90.0, 90.0))
    assert [payment.amount for payment in events] == pytest.approx([0.09, 0.09])
    assert {payment.ts_ns for payment in events} == {world.ts_ns}


def test_participation_spreads_an_order_over_bars() -> None:
    """10 % of 20, 30 and 1000: a market order of 6 fills 2, 3 and 1."""
    world = World(participation=0.1)
    world.bar(FLAT)
    order = world.accept(BUY, MARKET, 6.0)
    events = [event for volume in (20.0, 30.0, 1000.0) for event in world.bar((*FLAT, volume))]
    assert [fill.qty for fill in fills_of(events)] == [2.0, 3.0, 1.0]
    assert statuses_of(events) == [(order, "PARTIALLY_FILLED"), (order, "PARTIALLY_FILLED"), (order, "FILLED")]
    assert world.venue.get_order(order).average_price == 100.0


def test_triggered_stop_finishes_at_the_next_opens() -> None:
    """What a thin bar leaves of a triggered stop is sold at the next open, wherever the price is."""
    world = World(participation=0.1)
    world.hold(BUY, 5.0)
    world.accept(SELL, STOP, 5.0, 95.0, reduce_only=True)
    events = world.bar((100.0, 100.0, 94.0, 99.0, 20.0)) + world.bar((99.0, 99.0, 99.0, 99.0, 500.0))
    assert [(fill.qty, fill.price) for fill in fills_of(events)] == [(2.0, 95.0), (3.0, 99.0)]


def test_closing_before_a_hole() -> None:
    """The position closes at its last close with costs and every order of the symbol is cancelled."""
    world = World(default_taker_cost_bps=5.0)
    world.hold(SELL, 1.0)
    stop = world.accept(BUY, STOP, 1.0, 120.0, reduce_only=True)
    world.bar((100.0, 104.0, 99.0, 102.0))
    events = world.venue.close_before_hole("AAAUSDT", world.ts_ns + NS_PER_HOUR)
    assert statuses_of(events) == [(stop, "CANCELED")]
    (fill,) = fills_of(events)
    assert (fill.client_order_id, fill.price, fill.ts_ns) == ("hole-1", 102.06, world.ts_ns + NS_PER_HOUR)
    assert (world.qty, world.venue.open_orders()) == (0.0, [])
    assert world.venue.close_before_hole("AAAUSDT", world.ts_ns + NS_PER_HOUR) == []


def test_balance_and_margin_of_a_position() -> None:
    """A 10x position of 1000 USDT locks 100; equity follows the last price; an open entry reserves its margin."""
    world = World()
    world.hold(BUY, 10.0)
    world.bar((100.0, 103.0, 99.0, 102.0))
    balance = world.venue.balance()
    assert balance.wallet == pytest.approx(10_000.0 - 0.5)
    assert (balance.unrealised_pnl, balance.margin_used) == (pytest.approx(20.0), pytest.approx(100.0))
    assert balance.equity == pytest.approx(10_019.5)
    world.accept(BUY, LIMIT, 10.0, 90.0)
    assert world.venue.balance().available == pytest.approx(balance.available - 90.0 - 0.45)


def test_margin_that_is_gone_at_the_fill_cancels_the_order() -> None:
    """An entry accepted at 100 whose open comes at 130 no longer fits the wallet: CANCELED -2019."""
    world = World()
    world.bar(FLAT)
    order = world.accept(BUY, MARKET, 90.0)
    events = world.bar((130.0, 130.0, 130.0, 130.0))
    assert statuses_of(events) == [(order, "CANCELED")]
    assert world.venue.get_order(order).reason.startswith(Rejection.MARGIN.value)


def test_only_the_last_finished_orders_are_remembered() -> None:
    """256 of 300 cancelled orders can still be asked for, and one that is open."""
    world = World()
    world.bar(FLAT)
    orders = [world.accept(BUY, LIMIT, 0.1, 90.0) for _ in range(301)]
    for order in orders[:300]:
        world.cancel(order)
    assert [order for order in orders if world.venue.get_order(order) is not None] == orders[44:]
    assert world.venue.get_order(orders[300]).status is OrderStatus.NEW


def test_settings_and_instruments_are_validated() -> None:
    """A bad setting names its key; symbols twice or costs of another shape are a ConfigError."""
    for bad in ({"initial_cash": 0.0}, {"participation": 1.5}, {"trigger_price": "mark"}, {"maker_slippage_bps": -1.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            PaperSettings(**bad)
    coin = make_instrument("AAAUSDT")
    with pytest.raises(ConfigError, match="twice"):
        PaperVenue([coin, coin])
    with pytest.raises(ConfigError, match="shape"):
        PaperVenue([coin], taker_cost_bps=np.zeros(3))


def test_state_of_another_venue_is_refused() -> None:
    """Other symbols or a damaged state raise StateError."""
    state = World().venue.state()
    with pytest.raises(StateError, match="symbols"):
        World(("BBBUSDT",)).venue.load_state(state)
    with pytest.raises(StateError, match="damaged"):
        World().venue.load_state({key: value for key, value in state.items() if key != "orders"})


def test_two_venues_give_the_same_bytes() -> None:
    """Ids and times derive from sequence and bars: two runs return equal events."""
    runs = []
    for _ in range(2):
        world = World(assumed_funding_rate=1e-4, participation=0.01)
        world.hold(BUY, 3.0)
        world.accept(SELL, STOP, 3.0, 95.0, reduce_only=True)
        events = [*world.bar((97.0, 98.0, 94.0, 95.0)), *world.bar(FLAT)]
        assert any(isinstance(event, OrderUpdate) for event in events)
        runs.append(events)
    assert runs[0] == runs[1]
