"""``quantum-trader policy`` and ``quantum-trader profile``: the rules, one evaluation, and the profiles."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Column, Table

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.app.report.profiles import profile_report, profile_rows
from quantum_trader.domain.enums import Direction, Trend, VolLevel
from quantum_trader.domain.errors import ConfigError, InputError, require
from quantum_trader.domain.policy import RiskState
from quantum_trader.policy.clock import now_ns
from quantum_trader.policy.evaluation import evaluate
from quantum_trader.policy.inputs import (
    PolicyInputs,
    create_cost_metrics,
    create_risk_state,
    create_symbol_performance,
)
from quantum_trader.policy.policy import TradingPolicy, time_ns, to_enum
from quantum_trader.policy.profiles import get_active_profile, load_profile, read_profile
from quantum_trader.policy.rules import RULES

UNUSABLE: Final = 2
_MOST_DIGITS: Final = 18
_BASE_RISK: Final = "base risk for this market type, %"

policy_app = typer.Typer(no_args_is_help=True, help="The policy's rules, and one evaluation of them.")
profile_app = typer.Typer(no_args_is_help=True, help="The policy's profiles: show, compare, check.")

DirectoryOption = Annotated[
    Path | None, typer.Option("--profiles", metavar="DIR", help="Folder of your own profiles (NAME.toml); they win.")
]


# ---- policy ----------------------------------------------------------------------------------------------------
@policy_app.command("rules")
def rules_command(as_json: JsonOption = False) -> None:
    """Print the table of rules."""
    if as_json:
        rows = [
            {"name": rule.name, "when": rule.when, "effect": rule.effect, "profiles": rule.profiles} for rule in RULES
        ]
        typer.echo(json.dumps({"rules": rows}, indent=2, ensure_ascii=False))
        return
    table = Table("rule", "when", "effect", "profiles", title="The policy's rules", show_lines=False)
    for rule in RULES:
        table.add_row(rule.name, rule.when, rule.effect, rule.profiles)
    Console().print(table)


@policy_app.command("eval")
def eval_command(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON with the inputs; - reads standard input.")],
    profiles: DirectoryOption = None,
    now: Annotated[str | None, typer.Option("--now", help="Time of the evaluation, ISO 8601; the clock if left out.")]
    = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as it does anyway.")] = False,
) -> None:
    """Evaluate the rules once on the inputs of FILE and print the policy as JSON.

    Keys: profile, regime_tag, direction, vol_level, market_age_bars, risk_state, symbol_performance, cost_metrics,
    ensemble_quality.
    """
    try:
        policy = evaluate_text(
            _read(file), directory=profiles, ts_ns=now_ns() if now is None else time_ns("--now", now)
        )
    except (ConfigError, InputError) as error:
        _fail(str(error))
    typer.echo(json.dumps(policy.to_dict(), indent=2, ensure_ascii=False))


def evaluate_text(text: str, *, directory: Path | None = None, ts_ns: int = 0) -> TradingPolicy:
    """The policy of the JSON inputs in *text*; InputError or ConfigError naming the key and value that is wrong."""
    try:
        data = json.loads(text, object_pairs_hook=_no_repeats, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise InputError(f"the input is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise InputError("the input is nested too deeply") from None
    known = (
        "profile", "regime_tag", "direction", "vol_level", "market_age_bars", "risk_state", "symbol_performance",
        "cost_metrics", "ensemble_quality",
    )
    _check_keys("input", data, known, ("regime_tag", "vol_level", "risk_state"))
    active = get_active_profile(profile_name=data.get("profile"), directory=directory)
    performance = data.get("symbol_performance")
    performance = [] if performance is None else performance
    require(isinstance(performance, list), "symbol_performance", performance, "must be a list of objects")
    direction = data.get("direction")
    inputs = PolicyInputs(
        regime_tag=to_enum(Trend, "regime_tag", data["regime_tag"]),
        vol_level=to_enum(VolLevel, "vol_level", data["vol_level"]),
        direction=None if direction is None else to_enum(Direction, "direction", direction),
        market_age_bars=_age(data.get("market_age_bars", 0)),
        risk_state=_risk_state(data["risk_state"]),
        symbol_performance=tuple(_performance(at, one) for at, one in enumerate(performance)),
        cost_metrics=_costs(data.get("cost_metrics")),
        ensemble_quality=data.get("ensemble_quality"),
    )
    return evaluate(inputs, active.config, ts_ns=ts_ns)


def _age(value: Any) -> float:
    """The age as a number; NaN is a market that cannot be trusted (F1)."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    require(is_number, "market_age_bars", value, "must be a number")
    return float(value)


def _risk_state(data: Any) -> RiskState:
    required = ("daily_pnl_pct", "losing_streak", "open_trades_count", "total_exposure_pct")
    drawdown = ("day_drawdown_pct", "current_drawdown_pct")  # the second is the published name
    _check_keys("risk_state", data, (*required, *drawdown, "broken_streak", "wins_since", "equity"), required)
    equity = data.get("equity")
    is_number = isinstance(equity, (int, float)) and not isinstance(equity, bool)
    require(equity is None or is_number, "risk_state.equity", equity, "must be a number or null")
    try:
        return create_risk_state(**data)
    except InputError as error:
        raise InputError(f"risk_state.{error}") from None


