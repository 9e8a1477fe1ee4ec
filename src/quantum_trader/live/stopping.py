"""The orderly stop of a live driver: no new decisions, and a moment for fills and stops under way."""

from __future__ import annotations

import asyncio
from typing import Final

from quantum_trader.engine.gateway import Purpose
from quantum_trader.live.context import LiveContext
from quantum_trader.live.requests import RequestTasks

_NAP_S: Final = 0.02


class Stopping:
    """Winds trading down; ``left_exposed`` are the symbols whose position has no stop at the venue afterwards."""

    def __init__(self, context: LiveContext, requests: RequestTasks) -> None:
        self.context, self._requests = context, requests
        self.left_exposed: tuple[str, ...] = ()

    async def wind_down(self) -> None:
        """Take no more decisions; wait, for at most ``stop_s``, until positions have their stops."""
        self.context.winding_down = True
        deadline = asyncio.get_running_loop().time() + self.context.timing.stop_s
        while asyncio.get_running_loop().time() < deadline and (len(self._requests) or self._is_exposed()):
            await asyncio.sleep(_NAP_S)
        gateway = self.context.engine.gateway
        self.left_exposed = tuple(
            symbol for symbol, position in self.context.engine.account.books.positions.items()
            if not gateway.is_protected(position)
        )

    def _is_exposed(self) -> bool:
        """Whether an opening may still fill, or a position has no stop at the venue."""
        gateway = self.context.engine.gateway
        return any(ticket.purpose is Purpose.OPEN for ticket in gateway.tickets()) or any(
            not gateway.is_protected(position) for position in self.context.engine.account.books.positions.values()
        )
