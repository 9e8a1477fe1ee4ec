"""The bars that a journal holds (records ``market.bar``), as a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import DataError
from quantum_trader.journal.lake import Lake
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.checks import find_faults
from quantum_trader.market.intervals import interval_name
from quantum_trader.market.recording import Recording, recording_from_arrays

_MEMORY_MB: Final = 4096  # for the query: a year of minutes of ten symbols takes a tenth of it
_RUNS: Final = "select distinct interval_ns from runs where kind = 'run.started' and interval_ns is not null"
_BARS: Final = "select ts_ns, symbols, ohlcv from bars where ts_ns <= ? order by ts_ns, producer, seq"


def journal_recording(
    state: Path, until_ns: int, symbols: Sequence[str] | None = None, notice: Callable[[str], None] = lambda _: None
) -> Recording:
    """The bars in the journal of the state folder *state* that closed at *until_ns* or before.

    A bar that was recorded twice counts once, as it came first; one that is no bar is left out, as in trading. Both,
    and damage of the journal, are told to *notice*. Funding is assumed, since a journal holds that of own positions
    alone. Raises StateError where there is no journal, DataError where it holds no bars or bars of two intervals, or
    none of one of *symbols*.
    """
    lake, where = Lake(state / "journal", memory_mb=_MEMORY_MB), f"{state / 'journal'}"
    intervals = lake.sql(_RUNS)["interval_ns"].to_pylist()
    if len(intervals) != 1:
        raise DataError(
            f"{where}: holds bars of {len(intervals)} intervals ({', '.join(map(interval_name, sorted(intervals)))}); "
            "training takes a journal of one" if intervals else f"{where}: no trader has begun in it; give the state "
            "folder of `quantum-trader live --state`"
        )
    table = lake.sql(_BARS, [until_ns])
    for damage in lake.damage:
        notice(f"{damage.path}: {damage.reason}; its events are left out")
    if not table.num_rows:
        raise DataError(f"{where}: holds no bars until {iso(until_ns)}; wait until some have come. A live "
                        "trader journals its bars, a replay does not")
    names, closes_ns, bars = _flat(table)
    names, closes_ns, bars = _usable(names, closes_ns, bars, notice)
    chosen = sorted(set(names.tolist())) if symbols is None else list(symbols)
    if missing := [symbol for symbol in chosen if symbol not in set(names.tolist())]:
        there = ", ".join(sorted(set(names.tolist())))
        raise DataError(f"{where}: no bars of {', '.join(missing)} until {iso(until_ns)}; there are {there}")
    return _recording(chosen, intervals[0], (names, closes_ns, bars), notice)


def _flat(table: pa.Table) -> tuple[np.ndarray, Ints, Floats]:
    """Symbol (n,), close (n,) and bar (n, 5) of each row of the moments in *table*."""
    lists = pa.concat_arrays(table["symbols"].chunks)
    counts = np.asarray(lists.value_lengths())
    names = np.asarray(lists.flatten().to_pylist(), dtype=np.str_)
    rows = pa.concat_arrays(table["ohlcv"].chunks).flatten().flatten()
    bars = np.asarray(rows.to_numpy(zero_copy_only=False), dtype=np.float64).reshape(len(names), 5)
    return names, np.repeat(table["ts_ns"].to_numpy(), counts), bars


def _usable(
    names: np.ndarray, closes_ns: Ints, bars: Floats, notice: Callable[[str], None]
) -> tuple[np.ndarray, Ints, Floats]:
    """The rows whose numbers are those of a bar."""
    rows = np.arange(len(bars), dtype=np.int64)
    bad = {fault.row for fault in find_faults(rows, bars, 1, first_row=0)}
    if not bad:
        return names, closes_ns, bars
    notice(f"{len(bad)} bars of the journal are no bars and are left out, as in trading")
    good = np.setdiff1d(rows, np.array(sorted(bad)))
    return names[good], closes_ns[good], bars[good]


def _recording(
    symbols: Sequence[str], interval_ns: int, rows: tuple[np.ndarray, Ints, Floats], notice: Callable[[str], None]
) -> Recording:
    names, closes_ns, bars = rows
    kept = np.isin(names, symbols)
    names, closes_ns, bars = names[kept], closes_ns[kept], bars[kept]
    times, moments = np.unique(closes_ns - interval_ns, return_inverse=True)
    columns = np.searchsorted(np.array(sorted(symbols)), names)
    columns = np.array([symbols.index(symbol) for symbol in sorted(symbols)])[columns]
    ohlcv = np.full((len(times), len(symbols), 5), np.nan)
    ohlcv[moments[::-1], columns[::-1]] = bars[::-1]  # of several the first one stays
    present = np.isfinite(ohlcv[:, :, 0])
    if twice := len(bars) - int(present.sum()):
        notice(f"{twice} bars stand in the journal more than once; the first of each counts")
    return recording_from_arrays(
        list(symbols), interval_name(interval_ns), times, ohlcv, present, source="the journal",
    )
