"""Past bars, fills, funding and transfers, read over as many pages as needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MS
from quantum_trader.domain.errors import VenueUnavailable
from quantum_trader.domain.trading import Fill, FundingPayment
from quantum_trader.engine.venue_port import FundingRate, Kline, Transfer
from quantum_trader.market.intervals import interval_name
from quantum_trader.venues.binance import errors, parse, wire
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.limits import Priority
from quantum_trader.venues.binance.orders import OrderDirectory
from quantum_trader.venues.binance.rest import PRIVATE, PUBLIC, Rest, decoded
from quantum_trader.venues.binance.rows import readable_rows

BARS_PER_PAGE: Final = 1500
ROWS_PER_PAGE: Final = 1000
_WINDOW_MS: Final = 7 * NS_PER_DAY // NS_PER_MS
_KEPT_MS: Final = 90 * NS_PER_DAY // NS_PER_MS
_RATES_KEPT: Final = 4096  # cached funding rates of past payments
_PATIENCE_S: Final = 65.0  # longest wait of a page for the next minute's request weights, s
_WEIGHTS: Final = ((99, 1), (499, 2), (1000, 5), (BARS_PER_PAGE, 10))  # of /klines by its limit
_HEAVY: Final = {"userTrades": 5, "income": 30, "allAlgoOrders": 5, "fundingRate": 1}

_klines = wire.decoder(list[wire.KlineRow]).decode
_trades = readable_rows(wire.TradeAnswer)
_income = readable_rows(wire.IncomeAnswer)
_rates = readable_rows(wire.FundingRateAnswer)
_algos = readable_rows(wire.AlgoAnswer)
_order = wire.decoder(wire.OrderAnswer).decode


async def _page(
    rest: Rest, group: str, path: str, decode: Callable[[bytes], wire.T], fields: Mapping[str, object], weight: int
) -> wire.T:
    """Read one page, waiting for the next minute where this minute's request weights are used up."""
    wait_s = rest.budget.wait_s(Priority.QUERY, weight)
    if 0.0 < wait_s <= _PATIENCE_S and not rest.budget.rate_limited:
        await asyncio.sleep(wait_s)
    return await rest.read(group, path, decode, fields, weight=weight)


