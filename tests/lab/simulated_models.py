"""Models for simulated days: quick to change their minds, one of them with a memory of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from quantum_trader.models import Exit, Model, Panel


class Reversal(Model):
    """Against the last hour's move, so that it turns several times a day."""

    bars, warmup, horizon = "1h", 3, "4h"

    class Params(msgspec.Struct, frozen=True):
        hours: int = 1

    def score(self, panel: Panel) -> Any:
        """The move of *hours*, with the sign changed."""
        return 1.0 - panel.close[-1] / panel.close[-1 - self.params.hours]


class Remembers(Model):
    """Long above a mean that it keeps itself; the mean is known from its state alone."""

    bars, warmup, horizon, exit = "1h", 2, "4h", Exit(on="score", stop_atr=2)

    def __init__(self, params: msgspec.Struct | None = None) -> None:
        super().__init__(params)
        self.mean: Any = None

    def score(self, panel: Panel) -> Any:
        """The distance of the newest close from the mean, which follows it by a third."""
        close = panel.close[-1]
        mean = close if self.mean is None else np.where(np.isnan(self.mean), close, self.mean)
        self.mean = mean + (close - mean) / 3.0
        return close / self.mean - 1.0

    def state(self) -> dict[str, Any]:
        """The mean."""
        return {"mean": self.mean}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from it."""
        self.mean = state["mean"]


class Swings(Model):
    """Its size swings from hour to hour, so that positions are added to and reduced; its side turns twice a day."""

    bars, warmup, horizon, exit = "1h", 3, "2d", Exit(on="score", stop_atr=3)

    def score(self, panel: Panel) -> Any:
        """A wave of its own for every symbol."""
        hour, symbol = panel.now_ns // 3_600_000_000_000, np.arange(len(panel.symbols))
        side = np.sign(np.sin((hour + 5 * symbol) / 4.0))
        return side * (1.0 + 0.7 * np.sin(hour * 2.1 + symbol))
