"""What people and the exchange itself do to the account of a simulated day: manual trades, halts, deleveraging."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from quantum_trader.domain.enums import OrderSide, OrderType
from quantum_trader.domain.instrument import floor_to, round_to
from quantum_trader.domain.trading import CancelRequest, OrderRequest
from quantum_trader.engine.venue_port import Kline, LeverageChanged
from quantum_trader.lab.simulation.schedule import Fault, Kind

if TYPE_CHECKING:
    from quantum_trader.lab.simulation.exchange import SimulatedExchange

_THIN_NOTIONAL: Final = 400.0  # USDT that a tick of a thin market fills at most
_LIMIT_AWAY: Final = 0.004  # distance of a resting limit order from the price, as a share


class ExchangeFaults:
    """Applies faults to *exchange*; one that needs a position waits until there is one."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        self._waiting: list[Fault] = []
        self._orders = 0  # orders of other parties so far; numbers their ids

    def apply(self, fault: Fault) -> None:
        """Apply *fault* now, or keep it for :meth:`retry`."""
        if not self._strike(fault):
            self._waiting.append(fault)

    def retry(self) -> None:
        """Apply the waiting faults that have become possible."""
        for fault in self._waiting[:]:
            if self._strike(fault):
                self._waiting.remove(fault)

    def _strike(self, fault: Fault) -> bool:
        """Apply it now; False when it is not possible."""
        done = _STRIKES[fault.kind](self, fault)
        if done and fault.kind not in _STRIKE_LATER:
            self.exchange.struck(fault.kind)
            self.exchange.version += 1
        return done

    # ------------------------------------------------------------------ orders of other parties

    def _held(self, wanted: str) -> tuple[int, float] | None:
        """Symbol index and quantity of a position, preferably of *wanted*; None when there is none that trades."""
        market = self.exchange.market
        held = [p for p in self.exchange.paper.positions() if not market.halted[market.index[p.symbol]]]
        held.sort(key=lambda position: position.symbol != wanted)
        return (market.index[held[0].symbol], held[0].qty) if held else None

    def market_order(self, prefix: str, index: int, sign: int, qty: float, *, reduce_only: bool) -> None:
        """Submit a market order that the trader did not send."""
        exchange = self.exchange
        self._orders += 1
        exchange.disruptions.people(exchange.symbols[index], exchange.loop.time())
        instrument = exchange.market.instruments[index]
        exchange.submit(
            OrderRequest(
                client_order_id=f"{prefix}{self._orders}", intent_id="", trace_id="", symbol=instrument.symbol,
                side=OrderSide.BUY if sign > 0 else OrderSide.SELL, type=OrderType.MARKET,
                qty=max(floor_to(qty, instrument.step_size), instrument.min_qty), created_ns=0,
                reduce_only=reduce_only,
            ),
            by_trader=False,
        )

    def _deleverage(self, fault: Fault) -> bool:
        return self._reduce_share("adl_autoclose", fault)

    def _close_manually(self, fault: Fault) -> bool:
        return self._reduce_share("web_", fault)

    def _reduce_share(self, prefix: str, fault: Fault) -> bool:
        """Close a share of a position, in one fill."""
        held = self._held(fault.on)
        if held is None:
            return False
        index, qty = held
        size = abs(qty) if fault.value >= 0.999 else abs(qty) * fault.value
        fill_steps = self.exchange.market.fill_steps
        steps, fill_steps[index] = fill_steps[index], 0
        self.market_order(prefix, index, -1 if qty > 0.0 else 1, size, reduce_only=True)
        fill_steps[index] = steps
        return True

    def _open_manually(self, fault: Fault) -> bool:
        market = self.exchange.market
        index = market.index[fault.on]
        if market.halted[index]:
            return False
        notional = abs(fault.value) * max(self.exchange.paper.balance().available, 0.0)
        self.market_order(
            "web_", index, 1 if fault.value > 0.0 else -1, notional / market.prices[index], reduce_only=False
        )
        return True

    def _rest_foreign_order(self, fault: Fault) -> bool:
        """Rest a limit order, a little away from the price."""
        market = self.exchange.market
        index = market.index[fault.on]
        if market.halted[index]:
            return False
        self._orders += 1
        instrument, sign = market.instruments[index], 1 if fault.value > 0.0 else -1
        notional = abs(fault.value) * max(self.exchange.paper.balance().available, 0.0)
        self.exchange.submit(
            OrderRequest(
                client_order_id=f"web_{self._orders}", intent_id="", trace_id="", symbol=fault.on,
                side=OrderSide.BUY if sign > 0 else OrderSide.SELL, type=OrderType.LIMIT,
                qty=max(floor_to(notional / market.prices[index], instrument.step_size), instrument.min_qty),
                price=round_to(market.prices[index] * (1.0 - sign * _LIMIT_AWAY), instrument.tick_size), created_ns=0,
            ),
            by_trader=False,
        )
        return True

    def _cancel_stop(self, fault: Fault) -> bool:
        stops = [o for o in self.exchange.paper.open_orders() if o.type is OrderType.STOP_MARKET]
        stops.sort(key=lambda order: order.symbol != fault.on)
        if not stops:
            return False
        self.exchange.disruptions.people(stops[0].symbol, self.exchange.loop.time())
        gone = CancelRequest(client_order_id=stops[0].client_order_id, symbol=stops[0].symbol, created_ns=0)
        self.exchange.cancel(gone, by_trader=False)
        return True

    # ------------------------------------------------------------------ money and leverage

    def _transfer(self, fault: Fault) -> bool:
        """Pay money in or out; out at most half of what is available."""
        free = self.exchange.paper.balance().available
        self.exchange.transfer(max(fault.value, -0.5 * free) if fault.value < 0.0 else fault.value)
        return True

    def raise_leverage(self, fault: Fault) -> bool:
        """A person raises the leverage of an open position; margin is freed, and the liquidation comes nearer."""
        exchange, held = self.exchange, self._held(fault.on)
        if held is None:
            return False
        index, qty = held
        symbol, state = exchange.symbols[index], exchange.paper.state()
        most = max(tier.max_leverage for tier in exchange.paper.instrument(symbol).tiers)
        leverage = float(int(min(fault.value, most)))
        if leverage <= state["leverage"][index]:
            return False
        state["leverage"][index] = leverage
        exchange.paper.load_state(state)
        position = next(p for p in exchange.paper.positions() if p.symbol == symbol)
        needed = 1.001 * abs(qty) * position.mark_price / leverage
        exchange.paper.move_margin(symbol, min(needed - position.margin, 0.0))
        exchange.disruptions.people(symbol, exchange.loop.time())
        exchange.leverage_changed_ns[symbol] = exchange.now_ns()
        exchange.publish("user", (LeverageChanged(symbol=symbol, leverage=leverage, ts_ns=exchange.now_ns()),))
        return True

    def _lower_leverage(self, fault: Fault) -> bool:
        """A person sets another leverage where nothing is held; the next attempt to set it has no effect."""
        exchange, symbol, leverage = self.exchange, fault.on, float(max(1, int(fault.value)))
        delisted = exchange.market.delisted[exchange.market.index[symbol]]
        if delisted or exchange.change_leverage(symbol, leverage) != leverage:
            return False
        exchange.refusals.keep_leverage(symbol)
        exchange.leverage_changed_ns[symbol] = exchange.now_ns()
        return True

    # ------------------------------------------------------------------ prices and trading

    def _gap(self, fault: Fault) -> bool:
        market = self.exchange.market
        index = market.index[fault.on]
        if market.halted[index]:
            return False
        market.gap(index, fault.value)
        self.exchange.settle()
        self.exchange.publish_prices()
        return True

    def _liquidate(self, fault: Fault) -> bool:
        """Move the price through the liquidation price of a position, and back a second later."""
        exchange, held = self.exchange, self._held(fault.on)
        if held is None:
            return False
        index, qty = held
        position = next(p for p in exchange.paper.positions() if p.symbol == exchange.symbols[index])
        if position.liquidation_price <= 0.0:
            return False
        before = exchange.market.prices[index]
        self._move_price(index, position.liquidation_price * (0.995 if qty > 0.0 else 1.005))
        exchange.loop.call_later(1.0, self._move_price_back, index, before)
        return True

    def _move_price_back(self, index: int, price: float) -> None:
        if not self.exchange.market.halted[index]:
            self._move_price(index, price)

    def _move_price(self, index: int, price: float) -> None:
        self.exchange.market.set_price(index, price)
        self.exchange.settle()
        self.exchange.publish_prices()

    def _halt_symbol(self, fault: Fault) -> bool:
        exchange, market = self.exchange, self.exchange.market
        index = market.index[fault.on]
        if not market.delisted[index]:
            market.halted[index] = True
            exchange.disruptions.refused(fault.on, exchange.loop.time() + fault.seconds)
            exchange.loop.call_later(fault.seconds, self._end_symbol_halt, index)
        return True

    def _end_symbol_halt(self, index: int) -> None:
        market = self.exchange.market
        if not market.delisted[index]:
            market.halted[index] = False
            self.exchange.version += 1
            self.exchange.settle()

    def _delist(self, fault: Fault) -> bool:
        """Cancel the resting orders, settle the position at the last price, and end trading of the symbol."""
        exchange, market = self.exchange, self.exchange.market
        index = market.index[fault.on]
        if market.halted[index]:
            return False
        for order in exchange.paper.open_orders(fault.on):
            gone = CancelRequest(client_order_id=order.client_order_id, symbol=fault.on, created_ns=0)
            exchange.cancel(gone, by_trader=False)
        qty, market.fill_steps[index] = exchange.position_qty(fault.on), 0
        if qty != 0.0:
            self.market_order("settlement_autoclose-", index, -1 if qty > 0.0 else 1, abs(qty), reduce_only=True)
        market.delisted[index] = market.halted[index] = True
        return True

    def _limit_fills(self, fault: Fault) -> bool:
        market = self.exchange.market
        index = market.index[fault.on]
        instrument = market.instruments[index]
        market.fill_steps[index] = max(1, int(_THIN_NOTIONAL / (market.prices[index] * instrument.step_size)))
        self.exchange.loop.call_later(fault.seconds, self._end_fill_limit, index)
        return True

    def _end_fill_limit(self, index: int) -> None:
        self.exchange.market.fill_steps[index] = 0
        self.exchange.settle()

    def _publish_future_bar(self, fault: Fault) -> bool:
        """Publish a bar that will be complete only some bars from now."""
        exchange, market = self.exchange, self.exchange.market
        price = market.prices[market.index[fault.on]]
        opens_ns = (exchange.now_ns() // market.interval_ns + max(1, int(fault.value))) * market.interval_ns
        exchange.publish("market", (
            Kline(symbol=fault.on, interval_ns=market.interval_ns, ts_ns=opens_ns, open=price, high=price, low=price,
                  close=price, volume=1.0),
        ))
        return True

    # ------------------------------------------------------------------ refusals to come

    def _arm_refusals(self, fault: Fault) -> bool:
        self.exchange.refusals.arm(fault)
        return True

    def _coarsen_filters(self, fault: Fault) -> bool:
        self.exchange.refusals.coarsen_filters(fault)
        return True

    def _refuse_klines(self, fault: Fault) -> bool:
        self.exchange.refusals.refuse_klines(fault.on, self.exchange.loop.time() + fault.seconds)
        return True


_STRIKES: Final[dict[Kind, Callable[[ExchangeFaults, Fault], bool]]] = {
    Kind.PARTIAL_FILLS: ExchangeFaults._limit_fills,
    Kind.SYMBOL_HALTED: ExchangeFaults._halt_symbol,
    Kind.DELISTED: ExchangeFaults._delist,
    Kind.LIQUIDATION: ExchangeFaults._liquidate,
    Kind.ADL: ExchangeFaults._deleverage,
    Kind.MANUAL_CLOSE: ExchangeFaults._close_manually,
    Kind.LEVERAGE_KEPT: ExchangeFaults._lower_leverage,
    Kind.ORDER_REFUSED: ExchangeFaults._arm_refusals,
    Kind.STOP_REFUSED: ExchangeFaults._arm_refusals,
    Kind.CLOSE_REFUSED: ExchangeFaults._arm_refusals,
    Kind.FILTERS_CHANGED: ExchangeFaults._coarsen_filters,
    Kind.KLINES_REFUSED: ExchangeFaults._refuse_klines,
    Kind.BAR_FROM_FUTURE: ExchangeFaults._publish_future_bar,
    Kind.LEVERAGE_RAISED: ExchangeFaults.raise_leverage,
    Kind.PRICE_GAP: ExchangeFaults._gap,
    Kind.MANUAL_OPEN: ExchangeFaults._open_manually,
    Kind.STOP_CANCELLED: ExchangeFaults._cancel_stop,
    Kind.FOREIGN_ORDER: ExchangeFaults._rest_foreign_order,
    Kind.TRANSFER: ExchangeFaults._transfer,
}
EXCHANGE_FAULTS: Final = frozenset(_STRIKES)
# These are armed now and count when the trader's request is refused.
_STRIKE_LATER: Final = frozenset(
    {Kind.ORDER_REFUSED, Kind.STOP_REFUSED, Kind.CLOSE_REFUSED, Kind.FILTERS_CHANGED, Kind.KLINES_REFUSED}
)
