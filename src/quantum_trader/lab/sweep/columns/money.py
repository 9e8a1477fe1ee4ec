"""Places of ``Desk.money`` (SIZE,): sums in USDT; DRAWDOWN is a fraction of PEAK, 0 or negative."""

from __future__ import annotations

CASH, VENUE_CASH, EQUITY, FEES, FUNDING, PEAK, DRAWDOWN, SIZE = range(8)
