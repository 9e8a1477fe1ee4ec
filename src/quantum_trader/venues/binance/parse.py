"""Converts Binance USD-M's payloads to domain values: pure functions.

Times become nanoseconds, quantities and prices floats. Every function raises msgspec.ValidationError for a payload of
another shape; :mod:`rest` and :mod:`streams` turn it into a VenueError.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MS
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError, VenueError
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import (
    Kline,
    LeverageChanged,
    MarkPrice,
    Quote,
    StreamEvent,
    Transfer,
    WalletChanged,
)
from quantum_trader.venues.binance import wire
from quantum_trader.venues.binance.rows import finite, is_time, milliseconds

QUOTE_ASSET: Final = "USDT"
LIQUIDATION_IDS: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
_TRIGGERING_MS: Final = 10_000  # seen on the testnet: TRIGGERING for good, neither an order nor to be cancelled (-2011)
ALGO_ENDED: Final = frozenset({"FINISHED", "CANCELED", "REJECTED", "EXPIRED"})

_STATUS: Final = {
    "NEW": OrderStatus.NEW,
    "PENDING_NEW": OrderStatus.NEW,
    "NEW_INSURANCE": OrderStatus.NEW,
    "NEW_ADL": OrderStatus.NEW,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.CANCELED,
    "EXPIRED_IN_MATCH": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
}
_ALGO_STATUS: Final = {
    "NEW": OrderStatus.NEW,
    "TRIGGERING": OrderStatus.NEW,
    "TRIGGERED": OrderStatus.NEW,
    "FINISHED": OrderStatus.CANCELED,  # the order it became reports the fills
    "CANCELED": OrderStatus.CANCELED,
    "EXPIRED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
}
_TYPE: Final = {
    "LIMIT": OrderType.LIMIT,
    "STOP_MARKET": OrderType.STOP_MARKET,
    "STOP": OrderType.STOP_MARKET,
    "TRAILING_STOP_MARKET": OrderType.STOP_MARKET,
    "TAKE_PROFIT_MARKET": OrderType.TAKE_PROFIT_MARKET,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT_MARKET,
}
# Transfers (no result of trading), as ACCOUNT_UPDATE and /income name them (Binance USD-M, "Event: Balance and Position
# Update", "Get Income History"). Every other name counts as profit or loss: INSURANCE_CLEAR, the fee of a liquidation,
# is a loss, and so are undocumented names.
_MOVES: Final = frozenset({
    "DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ASSET_TRANSFER", "AUTO_EXCHANGE",
    "COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW",
})
_MOVED_INCOME: Final = frozenset({
    "TRANSFER", "INTERNAL_TRANSFER", "CROSS_COLLATERAL_TRANSFER", "STRATEGY_UMFUTURES_TRANSFER", "COIN_SWAP_DEPOSIT",
    "COIN_SWAP_WITHDRAW", "AUTO_EXCHANGE", "WELCOME_BONUS", "CONTEST_REWARD", "REFERRAL_KICKBACK", "BFUSD_REWARD",
})
_SIDES: Final = ("BUY", "SELL")
_LARGEST_FILTER: Final = 1e12  # beyond 1e-12 to 1e12 a step or a least quantity is none
_FILLING: Final = ("TRADE", "CALCULATED")  # CALCULATED: taken over by the venue in a liquidation

decode_market = wire.decoder(wire.MarketFrame).decode
_user_decoder: Final[msgspec.json.Decoder[wire.UserFrame]] = msgspec.json.Decoder(wire.UserFrame, strict=False)
_peek = wire.decoder(wire.Peek).decode
_USER_EVENTS: Final = frozenset(
    {"ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE", "TRADE_LITE", "listenKeyExpired"}
)


def number_or_zero(text: str | int | None) -> float:
    """A number that may be missing or empty: 0.0 then."""
    return float(text) if text else 0.0


def event_time_ns(ms: int) -> int:
    """The time of an event, in ns; VenueError for what is no time."""
    if not is_time(ms):
        raise VenueError(f"an event at {ms} ms cannot be read")
    return ms * NS_PER_MS


def loose_number(text: str | int | None) -> float:
    """A number that may be missing, empty or none at all: 0.0 then."""
    try:
        return finite(number_or_zero(text))
    except (ValueError, OverflowError):
        return 0.0


# ---------------------------------------------------------------------- instruments


def instrument(
    info: wire.SymbolInfo, tiers: tuple[LeverageTier, ...], *, maker_bps: float, taker_bps: float,
    funding_hours: int = 8,
) -> Instrument:
    """A symbol's filters, tiers and fees; ConfigError when a filter it needs is missing or no usable number."""
    filters = {entry.filter_type: entry for entry in info.filters}
    try:
        price, lot, notional = filters["PRICE_FILTER"], filters["LOT_SIZE"], filters["MIN_NOTIONAL"]
    except KeyError as error:
        raise ConfigError(
            f"symbol {info.symbol!r}: exchangeInfo has no filter {error.args[0]}: take it off the list"
        ) from None
    market = filters.get("MARKET_LOT_SIZE", lot)
    for key, value in (
        ("tickSize", price.tick_size), ("stepSize", max(lot.step_size, market.step_size)),
        ("minQty", max(lot.min_qty, market.min_qty)), ("notional", notional.notional),
    ):
        if not 1.0 / _LARGEST_FILTER <= value <= _LARGEST_FILTER:
            raise ConfigError(f"symbol {info.symbol!r}: its {key} is {value!r}: take it off the list")
    return Instrument(
        symbol=info.symbol, tick_size=price.tick_size, step_size=max(lot.step_size, market.step_size),
        min_qty=max(lot.min_qty, market.min_qty), min_notional=notional.notional, maker_fee_bps=maker_bps,
        taker_fee_bps=taker_bps, tiers=tiers, funding_interval_hours=funding_hours,
    )


