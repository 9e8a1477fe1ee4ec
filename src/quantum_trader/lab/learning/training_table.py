"""The samples that a model is trained on: rows of features with labels, spans, results and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError, require
from quantum_trader.lab.learning.evidence_file import Keys, sample_keys
from quantum_trader.lab.learning.uniqueness import average_uniqueness, bar_spans, mean_one, time_decay
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.intervals import interval_ns
from quantum_trader.models.learned.artefact import LearningData

LEAST_SAMPLES: Final = 200
_TYPES: Final = {
    "<i8": ("labels", "starts_ns", "ends_ns", "known_ns", "symbol", "sides"), "<f8": ("weights", "net_returns"),
}


class SampleTable(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """n samples in order of their start, and what is known of each.

    A label says whether a bet came out: of a signal model whether the price rose first, of a meta-label whether the
    signal won after its costs. It is known over the closed span [start, end].
    """

    names: tuple[str, ...]  # of the F features
    rows: npt.NDArray[np.float32]  # (n, F); NaN: missing
    labels: Ints  # (n,) 1: the bet came out, 0: it did not
    starts_ns: Ints  # (n,) the decision
    ends_ns: Ints  # (n,) the moment that fixes the label
    known_ns: Ints  # (n,) time of the newest datum in the row; later than the start is a leak
    net_returns: Floats  # (n,) of the bet that the label is about, a fraction after all costs
    net_against: Floats  # (n,) of the opposite bet; NaN where there is none
    weights: Floats  # (n,) of a sample in training and scores; their mean is 1
    symbol: Ints  # (n,) place in *symbols*
    sides: Ints  # (n,) of the bet: 1 long, -1 short
    symbols: tuple[str, ...]
    interval: str = ""  # of the bars; empty where there are none
    source: str = ""  # of the samples, in words

    def checked(self) -> SampleTable:
        """This table; DataError or InputError where it cannot be trained on."""
        count = len(self.labels)
        for name in ("rows", "starts_ns", "ends_ns", "known_ns", "net_returns", "net_against", "weights", "symbol",
                     "sides"):
            have = len(getattr(self, name))
            require(have == count, name, have, f"must have one value for each of {count} labels")
        require(self.rows.ndim == 2 and self.rows.shape[1] == len(self.names), "rows", self.rows.shape,
                f"must be (n, {len(self.names)})")
        if count < LEAST_SAMPLES:
            raise DataError(f"{self.source}: {count} samples: at least {LEAST_SAMPLES} are needed to train a model; "
                            "give more bars or symbols, or shorter bars with --bars")
        require(bool((np.diff(self.starts_ns) >= 0).all()), "starts_ns", "out of order", "must not fall")
        require(bool(np.isin(self.labels, (0, 1)).all()), "labels", np.unique(self.labels)[:3], "are 0 or 1")
        if len(np.unique(self.keys)) < count:
            raise DataError(f"{self.source}: two samples are of one symbol, time and side: each bet counts once")
        if not 0 < int(self.labels.sum()) < count:
            raise DataError(f"{self.source}: all {count} labels are {self.labels[0]}: there is nothing to tell apart")
        return self

    @property
    def keys(self) -> Keys:
        """A number (n,) for each sample, the same in every training."""
        return sample_keys(np.array(self.symbols)[self.symbol].tolist(), self.starts_ns, self.sides)

    def take(self, chosen: Ints) -> SampleTable:
        """The samples at the places *chosen*."""
        parts: dict[str, Any] = {
            name: getattr(self, name)[chosen] for name in self.__struct_fields__
            if isinstance(getattr(self, name), np.ndarray)
        }
        return msgspec.structs.replace(self, **parts)

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything that training reads."""
        found = hashlib.sha256(msgspec.json.encode([self.names, self.symbols, self.interval]))
        found.update(np.ascontiguousarray(self.rows, dtype="<f4").tobytes())
        for kind, names in _TYPES.items():
            for name in names:
                found.update(np.ascontiguousarray(getattr(self, name), dtype=kind).tobytes())
        return found.hexdigest()

    def snapshot(self) -> LearningData:
        """What a card states about these samples."""
        return LearningData(
            source=self.source, symbols=self.symbols, interval=self.interval, samples=len(self.labels),
            first_ns=int(self.starts_ns[0]), last_ns=int(self.ends_ns.max()), content_hash=self.content_hash,
        )


def in_order(table: SampleTable) -> SampleTable:
    """*table* in order of start, symbol and end."""
    return table.take(np.lexsort((table.ends_ns, table.symbol, table.starts_ns)).astype(np.int64))


def independent_samples(table: SampleTable) -> float:
    """How many samples that do not overlap would tell as much, at most: the sum of all samples' uniqueness."""
    return float(_uniqueness(table.starts_ns, table.ends_ns, _clock_ns(table)).sum())


def _clock_ns(table: SampleTable) -> int:
    """Length of the bars that spans are counted in; an hour where the samples have none."""
    return interval_ns(table.interval) if table.interval else NS_PER_HOUR


def _uniqueness(starts_ns: Ints, ends_ns: Ints, length_ns: int) -> Floats:
    first, last = int(starts_ns.min()) // length_ns, int(ends_ns.max()) // length_ns
    clock = np.arange(first, last + 1, dtype=np.int64) * length_ns
    begin, end = bar_spans(clock, starts_ns, np.maximum(ends_ns - 1, starts_ns))  # a close is the next bar's open
    return average_uniqueness(begin, end, len(clock))


def sample_weights(starts_ns: Ints, ends_ns: Ints, length_ns: int, oldest: float = 1.0) -> Floats:
    """Weights (n,) by the samples' uniqueness on a clock of *length_ns*, whatever their symbol; their mean is 1.

    *oldest*: the weight towards which the oldest sample falls (1: none falls). Samples are in order of their start.
    """
    unique = _uniqueness(starts_ns, ends_ns, length_ns)
    return mean_one(unique * time_decay(unique, oldest))


def joined_samples(tables: Sequence[SampleTable]) -> SampleTable:
    """The samples of *tables*, which are alike but for their symbols, as one in order of time."""
    first = tables[0]
    symbols = tuple(dict.fromkeys(name for table in tables for name in table.symbols))
    places = [np.array([symbols.index(name) for name in table.symbols], dtype=np.int64) for table in tables]
    parts: dict[str, Any] = {
        name: np.concatenate([getattr(table, name) for table in tables]) for name in first.__struct_fields__
        if isinstance(getattr(first, name), np.ndarray) and name != "symbol"
    }
    symbol = np.concatenate([place[table.symbol] for place, table in zip(places, tables, strict=True)])
    return in_order(msgspec.structs.replace(first, **parts, symbol=symbol, symbols=symbols))
