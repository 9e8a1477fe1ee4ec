"""What must always hold (spec 2, section 5) on the live road, lines 10 to 12; ``mutations.py`` breaks each on purpose.

10: what is unknown makes safer. 11: limits survive restarts and midnight. 12: a gate's inputs cannot be rewritten.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, World, orders
from tests.properties.live_road import ETH, Road, held, look, refusal, restarted

from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_DEFENSIVE, GOV_EMERGENCY, OrderStatus
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import Intent, OrderRequest
from quantum_trader.engine import stage
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.engine.venue_port import Kline, StreamEvent
from quantum_trader.live import inputs
from quantum_trader.live.bus import TRADE_FAILED, TRADE_INTENT, InMemoryBus
from quantum_trader.live.inputs import (
    BarsReceived,
    FundingRateReceived,
    HealthChanged,
    Input,
    MoneyTransferred,
    SessionStarted,
)
from quantum_trader.live.intents import TradeIntentSubscriber
from quantum_trader.policy import layout as pol
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.risk.guard import AccountView, RiskLimits
from quantum_trader.signals.settings import SignalSettings

NAN = math.nan
UNKNOWN = (NAN, math.inf, -math.inf)


def bars(world: World, minute: int, price: float, *, came: bool = True) -> list[Any]:
    """One bar of each symbol; the first symbol's at *price*, if it *came* at all."""
    rows = np.array([[price, price, price, price, 100.0], [1e3, 1.001e3, 999.0, 1e3, 100.0]])
    ts_ns = START + minute * MINUTE
    return world.tell(BarsReceived(
        ts_ns=ts_ns, received_ns=ts_ns + MINUTE, ohlcv=rows.tobytes(), present=np.array([came, True]).tobytes()
    ))


# ---------------------------------------------------------------------- 10. unknown, stale, not finite


def test_10_one_bad_bar_halts_nothing_three_in_a_row_do_and_three_good_ones_end_it(world: World) -> None:
    """Bad, good, bad, bad, bad, good, good, good: the symbol is halted after the fifth and free after the eighth."""
    told = []
    for step, good in enumerate((False, True, False, False, False, True, True, True)):
        bars(world, 1500 + step, 10_000.0 if good else (NAN, -1.0, math.inf)[step % 3])
        told.append(refusal(world, f"x{step}"))
        assert refusal(world, f"y{step}", **ETH) == "", "the other symbol has nothing to do with it"
    assert told == ["", "", "", "", "SYMBOL_HALTED", "SYMBOL_HALTED", "SYMBOL_HALTED", ""]
    assert len(world.records("market.refused")) == 4
    assert math.isfinite(world.engine.account.equity)


@pytest.mark.parametrize("value", UNKNOWN)
@pytest.mark.parametrize("field", ["qty", "reference_price", "stop_price", "leverage", "confidence"])
def test_10_an_unknown_number_in_an_intent_refuses_it(world: World, field: str, value: float) -> None:
    """Told by the bus or straight to the engine: no order either way."""
    bus, failed, sent = InMemoryBus(), [], []
    bus.subscribe(TRADE_FAILED, lambda _, event: failed.append(event["reason"]))
    TradeIntentSubscriber(bus, lambda told: sent.extend(world.tell(told)), lambda: world.now_ns)
    if not (field == "confidence" and value == math.inf):  # surely more than is asked for
        bus.publish(TRADE_INTENT, world.intent("x1", **{field: value}))
        assert refusal(world, "x2", **{field: value}) in ("NOT_FINITE", "NO_STOP", "INVALID", "LOW_CONFIDENCE")
    assert sent == []
    assert (failed != []) is (field in ("qty", "reference_price", "leverage"))


def test_10_unknown_equity_is_defensive_at_once_and_an_emergency_at_the_third_bar(world: World) -> None:
    """A fee that is no number: nothing opens from that moment on."""
    (opening,) = orders(world.wish())
    world.update(opening, OrderStatus.NEW)
    world.fill(opening, 0.01, fee=NAN)
    levels = []
    for minute in range(1500, 1503):
        assert refusal(world, f"x{minute}", **ETH) == "NOT_FINITE"
        world.bar(minute, 10_000.0, 1_000.0)
        levels.append(int(world.engine.account.governor[0]))
    assert levels == [GOV_DEFENSIVE, GOV_DEFENSIVE, GOV_EMERGENCY]


