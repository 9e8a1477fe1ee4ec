"""How many simulated trading days with faults run in a second, on two processes, with nothing broken."""

from __future__ import annotations

import time

from benchmarks.harness import Figure, bench, ema_cross_loop
from quantum_trader.lab.simulation.campaign import Totals, run_seeds

DAYS = 2000
JOBS = 2


@bench("simulation")
def simulated_days() -> list[Figure]:
    """Two thousand schedules of one trading day each; a broken invariant ends the benchmark with an error."""
    closes = [100.0 + (i * 7919 % 1000) / 500.0 for i in range(200_000)]
    started = time.perf_counter()
    ema_cross_loop(closes)
    reference = len(closes) / (time.perf_counter() - started)
    totals, started = Totals(), time.perf_counter()
    for outcome in run_seeds(range(DAYS), jobs=JOBS):
        totals.add(outcome)
        if outcome.finding is not None:
            raise SystemExit(f"seed {outcome.seed}: {outcome.finding.invariant}: {outcome.finding.detail}")
    took = time.perf_counter() - started
    name = "EMA cross loop in Python, bars/s"
    return [
        Figure(name="simulation.minutes", value=took / 60.0, unit=f"min for {totals.days} days", reference=reference,
               reference_name=name, bar="<= 10"),
        Figure(name="simulation.steps", value=totals.steps / took, unit="steps/s", reference=reference,
               reference_name=name),
        Figure(name="simulation.faults", value=float(totals.struck.total()), unit="faults", reference=reference,
               reference_name=name),
        Figure(name="simulation.trades", value=float(totals.trades), unit="trades", reference=reference,
               reference_name=name),
    ]
