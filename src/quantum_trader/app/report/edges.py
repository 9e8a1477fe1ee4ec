"""The report's parts on edges (expected against realised, by model, source and symbol) and on how it traded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from quantum_trader.app.report import formats as fmt
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.lab.edges import Edge, Edges

DECISION_COLUMNS: Final = ("Edge, bps a day", "decisions", "expected", "cost", "realised", "95 %")
TRADED_COLUMNS: Final = ("Net edge of trades, bps a day", "trades", "expected", "realised")
STATEMENT: Final = (
    "Decisions: mean return a day before costs in the direction each target asked for, traded or not; expected from "
    "earlier data alone. Trades: net result a day held over the notional at entry; expected is the forecast less its "
    "cost at entry, and unknown for trades that no forecast asked for."
)


def edges_section(trades: Iterable[ClosedTrade], edges: Edges | None) -> dict[str, Any]:
    """Expected and realised edges, basis points a day: of all decisions (with *edges*), and of the *trades*."""
    rows = list(trades)
    return {
        "by_model": [_plain(one) for one in edges.by_model()] if edges is not None else [],
        "by_symbol": [_plain(one) for one in edges.by_symbol()] if edges is not None else [],
        "trades_by_source": traded_edges(rows, edges, lambda trade: trade.model),
        "trades_by_symbol": traded_edges(rows, edges, lambda trade: trade.symbol),
        "statement": STATEMENT,
    }


def _plain(one: Edge) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in plain.items()}


def traded_edges(
    trades: list[ClosedTrade], edges: Edges | None, key: Callable[[ClosedTrade], str]
) -> list[dict[str, Any]]:
    """One row for each value of *key*, the most traded first: net basis points a day held, weighted by notional."""
    groups: dict[str, list[ClosedTrade]] = {}
    for trade in trades:
        groups.setdefault(key(trade), []).append(trade)
    return [
        {"name": name, "trades": len(groups[name]), **_of_trades(groups[name], edges)}
        for name in sorted(groups, key=lambda name: (-len(groups[name]), name))
    ]


def _of_trades(trades: list[ClosedTrade], edges: Edges | None) -> dict[str, float | None]:
    """Expected and realised net edge of *trades*; None where no forecast is known, or nothing was held."""
    held = [abs(one.qty) * one.entry_price * (one.exit_ns - one.entry_ns) / NS_PER_DAY for one in trades]
    whole = ordered_sum(held)
    expected = [_expected(one, edges) for one in trades]
    known = [(weight, value) for weight, value in zip(held, expected, strict=True) if value is not None]
    weight = ordered_sum(one for one, _ in known)
    return {
        "expected_net_bps": ordered_sum(one * value for one, value in known) / weight if weight > 0.0 else None,
        "realised_net_bps": ordered_sum(one.pnl for one in trades) / whole * 1e4 if whole > 0.0 else None,
    }


def _expected(trade: ClosedTrade, edges: Edges | None) -> float | None:
    return edges.expected_net_bps(trade.symbol, trade.entry_ns, trade.side.sign) if edges is not None else None


# ---- as cells ------------------------------------------------------------------------------------------------------
def _bps(value: float | None) -> str:
    return fmt.UNKNOWN if value is None else f"{value:+.1f}"


def decision_cells(rows: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of edges of decisions, in the order of DECISION_COLUMNS."""
    return [
        (
            row["name"], fmt.count(row["decisions"]), _bps(row["expected_bps"]),
            fmt.UNKNOWN if row["cost_bps"] is None else f"{row['cost_bps']:.1f}", _bps(row["realised_bps"]),
            fmt.UNKNOWN if row["low_bps"] is None else f"{row['low_bps']:+.1f} to {row['high_bps']:+.1f}",
        )
        for row in rows
    ]


def traded_cells(rows: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of edges of trades, in the order of TRADED_COLUMNS."""
    return [
        (
            row["name"].replace("+", " + "), fmt.count(row["trades"]), _bps(row["expected_net_bps"]),
            _bps(row["realised_net_bps"]),
        )
        for row in rows
    ]


def activity_lines(report: dict[str, Any]) -> list[str]:
    """How the run traded, in sentences; none for a report of a version without it."""
    found = report.get("activity")
    if not found or "turnover_a_year" not in found:
        return []
    exposure = fmt.UNKNOWN if found["exposure_pct"] is None else f"{found['exposure_pct']:.1f} %"
    lines = [
        f"Turnover {found['turnover_a_year']:.1f} times the equity a year, mean exposure {exposure} of the equity, in "
        f"position {fmt.share(found['held_share'], 0)} of the symbols' time; below the highest equity on "
        f"{fmt.share(found['under_water_share'], 0)} of the days, {fmt.count(found['longest_under_water_days'])} days "
        "at a stretch.",
        f"A year, of the mean equity: fees {found['fees_pct_a_year']:.2f} %, spread and slippage "
        f"{found['slippage_pct_a_year']:.2f} %, funding {found['funding_pct_a_year']:+.2f} %. " + _shares(found),
    ]
    if found.get("maker_share") is not None:
        lines.append(f"{fmt.share(found['maker_share'])} of the turnover filled at rest, at the maker's fee.")
    if found["against_expectation"] is not None:
        lines.append(
            "Trades against expectation (confidence below 0.50 that they pay their cost): "
            f"{found['against_expectation']}."
        )
    return lines


def _shares(found: dict[str, Any]) -> str:
    if found["cost_share"] is None:
        return "There was no profit before costs for them to take a share of."
    verb = "took" if found["funding_share"] >= 0.0 else "added"
    return (
        f"Of the profit before costs and funding, costs took {fmt.share(found['cost_share'])} and funding {verb} "
        f"{fmt.share(abs(found['funding_share']))}."
    )
