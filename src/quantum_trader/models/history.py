"""The bars of a model: longer bars from base bars, aligned to UTC, and the panel of the newest ones.

A bar is complete when its last base bar has closed; when that base bar is missing for every symbol, as soon as a bar of
a later one arrives. Intervals without any bar are rows of NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import StateError, require
from quantum_trader.market.arrays import Floats
from quantum_trader.market.jit import kernel
from quantum_trader.models.port import FIELDS, Panel

OPEN, HIGH, LOW, CLOSE, VOLUME, FUNDING = range(len(FIELDS))
NO_BAR: Final = -1


class Completed(NamedTuple):
    """One completed interval: the opens of the bars, the bars, and which symbols have one."""

    ts_ns: int
    bars: Floats  # (6, S) in the order of FIELDS, NaN where a symbol has none
    present: npt.NDArray[np.bool_]  # (S,)
    skipped: int  # intervals without any bar since the one before


class KeptBar(NamedTuple):
    """One whole bar of a history: its open, (S, 5) values, which symbols have one, and the funding rates known then."""

    ts_ns: int
    ohlcv: Floats
    present: npt.NDArray[np.bool_]
    funding_8h: Floats


def kept_bars(history: Mapping[str, Any]) -> Iterator[KeptBar]:
    """The whole bars in the state of a :class:`BarHistory`, oldest first; intervals without any are left out."""
    rows, length_ns = history["rows"], history["length_ns"]
    first = history["newest"] - rows.shape[1] + 1
    for row in range(rows.shape[1]):
        present = ~np.isnan(rows[CLOSE, row])
        if present.any():
            yield KeptBar(
                (first + row) * length_ns, np.ascontiguousarray(rows[:FUNDING, row].T), present,
                rows[FUNDING, row].copy(),
            )


@kernel
def _merge(ohlcv, present, funding_8h, making):  # type: ignore[no-untyped-def]
    """Merge the base bars (S, 5) of the *present* symbols into the interval in the *making* (6, S)."""
    for s in range(present.shape[0]):
        if not present[s]:
            continue
        if np.isnan(making[OPEN, s]):
            making[:5, s] = ohlcv[s]
        else:
            making[HIGH, s] = max(making[HIGH, s], ohlcv[s, HIGH])
            making[LOW, s] = min(making[LOW, s], ohlcv[s, LOW])
            making[CLOSE, s] = ohlcv[s, CLOSE]
            making[VOLUME, s] += ohlcv[s, VOLUME]
        making[FUNDING, s] = funding_8h[s]


@kernel
def same_numbers(one, other):  # type: ignore[no-untyped-def]
    """Whether two arrays (S,) are equal; NaN equals NaN."""
    differ = 0
    for s in range(one.shape[0]):
        if one[s] != other[s] and (one[s] == one[s] or other[s] == other[s]):
            differ += 1
    return differ == 0


@kernel
def _count(here, skipped, seen):  # type: ignore[no-untyped-def]
    """Count one more interval, and those *skipped* before it, for the symbols that have had a bar."""
    for s in range(here.shape[0]):
        if seen[s] > 0:
            seen[s] += skipped + 1
        elif here[s]:
            seen[s] = 1


class BarHistory:
    """The last *capacity* bars of *length_ns* of all symbols, made from base bars of *interval_ns*."""

    def __init__(self, symbols: tuple[str, ...], interval_ns: int, length_ns: int, capacity: int) -> None:
        require(length_ns % interval_ns == 0 and length_ns >= interval_ns, "bars", length_ns,
                f"must be a multiple of the recording's bars ({interval_ns} ns)")
        require(1 <= capacity <= 100_000, "warmup", capacity, "must be 1 to 100,000 bars")
        self.symbols, self.interval_ns, self.length_ns, self.capacity = symbols, interval_ns, length_ns, capacity
        count = len(symbols)
        self.seen = np.zeros(count, dtype=np.int64)  # intervals since each symbol's first bar, that one included
        self._number = NO_BAR  # of the interval in the making
        self._making = np.full((len(FIELDS), count), np.nan)
        self._newest = NO_BAR  # number of the newest completed interval
        self._rows = np.full((len(FIELDS), 2 * capacity, count), np.nan)
        self._end = capacity  # one past the newest row

    def take(self, ts_ns: int, ohlcv: Any, present: Any, funding_8h: Any) -> Iterator[Completed]:
        """Take the base bars (S, 5) that opened at *ts_ns*; yields each interval that they complete, in order.

        *funding_8h* (S,): rates known now. The panel shows an interval from the moment it is yielded.
        """
        number = ts_ns // self.length_ns
        try:
            if self._number not in (NO_BAR, number):
                yield self._complete()
        finally:  # also where a model failed on that interval: these bars belong to the next one
            self._merge(number, ohlcv, present, funding_8h)
        if self._number != NO_BAR and (ts_ns + self.interval_ns) % self.length_ns == 0:
            yield self._complete()

    @property
    def next_ns(self) -> int:
        """Open of the interval after the newest completed one; 0 before the first."""
        return 0 if self._newest == NO_BAR else (self._newest + 1) * self.length_ns

    def take_whole(self, ts_ns: int, ohlcv: Any, present: Any, funding_8h: Any) -> Completed:
        """Take whole bars (S, 5) of the model's own interval that opened at *ts_ns* (a warm-up from the venue)."""
        self._number = NO_BAR
        self._merge(ts_ns // self.length_ns, ohlcv, present, funding_8h)
        return self._complete()

    def _merge(self, number: int, ohlcv: Any, present: Any, funding_8h: Any) -> None:
        """Merge the bars into the interval in the making."""
        if not present.any():
            return
        if self._number != number:
            self._number = number
            self._making[...] = np.nan
        _merge(ohlcv, present, funding_8h, self._making)

    def _complete(self) -> Completed:
        """Move the interval in the making into the history."""
        number, made = self._number, self._making.copy()
        skipped = max(0, number - self._newest - 1) if self._newest != NO_BAR else 0
        for _ in range(min(skipped, self.capacity)):
            self._append(np.nan)
        self._append(made)
        here = ~np.isnan(made[CLOSE])
        _count(here, skipped, self.seen)
        self._newest, self._number = number, NO_BAR
        return Completed(number * self.length_ns, made, here, skipped)

    def _append(self, row: Any) -> None:
        if self._end == 2 * self.capacity:
            self._rows[:, :self.capacity] = self._rows[:, self.capacity:]
            self._end = self.capacity
        self._rows[:, self._end] = row
        self._end += 1

    def panel(self, needs: tuple[str, ...], rows: int) -> Panel:
        """The newest *rows* intervals, as copies that a model may keep."""
        at = slice(self._end - rows, self._end)
        fields = {}
        for name in needs:
            fields[name] = self._rows[FIELDS.index(name), at].copy()
            fields[name].flags.writeable = False
        opens = (self._newest - np.arange(rows - 1, -1, -1, dtype=np.int64)) * self.length_ns
        return Panel(self.symbols, opens, (self._newest + 1) * self.length_ns, fields)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "seen": self.seen.copy(), "number": self._number, "making": self._making.copy(), "newest": self._newest,
            "rows": self._rows[:, self._end - self.capacity:self._end].copy(), "length_ns": self.length_ns,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError for one of other symbols or bars."""
        shape = (len(FIELDS), self.capacity, len(self.symbols))
        if state["length_ns"] != self.length_ns or state["rows"].shape != shape:
            raise StateError("model bars: saved for other symbols, bars or warm-up; start a new --state folder")
        self._rows[...] = np.nan
        self._rows[:, :self.capacity] = state["rows"]
        self._end = self.capacity
        self._making[...] = state["making"]
        self.seen = np.array(state["seen"])
        self._number, self._newest = int(state["number"]), int(state["newest"])
