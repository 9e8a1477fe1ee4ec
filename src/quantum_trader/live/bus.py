"""The bus: parts publish events on topics without knowing the subscribers.

In memory it is deterministic: handlers run in the order they subscribed, and an event that is published while handlers
run is delivered after the current one. A handler may be a coroutine function: it is awaited. A failure of a handler is
counted and stops no other handler; that it is cancelled counts as one. No delivery waits for a handler that waits for
that delivery.
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

    def wants(self, topic: str) -> bool:
        """Whether *topic* has a subscriber, as far as this process knows."""
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
        self.last: tuple[_Call, ...] = ()  # the next delivery waits for these


class _Call:
    """One call of an asynchronous handler, and the calls that it may wait for: earlier ones, and those it caused."""

    def __init__(self) -> None:
        self.waits: set[_Call] = set()
        self.task: asyncio.Task[None] | None = None
        self.ended = False

    def reaches(self, other: _Call) -> bool:
        """Whether this call may wait for *other*, directly or through more calls."""
        seen, left = {self}, [self]
        while left:
            one = left.pop()
            if one is other:
                return True
            left += one.waits - seen
            seen |= one.waits
        return False


_inside: Final[ContextVar[_Call | None]] = ContextVar("inside", default=None)


class InMemoryBus:
    """The bus of one process. *shield* counts the failures of handlers; :attr:`notice` says them in a sentence.

    Where an event loop runs, an asynchronous handler runs as a task of that loop, one event after the other, whether or
    not the publisher awaits; without a loop ``publish`` returns when it has ended.
    An event that a handler publishes does not wait for a call that may wait for that handler: the two run side by side.
    Not thread-safe.
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
                    self._call(one, name, waiting, its)
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

    def wants(self, topic: str) -> bool:
        """Whether *topic* has a subscriber."""
        return any(held.topic == topic for held in self._subscriptions)

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait until no delivery is running; what still runs after *timeout_s* is cancelled and counts as failed."""
        loop = asyncio.get_running_loop()
        ends = None if timeout_s is None else loop.time() + timeout_s
        while self._tasks:
            left = None if ends is None else ends - loop.time()
            if left is not None and left <= 0.0:
                for task in tuple(self._tasks):
                    self._tasks.discard(task)
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

    def _call(self, one: _Subscription, topic: str, event: Any, delivery: Delivery) -> None:
        """Call one handler and await its answer: as a task of the running loop, or here and now where none runs."""
        try:
            started = self.shield.run(one.handler, topic, event)
        except asyncio.CancelledError as error:  # a plain handler's own: a task is cancelled where it awaits
            self._cancelled(error)
            return
        if not inspect.isawaitable(started):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._run(started)
            return
        call, cause = _Call(), _inside.get()
        if cause is not None and cause.ended:
            cause = None
        busy = [held for held in one.last if not held.ended]
        call.waits = {held for held in busy if cause is None or not held.reaches(cause)}
        one.last = (*(held for held in busy if held not in call.waits), call)
        if cause is not None:
            cause.waits.add(call)
        task = call.task = loop.create_task(self._finish(call, started))
        task.add_done_callback(lambda _: _end(call, cause))
        self._tasks.add(task)  # the loop holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        delivery.tasks.append(task)

    def _run(self, started: Awaitable[None]) -> None:
        """Await *started* on the bus's own loop."""
        self._runner = self._runner or asyncio.Runner()
        try:
            self._runner.run(self._finish(_Call(), started))
        except asyncio.CancelledError as error:
            self._cancelled(error)

    async def _finish(self, call: _Call, started: Awaitable[None]) -> None:
        _inside.set(call)
        before = [held.task for held in call.waits if held.task is not None and not held.ended]
        if before:
            await asyncio.wait(before)
        try:
            await self.shield.wait(started)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            cancelled = task is not None and task.cancelling() > 0
            if not cancelled or task in self._tasks:  # drain takes out what it cancels, and counts it
                self._cancelled(error)
            if cancelled:
                raise

    def _cancelled(self, error: asyncio.CancelledError) -> None:
        self.shield.failed(error if error.args else asyncio.CancelledError("the handler was cancelled"))


def _end(call: _Call, cause: _Call | None) -> None:
    """Forget what an ended *call* waited for, and that its *cause* may wait for it."""
    call.ended = True
    call.waits.clear()
    if cause is not None:
        cause.waits.discard(call)


class BusSink:
    """A record sink that also publishes records, as :class:`Record`, after they were kept.

    It publishes those of the chosen *topics*, and of every topic that has a subscriber; never ``trade.intent``, by
    which intents come in.
    """

    def __init__(self, sink: RecordSink, bus: Bus, topics: frozenset[str]) -> None:
        self._sink, self._bus, self._topics = sink, bus, topics

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Keep one record, then publish it where its topic is chosen or subscribed to."""
        self._sink.append(line, topic, ts_ns)
        if topic in self._topics or (topic != TRADE_INTENT and self._bus.wants(topic)):
            self._bus.publish(topic, msgspec.json.decode(line, type=Record))