def tiers(brackets: wire.SymbolBrackets) -> tuple[LeverageTier, ...]:
    """The leverage table, smallest notional first."""
    return tuple(
        LeverageTier(
            max_notional=row.notional_cap, maintenance_margin_rate=row.maint_margin_ratio,
            max_leverage=row.initial_leverage, maintenance_amount=row.cum,
        )
        for row in sorted(brackets.brackets, key=lambda row: row.notional_cap)
    )


# ---------------------------------------------------------------------- orders


def order_status(word: str) -> OrderStatus:
    """An order's status; an expired order counts as cancelled. VenueError for an unknown status."""
    if word not in _STATUS:
        raise VenueError(f"order status {word!r} is not known: the venue's protocol changed")
    return _STATUS[word]


def status_found(word: str, *, reduces: bool, is_open: bool) -> OrderStatus:
    """The status of an order that was queried. An unknown one counts as open where the venue lists the order as open.

    Elsewhere an unknown status counts as what is safer: an order that reduces is gone (another is sent), one that may
    open a position is still there.
    """
    if word in _STATUS:
        return _STATUS[word]
    return OrderStatus.CANCELED if reduces and not is_open else OrderStatus.NEW


def algo_status(word: str) -> OrderStatus:
    """A conditional order's own status; VenueError for an unknown status."""
    if word not in _ALGO_STATUS:
        raise VenueError(f"algo status {word!r} is not known: the venue's protocol changed")
    return _ALGO_STATUS[word]


def side(word: str) -> OrderSide:
    """An order's direction; VenueError for an unknown side."""
    if word not in _SIDES:
        raise VenueError(f"order side {word!r} is not known: the venue's protocol changed")
    return OrderSide(word)


def order_type(word: str) -> OrderType:
    """The nearest of our order types; orders of other clients may have a type that we do not send."""
    return _TYPE.get(word, OrderType.MARKET)


def _stop_price(word: str, price: float) -> float:
    """Where an order of type *word* triggers; 0.0 for a trailing stop, whose trigger is not told.

    Binance USD-M, "Query Order": "stopPrice: please ignore when order type is TRAILING_STOP_MARKET".
    """
    return 0.0 if word == "TRAILING_STOP_MARKET" else price


def order_view(answer: wire.OrderAnswer, client_order_id: str = "", *, is_open: bool = False) -> VenueOrder:
    """A regular order; *client_order_id* replaces its own where it was sent under another (a triggered stop).

    *is_open*: it is of the list of open orders. An order whose side cannot be read counts as one that may open a
    position.
    """
    word, sided = answer.status, answer.side in _SIDES
    reduces = answer.reduce_only and sided
    return VenueOrder(
        client_order_id=client_order_id or answer.client_order_id, venue_order_id=str(answer.order_id),
        symbol=answer.symbol, side=side(answer.side) if sided else OrderSide.BUY,
        type=order_type(answer.orig_type or answer.type) if sided else OrderType.MARKET,
        qty=finite(answer.orig_qty), filled_qty=finite(answer.executed_qty), average_price=finite(answer.avg_price),
        price=finite(answer.price),
        stop_price=_stop_price(answer.orig_type or answer.type, finite(answer.stop_price)) if sided else 0.0,
        reduce_only=reduces,
        status=status_found(word, reduces=reduces, is_open=is_open),
        created_ns=milliseconds(answer.time or answer.update_time) * NS_PER_MS,
        reason=_reason_of(word, answer.side, _STATUS),
    )


