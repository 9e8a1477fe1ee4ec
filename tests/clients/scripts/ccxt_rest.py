"""Trade one position with ccxt over REST: markets, bars, leverage, entry, stop and target, close."""
# ruff: noqa: T201

import asyncio
import json
import os

import ccxt.async_support as ccxt

SYMBOL = "BTC/USDT:USDT"


def tell(step, **what):
    """Print one step."""
    print(json.dumps({"step": step, **what}), flush=True)


def addresses(url, ws):
    """Return the addresses of Binance USD-M as ccxt names them."""
    fapi = {
        f"fapi{side}{version}": f"{url}/fapi/{path}"
        for side in ("Public", "Private")
        for version, path in (("", "v1"), ("V2", "v2"), ("V3", "v3"))
    }
    socket = {"linear": f"{ws}/ws", "ws-api": {"linear": f"{ws}/ws-fapi/v1"}}
    return fapi | {"fapiData": f"{url}/futures/data", "sapi": f"{url}/sapi/v1", "ws": socket}


async def trade(exchange):
    """Open, protect and close a long of 0.01 BTC."""
    markets = await exchange.load_markets()
    market = markets[SYMBOL]
    tell("markets", symbols=sorted(markets), tick=market["precision"]["price"], lot=market["precision"]["amount"])
    bars = await exchange.fetch_ohlcv(SYMBOL, "1m", limit=100)
    hours = await exchange.fetch_ohlcv(SYMBOL, "1h", limit=5)
    tell("bars", minutes=bars, hours=hours)
    book = await exchange.fetch_order_book(SYMBOL, limit=5)
    ticker = await exchange.fetch_ticker(SYMBOL)
    tell("prices", bid=book["bids"][0][0], ask=book["asks"][0][0], last=ticker["last"])
    funding = await exchange.fetch_funding_rate(SYMBOL)
    tell("funding", rate=funding["fundingRate"], mark=funding["markPrice"])

    await exchange.set_margin_mode("isolated", SYMBOL)
    await exchange.set_leverage(5, SYMBOL)
    leverage = await exchange.fetch_leverage(SYMBOL)
    tiers = await exchange.fetch_market_leverage_tiers(SYMBOL)
    tell("leverage", long=leverage["longLeverage"], mode=leverage["marginMode"], tiers=len(tiers))

    entry = await exchange.create_order(SYMBOL, "market", "buy", 0.01)
    tell("entry", id=entry["id"], status=entry["status"], average=entry["average"], filled=entry["filled"])
    price = entry["average"]
    stop_price = float(exchange.price_to_precision(SYMBOL, price * 0.98))
    stop = await exchange.create_order(
        SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": stop_price, "reduceOnly": True})
    target_price = float(exchange.price_to_precision(SYMBOL, price * 1.05))
    target = await exchange.create_order(
        SYMBOL, "market", "sell", 0.01, None, {"takeProfitPrice": target_price, "reduceOnly": True})
    waiting = await exchange.fetch_open_orders(SYMBOL, params={"trigger": True})
    tell("protected", stop=stop["id"], target=target["id"], waiting=sorted(order["id"] for order in waiting),
         stop_price=stop_price, triggers=[order["triggerPrice"] for order in waiting])
    (position,) = await exchange.fetch_positions([SYMBOL])
    tell("position", side=position["side"], contracts=position["contracts"], entry=position["entryPrice"],
         leverage=position["leverage"], margin=position["marginMode"], liquidation=position["liquidationPrice"])

    low = float(exchange.price_to_precision(SYMBOL, price * 0.9))
    limit = await exchange.create_order(SYMBOL, "limit", "buy", 0.01, low)
    limit_open = await exchange.fetch_open_orders(SYMBOL)
    await exchange.cancel_order(limit["id"], SYMBOL)
    limit = await exchange.fetch_order(limit["id"], SYMBOL)
    tell("limit", open=[order["id"] for order in limit_open], id=limit["id"], status=limit["status"])

    closing = await exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"reduceOnly": True})
    await exchange.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    await exchange.cancel_order(target["id"], SYMBOL, {"trigger": True})
    left = await exchange.fetch_open_orders(SYMBOL, params={"trigger": True})
    positions = await exchange.fetch_positions([SYMBOL])
    trades = await exchange.fetch_my_trades(SYMBOL)
    balance = await exchange.fetch_balance()
    tell("closed", status=closing["status"], left=len(left), positions=len(positions), wallet=balance["USDT"]["total"],
         trades=[(row["side"], row["amount"], row["price"], row["fee"]["cost"]) for row in trades])


async def refused(exchange):
    """Send requests that the venue must refuse, and print the codes."""
    names = {}
    for name, call in {
        "too little": lambda: exchange.create_order(SYMBOL, "limit", "buy", 0.001, 1_000.0),
        "too much": lambda: exchange.create_order(SYMBOL, "market", "buy", 100.0),
        "stop at once": lambda: exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": 90_000}),
        "nothing to reduce": lambda: exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"reduceOnly": True}),
        "no such order": lambda: exchange.fetch_order("1", SYMBOL),
        "no such stop": lambda: exchange.cancel_order("1", SYMBOL, {"trigger": True}),
    }.items():
        try:
            await call()
            names[name] = "accepted"
        except ccxt.BaseError as error:
            names[name] = json.loads(str(error).removeprefix(f"{exchange.id} "))["code"]  # ccxt names by host only
    tell("refused", **names)


async def main():
    """Trade, then be refused."""
    exchange = ccxt.binanceusdm({
        "apiKey": os.environ["VENUE_KEY"], "secret": os.environ["VENUE_SECRET"],
        "urls": {"api": addresses(os.environ["VENUE_URL"], os.environ["VENUE_WS"])},
    })
    try:
        await trade(exchange)
        await refused(exchange)
    finally:
        await exchange.close()


asyncio.run(main())
