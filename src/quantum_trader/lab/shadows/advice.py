"""Advice on the thresholds of the gates: what another value would have let pass, chosen early and shown late.

Each gate is looked at by itself, over all signals whose figure is known and whose shadow trade has ended, traded or
not. A threshold is chosen on the first part of the history, the one under which the signals that pass earned the most,
and shown on the rest; between the two are the signals whose shadow trade had not ended by then. It is advised only
where the difference that it makes there is told from luck, at an error that all gates share (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import ConfigError, is_finite_number
from quantum_trader.lab.shadows.judged_signals import JudgedSignals
from quantum_trader.lab.shadows.thresholds import (
    THRESHOLDS,
    candidates,
    limits_of_row,
    passing,
    threshold_words,
    value_of,
    with_value,
)
from quantum_trader.lab.trials.record import THRESHOLD, Trial, hash_of_values
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.models.gates import GATES, GateLimits
from quantum_trader.policy.evidence import block_interval

LEAST: Final = 30
ADVICE: Final = "gates advice"
LUCK: Final = "no threshold can be told from today's"


class AdviceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How thresholds are tried."""

    first_share: float = 0.6  # of the signals, on which a threshold is chosen
    least: int = LEAST  # signals that must pass a threshold, and that it must change, for it to be looked at
    alpha: float = 0.05  # error of all gates together, two-sided

    def __post_init__(self) -> None:
        for key, low, high in (("first_share", 0.2, 0.8), ("least", 10, 10_000), ("alpha", 0.001, 0.5)):
            value = getattr(self, key)
            if not (is_finite_number(value) and low <= value <= high):
                raise ConfigError(f"{key} = {value!r}: must be between {low:g} and {high:g}")


class ThresholdEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What one threshold lets pass of n signals; bps after costs and funding. Bounds: None where there are too few."""

    value: str  # as a person writes it
    signals: int
    passed: int
    changed: int  # signals that pass under one of this threshold and today's alone
    mean_bps: float | None  # of the passed
    total_bps: float  # of the passed
    difference_bps: float  # against today's threshold, a signal of the n
    low_bps: float | None
    high_bps: float | None

    @property
    def pass_rate(self) -> float:
        """Share of the signals that pass."""
        return self.passed / self.signals if self.signals else math.nan


class GateAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's threshold today, those that were tried, and what can be said of them."""

    gate: str
    mode: str
    key: str  # of the threshold's setting
    today: str
    signals: int  # measured, with a result that counts
    unmeasured: int
    tried: tuple[ThresholdEffect, ...]  # on the whole history
    now: ThresholdEffect | None  # today's threshold on the whole history
    split: str  # time from which the second part begins; empty: too few signals
    chosen: str  # on the first part; empty: none was better there than today's
    first: ThresholdEffect | None  # the chosen one on the first part
    second: ThresholdEffect | None  # and on the second, with bounds at the shared error
    is_told: bool  # the second part tells it from luck
    sentence: str


class ThresholdAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """What the history of one run says of the thresholds of its gates."""

    mode: str  # of the newest signal; signals of other modes are left out
    signals: int
    other_modes: int
    gates: tuple[GateAdvice, ...]
    tried: int  # thresholds in all
    sentence: str


