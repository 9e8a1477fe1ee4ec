"""Structs of Binance USD-M's payloads, with the fields that the adapter reads.

Names are the venue's own; numbers sent as text are read as numbers. Unknown fields are ignored; a missing field without
a default is an error.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


class _Rest(msgspec.Struct, rename="camel"):
    """A REST answer."""


class ServerTime(_Rest):
    server_time: int


class RateLimit(_Rest):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class Filter(_Rest):
    """One filter of a symbol; which fields it has depends on its type."""

    filter_type: str
    tick_size: float = 0.0
    step_size: float = 0.0
    min_qty: float = 0.0
    notional: float = 0.0


class SymbolInfo(_Rest):
    symbol: str
    filters: list[Filter]
    status: str = ""
    contract_type: str = ""
    margin_asset: str = ""


class ExchangeInfo(_Rest):
    symbols: list[SymbolInfo]
    rate_limits: list[RateLimit] = []


class Bracket(_Rest):
    initial_leverage: float
    notional_cap: float
    maint_margin_ratio: float
    cum: float = 0.0


class SymbolBrackets(_Rest):
    symbol: str
    brackets: list[Bracket]


class FundingInterval(_Rest):
    symbol: str
    funding_interval_hours: int = 8


class CommissionRate(_Rest):
    maker_commission_rate: float
    taker_commission_rate: float


class OrderAnswer(_Rest):
    """A regular order."""

    order_id: int
    symbol: str
    status: str
    client_order_id: str
    side: str
    type: str
    orig_qty: float
    executed_qty: float = 0.0
    avg_price: float = 0.0
    price: float = 0.0
    stop_price: float = 0.0
    reduce_only: bool = False
    orig_type: str = ""
    time: int = 0
    update_time: int = 0


class AlgoAnswer(_Rest):
    """A conditional order of the algo service."""

    algo_id: int
    client_algo_id: str
    symbol: str
    side: str
    order_type: str
    algo_status: str
    quantity: str | None = None
    trigger_price: str | None = None
    price: str | None = None
    reduce_only: bool = False
    actual_order_id: str | int = ""
    create_time: int = 0
    update_time: int = 0


class AlgoCancelled(_Rest):
    algo_id: int
    client_algo_id: str = ""
    code: str = ""
    msg: str = ""


class TradeAnswer(_Rest):
    """One of the account's executions."""

    id: int
    order_id: int
    symbol: str
    side: str
    price: float
    qty: float
    commission: float
    commission_asset: str
    time: int
    maker: bool


class IncomeAnswer(_Rest):
    symbol: str
    income_type: str
    income: float
    asset: str
    time: int
    tran_id: int = 0


class FundingRateAnswer(_Rest):
    symbol: str
    funding_rate: float
    funding_time: int
    mark_price: str = ""


class PositionAnswer(_Rest):
    """A row of positionRisk v3."""

    symbol: str
    position_amt: float
    entry_price: float
    mark_price: float
    un_realized_profit: float
    liquidation_price: float = 0.0
    isolated_margin: float = 0.0
    isolated_wallet: float = 0.0
    initial_margin: float = 0.0
    position_side: str = "BOTH"


class AccountPosition(_Rest):
    symbol: str
    position_amt: float = 0.0
    isolated_wallet: float = 0.0
    initial_margin: float = 0.0


class AccountAsset(_Rest):
    """One coin of the account."""

    asset: str
    wallet_balance: float
    unrealized_profit: float = 0.0
    available_balance: float = 0.0


class AccountAnswer(_Rest):
    """The account, v3. Totals may be a sum over coins; only the rows say how much of each there is."""

    total_wallet_balance: float
    total_unrealized_profit: float
    available_balance: float
    positions: list[AccountPosition] = []
    assets: list[AccountAsset] = []


class SymbolConfig(_Rest):
    symbol: str
    margin_type: str
    leverage: float


class LeverageAnswer(_Rest):
    symbol: str
    leverage: float


class PositionMode(_Rest):
    dual_side_position: bool


class MultiAssetsMode(_Rest):
    multi_assets_margin: bool


