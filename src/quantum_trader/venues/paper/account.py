"""The paper venue's account: a wallet and one isolated position a symbol, moved by fills and funding alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.instrument import Instrument, round_to, tier_rows
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine.accounting import realised_pnl
from quantum_trader.venues.paper.fills import initial_margin, position_liquidation_price


class Holding:
    """One symbol's position: signed quantity, average entry, locked margin, liquidation price (0.0: none)."""

    __slots__ = ("entry", "liquidation", "margin", "qty")

    def __init__(self, qty: float = 0.0, entry: float = 0.0, margin: float = 0.0, liquidation: float = 0.0) -> None:
        self.qty = qty
        self.entry = entry
        self.margin = margin
        self.liquidation = liquidation

    @property
    def sign(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.qty > 0.0) - (self.qty < 0.0)

    def opening_qty(self, side_sign: int, qty: float) -> float:
        """Return how much of an order of *qty* opens or adds; the rest closes."""
        return max(0.0, qty - abs(self.qty)) if side_sign * self.qty < 0.0 else qty


class PaperAccount:
    """Wallet and holdings. The wallet includes the margins, which are only locked."""

    def __init__(self, cash: float, instruments: Sequence[Instrument]) -> None:
        self.cash = cash
        self.holdings = [Holding() for _ in instruments]
        self.tiers = [tier_rows(instrument) for instrument in instruments]
        self._steps = [instrument.step_size for instrument in instruments]

    def apply(self, index: int, side_sign: int, qty: float, price: float, fee: float, leverage: float) -> float:
        """Book a fill and return its realised profit before fees; crossing zero closes first, then opens the rest."""
        holding, step = self.holdings[index], self._steps[index]
        opening = holding.opening_qty(side_sign, qty)
        closing = qty - opening
        pnl = 0.0
        if closing > 0.0:
            held = abs(holding.qty)
            pnl = realised_pnl(holding.sign, holding.entry, closing, price)
            left = round_to(held - closing, step)
            holding.margin *= left / held
            holding.qty = holding.sign * left
        if opening > 0.0:
            held = abs(holding.qty)
            holding.entry = entry_after_fill(held, holding.entry, opening, price)
            holding.margin += initial_margin(opening, price, leverage)
            holding.qty = side_sign * round_to(held + opening, step)
        if holding.qty == 0.0:
            holding.qty = holding.entry = holding.margin = holding.liquidation = 0.0
        else:
            holding.liquidation = position_liquidation_price(
                holding.sign, abs(holding.qty), holding.entry, holding.margin, self.tiers[index]
            )
        self.cash += pnl - fee
        return pnl

    def move_margin(self, index: int, amount: float) -> None:
        """Add *amount* (USDT, negative takes away) to a position's margin; its liquidation price follows."""
        holding = self.holdings[index]
        holding.margin += amount
        holding.liquidation = position_liquidation_price(
            holding.sign, abs(holding.qty), holding.entry, holding.margin, self.tiers[index]
        )

    def margin_used(self) -> float:
        """Isolated margins of all positions, in USDT."""
        return ordered_sum(holding.margin for holding in self.holdings)

    def state(self) -> dict[str, Any]:
        """Wallet and holdings as plain values."""
        return {"cash": self.cash, "holdings": [[h.qty, h.entry, h.margin, h.liquidation] for h in self.holdings]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.cash = float(state["cash"])
        self.holdings = [Holding(*(float(value) for value in row)) for row in state["holdings"]]
