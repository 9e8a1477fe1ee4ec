"""What must always hold (spec 2, section 5) of the pilot; ``mutations.py`` breaks each on purpose.

The engine, the paper venue and a scripted pilot: its orders take the way of every order.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.engine.pilot_world import BASE_NS, FLAT, LONG_LARGE, LONG_SMALL, ONE, TWO, PilotWorld, bars
from tests.pilot.test_artefact import artefact

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.pilot.predictor import Predictions, Predictor
from quantum_trader.pilot.scaling import default_scalers
from quantum_trader.pilot.settings import ObservationSettings

PRIMARY, SHADOW = PilotMode.PRIMARY, PilotMode.SHADOW


def test_4_every_intent_of_the_pilot_has_an_id_of_its_own() -> None:
    """Sent, refused or reducing: no two share one, and each that is sent is one order."""
    world = PilotWorld({(0, 0): LONG_SMALL, (1, 1): LONG_SMALL, (2, 1): LONG_SMALL, (3, 0): FLAT}, PRIMARY).until(0)
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.until(1)
    world.engine.resume("goes on", world.engine.now_ns)
    world.until(4)
    ids = [one["intent"]["intent_id"] for one in world.records("risk.denied")]
    ids += [one["intent_id"] for one in world.records("trade.intent")]
    assert len(ids) == 4
    assert len(set(ids)) == 4
    assert len({one["client_order_id"] for one in world.records("order.submitted") if not one["reduce_only"]}) == 2


def test_9_the_pilot_closes_whatever_stops_its_openings() -> None:
    """Halted, no intent permitted in the hour, and not sure at all: FLAT closes."""
    world = PilotWorld({(0, 0): LONG_SMALL, (2, 0): FLAT}, PRIMARY, sure=0.5).until(1)
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.change(min_confidence=1.0, max_trades_per_hour=0)
    world.until(3)
    assert world.positions == {}


def test_9_a_pilot_that_may_not_trade_leaves_its_positions() -> None:
    """Nobody else would: they are closed at the next bar, although openings are halted."""
    world = PilotWorld({(0, 0): LONG_SMALL, (0, 1): LONG_LARGE}, PRIMARY).until(1)
    assert len(world.positions) == 2
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.change(mode=SHADOW)
    world.until(2)
    assert world.positions == {}


def test_10_the_pilot_decides_on_no_late_bars() -> None:
    """It sees them and is not asked; nothing is sent."""
    world = PilotWorld(lambda number, place: LONG_SMALL, PRIMARY).until(-1)
    for _ in range(2):
        ts_ns, ohlcv, present = world.moments[world.at]
        assert world.engine.on_bars(MarketBatch(ts_ns, BASE_NS, ohlcv, present), ts_ns + 10 * BASE_NS) == []
        world.engine.record_bars()
        world.at += 1
    assert world.pilot.asked[-1] == -1
    assert world.pilot.seen == world.at


def test_11_the_pilots_hourly_limit_survives_a_restart() -> None:
    """One an hour: the second is refused after the restart as before it."""
    script = {(0, 0): LONG_SMALL, (1, 1): LONG_SMALL}
    first = PilotWorld(script, PRIMARY, settings={"max_trades_per_hour": 1}).until(0)
    second = PilotWorld(script, PRIMARY, settings={"max_trades_per_hour": 1}).continues(first).until(2)
    assert second.outcomes(1) == {1: ("LONG_SMALL", "RATE_LIMIT")}
    assert TWO not in second.positions


def test_12_the_pilots_intent_meets_the_guard() -> None:
    """A person's halt and a limit on the notional hold for it as for a signal."""
    world = PilotWorld({(0, 0): LONG_SMALL}, PRIMARY).until(-1)
    world.engine.halt("a person stops openings", world.engine.now_ns)
    world.until(1)
    assert world.outcomes() == {0: ("LONG_SMALL", "KILL_SWITCH")}
    assert world.positions == {}
    assert [one["reason"] for one in world.records("risk.denied")] == ["KILL_SWITCH"]


def test_12_a_pilot_in_shadow_sends_nothing() -> None:
    """Whatever it decides, and however sure it is."""
    world = PilotWorld(lambda number, place: LONG_SMALL if number % 2 else FLAT, SHADOW, sure=1.0).until(9)
    assert world.records("trade.intent") == world.records("order.submitted") == []
    assert {outcome for _, outcome in world.outcomes().values()} == {"SHADOW", "NOTHING"}


def test_12_another_model_does_not_take_over() -> None:
    """The saved state of a pilot is refused by a model of another identity."""
    recording, made = bars(), artefact()
    state = Predictor(made, recording.symbols, BASE_NS).state()
    other = msgspec.structs.replace(made, card=msgspec.structs.replace(made.card, name="another"))
    with pytest.raises(StateError, match="was made with model"):
        Predictor(other, recording.symbols, BASE_NS).load_state(state)


def test_12_a_model_of_other_features_may_not_decide() -> None:
    """Scalers that were fitted on the features of another interval have another hash."""
    made = artefact()
    other = msgspec.structs.replace(made.card, scalers=default_scalers(ObservationSettings(interval="1h")))
    with pytest.raises(ConfigError, match="features"):
        Predictor(msgspec.structs.replace(made, card=other), (ONE,), BASE_NS)


@pytest.mark.parametrize("share", [np.nan, 7.0])
def test_12_an_answer_that_makes_no_sense_trades_nothing(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probabilities that are none: a failure of the pilot, on record."""
    world = PilotWorld({}, PRIMARY).until(-1)

    def told(ts_ns: int, *_: Any) -> Predictions:
        return Predictions(ts_ns + BASE_NS, np.array([0]), np.array([1]), np.full((1, 6), share))

    monkeypatch.setattr(world.pilot, "take", told)
    world.until(1)
    assert world.records("trade.intent") == []
    assert world.records("pilot.failed") != []
