"""Properties of the paper venue under any orders, and its agreement with a slow model in decimals."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.paper.reference import Book, Reference, dec
from tests.venues.paper.world import BUY, LIMIT, MARKET, SELL, STOP, TARGET, World, fills_of, make_instrument

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.instrument import tier_rows
from quantum_trader.domain.trading import Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.risk import sizing
from quantum_trader.venues.paper import fills as paper_fills

SYMBOLS = ("AAAUSDT", "BBBUSDT")
KINDS = (MARKET, LIMIT, STOP, TARGET)

Bar = tuple[float, ...]


def draw_steps(seed: int, count: int) -> list[Any]:
    """*count* steps of (bars of both symbols, orders, cancels); moves in ticks, now and then wild or no bar at all."""
    rng = random.Random(seed)

    def bar() -> tuple[int, int, int, int, int, bool]:
        size = 2_000 if rng.random() < 0.04 else 200
        gap = rng.randint(-size, size) if rng.random() < 0.5 else 0
        shadows = rng.randint(0, size), rng.randint(0, size)
        return (gap, rng.randint(-size, size), *shadows, rng.randint(0, 4_000), rng.random() < 0.93)

    def order() -> tuple[int, Any, Any, int, int, bool]:
        qty = rng.choice([rng.randint(1, 900), rng.randint(1_000, 40_000), rng.randint(100_000, 900_000)])
        offset, reduce = rng.randint(-600, 600), rng.random() < 0.4
        return rng.randint(0, 1), rng.choice([BUY, SELL]), rng.choice(KINDS), qty, offset, reduce

    return [
        ((bar(), bar()), [order() for _ in range(rng.randint(0, 3))], [rng.randint(0, 90)] * (rng.random() < 0.3))
        for _ in range(count)
    ]


STEPS = st.builds(draw_steps, st.integers(0, 2**32), st.integers(1, 60))
SETTINGS = st.tuples(st.sampled_from([0.0, 3.0, 5.0]), st.sampled_from([None, 0.1]), st.sampled_from([2.0, 10.0, 20.0]))


RANGE = 50.0  # bps, times the range


class Stream:
    """Plays drawn steps into a world and keeps what was said."""

    def __init__(self, choice: tuple[float, float | None, float], initial_cash: float = 10_000.0) -> None:
        cost, participation, self.leverage = choice
        self.world = World(
            SYMBOLS, default_taker_cost_bps=cost, range_slippage_bps=RANGE, participation=participation,
            maker_slippage_bps=0.37, liquidation_fee_bps=125.0, assumed_funding_rate=1e-4, initial_cash=initial_cash,
        )
        for symbol in SYMBOLS:
            self.world.venue.set_leverage(symbol, self.leverage)
        self.ticks = [10_000, 10_000]
        self.accepted: list[str] = []

    def next_bars(self, moves: Any) -> tuple[Bar | None, ...]:
        """The next bar of each symbol from *moves* in ticks; prices stay above 1."""
        made: list[Bar | None] = []
        for row, (gap, body, up, down, volume, here) in enumerate(moves):
            if not here:
                made.append(None)
                continue
            open_ = max(200, self.ticks[row] + gap)
            close = max(200, open_ + body)
            high, low = max(open_, close) + up, max(100, min(open_, close) - down)
            self.ticks[row] = close
            made.append((open_ / 100, high / 100, low / 100, close / 100, volume / 10))
        return tuple(made)

    def requests(self, orders: Any) -> list[OrderRequest]:
        """The drawn orders as requests near the last close."""
        held = {position.symbol: position.qty for position in self.world.venue.positions()}
        made = []
        for row, drawn, kind, qty, offset, reduce in orders:
            size = held.get(SYMBOLS[row], 0.0) if reduce and offset % 8 else 0.0  # mostly the side that reduces
            side = drawn if size == 0.0 else SELL if size > 0.0 else BUY
            price = 0.0 if kind is MARKET else max(100, self.ticks[row] + offset) / 100
            request = self.world.request(side, kind, qty / 1_000, price, symbol=SYMBOLS[row], reduce_only=reduce)
            made.append(request)
        return made

    def submit(self, request: OrderRequest) -> bool:
        """Whether the venue accepted it."""
        (answer,) = self.world.venue.submit(request)
        assert isinstance(answer, OrderUpdate)
        assert not isinstance(answer, Fill)
        if answer.status is OrderStatus.NEW:
            self.accepted.append(request.client_order_id)
        return answer.status is OrderStatus.NEW

    def cancel(self, pick: int) -> str:
        """Cancel one of the orders ever accepted and return its id."""
        order_id = self.accepted[pick % len(self.accepted)] if self.accepted else "none"
        open_ = {order.client_order_id: order.symbol for order in self.world.venue.open_orders()}
        self.world.cancel(order_id, open_.get(order_id, SYMBOLS[0]))
        return order_id

    def play(self, moves: Any, orders: Any, cancels: Any) -> list[VenueEvent]:
        """One step: bars, then orders, then cancels; returns the events of the bars."""
        events = self.world.bar(*self.next_bars(moves))
        for request in self.requests(orders):
            self.submit(request)
        for pick in cancels:
            self.cancel(pick)
        return events


@settings(max_examples=200, deadline=None)
@given(SETTINGS, STEPS)
def test_agrees_with_the_slow_model(choice, steps) -> None:
    """Same answers, fills, wallet, positions and equity as the reference for random bars, orders and cancels."""
    stream = Stream(choice)
    cost, participation, leverage = choice
    model = Reference(
        SYMBOLS, Decimal(10_000), dec(cost), dec(RANGE), dec(0.37), Decimal(125), dec(1e-4), dec(participation or 0.0),
        dec(leverage), {symbol: Book() for symbol in SYMBOLS},
    )
    fills: list[Fill] = []
    for moves, orders, cancels in steps:
        made = stream.next_bars(moves)
        fills += fills_of(stream.world.bar(*made))
        model.bar(stream.world.ts_ns, dict(zip(SYMBOLS, made, strict=True)))
        for request in stream.requests(orders):
            assert stream.submit(request) is model.submit(request), request
        for pick in cancels:
            model.cancel(stream.cancel(pick))
        assert [(f.client_order_id, f.qty, f.price) for f in fills] == [
            (order_id, float(qty), float(price)) for order_id, qty, price, _ in model.fills
        ]
        assert [f.fee for f in fills] == pytest.approx([float(fee) for *_, fee in model.fills], rel=1e-9)
        balance = stream.world.venue.balance()
        assert balance.wallet == pytest.approx(float(model.cash), rel=1e-9, abs=1e-6)
        assert balance.equity == pytest.approx(float(model.equity()), rel=1e-9, abs=1e-6)
        held = {p.symbol: (p.qty, p.liquidation_price) for p in stream.world.venue.positions()}
        for symbol, book in model.books.items():
            qty, liquidation = held.get(symbol, (0.0, 0.0))
            assert qty == float(book.qty)
            assert liquidation == pytest.approx(float(model.liquidation(book)), rel=1e-9, abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(SETTINGS, STEPS)
def test_money_is_conserved(choice, steps) -> None:
    """Wallet change = realised profit - fees + funding; equity = wallet + open profit; every fill pays a fee."""
    stream = Stream(choice)
    qty, entry = dict.fromkeys(SYMBOLS, 0.0), dict.fromkeys(SYMBOLS, 0.0)
    parts = [10_000.0]
    for step in steps:
        for event in stream.play(*step):
            if isinstance(event, Fill):
                assert event.fee > 0.0
                sign, held = 1.0 if event.side is BUY else -1.0, qty[event.symbol]
                closing = min(event.qty, abs(held)) if sign * held < 0.0 else 0.0
                opening = event.qty - closing
                parts += [-sign * closing * (event.price - entry[event.symbol]), -event.fee]
                if opening > 0.0:
                    size = abs(held) - closing
                    total = size * entry[event.symbol] + opening * event.price
                    entry[event.symbol] = total / (size + opening)
                qty[event.symbol] = round(held + sign * event.qty, 3)
            elif isinstance(event, FundingPayment):
                assert event.qty == qty[event.symbol]
                parts.append(-event.qty * event.mark_price * event.rate)
        balance = stream.world.venue.balance()
        assert balance.wallet == pytest.approx(math.fsum(parts), rel=1e-9, abs=1e-6)
        open_profit = math.fsum(p.qty * (p.mark_price - p.entry_price) for p in stream.world.venue.positions())
        assert balance.equity == pytest.approx(balance.wallet + open_profit, rel=1e-9)
        positions = {p.symbol: p.qty for p in stream.world.venue.positions()}
        assert {s: q for s, q in qty.items() if q != 0.0} == positions  # fills, and nothing else, moved them


@settings(max_examples=80, deadline=None)
@given(SETTINGS, STEPS)
def test_reducing_and_liquidation_never_leave_more(choice, steps) -> None:
    """A reduce-only fill never increases or flips, a liquidation leaves nothing, a limit is never worse than asked."""
    stream = Stream(choice, initial_cash=3_000.0)
    qty = dict.fromkeys(SYMBOLS, 0.0)
    for step in steps:
        for event in stream.play(*step):
            if not isinstance(event, Fill):
                continue
            before, sign = qty[event.symbol], 1.0 if event.side is BUY else -1.0
            after = qty[event.symbol] = round(before + sign * event.qty, 3)
            order = stream.world.venue.get_order(event.client_order_id)
            if event.liquidation:
                assert after == 0.0
            elif order is not None and order.reduce_only:
                assert abs(after) < abs(before)
                assert after * before >= 0.0
            if order is not None and order.type is LIMIT:
                assert sign * (event.price - order.price) <= 0.0
        for position in stream.world.venue.positions():
            assert position.margin > 0.0


@settings(max_examples=60, deadline=None)
@given(SETTINGS, STEPS, st.integers(0, 40), st.sampled_from(["json", "msgpack"]))
def test_continues_from_its_state(choice, steps, cut, wire) -> None:
    """Saved after any step, encoded and loaded into a new venue, it goes on with the same events and the same state."""
    straight, resumed = Stream(choice), Stream(choice)
    codec = getattr(msgspec, wire)
    for number, step in enumerate(steps):
        assert straight.play(*step) == resumed.play(*step)
        if number == cut:
            saved = codec.decode(codec.encode(resumed.world.venue.state()))
            resumed.world.venue = Stream(choice).world.venue
            resumed.world.venue.load_state(saved)
        assert straight.world.venue.state() == resumed.world.venue.state()
        assert straight.world.venue.balance() == resumed.world.venue.balance()


@settings(max_examples=60, deadline=None)
@given(SETTINGS, STEPS, st.integers(0, 40))
def test_continues_from_a_state_inside_a_bar(choice, steps, cut) -> None:
    """Saved between a bar's open and its range, the range fills the same orders."""
    stream = Stream(choice)
    for number, (moves, orders, _) in enumerate(steps):
        stream.world.open(*stream.next_bars(moves))
        if number == cut:
            other = Stream(choice).world.venue
            other.load_state(msgspec.json.decode(msgspec.json.encode(stream.world.venue.state())))
            assert other.on_range(stream.world.batch) == stream.world.range()
            assert other.state() == stream.world.venue.state()
        else:
            stream.world.range()
        for request in stream.requests(orders):
            stream.submit(request)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([1, -1]), st.integers(50, 1_500), st.integers(50, 1_500), st.sampled_from([1.0, 8.0, 10.0, 20.0]),
    st.integers(-1_600, 1_600), st.integers(0, 1_600), st.integers(0, 1_600),
)
def test_first_exit_is_what_the_venue_does(sign, stop, target, leverage, gap, up, down) -> None:
    """The scalar the sweep compiles names the exit the venue makes of that bar: the open first, then the range."""
    world = World()
    world.hold(BUY if sign > 0 else SELL, 10.0, leverage=leverage)
    side = SELL if sign > 0 else BUY
    stop_price, target_price = (10_000 - sign * stop) / 100, (10_000 + sign * target) / 100
    ids = {
        world.accept(side, STOP, 10.0, stop_price, reduce_only=True): paper_fills.EXIT_STOP,
        world.accept(side, TARGET, 10.0, target_price, reduce_only=True): paper_fills.EXIT_TARGET,
    }
    dead = world.venue.positions()[0].liquidation_price
    open_, high, low = (10_000 + gap) / 100, (10_000 + gap + up) / 100, (10_000 + gap - down) / 100
    expected = paper_fills.first_exit(sign, stop_price, target_price, dead, open_, open_, open_)
    if expected == paper_fills.EXIT_NONE:
        expected = paper_fills.first_exit(sign, stop_price, target_price, dead, open_, low, high)
    done = fills_of(world.bar((open_, high, low, open_)))
    assert [paper_fills.EXIT_LIQUIDATION if f.liquidation else ids[f.client_order_id] for f in done] == (
        [expected] if expected != paper_fills.EXIT_NONE else []
    )


@given(
    st.sampled_from([BUY, SELL]), st.integers(50, 80_000).map(lambda steps: steps / 1_000),
    st.sampled_from([1.0, 2.0, 5.0, 10.0]),
)
def test_guard_and_venue_see_one_liquidation_price(side, qty, leverage) -> None:
    """What the risk guard expects before an entry at 100 is what the venue reports of the position after it."""
    world = World(initial_cash=1e6)
    world.hold(side, qty, leverage=leverage)
    sign = 1 if side is BUY else -1
    expected = sizing.liquidation_price(sign, 100.0, qty, leverage, tier_rows(make_instrument("A")))
    assert world.venue.positions()[0].liquidation_price == pytest.approx(expected, rel=1e-9)