def _performance(at: int, data: Any) -> Any:
    required = ("symbol", "winrate", "avg_r", "cumulative_pnl", "performance_tag")
    where = f"symbol_performance[{at}]"
    _check_keys(where, data, (*required, "trades", "consecutive_losses"), required)
    require(isinstance(data["symbol"], str), f"{where}.symbol", data["symbol"], "must be text")
    for key in ("trades", "consecutive_losses"):
        require(not isinstance(data.get(key), bool), f"{where}.{key}", data.get(key), "must be a whole number")
    try:
        return create_symbol_performance(**data)
    except InputError as error:
        raise InputError(f"{where}.{error}") from None


def _costs(data: Any) -> Any:
    if data is None:
        return None
    known = ("spread_level", "slippage_level", "liquidity_level", "cost_in_r", "funding_rate_estimate")
    _check_keys("cost_metrics", data, known, ("spread_level", "slippage_level"))
    try:
        return create_cost_metrics(**data)
    except InputError as error:
        raise InputError(f"cost_metrics.{error}") from None


def _check_keys(where: str, data: Any, known: tuple[str, ...], required: tuple[str, ...]) -> None:
    require(isinstance(data, dict), where, data, "must be an object")
    prefix = "" if where == "input" else f"{where}."
    for key, value in data.items():
        require(key in known, repr(f"{prefix}{key}"), value, f"unknown key; known: {', '.join(known)}")
    for key in required:
        if key not in data:
            raise InputError(f"{prefix}{key}: is missing")


def _whole(digits: str) -> int:
    """A whole number of the input; InputError for one that no number of a policy can hold."""
    if len(digits) > _MOST_DIGITS:
        raise InputError(f"the input holds a whole number of {len(digits)} digits: {digits[:12]}…")
    return int(digits)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        require(key not in result, key, value, "is given twice")
        result[key] = value
    return result


def _read(file: str) -> str:
    """The text of *file* or of standard input; InputError when there is none."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


# ---- profile ----------------------------------------------------------------------------------------------------
@profile_app.command("show")
def show_command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A profile; the active one if left out.")] = None,
    profiles: DirectoryOption = None, as_json: JsonOption = False,
) -> None:
    """Print all ten categories of a profile, its values by market type, and which profile is active."""
    try:
        config = load_profile(name, directory=profiles) if name else get_active_profile(directory=profiles).config
        report = profile_report(config, profiles)
    except ConfigError as error:
        _fail(str(error))
    _show(report, as_json)


@profile_app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A profile as TOML.")],
    profiles: DirectoryOption = None, as_json: JsonOption = False,
) -> None:
    """Validate a profile file and print it like `show`; a bad key or value is one line and exit code 2."""
    try:
        report = profile_report(read_profile(file), profiles)
    except ConfigError as error:
        _fail(str(error))
    _show(report, as_json)


@profile_app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(metavar="A")], second: Annotated[str, typer.Argument(metavar="B")],
    profiles: DirectoryOption = None, as_json: JsonOption = False,
) -> None:
    """Print two profiles side by side, with what differs marked."""
    try:
        reports = [profile_report(load_profile(name, directory=profiles), profiles) for name in (first, second)]
    except ConfigError as error:
        _fail(str(error))
    one, two = (dict(profile_rows(report)) for report in reports)
    differing = {key: [one.get(key), two.get(key)] for key in {**one, **two} if one.get(key) != two.get(key)}
    if as_json:
        typer.echo(json.dumps({"profiles": reports, "differences": differing}, indent=2, ensure_ascii=False))
        return
    names = [report["name"] for report in reports]
    table = Table(Column("setting", overflow="fold"), *names, "", title="Profiles compared")
    for key in {**one, **two}:
        mark = "differs" if key in differing else ""
        shown = key.replace(": risk_pct", f": {_BASE_RISK}")
        table.add_row(shown, _text(one.get(key)), _text(two.get(key)), mark, style="bold" if mark else None)
    console = Console()
    console.print(table)
    _print_active(console, reports[0])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    console = Console()
    title = f"Profile {report['name']}: {report['description']}"
    settings = Table(Column("setting", overflow="fold"), "value", title=title)
    for key, value in profile_rows(report):
        if ": " not in key:
            settings.add_row(key, _text(value))
    console.print(settings)
    derived = Table(
        "market type", "confidence", _BASE_RISK, "entry", "exit",
        title="By market type, for an account without loss or losing streak",
    )
    for label, values in report["derived"].items():
        derived.add_row(label, *(_text(value) for value in values.values()))
    console.print(derived)
    _print_active(console, report)


def _print_active(console: Console, report: dict[str, Any]) -> None:
    console.print(f"Active: {report['active']['name']} (from: {report['active']['source']})", highlight=False)
    for line in report["switch"]:
        console.print(f"To switch: {line}", highlight=False, markup=False)
    for name, when in report["use_when"].items():
        console.print(f"Use {name} for {when}.", highlight=False, markup=False)


def _fail(message: str) -> NoReturn:
    """End with one line on standard error."""
    typer.echo("error: " + message.replace("\n", " "), err=True)
    raise typer.Exit(UNUSABLE)
