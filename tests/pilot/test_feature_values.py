"""Every feature equals what plain numpy makes of the same bars."""

from __future__ import annotations

import numpy as np
import pytest
from tests.pilot import plain
from tests.pilot.conftest import Tape, same, walk

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.features import FEATURES
from quantum_trader.pilot.own_state import AccountInForce, OwnPosition, own_row

NAMES = [one.name for one in FEATURES]
OF_BARS = NAMES[: col.VOLUME_RATIO + 1]
CLOSE_ENOUGH = {"rtol": 1e-7, "atol": 1e-9}  # of rolling sums against sums made anew


@pytest.fixture(scope="module")
def part(tape: Tape) -> Tape:
    """2,000 bundled moments in which some symbols lack bars."""
    rows = next(
        first for first in range(0, len(tape.ts), 1_000) if not tape.present[first + 500 : first + 1_800].all()
    )
    return tape.rows(rows, rows + 2_000)


@pytest.mark.parametrize("symbol", range(5))
def test_the_features_of_bars_are_what_numpy_makes_of_them(part: Tape, symbol: int) -> None:
    """All 35 of them, at every bar of a symbol, from its first bar on."""
    here = part.present[:, symbol]
    raw = part.observed().raw[here, symbol]
    _, high, low, close, volume = part.ohlcv[here, symbol].T
    expected = plain.bar_features(high, low, close, volume)

    assert list(expected.keys() ^ set(OF_BARS)) == []
    for place, name in enumerate(OF_BARS):
        np.testing.assert_allclose(raw[:, place], expected[name], err_msg=name, **CLOSE_ENOUGH)


@pytest.mark.parametrize("symbol", range(5))
def test_the_regime_is_what_numpy_makes_of_longer_bars(part: Tape, symbol: int) -> None:
    """One of the five flags is 1, from the first known one on; its age counts observed bars."""
    here = part.present[:, symbol]
    closes_ns = part.ts[here] + part.base_ns
    raw = part.observed().raw[here, symbol]
    names = plain.regimes(part.ts[here], part.ohlcv[here, symbol], part.base_ns, closes_ns)

    assert len(set(names)) >= 4
    for code, name in enumerate(("BULL", "BEAR", "HIGH_VOL", "CHOP", "NORMAL")):
        expected = np.array([np.nan if not one else float(one == name) for one in names])
        assert same(raw[:, col.REGIME_BULL + code], expected), name
    np.testing.assert_allclose(raw[:, col.REGIME_AGE], plain.ages(names), rtol=1e-12)


def test_the_clock_is_what_numpy_makes_of_the_close(part: Tape) -> None:
    """Sine and cosine of the time of day and of the week, at every close."""
    batch = part.observed()
    for name, expected in plain.waves(batch.closes_ns).items():
        values = batch.raw[:, :, NAMES.index(name)]
        known = part.present
        np.testing.assert_allclose(
            values[known], np.broadcast_to(expected[:, None], values.shape)[known], err_msg=name, atol=1e-12
        )


def test_the_week_begins_on_monday() -> None:
    """At Monday 00:00 UTC the sine is 0 and the cosine 1; half a week later the cosine is -1."""
    tape = walk(48 * 8, 30, missing=0.0)  # from 2024-01-01, a Monday
    raw = tape.observed().raw[:, 0]

    assert raw[48 * 7 - 1, col.WEEK_SINE] == pytest.approx(0.0, abs=1e-12)
    assert raw[48 * 7 - 1, col.WEEK_COSINE] == 1.0
    assert raw[24 * 7 - 1, col.WEEK_COSINE] == -1.0


def test_the_market_is_bitcoin_and_for_bitcoin_the_others(part: Tape) -> None:
    """Return and correlation over 60 common bars, of every symbol."""
    raw = part.observed().raw
    returns = raw[:, :, col.RETURN_1]
    for symbol in range(5):
        others = np.delete(returns, symbol, axis=1)
        known = np.isfinite(others).any(axis=1)
        if symbol == 0:
            market = np.full(len(returns), np.nan)
            market[known] = np.nanmean(others[known], axis=1)
        else:
            market = returns[:, 0].copy()
        market[~part.present[:, symbol]] = np.nan
        np.testing.assert_allclose(raw[:, symbol, col.MARKET_RETURN], market, rtol=1e-9, atol=1e-15)
        both = np.isfinite(market) & np.isfinite(returns[:, symbol])
        expected = np.full(len(returns), np.nan)
        x, y = returns[both, symbol], market[both]
        places = np.flatnonzero(both)
        for i in range(59, len(x)):
            expected[places[i]] = np.corrcoef(x[i - 59 : i + 1], y[i - 59 : i + 1])[0, 1]
        np.testing.assert_allclose(raw[:, symbol, col.MARKET_CORRELATION], expected, rtol=1e-6, atol=1e-9)


def test_without_bitcoin_the_market_is_the_mean_of_the_other_symbols() -> None:
    """Never the symbol itself."""
    raw = walk(300, 30, ("ETHUSDT", "XRPUSDT", "BTCDOMUSDT"), missing=0.0).observed().raw
    returns = raw[1:, :, col.RETURN_1]

    for symbol in range(3):
        expected = np.delete(returns, symbol, axis=1).mean(axis=1)
        np.testing.assert_allclose(raw[1:, symbol, col.MARKET_RETURN], expected, rtol=1e-9, atol=1e-15)


