"""The account: books, equity, and every remembered equity that losses and drawdowns are measured from.

This is the one place where money that was paid in or out is taken off what is remembered (:meth:`Account.shift`): a
transfer is no profit, no loss and no drawdown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.loss_window import RING_SIZE
from quantum_trader.engine import stage
from quantum_trader.engine.books import Books
from quantum_trader.market.jit import compiled
from quantum_trader.market.performance import SymbolPerformance
from quantum_trader.risk.governor import GOV_ROW_LEVEL, GOV_ROW_PEAK, empty_governor
from quantum_trader.risk.limits import (
    LOSS_LAST,
    LOSS_MIDNIGHT,
    empty_losses,
    empty_rate,
    losses_latched,
    losses_pct,
    note_order,
    orders_last_hour,
)

_losses_pct = compiled(losses_pct)
_note_order = compiled(note_order)
_orders_last_hour = compiled(orders_last_hour)


_LOSS_CELLS: Final = (*range(1, RING_SIZE), LOSS_MIDNIGHT, LOSS_LAST)


class Account:
    """One account's books, equity, loss limits, governor, order rate and results per symbol."""

    def __init__(self, symbols: Sequence[str], start_equity: float, recovery_after: int) -> None:
        self.books = Books(start_equity, recovery_after)
        self.equity = start_equity  # USDT, unrealised profit included, at the newest prices known
        self.losses: Any = np.array(empty_losses())
        self.governor: Any = np.array(empty_governor())
        self.day: Any = stage.new_day()  # the UTC day and its peak equity
        self.rate: Any = np.array(empty_rate())
        self.performance = SymbolPerformance(symbols)
        self._stage_row = np.zeros(stage.BOOK_SIZE)

    def mark(self, closes: Any) -> None:
        """Value the account at *closes* (S,)."""
        self.equity = self.books.equity(closes) if self.books.positions else self.books.cash

    # ------------------------------------------------------------------ money that moved

    def shift(self, delta: float) -> None:
        """Take money that moved, *delta* USDT, off every remembered equity: it is no profit and no loss."""
        for cell in _LOSS_CELLS:
            self.losses[cell] += delta
        self.governor[GOV_ROW_PEAK] = max(self.governor[GOV_ROW_PEAK] + delta, 0.0)
        self.day[stage.DAY_PEAK] += delta

    def remembered(self) -> list[float]:
        """Every equity that losses and drawdowns are measured from: 24-hour ring, midnight, last, peak, day's peak."""
        return [
            *(float(self.losses[cell]) for cell in _LOSS_CELLS), float(self.governor[GOV_ROW_PEAK]),
            float(self.day[stage.DAY_PEAK]),
        ]

    def shift_remembered(self, then: list[float], delta: float, closes: Any) -> None:
        """Move by *delta* USDT the equities that still are what they were *then*, and not those noted since."""
        equity = self.books.equity(closes)
        for cell, before in zip(_LOSS_CELLS, then, strict=False):
            if self.losses[cell] == before:
                self.losses[cell] += delta
        for row, cell, before in ((self.governor, GOV_ROW_PEAK, then[-2]), (self.day, stage.DAY_PEAK, then[-1])):
            since = equity if row[cell] == before else float(row[cell])
            row[cell] = max(before + delta, since, 0.0)

    def peak_was_reset(self, then: list[float]) -> list[float]:
        """*then* without the all-time peak: a person has looked, drawdown is measured from here."""
        return [*then[:-2], -math.inf, then[-1]]

    # ------------------------------------------------------------------ limits

    @property
    def governor_level(self) -> int:
        """The governor's level in force, a GOV_* code."""
        return int(self.governor[GOV_ROW_LEVEL])

    @property
    def peak(self) -> float:
        """The all-time equity peak, USDT."""
        return float(self.governor[GOV_ROW_PEAK])

    @property
    def in_emergency(self) -> bool:
        """Whether the governor lets positions only be reduced."""
        return self.governor_level >= GOV_EMERGENCY

    @property
    def loss_latched(self) -> bool:
        """Whether the daily loss limit keeps everything from opening."""
        return bool(losses_latched(self.losses))

    def losses_pct(self) -> tuple[float, float]:
        """Change of equity over 24 hours and since UTC midnight, percent."""
        rolling, midnight = _losses_pct(self.losses, self.equity)
        return rolling, midnight

    def note_order(self, now_ns: int) -> None:
        """Count an opening order towards the hourly rate."""
        _note_order(self.rate, now_ns)

    def orders_last_hour(self, now_ns: int) -> float:
        """Opening orders of the last hour."""
        return float(_orders_last_hour(self.rate, now_ns))

    def stage_row(self, health: int) -> Any:
        """The account as the compiled stages take it, in the order of the BOOK_ columns; the same array each time."""
        books = self.books
        self._stage_row[:] = (
            self.equity, books.exposure_pct(self.equity), len(books.positions), books.losing_streak,
            books.broken_streak, books.wins_since, health,
        )
        return self._stage_row

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "books": self.books.state(), "equity": self.equity, "losses": self.losses, "governor": self.governor,
            "day": self.day, "rate": self.rate, "performance": self.performance.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.books.load_state(state["books"])
        self.performance.load_state(state["performance"])
        self.equity = state["equity"]
        for name in ("losses", "governor", "day", "rate"):
            getattr(self, name)[...] = state[name]
