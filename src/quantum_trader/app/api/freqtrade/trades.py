"""Trades as freqtrade's clients read them: the journal's round trips that have ended, and the open positions.

A trade's number is that of the journal's record of its first fill, so that it is the same while the trade is open and
after it has ended. Money is USDT; ratios are fractions of the stake, which is the margin: notional over leverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.words import STAKE, coin_of, date_of, dated, ms_of, pair_of, pct_of
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.runs.status import OrderLine, PositionLine
from quantum_trader.domain.errors import brief
from quantum_trader.engine.gateway import Purpose

MOST: Final = 500  # trades of a page
_TAG: Final = 100  # characters of an entry tag
_OPENED: Final = (  # the first fill of each order, and each position that was taken over, with its decision's trace
    "select o.trace_id, f.symbol, f.ts_ns as entry_ns, min(f.seq) as number from "
    "(select * from fills where kind = 'order.filled') f join "
    "(select client_order_id, trace_id from orders where kind = 'order.submitted' and not reduce_only) o "
    "on o.client_order_id = f.client_order_id group by o.trace_id, f.symbol, f.ts_ns union all "
    "select trace_id, symbol, ts_ns, min(seq) from adoptions group by trace_id, symbol, ts_ns"
)
ENDED: Final = (  # every trade that has ended: its number, leverage (1 where none is recorded) and stake
    f"(select t.*, coalesce(o.number, t.entry_ns // 1000000) as number, coalesce(l.leverage, 1.0) as leverage, "
    "t.qty * t.entry_price / coalesce(l.leverage, 1.0) as stake "
    f"from (select * from trades where kind = 'trade.closed') t left join ({_OPENED}) o "
    "on o.symbol = t.symbol and o.entry_ns = t.entry_ns and o.trace_id = t.trace_id left join ("
    "select trace_id, max(leverage) as leverage from intents where not reduce_only and leverage > 0 "
    "and trace_id <> '' group by trace_id) l on l.trace_id = t.trace_id)"
)


class Trades:
    """The trades of one run."""

    def __init__(self, reader: RunReader, view: RunView) -> None:
        self._reader, self._view = reader, view

    def page(self, limit: int, offset: int, *, by_number: bool) -> dict[str, Any]:
        """*limit* trades that have ended from the *offset*-th on: by their numbers, or the newest first."""
        order = "number, seq" if by_number else "ts_ns desc, seq desc"
        (counted,) = self._view.rows("select count(*) as n from trades where kind = 'trade.closed'") or [{"n": 0}]
        found = self._view.rows(f"select * from {ENDED} order by {order} limit ? offset ?", [min(limit, MOST), offset])
        told = [self._closed(row) for row in found]
        return {"trades": told, "trades_count": len(told), "offset": offset, "total_trades": counted["n"]}

    def open(self) -> list[dict[str, Any]]:
        """Every open position of this run as a trade, oldest first."""
        status = self._reader.status()
        numbers = self.numbers(status.positions)
        lines = sorted((one for one in status.positions if one.symbol in numbers), key=lambda one: numbers[one.symbol])
        orders = [one for one in status.orders if one.purpose]
        return [
            self._open(line, numbers[line.symbol], [one for one in orders if one.symbol == line.symbol])
            for line in lines
        ]

    def one(self, number: str) -> dict[str, Any]:
        """The trade with that *number*, open or ended. ApiError where there is none."""
        if not (number.isascii() and number.isdigit() and len(number) < 18):
            raise ApiError(404, f"trade_id = {brief(number)}: is no number of a trade")
        for trade in self.open():
            if trade["trade_id"] == int(number):
                return trade
        found = self._view.rows(f"select * from {ENDED} where number = ? limit 1", [int(number)])
        if not found:
            raise ApiError(404, f"trade_id = {number}: there is no such trade")
        return self._closed(found[0])

    def held(self, number: str) -> PositionLine:
        """The open position with that trade *number*. ApiError where there is none."""
        status = self._reader.fresh_status()
        numbers = self.numbers(status.positions)
        for line in status.positions:
            if str(numbers.get(line.symbol, "")) == number:
                return line
        open_ones = ", ".join(str(one) for one in sorted(numbers.values())) or "none"
        raise ApiError(404, f"tradeid = {brief(number)}: no open trade has this number; open are: {open_ones}")

    def numbers(self, positions: Sequence[PositionLine]) -> dict[str, int]:
        """The trade number of each of the run's own *positions*, by symbol.

        Until the first fill's record is in the journal, or where it was lost, the time of the entry (ms) stands for it.
        The status is written every few seconds: a position whose trade has ended by the journal is left out.
        """
        own = {
            (one.trace_id, one.symbol, one.entry_ns): one.symbol for one in positions if one.traded and one.entry_ns
        }
        if not own:
            return {}
        marks, times = ", ".join("?" * len(own)), [entry_ns for _, _, entry_ns in own]
        found = self._view.rows(
            f"select *, false as has_ended from ({_OPENED}) where entry_ns in ({marks}) union all "
            "select trace_id, symbol, entry_ns, 0, true from trades where kind = 'trade.closed' and entry_ns in "
            f"({marks})",
            [*times, *times],
        )
        keys = [(row["trace_id"], row["symbol"], row["entry_ns"]) for row in found]
        ended = {key for key, row in zip(keys, found, strict=True) if row["has_ended"]}
        known = {key: row["number"] for key, row in zip(keys, found, strict=True) if not row["has_ended"]}
        return {symbol: known.get(key, key[2] // 1_000_000) for key, symbol in own.items() if key not in ended}

    # ---- the fields --------------------------------------------------------------------------------------------------
    def _common(self, number: int, symbol: str, side: str, leverage: float, model: str) -> dict[str, Any]:
        config = self._view.config()
        return {
            "trade_id": number, "pair": pair_of(symbol), "base_currency": coin_of(symbol), "quote_currency": STAKE,
            "is_short": side == "SHORT", "trade_direction": side.lower(), "exchange": config.exchange,
            "leverage": leverage, "trading_mode": "futures", "strategy": config.strategy,
            "timeframe": config.timeframe_min, "enter_tag": model[:_TAG], "interest_rate": 0.0, "fee_open": None,
            "fee_close": None, "fee_open_currency": STAKE, "fee_close_currency": STAKE, "profit_fiat": None,
        }

    def _closed(self, row: dict[str, Any]) -> dict[str, Any]:
        stake, pnl = row["stake"], row["pnl"]
        ratio = pnl / stake if stake else 0.0
        sign = -1 if row["side"] == "SHORT" else 1
        return {
            **self._common(row["number"], row["symbol"], row["side"], row["leverage"], row["model"] or ""),
            "quantum_trader_id": row["trade_id"], "is_open": False, "amount": row["qty"],
            "amount_requested": row["qty"], "stake_amount": stake, "max_stake_amount": stake,
            "open_trade_value": row["qty"] * row["entry_price"], **dated("open", row["entry_ns"]),
            "open_fill_date": date_of(row["entry_ns"]), "open_fill_timestamp": ms_of(row["entry_ns"]),
            "open_rate": row["entry_price"], "open_rate_requested": None, **dated("close", row["exit_ns"]),
            "close_rate": row["exit_price"], "close_rate_requested": None, "close_profit": ratio,
            "close_profit_pct": pct_of(ratio), "close_profit_abs": pnl, "profit_ratio": ratio,
            "profit_pct": pct_of(ratio), "profit_abs": pnl, "realized_profit": pnl, "realized_profit_ratio": ratio,
            "exit_reason": row["exit_reason"].lower(), "exit_order_status": "closed",
            "trade_duration_s": (row["exit_ns"] - row["entry_ns"]) // 1_000_000_000,
            "trade_duration": (row["exit_ns"] - row["entry_ns"]) // 60_000_000_000,
            "fee_open_cost": None, "fee_close_cost": None, "fees": row["fees"], "funding_fees": row["funding"],
            **_stop(row["stop_price"], row["stop_price"], row["entry_price"], sign, row["leverage"]),
            "liquidation_price": None, "has_open_orders": False, "orders": [],
        }

    def _open(self, line: PositionLine, number: int, orders: Sequence[OrderLine]) -> dict[str, Any]:
        sign, leverage = -1 if line.side == "SHORT" else 1, line.leverage or 1.0
        stake, rate = line.qty * line.entry_price / leverage, line.mark_price or None
        paid = line.realised - line.fees + line.funding
        profit = (rate - line.entry_price) * sign * line.qty + paid if rate is not None else None
        ratio = profit / stake if profit is not None and stake else None
        waiting = [one for one in orders if one.purpose in (Purpose.OPEN.value, Purpose.CLOSE.value)]
        return {
            **self._common(number, line.symbol, line.side, leverage, line.model),
            "quantum_trader_id": line.trace_id, "is_open": True, "amount": line.qty, "amount_requested": line.qty,
            "stake_amount": stake, "max_stake_amount": stake, "open_trade_value": line.qty * line.entry_price,
            **dated("open", line.entry_ns), "open_fill_date": date_of(line.entry_ns),
            "open_fill_timestamp": ms_of(line.entry_ns), "open_rate": line.entry_price, "open_rate_requested": None,
            **dated("close", 0), "close_rate": None, "close_rate_requested": None, "close_profit": None,
            "close_profit_pct": None, "close_profit_abs": None, "current_rate": rate, "profit_ratio": ratio,
            "profit_pct": pct_of(ratio), "profit_abs": profit, "realized_profit": line.realised,
            "realized_profit_ratio": None, "total_profit_abs": profit, "total_profit_ratio": ratio,
            "total_profit_fiat": None, "exit_reason": "", "exit_order_status": None,
            "fee_open_cost": line.fees, "fee_close_cost": None, "fees": line.fees, "funding_fees": line.funding,
            **_stop(line.stop, line.first_stop, line.entry_price, sign, leverage), **_distance(line, rate, sign),
            "liquidation_price": line.liquidation_price or None, "has_open_orders": bool(waiting),
            "orders": [_order(one, line) for one in orders],
        }


def _stop(price: float, first: float, entry: float, sign: int, leverage: float) -> dict[str, Any]:
    """The stop in force and the one at entry, each with its distance as a share of the stake; None: there is none."""
    found: dict[str, Any] = {"stoploss_last_update": None, "stoploss_last_update_timestamp": None}
    for name, value in (("stop_loss", price), ("initial_stop_loss", first)):
        ratio = (value / entry - 1.0) * sign * leverage if value > 0.0 and entry > 0.0 else None
        found |= {f"{name}_abs": value or None, f"{name}_ratio": ratio, f"{name}_pct": pct_of(ratio)}
    return found


def _distance(line: PositionLine, rate: float | None, sign: int) -> dict[str, Any]:
    """From the current rate to the stop."""
    away = line.stop - rate if rate is not None and line.stop > 0.0 else None
    ratio = away * sign / rate if away is not None and rate else None
    return {
        "stoploss_current_dist": away, "stoploss_current_dist_ratio": ratio, "stoploss_current_dist_pct": pct_of(ratio)
    }


def _order(one: OrderLine, line: PositionLine) -> dict[str, Any]:
    """An order that may still be open."""
    opens, is_short = one.purpose == Purpose.OPEN.value, line.side == "SHORT"
    return {
        "order_id": one.client_order_id, "pair": pair_of(one.symbol), "is_open": True, "status": "open",
        "ft_order_side": {Purpose.STOP.value: "stoploss"}.get(one.purpose, "sell" if opens is is_short else "buy"),
        "ft_is_entry": opens, "ft_order_tag": one.purpose.lower(), "amount": one.qty, "remaining": one.qty,
        "filled": 0.0, "cost": 0.0, "safe_price": one.price, "average": None, "order_type": one.purpose.lower(),
        "order_timestamp": None, "order_filled_timestamp": None,
    }
