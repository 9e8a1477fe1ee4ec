"""The REST road: who may ask, what is answered, and in which words it is refused."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.venues.local.world import Client, exchange, run, served, signature

from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.local.limits import LimitSettings
from quantum_trader.venues.local.server import ENDPOINTS, LocalVenue, ServerSettings, new_key
from quantum_trader.venues.local.signing import ApiKey

ORDER = "/fapi/v1/order"


def now_ms() -> int:
    """The wall's milliseconds."""
    return time.time_ns() // 1_000_000


async def raw(client: Client, method: str, path: str, query: str, body: str = "", key: str | None = None) -> Any:
    """Send exactly this; return (status, JSON)."""
    headers = {"X-MBX-APIKEY": client.key.key if key is None else key}
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    async with client.http.request(method, f"{client.venue.url}{path}?{query}", data=body, headers=headers) as answer:
        return answer.status, await answer.json()


def test_signed_requests_are_checked_in_every_respect() -> None:
    """No key -2014, a stranger's -2015, no signature -1102, a wrong one -1022, late or early -1021."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            path, good = "/fapi/v2/balance", f"timestamp={now_ms()}"
            late, early = f"timestamp={now_ms() - 6_000}", f"timestamp={now_ms() + 2_000}"
            secret = client.key.secret
            answers = [
                await raw(client, "GET", path, good, key=""),
                await raw(client, "GET", path, good, key="x" * 64),
                await raw(client, "GET", path, good),
                await raw(client, "GET", path, f"{good}&signature={signature('other', good)}"),
                await raw(client, "GET", path, f"{late}&signature={signature(secret, late)}"),
                await raw(client, "GET", path, f"{early}&signature={signature(secret, early)}"),
                await raw(client, "GET", path, f"recvWindow=1&signature={signature(secret, 'recvWindow=1')}"),
                await raw(client, "GET", path, f"{good}&signature={signature(secret, good)}"),
            ]
            return [(status, body["code"] if isinstance(body, dict) else "ok") for status, body in answers]

    assert run(scenario) == [
        (401, -2014), (401, -2015), (400, -1102), (400, -1022), (400, -1021), (400, -1021), (400, -1102), (200, "ok"),
    ]


def test_the_signature_covers_the_exact_query_and_body() -> None:
    """Parameters in the body, in the query, or in both: signed as they are sent, the query first."""

    async def scenario() -> list[int]:
        async with served() as (venue, client):
            order = {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
            stamp, secret = f"timestamp={now_ms()}", client.key.secret
            body = f"{urlencode(order)}&{stamp}"
            in_body = await raw(client, "POST", ORDER, "", f"{body}&signature={signature(secret, body)}")
            mixed = await raw(
                client, "POST", ORDER, urlencode(order),
                f"{stamp}&signature={signature(secret, urlencode(order) + stamp)}",
            )
            wrong = await raw(client, "POST", ORDER, urlencode(order),
                              f"{stamp}&signature={signature(secret, stamp + urlencode(order))}")
            return [in_body[0], mixed[0], wrong[1]["code"]]

    assert run(scenario) == [200, 200, -1022]


def test_a_longer_window_lets_an_older_request_in() -> None:
    """recvWindow 10000 accepts what is six seconds old; above a minute is refused."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            old = now_ms() - 6_000
            return [
                (await client.signed("GET", "/fapi/v2/balance", timestamp=old, recvWindow=10_000))[0],
                await client.refused("GET", "/fapi/v2/balance", recvWindow=70_000),
            ]

    assert run(scenario) == [200, -1131]


