"""Public endpoints: time, filters, prices, bars, book, funding."""

from __future__ import annotations

from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MS
from quantum_trader.market.intervals import INTERVALS
from quantum_trader.venues.local.api import Api, Routes
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.params import Params, text, whole
from quantum_trader.venues.local.wire import ms

routes: Final = Routes()
LENGTHS: Final = INTERVALS | {"3d": 3 * NS_PER_DAY, "1w": 7 * NS_PER_DAY, "1M": 30 * NS_PER_DAY}
_DEPTHS: Final = (5, 10, 20, 50, 100, 500, 1000)
_FOREVER: Final = 2**62


def symbol_rows(api: Api, params: Params) -> tuple[list[int], bool]:
    """Return the requested rows, and whether one symbol was named."""
    name = text(params, "symbol", "")
    if name:
        return [api.exchange.row_of(name)], True
    return list(range(len(api.exchange.symbols))), False


def priced_rows(api: Api, params: Params) -> tuple[list[int], bool]:
    """Return the requested rows that have a price; -1122 where the one that is named has none yet."""
    rows, one = symbol_rows(api, params)
    found = [index for index in rows if api.exchange.last[index] > 0.0]
    if one and not found:
        raise VenueApiError(-1122)
    return found, one


def one_priced_row(api: Api, params: Params) -> int:
    """Return the row of the symbol that must be named; -1122 where it has no price yet."""
    text(params, "symbol")
    return priced_rows(api, params)[0][0]


def one_or_all(rows: list[Any], one: bool) -> Any:
    """A single object when one symbol was named."""
    return rows[0] if one else rows


@routes.add("GET", "/fapi/v1/ping", "/api/v3/ping", "/dapi/v1/ping")
def ping(api: Api, params: Params) -> Any:
    """An empty answer."""
    return {}


@routes.add("GET", "/fapi/v1/time", "/api/v3/time", "/dapi/v1/time")
def server_time(api: Api, params: Params) -> Any:
    """The clock that signed requests are measured against."""
    return {"serverTime": api.server_ms()}


@routes.add("GET", "/fapi/v1/exchangeInfo")
def exchange_info(api: Api, params: Params) -> Any:
    """Symbols with their filters."""
    return api.wire.exchange_info(api.server_ms(), api.limits.described())


@routes.add("GET", "/api/v3/exchangeInfo", "/dapi/v1/exchangeInfo")
def no_symbols(api: Api, params: Params) -> Any:
    """The other markets of the venue are empty."""
    return {"timezone": "UTC", "serverTime": api.server_ms(), "rateLimits": [], "exchangeFilters": [], "symbols": []}


