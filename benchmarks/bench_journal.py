"""What the journal takes: accepted, durable and counted by SQL, the price of one ``log``, bytes on disk, reading.

The references are the standard library's QueueHandler with JSON lines (not synced), measured before, between and after;
an event's JSON for the bytes; and DuckDB on one plain Parquet file of as many rows for the query.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import logging.handlers
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from quantum_trader.domain.fields import Probability
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import (
    DecisionEvent,
    Event,
    FillEvent,
    GateEvent,
    HealthEvent,
    IntentEvent,
    MarketContextEvent,
    OrderEvent,
    PolicyEvent,
    SignalEvent,
    TradeEvent,
)
from quantum_trader.journal.lake import Lake

EVENTS = 20_000_000
TIMES_STDLIB = 4.0  # accepted, durable and counted, against logging that waits for no disk
BYTES = 70.0  # of an event in the lake, at most
POOL = 100_000
STDLIB = 30_000
KINDS: tuple[type[Event], ...] = (
    SignalEvent, GateEvent, DecisionEvent, IntentEvent, OrderEvent, FillEvent, TradeEvent, PolicyEvent, HealthEvent,
    MarketContextEvent,
)
START_NS = 1_700_000_000_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "DOGEUSDT", "AVAXUSDT")
MODELS = ("ema_cross", "donchian", "rsi_band", "ar1_kalman", "time_series")
_LATER_NS = START_NS + 3_600_000_000_000  # behind every feature that a decision of the pool used
GROUP_BY = "select kind, count(*) as n from events group by 1 order by 1"
BUILD = Path(__file__).resolve().parent.parent / "build"


def event_of(kind: type[Event], number: int, chance: random.Random) -> Event:
    """An event as the system makes them: ids, rounded prices and quantities, one full-precision number, a sentence."""
    nested: dict[str, Any] = {model: round(chance.random(), 4) for model in MODELS}
    limit = round(chance.uniform(0.5, 0.8), 2)
    reason = f"confidence {chance.random():.2f} is below the minimum of {limit:.2f} that the policy asks for"
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        base = getattr(field.type, "__origin__", field.type)  # of Annotated
        if field.type == Probability:
            fields[field.name] = chance.random()
        elif base is float:
            fields[field.name] = round(chance.gauss(30_000.0, 300.0), 2)
        elif base is int:
            fields[field.name] = START_NS + number * 1_000_003 if field.name.endswith("_ns") else chance.randrange(500)
        elif base is bool or field.name == "observe":
            fields[field.name] = chance.random() < 0.5
        elif base is str:
            fields[field.name] = chance.choice(("LONG", "SHORT", "TREND_UP", "CHOP", "taker", "NEW"))
        elif field.name == "decision":
            fields[field.name] = chance.choice(("ALLOWED", "BLOCKED"))
        elif field.name == "feature_times":
            fields[field.name] = {"bar_1h": START_NS + number * 1_000_003 - 1, "bar_4h": START_NS}
        else:
            fields[field.name] = nested
        if field.name.endswith("_id"):
            fields[field.name] = f"{field.name[0]}{number:010d}"
    fields |= {"symbol": chance.choice(SYMBOLS), "reason": reason}
    return msgspec.convert(fields, kind)


def pool(count: int = POOL) -> list[Event]:
    """Events of ten kinds in turn, all different, all of at least twelve fields."""
    chance = random.Random(7)
    events = [event_of(KINDS[i % len(KINDS)], i, chance) for i in range(count)]
    assert min(len(msgspec.structs.fields(kind)) for kind in KINDS) >= 12
    return events


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk the project is on, not in memory."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="journal-") as name:
        yield Path(name)


def stdlib_rate(events: list[Event]) -> float:
    """Events a second through QueueHandler and a listener that writes JSON lines, until the last is in the file."""
    plain = [msgspec.to_builtins(event) for event in events]
    with folder() as path:
        handler = logging.FileHandler(path / "log.jsonl")
        handler.setFormatter(_JsonFormatter())
        waiting: queue.Queue[Any] = queue.Queue()
        listener = logging.handlers.QueueListener(waiting, handler)
        logger = logging.Logger("bench", logging.INFO)
        logger.addHandler(logging.handlers.QueueHandler(waiting))
        listener.start()
        started = time.perf_counter()
        for event in plain:
            logger.info("event", extra={"event": event})
        listener.stop()
        handler.close()
        return len(plain) / (time.perf_counter() - started)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"level": record.levelname, "created": record.created, **getattr(record, "event", {})})


def structlog_rate(events: list[Event]) -> float:
    """Events a second through structlog's fastest documented set-up with the standard encoder; 0 without structlog."""
    if importlib.util.find_spec("structlog") is None:
        return 0.0
    import structlog

    plain = [msgspec.to_builtins(event) for event in events]
    with folder() as path, open(path / "log.jsonl", "w") as handle:
        logger = structlog.wrap_logger(
            structlog.WriteLogger(handle), cache_logger_on_first_use=True,
            processors=[structlog.processors.TimeStamper(fmt=None), structlog.processors.JSONRenderer()],
        )
        started = time.perf_counter()
        for event in plain:
            logger.info("event", **event)
        handle.flush()
        return len(plain) / (time.perf_counter() - started)


