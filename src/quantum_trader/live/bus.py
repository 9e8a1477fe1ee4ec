"""The bus: parts publish events on topics without knowing the subscribers.

In memory it is synchronous and deterministic: handlers run in the order they subscribed, and an event that is published
while handlers run is delivered after the current one. An exception of a handler is counted and stops no other handler.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from quantum_trader.domain.records import Record
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.supervision import Shield

Handler = Callable[[str, Any], None]
TRADE_INTENT: Final = "trade.intent"
TRADE_EXECUTED: Final = "trade.executed"
TRADE_FAILED: Final = "trade.failed"


class Bus(Protocol):
    """Carries the events of a topic to its subscribers."""

    def publish(self, topic: str, event: Any) -> None:
        """Hand *event* to every subscriber of *topic*."""
        ...

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Call *handler* with every event of *topic*; the returned function ends the subscription."""
        ...


class InMemoryBus:
    """The bus of one process."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = defaultdict(list)
        self._waiting: deque[tuple[str, Any]] = deque()
        self._running = False
        self.shield = Shield()

    def publish(self, topic: str, event: Any) -> None:
        """Hand *event* to every subscriber of *topic*, after the events published before."""
        self._waiting.append((topic, event))
        if self._running:
            return
        self._running = True
        try:
            while self._waiting:
                name, waiting = self._waiting.popleft()
                for handler in tuple(self._handlers[name]):
                    self.shield.run(handler, name, waiting)
        finally:
            self._running = False

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Call *handler* with every event of *topic*; the returned function ends the subscription, once."""
        self._handlers[topic].append(handler)

        def end() -> None:
            if handler in self._handlers[topic]:
                self._handlers[topic].remove(handler)

        return end


class BusSink:
    """A record sink that also publishes the records of chosen topics, as :class:`Record`, after they were kept."""

    def __init__(self, sink: RecordSink, bus: Bus, topics: frozenset[str]) -> None:
        self._sink, self._bus, self._topics = sink, bus, topics

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep one record, then publish it if its topic is one of those chosen."""
        self._sink.append(line, topic, ts_ns)
        if topic in self._topics:
            self._bus.publish(topic, msgspec.json.decode(line, type=Record))
