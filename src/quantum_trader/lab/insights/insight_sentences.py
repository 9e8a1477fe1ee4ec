"""The sentences of an insight, in the language of ``lab.statements``: every figure a placeholder, every word checked.

A sentence is written only where its figures have data; the checker of statements strikes what is not true.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quantum_trader.lab.insights.day_records import DayRecords
from quantum_trader.lab.insights.insight_figures import main_move, move_name
from quantum_trader.lab.insights.threshold_moves import MovedThreshold
from quantum_trader.lab.metrics.metric import Unit
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricSnapshot
from quantum_trader.lab.shadows.analysis import ShadowAnalysis
from quantum_trader.lab.statements.claims import day_before
from quantum_trader.lab.statements.language import Claim, ClaimRelation, Sentence

SUMMARY: Final = "Summary"
LEARNT: Final = "What was learnt"
BLOCKED: Final = "What was blocked, and whether rightly"
CHANGED: Final = "What changed"
COSTS: Final = "What it cost"
SPOKEN: Final = (  # metrics of the catalogue that sentences, tables and advice speak of
    "trades", "win_rate", "pnl_total", "signals", "signals_allowed", "shadow_trades", "shadow_mean_bps", "trainings",
    "training_auc", "block_accuracy", "policy_value", "gate_stops", "gate_pass_rate", "policy_changes",
    "settings_changes", "model_changes", "halts", "fees", "slippage", "funding", "fee_share",
)
_MOST_REASONS: Final = 3


class SpokenFigures:
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


def counted(figures: SpokenFigures, metric: str, one: str, many: str, **where: str) -> str:
    """The figure of *metric* as a placeholder with its noun in the singular or the plural."""
    names = ",".join(f"{key}={name}" for key, name in sorted(where.items()))
    noun = one if figures.value(metric, **where) == 1.0 else many
    return f"{{{metric}{'|' if names else ''}{names}}} {noun}"


def headline_sentences(figures: SpokenFigures) -> Iterator[Sentence]:
    """What the day was, in two or three sentences."""
    if figures.some("trades"):
        ended = counted(figures, "trades", "trade", "trades")
        yield Sentence(text=f"{ended} ended with a result of {{pnl_total}} and a win rate of {{win_rate}}.")
        yield from _against_the_day_before(figures)
    elif figures.known("trades"):
        yield Sentence(text="No trade ended.", claims=(Claim(left="trades", relation=ClaimRelation.NONE),))
    if figures.some("signals"):
        share = " with an approval rate of {signals_allowed}" if figures.known("signals_allowed") else ""
        yield Sentence(text=f"The models gave {counted(figures, 'signals', 'signal', 'signals')}{share}.")
    elif figures.known("signals"):
        yield Sentence(text="No signal came.", claims=(Claim(left="signals", relation=ClaimRelation.NONE),))


def _against_the_day_before(figures: SpokenFigures) -> Iterator[Sentence]:
    """How the result stands to that of the day before, where both have one and are written differently."""
    day = figures.snapshot.day
    before = day_before(day) if day != WHOLE else ""
    old, new = figures.value("pnl_total", before) if before else None, figures.value("pnl_total")
    unit = figures.snapshot.metrics["pnl_total"].unit if old is not None else Unit.USDT
    if old is None or new is None or metric_text(old, unit) == metric_text(new, unit):
        return
    verb, relation = ("rose", ClaimRelation.ROSE) if new > old else ("fell", ClaimRelation.FELL)
    yield Sentence(
        text=f"The result {verb} to {{pnl_total}} from {{pnl_total@{before}}} on {{date@{before}}}.",
        claims=(Claim(left="pnl_total", relation=relation, right=before),),
    )


def learnt_sentences(figures: SpokenFigures) -> Iterator[Sentence]:
    """What shadow trades, trainings and market conditions say."""
    if figures.some("shadow_trades") and figures.known("shadow_mean_bps"):
        ended = counted(figures, "shadow_trades", "shadow trade", "shadow trades")
        yield Sentence(text=f"{ended} ended with a mean shadow result of {{shadow_mean_bps}}.")
    if figures.some("trainings"):
        yield Sentence(text=f"{counted(figures, 'trainings', 'training', 'trainings')} ended.")
        if figures.known("training_auc"):
            yield Sentence(text="The AUC of trainings was {training_auc}.")
    if figures.some("ranges_tested"):
        yield Sentence(
            text="{ranges_told} ranges told apart stood among {ranges_tested} tested ranges of market conditions."
        )


def blocked_sentences(
    figures: SpokenFigures, records: DayRecords, analysis: ShadowAnalysis | None
) -> Iterator[Sentence]:
    """What stopped the signals of the day, and what stopping signals was worth."""
    for name in list(records.refusals)[:_MOST_REASONS]:
        yield Sentence(
            text=f"{{gate={name}}} was the reason of {counted(figures, 'refusals', 'refusal', 'refusals', gate=name)}."
        )
    if figures.known("block_accuracy"):
        yield Sentence(text="The accuracy of blocking was {block_accuracy} on the shadow trades that ended.")
    if figures.known("policy_value"):
        yield Sentence(text="The value added by the policy was {policy_value} on the shadow trades that ended.")
    if figures.known("window_block_mean"):
        window = "" if figures.snapshot.day == WHOLE else " in the window that ends on this day"
        yield Sentence(text=f"The result of the blocked was {{window_block_mean}}{window}.")
    for one in analysis.by_gate if analysis is not None else ():
        yield from _gate_sentences(figures, one.gate)


def _gate_sentences(figures: SpokenFigures, gate: str) -> Iterator[Sentence]:
    name = f"|gate={gate}"
    if not figures.known("window_gate_mean", "window_gate_accuracy", gate=gate):
        return
    stopped = ""
    if figures.some("gate_stops", gate=gate):
        stopped = f"{counted(figures, 'gate_stops', 'stopped signal', 'stopped signals', gate=gate)}, "
    elif figures.known("gate_stops", gate=gate):
        return
    yield Sentence(text=(
        f"The gate {{gate={gate}}} had {stopped}a share of good blocks of {{window_gate_accuracy{name}}} and a result "
        f"of the stopped of {{window_gate_mean{name}}}."
    ))


def move_sentences(figures: SpokenFigures, moved: MovedThreshold | None) -> Iterator[Sentence]:
    """What another value of the threshold that stood in the way makes of the day's refused signals."""
    if moved is None:
        return
    name, main = move_name(moved, main_move(moved)), main_move(moved)
    let = counted(figures, "threshold_passed", "signal let through", "signals let through", gate=name)
    again = counted(figures, "threshold_signals", "signal decided again", "signals decided again", gate=name)
    yield Sentence(text=(
        f"{{gate={name}}} stood in the way with a value in force of {{threshold_now|gate={name}}}, and the tried value "
        f"of {{threshold_tried|gate={name}}} gives {let} of {again}."
    ))
    if main.ended:
        known = counted(figures, "threshold_ended", "known result", "known results", gate=name)
        yield Sentence(text=(
            f"At the end of the day {known} of {{gate={name}}} gave a result of those let through of "
            f"{{threshold_mean|gate={name}}}."
        ))


def changed_sentences(figures: SpokenFigures) -> Iterator[Sentence]:
    """How much was changed; the changes themselves are a table."""
    for metric, one, many, rest in (
        ("policy_changes", "policy change", "policy changes", "came into force"),
        ("settings_changes", "change of settings", "changes of settings", "came into force"),
        ("model_changes", "model change", "model changes", "came into force"),
        ("halts", "halt", "halts", "began"),
        ("open_halts", "standing halt", "standing halts", "went on at the end of the day"),
    ):
        if figures.some(metric):
            yield Sentence(text=f"{counted(figures, metric, one, many)} {rest}.")


def cost_sentences(figures: SpokenFigures) -> Iterator[Sentence]:
    """Fees, slippage and funding."""
    for metric, text in (
        ("fees", "The fees were {fees}."), ("slippage", "The slippage was {slippage}."),
        ("funding", "The funding was {funding}."), ("fee_share", "The fee share was {fee_share}."),
    ):
        if figures.known(metric):
            yield Sentence(text=text)
