"""One symbol's account at the paper venue that does what the engine does with the pilot's decisions.

Sizing, stops and reductions are the engine's and the risk room's own scalars; money and fills are the venue's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.enums import EXIT_TREND_FOLLOW, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument, round_to, tier_rows
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.accounting import counted_loss
from quantum_trader.engine.road import ROAD_APPROVED, entry_stop, planned_stop, size_entry
from quantum_trader.pilot.shadow_book import PositionSettings
from quantum_trader.risk.exits import added_stop, bracket, is_behind_liquidation
from quantum_trader.risk.sizing import excess_quantity, liquidation_price
from quantum_trader.venues.paper.funding import FundingHistory
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

OPEN, ADD, REDUCE, CLOSE, STOP = "open", "add", "reduce", "close", "stop"


class Tape(NamedTuple):
    """Bars of one symbol: (T,) each."""

    ts: np.ndarray
    ohlc: np.ndarray  # (T, 4)
    atr: np.ndarray
    cost_bps: np.ndarray  # known before each bar


class VenueAccount:
    """A decision at a close, its order at the next open, its stop at once after the fill."""

    def __init__(
        self, instrument: Instrument, settings: PositionSettings, interval_ns: int, equity: float,
        funding: FundingHistory | None = None, assumed_rate: float = 0.0001,
    ) -> None:
        self.settings, self.instrument, self.interval_ns = settings, instrument, interval_ns
        self.tiers = tier_rows(instrument)
        self.sizes = (instrument.step_size, instrument.min_qty, instrument.min_notional)
        self.costs = np.full(1, np.nan)
        self.venue = PaperVenue(
            [instrument], PaperSettings(
                initial_cash=equity, range_slippage_bps=settings.range_bps,
                liquidation_fee_bps=settings.liquidation_fee_bps, default_taker_cost_bps=settings.default_cost_bps,
                assumed_funding_rate=assumed_rate,
            ),
            funding=funding or {}, taker_cost_bps=self.costs,
        )
        self.number = 0
        self.purposes: dict[str, str] = {}
        self.plan: dict[str, Any] = {}  # of the order that waits
        self.sign, self.qty, self.entry, self.leverage, self.atr, self.share = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        self.stop = self.first_stop = self.peak_qty = 0.0
        self.stop_id, self.closing = "", False
        self.lost_r, self.net, self.permitted = 0.0, 0.0, 0.0
        self.liquidations = self.stops = self.gap_parts = 0
        self.close, self.equity = 0.0, equity
        self.now_ns = 0

    # ------------------------------------------------------------------ bars

    def take(self, ts_ns: int, ohlc: np.ndarray, cost_bps: float) -> None:
        """Take one bar; opens, then ranges."""
        self.costs[0] = cost_bps
        batch = MarketBatch(ts_ns, self.interval_ns, np.array([[*ohlc, 1.0]]), np.ones(1, dtype=np.bool_))
        self.now_ns = ts_ns
        self._hear(self.venue.on_open(batch))
        self.now_ns = ts_ns + self.interval_ns - 1_000_000
        while events := self.venue.on_range(batch):
            self._hear(events)
        self.now_ns = ts_ns + self.interval_ns
        self.close = float(ohlc[3])
        balance = self.venue.balance()
        self.equity = balance.wallet + balance.unrealised_pnl

    def _hear(self, events: list[Any]) -> None:
        for event in list(events):
            if isinstance(event, Fill):
                self._filled(event)
            elif isinstance(event, OrderUpdate):
                assert event.status is not OrderStatus.REJECTED or self.purposes[event.client_order_id] == STOP, event
            else:
                self.net += event.amount

    def _filled(self, fill: Fill) -> None:
        purpose = self.purposes.get(fill.client_order_id, "liquidation")
        self.net -= fill.fee
        if purpose == OPEN:
            self._opened(fill)
        elif purpose == ADD:
            self._added(fill)
        else:
            self._reduced(fill, purpose)

    def _liquidation(self) -> float:
        return float(liquidation_price(self.sign, self.entry, self.qty, self.leverage, self.tiers))

    def _opened(self, fill: Fill) -> None:
        plan = self.plan
        self.sign, self.qty, self.entry = plan["sign"], fill.qty, fill.price
        self.leverage, self.atr, self.share, self.peak_qty = plan["leverage"], plan["atr"], plan["share"], fill.qty
        stop, _ = bracket(
            self.sign, fill.price, self.atr, self.settings.stop_atr, 0.0, EXIT_TREND_FOLLOW,
            self.instrument.tick_size, self._liquidation(),
        )
        if math.isnan(stop):
            self.first_stop = planned_stop(self.sign, fill.price, self.atr, self.settings.stop_atr)
            self._close_now()
            return
        self.first_stop = stop
        self._rest(stop)

    def _added(self, fill: Fill) -> None:
        self.entry = entry_after_fill(self.qty, self.entry, fill.qty, fill.price)
        self.qty = round_to(self.qty + fill.qty, self.instrument.step_size)
        self.peak_qty, self.share = max(self.peak_qty, self.qty), self.plan["share"]
        stop = self.first_stop = added_stop(self.sign, self.plan["stop"], self.stop, self.instrument.tick_size)
        if is_behind_liquidation(self.sign, stop, self.entry, self._liquidation()):
            self._close_now()
            return
        self._rest(stop)

    def _reduced(self, fill: Fill, purpose: str) -> None:
        self.net += self.sign * fill.qty * (fill.price - self.entry)
        self.qty = round_to(self.qty - fill.qty, self.instrument.step_size)
        self.liquidations += purpose == "liquidation"
        self.stops += purpose == STOP
        if self.qty > 0.0:
            if purpose == REDUCE:
                self.share = self.plan["share"]
            else:
                self.gap_parts += 1
                self.stop, self.stop_id = 0.0, ""
            return
        self.lost_r = 0.0 if self.net >= 0.0 else self.lost_r + counted_loss(self.net, self.permitted)
        if self.stop_id and self.venue.get_order(self.stop_id) is not None:
            self.venue.cancel(CancelRequest(
                client_order_id=self.stop_id, symbol=self.instrument.symbol, created_ns=self.now_ns
            ))
        self.sign, self.qty, self.stop, self.first_stop, self.stop_id, self.share = 0, 0.0, 0.0, 0.0, "", 0.0
        self.closing, self.net = False, 0.0

    # ------------------------------------------------------------------ orders

    def _send(self, purpose: str, sign: int, qty: float, *, stop: float = 0.0) -> tuple[str, bool]:
        self.number += 1
        order_id = f"{purpose}-{self.number}"
        self.purposes[order_id] = purpose
        events = self.venue.submit(OrderRequest(
            client_order_id=order_id, intent_id="i", trace_id="t", symbol=self.instrument.symbol,
            side=OrderSide.BUY if sign > 0 else OrderSide.SELL,
            type=OrderType.STOP_MARKET if stop else OrderType.MARKET, qty=qty, created_ns=self.now_ns, stop_price=stop,
            reduce_only=purpose not in (OPEN, ADD),
        ))
        taken = all(event.status is not OrderStatus.REJECTED for event in events)
        assert taken or purpose == STOP, events
        return order_id, taken

    def _rest(self, stop: float) -> None:
        """Place a stop for all of the position, then cancel the one before; where it is refused, that stays.

        A position whose stop is refused closes at the next open.
        """
        if not self.venue.positions():  # the stop of before has closed it within the same open
            return
        order_id, taken = self._send(STOP, -self.sign, self.qty, stop=stop)
        if not taken:
            self._close_now()
            return
        if self.stop_id and self.venue.get_order(self.stop_id) is not None:
            self.venue.cancel(CancelRequest(
                client_order_id=self.stop_id, symbol=self.instrument.symbol, created_ns=self.now_ns
            ))
        self.stop_id, self.stop = order_id, stop

    def _close_now(self) -> None:
        if not self.closing:
            self.closing = True
            self._send(CLOSE, -self.sign, self.qty)

    # ------------------------------------------------------------------ decisions

    def want(self, share: float, atr: float) -> None:
        """Decide for a signed *share* of the equity at the last close; NaN keeps."""
        if math.isnan(share) or self.closing:
            return
        wanted_sign, close = int(np.sign(share)), self.close
        if self.sign and wanted_sign != self.sign:
            self._close_now()
            return
        if share == self.share or not wanted_sign:
            return
        wanted = abs(share) * self.equity / close
        if self.sign and abs(share) < abs(self.share):
            excess = excess_quantity(self.qty, wanted, close, *self.sizes)
            if excess > 0.0:
                self.plan = {"share": share}
                self._send(REDUCE, -self.sign, excess)
            return
        self._enter(wanted_sign, share, wanted, self.atr if self.sign else atr)

    def _enter(self, sign: int, share: float, wanted: float, atr: float) -> None:
        settings, limits = self.settings, (0.0, 0.0, 0.0, self.settings.leverage, self.settings.buffer_pct)
        if not atr > 0.0:
            return
        held = (self.qty, self.entry) if self.sign else (0.0, 0.0)
        leverage = self.leverage if self.sign else settings.leverage
        stop = entry_stop(
            sign, self.close, atr, settings.stop_atr, wanted, held, self.stop, leverage, limits, self.tiers
        )
        road, qty, leverage = size_entry(
            sign, self.close, stop, self.equity, settings.risk_pct, 1.0, 0, leverage, self.sizes, limits, self.tiers,
            wanted, held,
        )
        if road != ROAD_APPROVED:
            return
        self.plan = {"sign": sign, "leverage": leverage, "atr": atr, "share": share, "stop": stop}
        if not self.sign:
            self.permitted = self.equity * settings.risk_pct / 100.0
            assert self.venue.set_leverage(self.instrument.symbol, leverage) == leverage
        self._send(ADD if self.sign else OPEN, sign, qty)
