"""The six actions of the pilot: one table for training, for the network's outputs, and for live decisions."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec


class PilotAction(str, Enum):
    """What the pilot may do with one symbol at the close of an observed bar."""

    FLAT = "FLAT"
    LONG_SMALL = "LONG_SMALL"
    LONG_LARGE = "LONG_LARGE"
    SHORT_SMALL = "SHORT_SMALL"
    SHORT_LARGE = "SHORT_LARGE"
    HOLD = "HOLD"


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One action: the direction that it wants and how large."""

    action: PilotAction
    sign: int  # +1 long, -1 short, 0 none
    share: float  # of the equity, as notional, before the limits of policy and guard clip it
    does: str


SMALL: Final = 0.10
LARGE: Final = 0.20
ACTIONS: Final[tuple[ActionRow, ...]] = (
    ActionRow(action=PilotAction.FLAT, sign=0, share=0.0, does="close an open position; nothing without one"),
    ActionRow(action=PilotAction.LONG_SMALL, sign=1, share=SMALL, does="be long by a tenth of the equity"),
    ActionRow(action=PilotAction.LONG_LARGE, sign=1, share=LARGE, does="be long by a fifth of the equity"),
    ActionRow(action=PilotAction.SHORT_SMALL, sign=-1, share=SMALL, does="be short by a tenth of the equity"),
    ActionRow(action=PilotAction.SHORT_LARGE, sign=-1, share=LARGE, does="be short by a fifth of the equity"),
    ActionRow(action=PilotAction.HOLD, sign=0, share=0.0, does="leave everything as it is"),
)
"""In the order of the network's outputs. A position on the other side is closed before one is opened."""
ACTION_COUNT: Final = len(ACTIONS)
