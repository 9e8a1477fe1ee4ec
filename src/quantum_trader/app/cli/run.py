"""``quantum-trader run``: a recording through the whole system, on the screen, with a report at the end."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader import __version__
from quantum_trader.app.cli.options import (
    INTERRUPTED,
    BarsOption,
    ConfigOption,
    DataOption,
    EquityOption,
    FromOption,
    GatesOption,
    IntentsOption,
    JsonOption,
    ModelOption,
    NoPolicyOption,
    NotifyOption,
    OldModeOption,
    PilotOption,
    PolicyOption,
    ProfileOption,
    SwitchOption,
    SymbolsOption,
    ToOption,
    TrialsOption,
    gate_flags,
    model_flags,
    policy_flags,
    settings_from,
    shared_flags,
    start_notifications,
    warn_unchecked,
)
from quantum_trader.domain.errors import ConfigError, QuantumTraderError, StateError

if TYPE_CHECKING:
    from rich.console import Console

    from quantum_trader.app.runs.results import Pace, RunFacts, RunOptions, RunResult
    from quantum_trader.app.settings import RunSettings
    from quantum_trader.lab.edges import Edges

REPORT_JSON: Final = "report.json"
REPORT_HTML: Final = "report.html"
MOST_EDGE_BARS: Final = 5_000_000  # of all symbols; about a kilobyte of memory for every four
_DRAWN: Final = frozenset(("curves", "closed_trades", "prices"))  # parts of a report for charts alone
_FOLDER_MODE: Final = 0o700
_NAP_S: Final = 0.25  # the longest single sleep, so that an interrupt takes effect soon

app = typer.Typer()

SpeedOption = Annotated[
    str, typer.Option("--speed", metavar="max|N", help="As fast as possible, or N times real time (60: one hour a "
                      "minute).")
]
RecordsOption = Annotated[
    Path | None, typer.Option("--records", metavar="FILE", help="Write every record here (JSON lines).")
]


RunServeOption = Annotated[
    int | None,
    typer.Option("--serve", metavar="PORT", min=1, max=65535, help="Serve the dashboard on this loopback port, or the "
                 "next free one, in a process of its own. In a terminal it is opened in a browser where there is a "
                 "display, and served until Ctrl-C; in a pipe and where CI is set it ends with the run."),
]
ExitOption = Annotated[
    bool, typer.Option("--exit", help="End with the recording: --serve serves no longer, and opens no browser.")
]
NoBrowserOption = Annotated[bool, typer.Option("--no-browser", help="With --serve: open no browser.")]
CompareOption = Annotated[
    Path | None,
    typer.Option("--compare", metavar="FILE", help="Afterwards compare with holding and with each profile enforced, as "
                 "`compare` does with these bars, models and gates; write that as an HTML page here."),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the HTML report here too.")
]
UngatedOption = Annotated[
    bool, typer.Option("--ungated", help="Trade every target of the models, costs included, without policy, threshold, "
                       "limit or governor: to compare, never live.")
]
RunStateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Folder of the run; the same command resumes it after a stop."),
]
VenueOption = Annotated[
    str, typer.Option("--venue", metavar="paper|local", help="Where orders go: the paper venue in memory, or the "
                      "local venue over loopback through the Binance adapter (such a run cannot be resumed).")
]


@app.command("run")
def run_command(
    config: ConfigOption = None,
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    profile: ProfileOption = None,
    policy: PolicyOption = None,
    no_policy: NoPolicyOption = False,
    mode: OldModeOption = None,
    equity: EquityOption = None,
    state: RunStateOption = None,
    speed: SpeedOption = "max",
    end: ExitOption = False,
    report: ReportOption = None,
    records: RecordsOption = None,
    venue: VenueOption = "paper",
    model: ModelOption = None,
    ungated: UngatedOption = False,
    intents: IntentsOption = None,
    pilot: PilotOption = None,
    gates: GatesOption = None,
    switches: SwitchOption = None,
    trials: TrialsOption = None,
    serve: RunServeOption = None,
    no_browser: NoBrowserOption = False,
    notify: NotifyOption = None,
    compare: CompareOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a recording through market, signals, policy, risk guard and paper venue, and report the result.

    Without options: the bundled bars (BTC ETH EOS LTC XRP, 2017 to 2019), profile SAFE, --policy observe.
    """
    wanted = policy_flags(policy, no_policy, mode)
    shared = shared_flags(data, bars, symbols, first, last, profile, equity, {})
    flags = shared | wanted | model_flags(model, pilot) | gate_flags(gates)
    if ungated:
        flags["engine.ungated"] = (True, "--ungated")
    loaded, pace = settings_from(config, flags), pace_for(speed)
    _check_outputs(state, report, records, compare)
    if venue not in ("paper", "local"):
        raise ConfigError(f"--venue {venue!r}: use paper or local; `quantum-trader live` trades on Binance")
    compared = _comparison_of(config, shared | model_flags(model) | gate_flags(gates), compare, trials, as_json)
    from quantum_trader.app.runs.intent_file import read_intents
    from quantum_trader.app.runs.results import RunOptions
    from quantum_trader.app.runs.scheduled_models import scheduled_models

    recorded = read_intents(intents) if intents is not None else None
    options = RunOptions(
        state_dir=state, records=records, intents=recorded, switches=scheduled_models(switches or ())
    )
    start_notifications(state, notify)
    with _dashboard(state, serve, end, no_browser):
        _run(loaded.settings, options, report, pace, as_json, venue == "local", trials)
        compared()


