"""Codes of guard_core's refusals: the place of each reason in ``guard.REASON_CODES``; OK approves. Append only."""

from __future__ import annotations

(
    OK, KILL, DISCONNECTED, GOVERNOR, SYMBOL, HALTED, POLICY, EXPIRED, NOT_FINITE, INVALID, NO_STOP, RISK, NOTIONAL,
    LEVERAGE, LIQUIDATION, POSITIONS, EXPOSURE, DAILY_LOSS, RATE, STALE, COST, MINIMUM,
) = range(22)
