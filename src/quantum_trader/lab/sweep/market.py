"""What all settings of a sweep share: a recording's measures, signals, shadow trades and funding, as one tape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.domain.instrument import Instrument, tier_rows
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Intent
from quantum_trader.engine import stage
from quantum_trader.engine.recorded_intents import RecordedIntents
from quantum_trader.engine.road import shadow_bracket
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.lab.sweep.columns import instrument, measure, signal
from quantum_trader.lab.sweep.layout import Levels, Rules, SweepTape, Targets
from quantum_trader.lab.sweep.policy import fill_levels, pack_states
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.costs import round_trip_bps
from quantum_trader.market.jit import kernel
from quantum_trader.market.recording import Chunk, Recording
from quantum_trader.market.symbol_performance import SymbolPerformance
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import fill_overall
from quantum_trader.risk.halts import empty_ticks
from quantum_trader.signals import columns as col
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.shadow import RESOLVED_NET_R, RESOLVED_SEQ, RESOLVED_SYMBOL, ShadowBook
from quantum_trader.venues.paper.funding import FundingSchedule
from quantum_trader.venues.paper.settings import PaperSettings

_SIGNAL_COLUMNS: Final = (col.SIGNAL, col.CONFIDENCE, col.ATR_1H, col.CLOSE, col.TREND)  # in the order of G_*
_NO_INTENT: Final = [0.0] * (signal.SIZE - len(_SIGNAL_COLUMNS))
ENSEMBLE: Final = "ensemble"  # the source of signals without models: the first of :attr:`SweepMarket.sources`
_EIGHT_HOURS: Final = 8 * NS_PER_HOUR
_NO_QUALITY: Final = 0.5  # the quality that the engine shows for signals of models


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep holds fixed: the engine's and the venue's settings, and how finely equity is sampled."""

    engine: EngineSettings
    venue: PaperSettings
    period_ns: int = 86_400_000_000_000  # of the equity samples

    def __post_init__(self) -> None:
        if self.engine.ungated:
            raise ConfigError("engine.ungated = true: a sweep trades as the system does; leave it out")
        if self.engine.gates.meta_label and "meta_label" in self.engine.gates.enforced:
            raise ConfigError(
                f"gates.meta_label = {self.engine.gates.meta_label!r}: a sweep cannot ask a meta-label, whose answer "
                "depends on each setting's own trades; observe the gate meta_label, or use `run`"
            )
        if self.venue.participation is not None:
            raise ConfigError(
                f"participation = {self.venue.participation!r}: a sweep fills whole orders; leave it out"
            )
        if self.venue.initial_cash != self.engine.start_equity:
            raise ConfigError(
                f"initial_cash = {self.venue.initial_cash!r}: must equal start_equity = {self.engine.start_equity!r}"
            )


