"""Run the benchmarks: a row on the screen for each figure, and ``build/bench.json`` rewritten after each.

``python benchmarks/run.py [--only NAME] [--json]``; NAME is a benchmark's name or the beginning of one.
``python benchmarks/run.py --against DIR`` compares this checkout with another one, in turns (see against.py).

The exit code is 1 when a benchmark failed or a ratio missed its bar, 2 when there is no such benchmark.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.against import compare  # noqa: E402
from benchmarks.harness import BENCHES, Figure  # noqa: E402

OUT = ROOT / "build" / "bench.json"


def load() -> None:
    """Import every ``bench_*.py``; each registers itself."""
    for path in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        importlib.import_module(f"benchmarks.{path.stem}")


def machine() -> dict[str, Any]:
    """What the figures were measured on, and the load at the start (1, 5 and 15 minutes)."""
    return {
        "machine": platform.machine(), "python": platform.python_version(), "processors": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def line_of(figure: Figure) -> str:
    """One figure for a person."""
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.3g}"
    verdict = {None: "", True: "  ok", False: "  MISSED"}[figure.passed]
    return (
        f"{figure.name:<52} {figure.value:>14,.2f} {figure.unit:<20} ratio {ratio:>7}  {figure.bar:<14}{verdict:<8}  "
        f"{figure.reference_name}: {figure.reference:,.2f}"
    )


class Results:
    """The figures so far, in ``build/bench.json`` after each of them: an interrupted run keeps what it has."""

    def __init__(self, out: Path, as_json: bool) -> None:
        self.out, self.as_json = out, as_json
        self.content: dict[str, Any] = {**machine(), "finished": False, "failed": {}, "figures": []}

    def add(self, figure: Figure) -> None:
        """Keep and show one figure."""
        self.content["figures"].append(figure.row())
        self.write()
        print(json.dumps(figure.row()) if self.as_json else line_of(figure), flush=True)

    def fail(self, name: str, error: Exception) -> None:
        """Keep and show why a benchmark ended early."""
        self.content["failed"][name] = f"{type(error).__name__}: {error}"
        self.write()
        print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)

    def write(self) -> None:
        """Replace the file by the figures so far; a reader sees the old content or the new, nothing between."""
        self.out.parent.mkdir(exist_ok=True)
        part = self.out.with_suffix(".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        part.replace(self.out)

    def finish(self) -> int:
        """Mark the run as complete; returns the exit code."""
        self.content["finished"] = True
        self.write()
        missed = [row["name"] for row in self.content["figures"] if row["passed"] is False]
        for text, names in (("failed", list(self.content["failed"])), ("missed its bar", missed)):
            for name in names:
                print(f"{name}: {text}", file=sys.stderr)
        return 1 if missed or self.content["failed"] else 0


def run(names: list[str], as_json: bool) -> int:
    """Run the benchmarks *names*; one that fails does not stop the others."""
    results = Results(OUT, as_json)
    for name in names:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        try:
            for figure in BENCHES[name]():
                results.add(figure)
        except Exception as error:  # noqa: BLE001 - a benchmark may fail in any way; the others go on
            results.fail(name, error)
    code = results.finish()
    print(f"written to {OUT.relative_to(ROOT)}", file=sys.stderr)
    return code


def main() -> int:
    """Run or compare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run the benchmarks whose name begins with this; a,b for several")
    parser.add_argument("--json", action="store_true", help="print each figure as a line of JSON")
    parser.add_argument("--against", type=Path, metavar="DIR", help="compare with the checkout in DIR, in turns")
    parser.add_argument("--turns", type=int, default=3, help="runs of each checkout with --against (3)")
    parser.add_argument("--cpu-time", action="store_true", help="with --against: the thread's CPU time, not the wall's")
    asked = parser.parse_args()
    load()
    wanted = tuple(asked.only.split(","))
    names = [name for name in sorted(BENCHES) if name.startswith(wanted)]
    if not names:
        print(f"no benchmark is called {asked.only!r}; there are: {', '.join(sorted(BENCHES))}", file=sys.stderr)
        return 2
    if asked.against is not None:
        return compare(ROOT, asked.against.resolve(), names, asked.turns, "cpu" if asked.cpu_time else "wall")
    return run(names, asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