def test_a_single_symbol_has_no_market() -> None:
    """Both features are masked; the symbol is ready."""
    batch = walk(300, 30, ("BTCUSDT",), missing=0.0).observed()

    assert np.isnan(batch.raw[:, 0, [col.MARKET_RETURN, col.MARKET_CORRELATION]]).all()
    assert batch.ready[199:].all()


def test_order_book_and_funding_are_the_feeds(part: Tape) -> None:
    """As given at the close of the observed bar; what is not known or infinite is masked and counted."""
    tape = walk(600, 30, missing=0.0)
    tape.feed[300, 0, :3] = 1.5, np.nan, np.inf
    raw = tape.observed().raw

    assert same(raw[:300, :, col.SPREAD : col.ORDER_FLOW_IMBALANCE + 1], tape.feed[:300, :, :3])
    assert same(raw[..., col.FUNDING_RATE : col.FUNDING_HOURS + 1], tape.feed[..., 3:])
    assert raw[300, 0, col.SPREAD] == 1.5
    assert np.isnan(raw[300, 0, [col.DEPTH_IMBALANCE, col.ORDER_FLOW_IMBALANCE]]).all()
    assert raw[300, 0, col.ORDER_BOOK_KNOWN] == pytest.approx(1.0 / 3.0)
    assert set(raw[301:, :, col.ORDER_BOOK_KNOWN].ravel()) == {0.0, 1.0}


def test_the_account_is_what_it_says_of_itself() -> None:
    """As given; the bars held as ln(1 + bars)."""
    tape = walk(300, 30, missing=0.0)
    position = OwnPosition(side=-1, size_share=0.2, open_r=-0.7, held_bars=9, stop_share=0.03)
    account = AccountInForce(
        drawdown=0.04, exposure=1.2, losing_streak=3, min_confidence=0.55, max_risk_pct=0.8, may_open=True
    )
    tape.own[-1, 1] = own_row(position, account)

    raw = tape.observed().raw[-1, 1, col.FIRST_OWN :]

    assert raw.tolist() == pytest.approx([-1.0, 0.2, -0.7, np.log(10.0), 0.03, 0.04, 1.2, 3.0, 0.55, 0.8, 1.0])


@pytest.mark.parametrize(("change", "words"), [
    ({"side": 2}, "side = 2: must be 1"), ({"stop_share": -0.1}, "stop_share = -0.1: must not be negative"),
    ({"open_r": float("nan")}, "open_r = nan: must be a finite number"),
    ({"held_bars": 3.0}, "held_bars = 3.0: must be 0 where there is no position"),
])
def test_a_position_that_cannot_be_is_refused(change: dict[str, float], words: str) -> None:
    """The error names the field and the value."""
    with pytest.raises(ValueError, match=words):
        OwnPosition(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("change", "words"), [
    ({"drawdown": 4.0}, "drawdown = 4.0: is a fraction"), ({"min_confidence": 55.0}, "min_confidence = 55.0"),
    ({"max_risk_pct": float("inf")}, "max_risk_pct = inf"), ({"losing_streak": -1.0}, "losing_streak = -1.0"),
])
def test_an_account_that_cannot_be_is_refused(change: dict[str, float], words: str) -> None:
    """The error names the field and the value."""
    fields = {
        "drawdown": 0.0, "exposure": 0.0, "losing_streak": 0.0, "min_confidence": 0.5, "max_risk_pct": 1.0,
        "may_open": True,
    }
    with pytest.raises(ValueError, match=words):
        AccountInForce(**(fields | change))  # type: ignore[arg-type]


def test_built_up_bars_give_the_features_of_the_longer_bars() -> None:
    """Five-minute bars observed as half hours: what numpy makes of their half-hour bars."""
    tape = walk(6 * 400, 5, missing=0.0)
    raw = tape.observed().raw[:, 1]
    _, bars = plain.longer_bars(tape.ts, tape.ohlcv[:, 1], 5 * NS_PER_MINUTE, 30 * NS_PER_MINUTE)
    expected = plain.bar_features(bars[:, 1], bars[:, 2], bars[:, 3], bars[:, 4])

    for place, name in enumerate(OF_BARS):
        np.testing.assert_allclose(raw[:, place], expected[name], err_msg=name, **CLOSE_ENOUGH)


def test_prices_that_stand_still_are_no_division_by_zero() -> None:
    """Where nothing moves, ratios take their stated value, and the symbol stays ready."""
    tape = walk(400, 30, missing=0.0)
    tape.ohlcv[:, 1, :4], tape.ohlcv[:, 1, 4] = 50.0, 2.0
    batch = tape.observed()
    still = batch.raw[-1, 1]

    assert batch.ready[-1, 1]
    assert still[col.VOLATILITY_RATIO] == still[col.VOLUME_RATIO] == 1.0
    for place in (
        col.MACD_LINE, col.MOMENTUM, col.BOLLINGER_POSITION, col.TREND_SLOPE, col.TREND_FIT, col.VOLUME_ZSCORE,
        col.MARKET_CORRELATION,
    ):
        assert still[place] == 0.0
