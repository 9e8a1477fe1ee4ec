"""The data of the engine's records: one frozen struct a topic."""

from __future__ import annotations

import msgspec

from quantum_trader.domain.enums import Trend, VolLevel
from quantum_trader.domain.policy import RiskState
from quantum_trader.policy.enforcement import EffectiveSettings


class SignalDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on one signal, with its reason."""

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
    """The fully enforced policy's verdict on a signal; *removed* is the share of the trade each switch removes."""

    signal_id: str
    verdict: str  # ALLOW | BLOCK
    reasons: tuple[str, ...]  # the switches that would block
    removed: tuple[float, ...]
    policy_hash: str
    min_confidence: float
    risk_pct: float


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
    """System health: the governor level it requires, whether the venue is connected, and the reasons."""

    level: int
    connected: bool
    reason: str


class PolicyContext(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a policy, and the parts of it that are enforced."""

    regime_tag: Trend
    vol_level: VolLevel
    risk: RiskState
    used: EffectiveSettings
