"""Orders and events as Binance reports them: regular orders, and conditional ones that wait in the algo service."""

from __future__ import annotations

from typing import Final

import msgspec

CONDITIONAL: Final = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
OPEN: Final = ("NEW", "PARTIALLY_FILLED")
ALGO_OPEN: Final = ("NEW", "TRIGGERING")


class OrderTicket(msgspec.Struct, frozen=True, kw_only=True):
    """The order a client sends, parsed and not yet checked against symbol and account."""

    symbol: str
    side: str  # BUY | SELL
    type: str
    qty: float = 0.0  # 0.0 with close_position
    price: float = 0.0
    trigger_price: float = 0.0
    tif: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    client_id: str = ""
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    callback_rate: float = 0.0  # percent, TRAILING_STOP_MARKET
    activate_price: float = 0.0
    good_till_ms: int = 0  # 0 without an end
    price_match: str = "NONE"  # the price is the book's: OPPONENT, QUEUE, each also with _5, _10 or _20

    @property
    def sign(self) -> int:
        """+1 buy, -1 sell."""
        return 1 if self.side == "BUY" else -1


class Order:
    """A regular order: its ticket, and what is filled of it."""

    __slots__ = (
        "average", "created_ns", "expiry", "filled", "maker", "order_id", "orig_type", "paper_id", "price", "qty",
        "quote", "status", "ticket", "updated_ns",
    )

    def __init__(self, order_id: int, ticket: OrderTicket, now_ns: int, orig_type: str = "") -> None:
        self.order_id = order_id
        self.ticket = ticket
        self.orig_type = orig_type or ticket.type
        self.paper_id = f"v{order_id}"
        self.status = "NEW"
        self.qty, self.price = ticket.qty, ticket.price
        self.filled = self.quote = self.average = 0.0
        self.created_ns = self.updated_ns = now_ns
        self.maker = False
        self.expiry = "0"

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in OPEN


class AlgoOrder:
    """A conditional order, and the regular one it became."""

    __slots__ = (
        "activated", "actual_id", "algo_id", "created_ns", "extreme", "reason", "status", "ticket", "triggered_ns",
        "updated_ns",
    )

    def __init__(self, algo_id: int, ticket: OrderTicket, now_ns: int) -> None:
        self.algo_id = algo_id
        self.ticket = ticket
        self.status = "NEW"
        self.actual_id = 0
        self.reason = ""
        self.created_ns = self.updated_ns = now_ns
        self.triggered_ns = 0
        self.activated = ticket.activate_price <= 0.0
        self.extreme = 0.0  # best price since activation, of a trailing stop

    @property
    def is_open(self) -> bool:
        """Whether it waits for its trigger."""
        return self.status in ALGO_OPEN

    @property
    def rising(self) -> bool:
        """Whether a rising price triggers it."""
        stop = self.ticket.type in ("STOP", "STOP_MARKET", "TRAILING_STOP_MARKET")
        return stop == (self.ticket.sign > 0)

    @property
    def level(self) -> float:
        """The price that triggers it; 0.0 for a trailing stop that is not active yet."""
        if self.ticket.type != "TRAILING_STOP_MARKET":
            return self.ticket.trigger_price
        if not self.activated or self.extreme <= 0.0:
            return 0.0
        return self.extreme * (1.0 + self.ticket.sign * self.ticket.callback_rate / 100.0)

    def follow(self, price: float) -> None:
        """Update a trailing stop with *price*: activate it, or move its extreme."""
        if self.ticket.type != "TRAILING_STOP_MARKET":
            return
        sign, wanted = self.ticket.sign, self.ticket.activate_price
        if not self.activated and (price <= wanted if sign > 0 else price >= wanted):
            self.activated = True
        if self.activated and (self.extreme <= 0.0 or sign * (self.extreme - price) > 0.0):
            self.extreme = price


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of the account."""

    trade_id: int
    order_id: int
    client_id: str
    symbol: str
    side: str
    qty: float
    price: float
    fee: float
    realised: float
    maker: bool
    ts_ns: int
    liquidation: bool = False
    fee_asset: str = "USDT"  # the coin that *fee* is an amount of


class Income(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the account's income history."""

    kind: str  # REALIZED_PNL | COMMISSION | FUNDING_FEE | TRANSFER
    symbol: str
    amount: float
    ts_ns: int
    tran_id: int
    trade_id: str = ""
    asset: str = "USDT"
    info: str = ""


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True):
    """An order's state at one moment, with the trade that made it, if one did."""

    execution: str  # NEW | TRADE | CANCELED | EXPIRED | CALCULATED | AMENDMENT
    order_id: int
    client_id: str
    symbol: str
    side: str
    type: str
    orig_type: str
    tif: str
    qty: float
    price: float
    trigger_price: float
    average: float
    status: str
    filled: float
    reduce_only: bool
    close_position: bool
    working_type: str
    ts_ns: int
    expiry: str = "0"
    good_till_ms: int = 0
    price_match: str = "NONE"
    trade: Trade | None = None


class AlgoEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A conditional order's state at one moment."""

    algo_id: int
    ticket: OrderTicket
    status: str
    ts_ns: int
    actual_id: int = 0
    actual_type: str = ""
    average: float = 0.0
    filled: float = 0.0
    triggered_ns: int = 0
    reason: str = ""


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Wallet and, where a symbol is named, its position after an event."""

    reason: str  # ORDER | FUNDING_FEE | DEPOSIT | MARGIN_TRANSFER...
    wallet: float
    change: float  # of the wallet without fees and realised profit, as Binance reports it
    free_wallet: float  # wallet less isolated margins
    ts_ns: int
    symbol: str = ""
    qty: float = 0.0
    entry: float = 0.0
    margin: float = 0.0
    unrealised: float = 0.0
    realised_total: float = 0.0
    coin_wallet: float | None = None  # BNB after the event, where the event moved some
    coin_change: float = 0.0  # BNB paid in or (negative) out


class ConfigEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol's leverage, or the multi-assets mode, was changed."""

    ts_ns: int
    symbol: str = ""
    leverage: int = 0
    multi_assets: bool | None = None


UserEvent = ExecutionReport | AlgoEvent | AccountEvent | ConfigEvent


class DepthDiff(msgspec.Struct, frozen=True):
    """One recorded change of a book, with the ids that chain it to the one before."""

    index: int
    ts_ns: int
    first_id: int  # U
    last_id: int  # u
    previous_id: int  # pu
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


class MarketTrade(msgspec.Struct, frozen=True):
    """One recorded trade of the market."""

    index: int
    ts_ns: int
    trade_id: int
    price: float
    qty: float
    buyer_is_maker: bool


class MarketTick(msgspec.Struct, frozen=True, kw_only=True):
    """Prices moved between two times, with the recorded changes of book and trades in between.

    *recorded* is True where books and trades come from a recording; then the lists are complete.
    """

    ts_ns: int
    since_ns: int  # time of the tick before
    recorded: bool = False
    diffs: tuple[DepthDiff, ...] = ()
    trades: tuple[MarketTrade, ...] = ()
