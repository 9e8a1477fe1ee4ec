"""What a person reads of a comparison: its content as plain values, its sentences, and tables for a terminal."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.statements import few_rows_words, models_statement
from quantum_trader.app.report.tables import coloured
from quantum_trader.app.report.text_chart import text_chart
from quantum_trader.app.report.trade_charts import ChartTrade
from quantum_trader.app.report.words import words
from quantum_trader.app.runs.comparison import HOLD, HOLD_SCALED, OBSERVED, ComparedRow, Comparison
from quantum_trader.app.runs.explained import ExplainedTrade, Forecast
from quantum_trader.domain.clock import NS_PER_SECOND, iso
from quantum_trader.domain.enums import Side
from quantum_trader.models.forecast import ENTER_AT
from quantum_trader.models.loading import INTRADAY

SCHEMA: Final = 1
_MOST_REASONS: Final = 3
DRAWN: Final = frozenset(("curves",))  # parts for charts alone
NAMES: Final = {HOLD: "buy and hold", HOLD_SCALED: "held, equal volatility", OBSERVED: "models observed"}
_IN_SENTENCE: Final = {HOLD_SCALED: "buy and hold at equal volatility", OBSERVED: "the models observed"}

AGAINST: Final = (
    "Against expectation: trades taken at a confidence below 0.50, where the expected return is below the cost."
)


def comparison_document(found: Comparison, settings: dict[str, Any]) -> dict[str, Any]:
    """The whole comparison as plain values, the same for the same bars and settings; None: not known."""
    recording, trade = found.recording, found.explained.trade
    content: dict[str, Any] = {
        "kind": "quantum-trader comparison",
        "schema": SCHEMA,
        "data": {
            "source": recording.source, "symbols": list(recording.symbols), "interval": recording.interval,
            "first": iso(recording.start_ns), "last": iso(recording.end_ns), "days": len(found.day_s),
            "fingerprint": recording.fingerprint, "funding": recording.funding_statement,
            "notes": list(recording.notes),
        },
        "models": found.models, "model_names": ", ".join(found.models.split("+")) if found.models else INTRADAY,
        "switches": list(found.switches),
        "rule": {"resume_hours": found.resume_hours or None, "words": rule_words(found.resume_hours)},
        "rows": [_plain_row(row) for row in found.rows],
        "scaled": {
            "volatility_pct": found.scaled_to_pct, "stated": found.stated_target, "words": scaled_words(found),
        },
        "differences": [
            {
                "first": one.first, "second": one.second, "words": _pair(one.first, one.second),
                **(_plain_difference(one.found)),
            }
            for one in found.differences
        ],
        "sentence": "",
        "few": few_rows_words(_traded(found), len(found.day_s)),
        "flat": [],
        "trade": _plain_trade(trade) if trade is not None else None,
        "newest": [_plain_forecast(one) for one in found.explained.newest],
        "statement": models_statement(found.models.split("+") if found.models else ()),
        "notes": notes_of(found),
        "settings": settings,
        "curves": _curves(found),
    }
    content["sentence"] = difference_sentence(content["differences"])
    content["flat"] = flat_sentences(found)
    return {key: without_nan(value) for key, value in content.items()}


def _traded(found: Comparison) -> dict[str, int]:
    """How many trades each row of the models closed, by its name; without those that stayed flat."""
    return {
        name_of(row.key): row.figures.trades for row in found.rows
        if row.key not in (HOLD, HOLD_SCALED) and (row.figures.trades or row.figures.held_share > 0.0)
    }


def without_nan(value: Any) -> Any:
    """*value* with None in the place of numbers that are not finite."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    return [without_nan(one) for one in value] if isinstance(value, (list, tuple)) else value


def _plain_row(row: ComparedRow) -> dict[str, Any]:
    stop = None
    if row.stop is not None:
        stop = {"at": iso(row.stop.at_ns), "cause": row.stop.cause}
    return {
        "key": row.key, "name": name_of(row.key), **msgspec.to_builtins(row.figures), "stopped": stop,
        "decisions": row.decisions,
        "resumed_after_a_day": msgspec.to_builtins(row.resumed) if row.resumed is not None else None,
    }


def name_of(key: str) -> str:
    """A row's name in the tables."""
    return NAMES.get(key, key)


def _plain_difference(found: Any) -> dict[str, Any]:
    if found is None:
        return {"difference": None, "low": None, "high": None, "probability": None, "told_from_luck": None,
                "effective_days": None}
    return {**msgspec.to_builtins(found), "told_from_luck": found.is_told_from_luck}


def _plain_forecast(one: Forecast) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "at": iso(one.ts_ns), "verdict": verdict(one)}


