"""What another client of the account does on a simulated day: other symbols, hedge mode, fees in BNB, its trades.

A position in a symbol that the trader does not trade is in the account's answers and moves its wallet. An order of the
trader that reduces it is taken, as a real exchange takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import CancelRequest, Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import StreamEvent, WalletChanged
from quantum_trader.lab.simulation.deadlines import NEVER_S
from quantum_trader.lab.simulation.schedule import CLIENT, Fault, Kind

if TYPE_CHECKING:
    from quantum_trader.lab.simulation.exchange import SimulatedExchange

HEDGE_REFUSAL: Final = "-4061 Order's position side does not match user's setting."
_PRICE: Final = 2.5  # USDT of a foreign symbol at the day's first price of the first symbol
_SLOW_BARS_S: Final = 60.0  # how long questions for bars are slow after a late start
_FEE_SHARE: Final = 0.0005
_BETWEEN_S: Final = 45.0  # two trades of another client
_REDUCING: Final = (OrderType.MARKET, OrderType.STOP_MARKET)


class _Foreign:
    """A position in a symbol that is not traded here, and the trader's orders that would reduce it."""

    def __init__(self, qty: float, entry_price: float) -> None:
        self.qty, self.entry_price = qty, entry_price
        self.orders: dict[str, VenueOrder] = {}


