"""Close everything at a venue without an engine, for a run whose process is dead.

Each round reads orders and positions from the venue and acts on them, so that an unknown outcome needs no memory: it is
queried, and the next round shows its effect. Closing orders are reduce-only: a surplus one cannot open a position.
Orders that may open a position are cancelled first; stops and targets stay until their position is closed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import (
    ConfigError,
    InputError,
    OutcomeUnknown,
    QuantumTraderError,
    VenueError,
    VenueUnavailable,
)
from quantum_trader.domain.instrument import ceil_to, floor_to
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import CancelRequest, OrderRequest
from quantum_trader.engine.ids import OWN_PREFIX, closing_order_id
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import ExecutionVenue

_TOO_LARGE: Final = ("-4005", "-1111", "-4003")  # quantity above the maximum, or with too many digits
_TRIGGERED: Final = (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)
_OVER: Final = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED)
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0
_ANSWER_S: Final = 20.0  # without an answer for this long a call's outcome is unknown

Answer = TypeVar("Answer")
Leg = tuple[str, bool]  # symbol, and whether it is short: in hedge mode a symbol has a position of each side


class DirectAction(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a command at the venue; *step* "send" is written before the request is sent."""

    ts_ns: int
    step: str  # begin, cancel, send, answer, unknown, refused, trouble, flat, left
    symbol: str = ""
    client_order_id: str = ""
    qty: float = 0.0  # of an order: positive buys, negative sells
    text: str = ""


class FlattenResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result. *flat*: no position and no order, read after the receive window of every earlier request."""

    flat: bool
    looks: int
    closed: tuple[str, ...]  # symbols that had a position
    cancelled: int
    positions: tuple[VenuePosition, ...]  # still open when last read
    orders: tuple[VenueOrder, ...]
    text: str
    halt_noted: bool = True  # the halt of the next start is recorded; False: the folder could not be written


class _OutOfTimeError(Exception):
    """The deadline passed while the venue gave no answer."""


async def flatten_account(
    venue: ExecutionVenue,
    now_ns: Callable[[], int],
    report: Callable[[DirectAction], None],
    *,
    deadline_s: float = 180.0,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> FlattenResult:
    """Cancel opening orders, close every position reduce-only, cancel the rest; until flat or *deadline_s* passed.

    *venue* is connected. *report* gets every step, each request before it is sent. Raises only what *report* raises.
    """
    run = _Flattening(venue, now_ns, report, deadline_s, pause)
    return await run.until_flat()


class _Flattening:
    """One flatten: requests not yet answered, and the largest quantity that one order may close."""

    def __init__(
        self, venue: ExecutionVenue, now_ns: Callable[[], int], report: Callable[[DirectAction], None],
        deadline_s: float, pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._venue = venue
        self._now_ns = now_ns
        self._report = report
        self._pause = pause
        self._started_ns = now_ns()
        self._deadline_ns = self._started_ns + round(deadline_s * NS_PER_SECOND)
        self._settled_ns = self._started_ns + round(venue.receive_window_s * NS_PER_SECOND)
        self._unanswered: dict[Leg, tuple[str, int]] = {}  # leg -> client id, when it was sent
        self._attempts: dict[str, int] = {}
        self._largest: dict[str, float] = {}
        self._refusals: dict[str, str] = {}  # symbol -> why its last closing order was not taken
        self._closed: set[str] = set()
        self._cancelled = 0
        self._looks = 0
        self._retry_after_s = 0.0
        self._orders: tuple[VenueOrder, ...] = ()
        self._positions: tuple[VenuePosition, ...] = ()

    async def until_flat(self) -> FlattenResult:
        """Read, act and wait in rounds; the result holds what was read last."""
        self._note("begin", text=f"at {self._venue.name}")
        wait = _FIRST_PAUSE_S
        try:
            while True:
                before = (len(self._orders), self._held())
                await self._look()
                if not (self._orders or self._positions or self._unanswered) and self._now_ns() >= self._settled_ns:
                    self._note("flat", text="no position and no order left")
                    return self._result(True, "flat: no position and no order left")
                await self._act()
                after = (len(self._orders), self._held())
                wait = _FIRST_PAUSE_S if after != before else min(2.0 * wait, _LONGEST_PAUSE_S)
                await self._wait(wait)
        except _OutOfTimeError as error:
            text = f"not flat before the deadline: {error}" if str(error) else "not flat before the deadline"
            text += "".join(f"; {line}" for line in self._left())
            self._note("left", text=text)
            return self._result(False, text)

    def _held(self) -> float:
        """What is held, in sum; positions whose quantity cannot be read do not count."""
        return ordered_sum(abs(one.qty) for one in self._positions if math.isfinite(one.qty))

    def _left(self) -> list[str]:
        """Each position that is still open, with why, and each order."""
        held = [
            f"{one.symbol or '(no symbol)'} {one.qty:+g} is open"
            + (f" ({why})" if (why := self._refusals.get(one.symbol)) else "")
            for one in self._positions
        ]
        return held + [f"{one.symbol} has order {one.client_order_id or one.venue_order_id}" for one in self._orders]

    async def _look(self) -> None:
        """Read orders, then positions, so that a position opened by a listed order is not missed."""
        orders = await self._ask(self._venue.open_orders)
        positions = await self._ask(self._venue.get_positions)
        self._orders = tuple(orders)
        self._positions = tuple(position for position in positions if position.qty != 0.0)
        self._looks += 1

    async def _act(self) -> None:
        """Cancel and close according to the last read, all symbols at once."""
        held = {(one.symbol, one.qty < 0.0): one.qty for one in self._positions}
        openings = [order for order in self._orders if not _protects(order, held) and not _is_bracket(order)]
        moot = [order for order in self._orders if not _protects(order, held) and _is_bracket(order)]
        doubtful = bool(openings) or self._now_ns() < self._settled_ns
        async with asyncio.TaskGroup() as group:
            for order in openings if doubtful else (*openings, *moot):
                group.create_task(self._cancel(order))
            for leg in sorted({*held, *self._unanswered}):
                group.create_task(self._close(leg, held.get(leg, 0.0)))

    async def _cancel(self, order: VenueOrder) -> None:
        """Request one cancel; the next read shows whether it took effect."""
        whose = "sent by this bot" if order.client_order_id.startswith(OWN_PREFIX) else "not sent by this bot"
        self._note("cancel", order.symbol, order.client_order_id, text=f"{order.type.value}, {whose}")
        request = CancelRequest(
            client_order_id=order.client_order_id, symbol=order.symbol, created_ns=self._now_ns()
        )
        try:
            async with asyncio.timeout(_ANSWER_S):
                update = await self._venue.cancel_order(request)
        except (QuantumTraderError, TimeoutError) as error:
            self._trouble(error, order.symbol, order.client_order_id)
            return
        self._cancelled += update.status is OrderStatus.CANCELED
        self._note("answer", order.symbol, order.client_order_id, text=f"{update.status.value} {update.reason}".strip())

    async def _close(self, leg: Leg, qty: float) -> None:
        """Send a closing order unless an earlier one is in flight or its outcome unknown."""
        symbol, _ = leg
        if leg in self._unanswered and not await self._resolved(leg):
            return
        if qty == 0.0:
            return
        if not (symbol and math.isfinite(qty)):
            what = "quantity" if symbol else "symbol"
            self._refuse(symbol, "", f"the venue reports a {what} that cannot be read; close it in the exchange's app")
            return
        self._closed.add(symbol)
        size = self._part(symbol, abs(qty))
        attempt = self._attempts.get(symbol, 0)
        self._attempts[symbol] = attempt + 1
        order_id = closing_order_id(self._started_ns, symbol, attempt)
        request = OrderRequest(
            client_order_id=order_id, intent_id=f"flatten-{self._started_ns}", trace_id=f"flatten-{self._started_ns}",
            symbol=symbol, side=OrderSide.SELL if qty > 0.0 else OrderSide.BUY, type=OrderType.MARKET, qty=size,
            created_ns=self._now_ns(), reduce_only=True,
        )
        self._note("send", symbol, order_id, -size if qty > 0.0 else size)
        self._unanswered[leg] = (order_id, self._now_ns())
        try:
            async with asyncio.timeout(_ANSWER_S):
                update = await self._venue.submit_order(request)
        except (VenueUnavailable, InputError, ConfigError) as error:  # certainly not sent
            del self._unanswered[leg]
            self._refusals[symbol] = _text(error)
            self._trouble(error, symbol, order_id)
        except (VenueError, TimeoutError) as error:
            self._note("unknown", symbol, order_id, text=_text(error))
        else:
            if update.status in _OVER:
                del self._unanswered[leg]
            if update.status is OrderStatus.REJECTED:
                if update.reason.startswith(_TOO_LARGE):
                    self._largest[symbol] = size / 2.0
                self._refuse(symbol, order_id, update.reason)
            else:
                self._refusals.pop(symbol, None)
                self._note("answer", symbol, order_id, text=update.status.value)

    def _refuse(self, symbol: str, order_id: str, why: str) -> None:
        """Note why a closing order of *symbol* was not taken; the same reason once."""
        if order_id or self._refusals.get(symbol) != why:
            self._note("refused", symbol, order_id, text=why)
        self._refusals[symbol] = why

    def _part(self, symbol: str, size: float) -> float:
        """The part of *size* that one order closes, rounded up to the symbol's step where that is known."""
        most = self._largest.get(symbol, math.inf)
        try:
            instrument = self._venue.instrument(symbol)
            size = max(ceil_to(size, instrument.step_size), instrument.min_qty)
            if most < size:
                return max(floor_to(most, instrument.step_size), instrument.min_qty)
        except (InputError, ArithmeticError):  # no filters, or a quantity beyond them: the venue decides
            return min(size, most)
        return size

    async def _resolved(self, leg: Leg) -> bool:
        """Whether the last closing order has ended; "not found" counts only after the receive window.

        So does an answer that cannot be read: a second reducing order opens nothing, and the positions tell the rest.
        """
        symbol, (order_id, sent_ns) = leg[0], self._unanswered[leg]
        late = self._now_ns() - sent_ns > self._venue.receive_window_s * NS_PER_SECOND
        try:
            async with asyncio.timeout(_ANSWER_S):
                found = await self._venue.get_order(symbol, order_id)
        except (VenueError, TimeoutError) as error:
            self._trouble(error, symbol, order_id)
            if isinstance(error, (VenueUnavailable, OutcomeUnknown, TimeoutError)) or not late:
                return False
            del self._unanswered[leg]
            return True
        over = late if found is None else found.status in _OVER
        if over:
            del self._unanswered[leg]
            what = "never arrived" if found is None else f"{found.status.value} {found.filled_qty:g} {found.reason}"
            self._note("answer", symbol, order_id, text=what.strip())
        return over

    async def _ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to *question*, repeated until it comes or the deadline passes."""
        wait = _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    return await question()
            except (VenueError, TimeoutError) as error:
                self._trouble(error)
                if self._now_ns() >= self._deadline_ns:
                    raise _OutOfTimeError(_text(error)) from None
            await self._wait(wait)
            wait = min(2.0 * wait, _LONGEST_PAUSE_S)

    async def _wait(self, seconds: float) -> None:
        """Wait *seconds*, or as long as the venue demands; _OutOfTimeError past the deadline."""
        left_s = (self._deadline_ns - self._now_ns()) / NS_PER_SECOND
        if left_s <= 0.0:
            raise _OutOfTimeError
        wanted, self._retry_after_s = max(seconds, self._retry_after_s), 0.0
        await self._pause(min(wanted, left_s))

    def _trouble(self, error: Exception, symbol: str = "", order_id: str = "") -> None:
        if isinstance(error, VenueUnavailable):
            self._retry_after_s = max(self._retry_after_s, error.retry_after_s)
        self._note("trouble", symbol, order_id, text=_text(error))

    def _note(self, step: str, symbol: str = "", order_id: str = "", qty: float = 0.0, text: str = "") -> None:
        self._report(
            DirectAction(
                ts_ns=self._now_ns(), step=step, symbol=symbol, client_order_id=order_id, qty=qty, text=text
            )
        )

    def _result(self, flat: bool, text: str) -> FlattenResult:
        return FlattenResult(
            flat=flat, looks=self._looks, closed=tuple(sorted(self._closed)), cancelled=self._cancelled,
            positions=self._positions, orders=self._orders, text=text,
        )


def _is_bracket(order: VenueOrder) -> bool:
    """Whether *order* is a reduce-only stop or target."""
    return order.reduce_only and (order.type in _TRIGGERED or order.stop_price > 0.0)


def _protects(order: VenueOrder, held: dict[Leg, float]) -> bool:
    """Whether *order* is a stop or target that reduces an open position."""
    reduces = (order.symbol, order.side is OrderSide.BUY) in held
    return reduces and (order.type in _TRIGGERED or order.stop_price > 0.0)


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer in {_ANSWER_S:g} s"
    if isinstance(error, OutcomeUnknown):
        return f"outcome unknown: {error}"
    return str(error) or type(error).__name__
