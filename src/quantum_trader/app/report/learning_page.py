"""A training of signal models as one HTML page that needs nothing else, made from its document alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from quantum_trader.app.report.charts import Size, bar_rows, both, svg
from quantum_trader.app.report.learning import (
    FOLD_COLUMNS,
    IMPORTANCE_COLUMNS,
    MOST_FEATURES_SHOWN,
    RELIABILITY_COLUMNS,
    bets_words,
    estimate_text,
    fold_cells,
    importance_cells,
    learned_verdict,
    reliability_cells,
    score_words,
    together_cells,
)
from quantum_trader.app.report.page_parts import card, cells_table, page_of, section
from quantum_trader.domain.clock import iso

if TYPE_CHECKING:
    from quantum_trader.lab.learning.learning_result import LearnedOutcome, LearningDocument
    from quantum_trader.lab.learning.probability_scores import ReliabilityBin

_HEIGHT: Final = 300
_MARGIN: Final = 44.0
_STEPS: Final = 5  # between the labels of an axis of 0 to 1
_FOLD_NOTE: Final = (
    "Each test comes after everything that its model was trained and calibrated on; labels that reach into it are left "
    "out of the training, and so is an embargo. Intervals of 95 % count whole blocks of time, since labels overlap. "
    "The baselines are the share of rises in the training and an uncalibrated logistic regression. Differences of log "
    "loss are in thousandths; below 0 the model is better."
)
_CURVE_NOTE: Final = "What was said and what happened, over all tests. On the diagonal a probability is what it says."
_IMPORTANCE_NOTE: Final = (
    "By how much the log loss rises on unseen samples where a feature is shuffled (mean over the tests), and the mean "
    "size of its SHAP values in the model that is kept. Features that say the same share what they are worth."
)


def learning_page(document: LearningDocument) -> str:
    """Render *document*."""
    data = document.data
    sections = [
        f"<header><h1>Training of {escape(document.kind)} models</h1><p>{escape(', '.join(data.symbols))} · "
        f"{data.samples:,} samples, {document.independent_samples:,.0f} independent at most · "
        f"{iso(data.first_ns)[:10]} to {iso(data.last_ns)[:10]} · {escape(data.source)} data</p></header>",
    ]
    for outcome in document.models:
        sections += _model_sections(outcome)
    sections += [_leakage(document), _settings(document)]
    return page_of(f"Training of {document.kind} models", sections, {"curves": {"ts_s": []}})


def _model_sections(outcome: LearnedOutcome) -> list[str]:
    result = outcome.result
    scores = result.together.scores
    cards = "".join((
        card("AUC", estimate_text(scores.auc), f"logistic {result.baselines['logistic'].auc.value:.3f}"),
        card("Calibration error", estimate_text(scores.ece), f"noise alone {scores.ece_if_calibrated:.3f}"),
        card("Brier score", estimate_text(scores.brier, 4), f"constant {result.baselines['constant'].brier.value:.4f}"),
        card("Samples", f"{scores.samples:,}", f"{scores.blocks} blocks of time"),
    ))
    title = f"{outcome.learner} · {outcome.model_id[:16]}"
    return [
        section(title, f'<div class="cards">{cards}</div>',
                f'<p class="verdict">{escape(learned_verdict(outcome))}</p>',
                f"<p>{escape(score_words(scores))}; {escape(bets_words(result.together))}</p>"),
        section(f"{outcome.learner}: tests", cells_table(
            FOLD_COLUMNS, [*map(fold_cells, result.folds), together_cells(outcome)]), note=_FOLD_NOTE),
        section(f"{outcome.learner}: reliability", both(lambda size: reliability_chart(result.reliability, size)),
                cells_table(RELIABILITY_COLUMNS, reliability_cells(outcome)), note=_CURVE_NOTE),
        section(f"{outcome.learner}: features", both(lambda size: _importance_chart(outcome, size)),
                cells_table(IMPORTANCE_COLUMNS, importance_cells(outcome)), note=_IMPORTANCE_NOTE),
    ]


def _importance_chart(outcome: LearnedOutcome, size: Size) -> str:
    rows = [(one.name, one.contribution, f"{one.contribution:.4f}") for one in sorted(
        outcome.importance, key=lambda one: (-one.contribution, one.name))[:MOST_FEATURES_SHOWN]]
    return bar_rows("Mean size of SHAP values, log odds", rows, size=size)


def reliability_chart(bins: Sequence[ReliabilityBin], size: Size) -> str:
    """The reliability curve: points with their intervals beside the diagonal."""
    width, height = float(size.width) - 2.0 * _MARGIN, _HEIGHT - 2.0 * _MARGIN

    def x(share: float) -> float:
        return _MARGIN + share * width

    def y(share: float) -> float:
        return _HEIGHT - _MARGIN - share * height

    parts = [f'<line class="grid" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>']
    for step in range(_STEPS + 1):
        share = step / _STEPS
        parts += [
            f'<text class="tick" x="{x(share):.1f}" y="{_HEIGHT - _MARGIN / 3:.1f}" text-anchor="middle">{share:.1f}'
            "</text>",
            f'<text class="tick" x="{_MARGIN - 8:.1f}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.1f}</text>',
        ]
    for one in bins:
        at = x(one.mean_probability)
        parts += [
            f'<line class="equity curve" x1="{at:.1f}" y1="{y(one.share_low):.1f}" x2="{at:.1f}" '
            f'y2="{y(one.share_high):.1f}"/>',
            f'<circle class="equity curve" cx="{at:.1f}" cy="{y(one.share):.1f}" r="4"/>',
        ]
    return svg("Reliability: said (across) and happened (up)", _HEIGHT, parts, size)


def _leakage(document: LearningDocument) -> str:
    rows = [(one.check, one.feature, one.told) for one in document.leakage]
    checks = f"<p>Checked: {escape(', '.join(document.leakage_checks))}.</p>"
    table = cells_table(("check", "feature", "found"), rows) if rows else "<p>Nothing was found.</p>"
    return section("Features that know the future", checks, table)


def _settings(document: LearningDocument) -> str:
    rows = [(key, str(value)) for key, value in sorted(document.identity.items())]
    rows += [(name, number) for name, number in sorted(document.versions.items())]
    return section("Settings", cells_table(("key", "value"), rows))
