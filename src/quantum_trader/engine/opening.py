"""The opening of positions: a signal and an intent from outside take the same way.

Gates, the size that the risk allows, the guard, and the plan with the stop that was judged; then one order leaves
through the gateway. The confidence threshold refuses in :func:`quantum_trader.engine.road.gate` and nowhere else.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import ExitReason, PilotMode, Side
from quantum_trader.domain.instrument import floor_to
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import Intent
from quantum_trader.engine import ids
from quantum_trader.engine.account import Account
from quantum_trader.engine.books import ADOPTED, PILOT, Plan, Position
from quantum_trader.engine.decision_inputs import DecisionInputs, PositionState, numbers
from quantum_trader.engine.entry import EntryDecision, EntryRequest, decide_entry
from quantum_trader.engine.facts import FailedIntent, SignalDecision
from quantum_trader.engine.gateway import Command, Gateway, Ticket
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.judging import Judging
from quantum_trader.engine.market import ExitPlan, Market, ShadowTerms
from quantum_trader.engine.model_records import ModelRecords
from quantum_trader.engine.model_targets import ModelTargets, may_grow
from quantum_trader.engine.opening_orders import ENSEMBLE, MODEL, OpeningOrders, Pending
from quantum_trader.engine.pilot_stance import PilotStance, SignalAnswer, boosted
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.protection import Protection
from quantum_trader.engine.records import Records
from quantum_trader.engine.road import (
    ROAD_APPROVED,
    ROAD_FLIP,
    ROAD_HELD,
    ROAD_NO_POSITION,
    ROAD_PENDING,
    ROAD_REASONS,
    ROAD_SIZE,
    gate,
    planned_stop,
    resting_price,
    size_intent,
)
from quantum_trader.engine.signal_gates import GateJudgement, SignalGates, gates_judged
from quantum_trader.engine.signal_records import SignalRecords
from quantum_trader.engine.supervision import Shield, Supervise
from quantum_trader.engine.tracing import Tracing
from quantum_trader.market import performance as perf
from quantum_trader.policy.enforcement import Settings
from quantum_trader.risk.governor import level_factors
from quantum_trader.risk.guard import AccountView, Approved, Refused, can_execute, judged, market_row
from quantum_trader.risk.sizing import volatility_quantity
from quantum_trader.signals import columns as col

UNKNOWN_SYMBOL: Final = "UNKNOWN_SYMBOL"  # why an intent for a symbol that is not traded here fails

Refusal = tuple[str, float, float]  # reason, figure observed, limit; an empty reason: it was sent
_SENT: Final[Refusal] = ("", 0.0, 0.0)


class EntryWish(NamedTuple):
    """A position that a source beside the signals wants to open or to make larger, to pass gates, sizing and guard."""

    place: int  # of the symbol
    sign: int
    confidence: float  # with the bonus
    bonus: float  # of a consensus
    exits: ExitPlan
    quantity: float  # to hold in all, base units
    added_to: Position | None
    source: str
    owner: str
    share: float  # of the equity, that it wants
    hours: float  # for how long it is held on average
    intent_id: str
    trace_id: str


class Opening:
    """Signals that are due, and intents from outside: what becomes an opening order."""

    def __init__(
        self, market: Market, account: Account, policy: PolicyInForce, halts: Halts, protection: Protection,
        judging: Judging, gateway: Gateway, instruments: Instruments, records: Records, tracing: Tracing,
        shield: Shield, supervise: Supervise, pilot: PilotStance, gates: SignalGates,
    ) -> None:
        self._pilot, self.gates = pilot, gates
        self._market, self._account, self._policy, self._halts = market, account, policy, halts
        self._protection, self._judging, self._gateway = protection, judging, gateway
        self._instruments, self._records, self._tracing = instruments, records, tracing
        self._shield, self._supervise = shield, supervise
        self.orders = OpeningOrders(market, account, policy, halts, gateway, instruments, records, pilot)
        self.due: list[int] = []  # symbols whose signals of the moment are still to be taken
        self._signals = 0  # number of the last signal
        self.targets = ModelTargets(market, account, policy, instruments)
        self._signal_records = SignalRecords(
            market, policy, instruments, records, tracing,
            ModelRecords(market, account, self.targets, instruments, records),
        )
        self._source = ENSEMBLE if market.forecasts is None else MODEL

    def index_of(self, symbol: str) -> int:
        """The row of *symbol* in every array."""
        return self._instruments.index[symbol]

    def rest_at_market(self, pending: Pending | None, ticket: Ticket, now_ns: int) -> list[Command]:
        """Send at market what a post-only entry did not fill in its time, where the guard allows that now.

        *ticket* is that entry's; nothing is sent before it is over and all its fills are booked, nor where the part
        that filled is closed or closing. The stop keeps its distance, and with it the risk.
        """
        if pending is None or not (pending.timed_out and ticket.settled) or pending.intent is None:
            return []
        pending.timed_out = False
        index, plan, sign = self._instruments.index[ticket.symbol], pending.plan, pending.plan.sign
        qty, price = floor_to(ticket.left, self._instruments.sizes[index][0]), self._market.close(index)
        held = self._account.books.positions.get(ticket.symbol)
        has_ended = ticket.filled > 0.0 and (held is None or held.exit_reason is not None)
        if has_ended or not qty > 0.0:
            return []
        if not self._market.is_past:
            self._account.mark(self._market.closes)
        intent = msgspec.structs.replace(
            pending.intent, intent_id=ids.rest_intent_id(plan.intent_id), qty=qty, reference_price=price,
            created_ns=now_ns, stop_price=planned_stop(sign, price, plan.atr, plan.stop_atr),
            expires_ns=now_ns + self._policy.settings.intent_ttl_s * NS_PER_SECOND,
        )
        view = self._view(index, self._market.row(index), now_ns, self._market.now_ns, held)
        verdict = can_execute(
            intent, view, self._instruments[index], self._policy.settings.limits, self._instruments.tiers[index]
        )
        if not isinstance(verdict, Approved):
            self._records.afterwards(self._record_denied, verdict)
            return [] if held is not None else self._failed(intent, verdict.reason.value, now_ns)
        self.orders.pending[ticket.symbol] = Pending(
            plan=msgspec.structs.replace(plan, intent_id=intent.intent_id),
            margin=verdict.qty * price / plan.leverage, expires_ns=intent.expires_ns,
        )
        self._account.note_order(now_ns)
        self._records.record("trade.intent", intent.trace_id, now_ns, self._with_policy_hash(intent))
        return self._records.outgoing(self._gateway.open(verdict))

    # ------------------------------------------------------------------ signals

    def take_all(self, commands: list[Command]) -> None:
        """Take the moment's signals, in the order of their symbols."""
        while self.due:
            self._take_next(commands)

    def take_until_order(self, commands: list[Command]) -> None:
        """Take the moment's signals until one of them has something to send."""
        before = len(commands)
        while self.due and len(commands) == before:
            self._take_next(commands)

    def _take_next(self, commands: list[Command]) -> None:
        index = self.due.pop(0)
        symbol = self._instruments.symbols[index]
        self._supervise("signal", symbol, self._market.now_ns, self._take_signal, index, commands)

    def _take_signal(self, index: int, commands: list[Command]) -> None:
        """Pass a symbol's signal through gates, sizing and guard, and record the result.

        A model's target that is refused again for the same reason is no new signal.
        """
        now_ns, of_model = self._market.now_ns, self._market.forecasts is not None
        sign, confidence = self._market.signal(index)
        used, made_ns = self._policy.used(index), self._tracing.now()
        exits, added_to = self._market.exit_plan(index, used.exit_code), self._added_to(index, sign)
        answer = self._pilot.answer(index, sign, self._over_horizon(index, confidence))
        sure = boosted(confidence, answer.bonus)
        judgement = self.gates.judge(index, sign, sure, used.min_confidence)
        code = self._gate(index, sign, sure, exits.atr, used, adds=added_to is not None)
        if code == ROAD_APPROVED or (code in (ROAD_HELD, ROAD_PENDING) and self._is_pilots(index)):
            code = answer.road or code
        code = code or judgement.road
        if code == ROAD_FLIP and not self._is_new(index, now_ns):
            commands += self._close_opposite(index, now_ns)
        if of_model and code in (ROAD_FLIP, ROAD_PENDING):
            self.targets.waits(index)
        if code != ROAD_APPROVED and of_model and self.targets.is_refused_again(index, sign, code, 0):
            return
        row, open_count = self._market.row(index), self.orders.count - (added_to is not None)
        row[col.SIGNAL] = float(sign)
        quantity = self._target_quantity(index, row, exits, self.risk_factor(index)) * answer.size
        request = self._request(index, sign, row, used, exits, added_to, quantity, answer.size)
        view, decision = self._view(index, row, now_ns, now_ns, added_to), None
        if code == ROAD_APPROVED:
            decision = self._decide(index, request, view)
        if added_to is not None and decision and decision.road == ROAD_SIZE:
            return
        if of_model and decision and self.targets.is_refused_again(index, sign, decision.road, decision.guard):
            return
        self._signals += 1
        self._records.tally.signals += 1
        self._records.tally.last_signal_ns = now_ns
        seq, symbol_good = self._signals, self._policy.symbol_is_good(index)
        self._signal_records.models.given(index, seq)
        self._records.afterwards(self._signal_records.record, seq, index, row, now_ns, made_ns)
        self._record_inputs(seq, index, sure, exits, used, answer, judgement, request, view, added_to)
        self._tracing.step("gates", ROAD_REASONS.get(code, "OK"), ids.signal_trace_id(seq))
        figures = judgement.refusal if code == judgement.road != ROAD_APPROVED else (0.0, 0.0)
        refusal = (ROAD_REASONS.get(code, ""), *figures)
        if decision is not None:
            refusal = self._enter(seq, index, sign, row, used, exits, decision, answer, commands)
        self._records.afterwards(
            self._record_decision, seq, index, row, refusal, used, open_count, symbol_good, now_ns, added_to is None,
            self._market.shadow_terms(
                index, self._policy.settings.volatility_target_pct, self._policy.fixed[1].risk_pct
            ), judgement,
        )

    def _added_to(self, index: int, sign: int) -> Position | None:
        """The position of *sign* that a symbol's target wants larger; None where it does not."""
        position = self._account.books.positions.get(self._instruments.symbols[index])
        can_grow = position is not None and self._market.wanted is not None and may_grow(position)
        return position if position is not None and can_grow and position.sign == sign else None

    def _target_quantity(self, index: int, row: list[float], exits: ExitPlan, factor: float) -> float:
        """What a model's target wants held in all, base units, at the share *factor* of the volatility target.

        Infinite where the risk alone decides.
        """
        if not exits.by_score:
            return math.inf
        target_pct = self._policy.volatility_pct * factor
        return float(volatility_quantity(
            self._market.least_notional(index), target_pct, self._account.equity, row[col.CLOSE]
        ))

    def _request(
        self, index: int, sign: int, row: list[float], used: Settings, exits: ExitPlan, added_to: Position | None,
        quantity: float, size: float = 1.0,
    ) -> EntryRequest:
        """What an entry, or an addition, asks of sizing.

        *quantity*: to hold in all. *size*: times the permitted risk, where that alone decides the quantity.
        """
        factor = self.risk_factor(index)
        request = EntryRequest(
            sign=sign, price=row[col.CLOSE], atr=exits.atr, stop_atr=exits.stop_atr, risk_pct=used.risk_pct,
            factor=factor if exits.by_score else factor * size, leverage=self._policy.settings.leverage,
            quantity=quantity,
        )
        if added_to is not None:
            request = request._replace(
                held_qty=added_to.qty, held_entry=added_to.entry_price, held_stop=added_to.stop,
                atr=added_to.plan.atr, stop_atr=added_to.plan.stop_atr, leverage=added_to.plan.leverage,
            )
        return request

    def _decide(self, index: int, request: EntryRequest, view: AccountView) -> EntryDecision:
        """Size what the gates let through, and ask the guard."""
        return decide_entry(
            request, self._instruments.sizes[index],
            market_row(view, self._expires_ns(), request.sign, request.price), view.row(), self._limit_row(index),
            self._instruments.tier_tables[index],
        )

    def _enter(
        self, seq: int, index: int, sign: int, row: list[float], used: Settings, exits: ExitPlan,
        decision: EntryDecision, answer: SignalAnswer, commands: list[Command],
    ) -> Refusal:
        """Send the order of signal *seq* where sizing and guard allow it."""
        self._tracing.step("sizing", ROAD_REASONS.get(decision.road, "OK"), ids.signal_trace_id(seq))
        if decision.road != ROAD_APPROVED:
            return ROAD_REASONS[decision.road], decision.wanted, 0.0
        intent = self._intent(index, sign, row, used, decision, answer.source or self._source)
        intent = msgspec.structs.replace(
            intent, intent_id=ids.signal_intent_id(seq), trace_id=ids.signal_trace_id(seq),
        )
        if answer.bonus > 0.0:
            intent = _with_bonus(intent, answer.bonus)
        return self._open(
            judged(intent, decision[4:]), index, used, exits, self._market.now_ns, commands, size=answer.size
        )

    def enter(self, wish: EntryWish, commands: list[Command]) -> Refusal:
        """Take an entry, or an addition, of a source beside the signals: gates, sizing, guard, then one order."""
        index, used, row = wish.place, self._policy.used(wish.place), self._market.row(wish.place)
        code = self._gate(
            index, wish.sign, wish.confidence, wish.exits.atr, used, adds=wish.added_to is not None
        ) or self.gates.refuses(index, wish.confidence, used.min_confidence)
        if code != ROAD_APPROVED:
            return ROAD_REASONS[code], 0.0, 0.0
        cost_in_r = self._market.cost_in_r(index, wish.exits.stop_atr * wish.exits.atr, wish.hours)
        now_ns = self._market.now_ns
        decision = self._decide(
            index, self._request(index, wish.sign, row, used, wish.exits, wish.added_to, wish.quantity),
            self._view(index, row, now_ns, now_ns, wish.added_to, cost_in_r),
        )
        if decision.road != ROAD_APPROVED:
            return ROAD_REASONS[decision.road], decision.wanted, 0.0
        intent = msgspec.structs.replace(
            self._intent(index, wish.sign, row, used, decision, wish.source),
            intent_id=wish.intent_id, trace_id=wish.trace_id, confidence=wish.confidence,
        )
        if wish.bonus > 0.0:
            intent = msgspec.structs.replace(intent, consensus_bonus=wish.bonus)
        verdict = judged(intent, decision[4:])
        return self._open(verdict, index, used, wish.exits, self._market.now_ns, commands, wish.owner, wish.share)

    @property
    def intent_life_ns(self) -> int:
        """For how long an intent may be acted on."""
        return self._policy.settings.intent_ttl_s * NS_PER_SECOND

    def _expires_ns(self) -> int:
        """When an intent made at this moment expires."""
        return self._market.now_ns + self.intent_life_ns

    def standing_signal(self, index: int) -> tuple[int, float]:
        """Direction and confidence, over the pilot's horizon, of what the signals want of a symbol; (0, 0.0): nothing.

        Of models that is their target, of the ensemble a signal of this moment. One below the confidence in force wants
        nothing, nor does a target that a stop has ended.
        """
        sign, confidence = self._market.standing_signal(index)
        if not sign or confidence < self._policy.used(index).min_confidence or self.targets.is_stopped_out(index):
            return 0, 0.0
        return sign, self._over_horizon(index, confidence)

    def _over_horizon(self, index: int, confidence: float) -> float:
        """A signal's *confidence* over the pilot's horizon, where the two are compared."""
        if self._pilot.mode is not PilotMode.HYBRID:
            return confidence
        return self._market.confidence_over(index, confidence, self._pilot.horizon_days)

    def _intent(
        self, index: int, sign: int, row: list[float], used: Settings, decision: EntryDecision, source: str
    ) -> Intent:
        """The intent of an entry that was sized, without its ids."""
        return Intent(
            intent_id="", trace_id="",
            symbol=self._instruments.symbols[index], side=Side.LONG if sign > 0 else Side.SHORT, qty=decision.wanted,
            reduce_only=False, reference_price=row[col.CLOSE], stop_price=decision.stop, leverage=decision.leverage,
            created_ns=self._market.now_ns, expires_ns=self._expires_ns(), source=source, risk_pct=used.risk_pct,
            confidence=row[col.CONFIDENCE], policy_hash=self._policy.deciding_hash,
        )

    def _gate(
        self, index: int, sign: int, confidence: float, atr: float, used: Settings, *, adds: bool = False
    ) -> int:
        """The ROAD code of the gates before sizing; an addition to a position counts as no further one.

        A signal does not reverse a position that a person, another client or the pilot opened: it counts as held on
        either side.
        """
        symbol = self._instruments.symbols[index]
        if adds:
            return int(gate(sign, confidence, atr, 0, int(symbol in self.orders.pending), self.orders.count - 1, used))
        position = self._account.books.positions.get(symbol)
        held = position.plan.sign if position is not None else 0
        code = int(gate(sign, confidence, atr, held, int(symbol in self.orders.pending), self.orders.count, used))
        return ROAD_HELD if code == ROAD_FLIP and _is_kept(position) else code

    def _is_pilots(self, index: int) -> bool:
        """Whether the pilot holds a symbol's position, or its opening order is on its way."""
        symbol = self._instruments.symbols[index]
        holder = self._account.books.positions.get(symbol) or self.orders.pending.get(symbol)
        return holder is not None and holder.plan.owner == PILOT

    def _close_opposite(self, index: int, now_ns: int) -> list[Command]:
        """Close the position that a signal or intent points against, unless it is closing already."""
        position = self._account.books.positions[self._instruments.symbols[index]]
        if position.exit_reason is not None:
            return []
        return self._protection.close(position, ExitReason.SIGNAL_FLIP, now_ns)

    def _is_new(self, index: int, now_ns: int) -> bool:
        """Whether a symbol's position was opened no earlier than the moment of *now_ns*."""
        return now_ns <= self._account.books.positions[self._instruments.symbols[index]].entry_ns

    def _open(
        self, verdict: Approved | Refused, index: int, used: Settings, exits: ExitPlan, now_ns: int,
        commands: list[Command], owner: str = "", share: float = 0.0, size: float = 1.0,
    ) -> Refusal:
        """Plan the position of an approved intent with the *exits* that were judged, and send its order.

        *size*: times the volatility target that the position is sized for.
        """
        if not isinstance(verdict, Approved):
            self._tracing.step("risk", verdict.reason.value, verdict.intent.trace_id)
            self._records.afterwards(self._record_denied, verdict)
            return verdict.reason.value, verdict.observed, verdict.limit
        self._tracing.step("risk", "OK", verdict.intent.trace_id)
        price = self._plan(index, verdict, exits, used, now_ns, owner, share, size)
        commands += self._records.outgoing(self._gateway.open(verdict, price))
        self._tracing.step("order", "OK", verdict.intent.trace_id)
        return _SENT

    def risk_factor(self, index: int) -> float:
        """The share of the permitted risk that a symbol's record and the governor's level leave."""
        if self._policy.settings.ungated:
            return 1.0
        return self._symbol_factor(index) * float(level_factors(self._account.governor_level)[0])

    def _symbol_factor(self, index: int) -> float:
        """The share of the permitted risk that a symbol's record leaves."""
        if self._policy.settings.ungated:
            return 1.0
        return float(self._account.performance.rows[index, perf.RISK_FACTOR])

    def _limit_row(self, index: int) -> tuple[float, ...]:
        """The guard's limits, tightened by the policy's where position limits are enforced."""
        positions, exposure_pct = self._policy.limits(index)
        return self._policy.settings.limits.row(policy_positions=positions, policy_exposure_pct=exposure_pct)

    def _view(
        self, index: int, row: list[float], now_ns: int, data_ns: int, added_to: Position | None = None,
        cost_in_r: float | None = None,
    ) -> AccountView:
        """The account and market as the guard sees them; *data_ns* is when the newest bars were complete.

        *cost_in_r*: of a round trip with a stop of its own; None: with the signals' stop.
        """
        account, halts = self._account, self._halts
        rolling, midnight = account.losses_pct()
        used_margin = ordered_sum(p.margin for p in account.books.positions.values())
        used_margin += ordered_sum(p.margin for p in self.orders.pending.values())
        positions, exposure_pct = self._policy.limits(index)
        return AccountView(
            now_ns=now_ns, equity=account.equity, used_margin=used_margin, open_positions=self.orders.count,
            position_qty=added_to.sign * added_to.qty if added_to is not None else 0.0,
            position_entry=added_to.entry_price if added_to is not None else 0.0,
            data_ns=data_ns - self._market.late_ns - int(row[col.MARKET_AGE] * self._market.interval_ns),
            cost_in_r=float(self._market.costs[index]) if cost_in_r is None else cost_in_r,
            kill=halts.kill_switch, connected=halts.connected,
            symbol_halted=self._market.is_halted(index) or self._instruments.symbols[index] in halts.locks,
            governor=account.governor_level,
            policy_positions=positions, policy_exposure_pct=exposure_pct,
            rolling_pnl_pct=rolling, midnight_pnl_pct=midnight, loss_latched=account.loss_latched,
            orders_last_hour=account.orders_last_hour(now_ns),
        )

    def _plan(
        self, index: int, approved: Approved, exits: ExitPlan, used: Settings, now_ns: int, owner: str, share: float,
        size: float,
    ) -> float:
        """Keep the plan of the position until its fill comes, and count the order.

        Returns the price at which an entry from flat rests post-only; 0.0: the order goes at market.
        """
        intent = approved.intent
        by_signals = ids.is_signal_intent(intent.intent_id)
        plan = Plan(
            intent_id=intent.intent_id, trace_id=intent.trace_id, sign=intent.side.sign, leverage=intent.leverage,
            atr=exits.atr, stop_atr=exits.stop_atr, target_atr=exits.target_atr, breakeven_r=exits.breakeven_r,
            trail_atr=exits.trail_atr, max_hours=exits.max_hours, exit_mode=used.exit_code,
            confidence=intent.confidence, policy_hash=intent.policy_hash,
            model=self._signal_records.model if by_signals else intent.source,
            regime=self._market.regime_name(index), by_score=exits.by_score,
            volatility_pct=self._policy.volatility_pct * size if exits.by_score and not owner else 0.0,
            permitted_risk=self._account.equity * used.risk_pct / 100.0 if exits.by_score else 0.0,
            owner=owner, share=share,
            model_id=self._pilot.model if owner == PILOT else self._market.model_id if by_signals else "",
        )
        margin = approved.qty * intent.reference_price / intent.leverage
        adds = intent.symbol in self._account.books.positions
        pending = self.orders.pending[intent.symbol] = Pending(
            plan=plan, margin=margin, expires_ns=intent.expires_ns, added_stop=intent.stop_price if adds else 0.0
        )
        price, bars = 0.0, self._policy.settings.maker_entry_bars
        if bars > 0 and not adds and not owner:
            price = resting_price(plan.sign, self._market.close(index), self._instruments[index].tick_size)
            pending.rests_until_ns, pending.intent = self._market.now_ns + bars * self._market.interval_ns, intent
        self._account.note_order(now_ns)
        self._records.tally.intents += 1
        self._records.afterwards(self._record_intent, intent, plan)
        return price

    # ------------------------------------------------------------------ intents from outside

    def take_intent(self, intent: Intent, now_ns: int) -> list[Command]:
        """Take an intent from outside the signals (a pilot, a person's strategy) the same way.

        A reducing intent closes the whole position and is never gated. An opening one meets gates, guard and governor;
        its quantity is clipped to the risk per trade that a signal would get, measured at its own stop (without one:
        at the stop of its symbol's regime), and that stop is the one placed. Refused or expired, it ends as
        ``trade.failed``. The same intent id twice is one order.
        """
        index = self._instruments.index.get(intent.symbol)
        if index is None:
            return self._failed(intent, UNKNOWN_SYMBOL, now_ns)
        position = self._account.books.positions.get(intent.symbol)
        if intent.reduce_only:
            if position is None:
                return self._failed(intent, ROAD_REASONS[ROAD_NO_POSITION], now_ns)
            return self._protection.close(position, position.exit_reason or ExitReason.INTENT, now_ns)
        if self._gateway.is_claimed(intent.intent_id):
            return []
        if not self._market.is_past:
            self._account.mark(self._market.closes)
        row, used = self._market.row(index), self._policy.used(index)
        code = self._gate(index, intent.side.sign, intent.confidence, row[col.ATR_1H], used)
        code = code or self.gates.refuses(index, intent.confidence, used.min_confidence)
        if code == ROAD_FLIP:
            return self._close_opposite(index, now_ns) + self._failed(intent, ROAD_REASONS[code], now_ns)
        if code != ROAD_APPROVED:
            return self._failed(intent, ROAD_REASONS[code], now_ns)
        sized, exits = self._sized(intent, index, used)
        commands: list[Command] = []
        data_ns = min(now_ns, self._market.now_ns + self._market.interval_ns)  # until the next bar is due
        verdict = can_execute(
            sized, self._view(index, row, now_ns, data_ns), self._instruments[index], self._policy.settings.limits,
            self._instruments.tiers[index],
        )
        reason, _, _ = self._open(verdict, index, used, exits, now_ns, commands)
        return self._failed(intent, reason, now_ns) if reason else commands

    def _sized(self, intent: Intent, index: int, used: Settings) -> tuple[Intent, ExitPlan]:
        """*intent* clipped to the risk a signal would get, with its stop; and its regime's exits with that stop."""
        exits = self._market.regime_plan(index)
        qty, stop, stop_atr = size_intent(
            intent.side.sign, intent.qty, intent.reference_price, intent.stop_price, exits.atr, exits.stop_atr,
            self._account.equity, used.risk_pct, self.risk_factor(index),
        )
        return msgspec.structs.replace(intent, qty=qty, stop_price=stop), exits._replace(stop_atr=stop_atr)

    def _failed(self, intent: Intent, reason: str, now_ns: int) -> list[Command]:
        self._records.record("trade.failed", intent.trace_id, now_ns, FailedIntent(
            intent_id=intent.intent_id, symbol=intent.symbol, reason=reason, source=intent.source,
        ))
        return []

    # ------------------------------------------------------------------ records

    def record_models(self) -> None:
        """Record what the models say at this moment, once its signals are taken, where they have decided."""
        self._signal_records.models.record(self._policy.settings.signals.edge)

    def _record_inputs(
        self, seq: int, index: int, confidence: float, exits: ExitPlan, used: Settings, answer: SignalAnswer,
        judgement: GateJudgement, request: EntryRequest, view: AccountView, added_to: Position | None,
    ) -> None:
        """Record what the gates say of signal *seq*, and everything that the decision on it is made of."""
        policy, meta_label = self._policy, self.gates.meta_label
        self.gates.counts.add(judgement)
        target = self._target_quantity(index, self._market.row(index), exits, 1.0) * answer.size
        alone = self._over_horizon(index, self._market.signal(index)[1])  # without the bonus of a consensus
        judged_gates = gates_judged(
            ids.signal_id(seq), self._instruments.symbols[index], judgement, self._market.regime_name(index),
            request.price, meta_label.model_id if meta_label is not None else "",
        )
        inputs = DecisionInputs(
            signal_id=ids.signal_id(seq), symbol=self._instruments.symbols[index], ts_ns=self._market.now_ns,
            sign=request.sign, confidence=confidence, atr=exits.atr, position=self._position_state(index, added_to),
            used=numbers(used), fixed=numbers(policy.fixed[policy.symbol_is_good(index)]),
            switches=tuple(int(one) for one in policy.switches) if policy.enforces else (0,) * 6,
            pilot_road=answer.road, gates=numbers(judgement.inputs), gate_limits=numbers(judgement.limits),
            gates_enforced=judgement.enforced, request=numbers(request._replace(quantity=0.0)),
            quantity=request.quantity if math.isfinite(request.quantity) else None,
            sizes=numbers(self._instruments.sizes[index]),
            market=market_row(view, self._expires_ns(), request.sign, request.price), account=view.row(),
            limits=self._limit_row(index), tiers=tuple(map(tuple, self._instruments.tier_tables[index].tolist())),
            symbol_factor=self._symbol_factor(index), target_quantity=target if math.isfinite(target) else None,
            pilot=self._pilot.compared(index, alone),
        )
        self._records.afterwards(
            self._signal_records.record_inputs, ids.signal_trace_id(seq), index, judged_gates, inputs
        )

    def _position_state(self, index: int, added_to: Position | None) -> PositionState:
        """What the account holds and has on its way of a symbol, as the gates see it."""
        symbol = self._instruments.symbols[index]
        position = self._account.books.positions.get(symbol)
        return PositionState(
            sign=position.plan.sign if position is not None else 0, pending=int(symbol in self.orders.pending),
            open_count=self.orders.count, adds=added_to is not None, is_kept=_is_kept(position),
            is_pilots=self._is_pilots(index),
        )

    def _record_decision(
        self, seq: int, index: int, row: list[float], refusal: Refusal, used: Settings, open_count: int,
        symbol_good: int, now_ns: int, is_entry: bool, shadow: ShadowTerms | None, judgement: GateJudgement,
    ) -> None:
        """Record the decision on signal number *seq*, give the policy's verdict, and start an entry's shadow trade."""
        signal = self._signal_records.signal(seq, index, row, now_ns)
        reason, observed, limit = refusal
        if reason:
            self._records.tally.refusals[reason] += 1
            if self._market.forecasts is not None:
                self._records.tally.refuse(now_ns, signal.symbol, reason)
        hours = 0.0
        if is_entry:
            hours = self._judging.open_shadow(
                seq, index, row, signal.action.sign, shadow, traded=not reason, gates=judgement.bits
            )
        decision = SignalDecision(
            signal_id=signal.signal_id, symbol=signal.symbol, action=signal.action.value,
            confidence=signal.confidence, decision="BLOCKED" if reason else "ALLOWED", reason=reason,
            observed=observed, limit=limit, features_ts_ns=signal.features_ts_ns,
            min_confidence_used=used.min_confidence, risk_pct_used=used.risk_pct, shadow_hours=hours,
        )
        self._records.record("signal.decided", signal.trace_id, signal.ts_ns, decision)
        if self._policy.settings.policy_enabled:
            self._shield.run(self._judging.judge, seq, index, signal, decision, open_count, symbol_good)
        self._tracing.recorded(signal.trace_id, reason)

    def _record_denied(self, verdict: Refused) -> None:
        intent = self._with_policy_hash(verdict.intent)
        denied = msgspec.structs.replace(verdict, intent=intent)
        self._records.record("risk.denied", intent.trace_id, intent.created_ns, denied)

    def _record_intent(self, intent: Intent, plan: Plan) -> None:
        intent = self._with_policy_hash(intent)
        plan.policy_hash = self._policy.deciding_hash
        self._records.record("trade.intent", intent.trace_id, intent.created_ns, intent)

    def _with_policy_hash(self, intent: Intent) -> Intent:
        """*intent* with the hash of what decided it, which may not have been known when it was made."""
        deciding_hash = self._policy.deciding_hash
        if not ids.is_own_entry(intent.intent_id) or intent.policy_hash == deciding_hash:
            return intent
        return msgspec.structs.replace(intent, policy_hash=deciding_hash)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "pending": {symbol: msgspec.to_builtins(pending) for symbol, pending in self.orders.pending.items()},
            "signals": self._signals, **self.targets.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.orders.pending = {symbol: msgspec.convert(plain, Pending) for symbol, plain in state["pending"].items()}
        self._signals = state["signals"]
        self.targets.load_state(state)


def _with_bonus(intent: Intent, bonus: float) -> Intent:
    """*intent* with the confidence that a consensus raises by *bonus*, which it states apart."""
    return msgspec.structs.replace(
        intent, confidence=boosted(intent.confidence, bonus), consensus_bonus=bonus
    )


def _is_kept(position: Position | None) -> bool:
    """Whether a signal does not reverse *position*: a person, another client or the pilot opened it."""
    return position is not None and (position.plan.model == ADOPTED or position.plan.owner == PILOT)
