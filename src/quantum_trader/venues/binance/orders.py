"""What an order is sent as, and what is remembered of those that were sent.

MARKET and LIMIT go to /order. Since December 2025 STOP_MARKET and TAKE_PROFIT_MARKET go to /algoOrder (the old road
answers -4120): there an order has an id of its own, and when it triggers it becomes a regular order with another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Final, Generic, TypeVar

from quantum_trader.domain.enums import OrderType
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import OrderRequest

_REMEMBERED: Final = 20_000
_NOISE: Final = 1e-9
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Road(str, Enum):
    """Where an order lives."""

    REGULAR = "order"
    ALGO = "algoOrder"


def road_of(kind: OrderType) -> Road:
    """Where an order of this type is sent."""
    return Road.ALGO if kind in (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET) else Road.REGULAR


def decimals(increment: float) -> int:
    """Digits behind the point of a multiple of *increment* (0.001: 3)."""
    text = f"{increment:.12f}".rstrip("0")
    return len(text) - text.index(".") - 1


class Grid:
    """Writes a symbol's prices and quantities as the venue takes them."""

    __slots__ = ("_price", "_qty")

    def __init__(self, instrument: Instrument) -> None:
        self._price = f".{decimals(instrument.tick_size)}f"
        self._qty = f".{decimals(instrument.step_size)}f"

    def price(self, value: float) -> str:
        """*value* in the digits of the tick; one that is finer goes out as it is, for the venue to refuse."""
        return _written(value, self._price)

    def qty(self, value: float) -> str:
        """*value* in the digits of the step; see :meth:`price`."""
        return _written(value, self._qty)


def _written(value: float, spec: str) -> str:
    text = format(value, spec)
    return text if abs(float(text) - value) <= _NOISE * abs(value) else f"{value:.12f}".rstrip("0").rstrip(".")


def order_fields(request: OrderRequest, grid: Grid, trigger_on: str) -> dict[str, str]:
    """The fields of *request* for its road; *trigger_on* is the price that stops watch."""
    fields = {"symbol": request.symbol, "side": request.side.value, "type": request.type.value}
    qty = grid.qty(request.qty)
    if road_of(request.type) is Road.ALGO:
        fields |= {
            "algoType": "CONDITIONAL", "quantity": qty, "triggerPrice": grid.price(request.stop_price),
            "workingType": trigger_on, "priceProtect": "false", "clientAlgoId": request.client_order_id,
        }
    else:
        fields |= {"quantity": qty, "newClientOrderId": request.client_order_id, "newOrderRespType": "ACK"}
        if request.type is OrderType.LIMIT:
            fields |= {"price": grid.price(request.price), "timeInForce": "GTC"}
    if request.reduce_only:
        fields["reduceOnly"] = "true"
    return fields


class _Memory(Generic[K, V]):
    """The newest entries of a mapping."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)

    def get(self, key: K) -> V | None:
        return self._entries.get(key)


class OrderDirectory:
    """Which road an order took, and whose execution a venue order id is."""

    def __init__(self) -> None:
        self._roads: _Memory[str, Road] = _Memory()
        self._owners: _Memory[int, str] = _Memory()  # order id -> the client id it was sent with
        self._children: _Memory[int, str] = _Memory()  # order id -> client id of the conditional order it was
        self._ended: _Memory[str, bool] = _Memory()
        self._waiting: dict[str, str] = {}  # conditional orders that may still trigger -> symbol

    def sent(self, client_order_id: str, road: Road, symbol: str) -> None:
        """An order goes out."""
        self._roads[client_order_id] = road
        if road is Road.ALGO:
            self._waiting[client_order_id] = symbol

    def road(self, client_order_id: str) -> Road | None:
        """Where an order lives; None when it was not seen here."""
        return self._roads.get(client_order_id)

    def saw_order(self, order_id: int, client_order_id: str) -> None:
        """A regular order with this client id exists."""
        if self._children.get(order_id) is None:
            self._owners[order_id] = client_order_id
            if self._roads.get(client_order_id) is None:
                self._roads[client_order_id] = Road.REGULAR

    def saw_algo(self, client_order_id: str, symbol: str, actual_order_id: str | int) -> None:
        """A conditional order exists, and may have become a regular one."""
        self._roads[client_order_id] = Road.ALGO
        if actual_order_id and int(actual_order_id):
            self._children[int(actual_order_id)] = client_order_id
            self._waiting.pop(client_order_id, None)
        elif self._ended.get(client_order_id) is None:
            self._waiting[client_order_id] = symbol

    def parent(self, order_id: int) -> str | None:
        """The client id of the conditional order that became *order_id*."""
        return self._children.get(order_id)

    def owner(self, order_id: int) -> str | None:
        """The client id that executions of *order_id* carry: ours, also after a trigger."""
        return self._children.get(order_id) or self._owners.get(order_id)

    def waiting(self, symbol: str) -> list[str]:
        """Conditional orders of *symbol* that may have triggered without our knowing."""
        return [client_id for client_id, of in self._waiting.items() if of == symbol]

    def end(self, client_order_id: str) -> None:
        """An order is finished."""
        self._ended[client_order_id] = True
        self._waiting.pop(client_order_id, None)

    def settle(self, client_order_id: str) -> None:
        """A conditional order can no longer trigger; its end is still to be told."""
        self._waiting.pop(client_order_id, None)

    def ended(self, client_order_id: str) -> bool:
        """Whether its end was told."""
        return self._ended.get(client_order_id) is not None
