"""What a second review found in the live road: each broke once."""

from __future__ import annotations

import contextlib
from contextlib import suppress

from tests.live.live_world import MINUTE, OTHER, START, SYMBOL, orders
from tests.live.test_live_findings import held

from quantum_trader.domain.enums import OrderStatus, OrderType
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.reconciliation import VenueSnapshot
from quantum_trader.live.inputs import Looked


def look(world, *positions):
    return list(
        world.tell(
            Looked(
                snapshot=VenueSnapshot(
                    ts_ns=world.now_ns, wallet=world.engine.account.books.cash, positions=positions, orders=()
                )
            )
        )
    )


def test_an_opening_whose_fill_was_seen_by_a_look_leaves_nothing_pending(world):
    """The fill's message is lost and get_fills fails: two looks take the position; then fill and FILLED are told."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    look(world, held())
    look(world, held())
    assert SYMBOL in world.engine.account.books.positions
    world.fill(order, 0.01, ts_ns=world.now_ns - 1)
    world.update(order, OrderStatus.FILLED, filled=0.01)
    assert not world.engine.opening.pending, f"pending for ever: {world.engine.opening.pending}"


def test_own_position_taken_from_a_look_keeps_its_own_plan(world):
    """The same: the position is ours (an opening is pending), so its plan and trace are the intent's, not 'adopted'."""
    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    look(world, held())
    look(world, held())
    assert world.engine.account.books.positions[SYMBOL].plan.intent_id == "x1"


def test_records_that_could_not_be_written_do_not_forbid_the_next_start(tmp_path):
    """Disk full for a moment, then free: the folder must start again."""
    from quantum_trader.app.runs.journal_sink import JournalSink
    from quantum_trader.app.runs.state_dir import RecordFile
    from quantum_trader.engine.recorder import Recorder

    tmp_path.chmod(0o700)
    records = RecordFile(tmp_path / "records.jsonl", 0)
    sink = JournalSink(tmp_path, records, 0)
    recorder = Recorder(sink)

    def note(n):
        with suppress(StateError):  # Engine._record goes on
            recorder.record("note", "", n, {"n": n})

    note(1)
    note(2)
    real = records.append

    def full(line, topic="", ts_ns=0):
        raise StateError("no space")

    records.append = full
    note(3)
    records.append = real
    note(4)
    note(5)
    sink.sync()
    size = records.size
    sink.close()
    recorded = sum(recorder.seq.values())  # what LiveRun takes from the checkpoint
    JournalSink(tmp_path, RecordFile(tmp_path / "records.jsonl", size), recorded).close()


def test_bars_of_a_symbol_that_is_only_slow_are_not_lost():
    """A symbol whose bars come late: the warm-up waits for it, it is not decided without them."""
    import asyncio

    import msgspec
    from tests.live.test_live_driver import FAST, Kline, make, until

    from quantum_trader.domain.errors import VenueUnavailable

    async def run():
        world, venue, driver = make()
        driver.timing = msgspec.structs.replace(FAST, warm_bars=3)
        for s in (SYMBOL, OTHER):
            for m in range(4):
                venue.bars.append(
                    Kline(
                        symbol=s,
                        interval_ns=MINUTE,
                        ts_ns=START + (m - 3) * MINUTE,
                        open=1e3,
                        high=1e3,
                        low=1e3,
                        close=1e3,
                        volume=1.0,
                    )
                )
        real = venue.get_klines

        async def klines(symbol, *rest):
            if symbol == OTHER and count() <= 8:
                raise VenueUnavailable("the venue has a request limit, and it is near")
            return await real(symbol, *rest)

        n = [0]

        def count():
            n[0] += 1
            return n[0]

        venue.get_klines = klines
        task = asyncio.create_task(driver.run(connected=True))
        await until(lambda: driver.decided_until_ns > 0, 6.0)
        close = float(
            world.engine.market.kernel.out[1, __import__("quantum_trader.signals.columns", fromlist=["CLOSE"]).CLOSE]
        )
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert close > 0, f"the second symbol's warm-up was thrown away after a few tries (its close: {close})"

    asyncio.run(run())


def test_ticks_before_doubts_are_settled_do_not_close_a_position(world):
    """A restart while the account stream is down: the stop's outcome is in doubt, ticks go on (attention every 5 s)."""
    from quantum_trader.live.inputs import Ticked

    order = orders(world.wish())[0]
    world.update(order, OrderStatus.NEW)
    world.fill(order, 0.01)  # its stop is made, then the process dies
    sent = []
    for n in range(5):  # 25 s of a start whose user stream is not up
        sent += orders(world.tell(Ticked(ts_ns=world.now_ns + n * 5 * 10**9, busy=())))
    assert not [o for o in sent if o.type is OrderType.MARKET], "closed as UNPROTECTED, the stop may rest at the venue"


def test_flatten_now_goes_on_when_nothing_can_be_written(tmp_path, monkeypatch):
    import inspect

    from quantum_trader.app.runs import direct

    def full(*a, **k):
        raise StateError("operator.jsonl: cannot be written (No space left on device); nothing was asked")

    monkeypatch.setattr(direct, "ask", full)
    inspect.getsource(direct.flatten_now)

    class Folder:
        symbols = ("BTCUSDT",)

    monkeypatch.setattr(direct, "account_folder", lambda p: Folder)
    monkeypatch.setattr(direct, "is_alive", lambda p: False)
    called = []

    async def over(*a, **k):
        called.append(1)
        raise StateError("reached the venue")

    monkeypatch.setattr(direct, "_flatten_over", over)
    from quantum_trader.app.runs.operator_requests import Action, OperatorRequest

    with contextlib.suppress(StateError):
        direct.flatten_now(
            tmp_path / "s",
            OperatorRequest(action=Action.FLATTEN, reason="x", actor="me", ts_ns=1),
            lambda s: None,
            lambda: 1,
            print,
            5.0,
        )
    assert called, "the venue was never asked"
