"""What the number of trials means for the best of them, and for the models that were promoted. Pure.

The deflated Sharpe ratio (``lab/sharpe.py``) is computed with the raw number of trials. Trials resemble each other, so
fewer independent ones would explain the same best result: the raw number is conservative, and is said to be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

from quantum_trader.lab.multiple_tests import expected_false_share, false_discovery_rates
from quantum_trader.lab.sharpe import (
    DAYS_PER_YEAR,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from quantum_trader.lab.trials.record import TrialRecord

FALSE_DISCOVERY_RATE: Final = 0.10
ALPHA: Final = 0.05
_SHOWN: Final = 5  # sets of data in the sentences


class TrialCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often something was tried: *raw* counts repetitions, *distinct* does not."""

    name: str
    raw: int
    distinct: int


class BestTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The best Sharpe ratio on one set of data beside what chance would have given; ratios are annual.

    Probabilities are NaN where there are too few days.
    """

    label: str
    source: str
    data_hash: str
    days: int
    sharpe: float
    raw_trials: int  # with a Sharpe ratio on the same data
    distinct_trials: int
    expected_best: float  # by chance, of the raw number
    above_zero: float  # probabilistic Sharpe ratio against 0
    deflated: float  # deflated Sharpe ratio with the raw number: conservative
    deflated_distinct: float  # with the distinct number
    days_needed: float  # minimum track record length against what chance would have given, 95 %


class PromotedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was promoted, and the p-value of its evaluation where it is known."""

    model_id: str
    p_value: float | None = None


