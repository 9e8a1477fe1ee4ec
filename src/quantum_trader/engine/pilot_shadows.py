"""What pilot, signals and both together would have earned: three shadow books on the same moments.

The pilot's book follows every decision of the pilot, whatever its confidence. The signals' book is in what the signals
want, a fifth of the equity each, as long as they want it. The hybrid's follows the rule of HYBRID: from flat, the more
confident of the two. All three trade the same bars at the prices of the paper venue and pay its costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, iso
from quantum_trader.domain.enums import Side
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.accounting import counted_loss
from quantum_trader.engine.facts import PilotDay, ShadowPilotTrade
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import SHADOW_HOURS, Market
from quantum_trader.engine.pilot_stance import CONSENSUS_SIZE, PilotStance
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.ports import PilotSource
from quantum_trader.engine.records import Records
from quantum_trader.pilot import own_columns as own_col
from quantum_trader.pilot.actions import LARGE
from quantum_trader.pilot.position_steps import EXIT_REPLACED
from quantum_trader.pilot.shadow_book import PositionSettings, ShadowPositions
from quantum_trader.policy.pilot_evidence import ShadowDay, ShadowTrade

T = TypeVar("T", bound=msgspec.Struct)
_PILOT, _SIGNALS, _HYBRID = range(3)
_NOBODY, _BY_PILOT, _BY_SIGNALS = range(3)  # whose position the hybrid holds
_DATE: Final = len("2026-01-31")


class Wishes(NamedTuple):
    """What the pilot wants at the close of an observed bar; arrays (S,)."""

    shares: Any  # signed, of the equity; NaN: no decision
    keeps: Any  # whether the decision is HOLD: a book keeps what it holds itself, which may be something else
    confidences: Any
    ranges: Any  # ATR of the observed bars, price units
    stance: PilotStance


class PilotTotals(NamedTuple):
    """What the books have done so far."""

    decisions: int
    trades: tuple[ShadowTrade, ...]  # of the pilot's book
    results: tuple[float, float, float]  # of pilot, signals and hybrid: shares of the first equity
    days: tuple[ShadowDay, ...]  # those that are over


class PilotShadows:
    """The three books, their money and their days. Their accounts begin with the run's equity."""

    def __init__(
        self, instruments: Instruments, interval_ns: int, source: PilotSource, market: Market, policy: PolicyInForce,
        records: Records,
    ) -> None:
        self._instruments, self._market, self._policy, self._records = instruments, market, policy, records
        self._model = source.identity
        settings = policy.settings
        self._risk_pct = float(policy.fixed[1].risk_pct)
        terms = PositionSettings(
            stop_atr=source.stop_atr, risk_pct=self._risk_pct, leverage=settings.leverage,
            buffer_pct=settings.limits.liquidation_buffer_pct,
        )
        self._books = [ShadowPositions(instruments.all, terms, interval_ns, source.length_ns) for _ in range(3)]
        self._start, self._peak, self._lost_r = settings.start_equity, settings.start_equity, 0.0
        count = len(instruments.symbols)
        self._signal_shares = np.zeros(count)  # what the signals' book wants
        self._signal_ns = np.zeros(count, dtype=np.int64)  # when an ensemble's last signal came
        self._owner = np.zeros(count, dtype=np.int64)  # _BY_*: whose position the hybrid's book holds
        self._day = -1  # UTC day that is counted
        self._moments, self._decisions, self._trades = 0, 0, 0
        self._total_decisions = 0
        self._ended: list[ShadowTrade] = []
        self._days: list[ShadowDay] = []

    # ------------------------------------------------------------------ bars

    def take(self, batch: MarketBatch, costs_bps: Any, funding_rates: Any, *, asked: bool) -> None:
        """Take the books through the bars; costs (S,) as known before them, *funding_rates* (S,) due at their open.

        *asked*: the pilot is asked at all; hours without, in OFF or of bars that came too late to decide on, are no
        hours of its record.
        """
        day = batch.ts_ns // NS_PER_DAY
        if day != self._day:
            self._end_day(batch.ts_ns)
            self._day = day
        self._moments += asked
        for book in self._books:
            book.take(batch.ts_ns, batch.ohlcv, batch.present, costs_bps, funding_rates)
        self._end_trades(batch.ts_ns + self._market.interval_ns)

    def before_hole(self, index: int, ts_ns: int) -> None:
        """End the positions of a symbol whose data ends at *ts_ns* for more than a day."""
        for book in self._books:
            book.before_hole(index, ts_ns - self._market.interval_ns)
        self._signal_shares[index] = 0.0
        self._end_trades(ts_ns)

    def end(self, now_ns: int) -> None:
        """End all positions at their last closes and the day with them: another model takes the pilot's place."""
        for book in self._books:
            for index in np.flatnonzero(book.sides).tolist():
                book.before_hole(index, now_ns - self._market.interval_ns, EXIT_REPLACED)
            book.order_rows[:] = 0.0
        self._owner[:], self._signal_shares[:], self._signal_ns[:] = _NOBODY, 0.0, 0
        self._end_trades(now_ns)
        self._end_day(now_ns)
        self._day = -1

    def _end_trades(self, now_ns: int) -> None:
        for trade in self._books[_PILOT].closed():
            self._trades += 1
            self._ended.append(ShadowTrade(entry_ns=trade.entry_ns, exit_ns=trade.exit_ns, r=trade.r, exit=trade.exit))
            net = trade.result_share * self._equity(_PILOT)
            if net >= 0.0:
                self._lost_r = 0.0
            else:
                self._lost_r += counted_loss(net, self._equity(_PILOT) * self._risk_pct / 100.0)
            self._records.record("pilot.closed", "", now_ns, ShadowPilotTrade(
                symbol=self._instruments.symbols[trade.place], side=Side.LONG if trade.side > 0 else Side.SHORT,
                entry_ns=trade.entry_ns, exit_ns=trade.exit_ns, r=trade.r, result_share=trade.result_share,
                exit=cast(Any, trade.exit), share=abs(trade.share), bars_held=trade.bars_held,
                model=self._model,
            ))
        for book in self._books[_SIGNALS:]:
            book.closed()

    def _equity(self, number: int) -> float:
        """The equity of one book; a ruined one is sized as if a hundredth were left."""
        return max(self._start + self._books[number].value(), 0.01 * self._start)

    def _end_day(self, now_ns: int) -> None:
        """Record what the books have made on the day that is over."""
        pilot, signals, hybrid = (book.result_since_asked(self._start) for book in self._books)
        if self._day >= 0 and (self._moments or self._trades):
            made = self._with_earlier(ShadowDay(
                day=iso(self._day * NS_PER_DAY)[:_DATE], pilot=pilot, signals=signals, hybrid=hybrid,
                hours=self._moments * self._market.interval_ns / NS_PER_HOUR, decisions=self._decisions,
            ))
            self._days.append(made)
            self._records.record("pilot.day", "", now_ns, PilotDay(
                day=made.day, pilot=made.pilot, signals=made.signals, hybrid=made.hybrid, trades=self._trades,
                hours=made.hours, decisions=made.decisions, model=self._model,
            ))
        self._moments, self._decisions, self._trades = 0, 0, 0

    def _with_earlier(self, day: ShadowDay) -> ShadowDay:
        """*day* together with an earlier part of it, where another model was in force for a part of the day."""
        if not self._days or self._days[-1].day != day.day:
            return day
        part = self._days.pop()
        return ShadowDay(
            day=day.day, pilot=part.pilot + day.pilot, signals=part.signals + day.signals,
            hybrid=part.hybrid + day.hybrid, hours=part.hours + day.hours, decisions=part.decisions + day.decisions,
        )

    # ------------------------------------------------------------------ decisions

    def want(self, wishes: Wishes) -> None:
        """Let all three books follow what is wanted at this moment."""
        decided = int(np.count_nonzero(~np.isnan(wishes.shares)))
        self._decisions += decided
        self._total_decisions += decided
        signals, sure = self._signals()
        self._books[_PILOT].want(
            np.where(wishes.keeps, np.nan, wishes.shares), wishes.ranges, self._equity(_PILOT)
        )
        self._books[_SIGNALS].want(self._signal_shares, wishes.ranges, self._equity(_SIGNALS))
        self._books[_HYBRID].want(self._blended(wishes, signals, sure), wishes.ranges, self._equity(_HYBRID))

    def leave(self) -> None:
        """Leave all positions: nobody decides on them any more, and no book is compared with the others."""
        nothing = np.zeros(len(self._owner))
        for number, book in enumerate(self._books):
            book.want(nothing, nothing, self._equity(number))
        self._owner[:], self._signal_shares[:] = _NOBODY, 0.0

    def take_filters(self) -> None:
        """Take filters, fees and tiers of the symbols, which have changed."""
        for book in self._books:
            book.change_instruments(self._instruments.all)

    def _signals(self) -> tuple[list[int], list[float]]:
        """Direction and confidence (S,) of what the signals want, and the signals' book's wishes with them.

        An ensemble's signal counts for as long as its shadow trade may last. A stop that ended a position is no reason
        for the book to open it again: the want must have ended before.
        """
        market, now_ns = self._market, self._market.now_ns
        signs, sure = [0] * len(self._owner), [0.0] * len(self._owner)
        for index, before in enumerate(self._signal_shares.tolist()):
            sign, confidence = market.standing_signal(index)
            if market.forecasts is None:
                sign = self._kept_signal(index, sign, now_ns)
            if sign and (before * sign > 0.0 or confidence >= self._policy.used(index).min_confidence):
                signs[index], sure[index] = sign, confidence
        self._signal_shares[:] = [sign * LARGE for sign in signs]
        return signs, sure

    def _kept_signal(self, index: int, sign: int, now_ns: int) -> int:
        """The direction of the ensemble's last signal for a symbol, until it is too old."""
        if sign:
            self._signal_ns[index] = now_ns
            return sign
        young = now_ns - int(self._signal_ns[index]) < SHADOW_HOURS * NS_PER_HOUR
        return int(np.sign(self._signal_shares[index])) if young else 0

    def _blended(self, wishes: Wishes, signals: list[int], sure: list[float]) -> Any:
        """The shares (S,) that the hybrid's book wants; NaN keeps."""
        held, least = self._books[_HYBRID].shares.tolist(), wishes.stance.settings.min_confidence
        days = wishes.stance.horizon_days
        shares = np.full(len(held), np.nan)
        for index, pilot in enumerate(wishes.shares.tolist()):
            if held[index] == 0.0:
                self._owner[index] = _NOBODY
            owner, signal = int(self._owner[index]), signals[index]
            if owner == _BY_PILOT:
                is_boosted = pilot * held[index] > 0.0 and abs(held[index]) == abs(pilot) * CONSENSUS_SIZE
                shares[index] = np.nan if is_boosted or wishes.keeps[index] else pilot
            elif owner == _BY_SIGNALS:
                shares[index] = np.nan if signal * held[index] > 0.0 else 0.0
            elif pilot == pilot:
                theirs = self._market.confidence_over(index, sure[index], days) if signal else 0.0
                shares[index], self._owner[index] = _first(
                    pilot, float(wishes.confidences[index]), signal, theirs, least
                )
        return shares

    @property
    def totals(self) -> PilotTotals:
        """What the books have done so far, open positions at the last closes."""
        pilot, signals, hybrid = (book.value() / self._start for book in self._books)
        return PilotTotals(self._total_decisions, tuple(self._ended), (pilot, signals, hybrid), tuple(self._days))

    # ------------------------------------------------------------------ what the pilot sees of its book

    @property
    def pilot_shares(self) -> Any:
        """The share of the equity (S,) that each of the pilot's shadow positions is for, without its sign."""
        return np.abs(self._books[_PILOT].shares)

    def fill_own(self, own: Any, now_ns: int) -> None:
        """Write the pilot's shadow positions and account into the account's features *own* (S, 11)."""
        book, equity = self._books[_PILOT], self._equity(_PILOT)
        self._peak = max(self._peak, equity)
        book.own_into(own, now_ns, equity)
        own[:, own_col.ACCOUNT_DRAWDOWN] = max(0.0, 1.0 - equity / self._peak)
        own[:, own_col.ACCOUNT_EXPOSURE] = book.exposure(equity)
        own[:, own_col.LOSSES_IN_A_ROW] = int(self._lost_r)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "books": [book.state() for book in self._books], "peak": self._peak, "lost_r": self._lost_r,
            "signal_shares": self._signal_shares.copy(), "signal_ns": self._signal_ns.copy(),
            "owner": self._owner.copy(), "day": self._day,
            "counts": [self._moments, self._decisions, self._trades],
            "total_decisions": self._total_decisions, "ended": [msgspec.structs.astuple(one) for one in self._ended],
            "days": [msgspec.structs.astuple(one) for one in self._days],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError for one of other symbols."""
        for book, saved in zip(self._books, state["books"], strict=True):
            book.load_state(saved)
        self._peak, self._lost_r, self._day = state["peak"], state["lost_r"], state["day"]
        self._signal_shares[:], self._signal_ns[:] = state["signal_shares"], state["signal_ns"]
        self._owner[:] = state["owner"]
        self._moments, self._decisions, self._trades = state["counts"]
        self._total_decisions = state["total_decisions"]
        self._ended = [_struct(ShadowTrade, row) for row in state["ended"]]
        self._days = [_struct(ShadowDay, row) for row in state["days"]]


def _struct(kind: type[T], row: Sequence[Any]) -> T:
    """A struct from its values in order."""
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


def _first(pilot: float, confidence: float, signal: int, theirs: float, least: float) -> tuple[float, int]:
    """What the hybrid opens from flat, and who owns it: the more confident one, larger where both agree."""
    sign = 1 if pilot > 0.0 else -1 if pilot < 0.0 else 0
    agree = sign != 0 and sign == signal
    able = sign != 0 and confidence >= least
    size = CONSENSUS_SIZE if agree and able else 1.0
    if able and (not signal or confidence > theirs):
        return pilot * size, _BY_PILOT
    if signal:
        return signal * LARGE * size, _BY_SIGNALS
    return 0.0, _NOBODY
