"""What reviews of the live road found and was still open: restored folders, a second trader, money moved while nobody
listened, filters that change, flatten with orders of others, a clock that jumps, and what could not be recorded."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from tests.live.live_world import MINUTE, OTHER, SYMBOL, MemoryLog, MemoryStore, World, cancels, orders
from tests.live.test_live_driver import FAST, Account, make, until

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, ExitReason, OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import StateError, VenueUnavailable
from quantum_trader.domain.trading import Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.gateway import Purpose, client_order_id, mark_of
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import DifferenceKind, VenueSnapshot
from quantum_trader.engine.venue_port import Kline, MarkPrice, Transfer, WalletChanged
from quantum_trader.live.clock import LiveClock
from quantum_trader.live.driver import LiveDriver
from quantum_trader.live.inputs import (
    Asked,
    FiltersKnown,
    HealthTold,
    Lived,
    Looked,
    MoneyMoved,
    Ticked,
    Wished,
    decode_input,
)
from quantum_trader.risk.governor import GOV_ROW_PEAK
from quantum_trader.risk.limits import losses_pct

OTHER_MARK = "0badcafe-"


def held(qty: float = 0.01, entry: float = 10_000.0) -> VenuePosition:
    """A position as the venue tells it."""
    return VenuePosition(
        symbol=SYMBOL, qty=qty, entry_price=entry, leverage=5.0, margin=20.0, liquidation_price=0.0, mark_price=entry,
        unrealised_pnl=0.0,
    )


def resting(order_id: str, *, reduce_only: bool = True, **changes: Any) -> VenueOrder:
    """An order as the venue tells it."""
    fields: dict[str, Any] = {
        "client_order_id": order_id, "venue_order_id": "1", "symbol": SYMBOL, "side": OrderSide.SELL,
        "type": OrderType.STOP_MARKET, "qty": 0.01, "filled_qty": 0.0, "average_price": 0.0, "price": 0.0,
        "stop_price": 9_800.0, "reduce_only": reduce_only, "status": OrderStatus.NEW, "created_ns": 0,
    }
    return VenueOrder(**(fields | changes))


def alive(world: World) -> tuple[VenueOrder, ...]:
    """Every order the gateway thinks alive, as the venue tells it."""
    return tuple(
        resting(ticket.client_order_id, qty=ticket.qty, reduce_only=ticket.purpose is not Purpose.OPEN)
        for ticket in world.engine.gateway.tickets()
    )


def look(world: World, *positions: VenuePosition, orders: tuple[VenueOrder, ...] = (), **changes: Any) -> list[Any]:
    """One look at the account."""
    fields = {"wallet": world.engine.account.books.cash, "ts_ns": world.now_ns} | changes
    return world.tell(Looked(snapshot=VenueSnapshot(positions=positions, orders=orders, **fields)))


def twice(world: World, *positions: VenuePosition, **changes: Any) -> list[Any]:
    """Two looks that show the same."""
    return look(world, *positions, **changes) + look(world, *positions, **changes)


# ---------------------------------------------------------------------- a folder put back from a backup


def test_a_restored_folder_does_not_derive_ids_used_before(warm: bytes) -> None:
    """The same intent, forgotten by the folder, is another order at the venue: ids are unique among *open* orders only,
    so asking for the old id would tell of an order that filled yesterday."""
    ids = []
    for life in ("a-", "b-"):
        world = World()
        world.store.content = warm
        world.session.recover()
        world.tell(Lived(ts_ns=world.now_ns, life=life))
        ids.append(orders(world.wish("i00000123"))[0].client_order_id)
    assert len(set(ids)) == len({one[-20:] for one in ids}) == 2
    assert all(len(one) <= 36 for one in ids)


def test_a_restart_derives_the_ids_of_the_life_that_made_them(world: World) -> None:
    """What is taken again after a kill has the ids that went out, opening included."""
    world.session.checkpoint()
    world.tell(Lived(ts_ns=world.now_ns, life="a-"))
    order, stop = world.opened()
    again = World(world.log, world.store)
    again.session.recover()
    again.tell(Lived(ts_ns=world.now_ns, life="b-"))
    assert stop.client_order_id in {ticket.client_order_id for ticket in again.engine.gateway.tickets()}
    assert again.engine.gateway.is_own(order.client_order_id)


def test_a_lost_stop_of_ours_is_cancelled_only_when_another_rests(world: World) -> None:
    """After a power cut the stop that is forgotten still protects the position: it goes once the new one is taken."""
    lost = client_order_id("gone", Purpose.STOP, 0, world.engine.gateway.mark)
    commands = twice(world, held(), orders=(resting(lost),))
    (stop, *_) = orders(commands)
    assert stop.type is OrderType.STOP_MARKET
    assert lost not in cancels(commands)
    for order in orders(commands):
        world.update(order, OrderStatus.NEW)
    assert cancels(twice(world, held(), orders=(resting(lost), *alive(world)))) == [lost]


# ---------------------------------------------------------------------- another trader on the account


def test_orders_of_another_trader_are_never_cancelled_and_halt_openings(world: World) -> None:
    """Its stop protects its position; who runs both is told what to do."""
    theirs = client_order_id("x", Purpose.STOP, 0, OTHER_MARK)
    assert cancels(twice(world, orders=(resting(theirs),))) == []
    (halt,) = world.records("halt.raised")
    assert theirs in halt["data"]["reason"]
    assert "Stop the other one" in halt["data"]["reason"]
    assert halt["data"]["exit_path"] == "resume --reason"
    assert orders(world.wish("x1")) == []


def test_a_second_traders_fill_halts_where_trades_by_hand_are_taken_over(world: World) -> None:
    """`on_foreign = adopt` means a person's trades, not another machine's."""
    assert world.engine.adopt_quietly
    world.fill(client_order_id("x", Purpose.OPEN, 0, OTHER_MARK), 0.01)
    assert "another trader" in world.engine.halts.held
    assert world.engine.account.books.positions[SYMBOL].stop > 0.0, "and its position is protected all the same"


def test_resume_ends_the_halt_of_a_second_trader_though_its_order_rests(world: World) -> None:
    """A person looked; the same order is not told again."""
    order = resting(client_order_id("x", Purpose.STOP, 0, OTHER_MARK))
    twice(world, orders=(order,))
    world.tell(Asked(ts_ns=world.now_ns, action="resume", reason="it is off", actor="me"))
    twice(world, orders=(order,))
    assert world.engine.halts.held == ""
    assert [one.kind for one in world.engine.reconciler.open] == [DifferenceKind.OTHER_TRADER]
    assert world.engine.reconciler.since_ns == 0, "what is somebody else's does not keep the books from agreeing"


def test_marks_name_the_process(world: World) -> None:
    """An order id says which process made it; those of commands and of people say nothing."""
    gateway = world.engine.gateway
    before = gateway.mark
    gateway.live_as("b-")
    assert mark_of(client_order_id("i", Purpose.OPEN, 0, before)) == before != gateway.mark
    assert (mark_of("web_7"), mark_of("qt-00000000000000000000")) == ("", "")


# ---------------------------------------------------------------------- money moved while nobody listened


def moved(world: World, amount: float, move_id: str = "", after_s: int = 0) -> None:
    """Money was paid in or out a second after the books began, or later."""
    ts_ns = world.engine.money.began_ns + (1 + after_s) * NS_PER_SECOND
    world.tell(MoneyMoved(ts_ns=ts_ns, amount=amount, move_id=move_id))


def peak(world: World) -> float:
    """The equity that drawdown is measured from."""
    return float(world.engine.account.governor[GOV_ROW_PEAK])


def test_a_move_told_by_stream_and_by_question_counts_once(world: World) -> None:
    """The two roads have no name in common and stamp it milliseconds apart; either may come first."""
    moved(world, -1_000.0)
    moved(world, -1_000.0, "TRANSFER-1")
    moved(world, 300.0, "TRANSFER-2", after_s=5)
    moved(world, 300.0, after_s=6)
    assert world.engine.account.books.cash == 9_300.0
    moved(world, 300.0, "TRANSFER-2", after_s=5)
    assert world.engine.account.books.cash == 9_300.0, "asked again"


def test_two_moves_of_one_amount_are_two(world: World) -> None:
    """Twice a hundred in a minute: the stream heard of one, the question tells both."""
    moved(world, 100.0)
    moved(world, 100.0, "TRANSFER-1")
    moved(world, 100.0, "TRANSFER-2")
    assert world.engine.account.books.cash == 10_200.0


def test_a_wallet_is_not_mended_before_the_venue_was_asked(world: World) -> None:
    """Withdrawn while the stream was down and /income does not answer: for a minute it is nobody's loss."""
    before = peak(world)
    twice(world, wallet=7_000.0, moves_known=False)
    assert (world.engine.account.books.cash, world.engine.halts.held) == (10_000.0, "")
    moved(world, -3_000.0, "TRANSFER-1")
    twice(world, wallet=7_000.0)
    assert (world.engine.account.books.cash, world.engine.halts.held) == (7_000.0, "")
    assert peak(world) == before - 3_000.0


