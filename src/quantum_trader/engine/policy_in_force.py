"""The policy in force: stepped once a moment, recorded when it changes, and asked for what trading may use of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import EXIT_CODES, RISK_NONE, RISK_REDUCED, TAG_BAD, TREND_CODES, VOL_CODES
from quantum_trader.domain.indicators import vol_level
from quantum_trader.domain.policy import RiskState
from quantum_trader.engine import stage
from quantum_trader.engine.account import Account
from quantum_trader.engine.facts import PolicyContext
from quantum_trader.engine.ports import PolicyWatcher
from quantum_trader.engine.recorder import POLICY
from quantum_trader.engine.records import Records
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.supervision import Shield
from quantum_trader.market import performance as perf
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import SlotPolicy
from quantum_trader.policy.enforcement import (
    SWITCH_RISK_SIZING,
    EffectiveSettings,
    OrchestratorIntegrationConfig,
    PolicyNumbers,
    Settings,
    effective,
    settings_in_use,
)
from quantum_trader.policy.policy import TradingPolicy

_NO_POLICY: Final = Settings(1, 1, 0.0, 0.0, 0, 0)
_ANY_POSITIONS: Final = 1_000_000
_MATERIAL_RISK: Final = 0.01  # relative change of the permitted risk worth a record


class PolicyInForce:
    """The compiled policy of one account, its switches, and its changes on record."""

    def __init__(
        self, slots: SlotPolicy, settings: EngineSettings, account: Account, records: Records, shield: Shield,
        watcher: PolicyWatcher | None,
    ) -> None:
        self.slots = slots
        self.settings = settings
        self.integration = settings.integration  # derives `switches`, `fixed` and `enforces`
        self.watcher = watcher
        self.content_hash = ""
        self.note = ""
        self._account, self._records, self._shield = account, records, shield
        self._recorded: tuple[Any, ...] = ()  # what was last put on record: the fields but the risk, the risk

    @property
    def integration(self) -> OrchestratorIntegrationConfig:
        """The mode, the switches and the fixed settings in force."""
        return self._integration

    @integration.setter
    def integration(self, config: OrchestratorIntegrationConfig) -> None:
        """Put *config* into force; what every signal needs of it is derived here, once."""
        self._integration = msgspec.structs.replace(config)  # a copy: its switches may be assigned
        self.switches = config.switches  # 0 or 1 each, in rollout order
        self.enforces = any(self.switches) and not self.settings.ungated  # whether any part of it is enforced
        self.fixed = (config.fixed_settings(0), config.fixed_settings(1))  # of a symbol tagged BAD, of another one
        self._fixed_hash = config.fixed_hash

    @property
    def deciding_hash(self) -> str:
        """Hash of what decides a trade: of the policy where a part of it is enforced, else of the fixed settings.

        A policy that is only observed leaves no trace on what is traded.
        """
        return self.content_hash if self.enforces else self._fixed_hash

    # ------------------------------------------------------------------ once a moment

    def step(self, now_ns: int, stage_row: Any, market: Any) -> None:
        """Evaluate the policy for the account's *stage_row* and *market* (S, SIZE); one that fails allows nothing."""
        slots, tally = self.slots, self._records.tally
        changed = self._shield.run(
            stage.policy_stage, now_ns, stage_row, market, self._account.losses, slots.profile, slots.inputs,
            slots.account, slots.slots, slots.mem, slots.out,
        )
        if changed is None:
            slots.out[:, pol.OUT_ALLOW] = 0.0
            return
        tally.policy_steps += 1
        state = slots.out[0, pol.OUT_RISK_PROFILE]
        if state == RISK_NONE:
            tally.policy_moments_blocked += 1
        elif state == RISK_REDUCED:
            tally.policy_moments_reduced += 1
        if changed:
            self._records.afterwards(self._shield.run, self._record_change, now_ns)

    def _record_change(self, now_ns: int) -> None:
        """Record the policy in force when something a person would call a change has changed."""
        out = self.slots.out
        overall = out[0].tolist()
        fields = (
            overall[pol.OUT_ALLOW], overall[pol.OUT_RISK_PROFILE], overall[pol.OUT_MIN_CONF],
            overall[pol.OUT_ENTRY], overall[pol.OUT_EXIT], out[:, pol.OUT_SYMBOL_OK].tobytes(),
        )
        risk = overall[pol.OUT_RISK_PCT]
        if self._recorded and fields == self._recorded[0]:
            last = self._recorded[1]
            if abs(risk - last) <= _MATERIAL_RISK * max(risk, last):
                return
        self._recorded = (fields, risk)
        snapshot = self.slots.snapshot(now_ns)
        self.content_hash, self.note = snapshot.content_hash, snapshot.note
        tally = self._records.tally
        tally.policy_changes += 1
        tally.rules.update({rule.rule for rule in snapshot.rules})
        self._records.record("policy.updated", "", now_ns, snapshot.to_dict(), POLICY)
        tally.event(now_ns, "policy", _policy_line(snapshot))
        if self.watcher is not None:
            self.watcher.policy_updated(snapshot, self._context(now_ns), now_ns)

    def _context(self, now_ns: int) -> PolicyContext:
        """What the policy in force was made for, at the level of the account."""
        overall, profile = self.slots.inputs[0].tolist(), self.slots.profile
        high, extreme = float(profile[pol.PROFILE_HIGH_VOL]), float(profile[pol.PROFILE_EXTREME_VOL])
        return PolicyContext(
            regime_tag=TREND_CODES[int(overall[pol.IN_TREND])],
            vol_level=VOL_CODES[vol_level(overall[pol.IN_VOL_RATIO], high, extreme)],
            risk=self._risk_state(now_ns), used=self._used_overall(),
        )

    def _risk_state(self, now_ns: int) -> RiskState:
        """The account as the policy judged it."""
        row, books = self.slots.account.tolist(), self._account.books
        return RiskState(
            daily_pnl_pct=row[pol.ACC_DAILY_PNL_PCT],
            day_drawdown_pct=max(-100.0, row[pol.ACC_DRAWDOWN_PCT]), losing_streak=books.losing_streak,
            open_trades_count=len(books.positions), total_exposure_pct=row[pol.ACC_EXPOSURE_PCT],
            broken_streak=books.broken_streak, wins_since=books.wins_since, equity=self._account.equity, ts_ns=now_ns,
        )

    def _used_overall(self) -> EffectiveSettings:
        """What trading uses at the level of the account."""
        out = self.slots.out[0].tolist()
        numbers = PolicyNumbers(
            allow=bool(out[pol.OUT_ALLOW]), symbol_allowed=True, min_confidence=out[pol.OUT_MIN_CONF],
            risk_pct=out[pol.OUT_RISK_PCT], max_positions=int(out[pol.OUT_MAX_OPEN]),
            exit_mode=EXIT_CODES[int(out[pol.OUT_EXIT])],
        )
        return effective(self.integration, numbers)

    # ------------------------------------------------------------------ what trading may use of it

    def says(self, index: int) -> Settings:
        """What the policy in force says for a symbol, enforced or not."""
        if not self.settings.policy_enabled:
            return _NO_POLICY
        out = self.slots.out[index + 1].tolist()
        return Settings(
            int(out[pol.OUT_ALLOW]), int(out[pol.OUT_SYMBOL_OK]), out[pol.OUT_MIN_CONF], out[pol.OUT_RISK_PCT],
            int(out[pol.OUT_MAX_OPEN]), int(out[pol.OUT_EXIT]),
        )

    def symbol_is_good(self, index: int) -> int:
        """1 where a symbol's own record lets it trade, 0 where it is tagged BAD."""
        return int(self._account.performance.rows[index, perf.TAG] != TAG_BAD)

    def used(self, index: int) -> Settings:
        """What trading uses for a symbol: the policy's where it is enforced, the fixed settings elsewhere."""
        fixed = self.fixed[self.symbol_is_good(index)]
        if self.settings.ungated:
            return Settings(1, 1, 0.0, fixed.risk_pct, _ANY_POSITIONS, fixed.exit_code)
        return settings_in_use(self.switches, self.says(index), fixed) if self.enforces else fixed

    @property
    def volatility_pct(self) -> float:
        """The volatility that the portfolio of a model's positions is sized for, percent a year."""
        if self.enforces and self.switches[SWITCH_RISK_SIZING]:
            return float(self.slots.profile[pol.PROFILE_VOLATILITY])
        return self.settings.volatility_target_pct

    def limits(self, index: int) -> tuple[float, float]:
        """Positions and exposure (percent) that the policy allows for a symbol; infinite where it is not enforced."""
        if not (self.enforces and self.integration.use_for_position_limits):
            return float("inf"), float("inf")
        out = self.slots.out[index + 1]
        return float(out[pol.OUT_MAX_OPEN]), float(out[pol.OUT_EXPOSURE_LIMIT])

    def set_integration(self, config: OrchestratorIntegrationConfig, change: Any, now_ns: int) -> None:
        """Put other switches into force; *change* says who asked for them and why."""
        self.integration = config
        self._records.record("rollout.changed", "", now_ns, change, POLICY)
        self._records.tally.event(now_ns, "policy", f"rollout: {config.mode.value}")

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "slots": self.slots.state(), "content_hash": self.content_hash, "note": self.note,
            "recorded": list(self._recorded), "integration": msgspec.to_builtins(self.integration),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.slots.load_state(state["slots"])
        self.content_hash, self.note = state["content_hash"], state["note"]
        recorded = state["recorded"]
        self._recorded = (tuple(recorded[0]), recorded[1]) if recorded else ()
        self.integration = msgspec.convert(state["integration"], OrchestratorIntegrationConfig)


def _policy_line(policy: TradingPolicy) -> str:
    """The policy in force in one short line."""
    bans = f", {len(policy.disallowed_symbols)} banned" if policy.disallowed_symbols else ""
    return (
        f"{policy.risk_profile.value}: risk {policy.max_risk_pct:.3g} %, confidence {policy.min_confidence:.2f}, "
        f"{policy.entry_mode.value}, {policy.exit_mode.value}{bans}"
    )
