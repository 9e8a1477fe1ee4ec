"""A symbol's filters, fees and leverage tiers, and the only place where prices and quantities are rounded.

The rounding functions are scalar Python without objects, so that kernels compile the very same code. ``inverse``
forms (1/tick, 1/step) keep decimals exact: 0.07 is 7/100, not 7*0.01.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from quantum_trader.domain.errors import require
from quantum_trader.domain.scalar import scalar

_EPSILON: Final = 1e-9

TierRow = tuple[float, float, float, float]  # max notional, maintenance rate, max leverage, maintenance amount
Tiers = Sequence[Sequence[float]]  # rows of TierRow, ascending by notional


class LeverageTier(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a venue's leverage table: up to *max_notional* (USDT)."""

    max_notional: float
    maintenance_margin_rate: float
    max_leverage: float
    maintenance_amount: float  # USDT subtracted from notional * rate


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A tradable symbol with its filters, fees and leverage tiers."""

    symbol: str
    tick_size: float
    step_size: float
    min_qty: float
    min_notional: float
    maker_fee_bps: float = 2.0  # the regular tier; a live account's own rates replace both
    taker_fee_bps: float = 5.0
    tiers: tuple[LeverageTier, ...] = ()
    funding_interval_hours: int = 8

    def __post_init__(self) -> None:
        for key in ("tick_size", "step_size", "min_qty", "min_notional"):
            value = getattr(self, key)
            require(math.isfinite(value) and value > 0.0, f"{self.symbol}.{key}", value, "must be positive")
        require(bool(self.tiers), f"{self.symbol}.tiers", self.tiers, "at least one leverage tier is needed")


def tier_rows(instrument: Instrument) -> tuple[TierRow, ...]:
    """The leverage table of *instrument* as the rows the scalars take, ascending by notional."""
    ordered = sorted(instrument.tiers, key=lambda tier: tier.max_notional)
    return tuple(
        (float(t.max_notional), float(t.maintenance_margin_rate), float(t.max_leverage), float(t.maintenance_amount))
        for t in ordered
    )


@scalar
def floor_to(value: float, increment: float) -> float:
    """*value* rounded down to a multiple of *increment* (both > 0)."""
    count = math.floor(value / increment + _EPSILON)
    return count / round(1.0 / increment) if increment < 1.0 else count * increment


@scalar
def ceil_to(value: float, increment: float) -> float:
    """*value* rounded up to a multiple of *increment* (both > 0)."""
    count = math.ceil(value / increment - _EPSILON)
    return count / round(1.0 / increment) if increment < 1.0 else count * increment


@scalar
def round_to(value: float, increment: float) -> float:
    """*value* rounded to the nearest multiple of *increment*, halves up."""
    count = math.floor(value / increment + 0.5)
    return count / round(1.0 / increment) if increment < 1.0 else count * increment
