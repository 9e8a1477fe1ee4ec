"""The pilot in the engine: its modes, its intents, what it would have done, and how sure one may be of it.

At the close of an observed bar the pilot chooses an action for each symbol that is ready. In SHADOW the choice is
recorded and followed in a shadow book. In PRIMARY and HYBRID it takes the road of every order: confidence, hourly rate,
gates, sizing, guard, gateway. A position that the pilot opened is resized and left by the pilot alone, stops, limits
and people apart. A pilot that fails leaves trading as it would be without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import ExitReason, PilotMode, Side
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.domain.trading import Intent
from quantum_trader.engine import ids, stage
from quantum_trader.engine.account import Account
from quantum_trader.engine.books import PILOT, Position
from quantum_trader.engine.facts import PilotChanged, PilotDecided, PilotFailed
from quantum_trader.engine.gateway import Command
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import ExitPlan, Market
from quantum_trader.engine.opening import EntryWish, Opening
from quantum_trader.engine.pilot_shadows import PilotTotals, Wishes
from quantum_trader.engine.pilot_stance import (
    CONSENSUS_BONUS,
    CONSENSUS_SIZE,
    HYBRID_CONSENSUS,
    HYBRID_RL,
    RL_PRIMARY,
    PilotStance,
    boosted,
)
from quantum_trader.engine.pilot_tenure import TRADES, PilotParts, PilotTenure
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.ports import PilotSource
from quantum_trader.engine.protection import Protection
from quantum_trader.engine.records import Records
from quantum_trader.engine.supervision import Shield, Supervise
from quantum_trader.pilot import own_columns as own_col
from quantum_trader.pilot.actions import ACTIONS
from quantum_trader.pilot.predictor import Predictions, check_predictions
from quantum_trader.pilot.shadow_book import ACTION_SHARES
from quantum_trader.risk.exits import score_exit_row

FAILURES: Final = 3  # in a row, after which the pilot is not asked until the next start
LEAST_EQUITY: Final = 0.01  # of the equity at the start: what a ruined account is observed with
_DAY_HOURS: Final = 24.0
_SHARES: Final = np.array(ACTION_SHARES)  # that each action wants; NaN: what is held
_IN_FORCE: Final = [own_col.CONFIDENCE_IN_FORCE, own_col.RISK_IN_FORCE, own_col.GATE_IN_FORCE]

_NOTHING, _SHADOW, _SENT = "NOTHING", "SHADOW", "SENT"
_LOW, _RATE, _OTHERS, _SIGNAL = "LOW_CONFIDENCE", "RATE_LIMIT", "HELD_BY_OTHER", "SIGNAL_PRIMARY"
_NO_PILOT: Final = "the run has no pilot; give it one at its start with --pilot"
_FAILED: Final = "FAILED"  # an error while its decision was carried out; a live account then opens nothing


class _Blend(NamedTuple):
    """Under which source an entry of the pilot goes, and what a consensus adds."""

    source: str
    bonus: float = 0.0
    size: float = 1.0


class PilotCounts(msgspec.Struct, kw_only=True):
    """What a run shows of its pilot; nothing here feeds a decision."""

    outcomes: dict[str, int] = {}  # what became of its decisions: a word and how often
    sure: float = 0.0  # the highest confidence of a decision that wanted a position
    modes: list[tuple[int, str, str]] = []  # since when (ns), which, and why

    def note(self, outcomes: list[str], sure: float) -> None:
        """Count the decisions of a moment."""
        for word in outcomes:
            self.outcomes[word] = self.outcomes.get(word, 0) + 1
        self.sure = max(self.sure, sure)


class RLv3LiveOrchestrator:
    """Asks a trained pilot at every moment and does with its answer what the mode in force says.

    Without a pilot nothing is asked, recorded or changed.
    """

    def __init__(
        self, source: PilotSource | None, interval_ns: int, stance: PilotStance, market: Market, account: Account,
        policy: PolicyInForce, opening: Opening, protection: Protection, instruments: Instruments, records: Records,
        supervise: Supervise,
    ) -> None:
        """*supervise*: runs what is done with a decision; on a live account an error halts openings and no more."""
        self.stance = stance
        self._supervise = supervise
        self._interval_ns = interval_ns
        self._market, self._account, self._policy = market, account, policy
        self._opening, self._protection = opening, protection
        self._instruments, self._records = instruments, records
        self._shield = Shield()
        self._failures = 0  # decisions in a row
        self._untold = ""  # how it failed before the first record
        self.counts = PilotCounts()
        self._intents, self._sent = 0, 0  # number of the last intent, and how many were not refused
        self._opened_ns: list[int] = []  # when intents that open or add were sent, in the last hour
        self.tenure = PilotTenure(instruments, interval_ns, market, policy, records)
        self._parts: PilotParts | None = None
        if source is not None:
            self._parts = self.tenure.parts_of(source)
            stance.follow(source)

    # ------------------------------------------------------------------ settings

    @property
    def identity(self) -> str:
        """The model in use; empty without one."""
        return self._parts.source.identity if self._parts is not None else ""

    @property
    def name(self) -> str:
        """The name of the model in use; empty without one."""
        return self._parts.source.name if self._parts is not None else ""

    @property
    def failed(self) -> str:
        """Why the pilot is not asked any more; empty while it is."""
        return self.stance.failure

    def ask_again(self) -> None:
        """Ask the pilot although it failed before: another process has taken over."""
        self._failures, self.stance.failure = 0, ""

    @property
    def totals(self) -> PilotTotals | None:
        """What pilot, signals and both would have done so far; None without a pilot."""
        return self._parts.shadows.totals if self._parts is not None else None

    @property
    def intents(self) -> int:
        """Intents sent so far, reducing ones among them."""
        return self._sent

    def set_settings(self, change: PilotChanged, now_ns: int) -> None:
        """Put the settings after *change* into force; it says who asked for them and why."""
        if change.after.mode_in_force is not self.stance.settings.mode_in_force:
            self.tenure.mode_changed(change, self.identity, now_ns)
        settings = self.stance.settings = change.after
        if self._parts is not None:
            self._records.record("pilot.changed", "", now_ns, change)
            self._records.tally.event(now_ns, "pilot", f"mode {settings.mode_in_force.value}: {change.reason}")
            self.counts.modes.append((now_ns, settings.mode_in_force.value, change.reason))

    def why_not(self, source: PilotSource, now_ns: int) -> str:
        """Why *source* may not take the pilot's place now, in a sentence; empty where it may."""
        if self._parts is None:
            return _NO_PILOT
        return self.tenure.why_not(source, self._parts.source, self.stance.settings.mode_in_force, now_ns)

    def take_model(self, source: PilotSource, now_ns: int) -> str:
        """Let *source* take the pilot's place from the next bar on; returns why it may not, empty where it has.

        Nothing is opened or closed by that: open positions keep their plans and stops, and the new model decides on
        them with the next bars. One that may not changes nothing.
        """
        before = self._parts
        if before is None or (why_not := self.why_not(source, now_ns)):
            return why_not if before is not None else _NO_PILOT
        after = self.tenure.successor(source, before)
        self.tenure.replace(before, after, self.stance.settings.mode_in_force, now_ns)
        self._parts, self._untold = after, ""
        self.ask_again()
        self.stance.forget()
        self.stance.follow(source)
        return ""

    # ------------------------------------------------------------------ bars

    def warm(self, batch: MarketBatch) -> None:
        """Show the pilot bars of before the trading begins."""
        if self._parts is not None and not self.failed:
            now_ns = batch.ts_ns + self._interval_ns
            self._run(
                0, now_ns % self._parts.source.length_ns == 0, self._parts.source.observe, batch.ts_ns, batch.ohlcv,
                batch.present, self._market.paid.feed(now_ns),
            )

    def take_filters(self) -> None:
        """Take the filters of the symbols, which have changed, into the shadow books."""
        if self._parts is not None:
            self._parts.shadows.take_filters()

    def before_hole(self, index: int, ts_ns: int) -> None:
        """End the shadow positions of a symbol whose data ends here for more than a day."""
        if self._parts is not None:
            self._parts.shadows.before_hole(index, ts_ns)

    @property
    def is_there(self) -> bool:
        """Whether there is a pilot."""
        return self._parts is not None

    def take(self, batch: MarketBatch, costs_bps: Any, rates: Any) -> list[Command]:
        """Take the screened bars of a moment, whose measures the market has; returns the commands to be sent.

        *costs_bps* (S,): of a taker, as known before these bars; *rates* (S,): of funding due at their open. Where the
        pilot does not trade, it is asked once the orders of the moment are out.
        """
        commands: list[Command] = []
        if self._parts is None:
            return commands
        self.stance.is_trained_on = self._market.now_ns <= self._parts.source.trained_until_ns
        costs, now_ns = (costs_bps, rates), self._market.now_ns
        what = ("pilot", self.identity[:12], now_ns, self._decide, self._parts, batch, costs, commands)
        if self.stance.mode in TRADES:
            self._supervise(*what)
        else:
            commands += self.leave_all()
            self._records.afterwards(self._supervise, *what)
        return commands

    def leave_all(self) -> list[Command]:
        """Close the pilot's positions: nobody would leave them while it does not trade."""
        commands: list[Command] = []
        for position in list(self._account.books.positions.values()):
            if position.plan.owner == PILOT and position.exit_reason is None:
                commands += self._close(position)
        return commands

    def _decide(self, parts: PilotParts, batch: MarketBatch, costs: tuple[Any, Any], commands: list[Command]) -> None:
        """Ask the pilot about the bars of a moment, and act on, follow and record what it says."""
        source, confidence, shadows = parts
        mode, now_ns = self.stance.mode, self._market.now_ns
        shadows.take(batch, *costs, asked=mode is not PilotMode.OFF and not self._market.is_past)
        confidence.learn(batch)
        is_observed, told = now_ns % source.length_ns == 0, self._untold
        if told:
            self._untold = ""
            self._tell(now_ns, told)
        if mode is PilotMode.OFF and is_observed:
            shadows.leave()
        if self.failed:
            return
        bars = (batch.ts_ns, batch.ohlcv, batch.present, self._market.paid.feed(now_ns))
        if mode is PilotMode.OFF or self._market.is_past:
            self._run(now_ns, is_observed, source.observe, *bars)
            if is_observed:
                self.stance.forget()
            return
        own = self._own(parts, mode, now_ns) if is_observed else None
        found = self._run(now_ns, is_observed, self._predictions, source, *bars, own)
        if found is None:
            self.stance.forget()
        elif is_observed:
            self._act(parts, found, batch, mode, own, commands)

    def _predictions(self, source: PilotSource, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Any:
        """What *source* says; an answer that makes no sense is an error of the pilot."""
        found = source.take(ts_ns, ohlcv, present, feed, own)
        check_predictions(found, len(self._instruments.symbols), ts_ns + self._interval_ns)
        return found

    def _act(
        self, parts: PilotParts, found: Predictions, batch: MarketBatch, mode: PilotMode, own: Any,
        commands: list[Command],
    ) -> None:
        """Do what *mode* says with the predictions of a moment."""
        source, confidence, shadows = parts
        held = own[:, own_col.SIDE] * self._shares(parts, mode)
        wanted = np.full(len(held), np.nan)
        asked_for, keeps = _SHARES[found.actions], np.zeros(len(held), dtype=np.bool_)
        keeps[found.places] = asked_for != asked_for
        wanted[found.places] = np.where(asked_for == asked_for, asked_for, held[found.places])
        sure = confidence.of(
            wanted, batch.present, self._market.round_trips_bps(), self._market.symbols[:, stage.SYM_FUNDING]
        )
        stance = self.stance
        stance.signs[:], stance.confidences[:] = [(one > 0.0) - (one < 0.0) for one in wanted.tolist()], sure
        ranges = source.range_ratios * self._market.closes
        shadows.want(Wishes(wanted, keeps, sure, ranges, stance))
        outcomes, intents = [], []
        for place in found.places.tolist():
            share, before = float(wanted[place]), float(held[place])
            if mode in TRADES:
                stop = (float(ranges[place]), source.stop_atr)
                outcome, intent_id = self._supervise(
                    "pilot", self._instruments.symbols[place], found.closed_ns, self._trade, place, share, before, stop,
                    commands,
                ) or (_FAILED, "")
            else:
                outcome, intent_id = (_SHADOW if share != before else _NOTHING), ""
            outcomes.append(outcome)
            intents.append(intent_id)
        self.counts.note(outcomes, float(sure.max(initial=0.0)))
        self._records.afterwards(self._record, found, mode, sure, wanted, held, outcomes, intents, found.closed_ns)

    def _record(
        self, found: Predictions, mode: PilotMode, sure: Any, wanted: Any, held: Any, outcomes: list[str],
        intents: list[str], now_ns: int,
    ) -> None:
        """Record the decisions of a moment."""
        if not len(found.places):
            return
        places, symbols = found.places.tolist(), self._instruments.symbols
        self._records.record("pilot.decided", "", now_ns, PilotDecided(
            mode=mode, model=self.identity, closed_ns=now_ns, symbols=[symbols[place] for place in places],
            actions=[ACTIONS[chosen].action.value for chosen in found.actions.tolist()],
            probabilities=found.probabilities.max(axis=1).tolist(), confidences=sure[found.places].tolist(),
            wanted=wanted[found.places].tolist(), held=held[found.places].tolist(), outcomes=outcomes, intents=intents,
        ))

    def _run(self, now_ns: int, is_observed: bool, call: Callable[..., Any], *arguments: Any) -> Any:
        """What *call* of the pilot returns; None where it failed. After FAILURES in a row it is not asked again.

        *is_observed*: an observed bar is complete; between two the pilot decides nothing, so that success proves
        nothing. *now_ns*: 0 in a warm-up, whose failure is recorded with the first bars.
        """
        failures = self._shield.failures
        found = self._shield.run(call, *arguments)
        if self._shield.failures == failures:
            if is_observed:
                self._failures = 0
            return found
        self._failures += 1
        if self._failures >= FAILURES:
            self.stance.failure = self._shield.last
            self.stance.forget()
        if not now_ns:
            self._untold = self._shield.last
        elif self._failures in (1, FAILURES):
            self._tell(now_ns, self._shield.last)
        return None

    def _tell(self, now_ns: int, error: str) -> None:
        """Record that the pilot failed."""
        self._records.record("pilot.failed", "", now_ns, PilotFailed(
            model=self.identity, what="SLOW" if error.startswith("TimeoutError") else "RAISED", error=error,
        ))
        self._records.tally.event(now_ns, "pilot", f"failed, trading goes on without it: {error}")

    # ------------------------------------------------------------------ what it observes of the account

    def _shares(self, parts: PilotParts, mode: PilotMode) -> Any:
        """The share of the equity (S,) that each of its positions was opened or resized for; 0 where it has none."""
        if mode not in TRADES:
            return parts.shadows.pilot_shares
        shares = np.zeros(len(self._instruments.symbols))
        for position in self._account.books.positions.values():
            if position.plan.owner == PILOT:
                shares[position.index] = position.plan.share
        return shares

    def _own(self, parts: PilotParts, mode: PilotMode, now_ns: int) -> Any:
        """The account's features (S, 11) before scaling: its own positions, in SHADOW those of its shadow book."""
        source, _, shadows = parts
        books = self._account.books
        own = np.zeros((len(self._instruments.symbols), own_col.OWN_SIZE))
        if mode in TRADES:
            equity = max(self._account.equity, LEAST_EQUITY * self._policy.settings.start_equity)
            for position in books.positions.values():
                close = self._market.close(position.index)
                close = close if close > 0.0 else position.entry_price  # no bar of the symbol yet
                own[:, own_col.ACCOUNT_EXPOSURE] += position.qty * close / equity
                if position.plan.owner == PILOT:
                    _fill_position(own[position.index], position, close, equity, now_ns, source.length_ns)
            peak = max(self._account.peak, equity)
            own[:, own_col.ACCOUNT_DRAWDOWN] = max(0.0, 1.0 - equity / peak) if peak > 0.0 else 0.0
            own[:, own_col.LOSSES_IN_A_ROW] = books.losing_streak
        else:
            shadows.fill_own(own, now_ns)
        used = [self._policy.used(index) for index in range(len(own))]
        own[:, _IN_FORCE] = [(one.min_confidence, one.risk_pct, float(one.gate and one.symbol)) for one in used]
        return own

    # ------------------------------------------------------------------ trading

    def _trade(
        self, index: int, wanted: float, held: float, stop: tuple[float, float], commands: list[Command]
    ) -> tuple[str, str]:
        """Bring a symbol's position to the signed share *wanted*; returns what became of it and the intent's id.

        *stop*: the ATR in price units, and how many of them away the stop of a new position lies.
        """
        symbol = self._instruments.symbols[index]
        position = self._account.books.positions.get(symbol)
        if wanted == held:
            return self._reduce_rest(position, commands)
        if position is not None and position.plan.owner != PILOT:
            return _OTHERS, ""
        if position is not None and position.exit_reason is not None:
            return _NOTHING, ""
        if wanted * held <= 0.0 and position is not None:  # the other side may open at the next decision
            commands += self._close(position)
            return _SENT, ids.pilot_intent_id(self._intents)
        if position is not None and abs(wanted) < abs(held):
            return self._reduce(position, abs(wanted), commands)
        if wanted == 0.0:
            return _NOTHING, ""
        return self._open(index, wanted, position, stop, commands)

    def _open(
        self, index: int, wanted: float, position: Position | None, stop: tuple[float, float], commands: list[Command]
    ) -> tuple[str, str]:
        """Open a position, or add to one."""
        sign, confidence = (1 if wanted > 0.0 else -1), float(self.stance.confidences[index])
        settings, now_ns = self.stance.settings, self._market.now_ns
        blend = self._blend(index, sign, confidence)
        if blend is None:
            return _SIGNAL, ""
        sure = boosted(confidence, blend.bonus)
        if sure < settings.min_confidence:
            return _LOW, ""
        self._opened_ns = [sent for sent in self._opened_ns if sent > now_ns - NS_PER_HOUR]
        if len(self._opened_ns) >= settings.max_trades_per_hour:
            return _RATE, ""
        used = self._policy.used(index)
        exits = ExitPlan(stop[0], *score_exit_row(stop[1], used.exit_code), True)
        if position is not None:
            exits, position.plan.reduced_to = exits._replace(atr=position.plan.atr), 0.0
        self._intents += 1  # also where it is refused: a refusal on record has an id of its own
        number = self._intents
        wish = EntryWish(
            place=index, sign=sign, confidence=sure, bonus=blend.bonus, exits=exits,
            quantity=self._quantity(index, abs(wanted) * blend.size, self._opening.risk_factor(index)),
            added_to=position, source=blend.source, owner=PILOT, share=abs(wanted),
            hours=self.stance.horizon_days * _DAY_HOURS,
            intent_id=ids.pilot_intent_id(number), trace_id=ids.pilot_trace_id(number),
        )
        reason, _, _ = self._opening.enter(wish, commands)
        if reason:
            return reason, ""
        self._opened_ns.append(now_ns)
        self._sent += 1
        return _SENT, wish.intent_id

    def _blend(self, index: int, sign: int, confidence: float) -> _Blend | None:
        """Under which source an entry goes; None where a signal of the other side, or a surer one, goes before it."""
        if self.stance.mode is not PilotMode.HYBRID:
            return _Blend(RL_PRIMARY)
        other, theirs = self._opening.standing_signal(index)
        if other == 0:
            return _Blend(HYBRID_RL)
        if theirs >= confidence:
            return None
        if other == sign and confidence >= self.stance.settings.min_confidence:
            return _Blend(HYBRID_CONSENSUS, CONSENSUS_BONUS, CONSENSUS_SIZE)
        return _Blend(HYBRID_RL)

    def _quantity(self, index: int, share: float, factor: float) -> float:
        """The quantity that a *share* of the equity is, times the *factor* of record and governor; 0.0: no price."""
        price = self._market.close(index)
        return share * factor * self._account.equity / price if price > 0.0 else 0.0

    def _reduce(self, position: Position, share: float, commands: list[Command]) -> tuple[str, str]:
        """Make *position* smaller; never gated, and no matter how sure the pilot is.

        Where record or governor leave nothing to open (EMERGENCY) it is still reduced to its whole share, and without
        any equity left it is closed.
        """
        price, factor = self._market.close(position.index), self._opening.risk_factor(position.index)
        most = self._quantity(position.index, share, factor if factor > 0.0 else 1.0)
        if price > 0.0 and not most > 0.0:
            commands += self._close(position)
            return _SENT, ids.pilot_intent_id(self._intents)
        excess = self._protection.excess(position, most, price)
        if not excess > 0.0:
            return _NOTHING, ""
        position.plan.share = share
        return self._reduce_to(position, most, excess, commands)

    def _reduce_to(
        self, position: Position, most: float, excess: float, commands: list[Command]
    ) -> tuple[str, str]:
        """Send the reduction of *position* to the quantity *most*, which takes *excess* off it."""
        position.plan.reduced_to = most
        intent_id = self._note_reducing(position, excess)
        commands += self._protection.reduce_to(position, most, self._market.close(position.index), self._market.now_ns)
        return _SENT, intent_id

    def _reduce_rest(self, position: Position | None, commands: list[Command]) -> tuple[str, str]:
        """Go on with a reduction that the venue refused or took a part of; nothing where there is none."""
        if position is None or position.plan.owner != PILOT or position.exit_reason is not None:
            return _NOTHING, ""
        most = position.plan.reduced_to
        excess = self._protection.excess(position, most, self._market.close(position.index))
        if excess > 0.0:
            return self._reduce_to(position, most, excess, commands)
        if not self._protection.is_reducing(position):
            position.plan.reduced_to = 0.0  # done; what others add is not the pilot's to take off
        return _NOTHING, ""

    def _close(self, position: Position) -> list[Command]:
        """Close *position* with a reduce-only intent."""
        self._note_reducing(position, position.qty)
        return self._protection.close(position, ExitReason.INTENT, self._market.now_ns)

    def _note_reducing(self, position: Position, qty: float) -> str:
        """Record the intent that takes *qty* off *position*; returns its id."""
        self._intents += 1
        self._sent += 1
        now_ns, intent_id = self._market.now_ns, ids.pilot_intent_id(self._intents)
        self._records.record("trade.intent", position.plan.trace_id, now_ns, Intent(
            intent_id=intent_id, trace_id=position.plan.trace_id, symbol=position.symbol,
            side=Side.LONG if position.sign > 0 else Side.SHORT, qty=qty, reduce_only=True,
            reference_price=self._market.close(position.index), stop_price=0.0, leverage=position.plan.leverage,
            created_ns=now_ns, expires_ns=now_ns + self._opening.intent_life_ns, source=position.plan.model,
            confidence=float(self.stance.confidences[position.index]), policy_hash=self._policy.deciding_hash,
        ))
        return intent_id

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "settings": msgspec.to_builtins(self.stance.settings), "stance": self.stance.state(),
            "intents": self._intents, "opened_ns": list(self._opened_ns),
            "failures": self._failures, "untold": self._untold, "sent": self._sent,
            "mode_since_ns": self.tenure.mode_since_ns, "promoted": self.tenure.promoted, "tenure": self.tenure.state(),
            "counts": msgspec.to_builtins(self.counts),
            "parts": [part.state() for part in self._parts] if self._parts is not None else [],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where another model was in use.

        A folder from before there were pilots, or without one, begins with the pilot that is given now.
        """
        if not state:
            return
        self.counts = msgspec.convert(state["counts"], PilotCounts)
        self.stance.settings = msgspec.convert(state["settings"], PilotSettings)
        self.stance.load_state(state["stance"])
        self._intents, self._opened_ns = state["intents"], list(state["opened_ns"])
        self._failures, self._untold, self._sent = state["failures"], state["untold"], state["sent"]
        self.tenure.mode_since_ns = state.get("mode_since_ns", 0)
        self.tenure.promoted = state.get("promoted", self.identity)
        self.tenure.load_state(state.get("tenure", {}), self.stance.settings.mode_in_force)
        if self._parts is not None and state["parts"]:
            source, confidence, shadows = state["parts"]
            self._parts.source.load_state(source)
            self._parts.confidence.load_state(confidence)
            self._parts.shadows.load_state(shadows)


def _fill_position(row: Any, position: Position, close: float, equity: float, now_ns: int, length_ns: int) -> None:
    """Write what *position* is at *close* into the account's *row* (11,) of its symbol."""
    risk = position.peak_qty * abs(position.entry_price - position.first_stop)
    gain = position.sign * position.qty * (close - position.entry_price)
    row[own_col.SIDE] = position.sign
    row[own_col.SIZE_SHARE] = position.qty * close / equity
    row[own_col.OPEN_R] = gain / risk if risk > 0.0 else 0.0
    row[own_col.HELD_BARS] = max(0.0, (now_ns - position.entry_ns) / length_ns)
    row[own_col.STOP_SHARE] = abs(close - position.stop) / close if close > 0.0 and position.stop > 0.0 else 0.0
