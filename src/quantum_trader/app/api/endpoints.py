"""One row for each road of the API: method, path, role, what it takes and answers. The server is made from these rows.

A handler is a plain function of a :class:`Call`; it runs in a thread of its lane, so that slow reading keeps neither a
STOP nor a change waiting. What it is given was checked against the types of its row, and what goes wrong is answered
in one format.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, NoReturn

import anyio
import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import inspect
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from quantum_trader.app.api.access import Access, Caller
from quantum_trader.app.api.errors import ApiError, ErrorAnswer, as_api_error, error_content
from quantum_trader.app.api.kept_answers import KeptAnswers
from quantum_trader.app.api.tokens import Role
from quantum_trader.domain.errors import brief
from quantum_trader.domain.json_text import decode_json

JSON: Final = "application/json"
OPENAPI: Final = "/api/openapi.json"
MOST_BYTES: Final = 1 << 20  # of a request's body
BODY_S: Final = 20.0  # a sender has so long for a whole body
WAIT_S: Final = 20.0  # a request waits so long for its turn
CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_REFUSALS: Final = {
    400: "A value is not usable as given.", 401: "No valid token.", 403: "The token's role does not suffice.",
    404: "There is no such thing.", 408: "The body did not come in time.", 409: "The run is not in a state for it.",
    413: "The body is too large.",
    415: "The body is no JSON.", 421: "Asked under a name that is not this server's.",
    429: "Too many wrong tokens.", 503: "The state folder cannot be read or written.",
}
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_log: Final = logging.getLogger("quantum_trader.api")


class Lane(Enum):
    """Requests that take turns among themselves: a name, and how many of them run at a time."""

    URGENT = ("urgent", 8)  # what stops and closes, and what is answered at once
    CHANGES = ("changes", 8)
    READS = ("reads", 6)
    QUERIES = ("queries", 2)  # each may take the memory and the time that a query of the journal may


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request as a handler gets it: *query* and *body* are of the row's types."""

    caller: Caller
    path: dict[str, str]
    query: Any = None
    body: Any = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One road. *answers* is a msgspec type; *media* is another type of answer, which the handler gives as bytes."""

    path: str
    summary: str
    answers: Any
    run: Callable[[Call], Any]
    example: Any
    method: str = "GET"
    role: Role | None = Role.VIEWER  # None: anybody, for probes
    query: type[msgspec.Struct] | None = None
    body: Any = None  # a msgspec type; None: it takes no body
    body_example: Any = None
    tag: str = ""
    media: str = JSON
    may_be_text: bool = False  # a body that is sent as text/plain, from senders that can set no header
    decode: Callable[[bytes], Any] | None = None  # reads the body where its type does not say all
    has_own_login: bool = False  # the handler finds out who asks, by a secret in the body
    is_read: bool = False  # asked by POST, and changes nothing
    lane: Lane | None = None  # None: CHANGES or READS, as it changes something or not
    basis: Callable[[], object] | None = None  # the answer is kept for this value, and made anew in the background
    login: Callable[[Mapping[str, str], str], Caller] | None = None  # (headers, address): who asks, where not by Bearer

    @property
    def is_change(self) -> bool:
        """Whether it changes something: it is never run for a page of another origin."""
        return self.method in CHANGES

    @property
    def turns(self) -> Lane:
        """The lane that it runs in."""
        return self.lane or (Lane.CHANGES if self.is_change and not self.is_read else Lane.READS)


def create_app(
    title: str, description: str, endpoints: Sequence[Endpoint], access: Access, version: str,
    stamp: Callable[[], object] = object,
) -> FastAPI:
    """An ASGI application with these *endpoints*, their OpenAPI document at OPENAPI, and nothing else.

    *stamp*: a value that is another one after each change of what kept answers are made of.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    kept = KeptAnswers(stamp)
    lanes = {lane: anyio.CapacityLimiter(lane.value[1]) for lane in Lane}
    document = msgspec.json.encode(openapi_document(title, description, version, endpoints))
    described = Endpoint(
        path=OPENAPI, summary="This API as an OpenAPI document.", answers=bytes, run=lambda _: document, example="",
        media="application/vnd.oai.openapi+json",
    )
    for one in (*endpoints, described):
        app.add_api_route(
            one.path, _served(one, access, lanes[one.turns], kept), methods=[one.method], name=one.summary,
            include_in_schema=False,
        )
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Guarded, access=access)
    return app


