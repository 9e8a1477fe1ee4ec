"""The wire fields of orders, and the directory of sent orders.

MARKET, LIMIT and LIMIT_MAKER go to /order. Since December 2025 STOP_MARKET and TAKE_PROFIT_MARKET go to /algoOrder
(/order answers -4120): such an order has its own id, and when it triggers it becomes a regular order with another id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Final, Generic, TypeVar

from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import OrderRequest

_REMEMBERED: Final = 20_000
_NOISE: Final = 1e-9
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class OrderService(str, Enum):
    """The order service that holds an order: regular or conditional (algo)."""

    REGULAR = "order"
    ALGO = "algoOrder"


def service_of(kind: OrderType) -> OrderService:
    """The order service for this order type."""
    return OrderService.ALGO if kind in (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET) else OrderService.REGULAR


def decimals(increment: float) -> int:
    """Decimal places of a multiple of *increment* (0.001: 3)."""
    text = f"{increment:.12f}".rstrip("0")
    return len(text) - text.index(".") - 1


class Grid:
    """Formats a symbol's prices and quantities in the digits of its filters."""

    __slots__ = ("_price", "_qty")

    def __init__(self, instrument: Instrument) -> None:
        self._price = f".{decimals(instrument.tick_size)}f"
        self._qty = f".{decimals(instrument.step_size)}f"

    def price(self, value: float) -> str:
        """*value* in the digits of the tick; a finer value is not rounded, and the venue refuses it."""
        return _written(value, self._price)

    def qty(self, value: float) -> str:
        """*value* in the digits of the step; see :meth:`price`."""
        return _written(value, self._qty)


class PlainGrid(Grid):
    """Formats in as few digits as a number needs, for a symbol whose filters are not known."""

    __slots__ = ()

    def __init__(self) -> None:
        self._price = self._qty = ".12f"

    def price(self, value: float) -> str:
        """*value* in full."""
        return plain_decimal(value)

    def qty(self, value: float) -> str:
        """*value* in full."""
        return plain_decimal(value)


def plain_decimal(value: float) -> str:
    """*value* without an exponent and without trailing zeros."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _written(value: float, spec: str) -> str:
    text = format(value, spec)
    return text if abs(float(text) - value) <= _NOISE * abs(value) else plain_decimal(value)


def order_fields(request: OrderRequest, grid: Grid, trigger_on: str, *, hedged: bool = False) -> dict[str, str]:
    """The fields of *request* for its order service; *trigger_on* is the trigger price of stops.

    In hedge mode (*hedged*) a reducing order names the side of the position instead: the venue takes no reduceOnly
    there, and an order of that side cannot open another.
    """
    fields = {"symbol": request.symbol, "side": request.side.value, "type": request.type.value}
    qty = grid.qty(request.qty)
    if service_of(request.type) is OrderService.ALGO:
        fields |= {
            "algoType": "CONDITIONAL", "quantity": qty, "triggerPrice": grid.price(request.stop_price),
            "workingType": trigger_on, "priceProtect": "false", "clientAlgoId": request.client_order_id,
        }
    else:
        fields |= {"quantity": qty, "newClientOrderId": request.client_order_id, "newOrderRespType": "ACK"}
        if request.type is OrderType.LIMIT_MAKER:  # at the venue's own best price, which a price sent could cross
            fields |= {"type": "LIMIT", "priceMatch": "QUEUE", "timeInForce": "GTX"}
        elif request.type is OrderType.LIMIT:
            fields |= {"price": grid.price(request.price), "timeInForce": "GTC"}
    if request.reduce_only and hedged:
        fields["positionSide"] = "LONG" if request.side is OrderSide.SELL else "SHORT"
    elif request.reduce_only:
        fields["reduceOnly"] = "true"
    return fields


class _Memory(Generic[K, V]):
    """A mapping that keeps only its newest entries."""

    def __init__(self) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)

    def get(self, key: K) -> V | None:
        return self._entries.get(key)


def _order_id(told: str | int) -> int:
    """An order id that may be missing or none: 0 then."""
    try:
        return int(told or 0)
    except ValueError:
        return 0


class OrderDirectory:
    """Maps orders to their order service, and venue order ids to client order ids."""

    def __init__(self) -> None:
        self._services: _Memory[str, OrderService] = _Memory()
        self._owners: _Memory[int, str] = _Memory()  # order id -> client id it was sent with
        self._children: _Memory[int, str] = _Memory()  # order id -> client id of the conditional order it was
        self._ended: _Memory[str, bool] = _Memory()
        self._waiting: dict[str, str] = {}  # conditional orders that may still trigger -> symbol

    def sent(self, client_order_id: str, service: OrderService, symbol: str) -> None:
        """Add an order that is being sent."""
        self._services[client_order_id] = service
        if service is OrderService.ALGO:
            self._waiting[client_order_id] = symbol

    def service(self, client_order_id: str) -> OrderService | None:
        """The order service of an order; None when the order is unknown here."""
        return self._services.get(client_order_id)

    def add_order(self, order_id: int, client_order_id: str) -> None:
        """Add a regular order with this client id."""
        if self._children.get(order_id) is None:
            self._owners[order_id] = client_order_id
            if self._services.get(client_order_id) is None:
                self._services[client_order_id] = OrderService.REGULAR

    def add_algo(self, client_order_id: str, symbol: str, actual_order_id: str | int) -> None:
        """Add a conditional order and, if it has triggered, the regular order it became."""
        self._services[client_order_id] = OrderService.ALGO
        if order_id := _order_id(actual_order_id):
            self._children[order_id] = client_order_id
            self._waiting.pop(client_order_id, None)
        elif self._ended.get(client_order_id) is None:
            self._waiting[client_order_id] = symbol

    def parent(self, order_id: int) -> str | None:
        """The client id of the conditional order that became *order_id*."""
        return self._children.get(order_id)

    def client_id_of(self, order_id: int) -> str | None:
        """The client id of executions of *order_id*: the one it was sent with, also after a trigger."""
        return self._children.get(order_id) or self._owners.get(order_id)

    def waiting(self, symbol: str) -> list[str]:
        """Conditional orders of *symbol* that may have triggered without an event yet."""
        return [client_id for client_id, of in self._waiting.items() if of == symbol]

    def end(self, client_order_id: str) -> None:
        """Mark an order as finished."""
        self._ended[client_order_id] = True
        self._waiting.pop(client_order_id, None)

    def stop_waiting(self, client_order_id: str) -> None:
        """Mark a conditional order as unable to trigger; its end is not reported yet."""
        self._waiting.pop(client_order_id, None)

    def ended(self, client_order_id: str) -> bool:
        """Whether the end of the order has been reported."""
        return self._ended.get(client_order_id) is not None
