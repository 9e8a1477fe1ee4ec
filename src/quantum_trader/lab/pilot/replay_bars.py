"""The bars of a recording as virtual positions trade them: costs and funding of a replay, and what is observed.

Made once for a recording; every seed, comparator and shuffled copy is then played on the same arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.market import SHADOW_HOURS
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.costs import round_trip_bps
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Chunk, Recording
from quantum_trader.market.regime import MarketSettings
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.actions import LARGE
from quantum_trader.pilot.observer import observe_raw
from quantum_trader.pilot.replay_kernel import PlayedBars
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.signals import columns as signal_col
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.settings import SignalSettings

REGIMES: Final = ("BULL", "BEAR", "HIGH_VOL", "CHOP", "NORMAL")
NO_REGIME: Final = -1
_EIGHT_HOURS: Final = 8 * NS_PER_HOUR


class WarmCosts(NamedTuple):
    """What was known at each moment of before the range: round trips (B, S) in bps, funding (B, S) per 8 hours."""

    round_trip_bps: Floats
    funding_8h: Floats


class ReplayBars(NamedTuple):
    """T moments of S symbols, of which the closes of G make a decision due."""

    recording: Recording
    instruments: tuple[Instrument, ...]
    observed_ns: int
    chunk: Chunk  # all bars
    bars: PlayedBars
    closes_ns: Ints  # (G,) when each decision was due
    rows: Ints  # (G,) the moment of each
    raw: Floats  # (G, S, 64) before scaling; NaN where masked
    ready: Bools  # (G, S)
    atr: Floats  # (G, S) price units
    regimes: npt.NDArray[np.int8]  # (G, S) places in REGIMES, NO_REGIME: not known
    round_trip_bps: Floats  # (T, S) of a taker, known at the close
    funding_8h: Floats  # (T, S) known at the close
    signals: Floats  # (T, S) of the intraday ensemble: -1, 0, 1
    confidences: Floats  # (T, S) of the same
    before: WarmCosts

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbols."""
        return self.recording.symbols

    @property
    def base_ns(self) -> int:
        """Length of a bar."""
        return self.recording.interval_ns


class _Measures(NamedTuple):
    """What the signal kernel says of each moment, (N, S) each."""

    cost_bps: Floats  # known before the moment's bar
    round_trip_bps: Floats
    signals: Floats
    confidences: Floats


def replay_bars(recording: Recording, observation: ObservationSettings) -> ReplayBars:
    """The bars of *recording*; those of before its range warm up features and costs.

    Raises ConfigError where its bars do not divide the observed ones.
    """
    observation.check_base_bars(recording.interval_ns)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    base_ns, length_ns = recording.interval_ns, observation.length_ns
    kernel = SignalKernel(
        recording.symbols, base_ns, MarketSettings(), SignalSettings(), [one.tick_size for one in instruments]
    )
    fees = np.array([one.taker_fee_bps for one in instruments])
    warm = [_measures(kernel, part, fees) for part in recording.chunks_before()]
    earlier_ns = [part.ts_ns for part in recording.chunks_before()]
    measures = [_measures(kernel, part, fees) for part in recording.chunks()]
    whole = recording.arrays()
    due, known = _funding(recording, whole.ts_ns)
    closes_ns = whole.ts_ns + base_ns
    rows = np.flatnonzero(closes_ns % length_ns == 0)
    decision = np.full(len(whole.ts_ns), -1, dtype=np.int64)
    decision[rows] = np.arange(len(rows))
    raw, ready = _observed(recording, observation, closes_ns[rows])
    bars = PlayedBars(
        whole.ts_ns, whole.ohlcv, whole.present, np.concatenate([one.cost_bps for one in measures]), due, decision
    )
    return ReplayBars(
        recording, instruments, length_ns, whole, bars, closes_ns[rows], rows, raw, ready,
        raw[:, :, col.ATR_RATIO] * whole.ohlcv[rows, :, 3], _regimes(raw),
        np.concatenate([one.round_trip_bps for one in measures]), known,
        np.concatenate([one.signals for one in measures]), np.concatenate([one.confidences for one in measures]),
        _warm_costs(recording, warm, earlier_ns),
    )


def _measures(kernel: SignalKernel, part: Chunk, fees: Floats) -> _Measures:
    before = kernel.out[:, signal_col.TAKER_COST_BPS].copy()
    out = kernel.advance_all(part.ts_ns, part.ohlcv, part.present)
    after = out[:, :, signal_col.TAKER_COST_BPS]
    trips = round_trip_bps(fees, out[:, :, signal_col.SLIPPAGE_BPS], out[:, :, signal_col.SPREAD_BPS])
    return _Measures(
        np.concatenate([before[None], after[:-1]]), trips, out[:, :, signal_col.SIGNAL].copy(),
        out[:, :, signal_col.CONFIDENCE].copy(),
    )


def _warm_costs(recording: Recording, warm: Sequence[_Measures], times: Sequence[Ints]) -> WarmCosts:
    if recording.earlier is None:
        nothing = np.zeros((0, len(recording.symbols)))
        return WarmCosts(nothing, nothing)
    ts_ns = np.concatenate(times)
    known = np.full((len(ts_ns), len(recording.symbols)), recording.assumed_funding_rate)
    for place, symbol in enumerate(recording.symbols):
        if symbol in recording.earlier.funding:
            known[:, place] = _last_rates(
                recording.earlier.funding[symbol][0], recording.earlier.funding_8h[symbol], ts_ns,
                recording.assumed_funding_rate,
            )
    return WarmCosts(np.concatenate([one.round_trip_bps for one in warm]), known)


