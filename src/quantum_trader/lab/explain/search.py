"""The smallest changes that turn a decision, found by making it again, and each checked by making it once more.

The search runs as machine code (:mod:`quantum_trader.lab.explain.kernel`). What it finds is put into digits that a
person reads, on the side that turns the decision, and is reported only where ``engine.decision_inputs.decide_again``
agrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine.decision_inputs import DecisionInputs, Redecision, decide_again
from quantum_trader.engine.road import ROAD_FLIP, ROAD_POSITIONS
from quantum_trader.lab.explain import kernel as k
from quantum_trader.lab.explain import row as at
from quantum_trader.lab.explain.changeable import (
    BEARS,
    BY_LAW,
    BY_RULES,
    CHANGEABLE,
    EARLY,
    ENTRY,
    FIRST_GATE,
    FLIP,
    IS_CONDITION,
    PILOT,
    PLACES,
    TABLE,
    WORDS,
)
from quantum_trader.lab.explain.effects import apply_rules, follow, settle
from quantum_trader.models.forecast import normal_cdf
from quantum_trader.policy import layout as pol
from quantum_trader.policy.enforcement import Settings, settings_in_use
from quantum_trader.risk import account_column as acc
from quantum_trader.risk import limit_column as lim

_DIGITS: Final = (4, 6, 9, 12, 17)  # significant digits that a value is tried with
_SAME: Final = 1e-9  # of a confidence: it follows from its forecast
_MOST_STEPS: Final = 10  # towards a joint change
_BEGINNINGS: Final = 3  # first changes that a joint change is tried from
_JUST: Final = 1e-9  # more progress than none
_NO_TIERS: Final = np.zeros((1, 4))


class DecisionContext(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a decision and does not stand in its inputs."""

    profile: tuple[float, ...] = ()  # policy.profiles.profile_vector; empty: the policy is taken as it was
    features: dict[str, float] = {}  # models.entry_features of the signal; empty: not known
    bonus: float = 0.0  # of a consensus with the pilot, in the confidence
    mode: str = ""  # of the gates: scalp, runner, trend
    regime: str = ""  # market state in words


class FoundChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one input: what it turns from and to. A word's value is its code."""

    place: int  # in CHANGEABLE
    before: float
    after: float  # in the digits shown; it turns the decision
    edge: float  # the nearest value to `before` that turns it
    size: float  # relative change
    others: tuple[float, ...] = ()  # other values of a word that turn it too
    reason: str = ""  # that refuses an approved decision then


