"""What the pilot's modes do with orders that are on their way, refused, or half done, and what a restart keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.engine.pilot_world import BASE_NS, FLAT, HOLD, LONG_LARGE, LONG_SMALL, ONE, START, PilotWorld

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.market import MarketBatch
from quantum_trader.engine.gateway import Purpose

HYBRID, PRIMARY, SHADOW = PilotMode.HYBRID, PilotMode.PRIMARY, PilotMode.SHADOW


def signals_until(last: int) -> Any:
    """A long of the first symbol from decision 0 on, and of no interest from decision *last* on."""
    return lambda number: np.nan if number < 0 else 1.5 if number < last else -0.2


def rising(world: PilotWorld) -> PilotWorld:
    """Let the first symbol rise by 0.4 % a bar from the first decision on, so that an order below the price waits."""
    for at in range(2 * START, len(world.moments)):
        ts_ns, ohlcv, present = world.moments[at]
        ohlcv = ohlcv.copy()
        base = world.moments[2 * START - 1][1][0, 3] * 1.004 ** (at - 2 * START + 1)
        ohlcv[0, :4] = base, base * 1.003, base * 0.9995, base * 1.003
        world.moments[at] = ts_ns, ohlcv, present
    return world


def resting(world: PilotWorld) -> list[str]:
    """The symbols whose opening order rests."""
    return [symbol for symbol, pending in world.engine.opening.orders.pending.items() if pending.rests]


@pytest.mark.parametrize("mode", [SHADOW, HYBRID])
def test_a_resting_entry_goes_with_the_target_that_wanted_it(mode: PilotMode) -> None:
    """Also where it has a name of HYBRID's: it is the models', and they want it no more. Nothing goes at market."""
    world = rising(PilotWorld(None, mode, wanted=signals_until(3), sure=0.0, maker_entry_bars=12)).until(2)
    assert resting(world) == [ONE]
    sent = len(world.records("trade.intent"))
    assert world.records("trade.intent")[-1]["source"] == (
        "MODEL" if mode is SHADOW else "RL_V3_HYBRID_SIGNAL_PRIMARY"
    )
    world.until(14)
    assert resting(world) == []
    assert len(world.records("trade.intent")) == sent
    assert world.positions == {}


def test_a_resting_entry_of_the_signals_goes_where_the_pilot_alone_opens() -> None:
    """PRIMARY refuses signals; one whose order rests is one."""
    world = rising(PilotWorld(None, SHADOW, wanted=signals_until(99), sure=0.0, maker_entry_bars=40)).until(2)
    assert resting(world) == [ONE]
    world.change(mode=PRIMARY)
    assert resting(world.until(3)) == []
    assert world.positions == {}


@pytest.mark.parametrize("later", [LONG_SMALL, HOLD])
def test_a_reduction_that_the_venue_did_not_take_is_sent_again(later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is what is wanted, not what was done: the next decision for the same share goes on with it."""
    script = {(0, 0): LONG_LARGE, (2, 0): LONG_SMALL, (3, 0): later, (5, 0): later}
    world = PilotWorld(script, PRIMARY).until(1)
    large = world.positions[ONE].qty
    with monkeypatch.context() as lost:
        lost.setattr(world.engine.gateway, "reduce", lambda *_: [])
        world.until(2, extra=1)
        small = world.positions[ONE].plan.reduced_to
        assert world.positions[ONE].qty == large
    world.until(4)
    assert world.positions[ONE].qty == pytest.approx(small, abs=0.02)
    reductions = [one for one in world.records("order.submitted") if one["reduce_only"] and one["type"] == "MARKET"]
    assert len(reductions) == 1
    world.until(8)
    assert len([one for one in world.records("trade.intent") if one["reduce_only"]]) == 2
    assert not world.engine.gateway.has(ONE, Purpose.REDUCE)


def test_what_others_add_later_is_not_taken_off() -> None:
    """Once the pilot's own reduction is done, only its decisions make the position smaller."""
    world = PilotWorld({(0, 0): LONG_LARGE, (2, 0): LONG_SMALL}, PRIMARY).until(4)
    held = world.positions[ONE]
    assert held.plan.reduced_to == 0.0
    held.qty *= 2.0
    world.until(6)
    assert len([one for one in world.records("trade.intent") if one["reduce_only"]]) == 1


def test_since_when_it_trades_survives_a_restart() -> None:
    """The limits of a pilot that trades count from there, whoever started the process anew."""
    first = PilotWorld({(0, 0): LONG_SMALL, (4, 0): FLAT}, SHADOW).until(2)
    began_ns = first.engine.now_ns
    first.change(mode=PRIMARY)
    first.until(4)
    first.change(min_confidence=0.5)
    second = PilotWorld({}, SHADOW).continues(first)
    assert second.engine.piloting.tenure.mode_since_ns == began_ns
    assert second.engine.piloting.tenure.promoted == second.pilot.identity
    second.change(mode=SHADOW)
    assert second.engine.piloting.tenure.mode_since_ns == second.engine.now_ns


def test_hold_keeps_what_the_shadow_book_holds() -> None:
    """In PRIMARY a decision of low confidence is not traded. The book follows it, and HOLD does not take it back."""
    world = PilotWorld(
        {(0, 0): LONG_SMALL, (6, 0): FLAT}, PRIMARY, sure=0.3, settings={"min_confidence": 0.6}
    ).until(5)
    assert world.positions == {}
    assert world.records("pilot.closed") == []
    one, = world.until(8).records("pilot.closed")
    assert (one["exit"], one["bars_held"]) == ("FLAT", 6)


def test_bars_that_came_too_late_are_no_hours_of_its_record() -> None:
    """A trader that catches up after an outage shows the pilot the bars; it decided on none of them."""
    world = PilotWorld(lambda number, place: LONG_SMALL, SHADOW).until(-1)
    parts = world.engine.piloting._parts
    assert parts is not None
    before = parts.shadows._moments
    for late in (10, 0):
        ts_ns, ohlcv, present = world.moments[world.at]
        world.engine.on_bars(MarketBatch(ts_ns, BASE_NS, ohlcv, present), ts_ns + BASE_NS + late * BASE_NS)
        world.engine.record_bars()
        world.at += 1
        assert parts.shadows._moments == before + (late == 0)


def test_in_emergency_the_pilot_still_reduces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The governor leaves nothing to open. That is no reason to keep the larger position."""
    world = PilotWorld({(0, 0): LONG_LARGE, (2, 0): LONG_SMALL}, PRIMARY).until(1)
    monkeypatch.setattr(world.engine.opening, "risk_factor", lambda index: 0.0)
    small = world.until(2).quantity(0.1)
    assert world.until(3).positions[ONE].qty == pytest.approx(small, abs=0.02)


def test_without_equity_a_smaller_share_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of nothing is nothing."""
    world = PilotWorld({(0, 0): LONG_LARGE, (2, 0): LONG_SMALL}, PRIMARY).until(1)
    monkeypatch.setattr(world.engine.piloting, "_quantity", lambda *_: 0.0)
    assert world.until(3).positions == {}
