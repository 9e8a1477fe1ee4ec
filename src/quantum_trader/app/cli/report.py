"""``quantum-trader report``: the HTML report and the trades of a run or a live session with a state folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.app.cli.run import REPORT_HTML, REPORT_JSON, write_result
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_private

app = typer.Typer()


@app.command("report")
def report_command(
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="State folder of a finished run, or of a "
                                                  "live session.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write; DIR/report.html when left out.")
    ] = None,
    trades: Annotated[
        Path | None, typer.Option("--trades", metavar="FILE.csv", help="Write every closed trade here, one row each, "
                                  "instead of the page (which --out still asks for).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page with every chart and table of a run or a live session; it needs no network.

    A live session is reported while it trades, stopped or dead: result since the start, by model and by source, open
    positions, halts, deepest drawdown. The folder's own files stay as they are.
    """
    for flag, path in (("--out", out), ("--trades", trades)):
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise StateError(f"{flag} {path}: must be a file in a folder that exists")
    written: dict[str, Any] = {}
    if trades is not None:
        written |= {"trades": str(trades), "rows": write_trades(state, trades)}
    if trades is None or out is not None:
        target = out or state / REPORT_HTML
        write_result(target, page_for(state).encode())
        written["report"] = str(target)
    if as_json:
        typer.echo(msgspec.json.encode(written).decode())
        return
    if trades is not None:
        typer.echo(f"{trades}: {written['rows']:,} trades")
    if "report" in written:
        typer.echo(written["report"])


def page_for(state: Path) -> str:
    """The page of the run or of the live session in *state*."""
    from quantum_trader.app.runs.live_settings import FOLDER_FILE

    if (state / FOLDER_FILE).exists():
        from quantum_trader.app.report.live import build_live_report, live_page

        return live_page(build_live_report(state, time.time_ns()))
    from quantum_trader.app.report.html import html_report

    return html_report(read_report(state))


def write_trades(state: Path, path: Path) -> int:
    """Write the closed trades of *state* to *path* as CSV; returns how many there are."""
    from quantum_trader.app.report.trades import recorded_trades, trades_csv

    found = recorded_trades(state)
    write_result(path, trades_csv(found))
    return len(found)


def read_report(state: Path) -> dict[str, Any]:
    """The report that a run left in *state*; StateError says what is missing."""
    path = state / REPORT_JSON
    if not path.is_file():
        if not state.exists():
            raise StateError(
                f"--state {state}: there is no such folder; a run makes it: quantum-trader run --state {state}"
            )
        raise StateError(
            f"--state {state}: holds no {REPORT_JSON}, which a run writes when it ends; resume it first: "
            f"quantum-trader run --state {state}"
        )
    try:
        content = decode_json(read_private(path))
    except msgspec.DecodeError as error:
        raise StateError(f"{path}: damaged ({error}); run again with the same --state to rewrite it") from None
    if not isinstance(content, dict) or content.get("kind") != "quantum-trader run report":
        raise StateError(f"{path}: is not the report of a run")
    return content
