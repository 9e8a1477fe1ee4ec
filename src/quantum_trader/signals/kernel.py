"""Market measures and signals of all symbols, one compiled call a moment.

The state is ``rows`` (2, S, width), one symbol's outputs, indicators, unfinished longer bars and open
decisions, and ``pool`` (POOL_SIZE,), shared by all symbols (calibration, the models' gains, quality). The decisions of
a moment use the pool as it was before the moment; the outcomes of its bars are learned afterwards, in symbol order. So
no symbol waits for another: :meth:`SignalKernel.prepare` computes a symbol's bar before the moment in its second row.
The batch form calls the same step, so all three give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, iso
from quantum_trader.domain.enums import DIR_NONE, TREND_UNKNOWN
from quantum_trader.domain.errors import DataError, StateError, require
from quantum_trader.domain.indicators import NAN, Cells
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.costs import known_atr_ratio, liquidity_of, spread_bps, taker_cost_bps, taker_slippage_bps
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.market.regime import (
    MEASURE_ADX,
    MEASURE_ATR,
    MEASURE_DIRECTION,
    MEASURE_REGIME_AGE,
    MEASURE_SIZE,
    MEASURE_TREND,
    MEASURE_VOL_RATIO,
    MEASURE_VOLUME_RATIO,
    MarketSettings,
    measure_clear,
    measure_trend,
    measure_volatility,
)
from quantum_trader.market.resample import BUCKET_SIZE, bucket_add, bucket_waits
from quantum_trader.signals import columns as c
from quantum_trader.signals.calibration import (
    POOL_OUTCOMES,
    POOL_QUALITY,
    POOL_SIGNALS,
    POOL_SIZE,
    POOL_WEIGHTS,
    calibrated,
    learn_cell,
    learn_regression,
)
from quantum_trader.signals.ensemble import emitted, learn_gain, pooled
from quantum_trader.signals.models import (
    CELL_BARS,
    CELL_FEATURES,
    CELL_SCORES,
    FEATURE_COUNT,
    MODEL_COUNT,
    MODELS_SIZE,
    WARMUP_BARS,
    update_models,
)
from quantum_trader.signals.settings import SignalSettings

# Columns of one symbol's row.
_TICK: Final = 0
_SPREAD_FLOOR: Final = 1
_BASE_SLIPPAGE: Final = 2
_CLOSE: Final = 3
_SIGNAL: Final = 4
_UP_PROBABILITY: Final = 5
_CONSENSUS: Final = 6
_LAST_DIRECTION: Final = 7
_BARS_SINCE: Final = 8
_OPEN_DECISIONS: Final = 9  # decisions written since the start (place in the ring)
_UNLEARNED: Final = 10  # of them, those of the moment in hand, whose outcomes are not learned yet: at most two
_VOTES: Final = 11
_MEASURE: Final = _VOTES + MODEL_COUNT
_DECISION_BAR: Final = _MEASURE + MEASURE_SIZE
_TREND_BAR: Final = _DECISION_BAR + BUCKET_SIZE
_VOL_BAR: Final = _TREND_BAR + BUCKET_SIZE
_MODELS: Final = _VOL_BAR + BUCKET_SIZE
_RING: Final = _MODELS + MODELS_SIZE

# Columns of one open decision in the ring.
_DECISION_CLOSE, _DECISION_SIGNAL, _DECISION_FEATURES = 0, 1, 2
_DECISION_SCORES: Final = _DECISION_FEATURES + FEATURE_COUNT
_DECISION_VOTES: Final = _DECISION_SCORES + MODEL_COUNT
_ENTRY: Final = _DECISION_VOTES + MODEL_COUNT
_SPARE: Final = 2  # places in the ring beyond the horizon: decisions of one moment overwrite nothing unlearned

# Settings as numbers.
(
    _INTERVAL, _DECISION_NS, _TREND_NS, _VOL_NS, _EMA, _ENTER, _LEAVE, _MIN_BARS, _HORIZON, _COOLDOWN, _EDGE, _PRIOR,
    _MEMORY, _WARMUP, _RATE, _TRUST, _QUALITY_RATE, _WEIGHT, _GAIN_RATE,
) = range(19)
_SETTINGS_SIZE: Final = 19

_HOLE_NS: Final = NS_PER_DAY  # from a close to the next open, as a recording counts it
_LAST_TS, _FEATURES_TS = 0, 1  # columns of clocks; -1: never


@scalar
def clear_symbol(row: Any) -> None:
    """Reset *row*, except for tick size, liquidity and the position in the ring."""
    for cell in range(_CLOSE, row.shape[0]):
        row[cell] = 0.0
    row[_CLOSE] = NAN
    row[_UP_PROBABILITY] = 0.5
    for model in range(MODEL_COUNT):
        row[_VOTES + model] = 0.5
    measure_clear(row, _MEASURE)


@scalar
def learn(row: Cells, entry: int, close: float, pool: Cells, params: Cells) -> None:
    """Learn from the decision at *entry* of *row*, whose outcome *close* is now known."""
    then = row[entry + _DECISION_CLOSE]
    rose = 1.0 if close > then else (0.0 if close < then else 0.5)
    weight = params[_WEIGHT]
    for model in range(MODEL_COUNT):
        score = row[entry + _DECISION_SCORES + model]
        learn_gain(pool, model, row[entry + _DECISION_VOTES + model], rose, params[_GAIN_RATE])
        learn_cell(pool, model, score, rose, weight, params[_MEMORY])
    learn_regression(pool, row, entry + _DECISION_FEATURES, rose, params[_RATE] * weight)
    pool[POOL_OUTCOMES] += weight
    signal = row[entry + _DECISION_SIGNAL]
    if signal != 0.0:
        right = rose if signal > 0.0 else 1.0 - rose
        pool[POOL_QUALITY] += params[_QUALITY_RATE] * (right - pool[POOL_QUALITY])
        pool[POOL_SIGNALS] += 1.0


@scalar
def decide_signal(row: Cells, pool: Cells, params: Cells, fresh: bool) -> int:
    """Pool the models' calibrated scores into P(up), and return the signal (-1, 0, +1), only if *fresh*."""
    for model in range(MODEL_COUNT):
        row[_VOTES + model] = calibrated(pool, model, row[_MODELS + CELL_SCORES + model], params[_PRIOR])
    up, consensus = pooled(pool, row, _VOTES, params[_TRUST])
    row[_UP_PROBABILITY] = up
    row[_CONSENSUS] = consensus
    if not fresh or pool[POOL_OUTCOMES] < params[_WARMUP]:
        return 0
    signal = emitted(up, params[_EDGE], int(row[_LAST_DIRECTION]), row[_BARS_SINCE], params[_COOLDOWN])
    if signal != 0:
        row[_LAST_DIRECTION] = float(signal)
        row[_BARS_SINCE] = 0.0
    return signal


