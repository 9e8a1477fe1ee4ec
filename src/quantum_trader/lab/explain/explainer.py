"""Why a signal was refused or let through, and what would have to change for it to go the other way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import InputError, brief
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine.decision_inputs import DecisionInputs, recorded_inputs
from quantum_trader.engine.facts import SignalDecision
from quantum_trader.lab.explain import row as at
from quantum_trader.lab.explain import words
from quantum_trader.lab.explain.changeable import CHANGEABLE, SETTINGS
from quantum_trader.lab.explain.search import Decision, DecisionContext, FoundChange
from quantum_trader.models.gates import GATES, gate_bits

_NOTHING: Final = (
    "No change of the inputs that a person could wish different turns it, neither one by itself nor several together."
)


class InputChange(msgspec.Struct, frozen=True, kw_only=True):
    """One changed input. *before* is None where the figure is not measured."""

    input: str  # key
    title: str
    group: str  # market, forecast, account, system, settings
    unit: str
    before: float | None
    after: float  # verified: the decision made again with it goes the other way
    edge: float  # the nearest value to `before` that turns the decision
    relative: float  # size of the change, over that of the figure; 1.0 for a word
    sentence: str
    reason: str = ""  # of an approved decision: what would refuse it then


class GateSaid(msgspec.Struct, frozen=True, kw_only=True):
    """One of the six gates."""

    gate: str
    passed: bool
    enforced: bool
    sentence: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A decision explained. Figures that are not measured are None."""

    signal_id: str
    symbol: str
    side: str  # LONG | SHORT
    ts_ns: int
    decision: str  # ALLOWED | BLOCKED
    reason: str  # code; empty when allowed
    summary: str  # one sentence
    observed: float | None  # the figure that decided
    limit: float | None
    margin: float | None  # by how much the figure passes; below 0 by how much it fails, in `unit`
    unit: str
    what_to_change: tuple[str, ...]  # sentences
    changes: tuple[InputChange, ...]  # of one input each, the smallest first
    joint: tuple[InputChange, ...] = ()  # of several together, where no single one is enough
    joint_size: float | None = None  # sum of their relative changes
    then: str = ""  # what comes after the position in the other direction is closed
    inputs: dict[str, float | None]  # by key
    gates: tuple[GateSaid, ...]
    rules: tuple[str, ...] = ()  # of the policy that fired, where it is enforced


