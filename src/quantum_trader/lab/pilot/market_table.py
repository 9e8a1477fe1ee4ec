"""The table of bars that the training market is played on, from a recording.

Each number stands at the bar whose close makes it known, except what a bar charges: its costs are those known before
it. Scalers are fitted on a stated range alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import DataError, require
from quantum_trader.domain.instrument import Instrument
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording
from quantum_trader.market.regime import MarketSettings
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.features import FEATURES
from quantum_trader.pilot.observer import observe_raw
from quantum_trader.pilot.scaling import Scalers, Scaling, fit_scalers
from quantum_trader.pilot.settings import ObservationSettings
from quantum_trader.pilot.shadow_book import known_cost_bps, symbol_terms
from quantum_trader.signals import columns as signal_col
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.settings import SignalSettings
from quantum_trader.venues.paper.funding import funding_schedules

_MOST_NOTIONAL: Final = 10.0  # start equities: fifty times what an action wants; fewer tiers compile faster
CONSTANT_IN_TRAINING: Final = ("min_confidence", "max_risk", "gate")
"""Features that the training market never varies; a model is not shown them live either."""


class MarketHistory(NamedTuple):
    """A table with what its rows and symbols are. T observed bars of S symbols on one grid without gaps in time."""

    symbols: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    closes_ns: Ints  # (T,)
    present: Bools  # (S, T) every base bar of the observed bar is there
    ready: Bools  # (S, T) its observation may be used
    scalers: Scalers
    table: EpisodeTable


class _BaseBars(NamedTuple):
    """The recording's bars: (N,), (N, S, 5), (N, S), and the cost (N, S) known before each of them."""

    ts_ns: Ints
    ohlcv: Floats
    present: Bools
    cost_bps: Floats


