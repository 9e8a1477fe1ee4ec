"""What there is to tell: notices of nine kinds, and the messages that they are told in."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class NoticeKind(StrEnum):
    """What a notice is about."""

    HALT = "halt"
    STOPPED = "stopped"
    FILL = "fill"
    TRADE = "trade"
    DRAWDOWN = "drawdown"
    PROMOTION = "promotion"
    INSIGHT = "insight"
    ALERT = "alert"
    TEST = "test"


class NoticeLevel(StrEnum):
    """How much it wants a person."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


TITLES: Final = {  # kind -> what one of them is called, and several
    NoticeKind.HALT: ("halt", "halts"), NoticeKind.STOPPED: ("stopped with open trades", "stopped with open trades"),
    NoticeKind.FILL: ("fill", "fills"), NoticeKind.TRADE: ("trade ended", "trades ended"),
    NoticeKind.DRAWDOWN: ("drawdown", "drawdown"), NoticeKind.PROMOTION: ("promotion", "promotions"),
    NoticeKind.INSIGHT: ("insight", "insights"), NoticeKind.ALERT: ("alarm", "alarms"),
    NoticeKind.TEST: ("test", "test"),
}
URGENT: Final = frozenset({NoticeKind.HALT, NoticeKind.STOPPED, NoticeKind.TEST})  # told in quiet hours too
MEANINGS: Final = {
    NoticeKind.HALT: "a halt was raised or cleared", NoticeKind.FILL: "an order was filled",
    NoticeKind.STOPPED: "the process ended, died or hangs while positions are open",
    NoticeKind.TRADE: "a round trip has ended", NoticeKind.DRAWDOWN: "the drawdown reached a step",
    NoticeKind.PROMOTION: "a model took over or was refused, the rollout or the pilot's mode changed",
    NoticeKind.INSIGHT: "the insight of a finished day", NoticeKind.ALERT: "a figure broke a rule of the catalogue",
}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell. *key* is what its cool-down counts by: a symbol, a halt's kind, a metric."""

    kind: NoticeKind
    key: str
    text: str
    level: NoticeLevel = NoticeLevel.INFO
    ts_ns: int = 0  # when it happened; market time in a replay
    seen_ns: int = 0  # when it was read, by the clock


class NoticeMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Notices of one kind in one message."""

    kind: NoticeKind
    title: str
    text: str
    level: NoticeLevel
