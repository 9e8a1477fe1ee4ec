"""How many simulated trading days with faults run in a second, on two processes, with nothing broken.

The reference is a plain schedule on as many processes: a heap of times, a dict of orders, books checked after each
step.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from benchmarks.harness import Figure, bench, seconds
from benchmarks.references import scheduled_steps
from quantum_trader.lab.simulation.campaign import Totals, run_seeds

DAYS = 2000
JOBS = 2
TURNS = 2  # each turn starts the processes anew
PLAIN_STEPS = 2_000_000


def run_days(totals: Totals, seeds: range) -> None:
    """Add the days of *seeds* to *totals*; a broken invariant ends the benchmark with an error."""
    for outcome in run_seeds(seeds, jobs=JOBS):
        totals.add(outcome)
        if outcome.finding is not None:
            raise AssertionError(f"seed {outcome.seed}: {outcome.finding.invariant}: {outcome.finding.detail}")


@bench("simulation")
def simulated_days() -> Iterator[Figure]:
    """Two thousand schedules of one trading day each, with faults.

    The reference is a plain heap of events on two processes, before, between and after.
    """
    totals, took, plain = Totals(), 0.0, []
    with ProcessPoolExecutor(JOBS, mp_context=multiprocessing.get_context("spawn")) as pool:

        def plain_rate() -> float:
            share = [PLAIN_STEPS // JOBS] * JOBS
            return PLAIN_STEPS / seconds(lambda: list(pool.map(scheduled_steps, share, range(JOBS))))

        list(pool.map(scheduled_steps, [1000] * JOBS * 4))  # the processes start here
        for turn in range(TURNS):
            plain.append(plain_rate())
            begin, end = DAYS * turn // TURNS, DAYS * (turn + 1) // TURNS
            started = time.perf_counter()
            run_days(totals, range(begin, end))
            took += time.perf_counter() - started
        plain.append(plain_rate())
    reference = sum(plain) / len(plain)
    yield Figure(
        name="simulation.steps", value=totals.steps / took, unit="steps/s", reference=reference,
        reference_name="plain heap of events on two processes, steps/s", at_least=0.0,
    )
    yield Figure(
        name="simulation.minutes", value=took / 60.0, unit=f"min for {totals.days} days",
        reference=totals.steps / reference / 60.0, reference_name="as many steps of the plain heap, min",
    )
    for name, count in (("faults", totals.struck.total()), ("trades", totals.trades)):
        yield Figure(
            name=f"simulation.{name}", value=float(count), unit=name, reference=float(totals.days),
            reference_name="days",
        )
