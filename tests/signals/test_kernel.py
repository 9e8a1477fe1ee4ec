"""The signal kernel's measures, its resets, and its refused inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.enums import TREND_RANGING, TREND_TRENDING, TREND_UNKNOWN
from quantum_trader.domain.errors import DataError, InputError, StateError
from quantum_trader.market.regime import MarketSettings
from quantum_trader.market.resample import resample
from quantum_trader.signals import columns as c
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.settings import SignalSettings

from .conftest import HALF_HOUR, Market, random_market

FIVE_MINUTES = 5 * NS_PER_MINUTE


def kernel_for(market: Market, **settings: float) -> SignalKernel:
    """A fresh kernel for the market's symbols."""
    return SignalKernel(market.symbols, market.interval_ns, signals=SignalSettings(**settings))  # type: ignore[arg-type]


def answers(market: Market, **settings: float) -> np.ndarray:
    """Every moment's output (T, S, SIZE) of a fresh kernel."""
    return kernel_for(market, **settings).advance_all(market.ts, market.ohlcv, market.present)


def test_every_column_has_a_name() -> None:
    """Names and places agree."""
    assert len(c.COLUMN_NAMES) == c.SIZE
    named = {
        c.CLOSE: "close", c.ADX_1H: "adx_1h", c.QUALITY: "quality", c.UP_PROBABILITY: "p_up",
        c.VOTE_0: "vote_macd_trend",
    }
    assert {place: c.COLUMN_NAMES[place] for place in named} == named


def test_a_state_of_other_settings_or_symbols_is_refused(walk: Market) -> None:
    """The message names the mismatch."""
    state = kernel_for(walk).state()
    with pytest.raises(StateError, match="other settings"):
        kernel_for(walk, edge=0.52).load_state(state)
    with pytest.raises(StateError, match="signal state"):
        SignalKernel(["A"], HALF_HOUR).load_state(state)


def test_bars_of_other_length_mean_the_same() -> None:
    """The same market in 5-minute and in 30-minute bars gives the same decisions, measures and quality."""
    fine = random_market(14_400, 2, FIVE_MINUTES, seed=3)
    fine = fine._replace(present=np.ones_like(fine.present))
    coarse_bars = [resample(fine.ts, fine.ohlcv[:, s], FIVE_MINUTES, HALF_HOUR) for s in range(2)]
    ts = coarse_bars[0][0]
    ohlcv = np.ascontiguousarray(np.stack([bars for _, bars in coarse_bars], axis=1))
    coarse = Market(ts, ohlcv, np.ones(ohlcv.shape[:2], dtype=bool), HALF_HOUR)
    from_fine, from_coarse = answers(fine)[5::6], answers(coarse)
    np.testing.assert_array_equal(from_fine, from_coarse)
    assert np.abs(from_coarse[..., c.SIGNAL]).sum() > 0
    assert answers(fine)[..., c.SIGNAL].sum() == from_coarse[..., c.SIGNAL].sum()


def test_measures_are_talibs_on_completed_longer_bars(bundled: Market) -> None:
    """ADX and ATR of whole 1-hour bars, ATR over close of whole 4-hour bars."""
    some = bundled.rows(0, 3000)
    out = answers(some)[:, 0]
    here = some.present[:, 0]
    bars = (some.ts[here], some.ohlcv[here, 0])
    hours_ts, hours = resample(*bars, HALF_HOUR, NS_PER_HOUR)
    fours_ts, fours = resample(*bars, HALF_HOUR, 4 * NS_PER_HOUR)
    _, high, low, close, _ = hours.T.copy()
    at = np.searchsorted(some.ts, hours_ts + NS_PER_HOUR - HALF_HOUR)
    np.testing.assert_allclose(out[at, c.ADX_1H], talib.ADX(high, low, close, 14), rtol=1e-9)
    np.testing.assert_allclose(out[at, c.ATR_1H], talib.ATR(high, low, close, 14), rtol=1e-9)
    _, high, low, close, _ = fours.T.copy()
    at = np.searchsorted(some.ts, fours_ts + 4 * NS_PER_HOUR - HALF_HOUR)
    np.testing.assert_allclose(out[at, c.VOL_RATIO], talib.ATR(high, low, close, 14) / close, rtol=1e-9)
    known = ~np.isnan(out[:, c.ADX_1H])
    assert set(np.unique(out[known, c.TREND])) == {TREND_TRENDING, TREND_RANGING}
    assert set(np.unique(out[~known, c.TREND])) == {TREND_UNKNOWN}


def test_an_absent_symbol_only_ages(walk: Market) -> None:
    """Everything but age, signal and the common quality stays; it was never seen before its first bar."""
    present = walk.present.copy()
    present[:, 1] = True
    present[1500:1510, 1] = False
    present[:100, 2] = False
    out = answers(walk._replace(present=present))
    np.testing.assert_array_equal(out[1500:1510, 1, c.MARKET_AGE], np.arange(1.0, 11.0))
    assert (out[1500:1510, 1, c.SIGNAL] == 0.0).all()
    same = [k for k in range(c.SIZE) if k not in (c.MARKET_AGE, c.SIGNAL, c.QUALITY)]
    np.testing.assert_array_equal(out[1505, 1, same], out[1499, 1, same])
    assert (out[:100, 2, c.MARKET_AGE] == math.inf).all()
    assert np.isnan(out[:100, 2, c.CLOSE]).all()
    assert (out[:100, 2, c.TREND] == TREND_UNKNOWN).all()


