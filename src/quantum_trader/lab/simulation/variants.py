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
from quantum_trader.engine.core import Engine, EngineParts, LiveAccount
from quantum_trader.engine.gateway import Command, Gateway, Purpose
from quantum_trader.engine.halts import OPERATOR, RECONCILIATION, Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.protection import Protection
from quantum_trader.engine.reconciliation import RecentIds
from quantum_trader.engine.venue_port import ExecutionVenue, StreamState
from quantum_trader.lab.simulation.random_pilot import MODES, piloted_engine
from quantum_trader.live.driver import PARTS, DriverParts
from quantum_trader.live.inputs import Input
from quantum_trader.live.leverage import LeverageKeeper
from quantum_trader.live.listening import Listening
from quantum_trader.live.reconciling import Reconciling
from quantum_trader.live.sending import OpeningCheck
from quantum_trader.live.session import Session
from quantum_trader.live.starting import Starting
from quantum_trader.risk.exits import bracket
from quantum_trader.risk.guard import Approved
from quantum_trader.risk.limits import LOSS_LATCH, empty_rate

_LATE_NS: Final = 120 * NS_PER_SECOND


def live_engine(*arguments: Any, **keywords: Any) -> Engine:
    """A live engine of the production parts."""
    return Engine(*arguments, live=LiveAccount(), **keywords)


def _with(parts: EngineParts) -> Callable[..., Engine]:
    """What makes a live engine of *parts*."""
    return partial(live_engine, parts=parts)


class _Engine(Engine):
    """A live engine whose public methods a variant changes."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, live=LiveAccount(), **keywords)


def _unchanged(venue: Any) -> Any:
    """Return *venue*."""
    return venue


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one trader, and which of them is broken on purpose."""

    name: str
    wrong: str
    engine: Callable[..., Engine] = live_engine
    session: type[Session] = Session
    parts: DriverParts = PARTS
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


class AckIsFill(_Engine):
    """Books a position when its order is acknowledged."""

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Make a fill of every acknowledgement."""
        commands: list[Command] = []
        if isinstance(event, OrderUpdate) and event.status is OrderStatus.NEW:
            ticket = self.gateway.ticket(event.client_order_id)
            pending = self.opening.orders.pending.get(event.symbol)
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
    def open(self, approved: Approved, resting_price: float = 0.0) -> list[Command]:
        """Send an intent that was claimed before."""
        return [*super().open(approved, resting_price), self._opening(approved, 0.0)]


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
        super().__init__(*arguments, parts=EngineParts(gateway=_GatedGateway), **keywords)
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


class MidnightReset(_Engine):
    """Starts every UTC day with a clean slate."""

    _today = -1

    def on_bars(self, batch: Any, received_ns: int) -> list[Command]:
        """Forget halts, streaks and limits when the day changes."""
        day = (batch.ts_ns + batch.interval_ns) // NS_PER_DAY
        if self._today not in (-1, day):
            for kind in (OPERATOR, RECONCILIATION):
                self.halts.in_force.pop(kind, None)
            self.account.books.lost_r = 0.0
            self.account.losses[LOSS_LATCH] = -1.0
            self.account.rate[:] = empty_rate()
        self._today = day
        return super().on_bars(batch, received_ns)


class HistoryJudged(_Engine):
    """Values the account of now at the prices of bars that were missed."""

    def on_bars(self, batch: Any, received_ns: int) -> list[Command]:
        """Take every bar for one that has just closed."""
        setattr(self.account, "follow", self._valued)  # noqa: B010
        return super().on_bars(batch, received_ns)

    def _valued(self, _before: Any, closes: Any, _since_ns: int) -> None:
        self.account.mark(closes)


class CoinFeeInUsdt(_Engine):
    """Deducts a fee that BNB pays from the wallet's USDT."""

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Forget which coin paid."""
        if isinstance(event, Fill):
            event = msgspec.structs.replace(event, fee_asset=msgspec.UNSET)
        return super().on_event(event)


class CoinFeeFree(_Engine):
    """Takes a fee that BNB pays for none, because the wallet keeps its USDT."""

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Forget the fee."""
        if isinstance(event, Fill) and event.fee_asset:
            event = msgspec.structs.replace(event, fee=0.0, fee_asset=msgspec.UNSET)
        return super().on_event(event)


class TransferUnseen(_Engine):
    """Takes a transfer into every remembered equity but the policy's."""

    def __init__(self, *arguments: Any, **parts: Any) -> None:
        super().__init__(*arguments, **parts)
        self.account.policy_memory = self.account.policy_memory.copy()


