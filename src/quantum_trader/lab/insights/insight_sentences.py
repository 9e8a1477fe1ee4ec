"""The sentences of an insight, in the language of ``lab.statements``: every figure a placeholder, every word checked.

A sentence is written only where its figures have data; the checker of statements strikes what is not true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quantum_trader.lab.insights.day_records import DayRecords
from quantum_trader.lab.insights.insight_figures import main_move, move_name
from quantum_trader.lab.insights.threshold_moves import MovedThreshold
from quantum_trader.lab.metrics.values import MetricSnapshot
from quantum_trader.lab.shadows.analysis import ShadowAnalysis
from quantum_trader.lab.statements.claims import day_before
from quantum_trader.lab.statements.language import Claim, Relation, Sentence

SUMMARY: Final = "Summary"
LEARNT: Final = "What was learnt"
BLOCKED: Final = "What was blocked, and whether rightly"
CHANGED: Final = "What changed"
COSTS: Final = "What it cost"
_MOST_REASONS: Final = 3


class Figures:
    """Which figures of a snapshot have data, and which are above 0."""

    def __init__(self, snapshot: MetricSnapshot) -> None:
        self.snapshot = snapshot

    def value(self, metric: str, day: str = "", **where: str) -> float | None:
        """The value of a figure; None without data."""
        found = self.snapshot.get(metric, day, **where)
        return found.value if found is not None else None

    def known(self, *metrics: str, **where: str) -> bool:
        """Whether all *metrics* have data on the snapshot's day."""
        return all(self.value(one, **where) is not None for one in metrics)

    def some(self, *metrics: str, **where: str) -> bool:
        """Whether all *metrics* are known and above 0."""
        return all((self.value(one, **where) or 0.0) > 0.0 for one in metrics)


def summary_sentences(figures: Figures) -> Iterator[Sentence]:
    """What the day was, in two or three sentences."""
    if figures.some("trades"):
        yield Sentence(text="{trades} trades ended with a result of {pnl_total} and a win rate of {win_rate}.")
        yield from _against_the_day_before(figures)
    elif figures.known("trades"):
        yield Sentence(text="No trade ended on this day.", claims=(Claim(left="trades", relation=Relation.NONE),))
    if figures.some("signals"):
        yield Sentence(text="The models gave {signals} signals with an approval rate of {signals_allowed}.") \
            if figures.known("signals_allowed") else Sentence(text="The models gave {signals} signals.")
    elif figures.known("signals"):
        yield Sentence(text="No signal came on this day.", claims=(Claim(left="signals", relation=Relation.NONE),))


def _against_the_day_before(figures: Figures) -> Iterator[Sentence]:
    day = figures.snapshot.day
    before = day_before(day)
    old, new = figures.value("pnl_total", before), figures.value("pnl_total")
    if old is None or new is None:
        return
    for verb, relation in (("rose", Relation.ROSE), ("fell", Relation.FELL)):
        if (new > old) is (relation is Relation.ROSE) and new != old:
            yield Sentence(
                text=f"The result {verb} to {{pnl_total}} from {{pnl_total@{before}}} on {{date@{before}}}.",
                claims=(Claim(left="pnl_total", relation=relation, right=before),),
            )


def learnt_sentences(figures: Figures) -> Iterator[Sentence]:
    """What shadow trades, trainings and market conditions say."""
    if figures.some("shadow_trades") and figures.known("shadow_mean_bps"):
        yield Sentence(text="{shadow_trades} shadow trades ended with a mean shadow result of {shadow_mean_bps}.")
    if figures.some("trainings"):
        yield Sentence(text="{trainings} trainings ended.")
        if figures.known("training_auc"):
            yield Sentence(text="The AUC of trainings was {training_auc}.")
    if figures.some("ranges_tested"):
        yield Sentence(
            text="Of {ranges_tested} tested ranges of market conditions {ranges_told} were ranges told apart."
        )


def blocked_sentences(figures: Figures, records: DayRecords, analysis: ShadowAnalysis | None) -> Iterator[Sentence]:
    """What stopped the signals of the day, and what stopping signals was worth."""
    for reason in list(records.refusals)[:_MOST_REASONS]:
        name = reason.lower()
        yield Sentence(text=f"{{gate={name}}} was the reason of {{refusals|gate={name}}} refusals.")
    if figures.known("block_accuracy"):
        yield Sentence(text="The accuracy of blocking was {block_accuracy} on the shadow trades that ended.")
    if figures.known("window_block_mean"):
        yield Sentence(text="Up to this day the result of the blocked was {window_block_mean}.")
    for one in analysis.by_gate if analysis is not None else ():
        yield from _gate_sentences(figures, one.gate)


def _gate_sentences(figures: Figures, gate: str) -> Iterator[Sentence]:
    name = f"|gate={gate}"
    if figures.known("window_gate_mean", "window_gate_accuracy", gate=gate) and figures.some("gate_stops", gate=gate):
        yield Sentence(text=(
            f"{{gate={gate}}} had {{gate_stops{name}}} stopped signals on this day, a share of good blocks of "
            f"{{window_gate_accuracy{name}}} and a result of the stopped of {{window_gate_mean{name}}}."
        ))


def move_sentences(moved: MovedThreshold | None) -> Iterator[Sentence]:
    """What another value of the threshold that stood in the way makes of the day's refused signals."""
    if moved is None:
        return
    name = move_name(moved, main_move(moved))
    yield Sentence(text=(
        f"{{gate={name}}} stood in the way with a value in force of {{threshold_now|gate={name}}}, and at the tried "
        f"value of {{threshold_tried|gate={name}}} there were {{threshold_passed|gate={name}}} signals let through "
        f"of {{threshold_signals|gate={name}}} signals decided again."
    ))
    if main_move(moved).ended:
        yield Sentence(text=(
            f"{{threshold_ended|gate={name}}} known results of {{gate={name}}} give a result of those let through of "
            f"{{threshold_mean|gate={name}}}."
        ))


def changed_sentences(figures: Figures) -> Iterator[Sentence]:
    """How much was changed; the changes themselves are a table."""
    for metric, text in (
        ("policy_changes", "{policy_changes} policy changes came into force."),
        ("settings_changes", "There were {settings_changes} changes of settings."),
        ("model_changes", "There were {model_changes} model changes."),
        ("halts", "There were {halts} halts."),
        ("open_halts", "At the end of the day there were {open_halts} standing halts."),
    ):
        if figures.some(metric):
            yield Sentence(text=text)


def cost_sentences(figures: Figures) -> Iterator[Sentence]:
    """Fees, slippage and funding."""
    for metric, text in (
        ("fees", "The fees were {fees}."), ("slippage", "The slippage was {slippage}."),
        ("funding", "The funding was {funding}."), ("fee_share", "The fee share was {fee_share}."),
    ):
        if figures.known(metric):
            yield Sentence(text=text)