@pytest.mark.parametrize(("missing", "cold"), [(48, False), (49, True)])
def test_a_hole_of_more_than_a_day_starts_afresh(walk: Market, missing: int, cold: bool) -> None:
    """After a gap over a day nothing is known until it is measured again; up to a day the measures go on."""
    present = np.ones_like(walk.present)
    present[1000 : 1000 + missing, 0] = False
    out = answers(walk._replace(present=present))
    first = out[1000 + missing, 0]
    assert math.isnan(first[c.VOL_RATIO]) == cold
    assert (first[c.TREND] == TREND_UNKNOWN) == cold
    if cold:
        assert (first[c.VOTE_0 :] == 0.5).all()
        assert not math.isnan(out[1500, 0, c.VOL_RATIO])
        assert (out[1500, 0, c.VOTE_0 :] != 0.5).any()


def test_time_must_move_forward(walk: Market) -> None:
    """The same bar twice is refused, one by one and in a batch."""
    kernel = kernel_for(walk)
    kernel.advance_all(*walk.rows(0, 10)[:3])
    with pytest.raises(DataError, match="time must move forward"):
        kernel.advance_arrays(int(walk.ts[9]), walk.ohlcv[9], walk.present[9])
    with pytest.raises(DataError, match="time must move forward"):
        kernel.advance_all(*walk.rows(5, 20)[:3])


@pytest.mark.parametrize("interval", [7 * NS_PER_MINUTE, 2 * NS_PER_HOUR, 0])
def test_base_bars_must_divide_an_hour(interval: int) -> None:
    """Seven minutes, two hours and nothing are refused by name."""
    with pytest.raises(InputError, match="interval_ns"):
        SignalKernel(["A"], interval)


def test_timeframes_are_settings(walk: Market) -> None:
    """A trend from 2-hour bars is another trend, and is known later."""
    out = SignalKernel(walk.symbols, HALF_HOUR, MarketSettings(trend_minutes=120)).advance_all(*walk[:3])
    usual = answers(walk)
    assert np.isnan(out[:, 0, c.ATR_1H]).sum() > 1.8 * np.isnan(usual[:, 0, c.ATR_1H]).sum()


def test_costs_follow_volatility_and_are_always_numbers(walk: Market) -> None:
    """2 bps + 50 x ratio is expected; a fill pays the 2 bps and its own bar's range. An ordinary 2 % comes first."""
    out = answers(walk)
    late = out[2000, 0]
    assert late[c.SLIPPAGE_BPS] == pytest.approx(2.0 + 50.0 * late[c.VOL_RATIO])
    assert late[c.TAKER_COST_BPS] == pytest.approx(late[c.SPREAD_BPS] / 2.0 + 2.0)
    assert out[1, 0, c.SLIPPAGE_BPS] == 3.0


def test_signals_wait_for_warm_up_and_cool_down(walk: Market) -> None:
    """No signal while models are cold; afterwards same-direction signals are a cool-down apart."""
    out = answers(walk, cooldown_hours=6.0)
    for s in range(3):
        at = np.flatnonzero(out[:, s, c.SIGNAL])
        assert at[0] >= 150
        same = np.diff(out[at, s, c.SIGNAL]) == 0.0
        assert (np.diff(at)[same] >= 12).all()
        assert (out[at, s, c.CONFIDENCE] >= 0.51).all()


def test_features_are_never_newer_than_the_bar(walk: Market) -> None:
    """The newest base bar of a decision is the present bar or an older one."""
    kernel = kernel_for(walk)
    assert (kernel.features_ts == -1).all()
    kernel.advance_all(*walk.rows(0, 200)[:3])
    assert (kernel.features_ts <= walk.ts[199]).all()
    assert (kernel.features_ts > walk.ts[190]).all()


def test_an_empty_chunk_changes_nothing(walk: Market) -> None:
    """No moments give an empty output and no step."""
    kernel = kernel_for(walk)
    before = kernel.state()
    assert kernel.advance_all(*walk.rows(0, 0)[:3]).shape == (0, 3, c.SIZE)
    np.testing.assert_array_equal(kernel.state()["rows"], before["rows"])


def test_a_gap_of_exactly_a_day_is_no_hole() -> None:
    """Counted from a close to the next open, in time and not in bars."""
    market = random_market(30, 1, NS_PER_HOUR, seed=2)
    kernel = SignalKernel(["A"], NS_PER_HOUR)
    kernel.advance_all(market.ts[:20], market.ohlcv[:20], np.ones((20, 1), dtype=bool))
    known = kernel.out[0, c.ATR_1H]
    late = int(market.ts[19]) + NS_PER_HOUR + NS_PER_DAY
    kernel.advance_arrays(late, market.ohlcv[20], np.array([True]))
    assert not math.isnan(known)
    assert not math.isnan(kernel.out[0, c.ATR_1H])
