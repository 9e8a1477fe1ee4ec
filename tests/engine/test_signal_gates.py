"""The six gates on the road of an order: on record for every signal, refusing once they are enforced."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from tests.engine.test_position_sizes import HOURS, START, SYMBOL, World

from quantum_trader.domain.enums import Side
from quantum_trader.domain.trading import Intent
from quantum_trader.engine.decision_inputs import DecisionInputs, decide_again
from quantum_trader.engine.record_types import json_type
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_REASONS
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH, EntryFeatures
from quantum_trader.models.gates import GATES, GateSettings, ModeLimits
from quantum_trader.risk.guard import REASON_CODES

WIDE = ModeLimits(
    max_spread_bps=1_000.0, min_volume_ratio=0.0, regimes=("TRENDING", "RANGING", "UNKNOWN"), margin_bps=-1_000.0,
    min_confidence=0.0, min_win_probability=0.001,
)


def gates(**settings: Any) -> GateSettings:
    """Gates that let everything through but for *settings*, which are those of the mode trend or of all gates."""
    own = {key: settings.pop(key) for key in list(settings) if key in ModeLimits.__struct_fields__}
    return GateSettings(trend=msgspec.structs.replace(WIDE, **own), **settings)


class Fixed:
    """A meta-label that says the same of every signal, and keeps what it was asked."""

    model_id = "ab" * 32

    def __init__(self, probability: float) -> None:
        self.said, self.asked = probability, list[EntryFeatures]()

    def probability(self, features: EntryFeatures) -> float:
        """Always the same."""
        self.asked.append(features)
        return self.said


def flips(hour: int) -> float:
    """Long and short in turn, each for a day."""
    return 1.0 if (hour // 24) % 2 else -1.0


def decoded(data: dict[str, Any]) -> DecisionInputs:
    """The inputs on record, where JSON has null for a figure that is not finite."""
    plain = msgspec.to_builtins(msgspec.convert(data, json_type(DecisionInputs)))

    def figure(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [figure(one) for one in value]
        return math.nan if value is None else value

    rows = {key: figure(value) if key not in ("quantity", "position") else value for key, value in plain.items()}
    return msgspec.convert(rows, DecisionInputs)


def test_every_signal_has_its_gates_features_and_inputs_on_record() -> None:
    """Six gates in their order for each signal, whatever became of it, and the features of a meta-label."""
    world = World(flips).until(HOURS - 2)
    decided, judged = world.records("signal.decided"), world.records("signal.judged")
    inputs = world.records("signal.inputs")
    assert len(decided) > 5
    assert [one["signal_id"] for one in judged] == [one["signal_id"] for one in decided]
    assert [one["signal_id"] for one in inputs] == [one["signal_id"] for one in decided]
    for one in judged:
        assert tuple(each["gate"] for each in one["gates"]) == GATES
        assert tuple(one["features"]) == ENTRY_FEATURES
        assert (one["mode"], one["features_hash"], one["meta_label"]) == ("trend", ENTRY_FEATURES_HASH, "")
        label = one["gates"][-1]
        assert (label["measured"], label["passed"], label["enforced"]) == (False, False, False)


@pytest.mark.parametrize("enforced", [(), ("cost",), ("volume", "confidence"), GATES])
def test_a_decision_made_again_from_its_record_is_the_same(enforced: tuple[str, ...]) -> None:
    """Reason, figure and limit, of every signal, through JSON."""
    settings = GateSettings(enforced=enforced, mode="scalp")
    world = World(flips, gates=settings).until(HOURS - 2)
    decided, inputs = world.records("signal.decided"), world.records("signal.inputs")
    assert len(decided) > 5
    for one, data in zip(decided, inputs, strict=True):
        again = decide_again(decoded(data))
        reason = ROAD_REASONS.get(again.road, "") if again.road != ROAD_APPROVED else ""
        if again.road == ROAD_APPROVED and again.guard:
            found = REASON_CODES[again.guard]
            assert found is not None
            reason = found.value
        assert reason == one["reason"]
        assert again.is_approved == (one["decision"] == "ALLOWED")


@pytest.mark.parametrize(("changed", "reason"), [
    ({"max_spread_bps": 0.0}, "GATE_SPREAD"), ({"min_volume_ratio": 50.0}, "GATE_VOLUME"),
    ({"regimes": ("UNKNOWN",)}, "GATE_REGIME"), ({"margin_bps": 1_000.0}, "GATE_COST"),
    ({"min_confidence": 1.0}, "GATE_CONFIDENCE"), ({"min_win_probability": 0.5}, "GATE_META_LABEL"),
])
def test_each_gate_refuses_where_it_is_enforced_and_only_there(changed: dict[str, Any], reason: str) -> None:
    """Observed it is on record alone; enforced nothing opens, and the refusal names figure and limit."""
    name = reason.removeprefix("GATE_").lower()
    observed = World(lambda _: 1.0, gates=gates(**changed)).until(START + 2)
    assert observed.records("trade.intent")
    refused = [one["refused"] for one in observed.records("signal.judged")]
    assert refused
    assert all(name in one for one in refused)
    world = World(lambda _: 1.0, gates=gates(enforced=(name,), **changed)).until(START + 2)
    assert not world.records("trade.intent")
    told = world.records("signal.decided")
    assert {one["reason"] for one in told} == {reason}
    if name != "meta_label":
        assert all(one["limit"] is not None and one["observed"] is not None for one in told)


def test_a_meta_label_is_asked_with_the_features_on_record_and_lets_pass_what_it_likes() -> None:
    """Its probability stands against the gate's limit; its id is on record."""
    label = Fixed(0.6)
    world = World(lambda _: 1.0, gates=gates(enforced=("meta_label",), min_win_probability=0.5))
    world.engine.opening.gates.meta_label = label
    world.until(HOURS - 2)
    assert world.records("trade.intent")
    judged = world.records("signal.judged")[0]
    assert judged["gates"][-1]["observed"] == 0.6
    assert judged["meta_label"] == Fixed.model_id
    first = [None if math.isnan(value) else value for value in label.asked[0]]
    assert first == list(judged["features"].values())
    label.said = 0.4
    refused = World(lambda _: 1.0, gates=gates(enforced=("meta_label",), min_win_probability=0.5))
    refused.engine.opening.gates.meta_label = label
    refused.until(HOURS - 2)
    assert {one["reason"] for one in refused.records("signal.decided")} == {"GATE_META_LABEL"}


