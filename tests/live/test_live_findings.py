"""What a review of the live road found in the engine: each broke once."""

from __future__ import annotations

import contextlib
import os

from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, World, cancels, orders

from quantum_trader.app.runs.input_log import FileInputLog
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.ports import VenueOrder, VenuePosition
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.live.clock import LiveClock
from quantum_trader.live.inputs import Asked, Began, Looked


def held(qty=0.01, entry=10_000.0, leverage=5.0, mark=10_000.0):
    return VenuePosition(
        symbol=SYMBOL,
        qty=qty,
        entry_price=entry,
        leverage=leverage,
        margin=20.0,
        liquidation_price=0.0,
        mark_price=mark,
        unrealised_pnl=0.0,
    )


def look(world, *positions, wallet=None, orders=()):
    return list(
        world.tell(
            Looked(
                snapshot=VenueSnapshot(
                    ts_ns=world.now_ns,
                    wallet=world.engine.account.books.cash if wallet is None else wallet,
                    positions=positions,
                    orders=orders,
                )
            )
        )
    )


def test_acks_out_of_order_retire_the_newer_stop(world):
    """Two stops under way (made by the gateway itself); acks arrive the other way round: the younger stays."""
    world.opened()
    gateway, position = world.engine.gateway, world.engine.account.books.positions[SYMBOL]
    (first,), (second,) = gateway.move_stop(position, 1), gateway.move_stop(position, 2)
    gone = cancels(world.update(second, OrderStatus.NEW)) + cancels(world.update(first, OrderStatus.NEW))
    assert second.client_order_id not in gone
    assert first.client_order_id in gone


def test_many_partial_fills_make_many_resting_orders(world):
    """25 partial fills of one market order make 50 conditional orders before anything is acknowledged."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    sent = sum(len(orders(world.fill(order, 0.0004))) for _ in range(25))
    assert sent <= 20, f"{sent} conditional orders sent at once for one position"


class BrokenSink:
    def __init__(self, sink):
        self.sink, self.full = sink, False

    def append(self, line, topic, ts_ns):
        if self.full:
            raise StateError("records.jsonl: cannot be written (No space left on device)")
        self.sink.append(line, topic, ts_ns)


def test_disk_full_does_not_lose_a_fill(world):
    """Records cannot be written: the fill is still booked and its stop still goes out."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.session.settle()
    sink = BrokenSink(world.engine.records.recorder._sink)
    world.engine.records.recorder._sink = sink
    sink.full = True
    world.log.full = True
    sent = world.fill(order, 0.01)
    assert SYMBOL in world.engine.account.books.positions, "the fill is not in the books, and its id is already 'seen'"
    assert any(o.type is OrderType.STOP_MARKET for o in orders(sent))


def test_disk_full_flatten_goes_out(world):
    """flatten while records cannot be written."""
    world.opened()
    world.session.settle()
    sink = BrokenSink(world.engine.records.recorder._sink)
    world.engine.records.recorder._sink = sink
    sink.full = True
    world.log.full = True
    sent = world.tell(Asked(ts_ns=world.now_ns, action="flatten", reason="enough", actor="me"))
    assert any(o.type is OrderType.MARKET and o.reduce_only for o in orders(sent))


def test_checkpoint_survives_a_sink_that_cannot_sync(world):
    """records.sync() (in more_state) raises StateError on a full disk: checkpoint() says False, it does not raise."""

    def full():
        raise StateError("records.jsonl: cannot be written (No space left on device)")

    world.session.more_state = full
    assert world.session.checkpoint() is False


def test_rotation_failure_is_a_state_error(tmp_path, monkeypatch):
    """A full disk at the moment the input log begins a new file."""
    from quantum_trader.app.runs import input_log

    monkeypatch.setattr(input_log, "_SEGMENT_BYTES", 64)
    log = FileInputLog(tmp_path / "inputs")
    real = os.open

    def full(path, flags, mode=0o777, **kw):
        if "inputs-00000002" in str(path):
            raise OSError(28, "No space left on device")
        return real(path, flags, mode, **kw)

    monkeypatch.setattr(os, "open", full)
    with contextlib.suppress(StateError):
        log.append(b"x" * 100)
    # OSError escapes otherwise, and ends the TaskGroup


def test_leverage_changed_by_hand_moves_the_stop_inside_liquidation(world):
    """Somebody raises leverage to 100 on the website: liquidation comes nearer than the stop; the stop must follow."""
    world.opened()
    position = world.engine.account.books.positions[SYMBOL]
    ours = [
        VenueOrder(
            client_order_id=t.client_order_id,
            venue_order_id="1",
            symbol=SYMBOL,
            side=OrderSide.SELL,
            type=OrderType.STOP_MARKET,
            qty=t.qty,
            filled_qty=0.0,
            average_price=0.0,
            price=0.0,
            stop_price=t.price,
            reduce_only=True,
            status=OrderStatus.NEW,
            created_ns=0,
        )
        for t in world.engine.gateway.tickets()
    ]
    look(world, held(leverage=125.0), orders=tuple(ours)) + look(world, held(leverage=125.0), orders=tuple(ours))
    from quantum_trader.risk.sizing import liquidation_price

    liq = liquidation_price(
        1, position.entry_price, position.qty, position.plan.leverage, world.engine.instruments.tiers[position.index]
    )
    assert position.plan.leverage == 125.0
    assert position.stop > liq, f"stop {position.stop} is beyond liquidation {liq}"


