"""A training of the pilot: groups of seeds, one compiled program, looks at its progress, checkpoints, and going on.

Groups are trained one after the other; the seeds of a group are trained at once. The groups stand in the checkpoint, so
that a training which goes on where less memory is free has the same groups and makes the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.lab.pilot.training_checkpoint import (
    Checkpoint,
    CheckpointHeader,
    load_checkpoint,
    save_checkpoint,
)
from quantum_trader.lab.pilot.training_plan import TrainingPlan, check_identity, seed_groups
from quantum_trader.lab.pilot.training_sums import FigureSums
from quantum_trader.pilot.training.checkpoint import packed_training, restored_training
from quantum_trader.pilot.training.device import device_name, on_device, training_versions
from quantum_trader.pilot.training.environment import Environment
from quantum_trader.pilot.training.network import ActorCritic
from quantum_trader.pilot.training.ppo import Trainer, Training, of_seed

LAST_SHARE: Final = 0.1  # of a training's updates: those that its results are the means of
_SUMS: Final = "sums"


class TrainingTask(NamedTuple):
    """What is trained on."""

    environment: Environment
    table: Any  # of arrays, as the environment takes it
    at_cost_share: Callable[[Any, float], Any]  # (table, share of the costs) -> the table with that share in force
    terms: Callable[[Any], dict[str, list[float]]] | None = None  # states (seeds, N) -> mean of each term of the reward


class TrainingTimes(NamedTuple):
    """How often a training is looked at and saved; the clock is in seconds from any beginning."""

    clock: Callable[[], float]
    look_s: float = 3.0
    checkpoint_s: float = 30.0


class TrainingLook(msgspec.Struct, frozen=True, kw_only=True):
    """How far a training is. The figures are means over the updates since the look before, one for each seed."""

    group: int  # from 1
    groups: int
    seeds: tuple[int, ...]  # of the group
    update: int
    updates: int
    steps: int  # of each seed of the group
    steps_per_s: float | None  # of all seeds together; None until it is known
    eta_s: float | None  # until all groups are done
    elapsed_s: float
    cost_share: float
    figures: dict[str, list[float]]
    terms: dict[str, list[float]] = {}  # of the reward, where the environment tells them


class TrainedSeed(NamedTuple):
    """One seed's result."""

    seed: int
    network: ActorCritic
    metrics: dict[str, float | None]  # means over the last tenth of the updates


