"""The content of a report, derived from the facts of a run: plain values, the same for the same run.

Equity statistics use the last sample of each UTC day and 365 days a year. Shares and rates are 0..1, ``_pct`` percent,
``_r`` multiples of the risk taken, money in USDT. What is not known is None, never a made-up number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.report.edges import edges_section
from quantum_trader.app.report.gate_money import gate_money_section
from quantum_trader.app.report.gates import gates_section
from quantum_trader.app.report.metric_ids import RUN, metric_ids
from quantum_trader.app.report.models import models_section
from quantum_trader.app.report.no_trades import silence_sentence, why_no_trades
from quantum_trader.app.report.pilot import pilot_section
from quantum_trader.app.report.run_insight import run_insight
from quantum_trader.app.report.statements import few_words, models_statement
from quantum_trader.app.report.trade_charts import chart_trades, price_lines
from quantum_trader.app.runs.results import DrawdownFacts, FloatArray, IntArray, RunFacts, RunStats
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, from_ns, iso
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.lab.comparison import FAVOURABLE, Traded, figures_of, grown_from
from quantum_trader.lab.edges import Edges
from quantum_trader.lab.sharpe import (
    DAYS_PER_YEAR,
    effective_count,
    moments,
    period_returns,
    probability_above,
    sharpe_interval,
)
from quantum_trader.policy.evidence import look_at, verdict_of

SCHEMA: Final = 1
CURVE_POINTS: Final = 1_200
_MIN_DAYS_FOR_YEARLY: Final = 90.0
_ACTIVITY: Final = (
    "turnover_a_year", "held_share", "under_water_share", "longest_under_water_days", "fees_pct_a_year",
    "slippage_pct_a_year", "funding_pct_a_year", "cost_share", "funding_share", "against_expectation",
)
_R_EDGES: Final = tuple(round(-3.0 + 0.25 * i, 2) for i in range(33))  # -3 .. 5 R


def build_report(
    facts: RunFacts, stats: RunStats, ungated: RunFacts | None = None, edges: Edges | None = None
) -> dict[str, Any]:
    """The whole report of *facts*; only the part ``run`` differs between two runs of the same settings and data.

    *ungated*: the same run with every target of the models traded, to stand beside it. *edges*: the forecasts of the
    run's models.
    """
    content = {
        "kind": "quantum-trader run report",
        "schema": SCHEMA,
        "summary": run_summary(facts),
        "benchmark": benchmark(facts),
        "trades": trade_statistics(facts.trades),
        "few": few_words(len(facts.trades), _span_days(facts.ts_ns)),
        "costs": costs(facts),
        "signals": signal_road(facts),
        "gates": gates_section(facts.gates),
        "no_trades": why_no_trades(facts),
        "activity": activity(facts),
        "models": models_section(facts, ungated, _side),
        "edges": edges_section(facts.trades, edges),
        "statement": models_statement([row.name for row in facts.models.rows] if facts.models is not None else ()),
        "pilot": pilot_section(facts.pilot),
        "policy": policy_section(facts),
        "gate_money": gate_money_section(facts.shadows),
        "insight": run_insight(facts),
        "tables": tables(facts),
        "halts": [_plain_halt(halt) for halt in facts.halts],
        "halt_count": len(facts.halts),
        "positions": [msgspec.to_builtins(position) for position in facts.positions],
        "regimes": facts.shares.regime,
        "governor": facts.shares.governor,
        "data": _data(facts),
        "records": facts.records,
        "settings": facts.settings,
        "notes": list(facts.notes),
    }
    return {
        **content,
        "metric_ids": metric_ids(content, RUN),
        "curves": curves(facts),
        "closed_trades": msgspec.to_builtins(chart_trades(facts.trades)),
        "prices": price_lines(traded_prices(facts)),
        "run": msgspec.to_builtins(stats),
    }


def activity(facts: RunFacts) -> dict[str, Any]:
    """How much was traded and held, what that cost, and how long the equity was below its highest value.

    A trade "against expectation" had a confidence below 0.50 that it pays its cost; None without models.
    """
    returns = daily_returns(facts.ts_ns, facts.equity)
    against = None
    if facts.models is not None:
        against = sum(trade.confidence < FAVOURABLE for trade in facts.trades)
    if not returns.size:
        return {"against_expectation": against}
    symbols = max(len(facts.data.symbols), 1)
    figures = figures_of(Traded(
        equity=grown_from(facts.start_equity, returns), start_equity=facts.start_equity,
        max_drawdown_pct=facts.drawdown.depth * 100.0, gross=np.zeros(returns.size),
        held_share=float(np.nanmean(facts.held)) / symbols if np.isfinite(facts.held).any() else math.nan,
        trades=len(facts.trades), turnover=facts.costs.turnover, fees=facts.costs.fees, slippage=facts.costs.slippage,
        funding=facts.costs.funding, against_expectation=against,
    ))
    plain = msgspec.to_builtins(figures)
    kept = {key: plain[key] for key in _ACTIVITY}
    positive = np.isfinite(facts.gross) & (facts.equity > 0.0)
    exposure = float((facts.gross[positive] / facts.equity[positive]).mean()) * 100.0 if positive.any() else None
    return {**kept, "held_share": kept["held_share"] if math.isfinite(kept["held_share"]) else None,
            "exposure_pct": exposure, "maker_share": _maker_share(facts)}


def _maker_share(facts: RunFacts) -> float | None:
    """The part of the turnover that filled at rest; None where nothing did."""
    at_rest = facts.costs.maker_turnover
    return at_rest / facts.costs.turnover if at_rest > 0.0 else None


def _side(facts: RunFacts) -> dict[str, Any]:
    """What stands side by side of two runs."""
    return {"summary": run_summary(facts), "trades": trade_statistics(facts.trades), "signals": facts.signals}


# ---- equity ----------------------------------------------------------------------------------------------------------
def run_summary(facts: RunFacts) -> dict[str, Any]:
    """Return, risk figures and the interval of the Sharpe ratio."""
    end = float(facts.equity[-1]) if facts.equity.size else facts.start_equity
    span_days = _span_days(facts.ts_ns)
    result = {
        "start_equity": facts.start_equity,
        "end_equity": end,
        "profit": end - facts.start_equity,
        "return_pct": (end / facts.start_equity - 1.0) * 100.0,
        "days": span_days,
        **curve_statistics(facts.ts_ns, facts.equity, facts.drawdown),
    }
    growth = end / facts.start_equity
    yearly = span_days >= _MIN_DAYS_FOR_YEARLY and growth > 0.0
    result["cagr_pct"] = (growth ** (DAYS_PER_YEAR / span_days) - 1.0) * 100.0 if yearly else None
    return result


def curve_statistics(
    ts_ns: IntArray, equity: FloatArray, drawdown: DrawdownFacts | None = None
) -> dict[str, Any]:
    """Sharpe with its 95 % interval, Sortino, volatility and drawdown of an equity curve (N,) of samples.

    *drawdown* was measured at every bar; that of the samples when left out.
    """
    drawdown = deepest(ts_ns, equity) if drawdown is None else drawdown
    returns = daily_returns(ts_ns, equity)
    shape = moments(returns)
    known = shape.count >= 10 and shape.deviation > 0.0
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) if returns.size else 0.0
    effective, yearly = effective_count(returns) if known else 0.0, math.sqrt(DAYS_PER_YEAR)
    bounds = sharpe_interval(shape, effective) if known else None
    above = probability_above(shape, 0.0, effective)
    return {
        "sharpe": shape.annual_sharpe if known else None,
        "sharpe_low": bounds[0] * yearly if bounds else None,
        "sharpe_high": bounds[1] * yearly if bounds else None,
        "sharpe_above_zero_probability": above if known and math.isfinite(above) else None,
        "effective_days": effective if known else None,
        "sortino": shape.mean / downside * yearly if known and downside > 0.0 else None,
        "volatility_pct": shape.deviation * yearly * 100.0 if known else None,
        "max_drawdown_pct": drawdown.depth * 100.0,
        "drawdown_from": iso(drawdown.peak_ns) if drawdown.depth < 0.0 else None,
        "drawdown_to": iso(drawdown.trough_ns) if drawdown.depth < 0.0 else None,
    }


def daily_returns(ts_ns: IntArray, equity: FloatArray) -> FloatArray:
    """Fractional change of *equity* (N,) over each UTC day, to its last sample; the first sample is the opening.

    A day without a sample is one on which nothing moved, as in a sweep.
    """
    if equity.size < 2:
        return np.empty(0)
    day = (ts_ns[1:] - 1) // NS_PER_DAY  # a close at midnight belongs to the day it ends
    levels = np.full(int(day[-1] - day[0]) + 1, np.nan)
    levels[day - day[0]] = equity[1:]
    return period_returns(levels, float(equity[0]))


def drawdowns(equity: FloatArray) -> FloatArray:
    """Percent below the running peak (N,), 0 or negative."""
    if not equity.size:
        return equity
    result: FloatArray = (equity / np.maximum.accumulate(equity) - 1.0) * 100.0
    return result


def deepest(ts_ns: IntArray, equity: FloatArray) -> DrawdownFacts:
    """The deepest drawdown that the samples of a curve (N,) show."""
    depth = drawdowns(equity) / 100.0
    if not equity.size or depth.min() == 0.0:
        return DrawdownFacts()
    at = int(np.argmin(depth))
    peak = int(np.argmax(equity[: at + 1]))
    return DrawdownFacts(depth=float(depth[at]), peak_ns=int(ts_ns[peak]), trough_ns=int(ts_ns[at]))


def hold_curve(facts: RunFacts) -> FloatArray:
    """Worth (N,) of the start equity spread evenly over the symbols at their first price and left alone."""
    closes = facts.closes
    if not closes.size:
        return np.full(facts.ts_ns.shape, facts.start_equity)
    share = facts.start_equity / closes.shape[1]
    worth = np.zeros(closes.shape[0])
    for column in closes.T:
        known = np.flatnonzero(np.isfinite(column))
        if not known.size:
            worth += share
            continue
        filled = column[np.maximum.accumulate(np.where(np.isfinite(column), np.arange(column.size), known[0]))]
        worth += share * filled / column[known[0]]
    return worth


def benchmark(facts: RunFacts) -> dict[str, Any]:
    """The same money bought and held, without costs, for comparison."""
    worth = hold_curve(facts)
    end = float(worth[-1]) if worth.size else facts.start_equity
    return {
        "name": "buy and hold, equal parts, unleveraged, no costs",
        "end_equity": end,
        "return_pct": (end / facts.start_equity - 1.0) * 100.0,
        **curve_statistics(facts.ts_ns, worth, facts.hold_drawdown),
    }


# ---- trades ----------------------------------------------------------------------------------------------------------
def trade_statistics(trades: Iterable[ClosedTrade]) -> dict[str, Any]:
    """Counts, rates and R of closed trades; None where there are no trades to speak of."""
    rows = list(trades)
    if not rows:
        return {"count": 0, "win_rate": None, "profit_factor": None, "avg_r": None, "median_r": None, "best_r": None,
                "worst_r": None, "avg_win_r": None, "avg_loss_r": None, "avg_hours": None, "pnl": 0.0}
    pnl = np.array([trade.pnl for trade in rows])
    r = np.array([trade.r_multiple for trade in rows])
    hours = np.array([(trade.exit_ns - trade.entry_ns) / NS_PER_HOUR for trade in rows])
    lost = -float(pnl[pnl < 0.0].sum())
    return {
        "count": len(rows),
        "win_rate": float((pnl > 0.0).mean()),
        "profit_factor": float(pnl[pnl > 0.0].sum()) / lost if lost > 0.0 else None,
        "avg_r": float(r.mean()),
        "median_r": float(np.median(r)),
        "best_r": float(r.max()),
        "worst_r": float(r.min()),
        "avg_win_r": float(r[pnl > 0.0].mean()) if bool((pnl > 0.0).any()) else None,
        "avg_loss_r": float(r[pnl <= 0.0].mean()) if bool((pnl <= 0.0).any()) else None,
        "avg_hours": float(hours.mean()),
        "pnl": float(pnl.sum()),
    }


def costs(facts: RunFacts) -> dict[str, Any]:
    """What trading cost, and the result before it. Slippage is inside the fill prices, so it is shown, not added."""
    net = (float(facts.equity[-1]) if facts.equity.size else facts.start_equity) - facts.start_equity
    paid = facts.costs
    total = paid.fees + paid.slippage - paid.funding
    return {
        "fees": paid.fees, "slippage": paid.slippage, "funding": paid.funding, "total": total,
        "profit_before_costs": net + total, "profit": net,
        "funding_source": facts.data.funding_source, "funding_statement": facts.data.funding_statement,
    }


def signal_road(facts: RunFacts) -> dict[str, Any]:
    """Counts of signals, of orders attempted and their share, of refusals by reason; since when there is no signal.

    Additions to open positions are among the signals and the orders attempted; reductions and exits are not.
    """
    rate = facts.intents / facts.signals if facts.signals else None
    return {
        "signals": facts.signals, "intents": facts.intents, "approval_rate": rate,
        "refused": sum(facts.refusals.values()),
        "refusals": dict(sorted(facts.refusals.items(), key=lambda item: (-item[1], item[0]))),
        "silence": silence_sentence(facts.models_at_end),
    }


# ---- policy ----------------------------------------------------------------------------------------------------------
def policy_section(facts: RunFacts) -> dict[str, Any] | None:
    """The policy's states, and the results of the signals it would have blocked; None without a policy."""
    known = facts.policy
    if known is None:
        return None
    moments_seen = max(known.moments, 1)
    return {
        "updates": known.updates,
        "changes": known.changes,
        "blocked_share": known.moments_blocked / moments_seen,
        "reduced_share": known.moments_reduced / moments_seen,
        "rules": dict(sorted(known.rules.items(), key=lambda item: (-item[1], item[0]))),
        "blocked": shadow_group(facts, facts.shadows.blocked),
        "allowed": shadow_group(facts, ~facts.shadows.blocked),
        "evidence": [_plain_evidence(row) for row in facts.evidence],
        "shadow_statement": (
            "A shadow trade is a paper copy of every signal: entry at the next open with costs, stop and target of the "
            "exit table, the stop first when one bar touches both, 24 hours at most; of a model whose score holds "
            "positions its stop and score. R is after costs and funding."
        ),
    }


