"""What keeps connections of others from using a server up, and the server from using the machine up."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 15.0  # a connection has so long for the whole head of a request
_ENDED_FIRST: Final = "500"  # of -1000 to 1000
_LOWER: Final = 5  # of 19: a third of the time that a run gets, where both want the same processor


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 whose connections are closed where the head of a request does not come in time.

    Without it each of them would keep a file open for ever, until no STOP can be connected any more.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take *data*; a head that has begun, and is not whole, has its time."""
        super().data_received(data)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_waiting()
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._deadline = self.loop.call_later(HEAD_S, self._end)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def end_before_others() -> None:
    """Let the system end this process before a run's where memory is short; on Linux alone."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_ENDED_FIRST)


def run_after_others() -> None:
    """Let a run's process have the processor first: reading may wait, bars do not.

    Linux compares priorities within a session alone, and sessions with each other by their leader's.
    """
    with suppress(OSError):
        os.nice(_LOWER)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_LOWER))
