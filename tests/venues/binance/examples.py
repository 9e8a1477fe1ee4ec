"""Example payloads of Binance's documentation of USD-M futures, each under the page it stands on.

Pages are named below https://developers.binance.com/docs/derivatives/usds-margined-futures/, as they were in 2026;
where a page was not to be had, the example is the one in the tests of Binance's own connectors, which are made from
the same source (binance/binance-connector-go, clients/derivativestradingusdsfutures/tests). Comments and stray commas
of the pages are taken out, nothing else: what a test needs otherwise, it changes itself.
"""

from __future__ import annotations

# market-data/rest-api/Check-Server-Time
SERVER_TIME = '{"serverTime": 1499827319559}'

# market-data/rest-api/Exchange-Information; MAX_NUM_ALGO_ORDERS went with the change log's entry of 2025-12-29
EXCHANGE_INFO = """
{"exchangeFilters": [],
 "rateLimits": [
  {"interval": "MINUTE", "intervalNum": 1, "limit": 2400, "rateLimitType": "REQUEST_WEIGHT"},
  {"interval": "MINUTE", "intervalNum": 1, "limit": 1200, "rateLimitType": "ORDERS"}],
 "serverTime": 1565613908500,
 "assets": [{"asset": "BTC", "marginAvailable": true, "autoAssetExchange": "-0.10"},
  {"asset": "USDT", "marginAvailable": true, "autoAssetExchange": "0"},
  {"asset": "BNB", "marginAvailable": false, "autoAssetExchange": null}],
 "symbols": [{"symbol": "BLZUSDT", "pair": "BLZUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
  "onboardDate": 1598252400000, "status": "TRADING", "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000",
  "baseAsset": "BLZ", "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 5, "quantityPrecision": 0,
  "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": ["STORAGE"],
  "settlePlan": 0, "triggerProtect": "0.15", "filters": [
   {"filterType": "PRICE_FILTER", "maxPrice": "300", "minPrice": "0.0001", "tickSize": "0.0001"},
   {"filterType": "LOT_SIZE", "maxQty": "10000000", "minQty": "1", "stepSize": "1"},
   {"filterType": "MARKET_LOT_SIZE", "maxQty": "590119", "minQty": "1", "stepSize": "1"},
   {"filterType": "MAX_NUM_ORDERS", "limit": 200},
   {"filterType": "MIN_NOTIONAL", "notional": "5.0"},
   {"filterType": "PERCENT_PRICE", "multiplierUp": "1.1500", "multiplierDown": "0.8500", "multiplierDecimal": "4"}],
  "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
  "timeInForce": ["GTC", "IOC", "FOK", "GTX"], "liquidationFee": "0.010000", "marketTakeBound": "0.30"}],
 "timezone": "UTC"}
"""

# market-data/rest-api/Order-Book
DEPTH = """
{"lastUpdateId": 1027024, "E": 1589436922972, "T": 1589436922959, "bids": [["4.00000000", "431.00000000"]],
 "asks": [["4.00000200", "12.00000000"]]}
"""

# market-data/rest-api/Kline-Candlestick-Data
KLINES = """
[[1499040000000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815", 1499644799999,
  "2434.19055334", 308, "1756.87402397", "28.46694368", "17928899.62484339"]]
"""

# market-data/rest-api/Mark-Price
PREMIUM_INDEX = """
{"symbol": "BTCUSDT", "markPrice": "11793.63104562", "indexPrice": "11781.80495970",
 "estimatedSettlePrice": "11781.16138815", "lastFundingRate": "0.00038246", "interestRate": "0.00010000",
 "nextFundingTime": 1597392000000, "time": 1597370495002}
"""

# market-data/rest-api/Get-Funding-Rate-History
FUNDING_RATE = """
[{"symbol": "BTCUSDT", "fundingRate": "-0.03750000", "fundingTime": 1570608000000, "markPrice": "34287.54619963"},
 {"symbol": "BTCUSDT", "fundingRate": "0.00010000", "fundingTime": 1570636800000, "markPrice": "34287.54619963"}]
"""

# market-data/rest-api/Get-Funding-Rate-Info
FUNDING_INFO = """
[{"symbol": "BLZUSDT", "adjustedFundingRateCap": "0.02500000", "adjustedFundingRateFloor": "-0.02500000",
  "fundingIntervalHours": 8, "disclaimer": false}]
"""

