"""The catalogue: which metrics there are, and what they are computed from: SQL over the journal, or a named function.

``data/metrics.yaml`` is the catalogue of the program; a file of one's own adds to it or replaces entries of it.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import ConfigError, InputError, brief
from quantum_trader.domain.private_files import MOST_SETTINGS, read_bounded
from quantum_trader.lab.metrics.metric import Dimension, Metric
from quantum_trader.models.gate_tables import own_yaml, plain_yaml

INTERVALS: Final = ("", "wilson", "mean", "share")  # of SQL
OF_FUNCTIONS: Final = ("", "own")
OF_MEANS: Final = ("mean", "share")
_MEAN: Final = re.compile(r"f?avg\((?P<inner>.+?)\)(?: filter \(where (?P<where>.+)\))?")
_MEAN_OF_SUMS: Final = re.compile(r"fsum\((?P<total>.+)\) / sum\((?P<count>.+)\)")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_BRACED: Final = re.compile(r"\{([a-z_0-9]+)\}")
_KEYS: Final = ("relations", "sources", "metrics")


class Relation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A SELECT over the views of the journal whose rows metrics are made of.

    Every row has the columns ``day`` (DATE) and ``ts_ns``, and a column for each dimension in *dimensions*. A row
    depends on nothing that happened after its day, so a day that is over keeps its figures. ``{name}`` stands for the
    SQL of another relation, and the names of :class:`SqlPlaces` for what they say there.
    """

    meaning: str  # what one row is
    sql: str
    dimensions: tuple[Dimension, ...] = ()


class SqlPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the SQL of a relation in the place of ``{days}``, ``{begin_ns}`` and so on."""

    days: str = "true"  # the condition on ts_ns of the days that are asked for
    begin_ns: str = "0"  # the first moment of these days
    end_ns: str = str((1 << 63) - 1)  # the first moment after them
    first_ns: str = "(select min(ts_ns) from events)"  # of the first event of the journal
    last_ns: str = "(select max(ts_ns) from events)"  # of its last event


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What named functions compute metrics from, where no SQL over the journal gives them."""

    meaning: str  # what it is, and where it is kept
    command: str  # computes the metrics again and prints them


class Averaged(msgspec.Struct, frozen=True):
    """What a mean is made of, as SQL of one row: the sum and the count of what is averaged, over which rows."""

    total: str
    count: str
    where: str


