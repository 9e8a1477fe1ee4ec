"""How long something may be wrong: derived from what the driver promises, counted from the end of what struck.

In calm weather a fill, its stop and the stop's answer take a few journeys over the wire, and that is all they may take.
After a fault it depends on what struck: a request whose outcome is unknown has to be asked for, a message that was lost
shows at the next look at the account, a refusal at the next tick that attends to it. No bound is longer than the rule
of the driver that ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from quantum_trader.live.timing import LiveTiming

NEVER_S: Final = -1e9
_JOURNEYS: Final = 12  # a fill is told, a stop goes out behind one that is on its way, twice, and some to spare
_DOUBLING: Final = 2.0  # a wait that doubles ends at most so many times later than what it waits for


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long each way of finding out takes at most. Seconds."""

    told_s: float  # nothing strikes: messages and answers arrive
    attended_s: float  # the venue refused, or somebody meddled: the next tick that looks after positions
    settled_s: float  # a request was struck: its timeout, then the question what became of it
    found_s: float  # a message was struck: the next look at the account
    started_s: float  # a start: orders in doubt are asked for
    read_back_s: float  # a leverage that was changed unheard: it is read back
    decided_s: float  # a bar is complete: it is decided on, told or fetched

    @classmethod
    def of(cls, timing: LiveTiming, receive_window_s: float, latency_s: float, patience_s: float) -> Bounds:
        """Derive them. *latency_s*: of one way over the wire; *patience_s*: until a connection gives a request up."""
        told = _JOURNEYS * latency_s
        attended = timing.attention_s + timing.tick_s + told
        asked = receive_window_s + timing.backoff_most_s + told
        decided = timing.bar_wait_s + timing.silence_s + 2.0 * timing.tick_s + told
        return cls(
            told_s=told,
            attended_s=attended,
            settled_s=timing.request_timeout_s + asked,
            found_s=timing.reconcile_s + timing.look_again_s + timing.backoff_s + _DOUBLING * told,
            started_s=asked + attended,
            read_back_s=timing.leverage_s + told,
            decided_s=decided + patience_s + timing.backoff_most_s,
        )


class Weather:
    """What struck when, by what it does to the trader's knowledge. All times are seconds of the day."""

    def __init__(self, patience_s: float = 0.0) -> None:
        """*patience_s*: until a connection gives a request up."""
        self._patience_s = patience_s
        self.is_ready: Callable[[], bool] = lambda: True  # whether the trader that lives has come through its start
        self.requests_s = NEVER_S  # until when requests fared badly
        self.streams_s = {"user": NEVER_S, "market": NEVER_S}  # until when something that was told may not arrive
        self.down_s = {"user": NEVER_S, "market": NEVER_S}  # until when a stream is known to be down
        self.bars_s = NEVER_S  # until when bars could not be had by asking
        self.refused_s: dict[str, float] = {}  # symbol -> until when the venue refused
        self.people_s: dict[str, float] = {}  # symbol -> when somebody else last did something to it
        self.began_s = NEVER_S  # when the trader that lives was started
        self.last_s = NEVER_S  # the end of whatever struck last

    def struck(self, until_s: float) -> None:
        """Something struck, whatever it was."""
        self.last_s = max(self.last_s, until_s)

    def request(self, until_s: float) -> None:
        """Requests fare badly until then; a start that this strikes has to wait for it."""
        if not self.is_ready():
            self.began_s = max(self.began_s, until_s + self._patience_s)
        self.requests_s = max(self.requests_s, until_s)
        self.struck(until_s)

    def message(self, stream: str, until_s: float) -> None:
        """What *stream* tells until then may arrive late, in another order, or never."""
        self.streams_s[stream] = max(self.streams_s[stream], until_s)
        self.struck(until_s)

    def down(self, stream: str, until_s: float) -> None:
        """*stream* is down until then, and both sides know."""
        self.down_s[stream] = max(self.down_s[stream], until_s)
        self.message(stream, until_s)

    def refused(self, symbol: str, until_s: float) -> None:
        """The venue takes no order, or not this one, for *symbol* until then."""
        self.refused_s[symbol] = max(self.refused_s.get(symbol, NEVER_S), until_s)
        self.struck(until_s)

    def people(self, symbol: str, now_s: float) -> None:
        """Somebody else did something to *symbol* now; what it calls for is seen to at a tick."""
        self.people_s[symbol] = now_s
        self.struck(now_s)

    def begins(self, now_s: float) -> None:
        """A trader was started. It looks after what it holds whether its account's stream is there or not."""
        self.began_s = now_s
        self.struck(self.began_s)

    def is_calm(self, now_s: float, for_s: float) -> bool:
        """Whether nothing has struck for so long."""
        return now_s - self.last_s > for_s

    def knows(self, now_s: float, bounds: Bounds) -> bool:
        """Whether nothing has stood between trader and account for so long that the trader must know all of it."""
        latest = max((
            self.requests_s, self.streams_s["user"], self.began_s, *self.refused_s.values(), *self.people_s.values(),
        ))
        return now_s - latest > bounds.found_s

    def deadline(
        self, since_s: float, bounds: Bounds, symbol: str = "", *, by_look: bool = False, wrong_s: float = NEVER_S
    ) -> tuple[float, str]:
        """When what is wrong with the account, and moved last at *since_s*, must be right, and why then.

        *by_look*: only a look at the account can tell, whether a stream was struck or not. *wrong_s*: when it came to
        be wrong, if that was before; a message struck since then may be what is missing.
        """
        attended = max(self.refused_s.get(symbol, NEVER_S), self.people_s.get(symbol, NEVER_S))
        candidates = [
            (since_s + bounds.told_s, "told"),
            (self.requests_s + bounds.settled_s, "settled"),
            (self.began_s + bounds.started_s, "started"),
            (attended + bounds.attended_s, "attended"),
        ]
        if by_look or self.streams_s["user"] >= (since_s if wrong_s == NEVER_S else wrong_s):
            in_doubt = self.requests_s + bounds.settled_s  # until then a look leaves the order's symbol out
            latest = max(since_s, in_doubt, self.began_s, attended)
            candidates.append((latest + bounds.found_s, "found"))
        return max(candidates)
