"""Publication: durable segments become Parquet parts by day and kind, put in force by one change of the manifest."""

from __future__ import annotations

import io
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from quantum_trader.domain.private_files import make_private_folder
from quantum_trader.journal.columns import Group, concatenated, tables_of
from quantum_trader.journal.manifest import Part, Published, changing, read_manifest, write_durably
from quantum_trader.journal.ring import EventChunk
from quantum_trader.journal.schema import JSON
from quantum_trader.journal.segments import Damage, read_segment, segment_parts, sync_folder

GROUP_ROWS: Final = 122_880
_JOIN_BYTES: Final = 16 << 20  # payload bytes turned into columns at a time
_ENCODINGS: Final = {
    pa.int64(): "DELTA_BINARY_PACKED", pa.float64(): "BYTE_STREAM_SPLIT", pa.bool_(): "PLAIN",
}


def parquet_bytes(table: pa.Table, unlike: Iterable[str] = ("payload",), level: int = 1) -> bytes:
    """*table* as a Parquet file: numbers as differences, texts compressed, every page with a checksum.

    *unlike*: the text columns whose values differ from row to row; a dictionary holds those of the others.
    """
    out, plain = io.BytesIO(), set(unlike)
    encodings = {field.name: _ENCODINGS[field.type] for field in table.schema if field.type in _ENCODINGS}
    for field in table.schema:
        if field.type == pa.string() and (field.name in plain or field.name.endswith("_id")):
            encodings[field.name] = "PLAIN" if field.name in plain else "DELTA_BYTE_ARRAY"
    pq.write_table(
        table, out, compression="zstd", compression_level=level, row_group_size=GROUP_ROWS,
        use_dictionary=[
            field.name for field in table.schema
            if field.name not in encodings and not pa.types.is_list(field.type)
        ],
        write_page_checksum=True, store_schema=False, column_encoding=encodings,
        write_statistics=["seq", "ts_ns", "received_ns", "trace_id", "symbol"],
    )
    return out.getvalue()


def joined(chunks: Iterable[EventChunk], after: int) -> Iterable[EventChunk]:
    """Yield chunks of consecutive numbers, merged, without the events up to *after*."""
    held: list[EventChunk] = []
    size = 0
    for whole in chunks:
        chunk = without(whole, after)
        if not len(chunk.records):
            continue
        if held and (size > _JOIN_BYTES or held[-1].first_seq + len(held[-1].records) != chunk.first_seq):
            yield _one(held)
            held, size = [], 0
        held.append(chunk)
        size += len(chunk.payload)
    if held:
        yield _one(held)


def _one(chunks: list[EventChunk]) -> EventChunk:
    return EventChunk(concatenated(chunks), b"".join([chunk.payload for chunk in chunks]), chunks[0].first_seq)


def without(chunk: EventChunk, after: int) -> EventChunk:
    """*chunk* without its events up to number *after*."""
    drop = after + 1 - chunk.first_seq
    if drop <= 0:
        return chunk
    if drop >= len(chunk.records):
        return EventChunk(chunk.records[:0], b"", after + 1)
    skip = int((chunk.records["word"][:drop] & 0xFFFFFFFF).sum())
    return EventChunk(chunk.records[drop:], chunk.payload[skip:], after + 1)


def publish_segments(directory: Path, paths: list[Path]) -> int:
    """Put the events of *paths*, segments of one producer in order, into the lake; return their count.

    The segment files are removed. After a kill the parts written so far are not in the manifest: the next publication
    writes them again.
    """
    parts_of = segment_parts(paths[0])
    producer = parts_of[0] if parts_of else ""
    done = read_manifest(directory).producers.get(producer, Published(0)).seq
    damage: list[Damage] = []
    tables: dict[Group, list[pa.Table]] = defaultdict(list)
    kinds: dict[int, str] = {}
    last = done

    def chunks() -> Iterable[EventChunk]:
        for path in paths:
            for block in read_segment(path, damage):
                if block.kinds is not None:
                    kinds.update(block.kinds)
                else:
                    yield block.chunk

    for chunk in joined(chunks(), done):
        last = chunk.first_seq + len(chunk.records) - 1
        for key, table in tables_of(chunk, producer, kinds):
            tables[key].append(table)
        time.sleep(0)  # yield to the committing thread
    parts = [_write(directory, producer, key, pa.concat_tables(found)) for key, found in tables.items()]
    with changing(directory) as manifest:
        manifest.forms |= {key.form: list(key.columns) for key in tables if key.columns}
        manifest.parts += parts
        manifest.producers[producer] = Published(max(last, done))
        manifest.damage += _kept(directory, damage)
    for path in paths:
        path.unlink()
    return last - done


def _kept(directory: Path, damage: list[Damage]) -> list[Damage]:
    """Move damaged segments aside for inspection instead of removing them."""
    for name in {found.path for found in damage}:
        aside = directory / "damaged"
        make_private_folder(aside)
        kept = directory / "wal" / name
        for number in count():
            other = aside / (f"{name}.{number}" if number else name)  # segment names are reused
            if other.exists() and other.samefile(kept):
                break  # moved by an earlier publication that was killed
            with suppress(FileExistsError):
                os.link(kept, other)
                break
    return damage


def _write(directory: Path, producer: str, key: Group, table: pa.Table) -> Part:
    first, last = table["seq"][0].as_py(), table["seq"][-1].as_py()
    return write_part(directory, table, key, producer=producer, first=first, last=last)


def write_part(
    directory: Path, table: pa.Table, key: Group, *, producer: str, first: int, last: int, level: int = 1
) -> Part:
    """Write one part durably under its final name; readers ignore it until the manifest lists it."""
    name = f"date={key.day}/kind={key.kind}/part-{producer}-{first:012d}-{last:012d}.parquet"
    path = directory / "lake" / name
    make_private_folder(path.parent)
    content = parquet_bytes(table, ["payload", *(one.name for one in key.columns if one.type == JSON)], level)
    temporary = path.with_suffix(".new")
    write_durably(temporary, content)
    os.replace(temporary, path)
    sync_folder(path.parent)
    return Part(
        path=name, day=key.day, kind=key.kind, producer=producer, first=first, last=last, rows=table.num_rows,
        size=len(content), crc=zlib.crc32(content), form=key.form, payload="payload" in table.column_names,
    )

