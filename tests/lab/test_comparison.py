"""The figures of a comparison: those of a run, those of holding from past data alone, and those one can count."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from quantum_trader.app.cli.options import model_flags, policy_flags
from quantum_trader.app.runs.comparison import HOLD, HOLD_SCALED, OBSERVED, Comparison, compare_rows
from quantum_trader.app.runs.replay import memory_run
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.lab.comparison import HeldCoins, Traded, figures_of, held_at_volatility, under_water

SPAN = {"data.start": ("2018-01-01", "--from"), "data.end": ("2018-05-31", "--to")}


def settings(mode: str, profile: str = "SAFE", model: str = "trend") -> RunSettings:
    """A built-in set over five months of the bundled bars."""
    given = {"policy.profile": (profile, "--profile")}
    return load_settings(None, policy_flags(mode) | model_flags([model]) | SPAN | given).settings


@pytest.fixture(scope="module")
def found() -> Comparison:
    """The comparison, an EMERGENCY resumed after a day, as runs do."""
    return compare_rows(settings("observe"), settings("enforce"), resume_hours=24.0)


# ---- against the run ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("key", "mode", "profile"), [
    (OBSERVED, "observe", "SAFE"), ("AGGRESSIVE", "enforce", "AGGRESSIVE"),
])
def test_a_row_is_what_a_run_with_the_same_settings_does(
    found: Comparison, key: str, mode: str, profile: str
) -> None:
    """Result, trades, drawdown, fees and funding; turnover and slippage from the run's own fills."""
    facts = memory_run(settings(mode, profile=profile))[0].facts
    row = next(one for one in found.rows if one.key == key)
    mean, years = float(row.equity.mean()), len(row.daily) / 365.0
    figures = row.figures
    assert figures.trades == len(facts.trades)
    assert row.equity[-1] == pytest.approx(float(facts.equity[-1]))
    assert figures.max_drawdown_pct == pytest.approx(facts.drawdown.depth * 100.0)
    assert figures.fees_pct_a_year * mean * years / 100.0 == pytest.approx(facts.costs.fees)
    assert figures.funding_pct_a_year * mean * years / 100.0 == pytest.approx(facts.costs.funding)
    assert figures.turnover_a_year * mean * years == pytest.approx(facts.costs.fees / 5e-4, rel=1e-6)
    assert figures.slippage_pct_a_year * mean * years / 100.0 == pytest.approx(facts.costs.slippage, rel=0.1)
    at = np.searchsorted(facts.ts_ns, np.array(found.day_s) * 10**9)  # the hourly sample at the end of each day
    assert figures.exposure_pct == pytest.approx(float(np.mean(facts.gross[at] / facts.equity[at])) * 100.0)
    below = [trade.confidence < 0.5 for trade in facts.trades]
    assert sum(below) <= (figures.against_expectation or 0) <= sum(below) + len(facts.positions)


def test_each_pair_is_compared_on_the_same_days(found: Comparison) -> None:
    """Each profile with the models observed, those with holding at equal volatility; as many days in every row."""
    assert [(one.first, one.second) for one in found.differences] == [
        ("SAFE", OBSERVED), ("STANDARD", OBSERVED), ("AGGRESSIVE", OBSERVED), (OBSERVED, HOLD_SCALED),
    ]
    assert {len(row.daily) for row in found.rows} == {151}
    assert [row.key for row in found.rows] == [HOLD, HOLD_SCALED, OBSERVED, "SAFE", "STANDARD", "AGGRESSIVE"]


def test_the_explained_trade_and_its_forecast_are_those_of_the_run(found: Comparison) -> None:
    """The newest trade that the observed row closed; its confidence is in the run's own records."""
    trade = found.explained.trade
    assert trade is not None
    assert trade.forecast is not None
    facts = memory_run(settings("observe", profile="SAFE"))[0].facts
    same = max(facts.trades, key=lambda one: one.exit_ns)
    known = [one for one in facts.trades if (one.symbol, one.entry_ns) == (trade.symbol, trade.entry_ns)]
    assert same.exit_ns == trade.exit_ns
    assert [(one.side.value, one.exit_reason.value) for one in known] == [(trade.side, trade.reason)]
    assert trade.stop == pytest.approx(known[0].stop_price)
    assert (trade.entry, trade.exit, trade.qty) == pytest.approx(
        (known[0].entry_price, known[0].exit_price, known[0].qty)
    )
    assert trade.forecast.confidence == pytest.approx(known[0].confidence)
    said = trade.forecast
    gate = 0.5 * math.erfc(-(said.expected_bps - said.cost_bps) / said.error_bps / math.sqrt(2.0))
    assert said.confidence == pytest.approx(gate, abs=1e-9)


