"""Signed endpoints about the account: money, positions, leverage, margin, listen keys, permissions."""

from __future__ import annotations

from typing import Any, Final

from quantum_trader.venues.local.api import Api, Routes
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.orders import ConfigEvent
from quantum_trader.venues.local.params import Params, choice, flag, number, text, whole
from quantum_trader.venues.local.rest_market import symbol_rows
from quantum_trader.venues.local.wire import ms

routes: Final = Routes()
OK: Final = {"code": 200, "msg": "success"}


@routes.add("GET", "/fapi/v2/balance", "/fapi/v3/balance", security="SIGNED", weight=5)
def account_balance(api: Api, params: Params) -> Any:
    """Money by asset."""
    return api.wire.balances()


@routes.add("GET", "/fapi/v2/account", security="SIGNED", weight=5)
def account_v2(api: Api, params: Params) -> Any:
    """The account with every symbol."""
    return api.wire.account(2)


@routes.add("GET", "/fapi/v3/account", security="SIGNED", weight=5)
def account_v3(api: Api, params: Params) -> Any:
    """The account with what is open."""
    return api.wire.account(3)


@routes.add("GET", "/fapi/v2/positionRisk", "/fapi/v1/positionRisk", security="SIGNED", weight=5)
def positions_v2(api: Api, params: Params) -> Any:
    """Positions of every symbol, empty ones too."""
    rows, _ = symbol_rows(api, params)
    return [api.wire.position_v2(index) for index in rows]


@routes.add("GET", "/fapi/v3/positionRisk", security="SIGNED", weight=5)
def positions_v3(api: Api, params: Params) -> Any:
    """Symbols with a position or an open order."""
    rows, _ = symbol_rows(api, params)
    return [api.wire.position_v3(index) for index in api.wire.in_use(rows)]


@routes.add("GET", "/fapi/v1/accountConfig", security="SIGNED", weight=5)
def account_config(api: Api, params: Params) -> Any:
    """Modes of the account."""
    return api.wire.config()


@routes.add("GET", "/fapi/v1/symbolConfig", security="SIGNED", weight=5)
def symbol_config(api: Api, params: Params) -> Any:
    """Leverage and margin type by symbol."""
    rows, _ = symbol_rows(api, params)
    return [api.wire.symbol_config(index) for index in rows]


@routes.add("GET", "/fapi/v1/leverageBracket", security="SIGNED")
def leverage_bracket(api: Api, params: Params) -> Any:
    """Leverage tiers; a list even for one symbol, as at Binance."""
    rows, _ = symbol_rows(api, params)
    return [api.wire.leverage_brackets(index) for index in rows]


@routes.add("POST", "/fapi/v1/leverage", security="SIGNED")
def set_leverage(api: Api, params: Params) -> Any:
    """Set a symbol's leverage and return the one in force."""
    name = text(params, "symbol")
    leverage = api.exchange.set_leverage(name, whole(params, "leverage", low=1, high=1000))
    row = api.wire.position(api.exchange.row_of(name))
    return {"leverage": leverage, "maxNotionalValue": row["maxNotionalValue"], "symbol": name}


@routes.add("POST", "/fapi/v1/marginType", security="SIGNED")
def set_margin_type(api: Api, params: Params) -> Any:
    """ISOLATED or CROSSED, while nothing is open."""
    name = text(params, "symbol")
    index = api.exchange.row_of(name)
    wanted = choice(params, "marginType", ("ISOLATED", "CROSSED"))
    if (wanted == "ISOLATED") == api.exchange.isolated[index]:
        raise VenueApiError(-4046)
    if api.exchange.open_orders(name) or api.exchange.open_algos(name):
        raise VenueApiError(-4047)
    if api.exchange.account.holding(index).qty:
        raise VenueApiError(-4048)
    api.exchange.isolated[index] = wanted == "ISOLATED"
    return OK


@routes.add("POST", "/fapi/v1/positionMargin", security="SIGNED")
def position_margin(api: Api, params: Params) -> Any:
    """Add (type 1) or take away (type 2) margin of an isolated position."""
    index = api.exchange.row_of(text(params, "symbol"))
    amount, kind = number(params, "amount"), whole(params, "type", low=1, high=2)
    if amount <= 0.0:
        raise VenueApiError(-4055)
    if not api.exchange.isolated[index]:
        raise VenueApiError(-4049)
    if not api.exchange.account.holding(index).qty:
        raise VenueApiError(-4054)
    api.exchange.move_margin(index, amount if kind == 1 else -amount)
    return {"amount": amount, "code": 200, "msg": "Successfully modify position margin.", "type": kind}


@routes.add("GET", "/fapi/v1/positionSide/dual", security="SIGNED", weight=30)
def position_side(api: Api, params: Params) -> Any:
    """Whether hedge mode is on."""
    return {"dualSidePosition": api.wire.dual_side}


@routes.add("POST", "/fapi/v1/positionSide/dual", security="SIGNED")
def set_position_side(api: Api, params: Params) -> Any:
    """Switch hedge mode while nothing is open; this venue keeps the flag and trades one-way only."""
    wanted = flag(params, "dualSidePosition")
    if wanted == api.wire.dual_side:
        raise VenueApiError(-4059)
    if api.exchange.open_orders() or api.exchange.open_algos():
        raise VenueApiError(-4067)
    if any(api.exchange.account.holding(index).qty for index in range(len(api.exchange.symbols))):
        raise VenueApiError(-4068)
    api.wire.dual_side = wanted
    return OK


@routes.add("GET", "/fapi/v1/multiAssetsMargin", security="SIGNED", weight=30)
def multi_assets(api: Api, params: Params) -> Any:
    """Whether multi-assets mode is on."""
    return {"multiAssetsMargin": api.wire.multi_assets}


