"""Binance's payloads become the domain values they mean: the examples of its documentation, page by page."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.venues.binance import examples

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError, VenueError
from quantum_trader.domain.instrument import LeverageTier
from quantum_trader.domain.trading import Fill, FundingPayment, OrderUpdate
from quantum_trader.engine.ports import VenueBalance, VenuePosition
from quantum_trader.engine.venue_port import Kline, LeverageChanged, MarkPrice, Quote, WalletChanged
from quantum_trader.venues.binance import parse, wire
from quantum_trader.venues.binance.rows import readable_rows

MS = 1_000_000
TIER = LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0)


def read(kind: type, text: str):
    """*text* as the adapter reads it."""
    return wire.decoder(kind).decode(text)


def order_event(**changes: object) -> wire.OrderBody:
    """The documented order event with *changes*."""
    frame = msgspec.json.decode(examples.ORDER_TRADE_UPDATE)
    frame["o"] |= changes
    decoded = parse.user_frame(msgspec.json.encode(frame))
    assert isinstance(decoded, wire.OrderFrame)
    return decoded.o


def test_filters_tiers_and_limits_of_the_documented_symbol() -> None:
    """Exchange-Information and Notional-and-Leverage-Brackets give an instrument."""
    info = read(wire.ExchangeInfo, examples.EXCHANGE_INFO)
    tiers = parse.tiers(read(list[wire.SymbolBrackets], examples.LEVERAGE_BRACKET)[0])

    instrument = parse.instrument(info.symbols[0], tiers, maker_bps=2.0, taker_bps=5.0)

    assert (instrument.tick_size, instrument.step_size) == (0.0001, 1.0)
    assert (instrument.min_qty, instrument.min_notional) == (1.0, 5.0)
    assert instrument.tiers == (
        LeverageTier(max_notional=10_000.0, maintenance_margin_rate=0.0065, max_leverage=75.0, maintenance_amount=0.0),
    )
    assert [row.limit for row in info.rate_limits] == [2400, 1200]


def test_a_missing_filter_is_named() -> None:
    """A symbol without a price filter cannot be traded, and the error says what is missing."""
    info = wire.SymbolInfo(symbol="XUSDT", filters=[])

    with pytest.raises(ConfigError, match="symbol 'XUSDT': exchangeInfo has no filter PRICE_FILTER"):
        parse.instrument(info, (TIER,), maker_bps=2.0, taker_bps=5.0)


def test_the_documented_order() -> None:
    """Query-Order: another client's trailing stop becomes a stop without a stop price ("please ignore")."""
    order = parse.order_view(read(wire.OrderAnswer, examples.ORDER))

    assert (order.client_order_id, order.venue_order_id) == ("abc", "1917641")
    assert (order.type, order.side, order.status) == (OrderType.STOP_MARKET, OrderSide.BUY, OrderStatus.NEW)
    assert (order.qty, order.stop_price, order.created_ns) == (0.4, 0.0, 1579276756075 * MS)


def test_the_documented_conditional_order() -> None:
    """Query-Algo-Order: cancelled, under the client id it was sent with; its child gives the filled quantity."""
    algo = read(wire.AlgoAnswer, examples.ALGO_ORDER)
    child = read(wire.OrderAnswer, examples.ORDER)
    child.status, child.executed_qty, child.avg_price = "FILLED", 0.01, 749.5

    alone, whole = parse.algo_view(algo), parse.algo_view(algo, child)

    assert (alone.client_order_id, alone.status) == ("6B2I9XVcJpCjqPAJ4YoFX7", OrderStatus.CANCELED)
    assert (alone.qty, alone.stop_price, alone.type) == (0.01, 750.0, OrderType.TAKE_PROFIT_MARKET)
    assert (whole.status, whole.filled_qty, whole.average_price) == (OrderStatus.FILLED, 0.01, 749.5)
    assert whole.client_order_id == alone.client_order_id


def test_the_documented_cancellation_of_a_conditional_order() -> None:
    """Cancel-Algo-Order answers with its ids."""
    assert read(wire.AlgoCancelled, examples.ALGO_CANCELLED).algo_id == 2146760


def test_the_documented_trade() -> None:
    """Account-Trade-List: a fill under our client id, named by symbol and trade id."""
    trade = read(list[wire.TradeAnswer], examples.USER_TRADES)[0]

    assert parse.fill_of_trade(trade, "qt-1", trade.commission) == Fill(
        fill_id="BTCUSDT-698759", client_order_id="qt-1", symbol="BTCUSDT", side=OrderSide.SELL, qty=0.002,
        price=7819.01, fee=0.0781901, liquidity="taker", ts_ns=1569514978020 * MS,
    )


