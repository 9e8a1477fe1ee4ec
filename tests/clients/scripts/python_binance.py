"""Trade with python-binance: markets, bars, leverage, a protected long and a short, streams of bars and own orders."""
# ruff: noqa: T201

import asyncio
import json
import os

from binance import AsyncClient, BinanceSocketManager, Client
from binance.base_client import BaseClient
from binance.exceptions import BinanceAPIException

SYMBOL = "BTCUSDT"
URL, WS = os.environ["VENUE_URL"], os.environ["VENUE_WS"]
KEYS = (os.environ["VENUE_KEY"], os.environ["VENUE_SECRET"])

# The one way to point it elsewhere: its class attributes, before anything is made.
BaseClient.API_URL = f"{URL}/api"
BaseClient.FUTURES_URL = f"{URL}/fapi"
BaseClient.FUTURES_DATA_URL = f"{URL}/futures/data"
BaseClient.WS_FUTURES_URL = f"{WS}/ws-fapi/v1"
BinanceSocketManager.FSTREAM_URL = f"{WS}/"


def tell(step, **what):
    """Print one step."""
    print(json.dumps({"step": step, **what}), flush=True)


def look(client):
    """Read the market with the synchronous client, and set the symbol up."""
    listed = client.futures_exchange_info()["symbols"]
    market = next(row for row in listed if row["symbol"] == SYMBOL)
    tick = next(row["tickSize"] for row in market["filters"] if row["filterType"] == "PRICE_FILTER")
    tell("markets", symbols=sorted(row["symbol"] for row in listed), tick=tick)
    tell("bars", minutes=client.futures_klines(symbol=SYMBOL, interval="1m", limit=50))
    prices = client.futures_symbol_ticker(symbol=SYMBOL)
    book, mark = client.futures_order_book(symbol=SYMBOL, limit=5), client.futures_mark_price(symbol=SYMBOL)
    tell("prices", last=prices["price"], bid=book["bids"][0][0], ask=book["asks"][0][0], mark=mark["markPrice"],
         funding=len(client.futures_funding_rate(symbol=SYMBOL, limit=3)))
    client.futures_change_margin_type(symbol=SYMBOL, marginType="ISOLATED")
    leverage = client.futures_change_leverage(symbol=SYMBOL, leverage=7)
    brackets = client.futures_leverage_bracket(symbol=SYMBOL)
    again = ""
    try:
        client.futures_change_margin_type(symbol=SYMBOL, marginType="ISOLATED")
    except BinanceAPIException as error:
        again = error.code
    tell("leverage", leverage=leverage["leverage"], brackets=len(brackets[0]["brackets"]), again=again)


async def own(socket, wanted):
    """Read own events until *wanted* is true; return all of them."""
    events = []
    async with asyncio.timeout(20):
        while True:
            events.append(await socket.recv())
            if wanted(events[-1]):
                return events


async def bars(manager):
    """Stream bars until one that has closed and the next."""
    seen = []
    async with manager.kline_futures_socket(SYMBOL, "1m") as socket, asyncio.timeout(20):
        while len({row["k"]["t"] for row in seen}) < 2:
            seen.append(await socket.recv())
    tell("streamed", bars=[(row["k"]["t"], row["k"]["c"], row["k"]["x"]) for row in seen], kind=seen[0]["e"])


def is_order(event, status):
    """Return whether *event* reports an order at *status*."""
    return event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["X"] == status


async def trade(client):
    """Open over the socket, protect, watch the stop close it, and look at what is left."""
    manager = BinanceSocketManager(client)
    await bars(manager)
    async with manager.futures_user_socket() as socket:
        entry = await client.ws_futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
        opened = await own(socket, lambda event: is_order(event, "FILLED"))
        price = float(opened[-1]["o"]["ap"])
        tell("entry", id=entry["orderId"], price=price, events=[event["e"] for event in opened])
        stop = await client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", stopPrice=round(price * 0.99, 1), closePosition="true")
        target = await client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="TAKE_PROFIT_MARKET", stopPrice=round(price * 1.05, 1),
            closePosition="true")
        waiting = await client.futures_get_open_algo_orders(symbol=SYMBOL)
        (held,) = await client.futures_position_information(symbol=SYMBOL)
        tell("protected", stop=stop["algoId"], target=target["algoId"], amount=held["positionAmt"],
             waiting=sorted(row["algoId"] for row in waiting), entry=held["entryPrice"])
        # Who runs the market lets it fall now.
        closed = await own(socket, lambda event: is_order(event, "FILLED"))
    left = await client.futures_get_open_algo_orders(symbol=SYMBOL)
    for row in left:
        await client.futures_cancel_algo_order(algoId=row["algoId"])
    balances = await client.futures_account_balance()
    account = await client.futures_account()
    trades = await client.futures_account_trades(symbol=SYMBOL)
    positions = await client.futures_position_information(symbol=SYMBOL)
    tell("stopped", price=closed[-1]["o"]["ap"], client_id=closed[-1]["o"]["c"], stop_client_id=stop["clientAlgoId"],
         wallet=next(row["balance"] for row in balances if row["asset"] == "USDT"), total=account["totalWalletBalance"],
         trades=[(row["side"], row["qty"], row["price"], row["commission"]) for row in trades],
         positions=[row["positionAmt"] for row in positions])


async def reverse(client):
    """Open a short over REST, close it with a reducing order, and be refused a second time."""
    limit = await client.futures_create_order(
        symbol=SYMBOL, side="SELL", type="LIMIT", timeInForce="GTC", quantity=0.01, price=40_000)
    resting = await client.futures_get_open_orders(symbol=SYMBOL)
    await client.futures_cancel_order(symbol=SYMBOL, orderId=limit["orderId"])
    opened = await client.futures_create_order(
        symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01, newOrderRespType="RESULT")
    closed = await client.futures_create_order(
        symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, reduceOnly="true", newOrderRespType="RESULT")
    again = 0
    try:
        await client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, reduceOnly="true")
    except BinanceAPIException as error:
        again = error.code
    tell("reversed", resting=[row["orderId"] for row in resting], limit=limit["orderId"], opened=opened["status"],
         closed=closed["status"], again=again)


async def main():
    """Trade with the asynchronous client."""
    client = await AsyncClient.create(*KEYS)
    try:
        await trade(client)
        await reverse(client)
    finally:
        await client.close_connection()


synchronous = Client(*KEYS)
look(synchronous)
synchronous.close_connection()
asyncio.run(main())
