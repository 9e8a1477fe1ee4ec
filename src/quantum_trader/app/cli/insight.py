"""``quantum-trader insight``: what a day taught, what was blocked, what changed, what it cost, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from quantum_trader.app.cli.metrics import CatalogueOption
from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import ConfigError

_LAST: Final = "last"
_PIPE_WIDTH: Final = 120

app = typer.Typer(add_completion=False)


@app.command("insight")
def insight_command(
    state: StateOption,
    day: Annotated[str, typer.Option("--day", metavar="DATE|last", help="Day (UTC); last: the last one.")] = _LAST,
    window: Annotated[
        int, typer.Option("--window", metavar="DAYS", min=1, max=3650,
                          help="Days up to the day's end whose signals blocks and conditions are judged by.")
    ] = 30,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page here, and print nothing.")
    ] = None,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a day of a run taught and what to do, every sentence checked and every figure with its metric's id.

    It uses what was known at the end of the day, and nothing that came after.
    """
    from rich.console import Console

    from quantum_trader.app.cli.run import say_first_run, write_result
    from quantum_trader.app.report.insight import insight_document, insight_markdown, insight_page, insight_view
    from quantum_trader.lab.insights.aggregator import InsightAggregator
    from quantum_trader.lab.metrics.catalogue import load_catalogue

    if as_json + markdown + (html is not None) > 1:
        raise ConfigError("--json, --markdown and --html: give one of them")
    say_first_run(Console(stderr=True))
    aggregator = InsightAggregator(state, load_catalogue(catalogue), window_days=window)
    found = aggregator.get_daily_insights(None if day == _LAST else day)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(insight_document(found))).decode())
    elif markdown:
        typer.echo(insight_markdown(found), nl=False)
    elif html is not None:
        write_result(html, insight_page(found).encode())
    else:
        Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False).print(insight_view(found))
