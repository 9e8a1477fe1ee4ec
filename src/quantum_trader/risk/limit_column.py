"""Columns of guard_core's limit row (SIZE,): floats in the units of their names."""

from __future__ import annotations

(
    RISK_PCT, NOTIONAL_PCT, NOTIONAL_USDT, LEVERAGE, LIQ_BUFFER_PCT, POSITIONS, EXPOSURE_PCT, DAILY_LOSS_PCT,
    ORDERS_HOUR, DATA_AGE_S, COST_R, SIZE,
) = range(12)
