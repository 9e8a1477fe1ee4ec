"""A run whose texts are markup wherever data can bring a text: symbols, reasons, names of models, gates and sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
from tests.app.test_status import FINE, LOCAL_MODE

from quantum_trader.app.runs.live_settings import bind_folder
from quantum_trader.app.runs.model_state import ModelLine, ModelsState
from quantum_trader.app.runs.status import HaltLine, OrderLine, OthersLine, PositionLine, write_status
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.models.forecasts import Lack

ATTACK: Final = "<img src=x onerror=\"window.taken=1\">"
PRODUCER: Final = "engine"
_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
_TEXTS: Final = frozenset((  # fields of records that hold a text of a person, a model, a gate or a symbol
    "actor", "after", "alias", "before", "field", "gate", "model", "model_id", "names", "note", "reason", "reasons",
    "regime", "regime_entry", "regime_exit", "rule", "why",
))


def poisoned(value: Any, name: str = "") -> Any:
    """*value* of a record's field *name* with markup for each of its texts."""
    if isinstance(value, dict):
        return {ATTACK if key in _SYMBOLS else key: poisoned(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, name) for one in value]
    return ATTACK if value in _SYMBOLS or (isinstance(value, str) and name in _TEXTS) else value


def poison(finished: Path, folder: Path) -> None:
    """Make *folder* a live run's: the journal of the *finished* run and a status, both full of markup."""
    folder.mkdir(mode=0o700)
    (folder / "lock").touch(0o600)
    bind_folder(folder, LOCAL_MODE)
    rows = Lake(finished / JOURNAL).sql("select kind, ts_ns, payload from events order by ts_ns, producer, seq")
    lines = []
    with EventLogger(folder / JOURNAL, producer=PRODUCER) as logger:
        for row in rows.to_pylist():
            record = json.loads(row["payload"])
            record["data"] = poisoned(record["data"])
            lines.append(json.dumps(record, separators=(",", ":")).encode())
            logger.log_line(row["kind"], row["ts_ns"], lines[-1])
    (folder / "records.jsonl").write_bytes(b"\n".join((*lines, b"")))
    write_status(folder, msgspec.structs.replace(
        FINE, entries_halted=ATTACK, notes=(ATTACK,), bus=ATTACK, waits_for=ATTACK, differences=(ATTACK,), pilot=ATTACK,
        positions=(PositionLine(symbol=ATTACK, side="LONG", qty=0.5, entry_price=100.0, stop=90.0, model=ATTACK),),
        orders=(OrderLine(client_order_id=ATTACK, symbol=ATTACK, purpose="STOP", qty=0.5, price=90.0),),
        halts=(HaltLine(kind=f"lock {ATTACK}", reason=ATTACK, exit_path=ATTACK),),
        by_others=(OthersLine(ts_ns=FINE.written_ns, text=ATTACK),),
        models=ModelsState(models=(ModelLine(
            name=ATTACK, symbols=(ATTACK,),
            lacks=(Lack(model=ATTACK, symbol=ATTACK, bars=1, needed=2, interval=ATTACK),),
        ),), silence=ATTACK, least_equity=((ATTACK, 1.0),)),
    ))
