"""The thresholds of the gates: which setting each one is, what other values it could have, and what would pass then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from quantum_trader.domain.enums import TREND_CODES
from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.models.gates import GATES, GateInputs, GateLimits, gate_bits, refused_gates, regime_names

QUANTILES: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))
_DIGITS: Final = 4  # significant ones, so that a person can write the value


class Threshold(NamedTuple):
    """The setting of one gate's threshold."""

    gate: str
    key: str  # of models.gates.ModeLimits and GateLimits
    low: float  # the values that the settings accept
    high: float


THRESHOLDS: Final = {
    one.gate: one for one in (
        Threshold("spread", "max_spread_bps", 0.0, 1_000.0), Threshold("volume", "min_volume_ratio", 0.0, 100.0),
        Threshold("regime", "regimes", 1.0, 7.0), Threshold("cost", "margin_bps", -1_000.0, 1_000.0),
        Threshold("confidence", "min_confidence", 0.0, 1.0),
        Threshold("meta_label", "min_win_probability", 0.001, 1.0),
    )
}
assert tuple(THRESHOLDS) == GATES

_refused_gates = compiled(refused_gates)


@kernel
def _refused(inputs: Any, limits: Any, bits: Any) -> None:
    """Write the bits of the gates that refuse each row of *inputs* (n, 10) under *limits* into *bits* (n,)."""
    for at in range(inputs.shape[0]):
        row = inputs[at]
        bits[at] = _refused_gates(
            GateInputs(row[0], row[1], int(row[2]), int(row[3]), row[4], row[5], row[6], row[7], row[8], row[9]), limits
        )


def passing(gate: str, inputs: Floats, limits: GateLimits) -> Bools:
    """Whether *gate* alone lets each signal of *inputs* (n, 10) pass under *limits*."""
    bits = np.zeros(len(inputs), dtype=np.int64)
    _refused(np.ascontiguousarray(inputs), limits, bits)
    return np.asarray((bits & gate_bits((gate,))) == 0)


def limits_of_row(row: Sequence[float]) -> GateLimits:
    """*row* (7,) of a record as limits."""
    made = GateLimits._make(float(value) for value in row)
    return made._replace(regimes=int(made.regimes))


def value_of(gate: str, limits: GateLimits) -> float:
    """The value of the gate's threshold in *limits*; of the regime gate the bits of what passes."""
    return float(getattr(limits, THRESHOLDS[gate].key))


def with_value(gate: str, limits: GateLimits, value: float) -> GateLimits:
    """*limits* with another threshold of *gate*."""
    if gate == "regime":
        return limits._replace(regimes=int(value))
    return limits._replace(**{THRESHOLDS[gate].key: value})  # type: ignore[arg-type]


def threshold_words(gate: str, value: float) -> str:
    """A threshold as a person writes it."""
    if gate == "regime":
        return regime_names(int(value))
    return "break-even" if gate == "meta_label" and value == 0.0 else f"{value:.{_DIGITS}g}"


def gate_figures(gate: str, inputs: Floats, limits: GateLimits) -> Floats:
    """What each signal of *inputs* (n, 10) has of the quantity that the gate's threshold bounds."""
    known = GateInputs._make(inputs.T)
    if gate == "cost":
        factor = np.where(np.asarray(known.high_volatility) != 0, limits.high_volatility_factor, 1.0)
        return np.asarray((known.expected_bps - known.cost_bps) / factor)
    columns = {
        "spread": known.spread_bps, "volume": known.volume_ratio, "confidence": known.confidence,
        "meta_label": known.win_probability,
    }
    return np.asarray(columns[gate])


def candidates(gate: str, inputs: Floats, limits: GateLimits) -> tuple[float, ...]:
    """The thresholds to try beside today's: quantiles of the figures in *inputs*, or every set of regimes."""
    today, bounds = value_of(gate, limits), THRESHOLDS[gate]
    if gate == "regime":
        values = [float(bits) for bits in range(1, 1 << len(TREND_CODES))]
    elif len(inputs):
        found = np.quantile(gate_figures(gate, inputs, limits), QUANTILES)
        values = [float(f"{value:.{_DIGITS}g}") for value in np.clip(found, bounds.low, bounds.high).tolist()]
    else:
        values = []
    return tuple(value for value in dict.fromkeys(sorted(values)) if value != today)
