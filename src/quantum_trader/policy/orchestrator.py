"""The policy with a memory: holds, latches, history and persistence around the pure evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND, iso
from quantum_trader.domain.enums import Direction, EntryMode, ExitMode, RiskProfile, Trend, VolLevel
from quantum_trader.domain.errors import (
    InputError,
    QuantumTraderError,
    StateError,
    brief,
    is_utf8_text,
    require,
    require_finite,
)
from quantum_trader.domain.loss_window import RING_SIZE, empty_ring, newest_equity, scale_ring
from quantum_trader.domain.market import MarketState
from quantum_trader.domain.policy import CostMetrics, RiskState, SymbolPerformanceData
from quantum_trader.policy import clock
from quantum_trader.policy.bans import Bans
from quantum_trader.policy.core import MAX_RISK_AGE_S, Cost, MarketCodes
from quantum_trader.policy.evaluation import account_of, candidate_of, hold_trace, refused_symbols
from quantum_trader.policy.history import PolicyHistory
from quantum_trader.policy.inputs import (
    OVERALL,
    Costs,
    Performances,
    market_codes,
    market_of,
    overall_cost,
    quality_of,
)
from quantum_trader.policy.layout import (
    FIELD_ALLOW,
    FIELD_COUNT,
    HOLD_COUNT,
    HOLD_CURRENT,
    HOLD_WIDTH,
    MEM_DAY,
    MEM_HALT,
    MEM_LAST_S,
    MEM_LATCH_DAY,
    MEM_PEAK,
    RULE_B1,
    RULE_B2,
    RULE_B3,
    RULE_B4,
    RULE_HALT,
    SLOT_STARTED,
)
from quantum_trader.policy.policy import SlotValues, TradingPolicy, jaccard, shared_share, time_ns
from quantum_trader.policy.profiles import (
    ActiveProfile,
    OrchestratorConfig,
    ProfileMapping,
    get_active_profile,
    profile_vector,
)
from quantum_trader.policy.rules import RULES, WAITS, RuleChange, said, with_loss
from quantum_trader.policy.stability import (
    account_step,
    clamp_clock,
    hold_slot,
    looseness,
    new_memory,
    new_slot,
    scale_memory,
)
from quantum_trader.policy.storage import path_of
from quantum_trader.policy.store import SavedPolicy, read_policy_state, write_state
from quantum_trader.policy.streaks import StreakWatch
from quantum_trader.policy.symbol_slots import SymbolSlots, close_slot, in_force, safer_slot

_WRONG_TYPE: Final = (TypeError, AttributeError, ValueError, KeyError, OverflowError, RecursionError)
CLOCK_TOLERANCE_S: Final = 60.0  # a clock may step back this much; then time stands still
_HOUR_S: Final = 3_600.0
_LIMITS: Final = frozenset({RULE_B1, RULE_B2, RULE_B3, RULE_B4})
_log: Final = logging.getLogger(__name__)
_Memo = tuple[Any, ...]


class OrchestratorPolicy:
    """One authoritative policy, kept stable.

    Without arguments it runs the chosen profile: *config*, else *profile_name*, else ``ORCH_PROFILE``, else SAFE. With
    *state_path* its memory is saved at each change and restored at start; a damaged file is set aside (its new name is
    in ``recovered_from``), and nothing may be traded until :meth:`resume`.

    Where the risk state gives an equity the policy keeps the UTC day's peak itself, in its memory; no other object of
    the library derives a drawdown. Money paid in or out goes to :meth:`note_transfer`.
    """

    def __init__(
        self, config: OrchestratorConfig | None = None, profile_name: str | None = None,
        state_path: Path | str | None = None, *, profile_directory: Path | str | None = None,
    ) -> None:
        self.active: ActiveProfile = get_active_profile(config, profile_name, directory=profile_directory)
        self.config: OrchestratorConfig = self.active.config
        self.state_path = None if state_path is None else path_of("state_path", state_path)
        self.recovered_from = ""
        self.halt_reason = ""
        self._resumed = ""
        self._vector = tuple(profile_vector(self.config))
        self._fingerprint = self.config.fingerprint
        self._memory = new_memory()
        self._ring = empty_ring()
        self._overall = new_slot()
        self._symbols = SymbolSlots(self._vector)
        self._bans = Bans()
        self._performed: list[str] = []
        self._known: frozenset[str] = frozenset()
        self._streaks = StreakWatch()
        self._history = PolicyHistory(keeps_json=self.state_path is not None)
        self._memo: _Memo | None = None
        self._last_risk: RiskState | None = None
        self._policy = _closed(self.config, 0, ())
        if self.state_path is not None:
            self._restore(self.state_path)
        _log.info(
            "OrchestratorPolicy initialized: Base confidence=%.2f, Base risk=%.2f%%", self.config.base_confidence,
            self.config.base_risk_pct,
        )

    # ---- asking -----------------------------------------------------------------------------------------------------
    def get_policy(self) -> TradingPolicy:
        """The policy in force; before the first evaluation nothing is permitted."""
        return self._policy

    def get_history(self, limit: int | None = None) -> list[TradingPolicy]:
        """The last policies, oldest first; at most 100, at most *limit*."""
        whole = isinstance(limit, int) and not isinstance(limit, bool)
        require(limit is None or (whole and limit >= 0), "limit", limit, "must be a whole number, 0 or more")
        history = list(self._history.policies)
        return history if limit is None else history[len(history) - min(limit, len(history)):]

    @property
    def profile(self) -> ProfileMapping:
        """The profile in use as a mapping of its ten categories; a copy, so that changing it changes no policy."""
        return self.config.categories

    @property
    def latched(self) -> bool:
        """Whether rule B1 holds trading closed."""
        return self._memory[MEM_LATCH_DAY] >= 0.0

    @property
    def halted(self) -> bool:
        """Whether nothing may be traded until :meth:`resume`."""
        return self._memory[MEM_HALT] != 0.0

    @property
    def day_peak(self) -> tuple[int, float]:
        """The last UTC day seen (days since the epoch) and its peak equity in USDT; day -1 before any equity."""
        return int(self._memory[MEM_DAY]), self._memory[MEM_PEAK]

    # ---- evaluating -------------------------------------------------------------------------------------------------
    def update_policy(
        self, regime_tag: Trend | str, vol_level: VolLevel | str, risk_state: RiskState,
        symbol_performance: Performances | None = (), ensemble_quality: float | Costs | None = None,
        cost_metrics: Costs | float | None = None, *, direction: Direction | str | None = None,
        markets: Mapping[str, MarketState] | None = None, market_age_bars: float = 0.0,
        now: datetime | int | None = None,
    ) -> TradingPolicy:
        """Evaluate, hold, and return the policy in force.

        The fifth argument may be the costs, as it was published: it is recognised by its type, and the sixth is then
        the quality. *now* is a UTC datetime or ns since the epoch (the clock when None). *markets* gives symbols a
        market of their own, a mapping of *cost_metrics* costs of their own (``"*"`` for overall). Raises InputError for
        a value out of its domain or a *now* more than a minute before the last one, StateError when the state cannot
        be saved.
        """
        try:
            return self._update(
                regime_tag, vol_level, risk_state, symbol_performance, ensemble_quality, cost_metrics, direction,
                markets, market_age_bars, now,
            )
        except _WRONG_TYPE as error:  # checked after the failure: this is the hot path
            if isinstance(error, QuantumTraderError):
                raise
            costs = ensemble_quality if isinstance(cost_metrics, (int, float)) else cost_metrics
            raise _refusal({
                "risk_state": (risk_state, RiskState),
                "symbol_performance": (symbol_performance, SymbolPerformanceData),
                "cost_metrics": (costs, CostMetrics), "markets": (markets, MarketState),
            }, error) from None

    def _update(
        self, regime_tag: Trend | str, vol_level: VolLevel | str, risk_state: RiskState,
        symbol_performance: Performances | None, ensemble_quality: float | Costs | None,
        cost_metrics: Costs | float | None, direction: Direction | str | None,
        markets: Mapping[str, MarketState] | None, market_age_bars: float,
        now: datetime | int | None,
    ) -> TradingPolicy:
        """Evaluate, hold, and return the policy in force; nothing changes before every input has been read."""
        now_ns = clock.now_ns() if now is None else time_ns("now", now)
        now_s = now_ns / NS_PER_SECOND
        symbol_performance = () if symbol_performance is None else symbol_performance
        measured, costs = _ordered(ensemble_quality, cost_metrics)
        memo = self._memo
        if (
            memo is not None and memo[0] is risk_state and self._memory[MEM_LAST_S] <= now_s < memo[9]
            and memo[1:6] == (regime_tag, vol_level, direction, market_age_bars, measured)
            and _same(memo[6], costs) and _same(memo[7], symbol_performance) and _same(memo[8], markets)
        ):
            self._memory[MEM_LAST_S] = now_s
            return self._policy
        if now_s < self._memory[MEM_LAST_S] - CLOCK_TOLERANCE_S:
            raise InputError(
                f"now = {iso(now_ns)}: lies before the last evaluation "
                f"({iso(int(self._memory[MEM_LAST_S] * NS_PER_SECOND))}); time cannot go backwards"
            )
        require(isinstance(risk_state, RiskState), "risk_state", risk_state, "must be a RiskState: create_risk_state()")
        self._memo = None
        market = market_of(regime_tag, vol_level, direction, market_age_bars)
        quality = quality_of(measured)
        performances = symbol_performance.values() if isinstance(symbol_performance, Mapping) else symbol_performance
        own = {symbol: market_codes(state) for symbol, state in markets.items()} if markets else {}
        cost = overall_cost(costs)
        refused = refused_symbols(performances, costs, self._vector)
        known = self._known_now(performances, markets, costs)
        before = () if self.state_path is None else self._remembered()
        policy, another, until_s = self._evaluate(
            now_ns, risk_state, quality, market, cost, costs, own, refused, known
        )
        if risk_state is self._last_risk:  # the same object again: the whole call may be repeated
            self._memo = (
                risk_state, regime_tag, vol_level, direction, market_age_bars, measured, _frozen(costs),
                _frozen(symbol_performance), _frozen(markets), until_s,
            )
        self._last_risk = risk_state
        due = self.state_path is not None and (another or self._remembered() != before)
        if another:
            self._adopt(policy)
        else:
            self._policy = policy
        if due:
            self.save()
        return self._policy

    def _evaluate(
        self, now_ns: int, risk: RiskState, quality: float, market: MarketCodes, cost: Cost, costs: Costs | None,
        own: dict[str, MarketCodes], refused: dict[str, int], known: frozenset[str],
    ) -> tuple[TradingPolicy, bool, float]:
        """Run the rules and bring every slot and ban to what they say.

        Returns the policy in force, whether it is another one than before, and until when (seconds) the same inputs
        give the same policy.
        """
        memory, vector = self._memory, self._vector
        now_s, last_s = clamp_clock(memory, now_ns / NS_PER_SECOND)
        equity = math.nan if risk.equity is None else risk.equity
        drawdown, latched = account_step(
            memory, self._ring, now_s, risk.daily_pnl_pct, risk.day_drawdown_pct, equity, vector
        )
        age_s = (now_ns - risk.ts_ns) / NS_PER_SECOND if risk.ts_ns else 0.0
        given = risk.losing_streak, risk.broken_streak, risk.wins_since
        streak = self._streaks.see(given, risk.open_trades_count, now_s, vector)
        account = account_of(risk, streak, drawdown, latched, age_s, memory[MEM_HALT] != 0.0, quality)
        waiting = self._bans.hold(refused, known, now_s, last_s, vector)
        shares = self._set_shares(refused, known)
        candidate, _, trace = candidate_of(market, cost, account, True, vector)
        started = self._overall[SLOT_STARTED] != 0.0
        changed, held = hold_slot(self._overall, candidate, now_s, last_s, shares[0], shares[1], vector)
        pending = held
        if own or self._symbols.rows or isinstance(costs, Mapping):
            slots_changed, slots_held = self._symbols.hold(
                market, costs, own, account, refused, self._policy.disallowed_symbols,
                self._overall if started else None, now_s, last_s,
            )
            changed |= slots_changed
            pending |= slots_held
        waits = hold_trace(self._overall, candidate, held, now_s, vector) if held else ()
        trace = (*trace, *self._streaks.trace(), *waits)
        until_s = self._quiet_until(risk, now_s, bool(pending or waiting))
        before = self._policy
        if not changed and known is self._known and before.ts_ns and before.explained_by(trace, refused, waiting):
            if pending or waiting or any(one[0] == RULE_B1 for one in trace):  # figures that change by themselves
                return before.waiting_on(trace, self._symbols.parts, waiting), False, until_s
            return before, False, until_s
        self._known = known
        policy = TradingPolicy.in_force(
            in_force(self._overall), self._known, None, self.config.name, now_ns, trace, self._symbols.parts, refused,
            waiting,
        )
        return policy, True, until_s

    def _known_now(
        self, performances: Iterable[SymbolPerformanceData], markets: Mapping[str, MarketState] | None,
        costs: Costs | None,
    ) -> frozenset[str]:
        """Every symbol that the inputs name; the same object while nothing changed."""
        performed = [one.symbol for one in performances]
        if performed == self._performed and not markets and not isinstance(costs, Mapping) and not self._symbols.rows:
            return self._known
        known = {*performed, *self._symbols.rows, *(markets or ())}
        if isinstance(costs, Mapping):
            known.update(costs.keys() - {OVERALL})
        if known != self._known:
            require(all(map(is_utf8_text, known)), "symbols", known, "must be symbols like 'BTCUSDT'")
        self._performed = performed
        return self._known if known == self._known else frozenset(known)

    def _set_shares(self, refused: dict[str, int], known: frozenset[str]) -> tuple[float, float]:
        """Jaccard indices of the allowed and the disallowed sets, in force against candidate."""
        bans, both, new = self._bans.before, self._bans.again, len(refused)
        banned_share = shared_share(both, bans, new)
        if not (known is self._known is self._bans.within):
            return jaccard(self._policy.allowed_symbols, known - refused.keys()), banned_share
        every = len(known)
        return shared_share(every - (bans + new - both), every - bans, every - new), banned_share

    def _quiet_until(self, risk: RiskState, now_s: float, pending: bool) -> float:
        """Until when (seconds) the same inputs give the same policy; -inf when time alone may change it."""
        if pending or self._memory[MEM_LATCH_DAY] >= 0.0:
            return -math.inf
        until = self._streaks.quiet_until()
        if risk.equity is not None:
            until = min(until, (math.floor(now_s / _HOUR_S) + 1.0) * _HOUR_S)
        return min(until, risk.ts_ns / NS_PER_SECOND + MAX_RISK_AGE_S) if risk.ts_ns else until

    def _adopt(self, policy: TradingPolicy) -> None:
        """Make *policy* the one in force and the last of the history."""
        if policy is self._policy:
            return
        if _log.isEnabledFor(logging.WARNING):
            _tell(self._policy, policy)
        self._policy = policy
        self._history.add(policy)

    # ---- commands ---------------------------------------------------------------------------------------------------
    def reset_daily(self, now: datetime | int | None = None) -> TradingPolicy:
        """Start the day from the profile's base values where trading is open; returns the policy in force.

        Latches, halts, bans, the day's peak and the history stay, and a policy that permits no new trades stays closed:
        what a limit closed no reset opens. The next evaluation tightens at once, as always.
        """
        self._memo = None
        if self._overall[SLOT_STARTED] and self._policy.allow_new_trades and not self.latched and not self.halted:
            now_ns = clock.now_ns() if now is None else time_ns("now", now)
            values = _base_values(self.config)
            if self._streaks.holds(self._vector):  # rule B2 is lifted by wins, not by midnight
                values = tuple(min(pair) for pair in zip(values, in_force(self._overall), strict=True))
            for field in range(FIELD_COUNT):
                self._overall[field * HOLD_WIDTH + HOLD_CURRENT] = values[field]
                self._overall[field * HOLD_WIDTH + HOLD_COUNT] = 0.0
            self._adopt(TradingPolicy.in_force(
                values, self._known, self._policy.disallowed_symbols, self.config.name, now_ns, (), self._symbols.parts
            ))
            if self.state_path is not None:
                self.save()
        return self._policy

    def note_transfer(self, amount: float) -> None:
        """Note *amount* (USDT) paid into the account, negative when paid out, before the first equity that shows it.

        The day's peak and the equities of the last 24 hours change in proportion to the account, so that every
        percentage of loss and drawdown stays what it was and no latch is raised or lifted.
        The percentages of the risk state are the caller's: they must not count the transfer either.
        """
        require_finite("amount", amount)
        self._memo = None
        equity = newest_equity(self._ring)
        scale_memory(self._memory, equity, float(amount))
        scale_ring(self._ring, equity, float(amount))
        if self.state_path is not None:
            self.save()

    def halt(self, reason: str) -> None:
        """Permit no new trades until :meth:`resume`; *reason* is kept."""
        _require_reason(reason, "say why")
        self._memo = None
        self._memory[MEM_HALT] = 1.0
        self.halt_reason = reason
        self._close(((RULE_HALT, FIELD_ALLOW, 1.0, 0.0),))
        if self.state_path is not None:
            self.save()

    def resume(self, reason: str) -> None:
        """Lift a halt; trading reopens when the next evaluations allow it. *reason* is kept.

        Raises StateError when nothing is halted.
        """
        _require_reason(reason, "say why it is safe to resume")
        if not self.halted:
            raise StateError("nothing to resume: the policy is not halted")
        self._memo = None
        self._memory[MEM_HALT] = 0.0
        self._resumed, self.halt_reason = reason, ""
        if self.state_path is not None:
            self.save()

    def _close(self, trace: tuple[RuleChange, ...]) -> None:
        """Put NO_NEW_TRADES in force at once, in every slot."""
        closed = _base_values(self.config, allow=False)
        for slot in (self._overall, *self._symbols.rows.values()):
            close_slot(slot, closed)
        self._symbols.explain(dict.fromkeys(self._symbols.rows, trace))
        last_s = self._memory[MEM_LAST_S]
        self._adopt(TradingPolicy.in_force(
            in_force(self._overall), self._known, self._policy.disallowed_symbols, self.config.name,
            int(last_s * NS_PER_SECOND) if math.isfinite(last_s) else 0, trace, self._symbols.parts,
        ))

    # ---- persistence ------------------------------------------------------------------------------------------------
    def save(self, path: Path | str | None = None) -> None:
        """Write the memory to *path* (default: the state path), atomically; StateError when that fails."""
        target = self.state_path if path is None else path_of("path", path)
        if target is None:
            raise StateError("no path: give save() one, or the policy a state_path")
        write_state(target, self._saved())

    def load(self, path: Path | str) -> None:
        """Take over the memory saved at *path*; what is closed, latched or banned here stays so.

        A damaged file is set aside and halts. Raises StateError when there is no file.
        """
        file = path_of("path", path)
        if not self._restore(file):
            raise StateError(f"policy state {file.name!r}: no such file")
        if self.state_path is not None:
            self.save()

    def _remembered(self) -> tuple[Any, ...]:
        """The parts of the memory whose change makes a save due: latch, halt, day's peak, the hour, the streaks."""
        return (*self._memory[1:], self._ring[0], *self._streaks.saved().values())

    def _saved(self) -> SavedPolicy:
        latch_day = self._memory[MEM_LATCH_DAY]
        latch = {} if latch_day < 0.0 else {
            "reason": "B1 Daily DD limit hit",
            "expires": f"{iso(int(latch_day + 1) * NS_PER_DAY)} or later: when the 24 h loss is inside the limit",
        }
        return SavedPolicy(
            profile=self.config.name, fingerprint=self._fingerprint, memory=_finite(self._memory),
            ring=_finite(self._ring), overall=_finite(self._overall),
            slots={symbol: _finite(slot) for symbol, slot in self._symbols.rows.items()},
            own_markets=sorted(self._symbols.own_markets), bans=self._bans.rows(),
            reasons=dict(self._policy.disallowed_symbols), known=sorted(self._known),
            trace=list(said(self._policy.trace)),
            symbol_traces={symbol: list(said(part[1])) for symbol, part in self._symbols.parts.items()},
            loss_pct=next((one[4] for one in self._policy.trace if len(one) == 5), None),
            policy_ns=self._policy.ts_ns, streaks=self._streaks.saved(), latch=latch, halt_reason=self.halt_reason,
            resumed=self._resumed, history=self._history.encoded(),
        )

    def _restore(self, path: Path) -> bool:
        """Take over the state at *path*; False where there is none."""
        saved = read_policy_state(path, RING_SIZE)
        if saved is None:
            return False
        self._memo = None
        if isinstance(saved, str):
            self.recovered_from = saved
            self.halt(f"the saved state was damaged: {saved}")
            return True
        self._merge_memory(saved)
        self._overall = safer_slot(self._overall, _row(saved.overall))
        slots = self._symbols
        for symbol, row in saved.slots.items():
            slots.rows[symbol] = safer_slot(slots.rows.get(symbol, new_slot()), _row(row))
        slots.own_markets.update(saved.own_markets)
        bans = {**saved.bans, **self._bans.rows()}
        self._bans = Bans(bans)
        self._known = frozenset(saved.known) | self._known
        self._performed = []
        own = self._policy.disallowed_symbols
        reasons = MappingProxyType({
            symbol: own.get(symbol) or saved.reasons.get(symbol, WAITS) for symbol in bans
        })
        slots.explain(saved.symbol_traces)
        self._history.take_over(saved.history)
        if self._overall[SLOT_STARTED]:
            self._policy = TradingPolicy.in_force(
                in_force(self._overall), self._known, reasons, self.config.name,
                max(saved.policy_ns, self._policy.ts_ns), with_loss(saved.trace, saved.loss_pct), slots.parts,
            )
        return True

    def _merge_memory(self, saved: SavedPolicy) -> None:
        """Latch, halt and clock of both, the stricter of each; the newer day's peak and equity ring."""
        memory, ring = _row(saved.memory), [math.nan if value is None else value for value in saved.ring]
        if saved.memory[MEM_LAST_S] is None:
            memory[MEM_LAST_S] = -math.inf
        newer = memory if memory[MEM_LAST_S] > self._memory[MEM_LAST_S] else self._memory
        if newer is memory:
            self._ring = ring
        self._memory = [
            newer[MEM_LAST_S], newer[1], newer[2], max(memory[MEM_LATCH_DAY], self._memory[MEM_LATCH_DAY]),
            max(memory[MEM_HALT], self._memory[MEM_HALT]),
        ]
        self.halt_reason = self.halt_reason or saved.halt_reason
        self._resumed = saved.resumed or self._resumed
        if saved.streaks:
            self._streaks.load(saved.streaks)