def shadow_group(facts: RunFacts, mask: Any) -> dict[str, Any]:
    """Shadow trades of one kind: count, R, and the interval of the mean R by the method of the evidence per switch.

    It holds the signals up to the first whose shadow trade is still open: see ``ShadowFacts``.
    """
    known = facts.shadows
    mask = mask & known.complete
    r = known.r[mask]
    if not r.size:
        return {"count": 0, "sum_r": 0.0, "mean_r": None, "low_r": None, "high_r": None, "win_rate": None,
                "verdict": verdict_of(None)}
    bounds = look_at(known.ts_ns[mask].tolist(), r.tolist(), known.life_ns[mask].tolist()).interval
    return {
        "count": int(r.size), "sum_r": float(r.sum()), "mean_r": float(r.mean()),
        "low_r": bounds[0] if bounds else None, "high_r": bounds[1] if bounds else None,
        "win_rate": float((r > 0.0).mean()), "verdict": verdict_of(bounds),
    }


def _plain_evidence(row: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in plain.items()}


def _plain_halt(halt: Any) -> dict[str, Any]:
    return {
        "at": iso(halt.ts_ns), "kind": halt.kind, "reason": halt.reason, "exit_path": halt.exit_path,
        "cleared": iso(halt.cleared_ns) if halt.cleared_ns else None,
        "hours": (halt.cleared_ns - halt.ts_ns) / NS_PER_HOUR if halt.cleared_ns else None,
    }


