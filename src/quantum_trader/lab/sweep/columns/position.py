"""Columns of ``Desk.symbols`` (S, SIZE): a symbol's order on its way or position; VENUE_: as the venue has it."""

from __future__ import annotations

(
    STATE, SIGN, QTY, ENTRY, FIRST_STOP, STOP, TARGET, BEST, FEES, FUNDING, LEVERAGE, ATR, STOP_ATR, TARGET_ATR,
    BREAKEVEN_R, TRAIL_ATR, MAX_HOURS, EXIT_MODE, REASON, CLOSING, MARGIN, RESERVE, EQUITY, VENUE_QTY, VENUE_ENTRY,
    VENUE_MARGIN, VENUE_LIQUIDATION, VENUE_STOP, VENUE_TARGET, SIZE,
) = range(30)