def _reason_of(word: str, side_word: str, known: Mapping[str, OrderStatus]) -> str:
    """Why an order ended, or what of it cannot be read."""
    if side_word not in _SIDES:
        return f"side {side_word!r} is not known"
    if word not in known:
        return f"status {word!r} is not known"
    return word if word in ("EXPIRED", "EXPIRED_IN_MATCH") or (word == "REJECTED" and known is _ALGO_STATUS) else ""


def algo_view(
    answer: wire.AlgoAnswer, child: wire.OrderAnswer | None = None, now_ms: int = 0, *, is_open: bool = False
) -> VenueOrder:
    """A conditional order; the order it became (*child*) gives the filled quantity and the final status.

    *is_open*: it is of the list of open orders. An order that has long been TRIGGERING at *now_ms* protects nothing:
    it counts as cancelled and is replaced.
    """
    word = child.status if child is not None else answer.algo_status
    if word == "TRIGGERING" and now_ms - answer.update_time > _TRIGGERING_MS and answer.update_time > 0:
        word = "EXPIRED"
    known, sided = (_STATUS if child is not None else _ALGO_STATUS), answer.side in _SIDES
    reduces = answer.reduce_only and sided
    unknown = OrderStatus.CANCELED if reduces and not is_open else OrderStatus.NEW
    return VenueOrder(
        client_order_id=answer.client_algo_id, venue_order_id=str(answer.algo_id), symbol=answer.symbol,
        side=side(answer.side) if sided else OrderSide.BUY,
        type=order_type(answer.order_type) if sided else OrderType.MARKET, qty=loose_number(answer.quantity),
        filled_qty=finite(child.executed_qty) if child is not None else 0.0,
        average_price=finite(child.avg_price) if child is not None else 0.0, price=loose_number(answer.price),
        stop_price=_stop_price(answer.order_type, loose_number(answer.trigger_price)) if sided else 0.0,
        reduce_only=reduces,
        status=known.get(word, unknown), created_ns=milliseconds(answer.create_time) * NS_PER_MS,
        reason=_reason_of(word, answer.side, known),
    )


# ---------------------------------------------------------------------- fills and funding


def fill_id(symbol: str, trade_id: int, order_id: int, filled: float) -> str:
    """The id of an execution, the same from stream and userTrades; without a trade id it uses the order's id."""
    return f"{symbol}-{trade_id}" if trade_id > 0 else f"{symbol}-o{order_id}-{filled:g}"


def is_liquidation(client_order_id: str) -> bool:
    """Whether the venue sent this order: a liquidation, auto-deleveraging or a delisting."""
    return client_order_id.startswith(LIQUIDATION_IDS)


def fill_of_trade(trade: wire.TradeAnswer, client_order_id: str, fee: float) -> Fill:
    """A row of userTrades; *fee* in USDT. VenueError for figures that cannot be booked."""
    _check_bookable(trade.symbol, trade.qty, trade.price, fee)
    return Fill(
        fill_id=fill_id(trade.symbol, trade.id, trade.order_id, trade.qty), client_order_id=client_order_id,
        symbol=trade.symbol, side=side(trade.side), qty=trade.qty, price=trade.price, fee=fee,
        liquidity="maker" if trade.maker else "taker", ts_ns=trade.time * NS_PER_MS,
        liquidation=is_liquidation(client_order_id), fee_asset=fee_asset(trade.commission_asset),
    )


def _check_bookable(symbol: str, qty: float, price: float, fee: float) -> None:
    if not (finite(qty) > 0.0 and finite(price) > 0.0 and math.isfinite(finite(fee, math.nan))):
        raise VenueError(f"{symbol}: an execution of {qty!r} at {price!r} with a fee of {fee!r} cannot be read")


def fills_now(body: wire.OrderBody) -> bool:
    """Whether an order event is an execution."""
    return body.x in _FILLING and body.l > 0.0


