"""Rules of amounts: a figure is a level of its metric, of all that the metric counts, and the sentence says it is true.

"Rose by {x}" would make a change of a level, "{x} a day" a rate, "{x} trades were liquidated" a part of a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from quantum_trader.lab.metrics.metric import Unit
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.reading import Reading, SentenceToken, singular
from quantum_trader.lab.statements.words import (
    ARTICLES,
    CHANGE_NOUNS,
    DIMENSION_WORDS,
    DIRECT_CHANGES,
    DONE_TO_ALL,
    MEASURES,
    OWNERS,
    RATE_NOUNS,
    RIGHT_SIDES,
    UNTRUE,
)

_COPULAS: Final = frozenset({"was", "is", "were", "are", "being", "equals", "equalled", "measured"})
_SUMS: Final = frozenset({"amounted", "amounts", "came", "comes", "equal", "summed"})  # "amounted to {x}"
_HAPPENED: Final = frozenset({"was", "were", "is", "are", "got", "been", "being", "remain", "remained", "stayed"})
_FATES: Final = frozenset({"failed", "fail", "expired", "timed", "died", "stalled", "broke", "misfired", "vanished"})
_AUXILIARIES: Final = frozenset({"had", "have", "has", "also", "then", "later", "soon", "again", "thus"})
_IRREGULAR: Final = frozenset({"lost", "won", "cut", "held", "sold", "bought", "left", "hit", "shut", "stuck"})
_BEFORE_A_RATE: Final = frozenset({"paid", "made", "earned", "lost", "cost", "costs", "took", "charged", "spent"})
_WORDS_BACK: Final = 5
_ARRIVES: Final = frozenset({"to", "at"})


def amounts_of_change(reading: Reading) -> Iterable[Flaw]:
    """A figure is no amount of a change or of a distance: not "rose by {x}", "up {x}", "{x} above", "a rise of {x}"."""
    for number, token in enumerate(reading.tokens):
        if token.key is None:
            continue
        behind = reading.tokens[number + 1] if number + 1 < len(reading.tokens) else None
        measures = behind is not None and behind.is_word and behind.lower in MEASURES and not _is_span(reading, number)
        if measures or _is_change_before(reading, number):
            around = " ".join(one.text for one in reading.tokens[max(number - 2, 0) : number + 2])
            yield Flaw(rule="amounts_of_change", what=around[:80],
                        advice="a figure is a level: write 'rose to {x}', or {x}, a comma, and 'above its target'")


def _is_span(reading: Reading, number: int) -> bool:
    """Whether "over" behind the figure begins "over the whole span"."""
    after = [one.lower for one in reading.tokens[number + 1 : number + 5]]
    return after[0] == "over" and any(one in ("span", "period", "day", "days", "session", "history") for one in after)


def _is_change_before(reading: Reading, number: int) -> bool:
    back = list(_words_back(reading, number))
    if not back:
        return False
    if back[0] in DIRECT_CHANGES or back[0] == "by":
        return True
    if back[0] == "of" and _is_of_a_change(reading, number, back):
        return True
    sums = back[0] in _COPULAS or (back[0] == "to" and len(back) > 1 and back[1] in _SUMS)
    return sums and _has_change_as_subject(reading, number)


def _is_of_a_change(reading: Reading, number: int, back: list[str]) -> bool:
    """Whether "of" before the figure follows "a rise", and no noun of a metric, or "rose by fees"."""
    if len(back) > 1 and back[1] in CHANGE_NOUNS:
        return not any(number - _WORDS_BACK < one.last < number for one in reading.nouns)
    return len(back) > 2 and back[2] == "by" and _compares(reading, number)


def _words_back(reading: Reading, number: int) -> Iterator[str]:
    """The words before a figure, the nearest first, up to a mark or a placeholder; articles are left out."""
    for token in reversed(reading.tokens[max(number - _WORDS_BACK, 0) : number]):
        if not token.is_word:
            return
        if token.lower not in ARTICLES:
            yield token.lower


def _compares(reading: Reading, number: int) -> bool:
    """Whether the clause of the figure has a comparing word other than an extreme."""
    words = {one.lower for one in reading.words(reading.tokens[number].clause)}
    return bool(words & (DIRECT_CHANGES | RIGHT_SIDES))


def _has_change_as_subject(reading: Reading, number: int) -> bool:
    """Whether "the change", "a rise" stands before the figure, and no other figure since."""
    inside, clause = reading.in_nouns(), reading.tokens[number].clause
    for place in range(number - 1, 0, -1):
        token, before = reading.tokens[place], reading.tokens[place - 1]
        if token.key is not None or token.clause != clause:
            return False
        if token.lower in CHANGE_NOUNS and place not in inside and before.lower in ARTICLES:
            return True
    first = reading.tokens[0]
    return first.lower in CHANGE_NOUNS and first.clause == clause and 0 not in inside


def compared_figures(reading: Reading) -> Iterable[Flaw]:
    """A figure right behind "than", "above", "exceeded" is what a claim compares with: its right side."""
    rights, lefts = {one.right for one in reading.claims}, {one.left for one in reading.claims}
    for number, token in enumerate(reading.tokens):
        back = list(_words_back(reading, number)) if token.key is not None else []
        if token.key in rights - lefts and back and back[0] in _ARRIVES and _compares(reading, number):
            yield Flaw(rule="compared_figures", what=f"{back[0]} {token.text}"[:80],
                        advice="what rose to a figure is the left side of a claim; the right side is where it was")
        if token.key is None or token.key in rights:
            continue
        if (back and back[0] in RIGHT_SIDES) or "than" in back:
            yield Flaw(rule="compared_figures", what=f"{' '.join(reversed(back[:2]))} {token.text}"[:80],
                        advice="no claim compares with this figure: give it as the right side of a claim")


def untruths(reading: Reading) -> Iterable[Flaw]:
    """Nothing that is said of a figure takes it back: "it is false that", "which is imaginary", "was refunded"."""
    inside = reading.in_nouns()
    for number, token in enumerate(reading.tokens if reading.figures() or reading.claims else ()):
        if token.is_word and number not in inside and token.lower in UNTRUE:
            yield Flaw(rule="untruths", what=token.text, advice="say what the figures say, nothing that denies them")


def predicates(reading: Reading) -> Iterable[Flaw]:
    """What is said to have happened to a count is what its metric counts: "{trades} trades were liquidated" is not."""
    for number, token in enumerate(reading.tokens):
        found = reading.snapshot.metrics.get(token.key.metric) if token.key is not None else None
        if found is None or found.unit is not Unit.COUNT:
            continue
        own = {word for noun in found.nouns for word in noun.lower().split()}
        for word in (_happened(reading, number), _attribute(reading, number, found.id)):
            if word is not None and word.lower not in DONE_TO_ALL | own:
                yield Flaw(rule="predicates", what=word.text,
                            advice="the figure counts all of them: use the metric that counts these")


def _happened(reading: Reading, number: int) -> SentenceToken | None:
    """The participle of "{trades} trades were liquidated", if there is one."""
    last = next((one.last for one in reading.nouns if number < one.first <= number + 2), number)
    passive = False
    for token in reading.tokens[last + 1 : last + 6]:
        word = token.lower
        if not token.is_word or token.clause != reading.tokens[number].clause:
            return None
        if word in _FATES:
            return token
        if word in _HAPPENED:
            passive = True
        elif passive and (_is_participle(word) or word in _IRREGULAR):
            return token
        elif word not in _AUXILIARIES and not word.endswith("ly"):
            return None
    return None


def _attribute(reading: Reading, number: int, metric: str) -> SentenceToken | None:
    """The participle of "Liquidated trades numbered {trades}", if there is one."""
    for noun in reading.nouns:
        if metric not in noun.metrics or noun.first == 0 or noun.last > number:
            continue
        token = reading.tokens[noun.first - 1]
        ahead = reading.tokens[noun.first - 2] if noun.first > 1 else None
        begins = ahead is None or ahead.clause != token.clause or ahead.lower in ARTICLES or ahead.lower == "of"
        if token.is_word and _is_participle(token.lower) and begins:
            return token
    return None


def _is_participle(word: str) -> bool:
    return word.endswith("ed") and len(word) > 4


def rates(reading: Reading) -> Iterable[Flaw]:
    """No figure becomes a rate: "{fees} a day", "{fees} each hour", "fees of {fees} were paid a trade"."""
    inside = reading.in_nouns()
    for number, token in enumerate(reading.tokens[:-1]):
        after, before = reading.tokens[number + 1], reading.tokens[number - 1] if number else None
        if token.lower not in ("a", "an", "each", "every", "per") or singular(after.lower) not in RATE_NOUNS:
            continue
        if number in inside or before is None or not reading.figures(token.clause):
            continue
        paid = before.is_word and (before.lower in _BEFORE_A_RATE or number - 1 in inside)
        if before.key is not None or paid:
            yield Flaw(rule="rates", what=f"{token.text} {after.text}", advice="use the metric that is defined so")


def parts(reading: Reading) -> Iterable[Flaw]:
    """A figure is no part of anything but a count of a count: "{win_rate} of the account" is a made-up share."""
    for number, token in enumerate(reading.tokens[:-2]):
        if token.key is None or token.key.metric not in reading.snapshot.metrics:
            continue
        if reading.tokens[number + 1].lower != "of":
            continue
        place = next((one for one in range(number + 2, len(reading.tokens)) if not _is_article(reading, one)), None)
        whole = reading.tokens[place] if place is not None else None
        own = any(one.first == place and token.key.metric in one.metrics for one in reading.nouns)
        counts = whole is not None and whole.key is not None and _is_count(reading, whole.key.metric)
        if not own and not (counts and _is_count(reading, token.key.metric)):
            yield Flaw(rule="parts", what=f"{token.text} of", advice="use the metric of this share, by its noun")


def _is_article(reading: Reading, number: int) -> bool:
    return reading.tokens[number].lower in ARTICLES


def _is_count(reading: Reading, metric: str) -> bool:
    found = reading.snapshot.metrics.get(metric)
    return found is not None and found.unit is Unit.COUNT


def owners(reading: Reading) -> Iterable[Flaw]:
    """A figure is the account's: its noun is of nobody else, and of no part that has no figure of its own."""
    keys = {key.metric for key in reading.figures()} | {one.left.metric for one in reading.claims}
    for noun in reading.nouns:
        after = reading.tokens[noun.last + 1 : noun.last + 5]
        if not after or after[0].lower not in ("of", "for") or not noun.metrics & keys:
            continue
        named = next((one for one in after[1:] if one.lower not in ARTICLES), None)
        if named is None or not named.is_word or reading.tokens.index(named) in reading.in_nouns():
            continue
        if singular(named.lower) not in OWNERS and named.lower not in OWNERS:
            yield Flaw(rule="owners", what=f"{after[0].text} {named.text}",
                        advice="the figure is of the whole account; leave the part out or use its placeholder")


def exclusives(reading: Reading) -> Iterable[Flaw]:
    """Nothing is said to be the only one: no claim says so. "Only {trades} trades" is no such saying."""
    for number, token in enumerate(reading.tokens[:-1]):
        after = reading.tokens[number + 1]
        names = after.place is not None and after.place.dimension != ""
        if token.lower in ("only", "alone") and (names or singular(after.lower) in DIMENSION_WORDS):
            yield Flaw(rule="exclusives", what=f"{token.text} {after.text}",
                        advice="leave 'only' out, or say 'best' or 'highest' with its claim")


