"""The six gates of a signal: spread, volume, regime, cost, confidence and meta-label (specification 3, section 2).

Each gate holds one measure of a signal against one limit of the signal's mode. All six are judged for every signal,
also after one of them refuses. A gate that is observed is on record only; one that is enforced refuses the signal. A
gate whose measure is not known is "unmeasured": that passes while the gate is observed and refuses once it is
enforced. The arithmetic is scalar: the engine runs it as it is, the sweep compiles it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from quantum_trader.domain.enums import TREND_CODES, Trend
from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.domain.scalar import scalar

GATES: Final = ("spread", "volume", "regime", "cost", "confidence", "meta_label")  # in the order of judging
GATE_COUNT: Final = len(GATES)
GATE_SPREAD, GATE_VOLUME, GATE_REGIME, GATE_COST, GATE_CONFIDENCE, GATE_META_LABEL = (1 << place for place in range(6))
OF_FORECAST: Final = GATE_COST | GATE_META_LABEL  # they judge a signal's own forecast; other intents have none
MODES: Final = ("scalp", "runner", "trend")
AUTO: Final = "auto"  # trend for models whose score holds their positions, else scalp
DEFAULT_PAYOFF: Final = 2.0  # mean win over mean loss of a model with fewer shadow trades than PAYOFF_FROM
PAYOFF_FROM: Final = 30
_REGIMES: Final = {trend.value: 1 << code for code, trend in enumerate(TREND_CODES)}
_ANY_REGIME: Final = tuple(_REGIMES)
_PUBLISHED_REGIMES: Final = {"TREND": Trend.TRENDING.value, "CHOP": Trend.RANGING.value}


class GateInputs(NamedTuple):
    """What is measured of one signal; NaN: not known."""

    spread_bps: float  # full spread
    volume_ratio: float  # volume of the last hour over the mean of the last 24
    trend: int  # TREND code of the symbol's market regime
    high_volatility: int  # 1 where it is HIGH, EXTREME or not known
    expected_bps: float  # gross return that the forecast expects over the time it is meant for
    cost_bps: float  # round trip and funding over that time
    confidence: float  # with the bonus of a consensus
    min_confidence: float  # threshold in force, the policy's or the fixed one
    win_probability: float  # of the meta-label: P(win after costs); NaN without a model
    payoff: float  # mean win over mean loss


class GateLimits(NamedTuple):
    """What a signal of one mode is held against."""

    max_spread_bps: float
    min_volume_ratio: float
    regimes: int  # bits of the TREND codes that pass
    margin_bps: float  # that the expected return must leave after costs
    high_volatility_factor: float  # times the margin, in high volatility
    min_confidence: float
    min_win_probability: float  # 0.0: the break-even probability of the payoff


class GateReading(NamedTuple):
    """One gate's figure beside its limit; NaN where it is not measured."""

    gate: str
    observed: float
    limit: float
    measured: bool
    passed: bool  # whether its figure is within its limit; False where it is not measured


@scalar
def needed_margin(limits: GateLimits, inputs: GateInputs) -> float:
    """The expected return that the cost gate asks for, basis points: costs and the mode's margin."""
    factor = limits.high_volatility_factor if inputs.high_volatility != 0 else 1.0
    return inputs.cost_bps + limits.margin_bps * factor


@scalar
def needed_confidence(limits: GateLimits, inputs: GateInputs) -> float:
    """The threshold of the confidence gate: the one in force, or the mode's where that is stricter."""
    return limits.min_confidence if limits.min_confidence > inputs.min_confidence else inputs.min_confidence


@scalar
def needed_win_probability(limits: GateLimits, inputs: GateInputs) -> float:
    """The probability that the meta-label gate asks for: the mode's, or the one at which the payoff breaks even."""
    if limits.min_win_probability > 0.0:
        return limits.min_win_probability
    return 1.0 / (1.0 + inputs.payoff)


