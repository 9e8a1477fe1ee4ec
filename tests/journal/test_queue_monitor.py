"""The queue monitor: true figures, levels by the thresholds, and their release; in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, GOV_NORMAL
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.journal.queue_monitor import QueueMonitor, QueueReading, QueueStatus, QueueThresholds
from quantum_trader.risk.governor import Health


def reading(at_s: float, used: int = 0, lag_s: float = 0.0, **more: Any) -> QueueReading:
    """A queue of 1000 places at *at_s* whose oldest waiting event is *lag_s* old."""
    now_ns = round((1_000 + at_s) * NS_PER_SECOND)
    counts = {"accepted": 10_000, "durable": 9_999 if lag_s else 10_000} | more
    return QueueReading(
        now_ns=now_ns, capacity=1000, used=used, oldest_ns=now_ns - round(lag_s * NS_PER_SECOND) if lag_s else 0,
        **counts,
    )


def at_once(used: int = 0, lag_s: float = 0.0) -> QueueStatus:
    """The status of a fresh monitor."""
    return QueueMonitor().observe(reading(0.0, used, lag_s))


@pytest.mark.parametrize(("used", "lag_s", "level"), [
    (0, 0.0, "OK"), (799, 0.999, "OK"), (800, 0.0, "WARN"), (0, 1.0, "WARN"), (949, 4.999, "WARN"),
    (950, 0.0, "CRITICAL"), (0, 5.0, "CRITICAL"), (1000, 60.0, "CRITICAL"),
])
def test_levels_begin_exactly_at_their_thresholds(used: int, lag_s: float, level: str) -> None:
    """80 % or one second warn, 95 % or five seconds are critical."""
    status = at_once(used, lag_s)

    assert status.level == level
    assert status.governor_level == (GOV_EMERGENCY if level == "CRITICAL" else GOV_NORMAL)
    assert bool(status.reasons) == (level != "OK")


def test_figures_are_the_queues_own() -> None:
    """Fill, lag, waiting events, drops, write errors and the throughput over the window."""
    monitor = QueueMonitor()
    monitor.observe(reading(0.0, accepted=1_000, durable=1_000))
    status = monitor.observe(reading(2.0, 250, 0.5, accepted=9_000, durable=7_000, dropped=3, write_errors=1))

    assert (status.fill, status.lag_s, status.waiting) == (0.25, 0.5, 2_000)
    assert status.throughput == 3_000.0
    assert (status.drops, status.write_errors) == (3, 1)


def test_speed_is_unknown_before_there_is_a_span() -> None:
    """No data, not zero."""
    assert at_once().throughput is None


def test_critical_is_left_one_level_at_a_time_after_the_hold() -> None:
    """Thirty seconds well inside the marks for each level; a relapse starts the hold again."""
    monitor = QueueMonitor()
    levels = {}
    for second in range(100):
        relapse = second == 20
        levels[second] = monitor.observe(reading(second, 960 if second == 0 or relapse else 10)).level

    assert (levels[0], levels[21], levels[50], levels[51]) == ("CRITICAL",) * 3 + ("WARN",)
    assert (levels[80], levels[81], levels[99]) == ("WARN", "OK", "OK")


def test_a_level_stays_just_below_its_threshold() -> None:
    """A level is released below nine tenths of its threshold, so that it does not flap."""
    monitor = QueueMonitor()
    monitor.observe(reading(0.0, 800))
    for second in range(1, 200):
        status = monitor.observe(reading(second, 790))
    assert status.level == "WARN"
    assert "72%" in status.ends


def test_a_drop_or_a_write_error_alarms_for_a_while() -> None:
    """WARN at once, and for a minute after the last one."""
    monitor = QueueMonitor()
    assert monitor.observe(reading(0.0)).level == "OK"
    status = monitor.observe(reading(1.0, dropped=5))
    assert (status.level, status.reasons) == ("WARN", ("5 events dropped",))
    assert monitor.observe(reading(61.0, dropped=5)).level == "WARN"
    for second in range(62, 93):
        status = monitor.observe(reading(second, dropped=5))
    assert status.level == "OK"


def test_a_critical_queue_requires_emergency_of_the_governor() -> None:
    """The fill is part of its health; CRITICAL requires EMERGENCY, which the operator ends."""
    status = at_once(960)

    assert max(Health(queue_fill=status.fill).level, status.governor_level) == GOV_EMERGENCY
    assert "resume --reason" in status.ends


@pytest.mark.parametrize("wrong", [
    {"used": 1001}, {"used": -1}, {"accepted": 5, "durable": 6}, {"durable": -1},
])
def test_inconsistent_figures_are_refused(wrong: dict[str, int]) -> None:
    """Figures that contradict each other raise InputError."""
    with pytest.raises(InputError):
        QueueMonitor().observe(reading(0.0, **wrong))


def test_time_does_not_go_back() -> None:
    """Readings come in order."""
    monitor = QueueMonitor()
    monitor.observe(reading(5.0))
    with pytest.raises(InputError, match="lies before"):
        monitor.observe(reading(4.0))


@pytest.mark.parametrize("wrong", [
    {"warn_fill": 0.96}, {"critical_fill": 1.1}, {"warn_lag_s": 5.0}, {"hold_s": -1.0}, {"release": 0.0},
])
def test_inconsistent_thresholds_are_refused(wrong: dict[str, float]) -> None:
    """WARN comes before CRITICAL, shares are shares."""
    with pytest.raises(ConfigError):
        QueueThresholds(**wrong)
