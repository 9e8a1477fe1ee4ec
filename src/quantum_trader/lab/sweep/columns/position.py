"""Columns of ``Desk.symbols`` (S, SIZE): a symbol's order on its way or position; VENUE_: as the venue has it.

BY_SCORE is not 0.0 where a position is left when its model's score no longer wants it: HELD_BY_SCORE while it does.
PEAK_QTY is the largest quantity held; REALISED, CLOSED_VALUE and CLOSED_QTY are of the parts closed so far.
VOLATILITY_PCT is the target that it was sized for (0.0: by its risk alone), PERMITTED the USDT that weight its result
(0.0: its own risk). STOP_QTY and TARGET_QTY are the quantities of the orders that rest. ADD_: an addition on its way,
ADDED is 1.0 once it has filled and is not protected yet; REDUCE_QTY: a reduction on its way. LIMIT is the price at
which an entry rests post-only (0.0: at market), CONFIDENCE its own, REST what becomes of it after the moment (REST_*).
"""

from __future__ import annotations

(
    STATE, SIGN, QTY, ENTRY, FIRST_STOP, STOP, TARGET, BEST, FEES, FUNDING, LEVERAGE, ATR, STOP_ATR, TARGET_ATR,
    BREAKEVEN_R, TRAIL_ATR, MAX_HOURS, EXIT_MODE, REASON, CLOSING, MARGIN, RESERVE, EQUITY, VENUE_QTY, VENUE_ENTRY,
    VENUE_MARGIN, VENUE_LIQUIDATION, VENUE_STOP, VENUE_TARGET, BY_SCORE, PEAK_QTY, REALISED, CLOSED_VALUE, CLOSED_QTY,
    VOLATILITY_PCT, STOP_QTY, TARGET_QTY, ADD_QTY, ADD_STOP, ADD_VOLATILITY_PCT, ADDED, REDUCE_QTY, PERMITTED,
    LIMIT, CONFIDENCE, REST, SIZE,
) = range(47)
