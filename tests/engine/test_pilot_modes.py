"""What the pilot may do in each mode, and whose positions are whose."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.engine.pilot_world import (
    BASE_NS,
    DECISIONS,
    FIRST_NS,
    FLAT,
    HOLD,
    LENGTH_NS,
    LONG_LARGE,
    LONG_SMALL,
    ONE,
    SHORT_LARGE,
    SHORT_SMALL,
    START,
    TWO,
    WIDE,
    PilotWorld,
    bars,
    decision_of,
)

from quantum_trader.domain.enums import GOV_CAUTIOUS, PilotMode, Side
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.books import PILOT
from quantum_trader.engine.gateway import Purpose
from quantum_trader.pilot import own_columns as own_col
from quantum_trader.pilot.predictor import Predictions

OFF, SHADOW, PRIMARY, HYBRID = PilotMode.OFF, PilotMode.SHADOW, PilotMode.PRIMARY, PilotMode.HYBRID
BUSY = {
    (0, 0): LONG_SMALL, (2, 1): SHORT_LARGE, (4, 0): LONG_LARGE, (8, 0): LONG_SMALL, (9, 1): FLAT, (12, 0): SHORT_LARGE,
    (13, 0): SHORT_LARGE, (20, 0): FLAT, (24, 1): LONG_LARGE,
}


def swinging(number: int) -> float:
    """Signals of the first symbol that turn every fifteen hours."""
    return 1.5 if number // 30 % 2 else -1.5


def from_now(score: float) -> Any:
    """Signals of *score* from decision 0 on, and no view before."""
    return lambda number: score if number >= 0 else np.nan


def long_from_now(number: int, place: int) -> Any:
    """The pilot wants a small long of the first symbol at every decision."""
    return LONG_SMALL if place == 0 else HOLD


def intents(world: PilotWorld, source: str = "") -> list[tuple[int, str, str, bool]]:
    """Decision, side, source and whether it reduces, of every intent on record (of one *source*)."""
    return [
        (decision_of(one["created_ns"]), one["side"], one["source"], one["reduce_only"])
        for one in world.records("trade.intent") if source in one["source"]
    ]


# ---------------------------------------------------------------------- the four modes


def test_off_predicts_nothing_records_nothing_and_sends_nothing() -> None:
    """It sees the bars, so that its indicators stay warm; trading is as without it."""
    world, without = PilotWorld(BUSY, OFF, wanted=swinging).all(), PilotWorld(wanted=swinging).all()
    assert world.pilot.asked == []
    assert world.pilot.seen == len(world.moments)
    assert [one["topic"] for one in world.records() if one["topic"].startswith("pilot.")] == ["pilot.changed"]
    assert world.of_trading() == without.of_trading()
    assert world.records("trade.closed") != []


@pytest.mark.parametrize("wanted", [None, swinging], ids=["ensemble", "models"])
def test_shadow_predicts_and_records_and_never_sends(wanted: Any) -> None:
    """Every record but its own is the same as without a pilot, number apart."""
    world, without = PilotWorld(BUSY, SHADOW, wanted=wanted).all(), PilotWorld(wanted=wanted).all()
    assert len(world.records("pilot.decided")) == START + DECISIONS
    assert set(world.outcomes().values()) | set(world.outcomes(1).values()) >= {("LONG_SMALL", "SHADOW")}
    assert intents(world, "RL_V3") == []
    assert world.of_trading() == without.of_trading()
    assert world.engine.account.equity == without.engine.account.equity
    assert [one["exit"] for one in world.records("pilot.closed")] == ["FLAT", "FLIP", "FLAT"]


def test_primary_sends_its_intents_and_the_signals_are_shadowed() -> None:
    """Refused for PILOT_PRIMARY, with shadow trades that go on to their results."""
    world = PilotWorld(BUSY, PRIMARY, wanted=swinging).all()
    assert intents(world) == [
        (0, "LONG", "RL_V3_PRIMARY", False), (2, "SHORT", "RL_V3_PRIMARY", False), (4, "LONG", "RL_V3_PRIMARY", False),
        (8, "LONG", "RL_V3_PRIMARY", True), (9, "SHORT", "RL_V3_PRIMARY", True), (12, "LONG", "RL_V3_PRIMARY", True),
        (13, "SHORT", "RL_V3_PRIMARY", False), (20, "SHORT", "RL_V3_PRIMARY", True),
        (24, "LONG", "RL_V3_PRIMARY", False),
    ]
    decided = world.records("signal.decided")
    assert {one["reason"] for one in decided} == {"PILOT_PRIMARY"}
    assert len(decided) >= 3
    assert [one["traded"] for one in world.records("shadow.closed")] == [False] * 5
    assert {one["model"] for one in world.records("trade.closed")} == {"RL_V3_PRIMARY"}


def test_hybrid_takes_the_pilot_where_it_is_surer() -> None:
    """It wants a long, the signals a short: it opens, and the signal is refused for it."""
    world = PilotWorld(long_from_now, HYBRID, wanted=from_now(-1.5), sure=0.9, prior=3.0).until(6)
    assert intents(world) == [(0, "LONG", "RL_V3_HYBRID_RL_PRIMARY", False)]
    assert world.positions[ONE].plan.owner == PILOT
    assert {one["reason"] for one in world.records("signal.decided")} == {"PILOT_MORE_CONFIDENT"}


def test_hybrid_takes_the_signal_where_that_is_surer() -> None:
    """The pilot stands back, and then finds a position that is not its own."""
    world = PilotWorld(long_from_now, HYBRID, wanted=from_now(-1.5), sure=0.5, prior=3.0).until(6)
    assert intents(world) == [(0, "SHORT", "RL_V3_HYBRID_SIGNAL_PRIMARY", False)]
    assert world.positions[ONE].plan.owner == ""
    assert [outcome for _, outcome in world.outcomes().values()] == ["SIGNAL_PRIMARY"] + ["HELD_BY_OTHER"] * 6


@pytest.mark.parametrize(("sure", "boosted"), [(0.85, 0.95), (0.97, 1.0)])
def test_hybrid_consensus_is_larger_and_surer_and_says_so(sure: float, boosted: float) -> None:
    """Twelve tenths of the size; a tenth on the confidence, 1 at most, stated apart and not learned from."""
    world = PilotWorld(
        {(0, 0): LONG_SMALL}, HYBRID, wanted=from_now(1.5), sure=sure, settings={"min_confidence": 0.6}, prior=3.0,
    ).until(0)
    intent, = world.records("trade.intent")
    assert (intent["source"], intent["consensus_bonus"]) == ("RL_V3_HYBRID_CONSENSUS", 0.1)
    assert intent["confidence"] == pytest.approx(boosted)
    assert intent["qty"] == pytest.approx(world.quantity(0.12), abs=0.01)
    decided = world.records("pilot.decided")[-1]
    assert decided["confidences"][0] == sure
    world.until(4)
    assert len(world.records("trade.intent")) == 1, "a larger size is not taken back"


def test_a_consensus_of_a_surer_signal_is_the_signals() -> None:
    """Larger by a fifth, owned by the signals, and kept by the band of their score."""
    alone = PilotWorld(wanted=from_now(1.5)).until(20)
    world = PilotWorld(
        long_from_now, HYBRID, wanted=from_now(1.5), sure=0.61, settings={"min_confidence": 0.6},
    ).until(20)
    intent, = world.records("trade.intent")
    assert intent["source"] == "RL_V3_HYBRID_CONSENSUS"
    assert world.positions[ONE].plan.owner == ""
    assert world.positions[ONE].qty == pytest.approx(1.2 * alone.positions[ONE].qty, rel=1e-3)
    assert intent["consensus_bonus"] == 0.1


def test_a_weak_pilot_makes_no_consensus() -> None:
    """Below its least confidence it neither enlarges the signal's position nor opens with the bonus's help."""
    world = PilotWorld(long_from_now, HYBRID, wanted=from_now(1.5), sure=0.55, settings={"min_confidence": 0.6})
    assert {source for _, _, source, _ in intents(world.until(4))} == {"RL_V3_HYBRID_SIGNAL_PRIMARY"}


def test_a_consensus_is_clipped_by_the_guard() -> None:
    """A notional of a tenth of the equity at most: twelve tenths of that are not sent."""
    limits = msgspec.structs.replace(WIDE, max_notional_pct=10.0)
    world = PilotWorld(
        {(0, 0): LONG_SMALL}, HYBRID, wanted=from_now(1.5), sure=0.9, limits=limits, prior=3.0,
    ).until(0, 1)
    assert world.records("trade.intent")[0]["source"] == "RL_V3_HYBRID_CONSENSUS"
    assert world.positions[ONE].qty <= world.quantity(0.1001)


def test_a_hybrid_without_signals_is_the_pilots() -> None:
    """Nothing to compare with."""
    world = PilotWorld({(0, 1): LONG_SMALL}, HYBRID, wanted=swinging, sure=0.7).until(1)
    assert (0, "LONG", "RL_V3_HYBRID_RL_PRIMARY", False) in intents(world)


def test_a_decision_of_low_confidence_is_recorded_and_not_traded() -> None:
    """Below the least confidence nothing opens; at it something does; closing asks for none."""
    world = PilotWorld(
        {(0, 0): LONG_SMALL, (1, 0): LONG_SMALL, (2, 0): LONG_LARGE, (3, 0): FLAT}, PRIMARY,
        sure=lambda number: 0.6 if number == 1 else 0.59, settings={"min_confidence": 0.6},
    ).until(4)
    assert world.outcomes() == {
        0: ("LONG_SMALL", "LOW_CONFIDENCE"), 1: ("LONG_SMALL", "SENT"), 2: ("LONG_LARGE", "LOW_CONFIDENCE"),
        3: ("FLAT", "SENT"),
    }
    assert intents(world) == [(1, "LONG", "RL_V3_PRIMARY", False), (3, "LONG", "RL_V3_PRIMARY", True)]
    assert world.positions == {}


def test_the_guard_denies_an_intent_and_it_is_on_record() -> None:
    """No risk is permitted: risk.denied, with an id that no other intent has; nothing is sent."""
    world = PilotWorld({(0, 0): LONG_SMALL, (2, 0): LONG_SMALL, (4, 0): FLAT}, PRIMARY)
    world.until(-1)
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.until(1)
    world.engine.resume("goes on", world.engine.now_ns)
    world.until(5)
    assert world.outcomes() == {
        0: ("LONG_SMALL", "KILL_SWITCH"), 2: ("LONG_SMALL", "SENT"), 4: ("FLAT", "SENT"),
    }
    denied, = world.records("risk.denied")
    ids = [denied["intent"]["intent_id"], *(one["intent_id"] for one in world.records("trade.intent"))]
    assert len(set(ids)) == 3


def test_the_cost_of_an_entry_is_judged_with_the_pilots_own_stop() -> None:
    """A stop of six percent makes the round trip cheap in R, one of half a percent too dear."""
    outcomes = []
    for ratio in (0.02, 0.0017):
        world = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY, limits=msgspec.structs.replace(WIDE, max_cost_r=0.1))
        world.pilot.range_ratios = np.full(world.pilot.count, ratio)
        outcomes.append(world.until(1).outcomes()[0][1])
    assert outcomes == ["SENT", "COST"]


def test_closing_needs_no_permission() -> None:
    """Openings are halted, no intent is permitted in the hour, and the pilot is not sure: FLAT closes all the same."""
    world = PilotWorld({(0, 0): LONG_SMALL, (2, 0): FLAT}, PRIMARY, sure=0.5, settings={"max_trades_per_hour": 1})
    world.until(1)
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.change(min_confidence=1.0, max_trades_per_hour=0)
    world.until(3)
    assert world.outcomes()[2] == ("FLAT", "SENT")
    assert world.positions == {}


def test_openings_of_an_hour_are_limited_and_closings_are_not() -> None:
    """Two an hour: the third opening waits until the first is an hour old."""
    script = {(0, 0): LONG_SMALL, (0, 1): LONG_SMALL, (1, 0): LONG_LARGE, (1, 1): FLAT, (2, 0): LONG_LARGE}
    world = PilotWorld(script, PRIMARY, settings={"max_trades_per_hour": 2}).until(3)
    assert world.outcomes() == {0: ("LONG_SMALL", "SENT"), 1: ("LONG_LARGE", "RATE_LIMIT"), 2: ("LONG_LARGE", "SENT")}
    assert world.outcomes(1) == {0: ("LONG_SMALL", "SENT"), 1: ("FLAT", "SENT")}


def test_the_hourly_limit_survives_a_restart() -> None:
    """The hour goes on where it was."""
    script = {(0, 0): LONG_SMALL, (1, 1): LONG_SMALL}
    first = PilotWorld(script, PRIMARY, settings={"max_trades_per_hour": 1}).until(0)
    second = PilotWorld(script, PRIMARY, settings={"max_trades_per_hour": 1}).continues(first).until(2)
    assert second.outcomes(1) == {1: ("LONG_SMALL", "RATE_LIMIT")}


def test_hold_does_nothing() -> None:
    """With a position and without one."""
    world = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY).until(40)
    assert len(world.records("trade.intent")) == 1
    assert world.positions[ONE].qty == world.positions[ONE].peak_qty


# ---------------------------------------------------------------------- positions


def test_flat_closes_with_a_reducing_intent_and_a_flip_closes_first() -> None:
    """The other side opens at the next decision that wants it, once the first is closed."""
    world = PilotWorld({(0, 0): LONG_SMALL, (2, 0): SHORT_SMALL}, PRIMARY).until(2)
    assert intents(world)[-1] == (2, "LONG", "RL_V3_PRIMARY", True)
    world.until(4)
    assert world.positions == {}
    again = PilotWorld({(0, 0): LONG_SMALL, (2, 0): SHORT_SMALL, (3, 0): SHORT_SMALL}, PRIMARY).until(4)
    assert again.positions[ONE].side is Side.SHORT
    trade, = again.records("trade.closed")
    assert trade["exit_reason"] == "INTENT"


def test_larger_adds_through_the_guard_and_smaller_reduces() -> None:
    """To a fifth and back to a tenth of the equity at the close; the same share again changes nothing."""
    world = PilotWorld({(0, 0): LONG_SMALL, (2, 0): LONG_LARGE, (3, 0): LONG_LARGE, (6, 0): LONG_SMALL}, PRIMARY)
    small = world.until(0).quantity(0.1)
    assert world.until(1).positions[ONE].qty == pytest.approx(small, abs=0.01)
    stop = world.positions[ONE].stop
    large = world.until(2).quantity(0.2)
    assert world.until(5).positions[ONE].qty == pytest.approx(large, abs=0.01)
    assert world.positions[ONE].stop >= stop
    assert world.engine.gateway.is_protected(world.positions[ONE])
    small = world.until(6).quantity(0.1)
    assert world.until(7).positions[ONE].qty == pytest.approx(small, abs=0.01)
    assert [reduces for *_, reduces in intents(world)] == [False, False, True]
    refused = PilotWorld({(0, 0): LONG_SMALL, (2, 0): LONG_LARGE}, PRIMARY).until(1)
    refused.engine.halt("a person stops openings", refused.engine.now_ns)
    assert refused.until(3).outcomes()[2] == ("LONG_LARGE", "KILL_SWITCH")
    assert refused.positions[ONE].plan.share == 0.1


def test_a_reduction_is_on_record_before_its_order() -> None:
    """The intent states the quantity that is sent."""
    world = PilotWorld({(0, 0): LONG_LARGE, (2, 0): LONG_SMALL}, PRIMARY).until(2)
    last = [one for one in world.records() if one["topic"] in ("trade.intent", "order.submitted")][-2:]
    assert [one["topic"] for one in last] == ["trade.intent", "order.submitted"]
    assert last[0]["data"]["qty"] == last[1]["data"]["qty"]


def test_an_order_that_finds_no_bar_expires() -> None:
    """The symbol has no bar after the decision: the order is cancelled, and nothing is held or waits."""
    world = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY).until(0)
    assert ONE in world.engine.opening.orders.pending
    for at in range(world.at, world.at + 3):
        ts_ns, ohlcv, present = world.moments[at]
        world.moments[at] = (ts_ns, ohlcv, present & np.array([False, True]))
    world.until(1)
    assert world.engine.opening.orders.pending == {}
    assert world.until(4).positions == {}


def test_flat_cancels_an_addition_that_is_on_its_way() -> None:
    """What is added nevertheless is closed as well."""
    world = PilotWorld({(0, 0): LONG_SMALL, (2, 0): LONG_LARGE}, PRIMARY).until(2)
    adding = next(one for one in world.engine.gateway.tickets() if one.purpose is Purpose.OPEN)
    commands = world.engine.piloting._close(world.positions[ONE])
    assert adding.client_order_id in {one.client_order_id for one in commands}
    world.driver.send(commands)
    assert world.until(4).positions == {}
    assert world.engine.opening.orders.pending == {}


def test_the_signals_do_not_touch_the_pilots_position() -> None:
    """They want the other side for fifty hours: no flip, no addition, no exit by the score."""
    for mode in (PRIMARY, HYBRID):
        for wanted in (lambda number: -1.5, lambda number: 3.0 if number > 10 else 1.0, lambda number: 0.0):
            world = PilotWorld({(0, 0): LONG_SMALL}, mode, wanted=wanted, sure=0.999)
            world.until(-1)
            world.driver.send([])
            if ONE in world.positions:
                continue
            world.until(1)
            assert world.positions[ONE].plan.owner == PILOT
            before = world.positions[ONE].qty
            world.until(60)
            assert world.positions[ONE].qty == before
            assert [one for one in world.records("trade.closed") if one["model"] != "Wanted"] == []


def test_the_pilot_does_not_touch_the_signals_position() -> None:
    """Opened before the pilot could trade: it neither closes nor enlarges nor reduces it, in either direction."""
    for wanted, action in ((1.5, SHORT_LARGE), (1.5, LONG_LARGE), (-1.5, LONG_LARGE), (1.5, FLAT)):
        world = PilotWorld({(n, 0): action for n in range(20)}, SHADOW, wanted=lambda n, w=wanted: w).until(-1)
        before = world.positions[ONE].qty
        world.change(mode=PRIMARY)
        world.until(19)
        assert world.positions[ONE].qty == before
        assert set(world.outcomes().values()) <= {(action.value, "HELD_BY_OTHER"), (action.value, "NOTHING")}


def test_a_person_may_close_the_pilots_position() -> None:
    """A reducing intent from outside closes it; one of the other side does not flip it."""
    world = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY).until(2)
    now_ns = world.engine.now_ns

    def wish(name: str, side: Side, *, reduces: bool) -> Any:
        return world.engine.on_intent(Intent(
            intent_id=name, trace_id=name, symbol=ONE, side=side, qty=1.0, reduce_only=reduces, reference_price=100.0,
            stop_price=0.0, leverage=5.0, created_ns=now_ns, expires_ns=now_ns + BASE_NS, source="ME", confidence=1.0,
        ), now_ns)

    world.driver.send(wish("x1", Side.SHORT, reduces=False))
    assert world.records("trade.failed")[-1]["reason"] == "ALREADY_HELD"
    world.driver.send(wish("x2", Side.LONG, reduces=True))
    assert world.until(3).positions == {}


def test_a_stopped_out_position_is_opened_again_by_a_decision_alone() -> None:
    """One decision, one position: what a stop ended stays ended while the pilot holds."""
    world = PilotWorld({(0, 0): LONG_LARGE}, PRIMARY, recording=bars(noise=0.006))
    world.pilot.range_ratios[:] = 0.003
    world.all()
    assert [one["exit_reason"] for one in world.records("trade.closed")] == ["STOP"]
    assert len(world.records("trade.intent")) == 1


def test_every_position_of_the_pilot_has_an_owner_and_a_stop_at_the_venue() -> None:
    """At every moment of a busy script, in both modes that trade; never two opening orders of a symbol."""
    rng = np.random.default_rng(3)
    actions = rng.integers(0, 6, (START + DECISIONS, 2))
    table = (FLAT, LONG_SMALL, LONG_LARGE, SHORT_SMALL, SHORT_LARGE, HOLD)
    for mode in (PRIMARY, HYBRID):
        world = PilotWorld(lambda n, s: table[actions[n, s]], mode, wanted=swinging, sure=lambda n: 0.3 + n % 7 / 10)
        for moment in world.moments:
            world.driver.step(*moment)
            for symbol, position in world.positions.items():
                assert position.plan.owner in ("", PILOT)
                assert position.exit_reason is not None or world.engine.gateway.is_protected(position), symbol
            opening = Counter(
                one.symbol for one in world.engine.gateway.tickets() if one.purpose is Purpose.OPEN and not one.settled
            )
            assert max(opening.values(), default=0) <= 1
        orders = [one["client_order_id"] for one in world.records("order.submitted")]
        assert len(orders) == len(set(orders)) > 50
        ids = [one["intent_id"] for one in world.records("trade.intent")]
        assert len(ids) == len(set(ids))


def test_the_governor_makes_the_pilots_entries_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """CAUTIOUS: three quarters of the share, also where the risk does not bind."""
    world = PilotWorld({(0, 0): LONG_LARGE}, PRIMARY).until(-1)
    monkeypatch.setattr(type(world.engine.account), "governor_level", property(lambda account: GOV_CAUTIOUS))
    assert world.engine.opening.risk_factor(0) == 0.75
    world.until(0)
    assert world.records("trade.intent")[0]["qty"] == pytest.approx(world.quantity(0.15), abs=0.01)


# ---------------------------------------------------------------------- failures


def failing(first: int, times: int) -> Any:
    """Raises at *times* closes of base bars from decision *first* on."""
    begin = FIRST_NS + (START + first) * LENGTH_NS
    return lambda now_ns: begin <= now_ns < begin + times * BASE_NS


@pytest.mark.parametrize("mode", [OFF, SHADOW, PRIMARY, HYBRID])
def test_a_pilot_that_fails_from_the_start_leaves_trading_as_without_it(mode: PilotMode) -> None:
    """Three times in a row, and it is not asked again; the failure is on record, first and last."""
    world = PilotWorld(BUSY, mode, wanted=swinging, fails=lambda now_ns: True).all()
    assert world.of_trading() == PilotWorld(wanted=swinging).all().of_trading()
    assert [one["what"] for one in world.records("pilot.failed")] == ["RAISED", "RAISED"]
    assert world.records("pilot.decided") == []
    assert world.pilot.seen == 3
    assert world.engine.piloting.failed == "ValueError: the pilot is broken"


@pytest.mark.parametrize("mode", [PRIMARY, HYBRID])
def test_a_pilot_that_fails_for_good_is_left_to_the_signals(mode: PilotMode) -> None:
    """Its positions are closed, and the signals trade under their own name again, whatever it wanted last."""
    world = PilotWorld(
        {(0, 0): LONG_SMALL, (0, 1): LONG_SMALL}, mode, sure=0.99, fails=failing(2, 999),
        wanted=lambda number: -1.5 if number > 6 else np.nan,
    ).until(30)
    assert [one["exit_reason"] for one in world.records("trade.closed")] == ["INTENT", "INTENT"]
    assert not any(position.plan.owner for position in world.positions.values())
    assert {one["source"] for one in world.records("trade.intent") if decision_of(one["created_ns"]) > 6} == {"MODEL"}


def test_a_failure_between_two_decisions_leaves_no_stale_want() -> None:
    """The third failure comes at a bar that is not observed: HYBRID is not held up by what was wanted before."""
    world = PilotWorld(
        {(0, 1): LONG_SMALL}, HYBRID, wanted=swinging, sure=0.99, fails=failing(1, 3),
    ).until(6)
    assert world.engine.piloting.failed
    assert not world.engine.piloting.stance.signs.any()


def test_a_pilot_that_fails_once_goes_on_at_the_next_decision() -> None:
    """No decision and no record of one; its position stays, with its stop."""
    world = PilotWorld(BUSY, PRIMARY, fails=failing(4, 1)).until(9)
    assert 4 not in world.outcomes()
    assert world.outcomes()[8] == ("LONG_SMALL", "NOTHING")
    assert len(world.records("pilot.failed")) == 1
    assert not world.engine.piloting.failed


def test_a_pilot_that_fails_at_every_decision_is_given_up() -> None:
    """What it sees between two observed bars is no success."""
    world = PilotWorld(BUSY, PRIMARY, fails=lambda now_ns: now_ns % LENGTH_NS == 0 and decision_of(now_ns) >= 0)
    world.until(5)
    assert world.engine.piloting.failed
    assert len(world.records("pilot.failed")) == 2


def test_a_failure_in_the_warm_up_is_recorded_with_the_first_bars() -> None:
    """Not before the run's first record, and trading goes on."""
    world = PilotWorld(BUSY, PRIMARY, fails=lambda now_ns: decision_of(now_ns) < -START + 40)
    for ts_ns, ohlcv, present in world.moments[:20]:
        world.engine.piloting.warm(MarketBatch(ts_ns, BASE_NS, ohlcv, present))
    assert world.records("pilot.failed") == []
    world.at = 20
    world.until(-START + 12)
    assert len(world.records("pilot.failed")) == 1
    assert world.engine.piloting.failed


