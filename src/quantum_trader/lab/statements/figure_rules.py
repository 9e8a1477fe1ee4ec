"""Rules of figures: each is in the snapshot, and the words around it say what it is, of what, of which day."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from quantum_trader.lab.metrics.metric import BetterWhen, Metric, Unit
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricKey
from quantum_trader.lab.statements.claims import day_before, is_signed
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import DIMENSIONS, ClaimRelation
from quantum_trader.lab.statements.reading import Noun, Reading, SentenceToken, index_of, singular
from quantum_trader.lab.statements.words import (
    BEFORE_A_FIGURE,
    BEFORE_DAY,
    DIRECT_CHANGES,
    GAIN_WORDS,
    LOSS_WORDS,
    QUALIFIERS,
    RELATIONS_OF,
    RESULT_WORDS,
    SPANS,
    TODAY,
    UNIT_WORDS,
    YESTERDAY,
    words_of_classes,
)

_TO_ITS_NOUN: Final = frozenset({"closed", "completed", "executed", "recorded", "finished"})  # "{trades} closed trades"
_BECAME: Final = frozenset({("became",), ("turned", "into"), ("led", "to"), ("ended", "as"), ("resulted", "in")})
_SPEAKS_FIRST: Final = frozenset({"on", "in", "during", "for", "and", "but", "while", "of", "was", "the", "a", "that"})
_COSTS: Final = frozenset({"fee", "cost", "commission", "slippage", "funding", "expense", "tax"})
_OTHERS: Final = frozenset({"stop", "stops", "balance", "exchange", "venue", "market", "exits", "entries", "hedge"})
_MADE: Final = {  # "made money", "paid off": a gain in two words
    *((verb, "money") for verb in ("made", "make", "makes", "making")),
    *((verb, "off") for verb in ("paid", "pay", "pays", "paying")),
}
_ANY_SIGN: Final = frozenset({"positive", "negative"})


def known_figures(reading: Reading) -> Iterable[Flaw]:
    """Every figure is in the snapshot: its metric, its day and its filter."""
    for key in reading.figures():
        if key.metric not in reading.snapshot.metrics:
            yield Flaw(rule="known_figures", what=str(key), advice="no such metric; see the admissible ones")
        elif reading.snapshot.of(key) is None:
            yield Flaw(rule="known_figures", what=str(key), advice="not in the snapshot; see the admissible ones")


def known_names(reading: Reading) -> Iterable[Flaw]:
    """A name is one that a figure of the snapshot is filtered by."""
    known = index_of(reading.snapshot).names
    for dimension in sorted(DIMENSIONS):
        for name in reading.names(dimension):
            if (dimension, name) not in known:
                yield Flaw(rule="known_names", what=f"{dimension}={name}"[:60], advice="no figure has this name")


def known_dates(reading: Reading) -> Iterable[Flaw]:
    """A date is one of the snapshot's days."""
    for day in reading.dates():
        if day != reading.snapshot.day and day not in reading.snapshot.days:
            yield Flaw(rule="known_dates", what=day, advice="not a day of the snapshot")


def typed_names(reading: Reading) -> Iterable[Flaw]:
    """A name that is written in words beside figures that have such names is theirs, else it must be a placeholder."""
    index, inside = index_of(reading.snapshot), reading.in_nouns()
    words = [one.lower if one.is_word and number not in inside else "" for number, one in enumerate(reading.tokens)]
    keys = {*reading.figures(), *(key for claim in reading.claims for key in claim.keys)}
    for name, pairs in index.name_words.items():
        size = len(name)
        if not any(tuple(words[first : first + size]) == name for first in range(len(words) - size + 1)):
            continue
        if any(not _carries(key, pairs, index.dimensions.get(key.metric, frozenset())) for key in keys):
            yield Flaw(rule="typed_names", what=" ".join(name), advice="write a name as a placeholder: {mode=scalp}")


