"""A small market for tests of the paper venue: bars in, events out, short names for requests."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueEvent
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

START = 475_000 * NS_PER_HOUR  # 2024-03-09 16:00 UTC, a funding time
BUY, SELL = OrderSide.BUY, OrderSide.SELL
MARKET, LIMIT, STOP, TARGET = (
    OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET,
)
TIERS = (
    LeverageTier(max_notional=2_000.0, maintenance_margin_rate=0.01, max_leverage=50.0, maintenance_amount=0.0),
    LeverageTier(max_notional=20_000.0, maintenance_margin_rate=0.02, max_leverage=20.0, maintenance_amount=20.0),
    LeverageTier(max_notional=200_000.0, maintenance_margin_rate=0.05, max_leverage=10.0, maintenance_amount=620.0),
)


def make_instrument(symbol: str) -> Instrument:
    """A coin of about 100 USDT: tick 0.01, step 0.001, at least 5 USDT."""
    return Instrument(symbol=symbol, tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=TIERS)


class World:
    """A paper venue of one or more symbols and the bars that drive it. A bar is (open, high, low, close[, volume])."""

    def __init__(self, symbols: tuple[str, ...] = ("AAAUSDT",), *, hours_before: int = -1, **settings: Any) -> None:
        extra = {key: settings.pop(key) for key in ("funding", "taker_cost_bps") if key in settings}
        chosen = {"assumed_funding_rate": 0.0, "default_taker_cost_bps": 0.0, "range_slippage_bps": 0.0} | settings
        self.symbols = symbols
        self.venue = PaperVenue([make_instrument(s) for s in symbols], PaperSettings(**chosen), **extra)
        self.ts_ns = START - hours_before * NS_PER_HOUR - NS_PER_HOUR
        self.batch: MarketBatch | None = None
        self.count = 0

    def batch_of(self, *bars: tuple[float, ...] | None) -> MarketBatch:
        """The next hour's batch; None means the symbol has no bar."""
        self.ts_ns += NS_PER_HOUR
        ohlcv = np.full((len(self.symbols), 5), np.nan)
        for row, bar in enumerate(bars):
            if bar is not None:
                ohlcv[row] = (*bar, 1_000.0)[:5]
        self.batch = MarketBatch(self.ts_ns, NS_PER_HOUR, ohlcv, ~np.isnan(ohlcv[:, 0]))
        return self.batch

    def open(self, *bars: tuple[float, ...] | None) -> list[VenueEvent]:
        """Process the opens of the next hour's *bars*."""
        return self.venue.on_open(self.batch_of(*bars))

    def range(self) -> list[VenueEvent]:
        """Process the ranges of the current bars."""
        assert self.batch is not None
        return self.venue.on_range(self.batch)

    def bar(self, *bars: tuple[float, ...] | None) -> list[VenueEvent]:
        """Process opens and ranges of the next hour's *bars*."""
        return [*self.open(*bars), *self.range()]

    def request(self, side: OrderSide, kind: OrderType, qty: float, price: float = 0.0, **changes: Any) -> OrderRequest:
        """An order request with a fresh client id, created when the current bar closed."""
        self.count += 1
        fields: dict[str, Any] = {
            "client_order_id": f"c{self.count}", "intent_id": "i", "trace_id": "t", "symbol": self.symbols[0],
            "side": side, "type": kind, "qty": qty, "created_ns": self.ts_ns + NS_PER_HOUR,
        }
        fields["price" if kind is LIMIT else "stop_price"] = price
        return OrderRequest(**(fields | changes))

    def send(self, side: OrderSide, kind: OrderType, qty: float, price: float = 0.0, **changes: Any) -> OrderUpdate:
        """Submit and return the answer."""
        (answer,) = self.venue.submit(self.request(side, kind, qty, price, **changes))
        assert isinstance(answer, OrderUpdate)
        return answer

    def accept(self, side: OrderSide, kind: OrderType, qty: float, price: float = 0.0, **changes: Any) -> str:
        """Submit an order that must be acknowledged and return its client id."""
        answer = self.send(side, kind, qty, price, **changes)
        assert answer.status is OrderStatus.NEW, answer
        return answer.client_order_id

    def cancel(self, client_order_id: str, symbol: str = "") -> OrderUpdate:
        """Cancel and return the answer."""
        request = CancelRequest(
            client_order_id=client_order_id, symbol=symbol or self.symbols[0], created_ns=self.ts_ns + NS_PER_HOUR
        )
        (answer,) = self.venue.cancel(request)
        assert isinstance(answer, OrderUpdate)
        return answer

    def hold(self, side: OrderSide, qty: float, price: float = 100.0, leverage: float = 10.0) -> None:
        """Open a position at *price* through two flat bars."""
        flat = tuple((price, price, price, price) for _ in self.symbols)
        self.bar(*flat)
        assert self.venue.set_leverage(self.symbols[0], leverage) == leverage
        self.accept(side, MARKET, qty)
        assert len(fills_of(self.open(*flat))) == 1
        assert self.range() == []

    @property
    def qty(self) -> float:
        """The first symbol's signed position."""
        return sum(p.qty for p in self.venue.positions() if p.symbol == self.symbols[0])


def fills_of(events: list[VenueEvent]) -> list[Fill]:
    """The fills among *events*."""
    return [event for event in events if isinstance(event, Fill)]


def statuses_of(events: list[VenueEvent]) -> list[tuple[str, str]]:
    """(client id, status) of the order updates among *events*."""
    return [(event.client_order_id, event.status.value) for event in events if isinstance(event, OrderUpdate)]