def _ordered(fifth: Any, sixth: Any) -> tuple[float | None, Costs | None]:
    """(quality, costs) from the two arguments in either order, told apart by their types."""
    if fifth is None or type(fifth) is float:
        return (sixth, None) if type(sixth) is float and fifth is None else (fifth, sixth)
    return (sixth, fifth) if isinstance(fifth, (CostMetrics, Mapping)) else (fifth, sixth)


def _tell(before: TradingPolicy, policy: TradingPolicy) -> None:
    """Log the change of policy, and each limit that it newly names."""
    _log.info("Policy changed: %s", policy)
    known = {one[0] for one in before.trace}
    for rule in dict.fromkeys(one[0] for one in policy.trace if one[0] in _LIMITS and one[0] not in known):
        name = RULES[rule].name
        said_of = "; ".join(dict.fromkeys(one.why for one in policy.rules if one.rule == name))
        _log.warning("Limit hit: %s %s", name, said_of)


def _same(kept: Any, given: Any) -> bool:
    """Whether *given* is what was kept: the same object, or a container of the same kind with equal members."""
    if kept is given:
        return True
    return type(kept) is type(given) and isinstance(given, (list, dict, tuple)) and bool(kept == given)


def _require_reason(reason: object, hint: str) -> None:
    """Raise InputError unless *reason* is text that says something and can be saved."""
    require(is_utf8_text(reason) and bool(str(reason).strip()), "reason", reason, hint)


