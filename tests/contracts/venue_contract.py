"""What every venue adapter must do, as checks that know no adapter.

An adapter is any class in ``quantum_trader.venues`` that has every method of the ``Venue`` port; :func:`adapters` finds
them. Each brings a *bench*: how to build it and how to make its market show a price. A check takes a fresh bench.
To add an adapter, add its bench to ``BENCHES``; one without a bench fails the suite.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
import numpy as np

import quantum_trader.venues
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import Rejection, Venue, VenueEvent
from quantum_trader.venues.paper import PaperSettings, PaperVenue

COIN = Instrument(
    symbol="AAAUSDT", tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0,
    tiers=(LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0),),
)


class Bench(Protocol):
    """An adapter of COIN with 10 000 USDT, and a hand on its market."""

    venue: Venue

    def show(self, price: float) -> list[VenueEvent]:
        """Make the market trade at *price* alone for a while and return what the venue tells."""
        ...


class PaperBench:
    """The paper venue, moved by flat hourly bars."""

    def __init__(self) -> None:
        self.venue: Venue = PaperVenue([COIN], PaperSettings(assumed_funding_rate=0.0, default_taker_cost_bps=2.0))
        self._ts_ns = 475_000 * NS_PER_HOUR

    def show(self, price: float) -> list[VenueEvent]:
        """One flat bar at *price*."""
        self._ts_ns += NS_PER_HOUR
        batch = MarketBatch(self._ts_ns, NS_PER_HOUR, np.array([[price] * 4 + [1e6]]), np.array([True]))
        events = list(self.venue.on_open(batch))
        while more := self.venue.on_range(batch):
            events += more
        return events


BENCHES: dict[str, Callable[[], Bench]] = {"PaperVenue": PaperBench}


def adapters() -> Iterator[type]:
    """Every class in the venues room that has all methods of the port."""
    wanted = [name for name, value in vars(Venue).items() if inspect.isfunction(value) and not name.startswith("_")]
    for module_info in pkgutil.walk_packages(quantum_trader.venues.__path__, "quantum_trader.venues."):
        module = importlib.import_module(module_info.name)
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and all(callable(getattr(kind, name, None)) for name in wanted):
                yield kind


def checks() -> list[Callable[[Bench], None]]:
    """Every check of this contract, in the order they are written."""
    return [value for name, value in globals().items() if name.startswith("check_")]


def order(side: str, kind: str, qty: float, price: float = 0.0, **changes: Any) -> OrderRequest:
    """A request for COIN; the client id names what it is, so that one check sends each kind once."""
    fields: dict[str, Any] = {
        "client_order_id": f"{side}-{kind}-{qty}-{price}".lower(), "intent_id": "intent", "trace_id": "trace",
        "symbol": COIN.symbol, "side": OrderSide(side), "type": OrderType(kind), "qty": qty, "created_ns": 0,
    }
    fields["price" if kind == "LIMIT" else "stop_price"] = price
    return OrderRequest(**(fields | changes))


def answer(events: list[VenueEvent]) -> OrderUpdate:
    """The one order update in the answer to a request: an acknowledgement is not a fill."""
    (update,) = events
    assert isinstance(update, OrderUpdate), "a request is answered by an order update and by nothing else"
    return update


def accepted(bench: Bench, *fields: Any, **changes: Any) -> str:
    """Send an order that must be acknowledged and return its client id."""
    update = answer(bench.venue.submit(order(*fields, **changes)))
    assert update.status is OrderStatus.NEW, update
    return update.client_order_id


def refused(bench: Bench, code: Rejection, *fields: Any, **changes: Any) -> None:
    """Send an order that must be refused with *code* and leave nothing behind."""
    before = bench.venue.open_orders()
    update = answer(bench.venue.submit(order(*fields, **changes)))
    assert update.status is OrderStatus.REJECTED, update
    assert update.reason.startswith(code.value), update
    assert bench.venue.open_orders() == before


def fills(events: list[VenueEvent]) -> list[Fill]:
    """The fills among *events*."""
    return [event for event in events if isinstance(event, Fill)]


def held(bench: Bench) -> float:
    """The signed position."""
    return sum(position.qty for position in bench.venue.positions())


def long_of(bench: Bench, qty: float) -> None:
    """Show 100 and hold *qty* long."""
    bench.show(100.0)
    accepted(bench, "BUY", "MARKET", qty, client_order_id="entry")
    bench.show(100.0)
    assert held(bench) == qty


def check_starts_flat(bench: Bench) -> None:
    """No position, no order, all money available; the instrument is the venue's."""
    balance = bench.venue.balance()
    assert (bench.venue.positions(), bench.venue.open_orders()) == ([], [])
    assert balance.equity == balance.available == balance.wallet == 10_000.0
    assert bench.venue.instrument(COIN.symbol).tick_size == COIN.tick_size
    assert COIN.symbol in bench.venue.symbols


