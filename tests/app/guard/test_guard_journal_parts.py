"""A guard's journal is sealed in parts: its open file stays small, and nothing that counts is forgotten."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.app.guard.test_guarded_bots import World, ask, codes, exit_of

from quantum_trader.app.guard import bots, journal
from quantum_trader.app.guard.report import guard_report
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import InputError, StateError

FULL = 20_000  # bytes


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A guard's folders whose journals are sealed soon; the bot ``mine`` is ENFORCED."""
    monkeypatch.setattr(journal, "PART_BYTES", FULL)
    found = World(tmp_path)
    found.enforce()
    return found


def fill_up(world: World, first: int = 0) -> None:
    """Ask and report until the open file is full, then let the beat seal it."""
    with world.guard() as guard:
        number = first
        while not guard.bot("mine").journal.is_full:
            guard.decide(ask(f"{number}", equity=10_000.0, paid_in=7.0))
            guard.fill(exit_of(f"exit-{number}", -1.0))
            number += 1
        world.clock.now_ns += NS_PER_MINUTE
        guard.beat()


def parts(world: World) -> list[str]:
    """Return the names of the sealed parts."""
    return sorted(path.name for path in world.journal.parent.glob("journal-*"))


def test_a_full_journal_is_sealed_and_the_bot_goes_on_as_before(world: World) -> None:
    """Streak, ids, account and mode are what they were; the figures of the report are of all parts."""
    with world.guard() as guard:
        guard.decide(ask("first"))
    before = guard_report(world.state)[0]
    fill_up(world)
    with world.guard() as guard:
        told = guard.fill(exit_of("exit-0", -1.0))
        other = guard.fill(exit_of("new", -1.0))
        with pytest.raises(InputError, match="stood for another report"):
            guard.fill(exit_of("exit-1", 2.0))
        assert guard.bot("mine").paid_in == 7.0
        assert guard.bot("mine").account is not None
    fill_up(world, 10_000)
    report = guard_report(world.state)[0]

    assert parts(world) == ["journal-0000000001.jsonl.gz", "journal-0000000002.jsonl.gz"]
    assert world.journal.stat().st_size < FULL
    assert (told.is_counted, other.is_counted, other.losing_streak) == (False, True, told.losing_streak + 1)
    assert report.since == before.since
    assert report.questions == report.exits  # "first" among the questions, "new" among the exits
    assert report.losing_exits == report.exits > 60


def test_a_kill_while_a_part_is_written_counts_nothing_twice(world: World) -> None:
    """The part is there and the open file still has its lines: figures are the same, and it is sealed anew."""
    fill_up(world)
    (part,) = world.journal.parent.glob("journal-*")
    sealed = guard_report(world.state)[0]
    world.journal.write_bytes(gzip.decompress(part.read_bytes()))
    half = guard_report(world.state)[0]
    with world.guard() as guard:
        world.clock.now_ns += NS_PER_MINUTE
        guard.beat()
    after = guard_report(world.state)[0]

    assert half == sealed == after
    assert parts(world) == ["journal-0000000001.jsonl.gz"]


def test_an_open_file_that_is_gone_is_damage(world: World) -> None:
    """The parts show that there was one; nothing is permitted, and the parts stay."""
    fill_up(world)
    world.journal.unlink()
    with world.guard() as guard:
        refused = guard.decide(ask("later"))
    fill_up(world, 10_000)

    assert (refused.allow, codes(refused)[0]) == (False, "STATE")
    assert "journal-0000000001.jsonl.gz" in refused.reason
    assert parts(world) == ["journal-0000000001.jsonl.gz", "journal-0000000002.jsonl.gz"]


def test_a_part_may_be_removed_and_a_damaged_one_is_named(world: World) -> None:
    """The guard needs the open file alone; the report says which part it cannot read."""
    fill_up(world)
    (part,) = world.journal.parent.glob("journal-*")
    content = part.read_bytes()
    part.write_bytes(content[:-40])
    with pytest.raises(StateError, match=r"journal-0000000001\.jsonl\.gz: .*move it away"):
        guard_report(world.state)
    part.unlink()
    with world.guard() as guard:
        assert guard.fill(exit_of("exit-0", -1.0)).is_counted is False
    assert guard_report(world.state)[0].questions == 0


def test_a_part_that_cannot_be_written_leaves_the_open_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot goes on, and the file is sealed once there is space."""
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_atomically", full)
        fill_up(world)
        assert parts(world) == []
    with world.guard() as guard:
        assert guard.fill(exit_of("exit-0", -1.0)).is_counted is False
        world.clock.now_ns += NS_PER_MINUTE
        guard.beat()
        assert guard.decide(ask("later", paid_in=7.0)).mode.value == "ENFORCED"

    assert parts(world) == ["journal-0000000001.jsonl.gz"]


def test_a_policy_file_that_is_gone_after_a_part_is_damage(world: World) -> None:
    """The part's end says that the bot had an account."""
    fill_up(world)
    world.journal.with_name("policy.json").unlink()
    with world.guard() as guard:
        refused = guard.decide(ask("later"))

    assert "policy.json is gone" in refused.reason


def test_the_oldest_ids_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that reports for years fills no memory: the newest reports are remembered, here ten."""
    monkeypatch.setattr(bots, "ANSWERS", 10)
    with world.guard() as guard:
        for number in range(11):
            guard.fill(exit_of(f"exit-{number}", 1.0))
        assert guard.fill(exit_of("exit-1", 1.0)).is_counted is False
        assert guard.fill(exit_of("exit-0", 1.0)).is_counted is True
