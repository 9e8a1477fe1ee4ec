"""The exchange behind the venue: prices, orders, conditional orders, money, and the order of events."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from tests.venues.local.world import QUIET, START_NS, exchange, names, ticket

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.build import flat_bar
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.orders import AccountEvent, OrderTicket


def play(market: Exchange, open_: float, high: float, low: float, close: float, parts: int = 1) -> None:
    """Play one bar of AAAUSDT in *parts* steps of time."""
    ohlcv, present = flat_bar(market.tape, {"AAAUSDT": close, "BBBUSDT": 50.0})
    ohlcv[0] = (open_, high, low, close, 1_000.0)
    opens = market.tape.end_ns
    market.tape.append(opens, ohlcv, present)
    for part in range(parts):
        market.advance(opens + (part + 1) * NS_PER_HOUR // parts)


def code(market: Exchange, **fields: object) -> int:
    """The refusal of an order."""
    with pytest.raises(VenueApiError) as refused:
        market.place(OrderTicket(**({"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "qty": 1.0} | fields)))
    return refused.value.code


def algo_code(market: Exchange, **fields: object) -> int:
    """The refusal of a conditional order."""
    base = {"symbol": "AAAUSDT", "side": "SELL", "type": "STOP_MARKET", "qty": 1.0, "trigger_price": 95.0}
    with pytest.raises(VenueApiError) as refused:
        market.place_algo(OrderTicket(**(base | fields)))
    return refused.value.code


def test_a_market_order_is_filled_when_it_is_answered() -> None:
    """It takes the asking price: the last one and the taker's cost; fee and position follow."""
    market = exchange()

    order = market.place(ticket("BUY", "MARKET"))

    assert (order.status, order.filled, order.average) == ("FILLED", 1.0, 100.01)
    assert market.account.holding(0).qty == 1.0
    assert market.account.wallet == market.paper.balance().wallet < 10_000.0


def test_events_of_a_fill_come_in_the_venues_order() -> None:
    """Accepted, money, then the trade."""
    market = exchange()

    market.place(ticket("BUY", "MARKET"))

    assert names(market.take_events()) == ["order NEW NEW", "account ORDER", "order TRADE FILLED"]


def test_a_stop_becomes_an_order_at_its_trigger() -> None:
    """Inside a bar it fills at the trigger, not at the low; its order carries the conditional order's client id."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    algo = market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=97.0, reduce_only=True, client_id="guard"))
    market.take_events()

    play(market, 100.0, 100.5, 92.0, 93.0)

    order = market.orders[algo.actual_id]
    assert (order.average, order.ticket.client_id, order.orig_type) == (96.99, "guard", "STOP_MARKET")
    assert names(market.take_events()) == [
        "algo TRIGGERING", "order NEW NEW", "account ORDER", "order TRADE FILLED", "algo TRIGGERED", "algo FINISHED",
    ]
    assert market.account.holding(0).qty == 0.0


def test_linking_by_order_id_reports_the_link_first() -> None:
    """The other order seen at the real venue: TRIGGERED names the order, whose client id is the venue's own."""
    market = exchange(ExchangeSettings(assumed_funding_rate=0.0, leverage=5.0, link_by_order_id=True))
    market.place(ticket("BUY", "MARKET"))
    algo = market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=97.0, reduce_only=True, client_id="guard"))
    market.take_events()

    play(market, 100.0, 100.5, 92.0, 93.0)

    reported = names(market.take_events())
    assert reported.index("algo TRIGGERED") < reported.index("order NEW NEW")
    assert market.orders[algo.actual_id].ticket.client_id != "guard"


def test_a_gap_fills_at_the_far_side() -> None:
    """A bar that opens at 90 fills a stop at 97 near 90."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    algo = market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=97.0, reduce_only=True))

    play(market, 90.0, 91.0, 89.0, 90.5)

    assert market.orders[algo.actual_id].average == pytest.approx(89.99, abs=0.02)


@pytest.mark.parametrize("parts", [1, 3, 60, 7])
def test_what_happens_does_not_depend_on_the_steps_of_time(parts: int) -> None:
    """The same bar in one step or in sixty: the same fills at the same prices, the same wallet."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=97.0, qty=0.5, reduce_only=True))
    market.place_algo(ticket("SELL", "TAKE_PROFIT_MARKET", trigger_price=104.0, qty=0.5, reduce_only=True))
    market.place(ticket("BUY", "LIMIT", price=95.0))

    play(market, 100.0, 106.0, 94.0, 99.0, parts)

    assert [(trade.side, trade.price) for trade in market.trades] == [
        ("BUY", 100.01), ("SELL", 96.99), ("BUY", 95.0), ("SELL", 103.98),
    ]
    assert market.account.wallet == pytest.approx(market.paper.balance().wallet, abs=1e-9)


