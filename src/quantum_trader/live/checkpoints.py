"""Saves checkpoints: every half minute, and when inputs or records could not be written."""

from __future__ import annotations

import asyncio

from quantum_trader.live.context import LiveContext


class Checkpoints:
    """Saves the session's checkpoints, and keeps whether records were lost since the last one."""

    def __init__(self, context: LiveContext) -> None:
        self.context = context
        self._recorded = 0  # records that had failed when the last checkpoint succeeded
        self._tried_s = self._wait_s = 0.0  # the last try after a failed write, on the loop's clock; the next wait

    @property
    def records_lost(self) -> bool:
        """Whether records could not be written since the last checkpoint."""
        return self.context.engine.records.refused.failures > self._recorded

    async def run(self) -> None:
        """Save every ``checkpoint_s`` without end."""
        while True:
            await asyncio.sleep(self.context.timing.checkpoint_s)
            self.context.session.checkpoint()

    def save_after_failure(self) -> None:
        """Save when inputs or records could not be written; the waits between tries on a full disk double."""
        engine, timing = self.context.engine, self.context.timing
        now_s = asyncio.get_running_loop().time()
        if engine.halts.inputs_written and not self.records_lost:
            self._tried_s, self._wait_s = now_s, 0.0
        elif now_s - self._tried_s >= self._wait_s:
            failures = engine.records.refused.failures
            if self.context.session.checkpoint():
                self._recorded = failures
            self._tried_s = now_s
            self._wait_s = min(max(2.0 * self._wait_s, timing.tick_s), timing.checkpoint_s)
