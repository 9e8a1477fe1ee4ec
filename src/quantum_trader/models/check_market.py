"""The bars that a model is checked on: a stretch of a recording, the same with gaps, and with another future."""

from __future__ import annotations

from typing import Final

import numpy as np

from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.history import CLOSE, FUNDING, HIGH, LOW, OPEN, VOLUME
from quantum_trader.models.whole_bars import WholeBars

ROWS: Final = 640  # bars judged, beside those of the warm-up
_SEED: Final = 20_240_229
_WILD: Final = 3.0  # how much more another future moves than the bars before it


def stretch(bars: WholeBars, warmup: int) -> WholeBars:
    """The newest bars of *bars* that the check needs, with funding rates that differ from bar to bar."""
    rows = min(len(bars.opens), ROWS + 2 * warmup)
    fields = bars.fields[:, -rows:].copy()
    known = fields[FUNDING][~np.isnan(fields[FUNDING])]
    if known.size and np.all(known == known[0]):
        noise = np.random.default_rng(_SEED).standard_normal(fields[FUNDING].shape)
        for row in range(1, rows):
            noise[row] = 0.9 * noise[row - 1] + 0.4 * noise[row]
        fields[FUNDING] = np.where(np.isnan(fields[FUNDING]), np.nan, 1e-4 * (1.0 + noise))
    return bars._replace(opens=bars.opens[-rows:], fields=fields)


def with_gaps(bars: WholeBars, warmup: int) -> WholeBars:
    """*bars* as venues have them: missing bars, an outage of all, a symbol listed late, prices that do not move."""
    fields, rows, count = bars.fields.copy(), len(bars.opens), len(bars.symbols)
    first = min(2 * warmup + 20, rows // 2)  # what is before is the warm-up
    room = rows - first
    for s in range(count):
        at = first + 7 + 11 * s
        for start, length in ((at, 1), (at + room // 5, 3), (at + room // 3, 12)):
            fields[:, start: start + length, s] = np.nan
    fields[:, first + room // 2: first + room // 2 + 4] = np.nan  # nobody has a bar
    if count > 1:
        fields[:, : first // 2, count - 1] = np.nan
    flat = slice(first + 2 * room // 3, first + 2 * room // 3 + room // 4)
    still = fields[CLOSE, flat.start - 1, 0]
    for field in (OPEN, HIGH, LOW, CLOSE):
        fields[field, flat, 0] = np.where(np.isnan(fields[field, flat, 0]), np.nan, still)
    fields[VOLUME, flat, 0] = np.where(np.isnan(fields[VOLUME, flat, 0]), np.nan, 1.0)
    return bars._replace(fields=fields)


def with_another_future(bars: WholeBars, row: int, seed: int = 0) -> WholeBars:
    """*bars* up to interval *row*, and from then on a market that goes another way."""
    fields, rows = bars.fields.copy(), len(bars.opens) - row - 1
    if rows <= 0:
        return bars
    rng = np.random.default_rng([_SEED, seed, row])
    closes = fields[CLOSE, : row + 1]
    with np.errstate(all="ignore"):
        moves = deviations(np.diff(np.log(closes), axis=0))
    moves = np.where(moves > 0.0, moves, 0.02)
    start = np.array([column[~np.isnan(column)][-1] if (~np.isnan(column)).any() else 100.0 for column in closes.T])
    walk = np.clip(np.cumsum(_WILD * moves * rng.standard_normal((rows, len(start))), axis=0), -20.0, 20.0)
    path = start * np.exp(walk)
    before = np.vstack([start, path[:-1]])
    spread = 1.0 + np.abs(moves * rng.standard_normal(path.shape))
    future = np.empty((6, rows, len(start)))
    future[OPEN], future[CLOSE] = before, path
    future[HIGH], future[LOW] = np.maximum(before, path) * spread, np.minimum(before, path) / spread
    future[VOLUME] = np.exp(2.0 * rng.standard_normal(path.shape)) * np.nan_to_num(fields[VOLUME, row], nan=1.0)
    future[FUNDING] = 1e-3 * rng.standard_normal(path.shape)
    fields[:, row + 1:] = np.where(np.isnan(fields[:, row + 1:]), np.nan, future)
    return bars._replace(fields=fields)


def deviations(values: Floats) -> Floats:
    """Root mean square of each column's numbers; 0 for one without any."""
    known = ~np.isnan(values)
    squares = np.where(known, values, 0.0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1)))


def telling_rows(bars: WholeBars, index: int, first: int, most: int) -> Ints:
    """Intervals from *first* on at which one symbol's future is cut: where a look-ahead would show, and evenly.

    Around holes, at extremes of return, range, volume and funding, where a day, a week or a month ends, and in between;
    at most *most*.
    """
    present = np.flatnonzero(bars.present[:, index])
    present = present[(present >= first) & (present < len(bars.opens) - 1)]
    if len(present) <= most:
        return present
    values = bars.fields[:, present, index]
    closes = values[CLOSE]
    with np.errstate(all="ignore"):
        moves = np.abs(np.diff(np.log(closes), prepend=np.log(closes[0])))
        measures: list[Floats] = [moves, values[HIGH] - values[LOW], values[VOLUME], values[FUNDING], closes]
    share = max(1, most // 24)
    chosen: list[int] = []
    for measure in measures:
        order = np.argsort(measure, kind="stable")
        chosen += [*order[:share].tolist(), *order[-share:].tolist()]
    holes = np.flatnonzero(np.diff(present) > 1)
    for shift in (-1, 0, 1):
        chosen += (holes + shift)[: share].tolist()
        chosen += (np.flatnonzero(_ends(bars.opens[present])) + shift)[:: 3][: share].tolist()
    even = np.linspace(0, len(present) - 1, most)
    ordered = dict.fromkeys(int(np.clip(row, 0, len(present) - 1)) for row in (*chosen, *even.tolist()))
    return np.sort(present[np.array(list(ordered)[:most])])


def _ends(opens: Ints) -> Floats:
    """Where the next bar begins another UTC day, week or month."""
    days = opens // 86_400_000_000_000
    weeks = (days + 3) // 7
    if len(days) > 1 and days[1] - days[0] >= 1:
        return np.append(np.diff(weeks) != 0, False).astype(np.float64)
    return np.append(np.diff(days) != 0, False).astype(np.float64)
