"""Each endpoint and event three ways: Binance's documentation, the models of its SDK, and the local venue's answers.

The tables below are complete: every request the adapter's source can make, and every one it made on a tour of the
local venue, has a row, and every structure it reads is in one. The SDK itself says which model an endpoint has.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, get_args

import aiohttp
import msgspec
import pytest
from tests.venues.binance import examples
from tests.venues.binance.bench import SYMBOL, venue_of
from tests.venues.binance.tour import TourResult, tour
from tests.venues.local.world import Client, run, signature

from quantum_trader.venues import binance
from quantum_trader.venues.binance import parse, rest, wire
from quantum_trader.venues.binance.orders import OrderService
from quantum_trader.venues.local.server import ENDPOINTS as SERVED_PATHS
from quantum_trader.venues.local.ws_api import SocketSession

pytest.importorskip("binance_sdk_derivatives_trading_usds_futures", reason="the SDK comes with the development extra")

SDK: Final = "binance_sdk_derivatives_trading_usds_futures"
NOT_IN_THE_SDK: Final = frozenset({"GET /sapi/v1/account/apiRestrictions"})  # of the wallet, another package


class Row(NamedTuple):
    """One documented payload: of which request or event, and as what the adapter reads it (None: it does not)."""

    name: str
    ours: Any
    example: str


ENDPOINTS: Final = (
    Row("GET /fapi/v1/time", wire.ServerTime, examples.SERVER_TIME),
    Row("GET /fapi/v1/exchangeInfo", wire.ExchangeInfo, examples.EXCHANGE_INFO),
    Row("GET /fapi/v1/klines", list[wire.KlineRow], examples.KLINES),
    Row("GET /fapi/v1/fundingRate", list[wire.FundingRateAnswer], examples.FUNDING_RATE),
    Row("GET /fapi/v1/fundingInfo", list[wire.FundingInterval], examples.FUNDING_INFO),
    Row("GET /fapi/v2/ticker/price", wire.TickerPrice, examples.TICKER_PRICE),
    Row("GET /fapi/v2/ticker/price", list[wire.TickerPrice], examples.TICKER_PRICES),
    Row("GET /fapi/v1/leverageBracket", list[wire.SymbolBrackets], examples.LEVERAGE_BRACKET),
    Row("GET /fapi/v1/commissionRate", wire.CommissionRate, examples.COMMISSION_RATE),
    Row("GET /fapi/v1/positionSide/dual", wire.PositionMode, examples.POSITION_MODE),
    Row("GET /fapi/v1/multiAssetsMargin", wire.MultiAssetsMode, examples.MULTI_ASSETS_MODE),
    Row("GET /fapi/v1/feeBurn", wire.FeeBurn, examples.FEE_BURN),
    Row("GET /sapi/v1/account/apiRestrictions", wire.ApiRestrictions, examples.API_RESTRICTIONS),
    Row("GET /fapi/v3/account", wire.AccountAnswer, examples.ACCOUNT),
    Row("GET /fapi/v3/positionRisk", list[wire.PositionAnswer], examples.POSITION_RISK),
    Row("GET /fapi/v1/symbolConfig", list[wire.SymbolConfig], examples.SYMBOL_CONFIG),
    Row("GET /fapi/v1/income", list[wire.IncomeAnswer], examples.INCOME),
    Row("GET /fapi/v1/userTrades", list[wire.TradeAnswer], examples.USER_TRADES),
    Row("POST /fapi/v1/leverage", wire.LeverageAnswer, examples.LEVERAGE),
    Row("POST /fapi/v1/marginType", None, examples.MARGIN_TYPE),
    Row("POST /fapi/v1/order", wire.OrderAnswer, examples.NEW_ORDER),
    Row("GET /fapi/v1/order", wire.OrderAnswer, examples.ORDER),
    Row("DELETE /fapi/v1/order", wire.OrderAnswer, examples.CANCELLED_ORDER),
    Row("GET /fapi/v1/openOrders", list[wire.OrderAnswer], examples.OPEN_ORDERS),
    Row("POST /fapi/v1/algoOrder", wire.AlgoAnswer, examples.NEW_ALGO_ORDER),
    Row("GET /fapi/v1/algoOrder", wire.AlgoAnswer, examples.ALGO_ORDER),
    Row("DELETE /fapi/v1/algoOrder", wire.AlgoCancelled, examples.ALGO_CANCELLED),
    Row("GET /fapi/v1/openAlgoOrders", list[wire.AlgoAnswer], examples.OPEN_ALGO_ORDERS),
    Row("GET /fapi/v1/allAlgoOrders", list[wire.AlgoAnswer], examples.ALL_ALGO_ORDERS),
    Row("POST /fapi/v1/listenKey", wire.ListenKey, examples.LISTEN_KEY),
    Row("PUT /fapi/v1/listenKey", None, examples.LISTEN_KEY_KEPT),
)
SERVED: Final = (  # what the adapter has no use for, and the local venue answers others
    Row("GET /fapi/v1/premiumIndex", None, examples.PREMIUM_INDEX),
    Row("GET /fapi/v1/ticker/bookTicker", None, examples.BOOK_TICKER),
    Row("GET /fapi/v1/depth", None, examples.DEPTH),
    Row("GET /fapi/v3/balance", None, examples.BALANCE),
)
FRAMES: Final = (
    Row("KlineCandlestickStreamsResponse", wire.KlineFrame, examples.KLINE_FRAME),
    Row("IndividualSymbolBookTickerStreamsResponse", wire.BookTickerFrame, examples.BOOK_TICKER_FRAME),
    Row("MarkPriceStreamResponse", wire.MarkPriceFrame, examples.MARK_PRICE_FRAME),
    Row("OrderTradeUpdate", wire.OrderFrame, examples.ORDER_TRADE_UPDATE),
    Row("AlgoUpdate", wire.AlgoFrame, examples.ALGO_UPDATE),
    Row("AlgoUpdate", wire.AlgoFrame, examples.ALGO_TRIGGERED_SEEN),
    Row("AccountUpdate", wire.AccountFrame, examples.ACCOUNT_UPDATE),
    Row("AccountConfigUpdate", wire.ConfigFrame, examples.ACCOUNT_CONFIG_UPDATE),
    Row("AccountConfigUpdate", wire.ConfigFrame, examples.MULTI_ASSETS_UPDATE),
    Row("TradeLite", wire.TradeLiteFrame, examples.TRADE_LITE),
    Row("ListenKeyExpired", wire.ListenKeyExpiredFrame, examples.LISTEN_KEY_EXPIRED),
    Row("MarginCall", None, examples.MARGIN_CALL),
)
# Fields that the adapter reads where it finds them, though the SDK's model of this answer has them not.
READ_BEYOND_THE_SDK: Final = {
    "POST /fapi/v1/order": {"avgPrice", "time"}, "DELETE /fapi/v1/order": {"avgPrice", "time"},
    "POST /fapi/v1/algoOrder": {"actualOrderId"},
}
# Fields of an example that the local venue leaves out: of trailing stops (activatePrice, priceRate, AP, cr), of
# executions alone (n, N), one of two alternatives (ai, ac), and settlePlan, which the real exchangeInfo no longer has.
LEFT_OUT: Final = {"activatePrice", "priceRate", "AP", "cr", "n", "N", "ai", "ac", "settlePlan"}
NOT_SENT: Final = frozenset({"MARGIN_CALL"})  # the local venue liquidates without a warning
# Fields that the local venue sends beyond the SDK's models: the documentation has them there, or beside it for the
# same order, or the real venue sends them (ma, and what exchangeInfo has more).
_ORDER: Final = {"avgPrice", "cumQty", "cumQuote"}
_ALGO: Final = {"actualQty", "actualType", "slPrice", "slTriggerPrice", "tpPrice", "tpTriggerPrice"}
BEYOND_THE_SDK: Final = {
    "GET /fapi/v1/exchangeInfo": {"futuresType", "maxMoveOrderLimit", "permissionSets", "positionControlSide"},
    "GET /fapi/v1/ticker/bookTicker": {"lastUpdateId"}, "POST /fapi/v1/order": _ORDER, "DELETE /fapi/v1/order": _ORDER,
    "GET /fapi/v1/algoOrder": _ALGO, "GET /fapi/v1/openAlgoOrders": _ALGO, "GET /fapi/v1/allAlgoOrders": _ALGO,
    "AccountUpdate": {"ma"}, "order.place": _ORDER,
}
# Fields of the SDK's models that the local venue's answers have not: of trailing stops, of triggered orders, of
# coin-margined futures, of hedge mode, and of filters each of which has its own; of rules that were never broken.
_TRAILING: Final = {"activatePrice", "priceRate"}
NOT_OF_THIS_MARKET: Final = {
    "GET /fapi/v1/order": _TRAILING, "GET /fapi/v1/openOrder": _TRAILING, "GET /fapi/v1/openOrders": _TRAILING,
    "GET /fapi/v1/allOrders": _TRAILING | {"cumBase", "pair"},
    "GET /fapi/v1/userTrades": {"baseQty", "marginAsset", "pair"},
    "GET /fapi/v1/algoOrder": {"actualQty", "actualType"}, "GET /fapi/v1/fundingRate": {"rateType"},
    "GET /fapi/v1/adlQuantile": {"HEDGE"}, "GET /fapi/v1/apiTradingStatus": {"ACCOUNT", "BTCUSDT", "ETHUSDT"},
    "GET /fapi/v1/exchangeInfo": {
        "settlePlan", "maxPrice", "minPrice", "tickSize", "maxQty", "minQty", "stepSize", "limit", "notional",
        "multiplierUp", "multiplierDown", "multiplierDecimal",
    },
}
# Fields beyond the documentation's examples: of exchangeInfo as the real venue sends it, and, of a conditional order
# that has become a regular one, what the SDK's models have.
BEYOND_THE_EXAMPLES: Final = {
    "GET /fapi/v1/exchangeInfo": {
        "futuresType", "maxMoveOrderLimit", "permissionSets", "filterType", "positionControlSide",
    },
    "GET /fapi/v1/allAlgoOrders": {"actualQty", "actualType"}, "GET /fapi/v1/ticker/bookTicker": {"lastUpdateId"},
}


@pytest.fixture(scope="module")
def recorded() -> TourResult:
    """The local venue's answers and frames of the tour."""
    return tour()


