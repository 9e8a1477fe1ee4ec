"""Scores from outside in a live session: used at the next bar of their model, kept through a kill, never too early."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, MemoryLog, MemoryStore, World, orders

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import OrderStatus, Side
from quantum_trader.domain.trading import OutsideScore
from quantum_trader.live.inputs import ScoreReceived, SessionStarted
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.loading import ModelSettings, load_models
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig

EAGER = {"integration": OrchestratorIntegrationConfig(fixed_confidence=0.0)}
HOURS = 30  # until the range of 22 bars is known


def world_of(log: MemoryLog | None = None, store: MemoryStore | None = None) -> World:
    """A world whose signals are the scores that come, looked at each hour."""
    settings = ModelSettings(model="outside-scores", params={"bars": "1h", "max_age": "6h"}, prior=(3.0, 0.5))
    return World(log, store, forecasts=Forecasts((SYMBOL, OTHER), MINUTE, load_models([settings])), **EAGER)


def minutes(world: World, first: int, last: int) -> list[Any]:
    """The minutes from *first* to before *last*; market orders are filled, and what was sent is returned."""
    sent = []
    for minute in range(first, last):
        price = 10_000.0 * (1.0 + 0.004 * math.sin(minute / 37.0))
        for order in orders(world.bar(minute, price, 1_000.0 * (1.0 + 0.003 * math.sin(minute / 29.0)))):
            sent.append(order)
            world.update(order, OrderStatus.NEW)
            if order.type.value == "MARKET":
                stops = orders(world.fill(order, order.qty, price, symbol=order.symbol))
                world.update(order, OrderStatus.FILLED, filled=order.qty)
                for stop in stops:
                    world.update(stop, OrderStatus.NEW)
    return sent


def score(world: World, name: str, value: float, symbol: str = SYMBOL, later_ns: int = 0, **more: Any) -> ScoreReceived:
    """A score that comes *later_ns* after the newest bar's close."""
    now_ns = world.now_ns + later_ns
    fields: dict[str, Any] = {"source": "tv", "created_ns": now_ns, **more}
    return ScoreReceived(
        ts_ns=now_ns, score=OutsideScore(score_id=name, symbol=symbol, score=value, **fields)
    )


def begun() -> World:
    """A world with warm bars and no score."""
    world = world_of()
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    assert minutes(world, 0, HOURS * 60) == []
    return world