def test_the_documented_position_and_balance() -> None:
    """Position-Information-V3 and Account-Information-V3; leverage comes from another request, because v3 has none."""
    rows = read(list[wire.PositionAnswer], examples.POSITION_RISK)

    assert parse.positions(rows, {"ADAUSDT": 20.0}, {}) == [
        VenuePosition(
            symbol="ADAUSDT", qty=30.0, entry_price=0.385, leverage=20.0, margin=0.61571385, liquidation_price=0.0,
            mark_price=0.4104759, unrealised_pnl=0.764277,
        )
    ]
    account = read(wire.AccountAnswer, examples.ACCOUNT)
    assert parse.balance(account) == VenueBalance(
        wallet=23.72469206, unrealised_pnl=0.0, margin_used=0.0, available=23.72469206
    )  # of USDT; the total adds up another coin
    assert parse.other_coins(account) == {"USDC": 103.12345678}
    account.positions[0].isolated_wallet = 9.5
    assert parse.balance(account).margin_used == 9.5


def test_the_documented_funding_with_the_rate_that_made_it() -> None:
    """Get-Income-History and Get-Funding-Rate-History: the payment's moment is its funding time."""
    documented = msgspec.json.decode(examples.INCOME)[1]
    changes = {"incomeType": "FUNDING_FEE", "income": "-0.37500000", "time": 1570608000001}
    row = read(wire.IncomeAnswer, msgspec.json.encode(documented | changes).decode())
    rates = read(list[wire.FundingRateAnswer], examples.FUNDING_RATE)

    payment = parse.funding_of_income(row, rates)

    assert (payment.amount, payment.rate, payment.mark_price) == (-0.375, -0.0375, 34287.54619963)
    assert payment.ts_ns == 1570608000000 * MS
    assert payment.qty == pytest.approx(-0.375 / (0.0375 * 34287.54619963))
    assert parse.funding_of_income(row, []).qty == 0.0


def test_the_documented_account_lines_that_are_no_funding() -> None:
    """Get-Income-History: a transfer has no symbol, a commission is negative."""
    transfer, commission = read(list[wire.IncomeAnswer], examples.INCOME)

    assert (transfer.symbol, transfer.income_type, transfer.income) == ("", "TRANSFER", -0.375)
    assert (commission.symbol, commission.income_type, commission.income) == ("BTCUSDT", "COMMISSION", -0.01)


def test_the_documented_acknowledgement_of_an_order() -> None:
    """New-Order has no time of creation: the time of the last change replaces it. Cancel-Order likewise."""
    placed = parse.order_view(read(wire.OrderAnswer, examples.NEW_ORDER))
    cancelled = parse.order_view(read(wire.OrderAnswer, examples.CANCELLED_ORDER))

    assert (placed.client_order_id, placed.qty, placed.created_ns) == ("testOrder", 10.0, 1566818724722 * MS)
    assert (cancelled.client_order_id, cancelled.status) == ("myOrder1", OrderStatus.CANCELED)
    assert cancelled.created_ns == 1571110484038 * MS


def test_the_documented_acknowledgement_of_a_conditional_order() -> None:
    """New-Algo-Order has no order id yet; the open ones have the same shape."""
    placed = parse.algo_view(read(wire.AlgoAnswer, examples.NEW_ALGO_ORDER))
    (waiting,) = read(list[wire.AlgoAnswer], examples.OPEN_ALGO_ORDERS)

    assert (placed.status, placed.filled_qty, placed.stop_price) == (OrderStatus.NEW, 0.0, 750.0)
    assert parse.algo_view(waiting).client_order_id == "MRumok0dkhrP4kCm12AHaB"
    assert (waiting.actual_order_id, waiting.algo_status) == ("", "NEW")


def test_a_trailing_stop_has_no_stop_price() -> None:
    """Query-Order: "please ignore" the stopPrice of a TRAILING_STOP_MARKET; so for one that is conditional."""
    assert parse.order_view(read(wire.OrderAnswer, examples.ORDER)).stop_price == 0.0
    (waiting,) = read(list[wire.AlgoAnswer], examples.OPEN_ALGO_ORDERS)
    trailing = msgspec.structs.replace(waiting, order_type="TRAILING_STOP_MARKET")
    assert parse.algo_view(waiting).stop_price > 0.0
    assert parse.algo_view(trailing).stop_price == 0.0


