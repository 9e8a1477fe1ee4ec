"""Times of the day at which the training daemon trains."""

from __future__ import annotations

import re
from typing import Final

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError

_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def minutes_of(text: str) -> int:
    """Minutes since midnight of *text* like "00:00"; ConfigError for what is no such time."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"--at {text!r}: must be a time of the day in UTC, such as 00:00 or 13:30")
    return 60 * int(found[1]) + int(found[2])


def next_time_ns(now_ns: int, minutes: int) -> int:
    """The first time after *now_ns* that is *minutes* after a UTC midnight."""
    today_ns = now_ns // NS_PER_DAY * NS_PER_DAY + minutes * NS_PER_MINUTE
    return today_ns if today_ns > now_ns else today_ns + NS_PER_DAY
