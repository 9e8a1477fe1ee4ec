"""The exchange's answers in Binance's JSON: decimals as text, times in ms, enums and field names of 2026."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_MS
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.venues.local.checks import MAX_QTY, PRICE_BAND, decimals_of, price_precision, qty_precision
from quantum_trader.venues.local.coin_fees import COIN
from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.orders import AlgoOrder, Income, Order, Trade
from quantum_trader.venues.paper.fills import maintenance_margin

_DELIVERY_MS: Final = 4_133_404_800_000
_ONBOARD_MS: Final = 1_569_398_400_000
ORDER_TYPES: Final = (
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
)
Json = dict[str, Any]
# The fields of a position in each answer; in version 3 leverage and margin type moved to symbolConfig.
_POSITION_V2: Final = (
    "symbol", "positionSide", "positionAmt", "entryPrice", "breakEvenPrice", "markPrice", "unRealizedProfit",
    "liquidationPrice", "leverage", "maxNotionalValue", "marginType", "isolatedMargin", "isAutoAddMargin", "notional",
    "isolatedWallet", "updateTime",
)
_ACCOUNT_POSITION_V2: Final = (
    "symbol", "positionSide", "positionAmt", "entryPrice", "leverage", "isolated", "maxNotional", "unrealizedProfit",
    "initialMargin", "maintMargin", "positionInitialMargin", "openOrderInitialMargin", "bidNotional", "askNotional",
    "updateTime",
)
_POSITION_V3: Final = (
    "symbol", "positionSide", "positionAmt", "entryPrice", "breakEvenPrice", "markPrice", "unRealizedProfit",
    "liquidationPrice", "isolatedMargin", "notional", "marginAsset", "isolatedWallet", "initialMargin", "maintMargin",
    "positionInitialMargin", "openOrderInitialMargin", "adl", "bidNotional", "askNotional", "updateTime",
)
_ACCOUNT_POSITION_V3: Final = (
    "symbol", "positionSide", "positionAmt", "unrealizedProfit", "isolatedMargin", "notional", "isolatedWallet",
    "initialMargin", "maintMargin", "updateTime",
)


def ms(ts_ns: int) -> int:
    """Milliseconds of *ts_ns*."""
    return ts_ns // NS_PER_MS


def usdt(value: float) -> str:
    """An amount of USDT, eight decimals."""
    return f"{value:.8f}"


def _chosen(row: Json, fields: Iterable[str]) -> Json:
    """Return those *fields* of *row*."""
    return {name: row[name] for name in fields}


def _whole(value: float) -> float | int:
    """Return *value* as an int where it is whole: strict clients distinguish 1 and 1.0."""
    return int(value) if value.is_integer() else value


def mean_price(open_: Any, high: Any, low: Any, close: Any) -> Any:
    """Mean price of a bar, of figures or of columns: along the path that the venue assumes inside it."""
    return (open_ + 2.0 * high + 2.0 * low + close) / 6.0


class Format:
    """How one symbol's prices and quantities are written."""

    __slots__ = ("_price", "_qty", "instrument")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._price = price_precision(instrument)
        self._qty = qty_precision(instrument)

    def price(self, value: float) -> str:
        """A price on the tick grid, or an average."""
        return f"{value:.{self._price}f}"

    def qty(self, value: float) -> str:
        """A quantity."""
        return f"{value:.{self._qty}f}"


