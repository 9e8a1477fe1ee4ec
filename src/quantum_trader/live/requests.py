"""The requests under way at the venue, each one a task of its own, with the symbol it is about."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class RequestTasks:
    """Tasks by symbol ("" for the account as a whole), and the symbols that something happened to meanwhile."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._touched: set[str] = set()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run tasks in *group* from now on."""
        self._group = group

    def close(self) -> None:
        """Start no more tasks."""
        self._group = None

    @property
    def is_open(self) -> bool:
        """Whether tasks can be started."""
        return self._group is not None

    def start(self, request: Coroutine[Any, Any, None], symbol: str) -> None:
        """Run *request*, which is about *symbol*, in a task of its own."""
        task = self.spawn(request)
        self._tasks[task] = symbol
        self._touched.add(symbol)
        task.add_done_callback(self._ended)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* that is not counted as a request."""
        assert self._group is not None
        return self._group.create_task(work)

    def symbols(self) -> set[str]:
        """The symbols of the requests under way."""
        return set(self._tasks.values())

    def touch(self, symbol: str) -> None:
        """Note that something happened to *symbol*: a comparison under way says nothing about it."""
        self._touched.add(symbol)

    def watch(self) -> None:
        """Forget what was touched so far; :meth:`touched` counts from here."""
        self._touched.clear()

    def touched(self) -> set[str]:
        """The symbols touched since :meth:`watch`, and those of requests that began or ended since."""
        return set(self._touched)

    async def wait(self, timeout_s: float, *others: asyncio.Task[None]) -> None:
        """Wait until the requests under way and *others* have ended, for at most *timeout_s*."""
        if tasks := [*self._tasks, *others]:
            await asyncio.wait(tasks, timeout=timeout_s)

    def cancel(self) -> None:
        """Cancel the requests that are still under way."""
        for task in list(self._tasks):
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._touched.add(self._tasks.pop(task))