class ClientFaults:
    """Applies the faults of other clients to *exchange*; one that is not possible yet waits."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        self.held: dict[str, _Foreign] = {}  # by symbol
        self.hedge_since_s = self.hedge_until_s = NEVER_S
        self.coin_until_s = NEVER_S  # until when BNB pays the fees
        self.result_s = NEVER_S  # when another client last moved the wallet
        self.coin_fees: list[Fill] = []  # fills whose fee BNB paid
        self._bars_take_s = self._slow_bars_until_s = 0.0
        self._first_price = exchange.market.prices[0]
        self._waiting: list[Fault] = []
        self._trades = 0

    def apply(self, fault: Fault) -> None:
        """Apply *fault* now, or keep it for :meth:`retry`."""
        if not self._strike(fault):
            self._waiting.append(fault)

    def retry(self) -> None:
        """Apply the waiting faults that have become possible, and trigger foreign stops."""
        for fault in self._waiting[:]:
            if self._strike(fault):
                self._waiting.remove(fault)
        for symbol, foreign in list(self.held.items()):
            price, sign = self.price(symbol), 1.0 if foreign.qty > 0.0 else -1.0
            if any((price - order.stop_price) * sign <= 0.0 for order in foreign.orders.values()):
                self._close(symbol, next(iter(foreign.orders)))

    def _strike(self, fault: Fault) -> bool:
        done = _STRIKES[fault.kind](self, fault)
        if done:
            self.exchange.struck(fault.kind)
            self.exchange.version += 1
        return done

    # ------------------------------------------------------------------ symbols that are not traded

    def price(self, symbol: str) -> float:
        """The price of a foreign symbol; it moves with the first symbol's."""
        return round(_PRICE * self.exchange.market.prices[0] / self._first_price, 6)

    def positions(self) -> list[VenuePosition]:
        """The foreign positions as the exchange reports them."""
        return [
            VenuePosition(
                symbol=symbol, qty=foreign.qty, entry_price=foreign.entry_price, leverage=5.0,
                margin=abs(foreign.qty) * foreign.entry_price / 5.0, liquidation_price=0.0,
                mark_price=self.price(symbol), unrealised_pnl=foreign.qty * (self.price(symbol) - foreign.entry_price),
            )
            for symbol, foreign in self.held.items()
        ]

    def orders(self) -> list[VenueOrder]:
        """The trader's resting orders in foreign symbols."""
        return [order for foreign in self.held.values() for order in foreign.orders.values()]

    def instrument(self, symbol: str) -> Instrument:
        """The filters of a foreign symbol."""
        like = self.exchange.market.instruments[0]
        return msgspec.structs.replace(like, symbol=symbol, tick_size=1e-6, step_size=1.0)

    def _open_foreign(self, fault: Fault) -> bool:
        """A position in another symbol, closed by its owner after a while."""
        if fault.on in self.held:
            return False
        qty = float(round(fault.value * max(self.exchange.paper.balance().available, 0.0) / self.price(fault.on)))
        if qty == 0.0:
            return True
        self.held[fault.on] = _Foreign(qty, self.price(fault.on))
        self._book(fault.on, qty, f"{CLIENT}open", 0.0)
        self.exchange.loop.call_later(fault.seconds, self._close, fault.on, f"{CLIENT}close")
        return True

    def submit(self, request: OrderRequest) -> OrderUpdate:
        """Take an order of the trader in a foreign symbol: one that reduces is accepted."""
        foreign, now_ns = self.held.get(request.symbol), self.exchange.now_ns()
        answer = OrderUpdate(
            client_order_id=request.client_order_id, venue_order_id="f1", symbol=request.symbol,
            status=OrderStatus.NEW, ts_ns=now_ns,
        )
        if foreign is None or not request.reduce_only or request.type not in _REDUCING:
            reason = "-2022 ReduceOnly Order is rejected."
            return msgspec.structs.replace(answer, status=OrderStatus.REJECTED, reason=reason)
        if request.type is OrderType.MARKET:
            self.exchange.loop.call_soon(self._close, request.symbol, request.client_order_id)
            return answer
        foreign.orders[request.client_order_id] = VenueOrder(
            client_order_id=request.client_order_id, venue_order_id="f1", symbol=request.symbol, side=request.side,
            type=request.type, qty=request.qty, filled_qty=0.0, average_price=0.0, price=0.0,
            stop_price=request.stop_price, reduce_only=True, status=OrderStatus.NEW, created_ns=now_ns,
        )
        return answer

    def cancel(self, request: CancelRequest) -> OrderUpdate:
        """Cancel an order of the trader in a foreign symbol."""
        foreign = self.held.get(request.symbol)
        gone = foreign.orders.pop(request.client_order_id, None) if foreign is not None else None
        return OrderUpdate(
            client_order_id=request.client_order_id, venue_order_id="f1", symbol=request.symbol,
            status=OrderStatus.CANCELED if gone is not None else OrderStatus.REJECTED, ts_ns=self.exchange.now_ns(),
            reason="" if gone is not None else "-2011 Unknown order sent.",
        )

    def _close(self, symbol: str, order_id: str) -> None:
        """Close a foreign position; its result is the wallet's."""
        foreign = self.held.pop(symbol, None)
        if foreign is not None:
            self._book(symbol, -foreign.qty, order_id, foreign.qty * (self.price(symbol) - foreign.entry_price))

    def _book(self, symbol: str, qty: float, order_id: str, result: float) -> None:
        """Book a fill of a foreign symbol and report it."""
        exchange, price = self.exchange, self.price(symbol)
        self._trades += 1
        fee = abs(qty) * price * _FEE_SHARE
        self._pay(result - fee)
        self.result_s = exchange.loop.time()
        exchange.disruptions.struck(self.result_s)
        exchange.version += 1
        fill = Fill(
            fill_id=f"{symbol}-{self._trades}", client_order_id=order_id, symbol=symbol,
            side=OrderSide.BUY if qty > 0.0 else OrderSide.SELL, qty=abs(qty), price=price, fee=fee,
            liquidity="taker", ts_ns=exchange.now_ns(),
        )
        self._publish(fill, OrderUpdate(
            client_order_id=order_id, venue_order_id="f1", symbol=symbol, status=OrderStatus.FILLED,
            ts_ns=exchange.now_ns(), filled_qty=abs(qty),
        ))

    def _publish(self, *message: StreamEvent) -> None:
        exchange = self.exchange
        exchange.publish("user", message)
        wallet = exchange.paper.balance().wallet
        exchange.publish("user", (WalletChanged(wallet=wallet, reason="ORDER", ts_ns=exchange.now_ns()),))

    def _pay(self, amount: float) -> None:
        """Change the wallet."""
        state: dict[str, Any] = self.exchange.paper.state()
        state["account"]["cash"] += amount
        self.exchange.paper.load_state(state)

    # ------------------------------------------------------------------ settings of the account

    @property
    def hedged(self) -> bool:
        """Whether the account is in hedge mode, in which no order without a position side is taken."""
        return self.hedge_until_s > self.exchange.loop.time()

    def _switch_to_hedge(self, fault: Fault) -> bool:
        """Switch to hedge mode for a while; the exchange allows it only with nothing open."""
        paper = self.exchange.paper
        if paper.positions() or paper.open_orders() or self.held:
            return False
        self.hedge_since_s = self.exchange.loop.time()
        self.hedge_until_s = self.hedge_since_s + fault.seconds
        for symbol in self.exchange.symbols:
            self.exchange.disruptions.refused(symbol, self.hedge_until_s)
        return True

    def _pay_fees_in_coin(self, fault: Fault) -> bool:
        self.coin_until_s = self.exchange.loop.time() + fault.seconds
        return True

    def paid(self, fill: Fill) -> Fill:
        """*fill* as the exchange reports it: while BNB pays the fees, the wallet keeps the USDT."""
        if self.coin_until_s <= self.exchange.loop.time() or fill.fee <= 0.0:
            return fill
        self._pay(fill.fee)
        in_coin = msgspec.structs.replace(fill, fee_asset="BNB")
        self.coin_fees.append(in_coin)
        return in_coin

    def _change_leverage(self, fault: Fault) -> bool:
        """Another leverage for every symbol; where something is held it can only rise."""
        exchange = self.exchange
        held = {position.symbol for position in exchange.paper.positions()}
        for symbol in exchange.symbols:
            if exchange.market.halted[exchange.market.index[symbol]]:
                continue
            if symbol in held:
                exchange.faults.raise_leverage(msgspec.structs.replace(fault, on=symbol))
            elif exchange.change_leverage(symbol, float(int(fault.value))) == float(int(fault.value)):
                exchange.leverage_changed_ns[symbol] = exchange.now_ns()
        return True

    # ------------------------------------------------------------------ a late first start

    def slow_bars(self, seconds: float) -> None:
        """Let each question for bars take *seconds* for a minute."""
        exchange = self.exchange
        now_s = exchange.loop.time()
        self._bars_take_s, self._slow_bars_until_s = seconds, now_s + _SLOW_BARS_S
        exchange.disruptions.bars_s = max(exchange.disruptions.bars_s, now_s + _SLOW_BARS_S + seconds)

    def bars_delay_s(self) -> float:
        """How long a question for bars takes now beyond its way over the wire."""
        return self._bars_take_s if self.exchange.loop.time() < self._slow_bars_until_s else 0.0

    # ------------------------------------------------------------------ orders

    def _trade(self, fault: Fault) -> bool:
        """Trade in and out of one of our symbols, several times."""
        for number in range(fault.count):
            self.exchange.loop.call_later(number * _BETWEEN_S, self._trade_once, fault, number)
        return True

    def _trade_once(self, fault: Fault, number: int) -> None:
        market = self.exchange.market
        index = market.index[fault.on]
        if market.halted[index]:
            return
        notional = abs(fault.value) * max(self.exchange.paper.balance().available, 0.0)
        sign = (1 if fault.value > 0.0 else -1) * (-1 if number % 2 else 1)
        self.result_s = self.exchange.loop.time()
        self.exchange.faults.market_order(CLIENT, index, sign, notional / market.prices[index], reduce_only=False)

    def _cancel_all(self, fault: Fault) -> bool:
        """Cancel every order of the account, ours included."""
        exchange = self.exchange
        orders, foreign_orders, now_s = exchange.paper.open_orders(), self.orders(), exchange.loop.time()
        if not orders and not foreign_orders:
            return False
        exchange.disruptions.message("user", now_s)  # while the trader is down only a look shows it
        for order in (*orders, *foreign_orders):
            exchange.disruptions.people(order.symbol, now_s)
        for order in orders:
            gone = CancelRequest(client_order_id=order.client_order_id, symbol=order.symbol, created_ns=0)
            exchange.cancel(gone, by_trader=False)
        for foreign in self.held.values():
            foreign.orders.clear()
        return True


_STRIKES: Final[dict[Kind, Callable[[ClientFaults, Fault], bool]]] = {
    Kind.FOREIGN_SYMBOL: ClientFaults._open_foreign,
    Kind.HEDGE_MODE: ClientFaults._switch_to_hedge,
    Kind.FEE_COIN: ClientFaults._pay_fees_in_coin,
    Kind.CLIENT_TRADES: ClientFaults._trade,
    Kind.CLIENT_CANCELS: ClientFaults._cancel_all,
    Kind.CLIENT_LEVERAGE: ClientFaults._change_leverage,
}
CLIENT_FAULTS: Final = frozenset(_STRIKES)