def _refusal(named: Mapping[str, tuple[Any, type]], error: Exception) -> InputError:
    """Why update_policy cannot use what it was given, where *error* says that something is of a wrong type."""
    for key, (given, kind) in named.items():
        each = given.values() if isinstance(given, Mapping) else given if isinstance(given, (list, tuple)) else (given,)
        by_name = not isinstance(given, Mapping) or all(map(is_utf8_text, given))
        if given is not None and not (by_name and all(isinstance(one, kind) for one in each)):
            return InputError(f"{key} = {brief(given)}: must be made of {kind.__name__}; a mapping is by symbol")
    return InputError(f"update_policy: its arguments cannot be used ({error})")


def _frozen(value: Any) -> Any:
    """*value*, or a shallow copy where the caller could change it in place."""
    if isinstance(value, list):
        return value.copy()
    return dict(value) if isinstance(value, Mapping) else value


def _finite(row: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in row]


def _row(row: Iterable[float | None]) -> list[float]:
    return [0.0 if value is None else float(value) for value in row]


def _base_values(config: OrchestratorConfig, *, allow: bool = True) -> SlotValues:
    """The profile's base values as looseness."""
    return looseness(
        allow, 0 if allow else 2, config.base_risk_pct if allow else 0.0, config.base_confidence, 1, 0,
        config.max_open_positions, config.total_exposure_limit, 1.0,
    )


def _closed(config: OrchestratorConfig, ts_ns: int, trace: tuple[RuleChange, ...]) -> TradingPolicy:
    """The policy before anything was evaluated."""
    return TradingPolicy(
        allow_new_trades=False, risk_profile=RiskProfile.NO_NEW_TRADES, max_risk_pct=0.0,
        min_confidence=config.base_confidence, entry_mode=EntryMode.NORMAL, exit_mode=ExitMode.TREND_FOLLOW,
        max_open_positions=config.max_open_positions, total_exposure_limit_pct=config.total_exposure_limit,
        profile=config.name, timestamp=ts_ns, note="not evaluated yet: no new trades",
    )
