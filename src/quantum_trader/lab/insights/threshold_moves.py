"""What moving one threshold would have made of a day's refused signals, by making each decision again.

Of the settings that could let a refused signal through by themselves, the one that turns the most signals is looked at,
at three values: the nearest that turns any, one that turns half of those that it can turn, and one that turns them all.
Each signal is decided with the account as it was at its time: that the first of them would have left less room for the
next is not counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from quantum_trader.lab.explain.changeable import CHANGEABLE, SETTINGS
from quantum_trader.lab.explain.search import Decision
from quantum_trader.lab.insights.day_records import RefusedSignal
from quantum_trader.lab.shadows.judged_signals import RESOLVED, JudgedSignals

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
        return None
    place = min(turns, key=lambda key: (-len(turns[key]), _size(turns[key]), key))
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