class _Signals:
    """Signals, outside intents and shadow results as they appear."""

    def __init__(
        self, settings: EngineSettings, instruments: tuple[Instrument, ...], interval_ns: int,
        intents: Iterable[Intent], models: str,
    ) -> None:
        self.of_models = bool(models)  # their signals depend on the setting
        self.book = ShadowBook(len(instruments), interval_ns, [one.taker_fee_bps for one in instruments])
        self.intents = RecordedIntents(intents)
        self.intent_from: list[int] = []
        self.sources = {models or ENSEMBLE: 0}
        self.source_of: list[int] = []  # of each row
        self._index = {one.symbol: index for index, one in enumerate(instruments)}
        self._interval_ns = interval_ns
        self.symbols: list[int] = []
        self.rows: list[list[float]] = []
        self.shadows: list[tuple[int, int, float]] = []
        self.holes: list[tuple[int, int, int]] = []
        self.settings = settings

    def close(self, count: int) -> None:
        """Take *count* resolved shadow trades."""
        for row in self.book.resolved[:count]:
            self.shadows.append((int(row[RESOLVED_SYMBOL]), int(row[RESOLVED_SEQ]) - 1, float(row[RESOLVED_NET_R])))

    def take(self, market: Floats) -> None:
        """Take a moment's signals, in the order of the symbols."""
        for index in np.flatnonzero(market[:, col.SIGNAL]).tolist():
            row = market[index]
            self.symbols.append(index)
            self.rows.append([float(row[column]) for column in _SIGNAL_COLUMNS] + _NO_INTENT)
            self.source_of.append(0)
            self.rows[-1][0] = 1.0 if row[col.SIGNAL] > 0 else -1.0
            atr = float(row[col.ATR_1H])
            if atr > 0.0:
                stop_atr, target_atr = shadow_bracket(int(row[col.TREND]), float(row[col.VOL_RATIO]))
                self.book.open(index, len(self.symbols), int(self.rows[-1][0]), atr, stop_atr, target_atr)

    def take_intents(self, market: Floats, now_ns: int) -> None:
        """Take the outside intents that are due at the close *now_ns*. ConfigError for a symbol that is not swept."""
        self.intent_from.append(len(self.symbols))
        for intent in self.intents.due(now_ns):
            index = self._index.get(intent.symbol)
            if index is None:
                raise ConfigError(f"intent {intent.intent_id}: symbol = {intent.symbol!r}: is not in this sweep")
            row = market[index]
            age = float(row[col.MARKET_AGE])
            age_s = int(age * self._interval_ns) / NS_PER_SECOND if np.isfinite(age) else age
            self.symbols.append(index)
            self.source_of.append(self.sources.setdefault(intent.source, len(self.sources)))
            self.rows.append([
                float(intent.side.sign), intent.confidence, float(row[col.ATR_1H]), intent.reference_price,
                float(row[col.TREND]), intent.qty, intent.stop_price, intent.leverage, float(intent.reduce_only),
                age_s, float(now_ns > intent.expires_ns),
            ])

    def hole(self, index: int) -> None:
        """Close the shadows of a symbol whose data ends for more than a day."""
        before = len(self.shadows)
        self.close(self.book.close_before_hole(index))
        self.holes.append((index, before, len(self.shadows)))


class WarmUp(NamedTuple):
    """What models are told of the bars from before the range beside the bars; T moments, S symbols."""

    costs_bps: Floats  # (T, S) of a round trip
    funding_8h: Floats  # (T, S) the newest known rate, per 8 hours


class SweepMarket(msgspec.Struct, frozen=True, kw_only=True):
    """The tape of a recording and what else a sweep of it needs."""

    tape: Any
    rules: Any
    fee_bps: Any
    symbols: tuple[str, ...]
    bars: int  # present ones
    settings: SweepSettings
    sources: tuple[str, ...] = (ENSEMBLE,)
    source_of: Any = None  # int64 (N,) of each signal and intent of the tape, its place in *sources*
    models: str = ""  # names of the models that give the signals; empty: the tape has the signals
    warm_up: Any = None  # WarmUp, where models give the signals


def prepare(
    recording: Recording, instruments: tuple[Instrument, ...], settings: SweepSettings,
    intents: Iterable[Intent] = (), models: str = "",
) -> SweepMarket:
    """Compute once what every setting shares; *intents* are recorded ones from outside, each with an id of its own.

    *models* names the models that give the signals (``lab.sweep.targets``); without them the intraday ensemble does.
    Raises DataError for a recording that holds what is no bar, ConfigError for an intent of a symbol it does not have.
    """
    intents = tuple(intents)
    _refuse_resting(settings.engine.maker_entry_bars, recording.interval_ns, bool(models) and not intents)
    signals = _Signals(settings.engine, instruments, recording.interval_ns, intents, models)
    tape, bars, warm_up = _tape(recording, instruments, settings, signals)
    return SweepMarket(
        tape=tape, rules=_rules(recording, instruments, settings),
        fee_bps=np.array([one.taker_fee_bps for one in instruments]), symbols=recording.symbols,
        bars=bars, settings=settings, sources=tuple(signals.sources),
        source_of=np.array(signals.source_of, dtype=np.int64), models=models,
        warm_up=warm_up,
    )


