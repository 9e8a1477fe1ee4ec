"""How long trader and account may disagree: derived from the driver's settings, counted from the end of each fault.

While no fault strikes, a fill, its stop and the stop's answer take a few trips over the wire, and no longer. After a
fault the limit depends on its kind: the driver queries a request whose outcome is unknown, finds a lost message at
the next reconciliation, and repeats a refused order at a tick. No limit is longer than the driver's rule that ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from quantum_trader.live.timing import LiveTiming

NEVER_S: Final = -1e9
_TRIPS: Final = 12  # over the wire: a fill's message, a stop behind one that is on its way, twice, and a margin
_DOUBLING: Final = 2.0  # a wait that doubles each time ends at most so many times late


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The longest time, in seconds, until the driver has noticed and mended each kind of difference."""

    told_s: float  # no fault: messages and answers arrive
    attended_s: float  # the venue refused, or a person interfered: the next tick that maintains positions
    settled_s: float  # a request failed: its timeout, then the query of its outcome
    found_s: float  # a message was lost or late: the next reconciliation
    started_s: float  # a start: orders of unknown outcome are queried
    read_back_s: float  # a leverage changed without a message: it is read back
    decided_s: float  # a bar is complete: the engine decides on it, whether the stream delivers it or it is fetched

    @classmethod
    def of(cls, timing: LiveTiming, receive_window_s: float, latency_s: float, patience_s: float) -> Bounds:
        """Derive them. *latency_s*: of one trip over the wire; *patience_s*: a connection's longest timeout."""
        told = _TRIPS * latency_s
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


class Disruptions:
    """When faults last kept the trader from knowing or changing its account. All times are seconds of the day."""

    def __init__(self, patience_s: float = 0.0) -> None:
        """*patience_s*: a connection's longest timeout."""
        self._patience_s = patience_s
        self.is_ready: Callable[[], bool] = lambda: True  # whether the running trader has finished its start
        self.requests_s = NEVER_S  # until when requests failed
        self.streams_s = {"user": NEVER_S, "market": NEVER_S}  # until when messages may be lost or late
        self.down_s = {"user": NEVER_S, "market": NEVER_S}  # until when a stream is known to be down
        self.bars_s = NEVER_S  # until when questions for bars were refused
        self.refused_s: dict[str, float] = {}  # symbol -> until when the venue refused
        self.people_s: dict[str, float] = {}  # symbol -> when a person last interfered
        self.began_s = NEVER_S  # when the running trader was started
        self.last_s = NEVER_S  # the end of the latest fault of any kind

    def struck(self, until_s: float) -> None:
        """A fault of any kind strikes until then."""
        self.last_s = max(self.last_s, until_s)

    def request(self, until_s: float) -> None:
        """Note that requests fail until then; a start meanwhile may take that much longer."""
        if not self.is_ready():
            self.began_s = max(self.began_s, until_s + self._patience_s)
        self.requests_s = max(self.requests_s, until_s)
        self.struck(until_s)

    def message(self, stream: str, until_s: float) -> None:
        """Messages of *stream* may arrive late, in another order, or never, until then."""
        self.streams_s[stream] = max(self.streams_s[stream], until_s)
        self.struck(until_s)

    def down(self, stream: str, until_s: float) -> None:
        """*stream* is disconnected until then, and both sides know."""
        self.down_s[stream] = max(self.down_s[stream], until_s)
        self.message(stream, until_s)

    def refused(self, symbol: str, until_s: float) -> None:
        """The venue refuses some or all orders of *symbol* until then."""
        self.refused_s[symbol] = max(self.refused_s.get(symbol, NEVER_S), until_s)
        self.struck(until_s)

    def people(self, symbol: str, now_s: float) -> None:
        """A person changed an order or the position of *symbol*; the trader mends it at a tick."""
        self.people_s[symbol] = now_s
        self.struck(now_s)

    def begins(self, now_s: float) -> None:
        """A trader was started; it protects its positions whether the user stream is up or not."""
        self.began_s = now_s
        self.struck(self.began_s)

    def is_calm(self, now_s: float, for_s: float) -> bool:
        """Whether no fault has struck for so long."""
        return now_s - self.last_s > for_s

    def knows(self, now_s: float, bounds: Bounds) -> bool:
        """Whether no fault has hidden the account for so long that the trader must know all of it."""
        latest = max((
            self.requests_s, self.streams_s["user"], self.began_s, *self.refused_s.values(), *self.people_s.values(),
        ))
        return now_s - latest > bounds.found_s

    def deadline(
        self, since_s: float, bounds: Bounds, symbol: str = "", *, by_look: bool = False, wrong_s: float = NEVER_S
    ) -> tuple[float, str]:
        """When a difference that last changed at *since_s* must have ended, and the :class:`Bounds` field that says so.

        *by_look*: only a reconciliation shows it, whether a stream failed or not. *wrong_s*: when the difference began,
        if earlier; a message lost since then may be the missing one.
        """
        attended = max(self.refused_s.get(symbol, NEVER_S), self.people_s.get(symbol, NEVER_S))
        candidates = [
            (since_s + bounds.told_s, "told"),
            (self.requests_s + bounds.settled_s, "settled"),
            (self.began_s + bounds.started_s, "started"),
            (attended + bounds.attended_s, "attended"),
        ]
        if by_look or self.streams_s["user"] >= (since_s if wrong_s == NEVER_S else wrong_s):
            in_doubt = self.requests_s + bounds.settled_s  # until then a reconciliation leaves the order's symbol out
            latest = max(since_s, in_doubt, self.began_s, attended)
            candidates.append((latest + bounds.found_s, "found"))
        return max(candidates)
