"""Which part of the policy is enforced, and what trading uses for the rest.

Six switches enforce one subsystem each, in the order of :data:`SWITCHES`. What a switch doesn't enforce runs on
the fixed settings. The arithmetic is scalar Python (numbers and tuples), so that the engine and the compiled
sweep run the very same source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from quantum_trader.domain.enums import EXIT_CODES, ExitMode, OrchestratorMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.scalar import scalar

SWITCHES: Final = (
    "signal_filter", "confidence_threshold", "risk_sizing", "position_limits", "trading_gate", "exit_mode",
)
SWITCH_SIGNAL_FILTER, SWITCH_CONFIDENCE_THRESHOLD, SWITCH_RISK_SIZING = 0, 1, 2
SWITCH_POSITION_LIMITS, SWITCH_TRADING_GATE, SWITCH_EXIT_MODE = 3, 4, 5
NO_SWITCH: Final = -1
BLOCK: Final = 1.0  # the verdict that takes the whole trade away


class OrchestratorIntegrationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mode, the six switches and the fixed settings used for whatever isn't enforced.

    Raises ConfigError for settings that contradict each other: OBSERVE enforces nothing.
    """

    mode: OrchestratorMode = OrchestratorMode.OBSERVE
    use_for_signal_filter: bool = False
    use_for_confidence_threshold: bool = False
    use_for_risk_sizing: bool = False
    use_for_position_limits: bool = False
    use_for_trading_gate: bool = False
    use_for_exit_mode: bool = False
    fixed_confidence: float = 0.45  # 0..1
    fixed_risk_pct: float = 1.0  # percent of equity per trade
    fixed_max_positions: int = 8
    fixed_exit_mode: ExitMode = ExitMode.TREND_FOLLOW

    def __post_init__(self) -> None:
        _check_types(self)
        if self.mode is OrchestratorMode.OBSERVE:
            for name in SWITCHES:
                if getattr(self, f"use_for_{name}"):
                    raise ConfigError(
                        f"use_for_{name} = True contradicts mode = OBSERVE: set mode to LIVE or the switch to false"
                    )
        _check_range("fixed_confidence", self.fixed_confidence, 0.0, 0.95)
        _check_range("fixed_risk_pct", self.fixed_risk_pct, 0.05, 10.0)
        if not 1 <= self.fixed_max_positions <= 10_000:
            raise ConfigError(f"fixed_max_positions = {self.fixed_max_positions!r}: must be between 1 and 10000")

    @classmethod
    def create_observe_mode(cls) -> OrchestratorIntegrationConfig:
        """Compute and log the policy, enforce nothing."""
        return cls()

    @classmethod
    def create_live_mode_full(cls) -> OrchestratorIntegrationConfig:
        """Enforce all six subsystems."""
        return cls(
            mode=OrchestratorMode.LIVE, use_for_signal_filter=True, use_for_confidence_threshold=True,
            use_for_risk_sizing=True, use_for_position_limits=True, use_for_trading_gate=True, use_for_exit_mode=True,
        )

    @property
    def is_observe_mode(self) -> bool:
        """Whether nothing is enforced because the mode is OBSERVE."""
        return self.mode is OrchestratorMode.OBSERVE

    @property
    def switches(self) -> tuple[int, int, int, int, int, int]:
        """The switches as 0 or 1, in rollout order."""
        return (
            int(self.use_for_signal_filter), int(self.use_for_confidence_threshold), int(self.use_for_risk_sizing),
            int(self.use_for_position_limits), int(self.use_for_trading_gate), int(self.use_for_exit_mode),
        )

    @property
    def fixed(self) -> tuple[float, float, int, int]:
        """The fixed confidence, risk (percent), positions and exit code."""
        return (
            self.fixed_confidence, self.fixed_risk_pct, self.fixed_max_positions,
            EXIT_CODES.index(self.fixed_exit_mode),
        )

    def is_enforced(self, switch: str) -> bool:
        """Whether *switch* (one of SWITCHES) is enforced."""
        return bool(self.switches[switch_index(switch)])


class PolicyNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says for one symbol."""

    allow: bool
    symbol_allowed: bool
    min_confidence: float
    risk_pct: float
    max_positions: int
    exit_mode: ExitMode


class EffectiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What trading uses for one symbol."""

    trading_allowed: bool
    symbol_allowed: bool
    min_confidence: float
    risk_pct: float
    max_positions: int
    exit_mode: ExitMode


def switch_index(switch: str) -> int:
    """The place of *switch* in the rollout order; ConfigError listing the names when there is none such."""
    if switch not in SWITCHES:
        raise ConfigError(f"switch = {switch!r}: must be one of {', '.join(SWITCHES)}")
    return SWITCHES.index(switch)


def effective(
    config: OrchestratorIntegrationConfig, policy: PolicyNumbers, *, symbol_tag_bad: bool = False
) -> EffectiveSettings:
    """Combine what *policy* says with the fixed settings, as *config*'s switches have it."""
    gate, symbol, confidence, risk, positions, exit_code = effective_settings(
        config.switches, int(policy.allow), int(policy.symbol_allowed), int(not symbol_tag_bad),
        policy.min_confidence, policy.risk_pct, policy.max_positions, EXIT_CODES.index(policy.exit_mode),
        *config.fixed,
    )
    return EffectiveSettings(
        trading_allowed=bool(gate), symbol_allowed=bool(symbol), min_confidence=confidence, risk_pct=risk,
        max_positions=positions, exit_mode=EXIT_CODES[exit_code],
    )


@scalar
def effective_settings(
    switches: Sequence[int], allow: int, symbol_by_policy: int, symbol_by_tag: int, min_confidence: float,
    risk_pct: float, max_positions: int, exit_code: int, fixed_confidence: float, fixed_risk_pct: float,
    fixed_max_positions: int, fixed_exit_code: int,
) -> tuple[int, int, float, float, int, int]:
    """Return (gate open, symbol allowed, min confidence, risk %, max positions, exit code) that trading uses.

    *switches*: six ints, 0 or 1, in rollout order. *symbol_by_tag* is 0 for a symbol tagged BAD: the filter that
    applies when the policy's isn't enforced.
    """
    return (
        allow if switches[4] else 1,
        symbol_by_policy if switches[0] else symbol_by_tag,
        min_confidence if switches[1] else fixed_confidence,
        risk_pct if switches[2] else fixed_risk_pct,
        max_positions if switches[3] else fixed_max_positions,
        exit_code if switches[5] else fixed_exit_code,
    )


@scalar
def trade_size(
    gate: int, symbol_allowed: int, min_confidence: float, risk_pct: float, max_positions: int, confidence: float,
    open_positions: int,
) -> float:
    """Return the risk (percent) a signal of *confidence* is traded with; 0.0 when it isn't traded."""
    if gate and symbol_allowed and confidence >= min_confidence and open_positions < max_positions and risk_pct > 0.0:
        return risk_pct
    return 0.0


@scalar
def size_with_flip(
    flip: int, switches: Sequence[int], allow: int, symbol_by_policy: int, symbol_by_tag: int, min_confidence: float,
    risk_pct: float, max_positions: int, fixed_confidence: float, fixed_risk_pct: float, fixed_max_positions: int,
    confidence: float, open_positions: int,
) -> float:
    """Return the risk (percent) of a signal with switch *flip* turned the other way (-1: none)."""
    return trade_size(
        allow if (switches[4] != 0) != (flip == 4) else 1,
        symbol_by_policy if (switches[0] != 0) != (flip == 0) else symbol_by_tag,
        min_confidence if (switches[1] != 0) != (flip == 1) else fixed_confidence,
        risk_pct if (switches[2] != 0) != (flip == 2) else fixed_risk_pct,
        max_positions if (switches[3] != 0) != (flip == 3) else fixed_max_positions,
        confidence, open_positions,
    )


@scalar
def removed_share(enforced: int, size: float, flipped: float, fixed_risk_pct: float) -> float:
    """Return the share of a fixed-size trade that enforcing takes away, from the sizes as they are and flipped."""
    return (flipped - size) / fixed_risk_pct if enforced else (size - flipped) / fixed_risk_pct