def _refuse_resting(bars: int, interval_ns: int, is_of_models: bool) -> None:
    """Refuse to sweep post-only entries where a run knows more than a tape: costs of later moments, funding times."""
    if bars > 0 and not is_of_models:
        raise ConfigError(
            f"engine.maker_entry_bars = {bars!r}: a sweep follows post-only entries of models alone; use `run` for "
            "intraday-demo and for recorded intents, or set it to 0"
        )
    if bars > 0 and interval_ns > NS_PER_HOUR:
        raise ConfigError(
            f"engine.maker_entry_bars = {bars!r}: a sweep follows post-only entries on bars of one hour at most, since "
            "funding may be due inside longer ones; use `run`, shorter bars, or set it to 0"
        )


def with_settings(
    market: SweepMarket, recording: Recording, instruments: tuple[Instrument, ...], settings: SweepSettings
) -> SweepMarket:
    """*market*, made of *recording* and *instruments*, under other *settings*: switches, limits, when to resume.

    The tape stays as it is, so what it is made with must stay: market, signals, assumed funding. Raises ConfigError.
    """
    before, after = market.settings.engine, settings.engine
    is_of_models = bool(market.models) and len(market.sources) == 1
    _refuse_resting(after.maker_entry_bars, recording.interval_ns, is_of_models)
    for key in ("market", "signals", "funding_rate_8h"):
        if getattr(before, key) != getattr(after, key):
            raise ConfigError(f"{key} = {getattr(after, key)!r}: a sweep's tape is made with it; prepare it anew")
    return msgspec.structs.replace(market, rules=_rules(recording, instruments, settings), settings=settings)


def _tape(
    recording: Recording, instruments: tuple[Instrument, ...], settings: SweepSettings, signals: _Signals
) -> tuple[SweepTape, int, WarmUp]:
    engine = settings.engine
    kernel_ = SignalKernel(
        recording.symbols, recording.interval_ns, engine.market, engine.signals, [i.tick_size for i in instruments]
    )
    fees = np.array([one.taker_fee_bps for one in instruments])
    warm_up = _warm_up(recording, kernel_, fees, engine.funding_rate_8h)
    known = warm_up.funding_8h
    start = known[-1] if len(known) else np.full(len(fees), engine.funding_rate_8h)
    due, row = _due_rates(recording, start), 0
    parts: dict[str, list[Any]] = {name: [] for name in SweepTape._fields}
    parts["cost_bps"].append(kernel_.out[None, :, col.TAKER_COST_BPS].copy())
    spans: list[tuple[int, int]] = []
    signal_from, hole_from = [0], [0]
    for ts_ns, ohlcv, present, holes in recording.chunks():
        _refuse_bad_bars(recording, ts_ns, ohlcv, present)
        before = kernel_.out[:, col.TAKER_COST_BPS].copy()
        columns = kernel_.advance_all(ts_ns, ohlcv, present)
        rates, row = due[row : row + len(ts_ns)], row + len(ts_ns)
        bars = Chunk(ts_ns, ohlcv, present, holes)
        _walk(recording, bars, rates, columns, before, signals, spans, signal_from, hole_from)
        if signals.of_models:
            columns[:, :, col.QUALITY] = _NO_QUALITY
        _append(parts, ts_ns, ohlcv, present, columns, len(recording.symbols))
    moments = np.concatenate(parts["ts_ns"])
    joined = {name: np.ascontiguousarray(np.concatenate(arrays)) for name, arrays in parts.items() if arrays}
    joined["funding_due"] = due
    joined.update(_funding(recording, instruments, settings, moments))
    joined["funding_8h"] = np.ascontiguousarray(_known_rates(recording, recording.symbols, start, moments))
    shadows = signals.shadows
    tape = SweepTape(**joined | {
        "signal_from": np.array(signal_from, dtype=np.int64),
        "intent_from": np.array(signals.intent_from, dtype=np.int64), "hole_from": np.array(hole_from, dtype=np.int64),
        "signal_symbol": np.array(signals.symbols, dtype=np.int64),
        "signals": np.array(signals.rows, dtype=np.float64).reshape(-1, signal.SIZE),
        "shadow_span": np.array(spans, dtype=np.int64).reshape(-1, 2),
        "shadow_symbol": np.array([one[0] for one in shadows], dtype=np.int64),
        "shadow_signal": np.array([one[1] for one in shadows], dtype=np.int64),
        "shadow_r": np.array([one[2] for one in shadows], dtype=np.float64),
        "holes": np.array(signals.holes, dtype=np.int64).reshape(-1, 3),
    })
    return tape, int(tape.present.sum()), warm_up


