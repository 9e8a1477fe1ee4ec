"""Signed endpoints that trade: regular orders, conditional orders, and their history."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.json_text import decode_json
from quantum_trader.venues.local.api import Api, Routes
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.orders import AlgoOrder, Order, OrderTicket
from quantum_trader.venues.local.params import Params, choice, flag, number, text, whole
from quantum_trader.venues.local.sources import PRICE_MATCHES, matched_price
from quantum_trader.venues.local.wire import ms

routes: Final = Routes()
_CLIENT_ID: Final = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}")
_TIFS: Final = ("GTC", "IOC", "FOK", "GTX", "GTD", "GTE_GTC", "RPI")
_LONGEST_ID: Final = 36
_SHORTEST_LIFE_MS: Final = 600_000  # of an order that is good till a date
_LAST_DATE_MS: Final = 253_402_300_799_000
_BATCH: Final = 5


def _common(api: Api, params: Params, id_name: str, trigger_name: str) -> OrderTicket:
    """Parse what regular and conditional orders share."""
    kind = text(params, "type").upper()
    side = text(params, "side").upper()
    client_id = text(params, id_name, "")
    if client_id and not _CLIENT_ID.fullmatch(client_id):
        if len(client_id) > _LONGEST_ID:
            raise VenueApiError(-4015)
        raise VenueApiError(-1100, id_name, _CLIENT_ID.pattern)
    tif = text(params, "timeInForce", "GTC")
    if tif not in _TIFS:
        raise VenueApiError(-1115)
    price_match = _price_match(params, kind)
    if text(params, "positionSide", "BOTH") != "BOTH" or api.wire.dual_side:
        raise VenueApiError(-4061)
    close = flag(params, "closePosition", False)
    return OrderTicket(
        symbol=text(params, "symbol"), side=side, type=kind,
        qty=number(params, "quantity", 0.0 if close else None), price=number(params, "price", 0.0),
        trigger_price=number(params, trigger_name, 0.0), tif=tif, reduce_only=flag(params, "reduceOnly", False),
        close_position=close, client_id=client_id,
        working_type=choice(params, "workingType", ("CONTRACT_PRICE", "MARK_PRICE"), "CONTRACT_PRICE"),
        price_protect=flag(params, "priceProtect", False), callback_rate=number(params, "callbackRate", 0.0),
        activate_price=number(params, "activatePrice", number(params, "activationPrice", 0.0)),
        good_till_ms=_good_till(api, params) if tif == "GTD" else 0, price_match=price_match,
    )


def _price_match(params: Params, kind: str) -> str:
    """Parse priceMatch: for limit prices alone, and never beside a price."""
    found = text(params, "priceMatch", "NONE")
    if found == "NONE":
        return found
    if found not in PRICE_MATCHES:
        raise VenueApiError(-5037)
    if kind not in ("LIMIT", "STOP", "TAKE_PROFIT"):
        raise VenueApiError(-5038)
    if params.get("price"):
        raise VenueApiError(-1106, "price")
    return found


def _good_till(api: Api, params: Params) -> int:
    """Parse the goodTillDate that timeInForce GTD asks for: whole seconds, in ms."""
    found = whole(params, "goodTillDate")
    if not api.server_ms() + _SHORTEST_LIFE_MS < found < _LAST_DATE_MS:
        raise VenueApiError(-5040)
    return found // 1_000 * 1_000


def regular_ticket(api: Api, params: Params) -> OrderTicket:
    """Parse a regular order; what may be missing depends on its type."""
    index = api.exchange.row_of(text(params, "symbol"))
    kind = text(params, "type").upper()
    if kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"):
        raise VenueApiError(-4120)
    if kind == "LIMIT":
        if text(params, "priceMatch", "NONE") == "NONE":
            text(params, "price")
        text(params, "timeInForce")
    ticket = _common(api, params, "newClientOrderId", "stopPrice")
    if ticket.price_match == "NONE":
        return ticket
    price = matched_price(api.exchange.source, index, ticket.sign, ticket.price_match)
    return msgspec.structs.replace(ticket, price=price)


def _answer(api: Api, order: Order, params: Params) -> Any:
    wanted = text(params, "newOrderRespType", "ACK")
    return api.wire.sent_order(order) if wanted in ("RESULT", "FULL") else api.wire.acknowledgement(order)


@routes.add("POST", "/fapi/v1/order", security="SIGNED", weight=0, orders=True)
def place(api: Api, params: Params) -> Any:
    """Place a regular order."""
    ticket = regular_ticket(api, params)
    order = api.exchange.place(ticket)
    if ticket.good_till_ms:
        api.good_till.append((ticket.good_till_ms, order))
    return _answer(api, order, params)


@routes.add("POST", "/fapi/v1/order/test", security="SIGNED", weight=0)
def place_test(api: Api, params: Params) -> Any:
    """Check an order as a real one, and do nothing with it."""
    return api.wire.acknowledgement(api.exchange.check(regular_ticket(api, params)))


def order_named(api: Api, params: Params, missing: int) -> Order:
    """The order that orderId or origClientOrderId names; *missing* is the code when there is none."""
    symbol = text(params, "symbol")
    api.exchange.row_of(symbol)
    order_id, client_id = whole(params, "orderId", 0), text(params, "origClientOrderId", "")
    if not order_id and not client_id:
        raise VenueApiError(-1102, "orderId")
    order = api.exchange.find(symbol, order_id, client_id)
    if order is None:
        raise VenueApiError(missing)
    return order


@routes.add("GET", "/fapi/v1/order", security="SIGNED")
def get_order(api: Api, params: Params) -> Any:
    """One order; -2013 when it does not exist."""
    return api.wire.order(order_named(api, params, -2013))


@routes.add("DELETE", "/fapi/v1/order", security="SIGNED")
def cancel(api: Api, params: Params) -> Any:
    """Cancel one order; -2011 when it is not open."""
    return api.wire.sent_order(api.exchange.cancel(order_named(api, params, -2011)))


@routes.add("PUT", "/fapi/v1/order", security="SIGNED", orders=True)
def amend(api: Api, params: Params) -> Any:
    """Change an open limit order's quantity and price."""
    order = order_named(api, params, -2013)
    if text(params, "side").upper() != order.ticket.side:
        raise VenueApiError(-1117)
    price_match = _price_match(params, order.ticket.type)
    if price_match == "NONE":
        price = number(params, "price")
    else:
        index = api.exchange.row_of(order.ticket.symbol)
        price = matched_price(api.exchange.source, index, order.ticket.sign, price_match)
    return api.wire.sent_order(api.exchange.amend(order, number(params, "quantity"), price))


