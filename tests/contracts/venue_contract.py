"""What every venue adapter must do, as checks independent of any adapter.

An adapter is any public class in ``quantum_trader.venues`` that has every method of the ``Venue`` port (an exchange in
memory) or of the ``ExecutionVenue`` port (a venue over a network); :func:`adapters` finds them. One without a bench
fails the suite. A check states what the port promises and nothing more: where one adapter fills at once and another at
the next price, it holds for both.

To add an adapter: write its bench (for a wire, a ``WireBench`` of ``benches.py`` with ``start`` and a few hands on the
market) and add one line to ``BENCHES`` there: ``"ClassName": ItsBench``. The class may live anywhere, and a second
bench of it has a name of more words: ``"ClassName over something": OtherBench``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
import pytest

import quantum_trader.venues
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import VenueError, VenueUnavailable
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import Rejection, Venue, VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import (
    ExecutionVenue,
    Kline,
    LeverageChanged,
    Quote,
    StreamEvent,
    StreamState,
    WalletChanged,
)

COIN = Instrument(
    symbol="AAAUSDT", tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0,
    tiers=(LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0),),
)
INTERVAL_NS = NS_PER_MINUTE
FINAL = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)
OFF_GRID = f"{Rejection.STEP.value} {Rejection.TICK.value} -1111"  # -1111: more decimals than the venue reads
TAKEN = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED)


class Bench(Protocol):
    """An adapter of COIN with 10 000 USDT, a hand on its market, its answers as plain values.

    Assumed are COIN's filters, leverages of 1 to 20 with 4000 USDT allowed at 20, fees above zero, costs of at most
    0.5 %, and funding only when passed.
    """

    venue: Any  # the adapter itself
    published: list[StreamEvent]  # every event so far, in order

    def show(self, price: float) -> list[StreamEvent]:
        """Make the market trade at *price* for a while; return the events since the last call."""
        ...

    def submit(self, request: OrderRequest) -> OrderUpdate:
        """Return the answer to an order."""
        ...

    def cancel(self, request: CancelRequest) -> OrderUpdate:
        """Return the answer to a cancel."""
        ...

    def set_leverage(self, symbol: str, leverage: float) -> float:
        """Return the leverage in force after asking for one."""
        ...

    def positions(self) -> list[VenuePosition]:
        """Return the open positions."""
        ...

    def balance(self) -> VenueBalance:
        """Return the money."""
        ...

    def open_orders(self, symbol: str | None = None) -> list[VenueOrder]:
        """Return the open orders."""
        ...

    def order(self, client_order_id: str) -> VenueOrder | None:
        """Return an order of COIN."""
        ...

    def close(self) -> None:
        """Let go of everything the bench holds."""
        ...


class Wire(Bench, Protocol):
    """The bench of an ``ExecutionVenue``."""

    venue: ExecutionVenue
    since_ns: int  # a moment before anything happened

    def ask(self, question: Any) -> Any:
        """Await one of the venue's questions and return its answer."""
        ...

    def until(self, wanted: Callable[[StreamEvent], bool]) -> StreamEvent:
        """Return the first published event that is *wanted*; waits some seconds for it."""
        ...

    def now_ns(self) -> int:
        """The venue's time."""
        ...

    def pass_funding(self) -> None:
        """Let a funding of 0.1 % become due and be paid."""
        ...

    def pay(self, amount: float) -> bool:
        """Pay money into the account, or (negative) out of it; False where the venue has no such request."""
        ...

    def come_back(self, price: float) -> None:
        """End the adapter, let the market trade at *price* meanwhile, and connect a new one to the same account."""
        ...

    def unplug(self) -> None:
        """Make the venue unreachable."""
        ...

    def plug(self) -> None:
        """Make it reachable again."""
        ...


def methods_of(port: type) -> list[str]:
    """The public methods of a port."""
    return [name for name, value in vars(port).items() if inspect.isfunction(value) and not name.startswith("_")]


def is_wire(kind: type) -> bool:
    """Whether *kind* has every method of the port of a venue beyond a wire."""
    return all(callable(getattr(kind, name, None)) for name in methods_of(ExecutionVenue))


