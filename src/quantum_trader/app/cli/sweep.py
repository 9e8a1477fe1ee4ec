"""``quantum-trader sweep``: many profiles and settings over a whole history, in tables and a chart."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from quantum_trader.app.cli.options import (
    OFF,
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
    OldModeOption,
    PolicyOption,
    SymbolsOption,
    ToOption,
    TrialsOption,
    gate_flags,
    model_flags,
    policy_flags,
    settings_from,
    shared_flags,
    warn_unchecked,
)
from quantum_trader.app.report.words import policy_words
from quantum_trader.domain.clock import from_ns
from quantum_trader.domain.errors import ConfigError, InputError, StateError

if TYPE_CHECKING:
    from quantum_trader.app.runs.intent_file import IntentFile
    from quantum_trader.app.settings import RunSettings
    from quantum_trader.lab.sweep.grid import Axis, Setting
    from quantum_trader.lab.sweep.layout import Targets
    from quantum_trader.lab.sweep.market import SweepMarket
    from quantum_trader.lab.sweep.sweep import SettingResult, SourceResult, SweepResult
    from quantum_trader.lab.sweep.walk_forward import Criterion, Period, SplitResult
    from quantum_trader.lab.trials.ledger import TrialLedger
    from quantum_trader.market.recording import Recording

TOP: Final = 20
_WIDE: Final = 150  # columns of a terminal that has no width of its own
_NONE: Final = "–"
_COLUMNS: Final = (
    "setting", "return %", "Sharpe", "max DD %", "trades", "win rate", "avg R", "fees", "risk %", "size %", "refused",
    "gate closed",
)

app = typer.Typer(help="Evaluate many profiles and settings over a whole history.")
sweep_app = app


@app.command("sweep")
def sweep_command(
    profiles: Annotated[
        str, typer.Option("--profiles", metavar="A,B", help="Profiles, separated by commas.")
    ] = "SAFE,STANDARD,AGGRESSIVE",
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="KEY=LOW:HIGH:STEP",
                     help="A number of the profile to vary, such as base_confidence=0.4:0.7:0.05 or "
                     "risk_multipliers.BULL=0.8,1.0, or a model's parameter, such as MyTrend.days=7:60:7; may be "
                     "given more than once."),
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    policy: PolicyOption = None,
    no_policy: NoPolicyOption = False,
    mode: OldModeOption = None,
    equity: EquityOption = None,
    splits: Annotated[int, typer.Option("--splits", help="Walk-forward splits; 0 for none.")] = 4,
    criterion: Annotated[
        str, typer.Option("--criterion", metavar="sharpe|return|calmar", help="The figure that training maximises.")
    ] = "sharpe",
    jobs: Annotated[int, typer.Option("--jobs", help="Threads; 0 for one per processor.")] = 0,
    top: Annotated[int, typer.Option("--top", help="Rows of the table; 0 for all.")] = TOP,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE", help="Write the chart to this .svg or .html file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write all settings as CSV.")] = None,
    intents: IntentsOption = None,
    trials: TrialsOption = None,
    gates: GatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run every setting of a grid over the same bars; test the best one out of sample and against chance.

    The policy is enforced (--policy enforce) unless the settings file or --policy says otherwise. Each decision equals
    that of `quantum-trader run` with the same setting on the same bars. Every setting is recorded in the trial ledger.
    """
    from quantum_trader.app.runs.intent_file import read_intents
    from quantum_trader.lab.sweep.grid import model_keys, parse_axis, settings_of
    from quantum_trader.lab.sweep.walk_forward import Criterion

    if criterion not in [one.value for one in Criterion]:
        raise ConfigError(f"--criterion {criterion!r}: must be one of {', '.join(one.value for one in Criterion)}")
    _check_targets(chart, out)
    names = [name.strip() for name in profiles.split(",") if name.strip()]
    wanted = _policy(policy, no_policy, mode, config)
    flags = shared_flags(data, bars, symbols, first, last, names[0] if names else None, equity, wanted)
    settings = settings_from(config, flags | model_flags(model) | gate_flags(gates)).settings
    warn_unchecked(settings.models)
    keys = model_keys(settings.models)
    axes = [parse_axis(text, keys) for text in grid or ()]
    made = settings_of(names, axes, settings.policy.profile_directory or None, settings.models)
    recorded = read_intents(intents) if intents is not None else None
    targets = _Targets(top=top, chart=chart, out=out, as_json=as_json, trials=trials)
    _run(settings, recorded, made, axes, jobs or os.cpu_count() or 1, splits, Criterion(criterion), targets)


