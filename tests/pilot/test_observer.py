"""The live form equals the batch form; nothing of the future is seen; restarts, gaps and bad input are met."""

from __future__ import annotations

import numpy as np
import pytest
from tests.pilot.conftest import Tape, same, walk

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, DataError, InputError, StateError
from quantum_trader.market.recording import Recording, open_recording, recording_from_arrays
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.features import FEATURES
from quantum_trader.pilot.observer import Observer, observe, observe_raw
from quantum_trader.pilot.own_columns import OPEN_R
from quantum_trader.pilot.recorded_feed import recorded_feed
from quantum_trader.pilot.scaling import Scaling
from quantum_trader.pilot.settings import ObservationSettings

HALF_HOUR = 30 * NS_PER_MINUTE
OF_BARS = slice(col.RETURN_1, col.VOLUME_RATIO + 1)


def live(tape: Tape, observer: Observer) -> list[tuple[np.ndarray, ...]]:
    """The observations (raw, scaled, masked, ready) that a live observer makes, one moment at a time."""
    made = []
    for t, ts in enumerate(tape.ts.tolist()):
        if observer.take(ts, tape.ohlcv[t], tape.present[t], tape.feed[t], tape.own[t]):
            made.append(tuple(
                one.copy() for one in (observer.raw, observer.values, observer.masked, observer.ready)
            ))
    return made


def assert_live_equals_batch(tape: Tape, interval: str) -> None:
    """The two forms give the same bits: raw, scaled, masked and ready."""
    batch = tape.observed(interval)
    values, masked = Scaling(tape.observer(interval).scalers).of(batch.raw)
    made = live(tape, tape.observer(interval))

    assert len(made) == len(batch.raw)
    for which, whole in enumerate((batch.raw, values, masked, batch.ready)):
        assert same(np.stack([one[which] for one in made]), whole)


def test_live_equals_batch_bit_for_bit_on_the_bundled_bars(tape: Tape) -> None:
    """All 64 features of all 35,022 moments, one moment at a time and all at once."""
    assert_live_equals_batch(tape, "30m")


@pytest.mark.parametrize(("minutes", "interval"), [(1, "5m"), (5, "30m"), (60, "4h")])
def test_live_equals_batch_where_bars_are_built_up(minutes: int, interval: str) -> None:
    """Of shorter bars, some of them missing."""
    assert_live_equals_batch(walk(3_000, minutes), interval)


def test_parts_of_a_batch_follow_one_another() -> None:
    """Cut anywhere, also inside an observed bar, the observations are those of the whole."""
    tape = walk(3_000, 5)
    observer = tape.observer()
    parts = [tape.rows(first, last).observed(observer=observer) for first, last in ((0, 7), (7, 1_003), (1_003, 3_000))]

    assert same(np.concatenate([one.raw for one in parts]), tape.observed().raw)
    assert same(np.concatenate([one.closes_ns for one in parts]), tape.observed().closes_ns)


@pytest.mark.parametrize("cut", [1, 250, 5_000, 20_000])
def test_changing_the_future_changes_no_observation_before_it(tape: Tape, cut: int) -> None:
    """Prices, volumes, missing bars, feed and account from moment *cut* on are others: earlier bits stay the same."""
    before, after = tape.rows(0, cut), tape.rows(cut, min(len(tape.ts), cut + 3_000))
    other = after._replace(
        ohlcv=after.ohlcv[::-1] * 1.7, present=after.present[::-1], feed=after.feed + 1.0, own=after.own[::-1],
    )
    joined = [
        tape._replace(**{name: np.concatenate([getattr(before, name), getattr(rest, name)])
                         for name in ("ts", "ohlcv", "present", "feed", "own")}).observed()
        for rest in (after, other)
    ]

    assert same(joined[0].raw[:cut], joined[1].raw[:cut])
    assert same(joined[0].ready[:cut], joined[1].ready[:cut])
    assert not same(joined[0].raw[cut:], joined[1].raw[cut:])


