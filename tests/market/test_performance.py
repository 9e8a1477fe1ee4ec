"""Rating, barring and re-admission of a symbol by its own trades."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from quantum_trader.domain.enums import TAG_CODES, PerformanceTag
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.market.jit import compiled
from quantum_trader.market.performance import (
    JUDGED,
    LOSSES,
    PNL,
    RISK_FACTOR,
    SIZE,
    TAG,
    TRADES,
    WINDOW,
    record_shadow,
    record_trade,
    reset_row,
    upper_bound,
)
from quantum_trader.market.published import SymbolPerformanceManager
from quantum_trader.market.symbol_performance import SymbolPerformance


def after(*results: float) -> SymbolPerformance:
    """One symbol after these results in R, at 10 USDT an R."""
    book = SymbolPerformance(["BTCUSDT"])
    for r in results:
        book.trade(0, r, 10.0 * r)
    return book


def test_a_new_symbol_is_neutral() -> None:
    """It has no results yet."""
    fresh = SymbolPerformance(["BTCUSDT"]).snapshot(0)
    assert fresh.performance_tag is PerformanceTag.NEUTRAL
    assert (fresh.trades, fresh.winrate, fresh.avg_r, fresh.cumulative_pnl) == (0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("results", "tag", "factor"),
    [
        ((1.0,) * 4, PerformanceTag.NEUTRAL, 1.0),  # four trades are not judged
        ((1.0,) * 5, PerformanceTag.GOOD, 1.0),
        ((-1.0,) * 4, PerformanceTag.NEUTRAL, 1.0),
        ((-1.0,) * 5, PerformanceTag.NEUTRAL, 0.5),
        ((5.0, 5.0, -1.0, -1.0, -1.0, -1.0, -1.0), PerformanceTag.NEUTRAL, 0.5),  # 2 of 7 won, though R is above 0
        ((5.0, 5.0, 5.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0), PerformanceTag.NEUTRAL, 1.0),  # exactly 30 %
        ((1.0, 1.0, 1.0, -2.0, -2.0), PerformanceTag.NEUTRAL, 0.5),  # 60 % won, R below 0
        ((1.0, 1.0, 1.0, -1.0, -2.0), PerformanceTag.NEUTRAL, 1.0),  # average R exactly 0
        ((-1.0,) * 9, PerformanceTag.NEUTRAL, 0.5),
        ((-1.0,) * 10, PerformanceTag.BAD, 0.5),
    ],
)
def test_tag_and_risk_factor(results: tuple[float, ...], tag: PerformanceTag, factor: float) -> None:
    """Judged from 5 trades on; disabled by 10 losses in a row."""
    book = after(*results)
    assert book.snapshot(0).performance_tag is tag
    assert book.risk_factor(0) == factor


def test_only_the_last_fifty_trades_count_for_rate_and_average() -> None:
    """Fifty wins after many losses are a perfect record; the PnL counts all."""
    book = after(*[-1.0] * 70, *[1.0] * WINDOW)
    seen = book.snapshot(0)
    assert (seen.winrate, seen.avg_r, seen.trades, seen.cumulative_pnl) == (1.0, 1.0, 120, -200.0)


def test_three_shadow_wins_in_a_row_readmit_a_disabled_symbol() -> None:
    """A clean slate, but for the cumulative PnL."""
    book = after(*[-1.0] * 10)
    assert [book.shadow(0, r) for r in (1.0, 1.0, -1.0, 0.5, 0.5)] == [False] * 5
    assert book.shadow(0, 0.1) is True
    back = book.snapshot(0)
    assert back.performance_tag is PerformanceTag.NEUTRAL
    assert (back.trades, back.consecutive_losses, back.winrate, back.cumulative_pnl) == (0, 0, 0.0, -100.0)
    assert book.risk_factor(0) == 1.0


def test_a_real_trade_starts_the_shadow_count_again() -> None:
    """Two shadow wins before it do not count."""
    book = after(-1.0, -1.0)
    book.shadow(0, 1.0)
    book.shadow(0, 1.0)
    book.trade(0, -1.0, -10.0)
    assert book.shadow(0, 1.0) is False


def test_three_shadow_wins_give_a_good_symbol_a_clean_slate_too() -> None:
    """A profile may ban by average R what is tagged GOOD; without re-admission such a ban would never end."""
    book = after(*[1.0] * 6)
    assert [book.shadow(0, 1.0) for _ in range(3)] == [False, False, True]
    assert book.snapshot(0).trades == 0


def test_snapshots_are_the_same_objects_until_something_changes() -> None:
    """So that the policy recognises unchanged inputs."""
    book = SymbolPerformance(["BTCUSDT", "ETHUSDT"])
    before = book.snapshots()
    assert book.snapshots() is before
    book.trade(1, 1.0, 5.0)
    assert book.snapshots()[0] is before[0]
    assert book.snapshots()[1] is not before[1]


def test_state_survives_and_a_foreign_one_is_refused() -> None:
    """A restored book goes on where it stopped."""
    book = after(1.0, -1.0, 1.0)
    copy = SymbolPerformance(["BTCUSDT"])
    copy.load_state(book.state())
    assert copy.snapshot(0) == book.snapshot(0)
    with pytest.raises(StateError, match="performance rows"):
        SymbolPerformance(["BTCUSDT", "ETHUSDT"]).load_state(book.state())


def test_a_nan_result_is_refused() -> None:
    """The error names the key."""
    with pytest.raises(InputError, match="r = nan"):
        SymbolPerformance(["BTCUSDT"]).trade(0, float("nan"), 1.0)


@pytest.mark.parametrize("by_score", [0, 1])
@given(events=st.lists(st.tuples(st.booleans(), st.floats(-3.0, 5.0, width=32)), max_size=80))
def test_compiled_and_plain_forms_agree(by_score: int, events: list[tuple[bool, float]]) -> None:
    """For any sequence of trades and shadows, bit for bit, and losses never outnumber trades."""
    plain, machine = np.zeros(SIZE), np.zeros(SIZE)
    reset_row(plain)
    reset_row(machine)
    for real, r in events:
        if real:
            lost = min(1.0, max(0.0, -r)) if by_score else 1.0
            record_trade(plain, r, r, lost, by_score)
            compiled(record_trade)(machine, r, r, lost, by_score)
        else:
            assert record_shadow(plain, r) == compiled(record_shadow)(machine, r)
        assert plain[LOSSES] <= plain[TRADES]
    np.testing.assert_array_equal(plain, machine)
    assert plain[PNL] == machine[PNL]


def by_score(*results: float) -> SymbolPerformance:
    """One symbol after trades of a model's score with these R, weighted by risk."""
    book = SymbolPerformance(["BTCUSDT"])
    for r in results:
        book.trade(0, r, r, max(0.0, -r), by_score=True)
    return book


