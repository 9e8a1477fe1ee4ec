"""What the learnability exams ask for: markets, steps, seeds and bars. Nothing here needs JAX."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.errors import ConfigError

PHI: Final = 0.9  # the mean-reverting market: next deviation = PHI * deviation + noise
SIGMA: Final = 0.01  # of the noise of one bar, in all markets
REVERTING_COST: Final = 0.005  # in the mean-reverting market, of each unit of position changed
WALK_COST: Final = 0.001  # the same in the other two markets
CORRELATIONS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
ONE_BAR_AT_MOST_PCT: Final = 50.0  # what the one-bar policy may reach; above it the first exam would prove nothing
DEVIATIONS: Final = 3.0  # an interval reaches this many standard errors to either side
NO_GAIN_COST_PCT: Final = 2.0  # what a policy may lose in costs where nothing is to be gained, of NO_GAIN_UNIT's profit
NO_GAIN_UNIT: Final = 0.25  # the correlation whose best policy's profit is 100 % where nothing is to be gained


class LearnabilityPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How much is trained, and the least percentages of the best policy's profit."""

    seeds: int = 5
    hidden: tuple[int, ...] = (128, 128)  # layers of the network, as the pilot has them
    reverting_steps: int = 1_200_000
    ladder_steps: int = 1_200_000
    correlations: tuple[float, ...] = CORRELATIONS
    median_pct: float = 95.0
    worst_pct: float = 90.0
    ladder_pct: float = 95.0  # from correlation 0.5 on
    lowest_rung_pct: float = 80.0  # below

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"--seeds {self.seeds}: must be at least 1")

    def rung_pct(self, correlation: float) -> float:
        """The bar of a rung of the ladder."""
        return self.ladder_pct if correlation >= 0.5 else self.lowest_rung_pct


def quick_plan(seeds: int) -> LearnabilityPlan:
    """A smaller network, fewer steps, two rungs of the ladder and lower bars."""
    return LearnabilityPlan(
        seeds=seeds, hidden=(64, 64), reverting_steps=600_000, ladder_steps=200_000, correlations=(0.0, 1.0),
        median_pct=75.0, worst_pct=75.0, ladder_pct=75.0,
    )
