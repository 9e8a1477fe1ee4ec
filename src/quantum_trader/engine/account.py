"""The account: books, equity, and every remembered equity that losses and drawdowns are measured from.

Each is held once: those of the last 24 hours and of midnight in ``losses``, the all-time peak in ``governor``, the UTC
day's peak in ``policy_memory`` (the day's drawdown is computed by ``policy.stability.day_drawdown`` and nowhere else).
Money that moves without a trade is no profit, loss or drawdown: :meth:`Account.move_money` changes all of them in
proportion to the account (``domain.loss_window.after_transfer``), and each percentage stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.domain.loss_window import RING_SIZE, after_transfer
from quantum_trader.engine import stage
from quantum_trader.engine.accounting import realised_pnl
from quantum_trader.engine.books import Books
from quantum_trader.market.jit import compiled
from quantum_trader.market.symbol_performance import SymbolPerformance
from quantum_trader.policy.layout import MEM_DAY, MEM_PEAK
from quantum_trader.policy.stability import scale_memory
from quantum_trader.risk.governor import GOV_ROW_LEVEL, GOV_ROW_PEAK, empty_governor, scale_peak
from quantum_trader.risk.limits import (
    LOSS_LAST,
    LOSS_MIDNIGHT,
    empty_losses,
    empty_rate,
    losses_latched,
    losses_pct,
    note_order,
    orders_last_hour,
    scale_losses,
)

_losses_pct = compiled(losses_pct)
_note_order = compiled(note_order)
_orders_last_hour = compiled(orders_last_hour)

_LOSS_CELLS: Final = (*range(1, RING_SIZE), LOSS_MIDNIGHT, LOSS_LAST)


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """Every equity that losses and drawdowns are measured from at one moment, in USDT."""

    equity: float  # the account's own at that moment
    losses: list[float]  # 24 hours, midnight, last: the cells _LOSS_CELLS of a loss row
    peak: float  # all-time; -inf once a person has reset it
    day: float  # the UTC day of day_peak, -1.0: none
    day_peak: float

    def after(self, amount: float, equity: float) -> Remembered:
        """The same after a transfer of *amount* at *equity*, in USDT."""
        return msgspec.structs.replace(
            self, losses=[after_transfer(value, equity, amount) for value in self.losses],
            peak=after_transfer(self.peak, equity, amount) if math.isfinite(self.peak) else self.peak,
            day_peak=after_transfer(self.day_peak, equity, amount),
        )


class Account:
    """One account's books, equity, loss limits, governor, order rate and results per symbol."""

    def __init__(self, symbols: Sequence[str], start_equity: float, recovery_after: int, policy_memory: Any) -> None:
        """*policy_memory* (MEM_SIZE,) is the compiled policy's, which saves it: the UTC day's peak is in it alone."""
        self.books = Books(start_equity, recovery_after)
        self.equity = start_equity  # USDT, unrealised profit included, at the newest prices known
        self.moved = 0.0  # USDT that moved without a trade since the books began, net; for reports
        self.losses: Any = np.array(empty_losses())
        self.governor: Any = np.array(empty_governor())
        self.policy_memory = policy_memory
        self.rate: Any = np.array(empty_rate())
        self.performance = SymbolPerformance(symbols)
        self._stage_row = np.zeros(stage.BOOK_SIZE)

    def mark(self, closes: Any) -> None:
        """Value the account at *closes* (S,)."""
        self.equity = self.books.equity(closes) if self.books.positions else self.books.cash

    def begin(self, wallet: float) -> None:
        """Begin with the *wallet* that is there; a peak noted before, at the equity of the settings, is none."""
        self.books.cash = self.equity = wallet
        self.governor[GOV_ROW_PEAK] = 0.0

    def follow(self, before: Any, closes: Any, since_ns: int) -> None:
        """Follow the account through a bar of the past, from the closes *before* (S,) at *since_ns* to *closes* (S,).

        What was held all that time moves with the prices. What came or went since, and a position that has grown since,
        is valued with the first bar of the present, when it is known to be there.
        """
        for position in self.books.positions.values():
            start, end = float(before[position.index]), float(closes[position.index])
            if position.complete_ns <= since_ns and start > 0.0 and end > 0.0:
                self.equity += realised_pnl(position.sign, start, position.qty, end)

    # ------------------------------------------------------------------ money that moved

    def move_money(self, amount: float) -> None:
        """Take *amount* USDT that moved without a trade into the equity and every equity that it is compared with."""
        equity, self.equity = self.equity, self.equity + amount
        self.moved += amount
        scale_losses(self.losses, equity, amount)
        scale_peak(self.governor, equity, amount)
        scale_memory(self.policy_memory, equity, amount)

    def remembered(self, equity: float) -> Remembered:
        """Every equity that losses and drawdowns are measured from now, at *equity* USDT."""
        return Remembered(
            equity=equity, losses=[float(self.losses[cell]) for cell in _LOSS_CELLS], peak=self.peak,
            day=float(self.policy_memory[MEM_DAY]), day_peak=float(self.policy_memory[MEM_PEAK]),
        )

    def money_moved_then(self, then: Remembered, amount: float, equity: float) -> Remembered:
        """Take in *amount* USDT that moved *then* and was taken for a result; *equity* is the account's now.

        Returns what was to be remembered then.

        What still is as it was then changes in proportion. What was noted since was noted with the money moved; only
        the peaks are at least those of then.
        """
        self.moved += amount
        moved = then.after(amount, then.equity)
        for cell, before, after in zip(_LOSS_CELLS, then.losses, moved.losses, strict=True):
            if self.losses[cell] == before:
                self.losses[cell] = after
        memory = self.policy_memory
        self.governor[GOV_ROW_PEAK] = _corrected_peak(self.peak, then.peak, moved.peak, equity)
        if memory[MEM_DAY] == then.day >= 0.0:
            memory[MEM_PEAK] = _corrected_peak(float(memory[MEM_PEAK]), then.day_peak, moved.day_peak, equity)
        return msgspec.structs.replace(moved, equity=then.equity + amount)

    # ------------------------------------------------------------------ limits

    def forget_losses(self) -> None:
        """Begin anew with every loss and drawdown that limits and governor judge."""
        self.losses[:], self.governor[:] = empty_losses(), empty_governor()

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
            "books": self.books.state(), "equity": self.equity, "moved": self.moved, "losses": self.losses,
            "governor": self.governor, "rate": self.rate, "performance": self.performance.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.books.load_state(state["books"])
        self.performance.load_state(state["performance"])
        self.equity = state["equity"]
        self.moved = state.get("moved", 0.0)
        for name in ("losses", "governor", "rate"):
            getattr(self, name)[...] = state[name]


def _corrected_peak(now: float, before: float, after: float, equity: float) -> float:
    """A peak that was *before* when money moved and ought to have become *after*; it is *now*, at *equity* USDT."""
    since = equity if now == before else now
    return max(after, since, 0.0)
