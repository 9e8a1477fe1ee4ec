"""What every check of a simulated day needs: the exchange's truth, what struck when, and a place for the finding."""

from __future__ import annotations

from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.lab.simulation.deadlines import Bounds, Disruptions
from quantum_trader.lab.simulation.exchange import SimulatedExchange


class Broken(QuantumTraderError):  # noqa: N818 - a finding
    """An invariant does not hold."""

    def __init__(self, invariant: str, detail: str, at_s: float) -> None:
        super().__init__(f"{invariant} at {at_s:.3f} s: {detail}")
        self.invariant, self.detail, self.at_s = invariant, detail, at_s


class CheckContext:
    """Shared by the checks of one day. *disruptions* holds what struck when, *bounds* how long it takes to find out."""

    def __init__(self, exchange: SimulatedExchange, disruptions: Disruptions, bounds: Bounds) -> None:
        self.exchange, self.disruptions, self.bounds = exchange, disruptions, bounds
        self.broken: Broken | None = None  # the first finding

    def now_s(self) -> float:
        """Seconds of the day."""
        return self.exchange.loop.time()

    def fail(self, invariant: str, detail: str) -> None:
        """Keep the first finding; the loop's next step raises it."""
        if self.broken is None:
            self.broken = Broken(invariant, detail, self.now_s())