def _policy(policy: str | None, no_policy: bool, mode: str | None, config: Path | None) -> dict[str, tuple[Any, str]]:
    """The policy's flags; enforced unless an option or a file says otherwise. off sweeps what observe sweeps."""
    flags = policy_flags(policy, no_policy, mode)
    if not flags and not _says_policy(config):
        flags = policy_flags("enforce")
    if "rollout.mode" not in flags and flags.get("policy.enabled", (True, ""))[0] is False:
        flags["rollout.mode"] = ("OBSERVE", f"--policy {OFF}")
    return flags


def _says_policy(config: Path | None) -> bool:
    """Whether the settings file itself says what the policy does; other keys of it change no default of a sweep."""
    from quantum_trader.app.settings import keys_of

    given = keys_of(config) if config is not None else {}
    return "rollout.mode" in given or given.get("policy.enabled") is False


class _Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown and written of a sweep."""

    top: int
    chart: Path | None
    out: Path | None
    as_json: bool
    trials: Path | None


def _run(
    settings: RunSettings, intents: IntentFile | None, made: Sequence[Setting], axes: Sequence[Axis], jobs: int,
    splits: int, criterion: Criterion, targets: _Targets,
) -> None:
    """Prepare, sweep, write and show."""
    from quantum_trader.app.cli.run import say_first_run
    from quantum_trader.app.report.sweep_chart import write_chart
    from quantum_trader.app.runs.trial_ledgers import open_trials
    from quantum_trader.lab.sweep.sweep import sweep
    from quantum_trader.lab.sweep.targets import embargo_of

    ledger = open_trials(targets.trials)
    ledger.check_writable()
    started, console = time.perf_counter(), Console(stderr=True)
    if not targets.as_json:
        say_first_run(console)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console,
        transient=True, disable=targets.as_json,
    ) as progress:
        task = progress.add_task("preparing the recording", total=len(made))
        recording, market = _prepare(settings, intents)
        prepared = time.perf_counter()
        progress.update(task, description=f"{len(made)} settings, {jobs} threads")
        result = sweep(
            market, made, jobs=jobs, splits=splits, criterion=criterion,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            targets=partial(_wanted, recording, market) if market.models else None, embargo_days=embargo_of(made),
        )
    ended = time.perf_counter()
    timing = {
        "wall_s": ended - started, "prepare_s": prepared - started, "jobs": jobs,
        "symbol_bars_x_settings_per_s": market.bars * len(made) / max(ended - prepared, 1e-9),
    }
    if targets.chart is not None:
        write_chart(targets.chart, result, axes)
    if targets.out is not None:
        targets.out.write_text(csv_text(result), encoding="utf-8")
    tried = _record(ledger, settings, recording, result, intents)
    if targets.as_json:
        whole = document(recording, market, result, intents) | {"run": timing | {"trials": tried}}
        typer.echo(msgspec.json.format(msgspec.json.encode(whole)).decode())
        return
    _show(recording, market, result, axes, targets.top, timing)
    typer.echo(tried["told"])
    for file in (targets.chart, targets.out):
        if file is not None:
            typer.echo(f"written: {file}")


def _record(
    ledger: TrialLedger, settings: RunSettings, recording: Recording, result: SweepResult, intents: IntentFile | None
) -> dict[str, Any]:
    """Record every setting as a trial; what all trials on these data say of the best of them.

    A ledger that cannot be written any more costs nobody the results: it is told on standard error.
    """
    from quantum_trader.app.runs.trial_ledgers import record_sweep
    from quantum_trader.lab.trials.summary import best_sentence

    try:
        recorded, best = record_sweep(
            ledger, settings, result.results, recording.fingerprint, intents.fingerprint if intents is not None else ""
        )
    except StateError as error:
        typer.echo(f"warning: {error}", err=True)
        return {"recorded": 0, "told": "no trial was recorded", "best": None}
    if recorded.repaired:
        typer.echo(f"warning: {recorded.repaired}", err=True)
    told = f"recorded {recorded.trials:,} trials in {ledger.folder}."
    return {
        "recorded": recorded.trials, "told": told if best is None else f"{told} {best_sentence(best)}",
        "best": None if best is None else msgspec.to_builtins(best),
    }


def _wanted(recording: Recording, market: SweepMarket, setting: Setting) -> Targets:
    """What the models of *setting* want of *recording*; ConfigError names the parameters with which one fails."""
    from quantum_trader.lab.sweep.targets import targets_of
    from quantum_trader.models.loading import make_forecasts

    try:
        forecasts = make_forecasts(setting.models, recording.symbols, recording.interval_ns)
        assert forecasts is not None, "a sweep of models has models"
        return targets_of(recording, market, forecasts)
    except (ConfigError, InputError) as error:
        if not setting.model_changes:
            raise
        raise ConfigError(f"--grid: {setting.model_changes}: {error}") from error


def _check_targets(chart: Path | None, out: Path | None) -> None:
    """Refuse, before any work, files that could not be written afterwards."""
    if chart is not None and chart.suffix.lower() not in (".svg", ".html"):
        raise ConfigError(f"--chart {str(chart)!r}: the name must end in .svg or .html")
    for flag, file in (("--chart", chart), ("--out", out)):
        if file is not None and not file.parent.is_dir():
            raise ConfigError(f"{flag} {str(file)!r}: there is no folder {str(file.parent)!r}; make it first")


def _prepare(settings: RunSettings, intents: IntentFile | None) -> tuple[Recording, SweepMarket]:
    """Open the recording and compute what all settings share."""
    from quantum_trader.lab.sweep.market import SweepSettings, prepare
    from quantum_trader.market.instruments import instruments_for
    from quantum_trader.market.intervals import check_run_interval
    from quantum_trader.market.recording import open_recording
    from quantum_trader.models.loading import make_forecasts

    if settings.engine.ungated:
        raise ConfigError("engine.ungated = true: is for `quantum-trader run`; a sweep compares settings of the policy")
    recording = open_recording(**settings.recording_arguments())
    check_run_interval(recording.interval)
    forecasts = make_forecasts(settings.models, recording.symbols, recording.interval_ns)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    fixed = SweepSettings(engine=settings.engine_settings(), venue=settings.paper_settings())
    recorded = intents.of_run(recording.symbols, recording.start_ns) if intents is not None else ()
    return recording, prepare(recording, instruments, fixed, recorded, forecasts.name if forecasts is not None else "")


# ---- for machines --------------------------------------------------------------------------------------------------
def _known(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else value


def _period_row(one: Period | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "days": one.days, "return_pct": one.return_pct, "sharpe": _known(one.sharpe),
        "max_drawdown_pct": one.max_drawdown_pct,
        "trades": one.trades, "win_rate": _known(one.win_rate), "avg_r": _known(one.avg_r),
    }


def setting_row(one: SettingResult) -> dict[str, Any]:
    """One setting's results as plain values; None where nothing was measured."""
    whole = _period_row(one.whole)
    assert whole is not None
    return {
        "profile": one.setting.profile, "changes": dict(one.setting.changes), **whole,
        "max_drawdown_pct": one.max_drawdown_pct, "fees": one.fees, "funding": one.funding,
        "mean_risk_pct": _known(one.mean_risk_pct), "mean_notional_pct": _known(one.mean_notional_pct),
        "blocked_share": one.blocked_share, "reduced_share": one.reduced_share,
        "refused_share": _known(one.refused_share), "decisions": one.decisions,
        **({"sources": [_source_row(source) for source in one.sources]} if one.sources else {}),
    }