def test_10_late_and_missing_bars_open_nothing(world: World) -> None:
    """Bars that came ten minutes late, and a wish when none has come for four minutes."""
    now_ns = world.now_ns + 4 * MINUTE
    intent = world.intent("x1", created_ns=now_ns, expires_ns=now_ns + MINUTE)
    assert world.tell(inputs.IntentReceived(ts_ns=now_ns, intent=intent)) == []
    world.bar(1500, 10_000.0, 1_000.0, late_ns=10 * MINUTE)
    assert refusal(world, "x2") == "STALE_DATA"
    assert [one["data"]["reason"] for one in world.records("trade.failed")] == ["STALE_DATA"] * 2


@pytest.mark.parametrize("hours", [1, -1])
def test_10_while_the_clocks_disagree_nothing_opens(world: World, hours: int) -> None:
    """Our wall clock jumps by an hour: refused within two seconds, and again free when it is right again."""
    road = Road(world)

    async def script() -> None:
        road.offset_ns = hours * 3600 * NS_PER_SECOND
        await asyncio.sleep(2.5)
        assert refusal(world, "x1") == "DISCONNECTED"
        road.offset_ns = 0
        await asyncio.sleep(2.5)
        assert refusal(world, "x2", created_ns=road.local_ns(), expires_ns=road.local_ns() + MINUTE) == ""

    road.run(script)


def test_10_a_bar_from_the_future_is_no_bar(world: World) -> None:
    """It is counted and thrown away; what is decided next is the next minute."""
    road = Road(world)

    async def script() -> None:
        far = world.now_ns + 500 * MINUTE
        for symbol in (SYMBOL, OTHER):
            road.venue._queue.put_nowait(Kline(
                symbol=symbol, interval_ns=MINUTE, ts_ns=far, open=1e3, high=1e3, low=1e3, close=1e3, volume=1.0
            ))
        await asyncio.sleep(150.0)

    before = world.now_ns
    road.run(script)
    assert road.driver.counts["bars from the future"] == 2
    assert world.now_ns == before + 2 * MINUTE


def test_10_without_a_connection_nothing_opens(world: World) -> None:
    """A stream that is down is enough; a reduction goes out."""
    world.opened()
    world.tell(HealthChanged(ts_ns=world.now_ns, level=0, connected=False, reason="user stream down"))
    assert refusal(world, "x2", **ETH) == "DISCONNECTED"
    assert len(orders(world.wish("x3", reduce_only=True))) == 1


def test_10_money_that_is_no_number_opens_nothing(world: World) -> None:
    """A transfer of unknown size makes the wallet unknown."""
    world.tell(MoneyTransferred(ts_ns=world.now_ns, amount=NAN))
    assert refusal(world, "x1") == "NOT_FINITE"


@pytest.mark.parametrize("what", ["wallet", "position"])
def test_10_a_look_that_tells_no_number_is_not_agreement(world: World, what: str) -> None:
    """What cannot be compared differs."""
    world.opened()
    quantity = NAN if what == "position" else 0.01
    look(world, held(qty=quantity), wallet=NAN if what == "wallet" else world.engine.account.books.cash)
    assert world.engine.reconciler.open != []
    assert world.engine.reconciler.since_ns > 0


def test_10_an_unknown_funding_rate_opens_nothing(world: World) -> None:
    """Its cost is not known, so it may be above what an entry may cost."""
    world.tell(FundingRateReceived(ts_ns=world.now_ns, symbol=SYMBOL, rate_8h=NAN))
    world.bar(1500, 10_000.0, 1_000.0)
    assert refusal(world, "x1") == "NOT_FINITE"