# market-data/rest-api/Symbol-Price-Ticker-v2, of one symbol and of all
TICKER_PRICE = '{"symbol": "BTCUSDT", "price": "6000.01", "time": 1589437530011}'
TICKER_PRICES = '[{"symbol": "BTCUSDT", "price": "6000.01", "time": 1589437530011}]'

# market-data/rest-api/Symbol-Order-Book-Ticker
BOOK_TICKER = """
{"symbol": "BTCUSDT", "bidPrice": "4.00000000", "bidQty": "431.00000000", "askPrice": "4.00000200",
 "askQty": "9.00000000", "time": 1589437530011}
"""

# account/rest-api/Notional-and-Leverage-Brackets
LEVERAGE_BRACKET = """
[{"symbol": "ETHUSDT", "notionalCoef": 1.50, "brackets": [
 {"bracket": 1, "initialLeverage": 75, "notionalCap": 10000, "notionalFloor": 0, "maintMarginRatio": 0.0065,
  "cum": 0.0}]}]
"""

# account/rest-api/User-Commission-Rate
COMMISSION_RATE = """
{"symbol": "BTCUSDT", "makerCommissionRate": "0.0002", "takerCommissionRate": "0.0004",
 "rpiCommissionRate": "0.00005"}
"""

# account/rest-api/Get-Current-Position-Mode
POSITION_MODE = '{"dualSidePosition": true}'

# account/rest-api/Get-Current-Multi-Assets-Mode
MULTI_ASSETS_MODE = '{"multiAssetsMargin": true}'

# account/rest-api/Get-BNB-Burn-Status
FEE_BURN = '{"feeBurn": true}'

# https://developers.binance.com/docs/wallet/account/api-key-permission
API_RESTRICTIONS = """
{"ipRestrict": false, "createTime": 1698645219000, "enableReading": true, "enableWithdrawals": false,
 "enableInternalTransfer": false, "enableMargin": false, "enableFutures": false, "permitsUniversalTransfer": false,
 "enableVanillaOptions": false, "enableFixApiTrade": false, "enableFixReadOnly": true,
 "enableSpotAndMarginTrading": false, "enablePortfolioMarginTrading": true}
"""

# account/rest-api/Futures-Account-Balance-V3
BALANCE = """
[{"accountAlias": "SgsR", "asset": "USDT", "balance": "122607.35137903", "crossWalletBalance": "23.72469206",
  "crossUnPnl": "0.00000000", "availableBalance": "23.72469206", "maxWithdrawAmount": "23.72469206",
  "marginAvailable": true, "updateTime": 1617939110373}]
"""

# account/rest-api/Account-Information-V3 (single-asset mode)
ACCOUNT = """
{"totalInitialMargin": "0.00000000", "totalMaintMargin": "0.00000000", "totalWalletBalance": "103.12345678",
 "totalUnrealizedProfit": "0.00000000", "totalMarginBalance": "103.12345678",
 "totalPositionInitialMargin": "0.00000000", "totalOpenOrderInitialMargin": "0.00000000",
 "totalCrossWalletBalance": "103.12345678", "totalCrossUnPnl": "0.00000000", "availableBalance": "103.12345678",
 "maxWithdrawAmount": "103.12345678", "assets": [{"asset": "USDT", "walletBalance": "23.72469206",
  "unrealizedProfit": "0.00000000", "marginBalance": "23.72469206", "maintMargin": "0.00000000",
  "initialMargin": "0.00000000", "positionInitialMargin": "0.00000000", "openOrderInitialMargin": "0.00000000",
  "crossWalletBalance": "23.72469206", "crossUnPnl": "0.00000000", "availableBalance": "23.72469206",
  "maxWithdrawAmount": "23.72469206", "updateTime": 1625474304765}, {"asset": "USDC",
  "walletBalance": "103.12345678", "unrealizedProfit": "0.00000000", "marginBalance": "103.12345678",
  "maintMargin": "0.00000000", "initialMargin": "0.00000000", "positionInitialMargin": "0.00000000",
  "openOrderInitialMargin": "0.00000000", "crossWalletBalance": "103.12345678", "crossUnPnl": "0.00000000",
  "availableBalance": "126.72469206", "maxWithdrawAmount": "103.12345678", "updateTime": 1625474304765}],
 "positions": [{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "1.000",
  "unrealizedProfit": "0.00000000", "isolatedMargin": "0.00000000", "notional": "0", "isolatedWallet": "0",
  "initialMargin": "0", "maintMargin": "0", "updateTime": 0}]}
"""

