"""What a training of the pilot is to do: settings, steps, seeds and their groups, how costs rise, and its identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import ConfigError, InputError, brief, is_finite_number
from quantum_trader.pilot.training.settings import PpoSettings

MOST_SEEDS: Final = 1024


class CurriculumSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How costs rise over a training: linearly from a share of them to all of them.

    Early on, most actions are chosen by chance and full costs punish every trade. What is learned counts at full costs.
    """

    first_cost_share: float = 1.0  # of fees, spread and slippage, at the first update
    full_costs_after: float = 0.5  # share of the training's updates after which costs are full

    def __post_init__(self) -> None:
        for key in ("first_cost_share", "full_costs_after"):
            value = getattr(self, key)
            if not is_finite_number(value) or not 0.0 <= value <= 1.0:
                raise ConfigError(f"curriculum.{key} = {brief(value)}: must lie within 0 and 1")
        if self.full_costs_after == 0.0 and self.first_cost_share != 1.0:
            raise ConfigError(
                f"curriculum.first_cost_share = {self.first_cost_share!r}: costs are full from the first update, since "
                "curriculum.full_costs_after = 0; give a share of the training above 0"
            )

    def cost_share(self, done: float) -> float:
        """The share of the costs after the share *done* (0 to 1) of all updates."""
        if done >= self.full_costs_after:
            return 1.0
        return self.first_cost_share + (1.0 - self.first_cost_share) * done / self.full_costs_after


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One training: the same plan on the same device gives the same weights.

    *facts* are the other settings and the data by dotted keys, such as ``data.content_hash``: plain values that belong
    to the identity of the training.
    """

    ppo: PpoSettings
    steps: int  # of each seed, in all environments together
    seeds: tuple[int, ...]
    curriculum: CurriculumSettings = CurriculumSettings()
    facts: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not 1 <= len(self.seeds) <= MOST_SEEDS:
            raise ConfigError(f"seeds = {len(self.seeds)!r}: must be 1 to {MOST_SEEDS}")
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError(f"seeds = {brief(self.seeds)}: one is named twice")
        self.ppo.updates_for(self.steps)  # refuses less than an update

    @property
    def updates(self) -> int:
        """Updates of each seed."""
        return self.ppo.updates_for(self.steps)

    def identity(self) -> dict[str, Any]:
        """Every setting and fact that decides the weights, by its dotted key, as plain values."""
        ppo, curriculum = msgspec.structs.asdict(self.ppo), msgspec.structs.asdict(self.curriculum)
        identity = {
            "steps": self.steps, "seeds": self.seeds, **{f"ppo.{key}": value for key, value in ppo.items()},
            **{f"curriculum.{key}": value for key, value in curriculum.items()}, **self.facts,
        }
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(identity))  # as a checkpoint gives it back
        return plain


def check_identity(where: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise ConfigError where the training at *where* has another identity than the one *here*."""
    other = [key for key in (*here, *(key for key in there if key not in here)) if there.get(key) != here.get(key)]
    if other:
        key = other[0]
        more = f" ({len(other) - 1} more differ: {', '.join(other[1:4])})" if len(other) > 1 else ""
        raise ConfigError(
            f"{where}: {key} = {brief(there.get(key))}, and this training has {brief(here.get(key))}{more}; give the "
            "settings and the data that it was begun with, or another folder for a new training"
        )


def seed_groups(seeds: Sequence[int], at_once: int) -> tuple[tuple[int, ...], ...]:
    """*seeds* in groups of at most *at_once*, as even as can be, so that no group is trained almost alone."""
    count = -(-len(seeds) // at_once)
    sizes = [len(seeds) // count + (place < len(seeds) % count) for place in range(count)]
    groups, start = [], 0
    for size in sizes:
        groups.append(tuple(seeds[start : start + size]))
        start += size
    return tuple(groups)


def seeds_that_fit(seeds: int, seed_bytes: int, free_bytes: int) -> int:
    """How many of *seeds* fit into half of *free_bytes*, at least 1; the other half is left to everything else."""
    return max(1, min(seeds, free_bytes // (2 * max(seed_bytes, 1))))
