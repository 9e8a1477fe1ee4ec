"""The table of the training market: bars, costs, funding and features as a replay knows them, and its windows."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.instruments import Instruments
from quantum_trader.lab.pilot.market_table import MarketHistory, market_history, with_windows
from quantum_trader.market.recording import Recording, open_recording, recording_from_arrays
from quantum_trader.market.regime import MarketSettings
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.episode import EnvironmentSettings
from quantum_trader.pilot.observer import observe, observe_raw
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.signals import columns as signal_col
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.settings import SignalSettings

HALF_HOUR = 30 * NS_PER_MINUTE
SETTINGS, OBSERVED = EnvironmentSettings(episode_bars=48), ObservationSettings()


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Two months of two symbols of the bundled bars."""
    return open_recording(None, "30m", ["BTCUSDT", "XRPUSDT"], "2018-03-01", "2018-04-30")


@pytest.fixture(scope="module")
def history(recording: Recording) -> MarketHistory:
    """Its table, with scalers of the first month."""
    return market_history(recording, SETTINGS, OBSERVED, recording.start_ns, recording.start_ns + 30 * 24 * NS_PER_HOUR)


def test_bars_stand_at_their_close(recording: Recording, history: MarketHistory) -> None:
    """Prices, presence and ATR of each observed bar are those of the recording."""
    whole = recording.arrays()
    at = (whole.ts_ns + HALF_HOUR - history.closes_ns[0]) // HALF_HOUR
    table = history.table
    for place, column in enumerate((table.open, table.high, table.low, table.close)):
        for symbol in range(2):
            there = whole.present[:, symbol]
            assert np.array_equal(column[symbol, at[there]], whole.ohlcv[there, symbol, place])
    assert np.array_equal(history.present[:, at], whole.present.T)
    raw = observe_raw(recording, OBSERVED)
    rows = (raw.closes_ns - history.closes_ns[0]) // HALF_HOUR
    expected = raw.raw[:, :, col.ATR_RATIO] * table.close[:, rows].T
    assert np.array_equal(table.atr[:, rows].T, expected, equal_nan=True)
    assert np.array_equal(history.ready[:, rows].T, raw.ready)


def test_costs_are_those_known_before_a_bar(recording: Recording, history: MarketHistory) -> None:
    """What the paper venue of a replay reads while it fills in a bar: the measure of the bar before."""
    ticks = Instruments(history.instruments).ticks.tolist()
    kernel = SignalKernel(recording.symbols, HALF_HOUR, MarketSettings(), SignalSettings(), ticks)
    whole = recording.arrays()
    for row in range(400):
        at = (int(whole.ts_ns[row]) + HALF_HOUR - int(history.closes_ns[0])) // HALF_HOUR
        for symbol in np.flatnonzero(whole.present[row]):
            known = kernel.out[symbol, signal_col.TAKER_COST_BPS]
            assert history.table.cost_bps[symbol, at] == (known if 0.0 <= known < 1e4 else 5.0)
        kernel.advance(MarketBatch(int(whole.ts_ns[row]), HALF_HOUR, whole.ohlcv[row], whole.present[row]))


def test_features_are_what_a_model_sees_and_the_settings_in_force_are_masked(
    recording: Recording, history: MarketHistory
) -> None:
    """The market's 53 features, scaled by scalers of the stated range alone."""
    seen = observe(recording, OBSERVED, history.scalers)
    rows = (seen.closes_ns - history.closes_ns[0]) // HALF_HOUR
    assert np.array_equal(history.table.features[:, rows].swapaxes(0, 1), seen.values[:, :, : col.FIRST_OWN])
    assert history.scalers.last_ns < recording.start_ns + 30 * 24 * NS_PER_HOUR
    assert {"min_confidence", "max_risk", "gate"} <= set(history.scalers.unseen)
    assert history.table.own_seen.tolist() == [True] * 8 + [False] * 3


