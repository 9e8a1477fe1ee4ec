"""The evaluation of pilots as a document, as cells of tables, and as text in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.domain.clock import iso
from quantum_trader.lab.pilot.evaluation_result import PilotEvaluation

ROW_COLUMNS: Final = (
    "Account", "return", "Sharpe", "95 %", "drawdown", "turnover a year", "costs a year", "funding a year", "trades",
)
SEED_COLUMNS: Final = ("Of the seeds", "lower quartile", "median", "upper quartile", "worst", "best")
DROP_COLUMNS: Final = ("Group", "loss", "least to most", "Sharpe lost")
DIFFER_COLUMNS: Final = ("Moments", "share", "the pilot made", "the signals made")
_SPREADS: Final = (
    ("return_pct", "return", "percent"), ("sharpe", "Sharpe ratio", "ratio"),
    ("max_drawdown_pct", "deepest drawdown", "percent"), ("turnover_a_year", "turnover, equities a year", "count"),
    ("trades", "trades", "count"), ("exposure_pct", "mean notional, of the equity", "percent"),
)
LIMITS: Final = (
    "A test on the past is one path of the market. A year of days cannot tell a Sharpe ratio of 1 from 0: its 95 % "
    "interval reaches about 2 to each side.",
    "All symbols move together, so that many trades are few independent ones. The intervals rest on days for that "
    "reason, and allow for the memory of daily returns.",
    "Seeds differ by chance of training alone. Their spread says how much of a result is luck of the seed; it says "
    "nothing about other markets.",
    "Fills are at the next bar's open with fee, spread and slippage as the paper venue charges them. A large order "
    "would move the market; here it does not.",
    "Shuffled features say what these networks rest on, not what moves prices. Features that stand in for each other "
    "each seem to matter less than they do together.",
)


def evaluation_document(found: PilotEvaluation) -> dict[str, Any]:
    """*found* as plain values with the limits beside it: what ``--json`` prints and the page is made from."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return document | {"limits": list(LIMITS)}


def row_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """An account, in the order of ROW_COLUMNS."""
    one = row["figures"]
    low, high = one["sharpe_low"], one["sharpe_high"]
    return (
        row["name"], fmt.percent(one["return_pct"], 1), fmt.ratio(one["sharpe"]),
        fmt.UNKNOWN if low is None else f"{low:+.2f} to {high:+.2f}", fmt.percent(one["max_drawdown_pct"], 1),
        f"{one['turnover_a_year']:,.0f}", f"{one['fees_pct_a_year'] + one['slippage_pct_a_year']:.1f} %",
        fmt.percent(one["funding_pct_a_year"], 1), fmt.count(one["trades"]),
    )


def median_seed(content: dict[str, Any]) -> dict[str, Any]:
    """The row of the median seed."""
    row: dict[str, Any] = next(one for one in content["seeds"] if one["key"] == content["median_label"])
    return row


