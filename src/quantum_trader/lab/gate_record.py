"""What the gates have said of a run's signals, from its records, and what they would say under other settings.

A record of each signal has everything that the gates measured of it, so that other limits are applied to the same
signals. What a signal was worth is the result of its shadow trade, in R after costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.engine.decision_inputs import gate_inputs_of
from quantum_trader.lab.shadows.judged_signals import OPEN, RESOLVED, VOID, JudgedSignals
from quantum_trader.models.gates import (
    GATES,
    GateInputs,
    GateSettings,
    gate_place,
    refused_gates,
    unmeasured_gates,
)
from quantum_trader.policy.evidence import RolloutRules, block_interval, look_at

_TREND: Final = GateInputs._fields.index("trend")  # known in every record
ALPHA: Final = 0.05  # of the intervals that are shown


class GatedSignal(msgspec.Struct, kw_only=True):
    """One signal as the gates saw it, and what came of it."""

    signal_id: str
    symbol: str
    ts_ns: int
    by_score: bool  # its position would be held by a model's score
    inputs: GateInputs
    outcome: int = VOID  # OPEN, RESOLVED, or VOID: there will be none
    r: float = math.nan  # of its shadow trade, after costs
    life_ns: int = 0
    reason: str = ""  # why it was not traded; empty: it was


class GateHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The signals of a run in their order, and the span of its records."""

    signals: tuple[GatedSignal, ...] = ()
    first_ns: int = 0
    last_ns: int = 0

    @property
    def market_hours(self) -> float:
        """Hours from the first record to the last one."""
        return (self.last_ns - self.first_ns) / NS_PER_HOUR


def gate_history(judged: JudgedSignals) -> GateHistory:
    """*judged* as the gates are weighed by them; a signal whose inputs are not on record is left out."""
    signals = []
    for at in range(len(judged)):
        row = judged.gate_inputs[at].tolist()
        if math.isnan(row[_TREND]):
            continue
        outcome = int(judged.outcome[at])
        is_known = outcome == RESOLVED
        signals.append(GatedSignal(
            signal_id=judged.signal_ids[at], symbol=judged.symbols[at], ts_ns=int(judged.ts_ns[at]),
            by_score=bool(judged.by_score[at]), inputs=gate_inputs_of(row),
            outcome=outcome if outcome in (OPEN, RESOLVED) else VOID, r=float(judged.r[at]) if is_known else math.nan,
            life_ns=int(judged.end_ns[at] - judged.ts_ns[at]) if is_known else 0, reason=judged.reasons[at],
        ))
    return GateHistory(signals=tuple(signals), first_ns=judged.first_ns, last_ns=judged.last_ns)


def refused_by(signal: GatedSignal, settings: GateSettings) -> int:
    """The bits of the gates that *signal* does not pass under *settings*, enforced or not."""
    limits = settings.limits(settings.mode_of(by_score=signal.by_score))
    return int(refused_gates(signal.inputs, limits))


def resolved(signals: Sequence[GatedSignal]) -> list[GatedSignal]:
    """Those of *signals*, in their order, that have a result, up to the first whose result is still to come.

    Stops end sooner than targets, so the results known so far hold too many losers; a complete beginning does not.
    """
    found = []
    for one in signals:
        if one.outcome == OPEN:
            break
        if one.outcome == RESOLVED:
            found.append(one)
    return found


# ---- shares and means, with their doubt ----------------------------------------------------------------------------
class GateEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """A share or a mean over *count* signals, with bounds at 95 %; None: not known, or too few blocks of time."""

    count: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


def gate_estimate(
    signals: Sequence[GatedSignal], values: Sequence[float], *, is_share: bool = False, at_once: bool = False
) -> GateEstimate:
    """The mean of *values*, one for each of *signals*; neighbours in time share a market, so blocks are resampled.

    *is_share*: the bounds lie in 0 to 1. *at_once*: a value was known with its signal, not at the end of its trade.
    """
    if not values:
        return GateEstimate(count=0)
    lives = [0 if at_once else one.life_ns for one in signals]
    blocks = block_interval([one.ts_ns for one in signals], values, lives, ALPHA)
    low, high = blocks.interval if blocks.interval is not None else (None, None)
    if is_share and low is not None and high is not None:
        low, high = max(0.0, low), min(1.0, high)
    return GateEstimate(count=len(values), value=math.fsum(values) / len(values), low=low, high=high)


