"""The observer: bars, feed and account in, observations out, moment by moment or for a whole recording at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import DataError, StateError, require
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.recording import Recording
from quantum_trader.pilot import kernel as kernels
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.features import feature_hash
from quantum_trader.pilot.feed_columns import FEED_SIZE
from quantum_trader.pilot.market_factor import bitcoin_index
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.recorded_feed import recorded_feed
from quantum_trader.pilot.scaling import Scalers, Scaling, Singles, default_scalers
from quantum_trader.pilot.settings import ObservationSettings


class RawObservations(NamedTuple):
    """Observations before scaling: closes (T,), raw features (T, S, 64) with NaN where masked, and which are ready."""

    closes_ns: Ints
    raw: Floats
    ready: Bools  # (T, S)


class Observations(NamedTuple):
    """Observations as a model sees them: closes (T,), features (T, S, 64) float32, masks of the same shape, ready."""

    closes_ns: Ints
    values: Singles
    masked: Bools
    ready: Bools  # (T, S)


class Observer:
    """The 64 features of all symbols, advanced by the base bars of one moment at a time.

    After a moment that ends an observed bar, ``values`` (S, 64) holds the scaled features, ``masked`` (S, 64) what
    is not known (its value is 0), ``raw`` (S, 64) the features before scaling, and ``ready`` (S,) the symbols whose
    observation may be used. A symbol is ready when it has a bar at that moment, its indicators are warm, and
    everything that its account says is a finite number. The arrays are reused.

    Raises ConfigError where the settings do not fit the bars, or the scalers the features.
    """

    def __init__(
        self, symbols: Sequence[str], base_ns: int, settings: ObservationSettings | None = None,
        scalers: Scalers | None = None,
    ) -> None:
        self.settings = settings or ObservationSettings()
        self.settings.check_base_bars(base_ns)
        require(len(symbols) > 0, "symbols", list(symbols), "at least one symbol is needed")
        self.symbols = tuple(symbols)
        self.scalers = scalers or default_scalers(self.settings)
        self.scalers.check_features(self.settings)
        self._scale = Scaling(self.scalers)
        count = len(self.symbols)
        self._memory = kernels.Memory(
            rows=np.zeros((count, kernels.ROW_SIZE)), clocks=np.full(count, kernels.NO_BAR, dtype=np.int64),
            making=np.full(1, kernels.NO_BAR, dtype=np.int64),
            setting=np.array([base_ns, self.settings.length_ns, bitcoin_index(self.symbols)], dtype=np.int64),
            returns=np.full(count, np.nan), late=np.full((count, FEATURE_COUNT), np.nan),
        )
        self._last_ns = kernels.NO_BAR
        self.raw: Floats = np.full((count, FEATURE_COUNT), np.nan)
        self.ready: Bools = np.zeros(count, dtype=np.bool_)
        self.values: Singles = np.zeros((count, FEATURE_COUNT), dtype=np.float32)
        self.masked: Bools = np.ones((count, FEATURE_COUNT), dtype=np.bool_)

    def take(self, ts_ns: int, ohlcv: Floats, present: Bools, feed: Floats, own: Floats | None = None) -> bool:
        """Take the base bars (S, 5) that opened at *ts_ns*; returns whether an observation was made.

        *present* (S,): which symbols have a bar. *feed* (S, 5) and *own* (S, 11): what is known at the bars' close,
        columns in ``feed_columns`` and ``own_columns``; without *own* the account's features are masked. After a
        moment without an observation no symbol is ready. Raises DataError when time does not move forward.
        """
        count = len(self.symbols)
        _check("ohlcv", ohlcv, (count, 5))
        _check("present", present, (count,))
        _check("feed", feed, (count, FEED_SIZE))
        if own is not None:
            _check("own", own, (count, OWN_SIZE))
        if ts_ns <= self._last_ns:
            raise DataError(f"bars of {iso(ts_ns)} after bars of {iso(self._last_ns)}: time must move forward")
        self._last_ns = ts_ns
        made = bool(kernels.take_moment(
            ts_ns, ohlcv, present, feed, _own_rows(own, count), own is not None, self._memory, self.raw, self.ready
        ))
        if made:
            self._scale.into(self.raw, self.values, self.masked)
        return made

    def take_all(
        self, ts_ns: Ints, ohlcv: Floats, present: Bools, feed: Floats, own: Floats | None = None
    ) -> RawObservations:
        """Take T moments at once: (T,), (T, S, 5), (T, S), (T, S, 5) and (T, S, 11); return their observations.

        The state advances, so parts can follow one another. Raises DataError when time does not move forward.
        """
        moments, count = len(ts_ns), len(self.symbols)
        _check("ohlcv", ohlcv, (moments, count, 5))
        _check("present", present, (moments, count))
        _check("feed", feed, (moments, count, FEED_SIZE))
        if own is not None:
            _check("own", own, (moments, count, OWN_SIZE))
        if moments and (ts_ns[0] <= self._last_ns or bool((np.diff(ts_ns) <= 0).any())):
            raise DataError("ts_ns: time must move forward from bar to bar")
        base_ns, length_ns = self._memory.setting[kernels.INTERVAL], self._memory.setting[kernels.LENGTH]
        most = int(np.count_nonzero((ts_ns + base_ns) % length_ns == 0))
        raw = np.full((most + 1, count, FEATURE_COUNT), np.nan)  # one row more: moments after the last observation
        ready, closes = np.zeros((most + 1, count), dtype=np.bool_), np.zeros(most, dtype=np.int64)
        if moments:
            kernels.take_moments(
                ts_ns, ohlcv, present, feed, _own_rows(own, count)[None] if own is None else own, own is not None,
                self._memory, raw, ready, closes,
            )
            self._last_ns = int(ts_ns[-1])
        return RawObservations(closes, raw[:most], ready[:most])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the arrays to save for a restart."""
        return {
            "rows": self._memory.rows.copy(), "clocks": self._memory.clocks.copy(),
            "making": self._memory.making.copy(), "setting": self._memory.setting.copy(),
            "last_ns": np.array([self._last_ns]),
            "feature_hash": np.frombuffer(bytes.fromhex(feature_hash(self.settings)), dtype=np.uint8).copy(),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from :meth:`state`. Raises StateError where it was saved with other features, symbols or bars."""
        here = self.state()
        for key, array in here.items():
            saved = state.get(key)
            if saved is None or saved.shape != array.shape:
                raise StateError(f"pilot state {key}: of other symbols or features; start a new --state folder")
        for key in ("setting", "feature_hash"):
            if not np.array_equal(state[key], here[key]):
                raise StateError(f"pilot state {key}: saved with other bars, symbols or features; start a new --state "
                                 "folder")
        self._memory.rows[...], self._memory.clocks[...] = state["rows"], state["clocks"]
        self._memory.making[...] = state["making"]
        self._last_ns = int(state["last_ns"][0])


def _check(key: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise InputError naming *key* where *array* is not of *shape*."""
    require(array.shape == shape, key, array.shape, f"must be of the shape {shape}")


def _own_rows(own: Floats | None, count: int) -> Floats:
    """*own*, or an array of its shape where there is no account."""
    return np.full((count, OWN_SIZE), np.nan) if own is None else own


def raw_parts(recording: Recording, observer: Observer) -> Iterator[RawObservations]:
    """The observations of a recording without an account, a chunk at a time; bars of before its range warm up."""
    if recording.earlier is not None:
        for part in recording.chunks_before():
            observer.take_all(part.ts_ns, part.ohlcv, part.present, _no_feed(part.present))
    for part in recording.chunks():
        yield observer.take_all(part.ts_ns, part.ohlcv, part.present, recorded_feed(recording, part.ts_ns))


def _no_feed(present: Bools) -> Floats:
    return np.full((*present.shape, FEED_SIZE), np.nan)


def observe_raw(recording: Recording, settings: ObservationSettings | None = None) -> RawObservations:
    """Every observation of *recording* before scaling, without an account: what scalers are fitted on."""
    observer = Observer(recording.symbols, recording.interval_ns, settings)
    parts = list(raw_parts(recording, observer))
    return RawObservations(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def observe(
    recording: Recording, settings: ObservationSettings | None = None, scalers: Scalers | None = None
) -> Observations:
    """Every observation of *recording* as a model sees it, without an account; bit-equal to the live form."""
    observer = Observer(recording.symbols, recording.interval_ns, settings, scalers)
    scale, parts = Scaling(observer.scalers), []
    for part in raw_parts(recording, observer):
        parts.append(Observations(part.closes_ns, *scale.of(part.raw), part.ready))
    return Observations(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
