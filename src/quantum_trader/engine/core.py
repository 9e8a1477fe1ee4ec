"""The engine: events in, commands and records out, no I/O.

It reads no clock (time comes with the event), no environment, no disk and no network, and draws no random number. The
same engine replays a recording and trades a live account; a live one is given a :class:`LiveAccount`. Everything it
holds can be taken out with ``state`` and put back with ``load_state``.

This module holds the control flow. The parts own the facts: ``account`` the books and every remembered equity,
``market`` what the bars say, ``policy`` the policy in force, ``halts`` what closes openings, ``opening`` signals and
intents, ``piloting`` the pilot, ``protection`` stops and exits, ``judging`` shadow trades and evidence, ``adopting``
and ``money`` what the venue knows better.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import ExitReason, OrderStatus
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Fill, FundingPayment, Intent, OrderUpdate
from quantum_trader.engine import stage
from quantum_trader.engine.account import Account
from quantum_trader.engine.adopting import Adopting, RefuseUnexplained, VenueTruth
from quantum_trader.engine.books import closing_side
from quantum_trader.engine.exit_shadows import ExitShadows
from quantum_trader.engine.facts import BarsRecord, HoleNotice, RunEnded, SessionContinued
from quantum_trader.engine.fills import Fills
from quantum_trader.engine.gateway import Command, Gateway, Purpose, Ticket
from quantum_trader.engine.halts import Halts
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.judging import Judging
from quantum_trader.engine.market import Market
from quantum_trader.engine.model_use import ModelUse
from quantum_trader.engine.money import Money
from quantum_trader.engine.opening import Opening
from quantum_trader.engine.pilot_stance import PilotStance
from quantum_trader.engine.piloting import RLv3LiveOrchestrator
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.ports import DecisionTracing, PilotSource, PolicyWatcher, RecordSink
from quantum_trader.engine.protection import Protection
from quantum_trader.engine.reconciliation import RecentIds, Reconciler, VenueSnapshot
from quantum_trader.engine.recorder import RUN
from quantum_trader.engine.records import Records
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.signal_gates import MetaLabel, SignalGates
from quantum_trader.engine.supervision import HaltOnFailure, Shield, unsupervised
from quantum_trader.engine.tally import Tally
from quantum_trader.engine.tracing import Tracing
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import SlotPolicy
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

_EPSILON: Final = 1e-9  # share of a quantity that rounding may leave


class LiveAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What makes an engine a live account's: its venue may know better than its books.

    Trades made by hand are taken over (*adopt_quietly*: without halting openings), a failure on one position or signal
    halts openings and holds up no other, a record that cannot be kept is counted, and nothing opens before
    :meth:`Engine.begin`.
    """

    adopt_quietly: bool = True


class EngineParts(msgspec.Struct, frozen=True, kw_only=True):
    """The classes an engine is made of; tests and the simulation's broken variants replace some."""

    gateway: type[Gateway] = Gateway
    protection: type[Protection] = Protection
    seen: type[RecentIds] = RecentIds


PRODUCTION: Final = EngineParts()


