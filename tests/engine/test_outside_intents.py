"""An intent from outside: judged on the stop that is placed, sized as a signal would be, answered with a reason."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.journal.records import CheckedSink

from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import Fill, Intent, OrderRequest, OrderUpdate
from quantum_trader.engine.core import Engine
from quantum_trader.engine.recorded_intents import RecordedIntents
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market import performance as perf
from quantum_trader.market.instruments import instrument_for
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.profiles import OrchestratorConfig
from quantum_trader.risk.guard import RiskLimits
from quantum_trader.signals import columns as col

SYMBOL, HOUR = "BTCUSDT", 3_600_000_000_000
START = 1_700_006_400_000_000_000


class Desk:
    """An engine that has seen bars of 10,000 with an hourly ATR of 133, and what it recorded."""

    def __init__(self, **limits: Any) -> None:
        self.sink = CheckedSink()
        settings = EngineSettings(
            profile=OrchestratorConfig.from_profile("STANDARD"),
            integration=OrchestratorIntegrationConfig(fixed_risk_pct=2.0, fixed_confidence=0.5),
            limits=RiskLimits(**{"max_exposure_pct": 100.0, "max_cost_r": 10.0, **limits}),
        )
        self.engine = Engine([instrument_for(SYMBOL, 10_000.0)[0]], HOUR, settings, self.sink)
        bar = np.array([[10_000.0, 10_066.5, 9_933.5, 10_000.0, 100.0]])
        for row in range(400):
            self.engine.on_batch(MarketBatch(START + row * HOUR, HOUR, bar, np.ones(1, dtype=np.bool_)))
        self.now_ns = self.engine.now_ns
        assert self.engine.market.kernel.out[0, col.ATR_1H] == pytest.approx(133.0)

    def intent(self, name: str = "x1", **changes: Any) -> list[OrderRequest]:
        """The orders that an intent leads to: a long of 3 at 10,000 with its stop at 9,990 and leverage 10."""
        fields: dict[str, Any] = {
            "intent_id": name, "trace_id": f"trace-{name}", "symbol": SYMBOL, "side": Side.LONG, "qty": 3.0,
            "reduce_only": False, "reference_price": 10_000.0, "stop_price": 9_990.0, "leverage": 10.0,
            "created_ns": self.now_ns, "expires_ns": self.now_ns + 30_000_000_000, "source": "DESK", "confidence": 1.0,
        }
        commands = self.engine.on_intent(Intent(**(fields | changes)), self.now_ns)
        return [command for command in commands if isinstance(command, OrderRequest)]

    def filled(self, order: OrderRequest, price: float) -> dict[OrderType, OrderRequest]:
        """Fill *order* at *price*; returns the orders that protect the position, by type."""
        self.engine.on_event(OrderUpdate(
            client_order_id=order.client_order_id, venue_order_id="1", symbol=SYMBOL, status=OrderStatus.NEW,
            ts_ns=self.now_ns,
        ))
        commands = self.engine.on_event(Fill(
            fill_id=order.client_order_id, client_order_id=order.client_order_id, symbol=SYMBOL, side=order.side,
            qty=order.qty, price=price, fee=0.0, liquidity="taker", ts_ns=self.now_ns + 1,
        ))
        self.now_ns += HOUR
        return {command.type: command for command in commands if isinstance(command, OrderRequest)}

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Data of the records of one topic."""
        found = [msgspec.json.decode(line) for line in self.sink.lines]
        return [one["data"] for one in found if one["topic"] == topic]


def test_the_stop_that_is_judged_is_the_stop_that_is_placed() -> None:
    """Equity 10,000, ATR 133, stop 10 below: from a fill at 10,004 it rests at 9,994, and its loss is under 2 %."""
    desk = Desk()
    (order,) = desk.intent()
    assert order.qty * 10.0 <= 200.0
    stop = desk.filled(order, 10_004.0)[OrderType.STOP_MARKET]
    assert stop.stop_price == pytest.approx(9_994.0, abs=desk.engine.instruments[0].tick_size)
    assert order.qty * (10_004.0 - stop.stop_price) <= 0.02 * 10_000.0


def test_an_intent_without_a_stop_is_judged_on_the_stop_of_its_regime() -> None:
    """No stop stated: sized for the regime's stop and protected by it, the loss at it under 2 % of equity."""
    desk = Desk()
    (order,) = desk.intent(stop_price=0.0)
    stop = desk.filled(order, 10_000.0)[OrderType.STOP_MARKET]
    assert 10_000.0 - stop.stop_price > 100.0
    assert 150.0 < order.qty * (10_000.0 - stop.stop_price) <= 200.0


