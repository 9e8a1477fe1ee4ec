"""The pilot's records: written by the recorder, checked against their schema, and shown as columns by SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.journal.pilot_records import (
    MODEL,
    pilot_changed,
    pilot_day,
    pilot_decided,
    pilot_failed,
    shadow_pilot_trade,
)
from tests.journal.records import NOW, CheckedSink, record_line

from quantum_trader.domain.errors import InputError
from quantum_trader.engine.recorder import Recorder
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import BY_NAME
from quantum_trader.journal.lake import Lake

WRITTEN: dict[str, Any] = {
    "pilot.decided": pilot_decided(), "pilot.closed": shadow_pilot_trade(), "pilot.day": pilot_day(),
    "pilot.changed": pilot_changed(), "pilot.failed": pilot_failed(),
}
ASKED: dict[str, dict[str, Any]] = {
    "select mode, model, actions, wanted, outcomes from pilot_decisions": {
        "mode": "SHADOW", "model": MODEL, "actions": ["LONG_SMALL", "HOLD"], "wanted": [0.1, 0.0],
        "outcomes": ["SHADOW", "NOTHING"],
    },
    "select symbol, side, r, exit, share, bars_held from pilot_trades": {
        "symbol": "BTCUSDT", "side": "LONG", "r": 0.5, "exit": "FLAT", "share": 0.1, "bars_held": 3,
    },
    "select stated_day, pilot, signals, hybrid, trades, hours, decisions from pilot_days": {
        "stated_day": "2023-11-14", "pilot": 0.0003, "signals": 0.0002, "hybrid": 0.00025, "trades": 4, "hours": 24.0,
        "decisions": 96,
    },
    "select actor, reason, version, mode, before->>'$.mode' as was from pilot_changes": {
        "actor": "anna", "reason": "evidence", "version": 1, "mode": "PRIMARY", "was": "SHADOW",
    },
    "select model, what, error from pilot_failures": {
        "model": MODEL, "what": "RAISED", "error": "StateError: no bars",
    },
}


def test_the_records_are_what_their_topics_say() -> None:
    """Each is checked as the journal checks a line, also with no settings before."""
    recorder = Recorder(CheckedSink())
    for topic, data in WRITTEN.items():
        recorder.record(topic, "", NOW, data)
    recorder.record("pilot.changed", "", NOW, pilot_changed(before=None))

    assert recorder.seq["engine"] == 6
    with pytest.raises(InputError, match=r"pilot\.day.*must be PilotDay"):
        recorder.record("pilot.day", "", NOW, pilot_decided())


@pytest.mark.parametrize("changed", [{"what": "TIRED"}, {"error": 1}])
def test_a_line_with_another_value_is_refused(changed: dict[str, Any]) -> None:
    """A word that is not of its list; a number for a sentence."""
    from quantum_trader.domain.errors import DataError
    from quantum_trader.journal.lines import check_line

    with pytest.raises((DataError, InputError)):
        check_line("pilot.failed", NOW, record_line("pilot.failed", pilot_failed(**changed)))


def test_sql_shows_their_columns(tmp_path: Path) -> None:
    """By name, one view a kind."""
    with EventLogger(tmp_path, ring_bytes=1 << 20) as logger:
        for topic, data in WRITTEN.items():
            logger.log_line(topic, NOW, record_line(topic, data))
    lake = Lake(tmp_path)

    assert {query: lake.sql(query).to_pylist() for query in ASKED} == {query: [row] for query, row in ASKED.items()}


def test_their_numbers_stay() -> None:
    """Behind those of the topics before them."""
    assert [BY_NAME[topic].number for topic in WRITTEN] == [292, 293, 294, 295, 296]