def test_a_wallet_that_nobody_explains_is_mended_in_a_minute(world: World) -> None:
    """A question that is never answered does not leave the books with money that is gone."""
    twice(world, wallet=7_000.0, moves_known=False)
    later = world.now_ns + 61 * NS_PER_SECOND
    twice(world, wallet=7_000.0, moves_known=False, ts_ns=later)
    assert world.engine.account.books.cash == 7_000.0
    assert "wallet" in world.engine.halts.held


def test_a_transfer_that_was_taken_for_a_loss_is_none_once_it_is_known(world: World) -> None:
    """The money is in the books already; what drawdown is measured from moves with it."""
    before = peak(world)
    twice(world, wallet=7_000.0)
    moved(world, -3_000.0, "TRANSFER-1")
    assert world.engine.account.books.cash == 7_000.0
    assert peak(world) == before - 3_000.0


def test_moves_survive_a_restart(world: World) -> None:
    """What the stream told before a stop is not booked again when it is asked for after it."""
    moved(world, -1_000.0)
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    moved(again, -1_000.0, "TRANSFER-1")
    assert again.engine.account.books.cash == 9_000.0


def test_money_withdrawn_while_the_trader_was_off_is_no_loss(warm: bytes) -> None:
    """The usual moment to withdraw: the start asks the venue what was moved, and nothing halts."""

    async def run() -> World:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        venue.wallet = 7_000.0
        venue.transfers = [
            Transfer(move_id="TRANSFER-1", amount=-3_000.0, ts_ns=world.now_ns + NS_PER_SECOND, reason="TRANSFER")
        ]
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not world.engine.reconciler.since_ns and venue.asked)
        driver.stop()
        await task
        return world

    world = asyncio.run(run())
    assert (world.engine.account.books.cash, world.engine.halts.held) == (7_000.0, "")
    assert int(world.engine.account.governor[0]) == 0