class Decision:
    """One decision that is made again with other inputs."""

    def __init__(self, inputs: DecisionInputs, context: DecisionContext) -> None:
        self.inputs, self.context = inputs, context
        self.profile = list(context.profile) or [0.0] * pol.PROFILE_SIZE
        self.row = _whole_row(inputs, context, self.profile)
        self.made = decide_again(inputs)
        tiers = np.array(inputs.tiers, dtype=np.float64).reshape(-1, 4) if inputs.tiers else _NO_TIERS
        self._base = np.array(self.row)
        self._problem = (self._base, np.array(self.profile), tiers, TABLE, WORDS)
        self._bears = self._bearing()
        self._begun = float(k.progress(self._base.copy(), self._base, *self._problem[1:3]))
        self._results = np.zeros((len(CHANGEABLE), k.RESULT_SIZE))
        self._words = np.zeros((len(CHANGEABLE), k.OPTIONS))

    def _bearing(self) -> Any:
        """The checks (L,) that each input bears on, in bits."""
        bears = BEARS.copy()
        if self.row[at.RULES]:  # then its own inputs say what the policy answers
            bears |= BY_RULES
            bears[[PLACES["policy_gate"], PLACES["policy_symbol"]]] = 0
        if self.row[at.LAW] == at.LAW_NORMAL:
            bears |= BY_LAW
        if not math.isfinite(self.row[at.QUANTITY]):
            bears[PLACES["target_quantity"]] = 0
        return bears

    def _may_turn(self) -> Any:
        """The inputs (L,) that may turn the decision: those that bear on the check that refuses, or on any."""
        return (self._bears & (self._all_checks() if self.made.is_approved else self._check_at(self._begun))) != 0

    def _check_at(self, progress: float) -> int:
        """The check that a decision of so much *progress* (see the kernel) has come to, in bits."""
        place = math.ceil(progress)
        if place == ROAD_FLIP:
            return FLIP
        if place <= ROAD_POSITIONS:
            return EARLY
        return PILOT if place == k.PILOT else 1 << FIRST_GATE + place - k.GATES if place < k.SIZING else ENTRY

    def _all_checks(self) -> int:
        return EARLY | PILOT | ENTRY | FLIP | int(self.row[at.ENFORCED]) << FIRST_GATE

    def inputs_with(self, changes: Mapping[int, float]) -> DecisionInputs:
        """The decision's inputs with *changes* (place in CHANGEABLE -> value) and what follows from them."""
        row = list(self.row)
        for place, value in changes.items():
            row[CHANGEABLE[place].column] = value
        follow(row, self.row)
        settle(row, self.row, self.profile)
        return at.inputs_of(row, self.inputs)

    def made_with(self, changes: Mapping[int, float]) -> Redecision:
        """The decision made again with *changes*."""
        return decide_again(self.inputs_with(changes))

    # ------------------------------------------------------------------ single changes

    def single_changes(self) -> list[FoundChange]:
        """The smallest change of each input by itself that turns the decision, the smallest first.

        A refused one turns into an order, an approved one into a refusal.
        """
        approved = self.made.is_approved
        self._search(self._may_turn(), -k.APPROVED if approved else k.APPROVED, {})
        found = (self._checked(int(place)) for place in np.flatnonzero(self._results[:, k.FOUND]))
        return sorted((one for one in found if one is not None), key=lambda one: (one.size, one.place))

    def _search(self, active: Any, goal: float, others: Mapping[int, float]) -> None:
        """Fill the results with the smallest changes that reach *goal* beside *others*."""
        x, chosen = np.zeros(len(CHANGEABLE)), np.zeros(len(CHANGEABLE) + 1, dtype=np.int64)
        for place, value in others.items():
            x[place] = value
        chosen[: len(others)] = list(others)
        k.single_changes(self._problem, active, goal, x, chosen, len(others), self._results, self._words)

    def _checked(self, place: int) -> FoundChange | None:
        """What was found for the input in *place*, in few digits, once the decision made again agrees."""
        one = CHANGEABLE[place]
        before, edge = self.row[one.column], float(self._results[place, k.VALUE])
        for value in [edge] if one.kind != k.NUMBER else _shown(before, edge, one.low, one.high):
            made = self.made_with({place: value})
            if made.is_approved is not self.made.is_approved:
                more = WORDS[place, self._words[place] == 1.0].tolist() if one.kind == k.WORD else ()
                return FoundChange(
                    place=place, before=before, after=value, edge=edge, size=float(self._results[place, k.SIZE]),
                    others=tuple(other for other in more if other != value), reason=made.reason,
                )
        return None

    # ------------------------------------------------------------------ joint changes

    def joint_change(self) -> list[FoundChange]:
        """The smallest change of several inputs that ends in an order; empty where none was found.

        Of what is measured; where that cannot, of the settings too. The sum of the relative changes is made small by a
        greedy search: always the smallest change of one input that brings the decision any further, begun with each of
        the three smallest, and then each change as small as the others permit.
        """
        for allowed in (IS_CONDITION, np.ones_like(IS_CONDITION)):
            firsts = self._steps(allowed, {})[:_BEGINNINGS]
            tried = [self._greedy(allowed, dict([first])) for first in firsts]
            found = [self._tightened(one) for one in tried if one]
            if found:
                best = min(found, key=lambda one: ordered_sum(self._size(place, value) for place, value in one.items()))
                return self._verified(best)
        return []

    def _progress(self, changes: Mapping[int, float]) -> float:
        row = list(self.row)
        for place, value in changes.items():
            row[CHANGEABLE[place].column] = value
        if changes:
            follow(row, self.row)
        return float(k.progress(np.array(row), self._base, self._problem[1], self._problem[2]))

    def _greedy(self, allowed: Any, changes: dict[int, float]) -> dict[int, float]:
        """*changes* and as many more of inputs *allowed* (L,) as end in an order; empty where none go on."""
        for _ in range(_MOST_STEPS):
            if self._progress(changes) >= k.APPROVED:
                return changes
            if not (steps := self._steps(allowed, changes)):
                return {}
            changes = {**changes, steps[0][0]: steps[0][1]}
        return {}

    def _steps(self, allowed: Any, changes: Mapping[int, float]) -> list[tuple[int, float]]:
        """Further changes, each of one input, that bring the decision any further; the smallest first.

        Of other inputs than those of *changes*, or of one of them. Only inputs that bear on the check that the decision
        has come to can do that.
        """
        reached = self._progress(changes) if changes else self._begun
        may = ((self._bears & self._check_at(reached)) != 0) & allowed
        others = may.copy()
        others[list(changes)] = False
        self._search(others, reached + _JUST, changes)
        sizes = np.where(self._results[:, k.FOUND] == 1.0, self._results[:, k.SIZE], np.inf)
        values = self._results[:, k.VALUE].copy()
        for place, value in changes.items():
            if may[place]:
                self._search_one(place, reached + _JUST, {key: one for key, one in changes.items() if key != place})
                if self._results[place, k.FOUND]:
                    sizes[place] = max(0.0, float(self._results[place, k.SIZE]) - self._size(place, value))
                    values[place] = self._results[place, k.VALUE]
        order = np.argsort(sizes, kind="stable")
        return [(int(place), float(values[place])) for place in order if math.isfinite(sizes[place])]

    def _search_one(self, place: int, goal: float, others: Mapping[int, float]) -> None:
        """Search the input in *place* alone."""
        only = np.zeros(len(CHANGEABLE), dtype=np.bool_)
        only[place] = True
        self._search(only, goal, others)

    def _tightened(self, changes: dict[int, float]) -> dict[int, float]:
        """*changes* without those that are not needed, each as small as the others permit."""
        for _ in range(2):
            before = dict(changes)
            for place in before:
                others = {key: value for key, value in changes.items() if key != place}
                if others and self._progress(others) >= k.APPROVED:
                    changes = others
                    continue
                self._search_one(place, k.APPROVED, others)
                if self._results[place, k.FOUND]:
                    changes = {**others, place: float(self._results[place, k.VALUE])}
            if changes == before:
                break
        return changes

    def _size(self, place: int, value: float) -> float:
        """The size of one change."""
        one, before = CHANGEABLE[place], self.row[CHANGEABLE[place].column]
        if one.kind == k.WORD or not math.isfinite(before):
            return 1.0
        return abs(value - before) / max(abs(before), one.least)

    def _verified(self, changes: dict[int, float]) -> list[FoundChange]:
        """*changes* in few digits, once the decision made again agrees; empty where it does not."""
        for digits in _DIGITS:
            shown = {
                place: _outward(self.row[CHANGEABLE[place].column], value, digits)
                if CHANGEABLE[place].kind == k.NUMBER else value for place, value in changes.items()
            }
            if self.made_with(shown).is_approved:
                return [
                    FoundChange(
                        place=place, before=self.row[CHANGEABLE[place].column], after=shown[place], edge=value,
                        size=self._size(place, value),
                    )
                    for place, value in sorted(changes.items())
                ]
        return []


