"""No answer of the venue about any symbol stops flatten, status or the comparison of books and venue."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from random import Random
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.live.live_world import SYMBOL, World

from quantum_trader.app.cli.operator import status_lines
from quantum_trader.app.runs.direct import VenueView, differences, venue_line
from quantum_trader.app.runs.flatten import DirectAction, FlattenResult, flatten_account
from quantum_trader.app.runs.live_settings import bind_folder, load_live_settings
from quantum_trader.app.runs.status import (
    FolderStatus,
    HaltLine,
    LiveStatus,
    folder_status,
    untraded_lines,
    write_status,
)
from quantum_trader.domain.errors import VenueError
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.live.inputs import AccountRead, decode_input, encode_input
from quantum_trader.venues.binance import parse, safety
from quantum_trader.venues.binance.adapter import AdapterSettings, BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.binance.rest import PreparedRequest
from quantum_trader.venues.binance.safety import account_answer

START_NS: Final = 1_700_000_000_000_000_000
POSITION: Final = {
    "symbol": SYMBOL, "positionSide": "BOTH", "positionAmt": "0.5", "entryPrice": "100", "markPrice": "100",
    "unRealizedProfit": "0", "liquidationPrice": "0", "isolatedMargin": "0", "isolatedWallet": "0",
    "initialMargin": "10",
}
ORDER: Final = {
    "orderId": 7, "symbol": SYMBOL, "status": "NEW", "clientOrderId": "web_1", "side": "SELL", "type": "LIMIT",
    "origQty": "1", "executedQty": "0", "avgPrice": "0", "price": "120", "stopPrice": "0", "reduceOnly": False,
    "time": 1_700_000_000_000, "updateTime": 1_700_000_000_000,
}
ALGO: Final = {
    "algoId": 8, "clientAlgoId": "web_2", "symbol": SYMBOL, "side": "SELL", "orderType": "STOP_MARKET",
    "algoStatus": "NEW", "quantity": "0.5", "triggerPrice": "90", "reduceOnly": True, "createTime": 1_700_000_000_000,
}
LISTED: Final = {
    "symbol": SYMBOL, "status": "TRADING", "contractType": "PERPETUAL", "marginAsset": "USDT", "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
    ],
}
COIN: Final = {"asset": "FOO", "walletBalance": "3", "unrealizedProfit": "0", "availableBalance": "3"}
CONFIG: Final = {"symbol": SYMBOL, "marginType": "ISOLATED", "leverage": 5}

ODD: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}),
    st.sampled_from([
        "NaN", "-Infinity", "1e999", "1e300", "-1e-300", 1e308, 10**40, -(10**25), "", "12abc", "\ud800",
        "币安人生USDT", "BTCUSDT_261225", "A/B", "HEDGE", "SHORT", "0", "0.0000000001", [[]],
    ]),
)


def odd_rows(row: dict[str, Any], symbol: bool = True) -> st.SearchStrategy[list[Any]]:
    """Rows like *row* of other symbols, some fields odd or missing; and things that are no row."""
    names = st.sampled_from(sorted(row))
    one = st.builds(
        lambda changes, gone, other: {
            key: value for key, value in ({**row, "symbol": other} | changes).items() if key not in gone
        },
        st.dictionaries(names, ODD, max_size=4), st.sets(names, max_size=3),
        st.sampled_from(["币安人生USDT", "BTCUSDT_261225", "ODDUSDC", "x" * 300]) if symbol else st.just(SYMBOL),
    )
    return st.lists(st.one_of(one, one, ODD), max_size=3)


class OddVenue:
    """A venue's answers: one ordinary position in BTCUSDT, and odd rows beside every row."""

    def __init__(
        self, rows: dict[str, list[Any]], reply: Any, *, side: str = "BOTH", dual: Any = False
    ) -> None:
        """*side* is that of the ordinary position, *dual* the answer to whether there are two."""
        self.rows, self.reply, self.side, self.dual = rows, reply, side, dual
        self.open = True
        self.closed: list[dict[str, list[str]]] = []

    async def send(self, request: PreparedRequest) -> bytes:
        """The answer to *request*."""
        path = urlsplit(request.url).path.rsplit("/", 1)[1]
        if request.method == "POST" and path == "order":
            fields = parse_qs((request.body or b"").decode() or urlsplit(request.url).query)
            self.closed.append(fields)
            self.open = self.open and fields["symbol"] != [SYMBOL]
            return self._said(self.reply if fields["symbol"] != [SYMBOL] else {**ORDER, "status": "FILLED"})
        return self._said(self._answer(request.method, path))

    def _answer(self, method: str, path: str) -> Any:
        if method != "GET":
            return self.reply
        if path == "positionRisk":
            return [*([{**POSITION, "positionSide": self.side}] if self.open else []), *self.rows["position"]]
        lists = {"openOrders": "order", "openAlgoOrders": "algo", "symbolConfig": "config"}
        if path in lists:
            return self.rows[lists[path]]
        return {
            "exchangeInfo": {"symbols": [LISTED, *self.rows["listed"]], "rateLimits": []},
            "account": {
                "totalWalletBalance": "1000", "totalUnrealizedProfit": "0", "availableBalance": "900",
                "positions": self.rows["account"],
                "assets": [{"asset": "USDT", "walletBalance": "1000"}, *self.rows["asset"]],
            },
            "time": {"serverTime": START_NS // 1_000_000}, "dual": {"dualSidePosition": self.dual},
            "multiAssetsMargin": {"multiAssetsMargin": False},
        }.get(path, self.reply)

    @staticmethod
    def _said(answer: Any) -> bytes:
        return json.dumps(answer).encode()


def adapter(venue: OddVenue) -> BinanceFuturesExecutionAdapter:
    """The production adapter, for closing, over *venue*'s answers."""
    keys = ApiKeys(LOCAL, Secret("k" * 64), Secret("s" * 64), "test")
    made = BinanceFuturesExecutionAdapter(
        endpoint(LOCAL, "http://127.0.0.1:1"), (SYMBOL,), keys, rng=Random(1), settings=AdapterSettings(closing=True)
    )
    made._rest.send = venue.send  # type: ignore[method-assign,assignment]
    return made


async def flattened(venue: OddVenue) -> tuple[FlattenResult, list[DirectAction]]:
    """Flatten over *venue* on a virtual clock."""
    now, steps = [START_NS], list[DirectAction]()

    async def pause(seconds: float) -> None:
        now[0] += round(seconds * 1e9)

    def clock() -> int:
        now[0] += 1_000_000
        return now[0]

    made = adapter(venue)
    await made.connect()
    result = await flatten_account(made, clock, steps.append, deadline_s=12.0, pause=pause)
    await made.close()
    return result, steps


async def read(venue: OddVenue) -> tuple[VenueView, VenueSnapshot]:
    """The account as status and as the comparison read it."""
    made = adapter(venue)
    await made.connect()
    positions, orders = await made.get_positions(), await made.open_orders()
    balance, mode = await made.get_cash_balance(), await made.account_mode()
    await made.close()
    view = VenueView(endpoint="x", balance=balance, positions=tuple(positions), orders=tuple(orders))
    return view, VenueSnapshot(
        ts_ns=START_NS, wallet=balance.wallet, positions=view.positions, orders=view.orders, mode=mode
    )


ROWS: Final = st.fixed_dictionaries({
    "position": odd_rows(POSITION), "order": odd_rows(ORDER), "algo": odd_rows(ALGO), "config": odd_rows(CONFIG),
    "listed": odd_rows(LISTED), "account": odd_rows(POSITION), "asset": odd_rows(COIN),
})
NO_ROWS: Final[dict[str, list[Any]]] = {
    name: [] for name in ("position", "order", "algo", "config", "listed", "account", "asset")
}
CALM: Final = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@CALM
@given(ROWS, ODD)
def test_flatten_closes_the_ordinary_position_whatever_is_said_of_others(
    rows: dict[str, list[Any]], reply: Any
) -> None:
    """It ends, BTCUSDT is closed with its own filters, and an account that shows a position is never called flat."""
    venue = OddVenue(rows, reply)
    result, steps = asyncio.run(flattened(venue))
    sent = [fields for fields in venue.closed if fields["symbol"] == [SYMBOL]]
    assert sent
    assert sent[0]["quantity"] == ["0.500"] or float(sent[0]["quantity"][0]) == 0.5
    assert not result.flat or not result.positions
    assert steps[-1].step in ("flat", "left")
    for position in result.positions:
        assert position.symbol in result.text or not position.symbol


@pytest.fixture(scope="module")
def odd_world() -> World:
    """A live engine that takes every snapshot of the property."""
    return World().begin(30)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> FolderStatus:
    """The status of a folder that traded BTCUSDT."""
    folder: Path = tmp_path_factory.mktemp("state")
    (folder / "lock").touch(0o600)
    bind_folder(folder, load_live_settings(None, {"symbols": ([SYMBOL], "--symbols")}).live)
    return folder_status(folder, START_NS)


@CALM
@given(ROWS)
def test_status_and_comparison_take_whatever_is_said(
    odd_world: World, known: FolderStatus, rows: dict[str, list[Any]]
) -> None:
    """Every line can be printed as UTF-8, every position is told, the input is written, and the engine never fails."""
    view, snapshot = asyncio.run(read(OddVenue(rows, {})))
    text = "\n".join([*status_lines(known, view), *differences(known, view)])
    assert SYMBOL in text
    text.encode()
    for position in view.positions:
        assert math.isnan(position.qty) or abs(position.qty) < 1e18
        assert position.symbol in text
    failures = odd_world.session.shield.failures
    event = AccountRead(snapshot=snapshot)
    assert isinstance(decode_input(encode_input(event)), AccountRead)
    odd_world.tell(event)
    assert odd_world.session.shield.failures == failures, odd_world.session.shield.last
    _check_status_file(Path(known.state), LiveStatus(
        written_ns=START_NS, pid=1, started_ns=START_NS, mode="LIVE", endpoint="x", equity=math.nan, equity_ns=1,
        positions=(
            *untraded_lines(odd_world.engine.adopting.untraded_positions()),
            *(venue_line(position, False) for position in view.positions),
        ),
        halts=(HaltLine(kind="operator", reason="halted: news", exit_path="resume"),),
    ))


def _check_status_file(folder: Path, status: LiveStatus) -> None:
    """A status file that holds what was said shows every position and every halt."""
    write_status(folder, status)
    found = folder_status(folder, START_NS)
    assert found.source == "status file"
    assert [line.symbol for line in found.positions] == [line.symbol for line in status.positions]
    assert found.halts == status.halts
    assert "halted: news" in "\n".join(status_lines(found, None))
    assert msgspec.json.encode(found)


def test_an_odd_coin_hides_no_money() -> None:
    """The wallet is the USDT row; where that row cannot be read the wallet is not taken for 0."""
    odd = [{"asset": "FOO", "walletBalance": None}, None, {"walletBalance": "7"}]
    view, _ = asyncio.run(read(OddVenue({**NO_ROWS, "asset": odd}, {})))
    assert view.balance.wallet == 1000.0
    for rows in ([{"asset": "USDT", "walletBalance": None}], [{"asset": None, "walletBalance": "7"}]):
        answer = {
            "totalWalletBalance": "1", "totalUnrealizedProfit": "0", "availableBalance": "1",
            "assets": [*rows, {"asset": "FOO", "walletBalance": "2"}],
        }
        with pytest.raises(VenueError):
            parse.balance(account_answer(json.dumps(answer).encode()))


def test_the_notes_of_the_start_leave_an_unreadable_coin_out() -> None:
    """One coin without an amount, one with."""
    answer = {
        "totalWalletBalance": "1", "totalUnrealizedProfit": "0", "availableBalance": "1",
        "assets": [{"asset": "FOO", "walletBalance": None}, {"asset": "BNB", "walletBalance": "2"}],
    }
    assert parse.other_coins(account_answer(json.dumps(answer).encode())) == {"BNB": 2.0}


@pytest.mark.parametrize("dual", [None, "?", True, False])
@pytest.mark.parametrize("side", ["BOTH", "LONG"])
def test_flatten_goes_by_the_positions_where_the_mode_cannot_be_read(side: str, dual: Any) -> None:
    """In hedge mode alone a position has a side, and an order without it is refused; a mode that is read counts."""
    venue = OddVenue(NO_ROWS, {}, side=side, dual=dual)
    asyncio.run(flattened(venue))
    hedged = dual if isinstance(dual, bool) else side == "LONG"
    assert venue.closed[0].get("positionSide") == (["LONG"] if hedged else None)
    assert ("reduceOnly" in venue.closed[0]) is not hedged


def test_a_mode_that_was_switched_back_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is a problem every read asks the venue; without one it asks once in 50 seconds."""
    now, hedged, reads = [0.0], [True], [0]

    async def is_hedged(_: object) -> bool:
        reads[0] += 1
        return hedged[0]

    async def is_multi_asset(_: object) -> bool:
        return False

    monkeypatch.setattr(safety, "is_hedged", is_hedged)
    monkeypatch.setattr(safety, "is_multi_asset", is_multi_asset)
    mode = safety.AccountMode(cast("Any", None), lambda: now[0])

    async def problem() -> str:
        now[0] += 2.0
        return await mode.problem()

    assert asyncio.run(problem()) == safety.HEDGE_MODE
    hedged[0] = False
    assert [asyncio.run(problem()) for _ in range(3)] == ["", "", ""]
    assert reads[0] == 2


def test_unreadable_rows_are_kept_where_something_may_be_held() -> None:
    """A row without a quantity is a position of unknown size, named by its symbol."""
    view, _ = asyncio.run(read(OddVenue({**NO_ROWS, "position": [{"symbol": "币安人生USDT", "positionAmt": "x"}]}, {})))
    assert [(one.symbol, math.isnan(one.qty)) for one in view.positions] == [
        (SYMBOL, False), ("币安人生USDT", True)
    ]


