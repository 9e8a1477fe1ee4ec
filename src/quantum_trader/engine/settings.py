"""Settings of the engine: one frozen value, part of a run's identity."""

from __future__ import annotations

import math

import msgspec

from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.regime import MarketSettings
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import OrchestratorConfig
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals.settings import SignalSettings


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Account, policy, signals and limits of one engine."""

    profile: OrchestratorConfig
    start_equity: float = 10_000.0  # USDT
    leverage: float = 10.0  # requested; the guard and the venue's tiers may lower it
    policy_enabled: bool = True
    integration: OrchestratorIntegrationConfig = msgspec.field(default_factory=OrchestratorIntegrationConfig)
    market: MarketSettings = MarketSettings()
    signals: SignalSettings = SignalSettings()
    limits: RiskLimits = RiskLimits()
    gates: GateSettings = GateSettings()
    funding_rate_8h: float = 0.0001  # assumed until the venue reports one
    operator_resume_hours: float = 24.0  # replay only: a simulated operator resumes an EMERGENCY after this; 0 never
    trail_step_atr: float = 0.1  # a trailing stop moves by at least this share of the ATR
    intent_ttl_s: int = 30
    volatility_target_pct: float = 6.0  # of the portfolio a year; where the profile's is not enforced
    maker_entry_bars: int = 0  # an entry rests post-only for so many bars, then goes at market; 0: at market at once
    ungated: bool = False  # replay only: every target is traded, whatever confidence, policy, limits and governor say
    wallet_halt_share: float = 0.01  # live: an unexplained change of the wallet beyond this share halts openings

    def __post_init__(self) -> None:
        for key, low, high in (
            ("start_equity", 1.0, 1e12), ("leverage", 1.0, 125.0), ("funding_rate_8h", -0.05, 0.05),
            ("operator_resume_hours", 0.0, 8760.0), ("trail_step_atr", 0.0, 10.0), ("intent_ttl_s", 1, 86_400),
            ("volatility_target_pct", 0.1, 50.0), ("maker_entry_bars", 0, 1000),
            ("wallet_halt_share", 0.0, 1.0),
        ):
            value = getattr(self, key)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"{key} = {value!r}: must be between {low:g} and {high:g}")
