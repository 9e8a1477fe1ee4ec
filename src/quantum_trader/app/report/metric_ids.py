"""Which metric each figure of a run's report and of a status is: the one list of ids by field.

A field is written as a path: ``summary.sharpe``, ``tables.per_symbol[].pnl`` of every row of a list,
``signals.refusals.*`` of every key of a table. The bounds of an interval have the id of the figure that they bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

Paths = Mapping[str, str]
EXPLAIN: Final = "quantum-trader metrics explain ID"


def _below(prefix: str, ids: Paths) -> dict[str, str]:
    return {f"{prefix}.{name}": metric for name, metric in ids.items()}


TRADES: Final[Paths] = {  # of one group of closed trades
    "count": "trades", "win_rate": "win_rate", "profit_factor": "profit_factor", "avg_r": "expectancy_r",
    "median_r": "r_median", "best_r": "r_best", "worst_r": "r_worst", "avg_win_r": "win_mean_r",
    "avg_loss_r": "loss_mean_r", "avg_hours": "trade_hours", "pnl": "pnl_total", "fees": "trade_fees",
    "funding": "trade_funding",
}
_SUMMARY: Final[Paths] = {
    "start_equity": "equity_start", "end_equity": "equity_end", "profit": "equity_profit",
    "return_pct": "equity_return", "days": "run_days", "cagr_pct": "equity_return_yearly", "sharpe": "equity_sharpe",
    "sharpe_low": "equity_sharpe", "sharpe_high": "equity_sharpe",
    "sharpe_above_zero_probability": "equity_sharpe_above_zero", "effective_days": "equity_effective_days",
    "sortino": "equity_sortino", "volatility_pct": "equity_volatility", "max_drawdown_pct": "equity_drawdown",
}
_BENCHMARK: Final[Paths] = {
    "end_equity": "hold_equity", "return_pct": "hold_return", "sharpe": "hold_sharpe", "sharpe_low": "hold_sharpe",
    "sharpe_high": "hold_sharpe", "sharpe_above_zero_probability": "hold_sharpe_above_zero",
    "effective_days": "hold_effective_days", "sortino": "hold_sortino", "volatility_pct": "hold_volatility",
    "max_drawdown_pct": "hold_drawdown",
}
_COSTS: Final[Paths] = {
    "fees": "fees", "slippage": "slippage", "funding": "funding", "total": "cost_total",
    "profit_before_costs": "profit_before_costs", "profit": "equity_profit",
}
_SIGNALS: Final[Paths] = {
    "signals": "signals", "intents": "orders_attempted", "refused": "signals_refused", "refusals.*": "signals_refused",
    "approval_rate": "approval_rate",
}
GATES: Final[Paths] = {  # of one gate
    "passed": "gate_passed", "unmeasured": "gate_unmeasured", "pass_rate": "gate_pass_rate",
    "refused": "gate_first_refusals",
}
GATE_MONEY: Final[Paths] = {  # of one gate
    "count": "stopped_signals", "good": "stopped_rightly", "neutral": "stopped_neutral", "bad": "stopped_wrongly",
    "accuracy": "stopped_accuracy", "saved_bps": "stopped_saved_bps", "missed_bps": "stopped_missed_bps",
    "saved_r": "stopped_saved_r", "missed_r": "stopped_missed_r", "mean_bps": "stopped_mean",
    "low_bps": "stopped_mean", "high_bps": "stopped_mean",
}
_ACTIVITY: Final[Paths] = {
    "turnover_a_year": "turnover_yearly", "held_share": "held_share", "under_water_share": "under_water_share",
    "longest_under_water_days": "under_water_days", "fees_pct_a_year": "fees_yearly",
    "slippage_pct_a_year": "slippage_yearly", "funding_pct_a_year": "funding_yearly", "cost_share": "cost_share",
    "funding_share": "funding_share", "against_expectation": "against_expectation", "exposure_pct": "exposure",
    "maker_share": "maker_share",
}
_OUTLOOK: Final[Paths] = {
    "confidence": "outlook_confidence", "expected_bps": "outlook_expected", "error_bps": "outlook_error",
    "cost_bps": "outlook_cost", "prior_share": "outlook_prior_share", "outcomes": "outlook_outcomes",
    "outcomes_needed": "outlook_outcomes_needed", "prior_needed": "outlook_prior_needed",
}
_MODELS: Final[Paths] = {
    **_below("models[].outlook", _OUTLOOK), **_below("combined", _OUTLOOK), "lacks[].bars": "model_lack_bars",
    "lacks[].needed": "model_lack_needed", **_below("side_by_side[].summary", _SUMMARY),
    **_below("side_by_side[].trades", TRADES), "side_by_side[].signals": "signals", "missed[].trades": "missed_trades",
    "missed[].sum_r": "missed_r", "missed[].net": "missed_net", "least_equity.*": "least_equity",
}
EDGES: Final[Paths] = {  # of the decisions of one model or for one symbol
    "decisions": "edge_decisions", "expected_bps": "edge_expected", "cost_bps": "edge_cost",
    "realised_bps": "edge_realised", "low_bps": "edge_realised", "high_bps": "edge_realised",
}
TRADE_EDGES: Final[Paths] = {  # of the trades of one source or symbol
    "trades": "trades", "expected_net_bps": "trade_edge_expected", "realised_net_bps": "trade_edge_realised",
}
_PILOT: Final[Paths] = {
    "decisions": "pilot_asked", "outcomes.*": "pilot_asked", "intents": "pilot_intents",
    "trades": "pilot_shadow_trades", "exits.*": "pilot_shadow_trades", "mean_r": "pilot_shadow_mean",
    "win_rate": "pilot_shadow_wins", "days": "pilot_days", "pilot_pct": "pilot_book_return",
    "signals_pct": "signals_book_return", "hybrid_pct": "hybrid_book_return", "difference_bps": "pilot_difference",
    "low_bps": "pilot_difference", "high_bps": "pilot_difference", "most_sure": "pilot_most_sure",
}
POLICY_GROUP: Final[Paths] = {  # of the signals that the policy would block, or allow
    "count": "policy_group_trades", "sum_r": "policy_group_sum", "mean_r": "policy_group_mean",
    "low_r": "policy_group_mean", "high_r": "policy_group_mean", "win_rate": "policy_group_wins",
}
EVIDENCE: Final[Paths] = {  # of one switch of the policy
    "decisions": "switch_decisions", "changed": "switch_changed", "shadows": "switch_shadows", "mean_r": "switch_mean",
    "low_r": "switch_mean", "high_r": "switch_mean",
}
_POLICY: Final[Paths] = {
    "updates": "policy_evaluations", "changes": "policy_changes", "blocked_share": "policy_blocked_moments",
    "reduced_share": "policy_reduced_moments", "rules.*": "policy_rule_fired", **_below("blocked", POLICY_GROUP),
    **_below("allowed", POLICY_GROUP), **_below("evidence[]", EVIDENCE),
}
POSITION: Final[Paths] = {  # that is open at the end
    "qty": "position_quantity", "entry_price": "position_entry", "mark_price": "position_mark",
    "stop_price": "position_stop", "target_price": "position_target", "unrealised": "position_profit",
    "unrealised_r": "position_r", "bars_held": "position_bars",
}
RUN: Final[Paths] = {  # the report of a run: `run --json`, report.json, the screen and the page
    **_below("summary", _SUMMARY), **_below("benchmark", _BENCHMARK), **_below("trades", TRADES),
    **_below("costs", _COSTS), **_below("signals", _SIGNALS), "gates.judged": "signals_judged",
    "gates.changed": "gates_changed", **_below("gates.rows[]", GATES), **_below("activity", _ACTIVITY),
    **_below("models", _MODELS), **_below("edges.by_model[]", EDGES), **_below("edges.by_symbol[]", EDGES),
    **_below("edges.trades_by_source[]", TRADE_EDGES), **_below("edges.trades_by_symbol[]", TRADE_EDGES),
    **_below("pilot", _PILOT), **_below("policy", _POLICY), **_below("gate_money.rows[]", GATE_MONEY),
    "gate_money.closed": "shadows_known",
    "insight.struck": "struck_sentences", **_below("tables.per_regime[]", TRADES),
    **_below("tables.per_symbol[]", TRADES), **_below("tables.per_exit[]", TRADES),
    **_below("tables.per_side[]", TRADES), **_below("tables.per_source[]", TRADES),
    "tables.monthly[].return_pct": "equity_return_month", "tables.r_histogram.counts[]": "trades_by_r",
    "halts[].hours": "halt_hours", "halt_count": "halts", **_below("positions[]", POSITION),
    "regimes.*": "regime_share",
    "governor.*": "governor_share", "data.moments": "data_moments", "data.bars": "data_bars",
    "data.outages": "data_outages", "data.holes": "data_gaps", "records.*": "run_records",
}
_VENUE: Final[Paths] = {
    "equity": "venue_equity", "balance.wallet": "venue_wallet", "balance.unrealised_pnl": "venue_unrealised",
    "balance.margin_used": "venue_margin", "balance.available": "venue_available",
    "positions[].qty": "venue_position_quantity", "positions[].entry_price": "venue_position_price",
    "positions[].mark_price": "venue_position_price", "positions[].liquidation_price": "venue_position_price",
    "positions[].leverage": "venue_leverage", "positions[].margin": "venue_margin",
    "positions[].unrealised_pnl": "venue_unrealised", "orders[].qty": "venue_order_quantity",
    "orders[].filled_qty": "venue_order_quantity", "orders[].price": "venue_order_price",
    "orders[].stop_price": "venue_order_price", "orders[].average_price": "venue_order_price",
}
STATUS: Final[Paths] = {  # `status --json` and its lines
    "equity": "status_equity", "result.start_equity": "status_equity_start", "result.moved": "status_moved",
    "result.profit": "status_profit", "result.return_pct": "status_return",
    "result.drawdown_pct": "status_drawdown", "result.deepest_drawdown_pct": "status_drawdown_deepest",
    "last_event_age_s": "status_event_age", "unreconciled_s": "status_unreconciled",
    "lag_s": "status_lag", "queue_fill": "status_queue_fill", "in_doubt": "status_in_doubt",
    "dropped_events": "status_dropped", "positions[].qty": "status_position_quantity",
    "positions[].entry_price": "status_position_entry", "positions[].stop": "status_position_stop",
    "positions[].target": "status_position_target", "positions[].mark_price": "status_position_mark",
    "positions[].leverage": "status_position_leverage", "positions[].first_stop": "status_position_first_stop",
    "positions[].fees": "status_position_fees", "positions[].funding": "status_position_funding",
    "positions[].realised": "status_position_realised",
    "positions[].liquidation_price": "status_position_liquidation",
    "orders[].qty": "status_order_quantity", "orders[].price": "status_order_price",
    "models.models[].lacks[].bars": "status_lack_bars", "models.models[].lacks[].needed": "status_lack_needed",
    "models.equity": "status_equity", "models.least_equity[][1]": "status_least_equity",
    "direct_actions": "status_direct_actions", **_below("venue", _VENUE),
}
_HELD: Final = "positions[]."
_LIVE_POSITION: Final[Paths] = {
    **{
        field.removeprefix(_HELD): metric for field, metric in STATUS.items() if field.startswith(_HELD)
    },
    "unrealised": "position_profit",
}
LIVE: Final[Paths] = {  # the report of a live session
    **_below("status", STATUS), **_below("trades", TRADES), **_below("tables.per_model[]", TRADES),
    **_below("tables.per_source[]", TRADES), **_below("tables.per_symbol[]", TRADES),
    **_below("tables.per_exit[]", TRADES), "tables.r_histogram.counts[]": "trades_by_r", "costs.fees": "fees",
    "costs.funding": "funding", **_below("positions[]", _LIVE_POSITION), "halts[].hours": "halt_hours",
    **_below("signals", _SIGNALS),
}


class PrintedField(msgspec.Struct, frozen=True, kw_only=True):
    """One plain value of a document: *path* as ids are listed by, *place* with the indices and keys in it."""

    path: str
    place: str
    value: Any


def printed_fields(content: Any, paths: Paths) -> Iterator[PrintedField]:
    """Every plain value of the document *content* (of dicts, lists and plain values), in its order.

    Keys of a table are part of the path, but where *paths* takes every key of it alike.
    """
    tables = {path.partition(".*")[0] for path in paths if ".*" in path}
    pairs = {path.partition("[][")[0] for path in paths if "[][" in path}
    yield from _fields("", "", content, tables, pairs)


def _fields(path: str, place: str, value: Any, tables: set[str], pairs: set[str]) -> Iterator[PrintedField]:
    if isinstance(value, dict):
        for key, one in value.items():
            name = "*" if path in tables else str(key)
            yield from _fields(_joined(path, name), _joined(place, str(key)), one, tables, pairs)
    elif isinstance(value, list | tuple):
        by_place = path.removesuffix("[]") in pairs and path.endswith("[]")
        for number, one in enumerate(value):
            step = f"[{number}]" if by_place else "[]"
            yield from _fields(path + step, f"{place}[{number}]", one, tables, pairs)
    else:
        yield PrintedField(path=path, place=place, value=value)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def metric_ids(content: Mapping[str, Any], paths: Paths) -> dict[str, str]:
    """Those of *paths* that the document *content* has, with their metrics' ids: what its ``metric_ids`` says."""
    known = {field.path for field in printed_fields(content, paths)}
    return {path: metric for path, metric in paths.items() if path in known}


def by_heading(paths: Paths, **fields: str) -> dict[str, str]:
    """Metrics' ids by the heading of a table's column, from its field; a blank in a heading is written as ``_``."""
    return {heading.replace("_", " "): paths[field] for heading, field in fields.items()}