class FeeBurn(_Rest):
    fee_burn: bool


class ApiRestrictions(_Rest):
    enable_withdrawals: bool
    enable_futures: bool = True
    ip_restrict: bool = False


class ListenKey(_Rest):
    listen_key: str = ""


class TickerPrice(_Rest):
    symbol: str
    price: float


class KlineRow(msgspec.Struct, array_like=True):
    """A bar of /klines: an array."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    close_ms: int


# Frames of the streams. One letter each, as they come.


class KlineBody(msgspec.Struct):
    t: int  # opens, ms
    o: float
    h: float
    l: float  # noqa: E741 - the venue's name
    c: float
    v: float
    x: bool  # completed


class KlineFrame(msgspec.Struct, tag_field="e", tag="kline"):
    s: str
    k: KlineBody


class BookTickerFrame(msgspec.Struct, tag_field="e", tag="bookTicker"):
    s: str
    b: float
    B: float
    a: float
    A: float
    T: int


class MarkPriceFrame(msgspec.Struct, tag_field="e", tag="markPriceUpdate"):
    s: str
    p: float
    E: int
    T: int = 0  # next funding, ms
    r: str = ""  # empty where there is no funding


class MarketFrame(msgspec.Struct):
    """A combined stream's envelope."""

    data: KlineFrame | BookTickerFrame | MarkPriceFrame


class OrderBody(msgspec.Struct):
    s: str
    c: str  # client order id
    S: str
    o: str  # type now
    q: float
    x: str  # what happened
    X: str  # status now
    i: int  # order id
    l: float = 0.0  # noqa: E741 - the venue's name; quantity of this execution
    z: float = 0.0  # filled so far
    L: float = 0.0  # price of this execution
    n: float = 0.0  # fee
    N: str | None = None  # its asset
    T: int = 0
    t: int = 0  # trade id
    m: bool = False  # maker
    ot: str = ""  # original type
    er: str = ""  # why it expired


class OrderFrame(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    T: int
    o: OrderBody


class AlgoBody(msgspec.Struct):
    caid: str
    aid: int
    s: str
    X: str
    S: str = ""
    o: str = ""
    ai: str | int = ""  # the order it became
    aq: str = ""
    rm: str = ""  # why it failed


class AlgoFrame(msgspec.Struct, tag_field="e", tag="ALGO_UPDATE"):
    T: int
    o: AlgoBody


class BalanceBody(msgspec.Struct):
    a: str
    wb: float
    bc: float = 0.0


class PositionBody(msgspec.Struct):
    s: str
    pa: float
    mt: str = ""
    ps: str = "BOTH"


class AccountBody(msgspec.Struct):
    m: str
    B: list[BalanceBody] = []
    P: list[PositionBody] = []


class AccountFrame(msgspec.Struct, tag_field="e", tag="ACCOUNT_UPDATE"):
    T: int
    a: AccountBody


class LeverageBody(msgspec.Struct):
    s: str
    l: float  # noqa: E741 - the venue's name


class ModeBody(msgspec.Struct):
    j: bool  # multi-assets mode


class ConfigFrame(msgspec.Struct, tag_field="e", tag="ACCOUNT_CONFIG_UPDATE"):
    T: int
    ac: LeverageBody | None = None
    ai: ModeBody | None = None


class TradeLiteFrame(msgspec.Struct, tag_field="e", tag="TRADE_LITE"):
    """An early report of an execution, without its fee."""

    s: str
    c: str
    i: int
    t: int
    L: float
    l: float  # noqa: E741 - the venue's name


class ListenKeyExpiredFrame(msgspec.Struct, tag_field="e", tag="listenKeyExpired"):
    E: int = 0


UserFrame = OrderFrame | AlgoFrame | AccountFrame | ConfigFrame | TradeLiteFrame | ListenKeyExpiredFrame


class Peek(msgspec.Struct):
    """The kind of a frame, with or without an envelope."""

    e: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder of *kind* that also reads numbers sent as text."""
    return msgspec.json.Decoder(kind, strict=False)
