"""Request limits of the venue, and the priority of requests near a limit.

The venue counts request weights a minute and orders in ten seconds and a minute, and sends the counts with every
answer. Queries stop first, openings next; the counts never hold back reducing and cancelling requests, which are paced
after a 429 and stop only while the address is banned (418).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from quantum_trader.domain.errors import VenueUnavailable

DEFAULT_WEIGHT_LIMIT: Final = 2400
DEFAULT_ORDER_LIMITS: Final = {"10S": 300, "1M": 1200}
_WINDOW_S: Final = 60.0
_ORDER_WINDOWS: Final = {"10S": 10.0, "1M": 60.0}
_BACK_OFF_S: Final = {429: 10.0, 418: 120.0}  # default pauses, s, where the answer has none
_PACE_S: Final = 1.0  # between reducing requests after a 429
_BANNED_UNTIL: Final = re.compile(rb"banned until (\d{13})")


class Priority(IntEnum):
    """The purpose of a request; a smaller value has priority near a limit."""

    REDUCING = 0
    OPENING = 1
    QUERY = 2


_SHARE: Final = {Priority.OPENING: 0.85, Priority.QUERY: 0.7}


class RequestBudget:
    """Counts of request weights and orders, and the end of the pause that the venue requested.

    *now_s* is a monotonic clock, in seconds.
    """

    def __init__(self, now_s: Callable[[], float], weight_limit: int = DEFAULT_WEIGHT_LIMIT) -> None:
        self._now_s = now_s
        self.weight_limit = weight_limit
        self.order_limits = dict(DEFAULT_ORDER_LIMITS)
        self.used_weight = 0
        self._pending = 0
        self._window_s = now_s()
        self._orders: dict[str, tuple[int, float]] = {}
        self._quiet_until_s = 0.0  # after a 429
        self._banned_until_s = 0.0  # after a 418
        self._paced_s = float("-inf")

    def wait_s(self, priority: Priority, weight: int) -> float:
        """Seconds until a request of *priority* may go; 0.0 when it may go now."""
        now_s = self._now_s()
        if now_s < self._banned_until_s:
            return self._banned_until_s - now_s
        if now_s < self._quiet_until_s:
            if priority is Priority.REDUCING:
                return max(0.0, self._paced_s + _PACE_S - now_s)
            return self._quiet_until_s - now_s
        if priority is Priority.REDUCING:
            return 0.0
        if now_s - self._window_s >= _WINDOW_S:
            self.used_weight, self._window_s = 0, now_s
        if self.used_weight + self._pending + weight > _SHARE[priority] * self.weight_limit:
            return max(0.0, self._window_s + _WINDOW_S - now_s)
        return self._orders_wait_s(now_s) if priority is Priority.OPENING else 0.0

    def _orders_wait_s(self, now_s: float) -> float:
        waits = [0.0]
        for window, (count, at_s) in self._orders.items():
            limit = self.order_limits.get(window, 0)
            if limit and count + 1 > _SHARE[Priority.OPENING] * limit:
                waits.append(at_s + _ORDER_WINDOWS[window] - now_s)
        return max(waits)

    def admit(self, priority: Priority, weight: int) -> None:
        """Count a request, or raise VenueUnavailable when it must wait; :meth:`complete` ends it."""
        wait_s = self.wait_s(priority, weight)
        if wait_s > 0.0:
            near = "requested a pause" if self.rate_limited else "has a request limit, and it is near"
            what = "the venue bans this address" if self.banned else f"the venue {near}"
            raise VenueUnavailable(f"{what}: {priority.name} requests wait {wait_s:.1f} s", wait_s)
        if priority is Priority.REDUCING and self._now_s() < self._quiet_until_s:
            self._paced_s = self._now_s()
        self._pending += weight

    @property
    def banned(self) -> bool:
        """Whether the venue bans this address (418): no request may go."""
        return self._now_s() < self._banned_until_s

    @property
    def rate_limited(self) -> bool:
        """Whether the pause after a 429 or a 418 is still running."""
        return self._now_s() < max(self._banned_until_s, self._quiet_until_s)

    def complete(self, weight: int, headers: Mapping[str, str]) -> None:
        """End an admitted request; *headers* (any case) carry the venue's counts, if there is an answer."""
        self._pending = max(0, self._pending - weight)
        now_s = self._now_s()
        used = _count(headers.get("X-MBX-USED-WEIGHT-1M"))
        if used is None:
            self.used_weight += weight
        else:
            if used < self.used_weight:
                self._window_s = now_s
            self.used_weight = used
        for window in _ORDER_WINDOWS:
            orders = _count(headers.get(f"X-MBX-ORDER-COUNT-{window}"))
            if orders is not None:
                self._orders[window] = (orders, now_s)

    def back_off(self, status: int, retry_after_s: float) -> float:
        """Start the pause after a 429 or a 418 and return its length in seconds."""
        wait_s = retry_after_s if retry_after_s > 0.0 else _BACK_OFF_S.get(status, _BACK_OFF_S[429])
        until_s = self._now_s() + wait_s
        if status == 418:
            self._banned_until_s = max(self._banned_until_s, until_s)
        else:
            self._quiet_until_s = max(self._quiet_until_s, until_s)
            self._paced_s = self._now_s()
        return wait_s


def retry_after(headers: Mapping[str, str], body: bytes, venue_ms: int) -> float:
    """The pause in seconds that an answer requests: Retry-After, or the rest of the ban in its text; else 0.0."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    banned = _BANNED_UNTIL.search(body)
    return max(0.0, (int(banned.group(1)) - venue_ms) / 1000.0) if banned else 0.0


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
