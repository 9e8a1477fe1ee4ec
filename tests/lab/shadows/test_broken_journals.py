"""Signals of journals that are not whole: data that ends, records of another version, none at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError
from quantum_trader.lab.shadows.judged_signals import NONE, OPEN, RESOLVED, VOID, judged_signals_in
from quantum_trader.models.gates import GATES, GateInputs, GateLimits

START = 1_700_006_400_000_000_000


class Journal:
    """Records in memory, read as a journal is."""

    directory, damage = Path("journal"), ()

    def __init__(self, *records: tuple[str, int, dict[str, Any]]) -> None:
        self._records = records

    def lines(self, kind: str) -> Iterator[tuple[int, int, bytes]]:
        """Number, time and payload of each record of one kind."""
        for number, (topic, ts_ns, data) in enumerate(self._records):
            if topic == kind:
                yield number, ts_ns, msgspec.json.encode({"ts_ns": ts_ns, "data": data})

    def sql(self, _query: str) -> pa.Table:
        """The times of the first and the last record."""
        times = [ts_ns for _, ts_ns, _ in self._records]
        return pa.table({"first": [min(times, default=None)], "last": [max(times, default=None)]})


def signal(name: str, hour: int, symbol: str = "BTCUSDT", **more: Any) -> list[tuple[str, int, dict[str, Any]]]:
    """The records of one signal; *more* replaces what is usual."""
    ts_ns = START + hour * NS_PER_HOUR
    gate = {"observed": 1.0, "limit": 2.0, "measured": True, "passed": True, "enforced": False}
    judged = {
        "signal_id": name, "symbol": symbol, "mode": "scalp", "gates": more.get("gates", [gate] * len(GATES)),
        "regime": "RANGING", "features": {}, "features_hash": "",
    }
    decided = {
        "signal_id": name, "decision": "ALLOWED", "reason": "", "features_ts_ns": ts_ns, "confidence": 0.6,
        "shadow_hours": more.get("hours", 24.0),
    }
    inputs = {
        "signal_id": name, "request": [1.0] * 11, "account": more.get("account", [1_000.0] * 11),
        "gates": [1.0] * len(GateInputs._fields), "gate_limits": [1.0] * len(GateLimits._fields), "quantity": None,
    }
    return [("signal.judged", ts_ns, judged), ("signal.decided", ts_ns, decided), ("signal.inputs", ts_ns, inputs)]


def closed(name: str, hour: int) -> tuple[str, int, dict[str, Any]]:
    """The result of a shadow trade."""
    data = {"signal_id": name, "r": -0.5, "exit": "STOP", "bars_held": 3, "entry_price": 100.0}
    return "shadow.closed", START + hour * NS_PER_HOUR, data


def test_a_shadow_trade_whose_data_ends_has_no_result_and_holds_up_nothing() -> None:
    """Only of that symbol, and not of a signal after the hole; a result on record stays one."""
    found = judged_signals_in(Journal(  # type: ignore[arg-type]
        *signal("a", 0), *signal("b", 1, "ETHUSDT"), *signal("c", 1), *signal("d", 1, hours=0.0), closed("a", 2),
        ("market.hole", START + 2 * NS_PER_HOUR, {"symbol": "ETHUSDT"}), *signal("e", 3, "ETHUSDT"), closed("e", 5),
        *signal("f", 6, "ETHUSDT"),
    ))
    assert found.outcome.tolist() == [RESOLVED, VOID, OPEN, NONE, RESOLVED, OPEN]
    assert found.settled.tolist() == [True, False, False, False, False, False]
    assert (found.first_ns, found.last_ns) == (START, START + 6 * NS_PER_HOUR)


def test_a_record_of_another_width_is_named() -> None:
    """As one whose account has another number of figures is: another version of the program wrote it."""
    with pytest.raises(DataError, match="gates of b: 0 instead of 6; another version"):
        judged_signals_in(Journal(*signal("a", 0), *signal("b", 1, gates=[])))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="account of a: 2 instead of"):
        judged_signals_in(Journal(*signal("a", 0, account=[1.0, 2.0])))  # type: ignore[arg-type]


def test_a_journal_of_no_signal_is_empty() -> None:
    """No signal is no fault: a run has just begun."""
    found = judged_signals_in(Journal(("run.started", START, {})))  # type: ignore[arg-type]
    assert (len(found), found.first_ns) == (0, START)
    assert len(judged_signals_in(Journal())) == 0  # type: ignore[arg-type]
