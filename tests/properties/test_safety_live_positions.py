"""What must always hold (spec 2, section 5) on the live road, lines 6 to 9; ``mutations.py`` breaks each on purpose.

6: every position has its stop at the venue. 7: leverage is read back. 8: the venue is the truth. 9: reducing is never
gated.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.app.fake_account import protected_account
from tests.live.live_world import OTHER, SYMBOL, World, cancels, orders
from tests.properties.live_road import ETH, Road, look, refusal, restarted
from tests.venues.binance.bench import SYMBOL as COIN
from tests.venues.binance.bench import adapter_for, order, stop, venue_of
from tests.venues.local.world import served

from quantum_trader.app.runs import direct
from quantum_trader.app.runs.flatten import flatten_account
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, TriggerOn, bind_folder
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest
from quantum_trader.domain.enums import GOV_EMERGENCY, ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import StateError, VenueUnavailable
from quantum_trader.domain.trading import CancelRequest
from quantum_trader.engine.core import LiveAccount
from quantum_trader.engine.ports import Rejection
from quantum_trader.engine.reconciliation import DifferenceKind
from quantum_trader.engine.venue_port import LeverageChanged
from quantum_trader.lab.simulation.schedule import Kind
from quantum_trader.live.inputs import HealthChanged, OperatorRequestReceived

# ---------------------------------------------------------------------- 6. a stop at the venue for every position


def test_6_every_position_has_a_stop_resting_at_the_venue(world: World) -> None:
    """Within a second of the fill: reduce-only, for the whole, on the losing side."""
    road = Road(world)

    async def script() -> None:
        road.wish()
        filled = await road.until(road.held)
        assert await road.until(road.stops) - filled < 1.0
        (resting,) = road.stops()
        assert (resting.qty, resting.reduce_only, resting.side) == (0.01, True, OrderSide.SELL)
        assert 0.0 < resting.stop_price < world.engine.account.books.positions[SYMBOL].entry_price

    road.run(script)


def test_6_a_stop_that_is_gone_is_missed_and_replaced(world: World) -> None:
    """The stop is cancelled at the venue without a message: the next comparison finds it missing, a new one rests."""
    road = Road(world)

    async def script() -> None:
        await road.opened()
        road.carries = lambda stream, message: stream != "user"
        road.strike(Kind.STOP_CANCELLED, on=SYMBOL)
        assert road.stops() == []
        await road.until(road.stops, 90.0)

    road.run(script)


@pytest.mark.parametrize("reason", ["-2021 the order would trigger at once", "-4000 no stops today"])
def test_6_a_position_whose_stop_cannot_be_placed_is_closed(world: World, reason: str) -> None:
    """The venue refuses the first stop: a reduce-only market order for the whole follows at once."""
    (opening,) = orders(world.wish())
    world.update(opening, OrderStatus.NEW)
    first = next(one for one in orders(world.fill(opening, 0.01)) if one.type is OrderType.STOP_MARKET)
    (close,) = orders(world.update(first, OrderStatus.REJECTED, reason=reason))
    assert (close.type, close.reduce_only, close.qty) == (OrderType.MARKET, True, 0.01)
    assert world.engine.account.books.positions[SYMBOL].exit_reason is ExitReason.UNPROTECTED


def test_6_without_stops_the_account_ends_flat(world: World) -> None:
    """Over the wire, every stop refused: nothing is held, and why is on record."""
    road = Road(world)

    async def script() -> None:
        road.strike(Kind.STOP_REFUSED, count=100)
        road.wish()
        filled = await road.until(road.held)
        assert await road.until(lambda: not road.held()) - filled < 2.0, "sooner than any timer looks after it"
        await asyncio.sleep(5.0)

    road.run(script)
    assert [trade.exit_reason for trade in world.engine.records.tally.trades] == [ExitReason.UNPROTECTED]


def test_6_a_stop_that_never_arrives_is_sent_again_and_then_the_position_is_closed(world: World) -> None:
    """Lost three times it goes out under another id each time; the fourth loss closes."""
    (opening,) = orders(world.wish())
    world.update(opening, OrderStatus.NEW)
    commands, ids = world.fill(opening, 0.01), set()
    for _ in range(4):
        resting = next(one for one in orders(commands) if one.type is OrderType.STOP_MARKET)
        ids.add(resting.client_order_id)
        commands = world.update(resting, OrderStatus.REJECTED, reason=f"{Rejection.LOST.value}: unknown there")
    assert len(ids) == 4
    assert [(one.type, one.reduce_only) for one in orders(commands)] == [(OrderType.MARKET, True)]




def test_6_a_stop_is_moved_by_placing_the_new_one_first(world: World) -> None:
    """The new one goes out, the old one rests on; acknowledged, the old one is cancelled."""
    _, old = world.opened()
    commands = world.bar(1500, 10_400.0, 1_000.0)
    (new,) = orders(commands)
    assert (new.type, new.stop_price > old.stop_price) == (OrderType.STOP_MARKET, True)
    assert cancels(commands) == []
    assert cancels(world.update(new, OrderStatus.NEW)) == [old.client_order_id]


def test_6_a_moved_stop_that_would_trigger_closes_the_position(world: World) -> None:
    """-2021 although the old one rests: the price has passed where the stop should be."""
    world.opened()
    (new,) = orders(world.bar(1500, 10_400.0, 1_000.0))
    (close,) = orders(world.update(new, OrderStatus.REJECTED, reason="-2021 Order would immediately trigger."))
    assert (close.type, close.reduce_only, close.qty) == (OrderType.MARKET, True, 0.01)


def test_6_a_moved_stop_refused_for_another_reason_leaves_the_old_one(world: World) -> None:
    """The position keeps the protection it has, and the books know which."""
    _, old = world.opened()
    (new,) = orders(world.bar(1500, 10_400.0, 1_000.0))
    assert world.update(new, OrderStatus.REJECTED, reason="-1015 Too many new orders.") == []
    position = world.engine.account.books.positions[SYMBOL]
    assert position.stop == old.stop_price
    assert world.engine.gateway.is_protected(position)


@pytest.mark.parametrize("trigger", list(TriggerOn))
def test_6_stops_have_a_quantity_and_say_what_they_watch(trigger: TriggerOn) -> None:
    """What rests at the venue: quantity, reduce-only, no close-position flag, and the price of the settings."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue, trigger_on=trigger.value)
            await adapter.connect()
            await adapter.submit_order(order(1))
            assert (await adapter.submit_order(stop(2, 95.0))).status is OrderStatus.NEW
            (algo,) = venue.exchange.open_algos("")
            ticket = algo.ticket
            assert (ticket.qty, ticket.reduce_only, ticket.close_position) == (1.0, True, False)
            assert ticket.working_type == trigger.value
            await adapter.close()

    asyncio.run(story())


