"""Intents from outside the signals, given to a replay or a sweep at the bars' closes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from quantum_trader.domain.trading import Intent

_NEVER: Final = 1 << 62


class RecordedIntents:
    """Recorded intents in the order of their creation, and those received while the run goes on, each given once.

    A recorded intent is due at the first close at or after its creation: only then the bars know the market it was made
    in. A received one is due at the next close. There it counts as created, and what is left of its life begins.
    """

    def __init__(self, intents: Iterable[Intent] = ()) -> None:
        self._intents = sorted(intents, key=lambda intent: intent.created_ns)
        self._given = 0  # of the recorded ones
        self._received: list[Intent] = []
        self.next_ns = _NEVER  # no close before it has an intent due
        self._set_next()

    def add(self, intent: Intent) -> None:
        """Take an intent that was received now."""
        self._received.append(intent)
        self.next_ns = 0

    def due(self, now_ns: int) -> list[Intent]:
        """The intents that are due at the close *now_ns*, created at that moment."""
        first = self._given
        while self._given < len(self._intents) and self._intents[self._given].created_ns <= now_ns:
            self._given += 1
        found, self._received = self._intents[first : self._given] + self._received, []
        self._set_next()
        return [
            msgspec.structs.replace(one, created_ns=now_ns, expires_ns=now_ns + one.expires_ns - one.created_ns)
            for one in found
        ]

    def _set_next(self) -> None:
        self.next_ns = self._intents[self._given].created_ns if self._given < len(self._intents) else _NEVER

    def state(self) -> dict[str, Any]:
        """How many recorded ones were given, and the received ones that were not, as plain values."""
        return {"given": self._given, "received": [msgspec.to_builtins(one) for one in self._received]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state` with the same recorded intents."""
        self._given = state["given"]
        self._set_next()
        for plain in state["received"]:
            self.add(msgspec.convert(plain, Intent))
