"""Leakage guard: a decision must not use data newer than itself.

A decision event states the time of what it used, as ``features_ts_ns`` (the newest feature) or as ``features``
or ``feature_times`` (name -> time, or name -> {"ts_ns": time}). A later time is a feature from the future, and the
decision is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import DataError

STATES_FEATURES: Final = frozenset({"signal.generated", "signal.decided"})  # must state their features' time
NEWEST: Final = "features_ts_ns"
EACH: Final = ("features", "feature_times")


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A feature from a decision's future; *feature_ns* is -1 where the decision does not state a time."""

    topic: str
    feature: str
    decision_ns: int
    feature_ns: int

    @property
    def text(self) -> str:
        """Both times, in one sentence."""
        if self.feature_ns < 0:
            return f"{self.topic} of {iso(self.decision_ns)} states no time of its features ({NEWEST})"
        late = (self.feature_ns - self.decision_ns) / 1e9
        return (
            f"{self.topic} of {iso(self.decision_ns)} ({self.decision_ns}) used {self.feature} of "
            f"{iso(self.feature_ns)} ({self.feature_ns}), {late:g} s after the decision"
        )


class LeakageError(DataError):
    """A decision event with a feature from its future."""

    def __init__(self, leak: Leak) -> None:
        super().__init__(f"{leak.text}; the record is refused")
        self.leak = leak
        self.decision_ns = leak.decision_ns
        self.feature_ns = leak.feature_ns


def check(topic: str, ts_ns: int, data: Any) -> Leak | None:
    """Return the leak of one event that happened at *ts_ns*, None when it has no leak.

    *data* is the event's own value: a struct or a mapping. A decision's own ``ts_ns`` wins over the record's.
    """
    if isinstance(data, Mapping):
        newest, decided = _time_of(data.get(NEWEST)), _time_of(data.get("ts_ns"))
        each = next((data[key] for key in EACH if key in data), None)
    else:
        newest = getattr(data, NEWEST, None)
        each = next((getattr(data, key) for key in EACH if hasattr(data, key)), None)
        decided = getattr(data, "ts_ns", None)
    if newest is None and each is None:
        if topic in STATES_FEATURES:
            return Leak(topic=topic, feature="", decision_ns=ts_ns, feature_ns=-1)
        return None
    decided = ts_ns if decided is None else min(decided, ts_ns)
    if newest is not None and newest > decided:
        return Leak(topic=topic, feature=NEWEST, decision_ns=decided, feature_ns=newest)
    return _check_each(topic, decided, each) if isinstance(each, Mapping) else None


def _time_of(value: Any) -> int | None:
    """*value* where it is a time; None for anything else that a foreign mapping may hold under such a name."""
    return value if isinstance(value, int) else None


def _check_each(topic: str, decided: int, features: Mapping[str, Any]) -> Leak | None:
    """Return the newest of *features* that is later than *decided*; values that are not times are ignored."""
    late = None
    for name, value in features.items():
        time_ns = value.get("ts_ns") if isinstance(value, Mapping) else value
        if isinstance(time_ns, int) and time_ns > decided and (late is None or time_ns > late.feature_ns):
            late = Leak(topic=topic, feature=name, decision_ns=decided, feature_ns=time_ns)
    return late


def ensure(topic: str, ts_ns: int, data: Any) -> None:
    """Raise LeakageError with both times when the event has a leak."""
    leak = check(topic, ts_ns, data)
    if leak is not None:
        raise LeakageError(leak)
