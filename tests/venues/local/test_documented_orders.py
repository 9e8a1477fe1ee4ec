"""Order parameters and answers as Binance's documentation has them: price match, good till a date, tests, algo orders.

Pages: trade/rest-api/New-Order, New-Order-Test, New-Algo-Order, Query-Algo-Order, Position-Information-V3, and the
error codes.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.venues.local.world import COIN, OTHER, QUIET, START_NS, Client, run, served

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.venues.local.build import scripted_exchange

ORDER = "/fapi/v1/order"
ALGO = "/fapi/v1/algoOrder"
BUY = {"symbol": "AAAUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "timeInForce": "GTC"}
WALL_NS = 1_700_000_000_000_000_000
WALL_MS = WALL_NS // 1_000_000
STOP = {"algoType": "CONDITIONAL", "symbol": "AAAUSDT", "side": "SELL", "quantity": "1"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (BUY | {"priceMatch": "QUEUE", "price": "90"}, -1106), (BUY | {"priceMatch": "BEST"}, -5037),
        (BUY | {"type": "MARKET", "priceMatch": "QUEUE"}, -5038), (BUY, -1102), (BUY | {"priceMatch": "NONE"}, -1102),
    ],
)
def test_a_price_match_stands_in_for_the_price(params: dict[str, str], code: int) -> None:
    """Never beside one, only where there is a limit, and one of the documented kinds."""

    async def scenario() -> int:
        async with served() as (venue, client):
            return await client.refused("POST", ORDER, **params)

    assert run(scenario) == code


def test_a_price_match_takes_the_price_from_the_book() -> None:
    """QUEUE is the own side's best, OPPONENT the other's, _5 its fifth level; the answer names the match."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            found = []
            for match in ("QUEUE", "QUEUE_5", "OPPONENT", "OPPONENT_5"):
                order = await client.ok("POST", ORDER, **BUY, priceMatch=match, newOrderRespType="RESULT")
                found.append((order["priceMatch"], order["price"], order["status"]))
            return found

    assert run(scenario) == [
        ("QUEUE", "99.990", "NEW"), ("QUEUE_5", "99.950", "NEW"), ("OPPONENT", "100.010", "FILLED"),
        ("OPPONENT_5", "100.050", "FILLED"),
    ]


def test_an_amended_order_may_match_the_price_too() -> None:
    """Modify-Order: a price or priceMatch, not both."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            order = await client.ok("POST", ORDER, **BUY, price="90")
            change = {"symbol": "AAAUSDT", "side": "BUY", "quantity": "1", "orderId": order["orderId"]}
            both = await client.refused("PUT", ORDER, **change, priceMatch="QUEUE", price="91")
            return both, (await client.ok("PUT", ORDER, **change, priceMatch="QUEUE"))["price"]

    assert run(scenario) == (-1106, "99.990")


def test_a_triggered_stop_matches_the_price_of_that_moment() -> None:
    """A STOP with priceMatch has no price until it triggers."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            await client.ok("POST", ALGO, **STOP, type="STOP", triggerPrice="97", priceMatch="OPPONENT",
                            timeInForce="GTC")
            venue.bar("AAAUSDT", 100.0, 100.0, 96.0, 96.0)
            (row,) = await client.ok("GET", "/fapi/v1/allAlgoOrders", symbol="AAAUSDT")
            order = await client.ok("GET", ORDER, symbol="AAAUSDT", orderId=row["actualOrderId"])
            return row["algoStatus"], order["status"], order["price"]

    assert run(scenario) == ("FINISHED", "FILLED", "96.990")


@pytest.mark.parametrize(
    ("date", "code"), [(None, -1102), (WALL_MS + 600_000, -5040), (253_402_300_799_000, -5040), (WALL_MS + 601_000, 0)]
)
@pytest.mark.parametrize("algo", [True, False])
def test_good_till_a_date_needs_one_ten_minutes_away(date: int | None, code: int, algo: bool) -> None:
    """GTD without goodTillDate is refused, and so is a date that is too near or too far."""
    fields = STOP | {"type": "STOP", "triggerPrice": "90", "price": "90"} if algo else BUY | {"price": "90"}
    fields |= {"timeInForce": "GTD"} | ({} if date is None else {"goodTillDate": str(date)})

    async def scenario() -> tuple[int, Any]:
        async with served(wall_ns=lambda: WALL_NS) as (venue, client):
            return await client.signed("POST", ALGO if algo else ORDER, timestamp=WALL_MS, **fields)

    _, body = run(scenario)

    assert body.get("code", 0) == code
    if not code:
        assert body["goodTillDate"] == WALL_MS + 601_000