def _each(rows: list[Any], act: Callable[[Any], Any]) -> list[Any]:
    """Return the answer of *act* to every row; where it refuses, the refusal."""
    answers = []
    for row in rows:
        try:
            answers.append(act(row))
        except VenueApiError as error:
            answers.append(error.body())
    return answers


def _batch(params: Params, name: str) -> list[Any]:
    try:
        rows = decode_json(text(params, name), list[Any])
    except msgspec.DecodeError:
        raise VenueApiError(-1130, name) from None
    if not 1 <= len(rows) <= 2 * _BATCH:
        raise VenueApiError(-4082, message=f"Invalid number of batch place orders. Max: {_BATCH}")
    return rows


def _fields(row: Any) -> dict[str, str]:
    if not isinstance(row, dict):
        raise VenueApiError(-1130, "batchOrders")
    return {str(name): str(value).lower() if isinstance(value, bool) else str(value) for name, value in row.items()}


@routes.add("POST", "/fapi/v1/batchOrders", security="SIGNED", weight=5, orders=True)
def place_batch(api: Api, params: Params) -> Any:
    """Place up to five orders; each has its own answer."""
    rows = _batch(params, "batchOrders")
    if len(rows) > _BATCH:
        raise VenueApiError(-4082, message=f"Invalid number of batch place orders. Max: {_BATCH}")
    return _each(rows, lambda row: place(api, _fields(row)))


