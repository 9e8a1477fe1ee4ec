"""The figures of an insight that no SQL gives: the catalogue names the function that computes each of them.

They stand beside those of the catalogue in one snapshot, so that sentences and tables name every figure by its id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from quantum_trader.lab.insights.day_records import DayRecords, waits_for_a_person
from quantum_trader.lab.insights.threshold_moves import MovedThreshold, ThresholdMove
from quantum_trader.lab.metrics.values import MetricKey, MetricValue
from quantum_trader.lab.shadows.analysis import ShadowAnalysis
from quantum_trader.lab.shadows.blocks import BlockScore
from quantum_trader.models.gates import GATES

if TYPE_CHECKING:
    from quantum_trader.lab.market_context import OptimalConditions

INSIGHTS: Final = "insights"  # the source of these metrics in the catalogue


def insight_figures(
    records: DayRecords, analysis: ShadowAnalysis | None, conditions: OptimalConditions | None,
    moved: MovedThreshold | None,
) -> Iterator[MetricValue]:
    """Every figure that the parts of an insight give, for the day of *records*."""
    day = records.day
    for reason, count in records.refusals.items():
        yield _value("refusals", day, count, count, gate=reason)
    yield _value("open_halts", day, len(records.halts), len(records.halts))
    waiting = [kind for kind, path in records.halts.items() if waits_for_a_person(path)]
    yield _value("waiting_halts", day, len(waiting), len(records.halts))
    if analysis is not None:
        yield _value("window_signals", day, analysis.signals, analysis.signals)
        yield _scored("window_block_mean", day, analysis.all_refused)
        for one in analysis.by_gate:
            yield _scored("window_gate_mean", day, one.score, gate=one.gate)
            score = one.score
            yield _value(
                "window_gate_accuracy", day, score.accuracy, score.good + score.bad, score.accuracy_low,
                score.accuracy_high, gate=one.gate,
            )
    if conditions is not None:
        told = [one for one in conditions.ranges if one.is_better or one.is_worse]
        yield _value("ranges_tested", day, conditions.tests, conditions.known)
        yield _value("ranges_told", day, len(told), conditions.known)
    if moved is not None:
        yield from _moved(day, moved)


def _moved(day: str, moved: MovedThreshold) -> Iterator[MetricValue]:
    for move in moved.moves:
        gate = move_name(moved, move)
        yield _value("threshold_now", day, moved.before, moved.looked_at, gate=gate)
        yield _value("threshold_tried", day, move.value, moved.looked_at, gate=gate)
        yield _value("threshold_signals", day, moved.looked_at, moved.looked_at, gate=gate)
        yield _value("threshold_passed", day, move.passed, moved.looked_at, gate=gate)
        yield _value("threshold_ended", day, move.ended, move.passed, gate=gate)
        yield _value("threshold_mean", day, move.mean_bps, move.ended, gate=gate)


def main_move(moved: MovedThreshold) -> ThresholdMove:
    """The move that sentences speak of: the one in the middle."""
    return moved.moves[len(moved.moves) // 2]


def move_name(moved: MovedThreshold, move: ThresholdMove) -> str:
    """What the dimension ``gate`` says of one move: the setting, and of all but the main one the step."""
    return moved.setting if move == main_move(moved) else f"{moved.setting}:{move.step}"


def _value(
    metric: str, day: str, value: float | None, samples: int, low: float | None = None, high: float | None = None,
    **where: str,
) -> MetricValue:
    key = MetricKey(metric, day, tuple(sorted(where.items())))
    return MetricValue(key=key, value=None if value is None else float(value), samples=samples, low=low, high=high)


def _scored(metric: str, day: str, score: BlockScore, **where: Any) -> MetricValue:
    return _value(metric, day, score.mean_bps, score.settled, score.low_bps, score.high_bps, **where)


assert all(gate.islower() for gate in GATES)  # reasons are in capitals: both are names of the dimension ``gate``
