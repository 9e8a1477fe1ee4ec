"""What a run keeps of its way for the report: an hourly sample, and the drawdown at every bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from quantum_trader.app.runs.results import DrawdownFacts, FloatArray, IntArray
from quantum_trader.domain.enums import GOVERNOR_CODES
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.policy import layout as pol
from quantum_trader.signals import columns as col

if TYPE_CHECKING:
    from quantum_trader.engine.core import Engine
    from quantum_trader.market.recording import Recording

_ARRAYS: Final = {
    "ts_ns": np.int64, "equity": np.float64, "lows": np.float64, "policy_state": np.int8, "closes": np.float64,
    "gross": np.float64, "held": np.float64,
}
_CLOSE: Final = 3  # column of a bar


class Drawdown:
    """The deepest fall of an equity from its highest value so far; a fraction, 0 or negative."""

    def __init__(self, start_equity: float) -> None:
        self.peak = start_equity
        self.now = 0.0
        self.depth = 0.0
        self._peak_ns = -1  # nothing noted yet
        self._fallen_from_ns = self._trough_ns = 0

    def note(self, ts_ns: int, equity: float) -> None:
        """Take the *equity* at *ts_ns*."""
        if equity > self.peak or self._peak_ns < 0:
            self._peak_ns = ts_ns
            self.peak = max(equity, self.peak)
        self.now = equity / self.peak - 1.0
        if self.now < self.depth:
            self.depth, self._fallen_from_ns, self._trough_ns = self.now, self._peak_ns, ts_ns

    def facts(self) -> DrawdownFacts:
        """What was found."""
        return DrawdownFacts(depth=self.depth, peak_ns=self._fallen_from_ns, trough_ns=self._trough_ns)

    def state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return dict(vars(self))

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        vars(self).update(state)


class Samples:
    """Equity, closes, positions and the policy's state, once an hour of market time; the drawdown at every bar.

    What was not sampled yet when an older version saved a state is NaN.
    """

    def __init__(self, symbols: int, start_equity: float) -> None:
        self.ts_ns: list[int] = []
        self.equity: list[float] = []
        self.lows: list[float] = []
        self.policy_state: list[int] = []
        self.closes: list[list[float]] = []
        self.gross: list[float] = []
        self.held: list[float] = []
        self.drawdown = Drawdown(start_equity)
        self._low = 0.0  # the deepest drawdown since the last sample
        self._symbols = symbols

    def note(self, ts_ns: int, equity: float) -> None:
        """Take the *equity* at the close of a bar; the drawdown is measured from it."""
        self.drawdown.note(ts_ns, equity)
        if self.drawdown.now < self._low:
            self._low = self.drawdown.now

    def take(self, engine: Engine, now_ns: int) -> None:
        """Sample *engine* at *now_ns*."""
        self.ts_ns.append(now_ns)
        self.equity.append(engine.account.equity)
        self.lows.append(min(self._low, self.drawdown.now))
        self._low = 0.0
        self.closes.append(engine.market.kernel.out[:, col.CLOSE].tolist())
        held, marks = engine.account.books.positions.values(), engine.market.kernel.out[:, col.CLOSE]
        self.gross.append(ordered_sum(one.qty * float(marks[one.index]) for one in held))
        self.held.append(len(held))
        enabled = engine.settings.policy_enabled
        self.policy_state.append(int(engine.policy.slots.out[0, pol.OUT_RISK_PROFILE]) if enabled else -1)
        engine.records.tally.governor[GOVERNOR_CODES[int(engine.account.governor[0])].value] += 1
        for index in range(self._symbols):
            engine.records.tally.regimes[engine.market.regime_name(index)] += 1

    def begin(self, engine: Engine, open_ns: int) -> None:
        """Sample *engine* at the open of the first bar, unless the run has begun before."""
        if not self.ts_ns:
            self.note(open_ns, engine.account.equity)
            self.take(engine, open_ns)

    def arrays(self) -> dict[str, Any]:
        """Everything sampled: ts_ns, equity, lows, policy_state, gross, held (N,) and closes (N, S)."""
        made = {name: np.array(getattr(self, name), dtype=kind) for name, kind in _ARRAYS.items()}
        return {**made, "closes": made["closes"].reshape(len(self.ts_ns), self._symbols)}

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {**self.arrays(), "drawdown": self.drawdown.state(), "low": self._low}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        for name in _ARRAYS:
            setattr(self, name, state[name].tolist() if name in state else [np.nan] * len(state["ts_ns"]))
        self.drawdown.load_state(state["drawdown"])
        self._low = state["low"]


def hold_drawdown(recording: Recording, ts_ns: IntArray, closes: FloatArray) -> DrawdownFacts:
    """The drawdown at every bar of the symbols bought in equal parts at their first sample in *closes* (N, S)."""
    known = np.isfinite(closes)
    first = known.argmax(axis=0)
    columns = np.arange(closes.shape[1])
    bought_ns = np.where(known.any(axis=0), ts_ns[first], np.iinfo(np.int64).max)
    last = price = np.where(known.any(axis=0), closes[first, columns], 1.0)
    found = Drawdown(1.0)
    for opens, ohlcv, _, _ in recording.chunks():
        times = opens + recording.interval_ns
        filled = _carried(ohlcv[:, :, _CLOSE], last)
        last = filled[-1]
        worth = np.where(times[:, None] >= bought_ns, filled / price, 1.0).mean(axis=1)
        _note_all(found, times, worth)
    return found.facts()


def _carried(values: FloatArray, before: FloatArray) -> FloatArray:
    """*values* (T, S) with each NaN replaced by the value above it, in the first row by *before* (S,)."""
    whole = np.vstack((before, values))
    rows = np.maximum.accumulate(np.where(np.isfinite(whole), np.arange(len(whole))[:, None], 0), axis=0)
    carried: FloatArray = np.take_along_axis(whole, rows, axis=0)[1:]
    return carried


def _note_all(drawdown: Drawdown, times: IntArray, worth: FloatArray) -> None:
    """Note *worth* (T,): only a new peak or a new trough can matter."""
    peaks = np.maximum.accumulate(np.maximum(worth, drawdown.peak))
    falls = worth / peaks - 1.0
    matters = (worth >= peaks) | (falls < np.minimum.accumulate(np.minimum(falls, drawdown.depth)) + 1e-15)
    for row in np.flatnonzero(matters).tolist():
        drawdown.note(int(times[row]), float(worth[row]))