@scalar
def unmeasured_gates(inputs: GateInputs) -> int:
    """The bits of the gates whose measure is not known."""
    found = 0
    if not math.isfinite(inputs.spread_bps):
        found |= GATE_SPREAD
    if not math.isfinite(inputs.volume_ratio):
        found |= GATE_VOLUME
    if not (math.isfinite(inputs.expected_bps) and math.isfinite(inputs.cost_bps)):
        found |= GATE_COST
    if not math.isfinite(inputs.confidence):
        found |= GATE_CONFIDENCE
    if not (math.isfinite(inputs.win_probability) and inputs.payoff > 0.0):
        found |= GATE_META_LABEL
    return found


@scalar
def refused_gates(inputs: GateInputs, limits: GateLimits) -> int:
    """The bits of the gates that do not pass; a measure that is not known does not pass."""
    found = unmeasured_gates(inputs)
    if not inputs.spread_bps <= limits.max_spread_bps:
        found |= GATE_SPREAD
    if not inputs.volume_ratio >= limits.min_volume_ratio:
        found |= GATE_VOLUME
    if not (limits.regimes >> inputs.trend) & 1:
        found |= GATE_REGIME
    if not inputs.expected_bps >= needed_margin(limits, inputs):
        found |= GATE_COST
    if not inputs.confidence >= needed_confidence(limits, inputs):
        found |= GATE_CONFIDENCE
    if not (inputs.payoff > 0.0 and inputs.win_probability >= needed_win_probability(limits, inputs)):
        found |= GATE_META_LABEL
    return found


@scalar
def payoff_ratio(count: float, wins: float, won: float, losses: float, lost: float) -> float:
    """Mean win over mean loss of *count* shadow trades; DEFAULT_PAYOFF before 30, or while none has won or lost.

    *won* and *lost*: the sums of the *wins* and of the *losses*, in R, both positive.
    """
    if count < PAYOFF_FROM or wins == 0 or losses == 0:
        return DEFAULT_PAYOFF
    return (won / wins) / (lost / losses)


@scalar
def first_gate(bits: int) -> int:
    """The place in GATES of the first gate in *bits*; -1: none."""
    for place in range(6):
        if (bits >> place) & 1:
            return place
    return -1


def gate_readings(inputs: GateInputs, limits: GateLimits) -> tuple[GateReading, ...]:
    """Figure, limit and verdict of each gate, in their order."""
    unmeasured, refused = unmeasured_gates(inputs), refused_gates(inputs, limits)
    figures = (
        (inputs.spread_bps, limits.max_spread_bps), (inputs.volume_ratio, limits.min_volume_ratio),
        (float(inputs.trend), float(limits.regimes)), (inputs.expected_bps, float(needed_margin(limits, inputs))),
        (inputs.confidence, float(needed_confidence(limits, inputs))),
        (inputs.win_probability, float(needed_win_probability(limits, inputs)) if inputs.payoff > 0.0 else math.nan),
    )
    return tuple(
        GateReading(name, observed, limit, not (unmeasured >> place) & 1, not (refused >> place) & 1)
        for place, (name, (observed, limit)) in enumerate(zip(GATES, figures, strict=True))
    )