def _carries(key: MetricKey, pairs: frozenset[tuple[str, str]], dimensions: frozenset[str]) -> bool:
    """Whether *key* is of one of the named, or of a metric that has no such names."""
    return bool(pairs & set(key.where)) or not any(dimension in dimensions for dimension, _ in pairs)


def unit_words(reading: Reading) -> Iterable[Flaw]:
    """A unit comes with its value; beside a figure it is not written, elsewhere it must be that of the figures."""
    inside = reading.in_nouns()
    for number, token in enumerate(reading.tokens):
        unit = UNIT_WORDS.get(token.text.lower()) if token.is_word and number not in inside else None
        if unit is None:
            continue
        nearby = reading.tokens[max(number - 1, 0) : number + 2]
        known = [_metric(reading, key) for key in reading.figures(token.clause) if _is_known(reading, key)]
        units = {one.unit.value.partition(" ")[0] for one in known}  # of "USDT amount" the first word
        if any(one.key is not None for one in nearby) or units != {unit}:
            yield Flaw(rule="unit_words", what=token.text, advice="leave the unit out: it comes with the value")


def before_a_figure(reading: Reading) -> Iterable[Flaw]:
    """No word before a figure makes another amount of it: about, over, minus, another."""
    for before, token in pairwise(reading.tokens):
        if token.key is not None and before.is_word and before.lower in BEFORE_A_FIGURE:
            yield Flaw(rule="before_a_figure", what=f"{before.text} {token.text}", advice=f"leave {before.text!r} out")
    for one, two, token in zip(reading.tokens, reading.tokens[1:], reading.tokens[2:], strict=False):
        if token.key is not None and (one.lower, two.lower) == ("close", "to"):
            yield Flaw(rule="before_a_figure", what=f"close to {token.text}", advice="say what it is, not what is near")


def qualifiers(reading: Reading) -> Iterable[Flaw]:
    """No word makes another figure of a figure: "average", "net", "long", unless it belongs to its metric's noun."""
    for clause in range(reading.clauses):
        for token in reading.words(clause) if reading.figures(clause) else []:
            if token.lower in QUALIFIERS:
                yield Flaw(rule="qualifiers", what=token.text, advice="use the metric that is defined so, by its noun")
    for token, after in pairwise(reading.tokens):
        if token.lower == "before" and singular(after.lower) in _COSTS and reading.figures():
            yield Flaw(rule="qualifiers", what=f"{token.text} {after.text}", advice="results are those after costs")


def nouns(reading: Reading) -> Iterable[Flaw]:
    """The noun that a figure is read with is one of its metric's."""
    used: set[int] = set()
    for number, token in enumerate(reading.tokens):
        if token.key is None or not _is_known(reading, token.key):
            continue
        if not _has_its_noun(reading, number, token.key.metric, used):
            own = _metric(reading, token.key).nouns
            yield Flaw(rule="nouns", what=token.text, advice=f"call it {' or '.join(own[:3])}, before or behind it")


def _has_its_noun(reading: Reading, number: int, metric: str, used: set[int]) -> bool:
    behind = _noun_behind(reading, number)
    if behind is None:
        behind = _noun_it_became(reading, number, metric)
    if behind is not None:
        words_between = behind.first - number - 1
        if metric in behind.metrics:
            used.add(behind.first)
            return True
        if words_between == 0:
            return False  # "{fees} trades" is read as a count of trades
    return _noun_ahead_fits(reading, number, metric, used)


def _noun_behind(reading: Reading, number: int) -> Noun | None:
    """The noun that follows the figure at once, or behind one word that changes nothing."""
    for noun in reading.nouns:
        if noun.first <= number:
            continue
        between = reading.tokens[number + 1 : noun.first]
        if len(between) > 1 or any(one.lower not in _TO_ITS_NOUN for one in between):
            return None
        return noun if reading.tokens[noun.first].clause == reading.tokens[number].clause else None
    return None


