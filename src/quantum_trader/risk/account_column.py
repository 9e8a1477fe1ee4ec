"""Columns of guard_core's account row (SIZE,): floats, flags 0.0 or 1.0; money in USDT, changes in percent."""

from __future__ import annotations

(
    KILL, CONNECTED, GOVERNOR, POLICY_OK, EQUITY, USED_MARGIN, POSITIONS, ROLLING_PNL, MIDNIGHT_PNL, LOSS_LATCHED,
    ORDERS_HOUR, SIZE,
) = range(12)