def test_6_the_venue_refuses_a_second_close_position_stop_and_takes_quantity_stops() -> None:
    """-4130 for the second stop that closes the position; two with quantities rest side by side, as a move needs."""

    async def story() -> None:
        async with served() as (venue, client):
            await client.ok("POST", "/fapi/v1/order", symbol="AAAUSDT", side="BUY", type="MARKET", quantity="1")
            fields = {"algoType": "CONDITIONAL", "symbol": "AAAUSDT", "side": "SELL", "type": "STOP_MARKET"}
            road = ("POST", "/fapi/v1/algoOrder")
            for price in ("95", "96"):
                await client.ok(*road, **fields, triggerPrice=price, quantity="1", reduceOnly="true")
            await client.ok(*road, **fields, triggerPrice="94", closePosition="true")
            assert await client.refused(*road, **fields, triggerPrice="93", closePosition="true") == -4130
            assert len(venue.exchange.open_algos("")) == 3

    asyncio.run(story())


def test_6_the_venue_refuses_a_stop_that_would_trigger() -> None:
    """-2021 comes through the adapter as a refusal that the engine knows."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            await adapter.submit_order(order(1))
            update = await adapter.submit_order(stop(2, 105.0))
            assert update.status is OrderStatus.REJECTED
            assert update.reason.startswith(Rejection.WOULD_TRIGGER.value)
            await adapter.close()

    asyncio.run(story())


# ---------------------------------------------------------------------- 7. leverage is read back


def test_7_a_leverage_that_reads_back_otherwise_refuses_the_trade(world: World) -> None:
    """Setting it has no effect once: no order; the next wish, when it has one, goes out at the leverage wanted."""
    road = Road(world)

    async def script() -> None:
        road.strike(Kind.LEVERAGE_KEPT, on=SYMBOL, value=2.0)
        road.wish("x1")
        await road.until(lambda: world.records("trade.failed"))
        assert road.accepted() == []
        assert "LEVERAGE_MISMATCH: asked 5, venue has" in world.records("trade.failed")[0]["data"]["reason"]
        await road.opened("x2")

    road.run(script)
    assert [one.leverage for one in road.exchange.accepted if not one.request.reduce_only] == [5.0]


@pytest.mark.parametrize("heard", [True, False])
def test_7_a_leverage_that_somebody_changed_is_set_again(world: World, heard: bool) -> None:
    """The stream reports the change, or the read-back is too old: the next opening sets and reads leverage again."""
    road = Road(world)

    async def unread() -> dict[str, float]:
        raise VenueUnavailable("not now")

    async def script() -> None:
        await road.opened("x1")
        road.wish("x2", reduce_only=True)
        await road.until(lambda: world.engine.records.tally.trades)
        road.venue.get_leverages = unread  # type: ignore[method-assign]
        road.carries = lambda stream, message: heard or not isinstance(message[0], LeverageChanged)
        road.exchange.change_leverage(SYMBOL, 3.0)
        await asyncio.sleep(1.0 if heard else road.driver.timing.leverage_s + 1.0)
        await road.opened("x3")

    road.run(script)
    assert [one.leverage for one in road.exchange.accepted if not one.request.reduce_only] == [5.0, 5.0]


def test_7_the_adapter_answers_what_is_in_force() -> None:
    """Not what was asked for: 500 times is refused by the table, and the answer is the leverage before."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            assert await adapter.set_leverage(COIN, 7.0) == 7.0
            assert await adapter.set_leverage(COIN, 500.0) == 7.0
            await adapter.close()

    asyncio.run(story())