def _plain_trade(one: ExplainedTrade) -> dict[str, Any]:
    plain = {
        **msgspec.to_builtins(one), "forecast": _plain_forecast(one.forecast) if one.forecast is not None else None,
        "entry_at": iso(one.entry_ns), "exit_at": iso(one.exit_ns), "words": trade_lines(one),
    }
    del plain["price_s"], plain["price"]
    return plain


def _curves(found: Comparison) -> dict[str, Any]:
    trade = found.explained.trade
    return {
        "ts_s": list(found.day_s),
        **{row.key: [round(float(value), 2) for value in row.equity] for row in found.rows},
        "trade": None if trade is None else {
            "mark": msgspec.to_builtins(chart_trade(trade)), "ts_s": list(trade.price_s), "price": list(trade.price),
        },
    }


def chart_trade(one: ExplainedTrade) -> ChartTrade:
    """*one* as the charts read it."""
    return ChartTrade(
        entry_s=one.entry_ns // NS_PER_SECOND, exit_s=one.exit_ns // NS_PER_SECOND, sign=Side(one.side).sign,
        entry=one.entry, exit=one.exit, stop=one.stop, qty=one.qty, r=one.r, net=one.net, reason=words(one.reason),
        model="",
    )


# ---- sentences -----------------------------------------------------------------------------------------------------
def rule_words(hours: float) -> str:
    """What happens after an EMERGENCY of the governor, for all rows that trade."""
    if hours > 0.0:
        return (
            f"An EMERGENCY of the safety governor is resumed after {hours:g} hours, each time; nothing stops holding."
        )
    return (
        "An EMERGENCY of the safety governor stops a row until a person resumes it, and here nobody does, as live; "
        "nothing stops holding."
    )


def scaled_words(found: Comparison) -> str:
    """How buying and holding at equal volatility is scaled."""
    whose = "as asked" if found.stated_target else "what the models observed realised"
    return (
        f"Equal volatility: the same coins, each day so much of them that past returns promise "
        f"{found.scaled_to_pct:.1f} % a year ({whose}), all of the money at most."
    )


def notes_of(found: Comparison) -> list[str]:
    """What else a reader must know of the rows."""
    funding = found.holding_funding_pct
    verb = "received" if funding > 0.0 else "paid"
    return [
        "Holding is of coins: bought in equal parts at the first price, with fee and slippage, without funding; the "
        f"same as perpetuals would have {verb} about {abs(funding):.1f} % a year of their notional.",
        "Costs are fees and slippage in percent of the mean equity a year; those of fills are estimated by the bar in "
        "which each happened. Turnover is what was bought and sold over the mean equity, a year. Held is the share of "
        "the symbols' time with a position, below peak that of the days below the highest equity so far.",
        AGAINST,
    ]


def _pair(first: str, second: str) -> str:
    return f"{_IN_SENTENCE.get(first, first)} against {_IN_SENTENCE.get(second, second)}"


def difference_sentence(differences: list[dict[str, Any]]) -> str:
    """What the differences are, and whether each can be told from luck, in one sentence."""
    known = [one for one in differences if one["difference"] is not None]
    if not known:
        return "There is nothing to compare: too few days, or rows that never traded."
    said = [
        f"{_IN_SENTENCE.get(one['first'], one['first'])} {one['difference']:+.2f} against "
        f"{_IN_SENTENCE.get(one['second'], one['second'])} (95 %: {one['low']:+.2f} to {one['high']:+.2f})"
        for one in known
    ]
    told = [_pair(one["first"], one["second"]) for one in known if one["told_from_luck"]]
    if not told:
        end = "this can be luck" if len(known) == 1 else "each of these differences can be luck"
    elif len(told) == len(known):
        end = "luck alone does not explain " + ("this" if len(known) == 1 else "any of these differences")
    else:
        end = f"luck alone does not explain {' and '.join(told)}; the other differences can be luck"
    unknown = [_pair(one["first"], one["second"]) for one in differences if one["difference"] is None]
    rest = f" Not compared, since a row did not move: {', '.join(unknown)}." if unknown else ""
    return f"Differences of the Sharpe ratio on the same days: {', '.join(said)}; {end}.{rest}"


def forecast_words(one: Any) -> str:
    """Expected return, error and cost of a forecast, in the words that the documents use."""
    return f"expected {one.expected_bps:+.1f} ± {one.error_bps:.1f} bps a day, cost {one.cost_bps:.1f}"


def verdict(one: Forecast) -> str:
    """What follows from a forecast under the fixed settings."""
    if one.expected_bps <= one.cost_bps:
        return "cost above expectation"
    return "above its cost" if abs(one.score) >= ENTER_AT else "score too small to enter"


