"""Many days: seeds run on several processes, their totals, and the smallest schedule of the first that breaks."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError, require
from quantum_trader.lab.simulation.schedule import Schedule, generate, with_other_clients, with_outside_intents
from quantum_trader.lab.simulation.shrink import shrink
from quantum_trader.lab.simulation.variants import PILOTED, PRODUCTION, VARIANTS, Variant
from quantum_trader.lab.simulation.warm import SYMBOLS, warm_world
from quantum_trader.lab.simulation.world import DayOutcome, Finding, run_day
from quantum_trader.market.recording import open_recording
from quantum_trader.models.loading import ModelSettings, make_forecasts

_AHEAD: Final = 8  # days handed to each process before its results are taken
_INTENTS_ABOVE: Final = 1000  # seeds above this one send outside intents ...
_INTENTS_EVERY: Final = 10  # ... on each seed that this divides


class Totals(msgspec.Struct, kw_only=True):
    """Counts over a number of days."""

    days: int = 0
    steps: int = 0
    lives: int = 0
    openings: int = 0
    fills: int = 0
    trades: int = 0
    looks: int = 0
    struck: Counter[str] = msgspec.field(default_factory=Counter)
    requests: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, outcome: DayOutcome) -> None:
        """Count one day."""
        self.days += 1
        for name in ("steps", "lives", "openings", "fills", "trades", "looks"):
            setattr(self, name, getattr(self, name) + getattr(outcome, name))
        self.struck.update(outcome.struck)
        self.requests.update(outcome.requests)


def variant_of(name: str) -> Variant:
    """The variant called *name*; the production classes when it is empty. Raises InputError."""
    if not name:
        return PRODUCTION
    if name in PILOTED:
        return PILOTED[name]
    if name not in VARIANTS:
        raise InputError(f"--variant {name!r}: there is {', '.join(VARIANTS)}")
    return VARIANTS[name]


def schedule_of(seed: int, *, intents: bool = False, clients: bool = False) -> Schedule:
    """The schedule of *seed*; *intents*: with outside intents, which every tenth seed above 1000 has anyway.

    *clients*: with other clients of the account.
    """
    schedule = generate(seed, SYMBOLS)
    if clients:
        schedule = with_other_clients(schedule, SYMBOLS)
    if intents or (seed > _INTENTS_ABOVE and seed % _INTENTS_EVERY == 0):
        return with_outside_intents(schedule, SYMBOLS)
    return schedule


def run_seed(seed: int, variant: str = "") -> DayOutcome:
    """Run the day of *seed*."""
    return run_day(schedule_of(seed), variant_of(variant))


def run_seeds(seeds: Iterable[int], variant: str = "", jobs: int = 1) -> Iterator[DayOutcome]:
    """Run the days of *seeds* on *jobs* processes; their outcomes in order."""
    for _, outcome in run_schedules((schedule_of(seed) for seed in seeds), variant, jobs):
        yield outcome


def check_models(models: Sequence[ModelSettings]) -> None:
    """Raise ConfigError where *models* cannot be loaded, or cannot be run on the bars of simulated days."""
    make_forecasts(models, SYMBOLS, open_recording(symbols=SYMBOLS).interval_ns)


def run_schedules(
    schedules: Iterable[Schedule], variant: str = "", jobs: int = 1, models: Sequence[ModelSettings] = ()
) -> Generator[tuple[Schedule, DayOutcome]]:
    """Run *schedules* on *jobs* processes; each with its outcome, in order. Closing the generator stops them.

    *models* give the signals; without them the intraday ensemble does.
    """
    require(jobs >= 1, "jobs", jobs, "must be 1 or more")
    made = variant_of(variant)
    if jobs == 1:
        for schedule in schedules:
            yield schedule, run_day(schedule, made, models)
        return
    run = partial(run_named, variant=variant, models=tuple(models))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=warm_world) as pool:
        rest = iter(schedules)
        with _interrupts_blocked():  # the first of these starts the processes
            waiting = deque((one, pool.submit(run, one)) for one in islice(rest, jobs * _AHEAD))
        try:
            while waiting:
                schedule, future = waiting.popleft()
                yield schedule, future.result()
                waiting.extend((one, pool.submit(run, one)) for one in islice(rest, 1))
        finally:
            for _, future in waiting:
                future.cancel()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C until the end; processes started within never receive it, and their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_named(schedule: Schedule, variant: str, models: Sequence[ModelSettings] = ()) -> DayOutcome:
    """Run one day of the variant called *variant*, in another process."""
    return run_day(schedule, variant_of(variant), models)


def smallest(
    schedule: Schedule, finding: Finding, variant: Variant, most_runs: int = 150,
    models: Sequence[ModelSettings] = (),
) -> Schedule:
    """The smallest schedule found that breaks the same invariant."""

    def fails(candidate: Schedule) -> bool:
        found = run_day(candidate, variant, models).finding
        return found is not None and found.invariant == finding.invariant

    return shrink(schedule, fails, most_runs=most_runs)
