"""What a live session keeps of its equity for reports: profit since the start, and the drawdown at every bar.

Transfers are no result. Growth is time-weighted: what the start's money would be worth with no money paid in or out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quantum_trader.app.runs.samples import Drawdown
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.engine.facts import CashAdjusted
from quantum_trader.engine.ports import RecordSink

if TYPE_CHECKING:
    from quantum_trader.engine.core import Engine

_TOPICS: Final = frozenset(("market.bar", "cash.adjusted"))


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has made since its start. Money in USDT; drawdowns are negative or 0, measured at every bar."""

    since_ns: int
    start_equity: float
    moved: float  # paid in since, net of what was taken out
    profit: float  # of trading: what was moved is left out
    return_pct: float  # time-weighted
    drawdown_pct: float  # at the newest bar
    deepest_drawdown_pct: float
    peak_ns: int  # of the deepest drawdown; 0: it never fell
    trough_ns: int


class _Adjusted(msgspec.Struct):
    data: CashAdjusted


class LiveHistory:
    """The equity of a live session since its books began, with one sample an hour."""

    def __init__(self) -> None:
        self.began_ns = 0  # 0: the books have not begun
        self.start_equity = 0.0
        self.ts_ns: list[int] = []  # of the samples
        self.worth: list[float] = []  # of the start's money, USDT
        self.lows: list[float] = []  # deepest drawdown since the sample before, a fraction
        self.drawdown = Drawdown(0.0)
        self._scale = 1.0  # from the equity to the worth of the start's money
        self._moved = self._moved_before = 0.0
        self._low = 0.0
        self._doubtful: dict[str, Any] | None = None  # the drawdown before a change that nothing explained

    def note(self, ts_ns: int, equity: float, moved: float) -> None:
        """Take the *equity* at the close of a bar, and what has *moved* without a trade since the books began."""
        if not math.isfinite(equity):
            return
        if not self.began_ns:
            self._begin(ts_ns, equity, moved)
        self.take_transfer(equity, moved)
        worth = equity * self._scale
        self.drawdown.note(ts_ns, worth)
        self._low = min(self._low, self.drawdown.now)
        if not self.ts_ns or ts_ns // NS_PER_HOUR > self.ts_ns[-1] // NS_PER_HOUR:
            self.ts_ns.append(ts_ns)
            self.worth.append(worth)
            self.lows.append(self._low)
            self._low = 0.0

    def _begin(self, ts_ns: int, equity: float, moved: float) -> None:
        self.began_ns, self.start_equity = ts_ns, equity
        self._moved = self._moved_before = moved
        self.drawdown = Drawdown(equity)

    def take_transfer(self, equity: float, moved: float, *, late: bool = False) -> None:
        """Leave out what has *moved*; *equity* is the account's after it.

        *late*: it was taken for a result until now, so that the drawdown since then was none.
        """
        amount, self._moved = moved - self._moved, moved
        if amount != 0.0 and equity > 0.0 and equity - amount > 0.0:
            self._scale *= (equity - amount) / equity
        if late and self._doubtful is not None:
            self.drawdown.load_state(self._doubtful)
            self._doubtful = None

    def doubt(self) -> None:
        """Keep the drawdown as it is before a change of the wallet that a transfer may still explain."""
        self._doubtful = self.drawdown.state()

    def result(self, equity: float, moved: float) -> Result | None:
        """The result at *equity* (USDT) now; None before the books have begun."""
        if not self.began_ns or not math.isfinite(equity):
            return None
        worth, found = equity * self._scale, self.drawdown.facts()
        paid = moved - self._moved_before
        return Result(
            since_ns=self.began_ns, start_equity=self.start_equity, moved=paid,
            profit=equity - self.start_equity - paid,
            return_pct=(worth / self.start_equity - 1.0) * 100.0 if self.start_equity > 0.0 else 0.0,
            drawdown_pct=self.drawdown.now * 100.0, deepest_drawdown_pct=found.depth * 100.0, peak_ns=found.peak_ns,
            trough_ns=found.trough_ns,
        )

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {**vars(self), "drawdown": self.drawdown.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        vars(self).update({key: value for key, value in state.items() if key != "drawdown"})
        self.drawdown.load_state(state["drawdown"])


class HistorySink:
    """A record sink that tells the history of bars and of money that moved, once their records were kept.

    Records are made again when a process continues another one's session, and so is the history.
    """

    def __init__(self, sink: RecordSink, history: LiveHistory) -> None:
        self._sink, self._history = sink, history
        self.engine: Engine | None = None  # known once it is made

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep one record; note what the account is worth with it."""
        self._sink.append(line, topic, ts_ns)
        engine = self.engine
        if topic not in _TOPICS or engine is None or not engine.halts.started:
            return
        history, account = self._history, engine.account
        if topic == "market.bar" or not history.began_ns:
            history.note(ts_ns, account.equity, account.moved)
            return
        change = msgspec.json.decode(line, type=_Adjusted).data
        if change.explained:
            history.take_transfer(account.equity, account.moved, late=change.before == change.wallet)
        else:
            history.doubt()


def saved_result(saved: dict[str, Any]) -> Result | None:
    """The result in a checkpoint, of a live session or a replay; None where it holds none."""
    if "samples" in saved:
        return _replayed(saved["samples"], float(saved["engine"]["account"]["equity"]))
    state = saved.get("more", {}).get("history")
    if state is None:
        return None
    account = saved["engine"]["account"]
    return history_of(state).result(float(account["equity"]), float(account.get("moved", 0.0)))


def history_of(state: dict[str, Any]) -> LiveHistory:
    """The history that a checkpoint holds."""
    history = LiveHistory()
    history.load_state(state)
    return history


def _replayed(samples: dict[str, Any], equity: float) -> Result | None:
    """The result of a replay, whose account takes no transfers."""
    if not len(samples["equity"]):
        return None
    drawdown, start = Drawdown(0.0), float(samples["equity"][0])
    drawdown.load_state(samples["drawdown"])
    found = drawdown.facts()
    return Result(
        since_ns=int(samples["ts_ns"][0]), start_equity=start, moved=0.0, profit=equity - start,
        return_pct=(equity / start - 1.0) * 100.0, drawdown_pct=drawdown.now * 100.0,
        deepest_drawdown_pct=found.depth * 100.0, peak_ns=found.peak_ns, trough_ns=found.trough_ns,
    )
