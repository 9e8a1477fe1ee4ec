"""Places of ``PolicyState.seen`` (SIZE,): the account as the rules last saw it."""

from __future__ import annotations

(
    BITS, STREAK, BROKEN, WINS, DRAWDOWN, DAILY_PNL, LATCHED, STALE, QUALITY, OPEN, EXPOSURE, SIZE,
) = range(12)  # BITS to QUALITY decide whether anything changed for the rules
