"""Every number of a report, against numbers worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from tests.app.sample import START_NS, STATS, facts, trade

from quantum_trader.app.report.data import (
    build_report,
    curve_statistics,
    daily_returns,
    drawdowns,
    grouped,
    hold_curve,
    monthly_returns,
    policy_bands,
    r_histogram,
    shadow_group,
    thinned,
    trade_statistics,
)
from quantum_trader.app.runs.results import DrawdownFacts
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.policy.evidence import evidence, verdict_of
from quantum_trader.policy.ledger import RolloutLedger


def test_daily_returns_use_the_last_sample_of_each_utc_day() -> None:
    """The first sample is the opening; a close at midnight belongs to the day that it ends; samples between do not
    matter."""
    hours = np.array([0, 12, 24, 30, 48], dtype=np.int64)
    equity = np.array([100.0, 55.0, 110.0, 1.0, 99.0])

    returns = daily_returns(START_NS + hours * NS_PER_HOUR, equity)

    assert returns.tolist() == pytest.approx([0.10, -0.10])


def test_sharpe_is_mean_over_deviation_of_daily_returns_times_root_of_365() -> None:
    """Twenty days of +1 % and 0 % in turn have a ratio one can work out."""
    changes = np.array([0.01, 0.0] * 10)
    equity = 100.0 * np.concatenate(([1.0], np.cumprod(1.0 + changes)))
    ts = START_NS + np.arange(21, dtype=np.int64) * NS_PER_DAY

    found = curve_statistics(ts, equity)

    expected = changes.mean() / changes.std(ddof=1) * math.sqrt(365.0)
    assert found["sharpe"] == pytest.approx(expected)
    assert found["sharpe_low"] < expected < found["sharpe_high"]
    assert found["sortino"] is None, "without a losing day there is no downside to divide by"


def test_too_short_a_run_has_no_sharpe() -> None:
    """Nine days say nothing: None, not a number."""
    ts = START_NS + np.arange(9, dtype=np.int64) * NS_PER_DAY

    found = curve_statistics(ts, np.linspace(100.0, 120.0, 9))

    assert found["sharpe"] is None
    assert found["sharpe_low"] is None


def test_the_deepest_drawdown_names_its_peak_and_its_trough() -> None:
    """100 to 120 to 90 is -25 % from the second day to the third."""
    ts = START_NS + np.arange(4, dtype=np.int64) * NS_PER_DAY

    found = curve_statistics(ts, np.array([100.0, 120.0, 90.0, 110.0]))

    assert found["max_drawdown_pct"] == pytest.approx(-25.0)
    assert found["drawdown_from"] == "2017-10-02T00:00:00Z"
    assert found["drawdown_to"] == "2017-10-03T00:00:00Z"


def test_drawdowns_are_never_positive() -> None:
    """Each sample against the highest so far."""
    assert drawdowns(np.array([1.0, 2.0, 1.0, 3.0])).tolist() == [0.0, 0.0, -50.0, 0.0]


def test_trade_statistics_of_three_trades() -> None:
    """Two winners of 2 R and 1 R and a loser of 1 R."""
    found = trade_statistics([trade(0, 2.0), trade(1, 1.0), trade(2, -1.0)])

    assert found["count"] == 3
    assert found["win_rate"] == pytest.approx(2 / 3)
    assert found["profit_factor"] == pytest.approx(3.0)
    assert found["avg_r"] == pytest.approx(2 / 3)
    assert found["avg_hours"] == pytest.approx(6.0)
    assert found["pnl"] == pytest.approx(20.0)


def test_no_trades_is_not_a_win_rate_of_zero() -> None:
    """What is not known is None."""
    found = trade_statistics([])

    assert found["count"] == 0
    assert found["win_rate"] is None
    assert found["profit_factor"] is None


def test_profit_factor_without_a_loss_is_unknown_not_infinite() -> None:
    """JSON knows no infinity, and neither does a track record."""
    assert trade_statistics([trade(0, 1.0)])["profit_factor"] is None


def test_grouped_tables_add_up_to_the_whole() -> None:
    """Every trade stands in exactly one row."""
    rows = [trade(i, 0.5 if i % 2 else -0.5) for i in range(31)]

    table = grouped(rows, lambda one: one.symbol)

    assert sum(row["count"] for row in table) == 31
    assert sum(row["pnl"] for row in table) == pytest.approx(sum(one.pnl for one in rows))
    assert [row["count"] for row in table] == sorted((row["count"] for row in table), reverse=True)


def test_months_compound_to_the_whole_return() -> None:
    """The product of the monthly returns is the return of the run."""
    run = facts(days=120)

    months = monthly_returns(run.ts_ns, run.equity)

    growth = math.prod(1.0 + row["return_pct"] / 100.0 for row in months)
    assert growth == pytest.approx(float(run.equity[-1] / run.equity[0]))
    assert [(row["year"], row["month"]) for row in months] == [(2017, 10), (2017, 11), (2017, 12), (2018, 1)]


def test_buy_and_hold_waits_in_cash_for_a_symbol_without_bars() -> None:
    """The second symbol starts two days late: until then its half stands still."""
    run = facts(days=20)

    worth = hold_curve(run)

    first = run.closes[:, 0] / run.closes[0, 0]
    assert worth[0] == pytest.approx(10_000.0)
    assert worth[47] == pytest.approx(5_000.0 + 5_000.0 * first[47])
    assert worth[-1] == pytest.approx(5_000.0 * first[-1] + 5_000.0 * run.closes[-1, 1] / run.closes[48, 1])


def test_the_histogram_holds_every_trade() -> None:
    """Outliers fall into the outermost bins instead of out of the chart."""
    bins = r_histogram([trade(0, -40.0), trade(1, 40.0), trade(2, 0.1)])

    assert sum(bins["counts"]) == 3
    assert bins["counts"][0] == 1
    assert bins["counts"][-1] == 1


def test_thinning_keeps_the_peak_and_the_trough() -> None:
    """A curve with one spike keeps it."""
    values = np.full(10_000, 100.0)
    values[5_003], values[7_001] = 500.0, 3.0

    kept = thinned(values, 100)

    assert {0, 5_003, 7_001, 9_999} <= set(kept)
    assert len(kept) <= 104


def test_policy_bands_cover_the_run_without_gaps() -> None:
    """Each band ends where the next begins."""
    bands = policy_bands(facts(days=30))

    assert all(one[1] == following[0] for one, following in pairwise(bands))
    assert all(one[2] != following[2] for one, following in pairwise(bands))


def test_the_interval_of_blocked_shadows_surrounds_their_mean() -> None:
    """And with a handful of them there is none."""
    run = facts()
    whole = shadow_group(run, run.shadows.blocked)
    few = shadow_group(run, np.arange(run.shadows.r.size) < 4)

    assert whole["low_r"] < whole["mean_r"] < whole["high_r"]
    assert few["count"] == 4
    assert few["low_r"] is None


def test_blocked_signals_have_one_verdict_and_one_interval() -> None:
    """Signals that one switch alone blocks: the same numbers above the table of switches and in it."""
    run = facts()
    known = run.shadows
    rows = np.flatnonzero(known.blocked)
    ledger = RolloutLedger()
    for row in rows.tolist():
        ledger.record(row, int(known.ts_ns[row]), (1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        ledger.resolve(row, float(known.r[row]), end_ns=int(known.ts_ns[row] + known.life_ns[row]))
    found, group = evidence(ledger, "signal_filter"), shadow_group(run, known.blocked)

    assert (group["low_r"], group["high_r"]) == found.interval
    assert group["mean_r"] == pytest.approx(found.mean_r)
    assert (group["count"], group["verdict"]) == (found.resolved, verdict_of(found.interval))


def test_signals_after_the_first_open_shadow_wait() -> None:
    """Stops end sooner than targets: what was given after a signal whose result is not known is not counted yet."""
    run = facts()
    complete = np.arange(run.shadows.r.size) < 500
    known = msgspec.structs.replace(run.shadows, complete=complete)
    found = shadow_group(msgspec.structs.replace(run, shadows=known), known.blocked)

    assert found["count"] == int((known.blocked & complete).sum())
    assert found["sum_r"] == pytest.approx(float(known.r[known.blocked & complete].sum()))


def test_a_day_without_a_bar_is_a_day_without_a_change() -> None:
    """As in a sweep: three days in all, nothing happened on the second."""
    ts = START_NS + np.array([0, 1, 3], dtype=np.int64) * NS_PER_DAY
    assert daily_returns(ts, np.array([100.0, 110.0, 99.0])).tolist() == pytest.approx([0.10, 0.0, -0.10])


def test_the_drawdown_of_the_report_is_the_one_seen_at_every_bar() -> None:
    """The figure, its days and the deepest point of the chart, where the hourly samples show less."""
    run = facts()
    lows = run.lows.copy()
    lows[5_000] = -0.5
    fallen = DrawdownFacts(depth=-0.5, peak_ns=int(run.ts_ns[4_990]), trough_ns=int(run.ts_ns[5_000]))
    report = build_report(msgspec.structs.replace(run, lows=lows, drawdown=fallen), STATS)

    assert report["summary"]["max_drawdown_pct"] == -50.0
    assert min(report["curves"]["drawdown_pct"]) == -50.0
    assert report["benchmark"]["max_drawdown_pct"] == run.hold_drawdown.depth * 100.0


def test_costs_explain_the_difference_between_before_and_after() -> None:
    """Profit before costs less fees, less slippage, plus funding is the profit."""
    costs = build_report(facts(), STATS)["costs"]

    after = costs["profit_before_costs"] - costs["fees"] - costs["slippage"] + costs["funding"]
    assert after == pytest.approx(costs["profit"])


def test_only_the_run_section_varies() -> None:
    """The same facts with other wall times give the same report but for ``run``."""
    first = build_report(facts(), STATS)
    second = build_report(facts(), msgspec.structs.replace(STATS, wall_s=99.0, state_dir="elsewhere"))

    assert {k: v for k, v in first.items() if k != "run"} == {k: v for k, v in second.items() if k != "run"}
    assert first["run"] != second["run"]


def test_a_report_is_json_without_nan() -> None:
    """Unknown is null; the text reads back to the same values."""
    report = build_report(facts(), STATS)

    assert msgspec.json.decode(msgspec.json.encode(report))["summary"] == report["summary"]
    assert report["policy"]["evidence"][1]["low_r"] is None


def test_a_run_without_policy_has_no_policy_section() -> None:
    """The section is None, so that zeros are not read as results."""
    assert build_report(facts(with_policy=False), STATS)["policy"] is None
