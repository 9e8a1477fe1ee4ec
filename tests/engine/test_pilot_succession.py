"""Another trained pilot takes over while the engine runs: at the next bar, without an order, or it is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.engine.pilot_world import (
    BASE_NS,
    FLAT,
    HOLD,
    LENGTH_NS,
    LONG_LARGE,
    LONG_SMALL,
    ONE,
    SHORT_SMALL,
    TWO,
    LiveForm,
    PilotWorld,
    ScriptedPilot,
    bars,
)
from tests.pilot.test_artefact import artefact

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.pilot_settings import LIMITS
from quantum_trader.engine.core import Engine
from quantum_trader.engine.facts import ModelInForce, PilotChanged
from quantum_trader.engine.pilot_tenure import KEPT
from quantum_trader.pilot.predictor import Predictor

SHADOW, PRIMARY, HYBRID = PilotMode.SHADOW, PilotMode.PRIMARY, PilotMode.HYBRID
TAKES = 20  # decision after which the other model takes over


def scripted(name: str, action: Any, count: int = 2) -> ScriptedPilot:
    """A pilot called *name* that always wants *action* of the first symbol."""
    made = ScriptedPilot(lambda number, place: action if place == 0 else HOLD, count)
    made.identity, made.name = (name * 64)[:64], name
    return made


def change_to(source: Any, before: str = "") -> ModelInForce:
    """What is recorded with it."""
    return ModelInForce(
        role="pilot", names=[source.name], ids=[source.identity], before=[before], alias="registry:champion",
        version=7, actor="ann", reason="better",
    )


def take(world: PilotWorld, source: Any) -> str:
    """Let *source* take over now."""
    return world.engine.models.take_pilot(
        source, change_to(source, world.engine.piloting.identity), world.engine.now_ns
    )


def world_with(mode: PilotMode, action: Any = LONG_SMALL, **changes: Any) -> PilotWorld:
    """A world whose pilot "a" wants *action* of the first symbol."""
    return PilotWorld(pilot=scripted("a", action), mode=mode, **changes)


def both_promoted(first: Any = LONG_SMALL, second: Any = SHORT_SMALL, **changes: Any) -> tuple[PilotWorld, Any, Any]:
    """A world in PRIMARY whose pilot "b" has taken over from "a", with both promoted in this run."""
    world = world_with(PRIMARY, first, **changes).until(3)
    a, b = world.pilot, scripted("b", second)
    world.change(mode=SHADOW)
    world.until(6)
    assert take(world, b) == ""
    world.change(mode=PRIMARY)
    return world, a, b


def test_the_next_decision_is_the_new_models() -> None:
    """Every decision is one model's, none is left out, and the record between says who, why and from which version."""
    world = world_with(SHADOW).until(TAKES)
    b = scripted("b", SHORT_SMALL)
    assert take(world, b) == ""
    world.all()
    decided = world.records("pilot.decided")
    models = [one["model"][0] for one in decided]
    assert models == sorted(models)
    assert set(models) == {"a", "b"}
    assert b.asked == list(range(TAKES + 1, b.asked[-1] + 1))
    times = [one["closed_ns"] for one in decided]
    assert np.diff(times).tolist() == [LENGTH_NS] * (len(times) - 1)
    (told,) = [one for one in world.records("model.in_force") if one["before"]]
    assert (told["alias"], told["actor"], told["reason"], told["version"]) == ("registry:champion", "ann", "better", 7)
    assert (told["before"], told["ids"]) == (["a" * 64], ["b" * 64])


def test_a_switch_itself_sends_nothing_and_a_position_keeps_the_model_that_opened_it() -> None:
    """In PRIMARY with open positions: no command, no record of trading, the stop stays; the trade names its opener."""
    world, a, b = both_promoted(LONG_SMALL, HOLD)
    world.until(8)
    assert take(world, a) == ""
    world.until(11)
    before = dict(world.positions)
    held = msgspec.to_builtins(before[ONE])
    orders, topics = world.engine.gateway.state(), [one["topic"] for one in world.records()]
    assert take(world, b) == ""
    assert msgspec.to_builtins(world.positions[ONE]) == held
    assert world.engine.gateway.state() == orders
    new = [one["topic"] for one in world.records()][len(topics):]
    assert set(new) <= {"pilot.closed", "pilot.day", "model.in_force"}
    world.until(20)
    assert world.positions[ONE].plan.model_id == "a" * 64
    assert world.positions[ONE].stop == held["stop"]
    b.script = lambda number, place: FLAT
    world.until(22)
    assert [one["model_id"][0] for one in world.records("trade.closed")][-1] == "a"


