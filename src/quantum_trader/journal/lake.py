"""The lake: one SQL view over all events of a journal, from the latest logged one to the oldest part.

Reading takes no lock and blocks no writer: rings first, then the log, then the manifest. An event only moves in that
direction, so none is missed, and event numbers identify duplicates. Of the log only events that were durable when the
ring was read count: later blocks may be incomplete, and the ring already had their events.
"""

from __future__ import annotations

import re
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType
from duckdb.sqltypes import BIGINT, VARCHAR

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.answers import QueryBounds, SqlAnswer, named, nested_of, printable
from quantum_trader.journal.columns import TEXTS, Rows, payloads
from quantum_trader.journal.kinds import BY_NAME, Event, kind_name
from quantum_trader.journal.lines import KIND_TOPICS, typed_event
from quantum_trader.journal.manifest import NAME, Manifest, Part, read_manifest
from quantum_trader.journal.publish import without
from quantum_trader.journal.ring import WORD_BOOT, EventChunk, Ring, boot_id
from quantum_trader.journal.schema import JSON, EventColumn, shape_of
from quantum_trader.journal.segments import Damage, read_segment, segment_parts, segments_of
from quantum_trader.journal.views import (
    LISTED,
    SUMMARIES,
    View,
    empty_select,
    nearest_view,
    quoted,
    select_of,
    views,
)

JOURNAL: Final = "journal"  # the folder of the journal in a state folder
_BY_THE_QUERY: Final = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)  # not by damage
_COLUMNS: Final = "producer, seq, kind, ts_ns, received_ns, schema"
_ROW_TEXTS: Final = ("journal_trace", "journal_symbol", "journal_payload")
_TEXTS: Final = 'journal_trace("row") as trace_id, journal_symbol("row") as symbol, journal_payload("row") as payload'
_TIME: Final = "make_timestamp(ts_ns // 1000) as ts"
_DAY: Final = "cast(make_timestamp(ts_ns // 1000) as date) as day"  # parts are grouped by the day of receipt
_CUT: Final = "was cut: durable events are not there; restore it"
_WORD: Final = re.compile(r"\w+")
_NO_TABLE: Final = re.compile(r"Table with name (.+?) does not exist")


def _text_of(rows: Rows, text: Callable[[bytes, bool], str]) -> Callable[[pa.Array], pa.Array]:
    """Return the function that makes one text column for the rows of a query only."""

    def texts(wanted: pa.Array) -> pa.Array:
        return pa.chunked_array([rows.texts(wanted.to_numpy(zero_copy_only=False), text)])

    return texts


def _payload_of(columns: Sequence[EventColumn]) -> Callable[..., pa.Array]:
    """Return the function that makes the payloads of events that are in *columns*."""

    def text(*arrays: pa.ChunkedArray) -> pa.Array:
        whole = [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arrays]
        return pa.chunked_array([payloads(columns, whole)])

    names = [Parameter(f"column_{number}", Parameter.POSITIONAL_ONLY) for number in range(len(columns))]
    text.__signature__ = Signature(names)  # type: ignore[attr-defined]  # DuckDB counts the parameters
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
    live, durable, written = _waiting(directory, damage)
    logged = _logged(directory, durable, damage)
    manifest = read_manifest(directory)
    seen = {name: found.seq for name, found in manifest.producers.items()}
    chunks = []
    for producer, kinds, chunk in [*logged, *live]:
        last = chunk.first_seq + len(chunk.records) - 1
        if last > seen.get(producer, 0):
            chunks.append((producer, kinds, without(chunk, seen.get(producer, 0))))
            seen[producer] = last
    found = [one for one in damage if not _published(one, durable, manifest)]
    return Snapshot(manifest, chunks, found + _missing(directory, manifest, written, seen, found))


