"""The one default clock of the policy library, used only where a caller gave none."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Nanoseconds since the Unix epoch, UTC."""
    return time.time_ns()


def pause(seconds: float) -> None:
    """Wait *seconds*."""
    time.sleep(seconds)
