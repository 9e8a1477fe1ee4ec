"""Another model in the place of one that gives signals, while the run goes on.

A score means nothing before its size and its worth are known, so a new model is first asked about the bars that the run
keeps. That takes seconds; the run goes on meanwhile. The new model then takes over between two of its bars: what the
models want of each symbol stays what it was until the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.models.forecasts import Forecasts, LoadedModel, panel_rows

KEPT_BARS: Final = 800  # of a run whose models may be replaced
MOST_WARMUP: Final = 400  # bars that a model which takes over may need; the others say what its scores are worth


def why_not(before: Forecasts, place: int, model: LoadedModel) -> str:
    """Why *model* may not take the *place* of one of *before*'s models, in a sentence; empty where it may."""
    old, name = before.models[place], model.name
    if before.history.capacity < KEPT_BARS:
        return "this run keeps too few bars to judge another model; begin one that follows an alias"
    if model.length_ns != old.length_ns:
        return f"{name} is for bars of {model.model.bars}, and this run's models for bars of {old.model.bars}"
    if model.exit != old.exit:
        return f"{name} leaves its positions by {model.exit}, and this run's models by {old.exit}"
    if model.horizon_ns != old.horizon_ns:
        return (
            f"{name} is meant for {model.horizon_ns / NS_PER_HOUR:g} hours, and the model in force for "
            f"{old.horizon_ns / NS_PER_HOUR:g}"
        )
    if panel_rows(model.model) > MOST_WARMUP:
        return f"{name} needs {panel_rows(model.model)} bars, and at most {MOST_WARMUP} of those kept are given"
    if (model.forecast, model.symbols, model.weight) != (old.forecast, old.symbols, old.weight):
        return f"{name} has another prior, other symbols or another weight than the model in force"
    return ""


def successor(
    symbols: tuple[str, ...], base_ns: int, models: Sequence[LoadedModel], history: Mapping[str, Any]
) -> Forecasts:
    """Forecasts of *models* that have learned from the bars of *history* (``BarHistory.state``), ready to take over.

    The models in it are new ones of their kinds: those of the run are not asked, so this may go on in another thread.
    Raises ModelError where one raises, ConfigError where they cannot be combined.
    """
    fresh = [msgspec.structs.replace(one, model=type(one.model)(one.model.params)) for one in models]
    made = Forecasts(symbols, base_ns, fresh, kept_bars=int(history["rows"].shape[1]))
    made.learn_kept(history)
    return made
