"""What moving one threshold would have made of a day's refused signals, by making each decision again.

Of the settings that could let a refused signal through by themselves, the one that turns the most signals is looked at,
at three values: the nearest that turns any, one that turns half of those that it can turn, and one that turns them all.
Each signal is decided with the account as it was at its time: that the first of them would have left less room for the
next is not counted. Where no single setting turns any, it is the threshold of the gate that refused the most, and the
count of signals let through says that others stand behind it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from quantum_trader.lab.explain.changeable import CHANGEABLE, PLACES, SETTINGS
from quantum_trader.lab.explain.search import Decision
from quantum_trader.lab.insights.day_records import RefusedSignal
from quantum_trader.lab.shadows.judged_signals import RESOLVED, JudgedSignals
from quantum_trader.lab.shadows.thresholds import gate_figures, limits_of_row, value_of

MOST_SIGNALS: Final = 60  # that are decided again, evenly over the day
STEPS: Final = ("first", "half", "all")
_CONFIG_KEYS: Final = {  # settings of a gate, as `quantum-trader gates set` names them
    "max_spread_bps": ("spread", "max_spread_bps"), "min_volume_ratio": ("volume", "min_volume_ratio"),
    "margin_bps": ("cost", "margin_bps"), "gate_min_confidence": ("confidence", "min_confidence"),
    "gate_min_win_probability": ("meta_label", "min_win_probability"),
}


class ThresholdMove(msgspec.Struct, frozen=True, kw_only=True):
    """One value of the threshold, and what it makes of the signals that were looked at."""

    step: str
    value: float
    passed: int  # refused signals that would have been traded
    ended: int  # of them, whose shadow trade ended by the end of the day
    mean_bps: float | None  # of these, after costs


class MovedThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """The setting that could have let the most of the refused signals through."""

    setting: str  # key of lab.explain.changeable
    title: str
    unit: str
    gate: str  # the gate whose threshold it is; empty: no gate's
    config_key: str  # of a mode of the gates; empty: no gate's
    mode: str  # of the signals
    before: float  # of the newest signal
    looked_at: int
    refused: int  # signals of the day that were refused
    moves: tuple[ThresholdMove, ...]


class _Turn(msgspec.Struct, frozen=True):
    before: float
    after: float


def moved_threshold(refused: Sequence[RefusedSignal], signals: JudgedSignals | None) -> MovedThreshold | None:
    """The threshold that stood before the most of *refused*; None where no single setting turns any of them."""
    some = _evenly(refused, MOST_SIGNALS)
    decisions = [Decision(one.inputs, one.context) for one in some]
    turns: dict[int, dict[int, _Turn]] = defaultdict(dict)
    for at, decision in enumerate(decisions):
        for found in decision.single_changes() if not decision.made.is_approved else ():
            one = CHANGEABLE[found.place]
            if one.group == SETTINGS and not one.words and math.isfinite(found.before):
                turns[found.place][at] = _Turn(found.before, found.after)
    if not turns:
        turns = _of_the_gate(some)
    if not turns:
        return None
    place = min(turns, key=lambda key: (-len(turns[key]), not _is_limit(CHANGEABLE[key].key), _size(turns[key]), key))
    known = turns[place]
    one, newest = CHANGEABLE[place], known[max(known)]
    gate, key = _CONFIG_KEYS.get(one.key, ("", ""))
    rising = newest.after > newest.before

    def passed_at(value: float) -> list[str]:
        """The signals that are traded under *value*; one whose own limit was looser keeps it."""
        found = []
        for decision, each in zip(decisions, some, strict=True):
            own = decision.row[one.column]
            loosest = (max if rising else min)(own, value) if math.isfinite(own) else value
            if decision.made_with({place: loosest}).is_approved:
                found.append(each.signal_id)
        return found

    return MovedThreshold(
        setting=one.key, title=one.title, unit=one.unit, gate=gate, config_key=key, mode=some[-1].context.mode,
        before=newest.before, looked_at=len(some), refused=len(refused),
        moves=threshold_steps(
            [turn.after for turn in known.values() if (turn.after > turn.before) is rising], rising, passed_at,
            _results(signals),
        ),
    )


def _evenly(refused: Sequence[RefusedSignal], most: int) -> list[RefusedSignal]:
    if len(refused) <= most:
        return list(refused)
    return [refused[at] for at in np.linspace(0, len(refused) - 1, most).round().astype(int).tolist()]


def _of_the_gate(some: Sequence[RefusedSignal]) -> dict[int, dict[int, _Turn]]:
    """The threshold of the gate that refused the most of *some*, moved to each signal's own figure.

    For signals that another check would refuse then: no single setting lets one through.
    """
    reasons = Counter(one.reason for one in some)
    for key, (gate, _) in _CONFIG_KEYS.items():
        reason = f"GATE_{gate.upper()}"
        if reasons and reasons[reason] == max(reasons.values()):
            known = {}
            for at, one in enumerate(some):
                limits = limits_of_row(one.inputs.gate_limits)
                figure = float(gate_figures(gate, np.array([one.inputs.gates], dtype=np.float64), limits)[0])
                if one.reason == reason and math.isfinite(figure):
                    known[at] = _Turn(value_of(gate, limits), figure)
            return {PLACES[key]: known} if known else {}
    return {}


def _is_limit(key: str) -> bool:
    """Whether a setting is a limit that signals are refused by, and not how they are traded."""
    return key.startswith(("guard_", "gate_", "max_", "min_")) or key in _CONFIG_KEYS


def _size(turns: dict[int, _Turn]) -> float:
    """The median relative change: of two settings that turn as many, the one that must move less."""
    return float(np.median([abs(one.after - one.before) / max(abs(one.before), 1e-9) for one in turns.values()]))


def threshold_steps(
    values: Sequence[float], rising: bool, passed_at: Callable[[float], list[str]], results: Mapping[str, float]
) -> tuple[ThresholdMove, ...]:
    """Moves to the nearest, the middle and the furthest of *values*, each value once.

    *rising*: a larger value is the looser one. *passed_at* names the signals that a value lets through, *results* the
    results of the signals that have one, bps.
    """
    ordered = sorted(values, reverse=not rising)
    chosen = (ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1])
    by_value = {value: step for step, value in zip(STEPS, chosen, strict=True)}  # of equal values the last step
    return tuple(_move(step, value, passed_at(value), results) for value, step in by_value.items())


def _move(step: str, value: float, passed: Sequence[str], results: Mapping[str, float]) -> ThresholdMove:
    ended = [results[name] for name in passed if name in results]
    return ThresholdMove(
        step=step, value=value, passed=len(passed), ended=len(ended),
        mean_bps=math.fsum(ended) / len(ended) if ended else None,
    )


def _results(signals: JudgedSignals | None) -> dict[str, float]:
    """The shadow results of the signals that have one, by id."""
    if signals is None:
        return {}
    rows = np.flatnonzero(signals.outcome == RESOLVED).tolist()
    return {signals.signal_ids[row]: float(signals.net_bps[row]) for row in rows}
