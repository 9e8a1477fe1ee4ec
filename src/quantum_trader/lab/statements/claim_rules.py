"""Rules of comparisons: a comparing word rests on a claim that is true, of the figures that stand beside it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Final

import msgspec

from quantum_trader.lab.metrics.metric import BetterWhen
from quantum_trader.lab.metrics.values import MetricKey
from quantum_trader.lab.statements.claims import DAY, BoundClaim, is_true
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import DIMENSIONS, ClaimRelation
from quantum_trader.lab.statements.reading import Noun, Reading, SentenceToken, singular
from quantum_trader.lab.statements.words import (
    ARTICLES,
    CLASSES,
    CONDITIONS,
    DENIALS,
    GAIN_WORDS,
    LOSS_WORDS,
    RELATIONS_OF,
    SIGNIFICANCE_WORDS,
    SPAN_WORDS,
    SPANS,
    TARGET_RELATIONS,
    TARGET_WORDS,
    negates,
    word_set,
    words_of_classes,
)

_FROM: Final = frozenset({"from", "than", "against", "versus"})
_LEADS: Final = frozenset({"lead", "leads", "led", "leading"})
_BEFORE_UP: Final = frozenset({"held", "holds", "set", "made", "makes", "make", "follow", "backed", "ended", "kept"})
_JUDGING: Final = frozenset().union(*(one.words for one in CLASSES if one.name in ("high", "low", "good", "bad")))
_ON_TARGET: Final = frozenset({"within", "on", "inside"})
_WORDS_BACK: Final = 4
_CLOSER: Final = frozenset({"closer", "further"})
_LOOKS: Final = word_set("look looks attention inspection study review monitoring")
_ADVISES: Final = word_set("consider recommend suggest try review keep watch avoid")
_DOABLE: Final = word_set("""
    reduce raise lower cut tighten widen increase decrease slow lift shift change improve boost shorten lengthen
    tightening reducing raising lowering cutting increasing decreasing widening changing shortening lengthening
