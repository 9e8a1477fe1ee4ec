"""How good probabilities are: AUC, Brier score, log loss, calibration error, reliability; each with its doubt.

Sources: E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44(3), 1988 (variance of an AUC and of the difference of
two on the same samples), computed with ranks (X. Sun and W. Xu, IEEE Signal Processing Letters 21(11), 2014); N.
Obuchowski, Biometrics 53(2), 1997 (the same for samples that come in clusters); G. Brier, Monthly Weather Review
78(1), 1950; C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017
(expected calibration error: bins of equal width, closed on the right, 15 of them); E. Wilson, JASA 22(158), 1927. Guo
et al. measure the class that is predicted; here it is the positive class, whose probability decides a trade.

Labels overlap in time, so neighbouring samples share a market. Where ``blocks`` are given (:func:`time_blocks`), whole
blocks count as the independent samples: the variance of a score is the sum over blocks of the squared sum of the
samples' influence on it, and the interval is Student's with as many degrees of freedom as effective blocks, less one.
The calibration error is no smooth function of the samples; its interval is a bootstrap over the same blocks.
Undefined is NaN: no samples, or one class alone for an AUC.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import require
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.policy.evidence import block_hours_for, student_t_quantile

ECE_BINS: Final = 15  # Guo et al.; Naeini et al. (2015), who named the measure, took 10
LEAST_PROBABILITY: Final = 1e-15  # log loss: probabilities are clipped to [this, 1 - this]
MIN_BLOCKS: Final = 4.0  # effective; below, a score has no interval
_RESAMPLES: Final = 1000
_MOST_PARTS: Final = 500  # of independent samples that a bootstrap draws from
_NORMAL: Final = NormalDist()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number with the bounds of the true one (95 % unless said otherwise); bounds are NaN where there are none."""

    value: float
    low: float = math.nan
    high: float = math.nan


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """The samples whose probability lies in (low, high]: what was said and what happened."""

    low: float
    high: float
    count: int
    weight: float  # sum of the samples' weights
    mean_probability: float
    share: float  # weighted share of the positive labels
    share_low: float  # Wilson's bounds of the true share
    share_high: float