def _noun_ahead_fits(reading: Reading, number: int, metric: str, used: set[int]) -> bool:
    """Whether the nearest free noun before the figure is its metric's; of "x of y", x where y is another's."""
    ahead = [noun for noun in reading.nouns if noun.last < number and noun.first not in used]
    clause = reading.tokens[number].clause
    if not any(reading.tokens[noun.first].clause == clause for noun in ahead) and _earns(reading, number, metric):
        return True
    if _continues(reading, number, metric):
        return True
    if not ahead:
        return _noun_comes(reading, number, metric)
    while ahead:
        noun = ahead.pop()
        if metric in noun.metrics:
            return True
        if not noun.after_of:
            return False
    return False


def _noun_it_became(reading: Reading, number: int, metric: str) -> Noun | None:
    """The noun of "{trades} became trades", "{trades} of {signals} signals turned into trades"."""
    tokens = reading.tokens
    for noun in reading.nouns:
        if noun.first <= number or metric not in noun.metrics:
            continue
        ahead = (tokens[noun.first - 2].lower, tokens[noun.first - 1].lower)
        if ahead not in _BECAME and ahead[1:] not in _BECAME:
            continue
        others = [one for one in tokens[number + 1 : noun.first] if one.key is not None]
        if not others or (len(others) == 1 and tokens[number + 1].lower == "of"):
            return noun
    return None


def _continues(reading: Reading, number: int, metric: str) -> bool:
    """Whether the figure before it is of the same metric and had its noun: "{x} trades against {x@2026-11-26}"."""
    before = next((one for one in range(number - 1, -1, -1) if reading.tokens[one].key is not None), None)
    if before is None or reading.tokens[before].key.metric != metric:  # type: ignore[union-attr]
        return False
    behind = _noun_behind(reading, before)
    return (
        behind is not None and metric in behind.metrics
        and not any(behind.last < noun.first < number for noun in reading.nouns)
    )


def _noun_comes(reading: Reading, number: int, metric: str) -> bool:
    """Whether the sentence begins with the figure and then says what it is: "At {win_rate}, the win rate is"."""
    following = next((one for one in reading.nouns if one.first > number), None)
    if following is None or metric not in following.metrics:
        return False
    return all(one.key is None for one in (*reading.tokens[:number], *reading.tokens[number + 1 : following.first]))


def _earns(reading: Reading, number: int, metric: str) -> bool:
    """Whether a word such as "earned" or "gain" says, since the last figure, that a result follows."""
    found = reading.snapshot.metrics[metric]
    if found.unit is not Unit.USDT or found.direction is not BetterWhen.HIGHER:
        return False
    clause = reading.tokens[number].clause
    if any(one.lower in _OTHERS for one in reading.words(clause) if one.start < reading.tokens[number].start):
        return False
    for token in reversed(reading.tokens[:number]):
        if token.key is not None or token.clause != clause:
            return False
        if token.is_word and token.lower in RESULT_WORDS:
            return True
    return False


def names_fit(reading: Reading) -> Iterable[Flaw]:
    """A figure beside a name is filtered by this name: the result of all modes is not said of one."""
    for dimension in sorted(DIMENSIONS):
        everywhere = set(reading.names(dimension))
        for token in reading.tokens if everywhere else ():
            if token.key is None:
                continue
            names = set(reading.names(dimension, token.clause)) or everywhere
            if dict(token.key.where).get(dimension) not in names:
                yield Flaw(rule="names_fit", what=f"{token.text} with {dimension} {', '.join(sorted(names))}"[:80],
                            advice=f"give the figure the filter {dimension}=NAME of the name beside it")


def dates_fit(reading: Reading) -> Iterable[Flaw]:
    """A figure beside a date is of this date."""
    compared = {key.day for claim in reading.claims for key in claim.keys}
    for token in reading.tokens:
        dates = set(reading.dates(token.clause))
        if token.key is not None and dates and token.key.day not in dates and not compared >= dates | {token.key.day}:
            yield Flaw(rule="dates_fit", what=f"{token.text} with {', '.join(sorted(dates))}",
                        advice="give the figure the day that stands beside it")


