"""The supervisor: the one place with a broad catch.

Observation must never reach trading. What the policy's observers, ledgers and explanations raise is counted and
kept for the operator; trading goes on as if they were not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Shield:
    """Runs observing calls; counts and remembers what they raise."""

    def __init__(self) -> None:
        self.failures = 0
        self.last = ""

    def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what *call* returns, or None when it raised."""
        try:
            return call(*arguments)
        except Exception as error:
            self.failures += 1
            self.last = f"{type(error).__name__}: {error}"
            return None
