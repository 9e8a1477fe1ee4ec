"""``quantum-trader pilot evaluate`` and ``pilot walk-forward``: pilots on bars that they never saw."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from quantum_trader.app.cli.options import (
    INTERRUPTED,
    BarsOption,
    ConfigOption,
    DataOption,
    JsonOption,
    SymbolsOption,
    TrialsOption,
)
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.symbols import check_symbols, listed_symbols

if TYPE_CHECKING:
    from quantum_trader.app.runs.pilot_walk_forward import WalkForwardPlan
    from quantum_trader.lab.pilot.evaluation import EvaluationSettings, Tell
    from quantum_trader.lab.pilot.evaluation_result import PilotEvaluation

HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the evaluation as an HTML page here.")
]
DrawsOption = Annotated[
    int, typer.Option("--random", metavar="N", help="Random agents of the same turnover that it is compared with.")
]
ShufflesOption = Annotated[
    int, typer.Option("--shuffles", metavar="N", help="Shuffles of each group of features; 0: none.")
]
TriedOption = Annotated[
    int, typer.Option("--tried", metavar="N", help="Other seeds and settings that were tried before; they deflate the "
                      "Sharpe ratio.")
]
JobsOption = Annotated[int, typer.Option("--jobs", help="Threads; 0 for one per processor.")]
StartOption = Annotated[
    str | None, typer.Option("--start", "--from", metavar="DATE", help="First day or time (UTC) that is tested; the "
                             "first one after training and embargo when left out.")
]
EndOption = Annotated[
    str | None, typer.Option("--end", "--to", metavar="DATE", help="Last day (included whole) or time (UTC).")
]


def evaluate_command(  # the options of one command
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of trained pilots, all seeds of one training.",
                                   show_default=False)
    ],
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    start: StartOption = None,
    end: EndOption = None,
    in_sample: Annotated[
        bool, typer.Option("--in-sample", help="Allow bars that were trained on; the report says so on top.")
    ] = False,
    random: DrawsOption = 100,
    shuffles: ShufflesOption = 5,
    tried: TriedOption = 0,
    update_cards: Annotated[
        bool, typer.Option("--update-cards", help="Write the figures into the pilots' cards, which changes their "
                           "identity; needed for promotion.")
    ] = False,
    jobs: JobsOption = 1,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure trained pilots on bars that they were not trained on, and say what can be told from luck.

    Compares all seeds with holding, the built-in models, the intraday ensemble and random agents of the same turnover:
    the same bars, costs and virtual positions for all. Bars must lie after the training and its embargo.
    """
    from quantum_trader.app.runs.pilot_evaluation import StoredBars, check_whole, evaluate_folders, write_cards

    _check_page(html)
    if in_sample and update_cards:
        raise ConfigError("--update-cards: figures of bars that were trained on do not belong in a card")
    if update_cards:
        check_whole(folders)
    settings = _settings(random, shuffles, tried, jobs)
    store = StoredBars(data, bars, _names(symbols))
    started = time.perf_counter()
    with _progress(as_json) as tell:
        made = evaluate_folders(folders, store, start, end, settings, in_sample=in_sample, tell=tell)
    _show(made.found, html, as_json, time.perf_counter() - started)
    if update_cards:  # last: a folder that cannot be written costs nobody what was computed
        with _progress(as_json) as tell:
            write_cards(folders, made.artefacts, made.fold, made.found, tell)