def _served(
    endpoint: Endpoint, access: Access, limit: anyio.CapacityLimiter, kept: KeptAnswers
) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            login = endpoint.login or access.caller
            caller = login(request.headers, address_of(request.scope)) if not endpoint.has_own_login else None
            if endpoint.role is not None and caller is not None:
                access.check_role(caller, endpoint.role)
            if caller is None:
                caller = access.caller({}, address_of(request.scope))
            body = await _body(request, endpoint)
            call = Call(
                caller=caller, path=dict(request.path_params), query=_query(request, endpoint.query), body=body
            )
            if endpoint.basis is not None:
                key = f"{endpoint.path}?{sorted(call.path.items())}{call.query!r}{endpoint.basis()!r}"
                made = await kept.answer(key, partial(_encoded, endpoint, call))
            else:
                made = await _in_turn(endpoint, call, limit)
        except Exception as error:
            return refusal(error)
        return Response(made, media_type=endpoint.media)

    return answer


async def _in_turn(endpoint: Endpoint, call: Call, limit: anyio.CapacityLimiter) -> bytes:
    """Run the handler in a thread once *limit* lets it. ApiError where that takes too long."""
    turn = object()
    try:
        async with asyncio.timeout(WAIT_S):
            await limit.acquire_on_behalf_of(turn)
    except TimeoutError:
        raise ApiError(503, f"{endpoint.path}: too many such requests run; try again", 5.0) from None
    try:
        return await anyio.to_thread.run_sync(_encoded, endpoint, call, limiter=anyio.CapacityLimiter(math.inf))
    finally:
        limit.release_on_behalf_of(turn)


def _encoded(endpoint: Endpoint, call: Call) -> bytes:
    found = endpoint.run(call)
    return found if endpoint.media != JSON else _encode(found)


def refusal(error: Exception) -> Response:
    """The answer to a request that failed with *error*; what nobody expected is logged with its traceback."""
    told = as_api_error(error)
    if told.status == 500:
        _log.error("a request failed", exc_info=error)
    headers = {"Retry-After": str(int(told.retry_after_s + 0.999))} if told.retry_after_s else {}
    if told.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(error_content(told.status, str(told)), told.status, headers, JSON)


def address_of(scope: Scope) -> str:
    """The address that asks."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


async def _body(request: Request, endpoint: Endpoint) -> Any:
    if endpoint.body is None:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and not (endpoint.may_be_text and kind in ("", "text/plain")):
        raise ApiError(415, f"Content-Type = {kind[:60]!r}: must be {JSON}")
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise ApiError(413, f"the body has more than {MOST_BYTES:,} bytes")
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {BODY_S:g} s") from None
    if endpoint.decode is not None:
        return endpoint.decode(bytes(content))
    try:
        return decode_json(bytes(content), endpoint.body)
    except msgspec.DecodeError as error:
        raise ApiError(400, f"body: {told_of(error, endpoint.body)}") from None


def told_of(error: Exception, kind: type[msgspec.Struct] | None = None) -> str:
    """What msgspec says of a value, with its first letter small; the names of fields stand in it as ``$.name``.

    Where a field of *kind* must be one of some words, they are added.
    """
    text = str(error)
    name = text.partition("`$.")[2].rstrip("`")
    words = _words(kind, name) if "enum value" in text and kind is not None else ()
    return f"{text[:1].lower()}{text[1:]}{'; use ' if words else ''}{', '.join(words)}"


def _words(kind: type[msgspec.Struct], name: str) -> list[str]:
    """The words that the field *name* of *kind* may have; none where it may have others, or is not there."""
    for field in msgspec.structs.fields(kind):
        told = inspect.type_info(field.type)
        for found in told.types if isinstance(told, inspect.UnionType) else (told,):
            if field.encode_name == name and isinstance(found, inspect.EnumType):
                return [str(one.value) for one in found.cls]
            if field.encode_name == name and isinstance(found, inspect.LiteralType):
                return [str(one) for one in found.values]
    return []


def _query(request: Request, kind: type[msgspec.Struct] | None) -> Any:
    known = {field.encode_name for field in msgspec.structs.fields(kind)} if kind is not None else set()
    given: dict[str, str] = {}
    for key, value in request.query_params.multi_items():
        if key not in known:  # its value may be a token, which belongs into the header and into no message
            allowed = f"use {', '.join(sorted(known))}" if known else "this takes none"
            raise ApiError(400, f"{brief(key)}: is no parameter here; {allowed}")
        if key in given:
            raise ApiError(400, f"{key}: is given twice")
        given[key] = value
    if kind is None:
        return None
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"query: {told_of(error, kind)}") from None


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: f"{request.url.path[:200]}: is no endpoint of this API; {OPENAPI} lists them",
            405: f"{request.method}: is no method of {request.url.path[:200]}"}
    return Response(
        error_content(error.status_code, told.get(error.status_code, str(error.detail))), error.status_code,
        error.headers, JSON,
    )


class Guarded:
    """Refuses what comes under another host's name or from another origin, and closes every answer to other origins."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        try:
            self._access.check_host(headers)
            is_ui = self._access.is_ui(headers, scope["path"])
            is_change = scope["type"] == "websocket" or scope["method"] in CHANGES
            if not is_ui:
                self._access.check_origin(headers, is_change=is_change)
        except ApiError as error:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
            else:
                await refusal(error)(scope, receive, send)
            return
        shared = _shared_with(headers["origin"]) if is_ui else ()
        if is_ui and scope["type"] == "http" and scope["method"] == "OPTIONS":
            await Response(status_code=204)(scope, receive, _with_headers(send, shared))
            return
        await self._app(scope, receive, _with_headers(send, shared))


