"""The pilot's confidence: the probability that what it wants pays its cost, learned from its decisions' outcomes.

The same forecast as a model's (``models.forecast``): the signed share that the pilot wants is its score, the return of
the next observed bar is the outcome. So the confidence of a pilot and of a signal are on one scale. It is never the
network's probability of an action, which says how sure the network is and not whether the action pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from quantum_trader.domain.errors import require
from quantum_trader.domain.market import MarketBatch
from quantum_trader.models.forecast import (
    CONFIDENCE,
    OUTCOMES,
    Forecaster,
    ForecastSettings,
)
from quantum_trader.models.history import BarHistory
from quantum_trader.pilot.actions import LARGE

OUTCOME_SUMS: Final = OUTCOMES.stop - OUTCOMES.start  # numbers of an artefact's outcomes
WALK_FORWARD_WEIGHT: Final = 0.5  # of outcomes of the walk-forward, beside outcomes of this system's own decisions


class PilotConfidence:
    """Learns bar by bar what the pilot's decisions were worth; ``of`` says how confident one is."""

    def __init__(
        self, symbols: tuple[str, ...], base_ns: int, length_ns: int, horizon_ns: int, outcomes: Sequence[float] = (),
        outcomes_until_ns: int = 0,
    ) -> None:
        """*outcomes*: the sums of a walk-forward, as :meth:`outcomes` gives them; they count half.

        They are of bars until *outcomes_until_ns*, and count where the first bar that is learned from is a later one: a
        replay over the bars that they are of must not know them.
        """
        self._history = BarHistory(symbols, base_ns, length_ns, 1)
        self._forecaster = Forecaster(len(symbols), length_ns, horizon_ns, ForecastSettings())
        if outcomes:
            require(len(outcomes) == OUTCOME_SUMS, "card.outcomes", len(outcomes), f"must be {OUTCOME_SUMS} numbers")
        self._walk_forward, self._until_ns = tuple(outcomes), outcomes_until_ns

    def learn(self, batch: MarketBatch) -> None:
        """Learn from the base bars of a moment what the last decisions were worth, where they complete a bar."""
        if self._walk_forward:
            if batch.ts_ns >= self._until_ns:
                self._forecaster.pool[OUTCOMES] += WALK_FORWARD_WEIGHT * np.array(self._walk_forward)
            self._walk_forward = ()
        for bar in self._history.take(batch.ts_ns, batch.ohlcv, batch.present, np.zeros(len(batch.present))):
            self._forecaster.learn(bar)

    def of(self, shares: Any, present: Any, cost_bps: Any, funding_8h: Any) -> Any:
        """The confidence (S,) of wanting *shares* (S,) of the equity, signed; NaN: no decision. 0 where none is wanted.

        *cost_bps* (S,): a round trip. *funding_8h* (S,): the rates known now.
        """
        self._forecaster.forecast(shares / LARGE, present, cost_bps, funding_8h)
        found = self._forecaster.out[:, CONFIDENCE]
        return np.where((found == found) & (np.abs(shares) > 0.0), found, 0.0)

    @property
    def outcomes(self) -> tuple[float, ...]:
        """The sums that everything learned so far consists of."""
        return tuple(self._forecaster.pool[OUTCOMES].tolist())

    def succeed(self, before: PilotConfidence) -> None:
        """Go on with the market as *before*, of the model in force until now, knows it; what was learned is kept."""
        self._history.load_state(before._history.state())
        self._forecaster.take_market(before._forecaster)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "history": self._history.state(), "forecaster": self._forecaster.state(),
            "walk_forward": list(self._walk_forward),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError for one of other symbols or bars."""
        self._history.load_state(state["history"])
        self._forecaster.load_state(state["forecaster"])
        self._walk_forward = tuple(state["walk_forward"])
