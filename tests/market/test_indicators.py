"""Every indicator gives TA-Lib's values, and its batch form is its own step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.market import indicators as ind
from quantum_trader.market.recording import open_recording

RELATIVE = 1e-9


def random_bars() -> np.ndarray:
    """Seeded bars (3000, 5): a random walk with ranges around it."""
    rng = np.random.Generator(np.random.PCG64(7))
    close = 250.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 3000)))
    open_ = np.concatenate(([250.0], close[:-1]))
    high = np.maximum(open_, close) * (1.0 + rng.exponential(0.003, 3000))
    low = np.minimum(open_, close) * (1.0 - rng.exponential(0.003, 3000))
    return np.column_stack((open_, high, low, close, rng.uniform(1.0, 9.0, 3000)))


def real_bars() -> np.ndarray:
    """The first 5000 bundled bars (n, 5) of one symbol that are there."""
    _, ohlcv, present, _ = open_recording(symbols=["BTCUSDT"]).arrays()
    return np.ascontiguousarray(ohlcv[present[:, 0], 0][:5000])


@pytest.fixture(scope="module", params=["random", "real"])
def bars(request: pytest.FixtureRequest) -> np.ndarray:
    return random_bars() if request.param == "random" else real_bars()


def assert_same(ours: np.ndarray, theirs: np.ndarray, scale: float = 0.0) -> None:
    """Both start at the same bar and agree to 1e-9, relative, or to 1e-9 of *scale* where a value crosses zero."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=RELATIVE, atol=RELATIVE * scale)


@pytest.mark.parametrize("period", [5, 21, 200])
def test_ema_and_sma_are_talibs(bars: np.ndarray, period: int) -> None:
    """EMA starts from the plain mean of its first period."""
    close = bars[:, 3]
    assert_same(ind.ema(close, period), talib.EMA(close, period))
    assert_same(ind.sma(close, period), talib.SMA(close, period))


def test_rsi_is_talibs(bars: np.ndarray) -> None:
    """Wilder's smoothing of gains and losses."""
    assert_same(ind.rsi(bars[:, 3], 14), talib.RSI(bars[:, 3], 14), scale=100.0)


def test_atr_is_talibs(bars: np.ndarray) -> None:
    """The true range needs the close before it, so the first ATR is at bar 14."""
    _, high, low, close, _ = bars.T.copy()
    ours = ind.atr(high, low, close, 14)
    assert_same(ours, talib.ATR(high, low, close, 14))
    assert np.isnan(ours).sum() == 14


def test_adx_and_directional_indicators_are_talibs(bars: np.ndarray) -> None:
    """ADX is first known at bar 27, the directional indicators at bar 14."""
    _, high, low, close, _ = bars.T.copy()
    adx, plus, minus = ind.adx(high, low, close, 14)
    assert_same(adx, talib.ADX(high, low, close, 14), scale=100.0)
    assert_same(plus, talib.PLUS_DI(high, low, close, 14), scale=100.0)
    assert_same(minus, talib.MINUS_DI(high, low, close, 14), scale=100.0)


def test_macd_is_talibs(bars: np.ndarray) -> None:
    """Signal and histogram start together; the line is known before them here."""
    close = bars[:, 3]
    line, signal, histogram = ind.macd(close)
    their_line, their_signal, their_histogram = talib.MACD(close)
    assert_same(signal, their_signal, scale=close.mean())
    assert_same(histogram, their_histogram, scale=close.mean())
    known = ~np.isnan(their_line)
    np.testing.assert_allclose(line[known], their_line[known], rtol=RELATIVE, atol=RELATIVE * close.mean())


