"""What the engine writes into records: one frozen value a topic, so that a reader knows what to expect."""

from __future__ import annotations

import msgspec

from quantum_trader.domain.enums import Trend, VolLevel
from quantum_trader.domain.policy import RiskState
from quantum_trader.policy.enforcement import EffectiveSettings


class SignalDecision(msgspec.Struct, frozen=True, kw_only=True):
    """How one signal fared on the road."""

    signal_id: str
    symbol: str
    action: str
    confidence: float
    decision: str  # ALLOWED | BLOCKED
    reason: str  # empty when allowed
    observed: float
    limit: float
    features_ts_ns: int  # the newest bar any feature used; never later than the decision
    min_confidence_used: float
    risk_pct_used: float


class PolicyVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy, fully enforced, would have done with a signal; *removed* is each switch's share of the trade."""

    signal_id: str
    verdict: str  # ALLOW | BLOCK
    reasons: tuple[str, ...]  # the switches that would block
    removed: tuple[float, ...]
    policy_hash: str
    min_confidence: float
    risk_pct: float


class RegimeChange(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol's market state is another one now."""

    symbol: str
    before: str
    after: str
    atr_1h: float
    vol_ratio: float


class ShadowResult(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow trade has ended."""

    signal_id: str
    symbol: str
    r: float
    exit: str
    bars_held: int
    traded: bool


class HaltNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A halt was raised or cleared."""

    kind: str
    reason: str
    owner: str
    exit_path: str
    level: str = ""


class HealthNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What system health calls for: a governor code, whether the venue is there, and why."""

    level: int
    connected: bool
    reason: str


class PolicyContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy was made for, and what trading uses of it."""

    regime_tag: Trend
    vol_level: VolLevel
    risk: RiskState
    used: EffectiveSettings