@contextmanager
def _dashboard(state: Path | None, port: int | None, ends: bool, no_browser: bool) -> Iterator[None]:
    """Serve *state* on *port* in the block and, in a terminal, until Ctrl-C after it; nothing where *port* is None."""
    if port is not None and state is None:
        raise ConfigError("--serve: needs --state DIR, the folder that is served")
    from quantum_trader.app.cli.dashboard import keep_serving, opener_for, stays
    from quantum_trader.app.runs.serving import served

    stays_open = stays(ends, sys.stdout.isatty(), os.environ)
    with served(
        state or Path(), port, lambda line: typer.echo(line, err=True), moves=True,
        answers=opener_for(stays_open, no_browser),
    ) as server:
        yield
        if server is not None and stays_open:
            keep_serving(server)


def _comparison_of(
    config: Path | None, flags: dict[str, tuple[Any, str]], page: Path | None, trials: Path | None, as_json: bool
) -> Callable[[], None]:
    """What compares after the run, with *page* as its page; without, nothing. Its settings are checked now."""
    if page is None:
        return lambda: None
    if as_json:
        raise ConfigError("--compare prints a table and --json one document: give one of them")
    from quantum_trader.app.cli.compare import compare_settings, compared_settings
    from quantum_trader.app.runs.comparison import PROFILES

    pair = compared_settings(config, flags, PROFILES)
    return lambda: compare_settings(*pair, PROFILES, page=page, trials=trials)


def _run(
    settings: RunSettings, options: RunOptions, report: Path | None, pace: Pace | None, as_json: bool,
    local: bool = False, trials: Path | None = None,
) -> None:
    """Run, write the requested files, print the report."""
    from rich.console import Console

    from quantum_trader.app.report.data import build_report
    from quantum_trader.app.report.html import html_report
    from quantum_trader.app.report.tables import PIPE_WIDTH, print_report

    warn_unchecked(settings.models)
    started, state = time.perf_counter(), options.state_dir
    result = _watched(settings, options, pace, Console(stderr=True), local)
    if state is not None:
        _close_journal(state)
    page = report or (state / REPORT_HTML if state is not None else None)
    stats = _stats(settings, result, time.perf_counter() - started, state, options.records, page)
    content = build_report(result.facts, stats, _ungated(settings), _edges(settings))
    if state is not None:
        write_result(state / REPORT_JSON, msgspec.json.encode(content))
    for target in {path for path in (page, state / REPORT_HTML if state is not None else None) if path is not None}:
        write_result(target, html_report(content).encode())
    if as_json:
        typer.echo(msgspec.json.encode({key: value for key, value in content.items() if key not in _DRAWN}).decode())
    else:
        print_report(content, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH))
    _record(settings, options, result.facts, trials)


def _record(settings: RunSettings, options: RunOptions, facts: RunFacts, trials: Path | None) -> None:
    """Record the run as a trial; a ledger that cannot be written is told and costs nobody the result."""
    from quantum_trader.app.runs.trial_ledgers import RUN, record_quietly, run_trial

    intents = options.intents.fingerprint if options.intents is not None else ""
    switches = [f"{one.ts_ns}={one.kind}:{one.name}" for one in options.switches]
    record_quietly(
        lambda: [run_trial(settings, facts, intents, switches)], trials, RUN, lambda line: typer.echo(line, err=True)
    )


def _ungated(settings: RunSettings) -> RunFacts | None:
    """The same run with every target of its models traded; None without models, or where it is that run already."""
    if not any(one.enabled for one in settings.models) or settings.engine.ungated:
        return None
    from quantum_trader.app.runs.model_facts import ungated_settings
    from quantum_trader.app.runs.replay import memory_run
    from quantum_trader.models.loading import INTRADAY

    if any(one.enabled and one.model == INTRADAY for one in settings.models):
        return None
    typer.echo("Comparing: the same scores with every target traded ...", err=True)
    return memory_run(ungated_settings(settings))[0].facts


