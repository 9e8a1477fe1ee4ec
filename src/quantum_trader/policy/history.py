"""The last policies that were in force, as values and as the JSON that the saved state holds."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from quantum_trader.policy.policy import TradingPolicy

HISTORY: Final = 100


class PolicyHistory:
    """At most 100 policies, oldest first; with *keeps_json* each is encoded once, when it comes in."""

    __slots__ = ("_encoded", "_keeps_json", "policies")

    def __init__(self, keeps_json: bool) -> None:
        self.policies: deque[TradingPolicy] = deque(maxlen=HISTORY)
        self._keeps_json = keeps_json
        self._encoded: deque[msgspec.Raw] = deque(maxlen=HISTORY)

    def add(self, policy: TradingPolicy) -> None:
        """Append *policy* as the newest."""
        self.policies.append(policy)
        if self._keeps_json:
            self._encoded.append(_encode(policy))

    def encoded(self) -> list[msgspec.Raw]:
        """Every policy as JSON, oldest first."""
        return list(self._encoded) if self._keeps_json else [_encode(policy) for policy in self.policies]

    def take_over(self, saved: list[msgspec.Raw]) -> None:
        """Continue from *saved* (what :meth:`encoded` gave), unless there is a history already."""
        if self.policies:
            return
        for raw in saved:
            self.policies.append(TradingPolicy.from_dict(msgspec.json.decode(raw)))
            self._encoded.append(raw)


def _encode(policy: TradingPolicy) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(policy.to_dict()))
