"""A lock keeps entries out of one symbol until a time; reducing goes on, and the lock outlives the process."""

from __future__ import annotations

from tests.live.live_world import MINUTE, OTHER, SYMBOL, World, orders, world_of

from quantum_trader.domain.clock import iso
from quantum_trader.live.inputs import OperatorRequestReceived


def lock(world: World, minutes: int, action: str = "lock") -> None:
    """Ask to lock the first symbol for *minutes*, or to end that."""
    world.tell(OperatorRequestReceived(
        ts_ns=world.now_ns, action=action, reason="listing rumour", actor="me", symbol=SYMBOL,
        until_ns=world.now_ns + minutes * MINUTE if action == "lock" else 0,
    ))


def refusal(world: World) -> str:
    """The reason of the newest intent that failed."""
    return str(world.records("trade.failed")[-1]["data"]["reason"])


def test_entries_into_a_locked_symbol_are_refused_and_others_are_not(world: World) -> None:
    """SYMBOL_HALTED for the locked one, additions too; another symbol opens, and a position is still closed."""
    world.opened()
    lock(world, 10)
    assert orders(world.wish("x2")) == []
    other = {"symbol": OTHER, "reference_price": 1000.0, "stop_price": 980.0, "qty": 0.1}
    assert len(orders(world.wish("x3", **other))) == 1
    (close,) = orders(world.wish("x4", reduce_only=True))
    assert close.reduce_only
    assert world.engine.halts.closed(OTHER) == world.engine.halts.closed() == ""


def test_a_lock_ends_with_the_first_bars_at_its_time(world: World) -> None:
    """Refused before, opened after; both ends are on record with the time and who asked."""
    lock(world, 2)
    until = iso(world.now_ns + 2 * MINUTE)
    world.wish("x1")
    assert refusal(world) == "SYMBOL_HALTED"
    world.bar(1500, 10_000.0, 1_000.0)
    world.wish("x2", created_ns=world.now_ns)
    assert refusal(world) == "SYMBOL_HALTED"
    world.bar(1501, 10_000.0, 1_000.0)
    assert len(orders(world.wish("x3"))) == 1
    raised, cleared = world.records("halt.raised")[-1]["data"], world.records("halt.cleared")[-1]["data"]
    assert (raised["kind"], raised["reason"], raised["exit_path"]) == (
        f"lock {SYMBOL}", "locked: listing rumour (me)", f"at {until}"
    )
    assert (cleared["kind"], cleared["reason"]) == (f"lock {SYMBOL}", "its time is over")
    assert world.records("operator.requested")[-1]["data"]["symbol"] == SYMBOL


def test_a_lock_ends_on_request_and_a_resume_does_not_end_it(world: World) -> None:
    """Resume ends halts; a lock ends by its time or by unlock."""
    lock(world, 60)
    world.request("resume")
    world.wish("x1")
    assert refusal(world) == "SYMBOL_HALTED"
    lock(world, 0, "unlock")
    assert len(orders(world.wish("x2"))) == 1


def test_a_lock_is_in_force_after_a_restart(world: World) -> None:
    """From the checkpoint, and from the inputs alone."""
    lock(world, 60)
    world.session.checkpoint()
    assert world.store.content is not None
    again = world_of(world.store.content, world.log)
    assert again.engine.halts.state() == world.engine.halts.state()
    again.wish("x1")
    assert refusal(again) == "SYMBOL_HALTED"
