"""What metrics cost: all of them over a journal of ten million events, and one further day, against one GROUP BY.

The journal is that of a real run, each of its records many times over with ids of its own: kinds, sizes and joins
have the shares of a run. It is made once, in build/.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.finished_days import FOLDER

EVENTS = 10_000_000
BUILD = Path(__file__).resolve().parent.parent / "build"
GROUP_BY = "select day, kind, symbol, count(*) as events from events group by day, kind, symbol"
_ID = re.compile(rb'"(?:s|tr|i|t|e|p|r)[0-9]{7,}"|"qt-[0-9a-f]+"|"paper-[a-z]-[0-9]+"')
_LINES = "select kind, ts_ns, payload from events order by ts_ns, seq"
_MARK = b"\x00"


def template(payload: bytes) -> bytes:
    """*payload* with a mark at the end of each id."""
    return _ID.sub(lambda found: found[0][:-1] + _MARK + b'"', payload)


def journal_of(count: int) -> Path:
    """A state folder whose journal has about *count* events of a run of five months; kept in build/."""
    state = BUILD / f"metrics-{count}"
    if (state / "whole").exists():
        return state
    shutil.rmtree(state, ignore_errors=True)
    seed = BUILD / "metrics-seed"
    shutil.rmtree(seed, ignore_errors=True)
    settings = RunSettings(data=DataSettings(start="2018-05-01", end="2018-09-30"))
    run(settings, RunOptions(state_dir=seed))
    rows = Lake(seed / JOURNAL).sql(_LINES).to_pylist()
    state.mkdir(parents=True, mode=0o700)
    copies = [b"-%d" % number for number in range(max(1, count // len(rows)))]
    with EventLogger(state / JOURNAL) as logger:
        for row in rows:
            kind, ts_ns, marked = row["kind"], row["ts_ns"], template(row["payload"].encode())
            for number, copy in enumerate(copies):
                logger.log_checked_line(kind, ts_ns + number, marked.replace(_MARK, copy), 1)
    Lake(state / JOURNAL).compact()
    (state / "whole").touch()
    return state


def forgotten(state: Path) -> None:
    """Remove what was kept of the days."""
    shutil.rmtree(state / FOLDER, ignore_errors=True)


@bench("metrics")
def metrics(count: int = EVENTS) -> Iterator[Figure]:
    """All metrics by day and dimension from nothing kept, and one day whose others are kept."""
    state = journal_of(count)
    lake = Lake(state / JOURNAL)
    total = lake.sql("select count(*) as n from events").to_pylist()[0]["n"]
    last = max(MetricsComputer(state).days())

    def group_by() -> float:
        return seconds(lambda: Lake(state / JOURNAL).sql(GROUP_BY))

    def whole() -> float:
        forgotten(state)
        return seconds(lambda: MetricsComputer(state).compute())

    def further_day() -> float:
        (state / FOLDER / f"{last}.json").unlink(missing_ok=True)
        return seconds(lambda: MetricsComputer(state).day(last))

    name = f"GROUP BY day, kind and symbol over {total:,} events, s"
    found = fastest_in_turns(2, whole, group_by)
    yield Figure(name="metrics.all", value=found.value, unit="s", reference=found.reference, reference_name=name,
                 at_most=10.0)
    found = fastest_in_turns(3, further_day, group_by)
    yield Figure(name="metrics.further_day", value=found.value, unit="s", reference=found.reference,
                 reference_name=name, at_most=1.0)