def adapters() -> Iterator[type]:
    """Every public class in the venues room that has all methods of either port."""
    for module_info in pkgutil.walk_packages(quantum_trader.venues.__path__, "quantum_trader.venues."):
        module = importlib.import_module(module_info.name)
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__ or name.startswith("_"):
                continue
            if is_wire(kind) or all(callable(getattr(kind, each, None)) for each in methods_of(Venue)):
                yield kind


def checks(*, wire: bool) -> list[Callable[[Any], None]]:
    """The checks of every adapter, then those of its port alone, in the order they are written."""
    ours, others = ("check_wire_", "check_memory_") if wire else ("check_memory_", "check_wire_")
    found = [(name, value) for name, value in globals().items() if name.startswith("check_")]
    common = [value for name, value in found if not name.startswith((ours, others))]
    return common + [value for name, value in found if name.startswith(ours)]


# ---------------------------------------------------------------------- how checks speak


def order(side: str, kind: str, qty: float, price: float = 0.0, **changes: Any) -> OrderRequest:
    """A request for COIN; the client id names what it is, so that one check sends each kind once."""
    fields: dict[str, Any] = {
        "client_order_id": f"{side}-{kind}-{qty}-{price}".lower(), "intent_id": "intent", "trace_id": "trace",
        "symbol": COIN.symbol, "side": OrderSide(side), "type": OrderType(kind), "qty": qty, "created_ns": 0,
    }
    fields["price" if kind in ("LIMIT", "LIMIT_MAKER") else "stop_price"] = price
    return OrderRequest(**(fields | changes))


def accepted(bench: Bench, *fields: Any, **changes: Any) -> str:
    """Send an order that must be taken and return its client id."""
    request = order(*fields, **changes)
    update = bench.submit(request)
    assert update.status in TAKEN, update
    assert (update.client_order_id, update.symbol) == (request.client_order_id, request.symbol)
    return update.client_order_id


def refused(bench: Bench, codes: str, *fields: Any, **changes: Any) -> None:
    """Send an order that must be refused with one of *codes* (separated by blanks) and leave nothing behind."""
    before = bench.open_orders()
    update = bench.submit(order(*fields, **changes))
    assert update.status is OrderStatus.REJECTED, update
    assert update.reason.split(" ")[0] in codes.split(), update
    assert bench.open_orders() == before


def cancel_of(client_order_id: str) -> CancelRequest:
    """The wish to cancel an order of COIN."""
    return CancelRequest(client_order_id=client_order_id, symbol=COIN.symbol, created_ns=0)


def fills(events: list[StreamEvent], client_order_id: str = "") -> list[Fill]:
    """Return the fills among *events*, of one order where it is named."""
    return [e for e in events if isinstance(e, Fill) and client_order_id in ("", e.client_order_id)]


def held(bench: Bench) -> float:
    """The signed position."""
    return sum(position.qty for position in bench.positions())


def traded(bench: Bench, side: str, qty: float, price: float, **changes: Any) -> Fill:
    """Trade *qty* at the market while it stands at *price* and return the one fill it took."""
    bench.show(price)
    order_id = accepted(bench, side, "MARKET", qty, **changes)
    bench.show(price)
    (fill,) = fills(bench.published, order_id)
    assert (fill.qty, fill.liquidity) == (qty, "taker")
    return fill


def stopped_long(bench: Bench) -> str:
    """Hold one unit long from 100 with a stop at 95, far from liquidation; return the stop's id."""
    bench.set_leverage(COIN.symbol, 2.0)
    traded(bench, "BUY", 1.0, 100.0)
    return accepted(bench, "SELL", "STOP_MARKET", 1.0, 95.0, reduce_only=True)


def verify_events(published: list[StreamEvent]) -> None:
    """Check the order of events: each fill once, fills before their status, nothing after a final status."""
    filled: dict[str, float] = {}
    ended: dict[str, OrderStatus] = {}
    known: set[tuple[str, str]] = set()
    for event in published:
        if isinstance(event, Fill):
            assert (event.symbol, event.fill_id) not in known, f"published twice: {event}"
            assert event.qty > 0.0
            assert event.client_order_id not in ended, f"a fill after the order's end: {event}"
            known.add((event.symbol, event.fill_id))
            filled[event.client_order_id] = filled.get(event.client_order_id, 0.0) + event.qty
        elif isinstance(event, OrderUpdate):
            name = event.client_order_id
            assert event.filled_qty <= filled.get(name, 0.0) + 1e-9, f"published before its fill: {event}"
            assert name not in ended or ended[name] is event.status, f"after {ended[name].value}: {event}"
            if event.status in FINAL:
                ended[name] = event.status