@pytest.mark.parametrize("answer", [
    Predictions(0, np.array([0]), np.array([1]), np.full((1, 6), 0.1)),
    (np.array([7]), np.array([1]), np.full((1, 6), 0.1)), (np.array([0]), np.array([9]), np.full((1, 6), 0.1)),
    (np.array([0]), np.array([1]), np.full((1, 6), np.nan)), (np.array([1, 0]), np.array([1, 1]), np.full((2, 6), 0.1)),
    (np.array([0]), np.array([-1]), np.full((1, 6), 0.1)), (np.array([0, 1]), np.array([1]), np.full((1, 6), 0.1)),
])
def test_an_answer_that_makes_no_sense_is_a_failure(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown symbols and actions, no numbers, another moment: nothing is traded, `pilot.failed` is recorded."""
    world = PilotWorld(BUSY, PRIMARY).until(-1)

    def told(ts_ns: int, *_: Any) -> Any:
        return answer if isinstance(answer, Predictions) else Predictions(ts_ns + BASE_NS, *answer)

    monkeypatch.setattr(world.pilot, "take", told)
    world.until(1)
    assert world.records("trade.intent") == []
    assert len(world.records("pilot.failed")) == 2


# ---------------------------------------------------------------------- changes while it runs


def test_leaving_primary_closes_the_pilots_positions_at_the_next_bar() -> None:
    """With reducing intents; the signals' stay. Coming back begins from flat."""
    for mode in (SHADOW, OFF):
        world = PilotWorld({(0, 0): LONG_SMALL, (0, 1): LONG_LARGE, (9, 1): LONG_SMALL}, PRIMARY).until(3)
        assert len(world.positions) == 2
        world.change(mode=mode)
        world.until(4)
        assert world.positions == {}
        assert [one["exit_reason"] for one in world.records("trade.closed")] == ["INTENT", "INTENT"]
        world.change(mode=PRIMARY)
        world.until(10)
        assert list(world.positions) == [TWO]


def test_a_pilot_that_is_no_longer_there_leaves_no_position_behind() -> None:
    """A folder that is continued without its pilot closes what the pilot opened."""
    first = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY).until(2)
    second = PilotWorld().continues(first).until(4)
    assert second.positions == {}


