"""What each signal was worth, and what the policy would have done with it: shadow trades, verdicts and evidence.

Nothing here reaches an order in the moment it is found; what shadow trades teach counts from the next moment on.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_SECOND
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Signal
from quantum_trader.engine import ids, stage
from quantum_trader.engine.account import Account
from quantum_trader.engine.exit_shadows import ExitShadows
from quantum_trader.engine.facts import HaltNotice, PolicyVerdict, ShadowResult, SignalDecision
from quantum_trader.engine.market import Market, ShadowTerms, shadow_hours
from quantum_trader.engine.payoff import Payoff
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.recorder import POLICY
from quantum_trader.engine.records import Records
from quantum_trader.engine.road import shadow_bracket
from quantum_trader.engine.supervision import Shield
from quantum_trader.engine.tally import ShadowEnd
from quantum_trader.policy.enforcement import SWITCH_EXIT_MODE, refusal_names, refusals, removed_by_switch
from quantum_trader.policy.layout import PROFILE_RECOVERY_AFTER, PROFILE_STREAK_LIMIT
from quantum_trader.policy.ledger import RolloutLedger
from quantum_trader.policy.streaks import streak_ends
from quantum_trader.risk.exits import exit_row
from quantum_trader.signals import columns as col
from quantum_trader.signals.shadow import (
    RESOLVED_BARS,
    RESOLVED_COST_BPS,
    RESOLVED_ENTRY,
    RESOLVED_EXIT,
    RESOLVED_FILL,
    RESOLVED_FROM,
    RESOLVED_FUNDING_BPS,
    RESOLVED_NET_BPS,
    RESOLVED_NET_R,
    RESOLVED_SEQ,
    RESOLVED_SYMBOL,
    RESOLVED_WEIGHT,
    SHADOW_SCORE,
    SHADOW_STOP,
    SHADOW_TARGET,
    SHADOW_TIMEOUT,
    ShadowBook,
)

_EXITS: Final = {
    SHADOW_STOP: "STOP", SHADOW_TARGET: "TARGET", SHADOW_TIMEOUT: "TIMEOUT", SHADOW_SCORE: "SCORE",
}
_OUTAGE_HOURS: Final = 72.0  # a day until the entry and a day until the last bar, with outages, and a day to spare
# Flags of a signal whose shadow trade is open; the bits of its gates stand _GATES bits higher.
_TRADED, _BLOCKED, _GATES = 1, 2, 2


class Judging:
    """Shadow trades of all signals, the pairs of exits that are compared, and the evidence for each switch."""

    def __init__(
        self, market: Market, account: Account, policy: PolicyInForce, records: Records, shield: Shield,
        symbols: tuple[str, ...], exit_shadows: ExitShadows,
    ) -> None:
        self._market, self._account, self._policy = market, account, policy
        self._records, self._shield, self._symbols = records, shield, symbols
        hours = shadow_hours(market.forecasts)
        self.shadows = ShadowBook(len(symbols), market.interval_ns, market.symbols[:, stage.SYM_FEE_BPS], hours)
        self._outcome_ns = int((hours + _OUTAGE_HOURS) * NS_PER_HOUR)
        self.exit_shadows = exit_shadows
        self.ledger = RolloutLedger(policy.settings.profile.name)
        self.ledger.max_open_ns = self._outcome_ns
        self._open: dict[int, tuple[int, int]] = {}  # signal number -> its time (ns); _TRADED, _BLOCKED
        self._shadow_wins = 0  # untraded signals in a row that would have won, since the last closed trade
        self._last_close_ns = 0
        self._resolved = 0  # shadow trades that the moment's bars have ended
        self.payoff = Payoff()

    # ------------------------------------------------------------------ bars

    def move_shadows(self, batch: MarketBatch, costs_bps: Any, rates: Any) -> None:
        """Take shadow trades and exit pairs through the bars.

        *costs_bps* (S,) as known before them; *rates* (S,): sums of the funding rates due at their open.
        """
        self._resolved = self.shadows.on_bar(batch, costs_bps, rates)
        if ended := self._shield.run(self.exit_shadows.on_bar, batch, costs_bps, rates):
            self._shield.run(self._exits_closed, ended)

    def follow_targets(self, targets: Any, decided: Any) -> None:
        """Let the shadow trades end at the next open that are against the models' new *targets* (S,)."""
        self.shadows.leave(targets, decided)

    def learn(self, now_ns: int) -> None:
        """Count the results of this moment's bars from the next moment on."""
        self._market.kernel.learn()
        self._shield.run(self.ledger.advance, now_ns)
        if self._resolved:
            self._shadows_closed(self._resolved, now_ns)
            self._end_streak(now_ns)

    def before_hole(self, index: int, now_ns: int) -> None:
        """End the shadow trades of a symbol whose data ends here for more than a day."""
        for seq in self.exit_shadows.drop(index):
            self._shield.run(self.ledger.abandon, ids.exit_pair_id(seq))
        resolved = self.shadows.close_before_hole(index)
        if resolved:
            self._shadows_closed(resolved, now_ns)

    def trade_closed(self, now_ns: int) -> None:
        """Count wins of untraded signals from here on: a trade has closed."""
        self._shadow_wins, self._last_close_ns = 0, now_ns

    def _shadows_closed(self, count: int, now_ns: int) -> None:
        """Take the results of shadow trades: for the symbol's record, the evidence and the tally."""
        for row in self.shadows.resolved[:count].tolist():
            seq, index, r = int(row[RESOLVED_SEQ]), int(row[RESOLVED_SYMBOL]), row[RESOLVED_NET_R]
            ts_ns, flags = self._open.pop(seq, (now_ns, 0))
            self.payoff.add(r, ts_ns)
            if not flags & _TRADED:
                self._account.performance.shadow(index, r)
                self._shadow_wins = self._shadow_wins + 1 if r > 0.0 else 0
            result = ShadowResult(
                signal_id=ids.signal_id(seq), symbol=self._symbols[index], r=r,
                exit=_EXITS.get(int(row[RESOLVED_EXIT]), "HOLE"), bars_held=int(row[RESOLVED_BARS]),
                traded=bool(flags & _TRADED), entry_price=row[RESOLVED_ENTRY], exit_price=row[RESOLVED_FILL],
                net_bps=row[RESOLVED_NET_BPS], cost_bps=row[RESOLVED_COST_BPS], funding_bps=row[RESOLVED_FUNDING_BPS],
                entry_ns=int(row[RESOLVED_FROM]) * self._market.interval_ns, weight=row[RESOLVED_WEIGHT],
            )
            self._records.afterwards(self._record_shadow, seq, result, ts_ns, flags, now_ns)

    def _record_shadow(self, seq: int, result: ShadowResult, ts_ns: int, flags: int, now_ns: int) -> None:
        self._records.tally.shadows.add(ShadowEnd(
            seq, ts_ns, now_ns, result.r, bool(flags & _BLOCKED), result.net_bps, result.traded, flags >> _GATES
        ))
        self._shield.run(self.ledger.resolve, seq, result.r)
        self._records.record("shadow.closed", ids.signal_trace_id(seq), now_ns, result)

    def _end_streak(self, now_ns: int) -> None:
        """End a losing streak, and rule B2's latch, that no trade may be permitted to end (policy.streaks)."""
        books, profile = self._account.books, self._policy.slots.profile
        flat_s = 0.0 if books.positions else (now_ns - self._last_close_ns) / NS_PER_SECOND
        if streak_ends(
            books.losing_streak, books.broken_streak, books.wins_since, flat_s, self._shadow_wins,
            float(profile[PROFILE_STREAK_LIMIT]), float(profile[PROFILE_RECOVERY_AFTER]),
        ):
            streak = books.losing_streak or books.broken_streak
            reason = (
                f"losing streak of {streak} ended by {self._shadow_wins} shadow wins in a row and "
                f"{flat_s / 3_600.0:.0f} h without a position"
            )
            books.forget_streak()
            self._shadow_wins = 0
            if self._policy.settings.policy_enabled:  # the policy alone asks for the streak, by its profile's limits
                notice = HaltNotice(kind="streak", reason=reason, owner="policy", exit_path="")
                self._records.record("halt.cleared", "", now_ns, notice, POLICY)

    def _exits_closed(self, ended: list[tuple[int, float, float]]) -> None:
        """Hand the results of ended exit pairs to the evidence."""
        for seq, fixed_r, policy_r in ended:
            if fixed_r == fixed_r:
                self.ledger.resolve(ids.exit_pair_id(seq), fixed_r, exit_r=policy_r)
            else:
                self.ledger.abandon(ids.exit_pair_id(seq))

    # ------------------------------------------------------------------ signals

    def open_shadow(
        self, seq: int, index: int, row: list[float], sign: int, by_score: ShadowTerms | None, *, traded: bool,
        gates: int,
    ) -> float:
        """Start the shadow trade of signal *seq*, where its symbol is warm and has room for one.

        *by_score*: of a model whose score holds positions; without it the shadow has the standard bracket. *gates*:
        ``GateJudgement.bits``. Returns the longest time that it may last, hours; 0.0 where none was started.
        """
        atr = by_score.atr if by_score is not None else row[col.ATR_1H]
        if not atr > 0.0:
            return 0.0
        if by_score is not None:
            is_open = self.shadows.open(index, seq, sign, atr, by_score.stop_atr, weight=by_score.weight)
        else:
            is_open = self.shadows.open(index, seq, sign, atr, *shadow_bracket(int(row[col.TREND]), row[col.VOL_RATIO]))
        if not is_open:
            return 0.0
        self._open[seq] = (self._market.now_ns, (_TRADED if traded else 0) | gates << _GATES)
        return self.shadows.max_bars * self._market.interval_ns / NS_PER_HOUR

    def judge(
        self, seq: int, index: int, signal: Signal, decision: SignalDecision, open_count: int, symbol_good: int
    ) -> None:
        """Record what the policy, fully enforced, would have done with a signal, and note its evidence."""
        policy, now_ns = self._policy, signal.ts_ns
        says = policy.says(index)
        removed = removed_by_switch(
            policy.switches, says, policy.fixed[symbol_good], signal.confidence, open_count
        )
        self.ledger.record(seq, now_ns, (*removed[:SWITCH_EXIT_MODE], 0.0))
        if removed[SWITCH_EXIT_MODE] != 0.0 and self._market.wanted is None:
            self._follow_exits(seq, index, signal, says.exit_code, removed[SWITCH_EXIT_MODE])
        reasons = refusal_names(refusals(says, signal.confidence, open_count))
        if seq not in self._open:
            self.ledger.abandon(seq)
        elif reasons:
            ts_ns, flags = self._open[seq]
            self._open[seq] = (ts_ns, flags | _BLOCKED)
        verdict = PolicyVerdict(
            signal_id=signal.signal_id, verdict="BLOCK" if reasons else "ALLOW", reasons=reasons, removed=removed,
            policy_hash=policy.content_hash, min_confidence=says.min_confidence, risk_pct=says.risk_pct,
        )
        self._records.record("policy.verdict", signal.trace_id, now_ns, verdict, POLICY)
        if policy.watcher is not None:
            policy.watcher.signal_decided(signal, decision, verdict)

    def _follow_exits(self, seq: int, index: int, signal: Signal, policy_mode: int, share: float) -> None:
        """Follow a signal whose exit the policy would change under both exit modes, as evidence for that switch."""
        row = self._market.kernel.out[index]
        exits = exit_row(int(row[col.TREND]), int(self._market.levels[index]))
        fixed_mode = self._policy.fixed[0].exit_code
        if self.exit_shadows.open(
            index, seq, signal.action.sign, float(row[col.ATR_1H]), exits, fixed_mode, policy_mode
        ):
            self.ledger.record(ids.exit_pair_id(seq), signal.ts_ns, (0.0,) * 5 + (share,), again=True)

    def first_open(self, *, blocked: bool) -> int | None:
        """Number of the earliest signal of this kind whose shadow trade is open; None: none is."""
        known = (seq for seq, (_, flags) in self._open.items() if bool(flags & _BLOCKED) is blocked)
        return min(known, default=None)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "shadows": self.shadows.state(), "exit_shadows": self.exit_shadows.state(), "ledger": self.ledger.state(),
            "open": [[seq, *known] for seq, known in self._open.items()], "shadow_wins": self._shadow_wins,
            "last_close_ns": self._last_close_ns, "payoff": msgspec.to_builtins(self.payoff),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.shadows.load_state(state["shadows"])
        self.exit_shadows.load_state(state["exit_shadows"])
        self.ledger = RolloutLedger.load_state(state["ledger"])
        self.ledger.max_open_ns = self._outcome_ns
        self._open = {int(seq): (int(ts_ns), int(flags)) for seq, ts_ns, flags in state["open"]}
        self._shadow_wins, self._last_close_ns = state["shadow_wins"], state["last_close_ns"]
        self.payoff = msgspec.convert(state.get("payoff", {}), Payoff)  # none in a folder of before there were gates