@scalar
def verdicts(
    switches: Sequence[int], allow: int, symbol_by_policy: int, symbol_by_tag: int, min_confidence: float,
    risk_pct: float, max_positions: int, exit_code: int, fixed_confidence: float, fixed_risk_pct: float,
    fixed_max_positions: int, fixed_exit_code: int, confidence: float, open_positions: int,
) -> tuple[float, float, float, float, float, float]:
    """Return, per switch, the share of a fixed-size trade that enforcing it (the others as they are) takes away.

    0.0: nothing changes. 1.0 (BLOCK): a trade of fixed size is refused. 0.3: it is resized to 0.7. Negative: the
    policy admits or enlarges what the fixed settings would not. exit_mode: the size (as a share) of a trade whose
    exit would be managed differently. A switch that is on is compared with itself off, so its evidence goes on after
    its promotion.
    """
    now = size_with_flip(
        -1, switches, allow, symbol_by_policy, symbol_by_tag, min_confidence, risk_pct, max_positions,
        fixed_confidence, fixed_risk_pct, fixed_max_positions, confidence, open_positions,
    )
    by_filter = size_with_flip(
        0, switches, allow, symbol_by_policy, symbol_by_tag, min_confidence, risk_pct, max_positions,
        fixed_confidence, fixed_risk_pct, fixed_max_positions, confidence, open_positions,
    )
    by_confidence = size_with_flip(
        1, switches, allow, symbol_by_policy, symbol_by_tag, min_confidence, risk_pct, max_positions,
        fixed_confidence, fixed_risk_pct, fixed_max_positions, confidence, open_positions,
    )
    by_sizing = size_with_flip(
        2, switches, allow, symbol_by_policy, symbol_by_tag, min_confidence, risk_pct, max_positions,
        fixed_confidence, fixed_risk_pct, fixed_max_positions, confidence, open_positions,
    )
    by_limits = size_with_flip(
        3, switches, allow, symbol_by_policy, symbol_by_tag, min_confidence, risk_pct, max_positions,
        fixed_confidence, fixed_risk_pct, fixed_max_positions, confidence, open_positions,
    )
    by_gate = size_with_flip(
        4, switches, allow, symbol_by_policy, symbol_by_tag, min_confidence, risk_pct, max_positions,
        fixed_confidence, fixed_risk_pct, fixed_max_positions, confidence, open_positions,
    )
    return (
        removed_share(switches[0], now, by_filter, fixed_risk_pct),
        removed_share(switches[1], now, by_confidence, fixed_risk_pct),
        removed_share(switches[2], now, by_sizing, fixed_risk_pct),
        removed_share(switches[3], now, by_limits, fixed_risk_pct),
        removed_share(switches[4], now, by_gate, fixed_risk_pct),
        now / fixed_risk_pct if exit_code != fixed_exit_code else 0.0,
    )


def _check_types(config: OrchestratorIntegrationConfig) -> None:
    """Refuse a value of the wrong type: a constructor call isn't checked by msgspec."""
    if not isinstance(config.mode, OrchestratorMode):
        raise ConfigError(f"mode = {config.mode!r}: must be OrchestratorMode.OBSERVE or OrchestratorMode.LIVE")
    if not isinstance(config.fixed_exit_mode, ExitMode):
        raise ConfigError(f"fixed_exit_mode = {config.fixed_exit_mode!r}: must be an ExitMode")
    for name in SWITCHES:
        value = getattr(config, f"use_for_{name}")
        if not isinstance(value, bool):
            raise ConfigError(f"use_for_{name} = {value!r}: must be true or false")
    if not isinstance(config.fixed_max_positions, int) or isinstance(config.fixed_max_positions, bool):
        raise ConfigError(f"fixed_max_positions = {config.fixed_max_positions!r}: must be a whole number")


def _check_range(key: str, value: float, low: float, high: float) -> None:
    """Refuse a number that isn't finite or lies outside [low, high]."""
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not usable or not low <= value <= high:
        raise ConfigError(f"{key} = {value!r}: must be between {low} and {high}")
