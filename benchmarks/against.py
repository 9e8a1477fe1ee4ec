"""Compare two checkouts on one machine: ``python benchmarks/run.py --against DIR``.

Each benchmark runs in a process of its own, this checkout and the other in turns (A B B A A B ...), each with its own
``benchmarks/`` and its own ``src/``; figures are matched by name. The other checkout needs a ``benchmarks/run.py`` that
takes ``--only NAME`` and writes ``build/bench.json``, as all versions have. The medians of the turns are compared.

With ``--cpu-time`` both checkouts measure the CPU time of the thread that is timed instead of the wall's: on a machine
where other work runs, the time that a thread waits for a processor says nothing about the code. What other threads,
processes and disks do is not counted then.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

AFTER, BEFORE = "after", "before"
RENAMED: dict[str, str] = {}  # a figure's name in an older checkout: its name here

Rows = dict[str, dict[str, Any]]

_CPU_TIME = """
import runpy, sys, time
time.perf_counter, time.perf_counter_ns = time.thread_time, time.thread_time_ns
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_LAUNCH = {
    "wall": ["benchmarks/run.py"],
    "cpu": ["-c", f"import sys; del sys.argv[0]\n{_CPU_TIME}", "benchmarks/run.py"],
}


def rows_of(root: Path, name: str, clock: str) -> Rows:
    """Run the benchmark *name* of the checkout in *root*; its figures by their name here. Empty when it fails."""
    out = root / "build" / "bench.json"
    out.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, *_LAUNCH[clock], "--only", name], cwd=root, env=environment, capture_output=True, text=True,
        check=False,
    )
    if not out.exists():
        print(f"{root}: {name} gave no figures:\n{done.stdout[-2000:]}{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    content = json.loads(out.read_text())
    rows = content if isinstance(content, list) else content["figures"]
    return {RENAMED.get(row["name"], row["name"]): row for row in rows}


def speed_up(after: float, before: float, unit: str) -> float | None:
    """How much faster or smaller *after* is: above 1 it is better. None for a count."""
    if unit.endswith("/s"):
        return after / before if before else None
    if unit in ("us", "s", "MiB", "B") or unit.startswith("min"):
        return before / after if after else None
    return None


def comparison(runs: dict[str, list[Rows]]) -> list[dict[str, Any]]:
    """One row a figure that both checkouts have: medians, their quotient (above 1 is better), each turn's values.

    *before_ratio* is the older checkout's value beside this one's reference: what a bar of ratios would say of it.
    """
    last = runs[AFTER][-1] if runs[AFTER] else {}
    rows = []
    for name, figure in last.items():
        values = {side: [run[name]["value"] for run in runs[side] if name in run] for side in (AFTER, BEFORE)}
        if not values[BEFORE]:
            continue
        after, before = (statistics.median(values[side]) for side in (AFTER, BEFORE))
        reference = statistics.median(run[name]["reference"] for run in runs[AFTER] if name in run)
        rows.append({
            "name": name, "unit": figure["unit"], "after": after, "before": before,
            "after_to_before": speed_up(after, before, figure["unit"]), "values": values,
            "after_ratio": after / reference if reference else None,
            "before_ratio": before / reference if reference else None, "bar": figure["bar"],
        })
    return rows


def line_of(row: dict[str, Any]) -> str:
    """One comparison for a person."""
    quotient, ratios = row["after_to_before"], [row["before_ratio"], row["after_ratio"]]
    shown = "-" if quotient is None else f"{quotient:.3f}"
    of_reference = " -> ".join("-" if ratio is None else f"{ratio:.3g}" for ratio in ratios)
    return (
        f"{row['name']:<52} {row['before']:>14,.2f} -> {row['after']:>14,.2f} {row['unit']:<20} "
        f"after ÷ before {shown:>6}  ratio {of_reference}"
    )


def compare(here: Path, other: Path, names: list[str], turns: int, clock: str) -> int:
    """Run *names* of both checkouts in turns and print after ÷ before, better above 1. Exit code 1 when one failed."""
    if not (other / "benchmarks" / "run.py").exists():
        print(f"{other} has no benchmarks/run.py: it is no checkout of this project", file=sys.stderr)
        return 2
    out, found, failed = here / "build" / "bench-against.json", [], False
    out.parent.mkdir(exist_ok=True)
    for name in names:
        runs: dict[str, list[Rows]] = {AFTER: [], BEFORE: []}
        sides = ((BEFORE, other), (AFTER, here))
        for turn in range(turns):
            for side, root in sides if turn % 2 == 0 else sides[::-1]:
                load = os.getloadavg()[0]
                print(f"{name}, turn {turn + 1}/{turns}: {side} ({root}), load {load:.2f}", file=sys.stderr, flush=True)
                if rows := rows_of(root, name, clock):
                    runs[side].append(rows)
                failed |= not rows
        rows_found = comparison(runs)
        for row in rows_found:
            print(line_of(row), flush=True)
        found += rows_found
        part = out.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(out)
    print(f"written to {out.relative_to(here)}", file=sys.stderr)
    return 1 if failed else 0