def test_a_trailing_stop_follows_the_best_price() -> None:
    """Two per cent below the high of 110."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    algo = market.place_algo(ticket("SELL", "TRAILING_STOP_MARKET", callback_rate=2.0, reduce_only=True))

    play(market, 100.0, 110.0, 100.0, 105.0)

    assert market.orders[algo.actual_id].average == pytest.approx(110.0 * 0.98, abs=0.05)


def test_a_close_position_stop_closes_what_is_there_when_it_triggers() -> None:
    """The position grew after the stop was placed."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    market.place_algo(ticket("SELL", "STOP_MARKET", qty=0.0, trigger_price=97.0, close_position=True))
    market.place(ticket("BUY", "MARKET", 2.0))

    play(market, 100.0, 100.5, 92.0, 93.0)

    assert market.account.holding(0).qty == 0.0
    assert market.trades[-1].qty == 3.0


def test_a_reduce_only_stop_without_position_is_rejected_when_it_triggers() -> None:
    """The algo service reports the reason."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    algo = market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=97.0, reduce_only=True))
    market.place(ticket("SELL", "MARKET", reduce_only=True))

    play(market, 100.0, 100.5, 92.0, 93.0)

    assert (algo.status, algo.reason, algo.actual_id) == ("REJECTED", "Reduce Only reject", 0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "STOP_MARKET", "trigger_price": 95.0}, -4120),
        ({"type": "NONSENSE"}, -1116),
        ({"qty": 0.0}, -4003),
        ({"qty": 1.0001}, -1111),
        ({"symbol": "BBBUSDT", "type": "LIMIT", "price": 50.2}, -4014),
        ({"symbol": "BBBUSDT", "type": "LIMIT", "price": 50.234}, -1111),
        ({"type": "LIMIT", "price": 130.0}, -4016),
        ({"type": "LIMIT", "side": "SELL", "price": 70.0}, -4024),
        ({"type": "LIMIT", "price": 101.0, "tif": "GTX"}, -5022),
        ({"type": "LIMIT", "price": 99.0, "tif": "FOK"}, -5021),
        ({"qty": 0.04}, -4164),
        ({"qty": 400.0}, -2019),
        ({"qty": 9_000.0}, -2027),
        ({"side": "SELL", "reduce_only": True}, -2022),
        ({"symbol": "NOSUCHUSDT"}, -1121),
    ],
)
def test_orders_are_refused_in_the_venues_codes(fields: dict[str, object], expected: int) -> None:
    """Each breach has its own code."""
    wallet = ExchangeSettings(wallet=1_000.0 if expected == -2019 else 1e6)
    assert code(exchange(wallet), **fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"trigger_price": 101.0}, -2021),
        ({"type": "TAKE_PROFIT_MARKET", "trigger_price": 99.0}, -2021),
        ({"side": "BUY", "reduce_only": True, "trigger_price": 105.0}, -2022),
        ({"client_id": "guard"}, -4116),
        ({"qty": 0.0, "close_position": True}, -4130),
        ({"close_position": True}, -1106),
        ({"type": "TRAILING_STOP_MARKET", "callback_rate": 50.0}, -1130),
        ({"trigger_price": 0.0}, -1102),
        ({"type": "LIMIT"}, -1116),
    ],
)
def test_conditional_orders_are_refused_in_the_venues_codes(fields: dict[str, object], expected: int) -> None:
    """With a long and a close-position stop "guard" resting."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    market.place_algo(ticket("SELL", "STOP_MARKET", 0.0, trigger_price=90.0, close_position=True, client_id="guard"))

    assert algo_code(market, **fields) == expected


def test_a_client_id_is_unique_among_open_orders_only() -> None:
    """-4116 while the first is open; after its end the id is free, and asking finds the newest."""
    market = exchange()
    first = market.place(ticket("BUY", "LIMIT", price=90.0, client_id="mine"))
    assert code(market, client_id="mine") == -4116

    market.cancel(first)
    second = market.place(ticket("BUY", "LIMIT", price=91.0, client_id="mine"))

    assert market.find("AAAUSDT", client_id="mine") is second


