"""When a claim is true of a snapshot. A reader sees rounded values, so two that are shown the same are equal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.metrics.metric import BetterWhen, Metric, Unit
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue
from quantum_trader.lab.statements.language import Claim, ClaimRelation, is_day, read_reference
from quantum_trader.lab.statements.words import CHANGES, EXTREMES

SIGNED_UNITS: Final = frozenset({Unit.USDT, Unit.R, Unit.BPS})
DAY: Final = "day"  # the dimension of an extreme over the days of the snapshot
_ALONE: Final = frozenset({
    ClaimRelation.ABOVE_TARGET, ClaimRelation.BELOW_TARGET, ClaimRelation.MEETS_TARGET, ClaimRelation.MISSES_TARGET,
    ClaimRelation.GAIN, ClaimRelation.LOSS, ClaimRelation.NONE, ClaimRelation.ALL, ClaimRelation.MOST,
})  # of one value


class BoundClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim with its figures found: *right* where it compares two, *among* where it is an extreme *over* them."""

    relation: ClaimRelation
    left: MetricKey
    right: MetricKey | None = None
    over: str = ""
    among: tuple[MetricKey, ...] = ()
    right_is_the_day_before: bool = False

    @property
    def keys(self) -> tuple[MetricKey, ...]:
        """The figures that the claim speaks of."""
        return (self.left,) if self.right is None else (self.left, self.right)