def fill_of_event(body: wire.OrderBody, client_order_id: str, fee: float) -> Fill:
    """The fill in an order event; *fee* in USDT. VenueError for figures that cannot be booked."""
    _check_bookable(body.s, body.l, body.L, fee)
    return Fill(
        fill_id=fill_id(body.s, body.t, body.i, body.l), client_order_id=client_order_id, symbol=body.s,
        side=side(body.S), qty=body.l, price=body.L, fee=fee, liquidity="maker" if body.m else "taker",
        ts_ns=event_time_ns(body.T), liquidation=body.x == "CALCULATED" or is_liquidation(client_order_id),
        fee_asset=fee_asset(body.N or ""),
    )


def update_of_event(body: wire.OrderBody, client_order_id: str) -> OrderUpdate:
    """The status in an order event."""
    expired = body.X.startswith("EXPIRED")
    return OrderUpdate(
        client_order_id=client_order_id, venue_order_id=str(body.i), symbol=body.s, status=order_status(body.X),
        ts_ns=event_time_ns(body.T), filled_qty=body.z, reason=f"{body.X} {body.er}".strip() if expired else "",
    )


def funding_hour(ms: int) -> int:
    """The funding time a payment belongs to, in ns: payments are booked shortly after the full hour."""
    ns = ms * NS_PER_MS
    return ns - ns % NS_PER_HOUR


def funding_of_income(row: wire.IncomeAnswer, rates: Iterable[wire.FundingRateAnswer]) -> FundingPayment:
    """A funding row of /income with its rate; rate, mark and quantity are 0.0 where the rate is unknown."""
    due_ns = funding_hour(row.time)
    known = next((rate for rate in rates if rate.symbol == row.symbol and funding_hour(rate.funding_time) == due_ns),
                 None)
    rate = known.funding_rate if known is not None else 0.0
    mark = number_or_zero(known.mark_price) if known is not None else 0.0
    qty = -row.income / (rate * mark) if rate * mark != 0.0 else 0.0
    return FundingPayment(
        symbol=row.symbol, ts_ns=due_ns, rate=rate, mark_price=mark, qty=qty, amount=row.income
    )


def transfer_of_income(row: wire.IncomeAnswer) -> Transfer | None:
    """The transfer in a row of /income; None for a result of trading and for another asset."""
    if row.income_type not in _MOVED_INCOME or row.asset != QUOTE_ASSET:
        return None
    return Transfer(
        move_id=f"{row.income_type}-{row.tran_id}", amount=row.income, ts_ns=row.time * NS_PER_MS,
        reason=row.income_type,
    )


# ---------------------------------------------------------------------- account


def positions(
    rows: Sequence[wire.PositionAnswer], leverage: dict[str, float], order: dict[str, int]
) -> list[VenuePosition]:
    """The open positions, those of *order* (symbol to rank) first. An unknown leverage is 0.0.

    A quantity that cannot be read is NaN: something is held. Other figures that cannot be read are 0.0.
    """
    found = [
        VenuePosition(
            symbol=row.symbol, qty=finite(row.position_amt, math.nan), entry_price=finite(row.entry_price),
            leverage=leverage.get(row.symbol, 0.0), margin=finite(row.isolated_wallet or row.initial_margin),
            liquidation_price=finite(row.liquidation_price), mark_price=finite(row.mark_price),
            unrealised_pnl=finite(row.un_realized_profit),
        )
        for row in rows
        if row.position_amt != 0.0
    ]
    return sorted(found, key=lambda position: (order.get(position.symbol, len(order)), position.symbol))


def balance(account: wire.AccountAnswer) -> VenueBalance:
    """The account's money in USDT; other coins are no part of it, whatever the venue's totals add up.

    VenueError where the wallet is no number, or where only a coin without a readable name can be it. Margins that
    cannot be read are left out.
    """
    wallet, unrealised = account.total_wallet_balance, account.total_unrealized_profit
    available = account.available_balance
    if account.assets:
        rows = [row for row in account.assets if row.asset == QUOTE_ASSET]
        if not rows and any(not row.asset for row in account.assets):
            raise VenueError(f"no coin of the account is named {QUOTE_ASSET}, and one has no name that can be read")
        wallet = ordered_sum(row.wallet_balance for row in rows)
        unrealised = ordered_sum(row.unrealized_profit for row in rows)
        available = ordered_sum(row.available_balance for row in rows)
    if not math.isfinite(wallet):
        raise VenueError(f"walletBalance of {QUOTE_ASSET} = {wallet!r}: the answer cannot be read")
    return VenueBalance(
        wallet=wallet, unrealised_pnl=finite(unrealised),
        margin_used=ordered_sum(
            finite(row.isolated_wallet or row.initial_margin) for row in account.positions if row.position_amt
        ),
        available=finite(available),
    )


