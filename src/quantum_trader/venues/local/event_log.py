"""What happened at the local venue since its streams were last served: account events and price ticks, in order."""

from __future__ import annotations

from quantum_trader.venues.local.market import LocalMarket
from quantum_trader.venues.local.orders import (
    AccountEvent,
    AlgoEvent,
    AlgoOrder,
    ConfigEvent,
    DepthDiff,
    ExecutionReport,
    MarketTick,
    MarketTrade,
    Order,
    Trade,
    UserEvent,
)

Recorded = tuple[tuple[DepthDiff, ...], tuple[MarketTrade, ...]]


class EventLog:
    """Collects events at the market's time until they are taken."""

    def __init__(self, market: LocalMarket) -> None:
        self._market = market
        self._events: list[UserEvent | MarketTick] = []
        self._ticked_ns = market.now_ns

    def take(self) -> list[UserEvent | MarketTick]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def add(self, event: AccountEvent | ConfigEvent) -> None:
        """Append an event of the account."""
        self._events.append(event)

    def tick(self, recorded: Recorded | None = None) -> None:
        """Append that prices moved since the tick before; *recorded* lists book changes and trades of a recording."""
        now = self._market.now_ns
        if recorded is None:
            self._events.append(MarketTick(ts_ns=now, since_ns=self._ticked_ns))
        else:
            diffs, trades = recorded
            self._events.append(
                MarketTick(ts_ns=now, since_ns=self._ticked_ns, recorded=True, diffs=diffs, trades=trades)
            )
        self._ticked_ns = now

    def order(self, order: Order, execution: str, trade: Trade | None = None) -> None:
        """Append the state of a regular order, with the trade that changed it."""
        ticket = order.ticket
        self._events.append(ExecutionReport(
            execution=execution, order_id=order.order_id, client_id=ticket.client_id, symbol=ticket.symbol,
            side=ticket.side, type=ticket.type, orig_type=order.orig_type, tif=ticket.tif, qty=order.qty,
            price=order.price, trigger_price=ticket.trigger_price, average=order.average, status=order.status,
            filled=order.filled, reduce_only=ticket.reduce_only, close_position=ticket.close_position,
            working_type=ticket.working_type, ts_ns=self._market.now_ns, expiry=order.expiry,
            good_till_ms=ticket.good_till_ms, price_match=ticket.price_match, trade=trade,
        ))

    def algo(self, algo: AlgoOrder, actual: Order | None) -> None:
        """Append the state of a conditional order, with the regular order it became."""
        self._events.append(AlgoEvent(
            algo_id=algo.algo_id, ticket=algo.ticket, status=algo.status, ts_ns=self._market.now_ns,
            actual_id=algo.actual_id, actual_type=actual.ticket.type if actual else "",
            average=actual.average if actual else 0.0, filled=actual.filled if actual else 0.0,
            triggered_ns=algo.triggered_ns, reason=algo.reason,
        ))
