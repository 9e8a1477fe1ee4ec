"""The pilot's live status for a web server: ``GET /api/v1/rl-v3/dashboard/live-status``.

    app = FastAPI()
    app.include_router(pilot_router(Path("live-run")))

The router only reads, and asks for no name or password: serve it on loopback, or behind something that does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Final

import msgspec
from fastapi import APIRouter, HTTPException

from quantum_trader.app.runs.pilot_journal import pilot_metrics
from quantum_trader.app.runs.pilot_store import store_of
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.live.pilot_metrics import RLv3LiveStatusResponse, RLv3MetricsStore

PREFIX: Final = "/api/v1/rl-v3/dashboard"
CACHED_NS: Final = 10 * NS_PER_SECOND


class StateFolderStatus:
    """The status of a state folder; its journal is read at most every 10 seconds of *clock* (ns)."""

    def __init__(self, folder: Path, clock: Callable[[], int]) -> None:
        self._folder, self._clock = folder, clock
        self._store = store_of(folder, None)  # StateError where there is no such folder
        self._metrics: RLv3MetricsStore | None = None
        self._read_ns = 0
        self._lock = Lock()

    def status(self) -> RLv3LiveStatusResponse:
        """The status as the policy store and the journal tell it."""
        with self._lock:
            now = self._clock()
            if self._metrics is None or not 0 <= now - self._read_ns < CACHED_NS:
                self._metrics, self._read_ns = pilot_metrics(self._folder, lambda: self._store.pilot), now
            return self._metrics.get_live_status()


def pilot_router(source: RLv3MetricsStore | Path, clock: Callable[[], int] = time.monotonic_ns) -> APIRouter:
    """A router that answers the live status of *source*: the store of this process, or a run's state folder.

    A folder that cannot be read is answered with 503 and the reason. StateError where there is no such folder.
    """
    status = source.get_live_status if isinstance(source, RLv3MetricsStore) else StateFolderStatus(source, clock).status
    router = APIRouter(prefix=PREFIX, tags=["RL v3"])

    @router.get("/live-status")
    def live_status() -> dict[str, Any]:
        """Settings in force, intents and executed ones, decisions in the shadow, and the last times (ISO 8601)."""
        try:
            answered: dict[str, Any] = msgspec.to_builtins(status())
        except (QuantumTraderError, OSError) as error:
            raise HTTPException(status_code=503, detail=str(error)) from None
        return answered

    return router
