"""``quantum-trader pilot train``: train the pilot on a recording, once, or every day on what a journal holds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
import typer

from quantum_trader import __version__
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
from quantum_trader.app.cli.stop_request import StopRequest
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.symbols import check_symbols, listed_symbols

if TYPE_CHECKING:
    from quantum_trader.app.runs.pilot_training import TrainingOptions, TrainingScreen
    from quantum_trader.app.runs.registering import Registering
    from quantum_trader.lab.pilot.training_market import PilotTrainingSettings
    from quantum_trader.lab.pilot.training_result import TrainingDocument
    from quantum_trader.market.recording import Recording

DEFAULT_OUT: Final = Path("build/pilot")
COMPILED: Final = "compiled"  # folder of compiled programs
DEFAULT_STEPS: Final = 1_000_000
DEFAULT_SEEDS: Final = 32
MOST_SEEDS: Final = 1024
MIDNIGHT: Final = "00:00"
IN_PROGRESS: Final = "an update"  # what a stop waits for
FAILED: Final = 1  # exit code of --once: the training failed
_SHOWN: Final = 16  # characters of a hash on the screen

SeedsAtOnceOption = Annotated[
    int, typer.Option("--seeds-at-once", metavar="N", help="Seeds in one group; 0: as many as fit into memory.")
]
ObservedOption = Annotated[
    str, typer.Option("--interval", metavar="INTERVAL", help="Bars that are observed and decided on: 1m to 4h.")
]


class _Wanted(NamedTuple):
    """What the options ask for."""

    settings: PilotTrainingSettings
    symbols: tuple[str, ...] | None
    steps: int
    seeds: tuple[int, ...]
    seeds_at_once: int
    checkpoint_s: float
    trials: Path | None
    into: Registering | None  # the registry that the seed to use goes to; None: to none


def train_command(  # the options of one command
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML) with the tables ppo, "
                                  "environment, reward and curriculum.")
    ] = None,
    data: DataOption = None, bars: BarsOption = None, symbols: SymbolsOption = None, first: FromOption = None,
    last: ToOption = None, interval: ObservedOption = "30m",
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps (decisions) of each seed.")] = DEFAULT_STEPS,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Seeds that are trained.")] = DEFAULT_SEEDS,
    first_seed: Annotated[int, typer.Option("--first-seed", metavar="N", help="The lowest seed number.")] = 0,
    seeds_at_once: SeedsAtOnceOption = 0,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the training; the same command goes on in it.")
    ] = DEFAULT_OUT,
    checkpoint_every: Annotated[
        float, typer.Option("--checkpoint-every", metavar="SECONDS", help="Time between two checkpoints.")
    ] = 30.0,
    daily: Annotated[
        bool, typer.Option("--daily", help="Train every day on the bars in the journal of --state.")
    ] = False,
    at: Annotated[
        str | None, typer.Option("--at", metavar="HH:MM", help="With --daily: the time (UTC); 00:00 when left out.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Train once, now, on the bars in the journal of --state.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="With --daily or --once: the state folder whose "
                                  "journal has the bars; pilots go to its folder pilots.")
    ] = None,
    register: RegisterOption = False, registry: RegisterInOption = None, alias: AliasOption = None,
    trials: TrialsOption = None, as_json: JsonOption = False,
) -> None:
    """Train the pilot with PPO, many seeds at once, and write each seed's pilot to a folder.

    Needs the extra `train`; computes on a GPU where JAX has one. Ctrl-C (exit code 130) writes a checkpoint; the same
    command goes on from it, also after a kill, with the same weights. The trial ledger has every seed. --register puts
    the seed to use into the registry, with --daily after each training.
    """
    from quantum_trader.app.runs.registering import registering_of
    from quantum_trader.pilot.training.required_packages import require_training_packages

    into = registering_of(register, registry, alias)
    _check_numbers(steps, seeds, first_seed, seeds_at_once, checkpoint_every)
    check_road(daily, once, state, at, {"--data": data, "--bars": bars, "--from": first, "--to": last})
    names = None if symbols is None else tuple(listed_symbols(symbols))
    if names is not None:
        check_symbols("--symbols", names)
    require_training_packages()
    from quantum_trader.app.runs.training_settings import training_settings

    wanted = _Wanted(
        training_settings(config, interval), names or None, steps, tuple(range(first_seed, first_seed + seeds)),
        seeds_at_once, checkpoint_every, trials, into,
    )
    if state is not None:
        _train_of_journal(wanted, state, None if once else at or MIDNIGHT, as_json)
    else:
        _train_once(wanted, {"path": data, "interval": bars, "start": first, "end": last}, out, as_json)


def _check_numbers(steps: int, seeds: int, first_seed: int, seeds_at_once: int, checkpoint_every: float) -> None:
    """Raise ConfigError for a number that cannot be."""
    for option, value, low, high in (
        ("--steps", steps, 1, 10**12), ("--seeds", seeds, 1, MOST_SEEDS), ("--first-seed", first_seed, 0, 2**32 - 1),
        ("--seeds-at-once", seeds_at_once, 0, MOST_SEEDS), ("--checkpoint-every", checkpoint_every, 0.0, 86_400.0),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{option} {value}: must be {low:,} to {high:,}")


def check_road(daily: bool, once: bool, state: Path | None, at: str | None, of_data: dict[str, Any]) -> None:
    """Raise ConfigError where the options of the two kinds of training are mixed."""
    from quantum_trader.app.runs.pilot_schedule import minutes_of

    road = "--daily" if daily else "--once"
    if (daily or once) and state is None:
        raise ConfigError(f"{road}: needs --state DIR, the state folder whose journal has the bars")
    if state is not None and not (daily or once):
        raise ConfigError(f"--state {state}: is for --daily and --once; the folder of a training is --out")
    if at is not None:
        minutes_of(at)
        if once or not daily:
            raise ConfigError(f"--at {at}: is the time of --daily{', and --once trains now' if once else ''}")
    given = [name for name, value in of_data.items() if value is not None]
    if state is not None and given:
        raise ConfigError(f"{given[0]}: with {road} the bars are those in the journal of --state; leave it out")


def _train_once(wanted: _Wanted, bars: dict[str, Any], out: Path, as_json: bool) -> None:
    """Train on a recording, and print what it gave."""
    from rich.console import Console

    from quantum_trader.app.runs.state_dir import StateDir
    from quantum_trader.app.runs.training_screen import screen_for
    from quantum_trader.market.recording import open_recording

    recording = open_recording(**bars, symbols=wanted.symbols, warm_up=True)
    with screen_for(Console(stderr=True)) as screen, closing(StateDir(out, option="--out")), \
            StopRequest(screen.tell, IN_PROGRESS) as stop:
        document = _train(wanted, recording, out, out / COMPILED, screen, _options(wanted, out, stop))
    if document is None:
        typer.echo(f"stopped; the same command goes on from the checkpoint in {out}", err=True)
        raise typer.Exit(INTERRUPTED)
    shutil.rmtree(out / COMPILED, ignore_errors=True)  # nothing goes on from here
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
        return
    for line in result_lines(document, out):
        typer.echo(line)


def _options(wanted: _Wanted, state: Path, stop: Callable[[], bool]) -> TrainingOptions:
    """*state*: the folder whose journal looks and results go to."""
    from quantum_trader.app.runs.pilot_training import TrainingOptions
    from quantum_trader.app.runs.trial_ledgers import open_trials
    from quantum_trader.lab.pilot.training_run import TrainingTimes

    times = TrainingTimes(time.monotonic, checkpoint_s=wanted.checkpoint_s)
    return TrainingOptions(
        state / "journal", times, stop, wanted.seeds_at_once, ledger=open_trials(wanted.trials)
    )


def _train(
    wanted: _Wanted, recording: Recording, folder: Path, compiled: Path, screen: TrainingScreen,
    options: TrainingOptions,
) -> TrainingDocument | None:
    """Train in *folder*; compiled programs are kept in *compiled*."""
    from quantum_trader.app.runs.pilot_training import train_pilot
    from quantum_trader.lab.pilot.training_market import training_market
    from quantum_trader.lab.pilot.training_plan import TrainingPlan
    from quantum_trader.pilot.training.device import compiled_programs_in, training_versions

    settings = wanted.settings
    plan = TrainingPlan(ppo=settings.ppo, steps=wanted.steps, seeds=wanted.seeds, curriculum=settings.curriculum)
    screen.tell(f"{recording.source}: {', '.join(recording.symbols)}; observing the bars takes a moment")
    versions = " ".join(f"{name} {number}" for name, number in training_versions().items())
    market = training_market(recording, settings, f"quantum-trader {__version__} {versions}")
    plan = msgspec.structs.replace(plan, facts=market.facts)
    with compiled_programs_in(compiled):
        document = train_pilot(folder, plan, market, screen, options)
    if document is not None and wanted.into is not None:
        _register(wanted.into, document, folder, screen.tell)
    return document


def _register(into: Registering, document: TrainingDocument, folder: Path, tell: Callable[[str], None]) -> None:
    """Put the seed to use into the registry."""
    from quantum_trader.app.runs.registering import register_trained
    from quantum_trader.lab.pilot.training_result import seed_folder
    from quantum_trader.lab.registry.kinds import PILOT

    seed = document.seed_to_use
    notes = f"{document.session}, seed {seed} of {len(document.seeds)}: {document.seed_rule}"
    register_trained(into, seed_folder(folder, seed), PILOT, notes, tell)


def _train_of_journal(wanted: _Wanted, state: Path, at: str | None, as_json: bool) -> None:
    """Train on what the journal of *state* holds: now where *at* is None, else every day at that time."""
    from quantum_trader.app.runs.journal_bars import journal_recording
    from quantum_trader.app.runs.pilot_daily import PILOTS, DailyClock, DailyTraining
    from quantum_trader.app.runs.pilot_schedule import minutes_of
    from quantum_trader.app.runs.state_dir import StateDir
    from quantum_trader.app.runs.training_screen import TrainingLines
    from quantum_trader.lab.pilot.training_result import load_document

    if not (state / "journal").is_dir():
        raise ConfigError(f"--state {state}: has no journal; give the folder of `quantum-trader live --state`")
    screen = TrainingLines(_log)

    def train(folder: Path, until_ns: int) -> TrainingDocument | None:
        recording = journal_recording(state, until_ns, wanted.symbols, lambda line: _log(f"notice: {line}"))
        return _train(wanted, recording, folder, state / PILOTS / COMPILED, screen, _options(wanted, state, stop))

    with StopRequest(_log, IN_PROGRESS) as stop, closing(StateDir(state / PILOTS)):
        daily = DailyTraining(state, train, _log, DailyClock(time.time_ns, stop.wait))
        if at is not None:
            daily.serve(minutes_of(at))
            raise typer.Exit(INTERRUPTED)
        last = daily.once()
    if last.outcome == "stopped":
        raise typer.Exit(INTERRUPTED)
    if last.outcome == "failed":
        raise typer.Exit(FAILED)
    document = load_document(daily.folder / last.folder)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    elif document is not None:
        for line in result_lines(document, daily.folder / last.folder, state):
            typer.echo(line)


def _log(line: str) -> None:
    typer.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}", err=True)


def result_lines(document: TrainingDocument, folder: Path, state: Path | None = None) -> list[str]:
    """What a training gave, for a person."""
    lines = [f"seed {one.seed:<4} weights {one.weights_hash[:_SHOWN]}  {_metrics(one.metrics)}"
             for one in document.seeds]
    return [
        *lines,
        f"trained on {document.device} in {document.elapsed_s:,.0f} s: {document.steps:,} steps of "
        f"{len(document.seeds)} seeds on {document.data.source} ({', '.join(document.data.symbols)})",
        "The figures are of training, on bars that were trained on: they say nothing about other bars.",
        "The same command on this machine gives the same weights; on another machine or device hashes may differ.",
        f"use: {folder / f'seed-{document.seed_to_use}'}  ({document.seed_rule})",
        f"written: {folder}; looks: quantum-trader journal tail --kind pilot.training --state {state or folder}",
    ]


def _metrics(metrics: dict[str, float | None]) -> str:
    names = {"mean_reward": "reward a step", "episode_reward": "an episode", "entropy": "entropy"}
    return "  ".join(
        f"{text} {metrics[name]:+.4g}" for name, text in names.items() if metrics.get(name) is not None
    )
