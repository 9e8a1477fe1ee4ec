"""``quantum-trader report``: the HTML report of a run with a state folder."""

from __future__ import annotations

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
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="State folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to write; DIR/report.html when left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page with every chart and table of a run; it needs no network and no other file."""
    from quantum_trader.app.report.html import html_report

    content = read_report(state)
    target = out or state / REPORT_HTML
    if target.is_dir() or not target.resolve().parent.is_dir():
        raise StateError(f"--out {target}: must be a file in a folder that exists")
    write_result(target, html_report(content).encode())
    typer.echo(msgspec.json.encode({"report": str(target)}).decode() if as_json else f"{target}")


def read_report(state: Path) -> dict[str, Any]:
    """The report that a run left in *state*; StateError says what is missing."""
    path = state / REPORT_JSON
    if not path.is_file():
        if (state / "live.json").exists():
            raise StateError(
                f"--state {state}: holds a live session, which has no report; its trades: quantum-trader journal sql "
                f"'select * from trades_by_day' --state {state}; its state: quantum-trader status --state {state}"
            )
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