def test_bollinger_is_talibs(bars: np.ndarray) -> None:
    """Two population deviations around the mean of 20."""
    for ours, theirs in zip(ind.bollinger(bars[:, 3]), talib.BBANDS(bars[:, 3], 20), strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("period", [2, 20, 96])
def test_donchian_is_talibs_max_and_min(bars: np.ndarray, period: int) -> None:
    """Channel borders are exact, not approximate."""
    _, high, low, _, _ = bars.T.copy()
    top, bottom = ind.donchian(high, low, period)
    np.testing.assert_array_equal(top, talib.MAX(high, period))
    np.testing.assert_array_equal(bottom, talib.MIN(low, period))


def test_slope_is_talibs_regression_slope(bars: np.ndarray) -> None:
    """Slopes cross zero, so agreement is asked relative to the price."""
    close = bars[:, 3]
    assert_same(ind.slope(close, 14), talib.LINEARREG_SLOPE(close, 14), scale=close.mean())


def test_returns_and_volatility_are_talibs(bars: np.ndarray) -> None:
    """Rate of change, and the deviation of log returns."""
    close = bars[:, 3]
    assert_same(ind.returns(close, 5), talib.ROCP(close, 5), scale=1.0)
    theirs = talib.STDDEV(np.diff(np.log(close)), 30)
    np.testing.assert_allclose(ind.realised_volatility(close, 30)[30:], theirs[29:], rtol=1e-7)


STEPS: list[tuple[str, Any, int, Any]] = [
    ("ema", lambda s, bar: ind.ema_step(s, 0, bar[3], 21), ind.EMA_SIZE, lambda b: ind.ema(b[:, 3], 21)),
    ("rsi", lambda s, bar: ind.rsi_step(s, 0, bar[3], 14), ind.RSI_SIZE, lambda b: ind.rsi(b[:, 3])),
    ("atr", lambda s, bar: ind.atr_step(s, 0, bar[1], bar[2], bar[3], 14), ind.ATR_SIZE,
     lambda b: ind.atr(b[:, 1], b[:, 2], b[:, 3])),
    ("adx", lambda s, bar: ind.adx_step(s, 0, bar[1], bar[2], bar[3], 14)[0], ind.ADX_SIZE,
     lambda b: ind.adx(b[:, 1], b[:, 2], b[:, 3])[0]),
    ("macd", lambda s, bar: ind.macd_step(s, 0, bar[3], 12, 26, 9)[2], ind.MACD_SIZE, lambda b: ind.macd(b[:, 3])[2]),
    ("deviation", lambda s, bar: ind.rolling_step(s, 0, bar[3], 20)[1], ind.rolling_size(20),
     lambda b: (ind.bollinger(b[:, 3])[0] - ind.bollinger(b[:, 3])[1]) / 2.0),
    ("slope", lambda s, bar: ind.slope_step(s, 0, bar[3], 14), ind.rolling_size(14), lambda b: ind.slope(b[:, 3], 14)),
    ("highest", lambda s, bar: ind.highest_step(s, 0, bar[1], 20), ind.extreme_size(20),
     lambda b: ind.donchian(b[:, 1], b[:, 2], 20)[0]),
]


@pytest.mark.parametrize(("name", "step", "size", "batch"), STEPS, ids=[row[0] for row in STEPS])
def test_batch_form_is_the_step(name: str, step: Any, size: int, batch: Any) -> None:
    """The plain Python step, on a list, gives what the compiled batch form gives."""
    bars = random_bars()[:400]
    state = [0.0] * size
    plain = np.array([step(state, [float(x) for x in bar]) for bar in bars])
    np.testing.assert_allclose(batch(bars), plain, rtol=1e-12, atol=1e-10, err_msg=name)
    assert not np.isnan(plain[-1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60), st.integers(1, 12))
def test_highest_is_the_largest_of_the_window(values: list[float], period: int) -> None:
    """For any numbers, ties and falls included."""
    state = [0.0] * ind.extreme_size(period)
    for i, value in enumerate(values):
        found = ind.highest_step(state, 0, value, period)
        if i + 1 >= period:
            assert found == max(values[i + 1 - period : i + 1])


def test_a_flat_market_has_no_trend_and_no_range() -> None:
    """Nothing moves: ATR, ADX, RSI and deviation are 0, not NaN."""
    flat = np.full(100, 5.0)
    assert ind.atr(flat, flat, flat)[-1] == 0.0
    assert ind.adx(flat, flat, flat)[0][-1] == 0.0
    assert ind.rsi(flat)[-1] == 0.0
    assert ind.bollinger(flat)[0][-1] == 5.0


def test_rolling_sums_do_not_drift() -> None:
    """After a jump by twelve orders of magnitude the deviation is right again once the jump has left the window."""
    values = np.concatenate((np.full(50, 1.0), [1e12], np.tile([1.0, 2.0], 40)))
    deviation = (ind.bollinger(values, 20)[0] - ind.sma(values, 20)) / 2.0
    assert deviation[-1] == pytest.approx(0.5, rel=1e-9)
