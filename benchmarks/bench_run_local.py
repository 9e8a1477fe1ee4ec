"""How fast a recording goes over the local venue: the production adapter on a socket, beside the run in one process."""

from __future__ import annotations

from benchmarks.harness import Figure, bench
from quantum_trader.app.runs.local import run_over_local_venue
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunResult
from quantum_trader.app.settings import RunSettings, load_settings

SPAN = {"data.start": ("2018-08-01", "bench"), "data.end": ("2018-09-01", "bench")}  # a month with much trading


def steps_per_s(result: RunResult) -> float:
    """Moments of the recording a second, from the first request to the last answer."""
    return result.facts.data.moments / result.wall_s


def settings() -> RunSettings:
    """The bundled recording's month, everything else as delivered."""
    return load_settings(None, SPAN).settings


@bench("run_local")
def run_local() -> list[Figure]:
    """Moments of five symbols a second; the second run of each, with kernels compiled and modules loaded."""
    run_over_local_venue(settings())
    run(settings())
    over, within = run_over_local_venue(settings()), run(settings())
    return [
        Figure(
            name="recording over the local venue", value=steps_per_s(over), unit="moments/s",
            reference=steps_per_s(within), reference_name="run --venue paper", bar=">= 333, 3 ms a moment",
        ),
        Figure(
            name="trades over the local venue", value=len(over.facts.trades), unit="trades",
            reference=len(within.facts.trades), reference_name="run --venue paper",
        ),
    ]
