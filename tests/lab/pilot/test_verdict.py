"""The first condition that fails gives the verdict."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from quantum_trader.lab.pilot.verdict import EvaluationEvidence, judge

GOOD: Final = EvaluationEvidence(
    days=365, seeds=32, sharpe=2.5, low=0.5, high=4.5, return_pct=40.0, random_share=0.01, deflated=0.99, trials=32,
    lower_quartile=0.8, hold_low=0.2, hold_high=3.0, in_sample=False,
)


@pytest.mark.parametrize(("changed", "code"), [
    ({}, "earns"),
    ({"low": None, "high": None}, "too-little"),
    ({"sharpe": None, "low": None, "high": None}, "too-little"),
    ({"low": -4.5, "high": -0.5}, "loses"),
    ({"low": -0.1}, "luck"),
    ({"low": 0.0}, "luck"),
    ({"random_share": 0.06}, "random"),
    ({"deflated": 0.94}, "trials"),
    ({"lower_quartile": 0.0}, "seeds"),
    ({"hold_low": -0.1}, "holding"),
    ({"hold_low": None}, "holding"),
    ({"random_share": 0.5, "deflated": 0.1, "lower_quartile": -1.0}, "random"),
])
def test_the_first_condition_that_fails_gives_the_verdict(changed: dict[str, Any], code: str) -> None:
    """Each condition has a line of its own, and the order is fixed."""
    found = judge(msgspec.structs.replace(GOOD, **changed))

    assert found.code == code
    assert len(found.conditions) == 5
    assert all(held for _, held in found.conditions) == (code == "earns")


def test_figures_of_trained_bars_never_read_as_a_result() -> None:
    """The best of results says first that it means nothing for other bars."""
    assert judge(msgspec.structs.replace(GOOD, in_sample=True)).line.startswith("IN SAMPLE, says nothing")
