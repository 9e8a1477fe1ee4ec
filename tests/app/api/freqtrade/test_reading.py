"""The unmodified freqtrade-client reads a finished run, and its figures are the run's."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.app.api.clients import client_of
from tests.app.api.freqtrade.world import FreqtradeClient, connected, served

from quantum_trader.app.api.freqtrade.words import pair_of
from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.runs.results import RunFacts
from quantum_trader.app.runs.state_dir import StateDir


@pytest.fixture(scope="module")
def client(replayed: tuple[Path, RunFacts], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreqtradeClient]:
    """freqtrade-client at a server of a copy of the finished run, with a reader's token."""
    folder = Path(shutil.copytree(replayed[0], tmp_path_factory.mktemp("served") / "run"))
    token = TokenStore(folder).new("phone", Role.VIEWER, time.time_ns())[1]
    with served(folder) as address, connected(address, "phone", token) as made:
        yield made


@pytest.fixture(scope="module")
def facts(replayed: tuple[Path, RunFacts]) -> RunFacts:
    """What the run itself says."""
    return replayed[1]


def test_every_trade_comes_once_through_pages(client: FreqtradeClient, facts: RunFacts) -> None:
    """Pages of seven add up to all trades, each with the run's prices, times and profit."""
    pages = [client.trades(7, offset) for offset in range(0, len(facts.trades), 7)]
    told = [trade for page in pages for trade in page["trades"]]

    assert {page["total_trades"] for page in pages} == {len(facts.trades)}
    assert len(facts.trades) >= 20
    assert [trade["trade_id"] for trade in told] == sorted({trade["trade_id"] for trade in told})
    by_id = {trade["quantum_trader_id"]: trade for trade in told}
    for one in facts.trades:
        trade = by_id[one.trade_id]
        assert (trade["pair"], trade["is_short"]) == (pair_of(one.symbol), one.side.value == "SHORT")
        assert (trade["open_timestamp"], trade["close_timestamp"]) == (one.entry_ns // 10**6, one.exit_ns // 10**6)
        assert trade["close_profit_abs"] == pytest.approx(one.pnl)
        assert trade["close_profit"] * trade["stake_amount"] == pytest.approx(one.pnl)
        assert trade["stake_amount"] * trade["leverage"] == pytest.approx(one.qty * one.entry_price)


def test_newest_first_and_by_number_hold_the_same_trades(client: FreqtradeClient) -> None:
    """Both orders are pages of one list, and a number leads back to its trade."""
    by_number = client.trades(500)["trades"]
    newest = client.trades(500, order_by_id=False)["trades"]

    times = [one["close_timestamp"] for one in newest]
    assert times == sorted(times, reverse=True)
    assert {one["trade_id"] for one in newest} == {one["trade_id"] for one in by_number}
    assert client.trade(by_number[3]["trade_id"]) == by_number[3]


def test_a_trade_keeps_its_number_when_it_ends(client: FreqtradeClient, facts: RunFacts) -> None:
    """The number is of its first fill, so that no open trade has that of an ended one, and each can be asked for."""
    ended = {one["trade_id"] for one in client.trades(500)["trades"]}
    held = client.status()

    assert {one["pair"] for one in held} == {pair_of(one.symbol) for one in facts.positions}
    assert ended.isdisjoint(one["trade_id"] for one in held)
    assert all(client.trade(one["trade_id"])["is_open"] for one in held)


def test_profit_is_the_runs(client: FreqtradeClient, facts: RunFacts) -> None:
    """Closed profit is the sum of the trades, all profit is what the equity gained."""
    profit, balance, trades = client.profit(), client.balance(), facts.trades

    made = sum(one.pnl for one in trades)
    assert profit["profit_closed_coin"] == pytest.approx(made)
    assert profit["profit_all_coin"] == pytest.approx(facts.equity[-1] - facts.start_equity, abs=0.01)
    assert profit["closed_trade_count"] == len(trades)
    assert profit["winning_trades"] == sum(one.pnl > 0 for one in trades)
    assert profit["winrate"] == pytest.approx(profit["winning_trades"] / len(trades))
    assert balance["total"] == pytest.approx(facts.equity[-1])
    assert balance["starting_capital"] == facts.start_equity
    totals, high, worst = 0.0, 0.0, 0.0
    for one in trades:
        totals += one.pnl
        high = max(high, totals)
        worst = max(worst, high - totals)
    assert profit["max_drawdown_abs"] == pytest.approx(worst)


def test_days_weeks_and_months_add_up(client: FreqtradeClient, facts: RunFacts) -> None:
    """Each cover the month, and their profits and counts are those of all trades."""
    for told in (client.daily(60), client.weekly(10), client.monthly(3)):
        assert sum(line["trade_count"] for line in told["data"]) == len(facts.trades)
        assert sum(line["abs_profit"] for line in told["data"]) == pytest.approx(sum(one.pnl for one in facts.trades))
        dates = [line["date"] for line in told["data"]]
        assert dates == sorted(dates, reverse=True)
    assert len(client.daily()["data"]) == 7


def test_performance_by_pair_and_reason_adds_up(client: FreqtradeClient, facts: RunFacts) -> None:
    """Pairs, tags, reasons and both together are the same trades; one pair is a part of them."""
    whole = sum(one.pnl for one in facts.trades)
    for told in (client.performance(), client.entries(), client.exits(), client.mix_tags()):
        assert sum(line["profit_abs"] for line in told) == pytest.approx(whole)
        assert sum(line["count"] for line in told) == len(facts.trades)
    pair = client.performance()[0]["pair"]
    assert sum(line["count"] for line in client.exits(pair)) == client.performance()[0]["count"]
    reasons = {one.exit_reason.value.lower() for one in facts.trades}
    assert set(client.stats()["exit_reasons"]) == reasons == {line["exit_reason"] for line in client.exits()}


def test_candles_are_the_recordings(client: FreqtradeClient, facts: RunFacts) -> None:
    """The newest candle closes at the run's last moment, longer ones are made of it, trades' ends are marked."""
    short, long = client.pair_candles("BTC/USDT:USDT", "30m", 96), client.pair_candles("BTC/USDT:USDT", "4h", 12)
    rows = [dict(zip(short["columns"], row, strict=True)) for row in short["data"]]
    joined = [dict(zip(long["columns"], row, strict=True)) for row in long["data"]]

    assert short["last_analyzed_ts"] == facts.data.last_ns // 10**9
    assert rows[-1]["close"] == joined[-1]["close"] == pytest.approx(facts.closes[-1][0])
    assert joined[-1]["high"] == max(row["high"] for row in rows[-8:])
    assert joined[-1]["volume"] == pytest.approx(sum(row["volume"] for row in rows[-8:]))
    ends = [one.exit_ns // 10**6 for one in facts.trades if one.symbol == "BTCUSDT" and one.side.value == "LONG"]
    inside = {end for end in ends if rows[0]["__date_ts"] < end}
    assert short["exit_long_signals"] == len(inside)
    chosen = client.pair_candles("BTC/USDT:USDT", "30m", 3, columns=["enter_long"])
    assert "enter_long" in chosen["columns"]
    assert "exit_short" not in chosen["columns"]
    assert "3m" not in client.pair_candles("BTC/USDT:USDT", "1m")["error"]["message"].split("use one of")[1].split(", ")


def test_what_the_bot_is(client: FreqtradeClient, facts: RunFacts) -> None:
    """Settings, pairs, state, version, health, log and load are answered in the shape that the client reads."""
    config = client.show_config()
    assert (config["api_version"], config["state"], config["dry_run"]) == (2.35, "stopped", True)
    assert (config["timeframe"], config["timeframe_ms"], config["exchange"]) == ("30m", 1_800_000, "paper")
    assert client.ping() == {"status": "not_running"}
    assert client.whitelist()["whitelist"] == [pair_of(symbol) for symbol in facts.data.symbols]
    assert client.blacklist()["blacklist"] == []
    assert client.count()["current"] == len(facts.positions)
    assert client.version()["version"]
    assert client.health()["last_process_ts"] == facts.data.last_ns // 10**9
    assert client.plot_config() == {"main_plot": {}, "subplots": {}}
    assert 0.0 < client.sysinfo()["ram_pct"] < 100.0
    logs = client.logs(5)
    assert logs["log_count"] == 5
    assert [line[1] for line in logs["logs"]] == sorted(line[1] for line in logs["logs"])


def test_what_is_not_there_is_refused_with_the_reason(client: FreqtradeClient) -> None:
    """A trade, a pair, a list of strategies that do not exist: one format of error, and the client raises nothing."""
    assert "there is no such trade" in client.trade(999_999)["error"]["message"]
    assert "does not trade it" in client.pair_candles("DOGE/USDT:USDT", "1h")["error"]["message"]
    assert client.strategies()["error"]["code"] == "not_found"
    for changed in (client.stop(), client.start(), client.forceexit("1"), client.forceenter("BTC/USDT:USDT", "long")):
        assert changed["error"]["code"] == "forbidden"


@pytest.mark.parametrize("road", ["daily", "weekly", "monthly"])
def test_a_run_that_has_not_begun_has_no_days(tmp_path: Path, road: str) -> None:
    """And not those of 1970."""
    StateDir(tmp_path / "run").close()
    answer = client_of(tmp_path / "run").get(f"/freqtrade/api/v1/{road}")
    assert (answer.status_code, answer.json()["data"]) == (200, [])
