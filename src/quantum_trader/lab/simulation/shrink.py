"""Make a failing schedule smaller: delta debugging over its faults, then the shortest day that still fails."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from quantum_trader.lab.simulation.schedule import Fault, Schedule

Fails = Callable[[Schedule], bool]


def shrink(schedule: Schedule, fails: Fails, *, most_runs: int = 200) -> Schedule:
    """Return the smallest schedule found that still fails, taking at most *most_runs* runs.

    With runs enough, the result is 1-minimal: without any one of its faults it passes. Source: Zeller and
    Hildebrandt, "Simplifying and isolating failure-inducing input", 2002 (ddmin). *schedule* itself must fail.
    """
    budget = _Budget(fails, most_runs)
    if budget.fails(schedule.with_faults(())):
        return _shorter(schedule.with_faults(()), budget)
    faults, parts = list(schedule.faults), 2
    while len(faults) >= 2 and budget.left > 0:
        size = -(-len(faults) // parts)
        chunks = [faults[start:start + size] for start in range(0, len(faults), size)]
        found = _smaller(schedule, chunks, budget)
        if found is None:
            if parts >= len(faults):
                break
            parts = min(len(faults), 2 * parts)
        else:
            faults, kept_chunk = found
            parts = 2 if kept_chunk else max(parts - 1, 2)
    return _shorter(schedule.with_faults(tuple(faults)), budget)


class _Budget:
    """Counts runs; once they are used up, no schedule counts as failing, so the smallest found so far is kept."""

    def __init__(self, fails: Fails, runs: int) -> None:
        self._fails = fails
        self.left = runs

    def fails(self, schedule: Schedule) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self._fails(schedule)


def _smaller(schedule: Schedule, chunks: list[list[Fault]], budget: _Budget) -> tuple[list[Fault], bool] | None:
    """One chunk that fails alone, or all but one chunk that still fail."""
    if len(chunks) > 2:
        for chunk in chunks:
            if budget.fails(schedule.with_faults(tuple(chunk))):
                return chunk, True
    for left_out in range(len(chunks)):
        rest = [fault for index, chunk in enumerate(chunks) if index != left_out for fault in chunk]
        if budget.fails(schedule.with_faults(tuple(rest))):
            return rest, False
    return None


def _shorter(schedule: Schedule, budget: _Budget) -> Schedule:
    """Halve the day while it still fails."""
    while schedule.hours > 1.0:
        half = msgspec.structs.replace(schedule, hours=schedule.hours / 2.0)
        if not budget.fails(half):
            break
        schedule = half
    return schedule
