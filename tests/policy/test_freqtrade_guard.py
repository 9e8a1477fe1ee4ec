"""The guard of freqtrade strategies, against freqtrade's interface in miniature; the real one is in tests/clients."""

from __future__ import annotations

import logging
import math
import random
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.policy import Direction, MarketState, Trend, VolLevel
from quantum_trader.policy.freqtrade import PolicyGuard
from quantum_trader.policy.pair_market import PairMarket, overall
from quantum_trader.policy.profiles import load_profile

START = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")


class Column(list[Any]):
    """A column of a data frame, as far as the guard reads it."""

    @property
    def iloc(self) -> Column:
        return self


class Frame:
    """A data frame, as far as the guard reads it."""

    def __init__(self, rows: dict[str, list[Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows["date"])

    def __getitem__(self, name: str) -> Column:
        return Column(self.rows[name])

    @property
    def iloc(self) -> _Rows:
        return _Rows(self)


class _Rows:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def __getitem__(self, part: slice) -> Frame:
        return Frame({name: column[part] for name, column in self.frame.rows.items()})


class Host:
    """A freqtrade in miniature: hourly bars that rise, an account, trades."""

    def __init__(self, mode: str = "backtest") -> None:
        self.runmode = mode
        self.now = START
        self.stake_amount = 10_000.0
        self.open: list[Any] = []
        self.closed: list[Any] = []
        self.pairs = list(PAIRS)
        self.bars = 200

    # dp
    def current_whitelist(self) -> list[str]:
        return self.pairs

    def get_analyzed_dataframe(self, pair: str, timeframe: str) -> tuple[Frame, None]:
        dates = [self.now - HOUR * (self.bars - place) for place in range(self.bars)]
        closes = [100.0 * 1.002 ** ((date - START) / HOUR) for date in dates]
        return Frame({
            "date": dates, "close": closes, "high": [one * 1.003 for one in closes],
            "low": [one * 0.997 for one in closes],
        }), None

    def ticker(self, pair: str) -> dict[str, float]:
        return {}

    # wallets
    def get_total_stake_amount(self) -> float:
        return self.stake_amount

    # Trade
    def get_trades_proxy(self, *, is_open: bool, close_date: datetime | None = None) -> list[Any]:
        if is_open:
            return self.open
        return [one for one in self.closed if close_date is None or one.close_date_utc > close_date]

    def close_trades(self, *profits: float) -> None:
        """Close trades with these profits at this moment."""
        for profit in profits:
            self.closed.append(types.SimpleNamespace(
                id=len(self.closed), close_date_utc=self.now, close_profit_abs=profit, pair=PAIRS[0]
            ))

    def hold(self, pair: str, stake: float, profit: float) -> None:
        """Have a position open with an unrealised profit."""
        self.open.append(types.SimpleNamespace(
            pair=pair, stake_amount=stake, amount=1.0, calc_profit=lambda rate: profit
        ))


class Strategy(PolicyGuard):
    """A strategy of a user, without freqtrade's base class."""

    guard_confidence = 0.58
    timeframe = "1h"
    stoploss = -0.03

    def __init__(self, host: Host, folder: Path) -> None:
        self.dp = self.wallets = host
        self.config = {"user_data_dir": str(folder)}

    def stake(self, pair: str = PAIRS[0], **change: Any) -> float:
        asked = {"current_rate": 1.0, "proposed_stake": 1e9, "min_stake": None, "max_stake": 1e9, "leverage": 1.0}
        return self.custom_stake_amount(
            pair, self.dp.now, **{**asked, **change}, entry_tag=None, side="long"  # type: ignore[arg-type]
        )

    def confirms(self, pair: str = PAIRS[0]) -> bool:
        return self.confirm_trade_entry(pair, "limit", 1.0, 1.0, "GTC", self.dp.now, None, "long")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host()
    module = types.ModuleType("freqtrade.persistence")
    module.Trade = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "freqtrade.persistence", module)
    monkeypatch.setenv("ORCH_PROFILE", "SAFE")
    return made


def play(strategy: Strategy, hours: int = 1) -> None:
    """Let hours pass, a loop of the bot in each."""
    for _ in range(hours):
        strategy.dp.now += HOUR
        strategy.bot_loop_start(strategy.dp.now)


def test_it_sizes_by_risk_over_the_stop_that_the_user_states(host: Host, tmp_path: Path) -> None:
    """SAFE BULL: 0.72 % of 10,000; a nominal stop of 26 % does not shrink the stake of a strategy that loses 3 %."""
    strategy = Strategy(host, tmp_path)
    strategy.stoploss = -0.26
    play(strategy)
    assert strategy.stake(max_stake=1e9) == pytest.approx(72.0 / 0.26)
    strategy.guard_stop_pct = 12.0
    assert strategy.stake() == pytest.approx(72.0 / 0.12)
    assert strategy.confirms()


def test_a_stake_is_clipped_to_what_the_exposure_limit_leaves(host: Host, tmp_path: Path) -> None:
    """SAFE: 10 % of equity as margin; 400 in a position leave 600."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    host.hold(PAIRS[1], 400.0, 0.0)
    assert strategy.stake() == pytest.approx(600.0)
    host.hold(PAIRS[1], 600.0, 0.0)
    assert strategy.stake() == 0.0
    assert strategy.stake(min_stake=2_000.0) == 0.0


def test_entries_of_one_loop_count_each_other(host: Host, tmp_path: Path) -> None:
    """SAFE allows five positions; the sixth entry of the same loop is refused."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    for _ in range(5):
        assert strategy.stake() > 0.0
        host.hold(PAIRS[1], 1.0, 0.0)
    assert strategy.stake() == 0.0


def test_after_a_losing_streak_trades_come_back_without_a_win(host: Host, tmp_path: Path) -> None:
    """SAFE: four losses ask for 0.60, above the strategy's 0.58; 72 hours flat end that."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    assert strategy.confirms()
    host.close_trades(-10.0, -10.0, -10.0, -10.0)
    play(strategy, 72)
    assert not strategy.confirms()
    play(strategy, 4)
    assert strategy.confirms()
    note = strategy.guard.policy.get_policy().note
    assert "B2-END losing streak ended: 72 h without a position (losing_streak 4 → 0)" in note


@pytest.mark.parametrize("error", [RuntimeError("broken"), ValueError("broken"), KeyError("broken"), OSError("full")])
def test_a_failing_evaluation_refuses_and_the_log_says_why(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """What was permitted before is not permitted any more; the next good evaluation permits it again."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    assert strategy.stake() > 0.0

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    strategy.guard.policy.update_policy, good = fails, strategy.guard.policy.update_policy  # type: ignore[method-assign]
    play(strategy)
    assert (strategy.stake(), strategy.confirms()) == (0.0, False)
    assert "could not be evaluated" in caplog.text
    strategy.guard.policy.update_policy = good  # type: ignore[method-assign]
    play(strategy)
    assert strategy.stake() > 0.0


def test_a_failing_callback_refuses(host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """freqtrade takes an exception as consent; none leaves the guard."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    host.get_total_stake_amount = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    assert strategy.stake() == 0.0
    strategy.guard_confidence = None
    assert strategy.confirms() is False
    assert "division by zero" in caplog.text
    assert "guard_confidence" in caplog.text


def test_a_state_that_cannot_be_saved_refuses(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in dry-run: no entries while it lasts."""
    host.runmode = "dry_run"
    strategy = Strategy(host, tmp_path)
    play(strategy)
    assert strategy.stake() > 0.0

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quantum_trader.policy.store.write_atomically", full)
    host.close_trades(-10.0)
    play(strategy)
    assert (strategy.stake(), strategy.confirms()) == (0.0, False)


def test_a_strategy_whose_loop_does_not_call_the_guard_trades_nothing(host: Host, tmp_path: Path) -> None:
    """Never evaluated, or long ago: refused."""
    strategy = Strategy(host, tmp_path)
    assert (strategy.stake(), strategy.confirms()) == (0.0, False)
    play(strategy)
    host.now += 2 * HOUR
    assert strategy.stake() == 0.0


def test_a_second_backtest_in_the_same_process_is_like_the_first(host: Host, tmp_path: Path) -> None:
    """Time begins again, nothing is left on disk, and the losses of the first run do not count."""
    strategy = Strategy(host, tmp_path)
    play(strategy, 10)
    host.close_trades(-10.0, -10.0, -10.0, -10.0)
    play(strategy, 3)
    assert not strategy.confirms()
    host.now, host.closed = START, []
    play(strategy)
    assert strategy.stake() > 0.0
    assert strategy.confirms()
    assert list(tmp_path.iterdir()) == []


def test_the_daily_loss_counts_open_positions(host: Host, tmp_path: Path) -> None:
    """SAFE: 2.5 % down with everything still open closes trading; the reason is B1."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    host.hold(PAIRS[1], 100.0, -251.0)
    play(strategy)
    assert strategy.stake() == 0.0
    answer = strategy.guard.policy.get_policy().for_symbol(PAIRS[0])
    assert answer.reason.startswith("B1 Daily DD limit hit")


def test_the_daily_loss_is_the_same_after_a_restart(host: Host, tmp_path: Path) -> None:
    """2 % down, restart, 0.6 % more on the same UTC day: closed as without the restart."""
    host.runmode = "live"
    first = Strategy(host, tmp_path)
    play(first)
    host.stake_amount = 9_800.0
    play(first)
    assert first.stake() > 0.0
    again = Strategy(host, tmp_path)
    host.stake_amount = 9_740.0
    play(again)
    assert again.stake() == 0.0
    assert [path.name for path in tmp_path.iterdir()] == ["policy_Strategy_live.json"]


def test_nothing_is_written_while_nothing_changes(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of loops, one every five seconds: one write for the hour, not one a loop."""
    host.runmode = "dry_run"
    strategy = Strategy(host, tmp_path)
    writes = 0
    save = strategy.guard.policy.save

    def counted() -> None:
        nonlocal writes
        writes += 1
        save()

    monkeypatch.setattr(strategy.guard.policy, "save", counted)
    play(strategy)
    writes, now = 0, host.now
    for second in range(0, 3_600, 5):
        host.now = now
        strategy.bot_loop_start(now + timedelta(seconds=second))
    assert writes == 0


def test_every_pair_is_judged_by_its_own_bars_of_this_moment(host: Host, tmp_path: Path) -> None:
    """All pairs are evaluated in each loop; one whose bars stopped turns stale and is refused by its own rules."""
    strategy = Strategy(host, tmp_path)
    play(strategy)
    good = host.get_analyzed_dataframe
    old = good(PAIRS[1], "1h")
    host.get_analyzed_dataframe = (  # type: ignore[method-assign]
        lambda pair, timeframe: old if pair == PAIRS[1] else good(pair, timeframe)
    )
    play(strategy, 5)
    policy = strategy.guard.policy.get_policy()
    assert "F1" in {rule.rule for rule in policy.for_symbol(PAIRS[1]).rules}
    assert "F1" not in {rule.rule for rule in policy.for_symbol(PAIRS[0]).rules}


def test_a_refusal_is_logged_once_until_it_changes(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A signal refused each hour for the same reason is one line."""
    caplog.set_level(logging.INFO)
    strategy = Strategy(host, tmp_path)
    strategy.guard_confidence = 0.40
    for _ in range(5):
        play(strategy)
        assert not strategy.confirms()
    lines = [line for line in caplog.messages if "confidence 0.40 is below 0.55" in line]
    assert len(lines) == 1


def test_a_market_measured_from_bars_of_any_length_is_the_same() -> None:
    """Five-minute bars and hourly bars of one rising path give one trend; both need 60 hours for the volatility."""
    config = load_profile("SAFE")
    states = []
    for bar_s in (300, 3_600):
        market = PairMarket(bar_s)
        assert market.state(0.0, config).trend is Trend.UNKNOWN
        for start in range(0, 72 * 3_600, bar_s):
            close = 100.0 + (start + bar_s) / 3_600
            market.add(start, close, close - bar_s / 3_600, close)
        states.append(market.state(72 * 3_600.0, config))
    assert states[0].vol_ratio == pytest.approx(states[1].vol_ratio)
    assert states[0].age_bars == states[1].age_bars == 0.0
    assert (states[0].trend, states[0].direction) == (Trend.TRENDING, Direction.UP)
    assert states[0].vol_level is VolLevel.NORMAL


def test_the_overall_market_is_the_commonest_of_the_fresh_ones() -> None:
    """A tie is RANGING; what is too old does not count."""
    up = MarketState(trend=Trend.TRENDING, direction=Direction.UP, vol_level=VolLevel.NORMAL, vol_ratio=0.01)
    flat = MarketState(trend=Trend.RANGING, direction=None, vol_level=VolLevel.NORMAL, vol_ratio=0.03)
    old = MarketState(trend=Trend.RANGING, direction=None, vol_level=VolLevel.NORMAL, age_bars=3.1)
    assert overall([up, up, flat, old, old]) == (Trend.TRENDING, Direction.UP, pytest.approx(0.05 / 3))
    assert overall([up, flat])[0] is Trend.RANGING
    assert overall([old])[0] is Trend.UNKNOWN


class Unbuilt(Strategy):
    """A strategy whose own bot_start does not call the guard's, so that a wrong setting does not show at the start."""

    def bot_start(self, **kwargs: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("setting", "value"), [("guard_profile", "SAEF"), ("timeframe", "1y"), ("dp", None), ("config", {})]
)
def test_a_guard_that_cannot_be_built_refuses(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture, setting: str, value: Any
) -> None:
    """freqtrade would take the exception as consent; each callback says once in the log what is wrong."""
    host.runmode = "dry_run"
    strategy = Unbuilt(host, tmp_path)
    setattr(strategy, setting, value)
    strategy.bot_start()
    for _ in range(3):
        strategy.bot_loop_start(START)
        stake = strategy.custom_stake_amount(PAIRS[0], START, 1.0, 1e9, None, 1e9, 1.0, None, "long")
        entry = strategy.confirm_trade_entry(PAIRS[0], "limit", 1.0, 1.0, "GTC", START, None, "long")
        assert (stake, entry) == (0.0, False)
    lines = [line for line in caplog.messages if line.startswith("policy guard")]
    assert len(lines) == len(set(lines)) == 3
    if setting == "guard_profile":
        assert all("SAEF" in line for line in lines)


def test_a_guard_whose_constructor_fails_refuses_until_it_can_be_built(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an error of no kind of ours; the next loop tries again."""
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr("quantum_trader.policy.freqtrade.FreqtradeGuard.__init__", fails)
        strategy = Unbuilt(host, tmp_path)
        play(strategy)
        assert (strategy.stake(), strategy.confirms()) == (0.0, False)
    assert (strategy.stake(), strategy.confirms()) == (0.0, False)
    play(strategy)
    assert strategy.stake() > 0.0
    assert strategy.confirms()


@pytest.mark.parametrize("bar_s", [3_600, 4 * 3_600, 8 * 3_600, 86_400])
def test_the_volatility_of_a_market_does_not_depend_on_the_length_of_the_bars(bar_s: int) -> None:
    """A random walk of 55 % a year is NORMAL on bars of any length: longer ones count as 4-hour bars."""
    config, draw = load_profile("SAFE"), random.Random(7)
    step = 0.55 * math.sqrt(300 / (365 * 86_400))
    market, price, levels, ratios = PairMarket(bar_s), 100.0, [], []
    for start in range(0, 400 * 86_400, bar_s):
        high = low = price
        for _ in range(bar_s // 300):
            price *= math.exp(step * draw.gauss(0.0, 1.0))
            high, low = max(high, price), min(low, price)
        market.add(start, high, low, price)
        if not math.isnan(market.vol_ratio):
            levels.append(market.state(float(start + bar_s), config).vol_level)
            ratios.append(market.vol_ratio)
    assert levels.count(VolLevel.NORMAL) > 0.95 * len(levels)
    assert VolLevel.EXTREME not in levels
    assert math.fsum(ratios) / len(ratios) == pytest.approx(0.0175, rel=0.1)