# ---------------------------------------------------------------------- 8. the venue is the truth


def explained(world: World, kind: DifferenceKind) -> list[dict[str, Any]]:
    """Differences of *kind* on record."""
    found = [record["data"] for record in world.records("reconciliation.difference")]
    return [one for one in found if one["kind"] == kind.value]


def test_8_books_are_compared_before_anything_is_traded(world: World) -> None:
    """A position made before the start: in the books and protected, on record, openings halted."""
    road = Road(world)
    road.strike(Kind.MANUAL_OPEN, on=SYMBOL, value=0.05)
    road.exchange.fills.clear()  # too long ago to be told

    async def script() -> None:
        assert world.engine.reconciler.checked_ns > 0, "it is ready, so it has looked"
        await road.until(lambda: SYMBOL in world.engine.account.books.positions, 10.0)
        await road.until(road.stops, 10.0)
        assert world.engine.account.books.positions[SYMBOL].qty == road.held()[SYMBOL]
        assert refusal(world, "x1", **ETH) == "KILL_SWITCH"
        assert explained(world, DifferenceKind.POSITION)
        road.ask("resume")
        await road.opened("x2", **ETH)

    road.run(script)


def test_8_books_are_compared_every_minute(world: World) -> None:
    """Ten minutes in which nothing happens: no more than a minute and a moment between two looks."""
    road = Road(world)
    road.run(lambda: asyncio.sleep(600.0))
    looks = road.venue.times("positions")
    assert max(later - earlier for earlier, later in pairwise(looks)) < 61.0
    assert looks[-1] > 540.0


def test_8_what_nobody_explains_halts_openings_and_is_journaled(world: World) -> None:
    """Our position is gone and no fill says how: seen within a minute, halted, on record, and `resume` ends it."""
    road = Road(world)

    async def script() -> None:
        await road.opened("x1")
        road.carries = lambda stream, message: stream != "user"
        road.strike(Kind.MANUAL_CLOSE, on=SYMBOL, value=1.0)
        road.exchange.fills.pop()
        await road.until(lambda: world.engine.halts.held, 90.0)
        assert explained(world, DifferenceKind.POSITION)
        assert world.engine.account.books.positions == {}
        assert refusal(world, "x2", **ETH) == "KILL_SWITCH"
        road.ask("resume")
        assert refusal(world, "x3", **ETH) == ""

    road.run(script)