@routes.add("PUT", "/fapi/v1/batchOrders", security="SIGNED", weight=5, orders=True)
def amend_batch(api: Api, params: Params) -> Any:
    """Change up to five orders."""
    return _each(_batch(params, "batchOrders"), lambda row: amend(api, _fields(row)))


@routes.add("DELETE", "/fapi/v1/batchOrders", security="SIGNED")
def cancel_batch(api: Api, params: Params) -> Any:
    """Cancel up to ten orders of one symbol by id or client id."""
    symbol = text(params, "symbol")
    if params.get("orderIdList"):
        asked = [{"symbol": symbol, "orderId": str(row)} for row in _batch(params, "orderIdList")]
    else:
        asked = [{"symbol": symbol, "origClientOrderId": str(row)} for row in _batch(params, "origClientOrderIdList")]
    return _each(asked, lambda row: cancel(api, row))


@routes.add("GET", "/fapi/v1/openOrder", security="SIGNED")
def open_order(api: Api, params: Params) -> Any:
    """One order while it is open."""
    order = order_named(api, params, -2013)
    if not order.is_open:
        raise VenueApiError(-2013)
    return api.wire.order(order)


@routes.add("GET", "/fapi/v1/openOrders", security="SIGNED")
def open_orders(api: Api, params: Params) -> Any:
    """Open regular orders."""
    name = text(params, "symbol", "")
    if name:
        api.exchange.row_of(name)
    return [api.wire.order(order) for order in api.exchange.open_orders(name)]


