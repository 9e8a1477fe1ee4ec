"""What the card of a trained pilot takes from an evaluation on bars that it was not trained on."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.lab.pilot.evaluation_result import PilotEvaluation
from quantum_trader.pilot.artefact import Card

_LEAST_HOURS, _MOST_HOURS = 0.01, 8760.0  # that a card may state
_OF_SEEDS: Final = ("sharpe", "return_pct", "max_drawdown_pct", "turnover_a_year")


def evaluation_metrics(found: PilotEvaluation, place: int) -> dict[str, float | None]:
    """The figures of seed *place*, and the median and quartiles over all seeds; None: not known."""
    own = found.seeds[place].figures
    metrics: dict[str, float | None] = {
        "test_days": float(len(found.fan.day_s)), "return_pct": own.return_pct, "sharpe": own.sharpe,
        "sharpe_low": own.sharpe_low, "sharpe_high": own.sharpe_high, "max_drawdown_pct": own.max_drawdown_pct,
        "turnover_a_year": own.turnover_a_year, "trades": float(own.trades), "fees_pct_a_year": own.fees_pct_a_year,
        "slippage_pct_a_year": own.slippage_pct_a_year, "funding_pct_a_year": own.funding_pct_a_year,
        "trials": float(found.trials.trials), "deflated_sharpe": found.trials.deflated_best,
        "seeds": float(len(found.seeds)),
    }
    for key in _OF_SEEDS:
        spread = found.spreads[key]
        metrics[f"seeds_lower_quartile_{key}"] = spread.lower_quartile
        metrics[f"seeds_median_{key}"] = spread.median
        metrics[f"seeds_upper_quartile_{key}"] = spread.upper_quartile
    return metrics


def evaluated_card(card: Card, found: PilotEvaluation, place: int, outcomes: tuple[float, ...]) -> Card:
    """*card* with the figures of seed *place*, what its decisions were worth, and for how long it holds.

    *outcomes*: of ``replaying.pilot_outcomes`` on the tested bars. The card has another identity then. Raises
    InputError for an evaluation on bars that were trained on.
    """
    if found.in_sample:
        raise InputError("in_sample = True: figures of bars that were trained on do not belong in a card")
    hours = found.holding_hours[place]
    return msgspec.structs.replace(
        card, metrics={**card.metrics, **evaluation_metrics(found, place)}, outcomes=outcomes,
        outcomes_until_ns=max(fold.ranges.test.until_ns for fold in found.folds),
        horizon_hours=card.horizon_hours if hours is None else min(max(hours, _LEAST_HOURS), _MOST_HOURS),
    )