def test_acknowledgement_and_result() -> None:
    """ACK contains NEW and nothing of the fill; RESULT contains it, and so does a later query."""

    async def scenario() -> list[Any]:
        async with served() as (venue, client):
            order = {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
            ack = await client.ok("POST", ORDER, **order, newClientOrderId="first")
            result = await client.ok("POST", ORDER, **order, newOrderRespType="RESULT")
            asked = await client.ok("GET", ORDER, symbol="AAAUSDT", origClientOrderId="first")
            return [ack["status"], ack["executedQty"], result["status"], result["avgPrice"], asked["status"]]

    assert run(scenario) == ["NEW", "0.000", "FILLED", "100.010", "FILLED"]


@pytest.mark.parametrize(
    ("method", "path", "params", "code"),
    [
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": "95"}, -4120),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET"}, -1102),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "99"}, -1102),
        ("POST", ORDER, {"symbol": "NOUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}, -1121),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "UP", "type": "MARKET", "quantity": "1"}, -1117),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "one"}, -1100),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "nan"}, -1100),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1",
                         "newClientOrderId": "no spaces here"}, -1100),
        ("POST", ORDER, {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1",
                         "positionSide": "LONG"}, -4061),
        ("GET", ORDER, {"symbol": "AAAUSDT", "origClientOrderId": "nobody"}, -2013),
        ("GET", ORDER, {"symbol": "AAAUSDT"}, -1102),
        ("DELETE", ORDER, {"symbol": "AAAUSDT", "orderId": "1"}, -2011),
        ("GET", "/fapi/v1/algoOrder", {"clientAlgoId": "nobody"}, -2013),
        ("DELETE", "/fapi/v1/algoOrder", {"algoId": "1"}, -2011),
        ("POST", "/fapi/v1/leverage", {"symbol": "AAAUSDT", "leverage": "21"}, -4028),
        ("POST", "/fapi/v1/marginType", {"symbol": "AAAUSDT", "marginType": "CROSSED"}, -4046),
        ("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("POST", "/fapi/v1/multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
        ("PUT", "/fapi/v1/listenKey", {}, -1125),
        ("GET", "/fapi/v1/nonsense", {}, -1020),
        ("GET", "/fapi/v1/klines", {"symbol": "AAAUSDT", "interval": "7h"}, -1120),
        ("GET", "/fapi/v1/depth", {"symbol": "AAAUSDT", "limit": "7"}, -4021),
    ],
)
def test_requests_are_refused_in_the_venues_codes(method: str, path: str, params: dict[str, str], code: int) -> None:
    """Each breach has its own code."""

    async def scenario() -> int:
        async with served() as (venue, client):
            return await client.refused(method, path, **params)

    assert run(scenario) == code


def test_every_public_endpoint_answers() -> None:
    """Nothing that needs no key fails on an ordinary question."""
    extra: dict[str, Any] = {"interval": "1h", "symbol": "AAAUSDT", "pair": "AAAUSDT", "limit": 5}

    async def scenario() -> dict[str, int]:
        async with served() as (venue, client):
            return {
                path: (await client.ask("GET", path, **extra))[0]
                for (method, path), endpoint in ENDPOINTS.items() if endpoint.security == "NONE" and method == "GET"
            }

    assert set(run(scenario).values()) == {200}


def test_every_signed_question_answers() -> None:
    """Nothing that only asks fails for the owner of the account."""

    async def scenario() -> dict[str, Any]:
        async with served() as (venue, client):
            placed = await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="LIMIT", quantity="1",
                                     price="90", timeInForce="GTC")
            algo = await client.ok("POST", "/fapi/v1/algoOrder", algoType="CONDITIONAL", symbol="AAAUSDT", side="SELL",
                                   type="STOP_MARKET", quantity="1", triggerPrice="80")
            extra = {"symbol": "AAAUSDT", "orderId": placed["orderId"], "algoId": algo["algoId"]}
            return {
                path: (await client.signed("GET", path, **extra))[0]
                for (method, path), endpoint in ENDPOINTS.items() if endpoint.security == "SIGNED" and method == "GET"
            }

    assert {path: status for path, status in run(scenario).items() if status != 200} == {}


def test_account_answers_never_have_a_zero_time() -> None:
    """Clients drop balances and positions whose updateTime is 0."""

    async def scenario() -> list[int]:
        async with served() as (venue, client):
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            balance = await client.ok("GET", "/fapi/v3/balance")
            account = await client.ok("GET", "/fapi/v3/account")
            (position,) = await client.ok("GET", "/fapi/v3/positionRisk")
            return [balance[0]["updateTime"], account["assets"][0]["updateTime"], position["updateTime"]]

    assert min(run(scenario)) > 0