def test_a_score_is_traded_at_the_next_bar_of_its_model_and_left_when_it_is_zero() -> None:
    """Nothing before that bar; the signal, the decision and the order name the score; CLOSE leaves."""
    world = begun()
    assert np.isnan(world.engine.market.forecasts.out[:, fc.SCORE]).all()
    world.tell(score(world, "tv-1", 1.0, later_ns=MINUTE // 2))
    assert minutes(world, HOURS * 60, HOURS * 60 + 59) == []
    sent = minutes(world, HOURS * 60 + 59, HOURS * 60 + 60)
    assert [(one.symbol, one.reduce_only) for one in sent] == [(SYMBOL, False)]
    (received,) = world.records("score.received")
    assert (received["trace_id"], received["data"]["source"], received["data"]["score"]) == ("tv-1", "tv", 1.0)
    (signal,) = world.records("signal.generated")
    assert signal["data"]["outside_scores"] == ["tv-1"]
    assert world.records("models.decided")[-1]["data"]["outside_scores"] == ["tv-1", ""]
    assert (world.engine.account.books.positions[SYMBOL].sign, signal["data"]["model"]) == (1, "outside-scores")
    world.tell(score(world, "tv-2", 0.0))
    left = minutes(world, (HOURS + 1) * 60, (HOURS + 2) * 60 + 1)
    assert any(one.reduce_only and one.type.value == "MARKET" for one in left)
    assert SYMBOL not in world.engine.account.books.positions


def test_a_score_that_comes_after_a_close_is_not_used_at_that_close() -> None:
    """The bar is decided on a second late, and the score came in between: the next bar is its first."""
    world = begun()
    minutes(world, HOURS * 60, HOURS * 60 + 59)
    world.tell(score(world, "tv-1", 1.0, later_ns=MINUTE + 1))
    assert orders(world.bar(HOURS * 60 + 59, 10_000.0, 1_000.0, late_ns=10**9)) == []
    assert math.isnan(world.engine.market.forecasts.out[0, fc.SCORE])
    assert minutes(world, (HOURS + 1) * 60, (HOURS + 1) * 60 + 59) == []
    assert len(minutes(world, (HOURS + 1) * 60 + 59, (HOURS + 2) * 60)) == 1


def test_a_score_at_the_close_itself_is_used_at_that_close() -> None:
    """It was there when the bar closed."""
    world = begun()
    minutes(world, HOURS * 60, HOURS * 60 + 59)
    world.tell(score(world, "tv-1", 1.0, later_ns=MINUTE))
    assert len(orders(world.bar(HOURS * 60 + 59, 10_000.0, 1_000.0, late_ns=10**9))) == 1


def test_a_score_grows_old_and_its_position_is_left() -> None:
    """Six hours after it came there is no view, and no view holds nothing."""
    world = begun()
    world.tell(score(world, "tv-1", -1.0))
    minutes(world, HOURS * 60, (HOURS + 6) * 60)
    assert world.engine.account.books.positions[SYMBOL].sign == -1
    minutes(world, (HOURS + 6) * 60, (HOURS + 7) * 60 + 1)
    assert SYMBOL not in world.engine.account.books.positions
    assert world.records("models.decided")[-1]["data"]["outside_scores"] == ["", ""]


@pytest.mark.parametrize(("symbol", "more", "reason"), [
    ("LTCUSDT", {}, "UNKNOWN_SYMBOL"), (SYMBOL, {"created_ns": START}, "EXPIRED"),
    (SYMBOL, {"leaves": Side.LONG}, "NO_SCORE_OF_SIDE"),
])
def test_a_score_that_changes_nothing_is_recorded_with_the_reason(
    symbol: str, more: dict[str, Any], reason: str
) -> None:
    """It does not stop the session, and no model has a view."""
    world = begun()
    world.tell(score(world, "tv-1", 1.0, symbol, **more))
    (refused,) = world.records("score.refused")
    assert (refused["data"]["reason"], refused["trace_id"], refused["data"]["source"]) == (reason, "tv-1", "tv")
    assert world.records("score.received") == []
    assert minutes(world, HOURS * 60, (HOURS + 1) * 60) == []
    assert world.session.shield.failures == 0


def test_a_session_without_such_a_model_refuses_scores() -> None:
    """The intraday ensemble looks at none."""
    world = World(**EAGER)
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    world.tell(score(world, "tv-1", 1.0))
    assert world.records("score.refused")[0]["data"]["reason"] == "NO_MODEL"


@pytest.mark.parametrize("saved", ["before the score", "after the score", "never"])
def test_killed_between_receipt_and_bar_nothing_is_lost_and_the_records_are_the_same(saved: str) -> None:
    """From the input log, or from a checkpoint that holds the score: the next process trades as the first would."""
    whole, cut = begun(), begun()
    for world in (whole, cut):
        if saved == "before the score" and world is cut:
            world.session.checkpoint()
        world.tell(score(world, "tv-1", 1.0))
        world.tell(score(world, "tv-2", -1.0, OTHER, expires_ns=world.now_ns + 3 * NS_PER_HOUR))
        minutes(world, HOURS * 60, HOURS * 60 + 30)
    if saved == "after the score":
        cut.session.checkpoint()
    again = world_of(cut.log, cut.store)
    saved_state = cut.store.load()
    again.session.recover(lambda _: again.engine.records.recorder.resume(saved_state["engine"]["seq"], ()))
    assert again.session.recent_scores == ([] if saved == "after the score" else ["tv-1", "tv-2"])
    again.fills = cut.fills
    whole.session.finish_bars()
    known = len(whole.sink.lines)
    sent = [minutes(world, HOURS * 60 + 30, (HOURS + 5) * 60) for world in (whole, again)]
    assert sent[0] == sent[1] != []
    assert again.sink.lines[-(len(whole.sink.lines) - known):] == whole.sink.lines[known:]
    assert {one["data"]["reason"] for one in again.records("score.refused")} == set()


def test_a_score_that_cannot_be_written_down_closes_openings() -> None:
    """As with every input: it is taken, and nothing opens until a checkpoint has brought state and log together."""
    world = begun()
    world.log.full = True
    world.tell(score(world, "tv-1", 1.0))
    assert not world.engine.halts.inputs_written
    world.log.full = False
    assert world.session.checkpoint()
    assert len(minutes(world, HOURS * 60, (HOURS + 1) * 60)) == 1
