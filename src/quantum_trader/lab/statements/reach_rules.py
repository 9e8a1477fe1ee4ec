"""Rules of reach: a claim carries what it is of, and not a second metric, a third mode, or days before its own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from quantum_trader.lab.statements.claim_rules import relations_said
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import DIMENSIONS
from quantum_trader.lab.statements.reading import Reading
from quantum_trader.lab.statements.words import DIRECT_CHANGES, word_set, words_of_classes

_DID: Final = word_set("did does do")
_SO: Final = word_set("did do does was were is are has have had")
_LIKE: Final = word_set("like unlike too likewise also similarly")
_EXTREMES: Final = words_of_classes("best", "worst", "highest", "lowest")
_LONGER: Final = word_set("""
    again everywhere kept keep keeps keeping continue continued continues continuing throughout repeatedly persistently
    ever streak streaks consecutive successive successively days sessions span history period board modes symbols pairs
    coins regimes models gates sources
""")


def echoes(reading: Reading) -> Iterable[Flaw]:
    """What "so did", "too" or "like" says of another metric has a claim of its own, of the same kind."""
    metrics = {key.metric for claim in reading.claims for key in claim.keys}
    said = [relations_said(one, reading) for one in reading.claims]
    same = bool(said) and bool(frozenset.intersection(*said))
    for clause in range(reading.clauses) if said else ():
        word = _echo(reading, clause)
        for noun in reading.nouns if word else ():
            token = reading.tokens[noun.first]
            if token.clause == clause and (word == "unlike" or not same or not noun.metrics & metrics):
                yield Flaw(rule="echoes", what=f"{word} {token.text}",
                            advice="say of each metric what it did, with a claim")


def _echo(reading: Reading, clause: int) -> str:
    """The word of *clause* by which it says the same as the one before; empty where none does."""
    words = [one.lower for one in reading.words(clause)]
    for word, after in pairwise([*words, ""]):
        if word in _LIKE or word in _DID or (word == "so" and after in _SO):
            return word
    return ""


def named_claims(reading: Reading) -> Iterable[Flaw]:
    """Everybody who is named beside a comparison is in a claim or has a figure: "topped {mode=a} and {mode=b}"."""
    keys = [*reading.figures(), *(key for claim in reading.claims for key in claim.keys)]
    compared = {name for claim in reading.claims if claim.right is not None for name, _ in claim.left.where}
    for dimension in sorted(DIMENSIONS & compared):
        known = {value for key in keys for name, value in key.where if name == dimension}
        for name in reading.names(dimension):
            if name not in known:
                yield Flaw(rule="named_claims", what=f"{dimension}={name}"[:60], advice="no claim compares it")


def reaches(reading: Reading) -> Iterable[Flaw]:
    """A change is of one figure since one day: not "again", "for days", "across the modes"; and the best is no next."""
    for clause in range(reading.clauses):
        words = reading.words(clause)
        changes = any(one.lower in DIRECT_CHANGES for one in words)
        for token in words if changes and reading.claims else ():
            if token.lower in _LONGER:
                yield Flaw(rule="reaches", what=token.text, advice="a claim is of one figure, against one other")
        for one, two in pairwise(words):
            if one.lower == "next" and two.lower in _EXTREMES:
                yield Flaw(rule="reaches", what=f"{one.text} {two.text}", advice="only the best has a claim")
