"""The orderly stop of a live driver: no new decisions, no entries at rest, and a moment for fills and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from quantum_trader.engine.gateway import Purpose
from quantum_trader.live.context import LiveContext
from quantum_trader.live.inputs import Input, ProcessStopping
from quantum_trader.live.requests import RequestTasks

_NAP_S: Final = 0.02


class Stopping:
    """Winds trading down; ``left_exposed`` are the symbols without a stop at the venue afterwards.

    They have a position without one, or an entry at rest whose cancel was not answered, which may still fill.
    """

    def __init__(self, context: LiveContext, requests: RequestTasks, apply: Callable[[Input], None]) -> None:
        """*apply* takes an input."""
        self.context, self._requests, self._apply = context, requests, apply
        self.left_exposed: tuple[str, ...] = ()

    async def wind_down(self) -> None:
        """Take no more decisions and cancel entries at rest; wait, for at most ``stop_s``, until stops are placed."""
        self.context.winding_down = True
        deadline = asyncio.get_running_loop().time() + self.context.timing.stop_s
        while asyncio.get_running_loop().time() < deadline and (len(self._requests) or self._is_exposed()):
            self._cancel_entries()
            await asyncio.sleep(_NAP_S)
        gateway = self.context.engine.gateway
        bare = [
            symbol for symbol, position in self.context.engine.account.books.positions.items()
            if not gateway.is_protected(position)
        ]
        self.left_exposed = tuple(dict.fromkeys([*bare, *gateway.entries_at_rest()]))

    def _cancel_entries(self) -> None:
        """Cancel the entries at rest of symbols without a request under way, again where a cancel failed."""
        busy = self._requests.symbols()
        if any(symbol not in busy for symbol in self.context.engine.gateway.entries_at_rest()):
            self._apply(ProcessStopping(ts_ns=self.context.clock.now_ns(), busy=tuple(sorted(busy))))

    def _is_exposed(self) -> bool:
        """Whether an opening may still fill, or a position has no stop at the venue."""
        gateway = self.context.engine.gateway
        return any(ticket.purpose is Purpose.OPEN for ticket in gateway.tickets()) or any(
            not gateway.is_protected(position) for position in self.context.engine.account.books.positions.values()
        )