@routes.add("DELETE", "/fapi/v1/allOpenOrders", security="SIGNED")
def cancel_all(api: Api, params: Params) -> Any:
    """Cancel a symbol's regular orders."""
    name = text(params, "symbol")
    api.exchange.row_of(name)
    for order in api.exchange.open_orders(name):
        api.exchange.cancel(order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


@routes.add("GET", "/fapi/v1/allOrders", security="SIGNED", weight=5)
def all_orders(api: Api, params: Params) -> Any:
    """A symbol's orders, oldest first."""
    name, first = text(params, "symbol"), whole(params, "orderId", 0)
    api.exchange.row_of(name)
    start, end, limit = _window(params)
    found = [
        order for order in api.exchange.orders.values()
        if order.ticket.symbol == name and order.order_id >= first and start <= ms(order.created_ns) <= end
    ]
    return [api.wire.order(order) for order in (found[:limit] if start or first else found[-limit:])]


def _window(params: Params) -> tuple[int, int, int]:
    start, end = whole(params, "startTime", 0), whole(params, "endTime", 2**62)
    if end < start:
        raise VenueApiError(-1023, message="Start time is greater than end time.")
    return start, end, whole(params, "limit", 500, low=1, high=1000)


@routes.add("GET", "/fapi/v1/userTrades", security="SIGNED", weight=5)
def user_trades(api: Api, params: Params) -> Any:
    """A symbol's trades, oldest first, by time, order or first id."""
    name = text(params, "symbol")
    api.exchange.row_of(name)
    start, end, limit = _window(params)
    order_id, first = whole(params, "orderId", 0), whole(params, "fromId", 0)
    found = [
        trade for trade in api.exchange.trades
        if trade.symbol == name and start <= ms(trade.ts_ns) <= end and trade.trade_id >= first
        and (not order_id or trade.order_id == order_id)
    ]
    return [api.wire.trade(trade) for trade in (found[:limit] if start or first else found[-limit:])]


@routes.add("GET", "/fapi/v1/forceOrders", security="SIGNED", weight=20)
def force_orders(api: Api, params: Params) -> Any:
    """Liquidations and deleveragings of the account."""
    name = text(params, "symbol", "")
    return [
        api.wire.order(order) for order in api.exchange.orders.values()
        if order.ticket.client_id.startswith(("autoclose-", "adl_autoclose"))
        and (not name or order.ticket.symbol == name)
    ]


@routes.add("POST", "/fapi/v1/countdownCancelAll", security="SIGNED", weight=10)
def countdown(api: Api, params: Params) -> Any:
    """Cancel a symbol's orders unless the countdown is renewed in time; 0 ends it."""
    name, length = text(params, "symbol"), whole(params, "countdownTime")
    api.exchange.row_of(name)
    if length:
        api.countdowns[name] = api.wall_ms() + length
    else:
        api.countdowns.pop(name, None)
    return {"symbol": name, "countdownTime": str(length)}


# ---------------------------------------------------------------------- conditional orders


@routes.add("POST", "/fapi/v1/algoOrder", security="SIGNED", weight=0, orders=True)
def place_algo(api: Api, params: Params) -> Any:
    """Place a conditional order."""
    choice(params, "algoType", ("CONDITIONAL",))
    api.exchange.row_of(text(params, "symbol"))
    if text(params, "type").upper() != "TRAILING_STOP_MARKET":
        text(params, "triggerPrice")
    ticket = _common(api, params, "clientAlgoId", "triggerPrice")
    algo = api.exchange.place_algo(ticket)
    if ticket.good_till_ms:
        api.good_till.append((ticket.good_till_ms, algo))
    return api.wire.sent_algo(algo)


def algo_named(api: Api, params: Params, missing: int) -> AlgoOrder:
    """The conditional order that algoId or clientAlgoId names."""
    algo_id, client_id = whole(params, "algoId", 0), text(params, "clientAlgoId", "")
    if not algo_id and not client_id:
        raise VenueApiError(-1102, "algoId")
    algo = api.exchange.find_algo(algo_id, client_id)
    if algo is None:
        raise VenueApiError(missing)
    return algo


@routes.add("GET", "/fapi/v1/algoOrder", security="SIGNED")
def get_algo(api: Api, params: Params) -> Any:
    """One conditional order; -2013 when it does not exist."""
    return api.wire.algo(algo_named(api, params, -2013))


@routes.add("DELETE", "/fapi/v1/algoOrder", security="SIGNED")
def cancel_algo(api: Api, params: Params) -> Any:
    """Cancel one; -2011 when it does not wait any more."""
    algo = api.exchange.cancel_algo(algo_named(api, params, -2011))
    return {"algoId": algo.algo_id, "clientAlgoId": algo.ticket.client_id, "code": "200", "msg": "success"}


@routes.add("GET", "/fapi/v1/openAlgoOrders", security="SIGNED")
def open_algos(api: Api, params: Params) -> Any:
    """Waiting conditional orders."""
    return [api.wire.algo(algo) for algo in api.exchange.open_algos(text(params, "symbol", ""))]


@routes.add("DELETE", "/fapi/v1/algoOpenOrders", security="SIGNED")
def cancel_algos(api: Api, params: Params) -> Any:
    """Cancel a symbol's conditional orders."""
    name = text(params, "symbol")
    api.exchange.row_of(name)
    for algo in api.exchange.open_algos(name):
        api.exchange.cancel_algo(algo)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


@routes.add("GET", "/fapi/v1/allAlgoOrders", security="SIGNED", weight=5)
def all_algos(api: Api, params: Params) -> Any:
    """A symbol's conditional orders, oldest first."""
    name, first = text(params, "symbol"), whole(params, "algoId", 0)
    api.exchange.row_of(name)
    start, end, limit = _window(params)
    found = [
        algo for algo in api.exchange.algos.values()
        if algo.ticket.symbol == name and algo.algo_id >= first and start <= ms(algo.created_ns) <= end
    ]
    return [api.wire.algo(algo) for algo in (found[:limit] if start or first else found[-limit:])]
