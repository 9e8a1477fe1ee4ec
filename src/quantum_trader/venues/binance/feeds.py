"""The sockets of one adapter and their shared event queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final
from urllib.parse import quote

from quantum_trader.domain.errors import VenueError, VenueUnavailable
from quantum_trader.domain.json_text import UNREADABLE
from quantum_trader.engine.venue_port import Unreadable
from quantum_trader.market.intervals import interval_name
from quantum_trader.venues.binance import history, parse, wire
from quantum_trader.venues.binance.endpoints import MARKET_PATH, PRIVATE_PATH, PUBLIC_PATH
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.orders import OrderDirectory
from quantum_trader.venues.binance.rest import PRIVATE, Rest, decoded
from quantum_trader.venues.binance.streams import EventQueue, Socket, StreamStates, StreamTiming, stream_names
from quantum_trader.venues.binance.user_events import UserEvents

KEY_RENEWAL_S: Final = 1800.0  # a listen key expires an hour after its last renewal
CLOCK_S: Final = 300.0  # between two measurements of the venue's clock
_FIND_TRIES: Final = 3
_FIND_PAUSE_S: Final = 0.2

_listen_key = wire.decoder(wire.ListenKey).decode


class Feeds:
    """The market sockets and, with keys, the account's socket: started once, stopped once."""

    def __init__(
        self, rest: Rest, directory: OrderDirectory, symbols: Sequence[str], interval_ns: int, *, signed: bool,
        quotes: bool, marks: bool, timing: StreamTiming, rng: Random, now_s: Callable[[], float],
        fee: Callable[[str, str, float, float], Awaitable[float]], mark_price: Callable[[str], float],
    ) -> None:
        self.queue = EventQueue()
        self._rest = rest
        self._directory = directory
        self._interval_ns = interval_ns
        self._timing, self._rng, self._now_s = timing, rng, now_s
        self._tasks: list[asyncio.Task[None]] = []
        self._events = UserEvents(directory, find_parent=self._find_parent, fee=fee, mark_price=mark_price)
        bars = [f"kline_{interval_name(interval_ns)}", *(["markPrice@1s"] if marks else [])]
        sockets = [(MARKET_PATH, names) for names in stream_names(symbols, bars)]
        sockets += [(PUBLIC_PATH, names) for names in stream_names(symbols, ["bookTicker"] if quotes else [])]
        states = StreamStates("market", len(sockets), self.queue.put, rest.clock.now_ns)
        self._market = [
            self._market_socket(f"{path}-{number}", path, names, states)
            for number, (path, names) in enumerate(sockets, start=1)
        ]
        self._user: Socket | None = None
        if signed:
            states = StreamStates("user", 1, self.queue.put, rest.clock.now_ns)
            self._user = Socket(
                "user", lambda: rest.session, self._user_address, self._on_user_frame, states.note, timing=timing,
                rng=rng, now_s=now_s,
            )

    def _market_socket(self, name: str, path: str, names: Sequence[str], states: StreamStates) -> Socket:
        url = f"{self._rest.endpoint.streams}{path}/stream?streams={'/'.join(names)}"

        async def address() -> str:
            return url

        return Socket(
            name.lstrip("/"), lambda: self._rest.session, address, self._on_market_frame, states.note,
            timing=self._timing, rng=self._rng, now_s=self._now_s,
            sends_always=path == MARKET_PATH and self._timing.no_data_s > 0.0,
        )

    def start(self) -> None:
        """Start to connect; call it once, in the event loop."""
        sockets = [*self._market, *([self._user] if self._user is not None else [])]
        work = [*(socket.run() for socket in sockets), self._keep_clock()]
        if self._user is not None:
            work.append(self._keep_key(self._user))
        self._tasks = [asyncio.create_task(part) for part in work]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def _keep_clock(self) -> None:
        """Measure the venue's clock periodically: ours drifts, and requests are signed with the venue's time."""
        while True:
            await asyncio.sleep(CLOCK_S)
            with suppress(VenueError):  # the next measurement retries, and so does a request after a -1021
                await self._rest.measure_clock()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Close the queue with the error of a task that ended unexpectedly, so that its reader raises it."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.queue.close(failure)

    async def stop(self) -> None:
        """Stop all tasks; safe to call twice."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.queue.close()

    # ------------------------------------------------------------------ market

    def _on_market_frame(self, frame: bytes) -> None:
        try:
            event = parse.market_event(frame, self._interval_ns)
        except UNREADABLE:
            self.queue.put(Unreadable(stream="market"))
            return
        if event is not None:
            self.queue.put(event)

    # ------------------------------------------------------------------ account

    async def _user_address(self) -> str:
        answer = await self._rest.ask("POST", PRIVATE, "listenKey", writes=False)
        if isinstance(answer, VenueRefusal):
            raise VenueError(f"POST listenKey: {answer.reason}")
        key = decoded(answer, _listen_key, "POST listenKey").listen_key
        return f"{self._rest.endpoint.streams}{PRIVATE_PATH}/ws?listenKey={quote(key, safe='')}"

    async def _keep_key(self, user: Socket) -> None:
        """Renew the listen key; after a permanent failure the stream restarts with a new key."""
        while True:
            await asyncio.sleep(KEY_RENEWAL_S)
            try:
                answer = await self._rest.ask("PUT", PRIVATE, "listenKey", writes=False)
            except VenueUnavailable:
                continue  # the key is valid for another half hour; the next renewal comes before it expires
            except VenueError as error:
                await user.restart(str(error))
                continue
            if isinstance(answer, VenueRefusal):
                await user.restart(f"listen key: {answer.reason}")

    async def _on_user_frame(self, frame: bytes) -> None:
        try:
            decoded_frame = parse.user_frame(frame)
        except UNREADABLE:
            self.queue.put(Unreadable(stream="user"))
            raise VenueError("a frame of the account could not be read: query the account for its content") from None
        if type(decoded_frame) is wire.ListenKeyExpiredFrame:
            raise VenueError("the listen key expired")
        if decoded_frame is not None:
            try:
                events = await self._events.events(decoded_frame)
            except (ValueError, VenueError):  # an unknown status or side, or a malformed number
                self.queue.put(Unreadable(stream="user"))
                raise VenueError("an event of the account is invalid: query the account for its content") from None
            for event in events:
                self.queue.put(event)

    async def _find_parent(self, symbol: str, order_id: int) -> str | None:
        """Return the client id of the conditional order that became *order_id*; None for an order sent directly.

        Raises VenueError where the venue does not answer: the stream then ends, and its events must be queried.
        """
        for attempt in range(_FIND_TRIES):
            if attempt:
                await asyncio.sleep(_FIND_PAUSE_S)
            await history.read_algos(self._rest, self._directory, symbol, 0)
            if (parent := self._directory.parent(order_id)) is not None:
                return parent
        return None
