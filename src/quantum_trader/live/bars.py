"""The bars of each moment: collects them, decides on moments in order, and fetches bars that are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.errors import OutcomeUnknown, VenueError, VenueUnavailable
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.supervision import Shield
from quantum_trader.engine.venue_port import FundingHistoryVenue, Kline
from quantum_trader.live.context import LiveContext
from quantum_trader.live.inputs import FundingHistoryReceived, ModelBarsReceived
from quantum_trader.live.requests import RequestTasks
from quantum_trader.live.timing import Backoff
from quantum_trader.market.funding import rates_per_8h

T = TypeVar("T")
_WRITE_TOGETHER: Final = 16  # bars written to the input log together while others are awaited
_FETCHES: Final = 8  # requests for bars at a time
MODEL_BARS: Final = 1_000  # of the models' own interval at least, fetched at a first start where the venue has them
_FUTURE_NS: Final = 60 * NS_PER_SECOND  # a bar that closes this far ahead of the venue's time is discarded


def _no_bars(count: int) -> tuple[Any, Any]:
    """An empty row of bars (count, 5), and which are there."""
    return np.full((count, 5), np.nan), np.zeros(count, dtype=np.bool_)


def _is_within_an_hour(start_ns: int, end_ns: int) -> bool:
    """Whether no full hour, at which alone funding is charged, lies from *start_ns* on and before *end_ns*."""
    return -(-start_ns // NS_PER_HOUR) * NS_PER_HOUR >= end_ns


class BarCollector:
    """Decides on each moment's bars once, in order. The bars themselves are in the session's ``moments``."""

    def __init__(
        self, context: LiveContext, requests: RequestTasks, send: Callable[[list[Command]], None]
    ) -> None:
        """*send* takes the commands of a decision."""
        self.context, self._requests, self._send = context, requests, send
        self._interval = context.session.interval_ns
        self._moments = context.session.moments
        self._index = {symbol: index for index, symbol in enumerate(context.symbols)}
        self._decided_ns = 0  # open of the newest bars decided on
        self._caught_up = False  # the bars missed before this start have been decided on
        self._caught_up_ns = 0  # when
        self._fetching: asyncio.Task[None] | None = None
        self._few = asyncio.Semaphore(_FETCHES)
        self._silent_until = 0.0  # no fetch of overdue bars before this, on the loop's clock
        self._shield = Shield()  # around work done ahead of the decision: if it fails, the decision does it again
        self.begin()

    def begin(self) -> None:
        """Go on behind the bars that the engine has decided on."""
        self._decided_ns = self.context.engine.now_ns - self._interval

    @property
    def decided_until_ns(self) -> int:
        """Close of the newest bars decided on."""
        return self._decided_ns + self._interval

    @property
    def is_fetching(self) -> bool:
        """Whether missing bars are being fetched."""
        return self._fetching is not None

    @property
    def caught_up(self) -> bool:
        """Whether the bars missed before this start have been decided on."""
        return self._caught_up

    def take(self, bar: Kline) -> None:
        """Take one bar of the stream; the last one of the next moment in order leads to the decision at once."""
        index = self._index.get(bar.symbol)
        if index is None or bar.interval_ns != self._interval:
            return
        if bar.ts_ns <= self._decided_ns:
            self.context.counts["late bars"] += 1
            return
        if bar.ts_ns + self._interval > self.context.clock.now_ns() + _FUTURE_NS:
            self.context.counts["bars from the future"] += 1
            return
        if not self._add(index, bar):
            return
        if self._is_whole(bar.ts_ns):
            self.decide_due()
        elif bar.ts_ns == self._decided_ns + self._interval and self._decides:
            self._work_ahead(bar.ts_ns, index)

    def _add(self, index: int, bar: Kline) -> bool:
        """Add a bar to its moment; False when it was received before. A bar without volume counts as absent."""
        values = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        return self._moments.add(bar.ts_ns, index, values, bar.volume > 0.0)

    def _is_whole(self, ts_ns: int) -> bool:
        return self._moments.arrived(ts_ns) == len(self._index)

    @property
    def _decides(self) -> bool:
        return self.context.ready and not self.context.winding_down

    def _work_ahead(self, ts_ns: int, index: int) -> None:
        """Write and prepare the bars of the next moment that have arrived, before its last one."""
        if self._moments.unwritten(ts_ns) == _WRITE_TOGETHER:
            self.context.session.write_bars(ts_ns)
        bar = self._moments.traded_bar(ts_ns, index)
        if bar is not None:
            self._shield.run(self.context.engine.prepare_bar, ts_ns, index, bar)

    def decide_due(self) -> None:
        """Decide on every moment that is whole or has waited long enough, in order; missing moments come first."""
        while self._decides and self._fetching is None and (ts_ns := self._moments.first()) is not None:
            waited_ns = self.context.clock.now_ns() - ts_ns - self._interval
            if not self._is_whole(ts_ns) and waited_ns <= self.context.timing.bar_wait_s * NS_PER_SECOND:
                return
            if ts_ns > self._decided_ns + self._interval:
                self.fetch_missing()
                return
            self._decide(ts_ns)

    def _decide(self, ts_ns: int) -> None:
        self._decided_ns = ts_ns
        received_ns = max(self.context.clock.now_ns(), ts_ns + self._interval)
        self._send(self.context.session.decide(ts_ns, received_ns))
        asyncio.get_running_loop().call_soon(self._send_next)

    def _send_next(self) -> None:
        """Send the commands of the moment's other signals, one order at a time, so that none waits for later ones."""
        commands = self.context.session.next_commands()
        if commands:
            self._send(commands)
            asyncio.get_running_loop().call_soon(self._send_next)

    # ------------------------------------------------------------------ bars that are missing

    def fetch_missing(self) -> None:
        """Fetch the missing bars in a task of its own, unless that is under way."""
        if self._fetching is None and self._requests.is_open:
            self._fetching = self._requests.spawn(self._fetch_and_decide())

    def stop_fetching(self) -> list[asyncio.Task[None]]:
        """Cancel the fetch under way; returns its task, if there is one."""
        if self._fetching is None:
            return []
        self._fetching.cancel()
        return [self._fetching]

    async def _fetch_and_decide(self) -> None:
        """Fetch every completed bar since the last decision, then decide in order; late bars open nothing."""
        try:
            end = self.context.clock.now_ns() // self._interval * self._interval
            if waiting := self._moments.moments():  # a bar that has arrived is complete, even if the clock is behind
                end = max(end, waiting[-1] + self._interval)
            start = self._decided_ns + self._interval
            if self._decided_ns < 0:
                start = await self._warm_models(end - self.context.timing.warm_bars * self._interval, end)
            elif start < end and not (self._caught_up and _is_within_an_hour(start, end)):
                await self._fetch_past_rates(start, end)
            if start < end:
                self.context.counts["repairs"] += 1
                await self._fetch_all(start, end)
            for ts_ns in self._moments.moments():
                if ts_ns < end and not self.context.winding_down:
                    self._decide(ts_ns)
                    await asyncio.sleep(0)
            if not self._caught_up:
                self._caught_up, self._caught_up_ns = True, self.context.clock.now_ns()
        finally:
            self._fetching = None
        self.decide_due()

    async def _warm_models(self, start: int, end: int) -> int:
        """Fetch the models' own bars from before *start*, as many as they need to warm up and to be judged by.

        And the funding rates up to *end*, where they look at them. Returns where the other bars begin: where one of the
        models' does.
        """
        forecasts = self.context.engine.market.forecasts
        if forecasts is None:
            return start
        length = forecasts.length_ns
        start = start // length * length
        first = start - max(forecasts.warm_up_bars, MODEL_BARS) * length
        first = max(first, forecasts.history.next_ns)  # a start that was interrupted goes on behind what it has seen
        await self._fetch_past_rates(min(first, start), end)
        if first < start:
            await self._fetch_model_bars(first, start, length)
        return start

    async def _fetch_model_bars(self, first: int, start: int, length: int) -> None:
        """Fetch the models' bars from *first* to *start*, until at least one symbol is answered, and take them."""
        session, backoff, symbols = self.context.session, Backoff(self.context.timing), self.context.symbols
        while True:
            answers = await asyncio.gather(*(self._request_bars(one, first, start, length) for one in symbols))
            if any(bars is not None for bars in answers):
                break
            await backoff.pause()
        rows: dict[int, tuple[Any, Any]] = {}
        for index, bars in enumerate(answers):
            for bar in bars or ():
                if bar.volume > 0.0:
                    ohlcv, present = rows.setdefault(bar.ts_ns, _no_bars(len(symbols)))
                    ohlcv[index] = bar.open, bar.high, bar.low, bar.close, bar.volume
                    present[index] = True
        for ts_ns in sorted(rows):
            ohlcv, present = rows[ts_ns]
            self._send(session.apply(ModelBarsReceived(
                ts_ns=ts_ns, ohlcv=ohlcv.tobytes(), present=present.tobytes()
            )))

    async def _fetch_past_rates(self, first: int, end: int) -> None:
        """Fetch the funding rates that were known at the bars from *first* to *end*, where models look at them.

        A symbol whose rates are refused has none on those bars.
        """
        context = self.context
        venue, forecasts = context.venue, context.engine.market.forecasts
        if forecasts is None or not forecasts.needs_funding or not isinstance(venue, FundingHistoryVenue):
            return
        begin = first - NS_PER_DAY  # the rate known at the first bar was charged before it
        answers = await asyncio.gather(*(
            self._answered(partial(venue.get_funding_rates, symbol, begin, end)) for symbol in context.symbols
        ))
        for symbol, charged in zip(context.symbols, answers, strict=True):
            by_minute = {one.ts_ns // NS_PER_MINUTE * NS_PER_MINUTE: one.rate for one in charged or ()}
            times = np.array(sorted(by_minute), dtype=np.int64)
            rates = np.array([by_minute[ts_ns] for ts_ns in sorted(by_minute)], dtype=np.float64)
            self._send(context.session.apply(FundingHistoryReceived(
                ts_ns=context.clock.now_ns(), symbol=symbol, until_ns=end, times_ns=times.tobytes(),
                rates_8h=rates_per_8h(times, rates).tobytes(),
            )))

    async def _fetch_all(self, start: int, end: int) -> None:
        """Fetch until at least one symbol is answered; a symbol that is refused stays out and delays no other."""
        backoff = Backoff(self.context.timing)
        symbols = self.context.symbols
        while not any(await asyncio.gather(*(self._fetch_symbol(symbol, start, end) for symbol in symbols))):
            await backoff.pause()

    async def _fetch_symbol(self, symbol: str, start: int, end: int) -> bool:
        """Fetch the bars of one symbol; False when there was no answer."""
        index, bars = self._index[symbol], await self._request_bars(symbol, start, end)
        for bar in bars or ():
            self._add(index, bar)
        return bars is not None

    async def _request_bars(
        self, symbol: str, start: int, end: int, interval_ns: int = 0
    ) -> list[Kline] | None:
        """The bars of one symbol, of *interval_ns* (0: those that are decided on).

        None when the venue refuses them, or cannot be reached for ``klines_s``.
        """
        return await self._answered(
            partial(self.context.venue.get_klines, symbol, interval_ns or self._interval, start, end)
        )

    async def _answered(self, request: Callable[[], Awaitable[T]]) -> T | None:
        """The answer of *request*, tried again and again; None when it is refused, or not answered for ``klines_s``."""
        context, backoff = self.context, Backoff(self.context.timing)
        clock = asyncio.get_running_loop().time
        deadline = clock() + context.timing.klines_s
        while clock() < deadline:
            try:
                async with self._few, asyncio.timeout(context.timing.klines_timeout_s):
                    return await request()
            except (VenueUnavailable, OutcomeUnknown, TimeoutError) as error:
                context.counts["klines failed"] += 1
                await backoff.pause(error)
            except VenueError:
                context.counts["klines refused"] += 1
                return None
        return None

    # ------------------------------------------------------------------ bars that are overdue

    def lag_s(self) -> float:
        """How long the next bars are overdue, beyond the wait for the last symbol.

        While the bars missed before a start are fetched nothing opens, and the lag is 0. Where no bar came at all
        the lag counts from the end of that fetch.
        """
        newest = self._decided_ns if self._decided_ns > 0 else self._caught_up_ns - self._interval
        due = newest + 2 * self._interval + int(self.context.timing.bar_wait_s * NS_PER_SECOND)
        return max(0.0, (self.context.clock.now_ns() - due) / NS_PER_SECOND) if self._caught_up else 0.0

    def fetch_overdue(self) -> None:
        """Fetch bars that are long overdue: a silent stream does not mean that the market stands still."""
        now = asyncio.get_running_loop().time()
        quiet = self._decides and now >= self._silent_until
        if quiet and self.lag_s() > self.context.timing.bar_wait_s:
            self._silent_until = now + self.context.timing.silence_s
            self.fetch_missing()
