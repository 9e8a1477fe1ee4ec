"""The books: cash, positions and results; only fills and funding change them.

Signals, intents and acknowledgements never touch them. Everything that can be derived (equity, exposure, counts,
streaks) is derived or updated at the one place where a trade closes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.enums import EXIT_CODES, ExitMode, ExitReason, OrderSide, Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import ClosedTrade, Fill, FundingPayment
from quantum_trader.engine.accounting import (
    broken_by_command,
    counted_loss,
    net_pnl,
    percent_of,
    realised_pnl,
    risk_amount,
)
from quantum_trader.engine.ids import trade_id
from quantum_trader.policy.core import next_streak

ADOPTED: Final = "adopted"  # model of the plan of a position that this program did not open
PILOT: Final = "PILOT"  # owner of the plan of a position that the pilot opened


class Plan(msgspec.Struct, kw_only=True):
    """The planned stop, target, size and exits of a position: made when the opening intent is approved."""

    intent_id: str
    trace_id: str
    sign: int
    leverage: float
    atr: float
    stop_atr: float
    target_atr: float
    breakeven_r: float
    trail_atr: float
    max_hours: float
    exit_mode: int
    confidence: float
    policy_hash: str
    model: str
    regime: str
    by_score: bool = False  # left when the model's score no longer wants it
    permitted_risk: float = 0.0  # USDT: of one trade when it was opened, which weights its result; 0.0: its own risk
    volatility_pct: float = 0.0  # of the portfolio a year, for which it was sized; 0.0: by its risk alone
    owner: str = ""  # PILOT: opened by the pilot, which alone resizes and leaves it; empty: by signals or an intent
    share: float = 0.0  # of the equity, as notional, that the pilot wants; 0.0: not the pilot's
    reduced_to: float = 0.0  # base units, that the pilot is reducing it to; 0.0: no reduction is under way
    model_id: str = ""  # id of the model that opened it, of several joined by +; empty: not by a model with an id

    @property
    def by_models(self) -> bool:
        """Whether the score of the run's models holds it and leaves it."""
        return self.by_score and self.owner != PILOT

    @property
    def exit_name(self) -> str:
        """How its exit is managed, as trades state it: the policy's mode, behind SCORE where a score holds it.

        SCORE alone means what TREND_FOLLOW means there: the score and a stop that does not move.
        """
        mode = EXIT_CODES[self.exit_mode]
        if not self.by_score:
            return mode.value
        return "SCORE" if mode is ExitMode.TREND_FOLLOW else f"SCORE_{mode.value}"


class Position(msgspec.Struct, kw_only=True):
    """One open position; *qty* is positive, *sign* is the side."""

    symbol: str
    index: int
    plan: Plan
    qty: float
    entry_price: float
    entry_ns: int
    peak_qty: float
    fees: float = 0.0
    funding: float = 0.0
    realised: float = 0.0
    closed_value: float = 0.0
    closed_qty: float = 0.0
    entry_slippage_bps: float = 0.0
    first_stop: float = 0.0
    stop: float = 0.0
    target: float = 0.0
    best: float = 0.0
    worst: float = 0.0
    bars_held: int = 0
    exit_reason: ExitReason | None = None
    lost_stops: int = 0  # consecutive stop orders that did not reach the venue
    grown_ns: int = 0  # when it last became larger; 0: not since its entry
    venue_liquidation: float = 0.0  # liquidation price by the venue's last report; 0.0: none, or none since it grew

    @property
    def sign(self) -> int:
        """+1 long, -1 short."""
        return self.plan.sign

    @property
    def side(self) -> Side:
        """LONG or SHORT."""
        return Side.LONG if self.plan.sign > 0 else Side.SHORT

    @property
    def complete_ns(self) -> int:
        """Since when all of its quantity has been held."""
        return max(self.entry_ns, self.grown_ns)

    @property
    def margin(self) -> float:
        """Initial margin in USDT."""
        return self.qty * self.entry_price / self.plan.leverage