def ids(row: Row) -> str:
    """A row's name in a test's name."""
    return row.name.replace("/fapi/", "").replace(" ", "-")


# ---------------------------------------------------------------------- the SDK


def endpoints_of_the_sdk() -> dict[str, Any]:
    """Each request of the SDK with the model of its answer, as it hands both to its own sender."""
    found: dict[str, Any] = {}

    def sent(_session: Any, _configuration: Any, *, method: str, path: str, **more: Any) -> None:
        found[f"{method} {path}"] = more.get("response_model")

    from binance_common.configuration import ConfigurationRestAPI

    configuration = ConfigurationRestAPI(api_key="key", api_secret="secret")
    with pytest.MonkeyPatch.context() as patch:
        for area in ("account", "market_data", "trade", "user_data_streams"):
            module: ModuleType = import_module(f"{SDK}.rest_api.api.{area}_api")
            patch.setattr(module, "send_request", sent)
            (kind,) = (each for name, each in vars(module).items() if name.lower() == f"{area.replace('_', '')}api")
            api = kind(configuration, None, None)
            for name, method in inspect.getmembers(api, inspect.ismethod):
                if not name.startswith("_"):
                    required = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
                    method(*["1"] * len(required))
    return found


MODELS: Final = endpoints_of_the_sdk()


