"""Checks of time: completed bars are decided on, and nothing opens on stale ones."""

from __future__ import annotations

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.core import Engine
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import CheckContext
from quantum_trader.lab.simulation.deadlines import NEVER_S
from quantum_trader.lab.simulation.schedule import OUTSIDE_INTENT


class ProgressChecks:
    """Compares the engine's time with the exchange's bars."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._behind_s = NEVER_S  # since when completed bars are not decided on

    def begin(self) -> None:
        """A trader starts."""
        self._behind_s = NEVER_S

    def opening_made(self, order: OrderRequest, engine: Engine) -> None:
        """Check the age of the bars that an opening order was made on."""
        exchange = self._context.exchange
        age_s = (exchange.now_ns() - trader_view.engine_now_ns(engine)) / NS_PER_SECOND
        between_bars = order.intent_id.startswith(OUTSIDE_INTENT)
        waits_s = exchange.market.interval_ns / NS_PER_SECOND if between_bars else 0.0
        if age_s > waits_s + trader_view.max_data_age_s(engine):
            self._context.fail(
                "nothing opens on stale data", f"{order.symbol} opens on bars that are {age_s:.0f} s old"
            )

    def check_bars(self, engine: Engine) -> None:
        """Completed bars are decided on, whether the stream delivers them or not."""
        context, now = self._context, self._context.now_s()
        market, disruptions = context.exchange.market, context.disruptions
        newest = max((rows[-1].ts_ns for rows in market.klines.values() if rows), default=0)
        if newest == 0 or trader_view.engine_now_ns(engine) >= newest + market.interval_ns:
            self._behind_s = NEVER_S
            return
        if self._behind_s == NEVER_S:
            self._behind_s = now
        anchor = max(self._behind_s, disruptions.requests_s, disruptions.began_s, disruptions.bars_s)
        if now - anchor > context.bounds.decided_s:
            context.fail(
                "health means progress", f"completed bars are not decided on, for {now - self._behind_s:.0f} s"
            )