def _last_rates(times: Ints, rates: Floats, ts_ns: Ints, assumed: float) -> Floats:
    """The rate (N,) per 8 hours that was paid last at each of *ts_ns* (N,)."""
    return np.asarray(np.concatenate([[assumed], rates])[np.searchsorted(times, ts_ns, side="right")])


def _funding(recording: Recording, ts_ns: Ints) -> tuple[Floats, Floats]:
    """The rates (T, S) due at each open since the one before, and the rate per 8 hours known (T, S).

    A symbol pays the assumed rate every 8 hours until its first known payment.
    """
    count, assumed = len(recording.symbols), recording.assumed_funding_rate
    boundaries = ts_ns // _EIGHT_HOURS
    crossed = np.diff(boundaries, prepend=boundaries[:1]).astype(np.float64)
    due, known = np.repeat((assumed * crossed)[:, None], count, axis=1), np.full((len(ts_ns), count), assumed)
    for place, symbol in enumerate(recording.symbols):
        times, rates = _payments(recording, symbol)
        if not len(times):
            continue
        gaps = np.minimum(np.diff(times, prepend=times[0] - _EIGHT_HOURS), _EIGHT_HOURS)
        at = np.searchsorted(ts_ns, times, side="left")
        due[at[0]:, place] = 0.0
        inside = at < len(ts_ns)
        np.add.at(due[:, place], at[inside], (rates * gaps / _EIGHT_HOURS)[inside])
        known[:, place] = _last_rates(times, rates, ts_ns, assumed)
    return due, known


def _payments(recording: Recording, symbol: str) -> tuple[Ints, Floats]:
    """Times and rates per 8 hours of all payments of *symbol*, those of before the range first."""
    parts = [one for one in (recording.earlier, recording) if one is not None and symbol in one.funding]
    if not parts:
        return np.empty(0, dtype=np.int64), np.empty(0)
    times = np.concatenate([one.funding[symbol][0] for one in parts])
    rates = np.concatenate([one.funding_8h[symbol] for one in parts])
    order = np.flatnonzero(np.diff(times, prepend=times[0] - 1) > 0)
    return times[order], rates[order]


def _observed(recording: Recording, observation: ObservationSettings, closes_ns: Ints) -> tuple[Floats, Bools]:
    """Raw features (G, S, 64) and which are ready (G, S) at each of *closes_ns*; nothing where none was made."""
    found = observe_raw(recording, observation)
    raw = np.full((len(closes_ns), len(recording.symbols), col.FEATURE_COUNT), np.nan)
    ready = np.zeros(raw.shape[:2], dtype=np.bool_)
    places = np.searchsorted(closes_ns, found.closes_ns)
    raw[places], ready[places] = found.raw, found.ready
    return raw, ready


def _regimes(raw: Floats) -> npt.NDArray[np.int8]:
    flags = raw[:, :, col.REGIME_BULL : col.REGIME_NORMAL + 1]
    known = np.isfinite(flags).all(axis=2) & (np.nan_to_num(flags).sum(axis=2) > 0.0)
    return np.where(known, np.nan_to_num(flags).argmax(axis=2), NO_REGIME).astype(np.int8)


# ---- what the signals want -----------------------------------------------------------------------------------------
def intraday_shares(replay: ReplayBars, least: float) -> Floats:
    """The signed shares (G, S) that the intraday ensemble wants at each decision, a fifth of the equity or nothing.

    A signal counts for as long as its shadow trade may last; one below the confidence *least* opens nothing.
    """
    wants = np.zeros((len(replay.rows), len(replay.symbols)))
    now_ns = replay.closes_ns
    oldest = int(SHADOW_HOURS * NS_PER_HOUR)
    for place in range(wants.shape[1]):
        before, last_ns = 0.0, 0
        signs = replay.signals[replay.rows, place]
        sure = replay.confidences[replay.rows, place]
        for g in range(len(wants)):
            sign = float(np.sign(signs[g]))
            if sign:
                last_ns = int(now_ns[g])
            elif now_ns[g] - last_ns < oldest:
                sign = float(np.sign(before))
            before = _kept(sign, before, float(sure[g]), least)
            wants[g, place] = before
    return wants


def model_shares(replay: ReplayBars, forecasts: Forecasts, least: float) -> Floats:
    """The signed shares (G, S) that the models of *forecasts* want at each decision; they have seen no bar yet.

    A target of less confidence than *least* opens nothing, and what was opened is kept until the target ends.
    """
    wants = np.zeros((len(replay.rows), len(replay.symbols)))
    held = np.zeros(wants.shape[1])
    row = 0
    for part in replay.recording.chunks_before():
        for at, moment in enumerate(part.ts_ns.tolist()):
            batch = MarketBatch(moment, replay.base_ns, part.ohlcv[at], part.present[at])
            forecasts.take(batch, replay.before.round_trip_bps[row], replay.before.funding_8h[row])
            row += 1
    chunk = replay.chunk
    for at, moment in enumerate(chunk.ts_ns.tolist()):
        batch = MarketBatch(moment, replay.base_ns, chunk.ohlcv[at], chunk.present[at])
        forecasts.take(batch, replay.round_trip_bps[at], replay.funding_8h[at])
        if (g := int(replay.bars.decision[at])) >= 0:
            targets, sure = forecasts.out[:, fc.TARGET], forecasts.out[:, fc.CONFIDENCE]
            held = np.array([
                _kept(float(np.sign(np.nan_to_num(target))), before, float(np.nan_to_num(one)), least)
                for target, one, before in zip(targets, sure, held, strict=True)
            ])
            wants[g] = held
    return wants


def _kept(sign: float, before: float, confidence: float, least: float) -> float:
    """What is wanted in the direction *sign*, given what was wanted *before*."""
    return sign * LARGE if sign and (confidence >= least or before * sign > 0.0) else 0.0
