"""A guard of other bots in one process: answers, streaks, modes, and what it does when its files are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.guard.bars import NOW_NS, rising, store_bars

from quantum_trader.app.guard import bots, markets
from quantum_trader.app.guard.bots import VALID_S, GuardSettings
from quantum_trader.app.guard.journal import read_events
from quantum_trader.app.guard.markets import BarFolder
from quantum_trader.app.guard.modes import GuardMode, ModeFile
from quantum_trader.app.guard.questions import DecideQuestion, FillReport, GuardAnswer
from quantum_trader.app.guard.report import guard_report
from quantum_trader.app.guard.service import GuardService
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import InputError, StateError

SAFE = GuardSettings(profile="SAFE")


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS + 5 * NS_PER_MINUTE

    def __call__(self) -> int:
        return self.now_ns


class World:
    """A guard's folders and its clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.state = folder / "state"
        self.bars = store_bars(folder / "bars")

    @contextmanager
    def guard(self) -> Iterator[GuardService]:
        """Run a guard on the folders; each time as a process that starts anew."""
        service = GuardService(self.state, SAFE, BarFolder(self.bars), self.clock)
        try:
            yield service
        finally:
            service.close()

    def enforce(self, bot: str = "mine") -> None:
        """Put *bot* into ENFORCED."""
        ModeFile(self.state).set_mode(bot, GuardMode.ENFORCED, "tester", "a test", self.clock())

    @property
    def journal(self) -> Path:
        """The journal of the bot ``mine``."""
        return self.state / "bots" / "mine" / "journal.jsonl"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A guard's folders with rising hourly bars of BTCUSDT."""
    return World(tmp_path)


def ask(key: str = "1", **fields: Any) -> DecideQuestion:
    """Return an entry of 200 with a stop of 3 % on an account of 10,000."""
    return DecideQuestion(**({
        "bot": "mine", "id": key, "symbol": "BTC/USDT:USDT", "side": Side.LONG, "stop": 3.0, "stake": 200.0,
        "equity": 10_000.0, "positions": (),
    } | fields))


def exit_of(key: str, profit: float, **fields: Any) -> FillReport:
    """Return the report of an exit with *profit*."""
    return FillReport(**({
        "bot": "mine", "id": key, "fill": "EXIT", "symbol": "BTCUSDT", "side": Side.LONG, "profit": profit,
    } | fields))


def codes(answer: GuardAnswer) -> list[str]:
    """Return the codes of the refusals."""
    return [one.code for one in answer.refusals]


def test_a_new_bot_is_observed(world: World) -> None:
    """What the policy refuses is permitted, with the whole stake, and the answer says what would have been blocked."""
    with world.guard() as guard:
        answer = guard.decide(ask(confidence=0.2))

    assert (answer.mode, answer.allow, answer.max_stake) == (GuardMode.OBSERVE, True, 200.0)
    assert (answer.would_allow, answer.would_max_stake) == (False, 0.0)
    assert codes(answer) == ["CONFIDENCE"]


def test_an_enforced_bot_gets_the_verdict(world: World) -> None:
    """Permitted within the policy, refused below its confidence; the mode is followed while the guard runs."""
    with world.guard() as guard:
        world.enforce()
        permitted, refused = guard.decide(ask("1", confidence=0.9)), guard.decide(ask("2", confidence=0.2))

    assert (permitted.allow, permitted.max_stake, permitted.reason) == (True, 200.0, "")
    assert (refused.allow, refused.max_stake, codes(refused)) == (False, 0.0, ["CONFIDENCE"])


def test_no_bars_and_old_bars_are_refused(world: World) -> None:
    """A symbol without bars; and one whose newest bar is older than three hours, until newer ones come."""
    world.enforce()
    with world.guard() as guard:
        unknown = guard.decide(ask("1", symbol="XRPUSDT"))
        world.clock.now_ns += 4 * NS_PER_HOUR
        old = guard.decide(ask("2"))
        store_bars(world.bars, end_ns=world.clock(), ohlcv=rising(404))
        fresh = guard.decide(ask("3"))

    assert (unknown.allow, codes(unknown)) == (False, ["NO_BARS"])
    assert (old.allow, codes(old)[0]) == (False, "STALE_BARS")
    assert "2026-12-31T14:00:00Z" in old.reason
    assert "STALE_BARS" not in codes(fresh)