def flat_sentences(found: Comparison) -> list[str]:
    """For each row of the models that never traded, why, with the numbers of the most confident forecast."""
    best, said = found.explained.best, []
    for row in found.rows:
        if row.key in (HOLD, HOLD_SCALED) or row.figures.trades or row.figures.held_share > 0.0:
            continue
        if best is None:
            said.append(f"{name_of(row.key)}: flat. {_refusals(row)}")
        elif best.expected_bps <= best.cost_bps:
            said.append(
                f"{name_of(row.key)}: no trade pays its cost: flat ({forecast_words(best)} for {best.symbol} "
                f"{best.side} at best)."
            )
        else:
            said.append(
                f"{name_of(row.key)}: flat; no forecast was let in. The most confident one: {best.symbol} {best.side} "
                f"on {iso(best.ts_ns)[:10]}, {forecast_words(best)}, confidence {best.confidence:.2f}. {_refusals(row)}"
            )
    return said


def _refusals(row: ComparedRow) -> str:
    """Why the signals of a row that never traded were refused, the commonest reasons."""
    if not row.decisions:
        return "There was no signal."
    reasons = ", ".join(
        f"{words(reason)} {fmt.count(count)}" for reason, count in list(row.decisions.items())[:_MOST_REASONS]
    )
    return f"Signals refused: {reasons}."


def trade_lines(one: ExplainedTrade) -> list[str]:
    """The trade from its signal to its exit, a sentence or two a step."""
    held = (one.exit_ns - one.entry_ns) / 1e9 / 86_400.0
    notional = one.qty * one.entry
    lines = [*_signal_lines(one)]
    lines.append(
        f"Size: at most {one.qty:g}, entered from {_minute(one.entry_ns)} on at {fmt.price(one.entry)} on average: "
        f"{fmt.money(notional)} USDT or {notional / one.equity * 100.0:.1f} % of the equity; first stop "
        f"{fmt.price(one.stop)}, so {fmt.money(one.risk)} USDT at risk "
        f"({one.risk / one.equity * 100.0:.2f} % of the equity)."
    )
    lines.append(
        f"Exit: {words(one.reason)}, at {fmt.price(one.exit)} on {_minute(one.exit_ns)} after {held:.0f} days: "
        f"{one.r:+.2f} R, {fmt.signed_money(one.net)} USDT net of fees {fmt.money(one.fees)} and funding "
        f"{fmt.signed_money(one.funding)}."
    )
    return lines


def _signal_lines(one: ExplainedTrade) -> list[str]:
    said = one.forecast
    if said is None:
        return [
            f"Signal: {one.side} with a confidence of {one.confidence:.2f} that the direction is right; the threshold "
            f"of the fixed settings is {one.threshold:.2f}."
        ]
    alone = ", ".join(f"{name} {value:.2f}" for name, value in said.alone.items())
    by_each = f" By each model alone: {alone}." if len(said.alone) > 1 else ""
    return [
        f"Signal: {one.side} at the close of {_minute(said.ts_ns)}, combined score {said.score:+.2f} (1 is usual; "
        f"entered from {ENTER_AT:g} on).",
        f"Forecast: {forecast_words(said)}: confidence {said.confidence:.2f} that it pays its cost, "
        f"{said.prior_share * 100.0:.0f} % of the forecast from the prior; the threshold of the fixed settings is "
        f"{one.threshold:.2f}.{by_each}",
    ]


def _minute(ts_ns: int) -> str:
    return iso(ts_ns).replace("T", " ")[:16]


def stop_sentences(content: dict[str, Any]) -> list[str]:
    """When each stopped row was stopped and why, and what it would have done if resumed."""
    said = []
    for row in content["rows"]:
        if row["stopped"] is None:
            continue
        after = row["resumed_after_a_day"]
        beside = ""
        if after is not None:
            beside = (
                f" Resumed after a day each time: {fmt.percent(after['return_pct'], 1)}, Sharpe "
                f"{fmt.ratio(after['sharpe'])}, drawdown {fmt.percent(after['max_drawdown_pct'], 1)}, "
                f"{fmt.count(after['trades'])} trades."
            )
        said.append(
            f"{row['name']}: stopped on {row['stopped']['at'][:10]} ({row['stopped']['cause']}) and not "
            f"resumed.{beside}"
        )
    return said


# ---- the terminal ----------------------------------------------------------------------------------------------------
def comparison_view(content: dict[str, Any]) -> RenderableType:
    """The whole comparison for a terminal of 100 columns, the most important part first."""
    parts: list[RenderableType] = [_headline(content), Text(content["sentence"], style="bold")]
    parts += [*([Text(content["few"], style="bold yellow")] if content["few"] else []), Text()]
    parts += [_results(content["rows"]), _activity(content["rows"])]
    for line in stop_sentences(content) + content["flat"]:
        parts.append(Text(f"\n{line}"))
    parts += [_trade_view(content), _newest_view(content["newest"])]
    parts += [Text(), Text(content["statement"], style="bold"), Text()]
    parts += [Text(line, style="dim") for line in (content["scaled"]["words"], *content["notes"])]
    parts += [Text(line, style="dim") for line in (content["data"]["funding"], *content["data"]["notes"])]
    return Group(*parts)


