"""The venue's filters in force: one owner of steps, minimums, ticks, fees and leverage tiers of every symbol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from quantum_trader.domain.instrument import Instrument, TierRow, tier_rows


class Instruments:
    """The instruments of a run, in the order of *symbols*; a venue may change one while the run goes on.

    ``ticks`` (S,) float64 holds the price steps; the same array all along, so that kernels may keep it.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.all = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self.index = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.tiers: list[tuple[TierRow, ...]] = [tier_rows(instrument) for instrument in instruments]
        self.tier_tables = [np.array(rows) for rows in self.tiers]  # the same as arrays (K, 4), for compiled code
        self.sizes = [_sizes(instrument) for instrument in instruments]  # step, least quantity, least notional
        self.ticks = np.array([instrument.tick_size for instrument in instruments], dtype=np.float64)
        self._changed: set[str] = set()
        self._plain: list[Any] = []  # the instruments as plain values, made when a state asks for them

    def __getitem__(self, index: int) -> Instrument:
        return self.all[index]

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.all)

    def change(self, instrument: Instrument) -> None:
        """Put the filters that the venue now has for a symbol into force."""
        index = self.index[instrument.symbol]
        if instrument == self.all[index]:
            return
        self._plain = []
        self._changed.add(instrument.symbol)
        self.all = (*self.all[:index], instrument, *self.all[index + 1:])
        self.tiers[index] = tier_rows(instrument)
        self.tier_tables[index] = np.array(self.tiers[index])
        self.sizes[index] = _sizes(instrument)
        self.ticks[index] = instrument.tick_size

    def new_grid(self, symbol: str) -> tuple[float, float] | None:
        """(step, least quantity) of a symbol whose filters have changed since the start; None where they have not."""
        if symbol not in self._changed:
            return None
        step, least, _ = self.sizes[self.index[symbol]]
        return step, least

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        if not self._plain:
            self._plain = [msgspec.to_builtins(instrument) for instrument in self.all]
        return {"all": self._plain, "changed": sorted(self._changed)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        for plain in state["all"]:
            self.change(msgspec.convert(plain, Instrument))
        self._changed = set(state["changed"])


def _sizes(instrument: Instrument) -> tuple[float, float, float]:
    return instrument.step_size, instrument.min_qty, instrument.min_notional
