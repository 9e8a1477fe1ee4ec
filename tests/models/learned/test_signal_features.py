"""Features of signal models: one definition for a recording and for a panel, made of the past alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.generate import generated_recording
from quantum_trader.models.check_market import with_another_future, with_gaps
from quantum_trader.models.history import CLOSE, FUNDING, HIGH, LOW, OPEN, VOLUME
from quantum_trader.models.learned.feature_list import (
    LEAST_BARS,
    NAMES,
    SIGNAL_FEATURES,
    WINDOW,
    names_hash,
    signal_features_hash,
)
from quantum_trader.models.learned.signal_features import NEEDS, panel_features, recording_features
from quantum_trader.models.whole_bars import WholeBars

ROWS = 520


def made_bars(symbols: int = 5, rows: int = ROWS, seed: int = 4, gaps: bool = True) -> WholeBars:
    """Hourly bars with funding that changes, missing bars, an outage, a late listing and still prices."""
    recording = generated_recording(symbols, "1h", bars=rows, seed=seed)
    bars = bars_of(recording, NS_PER_HOUR)
    rng = np.random.default_rng(seed)
    fields = bars.fields.copy()
    fields[FUNDING] = 1e-4 * rng.normal(size=fields[FUNDING].shape).cumsum(axis=0)
    fields[FUNDING, 300:310, 0] = np.inf
    return with_gaps(bars._replace(fields=fields), 80) if gaps else bars._replace(fields=fields)


def one_symbol(closes: np.ndarray, **fields: np.ndarray) -> np.ndarray:
    """Features at the last bar of a symbol with these closes; other prices and volumes as given."""
    count = len(closes)
    held = np.zeros((6, count, 1))
    for field in (OPEN, HIGH, LOW, CLOSE):
        held[field, :, 0] = closes
    held[VOLUME] = 1.0
    for name, values in fields.items():
        held[{"open": OPEN, "high": HIGH, "low": LOW, "volume": VOLUME, "funding": FUNDING}[name], :, 0] = values
    bars = WholeBars(("BTCUSDT",), NS_PER_HOUR, np.arange(count, dtype=np.int64) * NS_PER_HOUR, held)
    return recording_features(bars)[-1, 0]


def value(row: np.ndarray, name: str) -> float:
    """The feature *name* of a row."""
    return float(row[NAMES.index(name)])


def test_there_are_between_24_and_64_features_with_a_name_each() -> None:
    """Names are different, formulas and units are stated."""
    assert 24 <= len(NAMES) <= 64
    assert len(set(NAMES)) == len(NAMES)
    assert all(one.formula and one.unit for one in SIGNAL_FEATURES)


def test_a_panel_gives_the_bits_of_the_recording_at_every_bar() -> None:
    """With gaps, outages, unknown funding and a symbol that was listed late."""
    bars = made_bars()
    whole = recording_features(bars)

    for row in range(ROWS):
        assert panel_features(bars.panel(NEEDS, row, WINDOW)).tobytes() == whole[row].tobytes(), row

    known = ~np.isnan(whole)
    assert known.any(axis=(0, 1)).all(), "every feature is known somewhere"
    assert not np.isinf(whole).any()


@pytest.mark.parametrize("cut", [150, 333, 470])
def test_features_do_not_change_with_the_future(cut: int) -> None:
    """Cut off or replaced after a bar, everything up to that bar is equal to the bit."""
    bars = made_bars()
    whole = recording_features(bars)[: cut + 1].tobytes()

    assert recording_features(bars.until(cut)).tobytes() == whole
    assert recording_features(with_another_future(bars, cut))[: cut + 1].tobytes() == whole


def test_a_symbol_without_a_bar_or_with_too_few_has_no_features() -> None:
    """The 97th bar within the window is the first with features."""
    bars = made_bars(2, 200, gaps=False)
    features = recording_features(bars)

    assert np.isnan(features[: LEAST_BARS - 1]).all()
    assert not np.isnan(features[LEAST_BARS - 1, :, NAMES.index("volatility")]).any()
    fields = bars.fields.copy()
    fields[:, 150, 1] = np.nan
    assert np.isnan(recording_features(bars._replace(fields=fields))[150, 1]).all()


def test_moves_are_in_deviations_of_96_log_returns() -> None:
    """Closes that rise by 1 % a bar: volatility is ln 1.01, a move over k bars √k deviations."""
    row = one_symbol(1.01 ** np.arange(220.0))

    assert value(row, "volatility") == pytest.approx(math.log(1.01), rel=1e-5)
    for bars in (1, 3, 24, 96, 192):
        assert value(row, f"move_{bars}") == pytest.approx(math.sqrt(bars), rel=1e-5)
    assert value(row, "strength_14") == pytest.approx(1.0)
    assert value(row, "efficiency_24") == pytest.approx(1.0)
    assert value(row, "down_share_48") == 0.0
    assert value(row, "repetition_48") == pytest.approx(1.0, rel=1e-4)
    assert value(row, "age_of_high") == 0.0
    assert value(row, "age_of_low") == pytest.approx(191 / 192)
    assert value(row, "volatility_6_24") == pytest.approx(1.0)


def test_ranges_and_places_are_those_of_the_bars() -> None:
    """A range of 2 around a close of 100: true range 2, the close in its middle."""
    closes = 100.0 + 0.5 * (np.arange(220) % 2)
    row = one_symbol(closes, high=closes + 1.0, low=closes - 1.0, open=closes - 0.5)

    assert value(row, "range_share") == pytest.approx(2.0 / closes[-1], rel=1e-6)
    assert value(row, "range_ratio") == pytest.approx(1.0)
    assert value(row, "place_1") == pytest.approx(0.5)
    assert value(row, "place_24") == pytest.approx((closes[-1] - 99.0) / 2.5)
    assert value(row, "body_share") == pytest.approx(0.25)


def test_volume_and_funding_are_held_against_their_means() -> None:
    """Volume 3 after 1: ln(1 + 3 / mean of 24). Funding in basis points, its mean of those known."""
    volume, rates = np.ones(220), np.full(220, 1e-4)
    volume[-1], rates[-1], rates[-50] = 3.0, 4e-4, np.inf
    closes = 100.0 + np.arange(220) % 3
    row = one_symbol(closes, volume=volume, funding=rates)

    assert value(row, "volume_1_24") == pytest.approx(math.log1p(3.0 / (26.0 / 24.0)), rel=1e-6)
    assert value(row, "funding") == pytest.approx(4.0)
    assert value(row, "funding_mean_96") == pytest.approx((94 * 1.0 + 4.0) / 95.0, rel=1e-5)
    assert value(row, "funding_change") == pytest.approx(4.0 - (94 * 1.0 + 4.0) / 95.0, rel=1e-5)


def test_what_cannot_be_measured_is_missing() -> None:
    """Prices that never move: no move in deviations, no place in a range; unknown funding is missing."""
    row = one_symbol(np.full(220, 50.0), funding=np.full(220, np.nan), volume=np.zeros(220))

    for name in ("move_1", "place_24", "distance_24", "strength_14", "efficiency_24", "body_share", "funding",
                 "volume_1_24", "pressure_24", "volatility_6_24"):
        assert math.isnan(value(row, name)), name
    assert value(row, "volatility") == 0.0


def test_the_clock_is_that_of_the_close() -> None:
    """1970-01-01 was a Thursday; the bar that opens at 220 h closes 5 h into Saturday the 10th."""
    row = one_symbol(1.01 ** np.arange(221.0))
    day, week = 5.0 / 24.0, (5.0 + 5.0 / 24.0) / 7.0

    assert value(row, "hour_sine") == pytest.approx(math.sin(2 * math.pi * day), abs=1e-6)
    assert value(row, "hour_cosine") == pytest.approx(math.cos(2 * math.pi * day), abs=1e-6)
    assert value(row, "week_sine") == pytest.approx(math.sin(2 * math.pi * week), abs=1e-6)
    assert value(row, "week_cosine") == pytest.approx(math.cos(2 * math.pi * week), abs=1e-6)


def test_ranks_are_between_minus_one_and_one_and_need_four_symbols() -> None:
    """Of five symbols the strongest has 1, the weakest -1, their mean is 0; of three none has a rank."""
    bars = made_bars(5, 230, gaps=False)
    last = recording_features(bars)[-1]
    moves, ranks = last[:, NAMES.index("move_24")], last[:, NAMES.index("rank_move_24")]

    assert ranks[moves.argmax()] == 1.0
    assert ranks[moves.argmin()] == -1.0
    assert sorted(ranks.tolist()) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert last[:, NAMES.index("market_move_24")] == pytest.approx(np.full(5, moves.mean()), rel=1e-5)
    assert last[:, NAMES.index("lead_24")] == pytest.approx(moves - moves.mean(), abs=1e-5)
    three = recording_features(made_bars(3, 230, gaps=False))[-1]
    assert np.isnan(three[:, NAMES.index("rank_move_24")]).all()


def test_the_hash_names_interval_and_list() -> None:
    """Another interval, other features; named features are told apart by their names and order."""
    assert signal_features_hash("1h") != signal_features_hash("4h")
    assert names_hash(("a", "b")) != names_hash(("b", "a"))


def test_the_documented_table_is_the_list() -> None:
    """docs/concepts-learning.md has a row for each feature, in order, as the program states it."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "concepts-learning.md").read_text()
    rows = [f"| `{one.name}` | {one.formula} | {one.unit} | {one.missing} |" for one in SIGNAL_FEATURES]

    assert "\n".join(rows) in text
