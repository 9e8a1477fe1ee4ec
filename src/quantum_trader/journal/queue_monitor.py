"""Monitors the queue from "accepted" to "durable": fill, lag, throughput, drops and write errors.

WARN is an alarm. CRITICAL requires the governor's EMERGENCY: openings that cannot be recorded are not allowed. The
monitor lowers the level by one at a time, once the figures have stayed below the release thresholds for hold_s;
the governor's EMERGENCY then ends by ``resume --reason``. Time comes with the readings: this module reads no clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, GOV_NORMAL
from quantum_trader.domain.errors import ConfigError, InputError

QUEUE_OK, QUEUE_WARN, QUEUE_CRITICAL = "OK", "WARN", "CRITICAL"
_LEVELS: Final = (QUEUE_OK, QUEUE_WARN, QUEUE_CRITICAL)


class QueueThresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds at which a queue's level is raised and released. Fill 0..1, times in seconds."""

    warn_fill: float = 0.80
    warn_lag_s: float = 1.0
    critical_fill: float = 0.95
    critical_lag_s: float = 5.0
    release: float = 0.9  # a level is left below this share of its threshold ...
    hold_s: float = 30.0  # ... kept for this long
    drops_s: float = 60.0  # a drop or a write error keeps WARN up for this long
    window_s: float = 10.0  # throughput is measured over this span

    def __post_init__(self) -> None:
        for low, high in (("warn_fill", "critical_fill"), ("warn_lag_s", "critical_lag_s")):
            if not 0.0 < getattr(self, low) < getattr(self, high):
                raise ConfigError(f"{low} = {getattr(self, low)!r}: must be above 0 and below {high}")
        if not self.critical_fill <= 1.0:
            raise ConfigError(f"critical_fill = {self.critical_fill!r}: is a share, 1.0 at most")
        if not 0.0 < self.release <= 1.0:
            raise ConfigError(f"release = {self.release!r}: is a share of the thresholds, above 0 and 1.0 at most")
        for key in ("hold_s", "drops_s", "window_s"):
            if not getattr(self, key) >= 0.0:
                raise ConfigError(f"{key} = {getattr(self, key)!r}: must be 0 or more seconds")


