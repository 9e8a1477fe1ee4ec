"""What ``quantum-trader pilot learnability`` prints."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from quantum_trader.pilot.training.learnability.plan import (
    NO_GAIN_UNIT,
    PHI,
    REVERTING_COST,
    SIGMA,
    WALK_COST,
)

if TYPE_CHECKING:
    from quantum_trader.pilot.training.learnability.findings import (
        ExamBar,
        Findings,
        IntervalScore,
        LadderFindings,
        RevertingFindings,
        SeedScore,
        WalkFindings,
    )


def reverting_lines(found: RevertingFindings) -> Iterator[str]:
    """The first exam."""
    yield (f"1. A mean-reverting market (a deviation keeps {_percent(PHI)} a bar, noise {_percent(SIGMA)} a bar, a "
           f"change of position costs {_percent(REVERTING_COST)} of it)")
    yield f"   100 % is the profit of the best policy, known exactly: {found.best_profit_bps:.3f} bps of equity a bar"
    yield f"   looking one bar ahead: {found.one_bar_pct:.1f} %"
    yield f"   learned, {_steps(found.steps)}: {_percents(found.scores)}"


def ladder_lines(found: LadderFindings) -> Iterator[str]:
    """The second exam."""
    yield (f"2. A cheat ladder (a random walk; one feature tells of the coming return; a change of position costs "
           f"{_percent(WALK_COST)} of it)")
    yield "   100 % is the profit of the best policy given that one return, known exactly"
    yield f"   correlation 0.00, {_steps(found.steps)}: {_intervals(found.nothing)}"
    for rung in found.rungs:
        yield (f"   correlation {rung.correlation:.2f} (100 % = {rung.best_profit_bps:.3f} bps a bar): "
               f"{_percents(rung.scores)}")


def walk_lines(found: WalkFindings) -> Iterator[str]:
    """The third exam."""
    yield f"3. A random walk (a change of position costs {_percent(WALK_COST)} of it): {found.verdict}"
    yield f"   learned, {_steps(found.steps)}: {_intervals(found.scores)}"


def check_lines(checks: list[ExamBar]) -> Iterator[str]:
    """One line for each bar."""
    for check in checks:
        yield f"   {'ok    ' if check.passed else 'MISSED'} {check.name}"


def as_document(found: Findings, seconds: dict[str, float]) -> dict[str, Any]:
    """All findings as JSON shows them; what decides nothing is under `run`."""
    return {
        **msgspec.to_builtins(found), "passed": found.passed, "checks": msgspec.to_builtins(found.checks()),
        "verdict_on_the_random_walk": found.walk.verdict, "run": {"seconds": seconds},
    }


def _percent(share: float) -> str:
    return f"{100.0 * share:g} %"


def _steps(steps: int) -> str:
    return f"{steps / 1e6:g} M steps a seed"


def _percents(scores: tuple[SeedScore, ...]) -> str:
    numbers = [score.percent for score in scores]
    each = "  ".join(f"{number:.1f}" for number in numbers)
    return f"median {statistics.median(numbers):.1f} %, worst {min(numbers):.1f} %   (seeds: {each})"


def _intervals(scores: tuple[IntervalScore, ...]) -> str:
    """Each seed's interval on bars that were not trained on."""
    each = "  ".join(f"{score.lower:+.1f}…{score.upper:+.1f}" for score in scores)
    return f"{each}   (percent of the best profit at correlation {NO_GAIN_UNIT:g}, on unseen bars)"