class Engine:
    """One account's trading engine over a fixed list of symbols."""

    def __init__(
        self, instruments: Sequence[Instrument], interval_ns: int, settings: EngineSettings, sink: RecordSink,
        watcher: PolicyWatcher | None = None, tracer: DecisionTracing | None = None, *,
        live: LiveAccount | None = None, parts: EngineParts = PRODUCTION, forecasts: Forecasts | None = None,
        pilot: PilotSource | None = None, meta_label: MetaLabel | None = None,
    ) -> None:
        """*forecasts*: of the models that give the signals; without them the intraday ensemble does."""
        self.shield = Shield()  # around what observes
        self.instruments = Instruments(instruments)
        self.records = Records(sink, Tally(), supervised=live is not None)
        self.gateway = parts.gateway(self.instruments)
        slots = SlotPolicy(settings.profile, self.instruments.symbols)
        self.account = Account(
            self.instruments.symbols, settings.start_equity, int(slots.profile[pol.PROFILE_RECOVERY_AFTER]), slots.mem
        )
        self.halts = Halts(self.records, self.account)
        supervise = unsupervised if live is None else HaltOnFailure(self.shield, self.halt)
        self.market = Market(self.instruments, interval_ns, settings, self.records, self.halts, supervise, forecasts)
        self.policy = PolicyInForce(slots, settings, self.account, self.records, self.shield, watcher)
        self.seen = parts.seen()
        self.reconciler = Reconciler()
        self.tracing = tracing = Tracing(tracer, self.records)
        self.judging = Judging(
            self.market, self.account, self.policy, self.records, self.shield, self.instruments.symbols,
            ExitShadows(
                interval_ns, [i.taker_fee_bps for i in instruments], self.instruments.ticks, settings.trail_step_atr
            ),
        )
        self.protection = parts.protection(
            self.account, self.gateway, self.instruments, self.records, self.halts, supervise, self.reconciler,
            settings.trail_step_atr,
        )
        stance = PilotStance(len(self.instruments.symbols))
        gates = SignalGates(self.market, self.account, self.judging, self.records, settings, meta_label)
        self.opening = Opening(
            self.market, self.account, self.policy, self.halts, self.protection, self.judging, self.gateway,
            self.instruments, self.records, tracing, self.shield, supervise, stance, gates,
        )
        self.piloting = RLv3LiveOrchestrator(
            pilot, interval_ns, stance, self.market, self.account, self.policy, self.opening, self.protection,
            self.instruments, self.records, supervise,
        )
        self.models = ModelUse(self.market, self.piloting, self.judging, self.records)
        self.fills = Fills(
            self.account, self.opening, self.protection, self.judging, self.market, self.gateway, self.halts,
            self.records, tracing,
        )
        self.money = Money(
            self.account, self.market, self.halts, self.records, self.reconciler, self.seen,
            settings.wallet_halt_share,
        )
        self.adopting: VenueTruth = RefuseUnexplained()
        if live is not None:
            self.adopting = Adopting(
                self.account, self.market, self.instruments, self.opening, self.protection, self.fills, self.money,
                self.policy, self.gateway, self.halts, self.records, self.reconciler, self.seen,
                quietly=live.adopt_quietly,
            )
        self.halts.started = live is None
        self.last_event_ns = 0

    # ------------------------------------------------------------------ completed bars

    def on_batch(self, batch: MarketBatch) -> list[Command]:
        """Process the completed bars of one moment as one batch; returns the commands to be sent."""
        commands = self._take_bars(batch, 0)
        self.opening.take_all(commands)
        self.records.afterwards(self.opening.record_models)
        self.records.afterwards(self.judging.learn, self.market.now_ns)
        return commands

    def on_bars(self, batch: MarketBatch, received_ns: int) -> list[Command]:
        """Take completed bars that were there at *received_ns*; bars that come late open nothing.

        It returns with what open positions need and the first order of a signal; :meth:`more` goes on from there.
        Records and observers wait for :meth:`record_bars`.
        """
        self.records.bars = (batch, received_ns)
        self.records.defer()
        commands = self._take_bars(batch, max(0, received_ns - batch.ts_ns - batch.interval_ns))
        self._take_signals(commands)
        return commands

    def _take_bars(self, batch: MarketBatch, late_ns: int) -> list[Command]:
        """Take a moment's bars up to its signals: measures, limits, policy, orders on their way, open positions."""
        market, account, records, policy = self.market, self.account, self.records, self.policy
        self.tracing.moment()
        since_ns = market.now_ns
        batch = market.screened(batch, late_ns)
        closes_before = market.closes.copy() if market.is_past else None
        now_ns, costs_bps = market.now_ns, market.taker_costs
        costs_before = costs_bps.copy() if self.piloting.is_there else None
        rates = market.funding_due(batch.ts_ns)
        records.afterwards(
            self.judging.move_shadows, batch, costs_bps.copy() if records.deferring else costs_bps, rates
        )
        signals = market.advance(batch)
        if (new_targets := market.new_targets()) is not None:
            records.afterwards(self.judging.follow_targets, *new_targets)
        if closes_before is None:
            account.mark(market.closes)
        else:
            account.follow(closes_before, market.closes, since_ns)
        stage_row = account.stage_row(self.halts.health)
        self._step_limits(stage_row, now_ns)
        if policy.settings.policy_enabled:
            if policy.enforces:
                policy.step(now_ns, stage_row, market.kernel.out)
            else:
                records.afterwards(policy.step, now_ns, stage_row, market.kernel.out)
        commands = self.opening.orders.expire(now_ns) if self.opening.orders.pending else []
        if account.books.positions:
            commands += self.protection.manage(batch, market.closes, now_ns, market.wanted, policy.volatility_pct)
        if costs_before is not None:
            commands += self.piloting.take(batch, costs_before, rates)
        else:
            commands += self.piloting.leave_all()
        orders = self.opening.orders
        self.opening.due = self.opening.targets.due(signals, orders.on_their_way(), orders.count, self.money.began_ns)
        return commands

    def _step_limits(self, stage_row: Any, now_ns: int) -> None:
        """Step loss limits and governor, and measure every symbol."""
        account, market, halts = self.account, self.market, self.halts
        if self.settings.ungated:
            account.forget_losses()
        level_before = account.governor_level
        level, moved = stage.trading_stage(
            now_ns, stage_row, market.kernel.out, account.performance.rows, market.symbols, market.levels,
            market.costs, account.losses, self.settings.limits.daily_loss_pct, account.governor,
            self.policy.slots.inputs, market.regimes,
        )
        if moved:
            self.records.afterwards(market.record_regimes, now_ns)
        if level != level_before:
            halts.governor_moved(level_before, now_ns)
        if halts.locks:
            halts.end_locks(now_ns)
        if level or halts.in_force or account.loss_latched:
            halts.daily_loss_watched(now_ns)
            if halts.operator_is_due(now_ns, self.settings.operator_resume_hours):
                self.resume("simulated operator of the replay", now_ns)

    @property
    def decides(self) -> bool:
        """Whether signals of the newest bars are still due: until they are not, no other input may come."""
        return bool(self.opening.due)

    def more(self) -> list[Command]:
        """Go on with the signals that are due until there is something to send. One that fails is not due again."""
        commands: list[Command] = []
        if self.opening.due:
            self._take_signals(commands)
        return commands

    def _take_signals(self, commands: list[Command]) -> None:
        self.opening.take_until_order(commands)
        if not self.opening.due:
            self.records.afterwards(self.opening.record_models)
            self.records.afterwards(self.judging.learn, self.market.now_ns)

    def prepare_bar(self, ts_ns: int, index: int, bar: Any) -> None:
        """Measure a symbol's next bar (5,) before its moment is complete. Changes nothing that counts."""
        if not self.records.deferring:
            self.market.prepare(ts_ns, index, bar)

    def record_bars(self) -> None:
        """Write the records of the newest bars, once, before the next input; orders are sent before that."""
        self.records.catch_up()
        if self.records.bars is None:
            return
        (batch, received_ns), self.records.bars = self.records.bars, None
        rows = batch.present.nonzero()[0].tolist()
        self.note("market.bar", batch.ts_ns + batch.interval_ns, BarsRecord(
            symbols=[self.symbols[index] for index in rows], ohlcv=batch.ohlcv[rows].tolist(), received_ns=received_ns,
        ))

    def before_hole(self, symbol: str, ts_ns: int) -> None:
        """Note that *symbol*'s data ends here for more than a day; the venue will close what is held."""
        position = self.account.books.positions.get(symbol)
        if position is not None:
            position.exit_reason = ExitReason.DATA_HOLE
        self.judging.before_hole(self.instruments.index[symbol], ts_ns)
        self.piloting.before_hole(self.instruments.index[symbol], ts_ns)
        self.records.record("market.hole", "", ts_ns, HoleNotice(symbol=symbol))

    # ------------------------------------------------------------------ what a venue says

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Process one venue event; returns the commands to be sent."""
        self.last_event_ns = max(self.last_event_ns, event.ts_ns)
        self.market.heard(event.ts_ns)
        if not self.adopting.admits(event):
            return []
        if isinstance(event, Fill):
            return self._on_fill(event)
        if isinstance(event, OrderUpdate):
            return self._on_update(event)
        self.fills.pay_funding(event)
        return []

    def _on_fill(self, fill: Fill) -> list[Command]:
        self.records.record("order.filled", "", fill.ts_ns, fill)
        self.records.tally.fills.add(fill)
        if fill.fee_asset:
            self.money.on_fee_in_coin(fill)
        ticket = self.gateway.on_fill(fill)
        if ticket is not None and self.fills.is_opening(fill, ticket):
            return self.fills.opened(fill, ticket)
        position = self.account.books.positions.get(fill.symbol)
        reduces = position is not None and fill.side is closing_side(position.sign)
        if position is not None and reduces and fill.qty <= position.qty * (1.0 + _EPSILON):
            by_others = ticket is None and self.adopting.is_by_others(fill, position)
            return self.fills.reduced(fill, ticket.purpose if ticket is not None else None, by_others=by_others)
        return self.adopting.unexplained(fill)

    def _on_update(self, update: OrderUpdate) -> list[Command]:
        held = self.account.books.positions.get(update.symbol)
        ticket, retired = self.gateway.on_update(update, held.qty if held is not None else 0.0)
        self.records.record("order.updated", "", update.ts_ns, update)
        if ticket is None:
            return []
        if ticket.purpose is Purpose.OPEN:
            self._trace_opening(ticket, update)
        commands = self.records.outgoing(retired)
        if update.status in (OrderStatus.REJECTED, OrderStatus.CANCELED):
            commands += self._order_ended(ticket, update)
        position = self.account.books.positions.get(ticket.symbol)
        if position is not None and ticket.purpose is Purpose.STOP and ticket.resting:
            commands += self.protection.stop_acknowledged(position, ticket, update.ts_ns)
        if position is None and ticket.purpose is Purpose.OPEN and ticket.settled:
            commands += self.records.outgoing(self.gateway.cancel_kept_stops(ticket.symbol, update.ts_ns))
        self.opening.orders.forget(ticket)
        return commands

    def _trace_opening(self, ticket: Ticket, update: OrderUpdate) -> None:
        pending = self.opening.orders.pending.get(ticket.symbol)
        position = self.account.books.positions.get(ticket.symbol)
        plan = pending.plan if pending is not None else position.plan if position is not None else None
        if plan is not None:
            self.tracing.order_update(plan.trace_id, update)

    def _order_ended(self, ticket: Ticket, update: OrderUpdate) -> list[Command]:
        """Answer an order that was refused or cancelled."""
        if update.status is OrderStatus.CANCELED:
            self.adopting.order_cancelled(ticket, update)
        if ticket.purpose is Purpose.OPEN and ticket.settled:
            pending = self.opening.orders.pending.get(ticket.symbol)
            plan = self.opening.orders.forget(ticket)
            if commands := self.opening.rest_at_market(pending, ticket, update.ts_ns):
                return commands
            if update.filled_qty <= 0.0:
                self.records.record("trade.failed", plan.trace_id if plan else "", update.ts_ns, update)
        if update.status is not OrderStatus.REJECTED:
            return []
        position = self.account.books.positions.get(ticket.symbol)
        if position is not None and ticket.purpose is Purpose.STOP:
            return self.protection.stop_refused(position, update)
        return self.protection.refused(ticket, update)

    def on_snapshot(self, snapshot: VenueSnapshot) -> list[Command]:
        """Compare the books with the venue; what two looks in a row show alike is acted on."""
        self.market.heard(snapshot.ts_ns)
        return self.adopting.on_snapshot(snapshot)

    def on_transfer(self, amount: float, ts_ns: int, move_id: str = "") -> None:
        """Book money paid in or taken out at *ts_ns* (USDT, signed), once: no profit, no loss, no drawdown."""
        self.market.heard(ts_ns)
        self.money.on_transfer(amount, ts_ns, move_id)

    def on_health(self, level: int, connected: bool, reason: str, now_ns: int) -> None:
        """Take what system health calls for (a GOV_* code) into force at once, and whether the venue is reached."""
        self.halts.health_changed(level, connected, reason, now_ns)

    def note_filters(self, instrument: Instrument, now_ns: int) -> None:
        """Take the filters of a symbol as the venue has them now; what rests already stays."""
        if instrument.symbol not in self.instruments.index:
            raise InputError(f"symbol = {instrument.symbol!r}: is not traded here")
        self.instruments.change(instrument)
        self.piloting.take_filters()
        self.note("instrument.changed", now_ns, instrument)

    # ------------------------------------------------------------------ time, intents, people

    def attention(self, now_ns: int, busy: Collection[str] = ()) -> bool:
        """Whether :meth:`on_timer` would do anything; *busy* symbols have something on its way and are left alone."""
        return bool(self.opening.orders.expired(now_ns, busy)) or self.protection.needs_attention(now_ns, busy)

    def on_timer(self, now_ns: int, busy: Collection[str] = ()) -> list[Command]:
        """See to openings that expired, to positions that must close, and to those without a stop."""
        return self.opening.orders.cancel_expired(now_ns, busy) + self.protection.attend(now_ns, busy)

    def stopping(self, now_ns: int, busy: Collection[str] = ()) -> list[Command]:
        """Cancel the entries at rest: once the process is gone, nothing would put a stop behind their fills."""
        return self.opening.orders.cancel_at_rest(now_ns, busy)

    def on_intent(self, intent: Intent, now_ns: int) -> list[Command]:
        """Take an intent from outside the signals (a pilot, a person's strategy) the way of every signal.

        It is recorded before its effects, so that a replay finds it.
        """
        self.market.heard(now_ns)
        self.records.record("intent.received", intent.trace_id, now_ns, intent, RUN)
        return self.opening.take_intent(intent, now_ns)

    def flatten(self, now_ns: int, reason: ExitReason = ExitReason.FLATTEN) -> list[Command]:
        """Cancel what would open and close what is open, now and until :meth:`resume`; never gated."""
        return self.protection.flatten(now_ns, reason)

    def halt(self, reason: str, now_ns: int) -> None:
        """Stop all openings by command until :meth:`resume`; reducing and closing go on."""
        self.halts.halt(reason, now_ns)

    def resume(self, reason: str, now_ns: int) -> None:
        """End what waits for a person: a halt by command, a difference from the exchange, an EMERGENCY."""
        peak = self.account.peak
        self.halts.resume(reason, now_ns)
        if self.account.peak != peak:
            self.money.peak_was_reset()

    def set_integration(self, config: OrchestratorIntegrationConfig, change: Any, now_ns: int) -> None:
        """Put another policy mode or other switches into force; *change* says who asked and why."""
        self.policy.set_integration(config, change, now_ns)

    # ------------------------------------------------------------------ life

    def started(self, identity: Mapping[str, Any], ts_ns: int) -> None:
        """Record what this run is made of, at the open of its first bar; the first records of every run.

        *identity* may hold under ``aliases`` what a role's model was found by: the alias and the registry's version.
        """
        self.note("run.started", ts_ns, {"symbols": self.symbols, "interval_ns": self.interval_ns, **identity})
        self.models.begin(identity.get("aliases", {}), ts_ns)

    def begin(self, wallet: float, namespace: str, now_ns: int) -> None:
        """Start the books of a new live session with the money that is there."""
        self.halts.started = True
        self.gateway.namespace = namespace
        self.gateway.take_over("")
        self.money.begin(wallet, self.settings.start_equity, now_ns)

    def continue_as(self, process: str, now_ns: int) -> None:
        """Note that another process has taken the session over; its orders get ids of their own."""
        self.market.heard(now_ns)
        self.gateway.take_over(process)
        self.piloting.ask_again()
        self.note("session.continued", now_ns, SessionContinued(
            life=process, open_positions=len(self.account.books.positions)
        ))

    def ended(self, now_ns: int) -> None:
        """Record the books at the end of the data."""
        books = self.account.books
        self.note("run.ended", now_ns, RunEnded(
            equity=self.account.equity, cash=books.cash, trades=len(self.records.tally.trades),
            open_positions=len(books.positions),
        ))

    def note(self, topic: str, now_ns: int, data: Any) -> None:
        """Record something that happened around the engine."""
        self.records.record(topic, "", now_ns, data, RUN)

    @property
    def settings(self) -> EngineSettings:
        """What decides how it behaves."""
        return self.policy.settings

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols traded, in the order of every array's rows."""
        return self.instruments.symbols

    @property
    def interval_ns(self) -> int:
        """Length of the bars it decides on."""
        return self.market.interval_ns

    @property
    def now_ns(self) -> int:
        """Close of the newest bars."""
        return self.market.now_ns

    # ------------------------------------------------------------------ state

    def _stateful(self) -> dict[str, Any]:
        """The parts that have a state."""
        return {
            "instruments": self.instruments, "gateway": self.gateway, "account": self.account, "halts": self.halts,
            "market": self.market, "policy": self.policy, "judging": self.judging, "opening": self.opening,
            "protection": self.protection, "money": self.money, "adopting": self.adopting, "seen": self.seen,
            "reconciler": self.reconciler, "tally": self.records.tally, "piloting": self.piloting,
            "gates": self.opening.gates, "models": self.models,
        }

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            **{name: part.state() for name, part in self._stateful().items()},
            "seq": self.records.recorder.seq, "failures": self.shield.failures, "last_event_ns": self.last_event_ns,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`; the recorder is resumed by the owner of its lines.

        Raises StateError for a state of another version of this program.
        """
        state = {"piloting": {}, "gates": {}, "models": {}, **state}  # a folder of before there were these
        missing = [name for name in self._stateful() if name not in state]
        if missing:
            raise StateError(
                f"saved state without {', '.join(missing)}: written by another version of this program; start in a "
                "new --state folder"
            )
        for name, part in self._stateful().items():
            part.load_state(state[name])
        self.piloting.take_filters()
        self.shield.failures, self.last_event_ns = state["failures"], state["last_event_ns"]
