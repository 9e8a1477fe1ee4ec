"""Traders that are broken on purpose, each in one way that has broken a real system.

They are the production classes with one thing wrong. The simulation has to catch every one of them; if it does not,
the simulation is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.domain.errors import InputError, OutcomeUnknown, VenueError
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.books import Position
from quantum_trader.engine.gateway import Command, Gateway, Purpose
from quantum_trader.engine.live_engine import LiveEngine
from quantum_trader.engine.reconciliation import Seen
from quantum_trader.engine.venue_port import ExecutionVenue, StreamState
from quantum_trader.live.driver import PARTS, Parts
from quantum_trader.live.inputs import Input
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.listening import Listening
from quantum_trader.live.reconciling import Reconciling
from quantum_trader.live.sending import OpeningCheck
from quantum_trader.live.session import Session
from quantum_trader.live.starting import Starting
from quantum_trader.risk.guard import Approved
from quantum_trader.risk.limits import LOSS_LATCH, empty_rate
from quantum_trader.signals import columns as col

_LATE_NS: Final = 120 * NS_PER_SECOND


def _unchanged(venue: Any) -> Any:
    """Return *venue*."""
    return venue


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The parts a trader is made of, and what is wrong with them."""

    name: str
    wrong: str
    engine: type[LiveEngine] = LiveEngine
    session: type[Session] = Session
    parts: Parts = PARTS
    venue: Callable[[Any], Any] = _unchanged  # wraps the connection to the venue


class _RetryingVenue:
    """Sends an order again when its answer does not come, as a retry decorator does."""

    def __init__(self, venue: ExecutionVenue) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    async def submit_order(self, request: OrderRequest) -> OrderUpdate:
        """Try three times."""
        for _ in range(2):
            try:
                return await self._venue.submit_order(request)
            except OutcomeUnknown:
                continue
        return await self._venue.submit_order(request)


class AckIsFill(LiveEngine):
    """Books a position when its order is acknowledged."""

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Make a fill of every acknowledgement."""
        commands: list[Command] = []
        if isinstance(event, OrderUpdate) and event.status is OrderStatus.NEW:
            ticket = self.gateway.ticket(event.client_order_id)
            pending = self._pending.get(event.symbol)
            if ticket is not None and ticket.purpose is Purpose.OPEN and pending is not None and not ticket.resting:
                commands = super().on_event(Fill(
                    fill_id=f"ack-{event.client_order_id}", client_order_id=event.client_order_id,
                    symbol=event.symbol, side=OrderSide.BUY if pending.plan.sign > 0 else OrderSide.SELL,
                    qty=ticket.qty, price=float(self.kernel.out[self._index[event.symbol], col.CLOSE]), fee=0.0,
                    liquidity="taker", ts_ns=event.ts_ns,
                ))
        return commands + super().on_event(event)


class _StoplessGateway(Gateway):
    def protect(self, position: Position, now_ns: int) -> list[Command]:
        """Rest the target alone."""
        return [self._resting(position, Purpose.TARGET, position.target, now_ns)] if position.target > 0.0 else []

    def move_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Move nothing."""
        return []

    def is_protected(self, position: Position) -> bool:
        """Believe it."""
        return True


class StopDropped(LiveEngine):
    """Forgets the stop and never looks."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.gateway = _StoplessGateway()


class _ForgetfulGateway(Gateway):
    def open(self, approved: Approved) -> list[Command]:
        """Send an intent that was claimed before."""
        first = super().open(approved)
        intent = approved.intent
        again = self._order(intent, Purpose.OPEN, approved.qty, intent.created_ns, intent.leverage)
        return [*first, again]


class DoubleIntent(LiveEngine):
    """Does not remember which intents have had their order."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.gateway = _ForgetfulGateway()


class LongForShort(LiveEngine):
    """Makes every bracket with the formula for longs."""

    def _bracket(self, position: Position, price: float, now_ns: int, kept: float = 0.0) -> list[Command]:
        if position.sign > 0:
            return super()._bracket(position, price, now_ns, kept)
        plan, tick = position.plan, self.instruments[position.index].tick_size
        position.first_stop = position.stop = _on_grid(price - plan.stop_atr * plan.atr, tick)
        position.target = _on_grid(price + plan.target_atr * plan.atr, tick) if position.target > 0.0 else 0.0
        return self._sent(self.gateway.protect(position, now_ns))


