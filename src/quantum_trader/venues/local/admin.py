"""The admin endpoints: loopback only, with a token. They move time and prices, add faults, and show the real state.

``POST /admin/<action>`` with a JSON object, ``GET /admin/state``; the token goes into ``Authorization: Bearer``.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.coin_fees import COIN
from quantum_trader.venues.local.faults import InjectedFault
from quantum_trader.venues.local.rest_trade import place, place_algo

if TYPE_CHECKING:
    from quantum_trader.venues.local.server import LocalVenue

AdminAction = Callable[["LocalVenue", dict[str, Any]], Any]


_MOST_BARS: Final = 100_000  # in one call, which blocks every other request
_MOST_MS: Final = 366 * 86_400_000
_LEAST: Final = 1e-12
_SHOWN: Final = 100  # characters of a header or an action that an answer repeats


def admin_refusal(venue: LocalVenue, remote: str | None, headers: Mapping[str, str]) -> str:
    """Why a caller may not administer the venue; empty for one on this machine that knows the token.

    A web page of another site cannot do it through a browser on this machine, with the token or without: the names
    in ``Host`` and ``Origin`` must be this machine's, and the port in ``Origin`` this venue's.
    """
    given = headers.get("Authorization", "").encode(errors="replace")
    if not _is_loopback(remote or "") or not hmac.compare_digest(given, f"Bearer {venue.admin_token}".encode()):
        return "admin requests come from this machine, with the token the venue printed"
    for name, own_port in (("Host", False), ("Origin", True)):
        value = headers.get(name)
        if value is not None and not _is_ours(venue, value, own_port=own_port):
            return f"{name} = {value[:_SHOWN]!r}: admin requests come from no other site; call {venue.url}/admin"
    return ""


def _is_ours(venue: LocalVenue, value: str, *, own_port: bool) -> bool:
    """Whether a ``Host`` or an ``Origin`` names this machine, and with *own_port* this venue's port."""
    try:
        parts = urlsplit(value if own_port else f"//{value}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return (host == venue.settings.host or _is_loopback(host)) and (port == venue.port or not own_port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def perform(venue: LocalVenue, action: str, body: str) -> tuple[int, Any]:
    """Do *action*: status and JSON."""
    found = ACTIONS.get(action)
    if found is None:
        return 404, {"error": f"no action {action[:_SHOWN]!r}: use one of {', '.join(ACTIONS)}"}
    try:
        given = decode_json(body, dict[str, Any]) if body else {}
        answer = found(venue, given)
    except VenueApiError as error:
        return 400, error.body()
    except KeyError as error:
        return 400, {"error": f"{action}: {error} is missing"}
    except (QuantumTraderError, msgspec.DecodeError, msgspec.ValidationError, TypeError, ValueError) as error:
        return 400, {"error": f"{action}: {error}"}
    venue.flush()
    return 200, answer if answer is not None else {"ok": True}


def _within(given: dict[str, Any], name: str, low: float, high: float, default: float | None = None) -> float:
    """The number *name* in [low, high]; ValueError that names it outside, KeyError where it is missing."""
    value = given[name] if default is None else given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} = {value!r}: must be a number from {low:g} to {high:g}")
    return float(value)


def _state(venue: LocalVenue, given: dict[str, Any]) -> Any:
    exchange, wire = venue.exchange, venue.api.wire
    held = [row for row in range(len(exchange.symbols)) if exchange.account.holding(row).qty]
    return {
        "now_ms": exchange.now_ns // 1_000_000, "end_ms": exchange.tape.end_ns // 1_000_000,
        "wallet": exchange.account.wallet, "positions": [wire.position(row) for row in held],
        "open_orders": [wire.order(order) for order in exchange.open_orders()],
        "open_algo_orders": [wire.algo(algo) for algo in exchange.open_algos()],
        "orders": [wire.order(order) for order in exchange.orders.values()],
        "algo_orders": [wire.algo(algo) for algo in exchange.algos.values()],
        "trades": [wire.trade(trade) for trade in exchange.trades],
        "faults": [msgspec.to_builtins(fault) for fault in venue.faults.pending()], "faults_done": venue.faults.done,
        "unknown_paths": venue.unknown_paths, "refusals": list(venue.refusals),
        "connections": sorted(connection.road for connection in venue.hub.connections),
    }


