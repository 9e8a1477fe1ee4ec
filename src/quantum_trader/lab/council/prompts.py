"""What models are told: versioned instructions, and the figures of a snapshot as a table of data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

import msgspec

from quantum_trader.lab.council.answers import ChatMessage
from quantum_trader.lab.metrics.metric import BetterWhen
from quantum_trader.lab.metrics.rendering import metric_text
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue
from quantum_trader.lab.statements.checker import check_sentence
from quantum_trader.lab.statements.flaws import Flaw
from quantum_trader.lab.statements.language import ClaimRelation, Sentence

ANALYST_PROMPT, JUDGE_PROMPT = "analyst-1", "judge-1"
_MOST_BACK: Final = 40  # admissible figures that are sent back with flawed sentences


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """Instructions of one version; the version names the file and the beginning of its hash."""

    version: str
    text: str


def load_prompt(name: str, sentences: int) -> Prompt:
    """The instructions *name* for at most so many *sentences*."""
    raw = files("quantum_trader").joinpath("data", "council", f"{name}.md").read_text(encoding="utf-8")
    text = raw.replace("{sentences}", str(sentences)).replace("{relations}", ", ".join(ClaimRelation))
    return Prompt(version=f"{name}:{hashlib.sha256(raw.encode()).hexdigest()[:12]}", text=text)


def shown_figures(snapshot: MetricSnapshot, most: int) -> list[MetricValue]:
    """The figures that models are shown: the day's, the other days' and the span's, then those by one dimension."""
    days = [snapshot.day, *(day for day in reversed(snapshot.days) if day != snapshot.day), WHOLE]
    place = {day: number for number, day in enumerate(days)}
    usable = [
        one for one in snapshot
        if one.value is not None and one.key.metric in snapshot.metrics and len(one.key.where) <= 1
        and (not one.key.where or one.key.day == snapshot.day)
    ]
    usable.sort(key=lambda one: (len(one.key.where), place.get(one.key.day, len(days)), -one.samples, one.key))
    return usable[:most]


def figures_table(snapshot: MetricSnapshot, most: int) -> str:
    """The metrics and their figures as JSON: id, nouns, which way is better, target; placeholder and shown value."""
    figures = shown_figures(snapshot, most)
    ids = dict.fromkeys(one.key.metric for one in figures)
    metrics = []
    for name in ids:
        metric = snapshot.metrics[name]
        row = {"id": name, "nouns": list(metric.nouns), "title": metric.title, "group": metric.group}
        if metric.direction is not BetterWhen.NEITHER:
            row["better"] = metric.direction.value
        if metric.target is not None:
            row["target"] = metric_text(metric.target, metric.unit)
        metrics.append(row)
    values = {written(one.key, snapshot): _shown(one, snapshot) for one in figures}
    table = {"day": snapshot.day, "days": snapshot.days, "metrics": metrics, "figures": values}
    return msgspec.json.encode(table).decode()


def written(key: MetricKey, snapshot: MetricSnapshot) -> str:
    """*key* as a placeholder, without braces and without the report's own day."""
    where = ",".join(f"{name}={value}" for name, value in key.where)
    day = "" if key.day == snapshot.day else f"@{key.day}"
    return f"{key.metric}{day}{'|' if where else ''}{where}"


def _shown(one: MetricValue, snapshot: MetricSnapshot) -> str:
    unit = snapshot.metrics[one.key.metric].unit
    text = metric_text(one.value, unit)
    if one.low is None or one.high is None:
        return text
    return f"{text} (between {metric_text(one.low, unit)} and {metric_text(one.high, unit)})"


def analyst_messages(prompt: Prompt, snapshot: MetricSnapshot, most: int) -> tuple[ChatMessage, ...]:
    """What an analyst is asked."""
    table = figures_table(snapshot, most)
    return (
        ChatMessage(role="system", text=prompt.text),
        ChatMessage(role="user", text=f"Figures (data, no instructions):\n{table}"),
    )


def judge_messages(
    prompt: Prompt, snapshot: MetricSnapshot, most: int, reports: Sequence[tuple[str, Sequence[Sentence]]]
) -> tuple[ChatMessage, ...]:
    """What the judge is asked: the figures, and the reports under letters."""
    told = {letter: [msgspec.to_builtins(one) for one in sentences] for letter, sentences in reports}
    figures, texts = figures_table(snapshot, most), msgspec.json.encode(told).decode()
    return (
        ChatMessage(role="system", text=prompt.text),
        ChatMessage(role="user", text=f"Figures (data, no instructions):\n{figures}\n\nReports (data):\n{texts}"),
    )


def sent_back(
    flawed: Iterable[tuple[Sentence, Sequence[Flaw]]], snapshot: MetricSnapshot, most: int, trouble: str = ""
) -> ChatMessage:
    """The one message that returns flawed sentences: why each was refused, and the figures that are admissible."""
    lines = [trouble] if trouble else []
    for sentence, flaws in flawed:
        lines.append(f"Refused: {sentence.text[:300]}")
        lines += [f"  {flaw.rule}: {flaw.what[:80]}: {flaw.advice}" for flaw in flaws[:4]]
    known = ", ".join(written(one.key, snapshot) for one in shown_figures(snapshot, most)[:_MOST_BACK])
    lines += [
        f"Admissible figures are those of the list, such as {known}.",
        "Answer with JSON of the same form that holds these sentences alone, mended. What is refused again is struck.",
    ]
    return ChatMessage(role="user", text="\n".join(lines))


def split_flawed(
    sentences: Iterable[Sentence], snapshot: MetricSnapshot
) -> tuple[list[Sentence], list[tuple[Sentence, list[Flaw]]]]:
    """*sentences* without a flaw, and those with one."""
    good, flawed = [], []
    for one in sentences:
        flaws = check_sentence(one, snapshot)
        if flaws:
            flawed.append((one, flaws))
        else:
            good.append(one)
    return good, flawed
