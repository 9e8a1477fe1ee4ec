"""SQL of callers, in a process of its own: its memory and processor time are bounded by the system, not by the query.

A database does not count each value that a query makes. Here a query that asks for more than it may have ends with an
error or ends its process, and the server answers on. A process is used again until it fails or is idle for long.
"""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

import msgspec

from quantum_trader.domain.errors import InputError, QuantumTraderError, StateError
from quantum_trader.journal.lake import Lake

_COMMAND: Final = (sys.executable, "-P", "-m", "quantum_trader.app.api.sql_process")
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "TZ")  # of the environment: no key of an exchange
_LENGTH: Final = 8  # bytes before each message
_MOST_ANSWER_MB: Final = 32
_MOST_BYTES: Final = 1 << 30
_IDLE_S: Final = 300.0
_ROOM: Final = 2  # times the memory of a query: the database's, and the answer's
_SPARE_MB: Final = 256
_SPARE_S: Final = 10.0  # beyond the time of a query, for the journal's tail and for the answer's text
_LOWER: Final = 5  # priority, so that a query holds nobody else up


class SqlLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one query may use."""

    timeout_s: float
    memory_mb: int


class SqlRows(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: its columns, its first rows, and how many there are."""

    columns: list[str]
    rows: list[dict[str, Any]]
    total: int


class _SqlOrder(msgspec.Struct, frozen=True, kw_only=True):
    directory: str
    limits: SqlLimits
    query: str
    limit: int


class _SqlReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    answer: msgspec.Raw = msgspec.Raw(b"")
    refused: str = ""  # by what the query asks
    failed: str = ""  # the journal cannot be read


class SqlProcesses:
    """Processes that answer SQL over one journal; as many as are asked at a time."""

    def __init__(self, directory: Path, limits: SqlLimits) -> None:
        self._directory, self._limits = directory, limits
        self._idle: list[_SqlProcess] = []
        self._lock = Lock()
        self._ended = weakref.finalize(self, _end_all, self._idle)

    def answer(self, query: str, limit: int) -> msgspec.Raw:
        """The first *limit* rows of one SELECT, as the JSON of SqlRows.

        Raises InputError for a query that is refused or uses more than it may, StateError for an unreadable journal.
        """
        order = msgspec.json.encode(_SqlOrder(
            directory=str(self._directory), limits=self._limits, query=query, limit=limit,
        ))
        process = self._taken(order)
        reply = process.reply(self._limits)
        with self._lock:
            self._idle.append(process)
        if reply.failed:
            raise StateError(reply.failed)
        if reply.refused:
            raise InputError(reply.refused)
        return reply.answer

    def close(self) -> None:
        """End the processes."""
        self._ended()

    def _taken(self, order: bytes) -> _SqlProcess:
        """A process that has the *order*: an idle one, unless that has ended meanwhile."""
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            is_new = process is None
            process = process or _SqlProcess()
            try:
                process.send(order)
            except OSError:
                process.end()
                if is_new:
                    raise StateError("the process that answers SQL cannot be started; see the server's log") from None
                continue
            return process


def _end_all(idle: list[_SqlProcess]) -> None:
    while idle:
        idle.pop().end()