def market_history(
    recording: Recording, settings: EnvironmentSettings, observation: ObservationSettings, fit_from_ns: int,
    fit_until_ns: int, *, scalers: Scalers | None = None,
) -> MarketHistory:
    """Return the table of *recording*; scalers are fitted on the closes from *fit_from_ns* and before *fit_until_ns*.

    With *scalers* these are used instead. The table's windows are those of the fitted range; :func:`with_windows` sets
    others. Raises ConfigError where the recording's bars do not divide the observed ones, DataError where the range has
    no window.
    """
    observation.check_base_bars(recording.interval_ns)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    length = observation.length_ns
    first = recording.start_ns // length * length
    rows = max(1, -(-(recording.end_ns - first) // length))
    closes_ns = first + length * np.arange(1, rows + 1, dtype=np.int64)
    bars, present = _observed_bars(_base_bars(recording, instruments), recording.interval_ns, length, first, rows)
    seen = observe_raw(recording, observation)
    places = (seen.closes_ns - first) // length - 1
    if scalers is None:
        inside = (seen.closes_ns >= fit_from_ns) & (seen.closes_ns < fit_until_ns)
        require(bool(inside.any()), "fit_from_ns", fit_from_ns, f"no observation from {iso(fit_from_ns)} to "
                f"{iso(fit_until_ns)}; the recording has {iso(recording.start_ns)} to {iso(recording.end_ns)}")
        scalers = fit_scalers(
            observation, seen.closes_ns[inside], seen.raw[inside], seen.ready[inside],
            f"{recording.source} {iso(fit_from_ns)} to {iso(fit_until_ns)}",
        )
        scalers = msgspec.structs.replace(scalers, unseen=(*scalers.unseen, *CONSTANT_IN_TRAINING))
    scalers.check_features(observation)
    features = np.zeros((len(instruments), rows, col.FIRST_OWN), dtype=np.float32)
    features[:, places] = np.moveaxis(Scaling(scalers).of(seen.raw)[0][:, :, : col.FIRST_OWN], 0, 1)
    raw = np.full((len(instruments), rows, col.FEATURE_COUNT), np.nan)
    raw[:, places] = np.moveaxis(seen.raw, 0, 1)
    ready = np.zeros(present.shape, dtype=np.bool_)
    ready[:, places] = seen.ready.T
    own_centers, own_scales, own_seen = _own_scaling(scalers)
    table = EpisodeTable(
        open=bars[0], high=bars[1], low=bars[2], close=bars[3], atr=raw[:, :, col.ATR_RATIO] * bars[3],
        cost_bps=known_cost_bps(bars[4], settings.positions.default_cost_bps),
        funding_rate=_funding(recording, instruments, closes_ns, length),
        trend=np.nan_to_num(raw[:, :, col.REGIME_BULL] - raw[:, :, col.REGIME_BEAR]),
        features=features, starts=np.zeros((0, 2), dtype=np.int32),
        terms=symbol_terms(instruments, settings.positions, length, _MOST_NOTIONAL * settings.start_equity),
        own_centers=own_centers,
        own_scales=own_scales, own_seen=own_seen, cost_share=np.array(1.0),
    )
    history = MarketHistory(recording.symbols, instruments, closes_ns, present, ready, scalers, table)
    return with_windows(history, settings.episode_bars, fit_from_ns, fit_until_ns)


def with_windows(history: MarketHistory, episode_bars: int, from_ns: int, until_ns: int) -> MarketHistory:
    """Return *history* with the windows of *episode_bars* decisions whose bars all close within the range.

    Every decision's bar is present and ready, and the bar that the last one fills in is present. Raises DataError where
    there is none.
    """
    inside = (history.closes_ns >= from_ns) & (history.closes_ns < until_ns)
    decides = history.present & history.ready & inside & (history.table.atr > 0.0)
    fills = history.present & inside
    starts = []
    for place in range(len(history.symbols)):
        enough = _runs(decides[place], episode_bars)
        last = np.flatnonzero(enough)
        last = last[last + episode_bars < len(history.closes_ns)]
        last = last[fills[place, last + episode_bars]]
        starts.append(np.stack([np.full(len(last), place), last], axis=1))
    found = np.concatenate(starts).astype(np.int32)
    if not len(found):
        raise DataError(
            f"episode_bars = {episode_bars}: no symbol has so many ready bars in a row from {iso(from_ns)} to "
            f"{iso(until_ns)}; give shorter episodes or a longer range"
        )
    return history._replace(table=history.table._replace(starts=found))


def _runs(good: Bools, length: int) -> Bools:
    """Whether a run of *length* bars that are all *good* (T,) begins at each bar."""
    counted = np.concatenate([[0], np.cumsum(good)])
    ends = np.minimum(np.arange(len(good)) + length, len(good))
    whole: Bools = counted[ends] - counted[:-1] == length
    return whole


def _base_bars(recording: Recording, instruments: tuple[Instrument, ...]) -> _BaseBars:
    """The recording's bars with the taker's cost that was known before each, as a replay has it."""
    kernel = SignalKernel(
        recording.symbols, recording.interval_ns, MarketSettings(), SignalSettings(),
        [one.tick_size for one in instruments],
    )
    for part in recording.chunks_before():
        kernel.advance_all(part.ts_ns, part.ohlcv, part.present)
    whole, costs = recording.arrays(), []
    before = kernel.out[:, signal_col.TAKER_COST_BPS].copy()
    for chunk in recording.chunks():
        columns = kernel.advance_all(chunk.ts_ns, chunk.ohlcv, chunk.present)
        after = columns[:, :, signal_col.TAKER_COST_BPS]
        costs.append(np.concatenate([before[None], after[:-1]]))
        before = after[-1].copy()
    return _BaseBars(whole.ts_ns, whole.ohlcv, whole.present, np.concatenate(costs))


def _observed_bars(
    base: _BaseBars, base_ns: int, length: int, first: int, rows: int
) -> tuple[tuple[Floats, ...], Bools]:
    """Open, high, low, close and cost (S, T) of the observed bars, and whether each is whole (S, T)."""
    bars, count = (base.ts_ns - first) // length, base.present.shape[1]
    opens, highs, lows, closes, costs = (np.full((count, rows), np.nan) for _ in range(5))
    parts = np.zeros((count, rows), dtype=np.int64)
    for place in range(count):
        there = np.flatnonzero(base.present[:, place])
        at, values = bars[there], base.ohlcv[there, place]
        begins = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]])) if len(at) else at
        ends = np.concatenate([begins[1:], [len(at)]]) - 1 if len(at) else at
        opened = at[begins]
        opens[place, opened], closes[place, opened] = values[begins, 0], values[ends, 3]
        if len(at):
            highs[place, opened] = np.maximum.reduceat(values[:, 1], begins)
            lows[place, opened] = np.minimum.reduceat(values[:, 2], begins)
        costs[place, opened] = base.cost_bps[there[begins], place]
        parts[place] = np.bincount(at, minlength=rows)
    return (opens, highs, lows, closes, costs), parts == length // base_ns


def _funding(
    recording: Recording, instruments: tuple[Instrument, ...], closes_ns: Ints, length: int
) -> Floats:
    """The sum of the rates (S, T) due after the open of the observed bar before and up to the bar's own."""
    opens_ns = closes_ns - length
    rates = np.zeros((len(instruments), len(opens_ns)))
    schedules = funding_schedules(instruments, recording.funding, recording.assumed_funding_rate)
    for place, schedule in enumerate(schedules):
        for due_ns, rate in schedule.due(int(opens_ns[0]), int(opens_ns[-1])):
            rates[place, np.searchsorted(opens_ns, due_ns)] += rate
    return rates


def _own_scaling(scalers: Scalers) -> tuple[Floats, Floats, Bools]:
    """Centers, scales and which features of the account are seen, (11,) each."""
    names = [feature.name for feature in FEATURES[col.FIRST_OWN:]]
    seen = np.array([name not in scalers.unseen for name in names])
    return np.array(scalers.centers[col.FIRST_OWN:]), np.array(scalers.scales[col.FIRST_OWN:]), seen
