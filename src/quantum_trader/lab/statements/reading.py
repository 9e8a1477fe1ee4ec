"""A statement taken apart: words, places and marks in order, clauses, and the nouns of metrics among the words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.metrics.metric import Metric
from quantum_trader.lab.metrics.values import MetricKey, MetricSnapshot
from quantum_trader.lab.statements.claims import BoundClaim, bind
from quantum_trader.lab.statements.language import Place, Sentence, read_place

_PIECE: Final = re.compile(r"\{([^{}]*)\}|[A-Za-z]+(?:'[A-Za-z]+)*|\S")
_ENDS_A_CLAUSE: Final = frozenset(
    {"and", "but", "or", "while", "whereas", "although", "though", "yet", "because", "when", "which"}
)
_TYPOGRAPHIC: Final = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": "-", "–": "-", "\u00a0": " "})
OF_WORDS: Final = frozenset({"of", "in", "across", "for", "per", "on", "from", "within", "among", "over"})
_ARTICLES: Final = frozenset({"a", "an", "the", "its", "their", "this", "that", "these", "those", "closed"})


class SentenceToken(msgspec.Struct, frozen=True, kw_only=True):
    """A word, a mark (one character) or a place, at *start* of the text, in the clause of that number."""

    text: str
    start: int
    end: int
    clause: int = 0
    place: Place | None = None
    is_word: bool = False

    @property
    def key(self) -> MetricKey | None:
        """The figure that it stands for, if any."""
        return self.place.key if self.place is not None else None

    @property
    def lower(self) -> str:
        """Its text in small letters, a possessive's ending left out."""
        return self.text.lower().removesuffix("'s")


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """Words *first* to *last* (numbers of tokens) that name one of *metrics*; *after_of* as the y of "x of y"."""

    first: int
    last: int
    metrics: frozenset[str]
    after_of: bool = False


class SnapshotIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look up in a snapshot, found once for all its sentences."""

    nouns: dict[tuple[str, ...], frozenset[str]]
    names: frozenset[tuple[str, str]]  # dimension and name
    name_words: dict[tuple[str, ...], frozenset[tuple[str, str]]]  # the words of a name, where it is made of words
    dimensions: dict[str, frozenset[str]]  # metric -> the dimensions that it has figures by


@lru_cache(maxsize=4)
def index_of(snapshot: MetricSnapshot) -> SnapshotIndex:
    """The index of *snapshot*, which does not change."""
    names = frozenset(pair for one in snapshot for pair in one.key.where)
    words: dict[tuple[str, ...], frozenset[tuple[str, str]]] = {}
    for pair in names:
        parts = tuple(re.split(r"[^A-Za-z]+", pair[1].lower()))
        if all(parts):
            words[parts] = words.get(parts, frozenset()) | {pair}
    dimensions: dict[str, set[str]] = {}
    for one in snapshot:
        dimensions.setdefault(one.key.metric, set()).update(name for name, _ in one.key.where)
    return SnapshotIndex(
        nouns=noun_table(snapshot.metrics), names=names, name_words=words,
        dimensions={metric: frozenset(found) for metric, found in dimensions.items()},
    )


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the rules look at. *broken* says what could not be read at all."""

    text: str
    sentence: Sentence
    snapshot: MetricSnapshot
    tokens: tuple[SentenceToken, ...]
    nouns: tuple[Noun, ...]
    claims: tuple[BoundClaim, ...]
    broken: tuple[str, ...]
    false_references: tuple[str, ...]

    @property
    def clauses(self) -> int:
        """How many clauses there are."""
        return 1 + max((one.clause for one in self.tokens), default=0)

    def figures(self, clause: int | None = None) -> list[MetricKey]:
        """The figures of one clause, or of the sentence, in order."""
        return [one.key for one in self.tokens if one.key is not None and clause in (None, one.clause)]

    def names(self, dimension: str, clause: int | None = None) -> list[str]:
        """The names of *dimension* that a clause, or the sentence, mentions, in order."""
        return [
            one.place.name for one in self.tokens
            if one.place is not None and one.place.dimension == dimension and clause in (None, one.clause)
        ]

    def dates(self, clause: int | None = None) -> list[str]:
        """The dates that a clause, or the sentence, mentions, in order."""
        return [
            one.place.day for one in self.tokens
            if one.place is not None and one.place.day and clause in (None, one.clause)
        ]

    def words(self, clause: int) -> list[SentenceToken]:
        """The words of one clause, those of a noun of a metric left out."""
        inside = self.in_nouns()
        return [
            one for number, one in enumerate(self.tokens)
            if one.is_word and one.clause == clause and number not in inside
        ]

    def in_nouns(self) -> set[int]:
        """The numbers of the tokens that belong to a noun of a metric."""
        return {number for noun in self.nouns for number in range(noun.first, noun.last + 1)}


