"""Download into the bar store: month by month, checked, and continued where it stopped.

``downloads.json`` in the store lists the parts that were fetched completely, so a second run fetches only the missing
parts and does not retry gaps in the venue's own data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.market.checks import find_gaps, refuse_bad_bars
from quantum_trader.market.download_sources import (
    ApiSource,
    ArchiveSource,
    DownloadSource,
    Fetched,
    Sleep,
    month_starts,
)
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.store import merge_funding, merge_series

SOURCES: Final = ("archive", "api")
MANIFEST: Final = "downloads.json"


class DownloadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch and where to store it. Bars that are still open at *now_ns* are not fetched."""

    symbols: tuple[str, ...]
    interval: str
    start_ns: int
    end_ns: int
    now_ns: int
    root: Path
    source: str = "archive"
    base_url: str | None = None
    funding: bool = True
    mark_interval: str | None = "1h"  # None: no mark prices

    def __post_init__(self) -> None:
        interval_ns(self.interval)
        if self.mark_interval is not None:
            interval_ns(self.mark_interval)
        if self.source not in SOURCES:
            raise ConfigError(f"source = {self.source!r}: must be one of {', '.join(SOURCES)}")
        if not self.symbols:
            raise ConfigError("symbols = (): name at least one, as the venue writes it (BTCUSDT)")
        if min(self.end_ns, self.now_ns) <= self.start_ns:
            raise ConfigError(
                f"the range {iso(self.start_ns)} to {iso(min(self.end_ns, self.now_ns))} is empty (or in the future)"
            )


class DownloadPart(msgspec.Struct, frozen=True, kw_only=True):
    """One month of one series."""

    kind: str  # "bars" | "mark" | "funding"
    symbol: str
    interval: str  # "" for funding
    start_ns: int
    end_ns: int


class PartDone(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one part."""

    part: DownloadPart
    rows: int
    added: int
    missing_bars: int
    missing: tuple[str, ...]  # pieces that the source does not have
    resumed: bool  # already stored before this run


class DownloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """All parts, in the order they were fetched."""

    parts: tuple[PartDone, ...]

    @property
    def rows(self) -> int:
        """Rows fetched in this run."""
        return sum(part.rows for part in self.parts if not part.resumed)

    @property
    def resumed(self) -> int:
        """Parts that were already stored."""
        return sum(part.resumed for part in self.parts)

    @property
    def missing(self) -> tuple[str, ...]:
        """Pieces that the source does not have, and parts without any row."""
        empty = tuple(
            f"{one.part.kind} {one.part.symbol} from {iso(one.part.start_ns)}"
            for one in self.parts if one.rows == 0 and not one.missing and not one.resumed
        )
        return (*(name for one in self.parts for name in one.missing), *empty)


def plan_parts(plan: DownloadPlan) -> list[DownloadPart]:
    """Return the parts of *plan*: by symbol, bars first, then mark prices and funding, by month."""
    parts = []
    for symbol in plan.symbols:
        kinds = [("bars", plan.interval)]
        if plan.mark_interval is not None:
            kinds.append(("mark", plan.mark_interval))
        if plan.funding:
            kinds.append(("funding", ""))
        for kind, interval in kinds:
            end_ns = min(plan.end_ns, plan.now_ns)
            if interval:
                end_ns = min(plan.end_ns, plan.now_ns // interval_ns(interval) * interval_ns(interval))
            starts = month_starts(plan.start_ns, end_ns)
            for start, stop in zip(starts, [*starts[1:], end_ns], strict=True):
                if start < stop:
                    parts.append(DownloadPart(kind=kind, symbol=symbol, interval=interval, start_ns=start, end_ns=stop))
    return parts


def download(
    plan: DownloadPlan,
    *,
    sleep: Sleep = time.sleep,
    progress: Callable[[PartDone], None] | None = None,
) -> DownloadReport:
    """Fetch the parts of *plan* that the store lacks; *progress* is called with each part's result.

    DataError when the venue refuses, when a bar is bad, or when the disk is full; earlier parts stay stored.
    """
    source: DownloadSource = (ApiSource if plan.source == "api" else ArchiveSource)(plan.base_url, sleep)
    done = []
    for part in _fetch_all(plan, source):
        done.append(part)
        if progress is not None:
            progress(part)
    return DownloadReport(parts=tuple(done))


def _fetch_all(plan: DownloadPlan, source: DownloadSource) -> Iterator[PartDone]:
    covered = _read_manifest(plan.root)
    for part in plan_parts(plan):
        if any(_covers(one, part) for one in covered):
            yield PartDone(part=part, rows=0, added=0, missing_bars=0, missing=(), resumed=True)
            continue
        fetched, added = _fetch(plan.root, source, part)
        if not fetched.missing:
            covered.append(part)
            _write_manifest(plan.root, covered)
        gaps = find_gaps(fetched.ts_ns, interval_ns(part.interval)) if part.interval else []
        yield PartDone(
            part=part, rows=len(fetched.ts_ns), added=added, missing_bars=sum(gap.missing_bars for gap in gaps),
            missing=fetched.missing, resumed=False,
        )


def _fetch(root: Path, source: DownloadSource, part: DownloadPart) -> tuple[Fetched, int]:
    where = f"{part.kind} {part.symbol} {part.interval} from {iso(part.start_ns)}".replace("  ", " ")
    if part.kind == "funding":
        fetched = source.funding(part.symbol, part.start_ns, part.end_ns)
        if not np.isfinite(fetched.values).all():
            row = int(np.flatnonzero(~np.isfinite(fetched.values[:, 0]))[0]) + 1
            raise DataError(f"{where}: row {row}: the rate is no number; nothing of this month was stored")
        added = merge_funding(root, part.symbol, fetched.ts_ns, fetched.values[:, 0]) if len(fetched.ts_ns) else 0
        return fetched, added
    fetched = source.bars(part.kind, part.symbol, part.interval, part.start_ns, part.end_ns)
    values = fetched.values
    if part.kind == "mark":
        values = np.column_stack((values, np.zeros(len(values))))
    refuse_bad_bars(where, fetched.ts_ns, values, interval_ns(part.interval))
    if not len(fetched.ts_ns):
        return fetched, 0
    _, added = merge_series(root, part.interval, part.symbol, fetched.ts_ns, fetched.values, part.kind)
    return fetched, added


def _covers(one: DownloadPart, part: DownloadPart) -> bool:
    same = (one.kind, one.symbol, one.interval) == (part.kind, part.symbol, part.interval)
    return same and one.start_ns <= part.start_ns and one.end_ns >= part.end_ns


def _read_manifest(root: Path) -> list[DownloadPart]:
    path = root / MANIFEST
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[DownloadPart])
    except (msgspec.DecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it to fetch everything again") from error


def _write_manifest(root: Path, covered: list[DownloadPart]) -> None:
    path = root / MANIFEST
    part = path.with_name(path.name + ".part")
    try:
        root.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.format(msgspec.json.encode(covered), indent=1) + b"\n")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error}); free space or choose another folder") from error
