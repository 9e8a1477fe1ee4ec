"""Checks of money: only the exchange's fills move the books, each once; a transfer is no result; equity is current."""

from __future__ import annotations

from typing import Any, Final

from quantum_trader.domain.trading import Fill
from quantum_trader.engine.core import Engine
from quantum_trader.lab.simulation import trader_view
from quantum_trader.lab.simulation.check_context import CheckContext

_SAME: Final = 1e-9
_CENT: Final = 0.01  # USDT
_SAME_PCT: Final = 1e-6  # percent
_EQUITY_SAME: Final = 0.03  # share by which sizing equity and the exchange's may differ at the same moment


class MoneyChecks:
    """Compares what the engine books with what happened at the exchange."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._indexed = 0  # fills of the exchange in the index
        self._fills: dict[str, Fill] = {}
        self._booked: set[str] = set()
        self._transfers_booked: list[float] = []
        self._judged: tuple[int, tuple[float, ...]] = (0, ())  # time of the newest bars, losses and drawdown then

    def begin(self, engine: Engine) -> None:
        """A trader starts without an earlier life to compare with: it has booked what it remembers."""
        self._booked = trader_view.booked_fills(engine)
        self._transfers_booked = trader_view.booked_transfers(engine, self._context.exchange.transfers)

    def index_fills(self) -> None:
        """Take in the exchange's new fills."""
        fills = self._context.exchange.fills
        while self._indexed < len(fills):
            fill = fills[self._indexed]
            self._fills[fill.fill_id] = fill
            self._indexed += 1

    def filled(self, data: dict[str, Any]) -> None:
        """Only fills of the exchange move the books, each once."""
        fail, fill_id = self._context.fail, data["fill_id"]
        truth = self._fills.get(fill_id)
        if truth is None or truth.symbol != data["symbol"] or truth.side.value != data["side"]:
            fail("only fills move books", f"{fill_id} is no fill of the exchange")
        elif abs(truth.qty - data["qty"]) > _SAME * truth.qty or truth.price != data["price"]:
            fail("only fills move books", f"{fill_id} was {truth.qty:g} at {truth.price:g}")
        elif abs(truth.fee - data["fee"]) > _SAME:
            fail("every fee is a cost", f"{fill_id} cost {truth.fee:g} USDT, the books say {data['fee']:g}")
        if fill_id in self._booked:
            fail("a fill counts once", f"{fill_id} was booked twice")
        self._booked.add(fill_id)

    def bars_taken(self, engine: Engine) -> None:
        """Note the percentages that limits have judged."""
        self._judged = trader_view.engine_now_ns(engine), trader_view.judged_pct(engine)

    def adjusted(self, data: dict[str, Any], engine: Engine) -> None:
        """A transfer counts once, and changes no percentage that a limit judges."""
        context, amount = self._context, data["wallet"] - data["before"]
        real = [transfer for transfer in context.exchange.transfers if abs(transfer.amount - amount) < _CENT]
        calm_s = context.now_s() - context.disruptions.requests_s
        if not data["explained"] and real and calm_s > context.bounds.found_s:
            context.fail(
                "money moved is no result", f"{amount:+.2f} USDT were moved, and booked as a result of trading"
            )
        before, now = self._judged, (trader_view.engine_now_ns(engine), trader_view.judged_pct(engine))
        self._judged = now
        in_coin = any(abs(fill.fee - amount) <= _SAME for fill in context.exchange.clients.coin_fees)
        if data["explained"] and in_coin and data["why"] != "transfer":
            self._coin_fee(before, now, amount)
        if data["why"] != "transfer":
            return
        same = all(abs(new - old) <= _SAME_PCT for new, old in zip(now[1], before[1], strict=False))
        if now[0] == before[0] and not same:
            context.fail("money moved is no result", f"{amount:+.2f} USDT were moved: {before[1]} % became {now[1]} %")
        self._transfers_booked.append(amount)
        if sum(abs(booked - amount) < _CENT for booked in self._transfers_booked) > len(real):
            context.fail("money counts once", f"{amount:+.2f} USDT were booked more often than they moved")

    def _coin_fee(
        self, before: tuple[int, tuple[float, ...]], now: tuple[int, tuple[float, ...]], amount: float
    ) -> None:
        """The coin that pays a fee changes no percentage; the fee does, with the next mark."""
        same = all(abs(new - old) <= _SAME_PCT for new, old in zip(now[1], before[1], strict=False))
        if now[0] == before[0] and not same:
            self._context.fail(
                "every fee is a cost", f"a fee of {amount:g} USDT in BNB: {before[1]} % became {now[1]} %"
            )

    def sized(self, engine: Engine, *, books_agree: bool) -> None:
        """The equity an order was sized with is that of the books now, and near the exchange's."""
        context, used, fresh = self._context, trader_view.sizing_equity(engine), trader_view.book_equity(engine)
        if abs(used - fresh) > 1e-6 * max(abs(fresh), 1.0):
            context.fail("equity is not stale", f"sized with {used:.2f}, the books say {fresh:.2f}")
        if not context.disruptions.is_calm(context.now_s(), context.bounds.found_s) or not books_agree:
            return
        truth = context.exchange.paper.balance().equity
        if abs(used - truth) > _EQUITY_SAME * abs(truth):
            context.fail("equity is not stale", f"sized with {used:.2f}, the account is worth {truth:.2f}")