def test_changing_the_future_changes_nothing_inside_an_observed_bar() -> None:
    """Base bars after an observed bar's close leave it as it was."""
    tape = walk(3_000, 5)
    cut = 2_004  # a multiple of six: the close of an observed bar
    changed = tape._replace(ohlcv=tape.ohlcv.copy())
    changed.ohlcv[cut:, :, :4] *= 3.0

    assert same(tape.observed().raw[: cut // 6], changed.observed().raw[: cut // 6])


def test_changing_future_payments_changes_no_feed_before_them() -> None:
    """Neither the rate nor the time to the next payment knows a later payment."""
    tape = walk(480, 30, missing=0.0)
    times = tape.ts[0] + np.arange(1, 25, dtype=np.int64) * 8 * NS_PER_HOUR
    rates, other_times, other_rates = np.full(24, 1e-4), times.copy(), np.full(24, 1e-4)
    other_times[12:] += np.arange(12) * NS_PER_HOUR
    other_rates[12:] = 9e-4
    feeds = []
    for paid in ((times, rates), (other_times, other_rates)):
        recording = recording_from_arrays(tape.symbols, "30m", tape.ts, tape.ohlcv, funding={"BTCUSDT": paid})
        feeds.append(recorded_feed(recording, tape.ts))
    cut = int(np.searchsorted(tape.ts, times[12]))

    assert same(feeds[0][:cut], feeds[1][:cut])
    assert not same(feeds[0][cut:], feeds[1][cut:])


@pytest.mark.parametrize("cut", [0, 3, 700, 2_001])
def test_a_restart_continues_to_the_bit(cut: int) -> None:
    """State taken at any moment, also inside an observed bar, goes on as if nothing had happened."""
    tape = walk(3_000, 5)
    first = tape.observer()
    tape.rows(0, cut).observed(observer=first)
    second = tape.observer()
    second.load_state(first.state())
    rest = tape.rows(cut, len(tape.ts))

    assert same(rest.observed(observer=first).raw, rest.observed(observer=second).raw)


def test_before_it_is_warm_a_symbol_is_not_ready() -> None:
    """Half-hour bars are ready from the 200th on, when the longest mean is known."""
    tape = walk(400, 30, missing=0.0)
    batch = tape.observed()

    assert not batch.ready[:199].any()
    assert batch.ready[199:].all()


def test_a_warm_regime_is_waited_for_on_short_bars() -> None:
    """On one-minute bars the fifteenth 4-hour bar decides: sixty hours."""
    tape = walk(60 * 62, 1, missing=0.0)

    ready = tape.observed("1m").ready

    assert not ready[: 60 * 60 - 1].any()
    assert ready[60 * 60 - 1 :].all()


def test_no_observation_holds_nan_or_exceeds_the_limits(tape: Tape) -> None:
    """Scaled features are finite and within ±5, at all times; what is masked is 0."""
    batch = tape.observed()
    values, masked = Scaling(tape.observer().scalers).of(batch.raw)

    assert np.isfinite(values).all()
    assert np.abs(values).max() == 5.0
    assert (values[masked] == 0.0).all()
    assert same(masked, np.isnan(batch.raw))


def test_a_ready_observation_masks_only_what_may_be_masked(tape: Tape) -> None:
    """Every other feature is known in every ready observation."""
    batch = tape.observed()
    masked = np.isnan(batch.raw[batch.ready]).any(axis=0)

    assert batch.ready.mean() > 0.99
    assert {FEATURES[place].name for place in np.flatnonzero(masked)} <= {one.name for one in FEATURES if one.mask}


def test_a_symbol_without_a_bar_is_not_ready_and_all_masked() -> None:
    """Its indicators pause; the other symbols go on."""
    tape = walk(600, 30, missing=0.0)
    tape.present[400:410, 1] = False
    batch = tape.observed()

    assert not batch.ready[400:410, 1].any()
    assert np.isnan(batch.raw[400:410, 1]).all()
    assert batch.ready[400:410, [0, 2]].all()
    assert batch.ready[410, 1]
    assert batch.raw[410, 1, col.RETURN_1] == pytest.approx(
        tape.ohlcv[410, 1, 3] / tape.ohlcv[399, 1, 3] - 1.0, rel=1e-12
    )


def test_without_bitcoins_bar_the_market_is_masked() -> None:
    """The other symbols stay ready; their market features are not known at that bar."""
    tape = walk(600, 30, missing=0.0)
    tape.present[400, 0] = False
    batch = tape.observed()

    assert batch.ready[400, 1:].all()
    assert np.isnan(batch.raw[400, 1:, [col.MARKET_RETURN, col.MARKET_CORRELATION]]).all()
    assert not np.isnan(batch.raw[401, 1:, [col.MARKET_RETURN, col.MARKET_CORRELATION]]).any()


def test_after_more_than_a_day_without_bars_a_symbol_starts_anew() -> None:
    """As if the bars before the hole had never been; a shorter pause forgets nothing."""
    tape = walk(900, 30, missing=0.0)
    hole, pause = tape._replace(present=tape.present.copy()), tape._replace(present=tape.present.copy())
    hole.present[300:349, 1] = False  # 24.5 hours from close to open
    pause.present[300:348, 1] = False  # 24 hours
    fresh = tape._replace(present=tape.present.copy())
    fresh.present[:349, 1] = False

    assert pause.observed().ready[348, 1]
    assert not hole.observed().ready[349:548, 1].any()
    assert hole.observed().ready[548:, 1].all()
    assert same(hole.observed().raw[349:, 1, OF_BARS], fresh.observed().raw[349:, 1, OF_BARS])


def test_a_bar_whose_last_moment_is_missing_for_all_is_measured_but_not_observed() -> None:
    """There is no observation at its close; the next one counts it."""
    tape = walk(1_800, 5, missing=0.0)
    kept = np.arange(len(tape.ts)) != 6 * 250 + 5  # the last five minutes of the observed bar 250
    gap = tape._replace(**{name: getattr(tape, name)[kept] for name in ("ts", "ohlcv", "present", "feed", "own")})
    whole, cut = tape.observed(), gap.observed()

    assert whole.closes_ns[250] not in cut.closes_ns
    assert same(cut.raw[:250], whole.raw[:250])
    assert cut.closes_ns[250] == whole.closes_ns[251]
    last_close = tape.ohlcv[6 * 250 + 4, 1, 3]
    assert cut.raw[250, 1, col.RETURN_1] == pytest.approx(tape.ohlcv[6 * 252 - 1, 1, 3] / last_close - 1.0, rel=1e-12)
    assert_live_equals_batch(gap, "30m")


def test_after_a_moment_inside_a_bar_no_symbol_is_ready() -> None:
    """An old observation is not used twice."""
    tape = walk(1_800, 5, missing=0.0)
    observer = tape.observer()
    tape.rows(0, 1_794).observed(observer=observer)

    for t in range(1_794, 1_800):
        made = observer.take(int(tape.ts[t]), tape.ohlcv[t], tape.present[t], tape.feed[t], tape.own[t])
        assert made == (t == 1_799)
        assert observer.ready.all() == made


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_an_unusable_bar_counts_as_missing(bad: float) -> None:
    """A price that is no finite number above 0 leaves no trace in any feature."""
    tape = walk(600, 30, missing=0.0)
    broken, absent = tape._replace(ohlcv=tape.ohlcv.copy()), tape._replace(present=tape.present.copy())
    broken.ohlcv[400, 1, 3] = bad
    absent.present[400, 1] = False

    assert same(broken.observed().raw, absent.observed().raw)
    assert same(broken.observed().ready, absent.observed().ready)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_account_that_is_not_known_is_not_ready(bad: float) -> None:
    """A feature of the account that is no finite number is masked, and nothing is decided on it."""
    tape = walk(600, 30, missing=0.0)
    tape.own[400, 1, OPEN_R] = bad
    batch = tape.observed()

    assert np.isnan(batch.raw[400, 1, col.UNREALISED_R])
    assert batch.ready[400].tolist() == [True, False, True]


def test_without_an_account_its_features_are_masked_and_bars_are_ready(bundled: Recording, tape: Tape) -> None:
    """So training observes bars first and fills the account's columns at each step."""
    bare, whole = observe_raw(bundled), tape.observed()

    assert np.isnan(bare.raw[..., col.FIRST_OWN :]).all()
    assert same(bare.ready, whole.ready)
    assert same(bare.raw[..., : col.FIRST_OWN], whole.raw[..., : col.FIRST_OWN])


def test_an_observed_recording_is_scaled_as_live(bundled: Recording, tape: Tape) -> None:
    """`observe` gives float32 features (T, S, 64), the same bits as the live observer without an account."""
    seen = observe(bundled)
    observer = tape.observer()
    for t in range(600):
        observer.take(int(tape.ts[t]), tape.ohlcv[t], tape.present[t], tape.feed[t])
        assert same(observer.values, seen.values[t])
        assert same(observer.masked, seen.masked[t])

    assert seen.values.dtype == np.float32
    assert seen.values.shape == (35_022, 5, 64)


def test_bars_of_before_the_range_warm_up() -> None:
    """With them, the first observation of the range is ready and has the bits of the longer recording."""
    long = observe_raw(open_recording(end="2017-11-30"))
    short = observe_raw(open_recording(start="2017-11-01", end="2017-11-30", warm_up=True))
    part = long.closes_ns >= short.closes_ns[0]

    assert short.ready[0].all()
    assert same(short.raw[..., OF_BARS], long.raw[part][..., OF_BARS])


@pytest.mark.parametrize(("interval", "minutes", "words"), [
    ("30m", 60, r"pilot\.interval = '30m': the run's bars are longer \(1h\)"),
    ("5m", 3, r"pilot\.interval = '5m': is not a whole number of the run's bars \(3m\)"),
    ("4h", 120, r"pilot\.interval = '4h': the run's bars are 120 minutes long"),
    ("5m", 2, r"pilot\.interval = '5m': the run's bars are 2 minutes long"),
])
def test_bars_that_cannot_be_built_up_are_refused(interval: str, minutes: int, words: str) -> None:
    """The error names the setting, its value, the run's bars and what to do."""
    with pytest.raises(ConfigError, match=words):
        Observer(["BTCUSDT"], minutes * NS_PER_MINUTE, ObservationSettings(interval=interval))


@pytest.mark.parametrize("interval", ["7m", "6h", "1d", ""])
def test_an_interval_that_is_not_observed_is_refused(interval: str) -> None:
    """The error names the setting, its value and the intervals that are."""
    with pytest.raises(ConfigError, match=f"pilot.interval = '{interval}': must be one of 1m, 3m, 5m"):
        ObservationSettings(interval=interval)


def test_bad_arrays_and_times_are_refused() -> None:
    """The error names the array and its shape, or the two times."""
    tape = walk(10, 30)
    observer = tape.observer()
    observer.take(int(tape.ts[5]), tape.ohlcv[5], tape.present[5], tape.feed[5])

    with pytest.raises(InputError, match=r"ohlcv = \(2, 5\): must be of the shape \(3, 5\)"):
        observer.take(int(tape.ts[6]), tape.ohlcv[6, :2], tape.present[6], tape.feed[6])
    with pytest.raises(InputError, match=r"own = \(3, 10\): must be of the shape \(3, 11\)"):
        observer.take(int(tape.ts[6]), tape.ohlcv[6], tape.present[6], tape.feed[6], tape.own[6, :, :10])
    with pytest.raises(InputError, match=r"feed = \(10, 3, 4\)"):
        observer.take_all(tape.ts, tape.ohlcv, tape.present, tape.feed[..., :4])
    with pytest.raises(DataError, match="bars of 2024-01-01T02:30:00Z after bars of 2024-01-01T02:30:00Z"):
        observer.take(int(tape.ts[5]), tape.ohlcv[5], tape.present[5], tape.feed[5])
    with pytest.raises(DataError, match="time must move forward"):
        observer.take_all(tape.ts, tape.ohlcv, tape.present, tape.feed)
    with pytest.raises(InputError, match=r"symbols = \[\]"):
        Observer([], HALF_HOUR)


def test_a_state_of_another_observer_is_refused() -> None:
    """Of other symbols, of bars of another length, or of other features."""
    tape = walk(10, 30)
    state = tape.observer().state()

    for other in (
        Observer(["BTCUSDT"], HALF_HOUR), Observer(["ETHUSDT", "BTCUSDT", "XRPUSDT"], HALF_HOUR), tape.observer("1h"),
    ):
        with pytest.raises(StateError, match="pilot state"):
            other.load_state(state)
    with pytest.raises(StateError, match="pilot state feature_hash"):
        tape.observer().load_state(state | {"feature_hash": state["feature_hash"] + 1})


def test_a_batch_without_moments_is_empty() -> None:
    """Nothing in, nothing out, and the state stays."""
    tape = walk(10, 30)

    observer = tape.observer()
    before = observer.state()
    assert tape.rows(0, 0).observed(observer=observer).raw.shape == (0, 3, 64)
    assert all(same(before[key], after) for key, after in observer.state().items())
