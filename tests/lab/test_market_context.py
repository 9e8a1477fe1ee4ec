"""Ranges of market conditions: luck alone gives none, a planted effect is found, results of the future do not count."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.lab.shadows.made_signals import made_signals

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.journal import MarketContextLogger
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import TradeEvent
from quantum_trader.lab.market_context import (
    LUCK,
    ConditionSettings,
    optimal_conditions,
    samples_of_signals,
)
from quantum_trader.lab.shadows.judged_signals import OPEN
from quantum_trader.models.entry_features import ENTRY_FEATURES

START_NS = 1_700_006_400_000_000_000
_SPREAD = ENTRY_FEATURES.index("spread_bps")


def test_luck_alone_is_rarely_taken_for_a_range() -> None:
    """Of 120 worlds in which no condition matters, in which shadow trades overlap, few have a range that counts."""
    found = [optimal_conditions(samples_of_signals(made_signals(300, seed))) for seed in range(120)]
    assert min(one.tests for one in found) >= 16
    told = [one for one in found if any(each.is_better or each.is_worse for each in one.ranges)]
    assert len(told) <= 12  # 5 % of 120 are 6, with a standard deviation of 2.4
    one_by_one = [one for one in found if any((each.p_value or 1.0) < 0.05 for each in one.ranges)]
    assert len(one_by_one) > 40, "without the correction nearly every second world would have had a range"
    assert [one.sentence.endswith(LUCK) for one in found if one not in told] == [True] * (120 - len(told))


def test_a_range_that_matters_is_found_with_its_bounds() -> None:
    """Signals at a narrow spread earn 100 bps more: the lowest range counts, and its interval holds that."""
    signals = made_signals(600, 7)
    spread = np.random.default_rng(3).uniform(1.0, 9.0, len(signals))
    features = signals.features.copy()
    features[:, _SPREAD] = spread
    results = signals.net_bps + np.where(spread < 3.0, 100.0, 0.0)
    found = optimal_conditions(samples_of_signals(msgspec.structs.replace(signals, features=features, net_bps=results)))
    best = [one for one in found.ranges if one.is_better]
    assert [one.condition for one in best] == ["spread"]
    assert (best[0].high or 9.0) < 3.3
    assert (best[0].difference_low or 999.0) < 100.0 < (best[0].difference_high or 0.0)
    assert "spread 1." in found.sentence


def test_every_sample_lies_in_exactly_one_range_of_a_condition() -> None:
    """Counts add up, the largest value included."""
    found = optimal_conditions(samples_of_signals(made_signals(203, 1)))
    for condition in ("volatility", "spread", "volume_ratio", "funding", "regime"):
        assert math.fsum(one.samples for one in found.ranges if one.condition == condition) == found.known == 203


def test_results_behind_an_open_shadow_trade_do_not_count() -> None:
    """Stops end sooner than targets: what came after the first open one is no result yet."""
    signals = made_signals(200, 2)
    outcome = signals.outcome.copy()
    outcome[120] = OPEN
    found = optimal_conditions(samples_of_signals(msgspec.structs.replace(signals, outcome=outcome)))
    assert (found.samples, found.known) == (200, 120)


def test_few_results_are_not_tested() -> None:
    """Below the least count there is a mean and no test."""
    found = optimal_conditions(samples_of_signals(made_signals(24, 5)))
    assert found.tests == 0
    assert {one.p_value for one in found.ranges} == {None}
    assert found.sentence == "Too few results (24) to tell any range from another."


@pytest.mark.parametrize(("key", "value"), [("ranges", 1), ("least", 2), ("rate", 0.0), ("rate", math.nan)])
def test_settings_out_of_range_are_refused(key: str, value: Any) -> None:
    """The key and the value are named."""
    with pytest.raises(ConfigError, match=key):
        ConditionSettings(**{key: value})


def trade(signal_id: str, ts_ns: int, pnl: float, r: float = math.nan) -> TradeEvent:
    """A trade of the snapshot *signal_id*."""
    return TradeEvent(
        trace_id=signal_id, symbol="BTCUSDT", ts_ns=ts_ns, trade_id=f"t-{signal_id}", side="LONG", pnl=pnl,
        r_multiple=r, fees=0.0, exit_reason="STOP", bars_held=1,
    )


def test_the_published_analysis_is_of_winning_trades_and_says_luck(tmp_path: Path) -> None:
    """``["spread"]["min"]`` as published; the ranges are tested; days outside the span are left out."""
    now = START_NS + 10 * NS_PER_DAY
    with MarketContextLogger(tmp_path, clock=lambda: now) as logger, EventLogger(tmp_path, producer="trades") as trades:
        for number in range(60):
            ts_ns = START_NS + number * 4 * NS_PER_HOUR
            at = datetime.fromtimestamp(ts_ns / 1e9, UTC)
            assert logger.log_context(
                ts=at, symbol="BTCUSDT", price=100.0, volatility_1h=0.1 + number % 7, spread_bps=1.0 + number % 3,
                volume_ratio=1.0, regime="TREND" if number % 2 else "CHOP", signal_id=f"s{number}",
            ) == number + 1
            trades.log(trade(f"s{number}", ts_ns + NS_PER_HOUR, pnl=10.0 if number % 3 == 0 else -5.0))
        trades.flush()
        told = logger.analyze_optimal_conditions(days=30)
        assert (told["of"], told["count"], told["results"], told["unit"]) == ("winning trades", 20, 60, "USDT")
        assert told["spread"] == {"avg": 1.0, "min": 1.0, "max": 1.0}
        assert told["by_regime"] == [{"regime": "CHOP", "count": 10}, {"regime": "TREND", "count": 10}]
        better = [one for one in told["ranges"] if one["is_better"]]
        assert [(one["condition"], one["low"]) for one in better] == [("spread", 1.0)]
        assert "better than luck explains: spread 1 to 2" in told["verdict"]
        assert logger.analyze_optimal_conditions(days=7)["total_snapshots"] == 42
        with pytest.raises(InputError, match="days"):
            logger.analyze_optimal_conditions(days=0)


def test_a_trade_before_its_snapshot_and_one_of_the_future_give_no_result(tmp_path: Path) -> None:
    """A result is of a trade that ended after the snapshot and before now."""
    now = START_NS + NS_PER_DAY
    with MarketContextLogger(tmp_path, clock=lambda: now) as logger, EventLogger(tmp_path, producer="trades") as trades:
        for name, end_ns in (("early", START_NS - NS_PER_HOUR), ("late", now + NS_PER_HOUR), ("good", now)):
            logger.log_context(ts=START_NS, symbol="BTCUSDT", price=1.0, spread_bps=1.0, signal_id=name)
            trades.log(trade(name, end_ns, pnl=1.0, r=0.5))
        trades.flush()
        told = logger.analyze_optimal_conditions()
    assert (told["total_snapshots"], told["results"], told["unit"]) == (3, 1, "R")
