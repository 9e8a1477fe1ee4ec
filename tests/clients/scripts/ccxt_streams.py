"""Trade one position with ccxt's WebSocket classes: bars, book, own orders, trades and position while a stop is hit."""
# ruff: noqa: T201

import asyncio
import json
import os

import ccxt.pro as ccxtpro

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


class Watch:
    """Everything that arrived, by stream, and the tasks that listen."""

    def __init__(self):
        self.seen = {}
        self.changed = asyncio.Event()

    async def listen(self, name, watch):
        """Put what *watch* brings into seen[name], without end."""
        while True:
            found = await watch()
            self.seen.setdefault(name, []).extend(found if isinstance(found, list) else [found])
            self.changed.set()

    async def until(self, name, wanted):
        """Wait until *wanted* is true of one thing that stream *name* brought; return that."""
        async with asyncio.timeout(20):
            while True:
                for thing in self.seen.get(name, []):
                    if wanted(thing):
                        return thing
                self.changed.clear()
                await self.changed.wait()


async def trade(exchange, watch):
    """Open a long over the socket, protect it, and see the stop close it."""
    bar = await watch.until("bars", lambda row: True)
    book = await watch.until("book", lambda row: row["bids"])
    later = await watch.until("bars", lambda row: row[0] >= bar[0] + 120_000)
    tell("book", bid=book["bids"][0][0], ask=book["asks"][0][0])
    tell("bars", first=bar, later=later, count=len(watch.seen["bars"]))

    await exchange.set_margin_mode("isolated", SYMBOL)
    await exchange.set_leverage(10, SYMBOL)
    entry = await exchange.create_order_ws(SYMBOL, "market", "buy", 0.02)
    own = await watch.until("orders", lambda row: row["id"] == entry["id"] and row["status"] == "closed")
    fill = await watch.until("trades", lambda row: row["order"] == entry["id"])
    held = await watch.until("positions", lambda row: row["contracts"] == 0.02)
    tell("entry", id=entry["id"], average=own["average"], fill=fill["price"], fee=fill["fee"]["cost"],
         held=held["contracts"], entry=held["entryPrice"])

    stop_price = float(exchange.price_to_precision(SYMBOL, own["average"] * 0.99))
    stop = await exchange.create_order(
        SYMBOL, "market", "sell", 0.02, None, {"stopLossPrice": stop_price, "reduceOnly": True})
    tell("protected", id=stop["id"], price=stop_price)  # who runs the market lets it fall now
    out = await watch.until("trades", lambda row: row["side"] == "sell")
    flat = await watch.until("positions", lambda row: row["contracts"] == 0)
    wallet = await watch.until("balance", lambda row: row["USDT"]["total"] < 9_995)
    tell("stopped", price=out["price"], amount=out["amount"], order=out["order"], left=flat["contracts"],
         wallet=wallet["USDT"]["total"], states=[(row["id"], row["status"]) for row in watch.seen["orders"]])


async def main():
    """Listen to everything and trade."""
    exchange = ccxtpro.binanceusdm({
        "apiKey": os.environ["VENUE_KEY"], "secret": os.environ["VENUE_SECRET"], "newUpdates": True,
        "urls": {"api": addresses(os.environ["VENUE_URL"], os.environ["VENUE_WS"])},
    })
    watch = Watch()
    try:
        await exchange.load_markets()
        listeners = [
            asyncio.create_task(watch.listen(name, call))
            for name, call in {
                "bars": lambda: exchange.watch_ohlcv(SYMBOL, "1m"),
                "book": lambda: exchange.watch_order_book(SYMBOL, 20),
                "orders": lambda: exchange.watch_orders(SYMBOL),
                "trades": lambda: exchange.watch_my_trades(SYMBOL),
                "positions": lambda: exchange.watch_positions([SYMBOL]),
                "balance": exchange.watch_balance,
            }.items()
        ]
        trading = asyncio.create_task(trade(exchange, watch))
        await asyncio.wait([trading, *listeners], return_when=asyncio.FIRST_COMPLETED)
        for task in listeners:
            if task.done():
                task.result()
            task.cancel()
        await trading
    finally:
        await exchange.close()


asyncio.run(main())
