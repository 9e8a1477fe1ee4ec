"""The lake: one SQL view over all events of a journal, from the latest logged one to the oldest part.

Reading takes no lock and blocks no writer: rings first, then the log, then the manifest. An event only moves in that
direction, so none is missed, and event numbers identify duplicates. Of the log only events that were durable when the
ring was read count: later blocks may be incomplete, and the ring already had their events.
"""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType
from duckdb.sqltypes import BIGINT, VARCHAR

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.columns import Rows
from quantum_trader.journal.kinds import BY_NAME, Event, kind_name
from quantum_trader.journal.lines import KIND_TOPICS, typed_event
from quantum_trader.journal.manifest import Manifest, Part, read_manifest
from quantum_trader.journal.publish import without
from quantum_trader.journal.ring import WORD_BOOT, EventChunk, Ring, boot_id
from quantum_trader.journal.segments import Damage, read_segment, segment_parts, segments_of

_BY_THE_QUERY: Final = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)  # not by damage
_COLUMNS: Final = "producer, seq, kind, ts_ns, received_ns, schema"
_TEXTS: Final = 'journal_trace("row") as trace_id, journal_symbol("row") as symbol, journal_payload("row") as payload'
_TIME: Final = "make_timestamp(ts_ns // 1000) as ts"
_DAY: Final = "cast(make_timestamp(ts_ns // 1000) as date) as day"  # parts are grouped by the day of receipt
_VIEWS: Final = (
    "create view events_by_day as select day, kind, count(*) as events from events group by all",
    "create view trades_by_day as select day, symbol, count(*) as trades, "
    "sum(cast(coalesce(payload->>'$.data.pnl', payload->>'$.pnl') as double)) as pnl, "
    "count(*) filter (cast(coalesce(payload->>'$.data.pnl', payload->>'$.pnl') as double) > 0) as wins "
    "from events where kind in ('trade.closed', 'trade') group by all",
    "create view refusals_by_reason as select day, kind, "
    "coalesce(payload->>'$.data.reason', payload->>'$.reason') as reason, count(*) as refusals from events "
    "where kind = 'risk.denied' or (kind in ('signal.decided', 'decision') and "
    "coalesce(payload->>'$.data.decision', payload->>'$.decision') = 'BLOCKED') group by all",
)


def _text_of(rows: Rows, position: int) -> Callable[[pa.Array], pa.Array]:
    """Return the function that makes one text column for the rows of a query only."""

    def text(wanted: pa.Array) -> pa.Array:
        numbers = wanted.to_numpy(zero_copy_only=False)
        return pa.chunked_array([rows.texts(numbers)[position]])

    return text


class Snapshot(msgspec.Struct, frozen=True):
    """The content of a journal at one moment: parts, and the events that are in no part yet, in order."""

    manifest: Manifest
    chunks: list[tuple[str, dict[int, str], EventChunk]]
    damage: list[Damage]


Found = tuple[str, dict[int, str], EventChunk]  # producer, its table of kinds, events


def snapshot(directory: Path) -> Snapshot:
    """Return the current content of the journal, each event once."""
    damage: list[Damage] = []
    live, durable = _waiting(directory, damage)
    logged = _logged(directory, durable, damage)
    manifest = read_manifest(directory)
    seen = {name: found.seq for name, found in manifest.producers.items()}
    chunks = []
    for producer, kinds, chunk in [*logged, *live]:
        last = chunk.first_seq + len(chunk.records) - 1
        if last > seen.get(producer, 0):
            chunks.append((producer, kinds, without(chunk, seen.get(producer, 0))))
            seen[producer] = last
    return Snapshot(manifest, chunks, [found for found in damage if not _published(found, durable, manifest)])


def _published(found: Damage, durable: dict[str, int], manifest: Manifest) -> bool:
    """Whether all durable events are in the lake: the rest of the log was being written when it was read."""
    published = manifest.producers.get(found.producer)
    return published is not None and published.seq >= durable.get(found.producer, published.seq + 1)


def _waiting(directory: Path, damage: list[Damage]) -> tuple[list[Found], dict[str, int]]:
    """Events that are in rings only, and each ring's last event number that is completely in the log."""
    found: list[Found] = []
    durable: dict[str, int] = {}
    for path in sorted((directory / "rings").glob("*.ring")):
        try:
            with closing(Ring(path, writable=False)) as ring:
                if ring.words[WORD_BOOT] == boot_id():
                    chunks, durable[path.stem] = ring.tail()
                    kinds = ring.kinds()  # read after the events, so that it has all their names
                    found += [(path.stem, kinds, chunk) for chunk in chunks]
        except (StateError, OSError) as error:
            damage.append(Damage(path=path.name, offset=0, size=0, reason=str(error), producer=path.stem))
    return found, durable