async def klines(rest: Rest, symbol: str, interval_ns: int, start_ns: int, end_ns: int, now_ns: int) -> list[Kline]:
    """The bars of *symbol* that open in [start, end) and were completed at *now_ns*, oldest first."""
    interval = interval_name(interval_ns)
    bars: list[Kline] = []
    last_ns = min(end_ns, now_ns - interval_ns + 1)  # a bar is complete once its last moment is past
    while start_ns < last_ns:
        limit = max(1, min(BARS_PER_PAGE, -(-(last_ns - start_ns) // interval_ns)))
        fields = {
            "symbol": symbol, "interval": interval, "startTime": -(-start_ns // NS_PER_MS),
            "endTime": (last_ns - 1) // NS_PER_MS, "limit": limit,
        }
        weight = next(cost for most, cost in _WEIGHTS if limit <= most)
        rows = await _page(rest, PUBLIC, "klines", _klines, fields, weight)
        page = [parse.kline(symbol, interval_ns, row) for row in rows]
        page = [bar for bar in page if start_ns <= bar.ts_ns < last_ns]
        if not page:
            break
        bars += page
        start_ns = page[-1].ts_ns + interval_ns
        if len(rows) < limit:
            break
    return bars


async def fills(
    rest: Rest, directory: OrderDirectory, symbol: str, since_ns: int, now_ns: int,
    fee: Callable[[str, str, float, float], Awaitable[float]],
) -> list[Fill]:
    """The account's executions of *symbol* since *since_ns*, oldest first, each with the client id of its order."""
    trades = await _trades_since(rest, symbol, since_ns // NS_PER_MS, now_ns // NS_PER_MS)
    unknown = {trade.order_id for trade in trades if directory.client_id_of(trade.order_id) is None}
    if unknown:
        await _name_orders(rest, directory, symbol, unknown, min(trade.time for trade in trades))
    found: list[Fill] = []
    for trade in trades:
        owner = directory.client_id_of(trade.order_id) or f"order-{trade.order_id}"
        paid = await fee(symbol, trade.commission_asset, trade.commission, trade.qty * trade.price)
        found.append(parse.fill_of_trade(trade, owner, paid))
    return found


async def _trades_since(rest: Rest, symbol: str, since_ms: int, now_ms: int) -> list[wire.TradeAnswer]:
    """Rows of userTrades: windows of seven days, in each of them pages of a thousand.

    The venue keeps three months (change log of 2026-08); a shorter recorded history is read by trade ids alone.
    """
    seen: dict[int, wire.TradeAnswer] = {}
    by_id = rest.endpoint.recorded and now_ms - since_ms > _WINDOW_MS
    start = max(since_ms, 0 if by_id else now_ms - _KEPT_MS)
    while True:
        end = now_ms if by_id else start + _WINDOW_MS - 1
        fields: dict[str, object] = {"symbol": symbol, "limit": ROWS_PER_PAGE}
        fields |= {"fromId": 0} if by_id else {"startTime": start, "endTime": end}
        while True:
            rows = await _page(rest, PRIVATE, "userTrades", _trades, fields, _HEAVY["userTrades"])
            fresh = [row for row in rows if row.id not in seen]
            seen.update((row.id, row) for row in fresh)
            if rows.told < ROWS_PER_PAGE or not fresh or rows[-1].time > end:
                break
            fields = {"symbol": symbol, "fromId": rows[-1].id + 1, "limit": ROWS_PER_PAGE}
        start = end + 1
        if start > now_ms:
            break
    return sorted((row for row in seen.values() if row.time >= since_ms), key=lambda row: (row.time, row.id))


async def _name_orders(
    rest: Rest, directory: OrderDirectory, symbol: str, unknown: set[int], since_ms: int
) -> None:
    """Read the client ids of the orders: first the conditional orders, then each of the others."""
    await read_algos(rest, directory, symbol, since_ms - _WINDOW_MS // 2)
    for order_id in sorted(unknown):
        if directory.client_id_of(order_id) is None:
            answer = await rest.ask("GET", PRIVATE, "order", {"symbol": symbol, "orderId": order_id})
            if isinstance(answer, VenueRefusal):
                if answer.code != errors.NO_SUCH_ORDER:
                    raise VenueUnavailable(f"GET order {order_id}: {answer.reason}")
                continue
            directory.add_order(order_id, decoded(answer, _order, "GET order").client_order_id)


async def read_algos(rest: Rest, directory: OrderDirectory, symbol: str, since_ms: int) -> None:
    """Read which orders of *symbol* were conditional orders; at most a week back from now."""
    earliest = rest.clock.stamp_ms() - _WINDOW_MS + 60_000
    fields: dict[str, object] = {"symbol": symbol, "limit": ROWS_PER_PAGE}
    if not rest.endpoint.recorded:
        fields["startTime"] = max(since_ms, earliest)
    for algo in await _page(rest, PRIVATE, "allAlgoOrders", _algos, fields, _HEAVY["allAlgoOrders"]):
        directory.add_algo(algo.client_algo_id, algo.symbol, algo.actual_order_id)
        if algo.algo_status in parse.ALGO_ENDED:
            directory.end(algo.client_algo_id)


async def transfers(rest: Rest, since_ns: int) -> list[Transfer]:
    """Transfers since *since_ns*, oldest first: read from all income rows, trading results left out."""
    start = max(1, -(-since_ns // NS_PER_MS))
    rows: dict[tuple[str, int, int], wire.IncomeAnswer] = {}
    while True:
        fields = {"startTime": start, "limit": ROWS_PER_PAGE}
        page = await _page(rest, PRIVATE, "income", _income, fields, _HEAVY["income"])
        rows.update(((row.income_type, row.tran_id, row.time), row) for row in page)
        if page.told < ROWS_PER_PAGE or not page or page[-1].time <= start:
            break
        start = page[-1].time
    moved = [parse.transfer_of_income(row) for row in sorted(rows.values(), key=lambda row: row.time)]
    return [one for one in moved if one is not None]


async def funding(rest: Rest, since_ns: int, symbols: frozenset[str]) -> list[FundingPayment]:
    """Funding of *symbols* since *since_ns*, oldest first, with the rates that made it."""
    start = -(-since_ns // NS_PER_MS)
    rows: dict[tuple[str, int], wire.IncomeAnswer] = {}
    while True:
        fields = {"incomeType": "FUNDING_FEE", "startTime": start, "limit": ROWS_PER_PAGE}
        page = await _page(rest, PRIVATE, "income", _income, fields, _HEAVY["income"])
        rows.update(((row.symbol, row.time), row) for row in page if row.income_type == "FUNDING_FEE")
        if page.told < ROWS_PER_PAGE or not page or page[-1].time <= start:
            break
        start = page[-1].time
    paid = sorted((row for row in rows.values() if row.symbol in symbols), key=lambda row: (row.time, row.symbol))
    rates = await _paid_rates(rest, {(row.symbol, parse.funding_hour(row.time)) for row in paid})
    found: list[FundingPayment] = []
    for row in paid:
        rate = rates.get((row.symbol, parse.funding_hour(row.time)))
        found.append(parse.funding_of_income(row, () if rate is None else (rate,)))
    return found


async def funding_rates(rest: Rest, symbol: str, start_ns: int, end_ns: int) -> list[FundingRate]:
    """The funding rates of *symbol* charged in [start, end), oldest first."""
    start, last = -(-start_ns // NS_PER_MS), (end_ns - 1) // NS_PER_MS
    found: dict[int, FundingRate] = {}
    while start <= last:
        fields = {"symbol": symbol, "startTime": start, "endTime": last, "limit": ROWS_PER_PAGE}
        page = await _page(rest, PUBLIC, "fundingRate", _rates, fields, _HEAVY["fundingRate"])
        for row in page:
            if row.symbol == symbol and start <= row.funding_time <= last:
                ts_ns = row.funding_time * NS_PER_MS
                found[ts_ns] = FundingRate(symbol=symbol, ts_ns=ts_ns, rate=row.funding_rate)
        if page.told < ROWS_PER_PAGE or not page or page[-1].funding_time < start:
            break
        start = page[-1].funding_time + 1
    return [found[ts_ns] for ts_ns in sorted(found)]


async def _paid_rates(rest: Rest, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], wire.FundingRateAnswer]:
    """The rates of *wanted* (symbol, funding time), as far as the venue lists them; listed rates are cached."""
    known = {key: rest.paid_rates[key] for key in wanted if key in rest.paid_rates}
    missing = wanted - known.keys()
    for symbol in sorted({symbol for symbol, _ in missing}):
        first_ns = min(due_ns for name, due_ns in missing if name == symbol)
        about = {"symbol": symbol, "startTime": first_ns // NS_PER_MS, "limit": ROWS_PER_PAGE}
        for rate in await _page(rest, PUBLIC, "fundingRate", _rates, about, _HEAVY["fundingRate"]):
            key = (rate.symbol, parse.funding_hour(rate.funding_time))
            if key in missing:
                known[key] = rest.paid_rates[key] = rate
    for key in list(rest.paid_rates)[: max(0, len(rest.paid_rates) - _RATES_KEPT)]:
        del rest.paid_rates[key]
    return known