# account/rest-api/Get-Income-History
INCOME = """
[{"symbol": "", "incomeType": "TRANSFER", "income": "-0.37500000", "asset": "USDT", "info": "TRANSFER",
  "time": 1570608000000, "tranId": 9689322392, "tradeId": ""},
 {"symbol": "BTCUSDT", "incomeType": "COMMISSION", "income": "-0.01000000", "asset": "USDT", "info": "COMMISSION",
  "time": 1570636800000, "tranId": 9689322392, "tradeId": "2059192"}]
"""

# account/rest-api/Symbol-Config
SYMBOL_CONFIG = """
[{"symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": false, "leverage": 21,
  "maxNotionalValue": "1000000"}]
"""

# trade/rest-api/New-Order (from the connector's tests); it has no time, only updateTime
NEW_ORDER = """
{"clientOrderId": "testOrder", "cumQty": "0", "cumQuote": "0", "executedQty": "0", "orderId": 22542179,
 "avgPrice": "0.00000", "origQty": "10", "price": "0", "reduceOnly": false, "side": "BUY", "positionSide": "SHORT",
 "status": "NEW", "stopPrice": "9300", "closePosition": false, "symbol": "BTCUSDT", "timeInForce": "GTD",
 "type": "TRAILING_STOP_MARKET", "origType": "TRAILING_STOP_MARKET", "updateTime": 1566818724722,
 "workingType": "CONTRACT_PRICE", "priceProtect": false, "priceMatch": "NONE", "selfTradePreventionMode": "NONE",
 "goodTillDate": 1693207680000}
"""

# trade/rest-api/Query-Order
ORDER = """
{"avgPrice": "0.00000", "clientOrderId": "abc", "cumQuote": "0", "executedQty": "0", "orderId": 1917641,
 "origQty": "0.40", "origType": "TRAILING_STOP_MARKET", "price": "0", "reduceOnly": false, "side": "BUY",
 "positionSide": "SHORT", "status": "NEW", "stopPrice": "9300", "closePosition": false, "symbol": "BTCUSDT",
 "time": 1579276756075, "timeInForce": "GTC", "type": "TRAILING_STOP_MARKET", "activatePrice": "9020",
 "priceRate": "0.3", "updateTime": 1579276756075, "workingType": "CONTRACT_PRICE", "priceProtect": false,
 "priceMatch": "NONE", "selfTradePreventionMode": "NONE", "goodTillDate": 0}
"""

# trade/rest-api/Current-All-Open-Orders: a list of what Query-Order shows
OPEN_ORDERS = f"[{ORDER}]"

# trade/rest-api/Cancel-Order
CANCELLED_ORDER = """
{"clientOrderId": "myOrder1", "cumQty": "0", "cumQuote": "0", "executedQty": "0", "orderId": 283194212,
 "origQty": "11", "origType": "TRAILING_STOP_MARKET", "price": "0", "avgPrice": "0.00", "reduceOnly": false,
 "side": "BUY", "positionSide": "SHORT", "status": "CANCELED", "stopPrice": "9300", "closePosition": false,
 "symbol": "BTCUSDT", "timeInForce": "GTC", "type": "TRAILING_STOP_MARKET", "activatePrice": "9020",
 "priceRate": "0.3", "updateTime": 1571110484038, "workingType": "CONTRACT_PRICE", "priceProtect": false,
 "priceMatch": "NONE", "selfTradePreventionMode": "NONE", "goodTillDate": 1693207680000}
"""

# trade/rest-api/New-Algo-Order
NEW_ALGO_ORDER = """
{"algoId": 2146760, "clientAlgoId": "6B2I9XVcJpCjqPAJ4YoFX7", "algoType": "CONDITIONAL", "orderType": "TAKE_PROFIT",
 "symbol": "BNBUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.01",
 "algoStatus": "NEW", "triggerPrice": "750.000", "price": "750.000", "icebergQuantity": null,
 "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": "CONTRACT_PRICE", "priceMatch": "NONE",
 "closePosition": false, "priceProtect": false, "reduceOnly": false, "activatePrice": "", "callbackRate": "",
 "createTime": 1750485492076, "updateTime": 1750485492076, "triggerTime": 0, "goodTillDate": 0}
"""

