"""The parts that every HTML page of a report is built from: the page, a section, a table, a card, a framed chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

import msgspec

from quantum_trader.app.report.metric_ids import EXPLAIN
from quantum_trader.app.report.style import SCRIPT, STYLE

_LONG_CELL: Final = 30  # characters above which the text of a cell is wrapped

METRICS_NOTE: Final = (
    f"<p>Cards and headings show the id of their metric under the pointer; <code>{EXPLAIN}</code> prints how it is "
    "computed. <code>metric_ids</code> in the report's JSON has the ids of all figures.</p>"
)

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str], bool]  # heading, cell, whether its sign is coloured


def page_of(title: str, sections: Sequence[str], report: Row) -> str:
    """The whole page around *sections*, with the values that its script needs from *report*."""
    values = {k: v for k, v in report["curves"].items() if k != "policy_bands"}
    values |= {"prices": report.get("prices", {}), "trades": report.get("closed_trades", {})}
    curves = msgspec.json.encode(values).decode()
    curves = curves.replace("</", "<\\/")  # a symbol's name must not end the script element
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{''.join(sections)}</main>"
        f'<script type="application/json" id="curves">{curves}</script>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def section(title: str, *content: str, note: str = "") -> str:
    """A part of the page below its heading and an optional *note*."""
    lead = f"<p>{escape(note)}</p>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{lead}{''.join(content)}</section>"


def html_table(
    rows: Sequence[Row], columns: Sequence[Column], empty: str = "None.", metrics: Mapping[str, str] | None = None
) -> str:
    """A table of *rows* that scrolls by itself where the screen is narrower; *empty* where there are none.

    *metrics*: the metrics' ids of columns, by their headings.
    """
    if not rows:
        return f"<p>{escape(empty)}</p>"
    ids = metrics or {}
    heads = "".join(f"<th{metric_mark(ids.get(name, ''))}>{escape(name)}</th>" for name, _, _ in columns)
    body = "".join(
        "<tr>" + "".join(_cell(cell(row), coloured) for _, cell, coloured in columns) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def cells_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], signed: Sequence[str] = (),
    metrics: Mapping[str, str] | None = None,
) -> str:
    """A table of *rows* that already are cells, below the headings *names*; the *signed* columns are coloured."""
    columns: list[Column] = [(name, _cell_of(name), name in signed) for name in names]
    return html_table([dict(zip(names, row, strict=True)) for row in rows], columns, metrics=metrics)


def metric_mark(metric: str) -> str:
    """The attributes that name the *metric* of a figure; nothing where it has none."""
    return f' data-metric="{escape(metric)}" title="metric {escape(metric)}"' if metric else ""


def _cell_of(name: str) -> Callable[[Row], str]:
    return lambda row: str(row[name])


def _cell(text: str, coloured: bool) -> str:
    style = sign_style(text) if coloured else "text" if len(text) > _LONG_CELL else ""
    return f'<td class="{style}">{escape(text)}</td>' if style else f"<td>{escape(text)}</td>"


def sign_style(text: str) -> str:
    """The style of a signed figure: bad below zero, good above it, none at zero."""
    if text.startswith("-"):
        return "bad"
    return "good" if text.startswith("+") and any(character in "123456789" for character in text) else ""


def card(name: str, value: str, more: str, coloured: bool = False, metric: str = "") -> str:
    """One figure of the top of the page, with the id of its *metric*."""
    style = f" {sign_style(value)}" if coloured else ""
    return (
        f'<div class="card"{metric_mark(metric)}><div class="name">{escape(name)}</div>'
        f'<div class="value{style}">{escape(value)}</div>'
        f'<div class="more">{escape(more)}</div></div>'
    )


def framed(svg: str, names: dict[str, str]) -> str:
    """A time chart with a crosshair that shows the curves of *names*: key of the values, and its word."""
    return (
        f'<div class="frame" data-lines="{escape(msgspec.json.encode(names).decode())}">{svg}'
        '<div class="cross"></div><div class="tip"></div></div>'
    )


def key_of(*entries: tuple[str, str]) -> str:
    """A legend: colour and name of each curve."""
    return '<div class="key">' + "".join(
        f'<span><i style="background:var(--{colour})"></i>{escape(name)}</span>' for colour, name in entries
    ) + "</div>"
