"""The evaluation tells an agent that knows from one that is lucky, and page and document say the same."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.lab.pilot.replay_world import (
    SCALERS,
    clock_market,
    clock_network,
    fold_of,
    random_network,
    random_walk,
    stubborn_network,
)

from quantum_trader.app.report.pilot_evaluation import account_rows, evaluation_document, row_cells
from quantum_trader.app.report.pilot_page import pilot_page
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.lab.pilot.evaluated_cards import evaluated_card
from quantum_trader.lab.pilot.evaluation import EvaluationSettings, evaluate_pilots
from quantum_trader.lab.pilot.evaluation_result import PilotEvaluation
from quantum_trader.lab.pilot.replaying import Replayer, ReplaySettings, pilot_outcomes
from quantum_trader.pilot.actions import PilotAction
from quantum_trader.pilot.artefact import Card, DataSnapshot
from quantum_trader.pilot.settings import ObservationSettings

QUICK = EvaluationSettings(draws=40, shuffles=1)


@pytest.fixture(scope="module")
def winner() -> PilotEvaluation:
    """Three agents that know the future of a made-up market."""
    networks = [clock_network(strength) for strength in (8.0, 10.0, 12.0)]
    return evaluate_pilots([fold_of(clock_market(), networks)], QUICK, facts={"symbols": ["BTCUSDT", "ETHUSDT"]})


def test_an_agent_that_knows_the_future_wins_and_the_verdict_says_so(winner: PilotEvaluation) -> None:
    """All conditions hold, each of them by figures."""
    assert winner.verdict.code == "earns"
    assert winner.verdict.line.startswith("Earns more than luck explains")
    assert all(held for _, held in winner.verdict.conditions)
    assert winner.random is not None
    assert winner.random.share_as_good == 0.0
    assert winner.random.turnover_ratio == pytest.approx(1.0, abs=0.1)
    assert winner.groups[0].name == "clock"


def test_luck_on_a_random_walk_is_called_luck() -> None:
    """An agent that holds through a random walk is judged by the interval that contains 0."""
    found = evaluate_pilots(
        [fold_of(random_walk(), [stubborn_network(PilotAction.LONG_SMALL)])], QUICK, facts={},
    )

    low, high = found.seeds[0].figures.sharpe_low, found.seeds[0].figures.sharpe_high
    assert low is not None
    assert high is not None
    assert low < 0.0 < high
    assert found.verdict.code == "luck"
    assert found.verdict.line.startswith("Cannot be told from luck")


def test_trading_noise_is_a_loss_by_its_costs() -> None:
    """Wild decisions on a random walk lose more than luck explains: the costs are there."""
    found = evaluate_pilots([fold_of(random_walk(), [random_network(2)])], QUICK, facts={})

    assert found.verdict.code == "loses"
    assert found.seeds[0].figures.fees_pct_a_year > 20.0


def test_an_agent_that_never_trades_cannot_be_judged() -> None:
    """No return, no ratio."""
    found = evaluate_pilots([fold_of(random_walk(30), [stubborn_network(PilotAction.FLAT)])], QUICK, facts={})

    assert found.verdict.code == "too-little"
    assert found.random is None


def test_more_trials_deflate_more() -> None:
    """The deflated ratio falls with each power of ten of settings that were tried before."""
    fold = fold_of(random_walk(60), [random_network(seed) for seed in range(3)])
    found = [
        evaluate_pilots([fold], EvaluationSettings(draws=0, shuffles=0, tried_before=tried), facts={}).trials
        for tried in (0, 10, 100, 1000)
    ]
    deflated = [one.deflated_best for one in found]

    assert [one.trials for one in found] == [3, 13, 103, 1003]
    assert all(after < before for before, after in pairwise(deflated))  # type: ignore[operator]


def test_the_median_seed_speaks_and_never_the_best() -> None:
    """One seed that knows among two that lose: the verdict is of a loser."""
    networks = [random_network(1), clock_network(), random_network(3)]
    found = evaluate_pilots([fold_of(clock_market(60), networks)], EvaluationSettings(draws=0, shuffles=0), facts={})

    ratios = [row.figures.sharpe or 0.0 for row in found.seeds]
    assert found.median_label != "seed 1"
    assert found.spreads["sharpe"].most == pytest.approx(max(ratios))
    assert found.spreads["sharpe"].median == pytest.approx(float(np.median(ratios)))
    assert found.verdict.code != "earns"


def test_in_sample_is_said_first() -> None:
    """Figures of bars that were trained on begin with that."""
    found = evaluate_pilots(
        [fold_of(random_walk(30), [clock_network()])], EvaluationSettings(draws=0, shuffles=0), in_sample=True, facts={}
    )
    content = evaluation_document(found)

    assert found.verdict.line.startswith("IN SAMPLE")
    assert "were trained on" in pilot_page(content)


def test_page_and_document_hold_the_same_numbers(winner: PilotEvaluation) -> None:
    """Every cell of the tables is made of the JSON document, which is what the evaluation found."""
    content = evaluation_document(winner)
    assert msgspec.convert(json.loads(json.dumps(content)), PilotEvaluation, strict=False) == winner
    page = pilot_page(json.loads(json.dumps(content)))

    text = re.sub(r"<[^>]+>", " ", page).replace("&#x27;", "'")
    assert winner.verdict.line in text
    for row in account_rows(content):
        for cell in row:
            assert cell.replace("'", "&#x27;") in page
    for row in content["seeds"][:1]:
        assert row_cells(row)[1] in page
    curves = json.loads(page.split('id="curves">')[1].split("</script>")[0])
    assert curves["pilot"][-1] == pytest.approx((winner.fan.median[-1] - 1.0) * 100.0, abs=1e-3)


def test_page_needs_nothing_else(winner: PilotEvaluation) -> None:
    """No address, no script or picture from elsewhere; a chart for wide screens and one for narrow ones."""
    page = pilot_page(evaluation_document(winner))

    assert not re.search(r"(src|href)=", page)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count('class="chart wide"') == page.count('class="chart narrow"') >= 5


def test_disagreements_share_all_moments(winner: PilotEvaluation) -> None:
    """The kinds of moments add up to 1, and the pilot's results to its result."""
    (one,) = winner.disagreements
    made = sum((row.pilot_pct for row in one.rows), 0.0)
    median = next(row for row in winner.seeds if row.key == winner.median_label)

    assert sum((row.share for row in one.rows), 0.0) == pytest.approx(1.0)
    assert made == pytest.approx(median.figures.return_pct, rel=0.02)


