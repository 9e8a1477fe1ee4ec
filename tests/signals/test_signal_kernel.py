"""The ensemble uses past data only, restarts exactly, and has calibrated confidences."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.recording import Chunk, open_recording
from quantum_trader.signals import columns as col
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.models import MODEL_NAMES
from quantum_trader.signals.settings import SignalSettings

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
INTERVAL = 30 * 60 * 1_000_000_000


@pytest.fixture(scope="module")
def bars() -> Chunk:
    """Four months of generated half-hour bars of three symbols."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return generated_recording(SYMBOLS, interval="30m", start=start, bars=6_000, seed=5).arrays()


def kernel(**more: float) -> SignalKernel:
    """A fresh kernel."""
    return SignalKernel(SYMBOLS, INTERVAL, signals=SignalSettings(**more))


def same(first: np.ndarray, second: np.ndarray) -> bool:
    """Equal to the bit, not-a-number included."""
    return np.array_equal(first, second, equal_nan=True)


def test_there_are_at_least_four_different_models() -> None:
    """Rule and statistical models, each with a vote of its own."""
    assert len(set(MODEL_NAMES)) >= 4


def test_the_batch_form_equals_the_moments_bit_by_bit(bars: Chunk) -> None:
    """Every column of every moment is the same, taken one by one or all at once, or in chunks."""
    whole = kernel().advance_all(bars.ts_ns, bars.ohlcv, bars.present)
    one = kernel()
    for t in range(1_500):
        one.advance(MarketBatch(int(bars.ts_ns[t]), INTERVAL, bars.ohlcv[t], bars.present[t]))
        assert same(one.out, whole[t]), t
    parts = kernel()
    cut = 2_345
    first = parts.advance_all(bars.ts_ns[:cut], bars.ohlcv[:cut], bars.present[:cut])
    second = parts.advance_all(bars.ts_ns[cut:], bars.ohlcv[cut:], bars.present[cut:])
    assert same(np.concatenate([first, second]), whole)


def test_changing_the_future_changes_nothing_before_it(bars: Chunk) -> None:
    """Bars after a moment are replaced: every output up to it stays the same, and later ones differ."""
    cut = 4_000
    changed = bars.ohlcv.copy()
    changed[cut:, :, :4] *= np.linspace(1.0, 3.0, len(changed) - cut)[:, None, None]
    whole = kernel().advance_all(bars.ts_ns, bars.ohlcv, bars.present)
    other = kernel().advance_all(bars.ts_ns, changed, bars.present)
    assert same(whole[:cut], other[:cut])
    assert not same(whole[cut:], other[cut:])


def test_a_saved_kernel_continues_to_the_bit(bars: Chunk) -> None:
    """State taken in the middle and put into a fresh kernel gives what the first goes on to give."""
    first = kernel()
    first.advance_all(bars.ts_ns[:3_000], bars.ohlcv[:3_000], bars.present[:3_000])
    second = kernel()
    second.load_state(first.state())
    rest = slice(3_000, None)
    assert same(
        first.advance_all(bars.ts_ns[rest], bars.ohlcv[rest], bars.present[rest]),
        second.advance_all(bars.ts_ns[rest], bars.ohlcv[rest], bars.present[rest]),
    )


def test_a_state_of_other_settings_is_refused() -> None:
    """A kernel does not continue what was learned for another horizon."""
    with pytest.raises(StateError):
        kernel(horizon_hours=4.0).load_state(kernel(horizon_hours=12.0).state())


def test_absent_symbols_do_not_move(bars: Chunk) -> None:
    """While a symbol has no bar its columns stand still, but its age grows."""
    present = bars.present.copy()
    present[2_000:2_010, 1] = False
    out = kernel().advance_all(bars.ts_ns, bars.ohlcv, present)
    assert out[2_009, 1, col.MARKET_AGE] == 10.0
    assert out[2_009, 1, col.CLOSE] == out[1_999, 1, col.CLOSE]
    assert not out[2_000:2_010, 1, col.SIGNAL].any()


def test_a_hole_of_more_than_a_day_makes_a_symbol_cold(bars: Chunk) -> None:
    """After two days without bars the ATR has to be learned again."""
    present = bars.present.copy()
    present[2_000:2_100, 0] = False
    out = kernel().advance_all(bars.ts_ns, bars.ohlcv, present)
    assert out[1_999, 0, col.ATR_1H] > 0.0
    assert np.isnan(out[2_100, 0, col.ATR_1H])


def test_signals_are_rare_have_confidence_above_the_edge_and_keep_the_cool_down() -> None:
    """On the bundled bars: each confidence is a probability above the edge, one direction waits for the cool-down."""
    recording = open_recording(symbols=["BTCUSDT", "ETHUSDT"])
    bars = recording.arrays()
    settings = SignalSettings()
    one = SignalKernel(recording.symbols, recording.interval_ns, signals=settings)
    out = one.advance_all(bars.ts_ns, bars.ohlcv, bars.present)
    signals = out[:, :, col.SIGNAL]
    where = np.argwhere(signals != 0.0)
    assert len(where) > 500
    confidence = out[where[:, 0], where[:, 1], col.CONFIDENCE]
    assert (confidence >= settings.edge).all()
    assert confidence.max() < 0.75
    wait_ns = settings.cooldown_hours * 3_600_000_000_000
    for s in range(2):
        rows = where[where[:, 1] == s][:, 0]
        for before, after in pairwise(rows):
            if signals[before, s] == signals[after, s]:
                assert bars.ts_ns[after] - bars.ts_ns[before] >= wait_ns


def test_calibrated_probabilities_are_reliable_out_of_sample() -> None:
    """Over all bundled symbols, P(up) in a bin is near the share that rose, within what overlapping outcomes allow."""
    recording = open_recording()
    bars = recording.arrays()
    settings = SignalSettings()
    one = SignalKernel(recording.symbols, recording.interval_ns, signals=settings)
    out = one.advance_all(bars.ts_ns, bars.ohlcv, bars.present)
    ahead = settings.horizon_bars(recording.interval_ns)
    close = bars.ohlcv[:, :, 3]
    rose = close[ahead:] > close[:-ahead]
    probability = out[:-ahead, :, col.UP_PROBABILITY]
    known = np.isfinite(close[ahead:]) & np.isfinite(close[:-ahead])
    known[:5_000] = False
    error, total = 0.0, int(known.sum())
    edges = [0.0, 0.47, 0.49, 0.51, 0.53, 1.0]
    for low, high in pairwise(edges):
        chosen = known & (probability >= low) & (probability < high)
        if chosen.any():
            gap = abs(float(rose[chosen].mean()) - float(probability[chosen].mean()))
            error += gap * chosen.sum() / total
    assert error < 0.04