def _logged(directory: Path, durable: dict[str, int], damage: list[Damage]) -> list[Found]:
    """Events of the log up to the numbers in *durable*; of a producer without a ring all readable ones."""
    found: list[Found] = []
    reached: set[str] = set()
    for path in segments_of(directory / "wal"):
        producer = (segment_parts(path) or ("", 0))[0]
        end = durable.get(producer)
        if producer in reached or end == 0:
            continue
        kinds: dict[int, str] = {}
        for block in read_segment(path, damage):
            if block.kinds is not None:
                kinds = block.kinds
            elif end is None or block.chunk.first_seq <= end:
                found.append((producer, kinds, block.chunk))
            if end is not None and block.cursor.seq >= end:
                reached.add(producer)
                break
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Lake:
    """Reads a journal; only ``compact`` and ``retain`` change it."""

    def __init__(self, directory: Path | str, *, threads: int = 2) -> None:
        self.directory = Path(directory)
        self._threads = threads
        self._damaged: set[str] = set()
        self.damage: list[Damage] = []  # damage found by queries and left out of their results
        if not self.directory.is_dir():
            raise StateError(f"{self.directory}: there is no journal; a run with --state makes one")

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pa.Table:
        """Answer one SELECT over the views; InputError for anything else or for SQL that is not valid.

        The query reads the journal and nothing else: no other file, no network, no setting, no write.
        """
        for _ in range(5):
            try:
                connection = self._connect()
            except duckdb.Error as error:  # a part is missing or unreadable
                if not self._set_damaged_aside():
                    raise StateError(f"{self.directory}: cannot be read ({error})") from None
                continue
            try:
                statements = connection.extract_statements(query)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise InputError("query: must be one SELECT; SQL cannot change the journal")
                return connection.sql(query, params=params).to_arrow_table()
            except duckdb.PermissionException as error:
                raise InputError(f"query: reads the journal and nothing else ({error})") from None
            except duckdb.Error as error:
                if isinstance(error, _BY_THE_QUERY) or not self._set_damaged_aside():
                    raise InputError(f"query: {error}") from None
            finally:
                connection.close()
        raise StateError(f"{self.directory}: changes faster than it can be read; try again")

    def _set_damaged_aside(self) -> bool:
        """Set aside parts that fail their checksum; True when the query should be retried without them."""
        manifest = read_manifest(self.directory)
        damage = self._damaged_parts(manifest)
        new = {found.path for found in damage} - self._damaged
        self._damaged |= new
        self.damage += [found for found in damage if found.path in new]
        return bool(new)

    def _damaged_parts(self, manifest: Manifest) -> list[Damage]:
        damage = []
        for part in manifest.parts:
            path = self.directory / "lake" / part.path
            try:
                intact, reason = zlib.crc32(path.read_bytes()) == part.crc, "checksum does not match"
            except OSError as error:
                intact, reason = False, error.strerror or "cannot be read"
            if not intact:
                damage.append(Damage(
                    path=part.path, offset=0, size=part.size, reason=reason, producer=part.producer,
                    first_seq=part.first, last_seq=part.last,
                ))
        return damage

    def _connect(self) -> duckdb.DuckDBPyConnection:
        """Return an in-memory database over this journal's parts and tail, then locked."""
        found = snapshot(self.directory)
        self.damage += [one for one in found.damage if one not in self.damage]
        paths = [str(self.directory.resolve() / "lake" / part.path) for part in self._sound(found.manifest.parts)]
        connection = duckdb.connect(":memory:", config={
            "threads": self._threads, "python_enable_replacements": "false", "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false", "allow_community_extensions": "false", "temp_directory": "",
        })
        rows = Rows(found.chunks)
        connection.register("journal_tail", rows.table())
        for position, name in enumerate(("journal_trace", "journal_symbol", "journal_payload")):
            connection.create_function(
                name, _text_of(rows, position), [BIGINT], VARCHAR, type=PythonUDFType.ARROW, side_effects=False
            )
        view = f"create view events as select {_COLUMNS}, {_TEXTS}, day, {_TIME} from journal_tail"
        view += "".join(f" union all {one}" for one in self._selects(found.manifest.parts))
        connection.execute("set allowed_paths = ?", [paths])
        connection.execute("set enable_external_access = false")
        for statement in (view, *_VIEWS, "set lock_configuration = true"):
            connection.execute(statement)
        return connection

    def _selects(self, parts: list[Part]) -> list[str]:
        """SELECTs over *parts*: one, or one per kind where the journal's own path would be parsed as columns."""
        lake, groups = self.directory.resolve() / "lake", defaultdict(list)
        plain = "=" not in str(lake)
        for part in self._sound(parts):
            groups["" if plain else part.kind].append(str(lake / part.path))
        hive = "true, hive_types = {'date': date, 'kind': varchar}" if plain else "false"
        return [
            f"select {_COLUMNS if plain else _COLUMNS.replace('kind', f'{_quoted(kind)} as kind')}, trace_id, symbol, "
            f"payload, {_DAY}, {_TIME} from read_parquet([{', '.join(map(_quoted, some))}], hive_partitioning = {hive})"
            for kind, some in groups.items()
        ]

    def _sound(self, parts: list[Part]) -> list[Part]:
        """The parts that queries read: damaged ones are left out until they are restored."""
        return [part for part in parts if part.path not in self._damaged]

    def counts(self) -> dict[str, int]:
        """Events by kind, from the manifest and the tail, without opening a part."""
        found = snapshot(self.directory)
        out: dict[str, int] = {}
        for part in found.manifest.parts:
            out[part.kind] = out.get(part.kind, 0) + part.rows
        for _, kinds, chunk in found.chunks:
            kind_numbers = (chunk.records["word"] >> np.uint64(32)) & np.uint64(0xFFFF)
            numbers, totals = np.unique(kind_numbers, return_counts=True)
            for number, total in zip(numbers.tolist(), totals.tolist(), strict=True):
                name = kind_name(kinds, number)
                out[name] = out.get(name, 0) + total
        return dict(sorted(out.items()))

    def lines(
        self, kind: str | None = None, producer: str | None = None, after_seq: int = 0, batch: int = 100_000
    ) -> Iterator[tuple[int, int, bytes]]:
        """(number, time, payload) in order of number within each producer; payloads byte for byte as logged."""
        names = [producer] if producer is not None else self.producers()
        for name in names:
            after = after_seq
            while True:
                found = self.sql(
                    "select seq, ts_ns, payload from events where producer = ? and seq > ? and (? is null or kind = ?) "
                    "order by seq limit ?", [name, after, kind, kind, batch],
                )
                if not found.num_rows:
                    break
                rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
                for seq, ts_ns, payload in rows:
                    yield seq, ts_ns, payload.encode()
                after = found["seq"][-1].as_py()

    def events(self, kind: str) -> Iterator[Event]:
        """The events of one typed *kind* ("signal", "fill", ...): those that were logged, then those of runs' records.

        Raises InputError for a kind without a type, and for a payload that does not have the fields of its kind.
        """
        if kind not in BY_NAME or BY_NAME[kind].type is None:
            typed = ", ".join(sorted(name for name, one in BY_NAME.items() if one.type is not None))
            raise InputError(f"kind = {kind!r}: has no typed events; choose one of {typed}, or read lines()")
        for name in (kind, *KIND_TOPICS.get(kind, ())):
            for _, _, payload in self.lines(kind=name):
                event = typed_event(name, payload)
                assert event is not None, f"{name}: is a typed kind"
                yield event

    def producers(self) -> list[str]:
        """Names of all producers of this journal."""
        found = snapshot(self.directory)
        return sorted({*found.manifest.producers, *(name for name, _, _ in found.chunks)})

    def last_number(self, producer: str) -> int:
        """Number of the last event *producer* has logged, removed by retention or not; 0 for none."""
        found = snapshot(self.directory)
        published = found.manifest.producers.get(producer)
        ends = [chunk.first_seq + len(chunk.records) - 1 for name, _, chunk in found.chunks if name == producer]
        return max([published.seq if published else 0, *ends])

    def check(self) -> list[Damage]:
        """Verify every byte: parts against their checksums, segments block by block."""
        found = snapshot(self.directory)
        return [*found.manifest.damage, *found.damage, *self._damaged_parts(found.manifest)]

    def compact(self, least: int = 8) -> int:
        """Merge small parts; returns the number of files removed."""
        from quantum_trader.journal.compaction import compact

        return compact(self.directory, time.time_ns(), least)

    def retain(self, days: int, today: date | None = None) -> int:
        """Keep only the last *days* days in the lake; returns the number of events removed."""
        from quantum_trader.journal.compaction import retain

        now_ns = time.time_ns()
        last = today or datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).date()
        return retain(self.directory, days, last, now_ns)