def test_whole_numbers_of_the_tier_table_are_whole() -> None:
    """Strict models of clients refuse 50000.0 where the venue sends 50000."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            (row,) = await client.ok("GET", "/fapi/v1/leverageBracket", symbol="AAAUSDT")
            return [(tier["notionalFloor"], tier["notionalCap"], tier["cum"]) for tier in row["brackets"]]

    found = run(scenario)

    assert found == [(0, 50_000, 0), (50_000, 1_000_000, 500)]
    assert all(isinstance(value, int) for tier in found for value in tier)


def test_batches_answer_each_order_by_itself() -> None:
    """One good, one bad: a result and a refusal, then both ids are cancelled the same way."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            orders = (
                '[{"symbol":"AAAUSDT","side":"BUY","type":"LIMIT","quantity":"1","price":"90","timeInForce":"GTC",'
                '"newClientOrderId":"a"},{"symbol":"AAAUSDT","side":"BUY","type":"MARKET","quantity":"0"}]'
            )
            placed = await client.ok("POST", "/fapi/v1/batchOrders", batchOrders=orders)
            ended = await client.ok("DELETE", "/fapi/v1/batchOrders", symbol="AAAUSDT",
                                    origClientOrderIdList='["a","b"]')
            return [placed[0]["status"], placed[1]["code"], ended[0]["status"], ended[1]["code"]]

    assert run(scenario) == ["NEW", -4003, "CANCELED", -2011]


def test_limits_are_counted_reported_and_enforced() -> None:
    """Weight in the header; above it 429 with Retry-After; going on regardless ends in 418."""

    async def scenario() -> Any:
        settings = ServerSettings(limits=LimitSettings(weight_1m=20))
        async with served(settings=settings, wall_ns=lambda: 1_700_000_000_000_000_000) as (venue, client):
            first = await client.ask("GET", "/fapi/v1/depth", symbol="AAAUSDT")
            answers = [await client.ask("GET", "/fapi/v1/depth", symbol="AAAUSDT") for _ in range(14)]
            return first[2]["X-MBX-USED-WEIGHT-1M"], answers

    weight, answers = run(scenario)

    assert weight == "5"
    assert [status for status, _, _ in answers] == [200] * 3 + [429] * 10 + [418]
    assert int(answers[3][2]["Retry-After"]) >= 1
    assert answers[-1][1]["code"] == -1003


def test_orders_have_limits_of_their_own() -> None:
    """The fourth order within ten seconds is -1015; counts are reported."""

    async def scenario() -> Any:
        settings = ServerSettings(limits=LimitSettings(orders_10s=3))
        async with served(settings=settings) as (venue, client):
            order = {"symbol": "AAAUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
            found = [(await client.signed("POST", ORDER, **order)) for _ in range(4)]
            return [status for status, _ in found], found[-1][1]["code"], len(venue.exchange.trades)

    statuses, code, trades = run(scenario)

    assert trades == statuses.count(200) == 3
    assert (statuses[-1], code) == (429, -1015)


def test_user_trades_honour_their_filters() -> None:
    """By order, by first id, by time and limit, of one symbol alone."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            ids = []
            for _ in range(3):
                answer = await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
                ids.append(answer["orderId"])
                venue.show({})
            path, asked = "/fapi/v1/userTrades", {"symbol": "AAAUSDT"}
            rows = await client.ok("GET", path, **asked)
            return [
                [row["orderId"] for row in rows] == ids,
                len(await client.ok("GET", path, **asked, orderId=ids[1])),
                len(await client.ok("GET", path, **asked, fromId=rows[1]["id"])),
                len(await client.ok("GET", path, **asked, startTime=rows[2]["time"])),
                len(await client.ok("GET", path, **asked, endTime=rows[0]["time"])),
                [row["id"] for row in await client.ok("GET", path, **asked, limit=1)] == [rows[-1]["id"]],
                await client.ok("GET", path, symbol="BBBUSDT"),
            ]

    assert run(scenario) == [True, 1, 2, 1, 1, True, []]


def test_margin_type_and_leverage_can_be_read_back() -> None:
    """Set, then read from symbolConfig and positionRisk."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            await client.ok("POST", "/fapi/v1/marginType", symbol="AAAUSDT", marginType="ISOLATED")
            await client.ok("POST", "/fapi/v1/leverage", symbol="AAAUSDT", leverage=7)
            (config,) = await client.ok("GET", "/fapi/v1/symbolConfig", symbol="AAAUSDT")
            (risk,) = await client.ok("GET", "/fapi/v2/positionRisk", symbol="AAAUSDT")
            return config["marginType"], config["leverage"], risk["marginType"], risk["leverage"]

    assert run(scenario) == ("ISOLATED", 7, "isolated", "7")


def test_a_countdown_that_is_not_renewed_cancels() -> None:
    """The dead man's switch by the wall's clock."""
    clock = [1_700_000_000_000_000_000]

    async def scenario() -> list[int]:
        async with served(wall_ns=lambda: clock[0]) as (venue, client):
            stamp = clock[0] // 1_000_000
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="LIMIT", quantity="1", price="90",
                            timeInForce="GTC", timestamp=stamp)
            await client.ok("POST", "/fapi/v1/countdownCancelAll", symbol="AAAUSDT", countdownTime=5_000,
                            timestamp=stamp)
            counts = [len(venue.exchange.open_orders())]
            clock[0] += 5_000_000_000
            venue.flush()
            return [*counts, len(venue.exchange.open_orders())]

    assert run(scenario) == [1, 0]