def test_what_the_new_model_opens_is_its_own() -> None:
    """Its trades carry its id."""
    world, _, _ = both_promoted(LONG_SMALL, SHORT_SMALL)
    world.until(9)
    assert world.positions[ONE].plan.model_id == "b" * 64
    assert world.positions[ONE].sign == -1


@pytest.mark.parametrize("mode", [PRIMARY, HYBRID])
def test_a_model_that_was_never_promoted_does_not_trade(mode: PilotMode) -> None:
    """While the pilot trades it is refused, recorded once, and the old model goes on as if nothing had been."""
    untouched = world_with(mode).all()
    world = world_with(mode).until(TAKES)
    for _ in range(2):
        assert "has not been promoted in this run" in take(world, scripted("b", SHORT_SMALL))
    world.until(TAKES + 3)
    assert "has not been promoted" in take(world, scripted("b", SHORT_SMALL))
    world.all()
    (refused,) = world.records("model.refused")
    assert (refused["model"], refused["in_force"], refused["alias"]) == ("b" * 64, ["a" * 64], "registry:champion")
    assert {one["model"] for one in world.records("pilot.decided")} == {"a" * 64}

    def without(one: PilotWorld) -> list[Any]:
        return [line for line in one.of_trading() if line["topic"] not in ("model.refused", "run.started")]

    assert without(world) == without(untouched)


def test_one_that_was_promoted_here_before_takes_over_while_it_trades() -> None:
    """A rollback in PRIMARY: the former model is back at the next bar, and the limits count from then on."""
    world, a, b = both_promoted()
    world.until(10)
    assert world.engine.piloting.identity == b.identity
    assert take(world, a) == ""
    assert world.engine.piloting.stance.mode is PRIMARY
    tenure = world.engine.piloting.tenure
    assert (tenure.promoted, tenure.mode_since_ns) == (a.identity, world.engine.now_ns)
    world.until(13)
    assert world.positions[ONE].sign == 1
    assert world.positions[ONE].plan.model_id == a.identity


def test_what_the_limits_have_stopped_does_not_come_back_while_it_trades() -> None:
    """A model that `pilot limits` put back into SHADOW has lost its promotion."""
    world = world_with(PRIMARY).until(3)
    a, b = world.pilot, scripted("b", SHORT_SMALL)
    settings = world.engine.piloting.stance.settings
    world.engine.piloting.set_settings(PilotChanged(
        actor=LIMITS, reason="drawdown", before=settings, after=msgspec.structs.replace(settings, mode=SHADOW),
        version=2,
    ), world.engine.now_ns)
    world.until(6)
    assert take(world, b) == ""
    world.change(mode=PRIMARY)
    world.until(8)
    assert "has not been promoted" in take(world, a)


def test_other_bars_and_known_bars_are_refused() -> None:
    """Longer bars than the run's pilot observes, and bars that the model was trained on."""
    world = world_with(SHADOW).until(2)
    longer = scripted("b", SHORT_SMALL)
    longer.length_ns = 2 * LENGTH_NS
    assert "observes bars of 60 minutes, and the pilot of this run those of 30 minutes" in take(world, longer)
    knows = scripted("c", SHORT_SMALL)
    knows.trained_until_ns = world.engine.now_ns
    assert "it knows them" in take(world, knows)
    alone = PilotWorld().until(2)
    assert "has no pilot" in take(alone, scripted("b", SHORT_SMALL))
    assert world.engine.piloting.identity == "a" * 64
    assert [one["reason"][:8] for one in world.records("model.refused")] == ["it obser", "it was t"]


def test_a_model_that_cannot_go_on_changes_nothing() -> None:
    """It raises, and everything is as it was."""
    world, twin = world_with(SHADOW).until(5), world_with(SHADOW).until(5)
    broken = scripted("b", SHORT_SMALL)

    def fails(before: Any) -> None:
        raise OSError("broken")

    broken.succeed = fails
    with pytest.raises(OSError, match="broken"):
        take(world, broken)
    assert world.all().sink.lines == twin.all().sink.lines


