"""REST requests: prepared and signed with ccxt, sent and interpreted here.

ccxt makes the address, the fields, the time stamp and the signature (``exchange.sign``); orders, which are urgent, get
the same bytes from :mod:`~quantum_trader.venues.binance.signing`. ccxt's own ``fetch`` is not used: it does not
distinguish a refused connection from one that broke after sending, and its exceptions hold signed addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from quantum_trader.domain.errors import OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.domain.json_text import UNREADABLE
from quantum_trader.venues.binance import errors, wire
from quantum_trader.venues.binance.clock import SAMPLES, ClockSample, VenueClock
from quantum_trader.venues.binance.endpoints import BinanceEndpoint
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.keys import ApiKeys, Redactor
from quantum_trader.venues.binance.limits import Priority, RequestBudget, retry_after
from quantum_trader.venues.binance.signing import ORDER_PATHS, OrderSigner

PUBLIC: Final = "fapiPublic"
PUBLIC_V2: Final = "fapiPublicV2"
PRIVATE: Final = "fapiPrivate"
PRIVATE_V3: Final = "fapiPrivateV3"
ACCOUNT_API: Final = "sapi"
_SIGNED: Final = frozenset({PRIVATE, PRIVATE_V3, ACCOUNT_API})
_CONNECT_S: Final = 5.0


class PreparedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose bytes are ready; its repr shows neither key nor signature."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    what: str  # name of the request in errors
    priority: Priority
    weight: int
    writes: bool

    def __repr__(self) -> str:
        return f"PreparedRequest({self.what})"

    __str__ = __repr__


class Rest:
    """Prepares, sends and interprets requests of one endpoint; opened and closed by its owner."""

    def __init__(
        self, endpoint: BinanceEndpoint, keys: ApiKeys | None, clock: VenueClock, now_s: Callable[[], float], *,
        timeout_s: float, receive_window_ms: int,
    ) -> None:
        self.endpoint = endpoint
        self.clock = clock
        self.budget = RequestBudget(now_s)
        self.redact = Redactor(keys.secrets if keys is not None else ())
        self._keys = keys
        self._timeout_s = timeout_s
        self._exchange = _exchange(endpoint, keys, clock, receive_window_ms)
        self._signer = OrderSigner(endpoint, keys, clock.stamp_ms, receive_window_ms) if keys is not None else None
        self.paid_rates: dict[tuple[str, int], wire.FundingRateAnswer] = {}  # (symbol, funding ns) -> rate
        self._session: aiohttp.ClientSession | None = None
        self._measuring = False

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session; VenueUnavailable when there is none."""
        if self._session is None or self._session.closed:
            raise VenueUnavailable(f"{self.endpoint.name}: the connection is closed")
        return self._session

    def open(self) -> None:
        """Open the session; nothing is sent yet."""
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_mark_sent)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=min(_CONNECT_S, self._timeout_s)),
                connector=aiohttp.TCPConnector(limit=32), trace_configs=[trace], trust_env=False,
            )

    async def close(self) -> None:
        """Close the session; safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def prepare(
        self, method: str, group: str, path: str, fields: Mapping[str, object], *, priority: Priority = Priority.QUERY,
        weight: int = 1, writes: bool | None = None, what: str = "",
    ) -> PreparedRequest:
        """Return a request whose bytes are ready to be sent, signed now where its group is.

        *writes* (by default: whether it is no GET) means that a lost answer leaves the outcome unknown.
        """
        if self._signer is not None and method == "POST" and group == PRIVATE and path in ORDER_PATHS:
            ready = self._signer.sign(path, fields)
            if ready is not None:
                return PreparedRequest(
                    method=method, url=ready[0], headers=ready[1], body=ready[2], what=what or f"{method} {path}",
                    priority=priority, weight=weight, writes=writes is not False,
                )
        named = what or f"{method} {path}"
        if group in _SIGNED or path == "listenKey":
            self._require_keys(named)
        try:
            signed = self._exchange.sign(path, [group], method, dict(fields))
        except _ccxt_error() as error:
            raise errors.from_ccxt(error, what=named, writes=False, sent=False) from None
        body = signed["body"]
        return PreparedRequest(
            method=method, url=signed["url"], headers=signed["headers"] or {}, body=body.encode() if body else None,
            what=named, priority=priority, weight=weight, writes=method != "GET" if writes is None else writes,
        )

    def _require_keys(self, what: str) -> None:
        if self._keys is None:
            prefix = f"QT_{self.endpoint.name.upper().replace('-', '_')}"
            raise VenueUnavailable(f"{what}: no keys for {self.endpoint.name}; set {prefix}_KEY and {prefix}_SECRET")

    async def send(self, request: PreparedRequest) -> bytes | VenueRefusal:
        """Send and return the answer's body, or the venue's refusal.

        Raises VenueUnavailable (certainly no effect), OutcomeUnknown (sent, and no answer) or VenueError.
        """
        session = self.session
        self.budget.admit(request.priority, request.weight)
        mark = SimpleNamespace(sent=False)
        headers: Mapping[str, str] = {}
        try:
            async with session.request(
                request.method, URL(request.url, encoded=True), data=request.body, headers=request.headers,
                allow_redirects=False, trace_request_ctx=mark,
            ) as response:
                headers = response.headers
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _lost(request, error, sent=mark.sent) from None
        finally:
            self.budget.complete(request.weight, headers)
        if 200 <= status < 300:
            return body
        return await self._refused(request, status, headers, body)

    async def _refused(
        self, request: PreparedRequest, status: int, headers: Mapping[str, str], body: bytes
    ) -> VenueRefusal:
        wait_s = retry_after(headers, body, self.clock.stamp_ms())
        if status in (418, 429):
            wait_s = self.budget.back_off(status, wait_s)
        try:
            return errors.interpret(
                status, body, what=request.what, writes=request.writes, retry_after_s=wait_s
            )
        except VenueUnavailable as error:
            if any(f", {code} " in str(error) for code in (errors.TIMESTAMP, errors.TOO_LATE)):
                await self._measure_again()
            raise type(error)(self.redact(str(error)), error.retry_after_s) from None
        except VenueError as error:
            raise type(error)(self.redact(str(error))) from None

    async def ask(
        self, method: str, group: str, path: str, fields: Mapping[str, object] | None = None, *,
        priority: Priority = Priority.QUERY, weight: int = 1, writes: bool | None = None,
    ) -> bytes | VenueRefusal:
        """Prepare and send a request; see :meth:`prepare` and :meth:`send`."""
        request = self.prepare(
            method, group, path, fields or {}, priority=priority, weight=weight, writes=writes
        )
        return await self.send(request)

    async def read(
        self, group: str, path: str, decode: Callable[[bytes], wire.T], fields: Mapping[str, object] | None = None, *,
        weight: int = 1, priority: Priority = Priority.QUERY,
    ) -> wire.T:
        """Send a query and decode its answer; VenueError when the venue refuses it."""
        answer = await self.ask("GET", group, path, fields, weight=weight, priority=priority)
        if isinstance(answer, VenueRefusal):
            raise VenueError(f"GET {path}: {self.redact(answer.reason)}")
        return decoded(answer, decode, f"GET {path}")

    async def measure_clock(self, questions: int = SAMPLES) -> None:
        """Measure the venue's clock; each request has a weight of 1."""
        samples = []
        self._measuring = True
        try:
            for _ in range(questions):
                sent_ns = self.clock.wall_ns()
                answer = await self.read(PUBLIC, "time", _decode_time)
                received_ns = self.clock.wall_ns()
                samples.append(
                    ClockSample(sent_ns=sent_ns, received_ns=received_ns, venue_ms=answer.server_time)
                )
        finally:
            self._measuring = False
        self.clock.update(samples)

    async def _measure_again(self) -> None:
        """Measure the clock after a -1021: the request had no effect, and the next one needs the right time."""
        if self._measuring:
            return
        try:
            await self.measure_clock()
        except VenueError:
            return  # the caller gets the -1021 anyway, and the next one measures again


