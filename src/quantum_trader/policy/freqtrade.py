"""A guard for freqtrade strategies: ``class Mine(PolicyGuard, IStrategy)``.

freqtrade decides when to enter and exit; the policy says whether a trade may be opened and how much it may risk.
freqtrade takes an exception in ``custom_stake_amount`` as consent to the proposed stake, and one in
``confirm_trade_entry`` as True. So nothing leaves these callbacks as an exception: whatever fails is a refusal, making
the guard included, and the log says why. Nothing of freqtrade is imported here; the guard runs inside a freqtrade that
runs already.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.policy.core import next_streak
from quantum_trader.policy.entries import permitted_stake
from quantum_trader.policy.inputs import create_risk_state, vol_level_of
from quantum_trader.policy.orchestrator import OrchestratorPolicy
from quantum_trader.policy.pair_market import PairMarket, overall
from quantum_trader.policy.policy import SymbolPolicy
from quantum_trader.policy.streaks import Streak

_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")

PERSISTING: Final = ("live", "dry_run")  # run modes in real time: the policy's memory is kept on disk in these alone
TICKER_S: Final = 20.0  # how long the price of an open position is used before the exchange is asked again
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAY_S: Final = 86_400.0
_CLOCK_STEP_S: Final = 60.0
_RECENT_S: Final = 2 * _DAY_S  # a closed trade is looked for among the last two days'


class PolicyGuard:
    """A mixin that lets the policy refuse and size the entries of a freqtrade strategy.

    Name it before IStrategy and set *guard_confidence*. A strategy that has ``bot_start``, ``bot_loop_start``,
    ``custom_stake_amount`` or ``confirm_trade_entry`` of its own calls ``super()`` in it. Without the first a wrong
    setting does not stop the start, it refuses every entry; without the second nothing is permitted.
    """

    guard_confidence: float | None = None  # what entries of this strategy have earned in your own tests, 0..1
    guard_stop_pct: float | None = None  # percent of the stake that a stopped trade loses; None: the stoploss
    guard_profile: str | None = None  # a profile's name; None: ORCH_PROFILE, else SAFE
    _guard: FreqtradeGuard | None = None
    _guard_failures: Mapping[tuple[str, str], str] = MappingProxyType({})  # by callback and pair, as the log has them

    @property
    def guard(self) -> FreqtradeGuard:
        """The guard of this strategy, made when first asked for."""
        if self._guard is None:
            self._guard = FreqtradeGuard(self)
        return self._guard

    def guard_confidence_of(self, pair: str, side: str, entry_tag: str | None) -> float:
        """The confidence of one entry, 0..1; *guard_confidence* unless a strategy says more."""
        if self.guard_confidence is None:
            raise InputError("guard_confidence: is not set; set it on the strategy, 0..1")
        return self.guard_confidence

    def bot_start(self, **kwargs: Any) -> None:
        """Make the guard, so that a wrong setting shows at the start."""
        self.guard.warn()
        _inherited(super(), "bot_start", **kwargs)

    def bot_loop_start(self, current_time: datetime, **kwargs: Any) -> None:
        """Evaluate the policy for all pairs."""
        self._attempt("entry", "all pairs", None, lambda: self._evaluate(current_time))
        _inherited(super(), "bot_loop_start", current_time=current_time, **kwargs)

    def custom_stake_amount(
        self, pair: str, current_time: datetime, current_rate: float, proposed_stake: float, min_stake: float | None,
        max_stake: float, leverage: float, entry_tag: str | None, side: str, **kwargs: Any,
    ) -> float:
        """The stake whose stop costs no more than the policy's risk; 0.0 where nothing may be opened."""
        return self._attempt(
            "stake", pair, 0.0,
            lambda: self.guard.stake(pair, current_time, proposed_stake, min_stake, max_stake),
        )

    def confirm_trade_entry(
        self, pair: str, order_type: str, amount: float, rate: float, time_in_force: str, current_time: datetime,
        entry_tag: str | None, side: str, **kwargs: Any,
    ) -> bool:
        """Whether the policy in force permits the entry at its confidence."""
        return self._attempt(
            "entry", pair, False,
            lambda: self.guard.confirm(pair, current_time, self.guard_confidence_of(pair, side, entry_tag)),
        )

    def _evaluate(self, now: datetime) -> None:
        guard = self.guard
        try:
            guard.evaluate(now)
        except Exception as error:  # a host that suppresses it would trade on what was permitted before
            guard.failed(error)

    def _attempt(self, what: str, pair: str, refused: _T, ask: Callable[[], _T]) -> _T:
        """The answer of *ask*; *refused* where it fails, also where the guard cannot be made, and the log says why."""
        key, reason = (what, pair), ""
        try:
            return ask()
        except Exception as error:  # the host would take it as consent
            reason = f"the guard failed: {error or type(error).__name__}"
            if self._guard_failures.get(key) != reason:
                _LOG.error("policy guard: %s: no %s: %s", pair, what, reason, exc_info=error)
            return refused
        finally:
            if self._guard_failures.get(key, "") != reason:
                self._guard_failures = {**self._guard_failures, key: reason}


