"""Time as integers: nanoseconds since the Unix epoch, UTC. Nothing here reads a clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

NS_PER_MS: Final = 1_000_000
NS_PER_SECOND: Final = 1_000_000_000
NS_PER_MINUTE: Final = 60 * NS_PER_SECOND
NS_PER_HOUR: Final = 3600 * NS_PER_SECOND
NS_PER_DAY: Final = 24 * NS_PER_HOUR


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch of *moment*; a naive datetime is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS_PER_SECOND + delta.microseconds * 1_000


def from_ns(ts_ns: int) -> datetime:
    """The UTC datetime of *ts_ns* (microsecond precision)."""
    seconds, rest = divmod(ts_ns, NS_PER_SECOND)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest // 1_000)


def iso(ts_ns: int) -> str:
    """*ts_ns* as ISO 8601 in UTC, seconds precision when there is no fraction."""
    return from_ns(ts_ns).isoformat().replace("+00:00", "Z")


def utc_day(ts_ns: int) -> int:
    """Whole UTC days since the epoch."""
    return ts_ns // NS_PER_DAY
