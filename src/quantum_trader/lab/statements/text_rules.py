"""Rules of letters and words: what a sentence may be written with at all. Each takes a reading and gives flaws."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import LONGEST_TEXT, MOST_CLAIMS
from quantum_trader.lab.statements.reading import Reading, SentenceToken
from quantum_trader.lab.statements.words import (
    ADVICE,
    APPROXIMATIONS,
    ARITHMETIC,
    CAPITALS,
    CONDITIONS,
    DATE_WORDS,
    NUMBER_WORDS,
    VAGUE_WORDS,
    vocabulary,
)

_ALLOWED: Final = frozenset(" ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,;:!?'\"()-")
_SHOWN: Final = 40


def characters(reading: Reading) -> Iterable[Flaw]:
    """Outside braces only the letters A to Z and plain punctuation: no digit of any script, mark-up or hidden sign."""
    outside = re.sub(r"\{[^{}]*\}", "", reading.text)
    bad = sorted({char for char in outside if char not in _ALLOWED and char not in "{}"})
    if bad:
        codes = ", ".join(f"U+{ord(char):04X}" for char in bad[:5])
        yield Flaw(rule="characters", what=codes, advice="write plain English letters; every number is a placeholder")


def braces(reading: Reading) -> Iterable[Flaw]:
    """Every pair of braces holds a figure, a name or a date."""
    for what in reading.broken:
        yield Flaw(rule="braces", what=what, advice="write {metric}, {metric@day|mode=scalp}, {symbol=X}, {date@day}")


def one_sentence(reading: Reading) -> Iterable[Flaw]:
    """A statement is one sentence: it begins with a capital or a placeholder and ends where its only full stop is."""
    text = reading.text
    outside = re.sub(r"\{[^{}]*\}", "x", text)
    whole = re.match(r"[A-Z{]", text) and re.search(r"[a-z})\"][.!?]$", text)
    if not whole or re.search(r"[.!?].", outside) or not any(one.is_word for one in reading.tokens):
        yield Flaw(rule="one_sentence", what=text[:_SHOWN], advice="write one whole sentence a statement")


def length(reading: Reading) -> Iterable[Flaw]:
    """A statement is short: nobody checks a page in one piece."""
    if len(reading.text) > LONGEST_TEXT or len(reading.sentence.claims) > MOST_CLAIMS:
        yield Flaw(rule="length", what=f"{len(reading.text)} letters", advice="write a shorter sentence")


def spacing(reading: Reading) -> Iterable[Flaw]:
    """A placeholder stands by itself: no sign, letter or other placeholder touches it, no two make up one number."""
    for before, after in pairwise(reading.tokens):
        touches = before.end == after.start
        wrong = (after.place is not None and (before.text == "-" or (touches and before.text not in '("'))) or (
            before.place is not None and touches and (after.is_word or after.text in "-'\"(")
            and not reading.text.startswith("'s ", after.start)
        )
        if wrong or (before.place is not None and after.place is not None):
            yield Flaw(rule="spacing", what=reading.text[before.start : after.end][:_SHOWN],
                        advice="put spaces and at least one word around a placeholder")
    yield from _marks_between_figures(reading)


def _marks_between_figures(reading: Reading) -> Iterable[Flaw]:
    """Two figures with marks alone between them read as one number: 3, 5."""
    figures = [number for number, one in enumerate(reading.tokens) if one.key is not None]
    for first, second in pairwise(figures):
        between = reading.tokens[first + 1 : second]
        if between and not any(one.is_word or one.place is not None for one in between):
            yield Flaw(rule="spacing", what="two figures with no word between them",
                        advice="write a word between two figures")


def known_words(reading: Reading) -> Iterable[Flaw]:
    """Every word is of the vocabulary or of a metric's noun: other languages' numbers and names are in neither."""
    inside = reading.in_nouns()
    for number, token in enumerate(reading.tokens):
        if token.is_word and number not in inside and not _is_known(token):
            yield Flaw(rule="known_words", what=token.text[:_SHOWN],
                        advice="write common English; names are placeholders such as {symbol=X} or {mode=scalp}")


def _is_known(token: SentenceToken) -> bool:
    return token.lower in vocabulary() or token.text.lower() in vocabulary() or token.text in CAPITALS


def capitals(reading: Reading) -> Iterable[Flaw]:
    """Capitals begin a sentence or write a known abbreviation: Roman numerals and hidden names do neither."""
    inside, first = reading.in_nouns(), next((one.start for one in reading.tokens if one.is_word), 0)
    for number, token in enumerate(reading.tokens):
        if not token.is_word or number in inside or token.text in CAPITALS or token.text.islower():
            continue
        if token.start != first or token.text == "I" or (len(token.text) > 1 and not token.text[1:].islower()):
            yield Flaw(rule="capitals", what=token.text[:_SHOWN], advice="small letters; names are {symbol=X}")


def _refused(
    rule: str, words: frozenset[str], reading: Reading, advice: str, besides_nouns: bool = True
) -> Iterable[Flaw]:
    inside = reading.in_nouns() if besides_nouns else set()
    for number, token in enumerate(reading.tokens):
        if token.is_word and number not in inside and {token.lower, token.text.lower()} & words:
            yield Flaw(rule=rule, what=token.text, advice=advice)


def number_words(reading: Reading) -> Iterable[Flaw]:
    """No number is written as a word or as several that make one, not even in a metric's noun."""
    yield from _refused("number_words", NUMBER_WORDS, reading, "a number is a placeholder", besides_nouns=False)
    words = [one.lower for one in reading.tokens if one.is_word]
    if ("a", "score", "of") in zip(words, words[1:], words[2:], strict=False):
        yield Flaw(rule="number_words", what="score of", advice="a number is a placeholder")
    for size in (2, 3):
        for first in range(len(words) - size + 1):
            if (together := "".join(words[first : first + size])) in NUMBER_WORDS:
                yield Flaw(rule="number_words", what=together, advice="a number is a placeholder")


def vague_words(reading: Reading) -> Iterable[Flaw]:
    """No amount without a value: "several", "slightly", "greatly"."""
    return _refused("vague_words", VAGUE_WORDS, reading, "say how much with a placeholder")


def approximations(reading: Reading) -> Iterable[Flaw]:
    """A value is as it is shown, and not nearly so."""
    return _refused("approximations", APPROXIMATIONS, reading, "leave it out: the value is shown as it is")


def arithmetic(reading: Reading) -> Iterable[Flaw]:
    """No sum or product in words, and nothing that says "in this order"."""
    return _refused("arithmetic", ARITHMETIC, reading, "use the metric that has the result")


def date_words(reading: Reading) -> Iterable[Flaw]:
    """Days are placeholders; weeks, months and years have no values."""
    return _refused("date_words", DATE_WORDS, reading, "write {date@2026-11-27}, a day of the snapshot")


def conditions(reading: Reading) -> Iterable[Flaw]:
    """What may be or would have been is no figure's business: a clause with figures says what was."""
    for clause in range(reading.clauses):
        figures = [one.start for one in reading.tokens if one.key is not None and one.clause == clause]
        for token in reading.words(clause) if figures else []:
            if token.lower in CONDITIONS and (token.lower not in ADVICE or token.start < figures[-1]):
                yield Flaw(rule="conditions", what=token.text, advice="say what was, not what may be, of a figure")