@scalar
def decision_bar(row: Cells, pool: Cells, params: Cells, fresh: bool) -> int:
    """Update the models with the decision bar in *row* and return the signal; *pool* is read only.

    A bar that is not *fresh* closed earlier: the models use it, but it emits no signal.
    """
    close = row[_DECISION_BAR + 5]
    count = int(row[_OPEN_DECISIONS])
    entry = _RING + (count % (int(params[_HORIZON]) + _SPARE)) * _ENTRY
    update_models(
        row, _MODELS, row[_DECISION_BAR + 3], row[_DECISION_BAR + 4], close, row[_DECISION_BAR + 6], pool, POOL_WEIGHTS
    )
    row[_DECISION_BAR] = 0.0
    row[_OPEN_DECISIONS] = count + 1.0
    row[_UNLEARNED] += 1.0
    row[_BARS_SINCE] += 1.0
    if row[_MODELS + CELL_BARS] <= WARMUP_BARS:
        return 0
    signal = decide_signal(row, pool, params, fresh)
    row[entry + _DECISION_CLOSE] = close
    row[entry + _DECISION_SIGNAL] = float(signal)
    for place in range(FEATURE_COUNT):
        row[entry + _DECISION_FEATURES + place] = row[_MODELS + CELL_FEATURES + place]
    for model in range(MODEL_COUNT):
        row[entry + _DECISION_SCORES + model] = row[_MODELS + CELL_SCORES + model]
        row[entry + _DECISION_VOTES + model] = row[_VOTES + model]
    return signal