class _SqlProcess:
    """One process, and the two pipes to it."""

    def __init__(self) -> None:
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, bufsize=0,
        )

    def send(self, order: bytes) -> None:
        """Hand it an order; OSError where it has ended."""
        assert self._process.stdin is not None
        content = memoryview(_framed(order))
        while content:
            content = content[self._process.stdin.write(content):]

    def reply(self, limits: SqlLimits) -> _SqlReply:
        """Its reply; InputError where the query ended it, StateError where it failed."""
        ends_s = time.monotonic() + limits.timeout_s + 2.0 * _SPARE_S
        try:
            content = self._read(_LENGTH, ends_s)
            content = self._read(int.from_bytes(content, "little"), ends_s)
        except TimeoutError:
            self.end()
            raise InputError(f"query: took more than {limits.timeout_s:g} s and was ended; ask for less") from None
        except EOFError:
            if self._process.wait() > 0:  # by itself, and by no signal
                raise StateError("the process that answers SQL failed; the server's log has the reason") from None
            self.end()
            raise InputError(
                f"query: its process was ended: it used more than {limits.memory_mb:,} MB or {limits.timeout_s:g} s "
                "of a processor; ask for less"
            ) from None
        return msgspec.json.decode(content, type=_SqlReply)

    def _read(self, size: int, ends_s: float) -> bytes:
        assert self._process.stdout is not None
        content = bytearray()
        while len(content) < size:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, ends_s - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = self._process.stdout.read(min(1 << 20, size - len(content)))
            if not part:
                raise EOFError
            content += part
        return bytes(content)

    def end(self) -> None:
        """Kill it, and forget its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH, "little") + content


# ---- the process itself ----------------------------------------------------------------------------------------------
def serve_orders(orders: IO[bytes], replies: IO[bytes]) -> None:
    """Answer *orders* until they end, or none comes for long."""
    os.nice(_LOWER)
    is_bounded = False
    while select.select([orders], [], [], _IDLE_S)[0]:
        head = _whole(orders, _LENGTH)
        if len(head) < _LENGTH:
            return
        order = msgspec.json.decode(_whole(orders, int.from_bytes(head, "little")), type=_SqlOrder)
        if not is_bounded:
            _bound_memory(order)
            is_bounded = True
        _bound_time(order.limits.timeout_s)
        replies.write(_framed(_reply(order)))
        replies.flush()


def _whole(orders: IO[bytes], size: int) -> bytes:
    content = b""
    while len(content) < size and (part := orders.read(size - len(content))):
        content += part
    return content


def _bound_memory(order: _SqlOrder) -> None:
    """Let this process have that much more than it has once everything is loaded."""
    with suppress(QuantumTraderError):
        Lake(order.directory, threads=1).answer("select 1 from trades limit 0")
    with suppress(OSError, ValueError):  # another system than Linux has no such file: its database's limit is left
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (_ROOM * order.limits.memory_mb + _SPARE_MB << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _bound_time(timeout_s: float) -> None:
    """Let this process use that much more of a processor than it has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + timeout_s + _SPARE_S) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if most == resource.RLIM_INFINITY else min(soft, most), most))


def _reply(order: _SqlOrder) -> bytes:
    try:
        return msgspec.json.encode(_SqlReply(answer=msgspec.Raw(_answer(order))))
    except InputError as error:
        return msgspec.json.encode(_SqlReply(refused=str(error)))
    except QuantumTraderError as error:
        return msgspec.json.encode(_SqlReply(failed=str(error)))
    except MemoryError:
        return msgspec.json.encode(_SqlReply(
            refused=f"query: needs more than {order.limits.memory_mb:,} MB; ask for less (a where or a limit)"
        ))


def _answer(order: _SqlOrder) -> bytes:
    limits = order.limits
    lake = Lake(order.directory, timeout_s=limits.timeout_s, memory_mb=limits.memory_mb, threads=1)
    found = lake.answer(order.query)
    size = found.table.slice(0, order.limit).nbytes
    if size > _MOST_ANSWER_MB << 20:  # turning it into text would take minutes and many times its memory
        raise InputError(
            f"query: its first {order.limit:,} rows have {size >> 20:,} MB, and an answer here has at most "
            f"{_MOST_ANSWER_MB}; ask for fewer columns, shorter texts or a smaller `limit`"
        )
    rows = SqlRows(
        columns=list(found.table.column_names), rows=list(found.rows(order.limit)), total=found.table.num_rows
    )
    return msgspec.json.Encoder(decimal_format="number").encode(rows)


if __name__ == "__main__":
    with open(0, "rb", buffering=0, closefd=False) as given, open(1, "wb", closefd=False) as told:
        serve_orders(given, told)