class TrainingRun:
    """Trains a plan on a task, with its checkpoint in *folder*.

    Raises ConfigError for a checkpoint of another plan, StateError for one that cannot be used.
    """

    def __init__(
        self, plan: TrainingPlan, task: TrainingTask, folder: Path, times: TrainingTimes,
        deliver: Callable[[TrainedSeed], None], trainer: Trainer | None = None,
    ) -> None:
        """All seeds are one group until :meth:`group_by`.

        *deliver* takes the result of each seed; after a kill it may be given the same one again.

        *trainer*: one of the same environment and settings, whose programs are compiled already.
        """
        self.plan, self.task, self.folder, self.times, self._deliver = plan, task, folder, times, deliver
        self.groups: tuple[tuple[int, ...], ...] = (plan.seeds,)
        self.trainer = trainer or Trainer(task.environment, plan.ppo)
        self.notices: list[str] = []  # what a person is to be told
        self._table = on_device(task.table)
        self._group, self._update = 0, 0
        self._elapsed_before_s, self._started_s = 0.0, times.clock()
        self._timed = (0, 0.0)  # updates of this process, and the clock, when its second update began
        checkpoint = load_checkpoint(folder)
        self._training: Training | None = None
        self._resumed = checkpoint is not None
        if checkpoint is not None:
            self._go_on(checkpoint)
        self._last = self._sums(checkpoint)

    def group_by(self, seeds_at_once: int) -> None:
        """Train at most *seeds_at_once* seeds at once; a training that goes on keeps its groups and says so."""
        groups = seed_groups(self.plan.seeds, seeds_at_once)
        if not self._resumed:
            self.groups, self._last = groups, FigureSums(len(groups[0]))
        elif groups != self.groups:
            self.notices.append(
                f"the groups of seeds are those of the checkpoint: {len(self.groups)} of at most "
                f"{max(map(len, self.groups))}"
            )

    @property
    def place(self) -> tuple[int, int]:
        """The group in training, from 0, and the updates of it that were made."""
        return self._group, self._update

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, those of earlier processes included."""
        return self._elapsed_before_s + self.times.clock() - self._started_s

    def looks(self, stop: Callable[[], bool]) -> Iterator[TrainingLook]:
        """Train to the end and yield looks; where *stop* is true after an update, save and end.

        Raises StateError where a figure is no finite number any more, and where a checkpoint cannot be written.
        """
        while self._group < len(self.groups):
            yield from self._group_looks(stop)
            if self._update < self.plan.updates:
                return
            self._finish_group()

    @property
    def ended(self) -> bool:
        """Whether all seeds are trained."""
        return self._group == len(self.groups)

    def _group_looks(self, stop: Callable[[], bool]) -> Iterator[TrainingLook]:
        seeds, recent = self.groups[self._group], FigureSums(len(self.groups[self._group]))
        clock = self.times.clock
        look_at, save_at = clock() + self.times.look_s, clock() + self.times.checkpoint_s
        while self._update < self.plan.updates:
            progress = self._improve(seeds)
            recent.add(progress)  # waits for the update
            if self._update > self.plan.updates * (1.0 - LAST_SHARE):
                self._last.add(progress)
            if broken := recent.broken(seeds):
                raise StateError(_broken(broken, self._update, self.folder))
            self._note_time()
            if clock() >= look_at or self._update == self.plan.updates:
                yield self._look(seeds, recent)
                recent, look_at = FigureSums(len(seeds)), clock() + self.times.look_s
            stopped = stop()
            if stopped or clock() >= save_at:
                self.save()
                save_at = clock() + self.times.checkpoint_s
            if stopped:
                return

    def _improve(self, seeds: Sequence[int]) -> Any:
        """Make one update; returns its progress."""
        if self._training is None:
            self._training = self.trainer.start(seeds, self.task.at_cost_share(self._table, self._cost_share()))
        table = self.task.at_cost_share(self._table, self._cost_share())
        self._training, progress = self.trainer.update(self._training, table, self.plan.updates)
        self._update += 1
        return progress

    def _cost_share(self) -> float:
        return self.plan.curriculum.cost_share(self._update / self.plan.updates)

    def _note_time(self) -> None:
        """Time begins with the second update of a process: the first one is compiled."""
        updates, since = self._timed
        self._timed = (updates + 1, since if updates else self.times.clock())

    def _look(self, seeds: tuple[int, ...], recent: FigureSums) -> TrainingLook:
        made, since = self._timed
        passed, speed, eta = self.times.clock() - since, None, None
        if made > 1 and passed > 0.0:
            per_update = passed / (made - 1)
            speed = len(seeds) * self.plan.ppo.steps_per_update / per_update
            later = sum(len(group) for group in self.groups[self._group + 1 :]) / len(seeds)
            eta = per_update * (self.plan.updates - self._update + later * self.plan.updates)
        return TrainingLook(
            group=self._group + 1, groups=len(self.groups), seeds=seeds, update=self._update,
            updates=self.plan.updates, steps=self._update * self.plan.ppo.steps_per_update, steps_per_s=speed,
            eta_s=eta, elapsed_s=self.elapsed_s, cost_share=self._cost_share(), figures=recent.means(),
            terms=self._terms(),
        )

    def _terms(self) -> dict[str, list[float]]:
        """The terms of the reward in the running episodes."""
        told = self.task.terms
        return {} if told is None or self._training is None else told(self._training.worlds.states)

    def _finish_group(self) -> None:
        assert self._training is not None, "a group ends after an update of it"
        for place, (seed, metrics) in enumerate(zip(self.groups[self._group], self._last.metrics(), strict=True)):
            scale = float(np.asarray(self._training.reward_scale)[place])
            network = of_seed(self._training.network, place)
            self._deliver(TrainedSeed(seed, network, {**metrics, "reward_scale": scale}))
        self._group, self._update, self._training = self._group + 1, 0, None
        self._timed, self._last = (0, 0.0), self._sums(None)
        self.save()

    def save(self) -> None:
        """Write the checkpoint."""
        arrays = {} if self._training is None else packed_training(self._training)
        header = CheckpointHeader(
            identity=self.plan.identity(), groups=self.groups, group=self._group, update=self._update,
            last_updates=self._last.updates, elapsed_s=self.elapsed_s, device=device_name(),
            versions=training_versions(),
        )
        save_checkpoint(self.folder, Checkpoint(header=header, arrays={**arrays, _SUMS: self._last.sums}))

    def _go_on(self, checkpoint: Checkpoint) -> None:
        """Take the place and the state of *checkpoint*."""
        header = checkpoint.header
        check_identity(str(self.folder), header.identity, self.plan.identity())
        here = {"device": device_name(), **training_versions()}
        for name, there in {"device": header.device, **header.versions}.items():
            if here.get(name) != there:
                self.notices.append(
                    f"{name} was {there} and is {here.get(name)}: the weights may differ from those of a training "
                    "that was not interrupted"
                )
        self.groups, self._group, self._update = header.groups, header.group, header.update
        self._elapsed_before_s = header.elapsed_s
        if self._update:
            self._training = restored_training(
                self.trainer, self.groups[self._group], self._table, checkpoint.arrays
            )

    def _sums(self, checkpoint: Checkpoint | None) -> FigureSums:
        """The sums over the last updates of the group in training."""
        sums = FigureSums(len(self.groups[min(self._group, len(self.groups) - 1)]))
        if checkpoint is not None and checkpoint.arrays[_SUMS].shape == sums.sums.shape:
            sums.load(checkpoint.arrays[_SUMS], checkpoint.header.last_updates)
        return sums


def _broken(seeds: Sequence[int], update: int, folder: Path) -> str:
    listed = ", ".join(map(str, seeds))
    return (
        f"seed {listed}: a figure of update {update} is not a finite number, so its network learns nothing any more; "
        f"try a lower ppo.learning_rate or ppo.gradient_norm with a new folder (the last checkpoint is in {folder})"
    )
