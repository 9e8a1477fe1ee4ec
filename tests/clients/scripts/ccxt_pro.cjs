// Trade with npm's ccxt pro: a ticker, an order over the socket, own orders, a protected long that is stopped out.
"use strict";

const { pro } = require("ccxt");

const SYMBOL = "BTC/USDT:USDT";
const PATIENCE_MS = 30_000;

function tell(step, what) {
    process.stdout.write(JSON.stringify({ step, ...what }) + "\n");
}

function inTime(promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`nothing of ${what} in ${PATIENCE_MS} ms`)), PATIENCE_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// What an own-orders stream brought, and who waits for more of it.
class Watch {
    constructor(call) {
        this.seen = [];
        this.error = null;
        this.waiting = [];
        this.ended = this.listen(call);
    }

    async listen(call) {
        try {
            for (;;) {
                this.seen.push(...(await call()).map((order) => ({ ...order })));
                this.waiting.splice(0).forEach((wake) => wake());
            }
        } catch (error) {
            this.error = error;
            this.waiting.splice(0).forEach((wake) => wake());
        }
    }

    async until(wanted, what) {
        for (;;) {
            const found = this.seen.find(wanted);
            if (found) {
                return found;
            }
            if (this.error) {
                throw this.error;
            }
            await inTime(new Promise((wake) => this.waiting.push(wake)), what);
        }
    }
}

async function main() {
    const exchange = new pro.binanceusdm({
        apiKey: process.env.VENUE_KEY,
        secret: process.env.VENUE_SECRET,
        newUpdates: true,
        urls: { api: JSON.parse(process.env.VENUE_CCXT) },
    });
    await exchange.loadHttpProxyAgent(); // ccxt for JavaScript opens ws:// addresses only with it
    await exchange.loadMarkets();
    tell("markets", { symbols: Object.keys(exchange.markets).sort() });
    const ticker = await inTime(exchange.watchTicker(SYMBOL), "the ticker");
    tell("ticker", { last: ticker.last, volume: ticker.baseVolume, quote: ticker.quoteVolume });

    await exchange.setLeverage(5, SYMBOL);
    const orders = new Watch(() => exchange.watchOrders(SYMBOL));
    while (!Object.keys(exchange.clients).some((url) => url.includes("private"))) {
        await new Promise((wake) => setTimeout(wake, 20));
    }
    const entry = await inTime(exchange.createOrderWs(SYMBOL, "market", "buy", 0.02), "the answer to an order");
    const filled = await orders.until((order) => order.id === entry.id && order.status === "closed", "the entry");
    tell("entry", { id: entry.id, average: filled.average, filled: filled.filled });
    const limit = await inTime(exchange.createOrderWs(SYMBOL, "limit", "sell", 0.01, 32_000), "the answer to a limit");
    const cancelled = await inTime(exchange.cancelOrderWs(limit.id, SYMBOL), "the answer to a cancel");
    tell("limit", { id: limit.id, status: cancelled.status });
    const stop = await exchange.createOrder(SYMBOL, "market", "sell", 0.02, undefined, {
        stopLossPrice: exchange.priceToPrecision(SYMBOL, filled.average * 0.99),
        reduceOnly: true,
    });
    tell("protected", { id: stop.id }); // who runs the market lets it fall now
    const out = await orders.until((order) => order.side === "sell" && order.status === "closed" && order.average,
        "the stop");
    const balance = await exchange.fetchBalance();
    const positions = await exchange.fetchPositions([SYMBOL]);
    tell("stopped", {
        average: out.average,
        filled: out.filled,
        wallet: balance.USDT.total,
        positions: positions.filter((position) => position.contracts).length,
        opened: Object.keys(exchange.clients).filter((key) => key.includes("://")),
    });
    await exchange.close();
}

main().then(
    () => process.exit(0),
    (error) => {
        process.stderr.write(`${error.stack}\n`);
        process.exit(1);
    },
);
