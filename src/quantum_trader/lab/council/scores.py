"""Scores of the analysts' reports, out of 100: accuracy 40, coverage 20, novelty 15, specificity 15, clarity 10.

All but clarity are computed from what was written; clarity is the judge's, who does not know whose report it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from quantum_trader.lab.metrics.values import MetricSnapshot
from quantum_trader.lab.statements.checker import figures_in
from quantum_trader.lab.statements.language import Sentence

WEIGHTS: Final = {"accuracy": 40.0, "coverage": 20.0, "novelty": 15.0, "specificity": 15.0, "clarity": 10.0}
_FIGURES_OF_A_SPECIFIC_SENTENCE: Final = 2.0
_UNRATED: Final = 5.0  # clarity where the judge gave none


class AnalystScore(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one analyst; each part is already weighted."""

    name: str
    accuracy: float
    coverage: float
    novelty: float
    specificity: float
    clarity: float

    @property
    def total(self) -> float:
        """Out of 100."""
        return self.accuracy + self.coverage + self.novelty + self.specificity + self.clarity


def score_reports(
    reports: Mapping[str, Sequence[Sentence]], written: Mapping[str, int], snapshot: MetricSnapshot,
    clarity: Mapping[str, float],
) -> list[AnalystScore]:
    """The scores of *reports* (analyst -> sentences without a flaw), the best first.

    *written*: how many sentences each wrote at first. Accuracy is the share that stood as written; coverage the share
    of the snapshot's groups that it speaks of; novelty the share of its figures that nobody else uses; specificity the
    figures of a sentence, at most two.
    """
    figures = {
        name: [{key.metric for key in figures_in(one, snapshot)} for one in sentences]
        for name, sentences in reports.items()
    }
    groups = {snapshot.metrics[one.key.metric].group for one in snapshot if one.value is not None}
    scores = []
    for name, sentences in reports.items():
        own = set().union(*figures[name]) if figures[name] else set()
        others = set().union(*(one for other, sets in figures.items() if other != name for one in sets))
        spoken = {snapshot.metrics[metric].group for metric in own}
        count = sum(map(len, figures[name]))
        scores.append(AnalystScore(
            name=name,
            accuracy=WEIGHTS["accuracy"] * _share(len(sentences), written[name]),
            coverage=WEIGHTS["coverage"] * _share(len(spoken), len(groups)),
            novelty=WEIGHTS["novelty"] * _share(len(own - others), len(own)),
            specificity=WEIGHTS["specificity"] * _share(count, len(sentences) * _FIGURES_OF_A_SPECIFIC_SENTENCE),
            clarity=WEIGHTS["clarity"] * clarity.get(name, _UNRATED) / 10.0,
        ))
    return sorted(scores, key=lambda one: (-one.total, one.name))


def _share(part: float, whole: float) -> float:
    return min(part / whole, 1.0) if whole > 0 else 0.0