def other_coins(account: wire.AccountAnswer) -> dict[str, float]:
    """The coins beside USDT that the account holds, by name; those that cannot be read are left out."""
    return {
        row.asset: row.wallet_balance for row in sorted(account.assets, key=lambda row: row.asset)
        if row.asset not in ("", QUOTE_ASSET) and finite(row.wallet_balance) != 0.0
    }


def fee_asset(asset: str) -> str | msgspec.UnsetType:
    """The coin that pays a fee; unset for USDT."""
    return asset if asset not in ("", QUOTE_ASSET) else msgspec.UNSET


def wallet_change(frame: wire.AccountFrame) -> WalletChanged | None:
    """The wallet in an account event; None when it is about another asset. VenueError for what cannot be booked."""
    for row in frame.a.B:
        if row.a == QUOTE_ASSET:
            if not (math.isfinite(row.wb) and math.isfinite(row.bc)):
                raise VenueError(f"a wallet of {row.wb!r}, changed by {row.bc!r}, cannot be read")
            moved = row.bc if frame.a.m in _MOVES else 0.0
            return WalletChanged(wallet=row.wb, reason=frame.a.m, ts_ns=event_time_ns(frame.T), moved=moved)
    return None


def funding_of_event(frame: wire.AccountFrame, mark_price: float) -> FundingPayment | None:
    """The funding in an account event; None when it has none or does not name its symbol (/income does).

    *mark_price* is the last one seen; it gives the rate.
    """
    change = next((row.bc for row in frame.a.B if row.a == QUOTE_ASSET), 0.0)
    if frame.a.m != "FUNDING_FEE" or len(frame.a.P) != 1 or not math.isfinite(change) or change == 0.0:
        return None
    event_time_ns(frame.T)
    position = frame.a.P[0]
    value = finite(position.pa * mark_price)
    return FundingPayment(
        symbol=position.s, ts_ns=funding_hour(frame.T), rate=-change / value if value else 0.0, mark_price=mark_price,
        qty=position.pa, amount=change,
    )


def leverage_change(frame: wire.ConfigFrame) -> LeverageChanged | None:
    """The leverage in a configuration event; None for another change."""
    if frame.ac is None:
        return None
    return LeverageChanged(symbol=frame.ac.s, leverage=frame.ac.l, ts_ns=event_time_ns(frame.T))


# ---------------------------------------------------------------------- market


def kline(symbol: str, interval_ns: int, row: wire.KlineRow) -> Kline:
    """A bar of /klines."""
    return Kline(
        symbol=symbol, interval_ns=interval_ns, ts_ns=row.open_ms * NS_PER_MS, open=row.open, high=row.high,
        low=row.low, close=row.close, volume=row.volume,
    )


def market_event(frame: bytes | str, interval_ns: int) -> StreamEvent | None:
    """The event in a combined market stream's frame; None for a bar that is not completed.

    Raises msgspec.DecodeError for a frame of another shape.
    """
    data = decode_market(frame).data
    if type(data) is wire.KlineFrame:
        bar = data.k
        if not bar.x:
            return None
        return Kline(
            symbol=data.s, interval_ns=interval_ns, ts_ns=bar.t * NS_PER_MS, open=bar.o, high=bar.h, low=bar.l,
            close=bar.c, volume=bar.v,
        )
    if type(data) is wire.BookTickerFrame:
        return Quote(symbol=data.s, bid=data.b, bid_qty=data.B, ask=data.a, ask_qty=data.A, ts_ns=data.T * NS_PER_MS)
    assert type(data) is wire.MarkPriceFrame
    return MarkPrice(
        symbol=data.s, price=data.p, funding_rate=number_or_zero(data.r), next_funding_ns=data.T * NS_PER_MS,
        ts_ns=data.E * NS_PER_MS,
    )


def user_frame(frame: bytes | str) -> wire.UserFrame | None:
    """A frame of the account's stream, out of its envelope if it has one; None for a kind that is not read here.

    Raises msgspec.DecodeError for a known kind of another shape.
    """
    peek = _peek(frame)
    inner: bytes | str | msgspec.Raw = frame
    if not peek.e and bytes(peek.data):
        inner, peek = peek.data, _peek(peek.data)
    if peek.e not in _USER_EVENTS:
        return None
    return _user_decoder.decode(inner)
