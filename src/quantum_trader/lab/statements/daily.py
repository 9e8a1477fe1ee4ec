"""The report of rules alone: sentences of the same language, made from a snapshot without any model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from quantum_trader.lab.metrics.metric import Metric, Unit
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot
from quantum_trader.lab.statements.checker import check_sentence
from quantum_trader.lab.statements.claims import BoundClaim, day_before, is_signed, is_true
from quantum_trader.lab.statements.language import Claim, ClaimRelation, Sentence

MOST_OF_A_GROUP: Final = 8
_PREPOSITION: Final = re.compile(r" (?:of|to|by|in|at|for|on|that|trained) ")
_VERBS: Final = {
    ClaimRelation.ROSE: "rose to", ClaimRelation.FELL: "fell to", ClaimRelation.UNCHANGED: "was unchanged at",
}
_TARGETS: Final = {ClaimRelation.MEETS_TARGET: "meets", ClaimRelation.MISSES_TARGET: "misses"}


def daily_sentences(snapshot: MetricSnapshot) -> list[tuple[str, list[Sentence]]]:
    """(title, sentences) for each group of metrics that has a figure of the day, in the catalogue's order."""
    groups: dict[str, list[Sentence]] = {}
    for metric in snapshot.metrics.values():
        made = groups.setdefault(metric.group, [])
        if len(made) < MOST_OF_A_GROUP:
            made += _of_metric(metric, snapshot)
    return [(title.capitalize(), made) for title, made in groups.items() if made]


def _of_metric(metric: Metric, snapshot: MetricSnapshot) -> Iterable[Sentence]:
    """A sentence on the day's figure, and of a result one on the best and the worst of a dimension."""
    key = MetricKey(metric.id, snapshot.day)
    found = snapshot.of(key)
    if found is None or found.value is None or _is_silent(key, snapshot):
        return
    yield from _first_usable((_about(metric, noun, key, snapshot) for noun in metric.nouns), snapshot)
    if is_signed(metric) and metric.unit is Unit.USDT:
        yield from _extremes(metric, snapshot)


def _is_silent(key: MetricKey, snapshot: MetricSnapshot) -> bool:
    """Whether a count is zero and was so the day before: nothing happened, and nothing is said."""
    if snapshot.metrics[key.metric].unit is not Unit.COUNT or key.day == WHOLE:
        return False
    days = (snapshot.of(key), snapshot.of(MetricKey(key.metric, day_before(key.day))))
    return all(one is None or not one.value for one in days)


def _first_usable(sentences: Iterable[Sentence], snapshot: MetricSnapshot) -> list[Sentence]:
    """The first of *sentences* without a flaw: a metric may have a noun that cannot be written, or not here."""
    return next(([one] for one in sentences if not check_sentence(one, snapshot)), [])


def _about(metric: Metric, noun: str, key: MetricKey, snapshot: MetricSnapshot) -> Sentence:
    """"The win rate rose to {win_rate}, which meets its target."""
    subject = f"number of {_plural(noun)}" if metric.unit is Unit.COUNT and not noun.startswith("number of") else noun
    claims, verb, ending = [], "was", ""
    before = MetricKey(metric.id, day_before(key.day)) if key.day != WHOLE else None
    if before is not None and snapshot.of(before) is not None:
        for relation, text in _VERBS.items():
            if is_true(BoundClaim(relation=relation, left=key, right=before), snapshot):
                verb = text
                claims.append(Claim(left=str(key), relation=relation))
    for relation, text in _TARGETS.items():
        if is_true(BoundClaim(relation=relation, left=key), snapshot):
            ending = f", which {text} its target"
            claims.append(Claim(left=str(key), relation=relation))
    return Sentence(text=f"The {subject} {verb} {{{metric.id}}}{ending}.", claims=tuple(claims))


def _plural(noun: str) -> str:
    """*noun* in the plural: "change of state" gives "changes of state"."""
    head, preposition, rest = noun, "", ""
    if found := _PREPOSITION.search(noun):
        head, preposition, rest = noun[: found.start()], found[0], noun[found.end() :]
    if head.endswith("y") and head[-2:] not in ("ay", "ey", "oy"):
        return f"{head[:-1]}ies{preposition}{rest}"
    return f"{head}{'es' if head.endswith(('s', 'x', 'ch', 'sh')) else 's'}{preposition}{rest}"


def _extremes(metric: Metric, snapshot: MetricSnapshot) -> Iterable[Sentence]:
    """The best and the worst mode, symbol and so on, where there is one."""
    for dimension in metric.by:
        keys = [
            one.key for one in snapshot
            if one.key.metric == metric.id and one.key.day == snapshot.day and one.value is not None
            and [name for name, _ in one.key.where] == [dimension.value]
        ]
        for relation in (ClaimRelation.BEST, ClaimRelation.WORST):
            for key in keys:
                bound = BoundClaim(relation=relation, left=key, over=dimension.value, among=tuple(keys))
                if len(keys) < 2 or not is_true(bound, snapshot):
                    continue
                name, figure = key.where[0][1], f"{metric.id}|{dimension.value}={key.where[0][1]}"
                yield from _first_usable((
                    Sentence(
                        text=f"The {relation} {dimension.value} by {noun} was {{{dimension.value}={name}}} "
                        f"with {{{figure}}}.",
                        claims=(Claim(left=figure, relation=relation),),
                    )
                    for noun in metric.nouns
                ), snapshot)
