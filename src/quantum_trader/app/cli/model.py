"""``quantum-trader model``: write a model of one's own, check it, list and show models."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.model_train import train_command
from quantum_trader.app.cli.options import (
    BarsOption,
    DataOption,
    FromOption,
    JsonOption,
    SymbolsOption,
    ToOption,
    settings_from,
    shared_flags,
)
from quantum_trader.domain.errors import ConfigError, StateError

if TYPE_CHECKING:
    from quantum_trader.market.recording import Recording
    from quantum_trader.models.check import CheckReport
    from quantum_trader.models.forecasts import LoadedModel
    from quantum_trader.models.loading import ModelSettings

NOT_PASSED: Final = 1
_FORMS: Final = ("Model", "FrameModel")

app = typer.Typer(
    no_args_is_help=True, help="Your own models: write or train one, check it for look-ahead, list and show them."
)
app.command("train")(train_command)

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="FILE.py:Class, a CSV or Parquet file of scores, the folder of a trained "
                        "model, or a built-in name.")
]

_HEAD: Final = '''"""{title}: a model of your own.

    quantum-trader model check {file}:{name}
    quantum-trader run --model {file}:{name}
"""

import msgspec
import {library}

from quantum_trader.models import Exit, {form}{more}


class {name}({form}):
    """Long what rose over the last days, short what fell."""

    bars = "1d"  # the bars that it looks at: 1h, 4h, 1d ...
    warmup = 60  # how many of them a score needs, the newest one included
    horizon = "7d"  # for how long a score is meant
    needs = ("close",)  # also open, high, low, volume, funding
    exit = Exit(on="score", stop_atr=3)  # left when the score flips; the stop is 3 ATR(22) away

    class Params(msgspec.Struct, frozen=True):
        days: int = 28  # what a sweep varies: --grid {name}.days=7:60:7

'''
_PANEL: Final = _HEAD + '''    def score(self, panel: Panel) -> np.ndarray:
        """One number for each symbol: above 0 long, below 0 short, NaN for no view. Its size is scaled for you."""
        # panel.close is (warmup, symbols), oldest first; nothing later than now is in it
        change = panel.close[-1] / panel.close[-1 - self.params.days] - 1.0
        moves = panel.close[1:] / panel.close[:-1] - 1.0
        # divided by its volatility, so that calm years give scores as large as wild ones
        spread = moves[-self.params.days:].std(axis=0)
        return change / np.where(spread > 0.0, spread, np.nan)
'''
_FRAME: Final = _HEAD + '''    def scores(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame of one symbol with a column `score`: above 0 long, below 0 short, null for no view."""
        # one row a bar, oldest first: ts and the columns of `needs`; a row may be made of earlier rows alone
        close = pl.col("close")
        change = close / close.shift(self.params.days) - 1.0
        # divided by its volatility, so that calm years give scores as large as wild ones
        spread = (close / close.shift(1) - 1.0).rolling_std(self.params.days)
        return frame.with_columns(score=change / spread)