def _step(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"bars": n} or {"ms": n}: let time pass."""
    if "ms" in given:
        venue.advance(int(_within(given, "ms", 0.0, _MOST_MS)) * 1_000_000)
    else:
        venue.step_bars(int(_within(given, "bars", 0.0, _MOST_BARS, 1.0)))
    return {"now_ms": venue.exchange.now_ns // 1_000_000}


def _price(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"symbol": s, "price": p}: jump there at once."""
    venue.exchange.show({str(given["symbol"]): _within(given, "price", _LEAST, 1e12)})


def _bar(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"symbol", "open", "high", "low", "close"}: append one bar to a scripted tape and play it."""
    open_, high, low, close = (_within(given, name, _LEAST, 1e12) for name in ("open", "high", "low", "close"))
    venue.bar(str(given["symbol"]), open_, high, low, close, _within(given, "volume", 0.0, 1e15, 1_000.0))


def _speed(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"speed": n}: go on at another speed."""
    if venue.clock is None:
        raise ValueError("this venue's time is moved by hand")
    venue.clock.set_speed(_within(given, "speed", _LEAST, 1e9), venue.exchange.now_ns)


def _fault(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """An InjectedFault's fields."""
    for name, most in (("count", 1e6), ("seconds", 3600.0), ("skip", 1e6)):
        _within(given, name, 0.0, most, 0.0)
    venue.faults.add(msgspec.convert(given, InjectedFault))


def _clear(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """End all faults."""
    venue.faults.clear()


def _drop(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"road": r}: break the connections of one road, or of all."""
    return {"dropped": venue.hub.drop(str(given.get("road", "")))}


def _symbol(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"symbol": s, "event": halt | resume | delist | liquidate | adl}."""
    incidents = venue.exchange.incidents
    events: dict[str, Callable[[str], None]] = {
        "halt": incidents.halt, "resume": incidents.resume, "delist": incidents.delist,
        "liquidate": incidents.liquidate, "adl": incidents.deleverage,
    }
    event = events.get(str(given["event"]))
    if event is None:
        raise ValueError(f"event = {given['event']!r}: use one of {', '.join(events)}")
    event(str(given["symbol"]))


def _volume(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"symbol": s, "qty": q, "rest": "fill" | "expire"}: fill in parts of q; without qty, whole again."""
    qty = given.get("qty")
    venue.exchange.incidents.limit_volume(
        str(given["symbol"]), _within(given, "qty", 0.0, 1e15) if qty is not None else None,
        expire=given.get("rest") == "expire",
    )


def _order(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """An order of another sender: the parameters of POST /fapi/v1/order, or algoOrder with algoType."""
    params = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    return (place_algo if "algoType" in params else place)(venue.api, params)


def _money(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """{"amount": 100}: pay in, negative takes out; {"asset": "BNB"} that coin, else USDT."""
    amount, asset = _within(given, "amount", -1e15, 1e15), str(given.get("asset", "USDT"))
    payments = {"USDT": venue.exchange.pay, COIN: venue.exchange.pay_coin}
    if asset not in payments:
        raise ValueError(f"asset = {asset!r}: use one of {', '.join(payments)}")
    payments[asset](amount)


def _expire(venue: LocalVenue, given: dict[str, Any]) -> Any:
    """End every listen key."""
    for key in tuple(venue.api.listen_keys):
        venue.api.end_listen_key(key)


ACTIONS: Final[dict[str, AdminAction]] = {
    "state": _state, "step": _step, "price": _price, "bar": _bar, "speed": _speed, "fault": _fault, "clear": _clear,
    "drop": _drop, "symbol": _symbol, "volume": _volume, "order": _order, "expire": _expire, "money": _money,
}