def test_immediate_or_cancel_leaves_nothing_behind() -> None:
    """What cannot fill at once expires."""
    market = exchange()

    order = market.place(ticket("BUY", "LIMIT", price=99.0, tif="IOC"))

    assert (order.status, order.filled, market.open_orders()) == ("EXPIRED", 0.0, [])


def test_a_limited_volume_fills_in_parts_or_expires() -> None:
    """Three fills of one order; or one fill and an expired rest."""
    market = exchange()
    market.incidents.limit_volume("AAAUSDT", 0.4)
    assert [trade.qty for trade in market.trades] == []
    order = market.place(ticket("BUY", "MARKET"))
    assert (order.status, [trade.qty for trade in market.trades]) == ("FILLED", [0.4, 0.4, 0.2])

    market.incidents.limit_volume("AAAUSDT", 0.4, expire=True)
    other = market.place(ticket("BUY", "MARKET"))

    assert (other.status, other.filled) == ("EXPIRED", 0.4)


def test_leverage_is_whole_and_within_the_table() -> None:
    """-4028 outside; reported once when it changed."""
    market = exchange()
    market.take_events()
    assert market.set_leverage("AAAUSDT", 7) == market.set_leverage("AAAUSDT", 7) == 7
    with pytest.raises(VenueApiError, match="-4028"):
        market.set_leverage("AAAUSDT", 21)

    assert names(market.take_events()) == ["config"]


@pytest.mark.parametrize("isolated", [True, False])
def test_leverage_can_be_raised_with_an_open_position(isolated: bool) -> None:
    """The position keeps its margin; what is opened next needs less."""
    market = exchange()
    market.isolated[0] = isolated
    market.place(ticket("BUY", "MARKET"))
    margin, available = market.account.holding(0).margin, market.paper.balance().available

    assert market.set_leverage("AAAUSDT", 10) == 10

    assert market.account.holding(0).margin == margin == pytest.approx(100.01 / 5)
    assert market.paper.balance().available == available
    market.place(ticket("BUY", "MARKET"))
    assert market.account.holding(0).margin == pytest.approx(100.01 / 5 + 100.01 / 10)


def test_leverage_is_lowered_on_cross_margin_alone() -> None:
    """-4161 on isolated margin; on cross the position takes the margin it asks for, -2028 where there is none."""
    market = exchange()
    market.place(ticket("BUY", "MARKET", 400.0))  # 40 004 of notional at 5x on a wallet of 10 000
    market.isolated[0] = True
    with pytest.raises(VenueApiError, match="-4161"):
        market.set_leverage("AAAUSDT", 4)
    market.isolated[0] = False

    with pytest.raises(VenueApiError, match="-2028"):
        market.set_leverage("AAAUSDT", 4)
    market.place(ticket("SELL", "MARKET", 300.0))
    before = market.account.holding(0).liquidation

    assert market.set_leverage("AAAUSDT", 2) == 2
    held = market.account.holding(0)
    assert held.margin == pytest.approx(100.0 * held.entry / 2)
    assert market.account.margins == pytest.approx(market.paper.balance().margin_used)
    assert held.liquidation < before


def test_a_position_too_large_for_a_higher_leverage_refuses_it() -> None:
    """-2027: more than 10x allows 50 000 only."""
    market = exchange(ExchangeSettings(assumed_funding_rate=0.0, leverage=10.0, wallet=100_000.0))
    market.place(ticket("BUY", "MARKET", 600.0))

    with pytest.raises(VenueApiError, match="-2027"):
        market.set_leverage("AAAUSDT", 20)
    assert market.paper.leverage("AAAUSDT") == 10.0


def test_an_order_under_a_changed_leverage_reserves_what_it_needs() -> None:
    """A resting order at 5x holds a fifth; at 10x a tenth; at 5x again a fifth."""
    market = exchange()
    market.place(ticket("BUY", "LIMIT", 10.0, price=90.0))
    free = [market.paper.balance().available]
    for leverage in (10, 5):
        market.set_leverage("AAAUSDT", leverage)
        free.append(market.paper.balance().available)

    assert free[0] == pytest.approx(free[2])
    assert free[1] - free[0] == pytest.approx(90.0, rel=0.01)


def test_liquidation_is_the_venues_own_order() -> None:
    """At 20x a fall of six per cent ends the position; its stops are gone with it."""
    market = exchange(ExchangeSettings(leverage=20.0))
    market.place(ticket("BUY", "MARKET", 100.0))
    stop = market.place_algo(ticket("SELL", "STOP_MARKET", 100.0, trigger_price=80.0, reduce_only=True))
    market.take_events()

    play(market, 100.0, 100.0, 90.0, 91.0)

    assert market.trades[-1].client_id.startswith("autoclose-")
    assert (market.trades[-1].liquidation, stop.status) == (True, "EXPIRED")
    assert "order CALCULATED FILLED" in names(market.take_events())