def _missing(
    directory: Path, manifest: Manifest, written: dict[str, int], held: dict[str, int], known: list[Damage]
) -> list[Damage]:
    """Events that were durable and are nowhere: *written* is each ring's last durable number, *held* the last found.

    What *known* or published damage explains is not told twice.
    """
    told = {one.producer for one in (*known, *manifest.damage)}
    gone = [
        _gap("lake", _CUT, name, held.get(name, 0) + 1, last)
        for name, last in sorted(written.items()) if last > held.get(name, 0) and name not in told
    ]
    if not manifest.producers and _no_manifest(directory):
        gone.append(_gap(f"lake/{NAME}", "is missing, and its parts are there; restore it"))
    published = sum(one.seq for one in manifest.producers.values())
    kept = sum(part.rows for part in manifest.parts)
    if manifest.removed is not None and not told and kept + manifest.removed < published:
        lost = published - kept - manifest.removed
        gone.append(_gap(f"lake/{NAME}", f"lists {lost:,} events fewer than were published"))
    return gone


def _gap(path: str, reason: str, producer: str = "", first: int = 0, last: int = 0) -> Damage:
    return Damage(path=path, offset=0, size=0, reason=reason, producer=producer, first_seq=first, last_seq=last)


def _no_manifest(directory: Path) -> bool:
    """Whether there are parts that no manifest lists; the first parts are written before it, and their log stays."""
    parts = any((directory / "lake").rglob("*.parquet"))
    return parts and not segments_of(directory / "wal") and not read_manifest(directory).producers


def _published(found: Damage, durable: dict[str, int], manifest: Manifest) -> bool:
    """Whether all durable events are in the lake: the rest of the log was being written when it was read."""
    published = manifest.producers.get(found.producer)
    return published is not None and published.seq >= durable.get(found.producer, published.seq + 1)


def _waiting(directory: Path, damage: list[Damage]) -> tuple[list[Found], dict[str, int], dict[str, int]]:
    """Events that are in rings only, each ring's last number that is completely in the log, and its last durable one.

    The second is of rings of this start of the machine only: of an older one all that the log has counts.
    """
    found: list[Found] = []
    durable: dict[str, int] = {}
    written: dict[str, int] = {}
    for path in sorted((directory / "rings").glob("*.ring")):
        try:
            with closing(Ring(path, writable=False)) as ring:
                written[path.stem] = ring.cursor().seq
                if ring.words[WORD_BOOT] == boot_id():
                    chunks, durable[path.stem] = ring.tail()
                    kinds = ring.kinds()  # read after the events, so that it has all their names
                    found += [(path.stem, kinds, chunk) for chunk in chunks]
        except (StateError, OSError) as error:
            damage.append(Damage(path=path.name, offset=0, size=0, reason=str(error), producer=path.stem))
    return found, durable, written


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


def _waiting_kinds(found: Snapshot) -> dict[str, int]:
    """The events of *found* that are in no part yet, by kind."""
    out: dict[str, int] = {}
    for _, kinds, chunk in found.chunks:
        kind_numbers = (chunk.records["word"] >> np.uint64(32)) & np.uint64(0xFFFF)
        numbers, totals = np.unique(kind_numbers, return_counts=True)
        for number, total in zip(numbers.tolist(), totals.tolist(), strict=True):
            name = kind_name(kinds, number)
            out[name] = out.get(name, 0) + total
    return out


QueryParams = Sequence[Any] | Mapping[str, Any] | None
T = TypeVar("T")


def _check_one_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError("query: must be one SELECT; SQL cannot change the journal")


def _ask(
    connection: duckdb.DuckDBPyConnection, query: str, params: QueryParams,
    fetch: Callable[[duckdb.DuckDBPyRelation], T],
) -> T:
    return fetch(connection.sql(query, params=params))


def _stored(kind: str) -> str:
    """The SQL type of a part's column of type *kind*: JSON is text there."""
    return "VARCHAR" if kind == JSON else kind


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _no_view(error: str) -> str:
    """What to say of a view that there is not, with the nearest one that there is; empty for any other *error*.

    DuckDB itself would name the nearest of its own catalogue: it knows no view but those that the query names.
    """
    found = _NO_TABLE.search(error)
    if found is None:
        return ""
    near = nearest_view(found[1])
    return f"there is no view {found[1]!r}{f'; did you mean {near}?' if near else ';'} {LISTED}"


def journal_of(state: Path | str) -> Lake:
    """The journal in the state folder *state*; StateError where there is none."""
    folder = Path(state) / JOURNAL
    if not folder.is_dir():
        raise StateError(
            f"--state {state}: there is no journal; give the folder of a run (quantum-trader run --state DIR makes one)"
        )
    return Lake(folder)


