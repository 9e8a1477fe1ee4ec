"""Drift: whether a feature or a prediction is distributed as before, by PSI and KS with limits that fit the samples.

The population stability index (PSI) sums (a - e) ln(a / e) over bins, e and a the shares of the reference and of the
current sample. Where nothing drifted, PSI * n m / (n + m) is about chi-square with bins - 1 degrees of freedom (B.
Yurdakul, "Statistical Properties of Population Stability Index", dissertation, Western Michigan University, 2018; B.
Yurdakul and J. Naranjo, Journal of Risk Model Validation 14(4), 2020). So the limit depends on the sizes n and m; a
fixed 0.1 alarms on noise in one of three looks at twice 200 samples, and misses much at 10,000. The two-sample
statistic of Kolmogorov and Smirnov (KS) has the limit law of A. Kolmogorov (1933) and N. Smirnov (Annals of
Mathematical Statistics 19(2), 1948).

Both take samples as independent. Neighbouring values of a feature are not: :func:`independent_size` says how many
independent ones tell as much, and the limits are made of that. Missing values (NaN) are a bin of their own in PSI and
are left out of KS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.errors import require
from quantum_trader.lab.multiple_tests import false_discovery_rates
from quantum_trader.market.arrays import Floats, Ints

PSI_BINS: Final = 10
LEAST_SIZE: Final = 50.0  # independent samples of each side, below which nothing is said
_BATCHES: Final = 30  # of the estimate of independent samples
_HALF: Final = 0.5  # added to each count, so that an empty bin has a share


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One feature or prediction, then and now. A limit is what chance exceeds in *alpha* of the looks."""

    name: str
    reference_size: int
    current_size: int
    reference_independent: float  # independent samples that tell as much
    current_independent: float
    psi: float
    psi_limit: float
    psi_p_value: float
    ks: float
    ks_limit: float
    ks_p_value: float
    alpha: float

    @property
    def is_known(self) -> bool:
        """Whether there are enough samples to say anything."""
        return min(self.reference_independent, self.current_independent) >= LEAST_SIZE

    @property
    def p_value(self) -> float:
        """Of no drift, by both measures (Bonferroni); NaN where nothing can be said."""
        known = [one for one in (self.psi_p_value, self.ks_p_value) if not math.isnan(one)]
        return min(1.0, 2.0 * min(known)) if known else math.nan

    @property
    def has_drifted(self) -> bool:
        """Whether one of the measures exceeds what chance gives."""
        return self.is_known and self.p_value < self.alpha


def drift_of(
    name: str, reference: npt.ArrayLike, current: npt.ArrayLike, *, alpha: float = 0.01, bins: int = PSI_BINS,
    independent: bool = False,
) -> Drift:
    """Compare *current* (m,) with *reference* (n,), each in order of time.

    *independent*: the samples do not depend on their neighbours. Raises InputError for infinite values.
    """
    require(0.0 < alpha < 1.0, "alpha", alpha, "must lie between 0 and 1")
    then, now = (_checked(key, one) for key, one in (("reference", reference), ("current", current)))
    sizes = tuple(float(len(one)) if independent else independent_size(one) for one in (then, now))
    base = Drift(
        name=name, reference_size=len(then), current_size=len(now), reference_independent=sizes[0],
        current_independent=sizes[1], psi=math.nan, psi_limit=math.nan, psi_p_value=math.nan, ks=math.nan,
        ks_limit=math.nan, ks_p_value=math.nan, alpha=alpha,
    )
    if not base.is_known:
        return base
    size = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
    expected, actual = binned(then, now, bins)
    psi, freedom = stability_index(expected, actual), len(expected) - 1
    distance = ks_statistic(then[~np.isnan(then)], now[~np.isnan(now)])
    # at half of alpha each: both together alarm by chance in at most alpha of the looks
    return msgspec.structs.replace(
        base, psi=psi, psi_limit=psi_limit(freedom + 1, sizes[0], sizes[1], alpha / 2.0),
        psi_p_value=chi_square_tail(psi * size, freedom) if freedom else 1.0, ks=distance,
        ks_limit=ks_limit(sizes[0], sizes[1], alpha / 2.0),
        ks_p_value=math.nan if math.isnan(distance) else kolmogorov_tail(distance * math.sqrt(size)),
    )


def drift_table(
    names: Sequence[str], reference: Floats, current: Floats, *, alpha: float = 0.01, independent: bool = False
) -> tuple[tuple[Drift, float], ...]:
    """Each feature's drift with the false discovery rate at which it would be called one, the lowest first.

    *reference* (n, features) and *current* (m, features). Of many features some exceed their limit by chance: those
    with a rate below *alpha* are drifts.
    """
    require(len(names) == reference.shape[1] == current.shape[1], "names", len(names), "must have one per feature")
    found = [
        drift_of(name, reference[:, place], current[:, place], alpha=alpha, independent=independent)
        for place, name in enumerate(names)
    ]
    known = [one for one in found if one.is_known]
    rates = false_discovery_rates([one.p_value for one in known])
    ranked = sorted(zip(known, rates, strict=True), key=lambda pair: pair[1])
    return (*ranked, *((one, math.nan) for one in found if not one.is_known))