class _Forgetful(RecentIds):
    def __contains__(self, name: object) -> bool:
        return False

    def add(self, name: str) -> bool:
        """Everything is new."""
        return True


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


class _LateStops(Protection):
    def rest(self, position: Position, now_ns: int) -> list[Command]:
        """Take two minutes for the first stop."""
        return [] if now_ns - position.entry_ns < _LATE_NS else super().rest(position, now_ns)

    def replace_missing_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Notice a missing stop two minutes late as well."""
        return [] if now_ns - position.entry_ns < _LATE_NS else super().replace_missing_stop(position, now_ns)


class _QuietGateway(Gateway):
    def __init__(self, instruments: Instruments) -> None:
        super().__init__(instruments)
        self._tried: set[str] = set()

    def close(self, position: Position, now_ns: int) -> list[Command]:
        """Send one closing order for a position and never another, even when the first one fails."""
        if position.plan.intent_id in self._tried:
            return []
        self._tried.add(position.plan.intent_id)
        return super().close(position, now_ns)


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


class _UnsavedRecentIds(RecentIds):
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
        Variant(name="blind-retry", wrong="a timeout is retried blindly", venue=_RetryingVenue),
        Variant(name="ack-is-fill", wrong="an acknowledgement counts as a fill", engine=AckIsFill),
        Variant(name="stop-dropped", wrong="positions have no stop",
                engine=_with(EngineParts(gateway=_StoplessGateway))),
        Variant(name="double-intent", wrong="one intent becomes two orders",
                engine=_with(EngineParts(gateway=_ForgetfulGateway))),
        Variant(name="long-for-short", wrong="shorts get the brackets of longs",
                engine=_with(EngineParts(protection=_LongsOnly))),
        Variant(name="reduce-gated", wrong="a halt stops closing orders as well", engine=ReduceGated),
        Variant(name="stale-equity", wrong="orders are sized with the equity of the start", engine=StaleEquity),
        Variant(name="deaf-user-stream", wrong="a lost user stream goes unnoticed",
                parts=DriverParts(listening=_DeafListening, reconciling=_NoReconciling)),
        Variant(name="leverage-unread", wrong="leverage is set and not read back",
                parts=DriverParts(openings=_UnreadLeverage)),
        Variant(name="fills-twice", wrong="a fill that is told twice counts twice",
                engine=_with(EngineParts(seen=_Forgetful))),
        Variant(name="resend-after-restart", wrong="orders in doubt are sent again", session=ResendingSession,
                parts=DriverParts(starting=_ResendingStart)),
        Variant(name="not-found-is-gone", wrong="an order that is not found yet counts as rejected",
                venue=_HastyVenue),
        Variant(name="stop-late", wrong="a stop is placed two minutes after the entry",
                engine=_with(EngineParts(protection=_LateStops))),
        Variant(name="close-gone-quiet", wrong="a closing order that was refused is never sent again",
                engine=_with(EngineParts(gateway=_QuietGateway))),
        Variant(name="leverage-stale", wrong="a leverage once read back is believed for ever",
                parts=DriverParts(leverages=_StaleLeverage)),
        Variant(name="seen-forgotten", wrong="fills that were booked before a restart are booked again after it",
                engine=_with(EngineParts(seen=_UnsavedRecentIds))),
        Variant(name="cancel-first", wrong="a stop is moved by cancelling the old one first",
                engine=_with(EngineParts(gateway=_BackwardGateway))),
        Variant(name="halt-forgets", wrong="a halt ends with the process", engine=HaltForgets),
        Variant(name="midnight-reset", wrong="limits and halts end with the UTC day", engine=MidnightReset),
        Variant(name="history-judged", wrong="bars that were missed judge the positions of now", engine=HistoryJudged),
        Variant(name="coin-fee-in-usdt", wrong="a fee paid in BNB is deducted from USDT", engine=CoinFeeInUsdt),
        Variant(name="coin-fee-free", wrong="a fee paid in BNB is no cost", engine=CoinFeeFree),
        Variant(name="transfer-unseen", wrong="a transfer is a loss or profit for the policy", engine=TransferUnseen),
    )
}

PILOTED: Final = {
    f"pilot-{mode.value.lower()}": Variant(
        name=f"pilot-{mode.value.lower()}", wrong="", engine=partial(piloted_engine, mode)
    )
    for mode in MODES
}
"""Not broken: the production classes beside a pilot that acts at random."""