def _shown(before: float, edge: float, low: float, high: float) -> Iterator[float]:
    """*edge* in few digits and in more, each a little further from *before*, and itself."""
    for digits in _DIGITS:
        yield min(max(_outward(before, edge, digits), low), high)
    yield edge


def _outward(before: float, edge: float, digits: int) -> float:
    """*edge* in so many significant digits, rounded away from *before*."""
    if edge == 0.0 or not math.isfinite(edge):
        return edge
    unit = 10.0 ** (math.floor(math.log10(abs(edge))) - digits + 1)
    count = edge / unit
    nearest = round(count)
    if abs(count - nearest) < 1e-6:
        rounded = nearest
    else:
        upward = edge > before or (not math.isfinite(before) and edge < 0.0)
        rounded = math.ceil(count) if upward else math.floor(count)
    return float(f"{rounded * unit:.{digits}g}")


# ---------------------------------------------------------------------- the row of a decision


def _whole_row(inputs: DecisionInputs, context: DecisionContext, profile: Sequence[float]) -> list[float]:
    """The decision's row: what is on record, and what stands behind it."""
    row = [float(one) for one in at.recorded_row(inputs)]
    row += [0.0] * (at.ROW_SIZE - len(row))
    equity, margin = row[at.ACCOUNT + acc.EQUITY], row[at.ACCOUNT + acc.USED_MARGIN]
    changes = [row[at.ACCOUNT + acc.ROLLING_PNL], row[at.ACCOUNT + acc.MIDNIGHT_PNL]]
    row[at.ERROR_BPS] = float(context.features.get("error_bps", math.nan))
    row[at.BONUS] = context.bonus
    row[at.LAW] = float(_law(row))
    row[at.EXPOSURE_PCT] = margin / equity * 100.0 if equity > 0.0 else math.nan
    row[at.OWN_CONFIDENCE], row[at.OWN_RISK_PCT] = row[at.USED_CONFIDENCE], row[at.USED_RISK]
    row[at.OWN_POSITIONS] = row[at.USED_POSITIONS]
    row[at.OWN_GATE], row[at.OWN_SYMBOL] = row[at.USED_GATE], row[at.USED_SYMBOL]
    row[at.REGIME] = at.regime_code(row[at.GATE_TREND], row[at.POLICY_MARKET + pol.IN_DIRECTION])
    row[at.DERIVED] = float(_is_derived(inputs))
    if row[at.DERIVED] and context.profile and any(inputs.switches) and inputs.policy_account:
        _follow_policy(row, profile)
        if row[at.RULES]:
            changes.append(row[at.POLICY_ACCOUNT + pol.ACC_DAILY_PNL_PCT])
            row[at.NEW_POLICY_LATCH] = float(_is_new_latch(row, profile, inputs.ts_ns))
    row[at.DAY_CHANGE_PCT] = min(changes)
    row[at.NEW_GUARD_LATCH] = float(min(changes[:2]) <= -row[at.LIMITS + lim.DAILY_LOSS_PCT])
    return row


