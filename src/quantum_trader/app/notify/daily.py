"""What is computed from the journal now and then: the insight of a finished day, and alarms of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from quantum_trader.app.notify.notices import Notice, NoticeKind, NoticeLevel
from quantum_trader.domain.errors import QuantumTraderError

if TYPE_CHECKING:
    from quantum_trader.lab.metrics.catalogue import Catalogue

_LEVELS: Final = {"CRITICAL": NoticeLevel.CRITICAL}


class _Collector:
    """Takes alarms of the desk as notices."""

    def __init__(self) -> None:
        self.found: list[Notice] = []

    def notify(self, title: str, text: str, level: str) -> None:
        """Take one alarm."""
        self.found.append(Notice(
            kind=NoticeKind.ALERT, key=title, text=f"{title}: {text}", level=_LEVELS.get(level, NoticeLevel.WARNING)
        ))


def alarms_of(state: Path, now_ns: int, catalogue: Catalogue | None = None) -> list[Notice]:
    """The alarms of the last day of the journal that are due, each once in its cool-down; none where it has no day.

    *catalogue*: of the figures and their rules; the bundled one where left out.
    """
    from quantum_trader.lab.metrics.alerts import AlertDesk, broken_rules
    from quantum_trader.lab.metrics.catalogue import load_catalogue
    from quantum_trader.lab.metrics.computer import MetricsComputer

    catalogue, told = catalogue if catalogue is not None else load_catalogue(), _Collector()
    try:
        computer = MetricsComputer(state, catalogue)
        day = computer.last_day()
        if day:
            AlertDesk(state, catalogue, [told]).tell(broken_rules(computer.day(day), day), now_ns)
    except (QuantumTraderError, OSError):
        return []  # the journal is being written, or the disk is full: asked again later
    return told.found


def insight_of_day(state: Path, day: str) -> list[Notice]:
    """The insight of the finished *day*, as one notice; none where the journal has no event of it."""
    from quantum_trader.lab.insights.aggregator import InsightAggregator

    try:
        found = InsightAggregator(state).get_daily_insights(day)
    except (QuantumTraderError, OSError):
        return []
    advice = "".join(f" To do: {one.text}" for one in found.recommendations)
    return [Notice(kind=NoticeKind.INSIGHT, key=day, text=f"{day}: {found.summary}{advice}")]
