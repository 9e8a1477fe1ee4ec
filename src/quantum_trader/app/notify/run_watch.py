"""What the status of a run says that is worth a notice: steps of the drawdown, and a stop with open positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from quantum_trader.app.notify.notices import Notice, NoticeKind, NoticeLevel
from quantum_trader.app.notify.settings import NotifySettings
from quantum_trader.app.report.words import words
from quantum_trader.app.runs.run_condition import Condition, RunCondition
from quantum_trader.domain.clock import NS_PER_SECOND

_REARMED: Final = 0.8  # of a step: a drawdown below that counts as recovered from it
_SILENT: Final = (Condition.DEAD, Condition.STOPPED, Condition.STALLED)


class WatchState(msgspec.Struct, kw_only=True):
    """What a watch has to remember over a restart."""

    step_pct: float = 0.0  # the deepest step of the drawdown that was told; 0: none
    silent_since_ns: int = 0  # the run makes no progress with open positions; 0: it does
    is_silence_told: bool = False
    has_begun: bool = False


class RunWatch:
    """Compares each status with what was told before."""

    def __init__(self, settings: NotifySettings, state: WatchState | None = None) -> None:
        self.state = state if state is not None else WatchState()
        self._settings = settings

    def look(self, found: RunCondition, now_ns: int) -> list[Notice]:
        """What is new in *found* at *now_ns*."""
        return [*self._in_force(found), *self._drawdown(found), *self._stopped(found, now_ns)]

    def _in_force(self, found: RunCondition) -> Iterator[Notice]:
        """The halts that stand when notifications begin; later ones come from the journal."""
        if not self.state.has_begun:
            self.state.has_begun = True
            for halt in found.status.halts:
                yield Notice(
                    kind=NoticeKind.HALT, key=halt.kind, level=NoticeLevel.WARNING, ts_ns=halt.since_ns,
                    text=f"{words(halt.kind)}: in force: {halt.reason}; ends: {halt.exit_path}",
                )

    def _drawdown(self, found: RunCondition) -> Iterator[Notice]:
        if found.status.result is None or not found.status.result.drawdown_pct <= 0.0:
            return  # not known yet
        drawdown = -found.status.result.drawdown_pct
        reached = max((one for one in self._settings.drawdown_steps_pct if one <= drawdown), default=0.0)
        if reached > self.state.step_pct:
            self.state.step_pct = reached
            yield Notice(
                kind=NoticeKind.DRAWDOWN, key=f"{reached:g}", level=NoticeLevel.WARNING,
                text=f"the drawdown is {drawdown:.2f} %, past the step of {reached:g} %", ts_ns=found.status.equity_ns,
            )
        elif drawdown < _REARMED * self.state.step_pct:
            self.state.step_pct = max(
                (one for one in self._settings.drawdown_steps_pct
                 if one < self.state.step_pct and drawdown >= _REARMED * one), default=0.0,
            )

    def _stopped(self, found: RunCondition, now_ns: int) -> Iterator[Notice]:
        if found.status.kind != "live" or found.condition not in _SILENT or not found.open_positions:
            self.state.silent_since_ns, self.state.is_silence_told = 0, False
            return
        since_ns = self.state.silent_since_ns
        self.state.silent_since_ns = since_ns if 0 < since_ns <= now_ns else now_ns
        if self.state.is_silence_told or now_ns - self.state.silent_since_ns < self._wait_ns:
            return
        self.state.is_silence_told = True
        yield Notice(
            kind=NoticeKind.STOPPED, key=found.condition.value, level=NoticeLevel.CRITICAL, text=_words_of(found),
            ts_ns=found.status.as_of_ns,
        )

    @property
    def _wait_ns(self) -> int:
        return int(self._settings.stopped_after_s * NS_PER_SECOND)


def _words_of(found: RunCondition) -> str:
    positions = [one for one in found.status.positions if one.traded]
    bare = [one.symbol for one in positions if not one.protected]
    what = {
        Condition.DEAD: "the process is dead", Condition.STOPPED: "the process has stopped",
        Condition.STALLED: f"the process runs and makes no progress ({found.why})",
    }[found.condition]
    stops = f"no stop rests at the venue for {', '.join(bare)}" if bare else "their stops rest at the venue"
    held = ", ".join(f"{one.symbol} {one.side} {one.qty:g}" for one in positions[:10])
    return (
        f"{what} with {len(positions)} open position{'s' if len(positions) != 1 else ''} ({held}); {stops}; restart "
        "with the same command, or close with quantum-trader flatten --now"
    )
