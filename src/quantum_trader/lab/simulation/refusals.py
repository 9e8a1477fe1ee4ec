"""What the exchange of a simulated day refuses: orders, leverages, questions for bars; and its filters in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from quantum_trader.domain.enums import OrderType
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.ports import Rejection
from quantum_trader.lab.simulation.market import SimulatedMarket
from quantum_trader.lab.simulation.schedule import Fault, Kind

_OFF_GRID: Final = 1e-6  # of an increment
_COARSER: Final = (1.0, 2.0, 5.0, 10.0)  # factors by which exchanges coarsen tick and step sizes


class Refusals:
    """Refusals that faults have armed. *on_refused* gets kind and symbol of every order that a fault refuses."""

    def __init__(self, market: SimulatedMarket, on_refused: Callable[[Kind, str], None]) -> None:
        self._market, self._on_refused = market, on_refused
        self._left = {Kind.ORDER_REFUSED: 0, Kind.STOP_REFUSED: 0, Kind.CLOSE_REFUSED: 0}
        self._leverage_kept: set[str] = set()
        self._klines_until_s: dict[str, float] = {}
        self.filters = list(market.instruments)  # in force now, by symbol index

    def arm(self, fault: Fault) -> None:
        """Refuse the next *count* orders of the fault's kind."""
        self._left[fault.kind] += fault.count

    def reason(self, request: OrderRequest) -> str:
        """Why the exchange refuses *request* now; empty when it takes it."""
        market, symbol = self._market, request.symbol
        index = market.index.get(symbol)
        if index is None or market.delisted[index]:
            return f"{Rejection.UNKNOWN_SYMBOL.value} {symbol} is not traded"
        if market.halted[index]:
            return f"{Rejection.NO_PRICE.value} {symbol} is halted"
        if not request.reduce_only and self._take(Kind.ORDER_REFUSED, symbol):
            return f"{Rejection.MARGIN.value} the margin is insufficient"
        if request.type is OrderType.STOP_MARKET and self._take(Kind.STOP_REFUSED, symbol):
            return f"{Rejection.WOULD_TRIGGER.value} the order would trigger at once"
        if request.reduce_only and request.type is OrderType.MARKET and self._take(Kind.CLOSE_REFUSED, symbol):
            return f"{Rejection.REDUCE_ONLY.value} the order was refused"
        filters = self.filters[index]
        if request.stop_price > 0.0 and not is_on_grid(request.stop_price, filters.tick_size):
            self._on_refused(Kind.FILTERS_CHANGED, symbol)
            return f"{Rejection.TICK.value} the price is not on the tick size {filters.tick_size:g}"
        if not is_on_grid(request.qty, filters.step_size):
            self._on_refused(Kind.FILTERS_CHANGED, symbol)
            return f"{Rejection.STEP.value} the quantity is not on the step size {filters.step_size:g}"
        return ""

    def _take(self, kind: Kind, symbol: str) -> bool:
        """Use up one armed refusal of *kind*; False when there is none."""
        if not self._left[kind]:
            return False
        self._left[kind] -= 1
        self._on_refused(kind, symbol)
        return True

    def coarsen_filters(self, fault: Fault) -> None:
        """Make tick and step of a symbol coarser, as exchanges do; resting orders stay."""
        index = self._market.index[fault.on]
        now, was = self.filters[index], self._market.instruments[index]
        tick = round(was.tick_size * _COARSER[int(fault.value) % 4], 10)
        step = round(was.step_size * _COARSER[int(10.0 * fault.value) % 4], 10)
        self.filters[index] = msgspec.structs.replace(
            now, tick_size=tick, step_size=step, min_qty=max(was.min_qty, step)
        )

    def keep_leverage(self, symbol: str) -> None:
        """Ignore the next attempt to set the leverage of *symbol*."""
        self._leverage_kept.add(symbol)

    def keeps_leverage(self, symbol: str, now: float, wanted: float) -> bool:
        """Whether the leverage *now* in force stays although *wanted* is asked for; counts once."""
        if symbol not in self._leverage_kept or now == wanted:
            return False
        self._leverage_kept.discard(symbol)
        return True

    def refuse_klines(self, symbol: str, until_s: float) -> None:
        """Refuse questions for the bars of *symbol* until then."""
        self._klines_until_s[symbol] = until_s

    def refuses_klines(self, symbol: str, now_s: float) -> bool:
        """Whether bars of *symbol* are refused now."""
        return self._klines_until_s.get(symbol, -1.0) > now_s


def is_on_grid(value: float, increment: float) -> bool:
    """Whether *value* is a multiple of *increment*."""
    return abs(value / increment - round(value / increment)) < _OFF_GRID
