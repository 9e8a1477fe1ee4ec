"""The recorder: numbers and encodes every event and passes it to a sink.

A record's bytes depend only on the events: ids derive from the sequence, times come with the events. The running
hash over all bytes identifies a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import msgspec
import numpy as np

from quantum_trader.domain.errors import InputError
from quantum_trader.domain.records import SCHEMA_VERSION, Record
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.record_types import WRITTEN

ENGINE: Final = "engine"
POLICY: Final = "policy"
RUN: Final = "run"


def _plain(value: Any) -> Any:
    """A numpy number as the Python number it holds."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


def _refuse(topic: str, data: Any) -> NoReturn:
    types = " or ".join(one.__name__ for one in WRITTEN.get(topic, ()))
    hint = f"must be {types}" if types else "the topic is unknown; add it to engine/record_types.py"
    raise InputError(f"data of topic {topic!r} = {type(data).__name__}: {hint}")


class MemorySink:
    """Keeps encoded records in memory; for tests, benchmarks and runs without a state folder."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep one encoded record."""
        self.lines.append(line)


class Recorder:
    """Numbers, stamps and encodes events for one sink. The data of a topic is of the topic's type.

    Each source has its own sequence, so that observation records do not shift the numbers of trading records.
    """

    def __init__(self, sink: RecordSink) -> None:
        self._sink = sink
        self._encode = msgspec.json.Encoder(enc_hook=_plain).encode
        self._hash = hashlib.blake2b(digest_size=16)
        self.seq = {ENGINE: 0, POLICY: 0, RUN: 0}

    def record(self, topic: str, trace_id: str, ts_ns: int, data: Any, source: str = "engine") -> None:
        """Append one event that happened at *ts_ns*; in replay it is received when it happens.

        Raises InputError for a topic or data that the schema of records does not have.
        """
        if type(data) not in WRITTEN.get(topic, ()):
            _refuse(topic, data)
        seq = self.seq[source] + 1
        line = self._encode(
            Record(
                seq=seq, event_id=f"{source[0]}{seq:010d}", topic=topic, trace_id=trace_id, ts_ns=ts_ns,
                received_ns=ts_ns, source=source, schema=SCHEMA_VERSION, data=data,
            )
        )
        self._sink.append(line, topic, ts_ns)
        self.seq[source] = seq  # a record that the sink refused gets no number
        self._hash.update(line)

    @property
    def digest(self) -> str:
        """Hash over every record so far, hexadecimal."""
        return self._hash.copy().hexdigest()

    def resume(self, seq: dict[str, int], lines: Iterable[bytes]) -> None:
        """Continue after *lines*, the records already on disk."""
        self.seq = dict(seq)
        self._hash = hashlib.blake2b(digest_size=16)
        for line in lines:
            self._hash.update(line)