_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"), (b"cross-origin-resource-policy", b"same-origin"),
)


def _shared_with(origin: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that let a page of *origin* ask and read."""
    return (
        (b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"),
        (b"access-control-allow-methods", b"GET, POST, DELETE"),
        (b"access-control-allow-headers", b"Authorization, Content-Type"), (b"access-control-max-age", b"600"),
        (b"access-control-allow-credentials", b"true"),  # FreqUI asks for it to log in; no cookie exists
    )


def _with_headers(send: Send, more: Sequence[tuple[bytes, bytes]] = ()) -> Send:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            have = {key.lower() for key, _ in message["headers"]}
            added = (one for one in (*_HEADERS, *more) if one[0] not in have)
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sent


# ---- OpenAPI ---------------------------------------------------------------------------------------------------------
def openapi_document(title: str, description: str, version: str, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of *endpoints*."""
    types = [ErrorAnswer, *(kind for one in endpoints for kind in (one.answers, one.body) if kind is not None)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(_key, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schema_of)
    return {
        "openapi": "3.1.0", "info": {"title": title, "description": description, "version": version}, "paths": paths,
        "components": {
            "schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _key(kind: Any) -> str:
    return repr(kind)


def _operation(one: Endpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {one.media: {"example": one.example}}
    if one.media == JSON:
        content[JSON]["schema"] = schema_of[_key(one.answers)]
    error = {JSON: {"schema": schema_of[_key(ErrorAnswer)]}}
    found: dict[str, Any] = {
        "summary": one.summary, "tags": [one.tag] if one.tag else [],
        "operationId": f"{one.method.lower()}{one.path}".replace("/", "_").replace("{", "").replace("}", ""),
        "responses": {
            "200": {"description": "Done.", "content": content},
            **{str(status): {"description": text, "content": error} for status, text in _REFUSALS.items()},
        },
        "parameters": [*_path_parameters(one.path), *_query_parameters(one.query)],
    }
    if one.role is not None:
        found["security"] = [{"token": []}, *([{}] if one.role is Role.VIEWER else [])]
        found["description"] = f"Needs the role {one.role.value}."
    if one.body is not None:
        found["requestBody"] = {
            "required": True, "content": {JSON: {"schema": schema_of[_key(one.body)], "example": one.body_example}},
        }
    return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(kind: type[msgspec.Struct] | None) -> list[dict[str, Any]]:
    if kind is None:
        return []
    (_,), components = msgspec.json.schema_components([kind])
    schema = components[kind.__name__]
    needed = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": found,
         **({"description": found.pop("description")} if "description" in found else {})}
        for name, found in schema["properties"].items()
    ]


def not_found(text: str) -> NoReturn:
    """Raise the ApiError of something that is not there."""
    raise ApiError(404, text)