def test_money_moved_unheard_while_it_runs_is_asked_for(warm: bytes) -> None:
    """The stream lost the message: the wallet differs, the venue is asked, the books agree without a halt."""

    async def run() -> World:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        venue.transfers = [
            Transfer(move_id="TRANSFER-1", amount=-3_000.0, ts_ns=driver.clock.now_ns(), reason="TRANSFER")
        ]
        venue.wallet = 7_000.0
        await until(lambda: world.engine.account.books.cash == 7_000.0)
        driver.stop()
        await task
        return world

    world = asyncio.run(run())
    assert world.engine.halts.held == ""
    assert [one["data"]["why"] for one in world.records("cash.adjusted")] == ["transfer"]


# ---------------------------------------------------------------------- filters that change


def on_another_grid(world: World, **changes: float) -> None:
    """The venue says that the first symbol's filters are others now."""
    world.tell(FiltersKnown(
        ts_ns=world.now_ns, instrument=msgspec.structs.replace(world.engine.instruments[0], **changes)
    ))


def test_a_stop_refused_for_its_tick_is_sent_on_the_new_one(world: World) -> None:
    """A sound position is not closed because the venue's tick became coarser: its next stop fits, no looser."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    (first,) = orders(world.fill(order, 0.01))
    on_another_grid(world, tick_size=7.0)
    (again,) = orders(world.update(first, OrderStatus.REJECTED, reason="-4014 Price not increased by tick size."))
    assert (again.type, again.stop_price % 7.0) == (OrderType.STOP_MARKET, 0.0)
    assert 0.0 <= again.stop_price - first.stop_price < 7.0, "nearer to the price, so that no more is risked"
    world.update(again, OrderStatus.NEW)
    assert world.engine.gateway.is_protected(world.engine.account.books.positions[SYMBOL])
    assert world.engine.account.books.positions[SYMBOL].exit_reason is None


def test_a_target_refused_for_its_tick_is_sent_on_the_new_one(world: World) -> None:
    """Nearer to the price too; one that is on the grid already is not sent again and again."""
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    position.target = 10_400.0
    (target,) = orders(world.engine.gateway.rest_target(position, world.now_ns))
    on_another_grid(world, tick_size=7.0)
    refusal = {"status": OrderStatus.REJECTED, "reason": "-1111 Precision is over the maximum"}
    (again,) = orders(world.update(target, **refusal))
    assert (again.type, again.stop_price) == (OrderType.TAKE_PROFIT_MARKET, 10_395.0)
    assert orders(world.update(again, **refusal)) == []


def test_a_stop_that_fits_no_grid_closes_in_the_end(world: World) -> None:
    """Nobody knows the filters: after three tries the position goes, as ever."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    commands = orders(world.fill(order, 0.01))
    for _ in range(4):
        stop = next(one for one in commands if one.type is not OrderType.TAKE_PROFIT_MARKET)
        commands = orders(world.update(stop, OrderStatus.REJECTED, reason="-4014 Price not increased by tick size."))
    assert [(one.type, one.reduce_only) for one in commands] == [(OrderType.MARKET, True)]
    assert world.engine.account.books.positions[SYMBOL].exit_reason is ExitReason.UNPROTECTED


def test_a_position_that_is_no_multiple_any_more_still_closes(world: World) -> None:
    """0.015 of a symbol that trades in hundredths now: reduce-only, and so the next step up closes all of it."""
    world.opened(qty=0.015)
    (close,) = orders(world.tell(Asked(ts_ns=world.now_ns, action="flatten", reason="test", actor="me")))
    assert close.qty == 0.015
    on_another_grid(world, step_size=0.01, min_qty=0.01)
    (again,) = orders(world.update(close, OrderStatus.REJECTED, reason="-1111 Precision is over the maximum"))
    assert (again.qty, again.reduce_only, again.type) == (0.02, True, OrderType.MARKET)
    world.update(again, OrderStatus.NEW)
    world.fill(again, 0.015)
    world.update(again, OrderStatus.CANCELED, filled=0.015)
    assert world.engine.account.books.positions == {}
    assert not any(ticket.purpose is Purpose.CLOSE for ticket in world.engine.gateway.tickets())


def test_a_position_too_large_for_one_order_closes_in_parts(world: World) -> None:
    """-4005: half of it, and the rest after that."""
    world.opened(qty=0.01)
    (close,) = orders(world.tell(Asked(ts_ns=world.now_ns, action="flatten", reason="test", actor="me")))
    (part,) = orders(world.update(close, OrderStatus.REJECTED, reason="-4005 Quantity greater than max quantity."))
    assert part.qty == 0.005
    world.update(part, OrderStatus.NEW)
    world.fill(part, 0.005)
    world.update(part, OrderStatus.FILLED, filled=0.005)
    (rest,) = orders(world.tell(Ticked(ts_ns=world.now_ns)))
    assert rest.qty == 0.005