# ---------------------------------------------------------------------- every adapter


def check_starts_flat(bench: Bench) -> None:
    """No position, no order, all money available; the instrument is the venue's."""
    balance = bench.balance()
    assert (bench.positions(), bench.open_orders()) == ([], [])
    assert balance.equity == balance.available == balance.wallet == 10_000.0
    assert bench.venue.instrument(COIN.symbol).tick_size == COIN.tick_size
    assert COIN.symbol in bench.venue.symbols
    assert bench.order("nobody") is None


def check_only_fills_move_books(bench: Bench) -> None:
    """A market order is acknowledged; its fill is no better than the market, costs a fee, and is the position."""
    bench.show(100.0)
    order_id = accepted(bench, "BUY", "MARKET", 1.0)
    events = bench.show(100.0)
    (fill,) = fills(events)
    assert (fill.client_order_id, fill.qty, fill.side, fill.liquidity) == (order_id, 1.0, OrderSide.BUY, "taker")
    assert 100.0 <= fill.price <= 100.5
    assert fill.fee > 0.0
    (position,) = bench.positions()
    assert (position.symbol, position.qty, position.entry_price) == (COIN.symbol, 1.0, pytest.approx(fill.price))
    known = bench.order(order_id)
    assert known is not None
    assert (known.status, known.filled_qty) == (OrderStatus.FILLED, 1.0)
    assert known.average_price == pytest.approx(fill.price)


def check_fill_comes_before_its_status(bench: Bench) -> None:
    """The fill comes first, then FILLED with its quantity."""
    bench.show(100.0)
    order_id = accepted(bench, "SELL", "MARKET", 1.0)
    events = bench.show(100.0)
    about = [e for e in events if isinstance(e, Fill | OrderUpdate) and e.client_order_id == order_id]
    *_, fill, update = about
    assert isinstance(fill, Fill)
    assert isinstance(update, OrderUpdate)
    assert (update.status, update.filled_qty) == (OrderStatus.FILLED, 1.0)
    assert held(bench) == -1.0


def check_wallet_changes_by_profit_and_fees(bench: Bench) -> None:
    """Bought and sold: the wallet moved by the price difference less both fees, and equity equals the wallet again."""
    bought = traded(bench, "BUY", 2.0, 100.0)
    assert bench.balance().margin_used > 0.0
    sold = traded(bench, "SELL", 2.0, 110.0, reduce_only=True)
    balance = bench.balance()
    expected = 10_000.0 + 2.0 * (sold.price - bought.price) - bought.fee - sold.fee
    assert balance.wallet == pytest.approx(expected, abs=1e-6)
    assert balance.equity == pytest.approx(expected, abs=1e-6)
    assert balance.available == pytest.approx(expected, abs=1e-6)
    assert bench.positions() == []


def check_stop_rests_and_protects(bench: Bench) -> None:
    """A reduce-only stop is listed, survives a price above it, and closes the position below it under its own id."""
    stop = stopped_long(bench)
    (resting,) = bench.open_orders(COIN.symbol)
    assert (resting.client_order_id, resting.type, resting.stop_price) == (stop, OrderType.STOP_MARKET, 95.0)
    assert (resting.side, resting.qty, resting.reduce_only) == (OrderSide.SELL, 1.0, True)
    assert resting.status is OrderStatus.NEW
    assert fills(bench.show(96.0)) == []
    (fill,) = fills(bench.show(94.0))
    assert (fill.client_order_id, held(bench), bench.open_orders()) == (stop, 0.0, [])
    assert fill.price <= 95.0
    known = bench.order(stop)
    assert known is not None
    assert (known.status, known.filled_qty, known.type) == (OrderStatus.FILLED, 1.0, OrderType.STOP_MARKET)


