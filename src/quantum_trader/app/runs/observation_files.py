"""Writes the engine's policy updates and signal decisions to the observation files."""

from __future__ import annotations

from quantum_trader.domain.trading import Signal
from quantum_trader.engine.facts import PolicyContext, PolicyVerdict, SignalDecision
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.observation import PolicyObserver
from quantum_trader.policy.policy import TradingPolicy


class ObservationFiles:
    """A policy watcher that writes ``policy_observations/`` in a run's state folder."""

    def __init__(self, observer: PolicyObserver, integration: OrchestratorIntegrationConfig) -> None:
        self.observer = observer
        self.integration = integration

    def policy_updated(self, policy: TradingPolicy, context: PolicyContext, now_ns: int) -> None:
        """Log a policy now in force."""
        self.observer.log_policy_update(
            policy, regime_tag=context.regime_tag, vol_level=context.vol_level, risk_state=context.risk,
            mode=self.integration.mode, actual_confidence_used=context.used.min_confidence,
            actual_trading_allowed=context.used.trading_allowed, now=now_ns,
        )

    def signal_decided(self, signal: Signal, decision: SignalDecision, verdict: PolicyVerdict) -> None:
        """Log how a signal fared beside the policy's verdict."""
        reasons = verdict.reasons if decision.decision == "ALLOWED" else (decision.reason, *verdict.reasons)
        self.observer.log_signal_decision(
            signal, None, decision.decision, reasons, policy_verdict=verdict.verdict, now=signal.ts_ns
        )
