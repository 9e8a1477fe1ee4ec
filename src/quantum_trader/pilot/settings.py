"""Which bars an observation is made of."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.intervals import INTERVALS, RUN_INTERVALS

LONGEST_NS: Final = 4 * NS_PER_HOUR  # hour of the day and time to funding would be constant on longer bars
WARM_BARS: Final = 201  # observed bars before every feature is known; 60 hours of bars are needed as well
OBSERVED_INTERVALS: Final = tuple(name for name, length in INTERVALS.items() if length <= LONGEST_NS)


class ObservationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The interval of the bars that features are computed on."""

    interval: str = "30m"

    def __post_init__(self) -> None:
        if self.interval not in OBSERVED_INTERVALS:
            raise ConfigError(
                f"pilot.interval = {self.interval!r}: must be one of {', '.join(OBSERVED_INTERVALS)} (on longer bars "
                "the hour of the day and the time to funding would hardly change)"
            )

    @property
    def length_ns(self) -> int:
        """Length of an observed bar."""
        return INTERVALS[self.interval]

    def check_base_bars(self, base_ns: int) -> None:
        """Raise ConfigError where observed bars cannot be built of base bars of *base_ns*, those of the run."""
        name = next((name for name in RUN_INTERVALS if INTERVALS[name] == base_ns), None)
        if name is None:
            raise ConfigError(
                f"pilot.interval = {self.interval!r}: the run's bars are {base_ns / 60e9:g} minutes long, and no run "
                f"takes such bars; use --bars with one of {', '.join(RUN_INTERVALS)}"
            )
        if base_ns > self.length_ns:
            raise ConfigError(
                f"pilot.interval = {self.interval!r}: the run's bars are longer ({name}); use --bars "
                f"{self.interval} or shorter, or a longer pilot.interval"
            )
        if self.length_ns % base_ns:
            raise ConfigError(
                f"pilot.interval = {self.interval!r}: is not a whole number of the run's bars ({name}); use --bars "
                "with an interval that divides it"
            )