def test_a_close_refused_again_and_again_is_told(world: World) -> None:
    """It is tried on, and a person hears the venue's words; a close that never arrived is no refusal."""
    world.opened()
    commands = orders(world.tell(Asked(ts_ns=world.now_ns, action="flatten", reason="test", actor="me")))
    world.update(commands[0], OrderStatus.REJECTED, reason="LOST: the venue does not know it")
    for _ in range(3):
        (close,) = orders(world.tell(Ticked(ts_ns=world.now_ns)))
        assert world.engine.halts.held == ""
        world.update(close, OrderStatus.REJECTED, reason="-4141 Symbol is closed.")
    assert "-4141 Symbol is closed." in world.engine.halts.held
    assert orders(world.tell(Ticked(ts_ns=world.now_ns))), "and it goes on trying"


def test_orders_of_others_that_keep_a_position_from_closing_go(world: World) -> None:
    """-4118: somebody's reduce-only orders take up the position; reducing is never blocked."""
    world.opened()
    foreign = resting("web_1", type=OrderType.LIMIT, price=11_000.0, stop_price=0.0)
    look(world, held(), orders=(foreign, *alive(world)))
    (close,) = orders(world.tell(Asked(ts_ns=world.now_ns, action="halt", reason="x", actor="me"))) or orders(
        world.wish("x2", reduce_only=True)
    )
    answer = world.update(close, OrderStatus.REJECTED, reason="-4118 ReduceOnly Order Failed.")
    assert cancels(answer) == ["web_1"]


def test_filters_in_force_survive_a_restart(world: World) -> None:
    """What the inputs made of them before a checkpoint holds behind it."""
    on_another_grid(world, step_size=0.01, min_qty=0.01, tick_size=7.0)
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    assert again.engine.instruments == world.engine.instruments
    again.opened(qty=0.015)
    (close,) = orders(again.wish("x2", reduce_only=True))
    assert close.qty == 0.02


@pytest.mark.parametrize("code", ["-4087", "-4088", "-4192", "-4400", "-4401"])
def test_an_account_that_may_only_reduce_opens_no_more(world: World, code: str) -> None:
    """Asking on makes some of these last longer: openings wait for a person, who reads the venue's words."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.REJECTED, reason=f"{code} only reduceOnly order is allowed")
    assert code in world.engine.halts.held
    assert orders(world.wish("x2")) == []
    world.tell(Asked(ts_ns=world.now_ns, action="resume", reason="over", actor="me"))
    assert len(orders(world.wish("x3"))) == 1


def test_a_refusal_for_a_filter_makes_the_driver_ask_for_filters(warm: bytes) -> None:
    """The stop is refused, the filters are read, the next stop fits: before the position could be closed."""

    async def run() -> tuple[World, list[OrderRequest]]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        sound, coarse = venue.submit_order, []

        async def read_instruments() -> None:
            for instrument in coarse:
                venue._instruments[instrument.symbol] = instrument

        async def submit(request: OrderRequest) -> OrderUpdate:
            update = await sound(request)
            if coarse and request.stop_price % coarse[0].tick_size:
                venue.orders.pop(request.client_order_id, None)
                update = msgspec.structs.replace(
                    update, status=OrderStatus.REJECTED, reason="-4014 Price not increased by tick size."
                )
            return update

        venue.read_instruments, venue.submit_order = read_instruments, submit
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        coarse.append(msgspec.structs.replace(world.engine.instruments[0], tick_size=7.0))
        driver.tell(Wished(ts_ns=world.now_ns, intent=world.intent(expires_ns=driver.clock.now_ns() + 10**12,
                                                                   created_ns=driver.clock.now_ns())))
        await until(lambda: venue.sent)
        order = venue.sent[0]
        venue.positions = [held()]
        venue.push(Fill(
            fill_id="f-1", client_order_id=order.client_order_id, symbol=SYMBOL, side=order.side, qty=order.qty,
            price=10_000.0, fee=0.0, liquidity="taker", ts_ns=driver.clock.now_ns(),
        ))
        position = world.engine.account.books.positions
        await until(lambda: SYMBOL in position and world.engine.gateway.is_protected(position[SYMBOL]))
        driver.stop()
        await task
        return world, venue.sent

    world, sent = asyncio.run(run())
    assert world.engine.instruments[0].tick_size == 7.0
    assert [one for one in sent if one.type is OrderType.MARKET and one.reduce_only] == []


# ---------------------------------------------------------------------- flatten


def test_flatten_cancels_the_orders_of_others(world: World) -> None:
    """A person's limit order would open a position later. Stops stay until their position is gone, then go too."""
    world.opened()
    limit = resting("web_1", reduce_only=False, type=OrderType.LIMIT, price=9_000.0, stop_price=0.0)
    elsewhere = resting("web_2", reduce_only=False, symbol="XRPUSDT")
    stop, trader = resting("web_3"), resting(client_order_id("x", Purpose.STOP, 0, OTHER_MARK))
    found = (limit, elsewhere, stop, trader)
    assert cancels(twice(world, held(), orders=(*found, *alive(world)))) == [], "nobody asked for that yet"
    (close,) = orders(world.tell(Asked(ts_ns=world.now_ns, action="flatten", reason="enough", actor="me")))
    assert cancels(look(world, held(), orders=(*found, *alive(world)))) == ["web_1", "web_2"]
    world.update(close, OrderStatus.NEW)
    world.fill(close, 0.01)
    world.update(close, OrderStatus.FILLED, filled=0.01)
    assert {stop.client_order_id, trader.client_order_id} <= set(cancels(look(world, orders=(stop, trader))))
    world.tell(Asked(ts_ns=world.now_ns, action="resume", reason="over", actor="me"))
    assert "web_4" not in cancels(twice(world, orders=(resting("web_4", reduce_only=False),)))