def test_windows_are_whole_and_within_their_range(recording: Recording, history: MarketHistory) -> None:
    """Every decision's bar is present and ready, the bar of the last fill present, and all close within the range."""
    until = recording.start_ns + 30 * 24 * NS_PER_HOUR
    starts = set(map(tuple, history.table.starts.tolist()))
    bars = SETTINGS.episode_bars
    for symbol in range(2):
        for bar in range(0, len(history.closes_ns) - bars - 1, 7):
            whole = (
                history.ready[symbol, bar : bar + bars].all() and history.present[symbol, bar : bar + bars + 1].all()
                and history.closes_ns[bar] >= recording.start_ns and history.closes_ns[bar + bars] < until
            )
            assert ((symbol, bar) in starts) == whole
    later = with_windows(history, 10, until, recording.end_ns + 1)
    assert later.closes_ns[later.table.starts[:, 1]].min() >= until
    with pytest.raises(DataError, match=r"episode_bars = 5000: no symbol has so many ready bars in a row"):
        with_windows(history, 5000, recording.start_ns, until)


def _quarter_hours(count: int, changed_from: int | None = None) -> Recording:
    rng = np.random.default_rng(4)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, (count, 1)), axis=0))
    if changed_from is not None:
        closes[changed_from:] *= np.exp(np.cumsum(np.full((count - changed_from, 1), 0.01), axis=0))
    opens = np.vstack([[[100.0]], closes[:-1]])
    ohlcv = np.stack([
        opens, np.maximum(opens, closes) * 1.001, np.minimum(opens, closes) * 0.999, closes, np.full(closes.shape, 9.0)
    ], axis=2)
    ts = 1_704_067_200_000_000_000 + np.arange(count, dtype=np.int64) * 15 * NS_PER_MINUTE
    present = np.ones((count, 1), dtype=np.bool_)
    present[901] = False
    times = ts[0] + np.arange(1, count // 4, dtype=np.int64) * NS_PER_HOUR
    return recording_from_arrays(
        ["NEWUSDT"], "15m", ts, ohlcv, present, funding={"NEWUSDT": (times, np.arange(len(times)) * 1e-6)}
    )


def test_finer_bars_make_observed_bars() -> None:
    """Two quarters of an hour are one bar; a bar that lacks one is not present; funding comes every hour."""
    recording = _quarter_hours(1200)
    whole = recording.arrays()
    found = market_history(recording, SETTINGS, OBSERVED, recording.start_ns, recording.end_ns + 1)
    assert len(found.closes_ns) == 600
    ohlcv = whole.ohlcv[:200, 0].reshape(100, 2, 5)
    assert np.array_equal(found.table.open[0, :100], ohlcv[:, 0, 0])
    assert np.array_equal(found.table.high[0, :100], ohlcv[:, :, 1].max(axis=1))
    assert np.array_equal(found.table.low[0, :100], ohlcv[:, :, 2].min(axis=1))
    assert np.array_equal(found.table.close[0, :100], ohlcv[:, 1, 3])
    assert found.present[0].sum() == 599
    assert not found.present[0, 450]
    assert np.flatnonzero(found.table.funding_rate[0])[:3].tolist() == [4, 6, 8]
    assert found.table.funding_rate[0, 8] == pytest.approx(3e-6)


def test_a_later_bar_changes_nothing_before_it() -> None:
    """Every column up to a bar is the same to the bit whatever the bars after it are."""
    plain = market_history(_quarter_hours(1200), SETTINGS, OBSERVED, 0, 1 << 62)
    other = market_history(
        _quarter_hours(1200, changed_from=1000), SETTINGS, OBSERVED, 0, 1 << 62, scalers=plain.scalers
    )
    for name in ("open", "high", "low", "close", "atr", "cost_bps", "funding_rate", "trend", "features"):
        one, two = getattr(plain.table, name), getattr(other.table, name)
        assert np.array_equal(one[:, :500], two[:, :500], equal_nan=True), name
    assert not np.array_equal(plain.table.close[:, 500:], other.table.close[:, 500:])


def test_longer_bars_than_observed_are_refused(recording: Recording) -> None:
    """The error says which bars to use."""
    with pytest.raises(ConfigError, match=r"pilot.interval = '15m': the run's bars are longer \(30m\)"):
        market_history(recording, SETTINGS, ObservationSettings(interval="15m"), 0, 1 << 62)
