"""How models develop: two compared, one over time, its drift, and whether it is ready for production.

Everything is computed from what each model's evaluation left behind (``evidence_file``): its out-of-sample predictions.
Samples that overlap in time are counted in blocks of time (``probability_scores``). The reasons for the rules:
docs/decisions/0151.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, iso
from quantum_trader.domain.errors import DataError, InputError, require
from quantum_trader.lab.learning.drift import Drift, drift_of, drift_table
from quantum_trader.lab.learning.evidence_file import ModelEvidence
from quantum_trader.lab.learning.leakage_checks import RECORDED, needed_checks
from quantum_trader.lab.learning.probability_scores import (
    AucDifference,
    LossDifference,
    ProbabilityScores,
    auc_difference,
    auc_of,
    auc_p_value,
    expected_calibration_error,
    log_losses,
    loss_difference,
    score_probabilities,
    squared_errors,
    time_blocks,
)
from quantum_trader.lab.learning.trend_line import MetricTrend, trend_line
from quantum_trader.market.arrays import Floats, Ints

EVIDENCE_P_VALUE: Final = "p_value"  # name of the metric: one-sided, of an out-of-sample AUC of 0.5 or less
_LEAST_A_DAY: Final = 20  # samples of a day whose metric counts
_TREND_METRICS: Final = ("auc", "brier", "log_loss", "ece")


class ReadinessRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a model must reach before production may load it."""

    min_auc: float = 0.65
    max_ece: float = 0.10
    min_samples: int = 1_000  # out of sample
    alpha: float = 0.05  # two-sided error of "better than the champion"; shared by AUC and log loss
    implausible_auc: float = 0.95  # above it the model itself is a sign of leakage

    def __post_init__(self) -> None:
        for key in ("min_auc", "max_ece", "implausible_auc"):
            value = getattr(self, key)
            require(0.0 <= value <= 1.0, key, value, "must lie between 0 and 1")
        require(self.min_samples >= 1, "min_samples", self.min_samples, "must be at least 1")
        require(0.0 < self.alpha < 0.5, "alpha", self.alpha, "must lie between 0 and 0.5")


class ModelComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same out-of-sample samples: differences are the first less the second."""

    first: str
    second: str
    samples: int
    blocks: int
    auc: AucDifference  # above 0 the first is better
    brier: LossDifference  # below 0 the first is better
    log_loss: LossDifference
    is_better: bool  # the first, in AUC or log loss, and in neither worse; at half of alpha each
    is_worse: bool
    told: str  # a sentence


class ReadinessCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One condition, what was found and what is asked for."""

    name: str
    passed: bool
    told: str
    value: float | None = None
    limit: float | None = None


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model may go to production, and what stands in the way."""

    model_id: str
    champion_id: str  # empty: there is none
    checks: tuple[ReadinessCheck, ...]
    scores: ProbabilityScores | None  # None where its evidence cannot be read

    @property
    def ready(self) -> bool:
        """Whether every condition is met."""
        return all(one.passed for one in self.checks)

    @property
    def blockers(self) -> tuple[str, ...]:
        """A sentence for each condition that is not met."""
        return tuple(one.told for one in self.checks if not one.passed)


class ModelDrift(msgspec.Struct, frozen=True, kw_only=True):
    """What has drifted since a model was evaluated."""

    model_id: str
    prediction: Drift
    features: tuple[tuple[Drift, float], ...]  # with the false discovery rate of each, the lowest first
    alpha: float

    @property
    def drifted(self) -> tuple[str, ...]:
        """The names of what has drifted: ``prediction``, and features."""
        found = [one.name for one, rate in self.features if rate < self.alpha]
        return tuple((["prediction"] if self.prediction.has_drifted else []) + found)


class ModelEvolutionTracker:
    """Compares models, follows them over days, and says whether one is ready for production.

    *evidence_of* gives a model's evidence by its id (DataError where there is none), *champion_of* the id of the
    champion, empty where there is none.
    """

    def __init__(
        self, evidence_of: Callable[[str], ModelEvidence], champion_of: Callable[[], str] = lambda: "",
        rules: ReadinessRules | None = None,
    ) -> None:
        self._evidence_of, self._champion_of = evidence_of, champion_of
        self.rules = rules or ReadinessRules()

    def scores(self, model_id: str) -> ProbabilityScores:
        """The model's out-of-sample scores, every sample counted once, with intervals over blocks of time."""
        return evidence_scores(self._evidence_of(model_id))

    def compare_models(self, first: str, second: str, *, alpha: float | None = None) -> ModelComparison:
        """Test *first* against *second* on the samples that both predicted without having seen them.

        AUC by DeLong's paired test over blocks of time, Brier score and log loss by a paired t test over the same
        blocks. Raises DataError where the two have no sample in common, or label one differently.
        """
        return compare_evidence(
            self._evidence_of(first), self._evidence_of(second), alpha=self.rules.alpha if alpha is None else alpha
        )

    def is_ready_for_hamilton(self, model_id: str) -> Readiness:
        """Whether the model may be exported to production, with everything that stands in the way.

        A model whose evidence cannot be read is not ready.
        """
        champion_id = self._champion_of()
        try:
            evidence = self._evidence_of(model_id)
        except DataError as error:
            told = ReadinessCheck(name="evidence", passed=False, told=str(error))
            return Readiness(model_id=model_id, champion_id=champion_id, checks=(told,), scores=None)
        scores = evidence_scores(evidence)
        checks = (*own_checks(evidence, scores, self.rules), *self._champion_checks(evidence, champion_id))
        return Readiness(model_id=evidence.model_id, champion_id=champion_id, checks=checks, scores=scores)

    def _champion_checks(self, evidence: ModelEvidence, champion_id: str) -> tuple[ReadinessCheck, ...]:
        """Newer data than the champion's, and better than it."""
        if not champion_id:
            return tuple(
                ReadinessCheck(name=name, passed=True, told="there is no champion to compare it with")
                for name in ("newer_data", "better_than_champion")
            )
        if champion_id == evidence.model_id:
            return (ReadinessCheck(name="better_than_champion", passed=False, told="it is the champion already"),)
        try:
            champion = self._evidence_of(champion_id)
            compared = compare_evidence(evidence, champion, alpha=self.rules.alpha)
        except DataError as error:
            told = f"it cannot be compared with the champion {champion_id[:12]}: {error}"
            return (ReadinessCheck(name="better_than_champion", passed=False, told=told),)
        newer = ReadinessCheck(
            name="newer_data", passed=evidence.data_until_ns > champion.data_until_ns,
            told=f"its data end {iso(evidence.data_until_ns)}, the champion's {iso(champion.data_until_ns)}",
        )
        better = ReadinessCheck(
            name="better_than_champion", passed=compared.is_better, told=compared.told, value=compared.auc.difference,
        )
        return newer, better

    def trend(self, model_id: str, metric: str = "auc", days: int | None = None) -> MetricTrend:
        """*metric* (auc, brier, log_loss or ece) of the model's samples of each UTC day, over the last *days*."""
        return daily_trend(self._evidence_of(model_id), metric, days)

    def drift(
        self, model_id: str, predictions: Floats, features: Floats | None = None, *, alpha: float = 0.01
    ) -> ModelDrift:
        """How far *predictions* (m,) and *features* (m, features), in order of time, are from those of its evidence.

        Raises DataError for features where the evidence has no sample of them.
        """
        evidence = self._evidence_of(model_id)
        order = np.argsort(evidence.starts_ns, kind="stable")
        found: tuple[tuple[Drift, float], ...] = ()
        if features is not None:
            if evidence.reference_features is None:
                raise DataError(f"model {model_id[:12]}: its evidence has no sample of features; train it again")
            found = drift_table(evidence.feature_names, evidence.reference_features, features, alpha=alpha)
        prediction = drift_of("prediction", evidence.probabilities[order], predictions, alpha=alpha)
        return ModelDrift(model_id=model_id, prediction=prediction, features=found, alpha=alpha)


