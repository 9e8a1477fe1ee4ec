"""Makes the insight of any day: of a run by its journal, or of an outside simulation by its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.lake import JOURNAL, journal_of
from quantum_trader.lab.insights import insight_sentences as said
from quantum_trader.lab.insights.daily_insight import DailyInsight, InsightParts, insight_of
from quantum_trader.lab.insights.day_records import WINDOW_DAYS, DayRecords, midnight_of, read_day
from quantum_trader.lab.insights.insight_figures import INSIGHTS, insight_figures
from quantum_trader.lab.insights.outside_events import OutsideEvents, outside_day, write_events
from quantum_trader.lab.insights.threshold_moves import moved_threshold
from quantum_trader.lab.market_context import optimal_conditions, samples_of_signals
from quantum_trader.lab.metrics.catalogue import Catalogue, load_catalogue
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.values import MetricSnapshot, MetricValue
from quantum_trader.lab.shadows.analysis import BY_GATE, analyse
from quantum_trader.lab.statements.claims import day_before


class InsightAggregator:
    """Makes the insight of any day of a run, or of a simulation that is not this program's."""

    def __init__(
        self, state: Path | str, catalogue: Catalogue | None = None, *, window_days: int = WINDOW_DAYS
    ) -> None:
        """*state*: state folder of a run. Raises StateError where it has no journal."""
        self._catalogue = catalogue if catalogue is not None else load_catalogue()
        self._computer = MetricsComputer(state, self._catalogue)
        self._state, self._window_days = Path(state), window_days
        self._outside: OutsideEvents | None = None
        self._folder: TemporaryDirectory[str] | None = None
        if window_days < 1:
            raise InputError(f"window_days = {window_days!r}: must be at least 1")

    @classmethod
    def from_events(
        cls, signals: Iterable[Any], gates: Iterable[Any] = (), trades: Iterable[Any] = (), *,
        catalogue: Catalogue | None = None,
    ) -> InsightAggregator:
        """The insights of a simulation that is not this program's, from what it gave, judged and traded.

        Each is an event of the journal (SignalEvent, GateEvent, TradeEvent) or a mapping with such fields. A signal is
        blocked where a gate did not let it pass. Nothing is kept when the program ends.
        """
        events = OutsideEvents.of(signals, gates, trades)
        folder = TemporaryDirectory(prefix="quantum-trader-insight-")
        write_events(Path(folder.name) / JOURNAL, events)
        made = cls(Path(folder.name), catalogue)
        made._outside, made._folder = events, folder
        return made

    def days(self) -> list[str]:
        """The days that have events, oldest first."""
        return list(self._computer.days())

    def get_daily_insights(self, day: str | date | None = None) -> DailyInsight:
        """The insight of *day*, as 2026-11-27 (the last one where left out), from what was known at its end.

        Raises StateError where the journal has no event of that day.
        """
        return insight_of(self.parts(day))

    def parts(self, day: str | date | None = None) -> InsightParts:
        """What the insight of *day* is made of; the council reads the same snapshot."""
        known = self.days()
        day = self._chosen(day, known)
        if self._outside is not None:
            records, moved = outside_day(self._outside, day)
        else:
            records = read_day(journal_of(self._state), day, self._window_days)
            moved = moved_threshold(records.refused, records.signals) if _nothing_traded(records) else None
        signals = records.signals
        analysis = analyse(signals, by=(BY_GATE,)) if signals is not None else None
        conditions = optimal_conditions(samples_of_signals(signals)) if signals is not None else None
        values = [*self._of_day(day, known), *insight_figures(records, analysis, conditions, moved)]
        return InsightParts(
            snapshot=MetricSnapshot(
                {**self._catalogue.queried, **self._catalogue.of_source(INSIGHTS)}, values, day
            ),
            records=records, analysis=analysis, conditions=conditions, moved=moved, window_days=self._window_days,
            state="" if self._outside is not None else str(self._state),
        )

    def _chosen(self, day: str | date | None, known: list[str]) -> str:
        if not known:
            raise StateError(f"--state {self._state}: the journal has no event yet")
        wanted = self._computer.last_day() if day is None else day.isoformat() if isinstance(day, date) else day
        midnight_of(wanted)
        if wanted not in known:
            raise StateError(
                f"day = {wanted}: the journal has no event of it; it goes from {known[0]} to {known[-1]}"
            )
        return wanted

    def _of_day(self, day: str, known: list[str]) -> list[MetricValue]:
        """The catalogue's figures of *day*, and those of the day before that sentences compare with."""
        before = day_before(day)
        older = self._computer.some(before, ("pnl_total",)) if before in known else ()
        names = [one for one in said.SPOKEN if one in self._catalogue.queried]
        return [*self._computer.some(day, names), *older]


def _nothing_traded(records: DayRecords) -> bool:
    """Whether every signal of the day was refused."""
    return bool(records.refusals) and records.given == len(records.refused)
