"""Compaction of the lake: merges small parts and removes old days. The manifest changes atomically for readers."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quantum_trader.domain.errors import InputError
from quantum_trader.journal.columns import EVENT_SCHEMA, Group
from quantum_trader.journal.manifest import Manifest, Part, Retired, changing, read_manifest
from quantum_trader.journal.publish import write_part

KEEP_RETIRED_NS: Final = 60_000_000_000
MERGED_ROWS: Final = 4_000_000
_LEVEL: Final = 3


def compact(directory: Path, now_ns: int, least: int = 8) -> int:
    """Merge the parts of every day, kind and form that has at least *least* small ones; returns the files removed."""
    groups: dict[tuple[str, str, str, bool], list[Part]] = defaultdict(list)
    for part in read_manifest(directory).parts:
        if part.rows < MERGED_ROWS // 2:
            groups[part.day, part.kind, part.form, part.payload].append(part)
    merged = 0
    for parts in groups.values():
        for batch in _batches(parts):
            if len(batch) >= least and _merge(directory, batch, now_ns):
                merged += len(batch) - 1
    return merged


def _batches(parts: list[Part]) -> Iterator[list[Part]]:
    """Yield *parts* in order, in batches that become one part each."""
    batch: list[Part] = []
    for part in parts:
        if sum(p.rows for p in batch) + part.rows > MERGED_ROWS:
            yield batch
            batch = []
        batch.append(part)
    yield batch


def _merge(directory: Path, parts: list[Part], now_ns: int) -> bool:
    """Replace *parts* by one; False when one of them is damaged or was removed meanwhile."""
    tables = []
    for part in parts:
        try:
            content = (directory / "lake" / part.path).read_bytes()
        except FileNotFoundError:
            return False
        if zlib.crc32(content) != part.crc:
            return False  # left unchanged: ``check`` reports it, and the operator restores it
        tables.append(_read(content))
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    keys = pa.table({"producer": table["producer"].cast(pa.string()), "seq": table["seq"]})
    table = table.take(pc.sort_indices(keys, [("producer", "ascending"), ("seq", "ascending")]))
    with changing(directory) as manifest:
        names = {part.path for part in parts}
        if not names <= {part.path for part in manifest.parts}:
            return False
        manifest.merges += 1
        whole = write_part(
            directory, table, _group(parts[0], manifest), producer=f"merged{manifest.merges:06d}",
            first=min(p.first for p in parts), last=max(p.last for p in parts), level=_LEVEL,
        )
        manifest.parts = [part for part in manifest.parts if part.path not in names] + [whole]
        _retire(directory, manifest, names, now_ns)
    return True


def _read(content: bytes) -> pa.Table:
    """The table of one part; the columns of every event have the types they were made with."""
    known = {field.name: field for field in EVENT_SCHEMA}
    found = pq.read_schema(pa.BufferReader(content))
    schema = pa.schema([known.get(field.name, field) for field in found])
    return pq.read_table(pa.BufferReader(content), schema=schema, partitioning=None)


def _group(part: Part, manifest: Manifest) -> Group:
    return Group(part.day, part.kind, part.form, () if part.payload else tuple(manifest.forms[part.form]))


def retain(directory: Path, days: int, today: date, now_ns: int) -> int:
    """Remove the parts of days before the last *days*; returns the number of events removed."""
    if days < 1:
        raise InputError(f"days = {days!r}: must be at least 1")
    first = (today - timedelta(days=days - 1)).isoformat()
    with changing(directory) as manifest:
        old = [part for part in manifest.parts if part.day < first]
        names = {part.path for part in old}
        manifest.parts = [part for part in manifest.parts if part.path not in names]
        if manifest.removed is not None:
            manifest.removed += sum(part.rows for part in old)
        _retire(directory, manifest, names, now_ns)
    return sum(part.rows for part in old)


def _retire(directory: Path, manifest: Manifest, names: set[str], now_ns: int) -> None:
    """Retire *names* for a minute, and delete the files retired earlier."""
    manifest.retired += [Retired(name, now_ns) for name in sorted(names)]
    for retired in [r for r in manifest.retired if now_ns - r.since_ns > KEEP_RETIRED_NS]:
        (directory / "lake" / retired.path).unlink(missing_ok=True)
        manifest.retired.remove(retired)