def _law(row: Sequence[float]) -> int:
    """How confidence and expected return of a decision's *row* belong together."""
    expected, cost, error = row[at.GATE_EXPECTED_BPS], row[at.GATE_COST_BPS], row[at.ERROR_BPS]
    if math.isfinite(error) and error > 0.0 and math.isfinite(expected) and math.isfinite(cost):
        follows = min(1.0, float(normal_cdf((expected - cost) / error)) + row[at.BONUS])
        return at.LAW_NORMAL if abs(follows - row[at.CONFIDENCE]) <= _SAME else at.LAW_NONE
    return at.LAW_DIRECTION if math.isfinite(expected) and math.isnan(error) else at.LAW_NONE


def _is_derived(inputs: DecisionInputs) -> bool:
    """Whether what trading used follows from the switches, the policy and the fixed settings."""
    if not any(inputs.switches):
        return inputs.used == inputs.fixed
    if len(inputs.policy) != len(Settings._fields):
        return False
    return tuple(map(float, settings_in_use(
        inputs.switches, Settings._make(inputs.policy), Settings._make(inputs.fixed)
    ))) == inputs.used


def _follow_policy(row: list[float], profile: Sequence[float]) -> None:
    """Let the policy of *row* follow from its inputs, where its rules give what was in force, or something looser."""
    trial = list(row)
    apply_rules(trial, list(profile))
    asked, had = trial[at.POLICY : at.GATES], row[at.POLICY : at.GATES]
    stricter = (
        had[0] < asked[0], had[1] < asked[1], had[2] > asked[2], had[3] < asked[3], had[4] < asked[4], had[5] > asked[5]
    )
    looser = (
        had[0] > asked[0], had[1] > asked[1], had[2] < asked[2], had[3] > asked[3], had[4] > asked[4], had[5] < asked[5]
    )
    row[at.RULES] = float(not any(looser))
    row[at.HELD_FIELDS] = ordered_sum(1 << place for place, one in enumerate(stricter) if one)


def _is_new_latch(row: Sequence[float], profile: Sequence[float], ts_ns: int) -> bool:
    """Whether the policy's daily loss latch is of today, and the losses as they stand would raise it."""
    worst = min(
        row[at.POLICY_ACCOUNT + pol.ACC_DAILY_PNL_PCT], row[at.POLICY_ACCOUNT + pol.ACC_DRAWDOWN_PCT]
    )
    today = ts_ns // NS_PER_DAY
    return row[at.POLICY_MEMORY + pol.MEM_LATCH_DAY] == today and worst <= -profile[pol.PROFILE_DD_LIMIT]