@scalar
def learn_symbol(row: Cells, pool: Cells, params: Cells) -> None:
    """Learn the outcomes that the decisions of the current moment in *row* have completed."""
    horizon = int(params[_HORIZON])
    newest = int(row[_OPEN_DECISIONS])
    for number in range(newest - int(row[_UNLEARNED]), newest):
        then = _RING + ((number - horizon) % (horizon + _SPARE)) * _ENTRY
        if number >= horizon and row[then + _DECISION_CLOSE] > 0.0:
            learn(row, then, row[_RING + (number % (horizon + _SPARE)) * _ENTRY + _DECISION_CLOSE], pool, params)
    row[_UNLEARNED] = 0.0


@scalar
def trend_bar(row: Cells, params: Cells) -> None:
    """Update the trend measures with the trend bar in *row*."""
    bar = _TREND_BAR
    measure_trend(
        row, _MEASURE, row[bar + 3], row[bar + 4], row[bar + 5], row[bar + 6],
        int(params[_EMA]), params[_ENTER], params[_LEAVE], params[_MIN_BARS],
    )
    row[bar] = 0.0


@scalar
def vol_bar(row: Cells) -> None:
    """Update the volatility measure with the volatility bar in *row*."""
    measure_volatility(row, _MEASURE, row[_VOL_BAR + 3], row[_VOL_BAR + 4], row[_VOL_BAR + 5])
    row[_VOL_BAR] = 0.0


@scalar
def symbol_bar(
    row: Cells, bar: Cells, buckets: tuple[float, float, float], ends: tuple[bool, bool, bool], pool: Cells,
    params: Cells,
) -> int:
    """Process one base bar (5,) of one symbol; return the signal (-1, 0, +1).

    *buckets* are the numbers of the decision, trend and volatility bars it belongs to, *ends* whether it is their last.
    An older bar that is still held lacks its last base bar and is completed without it.
    """
    signal = 0
    for late in (True, False):
        if late:
            decision, trend, vol = (
                bucket_waits(row, _DECISION_BAR, buckets[0]), bucket_waits(row, _TREND_BAR, buckets[1]),
                bucket_waits(row, _VOL_BAR, buckets[2]),
            )
        else:
            bucket_add(row, _DECISION_BAR, buckets[0], bar[0], bar[1], bar[2], bar[3], bar[4])
            bucket_add(row, _TREND_BAR, buckets[1], bar[0], bar[1], bar[2], bar[3], bar[4])
            bucket_add(row, _VOL_BAR, buckets[2], bar[0], bar[1], bar[2], bar[3], bar[4])
            decision, trend, vol = ends
        if trend:
            trend_bar(row, params)
        if vol:
            vol_bar(row)
        if decision:
            signal = decision_bar(row, pool, params, not late)
    row[_CLOSE] = bar[3]
    return signal


@scalar
def write_out(row: Cells, signal: int, age: float, out: Cells) -> None:
    """Write the output of one symbol, except the quality, into *out* (SIZE,)."""
    close = row[_CLOSE]
    ratio = known_atr_ratio(row[_MEASURE + MEASURE_VOL_RATIO])
    spread, base = spread_bps(close, row[_TICK], row[_SPREAD_FLOOR], ratio), row[_BASE_SLIPPAGE]
    up = row[_UP_PROBABILITY]
    out[c.CLOSE] = close
    out[c.ATR_1H] = row[_MEASURE + MEASURE_ATR]
    out[c.VOL_RATIO] = row[_MEASURE + MEASURE_VOL_RATIO]
    out[c.TREND] = row[_MEASURE + MEASURE_TREND]
    out[c.DIRECTION] = row[_MEASURE + MEASURE_DIRECTION]
    out[c.REGIME_AGE] = row[_MEASURE + MEASURE_REGIME_AGE]
    out[c.MARKET_AGE] = age
    out[c.VOLUME_RATIO_24H] = row[_MEASURE + MEASURE_VOLUME_RATIO]
    out[c.SPREAD_BPS] = spread
    out[c.SLIPPAGE_BPS] = taker_slippage_bps(base, ratio)
    out[c.TAKER_COST_BPS] = taker_cost_bps(spread, base)
    out[c.SIGNAL] = float(signal)
    out[c.CONFIDENCE] = max(up, 1.0 - up)
    out[c.CONSENSUS] = row[_CONSENSUS]
    out[c.UP_PROBABILITY] = up
    out[c.ADX_1H] = row[_MEASURE + MEASURE_ADX]
    for model in range(MODEL_COUNT):
        out[c.VOTE_0 + model] = row[_VOTES + model]


_clear_symbol = compiled(clear_symbol)
_symbol_bar = compiled(symbol_bar)
_learn_symbol = compiled(learn_symbol)
_write_out = compiled(write_out)