def account_rows(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """The median seed, then what it is compared with."""
    median = median_seed(content)
    title = f"pilot, median of {len(content['seeds'])} seeds ({median['name']})"
    return [row_cells({**median, "name": title}), *(row_cells(row) for row in content["rows"])]


def seed_cells(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """The spread of each figure over the seeds, in the order of SEED_COLUMNS; worst and best are the least and most."""
    write: dict[str, Callable[[float], str]] = {
        "percent": lambda value: fmt.percent(value, 1), "ratio": fmt.ratio, "count": lambda value: f"{value:,.0f}",
    }
    return [
        (name, *(write[kind](content["spreads"][key][level]) for level in (
            "lower_quartile", "median", "upper_quartile", "least", "most"
        )))
        for key, name, kind in _SPREADS
    ]


def regime_cells(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """What each account made in each regime, percent of the start."""
    return [
        (row["name"], *(
            f"{one['result_pct']:+.1f}" + (
                "" if one["low_pct"] is None else f" ({one['low_pct']:+.1f} to {one['high_pct']:+.1f})"
            )
            for one in row["results"]
        ))
        for row in content["regimes"]
    ]


def drop_cells(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """What shuffling each group of features costs, in the order of DROP_COLUMNS."""
    return [
        (one["name"], fmt.percent(one["drop_pct"], 2), f"{one['least_pct']:+.2f} to {one['most_pct']:+.2f}",
         f"{one['sharpe_drop']:+.2f}")
        for one in content["groups"]
    ]


def differ_cells(one: dict[str, Any]) -> list[tuple[str, ...]]:
    """A disagreement, in the order of DIFFER_COLUMNS."""
    return [
        (row["kind"], fmt.share(row["share"], 0), fmt.percent(row["pilot_pct"], 1), fmt.percent(row["signals_pct"], 1))
        for row in one["rows"]
    ]


def trial_sentences(content: dict[str, Any]) -> list[str]:
    """What was tried, and what that leaves of the best and of the median seed."""
    trials, draws = content["trials"], content["random"]
    before = f" and {trials['tried_before']:,} tried before" if trials["tried_before"] else ""
    said = [
        f"{trials['trials']:,} trials: {trials['seeds']:,} seeds{before}. The best of so many without any worth is "
        f"expected to show a Sharpe ratio of {trials['expected_best_sharpe']:.2f}; the best here shows "
        f"{trials['best_sharpe']:.2f}. Deflated Sharpe ratio (probability that it is above): best seed "
        f"{fmt.share(trials['deflated_best'], 0)}, median seed {fmt.share(trials['deflated_median'], 0)}."
    ]
    if draws is not None:
        low, middle, high = draws["sharpe"]
        said.append(
            f"{draws['draws']:,} random agents with {draws['turnover_ratio']:.2f} times the median seed's turnover: "
            f"Sharpe ratio {middle:.2f} (5 % to 95 %: {low:.2f} to {high:.2f}); {fmt.share(draws['share_as_good'], 0)} "
            "of them did as well as the median seed."
        )
    difference = content["over_holding"]
    if difference is not None:
        said.append(
            f"Sharpe ratio of the median seed less that of buying and holding: {difference['difference']:+.2f} (95 %: "
            f"{difference['low']:+.2f} to {difference['high']:+.2f})."
        )
    return said


def fold_sentence(fold: dict[str, Any]) -> str:
    """The ranges of a fold."""
    ranges = fold["ranges"]
    return (
        f"Fold {ranges['number']}: trained on {_span(ranges['train'])}, embargo of at least "
        f"{ranges['embargo_ns'] / 86_400e9:.0f} days, tested on {_span(ranges['test'])} "
        f"({fold['decisions']:,} decisions of {', '.join(fold['symbols'])})."
    )


def _span(one: dict[str, Any]) -> str:
    return f"{fmt.day(iso(one['from_ns']))} to {fmt.day(iso(one['until_ns'] - 1))}"


def evaluation_view(content: dict[str, Any]) -> RenderableType:
    """The evaluation in a terminal."""
    parts: list[RenderableType] = [Text(content["verdict"]["line"], style="bold"), Text()]
    parts += [Text(fold_sentence(fold)) for fold in content["folds"]]
    parts += [
        _table("On the tested bars", ROW_COLUMNS, account_rows(content)),
        _table("Over the seeds", SEED_COLUMNS, seed_cells(content)),
        _table("By regime, percent of the start", ("Account", *content["regime_names"]), regime_cells(content)),
    ]
    parts += [Text(line) for line in trial_sentences(content)]
    if content["groups"]:
        parts.append(_table(
            "What the median seed loses where a group of features is shuffled, percent of the start", DROP_COLUMNS,
            drop_cells(content),
        ))
    for one in content["disagreements"]:
        parts.append(_table(f"Beside the {one['name']}: same direction {fmt.share(one['agreeing'], 0)} of the time "
                            "that either holds", DIFFER_COLUMNS, differ_cells(one)))
    parts.append(Text(content["rule"]))
    return Group(*parts)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
