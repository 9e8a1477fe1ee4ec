"""The one default clock of the policy library, read only where a caller gave no time."""

from __future__ import annotations

import time


def now_ns() -> int:
    """Nanoseconds since the Unix epoch, UTC."""
    return time.time_ns()