def _setting_rows(result: SweepResult, market: SweepMarket) -> list[dict[str, Any]]:
    """The results of all settings; with models, what each setting's are, and how many signals they gave."""
    rows = [setting_row(one) for one in result.results]
    if market.models:
        known = {one.setting.variant: _models_row(one.setting) for one in result.results}
        for row, one in zip(rows, result.results, strict=True):
            row |= {"signals": sum(one.decisions.values()), "models": known[one.setting.variant]}
    return rows


def _models_row(setting: Setting) -> list[dict[str, Any]]:
    from quantum_trader.models.loading import load_models

    return [
        {
            "name": one.name, "bars": one.model.bars, "params": msgspec.to_builtins(one.model.params),
            "exit": msgspec.to_builtins(one.exit), "fingerprint": one.fingerprint,
        }
        for one in load_models(setting.models)
    ]


def _source_row(one: SourceResult) -> dict[str, Any]:
    return {
        "source": one.source, "trades": one.trades, "net": one.net, "avg_r": _known(one.avg_r),
        "hit_rate": _known(one.hit_rate), "fees": one.fees, "decisions": one.decisions,
    }


def _split_row(result: SweepResult, one: SplitResult, first_ns: int) -> dict[str, Any]:
    day = 86_400_000_000_000
    start = first_ns // day * day
    return {
        "split": one.split.number, "train_to": from_ns(start + one.split.train_end * day).date().isoformat(),
        "test_from": from_ns(start + one.split.test_start * day).date().isoformat(),
        "test_to": from_ns(start + one.split.test_end * day).date().isoformat(),
        "chosen": result.results[one.chosen].setting.label if one.chosen >= 0 else None,
        "train": _period_row(one.train), "test": _period_row(one.test), "rank": _known(one.rank),
    }


