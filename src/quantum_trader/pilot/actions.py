"""The six actions of the pilot: one table for training and for live trading.

FLAT closes the position, HOLD leaves it as it is, the other four ask for a position of a stated share of the equity.
"""

from __future__ import annotations

import enum
from typing import Final


class PilotAction(enum.IntEnum):
    """What the pilot chooses at the close of a bar; the number is the place of its output in the network."""

    FLAT = 0
    LONG_SMALL = 1
    LONG_LARGE = 2
    SHORT_SMALL = 3
    SHORT_LARGE = 4
    HOLD = 5


SMALL_SHARE: Final = 0.10
LARGE_SHARE: Final = 0.20
# the position of each action but HOLD, a signed share of the equity, in the order of their numbers
TARGET_SHARES: Final = (0.0, SMALL_SHARE, LARGE_SHARE, -SMALL_SHARE, -LARGE_SHARE)
