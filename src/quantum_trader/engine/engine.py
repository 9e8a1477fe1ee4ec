"""The engine: events in, commands and records out, no I/O.

It reads no clock (time comes with the event), no environment, no disk and no network, and draws no random number.
``on_event`` takes what a venue says, ``on_batch`` the completed bars of one moment; both return commands for the
gateway's driver. Everything it holds can be taken out with ``state`` and put back with ``load_state``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import (
    DIRECTION_CODES,
    EXIT_CODES,
    GOV_EMERGENCY,
    GOVERNOR_CODES,
    RISK_NONE,
    RISK_REDUCED,
    TAG_BAD,
    TREND_CODES,
    VOL_CODES,
    ExitReason,
    OrderStatus,
    Side,
    VolLevel,
)
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.policy import RiskState
from quantum_trader.domain.trading import Fill, FundingPayment, Intent, OrderRequest, OrderUpdate, Signal
from quantum_trader.engine import stage
from quantum_trader.engine.accounting import shadows_break_streak
from quantum_trader.engine.books import Books, Plan, Position, closing_side, opening_side
from quantum_trader.engine.exit_shadows import ExitShadows
from quantum_trader.engine.facts import (
    HaltNotice,
    HealthNotice,
    PolicyContext,
    PolicyVerdict,
    RegimeChange,
    ShadowResult,
    SignalDecision,
)
from quantum_trader.engine.gateway import Command, Gateway, Purpose
from quantum_trader.engine.ports import DecisionTracing, PolicyWatcher, RecordSink, Rejection
from quantum_trader.engine.recorder import ENGINE, POLICY, RUN, Recorder
from quantum_trader.engine.road import (
    ROAD_APPROVED,
    ROAD_FLIP,
    ROAD_REASONS,
    gate,
    planned_stop,
    shadow_bracket,
    size_entry,
)
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.engine.supervision import Shield
from quantum_trader.engine.tally import HaltEntry, Tally
from quantum_trader.market import performance as perf
from quantum_trader.market.jit import compiled
from quantum_trader.market.performance import SymbolPerformance
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import SlotPolicy
from quantum_trader.policy.core import vol_level
from quantum_trader.policy.enforcement import (
    SWITCH_EXIT_MODE,
    EffectiveSettings,
    OrchestratorIntegrationConfig,
    PolicyNumbers,
    effective,
    effective_settings,
    verdicts,
)
from quantum_trader.policy.ledger import RolloutLedger
from quantum_trader.policy.policy import TradingPolicy
from quantum_trader.policy.profiles import profile_vector
from quantum_trader.risk.exits import bracket, exit_row, next_stop, timed_out, would_trigger
from quantum_trader.risk.governor import (
    GOV_ROW_LEVEL,
    GOV_ROW_SINCE_S,
    empty_governor,
    governor_resume,
    governor_step,
    governor_trade,
    level_factors,
    operator_resumes,
)
from quantum_trader.risk.guard import AccountView, Approved, Refused, can_execute
from quantum_trader.risk.halts import BAD_TICKS_TO_HALT, GOOD_TICKS_TO_CLEAR, TICK_HALTED_SINCE, empty_ticks
from quantum_trader.risk.limits import (
    empty_losses,
    empty_rate,
    losses_latched,
    losses_pct,
    note_order,
    orders_last_hour,
)
from quantum_trader.risk.sizing import liquidation_price, tier_rows
from quantum_trader.signals import columns as col
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.models import MODEL_NAMES
from quantum_trader.signals.shadow import SHADOW_STOP, SHADOW_TARGET, SHADOW_TIMEOUT, ShadowBook

_losses_pct = compiled(losses_pct)
_note_order = compiled(note_order)
_orders_last_hour = compiled(orders_last_hour)

_SHADOW_EXITS: Final = {SHADOW_STOP: "STOP", SHADOW_TARGET: "TARGET", SHADOW_TIMEOUT: "TIMEOUT"}
UNKNOWN_REGIME: Final = "UNKNOWN UNKNOWN"
_ENSEMBLE: Final = "ENSEMBLE"  # the source of our own intents
_TRADED, _BLOCKED = 1, 2  # flags of a signal whose shadow is open
_NO_POLICY: Final = (1, 1, 0.0, 0.0, 0, 0)
_LOST_STOPS: Final = 3  # stops in a row that may get lost before the position is closed
_MATERIAL_RISK: Final = 0.01  # relative change of the permitted risk worth a record


class Pending(msgspec.Struct, kw_only=True):
    """An opening order on its way; *qty* is what is not filled yet."""

    plan: Plan
    margin: float
    qty: float
    expires_ns: int


class Engine:
    """One account's trading engine over a fixed list of symbols."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        interval_ns: int,
        settings: EngineSettings,
        sink: RecordSink,
        watcher: PolicyWatcher | None = None,
        tracer: DecisionTracing | None = None,
    ) -> None:
        self.settings = settings
        self.instruments = tuple(instruments)
        self.symbols = tuple(instrument.symbol for instrument in instruments)
        self._index = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._interval_ns = interval_ns
        self._tiers = tuple(tier_rows(instrument) for instrument in instruments)
        self._specs = tuple((i.step_size, i.min_qty, i.min_notional) for i in instruments)
        self._watcher = watcher
        self.tracer = tracer
        self._moment_ns = 0  # when the bars came, on the tracer's clock
        self.integration = settings.integration
        self.recorder = Recorder(sink)
        self.tally = Tally()
        self.shield = Shield()
        count = len(self.symbols)
        self.kernel = SignalKernel(
            self.symbols, interval_ns, settings.market, settings.signals, [i.tick_size for i in instruments]
        )
        self.shadows = ShadowBook(count, interval_ns)
        self.exit_shadows = ExitShadows(
            interval_ns, [i.taker_fee_bps for i in instruments], [i.tick_size for i in instruments],
            settings.trail_step_atr,
        )
        self.performance = SymbolPerformance(self.symbols)
        self.policy = SlotPolicy(settings.profile, self.symbols)
        self.ledger = RolloutLedger(settings.profile.name)
        self._profile = np.array(profile_vector(settings.profile))
        self.books = Books(settings.start_equity, int(self._profile[pol.P_RECOVERY_AFTER]))
        self.gateway = Gateway()
        self._start_counters(count)

    def _start_counters(self, count: int) -> None:
        """Set what is counted and remembered for *count* symbols to its beginning."""
        settings, instruments = self.settings, self.instruments
        self.governor: Any = np.array(empty_governor())
        self.losses: Any = np.array(empty_losses())
        self.rate: Any = np.array(empty_rate())
        self._day: Any = stage.new_day()
        self._book = np.zeros(stage.BOOK_SIZE)
        self.sym = np.zeros((count, stage.SYM_SIZE))
        self.sym[:, stage.SYM_FEE_BPS] = [i.taker_fee_bps for i in instruments]
        self.sym[:, stage.SYM_FUNDING] = settings.funding_rate_8h
        self.levels = np.zeros(count, dtype=np.int64)
        self.costs = np.full(count, np.inf)
        self._pending: dict[str, Pending] = {}
        self._shadow_flags: dict[int, int] = {}
        self._policy_key: tuple[Any, ...] = ()
        self._policy_hash = ""
        self.policy_note = ""
        self._regimes = np.tile(np.array([0, 0, VOL_CODES.index(VolLevel.UNKNOWN), 0]), (count, 1))
        self._regime_names = [UNKNOWN_REGIME] * count
        self._ticks = np.array([empty_ticks()] * count)
        self._clean = np.zeros(count, dtype=np.bool_)
        self._halted_symbols: set[int] = set()  # by bad bars
        self._loss_halted = False
        self._governor_level = 0
        self.kill = False
        self._signal_seq = 0
        self._shadow_wins = 0  # untraded signals in a row that would have won, since the last closed trade
        self._last_close_ns = 0
        self.equity = settings.start_equity
        self.now_ns = 0
        self.health = 0  # governor code that system health calls for
        self.connected = True
        self._later: list[tuple[Callable[..., Any], tuple[Any, ...]]] | None = None  # what waits for `catch_up`
        self._due: list[int] = []  # symbols whose signals of the moment are still to be taken
        self._resolved = 0  # shadow trades that the moment's bars have ended
        self._late_ns = 0  # how long after the close its bars were decided on; a replay is never late

    # ------------------------------------------------------------------ completed bars

    def on_batch(self, batch: MarketBatch) -> list[Command]:
        """Take the completed bars of one moment; returns what is to be sent."""
        now_ns = batch.ts_ns + self._interval_ns
        self.now_ns = now_ns
        if self.tracer is not None:
            self._moment_ns = self.tracer.now()
        if stage.screen(batch.ohlcv, batch.present, self._ticks, self._clean, now_ns):
            batch = self._without_bad_bars(batch, now_ns)
        if self._halted_symbols:
            self._release_symbols(now_ns)
        costs_bps = self.kernel.out[:, col.TAKER_COST_BPS]
        self._after(self._move_shadows, batch, costs_bps if self._later is None else costs_bps.copy())
        fresh = self.kernel.advance(batch)
        market = self.kernel.out
        books = self.books
        self.equity = books.equity(market[:, col.CLOSE]) if books.positions else books.cash
        self._run_stage(now_ns, market)
        if self._governor_level or self._loss_halted or losses_latched(self.losses):
            self._watch_halts(now_ns)
        if self.settings.policy_enabled:
            if self._enforces():
                self._step_policy(now_ns, market)
            else:
                self._after(self._step_policy, now_ns, market)
        commands: list[Command] = []
        if self._pending:
            self._expire_openings(now_ns, commands)
        if books.positions:
            self._manage_positions(batch, market, now_ns, commands)
        self._due = np.flatnonzero(market[:, col.SIGNAL]).tolist() if fresh else []
        self._take_signals(commands)
        return commands

    def _take_signals(self, commands: list[Command]) -> None:
        """Take the moment's signals down the road, in the order of their symbols, and learn from the moment."""
        while self._due:
            self._take_signal(self._due.pop(0), commands)
        self._after(self._learn, self.now_ns)

    def _learn(self, now_ns: int) -> None:
        """Let what the moment's bars have settled count from the next moment on."""
        self.kernel.learn()
        self.shield.run(self.ledger.advance, now_ns)
        if self._resolved:
            self._shadows_closed(self._resolved, now_ns)
            self._watch_streak(now_ns)

    def _without_bad_bars(self, batch: MarketBatch, now_ns: int) -> MarketBatch:
        """Leave out what is no bar; a symbol is halted by the third in a row and released by the third good one."""
        for index in np.flatnonzero(batch.present & ~self._clean).tolist():
            self._record("market.refused", "", now_ns, {
                "symbol": self.symbols[index], "ohlcv": batch.ohlcv[index].tolist(),
                "halted": self.symbol_halted(index),
            })
            if self.symbol_halted(index) and index not in self._halted_symbols:
                self._halted_symbols.add(index)
                symbol = self.symbols[index]
                reason = f"{symbol}: {BAD_TICKS_TO_HALT} bad bars in a row; nothing opens in it"
                self._halt(f"bad_bars {symbol}", reason, f"{GOOD_TICKS_TO_CLEAR} good bars in a row", now_ns)
        return MarketBatch(batch.ts_ns, batch.interval_ns, batch.ohlcv, self._clean.copy())

    def _release_symbols(self, now_ns: int) -> None:
        """Record the symbols that good bars have released."""
        for index in sorted(self._halted_symbols):
            if not self.symbol_halted(index):
                self._halted_symbols.discard(index)
                symbol = self.symbols[index]
                reason = f"{symbol}: {GOOD_TICKS_TO_CLEAR} good bars in a row"
                self._clear(f"bad_bars {symbol}", reason, now_ns)

    def _run_stage(self, now_ns: int, market: Any) -> None:
        """Step limits and governor, and measure every symbol."""
        books = self.books
        self._book[:] = (  # in the order of the BOOK_ columns
            self.equity, books.exposure_pct(self.equity), len(books.positions), books.losing_streak,
            books.broken_streak, books.wins_since, self.health,
        )
        level, moved = stage.trading_stage(
            now_ns, self._book, market, self.performance.rows, self.sym, self.levels, self.costs, self.losses,
            self.settings.limits.daily_loss_pct, self.governor, self.policy.inputs, self._regimes,
        )
        if moved:
            self._after(self._regimes_changed, market, now_ns)
        self._governor_moved(int(level), now_ns)

    def _step_policy(self, now_ns: int, market: Any) -> int:
        """Step the policy behind the shield, and return how many slots changed; one that fails allows nothing."""
        policy, tally = self.policy, self.tally
        changed = self.shield.run(
            stage.policy_stage, now_ns, self._book, market, self.losses, self._day, self._profile, policy.inputs,
            policy.account, policy.slots, policy.mem, policy.out,
        )
        if changed is None:
            policy.out[:, pol.OUT_ALLOW] = 0.0
            return 0
        tally.policy_steps += 1
        state = policy.out[0, pol.OUT_RISK_PROFILE]
        if state == RISK_NONE:
            tally.policy_moments_blocked += 1
        elif state == RISK_REDUCED:
            tally.policy_moments_reduced += 1
        if changed:
            self._after(self.shield.run, self._policy_changed, now_ns)
        return int(changed)

    def _regimes_changed(self, market: Any, now_ns: int) -> None:
        """Record every symbol whose market state is another one now."""
        for index in np.flatnonzero(self._regimes[:, 3]).tolist():
            before, after = self._regime_names[index], self.regime_name(index)
            self._regime_names[index] = after
            row = market[index]
            self._record("regime.changed", "", now_ns, RegimeChange(
                symbol=self.symbols[index], before=before, after=after, atr_1h=float(row[col.ATR_1H]),
                vol_ratio=float(row[col.VOL_RATIO]),
            ))

    # ------------------------------------------------------------------ what a venue says

    def on_event(self, event: OrderUpdate | Fill | FundingPayment) -> list[Command]:
        """Take one venue event; returns what is to be sent because of it."""
        if isinstance(event, Fill):
            return self._on_fill(event)
        if isinstance(event, OrderUpdate):
            return self._on_update(event)
        self.books.pay_funding(event)
        self._record("funding.paid", "", event.ts_ns, event)
        return []

    def _on_update(self, update: OrderUpdate) -> list[Command]:
        ticket, commands = self.gateway.on_update(update)
        self._record("order.updated", "", update.ts_ns, update)
        if self.tracer is not None and ticket is not None and ticket.purpose is Purpose.OPEN:
            self._trace_update(ticket.symbol, update)
        if ticket is None or update.status not in (OrderStatus.REJECTED, OrderStatus.CANCELED):
            return self._sent(commands)
        if ticket.purpose is Purpose.OPEN and ticket.settled:
            pending = self._pending.pop(ticket.symbol, None)
            trace = pending.plan.trace_id if pending else ""
            if update.filled_qty <= 0.0:
                self._record("trade.failed", trace, update.ts_ns, update)
        position = self.books.positions.get(ticket.symbol)
        if position is not None and ticket.purpose is Purpose.STOP and update.status is OrderStatus.REJECTED:
            commands = [*commands, *self._stop_refused(position, update)]
        return self._sent(commands)

    def _trace_update(self, symbol: str, update: OrderUpdate) -> None:
        """Note what became of an opening order; a refused one ends its decision."""
        pending, position = self._pending.get(symbol), self.books.positions.get(symbol)
        plan = pending.plan if pending is not None else position.plan if position is not None else None
        if plan is None or self.tracer is None:
            return
        if update.status is OrderStatus.NEW:
            self.tracer.mark("acknowledgement", trace_id=plan.trace_id)
        elif update.status in (OrderStatus.REJECTED, OrderStatus.CANCELED) and update.filled_qty <= 0.0:
            self.tracer.mark("acknowledgement", update.status.value, trace_id=plan.trace_id)
            self.tracer.finish_trace(plan.trace_id, outcome="FAILED")

    def _stop_refused(self, position: Position, update: OrderUpdate) -> list[Command]:
        """Close a position that is left without a stop, or whose new stop the price has passed (-2021).

        A stop that never arrived is sent again, under another id, before that.
        """
        resting = self.gateway.resting_stop(position)
        if update.reason.startswith(Rejection.LOST.value) and position.lost_stops < _LOST_STOPS:
            position.lost_stops += 1
            return self.gateway.move_stop(position, update.ts_ns)
        if resting > 0.0 and not update.reason.startswith(Rejection.WOULD_TRIGGER.value):
            position.stop = resting
            return []
        reason = ExitReason.TRAILING_STOP if resting > 0.0 else ExitReason.UNPROTECTED
        position.exit_reason = position.exit_reason or reason
        openings = self.gateway.cancel_openings(update.ts_ns, position.symbol)
        return [*openings, *self.gateway.close(position, update.ts_ns)]

    def _on_fill(self, fill: Fill) -> list[Command]:
        self._record("order.filled", "", fill.ts_ns, fill)
        self.tally.slippage_paid += fill.slippage_bps * 1e-4 * fill.qty * fill.price
        ticket = self.gateway.on_fill(fill)
        if ticket is not None and ticket.purpose is Purpose.OPEN and self._fits(fill):
            return self._opened(fill, ticket.settled)
        position = self.books.positions.get(fill.symbol)
        reduces = position is not None and fill.side is closing_side(position.sign)
        if position is not None and reduces and fill.qty <= position.qty * (1.0 + 1e-9):
            return self._reduced(fill, ticket.purpose if ticket is not None else None)
        return self._unexplained(fill)

    def _fits(self, fill: Fill) -> bool:
        """Whether an opening fill has its plan, or adds to the position it opened."""
        position = self.books.positions.get(fill.symbol)
        if position is not None:
            return fill.side is opening_side(position.sign)
        return fill.symbol in self._pending

    def _unexplained(self, fill: Fill) -> list[Command]:
        """Meet a fill that the books cannot place. In a replay there is none."""
        raise StateError(f"{fill.symbol}: fill {fill.fill_id} fits no position and no order; the books halt")

    def _opened(self, fill: Fill, settled: bool) -> list[Command]:
        """Book an opening fill and put its stop at the venue."""
        symbol, index = fill.symbol, self._index[fill.symbol]
        pending = self._pending.get(symbol)
        if pending is not None:
            pending.qty -= fill.qty
            if settled or pending.qty <= fill.qty * 1e-9:
                del self._pending[symbol]
        if symbol in self.books.positions:
            position = self.books.add(fill)
        else:
            assert pending is not None, f"{symbol}: an opening fill without its plan"
            position = self.books.open_position(symbol, index, pending.plan, fill)
            self._trace("execution", "OK", position.plan.trace_id)
            self._record("trade.executed", position.plan.trace_id, fill.ts_ns, fill)
            self.tally.event(
                fill.ts_ns, "trade", f"{position.side.value} {symbol} {fill.qty:g} at {fill.price:g}"
            )
        return self._bracket(position, position.entry_price, fill.ts_ns)

    def _bracket(self, position: Position, price: float, now_ns: int, kept: float = 0.0) -> list[Command]:
        """Make the brackets of *position* from *price* and rest them at the venue; without one it may not stay.

        A stop *kept* from before (0.0: none) stays where it is the tighter one: stops never loosen.
        """
        if position.exit_reason is not None:  # it is closing: what was added closes too
            return self._exit(position, position.exit_reason, now_ns)
        plan, index = position.plan, position.index
        liquidation = liquidation_price(
            plan.sign, position.entry_price, position.qty, plan.leverage, self._tiers[index]
        )
        stop, target = bracket(
            plan.sign, price, plan.atr, plan.stop_atr, plan.target_atr, plan.exit_mode,
            self.instruments[index].tick_size, liquidation,
        )
        if stop != stop:  # not a number: no bracket is possible, so the position may not stay
            return self._exit(position, ExitReason.UNPROTECTED, now_ns)
        position.first_stop = stop
        position.stop = kept if kept > 0.0 and (kept - stop) * plan.sign > 0.0 else stop
        position.target = target
        return self._protect(position, now_ns)

    def _protect(self, position: Position, now_ns: int) -> list[Command]:
        """Rest the position's stop and target at the venue."""
        return self._sent(self.gateway.protect(position, now_ns))

    def _move_stop(self, position: Position, now_ns: int) -> list[Command]:
        """Rest the position's stop, which has moved, at the venue."""
        return self._sent(self.gateway.move_stop(position, now_ns))

    def _unprotected(self, position: Position, now_ns: int) -> list[Command]:
        """See to a position that has no stop when its bar closes."""
        return self._exit(position, ExitReason.UNPROTECTED, now_ns)

    def _reduced(self, fill: Fill, purpose: Purpose | None) -> list[Command]:
        """Book a closing fill; when it leaves nothing, close the trade and clear what rests."""
        position, flat = self.books.reduce(fill)
        if position.exit_reason is None or fill.liquidation or purpose in (Purpose.STOP, Purpose.TARGET):
            position.exit_reason = _exit_reason(position, fill, purpose)
        if not flat:
            return []
        trade = self.books.close_trade(position, fill, self.regime_name(position.index), fill.slippage_bps)
        self.tally.trades.append(trade)
        self._shadow_wins, self._last_close_ns = 0, fill.ts_ns
        self.performance.trade(position.index, trade.r_multiple, trade.pnl)
        governor_trade(self.governor, trade.pnl)
        self._record("trade.closed", trade.trace_id, fill.ts_ns, trade)
        self._governor_moved(int(self.governor[GOV_ROW_LEVEL]), fill.ts_ns)
        if self.tracer is not None:
            self.tracer.mark("position", trade.exit_reason.value, trace_id=trade.trace_id)
            self.tracer.finish_trace(trade.trace_id, outcome="CLOSED")
        self.tally.event(
            fill.ts_ns, "trade",
            f"closed {trade.side.value} {trade.symbol} {trade.exit_reason.value} {trade.r_multiple:+.2f} R",
        )
        return self._sent(self.gateway.cancel_all(fill.symbol, fill.ts_ns))

    # ------------------------------------------------------------------ open positions

    def _expire_openings(self, now_ns: int, commands: list[Command]) -> None:
        """Cancel opening orders whose time is over.

        One that did not fill at all at the first price after it was sent met a market that had stopped: the price it
        was sized for is gone. What is left of a partly filled one goes when its intent has expired.
        """
        for symbol, pending in self._pending.items():
            if symbol not in self.books.positions or now_ns > pending.expires_ns:
                commands += self._sent(self.gateway.cancel_openings(now_ns, symbol))

    def _manage_positions(self, batch: MarketBatch, market: Any, now_ns: int, commands: list[Command]) -> None:
        """Trail, time out and verify the protection of every open position that the bars are of."""
        for position in list(self.books.positions.values()):
            if batch.present[position.index] and now_ns > position.entry_ns:  # no bar from before it was there
                commands += self._manage(position, batch, market, now_ns)

    def _manage(self, position: Position, batch: MarketBatch, market: Any, now_ns: int) -> list[Command]:
        """Take one open position through its bar."""
        index = position.index
        position.bars_held += 1
        high, low = float(batch.ohlcv[index, 1]), float(batch.ohlcv[index, 2])
        sign = position.plan.sign
        best, worst = (high, low) if sign > 0 else (low, high)
        if (best - position.best) * sign > 0.0:
            position.best = best
        if (worst - position.worst) * sign < 0.0:
            position.worst = worst
        if position.exit_reason is not None:
            return self._sent(self.gateway.close(position, now_ns))
        if not self.gateway.is_protected(position):
            return self._unprotected(position, now_ns)
        if timed_out(position.entry_ns, now_ns, position.plan.max_hours):
            return self._exit(position, ExitReason.TIMEOUT, now_ns)
        return self._trail(position, float(market[index, col.CLOSE]), now_ns)

    def _trail(self, position: Position, close: float, now_ns: int) -> list[Command]:
        """Move the stop where the exit rules say so; it never loosens."""
        plan = position.plan
        stop = next_stop(
            plan.sign, position.entry_price, position.first_stop, position.stop, position.best, plan.atr,
            plan.breakeven_r, plan.trail_atr, plan.exit_mode, self.instruments[position.index].tick_size,
            self.settings.trail_step_atr * plan.atr,
        )
        if stop == position.stop:
            return []
        if would_trigger(plan.sign, stop, close):
            return self._exit(position, ExitReason.TRAILING_STOP, now_ns)
        position.stop = stop
        return self._move_stop(position, now_ns)

    def _exit(self, position: Position, reason: ExitReason, now_ns: int) -> list[Command]:
        """Close *position*, and cancel what would open more of it."""
        position.exit_reason = reason
        openings = self.gateway.cancel_openings(now_ns, position.symbol)
        return self._sent([*openings, *self.gateway.close(position, now_ns)])

    def before_hole(self, symbol: str, ts_ns: int) -> None:
        """Note that *symbol*'s data ends here for more than a day; the venue will close what is held."""
        position = self.books.positions.get(symbol)
        if position is not None:
            position.exit_reason = ExitReason.DATA_HOLE
        for seq in self.exit_shadows.drop(self._index[symbol]):
            self.shield.run(self.ledger.abandon, _exit_key(seq))
        resolved = self.shadows.close_before_hole(self._index[symbol])
        if resolved:
            self._shadows_closed(resolved, ts_ns)
        self._record("market.hole", "", ts_ns, {"symbol": symbol})

    def flatten(self, now_ns: int, reason: ExitReason = ExitReason.FLATTEN) -> list[Command]:
        """Cancel what would open and close what is open; never gated."""
        commands = self._sent(self.gateway.cancel_openings(now_ns))
        for position in self.books.positions.values():
            commands += self._exit(position, reason, now_ns)
        return commands

    # ------------------------------------------------------------------ the road of a signal

    def _take_signal(self, index: int, commands: list[Command]) -> None:
        """Take a symbol's signal down the road and have it recorded how it fared."""
        self._signal_seq += 1
        self.tally.signals += 1
        seq, now_ns, symbol, integration = self._signal_seq, self.now_ns, self.symbols[index], self.integration
        row, open_count = self.kernel.out[index].tolist(), len(self.books.positions) + len(self._pending)
        numbers = self._policy_numbers(index) if self._enforces() else _NO_POLICY
        tag_ok = int(self.performance.rows[index, perf.P_TAG] != TAG_BAD)
        used = effective_settings(
            integration.switches, numbers[0], numbers[1], tag_ok, *numbers[2:], *integration.fixed
        )
        position = self.books.positions.get(symbol)
        held = position.plan.sign if position is not None else 0
        sign = 1 if row[col.SIGNAL] > 0 else -1
        began_ns = self._watch()
        code = gate(
            sign, row[col.CONFIDENCE], row[col.ATR_1H], held, int(symbol in self._pending), open_count, used
        )
        self._after(self._generated, seq, index, row, now_ns, began_ns)
        trace_id = f"tr{seq:08d}"
        self._trace("gates", ROAD_REASONS.get(code, "OK"), trace_id)
        why = (ROAD_REASONS.get(code, ""), 0.0, 0.0)
        if code == ROAD_APPROVED:
            why = self._enter(index, row, sign, trace_id, used, commands)
        elif code == ROAD_FLIP and position is not None and position.exit_reason is None and now_ns > position.entry_ns:
            commands += self._exit(position, ExitReason.SIGNAL_FLIP, now_ns)
        self._after(self._decided, seq, index, row, why, used, open_count, tag_ok, now_ns)

    def _generated(self, seq: int, index: int, row: list[float], now_ns: int, began_ns: int) -> None:
        """Put signal number *seq* on record."""
        signal = self._signal(seq, index, row, now_ns)
        if self.tracer is not None:
            self.tracer.start_trace(signal.trace_id, self._moment_ns, symbol=signal.symbol)
            self.tracer.mark("signal", at_ns=began_ns, confidence=signal.confidence)
        self._record("signal.generated", signal.trace_id, now_ns, signal)

    def _decided(
        self, seq: int, index: int, row: list[float], why: tuple[str, float, float], used: tuple[Any, ...],
        open_count: int, tag_ok: int, now_ns: int,
    ) -> None:
        """Record how signal number *seq* fared; *why* is reason, observed and limit, no reason: it is traded."""
        signal = self._signal(seq, index, row, now_ns)
        reason, observed, limit = why
        if reason:
            self.tally.refusals[reason] += 1
        self._open_shadow(seq, index, row, signal.action.sign, traded=not reason)
        decision = SignalDecision(
            signal_id=signal.signal_id, symbol=signal.symbol, action=signal.action.value,
            confidence=signal.confidence, decision="BLOCKED" if reason else "ALLOWED", reason=reason,
            observed=observed, limit=limit, features_ts_ns=signal.features_ts_ns, min_confidence_used=used[2],
            risk_pct_used=used[3],
        )
        self._record("signal.decided", signal.trace_id, signal.ts_ns, decision)
        if self.settings.policy_enabled:
            self.shield.run(self._judge, seq, index, signal, decision, open_count, tag_ok)
        if self.tracer is not None:
            self.tracer.mark("record", trace_id=signal.trace_id)
            if reason:
                self.tracer.finish_trace(signal.trace_id, outcome=f"BLOCKED {reason}")

    def _watch(self) -> int:
        """The time on the tracer's clock; 0 without one."""
        return self.tracer.now() if self.tracer is not None else 0

    def _trace(self, step: str, outcome: str, trace_id: str) -> None:
        """Note that a step of a decision ends now."""
        if self.tracer is not None:
            self._after(self._mark, step, outcome, trace_id, self.tracer.now())

    def _mark(self, step: str, outcome: str, trace_id: str, at_ns: int) -> None:
        if self.tracer is not None:
            self.tracer.mark(step, outcome, trace_id=trace_id, at_ns=at_ns)

    def _signal(self, seq: int, index: int, row: list[float], now_ns: int) -> Signal:
        return Signal(
            signal_id=f"s{seq:08d}", trace_id=f"tr{seq:08d}", symbol=self.symbols[index],
            action=Side.LONG if row[col.SIGNAL] > 0 else Side.SHORT, confidence=row[col.CONFIDENCE], model="ensemble",
            ts_ns=now_ns, features_ts_ns=int(self.kernel.features_ts[index]), consensus=row[col.CONSENSUS],
            votes={name: row[col.VOTE_0 + k] for k, name in enumerate(MODEL_NAMES)},
        )

    def _policy_numbers(self, index: int) -> tuple[int, int, float, float, int, int]:
        """What the policy in force says for a symbol; with no policy, numbers no switch will use."""
        if not self.settings.policy_enabled:
            return _NO_POLICY
        out = self.policy.out[index + 1].tolist()
        return (
            int(out[pol.OUT_ALLOW]), int(out[pol.OUT_SYMBOL_OK]), out[pol.OUT_MIN_CONF], out[pol.OUT_RISK_PCT],
            int(out[pol.OUT_MAX_OPEN]), int(out[pol.OUT_EXIT]),
        )

    def _enter(
        self, index: int, row: list[float], sign: int, trace_id: str, used: tuple[Any, ...], commands: list[Command]
    ) -> tuple[str, float, float]:
        """Size the entry, ask the guard, send the order. Returns (reason, observed, limit); no reason: sent."""
        price, atr, now_ns = row[col.CLOSE], row[col.ATR_1H], self.now_ns
        trend, vol = int(row[col.TREND]), int(self.levels[index])
        level = self._governor_level
        stop = planned_stop(sign, price, atr, trend, vol)
        limits = self._limit_row(index)
        factor = float(self.performance.rows[index, perf.P_RISK_FACTOR]) * level_factors(level)[0]
        code, qty, leverage = size_entry(
            sign, price, stop, self.equity, used[3], factor, level, self.settings.leverage, self._specs[index],
            limits, self._tiers[index],
        )
        self._trace("sizing", ROAD_REASONS.get(code, "OK"), trace_id)
        if code != ROAD_APPROVED:
            return ROAD_REASONS[code], qty, 0.0
        intent = Intent(
            intent_id=f"i{self._signal_seq:08d}", trace_id=trace_id, symbol=self.symbols[index],
            side=Side.LONG if sign > 0 else Side.SHORT, qty=qty, reduce_only=False, reference_price=price,
            stop_price=stop, leverage=leverage, created_ns=now_ns,
            expires_ns=now_ns + self.settings.intent_ttl_s * NS_PER_SECOND, source=_ENSEMBLE, risk_pct=used[3],
            confidence=row[col.CONFIDENCE], policy_hash=self._policy_hash if self._enforces() else "",
        )
        verdict = can_execute(
            intent, self._account_view(index, row, now_ns), self.instruments[index], self.settings.limits,
            self._tiers[index],
        )
        self._trace("risk", "OK" if isinstance(verdict, Approved) else verdict.reason.value, trace_id)
        if not isinstance(verdict, Approved):
            self._after(self._record_denied, verdict)
            return verdict.reason.value, verdict.observed, verdict.limit
        self._plan_entry(index, verdict, atr, trend, vol, int(used[5]), now_ns)
        commands += self._sent(self.gateway.open(verdict))
        self._trace("order", "OK", trace_id)
        return "", 0.0, 0.0

    def _plan_entry(
        self, index: int, approved: Approved, atr: float, trend: int, vol: int, exit_mode: int, now_ns: int
    ) -> None:
        """Remember what the position will need once its fill comes; count the order."""
        intent = approved.intent
        stop_atr, target_atr, breakeven_r, trail_atr, max_hours = exit_row(trend, vol)
        plan = Plan(
            intent_id=intent.intent_id, trace_id=intent.trace_id, sign=intent.side.sign, leverage=intent.leverage,
            atr=atr, stop_atr=stop_atr, target_atr=target_atr, breakeven_r=breakeven_r, trail_atr=trail_atr,
            max_hours=max_hours, exit_mode=exit_mode, confidence=intent.confidence, policy_hash=intent.policy_hash,
            model="ensemble", regime=self.regime_name(index),
        )
        margin = approved.qty * intent.reference_price / intent.leverage
        self._pending[intent.symbol] = Pending(
            plan=plan, margin=margin, qty=approved.qty, expires_ns=intent.expires_ns
        )
        _note_order(self.rate, now_ns)
        self.tally.intents += 1
        self._after(self._record_intent, intent, plan)

    def _record_denied(self, verdict: Refused) -> None:
        intent = self._hashed(verdict.intent)
        self._record(
            "risk.denied", intent.trace_id, intent.created_ns, msgspec.structs.replace(verdict, intent=intent)
        )

    def _record_intent(self, intent: Intent, plan: Plan) -> None:
        intent = self._hashed(intent)
        plan.policy_hash = intent.policy_hash
        self._record("trade.intent", intent.trace_id, intent.created_ns, intent)

    def _hashed(self, intent: Intent) -> Intent:
        """*intent* with the hash of the policy in force, which may not have been known when it was made."""
        if intent.source != _ENSEMBLE or not self._enforces() or intent.policy_hash == self._policy_hash:
            return intent
        return msgspec.structs.replace(intent, policy_hash=self._policy_hash)

    def _limit_row(self, index: int) -> tuple[float, ...]:
        """The guard's limits, tightened by the policy's where position limits are enforced."""
        limits = self.settings.limits
        if not self.integration.use_for_position_limits:
            return limits.row()
        out = self.policy.out[index + 1]
        return limits.row(
            policy_positions=float(out[pol.OUT_MAX_OPEN]), policy_exposure_pct=float(out[pol.OUT_EXPOSURE_LIMIT])
        )

    def _account_view(self, index: int, row: list[float], now_ns: int) -> AccountView:
        rolling, midnight = _losses_pct(self.losses, self.equity)
        used_margin = ordered_sum(p.margin for p in self.books.positions.values())
        used_margin += ordered_sum(p.margin for p in self._pending.values())
        out = self.policy.out[index + 1]
        enforced = self.integration.use_for_position_limits
        return AccountView(
            now_ns=now_ns, equity=self.equity, used_margin=used_margin,
            open_positions=len(self.books.positions) + len(self._pending), position_qty=0.0,
            data_ns=now_ns - self._late_ns - int(row[col.MARKET_AGE] * self._interval_ns),
            cost_in_r=float(self.costs[index]), kill=self.kill, connected=self.connected,
            symbol_halted=self.symbol_halted(index), governor=self._governor_level,
            policy_positions=float(out[pol.OUT_MAX_OPEN]) if enforced else float("inf"),
            policy_exposure_pct=float(out[pol.OUT_EXPOSURE_LIMIT]) if enforced else float("inf"),
            rolling_pnl_pct=rolling, midnight_pnl_pct=midnight, loss_latched=bool(losses_latched(self.losses)),
            orders_last_hour=_orders_last_hour(self.rate, now_ns),
        )

    def set_integration(self, config: OrchestratorIntegrationConfig, change: Any, now_ns: int) -> None:
        """Take another mode or other switches into force; *change* says who and why."""
        self.integration = config
        self._record("rollout.changed", "", now_ns, change, POLICY)
        self.tally.event(now_ns, "policy", f"rollout: {config.mode.value}")

    def _enforces(self) -> bool:
        return any(self.integration.switches)

    # ------------------------------------------------------------------ observation

    def _judge(
        self, seq: int, index: int, signal: Signal, decision: SignalDecision, open_count: int, tag_ok: int
    ) -> None:
        """Record what the policy, fully enforced, would have done, and note its evidence. Feeds nothing."""
        numbers, now_ns = self._policy_numbers(index), signal.ts_ns
        removed = verdicts(
            self.integration.switches, numbers[0], numbers[1], tag_ok, *numbers[2:], *self.integration.fixed,
            signal.confidence, open_count,
        )
        self.ledger.record(seq, now_ns, (*removed[:SWITCH_EXIT_MODE], 0.0))
        if removed[SWITCH_EXIT_MODE] != 0.0:
            self._follow_exits(seq, index, signal, numbers[5], removed[SWITCH_EXIT_MODE])
        reasons = _policy_reasons(numbers, signal.confidence, open_count)
        if reasons and seq in self._shadow_flags:
            self._shadow_flags[seq] |= _BLOCKED
        if seq not in self._shadow_flags:
            self.ledger.abandon(seq)
        verdict = PolicyVerdict(
            signal_id=signal.signal_id, verdict="BLOCK" if reasons else "ALLOW", reasons=reasons, removed=removed,
            policy_hash=self._policy_hash, min_confidence=numbers[2], risk_pct=numbers[3],
        )
        self._record("policy.verdict", signal.trace_id, now_ns, verdict, POLICY)
        if self._watcher is not None:
            self._watcher.signal_decided(signal, decision, verdict)

    def _follow_exits(self, seq: int, index: int, signal: Signal, policy_mode: int, share: float) -> None:
        """Start the evidence of the exit_mode switch for a signal whose exit the policy would change."""
        row = self.kernel.out[index]
        exits = exit_row(int(row[col.TREND]), int(self.levels[index]))
        fixed_mode = self.integration.fixed[3]
        if self.exit_shadows.open(
            index, seq, signal.action.sign, float(row[col.ATR_1H]), exits, fixed_mode, policy_mode
        ):
            self.ledger.record(_exit_key(seq), signal.ts_ns, (0.0,) * 5 + (share,), again=True)

    def _move_shadows(self, batch: MarketBatch, costs_bps: Any) -> None:
        """Take shadow trades and exit pairs through the bars; *costs_bps* as known before them."""
        self._resolved = self.shadows.on_bar(batch, costs_bps)
        if ended := self.shield.run(self.exit_shadows.on_bar, batch, costs_bps):
            self.shield.run(self._exits_closed, ended)

    def _exits_closed(self, ended: list[tuple[int, float, float]]) -> None:
        """Hand the results of ended exit pairs to the evidence."""
        for seq, fixed_r, policy_r in ended:
            if fixed_r == fixed_r:
                self.ledger.resolve(_exit_key(seq), fixed_r, exit_r=policy_r)
            else:
                self.ledger.abandon(_exit_key(seq))

    def _policy_changed(self, now_ns: int) -> None:
        """Record the policy in force when something a person would call a change has changed."""
        out = self.policy.out
        overall = out[0].tolist()
        key = (
            overall[pol.OUT_ALLOW], overall[pol.OUT_RISK_PROFILE], overall[pol.OUT_MIN_CONF],
            overall[pol.OUT_ENTRY], overall[pol.OUT_EXIT], out[:, pol.OUT_SYMBOL_OK].tobytes(),
        )
        risk = overall[pol.OUT_RISK_PCT]
        if self._policy_key and key == self._policy_key[0]:
            last = self._policy_key[1]
            if abs(risk - last) <= _MATERIAL_RISK * max(risk, last):
                return
        self._policy_key = (key, risk)
        snapshot = self.policy.snapshot(now_ns)
        self._policy_hash, self.policy_note = snapshot.content_hash, snapshot.note
        self.tally.policy_changes += 1
        self.tally.rules.update({rule.rule for rule in snapshot.rules})
        self._record("policy.updated", "", now_ns, snapshot.to_dict(), POLICY)
        self.tally.event(now_ns, "policy", _policy_line(snapshot))
        if self._watcher is not None:
            self._watcher.policy_updated(snapshot, self._policy_context(now_ns), now_ns)

    def _policy_context(self, now_ns: int) -> PolicyContext:
        """What the policy in force was made for, at the level of the account."""
        overall = self.policy.inputs[0].tolist()
        profile = self._profile
        return PolicyContext(
            regime_tag=TREND_CODES[int(overall[pol.IN_TREND])],
            vol_level=VOL_CODES[
                vol_level(overall[pol.IN_VOL_RATIO], float(profile[pol.P_HIGH_VOL]), float(profile[pol.P_EXTREME_VOL]))
            ],
            risk=self._risk_state(now_ns), used=self._used_overall(),
        )

    def _risk_state(self, now_ns: int) -> RiskState:
        """The account as the policy was told it."""
        account, books = self.policy.account.tolist(), self.books
        return RiskState(
            daily_pnl_pct=account[pol.ACC_DAILY_PNL_PCT],
            current_drawdown_pct=max(-100.0, account[pol.ACC_DRAWDOWN_PCT]), losing_streak=books.losing_streak,
            open_trades_count=len(books.positions), total_exposure_pct=account[pol.ACC_EXPOSURE_PCT],
            broken_streak=books.broken_streak, wins_since=books.wins_since, equity=self.equity, ts_ns=now_ns,
        )

    def _used_overall(self) -> EffectiveSettings:
        """What trading uses at the level of the account."""
        out = self.policy.out[0].tolist()
        numbers = PolicyNumbers(
            allow=bool(out[pol.OUT_ALLOW]), symbol_allowed=True, min_confidence=out[pol.OUT_MIN_CONF],
            risk_pct=out[pol.OUT_RISK_PCT], max_positions=int(out[pol.OUT_MAX_OPEN]),
            exit_mode=EXIT_CODES[int(out[pol.OUT_EXIT])],
        )
        return effective(self.integration, numbers)

    def _open_shadow(self, seq: int, index: int, row: list[float], sign: int, *, traded: bool) -> None:
        """Start the standardised shadow trade of a signal, where its symbol is warm and has room for one."""
        atr = row[col.ATR_1H]
        if not atr > 0.0:
            return
        stop_atr, target_atr = shadow_bracket(int(row[col.TREND]), row[col.VOL_RATIO])
        if self.shadows.open(index, seq, sign, atr, stop_atr, target_atr):
            self._shadow_flags[seq] = _TRADED if traded else 0

    def _shadows_closed(self, count: int, now_ns: int) -> None:
        """Take the results of shadow trades: for the symbol's record, the evidence and the tally."""
        for index, seq, r, code, bars in self.shadows.resolved[:count].tolist():
            flags = self._shadow_flags.pop(int(seq), 0)
            if not flags & _TRADED:
                self.performance.shadow(int(index), r)
                self._shadow_wins = self._shadow_wins + 1 if r > 0.0 else 0
            self._after(self._shadow_closed, int(index), int(seq), r, int(code), int(bars), flags, now_ns)

    def _shadow_closed(
        self, index: int, seq: int, r: float, code: int, bars: int, flags: int, now_ns: int
    ) -> None:
        """Record the result of signal *seq*'s shadow trade."""
        self.tally.shadow(now_ns, r, bool(flags & _BLOCKED))
        self.shield.run(self.ledger.resolve, seq, r)
        self._record("shadow.closed", f"tr{seq:08d}", now_ns, ShadowResult(
            signal_id=f"s{seq:08d}", symbol=self.symbols[index], r=r, exit=_SHADOW_EXITS.get(code, "HOLE"),
            bars_held=bars, traded=bool(flags & _TRADED),
        ))

    def _watch_streak(self, now_ns: int) -> None:
        """End a losing streak that no trade can end any more."""
        books = self.books
        if shadows_break_streak(
            self._shadow_wins, books.losing_streak, len(books.positions), self._last_close_ns, now_ns
        ):
            reason = f"losing streak of {books.losing_streak} ended by {self._shadow_wins} shadow wins in a row"
            books.break_streak()
            self._shadow_wins = 0
            self._record(
                "halt.cleared", "", now_ns, HaltNotice(kind="streak", reason=reason, owner="engine", exit_path="")
            )

    # ------------------------------------------------------------------ halts

    def _governor_moved(self, level: int, now_ns: int) -> None:
        """Record a change of the governor's level."""
        before = self._governor_level
        if level == before:
            return
        self._governor_level = level
        name = GOVERNOR_CODES[level].value
        if level > before:
            path = "resume --reason" if level == GOV_EMERGENCY else "recovers by itself"
            self._halt("governor", f"governor {name}", path, now_ns, name)
        else:
            self._clear("governor", f"governor {name}", now_ns, name)

    def _watch_halts(self, now_ns: int) -> None:
        """Record the daily-loss latch, and let the simulated operator resume where one is configured."""
        latched = bool(losses_latched(self.losses))
        if latched and not self._loss_halted:
            self._halt("daily_loss", "daily loss limit reached", "next UTC midnight, losses inside the limit", now_ns)
        elif self._loss_halted and not latched:
            self._clear("daily_loss", "losses inside the limit", now_ns)
        self._loss_halted = latched
        if self._governor_level == GOV_EMERGENCY and operator_resumes(
            float(self.governor[GOV_ROW_SINCE_S]), now_ns // NS_PER_SECOND, self.settings.operator_resume_hours
        ):
            self.resume("simulated operator of the replay", now_ns)

    @property
    def interval_ns(self) -> int:
        """Length of the bars it decides on."""
        return self._interval_ns

    def symbol_halted(self, index: int) -> bool:
        """Whether bad bars keep a symbol from opening."""
        return bool(self._ticks[index, TICK_HALTED_SINCE] >= 0.0)

    def on_health(self, level: int, connected: bool, reason: str, now_ns: int) -> None:
        """Take what system health calls for (a GOV_* code) into force at once, and whether the venue is there."""
        self._record("health.changed", "", now_ns, HealthNotice(level=level, connected=connected, reason=reason), RUN)
        self.health, self.connected = level, connected
        self._governor_moved(governor_step(self.governor, self.equity, now_ns // NS_PER_SECOND, level), now_ns)

    def halt(self, reason: str, now_ns: int) -> None:
        """Stop all openings by command until :meth:`resume`; reducing and closing go on."""
        if not reason.strip():
            raise InputError("reason = '': a halt needs a reason for the record")
        if not self.kill:
            self.kill = True
            self._halt("operator", f"halted: {reason}", "resume --reason", now_ns)

    def resume(self, reason: str, now_ns: int) -> None:
        """End an EMERGENCY by command: the peak starts again from today's equity, the loss count from zero."""
        if not reason.strip():
            raise InputError("reason = '': a resume needs a reason for the record")
        if self.kill:
            self.kill = False
            self._clear("operator", f"resumed: {reason}", now_ns)
        streak = self.books.losing_streak
        self.books.break_streak()
        if governor_resume(self.governor, self.equity, now_ns // NS_PER_SECOND):
            level = int(self.governor[GOV_ROW_LEVEL])
            self._governor_level = level
            self._clear("governor", f"resumed: {reason}", now_ns, GOVERNOR_CODES[level].value)
        elif streak:
            self._clear("streak", f"losing streak of {streak} ended: {reason}", now_ns)

    def _halt(self, kind: str, reason: str, exit_path: str, now_ns: int, level: str = "") -> None:
        self.tally.halts.append(HaltEntry(ts_ns=now_ns, kind=kind, reason=reason, exit_path=exit_path))
        self._record(
            "halt.raised", "", now_ns,
            HaltNotice(kind=kind, reason=reason, owner="risk", exit_path=exit_path, level=level),
        )
        self.tally.event(now_ns, "halt", reason)

    def _clear(self, kind: str, reason: str, now_ns: int, level: str = "") -> None:
        for entry in self.tally.halts:
            if entry.kind == kind and entry.cleared_ns == 0:
                entry.cleared_ns = now_ns
        self._record(
            "halt.cleared", "", now_ns, HaltNotice(kind=kind, reason=reason, owner="risk", exit_path="", level=level)
        )
        self.tally.event(now_ns, "halt", reason)

    # ------------------------------------------------------------------ records and state

    def started(self, identity: Mapping[str, Any], ts_ns: int) -> None:
        """Record what this run is made of, at the open of its first bar; the first record of every run."""
        told = {"symbols": self.symbols, "interval_ns": self._interval_ns, **identity}
        self._record("run.started", "", ts_ns, told, RUN)

    def ended(self, now_ns: int) -> None:
        """Record the books at the end of the data."""
        self._record("run.ended", "", now_ns, {
            "equity": self.equity, "cash": self.books.cash, "trades": len(self.tally.trades),
            "open_positions": len(self.books.positions),
        }, RUN)

    def _record(self, topic: str, trace_id: str, ts_ns: int, data: Any, source: str = ENGINE) -> None:
        if self._later is not None:
            self._later.append((self._record, (topic, trace_id, ts_ns, data, source)))
            return
        self.tally.topics[topic] += 1
        self.recorder.record(topic, trace_id, ts_ns, data, source)

    def _after(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Do what no order waits for: now, or in its turn in :meth:`catch_up`. It reads nothing that moves before."""
        if self._later is None:
            call(*arguments)
        else:
            self._later.append((call, arguments))

    def catch_up(self) -> None:
        """Do what was put off, in the order in which it came up: the same records, the same bytes."""
        later, self._later = self._later, None
        for call, arguments in later or ():
            call(*arguments)

    def _sent(self, commands: Sequence[Command]) -> list[Command]:
        """Record commands on their way out."""
        for command in commands:
            topic = "order.submitted" if isinstance(command, OrderRequest) else "order.cancel"
            trace = command.trace_id if isinstance(command, OrderRequest) else ""
            self._record(topic, trace, command.created_ns, command)
        return list(commands)

    def regime_name(self, index: int) -> str:
        """A symbol's market state in words, as "TRENDING UP NORMAL"."""
        row = self.kernel.out[index]
        trend = TREND_CODES[int(row[col.TREND])].value
        direction = DIRECTION_CODES[int(row[col.DIRECTION])]
        return " ".join((trend, *((direction.value,) if direction else ()), VOL_CODES[int(self.levels[index])].value))

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "kernel": self.kernel.state(), "shadows": self.shadows.state(),
            "exit_shadows": self.exit_shadows.state(), "performance": self.performance.state(),
            "policy": self.policy.state(), "ledger": self.ledger.state(), "books": self.books.state(),
            "gateway": self.gateway.state(), "tally": self.tally.state(), "governor": self.governor,
            "losses": self.losses, "rate": self.rate, "day": self._day, "sym": self.sym, "levels": self.levels,
            "costs": self.costs, "pending": {k: msgspec.to_builtins(v) for k, v in self._pending.items()},
            "shadow_flags": [[k, v] for k, v in self._shadow_flags.items()], "policy_key": list(self._policy_key),
            "policy_hash": self._policy_hash, "policy_note": self.policy_note, "ticks": self._ticks,
            "regimes": self._regimes, "regime_names": self._regime_names, "loss_halted": self._loss_halted,
            "governor_level": self._governor_level, "kill": self.kill, "signal_seq": self._signal_seq,
            "shadow_wins": self._shadow_wins, "last_close_ns": self._last_close_ns, "equity": self.equity,
            "now_ns": self.now_ns, "health": self.health, "connected": self.connected,
            "seq": self.recorder.seq, "failures": self.shield.failures,
            "integration": msgspec.to_builtins(self.integration),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`; the recorder is resumed by whoever holds its lines."""
        for part in ("kernel", "shadows", "exit_shadows", "performance", "policy", "books", "gateway", "tally"):
            getattr(self, part).load_state(state[part])
        self.ledger = RolloutLedger.load_state(state["ledger"])
        for name in ("governor", "losses", "rate", "sym", "levels", "costs"):
            getattr(self, name)[...] = state[name]
        self._day[...] = state["day"]
        self._ticks[...] = state["ticks"]
        self._halted_symbols = {index for index in range(len(self.symbols)) if self.symbol_halted(index)}
        self._regimes[...] = state["regimes"]
        self._regime_names = list(state["regime_names"])
        self.policy_note = state["policy_note"]
        self._pending = {k: msgspec.convert(v, Pending) for k, v in state["pending"].items()}
        self._shadow_flags = {int(k): int(v) for k, v in state["shadow_flags"]}
        key = state["policy_key"]
        self._policy_key = (tuple(key[0]), key[1]) if key else ()
        self._policy_hash, self._loss_halted = state["policy_hash"], state["loss_halted"]
        self._governor_level, self._signal_seq = state["governor_level"], state["signal_seq"]
        self.kill = state["kill"]
        self._shadow_wins, self._last_close_ns = state["shadow_wins"], state["last_close_ns"]
        self.equity, self.now_ns = state["equity"], state["now_ns"]
        self.health, self.connected = state["health"], state["connected"]
        self.integration = msgspec.convert(state["integration"], type(self.integration))
        self.shield.failures = state["failures"]


def _exit_key(seq: int) -> str:
    """The ledger's key of a signal's exit pair."""
    return f"{seq}/exit"


def _policy_line(policy: TradingPolicy) -> str:
    """The policy in force in one short line."""
    bans = f", {len(policy.disallowed_symbols)} banned" if policy.disallowed_symbols else ""
    return (
        f"{policy.risk_profile.value}: risk {policy.max_risk_pct:.3g} %, confidence {policy.min_confidence:.2f}, "
        f"{policy.entry_mode.value}, {policy.exit_mode.value}{bans}"
    )


def _exit_reason(position: Position, fill: Fill, purpose: Purpose | None) -> ExitReason:
    """Why *fill* reduced *position*."""
    if fill.liquidation:
        return ExitReason.LIQUIDATION
    if purpose is Purpose.TARGET:
        return ExitReason.TAKE_PROFIT
    if purpose is Purpose.STOP:
        return ExitReason.STOP if position.stop == position.first_stop else ExitReason.TRAILING_STOP
    return position.exit_reason or ExitReason.FLATTEN


def _policy_reasons(
    numbers: tuple[int, int, float, float, int, int], confidence: float, open_count: int
) -> tuple[str, ...]:
    """Why the policy, fully enforced, would refuse a signal."""
    allow, symbol_ok, min_confidence, risk_pct, max_positions, _ = numbers
    reasons = []
    if not allow or risk_pct <= 0.0:
        reasons.append("trading_gate")
    if not symbol_ok:
        reasons.append("signal_filter")
    if confidence < min_confidence:
        reasons.append("confidence_threshold")
    if open_count >= max_positions:
        reasons.append("position_limits")
    return tuple(reasons)