def _edges(settings: RunSettings) -> Edges | None:
    """The forecasts of the run's models over its bars, beside what came.

    None without models, and with a line on standard error where they cannot be had: of bars that a run leaves out one
    by one, or of more bars than memory is taken for.
    """
    from quantum_trader.app.runs.model_bars import use_columns
    from quantum_trader.lab.edges import edges_of
    from quantum_trader.lab.sweep.market import SweepSettings
    from quantum_trader.market.recording import open_recording
    from quantum_trader.models.gates import GateSettings
    from quantum_trader.models.kept import KeptForecasts
    from quantum_trader.models.loading import load_models

    loaded = load_models(settings.models)
    if not loaded:
        return None
    recording = open_recording(**settings.recording_arguments())
    if recording.moments * len(recording.symbols) > MOST_EDGE_BARS:
        typer.echo(f"No edges in the report: more than {MOST_EDGE_BARS:,} bars; a part of them has some.", err=True)
        return None
    typer.echo("Comparing: what the forecasts expected with what came ...", err=True)
    engine = msgspec.structs.replace(settings.engine_settings(), ungated=False, gates=GateSettings())
    fixed = SweepSettings(engine=engine, venue=msgspec.structs.replace(settings.paper_settings(), participation=None))
    try:
        forecasts = KeptForecasts(recording.symbols, recording.interval_ns, loaded)
        use_columns(forecasts, recording)
        return edges_of(recording, fixed, forecasts)
    except QuantumTraderError as error:
        typer.echo(f"No edges in the report: {error}", err=True)
        return None


def _close_journal(state: Path) -> None:
    """Seal the days of a finished run and write its trades to the trade journal."""
    from quantum_trader.app.runs.journal_commands import feed_book, seal

    seal(state)
    feed_book(state)


def write_result(path: Path, content: bytes) -> None:
    """Write *content* to *path*, whole or not at all; StateError says why it cannot be written."""
    from quantum_trader.domain.private_files import why_unwritable
    from quantum_trader.policy.storage import write_atomically

    try:
        write_atomically(path, content)
    except OSError as error:
        why = why_unwritable(path, error)
        raise StateError(f"{path}: cannot be written ({why}); nothing was left behind") from None


def say_first_run(console: Console) -> None:
    """Say on *console* that the kernels are compiled first, where no compiled ones are kept."""
    import numba

    if not any(Path(numba.config.CACHE_DIR).rglob("*.nbi")):
        console.print("First run of this version: compiling the kernels, a minute or two.", style="dim")


def _watched(
    settings: RunSettings, options: RunOptions, pace: Pace | None, console: Console, local: bool
) -> RunResult:
    """Run with progress on standard error."""
    from quantum_trader.app.runs.local import run_over_local_venue
    from quantum_trader.app.runs.progress import progress_for
    from quantum_trader.app.runs.replay import run

    say_first_run(console)
    with progress_for(console) as progress:
        if not local:
            return run(settings, options, progress=progress, pace=pace)
        try:
            return run_over_local_venue(settings, options, progress=progress, pace=pace)
        except KeyboardInterrupt:
            typer.echo("stopped; a run over the local venue cannot be resumed and starts from the beginning", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _stats(
    settings: RunSettings, result: RunResult, total_s: float, state: Path | None, records: Path | None,
    page: Path | None,
) -> Any:
    from quantum_trader.app.runs.results import RunStats

    return RunStats(
        wall_s=round(result.wall_s, 3), total_s=round(total_s, 3),
        bars_per_s=None if result.resumed else round(result.facts.data.bars / max(result.wall_s, 1e-9)),
        version=__version__, python=platform.python_version(),
        resumed=result.resumed, resumed_at_ns=result.resumed_at_ns,
        state_dir=str(state or ""), records=str(records or (state / "records.jsonl" if state is not None else "")),
        report=str(page or ""), data_path=settings.data.path,
    )


def _check_outputs(
    state: Path | None, report: Path | None, records: Path | None, compare: Path | None = None
) -> None:
    """Raise ConfigError before the run when an output could not be written after it."""
    if state is not None and records is not None:
        raise ConfigError(f"--records {records}: a run with --state keeps its records there, in {state}/records.jsonl")
    for flag, path in (("--report", report), ("--records", records), ("--compare", compare)):
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise ConfigError(f"{flag} {path}: must be a file in a folder that exists")


def pace_for(speed: str) -> Pace | None:
    """The pace that *speed* asks for: None for "max", else one that sleeps between moments."""
    if speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < float("inf"):
        raise ConfigError(f"--speed {speed}: must be max, or how many times real time, such as 60")
    return RealTimePace(factor)


class RealTimePace:
    """Sleeps so that market time passes *factor* times as fast as the clock on the wall."""

    def __init__(
        self, factor: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._factor = factor
        self._clock = clock
        self._sleep = sleep
        self._origin: tuple[int, float] | None = None

    def __call__(self, close_ns: int) -> None:
        """Return when *close_ns* is due."""
        now = self._clock()
        if self._origin is None:
            self._origin = (close_ns, now)
            return
        first_ns, started = self._origin
        due = started + (close_ns - first_ns) / 1e9 / self._factor
        while (left := due - self._clock()) > 0.0:
            self._sleep(min(left, _NAP_S))
