"""What the parts of one live driver share: session, venue, timing, clock, counts, and whether it is ready or stops."""

from __future__ import annotations

import asyncio
from collections import Counter

from quantum_trader.engine.venue_port import ExecutionVenue
from quantum_trader.live.clock import LiveClock
from quantum_trader.live.session import Session
from quantum_trader.live.timing import LiveTiming


class LiveContext:
    """The shared surroundings of a driver's parts. ``starting`` and ``stopping`` set its flags; the parts read them."""

    def __init__(self, session: Session, venue: ExecutionVenue, timing: LiveTiming, clock: LiveClock) -> None:
        self.session, self.venue, self.timing, self.clock = session, venue, timing, clock
        self.engine = session.engine
        self.symbols = session.engine.symbols
        self.counts: Counter[str] = Counter()  # of what happened, by name
        self.compare_soon = asyncio.Event()  # set: books and venue are to be compared before the minute is over
        self.ready = False  # books and venue have been compared once: bars are decided on
        self.winding_down = False  # a stop was requested: nothing is decided any more
        self.closed = False  # nothing is sent any more

    def involved_symbols(self) -> list[str]:
        """The symbols with a position or an order, sorted."""
        tickets = self.engine.gateway.tickets()
        return sorted({ticket.symbol for ticket in tickets} | set(self.engine.account.books.positions))
