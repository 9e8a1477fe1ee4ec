"""``quantum-trader model train``: train models of signals on bars, or a meta-label on the results of signals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
import typer

from quantum_trader.app.cli.options import (
    INTERRUPTED,
    AliasOption,
    BarsOption,
    DataOption,
    FromOption,
    JsonOption,
    RegisterInOption,
    RegisterOption,
    SymbolsOption,
    ToOption,
    TrialsOption,
)
from quantum_trader.app.cli.pilot_train import MIDNIGHT, check_road
from quantum_trader.app.cli.stop_request import StopRequest
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.symbols import check_symbols, listed_symbols

if TYPE_CHECKING:
    from quantum_trader.app.runs.learning_screen import LearningLines, LearningTable
    from quantum_trader.app.runs.registering import Registering
    from quantum_trader.app.runs.signal_training import LearningTask
    from quantum_trader.lab.learning.learning_result import LearningDocument
    from quantum_trader.lab.learning.learning_settings import LearningSettings
    from quantum_trader.lab.learning.signal_samples import LabelSettings
    from quantum_trader.lab.trials.record import Trial

DEFAULT_OUT: Final = Path("build/learned")
FAILED: Final = 1  # exit code of --once: the training failed
MOST_THREADS: Final = 256
IN_PROGRESS: Final = "a step"

LearningConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML) with the tables labels, learning, "
                              "boosting and linear; flags win over it.")
]
ModelBarsOption = Annotated[
    str | None, typer.Option("--model-bars", metavar="INTERVAL", help="Bars that the model looks at; 1h when left out, "
                             "or the recording's own where they are longer.")
]
HorizonOption = Annotated[
    str | None, typer.Option("--horizon", metavar="TIME", help="Longest life of a position, such as 12h or 3d.")
]
WidthOption = Annotated[
    float | None, typer.Option("--width", metavar="N", help="Target and stop, in deviations over the horizon.")
]
EveryOption = Annotated[
    int | None, typer.Option("--every", metavar="N", help="Bars from one sample of a symbol to its next.")
]
LearnersOption = Annotated[
    str | None, typer.Option("--learners", metavar="A,B", help="boosting, linear, or both (the default).")
]
FoldsOption = Annotated[int | None, typer.Option("--folds", metavar="N", help="Tests of the walk-forward.")]
EmbargoOption = Annotated[
    str | None, typer.Option("--embargo", metavar="TIME", help="Time between training labels and a test.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of everything that is drawn.")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", metavar="N", help="Processors that train; they do not change the models.")
]
LearningFolderOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder of the training; the same command goes on in it.")
]
LearningPageOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")]
DailyOption = Annotated[bool, typer.Option("--daily", help="Train every day on what the journal of --state holds.")]
AtOption = Annotated[
    str | None, typer.Option("--at", metavar="HH:MM", help="With --daily: the time (UTC); 00:00 when left out.")
]
OnceOption = Annotated[bool, typer.Option("--once", help="Train once, now, on what the journal of --state holds.")]
MetaLabelOption = Annotated[
    bool, typer.Option("--meta-label", help="Train P(win after costs) of signals, on those in the journal of --state "
                       "and their shadow trades.")
]
JournalStateOption = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="With --daily, --once or --meta-label: the state folder "
                              "whose journal is learned from; models go to its folder models, or meta-labels.")
]


class _Wanted(NamedTuple):
    """What the options ask for."""

    labels: LabelSettings
    settings: LearningSettings
    model_bars: str
    meta_label: bool
    symbols: tuple[str, ...] | None
    threads: int
    into: Registering | None  # how models are registered; None: they are not
    trials: Path | None  # folder of the trial ledger; None: this user's
    as_json: bool


def train_command(  # the options of one command
    config: LearningConfigOption = None, data: DataOption = None, bars: BarsOption = None,
    symbols: SymbolsOption = None, first: FromOption = None, last: ToOption = None,
    model_bars: ModelBarsOption = None, horizon: HorizonOption = None, width: WidthOption = None,
    every: EveryOption = None, learners: LearnersOption = None, folds: FoldsOption = None,
    embargo: EmbargoOption = None, seed: SeedOption = None, threads: ThreadsOption = 1,
    out: LearningFolderOption = DEFAULT_OUT, html: LearningPageOption = None, register: RegisterOption = False,
    registry: RegisterInOption = None, alias: AliasOption = None, daily: DailyOption = False, at: AtOption = None,
    once: OnceOption = False, meta_label: MetaLabelOption = False, state: JournalStateOption = None,
    trials: TrialsOption = None, as_json: JsonOption = False,
) -> None:
    """Train models of signals on bars: boosted trees and a linear model, with a purged walk-forward.

    Each model goes to a folder that --model takes, and is recorded in the trial ledger. Needs the extra `learn`;
    trained models run without it. Ctrl-C ends after the step in progress; the same command goes on from there, also
    after a kill, and ends with the same models. Exit code 130 after Ctrl-C.
    """
    from quantum_trader.app.runs.learning_settings_file import learning_settings
    from quantum_trader.app.runs.registering import registering_of
    from quantum_trader.lab.learning.required_packages import require_learning_packages

    if not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"--threads {threads}: must be 1 to {MOST_THREADS}")
    into = registering_of(register, registry, alias)
    if meta_label:
        _check_meta_label(
            state, {"--model-bars": model_bars, "--horizon": horizon, "--width": width, "--every": every}
        )
        once = not daily
    check_road(daily, once, state, at, {"--data": data, "--bars": bars, "--from": first, "--to": last})
    require_learning_packages()
    labels, settings = learning_settings(config, {
        "labels.horizon": (horizon, "--horizon"), "labels.width": (width, "--width"),
        "labels.every": (every, "--every"),
        "learning.learners": (None if learners is None else tuple(listed_words(learners)), "--learners"),
        "learning.folds": (folds, "--folds"), "learning.embargo": (embargo, "--embargo"),
        "learning.seed": (seed, "--seed"),
    })
    if into is not None and into.alias and len(settings.learners) != 1:
        raise ConfigError(f"--alias {alias}: is of one model; name one learner with --learners")
    names = None if symbols is None else tuple(listed_symbols(symbols))
    if names is not None:
        check_symbols("--symbols", names)
    wanted = _Wanted(
        labels, settings, model_bars or "", meta_label, names or None, threads, into, trials, as_json,
    )
    if state is not None:
        _train_of_journal(wanted, state, None if once else at or MIDNIGHT)
    else:
        _train_once(wanted, {"path": data, "interval": bars, "start": first, "end": last}, out, html)


def listed_words(text: str) -> list[str]:
    """The words of *text* between commas."""
    return [word for part in text.split(",") if (word := part.strip().lower())]


def _check_meta_label(state: Path | None, of_bars: dict[str, Any]) -> None:
    """Raise ConfigError where the options of a training on bars come with --meta-label, or no journal is named."""
    if state is None:
        raise ConfigError("--meta-label: needs --state DIR, the state folder of a run whose signals are learned from")
    given = [name for name, value in of_bars.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]}: is about labels made of bars; with --meta-label shadow trades are the labels")


def _train_once(wanted: _Wanted, bars: dict[str, Any], out: Path, html: Path | None) -> None:
    """Train on a recording, and print what it gave."""
    from rich.console import Console

    from quantum_trader.app.runs.learning_screen import learning_screen
    from quantum_trader.app.runs.state_dir import StateDir
    from quantum_trader.market.recording import open_recording

    recording = open_recording(**bars, symbols=wanted.symbols)
    with learning_screen(Console(stderr=True)) as screen, closing(StateDir(out, option="--out")), \
            StopRequest(screen.tell, IN_PROGRESS) as stop:
        from quantum_trader.app.runs.signal_training import bars_words, signal_task

        screen.tell(f"{recording.source}: {bars_words(recording)}; making the samples takes a moment")
        task = signal_task(recording, wanted.labels, wanted.settings, wanted.model_bars)
        document = _train(wanted, task, out, out, screen, stop)
    if document is None:
        typer.echo(f"stopped; the same command goes on from the steps in {out}", err=True)
        raise typer.Exit(INTERRUPTED)
    _show(document, out, wanted.as_json, html)


def _train(
    wanted: _Wanted, task: LearningTask, folder: Path, state: Path, screen: LearningLines | LearningTable,
    stop: Callable[[], bool],
) -> LearningDocument | None:
    """Train *task* in *folder*, record it in the journal of *state*, register its models."""
    from quantum_trader.app.runs.registering import register_trained
    from quantum_trader.app.runs.registries import registry_folder
    from quantum_trader.app.runs.signal_training import record_training
    from quantum_trader.app.runs.trial_ledgers import open_trials
    from quantum_trader.lab.learning.learning_result import load_learning
    from quantum_trader.lab.learning.learning_run import train_models
    from quantum_trader.lab.learning.trainer import LearningOptions

    table = task.table
    screen.tell(f"{len(table.labels):,} samples of {len(table.symbols)} symbols, {table.labels.mean():.1%} of them "
                f"{'won' if wanted.meta_label else 'up'}")
    known, ledger = load_learning(folder) is not None, open_trials(wanted.trials)

    def record(tried: Sequence[Trial], run: str) -> None:
        if repaired := ledger.record(tried, run).repaired:
            screen.tell(f"notice: {repaired}")

    document = train_models(
        folder, table, task.plan, LearningOptions(screen.show, stop, wanted.threads), screen.tell, time.time_ns, record
    )
    if document is not None and not known:
        record_training(state, folder, document, registry_folder(None if wanted.into is None else wanted.into.folder))
    if document is not None and wanted.into is not None:
        for one in document.models:
            register_trained(wanted.into, folder / one.folder, document.kind, "", screen.tell)
    return document


def _train_of_journal(wanted: _Wanted, state: Path, at: str | None) -> None:
    """Train on what the journal of *state* holds: now where *at* is None, else every day at that time."""
    from quantum_trader.app.runs.learning_screen import LearningLines
    from quantum_trader.app.runs.pilot_daily import DailyClock, DailyTraining
    from quantum_trader.app.runs.pilot_schedule import minutes_of
    from quantum_trader.app.runs.signal_training import META_LABEL_PLACE, MODEL_PLACE
    from quantum_trader.app.runs.state_dir import StateDir
    from quantum_trader.lab.learning.learning_result import load_learning

    if not (state / "journal").is_dir():
        raise ConfigError(f"--state {state}: has no journal; give the folder of `quantum-trader live --state`")
    screen, place = LearningLines(_log), META_LABEL_PLACE if wanted.meta_label else MODEL_PLACE

    def train(folder: Path, until_ns: int) -> LearningDocument | None:
        return _train(wanted, _journal_task(wanted, state, until_ns), folder, state, screen, stop)

    with StopRequest(_log, IN_PROGRESS) as stop, closing(StateDir(state / place.folder)):
        daemon = DailyTraining(state, train, _log, DailyClock(time.time_ns, stop.wait), place)
        if at is not None:
            daemon.serve(minutes_of(at))
            raise typer.Exit(INTERRUPTED)
        last = daemon.once()
    if last.outcome == "stopped":
        raise typer.Exit(INTERRUPTED)
    if last.outcome == "failed":
        raise typer.Exit(FAILED)
    folder = daemon.folder / last.folder
    document = load_learning(folder)
    if document is not None:
        _show(document, folder, wanted.as_json, None)


def _journal_task(wanted: _Wanted, state: Path, until_ns: int) -> LearningTask:
    """The samples in the journal of *state*: of its bars, or of its signals."""
    from quantum_trader.app.runs.journal_bars import journal_recording
    from quantum_trader.app.runs.signal_training import meta_label_task, signal_task

    def notice(line: str) -> None:
        _log(f"notice: {line}")

    if wanted.meta_label:
        return meta_label_task(state, until_ns, wanted.symbols, wanted.settings, notice)
    recording = journal_recording(state, until_ns, wanted.symbols, notice)
    return signal_task(recording, wanted.labels, wanted.settings, wanted.model_bars)


def _log(line: str) -> None:
    typer.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}", err=True)


def _show(document: LearningDocument, folder: Path, as_json: bool, html: Path | None) -> None:
    """Print *document*, and write it as a page where *html* names a file."""
    from quantum_trader.app.report.learning import learning_lines
    from quantum_trader.app.report.learning_page import learning_page
    from quantum_trader.policy.storage import write_atomically

    if html is not None:
        try:
            write_atomically(html, learning_page(document).encode())
        except OSError as error:
            raise StateError(f"--html {html}: cannot be written ({error.strerror})") from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
        return
    for line in learning_lines(document, folder):
        typer.echo(line)
