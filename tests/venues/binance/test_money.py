"""Money paid in or taken out, as the venue's income rows report it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.venues.binance.bench import bench, order

from quantum_trader.engine.venue_port import Transfer, WalletChanged
from quantum_trader.venues.binance import history, parse, safety, wire
from quantum_trader.venues.local import admin


def line(kind: str, asset: str = "USDT") -> wire.IncomeAnswer:
    """A row of /income."""
    return wire.IncomeAnswer(
        symbol="", income_type=kind, income=-0.375, asset=asset, time=1570608000000, tran_id=9689322392
    )


# Every incomeType of "Get Income History" (USD-M futures).
MOVED = (
    "TRANSFER", "WELCOME_BONUS", "REFERRAL_KICKBACK", "CONTEST_REWARD", "CROSS_COLLATERAL_TRANSFER",
    "INTERNAL_TRANSFER", "AUTO_EXCHANGE", "COIN_SWAP_DEPOSIT", "COIN_SWAP_WITHDRAW", "STRATEGY_UMFUTURES_TRANSFER",
    "BFUSD_REWARD",
)
EARNED = (
    "REALIZED_PNL", "FUNDING_FEE", "COMMISSION", "INSURANCE_CLEAR", "COMMISSION_REBATE", "API_REBATE",
    "OPTIONS_PREMIUM_FEE", "OPTIONS_SETTLE_PROFIT", "DELIVERED_SETTELMENT", "POSITION_LIMIT_INCREASE_FEE", "FEE_RETURN",
    "SOMETHING_NEW",
)


@pytest.mark.parametrize("kind", MOVED)
def test_what_was_paid_in_or_out_or_given_is_a_transfer(kind: str) -> None:
    """Named by kind and transaction, which is unique within its kind."""
    assert parse.transfer_of_income(line(kind)) == Transfer(
        move_id=f"{kind}-9689322392", amount=-0.375, ts_ns=1570608000000 * 1_000_000, reason=kind
    )


@pytest.mark.parametrize("kind", EARNED)
def test_results_of_trading_and_unknown_income_types_are_no_transfers(kind: str) -> None:
    """They count as profit or loss, so that drawdown and daily loss include them."""
    assert parse.transfer_of_income(line(kind)) is None


def test_another_asset_is_not_the_wallet_that_is_traded_with() -> None:
    """A transfer of BNB moves no USDT."""
    assert parse.transfer_of_income(line("TRANSFER", "BNB")) is None


def test_moves_are_read_page_by_page_between_results_of_trading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a page, and rows that are no transfers among them: each move once, oldest first."""
    monkeypatch.setattr(history, "ROWS_PER_PAGE", 2)

    async def story() -> list[float]:
        async with bench() as b:
            since_ns = b.venue.exchange.now_ns
            for number in range(1, 4):
                b.venue.advance(10**9)
                b.venue.exchange.pay(float(number))
                b.venue.advance(10**9)
                await b.adapter.submit_order(order(number))
            b.venue.flush()
            return [one.amount for one in await b.adapter.get_transfers(since_ns)]

    assert asyncio.run(story()) == [1.0, 2.0, 3.0]


class Pages:
    """A connection that pages through *rows* by start time, three at a time, as the venue does."""

    class budget:  # noqa: N801 - an attribute of the connection
        """Room for every request."""

        rate_limited = False

        @staticmethod
        def wait_s(priority: object, weight: int) -> float:
            return 0.0

    def __init__(self, rows: list[dict[str, object]]) -> None:
        self.rows = rows

    async def read(self, group: str, path: str, decode: Any, fields: dict[str, Any], *, weight: int) -> Any:
        later = [row for row in self.rows if int(str(row["time"])) >= fields["startTime"]]
        return decode(msgspec.json.encode(later[:3]))


@pytest.mark.parametrize("odd", [{"income": "much"}, {"income": "1e300"}])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_unreadable_row_of_a_full_page_does_not_end_the_paging(
    place: int, odd: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is full by the rows that the venue sent: what lies behind it is read."""
    monkeypatch.setattr(history, "ROWS_PER_PAGE", 3)
    rows: list[dict[str, object]] = [
        {"symbol": "", "incomeType": "TRANSFER", "income": str(one), "asset": "USDT", "time": one, "tranId": one}
        for one in range(1, 8)
    ]
    rows[place] |= odd

    found = asyncio.run(history.transfers(Pages(rows), 1_000_000))  # type: ignore[arg-type]

    assert [one.amount for one in found] == [float(one) for one in range(1, 8) if one != place + 1]


def test_the_admin_api_moves_money() -> None:
    """In and out, reported by the stream; not more than the free balance, and no NaN."""

    async def story() -> None:
        async with bench() as b:
            assert admin.perform(b.venue, "money", '{"amount": -100}')[0] == 200
            await b.until(lambda: b.of(WalletChanged), "the stream reports it")
            assert (b.of(WalletChanged)[0].reason, b.of(WalletChanged)[0].moved) == ("WITHDRAW", -100.0)
            assert admin.perform(b.venue, "money", '{"amount": -1e9}')[0] == 400
            assert admin.perform(b.venue, "money", '{"amount": "nan"}')[0] == 400
            assert (await b.adapter.get_cash_balance()).wallet == b.venue.exchange.account.wallet

    asyncio.run(story())


def test_other_coins_are_no_part_of_the_money_and_are_said_at_the_start() -> None:
    """USDC and BNB beside USDT: the wallet is the USDT row, whatever the total adds up, and a note names the rest."""
    account = wire.AccountAnswer(
        total_wallet_balance=400.0, total_unrealized_profit=0.0, available_balance=400.0,
        assets=[
            wire.AccountAsset(asset=asset, wallet_balance=amount, available_balance=amount)
            for asset, amount in (("USDC", 300.0), ("USDT", 100.0), ("BNB", 0.5), ("BTC", 0.0))
        ],
    )
    balance = parse.balance(account)
    assert (balance.wallet, balance.available) == (100.0, 100.0)
    assert parse.other_coins(account) == {"BNB": 0.5, "USDC": 300.0}

    class Answers:
        """A connection that answers two questions."""

        async def read(self, group: str, path: str, *rest: object, **more: object) -> wire.AccountAnswer:
            return account

        async def ask(self, method: str, group: str, path: str, **more: object) -> bytes:
            return b'{"feeBurn": true}'

    notes = asyncio.run(safety.money_outside(Answers()))  # type: ignore[arg-type]
    assert notes == [
        "the account also holds 0.5 BNB, 300 USDC: only USDT is counted in equity, sizes and limits",
        "BNB pays fees while there is some (feeBurn = true): each counts as a loss at its worth in USDT; the wallet "
        "keeps it",
    ]


def test_an_account_without_usdt_has_none() -> None:
    """Coins of other kinds are not taken for it."""
    account = wire.AccountAnswer(
        total_wallet_balance=300.0, total_unrealized_profit=0.0, available_balance=300.0,
        assets=[wire.AccountAsset(asset="USDC", wallet_balance=300.0)],
    )
    assert parse.balance(account).wallet == 0.0
