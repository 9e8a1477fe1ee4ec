"""What the models say at each decision of theirs is on record, with what became of it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from tests.engine.test_position_sizes import HOURS, START, SYMBOL, World

from quantum_trader.engine.model_records import TargetState
from quantum_trader.models.gates import GateSettings, ModeLimits


def states(world: World) -> list[str]:
    """The state of the one symbol at each decision."""
    return [one["states"][0] for one in world.records("models.decided")]


def test_each_decision_of_the_models_has_one_record() -> None:
    """Hourly models: one an hour, with score, forecast and the id of the signal that came of it."""
    world = World(lambda hour: 1.0).until(START + 10)
    told = world.records("models.decided")
    assert len(told) == START + 11
    assert {tuple(one["symbols"]) for one in told} == {(SYMBOL,)}
    signals = [one["signals"][0] for one in told if one["signals"][0]]
    assert signals == [one["signal_id"] for one in world.records("signal.decided")]
    with_view = [one for one in told if one["scores"][0] is not None]
    assert len(with_view) == 11
    assert all(one["confidences"][0] > 0.0 and one["error_bps"][0] > 0.0 for one in with_view)


def test_warm_up_no_view_signal_and_held_follow_one_another() -> None:
    """A model of two bars: what it lacks, then no view until the script begins, then a signal that is held."""
    world = World(lambda hour: 1.0).until(START + 10)
    told = states(world)
    assert told[0] == TargetState.WARM_UP.value
    lacks = world.records("models.decided")[0]["lacks"]
    assert [(one["bars"], one["needed"], one["interval"]) for one in lacks] == [(1, 2, "1h")]
    assert set(told[1:START]) == {TargetState.NO_VIEW.value}
    first = told.index(TargetState.SIGNAL.value)
    assert TargetState.HELD.value in told[first:]


def test_a_small_score_a_stop_and_a_standing_refusal_are_told_apart() -> None:
    """From flat a score below one half is SMALL; a target that is refused again names the reason."""
    small = World(lambda hour: 1.0 if hour < START + 3 else 1e-3 if hour > START + 40 else -1.0).until(HOURS - 2)
    assert TargetState.SMALL.value in states(small) or TargetState.HELD.value in states(small)
    closed = ModeLimits(
        max_spread_bps=0.0, min_volume_ratio=0.0, regimes=("TRENDING", "RANGING", "UNKNOWN"), margin_bps=-1_000.0,
        min_confidence=0.0, min_win_probability=0.001,
    )
    refused = World(lambda hour: 1.0, gates=GateSettings(trend=closed, enforced=("spread",))).until(START + 10)
    told = refused.records("models.decided")
    again = [one for one in told if one["states"][0] == TargetState.REFUSED.value]
    assert len(refused.records("signal.decided")) == 1
    assert len(again) >= 5
    assert {one["reasons"][0] for one in again} == {"GATE_SPREAD"}


def test_a_figure_that_is_not_known_is_null_on_record() -> None:
    """JSON has no NaN: the record of a model without a view decodes."""
    world = World(lambda hour: math.nan).until(START + 3)
    last: dict[str, Any] = world.records("models.decided")[-1]
    assert last["scores"] == [None]
    assert last["states"] == [TargetState.NO_VIEW.value]
    assert msgspec.json.encode(last)
