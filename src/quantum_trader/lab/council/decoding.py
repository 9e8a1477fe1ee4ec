"""Reads what a model wrote: JSON with statements, fenced or bare; anything else is a reason to send it back."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from quantum_trader.lab.statements.language import Claim, ClaimRelation, Sentence

_FENCE: Final = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
_MOST_SENTENCES: Final = 60
_Clarity = Annotated[float, msgspec.Meta(ge=0.0, le=10.0)]


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a model reports: its sentences, and of a judge how clear each report is, 0 to 10, by letter."""

    sentences: tuple[Sentence, ...]
    clarity: dict[str, float] = {}


class _Statements(msgspec.Struct, frozen=True):
    statements: list[dict[str, Any]]
    clarity: dict[str, Any] = {}


def read_model_report(text: str) -> ModelReport | str:
    """The report in *text*, or a sentence that says why there is none."""
    fenced = _FENCE.search(text)
    body = (fenced[1] if fenced else text).strip()
    try:
        raw = msgspec.json.decode(body.encode("utf-8", "surrogatepass"), type=_Statements)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return f"Your answer was no JSON of the form {{\"statements\": [...]}}: {str(error)[:120]}"
    if not raw.statements:
        return "Your answer has no statements."
    sentences = tuple(_sentence(one) for one in raw.statements[:_MOST_SENTENCES])
    return ModelReport(sentences=sentences, clarity=_ratings(raw.clarity))


def _sentence(raw: dict[str, Any]) -> Sentence:
    """One statement; a claim that is none makes the sentence one that no rule admits."""
    text = raw.get("text")
    if not isinstance(text, str):
        return Sentence(text="")
    claims, given = [], raw.get("claims", [])
    for one in given if isinstance(given, list) else [None]:
        try:
            claims.append(msgspec.convert(one, Claim))
        except msgspec.ValidationError:
            claims.append(Claim(left="no claim", relation=ClaimRelation.EQUAL))  # refused, and sent back, as unknown
    return Sentence(text=text, claims=tuple(claims))


def _ratings(raw: dict[str, Any]) -> dict[str, float]:
    found = {}
    for letter, value in raw.items():
        try:
            found[letter] = msgspec.convert(value, _Clarity)
        except msgspec.ValidationError:
            continue
    return found
