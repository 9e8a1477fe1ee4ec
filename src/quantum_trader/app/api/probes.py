"""Probes for machines: ``/livez``, whether this server answers, and ``/readyz``, whether the run makes progress.

Both need no token and hold no data but one word. ``/readyz`` answers 200 while the run makes progress and when a replay
is at its end, and 503 otherwise, with the word: starting, stalled, stopped, dead, nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from quantum_trader.app.api.endpoints import Endpoint
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.runs.run_condition import Condition, run_condition
from quantum_trader.domain.errors import StateError

LIVEZ: Final = "/livez"
READYZ: Final = "/readyz"
ALIVE: Final = "alive"
_UNREADABLE: Final = "unreadable"
_READY: Final = (Condition.RUNNING, Condition.FINISHED)


class ProbeAnswer(msgspec.Struct, frozen=True):
    """One word."""

    state: str


def probe_endpoints(reader: RunReader, now_ns: Callable[[], int] = time.time_ns) -> list[Endpoint]:
    """The two probes of the run in *reader*'s folder."""
    return [
        Endpoint(
            path=LIVEZ, summary="Whether this server answers.", tag="probes", answers=ProbeAnswer, role=None,
            run=lambda _: ProbeAnswer(ALIVE), example={"state": ALIVE},
        ),
        Endpoint(
            path=READYZ, summary="Whether the run makes progress; 503 where it does not, with the reason in a word.",
            tag="probes", answers=ProbeAnswer, role=None, run=lambda _: readiness(reader, now_ns()),
            example={"state": "running"},
        ),
    ]


def readiness(reader: RunReader, now_ns: int) -> ProbeAnswer:
    """What the run is doing. Raises ApiError with the status 503 where that is no progress."""
    try:
        found = run_condition(reader.folder, now_ns, reader.status()).condition
    except (StateError, OSError):
        raise ApiError(503, _UNREADABLE) from None
    if found not in _READY:
        raise ApiError(503, found.value)
    return ProbeAnswer(found.value)
