"""The data of the engine's records: one frozen struct a topic. ``record_types`` states which topic holds which."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from quantum_trader.domain.enums import PilotMode, Side, Trend, VolLevel
from quantum_trader.domain.fields import Finite, Int64, Probability, TimeNs, Word
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.policy import RiskState
from quantum_trader.models.forecasts import Lack
from quantum_trader.policy.enforcement import EffectiveSettings


class SignalDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on one signal, with its reason."""

    signal_id: Word
    symbol: Word
    action: Word
    confidence: Probability
    decision: Literal["ALLOWED", "BLOCKED"]
    reason: str  # empty when allowed
    observed: float
    limit: float
    features_ts_ns: TimeNs  # the newest bar any feature used; never later than the decision
    min_confidence_used: float
    risk_pct_used: float
    shadow_hours: float = 0.0  # longest time of the shadow trade that it has begun; 0.0: it has none


class PolicyVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The fully enforced policy's verdict on a signal; *removed* is the share of the trade each switch removes."""

    signal_id: str
    verdict: str  # ALLOW | BLOCK
    reasons: tuple[str, ...]  # the switches that would block
    removed: tuple[float, ...]
    policy_hash: str
    min_confidence: float
    risk_pct: float


class JudgedGate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's figure beside its limit; NaN where it is not measured."""

    gate: str
    observed: float
    limit: float
    measured: bool
    passed: bool
    enforced: bool


class GatesJudged(msgspec.Struct, frozen=True, kw_only=True):
    """What the six gates say of one signal, enforced or not, and its features at entry."""

    signal_id: Word
    symbol: Word
    mode: str  # scalp | runner | trend
    gates: tuple[JudgedGate, ...]
    refused: tuple[str, ...]  # the gates that do not pass
    payoff: float  # mean win over mean loss that the meta-label gate counts with
    regime: str  # market state of the symbol in words
    price: float  # close at which the signal was given
    features: dict[str, float]  # models.entry_features; NaN where one is not known
    features_hash: str
    meta_label: str  # id of the meta-label model; empty: none


