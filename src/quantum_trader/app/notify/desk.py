"""Turns notices into messages: those of a kind within a window become one, a key has a cool-down, nights are quiet.

Nothing that was taken is lost: what comes in a cool-down or at night waits, and is told together when that is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from quantum_trader.app.notify.notices import TITLES, URGENT, Notice, NoticeKind, NoticeLevel, NoticeMessage
from quantum_trader.app.notify.settings import NotifySettings, zone_of
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns
from quantum_trader.domain.errors import escaped

MOST_WAITING: Final = 1_000  # notices of one kind that wait; further ones are counted
MOST_LINES: Final = 20  # of a message; further notices are counted
_MOST_CHARACTERS: Final = 400  # of one notice
_RANK: Final = (NoticeLevel.INFO, NoticeLevel.WARNING, NoticeLevel.CRITICAL)
_KEPT_NS: Final = 8 * 86_400 * NS_PER_SECOND  # longer than the longest cool-down


class DeskState(msgspec.Struct, kw_only=True):
    """What a desk has to remember over a restart."""

    waiting: list[Notice] = []
    more: dict[NoticeKind, int] = {}  # taken beyond MOST_WAITING
    told_ns: dict[str, int] = {}  # kind and key -> time of the last message about it


class NoticeDesk:
    """Takes notices, gives messages. It reads no clock."""

    def __init__(self, settings: NotifySettings, label: str, state: DeskState | None = None) -> None:
        """*label* stands in each title."""
        self.state = state if state is not None else DeskState()
        self._settings, self._label = settings, label
        self._zone = zone_of(settings.timezone)

    def take(self, notices: Iterable[Notice], now_ns: int) -> None:
        """Take *notices*, seen at *now_ns*; those of a kind that is not enabled are passed over."""
        for notice in notices:
            if not self._settings.is_enabled(notice.kind):
                continue
            if sum(one.kind is notice.kind for one in self.state.waiting) >= MOST_WAITING:
                self.state.more[notice.kind] = self.state.more.get(notice.kind, 0) + 1
            else:
                self.state.waiting.append(msgspec.structs.replace(notice, seen_ns=now_ns))

    def due(self, now_ns: int) -> list[NoticeMessage]:
        """The messages to send at *now_ns*; their notices wait no longer."""
        quiet = self.is_quiet(now_ns)
        found = [
            self._message(kind, ready, now_ns) for kind in NoticeKind
            if (kind in URGENT or not quiet) and (ready := self._ready(kind, now_ns))
        ]
        self.state.told_ns = {key: at for key, at in self.state.told_ns.items() if now_ns - at < _KEPT_NS}
        return found

    def is_quiet(self, now_ns: int) -> bool:
        """Whether *now_ns* lies in the quiet hours."""
        span = self._settings.quiet_span
        if span is None:
            return False
        now = datetime.fromtimestamp(now_ns / NS_PER_SECOND, UTC).astimezone(self._zone).time()
        start, end = span
        return start <= now < end if start <= end else now >= start or now < end

    def _ready(self, kind: NoticeKind, now_ns: int) -> list[Notice]:
        """What is told of *kind* now: all whose cool-down is over, when the first of them has waited for the window."""
        cooldown_ns = int(self._settings.cooldown_s(kind) * NS_PER_SECOND)
        ready = [
            one for one in self.state.waiting
            if one.kind is kind and not 0 <= now_ns - self.state.told_ns.get(_key(one), -cooldown_ns) < cooldown_ns
        ]
        waited_ns = now_ns - min((one.seen_ns for one in ready), default=now_ns)
        is_over = waited_ns >= self._settings.window_s(kind) * NS_PER_SECOND or waited_ns < 0  # a clock set back
        return ready if is_over else []

    def _message(self, kind: NoticeKind, ready: list[Notice], now_ns: int) -> NoticeMessage:
        told = set(map(id, ready))
        self.state.waiting = [one for one in self.state.waiting if id(one) not in told]
        self.state.told_ns |= {_key(one): now_ns for one in ready}
        number = len(ready) + self.state.more.pop(kind, 0)
        one, several = TITLES[kind]
        lines = [_line(notice) for notice in ready[:MOST_LINES]]
        if number > len(lines):
            lines.append(f"and {number - len(lines):,} more")
        what = one if number == 1 else several if one == several else f"{number:,} {several}"
        return NoticeMessage(
            kind=kind, title=f"{self._label}: {what}",
            text="\n".join(lines), level=max((notice.level for notice in ready), key=_RANK.index),
        )


def _key(notice: Notice) -> str:
    return f"{notice.kind.value} {notice.key}"


def _line(notice: Notice) -> str:
    """One line: a reason that a person or a venue has written must not look like a notice of its own."""
    text = notice.text if len(notice.text) <= _MOST_CHARACTERS else f"{notice.text[:_MOST_CHARACTERS]}…"
    shown = escaped(text)
    return f"{from_ns(notice.ts_ns):%Y-%m-%d %H:%M:%S} UTC  {shown}" if notice.ts_ns else shown
