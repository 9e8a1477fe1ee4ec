"""The comparison as one HTML page that needs nothing else, made from its document alone."""

from __future__ import annotations

from html import escape
from typing import Any, Final

import msgspec

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.charts import Line, both, time_chart
from quantum_trader.app.report.comparison import (
    ACTIVITY_COLUMNS,
    NEWEST_COLUMNS,
    RESULT_COLUMNS,
    activity_cells,
    newest_cells,
    result_cells,
    stop_sentences,
    trade_title,
)
from quantum_trader.app.report.page_parts import card, cells_table, framed, key_of, page_of, section
from quantum_trader.app.report.trade_charts import ChartTrade, legend, trade_chart
from quantum_trader.app.runs.comparison import HOLD

_COLOURS: Final = ("grey", "blue", "green", "stop", "short", "long", "amber", "red")
_SIGNED: Final = ("return", "a year", "drawdown", "funding")


def comparison_page(content: dict[str, Any]) -> str:
    """Render *content*, what ``comparison_document`` made with ``run`` in it."""
    sections = [
        _header(content), _cards(content), _results(content), _statement(content), _curves(content),
        _differences(content), _trade(content), _newest(content), _data(content),
    ]
    data = content["data"]
    title = f"Comparison · {', '.join(data['symbols'][:4])} · {fmt.day(data['first'])} to {fmt.day(data['last'])}"
    curves = {key: value for key, value in content["curves"].items() if key != "trade"}
    return page_of(title, sections, {"curves": curves})


def _header(content: dict[str, Any]) -> str:
    data = content["data"]
    return (
        "<header><h1>Comparison on the same bars</h1>"
        f"<p>{escape(', '.join(data['symbols']))} · {escape(data['interval'])} bars · {fmt.day(data['first'])} to "
        f"{fmt.day(data['last'])} · {escape(data['source'])} data · signals of "
        f"{escape(content['model_names'])}</p>"
        f"<p>{escape(content['rule']['words'])}</p></header>"
    )


def _cards(content: dict[str, Any]) -> str:
    return '<div class="cards">' + "".join(
        card(
            row["name"], fmt.percent(row["return_pct"], 1),
            f"Sharpe {fmt.ratio(row['sharpe'])}, drawdown {fmt.percent(row['max_drawdown_pct'], 1)}", True,
        )
        for row in content["rows"]
    ) + "</div>"


def _results(content: dict[str, Any]) -> str:
    rows = content["rows"]
    said = "".join(f"<p>{escape(line)}</p>" for line in [*stop_sentences(content), *content["flat"]])
    few = f"<p><strong>{escape(content['few'])}</strong></p>" if content["few"] else ""
    return section(
        "What the differences are", few,
        cells_table(RESULT_COLUMNS, [result_cells(row) for row in rows], _SIGNED), said,
        "<h2>How they traded</h2>",
        cells_table(ACTIVITY_COLUMNS, [activity_cells(row) for row in rows], _SIGNED),
        "<p>Costs and funding in percent of the mean equity a year. * stopped by the safety governor.</p>",
        note=content["sentence"],
    )


def _curves(content: dict[str, Any]) -> str:
    """All rows but plain buying and holding, whose swings would hide the others."""
    curves = content["curves"]
    rows = [row for row in content["rows"] if row["key"] != HOLD]
    colours = dict(zip([row["key"] for row in rows], _COLOURS, strict=False))
    lines = [Line(name=row["name"], values=curves[row["key"]], style=f"of-{colours[row['key']]}") for row in rows]
    chart = both(lambda size: time_chart(
        "Equity of each row", curves["ts_s"], lines, lambda value: fmt.money(value, 0), height=320, size=size,
    ))
    return section(
        "Equity", key_of(*((colours[row["key"]], row["name"]) for row in rows)),
        framed(chart, {row["key"]: row["name"] for row in rows}),
        note="USDT at the end of each day. Plain buying and holding is left out: its swings would hide the others.",
    )


def _differences(content: dict[str, Any]) -> str:
    rows = [
        (
            one["words"],
            fmt.UNKNOWN if one["difference"] is None else f"{one['difference']:+.2f}",
            fmt.UNKNOWN if one["low"] is None else f"{one['low']:+.2f} to {one['high']:+.2f}",
            fmt.UNKNOWN if one["probability"] is None else fmt.share(one["probability"], 0),
            {None: fmt.UNKNOWN, True: "more than luck", False: "can be luck"}[one["told_from_luck"]],
        )
        for one in content["differences"]
    ]
    names = ("Sharpe ratio of", "difference", "95 %", "probability above 0", "verdict")
    return section(
        "Differences on the same days", cells_table(names, rows),
        note="A paired test of daily returns that allows for their correlation, skew and memory.",
    )


def _trade(content: dict[str, Any]) -> str:
    trade, drawn = content["trade"], content["curves"]["trade"]
    if trade is None:
        return section("One trade", note="No trade was closed.")
    mark = msgspec.convert(drawn["mark"], ChartTrade)
    line = {"ts_s": drawn["ts_s"], "price": drawn["price"]}
    chart = both(lambda size: trade_chart(f"{trade['symbol']}: one trade", line, [mark], size))
    return section(
        trade_title(trade), legend(), chart, "".join(f"<p>{escape(words)}</p>" for words in trade["words"]),
    )


def _newest(content: dict[str, Any]) -> str:
    if not content["newest"]:
        return ""
    cells = [newest_cells(one) for one in content["newest"]]
    return section("What the models say at the last bar", cells_table(NEWEST_COLUMNS, cells))


def _statement(content: dict[str, Any]) -> str:
    return section("What the models are worth", note=content["statement"])


def _data(content: dict[str, Any]) -> str:
    data = content["data"]
    lines = [content["scaled"]["words"], *content["notes"], data["funding"], *data["notes"]]
    settings = msgspec.json.format(msgspec.json.encode(content["settings"])).decode()
    return section(
        "How to read this", "".join(f"<p>{escape(line)}</p>" for line in lines),
        f"<details><summary>All settings of the enforced rows</summary><pre>{escape(settings)}</pre></details>",
    )
