"""Columns of guard_core's intent row (SIZE,): floats, flags 0.0 or 1.0; prices in USDT, the age in seconds."""

from __future__ import annotations

(
    SIGN, QTY, PRICE, STOP, LEVERAGE, STEP, MIN_QTY, MIN_NOTIONAL, COST_R, DATA_AGE_S, EXPIRED, SYMBOL_OK, NEW_POSITION,
    HELD_QTY, HELD_ENTRY, SIZE,
) = range(16)  # SYMBOL_OK: 1 allowed, 0 not allowed, 2 halted; HELD_: of the position that the intent adds to