class GateRate(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the signals on record one gate lets through under given settings."""

    gate: str
    judged: int
    passed: int
    unmeasured: int
    refused_here: int  # signals that were refused by it, as an enforced gate, when they came
    share: GateEstimate  # of the measured signals that pass


def gate_rates(history: GateHistory, settings: GateSettings) -> tuple[GateRate, ...]:
    """The pass rate of each gate under *settings*, in the order of the gates."""
    refused = [refused_by(one, settings) for one in history.signals]
    unmeasured = [int(unmeasured_gates(one.inputs)) for one in history.signals]
    reasons = [one.reason for one in history.signals]
    made = []
    for place, gate in enumerate(GATES):
        pairs = list(zip(history.signals, refused, unmeasured, strict=True))
        measured = [(one, 0.0 if bits >> place & 1 else 1.0) for one, bits, lacks in pairs if not lacks >> place & 1]
        passes = [value for _, value in measured]
        made.append(GateRate(
            gate=gate, judged=len(pairs), passed=passes.count(1.0), unmeasured=len(pairs) - len(measured),
            refused_here=reasons.count(f"GATE_{gate.upper()}"),
            share=gate_estimate([one for one, _ in measured], passes, is_share=True, at_once=True),
        ))
    return tuple(made)


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """The signals that the enforced gates of given settings let through."""

    passed: GateEstimate  # share of all signals
    won: GateEstimate  # of those that passed and have a result: share with a profit
    mean_r: GateEstimate  # and their mean result


class LimitEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What other limits of one gate would have done by themselves, enforced or not; of the measured signals."""

    gate: str
    before: Outcomes
    after: Outcomes


class GatesEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of the gates would have done to the signals on record."""

    signals: int
    before: Outcomes
    after: Outcomes
    newly_refused: GateEstimate  # mean R of the signals that only the settings before let through
    newly_passed: GateEstimate  # and of those that only the settings after let through
    by_gate: tuple[LimitEffect, ...] = ()  # of the gates that would have judged a signal otherwise


def outcomes(history: GateHistory, settings: GateSettings) -> Outcomes:
    """What the enforced gates of *settings* let through of *history*."""
    enforced = settings.enforced_bits
    return _outcomes(history.signals, [not refused_by(one, settings) & enforced for one in history.signals])


def _outcomes(signals: Sequence[GatedSignal], passes: Sequence[bool]) -> Outcomes:
    """What became of those of *signals* that pass."""
    known = resolved([one for one, passed in zip(signals, passes, strict=True) if passed])
    return Outcomes(
        passed=gate_estimate(signals, [float(one) for one in passes], is_share=True, at_once=True),
        won=gate_estimate(known, [1.0 if one.r > 0.0 else 0.0 for one in known], is_share=True),
        mean_r=gate_estimate(known, [one.r for one in known]),
    )


def effect_of_change(history: GateHistory, before: GateSettings, after: GateSettings) -> GatesEffect:
    """What changing the gates from *before* to *after* would have done to the signals of *history*."""
    old, new = ([refused_by(one, settings) for one in history.signals] for settings in (before, after))
    was, now = [not bits & before.enforced_bits for bits in old], [not bits & after.enforced_bits for bits in new]
    pairs = list(zip(history.signals, was, now, strict=True))
    lost = resolved([one for one, passed, passes in pairs if passed and not passes])
    gained = resolved([one for one, passed, passes in pairs if passes and not passed])
    return GatesEffect(
        signals=len(history.signals), before=_outcomes(history.signals, was), after=_outcomes(history.signals, now),
        newly_refused=gate_estimate(lost, [one.r for one in lost]),
        newly_passed=gate_estimate(gained, [one.r for one in gained]), by_gate=_by_gate(history, old, new),
    )


def _by_gate(history: GateHistory, old: Sequence[int], new: Sequence[int]) -> tuple[LimitEffect, ...]:
    """The effect of each gate by itself, from the bits of the gates that refuse each signal before and after."""
    found = []
    for place, gate in enumerate(GATES):
        rows = [
            (one, not was >> place & 1, not now >> place & 1)
            for one, was, now in zip(history.signals, old, new, strict=True)
            if not unmeasured_gates(one.inputs) >> place & 1
        ]
        if any(was is not now for _, was, now in rows):
            signals = [one for one, _, _ in rows]
            found.append(LimitEffect(
                gate=gate, before=_outcomes(signals, [was for _, was, _ in rows]),
                after=_outcomes(signals, [now for _, _, now in rows]),
            ))
    return tuple(found)


# ---- evidence ------------------------------------------------------------------------------------------------------
class GateEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What enforcing one gate would have refused. *interval* bounds the mean R of what it refuses, per signal.

    It may be read at any time: looks are taken at fixed counts and share one error (``policy.evidence``).
    """

    gate: str
    signals: int = 0
    refused: int = 0  # by its limits as they are now, measured or not
    unmeasured: int = 0  # of those
    resolved: int = 0  # of the refused, in a complete beginning with known results
    open: int = 0  # result still to come
    void: int = 0  # that will never have one
    sum_r: float = 0.0
    mean_r: float | None = None
    market_hours: float = 0.0
    look: int = 0  # how many looks have been taken; 0: none yet
    look_size: int = 0  # signals that the interval rests on
    next_look: int = 0
    interval: tuple[float, float] | None = None
    effective_blocks: float = 0.0
    block_hours: float = 0.0


def gate_evidence(
    history: GateHistory, settings: GateSettings, gate: str, rules: RolloutRules | None = None
) -> GateEvidence:
    """Weigh what *history* holds about enforcing *gate* with the limits of *settings*."""
    place = gate_place(gate)
    refused = [one for one in history.signals if refused_by(one, settings) >> place & 1]
    known = resolved(refused)
    values = [one.r for one in known]
    look = look_at([one.ts_ns for one in known], values, [one.life_ns for one in known], rules)
    counts: list[Any] = [one.outcome for one in refused]
    return GateEvidence(
        gate=gate, signals=len(history.signals), refused=len(refused),
        unmeasured=[unmeasured_gates(one.inputs) >> place & 1 for one in refused].count(1),
        resolved=len(known), open=counts.count(OPEN), void=counts.count(VOID), sum_r=math.fsum(values),
        mean_r=math.fsum(values) / len(values) if values else None, market_hours=history.market_hours,
        look=look.number, look_size=look.size, next_look=look.upcoming, interval=look.interval,
        effective_blocks=look.blocks.effective if look.blocks is not None else 0.0,
        block_hours=look.blocks.hours if look.blocks is not None else 0.0,
    )