def check_shorts_are_protected_too(bench: Bench) -> None:
    """A buy stop above a short waits below its price and closes above it."""
    bench.set_leverage(COIN.symbol, 2.0)
    traded(bench, "SELL", 1.0, 100.0)
    stop = accepted(bench, "BUY", "STOP_MARKET", 1.0, 105.0, reduce_only=True)
    assert fills(bench.show(104.0)) == []
    (fill,) = fills(bench.show(106.0))
    assert (fill.client_order_id, fill.side, held(bench)) == (stop, OrderSide.BUY, 0.0)
    assert fill.price >= 105.0


def check_second_stop_may_rest_while_the_first_does(bench: Bench) -> None:
    """A stop is moved by placing the new one first: two quantity stops rest side by side, then the old one goes."""
    old = stopped_long(bench)
    new = accepted(bench, "SELL", "STOP_MARKET", 1.0, 97.0, reduce_only=True)
    assert [resting.client_order_id for resting in bench.open_orders()] == [old, new]
    assert bench.cancel(cancel_of(old)).status is OrderStatus.CANCELED
    assert [resting.client_order_id for resting in bench.open_orders()] == [new]


def check_stop_that_would_trigger_is_refused(bench: Bench) -> None:
    """-2021 for a stop above the market of a long, and for a target below it."""
    traded(bench, "BUY", 1.0, 100.0)
    refused(bench, Rejection.WOULD_TRIGGER.value, "SELL", "STOP_MARKET", 1.0, 101.0, reduce_only=True)
    refused(bench, Rejection.WOULD_TRIGGER.value, "SELL", "TAKE_PROFIT_MARKET", 1.0, 99.0, reduce_only=True)


def check_target_takes_profit(bench: Bench) -> None:
    """A take-profit at 105 waits at 104 and fills once the price is there."""
    traded(bench, "BUY", 1.0, 100.0)
    target = accepted(bench, "SELL", "TAKE_PROFIT_MARKET", 1.0, 105.0, reduce_only=True)
    assert fills(bench.show(104.0)) == []
    assert [fill.client_order_id for fill in fills(bench.show(106.0))] == [target]
    assert held(bench) == 0.0


def check_limit_is_never_worse_than_its_price(bench: Bench) -> None:
    """A resting buy at 99 fills at 99 or less once the price trades through it, as a maker."""
    bench.show(100.0)
    limit = accepted(bench, "BUY", "LIMIT", 1.0, 99.0)
    assert fills(bench.show(100.0)) == []
    assert [resting.price for resting in bench.open_orders()] == [99.0]
    (fill,) = fills(bench.show(98.0))
    assert (fill.client_order_id, fill.price <= 99.0, fill.liquidity) == (limit, True, "maker")


def check_post_only_order_rests_and_makes(bench: Bench) -> None:
    """Sent at the market's price it rests on its own side, at a price that is only met too, and fills as a maker."""
    bench.set_leverage(COIN.symbol, 2.0)
    for side, through in (("BUY", 98.0), ("SELL", 102.0)):
        bench.show(100.0)
        order_id = accepted(bench, side, "LIMIT_MAKER", 1.0, 100.0)
        assert fills(bench.show(100.0), order_id) == []
        (resting,) = bench.open_orders()
        assert (resting.client_order_id, 99.5 <= resting.price <= 100.5) == (order_id, True)
        (fill,) = fills(bench.show(through), order_id)
        assert (fill.liquidity, fill.price) == ("maker", resting.price)
        assert abs(fill.price - 100.0) < abs(fill.price - through)
    assert held(bench) == 0.0


def check_reduce_only_never_flips(bench: Bench) -> None:
    """Asked to sell three of one, the venue sells one or refuses; without a position it is -2022."""
    traded(bench, "BUY", 1.0, 100.0)
    answer = bench.submit(order("SELL", "MARKET", 3.0, reduce_only=True))
    sold = sum(fill.qty for fill in fills(bench.show(100.0)) if fill.side is OrderSide.SELL)
    if answer.status is OrderStatus.REJECTED:
        assert (sold, held(bench)) == (0.0, 1.0)
        traded(bench, "SELL", 1.0, 100.0, reduce_only=True)
    else:
        assert (sold, held(bench)) == (1.0, 0.0)
    refused(bench, Rejection.REDUCE_ONLY.value, "SELL", "MARKET", 1.0, reduce_only=True)


