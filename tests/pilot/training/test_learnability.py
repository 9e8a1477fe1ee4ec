"""The learnability exams: findings that miss a bar say so; the quick exams pass."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.pilot.training.learnability.findings import (
    Findings,
    IntervalScore,
    LadderFindings,
    RevertingFindings,
    RungFindings,
    SeedScore,
    WalkFindings,
)
from quantum_trader.pilot.training.learnability.plan import LearnabilityPlan, quick_plan

needs_jax = pytest.mark.skipif(
    find_spec("jax") is None, reason="training needs JAX: pip install 'quantum-trader[train]'"
)


def percents(*numbers: float) -> tuple[SeedScore, ...]:
    """A score for each seed."""
    return tuple(SeedScore(seed=seed, percent=one, weights_hash="") for seed, one in enumerate(numbers))


def interval(lower: float, upper: float) -> tuple[IntervalScore, ...]:
    """One seed's score."""
    return (IntervalScore(seed=0, lower=lower, percent=(lower + upper) / 2.0, upper=upper, weights_hash=""),)


def findings(**changed: Any) -> Findings:
    """Findings that keep every bar, but for what is *changed*."""
    given = {
        "reverting": percents(96.0, 91.0, 97.0), "one_bar_pct": 25.0, "nothing": interval(-1.0, 1.0),
        "quarter": percents(81.0), "half": percents(95.0), "walk": interval(-1.0, 0.5), "half_profit": 5.0,
    } | changed
    return Findings(
        plan=LearnabilityPlan(seeds=3), device="cpu",
        reverting=RevertingFindings(
            best_profit_bps=2.0, one_bar_pct=given["one_bar_pct"], steps=1, scores=given["reverting"]
        ),
        ladder=LadderFindings(steps=1, nothing=given["nothing"], rungs=(
            RungFindings(correlation=0.25, best_profit_bps=2.0, scores=given["quarter"]),
            RungFindings(correlation=0.5, best_profit_bps=given["half_profit"], scores=given["half"]),
        )),
        walk=WalkFindings(steps=1, scores=given["walk"]),
    )


def test_findings_that_keep_every_bar_pass() -> None:
    """The verdict on the random walk is that there is no edge."""
    assert findings().passed
    assert findings().walk.verdict == "no edge"


@pytest.mark.parametrize(("changed", "missed"), [
    ({"one_bar_pct": 51.0}, "looking one bar ahead reaches at most 50 %"),
    ({"reverting": percents(94.0, 91.0, 97.0)}, "median of the seeds at least 95 %"),
    ({"reverting": percents(96.0, 89.0, 97.0)}, "worst seed at least 90 %"),
    ({"nothing": interval(0.1, 1.0)}, "correlation 0: nothing gained, and at most 2 % lost in costs"),
    ({"nothing": interval(-4.0, -2.1)}, "correlation 0: nothing gained, and at most 2 % lost in costs"),
    ({"quarter": percents(79.0)}, "correlation 0.25: median at least 80 %"),
    ({"half": percents(94.0)}, "correlation 0.5: median at least 95 %"),
    ({"half_profit": 1.0}, "more information, more profit"),
    ({"walk": interval(0.1, 0.5)}, "random walk: nothing gained, and at most 2 % lost in costs"),
])
def test_each_missed_bar_is_named(changed: dict[str, Any], missed: str) -> None:
    """That one and no other, and the whole does not pass."""
    found = findings(**changed)

    assert [check.name for check in found.checks() if not check.passed] == [missed]
    assert not found.passed


def test_a_score_that_is_not_a_number_keeps_no_bar() -> None:
    """Neither the median's nor the worst seed's."""
    found = findings(reverting=percents(96.0, float("nan"), 97.0))

    assert [check.passed for check in found.reverting.checks(found.plan)] == [True, False, False]


def test_an_edge_on_a_random_walk_is_no_success() -> None:
    """The verdict says what it is."""
    assert findings(walk=interval(0.1, 0.5)).walk.verdict == "an edge where there is none"


def test_without_jax_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the package and the extra, and exit code 2."""
    monkeypatch.setattr("quantum_trader.pilot.training.required_packages.find_spec", lambda name: None)

    result = CliRunner().invoke(app, ["pilot", "learnability", "--quick"])

    assert result.exit_code == 2
    assert "jax and optax are not installed" in result.stderr
    assert "pip install 'quantum-trader[train]'" in result.stderr


def test_a_seed_count_that_cannot_be_is_refused() -> None:
    """0 seeds, with the option's name."""
    result = CliRunner().invoke(app, ["pilot", "learnability", "--seeds", "0"])

    assert result.exit_code == 2
    assert "--seeds 0" in result.stderr


@needs_jax
@pytest.mark.long
def test_the_quick_exams_pass() -> None:
    """Exit code 0, every bar kept, and the document is whole."""
    result = CliRunner().invoke(app, ["pilot", "learnability", "--quick", "--json"])

    document = json.loads(result.stdout)
    assert result.exit_code == 0, [check["name"] for check in document["checks"] if not check["passed"]]
    assert document["passed"]
    assert len(document["reverting"]["scores"]) == 5
    assert msgspec.convert(document, Findings).passed


@needs_jax
@pytest.mark.long
def test_training_on_raw_returns_misses_the_bar() -> None:
    """Rewards of about 1 % a bar that are not scaled: the exam of the mean-reverting market is not passed."""
    from quantum_trader.pilot.training.learnability.exams import EXAM_SETTINGS, Examiner

    plan = msgspec.structs.replace(quick_plan(seeds=2), median_pct=95.0, worst_pct=90.0)
    raw = msgspec.structs.replace(EXAM_SETTINGS, reward_scale=1.0)

    found = Examiner(plan, raw).mean_reverting()

    assert [check.passed for check in found.checks(plan)] == [True, False, False]


@needs_jax
@pytest.mark.long
def test_the_full_exams_pass() -> None:
    """Exit code 0, and a line for every bar."""
    result = CliRunner().invoke(app, ["pilot", "learnability"])

    assert result.exit_code == 0, result.stdout
    assert "MISSED" not in result.stdout
