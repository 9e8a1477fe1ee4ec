"""System health: stream, lag, clock, queue and reconciliation, as a governor level and as a report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_DEFENSIVE, GOV_EMERGENCY
from quantum_trader.engine.venue_port import StreamState
from quantum_trader.live.bars import BarCollector
from quantum_trader.live.checkpoints import Checkpoints
from quantum_trader.live.clock import FOLLOW_MS
from quantum_trader.live.context import LiveContext
from quantum_trader.live.inputs import HealthChanged, Input
from quantum_trader.live.timing import HealthReport
from quantum_trader.risk.governor import health_level

_APART_NS: Final = 60 * NS_PER_SECOND  # the market's time stamps may be this far from the venue's clock
_UNRECONCILED: Final = 3.0  # periods of comparison without agreement: trade smaller


class Streams:
    """Which streams are up, and since when the others are down."""

    def __init__(self) -> None:
        self.up = {"market": False, "user": False}
        self._down_since: dict[str, float] = {}  # on the loop's clock
        self._apart_ns = 0  # how far the market's newest time stamp was from the venue's clock, 0 within a minute

    def note(self, event: StreamState) -> None:
        """Note that a stream is up or down."""
        self.up[event.stream] = event.up
        if event.up:
            self._down_since.pop(event.stream, None)
        else:
            self._down_since.setdefault(event.stream, asyncio.get_running_loop().time())

    def note_time(self, ts_ns: int, now_ns: int) -> None:
        """Note the time stamp of a price that has just arrived, and the venue's time then."""
        apart_ns = ts_ns - now_ns
        self._apart_ns = apart_ns if abs(apart_ns) > _APART_NS else 0

    @property
    def apart_s(self) -> float:
        """How far the market's time stamps are ahead of the venue's clock (behind: below 0); 0.0 within a minute."""
        return self._apart_ns / NS_PER_SECOND

    def down_for(self, seconds: float) -> bool:
        """Whether a stream has been down for that long."""
        now = asyncio.get_running_loop().time()
        return any(now - since >= seconds for since in self._down_since.values())


class HealthMonitor:
    """Hands health to the engine when it changes, and reports it."""

    def __init__(
        self, context: LiveContext, streams: Streams, bars: BarCollector, checkpoints: Checkpoints,
        queue: Callable[[], tuple[float, bool]], apply: Callable[[Input], None],
    ) -> None:
        """*queue* returns the fill of the fullest queue (0 to 1) and whether it is critical; *apply* takes an input."""
        self.context, self._streams, self._bars, self._checkpoints = context, streams, bars, checkpoints
        self._queue, self._apply = queue, apply
        self._level, self._connected = 0, True  # as handed on last

    def check(self) -> None:
        """Hand on the governor level that health calls for, and whether the venue is connected, when one changed."""
        context, up = self.context, self._streams.up
        fill, critical = self._queue()
        offset, lag = context.clock.offset_ms(), self._bars.lag_s()
        # while the clocks disagree, and while prices come from the future, lateness cannot be judged
        time_is_certain = abs(offset) < FOLLOW_MS and self._streams.apart_s <= 0.0
        connected = up["market"] and up["user"] and time_is_certain and not self._checkpoints.records_lost
        lost = self._streams.down_for(context.timing.lost_s)
        level = max(health_level(lag, float(not lost), offset, fill), GOV_EMERGENCY if critical else 0)
        unreconciled_s = self._unreconciled_s(context.clock.now_ns())
        if unreconciled_s > _UNRECONCILED * context.timing.reconcile_s:
            level = max(level, GOV_DEFENSIVE)
        if (level, connected) == (self._level, self._connected):
            return
        self._level, self._connected = level, connected
        reason = (
            f"lag {lag:.1f} s, clock {offset:+.0f} ms, queue {100.0 * fill:.0f} %, unreconciled {unreconciled_s:.0f} s"
        )
        if self._streams.apart_s:
            reason += f", the market's times are {self._streams.apart_s:+.0f} s from the venue's clock"
        if not connected:
            reason += "".join(f", {name} stream down" for name, is_up in up.items() if not is_up)
            if self._checkpoints.records_lost:
                reason += f", records cannot be written: {context.engine.records.refused.last}"
        self._apply(HealthChanged(ts_ns=context.clock.now_ns(), level=level, connected=connected, reason=reason))

    def _unreconciled_s(self, now_ns: int) -> float:
        """How long books and venue have not agreed: something differs, or no comparison has succeeded for long."""
        reconciler = self.context.engine.reconciler
        if reconciler.since_ns:
            return (now_ns - reconciler.since_ns) / NS_PER_SECOND
        compared_s = (now_ns - reconciler.checked_ns) / NS_PER_SECOND
        return compared_s if self.context.ready and compared_s > 2.0 * self.context.timing.reconcile_s else 0.0

    def report(self, requests: int, waits_for: str) -> HealthReport:
        """The health now; *requests* are under way, *waits_for* says what the start waits for."""
        context, reconciler = self.context, self.context.engine.reconciler
        now_ns = context.clock.now_ns()
        return HealthReport(
            ts_ns=now_ns, ready=context.ready, market_up=self._streams.up["market"], user_up=self._streams.up["user"],
            lag_s=self._bars.lag_s(), clock_offset_ms=context.clock.offset_ms(), queue_fill=self._queue()[0],
            last_event_ns=context.engine.last_event_ns, last_bars_ns=self._bars.decided_until_ns,
            unreconciled_s=self._unreconciled_s(now_ns), reconciled_ns=reconciler.checked_ns, requests=requests,
            waits_for=waits_for, counts=dict(context.counts),
        )