def check_filters_refuse(bench: Bench) -> None:
    """Unknown symbol, quantity and price off their grids, too small, too large for the wallet."""
    bench.show(100.0)
    refused(bench, Rejection.UNKNOWN_SYMBOL.value, "BUY", "MARKET", 1.0, symbol="NOSUCHUSDT")
    refused(bench, OFF_GRID, "BUY", "MARKET", 1.0005)
    refused(bench, OFF_GRID, "BUY", "LIMIT", 1.0, 99.005)
    refused(bench, Rejection.MIN_NOTIONAL.value, "BUY", "MARKET", 0.04)
    refused(bench, Rejection.MARGIN.value, "BUY", "MARKET", 5_000.0)


def check_same_client_id_is_one_order(bench: Bench) -> None:
    """Repeated while open, a request answers the order's status or -4116 and makes no second one; nor does another."""
    bench.show(100.0)
    request = order("BUY", "LIMIT", 1.0, 90.0)
    first, again = bench.submit(request), bench.submit(request)
    if again.status is OrderStatus.REJECTED:
        assert again.reason.split(" ")[0] == Rejection.DUPLICATE.value
    else:
        assert (again.status, again.venue_order_id) == (OrderStatus.NEW, first.venue_order_id)
    refused(bench, Rejection.DUPLICATE.value, "BUY", "LIMIT", 2.0, 90.0, client_order_id=request.client_order_id)
    (only,) = bench.open_orders()
    assert (only.qty, only.venue_order_id) == (1.0, first.venue_order_id)


def check_same_client_id_is_one_stop(bench: Bench) -> None:
    """The same holds for stops, which a venue may keep in another book."""
    stop = stopped_long(bench)
    again = bench.submit(order("SELL", "STOP_MARKET", 1.0, 95.0, reduce_only=True))
    assert again.status is OrderStatus.NEW or again.reason.split(" ")[0] == Rejection.DUPLICATE.value
    assert [resting.client_order_id for resting in bench.open_orders()] == [stop]


def check_cancel_answers_always(bench: Bench) -> None:
    """An open order or stop is cancelled, the same cancel again returns its final status, an unknown id is -2011."""
    stop = stopped_long(bench)
    resting = accepted(bench, "BUY", "LIMIT", 1.0, 90.0)
    for each in (stop, resting):
        assert [bench.cancel(cancel_of(each)).status for _ in range(2)] == [OrderStatus.CANCELED] * 2
        known = bench.order(each)
        assert known is not None
        assert known.status is OrderStatus.CANCELED
    unknown = bench.cancel(cancel_of("nobody"))
    assert (unknown.status, unknown.reason.split(" ")[0]) == (OrderStatus.REJECTED, Rejection.UNKNOWN_ORDER.value)
    assert fills(bench.show(89.0)) == []


def check_late_cancel_does_not_hide_a_fill(bench: Bench) -> None:
    """Cancelling what has filled answers FILLED, for a market order and for a stop."""
    stop = stopped_long(bench)
    entry = next(fill.client_order_id for fill in fills(bench.published))
    bench.show(94.0)
    assert [bench.cancel(cancel_of(each)).status for each in (entry, stop)] == [OrderStatus.FILLED] * 2


def check_leverage_is_read_back(bench: Bench) -> None:
    """What is in force is returned, also when more than the tier's largest was asked for, and the position has it."""
    assert bench.set_leverage(COIN.symbol, 5.0) == 5.0
    assert bench.set_leverage(COIN.symbol, 100.0) in (5.0, 20.0)
    assert bench.set_leverage(COIN.symbol, 4.0) == 4.0
    traded(bench, "BUY", 1.0, 100.0)
    (position,) = bench.positions()
    assert position.leverage == 4.0
    assert position.margin == pytest.approx(position.entry_price / 4.0, rel=0.05)
    assert bench.balance().margin_used == pytest.approx(position.margin, rel=0.05)


