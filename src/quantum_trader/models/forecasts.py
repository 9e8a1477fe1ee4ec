"""The forecasts of a run: its models, the bars they see, and what the system makes of their scores."""

from __future__ import annotations

import difflib
import math
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import OutsideScore
from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.market.intervals import INTERVALS, interval_ns
from quantum_trader.market.regime import MarketSettings
from quantum_trader.models.forecast import (
    CONFIDENCE,
    ENTER_AT,
    SCORE,
    TARGET,
    Forecaster,
    ForecastSettings,
    duration_ns,
)
from quantum_trader.models.history import CLOSE, BarHistory, Completed, kept_bars, same_numbers
from quantum_trader.models.outside_scores import ScoreRefusal, score_models
from quantum_trader.models.past_rates import PastRates
from quantum_trader.models.port import FIELDS, Exit, FrameModel, Model, Panel
from quantum_trader.models.trends import LEAST_NS, ModelTrends
from quantum_trader.models.whole_bars import WholeBars

ATR_BARS: Final = 23  # bars that an ATR(22) needs
FRAME_SPAN: Final = 2  # a column model is called on its warm-up's bars, found among so many times as many intervals
_MOST_ROWS: Final = 100_000


class ModelError(InputError):
    """A model raised, or gave something that is no score."""


class LoadedModel(msgspec.Struct, kw_only=True):
    """A model ready to run, and where it came from."""

    name: str
    model: Model | FrameModel
    fingerprint: str  # hash of its source and parameters
    forecast: ForecastSettings = ForecastSettings()
    exit: Exit = Exit()
    symbols: tuple[str, ...] = ()  # those it is for; empty: all
    file: str = ""  # the user's file; empty for a built-in model
    source: str = ""  # what names it: FILE.py:Class, a file of scores, or a built-in name
    code: str = ""  # hash of its source, its class and its parameters: what the look-ahead check has judged
    weight: float = 1.0  # of its scaled score in the average of several models
    content_id: str = ""  # hash of a trained model's content, its id in a registry; empty: it is none

    @property
    def model_id(self) -> str:
        """What records know it by: the hash of a trained model's content, else its fingerprint."""
        return self.content_id or self.fingerprint

    @property
    def length_ns(self) -> int:
        """Length of its bars in nanoseconds."""
        return interval_ns(self.model.bars)

    @property
    def horizon_ns(self) -> int:
        """For how long its score is meant, in nanoseconds."""
        return duration_ns(self.model.horizon, f"{self.name}.horizon")


class ScoreTable(msgspec.Struct, frozen=True):
    """The scores (T, S) of a column model over a whole recording, with the closes that they were made of."""

    first_ns: int
    length_ns: int
    closes: Floats
    scores: Floats

    def scores_at(self, bar: Completed) -> Floats | None:
        """The scores (S,) of *bar*; None where it is not among the bars that the table was made of."""
        row, rest = divmod(bar.ts_ns - self.first_ns, self.length_ns)
        if rest or not 0 <= row < len(self.closes):
            return None
        return self.scores[row] if same_numbers(self.closes[row], bar.bars[CLOSE]) else None


class Lack(msgspec.Struct, frozen=True, kw_only=True):
    """What a model still lacks before it gives scores for a symbol."""

    model: str
    symbol: str
    bars: int
    needed: int
    interval: str