def log_latency(events: list[Event], plain: list[float], count: int = 100_000) -> tuple[float, float]:
    """Median and 99th percentile of one ``log`` in microseconds, of events just made: the best of five rounds.

    The timer's own median, measured in the same round, is taken off: it is a sixteenth of what is measured. Each round
    adds the standard library's events a second to *plain*.
    """
    rounds = []
    for _ in range(5):
        plain.append(stdlib_rate(events[:STDLIB]))
        times, idle = [], []
        with folder() as path, EventLogger(path) as logger:
            log, now = logger.log, time.perf_counter_ns
            for i in range(count):
                event = msgspec.structs.replace(events[i % len(events)], ts_ns=_LATER_NS + i)
                started = now()
                log(event)
                times.append(now() - started)
                started = now()
                idle.append(now() - started)
        times.sort()
        idle.sort()
        own = idle[count // 2]
        rounds.append(((times[count // 2] - own) / 1000.0, (times[count * 99 // 100] - own) / 1000.0))
    return min(rounds)


class Sustained(msgspec.Struct, frozen=True, kw_only=True):
    """What one run over many events gave."""

    rate: float
    other_process_s: float
    bytes_per_event: float
    group_by_s: float
    plain_group_by_s: float


def plain_parquet(path: Path, count: int) -> Path:
    """A Parquet file of *count* rows of one column ``kind``."""
    kinds = pa.DictionaryArray.from_arrays(
        pa.array([i % len(KINDS) for i in range(POOL)], pa.int8()), [kind.__name__ for kind in KINDS]
    )
    with pq.ParquetWriter(path, pa.schema({"kind": kinds.type})) as writer:
        for begin in range(0, count, POOL):
            writer.write_table(pa.table({"kind": kinds[: count - begin]}))
    return path


def plain_query(path: Path) -> None:
    """Count the kinds of one plain Parquet file, with a connection of its own as each query of the journal has."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(GROUP_BY.replace("events", f"'{path}'")).fetchall()


def sustained(events: list[Event], count: int) -> Sustained:
    """Log *count* events, wait until all are durable and SQL has counted them; another process asks meanwhile."""
    with folder() as path:
        started = time.perf_counter()
        with EventLogger(path) as logger:
            log, asked = logger.log, None
            for begin in range(0, count, len(events)):
                for event in events[: count - begin]:
                    log(event)
                if asked is None and begin >= count // 2:
                    asked = subprocess.Popen([sys.executable, "-c", _ASK, str(path)], stdout=subprocess.PIPE, text=True)
            logger.flush()
            counted = {row["kind"]: row["n"] for row in Lake(path).sql(GROUP_BY).to_pylist()}
            spent = time.perf_counter() - started
        assert sum(counted.values()) == count
        assert len(counted) == len(KINDS)
        other = float(asked.communicate()[0]) if asked is not None else 0.0
        plain = plain_parquet(path / "plain.parquet", count)

        def ours() -> float:
            begun = time.perf_counter()
            rows = Lake(path).sql(GROUP_BY).to_pylist()
            assert sum(row["n"] for row in rows) == count
            return time.perf_counter() - begun

        asked_s = fastest_in_turns(3, ours, lambda: seconds(lambda: plain_query(plain)))
        size = sum(part.stat().st_size for part in (path / "lake").rglob("*") if part.is_file())
        assert not list((path / "wal").glob("*.seg"))
        return Sustained(
            rate=count / spent, other_process_s=other, bytes_per_event=size / count,
            group_by_s=asked_s.value, plain_group_by_s=asked_s.reference,
        )


_ASK = f"""
import sys, time
from quantum_trader.journal.lake import Lake
lake = Lake(sys.argv[1])
started = time.perf_counter()
rows = lake.sql("{GROUP_BY}").to_pylist()
assert sum(row["n"] for row in rows) > 0
print(time.perf_counter() - started)
"""


@bench("journal")
def journal(count: int = EVENTS) -> Iterator[Figure]:
    """Ten kinds of events of twelve fields with a sentence and a nested dict, 20 million of them.

    The references: stdlib logging of the same events, an event as JSON, DuckDB on a plain Parquet file.
    """
    events = pool()
    plain = sum(len(msgspec.json.encode(event)) for event in events[:1000]) / 1000
    name, rates = "stdlib QueueHandler + JSON to a file, not synced, events/s", [stdlib_rate(events[:STDLIB])]
    p50, p99 = log_latency(events, rates)
    for what, value, bar in (("p50", p50, 0.05), ("p99", p99, 0.2)):
        yield Figure(name=f"journal.log_{what}", value=value, unit="us", reference=1e6 / statistics.median(rates),
                     reference_name="stdlib, us", at_most=bar)
    run = sustained(events, count)
    rates.append(stdlib_rate(events[:STDLIB]))
    yield Figure(name="journal.accepted_durable_counted", value=run.rate, unit="events/s",
                 reference=statistics.median(rates), reference_name=name, at_least=TIMES_STDLIB)
    yield Figure(name="journal.bytes_per_event", value=run.bytes_per_event, unit="B", reference=BYTES,
                 reference_name=f"the bar; the event as JSON has {plain:.0f} B", at_most=1.0)
    yield Figure(name=f"journal.group_by_kind_{count // 1_000_000}m", value=run.group_by_s, unit="s",
                 reference=run.plain_group_by_s, reference_name="DuckDB on one plain Parquet file, s", at_most=99.0)
    yield Figure(name="journal.other_process_asks_while_writing", value=run.other_process_s, unit="s",
                 reference=run.group_by_s, reference_name="the same alone, s")
    if (rate := structlog_rate(events[:STDLIB])) > 0.0:
        yield Figure(name="journal.accepted_durable_counted_vs_structlog", value=run.rate, unit="events/s",
                     reference=rate, reference_name="structlog + JSON to a file, not synced, events/s")