def test_an_order_ends_on_its_date() -> None:
    """Regular and conditional orders EXPIRED, by the clock that goodTillDate is checked against."""
    clock = [WALL_NS]

    async def scenario() -> Any:
        async with served(wall_ns=lambda: clock[0]) as (venue, client):
            end = {"timeInForce": "GTD", "goodTillDate": WALL_MS + 700_000, "timestamp": WALL_MS}
            await client.ok("POST", ORDER, **(BUY | {"price": "90"} | end))
            await client.ok("POST", ALGO, **(STOP | {"type": "STOP", "triggerPrice": "90", "price": "90"} | end))
            found = []
            for seconds in (699, 700):
                clock[0] = WALL_NS + seconds * 1_000_000_000
                venue.flush()
                (order,), (algo,) = venue.exchange.orders.values(), venue.exchange.algos.values()
                found.append((order.status, algo.status))
            return found

    assert run(scenario) == [("NEW", "NEW"), ("EXPIRED", "EXPIRED")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price": "90.005"}, -4014), ({"price": "90", "quantity": "0.0004"}, -1111), ({"price": "120"}, -4016),
        ({"price": "90", "quantity": "0"}, -4003), ({"price": "90", "symbol": "CCCUSDT"}, -1121),
    ],
)
def test_a_test_order_is_checked_as_a_real_one(changes: dict[str, str], code: int) -> None:
    """order/test knows the filters."""

    async def scenario() -> tuple[int, int]:
        async with served() as (venue, client):
            real = await client.refused("POST", ORDER, **(BUY | changes))
            return real, await client.refused("POST", f"{ORDER}/test", **(BUY | changes))

    assert run(scenario) == (code, code)


def test_a_test_order_answers_an_order_and_places_none() -> None:
    """The fields of a new order; nothing is in the book afterwards."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            tested = await client.ok("POST", f"{ORDER}/test", **BUY, price="90", newClientOrderId="try")
            placed = await client.ok("POST", ORDER, **BUY, price="90")
            return tested, placed, len(venue.exchange.orders)

    tested, placed, count = run(scenario)

    assert (tested["clientOrderId"], tested["status"], tested["price"]) == ("try", "NEW", "90.000")
    assert tested.keys() == placed.keys()
    assert count == 1


def test_only_trailing_stops_have_a_callback_rate_in_the_answers_to_questions() -> None:
    """NautilusTrader reads a rate wherever the field is; the documentation has it in the answer to the order alone."""
    asked = {"callbackRate", "activatePrice"}

    async def of(client: Client, **fields: str) -> Any:
        sent = await client.ok("POST", ALGO, **STOP, **fields)
        found = await client.ok("GET", ALGO, algoId=sent["algoId"])
        return {name: sent[name] for name in asked}, {name: found[name] for name in asked & found.keys()}

    async def scenario() -> Any:
        async with served() as (venue, client):
            stop = await of(client, type="STOP_MARKET", triggerPrice="90")
            trailing = await of(client, type="TRAILING_STOP_MARKET", callbackRate="1.5", activatePrice="110")
            waiting = await client.ok("GET", "/fapi/v1/openAlgoOrders")
            every = await client.ok("GET", "/fapi/v1/allAlgoOrders", symbol="AAAUSDT")
            return stop, trailing, [[asked <= row.keys() for row in rows] for rows in (waiting, every)]

    stop, trailing, listed = run(scenario)

    assert stop == ({"callbackRate": "", "activatePrice": ""}, {})
    assert trailing == ({"callbackRate": "1.5", "activatePrice": "110.000"},) * 2
    assert listed == [[False, True]] * 2


def test_a_symbol_with_only_an_open_order_is_in_version_3() -> None:
    """positionRisk and account show it, with the order's notional and margin; version 2 shows every symbol."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            empty = await client.ok("GET", "/fapi/v3/positionRisk")
            await client.ok("POST", ORDER, **BUY, price="90")
            return (
                empty, await client.ok("GET", "/fapi/v3/positionRisk"),
                (await client.ok("GET", "/fapi/v3/account"))["positions"],
                await client.ok("GET", "/fapi/v2/positionRisk"),
            )

    empty, (row,), (position,), every = run(scenario)

    assert empty == []
    assert (row["symbol"], row["positionAmt"], row["bidNotional"], row["askNotional"]) == (
        "AAAUSDT", "0.000", "90.00000000", "0",
    )
    assert (row["openOrderInitialMargin"], row["positionInitialMargin"], row["initialMargin"]) == (
        "18.00000000", "0.00000000", "18.00000000",
    )
    assert position["symbol"] == "AAAUSDT"
    assert len(every) == 2


