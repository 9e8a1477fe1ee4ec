"""Results in freqtrade's shape: profit, balance, days, performance by pair and tag, durations.

Every sum is made in SQL over all trades of the journal. Ratios of a trade are fractions of its stake (margin).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.trades import ENDED, Trades
from quantum_trader.app.api.freqtrade.words import STAKE, dated, pair_of, pct_of, symbol_of
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.ordered_sum import ordered_sum

_SUMS: Final = (
    "select count(*) as n, count(*) filter (pnl > 0) as wins, count(*) filter (pnl < 0) as losses, "
    "coalesce(sum(pnl), 0.0) as profit, coalesce(avg(ratio), 0.0) as mean_ratio, coalesce(sum(ratio), 0.0) as ratios, "
    "coalesce(sum(pnl) filter (pnl > 0), 0.0) as won, coalesce(-sum(pnl) filter (pnl < 0), 0.0) as lost, "
    "coalesce(min(entry_ns), 0) as first_ns, coalesce(max(entry_ns), 0) as last_ns, "
    "coalesce(avg(exit_ns - entry_ns), 0.0) as held_ns, coalesce(sum(2.0 * qty * entry_price), 0.0) as volume "
    f"from (select *, pnl / nullif(stake, 0.0) as ratio from {ENDED})"
)
_DRAWDOWN: Final = (  # of the closed trades, as freqtrade counts it
    "select made, high, high - made as fall, exit_ns, arg_max(exit_ns, made) over w as high_ns from ("
    "select exit_ns, seq, made, max(greatest(made, 0.0)) over (order by seq) as high from ("
    "select exit_ns, seq, sum(pnl) over (order by seq) as made from trades where kind = 'trade.closed')) "
    "window w as (order by seq) order by fall desc, seq limit 1"
)
_PERIODS: Final = {"daily": "day", "weekly": "week", "monthly": "month"}


class TradeResults:
    """The results of one run."""

    def __init__(self, view: RunView, trades: Trades) -> None:
        self._view, self._trades = view, trades

    def profit(self) -> dict[str, Any]:
        """What was earned: by trades that have ended, and by all."""
        found = self._view.rows(_SUMS)
        sums = found[0] if found else _NOTHING
        held = self._trades.open()
        start = self._start()
        floating = ordered_sum(one["profit_abs"] or 0.0 for one in held)
        closed, whole = sums["profit"], sums["profit"] + floating
        ratios = [one["profit_ratio"] or 0.0 for one in held]
        all_ratios = sums["ratios"] + ordered_sum(ratios)
        count = sums["n"] + len(held)
        best = self.performance()[:1]
        open_ns = [one["open_timestamp"] * 1_000_000 for one in held]
        first_ns = min([one for one in (sums["first_ns"], *open_ns) if one], default=0)
        last_ns = max([sums["last_ns"], *open_ns])
        return {
            **_part("closed", closed, sums["mean_ratio"], sums["ratios"], start),
            **_part("all", whole, all_ratios / count if count else 0.0, all_ratios, start),
            "trade_count": count, "closed_trade_count": sums["n"], **_seen("first_trade", first_ns),
            **_seen("latest_trade", last_ns), "avg_duration": str(timedelta(seconds=sums["held_ns"] // NS_PER_SECOND)),
            "best_pair": best[0]["pair"] if best else "", "best_rate": best[0]["profit_pct"] if best else 0.0,
            "best_pair_profit_ratio": best[0]["profit_ratio"] if best else 0.0,
            "best_pair_profit_abs": best[0]["profit_abs"] if best else 0.0, "winning_trades": sums["wins"],
            "losing_trades": sums["losses"], "winrate": sums["wins"] / sums["n"] if sums["n"] else 0.0,
            "profit_factor": sums["won"] / sums["lost"] if sums["lost"] else None, **_expectancy(sums),
            **self._drawdown(start), "trading_volume": sums["volume"],
            **dated("bot_start", self._since_ns()),
        }

    def balance(self) -> dict[str, Any]:
        """The account: the equity, and the margin that each open position holds of it."""
        status, held = self._view.reader.status(), self._trades.open()
        equity = status.equity
        used = ordered_sum(one["stake_amount"] for one in held)
        total, start = equity or 0.0, self._start()
        row = {"is_bot_managed": True, "stake": STAKE}
        money = {
            **row, "currency": STAKE, "free": max(0.0, total - used), "balance": total, "used": used,
            "bot_owned": total, "est_stake": max(0.0, total - used), "est_stake_bot": max(0.0, total - used),
            "side": "long", "is_position": False, "position": 0.0,
        }
        positions = [
            {**row, "currency": one["pair"], "free": 0.0, "balance": 0.0, "used": 0.0, "bot_owned": 0.0,
             "est_stake": one["stake_amount"], "est_stake_bot": one["stake_amount"],
             "side": one["trade_direction"], "is_position": True, "position": one["amount"]}
            for one in held
        ]
        gained = total / start - 1.0 if start and equity is not None else 0.0
        return {
            "currencies": [money, *positions], "total": total, "total_bot": total, "symbol": "", "value": 0.0,
            "value_bot": 0.0, "stake": STAKE, "note": "" if equity is not None else "the equity is not known yet",
            "starting_capital": start, "starting_capital_ratio": gained, "starting_capital_pct": pct_of(gained),
            "starting_capital_fiat": 0.0, "starting_capital_fiat_ratio": 0.0, "starting_capital_fiat_pct": 0.0,
        }

    def periods(self, name: str, count: int) -> dict[str, Any]:
        """The last *count* days, weeks or months ("daily", "weekly", "monthly") of the run, newest first."""
        unit = _PERIODS[name]
        found = self._view.rows(
            f"select cast(date_trunc('{unit}', make_timestamp(exit_ns // 1000)) as date) as period, sum(pnl) as made, "
            "count(*) as n from trades where kind = 'trade.closed' group by period order by period"
        )
        made = {date.fromisoformat(str(row["period"])[:10]): (row["made"], row["n"]) for row in found}
        lines, start, now_ns = [], self._start(), self._view.now_ns()
        newest = datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC).date()
        for period in _last(unit, newest, count if now_ns else 0):  # a run that has not begun has no days yet
            profit, trades = made.get(period, (0.0, 0))
            before = start + ordered_sum(one for at, (one, _) in made.items() if at < period)
            lines.append({
                "date": period.isoformat(), "abs_profit": profit, "starting_balance": before,
                "rel_profit": profit / before if before else 0.0, "fiat_value": 0.0, "trade_count": trades,
            })
        return {"data": lines, "stake_currency": STAKE, "fiat_display_currency": ""}

    def performance(self) -> list[dict[str, Any]]:
        """What each pair has earned, the best first."""
        return [
            {"pair": pair_of(row["name"]), **_earned(row)}
            for row in self._by("symbol", "")
        ]

    def tags(self, pair: str) -> list[dict[str, Any]]:
        """What each entry tag (model) has earned, the best first; of one *pair* where it is not empty."""
        return [{"enter_tag": row["name"], **_earned(row)} for row in self._by("model", pair)]

    def exits(self, pair: str) -> list[dict[str, Any]]:
        """What each reason to leave has earned, the best first."""
        return [{"exit_reason": row["name"], **_earned(row)} for row in self._by("lower(exit_reason)", pair)]

    def mixed(self, pair: str) -> list[dict[str, Any]]:
        """What each entry tag with each reason to leave has earned, the best first."""
        found = self._by("model || ' ' || lower(exit_reason)", pair)
        return [{"mix_tag": row["name"], **_earned(row)} for row in found]

    def stats(self) -> dict[str, Any]:
        """Wins and losses by reason to leave, and how long (s) they were held."""
        found = self._view.rows(
            "select lower(exit_reason) as name, count(*) filter (pnl > 0) as wins, "
            "count(*) filter (pnl < 0) as losses, count(*) filter (pnl = 0) as draws "
            "from trades where kind = 'trade.closed' group by name order by name"
        )
        held = self._view.rows(
            "select avg(exit_ns - entry_ns) filter (pnl > 0) / 1e9 as wins, avg(exit_ns - entry_ns) filter (pnl < 0) "
            "/ 1e9 as losses, avg(exit_ns - entry_ns) filter (pnl = 0) / 1e9 as draws "
            "from trades where kind = 'trade.closed'"
        )
        reasons = {row["name"]: {key: row[key] for key in ("wins", "losses", "draws")} for row in found}
        durations = held[0] if held else dict.fromkeys(("wins", "losses", "draws"))
        return {"exit_reasons": reasons, "durations": durations}

    def _by(self, name: str, pair: str) -> list[dict[str, Any]]:
        where, params = ("where symbol = ?", [symbol_of(pair)]) if pair else ("", [])
        return self._view.rows(
            f"select {name} as name, sum(pnl / nullif(stake, 0.0)) as ratio, sum(pnl) as made, count(*) as n "
            f"from {ENDED} {where} group by name order by made desc, name", [*params],
        )

    def _drawdown(self, start: float) -> dict[str, Any]:
        found = self._view.rows(_DRAWDOWN)
        worst = found[0] if found and found[0]["fall"] > 0.0 else None
        high = worst["high"] if worst is not None else 0.0
        fall, peak = (worst["fall"], start + high) if worst is not None else (0.0, start)
        started = worst["high_ns"] if worst is not None and high > 0.0 else self._since_ns() if worst is not None else 0
        return {
            "max_drawdown": fall / peak if peak else 0.0, "max_drawdown_abs": fall,
            **_seen("max_drawdown_start", started), **_seen("max_drawdown_end", worst["exit_ns"] if worst else 0),
            "drawdown_high": high, "drawdown_low": high - fall,
        }

    def _start(self) -> float:
        result = self._view.reader.status().result
        return result.start_equity + result.moved if result is not None else 0.0

    def _since_ns(self) -> int:
        result = self._view.reader.status().result
        return result.since_ns if result is not None else 0


_NOTHING: Final[dict[str, Any]] = {
    "n": 0, "wins": 0, "losses": 0, "profit": 0.0, "mean_ratio": 0.0, "ratios": 0.0, "won": 0.0, "lost": 0.0,
    "first_ns": 0, "last_ns": 0, "held_ns": 0.0, "volume": 0.0,
}


def _part(name: str, profit: float, mean: float, ratios: float, start: float) -> dict[str, Any]:
    ratio = profit / start if start else 0.0
    return {
        f"profit_{name}_coin": profit, f"profit_{name}_percent_mean": pct_of(mean), f"profit_{name}_ratio_mean": mean,
        f"profit_{name}_percent_sum": pct_of(ratios), f"profit_{name}_ratio_sum": ratios,
        f"profit_{name}_percent": pct_of(ratio), f"profit_{name}_ratio": ratio, f"profit_{name}_fiat": 0.0,
    }


def _seen(name: str, ts_ns: int) -> dict[str, Any]:
    """A time in freqtrade's keys of the profit: NAME_date, NAME_timestamp and, for people, NAME_humanized."""
    found = dated(name, ts_ns)
    text = {name: found[f"{name}_date"] or ""} if name.startswith("max") else {f"{name}_humanized": ""}
    return {**found, f"{name}_date": found[f"{name}_date"] or "", f"{name}_timestamp": found[f"{name}_timestamp"] or 0,
            **text}


def _expectancy(sums: dict[str, Any]) -> dict[str, Any]:
    """The mean result of a trade (USDT), and per USDT of a mean loss."""
    count = sums["n"]
    mean = sums["profit"] / count if count else 0.0
    loss = sums["lost"] / sums["losses"] if sums["losses"] else 0.0
    return {"expectancy": mean, "expectancy_ratio": mean / loss if loss else 0.0}


def _earned(row: dict[str, Any]) -> dict[str, Any]:
    ratio = row["ratio"] or 0.0
    return {
        "profit": pct_of(ratio), "profit_ratio": ratio, "profit_pct": pct_of(ratio), "profit_abs": row["made"],
        "count": row["n"],
    }


def _last(unit: str, today: date, count: int) -> list[date]:
    """The first days of the last *count* periods, newest first, that of *today* included."""
    if unit == "month":
        months = [today.year * 12 + today.month - 1 - back for back in range(count)]
        return [date(month // 12, month % 12 + 1, 1) for month in months if month >= 12]
    step = 7 if unit == "week" else 1
    first = today - timedelta(days=today.weekday()) if unit == "week" else today
    return [first - timedelta(days=step * back) for back in range(count)]
