"""The bus: parts publish events on topics without knowing the subscribers.

In memory it is deterministic: handlers run in the order they subscribed, and an event that is published while handlers
run is delivered after the current one. A handler may be a coroutine function: it is awaited. A failure of a handler is
counted and stops no other handler.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgspec

from quantum_trader.domain.records import Record
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.supervision import Shield

Handler = Callable[[str, Any], Awaitable[None] | None]
TRADE_INTENT: Final = "trade.intent"
TRADE_EXECUTED: Final = "trade.executed"
TRADE_FAILED: Final = "trade.failed"


class Bus(Protocol):
    """Carries the events of a topic to its subscribers."""

    def publish(self, topic: str, event: Any) -> Awaitable[None]:
        """Hand *event* to every subscriber of *topic*; awaiting the result waits for the asynchronous ones."""
        ...

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Call *handler* with every event of *topic*; the returned function ends the subscription."""
        ...

    def close(self) -> None:
        """Release what the bus holds; nothing is published afterwards."""
        ...

    @property
    def notice(self) -> str:
        """How many calls of handlers have failed, and the last reason; empty when none has."""
        ...


class Delivery:
    """One published event on its way; awaiting it waits until every handler has ended."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.wait(self.tasks).__await__() if self.tasks else ()


class _Subscription:
    """One handler of one topic, and the delivery to it that is still running."""

    def __init__(self, topic: str, handler: Handler) -> None:
        self.topic, self.handler = topic, handler
        self.last: asyncio.Task[None] | None = None


_inside: Final[ContextVar[frozenset[_Subscription]]] = ContextVar("inside", default=frozenset())


class InMemoryBus:
    """The bus of one process. *shield* counts the failures of handlers; :attr:`notice` says them in a sentence.

    Where an event loop runs, an asynchronous handler runs as a task of that loop, one event after the other, whether or
    not the publisher awaits; without a loop ``publish`` returns when it has ended. Not thread-safe.
    """

    def __init__(self) -> None:
        self._subscriptions: list[_Subscription] = []
        self._waiting: deque[tuple[str, Any, Delivery]] = deque()
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Runner | None = None
        self.shield = Shield()

    def publish(self, topic: str, event: Any) -> Delivery:
        """Hand *event* to every subscriber of *topic*, after the events published before."""
        delivery = Delivery()
        self._waiting.append((topic, event, delivery))
        if self._running:
            return delivery
        self._running = True
        try:
            while self._waiting:
                name, waiting, its = self._waiting.popleft()
                for one in [held for held in self._subscriptions if held.topic == name]:
                    started = self.shield.run(one.handler, name, waiting)
                    if inspect.isawaitable(started):
                        self._await(one, started, its)
        finally:
            self._running = False
        return delivery

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Call *handler* with every event of *topic*; the returned function ends the subscription, once."""
        subscription = _Subscription(topic, handler)
        self._subscriptions.append(subscription)

        def end() -> None:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

        return end

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait until no delivery is running; what still runs after *timeout_s* is cancelled and counts as failed."""
        loop = asyncio.get_running_loop()
        ends = None if timeout_s is None else loop.time() + timeout_s
        while self._tasks:
            left = None if ends is None else ends - loop.time()
            if left is not None and left <= 0.0:
                for task in tuple(self._tasks):
                    task.cancel()
                    self.shield.failed(TimeoutError(f"still running after {timeout_s:g} s"))
                return
            await asyncio.wait(tuple(self._tasks), timeout=left)

    def close(self) -> None:
        """Release the loop that ran asynchronous handlers where none was running."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    @property
    def notice(self) -> str:
        """How many calls of handlers have failed, and the last reason; empty when none has."""
        shield = self.shield
        if not shield.failures:
            return ""
        return f"calls of bus handlers that failed: {shield.failures}, the last with {shield.last}"

    def _await(self, one: _Subscription, started: Awaitable[None], delivery: Delivery) -> None:
        """Await *started*, the handler's answer: as a task of the running loop, or here and now where none runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._runner = self._runner or asyncio.Runner()
            self._runner.run(self._finish(one, started, None))
            return
        before = None if one in _inside.get() else one.last  # a handler that caused this event would wait for itself
        task = one.last = loop.create_task(self._finish(one, started, before))
        self._tasks.add(task)  # the loop holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        delivery.tasks.append(task)

    async def _finish(
        self, one: _Subscription, started: Awaitable[None], before: asyncio.Task[None] | None
    ) -> None:
        _inside.set(_inside.get() | {one})
        if before is not None and not before.done():
            await asyncio.wait((before,))
        await self.shield.wait(started)


class BusSink:
    """A record sink that also publishes the records of chosen topics, as :class:`Record`, after they were kept."""

    def __init__(self, sink: RecordSink, bus: Bus, topics: frozenset[str]) -> None:
        self._sink, self._bus, self._topics = sink, bus, topics

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep one record, then publish it if its topic is one of those chosen."""
        self._sink.append(line, topic, ts_ns)
        if topic in self._topics:
            self._bus.publish(topic, msgspec.json.decode(line, type=Record))