def sdk_reading(name: str, payload: Any) -> Any:
    """*payload* as the SDK's model of the request *name*; pydantic's ValidationError where it does not fit.

    The model itself is asked, not the SDK's client: that one only warns, and reads on without the types. Lists of
    lists have no model there.
    """
    if isinstance(payload, list) and payload and isinstance(payload[0], list):
        return payload
    found = MODELS[name].from_dict(payload)
    return getattr(found, "actual_instance", found)


def sdk_frame(name: str, frame: Any) -> Any:
    """*frame* as the SDK's model *name*; an event of the account finds its model by its own name."""
    models = import_module(f"{SDK}.websocket_streams.models")
    if name.endswith("Response"):
        return getattr(models, name).from_dict(frame)
    found = models.UserDataStreamEventsResponse.model_validate(frame).actual_instance
    assert type(found).__name__ == name
    return found


def differences(ours: Any, theirs: Any, at: str) -> Iterator[str]:
    """Where our reading and the SDK's differ, leaf by leaf; a field the SDK does not know is a difference."""
    if isinstance(ours, list):
        if len(ours) != len(theirs):
            yield f"{at}: {len(ours)} rows here, {len(theirs)} there"
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from differences(mine, other, f"{at}[{number}]")
    elif isinstance(ours, wire.KlineRow):
        yield from differences(list(msgspec.structs.astuple(ours)), theirs[:7], at)
    elif isinstance(ours, msgspec.Struct):
        known = {each.alias or name: name for name, each in type(theirs).model_fields.items()}
        for field in msgspec.structs.fields(ours):
            if field.encode_name not in known:
                yield f"{at}.{field.encode_name}: not known to the SDK"
                continue
            mine, other = getattr(ours, field.name), getattr(theirs, known[field.encode_name])
            if other is not None or (field.default is msgspec.NODEFAULT and mine is not None):
                yield from differences(mine, other, f"{at}.{field.encode_name}")
            elif mine is not None and mine != field.default and mine != []:
                yield f"{at}.{field.encode_name}: {mine!r} here, nothing there"
    elif type(ours)(theirs) != ours:
        yield f"{at}: {ours!r} here, {theirs!r} there"


