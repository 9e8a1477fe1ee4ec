"""Entries that rest post-only: how long, at which price, and what goes to market after them."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from tests.engine.test_engine_events import SYMBOL, approved_entry, engine, orders, update
from tests.lab.test_sweep_equals_engine import (
    BY_SCORE,
    LIVE,
    OBSERVE,
    Hourly,
    loaded,
    rough_recording,
    sweep_settings,
    through_engine,
)

from quantum_trader.app.settings import load_settings
from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.trading import CancelRequest, Fill
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ids import entry_intent_id
from quantum_trader.engine.opening_orders import Pending
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.policy.profiles import OrchestratorConfig
from quantum_trader.risk.guard import AccountView, RiskLimits


class Orders:
    """Keeps what the records say of orders and fills."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        self.fills: list[Any] = []

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record."""
        if topic in ("order.submitted", "order.filled"):
            data = msgspec.json.decode(line)["data"]
            if topic == "order.filled":
                self.fills.append(data)
            else:
                self.sent[data["client_order_id"]] = data


@pytest.mark.parametrize(("bars", "integration"), [(1, OBSERVE), (3, LIVE)], ids=["one", "three"])
def test_an_entry_rests_at_the_close_and_then_goes_to_market(
    bars: int, integration: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills at its price alone, as a maker, where a bar trades through; what is left goes after so many bars."""
    kept = Orders()
    monkeypatch.setattr("tests.lab.test_sweep_equals_engine.Decisions", lambda: kept)
    recording = rough_recording(0)
    settings = sweep_settings(
        "AGGRESSIVE", integration, maker_entry_bars=bars, limits=RiskLimits(max_risk_pct=10.0, daily_loss_pct=40.0)
    )
    through_engine(recording, settings, models=lambda: [loaded(Hourly, BY_SCORE, bars=5)])

    closes, low_high = {}, {}
    for ts_ns, ohlcv, present, _ in recording.chunks():
        for at, s in itertools.product(range(len(ts_ns)), range(len(recording.symbols))):
            if present[at, s]:
                key = recording.symbols[s], int(ts_ns[at])
                low_high[key], closes[key[0], key[1] + recording.interval_ns] = ohlcv[at, s, 1:3], ohlcv[at, s, 3]
    entries = [one for one in kept.sent.values() if not one["reduce_only"]]
    resting = {one["client_order_id"]: one for one in entries if one["type"] == "LIMIT_MAKER"}
    by_intent: dict[str, list[Any]] = {}
    for one in entries:
        by_intent.setdefault(entry_intent_id(one["intent_id"]), []).append(one)
    assert len(resting) > 20
    for one in resting.values():
        assert one["price"] == pytest.approx(closes[one["symbol"], one["created_ns"]], rel=1e-3)
        assert by_intent[one["intent_id"]][0] is one

    made = [fill for fill in kept.fills if fill["client_order_id"] in resting]
    assert len(made) > 5
    for fill in made:
        one = resting[fill["client_order_id"]]
        assert (fill["price"], fill["liquidity"]) == (one["price"], "maker")
        opened = fill["ts_ns"] // recording.interval_ns * recording.interval_ns
        high, low = low_high[one["symbol"], opened]
        assert low < one["price"] if one["side"] == "BUY" else high > one["price"]
        assert opened - one["created_ns"] < bars * recording.interval_ns

    later = [sent for sent in by_intent.values() if len(sent) > 1]
    assert len(later) >= 2
    for first, second in later:
        assert (first["type"], second["type"], second["qty"]) == ("LIMIT_MAKER", "MARKET", first["qty"])
        assert second["created_ns"] - first["created_ns"] >= bars * recording.interval_ns
    assert all(fill["liquidity"] == "taker" for fill in kept.fills if fill["client_order_id"] not in resting)


def resting(filled: float = 0.0) -> tuple[Engine, str]:
    """An engine with an entry of 0.01 at rest, of which *filled* has filled; and the entry's order id."""
    trader = engine()
    trader.market.kernel.out[:, 0:] = 1.0
    verdict, plan = approved_entry()
    plan.confidence = 0.9
    trader.opening.orders.pending[SYMBOL] = Pending(
        plan=plan, margin=20.0, expires_ns=40, rests_until_ns=100, intent=verdict.intent
    )
    order = orders(trader.gateway.open(verdict, 10_000.0))[0]
    assert (order.type, order.price) == (OrderType.LIMIT_MAKER, 10_000.0)
    trader.on_event(update(order.client_order_id, OrderStatus.NEW))
    if filled:
        trader.on_event(fill_of(order.client_order_id, filled, "f1"))
    return trader, order.client_order_id


def fill_of(order_id: str, qty: float, name: str) -> Fill:
    """A fill of an entry at its price."""
    return Fill(
        fill_id=name, client_order_id=order_id, symbol=SYMBOL, side=OrderSide.BUY, qty=qty, price=10_000.0, fee=0.0,
        liquidity="maker", ts_ns=20,
    )


def sent_at_market(trader: Engine, order_id: str, filled: float = 0.0) -> list[float]:
    """The quantities of the opening market orders that follow when the venue reports the entry cancelled."""
    commands = trader.on_event(update(order_id, OrderStatus.CANCELED, filled=filled))
    return [one.qty for one in orders(commands) if one.type is OrderType.MARKET and not one.reduce_only]


