"""Intents from outside, recorded and given to a replay or a sweep again at the bars' closes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from quantum_trader.domain.trading import Intent


class RecordedIntents:
    """Recorded intents in the order of their creation, each given once.

    An intent is due at the first close at or after its creation: only then the bars know the market it was made in.
    There it counts as created, and what is left of its life begins.
    """

    def __init__(self, intents: Iterable[Intent] = ()) -> None:
        self._intents = sorted(intents, key=lambda intent: intent.created_ns)
        self._next = 0
        self.next_ns = self._intents[0].created_ns if self._intents else 1 << 62

    def due(self, now_ns: int) -> list[Intent]:
        """The intents that are due at the close *now_ns*, created at that moment."""
        found: list[Intent] = []
        while self._next < len(self._intents) and self._intents[self._next].created_ns <= now_ns:
            intent = self._intents[self._next]
            life_ns = intent.expires_ns - intent.created_ns
            found.append(msgspec.structs.replace(intent, created_ns=now_ns, expires_ns=now_ns + life_ns))
            self._next += 1
        self.next_ns = self._intents[self._next].created_ns if self._next < len(self._intents) else 1 << 62
        return found

    def skip(self, now_ns: int) -> None:
        """Leave out what was due up to the close *now_ns*: a run continues from there."""
        self.due(now_ns)
