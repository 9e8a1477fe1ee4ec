"""What is wrong with a statement: the rule that it breaks, what breaks it, and what to write instead."""

from __future__ import annotations

import msgspec


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """One breach of a *rule*; *what* is quoted from the statement, *advice* says what to write."""

    rule: str
    what: str
    advice: str

    def __str__(self) -> str:
        """As it is sent back to an author."""
        return f"{self.rule}: {self.what}: {self.advice}"