def test_liquidation_deleveraging_and_delisting_close_the_position() -> None:
    """Liquidation on demand, deleveraging, delisting: each closes it under its own client id."""
    market = exchange()
    for act, prefix in ((market.incidents.liquidate, "autoclose-"), (market.incidents.deleverage, "adl_autoclose"),
                        (market.incidents.delist, "settlement_autoclose-")):
        market.place(ticket("BUY", "MARKET"))
        act("AAAUSDT")
        assert market.trades[-1].client_id.startswith(prefix)
        assert market.account.holding(0).qty == 0.0

    assert code(market) == -4141


def test_a_halted_symbol_neither_trades_nor_fills() -> None:
    """-1122 while halted; a stop that was passed meanwhile fills when trading goes on, at the price there is then."""
    market = exchange()
    market.place(ticket("BUY", "MARKET"))
    stop = market.place_algo(ticket("SELL", "STOP_MARKET", trigger_price=97.0, reduce_only=True))
    market.incidents.halt("AAAUSDT")
    play(market, 100.0, 100.5, 90.0, 91.0)
    assert code(market) == -1122
    assert (market.last[0], stop.status) == (100.0, "NEW")

    market.incidents.resume("AAAUSDT")

    assert market.orders[stop.actual_id].average == pytest.approx(91.0, abs=0.02)


def test_funding_is_paid_at_its_time() -> None:
    """A long pays 0.01 % of its notional at the next 8-hour mark, reported as FUNDING_FEE."""
    market = exchange(ExchangeSettings(assumed_funding_rate=0.0001))
    market.place(ticket("BUY", "MARKET"))
    market.take_events()
    before = market.account.wallet

    for _ in range(9):
        play(market, 100.0, 100.0, 100.0, 100.0)

    paid = [event for event in market.take_events() if isinstance(event, AccountEvent)]
    assert [event.reason for event in paid] == ["FUNDING_FEE"]
    assert market.account.wallet == pytest.approx(before - 0.01)
    assert market.account.income[-1].kind == "FUNDING_FEE"


def test_the_funding_shown_is_the_funding_charged() -> None:
    """Rate and time that clients see as the next funding are those of the payment that follows."""
    market = exchange(ExchangeSettings(assumed_funding_rate=0.0003))
    market.place(ticket("BUY", "MARKET"))
    rate, due_ns = market.funding_of(0)

    for _ in range(9):
        play(market, 100.0, 100.0, 100.0, 100.0)

    assert market.funding_paid(0, due_ns, due_ns) == [(due_ns, rate)] == [(due_ns, 0.0003)]
    paid = [line for line in market.account.income if line.kind == "FUNDING_FEE"]
    assert [(line.ts_ns, line.amount) for line in paid] == [(due_ns, pytest.approx(-0.03))]


def test_the_funding_interval_told_is_that_of_the_record() -> None:
    """Paid at 01, 02 and 03 UTC by the record, then as assumed, each 8 hours: 1 hour, then 8."""
    times = START_NS + np.arange(1, 4) * NS_PER_HOUR
    tape = exchange().tape
    market = Exchange(tape, START_NS, QUIET, funding={"AAAUSDT": (times, np.full(3, 1e-4))})
    assert [market.funding_hours(row) for row in (0, 1)] == [8, 8]
    told = []
    for _ in range(3):
        play(market, 100.0, 100.0, 100.0, 100.0)
        told.append(market.funding_hours(0))
    assert told == [1, 1, 8]


def test_margin_can_be_added_and_taken_back() -> None:
    """The liquidation price moves away and returns; more than the wallet has is -4051."""
    market = exchange()
    market.place(ticket("BUY", "MARKET", 10.0))
    before = market.account.holding(0).liquidation

    market.move_margin(0, 100.0)
    further = market.account.holding(0).liquidation
    market.move_margin(0, -100.0)

    assert further < before == pytest.approx(market.account.holding(0).liquidation)
    assert market.paper.positions()[0].margin == pytest.approx(market.account.holding(0).margin)
    with pytest.raises(VenueApiError, match="-4051"):
        market.move_margin(0, 1e9)