def check_acknowledgement_moves_nothing(bench: Bench) -> None:
    """A market order moves the position when the next price comes, with a taker's fee and no better than the price."""
    bench.show(100.0)
    order_id = accepted(bench, "BUY", "MARKET", 1.0)
    assert held(bench) == 0.0
    events = bench.show(101.0)
    (fill,) = fills(events)
    assert (fill.client_order_id, fill.qty, fill.liquidity, held(bench)) == (order_id, 1.0, "taker", 1.0)
    assert fill.price >= 101.0
    assert fill.fee > 0.0
    known = bench.venue.get_order(order_id)
    assert known is not None
    assert (known.status, known.filled_qty, known.average_price) == (OrderStatus.FILLED, 1.0, fill.price)


def check_fill_comes_before_its_status(bench: Bench) -> None:
    """The fill is told first, then FILLED."""
    bench.show(100.0)
    accepted(bench, "SELL", "MARKET", 1.0)
    fill, update = bench.show(100.0)
    assert isinstance(fill, Fill)
    assert isinstance(update, OrderUpdate)
    assert update.status is OrderStatus.FILLED


def check_wallet_changes_by_profit_and_fees(bench: Bench) -> None:
    """Bought and sold: the wallet moved by the price difference less both fees, and equity equals the wallet again."""
    long_of(bench, 2.0)
    entry = bench.venue.positions()[0].entry_price
    wallet = bench.venue.balance().wallet
    accepted(bench, "SELL", "MARKET", 2.0, reduce_only=True)
    (fill,) = fills(bench.show(110.0))
    balance = bench.venue.balance()
    assert abs(balance.wallet - (wallet + 2.0 * (fill.price - entry) - fill.fee)) < 1e-6
    assert balance.equity == balance.wallet == balance.available


def check_stop_rests_and_protects(bench: Bench) -> None:
    """A reduce-only stop is listed, survives a price above it, and closes the position below it."""
    long_of(bench, 1.0)
    stop = accepted(bench, "SELL", "STOP_MARKET", 1.0, 95.0, reduce_only=True)
    assert [resting.client_order_id for resting in bench.venue.open_orders(COIN.symbol)] == [stop]
    assert fills(bench.show(96.0)) == []
    (fill,) = fills(bench.show(94.0))
    assert (fill.client_order_id, held(bench)) == (stop, 0.0)
    assert fill.price <= 94.0


def check_second_stop_may_rest_while_the_first_does(bench: Bench) -> None:
    """A stop is moved by placing the new one first: two quantity stops rest side by side, then the old one goes."""
    long_of(bench, 1.0)
    old = accepted(bench, "SELL", "STOP_MARKET", 1.0, 95.0, reduce_only=True)
    new = accepted(bench, "SELL", "STOP_MARKET", 1.0, 97.0, reduce_only=True)
    cancelled = answer(bench.venue.cancel(CancelRequest(client_order_id=old, symbol=COIN.symbol, created_ns=0)))
    assert cancelled.status is OrderStatus.CANCELED
    assert [resting.client_order_id for resting in bench.venue.open_orders()] == [new]


def check_stop_that_would_trigger_is_refused(bench: Bench) -> None:
    """-2021 for a stop above the market of a long, and for a target below it."""
    long_of(bench, 1.0)
    refused(bench, Rejection.WOULD_TRIGGER, "SELL", "STOP_MARKET", 1.0, 101.0, reduce_only=True)
    refused(bench, Rejection.WOULD_TRIGGER, "SELL", "TAKE_PROFIT_MARKET", 1.0, 99.0, reduce_only=True)


def check_target_takes_profit(bench: Bench) -> None:
    """A take-profit at 105 waits at 104 and fills once the price is there."""
    long_of(bench, 1.0)
    target = accepted(bench, "SELL", "TAKE_PROFIT_MARKET", 1.0, 105.0, reduce_only=True)
    assert fills(bench.show(104.0)) == []
    assert [fill.client_order_id for fill in fills(bench.show(106.0))] == [target]


