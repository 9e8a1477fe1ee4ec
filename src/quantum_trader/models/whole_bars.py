"""The bars of a model over a whole recording at once, equal to the bit to those of ``BarHistory``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.jit import kernel
from quantum_trader.models.history import CLOSE, FUNDING, HIGH, LOW, OPEN, VOLUME
from quantum_trader.models.port import FIELDS, Panel


class BaseBars(NamedTuple):
    """Consecutive base bars: opens (n,), bars (n, S, 5), which are there (n, S), funding rates known then (n, S)."""

    ts_ns: Ints
    ohlcv: Floats
    present: Bools
    funding_8h: Floats


class WholeBars(NamedTuple):
    """Every completed interval of *length_ns*: opens (T,) without a hole, and the bars (6, T, S) in FIELDS' order.

    NaN where a symbol has no bar.
    """

    symbols: tuple[str, ...]
    length_ns: int
    opens: Ints
    fields: Floats

    @property
    def present(self) -> Bools:
        """Which symbols have a bar, (T, S)."""
        return np.asarray(~np.isnan(self.fields[CLOSE]))

    def panel(self, needs: tuple[str, ...], row: int, rows: int) -> Panel:
        """The panel of *rows* intervals that a model sees at the close of interval *row*, as copies."""
        first = row - rows + 1
        fields = {}
        for name in needs:
            shown = np.full((rows, len(self.symbols)), np.nan)
            shown[max(0, -first):] = self.fields[FIELDS.index(name), max(0, first): row + 1]
            shown.flags.writeable = False
            fields[name] = shown
        newest = int(self.opens[row])
        opens = newest + np.arange(-rows + 1, 1, dtype=np.int64) * self.length_ns
        return Panel(self.symbols, opens, newest + self.length_ns, fields)

    def until(self, row: int) -> WholeBars:
        """These bars up to interval *row*, that one included."""
        return self._replace(opens=self.opens[: row + 1], fields=self.fields[:, : row + 1])

    def seen(self) -> Ints:
        """Intervals since each symbol's first bar, that one included, (T, S); 0 before it."""
        return np.cumsum(np.maximum.accumulate(self.present, axis=0), axis=0)


@kernel
def _merge(ts_ns, ohlcv, present, funding, length_ns, first, fields):  # type: ignore[no-untyped-def]
    """Merge base bars into *fields* (6, T, S), whose interval 0 has the number *first*."""
    for row in range(len(ts_ns)):
        at = ts_ns[row] // length_ns - first
        for s in range(present.shape[1]):
            if not present[row, s]:
                continue
            bar = ohlcv[row, s]
            if np.isnan(fields[OPEN, at, s]):
                fields[OPEN, at, s], fields[HIGH, at, s], fields[LOW, at, s] = bar[0], bar[1], bar[2]
                fields[VOLUME, at, s] = bar[4]
            else:
                fields[HIGH, at, s] = max(fields[HIGH, at, s], bar[1])
                fields[LOW, at, s] = min(fields[LOW, at, s], bar[2])
                fields[VOLUME, at, s] += bar[4]
            fields[CLOSE, at, s] = bar[3]
            fields[FUNDING, at, s] = funding[row, s]


def whole_bars(
    symbols: tuple[str, ...], interval_ns: int, length_ns: int, span: tuple[int, int], moments: Iterable[BaseBars]
) -> WholeBars:
    """The bars of *length_ns* that base bars of *interval_ns* make; *span*: first and last base bar's open.

    The last interval is left out where the recording ends before it does.
    """
    require(length_ns % interval_ns == 0, "bars", length_ns, f"must be a multiple of {interval_ns} ns")
    first, last = span[0] // length_ns, span[1] // length_ns
    fields = np.full((len(FIELDS), last - first + 1, len(symbols)), np.nan)
    for part in moments:
        _merge(part.ts_ns, part.ohlcv, part.present, part.funding_8h, length_ns, first, fields)
    count = last - first + ((span[1] + interval_ns) % length_ns == 0)
    opens = (first + np.arange(count, dtype=np.int64)) * length_ns
    return WholeBars(symbols, length_ns, opens, fields[:, :count])


def rates_at(times: Ints, known: tuple[Any, Any] | None, before: float) -> Floats:
    """The newest rate known at each of *times*: of *known* (times, rates), *before* the first one."""
    if known is None or not len(known[0]):
        return np.full(len(times), before)
    rates = np.concatenate([[before], known[1]])
    return np.where(np.isfinite(rates), rates, np.inf)[np.searchsorted(known[0], times, side="right")]
