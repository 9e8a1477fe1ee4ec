"""Scalers are data: defaults without a fit, a fit on training bars alone, refused where they do not belong."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.pilot.conftest import same, walk

from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.market.recording import Recording
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.features import FEATURES
from quantum_trader.pilot.observer import Observer, RawObservations, observe_raw
from quantum_trader.pilot.scaling import Scalers, Scaling, default_scalers, fit_scalers, scaled
from quantum_trader.pilot.settings import ObservationSettings

HALF_HOUR = ObservationSettings()


@pytest.fixture(scope="module")
def raw(bundled: Recording) -> RawObservations:
    """Every raw observation of the bundled bars."""
    return observe_raw(bundled)


@pytest.fixture(scope="module")
def fitted(raw: RawObservations) -> Scalers:
    """Scalers fitted on all of them."""
    return fit_scalers(HALF_HOUR, *raw, "the bundled bars")


@pytest.mark.parametrize(("number", "expected"), [
    (3.0, 0.5), (2.0, 0.0), (99.0, 5.0), (-99.0, -5.0), (np.nan, 0.0), (12.0, 5.0),
])
def test_a_feature_is_centred_scaled_and_clipped(number: float, expected: float) -> None:
    """(raw - 2) / 2, within ±5, and 0 where it is masked."""
    assert scaled(number, 2.0, 2.0) == expected


def test_the_defaults_suit_the_bundled_bars(raw: RawObservations) -> None:
    """A feature of the market varies by about 1, is centred near 0, and few values are clipped."""
    values, masked = Scaling(default_scalers(HALF_HOUR)).of(raw.raw)
    for place, feature in enumerate(FEATURES[: col.FIRST_OWN]):
        known = values[raw.ready & ~masked[..., place], place]
        if len(known) and feature.fitted:
            assert 0.7 < known.std() < 1.5, feature.name
            assert abs(np.median(known)) < 0.2, feature.name
            assert (np.abs(known) == 5.0).mean() < 0.02, feature.name


def test_a_fit_centres_on_the_median_and_scales_by_the_middle_ninety_percent(
    raw: RawObservations, fitted: Scalers
) -> None:
    """The 5 % and 95 % quantiles lie 3.29 scales apart, as in a normal distribution."""
    known = raw.raw[raw.ready]
    for place in (col.RETURN_1, col.ADX, col.VOLATILITY_60):
        low, middle, high = np.quantile(known[:, place], [0.05, 0.5, 0.95])
        assert fitted.centers[place] == middle
        assert fitted.scales[place] == pytest.approx((high - low) / 3.2897072539)
    assert fitted.rows == len(known)
    assert fitted.first_ns == raw.closes_ns[199]
    assert fitted.last_ns == raw.closes_ns[-1]


def test_a_fit_looks_at_nothing_but_the_bars_it_is_given(raw: RawObservations) -> None:
    """Later bars, bars that are not ready and extreme values among many change nothing."""
    cut = RawObservations(*(one[:10_000] for one in raw))
    changed = cut._replace(raw=cut.raw.copy())
    changed.raw[~cut.ready] = 1e9

    assert fit_scalers(HALF_HOUR, *cut, "x") == fit_scalers(HALF_HOUR, *changed, "x")


def test_flags_waves_and_masked_features_keep_their_defaults(fitted: Scalers) -> None:
    """The regime's flags, the clock, the account and the missing order book are not fitted."""
    default = default_scalers(HALF_HOUR)
    for place, feature in enumerate(FEATURES):
        if not feature.fitted or feature.name in ("spread", "funding_rate"):
            assert fitted.centers[place] == default.centers[place], feature.name
            assert fitted.scales[place] == default.scales[place], feature.name


def test_what_never_varied_in_training_is_masked_in_use(fitted: Scalers) -> None:
    """A model trained on bars alone is shown no order book, also where the live feed has one."""
    tape = walk(300, 30)
    tape.feed[-1] = 0.5
    book = slice(col.SPREAD, col.FUNDING_RATE + 1)
    values, masked = Scaling(fitted).of(tape.observed().raw[-1])

    assert fitted.unseen == (
        "spread", "depth_imbalance", "order_flow_imbalance", "order_book_known", "funding_rate",
    )
    assert masked[:, book].all()
    assert (values[:, book] == 0.0).all()
    assert not Scaling(default_scalers(HALF_HOUR)).of(tape.observed().raw[-1])[1][:, book].any()


def test_scalers_are_stored_and_read_as_they_were(fitted: Scalers) -> None:
    """As JSON, to the bit."""
    assert msgspec.json.decode(msgspec.json.encode(fitted), type=Scalers) == fitted


def test_default_scales_of_what_grows_with_time_follow_the_interval() -> None:
    """A return over two-hour bars is twice as large as one over half-hour bars; RSI is the same."""
    short, long = default_scalers(HALF_HOUR), default_scalers(ObservationSettings(interval="2h"))

    assert long.scales[col.RETURN_1] == 2.0 * short.scales[col.RETURN_1]
    assert long.centers[col.VOLATILITY_60] == 2.0 * short.centers[col.VOLATILITY_60]
    assert long.scales[col.RSI] == short.scales[col.RSI]


def test_scalers_of_other_features_are_refused(fitted: Scalers) -> None:
    """The error names the hash and asks for training again."""
    with pytest.raises(ConfigError, match="scalers: feature_hash = .*train it again"):
        Observer(["BTCUSDT"], 30 * NS_PER_MINUTE, ObservationSettings(interval="1h"), fitted)


def test_an_observer_uses_the_scalers_it_is_given(fitted: Scalers) -> None:
    """The raw features are the same, the scaled ones are the model's."""
    tape = walk(300, 30)
    observer = Observer(tape.symbols, tape.base_ns, HALF_HOUR, fitted)
    for t in range(300):
        observer.take(int(tape.ts[t]), tape.ohlcv[t], tape.present[t], tape.feed[t], tape.own[t])

    assert same(observer.values, Scaling(fitted).of(tape.observed().raw[-1])[0])
    assert not same(observer.values, Scaling(default_scalers(HALF_HOUR)).of(tape.observed().raw[-1])[0])


@pytest.mark.parametrize(("change", "words"), [
    ({"scales": (0.0,) + (1.0,) * 63}, r"scales\[return_1\] = 0.0: must be a finite number above 0"),
    ({"centers": (1.0,) * 63 + (np.nan,)}, r"centers\[gate\] = nan"),
    ({"scales": (1.0,) * 63}, "scales = .*must hold 64 numbers"),
    ({"unseen": ("sprad",)}, "unseen = 'sprad': is not a feature"),
])
def test_scalers_that_cannot_be_used_are_refused(fitted: Scalers, change: dict[str, object], words: str) -> None:
    """The error names the list, the feature and the number."""
    with pytest.raises(InputError, match=words):
        msgspec.structs.replace(fitted, **change)


def test_a_fit_without_ready_bars_is_refused() -> None:
    """Fewer bars than the warm-up cannot be fitted on; shapes that do not fit are named."""
    short = walk(100, 30).observed()

    with pytest.raises(InputError, match="ready = 0: no observation is ready"):
        fit_scalers(HALF_HOUR, *short, "x")
    with pytest.raises(InputError, match=r"raw = \(99, 3, 64\): must be of the shape \(100, 3, 64\)"):
        fit_scalers(HALF_HOUR, short.closes_ns, short.raw[1:], short.ready, "x")
