"""Write docs/reference-metrics.md from the catalogue of metrics: ``python tools/make_metric_reference.py``."""

from __future__ import annotations

import sys
from pathlib import Path

from quantum_trader.lab.metrics.catalogue import Catalogue, load_catalogue
from quantum_trader.lab.metrics.metric import AlertRule, Metric
from quantum_trader.lab.metrics.rendering import metric_text

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference-metrics.md"
HEAD = """# Metrics

Made by `make docs` from the catalogue `src/quantum_trader/data/metrics.yaml`; [how metrics work](concepts-metrics.md).
`quantum-trader metrics explain ID` prints the SQL of each one, or the named function that computes it.

*better*: which way is good. *by*: what a metric can be asked by beside the day. *target*: a value that is good.
*alarm*: when `quantum-trader metrics alerts` says so.
"""


def alarm(rule: AlertRule | None, metric: Metric) -> str:
    """The rule in words."""
    if rule is None:
        return ""
    limits = [
        f"{side} {metric_text(limit, metric.unit)}"
        for side, limit in (("above", rule.above), ("below", rule.below)) if limit is not None
    ]
    least = f", from {rule.least_samples:,} samples on" if rule.least_samples > 1 else ""
    return f"{' or '.join(limits)}{least}, every {rule.cooldown_hours:g} h"


def made_by(metric: Metric) -> str:
    """The function that computes a metric without SQL."""
    return f" Computed by `{metric.function}`." if metric.function else ""


def rows(catalogue: Catalogue, group: str) -> list[str]:
    """The table of one group."""
    found = ["| id | what it is | unit | better | by | target | alarm |", "|---|---|---|---|---|---|---|"]
    for one in catalogue.metrics.values():
        if one.group == group:
            target = "" if one.target is None else metric_text(one.target, one.unit)
            found.append(
                f"| `{one.id}` | {one.title}. {one.meaning}{made_by(one)} | {one.unit} | {one.direction} | "
                f"{', '.join(one.by)} | {target} | {alarm(one.alert, one)} |"
            )
    return found


def reference() -> str:
    """The whole document."""
    catalogue = load_catalogue()
    parts = [HEAD, f"{len(catalogue.metrics)} metrics in {len(catalogue.groups)} groups.\n"]
    for group in catalogue.groups:
        parts += [f"## {group.capitalize()}\n", "\n".join(rows(catalogue, group)) + "\n"]
    parts += ["## Relations\n", "| relation | one row is | by |", "|---|---|---|"]
    parts += [
        f"| `{name}` | {one.meaning} | {', '.join(one.dimensions)} |" for name, one in catalogue.relations.items()
    ]
    parts += ["\n## Sources\n", "What named functions compute metrics from.\n"]
    parts += ["| source | what it is | again |", "|---|---|---|"]
    parts += [f"| `{name}` | {one.meaning} | `{one.command}` |" for name, one in catalogue.sources.items()]
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write the document, or with ``--check`` say whether it is up to date."""
    text = reference()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text("utf-8") == text else 1
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
