"""The trade journal: trades, shadow trades, training, models, exports, halts and changes, in SQLite or PostgreSQL.

A path or ``sqlite:///FILE`` is a SQLite file in WAL mode, readable by its owner alone; any other SQLAlchemy URL goes
to that server. Opening migrates the tables to the newest schema. Rows are written in batches, and writing a row again
has no effect: every table's key is (run, id).
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Select, Table, create_engine, event, func, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import ConfigError, InputError, StateError
from quantum_trader.domain.fields import FieldLookup
from quantum_trader.domain.private_files import UnsafePathError, check_regular_file, why_unwritable
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.journal import tables
from quantum_trader.journal.private import create_private

NEWEST_MIGRATION: Final = "0003"  # the newest migration
REPLAY: Final = "REPLAY"
DEFAULT_FILE: Final = Path("journal") / "journal.db"
_FULL: Final = "disk is full"  # as SQLite says it
_BUSY_S: Final = 10.0
_CHUNK: Final = 500  # rows a statement
_MOST_DAYS: Final = 36_500
_TIME_COLUMN: Final = {
    "trades": "exit_ns", "shadow_trades": "closed_ns", "models": "created_ns", "sessions": "started_ns",
    "exports": "exported_ns", "halts": "raised_ns", "audit": "ts_ns",
}
_TABLES: Final = {table.name: table for table in (
    tables.TRADES, tables.SHADOW_TRADES, tables.MODELS, tables.SESSIONS, tables.EXPORTS, tables.HALTS,
    tables.AUDIT_ENTRIES,
)}


class TradeStats(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the trades closed in a span of time, as attributes or by key; None where there are none.

    ``total_trades``, ``wins``, ``losses`` and ``win_rate`` count shadow trades of signals that were not traded too.
    Money in the account's currency (USDT), net; a shadow trade moves none.
    """

    mode: str  # "" for all
    since_ns: int  # 0: from the beginning
    until_ns: int
    total_trades: int
    shadow_trades: int  # of the total
    wins: int
    losses: int
    win_rate: float | None  # 0..1; trades with a result of exactly 0 count as trades, not as wins
    total_pnl: float | None
    mean_pnl: float | None
    mean_r: float | None
    profit_factor: float | None  # None also without a losing trade
    best_pnl: float | None
    worst_pnl: float | None
    fees: float | None
    funding: float | None
    mean_duration_s: float | None

    @property
    def total_pnl_gbp(self) -> float | None:
        """*total_pnl* under its published name: the account's currency, whatever the name says."""
        return self.total_pnl

    def keys(self) -> tuple[str, ...]:
        """The names that can be looked up."""
        return (*super().keys(), "total_pnl_gbp")