def test_a_flatten_looks_at_once(warm: bytes) -> None:
    """The driver does not wait for the minute to pass before it cancels what a person left."""

    async def run() -> bool:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        driver.timing = msgspec.structs.replace(driver.timing, reconcile_s=60.0)
        asked: list[Asked] = []
        driver._operator = lambda: [asked.pop()] if asked else []
        venue.orders["web_1"] = resting("web_1", reduce_only=False)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and driver.counts["looks"] >= 2)
        assert "web_1" in venue.orders
        asked.append(Asked(ts_ns=driver.clock.now_ns(), action="flatten", reason="enough", actor="me"))
        await until(lambda: "web_1" not in venue.orders)
        driver.stop()
        await task
        return True

    assert asyncio.run(run())


# ---------------------------------------------------------------------- a clock that jumps


class Clocks:
    """A wall clock, a monotonic one and a live clock on both; the venue's time is what passes for real."""

    def __init__(self) -> None:
        self.wall = self.venue = 10**18
        self.offset = 0.0
        self.mono = 0.0
        self.clock = LiveClock(lambda: self.wall, lambda: self.offset)
        self.clock.start(lambda: self.mono)

    def passes(self, seconds: int, *, asleep: bool = False, heard: bool = False) -> None:
        """Let time pass, tick by tick; *asleep*: the monotonic clock stands still and nothing ticks."""
        for _ in range(1 if asleep else seconds):
            step = seconds if asleep else 1
            self.wall += step * NS_PER_SECOND
            self.venue += step * NS_PER_SECOND
            if not asleep:
                self.mono += step
                if heard:
                    self.clock.heard(self.venue)
                self.clock.tick()

    @property
    def off_s(self) -> float:
        """How far the live clock is from the venue's time."""
        return (self.clock.now_ns() - self.venue) / NS_PER_SECOND


def test_a_machine_that_slept_is_told_the_time_by_the_venue() -> None:
    """The first moment the venue names settles it, not a minute later; what it had named before is older than that."""
    clocks = Clocks()
    slept_ns = clocks.venue
    clocks.passes(3600, asleep=True)
    assert clocks.off_s == -3600.0
    assert not clocks.clock.heard(slept_ns), "a bar that waited for us in the socket: nobody can say how old it is"
    assert not clocks.clock.heard(clocks.venue - NS_PER_SECOND)
    assert clocks.off_s == 0.0
    assert clocks.clock.offset_ms() == 0.0
    assert clocks.clock.heard(clocks.venue)


def test_a_machine_that_slept_and_hears_nothing_believes_its_wall_clock() -> None:
    """Also where a bar of before had waited in the socket."""
    clocks = Clocks()
    slept_ns = clocks.venue
    clocks.passes(3600, asleep=True)
    clocks.clock.tick()
    clocks.clock.heard(slept_ns)
    clocks.passes(120)
    assert abs(clocks.off_s) < 0.5


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_was_set_moves_no_time_while_the_venue_says_otherwise(hours: int) -> None:
    """Nothing is decided on a wrong hour; once the venue has borne our time out, the wall's error is taken out."""
    clocks = Clocks()
    clocks.passes(10, heard=True)
    clocks.wall += hours * 3600 * NS_PER_SECOND
    clocks.passes(30, heard=True)
    assert abs(clocks.off_s) < 0.5
    assert abs(clocks.clock.offset_ms()) == 3_600_000.0, "and it shows meanwhile"
    clocks.passes(300, heard=True)
    assert abs(clocks.off_s) < 0.5
    assert abs(clocks.clock.offset_ms()) < 500.0
    clocks.offset = -hours * 3_600_000.0  # the adapter measured anew
    clocks.passes(300, heard=True)
    assert abs(clocks.off_s) < 0.5
    assert abs(clocks.clock.offset_ms()) < 500.0


def test_time_never_goes_back() -> None:
    """A wall clock that nobody contradicts is believed; then time stands still until it is reached."""
    clocks = Clocks()
    clocks.wall -= 30 * NS_PER_SECOND
    times = []
    for _ in range(150):
        clocks.passes(1)
        times.append(clocks.clock.now_ns())
    assert times == sorted(times)
    assert abs(clocks.clock.offset_ms()) < 500.0


def test_a_bar_from_before_a_sleep_opens_nothing(warm: bytes) -> None:
    """It waited in the socket: the first thing the driver hears after an hour, and it looks punctual."""

    async def run() -> tuple[bool, list[str]]:
        world = World()
        world.store.content = warm
        world.session.recover()
        wall_ns = [world.now_ns + MINUTE]  # the bar that comes has closed at this moment
        venue = Account(world.engine.instruments)
        driver = LiveDriver(
            world.session, venue, msgspec.structs.replace(FAST, tick_s=30.0), lambda: wall_ns[0], namespace="t-"
        )
        venue.now_ns = wall_ns[0]
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not driver.requests)
        assert world.engine.halts.connected
        opened_ns = world.now_ns
        wall_ns[0] += 3600 * NS_PER_SECOND
        for symbol, price in ((SYMBOL, 10_000.0), (OTHER, 1_000.0)):
            venue.push(Kline(
                symbol=symbol, interval_ns=MINUTE, ts_ns=opened_ns, open=price, high=price, low=price, close=price,
                volume=1.0,
            ))
        await until(lambda: world.now_ns == opened_ns + MINUTE)
        told = [one["data"]["reason"] for one in world.records("health.changed")]
        driver.stop()
        await task
        return world.engine.halts.connected, told

    connected, told = asyncio.run(run())
    assert not connected
    assert "clock +3599" in told[-1] or "clock +3600" in told[-1]


