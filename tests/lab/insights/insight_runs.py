"""Small runs with state folders, for tests of insights: one that trades, one whose gate lets nothing through."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunFacts, RunOptions
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.insights.day_records import midnight_of

SPAN = {"data.start": ("2019-03-22", "t"), "data.end": ("2019-03-31", "t"), "data.symbols": (["BTCUSDT"], "t"),
        "models": (({"model": "intraday-demo"},), "t")}
STRICT = {"gates.enforced": (["spread"], "t"), "gates.scalp": ({"max_spread_bps": 0.01}, "t")}


def run_into(folder: Path, **more: Any) -> RunFacts:
    """Run SPAN with the flags *more*, dots as two underscores, into *folder*."""
    flags = {**SPAN, **{key.replace("__", "."): value for key, value in more.items()}}
    return run(load_settings(None, flags).settings, RunOptions(state_dir=folder)).facts


def strict_run(folder: Path) -> RunFacts:
    """Run SPAN with an enforced spread gate that nothing passes into *folder*."""
    return run_into(folder, **{key.replace(".", "__"): value for key, value in STRICT.items()})


def cut_after(state: Path, day: str, folder: Path) -> Path:
    """A copy of the journal of *state* in *folder* without what happened after *day*."""
    shutil.rmtree(folder, ignore_errors=True)
    until_ns = midnight_of(day) + NS_PER_DAY
    lake = Lake(state / "journal")
    rows = lake.sql(
        "select producer, kind, ts_ns, payload from events where ts_ns < ? order by producer, seq", [until_ns]
    ).to_pylist()
    loggers: dict[str, EventLogger] = {}
    for row in rows:
        if row["producer"] not in loggers:
            loggers[row["producer"]] = EventLogger(folder / "journal", producer=row["producer"])
        loggers[row["producer"]].log_line(row["kind"], row["ts_ns"], row["payload"].encode())
    for logger in loggers.values():
        logger.close()
    return folder