def check_liquidation_leaves_nothing(bench: Bench) -> None:
    """A 20x long is closed by the venue when its margin is gone; the fill is marked so, and has the venue's id."""
    bench.show(100.0)
    assert bench.set_leverage(COIN.symbol, 20.0) == 20.0
    traded(bench, "BUY", 40.0, 100.0)
    assert 95.0 < bench.positions()[0].liquidation_price < 99.0, "before the margin of 5 % is lost"
    (fill,) = fills(bench.show(90.0))
    assert (fill.liquidation, fill.qty, held(bench)) == (True, 40.0, 0.0)
    assert fill.client_order_id.startswith(("autoclose-", "adl_autoclose"))


# ---------------------------------------------------------------------- an exchange in memory


def check_memory_acknowledgement_moves_nothing(bench: Bench) -> None:
    """NEW, and no position before the next price; that price is the fill's."""
    bench.show(100.0)
    assert bench.submit(order("BUY", "MARKET", 1.0)).status is OrderStatus.NEW
    assert held(bench) == 0.0
    (fill,) = fills(bench.show(101.0))
    assert fill.price >= 101.0


def check_memory_leverage_is_told(bench: Bench) -> None:
    """The leverage in force can be asked for without setting it."""
    assert bench.set_leverage(COIN.symbol, 7.0) == bench.venue.leverage(COIN.symbol) == 7.0


def check_memory_continues_from_its_state(bench: Bench) -> None:
    """Position, stop and wallet are there after the state went through JSON."""
    stopped_long(bench)
    before = (bench.positions(), bench.open_orders(), bench.balance())
    bench.venue.load_state(msgspec.json.decode(msgspec.json.encode(bench.venue.state())))
    assert (bench.positions(), bench.open_orders(), bench.balance()) == before
    assert len(fills(bench.show(94.0))) == 1


# ---------------------------------------------------------------------- a venue beyond a wire


def check_wire_questions_are_awaited(bench: Wire) -> None:
    """Every request of the port is a coroutine, the stream an iterator; the venue has a name and a receive window."""
    for name in methods_of(ExecutionVenue):
        method = getattr(type(bench.venue), name)
        if inspect.iscoroutinefunction(getattr(ExecutionVenue, name)):
            assert inspect.iscoroutinefunction(method), name
    assert hasattr(bench.venue.stream(INTERVAL_NS), "__anext__")
    assert bench.venue.name
    assert bench.venue.receive_window_s > 0.0
    assert abs(bench.venue.clock_offset_ms()) < 1e12


def check_wire_stream_begins_with_its_states(bench: Wire) -> None:
    """Each stream begins with its state "up"."""
    bench.until(lambda event: isinstance(event, StreamState) and event.stream == "market")
    bench.until(lambda event: isinstance(event, StreamState) and event.stream == "user")
    traded(bench, "BUY", 1.0, 100.0)
    up: set[str] = set()
    for event in bench.published:
        if isinstance(event, StreamState):
            assert event.up, event
            up.add(event.stream)
        else:
            assert ("market" if isinstance(event, Kline | Quote) else "user") in up or not isinstance(
                event, Kline | Quote | Fill | OrderUpdate | FundingPayment
            ), event
    assert up == {"market", "user"}


def check_wire_orders_are_told(bench: Wire) -> None:
    """What is acknowledged, filled or cancelled by request comes out of the stream as well."""
    stop = stopped_long(bench)
    limit = accepted(bench, "BUY", "LIMIT", 1.0, 90.0)
    bench.cancel(cancel_of(limit))
    bench.until(
        lambda e: isinstance(e, OrderUpdate) and (e.client_order_id, e.status) == (limit, OrderStatus.CANCELED)
    )
    bench.until(lambda e: isinstance(e, OrderUpdate) and (e.client_order_id, e.status) == (stop, OrderStatus.NEW))


def check_wire_fills_are_the_same_when_asked(bench: Wire) -> None:
    """The stream's fills and those asked for are equal, client ids included, and *since* leaves the older ones out."""
    stopped_long(bench)
    bench.show(94.0)
    traded(bench, "SELL", 0.5, 95.0, client_order_id="short")
    asked = bench.ask(bench.venue.get_fills(COIN.symbol, bench.since_ns))
    published = fills(bench.published)
    assert len(asked) == 3
    for ours, theirs in zip(published, asked, strict=True):
        for key in ("fill_id", "client_order_id", "symbol", "side", "liquidity", "ts_ns", "liquidation"):
            assert getattr(ours, key) == getattr(theirs, key), key
        for key in ("qty", "price", "fee"):
            assert getattr(ours, key) == pytest.approx(getattr(theirs, key), abs=1e-8), key
    newest = published[-1].ts_ns
    assert {fill.fill_id for fill in bench.ask(bench.venue.get_fills(COIN.symbol, newest))} == {
        fill.fill_id for fill in published if fill.ts_ns >= newest
    }
    assert bench.ask(bench.venue.get_fills(COIN.symbol, newest + 10**9)) == []