'''


@app.command("new")
def new_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the file, such as my_trend.")],
    frame: Annotated[
        bool, typer.Option("--frame", help="The form for dataframes: whole columns of one symbol (polars).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented NAME.py that runs, into the current folder."""
    stem = name.removesuffix(".py")
    if not re.fullmatch(r"[A-Za-z_]\w*", stem) or keyword.iskeyword(stem):
        raise ConfigError(f"model new {name!r}: write a name of letters, digits and _, such as my_trend")
    kind = "".join(part[:1].upper() + part[1:] for part in stem.split("_") if part) or "MyModel"
    kind = f"{kind}Model" if kind in (*_FORMS, "Panel", "Exit") or kind[0].isdigit() else kind
    path = Path(f"{stem}.py")
    text = (_FRAME if frame else _PANEL).format(
        title=kind, file=path, name=kind, form="FrameModel" if frame else "Model",
        library="polars as pl" if frame else "numpy as np", more="" if frame else ", Panel",
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; choose another name") from None
    except OSError as error:
        raise StateError(f"{path}: cannot be written ({error.strerror})") from None
    if as_json:
        _echo({"file": str(path), "model": f"{path}:{kind}"})
        return
    typer.echo(f"{path} written. Next:\n  quantum-trader model check {path}:{kind}\n"
               f"  quantum-trader run --model {path}:{kind}")


@app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List the built-in models, and those in the Python files of the current folder, whose code is not run."""
    from quantum_trader.app.settings import DEFAULT_SET
    from quantum_trader.models.loading import BUILT_IN, INTRADAY, TREND, ModelSettings, expanded

    members = ", ".join(one.model for one in expanded([ModelSettings(model=TREND)]))
    rows = [{"model": TREND, "about": f"the set of slow models on daily bars: {members}"}]
    rows += [{"model": INTRADAY, "about": "six intraday models and their ensemble, compiled"}]
    for row in rows:
        row["about"] += "; the default" if row["model"] == DEFAULT_SET else ""
    rows += [{"model": name, "about": _first_line(kind.__doc__)} for name, kind in BUILT_IN.items()]
    for path in sorted(Path().glob("*.py")):
        rows += [{"model": f"{path}:{name}", "about": about} for name, about in _classes(path)]
    if as_json:
        _echo({"models": rows})
        return
    width = max(len(row["model"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['model']:<{width}}  {row['about']}")


def _classes(path: Path) -> list[tuple[str, str]]:
    """The model classes that a file defines, with the first line of their docstrings; none where it is unreadable."""
    from quantum_trader.models.loading import classes_in

    try:
        return [(name, _first_line(about)) for name, about in classes_in(path)]
    except (OSError, SyntaxError, ValueError):
        return []


@app.command("show")
def show_command(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Show what a model states about itself, and whether it has passed the check. Runs the user's file."""
    from quantum_trader.models.loading import load_model

    if model == "ScoreFile":
        raise ConfigError("ScoreFile is shown with its file: `quantum-trader model show scores.csv`")
    if model == "LearnedModel":
        raise ConfigError("LearnedModel is shown with its folder: `quantum-trader model show build/learned/boosting`")
    found = [load_model(settings) for settings in _settings_of(model)]
    if as_json:
        _echo(_facts(found[0]) if _is_one(model) else {"model": model, "models": [_facts(one) for one in found]})
        return
    typer.echo("\n\n".join(_facts_text(one) for one in found))


def _facts(loaded: LoadedModel) -> dict[str, Any]:
    """What a model states about itself, and when it has passed the check."""
    from quantum_trader.app.runs.model_check import passed_check
    from quantum_trader.models.port import FrameModel

    own, passed = loaded.model, passed_check(loaded.code)
    return {
        "model": loaded.name, "about": _first_line(type(own).__doc__),
        "form": "columns" if isinstance(own, FrameModel) else "panel", "bars": own.bars, "warmup": own.warmup,
        "horizon": own.horizon, "needs": list(own.needs), "least_symbols": own.least_symbols,
        "exit": msgspec.to_builtins(loaded.exit), "prior": [loaded.forecast.prior_mean, loaded.forecast.prior_sd],
        "weight": loaded.weight, "tolerance": own.tolerance, "params": msgspec.to_builtins(own.params),
        "code": loaded.code, "checked": passed.at if passed is not None else None,
    }


def _facts_text(loaded: LoadedModel) -> str:
    """The facts of a model as lines."""
    from quantum_trader.app.runs.model_check import needs_check

    facts = _facts(loaded)
    facts["exit"] = f"on {loaded.exit.on}, stop {loaded.exit.stop_atr:g} ATR"
    facts["needs"] = ", ".join(facts["needs"])
    facts["prior"] = "Sharpe ratio {:g} ± {:g} a year".format(*facts["prior"])
    facts["params"] = ", ".join(f"{key} = {value}" for key, value in facts["params"].items()) or "none"
    if facts["checked"] is not None:
        facts["checked"] = f"passed {facts['checked']} UTC"
    elif needs_check(loaded):
        facts["checked"] = f"not passed as it is now: quantum-trader model check {loaded.source}"
    else:
        facts["checked"] = "built in: the project's tests check it"
    return "\n".join(f"{key:<13} {value}" for key, value in facts.items())


@app.command("check")
def check_command(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="FILE.py:Class, a CSV or Parquet file of scores, the folder of a trained "
                        "model, or a built-in name."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Check the models of this settings file, with their parameters."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the settings file's models this one alone.")
    ] = None,
    data: DataOption = None, bars: BarsOption = None, symbols: SymbolsOption = None,
    first: FromOption = None, last: ToOption = None, as_json: JsonOption = False,
) -> None:
    """Check a model's scores: made of the past alone, of enough of it, always the same, in time. Runs the user's file.

    On the bundled bars, or on those of --data. Exit code 0 when every property holds, 1 when one does not. `live`
    trades no model that has not passed. A passed check is one of the parameters too: models that have parameters in a
    settings file are checked with --config FILE, each that is enabled, or the one that --name names.
    """
    from quantum_trader.app.runs.model_check import check_user_model

    chosen = _chosen(model, config, name)
    _refuse_outside_scores(chosen)
    recording = _recording(data, bars, symbols, first, last)
    reports = []
    for settings in chosen:
        reports.append(check_user_model(settings, recording, None if as_json else _show_progress))
        if not as_json:
            _show_report(reports[-1], settings)
    passed = all(report.passed for report in reports)
    if as_json:
        source = {"config": str(config)} if config is not None else {"model": model}
        is_one = config is None and _is_one(model or "")
        _echo(reports[0] if is_one else {**source, "passed": passed, "models": reports})
    if not passed:
        raise typer.Exit(NOT_PASSED)


def _chosen(model: str | None, config: Path | None, name: str | None) -> Sequence[ModelSettings]:
    """The models to check: MODEL, or those of a settings file. Raises ConfigError where it is not clear which."""
    if (model is None) == (config is None):
        raise ConfigError("model check: name a MODEL, such as mine.py:Mine, or --config FILE whose models to check")
    if config is None:
        if name is not None:
            raise ConfigError(f"--name {name!r}: names a model of a settings file; give --config FILE with it")
        return _settings_of(model or "")
    from quantum_trader.app.settings import MODELS
    from quantum_trader.models.loading import expanded

    loaded = settings_from(config, {})
    models = loaded.settings.models if MODELS in loaded.sources else ()
    if name is None:
        enabled = [one for one in expanded([m for m in models if not m.is_intraday]) if one.enabled]
        if not enabled:
            raise ConfigError(f"--config {config}: [[models]] has no model to check")
        return enabled
    named = [one for one in models if one.shown == name]
    if not named:
        known = [one.shown for one in models]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
        raise ConfigError(f"--name {name!r}: {config} has no such model; {hint}")
    _refuse_compiled(named[0])
    return expanded(named)


def _show_report(report: CheckReport, settings: ModelSettings) -> None:
    """Print what the check found of one model."""
    from quantum_trader.app.runs.model_check import finding_lines

    made_up = "made-up " if report.made_up else ""
    typer.echo(f"{report.model}: {report.rows} {made_up}bars of {report.bars}, {', '.join(report.symbols)}")
    if report.made_up:
        typer.echo(f"note: these bars are made up, since {report.made_up}; --data DIR checks it on your own")
    for one in report.findings:
        typer.echo("\n".join(finding_lines(one, report.file)))
    if report.outside:
        typer.echo(f"note: {report.outside}")
    if settings.model == "ScoreFile" or Path(settings.model).suffix in (".csv", ".parquet"):
        typer.echo("note: the times in the file are taken as true; nobody can check when a score was really known")
    typer.echo("passed" if report.passed else "not passed: a replay trades it with a warning, live does not")


def _recording(
    data: str | None, bars: str | None, symbols: str | None, first: str | None, last: str | None
) -> Recording | None:
    """The bars that the options name; None where they name none."""
    if (data, bars, symbols, first, last) == (None,) * 5:
        return None
    from quantum_trader.market.recording import open_recording

    flags = shared_flags(data, bars, symbols, first, last, None, None, {})
    return open_recording(**settings_from(None, flags).settings.recording_arguments())


def _show_progress(name: str, done: int, total: int) -> None:
    import sys

    if sys.stderr.isatty():
        typer.echo(f"\r{done}/{total} {name:<12}" if name else f"\r{'':<20}\r", err=True, nl=False)


def _refuse_outside_scores(chosen: Sequence[ModelSettings]) -> None:
    """Raise ConfigError where a model to check has no scores before a session receives them."""
    from quantum_trader.models.outside_scores import OUTSIDE_SCORES

    if any(one.model == OUTSIDE_SCORES for one in chosen):
        raise ConfigError(
            f"model check {OUTSIDE_SCORES}: it has no score before a session receives one, and nothing that could look "
            "ahead; check the scores that came as a file, such as scores.csv (docs/how-to-score-file.md)"
        )


def _settings_of(model: str) -> tuple[ModelSettings, ...]:
    """The settings of a model by its name, or of each of a set; ConfigError where it is no class behind the port."""
    from quantum_trader.models.loading import ModelSettings, expanded, with_class

    settings = ModelSettings(model=with_class(model))
    _refuse_compiled(settings)
    return expanded([settings])


def _is_one(model: str) -> bool:
    """Whether *model* names one model, not a set."""
    from quantum_trader.models.loading import TREND

    return model != TREND


def _refuse_compiled(settings: ModelSettings) -> None:
    if settings.is_intraday:
        raise ConfigError(f"{settings.model} is compiled and has no class behind the model port; "
                          "docs/concepts-signals.md describes it, and its tests check it")


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _echo(content: Any) -> None:
    typer.echo(msgspec.json.encode(content).decode())