def test_the_other_requests_of_a_connection() -> None:
    """Check-Server-Time, User-Commission-Rate, Get-Funding-Rate-Info, the modes, API-key-permission, listen key."""
    assert read(wire.ServerTime, examples.SERVER_TIME).server_time == 1499827319559
    rate = read(wire.CommissionRate, examples.COMMISSION_RATE)
    assert (rate.maker_commission_rate, rate.taker_commission_rate) == (0.0002, 0.0004)
    assert read(list[wire.FundingInterval], examples.FUNDING_INFO)[0].funding_interval_hours == 8
    assert read(wire.PositionMode, examples.POSITION_MODE).dual_side_position
    assert read(wire.MultiAssetsMode, examples.MULTI_ASSETS_MODE).multi_assets_margin
    rights = read(wire.ApiRestrictions, examples.API_RESTRICTIONS)
    assert (rights.enable_withdrawals, rights.enable_futures, rights.ip_restrict) == (False, False, False)
    assert len(read(wire.ListenKey, examples.LISTEN_KEY).listen_key) == 64
    assert read(wire.TickerPrice, examples.TICKER_PRICE).price == 6000.01


def test_leverage_and_margin_type_of_a_symbol() -> None:
    """Symbol-Config and Change-Initial-Leverage."""
    config = read(list[wire.SymbolConfig], examples.SYMBOL_CONFIG)[0]

    assert (config.margin_type, config.leverage) == ("CROSSED", 21.0)
    assert read(wire.LeverageAnswer, examples.LEVERAGE).leverage == 21.0


def test_the_documented_bar() -> None:
    """Kline-Candlestick-Data: an array of twelve, six of which are read."""
    row = read(list[wire.KlineRow], examples.KLINES)[0]

    assert parse.kline("BTCUSDT", NS_PER_MINUTE, row) == Kline(
        symbol="BTCUSDT", interval_ns=NS_PER_MINUTE, ts_ns=1499040000000 * MS, open=0.0163479, high=0.8, low=0.015758,
        close=0.015771, volume=148976.11427815,
    )


def test_market_frames() -> None:
    """A bar is an event once it is completed; quotes and mark prices always are."""
    running = examples.KLINE_FRAME
    completed = running.replace('"x": false', '"x": true')

    assert parse.market_event(running.encode(), NS_PER_MINUTE) is None
    assert parse.market_event(completed.encode(), NS_PER_MINUTE) == Kline(
        symbol="BTCUSDT", interval_ns=NS_PER_MINUTE, ts_ns=1638747660000 * MS, open=0.001, high=0.0025, low=0.0015,
        close=0.002, volume=1000.0,
    )
    assert parse.market_event(examples.BOOK_TICKER_FRAME, NS_PER_MINUTE) == Quote(
        symbol="BNBUSDT", bid=25.3519, bid_qty=31.21, ask=25.3652, ask_qty=40.66, ts_ns=1568014460891 * MS
    )
    assert parse.market_event(examples.MARK_PRICE_FRAME, NS_PER_MINUTE) == MarkPrice(
        symbol="BTCUSDT", price=11794.15, funding_rate=0.00038167, next_funding_ns=1562306400000 * MS,
        ts_ns=1562305380000 * MS,
    )


def test_a_mark_price_without_funding_has_the_rate_zero() -> None:
    """A delivery contract's rate is an empty text."""
    event = parse.market_event(examples.MARK_PRICE_FRAME.replace("0.00038167", ""), NS_PER_MINUTE)

    assert isinstance(event, MarkPrice)
    assert event.funding_rate == 0.0


def test_the_documented_order_event_is_an_acknowledgement() -> None:
    """Event-Order-Update with x = NEW moves nothing."""
    body = order_event()

    assert not parse.fills_now(body)
    assert parse.update_of_event(body, "TEST") == OrderUpdate(
        client_order_id="TEST", venue_order_id="8886774", symbol="BTCUSDT", status=OrderStatus.NEW,
        ts_ns=1568879465650 * MS,
    )


def test_an_execution_has_the_same_name_from_the_stream_and_from_the_trade_list() -> None:
    """Symbol and trade id, so that a repeated one counts once."""
    body = order_event(x="TRADE", X="PARTIALLY_FILLED", l="0.002", z="0.002", L="7819.01", n="0.05", t=698759, m=True)
    trade = read(list[wire.TradeAnswer], examples.USER_TRADES)[0]

    fill = parse.fill_of_event(body, "qt-1", 0.05)

    assert fill.fill_id == parse.fill_of_trade(trade, "qt-1", 0.0).fill_id
    assert (fill.qty, fill.price, fill.liquidity, fill.liquidation) == (0.002, 7819.01, "maker", False)


