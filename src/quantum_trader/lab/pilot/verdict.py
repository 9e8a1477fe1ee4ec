"""One line that says what an evaluation showed, by a rule that is stated beside it."""

from __future__ import annotations

from typing import Final

import msgspec

ENOUGH: Final = 0.95

VERDICT_RULE: Final = (
    "The verdict is of the median seed, never of the best. It is \"earns more than luck explains\" only where all of "
    "these hold: the 95 % interval of its Sharpe ratio lies above 0; at most 5 % of the random agents of the same "
    "turnover did as well; the best seed's deflated Sharpe ratio, for all trials, is at least 95 %; a quarter of the "
    "seeds at most lost; and its Sharpe ratio is above that of buying and holding by more than luck. The first "
    "that fails gives the verdict."
)


class EvaluationEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict rests on; None: not known."""

    days: int
    seeds: int
    sharpe: float | None  # of the median seed, a year
    low: float | None
    high: float | None
    return_pct: float
    random_share: float | None  # of the random draws that did as well or better; None: no draws
    deflated: float | None  # of the best seed
    trials: int
    lower_quartile: float | None  # of the seeds' Sharpe ratios
    hold_low: float | None  # bounds of the median seed's ratio less that of buying and holding
    hold_high: float | None
    in_sample: bool


class EvaluationVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The line, a short code of it, and the conditions with what they gave."""

    code: str
    line: str
    conditions: tuple[tuple[str, bool | None], ...]


def judge(found: EvaluationEvidence) -> EvaluationVerdict:
    """Judge *found* by the rule."""
    code, line = _judged(found)
    if found.in_sample:
        line = f"IN SAMPLE, says nothing about other bars: {line}"
    return EvaluationVerdict(code=code, line=line, conditions=_conditions(found))


def _judged(found: EvaluationEvidence) -> tuple[str, str]:
    if found.sharpe is None or found.low is None or found.high is None:
        return "too-little", (
            f"Cannot be judged: {found.days} days with too few independent returns"
            + (", the median seed hardly trades." if found.sharpe is None else ".")
        )
    ratio = f"{found.sharpe:+.2f} a year (95 %: {found.low:+.2f} to {found.high:+.2f})"
    if found.high < 0.0:
        return "loses", f"Loses money, and more than luck explains: the median seed's Sharpe ratio is {ratio}."
    if found.low <= 0.0:
        return "luck", (
            f"Cannot be told from luck: the interval of the median seed's Sharpe ratio contains 0, {ratio}."
        )
    return _above_zero(found, ratio)


def _above_zero(found: EvaluationEvidence, ratio: str) -> tuple[str, str]:
    if found.random_share is not None and found.random_share > 1.0 - ENOUGH:
        return "random", (
            f"No better than chance of the same turnover: {found.random_share:.0%} of the random agents did as well "
            f"as the median seed with {ratio}."
        )
    if found.deflated is not None and not found.deflated >= ENOUGH:
        return "trials", (
            f"May be the luck of {found.trials} trials: the deflated Sharpe ratio is {found.deflated:.0%}, under 95 %."
        )
    if found.lower_quartile is not None and found.lower_quartile <= 0.0:
        return "seeds", (
            f"Depends on the seed: the lower quartile of {found.seeds} seeds has a Sharpe ratio of "
            f"{found.lower_quartile:+.2f}."
        )
    if found.hold_low is None or found.hold_low <= 0.0:
        return "holding", f"Earns, but cannot be told from buying and holding: the median seed's ratio is {ratio}."
    return "earns", f"Earns more than luck explains on these bars: the median seed's Sharpe ratio is {ratio}."


def _conditions(found: EvaluationEvidence) -> tuple[tuple[str, bool | None], ...]:
    return (
        ("the interval of the median seed's Sharpe ratio lies above 0", _above(found.low, 0.0)),
        ("at most 5 % of the random agents did as well",
         None if found.random_share is None else found.random_share <= 1.0 - ENOUGH),
        (f"the deflated Sharpe ratio for {found.trials} trials is at least 95 %",
         None if found.deflated is None else found.deflated >= ENOUGH),
        ("the lower quartile of the seeds is above 0", _above(found.lower_quartile, 0.0)),
        ("it is above buying and holding by more than luck", _above(found.hold_low, 0.0)),
    )


def _above(value: float | None, bound: float) -> bool | None:
    return None if value is None else value > bound