def test_8_a_trade_by_hand_halts_where_the_settings_say_so(warm: bytes) -> None:
    """on_foreign = halt: it is protected like any other, and nothing opens until `resume`."""
    world = restarted(warm, live=LiveAccount(adopt_quietly=False))
    sent = orders(world.fill("web_1", 0.02, side=OrderSide.SELL))
    assert any(one.type is OrderType.STOP_MARKET for one in sent)
    assert refusal(world, "x1", **ETH) == "KILL_SWITCH"
    world.request("resume", "that was me")
    assert refusal(world, "x2", **ETH) == ""


def test_8_an_unexplained_wallet_halts_and_is_journaled(world: World) -> None:
    """Two looks show a thousand less: the books follow, openings wait for `resume`."""
    for _ in range(2):
        look(world, wallet=9_000.0)
    assert world.engine.account.books.cash == 9_000.0
    assert "the wallet holds 9000.00" in world.engine.halts.held
    assert len(explained(world, DifferenceKind.WALLET)) == 1
    assert refusal(world, "x1") == "KILL_SWITCH"


def test_8_counts_are_derived(world: World) -> None:
    """Opened, adopted, refused, closed by hand: the guard counts positions in the books and orders in flight."""
    engine = world.engine

    def counted() -> float:
        return float(engine.opening.orders.count)

    world.opened()
    world.fill("web_1", 0.1, 1_000.0, symbol=OTHER, side=OrderSide.BUY)
    assert counted() == 2.0
    for _ in range(2):
        look(world)  # the venue holds nothing any more
    assert engine.account.books.positions == {}
    assert counted() == 0.0
    world.request("resume", "seen")
    (pending,) = orders(world.wish("x3"))
    assert counted() == 1.0
    world.update(pending, OrderStatus.REJECTED, reason="-2019 margin")
    assert counted() == 0.0


# ---------------------------------------------------------------------- 9. reducing is never gated


