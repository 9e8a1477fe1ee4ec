"""Market events drawn from a seed: what they do to the exchange, and when they end."""

from __future__ import annotations

from typing import Final

from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.faults import Faults, InjectedFault

LASTS: Final = 40  # steps a halt, a thin market or a silence lasts


class Misbehaviour:
    """Draws events from *faults* and applies them to *exchange*."""

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._ending: list[tuple[int, str, str]] = []  # (step, kind, symbol)
        self._step = 0

    def step(self) -> None:
        """Process one step of time: end the events that are due, then begin a new one where one is drawn."""
        self._step += 1
        for due in [row for row in self._ending if row[0] <= self._step]:
            self._ending.remove(due)
            self._end(*due[1:])
        kind, symbol = self._faults.drawn_event(self._exchange.symbols)
        if kind:
            self._begin(kind, symbol)

    def _begin(self, kind: str, symbol: str) -> None:
        exchange, incidents = self._exchange, self._exchange.incidents
        try:
            if kind == "halt":
                incidents.halt(symbol)
            elif kind == "adl":
                incidents.deleverage(symbol)
            elif kind == "liquidate":
                incidents.liquidate(symbol)
            elif kind == "delist":
                incidents.delist(symbol)
            elif kind == "parts":
                incidents.limit_volume(symbol, 10.0 * exchange.instruments[exchange.row_of(symbol)].step_size)
            else:
                self._faults.add(InjectedFault(kind="silence", road="private"))
        except VenueApiError:
            return  # there is no position to liquidate: nothing happens
        if kind in ("halt", "parts", "silence"):
            self._ending.append((self._step + LASTS, kind, symbol))

    def _end(self, kind: str, symbol: str) -> None:
        if kind == "silence":
            self._faults.end_silence()
        elif kind == "parts":
            self._exchange.incidents.limit_volume(symbol, None)
        elif not self._exchange.market.delisted[self._exchange.row_of(symbol)]:
            self._exchange.incidents.resume(symbol)
