"""A report of checked sentences: those with a flaw are struck and named, the others carry the ids of their figures."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import MetricSnapshot
from quantum_trader.lab.statements.checker import check_sentence, figures_in, render_sentence, safe_name
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import Sentence


class PrintedSentence(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of a report as plain text, with the figures it shows or compares, as placeholders name them."""

    text: str
    figures: tuple[str, ...] = ()


class StruckSentence(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence that was not printed, and why."""

    sentence: Sentence
    flaws: tuple[Flaw, ...]


class ReportSection(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences under a title; the title is the program's own."""

    title: str
    sentences: tuple[PrintedSentence, ...] = ()
    struck: tuple[StruckSentence, ...] = ()


class SentenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """Sections about one day, and the value of each figure that they rest on: key -> value as shown."""

    day: str
    sections: tuple[ReportSection, ...]
    figures: dict[str, str]

    @property
    def text(self) -> str:
        """The report for a terminal: each sentence, the numbers of its footnotes, and the footnotes."""
        numbers = {key: number for number, key in enumerate(self.figures, 1)}
        lines = []
        for section in self.sections:
            lines += [section.title, ""]
            for one in section.sentences:
                notes = "".join(f"[{numbers[key]}]" for key in one.figures)
                lines.append(f"  {one.text}{' ' if notes else ''}{notes}")
            if section.struck:
                lines.append(f"  (struck: {len(section.struck)} of {len(section.struck) + len(section.sentences)})")
            lines.append("")
        lines += [f"[{numbers[key]}] {key} = {value}" for key, value in self.figures.items()]
        return "\n".join(lines) + "\n"


def make_section(title: str, sentences: Iterable[Sentence], snapshot: MetricSnapshot) -> ReportSection:
    """*statements* under *title*: each checked, then rendered or struck."""
    printed, struck = [], []
    for one in sentences:
        flaws = check_sentence(one, snapshot)
        if flaws:
            struck.append(StruckSentence(sentence=one, flaws=tuple(flaws)))
            continue
        figures = tuple(safe_name_of_key(str(key)) for key in figures_in(one, snapshot))
        printed.append(PrintedSentence(text=render_sentence(one, snapshot), figures=figures))
    return ReportSection(title=title, sentences=tuple(printed), struck=tuple(struck))


def make_report(sections: Iterable[tuple[str, Iterable[Sentence]]], snapshot: MetricSnapshot) -> SentenceReport:
    """(title, statements) pairs as a report about the day of *snapshot*."""
    made = tuple(make_section(title, statements, snapshot) for title, statements in sections)
    return SentenceReport(day=snapshot.day, sections=made, figures=figures_of_sections(made, snapshot))


def figures_of_sections(sections: Iterable[ReportSection], snapshot: MetricSnapshot) -> dict[str, str]:
    """Every figure of *sections* in order of first use -> its value as shown."""
    known = {safe_name_of_key(str(one.key)): one for one in snapshot}
    keys = dict.fromkeys(key for section in sections for one in section.sentences for key in one.figures)
    return {
        key: metric_text(known[key].value, snapshot.metrics[known[key].key.metric].unit) for key in keys if key in known
    }


def safe_name_of_key(key: str) -> str:
    """A figure as a placeholder names it, for a screen: no control or hidden character of a symbol's name in it."""
    return "".join(char if char in "@|=," else safe_name(char) for char in key)
