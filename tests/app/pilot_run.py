"""A state folder whose journal holds a pilot's records, written by the recorder and the sink that runs use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.journal.pilot_records import MODEL, pilot_day, pilot_decided, shadow_pilot_trade

from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, from_ns
from quantum_trader.domain.enums import OrderSide, OrderType, Side
from quantum_trader.domain.trading import Fill, Intent, OrderRequest
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.recorder import Recorder

FIRST_NS = 19_000 * NS_PER_DAY


@contextmanager
def recording(folder: Path, around: Any = None) -> Iterator[Recorder]:
    """A recorder into the state folder *folder*; *around* wraps its sink."""
    folder.chmod(0o700)
    sink = JournalSink(folder, RecordFile(folder / "records.jsonl", 0), 0)
    through: RecordSink = around(sink) if around is not None else sink
    try:
        yield Recorder(through)
        sink.sync()
    finally:
        sink.close()


def record_days(
    recorder: Recorder, count: int, pilot: float, signals: float, noise: float = 0.001, *, first: int = 0,
    model: str = MODEL,
) -> None:
    """*count* days with one decision of two symbols, two shadow trades and the day's sums each."""
    drawn = np.random.default_rng(1).normal(0.0, noise, (count, 3))
    for i, (x, y, z) in enumerate(drawn.tolist()):
        start = FIRST_NS + (first + i) * NS_PER_DAY
        closed = start + NS_PER_HOUR
        recorder.record("pilot.decided", "", closed, pilot_decided(closed_ns=closed, model=model))
        for hour, r, ended in ((6, 1.0, "FLAT"), (9, -0.5, "STOP")):
            at = start + hour * NS_PER_HOUR
            recorder.record("pilot.closed", "", at, shadow_pilot_trade(
                entry_ns=at - NS_PER_HOUR, exit_ns=at, r=r, exit=ended,
            ))
        day = from_ns(start).date().isoformat()
        recorder.record("pilot.day", "", start + NS_PER_DAY, pilot_day(
            day, pilot=pilot + x, signals=signals + y, hybrid=pilot + z, trades=2, decisions=2,
        ))


def record_intent(
    recorder: Recorder, number: int, ts_ns: int, *, source: str = "RL_V3_PRIMARY", filled: bool = True,
    reduce_only: bool = False,
) -> None:
    """One intent with its order, and its fill where it is *filled*."""
    intent_id, order_id = f"i{number:08d}", f"qt-{number}"
    recorder.record("trade.intent", f"t{number}", ts_ns, Intent(
        intent_id=intent_id, trace_id=f"t{number}", symbol="BTCUSDT", side=Side.LONG, qty=0.01,
        reduce_only=reduce_only, reference_price=50_000.0, stop_price=49_000.0, leverage=2.0, created_ns=ts_ns,
        expires_ns=ts_ns + 1, source=source, confidence=0.7,
    ))
    recorder.record("order.submitted", f"t{number}", ts_ns, OrderRequest(
        client_order_id=order_id, intent_id=intent_id, trace_id=f"t{number}", symbol="BTCUSDT", side=OrderSide.BUY,
        type=OrderType.MARKET, qty=0.01, created_ns=ts_ns,
    ))
    for part in (1, 2) if filled else ():
        fill = Fill(
            fill_id=f"f{number}-{part}", client_order_id=order_id, symbol="BTCUSDT", side=OrderSide.BUY, qty=0.005,
            price=50_000.0, fee=float("nan"), liquidity="taker", ts_ns=ts_ns,
        )
        recorder.record("order.filled", f"t{number}", ts_ns, fill)
        recorder.record("trade.executed", f"t{number}", ts_ns, fill)