def test_evidence_belongs_to_the_model_that_made_it() -> None:
    """Shadow trades and days name their model; what is open at the switch ends there; the new one begins with none."""
    world = world_with(SHADOW, LONG_SMALL).until(TAKES)
    before = world.engine.piloting.totals
    assert before is not None
    b = scripted("b", LONG_LARGE)
    take(world, b)
    at = world.engine.now_ns
    after = world.engine.piloting.totals
    assert after is not None
    assert (after.decisions, after.trades, after.days, after.results) == (0, (), (), (0.0, 0.0, 0.0))
    world.all()
    closed = world.records("pilot.closed")
    assert (closed[0]["model"], closed[0]["exit"], closed[0]["exit_ns"]) == ("a" * 64, "REPLACED", at)
    assert {one["model"][0] for one in closed[1:]} <= {"b"}
    assert {one["model"][0] for one in world.records("pilot.day")} == {"a", "b"}


def test_a_model_that_comes_back_goes_on_with_its_own_evidence() -> None:
    """Its decisions, trades and days are as they were, and a day that it shared is one day."""
    world = world_with(SHADOW, LONG_SMALL).until(30)
    a, b = world.pilot, scripted("b", SHORT_SMALL)
    take(world, b)
    kept = world.engine.piloting.tenure._replaced[a.identity]
    decisions = kept[1]["total_decisions"]
    world.until(33)
    take(world, a)
    totals = world.engine.piloting.totals
    assert totals is not None
    assert totals.decisions == decisions
    assert len(totals.trades) == 1
    days = [one.day for one in totals.days]
    world.all()
    totals = world.engine.piloting.totals
    assert totals is not None
    assert [one.day for one in totals.days][: len(days)] == days
    assert len({one.day for one in totals.days}) == len(totals.days)
    assert totals.decisions > decisions


def test_of_many_replaced_models_the_oldest_is_forgotten() -> None:
    """The state of a run does not grow with every promotion."""
    world = world_with(SHADOW).until(1)
    for number in range(KEPT + 3):
        assert take(world, scripted("bcdefghijklmnopq"[number], LONG_SMALL)) == ""
    assert len(world.engine.piloting.tenure._replaced) == KEPT
    assert "a" * 64 not in world.engine.piloting.tenure._replaced


def test_a_new_model_is_ready_at_once() -> None:
    """A real one goes on with the bars that the old one has seen: it decides at the very next observed bar."""
    recording = bars(seed=4, noise=0.004)
    first, second = artefact(), artefact()
    second = msgspec.structs.replace(second, card=msgspec.structs.replace(second.card, name="another"))
    world = PilotWorld(
        mode=SHADOW, pilot=Predictor(first, recording.symbols, BASE_NS), recording=recording, sure=None
    ).until(TAKES)
    alone = PilotWorld(
        mode=SHADOW, pilot=Predictor(second, recording.symbols, BASE_NS), recording=recording, sure=None
    ).until(TAKES + 1)
    assert take(world, Predictor(second, recording.symbols, BASE_NS)) == ""
    world.until(TAKES + 1)
    one, other = world.records("pilot.decided")[-1], alone.records("pilot.decided")[-1]
    assert one["model"] == other["model"] == second.card.identity
    assert one["symbols"] == other["symbols"] == [ONE, TWO]


@pytest.mark.parametrize("mode", [SHADOW, PRIMARY])
def test_a_run_with_a_switch_is_continued_and_taken_live_to_the_byte(mode: PilotMode) -> None:
    """Cut before and behind the switch, and in the live form."""
    def run(cut: int | None, kind: type[Engine] = Engine) -> PilotWorld:
        def made(name: str, action: Any) -> PilotWorld:
            return PilotWorld(pilot=scripted(name, action), mode=SHADOW, sure=None, kind=kind)

        world = made("a", LONG_SMALL).until(4)
        take(world, scripted("b", SHORT_SMALL))
        world.change(mode=mode)
        for number in (8, 15, 25):
            world.until(number)
            if cut == number:  # a process that continues is given the model that is in force
                world = made("b", SHORT_SMALL).continues(world)
        return world.all()

    whole = run(None)
    for cut in (8, 15, 25):
        assert run(cut).sink.lines == whole.sink.lines
    assert run(None, LiveForm).sink.lines == whole.sink.lines
