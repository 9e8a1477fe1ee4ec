"""Figures of a training, added up over its updates for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from quantum_trader.market.arrays import Floats

FIGURES: Final = (
    "mean_reward", "ended", "episode_reward", "policy_loss", "value_loss", "entropy", "divergence", "clipped",
)
MEANS: Final = ("mean_reward", "policy_loss", "value_loss", "entropy", "divergence", "clipped")


class FigureSums:
    """Sums over updates; each row of ``sums`` (8, seeds) is of the figure of that place in FIGURES."""

    def __init__(self, seeds: int) -> None:
        self.sums: Floats = np.zeros((len(FIGURES), seeds))
        self.updates = 0

    def add(self, progress: Any) -> None:
        """Add one update of the trainer (``ppo.UpdateProgress`` with the seeds as its axis); waits until it is made."""
        episodes, losses = progress
        rows = (episodes.mean_reward, episodes.ended, episodes.total_reward, *losses)
        self.sums += np.array([np.asarray(row, dtype=np.float64) for row in rows])
        self.updates += 1

    def load(self, sums: Floats, updates: int) -> None:
        """Go on from sums that were saved."""
        self.sums[...], self.updates = sums, updates

    def broken(self, seeds: Sequence[int]) -> list[int]:
        """Those of *seeds* with a figure that is not a finite number."""
        good = np.isfinite(self.sums)
        return [seed for place, seed in enumerate(seeds) if not good[:, place].all()]

    def means(self) -> dict[str, list[float]]:
        """The mean of each figure of MEANS over the updates, for each seed; empty before the first update."""
        if not self.updates:
            return {}
        return {name: (self.sums[FIGURES.index(name)] / self.updates).tolist() for name in MEANS}

    def episode_rewards(self) -> list[float | None]:
        """The mean reward of the episodes that ended, for each seed; None where none did."""
        ended, total = self.sums[FIGURES.index("ended")].tolist(), self.sums[FIGURES.index("episode_reward")].tolist()
        return [reward / count if count else None for count, reward in zip(ended, total, strict=True)]

    def metrics(self) -> list[dict[str, float | None]]:
        """All figures of each seed, by name."""
        means, rewards = self.means(), self.episode_rewards()
        return [
            {**{name: numbers[place] for name, numbers in means.items()}, "episode_reward": reward}
            for place, reward in enumerate(rewards)
        ]