# ---------------------------------------------------------------------- what is asked too often, or not counted


def test_a_burst_of_funding_events_is_one_question(warm: bytes) -> None:
    """At funding time there is one event for each position; the next funding time asks again."""

    async def run() -> list[int]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and not driver.requests)
        asked = []
        for times in (25, 50):
            before = sum(one.startswith("funding") for one in venue.asked)
            for second in range(25):
                venue.push(WalletChanged(wallet=10_000.0, reason="FUNDING_FEE", ts_ns=driver.clock.now_ns() + second))
            await until(lambda times=times: driver.counts["WalletChanged"] == times and not driver.requests)
            asked.append(sum(one.startswith("funding") for one in venue.asked) - before)
        driver.stop()
        await task
        return asked

    assert asyncio.run(run()) == [1, 1]


def test_a_disk_that_stays_full_is_not_asked_every_tick(warm: bytes) -> None:
    """Each try syncs files on the loop: the pause doubles; a disk that is free again is found all the same."""

    async def run() -> tuple[int, bool]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, _venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        tries = []

        def save(state: dict[str, Any]) -> None:
            tries.append(1)
            if world.store.full:
                raise StateError("disk full")

        world.store.save = save  # type: ignore[method-assign]
        world.store.full, world.engine.halts.inputs_written = True, False
        await asyncio.sleep(50 * FAST.tick_s)
        failed = len(tries)
        world.store.full = False
        await until(lambda: world.engine.halts.inputs_written)
        driver.stop()
        await task
        return failed, world.engine.halts.inputs_written

    failed, well = asyncio.run(run())
    assert 1 <= failed <= 7, "at 0, 1, 3, 7, 15, 31 ticks"
    assert well


def test_records_that_fail_leave_the_state_of_a_replay_alone(world: World) -> None:
    """A full disk is no input: counted for this process, and no part of what is proven."""

    class Broken:
        def append(self, *_arguments: Any) -> None:
            raise StateError("disk full")

    world.session.checkpoint()
    before = world.engine.state()["failures"]
    world.engine.records.recorder._sink = Broken()
    world.opened("x1")
    assert len(orders(world.wish("x2", symbol=OTHER, reference_price=1_000.0, stop_price=980.0))) == 1
    assert world.engine.recording.failures > 0
    assert world.engine.state()["failures"] == before
    again = World(world.log, world.store)
    again.session.recover()
    assert again.engine.gateway.state() == world.engine.gateway.state()
    assert again.engine.account.books.state() == world.engine.account.books.state()


def test_records_that_cannot_be_written_stop_openings_until_a_checkpoint(warm: bytes) -> None:
    """Told to the engine as an input, so that a replay stops and goes on where this life did."""

    class Broken:
        def append(self, *_arguments: Any) -> None:
            raise StateError("disk full")

    async def run() -> list[tuple[bool, str]]:
        world = World()
        world.store.content = warm
        world.session.recover()
        world, _venue, driver = make(world)
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and world.engine.halts.connected)
        sound, world.engine.records.recorder._sink, world.store.full = world.engine.records.recorder._sink, Broken(), True
        world.engine.note("x", world.now_ns, {})
        await until(lambda: not world.engine.halts.connected)
        world.engine.records.recorder._sink, world.store.full = sound, False
        await until(lambda: world.engine.halts.connected)
        driver.stop()
        await task
        told = [decode_input(entry) for entry in world.log.entries]
        return [(one.connected, one.reason) for one in told if isinstance(one, HealthTold)]

    told = asyncio.run(run())
    assert any(not up and why.endswith(", records cannot be written: StateError: disk full") for up, why in told)
    assert told[-1][0]


def test_a_market_that_plays_ahead_of_the_clock_is_not_begun_on(warm: bytes) -> None:
    """What its account did before would pass for what came after; it says what to do instead of trading phantoms."""

    async def run() -> tuple[str, bool]:
        world, venue, driver = make()
        told = MarkPrice(symbol=SYMBOL, price=1e4, funding_rate=0.0, next_funding_ns=0, ts_ns=0)
        venue.push(msgspec.structs.replace(told, ts_ns=driver.clock.now_ns() + 7_200 * NS_PER_SECOND))
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: "s ahead" in driver.waits_for)
        begun, waits_for = world.engine.halts.started, driver.waits_for
        driver.stop()
        await task
        return waits_for, begun

    waits_for, begun = asyncio.run(run())
    assert not begun
    assert "speed 1" in waits_for


def test_the_governors_level_says_what_raised_it(world: World) -> None:
    """Health in the words it was told in; losses and drawdown by their names."""
    world.tell(HealthTold(ts_ns=world.now_ns, level=GOV_EMERGENCY, connected=True, reason="lag 301.0 s"))
    assert world.engine.halts.governor_cause == "system health (lag 301.0 s)"
    world.session.checkpoint()
    again = World(world.log, world.store)
    again.session.recover()
    assert again.engine.halts.governor_cause == "system health (lag 301.0 s)"