def unknown_fields(payload: Any, read: Any) -> Iterator[str]:
    """The names in *payload* that the SDK's model *read* from it has no field for."""
    if isinstance(read, list) and isinstance(payload, list):
        yield from chain.from_iterable(map(unknown_fields, payload, read))
    elif hasattr(type(read), "model_fields"):
        known = {each.alias or name: name for name, each in type(read).model_fields.items()}
        yield from payload.keys() - known.keys()
        for name in payload.keys() & known.keys():
            yield from unknown_fields(payload[name], getattr(read, known[name]))


@pytest.mark.parametrize("row", [row for row in ENDPOINTS if row.name not in NOT_IN_THE_SDK], ids=ids)
def test_the_sdk_and_the_adapter_read_the_documented_answer_alike(row: Row) -> None:
    """It validates as the SDK's model, strictly, and each field that is read has the same value in both."""
    theirs = sdk_reading(row.name, msgspec.json.decode(row.example))

    if row.ours is None:
        return
    ours = wire.decoder(row.ours).decode(row.example)
    beyond = {f"{row.name}.{name}: not known to the SDK" for name in READ_BEYOND_THE_SDK.get(row.name, ())}
    assert set(differences(ours, theirs, row.name)) == beyond


@pytest.mark.parametrize("name", READ_BEYOND_THE_SDK)
def test_an_answer_without_what_the_sdk_does_not_know_is_read_too(name: str) -> None:
    """The adapter must not need a field that the SDK's model lacks."""
    (row,) = (each for each in ENDPOINTS if each.name == name)
    fewer = {key: value for key, value in msgspec.json.decode(row.example).items()
             if key not in READ_BEYOND_THE_SDK[name]}

    read = wire.decoder(row.ours).decode(msgspec.json.encode(fewer))

    assert list(differences(read, sdk_reading(name, fewer), name)) != []
    assert read == wire.decoder(row.ours).decode(row.example)