def check_limit_is_never_worse_than_its_price(bench: Bench) -> None:
    """A resting buy at 99 fills at 99 or less once the price trades through it, as a maker."""
    bench.show(100.0)
    accepted(bench, "BUY", "LIMIT", 1.0, 99.0)
    assert fills(bench.show(100.0)) == []
    (fill,) = fills(bench.show(98.0))
    assert (fill.price <= 99.0, fill.liquidity) == (True, "maker")


def check_reduce_only_never_flips(bench: Bench) -> None:
    """More than the position closes the position; without one the order is refused with -2022."""
    long_of(bench, 1.0)
    accepted(bench, "SELL", "MARKET", 3.0, reduce_only=True)
    assert sum(fill.qty for fill in fills(bench.show(100.0))) == 1.0
    assert held(bench) == 0.0
    refused(bench, Rejection.REDUCE_ONLY, "SELL", "MARKET", 1.0, reduce_only=True)


def check_filters_refuse(bench: Bench) -> None:
    """Unknown symbol, quantity and price off their grids, too small, too large for the wallet."""
    bench.show(100.0)
    refused(bench, Rejection.UNKNOWN_SYMBOL, "BUY", "MARKET", 1.0, symbol="NOSUCHUSDT")
    refused(bench, Rejection.STEP, "BUY", "MARKET", 1.0005)
    refused(bench, Rejection.TICK, "BUY", "LIMIT", 1.0, 99.005)
    refused(bench, Rejection.MIN_NOTIONAL, "BUY", "MARKET", 0.04)
    refused(bench, Rejection.MARGIN, "BUY", "MARKET", 5_000.0)


def check_same_client_id_is_one_order(bench: Bench) -> None:
    """A request repeated while its order is open makes no second order; another one under its id is refused."""
    bench.show(100.0)
    request = order("BUY", "LIMIT", 1.0, 90.0)
    first, again = answer(bench.venue.submit(request)), answer(bench.venue.submit(request))
    assert first.venue_order_id == again.venue_order_id
    refused(bench, Rejection.DUPLICATE, "BUY", "LIMIT", 2.0, 90.0, client_order_id=request.client_order_id)
    assert len(bench.venue.open_orders()) == 1


def check_cancel_answers_always(bench: Bench) -> None:
    """An open order is cancelled, the same cancel again tells its final status, an unknown id is -2011."""
    bench.show(100.0)
    resting = accepted(bench, "BUY", "LIMIT", 1.0, 90.0)
    request = CancelRequest(client_order_id=resting, symbol=COIN.symbol, created_ns=0)
    assert [answer(bench.venue.cancel(request)).status for _ in range(2)] == [OrderStatus.CANCELED] * 2
    unknown = answer(bench.venue.cancel(msgspec.structs.replace(request, client_order_id="nobody")))
    assert (unknown.status, unknown.reason[:5]) == (OrderStatus.REJECTED, Rejection.UNKNOWN_ORDER.value)
    assert bench.venue.get_order("nobody") is None


def check_leverage_is_read_back(bench: Bench) -> None:
    """What is in force is returned: the one asked for, or the tier's largest."""
    assert bench.venue.set_leverage(COIN.symbol, 5.0) == 5.0 == bench.venue.leverage(COIN.symbol)
    assert bench.venue.set_leverage(COIN.symbol, 100.0) == 20.0 == bench.venue.leverage(COIN.symbol)


def check_liquidation_leaves_nothing(bench: Bench) -> None:
    """A 20x long is closed by the venue when its margin is gone; the fill says so."""
    bench.show(100.0)
    bench.venue.set_leverage(COIN.symbol, 20.0)
    accepted(bench, "BUY", "MARKET", 100.0)
    bench.show(100.0)
    assert 95.0 < bench.venue.positions()[0].liquidation_price < 97.0
    (fill,) = fills(bench.show(90.0))
    assert (fill.liquidation, held(bench)) == (True, 0.0)


def check_continues_from_its_state(bench: Bench) -> None:
    """Position, stop and wallet are there after the state went through JSON."""
    long_of(bench, 1.0)
    accepted(bench, "SELL", "STOP_MARKET", 1.0, 95.0, reduce_only=True)
    told = (bench.venue.positions(), bench.venue.open_orders(), bench.venue.balance())
    state = msgspec.json.decode(msgspec.json.encode(bench.venue.state()))
    bench.venue.load_state(state)
    assert (bench.venue.positions(), bench.venue.open_orders(), bench.venue.balance()) == told
    assert len(fills(bench.show(94.0))) == 1
