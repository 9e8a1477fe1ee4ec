"""How much a signal wins against how much it loses: what shadow trades have shown so far."""

from __future__ import annotations

import msgspec

from quantum_trader.models.gates import payoff_ratio


class Payoff(msgspec.Struct, kw_only=True):
    """Sums over the shadow trades of one model's signals, in R."""

    since_ns: int = 0  # signals of before then are another model's
    count: int = 0
    wins: int = 0
    won: float = 0.0
    losses: int = 0
    lost: float = 0.0

    def add(self, r: float, ts_ns: int = 0) -> None:
        """Count the result of one more shadow trade, of a signal that was given at *ts_ns*."""
        if ts_ns < self.since_ns:
            return
        self.count += 1
        if r > 0.0:
            self.wins += 1
            self.won += r
        elif r < 0.0:
            self.losses += 1
            self.lost -= r

    @property
    def ratio(self) -> float:
        """Mean win over mean loss; 2.0 before 30 shadow trades, or while none of them has won or lost."""
        return payoff_ratio(self.count, self.wins, self.won, self.losses, self.lost)