@pytest.mark.parametrize("row", SERVED, ids=ids)
def test_the_sdk_reads_what_else_is_documented(row: Row) -> None:
    """The examples of what only the local venue speaks are examples of the SDK's models too."""
    assert sdk_reading(row.name, msgspec.json.decode(row.example))


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row.name)
def test_the_sdk_and_the_adapter_read_the_documented_frame_alike(row: Row) -> None:
    """As with answers; a kind that is not read is nothing to the adapter."""
    frame = msgspec.json.decode(row.example)
    frame = frame.get("data", frame)
    if row.name == "ListenKeyExpired":
        frame["E"] = int(frame["E"])  # the page shows a text, the SDK's model wants a number; the adapter takes both
    theirs, text = sdk_frame(row.name, frame), msgspec.json.encode(frame)

    if row.ours is None:
        assert parse.user_frame(text) is None
        return
    ours = parse.user_frame(text) or parse.decode_market(msgspec.json.encode({"data": frame})).data
    assert type(ours) is row.ours
    assert list(differences(ours, theirs, row.name)) == []


# ---------------------------------------------------------------------- nothing is missing


def calls_in_the_source() -> Iterator[str]:
    """Each request the adapter's source can make: the method, and the path below its group's version."""
    bases = {rest.PUBLIC: "/fapi/v1", rest.PRIVATE: "/fapi/v1", rest.PUBLIC_V2: "/fapi/v2",
             rest.PRIVATE_V3: "/fapi/v3", rest.ACCOUNT_API: "/sapi/v1"}
    for source in Path(binance.__file__ or "").parent.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            asked = _asked(node) if isinstance(node, ast.Call) else None
            if asked is None or (isinstance(asked[2], ast.Name) and asked[2].id == "path"):
                continue  # no request, or one that is passed on from where it is written out
            method, group, path = asked
            assert isinstance(method, ast.Constant), ast.dump(node)
            name = group.value if isinstance(group, ast.Constant) else getattr(rest, ast.unparse(group))
            by_service = ast.unparse(path) == "service.value"
            paths = [service.value for service in OrderService] if by_service else [ast.literal_eval(path)]
            yield from (f"{method.value} {bases[name]}/{below}" for below in paths)


def _asked(call: ast.Call) -> tuple[ast.expr, ast.expr, ast.expr] | None:
    """Method, group and path of a call that makes a request."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    get, private = ast.Constant("GET"), ast.Name("PRIVATE")
    if name in ("ask", "prepare") and len(call.args) >= 3:
        return call.args[0], call.args[1], call.args[2]
    if name == "read" and len(call.args) >= 2:
        return get, call.args[0], call.args[1]
    if name == "_page":
        return get, call.args[1], call.args[2]
    return (get, private, call.args[0]) if name == "_find" else None


def test_every_request_has_a_documented_answer(recorded: TourResult) -> None:
    """What the source can ask, what was asked on the tour, and the table are the same; a new request needs a row."""
    table = {row.name for row in ENDPOINTS}

    assert set(calls_in_the_source()) == table
    assert set(recorded.answers) == table
    assert table - set(MODELS) == NOT_IN_THE_SDK


def test_every_structure_that_is_read_has_a_documented_example() -> None:
    """A new structure of :mod:`wire` needs a row, and so does a new event of the account."""

    def within(kind: Any) -> Iterator[type]:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield kind
            yield from chain.from_iterable(within(field.type) for field in msgspec.structs.fields(kind))
        yield from chain.from_iterable(map(within, get_args(kind)))

    read = set(chain.from_iterable(within(row.ours) for row in ENDPOINTS + FRAMES))
    defined = {each for each in vars(wire).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)}
    tags = {each.__struct_config__.tag for each in read} - {None}

    assert defined - read == {wire._Rest, wire.MarketFrame, wire.Peek}
    assert tags == parse._USER_EVENTS | {"kline", "bookTicker", "markPriceUpdate"}


# ---------------------------------------------------------------------- the local venue


def missing(example: Any, answer: Any, at: str) -> Iterator[str]:
    """Where *answer* lacks a documented field or has it as another kind of JSON value."""
    if isinstance(example, dict) and isinstance(answer, dict):
        yield from (f"{at}.{name}: is missing" for name in example.keys() - answer.keys() - LEFT_OUT)
        for name in sorted(example.keys() & answer.keys()):
            yield from missing(example[name], answer[name], f"{at}.{name}")
    elif isinstance(example, list) and isinstance(answer, list):
        columns = len(example) == len(answer) > 1 and not isinstance(example[0], dict)  # a bar, a level
        for number, row in enumerate(answer):
            yield from missing(example[number] if columns else _like(example, row), row, f"{at}[{number}]")
    elif example is not None and _kind(example) is not _kind(answer):
        yield f"{at}: {answer!r} where {example!r} is documented"


def _like(rows: list[Any], row: Any) -> Any:
    """The documented row that *row* is compared with: a filter's of its own type, else the first."""
    if isinstance(row, dict) and "filterType" in row:
        rows = [each for each in rows if each["filterType"] == row["filterType"]] or [{}]
    return rows[0] if rows else None