def test_off_and_back_keeps_the_pilot_warm() -> None:
    """It saw every bar, and decides at the first observed bar after."""
    world = PilotWorld(BUSY, SHADOW).until(2)
    world.change(enabled=False)
    world.until(10)
    assert world.pilot.asked[-1] == 2
    world.change(enabled=True)
    world.until(11)
    assert world.pilot.asked[-1] == 11
    assert world.pilot.seen == world.at


def test_changes_of_the_settings_are_on_record() -> None:
    """Who, why, before and after."""
    world = PilotWorld(BUSY, SHADOW).until(2)
    world.change(mode=PRIMARY, min_confidence=0.7)
    first, second = world.records("pilot.changed")
    assert first["before"] is None
    assert second["before"] == first["after"]
    assert (second["after"]["mode"], second["after"]["min_confidence"]) == ("PRIMARY", 0.7)
    assert (second["actor"], second["reason"]) == ("me", "test")


# ---------------------------------------------------------------------- odd bars and odd money


def test_late_bars_are_observed_and_never_traded() -> None:
    """No prediction, no order; the shadow book stays in what it holds, as the account does."""
    world = PilotWorld({(0, 0): LONG_SMALL, (4, 0): FLAT, (5, 0): FLAT}, SHADOW).until(3)
    for _ in range(2):
        ts_ns, ohlcv, present = world.moments[world.at]
        world.driver.send(world.engine.on_bars(MarketBatch(ts_ns, BASE_NS, ohlcv, present), ts_ns + 10 * BASE_NS))
        world.engine.record_bars()
        world.at += 1
    assert world.pilot.asked[-1] == 3
    assert world.pilot.seen == world.at
    assert world.records("pilot.closed") == []
    world.until(6)
    assert [one["exit"] for one in world.records("pilot.closed")] == ["FLAT"]


