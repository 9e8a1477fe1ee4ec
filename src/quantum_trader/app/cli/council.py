"""``quantum-trader council``: language models write about a day, a program checks every sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.ordered_sum import ordered_sum

if TYPE_CHECKING:
    from quantum_trader.lab.council.council import CouncilReport
    from quantum_trader.lab.council.ledger import CouncilCall
    from quantum_trader.lab.council.settings import CouncilModel

_SHOWN: Final = 12  # digits of a hash
_MOST_STRUCK: Final = 20

CouncilOption = Annotated[
    Path | None,
    typer.Option("--council", metavar="DIR", help="Folder of the council's answers and costs; else "
                 "QUANTUM_TRADER_COUNCIL, else this user's."),
]
CouncilFileOption = Annotated[
    Path | None,
    typer.Option("--council-file", metavar="FILE", help="The council as a TOML file: models, prices, budget; the one "
                 "that comes with the program when left out."),
]

app = typer.Typer(no_args_is_help=True, help="Language models that write about a day; a program checks every sentence.")
council_app = app


@app.command("run")
def run_command(
    state: StateOption,
    day: Annotated[str, typer.Option("--day", metavar="DATE", help="Day (UTC) to write about; the last one.")] = "",
    council: CouncilOption = None, council_file: CouncilFileOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask again what was cut off by a crash; it may be billed a second time.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the council write about a day of a run. Models without a key are skipped; with none, rules write it."""
    from quantum_trader.app.runs.councils import hold_council, snapshot_of
    from quantum_trader.lab.council.settings import load_council

    settings = load_council(council_file)
    report = hold_council(snapshot_of(state, day), settings, council, again=again)
    if as_json:
        _print(_document(report))
        return
    typer.echo(_told(report))


@app.command("cost")
def cost_command(
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Month (UTC); this one.")] = "",
    council: CouncilOption = None, council_file: CouncilFileOption = None, as_json: JsonOption = False,
) -> None:
    """Show what the models of a month cost: calls, tokens, latency, USD, and what is left of the budget."""
    from quantum_trader.app.runs.councils import open_costs
    from quantum_trader.lab.council.ledger import month_of
    from quantum_trader.lab.council.settings import load_council
    from quantum_trader.policy.clock import now_ns

    if month and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month, re.ASCII):
        raise InputError(f"--month {month!r}: write a month as {month_of(now_ns())}")
    wanted, limit = month or month_of(now_ns()), load_council(council_file).budget_usd_month
    found = [one for one in open_costs(council).calls() if one.month == wanted]
    spent = ordered_sum(one.usd for one in found)
    rows = [_cost_row(name, [one for one in found if one.model == name]) for name in sorted({o.model for o in found})]
    if as_json:
        _print({"month": wanted, "budget_usd": limit, "spent_usd": spent, "left_usd": max(limit - spent, 0.0),
                "models": rows})
        return
    lines = [f"{wanted}: {spent:.4f} of {limit:.2f} USD spent, {max(limit - spent, 0.0):.4f} left"]
    lines += [
        f"  {row['model']:20} {row['calls']:>4} calls  {row['input_tokens']:>9,} + {row['output_tokens']:>8,} tokens  "
        f"{row['latency_s']:>6.1f} s a call  {row['usd']:>9.4f} USD"
        + (f"  {row['open']} cut off, counted in full" if row["open"] else "")
        for row in rows
    ]
    typer.echo("\n".join(lines))


@app.command("models")
def models_command(council_file: CouncilFileOption = None, as_json: JsonOption = False) -> None:
    """List the models of the council: address, price, and whether their key is set."""
    from quantum_trader.app.runs.councils import api_keys_of
    from quantum_trader.lab.council.settings import load_council

    settings = load_council(council_file)
    keys = api_keys_of(settings)
    rows = [_model_row("analyst", one, keys) for one in settings.analysts]
    rows += [_model_row("judge", settings.judge, keys)] if settings.judge else []
    if as_json:
        _print({"budget_usd_month": settings.budget_usd_month, "models": rows})
        return
    typer.echo("\n".join(
        f"{row['seat']:8} {row['name']:16} {row['model']:30} {row['input_usd_per_million']:>6.2f} + "
        f"{row['output_usd_per_million']:>6.2f} USD a million tokens  {row['key']}"
        for row in rows
    ))


def _model_row(seat: str, one: CouncilModel, keys: dict[str, str]) -> dict[str, Any]:
    key = "needs no key" if not one.api_key_env else (
        f"{one.api_key_env} is {'set' if one.api_key_env in keys else 'not set: skipped'}"
    )
    return {"seat": seat, **msgspec.to_builtins(one), "key": key}


def _cost_row(name: str, calls: list[CouncilCall]) -> dict[str, Any]:
    answered = [one for one in calls if one.outcome == "answered"]
    return {
        "model": name, "calls": len(calls), "open": sum(not one.outcome for one in calls),
        "input_tokens": sum(one.input_tokens for one in calls),
        "output_tokens": sum(one.output_tokens for one in calls),
        "latency_s": ordered_sum(one.latency_s for one in answered) / max(len(answered), 1),
        "usd": ordered_sum(one.usd for one in calls),
    }


def _told(report: CouncilReport) -> str:
    lines = [report.report.text]
    if report.scores:
        lines.append("Scores of 100 (accuracy 40, coverage 20, novelty 15, specificity 15, clarity 10)")
        lines += [
            f"  {one.name:20} {one.total:5.1f}  = {one.accuracy:.1f} + {one.coverage:.1f} + {one.novelty:.1f} + "
            f"{one.specificity:.1f} + {one.clarity:.1f}" for one in report.scores
        ]
    lines += [f"Left out: {one.name}: {_plain_line(one.why)}" for one in report.left_out]
    if report.struck:
        lines.append(f"Struck: {len(report.struck)} sentences, for {_rules(report)}")
    lines.append(
        f"Written by: {report.written_by}. Figures {report.snapshot[:_SHOWN]}, prompts {', '.join(report.prompts)}."
    )
    return "\n".join(lines)


def _rules(report: CouncilReport) -> str:
    rules = sorted({flaw.rule for one in report.struck for flaw in one.flaws})
    return ", ".join(rules[:_MOST_STRUCK])


def _plain_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _document(report: CouncilReport) -> dict[str, Any]:
    """The report as JSON; struck sentences only by the rules they broke: what they said is not shown."""
    document: dict[str, Any] = msgspec.to_builtins(report)
    document["struck"] = [
        {"rules": sorted({flaw.rule for flaw in one.flaws})} for one in report.struck
    ]
    for section in document["report"]["sections"]:
        section.pop("struck")
    document["scores"] = [{**msgspec.to_builtins(one), "total": one.total} for one in report.scores]
    return document


def _print(document: dict[str, Any]) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