def check_wire_wallet_is_told(bench: Wire) -> None:
    """After a fill the stream has the same wallet as a request."""
    traded(bench, "BUY", 1.0, 100.0)
    wallet = bench.balance().wallet
    assert wallet < 10_000.0
    published = bench.until(lambda event: isinstance(event, WalletChanged) and abs(event.wallet - wallet) < 1e-6)
    assert isinstance(published, WalletChanged)


def check_wire_leverage_is_told(bench: Wire) -> None:
    """A changed leverage comes out of the stream."""
    bench.set_leverage(COIN.symbol, 3.0)
    published = bench.until(lambda event: isinstance(event, LeverageChanged) and event.leverage == 3.0)
    assert isinstance(published, LeverageChanged)
    assert published.symbol == COIN.symbol


def check_wire_prices_are_told(bench: Wire) -> None:
    """The last price is the one that was traded; a quote stands around it."""
    bench.show(123.0)
    assert bench.ask(bench.venue.get_ticker_price(COIN.symbol)) == 123.0
    published = bench.until(lambda event: isinstance(event, Quote) and event.bid <= 123.0 <= event.ask)
    assert isinstance(published, Quote)
    assert (published.symbol, published.ask - published.bid < 1.0) == (COIN.symbol, True)


def check_wire_bars_are_complete(bench: Wire) -> None:
    """Streamed and requested bars are closed ones, equal, in order, on the grid, and inside [start, end)."""
    for price in (100.0, 101.0, 102.0, 103.0):
        bench.show(price)
    last = bench.until(lambda event: isinstance(event, Kline) and event.close == 102.0)
    assert isinstance(last, Kline)
    published = [event for event in bench.published if isinstance(event, Kline)]
    for bar in published:
        assert (bar.symbol, bar.interval_ns, bar.ts_ns % INTERVAL_NS) == (COIN.symbol, INTERVAL_NS, 0)
        assert bar.ts_ns + INTERVAL_NS <= bench.now_ns(), "a bar that is not complete"
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
    assert [bar.ts_ns for bar in published] == sorted({bar.ts_ns for bar in published}), "each once, oldest first"
    start, end = published[0].ts_ns, last.ts_ns
    asked = bench.ask(bench.venue.get_klines(COIN.symbol, INTERVAL_NS, start, end))
    assert [bar.ts_ns for bar in asked] == list(range(start, end, INTERVAL_NS))
    assert {bar.ts_ns: bar for bar in asked}.items() >= {bar.ts_ns: bar for bar in published if bar.ts_ns < end}.items()
    until_now = bench.ask(bench.venue.get_klines(COIN.symbol, INTERVAL_NS, start, bench.now_ns() + 10 * INTERVAL_NS))
    assert all(bar.ts_ns + INTERVAL_NS <= bench.now_ns() for bar in until_now), "the running bar is not returned"
    assert bench.ask(bench.venue.get_klines(COIN.symbol, INTERVAL_NS, end, end)) == []


def check_wire_funding_is_told_and_asked(bench: Wire) -> None:
    """A long of two at 100 pays 0.1 % of 200; the payment comes by stream and by asking, and the wallet has it."""
    traded(bench, "BUY", 2.0, 100.0)
    wallet = bench.balance().wallet
    bench.pass_funding()
    published = bench.until(lambda event: isinstance(event, FundingPayment))
    assert isinstance(published, FundingPayment)
    assert published.symbol == COIN.symbol
    assert published.amount == pytest.approx(-0.2, rel=0.01)
    (asked,) = bench.ask(bench.venue.get_funding(bench.since_ns))
    assert (asked.symbol, asked.ts_ns) == (published.symbol, published.ts_ns)
    assert asked.amount == pytest.approx(published.amount, abs=1e-8)
    assert bench.balance().wallet == pytest.approx(wallet + published.amount, abs=1e-6)
    assert bench.ask(bench.venue.get_funding(published.ts_ns + 10**9)) == []