class _GatedGateway(Gateway):
    def __init__(self, engine: LiveEngine) -> None:
        super().__init__()
        self._engine = engine

    def close(self, position: Position, now_ns: int) -> list[Command]:
        """Refuse to close while a halt is on."""
        return [] if self._engine.kill else super().close(position, now_ns)


class ReduceGated(LiveEngine):
    """Sends closing orders through the gate that openings go through."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.gateway = _GatedGateway(self)


class StaleEquity(LiveEngine):
    """Sizes every order with the equity of the start."""

    def _run_stage(self, now_ns: int, market: Any) -> None:
        self.equity = self.settings.start_equity
        super()._run_stage(now_ns, market)


class _DeafListening(Listening):
    """Does not notice that the user stream is lost."""

    def stream_changed(self, event: StreamState) -> None:
        """Ignore the user stream once the start is over."""
        if event.stream == "market" or not self.context.ready:
            super().stream_changed(event)


class _NoReconciling(Reconciling):
    """Compares books and venue at the start alone."""

    async def run(self) -> None:
        """Never compare again."""
        await asyncio.Event().wait()


class _UnreadLeverage(OpeningCheck):
    """Sets the leverage and does not look at the one that is read back."""

    async def refusal(self, request: OrderRequest, ready: bool) -> str:
        """Refuse only what is too old."""
        try:
            await self.context.venue.set_leverage(request.symbol, request.leverage)
        except VenueError as error:
            return f"UNAVAILABLE: {error}"
        age_s = (self.context.clock.now_ns() - request.created_ns) / NS_PER_SECOND
        return "EXPIRED" if age_s > self.context.engine.settings.intent_ttl_s else ""


class MidnightReset(LiveEngine):
    """Starts every UTC day with a clean slate."""

    _today = -1

    def on_bars(self, batch: Any, received_ns: int) -> list[Command]:
        """Forget halts, streaks and limits when the day changes."""
        day = (batch.ts_ns + batch.interval_ns) // NS_PER_DAY
        if self._today not in (-1, day):
            self.kill, self.held, self.books.losing_streak = False, "", 0
            self.losses[LOSS_LATCH] = -1.0
            self.rate[:] = empty_rate()
        self._today = day
        return super().on_bars(batch, received_ns)


class _Forgetful(Seen):
    def __contains__(self, name: object) -> bool:
        return False

    def add(self, name: str) -> bool:
        """Everything is new."""
        return True


class FillsTwice(LiveEngine):
    """Books what is told twice, twice."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.seen = _Forgetful()


class ResendingSession(Session):
    """Keeps the commands that the replay of its inputs gives."""

    again: list[Command]

    def recover(self, restore_more: Callable[[dict[str, Any]], None] | None = None) -> int:
        """Continue from disk and keep the commands of the replay."""
        self.again = []
        return super().recover(restore_more)

    def replay(self, event: Input) -> list[Command]:
        """Take an input and keep its commands."""
        commands = super().replay(event)
        if len(self.again) < 50:
            self.again += commands
        return commands


class _ResendingStart(Starting):
    """Sends the orders of the last process again."""

    async def compare_first(self) -> None:
        """Send first, then compare."""
        again: list[Command] = getattr(self.context.session, "again", [])
        for command in list(again):
            if isinstance(command, OrderRequest):
                self.requests.start(self.sending.order(command), command.symbol)
        await super().compare_first()


class _HastyVenue:
    """Claims that a request which has not arrived never will: the first "order does not exist" is believed."""

    receive_window_s = -1.0

    def __init__(self, venue: ExecutionVenue) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)


class StopLate(LiveEngine):
    """Takes its time with the first stop."""

    def _protect(self, position: Position, now_ns: int) -> list[Command]:
        return [] if now_ns - position.entry_ns < _LATE_NS else super()._protect(position, now_ns)

    def _unprotected(self, position: Position, now_ns: int) -> list[Command]:
        return [] if now_ns - position.entry_ns < _LATE_NS else super()._unprotected(position, now_ns)


class _QuietGateway(Gateway):
    def __init__(self) -> None:
        super().__init__()
        self._tried: set[str] = set()

    def close(self, position: Position, now_ns: int) -> list[Command]:
        """Close a position once, whatever becomes of that order."""
        if position.plan.intent_id in self._tried:
            return []
        self._tried.add(position.plan.intent_id)
        return super().close(position, now_ns)


