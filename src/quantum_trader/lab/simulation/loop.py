"""An asyncio event loop on virtual time: nothing waits, and the same program takes the same steps every time.

One step is one callback. When none is ready, time jumps to the next timer. There are no threads, no sockets and no
signals; what asks for one gets NotImplementedError. A program that waits for nothing at all raises Deadlock, one that
never lets time pass raises Livelock.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from quantum_trader.domain.errors import QuantumTraderError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_STEPS_AT_ONE_MOMENT: Final = 200_000


class Deadlock(QuantumTraderError):  # noqa: N818 - a finding about the program that ran
    """Every task waits and no callback is scheduled."""


class Livelock(QuantumTraderError):  # noqa: N818 - see above
    """Steps without end, and time stands still."""


class _Handle(asyncio.TimerHandle):
    """A callback that waits for its turn or its time, without what a debugging loop needs: millions are made a day."""

    __slots__ = ()

    def __init__(
        self, loop: VirtualLoop, when: float, callback: Callable[..., object], args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self._loop, self._source_traceback = loop, None
        self._when, self._callback, self._args, self._cancelled = when, callback, args, False
        self._context = contextvars.copy_context() if context is None else context

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self._when:.3f} s>"

    def cancel(self) -> None:
        """Never run it; it is dropped when its turn comes."""
        self._cancelled, self._args = True, ()


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order they were asked for, timers in the order of their times.

    *after_step* is called after every callback. What a callback or a forgotten task raised is kept in *failures*.
    """

    def __init__(self) -> None:
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._time = 0.0
        self._sequence = 0
        self._running = False
        self._stopping = False
        self._closed = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._prune_at = 64
        self._generators: list[AsyncGenerator[Any, Any]] = []
        self.steps = 0
        self.after_step: Callable[[], None] | None = None
        self.failures: list[dict[str, Any]] = []

    # ------------------------------------------------------------------ time and callbacks

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self._time

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run *callback* after everything that is ready now."""
        handle = _Handle(self, self._time, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """There is one thread, so this is :meth:`call_soon`."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run *callback* after *delay* seconds of virtual time."""
        return self.call_at(self._time + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run *callback* at the virtual time *when*; two at the same time in the order they were asked for."""
        handle = _Handle(self, when, callback, args, context)
        self._sequence += 1
        heapq.heappush(self._timers, (when, self._sequence, handle))
        return handle

    # ------------------------------------------------------------------ running

    def run_one(self) -> bool:
        """Take one step; False when there is nothing left to do, now or later."""
        ready = self._ready
        while True:
            if ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    break
            elif not self._advance():
                return False
        handle._run()
        self.steps += 1
        if self.after_step is not None:
            self.after_step()
        return True

    def _advance(self) -> bool:
        """Let time pass until a timer is due; False when there is none."""
        ready, timers, pop = self._ready, self._timers, heapq.heappop
        while timers and timers[0][2]._cancelled:
            pop(timers)
        if not timers:
            return False
        self._time = now = max(self._time, timers[0][0])
        while timers and timers[0][0] <= now:
            ready.append(pop(timers)[2])
        return True

    def run_forever(self) -> None:
        """Take steps until :meth:`stop`; raises Deadlock or Livelock."""
        self._enter()
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generators.append, finalizer=self._drop_generator)
        try:
            moment, first_step = self._time, self.steps
            while not self._stopping:
                if not self.run_one():
                    when = f"after {self.steps} steps, at {self._time:.3f} s"
                    raise Deadlock(f"{when}: every task waits and no timer is set")
                if self._time != moment:
                    moment, first_step = self._time, self.steps
                elif self.steps - first_step > _STEPS_AT_ONE_MOMENT:
                    raise Livelock(f"{_STEPS_AT_ONE_MOMENT} steps at {self._time:.3f} s and no end")
        finally:
            sys.set_asyncgen_hooks(*hooks)
            self._leave()

    def run_out(self, most: int = 10_000) -> None:
        """Let what is ready come to its end (cancelled tasks above all), without letting time pass."""
        self._enter()
        try:
            while self._ready and most > 0:
                most -= 1
                handle = self._ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            self._leave()

    def _enter(self) -> None:
        if self._closed or self._running:
            raise RuntimeError("this loop is closed" if self._closed else "this loop is running already")
        self._running, self._stopping = True, False
        asyncio._set_running_loop(self)

    def _leave(self) -> None:
        self._running = self._stopping = False
        asyncio._set_running_loop(None)

    def _drop_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an abandoned generator, as asyncio's own loops do."""
        if not self._closed:
            self.create_task(_close_generator(generator))

    def run_until_complete(self, future: Any) -> Any:
        """Take steps until *future* is done and return its result."""
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(lambda _: self.stop())
        try:
            self.run_forever()
        finally:
            if not task.done():
                task.cancel()
        return task.result()

    def stop(self) -> None:
        """End :meth:`run_forever` after the step that is being taken."""
        self._stopping = True

    def is_running(self) -> bool:
        """Whether steps are being taken."""
        return self._running

    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Forget everything that is scheduled."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators that are still open."""
        for generator in list(self._generators):
            await generator.aclose()
        self._generators.clear()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is no executor."""

    # ------------------------------------------------------------------ what tasks ask for

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, T] | Generator[Any, None, T], *, name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        """A task of this loop, remembered until it is done."""
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        if len(self._tasks) >= self._prune_at:
            self._tasks = [one for one in self._tasks if not one.done()]
            self._prune_at = 2 * len(self._tasks) + 64
        self._tasks.append(task)
        return task

    def live_tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def get_debug(self) -> bool:
        """Never: debugging a coroutine changes its steps."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """See :meth:`get_debug`."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep an exception that no caller received."""
        self.failures.append(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """See :meth:`call_exception_handler`."""
        self.call_exception_handler(context)


async def _close_generator(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()


def new_loop() -> VirtualLoop:
    """A loop at time zero. What it does not offer (sockets, threads, signals) raises NotImplementedError."""
    return VirtualLoop()  # type: ignore[abstract]


def run_virtual(main: Coroutine[Any, Any, T], loop: VirtualLoop | None = None) -> T:
    """Run *main* on *loop* (a new one by default) to its end and return its result."""
    loop = loop or new_loop()
    try:
        result: T = loop.run_until_complete(main)
        return result
    finally:
        loop.close()
