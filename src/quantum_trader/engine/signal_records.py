"""The records of a signal: what the models say, what the gates say, and what the decision is made of."""

from __future__ import annotations

import msgspec

from quantum_trader.domain.enums import Side
from quantum_trader.domain.trading import Signal
from quantum_trader.engine import ids
from quantum_trader.engine.decision_inputs import DecisionInputs, numbers
from quantum_trader.engine.facts import GatesJudged
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.model_records import ModelRecords
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.records import Records
from quantum_trader.engine.tracing import Tracing
from quantum_trader.signals import columns as col
from quantum_trader.signals.models import MODEL_NAMES


class SignalRecords:
    """Makes and records what is known of a signal when it is given."""

    def __init__(
        self, market: Market, policy: PolicyInForce, instruments: Instruments, records: Records, tracing: Tracing,
        models: ModelRecords,
    ) -> None:
        self._market, self._policy, self._instruments = market, policy, instruments
        self._records, self._tracing = records, tracing
        self.models = models

    @property
    def model(self) -> str:
        """The name of what gives the signals."""
        forecasts = self._market.forecasts
        return "ensemble" if forecasts is None else forecasts.name

    def signal(self, seq: int, index: int, row: list[float], now_ns: int) -> Signal:
        """Signal number *seq* of symbol *index*, whose measures are *row*."""
        forecasts = self._market.forecasts
        scores: list[str] | msgspec.UnsetType = msgspec.UNSET
        if forecasts is None:
            features_ns, consensus = int(self._market.kernel.features_ts[index]), row[col.CONSENSUS]
            votes = {name: row[col.VOTE_0 + k] for k, name in enumerate(MODEL_NAMES)}
        else:
            features_ns, consensus = int(forecasts.features_ts[index]), forecasts.consensus(index)
            votes = forecasts.votes(index)
            scores = forecasts.outside_scores(index) if forecasts.takes_scores else msgspec.UNSET
        return Signal(
            signal_id=ids.signal_id(seq), trace_id=ids.signal_trace_id(seq), symbol=self._instruments.symbols[index],
            action=Side.LONG if row[col.SIGNAL] > 0 else Side.SHORT, confidence=row[col.CONFIDENCE], model=self.model,
            ts_ns=now_ns, features_ts_ns=features_ns, consensus=consensus, votes=votes,
            outside_scores=scores,
        )

    def record(self, seq: int, index: int, row: list[float], now_ns: int, made_ns: int) -> None:
        """Record signal number *seq*, made at *made_ns* of the tracer's clock."""
        signal = self.signal(seq, index, row, now_ns)
        self._tracing.signal(signal, made_ns)
        self._records.record("signal.generated", signal.trace_id, now_ns, signal)

    def record_inputs(self, trace_id: str, index: int, gates: GatesJudged, inputs: DecisionInputs) -> None:
        """Record *gates* and *inputs* with what the policy says; one that is only observed is not evaluated sooner."""
        slots = self._policy.slots
        inputs = msgspec.structs.replace(
            inputs, policy=numbers(self._policy.says(index)), policy_market=tuple(slots.inputs[index + 1].tolist()),
            policy_overall=tuple(slots.inputs[0].tolist()), policy_account=tuple(slots.account.tolist()),
            policy_memory=tuple(slots.mem.tolist()),
        )
        self._records.record("signal.judged", trace_id, inputs.ts_ns, gates)
        self._records.record("signal.inputs", trace_id, inputs.ts_ns, inputs)
