"""Codes of exit reasons: the place of each in REASONS; NONE is for a position that nothing ends."""

from __future__ import annotations

from typing import Final

from quantum_trader.domain.enums import ExitReason

NONE: Final = -1.0
REASONS: Final = tuple(ExitReason)
(
    STOP, TRAILING_STOP, TAKE_PROFIT, TIMEOUT, SIGNAL_FLIP, LIQUIDATION, DATA_HOLE, UNPROTECTED, FLATTEN, EXTERNAL,
    INTENT, SCORE,
) = range(len(REASONS))
