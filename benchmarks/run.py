"""Run the benchmarks: a table on the screen and ``build/bench.json``.

``python benchmarks/run.py [--only NAME]``; NAME is a benchmark's name or the beginning of one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.harness import BENCHES, Figure  # noqa: E402


def load() -> None:
    """Import every ``bench_*.py``; each registers itself."""
    for path in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        importlib.import_module(f"benchmarks.{path.stem}")


def table_of(figures: list[Figure]) -> Table:
    """The figures for a person."""
    table = Table(title=f"{platform.machine()}, Python {platform.python_version()}")
    for column in ("figure", "value", "unit", "bar", "reference", "ratio"):
        table.add_column(column, justify="left" if column in ("figure", "unit", "bar", "reference") else "right")
    for figure in figures:
        row = figure.row()
        ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else "-"
        table.add_row(
            figure.name, f"{figure.value:,.2f}", figure.unit, figure.bar,
            f"{figure.reference_name}: {figure.reference:,.2f}", ratio,
        )
    return table


def main() -> int:
    """Run what was asked for; exit code 2 when there is no such benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the benchmarks whose name begins with this")
    wanted = parser.parse_args().only
    load()
    names = [name for name in sorted(BENCHES) if name.startswith(wanted)]
    console = Console(width=None if sys.stdout.isatty() else 160)
    if not names:
        console.print(f"no benchmark is called {wanted!r}; there are: {', '.join(sorted(BENCHES))}")
        return 2
    figures: list[Figure] = []
    for name in names:
        console.print(f"running {name} ...", style="dim")
        figures += BENCHES[name]()
    console.print(table_of(figures))
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps([figure.row() for figure in figures], indent=1) + "\n")
    console.print(f"written to {out.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
