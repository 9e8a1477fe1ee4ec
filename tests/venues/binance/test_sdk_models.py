"""What is read of Binance's payloads agrees with the models of its official SDK, field by field."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import msgspec
import pytest
from tests.venues.binance import examples

from quantum_trader.venues.binance import wire

pytest.importorskip("binance_sdk_derivatives_trading_usds_futures", reason="the SDK comes with the development extra")

def model_of(area: str, name: str) -> Any:
    """A model of the SDK."""
    return getattr(import_module(f"binance_sdk_derivatives_trading_usds_futures.{area}.models"), name)


def aliases(model: Any) -> dict[str, Any]:
    """Names on the wire and the fields behind them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def payload(text: str) -> Any:
    """A row of *text*: out of its envelope, out of its list."""
    value = msgspec.json.decode(text)
    value = value["data"] if isinstance(value, dict) and "data" in value else value
    return value[0] if isinstance(value, list) else value


def inner(text: str, *path: str) -> str:
    """A part of an example."""
    value = payload(text)
    for name in path:
        value = value[name][0] if isinstance(value[name], list) else value[name]
    return msgspec.json.encode(value).decode()


# Fields that the venue sends and the SDK's models do not know.
UNKNOWN_TO_THE_SDK: dict[str, set[str]] = {}
PAIRS = [
    (wire.OrderAnswer, "rest_api", "QueryOrderResponse", examples.ORDER),
    (wire.AlgoAnswer, "rest_api", "QueryAlgoOrderResponse", examples.ALGO_ORDER),
    (wire.AlgoCancelled, "rest_api", "CancelAlgoOrderResponse", examples.ALGO_CANCELLED),
    (wire.TradeAnswer, "rest_api", "AccountTradeListResponseInner", examples.USER_TRADES),
    (wire.PositionAnswer, "rest_api", "PositionInformationV3ResponseInner", examples.POSITION_RISK),
    (wire.AccountAnswer, "rest_api", "AccountInformationV3Response", examples.ACCOUNT),
    (wire.IncomeAnswer, "rest_api", "GetIncomeHistoryResponseInner", examples.INCOME),
    (wire.FundingRateAnswer, "rest_api", "GetFundingRateHistoryResponseInner", examples.FUNDING_RATE),
    (wire.SymbolConfig, "rest_api", "SymbolConfigurationResponseInner", examples.SYMBOL_CONFIG),
    (wire.LeverageAnswer, "rest_api", "ChangeInitialLeverageResponse", examples.LEVERAGE),
    (wire.SymbolBrackets, "rest_api", "NotionalAndLeverageBracketsResponse1Inner", examples.LEVERAGE_BRACKET),
    (wire.ExchangeInfo, "rest_api", "ExchangeInformationResponse", examples.EXCHANGE_INFO),
    (wire.KlineFrame, "websocket_streams", "KlineCandlestickStreamsResponse", examples.KLINE_FRAME),
    (wire.BookTickerFrame, "websocket_streams", "IndividualSymbolBookTickerStreamsResponse",
     examples.BOOK_TICKER_FRAME),
    (wire.MarkPriceFrame, "websocket_streams", "MarkPriceStreamResponse", examples.MARK_PRICE_FRAME),
    (wire.OrderFrame, "websocket_streams", "OrderTradeUpdate", examples.ORDER_TRADE_UPDATE),
    (wire.AlgoFrame, "websocket_streams", "AlgoUpdate", examples.ALGO_UPDATE),
    (wire.AccountFrame, "websocket_streams", "AccountUpdate", examples.ACCOUNT_UPDATE),
    (wire.ConfigFrame, "websocket_streams", "AccountConfigUpdate", examples.ACCOUNT_CONFIG_UPDATE),
    (wire.TradeLiteFrame, "websocket_streams", "TradeLite", examples.TRADE_LITE),
    (wire.KlineBody, "websocket_streams", "KlineCandlestickStreamsResponseK", inner(examples.KLINE_FRAME, "k")),
    (wire.OrderBody, "websocket_streams", "OrderTradeUpdateO", inner(examples.ORDER_TRADE_UPDATE, "o")),
    (wire.AlgoBody, "websocket_streams", "AlgoUpdateO", inner(examples.ALGO_UPDATE, "o")),
    (wire.AccountBody, "websocket_streams", "AccountUpdateA", inner(examples.ACCOUNT_UPDATE, "a")),
    (wire.BalanceBody, "websocket_streams", "AccountUpdateABInner", inner(examples.ACCOUNT_UPDATE, "a", "B")),
    (wire.PositionBody, "websocket_streams", "AccountUpdateAPInner", inner(examples.ACCOUNT_UPDATE, "a", "P")),
    (wire.LeverageBody, "websocket_streams", "AccountConfigUpdateAc", inner(examples.ACCOUNT_CONFIG_UPDATE, "ac")),
    (wire.ModeBody, "websocket_streams", "AccountConfigUpdateAi", inner(examples.MULTI_ASSETS_UPDATE, "ai")),
    (wire.AccountPosition, "rest_api", "AccountInformationV3ResponsePositionsInner",
     inner(examples.ACCOUNT, "positions")),
    (wire.SymbolInfo, "rest_api", "ExchangeInformationResponseSymbolsInner", inner(examples.EXCHANGE_INFO, "symbols")),
    (wire.RateLimit, "rest_api", "ExchangeInformationResponseRateLimitsInner",
     inner(examples.EXCHANGE_INFO, "rateLimits")),
]


@pytest.mark.parametrize(("ours", "area", "theirs", "example"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_field_that_is_read_is_one_the_sdk_knows(ours: type, area: str, theirs: str, example: str) -> None:
    """No name is invented: the SDK's model has each of them, but those it is known to lack."""
    known = set(aliases(model_of(area, theirs))) | UNKNOWN_TO_THE_SDK.get(theirs, set())
    read = {field.encode_name for field in msgspec.structs.fields(ours)}

    assert read <= known


@pytest.mark.parametrize(("ours", "area", "theirs", "example"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_both_read_the_documented_example_alike(ours: type, area: str, theirs: str, example: str) -> None:
    """The same numbers and texts from the same bytes, where both have the field."""
    row = payload(example)
    text = msgspec.json.encode(row).decode()
    mine = wire.decoder(ours).decode(text)
    sdk = model_of(area, theirs).from_dict(row)
    assert sdk is not None

    for field in msgspec.structs.fields(ours):
        names = [name for name, at in type(sdk).model_fields.items() if (at.alias or name) == field.encode_name]
        value = getattr(mine, field.name)
        if names and isinstance(value, (int, float, str)) and getattr(sdk, names[0]) is not None:
            assert type(value)(getattr(sdk, names[0])) == value, field.name
