"""A state folder whose journal and status a test writes, as a live run does."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from tests.app.test_status import FINE, LOCAL_MODE

from quantum_trader.app.runs.live_settings import bind_folder
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import LiveStatus, write_status
from quantum_trader.domain.enums import OrderSide
from quantum_trader.domain.trading import Fill
from quantum_trader.engine.facts import HaltNotice
from quantum_trader.engine.recorder import Recorder
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import JOURNAL

NOW = 1_700_000_000_000_000_000


class NotedRun:
    """A run in *folder*; :meth:`live` takes its lock, as its process does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "lock").touch(0o600)
        bind_folder(folder, LOCAL_MODE)
        self._logger = EventLogger(folder / JOURNAL, producer="engine")
        self._recorder = Recorder(self)
        self._held: StateDir | None = None
        self._fills = 0

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record, as the recorder's sink."""
        self._logger.log_checked_line(topic, ts_ns, line)

    def record(self, topic: str, data: Any) -> None:
        """Write one record of the engine."""
        self._recorder.record(topic, "", NOW, data)

    def fill(self, symbol: str = "BTCUSDT") -> None:
        """An order was filled."""
        self._fills += 1
        self.record("order.filled", Fill(
            fill_id=f"f{self._fills}", client_order_id="o", symbol=symbol, side=OrderSide.BUY, qty=0.5, price=101.5,
            fee=0.1, liquidity="taker", ts_ns=NOW,
        ))

    def halt(self, reason: str = "daily loss") -> None:
        """A halt was raised."""
        self.record("halt.raised", HaltNotice(
            kind="daily_loss", reason=reason, owner="risk", exit_path="the next day", level=""
        ))

    def live(self) -> None:
        """Hold the folder, as a process that lives."""
        self._held = StateDir(self.folder)

    def end(self) -> None:
        """Let the folder go, as a process that ends."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def says(self, written_ns: int = NOW, **changes: Any) -> None:
        """Write the status file."""
        fine: LiveStatus = msgspec.structs.replace(
            FINE, written_ns=written_ns, started_ns=written_ns - 10**12, equity_ns=written_ns - 10**10
        )
        write_status(self.folder, msgspec.structs.replace(fine, **changes))

    def __enter__(self) -> NotedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.close()
        self.end()
