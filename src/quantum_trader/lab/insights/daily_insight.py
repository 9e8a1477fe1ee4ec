"""The insight of a day as a value: checked sentences, advice with its evidence, and every figure that they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from quantum_trader.domain.fields import FieldLookup
from quantum_trader.lab.insights import insight_sentences as said
from quantum_trader.lab.insights.day_records import WINDOW_DAYS, DayRecords, RecordedChange
from quantum_trader.lab.insights.insight_figures import move_name
from quantum_trader.lab.insights.recommendations import Recommendation, advice_of, recommendations
from quantum_trader.lab.insights.threshold_moves import MovedThreshold
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import MetricKey, MetricSnapshot, MetricValue
from quantum_trader.lab.shadows.analysis import ShadowAnalysis
from quantum_trader.lab.statements.report import ReportSection, make_section, safe_name_of_key

if TYPE_CHECKING:
    from quantum_trader.lab.market_context import OptimalConditions


class InsightFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of an insight as it is shown, with its bounds of 95 % and the number of its samples."""

    key: str  # as a placeholder names it: metric, day, filter
    title: str
    text: str
    bounds: str  # empty: it has none
    samples: int
    value: float | None
    low: float | None
    high: float | None


class InsightTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table whose cells are keys of figures; the first column holds names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # name, then keys; an empty key is an empty cell
    verdicts: tuple[str, ...] = ()  # words behind each row; empty: none


class DailyInsight(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know and to do after a day, as attributes or by key."""

    day: str
    summary: str
    recommendations: tuple[Recommendation, ...]
    sections: tuple[ReportSection, ...]
    tables: tuple[InsightTable, ...]
    changes: tuple[RecordedChange, ...]
    figures: dict[str, InsightFigure]
    window_days: int
    struck: int = 0  # sentences, advice among them, that did not hold and were not printed


class InsightParts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What an insight is made of."""

    snapshot: MetricSnapshot
    records: DayRecords
    analysis: ShadowAnalysis | None
    conditions: OptimalConditions | None
    moved: MovedThreshold | None
    state: str  # folder that commands name; empty: none
    window_days: int = WINDOW_DAYS


def insight_of(parts: InsightParts) -> DailyInsight:
    """The insight that *parts* give: each sentence checked, each figure with its id."""
    snapshot, records = parts.snapshot, parts.records
    figures = said.SpokenFigures(snapshot)
    head = (*said.headline_sentences(figures), *said.move_sentences(figures, parts.moved))
    sections = (
        make_section(said.SUMMARY, head, snapshot), make_section(said.LEARNT, said.learnt_sentences(figures), snapshot),
        make_section(said.BLOCKED, said.blocked_sentences(figures, records, parts.analysis), snapshot),
        make_section(said.CHANGED, said.changed_sentences(figures), snapshot),
        make_section(said.COSTS, said.cost_sentences(figures), snapshot),
    )
    advice = tuple(advice_of(figures, records, parts.analysis, parts.moved))
    found = recommendations(advice, figures, parts.state)
    tables = tuple(_tables(parts))
    keys = [
        *(key for section in sections for one in section.sentences for key in one.figures),
        *(key for one in found for key in one.figures),
        *(key for table in tables for row in table.rows for key in row[1:] if key),
    ]
    return DailyInsight(
        day=snapshot.day, summary=" ".join(one.text for one in sections[0].sentences),
        recommendations=found, sections=sections, tables=tables, changes=records.changes,
        figures=_figures(keys, snapshot), window_days=parts.window_days,
        struck=len(advice) - len(found) + len([one for section in sections for one in section.struck]),
    )


def _figures(keys: Iterable[str], snapshot: MetricSnapshot) -> dict[str, InsightFigure]:
    """Every figure of *keys*, each once, in order of first use."""
    known: Mapping[str, MetricValue] = {safe_name_of_key(str(one.key)): one for one in snapshot}
    found = {}
    for key in dict.fromkeys(keys):
        one = known[key]
        metric = snapshot.metrics[one.key.metric]
        bounds = [metric_text(bound, metric.unit) for bound in (one.low, one.high) if bound is not None]
        found[key] = InsightFigure(
            key=key, title=metric.title, text=metric_text(one.value, metric.unit), bounds=" to ".join(bounds),
            samples=one.samples, value=one.value, low=one.low, high=one.high,
        )
    return found


# ---- tables ----------------------------------------------------------------------------------------------------------
def _tables(parts: InsightParts) -> Iterable[InsightTable]:
    snapshot, day = parts.snapshot, parts.snapshot.day
    if parts.analysis is not None and parts.analysis.by_gate:
        gates = [one for one in parts.analysis.by_gate if one.measured]
        yield InsightTable(
            title=f"Gates: the day, and the {parts.window_days} days up to its end",
            columns=("Gate", "stopped", "pass rate", "rightly", "mean result", "refusing"),
            rows=tuple(
                (one.gate, *(
                    _key(snapshot, metric, day, gate=one.gate)
                    for metric in ("gate_stops", "gate_pass_rate", "window_gate_accuracy", "window_gate_mean")
                )) for one in gates
            ),
            verdicts=tuple(one.score.verdict for one in gates),
        )
    if parts.records.refusals:
        yield InsightTable(
            title="Signals not traded, by reason", columns=("Reason", "signals"),
            rows=tuple((name, _key(snapshot, "refusals", day, gate=name)) for name in parts.records.refusals),
        )
    if parts.moved is not None:
        yield _moves_table(parts.moved, snapshot)


def _moves_table(moved: MovedThreshold, snapshot: MetricSnapshot) -> InsightTable:
    metrics = ("threshold_now", "threshold_tried", "threshold_passed", "threshold_ended", "threshold_mean")
    unit = f", {moved.unit}" if moved.unit else ""
    return InsightTable(
        title=f"What moving {moved.setting} makes of the day's refused signals ({moved.title}{unit})",
        columns=("Step", "in force", "tried", "let through", "known", "mean result"),
        rows=tuple(
            (move.step, *(_key(snapshot, one, snapshot.day, gate=move_name(moved, move)) for one in metrics))
            for move in moved.moves
        ),
    )


def _key(snapshot: MetricSnapshot, metric: str, day: str, **where: str) -> str:
    """The key of a figure; empty where the snapshot does not have it."""
    key = MetricKey(metric, day, tuple(sorted(where.items())))
    return safe_name_of_key(str(key)) if snapshot.of(key) is not None else ""
