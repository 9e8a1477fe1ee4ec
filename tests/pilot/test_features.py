"""The list of features: 64 of them, each stated, none constant, none twice, and a hash that names them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.pilot.conftest import Tape

from quantum_trader.domain.errors import InputError
from quantum_trader.market.recording import Recording
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot import features, own_columns
from quantum_trader.pilot.feature import Feature
from quantum_trader.pilot.features import FEATURES, feature_hash
from quantum_trader.pilot.observer import RawObservations, observe_raw
from quantum_trader.pilot.settings import ObservationSettings

STATED = Path(__file__).parent / "feature_means.json"
HALF_HOUR = ObservationSettings()
OWN = [one.name for one in FEATURES[col.FIRST_OWN :]]
MASKED_ON_BUNDLED_BARS = {"spread", "depth_imbalance", "order_flow_imbalance", "funding_rate", *OWN}
FIXED_ON_BUNDLED_BARS = {"order_book_known"}  # always 0: no recording has an order book


@pytest.fixture(scope="module")
def bare(bundled: Recording) -> RawObservations:
    """Every observation of the bundled bars, without an account."""
    return observe_raw(bundled)


def test_there_are_sixty_four_features_in_the_order_of_their_columns() -> None:
    """Each stands in the column that has its name; the account's own are the last eleven."""
    columns = {name.lower(): number for name, number in vars(col).items() if name.isupper() and isinstance(number, int)}
    names = [one.name for one in FEATURES]

    assert len(names) == len(set(names)) == col.FEATURE_COUNT == 64
    assert [columns[name] for name in names] == list(range(64))
    assert len(OWN) == own_columns.OWN_SIZE == 11


def test_log_returns_and_rate_of_change_are_left_out() -> None:
    """They would repeat returns and momentum."""
    assert not [one.name for one in FEATURES if "log_return" in one.name or "rate_of_change" in one.name]


def test_every_feature_states_what_it_is() -> None:
    """A formula, a unit, a source and a range."""
    for one in FEATURES:
        assert len(one.formula) > 4
        assert one.unit
        assert one.source in {"bars", "quotes", "funding", "clock", "market", "position", "account", "settings"}
        assert one.low < one.high


def test_no_feature_is_constant_on_the_bundled_bars_but_the_listed_ones(bare: RawObservations) -> None:
    """Of each symbol by itself too, so that no feature is only a name of the symbol."""
    for symbol in range(5):
        known = bare.raw[bare.ready[:, symbol], symbol]
        masked = {one.name for place, one in enumerate(FEATURES) if np.isnan(known[:, place]).all()}
        fixed = {
            one.name for place, one in enumerate(FEATURES)
            if one.name not in masked and np.nanstd(known[:, place]) <= 1e-6 * np.nanmax(np.abs(known[:, place]))
        }
        assert masked == MASKED_ON_BUNDLED_BARS
        assert fixed == FIXED_ON_BUNDLED_BARS


def test_no_two_features_are_the_same_on_the_bundled_bars(bare: RawObservations) -> None:
    """Every pairwise correlation is below 0.999, over all symbols and of each by itself."""
    places = [
        place for place, one in enumerate(FEATURES)
        if one.name not in MASKED_ON_BUNDLED_BARS | FIXED_ON_BUNDLED_BARS
    ]
    for ready in (bare.ready, *(bare.ready & (np.arange(5) == symbol) for symbol in range(5))):
        known = bare.raw[ready][:, places]
        known = known[np.isfinite(known).all(axis=1)]
        correlation = np.abs(np.corrcoef(known.T)) - np.eye(len(places))
        worst = np.unravel_index(correlation.argmax(), correlation.shape)
        assert correlation.max() < 0.999, [FEATURES[places[place]].name for place in worst]


def test_no_two_features_of_the_account_are_the_same(tape: Tape) -> None:
    """With an account that changes, its features vary and differ."""
    batch = tape.observed()
    known = batch.raw[batch.ready][:, col.FIRST_OWN :]
    changing = np.flatnonzero(known.std(axis=0) > 0.0)

    assert [OWN[place] for place in set(range(11)) - set(changing)] == ["max_risk"]  # the test's account keeps it
    assert (np.abs(np.corrcoef(known[:, changing].T)) - np.eye(len(changing))).max() < 0.999


def test_raw_features_lie_in_their_stated_range(bare: RawObservations) -> None:
    """On all bundled bars."""
    for place, one in enumerate(FEATURES):
        known = bare.raw[bare.ready][:, place]
        known = known[np.isfinite(known)]
        assert (known >= one.low).all(), one.name
        assert (known <= one.high).all(), one.name


def test_the_hash_names_interval_names_formulas_and_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them changes it; a default scale does not."""
    before = feature_hash(HALF_HOUR)
    assert before != feature_hash(ObservationSettings(interval="1h"))
    first, *rest = FEATURES
    for change, differs in (
        ({"name": "other"}, True), ({"formula": "other"}, True), ({"unit": "other"}, True), ({"version": 2}, True),
        ({"scale": 2.0}, False), ({"center": 1.0}, False),
    ):
        monkeypatch.setattr(features, "FEATURES", (msgspec.structs.replace(first, **change), *rest))
        assert (feature_hash(HALF_HOUR) != before) is differs, change
    monkeypatch.setattr(features, "FEATURES", (rest[0], first, *rest[1:]))
    assert feature_hash(HALF_HOUR) != before


def test_a_changed_computation_needs_a_new_version(bare: RawObservations) -> None:
    """Mean and standard deviation of each feature on the bundled bars are those stored for this hash.

    Where this fails after an intended change, raise the changed features' versions and store the figures anew:
    ``python tests/pilot/make_feature_means.py``.
    """
    stated = json.loads(STATED.read_text())
    known = bare.raw[bare.ready]

    assert stated["feature_hash"] == feature_hash(HALF_HOUR), "the list has changed: store the figures anew"
    for place, one in enumerate(FEATURES):
        if one.name not in MASKED_ON_BUNDLED_BARS:
            found = [np.nanmean(known[:, place]), np.nanstd(known[:, place])]
            assert found == pytest.approx(stated["figures"][one.name], rel=1e-6, abs=1e-9), one.name


def test_a_feature_that_is_not_stated_well_is_refused() -> None:
    """The error names the feature's field and its value."""
    good = {"name": "one", "formula": "close", "unit": "price", "low": 0.0, "high": 1.0, "source": "bars"}
    for change, words in (
        ({"low": 1.0}, "one.low = 1.0"), ({"scale": 0.0}, "one.scale = 0.0"), ({"version": 0}, "one.version = 0"),
    ):
        with pytest.raises(InputError, match=words):
            Feature(**(good | change))