class Wire:
    """Renders one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.formats = [Format(instrument) for instrument in exchange.instruments]
        self.multi_assets = False
        self.dual_side = False
        self._bars: tuple[int, int, list[list[float]]] = (-2, -1, [])

    def format_of(self, symbol: str) -> Format:
        """How *symbol*'s numbers are written."""
        return self.formats[self.exchange.row_of(symbol)]

    # ------------------------------------------------------------------ market

    def exchange_info(self, server_ms: int, limits: list[Json]) -> Json:
        """GET /fapi/v1/exchangeInfo."""
        return {
            "timezone": "UTC", "serverTime": server_ms, "futuresType": "U_MARGINED", "rateLimits": limits,
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [self._symbol_info(index) for index in range(len(self.formats))],
        }

    def status_of(self, index: int) -> str:
        """Return a symbol's status: TRADING, PENDING_TRADING before its first price, TRADING_HALT or SETTLING."""
        if self.exchange.market.delisted[index]:
            return "SETTLING"
        if self.exchange.last[index] <= 0.0:
            return "PENDING_TRADING"
        return "TRADING" if self.exchange.market.trading[index] else "TRADING_HALT"

    def _symbol_info(self, index: int) -> Json:
        instrument, form = self.exchange.instruments[index], self.formats[index]
        base = instrument.symbol.removesuffix("USDT")
        lot = {"stepSize": form.qty(instrument.step_size), "minQty": form.qty(instrument.min_qty),
               "maxQty": form.qty(MAX_QTY)}
        tick = f"{instrument.tick_size:.{decimals_of(instrument.tick_size)}f}"
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "100000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", **lot}, {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:g}"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": f"{1 + PRICE_BAND:.4f}",
             "multiplierDown": f"{1 - PRICE_BAND:.4f}", "multiplierDecimal": "4"},
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ]
        return {
            "symbol": instrument.symbol, "pair": instrument.symbol, "contractType": "PERPETUAL",
            "deliveryDate": _DELIVERY_MS, "onboardDate": _ONBOARD_MS, "status": self.status_of(index),
            "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000", "baseAsset": base,
            "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": price_precision(instrument),
            "quantityPrecision": qty_precision(instrument), "baseAssetPrecision": 8, "quotePrecision": 8,
            "underlyingType": "COIN", "underlyingSubType": ["PoW"], "triggerProtect": "0.0500",
            "liquidationFee": "0.012500", "marketTakeBound": f"{PRICE_BAND:.2f}", "maxMoveOrderLimit": 10000,
            "filters": filters, "orderTypes": list(ORDER_TYPES), "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "permissionSets": ["GRID", "COPY"],
        }

    def kline(self, index: int, bar: Any, interval_ns: int) -> list[Any]:
        """One row of GET /fapi/v1/klines from (open time, o, h, l, c, v)."""
        form, opened, volume = self.formats[index], int(bar[0]), float(bar[5])
        quote = volume * mean_price(*bar[1:5])
        return [
            ms(opened), form.price(bar[1]), form.price(bar[2]), form.price(bar[3]), form.price(bar[4]),
            form.qty(volume), ms(opened + interval_ns) - 1, usdt(quote), max(1, int(volume)),
            form.qty(volume / 2.0), usdt(quote / 2.0), "0",
        ]

    def ladder(self, index: int, levels: int) -> tuple[list[list[str]], list[list[str]]]:
        """Bids and asks, best first, as text."""
        form = self.formats[index]
        bids, asks = self.exchange.source.levels(index, levels)
        return (
            [[form.price(price), form.qty(qty)] for price, qty in bids],
            [[form.price(price), form.qty(qty)] for price, qty in asks],
        )

    def book_id(self, index: int) -> int:
        """The update id of the book as it stands."""
        return self.exchange.source.book_id(index)

    def book_ticker(self, index: int) -> Json:
        """One row of GET /fapi/v1/ticker/bookTicker."""
        bids, asks = self.ladder(index, 1)
        return {
            "symbol": self.exchange.symbols[index], "bidPrice": bids[0][0], "bidQty": bids[0][1],
            "askPrice": asks[0][0], "askQty": asks[0][1], "time": ms(self.exchange.now_ns),
            "lastUpdateId": self.book_id(index),
        }

    def running_bars(self, row: int, now_ns: int) -> list[list[float]]:
        """The bars of *row* as they are at *now_ns*, by symbol; made once for all that ask at one moment."""
        if self._bars[:2] != (row, now_ns):
            self._bars = (row, now_ns, self.exchange.tape.bar_so_far(row, now_ns).tolist())
        return self._bars[2]

    def day_figures(self, index: int) -> tuple[float, float, float, float, float, float]:
        """Open, high, low, last, volume and quote volume of the last 24 hours."""
        exchange = self.exchange
        rows, last = exchange.tape.day_rows(exchange.now_ns), float(exchange.last[index])
        there = exchange.tape.present[rows, index]
        bars = exchange.tape.ohlcv[rows, index][there]
        if not len(bars):
            return last, last, last, last, 0.0, 0.0
        if there[-1]:
            bars = bars.copy()
            bars[-1] = self.running_bars(rows.stop - 1, exchange.now_ns)[index]
        open_, high, low, close, volume = bars.T
        quote = volume * mean_price(open_, high, low, close)
        return (
            float(bars[0, 0]), max(float(high.max()), last), min(float(low.min()), last), last, float(volume.sum()),
            float(quote.sum()),
        )

    def day_ticker(self, index: int) -> Json:
        """One row of GET /fapi/v1/ticker/24hr."""
        exchange, form = self.exchange, self.formats[index]
        opened, high, low, last, volume, quote = self.day_figures(index)
        return {
            "symbol": exchange.symbols[index], "priceChange": form.price(last - opened),
            "priceChangePercent": f"{(last / opened - 1.0) * 100.0 if opened else 0.0:.3f}",
            "weightedAvgPrice": form.price(quote / volume if volume else last), "lastPrice": form.price(last),
            "lastQty": form.qty(exchange.instruments[index].step_size), "openPrice": form.price(opened),
            "highPrice": form.price(high), "lowPrice": form.price(low), "volume": form.qty(volume),
            "quoteVolume": usdt(quote), "openTime": ms(exchange.now_ns) - 86_400_000,
            "closeTime": ms(exchange.now_ns), "firstId": 1, "lastId": max(1, exchange.update_id), "count": 1,
        }

    def premium(self, index: int) -> Json:
        """One row of GET /fapi/v1/premiumIndex: mark and index are the last price."""
        exchange, form = self.exchange, self.formats[index]
        price = form.price(float(exchange.last[index]))
        rate, next_ns = exchange.funding_of(index)
        return {
            "symbol": exchange.symbols[index], "markPrice": price, "indexPrice": price,
            "estimatedSettlePrice": price, "lastFundingRate": f"{rate:.8f}", "interestRate": "0.00010000",
            "nextFundingTime": ms(next_ns), "time": ms(exchange.now_ns),
        }

    def leverage_brackets(self, index: int) -> Json:
        """One row of GET /fapi/v1/leverageBracket."""
        instrument, floor, rows = self.exchange.instruments[index], 0.0, []
        for number, tier in enumerate(instrument.tiers, start=1):
            rows.append({
                "bracket": number, "initialLeverage": int(tier.max_leverage),
                "notionalCap": _whole(tier.max_notional), "notionalFloor": _whole(floor),
                "maintMarginRatio": tier.maintenance_margin_rate, "cum": _whole(tier.maintenance_amount),
            })
            floor = tier.max_notional
        return {"symbol": instrument.symbol, "notionalCoef": 1, "brackets": rows}

    # ------------------------------------------------------------------ orders

    def order(self, order: Order) -> Json:
        """A regular order as the questions about orders answer it."""
        return self._order(order) | {"time": ms(order.created_ns)}

    def sent_order(self, order: Order) -> Json:
        """A regular order as the answer to a request that places, changes or cancels it."""
        return self._order(order) | {"cumQty": self.format_of(order.ticket.symbol).qty(order.filled)}

    def _order(self, order: Order) -> Json:
        ticket, form = order.ticket, self.format_of(order.ticket.symbol)
        trailing = {"activatePrice": form.price(ticket.activate_price), "priceRate": f"{ticket.callback_rate:g}"}
        return {
            "orderId": order.order_id, "symbol": ticket.symbol, "status": order.status,
            "clientOrderId": ticket.client_id, "price": form.price(order.price), "avgPrice": form.price(order.average),
            "origQty": form.qty(order.qty), "executedQty": form.qty(order.filled),
            "cumQuote": usdt(order.quote), "timeInForce": ticket.tif, "type": ticket.type,
            "reduceOnly": ticket.reduce_only, "closePosition": ticket.close_position, "side": ticket.side,
            "positionSide": "BOTH", "stopPrice": form.price(ticket.trigger_price), "workingType": ticket.working_type,
            "priceProtect": ticket.price_protect, "origType": order.orig_type, "priceMatch": ticket.price_match,
            "selfTradePreventionMode": "EXPIRE_MAKER", "goodTillDate": ticket.good_till_ms,
            "updateTime": max(1, ms(order.updated_ns)),
        } | (trailing if order.orig_type == "TRAILING_STOP_MARKET" else {})

    def acknowledgement(self, order: Order) -> Json:
        """The answer to an order with newOrderRespType ACK: accepted, and nothing about fills."""
        form = self.format_of(order.ticket.symbol)
        zero = form.qty(0.0)
        return self.sent_order(order) | {
            "status": "NEW", "avgPrice": form.price(0.0), "executedQty": zero, "cumQty": zero, "cumQuote": usdt(0.0),
            "updateTime": max(1, ms(order.created_ns)),
        }

    def sent_algo(self, algo: AlgoOrder) -> Json:
        """A conditional order as the answer to the request that places it."""
        ticket, form = algo.ticket, self.format_of(algo.ticket.symbol)
        return self._algo(algo) | {
            "activatePrice": form.price(ticket.activate_price) if ticket.activate_price else "",
            "callbackRate": f"{ticket.callback_rate:g}" if ticket.callback_rate else "",
        }

    def algo(self, algo: AlgoOrder) -> Json:
        """A conditional order as the questions about orders answer it; only there are the fields of a trailing stop.

        Clients read a rate wherever the field is: in the answers to questions there is none for other orders.
        """
        form, actual = self.format_of(algo.ticket.symbol), self.exchange.orders.get(algo.actual_id)
        answer = self._algo(algo) | {
            "actualOrderId": str(algo.actual_id or ""), "actualPrice": form.price(actual.average if actual else 0.0),
            "tpTriggerPrice": "0.000", "tpPrice": "0.000", "slTriggerPrice": "0.000", "slPrice": "0.000",
            "tpOrderType": "",
        }
        if actual is not None:
            answer |= {"actualQty": form.qty(actual.filled), "actualType": actual.ticket.type}
        if algo.ticket.type == "TRAILING_STOP_MARKET":
            answer |= {
                "activatePrice": form.price(algo.ticket.activate_price),
                "callbackRate": f"{algo.ticket.callback_rate:g}",
            }
        return answer

    def _algo(self, algo: AlgoOrder) -> Json:
        ticket, form = algo.ticket, self.format_of(algo.ticket.symbol)
        return {
            "algoId": algo.algo_id, "clientAlgoId": ticket.client_id, "algoType": "CONDITIONAL",
            "orderType": ticket.type, "symbol": ticket.symbol, "side": ticket.side, "positionSide": "BOTH",
            "timeInForce": ticket.tif, "quantity": form.qty(ticket.qty), "algoStatus": algo.status,
            "triggerPrice": form.price(algo.level), "price": form.price(ticket.price), "icebergQuantity": None,
            "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": ticket.working_type,
            "priceMatch": ticket.price_match, "closePosition": ticket.close_position,
            "priceProtect": ticket.price_protect, "reduceOnly": ticket.reduce_only or ticket.close_position,
            "createTime": ms(algo.created_ns), "updateTime": ms(algo.updated_ns),
            "triggerTime": ms(algo.triggered_ns), "goodTillDate": ticket.good_till_ms,
        }

    def trade(self, trade: Trade) -> Json:
        """One row of GET /fapi/v1/userTrades."""
        form = self.format_of(trade.symbol)
        return {
            "symbol": trade.symbol, "id": trade.trade_id, "orderId": trade.order_id, "side": trade.side,
            "price": form.price(trade.price), "qty": form.qty(trade.qty), "realizedPnl": usdt(trade.realised),
            "quoteQty": usdt(trade.qty * trade.price), "commission": usdt(trade.fee),
            "commissionAsset": trade.fee_asset, "time": ms(trade.ts_ns), "positionSide": "BOTH",
            "buyer": trade.side == "BUY", "maker": trade.maker,
        }

    def income(self, line: Income) -> Json:
        """One row of GET /fapi/v1/income."""
        return {
            "symbol": line.symbol, "incomeType": line.kind, "income": usdt(line.amount), "asset": line.asset,
            "info": line.info, "time": ms(line.ts_ns), "tranId": line.tran_id, "tradeId": line.trade_id,
        }

    # ------------------------------------------------------------------ account

    def position(self, index: int) -> Json:
        """A symbol's position with every field that v2 and v3 of positionRisk and account know."""
        exchange, form = self.exchange, self.formats[index]
        symbol, held = exchange.symbols[index], exchange.account.holding(index)
        mark, leverage = float(exchange.last[index]), exchange.paper.leverage(symbol)
        notional = held.qty * mark
        profit = held.qty * (mark - held.entry)
        tiers = [(t.max_notional, t.maintenance_margin_rate, t.max_leverage, t.maintenance_amount)
                 for t in exchange.instruments[index].tiers]
        maintenance = maintenance_margin(abs(notional), tiers) if held.qty else 0.0
        initial = abs(notional) / leverage
        isolated = exchange.isolated[index]
        cap = max((tier[0] for tier in tiers if tier[2] >= leverage), default=tiers[0][0])
        bids, asks = self._resting(symbol)
        opening = max(bids, asks) / leverage
        return {
            "symbol": symbol, "positionSide": "BOTH", "positionAmt": form.qty(held.qty),
            "entryPrice": form.price(held.entry), "breakEvenPrice": form.price(held.entry),
            "markPrice": form.price(mark), "unRealizedProfit": usdt(profit), "unrealizedProfit": usdt(profit),
            "liquidationPrice": form.price(max(0.0, held.liquidation)), "leverage": f"{leverage:g}",
            "maxNotionalValue": f"{cap:.0f}", "maxNotional": f"{cap:.0f}",
            "marginType": "isolated" if isolated else "cross", "isolated": isolated,
            "isolatedMargin": usdt(held.margin + profit if isolated and held.qty else 0.0),
            "isolatedWallet": usdt(held.margin if isolated else 0.0), "isAutoAddMargin": "false",
            "notional": usdt(notional), "marginAsset": "USDT", "initialMargin": usdt(initial + opening),
            "maintMargin": usdt(maintenance), "positionInitialMargin": usdt(initial),
            "openOrderInitialMargin": usdt(opening), "adl": 1 if held.qty else 0,
            "bidNotional": usdt(bids) if bids else "0", "askNotional": usdt(asks) if asks else "0",
            "updateTime": max(1, ms(exchange.account.updated_ns[index] or exchange.now_ns)) if held.qty else 0,
        }

    def in_use(self, rows: Iterable[int]) -> list[int]:
        """Those of *rows* whose symbols have a position or an open order, as version 3 of the account shows them."""
        waiting = {order.ticket.symbol for order in self.exchange.open_orders()}
        return [
            index for index in rows
            if self.exchange.account.holding(index).qty or self.exchange.symbols[index] in waiting
        ]

    def _resting(self, symbol: str) -> tuple[float, float]:
        """Notional of a symbol's open buy and sell orders that may open or add to a position (USDT)."""
        resting = [order for order in self.exchange.open_orders(symbol) if not order.ticket.reduce_only]
        bids, asks = (
            ordered_sum((order.qty - order.filled) * order.price for order in resting if order.ticket.sign == sign)
            for sign in (1, -1)
        )
        return bids, asks

    def position_v2(self, index: int) -> Json:
        """A row of GET /fapi/v2/positionRisk."""
        return _chosen(self.position(index), _POSITION_V2)

    def position_v3(self, index: int) -> Json:
        """A row of GET /fapi/v3/positionRisk."""
        return _chosen(self.position(index), _POSITION_V3)

    def totals(self) -> Json:
        """Sums over the account, as figures."""
        exchange = self.exchange
        positions = [self.position(i) for i in range(len(self.formats)) if exchange.account.holding(i).qty]
        balance = exchange.paper.balance()
        return {
            "wallet": balance.wallet, "unrealised": balance.unrealised_pnl, "available": max(0.0, balance.available),
            "initial": ordered_sum(float(row["positionInitialMargin"]) for row in positions),
            "maintenance": ordered_sum(float(row["maintMargin"]) for row in positions),
            "open_orders": max(0.0, balance.wallet - balance.margin_used - balance.available),
            "free_wallet": balance.wallet - balance.margin_used,
        }

    def balances(self) -> list[Json]:
        """GET /fapi/v2/balance and v3."""
        total = self.totals()
        rows = [{
            "accountAlias": "SgsR", "asset": "USDT", "balance": usdt(total["wallet"]),
            "crossWalletBalance": usdt(total["free_wallet"]), "crossUnPnl": usdt(0.0),
            "availableBalance": usdt(total["available"]), "maxWithdrawAmount": usdt(total["available"]),
            "marginAvailable": True, "updateTime": self.account_ms(),
        }]
        coin = self.exchange.account.coin
        if coin.is_held:
            row = dict.fromkeys(rows[0], usdt(0.0)) | {"accountAlias": "SgsR", "asset": COIN, "marginAvailable": False}
            amounts = dict.fromkeys(("balance", "crossWalletBalance", "availableBalance"), usdt(coin.balance))
            rows.append(row | amounts | {"maxWithdrawAmount": usdt(coin.balance), "updateTime": self._coin_ms()})
        return rows

    def _coin_ms(self) -> int:
        return max(1, ms(self.exchange.account.coin.updated_ns or self.exchange.now_ns))

    def account_ms(self) -> int:
        """When the account last changed; never 0, clients drop such balances."""
        return max(1, ms(self.exchange.account.wallet_updated_ns or self.exchange.now_ns))

    def account(self, version: int) -> Json:
        """GET /fapi/v2/account (every symbol) and v3 (what is open)."""
        total = self.totals()
        margin_balance = total["wallet"] + total["unrealised"]
        sums = {
            "InitialMargin": total["initial"] + total["open_orders"], "MaintMargin": total["maintenance"],
            "WalletBalance": total["wallet"], "MarginBalance": margin_balance,
            "PositionInitialMargin": total["initial"], "OpenOrderInitialMargin": total["open_orders"],
            "CrossWalletBalance": total["free_wallet"], "CrossUnPnl": 0.0,
        }
        answer: Json = {f"total{name}": usdt(value) for name, value in sums.items()}
        answer |= {
            "totalUnrealizedProfit": usdt(total["unrealised"]), "availableBalance": usdt(total["available"]),
            "maxWithdrawAmount": usdt(total["available"]),
        }
        asset: Json = {name[0].lower() + name[1:]: usdt(value) for name, value in sums.items()}
        asset |= {
            "asset": "USDT", "unrealizedProfit": usdt(total["unrealised"]),
            "availableBalance": usdt(total["available"]), "maxWithdrawAmount": usdt(total["available"]),
            "marginAvailable": True, "updateTime": self.account_ms(),
        }
        every: Iterable[int] = range(len(self.formats))
        fields: Iterable[str] = _ACCOUNT_POSITION_V2
        if version == 3:
            del asset["marginAvailable"]
            every, fields = self.in_use(every), _ACCOUNT_POSITION_V3
        positions = [_chosen(self.position(index), fields) for index in every]
        answer |= {"assets": self._assets(asset), "positions": positions}
        if version == 2:
            answer |= self._permissions() | {"feeBurn": self.exchange.account.coin.burn}
        return answer

    def _assets(self, asset: Json) -> list[Json]:
        """USDT as *asset* tells it, and BNB where the account has or had some."""
        coin = self.exchange.account.coin
        if not coin.is_held:
            return [asset]
        row = dict.fromkeys(asset, usdt(0.0)) | {"asset": COIN, "updateTime": self._coin_ms()}
        row |= dict.fromkeys(
            ("walletBalance", "marginBalance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount"),
            usdt(coin.balance),
        )
        return [asset, row | ({"marginAvailable": False} if "marginAvailable" in asset else {})]

    def config(self) -> Json:
        """GET /fapi/v1/accountConfig; whether BNB pays fees is told by feeBurn and version 2 of the account."""
        return self._permissions() | {"dualSidePosition": self.dual_side}

    def _permissions(self) -> Json:
        """What both the account's configuration and its version 2 tell."""
        return {
            "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0,
            "multiAssetsMargin": self.multi_assets, "tradeGroupId": -1,
        }

    def symbol_config(self, index: int) -> Json:
        """One row of GET /fapi/v1/symbolConfig."""
        row = self.position(index)
        return {
            "symbol": row["symbol"], "marginType": "ISOLATED" if self.exchange.isolated[index] else "CROSSED",
            "isAutoAddMargin": False, "leverage": int(float(row["leverage"])),
            "maxNotionalValue": row["maxNotionalValue"],
        }

    def funding_info(self, index: int) -> Json:
        """One row of GET /fapi/v1/fundingInfo."""
        return {
            "symbol": self.exchange.symbols[index], "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000", "fundingIntervalHours": self.exchange.funding_hours(index),
            "disclaimer": False,
        }