def test_whether_bnb_pays_fees_is_told_in_one_way() -> None:
    """feeBurn and version 2 of the account agree before and after it was switched; accountConfig has no such field."""

    async def told(client: Client) -> set[bool]:
        assert "feeBurn" not in await client.ok("GET", "/fapi/v1/accountConfig")
        return {(await client.ok("GET", path))["feeBurn"] for path in ("/fapi/v1/feeBurn", "/fapi/v2/account")}

    async def scenario() -> Any:
        async with served() as (venue, client):
            before = await told(client)
            switched = await client.ok("POST", "/fapi/v1/feeBurn", feeBurn="true")
            return before, switched, await told(client)

    assert run(scenario) == ({False}, {"code": 200, "msg": "success"}, {True})


def test_quote_volume_is_what_was_paid() -> None:
    """Each bar's volume at its own prices, of the day and of bars; their mean price follows."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            venue.bar("AAAUSDT", 100.0, 100.0, 100.0, 100.0, 1_000.0)
            venue.bar("AAAUSDT", 100.0, 200.0, 100.0, 200.0, 3_000.0)
            day = (await client.ask("GET", "/fapi/v1/ticker/24hr", symbol="AAAUSDT"))[1]
            bars = (await client.ask("GET", "/fapi/v1/klines", symbol="AAAUSDT", interval="1h", limit=5))[1]
            return day, bars

    day, bars = run(scenario)

    assert [float(bar[7]) for bar in bars] == [100_000.0] * 4 + [450_000.0]
    assert float(day["quoteVolume"]) == sum(float(bar[7]) for bar in bars) == 850_000.0
    assert float(day["volume"]) == 7_000.0
    assert float(day["weightedAvgPrice"]) == pytest.approx(850_000.0 / 7_000.0, abs=0.001)


def test_the_day_counts_only_what_was_traded() -> None:
    """Of the running bar half the volume and no later price at half its time."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            exchange = venue.exchange
            ohlcv, present = exchange.tape.ohlcv[-1].copy(), exchange.tape.present[-1].copy()
            ohlcv[0] = (100.0, 180.0, 100.0, 180.0, 600.0)
            exchange.tape.append(exchange.tape.end_ns, ohlcv, present)
            venue.advance(NS_PER_HOUR // 6)
            return (await client.ask("GET", "/fapi/v1/ticker/24hr", symbol="AAAUSDT"))[1]

    day = run(scenario)

    assert float(day["volume"]) == pytest.approx(3_000.0 + 100.0)
    assert float(day["highPrice"]) <= 100.0


def test_a_symbol_without_a_price_is_pending() -> None:
    """PENDING_TRADING, left out where all are asked for, -1122 alone and for orders; TRADING from its first bar on."""
    single = ("ticker/price", "ticker/bookTicker", "ticker/24hr", "premiumIndex", "depth", "trades", "aggTrades")

    async def scenario() -> Any:
        market = scripted_exchange(
            [COIN, OTHER], {"BBBUSDT": 50.0}, interval_ns=NS_PER_HOUR, settings=QUIET, start_ns=START_NS, history=3
        )
        async with served(market) as (venue, client):
            async def status() -> list[str]:
                return [row["status"] for row in (await client.ask("GET", "/fapi/v1/exchangeInfo"))[1]["symbols"]]

            before = await status()
            codes = {(await client.ask("GET", f"/fapi/v1/{path}", symbol="AAAUSDT"))[1]["code"] for path in single}
            codes.add(await client.refused("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1"))
            every = [(await client.ask("GET", f"/fapi/v1/{path}"))[1] for path in single[:4]]
            venue.show({"AAAUSDT": 100.0})
            return before, codes, [[row["symbol"] for row in rows] for rows in every], await status()

    before, codes, listed, after = run(scenario)

    assert (before, after) == (["PENDING_TRADING", "TRADING"], ["TRADING", "TRADING"])
    assert codes == {-1122}
    assert listed == [["BBBUSDT"]] * 4


def test_a_halted_symbol_has_a_status_that_futures_have() -> None:
    """TRADING_HALT; BREAK is a status of spot."""

    async def scenario() -> str:
        async with served() as (venue, client):
            venue.exchange.incidents.halt("AAAUSDT")
            return str((await client.ask("GET", "/fapi/v1/exchangeInfo"))[1]["symbols"][0]["status"])

    assert run(scenario) == "TRADING_HALT"


def test_what_is_not_there_says_so() -> None:
    """A documented code, and which request it was: over HTTP and on the socket of the WebSocket API."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            status, body, _ = await client.ask("GET", "/fapi/v1/lvtKlines", symbol="AAAUSDT")
            async with client.http.ws_connect(f"{venue.ws_url}/ws-fapi/v1") as ws:
                await ws.send_json({"id": "1", "method": "order.cancelAll", "params": {}})
                answer = await ws.receive_json()
            return status, body, answer["error"]

    status, body, error = run(scenario)

    assert (status, body["code"], error["code"]) == (404, -1020, -1020)
    assert body["msg"] == "This operation is not supported. The local venue has no GET /fapi/v1/lvtKlines."
    assert "no method 'order.cancelAll'" in error["msg"]
