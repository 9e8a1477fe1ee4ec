"""The pilot under its published names, for use in another program: thin faces over observer, artefact and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from quantum_trader.domain.errors import InputError, require
from quantum_trader.market.intervals import interval_ns
from quantum_trader.pilot.actions import ACTIONS, PilotAction
from quantum_trader.pilot.artefact import Artefact, load_artefact
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.feed_columns import FEED_SIZE
from quantum_trader.pilot.kernel import write_own
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.observer import Observer
from quantum_trader.pilot.own_state import AccountInForce, OwnPosition, own_row
from quantum_trader.pilot.scaling import Scaling, Singles, default_scalers
from quantum_trader.pilot.settings import ObservationSettings


class PilotChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The action that a pilot chooses."""

    action: PilotAction
    action_index: int  # its place in the table of actions
    probability: float  # that the network gives it: how sure it is of the action, not whether that pays
    probabilities: tuple[float, ...]  # (6,) of every action


def _artefact(model: Artefact | Path | str) -> Artefact:
    """*model*, read where it is the folder of a trained pilot."""
    return model if isinstance(model, Artefact) else load_artefact(Path(model))


class RLv3LiveFeatureAdapter:
    """Builds the observations of *symbols* from their bars, as *model* sees them.

    Without a model the default scaling is used. *interval*: of the bars that are given. ConfigError where the observed
    bars cannot be built of these.
    """

    def __init__(
        self, symbols: Sequence[str], *, interval: str = "30m", model: Artefact | Path | str | None = None
    ) -> None:
        card = _artefact(model).card if model is not None else None
        settings = card.observation if card is not None else ObservationSettings()
        scalers = card.scalers if card is not None else default_scalers(settings)
        self._observer = Observer(symbols, interval_ns(interval), settings, scalers)
        self._scale = Scaling(scalers)
        self._places = {symbol: place for place, symbol in enumerate(symbols)}

    def on_bars(
        self, ts_ns: int, bars: Mapping[str, Sequence[float]], feed: Mapping[str, Sequence[float]] | None = None
    ) -> bool:
        """Take the completed bars of one moment: (open, high, low, close, volume) by symbol, opened at *ts_ns*.

        *feed*: what is known beside the bars by symbol, columns in ``feed_columns``. Returns whether observations were
        made. InputError for an unknown symbol, DataError where time does not move forward.
        """
        count = len(self._places)
        ohlcv, present = np.full((count, 5), np.nan), np.zeros(count, dtype=np.bool_)
        known = np.full((count, FEED_SIZE), np.nan)
        for symbol, bar in bars.items():
            place = self._place(symbol)
            ohlcv[place], present[place] = bar, True
        for symbol, row in (feed or {}).items():
            known[self._place(symbol)] = row
        return self._observer.take(ts_ns, ohlcv, present, known)

    def build_observation(
        self, symbol: str, position: OwnPosition | None = None, account: AccountInForce | None = None
    ) -> Singles | None:
        """The scaled observation (64,) of *symbol* after the last bars; None while it is not ready.

        Without an *account* its features are masked, which makes them 0.
        """
        place = self._place(symbol)
        if not self._observer.ready[place]:
            return None
        raw = self._observer.raw[place : place + 1].copy()
        if account is not None:
            write_own(np.array(own_row(position or OwnPosition(), account)), raw[0])
        scaled: Singles = self._scale.of(raw)[0][0]
        return scaled

    def _place(self, symbol: str) -> int:
        if symbol not in self._places:
            raise InputError(f"symbol = {symbol!r}: is not observed here; symbols: {', '.join(self._places)}")
        return self._places[symbol]


class RLv3Manager:
    """A trained pilot: an observation in, the most probable action out. Nothing is drawn by chance."""

    def __init__(self, model: Artefact | Path | str) -> None:
        """*model*: an artefact, or the folder of one. DataError and ConfigError as ``load_artefact`` raises them."""
        artefact = _artefact(model)
        self.card = artefact.card
        self._network = Network(artefact.weights)

    def predict(self, observation: Any) -> PilotChoice:
        """The action for a scaled observation (64,). InputError for another shape, or numbers that are not finite."""
        row = np.asarray(observation, dtype=np.float32)
        require(row.shape == (FEATURE_COUNT,), "observation", row.shape, f"must be ({FEATURE_COUNT},)")
        shares = self._network.probabilities(row[None])[0]
        best = int(shares.argmax())
        return PilotChoice(
            action=ACTIONS[best].action, action_index=best, probability=float(shares[best]),
            probabilities=tuple(shares.tolist()),
        )