def walk_forward_command(  # the options of one command
    train: Annotated[
        str, typer.Option("--train", metavar="FIRST:LAST", help="Days of the first training, such as "
                          "2023-01-01:2023-12-31.")
    ],
    test: Annotated[
        str, typer.Option("--test", metavar="FIRST:LAST", help="Days that are tested, in equal parts, one a fold.")
    ],
    config: ConfigOption = None,
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    interval: Annotated[
        str, typer.Option("--interval", metavar="INTERVAL", help="Bars that are observed and decided on: 1m to 4h.")
    ] = "30m",
    folds: Annotated[int, typer.Option("--folds", metavar="N", help="Parts of the test, each trained for anew.")] = 1,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps (decisions) of each seed.")] = 1_000_000,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Seeds of each fold.")] = 32,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the trainings; the same command goes on in it.")
    ] = Path("build/pilot-walk-forward"),
    random: DrawsOption = 100,
    shuffles: ShufflesOption = 5,
    tried: TriedOption = 0,
    jobs: JobsOption = 1,
    html: HtmlOption = None,
    trials: TrialsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on one range, leave an embargo, test on the next one; once per fold, all seeds in each.

    Needs the extra `train`. A training that was interrupted goes on when the same command is given again. Each seed's
    pilots are in DIR/fold-N/seed-N; the cards of the last fold get the figures. Every seed of every fold is recorded in
    the trial ledger.
    """
    from quantum_trader.pilot.training.required_packages import require_training_packages

    _check_page(html)
    if not 1 <= seeds <= 1024:
        raise ConfigError(f"--seeds {seeds}: must be 1 to 1024")
    settings = _settings(random, shuffles, tried, jobs)
    require_training_packages()
    from quantum_trader.app.runs.pilot_evaluation import StoredBars
    from quantum_trader.app.runs.pilot_walk_forward import WalkForwardPlan, range_of
    from quantum_trader.app.runs.training_settings import training_settings

    plan = WalkForwardPlan(
        StoredBars(data, bars, _names(symbols)), training_settings(config, interval), range_of("--train", train),
        range_of("--test", test), folds, steps, tuple(range(seeds)),
    )
    _ = plan.ranges  # refuses ranges that cannot be before anything is trained
    started = time.perf_counter()
    found = _walk_forward(plan, out, settings, trials, as_json)
    _show(found, html, as_json, time.perf_counter() - started)


def _walk_forward(
    plan: WalkForwardPlan, out: Path, settings: EvaluationSettings, trials: Path | None, quiet: bool
) -> PilotEvaluation:
    """Train and test with progress on standard error."""
    from rich.console import Console

    from quantum_trader.app.runs.pilot_training import TrainingOptions
    from quantum_trader.app.runs.pilot_walk_forward import trained_folds, walk_forward_result
    from quantum_trader.app.runs.state_dir import StateDir
    from quantum_trader.app.runs.training_screen import screen_for
    from quantum_trader.app.runs.trial_ledgers import open_trials
    from quantum_trader.lab.pilot.training_run import TrainingTimes

    with closing(StateDir(out, option="--out")):
        with screen_for(Console(stderr=True)) as screen:
            options = TrainingOptions(
                out / "journal", TrainingTimes(time.monotonic), lambda: False, ledger=open_trials(trials)
            )
            trained = trained_folds(plan, out, screen, options)
        if trained is None:
            raise typer.Exit(INTERRUPTED)
        with _progress(quiet) as tell:
            return walk_forward_result(plan, trained, out, settings, tell)


def _check_page(html: Path | None) -> None:
    if html is not None and (html.is_dir() or not html.resolve().parent.is_dir()):
        raise ConfigError(f"--html {html}: must be a file in a folder that exists")


def _names(symbols: str | None) -> tuple[str, ...] | None:
    if symbols is None:
        return None
    names = tuple(listed_symbols(symbols))
    check_symbols("--symbols", names)
    return names or None


def _settings(draws: int, shuffles: int, tried: int, jobs: int) -> EvaluationSettings:
    from quantum_trader.lab.pilot.evaluation import EvaluationSettings

    return EvaluationSettings(
        draws=draws, shuffles=shuffles, tried_before=tried, jobs=jobs or os.cpu_count() or 1
    )


@contextmanager
def _progress(quiet: bool) -> Iterator[Tell]:
    """What is being done, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("reading", total=None)

        def tell(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total if total > 1 else None)

        yield tell


def _show(found: PilotEvaluation, html: Path | None, as_json: bool, seconds: float) -> None:
    """Write the page and print the evaluation."""
    from rich.console import Console

    from quantum_trader.app.cli.run import write_result
    from quantum_trader.app.report.pilot_evaluation import evaluation_document, evaluation_view
    from quantum_trader.app.report.pilot_page import pilot_page
    from quantum_trader.app.report.tables import PIPE_WIDTH

    content: dict[str, Any] = evaluation_document(found)
    if html is not None:
        write_result(html, pilot_page(content).encode())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(content)).decode())
        return
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(evaluation_view(content))
    typer.echo(f"evaluated in {seconds:.1f} s" + (f"; page in {html}" if html is not None else ""))