class RegimeChange(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol's market state has changed."""

    symbol: str
    before: str
    after: str
    atr_1h: float
    vol_ratio: float


class ShadowResult(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow trade has ended."""

    signal_id: str
    symbol: str
    r: float  # net of costs and funding
    exit: str
    bars_held: int
    traded: bool
    entry_price: float = 0.0  # a fill
    exit_price: float = 0.0  # a fill
    net_bps: float = 0.0  # of the entry's notional, after costs and funding
    cost_bps: float = 0.0  # fees, spread and slippage of both sides
    funding_bps: float = 0.0  # received, where it is above 0
    entry_ns: TimeNs = 0
    weight: float = 1.0  # of r, by risk


class HaltNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A halt was raised or cleared."""

    kind: str
    reason: str
    owner: str
    exit_path: str
    level: str = ""


class HealthNotice(msgspec.Struct, frozen=True, kw_only=True):
    """System health: the governor level it requires, whether the venue is connected, and the reasons."""

    level: int
    connected: bool
    reason: str


class BarsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The completed bars of one moment, as they came."""

    symbols: list[str]
    ohlcv: list[list[float]]
    received_ns: int


class HoleNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol's data ends for more than a day."""

    symbol: str


class RefusedBar(msgspec.Struct, frozen=True, kw_only=True):
    """A bar that is no bar; *halted*: bad bars keep its symbol from opening."""

    symbol: str
    ohlcv: list[float]
    halted: bool


class FailedIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An intent from outside that led to no order, with the reason."""

    intent_id: str
    symbol: str
    reason: str
    source: str


class RefusedScore(msgspec.Struct, frozen=True, kw_only=True):
    """A score from outside that no model took, with the reason."""

    score_id: str
    symbol: str
    reason: str  # models.outside_scores.ScoreRefusal
    source: str


class InputFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The engine failed on an input."""

    input: str
    error: str


class OperatorRequested(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's request: halt, resume or flatten; lock or unlock, which are of one symbol."""

    action: str
    reason: str
    actor: str
    ts_ns: int
    symbol: str | msgspec.UnsetType = msgspec.UNSET
    until_ns: int | msgspec.UnsetType = msgspec.UNSET  # of a lock


class CashAdjusted(msgspec.Struct, frozen=True, kw_only=True):
    """The books' money was set to the wallet's."""

    before: float
    wallet: float
    explained: bool  # the venue reported a transfer
    why: str


class AdoptedPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position that this program did not open is in the books from now on."""

    symbol: str
    qty: float  # signed
    entry_price: float
    why: str


class ByOthers(msgspec.Struct, frozen=True, kw_only=True):
    """A person or another client did something on the account."""

    symbol: str
    order_id: str  # theirs, or ours that they cancelled; empty where no order shows it
    what: str


class SessionContinued(msgspec.Struct, frozen=True, kw_only=True):
    """Another process has taken the session over."""

    life: str
    open_positions: int


class RunEnded(msgspec.Struct, frozen=True, kw_only=True):
    """The books at the end of the data."""

    equity: float
    cash: float
    trades: int
    open_positions: int


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """What every run states at its start; a run's identity stands beside these keys."""

    symbols: list[str]
    interval_ns: int


class PolicyUpdated(msgspec.Struct, frozen=True, kw_only=True):
    """A policy in force, as ``TradingPolicy.to_dict`` writes it; the values by symbol stand beside these keys."""

    allow_new_trades: bool
    risk_profile: str
    max_risk_pct: float
    min_confidence: Probability
    entry_mode: str
    exit_mode: str
    max_open_positions: int
    total_exposure_limit_pct: float
    allowed_symbols: list[str]
    disallowed_symbols: dict[str, str]
    note: str
    content_hash: Word
    rules: list[dict[str, str]]


class RolloutTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What is enforced from now on; the change that led there, or a notice, stands beside it."""

    in_force: dict[str, Any]


class GatesTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the gates that are in force from now on, and the change that led there."""

    enforced: tuple[str, ...]
    in_force: dict[str, Any]  # models.gates.GateSettings
    change: dict[str, Any] = {}  # who, why, before, after; empty where nobody asked for it


class PolicyContext(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a policy, and the parts of it that are enforced."""

    regime_tag: Trend
    vol_level: VolLevel
    risk: RiskState
    used: EffectiveSettings


class ModelsDecided(msgspec.Struct, frozen=True, kw_only=True):
    """What the models say at a decision of theirs; every list has one entry a symbol, or none where nothing is known.

    Returns and costs are basis points a day in the target's direction.
    """

    model: Word  # names, joined by +
    symbols: list[str]
    states: list[str]  # engine.model_records.TargetState: what became of it
    reasons: list[str] = []  # of the refusal that is met again; empty where none is
    signals: list[str]  # id of the signal that came of it; empty for none
    scores: list[float] = []  # in root-mean-squares; NaN: no view
    expected_bps: list[float] = []  # gross
    error_bps: list[float] = []  # standard error of that
    cost_bps: list[float] = []
    confidences: list[float]  # NaN: no view
    lacks: tuple[Lack, ...] = ()  # what each model lacks before it gives scores
    outside_scores: list[str] | msgspec.UnsetType = msgspec.UNSET  # ids of those used, joined by +; "": of none


class PilotDecided(msgspec.Struct, frozen=True, kw_only=True):
    """The pilot's decisions of one moment; every list has one entry a symbol, in the order of *symbols*."""

    mode: PilotMode  # in force
    model: Word  # hash of the model's card
    closed_ns: TimeNs  # the close of the bar that was observed
    symbols: list[str]
    actions: list[str]  # one of the six
    probabilities: list[Probability]  # of the chosen action
    confidences: list[Probability]  # calibrated on the outcomes of the pilot's own shadow trades
    wanted: list[Finite]  # signed share of the equity after the decision
    held: list[Finite]  # signed share of the equity before it
    outcomes: list[str]  # what became of each, in a word: SENT, SHADOW, LOW_CONFIDENCE, RATE_LIMIT ...
    intents: list[str]  # the intent's id; "" for none


class ShadowPilotTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow trade of the pilot has ended; results are net of fees, spread, slippage and funding."""

    symbol: Word
    side: Side
    entry_ns: TimeNs
    exit_ns: TimeNs
    r: Finite  # multiples of the risk at entry
    result_share: Finite  # share of the shadow book's equity
    exit: Literal["STOP", "FLAT", "FLIP", "LIQUIDATION", "HOLE", "REPLACED"]
    share: Finite  # the largest share of the equity that it held, as notional
    bars_held: Int64  # observed bars
    model: str = ""  # hash of the card of the model whose shadow book it was in


class PilotDay(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day of the three shadow books on the same market; results are net shares of their first equity."""

    day: Word  # YYYY-MM-DD
    pilot: Finite
    signals: Finite
    hybrid: Finite
    trades: Int64  # shadow trades of the pilot that ended on this day
    hours: Finite  # of market that was observed, 0..24
    decisions: Int64  # of the pilot
    model: str = ""  # hash of its card


class PilotChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The pilot's settings in force, from a change on; *before* is None at the start of a run."""

    actor: str  # who changed them
    reason: str
    before: PilotSettings | None
    after: PilotSettings
    version: Int64  # of the policy store


class PilotFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The pilot raised an error or was too slow; trading goes on without it."""

    model: str  # hash of the model's card; "" where none is loaded
    what: Literal["RAISED", "SLOW"]
    error: str


class ModelInForce(msgspec.Struct, frozen=True, kw_only=True):
    """The models of one role from now on, until the next such record of that role.

    At the start of a run *before* is empty.
    """

    role: Literal["pilot", "signals"]
    names: list[str]  # as records and reports name them
    ids: list[str]  # of the same models: the pilot's is its identity, a registered model's its id in the registry
    before: list[str]  # ids that were in force until now
    alias: str = ""  # the run follows it, as registry:champion; empty: the run follows none
    version: Int64 = 0  # of the registry, with which the alias came to this model; 0: not by a registry
    actor: str = ""  # who gave the alias to the model
    reason: str = ""

    @property
    def place(self) -> int:
        """The place among the models of the one that takes over; 0 at the start of a run."""
        changed = [place for place, (one, other) in enumerate(zip(self.ids, self.before, strict=False)) if one != other]
        return changed[0] if changed else 0


class ModelRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A model that should have come into force was refused; the one in force stays."""

    role: Literal["pilot", "signals"]
    model: str  # id of the one that was refused
    in_force: list[str]  # ids of those that stay
    reason: str
    alias: str = ""
    version: Int64 = 0  # of the registry