""")
_ATTRIBUTES: Final = words_of_classes("more", "less", "better", "worse")
_FACTORS: Final = (
    ClaimRelation.TWICE, ClaimRelation.MORE_THAN_TWICE, ClaimRelation.HALF, ClaimRelation.LESS_THAN_HALF,
)
_IMPLIED: Final = {
    **dict.fromkeys(_FACTORS[:2], frozenset({ClaimRelation.ABOVE})),
    **dict.fromkeys(_FACTORS[2:], frozenset({ClaimRelation.BELOW})),
}
_GOOD_WAYS: Final = {  # by what is better: a relation -> the judgement that is then true
    BetterWhen.HIGHER: {
        ClaimRelation.ROSE: ClaimRelation.IMPROVED, ClaimRelation.FELL: ClaimRelation.WORSENED,
        ClaimRelation.ABOVE: ClaimRelation.BETTER, ClaimRelation.BELOW: ClaimRelation.WORSE,
        ClaimRelation.ABOVE_TARGET: ClaimRelation.MEETS_TARGET, ClaimRelation.BELOW_TARGET: ClaimRelation.MISSES_TARGET,
        ClaimRelation.HIGHEST: ClaimRelation.BEST, ClaimRelation.LOWEST: ClaimRelation.WORST,
    },
    BetterWhen.LOWER: {
        ClaimRelation.ROSE: ClaimRelation.WORSENED, ClaimRelation.FELL: ClaimRelation.IMPROVED,
        ClaimRelation.ABOVE: ClaimRelation.WORSE, ClaimRelation.BELOW: ClaimRelation.BETTER,
        ClaimRelation.ABOVE_TARGET: ClaimRelation.MISSES_TARGET, ClaimRelation.BELOW_TARGET: ClaimRelation.MEETS_TARGET,
        ClaimRelation.HIGHEST: ClaimRelation.WORST, ClaimRelation.LOWEST: ClaimRelation.BEST,
    },
}
_OF_TWO: Final = {  # a comparative -> the extreme that it is of two
    ClaimRelation.BETTER: frozenset({ClaimRelation.BEST}), ClaimRelation.WORSE: frozenset({ClaimRelation.WORST}),
    ClaimRelation.ABOVE: frozenset({ClaimRelation.HIGHEST}), ClaimRelation.BELOW: frozenset({ClaimRelation.LOWEST}),
}
_TWICE: Final = next(one.words for one in CLASSES if one.name == "twice")
_HALF: Final = next(one.words for one in CLASSES if one.name == "half")
_NONE: Final = next(one.words for one in CLASSES if one.name == "none")
_DIMENSION_WORDS: Final = {**{one: one for one in DIMENSIONS}, "day": DAY, "pair": "symbol", "coin": "symbol"}


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """What a clause speaks of: figures, and nouns that stand for figures."""

    keys: tuple[MetricKey, ...]
    nouns: tuple[Noun, ...]


def known_claims(reading: Reading) -> Iterable[Flaw]:
    """What a claim names is in the snapshot."""
    for what in reading.false_references:
        yield Flaw(rule="known_claims", what=what, advice="claim what the snapshot has")


def true_claims(reading: Reading) -> Iterable[Flaw]:
    """Every claim is true, whether a word rests on it or not."""
    for claim in reading.claims:
        if not is_true(claim, reading.snapshot):
            yield Flaw(rule="true_claims", what=_told(claim), advice="it does not hold: say what the figures say")


def _told(claim: BoundClaim) -> str:
    return f"{claim.left} {claim.relation}{f' {claim.right}' if claim.right else ''}"


def comparisons(reading: Reading) -> Iterable[Flaw]:
    """Each comparing word rests on a claim of its kind about everything that its clause speaks of."""
    for clause in range(reading.clauses):
        words, mention = reading.words(clause), _mention(reading, clause)
        for token in words:
            allowed = _allowed(token, words)
            if allowed is None or _is_idiom(token, reading) or _is_of_no_figure(token, reading, mention):
                continue
            own = _attributed(token, reading, mention)
            claims = [
                one for one in reading.claims
                if relations_said(one, reading) & (allowed | _of_the_two(one, token, words))
            ]
            if not any(_is_visible(one, _seen(one, own, reading, clause), reading, clause) for one in claims):
                yield Flaw(rule="comparisons", what=token.text,
                            advice=f"needs a claim ({', '.join(sorted(allowed)) or 'none fits'}) of what it speaks of")
            elif not _covers(claims, own, reading.figures(clause) == []):
                yield Flaw(rule="comparisons", what=token.text, advice="the clause names figures its claim is not of")


def relations_said(claim: BoundClaim, reading: Reading) -> frozenset[ClaimRelation]:
    """The relations that are true where *claim* is: what rose improved, where higher is better; twice is above."""
    said = {claim.relation} | _IMPLIED.get(claim.relation, frozenset())
    ways = _GOOD_WAYS.get(reading.snapshot.metrics[claim.left.metric].direction, {})
    said |= {ways[one] for one in said if one in ways} | {one for one, way in ways.items() if way in said and (
        way not in (ClaimRelation.MEETS_TARGET, ClaimRelation.MISSES_TARGET))}  # at its target is neither side of it
    if claim.relation in _FACTORS and claim.right_is_the_day_before:
        said.add(ClaimRelation.ROSE if claim.relation in _FACTORS[:2] else ClaimRelation.FELL)
    return frozenset(said)


def _of_the_two(claim: BoundClaim, token: SentenceToken, words: list[SentenceToken]) -> frozenset[ClaimRelation]:
    """The extremes that "the better win rate" rests on where there are two to choose from."""
    if len(claim.among) != 2 or not _follows_the(token, words):
        return frozenset()
    return frozenset().union(*(_OF_TWO.get(one, frozenset()) for one in RELATIONS_OF[token.lower]))


def _attributed(token: SentenceToken, reading: Reading, mention: Mention) -> Mention:
    """What a comparing word speaks of: of "a higher win rate" this noun alone, else all that its clause does."""
    number = reading.tokens.index(token)
    noun = next((one for one in reading.nouns if one.first == number + 1), None)
    if noun is None or token.lower not in _ATTRIBUTES or noun not in mention.nouns or mention.keys:
        return mention
    return Mention(keys=(), nouns=(noun,))


def _is_idiom(token: SentenceToken, reading: Reading) -> bool:
    """Whether *token* compares nothing where it stands: "led to", "over the whole span"."""
    after = [one.lower for one in reading.tokens if one.start >= token.end][:4]
    if token.lower in _LEADS:
        return after[:1] == ["to"]
    if token.lower in _CLOSER:
        return bool(after) and after[0] in _LOOKS
    if _is_advised(token, reading) or (token.lower == "any" and not _begins_with_any(token, reading)):
        return True
    if token.lower == "over":
        return bool(SPANS.intersection(takewhile(SPAN_WORDS.__contains__, after)))
    before = next((one.lower for one in reversed(reading.tokens) if one.end <= token.start), "")
    return token.lower == "up" and before in _BEFORE_UP


def _begins_with_any(token: SentenceToken, reading: Reading) -> bool:
    """Whether a clause begins "any trade", which says it of all; "without any trade" does not."""
    number = reading.tokens.index(token)
    begins = number == 0 or reading.tokens[number - 1].clause != token.clause
    return begins and any(one.first == number + 1 for one in reading.nouns)


def _is_advised(token: SentenceToken, reading: Reading) -> bool:
    """Whether *token* is what the reader is told to do: "Reduce the size", "Consider tightening the stops"."""
    if token.lower not in _DOABLE or reading.figures(token.clause):
        return False
    words = [one for one in reading.tokens if one.is_word]
    place = words.index(token)
    if not token.lower.endswith("ing") and not (place + 1 < len(words) and words[place + 1].lower in ARTICLES):
        return False  # "reduce the size", not "increase in fees"
    return place == 0 or (words[0].lower in _ADVISES and words[place - 1].lower in _ADVISES | {"to", "by", "and"})


def _allowed(token: SentenceToken, words: list[SentenceToken]) -> frozenset[ClaimRelation] | None:
    """The relations that *token* may rest on among the *words* of its clause; None where it compares nothing."""
    word, around = token.lower, {one.lower for one in words}
    relations = RELATIONS_OF.get(word)
    if relations is None:
        return None
    if word in SIGNIFICANCE_WORDS:
        denied = bool(around & DENIALS) or any(negates(one) for one in around)
        return frozenset({ClaimRelation.NOT_SIGNIFICANT if denied else ClaimRelation.SIGNIFICANT})
    if word in _NONE and around & SIGNIFICANCE_WORDS:
        return None
    if word in TARGET_WORDS and not _says_how(word, around):
        return frozenset({ClaimRelation.MEETS_TARGET} if around & _ON_TARGET else ())
    if word in _TWICE:
        return _factor(around, ClaimRelation.TWICE, ClaimRelation.MORE_THAN_TWICE, "more", "less")
    if word in _HALF:
        return _factor(around, ClaimRelation.HALF, ClaimRelation.LESS_THAN_HALF, "less", "more")
    if word == "most" and not _follows_the(token, words):
        return frozenset({ClaimRelation.MOST})
    return relations


def _says_how(word: str, around: set[str]) -> bool:
    """Whether another word of the clause says on which side of its target a figure is."""
    return any(RELATIONS_OF.get(one, frozenset()) & TARGET_RELATIONS for one in around - {word})


def _factor(
    around: set[str], exact: ClaimRelation, beyond: ClaimRelation, beyond_word: str, other: str
) -> frozenset[ClaimRelation]:
    if other in around:
        return frozenset()
    return frozenset({beyond if beyond_word in around else exact})


def _follows_the(token: SentenceToken, words: list[SentenceToken]) -> bool:
    return any(one.lower == "the" and one.end == token.start - 1 for one in words)


def _mention(reading: Reading, clause: int) -> Mention:
    """What *clause* speaks of; where that is nothing, what the clause before it does, else the one behind."""
    for number in range(clause, -1, -1):
        own = _own_mention(reading, number)
        if own.keys or own.nouns:
            return own
    return _own_mention(reading, clause + 1) if clause + 1 < reading.clauses else Mention(keys=(), nouns=())


def _own_mention(reading: Reading, clause: int) -> Mention:
    """What the words and figures of *clause* itself speak of."""
    named = tuple(one for one in reading.nouns if reading.tokens[one.first].clause == clause and not one.after_of)
    return Mention(keys=tuple(reading.figures(clause)), nouns=named)


def _seen(claim: BoundClaim, mention: Mention, reading: Reading, clause: int) -> Mention:
    """*mention*, and where it is the right side alone ("lower than {x}") what the clause before it speaks of."""
    if clause == 0 or claim.right is None or set(mention.keys) != {claim.right}:
        return mention
    before = _mention(reading, clause - 1)
    return Mention(keys=(*before.keys, *mention.keys), nouns=before.nouns)


def _is_of_no_figure(token: SentenceToken, reading: Reading, mention: Mention) -> bool:
    """Whether *token* judges or denies what no metric measures: "the small sample", "no action is needed"."""
    if token.lower in _JUDGING:
        return mention == Mention(keys=(), nouns=()) or not _spoken_of(reading, token.clause)
    own = _own_mention(reading, token.clause)
    return token.lower == "no" and not own.keys and not own.nouns


def _spoken_of(reading: Reading, clause: int) -> bool:
    """Whether *clause* or one before it speaks of a figure."""
    return any(one.keys or one.nouns for one in (_own_mention(reading, number) for number in range(clause + 1)))


def _is_visible(claim: BoundClaim, mention: Mention, reading: Reading, clause: int) -> bool:
    """Whether a reader sees what *claim* is about: its left side and, where it has one, its right side."""
    left = claim.left in mention.keys or _is_named(claim.left, mention, reading)
    if not left:
        return False
    if claim.right is None:
        return claim.over == "" or _says_over(claim.over, reading, clause)
    if claim.right in mention.keys or claim.right in reading.figures() or claim.right_is_the_day_before:
        return True
    other_day = claim.right.day != claim.left.day
    if (claim.right.metric, claim.right.where) == (claim.left.metric, claim.left.where):
        return claim.right.day in reading.dates()
    return not other_day and _is_named(claim.right, mention, reading)


def _is_named(key: MetricKey, mention: Mention, reading: Reading) -> bool:
    """Whether nouns, names and dates say *key* without its figure."""
    if not any(key.metric in noun.metrics for noun in mention.nouns):
        return False
    if any(name not in reading.names(dimension) for dimension, name in key.where):
        return False
    unnamed = [one for one in DIMENSIONS if one not in dict(key.where) and reading.names(one)]
    return not unnamed and (key.day == reading.snapshot.day or key.day in reading.dates())


def _says_over(over: str, reading: Reading, clause: int) -> bool:
    """Whether the clause says what its extreme is the extreme of, and names no other dimension."""
    words = {singular(one.lower) for one in (*reading.words(clause), *_also_named(reading, clause))}
    said = {_DIMENSION_WORDS[word] for word in words if word in _DIMENSION_WORDS}
    if over == DAY:
        return said == {DAY}
    return said <= {over} and (bool(said) or bool(reading.names(over)))


def _also_named(reading: Reading, clause: int) -> list[SentenceToken]:
    """The word behind "and" or "or" that goes on with a clause: "of the modes and symbols"."""
    behind = [one for one in reading.tokens if one.clause == clause + 1]
    return behind[1:2] if behind and behind[0].lower in ("and", "or") else []


def _covers(claims: list[BoundClaim], mention: Mention, inherited: bool) -> bool:
    """Whether every figure and noun of the clause is one that *claims* speak of.

    A clause without a figure speaks of the one before it, and then of its metric on any day.
    """
    keys = {key for one in claims for key in one.keys}
    metrics = {key.metric for key in keys}
    if inherited:
        subjects = {(one.left.metric, one.left.where) for one in claims if one.left in mention.keys}
        keys |= {key for key in mention.keys if (key.metric, key.where) in subjects}
    return set(mention.keys) <= keys and all(noun.metrics & metrics for noun in mention.nouns)


def order(reading: Reading) -> Iterable[Flaw]:
    """The figure, name or noun on a claim's left stands first, or the other one behind a word such as "from"."""
    for claim in reading.claims:
        if claim.right is None:
            continue
        left, right = _first_place(claim.left, claim.right, reading), _first_place(claim.right, claim.left, reading)
        if left is None or right is None:
            continue
        if _follows_from(left, reading) or (left > right and not _follows_from(right, reading)):
            yield Flaw(rule="order", what=_told(claim), advice="name the left side first, then the right one")


