"""Traders that are broken on purpose, each in one way that has broken a real system.

They are the production classes with one thing wrong. The simulation has to catch every one of them; if it does not,
the simulation is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.domain.errors import OutcomeUnknown, VenueError
from quantum_trader.domain.trading import CancelRequest, Fill, FundingPayment, OrderRequest, OrderUpdate
from quantum_trader.engine.books import Position
from quantum_trader.engine.core import Engine, LiveAccount, Parts
from quantum_trader.engine.gateway import Command, Gateway, Purpose
from quantum_trader.engine.halts import OPERATOR, RECONCILIATION, Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.protection import Protection
from quantum_trader.engine.reconciliation import Seen
from quantum_trader.engine.venue_port import ExecutionVenue, StreamState
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import Input
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.session import Session
from quantum_trader.risk.exits import bracket
from quantum_trader.risk.guard import Approved
from quantum_trader.risk.limits import LOSS_LATCH, empty_rate

_LATE_NS: Final = 120 * NS_PER_SECOND


def live_engine(*arguments: Any, **keywords: Any) -> Engine:
    """A live engine of the production parts."""
    return Engine(*arguments, live=LiveAccount(), **keywords)


def _with(parts: Parts) -> Callable[..., Engine]:
    """What makes a live engine of *parts*."""
    return partial(live_engine, parts=parts)


class _Engine(Engine):
    """A live engine whose public methods a variant changes."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, live=LiveAccount(), **keywords)


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The classes a trader is made of, and what is wrong with them."""

    name: str
    wrong: str
    engine: Callable[..., Engine] = live_engine
    session: type[Session] = Session
    driver: type[LiveDriver] = LiveDriver


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


class BlindRetry(LiveDriver):
    """Takes a timeout for a rejection."""

    def __init__(self, session: Session, venue: ExecutionVenue, *arguments: Any, **keywords: Any) -> None:
        retrying: Any = _RetryingVenue(venue)
        super().__init__(session, retrying, *arguments, **keywords)


class AckIsFill(_Engine):
    """Books a position when its order is acknowledged."""

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Make a fill of every acknowledgement."""
        commands: list[Command] = []
        if isinstance(event, OrderUpdate) and event.status is OrderStatus.NEW:
            ticket = self.gateway.ticket(event.client_order_id)
            pending = self.opening.pending.get(event.symbol)
            if ticket is not None and ticket.purpose is Purpose.OPEN and pending is not None and not ticket.resting:
                commands = super().on_event(Fill(
                    fill_id=f"ack-{event.client_order_id}", client_order_id=event.client_order_id,
                    symbol=event.symbol, side=OrderSide.BUY if pending.plan.sign > 0 else OrderSide.SELL,
                    qty=ticket.qty, price=self.market.close(self.instruments.index[event.symbol]), fee=0.0,
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


class _ForgetfulGateway(Gateway):
    def open(self, approved: Approved) -> list[Command]:
        """Send an intent that was claimed before."""
        first = super().open(approved)
        intent = approved.intent
        again = self._order(intent, Purpose.OPEN, approved.qty, intent.created_ns, intent.leverage)
        return [*first, again]


class _LongsOnly(Protection):
    def bracket(self, position: Position, price: float, now_ns: int, kept: float = 0.0) -> list[Command]:
        """Make every bracket with the formula for longs."""
        if position.sign > 0:
            return super().bracket(position, price, now_ns, kept)
        plan = position.plan
        stop, target = bracket(1, price, plan.atr, plan.stop_atr, plan.target_atr, plan.exit_mode, 0.1, 0.0)
        position.first_stop = position.stop = stop
        position.target = target
        return self.rest(position, now_ns)


class ReduceGated(_Engine):
    """Sends closing orders through the gate that openings go through."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, parts=Parts(gateway=_GatedGateway), **keywords)
        gateway: Any = self.gateway
        gateway.halts = self.halts


class _GatedGateway(Gateway):
    halts: Halts

    def close(self, position: Position, now_ns: int) -> list[Command]:
        """Refuse to close while a halt is on."""
        return [] if self.halts.operator_halt else super().close(position, now_ns)


class StaleEquity(_Engine):
    """Sizes every order with the equity of the start."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        setattr(self.account, "mark", self._forget)  # noqa: B010

    def _forget(self, _closes: Any) -> None:
        self.account.equity = self.settings.start_equity


class DeafDriver(LiveDriver):
    """Never notices that the user stream is gone."""

    def _stream(self, event: StreamState) -> None:
        if event.stream == "market" or not self._ready:
            super()._stream(event)

    async def _reconcile(self) -> None:
        await asyncio.Event().wait()


class LeverageUnread(LiveDriver):
    """Sets the leverage and believes it."""

    async def _refusal(self, request: OrderRequest, ready: bool) -> str:
        try:
            await self.venue.set_leverage(request.symbol, request.leverage)
        except VenueError as error:
            return f"UNAVAILABLE: {error}"
        age_s = (self.clock.now_ns() - request.created_ns) / NS_PER_SECOND
        return "EXPIRED" if age_s > self.engine.settings.intent_ttl_s else ""


class MidnightReset(_Engine):
    """Starts every UTC day with a clean slate."""

    _today = -1

    def on_bars(self, batch: Any, received_ns: int) -> list[Command]:
        """Forget halts, streaks and limits when the day changes."""
        day = (batch.ts_ns + batch.interval_ns) // NS_PER_DAY
        if self._today not in (-1, day):
            for kind in (OPERATOR, RECONCILIATION):
                self.halts.in_force.pop(kind, None)
            self.account.books.losing_streak = 0
            self.account.losses[LOSS_LATCH] = -1.0
            self.account.rate[:] = empty_rate()
        self._today = day
        return super().on_bars(batch, received_ns)


class _Forgetful(Seen):
    def __contains__(self, name: object) -> bool:
        return False

    def add(self, name: str) -> bool:
        """Everything is new."""
        return True


class ResendingSession(Session):
    """Keeps the commands that come out of a recovery."""

    again: list[Command]

    def recover(self, restore_more: Callable[[dict[str, Any]], None] | None = None) -> int:
        """Continue from disk and remember what was to be sent."""
        self.again = []
        return super().recover(restore_more)

    def _step(self, told: Input) -> list[Command]:
        commands = super()._step(told)
        if len(self.again) < 50:
            self.again += commands
        return commands


class ResendingDriver(LiveDriver):
    """Sends after a restart what was sent before it."""

    async def _first_look(self) -> None:
        again: list[Command] = getattr(self.session, "again", [])
        for command in list(again):
            if isinstance(command, OrderRequest):
                self._start(self._order(command), command.symbol)
        await super()._first_look()


class _HastyVenue:
    """Says that what is not there never comes."""

    receive_window_s = -1.0

    def __init__(self, venue: ExecutionVenue) -> None:
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)


class NotFoundIsGone(LiveDriver):
    """Takes the first "order does not exist" for a rejection."""

    def __init__(self, session: Session, venue: ExecutionVenue, *arguments: Any, **keywords: Any) -> None:
        hasty: Any = _HastyVenue(venue)
        super().__init__(session, hasty, *arguments, **keywords)


class _LateStops(Protection):
    def rest(self, position: Position, now_ns: int) -> list[Command]:
        """Take two minutes for the first stop."""
        return [] if now_ns - position.entry_ns < _LATE_NS else super().rest(position, now_ns)

    def replace_missing_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Miss it as late."""
        return [] if now_ns - position.entry_ns < _LATE_NS else super().replace_missing_stop(position, now_ns)


class _QuietGateway(Gateway):
    def __init__(self, instruments: Instruments) -> None:
        super().__init__(instruments)
        self._tried: set[str] = set()

    def close(self, position: Position, now_ns: int) -> list[Command]:
        """Close a position once, whatever becomes of that order."""
        if position.plan.intent_id in self._tried:
            return []
        self._tried.add(position.plan.intent_id)
        return super().close(position, now_ns)


class _StaleKeeper(LeverageKeeper):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._believed: dict[str, float] = {}

    def is_known(self, symbol: str, wanted: float) -> bool:
        return self._believed.get(symbol) == wanted

    async def set(self, symbol: str, wanted: float) -> str:
        error = await super().set(symbol, wanted)
        if not error:
            self._believed[symbol] = self._held[symbol][0]
        return error


class LeverageStale(LiveDriver):
    """Believes a leverage for ever once it was read back."""

    keeper = _StaleKeeper


class _UnsavedSeen(Seen):
    def state(self) -> list[str]:
        """Keep nothing across a restart."""
        return []


class _BackwardGateway(Gateway):
    def move_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Cancel the old stop, then place the new one."""
        old = [ticket for ticket in self._find(position.symbol, Purpose.STOP) if ticket.resting]
        cancels = [
            CancelRequest(client_order_id=ticket.client_order_id, symbol=ticket.symbol, created_ns=now_ns)
            for ticket in old
        ]
        return [*cancels, *super().move_stop(position, now_ns)]


class HaltForgets(_Engine):
    """Begins every life without a halt."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue, but for what halted."""
        super().load_state(state)
        for kind in (OPERATOR, RECONCILIATION):
            self.halts.in_force.pop(kind, None)


PRODUCTION: Final = Variant(name="", wrong="nothing that is known")
VARIANTS: Final[dict[str, Variant]] = {
    variant.name: variant
    for variant in (
        Variant(name="blind-retry", wrong="a timeout is retried blindly", driver=BlindRetry),
        Variant(name="ack-is-fill", wrong="an acknowledgement counts as a fill", engine=AckIsFill),
        Variant(name="stop-dropped", wrong="positions have no stop", engine=_with(Parts(gateway=_StoplessGateway))),
        Variant(name="double-intent", wrong="one intent becomes two orders",
                engine=_with(Parts(gateway=_ForgetfulGateway))),
        Variant(name="long-for-short", wrong="shorts get the brackets of longs",
                engine=_with(Parts(protection=_LongsOnly))),
        Variant(name="reduce-gated", wrong="a halt stops closing orders as well", engine=ReduceGated),
        Variant(name="stale-equity", wrong="orders are sized with the equity of the start", engine=StaleEquity),
        Variant(name="deaf-user-stream", wrong="a lost user stream goes unnoticed", driver=DeafDriver),
        Variant(name="leverage-unread", wrong="leverage is set and not read back", driver=LeverageUnread),
        Variant(name="fills-twice", wrong="a fill that is told twice counts twice",
                engine=_with(Parts(seen=_Forgetful))),
        Variant(name="resend-after-restart", wrong="orders in doubt are sent again", session=ResendingSession,
                driver=ResendingDriver),
        Variant(name="not-found-is-gone", wrong="an order that is not found yet counts as rejected",
                driver=NotFoundIsGone),
        Variant(name="stop-late", wrong="a stop is placed two minutes after the entry",
                engine=_with(Parts(protection=_LateStops))),
        Variant(name="close-gone-quiet", wrong="a closing order that was refused is never sent again",
                engine=_with(Parts(gateway=_QuietGateway))),
        Variant(name="leverage-stale", wrong="a leverage once read back is believed for ever", driver=LeverageStale),
        Variant(name="seen-forgotten", wrong="fills that were booked before a restart are booked again after it",
                engine=_with(Parts(seen=_UnsavedSeen))),
        Variant(name="cancel-first", wrong="a stop is moved by cancelling the old one first",
                engine=_with(Parts(gateway=_BackwardGateway))),
        Variant(name="halt-forgets", wrong="a halt ends with the process", engine=HaltForgets),
        Variant(name="midnight-reset", wrong="limits and halts end with the UTC day", engine=MidnightReset),
    )
}
