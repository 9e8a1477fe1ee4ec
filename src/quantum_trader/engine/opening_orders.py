"""Opening orders on their way: the plan of each, how long it may wait or rest, and when it is cancelled."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.trading import Intent, OrderRequest
from quantum_trader.engine import ids
from quantum_trader.engine.account import Account
from quantum_trader.engine.books import Plan
from quantum_trader.engine.gateway import Command, Gateway, Purpose, Ticket
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.pilot_stance import PilotStance
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.records import Records
from quantum_trader.engine.road import ROAD_APPROVED, gate

ENSEMBLE: Final = "ENSEMBLE"  # the source of the intents that the intraday ensemble's signals become
MODEL: Final = "MODEL"  # that of the signals of models behind the port


class Pending(msgspec.Struct, kw_only=True):
    """An opening order on its way; the gateway's ticket says how much of it is left."""

    plan: Plan
    margin: float  # initial margin of the whole order, USDT
    expires_ns: int
    added_stop: float = 0.0  # of the position after this addition; 0.0: it opens one
    rests_until_ns: int = 0  # post-only: when what has not filled goes at market; 0: it is at market
    timed_out: bool = False  # post-only: it is being cancelled to go at market
    intent: Intent | None = None  # post-only: what was approved

    @property
    def rests(self) -> bool:
        """Whether the order rests post-only."""
        return self.rests_until_ns > 0


class OpeningOrders:
    """The opening orders on their way, one a symbol."""

    def __init__(
        self, market: Market, account: Account, policy: PolicyInForce, halts: Halts, gateway: Gateway,
        instruments: Instruments, records: Records, pilot: PilotStance,
    ) -> None:
        self._market, self._account, self._policy, self._halts = market, account, policy, halts
        self._pilot = pilot
        self._gateway, self._instruments, self._records = gateway, instruments, records
        self._settings = policy.settings
        self.pending: dict[str, Pending] = {}  # by symbol

    @property
    def count(self) -> int:
        """Positions, and opening orders on their way; a post-only entry of which a part has filled counts once."""
        held = self._account.books.positions
        apart = [symbol for symbol, pending in self.pending.items() if not (pending.rests and symbol in held)]
        return len(held) + len(apart)

    def expires_ns(self, request: OrderRequest) -> int:
        """The time at which an opening order's intent expires; a time in the past where its plan has been dropped."""
        pending = self.pending.get(request.symbol)
        return pending.expires_ns if pending is not None and pending.plan.intent_id == request.intent_id else 0

    def on_their_way(self) -> dict[str, int]:
        """The symbols with an opening order on its way; with its direction where it rests post-only, else 0."""
        return {symbol: pending.plan.sign if pending.rests else 0 for symbol, pending in self.pending.items()}

    def forget(self, ticket: Ticket | None) -> Plan | None:
        """Drop and return an opening order's plan, once the order is over and all its fills are booked."""
        if ticket is None or ticket.purpose is not Purpose.OPEN or not ticket.settled:
            return None
        pending = self.pending.get(ticket.symbol)
        if pending is None or pending.plan.intent_id != ticket.intent_id:
            return None
        del self.pending[ticket.symbol]
        return pending.plan

    def expire(self, now_ns: int) -> list[Command]:
        """Cancel opening orders whose time is over.

        One that did not fill at all at the first price after it was sent met a market that had stopped: the price it
        was sized for is gone. What is left of a partly filled one goes when its intent has expired, what is left of an
        addition at once. A post-only one rests for its bars while what approved it still would.
        """
        commands: list[Command] = []
        for symbol, pending in self.pending.items():
            if pending.rests:
                wanted = self._still_wanted(symbol, pending)
                pending.timed_out = wanted and now_ns >= pending.rests_until_ns
                is_over = pending.timed_out or not wanted
            else:
                is_over = (
                    pending.added_stop > 0.0 or symbol not in self._account.books.positions
                    or now_ns > pending.expires_ns
                )
            if is_over:
                commands += self._cancel(symbol, now_ns)
        return commands

    def _cancel(self, symbol: str, now_ns: int) -> list[Command]:
        """Cancel the opening orders of *symbol*, and record that."""
        return self._records.outgoing(self._gateway.cancel_openings(now_ns, symbol))

    def _still_wanted(self, symbol: str, pending: Pending) -> bool:
        """Whether the models still want their post-only entry, and halts and gates would still let it through.

        The source's name does not decide: in HYBRID the models' entries carry the pilot's names. In PRIMARY only the
        pilot opens positions. Neither rule applies to an entry from an outside intent.
        """
        index, plan = self._instruments.index[symbol], pending.plan
        if self._halts.closed(symbol):
            return False
        of_signals = pending.intent is not None and ids.is_signal_intent(pending.intent.intent_id)
        if of_signals and self._pilot.mode is PilotMode.PRIMARY:
            return False
        if of_signals and self._market.forecasts is not None and self._market.target(index) != plan.sign:
            return False
        used = self._policy.used(index)
        return gate(plan.sign, plan.confidence, plan.atr, 0, 0, self.count - 1, used) == ROAD_APPROVED

    def expired(self, now_ns: int, busy: Any) -> list[str]:
        """Symbols whose opening order must go, without the *busy* ones.

        Its time is over, it rests in a halt, or it rests without a plan, which was given up.
        """
        return [
            symbol for symbol, pending in self.pending.items()
            if symbol not in busy and (now_ns > self._last_ns(pending) or self._rests_in_halt(symbol, pending))
        ] + [symbol for symbol in self._gateway.entries_at_rest() if symbol not in self.pending and symbol not in busy]

    def _last_ns(self, pending: Pending) -> int:
        """When an opening order that is still open goes, whether bars come or not."""
        if pending.rests:
            return pending.rests_until_ns + self._settings.intent_ttl_s * NS_PER_SECOND
        return pending.expires_ns

    def may_rest(self, symbol: str, now_ns: int) -> bool:
        """Whether a post-only entry of *symbol* may be at the venue at *now_ns*."""
        pending = self.pending.get(symbol)
        return pending is not None and pending.rests and now_ns <= self._last_ns(pending)

    def _rests_in_halt(self, symbol: str, pending: Pending) -> bool:
        """Whether a post-only entry could still fill although nothing may open; not while the venue is not there."""
        return pending.rests and self._halts.connected and bool(self._halts.closed(symbol))

    def cancel_at_rest(self, now_ns: int, busy: Any) -> list[Command]:
        """Cancel every post-only entry that rests, without those of *busy* symbols; nothing of them goes at market."""
        commands: list[Command] = []
        for symbol in self._gateway.entries_at_rest():
            if symbol not in busy:
                if symbol in self.pending:
                    self.pending[symbol].timed_out = False
                commands += self._cancel(symbol, now_ns)
        return commands

    def cancel_expired(self, now_ns: int, busy: Any) -> list[Command]:
        """Cancel the opening orders of :meth:`expired` symbols."""
        commands: list[Command] = []
        for symbol in self.expired(now_ns, busy):
            commands += self._cancel(symbol, now_ns)
        return commands
