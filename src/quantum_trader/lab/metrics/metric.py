"""What one metric is: the entry of the catalogue that says how it is computed, in what unit, and when it alarms."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from quantum_trader.domain.errors import ConfigError, is_finite_number

_ID: Final = re.compile(r"[a-z][a-z0-9_]{1,47}")
_FUNCTION: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


class Unit(StrEnum):
    """What a value counts in; it decides how the value is written (``lab.metrics.rendering``)."""

    USDT = "USDT"  # a gain or a loss: written with its sign
    USDT_AMOUNT = "USDT amount"  # what was paid or turned over: written without a plus
    PRICE = "price"  # USDT for one unit of the base coin
    BPS = "bps"  # basis points of a notional
    SHARE = "share"  # 1 = 100 %
    R = "R"  # multiples of the risk taken
    PERCENT = "%"
    QUANTITY = "quantity"  # of the base coin
    COUNT = "count"
    RATIO = "ratio"  # without a unit, as a profit factor or a Sharpe ratio
    SECONDS = "s"
    HOURS = "h"
    DAYS = "d"
    BYTES = "B"


class Dimension(StrEnum):
    """What a metric can be asked by, beside the day."""

    MODE = "mode"  # scalp, runner or trend
    SYMBOL = "symbol"
    REGIME = "regime"  # the market's state at the entry
    MODEL = "model"
    SOURCE = "source"  # who asked for the position: signals, pilot, intents from outside
    GATE = "gate"


class BetterWhen(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alarm where a day's value is *above* or *below* a limit, told again after *cooldown_hours* at the earliest."""

    above: float | None = None
    below: float | None = None
    least_samples: int = 1
    cooldown_hours: float = 24.0


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the catalogue.

    *value* is an SQL aggregate over the rows of the relation *of* (``relations`` of the catalogue), *samples* one that
    counts what the value is made of. A value is "no data" (None) where the aggregate is NULL or not finite.

    A metric that no SQL gives names a *function* in place of a value; *of* is then one of the ``sources`` of the
    catalogue, which says what the function works on and which command calls it.
    """

    id: str
    title: str
    group: str
    unit: Unit
    direction: BetterWhen
    meaning: str  # one sentence for a person: what it is, and how it is computed
    of: str
    value: str = ""
    function: str = ""  # dotted name below quantum_trader, such as lab.shadows.analysis.analyse
    samples: str = "count(*)"
    by: tuple[Dimension, ...] = ()
    nouns: tuple[str, ...]  # what a sentence may call it, in the singular: "win rate", "share of wins"
    interval: str = ""  # "wilson" of a share, "mean" or "share" (0 to 1) by whole days, "own" by the function, or none
    target: float | None = None  # a value that is good, in the metric's direction
    alert: AlertRule | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ConfigError(f"metric {self.id!r}: an id is of 2 to 48 lower-case letters, digits and _")
        if bool(self.value.strip()) == bool(self.function):
            raise ConfigError(f"metric {self.id}: give value (SQL) or function (a dotted name), and not both")
        if self.function and not _FUNCTION.fullmatch(self.function):
            raise ConfigError(f"metric {self.id}: function = {self.function!r}: write it as lab.sharpe.moments")
        if self.target is not None and not is_finite_number(self.target):
            raise ConfigError(f"metric {self.id}: target = {self.target!r}: must be a number")
        if not self.nouns:
            raise ConfigError(f"metric {self.id}: nouns: name at least one, else no sentence can speak of it")
