"""Many days: seeds run over several processes, their totals, and the smallest schedule of the first that breaks."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice

import msgspec

from quantum_trader.domain.errors import InputError, require
from quantum_trader.lab.simulation.schedule import Schedule, generate
from quantum_trader.lab.simulation.shrink import shrink
from quantum_trader.lab.simulation.variants import PRODUCTION, VARIANTS, Variant
from quantum_trader.lab.simulation.warm import SYMBOLS, warm_world
from quantum_trader.lab.simulation.world import Finding, Outcome, run_day

_AHEAD = 8  # days handed to each process before its results are taken


class Totals(msgspec.Struct, kw_only=True):
    """What a number of days amounted to."""

    days: int = 0
    steps: int = 0
    lives: int = 0
    openings: int = 0
    fills: int = 0
    trades: int = 0
    looks: int = 0
    struck: Counter[str] = msgspec.field(default_factory=Counter)
    requests: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
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
    if name not in VARIANTS:
        raise InputError(f"--variant {name!r}: there is {', '.join(VARIANTS)}")
    return VARIANTS[name]


def run_seed(seed: int, variant: str = "") -> Outcome:
    """Run the day of *seed*."""
    return run_day(generate(seed, SYMBOLS), variant_of(variant))


def run_seeds(seeds: Iterable[int], variant: str = "", jobs: int = 1) -> Iterator[Outcome]:
    """Run the days of *seeds* on *jobs* processes; their outcomes in order."""
    for _, outcome in run_schedules((generate(seed, SYMBOLS) for seed in seeds), variant, jobs):
        yield outcome


def run_schedules(
    schedules: Iterable[Schedule], variant: str = "", jobs: int = 1
) -> Generator[tuple[Schedule, Outcome]]:
    """Run *schedules* on *jobs* processes; each with its outcome, in order. Whoever stops reading stops them."""
    require(jobs >= 1, "jobs", jobs, "must be 1 or more")
    made = variant_of(variant)
    if jobs == 1:
        for schedule in schedules:
            yield schedule, run_day(schedule, made)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=warm_world) as pool:
        rest = iter(schedules)
        with _interrupts_for_later():  # the first of these starts the processes
            waiting = deque((one, pool.submit(run_named, one, variant)) for one in islice(rest, jobs * _AHEAD))
        try:
            while waiting:
                schedule, future = waiting.popleft()
                yield schedule, future.result()
                waiting.extend((one, pool.submit(run_named, one, variant)) for one in islice(rest, 1))
        finally:
            for _, future in waiting:
                future.cancel()


@contextmanager
def _interrupts_for_later() -> Iterator[None]:
    """Hold Ctrl-C back meanwhile; processes started meanwhile never get it: their parent ends them, in peace."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_named(schedule: Schedule, variant: str) -> Outcome:
    """Run one day of a variant by its name, as another process is asked to."""
    return run_day(schedule, variant_of(variant))


def smallest(schedule: Schedule, finding: Finding, variant: Variant, most_runs: int = 150) -> Schedule:
    """The smallest schedule found that breaks the same invariant."""

    def fails(candidate: Schedule) -> bool:
        found = run_day(candidate, variant).finding
        return found is not None and found.invariant == finding.invariant

    return shrink(schedule, fails, most_runs=most_runs)
