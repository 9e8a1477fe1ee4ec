"""What a feed knows of a symbol beside its bars, ``feed[symbol, COLUMN]``; NaN where it does not know it."""

from __future__ import annotations

from typing import Final

SPREAD_BPS: Final = 0  # best ask less best bid, in basis points of the middle, at the bar's close
DEPTH_IMBALANCE: Final = 1  # (bid quantity - ask quantity) / both, of the levels that the feed shows, -1 to 1
ORDER_FLOW_IMBALANCE: Final = 2  # (bought - sold) / both, of the bar's takers, -1 to 1
FUNDING_8H: Final = 3  # the rate of the last payment, per 8 hours, a fraction
HOURS_TO_FUNDING: Final = 4  # hours from the bar's close to the first payment after it
FEED_SIZE: Final = 5