def test_amending_keeps_the_order() -> None:
    """Price and quantity change, id and client id stay; the same again is -5027."""
    market = exchange()
    order = market.place(ticket("BUY", "LIMIT", price=90.0, client_id="mine"))

    market.amend(order, 2.0, 91.0)

    assert (order.order_id, order.qty, order.price, order.status) == (order.order_id, 2.0, 91.0, "NEW")
    assert [found.order_id for found in market.open_orders()] == [order.order_id]
    with pytest.raises(VenueApiError, match="-5027"):
        market.amend(order, 2.0, 91.0)
    play(market, 100.0, 100.0, 90.5, 92.0)
    assert (order.status, order.average) == ("FILLED", 91.0)


def test_the_mirror_and_the_paper_account_agree() -> None:
    """After a random but seeded hour of trading both accounts hold the same money and positions."""
    market, chance = exchange(), np.random.default_rng(5)
    for _ in range(60):
        side, qty = ("BUY", "SELL")[int(chance.integers(2))], round(float(chance.uniform(0.1, 3.0)), 3)
        market.place(ticket(side, "MARKET", qty))
        price = float(market.last[0]) * float(chance.uniform(0.99, 1.01))
        play(market, price, price * 1.01, price * 0.99, price)

    assert market.account.wallet == pytest.approx(market.paper.balance().wallet, abs=1e-9)
    assert [position.qty for position in market.paper.positions()] == [
        held for held in (market.account.holding(0).qty,) if held
    ]


def _some_action(market: Exchange, chance: np.random.Generator) -> None:
    """Do one random action of a client, the market or the venue."""
    price, side = float(market.last[0]), ("BUY", "SELL")[int(chance.integers(2))]
    qty, away = round(float(chance.uniform(0.1, 20.0)), 3), float(chance.uniform(0.001, 0.05))
    level = round(price * (1.0 + away * (1 if chance.random() < 0.5 else -1)), 2)
    choice = int(chance.integers(8))
    reduce = bool(chance.random() < 0.3)
    if choice == 0:
        market.place(ticket(side, "MARKET", qty, reduce_only=reduce))
    elif choice == 1:
        market.place(ticket(side, "LIMIT", qty, price=level, reduce_only=reduce))
    elif choice == 2:
        kind = ("STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TAKE_PROFIT")[int(chance.integers(4))]
        market.place_algo(ticket(side, kind, qty, trigger_price=level, price=level, reduce_only=reduce))
    elif choice == 3:
        market.place_algo(ticket(side, "TRAILING_STOP_MARKET", qty, callback_rate=1.0, reduce_only=True))
    elif choice == 4 and market.open_orders():
        market.cancel(market.open_orders()[0])
    elif choice == 5:
        market.incidents.limit_volume("AAAUSDT", None if chance.random() < 0.5 else round(qty / 3, 3), expire=reduce)
    elif choice == 6:
        incidents = market.incidents
        acts = (incidents.liquidate, incidents.deleverage, incidents.halt, incidents.resume)
        acts[int(chance.integers(4))]("AAAUSDT")
    else:
        open_ = price * float(chance.uniform(0.96, 1.04))
        high, low = open_ * float(chance.uniform(1.0, 1.05)), open_ * float(chance.uniform(0.95, 1.0))
        bar = [round(value, 2) for value in (open_, high, low, float(chance.uniform(low, high)))]
        play(market, bar[0], max(bar), min(bar), bar[3])


@pytest.mark.parametrize("seed", range(12))
def test_money_and_positions_follow_from_the_trades_whatever_happens(seed: int) -> None:
    """Both accounts agree, the position is the sum of trades, the wallet is start, profit, fees and funding."""
    market, chance = exchange(ExchangeSettings(leverage=10.0)), np.random.default_rng(seed)
    for _ in range(300):
        with contextlib.suppress(VenueApiError):  # a refusal changes nothing, as what follows shows
            _some_action(market, chance)

        held = sum((1 if trade.side == "BUY" else -1) * trade.qty for trade in market.trades)
        assert market.account.holding(0).qty == pytest.approx(held, abs=1e-9)
        assert market.account.wallet == pytest.approx(market.paper.balance().wallet, abs=1e-6)
        assert sum(position.qty for position in market.paper.positions()) == market.account.holding(0).qty

    earned = sum(line.amount for line in market.account.income)
    assert market.account.wallet == pytest.approx(10_000.0 + earned, abs=1e-6)
    assert len(market.trades) > 20
    assert {order.order_id for order in market.open_orders()} == {
        number for number, order in market.orders.items() if order.is_open
    }
    assert len(market.open_orders()) == len(market.paper.open_orders())