def document(
    recording: Recording, market: SweepMarket, result: SweepResult, intents: IntentFile | None = None
) -> dict[str, Any]:
    """The whole sweep as plain values; the same for the same data and settings."""
    from quantum_trader.lab.sweep.sweep import summary

    judged = result.deflated
    return {
        "data": {
            "source": recording.source, "symbols": list(recording.symbols), "interval": recording.interval,
            "from": from_ns(recording.start_ns).isoformat(), "to": from_ns(recording.end_ns).isoformat(),
            "bars": market.bars, "signals": None if market.models else _signal_count(market),
            "fingerprint": recording.fingerprint,
            **({"intents": intents.fingerprint} if intents is not None else {}),
            "funding": recording.funding_statement, "notes": list(recording.notes),
        },
        "mode": market.settings.engine.integration.mode.value, "criterion": result.criterion.value,
        "settings": _setting_rows(result, market),
        "best": result.results[result.best].setting.label if result.best >= 0 else None,
        "deflated": None if judged is None else {
            "trials": judged.trials, "days": judged.days, "effective_days": judged.effective_days,
            "sharpe": judged.sharpe,
            "expected_best_by_chance": judged.expected_best, "probability": _known(judged.probability),
            "probability_above_zero": _known(judged.above_zero),
        },
        "splits": [_split_row(result, one, recording.start_ns) for one in result.splits],
        "out_of_sample": _period_row(result.out_of_sample),
        "out_of_sample_probability_above_zero": _known(result.out_of_sample_above_zero),
        "profiles": [
            {
                key: _known(value) if isinstance(value, float) else value
                for key, value in msgspec.structs.asdict(one).items()
            }
            for one in result.spreads
        ],
        "summary": list(summary(result)),
    }


def _signal_count(market: SweepMarket) -> int:
    return int((market.source_of == 0).sum())


def _what_signals(market: SweepMarket) -> str:
    return f"signals of {market.models}" if market.models else f"{_signal_count(market):,} signals"


def csv_text(result: SweepResult) -> str:
    """All settings as CSV: one column for each key of the grid, empty cells where nothing was measured."""
    rows = [setting_row(one) for one in result.results]
    keys = list(dict.fromkeys(key for row in rows for key in row["changes"]))
    names = [key for key in rows[0] if key not in ("profile", "changes", "decisions", "sources")]
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["profile", *keys, *names])
    for row in rows:
        writer.writerow([row["profile"], *(row["changes"].get(key, "") for key in keys),
                         *("" if row[name] is None else row[name] for name in names)])
    return target.getvalue()


# ---- for people ----------------------------------------------------------------------------------------------------
def _number(value: float, digits: int = 2) -> str:
    return _NONE if math.isnan(value) or math.isinf(value) else f"{value:,.{digits}f}"


def _share(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value * 100.0:.0f} %"


def _show(
    recording: Recording, market: SweepMarket, result: SweepResult, axes: Sequence[Axis], top: int,
    timing: dict[str, Any],
) -> None:
    from quantum_trader.lab.sweep.sweep import summary

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    speed = timing["symbol_bars_x_settings_per_s"] / 1e6
    console.print(
        f"{recording.source}: {', '.join(recording.symbols)}, {recording.interval}, "
        f"{from_ns(recording.start_ns):%Y-%m-%d} to {from_ns(recording.end_ns):%Y-%m-%d}, {market.bars:,} bars, "
        f"{_what_signals(market)}; {len(result.results)} settings, policy "
        f"{policy_words(market.settings.engine.integration.mode.value)}; {speed:.1f} M bars x settings a second"
    )
    console.print(_settings_table(result, top))
    if result.results[0].sources:
        console.print(_sources_table(result))
    if axes:
        _show_heat(console, result, axes)
    if result.splits:
        console.print(_splits_table(result))
    console.print(_profiles_table(result))
    for line in (*_mode_notes(market, axes), *summary(result)):
        console.print(f"- {line}", highlight=False)
    for line in (recording.funding_statement, *recording.notes):
        console.print(f"  {line}", style="dim", highlight=False)


def _mode_notes(market: SweepMarket, axes: Sequence[Axis]) -> tuple[str, ...]:
    """Say that a grid over the profile changes next to nothing where the policy only observes."""
    mode = market.settings.engine.integration.mode.value
    if mode == "LIVE" or all(axis.of_model for axis in axes):
        return ()
    return (
        "The policy is not enforced: a number of the profile changes which exit row applies and nothing else. "
        "--policy enforce sweeps what the settings do.",
    )


