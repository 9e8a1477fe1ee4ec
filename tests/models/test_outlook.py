"""What would let a model trade is what does once it is there."""

from __future__ import annotations

import pytest
from tests.models.test_forecast import COUNT, forecaster, run, walk

from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.outlook import outlook


def test_the_prior_that_is_named_reaches_the_threshold() -> None:
    """At that prior's mean the confidence is the threshold."""
    closes, scores = walk(100, 0.0)
    made = forecaster()
    run(made, closes, scores)
    found = outlook(made, 0.6)
    assert found is not None
    assert found.confidence < 0.6
    assert found.prior_needed is not None
    made.settings = ForecastSettings(prior_mean=found.prior_needed, prior_sd=0.5)
    again = outlook(made, 0.6)
    assert again is not None
    assert again.confidence == pytest.approx(0.6, abs=1e-6)
    assert again.outcomes == 89 * COUNT


def test_the_outcomes_that_are_named_reach_the_threshold() -> None:
    """With a real edge more data is enough; where the score has lost, no number of outcomes like those is."""
    closes, scores = walk(150, 0.2)
    made = forecaster()
    run(made, closes, scores)
    found = outlook(made, 0.95)
    assert found is not None
    assert found.outcomes_needed is not None
    assert found.outcomes_needed > found.outcomes
    losing = forecaster()
    run(losing, closes, -scores)
    lost = outlook(losing, 0.95)
    assert lost is not None
    assert lost.outcomes_needed is None


def test_before_the_first_forecast_there_is_no_outlook() -> None:
    """A model that has given no score has none."""
    assert outlook(forecaster(), 0.5) is None