def outside(world: World, confidence: float) -> None:
    """An intent from outside for a long position."""
    engine, price = world.engine, world.engine.market.close(0)
    now_ns = engine.market.now_ns
    intent = Intent(
        intent_id=f"out-{now_ns}", trace_id="out", symbol=SYMBOL, side=Side.LONG, qty=1.0, reduce_only=False,
        reference_price=price, stop_price=price * 0.9, leverage=5.0, created_ns=now_ns,
        expires_ns=now_ns + 30_000_000_000, source="person", risk_pct=1.0, confidence=confidence, policy_hash="",
    )
    engine.opening.take_intent(intent, now_ns)


def test_intents_from_outside_meet_the_gates_of_the_market_and_not_those_of_a_forecast() -> None:
    """A person's order has no forecast: cost and meta-label do not judge it, the spread does."""
    forecast = World(lambda _: math.nan, gates=gates(
        enforced=("cost", "meta_label"), margin_bps=1_000.0, min_win_probability=0.9,
    )).until(START + 10)
    outside(forecast, 0.9)
    assert forecast.records("trade.intent")
    wide = World(lambda _: math.nan, gates=gates(enforced=("spread",), max_spread_bps=0.0)).until(START + 10)
    outside(wide, 0.9)
    assert [one["reason"] for one in wide.records("trade.failed")] == ["GATE_SPREAD"]


def test_closing_is_never_gated() -> None:
    """With every gate refusing, a position that was opened before is closed when its score turns."""
    world = World(lambda hour: 1.0 if hour < START + 30 else -1.0, gates=gates()).until(START + 20)
    assert SYMBOL in world.engine.account.books.positions
    closed = GateSettings(enforced=GATES, trend=msgspec.structs.replace(WIDE, max_spread_bps=0.0))
    world.engine.opening.gates.set_settings(closed, {"actor": "test", "reason": "close"}, world.engine.market.now_ns)
    world.until(START + 40)
    assert SYMBOL not in world.engine.account.books.positions
    taken = world.records("gates.changed")
    assert [one["enforced"] for one in taken] == [list(GATES)]
    assert taken[0]["change"] == {"actor": "test", "reason": "close"}


def test_settings_and_payoff_survive_a_restart() -> None:
    """An engine that continues from a saved state has the same gates and the same payoff."""
    world = World(flips, gates=gates()).until(HOURS - 2)
    enforced = gates(enforced=("spread",))
    world.engine.opening.gates.set_settings(enforced, {}, world.engine.market.now_ns)
    payoff = world.engine.judging.payoff
    assert payoff.count > 3
    other = World(flips, gates=gates())
    other.engine.load_state(world.engine.state())
    assert other.engine.opening.gates.settings == enforced
    assert other.engine.judging.payoff == payoff


def test_the_payoff_is_two_to_one_before_thirty_shadow_trades_and_then_what_they_show() -> None:
    """Mean win over mean loss; a model that has not lost yet has no ratio of its own."""
    from quantum_trader.engine.payoff import Payoff

    payoff = Payoff()
    for _ in range(29):
        payoff.add(3.0)
    assert payoff.ratio == 2.0
    payoff.add(4.5)
    assert payoff.ratio == 2.0
    payoff.add(-0.5)
    payoff.add(-1.0)
    assert payoff.ratio == pytest.approx((29 * 3.0 + 4.5) / 30 / 0.75, rel=1e-12)
