"""Trade one position with Binance's own SDK for USD-M futures: REST, market streams, own orders, all as its models."""
# ruff: noqa: T201

import asyncio
import json
import os

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import Error
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

SYMBOL = "BTCUSDT"


def tell(step, **what):
    """Print one step."""
    print(json.dumps({"step": step, **what}), flush=True)


def look(rest):
    """Read the market and set the symbol up."""
    listed = rest.exchange_information().data().symbols
    tell("markets", symbols=sorted(row.symbol for row in listed))
    rows = rest.kline_candlestick_data(SYMBOL, "1m", limit=50).data()
    tell("bars", minutes=[list(row) for row in rows])
    mark = rest.mark_price(SYMBOL).data().actual_instance
    book, tick = rest.order_book(SYMBOL, limit=5).data(), rest.symbol_price_ticker_v2(SYMBOL).data().actual_instance
    tell("prices", mark=mark.mark_price, bid=book.bids[0][0], ask=book.asks[0][0], last=tick.price,
         funding=len(rest.get_funding_rate_history(SYMBOL, limit=3).data()))
    rest.change_margin_type(SYMBOL, "ISOLATED")
    leverage = rest.change_initial_leverage(SYMBOL, 6).data()
    hedge = rest.get_current_position_mode().data()
    brackets = rest.notional_and_leverage_brackets(SYMBOL).data().actual_instance
    tell("leverage", leverage=leverage.leverage, hedge=hedge.dual_side_position,
         brackets=len(brackets[0].brackets))


class ReceivedMessages:
    """Messages of the streams, in order; :meth:`until` waits for more."""

    def __init__(self):
        self.seen = []
        self._changed = asyncio.Event()

    def __call__(self, message):
        """Take one message."""
        self.seen.append(message)
        self._changed.set()

    async def until(self, wanted):
        """Return the first message for which *wanted* is true."""
        async with asyncio.timeout(20):
            while True:
                for message in self.seen:
                    if wanted(message):
                        return message
                self._changed.clear()
                await self._changed.wait()


def is_order(event, status, side):
    """Return whether *event* reports an order of *side* at *status*."""
    order = getattr(event.actual_instance, "o", None)
    return getattr(order, "X", None) == status and getattr(order, "S", None) == side


async def trade(client, own):
    """Open over the socket API, protect over REST, and see the stop close it."""
    rest = client.rest_api
    api = await client.websocket_api.create_connection()
    entry = (await api.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.02)).data()
    filled = await own.until(lambda event: is_order(event, "FILLED", "BUY"))
    await api.close_connection(close_session=True)
    price = float(filled.actual_instance.o.ap)
    tell("entry", id=entry.result.order_id, price=price)
    stop = rest.new_algo_order(
        "CONDITIONAL", SYMBOL, "SELL", "STOP_MARKET", quantity=0.02, trigger_price=round(price * 0.99, 1),
        reduce_only="true", working_type="CONTRACT_PRICE").data()
    target = rest.new_algo_order(
        "CONDITIONAL", SYMBOL, "SELL", "TAKE_PROFIT_MARKET", trigger_price=round(price * 1.05, 1),
        close_position="true").data()
    waiting = rest.current_all_algo_open_orders(symbol=SYMBOL).data()
    held = rest.position_information_v3(symbol=SYMBOL).data()
    tell("protected", stop=stop.algo_id, target=target.algo_id, waiting=sorted(row.algo_id for row in waiting),
         status=stop.algo_status, amount=[row.position_amt for row in held])  # who runs the market lets it fall now
    closed = await own.until(lambda event: is_order(event, "FILLED", "SELL"))
    stopped = rest.query_algo_order(algo_id=stop.algo_id).data()
    rest.cancel_algo_order(algo_id=target.algo_id)
    account, trades = rest.account_information_v3().data(), rest.account_trade_list(SYMBOL).data()
    tell("stopped", price=closed.actual_instance.o.ap, profit=closed.actual_instance.o.rp, state=stopped.algo_status,
         actual=stopped.actual_order_id, order=closed.actual_instance.o.i, wallet=account.total_wallet_balance,
         trades=[(row.side, row.qty, row.price, row.commission) for row in trades],
         kinds=sorted({type(event.actual_instance).__name__ for event in own.seen}))


def reverse(rest):
    """Open and close a short over REST, cancel a resting order, and be refused."""
    limit = rest.new_order(SYMBOL, "SELL", "LIMIT", time_in_force="GTC", quantity=0.01, price=40_000.0).data()
    resting = rest.current_all_open_orders(symbol=SYMBOL).data()
    cancelled = rest.cancel_order(SYMBOL, order_id=limit.order_id).data()
    opened = rest.new_order(SYMBOL, "SELL", "MARKET", quantity=0.01, new_order_resp_type="RESULT").data()
    closed = rest.new_order(
        SYMBOL, "BUY", "MARKET", quantity=0.01, reduce_only="true", new_order_resp_type="RESULT").data()
    again = ""
    try:
        rest.new_order(SYMBOL, "BUY", "MARKET", quantity=0.01, reduce_only="true")
    except Error as error:
        again = f"{type(error).__name__}: {error}"
    tell("reversed", resting=[row.order_id for row in resting], limit=cancelled.order_id, cancelled=cancelled.status,
         opened=opened.status, closed=closed.status, again=again)


async def stream(client):
    """Listen to bars, the best prices, the mark and own events, and trade meanwhile."""
    bars, best, mark, own = ReceivedMessages(), ReceivedMessages(), ReceivedMessages(), ReceivedMessages()
    connection = await client.websocket_streams.create_connection()
    (await connection.kline_candlestick_streams(SYMBOL.lower(), "1m")).on("message", bars)
    (await connection.individual_symbol_book_ticker_streams(SYMBOL.lower())).on("message", best)
    (await connection.mark_price_stream(SYMBOL.lower(), update_speed="1s")).on("message", mark)
    key = client.rest_api.start_user_data_stream().data().listen_key
    (await connection.user_data(key)).on("message", own)
    first = await bars.until(lambda row: True)
    last = await bars.until(lambda row: row.k.t > first.k.t)
    quote = await best.until(lambda row: True)
    told = await mark.until(lambda row: True)
    tell("streamed", bars=[first.k.t, last.k.t], close=last.k.c, bid=quote.b, ask=quote.a, mark=told.p)
    await trade(client, own)
    await connection.close_connection(close_session=True)


async def main():
    """Look, trade while listening, trade again."""
    keys = {"api_key": os.environ["VENUE_KEY"], "api_secret": os.environ["VENUE_SECRET"]}
    url, ws = os.environ["VENUE_URL"], os.environ["VENUE_WS"]
    client = DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(**keys, base_path=url, timeout=5_000),
        config_ws_api=ConfigurationWebSocketAPI(**keys, stream_url=f"{ws}/ws-fapi/v1"),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=ws),
    )
    look(client.rest_api)
    await stream(client)
    reverse(client.rest_api)


asyncio.run(main())
