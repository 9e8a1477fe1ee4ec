"""Losing streaks: when rule B2 is in force, and how a streak ends without a trade.

A losing streak lowers the risk and raises the confidence that a signal needs. Where that leaves no trade, no win could
ever end it, so time ends it: one rule for the engine, the sweep and the library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from quantum_trader.domain.scalar import scalar
from quantum_trader.policy.core import is_recovering
from quantum_trader.policy.layout import PROFILE_RECOVERY_AFTER, PROFILE_STREAK_LIMIT, RULE_STREAK_END
from quantum_trader.policy.rules import RuleChange

# Seconds without a position or a closed trade: where shadow trades tell how signals would have done, and where none do.
FLAT_S: Final = 24 * 3_600.0
FLAT_ALONE_S: Final = 72 * 3_600.0
NO_SHADOWS: Final = -1  # in place of a count of shadow wins: there are no shadow trades

_SAVED: Final = ("losing_streak", "broken_streak", "wins_since", "flat_since_s", "ended_losing", "ended_broken")
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
    """The losing streak that a caller of the library gives, and how much of it has ended without a trade.

    The caller counts trades and knows nothing of that end. What ended is taken off what the caller gives, until wins
    take it out of the caller's own figures.
    """

    __slots__ = ("_ended_broken", "_ended_losing", "_flat_since_s", "_given")

    def __init__(self) -> None:
        self._given: Streak = (0, 0, 0)
        self._flat_since_s = -1  # -1: a position is open, or nothing was seen yet
        self._ended_losing = self._ended_broken = 0

    def see(self, given: Streak, open_count: int, now_s: float, vector: Sequence[float]) -> Streak:
        """Take the account's figures at *now_s*; returns those that count."""
        if given != self._given:
            self._follow(given)
        if open_count > 0:
            self._flat_since_s = -1
        elif given != self._given or self._flat_since_s < 0:
            self._flat_since_s = math.ceil(now_s)
        self._given = given
        limit, recovery_after = vector[PROFILE_STREAK_LIMIT], vector[PROFILE_RECOVERY_AFTER]
        flat_s = now_s - self._flat_since_s if self._flat_since_s >= 0 else 0.0
        if streak_ends(*self.counted(), flat_s, NO_SHADOWS, limit, recovery_after):
            self._ended_losing, self._ended_broken = given[0], given[1]
        return self.counted()

    def _follow(self, given: Streak) -> None:
        """Let go of what ended where a win has ended the streak in the caller's figures too."""
        (losing, broken, wins), (last_losing, last_broken, last_wins) = given, self._given
        if losing >= last_losing and broken == last_broken and wins == last_wins:
            return
        if broken != last_broken or wins < last_wins or broken == last_losing:  # the streak that was going on is broken
            self._ended_broken = self._ended_losing
        self._ended_losing = 0

    def counted(self) -> Streak:
        """The figures last given without what has ended."""
        losing, broken, wins = self._given
        return max(0, losing - self._ended_losing), max(0, broken - self._ended_broken), wins

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
            (RULE_STREAK_END, name, float(given), float(counted)) for name, given, counted in rows if given != counted
        )

    def saved(self) -> dict[str, int]:
        """Everything, for the saved state."""
        return dict(zip(
            _SAVED, (*self._given, self._flat_since_s, self._ended_losing, self._ended_broken), strict=True
        ))

    def load(self, saved: Mapping[str, int]) -> None:
        """Continue from :meth:`saved`, or from the three figures of an older file."""
        losing, broken, wins = (saved.get(key, 0) for key in _SAVED[:3])
        self._given = losing, broken, wins
        self._flat_since_s = saved.get("flat_since_s", -1)
        self._ended_losing, self._ended_broken = saved.get("ended_losing", 0), saved.get("ended_broken", 0)