def _warm_up(recording: Recording, kernel_: SignalKernel, fees: Floats, assumed_8h: float) -> WarmUp:
    """Let measures and calibration see the bars from before the range, as ``engine.market.Market.warm`` does."""
    costs, times = [np.zeros((0, len(fees)))], [np.zeros(0, dtype=np.int64)]
    for ts_ns, ohlcv, present, _ in recording.chunks_before():
        columns = kernel_.advance_all(ts_ns, ohlcv, present)
        costs.append(round_trip_bps(fees, columns[:, :, col.SLIPPAGE_BPS], columns[:, :, col.SPREAD_BPS]))
        times.append(np.asarray(ts_ns, dtype=np.int64))
    start = np.full(len(fees), assumed_8h)
    rates = start[None, :][:0]
    if recording.earlier is not None:
        rates = _known_rates(recording.earlier, recording.symbols, start, np.concatenate(times))
    return WarmUp(np.concatenate(costs), rates)


def _known_rates(recording: Recording, symbols: Sequence[str], start: Floats, moments: Ints) -> Floats:
    """The newest funding rates known at *moments* (T,), per 8 hours (T, S); *start* (S,) before the first one."""
    known = np.repeat(start[None, :], len(moments), axis=0)
    for index, symbol in enumerate(symbols):
        if symbol in recording.funding:
            times = np.asarray(recording.funding[symbol][0], dtype=np.int64)
            table = np.array([start[index], *recording.funding_8h[symbol]])
            known[:, index] = table[np.searchsorted(times, moments, side="right")]
    return known


