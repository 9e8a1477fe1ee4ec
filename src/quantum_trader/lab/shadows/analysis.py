"""Whether signals were rightly refused: by gate, by reason, by market regime and by symbol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import InputError
from quantum_trader.lab.shadows.blocks import BlockLimits, BlockScore, GroupCounts, ShadowResults, score_of
from quantum_trader.lab.shadows.judged_signals import NONE, OPEN, RESOLVED, VOID, JudgedSignals
from quantum_trader.market.arrays import Bools
from quantum_trader.models.gates import GATES

BY_GATE, BY_REASON, BY_REGIME, BY_SYMBOL = "gate", "reason", "regime", "symbol"
DIMENSIONS: Final = (BY_GATE, BY_REASON, BY_REGIME, BY_SYMBOL)
REFUSED: Final = "all refused"
TRADED: Final = "traded"


class GateScore(msgspec.Struct, frozen=True, kw_only=True):
    """One gate: the signals that it does not let pass, enforced or not."""

    gate: str
    enforced: bool  # of the newest signal
    measured: int
    unmeasured: int  # signals whose figure was not known; they are in no other count
    pass_rate: float | None  # of the measured
    traded: int  # of those that it does not let pass, while it was observed
    score: BlockScore  # of those that it does not let pass


class ShadowAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """What refusing signals was worth in one run."""

    signals: int
    traded: int
    refused: int
    first: str  # time of the first and of the last signal
    last: str
    limits: BlockLimits
    models: tuple[str, ...]
    all_refused: BlockScore
    all_traded: BlockScore  # the same figures of the traded ones, to compare
    by_gate: tuple[GateScore, ...]
    by_reason: tuple[BlockScore, ...]  # the most frequent first
    by_regime: tuple[BlockScore, ...]
    by_symbol: tuple[BlockScore, ...]
    damage: tuple[str, ...] = ()  # what of the journal could not be read


def analyse(
    signals: JudgedSignals, limits: BlockLimits | None = None, by: Iterable[str] = DIMENSIONS
) -> ShadowAnalysis:
    """Judge the refused among *signals*; only the dimensions in *by* are filled. InputError for an unknown one."""
    limits, wanted = limits or BlockLimits(), tuple(by)
    if unknown := [name for name in wanted if name not in DIMENSIONS]:
        raise InputError(f"by = {unknown[0]!r}: choose from {', '.join(DIMENSIONS)}")
    traded, judge = signals.traded, _Judge(signals, limits)
    names = {
        BY_REASON: signals.reasons, BY_SYMBOL: signals.symbols,
        BY_REGIME: tuple(regime.partition(" ")[0] for regime in signals.regimes),
    }
    groups = {key: judge.groups(values, ~traded) if key in wanted else () for key, values in names.items()}
    return ShadowAnalysis(
        signals=len(signals), traded=int(traded.sum()), refused=int((~traded).sum()),
        first=iso(int(signals.ts_ns[0])), last=iso(int(signals.ts_ns[-1])), limits=limits,
        models=tuple(sorted(set(signals.models))), all_refused=judge.score(REFUSED, ~traded),
        all_traded=judge.score(TRADED, traded),
        by_gate=tuple(judge.gate(gate) for gate in GATES) if BY_GATE in wanted else (),
        by_reason=groups[BY_REASON], by_regime=groups[BY_REGIME], by_symbol=groups[BY_SYMBOL], damage=signals.damage,
    )


class _Judge:
    """Scores of groups of the same signals."""

    def __init__(self, signals: JudgedSignals, limits: BlockLimits) -> None:
        self._signals, self._limits = signals, limits
        self._settled = signals.settled
        self._results = results_of(signals)

    def score(self, name: str, rows: Bools) -> BlockScore:
        """The score of the signals in *rows* (N,)."""
        outcome, settled = self._signals.outcome, self._settled & rows
        counts = GroupCounts(
            signals=int(rows.sum()), waiting=int((rows & (outcome == RESOLVED) & ~self._settled).sum()),
            open=int((rows & (outcome == OPEN)).sum()),
            without=int((rows & ((outcome == VOID) | (outcome == NONE))).sum()),
        )
        return score_of(name, self._results.of(settled), counts, self._limits)

    def groups(self, names: tuple[str, ...], rows: Bools) -> tuple[BlockScore, ...]:
        """The scores of the signals in *rows* by their *names*, the largest group first."""
        labels, of_all = np.unique(np.array(names), return_inverse=True)
        counts: Mapping[int, int] = {at: int((rows & (of_all == at)).sum()) for at in range(len(labels))}
        order = sorted((at for at in counts if counts[at]), key=lambda at: (-counts[at], str(labels[at])))
        return tuple(self.score(str(labels[at]), rows & (of_all == at)) for at in order)

    def gate(self, gate: str) -> GateScore:
        """The score of the signals that *gate* does not let pass."""
        place, signals = GATES.index(gate), self._signals
        measured = signals.measured[:, place]
        stopped = measured & ~signals.passed[:, place]
        known = int(measured.sum())
        return GateScore(
            gate=gate, enforced=bool(signals.enforced[-1, place]), measured=known, unmeasured=len(signals) - known,
            pass_rate=1.0 - int(stopped.sum()) / known if known else None,
            traded=int((stopped & signals.traded).sum()), score=self.score(gate, stopped),
        )


def results_of(signals: JudgedSignals) -> ShadowResults:
    """The results of all *signals*, NaN and 0 where one has none."""
    return ShadowResults(
        ts_ns=signals.ts_ns, life_ns=np.maximum(signals.end_ns - signals.ts_ns, 0), net_bps=signals.net_bps,
        r=signals.r, usdt=signals.r * signals.risk_usdt,
    )