def test_the_days_loss_closes_the_bot_and_a_restart_keeps_it_closed(world: World) -> None:
    """The loss is from the day's peak that the guard has seen, also by a guard that starts anew."""
    world.enforce()
    with world.guard() as guard:
        assert guard.decide(ask("1", equity=10_000.0)).allow
        lost = guard.decide(ask("2", equity=9_600.0))
    with world.guard() as guard:
        after = guard.decide(ask("3", equity=9_990.0))

    assert (lost.allow, codes(lost)) == (False, ["B1"])
    assert (after.allow, "B1" in codes(after)) == (False, True)


def test_losing_exits_make_a_streak_and_a_resend_counts_once(world: World) -> None:
    """The streak lowers the risk by rule B2, and a restart keeps it."""
    world.enforce()
    with world.guard() as guard:
        free = guard.decide(ask("1"))
        told = [guard.fill(exit_of(f"exit-{number}", -1.0)) for number in range(6)]
        again = guard.fill(exit_of("exit-5", -1.0))
    with world.guard() as guard:
        once_more = guard.fill(exit_of("exit-5", -1.0))
        held = guard.decide(ask("2", confidence=0.95))

    assert [one.losing_streak for one in told] == [1, 2, 3, 4, 5, 6]
    assert [(one.is_counted, one.losing_streak) for one in (again, once_more)] == [(False, 6), (False, 6)]
    assert "B2" in [rule.rule for rule in held.rules]
    assert held.max_risk_pct < free.max_risk_pct


def test_an_id_stands_for_one_question_and_one_report(world: World) -> None:
    """Another one under the same id is an error, not an answer."""
    with world.guard() as guard:
        guard.decide(ask("1"))
        guard.fill(exit_of("1", -1.0))
        with pytest.raises(InputError, match="stood for another question"):
            guard.decide(ask("1", stake=300.0))
        with pytest.raises(InputError, match="stood for another report"):
            guard.fill(exit_of("1", 2.0))


def test_a_question_sent_again_is_counted_once(world: World) -> None:
    """It has the same answer while that holds, and is judged anew later and after a restart."""
    with world.guard() as guard:
        first = guard.decide(ask("1"))
        world.clock.now_ns += 10 * NS_PER_SECOND
        second = guard.decide(ask("1"))
        world.clock.now_ns += VALID_S * NS_PER_SECOND
        third = guard.decide(ask("1"))
    with world.guard() as guard:
        guard.decide(ask("1"))
        (report,) = guard_report(world.state)

    assert second == first
    assert third.valid_until > first.valid_until
    assert report.questions == 1


def test_looser_values_come_back_by_the_beat_while_nobody_asks(world: World) -> None:
    """The policy is evaluated each minute, so a bot that asks rarely waits no longer than one that asks often."""
    world.enforce()
    with world.guard() as guard:
        guard.decide(ask("1", equity=10_000.0))
        guard.fill(exit_of("f", -1.0, equity=9_600.0, positions=()))
        assert not guard.decide(ask("2", equity=9_600.0)).allow
        for _ in range(2 * 24 * 60):
            world.clock.now_ns += NS_PER_MINUTE
            if world.clock() % NS_PER_HOUR == 0:
                store_bars(world.bars, end_ns=world.clock(), ohlcv=rising(448))
            guard.beat()
        after = guard.decide(ask("3", equity=9_600.0))

    assert (after.allow, after.reason) == (True, "")


@pytest.mark.parametrize("harm", ["a byte changed", "a line removed", "removed"])
def test_a_damaged_journal_permits_nothing_until_a_person_resumes(world: World, harm: str) -> None:
    """The streak in it is not known any more; the reason names the file, and a restart does not forget it."""
    world.enforce()
    with world.guard() as guard:
        guard.decide(ask("1"))
        guard.fill(exit_of("exit-1", -1.0))
    lines = world.journal.read_bytes().splitlines(keepends=True)
    if harm == "removed":
        world.journal.unlink()
    else:
        kept = lines[:1] + lines[2:] if harm == "a line removed" else [*lines[:-1], lines[-1].replace(b"-1.0", b"+1.0")]
        world.journal.write_bytes(b"".join(kept))
    with world.guard() as guard:
        refused = guard.decide(ask("2"))
    with world.guard() as guard:
        still = guard.decide(ask("3"))
        ModeFile(world.state).ask_resume("mine", "tester", "flat", world.clock())
        after = guard.decide(ask("4"))
    with world.guard() as guard:
        later = guard.decide(ask("5"))

    for answer in (refused, still):
        assert (answer.allow, codes(answer)[0]) == (False, "STATE")
        assert "journal" in answer.reason
    assert after.allow
    assert later.allow