def test_10_a_policy_that_fails_allows_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enforced and broken: the trading gate is shut, and opens when it works again."""
    world.engine.policy.integration = OrchestratorIntegrationConfig.create_live_mode_full()
    with monkeypatch.context() as patch:
        patch.setattr(stage, "policy_stage", lambda *_: 1 / 0)
        world.bar(1500, 10_000.0, 1_000.0)
    assert refusal(world, "x1") == "TRADING_GATE"
    assert world.engine.shield.failures == 1


# ---------------------------------------------------------------------- 11. restarts and midnight


@pytest.fixture(scope="module")
def late(warm: bytes) -> bytes:
    """The warm world at ten minutes to midnight."""
    world = restarted(warm)
    for minute in range(1500, 2870):
        world.bar(minute, 10_000.0 * (1.0 + 0.002 * math.sin(minute / 40.0)), 1_000.0)
    world.session.checkpoint()
    assert world.store.content is not None
    return world.store.content


def lose(world: World, name: str, amount: float, qty: float = 0.1) -> None:
    """A round trip in the second symbol that loses *amount* USDT."""
    (opening,) = orders(world.wish(name, **ETH | {"qty": qty}))
    world.fill(opening, qty, 1_000.0, symbol=OTHER, fill_id=f"{name}-1")
    world.say(order_over(world, opening))
    (close,) = orders(world.wish(f"{name}-close", symbol=OTHER, reduce_only=True))
    world.fill(close, qty, 1_000.0 - amount / qty, symbol=OTHER, fill_id=f"{name}-2")
    world.say(order_over(world, close))


def order_over(world: World, order: OrderRequest) -> Any:
    """The final status of *order*."""
    return inputs.OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, status=OrderStatus.FILLED,
        ts_ns=world.now_ns, filled_qty=order.qty,
    )


def lose_streak(world: World) -> None:
    """Seven losses in a row: the eighth is an EMERGENCY."""
    for number in range(7):
        lose(world, f"l{number}", 0.1)


def lose_much(world: World) -> None:
    """Six percent of the equity, and the bar that sees it."""
    lose(world, "much", 600.0, 6.0)
    world.bar(2870, 10_000.0, 1_000.0)


ARMED: dict[str, tuple[Callable[[World], Any], str]] = {
    "operator": (lambda w: w.request("halt", "drill"), "KILL_SWITCH"),
    "difference": (lambda w: [look(w, wallet=9_800.0) for _ in range(2)], "KILL_SWITCH"),
    "governor": (
        lambda w: [
            w.tell(HealthChanged(ts_ns=w.now_ns, level=level, connected=True, reason="queue"))
            for level in (GOV_EMERGENCY, 0)
        ],
        "GOVERNOR",
    ),
    "connection": (
        lambda w: w.tell(HealthChanged(ts_ns=w.now_ns, level=0, connected=False, reason="down")), "DISCONNECTED"
    ),
    "daily loss": (lose_much, "DAILY_LOSS"),
    "bad bars": (lambda w: [bars(w, 2870 + n, NAN) for n in range(3)], "SYMBOL_HALTED"),
    "order rate": (lambda w: refusal(w, "first"), "ORDER_RATE"),
}


@pytest.mark.parametrize("name", list(ARMED))
@pytest.mark.parametrize("by", ["checkpoint", "inputs"])
def test_11_it_survives_a_restart_and_midnight(late: bytes, name: str, by: str) -> None:
    """Armed at 23:50, the process ends, another one continues at 00:10: still refused, for the same reason."""
    arm, reason = ARMED[name]
    settings = {"limits": RiskLimits(max_orders_per_hour=1 if name == "order rate" else 60)}
    first = restarted(late, **settings)
    arm(first)
    if by == "checkpoint":
        first.session.checkpoint()
        again = restarted(first.store.content, **settings)
    else:
        again = restarted(late, first.log.entries, **settings)
    for minute in range(2874, 2890):
        bars(again, minute, 10_000.0, came=name != "bad bars")  # three good ones would end it
    assert again.now_ns // (1440 * MINUTE) > first.now_ns // (1440 * MINUTE)
    assert refusal(again, "after") == reason


def test_11_a_losing_streak_goes_on_over_midnight(late: bytes) -> None:
    """Seven losses before, one after a restart and midnight: the eighth in a row is an EMERGENCY."""
    first = restarted(late)
    lose_streak(first)
    first.session.checkpoint()
    again = restarted(first.store.content)
    for minute in range(2870, 2890):
        again.bar(minute, 10_000.0, 1_000.0)
    assert again.engine.account.books.losing_streak == 7
    assert int(again.engine.account.governor[0]) == GOV_DEFENSIVE
    lose(again, "eighth", 0.1)
    again.bar(2890, 10_000.0, 1_000.0)
    assert refusal(again, "after") == "GOVERNOR"


def test_11_a_state_that_cannot_be_read_is_not_an_empty_past(tmp_path: Path) -> None:
    """A damaged checkpoint and a damaged file of inputs stop the start; nothing is begun anew over them."""
    folder = StateDir(tmp_path / "state")
    folder.save_checkpoint({"engine": {}})
    (tmp_path / "state" / "checkpoint").write_bytes(b"half of it")
    for _ in range(2):
        with pytest.raises(StateError, match="damaged"):
            folder.load_checkpoint()
    folder.close()
    log = FileInputLog(tmp_path / "inputs")
    log.append(b"one")
    log._rotate()
    log.append(b"two")
    log.close()
    first = tmp_path / "inputs" / "inputs-00000001.log"
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    again = FileInputLog(tmp_path / "inputs")
    with pytest.raises(StateError, match="damaged at byte"):
        again.since(None)
    again.close()


# ---------------------------------------------------------------------- 12. a gate's inputs cannot be rewritten


def test_12_what_was_told_cannot_be_changed(world: World) -> None:
    """Every type an engine receives or decides by is frozen: inputs, intents, views, limits, snapshots, events."""
    kinds = {*get_args(Input), *get_args(StreamEvent), Intent, AccountView, RiskLimits, VenueSnapshot, OrderRequest}
    assert [kind.__name__ for kind in kinds if not kind.__struct_config__.frozen] == []
    with pytest.raises(AttributeError):
        world.intent().qty = 1.0


def test_12_an_intents_numbers_loosen_nothing(world: World) -> None:
    """Sure of itself, huge, and with a risk of its own: it gets the risk of a signal, within the guard's limits."""
    stop = 9_900.0
    asked = {"confidence": 1.0, "risk_pct": 90.0, "policy_hash": "mine", "qty": 50.0, "stop_price": stop}
    (opening,) = orders(world.wish("x1", leverage=10.0, **asked))
    limits, equity = world.engine.settings.limits, world.engine.account.equity
    risk_pct = min(world.engine.policy.used(0).risk_pct, limits.max_risk_pct)
    assert 0.0 < opening.qty * (10_000.0 - stop) <= equity * risk_pct / 100.0 * (1.0 + 1e-9)
    assert opening.qty * 10_000.0 / 10.0 <= equity * limits.max_exposure_pct / 100.0 * (1.0 + 1e-9)
    world.update(opening, OrderStatus.REJECTED, reason="-2019 test")
    assert refusal(world, "x2", leverage=50.0) == "LEVERAGE"


