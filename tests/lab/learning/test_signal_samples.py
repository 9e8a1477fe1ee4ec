"""Samples from bars: features of the past, labels of the future, costs and funding in the results."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.models.learned.test_signal_features import made_bars

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.lab.learning.signal_samples import LabelSettings, signal_samples
from quantum_trader.market.costs import BPS
from quantum_trader.market.instruments import instruments_for
from quantum_trader.models.history import CLOSE, FUNDING, HIGH, LOW, OPEN
from quantum_trader.models.learned.feature_list import NAMES
from quantum_trader.models.learned.signal_features import recording_features
from quantum_trader.models.whole_bars import WholeBars

VOLATILITY = NAMES.index("volatility")


def walked(bars: WholeBars, s: int, row: int, horizon: int, width: float) -> tuple[float, int]:
    """Gross return and last bar of a long position from bar *row* + 1 on, by the definition."""
    volatility = float(recording_features(bars)[row, s, VOLATILITY])
    reach = width * volatility * math.sqrt(horizon)
    entry = bars.fields[OPEN, row + 1, s]
    up, down = entry * (1.0 + reach), entry * (1.0 - reach)
    for bar in range(row + 1, row + 1 + horizon):
        opened, high, low = (bars.fields[field, bar, s] for field in (OPEN, HIGH, LOW))
        if opened <= down or opened >= up:
            return opened / entry - 1.0, bar
        if low <= down:
            return down / entry - 1.0, bar
        if high >= up:
            return up / entry - 1.0, bar
    return bars.fields[CLOSE, row + horizon, s] / entry - 1.0, row + horizon


def test_a_label_is_what_a_long_position_from_the_next_open_comes_to() -> None:
    """Result, label and end of every twentieth sample as walked bar by bar; features are those of its close."""
    bars = made_bars(3, 400, gaps=False)
    instruments = instruments_for(bars.symbols, [100.0] * 3).instruments
    features = recording_features(bars)
    table = signal_samples(bars, instruments, LabelSettings(horizon="12h", width=0.8), "made").checked()

    for place in range(0, len(table.labels), 20):
        row = (int(table.starts_ns[place]) - int(bars.opens[0])) // NS_PER_HOUR - 1
        s = int(table.symbol[place])
        gross, last = walked(bars, s, row, 12, 0.8)
        assert table.labels[place] == (gross > 0.0)
        assert table.ends_ns[place] == bars.opens[last] + NS_PER_HOUR
        assert table.known_ns[place] == table.starts_ns[place] == bars.opens[row] + NS_PER_HOUR
        np.testing.assert_array_equal(table.rows[place], features[row, s])
        rates = bars.fields[FUNDING, row + 1: last + 1, s]
        paid = np.where(np.isfinite(rates), rates, 0.0).sum() / 8.0
        cost = -(table.net_returns[place] + table.net_against[place]) / 2.0
        assert table.net_returns[place] == pytest.approx(gross - cost - paid, abs=1e-12)
        assert 8.0 < cost * BPS < 60.0, "two fees of 5 bps, spread and slippage"


def test_every_symbol_gives_its_samples_and_weights_have_a_mean_of_one() -> None:
    """With gaps too; samples are in order of time."""
    bars = made_bars(4, 500)
    instruments = instruments_for(bars.symbols, [100.0] * 4).instruments

    table = signal_samples(bars, instruments, LabelSettings(), "made")
    thinned = signal_samples(bars, instruments, LabelSettings(every=6), "made")

    assert set(table.symbol.tolist()) == {0, 1, 2, 3}
    assert table.weights.mean() == pytest.approx(1.0)
    assert (np.diff(table.starts_ns) >= 0).all()
    assert (thinned.starts_ns // NS_PER_HOUR % 6 == thinned.starts_ns[0] // NS_PER_HOUR % 6).all()
    assert len(thinned.labels) == pytest.approx(len(table.labels) / 6, rel=0.05)


def test_older_samples_may_count_less() -> None:
    """With an oldest weight of 0.2 the first samples have about a fifth of the weight of the last."""
    bars = made_bars(1, 500, gaps=False)
    instruments = instruments_for(bars.symbols, [100.0]).instruments

    even = signal_samples(bars, instruments, LabelSettings(horizon="4h"), "made").weights
    falling = signal_samples(bars, instruments, LabelSettings(horizon="4h", oldest_weight=0.2), "made").weights

    ratio = falling / even
    assert ratio[0] / ratio[-1] == pytest.approx(0.2, abs=0.01)


def test_what_cannot_be_is_refused() -> None:
    """A horizon shorter than a bar, too few bars, numbers out of range; each names the option."""
    bars = made_bars(1, 400, gaps=False)
    instruments = instruments_for(bars.symbols, [100.0]).instruments

    with pytest.raises(DataError, match="--horizon 30m"):
        signal_samples(bars, instruments, LabelSettings(horizon="30m"), "made")
    with pytest.raises(DataError, match="no symbol has"):
        signal_samples(bars.until(90), instruments, LabelSettings(), "made")
    with pytest.raises(InputError, match="--horizon = 'soon'"):
        LabelSettings(horizon="soon")
    with pytest.raises(InputError, match="width"):
        LabelSettings(width=0.0)
