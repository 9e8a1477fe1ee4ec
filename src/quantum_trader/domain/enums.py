"""The enums, and the integer codes that compiled kernels use for them.

A kernel uses the integer code; files, events and reports use the enum's string value. The code of a member is its
position in its ``CODES`` tuple, so there is one mapping.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Trend(str, Enum):
    """Whether a market is trending (ADX), from hourly bars."""

    UNKNOWN = "UNKNOWN"
    TRENDING = "TRENDING"
    RANGING = "RANGING"


class Direction(str, Enum):
    """Which way a trend points."""

    UP = "UP"
    DOWN = "DOWN"


class VolLevel(str, Enum):
    """ATR(14) over price of 4-hour bars against the profile's thresholds."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    EXTREME = "EXTREME"
    UNKNOWN = "UNKNOWN"


class RiskProfile(str, Enum):
    """How much risk the policy permits."""

    NORMAL = "NORMAL"
    REDUCED = "REDUCED"
    NO_NEW_TRADES = "NO_NEW_TRADES"


class EntryMode(str, Enum):
    """How entries are taken; DEFENSIVE is the safest."""

    NORMAL = "NORMAL"
    DEFENSIVE = "DEFENSIVE"
    AGGRESSIVE = "AGGRESSIVE"


class ExitMode(str, Enum):
    """How exits are managed; FAST_TP is the safest."""

    TREND_FOLLOW = "TREND_FOLLOW"
    FAST_TP = "FAST_TP"
    DEFENSIVE_TRAIL = "DEFENSIVE_TRAIL"


class PerformanceTag(str, Enum):
    """Rating of a symbol by the results of its own trades."""

    GOOD = "GOOD"
    NEUTRAL = "NEUTRAL"
    BAD = "BAD"


class Level(str, Enum):
    """A cost or liquidity level."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


class OrchestratorMode(str, Enum):
    """Whether the policy only observes or is enforced (by switch)."""

    OBSERVE = "OBSERVE"
    LIVE = "LIVE"


class PilotMode(str, Enum):
    """What the reinforcement-learning pilot does: nothing, record its decisions, or trade on them."""

    OFF = "OFF"
    SHADOW = "SHADOW"  # decisions are recorded and never traded
    PRIMARY = "PRIMARY"  # the pilot's decisions are traded
    HYBRID = "HYBRID"  # the pilot's and the signals' decisions are traded, the more confident one of each moment

    @property
    def predicts(self) -> bool:
        """Whether decisions are made and recorded."""
        return self is not PilotMode.OFF

    @property
    def trades(self) -> bool:
        """Whether decisions pass the guard and become intents."""
        return self in (PilotMode.PRIMARY, PilotMode.HYBRID)


class Side(str, Enum):
    """Side of a position or of the position an intent wants."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """+1 for LONG, -1 for SHORT."""
        return 1 if self is Side.LONG else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SHORT if self is Side.LONG else Side.LONG


class OrderSide(str, Enum):
    """Direction of an order."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(str, Enum):
    """The order types every venue adapter must support."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"  # post-only: it rests at the best price of its own side and never takes
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"


class OrderStatus(str, Enum):
    """State of an order at a venue."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"


class GovernorLevel(str, Enum):
    """The safety governor's levels, mildest first."""

    NORMAL = "NORMAL"
    CAUTIOUS = "CAUTIOUS"
    DEFENSIVE = "DEFENSIVE"
    EMERGENCY = "EMERGENCY"


class ExitReason(str, Enum):
    """Why a position was closed."""

    STOP = "STOP"
    TRAILING_STOP = "TRAILING_STOP"
    TAKE_PROFIT = "TAKE_PROFIT"
    TIMEOUT = "TIMEOUT"
    SIGNAL_FLIP = "SIGNAL_FLIP"
    LIQUIDATION = "LIQUIDATION"
    DATA_HOLE = "DATA_HOLE"
    UNPROTECTED = "UNPROTECTED"
    FLATTEN = "FLATTEN"
    EXTERNAL = "EXTERNAL"  # closed at the venue by an order that this bot did not send
    INTENT = "INTENT"  # closed by a reducing intent from outside the signals
    SCORE = "SCORE"  # the model's score no longer wants the position: 0, NaN or of the other sign


# The position of a member is its code in every kernel. Append only: saved states hold these numbers.
TREND_CODES: Final = (Trend.UNKNOWN, Trend.TRENDING, Trend.RANGING)
DIRECTION_CODES: Final[tuple[Direction | None, ...]] = (None, Direction.UP, Direction.DOWN)
VOL_CODES: Final = (VolLevel.LOW, VolLevel.NORMAL, VolLevel.HIGH, VolLevel.EXTREME, VolLevel.UNKNOWN)
RISK_PROFILE_CODES: Final = (RiskProfile.NORMAL, RiskProfile.REDUCED, RiskProfile.NO_NEW_TRADES)
ENTRY_CODES: Final = (EntryMode.AGGRESSIVE, EntryMode.NORMAL, EntryMode.DEFENSIVE)  # ascending safety
EXIT_CODES: Final = (ExitMode.TREND_FOLLOW, ExitMode.DEFENSIVE_TRAIL, ExitMode.FAST_TP)  # ascending safety
TAG_CODES: Final = (PerformanceTag.GOOD, PerformanceTag.NEUTRAL, PerformanceTag.BAD)
LEVEL_CODES: Final = (Level.LOW, Level.NORMAL, Level.HIGH)
GOVERNOR_CODES: Final = (GovernorLevel.NORMAL, GovernorLevel.CAUTIOUS, GovernorLevel.DEFENSIVE, GovernorLevel.EMERGENCY)

TREND_UNKNOWN, TREND_TRENDING, TREND_RANGING = 0, 1, 2
DIR_NONE, DIR_UP, DIR_DOWN = 0, 1, 2
VOL_LOW, VOL_NORMAL, VOL_HIGH, VOL_EXTREME, VOL_UNKNOWN = 0, 1, 2, 3, 4
RISK_NORMAL, RISK_REDUCED, RISK_NONE = 0, 1, 2
ENTRY_AGGRESSIVE, ENTRY_NORMAL, ENTRY_DEFENSIVE = 0, 1, 2
EXIT_TREND_FOLLOW, EXIT_DEFENSIVE_TRAIL, EXIT_FAST_TP = 0, 1, 2
TAG_GOOD, TAG_NEUTRAL, TAG_BAD = 0, 1, 2
LEVEL_LOW, LEVEL_NORMAL, LEVEL_HIGH = 0, 1, 2
GOV_NORMAL, GOV_CAUTIOUS, GOV_DEFENSIVE, GOV_EMERGENCY = 0, 1, 2, 3
