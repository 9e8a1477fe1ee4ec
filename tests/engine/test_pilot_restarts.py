"""A run with a pilot that is cut and continued, or fed as a live one is, has the records of a whole replay."""

from __future__ import annotations

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
    LiveForm,
    PilotWorld,
    bars,
)
from tests.pilot.test_artefact import artefact

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.opening import Opening
from quantum_trader.pilot.predictor import Predictor

MODES = [PilotMode.OFF, PilotMode.SHADOW, PilotMode.PRIMARY, PilotMode.HYBRID]
TABLE = (FLAT, LONG_SMALL, LONG_LARGE, SHORT_SMALL, SHORT_LARGE, HOLD)
ACTIONS = np.random.default_rng(5).choice(6, (DECISIONS + 1, 2), p=(0.1, 0.1, 0.1, 0.1, 0.1, 0.5))


def script(number: int, place: int) -> Any:
    """Busy and without sense."""
    return TABLE[ACTIONS[number, place]]


def sure(number: int) -> float:
    """Surer than the signals now and then."""
    return 0.3 + number % 7 / 10


def swinging(number: int) -> float:
    """Signals that turn every ten hours."""
    return 1.5 if number // 20 % 2 else -1.5


def busy(mode: PilotMode, **changes: Any) -> PilotWorld:
    """A world in which much happens."""
    return PilotWorld(script, mode, **{
        "wanted": swinging, "sure": sure, "settings": {"min_confidence": 0.5, "max_trades_per_hour": 3}, **changes,
    })


def real(mode: PilotMode, **changes: Any) -> PilotWorld:
    """A real predictor with random weights, with the confidence that it learns."""
    recording = bars(seed=4, noise=0.004)
    pilot = Predictor(artefact(), recording.symbols, BASE_NS)
    return PilotWorld(mode=mode, pilot=pilot, recording=recording, wanted=swinging, sure=None, **changes)


@pytest.mark.parametrize("make", [busy, real])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_continued_has_the_records_of_a_whole_one(mode: PilotMode, make: Any) -> None:
    """Cut at a decision, between two, and twice; byte by byte."""
    whole = make(mode).all()
    for cuts in ((11,), (30, 31)):
        world = make(mode)
        for number in cuts:
            world.until(number, number % 2)
            world = make(mode).continues(world)
        world.all()
        assert world.sink.lines == whole.sink.lines
        assert world.engine.records.recorder.digest == whole.engine.records.recorder.digest
        assert world.engine.account.equity == whole.engine.account.equity


@pytest.mark.parametrize("make", [busy, real])
@pytest.mark.parametrize("mode", MODES)
def test_the_live_form_has_the_records_of_the_replay(mode: PilotMode, make: Any) -> None:
    """Orders leave before records, and every byte is the same; also where the mode changes on the way."""
    worlds = [make(mode), make(mode, kind=LiveForm)]
    for world in worlds:
        for number, other in ((20, PilotMode.PRIMARY), (30, PilotMode.SHADOW), (41, PilotMode.HYBRID), (52, mode)):
            world.until(number)
            world.engine.records.catch_up()
            world.change(mode=other)
        world.all()
    assert worlds[1].sink.lines == worlds[0].sink.lines
    assert len({one["data"]["mode"] for one in worlds[0].records() if one["topic"] == "pilot.decided"}) >= 3
    assert worlds[0].engine.shield.failures == 0


def test_a_pilot_that_was_given_up_stays_so_after_a_cut_and_is_asked_by_another_process() -> None:
    """A continued replay is the same replay; a process that takes a session over asks the pilot again."""
    fails = {"fails": lambda now_ns: FIRST_NS + START * LENGTH_NS <= now_ns < FIRST_NS + (START + 9) * LENGTH_NS}
    whole = busy(PilotMode.PRIMARY, **fails).all()
    cut = busy(PilotMode.PRIMARY, **fails).continues(busy(PilotMode.PRIMARY, **fails).until(5))
    assert cut.all().sink.lines == whole.sink.lines
    again = busy(PilotMode.PRIMARY, **fails).continues(busy(PilotMode.PRIMARY, **fails).until(10))
    asked = len(again.pilot.asked)
    again.engine.continue_as("other", again.engine.now_ns)
    again.until(12)
    assert len(again.pilot.asked) == asked + 2


