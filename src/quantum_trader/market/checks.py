"""Checks for unusable bars, vectorised over columns; each fault has its row, time, column and value.

The checks repair nothing. A zero-volume bar is not a fault: it marks an outage that the source filled.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_DAY, iso
from quantum_trader.domain.errors import DataError

COLUMNS: Final = ("open", "high", "low", "close", "volume")
_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME = range(5)
_HINTS: Final = {
    "not finite": "a bar needs finite numbers",
    "not positive": "a price is above zero",
    "negative": "a volume is 0 or more",
    "high below low": "the high is the largest price of the bar",
    "outside low..high": "open and close lie between low and high",
    "off the grid": "a bar opens at a whole multiple of its interval (UTC)",
    "duplicate": "each opening time occurs once",
    "time goes backwards": "bars stand in the order of their opening times",
}


class BarFault(msgspec.Struct, frozen=True, kw_only=True):
    """One unusable value. *row* counts data rows from 1, a header not included."""

    row: int
    ts_ns: int
    column: str
    value: float
    kind: str

    def text(self) -> str:
        """The fault as a sentence, with the rule it breaks."""
        shown = "" if self.column == "ts" else f" {self.column} = {self.value!r}:"
        return f"row {self.row} ({_when(self.ts_ns)}):{shown} {self.kind}; {_HINTS[self.kind]}"


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Missing bars between two present bars (both opening times, ns)."""

    last_ns: int
    next_ns: int
    missing_bars: int


def _when(ts_ns: int) -> str:
    try:
        return iso(ts_ns)
    except (OverflowError, ValueError, OSError):
        return f"{ts_ns} ns"


def is_hole(last_ns: int, next_ns: int, interval_ns: int) -> bool:
    """Whether more than a day lies between the close of one bar and the open of the next."""
    return next_ns - last_ns - interval_ns > NS_PER_DAY


def bars_are_clean(
    ts_ns: NDArray[np.int64], ohlcv: NDArray[np.float64], interval_ns: int, previous_ns: int | None = None
) -> bool:
    """Whether every bar is usable: a fast check for the usual case. Shapes (n,) and (n, 5)."""
    if len(ts_ns) == 0:
        return True
    low, high = ohlcv[:, _LOW], ohlcv[:, _HIGH]
    prices = ohlcv[:, :4]
    # A comparison with NaN is false, so a NaN anywhere fails; infinity fails against the finite limit.
    return bool(
        (low > 0.0).all()
        and (prices >= low[:, None]).all()
        and (prices <= high[:, None]).all()
        and (high < np.inf).all()
        and (ohlcv[:, _VOLUME] >= 0.0).all()
        and (ohlcv[:, _VOLUME] < np.inf).all()
        and (ts_ns % interval_ns == 0).all()
        and (np.diff(ts_ns) > 0).all()
        and (previous_ns is None or ts_ns[0] > previous_ns)
    )


def find_faults(
    ts_ns: NDArray[np.int64],
    ohlcv: NDArray[np.float64],
    interval_ns: int,
    *,
    first_row: int = 1,
    previous_ns: int | None = None,
) -> list[BarFault]:
    """All faults of the bars, in row order; *previous_ns* is the time of the bar before the first."""
    masks = [*_value_faults(ohlcv), *_time_faults(ts_ns, interval_ns, previous_ns)]
    found = []
    for column, kind, mask in masks:
        for index in np.flatnonzero(mask):
            value = float(ts_ns[index]) if column < 0 else float(ohlcv[index, column])
            name = "ts" if column < 0 else COLUMNS[column]
            found.append(
                BarFault(row=first_row + int(index), ts_ns=int(ts_ns[index]), column=name, value=value, kind=kind)
            )
    return sorted(found, key=lambda fault: fault.row)


def _value_faults(ohlcv: NDArray[np.float64]) -> list[tuple[int, str, NDArray[np.bool_]]]:
    finite = np.isfinite(ohlcv)
    masks = [(column, "not finite", ~finite[:, column]) for column in range(5)]
    masks += [(column, "not positive", finite[:, column] & (ohlcv[:, column] <= 0.0)) for column in range(4)]
    masks.append((_VOLUME, "negative", finite[:, _VOLUME] & (ohlcv[:, _VOLUME] < 0.0)))
    low, high = ohlcv[:, _LOW], ohlcv[:, _HIGH]
    crossed = high < low
    masks.append((_HIGH, "high below low", crossed))
    for column in (_OPEN, _CLOSE):
        price = ohlcv[:, column]
        masks.append((column, "outside low..high", ~crossed & ((price > high) | (price < low))))
    return masks


def _time_faults(
    ts_ns: NDArray[np.int64], interval_ns: int, previous_ns: int | None
) -> list[tuple[int, str, NDArray[np.bool_]]]:
    if len(ts_ns) == 0:
        return []
    floor = np.iinfo(np.int64).min if previous_ns is None else previous_ns
    before = np.maximum.accumulate(np.concatenate(([floor], ts_ns[:-1])))
    late = ts_ns <= before
    repeated = np.ones(len(ts_ns), dtype=bool)
    repeated[np.unique(ts_ns, return_index=True)[1]] = False
    duplicate = late & (repeated | (ts_ns == before))
    return [
        (-1, "duplicate", duplicate),
        (-1, "time goes backwards", late & ~duplicate),
        (-1, "off the grid", ts_ns % interval_ns != 0),
    ]


def refuse_bad_bars(
    where: str,
    ts_ns: NDArray[np.int64],
    ohlcv: NDArray[np.float64],
    interval_ns: int,
    *,
    first_row: int = 1,
    previous_ns: int | None = None,
) -> None:
    """Raise DataError naming *where*, the first bad row, its time, column and value, unless all bars are usable."""
    if bars_are_clean(ts_ns, ohlcv, interval_ns, previous_ns):
        return
    faults = find_faults(ts_ns, ohlcv, interval_ns, first_row=first_row, previous_ns=previous_ns)
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    raise DataError(
        f"{where}: {faults[0].text()}{more}. Nothing was used. Repair the source, or import it with --drop-bad, "
        f"which lists what it leaves out; `quantum-trader data check {where}` lists every fault"
    )


def find_gaps(ts_ns: NDArray[np.int64], interval_ns: int) -> list[Gap]:
    """Return the gaps between sorted bars; shape (n,)."""
    steps = np.diff(ts_ns)
    return [
        Gap(
            last_ns=int(ts_ns[index]), next_ns=int(ts_ns[index + 1]),
            missing_bars=int(steps[index] // interval_ns - 1),
        )
        for index in np.flatnonzero(steps > interval_ns)
    ]
