"""A process that logs numbered events until it is killed, and writes the accepted count into a mapped file."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import HealthEvent, OrderEvent

START_NS = 1_700_000_000_000_000_000


def order(number: int) -> OrderEvent:
    """Event *number*, which is also its client order id."""
    return OrderEvent(
        trace_id=f"t{number}", symbol="BTCUSDT", ts_ns=START_NS + number, client_order_id=str(number), side="BUY",
        type="MARKET", status="NEW", qty=number / 7, price=30_000.25, reason="numbered " * (number % 5),
        facts={"number": number, "nested": {"half": number / 2}},
    )


def health(number: int) -> HealthEvent:
    """Event *number* of another kind."""
    return HealthEvent(
        trace_id=f"t{number}", symbol="", ts_ns=START_NS + number, part=str(number), level="OK", queue_fill=0.5,
        lag_s=0.001, drops=0, errors=0,
    )


def main(directory: Path, accepted: Path, ring_bytes: int) -> None:
    """Log without end; the first eight bytes of *accepted* hold the last number that ``log`` returned from."""
    with accepted.open("r+b") as handle, mmap.mmap(handle.fileno(), 8) as area, memoryview(area).cast("Q") as words:
        logger = EventLogger(directory, ring_bytes=ring_bytes, publish_s=0.2)
        number = words[0]
        while True:
            number += 1
            if number % 3:
                logger.log(order(number))
            else:
                logger.log_line("note", START_NS + number, b'{"client_order_id":"%d"}' % number)
            words[0] = number


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
