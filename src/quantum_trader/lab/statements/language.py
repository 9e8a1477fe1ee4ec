"""The language of statements: a sentence with placeholders for every figure, and typed claims for its comparisons.

Placeholders: ``{win_rate}`` (the report's day), ``{win_rate@2026-11-27}``, ``{win_rate@all}`` (the whole span),
``{win_rate|mode=scalp}``, ``{win_rate@2026-11-27|mode=scalp,symbol=BTCUSDT}``; names ``{symbol=BTCUSDT}``; dates
``{date}`` and ``{date@2026-11-27}``. Nothing else is written in braces.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError, brief
from quantum_trader.lab.metrics.metric import Dimension
from quantum_trader.lab.metrics.values import WHOLE, MetricKey

DIMENSIONS: Final = frozenset(one.value for one in Dimension)
LONGEST_TEXT, MOST_CLAIMS = 600, 12
_REFERENCE: Final = re.compile(r"([a-z][a-z0-9_]{1,47})(?:@(\d{4}-\d{2}-\d{2}|all))?(?:\|([^{}|@]+))?", re.ASCII)
_FILTER: Final = re.compile(r"([a-z]+)=([^{}|@,=]+)")
_DATE: Final = re.compile(r"date(?:@(\d{4}-\d{2}-\d{2}))?", re.ASCII)


class ClaimRelation(StrEnum):
    """What a claim says of its left value; ``lab.statements.claims`` says when each is true."""

    ROSE = "rose"
    FELL = "fell"
    UNCHANGED = "unchanged"
    IMPROVED = "improved"
    WORSENED = "worsened"
    ABOVE = "above"
    BELOW = "below"
    EQUAL = "equal"
    BETTER = "better"
    WORSE = "worse"
    TWICE = "twice"
    MORE_THAN_TWICE = "more_than_twice"
    HALF = "half"
    LESS_THAN_HALF = "less_than_half"
    HIGHEST = "highest"
    LOWEST = "lowest"
    BEST = "best"
    WORST = "worst"
    ABOVE_TARGET = "above_target"
    BELOW_TARGET = "below_target"
    MEETS_TARGET = "meets_target"
    MISSES_TARGET = "misses_target"
    GAIN = "gain"
    LOSS = "loss"
    NONE = "none"
    ALL = "all"
    MOST = "most"
    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not_significant"


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """*left* stands in *relation* to *right*; both are written as placeholders are, without braces.

    *right* may be a day alone (the same figure on that day), or, of an extreme, the dimension it is the extreme of
    (``symbol``, ``day``). Left out, it is the day before, or the only dimension of *left* (``day`` where it has none).
    """

    left: str
    relation: ClaimRelation
    right: str = ""


class Sentence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sentence, with the claims that its comparing words rest on."""

    text: str
    claims: tuple[Claim, ...] = ()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a pair of braces: a figure (*key*), a name (*dimension* and *name*) or a date (*day*)."""

    key: MetricKey | None = None
    dimension: str = ""
    name: str = ""
    day: str = ""


def read_reference(text: str, day: str) -> MetricKey:
    """The figure that *text* names, of *day* where it names none; InputError for what is no reference."""
    found = _REFERENCE.fullmatch(text.strip())
    if not found:
        raise InputError(f"{brief(text)}: no reference to a metric; write id, id@2026-11-27, id|mode=scalp")
    where = []
    for part in (found[3] or "").split(",") if found[3] else []:
        pair = _FILTER.fullmatch(part.strip())
        if not pair or pair[1] not in DIMENSIONS:
            raise InputError(f"{brief(text)}: a filter is one of {', '.join(sorted(DIMENSIONS))}, as mode=scalp")
        where.append((pair[1], pair[2]))
    if len({name for name, _ in where}) < len(where):
        raise InputError(f"{brief(text)}: names a dimension twice")
    return MetricKey(found[1], found[2] or day, tuple(sorted(where)))


def read_place(text: str, day: str) -> Place:
    """What the text between two braces stands for; InputError where it is none of the three."""
    if date := _DATE.fullmatch(text.strip()):
        return Place(day=date[1] or day)
    if (pair := _FILTER.fullmatch(text.strip())) and pair[1] in DIMENSIONS:
        return Place(dimension=pair[1], name=pair[2])
    return Place(key=read_reference(text, day))


def is_day(text: str) -> bool:
    """Whether *text* is a day or the whole span, as a claim's right side may be."""
    return text == WHOLE or re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) is not None