class Books:
    """Cash, positions, closed trades and streaks of one account."""

    def __init__(self, start_equity: float, recovery_after: int) -> None:
        self.cash = start_equity
        self.recovery_after = recovery_after
        self.positions: dict[str, Position] = {}
        self.lost_r = 0.0  # losses in a row; R lost where results are weighted by risk
        self.broken_streak = 0
        self.wins_since = 0
        self.trade_count = 0
        self.fees_paid = 0.0
        self.funding_received = 0.0

    @property
    def losing_streak(self) -> int:
        """Losing trades in a row; where results are weighted by risk, the R lost in a row, rounded down."""
        return int(self.lost_r)

    def open_position(self, symbol: str, index: int, plan: Plan, fill: Fill) -> Position:
        """Book the first fill of an opening order."""
        self._pay(fill)
        position = Position(
            symbol=symbol, index=index, plan=plan, qty=fill.qty, entry_price=fill.price, entry_ns=fill.ts_ns,
            peak_qty=fill.qty, fees=fill.fee, best=fill.price, worst=fill.price,
            entry_slippage_bps=fill.slippage_bps,
        )
        self.positions[symbol] = position
        return position

    def adopt(self, symbol: str, index: int, plan: Plan, qty: float, entry_price: float, ts_ns: int) -> Position:
        """Add a position that the venue holds without a fill in the books; cash does not change."""
        position = Position(
            symbol=symbol, index=index, plan=plan, qty=qty, entry_price=entry_price, entry_ns=ts_ns, peak_qty=qty,
            best=entry_price, worst=entry_price,
        )
        self.positions[symbol] = position
        return position

    def add(self, fill: Fill) -> Position:
        """Book a further fill of the opening order."""
        position = self._position_of(fill)
        self._pay(fill)
        position.entry_price = entry_after_fill(position.qty, position.entry_price, fill.qty, fill.price)
        position.qty += fill.qty
        position.peak_qty = max(position.peak_qty, position.qty)
        position.grown_ns = max(position.grown_ns, fill.ts_ns)
        position.venue_liquidation = 0.0
        position.fees += fill.fee
        return position

    def reduce(self, fill: Fill) -> tuple[Position, bool]:
        """Book a closing fill; returns the position and whether it is now flat."""
        position = self._position_of(fill)
        if fill.qty > position.qty * (1.0 + 1e-9):
            raise StateError(f"{fill.symbol}: fill of {fill.qty} exceeds the position of {position.qty}; books halt")
        self._pay(fill)
        pnl = realised_pnl(position.sign, position.entry_price, fill.qty, fill.price)
        self.cash += pnl
        position.realised += pnl
        position.fees += fill.fee
        position.closed_value += fill.qty * fill.price
        position.closed_qty += fill.qty
        position.qty -= fill.qty
        flat = position.qty <= position.peak_qty * 1e-9
        if flat:
            del self.positions[fill.symbol]
        return position, flat

    def pay_funding(self, payment: FundingPayment) -> None:
        """Book funding on an open position."""
        self.cash += payment.amount
        self.funding_received += payment.amount
        position = self.positions.get(payment.symbol)
        if position is not None:
            position.funding += payment.amount

    def close_trade(self, position: Position, fill: Fill, regime: str, model_slippage_bps: float) -> ClosedTrade:
        """Turn a flat position into its trade-log entry and update the streaks."""
        self.trade_count += 1
        pnl = net_pnl(position.realised, position.fees, position.funding)
        won = pnl >= 0.0
        if won:
            losing, self.broken_streak, self.wins_since = next_streak(
                self.losing_streak, self.broken_streak, self.wins_since, won, self.recovery_after
            )
            self.lost_r = float(losing)
        else:
            self.lost_r += counted_loss(pnl, position.plan.permitted_risk)
        return _closed_trade(position, fill, trade_id(self.trade_count), pnl, regime, model_slippage_bps)

    def break_streak(self) -> None:
        """End the losing streak without a win; it stays on record until enough real wins have followed."""
        losing, self.broken_streak, self.wins_since = broken_by_command(
            self.losing_streak, self.broken_streak, self.wins_since
        )
        self.lost_r = float(losing)

    def forget_streak(self) -> None:
        """End the losing streak and the latch of rule B2 without a trade."""
        self.lost_r, self.broken_streak, self.wins_since = 0.0, 0, 0

    def equity(self, marks: Any) -> float:
        """Cash plus the unrealised profit at *marks* (indexable by symbol index)."""
        total = self.cash
        for position in self.positions.values():
            mark = float(marks[position.index])
            if not mark > 0.0:  # no bar of the symbol yet: value it at its entry price
                mark = position.entry_price
            total += realised_pnl(position.plan.sign, position.entry_price, position.qty, mark)
        return total

    def exposure_pct(self, equity: float) -> float:
        """Initial margin of all positions as percent of *equity*."""
        if not self.positions:
            return 0.0
        return percent_of(ordered_sum(position.margin for position in self.positions.values()), equity)

    def _pay(self, fill: Fill) -> None:
        self.cash -= fill.fee
        self.fees_paid += fill.fee

    def _position_of(self, fill: Fill) -> Position:
        position = self.positions.get(fill.symbol)
        if position is None:
            raise StateError(f"{fill.symbol}: fill {fill.fill_id} for a position the books do not have; books halt")
        return position

    def state(self) -> dict[str, Any]:
        """The state to save for a restart, as plain values."""
        return {
            "cash": self.cash, "lost_r": self.lost_r, "broken_streak": self.broken_streak,
            "wins_since": self.wins_since, "trade_count": self.trade_count, "fees_paid": self.fees_paid,
            "funding_received": self.funding_received,
            "positions": [msgspec.to_builtins(position) for position in self.positions.values()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        for key in ("cash", "broken_streak", "wins_since", "trade_count", "fees_paid", "funding_received"):
            setattr(self, key, state[key])
        self.lost_r = float(state["lost_r"] if "lost_r" in state else state["losing_streak"])
        self.positions = {
            position.symbol: position
            for position in (msgspec.convert(raw, Position) for raw in state["positions"])
        }


def _closed_trade(
    position: Position, fill: Fill, trade_id: str, pnl: float, regime: str, slippage_bps: float
) -> ClosedTrade:
    """The enriched trade-log entry of a position that *fill* made flat."""
    plan = position.plan
    entry, sign = position.entry_price, plan.sign
    first_stop = position.first_stop or entry - sign * plan.stop_atr * plan.atr
    distance = abs(entry - first_stop)
    exit_price = position.closed_value / position.closed_qty
    best = max(position.best * sign, exit_price * sign) * sign
    worst = min(position.worst * sign, exit_price * sign) * sign
    risk = risk_amount(sign, entry, position.first_stop, plan.stop_atr, plan.atr, position.peak_qty)
    return ClosedTrade(
        trade_id=trade_id, trace_id=plan.trace_id, symbol=position.symbol, side=position.side, qty=position.peak_qty,
        entry_ns=position.entry_ns, exit_ns=fill.ts_ns, entry_price=entry, exit_price=exit_price,
        stop_price=first_stop, target_price=position.target,
        exit_reason=position.exit_reason or ExitReason.FLATTEN, pnl=pnl, fees=position.fees,
        funding=position.funding, slippage_bps=(position.entry_slippage_bps + slippage_bps) / 2.0, risk_amount=risk,
        r_multiple=_ratio(pnl, risk), mfe_r=_ratio(sign * (best - entry), distance),
        mae_r=_ratio(sign * (worst - entry), distance), stop_distance_pct=_ratio(distance, entry) * 100.0,
        stop_distance_atr=_ratio(distance, plan.atr),
        target_distance_atr=_ratio(abs(position.target - entry), plan.atr) if position.target > 0.0 else 0.0,
        bars_held=position.bars_held, regime_entry=plan.regime, regime_exit=regime,
        exit_mode=plan.exit_name, confidence=plan.confidence, policy_hash=plan.policy_hash,
        model=plan.model, model_id=plan.model_id,
    )


def _ratio(part: float, whole: float) -> float:
    """*part* / *whole*; 0.0 where the whole is 0.0, as of a position whose entry price or stop is unknown."""
    return part / whole if whole != 0.0 else 0.0


def closing_side(sign: int) -> OrderSide:
    """The order side that reduces a position of *sign*."""
    return OrderSide.SELL if sign > 0 else OrderSide.BUY


def opening_side(sign: int) -> OrderSide:
    """The order side that opens a position of *sign*."""
    return OrderSide.BUY if sign > 0 else OrderSide.SELL
