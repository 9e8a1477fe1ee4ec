"""The WebSocket API: orders and account over one socket, each request signed or the session logged on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import WSMsgType, web

from quantum_trader.domain.errors import InputError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.venues.local import rest_account, rest_market, rest_trade
from quantum_trader.venues.local.api_errors import VenueApiError, not_here
from quantum_trader.venues.local.params import Params

if TYPE_CHECKING:
    from quantum_trader.venues.local.api import Api, RequestHandler

_PING_S: Final = 180.0

# method -> (handler, whether it must be signed, whether it counts as an order)
METHODS: Final[Mapping[str, tuple[RequestHandler, bool, bool]]] = {
    "ping": (rest_market.ping, False, False),
    "time": (rest_market.server_time, False, False),
    "depth": (rest_market.depth, False, False),
    "ticker.price": (rest_market.price_ticker, False, False),
    "ticker.book": (rest_market.book_ticker, False, False),
    "order.place": (rest_trade.place, True, True),
    "order.modify": (rest_trade.amend, True, True),
    "order.cancel": (rest_trade.cancel, True, False),
    "order.status": (rest_trade.get_order, True, False),
    "algoOrder.place": (rest_trade.place_algo, True, True),
    "algoOrder.cancel": (rest_trade.cancel_algo, True, False),
    "algoOrder.status": (rest_trade.get_algo, True, False),
    "account.balance": (rest_account.account_balance, True, False),
    "v2/account.balance": (rest_account.account_balance, True, False),
    "account.status": (rest_account.account_v2, True, False),
    "v2/account.status": (rest_account.account_v3, True, False),
    "account.position": (rest_account.positions_v2, True, False),
    "v2/account.position": (rest_account.positions_v3, True, False),
    "userDataStream.start": (rest_account.start_listen_key, False, False),
    "userDataStream.ping": (rest_account.keep_listen_key, False, False),
    "userDataStream.stop": (rest_account.end_listen_key, False, False),
}
_KEYED: Final = ("userDataStream.start", "userDataStream.ping", "userDataStream.stop")


class SocketSession:
    """What one socket remembers: the key that logged on."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._key = ""

    def answer(self, text: str | bytes) -> dict[str, Any]:
        """Answer one request."""
        number: Any = None
        now = self.api.wall_ms()
        try:
            message = decode_json(text)
            if not isinstance(message, dict):
                raise VenueApiError(-1100, "request", "JSON")
            number = message.get("id")
            params = message.get("params") or {}
            if not isinstance(params, dict):
                raise VenueApiError(-1100, "params", "JSON object")
            self.api.limits.spend(1, now)
            result = self._result(str(message.get("method", "")), params, now)
            return {"id": number, "status": 200, "result": result, "rateLimits": self.api.limits.used(now)}
        except msgspec.DecodeError:
            return _refusal(None, VenueApiError(-1100, "request", "JSON"))
        except InputError as error:
            return _refusal(number, VenueApiError(-1130, message=str(error)))
        except VenueApiError as error:
            return _refusal(number, error) | {"rateLimits": self.api.limits.used(now)}

    def _result(self, method: str, given: Mapping[str, Any], now_ms: int) -> Any:
        if method in ("session.logon", "session.logout", "session.status"):
            return self._session(method, given)
        found = METHODS.get(method)
        if found is None:
            raise not_here(f"method {method!r} on its socket: use one of {', '.join(METHODS)}")
        handler, signed, counts = found
        self.api.caller = None
        if signed or method in _KEYED:
            self.api.caller = self.api.signing.key_of(str(given.get("apiKey", self._key)))
        if signed:
            self._check(given)
        if counts:
            self.api.limits.spend_order(now_ms)
        return handler(self.api, plain(given))

    def _check(self, given: Mapping[str, Any]) -> None:
        assert self.api.caller is not None
        if "apiKey" in given or not self._key:
            self.api.signing.check_frame(self.api.caller, given, self.api.server_ms())

    def _session(self, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if method == "session.logon":
            key = self.api.signing.key_of(str(given.get("apiKey", "")))
            self.api.signing.check_frame(key, given, self.api.server_ms())
            self._key = key.key
        elif method == "session.logout":
            self._key = ""
        return {
            "apiKey": self._key or None, "authorizedSince": self.api.server_ms() if self._key else None,
            "connectedSince": self.api.server_ms(), "returnRateLimits": True, "serverTime": self.api.server_ms(),
        }


def plain(given: Mapping[str, Any]) -> Params:
    """JSON values as the text a query string would carry."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _refusal(number: Any, error: VenueApiError) -> dict[str, Any]:
    return {"id": number, "status": error.status, "error": error.body()}


def method_of(text: str | bytes) -> str:
    """The method a request names; empty when it is not readable."""
    try:
        message = decode_json(text)
    except msgspec.DecodeError:
        return ""
    return str(message.get("method", "")) if isinstance(message, dict) else ""


def refusal_frame(text: str | bytes, error: VenueApiError) -> dict[str, Any]:
    """The refusal of the request in *text*."""
    message = decode_json(text)
    return _refusal(message.get("id") if isinstance(message, dict) else None, error)


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    """Shake hands."""
    socket = web.WebSocketResponse(compress=False, heartbeat=_PING_S)
    await socket.prepare(request)
    return socket


def is_text(kind: WSMsgType) -> bool:
    """Whether a message carries a request."""
    return kind in (WSMsgType.TEXT, WSMsgType.BINARY)