def test_a_model_that_loses_often_and_little_keeps_its_symbol_and_its_risk() -> None:
    """One trade in four wins twice what the others lose: fifteen small losses in a row bar nothing."""
    rows = by_score(*([-0.1, -0.1, -0.1, 0.6] * 6), *[-0.1] * 15).rows[0]
    assert TAG_CODES[int(rows[TAG])] is not PerformanceTag.BAD
    assert rows[RISK_FACTOR] == 1.0
    assert rows[LOSSES] == pytest.approx(1.5)


def test_an_average_below_zero_halves_the_risk_of_a_symbol_that_models_trade() -> None:
    """From five trades on, whatever the share of wins."""
    assert by_score(0.1, 0.1, 0.1, -0.5).rows[0, RISK_FACTOR] == 1.0
    assert by_score(0.1, 0.1, 0.1, 0.1, -0.5).rows[0, RISK_FACTOR] == 0.5


def test_a_symbol_is_barred_once_its_mean_is_below_zero_beyond_doubt() -> None:
    """From twenty trades on, by the 80 % upper bound of the mean; ten R lost in a row bar it at once."""
    losing = [-0.2, 0.1, -0.3, 0.05]
    assert TAG_CODES[int(by_score(*(losing * 5)[:19]).rows[0, TAG])] is not PerformanceTag.BAD
    assert TAG_CODES[int(by_score(*(losing * 5)).rows[0, TAG])] is PerformanceTag.BAD
    doubtful = [-0.2, 0.9, -0.3, -0.5]
    assert TAG_CODES[int(by_score(*(doubtful * 5)).rows[0, TAG])] is not PerformanceTag.BAD
    assert TAG_CODES[int(by_score(-4.0, -4.0, -2.0).rows[0, TAG])] is PerformanceTag.BAD


def test_the_bound_is_that_of_the_normal_distribution() -> None:
    """Mean plus 0.8416 standard errors, as scipy has it."""
    results = np.random.default_rng(3).normal(-0.02, 0.2, 40)
    expected = norm.ppf(0.8, results.mean(), results.std(ddof=1) / math.sqrt(len(results)))
    assert upper_bound(by_score(*results).rows[0]) == pytest.approx(expected, abs=1e-5)


def test_a_profile_judges_no_win_rate_of_a_symbol_that_models_trade() -> None:
    """Its thresholds are for trades that their own stop sized."""
    assert by_score(*[-0.1] * 12).rows[0, JUDGED] == 0.0
    assert after(*[1.0] * 12).rows[0, JUDGED] == 12.0


def test_a_book_of_an_older_state_folder_is_continued() -> None:
    """Rows without the last column: what is judged are all trades."""
    book = after(1.0, -1.0, 1.0)
    old = {"rows": book.state()["rows"][:, :-1]}
    copy = SymbolPerformance(["BTCUSDT"])
    copy.load_state(old)
    np.testing.assert_array_equal(copy.rows, book.rows)


def test_a_saved_file_of_an_older_version_is_continued() -> None:
    """The published manager's rows without the last column lose nothing."""
    manager = SymbolPerformanceManager()
    for r in (1.0, -1.0, 0.5):
        manager.update_stats("BTCUSDT", 10.0 * r, r)
    saved = manager.state()
    old = {**saved, "rows": {symbol: row[:-1] for symbol, row in saved["rows"].items()}}
    other = SymbolPerformanceManager()
    other.load_state(old)
    assert other.state() == saved
