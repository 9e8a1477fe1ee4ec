"""``quantum-trader pilot``: what the pilot observes, whether its training learns, what it may do and did."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.app.cli.pilot_promotion import demote_command, promote_command
from quantum_trader.app.cli.pilot_settings import set_command, settings_command
from quantum_trader.app.cli.pilot_status import status_command
from quantum_trader.domain.clock import iso

if TYPE_CHECKING:
    from quantum_trader.pilot.artefact import Card
    from quantum_trader.pilot.feature import Feature
    from quantum_trader.pilot.scaling import Scalers

app = typer.Typer(
    no_args_is_help=True, help="The reinforcement-learning pilot: what it observes, learns and may do; trained ones."
)
app.command("settings")(settings_command)
app.command("set")(set_command)
app.command("status")(status_command)
app.command("promote")(promote_command)
app.command("demote")(demote_command)


@app.callback()
def group() -> None:
    """Hold the sub-commands."""


@app.command("features")
def features_command(
    interval: Annotated[
        str, typer.Option("--interval", metavar="INTERVAL", help="Bars that are observed: 1m to 4h.")
    ] = "30m",
    as_json: JsonOption = False,
) -> None:
    """List the 64 features of an observation: name, formula, unit, range, source, mask, scaling; and their hash.

    A scaled feature is (raw value - center) / scale, clipped to ±5. A masked one is 0. The hash is part of a model's
    identity: a model with another one does not load.
    """
    from quantum_trader.pilot.features import FEATURES, feature_hash
    from quantum_trader.pilot.scaling import default_scalers
    from quantum_trader.pilot.settings import ObservationSettings

    settings = ObservationSettings(interval=interval)
    scalers = default_scalers(settings)
    rows = [_row(place, feature, scalers) for place, feature in enumerate(FEATURES)]
    if as_json:
        typer.echo(json.dumps({
            "interval": interval, "feature_hash": feature_hash(settings), "features": rows,
        }, indent=2, ensure_ascii=False))
        return
    _print_table(rows)
    typer.echo(f"interval {interval}, feature hash {feature_hash(settings)}")


@app.command("show")
def show_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a trained pilot.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Check a trained pilot and show its card: what it observes, what it was trained on, and what that gave.

    Weights that are not those of the card, other features and other actions than this program's are refused.
    """
    from quantum_trader.pilot.artefact import load_artefact

    card = load_artefact(folder).card
    if as_json:
        plain = msgspec.to_builtins(card)
        typer.echo(json.dumps({"identity": card.identity, **plain}, indent=2, ensure_ascii=False))
        return
    for name, text in _card_lines(card):
        typer.echo(f"{name:12} {text}")


def _card_lines(card: Card) -> list[tuple[str, str]]:
    """What a person looks for in a card, as names and texts."""
    data = card.data
    metrics = ", ".join(
        f"{name} {'not known' if value is None else f'{value:g}'}" for name, value in card.metrics.items()
    )
    return [
        ("name", card.name), ("identity", card.identity), ("made", f"{iso(card.created_ns)} {card.made_with}".rstrip()),
        ("observes", f"{len(card.scalers.centers)} features of {card.observation.interval} bars, hash "
                     f"{card.scalers.feature_hash}"),
        ("never saw", ", ".join(card.scalers.unseen) or "nothing: every feature varied in training"),
        ("trained on", f"{data.source}: {', '.join(data.symbols)}, {iso(data.first_ns)} to {iso(data.last_ns)}"),
        ("settings", ", ".join(f"{name} {value}" for name, value in card.training.items()) or "none stated"),
        ("results", metrics or "none stated"), ("weights", card.weights_hash), ("licence", card.licence),
    ]


@app.command("learnability")
def learnability_command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Less training and lower bars: about a minute on two cores.")
    ] = False,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Seeds that are trained side by side.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show that training can learn: three markets whose best policy is known exactly.

    A mean-reverting market in which looking one bar ahead is not enough; a ladder of markets that tell more and more
    of the next return; a random walk, in which nothing may be found. Needs the extra `train`. The exit code is 1 when
    a bar is missed.
    """
    from quantum_trader.app.cli.pilot_learnability import (
        as_document,
        check_lines,
        ladder_lines,
        reverting_lines,
        walk_lines,
    )
    from quantum_trader.pilot.training.learnability.plan import LearnabilityPlan, quick_plan
    from quantum_trader.pilot.training.required_packages import require_training_packages

    plan = quick_plan(seeds) if quick else LearnabilityPlan(seeds=seeds)
    require_training_packages()
    from quantum_trader.pilot.training.learnability.exams import Examiner
    from quantum_trader.pilot.training.learnability.findings import Findings

    def show(lines: Iterable[str]) -> None:
        for line in () if as_json else lines:
            typer.echo(line)

    times, examiner = [time.perf_counter()], Examiner(plan)
    reverting = examiner.mean_reverting()
    times.append(time.perf_counter())
    show((*reverting_lines(reverting), *check_lines(reverting.checks(plan))))
    ladder = examiner.cheat_ladder()
    times.append(time.perf_counter())
    show((*ladder_lines(ladder), *check_lines(ladder.checks(plan))))
    walk = examiner.random_walk()
    times.append(time.perf_counter())
    show((*walk_lines(walk), *check_lines(walk.checks(plan))))
    found = Findings(plan=plan, device=examiner.device, reverting=reverting, ladder=ladder, walk=walk)
    seconds = {
        name: round(end - begin, 1)
        for name, begin, end in zip(("mean_reverting", "cheat_ladder", "random_walk"), times, times[1:], strict=False)
    }
    if as_json:
        typer.echo(json.dumps(as_document(found, seconds), indent=2, ensure_ascii=False))
    verdict = "passed" if found.passed else "NOT passed"
    typer.echo(f"{verdict}, {times[-1] - times[0]:.0f} s on {found.device}", err=as_json)
    if not found.passed:
        raise typer.Exit(1)


def _row(place: int, feature: Feature, scalers: Scalers) -> dict[str, Any]:
    """One feature as JSON shows it; an open end of a range is null."""
    return {
        "column": place, "name": feature.name, "formula": feature.formula, "unit": feature.unit,
        "low": feature.low if math.isfinite(feature.low) else None,
        "high": feature.high if math.isfinite(feature.high) else None, "range": feature.range_text,
        "source": feature.source, "masked": feature.mask or None, "center": scalers.centers[place],
        "scale": scalers.scales[place], "fitted": feature.fitted, "version": feature.version,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Print the features; each reason for a mask has a number, and stands once below the table."""
    from rich.console import Console
    from rich.table import Table

    reasons = list(dict.fromkeys(row["masked"] for row in rows if row["masked"]))
    table = Table("column", "name", "unit", "range", "source", "mask", "formula", title="What the pilot observes")
    for row in rows:
        mask = str(reasons.index(row["masked"]) + 1) if row["masked"] else ""
        table.add_row(
            str(row["column"]), row["name"], row["unit"], row["range"], row["source"], mask, row["formula"],
        )
    Console().print(table)
    for number, reason in enumerate(reasons, 1):
        typer.echo(f"mask {number}: {reason}")