class QueueReading(msgspec.Struct, frozen=True, kw_only=True):
    """The queue's figures at one moment; counts are totals since its start."""

    now_ns: int
    capacity: int  # bytes or places, in the unit of *used*
    used: int
    accepted: int
    durable: int
    oldest_ns: int = 0  # time of acceptance of the oldest event not yet durable; 0 when there is none
    dropped: int = 0
    write_errors: int = 0


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The level of a queue, with its figures and reasons."""

    level: str  # OK | WARN | CRITICAL
    since_ns: int
    fill: float  # 0..1
    lag_s: float  # age of the oldest event not yet durable
    waiting: int  # events accepted, not yet durable
    throughput: float | None  # events made durable a second; None before two readings
    drops: int
    write_errors: int
    reasons: tuple[str, ...]  # reasons of the level
    ends: str  # condition that ends the level
    governor_level: int  # GOV_* code that the level requires


class QueueMonitor:
    """Monitors one queue."""

    def __init__(self, thresholds: QueueThresholds | None = None) -> None:
        self.thresholds = thresholds or QueueThresholds()
        self._level = 0
        self._since_ns = 0
        self._released_ns: int | None = None
        self._before: QueueReading | None = None
        self._fault_ns: int | None = None  # the last drop or write error
        self._seen: deque[tuple[int, int]] = deque()  # (time, durable)

    def observe(self, reading: QueueReading) -> QueueStatus:
        """Process a reading; returns the level in force. InputError for inconsistent figures."""
        self._check(reading)
        fill = reading.used / reading.capacity
        waits = reading.oldest_ns > 0 and reading.accepted > reading.durable
        lag_s = max(0.0, (reading.now_ns - reading.oldest_ns) / NS_PER_SECOND) if waits else 0.0
        if self._before is None:
            self._since_ns = reading.now_ns
        faults = self._faults(reading)
        reasons, wanted = self._wanted(fill, lag_s, faults)
        self._move(fill, lag_s, wanted, reading.now_ns)
        if not reasons and self._level:
            reasons = (f"below the thresholds; {_LEVELS[self._level]} ends after the hold time",)
        self._before = reading
        return QueueStatus(
            level=_LEVELS[self._level], since_ns=self._since_ns, fill=fill, lag_s=lag_s,
            waiting=reading.accepted - reading.durable, throughput=self._throughput(reading), drops=reading.dropped,
            write_errors=reading.write_errors, reasons=reasons, ends=self._ends(),
            governor_level=GOV_EMERGENCY if self._level == 2 else GOV_NORMAL,
        )

    def _check(self, reading: QueueReading) -> None:
        if reading.capacity <= 0 or not 0 <= reading.used <= reading.capacity:
            raise InputError(f"used = {reading.used}: must lie within 0 and the capacity {reading.capacity}")
        if not 0 <= reading.durable <= reading.accepted:
            raise InputError(f"durable = {reading.durable}: must lie within 0 and accepted = {reading.accepted}")
        if self._before is not None and reading.now_ns < self._before.now_ns:
            raise InputError(f"now_ns = {reading.now_ns}: lies before the last reading, {self._before.now_ns}")

    def _faults(self, reading: QueueReading) -> tuple[str, ...]:
        """Drops and write errors that are recent enough to keep WARN."""
        before = self._before
        dropped = reading.dropped - (before.dropped if before is not None else 0)
        failed = reading.write_errors - (before.write_errors if before is not None else 0)
        if dropped > 0 or failed > 0:
            self._fault_ns = reading.now_ns
        if self._fault_ns is None or reading.now_ns - self._fault_ns > self.thresholds.drops_s * NS_PER_SECOND:
            return ()
        told = []
        if reading.dropped:
            told.append(f"{reading.dropped:,} events dropped")
        if reading.write_errors:
            told.append(f"{reading.write_errors:,} write errors")
        return tuple(told)

    def _wanted(self, fill: float, lag_s: float, faults: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """Return the reasons of the level, and the level that the figures require now."""
        limits = self.thresholds
        reasons, wanted = list(faults), 1 if faults else 0
        for name, value, warn, critical in (
            ("fill", fill, limits.warn_fill, limits.critical_fill),
            ("lag", lag_s, limits.warn_lag_s, limits.critical_lag_s),
        ):
            level = 2 if value >= critical else 1 if value >= warn else 0
            if level:
                limit = critical if level == 2 else warn
                shown = f"{value:.0%}, {limit:.0%}" if name == "fill" else f"{value:.1f} s, {limit:g} s"
                reasons.insert(0, f"{name} {shown} or more is {_LEVELS[level]}")
            wanted = max(wanted, level)
        return tuple(reasons), wanted

    def _move(self, fill: float, lag_s: float, wanted: int, now_ns: int) -> None:
        """Raise the level at once; leave it one at a time, after the hold."""
        if wanted > self._level:
            self._level, self._since_ns, self._released_ns = wanted, now_ns, None
            return
        if not self._level or wanted == self._level or not self._released(fill, lag_s):
            self._released_ns = None
            return
        if self._released_ns is None:
            self._released_ns = now_ns
        if now_ns - self._released_ns >= self.thresholds.hold_s * NS_PER_SECOND:
            self._level -= 1
            self._since_ns = now_ns
            self._released_ns = now_ns if self._level else None

    def _released(self, fill: float, lag_s: float) -> bool:
        limits = self.thresholds
        critical = self._level == 2
        fill_mark = limits.critical_fill if critical else limits.warn_fill
        lag_mark = limits.critical_lag_s if critical else limits.warn_lag_s
        return fill < fill_mark * limits.release and lag_s < lag_mark * limits.release

    def _throughput(self, reading: QueueReading) -> float | None:
        """Events made durable a second over the window."""
        seen = self._seen
        seen.append((reading.now_ns, reading.durable))
        start = reading.now_ns - self.thresholds.window_s * NS_PER_SECOND
        while len(seen) > 2 and seen[1][0] <= start:
            seen.popleft()
        span = seen[-1][0] - seen[0][0]
        return (seen[-1][1] - seen[0][1]) * NS_PER_SECOND / span if span > 0 else None

    def _ends(self) -> str:
        limits = self.thresholds
        if not self._level:
            return "nothing to end"
        fill = limits.critical_fill if self._level == 2 else limits.warn_fill
        lag = limits.critical_lag_s if self._level == 2 else limits.warn_lag_s
        fill, lag = fill * limits.release, lag * limits.release
        text = f"by itself: {limits.hold_s:g} s below {fill:.0%} fill and {lag:.2g} s lag"
        return f"{text}; then trading by `resume --reason`" if self._level == 2 else text
