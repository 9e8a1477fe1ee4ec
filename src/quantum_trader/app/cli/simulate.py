"""``quantum-trader simulate``: trading days with faults, on virtual time, checked against the invariants."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from quantum_trader.app.cli.options import (
    INTERRUPTED,
    JsonOption,
    model_flags,
    settings_from,
    warn_unchecked,
)
from quantum_trader.domain.errors import InputError

if TYPE_CHECKING:
    from quantum_trader.lab.simulation.campaign import Totals
    from quantum_trader.lab.simulation.schedule import Schedule
    from quantum_trader.lab.simulation.world import DayOutcome
    from quantum_trader.models.loading import ModelSettings

BROKEN: Final = 1  # exit code
_SHOW_EVERY_S: Final = 5.0

DayModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME|FILE.py:Class", help="Model that gives the signals, instead of the six "
                 "intraday models, which trade often enough to be disturbed; repeat it to combine several. A file is "
                 "run as Python code."),
]

app = typer.Typer(help="Simulate trading days with faults.")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a simulation."""

    seeds: tuple[int, int] | None  # first and last seed that ran; None for one schedule
    variant: str
    models: tuple[str, ...]
    seconds: float
    totals: dict[str, Any]
    broken: dict[str, Any] | None


@app.command()
def simulate(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many days.")] = 100,
    first_seed: Annotated[int, typer.Option("--first-seed", min=0, help="Seed of the first day.")] = 0,
    variant: Annotated[
        str, typer.Option("--variant", metavar="NAME", help="A deliberately broken trader; `list` shows them.")
    ] = "",
    schedule: Annotated[
        Path | None, typer.Option("--schedule", metavar="FILE", help="Run this one schedule of faults (JSON).")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Instead of seeds: every pair of faults, at every bar of half a day.")
    ] = False,
    intents: Annotated[
        bool, typer.Option("--intents", help="Also send intents from outside, with stops of their own, on every day.")
    ] = False,
    clients: Annotated[
        bool, typer.Option("--clients", help="Also let other clients trade, cancel and change settings on every day.")
    ] = False,
    pilot: Annotated[
        str | None, typer.Option("--pilot", metavar="SHADOW|PRIMARY|HYBRID", help="Also run a pilot that acts at "
                                 "random and now and then fails, in this mode.")
    ] = None,
    model: DayModelOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes.")] = 2,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the smallest failing schedule here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run trading days with seeded faults until an invariant fails; exit code 1 if one does.

    Each day runs engine, live driver, network, exchange and disk in one process on virtual time, and checks every
    invariant after every step. A failing schedule is reduced to the smallest one and printed; --schedule repeats it.

    With --model the trader begins each day without a memory, fetches the bars of before the day to warm up, and trades
    at any confidence.
    """
    from quantum_trader.lab.simulation.variants import VARIANTS

    console = Console(highlight=False, soft_wrap=True)
    if variant == "list":
        for one in VARIANTS.values():
            console.print(f"{one.name:22} {one.wrong}")
        return
    totals, models, variant = _no_days(), _models(model), _with_pilot(variant, pilot)
    try:
        if schedule is not None:
            report = _one(schedule, variant, totals, models)
        else:
            report = _many(_schedules(first_seed, seeds, pairs, intents, clients), variant, jobs, totals, models)
    except KeyboardInterrupt:
        typer.echo(f"stopped after {totals.days:,} days", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if out is not None and report.broken is not None:
        out.write_text(msgspec.json.format(msgspec.json.encode(report.broken["schedule"]), indent=1).decode() + "\n")
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _show(console, report, out or schedule)
    if report.broken is not None:
        raise typer.Exit(BROKEN)


def _with_pilot(variant: str, mode: str | None) -> str:
    """The name of the variant that ``--pilot`` asks for; *variant* without it."""
    from quantum_trader.lab.simulation.variants import PILOTED

    if mode is None:
        return variant
    name = f"pilot-{mode.strip().lower()}"
    if name not in PILOTED:
        known = ", ".join(one.removeprefix("pilot-").upper() for one in PILOTED)
        raise InputError(f"--pilot {mode!r}: must be one of {known}")
    if variant:
        raise InputError(f"--pilot {mode} contradicts --variant {variant}: give one of them")
    return name


def _no_days() -> Totals:
    from quantum_trader.lab.simulation.campaign import Totals

    return Totals()


def _models(named: list[str] | None) -> Sequence[ModelSettings]:
    """The models that ``--model`` names, known to load; empty without it."""
    if not named:
        return ()
    from quantum_trader.lab.simulation.campaign import check_models

    models = settings_from(None, model_flags(named)).settings.models
    check_models(models)
    warn_unchecked(models)
    return models


def _one(path: Path, variant: str, totals: Totals, models: Sequence[ModelSettings]) -> Report:
    """Run the schedule of one file, counted in *totals*."""
    from quantum_trader.lab.simulation.campaign import variant_of
    from quantum_trader.lab.simulation.schedule import load
    from quantum_trader.lab.simulation.world import run_day

    started, schedule = time.monotonic(), load(path)
    outcome = run_day(schedule, variant_of(variant), models)
    totals.add(outcome)
    return Report(
        seeds=None, variant=variant, models=_names(models), seconds=time.monotonic() - started, totals=_plain(totals),
        broken=_broken(outcome, schedule),
    )


def _schedules(first: int, count: int, pairs: bool, intents: bool, clients: bool) -> Sequence[Schedule]:
    """The schedules of all pairs, or of *count* seeds; with *intents* from outside, with other *clients*."""
    from quantum_trader.lab.simulation import schedule
    from quantum_trader.lab.simulation.campaign import schedule_of
    from quantum_trader.lab.simulation.warm import SYMBOLS

    if pairs:
        both = schedule.pairs(first, SYMBOLS)
        both = [schedule.with_other_clients(one, SYMBOLS) for one in both] if clients else both
        return [schedule.with_outside_intents(one, SYMBOLS) for one in both] if intents else both
    return [schedule_of(seed, intents=intents, clients=clients) for seed in range(first, first + count)]


def _names(models: Sequence[ModelSettings]) -> tuple[str, ...]:
    return tuple(one.model for one in models)


def _many(
    schedules: Sequence[Schedule], variant: str, jobs: int, totals: Totals, models: Sequence[ModelSettings]
) -> Report:
    """Run *schedules* in order up to the first that fails, and reduce that one."""
    from quantum_trader.lab.simulation.campaign import run_schedules, smallest, variant_of

    started, broken, last = time.monotonic(), None, schedules[0].seed
    shown = started
    with closing(run_schedules(schedules, variant, min(jobs, len(schedules)), models)) as days:
        for schedule, outcome in days:
            totals.add(outcome)
            last = outcome.seed
            if (finding := outcome.finding) is not None:
                typer.echo(f"seed {outcome.seed}: {finding.invariant}; looking for the smallest schedule", err=True)
                broken = _broken(outcome, smallest(schedule, finding, variant_of(variant), models=models))
                break
            if time.monotonic() - shown >= _SHOW_EVERY_S:
                shown = time.monotonic()
                typer.echo(
                    f"{totals.days} of {len(schedules)} days, {totals.steps:,} steps, {totals.struck.total():,} "
                    f"faults, {totals.trades:,} trades, {totals.days / (shown - started):.1f} days/s", err=True,
                )
    return Report(
        seeds=(schedules[0].seed, last), variant=variant, models=_names(models), seconds=time.monotonic() - started,
        totals=_plain(totals), broken=broken,
    )


def _plain(totals: Totals) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(totals)
    return plain


def _broken(outcome: DayOutcome, schedule: Schedule) -> dict[str, Any] | None:
    """The failure of *outcome* with its schedule; None when there is none."""
    if outcome.finding is None:
        return None
    return {
        "seed": outcome.seed, **msgspec.to_builtins(outcome.finding), "schedule": msgspec.to_builtins(schedule),
    }


def _show(console: Console, report: Report, file: Path | None) -> None:
    totals = report.totals
    what = "one schedule" if report.seeds is None else f"seeds {report.seeds[0]} to {report.seeds[1]}"
    console.print(
        f"{what}{f', variant {report.variant}' if report.variant else ''}"
        f"{', models ' * bool(report.models)}{', '.join(report.models)}: {totals['days']:,} days, "
        f"{totals['steps']:,} steps in {report.seconds:.1f} s; {totals['openings']:,} positions opened, "
        f"{totals['trades']:,} closed, {totals['fills']:,} fills, {totals['lives'] - totals['days']:,} restarts, "
        f"{totals['looks']:,} checks of the account"
    )
    table = Table("fault", "times", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for kind, times in sorted(totals["struck"].items(), key=lambda item: -item[1]):
        table.add_row(kind, f"{times:,}")
    if totals["struck"]:
        console.print(table)
    broken = report.broken
    if broken is None:
        console.print("No invariant failed.")
        return
    console.print(f"FAILED, seed {broken['seed']}: {broken['invariant']} at {broken['at_s']:.3f} s")
    console.print(broken["detail"], markup=False)
    console.print("The smallest schedule found:")
    console.print(
        msgspec.json.format(msgspec.json.encode(broken["schedule"]), indent=1).decode(), markup=False, soft_wrap=True
    )
    named = "".join(f" --model {one}" for one in report.models)
    piloted = report.variant.removeprefix("pilot-")
    if piloted != report.variant:
        named += f" --pilot {piloted.upper()}"
    elif report.variant:
        named += f" --variant {report.variant}"
    console.print(f"To repeat: quantum-trader simulate{named} --schedule {file or 'FILE'} (FILE: the lines above)")
