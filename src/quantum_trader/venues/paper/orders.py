"""Orders at the paper venue: their state, the order book, and the filters an order must pass to be accepted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument, round_to
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.ports import Rejection, VenueOrder

_TOLERANCE: Final = 1e-6  # of one increment: how far from the grid a float may lie
_FINISHED_KEPT: Final = 256
_LIMITS: Final = (OrderType.LIMIT, OrderType.LIMIT_MAKER)


class PaperOrder:
    """One open order. *level* is its limit or trigger price, 0.0 for a market order."""

    __slots__ = (
        "below", "cost", "filled", "index", "level", "request", "reserve", "seq", "side_sign", "touched_ns", "waiting",
    )

    def __init__(self, request: OrderRequest, index: int, seq: int) -> None:
        self.request = request
        self.index = index
        self.seq = seq
        self.side_sign = 1 if request.side is OrderSide.BUY else -1
        self.level = request.price if request.type in _LIMITS else request.stop_price
        rising = (request.type is OrderType.STOP_MARKET) == (self.side_sign > 0)
        self.below = not rising  # whether a falling price reaches it
        self.waiting = request.type is OrderType.MARKET  # fills at the next open at any price
        self.filled = 0.0
        self.cost = 0.0  # sum of qty * price of the fills
        self.reserve = 0.0  # USDT locked for what is not yet filled, at acceptance
        self.touched_ns = -1  # the bar in which it was last filled or tried

    @property
    def is_stop(self) -> bool:
        """Whether the order is a stop; stops come first in a bar."""
        return self.request.type is OrderType.STOP_MARKET

    @property
    def is_limit(self) -> bool:
        """Whether the order is a limit order, which fills as a maker once it rests."""
        return self.request.type in _LIMITS

    @property
    def remaining(self) -> float:
        """Quantity not yet filled (not rounded)."""
        return self.request.qty - self.filled

    @property
    def reserved(self) -> float:
        """USDT still reserved for the unfilled part."""
        return self.reserve * self.remaining / self.request.qty

    @property
    def open_status(self) -> OrderStatus:
        """NEW, or PARTIALLY_FILLED once something is filled."""
        return OrderStatus.PARTIALLY_FILLED if self.filled > 0.0 else OrderStatus.NEW

    def view(self, status: OrderStatus, reason: str = "") -> VenueOrder:
        """Return the order as the venue reports it."""
        request = self.request
        return VenueOrder(
            client_order_id=request.client_order_id, venue_order_id=venue_id(self.seq), symbol=request.symbol,
            side=request.side, type=request.type, qty=request.qty, filled_qty=self.filled,
            average_price=self.cost / self.filled if self.filled > 0.0 else 0.0, price=request.price,
            stop_price=request.stop_price, reduce_only=request.reduce_only, status=status,
            created_ns=request.created_ns, reason=reason,
        )

    def state(self) -> dict[str, Any]:
        """Return the order as plain values."""
        return {
            "request": msgspec.to_builtins(self.request), "index": self.index, "seq": self.seq,
            "waiting": self.waiting, "filled": self.filled, "cost": self.cost, "reserve": self.reserve,
            "touched_ns": self.touched_ns,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> PaperOrder:
        """Rebuild an order from :meth:`state`."""
        order = cls(msgspec.convert(state["request"], OrderRequest), int(state["index"]), int(state["seq"]))
        order.waiting = bool(state["waiting"])
        order.filled, order.cost = float(state["filled"]), float(state["cost"])
        order.reserve, order.touched_ns = float(state["reserve"]), int(state["touched_ns"])
        return order


class OrderBook:
    """The account's orders: the open ones, those that wait for the next open, and the last 256 finished ones.

    Changed through its methods alone; *open* is by client order id, *by_row* and *waiting* hold the same orders.
    """

    def __init__(self, size: int) -> None:
        self.open: dict[str, PaperOrder] = {}
        self.by_row: list[list[PaperOrder]] = [[] for _ in range(size)]
        self.waiting: list[PaperOrder] = []  # they fill at the next open
        self.finished: dict[str, VenueOrder] = {}
        self.seq = 0

    def add(self, order: PaperOrder) -> None:
        """Take an accepted order."""
        self.seq = order.seq
        self.open[order.request.client_order_id] = order
        self.by_row[order.index].append(order)
        if order.waiting:
            self.waiting.append(order)

    def is_open(self, order: PaperOrder) -> bool:
        """Whether this very order is open."""
        return self.open.get(order.request.client_order_id) is order

    def wait(self, order: PaperOrder) -> None:
        """Let an open order fill at the next open, at any price."""
        order.waiting = True
        self.waiting.append(order)

    def rest(self, order: PaperOrder) -> None:
        """Let a waiting order rest at its level."""
        self.waiting.remove(order)
        order.waiting = False

    def finish(self, order: PaperOrder, status: OrderStatus, reason: str) -> VenueOrder:
        """Take *order* off the book and return its final view."""
        client_order_id = order.request.client_order_id
        del self.open[client_order_id]
        self.by_row[order.index].remove(order)
        if order in self.waiting:
            self.waiting.remove(order)
        view = order.view(status, reason)
        self.finished.pop(client_order_id, None)
        self.finished[client_order_id] = view
        if len(self.finished) > _FINISHED_KEPT:
            del self.finished[next(iter(self.finished))]
        return view

    def state(self) -> dict[str, Any]:
        """Return open and finished orders as plain values."""
        return {
            "orders": [order.state() for order in self.open.values()],
            "finished": [msgspec.to_builtins(order) for order in self.finished.values()],
        }

    def load_state(self, state: Mapping[str, Any], seq: int) -> None:
        """Continue from :meth:`state` with the number of the last order."""
        self.seq = seq
        orders = [PaperOrder.from_state(raw) for raw in state["orders"]]
        self.open = {order.request.client_order_id: order for order in orders}
        self.waiting = [order for order in orders if order.waiting]
        self.by_row = [[order for order in orders if order.index == index] for index in range(len(self.by_row))]
        finished = [msgspec.convert(raw, VenueOrder) for raw in state["finished"]]
        self.finished = {order.client_order_id: order for order in finished}


def venue_id(seq: int) -> str:
    """Return the venue's own order id, derived from the sequence."""
    return f"paper-{seq:08d}"