@pytest.mark.parametrize("first", [True, False])
def test_the_name_of_a_process_is_on_disk_before_it_opens_anything(warm: bytes, *, first: bool) -> None:
    """A power cut takes what was not synchronised: its orders would be those of another trader then."""

    async def run() -> list[str]:
        world = World()
        if not first:
            world.store.content = warm
            world.session.recover()
        world, _venue, driver = make(world)
        world.store.content = None
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready)
        saved = world.store.load()
        assert saved is not None
        marks = saved["engine"]["gateway"]["marks"]
        driver.stop()
        await task
        return [one for one in marks if one == world.engine.gateway.mark]

    assert len(asyncio.run(run())) == 1


@pytest.mark.parametrize("late", ["the answer", "the row"])
def test_a_transfer_told_after_its_wallet_was_taken_over_is_no_result(late: str) -> None:
    """/income was out of reach for over a minute, or showed the row some seconds late: it is asked for all the same."""

    async def run() -> None:
        world = World().begin(200)
        venue, skipped = Account(world.engine.instruments), [0]
        base, begun = world.now_ns + 5 * NS_PER_SECOND, time.monotonic()
        venue.now_ns = base

        def now() -> int:
            return base + skipped[0] + int((time.monotonic() - begun) * 1e9)

        driver = LiveDriver(world.session, venue, FAST, now, namespace="t-", steady=False)
        answer, reached = venue.get_transfers, [late == "the row"]

        async def ask(since_ns: int) -> list[Transfer]:
            if not reached[0]:
                raise VenueUnavailable("GET income: not reached")
            return await answer(since_ns)

        venue.get_transfers = ask
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and world.engine.reconciler.agreed_ns > 0)
        moved = Transfer(move_id="T-1", amount=-6000.0, ts_ns=now(), reason="TRANSFER")
        if late == "the answer":
            venue.transfers.append(moved)
        venue.wallet = 4000.0
        if late == "the answer":
            await until(lambda: world.engine.reconciler.since_ns > 0)
            skipped[0] += 70 * NS_PER_SECOND
        await until(lambda: world.engine.account.books.cash == 4000.0)
        reached[0] = True
        if late == "the row":
            venue.transfers.append(moved)
        told = lambda: [one["data"]["why"] for one in world.records("cash.adjusted")]  # noqa: E731
        await until(lambda: any("taken for a result" in why for why in told()))
        driver.stop()
        await task
        assert world.engine.account.books.cash == 4000.0

    asyncio.run(run())


