"""Checks statements by every rule and renders those that break none; nothing else becomes text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot
from quantum_trader.lab.statements import amount_rules, claim_rules, figure_rules, reach_rules, text_rules
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import Place, Sentence
from quantum_trader.lab.statements.reading import Reading, read_sentence

SentenceRule = Callable[[Reading], Iterable[Flaw]]
RULES: Final[tuple[SentenceRule, ...]] = (
    text_rules.characters, text_rules.braces, text_rules.one_sentence, text_rules.length, text_rules.spacing,
    text_rules.known_words, text_rules.capitals, text_rules.number_words, text_rules.vague_words,
    text_rules.approximations, text_rules.arithmetic, text_rules.date_words, text_rules.conditions,
    figure_rules.known_figures, figure_rules.known_names, figure_rules.known_dates, figure_rules.typed_names,
    figure_rules.unit_words, figure_rules.before_a_figure, figure_rules.qualifiers, figure_rules.nouns,
    figure_rules.names_fit, figure_rules.dates_fit, figure_rules.day_words, figure_rules.signs,
    amount_rules.amounts_of_change, amount_rules.compared_figures, amount_rules.untruths, amount_rules.predicates,
    amount_rules.rates, amount_rules.parts, amount_rules.owners, amount_rules.exclusives,
    claim_rules.known_claims, claim_rules.true_claims, claim_rules.comparisons, claim_rules.order,
    claim_rules.negations, claim_rules.no_data, reach_rules.echoes, reach_rules.named_claims, reach_rules.reaches,
)
_LONGEST_NAME: Final = 64


def check_sentence(sentence: Sentence, snapshot: MetricSnapshot, rules: tuple[SentenceRule, ...] = RULES) -> list[Flaw]:
    """Every flaw of *sentence*; an empty list means that it may be rendered."""
    reading = read_sentence(sentence, snapshot)
    return [flaw for rule in rules for flaw in rule(reading)]


def render_sentence(sentence: Sentence, snapshot: MetricSnapshot) -> str:
    """*sentence* as plain text, its figures written in; InputError with its flaws where it has any."""
    flaws = check_sentence(sentence, snapshot)
    if flaws:
        raise InputError("; ".join(map(str, flaws)))
    return _rendered(read_sentence(sentence, snapshot))


def figures_in(sentence: Sentence, snapshot: MetricSnapshot) -> list[MetricKey]:
    """The figures that *sentence* shows or compares, each once, in order."""
    reading = read_sentence(sentence, snapshot)
    keys = [*reading.figures(), *(key for claim in reading.claims for key in claim.keys)]
    return list(dict.fromkeys(keys))


def _rendered(reading: Reading) -> str:
    parts, at = [], 0
    for token in reading.tokens:
        if token.place is not None:
            parts += [reading.text[at : token.start], _written(token.place, reading)]
            at = token.end
    return "".join([*parts, reading.text[at:]])


def _written(place: Place, reading: Reading) -> str:
    if place.key is None:
        return place.day or safe_name(place.name)
    found = reading.snapshot.of(place.key)
    text = metric_text(found.value if found else None, reading.snapshot.metrics[place.key.metric].unit)
    scope = ", ".join(_scope(place.key, reading))
    return f"{text} ({scope})" if scope else text


def _scope(key: MetricKey, reading: Reading) -> list[str]:
    """What a reader must know of *key* and the sentence does not say beyond doubt: its filter and its day."""
    scope = [safe_name(name) for dimension, name in key.where if reading.names(dimension) != [name]]
    dates = set(reading.dates())
    if dates != {key.day} if dates else key.day != reading.snapshot.day:
        scope.append("whole span" if key.day == WHOLE else key.day)
    return scope


def safe_name(name: str) -> str:
    """*name* with every character that is no letter, digit, ``.``, ``_``, ``:``, ``/`` or ``-`` shown as ``_``."""
    return "".join(char if char.isalnum() or char in "._:/-" else "_" for char in name)[:_LONGEST_NAME]
