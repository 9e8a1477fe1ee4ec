"""The supervisor: the only place that catches all exceptions.

Observation must not affect trading. Exceptions of the policy's observers, ledgers and explanations are counted and
kept for the operator; trading continues.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol


class Shield:
    """Runs observer calls; counts their exceptions and keeps the last one."""

    def __init__(self) -> None:
        self.failures = 0
        self.last = ""

    def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what *call* returns, or None when it raised."""
        try:
            return call(*arguments)
        except Exception as error:
            self.failed(error)
            return None

    async def wait(self, started: Awaitable[Any]) -> None:
        """Await what an asynchronous observer has *started*."""
        try:
            await started
        except Exception as error:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """Count *error* and keep it as the last one."""
        self.failures += 1
        self.last = f"{type(error).__name__}: {error}"


def run_all(calls: Iterable[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    """Run every call with its arguments, in order, and raise the first failure once all have run."""
    first: Exception | None = None
    for call, arguments in calls:
        try:
            call(*arguments)
        except Exception as error:
            first = first or error
    if first is not None:
        raise first



class Supervise(Protocol):
    """Runs one piece of work on one position or signal."""

    def __call__(self, kind: str, symbol: str, now_ns: int, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what *call* returns; *kind* and *symbol* name its subject."""
        ...


def unsupervised(kind: str, symbol: str, now_ns: int, call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what *call* returns; an exception ends the run. For replays."""
    return call(*arguments)


class HaltOnFailure:
    """Runs work so that a failure on one position or signal halts openings but not the others. For live trading."""

    def __init__(self, shield: Shield, halt: Callable[[str, int], None]) -> None:
        self._shield, self._halt = shield, halt

    def __call__(self, kind: str, symbol: str, now_ns: int, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what *call* returns, or None when it raised."""
        failures = self._shield.failures
        found = self._shield.run(call, *arguments)
        if self._shield.failures != failures:
            self._halt(f"the engine failed on the {kind} of {symbol}: {self._shield.last}", now_ns)
        return found
