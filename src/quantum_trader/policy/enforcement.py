"""The part of the policy that is enforced, and the settings that trading uses for the rest.

Six switches enforce one subsystem each, in the order of :data:`SWITCHES`. Where a switch is off the fixed setting
applies. :class:`Settings` holds the six settings of one symbol; :func:`refusals` is the only place where a signal is
held against them. The arithmetic is scalar Python (numbers and tuples): the engine runs it as it is, the sweep
compiles it.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from quantum_trader.domain.enums import EXIT_CODES, ExitMode, OrchestratorMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.scalar import scalar

_log: Final = logging.getLogger(__name__)
SWITCHES: Final = (
    "signal_filter", "confidence_threshold", "risk_sizing", "position_limits", "trading_gate", "exit_mode",
)
SWITCH_SIGNAL_FILTER, SWITCH_CONFIDENCE_THRESHOLD, SWITCH_RISK_SIZING = 0, 1, 2
SWITCH_POSITION_LIMITS, SWITCH_TRADING_GATE, SWITCH_EXIT_MODE = 3, 4, 5
BLOCK: Final = 1.0  # the verdict that takes the whole trade away

# Bits of `refusals`, in the order in which a gate names them.
NOT_GATE, NOT_SYMBOL, NOT_CONFIDENCE, NOT_POSITIONS = 1, 2, 4, 8
REFUSAL_NAMES: Final = (
    (NOT_GATE, "trading_gate"), (NOT_SYMBOL, "signal_filter"), (NOT_CONFIDENCE, "confidence_threshold"),
    (NOT_POSITIONS, "position_limits"),
)


class Settings(NamedTuple):
    """The settings of one symbol that a signal is held against: the policy's, the fixed ones, or those in use."""

    gate: int  # 1: new trades are allowed
    symbol: int  # 1: the symbol is allowed
    min_confidence: float
    risk_pct: float  # percent of equity per trade; 0.0 allows no trade
    max_positions: int
    exit_code: int  # EXIT_* code


class CallableFlag(int):
    """A truth value that may be called too: ``config.is_observe_mode`` and ``config.is_observe_mode()``."""

    def __call__(self) -> bool:
        return bool(self)

    def __repr__(self) -> str:
        return str(bool(self))


class OrchestratorIntegrationConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The mode, the six switches, and the fixed settings for what is not enforced.

    Raises ConfigError for settings that contradict each other: OBSERVE enforces nothing. In LIVE mode the six
    ``use_for_…`` may be assigned, as it was published; everything else is frozen. What takes a configuration keeps a
    copy of its own, so that an assignment changes nothing that runs: `quantum-trader rollout` does that.
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

    def __setattr__(self, name: str, value: object) -> None:
        """Assign one switch; ConfigError for a value that is no truth value, or that contradicts OBSERVE."""
        if name.removeprefix("use_for_") not in SWITCHES or not name.startswith("use_for_"):
            raise AttributeError(f"{name}: is frozen; make another OrchestratorIntegrationConfig")
        msgspec.structs.replace(self, **{name: value})  # raises where the two contradict each other
        msgspec.structs.force_setattr(self, name, value)

    def __hash__(self) -> int:
        return hash(msgspec.structs.astuple(self))

    @classmethod
    def create_observe_mode(cls) -> OrchestratorIntegrationConfig:
        """Compute and log the policy, enforce nothing."""
        _log.info("OBSERVE mode: the policy is computed and logged, nothing of it is enforced")
        return cls()

    @classmethod
    def create_live_mode_gradual(cls) -> OrchestratorIntegrationConfig:
        """Enforce the first two subsystems of the rollout: the signal filter and the confidence threshold."""
        return cls(mode=OrchestratorMode.LIVE, use_for_signal_filter=True, use_for_confidence_threshold=True)

    @classmethod
    def create_live_mode_full(cls) -> OrchestratorIntegrationConfig:
        """Enforce all six subsystems."""
        return cls(
            mode=OrchestratorMode.LIVE, use_for_signal_filter=True, use_for_confidence_threshold=True,
            use_for_risk_sizing=True, use_for_position_limits=True, use_for_trading_gate=True, use_for_exit_mode=True,
        )

    @property
    def is_observe_mode(self) -> CallableFlag:
        """Whether nothing is enforced because the mode is OBSERVE; as a property or, as it was published, a call."""
        return CallableFlag(self.mode is OrchestratorMode.OBSERVE)

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

    def fixed_settings(self, symbol_by_tag: int) -> Settings:
        """The settings where nothing is enforced: an open gate; *symbol_by_tag* is 0 for a symbol tagged BAD."""
        return Settings(1, symbol_by_tag, *self.fixed)

    @property
    def fixed_hash(self) -> str:
        """Hash of the fixed settings: what decided a trade while no part of the policy is enforced."""
        return hashlib.blake2b(msgspec.json.encode(self.fixed), digest_size=8).hexdigest()

    def is_enforced(self, switch: str) -> bool:
        """Whether *switch* (one of SWITCHES) is enforced."""
        return bool(self.switches[switch_index(switch)])


class PolicyNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's settings for one symbol."""

    allow: bool
    symbol_allowed: bool
    min_confidence: float
    risk_pct: float
    max_positions: int
    exit_mode: ExitMode


class EffectiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that trading uses for one symbol."""

    trading_allowed: bool
    symbol_allowed: bool
    min_confidence: float
    risk_pct: float
    max_positions: int
    exit_mode: ExitMode


def switch_index(switch: str) -> int:
    """The place of *switch* in the rollout order; raises ConfigError with the list of names for another."""
    if switch not in SWITCHES:
        raise ConfigError(f"switch = {switch!r}: must be one of {', '.join(SWITCHES)}")
    return SWITCHES.index(switch)


def effective(
    config: OrchestratorIntegrationConfig, policy: PolicyNumbers, *, symbol_tag_bad: bool = False
) -> EffectiveSettings:
    """Combine the settings of *policy* with the fixed ones, as the switches of *config* say."""
    wanted = Settings(
        int(policy.allow), int(policy.symbol_allowed), policy.min_confidence, policy.risk_pct, policy.max_positions,
        EXIT_CODES.index(policy.exit_mode),
    )
    used = settings_in_use(config.switches, wanted, config.fixed_settings(int(not symbol_tag_bad)))
    return EffectiveSettings(
        trading_allowed=bool(used.gate), symbol_allowed=bool(used.symbol), min_confidence=used.min_confidence,
        risk_pct=used.risk_pct, max_positions=used.max_positions, exit_mode=EXIT_CODES[used.exit_code],
    )


@scalar
def settings_in_use(switches: Sequence[int], policy: Settings, fixed: Settings) -> Settings:
    """The settings that trading uses: each of *policy* where its switch is on, of *fixed* where it is off.

    *switches*: six ints, 0 or 1, in rollout order. *fixed* has the gate open, and the symbol refused when it is tagged
    BAD (see :meth:`OrchestratorIntegrationConfig.fixed_settings`).
    """
    return Settings(
        policy.gate if switches[4] else fixed.gate,
        policy.symbol if switches[0] else fixed.symbol,
        policy.min_confidence if switches[1] else fixed.min_confidence,
        policy.risk_pct if switches[2] else fixed.risk_pct,
        policy.max_positions if switches[3] else fixed.max_positions,
        policy.exit_code if switches[5] else fixed.exit_code,
    )


@scalar
def refusals(settings: Any, confidence: float, open_positions: int) -> int:
    """The NOT_* bits of every setting that refuses a signal of *confidence*; 0: none does.

    *settings* is a :class:`Settings`, or a tuple in its order. The only place that holds a confidence against its
    threshold. A number that is not finite refuses.
    """
    found = 0
    if settings[0] == 0 or not (settings[3] > 0.0):
        found |= NOT_GATE
    if settings[1] == 0:
        found |= NOT_SYMBOL
    if not (confidence >= settings[2]):
        found |= NOT_CONFIDENCE
    if not (open_positions < settings[4]):
        found |= NOT_POSITIONS
    return found


def refusal_names(found: int) -> tuple[str, ...]:
    """The switches whose settings refuse, from the bits of :func:`refusals`, in the order of the bits."""
    return tuple(name for bit, name in REFUSAL_NAMES if found & bit)


@scalar
def trade_size(settings: Any, confidence: float, open_positions: int) -> float:
    """The risk (percent of equity) a signal of *confidence* is traded with; 0.0 when it is refused."""
    return settings[3] if refusals(settings, confidence, open_positions) == 0 else 0.0


@scalar
def removed_share(enforced: int, size: float, flipped: float, fixed_risk_pct: float) -> float:
    """The share of a fixed-size trade that enforcing takes away, from the sizes as they are and flipped."""
    return (flipped - size) / fixed_risk_pct if enforced else (size - flipped) / fixed_risk_pct


@scalar
def removed_by_switch(
    switches: Sequence[int], policy: Settings, fixed: Settings, confidence: float, open_positions: int
) -> tuple[float, float, float, float, float, float]:
    """Per switch, the share of a fixed-size trade that enforcing it (the others as they are) takes away.

    0.0: nothing changes. 1.0 (BLOCK): a trade of fixed size is refused. 0.3: it is resized to 0.7. Negative: the
    policy admits or enlarges what the fixed settings would not. exit_mode: the size (as a share) of a trade whose
    exit would be managed differently. A switch that is on is compared with itself off, so its evidence goes on after
    its promotion.
    """
    used = settings_in_use(switches, policy, fixed)
    other = settings_in_use(
        (1 - switches[0], 1 - switches[1], 1 - switches[2], 1 - switches[3], 1 - switches[4], 1 - switches[5]),
        policy, fixed,
    )
    found, others = refusals(used, confidence, open_positions), refusals(other, confidence, open_positions)
    own, risk_pct = used.risk_pct, fixed.risk_pct
    size, but_gate = own if found == 0 else 0.0, found & ~NOT_GATE
    by_filter = own if ((found & ~NOT_SYMBOL) | (others & NOT_SYMBOL)) == 0 else 0.0
    by_confidence = own if ((found & ~NOT_CONFIDENCE) | (others & NOT_CONFIDENCE)) == 0 else 0.0
    by_sizing = other.risk_pct if but_gate == 0 and used.gate != 0 and other.risk_pct > 0.0 else 0.0
    by_limits = own if ((found & ~NOT_POSITIONS) | (others & NOT_POSITIONS)) == 0 else 0.0
    by_gate = own if but_gate == 0 and other.gate != 0 and own > 0.0 else 0.0
    return (
        removed_share(switches[0], size, by_filter, risk_pct),
        removed_share(switches[1], size, by_confidence, risk_pct),
        removed_share(switches[2], size, by_sizing, risk_pct),
        removed_share(switches[3], size, by_limits, risk_pct),
        removed_share(switches[4], size, by_gate, risk_pct),
        size / risk_pct if policy.exit_code != fixed.exit_code else 0.0,
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
