"""The models of a start, as its plan shows them: what they are, whether they have passed the check, what they lack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quantum_trader.app.runs.model_check import check_before_live, needs_check, passed_check
from quantum_trader.app.runs.model_facts import leaving
from quantum_trader.app.runs.model_state import ModelsState, saved_models
from quantum_trader.app.runs.state_dir import unsealed
from quantum_trader.domain.errors import QuantumTraderError, StateError
from quantum_trader.domain.private_files import read_private
from quantum_trader.engine.market import check_saved_models
from quantum_trader.models.forecasts import LoadedModel
from quantum_trader.models.loading import INTRADAY, ModelSettings, make_forecasts

_ABOUT_INTRADAY = "six intraday models and their ensemble, compiled"


class PlannedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model that a start trades."""

    name: str
    source: str  # FILE.py:Class, a file of scores, or a built-in name
    bars: str = ""  # empty for the intraday ensemble, which has no class behind the port
    warmup: int = 0
    horizon: str = ""
    exit: str = ""
    prior: tuple[float, float] | None = None
    symbols: tuple[str, ...] = ()  # those it is for; empty: all
    check: str = "not needed"  # "passed ...", "not passed yet; ...", "not passed", or not needed for what is built in


class ModelsPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The models of a start, and why it would be refused for them."""

    models: tuple[PlannedModel, ...] = ()
    state: ModelsState | None = None  # of the state folder as it was last saved; None: a new one, or not known
    refusals: tuple[str, ...] = ()
    by_score: bool = False  # whether a score holds positions and sizes them


def plan_models(
    settings: Sequence[ModelSettings], symbols: tuple[str, ...], base_ns: int, state: Path, *,
    say: Callable[[str], None] | None = None,
) -> ModelsPlan:
    """The models that a start with *settings* trades on *symbols* and bars of *base_ns* in the folder *state*.

    With *say* it checks those that have not passed yet, as the start does; without, the start still has to.
    """
    refusals: list[str] = []
    if say is not None:
        try:
            check_before_live(settings, say)
        except QuantumTraderError as error:
            refusals.append(str(error))
    try:
        forecasts = make_forecasts(settings, symbols, base_ns)
    except QuantumTraderError as error:
        found = [*refusals, *([] if str(error) in refusals else [str(error)])]
        return ModelsPlan(
            models=tuple(PlannedModel(name=one.shown, source=one.model, check="not known") for one in settings
                         if one.enabled), refusals=tuple(found),
        )
    saved = _saved(state)
    if saved is not None and "market" in saved.get("engine", {}):
        try:
            check_saved_models(forecasts, saved["engine"]["market"])
        except StateError as error:
            refusals.append(str(error))
    if forecasts is None:
        rows: tuple[PlannedModel, ...] = (PlannedModel(name=INTRADAY, source=_ABOUT_INTRADAY),)
    else:
        rows = tuple(_row(loaded, checked=say is not None) for loaded in forecasts.models)
    return ModelsPlan(models=rows, state=saved_models(saved), refusals=tuple(refusals),
                      by_score=forecasts is not None and forecasts.exit.by_score)


def _row(loaded: LoadedModel, *, checked: bool) -> PlannedModel:
    check, passed = "not needed", passed_check(loaded.code)
    if passed is not None:
        check = f"passed {passed.at} UTC"
    elif needs_check(loaded):
        check = "not passed" if checked else "not passed yet; checked before it trades"
    return PlannedModel(
        name=loaded.name, source=loaded.source, bars=loaded.model.bars, warmup=loaded.model.warmup,
        horizon=loaded.model.horizon, exit=leaving(loaded), symbols=loaded.symbols, check=check,
        prior=(loaded.forecast.prior_mean, loaded.forecast.prior_sd),
    )


def _saved(state: Path) -> dict[str, Any] | None:
    """The folder's checkpoint; None where there is none that can be read. The start says what is wrong with it."""
    try:
        return unsealed(read_private(state / "checkpoint"))
    except OSError:
        return None


def planned_line(row: PlannedModel) -> str:
    """One model as a line of text."""
    if row.prior is None:
        return f"model        {row.name} ({row.source})"
    whose = f", for {', '.join(row.symbols)}" if row.symbols else ""
    return (
        f"model        {row.name} ({row.source}): bars {row.bars}, warm-up {row.warmup}, horizon {row.horizon}, "
        f"exit by {row.exit}, prior {row.prior[0]:g} ± {row.prior[1]:g}{whose}; check: {row.check}"
    )