def _kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def beyond(example: Any, answer: Any) -> Iterator[str]:
    """The names of fields in *answer* that the documented one has not."""
    if isinstance(example, dict) and isinstance(answer, dict):
        yield from answer.keys() - example.keys()
        for name in example.keys() & answer.keys():
            yield from beyond(example[name], answer[name])
    elif isinstance(example, list) and isinstance(answer, list):
        for row in answer:
            yield from beyond(_like(example, row), row)


def verify_answer(row: Row, answer: Any) -> None:
    """An answer of the local venue is the SDK's model, no more and no less than the documentation shows."""
    assert list(missing(msgspec.json.decode(row.example), answer, row.name)) == []
    assert set(beyond(msgspec.json.decode(row.example), answer)) <= BEYOND_THE_EXAMPLES.get(row.name, set())
    if row.name not in NOT_IN_THE_SDK:
        assert set(unknown_fields(answer, sdk_reading(row.name, answer))) <= BEYOND_THE_SDK.get(row.name, set())


@pytest.mark.parametrize("row", ENDPOINTS, ids=ids)
def test_the_local_venues_answer_is_the_sdks_model_and_the_documentations(row: Row, recorded: TourResult) -> None:
    """All it answered on the tour, one symbol's and all symbols' apart; and some of it is not empty."""
    is_list = row.example.strip().startswith("[")
    alike = [each for each in recorded.answers[row.name] if isinstance(each, list) == is_list]

    assert any(alike)
    for answer in alike:
        verify_answer(row, answer)


def test_the_local_venues_frames_are_the_sdks_models_and_the_documentations(recorded: TourResult) -> None:
    """Every kind that the adapter reads was sent; a frame has all documented fields, and the SDK's types."""
    rows = {}
    for row in FRAMES:
        frame = msgspec.json.decode(row.example)
        frame = frame.get("data", frame)
        rows.setdefault(frame["e"], (row, frame | ({"E": 1} if row.name == "ListenKeyExpired" else {})))

    assert set(recorded.frames) == set(rows) - NOT_SENT
    for kind, frames in recorded.frames.items():
        row, documented = rows[kind]
        for frame in frames:
            assert list(missing(documented, frame, kind)) == []
            named = set(unknown_fields(frame, sdk_frame(row.name, frame))) - {"e"}
            assert named <= BEYOND_THE_SDK.get(row.name, set())


def test_the_local_venue_answers_others_in_the_sdks_models() -> None:
    """Mark prices, best prices, the book and the balance, which the adapter does not ask for."""

    async def ask() -> list[Any]:
        async with venue_of() as venue, aiohttp.ClientSession() as http:
            client = Client(venue, http)
            return [await client.ok("GET", row.name.split()[1], symbol=SYMBOL) for row in SERVED]

    for row, answer in zip(SERVED, run(ask), strict=True):
        verify_answer(row, answer)


