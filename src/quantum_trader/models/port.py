"""The model port: what a trading model is to this system, and what it may see.

A model is a forecast, never an order. It gives a score for each symbol; the system owns costs, sizing, policy, exits
and the road of an order. There are two forms: :class:`Model` is called at each completed bar with a panel of all
symbols, :class:`FrameModel` computes whole columns of one symbol at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Floats

if TYPE_CHECKING:
    import polars as pl

FIELDS: Final = ("open", "high", "low", "close", "volume", "funding")  # what a model may ask for in ``needs``


class Exit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How positions of a model are left.

    *on* "score": when the score is 0, NaN or has changed its sign; a catastrophe stop rests *stop_atr* times the
    ATR(22) of the model's bars away. *on* "regime": by the table of the symbol's market regime (stop, target,
    break-even, trailing, longest time), whatever the score does.
    """

    on: Literal["score", "regime"] = "score"
    stop_atr: float = 3.0

    def __post_init__(self) -> None:
        require(0.1 <= self.stop_atr <= 20.0, "exit.stop_atr", self.stop_atr, "must be 0.1 to 20 ATRs")

    @property
    def by_score(self) -> bool:
        """Whether the score holds the position and leaves it."""
        return self.on == "score"


class Panel:
    """The last bars of all symbols, up to now and never beyond.

    Every array is (warmup, S) float64, oldest first, read only; NaN where a symbol has no bar. *funding* is the rate
    per 8 hours that was known when the bar closed. *ts_ns* (warmup,) int64 are the opens of the bars (UTC,
    nanoseconds); bars of before the first one known are numbered on. *now_ns* is the close of the newest bar.
    """

    __slots__ = ("_fields", "now_ns", "symbols", "ts_ns")

    def __init__(
        self, symbols: tuple[str, ...], ts_ns: npt.NDArray[np.int64], now_ns: int, fields: Mapping[str, Floats]
    ) -> None:
        self.symbols, self.ts_ns, self.now_ns, self._fields = symbols, ts_ns, now_ns, fields

    def field(self, name: str) -> Floats:
        """One of the fields that the model asks for, by name (warmup, S)."""
        if name not in self._fields:
            raise AttributeError(f"panel.{name}: the model does not ask for it; add {name!r} to its needs")
        return self._fields[name]

    @property
    def open(self) -> Floats:
        """Opening prices (warmup, S), quote units."""
        return self.field("open")

    @property
    def high(self) -> Floats:
        """Highest prices (warmup, S), quote units."""
        return self.field("high")

    @property
    def low(self) -> Floats:
        """Lowest prices (warmup, S), quote units."""
        return self.field("low")

    @property
    def close(self) -> Floats:
        """Closing prices (warmup, S), quote units."""
        return self.field("close")

    @property
    def volume(self) -> Floats:
        """Volumes (warmup, S), base units."""
        return self.field("volume")

    @property
    def funding(self) -> Floats:
        """Funding rates per 8 hours (warmup, S), as known at each bar's close; positive: longs pay."""
        return self.field("funding")


class NoParams(msgspec.Struct, frozen=True):
    """The parameters of a model that has none."""


class _Forecasts:
    """What both forms of a model state about themselves."""

    bars: str = "1d"  # the interval of its bars, as "1h", "4h", "1d"
    warmup: ClassVar[int] = 100  # bars that a score needs, the newest one included
    horizon: str = "7d"  # for how long a score is meant, as "12h", "7d"
    needs: ClassVar[tuple[str, ...]] = ("close",)  # of open, high, low, close, volume, funding
    exit: Exit = Exit()
    tolerance: ClassVar[float] = 1e-6  # by how much more history may change a score, in sizes of its scores
    weight: ClassVar[float] = 1.0  # of its scaled score in the average with other models'
    least_symbols: ClassVar[int] = 1  # with fewer it has no view
    earns_funding: ClassVar[bool] = False  # its score is about funding: what a position receives counts as income

    Params: ClassVar[type[msgspec.Struct]] = NoParams

    def __init__(self, params: msgspec.Struct | None = None) -> None:
        self.params: Any = self.Params() if params is None else params

    def state(self) -> dict[str, Any]:
        """What the model remembers between two bars, as plain values and arrays; saved in checkpoints."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""


class Model(_Forecasts):
    """A model that scores all symbols at once, at each completed bar."""

    def score(self, panel: Panel) -> Floats:
        """The scores (S,) of *panel*'s symbols now: any scale, above 0 long, below 0 short, NaN: no view."""
        raise NotImplementedError(f"{type(self).__name__}: write score(self, panel)")


class FrameModel(_Forecasts):
    """A model that computes the scores of one symbol as a column of a dataframe."""

    def scores(self, frame: pl.DataFrame) -> pl.DataFrame:
        """*frame* with a column ``score`` (any scale, above 0 long, NaN or null: no view).

        *frame* has one row a bar, oldest first: ``ts`` (UTC datetime of the open) and the columns of ``needs``. In a
        replay it holds all bars of the run, and is asked for once; live it holds the last *warmup* bars. A row's score
        may be made of that row and earlier ones alone.
        """
        raise NotImplementedError(f"{type(self).__name__}: write scores(self, frame)")
