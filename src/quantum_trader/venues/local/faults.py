"""Faults on demand: added one by one, or drawn from a seed. Events of market and account are only named here.

An added fault applies to the next *count* requests or frames that match it and is then spent. A seed draws faults of
requests and frames, and events of the market: halts, deleveraging, liquidation, delisting, fills in parts, silence.
A *road* is the first part of a stream's path: public, market or private.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.local.api_errors import VenueApiError

REQUEST_KINDS: Final = (
    "latency",  # answer after seconds
    "rate_limit",  # 429 with Retry-After
    "ban",  # 418 with Retry-After
    "clock",  # -1021
    "unknown",  # -1007 (status 408) or, with status 503, "Unknown error": executed when alive, else not
    "late",  # -1007 at once, and the request arrives after seconds (in its receive window, or not at all)
    "overloaded",  # 503 -1008: certainly not executed
    "drop",  # break the connection without an answer: executed when alive, else not
    "internal",  # HTTP 500 with -1000: executed when alive, else not
)
FRAME_KINDS: Final = ("lose", "duplicate", "delay", "silence")


class InjectedFault(msgspec.Struct, kw_only=True):
    """One added fault. *match* is a part of "METHOD path" for requests, an event type for user frames."""

    kind: str
    match: str = ""
    count: int = 1
    alive: bool = True
    seconds: float = 0.0
    status: int = 0
    road: str = ""  # of a silence: public, market, private; empty for all
    skip: int = 0  # matching requests or frames to let pass before the first


_REFUSALS: Final = {
    "rate_limit": (-1003, 429), "ban": (-1003, 418), "clock": (-1021, 400), "overloaded": (-1008, 503),
    "unknown": (-1007, 408), "late": (-1007, 408), "internal": (-1000, 500),
}
_UNKNOWN_503: Final = "Unknown error, please check your request or try again later."


def refusal_of(fault: InjectedFault) -> VenueApiError:
    """Return the error that answers a request under *fault*."""
    code, status = _REFUSALS[fault.kind]
    if fault.kind == "unknown" and fault.status == 503:
        return VenueApiError(-1000, status=503, message=_UNKNOWN_503)
    return VenueApiError(code, 2_400, status=status)


class FaultRates(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities of seeded faults, per request or frame."""

    latency: float = 0.02
    rate_limit: float = 0.005
    clock: float = 0.002
    unknown: float = 0.01
    drop: float = 0.005
    overloaded: float = 0.005
    lose: float = 0.002
    duplicate: float = 0.01
    delay: float = 0.01
    hang_up: float = 0.0005  # this and the following per step of time: breaks every connection
    halt: float = 0.0005
    adl: float = 0.0002
    liquidate: float = 0.0002
    delist: float = 0.00002
    parts: float = 0.002
    silence: float = 0.0002


class Faults:
    """The faults in force."""

    def __init__(self, seed: int | None = None, rates: FaultRates = FaultRates()) -> None:  # noqa: B008 - frozen
        self._added: list[InjectedFault] = []
        self._held: list[dict[str, Any]] = []  # user frames a delay keeps back until the next one
        self._random = np.random.default_rng(seed) if seed is not None else None
        self._rates = rates
        self.done: list[str] = []  # the faults and events so far, in order

    def add(self, fault: InjectedFault) -> None:
        """Add one; ConfigError for an unknown kind."""
        if fault.kind not in REQUEST_KINDS + FRAME_KINDS:
            raise ConfigError(f"fault kind = {fault.kind!r}: use one of {', '.join(REQUEST_KINDS + FRAME_KINDS)}")
        self._added.append(fault)

    def clear(self) -> None:
        """End all added faults and the seed's."""
        self._added.clear()
        self._random = None

    def end_silence(self) -> None:
        """End every silence."""
        self._added = [fault for fault in self._added if fault.kind != "silence"]

    def pending(self) -> list[InjectedFault]:
        """Return the faults that are not spent."""
        return list(self._added)

    # ------------------------------------------------------------------ requests

    def for_request(self, method: str, path: str) -> InjectedFault | None:
        """Return the fault that applies to this request, None without one."""
        return self._take(REQUEST_KINDS, f"{method} {path}") or self._drawn_request(path)

    def _drawn_request(self, path: str) -> InjectedFault | None:
        if self._random is None:
            return None
        draw = self._random.random()
        for kind in ("latency", "rate_limit", "clock", "unknown", "drop", "overloaded"):
            draw -= getattr(self._rates, kind)
            if draw < 0.0:
                self.done.append(f"{kind} {path}")
                alive = bool(self._random.random() < 0.5)
                return InjectedFault(kind=kind, alive=alive, seconds=float(self._random.random()))
        return None

    def _take(self, kinds: Iterable[str], what: str) -> InjectedFault | None:
        for fault in self._added:
            if fault.kind not in kinds or fault.match not in what:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.count -= 1
            if fault.count <= 0:
                self._added.remove(fault)
            self.done.append(f"{fault.kind} {what}")
            return fault
        return None

    # ------------------------------------------------------------------ frames

    def silent(self, road: str) -> bool:
        """Whether *road* sends nothing."""
        return any(fault.kind == "silence" and fault.road in ("", road) for fault in self._added)

    def hangs_up(self) -> bool:
        """Whether every connection breaks now."""
        if self._random is None or self._random.random() >= self._rates.hang_up:
            return False
        self.done.append("hang_up")
        return True

    def drawn_event(self, symbols: Sequence[str]) -> tuple[str, str]:
        """Return the market event of this step and its symbol; ("", "") in most steps."""
        if self._random is None:
            return "", ""
        draw = float(self._random.random())
        for kind in ("halt", "adl", "liquidate", "delist", "parts", "silence"):
            draw -= getattr(self._rates, kind)
            if draw < 0.0:
                symbol = symbols[int(self._random.integers(len(symbols)))]
                self.done.append(f"{kind} {symbol}")
                return kind, symbol
        return "", ""

    def loses_market_frame(self) -> bool:
        """Whether the next market frame is lost."""
        return self._random is not None and bool(self._random.random() < self._rates.lose)

    def user_frames(self, frame: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what is sent instead of *frame*: nothing, itself, itself twice, or itself before a delayed one."""
        fault = self._take(("lose", "duplicate", "delay"), str(frame["e"]))
        kind = fault.kind if fault is not None else self._drawn_frame(str(frame["e"]))
        if kind == "lose":
            return []
        if kind == "delay":
            self._held.append(frame)
            return []
        sent = [frame, frame] if kind == "duplicate" else [frame]
        sent += self._held
        self._held = []
        return sent

    def _drawn_frame(self, event: str) -> str:
        if self._random is None:
            return ""
        draw = self._random.random()
        for kind in ("lose", "duplicate", "delay"):
            draw -= getattr(self._rates, kind)
            if draw < 0.0:
                self.done.append(f"{kind} {event}")
                return kind
        return ""