@routes.add("POST", "/fapi/v1/multiAssetsMargin", security="SIGNED")
def set_multi_assets(api: Api, params: Params) -> Any:
    """Switch multi-assets mode."""
    wanted = flag(params, "multiAssetsMargin")
    if wanted == api.wire.multi_assets:
        raise VenueApiError(-4171)
    api.wire.multi_assets = wanted
    api.exchange.add_event(ConfigEvent(ts_ns=api.exchange.now_ns, multi_assets=wanted))
    return OK


@routes.add("GET", "/fapi/v1/commissionRate", security="SIGNED", weight=20)
def commission_rate(api: Api, params: Params) -> Any:
    """Fees of one symbol, as fractions."""
    name = text(params, "symbol")
    instrument = api.exchange.instruments[api.exchange.row_of(name)]
    return {
        "symbol": name, "makerCommissionRate": f"{instrument.maker_fee_bps * 1e-4:.6f}",
        "takerCommissionRate": f"{instrument.taker_fee_bps * 1e-4:.6f}", "rpiCommissionRate": "0.000050",
    }


@routes.add("GET", "/fapi/v1/income", security="SIGNED", weight=30)
def income(api: Api, params: Params) -> Any:
    """Profit, commission and funding, oldest first."""
    name, kind = text(params, "symbol", ""), text(params, "incomeType", "")
    start, end = whole(params, "startTime", 0), whole(params, "endTime", 2**62)
    limit, page = whole(params, "limit", 100, low=1, high=1000), whole(params, "page", 1, low=1)
    found = [
        line for line in api.exchange.account.income
        if (not name or line.symbol == name) and (not kind or line.kind == kind) and start <= ms(line.ts_ns) <= end
    ]
    chosen = found[(page - 1) * limit : page * limit] if start else found[-limit:]
    return [api.wire.income(line) for line in chosen]


@routes.add("POST", "/fapi/v1/listenKey", security="KEY")
def start_listen_key(api: Api, params: Params) -> Any:
    """A key for the user stream."""
    return {"listenKey": api.start_listen_key()}


@routes.add("PUT", "/fapi/v1/listenKey", security="KEY")
def keep_listen_key(api: Api, params: Params) -> Any:
    """Keep it for another 60 minutes; -1125 when there is none."""
    if not any(expires > api.wall_ms() for expires in api.listen_keys.values()):
        raise VenueApiError(-1125)
    return {"listenKey": api.start_listen_key()}


@routes.add("DELETE", "/fapi/v1/listenKey", security="KEY")
def end_listen_key(api: Api, params: Params) -> Any:
    """End the user stream."""
    for key in tuple(api.listen_keys):
        api.end_listen_key(key)
    return {}


@routes.add("GET", "/fapi/v1/apiTradingStatus", security="SIGNED")
def trading_status(api: Api, params: Params) -> Any:
    """Quantitative trading rules: never breached here."""
    return {"indicators": {}, "updateTime": api.server_ms()}


@routes.add("GET", "/fapi/v1/rateLimit/order", "/fapi/v1/orderRateLimit", security="SIGNED")
def order_rate_limit(api: Api, params: Params) -> Any:
    """Order limits."""
    return [row for row in api.limits.described() if row["rateLimitType"] == "ORDERS"]


@routes.add("GET", "/fapi/v1/adlQuantile", security="SIGNED", weight=5)
def adl_quantile(api: Api, params: Params) -> Any:
    """Place in the deleveraging queue by symbol; a list even for one."""
    rows, _ = symbol_rows(api, params)
    return [
        {"symbol": api.exchange.symbols[index],
         "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": int(api.exchange.account.holding(index).qty != 0.0)}}
        for index in rows
    ]


@routes.add("GET", "/fapi/v1/feeBurn", security="SIGNED", weight=30)
def fee_burn(api: Api, params: Params) -> Any:
    """Whether BNB pays fees while there is some."""
    return {"feeBurn": api.exchange.account.coin.burn}


@routes.add("POST", "/fapi/v1/feeBurn", security="SIGNED")
def set_fee_burn(api: Api, params: Params) -> Any:
    """Switch it."""
    api.exchange.account.coin.burn = flag(params, "feeBurn")
    return OK


@routes.add("GET", "/sapi/v1/capital/config/getall", security="SIGNED", weight=10)
def capital_config(api: Api, params: Params) -> Any:
    """One coin, without withdrawals."""
    return [{
        "coin": "USDT", "depositAllEnable": False, "withdrawAllEnable": False, "name": "TetherUS", "free": "0",
        "locked": "0", "freeze": "0", "withdrawing": "0", "ipoing": "0", "ipoable": "0", "storage": "0",
        "isLegalMoney": False, "trading": True, "networkList": [],
    }]


@routes.add(
    "GET", "/sapi/v1/margin/allPairs", "/sapi/v1/margin/isolated/allPairs", "/sapi/v1/margin/allAssets", security="KEY"
)
def no_pairs(api: Api, params: Params) -> Any:
    """There is no margin trading here."""
    return []


@routes.add("GET", "/sapi/v1/account/apiRestrictions", security="SIGNED")
def restrictions(api: Api, params: Params) -> Any:
    """The permissions of the caller's key."""
    key = api.caller
    return {
        "ipRestrict": False, "createTime": 1_600_000_000_000, "enableReading": True,
        "enableWithdrawals": bool(key and key.withdrawals), "enableInternalTransfer": False, "enableMargin": False,
        "enableFutures": bool(key and key.trading), "permitsUniversalTransfer": False, "enableVanillaOptions": False,
        "enableFixApiTrade": False, "enableFixReadOnly": False, "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
    }