_decode_time = wire.decoder(wire.ServerTime).decode


def decoded(answer: bytes, decode: Callable[[bytes], wire.T], what: str) -> wire.T:
    """Decode an answer; VenueError when it has another shape."""
    try:
        return decode(answer)
    except UNREADABLE as error:
        raise VenueError(f"{what}: the answer has another shape than documented: {error}") from None


def _lost(request: PreparedRequest, error: Exception, *, sent: bool) -> VenueError:
    """Return the VenueError for a broken connection, with the kind of *error* only: its text may hold the address."""
    kind = type(error).__name__
    never_sent = not sent or isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
    if never_sent:
        return VenueUnavailable(f"{request.what}: not sent, {kind}")
    if request.writes:
        return OutcomeUnknown(f"{request.what}: sent, and no answer came ({kind})")
    return VenueUnavailable(f"{request.what}: no answer came ({kind})")


async def _mark_sent(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    if context.trace_request_ctx is not None:  # None: a socket of the streams
        context.trace_request_ctx.sent = True


def _ccxt_error() -> type[Exception]:
    from ccxt.base.errors import BaseError

    error: type[Exception] = BaseError
    return error


def _exchange(endpoint: BinanceEndpoint, keys: ApiKeys | None, clock: VenueClock, receive_window_ms: int) -> Any:
    """A ccxt exchange that signs with the venue's time and sends nothing itself."""
    from ccxt.async_support import binanceusdm

    if keys is not None:
        keys.require_endpoint(endpoint.name)
    api = {f"fapi{side}{suffix}": f"{endpoint.rest}/fapi/{version}" for side in ("Public", "Private")
           for suffix, version in (("", "v1"), ("V2", "v2"), ("V3", "v3"))}
    if endpoint.account_api:
        api["sapi"] = f"{endpoint.account_api}/sapi/v1"
    exchange = binanceusdm(
        {
            "apiKey": keys.key.reveal() if keys is not None else None,
            "secret": keys.secret.reveal() if keys is not None else None,
            "enableRateLimit": False,
            "options": {"recvWindow": receive_window_ms},
        }
    )
    exchange.urls["api"] = api  # so that no other address can be reached by mistake
    exchange.nonce = clock.stamp_ms
    return exchange
