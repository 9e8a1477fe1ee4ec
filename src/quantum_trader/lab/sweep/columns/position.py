"""Columns of ``Desk.symbols`` (S, SIZE): a symbol's order on its way or position; VENUE_: as the venue has it.

BY_SCORE is not 0.0 where a position is left when its model's score no longer wants it: HELD_BY_SCORE while it does.
"""

from __future__ import annotations

(
    STATE, SIGN, QTY, ENTRY, FIRST_STOP, STOP, TARGET, BEST, FEES, FUNDING, LEVERAGE, ATR, STOP_ATR, TARGET_ATR,
    BREAKEVEN_R, TRAIL_ATR, MAX_HOURS, EXIT_MODE, REASON, CLOSING, MARGIN, RESERVE, EQUITY, VENUE_QTY, VENUE_ENTRY,
    VENUE_MARGIN, VENUE_LIQUIDATION, VENUE_STOP, VENUE_TARGET, BY_SCORE, SIZE,
) = range(31)