def test_bars_from_before_a_position_do_not_manage_it():
    """A first start: a position by hand is adopted while the warm-up bars are still being fetched."""
    world = World()
    world.tell(Began(ts_ns=START + 1600 * MINUTE, wallet=10_000.0, namespace="n-"))

    t = START + 1600 * MINUTE
    snap = VenueSnapshot(ts_ns=t, wallet=10_000.0, positions=(held(entry=10_000.0),), orders=())
    world.tell(Looked(snapshot=snap))
    sent = world.tell(Looked(snapshot=snap))
    assert SYMBOL in world.engine.account.books.positions
    for o in orders(sent):
        world.update(o, OrderStatus.NEW)
    exits = []
    for minute in range(300):  # history: the price came down from 11,000 to 10,000 before anybody bought
        price = 11_000.0 - 1_000.0 * min(1.0, minute / 250)
        for o in orders(world.bar(minute, price, 1_000.0, late_ns=(1600 - minute) * MINUTE)):
            exits.append((minute, o.type, o.stop_price))
            world.update(o, OrderStatus.NEW)
    assert not exits, exits[:3]


def test_a_bar_does_not_close_a_position_whose_stop_is_on_its_way(world):
    """A fill just before a bar closes: its stop is sent and not answered yet when the bar is decided."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.fill(order, 0.01)
    sent = orders(world.bar(1500, 10_000.0, 1_000.0))
    assert not [o for o in sent if o.type is OrderType.MARKET], (
        "closed as UNPROTECTED while the stop request is under way"
    )


def test_clock_after_suspend_finds_the_venue_time_again():
    """The machine slept an hour: monotonic stood still, wall and venue agree; the clock must come back."""
    wall, mono = [0], [0.0]
    clock = LiveClock(lambda: wall[0], lambda: 0.0)
    wall[0] = 10**18
    clock.start(lambda: mono[0])
    wall[0] += 3600 * 10**9
    for _ in range(1000):
        wall[0] += 10**9
        mono[0] += 1.0
        clock.tick()
    assert abs(clock.offset_ms()) < 500.0, f"{clock.offset_ms():.0f} ms for ever"


def test_an_adopted_position_under_water_is_not_closed_for_a_stale_stop():
    """Cold start: entry 10,000, the mark is 9,700; the stop must be made from the price that is, not from the entry."""
    world = World()
    t = START
    world.tell(Began(ts_ns=t, wallet=10_000.0, namespace="n-"))
    snap = VenueSnapshot(ts_ns=t, wallet=10_000.0, positions=(held(entry=10_000.0, mark=9_000.0),), orders=())
    world.tell(Looked(snapshot=snap))
    sent = orders(world.tell(Looked(snapshot=snap)))
    stop = next(o for o in sent if o.type is OrderType.STOP_MARKET)
    assert stop.stop_price < 9_000.0, (
        f"stop {stop.stop_price} above the mark 9000: -2021, and the position is closed at market"
    )


def test_a_fill_told_after_its_position_was_taken_from_a_look_counts_once(world):
    """Fills could not be fetched, two looks adopt the position; then the fill is told after all."""
    look(world, held(qty=0.01))
    look(world, held(qty=0.01))
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01
    world.fill("web_1", 0.01, side=OrderSide.BUY, ts_ns=world.now_ns - 10**9)
    assert world.engine.account.books.positions[SYMBOL].qty == 0.01, (
        f"{world.engine.account.books.positions[SYMBOL].qty}: the same 0.01 twice"
    )


def test_a_position_in_a_symbol_without_bars_yet_is_no_catastrophe():
    """A first start: a long is adopted in a symbol whose first warm-up bars are missing (listed last week)."""
    import numpy as np

    from quantum_trader.live.inputs import BarsCame
    from quantum_trader.risk.governor import GOV_ROW_LEVEL

    world = World()
    world.tell(Began(ts_ns=START, wallet=10_000.0, namespace="n-"))
    theirs = VenuePosition(
        symbol=OTHER,
        qty=2.0,
        entry_price=1_000.0,
        leverage=5.0,
        margin=20.0,
        liquidation_price=0.0,
        mark_price=1_000.0,
        unrealised_pnl=0.0,
    )
    for _ in range(2):
        look(world, theirs)
    assert OTHER in world.engine.account.books.positions
    for minute in range(4):
        rows = np.array([[1e4, 1e4, 1e4, 1e4, 100.0], [np.nan] * 5])
        ts = START + minute * MINUTE
        world.tell(
            BarsCame(ts_ns=ts, received_ns=ts + MINUTE, ohlcv=rows.tobytes(), present=np.array([True, False]).tobytes())
        )
    assert world.engine.account.governor[GOV_ROW_LEVEL] == 0, (
        f"equity {world.engine.account.equity}, governor {world.engine.account.governor[GOV_ROW_LEVEL]}"
    )


def test_adopting_a_losing_position_is_no_drawdown_of_ours():
    """Wallet 10,000; a manual long is 900 under water when it is first seen."""
    from quantum_trader.risk.governor import GOV_ROW_LEVEL

    world = World()
    world.tell(Began(ts_ns=START, wallet=10_000.0, namespace="n-"))
    world.bar(0, 10_000.0, 1_000.0)
    for _ in range(2):
        look(world, held(qty=0.9, entry=11_000.0))
    world.bar(1, 10_000.0, 1_000.0)
    assert world.engine.account.governor[GOV_ROW_LEVEL] < 3, f"equity {world.engine.account.equity}: EMERGENCY at the first start"
