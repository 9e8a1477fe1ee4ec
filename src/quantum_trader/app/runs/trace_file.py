"""Measured traces on disk: one line for each decision that ended, beside the records, which know market time alone.

The file is bounded: when it is full its older half goes. It is read by ``quantum-trader trace`` and by nothing that
decides; a disk that is full costs measurements, never a decision.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import create_file, open_private, open_to_read, read_private
from quantum_trader.journal.tracer import Span, Trace

FILE_NAME: Final = "traces.jsonl"
_MOST_BYTES: Final = 64 << 20
_FLUSH_BYTES: Final = 1 << 16
ROAD: Final = ("signal", "gates", "sizing", "risk", "order", "record", "acknowledgement", "execution")


class TraceFile:
    """Appends finished traces; written in blocks, at the latest when it is flushed."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE_NAME
        self.lost = 0
        self._pending: list[bytes] = []
        self._bytes = 0

    def add(self, trace: Trace) -> None:
        """Take one finished trace."""
        line = msgspec.json.encode(trace)
        self._pending.append(line)
        self._bytes += len(line) + 1
        if self._bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last time; where that fails it is counted as lost."""
        if not self._pending:
            return
        block, count = b"\n".join(self._pending) + b"\n", len(self._pending)
        self._pending, self._bytes = [], 0
        try:
            descriptor = open_private(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(descriptor, block)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > _MOST_BYTES:
                self._halve()
        except OSError:
            self.lost += count

    def _halve(self) -> None:
        content = read_private(self.path)
        kept = content[content.index(b"\n", len(content) // 2) + 1:]
        fresh = self.path.with_suffix(".new")
        descriptor = create_file(fresh)
        try:
            os.write(descriptor, kept)
        finally:
            os.close(descriptor)
        os.replace(fresh, self.path)


def measured(state_dir: Path, trace_id: str) -> Trace | None:
    """The measured trace *trace_id*, its newest telling; None when there is none."""
    path, found = state_dir / FILE_NAME, None
    token = f'"trace_id":"{trace_id}"'.encode()
    if not path.is_file():
        return None
    with open(open_to_read(path), "rb") as lines:
        for line in lines:
            if token in line:
                found = line
    try:
        return decode_json(found, Trace) if found is not None else None
    except msgspec.DecodeError:
        return None


def road_of(trace: Trace) -> Trace:
    """The decision's own steps: from the bars to the order and its first fill, without the position's life."""
    spans: tuple[Span, ...] = tuple(span for span in trace.spans if span.name in ROAD)
    end = max((span.end_ns for span in spans), default=trace.start_ns)
    return msgspec.structs.replace(trace, spans=spans, end_ns=end, road_ns=0)
