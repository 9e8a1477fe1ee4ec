"""The pilot's six actions as positions: places in one short list, so that arrays can hold them."""

from __future__ import annotations

from typing import Final

from quantum_trader.pilot.actions import ACTIONS, LARGE, PilotAction

LARGEST_SHARE: Final = LARGE  # of the equity
# the position of each action but HOLD, a signed share of the equity, in the order of the actions
TARGET_SHARES: Final = tuple(row.sign * row.share for row in ACTIONS if row.action is not PilotAction.HOLD)
PLACE_OF: Final = {row.action: place for place, row in enumerate(ACTIONS)}  # also the place of a network's output
HOLD_PLACE: Final = PLACE_OF[PilotAction.HOLD]  # the last, so that the other places are those of TARGET_SHARES