def test_the_record_of_the_symbol_halves_the_risk_of_an_intent() -> None:
    """A symbol with a poor record gets half the risk, for an intent as for a signal."""
    whole, halved = Desk(), Desk()
    halved.engine.account.performance.rows[0, perf.RISK_FACTOR] = 0.5
    (full,), (half,) = whole.intent(stop_price=9_900.0), halved.intent(stop_price=9_900.0)
    assert full.qty == pytest.approx(2.0)
    assert half.qty == pytest.approx(1.0)


@pytest.mark.parametrize("reduce_only", [False, True])
def test_an_opposite_or_reducing_intent_keeps_the_reason_of_a_position_that_is_closing(reduce_only: bool) -> None:
    """A position that closes for another reason keeps that reason, and no second close is sent."""
    desk = Desk()
    (order,) = desk.intent(qty=0.01)
    desk.filled(order, 10_000.0)
    position = desk.engine.account.books.positions[SYMBOL]
    desk.engine.protection.close(position, ExitReason.TIMEOUT, desk.now_ns)
    assert desk.intent("x2", side=Side.SHORT, stop_price=10_010.0, reduce_only=reduce_only) == []
    assert position.exit_reason is ExitReason.TIMEOUT


def test_an_opposite_intent_closes_the_position_and_opens_nothing() -> None:
    """The close goes out, the intent fails with the reason."""
    desk = Desk()
    (order,) = desk.intent(qty=0.01)
    desk.filled(order, 10_000.0)
    (close,) = desk.intent("x2", side=Side.SHORT, stop_price=10_010.0)
    assert (close.side, close.reduce_only) == (OrderSide.SELL, True)
    assert desk.records("trade.failed")[-1]["reason"] == "CLOSES_FIRST"


def test_an_intent_is_recorded_before_its_effects_with_its_source() -> None:
    """intent.received, then trade.intent; a trade of it carries the source's name."""
    desk = Desk()
    (order,) = desk.intent(qty=0.01)
    topics = [msgspec.json.decode(line)["topic"] for line in desk.sink.lines]
    assert topics[topics.index("intent.received"):][:3] == ["intent.received", "trade.intent", "order.submitted"]
    assert desk.records("intent.received")[0]["source"] == "DESK"
    stop = desk.filled(order, 10_000.0)[OrderType.STOP_MARKET]
    desk.filled(stop, 9_990.0)
    assert [trade.model for trade in desk.engine.records.tally.trades] == ["DESK"]


def test_an_intent_for_an_unknown_symbol_fails_and_raises_nothing() -> None:
    """One wrong symbol of another program must not halt trading."""
    desk = Desk()
    assert desk.intent(symbol="DOGEUSDT") == []
    assert desk.records("trade.failed")[-1]["reason"] == "UNKNOWN_SYMBOL"


def intents(*created: int) -> list[Intent]:
    """One intent for each time of creation, alive for 5 ns."""
    return [
        Intent(
            intent_id=f"x{number}", trace_id="t", symbol=SYMBOL, side=Side.LONG, qty=1.0, reduce_only=False,
            reference_price=1.0, stop_price=0.0, leverage=1.0, created_ns=at, expires_ns=at + 5, source="DESK",
        )
        for number, at in enumerate(created)
    ]


def test_recorded_intents_are_due_once_at_the_first_close_at_or_after_their_creation() -> None:
    """Created at 7 and 10: due at 10, where their life of 5 begins."""
    recorded = RecordedIntents(intents(10, 7, 11))
    assert recorded.next_ns == 7
    due = recorded.due(10)
    assert [(one.intent_id, one.created_ns, one.expires_ns) for one in due] == [("x1", 10, 15), ("x0", 10, 15)]
    assert recorded.due(10) == []
    assert recorded.next_ns == 11


def test_recorded_intents_continue_from_their_state() -> None:
    """What was given is not given again, what was received and not given is."""
    before = RecordedIntents(intents(7, 20))
    before.due(10)
    before.add(intents(11)[0])
    after = RecordedIntents(intents(7, 20))
    after.load_state(before.state())
    assert [one.created_ns for one in after.due(20)] == [20, 20]
    assert after.due(40) == []
