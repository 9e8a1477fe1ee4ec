"""Answers of SQL: bounded in time and memory, ended by Ctrl-C, with every column and in values that can be printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

import duckdb
import msgspec
import pyarrow as pa

from quantum_trader.domain.errors import InputError

T = TypeVar("T")
_BATCH: Final = 100_000
_ROWS: Final = 1_000  # turned into Python values at a time
_AS_THEY_ARE: Final = frozenset({
    "boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "hugeint",
    "float", "double", "decimal", "varchar", "null", "sqlnull",
})
_NESTED: Final = frozenset({"list", "array", "struct", "map", "union"})


class QueryBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one query may use: seconds (0: no end) and MB of memory, for the work and again for the answer."""

    timeout_s: float = 0.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if not 0.0 <= self.timeout_s < float("inf"):
            raise InputError(f"timeout_s = {self.timeout_s!r}: must be 0 (no end) or a number of seconds")
        if not 64 <= self.memory_mb <= 1 << 20:
            raise InputError(f"memory_mb = {self.memory_mb!r}: must be 64 to 1,048,576")

    def too_large(self, what: str) -> InputError:
        """The refusal of a query that needs more memory."""
        return InputError(
            f"query: {what} more than {self.memory_mb:,} MB; ask for less (a where or a limit), or raise --memory-mb"
        )

    def run(self, connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
        """Do *work* over *connection* in a thread, so that Ctrl-C and the end of the time can stop it."""
        with ThreadPoolExecutor(1, "sql") as pool:
            future = pool.submit(work)
            try:
                return future.result(self.timeout_s or None)
            except (TimeoutError, KeyboardInterrupt) as stopped:
                while not future.done():
                    connection.interrupt()
                    time.sleep(0.02)
                if isinstance(stopped, TimeoutError):
                    raise InputError(
                        f"query: took more than {self.timeout_s:g} s; ask for less (a where on day or kind), or raise "
                        "--timeout-s (0: no end)"
                    ) from None
                raise
            except duckdb.OutOfMemoryException:
                raise self.too_large("needs") from None

    def fetched(self, relation: duckdb.DuckDBPyRelation) -> pa.Table:
        """The rows of *relation*; InputError when they are too many."""
        reader = relation.to_arrow_reader(_BATCH)
        batches, size = [], 0
        for batch in reader:
            size += batch.nbytes
            if size > self.memory_mb << 20:
                raise self.too_large("answers with")
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def unique(names: Sequence[str]) -> list[str]:
    """*names*, with ``_1``, ``_2`` ... behind one that stands before it already; SQL compares them without case."""
    out: list[str] = []
    taken: set[str] = set()
    given = {name.lower() for name in names}
    for name in names:
        chosen, number = name, 0
        while chosen.lower() in taken or (number and chosen.lower() in given):
            number += 1
            chosen = f"{name}_{number}"
        taken.add(chosen.lower())
        out.append(chosen)
    return out


def named(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """*relation* with a name of its own for every column."""
    names = unique(relation.columns)
    return relation if names == relation.columns else _project(relation, names, [f"#{n}" for n in _numbers(names)])


def printable(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """*relation* with the columns that have no number or text form of their own as text.

    Times as ISO 8601, also infinite and far ones, lists and structs as JSON, bytes with escapes.
    """
    names = unique(relation.columns)
    values = [
        _printable(number, kind.id) for number, kind in zip(_numbers(names), relation.types, strict=True)
    ]
    return _project(relation, names, values)


def _numbers(names: Sequence[str]) -> range:
    return range(1, len(names) + 1)


def _project(relation: duckdb.DuckDBPyRelation, names: Sequence[str], values: Sequence[str]) -> duckdb.DuckDBPyRelation:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    return relation.project(", ".join(f"{value} as {name}" for value, name in zip(values, quoted, strict=True)))


def _printable(number: int, kind: str) -> str:
    if kind in _AS_THEY_ARE:
        return f"#{number}"
    if kind in _NESTED:
        return f"to_json(#{number})"
    text = f"cast(#{number} as varchar)"
    return f"replace({text}, ' ', 'T')" if kind.startswith("timestamp") else text


class SqlAnswer(NamedTuple):
    """The rows of a ``printable`` relation for a JSON encoder or a terminal; *nested*: columns of JSON text."""

    table: pa.Table
    nested: Sequence[bool]

    def rows(self, most: int | None = None) -> Iterator[dict[str, Any]]:
        """The first *most* rows, or all."""
        for batch in self.table.slice(0, most).to_batches(_ROWS):
            columns = [
                [_raw(value) for value in column.to_pylist()] if is_nested else column.to_pylist()
                for column, is_nested in zip(batch.columns, self.nested, strict=True)
            ]
            for row in zip(*columns, strict=True):
                yield dict(zip(self.table.column_names, row, strict=True))


def _raw(text: str | None) -> Any:
    """JSON as it is; as a text where it is none, because it has a NaN."""
    if text is None:
        return None
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return msgspec.Raw(text.encode())


def nested_of(relation: duckdb.DuckDBPyRelation) -> list[bool]:
    """Which columns of *relation* are lists, structs, maps or unions."""
    return [kind.id in _NESTED for kind in relation.types]
