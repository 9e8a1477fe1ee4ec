"""Places of ``Desk.money`` (SIZE,): sums in USDT; DRAWDOWN is a fraction of PEAK, 0 or negative.

LOST_R counts the losses in a row, in R where results are weighted by risk. SHADOW_WON and SHADOW_LOST are the R that
shadow trades of all signals have won and lost.
"""

from __future__ import annotations

CASH, VENUE_CASH, EQUITY, FEES, FUNDING, PEAK, DRAWDOWN, LOST_R, SHADOW_WON, SHADOW_LOST, SIZE = range(11)
