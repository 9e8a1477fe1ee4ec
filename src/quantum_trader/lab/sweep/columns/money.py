"""Places of ``Desk.money`` (SIZE,): sums in USDT; DRAWDOWN is a fraction of PEAK, 0 or negative.

LOST_R counts the losses in a row, in R where results are weighted by risk.
"""

from __future__ import annotations

CASH, VENUE_CASH, EQUITY, FEES, FUNDING, PEAK, DRAWDOWN, LOST_R, SIZE = range(9)
