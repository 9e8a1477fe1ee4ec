"""A pilot that is not waited for: an answer that takes too long is an error, and trading goes on without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

from quantum_trader.domain.errors import StateError
from quantum_trader.engine.ports import PilotSource

ANSWER_S: Final = 0.5  # an answer usually takes less than a hundredth of this
_BUSY: Final = "the pilot has not answered an earlier question yet"


class TimeLimitedPilot:
    """Asks *pilot* in a thread of its own and raises TimeoutError when that takes longer than *limit_s*.

    While a late answer is still being made, the next question is one too many and raises at once. A pilot that is busy
    at a checkpoint is saved as nothing: it begins to watch the market anew after a restart.

    Whether an answer comes in time depends on the machine and not on the inputs. So each one that is late is *told*,
    by the time of its bars and whether the pilot was shown them, and :meth:`repeat` does the same again.
    """

    def __init__(self, pilot: PilotSource, limit_s: float = ANSWER_S) -> None:
        self._pilot, self._limit_s = pilot, limit_s
        self.identity, self.name = pilot.identity, pilot.name
        self.length_ns, self.horizon_ns = pilot.length_ns, pilot.horizon_ns
        self.stop_atr, self.outcomes = pilot.stop_atr, pilot.outcomes
        self.trained_until_ns, self.outcomes_until_ns = pilot.trained_until_ns, pilot.outcomes_until_ns
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pilot")
        self._late: Future[Any] | None = None
        self.told: Callable[[int, bool], None] = lambda bars_ns, seen: None
        self._repeated: Mapping[int, bool] | None = None

    def repeat(self, late: Mapping[int, bool] | None) -> None:
        """Wait for answers as long as they take, and be *late* at these bars as :attr:`told`; None: a limit again."""
        self._repeated = late

    @property
    def range_ratios(self) -> Any:
        """ATR over close (S,) of the bars that were observed last; NaN where it is not known."""
        return self._pilot.range_ratios

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Take the bars of a moment without a prediction."""
        self._ask(ts_ns, self._pilot.observe, ohlcv, present, feed)

    def take(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Any:
        """Take the bars of a moment; returns the predictions."""
        return self._ask(ts_ns, self._pilot.take, ohlcv, present, feed, own)

    def _ask(self, ts_ns: int, call: Callable[..., Any], *arguments: Any) -> Any:
        if self._repeated is not None:
            return self._ask_again(self._repeated.get(ts_ns), partial(call, ts_ns, *arguments))
        if self.is_busy:
            self.told(ts_ns, False)
            raise TimeoutError(_BUSY)
        self._late = None
        pool = self._worker
        answer = pool.submit(call, ts_ns, *arguments)
        try:
            return answer.result(self._limit_s)
        except TimeoutError:
            if answer.done():  # the pilot itself raised it, or answered at the last moment
                return answer.result()
            self._late = answer
            self.told(ts_ns, True)
            raise TimeoutError(self._too_late) from None

    def _ask_again(self, late: bool | None, call: Callable[[], Any]) -> Any:
        """The answer of *call* where *late* is None; else it is late, and *late* says whether it saw the bars."""
        if late is None:
            return call()
        if not late:
            raise TimeoutError(_BUSY)
        with suppress(Exception):  # nobody heard how it ended
            call()
        raise TimeoutError(self._too_late)

    @property
    def _too_late(self) -> str:
        return f"the pilot has not answered within {self._limit_s:g} s"

    @property
    def is_busy(self) -> bool:
        """Whether a late answer is still being made."""
        return self._late is not None and not self._late.done()

    def succeed(self, before: Any) -> None:
        """Go on with what *before*, the limited pilot in force until now, has seen; StateError while that is busy."""
        if before.is_busy:
            raise StateError(f"{_BUSY}: another one cannot go on from it")
        self._pilot.succeed(before._pilot)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue; empty while a late answer is being made."""
        return {} if self.is_busy else self._pilot.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where it is another model's."""
        if state:
            self._pilot.load_state(state)

    def close(self) -> None:
        """End the thread; an answer that is never given is not waited for."""
        self._worker.shutdown(wait=False, cancel_futures=True)
