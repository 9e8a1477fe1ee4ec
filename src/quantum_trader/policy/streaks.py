"""Losing streaks: when rule B2 is in force, and how a streak ends without a trade.

A losing streak lowers the risk and raises the confidence that a signal needs. Where that leaves no trade, no win could
ever end it, so time ends it: one rule for the engine, the sweep and the library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from quantum_trader.domain.scalar import scalar
from quantum_trader.policy.core import is_recovering, next_streak
from quantum_trader.policy.layout import PROFILE_RECOVERY_AFTER, PROFILE_STREAK_LIMIT, RULE_STREAK_END
from quantum_trader.policy.rules import RuleChange

# Seconds without a position or a closed trade: where shadow trades tell how signals would have done, and where none do.
FLAT_S: Final = 24 * 3_600.0
FLAT_ALONE_S: Final = 72 * 3_600.0
NO_SHADOWS: Final = -1  # in place of a count of shadow wins: there are no shadow trades

_GIVEN: Final = ("losing_streak", "broken_streak", "wins_since")
_COUNTED: Final = ("counted_losing", "counted_broken", "counted_wins")
Streak = tuple[int, int, int]  # losing trades in a row, the streak that a win ended last, wins since then


@scalar
def streak_ends(
    losing: float, broken: float, wins: float, flat_s: float, shadow_wins: int, limit: float, recovery_after: float
) -> bool:
    """Whether a losing streak, or the latch of rule B2 after one, ends without a trade.

    *flat_s* seconds have passed without a position or a closed trade. *shadow_wins* untraded signals in a row would
    have won since the last closed trade; NO_SHADOWS where nothing follows them. *limit* and *recovery_after* are the
    profile's losing_streak_limit and recovery_after_streak.
    """
    if not (losing > 0 or is_recovering(broken, wins, limit, recovery_after)):
        return False
    if shadow_wins == NO_SHADOWS:
        return flat_s >= FLAT_ALONE_S
    return flat_s >= FLAT_S and shadow_wins >= max(1.0, recovery_after)


class StreakWatch:
    """The losing streak that a caller of the library gives, and what of it counts after one has ended without a trade.

    The caller counts trades and knows nothing of that end. The trades between two of its figures (losses; or wins, then
    losses) are counted again from what was left, so the figures are the engine's, which forgets what has ended. Figures
    that no such trades explain count without what has ended.
    """

    __slots__ = ("_counted", "_flat_since_s", "_given")

    def __init__(self) -> None:
        self._given: Streak = (0, 0, 0)
        self._counted: Streak = (0, 0, 0)
        self._flat_since_s = -1  # -1: a position is open, or nothing was seen yet

    def see(self, given: Streak, open_count: int, now_s: float, vector: Sequence[float]) -> Streak:
        """Take the account's figures at *now_s*; returns those that count."""
        limit, recovery_after = vector[PROFILE_STREAK_LIMIT], vector[PROFILE_RECOVERY_AFTER]
        if given != self._given:
            self._counted = _follow(given, self._given, self._counted, int(recovery_after))
        if open_count > 0:
            self._flat_since_s = -1
        elif given != self._given or self._flat_since_s < 0:
            self._flat_since_s = math.ceil(now_s)
        self._given = given
        flat_s = now_s - self._flat_since_s if self._flat_since_s >= 0 else 0.0
        if streak_ends(*self._counted, flat_s, NO_SHADOWS, limit, recovery_after):
            self._counted = (0, 0, 0)
        return self._counted

    def counted(self) -> Streak:
        """The figures that count."""
        return self._counted

    def holds(self, vector: Sequence[float]) -> bool:
        """Whether rule B2 is in force."""
        losing, broken, wins = self.counted()
        limit = vector[PROFILE_STREAK_LIMIT]
        return losing >= limit or is_recovering(broken, wins, limit, vector[PROFILE_RECOVERY_AFTER])

    def quiet_until(self) -> float:
        """When (seconds) the same figures may count for less; infinite where they do not change by time alone."""
        flat = self._flat_since_s >= 0 and any(self.counted()[:2])
        return self._flat_since_s + FLAT_ALONE_S if flat else math.inf

    def trace(self) -> tuple[RuleChange, ...]:
        """What of the caller's figures does not count any more, as rule B2-END."""
        rows = zip(("losing_streak", "broken_streak"), self._given, self.counted(), strict=False)
        return tuple(
            (RULE_STREAK_END, name, float(given), float(counted)) for name, given, counted in rows if given > counted
        )

    def saved(self) -> dict[str, int]:
        """Everything, for the saved state."""
        names = (*_GIVEN, "flat_since_s", *_COUNTED)
        return dict(zip(names, (*self._given, self._flat_since_s, *self._counted), strict=True))

    def load(self, saved: Mapping[str, int]) -> None:
        """Continue from :meth:`saved`, or from an older file: with what has ended, or with the three figures alone."""
        losing, broken, wins = (saved.get(key, 0) for key in _GIVEN)
        self._given = losing, broken, wins
        self._flat_since_s = saved.get("flat_since_s", -1)
        left = (
            max(0, losing - saved.get("ended_losing", 0)), max(0, broken - saved.get("ended_broken", 0)), wins,
        )
        counted_losing, counted_broken, counted_wins = (
            saved.get(key, old) for key, old in zip(_COUNTED, left, strict=True)
        )
        self._counted = counted_losing, counted_broken, counted_wins


def _follow(given: Streak, last: Streak, counted: Streak, recovery_after: int) -> Streak:
    """What counts when a caller's figures go from *last*, of which *counted* counted, to *given*."""
    if counted == last:  # nothing has ended
        return given
    if given[0] >= last[0] and given[1:] == last[1:]:
        return counted[0] + given[0] - last[0], counted[1], counted[2]
    won, then = last, counted
    for _ in range(given[2]):  # each win after the first adds one to the wins
        won, then = next_streak(*won, True, recovery_after), next_streak(*then, True, recovery_after)
        if won[1:] == given[1:]:
            return given[0], then[1], then[2]
    broken_now = given[1] != last[1] or given[2] < last[2] or given[1] == last[0]  # the streak going on is broken
    ended = last[0] - counted[0] if broken_now else last[1] - counted[1]
    return given[0], max(0, given[1] - max(0, ended)), given[2]