def day_before(day: str) -> str:
    """The day before *day* (YYYY-MM-DD)."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def is_signed(metric: Metric) -> bool:
    """Whether a value of *metric* is a gain or a loss by its sign."""
    return metric.unit in SIGNED_UNITS and metric.direction is BetterWhen.HIGHER


def bind(claim: Claim, snapshot: MetricSnapshot) -> BoundClaim:
    """*claim* with its figures found in *snapshot*; InputError names what is not in it."""
    left = _known(read_reference(claim.left, snapshot.day), snapshot)
    if claim.relation in _ALONE:
        if claim.right not in ("", "target"):
            raise InputError(f"claim {claim.relation} of {left}: takes no right side")
        return BoundClaim(relation=claim.relation, left=left)
    if claim.relation in EXTREMES:
        return _bind_extreme(claim, left, snapshot)
    if not claim.right and claim.relation in (ClaimRelation.SIGNIFICANT, ClaimRelation.NOT_SIGNIFICANT):
        return BoundClaim(relation=claim.relation, left=left)
    right = _right_side(claim, left, snapshot)
    if snapshot.metrics[right.metric].unit is not snapshot.metrics[left.metric].unit:
        raise InputError(f"claim: {left} and {right} have different units; they cannot be compared")
    before = left.day != WHOLE and right == MetricKey(left.metric, day_before(left.day), left.where)
    return BoundClaim(relation=claim.relation, left=left, right=right, right_is_the_day_before=before)


def _known(key: MetricKey, snapshot: MetricSnapshot) -> MetricKey:
    if key.metric not in snapshot.metrics or snapshot.of(key) is None:
        raise InputError(f"claim: {key} is not in the snapshot")
    return key


def _right_side(claim: Claim, left: MetricKey, snapshot: MetricSnapshot) -> MetricKey:
    if not claim.right:
        if left.day == WHOLE:
            raise InputError(f"claim {claim.relation} of {left}: name its right side")
        return _known(MetricKey(left.metric, day_before(left.day), left.where), snapshot)
    if is_day(claim.right):
        return _known(MetricKey(left.metric, claim.right, left.where), snapshot)
    return _known(read_reference(claim.right, snapshot.day), snapshot)


def _bind_extreme(claim: Claim, left: MetricKey, snapshot: MetricSnapshot) -> BoundClaim:
    names = [name for name, _ in left.where]
    over = claim.right or (DAY if not names else names[0] if len(names) == 1 else "")
    if over not in (*names, DAY):
        raise InputError(f"claim {claim.relation} of {left}: right = {over!r}: name one of {', '.join([*names, DAY])}")
    fixed = [pair for pair in left.where if pair[0] != over]
    among = tuple(
        one.key for one in snapshot
        if one.key.metric == left.metric and [name for name, _ in one.key.where] == names and one.value is not None
        and [pair for pair in one.key.where if pair[0] != over] == fixed
        and (one.key.day != WHOLE if over == DAY else one.key.day == left.day)
    )
    if len(among) < 2:  # an extreme of one value says nothing
        raise InputError(f"claim {claim.relation} of {left}: fewer than two values to be the extreme of")
    return BoundClaim(relation=claim.relation, left=left, over=over, among=among)


def is_true(claim: BoundClaim, snapshot: MetricSnapshot) -> bool:
    """Whether *claim* holds; a value without data makes every claim false."""
    values = [snapshot.of(key) for key in (*claim.keys, *claim.among)]
    if any(one is None or one.value is None for one in values):
        return False
    metric = snapshot.metrics[claim.left.metric]
    found = [one for one in values if one is not None]
    if claim.relation in EXTREMES:
        return _is_extreme(claim, found[1:], found[0], metric)
    if claim.relation in (ClaimRelation.SIGNIFICANT, ClaimRelation.NOT_SIGNIFICANT):
        return _bounds_say(claim, found, metric)
    if claim.right is None:
        return _OF_ONE[claim.relation](_number(found[0]), metric)
    if claim.relation in CHANGES and not _is_later(claim.left, claim.right):
        return False
    return _OF_TWO[claim.relation](_number(found[0]), _number(found[1]), metric)


def _number(value: MetricValue) -> float:
    return 0.0 if value.value is None else value.value


def _is_later(left: MetricKey, right: MetricKey) -> bool:
    same = (left.metric, left.where) == (right.metric, right.where)
    return same and WHOLE not in (left.day, right.day) and left.day > right.day


def _order(left: float, right: float, metric: Metric) -> int:
    """1, 0 or -1 as *left* shows above, equal to or below *right*."""
    if metric_text(left, metric.unit) == metric_text(right, metric.unit):
        return 0
    return 1 if left > right else -1


def _better(left: float, right: float, metric: Metric) -> int:
    """1 where *left* is better, -1 where it is worse, 0 where neither can be said."""
    ways = {BetterWhen.HIGHER: 1, BetterWhen.LOWER: -1, BetterWhen.NEITHER: 0}
    return ways[metric.direction] * _order(left, right, metric)


def _is_extreme(claim: BoundClaim, among: list[MetricValue], left: MetricValue, metric: Metric) -> bool:
    compare = _better if claim.relation in (ClaimRelation.BEST, ClaimRelation.WORST) else _order
    sign = 1 if claim.relation in (ClaimRelation.BEST, ClaimRelation.HIGHEST) else -1
    others = [one for one in among if one.key != left.key]
    return all(sign * compare(_number(left), _number(one), metric) > 0 for one in others)


def _bounds_say(claim: BoundClaim, found: list[MetricValue], metric: Metric) -> bool:
    """Whether the intervals tell the value from zero, or the two values from each other, as claimed."""
    bounds = [(one.low, one.high) for one in found]
    if len(bounds) == 1:
        bounds.append((0.0, 0.0))
        if not is_signed(metric):
            return False
    (low, high), (other_low, other_high) = bounds[0], bounds[1]
    if low is None or high is None or other_low is None or other_high is None:
        return False
    apart = low > other_high or high < other_low
    return apart is (claim.relation is ClaimRelation.SIGNIFICANT)


def _ratio(left: float, right: float, low: float, high: float) -> bool:
    return right > 0.0 and left >= 0.0 and low <= left / right < high


def _at_target(value: float, metric: Metric) -> int:
    """1 where *value* is at its target or better, -1 where it is worse, 0 where there is none."""
    if metric.target is None or metric.direction is BetterWhen.NEITHER:
        return 0
    return 1 if _better(value, metric.target, metric) >= 0 else -1


_OF_ONE: Final[dict[ClaimRelation, Callable[[float, Metric], bool]]] = {
    ClaimRelation.ABOVE_TARGET: lambda a, m: m.target is not None and _order(a, m.target, m) > 0,
    ClaimRelation.BELOW_TARGET: lambda a, m: m.target is not None and _order(a, m.target, m) < 0,
    ClaimRelation.MEETS_TARGET: lambda a, m: _at_target(a, m) > 0,
    ClaimRelation.MISSES_TARGET: lambda a, m: _at_target(a, m) < 0,
    ClaimRelation.GAIN: lambda a, m: is_signed(m) and _order(a, 0.0, m) > 0,
    ClaimRelation.LOSS: lambda a, m: is_signed(m) and _order(a, 0.0, m) < 0,
    ClaimRelation.NONE: lambda a, m: a == 0.0 and m.unit in (Unit.COUNT, Unit.SHARE, Unit.USDT, Unit.USDT_AMOUNT),
    ClaimRelation.ALL: lambda a, m: a == 1.0 and m.unit is Unit.SHARE,
    ClaimRelation.MOST: lambda a, m: m.unit is Unit.SHARE and _order(a, 0.5, m) > 0,
}
_OF_TWO: Final[dict[ClaimRelation, Callable[[float, float, Metric], bool]]] = {
    ClaimRelation.ROSE: lambda a, b, m: _order(a, b, m) > 0,
    ClaimRelation.FELL: lambda a, b, m: _order(a, b, m) < 0,
    ClaimRelation.UNCHANGED: lambda a, b, m: _order(a, b, m) == 0,
    ClaimRelation.IMPROVED: lambda a, b, m: _better(a, b, m) > 0,
    ClaimRelation.WORSENED: lambda a, b, m: _better(a, b, m) < 0,
    ClaimRelation.ABOVE: lambda a, b, m: _order(a, b, m) > 0,
    ClaimRelation.BELOW: lambda a, b, m: _order(a, b, m) < 0,
    ClaimRelation.EQUAL: lambda a, b, m: _order(a, b, m) == 0,
    ClaimRelation.BETTER: lambda a, b, m: _better(a, b, m) > 0,
    ClaimRelation.WORSE: lambda a, b, m: _better(a, b, m) < 0,
    ClaimRelation.TWICE: lambda a, b, m: _ratio(a, b, 1.95, 2.05),
    ClaimRelation.MORE_THAN_TWICE: lambda a, b, m: _ratio(a, b, 2.0, float("inf")) and a > 2.0 * b,
    ClaimRelation.HALF: lambda a, b, m: _ratio(a, b, 0.475, 0.525),
    ClaimRelation.LESS_THAN_HALF: lambda a, b, m: _ratio(a, b, 0.0, 0.5),
}
