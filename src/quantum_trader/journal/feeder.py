"""Writes records into the trade journal: trades, shadow trades, halts and operator changes.

Lines may be fed again: existing rows stay unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import DataError
from quantum_trader.domain.records import Record
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.journal.trade_journal import REPLAY, TradeJournal

_TOPICS: Final = (
    b'"trade.closed"', b'"shadow.closed"', b'"signal.generated"', b'"signal.judged"', b'"signal.decided"',
    b'"halt.raised"', b'"halt.cleared"', b'"rollout.changed"', b'"gates.changed"', b'"operator.requested"',
    b'"run.started"', b'"model.in_force"',
)
_OPEN_SIGNALS: Final = 20_000  # signals whose shadow may still be open


class JournalFeeder:
    """Feeds record lines into *journal*, *batch* rows at once; call :meth:`flush` at the end."""

    def __init__(self, journal: TradeJournal, mode: str = REPLAY, batch: int = 1_000) -> None:
        self._journal = journal
        self.mode = mode.strip().upper()
        self.run_id = ""
        self.new: dict[str, int] = {}
        self._batch = batch
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._signals: dict[str, Any] = {}
        self._model_id = ""  # of the models that give the signals
        self._clears: list[tuple[str, int, str]] = []
        self._pending = 0
        self._decode = msgspec.json.Decoder(Record).decode

    def feed_all(self, lines: Iterable[bytes]) -> dict[str, int]:
        """Feed *lines* and flush; returns the new rows by table."""
        for line in lines:
            self.feed(line)
        return self.flush()

    def feed(self, line: bytes) -> None:
        """Process one record; records without a table are ignored. DataError for a malformed record."""
        head = line[:160]
        if not any(topic in head for topic in _TOPICS):
            return
        try:
            record = self._decode(line)
            self._take(record, line)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"record {line[:60]!r}: does not have the fields of its topic ({error})") from None
        if self._pending >= self._batch:
            self.flush()

    def _take(self, record: Record, line: bytes) -> None:
        topic, data = record.topic, record.data
        if topic == "run.started":
            self.flush()
            self.run_id, self._model_id = hashlib.sha256(line).hexdigest()[:16], ""
        elif topic == "model.in_force":
            self._model_id = "+".join(data["ids"]) if data["role"] == "signals" else self._model_id
        elif topic == "signal.generated":
            self._signals[data["signal_id"]] = {**data, "model_id": self._model_id}
            if len(self._signals) > _OPEN_SIGNALS:
                del self._signals[next(iter(self._signals))]
        elif topic == "signal.judged":
            self._signals.setdefault(data["signal_id"], {}).update(_judged(data))
        elif topic == "signal.decided":
            self._signals.setdefault(data["signal_id"], {})["reason"] = data["reason"]
        elif topic == "trade.closed":
            self._put("trades", {**msgspec.to_builtins(msgspec.convert(data, ClosedTrade)), "mode": self.mode})
        elif topic == "shadow.closed":
            self._put("shadow_trades", self._shadow(record))
        elif topic == "halt.raised":
            fields = {key: data.get(key, "") for key in ("kind", "reason", "owner", "exit_path", "level")}
            self._put("halts", {
                "halt_id": record.event_id, "mode": self.mode, "raised_ns": record.ts_ns, **fields,
            })
        elif topic == "halt.cleared":
            self._clears.append((data["kind"], record.ts_ns, data.get("reason", "")))
            self.flush()
        else:
            self._put("audit", _entry(record))

    def _shadow(self, record: Record) -> dict[str, Any]:
        data = record.data
        signal = self._signals.pop(data["signal_id"], {})
        duration = (record.ts_ns - signal["ts_ns"]) / 1e9 if "ts_ns" in signal else None
        predicted = signal.get("win_probability")
        return {
            "signal_id": data["signal_id"], "trace_id": record.trace_id, "mode": self.mode, "symbol": data["symbol"],
            "side": signal.get("action", ""), "exit": data["exit"], "closed_ns": record.ts_ns, "r": data["r"],
            "pnl_bps": data["net_bps"] if data.get("entry_price", 0.0) > 0.0 else None,  # older runs did not keep it
            "probability": signal.get("confidence") if predicted is None else predicted, "duration_s": duration,
            "bars_held": data["bars_held"], "traded": data["traded"], "reason": signal.get("reason", ""),
            "model": signal.get("model", ""), "regime": signal.get("regime", ""),
            "features": signal.get("features", signal.get("votes", "")), "model_id": signal.get("model_id", ""),
        }

    def _put(self, table: str, row: dict[str, Any]) -> None:
        self._rows.setdefault(table, []).append({**row, "run_id": self.run_id})
        self._pending += 1

    def flush(self) -> dict[str, int]:
        """Write the pending rows; returns the new rows by table since the start."""
        for table, rows in self._rows.items():
            self.new[table] = self.new.get(table, 0) + self._journal.add(table, rows)
        self._rows.clear()
        self._pending = 0
        for kind, ts_ns, by in self._clears:
            self._journal.clear_halts(kind, ts_ns, by, self.run_id)
        self._clears.clear()
        return dict(self.new)


def _judged(data: dict[str, Any]) -> dict[str, Any]:
    """What a shadow trade's row has of what the gates say: features at entry, regime, P(win) where it was measured."""
    predicted = next((one["observed"] for one in data["gates"] if one["gate"] == "meta_label"), None)
    return {"features": data["features"], "regime": data["regime"], "win_probability": predicted}


def _entry(record: Record) -> dict[str, Any]:
    """An audit row of a change of rollout or gates, or an operator's request."""
    data = record.data
    if record.topic == "gates.changed":
        change = data["change"]
        return {
            "entry_id": record.event_id, "ts_ns": record.ts_ns, "actor": change.get("actor", ""),
            "action": change.get("action", "gates"), "subject": change.get("gate") or "gates",
            "reason": change.get("reason") or change.get("notice", ""), "before": change.get("before", ""),
            "after": change.get("after", ""),
        }
    if record.topic == "operator.requested":
        return {
            "entry_id": record.event_id, "ts_ns": record.ts_ns, "actor": data["actor"], "action": data["action"],
            "subject": "trading", "reason": data["reason"],
        }
    return {
        "entry_id": record.event_id, "ts_ns": record.ts_ns, "actor": data.get("actor", ""),
        "action": data.get("action", "rollout"), "subject": data.get("switch") or "rollout",
        "reason": data.get("reason") or data.get("notice", ""), "before": data.get("before", ""),
        "after": data.get("after", ""),
    }