def _check_symbols(loaded: LoadedModel, symbols: tuple[str, ...]) -> None:
    """Raise ConfigError where a model is for a symbol that is not of the run."""
    for symbol in loaded.symbols:
        if symbol not in symbols:
            near = difflib.get_close_matches(symbol.upper(), symbols, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the run has {', '.join(symbols)}"
            raise ConfigError(f"{loaded.name}.symbols: {symbol!r} is not traded here; {hint}")


def check_statements(loaded: LoadedModel) -> None:
    """Raise ConfigError where what a model states about itself is no value of its kind."""
    model, name = loaded.model, loaded.name
    if not (isinstance(model.bars, str) and model.bars in INTERVALS):
        raise ConfigError(f"{name}.bars = {model.bars!r}: choose from {', '.join(INTERVALS)}")
    needs: Any = model.needs
    if isinstance(needs, str):
        raise ConfigError(f"{name}.needs = {needs!r}: write a tuple, as ({needs!r},)")
    if not needs or any(need not in FIELDS for need in needs):
        raise ConfigError(f"{name}.needs = {tuple(needs)!r}: choose from {', '.join(FIELDS)}")
    whole = isinstance(model.warmup, int) and not isinstance(model.warmup, bool)
    if not (whole and 1 <= model.warmup <= 100_000):
        raise ConfigError(f"{name}.warmup = {model.warmup!r}: must be 1 to 100,000 bars, a whole number")
    if not (isinstance(model.tolerance, int | float) and 0.0 <= model.tolerance < math.inf):
        raise ConfigError(f"{name}.tolerance = {model.tolerance!r}: must be a number of 0 or more, as 1e-6")
    if not isinstance(model.horizon, str):
        raise ConfigError(f'{name}.horizon = {model.horizon!r}: must be a time like "12h" or "7d"')
    try:
        _ = loaded.horizon_ns
    except InputError as error:
        raise ConfigError(str(error)) from None


def check_model(loaded: LoadedModel, base_ns: int) -> None:
    """Raise ConfigError where what a model states about itself cannot be run on bars of *base_ns*."""
    check_statements(loaded)
    if loaded.length_ns % base_ns or loaded.length_ns < base_ns:
        raise ConfigError(
            f"{loaded.name}.bars = {loaded.model.bars!r}: the recording's bars ({base_ns // NS_PER_MINUTE} minutes) do "
            "not make them; choose shorter bars with --bars, or longer ones in the model"
        )


class Forecasts:
    """The models of one run and their combined forecast; ``out`` (S, FORECAST_SIZE) as in models.forecast.

    All enabled models use bars of one length and leave their positions in one way.
    """

    def __init__(
        self, symbols: tuple[str, ...], base_ns: int, models: Sequence[LoadedModel], *, kept_bars: int = 0
    ) -> None:
        """*kept_bars*: bars that are kept at least, for models that take over later (``models.succession``)."""
        if not models:
            raise ConfigError("models: none is enabled; give --model or enable one in [[models]]")
        for loaded in models:
            check_model(loaded, base_ns)
        first = models[0]
        for other in models[1:]:
            if other.length_ns != first.length_ns or other.exit != first.exit:
                raise ConfigError(
                    f"models: {first.name} ({first.model.bars}, exit {first.exit.on}) and {other.name} "
                    f"({other.model.bars}, exit {other.exit.on}) cannot be combined: use the same bars and exit"
                )
            if other.forecast != first.forecast:
                raise ConfigError(
                    f"models: {first.name} and {other.name} state different priors; their combined score has one: "
                    "give both the same"
                )
        for loaded in models:
            _check_symbols(loaded, symbols)
        if all(loaded.model.least_symbols > len(loaded.symbols or symbols) for loaded in models):
            raise ConfigError(
                f"{first.name}: has no view of fewer than {first.model.least_symbols} symbols; here are "
                f"{len(first.symbols or symbols)}: add symbols with --symbols, or choose another model"
            )
        self.symbols, self.models = symbols, tuple(models)
        self.length_ns, self.exit = first.length_ns, first.exit
        capacity = max(ATR_BARS, kept_bars, *(panel_rows(loaded.model) for loaded in models))
        self.history = BarHistory(symbols, base_ns, self.length_ns, capacity)
        count = len(symbols)
        horizon_ns = max(loaded.horizon_ns for loaded in models)
        earns = [loaded.model.earns_funding for loaded in models]
        banded = first.exit.by_score
        self.combined = Forecaster(
            count, self.length_ns, horizon_ns, first.forecast, earns_funding=all(earns), banded=banded
        )
        self.single = [
            Forecaster(
                count, self.length_ns, loaded.horizon_ns, loaded.forecast, earns_funding=own, banded=banded
            )
            for loaded, own in zip(models, earns, strict=True)
        ] if len(models) > 1 else [self.combined]
        self._weights = np.array([[loaded.weight] for loaded in models])
        self._wanted = np.array([
            [not loaded.symbols or symbol in loaded.symbols for symbol in symbols] for loaded in models
        ])
        self.past_rates = PastRates()
        self.trends: ModelTrends | None = None  # of the symbols on the models' bars; None: hourly bars judge them
        self._tables: dict[int, ScoreTable] = {}  # number of a column model -> its scores over the recording
        self.horizon_hours = horizon_ns / NS_PER_HOUR
        self.out = self.combined.out
        self.features_ts = np.full(count, -1, dtype=np.int64)  # open of the newest base bar in each symbol's forecast
        self.decided = np.zeros(count, dtype=np.bool_)  # symbols whose forecast the last bars have renewed
        self.failed_ns = 0  # close of the first bar since which the models have failed; 0: they have not

    def judge_trends(self, settings: MarketSettings) -> None:
        """Judge the trend of each symbol on the models' own bars by *settings*, where these are a day or longer."""
        if self.length_ns >= LEAST_NS:
            self.trends = ModelTrends(len(self.symbols), settings)

    @property
    def name(self) -> str:
        """The models by name."""
        return "+".join(loaded.name for loaded in self.models)

    @property
    def needs_funding(self) -> bool:
        """Whether one of the models looks at funding rates."""
        return any("funding" in loaded.model.needs for loaded in self.models)

    @property
    def warm_up_bars(self) -> int:
        """Bars of before now that a start needs: each model's warm-up twice.

        A model is called once it has *warmup* bars, and one that remembers is judged after as many calls. A column
        model finds its bars among twice as many intervals.
        """
        return max(self.history.capacity, *(2 * int(loaded.model.warmup) for loaded in self.models))

    @property
    def fingerprints(self) -> list[str]:
        """Hashes of each model's source and parameters."""
        return [loaded.fingerprint for loaded in self.models]

    @property
    def ids(self) -> list[str]:
        """What records know each model by."""
        return [loaded.model_id for loaded in self.models]

    def is_small(self, index: int) -> bool:
        """Whether a symbol's score would not enter a position from flat."""
        return not abs(self.out.item(index, SCORE)) >= ENTER_AT

    def votes(self, index: int) -> dict[str, float]:
        """Each model's own confidence in its own score of a symbol, of the models that have one."""
        votes = {
            loaded.name: float(single.out[index, CONFIDENCE])
            for loaded, single in zip(self.models, self.single, strict=True)
        }
        return {name: value for name, value in votes.items() if value == value}

    def consensus(self, index: int) -> float:
        """Share of the models whose score points the way of the target."""
        target = self.out[index, TARGET]
        same = [float(single.out[index, SCORE]) * target > 0.0 for single in self.single]
        return same.count(True) / len(same)

    def symbols_of(self, loaded: LoadedModel) -> tuple[str, ...]:
        """The symbols of the run that a model is for."""
        return tuple(symbol for symbol in self.symbols if not loaded.symbols or symbol in loaded.symbols)

    def lacks(self) -> list[Lack]:
        """What each model still lacks, by symbol; empty once all are warm."""
        seen = dict(zip(self.symbols, self.history.seen.tolist(), strict=True))
        return [
            Lack(
                model=loaded.name, symbol=symbol, bars=seen[symbol], needed=loaded.model.warmup,
                interval=loaded.model.bars,
            )
            for loaded in self.models for symbol in self.symbols_of(loaded) if seen[symbol] < loaded.model.warmup
        ]

    # ------------------------------------------------------------------ scores from outside

    @property
    def takes_scores(self) -> bool:
        """Whether one of the models takes scores from outside."""
        return bool(score_models(loaded.model for loaded in self.models))

    def take_score(self, score: OutsideScore, received_ns: int) -> ScoreRefusal | None:
        """Give *score*, which was received at *received_ns*, to the models that take it; why none does, or None."""
        refusal: ScoreRefusal | None = ScoreRefusal.NO_MODEL
        for loaded in self.models:
            for model in score_models([loaded.model]):
                if not model.accepts(score.source):
                    continue
                if score.symbol not in self.symbols_of(loaded):
                    refusal = refusal and ScoreRefusal.UNKNOWN_SYMBOL
                else:
                    found = model.take(score, received_ns)
                    refusal = refusal and found
        return refusal

    def outside_scores(self, index: int) -> list[str]:
        """Ids of the outside scores that a symbol's newest forecast is made of."""
        used = [model.used(self.symbols[index]) for model in score_models(one.model for one in self.models)]
        return [score_id for score_id in dict.fromkeys(used) if score_id]

    # ------------------------------------------------------------------ bars

    @property
    def has_columns(self) -> bool:
        """Whether one of the models computes whole columns."""
        return any(isinstance(loaded.model, FrameModel) for loaded in self.models)

    def use_columns(self, bars: WholeBars) -> None:
        """Compute the scores of the column models over all *bars* of the run now; each bar's are then looked up.

        Raises ModelError.
        """
        for number, loaded in enumerate(self.models):
            if isinstance(loaded.model, FrameModel) and len(bars.opens):
                self._tables[number] = ScoreTable(
                    int(bars.opens[0]), bars.length_ns, bars.fields[CLOSE],
                    column_scores(loaded, bars, self._wanted[number]),
                )

    def take(self, batch: MarketBatch, cost_bps: Any, funding_8h: Any) -> bool:
        """Take the base bars of one moment; True where forecasts are new (``decided`` says for which symbols).

        *cost_bps* (S,): a round trip; *funding_8h* (S,): rates known now. Raises ModelError.
        """
        self.decided[:] = False
        known = self.past_rates.at(batch.ts_ns, np.where(np.isfinite(funding_8h), funding_8h, np.nan))
        for bar in self.history.take(batch.ts_ns, batch.ohlcv, batch.present, known):
            self._score(bar, cost_bps, funding_8h)
            self.features_ts[bar.present] = min(batch.ts_ns, bar.ts_ns + self.length_ns - self.history.interval_ns)
        return bool(self.decided.any())

    def warm(self, ts_ns: int, ohlcv: Any, present: Any, cost_bps: Any, funding_8h: Any) -> None:
        """Take whole bars (S, 5) of the models' own interval from before the first base bar."""
        newest_base_ns = ts_ns + self.length_ns - self.history.interval_ns
        known = self.past_rates.at(newest_base_ns, np.full(len(self.symbols), np.nan))  # not today's rate
        self._score(self.history.take_whole(ts_ns, ohlcv, present, known), cost_bps, funding_8h)
        self.decided[:] = False

    def learn_kept(self, history: Mapping[str, Any]) -> None:
        """Take the bars of another's *history* (``BarHistory.state``) one by one, as if they came now; costs are 0."""
        nothing = np.zeros(len(self.symbols))
        for row in kept_bars(history):
            self._score(self.history.take_whole(row.ts_ns, row.ohlcv, row.present, row.funding_8h), nothing, nothing)
        self.decided[:] = False

    def succeed(self, before: Forecasts, place: int) -> None:
        """Go on from *before*, which had another model at *place*; what it wants stands until the next whole bar.

        What the other models remember and what their scores were worth goes on. Raises StateError where *before* has
        seen other bars than these forecasts have learned from.
        """
        if self.history.next_ns != before.history.next_ns:
            raise StateError("models: another bar has been completed since the new model learned from the kept ones")
        self.history.load_state(before.history.state())
        models = list(before.models)
        models[place] = self.models[place]
        self.models = tuple(models)
        if len(models) > 1:
            own = self.single[place]
            self.single = list(before.single)
            self.single[place] = own
        self._tables = {number: table for number, table in before._tables.items() if number != place}
        self.past_rates, self.trends, self.failed_ns = before.past_rates, before.trends, before.failed_ns
        self.out[:], self.features_ts[:], self.decided[:] = before.out, before.features_ts, False

    def _score(self, bar: Completed, cost_bps: Any, funding_8h: Any) -> None:
        """Learn from a completed bar, ask every model for its scores, and forecast.

        Where a model raises, the forecasts stay those of before, and ``failed_ns`` says since when.
        """
        self.failed_ns = self.failed_ns or bar.ts_ns + self.length_ns  # until all models have answered
        for single in {id(one): one for one in (*self.single, self.combined)}.values():
            single.learn(bar)
        if self.trends is not None:
            self.trends.take(bar)
        scores = [self._scores_of(number, bar) for number in range(len(self.models))]
        for single, own in zip(self.single, scores, strict=True):
            single.forecast(own, bar.present, cost_bps, funding_8h)
        if len(self.models) > 1:
            scaled = np.array([single.out[:, SCORE] for single in self.single])
            self.combined.forecast(weighted_mean(scaled, self._weights), bar.present, cost_bps, funding_8h)
        self.decided |= bar.present
        self.failed_ns = 0

    def _scores_of(self, number: int, bar: Completed) -> Floats:
        """The scores (S,) of one model at *bar*; NaN for symbols that it lacks bars of, or is not for."""
        loaded = self.models[number]
        count = len(self.symbols)
        warm = (self.history.seen >= loaded.model.warmup) & self._wanted[number]
        if not warm.any():
            return np.full(count, np.nan)
        table = self._tables.get(number)
        looked_up = table.scores_at(bar) if table is not None else None
        if looked_up is not None:
            return looked_up if warm.all() else np.where(warm, looked_up, np.nan)
        panel = self.history.panel(loaded.model.needs, panel_rows(loaded.model))
        return scores_of(loaded, panel, warm & bar.present)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays. Raises StateError where a model's own fails."""
        return {
            "models": self.fingerprints, "ids": self.ids, "history": self.history.state(),
            "combined": self.combined.state(), "single": [single.state() for single in self.single],
            "own": [_remembered(loaded) for loaded in self.models],
            "features_ts": self.features_ts.copy(), "decided": self.decided.copy(), "failed_ns": self.failed_ns,
            "past_rates": self.past_rates.state(),
            "trends": self.trends.state() if self.trends is not None else None,
        }

    def check_saved(self, fingerprints: Sequence[str]) -> None:
        """Raise StateError where a saved state was made with other models than these, by their *fingerprints*."""
        if list(fingerprints) != self.fingerprints:
            raise StateError(
                f"models: {self.name} is not what the saved state was made with (other models, or a changed file or "
                "parameter); start it with the same --model or [[models]] and take a change back, or start a new "
                "--state folder: close open positions with `flatten` before that, or the new folder adopts them "
                "(docs/how-to-first-model.md)"
            )

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where a model or its parameters have changed since."""
        self.check_saved(state["models"])
        self.history.load_state(state["history"])
        for single, saved in zip(self.single, state["single"], strict=True):
            single.load_state(saved)
        self.combined.load_state(state["combined"])
        for loaded, own in zip(self.models, state["own"], strict=True):
            _own_state(loaded, "load_state", partial(loaded.model.load_state, own))
        self.past_rates.load_state(state.get("past_rates", {}))
        self.features_ts[...], self.decided[...] = state["features_ts"], state["decided"]
        self.failed_ns = state.get("failed_ns", 0)
        if self.trends is not None and state.get("trends") is not None:
            self.trends.load_state(state["trends"])


def weighted_mean(scaled: Floats, weights: Floats) -> Floats:
    """Mean (S,) of *scaled* scores (models, S) by *weights* (models, 1), of those with a view; NaN where none has."""
    known = ~np.isnan(scaled)
    total = np.where(known, weights, 0.0).sum(axis=0)
    return np.asarray(np.where(known, weights * scaled, 0.0).sum(axis=0) / np.where(total > 0.0, total, np.nan))


def scores_of(loaded: LoadedModel, panel: Panel, asked: Bools) -> Floats:
    """The scores (S,) that a model gives for *panel*, NaN for symbols that are not *asked* about (S,).

    Raises ModelError naming the model and the line at fault.
    """
    count = len(panel.symbols)
    model = loaded.model
    scores = _called(
        loaded, lambda: model.score(panel) if isinstance(model, Model) else _frame_scores(model, panel, asked)
    )
    if scores.shape != (count,):
        raise ModelError(f"{loaded.name}: gave scores of shape {scores.shape}; expected {count}, one for each symbol")
    scores = np.where(asked, scores, np.nan)
    _check_finite(loaded, scores, panel.symbols)
    return scores


def column_scores(loaded: LoadedModel, bars: WholeBars, asked: Bools | None = None) -> Floats:
    """The scores (T, S) of a column model over all *bars* at once; NaN where a symbol has no bar.

    And NaN for symbols that are not *asked* about (S,); None: all are. Raises ModelError as :func:`scores_of` does.
    """
    model, count = loaded.model, len(bars.symbols)
    assert isinstance(model, FrameModel)
    panel = bars.panel(model.needs, len(bars.opens) - 1, len(bars.opens))
    scores = np.full((len(bars.opens), count), np.nan)
    for s in range(count):
        known = ~np.isnan(panel.field(model.needs[0])[:, s])
        if known.any() and (asked is None or asked[s]):
            scores[known, s] = _called(loaded, partial(_whole_column, model, panel, s))
            bars_known = np.cumsum(known)
            bars_known[panel_rows(model):] -= bars_known[: -panel_rows(model)].copy()
            scores[bars_known < model.warmup, s] = np.nan  # a call has no score there either
    _check_finite(loaded, scores, bars.symbols)
    return scores


def _whole_column(model: FrameModel, panel: Panel, index: int) -> Floats:
    return frame_scores(model, frame_of(model, panel, index))


def _called(loaded: LoadedModel, ask: Callable[[], Any]) -> Floats:
    """What the user's code gives as numbers; ModelError with the model and the line where it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, where every value is NaN
            return np.asarray(ask(), dtype=np.float64)
    except (Exception, SystemExit) as error:
        hint = f"; is warmup = {loaded.model.warmup} shorter than what it looks back?" * isinstance(error, IndexError)
        where = _where(error, loaded.file)
        raise ModelError(f"{loaded.name}: {where}{type(error).__name__}: {error}{hint}") from error


def _own_state(loaded: LoadedModel, what: str, ask: Callable[[], Any]) -> Any:
    """What the user's ``state`` or ``load_state`` gives; StateError with the model and the line where it raises."""
    try:
        return ask()
    except (Exception, SystemExit) as error:
        where = _where(error, loaded.file)
        raise StateError(
            f"{loaded.name}: {where}{what}(): {type(error).__name__}: {error}; mend the model, and start a new --state "
            "folder with it"
        ) from error


def _remembered(loaded: LoadedModel) -> Any:
    """What the user's ``state`` gives; StateError with the model where that cannot be saved."""
    own = _own_state(loaded, "state", loaded.model.state)
    try:
        msgspec.msgpack.encode(own, enc_hook=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StateError(
            f"{loaded.name}: state() cannot be saved: {error}; give plain values, and arrays of numbers or text"
        ) from error
    return own


def _plain(value: Any) -> Any:
    """None in place of an array, a plain number in place of one of NumPy; TypeError for what cannot be saved."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return None
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")


def _check_finite(loaded: LoadedModel, scores: Floats, symbols: tuple[str, ...]) -> None:
    """Raise ModelError where a score is infinite."""
    endless = np.argwhere(np.isinf(scores))
    if len(endless):
        symbol = symbols[int(endless[0][-1])]
        raise ModelError(f"{loaded.name}: the score of {symbol} is infinite; NaN says that there is no view")


def panel_rows(model: Model | FrameModel) -> int:
    """Intervals of the panel that *model* is called with."""
    return model.warmup if isinstance(model, Model) else min(FRAME_SPAN * model.warmup, _MOST_ROWS)


def _frame_scores(model: FrameModel, panel: Panel, asked: Bools) -> Floats:
    """The newest score of each symbol *asked* about, from the frame of its last *warmup* bars; NaN where it has fewer.
    """
    scores = np.full(len(panel.symbols), np.nan)
    for s in np.flatnonzero(asked).tolist():
        frame = frame_of(model, panel, s).tail(model.warmup)
        if frame.height == model.warmup:
            scores[s] = frame_scores(model, frame)[-1]
    return scores


def frame_of(model: FrameModel, panel: Panel, index: int) -> Any:
    """One symbol's bars of *panel* as a frame: ``ts`` and the columns of the model's needs, without bars it lacks."""
    import polars as pl

    columns: dict[str, Any] = {need: panel.field(need)[:, index] for need in model.needs}
    known = ~np.isnan(columns[model.needs[0]])
    stamps = pl.Series("ts", panel.ts_ns[known]).cast(pl.Datetime("ns", "UTC"))
    return pl.DataFrame({"ts": stamps, **{need: values[known] for need, values in columns.items()}})


def frame_scores(model: FrameModel, frame: Any) -> Floats:
    """The column ``score`` (rows,) that *model* makes of *frame*; NaN for null."""
    if frame.height == 0:
        return np.array([np.nan])
    result = model.scores(frame)
    if result is None or "score" not in result:
        what = "nothing" if result is None else "a frame without a column 'score'"
        raise ValueError(f"scores() returned {what}; return frame.with_columns(score=...)")
    column: Any = result["score"]  # of polars or of pandas
    scores = np.array([np.nan if one is None else one for one in column.to_list()], dtype=np.float64)
    if scores.shape != (frame.height,):
        raise ValueError(f"scores(): gave {scores.shape[0]} rows for {frame.height} bars")
    return scores


def _where(error: BaseException, file: str) -> str:
    """The line of the user's *file* that raised *error*, as "mine.py:12: "."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if file and frame.filename == file]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
