"""What to do after a day: each piece of advice with the figures that it rests on and the command that does it.

Advice to change a gate is given only where the interval of what it stops, which may be read at any time, excludes 0.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.fields import FieldLookup
from quantum_trader.lab.insights.day_records import DayRecords
from quantum_trader.lab.insights.insight_figures import main_move, move_name
from quantum_trader.lab.insights.insight_sentences import SpokenFigures, counted
from quantum_trader.lab.insights.threshold_moves import MovedThreshold
from quantum_trader.lab.shadows.analysis import GateScore, ShadowAnalysis
from quantum_trader.lab.statements.checker import check_sentence, figures_in, render_sentence
from quantum_trader.lab.statements.language import Sentence
from quantum_trader.lab.statements.report import safe_name_of_key
from quantum_trader.models.gates import GATES

KEEP: Final = "Keep the settings: nothing on record is told from luck."
HELPS, HARMS = "helps", "harms"


class Recommendation(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """One piece of advice; *figures* are the keys of the figures that it rests on, in the insight's figures."""

    text: str
    figures: tuple[str, ...]
    command: str  # empty: for a simulation that is not this program's

    def __str__(self) -> str:
        """The advice and its command in one line."""
        return f"{self.text} {self.command}".strip()


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence that is still to be checked, and the words of its command behind ``quantum-trader``."""

    sentence: Sentence
    command: tuple[str, ...]


def advice_of(
    figures: SpokenFigures, records: DayRecords, analysis: ShadowAnalysis | None, moved: MovedThreshold | None
) -> Iterator[Advice]:
    """Everything that the records of the day advise, the most urgent first."""
    if figures.some("waiting_halts"):
        yield Advice(
            sentence=Sentence(text="Resume when the cause is gone: the waiting halts were {waiting_halts}."),
            command=("resume", "--reason", "the cause is gone"),
        )
    yield from _unmeasured(figures, records)
    for one in analysis.by_gate if analysis is not None else ():
        yield from _of_gate(one)
    if moved is not None:
        yield _look_at(figures, records, moved)
    if (figures.value("fee_share") or 0.0) > 1.0:
        yield Advice(
            sentence=Sentence(
                text="Try the gate that weighs returns against what trading takes: the fee share was {fee_share}."
            ),
            command=("gates", "advice", "--gate", "cost"),
        )


def _of_gate(one: GateScore) -> Iterator[Advice]:
    """Enforce a gate whose stopped signals lost, observe one whose stopped signals won."""
    action = {HELPS: "enforce", HARMS: "observe"}.get(one.score.verdict)
    if action is None or one.enforced is (action == "enforce"):
        return
    name = f"|gate={one.gate}"
    share = f" with a share of good blocks of {{window_gate_accuracy{name}}}" if one.score.accuracy is not None else ""
    yield Advice(
        sentence=Sentence(text=(
            f"{action.capitalize()} {{gate={one.gate}}}: its result of the stopped was "
            f"{{window_gate_mean{name}}}{share}."
        )),
        command=("gates", action, one.gate),
    )


def _unmeasured(figures: SpokenFigures, records: DayRecords) -> Iterator[Advice]:
    """Observe an enforced gate that measured no signal of the window: it refuses every one of them."""
    signals = records.signals
    if signals is None or not len(signals):
        return
    for place, gate in enumerate(GATES):
        reason = f"GATE_{gate.upper()}"
        if bool(signals.enforced[-1, place]) and not np.any(signals.measured[:, place]) and \
                figures.some("refusals", gate=reason):
            yield Advice(
                sentence=Sentence(
                    text=f"Observe the gate behind {{gate={reason}}}: it measures nothing and caused "
                    f"{counted(figures, 'refusals', 'refusal', 'refusals', gate=reason)}."
                ),
                command=("gates", "observe", gate),
            )


def _look_at(figures: SpokenFigures, records: DayRecords, moved: MovedThreshold) -> Advice:
    """Look at other values of a threshold that let no signal of the day through."""
    name = move_name(moved, main_move(moved))
    let = counted(figures, "threshold_passed", "signal let through", "signals let through", gate=name)
    told = f"on this day the tried value of {{threshold_tried|gate={name}}} gives {let}."
    if moved.gate or not records.refused:
        return Advice(
            sentence=Sentence(text=f"Try {{gate={name}}} on the past signals before touching it: {told}"),
            command=("gates", "advice", "--gate", moved.gate),
        )
    return Advice(
        sentence=Sentence(text=f"Ask why {{gate={name}}} refused it before touching it: {told}"),
        command=("why", records.refused[-1].signal_id),
    )


def recommendations(advice: Iterable[Advice], figures: SpokenFigures, state: str) -> tuple[Recommendation, ...]:
    """The *advice* whose sentences hold; commands name the state folder *state*, and are left out where it is empty."""
    made = []
    for one in advice:
        if check_sentence(one.sentence, figures.snapshot):
            continue
        keys = (safe_name_of_key(str(key)) for key in figures_in(one.sentence, figures.snapshot))
        words = ["quantum-trader", *one.command, "--state", state]
        made.append(Recommendation(
            text=render_sentence(one.sentence, figures.snapshot), figures=tuple(keys),
            command=shlex.join(words) if state else "",
        ))
    return tuple(made)
