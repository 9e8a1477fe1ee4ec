"""A trained pilot over the symbols of a run: bars and account in, one prediction for each ready symbol out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import StateError, require
from quantum_trader.market.arrays import Bools, Floats
from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.artefact import Artefact
from quantum_trader.pilot.feature_columns import ATR_RATIO
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.observer import Observer


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What a pilot would do with one symbol at the close of an observed bar."""

    symbol: str
    closed_ns: int  # when the observed bar closed
    action: PilotAction
    probability: float  # that the network gives the action: how sure it is of it, not whether it pays
    probabilities: tuple[float, ...]  # (6,) of every action, in the order of ``ACTIONS``


class Predictions(NamedTuple):
    """The predictions of one moment as arrays, for R ready symbols; none where R is 0."""

    closed_ns: int  # when the observed bar closed
    places: npt.NDArray[np.int64]  # (R,) of the symbols, in the predictor's order
    actions: npt.NDArray[np.int64]  # (R,) places in ``ACTIONS``: the most probable one, the first of equal ones
    probabilities: npt.NDArray[np.float64]  # (R, 6)


def check_predictions(found: Predictions, count: int, closed_ns: int) -> None:
    """Raise InputError where *found* is no answer of a pilot of *count* symbols at *closed_ns*."""
    places, actions, shares = found.places.tolist(), found.actions.tolist(), found.probabilities
    require(found.closed_ns == closed_ns, "closed_ns", found.closed_ns, f"must be {closed_ns}")
    rising = all(one < other for one, other in pairwise(places))
    within = not places or (places[0] >= 0 and places[-1] < count)
    require(rising and within, "places", places, f"must rise below {count}")
    known = len(actions) == len(places) and all(0 <= action < len(ACTIONS) for action in actions)
    require(known, "actions", actions, f"must be places in the table of {len(ACTIONS)}, one for each of {places}")
    fits = shares.shape == (len(places), len(ACTIONS))
    require(fits, "probabilities", shares.shape, f"must be of the shape {(len(places), len(ACTIONS))}")
    whole = not places or bool(shares.min() >= 0.0 and shares.max() <= 1.0)
    require(whole, "probabilities", shares, "must be numbers from 0 to 1")


class Predictor:
    """Observes the bars and asks the network. The same bars give the same predictions: nothing is drawn by chance.

    Raises ConfigError where the model was made for other bars than those of the run can be built into.
    """

    def __init__(self, artefact: Artefact, symbols: Sequence[str], base_ns: int) -> None:
        """*base_ns*: length of the run's bars."""
        card = artefact.card
        self.identity, self.name = card.identity, card.name
        self.length_ns = card.observation.length_ns  # of the observed bars
        self.stop_atr = card.stop_atr
        self.horizon_ns = int(card.horizon_hours * NS_PER_HOUR)
        self.outcomes, self.outcomes_until_ns = card.outcomes, card.outcomes_until_ns
        self.trained_until_ns = card.data.last_ns
        self.observer = Observer(symbols, base_ns, card.observation, card.scalers)
        self._base_ns = base_ns
        self._network = Network(artefact.weights)
        nobody = np.zeros(0, dtype=np.int64)
        self._none = Predictions(0, nobody, nobody, np.zeros((0, len(ACTIONS))))

    @property
    def range_ratios(self) -> Floats:
        """ATR over close (S,) of the bars that were observed last; NaN where it is not known."""
        return self.observer.raw[:, ATR_RATIO]

    def observe(self, ts_ns: int, ohlcv: Floats, present: Bools, feed: Floats) -> None:
        """Take the bars of one moment as :meth:`take` does, without a prediction and without an account."""
        self.observer.take(ts_ns, ohlcv, present, feed)

    def take(
        self, ts_ns: int, ohlcv: Floats, present: Bools, feed: Floats, own: Floats | None = None
    ) -> Predictions:
        """Take the bars of one moment, as ``Observer.take`` does; none between observed bars and before warm-up.

        Symbols whose observation is not ready are left out: no bar, still warming up, or an account that says what is
        no number.
        """
        observer, closed_ns = self.observer, ts_ns + self._base_ns
        if not observer.take(ts_ns, ohlcv, present, feed, own):
            return self._none._replace(closed_ns=closed_ns)
        places = observer.ready.nonzero()[0]
        values = observer.values if len(places) == len(observer.ready) else observer.values[places]
        shares = self._network.of_observer(values)
        return Predictions(closed_ns, places, shares.argmax(axis=1), shares)

    def succeed(self, before: Predictor) -> None:
        """Go on with the bars that *before* has seen. Raises StateError where it observes other bars or symbols."""
        self.observer.load_state(before.observer.state())

    def named(self, found: Predictions) -> list[Prediction]:
        """*found* with names in place of numbers, one value a symbol."""
        return [
            Prediction(
                symbol=self.observer.symbols[place], closed_ns=found.closed_ns, action=ACTIONS[best].action,
                probability=shares[best], probabilities=tuple(shares),
            )
            for place, best, shares in zip(
                found.places.tolist(), found.actions.tolist(), found.probabilities.tolist(), strict=True
            )
        ]

    def state(self) -> dict[str, Any]:
        """Everything needed to continue: the model's identity and what the observer remembers."""
        return {"identity": self.identity, "observer": self.observer.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`. Raises StateError where another model, or other bars, were in use."""
        if state["identity"] != self.identity:
            raise StateError(
                f"pilot: the saved state was made with model {state['identity'][:12]}, not with {self.identity[:12]}; "
                "give that model, or start a new --state folder"
            )
        self.observer.load_state(state["observer"])