class FullSink:
    """Records that cannot be written."""

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Refuse."""
        raise StateError("no space left on device")


def everything_against(world: World) -> None:
    """Halted by a person, by a difference and by the governor, disconnected, losses latched, disk full."""
    world.request("halt", "drill")
    world.tell(HealthChanged(ts_ns=world.now_ns, level=GOV_EMERGENCY, connected=False, reason="all is lost"))
    world.engine.halts.hold("something differs", world.now_ns)
    world.engine.account.losses[-1] = 1e9
    world.log.full = world.store.full = True
    world.session.finish_bars()
    world.engine.records.recorder._sink = FullSink()
    world.session.checkpoint()


@pytest.mark.parametrize("way", ["intent", "flatten"])
def test_9_reducing_passes_everything_that_stops_openings(world: World, way: str) -> None:
    """Kill switch, EMERGENCY, no connection, latched losses, full disk: the way out is open, the way in is not."""
    world.opened()
    everything_against(world)
    assert orders(world.wish("x2", **ETH)) == []
    commands = world.wish("x3", reduce_only=True) if way == "intent" else world.request("flatten", "out")
    (close,) = orders(commands)
    assert (close.type, close.reduce_only, close.qty) == (OrderType.MARKET, True, 0.01)
    gone = world.fill(close, 0.01)
    assert world.engine.account.books.positions == {}
    assert len(cancels(gone)) == 1, "the stop goes after its position"


def test_9_flatten_closes_everything_and_cancels_the_rest(world: World) -> None:
    """Two positions, an opening on its way, a halt in force: flat within seconds, nothing of ours rests."""
    road = Road(world)

    async def script() -> None:
        await road.opened("x1")
        await road.opened("x2", **ETH)
        road.ask("halt")
        road.ask("flatten")
        assert await road.until(lambda: not road.held()) < 30.0
        await asyncio.sleep(5.0)
        assert road.exchange.paper.open_orders() == []

    road.run(script)


def test_9_flatten_cancels_what_others_left_resting(world: World) -> None:
    """A limit order made by hand would open a position later: flatten cancels the orders of other senders too."""
    road = Road(world)

    async def script() -> None:
        road.strike(Kind.FOREIGN_ORDER, on=OTHER, value=0.05)
        await road.opened()
        await asyncio.sleep(130.0)
        road.ask("flatten")
        await asyncio.sleep(130.0)
        assert road.held() == {}
        assert road.exchange.paper.open_orders() == []

    road.run(script)


def test_9_what_fills_after_a_flatten_is_closed_as_well(world: World) -> None:
    """The opening was on its way: its cancel goes out, and what fills all the same is closed at once, without a stop.
    """
    (opening,) = orders(world.wish())
    world.update(opening, OrderStatus.NEW)
    commands = world.request("flatten", "out")
    assert cancels(commands) == [opening.client_order_id]
    (close,) = orders(world.fill(opening, 0.01))
    assert (close.type, close.reduce_only) == (OrderType.MARKET, True)


def test_9_flatten_does_not_wait_for_a_start(world: World) -> None:
    """The account stream is down from the first moment on: a position of the last life is closed all the same."""
    first = Road(world)
    first.run(first.opened)
    assert first.held()
    asked = [OperatorRequestReceived(ts_ns=world.now_ns, action="flatten", reason="out", actor="me")]
    road = Road(world, operator=lambda: [asked.pop()] if asked else [])
    road.exchange.paper.load_state(first.exchange.paper.state())
    road.wire.down_until["user"] = 1e9

    async def script() -> None:
        await road.until(lambda: not road.held(), 30.0)
        assert not road.driver.ready

    road.run(script, ready=False)


def test_9_reducing_is_rate_limited_last() -> None:
    """With the venue's weights nearly used up questions and openings wait; stops, closes and cancels go out."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            await adapter.submit_order(order(1))
            budget = adapter._rest.budget
            budget.used_weight = int(0.99 * budget.weight_limit)
            for refused in (adapter.submit_order(order(2)), adapter.get_cash_balance()):
                with pytest.raises(VenueUnavailable, match="request limit"):
                    await refused
            assert (await adapter.submit_order(stop(3, 95.0))).status is OrderStatus.NEW
            budget.used_weight = int(0.99 * budget.weight_limit)
            cancel = CancelRequest(client_order_id=stop(3, 95.0).client_order_id, symbol=COIN, created_ns=0)
            assert (await adapter.cancel_order(cancel)).status is OrderStatus.CANCELED
            budget.used_weight = int(0.99 * budget.weight_limit)
            close = order(4, side=OrderSide.SELL, reduce_only=True)
            assert (await adapter.submit_order(close)).status is OrderStatus.NEW
            assert venue.exchange.paper.positions() == []
            await adapter.close()

    asyncio.run(story())


def test_9_a_dead_process_is_flattened_from_outside_even_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request cannot be noted and no step be written: everything is closed and cancelled all the same."""
    account = protected_account()
    (tmp_path / "lock").touch(0o600)
    bind_folder(tmp_path, LiveSettings(mode=LiveMode.LOCAL, address="http://127.0.0.1:1"))

    def full(*_: Any) -> None:
        raise StateError("operator.jsonl: cannot be written (No space left on device)")

    async def flatten(venue: Any, now_ns: Any, report: Any, *, deadline_s: float) -> Any:
        return await flatten_account(venue, venue.now_ns, report, deadline_s=deadline_s, pause=venue.pause)

    monkeypatch.setattr(direct, "ask", full)
    monkeypatch.setattr(direct, "flatten_account", flatten)
    request = OperatorRequest(action=Action.FLATTEN, reason="power cut", actor="me", ts_ns=1)
    shown: list[Any] = []
    result = direct.flatten_now(tmp_path, request, lambda symbols: account, account.now_ns, shown.append, 60.0)
    assert result.flat
    assert not any(account.held.values())
    assert account.resting == {}, "what rested is cancelled, other people's orders included"
    assert any("cannot be written" in step.text for step in shown)
