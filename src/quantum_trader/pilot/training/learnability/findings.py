"""What the exams found, and whether each bar is kept. Nothing here needs JAX."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from quantum_trader.pilot.training.learnability.plan import NO_GAIN_COST_PCT, ONE_BAR_AT_MOST_PCT, LearnabilityPlan


class ExamBar(msgspec.Struct, frozen=True, kw_only=True):
    """One bar."""

    name: str
    passed: bool


class SeedScore(msgspec.Struct, frozen=True, kw_only=True):
    """The profit of one seed's policy, percent of the best policy's."""

    seed: int
    percent: float
    weights_hash: str


def median_pct(scores: Sequence[SeedScore]) -> float:
    """The median over seeds; not a number where one of them is not."""
    percents = [score.percent for score in scores]
    return statistics.median(percents) if all(map(math.isfinite, percents)) else math.nan


class IntervalScore(msgspec.Struct, frozen=True, kw_only=True):
    """The profit of one seed's policy on bars that it never saw; percent as stated by the exam."""

    seed: int
    lower: float
    percent: float
    upper: float
    weights_hash: str

    @property
    def no_gain(self) -> bool:
        """Whether nothing is gained, and no more lost than the allowance for costs."""
        return self.lower <= 0.0 and self.upper >= -NO_GAIN_COST_PCT


class RevertingFindings(msgspec.Struct, frozen=True, kw_only=True):
    """The mean-reverting market."""

    best_profit_bps: float  # of the equity, a bar
    one_bar_pct: float  # of the policy that looks one bar ahead
    steps: int
    scores: tuple[SeedScore, ...]

    def checks(self, plan: LearnabilityPlan) -> list[ExamBar]:
        """The bars of this exam."""
        return [
            ExamBar(name=f"looking one bar ahead reaches at most {ONE_BAR_AT_MOST_PCT:g} %",
                  passed=self.one_bar_pct <= ONE_BAR_AT_MOST_PCT),
            ExamBar(name=f"median of the seeds at least {plan.median_pct:g} %",
                  passed=median_pct(self.scores) >= plan.median_pct),
            ExamBar(name=f"worst seed at least {plan.worst_pct:g} %",
                  passed=all(score.percent >= plan.worst_pct for score in self.scores)),
        ]


class RungFindings(msgspec.Struct, frozen=True, kw_only=True):
    """One correlation of the cheat ladder above 0."""

    correlation: float
    best_profit_bps: float  # of the equity, a bar
    scores: tuple[SeedScore, ...]

    @property
    def median_pct(self) -> float:
        """The median of the seeds."""
        return median_pct(self.scores)

    @property
    def median_profit_bps(self) -> float:
        """The median of the seeds, as a profit."""
        return self.best_profit_bps * self.median_pct / 100.0


class LadderFindings(msgspec.Struct, frozen=True, kw_only=True):
    """The cheat ladder: first the rung without any information, then the others in rising order."""

    steps: int
    nothing: tuple[IntervalScore, ...]
    rungs: tuple[RungFindings, ...]

    def checks(self, plan: LearnabilityPlan) -> list[ExamBar]:
        """The bars of this exam; the rung at 0 cannot gain, so that the ladder rises if the others do."""
        profits = [rung.median_profit_bps for rung in self.rungs]
        return [
            _no_gain_check("correlation 0", self.nothing),
            *(
                ExamBar(name=f"correlation {rung.correlation:g}: median at least {plan.rung_pct(rung.correlation):g} %",
                      passed=rung.median_pct >= plan.rung_pct(rung.correlation))
                for rung in self.rungs
            ),
            ExamBar(name="more information, more profit",
                  passed=profits[0] > 0.0 and all(lower < upper for lower, upper in pairwise(profits))),
        ]


class WalkFindings(msgspec.Struct, frozen=True, kw_only=True):
    """The random walk."""

    steps: int
    scores: tuple[IntervalScore, ...]

    @property
    def verdict(self) -> str:
        """In two words."""
        return "no edge" if all(score.lower <= 0.0 for score in self.scores) else "an edge where there is none"

    def checks(self, plan: LearnabilityPlan) -> list[ExamBar]:
        """The bars of this exam."""
        del plan  # the same for every plan
        return [_no_gain_check("random walk", self.scores)]


def _no_gain_check(where: str, scores: Sequence[IntervalScore]) -> ExamBar:
    name = f"{where}: nothing gained, and at most {NO_GAIN_COST_PCT:g} % lost in costs"
    return ExamBar(name=name, passed=all(score.no_gain for score in scores))


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All exams."""

    plan: LearnabilityPlan
    device: str
    reverting: RevertingFindings
    ladder: LadderFindings
    walk: WalkFindings

    def checks(self) -> list[ExamBar]:
        """Every bar."""
        return [check for exam in (self.reverting, self.ladder, self.walk) for check in exam.checks(self.plan)]

    @property
    def passed(self) -> bool:
        """Whether every bar is kept."""
        return all(check.passed for check in self.checks())
