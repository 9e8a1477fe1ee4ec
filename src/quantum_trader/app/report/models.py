"""The report's part on models: what they are, what would let them trade, and the run with every target traded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.page_parts import Row
from quantum_trader.app.report.words import words
from quantum_trader.app.runs.model_facts import ModelFacts, missed
from quantum_trader.app.runs.model_state import lack_words
from quantum_trader.app.runs.results import RunFacts


def models_section(facts: RunFacts, ungated: RunFacts | None, figures: Callable[[RunFacts], Row]) -> Row | None:
    """The models of a run, and *ungated*, the same run with every target traded, beside it, by *figures* of each."""
    models = facts.models
    if models is None:
        return None
    section: Row = {
        "ungated_run": models.ungated, "models": [msgspec.to_builtins(row) for row in models.rows],
        "combined": msgspec.to_builtins(models.combined), "lacks": [msgspec.to_builtins(one) for one in models.lacks],
        "sentence": outlook_sentence(models), "sizing": sizing_sentence(models), "side_by_side": None,
        "volatility_target_pct": models.volatility_pct or None, "least_equity": dict(models.least_equity),
    }
    if ungated is not None:
        section["side_by_side"] = [
            {"run": name, **figures(one)}
            for name, one in (("ungated", ungated), ("as this system trades it", facts))
        ]
        section["missed"] = missed(models, facts.trades, ungated.trades)
    return section


def sizing_sentence(models: ModelFacts) -> str:
    """What positions are sized for, and the equity that the exchange's least orders ask for; empty: by their stop."""
    if not models.volatility_pct:
        return ""
    known = [(symbol, usdt) for symbol, usdt in models.least_equity if usdt == usdt]
    said = f"Positions are sized for a portfolio volatility of {models.volatility_pct:g} % a year. "
    if not known:
        return f"{said}The equity that the exchange's least orders ask for is not known before the models are warm."
    least = ", ".join(f"{symbol} {usdt:,.0f}" for symbol, usdt in known)
    return f"{said}Least equity with which each can be traded at a score of 1: {least} USDT."


def outlook_sentence(models: ModelFacts) -> str:
    """What the models' forecast is worth at a score of 1, and what would let it trade."""
    found = models.combined
    if found is None:
        return "No forecast at the end: " + (_lacking(models) or "the models had no view at the last bar.")
    said = (
        f"At a score of 1 the forecast is {found.expected_bps:+.1f} bps a day (standard error {found.error_bps:.1f}), "
        f"its cost {found.cost_bps:.1f}: confidence {found.confidence:.2f} that it pays its cost, "
        f"{100.0 * found.prior_share:.0f} % of it from the prior. "
    )
    if found.confidence >= found.threshold:
        return f"{said}That is above the threshold of {found.threshold:.2f}."
    needs = []
    if found.outcomes_needed is not None:
        needs.append(f"{found.outcomes_needed:,} outcomes like the {found.outcomes:,} so far")
    if found.prior_needed is not None:
        needs.append(f"a prior mean of {found.prior_needed:.2f} (annual Sharpe ratio)")
    what = " or ".join(needs) if needs else "neither more outcomes like those so far nor a prior mean up to 5"
    return f"{said}The threshold is {found.threshold:.2f}; it would be reached with {what}."


def _lacking(models: ModelFacts) -> str:
    return lack_words(models.lacks, {row.name: len(row.symbols) for row in models.rows})


def models_view(report: Row) -> list[RenderableType]:
    """The part on models for a terminal; nothing without models."""
    section = report.get("models")
    if not section:
        return []
    parts: list[RenderableType] = [Text()]
    if section["ungated_run"]:
        said = "UNGATED: every target is traded; no policy, threshold, limit or governor."
        parts.append(Text(said, style="bold red"))
    for one in section["models"]:
        parts.append(Text(
            f"Model {one['name']}: bars {one['bars']}, warm-up {one['warmup']}, horizon {one['horizon']}, exit by "
            f"{one['exit']}, prior {one['prior'][0]:g} ± {one['prior'][1]:g}, weight {one['weight']:g}"
        ))
    parts.append(Text(section["sentence"]))
    if section["sizing"]:
        parts.append(Text(section["sizing"]))
    if section["side_by_side"]:
        parts += [_side_by_side(section["side_by_side"]), _missed(section["missed"])]
    return [Group(*parts)]


def _side_by_side(rows: list[Row]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("The same scores", "return", "Sharpe", "drawdown", "trades", "won", "average"):
        table.add_column(column, justify="left" if column == "The same scores" else "right")
    for row in rows:
        summary, trades = row["summary"], row["trades"]
        table.add_row(
            row["run"], fmt.percent(summary["return_pct"]), fmt.ratio(summary["sharpe"]),
            fmt.percent(summary["max_drawdown_pct"]), fmt.count(trades["count"]), fmt.share(trades["win_rate"]),
            fmt.multiple(trades["avg_r"]),
        )
    return table


def _missed(rows: list[Row]) -> RenderableType:
    if not rows:
        return Text()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("Why trades of the ungated run were not made", "trades", "sum", "net USDT, ungated"):
        table.add_column(column, justify="left" if column.startswith("Why") else "right")
    for row in rows:
        table.add_row(
            words(row["reason"]), fmt.count(row["trades"]), fmt.multiple(row["sum_r"]),
            fmt.signed_money(row["net"]),
        )
    return table
