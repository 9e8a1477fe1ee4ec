"""What moving one threshold would have made of a day's refused signals, by making each decision again.

Of the settings that could let a refused signal through by themselves, the one that turns the most signals is looked at,
at three values: the nearest that turns any, one that turns half of those that it can turn, and one that turns them all.
Each signal is decided with the account as it was at its time: that the first of them would have left less room for the
next is not counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
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
    results = _results(signals)
    return MovedThreshold(
        setting=one.key, title=one.title, unit=one.unit, gate=gate, config_key=key, mode=some[-1].context.mode,
        before=newest.before, looked_at=len(some), refused=len(refused),
        moves=tuple(
            _move(step, value, place, decisions, some, results) for step, value in _steps(list(known.values()))
        ),
    )


def _evenly(refused: Sequence[RefusedSignal], most: int) -> list[RefusedSignal]:
    if len(refused) <= most:
        return list(refused)
    return [refused[at] for at in np.linspace(0, len(refused) - 1, most).round().astype(int).tolist()]


def _size(turns: dict[int, _Turn]) -> float:
    """The median relative change: of two settings that turn as many, the one that must move less."""
    return float(np.median([abs(one.after - one.before) / max(abs(one.before), 1e-9) for one in turns.values()]))


def _steps(turns: Sequence[_Turn]) -> list[tuple[str, float]]:
    """The values to try: those that turn the first, half and all of *turns*, each value once."""
    rising = turns[0].after > turns[0].before
    values = sorted((one.after for one in turns if (one.after > one.before) is rising), reverse=not rising)
    chosen = (values[0], values[(len(values) - 1) // 2], values[-1])
    by_value = {value: step for step, value in zip(STEPS, chosen, strict=True)}  # of equal values the last step
    return [(step, value) for value, step in by_value.items()]


def _move(
    step: str, value: float, place: int, decisions: Sequence[Decision], some: Sequence[RefusedSignal],
    results: dict[str, float],
) -> ThresholdMove:
    """What *value* makes of the signals; one whose own limit was looser already keeps it."""
    column, passed = CHANGEABLE[place].column, []
    for decision, one in zip(decisions, some, strict=True):
        own = decision.row[column]
        if math.isfinite(own) and decision.made_with({place: value}).is_approved:
            passed.append(one.signal_id)
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