def absent_fields(payload: Any, read: Any) -> Iterator[str]:
    """The names of fields that the SDK's model *read* from *payload* has, and *payload* has not."""
    if isinstance(read, list) and isinstance(payload, list):
        yield from chain.from_iterable(map(absent_fields, payload, read))
    elif hasattr(type(read), "model_fields") and isinstance(payload, dict):
        known = {each.alias or name: name for name, each in type(read).model_fields.items()}
        yield from known.keys() - payload.keys() - {"additional_properties"}
        for name in payload.keys() & known.keys():
            yield from absent_fields(payload[name], getattr(read, known[name]))


def test_every_question_is_answered_with_the_fields_of_the_sdks_model() -> None:
    """Also what the adapter never asks: no field more, none less, but for those that the tables above explain."""
    fields: dict[str, Any] = {"symbol": SYMBOL, "pair": SYMBOL, "interval": "1m", "limit": 5,
                              "contractType": "PERPETUAL"}
    buy = {"symbol": SYMBOL, "side": "BUY", "quantity": 1}
    by_id = ("GET /fapi/v1/order", "GET /fapi/v1/openOrder", "GET /fapi/v1/algoOrder")

    async def ask() -> dict[str, Any]:
        async with venue_of() as venue, aiohttp.ClientSession() as http:
            client = Client(venue, http)
            await client.ok("POST", "/fapi/v1/order", **buy, type="MARKET")
            order = await client.ok("POST", "/fapi/v1/order", **buy, type="LIMIT", price=90, timeInForce="GTC")
            algo = await client.ok("POST", "/fapi/v1/algoOrder", algoType="CONDITIONAL", symbol=SYMBOL, side="SELL",
                                   quantity=1, type="STOP_MARKET", triggerPrice=80)
            ids = {"orderId": order["orderId"], "algoId": algo["algoId"]}
            names = [f"{method} {path}" for method, path in SERVED_PATHS if method == "GET"]
            return {
                name: await client.ok("GET", name.split()[1], **fields, **(ids if name in by_id else {}))
                for name in names if name in MODELS and MODELS[name] is not None
            }

    beyond, absent = set(), set()
    for name, answer in run(ask).items():
        read = sdk_reading(name, answer)
        more = set(unknown_fields(answer, read)) - BEYOND_THE_SDK.get(name, set())
        fewer = set(absent_fields(answer, read)) - NOT_OF_THIS_MARKET.get(name, set())
        beyond |= {f"{name}: {field}" for field in more}
        absent |= {f"{name}: {field}" for field in fewer}
    assert (beyond, absent) == (set(), set())


def test_the_local_venues_socket_answers_are_the_documentations() -> None:
    """order.place as the SDK's model; session.logon, which the SDK has no model for, field by field."""

    async def ask() -> tuple[Any, Any]:
        async with venue_of() as venue:
            session, key = SocketSession(venue.api), venue.keys[0]

            def signed(**params: Any) -> dict[str, Any]:
                params |= {"apiKey": key.key, "timestamp": venue.api.server_ms()}
                payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
                return params | {"signature": signature(key.secret, payload)}

            def asked(method: str, params: dict[str, Any]) -> Any:
                return session.answer(msgspec.json.encode({"id": "1", "method": method, "params": params}))

            fields = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "90",
                      "timeInForce": "GTC"}
            return asked("order.place", signed(**fields)), asked("session.logon", signed())["result"]

    placed, logged_on = run(ask)
    models = import_module(f"{SDK}.websocket_api.models")

    assert list(missing(msgspec.json.decode(examples.WS_ORDER_PLACED), placed, "order.place")) == []
    unknown = unknown_fields(placed, models.NewOrderResponse.from_dict(placed))
    assert set(unknown) <= BEYOND_THE_SDK["order.place"]
    assert list(missing(msgspec.json.decode(examples.WS_LOGGED_ON), logged_on, "session.logon")) == []