# trade/rest-api/Query-Algo-Order
ALGO_ORDER = """
{"algoId": 2146760, "clientAlgoId": "6B2I9XVcJpCjqPAJ4YoFX7", "algoType": "CONDITIONAL", "orderType": "TAKE_PROFIT",
 "symbol": "BNBUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.01",
 "algoStatus": "CANCELED", "actualOrderId": "", "actualPrice": "0.00000", "triggerPrice": "750.000", "price": "750.000",
 "icebergQuantity": null, "tpTriggerPrice": "0.000", "tpPrice": "0.000", "slTriggerPrice": "0.000", "slPrice": "0.000",
 "tpOrderType": "", "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": "CONTRACT_PRICE", "priceMatch": "NONE",
 "closePosition": false, "priceProtect": false, "reduceOnly": false, "createTime": 1750485492076,
 "updateTime": 1750514545091, "triggerTime": 0, "goodTillDate": 0}
"""

# trade/rest-api/Query-All-Algo-Orders: a list of what Query-Algo-Order shows
ALL_ALGO_ORDERS = f"[{ALGO_ORDER}]"

# trade/rest-api/Current-All-Algo-Open-Orders
OPEN_ALGO_ORDERS = """
[{"algoId": 2148627, "clientAlgoId": "MRumok0dkhrP4kCm12AHaB", "algoType": "CONDITIONAL", "orderType": "TAKE_PROFIT",
  "symbol": "BNBUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.01",
  "algoStatus": "NEW", "actualOrderId": "", "actualPrice": "0.00000", "triggerPrice": "750.000", "price": "750.000",
  "icebergQuantity": null, "tpTriggerPrice": "0.000", "tpPrice": "0.000", "slTriggerPrice": "0.000",
  "slPrice": "0.000", "tpOrderType": "", "selfTradePreventionMode": "EXPIRE_MAKER", "workingType": "CONTRACT_PRICE",
  "priceMatch": "NONE", "closePosition": false, "priceProtect": false, "reduceOnly": false,
  "createTime": 1750514941540, "updateTime": 1750514941540, "triggerTime": 0, "goodTillDate": 0}]
"""

# trade/rest-api/Cancel-Algo-Order
ALGO_CANCELLED = """
{"algoId": 2146760, "clientAlgoId": "6B2I9XVcJpCjqPAJ4YoFX7", "code": "200", "msg": "success"}
"""

# trade/rest-api/Account-Trade-List; until 2026 the page showed the commission with a minus
USER_TRADES = """
[{"buyer": false, "commission": "0.07819010", "commissionAsset": "USDT", "id": 698759, "maker": false,
  "orderId": 25851813, "price": "7819.01", "qty": "0.002", "quoteQty": "15.63802", "realizedPnl": "-0.91539999",
  "side": "SELL", "positionSide": "SHORT", "symbol": "BTCUSDT", "time": 1569514978020}]
"""

# trade/rest-api/Position-Information-V3 (one-way mode)
POSITION_RISK = """
[{"symbol": "ADAUSDT", "positionSide": "BOTH", "positionAmt": "30", "entryPrice": "0.385",
  "breakEvenPrice": "0.385077", "markPrice": "0.41047590", "unRealizedProfit": "0.76427700", "liquidationPrice": "0",
  "isolatedMargin": "0", "notional": "12.31427700", "marginAsset": "USDT", "isolatedWallet": "0",
  "initialMargin": "0.61571385", "maintMargin": "0.08004280", "positionInitialMargin": "0.61571385",
  "openOrderInitialMargin": "0", "adl": 2, "bidNotional": "0", "askNotional": "0", "updateTime": 1720736417660}]
"""

# trade/rest-api/Change-Initial-Leverage
LEVERAGE = '{"leverage": 21, "maxNotionalValue": "1000000", "symbol": "BTCUSDT"}'

# trade/rest-api/Change-Margin-Type
MARGIN_TYPE = '{"code": 200, "msg": "success"}'

# user-data-streams/Start-User-Data-Stream
LISTEN_KEY = '{"listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"}'

