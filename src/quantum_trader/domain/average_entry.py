"""The average entry price of a position that grows; shared by books, risk, the paper venue and the compiled sweep."""

from __future__ import annotations

from quantum_trader.domain.scalar import scalar


@scalar
def entry_after_fill(qty: float, entry: float, fill_qty: float, price: float) -> float:
    """Average entry price after adding *fill_qty* (> 0) at *price* to a position of *qty* at *entry*."""
    return (qty * entry + fill_qty * price) / (qty + fill_qty)