class Promotions(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the promoted models chance alone may have made."""

    promoted: int
    without_p_value: int
    rates: dict[str, float]  # model id -> false discovery rate among the promoted (Benjamini and Hochberg)
    rates_of_all: dict[str, float]  # the same among all trials: those not promoted count as tests with p-value 1
    discoveries: int  # with a rate among all trials of at most 10 %
    expected_false_share: float  # 5 % of all trials, of the promoted: an upper bound; NaN without any


class TrialSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was tried."""

    raw: int
    distinct: int
    by_source: tuple[TrialCount, ...]
    by_data: tuple[TrialCount, ...]  # the most tried first
    best: tuple[BestTrial, ...]  # of each set of data, the most tried first
    promotions: Promotions
    damage: tuple[str, ...] = ()


def summarise(
    records: Sequence[TrialRecord], promoted: Sequence[PromotedModel] = (), damage: tuple[str, ...] = ()
) -> TrialSummary:
    """Count *records* and judge the best and the *promoted* by it."""
    by_data = _counts(records, lambda record: record.trial.data_hash)
    best = (best_on([one for one in records if one.trial.data_hash == count.name]) for count in by_data)
    return TrialSummary(
        raw=len(records), distinct=len({one.trial.identity for one in records}),
        by_source=_counts(records, lambda record: record.trial.source), by_data=by_data,
        best=tuple(one for one in best if one is not None), promotions=judge_promotions(promoted, len(records)),
        damage=damage,
    )


def _counts(records: Sequence[TrialRecord], name_of: Callable[[TrialRecord], str]) -> tuple[TrialCount, ...]:
    raw = Counter(name_of(record) for record in records)
    distinct = Counter(name for name, _ in {(name_of(record), record.trial.identity) for record in records})
    return tuple(TrialCount(name=name, raw=count, distinct=distinct[name]) for name, count in raw.most_common())


def best_on(records: Sequence[TrialRecord]) -> BestTrial | None:
    """The best of *records*, which are of one set of data; None where none has a Sharpe ratio."""
    measured = [one for one in records if one.trial.sharpe is not None]
    if not measured:
        return None
    best = max(measured, key=lambda one: one.trial.sharpe or 0.0).trial
    distinct = {one.trial.identity: one.trial.sharpe for one in measured}
    ratios = np.array([one.trial.sharpe for one in measured], dtype=np.float64)
    variance = float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0
    few = np.array(list(distinct.values()), dtype=np.float64)
    few_variance = float(few.var(ddof=1)) if len(few) > 1 else 0.0
    sharpe, days, shape = best.sharpe or 0.0, best.days or 0, (best.skew, best.kurtosis)
    expected, scale = expected_best_sharpe(variance, len(measured)), math.sqrt(DAYS_PER_YEAR)
    return BestTrial(
        label=best.label, source=best.source, data_hash=best.data_hash, days=days, sharpe=sharpe * scale,
        raw_trials=len(measured), distinct_trials=len(distinct), expected_best=expected * scale,
        above_zero=probabilistic_sharpe(sharpe, 0.0, days, *shape),
        deflated=deflated_sharpe(sharpe, days, *shape, variance, len(measured)),
        deflated_distinct=deflated_sharpe(sharpe, days, *shape, few_variance, len(distinct)),
        days_needed=minimum_track_record(sharpe, expected, *shape),
    )


def judge_promotions(promoted: Sequence[PromotedModel], trials: int) -> Promotions:
    """The false discovery rate of the *promoted*, of *trials* that were made in all."""
    known = [(one.model_id, one.p_value) for one in promoted if one.p_value is not None]
    p_values = [p_value for _, p_value in known]
    rates, of_all = false_discovery_rates(p_values), false_discovery_rates(p_values, max(trials, len(known)))
    names = [model_id for model_id, _ in known]
    return Promotions(
        promoted=len(promoted), without_p_value=len(promoted) - len(known),
        rates=dict(zip(names, rates, strict=True)), rates_of_all=dict(zip(names, of_all, strict=True)),
        discoveries=len([rate for rate in of_all if rate <= FALSE_DISCOVERY_RATE]),
        expected_false_share=expected_false_share(max(trials, len(promoted)), len(promoted), ALPHA),
    )


def summary_sentences(found: TrialSummary) -> tuple[str, ...]:
    """*found* for a person."""
    lines = [f"{found.raw:,} trials on record, {found.distinct:,} distinct, on {len(found.by_data)} sets of data."]
    lines += [f"  {one.name}: {one.raw:,} trials, {one.distinct:,} distinct" for one in found.by_source]
    lines += [best_sentence(one) for one in found.best[:_SHOWN]]
    if len(found.best) > _SHOWN:
        lines.append(f"{len(found.best) - _SHOWN} more sets of data are left out here.")
    lines.append(_promotion_sentence(found.promotions, found.raw))
    return (*lines, *(f"damaged: {one}" for one in found.damage))


def best_sentence(best: BestTrial) -> str:
    """The best trial on some data for a person."""
    need = "no number of days is enough" if math.isinf(best.days_needed) else (
        "the days needed are unknown" if math.isnan(best.days_needed) else f"{best.days_needed:,.0f} days are needed"
    )
    return (
        f"Data {best.data_hash[:12]}: best Sharpe {best.sharpe:.2f} a year ({best.label}) in {best.days:,} days; the "
        f"best of {best.raw_trials:,} worthless trials is expected at {best.expected_best:.2f}. Deflated Sharpe ratio "
        f"{_share(best.deflated)} with the raw number of trials, which is conservative because trials resemble each "
        f"other ({_share(best.deflated_distinct)} with the {best.distinct_trials:,} distinct ones); {need} to tell it "
        "from them at 95 %."
    )


def _promotion_sentence(found: Promotions, trials: int) -> str:
    if not found.promoted:
        return "No model was promoted."
    unknown = f" {found.without_p_value} of them have no p-value." if found.without_p_value else ""
    return (
        f"{found.promoted} models were promoted.{unknown} {found.discoveries} are discoveries at a false discovery "
        f"rate of {FALSE_DISCOVERY_RATE:.0%} among all {trials:,} trials (Benjamini and Hochberg). Were every trial "
        f"worthless, {ALPHA:.0%} of them would pass a test at {ALPHA:.0%}: up to {_share(found.expected_false_share)} "
        "of the promoted may be false."
    )


def _share(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.0%}"
