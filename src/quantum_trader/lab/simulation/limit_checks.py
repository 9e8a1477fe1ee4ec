"""Checks of what limits judge: the account's results, every one of them and nothing else.

Results are measured at the exchange: equity without the money that was paid in or out, less the fees that another coin
paid. They are chained as shares of the account, as every percentage of a limit is.
"""

from __future__ import annotations

from typing import Any, Final

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.engine.core import Engine
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import CheckContext

_LEAST: Final = 0.5  # of the limit: a halt for a smaller real loss has another cause than losses
_BEYOND_PCT: Final = 1.5  # beyond the limit: a loss so large is no matter of the moment it is measured at
_BARS: Final = 3  # bars that a loss has to last until its limit must be in force


class LimitChecks:
    """Compares the daily loss limit with the results at the exchange."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._transfers = self._coin_fees = 0  # of the exchange, taken in
        self._equity = context.exchange.paper.balance().equity
        self._index = self._best = self._midnight = 1.0  # results so far; their best; those at midnight
        self._deepest_pct = 0.0  # the deepest fall from the best
        self._day = -1
        self._began_ns = -1  # the first trader's start
        self._lost_since_s = -1.0  # since when the day's loss is beyond the limit; -1.0: it is not

    def begin(self) -> None:
        """A trader starts: with the first one, results begin."""
        if self._began_ns < 0:
            self.sample()
            self._began_ns = self._context.exchange.now_ns()
            self._best = self._midnight = self._index
            self._deepest_pct = 0.0

    def sample(self) -> None:
        """Take in the account's result since the last sample."""
        exchange = self._context.exchange
        equity, moved = exchange.paper.balance().equity, 0.0
        for transfer in exchange.transfers[self._transfers:]:
            moved += transfer.amount
        for fill in exchange.clients.coin_fees[self._coin_fees:]:
            moved += fill.fee  # the wallet keeps it; it is lost all the same
        self._transfers, self._coin_fees = len(exchange.transfers), len(exchange.clients.coin_fees)
        if self._equity > 0.0:
            self._index *= max(equity - moved, 0.0) / self._equity
        self._equity = equity
        self._best = max(self._best, self._index)
        if self._best > 0.0:
            self._deepest_pct = max(self._deepest_pct, (1.0 - self._index / self._best) * 100.0)
        day = exchange.now_ns() // NS_PER_DAY
        if day != self._day:
            self._day, self._midnight = day, self._index

    def raised(self, data: dict[str, Any], ts_ns: int, engine: Engine) -> None:
        """A limit halts for what happened to this account, and not before it was there."""
        if data["kind"] not in ("daily_loss", "governor"):
            return
        self.sample()
        fail, limit = self._context.fail, trader_view.daily_loss_limit_pct(engine)
        if ts_ns < self._began_ns - self._context.exchange.market.interval_ns:
            fail("limits judge what happened", f"{data['reason']}: dated before the first start")
        elif data["kind"] == "daily_loss" and self._deepest_pct < _LEAST * limit:
            fail(
                "limits judge what happened",
                f"{data['reason']}: the account has lost {self._deepest_pct:.2f} %, the limit is {limit:g} %",
            )

    def check(self, engine: Engine, *, books_agree: bool) -> None:
        """A day's loss beyond the limit, which lasts and is known, is in force."""
        self.sample()
        context, limit = self._context, trader_view.daily_loss_limit_pct(engine)
        day_pct = (self._index / self._midnight - 1.0) * 100.0 if self._midnight > 0.0 else 0.0
        if day_pct > -(limit + _BEYOND_PCT) or not books_agree:
            self._lost_since_s = -1.0
            return
        now = context.now_s()
        if self._lost_since_s < 0.0:
            self._lost_since_s = now
        lasts_s = _BARS * context.exchange.market.interval_ns / 1e9
        since_s = max(self._lost_since_s, context.disruptions.last_s)
        if now - since_s > lasts_s + context.bounds.decided_s and not trader_view.is_loss_latched(engine):
            context.fail(
                "limits judge what happened",
                f"{-day_pct:.2f} % are lost today, and the limit of {limit:g} % is not in force",
            )