def _settings_table(result: SweepResult, top: int) -> Table:
    """The best settings by their whole history."""
    from quantum_trader.lab.sweep.walk_forward import score

    ranked = sorted(
        result.results, key=lambda one: score(one.whole, result.criterion) if one.whole.trades else -math.inf,
        reverse=True,
    )
    shown = ranked[:top] if top > 0 else ranked
    table = Table(box=SIMPLE_HEAD, title=f"Settings by {result.criterion.value}, {len(shown)} of {len(ranked)}")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "setting" else "right", no_wrap=True)
    for one in shown:
        whole = one.whole
        table.add_row(
            one.setting.label, _number(whole.return_pct, 1), _number(whole.sharpe), _number(one.max_drawdown_pct, 1),
            f"{whole.trades:,}", _share(whole.win_rate), _number(whole.avg_r), _number(one.fees, 0),
            _number(one.mean_risk_pct), _number(one.mean_notional_pct, 0), _share(one.refused_share),
            _share(one.blocked_share),
        )
    return table


def _sources_table(result: SweepResult) -> Table:
    """Signals and each source of intents, under the best setting, or the first where none is the best."""
    one = result.results[max(result.best, 0)]
    table = Table(box=SIMPLE_HEAD, title=f"Results by source: {one.setting.label}")
    for name in ("source", "asked", "orders", "closed a position", "trades", "net USDT", "avg R", "hit rate", "fees"):
        table.add_column(name, justify="left" if name == "source" else "right", no_wrap=True)
    for source in one.sources:
        table.add_row(
            source.source, f"{sum(source.decisions.values()):,}", f"{source.decisions.get('TRADED', 0):,}",
            f"{source.decisions.get('REDUCED', 0):,}", f"{source.trades:,}", _number(source.net),
            _number(source.avg_r), _share(source.hit_rate), _number(source.fees),
        )
    return table


def _splits_table(result: SweepResult) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Walk-forward: chosen on the training days, tested on the days after")
    for name in ("split", "chosen", "train Sharpe", "test Sharpe", "test return %", "test trades", "better than"):
        table.add_column(name, justify="left" if name == "chosen" else "right", no_wrap=True)
    for one in result.splits:
        if one.chosen < 0 or one.train is None or one.test is None:
            table.add_row(str(one.split.number), "no setting has enough trades", *[_NONE] * 5)
            continue
        table.add_row(
            str(one.split.number), result.results[one.chosen].setting.label, _number(one.train.sharpe),
            _number(one.test.sharpe), _number(one.test.return_pct, 1), str(one.test.trades), _share(one.rank),
        )
    return table


def _profiles_table(result: SweepResult) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Profiles, means over their settings")
    for name in (
        "profile", "settings", "trades", "risk %", "size %", "return %", "Sharpe", "max DD %", "refused", "gate closed",
    ):
        table.add_column(name, justify="left" if name == "profile" else "right", no_wrap=True)
    for one in result.spreads:
        table.add_row(
            one.profile, str(one.settings), _number(one.trades, 0), _number(one.mean_risk_pct),
            _number(one.mean_notional_pct, 0), _number(one.return_pct, 1), _number(one.sharpe),
            _number(one.max_drawdown_pct, 1), _share(one.refused_share), _share(one.blocked_share),
        )
    return table


def _show_heat(console: Console, result: SweepResult, axes: Sequence[Axis]) -> None:
    """A heat map of the Sharpe ratio: first key down, second across (profiles across for a single key)."""
    from quantum_trader.app.report.sweep_chart import reach_of, shade, table_of

    reach = reach_of(result.results)
    profiles = [one.profile for one in result.spreads]
    if len(axes) == 1:
        columns = [table_of(result, profile, axes) for profile in profiles]
        rows = [[values[line][0] for values in columns] for line in range(len(axes[0].values))]
        tables = [(f"Sharpe by {axes[0].key}", profiles, rows)]
    else:
        heads = [f"{value:g}" for value in axes[1].values]
        tables = [
            (f"{profile}: Sharpe by {axes[0].key}, {axes[1].key} across", heads, table_of(result, profile, axes))
            for profile in profiles
        ]
    for title, heads, rows in tables:
        table = Table(box=None, title=title, pad_edge=False)
        table.add_column("")
        for head in heads:
            table.add_column(head, justify="right")
        for value, row in zip(axes[0].values, rows, strict=True):
            cells = [Text(f"{_number(cell):>7} ", style=f"black on rgb({_rgb(cell, reach, shade)})") for cell in row]
            table.add_row(f"{value:g}", *cells)
        console.print(table)


def _rgb(value: float, reach: float, shade: Any) -> str:
    return ",".join(str(part) for part in shade(value, reach))