def test_a_key_has_its_permissions_listed() -> None:
    """A key with withdrawal rights is recognisable."""
    rich = ApiKey(key="k" * 64, secret="s" * 64, withdrawals=True)

    async def scenario() -> Any:
        async with served(keys=[rich]) as (venue, client):
            return await client.ok("GET", "/sapi/v1/account/apiRestrictions")

    assert run(scenario)["enableWithdrawals"] is True


def test_refusals_and_unknown_paths_are_remembered() -> None:
    """The venue lists the paths that clients requested and it does not have."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            await client.refused("GET", "/fapi/v1/nonsense")
            await client.refused("GET", ORDER, symbol="AAAUSDT")
            return venue.unknown_paths, list(venue.refusals)

    assert run(scenario) == (
        ["GET /fapi/v1/nonsense"], ["GET /fapi/v1/nonsense -1020", "GET /fapi/v1/order -1102"],
    )


def test_the_venue_stays_on_this_machine() -> None:
    """Another address needs allow_remote; secrets do not show in a key's text."""
    with pytest.raises(ConfigError, match="loopback"):
        ServerSettings(host="0.0.0.0")
    assert ServerSettings(host="0.0.0.0", allow_remote=True).host == "0.0.0.0"
    key = new_key()
    assert key.secret not in repr(key)


def test_stopping_twice_is_harmless() -> None:
    """The port is free afterwards."""

    async def scenario() -> bool:
        venue = LocalVenue(exchange())
        await venue.start()
        await venue.stop()
        await venue.stop()
        again = LocalVenue(exchange(), settings=ServerSettings(port=venue.port))
        async with again:
            return again.port == venue.port

    assert run(scenario)


@pytest.mark.parametrize("quantity", ["1_0", "\u0661", "+1", "1e0", " 1", "0x1", "nan"])
def test_a_number_is_written_in_plain_digits(quantity: str) -> None:
    """What the venue's own pattern does not describe is refused with -1100, and buys nothing."""

    async def scenario() -> tuple[int, int]:
        async with served() as (venue, client):
            answer = await client.refused("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity=quantity)
            return answer, len(venue.exchange.orders)

    assert run(scenario) == (-1100, 0)


def test_a_signature_beyond_ascii_is_a_wrong_one() -> None:
    """-1022, and not an error of the server."""

    async def scenario() -> Any:
        async with served() as (venue, client):
            return await raw(client, "GET", "/fapi/v3/balance", "timestamp=1&signature=%C3%A9")

    status, answer = run(scenario)
    assert (status, answer["code"]) == (400, -1022)