def card() -> Card:
    """A card without figures."""
    return Card(
        name="made up", created_ns=1, observation=ObservationSettings(), scalers=SCALERS, training={"seed": 0},
        data=DataSnapshot(source="none", symbols=("BTCUSDT",), interval="30m", first_ns=0, last_ns=1),
        metrics={"mean_reward": 0.1}, weights_hash="",
    )


def test_a_card_takes_the_quartiles_and_the_outcomes(winner: PilotEvaluation) -> None:
    """Promotion looks at the lower quartile; confidence starts from the outcomes; training's figures stay."""
    replay = clock_market()
    played = Replayer(replay, ReplaySettings(), SCALERS).pilot(clock_network(8.0))
    outcomes = pilot_outcomes(replay, played, 6 * 3_600 * 10**9)
    made = evaluated_card(card(), winner, 0, outcomes)

    assert made.metrics["mean_reward"] == 0.1
    assert made.metrics["seeds_lower_quartile_sharpe"] == winner.spreads["sharpe"].lower_quartile
    assert made.metrics["sharpe"] == winner.seeds[0].figures.sharpe
    assert made.outcomes == outcomes
    assert made.horizon_hours == pytest.approx(played.holding_hours)
    assert made.identity != card().identity


def test_figures_of_trained_bars_stay_out_of_cards(winner: PilotEvaluation) -> None:
    """An evaluation in sample writes no card."""
    with pytest.raises(InputError, match="trained on"):
        evaluated_card(card(), msgspec.structs.replace(winner, in_sample=True), 0, ())


@pytest.mark.parametrize("given", [{"draws": -1}, {"shuffles": 5000}, {"jobs": 0}, {"tried_before": 1.5}])
def test_settings_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    """The error names key and value."""
    with pytest.raises(ConfigError, match=next(iter(given))):
        EvaluationSettings(**given)