# user-data-streams/Keepalive-User-Data-Stream
LISTEN_KEY_KEPT = '{"listenKey": "3HBntNTepshgEdjIwSUIBgB9keLyOCg5qv3n6bYAtktG8ejcaW5HXz9Vx1JgIieg"}'

# websocket-market-streams/Kline-Candlestick-Streams, in a combined stream's envelope
KLINE_FRAME = """
{"stream": "btcusdt@kline_1m", "data": {"e": "kline", "E": 1638747660000, "s": "BTCUSDT", "k": {"t": 1638747660000,
 "T": 1638747719999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200, "o": "0.0010", "c": "0.0020", "h": "0.0025",
 "l": "0.0015", "v": "1000", "n": 100, "x": false, "q": "1.0000", "V": "500", "Q": "0.500", "B": "123456"}}}
"""

# websocket-market-streams/Individual-Symbol-Book-Ticker-Streams
BOOK_TICKER_FRAME = """
{"stream": "bnbusdt@bookTicker", "data": {"e": "bookTicker", "u": 400900217, "E": 1568014460893, "T": 1568014460891,
 "s": "BNBUSDT", "b": "25.35190000", "B": "31.21000000", "a": "25.36520000", "A": "40.66000000"}}
"""

# websocket-market-streams/Mark-Price-Stream
MARK_PRICE_FRAME = """
{"stream": "btcusdt@markPrice@1s", "data": {"e": "markPriceUpdate", "E": 1562305380000, "s": "BTCUSDT",
 "p": "11794.15000000", "ap": "11794.15000000", "i": "11784.62659091", "P": "11784.25641265", "r": "0.00038167",
 "T": 1562306400000}}
"""

# user-data-streams/Event-Order-Update
ORDER_TRADE_UPDATE = """
{"e": "ORDER_TRADE_UPDATE", "E": 1568879465651, "T": 1568879465650, "o": {"s": "BTCUSDT", "c": "TEST", "S": "SELL",
 "o": "TRAILING_STOP_MARKET", "f": "GTC", "q": "0.001", "p": "0", "ap": "0", "sp": "7103.04", "x": "NEW", "X": "NEW",
 "i": 8886774, "l": "0", "z": "0", "L": "0", "N": "USDT", "n": "0", "T": 1568879465650, "t": 0, "b": "0", "a": "9.91",
 "m": false, "R": false, "wt": "CONTRACT_PRICE", "ot": "TRAILING_STOP_MARKET", "ps": "LONG", "cp": false,
 "AP": "7476.89", "cr": "5.0", "pP": false, "si": 0, "ss": 0, "rp": "0", "V": "EXPIRE_TAKER", "pm": "OPPONENT",
 "gtd": 0, "er": "0"}}
"""

# user-data-streams/Event-Algo-Order-Update
ALGO_UPDATE = """
{"e": "ALGO_UPDATE", "T": 1750515742297, "E": 1750515742303, "o": {"caid": "Q5xaq5EGKgXXa0fD7fs0Ip", "aid": 2148719,
 "at": "CONDITIONAL", "o": "TAKE_PROFIT", "s": "BNBUSDT", "S": "SELL", "ps": "BOTH", "f": "GTC", "q": "0.01",
 "X": "CANCELED", "ai": "", "ap": "0.00000", "aq": "0.00000", "act": "0", "tp": "750", "p": "750",
 "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE", "pm": "NONE", "cp": false, "pP": false, "R": false, "tt": 0, "gtd": 0,
 "rm": "Reduce Only reject"}}
"""

# user-data-streams/Event-Balance-and-Position-Update
ACCOUNT_UPDATE = """
{"e": "ACCOUNT_UPDATE", "E": 1564745798939, "T": 1564745798938, "a": {"m": "ORDER", "B": [
 {"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"},
 {"a": "BUSD", "wb": "1.00000000", "cw": "0.00000000", "bc": "-49.12345678"}], "P": [
 {"s": "BTCUSDT", "pa": "0", "ep": "0.00000", "bep": "0", "cr": "200", "up": "0", "mt": "isolated", "iw": "0.00000000",
  "ps": "BOTH"},
 {"s": "BTCUSDT", "pa": "20", "ep": "6563.66500", "bep": "0", "cr": "0", "up": "2850.21200", "mt": "isolated",
  "iw": "13200.70726908", "ps": "LONG"},
 {"s": "BTCUSDT", "pa": "-10", "ep": "6563.86000", "bep": "6563.6", "cr": "-45.04000000", "up": "-1423.15600",
  "mt": "isolated", "iw": "6570.42511771", "ps": "SHORT"}]}}
"""