def test_a_stopped_row_has_its_date_and_what_it_did_if_resumed() -> None:
    """The intraday models lose until the governor stops them. Until then a row is the one that is resumed after a day,
    and that one's figures stand beside it."""
    observed, enforced = settings("observe", model="intraday-demo"), settings("enforce", model="intraday-demo")
    never, daily = compare_rows(observed, enforced), compare_rows(observed, enforced, resume_hours=24.0)
    stopped = [row for row in never.rows if row.stop is not None]
    assert OBSERVED in [row.key for row in stopped]
    for row in stopped:
        resumed = next(one for one in daily.rows if one.key == row.key)
        assert row.resumed is not None
        assert row.stop is not None
        assert msgspec.to_builtins(row.resumed) == msgspec.to_builtins(resumed.figures)
        day = int(np.searchsorted(np.array(never.day_s) * 10**9, row.stop.at_ns))
        assert np.array_equal(row.daily[:day], resumed.daily[:day])
        assert row.stop.cause in ("drawdown from the all-time peak", "losses in a row")
    assert all(row.stop is None for row in never.rows if row.key in (HOLD, HOLD_SCALED))


# ---- holding -----------------------------------------------------------------------------------------------------
def holding(changes: np.ndarray, before: np.ndarray) -> HeldCoins:
    """One coin with one bar a day."""
    return HeldCoins(
        worth=np.cumprod(1.0 + changes), ends=np.arange(len(changes)),
        day_s=tuple(range(86_400, 86_400 * (len(changes) + 1), 86_400)), cost=0.0, before=before, funding_a_year=0.0,
    )


def test_holding_at_equal_volatility_realises_it_and_knows_the_past_alone() -> None:
    """Volatility that doubles half-way is met by half the size; what comes later changes nothing before."""
    rng = np.random.default_rng(2)
    changes = rng.standard_normal(1_500) * np.where(np.arange(1_500) < 750, 0.02, 0.04)
    one = held_at_volatility(holding(changes, changes[:100]), 1_000.0, 6.0, 7.0)
    assert figures_of(one).volatility_pct == pytest.approx(6.0, rel=0.08)
    other = changes.copy()
    other[900:] *= -3.0
    assert np.array_equal(held_at_volatility(holding(other, changes[:100]), 1_000.0, 6.0, 7.0).equity[:900],
                          one.equity[:900])
    share = one.gross / one.equity
    assert share[1_000:].mean() == pytest.approx(0.5 * share[300:750].mean(), rel=0.1)


def test_holding_at_equal_volatility_borrows_nothing_and_pays_for_each_change() -> None:
    """A target above that of the coins holds all of the money; a change costs its basis points."""
    changes = np.full(200, 0.01)
    changes[::2] = -0.01
    whole = held_at_volatility(holding(changes, changes), 1_000.0, 400.0, 0.0)
    assert whole.equity[-1] == pytest.approx(1_000.0 * np.prod(1.0 + changes))
    assert whole.turnover == pytest.approx(1_000.0)
    paid = held_at_volatility(holding(changes, changes), 1_000.0, 400.0, 10.0)
    assert paid.fees == pytest.approx(1.0)
    assert paid.equity[-1] == pytest.approx(0.999 * whole.equity[-1])


def test_holding_buys_each_symbol_once_and_is_never_stopped(found: Comparison) -> None:
    """Equal parts at the first open, by hand; less fee and slippage of one purchase."""
    recording = found.recording
    _, ohlcv, _, _ = recording.arrays()
    gross = float(np.mean(ohlcv[-1, :, 3] / ohlcv[0, :, 0])) - 1.0
    row = next(one for one in found.rows if one.key == HOLD)
    assert (1.0 + gross) * 0.997 < 1.0 + row.figures.return_pct / 100.0 < (1.0 + gross) * 0.9994
    assert row.stop is None


# ---- what one can count ------------------------------------------------------------------------------------------
def test_time_under_water_counts_days_below_the_highest_equity_so_far() -> None:
    """The start counts as a height; the longest stretch in days."""
    share, longest = under_water(np.array([99.0, 101.0, 100.0, 100.5, 102.0, 101.0]), 100.0)
    assert (share, longest) == (pytest.approx(4.0 / 6.0), 2)
    assert under_water(np.array([101.0, 102.0]), 100.0) == (0.0, 0)
    assert under_water(np.array([99.0, 98.0, 97.0]), 100.0) == (1.0, 3)


def test_shares_of_cost_and_funding_are_of_the_profit_before_them() -> None:
    """100 before costs: 10 of fees, 5 of slippage, 20 of funding paid; unknown where there was no such profit."""
    days = np.linspace(1_000.0, 1_065.0, 366)[1:]
    one = Traded(
        equity=days, start_equity=1_000.0, max_drawdown_pct=0.0, gross=np.full(365, 516.25), held_share=0.5, trades=3,
        turnover=2_065.0, fees=10.0, slippage=5.0, funding=-20.0,
    )
    figures = figures_of(one)
    assert figures.cost_share == pytest.approx(0.15)
    assert figures.funding_share == pytest.approx(0.20)
    assert figures.turnover_a_year == pytest.approx(2.0, rel=1e-3)
    assert figures.exposure_pct == pytest.approx(50.0, rel=1e-2)
    assert figures_of(msgspec.structs.replace(one, equity=2_000.0 - days)).cost_share is None
