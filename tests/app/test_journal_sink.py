"""Recording in live trading: nothing it meets stands in the way of an order, and nothing of it is lost quietly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.journal.records import NOW, decision, fill, record_line, signal, trade

from quantum_trader.app.runs.journal_sink import LiveSink
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.domain.enums import GOV_EMERGENCY, GOV_NORMAL
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.engine.record_types import DATA_TYPES
from quantum_trader.journal import lines
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.leakage import STATES_FEATURES


class FullDisk(RecordFile):
    """A record file whose disk is full while *full* is set."""

    full = False

    def append(self, line: bytes, topic: str = "", ts_ns: int = 0) -> None:
        """Append, unless the disk is full."""
        if self.full:
            raise StateError("records.jsonl: cannot be written (No space left on device)")
        super().append(line, topic, ts_ns)


def line(number: int) -> bytes:
    """An encoded record."""
    return record_line("order.filled", fill(number), number)


def test_records_wait_for_the_disk_in_their_order(tmp_path: Path) -> None:
    """Full: appending goes on, a checkpoint cannot be made; free again: everything is there once, in order."""
    records = FullDisk(tmp_path / "records.jsonl", 0)
    sink = LiveSink(tmp_path, records, 0)
    sink.append(line(1), "order.filled", 1)
    records.full = True
    for number in (2, 3):
        sink.append(line(number), "order.filled", number)
    assert sink.waiting == 2
    with pytest.raises(StateError, match="2 records wait"):
        sink.sync()
    records.full = False
    sink.append(line(4), "order.filled", 4)
    sink.sync()
    sink.close()
    assert (tmp_path / "records.jsonl").read_bytes().splitlines() == [line(n) for n in (1, 2, 3, 4)]
    assert [payload for _, _, payload in Lake(tmp_path / "journal").lines()] == [line(n) for n in (1, 2, 3, 4)]


def test_more_than_can_wait_is_counted_as_lost_and_forbids_a_checkpoint(tmp_path: Path) -> None:
    """A restart makes them again from the checkpoint before; this process makes no other."""
    records = FullDisk(tmp_path / "records.jsonl", 0)
    sink = LiveSink(tmp_path, records, 0, most=2)
    records.full = True
    for number in range(4):
        sink.append(line(number), "order.filled", number)
    records.full = False
    assert sink.lost == 2
    with pytest.raises(StateError, match="2 were lost"):
        sink.sync()
    sink.close()


def test_the_queue_is_watched(tmp_path: Path) -> None:
    """A journal that keeps up calls for nothing; its monitor's figures are those of the ring."""
    sink = LiveSink(tmp_path, RecordFile(tmp_path / "records.jsonl", 0), 0)
    sink.append(line(1), "order.filled", 1)
    sink.sync()
    told = sink.queue()
    sink.close()
    assert (told.governor_level, told.drops, told.waiting) == (GOV_NORMAL, 0, 0)
    assert told.governor_level != GOV_EMERGENCY


@pytest.mark.parametrize(("topic", "data", "wrong"), [
    ("signal.generated", signal(confidence=7.0), "confidence"), ("trade.closed", trade(float("nan")), "exit_price"),
    ("signal.decided", decision(decision="MAYBE"), "decision"), ("rollout.changed", {"in": "force"}, "in_force"),
])
def test_a_record_with_a_value_out_of_its_bounds_is_lost_and_counted(
    topic: str, data: Any, wrong: str, tmp_path: Path
) -> None:
    """The recorder takes any value of the right struct; the sink does not."""
    sink = LiveSink(tmp_path, RecordFile(tmp_path / "records.jsonl", 0), 0)
    sink.append(record_line(topic, data), topic, NOW)
    sink.close()

    assert (sink.lost, sink.size) == (1, 0)
    assert wrong in sink.trouble


def test_a_record_that_cannot_be_wrong_is_not_decoded() -> None:
    """The recorder has checked its struct; decoding it again cost more than all other recording."""
    decoded = []
    for topic in sorted(DATA_TYPES):
        try:
            lines.check_record(topic, 1, b"")
        except InputError:
            decoded.append(topic)

    assert decoded == [
        "model.in_force", "model.refused", "models.decided", "pilot.changed", "pilot.closed", "pilot.day",
        "pilot.decided", "pilot.failed", "policy.updated", "rollout.changed", "run.started", "score.received",
        "shadow.closed", "signal.decided", "signal.generated", "signal.inputs", "signal.judged", "trade.closed",
    ]


def test_every_topic_that_must_state_the_times_of_its_features_is_checked() -> None:
    """A feature from the future is looked for in each of them."""
    for topic in STATES_FEATURES:
        with pytest.raises(InputError):
            lines.check_record(topic, 1, b"")