def _inherited(parent: Any, name: str, **arguments: Any) -> None:
    """Call the same method of the strategy's other base classes, where one has it."""
    method = getattr(parent, name, None)
    if method is not None:
        method(**arguments)


class FreqtradeGuard:
    """The policy of one strategy, the markets of its pairs and the account, read from the running freqtrade.

    In backtests a time that lies before the last one begins a new guard; its memory is kept on disk in live and dry-run
    alone.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        mode = strategy.dp.runmode
        self.mode = str(getattr(mode, "value", mode))
        self._bar_s = _seconds(strategy.timeframe)
        self._begin()

    def _begin(self) -> None:
        """Start with a policy that has seen nothing, or with its memory on disk."""
        strategy = self._strategy
        path = None
        if self.mode in PERSISTING:
            path = Path(strategy.config["user_data_dir"]) / f"policy_{type(strategy).__name__}_{self.mode}.json"
        self.policy = OrchestratorPolicy(profile_name=strategy.guard_profile, state_path=path)
        self.refusal = "the policy was not evaluated: bot_loop_start has not run"
        self._now_s = -math.inf
        self._pairs: dict[str, PairMarket] = {}
        self._rates: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}
        self._day: tuple[int, float] = (-1, 0.0)
        self._closed_ids: set[Any] = set()
        self._streak: Streak = (0, 0, 0)
        self._told: dict[str, str] = {}

    def warn(self) -> None:
        """Say in the log what runs, and what the guard cannot see."""
        _LOG.info("policy guard: profile %s, %s", self.policy.config.name, self.mode)
        if self.policy.halted:
            _LOG.warning("policy guard: no entries until resume(): %s", self.policy.halt_reason)
        if getattr(self._strategy, "position_adjustment_enable", False):
            _LOG.warning("policy guard: additions of adjust_trade_position do not pass the guard")

    # ---- evaluating -------------------------------------------------------------------------------------------------
    def evaluate(self, now: datetime) -> None:
        """Evaluate the policy at *now* for all pairs of the whitelist and all open positions."""
        now_s = now.timestamp()
        if now_s < self._now_s - _CLOCK_STEP_S and self.mode not in PERSISTING:
            self._begin()
        self.refusal = "the policy was not evaluated at this moment"
        open_trades = _trades(is_open=True)
        pairs = dict.fromkeys((*self._strategy.dp.current_whitelist(), *(trade.pair for trade in open_trades)))
        for pair in pairs:
            self._read_bars(pair)
        markets = {
            pair: self._pairs[pair].state(now_s, self.policy.config) for pair in pairs if pair in self._pairs
        }
        if not markets:
            self.refusal = "no bars of any pair yet"
            return
        self._read_prices(open_trades, now_s)
        equity = self.equity(open_trades)
        trend, direction, ratio = overall(list(markets.values()))
        self.policy.update_policy(
            trend, vol_level_of(ratio, self.policy.config),
            create_risk_state(
                daily_pnl_pct=self._daily_pnl(now_s, equity), losing_streak=self._streaks(now)[0],
                broken_streak=self._streak[1], wins_since=self._streak[2], open_trades_count=len(open_trades),
                total_exposure_pct=_exposure(open_trades) / equity * 100.0 if equity > 0.0 else 0.0, equity=equity,
            ),
            direction=direction, markets=markets, market_age_bars=min(one.age_bars for one in markets.values()),
            now=now,
        )
        self.refusal, self._now_s = "", now_s

    def failed(self, error: Exception) -> None:
        """Refuse every entry until an evaluation succeeds again, and say why."""
        self.refusal = f"the policy could not be evaluated: {error or type(error).__name__}"
        if self._told.get("") != self.refusal:
            _LOG.error("policy guard: no entries: %s", self.refusal, exc_info=error)
            self._told[""] = self.refusal

    def _read_bars(self, pair: str) -> None:
        """Take the completed bars of *pair* that are new."""
        frame, _ = self._strategy.dp.get_analyzed_dataframe(pair, self._strategy.timeframe)
        count = len(frame)
        if not count:
            return
        market = self._pairs.get(pair)
        if market is None:
            market = self._pairs[pair] = PairMarket(self._bar_s)
        newest = int(frame["date"].iloc[-1].timestamp())
        missing = count if market.seen_s < 0 else min(count, (newest - market.seen_s) // self._bar_s)
        if missing <= 0:
            return
        rows = frame.iloc[count - missing:]
        for date, high, low, close in zip(rows["date"], rows["high"], rows["low"], rows["close"], strict=True):
            market.add(int(date.timestamp()), float(high), float(low), float(close))
        self._rates[pair] = float(frame["close"].iloc[-1])

    def _read_prices(self, open_trades: Sequence[Any], now_s: float) -> None:
        """In real time, ask for the prices of open positions between two bars."""
        if self.mode not in PERSISTING:
            return
        for trade in open_trades:
            if now_s - self._asked_s.get(trade.pair, -math.inf) < TICKER_S:
                continue
            self._asked_s[trade.pair] = now_s
            last = self._strategy.dp.ticker(trade.pair).get("last")
            if last:
                self._rates[trade.pair] = float(last)

    def equity(self, open_trades: Sequence[Any]) -> float:
        """What the account is worth in the stake currency, open positions at the newest price."""
        value = float(self._strategy.wallets.get_total_stake_amount())
        for trade in open_trades:
            if trade.pair not in self._rates:
                raise StateError(f"{trade.pair}: no price for the open position")
            if trade.amount:
                value += float(trade.calc_profit(self._rates[trade.pair]))
        return value

    def _daily_pnl(self, now_s: float, equity: float) -> float:
        """Percent since the first evaluation of the UTC day; after a restart, since the day's peak that was saved."""
        day = int(now_s // _DAY_S)
        if day != self._day[0]:
            peak_day, peak = self.policy.day_peak
            self._day = day, peak if peak_day == day else equity
        return (equity / self._day[1] - 1.0) * 100.0 if self._day[1] > 0.0 else 0.0

    def _streaks(self, now: datetime) -> Streak:
        """The losing streak from freqtrade's closed trades; read anew when one has closed."""
        since = datetime.fromtimestamp(now.timestamp() - _RECENT_S, tz=now.tzinfo)
        known = self._closed_ids
        if self._now_s == -math.inf or any(
            trade.id not in known for trade in _trades(is_open=False, close_date=since)
        ):
            closed = sorted(_trades(is_open=False), key=lambda trade: (trade.close_date_utc, trade.id))
            streak, after = (0, 0, 0), self.policy.config.recovery_after_streak
            for trade in closed:
                streak = next_streak(*streak, (trade.close_profit_abs or 0.0) >= 0.0, after)
            self._streak, self._closed_ids = streak, {trade.id for trade in closed}
        return self._streak

    # ---- answering --------------------------------------------------------------------------------------------------
    def stake(
        self, pair: str, now: datetime, proposed: float, min_stake: float | None, max_stake: float
    ) -> float:
        """The stake for an entry of *pair*: risk over stop, within the exposure limit; 0.0 where none may be opened."""
        allowed = self._allowed(pair, now)
        if allowed is None:
            return 0.0
        policy, open_trades = self.policy.get_policy(), _trades(is_open=True)
        if len(open_trades) >= policy.max_open_positions:
            return self._refuse(pair, f"B3 {len(open_trades)} of {policy.max_open_positions} positions are open", 0.0)
        permitted = permitted_stake(
            self.equity(open_trades), allowed.max_risk_pct, self._stop_pct(), policy.total_exposure_limit_pct,
            _exposure(open_trades),
        )
        stake = min(permitted, proposed, max_stake)
        if not stake > 0.0:
            return self._refuse(pair, f"B4 the exposure limit of {policy.total_exposure_limit_pct:g} % is used up", 0.0)
        if min_stake is not None and stake < min_stake:
            reason = f"the permitted stake {stake:.2f} is below the smallest one {min_stake:.2f}"
            return self._refuse(pair, reason, 0.0, kind="small stake")
        return stake

    def confirm(self, pair: str, now: datetime, confidence: float) -> bool:
        """Whether an entry of *pair* with *confidence* (0..1) is permitted."""
        allowed = self._allowed(pair, now)
        if allowed is None:
            return False
        if not confidence >= allowed.min_confidence:
            return self._refuse(pair, f"confidence {confidence:.2f} is below {allowed.min_confidence:.2f}", False)
        self._told.pop(pair, None)
        return True

    def _allowed(self, pair: str, now: datetime) -> SymbolPolicy | None:
        """The policy for *pair* where it permits a trade, else None; the reason goes to the log."""
        age_s = now.timestamp() - self._now_s
        if self.refusal or not -_CLOCK_STEP_S <= age_s <= self._bar_s + _CLOCK_STEP_S:
            return self._refuse(pair, self.refusal or f"the last evaluation is {age_s:.0f} s old", None)
        if pair not in self._pairs:
            return self._refuse(pair, "no bars of this pair", None)
        allowed = self.policy.get_policy().for_symbol(pair)
        return allowed if allowed.allow_new_trades else self._refuse(pair, allowed.reason, None)

    def _refuse(self, pair: str, reason: str, answer: _T, kind: str = "") -> _T:
        """*answer*; the log has the reason once, until it changes (or its *kind*, where its figures always do)."""
        if self._told.get(pair) != (kind or reason):
            _LOG.info("policy guard: %s: no entry: %s", pair, reason)
            self._told[pair] = kind or reason
        return answer

    def _stop_pct(self) -> float:
        """Percent of the stake that a stopped trade loses."""
        given = self._strategy.guard_stop_pct
        stop = abs(float(self._strategy.stoploss)) * 100.0 if given is None else float(given)
        if not 0.0 < stop <= 100.0:
            raise InputError(f"guard_stop_pct = {stop!r}: is the percent of the stake that a stopped trade loses")
        return stop


def _trades(**which: Any) -> list[Any]:
    """freqtrade's trades, from the freqtrade that runs."""
    loaded: Mapping[str, Any] = sys.modules
    try:
        return list(loaded["freqtrade.persistence"].Trade.get_trades_proxy(**which))
    except KeyError:
        raise StateError("freqtrade.persistence is not loaded: the guard runs inside freqtrade") from None


def _exposure(open_trades: Sequence[Any]) -> float:
    """Initial margin of *open_trades* in the stake currency."""
    return math.fsum(float(trade.stake_amount or 0.0) for trade in open_trades)


def _seconds(timeframe: str) -> int:
    """The length of a bar of *timeframe* (``5m``, ``1h``) in seconds."""
    try:
        return int(timeframe[:-1]) * _UNITS[timeframe[-1:]]
    except (KeyError, ValueError):
        raise InputError(f"timeframe = {timeframe!r}: must be a number and m, h, d or w") from None
