"""Execution at the paper venue: an order and a price become fills, positions, money and final statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.enums import OrderSide, OrderStatus
from quantum_trader.domain.instrument import Instrument, round_to
from quantum_trader.domain.trading import Fill
from quantum_trader.engine.ports import Rejection, VenueEvent, update_of
from quantum_trader.market.costs import fill_cost_bps
from quantum_trader.venues.paper import fills
from quantum_trader.venues.paper.account import PaperAccount
from quantum_trader.venues.paper.funding import FundingLedger
from quantum_trader.venues.paper.margin import Margin
from quantum_trader.venues.paper.orders import OrderBook, PaperOrder, refuse
from quantum_trader.venues.paper.prices import Prices
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.watch import PriceWatch

_NOTHING_TO_REDUCE: Final = refuse(Rejection.REDUCE_ONLY, "no position to reduce")
_POSITION_CLOSED: Final = refuse(Rejection.REDUCE_ONLY, "the position is closed")
_MARGIN_AT_FILL: Final = refuse(Rejection.MARGIN, "the margin is insufficient at the fill")


class Execution:
    """Fills, liquidates and closes. Every method appends what happened to *events*, in order."""

    def __init__(
        self, instruments: Sequence[Instrument], settings: PaperSettings, taker_cost_bps: NDArray[np.float64], *,
        prices: Prices, account: PaperAccount, orders: OrderBook, margin: Margin, funding: FundingLedger,
        watch: PriceWatch,
    ) -> None:
        self._instruments = tuple(instruments)
        self._settings = settings
        self._participation = settings.participation or 0.0
        self._costs = taker_cost_bps
        self._prices = prices
        self._account = account
        self._orders = orders
        self._margin = margin
        self._funding = funding
        self._watch = watch
        self._fill_seq = self._close_seq = 0

    # ------------------------------------------------------------------ an order has its price

    def fill_at_open(self, order: PaperOrder, price: float, events: list[VenueEvent]) -> None:
        """Fill a waiting order at the open *price*; a limit that is no longer marketable goes to rest."""
        instrument, cost = self._instruments[order.index], self._cost_in_bar(order.index)
        order.touched_ns = self._prices.bar_ns
        if not order.is_limit:
            filled = fills.market_fill_price(order.side_sign, price, cost, instrument.tick_size)
            self._execute(order, filled, price, instrument.taker_fee_bps, events)
            return
        self._orders.rest(order)
        if fills.limit_marketable(order.side_sign, order.level, price):
            filled = fills.limit_taker_price(order.side_sign, order.level, price, cost, instrument.tick_size)
            self._execute(order, filled, price, instrument.taker_fee_bps, events)
        else:
            order.touched_ns = -1
        self._watch.refresh(order.index)

    def fill_at_level(self, order: PaperOrder, open_: float, events: list[VenueEvent]) -> None:
        """Fill a resting order whose level was reached; the rest of a triggered one waits for the next open."""
        instrument = self._instruments[order.index]
        order.touched_ns = self._prices.bar_ns
        if order.is_limit:
            self._execute(order, order.level, order.level, instrument.maker_fee_bps, events, maker=True)
            return
        fill_price = fills.stop_fill_price if order.is_stop else fills.target_fill_price
        price = fill_price(order.side_sign, order.level, open_, self._cost_in_bar(order.index), instrument.tick_size)
        self._execute(order, price, order.level, instrument.taker_fee_bps, events)
        if self._orders.is_open(order):
            self._orders.wait(order)
            self._watch.refresh(order.index)

    def _execute(
        self, order: PaperOrder, price: float, reference: float, fee_bps: float, events: list[VenueEvent], *,
        maker: bool = False,
    ) -> None:
        """Fill as much of *order* as position, volume and margin allow at *price*, and report its new status."""
        batch = self._prices.batch
        assert batch is not None
        index, now = order.index, self._prices.now_ns
        holding, step = self._account.holdings[index], self._instruments[index].step_size
        wanted = round_to(order.remaining, step)
        if order.request.reduce_only:
            wanted = min(wanted, abs(holding.qty)) if order.side_sign * holding.qty < 0.0 else 0.0
            if wanted == 0.0:
                self.finish(order, OrderStatus.CANCELED, _NOTHING_TO_REDUCE, now, events)
                return
        qty = fills.fill_quantity(wanted, batch.ohlcv.item(index, 4), self._participation, step)
        if qty <= 0.0:
            return
        fee = fills.fee_amount(qty, price, fee_bps)
        if self._margin.is_short(order, qty, price, fee):
            self.finish(order, OrderStatus.CANCELED, _MARGIN_AT_FILL, now, events)
            return
        self._book(
            order.request.client_order_id, index, order.side_sign, qty, price, reference, fee, now, events, maker=maker
        )
        order.filled = round_to(order.filled + qty, step)
        order.cost += qty * price
        if round_to(order.remaining, step) <= 0.0:
            self.finish(order, OrderStatus.FILLED, "", now, events)
        elif order.request.reduce_only and holding.qty == 0.0:
            self.finish(order, OrderStatus.CANCELED, _POSITION_CLOSED, now, events)
        else:
            events.append(update_of(order.view(OrderStatus.PARTIALLY_FILLED), now))

    # ------------------------------------------------------------------ the venue closes a position

    def liquidate(self, index: int, open_: float, low: float, high: float, events: list[VenueEvent]) -> None:
        """Close all of a position at its liquidation price (or the gap), and cancel the symbol's orders."""
        holding, instrument, now = self._account.holdings[index], self._instruments[index], self._prices.now_ns
        level = holding.liquidation
        if level <= 0.0 or not fills.stop_touched(-holding.sign, level, low, high):
            return
        sign, qty = -holding.sign, abs(holding.qty)
        price = fills.liquidation_fill_price(holding.sign, level, open_, instrument.tick_size)
        fee = fills.fee_amount(qty, price, instrument.taker_fee_bps + self._settings.liquidation_fee_bps)
        self._close_seq += 1
        self._book(
            f"autoclose-{self._close_seq}", index, sign, qty, price, level, fee, now, events, liquidation=True
        )
        self.cancel_all(index, "liquidation", now, events)

    def close(self, index: int, ts_ns: int, events: list[VenueEvent]) -> None:
        """Close the symbol's position at its last price, as a taker between bars: no range is added to the cost."""
        holding, price = self._account.holdings[index], self._prices.mark(index)
        if holding.qty != 0.0:
            sign, qty, instrument = -holding.sign, abs(holding.qty), self._instruments[index]
            filled = fills.market_fill_price(sign, price, self._cost(index), instrument.tick_size)
            fee = fills.fee_amount(qty, filled, instrument.taker_fee_bps)
            self._close_seq += 1
            self._book(f"hole-{self._close_seq}", index, sign, qty, filled, price, fee, ts_ns, events)

    # ------------------------------------------------------------------ account and order book

    def _book(
        self, client_order_id: str, index: int, side_sign: int, qty: float, price: float, reference: float, fee: float,
        ts_ns: int, events: list[VenueEvent], *, maker: bool = False, liquidation: bool = False,
    ) -> None:
        """Move the account by one fill and report it; the only place where a position changes."""
        holding = self._account.holdings[index]
        was_flat = holding.qty == 0.0
        self._account.apply(index, side_sign, qty, price, fee, self._margin.leverage[index])
        self._fill_seq += 1
        events.append(
            Fill(
                fill_id=f"paper-f-{self._fill_seq:08d}", client_order_id=client_order_id,
                symbol=self._instruments[index].symbol, side=OrderSide.BUY if side_sign > 0 else OrderSide.SELL,
                qty=qty, price=price, fee=fee, liquidity="maker" if maker else "taker", ts_ns=ts_ns,
                slippage_bps=fills.slippage_bps(side_sign, reference, price), liquidation=liquidation,
            )
        )
        self._prices.filled(index, price)
        if was_flat:
            self._funding.begin(index, ts_ns)
        if was_flat or holding.qty == 0.0:
            self._funding.plan()
        self._watch.refresh(index)

    def finish(
        self, order: PaperOrder, status: OrderStatus, reason: str, ts_ns: int, events: list[VenueEvent]
    ) -> None:
        """Take *order* off the book and report its final status."""
        view = self._orders.finish(order, status, reason)
        self._watch.refresh(order.index)
        events.append(update_of(view, ts_ns))

    def cancel_all(self, index: int, reason: str, ts_ns: int, events: list[VenueEvent]) -> None:
        """Cancel every open order of the symbol, oldest first."""
        for order in tuple(self._orders.by_row[index]):
            self.finish(order, OrderStatus.CANCELED, reason, ts_ns, events)

    def _cost(self, index: int) -> float:
        """The taker's cost a side in basis points, in a calm market."""
        return fills.taker_cost(float(self._costs[index]), self._settings.default_taker_cost_bps)

    def _cost_in_bar(self, index: int) -> float:
        """The taker's cost a side in basis points, in the current bar with its range."""
        batch = self._prices.batch
        assert batch is not None
        item = batch.ohlcv.item
        return fill_cost_bps(
            self._cost(index), self._settings.range_slippage_bps, item(index, 0), item(index, 1), item(index, 2),
            batch.interval_ns,
        )

    def state(self) -> list[int]:
        """Return the numbers of the last fill and of the last close by the venue."""
        return [self._fill_seq, self._close_seq]

    def load_state(self, fill_seq: int, close_seq: int) -> None:
        """Continue from :meth:`state`."""
        self._fill_seq, self._close_seq = fill_seq, close_seq