class TradeJournal:
    """One journal; use it as a context manager or call :meth:`close`. Safe to use from several threads.

    Without a URL it is ``journal/journal.db`` of the current folder: the trade journal of a run whose state folder that
    is.
    """

    def __init__(self, url: str | Path = DEFAULT_FILE, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self.url = _url(url)
        self._engine = _engine(self.url)
        with self._translated_errors():
            _migrate(self._engine)

    # ------------------------------------------------------------------ writing

    def add_trades(self, trades: Iterable[ClosedTrade], mode: str, run_id: str = "") -> int:
        """Add closed trades; returns how many were new. *mode* is REPLAY, PAPER or LIVE."""
        known = mode.strip().upper()
        if not known:
            raise InputError("mode = '': say what the trades were traded in, such as REPLAY, PAPER or LIVE")
        return self.add("trades", (
            {**msgspec.to_builtins(trade), "mode": known, "run_id": run_id} for trade in trades
        ))

    def add_shadow_trades(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add shadow trades; keys as the table's columns."""
        return self.add("shadow_trades", rows)

    def add_models(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add models; keys as the table's columns."""
        return self.add("models", rows)

    def add_sessions(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add training sessions; keys as the table's columns."""
        return self.add("sessions", rows)

    def add_exports(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add exports; keys as the table's columns."""
        return self.add("exports", rows)

    def add_halts(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add halts; keys as the table's columns."""
        return self.add("halts", rows)

    def add_audit(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add audit entries; keys as the table's columns."""
        return self.add("audit", rows)

    def add(self, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add *rows* to the table *name*, all or none; returns how many were new.

        Nested values are kept as JSON text. InputError for an unknown column, or a row without its id.
        """
        table = _table(name)
        complete = [_row(table, row) for row in rows]
        if not complete:
            return 0
        new = 0
        with self._translated_errors(), self._writing() as connection:
            for start in range(0, len(complete), _CHUNK):
                new += _insert(connection, table, complete[start:start + _CHUNK])
        return new

    def clear_halts(self, kind: str, cleared_ns: int, by: str, run_id: str = "") -> int:
        """Set *cleared_ns* as the end of the open halts of *kind*; returns their number."""
        halts = tables.HALTS.c
        with self._translated_errors(), self._writing() as connection:
            done = connection.execute(
                tables.HALTS.update().where(
                    halts.run_id == run_id, halts.kind == kind, halts.cleared_ns.is_(None),
                    halts.raised_ns <= cleared_ns,
                ).values(cleared_ns=cleared_ns, cleared_by=by)
            )
            return int(done.rowcount)

    # ------------------------------------------------------------------ reading

    def rows(self, name: str, *, limit: int | None = 100, since_ns: int = 0) -> list[dict[str, Any]]:
        """The newest *limit* rows of the table *name* from *since_ns* on, oldest first."""
        table = _table(name)
        moment = table.c[_TIME_COLUMN[name]]
        keys = list(table.primary_key.columns)
        wanted = select(table).where(moment >= since_ns).order_by(moment.desc(), *(key.desc() for key in keys))
        with self._translated_errors(), self._engine.connect() as connection:
            found = connection.execute(wanted.limit(limit) if limit is not None else wanted).mappings().all()
        return [dict(row) for row in reversed(found)]

    def get_stats(self, mode: str | None = None, days: float | None = None, now_ns: int | None = None) -> TradeStats:
        """Figures of the trades closed in the last *days* (all when None), of one *mode* (PAPER, scalp) or of all.

        The days count back from *now_ns*; without it from now, or, where every selected trade is of a replay, from the
        newest of them.
        """
        if days is not None and not 0 < days <= _MOST_DAYS:
            raise InputError(f"days = {days!r}: must be more than 0 and at most {_MOST_DAYS:,}; leave it out for all")
        if mode is not None and not mode.strip():
            raise InputError(f"mode = {mode!r}: say REPLAY, PAPER or LIVE; leave it out for all trades")
        trades = tables.TRADES.c
        wanted = [trades.mode == mode.strip().upper()] if mode else []
        with self._translated_errors(), self._engine.connect() as connection:
            until = now_ns if now_ns is not None else self._now(connection, wanted)
            since = 0 if days is None else until - round(days * NS_PER_DAY)
            rows = connection.execute(select(
                trades.pnl, trades.r_multiple, trades.fees, trades.funding, trades.entry_ns, trades.exit_ns
            ).where(*wanted, trades.exit_ns >= since, trades.exit_ns <= until).order_by(
                trades.exit_ns, trades.run_id, trades.trade_id
            )).all()
            shadows = connection.execute(_untraded(mode, since, until)).scalars().all()
        return _stats(mode.strip().upper() if mode else "", since, until, rows, shadows)

    def _now(self, connection: Connection, wanted: Sequence[Any]) -> int:
        trades = tables.TRADES.c
        others = connection.execute(select(trades.exit_ns).where(*wanted, trades.mode != REPLAY).limit(1)).first()
        if others is not None:
            return self._clock()
        newest = connection.execute(
            select(trades.exit_ns).where(*wanted).order_by(trades.exit_ns.desc()).limit(1)
        ).scalar()
        return self._clock() if newest is None else int(newest)

    # ------------------------------------------------------------------ connections

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction that takes the write lock at its start."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn database errors into a StateError of one sentence, without the password."""
        try:
            yield
        except SQLAlchemyError as error:
            url = make_url(self.url)
            where = url.render_as_string(hide_password=True)
            cause = str(error.orig) if isinstance(error, DatabaseError) and error.orig is not None else str(error)
            told = cause.splitlines()[0] if cause else "not usable"
            if url.get_backend_name() == "sqlite" and _FULL in told:
                full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                where_full = why_unwritable(Path(url.database or "."), full)
                told += f" ({where_full}); none of these rows was added, free space"
            raise StateError(f"trade journal {where}: {told}") from error

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def __enter__(self) -> TradeJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _url(url: str | Path) -> str:
    """*url* as an SQLAlchemy URL; text without "://" is a path."""
    if isinstance(url, Path) or "://" not in url:
        plain = str(Path(url)).replace("%", "%25").replace("?", "%3F")  # both have a meaning in URLs
        return f"sqlite:///{plain}"
    return url


def _engine(url: str) -> Engine:
    """The engine for *url*; a SQLite file is made private before it is opened."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(f"trade journal url: is not one SQLAlchemy supports ({error})") from None
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"trade journal {parsed.render_as_string(hide_password=True)}: the driver {error.name!r} is not installed; "
            "for PostgreSQL: pip install 'quantum-trader[postgres]'"
        ) from None
    if parsed.database and parsed.database != ":memory:":
        _own_database(Path(parsed.database))
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _own_database(path: Path) -> None:
    """Make the database file private where it is new; StateError when it, or a file beside it, is a link or no file."""
    create_private(path)
    try:
        for suffix in ("", "-wal", "-shm", "-journal"):
            check_regular_file(path.with_name(path.name + suffix))
    except UnsafePathError as error:
        raise StateError(f"{error.filename}: {error.strerror}") from None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let SQLAlchemy begin transactions, and set the file to WAL."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start of a writing transaction, so that a second writer waits instead of failing."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Run the missing migrations; StateError when a newer program made the database."""
    with engine.connect() as connection:
        version = _version(connection)
    if version == NEWEST_MIGRATION:
        return
    if version > NEWEST_MIGRATION:
        raise StateError(
            f"trade journal {engine.url.render_as_string(hide_password=True)}: has schema {version}, this program "
            f"supports {NEWEST_MIGRATION}; use the newer program, or another journal"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("quantum_trader.journal") / "migrations").replace("%", "%%"))
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":  # two processes may open a new database at once
            connection.execute(text("SELECT pg_advisory_xact_lock(7361951)"))
        if _version(connection) < NEWEST_MIGRATION:
            config.attributes["connection"] = connection
            command.upgrade(config, NEWEST_MIGRATION)


def _version(connection: Connection) -> str:
    """The migration *connection*'s database is at, "" for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _table(name: str) -> Table:
    if name not in _TABLES:
        raise InputError(f"table = {name!r}: must be one of {', '.join(_TABLES)}")
    return _TABLES[name]


def _row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """*row* with every column of *table*, so that all rows fit one statement."""
    unknown = set(row) - set(table.c.keys())
    if unknown:
        raise InputError(f"{table.name}: has no column {sorted(unknown)[0]!r}; it has {', '.join(table.c.keys())}")
    complete: dict[str, Any] = {}
    for column in table.c:
        value = row.get(column.name)
        if isinstance(value, (dict, list, tuple)):
            value = msgspec.json.encode(value).decode()
        if value is None and not column.nullable and column.server_default is not None:
            value = ""
        if value is None and not column.nullable:
            raise InputError(f"{table.name}.{column.name}: is missing in the row {dict(row)!r:.200}")
        complete[column.name] = int(value) if isinstance(value, bool) else value
    return complete


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Insert *rows* except those with an existing key; returns the number inserted."""
    key = next(iter(table.primary_key.columns))
    if connection.dialect.name == "postgresql":
        made = postgresql.insert(table).values(rows).on_conflict_do_nothing().returning(key)
        return len(connection.execute(made).all())
    return len(connection.execute(sqlite.insert(table).values(rows).on_conflict_do_nothing().returning(key)).all())


def _untraded(mode: str | None, since_ns: int, until_ns: int) -> Select[Any]:
    """The results in R of shadow trades whose signals were not traded: a traded one is in the trades."""
    shadows = tables.SHADOW_TRADES.c
    wanted = [func.upper(shadows.mode) == mode.strip().upper()] if mode else []
    return select(shadows.r).where(
        *wanted, func.coalesce(shadows.traded, 0) == 0, shadows.closed_ns >= since_ns, shadows.closed_ns <= until_ns
    )


def _stats(
    mode: str, since_ns: int, until_ns: int, rows: Sequence[Any], shadows: Sequence[float | None]
) -> TradeStats:
    """The figures of *rows*: (pnl, r_multiple, fees, funding, entry_ns, exit_ns), and of the *shadows*' R."""
    pnls = [row[0] for row in rows if row[0] is not None]
    wins, losses = [p for p in pnls if p > 0.0], [p for p in pnls if p < 0.0]
    results = [*pnls, *(r for r in shadows if r is not None)]
    won = len([result for result in results if result > 0.0])
    return TradeStats(
        mode=mode, since_ns=since_ns, until_ns=until_ns, total_trades=len(rows) + len(shadows),
        shadow_trades=len(shadows), wins=won, losses=len([result for result in results if result < 0.0]),
        win_rate=won / len(results) if results else None,
        total_pnl=0.0 if shadows and not pnls else _sum(pnls), mean_pnl=_mean(pnls),
        mean_r=_mean([row[1] for row in rows if row[1] is not None]),
        profit_factor=math.fsum(wins) / -math.fsum(losses) if losses else None, best_pnl=max(pnls, default=None),
        worst_pnl=min(pnls, default=None), fees=_sum([row[2] for row in rows if row[2] is not None]),
        funding=_sum([row[3] for row in rows if row[3] is not None]),
        mean_duration_s=_mean([(row[5] - row[4]) / 1e9 for row in rows]),
    )


def _sum(values: Sequence[float]) -> float | None:
    return math.fsum(values) if values else None


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