def _check_number(key: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise ConfigError(f"gates: {key} = {brief(value)}: must be a number from {low:g} to {high:g}")


class ModeLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one mode, as a person writes them."""

    max_spread_bps: float
    min_volume_ratio: float  # of the 24-hour average
    regimes: tuple[str, ...]  # TRENDING, RANGING, UNKNOWN; TREND and CHOP are accepted
    margin_bps: float  # expected return after costs
    min_confidence: float
    min_win_probability: float  # 0.0: the break-even probability of the model's payoff

    def __post_init__(self) -> None:
        for key, low, high in (
            ("max_spread_bps", 0.0, 1_000.0), ("min_volume_ratio", 0.0, 100.0), ("margin_bps", -1_000.0, 1_000.0),
            ("min_confidence", 0.0, 1.0), ("min_win_probability", 0.0, 1.0),
        ):
            _check_number(key, getattr(self, key), low, high)
        for name in self.regimes:
            if _PUBLISHED_REGIMES.get(name, name) not in _REGIMES:
                known = ", ".join((*_REGIMES, *_PUBLISHED_REGIMES))
                raise ConfigError(f"gates: regimes = {brief(name)}: choose from {known}")
        if not self.regimes:
            raise ConfigError("gates: regimes = (): name at least one, or the mode could never trade")

    def limits(self, high_volatility_factor: float) -> GateLimits:
        """As numbers."""
        bits = 0
        for name in self.regimes:
            bits |= _REGIMES[_PUBLISHED_REGIMES.get(name, name)]
        return GateLimits(
            float(self.max_spread_bps), float(self.min_volume_ratio), bits, float(self.margin_bps),
            float(high_volatility_factor), float(self.min_confidence), float(self.min_win_probability),
        )


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gates of a run: the mode of its signals, the limits of each mode, and which gates are enforced."""

    mode: str = AUTO
    enforced: tuple[str, ...] = ()  # of GATES; the others are observed
    meta_label: str = ""  # folder of a trained meta-label, or "registry:NAME"; empty: none
    high_volatility_factor: float = 1.5  # times the cost margin, in high volatility
    scalp: ModeLimits = ModeLimits(
        max_spread_bps=5.0, min_volume_ratio=0.50, regimes=("TRENDING", "RANGING"), margin_bps=3.0,
        min_confidence=0.55, min_win_probability=0.45,
    )
    runner: ModeLimits = ModeLimits(
        max_spread_bps=10.0, min_volume_ratio=0.30, regimes=("TRENDING",), margin_bps=8.0,
        min_confidence=0.70, min_win_probability=0.65,
    )
    trend: ModeLimits = ModeLimits(
        max_spread_bps=10.0, min_volume_ratio=0.30, regimes=_ANY_REGIME, margin_bps=8.0,
        min_confidence=0.55, min_win_probability=0.0,
    )
    pass_targets: dict[str, float] = {}  # wanted share of signals that pass, by gate; empty: no target

    def __post_init__(self) -> None:
        if self.mode not in (AUTO, *MODES):
            raise ConfigError(f"gates.mode = {brief(self.mode)}: choose from {', '.join((AUTO, *MODES))}")
        for name in (*self.enforced, *self.pass_targets):
            gate_place(name)
        _check_number("high_volatility_factor", self.high_volatility_factor, 1.0, 10.0)
        for name, share in self.pass_targets.items():
            _check_number(f"pass_targets.{name}", share, 0.0, 1.0)

    @property
    def enforced_bits(self) -> int:
        """The bits of the gates that are enforced."""
        return gate_bits(self.enforced)

    def mode_of(self, *, by_score: bool) -> str:
        """The mode of signals; *by_score*: of models whose score holds their positions."""
        if self.mode != AUTO:
            return self.mode
        return "trend" if by_score else "scalp"

    def limits(self, mode: str) -> GateLimits:
        """The limits of *mode* as numbers; ConfigError for another word than those of MODES."""
        modes: Mapping[str, ModeLimits] = {"scalp": self.scalp, "runner": self.runner, "trend": self.trend}
        if mode not in modes:
            raise ConfigError(f"gates.mode = {brief(mode)}: choose from {', '.join(MODES)}")
        return modes[mode].limits(self.high_volatility_factor)


def gate_place(name: str) -> int:
    """The place of the gate *name* in GATES; ConfigError for another word."""
    if name not in GATES:
        raise ConfigError(f"gate = {brief(name)}: choose from {', '.join(GATES)}")
    return GATES.index(name)


def gate_bits(names: Iterable[str]) -> int:
    """The bits of the gates *names*."""
    bits = 0
    for name in names:
        bits |= 1 << gate_place(name)
    return bits


def gate_names(bits: int) -> tuple[str, ...]:
    """The gates in *bits*, in their order."""
    return tuple(name for place, name in enumerate(GATES) if (bits >> place) & 1)


def regime_names(bits: int) -> str:
    """The regimes in *bits* as a person reads them."""
    return ", ".join(name for name, bit in _REGIMES.items() if bits & bit)