@kernel
def _calendar(ts_ns: Any, params: Cells) -> Any:
    """The numbers of the decision, trend and volatility bars that a base bar belongs to, and whether it ends them."""
    end = ts_ns + int(params[_INTERVAL])
    lengths = (int(params[_DECISION_NS]), int(params[_TREND_NS]), int(params[_VOL_NS]))
    buckets = (float(ts_ns // lengths[0]), float(ts_ns // lengths[1]), float(ts_ns // lengths[2]))
    return buckets, (end % lengths[0] == 0, end % lengths[1] == 0, end % lengths[2] == 0)


@kernel
def _advance_symbol(
    ts_ns: Any, bar: Cells, row: Cells, last: Any, buckets: Any, ends: Any, pool: Cells, params: Cells, out: Any
) -> None:
    """Process in *row* a symbol's bar that opened at *ts_ns*; the previous bar opened at *last*."""
    if last < 0 or ts_ns - last - int(params[_INTERVAL]) > _HOLE_NS:
        _clear_symbol(row)
    _write_out(row, _symbol_bar(row, bar, buckets, ends, pool, params), 0.0, out)


@kernel
def _prepare(
    ts_ns: Any, s: int, bar: Cells, rows: Any, side: Any, clocks: Any, pool: Cells, params: Cells, ahead: Any,
    ahead_ts: Any, ahead_out: Any,
) -> None:
    """Process the next bar of symbol *s* in its second row and store which bar it was."""
    ahead_ts[s] = -1
    spare = rows[1 - side[s], s]
    spare[:] = rows[side[s], s]
    buckets, ends = _calendar(ts_ns, params)
    _advance_symbol(ts_ns, bar, spare, clocks[s, _LAST_TS], buckets, ends, pool, params, ahead_out[s])
    ahead[s, :] = bar
    ahead_ts[s] = ts_ns


@kernel
def _same(bar: Cells, other: Cells) -> bool:
    return (
        bar[0] == other[0] and bar[1] == other[1] and bar[2] == other[2] and bar[3] == other[3] and bar[4] == other[4]
    )


@kernel
def _moment(
    ts_ns: Any, ohlcv: Any, present: Any, rows: Any, side: Any, clocks: Any, pool: Cells, params: Cells, out: Any,
    ahead: Any, ahead_ts: Any, ahead_out: Any,
) -> int:
    """Advance all symbols by the bars that opened at *ts_ns*, learning nothing yet; return the number of signals."""
    signals = 0
    buckets, ends = _calendar(ts_ns, params)
    for s in range(side.shape[0]):
        last = clocks[s, _LAST_TS]
        row = rows[side[s], s]
        if not present[s]:
            _write_out(row, 0, (ts_ns - last) / int(params[_INTERVAL]) if last >= 0 else np.inf, out[s])
            out[s, c.QUALITY] = pool[POOL_QUALITY]
            continue
        if ahead_ts[s] == ts_ns and _same(ohlcv[s], ahead[s]):
            side[s] = 1 - side[s]
            row = rows[side[s], s]
            out[s, :] = ahead_out[s]
        else:
            _advance_symbol(ts_ns, ohlcv[s], row, last, buckets, ends, pool, params, out[s])
        clocks[s, _LAST_TS] = ts_ns
        if row[_UNLEARNED] > 0.0:
            clocks[s, _FEATURES_TS] = ts_ns
        signals += int(abs(out[s, c.SIGNAL]))
        out[s, c.QUALITY] = pool[POOL_QUALITY]
    return signals


@kernel
def _learn(rows: Any, side: Any, pool: Cells, params: Cells) -> None:
    """Learn the outcomes that the last moment's bars have completed."""
    for s in range(side.shape[0]):
        row = rows[side[s], s]
        if row[_UNLEARNED] > 0.0:
            _learn_symbol(row, pool, params)


@kernel
def _moments(
    ts_ns: Any, ohlcv: Any, present: Any, rows: Any, side: Any, clocks: Any, pool: Cells, params: Cells, out: Any,
    ahead: Any, ahead_ts: Any, ahead_out: Any,
) -> int:
    """Advance over T moments with the same step as a single moment."""
    signals = 0
    for t in range(ts_ns.shape[0]):
        signals += _moment(
            ts_ns[t], ohlcv[t], present[t], rows, side, clocks, pool, params, out[t], ahead, ahead_ts, ahead_out
        )
        _learn(rows, side, pool, params)
    return signals


def _params(interval_ns: int, market: MarketSettings, signals: SignalSettings) -> Floats:
    """The settings as the kernel's vector, in the order of its names."""
    horizon = signals.horizon_bars(interval_ns)
    weight = 1.0 / horizon
    return np.array([
        interval_ns, signals.decision_ns(interval_ns), market.trend_ns, market.vol_ns, market.ema_period,
        market.adx_enter, market.adx_leave, market.regime_min_bars, horizon, signals.cooldown_bars(interval_ns),
        signals.edge, signals.prior_outcomes, signals.memory_outcomes, signals.warmup_outcomes, signals.learning_rate,
        signals.trust, 2.0 / (signals.quality_memory + 1.0), weight, weight / signals.memory_outcomes,
    ], dtype=np.float64)  # fmt: skip


class EnsembleWarmUp(NamedTuple):
    """The warm-up of the intraday models: bars of each symbol, and known outcomes of all."""

    bars: list[int]  # decision bars seen since each symbol's first one
    bars_needed: int
    length_ns: int  # of a decision bar
    outcomes: float  # independent outcomes known
    outcomes_needed: float


class SignalKernel:
    """Measures, regime, costs and signals of all symbols, advanced a moment at a time.

    ``out`` (S, SIZE) float64 is the output of the last moment, columns in signals.columns; the array is reused.
    ``features_ts`` (S,) int64 is the open of the newest base bar in each symbol's last decision, -1 before it.
    Base bars of *interval_ns* must divide an hour (1 minute to 1 hour). Raises InputError for settings that do not fit.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        interval_ns: int,
        market: MarketSettings | None = None,
        signals: SignalSettings | None = None,
        tick_sizes: Sequence[float] | None = None,
    ) -> None:
        market = market or MarketSettings()
        signals = signals or SignalSettings()
        require(0 < interval_ns <= NS_PER_HOUR and NS_PER_HOUR % interval_ns == 0, "interval_ns", interval_ns,
                "base bars must divide an hour (1 minute to 1 hour)")
        for key, length in (
            ("trend_minutes", market.trend_ns), ("vol_minutes", market.vol_ns),
            ("decision_minutes", signals.decision_ns(interval_ns)),
        ):
            require(length % interval_ns == 0, key, length, f"must be a multiple of the base bars ({interval_ns} ns)")
        require(len(symbols) > 0, "symbols", symbols, "at least one symbol is needed")
        self.symbols = tuple(symbols)
        self.interval_ns = interval_ns
        self.params = _params(interval_ns, market, signals)
        width = _RING + (int(self.params[_HORIZON]) + _SPARE) * _ENTRY
        count = len(self.symbols)
        self._rows: Floats = np.zeros((2, count, width))  # the row in use, and a second one for prepared bars
        self._rows[:, :, _TICK] = 0.0 if tick_sizes is None else np.asarray(tick_sizes, dtype=np.float64)
        self._rows[:, :, _SPREAD_FLOOR : _BASE_SLIPPAGE + 1] = [liquidity_of(symbol) for symbol in self.symbols]
        for row in self._rows.reshape(2 * count, width):
            clear_symbol(row)
        self._side: Ints = np.zeros(count, dtype=np.int64)
        self._clocks: Ints = np.full((count, 2), -1, dtype=np.int64)
        self._ahead: Floats = np.zeros((count, 5))
        self._ahead_ts: Ints = np.full(count, -1, dtype=np.int64)
        self._ahead_out: Floats = np.zeros((count, c.SIZE))
        self._pool: Floats = np.zeros(POOL_SIZE)
        self._pool[POOL_QUALITY] = 0.5
        self._last_ns = -1
        self._learned = True
        self.features_ts = self._clocks[:, _FEATURES_TS]
        self.out: Floats = np.zeros((count, c.SIZE))
        self._write_before_first_bar(self.out)

    def advance(self, batch: MarketBatch) -> int:
        """Process the bars of one moment; return how many symbols have a new signal. DataError as in advance_arrays."""
        return self.advance_arrays(batch.ts_ns, batch.ohlcv, batch.present)

    def advance_arrays(self, ts_ns: int, ohlcv: Floats, present: Bools) -> int:
        """Process (S, 5) bars that opened at *ts_ns*. Raises DataError when time does not move forward.

        :meth:`learn` learns their outcomes; the next call of this method does it when the caller has not.
        """
        if ts_ns <= self._last_ns:
            raise DataError(f"bars of {iso(ts_ns)} after bars of {iso(self._last_ns)}: time must move forward")
        self.learn()
        self._last_ns = ts_ns
        self._learned = False
        return _moment(  # type: ignore[no-any-return]
            ts_ns, ohlcv, present, self._rows, self._side, self._clocks, self._pool, self.params, self.out,
            self._ahead, self._ahead_ts, self._ahead_out,
        )

    def learn(self) -> None:
        """Learn the outcomes that the last moment's bars have completed; a second call does nothing."""
        if not self._learned:
            self._learned = True
            _learn(self._rows, self._side, self._pool, self.params)

    def prepare(self, ts_ns: int, index: int, bar: Floats) -> None:
        """Process a symbol's next bar (5,) before its moment; :meth:`advance` uses the result if that bar arrives.

        The state in use does not change. It does nothing before :meth:`learn`, or for a bar of the past.
        """
        if self._learned and ts_ns > self._last_ns:
            _prepare(
                ts_ns, index, bar, self._rows, self._side, self._clocks, self._pool, self.params, self._ahead,
                self._ahead_ts, self._ahead_out,
            )

    def advance_all(self, ts_ns: Ints, ohlcv: Floats, present: Bools, out: Floats | None = None) -> Floats:
        """Process T moments at once: (T,), (T, S, 5), (T, S); return every moment's ``out`` (T, S, SIZE).

        The state advances, so chunks can follow one another. Raises DataError when time does not move forward.
        """
        moments = ts_ns.shape[0]
        answers = np.empty((moments, len(self.symbols), c.SIZE)) if out is None else out
        require(answers.shape == (moments, len(self.symbols), c.SIZE), "out", answers.shape, "wrong shape")
        if moments == 0:
            return answers
        if ts_ns[0] <= self._last_ns or bool((np.diff(ts_ns) <= 0).any()):
            raise DataError("ts_ns: time must move forward from bar to bar")
        self.learn()
        _moments(
            ts_ns, ohlcv, present, self._rows, self._side, self._clocks, self._pool, self.params, answers,
            self._ahead, self._ahead_ts, self._ahead_out,
        )
        self._last_ns = int(ts_ns[-1])
        self.out[:] = answers[-1]
        return answers

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the arrays to save for a restart, after :meth:`learn`."""
        self.learn()
        return {
            "rows": self._in_use(), "pool": self._pool.copy(), "clocks": self._clocks.copy(),
            "out": self.out.copy(), "params": self.params.copy(), "last_ns": np.array([self._last_ns]),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from :meth:`state`. Raises StateError when it was saved under other symbols or settings."""
        here = {
            "rows": self._rows[0], "pool": self._pool, "clocks": self._clocks, "out": self.out, "params": self.params,
        }
        for key, array in here.items():
            saved = state.get(key)
            if saved is None or saved.shape != array.shape:
                raise StateError(f"signal state {key}: of other symbols or settings; start a new state folder")
        if not np.array_equal(state["params"], self.params):
            raise StateError("signal state: saved under other settings or bar length; start a new state folder")
        for key, array in here.items():
            array[:] = state[key]
        self._side[:], self._ahead_ts[:], self._learned = 0, -1, True
        self._last_ns = int(state["last_ns"][0])

    def warm_up(self) -> EnsembleWarmUp:
        """How far the models are with their warm-up; nothing is given before all of it is there."""
        return EnsembleWarmUp(
            [int(bars) for bars in self._in_use()[:, _MODELS + CELL_BARS].tolist()], WARMUP_BARS + 1,
            int(self.params[_DECISION_NS]), float(self._pool[POOL_OUTCOMES]), float(self.params[_WARMUP]),
        )

    def _in_use(self) -> Floats:
        """A copy (S, width) of the rows in use."""
        return self._rows[self._side, np.arange(len(self.symbols))]

    def _write_before_first_bar(self, out: Floats) -> None:
        """Write the output of symbols before their first bar."""
        for row, answer in zip(self._rows[0], out, strict=True):
            write_out(row, 0, np.inf, answer)
        out[:, c.TREND] = TREND_UNKNOWN
        out[:, c.DIRECTION] = DIR_NONE
        out[:, c.QUALITY] = self._pool[POOL_QUALITY]