class _History(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Signals of one mode in the order of their time, with a result that counts."""

    inputs: Floats
    ts_ns: Ints
    end_ns: Ints
    net_bps: Floats

    def of(self, rows: Bools) -> _History:
        return _History(
            inputs=self.inputs[rows], ts_ns=self.ts_ns[rows], end_ns=self.end_ns[rows], net_bps=self.net_bps[rows]
        )


def advise(
    signals: JudgedSignals, settings: AdviceSettings | None = None, progress: Callable[[int, int], None] | None = None
) -> ThresholdAdvice:
    """Try thresholds of every gate on the history of *signals*; *progress* is told gates done and gates in all."""
    settings = settings or AdviceSettings()
    mode, limits = signals.modes[-1], limits_of_row(signals.gate_limits[-1].tolist())
    rows, history = _of_mode(signals, mode)
    found = []
    for place, gate in enumerate(GATES):
        measured = signals.measured[:, place]
        unmeasured = int((rows & ~measured).sum())
        found.append(_advise(gate, mode, limits, history.of(rows & measured), unmeasured, settings))
        if progress is not None:
            progress(place + 1, len(GATES))
    return ThresholdAdvice(
        mode=mode, signals=int(rows.sum()), other_modes=sum(one != mode for one in signals.modes), gates=tuple(found),
        tried=sum(len(one.tried) for one in found), sentence=_summary(found),
    )


class ThresholdChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a changed threshold of one gate would have let pass, beside the one before; both on the whole history."""

    gate: str
    key: str  # of the threshold's setting
    before: ThresholdEffect
    after: ThresholdEffect


def changed_thresholds(
    signals: JudgedSignals, mode: str, before: GateLimits, after: GateLimits, settings: AdviceSettings | None = None
) -> tuple[ThresholdChange, ...]:
    """The effect of each threshold of *mode* that is another in *after* than in *before*, on the signals of that mode.

    A threshold that a person has chosen, and not one of many tried: it is no trial.
    """
    settings = settings or AdviceSettings()
    rows, history = _of_mode(signals, mode)
    found = []
    for place, gate in enumerate(GATES):
        old, new = value_of(gate, before), value_of(gate, after)
        if old != new:
            known = history.of(rows & signals.measured[:, place])
            found.append(ThresholdChange(
                gate=gate, key=THRESHOLDS[gate].key, before=effect_of(gate, old, before, known, settings.alpha),
                after=effect_of(gate, new, before, known, settings.alpha),
            ))
    return tuple(found)


def _of_mode(signals: JudgedSignals, mode: str) -> tuple[Bools, _History]:
    """Which of *signals* are of *mode* with a result that counts, and all of them."""
    of_mode = np.array([one == mode for one in signals.modes], dtype=np.bool_)
    rows = signals.settled & of_mode & np.isfinite(signals.gate_limits[:, 0])
    return rows, _History(
        inputs=signals.gate_inputs, ts_ns=signals.ts_ns, end_ns=signals.end_ns, net_bps=signals.net_bps
    )


def _advise(
    gate: str, mode: str, limits: GateLimits, history: _History, unmeasured: int, settings: AdviceSettings
) -> GateAdvice:
    """What can be said of one gate's threshold."""
    split_ns = _split(history, settings)
    first = history.of((history.ts_ns < split_ns) & (history.end_ns < split_ns))
    second = history.of(history.ts_ns >= split_ns)
    values = candidates(gate, first.inputs, limits) if split_ns else ()
    today = value_of(gate, limits)
    effects = tuple(effect_of(gate, value, limits, history, settings.alpha) for value in values)
    chosen = _choose(gate, values, limits, first, settings)
    early = late = None
    if chosen is not None:
        early = effect_of(gate, chosen, limits, first, settings.alpha)
        late = effect_of(gate, chosen, limits, second, settings.alpha / len(GATES))
    is_told = (
        late is not None and late.low_bps is not None and late.low_bps > 0.0 and late.changed >= settings.least
    )
    return GateAdvice(
        gate=gate, mode=mode, key=THRESHOLDS[gate].key, today=threshold_words(gate, today), signals=len(history.ts_ns),
        unmeasured=unmeasured, tried=effects,
        now=effect_of(gate, today, limits, history, settings.alpha) if len(history.ts_ns) else None,
        split=iso(split_ns) if split_ns else "", chosen="" if chosen is None else threshold_words(gate, chosen),
        first=early, second=late, is_told=is_told,
        sentence=_sentence(gate, threshold_words(gate, today), values, early, late, is_told, settings),
    )


def _split(history: _History, settings: AdviceSettings) -> int:
    """The time from which the second part begins; 0 where there are too few signals for two parts."""
    count = len(history.ts_ns)
    if count * min(settings.first_share, 1.0 - settings.first_share) < settings.least:
        return 0
    return int(history.ts_ns[int(count * settings.first_share)])


def _choose(
    gate: str, values: tuple[float, ...], limits: GateLimits, first: _History, settings: AdviceSettings
) -> float | None:
    """The value under which the signals of the first part that pass earned the most; None: today's did.

    A value that changes too little, or lets too little pass, is not looked at.
    """
    today = passing(gate, first.inputs, limits)
    best, most = None, float(first.net_bps[today].sum())
    for value in values:
        passed = passing(gate, first.inputs, with_value(gate, limits, value))
        total = float(first.net_bps[passed].sum())
        if total > most and min(int(passed.sum()), int((passed != today).sum())) >= settings.least:
            best, most = value, total
    return best


def effect_of(gate: str, value: float, limits: GateLimits, history: _History, alpha: float) -> ThresholdEffect:
    """What the threshold *value* lets pass of *history*, beside the one in *limits*."""
    passed = passing(gate, history.inputs, with_value(gate, limits, value))
    change = passed.astype(np.float64) - passing(gate, history.inputs, limits)
    differences = history.net_bps * change
    changed, bounds = int(np.count_nonzero(change)), None
    if changed and len(differences) >= LEAST:
        life_ns = history.end_ns - history.ts_ns
        bounds = block_interval(history.ts_ns.tolist(), differences.tolist(), life_ns.tolist(), alpha).interval
    return ThresholdEffect(
        value=threshold_words(gate, value), signals=len(passed), passed=int(passed.sum()), changed=changed,
        mean_bps=float(history.net_bps[passed].mean()) if passed.any() else None,
        total_bps=math.fsum(history.net_bps[passed]),
        difference_bps=float(differences.mean()) if len(differences) else 0.0,
        low_bps=bounds[0] if bounds else None, high_bps=bounds[1] if bounds else None,
    )


def _sentence(
    gate: str, today: str, values: tuple[float, ...], early: ThresholdEffect | None, late: ThresholdEffect | None,
    is_told: bool, settings: AdviceSettings,
) -> str:
    """What can be said of one gate, in a sentence."""
    key = THRESHOLDS[gate].key
    if not values:
        return f"{gate}: too few signals with a figure and a result to try another {key} than {today}."
    if early is None or late is None:
        return (
            f"{gate}: of {len(values)} thresholds none that changes at least {settings.least} signals earned more than "
            f"{key} = {today} on the first part of the history; keep it."
        )
    tried = f"of {len(values)} thresholds {key} = {early.value} earned the most on the first part"
    shown = f"on the second it made {late.difference_bps:+.1f} bps a signal against {today}"
    bounds = f"{late.low_bps:+.1f} to {late.high_bps:+.1f}" if late.low_bps is not None else "too few for an interval"
    if is_told:
        passes = f"{late.pass_rate:.0%} of the signals pass, {late.mean_bps or 0.0:+.1f} bps each"
        return f"{gate}: {tried}; {shown} ({bounds}; {passes}). Advice: {key} = {early.value}."
    few = f", {late.changed} signals changed" if late.changed < settings.least else ""
    return f"{gate}: {tried}; {shown} ({bounds}{few}): {LUCK}, {today}."


def _summary(found: list[GateAdvice]) -> str:
    told = [one for one in found if one.is_told]
    tried = sum(len(one.tried) for one in found)
    if not told:
        return f"{tried} thresholds tried: {LUCK}. Keep the thresholds; more signals may tell."
    names = ", ".join(f"{one.key} = {one.chosen}" for one in told)
    return f"{tried} thresholds tried: told from luck on the second part of the history: {names}."


def advice_trials(advice: ThresholdAdvice, data_hash: str) -> Iterator[Trial]:
    """A trial for each threshold that was tried, on the signals *data_hash*."""
    for one in advice.gates:
        for effect in one.tried:
            tried = {"gate": one.gate, "mode": one.mode, one.key: effect.value}
            yield Trial(
                source=ADVICE, kind=THRESHOLD, label=f"{one.mode} {one.key} = {effect.value}",
                settings_hash=hash_of_values({"advice": ADVICE, **tried}), data_hash=data_hash, settings=tried,
                metrics={
                    "pass_rate": effect.pass_rate, "mean_bps": effect.mean_bps, "difference_bps": effect.difference_bps,
                },
            )