def test_a_bar_that_is_no_number_is_no_bar() -> None:
    """Its symbol is not decided on; the other one is."""
    world = PilotWorld({(0, 0): LONG_SMALL, (0, 1): LONG_SMALL}, PRIMARY).until(-1, 1)
    ts_ns, ohlcv, present = world.moments[world.at]
    ohlcv = ohlcv.copy()
    ohlcv[0] = (np.nan, -1.0, 0.0, 0.0, np.inf)
    world.moments[world.at] = (ts_ns, ohlcv, present)
    world.until(1)
    assert world.outcomes() == {}
    assert list(world.positions) == [TWO]


def test_a_symbol_without_bars_stops_nobody() -> None:
    """It lists late: no decision on it until it has a bar."""
    world = PilotWorld(lambda number, place: LONG_SMALL, PRIMARY)
    world.moments = [(ts, ohlcv, present & np.array([True, at > 520])) for at, (ts, ohlcv, present) in enumerate(
        world.moments
    )]
    world.until(5)
    assert list(world.positions) == [ONE]
    world.until(20)
    outcomes = [outcome for _, outcome in world.outcomes(1).values()]
    assert outcomes == ["SENT"] + ["NOTHING"] * 7, "its cost is judged with its own stop, which is known"
    assert not np.isfinite(world.engine.market.costs[1]), "of the signals' stop nothing is known yet"