def plain_text(text: str) -> str:
    """*text* with typographic quotes, dashes and spaces as typewriters have them."""
    return text.translate(_TYPOGRAPHIC).strip()


def read_sentence(sentence: Sentence, snapshot: MetricSnapshot) -> Reading:
    """*sentence* taken apart; never raises."""
    text = plain_text(sentence.text)
    broken: list[str] = []
    references: list[str] = []
    pieces = tuple(_tokens(text, snapshot.day, broken))
    nouns = tuple(_nouns(pieces, index_of(snapshot).nouns))
    claims = []
    for claim in sentence.claims:
        try:
            claims.append(bind(claim, snapshot))
        except (InputError, ValueError) as error:
            references.append(str(error))
    return Reading(
        text=text, sentence=sentence, snapshot=snapshot, tokens=tuple(_in_clauses(pieces, nouns)), claims=tuple(claims),
        broken=tuple(broken), nouns=nouns, false_references=tuple(references),
    )


def _tokens(text: str, day: str, broken: list[str]) -> Iterable[SentenceToken]:
    for found in _PIECE.finditer(text):
        piece, place, is_word = found[0], None, found[0][0].isalpha() and found[0].isascii()
        if found[1] is not None:
            try:
                place = read_place(found[1], day)
            except InputError as error:
                broken.append(str(error))
                continue
        elif piece in "{}":
            broken.append("a brace that encloses no placeholder")
        yield SentenceToken(text=piece, start=found.start(), end=found.end(), place=place, is_word=is_word)


def _in_clauses(pieces: tuple[SentenceToken, ...], nouns: tuple[Noun, ...]) -> Iterable[SentenceToken]:
    """*pieces* with the numbers of their clauses; an "and" within a noun ends none."""
    clause, inside = 0, {number for noun in nouns for number in range(noun.first, noun.last + 1)}
    for number, one in enumerate(pieces):
        if number not in inside and (one.text in ",;:()" or (one.is_word and one.lower in _ENDS_A_CLAUSE)):
            clause += 1
        yield msgspec.structs.replace(one, clause=clause)


def singular(word: str) -> str:
    """*word* without a plural's ending, near enough to compare two words."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def noun_words(noun: str) -> tuple[str, ...]:
    """The words of a metric's noun, each in the singular and in small letters."""
    return tuple(singular(word.lower()) for word in re.findall(r"[A-Za-z]+(?:'[A-Za-z]+)*", noun))


def noun_table(metrics: Mapping[str, Metric]) -> dict[tuple[str, ...], frozenset[str]]:
    """Words of a noun -> ids of the metrics that it may name; a noun with a digit cannot be written."""
    table: dict[tuple[str, ...], frozenset[str]] = {}
    for metric in metrics.values():
        for noun in metric.nouns:
            if (words := noun_words(noun)) and not any(char.isdigit() for char in noun):
                table[words] = table.get(words, frozenset()) | {metric.id}
    return table


def _nouns(tokens: tuple[SentenceToken, ...], table: Mapping[tuple[str, ...], frozenset[str]]) -> Iterable[Noun]:
    longest, number = max(map(len, table), default=0), 0
    while number < len(tokens):
        found = next((noun for size in range(longest, 0, -1) if (noun := _noun_at(tokens, number, size, table))), None)
        if found:
            yield found
        number = found.last + 1 if found else number + 1


def _noun_at(
    tokens: tuple[SentenceToken, ...], first: int, size: int, table: Mapping[tuple[str, ...], frozenset[str]]
) -> Noun | None:
    """The noun of *size* words that begins with the token *first*; a hyphen may stand between its words."""
    words, last = [], first
    for number in range(first, len(tokens)):
        token = tokens[number]
        if token.is_word:
            words.append(singular(token.lower))
            last = number
        elif token.text != "-" or not words:
            break
        if len(words) == size:
            break
    metrics = table.get(tuple(words)) if len(words) == size else None
    if metrics is None:
        return None
    before = first - 1
    while before >= 0 and tokens[before].is_word and tokens[before].lower in _ARTICLES:
        before -= 1
    after_of = before >= 0 and tokens[before].lower in OF_WORDS
    return Noun(first=first, last=last, metrics=metrics, after_of=after_of)
