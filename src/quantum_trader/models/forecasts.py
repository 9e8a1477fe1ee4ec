"""The forecasts of a run: its models, the bars they see, and what the system makes of their scores."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.market.arrays import Floats
from quantum_trader.market.intervals import interval_ns
from quantum_trader.models.forecast import (
    ATR,
    CONFIDENCE,
    ENTER_AT,
    SCORE,
    TARGET,
    Forecaster,
    ForecastSettings,
    duration_ns,
)
from quantum_trader.models.history import BarHistory, Completed
from quantum_trader.models.port import FIELDS, Exit, FrameModel, Model, Panel

ATR_BARS: Final = 23  # bars that an ATR(22) needs


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

    @property
    def length_ns(self) -> int:
        """Length of its bars in nanoseconds."""
        return interval_ns(self.model.bars)

    @property
    def horizon_ns(self) -> int:
        """For how long its score is meant, in nanoseconds."""
        return duration_ns(self.model.horizon, f"{self.name}.horizon")


class Lack(msgspec.Struct, frozen=True, kw_only=True):
    """What a model still lacks before it gives scores for a symbol."""

    model: str
    symbol: str
    bars: int
    needed: int
    interval: str


def check_model(loaded: LoadedModel, base_ns: int) -> None:
    """Raise ConfigError where what a model states about itself cannot be run on bars of *base_ns*."""
    model, name = loaded.model, loaded.name
    length_ns = loaded.length_ns
    if length_ns % base_ns or length_ns < base_ns:
        raise ConfigError(
            f"{name}.bars = {model.bars!r}: the recording's bars ({base_ns // NS_PER_MINUTE} minutes) do not make "
            "them; choose shorter bars with --bars, or longer ones in the model"
        )
    unknown = [need for need in model.needs if need not in FIELDS]
    if unknown or not model.needs:
        raise ConfigError(f"{name}.needs = {tuple(model.needs)!r}: choose from {', '.join(FIELDS)}")
    if not (isinstance(model.warmup, int) and 1 <= model.warmup <= 100_000):
        raise ConfigError(f"{name}.warmup = {model.warmup!r}: must be 1 to 100,000 bars")
    _ = loaded.horizon_ns


class Forecasts:
    """The models of one run and their combined forecast; ``out`` (S, FORECAST_SIZE) as in models.forecast.

    All enabled models use bars of one length and leave their positions in one way.
    """

    def __init__(self, symbols: tuple[str, ...], base_ns: int, models: Sequence[LoadedModel]) -> None:
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
        self.symbols, self.models = symbols, tuple(models)
        self.length_ns, self.exit = first.length_ns, first.exit
        capacity = max(ATR_BARS, *(loaded.model.warmup for loaded in models))
        self.history = BarHistory(symbols, base_ns, self.length_ns, capacity)
        count = len(symbols)
        horizon_ns = max(loaded.horizon_ns for loaded in models)
        self.combined = Forecaster(count, self.length_ns, horizon_ns, first.forecast)
        self.single = [
            Forecaster(count, self.length_ns, loaded.horizon_ns, loaded.forecast) for loaded in models
        ] if len(models) > 1 else [self.combined]
        self._wanted = np.array([
            [not loaded.symbols or symbol in loaded.symbols for symbol in symbols] for loaded in models
        ])
        self.horizon_hours = horizon_ns / NS_PER_HOUR
        self.out = self.combined.out
        self.features_ts = np.full(count, -1, dtype=np.int64)  # open of the newest base bar in each symbol's forecast
        self.decided = np.zeros(count, dtype=np.bool_)  # symbols whose forecast the last bars have renewed
        self.decisions = 0  # moments with a forecast so far

    @property
    def name(self) -> str:
        """The models by name."""
        return "+".join(loaded.name for loaded in self.models)

    @property
    def fingerprints(self) -> list[str]:
        """Hashes of each model's source and parameters."""
        return [loaded.fingerprint for loaded in self.models]

    def is_small(self, index: int) -> bool:
        """Whether a symbol's score would not enter a position from flat."""
        return not abs(self.out[index, SCORE]) >= ENTER_AT

    def votes(self, index: int) -> dict[str, float]:
        """Each model's own confidence in its own score of a symbol; NaN where it has none."""
        return {
            loaded.name: float(single.out[index, CONFIDENCE])
            for loaded, single in zip(self.models, self.single, strict=True)
        }

    def consensus(self, index: int) -> float:
        """Share of the models whose score points the way of the target."""
        target = self.out[index, TARGET]
        same = [float(single.out[index, SCORE]) * target > 0.0 for single in self.single]
        return same.count(True) / len(same)

    def lacks(self) -> list[Lack]:
        """What each model still lacks, by symbol; empty once all are warm."""
        seen = self.history.seen.tolist()
        return [
            Lack(model=loaded.name, symbol=symbol, bars=seen[s], needed=loaded.model.warmup, interval=loaded.model.bars)
            for loaded in self.models for s, symbol in enumerate(self.symbols)
            if seen[s] < loaded.model.warmup and (not loaded.symbols or symbol in loaded.symbols)
        ]

    # ------------------------------------------------------------------ bars

    def take(self, batch: MarketBatch, cost_bps: Any, funding_8h: Any) -> bool:
        """Take the base bars of one moment; True where forecasts are new (``decided`` says for which symbols).

        *cost_bps* (S,): a round trip; *funding_8h* (S,): rates known now. Raises ModelError.
        """
        self.decided[:] = False
        for bar in self.history.take(batch.ts_ns, batch.ohlcv, batch.present, funding_8h):
            self._score(bar, cost_bps, funding_8h)
            self.features_ts[bar.present] = min(batch.ts_ns, bar.ts_ns + self.length_ns - self.history.interval_ns)
        return bool(self.decided.any())

    def warm(self, ts_ns: int, ohlcv: Any, present: Any, cost_bps: Any, funding_8h: Any) -> None:
        """Take whole bars (S, 5) of the models' own interval from before the first base bar."""
        self._score(self.history.take_whole(ts_ns, ohlcv, present, funding_8h), cost_bps, funding_8h)
        self.decided[:] = False

    def _score(self, bar: Completed, cost_bps: Any, funding_8h: Any) -> None:
        """Learn from a completed bar, ask every model for its scores, and forecast."""
        for single in {id(one): one for one in (*self.single, self.combined)}.values():
            single.learn(bar)
        scores = [self._scores_of(number) for number in range(len(self.models))]
        for single, own in zip(self.single, scores, strict=True):
            single.forecast(own, bar.present, cost_bps, funding_8h)
        if len(self.models) > 1:
            scaled = np.array([single.out[:, SCORE] for single in self.single])
            known = ~np.isnan(scaled)
            count = known.sum(axis=0)
            total = np.where(known, scaled, 0.0).sum(axis=0)
            combined = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            self.combined.forecast(combined, bar.present, cost_bps, funding_8h)
        self.decided |= bar.present
        self.decisions += 1

    def _scores_of(self, number: int) -> Floats:
        """The scores (S,) of one model now; NaN for symbols that it lacks bars of, or is not for."""
        loaded = self.models[number]
        count = len(self.symbols)
        warm = (self.history.seen >= loaded.model.warmup) & self._wanted[number]
        if not warm.any():
            return np.full(count, np.nan)
        panel = self.history.panel(loaded.model.needs, loaded.model.warmup)
        return np.where(warm, scores_of(loaded, panel), np.nan)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "models": self.fingerprints, "history": self.history.state(),
            "combined": self.combined.state(), "single": [single.state() for single in self.single],
            "own": [loaded.model.state() for loaded in self.models], "features_ts": self.features_ts.copy(),
            "decided": self.decided.copy(), "decisions": self.decisions,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where a model or its parameters have changed since."""
        if state["models"] != self.fingerprints:
            raise StateError(
                f"models: {self.name} is not what the saved state was made with (a file or parameter has changed); "
                "take the change back, or start a new --state folder"
            )
        self.history.load_state(state["history"])
        for single, saved in zip(self.single, state["single"], strict=True):
            single.load_state(saved)
        self.combined.load_state(state["combined"])
        for loaded, own in zip(self.models, state["own"], strict=True):
            loaded.model.load_state(own)
        self.features_ts[...], self.decided[...] = state["features_ts"], state["decided"]
        self.decisions = int(state["decisions"])


def scores_of(loaded: LoadedModel, panel: Panel) -> Floats:
    """The scores (S,) that a model gives for *panel*. Raises ModelError naming the model and the line at fault."""
    count = len(panel.symbols)
    try:
        with np.errstate(all="ignore"):
            model = loaded.model
            given = model.score(panel) if isinstance(model, Model) else _frame_scores(model, panel)
        scores = np.asarray(given, dtype=np.float64)
    except Exception as error:
        raise ModelError(f"{loaded.name}: {_where(error, loaded.file)}{type(error).__name__}: {error}") from error
    if scores.shape != (count,):
        raise ModelError(f"{loaded.name}: gave scores of shape {scores.shape}; expected {count}, one for each symbol")
    if np.isinf(scores).any():
        at = int(np.flatnonzero(np.isinf(scores))[0])
        raise ModelError(f"{loaded.name}: the score of {panel.symbols[at]} is infinite; NaN says that there is no view")
    return scores


def _frame_scores(model: FrameModel, panel: Panel) -> Floats:
    """The newest score of each symbol, from the frame of its panel."""
    return np.array([
        float(frame_scores(model, frame_of(model, panel, s))[-1]) for s in range(len(panel.symbols))
    ])


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
    column: Any = result["score"]  # of polars or of pandas
    scores = np.array([np.nan if one is None else one for one in column.to_list()], dtype=np.float64)
    if scores.shape != (frame.height,):
        raise ValueError(f"scores(): gave {scores.shape[0]} rows for {frame.height} bars")
    return scores


def _where(error: Exception, file: str) -> str:
    """The line of the user's *file* that raised *error*, as "mine.py:12: "."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if file and frame.filename == file]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""


def stop_distance(forecasts: Forecasts, index: int) -> float:
    """Distance (price units) of the catastrophe stop of a symbol's position; NaN before its ATR is known."""
    return float(forecasts.exit.stop_atr * forecasts.out[index, ATR])