def test_each_damage_needs_a_resume_of_its_own(world: World) -> None:
    """What a person said after the first one does not answer for the second, though the journal that had it is gone."""
    world.enforce()
    for key in ("1", "2"):
        with world.guard() as guard:
            guard.decide(ask(key))
        world.journal.write_bytes(world.journal.read_bytes().replace(b"BTCUSDT", b"ETHUSDT"))
        world.clock.now_ns += NS_PER_MINUTE
        with world.guard() as guard:
            assert codes(guard.decide(ask(f"{key}-damaged")))[:1] == ["STATE"]
            world.clock.now_ns += NS_PER_MINUTE
            ModeFile(world.state).ask_resume("mine", "tester", "flat", world.clock())
            assert guard.decide(ask(f"{key}-resumed")).allow


def test_a_line_that_a_kill_cut_short_is_no_damage(world: World) -> None:
    """It was never answered: the lines before it count, and the next one takes its place."""
    with world.guard() as guard:
        guard.fill(exit_of("exit-1", -1.0))
        guard.fill(exit_of("exit-2", -1.0))
    content = world.journal.read_bytes()
    world.journal.write_bytes(content[:-10])
    with world.guard() as guard:
        answer = guard.fill(exit_of("exit-2", -1.0))

    assert (answer.is_counted, answer.losing_streak) == (True, 2)
    assert world.journal.read_bytes().count(b"\n") == content.count(b"\n")


@pytest.mark.parametrize("harm", ["damaged", "removed"])
def test_a_policy_file_that_cannot_be_used_permits_nothing_until_resumed(world: World, harm: str) -> None:
    """Its latches are not known any more."""
    world.enforce()
    with world.guard() as guard:
        guard.decide(ask("1"))
    path = world.journal.with_name("policy.json")
    path.unlink()
    if harm == "damaged":
        path.write_text("{")
        path.chmod(0o600)
    with world.guard() as guard:
        refused = guard.decide(ask("2"))
        ModeFile(world.state).ask_resume("mine", "tester", "flat", world.clock())
        for _ in range(10):
            world.clock.now_ns += NS_PER_MINUTE
            guard.beat()
        after = guard.decide(ask("3"))

    assert not refused.allow
    assert "policy.json" in refused.reason or "HALT" in refused.reason
    assert after.allow


@pytest.mark.parametrize("harm", ["damaged", "removed"])
def test_modes_that_cannot_be_read_are_enforced_and_refuse(world: World, harm: str) -> None:
    """A bot that was ENFORCED never becomes free by a file that is lost."""
    with world.guard() as guard:
        world.enforce()
        assert guard.decide(ask("1")).mode is GuardMode.ENFORCED
        path = world.state / "modes.json"
        path.unlink()
        if harm == "damaged":
            path.write_text("[]")
        refused = guard.decide(ask("2"))

    assert (refused.mode, refused.allow, codes(refused)) == (GuardMode.ENFORCED, False, ["STATE"])
    assert "modes.json" in refused.reason


def test_a_question_that_cannot_be_recorded_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk permits nothing in ENFORCED, and a report is not said to be counted."""
    world.enforce()
    with world.guard() as guard:
        guard.decide(ask("1"))

        def full(*_: object, **__: object) -> None:
            raise StateError("journal.jsonl: No space left on device")

        monkeypatch.setattr(guard.bot("mine").journal, "append", full)
        refused = guard.decide(ask("2"))
        with pytest.raises(StateError, match="No space left"):
            guard.fill(exit_of("exit-1", -1.0))

    assert (refused.allow, codes(refused)) == (False, ["STATE"])


def test_a_clock_that_steps_back_refuses(world: World) -> None:
    """Time cannot go backwards in the policy's memory."""
    world.enforce()
    with world.guard() as guard:
        guard.decide(ask("1"))
        world.clock.now_ns -= 10 * NS_PER_MINUTE
        refused = guard.decide(ask("2"))

    assert (refused.allow, codes(refused)) == (False, ["STATE"])
    assert "backwards" in refused.reason


