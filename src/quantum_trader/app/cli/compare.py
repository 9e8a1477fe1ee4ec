"""``quantum-trader compare``: holding, the models observed, and the profiles enforced, on the same bars."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import (
    BarsOption,
    ConfigOption,
    DataOption,
    EquityOption,
    FromOption,
    GatesOption,
    JsonOption,
    ModelOption,
    SymbolsOption,
    ToOption,
    TrialsOption,
    gate_flags,
    model_flags,
    policy_flags,
    settings_from,
    shared_flags,
)
from quantum_trader.domain.errors import ConfigError

if TYPE_CHECKING:
    from quantum_trader.app.runs.comparison import Comparison
    from quantum_trader.app.settings import RunSettings

NEVER: Final = "none"

app = typer.Typer()


@app.command("compare")
def compare_command(
    model: ModelOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    equity: EquityOption = None,
    profiles: Annotated[
        str, typer.Option("--profiles", metavar="A,B", help="Profiles to enforce, separated by commas.")
    ] = "SAFE,STANDARD,AGGRESSIVE",
    resume: Annotated[
        str, typer.Option("--resume", metavar="none|HOURS", help="After how many hours an EMERGENCY of the safety "
                          "governor is resumed, for all rows that trade; none: never, as live without a person.")
    ] = NEVER,
    volatility: Annotated[
        float | None, typer.Option("--volatility", metavar="PERCENT", help="Volatility a year of buying and holding at "
                                   "equal volatility; that of the models observed when left out.")
    ] = None,
    gates: GatesOption = None,
    jobs: Annotated[int, typer.Option("--jobs", help="Threads; 0 for one per processor.")] = 0,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the comparison as an HTML page here.")
    ] = None,
    trials: TrialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare buying and holding, the models observed, and each profile enforced; say what can be told from luck.

    Each row of the models equals `quantum-trader run` with the same settings on the same bars, decision by decision,
    and is a trial in the ledger.
    """
    if html is not None and (html.is_dir() or not html.resolve().parent.is_dir()):
        raise ConfigError(f"--html {html}: must be a file in a folder that exists")
    names = [name.strip() for name in profiles.split(",") if name.strip()]
    flags = shared_flags(data, bars, symbols, first, last, None, equity, {}) | model_flags(model) | gate_flags(gates)
    observed, enforced = compared_settings(config, flags, names)
    hours = resume_hours(resume)
    if volatility is not None and not 0.1 <= volatility <= 500.0:
        raise ConfigError(f"--volatility {volatility:g}: must be 0.1 to 500 percent a year")
    if not 0 <= jobs <= 256:
        raise ConfigError(f"--jobs {jobs}: must be 0 to 256")
    compare_settings(
        observed, enforced, names, hours=hours, volatility=volatility, jobs=jobs, page=html, trials=trials,
        as_json=as_json,
    )


def resume_hours(text: str) -> float:
    """The hours that ``--resume`` asks for; 0.0 for none. ConfigError for anything else."""
    if text.strip().lower() == NEVER:
        return 0.0
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0.0 < hours <= 8_760.0:
        raise ConfigError(f"--resume {text!r}: must be {NEVER}, or hours above 0 and up to 8760, such as 24")
    return hours


def compared_settings(
    config: Path | None, flags: Mapping[str, tuple[Any, str]], names: Sequence[str]
) -> tuple[RunSettings, RunSettings]:
    """The settings under a policy that observes, and under one that enforces; the first of *names* is the profile."""
    profile = {"policy.profile": (names[0] if names else None, "--profiles")}
    observed, enforced = (
        settings_from(config, {**flags, **profile, **policy_flags(mode)}).settings for mode in ("observe", "enforce")
    )
    return observed, enforced


def compare_settings(
    observed: RunSettings, enforced: RunSettings, names: Sequence[str], *, hours: float = 0.0,
    volatility: float | None = None, jobs: int = 0, page: Path | None = None, trials: Path | None = None,
    as_json: bool = False,
) -> None:
    """Compare with progress on standard error, write the *page*, print; *jobs* threads, 0: one for each processor."""
    from rich.console import Console

    from quantum_trader.app.cli.run import write_result
    from quantum_trader.app.report.comparison import DRAWN, comparison_document, comparison_view
    from quantum_trader.app.report.comparison_page import comparison_page
    from quantum_trader.app.report.tables import PIPE_WIDTH
    from quantum_trader.app.runs.trial_ledgers import COMPARE, compared_trials, open_trials, record_quietly

    open_trials(trials).check_writable()
    started = time.perf_counter()
    jobs = jobs or os.cpu_count() or 1
    found = _compared(observed, enforced, names, hours, volatility, jobs, as_json)
    record_quietly(lambda: compared_trials(found, observed, enforced), trials, COMPARE, _warn)
    content = comparison_document(found, enforced.effective())
    timing = {"wall_s": round(time.perf_counter() - started, 3), "jobs": jobs}
    if page is not None:
        write_result(page, comparison_page(content | {"run": timing}).encode())
    if as_json:
        whole = {key: value for key, value in content.items() if key not in DRAWN} | {"run": timing}
        typer.echo(msgspec.json.format(msgspec.json.encode(whole)).decode())
        return
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(comparison_view(content))
    typer.echo(f"compared in {timing['wall_s']:.1f} s" + (f"; page in {page}" if page is not None else ""))


def _warn(line: str) -> None:
    typer.echo(line, err=True)


def _compared(
    observed: RunSettings, enforced: RunSettings, names: Sequence[str], hours: float, volatility: float | None,
    jobs: int, quiet: bool,
) -> Comparison:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from quantum_trader.app.cli.run import say_first_run
    from quantum_trader.app.runs.comparison import compare_rows

    console = Console(stderr=True)
    if not quiet:
        say_first_run(console)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True,
        disable=quiet,
    ) as progress:
        task = progress.add_task("comparing", total=None)

        def show(what: Any, done: int, total: int) -> None:
            progress.update(task, description=str(what), completed=done, total=total if done else None)

        return compare_rows(
            observed, enforced, profiles=names, resume_hours=hours, volatility_pct=volatility, jobs=jobs, progress=show,
        )
