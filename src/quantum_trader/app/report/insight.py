"""An insight for a person: on a terminal, as Markdown, as an HTML page, and as plain values.

Every figure is followed by its number in the list of figures at the end, which gives the metric's id and the bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report.page_parts import cells_table, section
from quantum_trader.app.report.style import STYLE
from quantum_trader.app.report.words import words
from quantum_trader.lab.insights.daily_insight import DailyInsight, InsightFigure, InsightTable
from quantum_trader.lab.insights.day_records import RecordedChange
from quantum_trader.lab.insights.insight_sentences import SUMMARY
from quantum_trader.lab.insights.recommendations import KEEP
from quantum_trader.lab.metrics.values import WHOLE

TO_DO: Final = "What to do"
FIGURES: Final = "Figures"
CHANGES: Final = "Changes"
CHANGE_COLUMNS: Final = ("Time (UTC)", "what", "by", "reason")
FIGURE_COLUMNS: Final = ("No", "metric", "value", "95 %", "samples")
FIGURE_NOTE: Final = (
    "Every figure by its metric's id, day and filter. `quantum-trader metrics explain ID` prints the SQL or the "
    "function that computes it."
)
_LONGEST_TYPED: Final = 160
_HIDDEN: Final = re.compile(r"[^\x20-\x7e\u00a1-\u024f]+")  # of what people and programs have typed
_MARKS: Final = re.compile(r"([\\`*_{}\[\]()<>#+!|~])")


def insight_title(insight: DailyInsight) -> str:
    """What stands above an insight."""
    return "Insight of the whole run" if insight.day == WHOLE else f"Insight of {insight.day}"


def insight_document(insight: DailyInsight) -> dict[str, Any]:
    """The insight as plain values: the content of ``insight --json``."""
    content: dict[str, Any] = msgspec.to_builtins(insight)
    return content


# ---- parts that all forms share --------------------------------------------------------------------------------------
def _numbers(insight: DailyInsight) -> dict[str, str]:
    return {key: str(number) for number, key in enumerate(insight.figures, 1)}


def _notes(keys: Sequence[str], numbers: dict[str, str]) -> str:
    return "".join(f"[{numbers[key]}]" for key in keys)


def _sentences(insight: DailyInsight) -> Iterator[tuple[str, list[str]]]:
    """Titles and their sentences with the numbers of their figures; a title without a sentence is left out."""
    numbers = _numbers(insight)
    for one in insight.sections:
        lines = [f"{said.text} {_notes(said.figures, numbers)}".strip() for said in one.sentences]
        if lines:
            yield one.title, lines


def _advice(insight: DailyInsight) -> list[tuple[str, str]]:
    """Each piece of advice and its command; that there is none where there is none."""
    numbers = _numbers(insight)
    return [(f"{one.text} {_notes(one.figures, numbers)}".strip(), one.command) for one in insight.recommendations] or [
        (KEEP, "")
    ]


def _cells(table: InsightTable, insight: DailyInsight) -> list[list[str]]:
    """The rows of a table: names, values with the numbers of their figures, verdicts."""
    numbers, made = _numbers(insight), []
    for place, (name, *keys) in enumerate(table.rows):
        cells = [_with_bounds(insight.figures[key], numbers[key]) if key else "" for key in keys]
        made.append([_name(name), *cells, *([table.verdicts[place]] if table.verdicts else [])])
    return made


def _name(name: str) -> str:
    """A name as a person reads it: the words of a code, with the code."""
    said = words(name)
    return said if said.lower().replace(" ", "_") == name.lower() or said == name else f"{said} ({name})"


def _with_bounds(one: InsightFigure, number: str) -> str:
    return f"{one.text}{f' ({one.bounds})' if one.bounds else ''} [{number}]"


def _change_cells(changes: Sequence[RecordedChange]) -> list[list[str]]:
    return [[one.at[:19].replace("T", " "), *map(typed_text, (one.what, one.actor, one.reason))] for one in changes]


def typed_text(text: str) -> str:
    """*text* that somebody typed, in one line: no control, hidden or direction-changing character, and not too long."""
    return _HIDDEN.sub("?", text)[:_LONGEST_TYPED]


def _figure_cells(insight: DailyInsight) -> list[list[str]]:
    return [
        [str(number), one.key, one.text, one.bounds, f"{one.samples:,}"]
        for number, one in enumerate(insight.figures.values(), 1)
    ]


def _struck_words(insight: DailyInsight) -> str:
    return f"{insight.struck} sentences did not hold and were not printed." if insight.struck else ""


# ---- the terminal ----------------------------------------------------------------------------------------------------
def insight_view(insight: DailyInsight, *, short: bool = False) -> RenderableType:
    """The insight for a terminal; *short*: the sentences and the advice alone."""
    spoken = dict(_sentences(insight))
    head = "\n".join(spoken.pop(SUMMARY, ["There is nothing to tell of it."]))
    parts: list[RenderableType] = [
        Panel(Text(head), title=insight_title(insight), title_align="left", border_style="dim")
    ]
    for title, lines in spoken.items():
        parts += [Text(f"\n{title}", style="bold"), *(Text(f"  {line}") for line in lines)]
    if not short:
        for table in insight.tables:
            parts.append(_table(table.title, table.columns, _cells(table, insight)))
        if insight.changes:
            parts.append(_table(CHANGES, CHANGE_COLUMNS, _change_cells(insight.changes), left=4))
    parts.append(Text(f"\n{TO_DO}", style="bold"))
    for text, command in _advice(insight):
        parts += [Text(f"  {text}"), *([Text(f"    {command}", style="green")] if command else [])]
    if insight.struck:
        parts.append(Text(_struck_words(insight), style="yellow"))
    if short:
        spoken_of = {key for one in insight.sections for told in one.sentences for key in told.figures}
        spoken_of |= {key for one in insight.recommendations for key in one.figures}
        said = ", ".join(f"[{number}] {key}" for key, number in _numbers(insight).items() if key in spoken_of)
        return Group(*parts, Text(f"\n{FIGURES}: {said}", style="dim"))
    return Group(
        *parts, _table(FIGURES, FIGURE_COLUMNS, _figure_cells(insight), left=2), Text(FIGURE_NOTE, style="dim")
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return Group(Text(f"\n{title}", style="bold"), table)


# ---- Markdown --------------------------------------------------------------------------------------------------------
def insight_markdown(insight: DailyInsight) -> str:
    """The insight as Markdown; nothing in it that people or programs have typed becomes mark-up."""
    lines = [f"# {insight_title(insight)}", ""]
    for title, sentences in _sentences(insight):
        lines += [f"## {title}", "", *(f"- {_plain(one)}" for one in sentences), ""]
    lines += [f"## {TO_DO}", ""]
    for text, command in _advice(insight):
        lines += [f"- {_plain(text)}", *([f"  `{command.replace('`', '')}`"] if command else [])]
    lines.append("")
    for table in insight.tables:
        lines += _pipes(table.title, table.columns, _cells(table, insight))
    if insight.changes:
        lines += _pipes(CHANGES, CHANGE_COLUMNS, _change_cells(insight.changes))
    lines += _pipes(FIGURES, FIGURE_COLUMNS, _figure_cells(insight))
    return "\n".join([*lines, FIGURE_NOTE, *([_struck_words(insight)] if insight.struck else [])]) + "\n"


def _plain(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)


def _pipes(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"## {_plain(title)}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(map(_plain, row))} |" for row in rows), "",
    ]


# ---- HTML ------------------------------------------------------------------------------------------------------------
def insight_page(insight: DailyInsight) -> str:
    """The insight as one HTML page without scripts."""
    parts = [
        section(title, _items(sentences)) for title, sentences in _sentences(insight)
    ]
    parts.append(section(TO_DO, "".join(_advised(text, command) for text, command in _advice(insight))))
    parts += [section(table.title, cells_table(table.columns, _cells(table, insight))) for table in insight.tables]
    if insight.changes:
        parts.append(section(CHANGES, cells_table(CHANGE_COLUMNS, _change_cells(insight.changes))))
    parts.append(section(FIGURES, cells_table(FIGURE_COLUMNS, _figure_cells(insight)), note=FIGURE_NOTE))
    title = insight_title(insight)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"{''.join(parts)}<p>{escape(_struck_words(insight))}</p></main></body></html>\n"
    )


def insight_part(insight: DailyInsight) -> str:
    """The sentences, the advice and the figures of an insight as one section of another page."""
    parts = [f"<h3>{escape(title)}</h3>{_items(sentences)}" for title, sentences in _sentences(insight)]
    parts.append(f"<h3>{TO_DO}</h3>{''.join(_advised(text, command) for text, command in _advice(insight))}")
    struck = f"<p>{escape(_struck_words(insight))}</p>" if insight.struck else ""
    figures = cells_table(FIGURE_COLUMNS, _figure_cells(insight))
    return section(insight_title(insight), *parts, struck, f"<h3>{FIGURES}</h3>", figures)


def _items(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _advised(text: str, command: str) -> str:
    return f"<p>{escape(text)}{f'<br><code>{escape(command)}</code>' if command else ''}</p>"
