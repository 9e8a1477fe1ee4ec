"""A pilot that is not waited for: an answer that takes too long is an error, and trading goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from quantum_trader.engine.ports import PilotSource

ANSWER_S: Final = 0.5  # an answer usually takes less than a hundredth of this


class TimeLimitedPilot:
    """Asks *pilot* in a thread of its own and raises TimeoutError when that takes longer than *limit_s*.

    While a late answer is still being made, the next question is one too many and raises at once. A pilot that is busy
    at a checkpoint is saved as nothing: it begins to watch the market anew after a restart.
    """

    def __init__(self, pilot: PilotSource, limit_s: float = ANSWER_S) -> None:
        self._pilot, self._limit_s = pilot, limit_s
        self.identity, self.length_ns, self.horizon_ns = pilot.identity, pilot.length_ns, pilot.horizon_ns
        self.stop_atr, self.outcomes = pilot.stop_atr, pilot.outcomes
        self.trained_until_ns, self.outcomes_until_ns = pilot.trained_until_ns, pilot.outcomes_until_ns
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pilot")
        self._late: Future[Any] | None = None

    @property
    def range_ratios(self) -> Any:
        """ATR over close (S,) of the bars that were observed last; NaN where it is not known."""
        return self._pilot.range_ratios

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Take the bars of a moment without a prediction."""
        self._ask(self._pilot.observe, ts_ns, ohlcv, present, feed)

    def take(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Any:
        """Take the bars of a moment; returns the predictions."""
        return self._ask(self._pilot.take, ts_ns, ohlcv, present, feed, own)

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if self._late is not None and not self._late.done():
            raise TimeoutError("the pilot has not answered an earlier question yet")
        self._late = None
        pool = self._worker
        answer = pool.submit(call, *arguments)
        try:
            return answer.result(self._limit_s)
        except TimeoutError:
            if answer.done():  # the pilot itself raised it
                raise
            self._late = answer
            raise TimeoutError(f"the pilot has not answered within {self._limit_s:g} s") from None

    def state(self) -> dict[str, Any]:
        """Everything needed to continue; empty while a late answer is being made."""
        busy = self._late is not None and not self._late.done()
        return {} if busy else self._pilot.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where it is another model's."""
        if state:
            self._pilot.load_state(state)

    def close(self) -> None:
        """End the thread; an answer that is never given is not waited for."""
        self._worker.shutdown(wait=False, cancel_futures=True)