class ProbabilityScores(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of a model's probabilities on samples that it has not seen."""

    samples: int
    positives: int
    effective_samples: float  # (sum of weights)^2 / sum of squares
    blocks: int  # independent parts that the intervals count; as many as samples where no blocks were given
    auc: Estimate
    brier: Estimate
    log_loss: Estimate  # nats
    ece: Estimate
    ece_if_calibrated: float  # mean ECE of a perfectly calibrated model with these probabilities: noise alone


def score_probabilities(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None,
    blocks: Ints | None = None, *, bins: int = ECE_BINS, alpha: float = 0.05, seed: int = 0,
) -> ProbabilityScores:
    """Score *probabilities* (n,) of *labels* (n,), 0 or 1, with *weights* (n,) and *blocks* (n,), numbers of parts.

    *seed* draws the bootstrap of the calibration error. Raises InputError.
    """
    y, p, w = checked_samples(labels, probabilities, weights)
    rng = np.random.default_rng((seed, len(y)))
    return ProbabilityScores(
        samples=len(y), positives=int(y.sum()),
        effective_samples=float(w.sum() ** 2 / (w * w).sum()) if len(w) else 0.0,
        blocks=len(y) if blocks is None else len(np.unique(blocks)),
        auc=auc_interval(y, p, w, blocks, alpha=alpha),
        brier=_mean_interval(squared_errors(y, p), w, blocks, alpha),
        log_loss=_mean_interval(log_losses(y, p), w, blocks, alpha),
        ece=ece_interval(y, p, w, blocks, bins=bins, alpha=alpha, rng=rng),
        ece_if_calibrated=ece_if_calibrated(p, w, bins=bins, rng=rng),
    )


def checked_samples(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Labels, probabilities and weights (n,) as floats; weights of 1 where there are none. Raises InputError."""
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    for key, values in (("probabilities", p), ("weights", w)):
        require(values.shape == y.shape, key, values.shape, f"must have the shape of the labels, {y.shape}")
    require(bool(((y == 0.0) | (y == 1.0)).all()), "labels", y[(y != 0.0) & (y != 1.0)][:3], "are 0 or 1")
    good = (p >= 0.0) & (p <= 1.0)
    require(bool(good.all()), "probabilities", p[~good][:3], "must lie between 0 and 1")
    require(bool(((w >= 0.0) & (w < math.inf)).all()), "weights", w[~(w >= 0.0)][:3], "must be 0 or more, and finite")
    return y, p, w


# ---- AUC -----------------------------------------------------------------------------------------------------------
def auc_of(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """The probability that a positive sample has the higher score than a negative one; ties count one half.

    Samples count by their weights. NaN where one of the classes has no weight.
    """
    y = np.asarray(labels) > 0
    s, w = _weighted_scores(scores, weights, len(y))
    value, _ = _auc_influence(y, s, w)
    return value


def auc_interval(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None, blocks: Ints | None = None,
    *, alpha: float = 0.05,
) -> Estimate:
    """The AUC with DeLong's interval (Obuchowski's over *blocks*), cut off at 0 and 1."""
    y = np.asarray(labels) > 0
    s, w = _weighted_scores(scores, weights, len(y))
    value, influence = _auc_influence(y, s, w)
    if math.isnan(value):
        return Estimate(value=math.nan)
    if blocks is None:
        error = math.sqrt(_delong_covariance(y, w, influence, influence))
        reach = _NORMAL.inv_cdf(1.0 - alpha / 2.0) * error
    else:
        reach = _block_reach(influence, blocks, alpha)
    return _within(value, reach, 1.0)


class AucDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The AUC of one model less that of another on the same samples."""

    difference: float
    error: float  # standard error
    statistic: float  # difference / error
    p_value: float  # two-sided
    low: float  # 95 % bounds of the true difference unless said otherwise
    high: float


def auc_difference(
    labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike, weights: npt.ArrayLike | None = None,
    blocks: Ints | None = None, *, alpha: float = 0.05,
) -> AucDifference:
    """Test the AUC of *first* (n,) against that of *second* (n,) on the same samples (DeLong's paired test).

    With *blocks* the test is Obuchowski's with Student's t. All NaN where a class is missing; a p-value of 1 where
    both models rank alike.
    """
    y = np.asarray(labels) > 0
    s, w = _weighted_scores(first, weights, len(y))
    t, _ = _weighted_scores(second, weights, len(y))
    (one, one_influence), (other, other_influence) = _auc_influence(y, s, w), _auc_influence(y, t, w)
    if math.isnan(one) or math.isnan(other):
        return AucDifference(**dict.fromkeys(AucDifference.__struct_fields__, math.nan))
    influence = one_influence - other_influence
    if blocks is None:
        error, freedom = math.sqrt(_delong_covariance(y, w, influence, influence)), math.inf
    else:
        error, freedom = _block_error(influence, blocks)
    return AucDifference(**_tested(one - other, error, freedom, alpha))


def auc_p_value(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None, blocks: Ints | None = None
) -> float:
    """The one-sided p-value of an AUC of 0.5 or less, by the error of :func:`auc_interval`; NaN where it has none."""
    y = np.asarray(labels) > 0
    s, w = _weighted_scores(scores, weights, len(y))
    value, influence = _auc_influence(y, s, w)
    if math.isnan(value):
        return math.nan
    if blocks is None:
        error, freedom = math.sqrt(_delong_covariance(y, w, influence, influence)), math.inf
    else:
        error, freedom = _block_error(influence, blocks)
    two_sided = _tested(value - 0.5, error, freedom, 0.05)["p_value"]
    return two_sided / 2.0 if value >= 0.5 else 1.0 - two_sided / 2.0


def _weighted_scores(scores: npt.ArrayLike, weights: npt.ArrayLike | None, count: int) -> tuple[Floats, Floats]:
    """Scores and weights (n,) as floats. Raises InputError."""
    s = np.asarray(scores, dtype=np.float64)
    w = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    require(s.shape == w.shape == (count,), "scores", s.shape, f"must have one score and weight per label ({count})")
    require(not bool(np.isnan(s).any()), "scores", "NaN", "every sample needs a score")
    return s, w


def _auc_influence(positive: Bools, scores: Floats, weights: Floats) -> tuple[float, Floats]:
    """The AUC, and how far each sample moves it (n,): its placement less the AUC, times its share of its class."""
    order = np.argsort(scores, kind="stable")
    _, place = np.unique(scores[order], return_inverse=True)
    group = np.empty(len(order), dtype=np.int64)
    group[order] = place
    up, down = np.where(positive, weights, 0.0), np.where(positive, 0.0, weights)
    above, below = float(up.sum()), float(down.sum())
    if above <= 0.0 or below <= 0.0:
        return math.nan, np.zeros(len(scores))
    groups = int(place[-1]) + 1
    up_at, down_at = np.bincount(group, up, groups), np.bincount(group, down, groups)
    down_before = np.cumsum(down_at) - 0.5 * down_at  # negatives below a score, ties half
    up_after = above - np.cumsum(up_at) + 0.5 * up_at
    placement = np.where(positive, down_before[group] / below, up_after[group] / above)
    value = float((up * placement).sum()) / above
    share = np.where(positive, weights / above, weights / below)
    return value, share * (placement - value)


def _delong_covariance(positive: Bools, weights: Floats, first: Floats, second: Floats) -> float:
    """DeLong's covariance of two AUCs from the samples' influences (n,): each class with its own n / (n - 1)."""
    total = 0.0
    for group in (positive, ~positive):
        count = int((weights[group] > 0.0).sum())
        if count < 2:
            return 0.0
        total += float((first[group] * second[group]).sum()) * count / (count - 1.0)
    return max(total, 0.0)


# ---- mean scores ---------------------------------------------------------------------------------------------------
def squared_errors(labels: Floats, probabilities: Floats) -> Floats:
    """The Brier score of each sample (n,): the squared error, 0 to 1."""
    return (probabilities - labels) ** 2


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """The log loss of each sample (n,), in nats; probabilities of 0 and 1 count as 1e-15 and 1 - 1e-15."""
    p = np.clip(probabilities, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    found: Floats = -np.where(labels > 0.0, np.log(p), np.log1p(-p))
    return found


def sample_mean(values: Floats, weights: Floats) -> float:
    """The mean of *values* (n,) with *weights* (n,); NaN without weight."""
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total > 0.0 else math.nan


class LossDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The mean loss of one model less that of another on the same samples: below 0 the first is better."""

    difference: float
    error: float
    statistic: float
    p_value: float  # two-sided
    low: float
    high: float


def loss_difference(
    first: Floats, second: Floats, weights: Floats, blocks: Ints, *, alpha: float = 0.05
) -> LossDifference:
    """Test the mean of the losses *first* (n,) against that of *second* (n,), which are of the same samples.

    A paired t test over *blocks* of time (n,), so labels that overlap within a block count once. All NaN below four
    effective blocks.
    """
    differences = np.asarray(first) - np.asarray(second)
    mean = sample_mean(differences, weights)
    if math.isnan(mean):
        return LossDifference(**dict.fromkeys(LossDifference.__struct_fields__, math.nan))
    error, freedom = _block_error(weights / weights.sum() * (differences - mean), blocks)
    return LossDifference(**_tested(mean, error, freedom, alpha))


def _mean_interval(values: Floats, weights: Floats, blocks: Ints | None, alpha: float) -> Estimate:
    """The weighted mean of *values* (n,) with its interval over *blocks*, over samples without them."""
    mean = sample_mean(values, weights)
    if math.isnan(mean):
        return Estimate(value=math.nan)
    owner = np.arange(len(values)) if blocks is None else blocks
    reach = _block_reach(weights / weights.sum() * (values - mean), owner, alpha)
    return _within(mean, reach, math.inf)


# ---- blocks of time ------------------------------------------------------------------------------------------------
def time_blocks(starts_ns: Ints, ends_ns: Ints) -> Ints:
    """The number of the block of time (n,) in which each label starts.

    A block lasts at least three times the labels' mean life (weighted by life), and as long as the evidence of the
    rollout takes (``policy.evidence``): 4 hours at first, a day once there are twelve, at most 60 blocks.
    """
    starts, ends = np.asarray(starts_ns, dtype=np.int64), np.asarray(ends_ns, dtype=np.int64)
    if not len(starts):
        return np.zeros(0, dtype=np.int64)
    lives = (ends - starts) / NS_PER_HOUR
    life = float((lives * lives).sum() / lives.sum()) if float(lives.sum()) > 0.0 else 0.0
    first = int(starts.min())
    hours = block_hours_for((int(starts.max()) - first) / NS_PER_HOUR, life)
    return (starts - first) // int(hours * NS_PER_HOUR)


def _block_error(influence: Floats, blocks: Ints) -> tuple[float, float]:
    """Standard error of a score from the influences (n,) summed in *blocks* (n,), and its degrees of freedom.

    NaN and 0 below four effective blocks.
    """
    _, owner = np.unique(blocks, return_inverse=True)
    sums, sizes = np.bincount(owner, influence), np.bincount(owner).astype(np.float64)
    effective = float(sizes.sum() ** 2 / (sizes * sizes).sum())
    if effective < MIN_BLOCKS:
        return math.nan, 0.0
    return math.sqrt(float((sums * sums).sum()) * len(sums) / (len(sums) - 1.0)), effective - 1.0


def _block_reach(influence: Floats, blocks: Ints, alpha: float) -> float:
    """Half the width of a score's interval; NaN below four effective blocks."""
    error, freedom = _block_error(influence, blocks)
    return error * student_t_quantile(1.0 - alpha / 2.0, freedom) if freedom > 0.0 else math.nan


def _within(value: float, reach: float, most: float) -> Estimate:
    """*value* with bounds *reach* away, cut off at 0 and *most*; without bounds where *reach* is NaN."""
    if math.isnan(reach):
        return Estimate(value=value)
    return Estimate(value=value, low=max(0.0, value - reach), high=min(most, value + reach))


def _tested(difference: float, error: float, freedom: float, alpha: float) -> dict[str, float]:
    """A difference with its standard error as the fields of a test; infinite *freedom* is the normal law."""
    if math.isnan(error):
        return {"difference": difference, "error": error, "statistic": math.nan, "p_value": math.nan,
                "low": math.nan, "high": math.nan}
    statistic = difference / error if error > 0.0 else math.copysign(math.inf, difference) if difference else 0.0
    normal = math.isinf(freedom)
    quantile = _NORMAL.inv_cdf(1.0 - alpha / 2.0) if normal else student_t_quantile(1.0 - alpha / 2.0, freedom)
    p_value = 2.0 * _NORMAL.cdf(-abs(statistic)) if normal else student_t_two_sided(statistic, freedom)
    return {"difference": difference, "error": error, "statistic": statistic, "p_value": p_value,
            "low": difference - quantile * error, "high": difference + quantile * error}


def student_t_two_sided(statistic: float, freedom: float) -> float:
    """P(|t| >= |*statistic*|) of Student's t with real *freedom* > 0: the regularised incomplete beta function."""
    if math.isinf(statistic):
        return 0.0
    return _incomplete_beta(freedom / (freedom + statistic * statistic), freedom / 2.0, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) by its continued fraction, evaluated with Lentz's method (DLMF 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # where the fraction converges slowly, its mirror image converges fast
        return 1.0 - _incomplete_beta(1.0 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a
    tiny = 1e-300
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0) or tiny)
    fraction = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d, c = 1.0 / (1.0 + term * d or tiny), (1.0 + term / c) or tiny
            fraction *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * fraction


# ---- calibration error ---------------------------------------------------------------------------------------------
def bin_edges(probabilities: Floats, bins: int, equal_mass: bool) -> Floats:
    """Upper edges (bins - 1,) of all bins but the last: of equal width, or of about equally many samples."""
    require(1 <= bins <= 1000, "bins", bins, "must be from 1 to 1,000")
    shares = np.arange(1, bins) / bins
    edges: Floats = np.unique(np.quantile(probabilities, shares)) if equal_mass and len(probabilities) else shares
    return edges


def expected_calibration_error(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None, *,
    bins: int = ECE_BINS, equal_mass: bool = False,
) -> float:
    """The weighted mean over bins of |share of positives - mean probability|: 0 is perfect. NaN without samples."""
    y, p, w = checked_samples(labels, probabilities, weights)
    owner = np.searchsorted(bin_edges(p, bins, equal_mass), p, side="left")
    return float(_ece(y[None, :] - p, w[None, :], owner, bins)[0])


def ece_interval(  # the samples and how the bootstrap is drawn
    labels: Floats, probabilities: Floats, weights: Floats, blocks: Ints | None = None, *, bins: int = ECE_BINS,
    alpha: float = 0.05, rng: np.random.Generator,
) -> Estimate:
    """The calibration error of equal-width bins, with careful bounds from a bootstrap over *blocks*.

    Noise alone makes the error positive, so it is above the true one on average. The lower bound takes away what the
    errors of all bins together sum to by chance (by the triangle inequality the error is at most that far from the true
    one); the upper bound adds only how far the error falls below its own mean by chance. The simulated coverage is 94
    to 100 % (tests/lab/learning/test_probability_scores.py). No interval below four effective blocks.
    """
    owner = np.searchsorted(bin_edges(probabilities, bins, False), probabilities, side="left")
    value = float(_ece((labels - probabilities)[None, :], weights[None, :], owner, bins)[0])
    owners = _parts(len(labels)) if blocks is None else blocks
    _, part = np.unique(owners, return_inverse=True)
    sizes = np.bincount(part).astype(np.float64)
    if not len(labels) or sizes.sum() ** 2 / (sizes * sizes).sum() < MIN_BLOCKS:
        return Estimate(value=value)
    count = len(sizes)
    cells = part * bins + owner
    gaps = np.bincount(cells, weights * (labels - probabilities), count * bins).reshape(count, bins)
    mass = np.bincount(part, weights, count)
    drawn = rng.multinomial(count, np.full(count, 1.0 / count), size=_RESAMPLES).astype(np.float64)
    shares = drawn @ gaps / np.maximum(drawn @ mass, 1e-300)[:, None]  # (resamples, bins): signed error of each bin
    resampled = np.abs(shares).sum(axis=1)
    chance = np.abs(shares - gaps.sum(axis=0) / mass.sum()).sum(axis=1)
    low = value - float(np.quantile(chance, 1.0 - alpha / 2.0))
    high = value + float(resampled.mean() - np.quantile(resampled, alpha / 2.0))
    return Estimate(value=value, low=max(0.0, low), high=min(1.0, high))


def _parts(count: int) -> Ints:
    """The part (n,) of each of *count* independent samples: each its own, at most 500 of equal size."""
    most = min(count, _MOST_PARTS)
    return np.arange(count, dtype=np.int64) * most // max(count, 1)


def ece_if_calibrated(
    probabilities: Floats, weights: Floats, *, bins: int = ECE_BINS, rng: np.random.Generator, draws: int = 200
) -> float:
    """The mean calibration error that a perfectly calibrated model with these probabilities shows by chance.

    Consistency resampling (J. Broecker and L. Smith, Weather and Forecasting 22(3), 2007): labels are drawn from the
    probabilities, *draws* times. NaN without samples.
    """
    if not len(probabilities):
        return math.nan
    owner = np.searchsorted(bin_edges(probabilities, bins, False), probabilities, side="left")
    found = [
        float(_ece(((rng.random(len(probabilities)) < probabilities) - probabilities)[None, :], weights[None, :],
                   owner, bins)[0])
        for _ in range(draws)
    ]
    return math.fsum(found) / draws


def reliability_curve(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None, *,
    bins: int = ECE_BINS, equal_mass: bool = False, alpha: float = 0.05,
) -> tuple[ReliabilityBin, ...]:
    """What was said and what happened, in bins of the probability that have samples, from low to high.

    Wilson's bounds count the samples of a bin as independent, by their effective number where they have weights.
    """
    y, p, w = checked_samples(labels, probabilities, weights)
    edges = bin_edges(p, bins, equal_mass)
    owner = np.searchsorted(edges, p, side="left")
    bounds = np.concatenate(([0.0], edges, [1.0]))
    found = []
    for place in np.unique(owner[w > 0.0]).tolist():
        inside = (owner == place) & (w > 0.0)
        mass = float(w[inside].sum())
        share = sample_mean(y[inside], w[inside])
        low, high = wilson_interval(share, mass * mass / float((w[inside] ** 2).sum()), alpha)
        found.append(ReliabilityBin(
            low=float(bounds[place]), high=float(bounds[place + 1]), count=int(inside.sum()), weight=mass,
            mean_probability=sample_mean(p[inside], w[inside]), share=share, share_low=low, share_high=high,
        ))
    return tuple(found)


def wilson_interval(share: float, count: float, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's bounds of a true share, of which *share* was seen in *count* independent samples; NaN without any."""
    if not count > 0.0 or math.isnan(share):
        return math.nan, math.nan
    z = _NORMAL.inv_cdf(1.0 - alpha / 2.0)
    scale = 1.0 + z * z / count
    centre = (share + z * z / (2.0 * count)) / scale
    reach = z / scale * math.sqrt(share * (1.0 - share) / count + z * z / (4.0 * count * count))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _ece(gaps: Floats, weights: Floats, owner: Ints, bins: int) -> Floats:
    """The calibration error of each row of *gaps* (rows, n): label less probability; *owner* (n,) are the bins."""
    total = weights.sum(axis=1)
    sums = np.stack([np.bincount(owner, row, bins) for row in gaps * weights])
    found: Floats = np.where(total > 0.0, np.abs(sums).sum(axis=1) / np.where(total > 0.0, total, 1.0), np.nan)
    return found