def evidence_scores(evidence: ModelEvidence) -> ProbabilityScores:
    """The out-of-sample scores in *evidence*, every sample counted once, with intervals over blocks of time."""
    return score_probabilities(evidence.labels, evidence.probabilities, blocks=evidence_blocks(evidence))


def evidence_blocks(evidence: ModelEvidence) -> Ints:
    """The number of the block of time of each sample (n,)."""
    return time_blocks(evidence.starts_ns, evidence.ends_ns)


def evidence_p_value(evidence: ModelEvidence) -> float:
    """The one-sided p-value of an AUC of 0.5 or less, over blocks of time; NaN where there are too few."""
    return auc_p_value(evidence.labels, evidence.probabilities, blocks=evidence_blocks(evidence))


def own_checks(
    evidence: ModelEvidence, scores: ProbabilityScores, rules: ReadinessRules
) -> tuple[ReadinessCheck, ...]:
    """The conditions that a model meets or not by itself."""
    area, error = scores.auc.value, scores.ece.value
    low = scores.auc.low
    chance = f"its 95 % interval begins at {low:.3f}" if not math.isnan(low) else (
        f"it has no interval: {scores.blocks} blocks of time are too few"
    )
    return (
        ReadinessCheck(
            name="samples", passed=scores.samples >= rules.min_samples, value=float(scores.samples),
            limit=float(rules.min_samples),
            told=f"{scores.samples:,} out-of-sample samples in {scores.blocks} blocks of time; at least "
                 f"{rules.min_samples:,} samples are needed",
        ),
        ReadinessCheck(
            name="auc", passed=area >= rules.min_auc, value=area, limit=rules.min_auc,
            told=f"AUC {area:.3f}; at least {rules.min_auc:g} is needed",
        ),
        ReadinessCheck(
            name="auc_above_chance", passed=low > 0.5, value=low, limit=0.5,
            told=f"AUC {area:.3f}, {chance}; it must lie above 0.5",
        ),
        ReadinessCheck(
            name="ece", passed=error <= rules.max_ece, value=error, limit=rules.max_ece,
            told=f"calibration error {error:.3f} (noise alone gives {scores.ece_if_calibrated:.3f}); at most "
                 f"{rules.max_ece:g} is allowed",
        ),
        _leakage_check(evidence, area, rules),
    )


def _leakage_check(evidence: ModelEvidence, area: float, rules: ReadinessRules) -> ReadinessCheck:
    """No leakage: every check was made, none found anything, and the model is not too good to be true."""
    told = [one.told for one in evidence.leakage]
    needed = needed_checks(evidence.features_hash)
    missing = [name for name in needed if name not in evidence.leakage_checks]
    if missing:
        told.append(f"was not checked for leakage by {', '.join(missing)}")
    if area > rules.implausible_auc:
        told.append(f"an AUC of {area:.3f} is not plausible for trades; look for a feature that knows the outcome")
    recorded = "; its features are those that the journal recorded at the decisions, and are not computed again" \
        if RECORDED in needed else ""
    return ReadinessCheck(
        name="leakage", passed=not told, value=float(len(told)), limit=0.0,
        told=f"leakage: {'; '.join(told)}" if told else f"no leakage was found{recorded}",
    )