def explain_inputs(inputs: DecisionInputs, context: DecisionContext | None = None) -> Explanation:
    """Explain the decision that *inputs* lead to.

    An approved one is explained by the smallest changes that would have refused it. Every change was verified by making
    the decision again.
    """
    decision = Decision(inputs, context or DecisionContext())
    why = words.refusal_reason(decision)
    reason = decision.made.reason
    fixed = words.UNCHANGEABLE.get(reason, "")
    singles = [] if fixed else decision.single_changes()
    joint = [] if fixed or singles or decision.made.is_approved else decision.joint_change()
    changes = tuple(_change(one, decision) for one in singles)
    together = tuple(_change(one, decision) for one in joint)
    return Explanation(
        signal_id=inputs.signal_id, symbol=inputs.symbol, side=words.side_words(inputs.sign), ts_ns=inputs.ts_ns,
        decision="ALLOWED" if decision.made.is_approved else "BLOCKED", reason=reason,
        summary=_summary(decision, why, changes), observed=_known(why.observed), limit=_known(why.limit),
        margin=_known(why.margin), unit=why.unit, what_to_change=_advice(decision, fixed, changes, together),
        changes=changes, joint=together, joint_size=ordered_sum(one.size for one in joint) if joint else None,
        then=_then(decision) if reason == "CLOSES_FIRST" else "",
        inputs={key: _known(decision.row[column]) for key, column in _FIGURES},
        gates=tuple(
            GateSaid(
                gate=one.gate, passed=one.passed, enforced=bool(inputs.gates_enforced >> place & 1),
                sentence=words.gate_sentence(one, decision),
            )
            for place, one in enumerate(words.readings(decision))
        ),
        rules=words.policy_rules(decision),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _change(found: FoundChange, decision: Decision) -> InputChange:
    one = CHANGEABLE[found.place]
    return InputChange(
        input=one.key, title=one.title, group=one.group, unit=one.unit, before=_known(found.before), after=found.after,
        edge=found.edge, relative=found.size, sentence=words.change_sentence(found, decision), reason=found.reason,
    )


def _summary(decision: Decision, why: words.Why, changes: tuple[InputChange, ...]) -> str:
    name = _name(decision.inputs)
    if not decision.made.is_approved:
        return f"{name} was not traded: {why.sentence}."
    measured = [one for one in changes if one.group != SETTINGS]
    closest = f". What came closest to refusing it: {measured[0].sentence}, {measured[0].reason}" if measured else ""
    return f"{name} was let through{closest}."


def _name(inputs: DecisionInputs) -> str:
    return f"{inputs.symbol} {words.side_words(inputs.sign)}{' (an addition)' if inputs.position.adds else ''}"


def _advice(
    decision: Decision, fixed: str, changes: tuple[InputChange, ...], together: tuple[InputChange, ...]
) -> tuple[str, ...]:
    """What would turn the decision, in sentences."""
    if fixed:
        return (fixed,)
    if changes:
        return tuple(one.sentence for one in changes)
    if together:
        return (f"No single input is enough; together: {'; '.join(one.sentence for one in together)}",)
    return (_NOTHING,)


def _then(decision: Decision) -> str:
    """What the decision would be once the position in the other direction is closed."""
    inputs = decision.inputs_with({_CLOSED: 1.0})
    after = Decision(inputs, decision.context)
    if after.made.is_approved:
        return "Once it is closed the signal is taken again, and nothing else stood in its way."
    return f"Once it is closed the signal is taken again, and would be refused: {words.refusal_reason(after).sentence}."


_FIGURES: Final = tuple((one.key, one.column) for one in CHANGEABLE if not one.words)
_CLOSED: Final = next(place for place, one in enumerate(CHANGEABLE) if one.column == at.CLOSED)


class GateExplainer:
    """Explains refusals: one sentence, the figures, and what would have to change, computed by deciding again."""

    def explain_rejection(
        self, gate_name: str, decision: SignalDecision | Mapping[str, Any] | None,
        inputs: DecisionInputs | Mapping[str, Any], context: DecisionContext | Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Explain why *gate_name* refused a signal.

        *gate_name*: one of the six gates, or the reason on record ("LOW_CONFIDENCE"); empty for what *decision* states.
        A gate that did not decide is explained as if it were enforced. Where another check refused before it, sentence
        and figures are the gate's, and the changes let the signal through both. *decision* is the record
        ``signal.decided``, *inputs* the record ``signal.inputs``. Raises InputError for a name that is neither, for a
        gate that passes, and for a *context* that is none.
        """
        made = inputs if isinstance(inputs, DecisionInputs) else recorded_inputs(inputs)
        around = context if isinstance(context, DecisionContext) else _context(context or {})
        name = gate_name.strip()
        gate = name.removeprefix("GATE_").lower() if name.startswith("GATE_") else name  # COST is a reason of the guard
        if gate in GATES:
            enforced = made.gates_enforced | gate_bits((gate,))
            return _of_gate(gate, msgspec.structs.replace(made, gates_enforced=enforced), around)
        found = explain_inputs(made, around)
        known = {found.reason, _stated(decision), ""}
        if name.upper() not in known:
            said = f"refused for {found.reason}" if found.reason else "let through"
            raise InputError(
                f"gate_name = {brief(gate_name)}: the signal was {said}; give that, or one of {', '.join(GATES)}"
            )
        return found


def _context(given: Mapping[str, Any]) -> DecisionContext:
    try:
        return msgspec.convert(given, DecisionContext)
    except msgspec.ValidationError as error:
        raise InputError(f"context = {brief(given)}: {error}; give the fields of DecisionContext") from None


def _of_gate(gate: str, inputs: DecisionInputs, context: DecisionContext) -> Explanation:
    """The decision explained by *gate*, which does not pass; InputError where it does."""
    told = explain_inputs(inputs, context)
    decision = Decision(inputs, context)
    why = words.gate_reason(decision, gate)
    if next(one for one in told.gates if one.gate == gate).passed:
        raise InputError(f"gate_name = {gate!r}: the signal passes it: {why.sentence}")
    if told.reason == f"GATE_{gate.upper()}":
        return told
    before = words.refusal_reason(decision).sentence
    summary = f"{_name(inputs)} does not pass the {gate} gate: {why.sentence}. Before it, this refused: {before}."
    return msgspec.structs.replace(
        told, summary=summary, observed=_known(why.observed), limit=_known(why.limit), margin=_known(why.margin),
        unit=why.unit,
    )


def _stated(decision: SignalDecision | Mapping[str, Any] | None) -> str:
    if decision is None:
        return ""
    return str(decision.get("reason", "") if isinstance(decision, Mapping) else decision.reason)