# user-data-streams/Event-Account-Configuration-Update-previous-Leverage-Update
ACCOUNT_CONFIG_UPDATE = """
{"e": "ACCOUNT_CONFIG_UPDATE", "E": 1611646737479, "T": 1611646737476, "ac": {"s": "BTCUSDT", "l": 25}}
"""
MULTI_ASSETS_UPDATE = """
{"e": "ACCOUNT_CONFIG_UPDATE", "E": 1611646737479, "T": 1611646737476, "ai": {"j": true}}
"""

# user-data-streams/Event-Trade-Lite
TRADE_LITE = """
{"e": "TRADE_LITE", "E": 1721895408092, "T": 1721895408214, "s": "BTCUSDT", "q": "0.001", "p": "0", "m": false,
 "c": "z8hcUoOsqEdKMeKPSABslD", "S": "BUY", "L": "64089.20", "l": "0.040", "t": 109100866, "i": 8886774}
"""

# user-data-streams/Event-User-Data-Stream-Expired; the page shows the time as text
LISTEN_KEY_EXPIRED = """
{"e": "listenKeyExpired", "E": "1736996475556",
 "listenKey": "WsCMN0a4KHUPTQuX6IUnqEZfB1inxmv1qR4kbf1LuEjur5VdbzqvyxqG9TSjVVxv"}
"""

# user-data-streams/Event-Margin-Call: a kind that is not read
MARGIN_CALL = """
{"e": "MARGIN_CALL", "E": 1587727187525, "cw": "3.16812045", "p": [{"s": "ETHUSDT", "ps": "LONG", "pa": "1.327",
 "mt": "CROSSED", "iw": "0", "mp": "187.17127", "up": "-1.166074", "mm": "1.614445"}]}
"""

# trade/websocket-api (New Order): the answer to order.place
WS_ORDER_PLACED = """
{"id": "3f7df6e3-2df4-44b9-9919-d2f38f90a99a", "status": 200, "result": {"orderId": 325078477, "symbol": "BTCUSDT",
 "status": "NEW", "clientOrderId": "iCXL1BywlBaf2sesNUrVl3", "price": "43187.00", "avgPrice": "0.00",
 "origQty": "0.100", "executedQty": "0.000", "cumQty": "0.000", "cumQuote": "0.00000", "timeInForce": "GTC",
 "type": "LIMIT", "reduceOnly": false, "closePosition": false, "side": "BUY", "positionSide": "BOTH",
 "stopPrice": "0.00", "workingType": "CONTRACT_PRICE", "priceProtect": false, "origType": "LIMIT",
 "priceMatch": "NONE", "selfTradePreventionMode": "NONE", "goodTillDate": 0, "updateTime": 1702555534435},
 "rateLimits": [
  {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1},
  {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200, "count": 1},
  {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400, "count": 1}]}
"""

# websocket-api-general-info (Log in with API key): the result of session.logon; the real venue takes Ed25519 keys only
WS_LOGGED_ON = """
{"apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", "authorizedSince": 1649729878532,
 "connectedSince": 1649729873021, "returnRateLimits": false, "serverTime": 1649729878630}
"""

# Seen at the real venue on 2025-12-11 (nautechsystems/nautilus_trader, issue 3287): with an envelope and no "rm"
ALGO_TRIGGERED_SEEN = """
{"stream": "key", "data": {"e": "ALGO_UPDATE", "T": 1765431097030, "E": 1765431097037, "o": {
 "caid": "O-20251211-053131-ZYWR-000-9", "aid": 1000000033225453, "at": "CONDITIONAL", "o": "STOP_MARKET",
 "s": "DOGEUSDT", "S": "BUY", "ps": "BOTH", "f": "GTC", "q": "38", "X": "TRIGGERED", "ai": "88937381063", "ap": "0",
 "aq": "0", "act": "MARKET", "tp": "0.13855", "p": "0", "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE", "pm": "NONE",
 "cp": false, "pP": false, "R": false, "tt": 1765431097019, "gtd": 0}}}
"""
