"""Longer bars from base bars, aligned to UTC, one base bar at a time.

A bucket is the bar number ``ts_ns // bucket_ns`` (whole since the epoch, exact as a float). Its bar is complete when
its last base bar has closed; if that base bar is missing, it is complete when a bar of a later bucket arrives.
Buckets without a base bar have no bar. Base bars must divide the bucket.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.domain.indicators import Cells
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.jit import compiled, kernel

BUCKET_SIZE: Final = 7
BUCKET_OPEN, BUCKET_HIGH, BUCKET_LOW, BUCKET_CLOSE, BUCKET_VOLUME = 2, 3, 4, 5, 6


@scalar
def bucket_waits(state: Cells, at: int, bucket: float) -> bool:
    """Whether a bar older than *bucket* is held. Cells: base bars in it, bucket, open, high, low, close, volume."""
    return state[at] > 0.0 and state[at + 1] != bucket


@scalar
def bucket_add(
    state: Cells, at: int, bucket: float, open_: float, high: float, low: float, close: float, volume: float
) -> None:
    """Merge one base bar into the held bar, which must be empty or of the same bucket."""
    if state[at] == 0.0:
        state[at + 1] = bucket
        state[at + 2] = open_
        state[at + 3] = high
        state[at + 4] = low
        state[at + 6] = 0.0
    else:
        state[at + 3] = max(state[at + 3], high)
        state[at + 4] = min(state[at + 4], low)
    state[at] += 1.0
    state[at + 5] = close
    state[at + 6] += volume


_waits = compiled(bucket_waits)
_add = compiled(bucket_add)


@kernel
def _resample_over(ts_ns: Any, ohlcv: Any, interval_ns: Any, bucket_ns: Any, out_ts: Any, out: Any) -> int:
    state = np.zeros(BUCKET_SIZE)
    made = 0
    for i in range(ts_ns.shape[0]):
        bucket = ts_ns[i] // bucket_ns
        if _waits(state, 0, float(bucket)):
            out_ts[made] = int(state[1]) * bucket_ns
            out[made] = state[2:]
            made += 1
            state[0] = 0.0
        bar = ohlcv[i]
        _add(state, 0, float(bucket), bar[0], bar[1], bar[2], bar[3], bar[4])
        if (ts_ns[i] + interval_ns) % bucket_ns == 0:
            out_ts[made] = bucket * bucket_ns
            out[made] = state[2:]
            made += 1
            state[0] = 0.0
    return made


def resample(
    ts_ns: npt.NDArray[np.int64], ohlcv: npt.NDArray[np.float64], interval_ns: int, bucket_ns: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return (ts_ns (m,), ohlcv (m, 5)) of the complete *bucket_ns* bars of one symbol's base bars (n,), (n, 5).

    *ts_ns* marks opens and increases. Raises InputError when *interval_ns* does not divide *bucket_ns*.
    """
    divides = interval_ns > 0 and bucket_ns % interval_ns == 0
    require(divides, "bucket_ns", bucket_ns, "must be a multiple of interval_ns")
    out_ts = np.empty(2 * ts_ns.shape[0], dtype=np.int64)
    out = np.empty((2 * ts_ns.shape[0], 5))
    bars = np.ascontiguousarray(ohlcv, dtype=np.float64)
    made = int(_resample_over(ts_ns, bars, interval_ns, bucket_ns, out_ts, out))
    return out_ts[:made].copy(), out[:made].copy()
