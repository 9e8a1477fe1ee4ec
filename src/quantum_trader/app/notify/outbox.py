"""Messages on their way: to which targets each still has to go, when it is tried again, and what was told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from quantum_trader.app.notify.notices import NoticeMessage
from quantum_trader.app.notify.sender import Delivered
from quantum_trader.domain.clock import NS_PER_SECOND

GIVE_UP_S: Final = 86_400.0
KEPT: Final = 50  # messages that are over and still listed
REPEATED: Final = "(This may have reached you before: the program stopped while it was being sent.)\n"
_FIRST_WAIT_S: Final = 10.0
_MOST_WAIT_S: Final = 900.0


class Attempt(msgspec.Struct, kw_only=True):
    """Where a message stands with one target."""

    tries: int = 0
    next_ns: int = 0
    why: str = ""  # why the last try failed
    is_begun: bool = False  # it is being sent, or the program stopped meanwhile


class OutMessage(msgspec.Struct, kw_only=True):
    """One message, who is still to be told, who was told, and who could not be."""

    number: int
    made_ns: int
    message: NoticeMessage
    left: dict[str, Attempt]
    told_ns: dict[str, int] = {}
    given_up: dict[str, str] = {}  # target -> why


class OutboxState(msgspec.Struct, kw_only=True):
    """What an outbox has to remember over a restart."""

    last_number: int = 0
    messages: list[OutMessage] = []


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One message to bring to one target now."""

    number: int
    target: str
    message: NoticeMessage


class Outbox:
    """Sends each message to each of its targets once, and again until it got through or a day is over."""

    def __init__(self, state: OutboxState | None = None) -> None:
        self.state = state if state is not None else OutboxState()
        for one in self.state.messages:  # what was being sent when the program stopped may have arrived
            for attempt in one.left.values():
                if attempt.is_begun:
                    attempt.is_begun, attempt.why = False, REPEATED
                    one.message = msgspec.structs.replace(
                        one.message, text=one.message.text if one.message.text.startswith(REPEATED)
                        else REPEATED + one.message.text
                    )

    def add(self, message: NoticeMessage, targets: Iterable[str], now_ns: int) -> None:
        """Put *message* for *targets* into the box."""
        left = {name: Attempt(next_ns=now_ns) for name in targets}
        if left:
            self.state.last_number += 1
            self.state.messages.append(
                OutMessage(number=self.state.last_number, made_ns=now_ns, message=message, left=left)
            )

    def begin(self, now_ns: int, known: Iterable[str]) -> list[Errand]:
        """What is to be sent now, marked as begun; a target that is not among *known* any more is given up."""
        targets = frozenset(known)
        found = []
        for one in self.state.messages:
            for target in [name for name in one.left if name not in targets]:
                one.left.pop(target)
                one.given_up[target] = "the target is not in the settings any more"
            for target, attempt in one.left.items():
                if not attempt.is_begun and attempt.next_ns <= now_ns:
                    attempt.is_begun = True
                    found.append(Errand(number=one.number, target=target, message=one.message))
        self._forget()
        return found

    def ended(self, errand: Errand, delivered: Delivered, now_ns: int) -> None:
        """Take in what came of *errand*."""
        one = next(out for out in self.state.messages if out.number == errand.number)
        attempt = one.left[errand.target]
        attempt.is_begun, attempt.tries, attempt.why = False, attempt.tries + 1, delivered.why
        if delivered.ok:
            one.left.pop(errand.target)
            one.told_ns[errand.target] = now_ns
        elif now_ns - one.made_ns > GIVE_UP_S * NS_PER_SECOND:
            one.left.pop(errand.target)
            one.given_up[errand.target] = delivered.why
        else:
            wait_s = min(_FIRST_WAIT_S * 2.0 ** (attempt.tries - 1), _MOST_WAIT_S)
            attempt.next_ns = now_ns + int(wait_s * NS_PER_SECOND)
        self._forget()

    @property
    def waiting(self) -> int:
        """Messages that some target has not been told."""
        return len([one for one in self.state.messages if one.left])

    def _forget(self) -> None:
        over = [one for one in self.state.messages if not one.left]
        gone = {one.number for one in over[:-KEPT]}
        self.state.messages = [one for one in self.state.messages if one.number not in gone]
