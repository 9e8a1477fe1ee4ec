"""Alarms of the catalogue: which days' values break a rule, told once in each cool-down, to a log and to notifiers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.private_files import read_bounded
from quantum_trader.journal.private import write_private
from quantum_trader.lab.metrics.catalogue import Catalogue
from quantum_trader.lab.metrics.finished_days import FOLDER
from quantum_trader.lab.metrics.metric import AlertRule, Metric
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import MetricKey, MetricSnapshot, MetricValue

WARNING: Final = "WARNING"
TOLD_FILE: Final = "alerts.json"
_MOST_BYTES: Final = 4 << 20
_LOG: Final = logging.getLogger(__name__)


class Notifier(Protocol):
    """Tells a person something, by whatever way."""

    def notify(self, title: str, text: str, level: str) -> None:
        """Tell *text* under *title*; *level* is WARNING or CRITICAL. Must not wait for an answer for long."""
        ...


class LogNotifier:
    """Writes alarms to the program's log."""

    def notify(self, title: str, text: str, level: str) -> None:
        """Write one line."""
        _LOG.log(logging.getLevelNamesMapping().get(level, logging.WARNING), "%s: %s", title, text)


class MetricAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A value that breaks the rule of its metric."""

    key: MetricKey
    title: str
    text: str  # one sentence: what it is, and the limit
    value: float
    limit: float
    is_above: bool
    samples: int


def broken_rules(snapshot: MetricSnapshot, day: str = "") -> list[MetricAlert]:
    """The alarms of *day* (the snapshot's own where left out), over all symbols and modes, in the catalogue's order."""
    found: list[MetricAlert] = []
    for metric in snapshot.metrics.values():
        value = snapshot.get(metric.id, day)
        if metric.alert is not None and value is not None:
            found += _broken(metric, metric.alert, value)
    return found


def _broken(metric: Metric, rule: AlertRule, found: MetricValue) -> Iterable[MetricAlert]:
    if found.value is None or found.samples < rule.least_samples:
        return
    for limit, is_above in ((rule.above, True), (rule.below, False)):
        if limit is not None and (found.value > limit if is_above else found.value < limit):
            side = "above" if is_above else "below"
            text = (
                f"{metric_text(found.value, metric.unit)}, {side} the limit of {metric_text(limit, metric.unit)} "
                f"({found.key}, {found.samples:,} samples)"
            )
            yield MetricAlert(
                key=found.key, title=metric.title, text=text, value=found.value, limit=limit, is_above=is_above,
                samples=found.samples,
            )


class AlertDesk:
    """Tells alarms to notifiers, each at most once in its cool-down; what was told is kept in the state folder."""

    def __init__(self, state: Path, catalogue: Catalogue, notifiers: Sequence[Notifier] = ()) -> None:
        """*notifiers*: beside the log, which hears every alarm."""
        self._path = state / FOLDER / TOLD_FILE
        self._catalogue, self._notifiers = catalogue, (LogNotifier(), *notifiers)

    def tell(self, alerts: Iterable[MetricAlert], now_ns: int) -> list[MetricAlert]:
        """Tell those of *alerts* that are due at *now_ns*; returns them.

        They are noted before they are told, so that a stop between never tells one twice. A damaged note counts as
        none: an alarm told twice is better than one that is not told. Raises StateError where nothing can be noted.
        """
        told = self._read()
        due = [one for one in alerts if self._is_due(one, told, now_ns)]
        if due:
            changed = {**told, **{_rule_name(one): now_ns for one in due}}
            write_private(self._path, msgspec.json.encode(changed))
        for one in due:
            for notifier in self._notifiers:
                notifier.notify(one.title, one.text, WARNING)
        return due

    def _is_due(self, alert: MetricAlert, told: dict[str, int], now_ns: int) -> bool:
        rule = self._catalogue.metric(alert.key.metric).alert
        last = told.get(_rule_name(alert))
        if rule is None or last is None or last > now_ns:  # noted by a clock that was ahead
            return rule is not None
        return now_ns - last >= rule.cooldown_hours * NS_PER_HOUR

    def _read(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(read_bounded(self._path, _MOST_BYTES), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            return {}


def _rule_name(alert: MetricAlert) -> str:
    return f"{alert.key.metric}:{'above' if alert.is_above else 'below'}"