def test_12_an_intent_meets_the_policy_in_force(world: World) -> None:
    """Enforced, it refuses wishes as it refuses signals, and the confidence asked for is its own."""
    world.bar(1500, 10_000.0, 1_000.0)
    assert refusal(world, "x1") == ""
    world.engine.policy.integration = OrchestratorIntegrationConfig.create_live_mode_full()
    world.engine.policy.slots.out[:, pol.OUT_ALLOW] = 0.0
    assert refusal(world, "x2", confidence=1.0) == "TRADING_GATE"
    world.engine.policy.slots.out[:, pol.OUT_ALLOW] = 1.0
    world.engine.policy.slots.out[:, pol.OUT_SYMBOL_OK] = 1.0
    world.engine.policy.slots.out[:, pol.OUT_RISK_PCT] = 1.0
    world.engine.policy.slots.out[:, pol.OUT_MIN_CONF] = 0.8
    assert refusal(world, "x3", confidence=0.79) == "LOW_CONFIDENCE"


def test_12_what_is_not_learnt_yet_may_not_trade() -> None:
    """A kernel without enough bars falls back on nothing: the first start refuses until it is warm."""
    world = World()
    world.tell(SessionStarted(ts_ns=START, wallet=10_000.0, namespace="n-"))
    world.bar(0, 10_000.0, 1_000.0)
    assert refusal(world, "x1") == "WARM_UP"


def test_12_an_intent_without_a_name_is_refused(world: World) -> None:
    """Without intent id, trace id, symbol or source it is INVALID: its order could not be traced to a decision."""
    bus, failed, sent = InMemoryBus(), [], []
    bus.subscribe(TRADE_FAILED, lambda _, event: failed.append(event["reason"]))
    TradeIntentSubscriber(bus, lambda told: sent.extend(world.tell(told)), lambda: world.now_ns)
    for field in ("intent_id", "trace_id", "symbol", "source"):
        bus.publish(TRADE_INTENT, world.intent("x1", **{field: ""}))
    assert sent == []
    assert all(reason.startswith("INVALID") for reason in failed)
    assert len(failed) == 4


def test_12_signals_learnt_under_other_settings_are_not_taken_over(warm: bytes) -> None:
    """The same state under other parameters of the ensemble is refused: the process does not start with it."""
    restarted(warm)
    with pytest.raises(StateError, match="start a new state folder"):
        restarted(warm, signals=SignalSettings(edge=0.55))