class CloseGoneQuiet(LiveEngine):
    """Never sends a closing order again that was refused."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.gateway = _QuietGateway()


class _StaleLeverage(LeverageKeeper):
    """Takes a leverage that was read back once for the one in force."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._believed: dict[str, float] = {}

    def is_known(self, symbol: str, wanted: float) -> bool:
        return self._believed.get(symbol) == wanted

    async def set(self, symbol: str, wanted: float) -> str:
        error = await super().set(symbol, wanted)
        if not error:
            self._believed[symbol] = self.held(symbol)
        return error


class SeenForgotten(LiveEngine):
    """Keeps the ids of fills in memory only."""

    def state(self) -> dict[str, Any]:
        """Everything but those ids."""
        return {**super().state(), "seen": []}


class _BackwardGateway(Gateway):
    def move_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Cancel the old stop, then place the new one."""
        old = [ticket for ticket in self._find(position.symbol, Purpose.STOP) if ticket.resting]
        cancels = [
            CancelRequest(client_order_id=ticket.client_order_id, symbol=ticket.symbol, created_ns=now_ns)
            for ticket in old
        ]
        return [*cancels, *super().move_stop(position, now_ns)]


class CancelFirst(LiveEngine):
    """Moves a stop the wrong way round."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.gateway = _BackwardGateway()


class HaltForgets(LiveEngine):
    """Begins every life without a halt."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue, but for what halted."""
        super().load_state(state)
        self.kill, self.held = False, ""


def _on_grid(price: float, tick: float) -> float:
    """*price* on the tick grid, and a price at all."""
    if not price > 0.0:
        raise InputError(f"price = {price!r}: must be positive")
    return round(price / tick) / round(1.0 / tick) if tick < 1.0 else round(price / tick) * tick


PRODUCTION: Final = Variant(name="", wrong="nothing that is known")
VARIANTS: Final[dict[str, Variant]] = {
    variant.name: variant
    for variant in (
        Variant(name="blind-retry", wrong="a timeout is retried blindly", venue=_RetryingVenue),
        Variant(name="ack-is-fill", wrong="an acknowledgement counts as a fill", engine=AckIsFill),
        Variant(name="stop-dropped", wrong="positions have no stop", engine=StopDropped),
        Variant(name="double-intent", wrong="one intent becomes two orders", engine=DoubleIntent),
        Variant(name="long-for-short", wrong="shorts get the brackets of longs", engine=LongForShort),
        Variant(name="reduce-gated", wrong="a halt stops closing orders as well", engine=ReduceGated),
        Variant(name="stale-equity", wrong="orders are sized with the equity of the start", engine=StaleEquity),
        Variant(name="deaf-user-stream", wrong="a lost user stream goes unnoticed",
                parts=Parts(listening=_DeafListening, reconciling=_NoReconciling)),
        Variant(name="leverage-unread", wrong="leverage is set and not read back",
                parts=Parts(openings=_UnreadLeverage)),
        Variant(name="fills-twice", wrong="a fill that is told twice counts twice", engine=FillsTwice),
        Variant(name="resend-after-restart", wrong="orders in doubt are sent again", session=ResendingSession,
                parts=Parts(starting=_ResendingStart)),
        Variant(name="not-found-is-gone", wrong="an order that is not found yet counts as rejected",
                venue=_HastyVenue),
        Variant(name="stop-late", wrong="a stop is placed two minutes after the entry", engine=StopLate),
        Variant(name="close-gone-quiet", wrong="a closing order that was refused is never sent again",
                engine=CloseGoneQuiet),
        Variant(name="leverage-stale", wrong="a leverage once read back is believed for ever",
                parts=Parts(leverages=_StaleLeverage)),
        Variant(name="seen-forgotten", wrong="fills that were booked before a restart are booked again after it",
                engine=SeenForgotten),
        Variant(name="cancel-first", wrong="a stop is moved by cancelling the old one first", engine=CancelFirst),
        Variant(name="halt-forgets", wrong="a halt ends with the process", engine=HaltForgets),
        Variant(name="midnight-reset", wrong="limits and halts end with the UTC day", engine=MidnightReset),
    )
}