def compare_evidence(first: ModelEvidence, second: ModelEvidence, *, alpha: float = 0.05) -> ModelComparison:
    """Compare two models as :meth:`ModelEvolutionTracker.compare_models` does."""
    labels, one, other, starts, ends = _paired(first, second)
    blocks = time_blocks(starts, ends)
    area = auc_difference(labels, one, other, blocks=blocks, alpha=alpha)
    weights = np.ones(len(labels))
    losses = [
        loss_difference(measure(labels, one), measure(labels, other), weights, blocks, alpha=alpha)
        for measure in (squared_errors, log_losses)
    ]
    brier, log_loss = losses
    signs = [_sign(area.difference, area.p_value, alpha), -_sign(log_loss.difference, log_loss.p_value, alpha)]
    better, worse = max(signs) > 0 and min(signs) >= 0, min(signs) < 0 and max(signs) <= 0
    verdict = "significantly better" if better else "significantly worse" if worse else "not told apart"
    count = len(np.unique(blocks))
    told = (
        f"against {second.model_id[:12]} on {len(labels):,} common samples in {count} blocks of time: AUC "
        f"{area.difference:+.4f} (p {_shown(area.p_value)}), log loss {log_loss.difference:+.4f} (p "
        f"{_shown(log_loss.p_value)}): {verdict}"
    )
    return ModelComparison(
        first=first.model_id, second=second.model_id, samples=len(labels), blocks=count, auc=area, brier=brier,
        log_loss=log_loss, is_better=better, is_worse=worse, told=told,
    )


def _sign(difference: float, p_value: float, alpha: float) -> int:
    """+1 or -1 where a difference is significant at half of *alpha* (two measures are looked at), else 0."""
    return int(np.sign(difference)) if p_value < alpha / 2.0 else 0


def _shown(p_value: float) -> str:
    return "unknown" if math.isnan(p_value) else f"{p_value:.3f}" if p_value >= 0.001 else "below 0.001"


def _paired(first: ModelEvidence, second: ModelEvidence) -> tuple[Floats, Floats, Floats, Ints, Ints]:
    """Labels, both models' probabilities, starts and ends of the samples that both predicted."""
    if second.model_id in first.rivals:
        return first.labels, first.probabilities, first.rivals[second.model_id], first.starts_ns, first.ends_ns
    if first.model_id in second.rivals:
        return second.labels, second.rivals[first.model_id], second.probabilities, second.starts_ns, second.ends_ns
    _, mine, theirs = np.intersect1d(first.keys, second.keys, assume_unique=True, return_indices=True)
    if not len(mine):
        raise DataError(
            f"models {first.model_id[:12]} and {second.model_id[:12]} have no out-of-sample sample in common; train "
            "one of them again on data that overlap with the other one's tests"
        )
    differ = int((first.labels[mine] != second.labels[theirs]).sum())
    if differ:
        raise DataError(
            f"models {first.model_id[:12]} and {second.model_id[:12]} label {differ:,} of {len(mine):,} common samples "
            "differently; compare models with the same target, stop, time limit and costs"
        )
    return (
        first.labels[mine], first.probabilities[mine], second.probabilities[theirs], first.starts_ns[mine],
        first.ends_ns[mine],
    )


def daily_trend(evidence: ModelEvidence, metric: str, days: int | None = None) -> MetricTrend:
    """*metric* of each UTC day of *evidence*; days of fewer than 20 samples have none. Raises InputError."""
    if metric not in _TREND_METRICS:
        raise InputError(f"metric = {metric!r}: must be one of {', '.join(_TREND_METRICS)}")
    number = evidence.starts_ns // NS_PER_DAY
    known = np.unique(number)
    if days is not None:
        require(days >= 1, "days", days, "must be at least 1")
        known = known[known > number.max() - days] if len(known) else known
    values, samples = [], []
    for day in known.tolist():
        inside = number == day
        samples.append(int(inside.sum()))
        values.append(_metric_of(metric, evidence.labels[inside], evidence.probabilities[inside]))
    return MetricTrend(
        metric=metric, days_ns=tuple(int(day) * NS_PER_DAY for day in known), values=tuple(values),
        samples=tuple(samples), line=trend_line(known.tolist(), values),
    )


def _metric_of(metric: str, labels: Floats, probabilities: Floats) -> float:
    if len(labels) < _LEAST_A_DAY:
        return math.nan
    if metric == "auc":
        return auc_of(labels, probabilities)
    if metric == "ece":
        return expected_calibration_error(labels, probabilities)
    measure = squared_errors if metric == "brier" else log_losses
    return float(measure(labels, probabilities).mean())
