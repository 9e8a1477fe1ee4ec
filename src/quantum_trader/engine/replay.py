"""The replay driver: runs a recording through the same engine as live, without waiting.

For each moment: the venue matches open orders against the bars' opens, then their ranges (stops first), then the
engine processes the completed bars, then the outside intents that are due at their close. Events and commands are
exchanged until neither side has more, so that a stop is placed before the bar that filled its entry can reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from quantum_trader.domain.enums import OrderStatus
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.engine.core import Engine
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.ports import Venue, VenueEvent
from quantum_trader.engine.recorded_intents import RecordedIntents


class ReplayDriver:
    """Feeds one recording through one engine and one in-process venue."""

    def __init__(
        self, engine: Engine, venue: Venue, interval_ns: int, intents: RecordedIntents | None = None
    ) -> None:
        self.engine = engine
        self.venue = venue
        self._interval_ns = interval_ns
        self.intents = intents if intents is not None else RecordedIntents()
        self.moments = 0

    def step(self, ts_ns: int, ohlcv: Any, present: Any) -> None:
        """Run one moment: *ohlcv* (S, 5), *present* (S,), open time *ts_ns*."""
        batch = MarketBatch(ts_ns, self._interval_ns, ohlcv, present)
        engine, venue = self.engine, self.venue
        events = venue.on_open(batch)
        if events:
            self._pump(events)
        while events := venue.on_range(batch):
            self._pump(events)
        commands = engine.on_batch(batch)
        if commands:
            self._dispatch(commands)
        now_ns = ts_ns + self._interval_ns
        if self.intents.next_ns <= now_ns:
            for intent in self.intents.due(now_ns):
                self._dispatch(engine.on_intent(intent, now_ns))
        self.moments += 1

    def hole(self, ts_ns: int, indices: Iterable[int]) -> None:
        """Close what is held in the symbols *indices* at the last price before a hole in their data."""
        for index in indices:
            symbol = self.engine.symbols[index]
            self.engine.before_hole(symbol, ts_ns)
            self._pump(self.venue.close_before_hole(symbol, ts_ns))

    def send(self, commands: Sequence[Command]) -> None:
        """Dispatch commands that came from outside the moment loop (an operator's flatten)."""
        self._dispatch(list(commands))

    def _pump(self, events: Sequence[VenueEvent]) -> None:
        commands: list[Command] = []
        for event in events:
            commands.extend(self.engine.on_event(event))
        if commands:
            self._dispatch(commands)

    def _dispatch(self, commands: list[Command]) -> None:
        queue = list(commands)
        position = 0
        while position < len(queue):
            command = queue[position]
            position += 1
            for event in self._send(command):
                queue.extend(self.engine.on_event(event))

    def _send(self, command: Command) -> Sequence[VenueEvent]:
        """Send one command; an opening order goes only when the venue confirms the leverage it was sized for."""
        if not isinstance(command, OrderRequest):
            return self.venue.cancel(command)
        if command.leverage > 0.0:
            actual = self.venue.set_leverage(command.symbol, command.leverage)
            if actual != command.leverage:
                return [
                    OrderUpdate(
                        client_order_id=command.client_order_id, venue_order_id="", symbol=command.symbol,
                        status=OrderStatus.REJECTED, ts_ns=command.created_ns,
                        reason=f"LEVERAGE_MISMATCH: asked {command.leverage}, venue has {actual}",
                    )
                ]
        return self.venue.submit(command)