def rejected(client_order_id: str, symbol: str, ts_ns: int, reason: str) -> OrderUpdate:
    """Return the event that refuses a request."""
    return OrderUpdate(
        client_order_id=client_order_id, venue_order_id="", symbol=symbol, status=OrderStatus.REJECTED, ts_ns=ts_ns,
        reason=reason,
    )


def refuse(code: Rejection, text: str) -> str:
    """Return a reason: the code, then what was wrong."""
    return f"{code.value} {text}"


def on_grid(value: float, increment: float) -> bool:
    """Whether *value* is a multiple of *increment*, apart from float noise."""
    return abs(value - round_to(value, increment)) <= _TOLERANCE * increment


def filter_refusal(request: OrderRequest, instrument: Instrument) -> str:
    """Return why *request* breaks the instrument's filters; empty when it does not."""
    if not (math.isfinite(request.qty) and request.qty > 0.0):
        return refuse(Rejection.BAD_VALUE, f"qty {request.qty!r} must be positive and finite")
    if request.qty < instrument.min_qty * (1.0 - 1e-12):
        return refuse(Rejection.MIN_QTY, f"qty {request.qty!r} is below the minimum {instrument.min_qty!r}")
    if not on_grid(request.qty, instrument.step_size):
        return refuse(Rejection.STEP, f"qty {request.qty!r} is not a multiple of {instrument.step_size!r}")
    if request.type is OrderType.MARKET:
        return ""
    key = "price" if request.type in _LIMITS else "stop_price"
    price = request.price if request.type in _LIMITS else request.stop_price
    if not (math.isfinite(price) and price > 0.0):
        return refuse(Rejection.BAD_VALUE, f"{key} {price!r} must be positive and finite")
    if not on_grid(price, instrument.tick_size):
        return refuse(Rejection.TICK, f"{key} {price!r} is not a multiple of {instrument.tick_size!r}")
    return ""


def level_passed(order: PaperOrder, last: float) -> bool:
    """Whether a stop or take-profit is already passed by the *last* price."""
    return last <= order.level if order.below else last >= order.level