def _due_rates(recording: Recording, start: Floats) -> Floats:
    """The sums (T, S) of the funding rates that fall due after the moment before, as ``pilot.paid_rates`` has them.

    *start* (S,): what symbols without any known payment are assumed to pay, per 8 hours.
    """
    moments = recording.times
    due = np.zeros((len(moments), len(recording.symbols)))
    crossed = np.diff(moments // _EIGHT_HOURS, prepend=moments[0] // _EIGHT_HOURS)
    for index, symbol in enumerate(recording.symbols):
        times, rates = recording.funding.get(symbol, (np.empty(0, dtype=np.int64), np.empty(0)))
        at = np.searchsorted(moments, times)
        inside = (at > 0) & (at < len(moments))
        np.add.at(due[:, index], at[inside], np.asarray(rates)[inside])
        if not _paid_before(recording, symbol):
            first = int(at[0]) if len(at) else len(moments)
            due[:first, index] = start[index] * crossed[:first]
    return due


def _paid_before(recording: Recording, symbol: str) -> bool:
    """Whether the bars from before the range have a payment of *symbol*."""
    earlier = recording.earlier
    if earlier is None or symbol not in earlier.funding:
        return False
    return int(earlier.funding[symbol][0][0]) <= int(earlier.times[-1])


def _walk(
    recording: Recording, bars: Chunk, rates: Floats, columns: Floats, before: Floats,
    signals: _Signals, spans: list[tuple[int, int]], signal_from: list[int], hole_from: list[int],
) -> None:
    """Go through a chunk's moments as the engine does: shadows meet the bars, then signals, intents, holes.

    *rates* (n, S): of the funding that is due at each moment.
    """
    ts_ns, ohlcv, present, holes = bars
    hole_rows = np.any(holes, axis=1)
    fresh = (columns[:, :, col.SIGNAL] != 0.0).any(axis=1) & (not signals.of_models)
    cost = before
    for at, moment in enumerate(ts_ns.tolist()):
        first = len(signals.shadows)
        batch = MarketBatch(moment, recording.interval_ns, ohlcv[at], present[at])
        signals.close(signals.book.on_bar(batch, cost, rates[at]))
        spans.append((first, len(signals.shadows)))
        if fresh[at]:
            signals.take(columns[at])
        signals.take_intents(columns[at], moment + recording.interval_ns)
        signal_from.append(len(signals.symbols))
        cost = columns[at, :, col.TAKER_COST_BPS].copy()
        if hole_rows[at]:
            for index in np.flatnonzero(holes[at]).tolist():
                signals.hole(index)
        hole_from.append(len(signals.holes))


def _append(
    parts: dict[str, list[Any]], ts_ns: Ints, ohlcv: Floats, present: Any, columns: Floats, size: int
) -> None:
    """Keep of a chunk what settings read."""
    count = len(ts_ns)
    state = np.empty((count, size + 1), dtype=np.uint8)
    measures = np.empty((count, size + 1, measure.SIZE))
    _pack(columns, SymbolPerformance([str(index) for index in range(size)]).rows, state, measures)
    for name, array in (
        ("ts_ns", np.asarray(ts_ns, dtype=np.int64)), ("ohlc", ohlcv[:, :, :4]), ("present", present.view(np.uint8)),
        ("mark", columns[:, :, col.CLOSE]), ("cost_bps", columns[:, :, col.TAKER_COST_BPS]),
        ("quality", columns[:, 0, col.QUALITY]), ("atr", columns[:, :, col.ATR_1H]), ("state", state),
        ("measures", measures), ("volume_ratio", columns[:, :, col.VOLUME_RATIO_24H]),
    ):
        parts[name].append(np.ascontiguousarray(array))


@kernel
def _pack(columns: Any, performance: Any, state: Any, measures: Any) -> None:
    """Turn the signal kernel's columns into the policy's inputs as the engine does, and pack them."""
    size = columns.shape[1]
    inputs = np.zeros((size + 1, pol.IN_SIZE))
    levels, costs = np.zeros(size, dtype=np.int64), np.zeros(size)
    constants, regimes = np.zeros((size, stage.SYM_SIZE)), np.zeros((size, 4), dtype=np.int64)
    regimes = np.zeros((size, 4), dtype=np.int64)
    for t in range(columns.shape[0]):
        stage.fill_inputs(columns[t], performance, levels, costs, constants, inputs, regimes)
        fill_overall(inputs)
        pack_states(inputs, state[t], measures[t])


def _refuse_bad_bars(recording: Recording, ts_ns: Ints, ohlcv: Floats, present: Any) -> None:
    """Refuse what the engine would leave out bar by bar: a sweep has one tape for all settings."""
    size = len(recording.symbols)
    ticks, clean = np.array([empty_ticks()] * size), np.zeros(size, dtype=np.bool_)
    for at, moment in enumerate(ts_ns.tolist()):
        if stage.screen(ohlcv[at], present[at], ticks, clean, moment):
            index = int(np.flatnonzero(present[at] & ~clean)[0])
            raise DataError(
                f"{recording.symbols[index]}: {ohlcv[at, index].tolist()} at {moment} ns is no bar; "
                "run `quantum-trader data check` and mend the file"
            )


def _funding(
    recording: Recording, instruments: tuple[Instrument, ...], settings: SweepSettings, moments: Ints
) -> dict[str, Any]:
    """Funding times and rates as the venue charges them."""
    counts, rates, starts = [], [], [0]
    for one in instruments:
        times, values = recording.funding.get(one.symbol, ((), ()))
        schedule = FundingSchedule(
            one.symbol, [int(time) for time in times], [float(value) for value in values],
            settings.venue.assumed_funding_rate, one.funding_interval_hours,
        )
        due = schedule.due(int(moments[0]) - 1, int(moments[-1]))
        counts.append(np.searchsorted(np.array([moment for moment, _ in due], dtype=np.int64), moments, side="right"))
        rates += [rate for _, rate in due]
        starts.append(len(rates))
    return {
        "funding_count": np.ascontiguousarray(np.stack(counts, axis=1).astype(np.int64)),
        "funding_rate": np.array(rates, dtype=np.float64), "funding_from": np.array(starts, dtype=np.int64),
    }


def _rules(recording: Recording, instruments: tuple[Instrument, ...], settings: SweepSettings) -> Rules:
    engine, venue, integration = settings.engine, settings.venue, settings.engine.integration
    table = np.zeros((len(instruments), instrument.SIZE))
    depth = max(len(one.tiers) for one in instruments)
    tiers = np.zeros((len(instruments), depth, 4))
    for index, one in enumerate(instruments):
        table[index] = (
            one.tick_size, one.step_size, one.min_qty, one.min_notional, one.taker_fee_bps, one.maker_fee_bps,
        )
        rows = tier_rows(one)
        tiers[index, : len(rows)] = rows
    confidence, risk_pct, positions, exit_mode = integration.fixed
    return Rules(
        size=len(instruments), depth=depth,
        interval_ns=recording.interval_ns, period_ns=settings.period_ns,
        switches=np.array(integration.switches, dtype=np.int64), fixed_confidence=float(confidence),
        fixed_risk_pct=float(risk_pct), fixed_positions=int(positions), fixed_exit=int(exit_mode),
        fixed_volatility_pct=float(engine.volatility_target_pct),
        limits=np.array(engine.limits.row()), instruments=table, tiers=tiers, leverage=float(engine.leverage),
        resume_hours=float(engine.operator_resume_hours), trail_step_atr=float(engine.trail_step_atr),
        default_cost_bps=float(venue.default_taker_cost_bps), range_bps=float(venue.range_slippage_bps),
        liquidation_bps=float(venue.liquidation_fee_bps), maker_bars=int(engine.maker_entry_bars),
        maker_bps=float(venue.maker_slippage_bps), gates=engine.gates.enforced_bits,
        gate_limits=np.array([engine.gates.limits(engine.gates.mode_of(by_score=one)) for one in (False, True)]),
        gate_hours=float(engine.signals.horizon_hours),
    )


def levels_of(market: SweepMarket, vector: Floats, targets: Targets | None = None) -> Levels:
    """The levels of the tape by the thresholds of the profile *vector*, under the *targets* of a setting's models."""
    tape = market.tape
    signals = len(tape.signal_symbol)
    levels = Levels(
        signal_vol=np.zeros(signals, dtype=np.int64), signal_cost_r=np.zeros(signals),
        key=np.zeros(tape.state.shape, dtype=np.uint32), targets=targets,
    )
    fill_levels(tape, market.fee_bps, vector, levels)
    return levels


def thresholds_of(vector: Floats) -> tuple[float, ...]:
    """The part of a profile *vector* on which :func:`levels_of` depends."""
    places = (
        pol.PROFILE_HIGH_VOL, pol.PROFILE_EXTREME_VOL, pol.PROFILE_HIGH_SPREAD_BPS, pol.PROFILE_HIGH_SLIPPAGE_BPS,
        pol.PROFILE_MAX_COST_R,
    )
    return tuple(float(vector[place]) for place in places)