def test_another_model_does_not_continue() -> None:
    """Its memory is another one's: StateError."""
    first = real(PilotMode.SHADOW).until(3)
    second, made = real(PilotMode.SHADOW), artefact()
    made = msgspec.structs.replace(made, card=msgspec.structs.replace(made.card, name="another"))
    second.engine.piloting._parts = second.engine.piloting._parts._replace(
        source=Predictor(made, second.engine.symbols, BASE_NS)
    )
    with pytest.raises(StateError, match="was made with model"):
        second.continues(first)


def trades_of(world: PilotWorld, topic: str) -> list[tuple[Any, ...]]:
    """Entry, exit, side and R of every trade of the account or of the shadow book."""
    reason = "exit_reason" if topic == "trade.closed" else "exit"
    key = "r_multiple" if topic == "trade.closed" else "r"
    words = {"INTENT": "LEFT", "FLAT": "LEFT", "FLIP": "LEFT"}
    return [
        (one["entry_ns"], one["side"], words.get(one[reason], one[reason]), one[key])
        for one in world.records(topic)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_shadow_book_trades_as_the_account_would(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One symbol, no threshold, wide limits: PRIMARY's trades are SHADOW's shadow trades, entries, exits and R.

    What a symbol's record and the governor take off a size is the account's alone.
    """
    monkeypatch.setattr(Opening, "risk_factor", lambda self, index: 1.0)
    actions = np.random.default_rng(seed).choice(6, DECISIONS + 1, p=(0.15, 0.1, 0.1, 0.1, 0.1, 0.45))
    found = []
    for mode in (PilotMode.PRIMARY, PilotMode.SHADOW):
        world = PilotWorld(
            lambda number, place: TABLE[actions[number]], mode, sure=0.0, recording=bars(1, seed=seed, noise=0.004),
        )
        world.pilot.range_ratios[:] = 0.004
        world.all()
        found.append((trades_of(world, "trade.closed"), trades_of(world, "pilot.closed"), world))
    real_trades, beside, primary = found[0]
    _, shadow_trades, shadow = found[1]
    assert len(real_trades) >= 6
    assert {one[2] for one in real_trades} == {"LEFT", "STOP"}
    assert [one[:3] for one in shadow_trades] == [one[:3] for one in real_trades]
    assert [one[3] for one in shadow_trades] == pytest.approx([one[3] for one in real_trades], abs=1e-9)
    assert [one[:3] for one in beside] == [one[:3] for one in real_trades], "the book goes on in PRIMARY"
    for mine, its in zip(primary.pilot.own, shadow.pilot.own, strict=True):
        assert its[:, :5] == pytest.approx(mine[:, :5], rel=1e-3, abs=1e-9)


def test_a_consensus_in_the_hybrids_book_is_not_taken_back() -> None:
    """Twelve tenths stay twelve tenths while both want the same."""
    world = PilotWorld(
        lambda number, place: LONG_SMALL if place == 0 else HOLD, PilotMode.SHADOW, sure=0.9, prior=3.0,
        wanted=lambda number: 1.5 if number >= 0 else np.nan,
    ).until(4)
    book = world.engine.piloting._parts.shadows._books[2]
    before = float(book.position_rows[0, 0])
    assert before * world.engine.market.close(0) == pytest.approx(0.12 * 10_000.0, rel=0.02)
    world.until(9)
    assert float(book.position_rows[0, 0]) == before
    assert ONE in world.engine.symbols
