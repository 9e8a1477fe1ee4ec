"""The figures of an insight that no SQL of the catalogue gives: each with its metric, computed by a named function.

They stand beside those of the catalogue in one snapshot, so that sentences and tables name every figure by its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from quantum_trader.lab.insights.day_records import DayRecords, waits_for_a_person
from quantum_trader.lab.insights.threshold_moves import MovedThreshold, ThresholdMove
from quantum_trader.lab.metrics.metric import BetterWhen, Dimension, Metric, Unit
from quantum_trader.lab.metrics.values import MetricKey, MetricValue
from quantum_trader.lab.shadows.analysis import ShadowAnalysis
from quantum_trader.lab.shadows.blocks import BlockScore
from quantum_trader.models.gates import GATES

if TYPE_CHECKING:
    from quantum_trader.lab.market_context import OptimalConditions

INSIGHTS: Final = "insights"  # stands in the place of a relation
_MOVES: Final = "lab.insights.threshold_moves.moved_threshold"
_BLOCKS: Final = "lab.shadows.analysis.analyse"
_RANGES: Final = "lab.market_context.optimal_conditions"
_RECORDS: Final = "lab.insights.day_records.read_day"


def _metric(
    name: str, title: str, unit: Unit, nouns: Sequence[str], function: str, meaning: str, *, by_gate: bool = False,
    direction: BetterWhen = BetterWhen.NEITHER, interval: str = "",
) -> Metric:
    return Metric(
        id=name, title=title, group=INSIGHTS, unit=unit, direction=direction, meaning=meaning, of=INSIGHTS,
        value=function, by=(Dimension.GATE,) if by_gate else (), nouns=tuple(nouns), interval=interval,
    )


_ALL: Final = (
    _metric("refusals", "Refusals by reason", Unit.COUNT, ("refusal",), _RECORDS,
            "How many signals of the day were not traded, by the reason on record.", by_gate=True),
    _metric("open_halts", "Standing halts", Unit.COUNT, ("standing halt",), _RECORDS,
            "How many kinds of halts stand at the end of the day.", direction=BetterWhen.LOWER),
    _metric("waiting_halts", "Halts that wait for a person", Unit.COUNT, ("waiting halt",), _RECORDS,
            "How many of them end by `resume` alone.", direction=BetterWhen.LOWER),
    _metric("window_signals", "Signals of the window", Unit.COUNT, ("signal of the window",), _BLOCKS,
            "How many signals the days up to the end of the day had that blocks are judged by."),
    _metric("window_block_mean", "Worth of blocking", Unit.BPS, ("result of the blocked",), _BLOCKS,
            "Mean shadow result of the signals of the window that were not traded; bounds hold at all looks together.",
            direction=BetterWhen.LOWER, interval="looks"),
    _metric("window_gate_mean", "Worth of a gate", Unit.BPS, ("result of the stopped",), _BLOCKS,
            "Mean shadow result of the signals of the window that a gate does not let pass; bounds hold at all looks "
            "together.", by_gate=True, direction=BetterWhen.LOWER, interval="looks"),
    _metric("window_gate_accuracy", "Rightly stopped", Unit.SHARE, ("share of good blocks",), _BLOCKS,
            "Share of good blocks of a gate among good and bad ones in the window.", by_gate=True,
            direction=BetterWhen.HIGHER, interval="looks"),
    _metric("ranges_tested", "Ranges tested", Unit.COUNT, ("tested range",), _RANGES,
            "How many ranges of market conditions were tested against the rest of the window's signals."),
    _metric("ranges_told", "Ranges told from luck", Unit.COUNT, ("range told apart",), _RANGES,
            "How many of them differ at a false discovery rate below 5 %."),
    _metric("threshold_now", "Value in force", Unit.RATIO, ("value in force",), _MOVES,
            "The threshold that was in force, in the unit of its setting.", by_gate=True),
    _metric("threshold_tried", "Tried value", Unit.RATIO, ("tried value",), _MOVES,
            "Another value of the threshold, with which the day's refused signals were decided again.", by_gate=True),
    _metric("threshold_signals", "Signals decided again", Unit.COUNT, ("signal decided again",), _MOVES,
            "How many refused signals of the day were decided again.", by_gate=True),
    _metric("threshold_passed", "Signals let through", Unit.COUNT, ("signal let through",), _MOVES,
            "How many of them the tried value lets through.", by_gate=True),
    _metric("threshold_ended", "Results known", Unit.COUNT, ("known result",), _MOVES,
            "Of how many of these the shadow trade had ended by the end of the day.", by_gate=True),
    _metric("threshold_mean", "Their mean result", Unit.BPS, ("result of those let through",), _MOVES,
            "Mean shadow result of these, after costs.", by_gate=True, direction=BetterWhen.HIGHER),
)
INSIGHT_METRICS: Final[Mapping[str, Metric]] = {one.id: one for one in _ALL}


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