@pytest.mark.parametrize("client_id", ["autoclose-1", "adl_autoclose", "settlement_autoclose-7"])
def test_what_the_venue_itself_closes_is_marked(client_id: str) -> None:
    """Liquidation, auto-deleveraging and delisting go by the documented client ids."""
    body = order_event(c=client_id, x="TRADE", X="FILLED", l="1", z="1", L="7000", t=5)

    assert parse.fill_of_event(body, client_id, 0.0).liquidation
    assert parse.fill_of_event(order_event(x="CALCULATED", l="1", L="7000", t=0), "x", 0.0).liquidation


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("NEW", OrderStatus.NEW), ("PARTIALLY_FILLED", OrderStatus.PARTIALLY_FILLED), ("FILLED", OrderStatus.FILLED),
        ("CANCELED", OrderStatus.CANCELED), ("EXPIRED", OrderStatus.CANCELED), ("REJECTED", OrderStatus.REJECTED),
        ("EXPIRED_IN_MATCH", OrderStatus.CANCELED), ("NEW_INSURANCE", OrderStatus.NEW), ("NEW_ADL", OrderStatus.NEW),
    ],
)
def test_every_documented_status_has_a_meaning(word: str, status: OrderStatus) -> None:
    """Common-Definition and Event-Order-Update, "Order Status"; an unknown status is an error.

    The two beginning with NEW_ are of the venue's own forced orders; pages before 2024 named them.
    """
    assert parse.order_status(word) is status
    with pytest.raises(VenueError, match="order status 'PARTLY' is not known"):
        parse.order_status("PARTLY")
    with pytest.raises(VenueError, match="algo status 'PARTLY' is not known"):
        parse.algo_status("PARTLY")


def test_the_documented_wallet_change() -> None:
    """Event-Balance-and-Position-Update: the USDT wallet; only what is no trading counts as paid in or out."""
    frame = parse.user_frame(examples.ACCOUNT_UPDATE)
    deposit = parse.user_frame(examples.ACCOUNT_UPDATE.replace('"ORDER"', '"DEPOSIT"'))
    assert isinstance(frame, wire.AccountFrame)
    assert isinstance(deposit, wire.AccountFrame)

    assert parse.wallet_change(frame) == WalletChanged(
        wallet=122624.12345678, reason="ORDER", ts_ns=1564745798938 * MS
    )
    assert parse.wallet_change(deposit) == WalletChanged(
        wallet=122624.12345678, reason="DEPOSIT", ts_ns=1564745798938 * MS, moved=50.12345678
    )


@pytest.mark.parametrize(
    ("reason", "moved"),
    [
        ("ORDER", 0.0), ("FUNDING_FEE", 0.0), ("MARGIN_TRANSFER", 0.0), ("MARGIN_TYPE_CHANGE", 0.0),
        ("INSURANCE_CLEAR", 0.0), ("DEPOSIT", 50.12345678), ("WITHDRAW", 50.12345678), ("WITHDRAW_REJECT", 50.12345678),
        ("ADJUSTMENT", 0.0), ("ADMIN_DEPOSIT", 50.12345678), ("ADMIN_WITHDRAW", 50.12345678),
        ("ASSET_TRANSFER", 50.12345678), ("OPTIONS_PREMIUM_FEE", 0.0), ("OPTIONS_SETTLE_PROFIT", 0.0),
        ("AUTO_EXCHANGE", 50.12345678), ("COIN_SWAP_DEPOSIT", 50.12345678), ("COIN_SWAP_WITHDRAW", 50.12345678),
    ],
)
def test_every_documented_reason_is_trading_or_money_paid_in_or_out(reason: str, moved: float) -> None:
    """Event-Balance-and-Position-Update, field "m": what a liquidation takes is a loss, not a withdrawal, and what is
    not plainly a transfer counts as a result, so that drawdown sees it."""
    frame = parse.user_frame(examples.ACCOUNT_UPDATE.replace('"ORDER"', f'"{reason}"'))
    assert isinstance(frame, wire.AccountFrame)

    change = parse.wallet_change(frame)

    assert change is not None
    assert (change.reason, change.moved) == (reason, moved)


