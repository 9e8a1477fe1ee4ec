"""The schema of a run's records: the structs that the engine writes as ``data`` of each topic.

One definition serves both sides. The recorder accepts only these types for a topic, and msgspec encodes their fields;
the journal decodes a line with the types derived from the same fields (:func:`line_types`).
"""

from __future__ import annotations

from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.records import Record
from quantum_trader.domain.trading import (
    CancelRequest,
    ClosedTrade,
    Fill,
    FundingPayment,
    Intent,
    OrderRequest,
    OrderUpdate,
    OutsideScore,
    Signal,
)
from quantum_trader.engine.decision_inputs import DecisionInputs
from quantum_trader.engine.facts import (
    AdoptedPosition,
    BarsRecord,
    ByOthers,
    CashAdjusted,
    FailedIntent,
    GatesJudged,
    GatesTaken,
    HaltNotice,
    HealthNotice,
    HoleNotice,
    InputFailure,
    ModelInForce,
    ModelRefused,
    ModelsDecided,
    OperatorRequested,
    PilotChanged,
    PilotDay,
    PilotDecided,
    PilotFailed,
    PolicyUpdated,
    PolicyVerdict,
    RefusedBar,
    RefusedScore,
    RegimeChange,
    RolloutTaken,
    RunEnded,
    RunStarted,
    SessionContinued,
    ShadowPilotTrade,
    ShadowResult,
    SignalDecision,
)
from quantum_trader.engine.reconciliation import Difference
from quantum_trader.risk.guard import Refused

DATA_TYPES: Final[dict[str, tuple[type[msgspec.Struct], ...]]] = {
    "run.started": (RunStarted,), "run.ended": (RunEnded,), "session.continued": (SessionContinued,),
    "market.bar": (BarsRecord,), "market.hole": (HoleNotice,), "market.refused": (RefusedBar,),
    "regime.changed": (RegimeChange,), "instrument.changed": (Instrument,),
    "policy.updated": (PolicyUpdated,), "policy.verdict": (PolicyVerdict,), "rollout.changed": (RolloutTaken,),
    "signal.generated": (Signal,), "signal.decided": (SignalDecision,), "shadow.closed": (ShadowResult,),
    "trade.intent": (Intent,), "intent.received": (Intent,), "risk.denied": (Refused,),
    "order.submitted": (OrderRequest,), "order.cancel": (CancelRequest,), "order.updated": (OrderUpdate,),
    "order.filled": (Fill,), "fill.known": (Fill,), "funding.paid": (FundingPayment,),
    "trade.executed": (Fill, AdoptedPosition), "trade.failed": (FailedIntent, OrderUpdate),
    "trade.closed": (ClosedTrade,), "position.adopted": (AdoptedPosition,),
    "account.by_others": (ByOthers,),
    "reconciliation.difference": (Difference,), "cash.adjusted": (CashAdjusted,),
    "halt.raised": (HaltNotice,), "halt.cleared": (HaltNotice,), "health.changed": (HealthNotice,),
    "input.failed": (InputFailure,), "operator.requested": (OperatorRequested,),
    "pilot.decided": (PilotDecided,), "pilot.closed": (ShadowPilotTrade,), "pilot.day": (PilotDay,),
    "pilot.changed": (PilotChanged,), "pilot.failed": (PilotFailed,),
    "signal.judged": (GatesJudged,), "signal.inputs": (DecisionInputs,), "gates.changed": (GatesTaken,),
    "model.in_force": (ModelInForce,), "model.refused": (ModelRefused,),
    "models.decided": (ModelsDecided,), "score.received": (OutsideScore,), "score.refused": (RefusedScore,),
}
OPEN: Final = (RunStarted, PolicyUpdated, RolloutTaken)  # written as a mapping with these keys and others

WRITTEN: Final[dict[str, tuple[type, ...]]] = {
    topic: (dict,) if types[0] in OPEN else types for topic, types in DATA_TYPES.items()
}


def line_types(topic: str) -> tuple[type[msgspec.Struct], ...]:
    """The types that a line of *topic* decodes as: a record of :class:`Record` with the fields of its data."""
    return tuple(
        msgspec.defstruct(
            f"{one.__name__}Record",
            [(field.name, _line_type(one) if field.name == "data" else field.type)
             for field in msgspec.structs.fields(Record)],
            frozen=True, kw_only=True, forbid_unknown_fields=True,
        )
        for one in DATA_TYPES[topic]
    )


def _line_type(kind: Any) -> Any:
    """*kind* as it comes back from JSON: a plain float may be null, which is how JSON writes NaN and infinity."""
    if kind is float:
        return float | None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return dict[str, Any] if kind in OPEN else json_type(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return Union[tuple(_line_type(one) for one in inner)]  # noqa: UP007 - made at run time
    if origin in (list, tuple, dict) and inner:
        return origin[tuple(one if one is ... else _line_type(one) for one in inner)]
    return kind


def json_type(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct that JSON of *struct* decodes as; a field it does not have is refused."""
    fields: list[tuple[Any, ...]] = []
    for field in msgspec.structs.fields(struct):
        kind = _line_type(field.type)
        if field.required:
            fields.append((field.name, kind))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((field.name, kind, field.default))
        else:
            fields.append((field.name, kind, msgspec.field(default_factory=field.default_factory)))
    return msgspec.defstruct(
        struct.__name__, fields, frozen=True, kw_only=True, forbid_unknown_fields=True,
        rename={field.name: field.encode_name for field in msgspec.structs.fields(struct)},
    )


