"""The banned symbols: banned at once, re-admitted after a wait."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import filterfalse

from quantum_trader.policy.layout import HOLD_WIDTH, PROFILE_INTERVAL_S, PROFILE_PERSISTENCE
from quantum_trader.policy.rules import Wait
from quantum_trader.policy.stability import hold_field, wait_left

Cohort = tuple[list[float], Collection[str]]


class Bans:
    """The symbols that are refused, and those that wait to be re-admitted.

    A ban is held by the row of :func:`~quantum_trader.policy.stability.hold_field`. Symbols whose wait began at the
    same evaluation have equal rows, so a cohort of them shares one. *rows* is what :meth:`rows` gave.
    """

    __slots__ = ("_cohorts", "_refused", "again", "before", "within")

    def __init__(self, rows: Mapping[str, Sequence[float]] | None = None) -> None:
        cohorts: dict[tuple[float, ...], list[str]] = {}
        for symbol, row in (rows or {}).items():
            cohorts.setdefault(tuple(row), []).append(symbol)
        self.before = self.again = 0  # how many were banned before the last hold, and how many it refused again
        self.within: frozenset[str] | None = None  # known symbols among which every banned one was at the last hold
        self._refused: Collection[str] = ()
        self._cohorts: list[Cohort] = [(list(row), symbols) for row, symbols in cohorts.items()]

    def hold(
        self, refused: Mapping[str, int], known: frozenset[str], now_s: float, last_s: float, vector: Sequence[float]
    ) -> dict[str, Wait]:
        """Ban the *refused* and release the symbols whose wait is over; returns those that wait, longest first.

        A symbol that is not *known* now waits on and its wait gets no shorter: absence is no evidence.
        """
        interval, persistence = vector[PROFILE_INTERVAL_S], vector[PROFILE_PERSISTENCE]
        before = kept = 0
        waiting: dict[str, Wait] = {}
        cohorts: list[Cohort] = []
        all_known = known is self.within
        within: frozenset[str] | None = known
        for row, symbols in (*self._cohorts, ([0.0] * HOLD_WIDTH, self._refused)):
            free = list(filterfalse(refused.__contains__, symbols))
            before += len(symbols)
            kept += len(free)
            if not (all_known or known.issuperset(free)):
                within = None
                absent = [symbol for symbol in free if symbol not in known]
                free = [symbol for symbol in free if symbol in known]
                cohorts.append((row.copy(), absent))
                waiting.update(dict.fromkeys(absent, wait_left(row, 0, now_s, interval, persistence)))
            if free and hold_field(row, 0, 1.0, now_s, last_s, interval, persistence) != 1:
                cohorts.append((row, free))
                waiting.update(dict.fromkeys(free, wait_left(row, 0, now_s, interval, persistence)))
        self._refused, self._cohorts, self.within = refused, cohorts, within
        self.before, self.again = before, before - kept
        return waiting

    def rows(self) -> dict[str, list[float]]:
        """Every banned symbol with a row of its own."""
        rows = {symbol: [0.0] * HOLD_WIDTH for symbol in self._refused}
        for row, symbols in self._cohorts:
            rows.update((symbol, row.copy()) for symbol in symbols)
        return rows
