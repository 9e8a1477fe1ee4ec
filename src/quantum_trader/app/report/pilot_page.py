"""The evaluation of pilots as one HTML page that needs nothing else, made from its document alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import msgspec

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.charts import Line, bar_rows, both
from quantum_trader.app.report.page_parts import card, cells_table, framed, key_of, page_of, section
from quantum_trader.app.report.pilot_charts import fan_chart, fold_chart, mix_chart
from quantum_trader.app.report.pilot_evaluation import (
    DIFFER_COLUMNS,
    DROP_COLUMNS,
    ROW_COLUMNS,
    SEED_COLUMNS,
    account_rows,
    differ_cells,
    drop_cells,
    fold_sentence,
    median_seed,
    regime_cells,
    seed_cells,
    trial_sentences,
)

_DRAWN: Final = (("hold_scaled", "grey"), ("trend", "green"), ("intraday", "stop"))
_HOLD: Final = "hold"
_ACTIONS: Final = {
    "FLAT": "flat", "LONG_SMALL": "long 10 %", "LONG_LARGE": "long 20 %", "SHORT_SMALL": "short 10 %",
    "SHORT_LARGE": "short 20 %", "HOLD": "as it is",
}
_MIX_COLOURS: Final = ("grey", "long", "long", "short", "short", "rule")  # of the styles mix-0 to mix-5
_HALF: Final = (1, 3)  # styles in half the colour
_POSITIONS: Final = ("short 20 %", "short 10 %", "none", "long 10 %", "long 20 %")
_POSITION_STYLES: Final = (4, 3, 5, 1, 2)


def pilot_page(content: dict[str, Any]) -> str:
    """Render *content*, what ``evaluation_document`` made."""
    sections = [
        _header(content), _verdict(content), _cards(content), _fan(content), _results(content), _regimes(content),
        _mix(content), _attribution(content), _differences(content), _folds(content), _tried(content),
        _limits(content), _data(content),
    ]
    fan = content["fan"]
    curves = {"ts_s": fan["day_s"], "pilot": _pct(fan["median"]), "low": _pct(fan["lower_quartile"]),
              "high": _pct(fan["upper_quartile"])}
    curves |= {key: _pct(values) for key, values in fan["others"].items() if key != _HOLD}
    return page_of(f"Pilot evaluation · {len(content['seeds'])} seeds", sections, {"curves": curves})


def _pct(values: list[float]) -> list[float]:
    return [round((value - 1.0) * 100.0, 3) for value in values]


def _header(content: dict[str, Any]) -> str:
    facts = content["facts"]
    return (
        "<header><h1>Evaluation of the pilot</h1>"
        f"<p>{escape(', '.join(facts.get('symbols', [])))} · {escape(str(facts.get('observed', '')))} decisions on "
        f"{escape(str(facts.get('bars', '')))} bars · {escape(str(facts.get('source', '')))} data · "
        f"{len(content['seeds'])} seeds</p></header>"
    )


def _verdict(content: dict[str, Any]) -> str:
    marks = {True: "yes", False: "no", None: "not known"}
    rows = [(name, marks[held]) for name, held in content["verdict"]["conditions"]]
    warning = (
        "<p><strong>These bars were trained on, or lie within the embargo. The figures say nothing about other bars."
        "</strong></p>" if content["in_sample"] else ""
    )
    return section(
        "Verdict", warning, f'<p class="verdict">{escape(content["verdict"]["line"])}</p>',
        cells_table(("Condition", "holds"), rows),
        f"<details><summary>The rule</summary><p>{escape(content['rule'])}</p></details>",
    )


def _cards(content: dict[str, Any]) -> str:
    spreads, median = content["spreads"], median_seed(content)["figures"]
    low, high = median["sharpe_low"], median["sharpe_high"]
    made = [
        card("Return, median of seeds", fmt.percent(spreads["return_pct"]["median"], 1),
             _quartiles(spreads["return_pct"]), True),
        card("Sharpe ratio, median seed", fmt.ratio(median["sharpe"]),
             fmt.UNKNOWN if low is None else f"95 %: {low:+.2f} to {high:+.2f}"),
        card("Deflated Sharpe ratio", fmt.share(content["trials"]["deflated_best"], 0),
             f"best seed, {content['trials']['trials']:,} trials"),
        card("Deepest drawdown", fmt.percent(spreads["max_drawdown_pct"]["median"], 1),
             _quartiles(spreads["max_drawdown_pct"]), True),
        card("Trades", f"{spreads['trades']['median']:,.0f}",
             f"turnover {spreads['turnover_a_year']['median']:,.0f} equities a year"),
    ]
    return '<div class="cards">' + "".join(made) + "</div>"


def _quartiles(spread: dict[str, float]) -> str:
    return f"quartiles {spread['lower_quartile']:+.1f} to {spread['upper_quartile']:+.1f} %"


def _fan(content: dict[str, Any]) -> str:
    fan, names = content["fan"], {row["key"]: row["name"] for row in content["rows"]}
    shown = [(key, colour) for key, colour in _DRAWN if key in fan["others"]]
    bands = [(_pct(fan["least"]), _pct(fan["most"])), (_pct(fan["lower_quartile"]), _pct(fan["upper_quartile"]))]
    lines = [Line(name=names[key], values=_pct(fan["others"][key]), style=f"of-{colour}") for key, colour in shown]
    lines.append(Line(name="median of the seeds", values=_pct(fan["median"]), style="equity"))
    chart = both(lambda size: fan_chart(
        "Equity of the seeds over time", fan["day_s"], bands, lines, lambda value: f"{value:+.0f} %", size=size,
    ))
    return section(
        "Equity over the seeds",
        key_of(("blue", "pilot: median, quartiles and all seeds"), *((colour, names[key]) for key, colour in shown)),
        framed(chart, {"pilot": "median %", "low": "quartiles", "high": "to",
                       **{key: names[key] for key, _ in shown}}),
        note="Percent of the start, at the end of each day. The dark band holds half of the seeds, the light one all. "
             "Plain buying and holding is left out: its swings would hide the others.",
    )


def _results(content: dict[str, Any]) -> str:
    return section(
        "Beside what else was possible", cells_table(ROW_COLUMNS, account_rows(content), ("return", "drawdown")),
        "<h2>Over the seeds</h2>", cells_table(SEED_COLUMNS, seed_cells(content)),
        note="The same bars, costs and account for all. Turnover in equities a year; costs are fees, spread and "
             "slippage, in percent of the equity. Signals hold a fifth of the equity in each symbol that they want.",
    )


def _regimes(content: dict[str, Any]) -> str:
    return section(
        "By regime", cells_table(("Account", *content["regime_names"]), regime_cells(content)),
        note="Percent of the start that was made while a symbol was in each regime.",
    )


def _mix(content: dict[str, Any]) -> str:
    mix = content["mix"]
    actions, styles = [_ACTIONS.get(action, action) for action in mix["actions"]], tuple(range(len(mix["actions"])))
    return section(
        "What it wanted and chose", _mix_key(_POSITIONS, mix["held_whole"], _POSITION_STYLES),
        both(lambda size: mix_chart("Positions over time", mix, "held", _POSITIONS, _POSITION_STYLES, size=size)),
        "<h2>The actions that led there</h2>", _mix_key(actions, mix["whole"], styles),
        both(lambda size: mix_chart("Actions over time", mix, "shares", actions, styles, size=size)),
        note="Share of all decisions of all seeds after which each position was wanted, in parts of the equity.",
    )


def _mix_key(names: Sequence[str], shares: Sequence[float], styles: Sequence[int]) -> str:
    return '<div class="key">' + "".join(
        f'<span><i{" class=half" if style in _HALF else ""} style="background:var(--{_MIX_COLOURS[style]})"></i>'
        f"{escape(name)} {fmt.share(share, 0)}</span>"
        for name, share, style in zip(names, shares, styles, strict=True)
    ) + "</div>"


def _attribution(content: dict[str, Any]) -> str:
    if not content["groups"]:
        return ""
    drops = [(one["name"], one["drop_pct"], f"{one['drop_pct']:+.1f} %") for one in content["groups"]]
    weights = [(one["name"], one["share"] * 100.0, f"{one['share']:.1%}") for one in content["features"]]
    return section(
        "What the decisions rest on", both(lambda size: bar_rows("Shuffled groups of features", drops, size=size)),
        "<details><summary>With the spread of the shuffles</summary>", cells_table(DROP_COLUMNS, drop_cells(content)),
        "</details><h2>Gradient times input, largest features</h2>",
        both(lambda size: bar_rows("Gradient times input", weights, size=size)),
        note="What the median seed loses, in percent of the start, where the features of a group are taken from other "
             "times. Below 0 it did better with the wrong ones.",
    )


def _differences(content: dict[str, Any]) -> str:
    parts = "".join(
        f"<h2>{escape(one['name'])}: the same direction {fmt.share(one['agreeing'], 0)} of the time that either holds"
        f"</h2>{cells_table(DIFFER_COLUMNS, differ_cells(one), DIFFER_COLUMNS[2:])}"
        for one in content["disagreements"]
    )
    return section(
        "Where it differs from the signals", parts,
        note="The median seed beside each source of signals, by what both want from one decision to the next; results "
             "in percent of the start.",
    )


def _folds(content: dict[str, Any]) -> str:
    said = "".join(f"<p>{escape(fold_sentence(fold))}</p>" for fold in content["folds"])
    return section(
        "Training, embargo, test", key_of(("grey", "training"), ("amber", "embargo"), ("blue", "test")),
        both(lambda size: fold_chart("Folds", content["folds"], size)), said,
    )


def _tried(content: dict[str, Any]) -> str:
    return section("What was tried", "".join(f"<p>{escape(line)}</p>" for line in trial_sentences(content)))


def _limits(content: dict[str, Any]) -> str:
    return section("What this cannot say", "".join(f"<p>{escape(line)}</p>" for line in content["limits"]))


def _data(content: dict[str, Any]) -> str:
    facts = content["facts"]
    lines = [str(facts.get("funding", "")), *facts.get("notes", [])]
    settings = msgspec.json.format(msgspec.json.encode(facts)).decode()
    return section(
        "Data and settings", "".join(f"<p>{escape(line)}</p>" for line in lines if line),
        f"<details><summary>All of it</summary><pre>{escape(settings)}</pre></details>",
    )