def guarded(trader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the market be there for the guard: a price and fresh data."""
    monkeypatch.setattr(trader.market, "close", lambda index: 10_000.0)
    view = AccountView(
        now_ns=100, equity=10_000.0, used_margin=0.0, open_positions=0, position_qty=0.0, data_ns=100, cost_in_r=0.05
    )
    monkeypatch.setattr(trader.opening, "_view", lambda *a: view)


def test_what_a_person_cancels_does_not_go_to_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its time nothing follows a cancel; after it the whole order does, once."""
    trader, order_id = resting()
    guarded(trader, monkeypatch)
    assert sent_at_market(trader, order_id) == []
    assert not trader.opening.orders.pending

    trader, order_id = resting()
    guarded(trader, monkeypatch)
    trader.opening.orders.pending[SYMBOL].timed_out = True
    assert sent_at_market(trader, order_id) == [0.01]
    assert trader.opening.orders.pending[SYMBOL].rests_until_ns == 0
    assert trader.opening.orders.pending[SYMBOL].plan.intent_id == "i1-rest"
    assert sent_at_market(trader, order_id) == []
    assert SYMBOL in trader.opening.orders.pending


def test_only_what_has_not_filled_goes_to_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest waits for the fills that the final status counts, so that nothing is bought twice."""
    trader, order_id = resting(filled=0.004)
    guarded(trader, monkeypatch)
    trader.opening.orders.pending[SYMBOL].timed_out = True
    assert sent_at_market(trader, order_id, filled=0.007) == []
    commands = trader.on_event(fill_of(order_id, 0.003, "f2"))
    assert [one.qty for one in orders(commands) if one.type is OrderType.MARKET] == [pytest.approx(0.003)]
    assert trader.account.books.positions[SYMBOL].qty == pytest.approx(0.007)


def test_nothing_follows_where_the_part_that_filled_is_being_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop or a person has ended that trade."""
    trader, order_id = resting(filled=0.004)
    guarded(trader, monkeypatch)
    trader.opening.orders.pending[SYMBOL].timed_out = True
    trader.account.books.positions[SYMBOL].exit_reason = ExitReason.STOP
    assert sent_at_market(trader, order_id, filled=0.004) == []


def test_the_guard_is_asked_again_before_the_market_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A halt that came meanwhile refuses it, and the failure is on record."""
    trader, order_id = resting()
    guarded(trader, monkeypatch)
    monkeypatch.setattr(trader.opening, "_view", lambda *a: AccountView(
        now_ns=100, equity=10_000.0, used_margin=0.0, open_positions=0, position_qty=0.0, data_ns=100, cost_in_r=0.05,
        kill=True,
    ))
    trader.opening.orders.pending[SYMBOL].timed_out = True
    assert sent_at_market(trader, order_id) == []
    assert trader.records.tally.topics["risk.denied"] == 1
    assert trader.records.tally.topics["trade.failed"] >= 1
    assert not trader.opening.orders.pending


def test_a_halt_cancels_an_entry_at_rest_before_the_next_bar() -> None:
    """An order that could still fill may not outlive the halt; without one it rests until its bars are over."""
    trader, order_id = resting()
    ttl_ns = trader.settings.intent_ttl_s * 1_000_000_000
    assert trader.on_timer(41) == []
    assert [type(one) for one in trader.on_timer(101 + ttl_ns)] == [CancelRequest]

    trader, order_id = resting()
    trader.halt("a look at the account", 50)
    (command,) = trader.on_timer(51)
    assert isinstance(command, CancelRequest)
    assert command.client_order_id == order_id
    assert sent_at_market(trader, order_id) == []


def test_an_entry_at_rest_ends_when_the_gates_close() -> None:
    """At the next bar it is cancelled, and nothing goes to market."""
    trader, _ = resting()
    assert trader.opening.orders.expire(60) == []
    trader.halt("a look at the account", 60)
    assert len(trader.opening.orders.expire(61)) == 1
    assert trader.opening.orders.pending[SYMBOL].timed_out is False


def test_an_entry_at_rest_of_which_a_part_has_filled_counts_as_one_position() -> None:
    """Position and order are one trade: for hours they would take two of the few places."""
    trader, _ = resting(filled=0.004)
    assert (len(trader.account.books.positions), len(trader.opening.orders.pending)) == (1, 1)
    assert trader.opening.orders.count == 1
    assert trader.opening.orders.expire(60) == []

    trader, _ = resting()
    assert trader.opening.orders.count == 1


def test_entries_go_at_market_by_default() -> None:
    """The setting is off, and takes whole bars alone."""
    assert EngineSettings(profile=OrchestratorConfig.from_profile("SAFE")).maker_entry_bars == 0
    assert load_settings(None, {"engine.maker_entry_bars": (2, "--set")}).settings.engine.maker_entry_bars == 2
    for bad in (-1, 1001, 0.5):
        with pytest.raises(ConfigError, match=r"engine\.maker_entry_bars"):
            load_settings(None, {"engine.maker_entry_bars": (bad, "--set")})
