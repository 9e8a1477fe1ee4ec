"""Where a session finds the models that take over while it runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from quantum_trader.domain.errors import StateError
from quantum_trader.engine.facts import ModelInForce
from quantum_trader.engine.ports import PilotSource
from quantum_trader.models.forecasts import Forecasts


class ModelShelf(Protocol):
    """Models by their ids, ready to be used: nothing is read, verified or compiled when one is asked for live."""

    def require(self, model_ids: Collection[str]) -> None:
        """Make the models ready that an earlier process has taken; StateError that names one which is missing."""
        ...

    def pilot_of(self, model_id: str) -> PilotSource:
        """The trained pilot *model_id* over the symbols of the run, which has seen no bar; StateError without it."""
        ...


    def signals_of(self, change: ModelInForce, before: Forecasts) -> Forecasts:
        """Forecasts with the model that takes over, which have learned from the bars that *before* keeps.

        StateError without it.
        """
        ...


class EmptyShelf:
    """The shelf of a session whose models are never replaced."""

    def require(self, model_ids: Collection[str]) -> None:
        """Raise StateError where a model is asked for."""
        for model_id in model_ids:
            self.pilot_of(model_id)

    def pilot_of(self, model_id: str) -> PilotSource:
        """Raise StateError."""
        raise StateError(f"model {model_id}: this session replaces no model")

    def signals_of(self, change: ModelInForce, before: Forecasts) -> Forecasts:
        """Raise StateError."""
        raise StateError(f"model {change.ids[change.place]}: this session replaces no model")
