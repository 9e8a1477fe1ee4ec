"""What came into a journal since it was last looked at, for readers that look often: most looks open no part.

New events are in a ring or in the log, so that one snapshot has them. Those that were published between two looks are
asked for with SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.journal.columns import json_text, symbol, trace_id
from quantum_trader.journal.lake import Found, Snapshot, snapshot
from quantum_trader.journal.manifest import NAME
from quantum_trader.journal.publish import without
from quantum_trader.journal.ring import JSON_FLAG, WORD_HEAD, Ring

EventRow = dict[str, Any]
Stamp = tuple[object, ...]
Ask = Callable[[str, list[Any]], list[EventRow]]
_WHERE: Final = "from events where producer = ? and seq > ? and seq <= ? and kind in"


class NewEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Events since the last look: the newest *rows*, oldest first, and how many before them were *left_out*."""

    rows: list[EventRow]
    left_out: int = 0


def journal_stamp(directory: Path) -> Stamp:
    """A value that is another one after each event and after each change of the parts; cheap to read."""
    found: list[object] = []
    with suppress(FileNotFoundError):
        about = (directory / "lake" / NAME).stat()
        found += [about.st_ino, about.st_mtime_ns, about.st_size]
    for path in sorted((directory / "rings").glob("*.ring")):
        with suppress(StateError, OSError), closing(Ring(path, writable=False)) as ring:
            found += [path.stem, ring.ring_id, ring.words[WORD_HEAD]]
    return tuple(found)


class JournalFollower:
    """Follows the events of some kinds in one journal, which need not be there yet."""

    def __init__(self, directory: Path, kinds: Collection[str], ask: Ask) -> None:
        """*ask* answers one SELECT over the journal with its parameters. What is there already is not new."""
        self._directory, self._kinds, self._ask = directory, frozenset(kinds), ask
        self._stamp: Stamp | None = None
        self._seen: dict[str, int] | None = None

    def read(self, most: int) -> NewEvents:
        """What came since the last call, the newest *most* events of it; the first call only looks.

        Raises what reading the journal raises; nothing is lost by that.
        """
        stamp = journal_stamp(self._directory)
        if stamp == self._stamp:
            return NewEvents(rows=[])
        found = snapshot(self._directory)
        ends = _ends(found)
        rows: list[EventRow] = []
        left_out = 0
        for producer, end in ends.items() if self._seen is not None else ():
            seen = self._seen.get(producer, 0) if self._seen is not None else end
            if end != seen:
                some = self._of_producer(found, producer, seen if seen < end else 0, most)  # less: it was begun anew
                rows += some.rows
                left_out += some.left_out
        self._seen, self._stamp = ends, stamp
        rows.sort(key=itemgetter("received_ns", "producer", "seq"))
        cut = max(0, len(rows) - most)
        return NewEvents(rows=rows[cut:], left_out=left_out + cut)

    def _of_producer(self, found: Snapshot, producer: str, seen: int, most: int) -> NewEvents:
        """The events of *producer* after number *seen*; at most *most* of them are rows."""
        waiting = [(name, kinds, without(chunk, seen)) for name, kinds, chunk in found.chunks if name == producer]
        total, newest = 0, [_chosen(one, self._kinds) for one in waiting]
        rows: list[EventRow] = []
        for one, places in zip(reversed(waiting), reversed(newest), strict=True):
            total += len(places)
            wanted = places[max(0, len(places) - (most - len(rows))):]
            rows[:0] = _rows(one, wanted)
        published = found.manifest.producers.get(producer)
        if published is not None and published.seq > seen:
            total += self._published(producer, seen, published.seq, most - len(rows), rows)
        return NewEvents(rows=rows, left_out=total - len(rows))

    def _published(self, producer: str, seen: int, last: int, most: int, rows: list[EventRow]) -> int:
        """How many events after *seen* are published up to *last*; the newest *most* are put before *rows*."""
        kinds = sorted(self._kinds)
        span, marks = [producer, seen, last, *kinds], ", ".join("?" * len(kinds))
        total = int(self._ask(f"select count(*) as n {_WHERE} ({marks})", span)[0]["n"])
        if total and most:
            found = self._ask(
                f"select ts_ns, received_ns, kind, symbol, trace_id, producer, seq, payload {_WHERE} ({marks}) "
                "order by seq desc limit ?", [*span, most],
            )
            rows[:0] = reversed(found)
        return total


def _ends(found: Snapshot) -> dict[str, int]:
    """The number of the last event of each producer."""
    ends = {name: one.seq for name, one in found.manifest.producers.items()}
    for producer, _, chunk in found.chunks:
        ends[producer] = max(ends.get(producer, 0), chunk.first_seq + len(chunk.records) - 1)
    return ends


def _chosen(one: Found, kinds: Collection[str]) -> list[int]:
    """The places in a chunk of the events of *kinds*."""
    _, names, chunk = one
    wanted = [number for number, name in names.items() if name in kinds]
    numbers = (chunk.records["word"] >> np.uint64(32)) & np.uint64(0xFFFF)
    return np.flatnonzero(np.isin(numbers, wanted)).tolist() if wanted else []


def _rows(one: Found, places: list[int]) -> Iterator[EventRow]:
    """The events at *places* of a chunk."""
    producer, names, chunk = one
    if not places:
        return
    words = chunk.records["word"]
    ends = np.cumsum((words & np.uint64(0xFFFFFFFF)).astype(np.int64))
    for place in places:
        word, end = int(words[place]), int(ends[place])
        payload, plain = bytes(chunk.payload[end - (word & 0xFFFFFFFF):end]), bool(word >> 56 & JSON_FLAG)
        yield {
            "ts_ns": int(chunk.records["ts_ns"][place]), "received_ns": int(chunk.records["received_ns"][place]),
            "kind": names[word >> 32 & 0xFFFF], "symbol": symbol(payload, plain),
            "trace_id": trace_id(payload, plain), "producer": producer, "seq": chunk.first_seq + place,
            "payload": json_text(payload, plain),
        }