def _data(facts: RunFacts) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(facts.data)
    return {**plain, "first": iso(facts.data.first_ns), "last": iso(facts.data.last_ns)}


# ---- tables and curves -----------------------------------------------------------------------------------------------
def tables(facts: RunFacts) -> dict[str, Any]:
    """Trades by regime at entry, symbol, exit, side and source; returns by month; the distribution of R."""
    return {
        "per_regime": grouped(facts.trades, lambda trade: trade.regime_entry),
        "per_symbol": grouped(facts.trades, lambda trade: trade.symbol),
        "per_exit": grouped(facts.trades, lambda trade: trade.exit_reason.value),
        "per_side": grouped(facts.trades, lambda trade: trade.side.value),
        "per_source": grouped(facts.trades, lambda trade: trade.model),
        "monthly": monthly_returns(facts.ts_ns, facts.equity),
        "r_histogram": r_histogram(facts.trades),
    }


def grouped(trades: Iterable[ClosedTrade], key: Callable[[ClosedTrade], str]) -> list[dict[str, Any]]:
    """One row of :func:`trade_statistics` for each value of *key*, the most traded first."""
    groups: dict[str, list[ClosedTrade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    return [
        {"name": name, **trade_statistics(groups[name]), "fees": ordered_sum(trade.fees for trade in groups[name]),
         "funding": ordered_sum(trade.funding for trade in groups[name])}
        for name in order
    ]


def monthly_returns(ts_ns: IntArray, equity: FloatArray) -> list[dict[str, Any]]:
    """Percent change of *equity* in each calendar month (UTC), the first and the last possibly partial."""
    rows: list[dict[str, Any]] = []
    if not equity.size:
        return rows
    opening = float(equity[0])
    stamps = [from_ns(int(ts) - 1) for ts in ts_ns]
    for index, stamp in enumerate(stamps):
        following = stamps[index + 1] if index + 1 < len(stamps) else None
        if following is not None and (following.year, following.month) == (stamp.year, stamp.month):
            continue
        closing = float(equity[index])
        if index or following is None:
            change = (closing / opening - 1.0) * 100.0 if opening > 0.0 else None
            rows.append({"year": stamp.year, "month": stamp.month, "return_pct": change})
        opening = closing
    return rows


def r_histogram(trades: Iterable[ClosedTrade]) -> dict[str, Any]:
    """Counts of trades per quarter R; the first and the last bin hold everything beyond."""
    r = np.clip(np.array([trade.r_multiple for trade in trades]), _R_EDGES[0], _R_EDGES[-1] - 1e-9)
    counts, _ = np.histogram(r, bins=np.array(_R_EDGES))
    return {"edges": list(_R_EDGES), "counts": [int(count) for count in counts]}


def curves(facts: RunFacts) -> dict[str, Any]:
    """The values of the charts, thinned to about CURVE_POINTS samples that keep the peak and the trough."""
    rows = sorted({*thinned(facts.equity, CURVE_POINTS), *([int(np.argmin(facts.lows))] if facts.lows.size else [])})
    worth = hold_curve(facts)
    main = facts.closes[:, 0] if facts.closes.size else np.full(facts.ts_ns.shape, np.nan)
    return {
        "ts_s": [int(ts) // 1_000_000_000 for ts in facts.ts_ns[rows]],
        "equity": _rounded(facts.equity[rows], 2),
        "drawdown_pct": _rounded(facts.lows[rows] * 100.0, 4),
        "hold": _rounded(worth[rows], 2),
        "main_symbol": facts.data.symbols[0] if facts.data.symbols else "",
        "price": _rounded(main[rows], 8),
        "policy_bands": policy_bands(facts),
    }


def traded_prices(facts: RunFacts) -> dict[str, tuple[IntArray, FloatArray]]:
    """Times (N,) in ns and sampled prices (N,) of the symbols that were traded."""
    traded = {trade.symbol for trade in facts.trades}
    columns = {symbol: column for column, symbol in enumerate(facts.data.symbols) if symbol in traded}
    return {symbol: (facts.ts_ns, facts.closes[:, column]) for symbol, column in columns.items()}


def thinned(values: FloatArray, most: int) -> list[int]:
    """Indices of about *most* evenly spaced samples, and of the first, the last, the highest and the deepest."""
    if values.size <= most:
        return list(range(values.size))
    keep = set(np.linspace(0, values.size - 1, most).astype(int).tolist())
    keep |= {int(np.argmax(values)), int(np.argmin(values)), int(np.argmin(drawdowns(values)))}
    return sorted(keep)


def policy_bands(facts: RunFacts) -> list[list[int]]:
    """Spans of one policy state: [from, to, code] in seconds; codes of RISK_PROFILE_CODES, -1 without a policy."""
    state = facts.policy_state
    if not state.size:
        return []
    edges = [0, *(np.flatnonzero(np.diff(state)) + 1).tolist(), state.size]
    seconds = facts.ts_ns // 1_000_000_000
    return [
        [int(seconds[a]), int(seconds[min(b, state.size - 1)]), int(state[a])]
        for a, b in pairwise(edges)
    ]


def _rounded(values: FloatArray, digits: int) -> list[float | None]:
    return [round(float(value), digits) if math.isfinite(value) else None for value in values]


def _span_days(ts_ns: IntArray) -> float:
    return float(ts_ns[-1] - ts_ns[0]) / NS_PER_DAY if ts_ns.size else 0.0
