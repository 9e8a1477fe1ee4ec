"""BNB pays fees while there is some and feeBurn is on: a tenth less, and the USDT stay."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.venues.local.world import COIN, OTHER, QUIET, START_NS, connected, exchange, frames, run, served, ticket

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.venues.local.build import scripted_exchange

ORDER = "/fapi/v1/order"
SOME = msgspec.structs.replace(QUIET, bnb=1.0)
FEE = 100.01 * 0.0005  # of one coin, in USDT


def test_bnb_pays_the_fee_and_the_wallet_stays() -> None:
    """0.9 of the fee at 600 USDT a BNB; the paper venue's money and the account's stay one."""
    market = exchange(SOME)

    market.place(ticket("BUY", "MARKET"))

    (trade,) = market.trades
    paid = round(FEE * 0.9 / 600.0, 8)
    assert (trade.fee_asset, trade.fee) == ("BNB", paid)
    assert market.account.coin.balance == pytest.approx(1.0 - paid, abs=1e-12)
    assert market.account.wallet == 10_000.0
    assert market.paper.balance().wallet == pytest.approx(10_000.0, abs=1e-9)
    assert [(line.kind, line.asset, line.amount) for line in market.account.income] == [("COMMISSION", "BNB", -paid)]


def test_usdt_pays_what_bnb_cannot() -> None:
    """Too little of it, feeBurn off, or a liquidation."""
    market = exchange(msgspec.structs.replace(QUIET, bnb=1e-6, leverage=20.0))
    market.place(ticket("BUY", "MARKET"))
    market.pay_coin(5.0)
    market.account.coin.burn = False
    market.place(ticket("BUY", "MARKET"))
    market.account.coin.burn = True
    market.incidents.liquidate("AAAUSDT")

    assert [trade.fee_asset for trade in market.trades] == ["USDT"] * 3
    assert market.account.wallet == pytest.approx(market.paper.balance().wallet)


def test_the_price_of_bnb_is_its_own_markets() -> None:
    """Where BNBUSDT is traded its last price counts."""
    coin = msgspec.structs.replace(OTHER, symbol="BNBUSDT")
    market = scripted_exchange([COIN, coin], {"AAAUSDT": 100.0, "BNBUSDT": 300.0}, interval_ns=NS_PER_HOUR,
                               settings=SOME, start_ns=START_NS, history=3)

    market.place(ticket("BUY", "MARKET"))

    assert market.trades[0].fee == round(FEE * 0.9 / 300.0, 8)


def test_the_answers_and_events_name_the_coin() -> None:
    """Trades, income, balances and the stream, in documented fields; a deposit is an event of its own."""

    async def scenario() -> Any:
        async with served(exchange(SOME)) as (venue, client):
            headers = {"X-MBX-APIKEY": client.key.key}
            key = (await client.ask("POST", "/fapi/v1/listenKey", headers=headers))[1]["listenKey"]
            ws = await client.http.ws_connect(f"{venue.ws_url}/private/ws?listenKey={key}")
            await connected(venue, 1)
            await client.ok("POST", ORDER, symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            events = await frames(ws, 4)
            paid = await client.admin("money", amount=2, asset="BNB")
            refused = await client.admin("money", amount=2, asset="EUR")
            (deposit,) = await frames(ws, 1)
            told = [await client.ok("GET", f"/fapi/v1/{name}", symbol="AAAUSDT") for name in ("userTrades", "income")]
            return events, paid[0], refused, deposit, told, await client.ok("GET", "/fapi/v3/account"), (
                await client.ok("GET", "/fapi/v3/balance")
            )

    (_, account, _, trade), paid, refused, deposit, (trades, income), asset, balances = run(scenario)

    assert (trade["o"]["N"], trade["o"]["n"]) == ("BNB", "0.00007501")
    assert [(row["a"], row["wb"], row["bc"]) for row in account["a"]["B"]] == [
        ("USDT", "10000.00000000", "0.00000000"), ("BNB", "0.99992499", "0.00000000"),
    ]
    assert (paid, refused[0]) == (200, 400)
    assert "asset = 'EUR': use one of USDT, BNB" in refused[1]["error"]
    assert (deposit["a"]["m"], deposit["a"]["B"][1]) == (
        "DEPOSIT", {"a": "BNB", "wb": "2.99992499", "cw": "2.99992499", "bc": "2.00000000"},
    )
    assert deposit["a"]["B"][0]["bc"] == "0.00000000"
    assert (trades[0]["commission"], trades[0]["commissionAsset"]) == ("0.00007501", "BNB")
    assert (income[0]["asset"], income[0]["income"]) == ("BNB", "-0.00007501")
    for rows, name in ((asset["assets"], "walletBalance"), (balances, "balance")):
        assert [(row["asset"], row[name]) for row in rows] == [("USDT", "10000.00000000"), ("BNB", "2.99992499")]
        assert rows[0].keys() == rows[1].keys()
    assert asset["totalWalletBalance"] == "10000.00000000"