# ---- population stability index ------------------------------------------------------------------------------------
def binned(reference: Floats, current: Floats, bins: int = PSI_BINS) -> tuple[Ints, Ints]:
    """Counts of both samples in bins (bins,) of about equal mass in the reference; NaN is one more bin.

    Bins are closed on the right. Fewer where values repeat: a value that fills two bins makes one.
    """
    require(2 <= bins <= 1000, "bins", bins, "must be from 2 to 1,000")
    clean = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(clean, np.arange(1, bins) / bins)) if len(clean) else np.zeros(0)
    counts = []
    for values in (reference, current):
        missing = np.isnan(values)
        held = np.bincount(np.searchsorted(edges, values[~missing], side="left"), minlength=len(edges) + 1)
        counts.append(np.append(held, int(missing.sum())))
    expected, actual = (np.asarray(one, dtype=np.int64) for one in counts)
    used = (expected + actual) > 0
    return expected[used], actual[used]


def stability_index(expected: Ints, actual: Ints) -> float:
    """The population stability index of two rows of counts (bins,), in nats; half a sample is added to each bin."""
    e, a = expected + _HALF, actual + _HALF
    e, a = e / e.sum(), a / a.sum()
    return float(((a - e) * np.log(a / e)).sum())


def psi_limit(bins: int, reference_size: float, current_size: float, alpha: float = 0.01) -> float:
    """The index that two samples of one law exceed with probability *alpha*; 0 for a single bin."""
    if bins < 2:
        return 0.0
    return chi_square_quantile(1.0 - alpha, bins - 1) * (1.0 / reference_size + 1.0 / current_size)


def chi_square_tail(value: float, freedom: int) -> float:
    """P(chi-square with *freedom* degrees of freedom > *value*)."""
    if value <= 0.0:
        return 1.0
    return _upper_gamma(freedom / 2.0, value / 2.0)


def chi_square_quantile(probability: float, freedom: int) -> float:
    """The value that chi-square with *freedom* degrees of freedom stays below with *probability*: by bisection."""
    low, high = 0.0, float(freedom) + 10.0
    while chi_square_tail(high, freedom) > 1.0 - probability:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if chi_square_tail(middle, freedom) > 1.0 - probability else (low, middle)
    return 0.5 * (low + high)


def _upper_gamma(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x), by series or continued fraction (DLMF 8.7, 8.9)."""
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        number = a
        while abs(term) > abs(total) * 1e-17:
            number += 1.0
            term *= x / number
            total += term
        return max(0.0, 1.0 - front * total)
    b, c = x + 1.0 - a, 1e300
    d = 1.0 / b
    fraction = d
    for n in range(1, 10_000):
        factor = -n * (n - a)
        b += 2.0
        d = 1.0 / (factor * d + b)
        c = b + factor / c
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return front * fraction


# ---- Kolmogorov and Smirnov ----------------------------------------------------------------------------------------
def ks_statistic(first: Floats, second: Floats) -> float:
    """The largest distance between the distribution functions of two samples; NaN where one is empty."""
    if not len(first) or not len(second):
        return math.nan
    one, other = np.sort(first), np.sort(second)
    places = np.concatenate((one, other))
    below = np.searchsorted(one, places, side="right") / len(one)
    return float(np.abs(below - np.searchsorted(other, places, side="right") / len(other)).max())


def ks_limit(reference_size: float, current_size: float, alpha: float = 0.01) -> float:
    """The distance that two samples of one law exceed with probability *alpha*, at most 1."""
    low, high = 0.0, 10.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if kolmogorov_tail(middle) > alpha else (low, middle)
    return min(1.0, high * math.sqrt(1.0 / reference_size + 1.0 / current_size))


def kolmogorov_tail(value: float) -> float:
    """P(K > *value*) of Kolmogorov's limit law, *value* the distance times sqrt(n m / (n + m))."""
    if value <= 0.04:
        return 1.0
    if value < 1.0:  # the other form of the series converges faster here (Smirnov 1948)
        terms = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8.0 * value * value)) for k in range(1, 20))
        return 1.0 - math.sqrt(2.0 * math.pi) / value * math.fsum(terms)
    signed = ((-1.0) ** (k - 1) * math.exp(-2.0 * k * k * value * value) for k in range(1, 100))
    return min(1.0, 2.0 * math.fsum(signed))


# ---- independent samples -------------------------------------------------------------------------------------------
def independent_size(values: Floats) -> float:
    """How many independent samples tell as much of a distribution as *values* (n,), which are in order of time.

    By batch means (R. Conway, Management Science 10(1), 1963) of the ranks: the variance of one rank over n times the
    variance of the mean of all, that one from 30 batches. At most n; n itself below 60 values.
    """
    clean = values[~np.isnan(values)]
    count = len(clean)
    if count < 2 * _BATCHES:
        return float(count)
    _, ranks = np.unique(clean, return_inverse=True)
    length = count // _BATCHES
    means = ranks[: length * _BATCHES].reshape(_BATCHES, length).mean(axis=1)
    within, between = float(ranks.var()), float(means.var(ddof=1)) / _BATCHES
    if within <= 0.0 or between <= 0.0:
        return float(count)
    return min(float(count), within / between)


def _checked(key: str, values: npt.ArrayLike) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    require(found.ndim == 1, key, found.shape, "must have one dimension")
    require(not bool(np.isinf(found).any()), key, "infinite", "must be finite; a missing value is NaN")
    return found
