"""The arithmetic of books: fills and marks as scalars, shared with the compiled sweep."""

from __future__ import annotations

from quantum_trader.domain.scalar import scalar


@scalar
def realised_pnl(sign: int, entry: float, qty: float, price: float) -> float:
    """Profit, before fees, of closing *qty* of a position of *sign* opened at *entry*."""
    return sign * qty * (price - entry)


@scalar
def percent_of(part: float, whole: float) -> float:
    """*part* as percent of *whole*; infinite when the whole is not positive."""
    return part / whole * 100.0 if whole > 0.0 else float("inf")


@scalar
def net_pnl(realised: float, fees: float, funding: float) -> float:
    """Profit of a round trip in USDT, net of *fees* (positive is paid) and *funding* (positive is received)."""
    return realised - fees + funding


@scalar
def weighted_r(pnl: float, r: float, permitted: float) -> float:
    """R of a trade as records and limits count it: over the *permitted* risk (USDT) of a position held by the score.

    *permitted* 0.0: the position was sized by its stop, and its own *r* counts.
    """
    return pnl / permitted if permitted > 0.0 else r


@scalar
def counted_loss(pnl: float, permitted: float) -> float:
    """What a trade without a profit adds to the losses in a row: its loss over its *permitted* risk (USDT).

    *permitted* 0.0: the position was sized by its stop, and adds 1.0.
    """
    return max(0.0, -pnl / permitted) if permitted > 0.0 else 1.0


@scalar
def risk_amount(sign: int, entry: float, first_stop: float, stop_atr: float, atr: float, qty: float) -> float:
    """USDT between *entry* and the first stop; the planned stop where none could be placed (0.0)."""
    stop = first_stop if first_stop != 0.0 else entry - sign * stop_atr * atr
    return abs(entry - stop) * qty


@scalar
def broken_by_command(losing: int, broken: int, wins: int) -> tuple[int, int, int]:
    """The (losing, broken, wins_since) streak after a person ended it, not a win."""
    if losing == 0:
        return 0, broken, wins
    return 0, max(losing, broken), 0
