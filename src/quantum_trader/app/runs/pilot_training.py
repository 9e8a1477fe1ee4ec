"""One training of the pilot in a folder: its looks in a journal, its checkpoint, its pilots, its document."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np

from quantum_trader import __version__
from quantum_trader.app.runs.trial_ledgers import seed_trials, training_run
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import Event, ModelEvent, PilotTrainingEvent, TrainingEvent
from quantum_trader.lab.pilot.training_checkpoint import remove_checkpoint
from quantum_trader.lab.pilot.training_market import TrainingMarket
from quantum_trader.lab.pilot.training_plan import TrainingPlan, check_identity, seeds_that_fit
from quantum_trader.lab.pilot.training_result import (
    SeedResult,
    TrainingDocument,
    load_document,
    save_document,
    save_seed,
    saved_seed,
    seed_to_use,
)
from quantum_trader.lab.pilot.training_run import TrainingLook, TrainingRun, TrainingTimes
from quantum_trader.pilot.training.device import device_name, free_device_bytes, training_versions

if TYPE_CHECKING:
    from quantum_trader.lab.trials.ledger import TrialLedger
    from quantum_trader.pilot.training.ppo import Trainer

PRODUCER: Final = "pilot-training"
RING_BYTES: Final = 1 << 20  # a look every few seconds
ACTOR: Final = "pilot train"
_MEMORY: Final = Path("/proc/meminfo")
_GROUP_MEMORY: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"))
_UNKNOWN_MEMORY: Final = 4 << 30  # bytes that are taken to be free where the system does not say
_ID_LETTERS: Final = 12


class TrainingScreen(Protocol):
    """Where a person sees how far a training is."""

    def tell(self, line: str) -> None:
        """Show a line."""

    def show(self, look: TrainingLook) -> None:
        """Show a look."""


class TrainingOptions(NamedTuple):
    """How a training is run; none of it changes the weights but *seeds_at_once*, and that by rounding alone."""

    journal: Path  # folder of the journal that looks and results go to
    times: TrainingTimes
    stop: Callable[[], bool]
    seeds_at_once: int = 0  # 0: as many as fit into memory
    now_ns: Callable[[], int] = time.time_ns
    trainer: Trainer | None = None  # compiled already
    ledger: TrialLedger | None = None  # every seed is recorded in it, before it is trained and after


def session_of(plan: TrainingPlan) -> str:
    """The name of a training in the journal: the same for the same plan."""
    identity = msgspec.json.encode(plan.identity(), order="deterministic")
    return f"pilot-{hashlib.sha256(identity).hexdigest()[:_ID_LETTERS]}"


def free_bytes() -> int:
    """Memory (bytes) that is free where training is computed."""
    on_device = free_device_bytes()
    return on_device if on_device is not None else machine_free_bytes()


def machine_free_bytes() -> int:
    """Memory (bytes) that this process may still take on this machine; 4 GiB where the system does not say."""
    free = _UNKNOWN_MEMORY
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
        most, used = (path.read_text(encoding="ascii").strip() for path in _GROUP_MEMORY)
        free = free if most == "max" else min(free, int(most) - int(used))
    except (OSError, ValueError, StopIteration):
        return free
    return free


def train_pilot(
    folder: Path, plan: TrainingPlan, market: TrainingMarket, screen: TrainingScreen, options: TrainingOptions
) -> TrainingDocument | None:
    """Train *plan* in *folder*, from its checkpoint where there is one; None where it was stopped before its end.

    A training that is done is not done again: its document is returned. Raises ConfigError where the folder holds a
    training of other settings or data, StateError where a checkpoint cannot be used or written, OSError where a pilot
    cannot be written.
    """
    done = load_document(folder)
    if done is not None:
        check_identity(str(folder), done.identity, plan.identity())
        screen.tell(f"{folder}: this training is done; its results stand")
        return done
    started_ns = options.now_ns()
    _record_seeds(options.ledger, folder, plan, market)

    def deliver(trained: Any) -> None:
        save_seed(folder, trained, market.material, options.now_ns())

    run = TrainingRun(plan, market.task, folder, options.times, deliver, options.trainer)
    at_once = options.seeds_at_once or seeds_that_fit(
        len(plan.seeds), run.trainer.bytes_of_seed(market.task.table), free_bytes()
    )
    run.group_by(at_once)
    _tell_start(screen, run)
    with EventLogger(options.journal, PRODUCER, ring_bytes=RING_BYTES) as logger:
        for look in run.looks(options.stop):
            logger.log(look_event(session_of(plan), market, look, options.now_ns()))
            screen.show(look)
        if not run.ended:
            return None
        results = tuple(saved_seed(folder, seed) for seed in plan.seeds)
        document = _document(plan, market, run, results, (started_ns, options.now_ns()))
        for event in result_events(document):
            logger.log(event)
    _record_seeds(options.ledger, folder, plan, market, results)
    save_document(folder, document)
    remove_checkpoint(folder)
    return document


def _record_seeds(
    ledger: TrialLedger | None, folder: Path, plan: TrainingPlan, market: TrainingMarket,
    results: Sequence[SeedResult] = (),
) -> None:
    """Record every seed as a trial, with its figures where it is trained; StateError where that fails."""
    if ledger is not None:
        ledger.record(seed_trials(plan, market, results), training_run(session_of(plan), folder))


def _tell_start(screen: TrainingScreen, run: TrainingRun) -> None:
    """Say what is computed on, which seeds at once, and from where a training goes on."""
    plan, sizes = run.plan, [len(group) for group in run.groups]
    screen.tell(
        f"device {device_name()}; {len(plan.seeds)} seeds, "
        + (f"{sizes[0]} at once" if len(sizes) == 1 else f"in {len(sizes)} groups of {min(sizes)} to {max(sizes)}")
        + f"; {plan.updates:,} updates of {plan.ppo.steps_per_update:,} steps a seed"
    )
    if run.place != (0, 0):
        group, update = run.place
        screen.tell(f"going on from the checkpoint: group {group + 1} of {len(sizes)}, update {update:,}")
    for notice in run.notices:
        screen.tell(f"notice: {notice}")
    screen.tell("compiling the program, about a minute; a training that goes on finds it compiled")


def _document(
    plan: TrainingPlan, market: TrainingMarket, run: TrainingRun, results: tuple[SeedResult, ...], span: tuple[int, int]
) -> TrainingDocument:
    use, rule = seed_to_use(plan.seeds)
    return TrainingDocument(
        session=session_of(plan), identity=plan.identity(), data=market.material.data,
        steps=plan.updates * plan.ppo.steps_per_update, groups=run.groups, device=device_name(),
        versions={"quantum-trader": __version__, **training_versions()}, started_ns=span[0], ended_ns=span[1],
        elapsed_s=run.elapsed_s, seed_to_use=use, seed_rule=rule, seeds=results,
    )


def look_event(session: str, market: TrainingMarket, look: TrainingLook, now_ns: int) -> PilotTrainingEvent:
    """*look* as the journal keeps it."""
    rewards = look.figures["mean_reward"]
    low, middle, high = quartiles(rewards)
    mean = {name: statistics.fmean(numbers) for name, numbers in look.figures.items()}
    return PilotTrainingEvent(
        trace_id=session, symbol="", ts_ns=now_ns, session_id=session, device=device_name(),
        data_hash=market.material.data.content_hash, group_number=look.group, groups=look.groups,
        first_seed=look.seeds[0], seeds=len(look.seeds), update=look.update, updates=look.updates, steps=look.steps,
        steps_per_s=_known(look.steps_per_s), eta_s=_known(look.eta_s), elapsed_s=look.elapsed_s,
        cost_share=look.cost_share, reward_low=low, reward_median=middle, reward_high=high, rewards=tuple(rewards),
        policy_loss=mean["policy_loss"], value_loss=mean["value_loss"], entropy=mean["entropy"],
        divergence=mean["divergence"], clipped=mean["clipped"],
        terms={name: statistics.fmean(numbers) for name, numbers in look.terms.items()},
    )


def quartiles(numbers: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = np.quantile(np.asarray(numbers, dtype=np.float64), (0.25, 0.5, 0.75)).tolist()
    return low, middle, high


def _known(number: float | None) -> float:
    return math.nan if number is None else number


def result_events(document: TrainingDocument) -> list[Event]:
    """For each seed: that its training has ended, and that its pilot was registered."""
    events: list[Event] = []
    for one in document.seeds:
        metrics = {name: value for name, value in one.metrics.items() if value is not None}
        shared: dict[str, Any] = {"trace_id": document.session, "symbol": "", "ts_ns": document.ended_ns}
        events.append(TrainingEvent(
            **shared, session_id=f"{document.session}-seed-{one.seed}", rows=document.steps, seed=one.seed,
            duration_s=(document.ended_ns - document.started_ns) / NS_PER_SECOND,
            data_hash=document.data.content_hash, metrics=metrics,
            parameters={**document.identity, "device": document.device, "weights_hash": one.weights_hash},
        ))
        events.append(ModelEvent(
            **shared, model_id=one.model, alias="", change="registered", actor=ACTOR,
            reason="trained; it may trade only when its evidence passes", metrics=metrics,
        ))
    return events