def day_words(reading: Reading) -> Iterable[Flaw]:
    """"Today" is the report's day and "yesterday" or "the previous day" the one before: figures beside them agree."""
    day = reading.snapshot.day
    if day == WHOLE:
        return
    claimed = {key.day for claim in reading.claims for key in claim.keys}
    for number, token in enumerate(reading.tokens):
        word = token.lower if token.is_word else ""
        days = {key.day for key in reading.figures(token.clause) or reading.figures()}
        before = day_before(day)
        if word in TODAY and days and day not in days:
            yield Flaw(rule="day_words", what=token.text, advice=f"the report is of {day}")
        day_follows = any(one.lower in ("day", "days") for one in reading.tokens[number + 1 : number + 3]) or (
            number > 0 and reading.tokens[number - 1].lower == "day")
        speaks_of_it = word in YESTERDAY or (word in BEFORE_DAY and day_follows)
        if speaks_of_it and not (_is_of(before, days, claimed) and _subject_is_of(before, reading, number)):
            yield Flaw(rule="day_words", what=token.text, advice=f"no figure or claim of {before} goes with it")


def _subject_is_of(before: str, reading: Reading, number: int) -> bool:
    """Whether what a clause that begins with "yesterday" says first is of that day."""
    clause = reading.tokens[number].clause
    ahead = [one for one in reading.tokens[:number] if one.clause == clause]
    if any(one.lower not in _SPEAKS_FIRST for one in ahead) and not _is_when(reading, number):
        return True  # "higher than yesterday"
    if keys := reading.figures(clause):
        return keys[0].day == before
    compares = any(one.lower in RELATIONS_OF for one in reading.words(clause))
    return not compares or all(one.left.day == before for one in reading.claims)


def _is_when(reading: Reading, number: int) -> bool:
    """Whether "the day before" says when something changed: "fees rose the day before", not "from the day before"."""
    place = number - 1
    while place >= 0 and reading.tokens[place].lower in ("the", "day"):
        place -= 1
    owned = any(one.text.lower() == "day's" for one in reading.tokens[number : number + 2])
    if owned or place < 0:
        return False  # "twice the previous day's level"
    return reading.tokens[place].lower in DIRECT_CHANGES | words_of_classes("twice", "half")


def _is_of(before: str, days: set[str], claimed: set[str]) -> bool:
    return before in days or before in claimed


def signs(reading: Reading) -> Iterable[Flaw]:
    """A clause that speaks of a gain or a loss has results of that sign, or a claim that says so."""
    inside = _quiet_nouns(reading)
    for number, token in enumerate(reading.tokens):
        if not token.is_word or number in inside:
            continue
        made = number > 0 and (reading.tokens[number - 1].lower, token.lower) in _MADE
        for words, sign in ((GAIN_WORDS, 1), (LOSS_WORDS, -1)):
            if (token.lower in words or (made and sign > 0)) and not _signs_agree(reading, token, sign):
                yield Flaw(rule="signs", what=token.text,
                            advice="the result beside it has the other sign, or there is none: write 'result'")


def _quiet_nouns(reading: Reading) -> set[int]:
    """Tokens of nouns that say no sign: "profit factor"; of one word, those of metrics whose sign says nothing."""
    quiet: set[int] = set()
    for noun in reading.nouns:
        signed = any(is_signed(reading.snapshot.metrics[one]) for one in noun.metrics)
        if noun.last > noun.first or not signed:
            quiet.update(range(noun.first, noun.last + 1))
    for number, (one, two) in enumerate(pairwise(reading.tokens)):
        if one.lower == "stop" and two.lower in ("loss", "losses"):
            quiet.add(number + 1)
    return quiet