@pytest.mark.parametrize("equity", [0.0, -50.0, float("nan")])
def test_without_equity_nothing_opens_and_nothing_breaks(equity: float) -> None:
    """The account is observed as if a hundredth were left; FLAT still closes."""
    world = PilotWorld({(0, 0): LONG_SMALL, (3, 0): LONG_LARGE, (3, 1): LONG_LARGE, (4, 0): FLAT}, PRIMARY).until(2)
    world.engine.account.books.cash += equity - world.engine.account.equity
    world.until(3)
    assert world.outcomes()[3][1] != "SENT"
    assert np.isfinite(world.pilot.own[-1][:, own_col.SIDE]).all()
    world.until(5)
    assert TWO not in world.positions
    assert world.outcomes()[4] == ("FLAT", "SENT")


def test_a_hole_in_the_data_ends_the_positions() -> None:
    """Of the account and of the shadow books, on record as HOLE."""
    world = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY).until(2)
    world.driver.hole(world.engine.now_ns, [0])
    assert world.positions == {}
    world.until(3)
    assert [one["exit"] for one in world.records("pilot.closed")] == ["HOLE"]


# ---------------------------------------------------------------------- what it observes of the account


def test_it_observes_its_own_position_and_the_whole_account() -> None:
    """Side, share, bars held and stop are its own; exposure is the account's."""
    world = PilotWorld({(0, 0): SHORT_LARGE}, PRIMARY).until(5)
    own = world.pilot.own[-1]
    position, close = world.positions[ONE], world.engine.market.close(0)
    assert own[0, own_col.SIDE] == -1.0
    assert own[0, own_col.SIZE_SHARE] == pytest.approx(position.qty * close / world.engine.account.equity)
    assert own[0, own_col.STOP_SHARE] == pytest.approx((position.stop - close) / close)
    assert own[1, own_col.SIDE] == 0.0
    assert own[1, own_col.ACCOUNT_EXPOSURE] == own[0, own_col.SIZE_SHARE]


def test_observing_a_policy_changes_nothing_that_the_pilot_sees() -> None:
    """The settings in force are the fixed ones, with and without a policy beside them."""
    seen = []
    for enabled in (True, False):
        world = PilotWorld(BUSY, PRIMARY, wanted=swinging, policy_enabled=enabled).until(40)
        seen.append(np.array(world.pilot.own))
        assert (seen[-1][..., own_col.CONFIDENCE_IN_FORCE] == 0.0).all()
        assert (seen[-1][..., own_col.RISK_IN_FORCE] == 10.0).all()
    assert np.array_equal(seen[0], seen[1])