class Catalogue:
    """Metrics by id, relations and sources by name; checked whole when it is made."""

    def __init__(
        self, relations: Mapping[str, Relation], metrics: Mapping[str, Metric],
        sources: Mapping[str, Source] | None = None,
    ) -> None:
        """Raise ConfigError for a metric of an unknown relation, source, dimension or interval."""
        self.relations, self.metrics, self.sources = dict(relations), dict(metrics), dict(sources or {})
        for name, relation in self.relations.items():
            if not _NAME.fullmatch(name):
                raise ConfigError(f"relations.{name}: a name is of lower-case letters, digits and _")
            if not relation.sql.strip():
                raise ConfigError(f"relations.{name}.sql: is empty")
            self.rows_sql(name, SqlPlaces())
        for metric in self.metrics.values():
            self._check(metric)

    def _check(self, metric: Metric) -> None:
        if metric.function:
            if metric.of not in self.sources:
                raise ConfigError(f"metric {metric.id}: of = {metric.of!r}: {_nearest(metric.of, self.sources)}")
            if metric.interval not in OF_FUNCTIONS:
                raise ConfigError(f"metric {metric.id}: interval = {metric.interval!r}: a function has own, or none")
            return
        if metric.of not in self.relations:
            raise ConfigError(f"metric {metric.id}: of = {metric.of!r}: {_nearest(metric.of, self.relations)}")
        unknown = [str(one) for one in metric.by if one not in self.relations[metric.of].dimensions]
        if unknown:
            raise ConfigError(f"metric {metric.id}: by = {unknown[0]!r}: {metric.of} has no such dimension")
        if metric.interval not in INTERVALS:
            raise ConfigError(f"metric {metric.id}: interval = {metric.interval!r}: choose wilson, mean or share")
        if metric.interval in OF_MEANS and averaged(metric) is None:
            raise ConfigError(
                f"metric {metric.id}: interval = {metric.interval!r}: value: must be favg(...) or fsum(...) / sum(...)"
            )

    def rows_sql(self, name: str, places: SqlPlaces, inside: tuple[str, ...] = ()) -> str:
        """The SELECT of the relation *name* with *places* and every other relation in it filled in.

        Another relation inside it is always whole. Raises ConfigError for a name that there is not, or for a circle.
        """
        if name in inside or name not in self.relations:
            why = "stands inside itself" if name in inside else _nearest(name, self.relations)
            raise ConfigError(f"relations.{inside[-1] if inside else name}.sql: {{{name}}}: {why}")
        known: dict[str, str] = msgspec.structs.asdict(places)
        whole = SqlPlaces(first_ns=places.first_ns, last_ns=places.last_ns)

        def filled(found: re.Match[str]) -> str:
            return known[found[1]] if found[1] in known else self.rows_sql(found[1], whole, (*inside, name))

        return _BRACED.sub(filled, self.relations[name].sql.strip())

    def metric(self, name: str) -> Metric:
        """The metric with that id; InputError that names the nearest one."""
        found = self.metrics.get(name)
        if found is None:
            raise InputError(f"metric {name!r}: {_nearest(name, self.metrics)}; `quantum-trader metrics list` has all")
        return found

    @property
    def groups(self) -> list[str]:
        """Names of the groups in the order of the catalogue."""
        return list(dict.fromkeys(one.group for one in self.metrics.values()))

    def of_relation(self, name: str) -> list[Metric]:
        """The metrics that are made of the relation *name*."""
        return [one for one in self.metrics.values() if one.of == name and not one.function]

    def of_source(self, name: str) -> dict[str, Metric]:
        """The metrics by id that named functions compute from the source *name*."""
        return {one.id: one for one in self.metrics.values() if one.of == name and one.function}

    @property
    def queried(self) -> dict[str, Metric]:
        """The metrics by id that SQL over the journal gives."""
        return {one.id: one for one in self.metrics.values() if not one.function}

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything that decides a value that SQL gives."""
        content = [msgspec.to_builtins(self.relations), msgspec.to_builtins(self.queried)]
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def averaged(metric: Metric) -> Averaged | None:
    """What *metric* is the mean of; None where it is no mean."""
    value = metric.value.strip()
    if (found := _MEAN.fullmatch(value)) is not None:
        inner, where = found["inner"], found["where"] or "true"
        return Averaged(inner, f"case when ({inner}) is not null then 1 end", where)
    found = _MEAN_OF_SUMS.fullmatch(value)
    return Averaged(found["total"], found["count"], "true") if found is not None else None


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"there is none of that name{f'; did you mean {near[0]}?' if near else ''}"


def load_catalogue(file: Path | None = None) -> Catalogue:
    """The catalogue of the program, with the entries of *file* added or in the place of those of the same name.

    Raises ConfigError with the entry that cannot be used.
    """
    relations, sources, metrics = _own_entries()
    if file is not None:
        try:
            own = read_bounded(file, MOST_SETTINGS).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"--catalogue {file}: cannot be read: {why}") from None
        name = f"--catalogue {file.name}"
        more = _entries(name, _plain(name, own))
        relations, sources, metrics = relations | more[0], sources | more[1], metrics | more[2]
    return Catalogue(relations, metrics, sources)


@cache
def _own_entries() -> tuple[dict[str, Relation], dict[str, Source], dict[str, Metric]]:
    """What ``data/metrics.yaml`` states; not to be changed."""
    return _entries("metrics.yaml", own_yaml(catalogue_text()))


def catalogue_text() -> str:
    """The program's own catalogue."""
    return files("quantum_trader").joinpath("data", "metrics.yaml").read_text(encoding="utf-8")


def _plain(name: str, text: str) -> Any:
    try:
        return plain_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _entries(name: str, content: Any) -> tuple[dict[str, Relation], dict[str, Source], dict[str, Metric]]:
    """Relations, sources and metrics that the *content* of the file *name* states."""
    try:
        if not isinstance(content, Mapping) or set(content) - set(_KEYS):
            raise ConfigError(f"holds {brief(content)}; write relations:, sources: and metrics:")
        relations, sources = _named(content, "relations", Relation), _named(content, "sources", Source)
        listed = _section(content, "metrics", list)
        metrics = [_converted(f"metrics[{place}]", value, Metric) for place, value in enumerate(listed)]
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    by_id = {one.id: one for one in metrics}
    if len(by_id) < len(metrics):
        twice = next(one.id for place, one in enumerate(metrics) if by_id[one.id] is not metrics[place])
        raise ConfigError(f"{name}: metric {twice}: stands there twice")
    return relations, sources, by_id


def _named(content: Mapping[str, Any], key: str, kind: type[Any]) -> dict[str, Any]:
    """The entries of the table *key* by name."""
    return {
        str(name): _converted(f"{key}.{name}", value, kind) for name, value in _section(content, key, Mapping).items()
    }


def _section(content: Mapping[str, Any], key: str, kind: type) -> Any:
    found = content.get(key)
    if found is None:
        return kind() if kind is list else {}
    if not isinstance(found, kind):
        raise ConfigError(f"{key} = {brief(found)}: must be {'a list' if kind is list else 'a table'}")
    return found


def _converted(key: str, value: Any, kind: type[Any]) -> Any:
    named = value.get("id", "") if isinstance(value, Mapping) else ""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}{f' ({named})' if named else ''}: {error}") from None
