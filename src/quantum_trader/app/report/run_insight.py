"""The insight that a run ends with: the whole run in checked sentences, from the facts that the runner collected.

Its figures have the ids of the catalogue and the values that ``MetricsComputer`` gives for the run's journal; a run
without a state folder has no journal to ask.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import RenderableType

from quantum_trader.app.report.gate_money import ended_shadows, stopped_by
from quantum_trader.app.report.insight import insight_document, insight_part, insight_view
from quantum_trader.app.runs.results import RunFacts, ShadowFacts
from quantum_trader.domain.clock import iso
from quantum_trader.lab.insights.daily_insight import DailyInsight, InsightParts, insight_of
from quantum_trader.lab.insights.day_records import DayRecords
from quantum_trader.lab.insights.insight_figures import INSIGHTS, insight_figures
from quantum_trader.lab.learning.probability_scores import wilson_interval
from quantum_trader.lab.metrics.catalogue import load_catalogue
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue
from quantum_trader.lab.shadows.analysis import REFUSED, TRADED, GateScore, ShadowAnalysis
from quantum_trader.lab.shadows.blocks import BlockLimits, BlockScore, GroupCounts, ShadowResults, score_of
from quantum_trader.market.arrays import Bools
from quantum_trader.models.gates import GATES

STATE: Final = "DIR"  # in commands, until the folder of the run is known
_ALPHA: Final = 0.05


def run_insight(facts: RunFacts) -> dict[str, Any]:
    """The insight of the whole run as plain values, the same for the same facts."""
    standing = {halt.kind: halt.exit_path for halt in facts.halts if not halt.cleared_ns}
    records = DayRecords(
        day=WHOLE, signals=None, given=facts.signals, refused=(), changes=(), halts=standing,
        refusals=dict(sorted(facts.refusals.items(), key=lambda item: (-item[1], item[0]))),
    )
    analysis = _analysis(facts)
    catalogue = load_catalogue()
    snapshot = MetricSnapshot(
        {**catalogue.queried, **catalogue.of_source(INSIGHTS)},
        [*_catalogued(facts), *insight_figures(records, analysis, None, None)], WHOLE,
    )
    return insight_document(insight_of(InsightParts(
        snapshot=snapshot, records=records, analysis=analysis, conditions=None, moved=None, state=STATE,
    )))


def run_insight_view(content: dict[str, Any], state: str) -> RenderableType:
    """What :func:`run_insight` gave, for a terminal; commands name the folder *state* where there is one."""
    return insight_view(_read_back(content, state), short=True)


def run_insight_part(content: dict[str, Any], state: str) -> str:
    """What :func:`run_insight` gave, as a section of the HTML report."""
    return insight_part(_read_back(content, state))


def _read_back(content: dict[str, Any], state: str) -> DailyInsight:
    """The insight that *content* is of; its commands name the folder *state* where there is one."""
    found = msgspec.convert(content, DailyInsight)
    if not state:
        return found
    return msgspec.structs.replace(found, recommendations=tuple(
        msgspec.structs.replace(one, command=one.command.replace(f"--state {STATE}", _folder(state)))
        for one in found.recommendations
    ))


def _folder(state: str) -> str:
    return f"--state {shlex.quote(state)}"


def _catalogued(facts: RunFacts) -> Iterator[MetricValue]:
    """The figures of the catalogue that the facts give."""
    count = len(facts.trades)
    pnl = [trade.pnl for trade in facts.trades]
    won = [trade.pnl + trade.fees - trade.funding for trade in facts.trades]
    gross = math.fsum(value for value in won if value > 0.0)
    yield _figure("trades", count, count)
    yield _figure("pnl_total", math.fsum(pnl) if count else None, count)
    yield _share("win_rate", len([value for value in pnl if value > 0.0]), count)
    yield _figure("signals", facts.signals, facts.signals)
    yield _share("signals_allowed", facts.signals - _blocked(facts), facts.signals)
    yield _figure("fees", facts.costs.fees if facts.costs.turnover > 0.0 else None, count)
    yield _figure("slippage", facts.costs.slippage if facts.costs.turnover > 0.0 else None, count)
    yield _figure("funding", facts.costs.funding if facts.records.get("funding.paid") else None, count)
    fees = math.fsum(trade.fees for trade in facts.trades)
    yield _figure("fee_share", fees / gross if gross > 0.0 else None, count)
    yield from _shadows(facts.shadows)
    yield _figure("policy_changes", facts.records.get("policy.updated", 0), 0)
    yield _figure("halts", facts.records.get("halt.raised", 0), 0)


def _blocked(facts: RunFacts) -> int:
    counts: list[int] = list(facts.refusals.values())
    return min(facts.signals, math.floor(math.fsum(counts)))


def _shadows(shadows: ShadowFacts) -> Iterator[MetricValue]:
    known = np.isfinite(shadows.net_bps)
    yield _figure("shadow_trades", len(shadows.r), len(shadows.r))
    mean = float(np.mean(shadows.net_bps[known])) if known.any() else None
    yield _figure("shadow_mean_bps", mean, int(known.sum()))
    stopped = shadows.net_bps[known & ~shadows.traded]
    limits = BlockLimits()
    good, bad = int((stopped < limits.good_below_bps).sum()), int((stopped > limits.bad_above_bps).sum())
    yield _share("block_accuracy", good, good + bad)


def _figure(metric: str, value: float | None, samples: int, low: float | None = None, high: float | None = None
            ) -> MetricValue:
    return MetricValue(
        key=MetricKey(metric, WHOLE), value=None if value is None else float(value), samples=samples, low=low, high=high
    )


def _share(metric: str, part: int, count: int) -> MetricValue:
    if not count:
        return _figure(metric, None, 0)
    low, high = wilson_interval(part / count, count, _ALPHA)
    return _figure(metric, part / count, count, low, high)


# ---- blocks ----------------------------------------------------------------------------------------------------------
def _analysis(facts: RunFacts) -> ShadowAnalysis | None:
    """What refusing signals was worth, by gate; None without results."""
    shadows = facts.shadows
    known, results = ended_shadows(shadows)
    if not known.any() or facts.gates is None:
        return None
    return ShadowAnalysis(
        signals=facts.signals, traded=len(facts.trades), refused=_blocked(facts), first=iso(int(shadows.ts_ns[0])),
        last=iso(int(shadows.ts_ns[-1])), limits=BlockLimits(), models=(),
        all_refused=_score(REFUSED, results, known & ~shadows.traded),
        all_traded=_score(TRADED, results, known & shadows.traded), by_reason=(), by_regime=(), by_symbol=(),
        by_gate=tuple(_of_gate(place, gate, facts, results, known) for place, gate in enumerate(GATES)),
    )


def _of_gate(place: int, gate: str, facts: RunFacts, results: ShadowResults, known: Bools) -> GateScore:
    assert facts.gates is not None, "signals were judged"
    stopped = known & stopped_by(facts.shadows, place)
    measured = facts.gates.judged - facts.gates.unmeasured[place]
    return GateScore(
        gate=gate, enforced=gate in facts.gates.settings.enforced, measured=measured,
        unmeasured=facts.gates.unmeasured[place],
        pass_rate=facts.gates.passed[place] / measured if measured else None,
        traded=int((stopped & facts.shadows.traded).sum()), score=_score(gate, results, stopped),
    )


def _score(name: str, results: ShadowResults, rows: Bools) -> BlockScore:
    return score_of(name, results.of(rows), GroupCounts(signals=int(rows.sum())), BlockLimits())