def _headline(content: dict[str, Any]) -> Panel:
    data = content["data"]
    lines = Text()
    lines.append(f"{', '.join(data['symbols'])}, {data['interval']} bars, {fmt.day(data['first'])} to ")
    lines.append(f"{fmt.day(data['last'])} ({data['source']})\nSignals of {content['model_names']}.\n")
    lines.append(content["rule"]["words"])
    return Panel(lines, title="Comparison on the same bars", title_align="left", border_style="dim")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str | Text, ...]], left: int = 1) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return Group(*([Text(f"\n{title}", style="bold")] if title else []), table)


RESULT_COLUMNS: Final = ("Row", "return", "a year", "volatility", "Sharpe", "95 %", "drawdown", "below peak")
ACTIVITY_COLUMNS: Final = (
    "Row", "trades", "turnover", "exposure", "held", "costs", "funding", "against exp.",
)


def result_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """The figures of a row's result, in the order of RESULT_COLUMNS."""
    return (
        row["name"] + (" *" if row["stopped"] else ""), fmt.percent(row["return_pct"], 1),
        fmt.percent(row["annual_return_pct"], 1), f"{row['volatility_pct']:.1f} %", fmt.ratio(row["sharpe"]),
        bounds_words(row), fmt.percent(row["max_drawdown_pct"], 1), fmt.share(row["under_water_share"], 0),
    )


def bounds_words(row: dict[str, Any]) -> str:
    """The interval of a row's Sharpe ratio."""
    if row["sharpe_low"] is None:
        return fmt.UNKNOWN
    return f"{row['sharpe_low']:.2f} to {row['sharpe_high']:.2f}"


def activity_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """The figures of how a row traded, in the order of ACTIVITY_COLUMNS."""
    holds = row["key"] in (HOLD, HOLD_SCALED)
    costs = row["fees_pct_a_year"] + row["slippage_pct_a_year"]
    exposure = row["exposure_pct"]
    return (
        row["name"], fmt.UNKNOWN if holds else fmt.count(row["trades"]), f"{row['turnover_a_year']:.1f} x",
        fmt.UNKNOWN if exposure is None else f"{exposure:.1f} %", fmt.share(row["held_share"], 0), f"{costs:.2f} %",
        f"{row['funding_pct_a_year']:+.2f} %",
        fmt.UNKNOWN if row["against_expectation"] is None else fmt.count(row["against_expectation"]),
    )


def _results(rows: list[dict[str, Any]]) -> RenderableType:
    made: list[tuple[str | Text, ...]] = []
    for row in rows:
        cells = result_cells(row)
        made.append((cells[0], coloured(cells[1]), coloured(cells[2]), *cells[3:6], coloured(cells[6]), cells[7]))
    said = _table("", RESULT_COLUMNS, made)
    if any(row["stopped"] for row in rows):
        return Group(said, Text("* stopped by the safety governor, see below", style="dim"))
    return said


def _activity(rows: list[dict[str, Any]]) -> RenderableType:
    return _table("How they traded; percent of equity a year", ACTIVITY_COLUMNS, [activity_cells(row) for row in rows])


def trade_title(trade: dict[str, Any]) -> str:
    """The heading above the trade that is explained."""
    return f"One trade, the newest that the models observed closed: {trade['symbol']} {trade['side']}"


def _trade_view(content: dict[str, Any]) -> RenderableType:
    trade, drawn = content["trade"], content["curves"]["trade"]
    if trade is None:
        return Text("\nNo trade was closed.")
    mark = msgspec.convert(drawn["mark"], ChartTrade)
    return Group(
        Text(f"\n{trade_title(trade)}", style="bold"), Text(text_chart(drawn["ts_s"], drawn["price"], mark)),
        *(Text(line) for line in trade["words"]),
    )


NEWEST_COLUMNS: Final = (
    "Symbol", "side", "score", "expected, bps a day", "cost", "confidence", "from prior", "verdict",
)


def newest_cells(one: dict[str, Any]) -> tuple[str, ...]:
    """A forecast, in the order of NEWEST_COLUMNS."""
    return (
        one["symbol"], one["side"], f"{one['score']:+.2f}", f"{one['expected_bps']:+.1f} ± {one['error_bps']:.1f}",
        f"{one['cost_bps']:.1f}", f"{one['confidence']:.2f}", fmt.share(one["prior_share"], 0), one["verdict"],
    )


def _newest_view(newest: list[dict[str, Any]]) -> RenderableType:
    if not newest:
        return Text()
    return _table("What the models say at the last bar", NEWEST_COLUMNS, [newest_cells(one) for one in newest], left=2)
