"""What is stated of one feature."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from quantum_trader.domain.errors import require

INF: Final = math.inf
NEVER: Final = ""  # the mask of a feature that every ready observation has


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature: its name and formula, the range of its raw value, where it comes from, when it is masked.

    *center* and *scale* are the default scaling for 30-minute bars. *formula* with *version* is part of the list's
    hash: whoever changes how a feature is computed raises its version.
    """

    name: str
    formula: str
    unit: str
    low: float  # least raw value
    high: float  # largest raw value
    source: str  # bars, quotes, funding, clock, market, position, account or settings
    mask: str = NEVER  # when the feature is masked, in words
    center: float = 0.0
    scale: float = 1.0
    fitted: bool = True  # whether a model's scalers are fitted to training bars
    grows: bool = False  # whether the default scale grows with the square root of the bar's length
    version: int = 1

    def __post_init__(self) -> None:
        require(self.low < self.high, f"{self.name}.low", self.low, f"must be below high = {self.high}")
        require(self.scale > 0.0, f"{self.name}.scale", self.scale, "must be above 0")
        require(self.version >= 1, f"{self.name}.version", self.version, "must be 1 or more")

    @property
    def range_text(self) -> str:
        """The range of the raw value, as "0 to 100" or "0 or more"."""
        if self.low == -INF:
            return "any" if self.high == INF else f"{self.high:g} or less"
        return f"{self.low:g} or more" if self.high == INF else f"{self.low:g} to {self.high:g}"