def check_wire_money_moved_is_told_and_asked(bench: Wire) -> None:
    """Paid out and in: each comes by asking once, by stream as moved, and is in the wallet. Trading moves no money."""
    traded(bench, "BUY", 2.0, 100.0)
    traded(bench, "SELL", 2.0, 110.0, reduce_only=True)
    bench.pass_funding()
    assert bench.ask(bench.venue.get_transfers(bench.since_ns)) == []
    assert all(event.moved == 0.0 for event in bench.published if isinstance(event, WalletChanged))
    wallet = bench.balance().wallet
    if not bench.pay(-250.0):
        return
    published = bench.until(lambda event: isinstance(event, WalletChanged) and event.moved != 0.0)
    assert isinstance(published, WalletChanged)
    assert (published.moved, published.wallet) == (-250.0, pytest.approx(wallet - 250.0, abs=1e-6))
    assert bench.balance().wallet == pytest.approx(wallet - 250.0, abs=1e-6)
    (out,) = bench.ask(bench.venue.get_transfers(bench.since_ns))
    assert (out.amount, abs(out.ts_ns - published.ts_ns) < 60 * 10**9) == (-250.0, True)
    assert bench.pay(70.0)
    assert [one.amount for one in bench.ask(bench.venue.get_transfers(bench.since_ns))] == [-250.0, 70.0]
    assert len({one.move_id for one in bench.ask(bench.venue.get_transfers(bench.since_ns))}) == 2
    assert bench.ask(bench.venue.get_transfers(bench.now_ns() + 10**9)) == []


def check_wire_unreachable_means_no_effect(bench: Wire) -> None:
    """VenueUnavailable for questions and for an opening order while it is down; afterwards there is no such order."""
    bench.show(100.0)
    bench.unplug()
    with pytest.raises(VenueUnavailable):
        bench.ask(bench.venue.get_ticker_price(COIN.symbol))
    with pytest.raises(VenueUnavailable):
        bench.ask(bench.venue.get_klines(COIN.symbol, INTERVAL_NS, bench.since_ns, bench.now_ns()))
    with pytest.raises(VenueUnavailable):
        bench.submit(order("BUY", "LIMIT", 1.0, 90.0))
    bench.plug()
    assert (bench.open_orders(), bench.order("buy-limit-1.0-90.0")) == ([], None)
    accepted(bench, "BUY", "LIMIT", 1.0, 90.0)


def check_wire_account_outlives_the_adapter(bench: Wire) -> None:
    """One made anew finds position, stop, fills and client ids; also of a stop that triggered in between."""
    stop = stopped_long(bench)
    limit = accepted(bench, "BUY", "LIMIT", 1.0, 60.0)
    entry = fills(bench.published)[0]
    bench.come_back(96.0)
    assert held(bench) == 1.0
    assert {resting.client_order_id for resting in bench.open_orders()} == {stop, limit}
    bench.come_back(94.0)
    bench.show(94.0)
    assert (held(bench), [resting.client_order_id for resting in bench.open_orders()]) == (0.0, [limit])
    known = bench.order(stop)
    assert known is not None
    assert (known.status, known.filled_qty) == (OrderStatus.FILLED, 1.0)
    first, second = bench.ask(bench.venue.get_fills(COIN.symbol, bench.since_ns))
    assert (first.fill_id, first.client_order_id) == (entry.fill_id, entry.client_order_id)
    assert (second.client_order_id, second.qty, second.price <= 95.0) == (stop, 1.0, True)


def check_wire_closes_twice(bench: Wire) -> None:
    """Closing ends the stream and may be repeated; a closed venue is no answer to anything."""
    bench.show(100.0)
    bench.ask(bench.venue.close())
    bench.ask(bench.venue.close())
    for question in (bench.venue.get_positions(), bench.venue.get_ticker_price(COIN.symbol)):
        with pytest.raises(VenueError):
            bench.ask(question)
    with pytest.raises(StopAsyncIteration):
        bench.until(lambda event: False)