def test_a_look_from_before_a_transfer_does_not_take_it_back() -> None:
    """The look asked for the wallet, the stream told of a deposit, then the look's answer came: it holds no deposit."""
    world = World().begin(200)
    asked = world.now_ns + 10 * NS_PER_SECOND
    later = asked + 2 * NS_PER_SECOND

    def look(ts_ns: int, wallet: float) -> Looked:
        return Looked(snapshot=VenueSnapshot(ts_ns=ts_ns, wallet=wallet, positions=(), orders=(), moves_known=True))

    world.tell(look(asked, 9_990.0))
    world.tell(MoneyMoved(ts_ns=later + NS_PER_SECOND // 5, amount=5_000.0))
    world.tell(look(later, 9_990.0))
    assert world.engine.account.books.cash == 15_000.0
    world.tell(look(later + 2 * NS_PER_SECOND, 14_990.0))
    world.tell(look(later + 4 * NS_PER_SECOND, 14_990.0))
    assert world.engine.account.books.cash == 14_990.0


@pytest.mark.parametrize("action", ["halt", "flatten"])
def test_an_opening_that_waited_does_not_go_out_after_a_halt(action: str) -> None:
    """Its leverage took a moment to be set; meanwhile somebody said stop."""

    async def run() -> None:
        world = World().begin()
        venue, base, begun = Account(world.engine.instruments), world.now_ns + NS_PER_SECOND, time.monotonic()
        venue.now_ns = base
        asked = asyncio.Event()

        def now() -> int:
            return base + int((time.monotonic() - begun) * 1e9)

        async def slowly(symbol: str, leverage: float) -> float:
            asked.set()
            await asyncio.sleep(0.2)
            return leverage

        venue.set_leverage = slowly
        driver = LiveDriver(world.session, venue, FAST, now, namespace="t-")
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.ready and world.engine.halts.connected)
        intent = world.intent("x1", created_ns=now(), expires_ns=now() + 30 * NS_PER_SECOND)
        driver.tell(Wished(ts_ns=now(), intent=intent))
        await asked.wait()
        driver.tell(Asked(ts_ns=now(), action=action, reason="stop it", actor="me"))
        await until(lambda: not driver.engine.gateway.tickets())
        driver.stop()
        await task
        assert [order for order in venue.sent if not order.reduce_only] == []
        (failed,) = world.records("trade.failed")
        assert action == "flatten" or failed["data"]["reason"] == "HALTED: halted by command"

    asyncio.run(run())


def test_a_deposit_explained_late_makes_no_drawdown() -> None:
    """Taken for a profit it raised the peak; known as a deposit it moves nothing twice."""
    world = World().begin()
    twice(world, wallet=16_000.0)
    deposited = world.now_ns
    for minute in range(1500, 1510):
        world.bar(minute, 10_000.0, 1_000.0)
    assert peak(world) == 16_000.0
    world.tell(MoneyMoved(ts_ns=deposited, amount=6_000.0, move_id="D-1"))
    for minute in range(1510, 1513):
        world.bar(minute, 10_000.0, 1_000.0)
    assert peak(world) == 16_000.0
    assert world.engine.account.equity == 16_000.0
    assert losses_pct(world.engine.account.losses, world.engine.account.equity) == (0.0, 0.0)


def test_a_stop_that_was_trailed_stays_where_it_is_when_somebody_closes_a_part() -> None:
    """A look finds half of the position: its stop is placed anew for that half, and no farther from the price."""
    world = World().begin()
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    position.stop = trailed = position.entry_price * 1.005
    half = VenuePosition(
        symbol=SYMBOL, qty=position.qty / 2.0, entry_price=position.entry_price, leverage=position.plan.leverage,
        mark_price=position.entry_price * 1.02, margin=0.0, liquidation_price=0.0, unrealised_pnl=0.0,
    )
    for second in (1, 3):
        world.tell(Looked(snapshot=VenueSnapshot(
            ts_ns=world.now_ns + second * NS_PER_SECOND, wallet=world.engine.account.books.cash, positions=(half,), orders=(),
        )))
    assert world.engine.account.books.positions[SYMBOL].qty == half.qty
    assert world.engine.account.books.positions[SYMBOL].stop == trailed


def test_a_position_that_fails_keeps_nobody_from_closing_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have been held for too long; something breaks on the first: the second closes, and openings halt."""
    world = World().begin()
    positions = [
        VenuePosition(
            symbol=symbol, qty=0.01, entry_price=price, leverage=5.0, margin=0.0, liquidation_price=0.0,
            mark_price=price, unrealised_pnl=0.0,
        )
        for symbol, price in ((SYMBOL, 10_000.0), (OTHER, 1_000.0))
    ]
    for stop in orders(twice(world, *positions)):
        world.say(OrderUpdate(
            client_order_id=stop.client_order_id, venue_order_id="1", symbol=stop.symbol, status=OrderStatus.NEW,
            ts_ns=world.now_ns,
        ))
    assert set(world.engine.account.books.positions) == {SYMBOL, OTHER}
    for position in world.engine.account.books.positions.values():
        position.plan.max_hours = 0.0
    leave = world.engine._exit

    def breaks(position: Any, reason: ExitReason, now_ns: int) -> Any:
        if position.symbol == SYMBOL:
            raise ZeroDivisionError("nobody foresaw it")
        return leave(position, reason, now_ns)

    monkeypatch.setattr(world.engine, "_exit", breaks)
    closes = [order for order in orders(world.bar(1500, 10_000.0, 1_000.0)) if order.type is OrderType.MARKET]
    assert [order.symbol for order in closes] == [OTHER]
    assert world.engine.halts.operator_halt
    assert SYMBOL in world.engine.records.tally.halts[-1].reason


def test_a_withdrawal_explained_late_does_not_undo_a_resume() -> None:
    """A person has looked and resumed: drawdown is measured from there, whatever is told of the time before."""
    world = World().begin()
    twice(world, wallet=8_200.0)
    moved = world.now_ns
    for minute in range(1500, 1505):
        world.bar(minute, 10_000.0, 1_000.0)
    assert world.engine.halts.closed()
    world.tell(Asked(ts_ns=world.now_ns, action="resume", reason="seen", actor="me"))
    assert peak(world) == 8_200.0
    world.tell(MoneyMoved(ts_ns=moved, amount=-1_000.0, move_id="T-1"))
    for minute in range(1505, 1507):
        world.bar(minute, 10_000.0, 1_000.0)
    assert peak(world) == 8_200.0
    assert world.engine.halts.closed() == ""


def test_filters_that_changed_while_it_was_down_do_not_rewrite_the_past() -> None:
    """The next process starts with the venue's new step; what was decided before is taken again on the old one."""
    log, store = MemoryLog(), MemoryStore()
    first = World(log, store).begin()
    first.session.checkpoint()
    first.wish("x1", qty=0.0153)
    first.session.settle()
    second = World(log, store)
    coarser = msgspec.structs.replace(second.engine.instruments[0], step_size=0.01, min_qty=0.01)
    second.engine._take_filters(0, coarser)
    second.session.recover()
    assert second.engine.instruments == first.engine.instruments
    assert second.engine.gateway.state() == first.engine.gateway.state()
    assert first.engine.gateway.tickets()[0].qty == 0.015


def test_what_a_liquidation_or_deleveraging_leaves_is_closed_at_once() -> None:
    """The venue took a part of the position: nobody waits for the next look at positions to close the rest."""
    world = World().begin()
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    commands = world.say(Fill(
        fill_id="adl-1", client_order_id="adl_autoclose", symbol=SYMBOL, side=OrderSide.SELL, qty=position.qty / 2.0,
        price=position.entry_price, fee=0.1, liquidity="taker", ts_ns=world.now_ns, liquidation=True,
    ))
    (close,) = [order for order in orders(commands) if order.type is OrderType.MARKET]
    assert (close.reduce_only, close.qty) == (True, pytest.approx(position.qty))
    assert position.exit_reason is ExitReason.LIQUIDATION