def _signs_agree(reading: Reading, token: SentenceToken, sign: int) -> bool:
    if (owned := _owned_by_a_day(reading, token)) is not None:
        return bool(owned) and all(_sign(reading, key) == sign for key in owned)
    own = _figure_of(reading, token)
    keys = [key for key in ([own] if own else reading.figures(token.clause)) if _is_known(reading, key)]
    results = [key for key in keys if is_signed(_metric(reading, key))]
    if not results and token.lower in _ANY_SIGN:
        results = keys
    if not results and not keys:
        results = _named_results(reading, token)
    if not results:
        wanted = ClaimRelation.GAIN if sign > 0 else ClaimRelation.LOSS
        return not keys and _is_claimed(reading, token, wanted)
    return all(_sign(reading, key) == sign for key in results)


def _is_claimed(reading: Reading, token: SentenceToken, wanted: ClaimRelation) -> bool:
    """Whether claims say the gain or loss of everybody whom the clause names, on the day that it speaks of."""
    words = {one.lower for one in reading.words(token.clause)}
    days = set(reading.dates(token.clause)) or set(reading.dates()) or {reading.snapshot.day}
    if words & YESTERDAY and reading.snapshot.day != WHOLE:
        days = {day_before(reading.snapshot.day)}
    elif words & SPANS and "whole" in words:
        days = {WHOLE}
    names = {
        (dimension, name) for dimension in DIMENSIONS
        for name in reading.names(dimension, token.clause) or reading.names(dimension)
    }
    said = [set(one.left.where) for one in reading.claims if one.relation is wanted and one.left.day in days]
    return names in said or (bool(names) and all({name} in said for name in names))


def _owned_by_a_day(reading: Reading, token: SentenceToken) -> list[MetricKey] | None:
    """The results that "yesterday's loss", "the previous day's loss" or "today's profit" is of; None of other words."""
    day, number = reading.snapshot.day, reading.tokens.index(token)
    before = reading.tokens[number - 1].text.lower() if number else ""
    if day == WHOLE or before not in ("yesterday's", "today's", "day's") or (
        before == "day's" and (number < 2 or reading.tokens[number - 2].lower not in BEFORE_DAY)
    ):
        return None
    meant = day if before == "today's" else day_before(day)
    keys = [*reading.figures(), *(key for claim in reading.claims for key in claim.keys)]
    found = [key for key in keys if key.day == meant and _is_known(reading, key) and is_signed(_metric(reading, key))]
    if found:
        return found
    named = {one for noun in reading.nouns if reading.tokens[noun.first] is token for one in noun.metrics}
    named_keys = [MetricKey(one, meant) for one in sorted(named) if is_signed(reading.snapshot.metrics[one])]
    return [key for key in named_keys if reading.snapshot.of(key) is not None]


def _figure_of(reading: Reading, token: SentenceToken) -> MetricKey | None:
    """The figure of "a loss of {x}", whatever else the clause speaks of."""
    number = reading.tokens.index(token)
    after = reading.tokens[number + 1 : number + 3]
    found = after[1].key if len(after) > 1 and after[0].lower == "of" else None
    return found if found is not None and _is_known(reading, found) and is_signed(_metric(reading, found)) else None


def _named_results(reading: Reading, token: SentenceToken) -> list[MetricKey]:
    """The day's figures of the signed metrics that *token* is the noun of, where nothing says which one is meant."""
    if any(reading.names(dimension) for dimension in DIMENSIONS) or reading.dates():
        return []
    named = {one for noun in reading.nouns if reading.tokens[noun.first] is token for one in noun.metrics}
    found = [MetricKey(one, reading.snapshot.day) for one in sorted(named) if is_signed(reading.snapshot.metrics[one])]
    return [key for key in found if reading.snapshot.of(key) is not None]


def _sign(reading: Reading, key: MetricKey) -> int:
    """1 or -1; 0 where there is no value, or one that shows as zero."""
    found, metric = reading.snapshot.of(key), _metric(reading, key)
    if found is None or found.value is None or metric_text(found.value, metric.unit) == metric_text(0.0, metric.unit):
        return 0
    return 1 if found.value > 0.0 else -1


def _metric(reading: Reading, key: MetricKey) -> Metric:
    return reading.snapshot.metrics[key.metric]


def _is_known(reading: Reading, key: MetricKey) -> bool:
    return key.metric in reading.snapshot.metrics