def test_bots_do_not_share_what_is_remembered(world: World) -> None:
    """One bot's loss closes that bot alone."""
    world.enforce("mine")
    world.enforce("other")
    with world.guard() as guard:
        guard.decide(ask("1"))
        guard.decide(ask("1", bot="other"))
        lost = guard.decide(ask("2", equity=9_000.0))
        other = guard.decide(ask("2", bot="other"))

    assert (lost.allow, other.allow) == (False, True)


def test_the_report_counts_what_was_and_would_have_been_blocked(world: World) -> None:
    """By bot and rule; allowed ones are those that the policy had nothing against."""
    with world.guard() as guard:
        guard.decide(ask("1", confidence=0.2))
        guard.decide(ask("2"))
        world.enforce()
        guard.decide(ask("3", confidence=0.2))
        guard.fill(FillReport(bot="mine", id="in", fill="ENTRY", symbol="BTCUSDT", side=Side.LONG, stake=100.0))
        guard.fill(exit_of("out", -2.5))
        guard.fill(exit_of("out", -2.5))
    (report,) = guard_report(world.state)

    assert (report.questions, report.allowed, report.blocked, report.would_have_blocked) == (3, 1, 1, 1)
    assert [(one.rule, one.blocked, one.would_have_blocked) for one in report.rules] == [("CONFIDENCE", 1, 1)]
    assert (report.entries, report.exits, report.losing_exits, report.profit) == (1, 1, 1, -2.5)
    assert (report.mode, report.mode_by, report.mode_reason) == ("ENFORCED", "tester", "a test")


def test_the_journal_says_what_was_asked_and_answered(world: World) -> None:
    """Numbered lines; the confidence, the account, the verdict and the refusals of each question."""
    with world.guard() as guard:
        guard.decide(ask("1", confidence=0.2))
    events = [msgspec.json.decode(msgspec.json.encode(one)) for one in read_events(world.journal.parent)]

    assert [(one["seq"], one["kind"]) for one in events] == [(0, "began"), (1, "decision")]
    assert events[1] | {
        "symbol": "BTCUSDT", "confidence": 0.2, "allow": True, "would_allow": False, "mode": "OBSERVE",
        "account": {"equity": 10_000.0, "positions": [], "paid_in": None},
    } == events[1]


def test_a_bot_that_asks_about_everything_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each symbol is asked for again and again at the venue: past the limit a question is refused, at a start too."""
    monkeypatch.setattr(bots, "SYMBOLS", 3)
    monkeypatch.setattr(markets, "MOST_SYMBOLS", 5)
    world.enforce()
    with world.guard() as guard:
        told = [guard.decide(ask(f"{number}", symbol=f"X{number}USDT")).reason for number in range(6)]
        guard.decide(ask("known", symbol="X4USDT"))
        kept = list(guard.bot("mine").symbols)
        guard.decide(ask("1", bot="other", symbol="X3USDT"))
    monkeypatch.setattr(markets, "MOST_SYMBOLS", 1)
    with world.guard() as guard:
        refused = guard.decide(ask("later"))

    assert "5 symbols are watched already" in told[5]
    assert all("NO_BARS" in one for one in told[:5])
    assert kept == ["X3USDT", "X5USDT", "X4USDT"]
    assert codes(refused) == ["STATE"]


def test_one_process_has_the_folder(world: World) -> None:
    """A second guard on it is refused."""
    with world.guard(), pytest.raises(StateError, match="another run is using this folder"), world.guard():
        pass


def test_bars_of_the_future_are_not_taken(tmp_path: Path) -> None:
    """A bar counts once it is complete, also where the file is older than it."""
    source = BarFolder(store_bars(tmp_path))
    before = source.bars("BTCUSDT", -1, NOW_NS - NS_PER_HOUR - 1)
    then = source.bars("BTCUSDT", before[-1].start_s, NOW_NS - 1)
    last = source.bars("BTCUSDT", then[-1].start_s, NOW_NS)

    assert [len(then), len(last)] == [1, 1]
    assert last[0].start_s == (NOW_NS - NS_PER_HOUR) // NS_PER_SECOND
    assert not source.bars("BTCUSDT", last[0].start_s, NOW_NS + NS_PER_DAY)