def test_funding_of_one_position_is_an_event_and_of_several_is_queried() -> None:
    """An account event of two positions does not say whose the payment was."""
    text = examples.ACCOUNT_UPDATE.replace('"ORDER"', '"FUNDING_FEE"').replace('"pa": "0"', '"pa": "2"')
    frame = parse.user_frame(text)
    assert isinstance(frame, wire.AccountFrame)
    del frame.a.P[1:]  # the page: an isolated position's funding comes with that position alone

    payment = parse.funding_of_event(frame, 10_000.0)
    frame.a.P.append(wire.PositionBody(s="ETHUSDT", pa=1.0))

    assert payment == FundingPayment(
        symbol="BTCUSDT", ts_ns=parse.funding_hour(1564745798938), rate=-50.12345678 / 20_000.0, mark_price=10_000.0,
        qty=2.0, amount=50.12345678,
    )
    assert parse.funding_of_event(frame, 10_000.0) is None


def test_the_documented_configuration_changes() -> None:
    """A leverage change is an event; a change of asset mode is not."""
    changed = parse.user_frame(examples.ACCOUNT_CONFIG_UPDATE)
    mode = parse.user_frame(examples.MULTI_ASSETS_UPDATE)
    assert isinstance(changed, wire.ConfigFrame)
    assert isinstance(mode, wire.ConfigFrame)

    assert parse.leverage_change(changed) == LeverageChanged(
        symbol="BTCUSDT", leverage=25.0, ts_ns=1611646737476 * MS
    )
    assert parse.leverage_change(mode) is None


def test_conditional_order_events() -> None:
    """Event-Algo-Order-Update, and one seen at the real venue: in an envelope, without the field for a failure."""
    documented = parse.user_frame(examples.ALGO_UPDATE)
    seen = parse.user_frame(examples.ALGO_TRIGGERED_SEEN)
    assert isinstance(documented, wire.AlgoFrame)
    assert isinstance(seen, wire.AlgoFrame)

    assert (documented.o.X, documented.o.caid, documented.o.ai) == ("CANCELED", "Q5xaq5EGKgXXa0fD7fs0Ip", "")
    assert (seen.o.X, seen.o.ai) == ("TRIGGERED", "88937381063")


def test_other_kinds_of_account_events() -> None:
    """An early trade report and an expired key are read; a margin call is not read; another shape is an error."""
    assert isinstance(parse.user_frame(examples.TRADE_LITE), wire.TradeLiteFrame)
    assert isinstance(parse.user_frame(examples.LISTEN_KEY_EXPIRED), wire.ListenKeyExpiredFrame)
    assert parse.user_frame(examples.MARGIN_CALL) is None
    with pytest.raises(msgspec.ValidationError):
        parse.user_frame('{"e": "ORDER_TRADE_UPDATE", "T": 1, "o": {"s": "BTCUSDT"}}')


def test_a_stop_that_never_stops_triggering_protects_nothing() -> None:
    """TRIGGERING is a passing state; an order that stays in it protects nothing and counts as cancelled."""
    algo = parse.algo_view
    answer = msgspec.structs.replace(
        wire.decoder(wire.AlgoAnswer).decode(examples.ALGO_ORDER), algo_status="TRIGGERING", update_time=1_000_000
    )

    assert algo(answer, now_ms=1_009_000).status is OrderStatus.NEW
    stuck = algo(answer, now_ms=1_011_000)

    assert (stuck.status, stuck.reason) == (OrderStatus.CANCELED, "EXPIRED")


@pytest.mark.parametrize("ms", [10**18, 10**14, -1])
def test_a_row_of_an_absurd_time_is_left_out(ms: int) -> None:
    """It would end the process at each start: its time fits no clock, and no input can hold it."""
    rows = (
        (wire.TradeAnswer, "time", {
            "id": 1, "orderId": 2, "symbol": "BTCUSDT", "side": "BUY", "price": "1", "qty": "1", "commission": "0",
            "commissionAsset": "USDT", "time": 1_700_000_000_000, "maker": False,
        }),
        (wire.IncomeAnswer, "time", {
            "symbol": "", "incomeType": "TRANSFER", "income": "5", "asset": "USDT", "time": 1_700_000_000_000,
            "tranId": 10**18,
        }),
        (wire.FundingRateAnswer, "fundingTime", {
            "symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingTime": 1_700_000_000_000,
        }),
    )
    for kind, field, row in rows:
        found: list[Any] = readable_rows(kind)(msgspec.json.encode([row, row | {field: ms}]))  # type: ignore[arg-type]
        assert len(found) == 1