def _span(params: Params) -> tuple[int, int]:
    start, end = whole(params, "startTime", 0), whole(params, "endTime", _FOREVER // NS_PER_MS)
    if start and end < start:
        raise VenueApiError(-1023, message="Start time is greater than end time.")
    return start * NS_PER_MS, end * NS_PER_MS


def _interval(api: Api, params: Params) -> int:
    length = LENGTHS.get(text(params, "interval"))
    if length is None or not api.exchange.tape.can_make(length):
        raise VenueApiError(-1120)  # unknown, or one that cannot be made of the bars there are
    return length


def _klines(api: Api, params: Params, name: str) -> list[list[Any]]:
    index = api.exchange.row_of(text(params, name).upper())
    length, limit = _interval(api, params), whole(params, "limit", 500, low=1, high=1500)
    start, end = _span(params)
    bars = api.exchange.tape.bars(index, length, start, end, api.exchange.now_ns, limit)
    return [api.wire.kline(index, bar, length) for bar in bars.tolist()]


@routes.add("GET", "/fapi/v1/klines", weight=5)
def symbol_klines(api: Api, params: Params) -> Any:
    """Bars, the running one included."""
    return _klines(api, params, "symbol")


@routes.add("GET", "/fapi/v1/continuousKlines", "/fapi/v1/indexPriceKlines", weight=5)
def pair_klines(api: Api, params: Params) -> Any:
    """The same bars by pair."""
    return _klines(api, params, "pair")


@routes.add("GET", "/fapi/v1/markPriceKlines", weight=5)
def mark_klines(api: Api, params: Params) -> Any:
    """Bars of the mark, which is the last price here; volumes are 0."""
    return [[*row[:5], "0", row[6], "0", row[8], "0", "0", "0"] for row in _klines(api, params, "symbol")]


@routes.add("GET", "/fapi/v1/premiumIndexKlines", weight=5)
def premium_klines(api: Api, params: Params) -> Any:
    """Bars of the premium, which is 0 here."""
    flat = "0.00000000"
    return [
        [row[0], flat, flat, flat, flat, "0", row[6], "0", row[8], "0", "0", "0"]
        for row in _klines(api, params, "symbol")
    ]


@routes.add("GET", "/fapi/v1/depth", "/fapi/v1/rpiDepth", weight=5)
def depth(api: Api, params: Params) -> Any:
    """The book: recorded where there is one, else a ladder around the quote."""
    index, limit = one_priced_row(api, params), whole(params, "limit", 500, low=1)
    if limit not in _DEPTHS:
        raise VenueApiError(-4021, message=f"{limit} is not valid depth limit.")
    api.exchange.source.touch()
    bids, asks = api.wire.ladder(index, limit)
    now = ms(api.exchange.now_ns)
    return {"lastUpdateId": api.wire.book_id(index), "E": now, "T": now, "bids": bids, "asks": asks}


@routes.add("GET", "/fapi/v1/trades", "/fapi/v1/historicalTrades", weight=5)
def trades(api: Api, params: Params) -> Any:
    """Market trades: one for the current price."""
    index = one_priced_row(api, params)
    form, price = api.wire.formats[index], float(api.exchange.last[index])
    qty = api.exchange.instruments[index].step_size
    return [{
        "id": max(1, api.exchange.update_id), "price": form.price(price), "qty": form.qty(qty),
        "quoteQty": form.price(price * qty), "time": ms(api.exchange.now_ns), "isBuyerMaker": False,
        "isRPITrade": False,
    }]


@routes.add("GET", "/fapi/v1/aggTrades", weight=20)
def agg_trades(api: Api, params: Params) -> Any:
    """The same, aggregated."""
    (row,) = trades(api, params)
    return [{"a": row["id"], "p": row["price"], "q": row["qty"], "nq": row["qty"], "f": row["id"], "l": row["id"],
             "T": row["time"], "m": False}]


@routes.add("GET", "/fapi/v1/ticker/24hr", weight=1)
def day_ticker(api: Api, params: Params) -> Any:
    """Figures of the last 24 hours."""
    rows, one = priced_rows(api, params)
    return one_or_all([api.wire.day_ticker(index) for index in rows], one)


@routes.add("GET", "/fapi/v1/ticker/price", "/fapi/v2/ticker/price")
def price_ticker(api: Api, params: Params) -> Any:
    """Last prices."""
    rows, one = priced_rows(api, params)
    exchange, now = api.exchange, ms(api.exchange.now_ns)
    return one_or_all([
        {"symbol": exchange.symbols[index], "price": api.wire.formats[index].price(float(exchange.last[index])),
         "time": now}
        for index in rows
    ], one)


@routes.add("GET", "/fapi/v1/ticker/bookTicker", weight=2)
def book_ticker(api: Api, params: Params) -> Any:
    """Best bids and asks."""
    rows, one = priced_rows(api, params)
    return one_or_all([api.wire.book_ticker(index) for index in rows], one)


@routes.add("GET", "/fapi/v1/premiumIndex")
def premium_index(api: Api, params: Params) -> Any:
    """Mark price and funding."""
    rows, one = priced_rows(api, params)
    return one_or_all([api.wire.premium(index) for index in rows], one)


@routes.add("GET", "/fapi/v1/fundingRate")
def funding_rate(api: Api, params: Params) -> Any:
    """Paid funding rates, oldest first."""
    rows, _ = symbol_rows(api, params)
    exchange, limit = api.exchange, whole(params, "limit", 100, low=1, high=1000)
    start, end = _span(params)
    first = int(exchange.tape.ts_ns[0]) if len(exchange.tape) else exchange.now_ns
    since = max(start, first, 0 if start else exchange.now_ns - 400 * NS_PER_DAY)
    found = [
        (moment, index, rate) for index in rows
        for moment, rate in exchange.funding_paid(index, since, min(end, exchange.now_ns))
    ]
    found.sort(key=lambda paid: paid[0])
    return [
        {"symbol": exchange.symbols[index], "fundingTime": ms(moment), "fundingRate": f"{rate:.8f}",
         "markPrice": api.wire.formats[index].price(exchange.tape.last_price(index, moment))}
        for moment, index, rate in (found[:limit] if start else found[-limit:])
    ]


@routes.add("GET", "/fapi/v1/fundingInfo", weight=0)
def funding_info(api: Api, params: Params) -> Any:
    """Funding intervals and caps."""
    return [api.wire.funding_info(index) for index in range(len(api.exchange.symbols))]


@routes.add("GET", "/fapi/v1/openInterest")
def open_interest(api: Api, params: Params) -> Any:
    """Not recorded: 0."""
    name = text(params, "symbol")
    api.exchange.row_of(name)
    return {"symbol": name, "openInterest": "0.000", "time": ms(api.exchange.now_ns)}


@routes.add("GET", "/sapi/v1/system/status")
def system_status(api: Api, params: Params) -> Any:
    """Up."""
    return {"status": 0, "msg": "normal"}