class Lake:
    """Reads a journal; only ``compact`` and ``retain`` change it."""

    def __init__(
        self, directory: Path | str, *, threads: int = 2, timeout_s: float = 0.0, memory_mb: int = 1024
    ) -> None:
        """*timeout_s* and *memory_mb* bound each query (0 seconds: no end)."""
        self.directory = Path(directory)
        self._threads = threads
        self._bounds = QueryBounds(timeout_s=timeout_s, memory_mb=memory_mb)
        self._damaged: set[str] = set()
        self.damage: list[Damage] = []  # damage found by queries and left out of their results
        if not self.directory.is_dir():
            raise StateError(f"{self.directory}: there is no journal; a run with --state makes one")

    def sql(self, query: str, params: QueryParams = None) -> pa.Table:
        """Answer one SELECT over the views; InputError for anything else or for SQL that is not valid.

        The query reads the journal and nothing else: no other file, no network, no setting, no write. A column whose
        name stands before it already gets ``_1``, ``_2`` ... behind it.
        """
        return self._answers([query], params, lambda relation: self._bounds.fetched(named(relation)))[0]

    def tables(self, queries: Sequence[str]) -> list[pa.Table]:
        """Answer several SELECTs as ``sql`` does, all of them over the journal of one and the same moment."""
        return self._answers(queries, None, lambda relation: self._bounds.fetched(named(relation)))

    def answer(self, query: str, params: QueryParams = None) -> SqlAnswer:
        """Answer as ``sql`` does, in values that a JSON encoder writes and a terminal prints, whatever their type."""
        return self._answers(
            [query], params, lambda found: SqlAnswer(self._bounds.fetched(printable(found)), nested_of(found))
        )[0]

    def _answers(
        self, queries: Sequence[str], params: QueryParams, fetch: Callable[[duckdb.DuckDBPyRelation], T]
    ) -> list[T]:
        whole = "\n".join(queries)
        try:
            whole.encode()
        except UnicodeEncodeError:
            raise InputError("query: is not UTF-8") from None
        for _ in range(5):
            try:
                connection = self._connect(whole)
            except duckdb.Error as error:  # a part is missing or unreadable
                if not self._set_damaged_aside():
                    raise StateError(f"{self.directory}: cannot be read ({error})") from None
                continue
            try:
                for query in queries:
                    _check_one_select(connection, query)
                return [self._bounds.run(connection, partial(_ask, connection, one, params, fetch)) for one in queries]
            except duckdb.PermissionException as error:
                raise InputError(f"query: reads the journal and nothing else ({error})") from None
            except (duckdb.Error, pa.ArrowException) as error:
                if isinstance(error, _BY_THE_QUERY) or not self._set_damaged_aside():
                    raise InputError(f"query: {_no_view(str(error)) or error}") from None
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

    def _connect(self, query: str) -> duckdb.DuckDBPyConnection:
        """Return an in-memory database over this journal's parts and tail, with the views that *query* names."""
        found = snapshot(self.directory)
        self.damage += [one for one in found.damage if one not in self.damage]
        parts = self._sound(found.manifest.parts)
        connection = duckdb.connect(":memory:", config={
            "threads": self._threads, "python_enable_replacements": "false", "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false", "allow_community_extensions": "false", "temp_directory": "",
            "memory_limit": f"{self._bounds.memory_mb}MB",
        })
        rows = Rows(found.chunks)
        connection.register("journal_tail", rows.table())
        for name, text in zip(_ROW_TEXTS, TEXTS, strict=True):
            connection.create_function(
                name, _text_of(rows, text), [BIGINT], VARCHAR, type=PythonUDFType.ARROW, side_effects=False
            )
        for form in sorted({part.form for part in parts if not part.payload}):
            columns = found.manifest.forms[form]
            connection.create_function(
                f"journal_json_{form}", _payload_of(columns), [duckdb.sqltype(_stored(one.type)) for one in columns],
                VARCHAR, type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL, side_effects=False,
            )
        connection.execute("set allowed_paths = ?", [[self._path(part) for part in parts]])
        connection.execute("set enable_external_access = false")
        events = f"create view events as {' union all '.join(self._selects(parts, found.manifest))}"
        waiting = _waiting_kinds(found).keys()
        shown = self._views(query, parts, waiting, found.manifest)
        for statement in (events, *shown, "set lock_configuration = true"):
            connection.execute(statement)
        return connection

    def _path(self, part: Part) -> str:
        return str(self.directory.resolve() / "lake" / part.path)

    def _selects(self, parts: list[Part], manifest: Manifest) -> list[str]:
        """SELECTs of all events: of the tail, and of *parts* by what they hold.

        Parts with payloads are one, or one per kind where the journal's own path would be parsed as columns.
        """
        plain = "=" not in str(self.directory.resolve())
        texts: dict[str, list[Part]] = defaultdict(list)
        typed: dict[tuple[str, str], list[Part]] = defaultdict(list)
        for part in parts:
            if part.payload:
                texts["" if plain else part.kind].append(part)
            else:
                typed[part.kind, part.form].append(part)
        hive = "true, hive_types = {'date': date, 'kind': varchar}" if plain else "false"
        found = [f"select {_COLUMNS}, {_TEXTS}, day, {_TIME} from journal_tail"]
        for kind, some in texts.items():
            columns = _COLUMNS if plain else _COLUMNS.replace("kind", f"{_quoted(kind)} as kind")
            found.append(f"select {columns}, trace_id, symbol, payload, {_DAY}, {_TIME} from {self._read(some, hive)}")
        for (kind, form), some in typed.items():
            columns = _COLUMNS.replace("kind", f"{_quoted(kind)} as kind")
            payload = f"journal_json_{form}({', '.join(quoted(one.name) for one in manifest.forms[form])})"
            found.append(
                f"select {columns}, trace_id, symbol, {payload} as payload, {_DAY}, {_TIME} from {self._read(some)}"
            )
        return found

    def _read(self, parts: list[Part], hive: str = "false") -> str:
        paths = ", ".join(_quoted(self._path(part)) for part in parts)
        return f"read_parquet([{paths}], hive_partitioning = {hive})"

    def _views(
        self, query: str, parts: list[Part], waiting: Collection[str], manifest: Manifest
    ) -> Iterator[str]:
        """Statements that make the views whose names stand in *query*: binding all of them would open every kind.

        *waiting*: the kinds of the events that are in no part yet.
        """
        words = set(_WORD.findall(query.lower()))
        summaries = [name for name in SUMMARIES if name in words]
        wanted = words.union(*(SUMMARIES[name][1] for name in summaries))
        by_kind: dict[str, list[Part]] = defaultdict(list)
        for part in parts:
            by_kind[part.kind].append(part)
        for view in views():
            if view.name in wanted:
                selects = [
                    one for kind in view.kinds
                    for one in self._of_kind(view, kind, by_kind.get(kind, []), kind in waiting, manifest)
                ]
                yield f"create view {quoted(view.name)} as {' union all '.join(selects) or empty_select(view)}"
        for name in summaries:
            yield f"create view {name} as {SUMMARIES[name][0]}"

    def _of_kind(
        self, view: View, kind: str, parts: list[Part], is_waiting: bool, manifest: Manifest
    ) -> Iterator[str]:
        """SELECTs of one kind for *view*: over its *parts* with columns, and over the payloads of its other events.

        Where there are none of either, there is no SELECT: planning one that finds nothing takes as long as running it.
        """
        shape = shape_of(kind)
        assert shape is not None, f"{kind}: views are of kinds with a schema"
        typed = [part for part in parts if part.form == shape.form]
        if typed:
            yield select_of(view, kind, f"(select *, {_DAY}, {_TIME} from {self._read(typed)})", typed=True)
        if is_waiting or len(typed) < len(parts):
            rest = " union all ".join(self._selects([part for part in parts if part.form != shape.form], manifest))
            yield select_of(view, kind, f"(select * from ({rest}) where kind = {_quoted(kind)})", typed=False)

    def _sound(self, parts: list[Part]) -> list[Part]:
        """The parts that queries read: damaged ones are left out until they are restored."""
        return [part for part in parts if part.path not in self._damaged]

    def counts(self) -> dict[str, int]:
        """Events by kind, from the manifest and the tail, without opening a part."""
        found = snapshot(self.directory)
        out: dict[str, int] = {}
        for part in found.manifest.parts:
            out[part.kind] = out.get(part.kind, 0) + part.rows
        for name, total in _waiting_kinds(found).items():
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