def _first_place(key: MetricKey, other: MetricKey, reading: Reading) -> int | None:
    """The number of the token that says *key* rather than *other*: its figure, its name, its noun."""
    for number, token in enumerate(reading.tokens):
        if token.key == key:
            return number
    names = set(key.where) - set(other.where)
    for number, token in enumerate(reading.tokens):
        if token.place is not None and (token.place.dimension, token.place.name) in names:
            return number
    if key.metric != other.metric:
        return next((one.first for one in reading.nouns if key.metric in one.metrics), None)
    return None


def _follows_from(number: int, reading: Reading) -> bool:
    """Whether a word right before the token says that another is compared with it: "from the {x} of"."""
    for token in reversed(reading.tokens[max(number - _WORDS_BACK, 0) : number]):
        if not token.is_word:
            return False
        if token.lower in _FROM:
            return True
    return False


def negations(reading: Reading) -> Iterable[Flaw]:
    """A clause that compares, or speaks of gains and losses, says it without a negation or a condition."""
    for clause in range(reading.clauses):
        words = reading.words(clause)
        around = {one.lower for one in words}
        compares = [
            one.text for one in words
            if (one.lower in RELATIONS_OF and one.lower not in _NONE | SIGNIFICANCE_WORDS
                and not _is_advised(one, reading))
            or one.lower in GAIN_WORDS | LOSS_WORDS
        ]
        denies = {one for one in around if negates(one)}
        if around & SIGNIFICANCE_WORDS:
            denies -= {"not", "no", "cannot"} | {one for one in denies if one.endswith("n't")}
        if (compares and denies) or ((compares or around & SIGNIFICANCE_WORDS) and around & CONDITIONS):
            yield Flaw(rule="negations", what=" ".join([*compares, *sorted(denies | around & CONDITIONS)])[:80],
                        advice="say what was, with the word that means it: fell, not did not rise")


def no_data(reading: Reading) -> Iterable[Flaw]:
    """A figure without data is not compared, counted or judged; the sentence may say only that there is none."""
    for key in reading.figures():
        found = reading.snapshot.of(key)
        if found is not None and found.value is None and reading.claims:
            yield Flaw(rule="no_data", what=str(key), advice="has no data: claim nothing of it")
