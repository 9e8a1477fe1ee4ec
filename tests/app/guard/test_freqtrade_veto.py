"""A freqtrade held to the policy from outside, against a server that answers as freqtrade does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.app.guard.bars import NOW_NS
from tests.app.guard.freqtrade_server import PASSWORD, USER, FreqtradeState, freqtrade_at
from tests.app.guard.serving import environment

from quantum_trader.app.guard.bots import GuardSettings
from quantum_trader.app.guard.freqtrade_rest import Credentials, FreqtradeRest, read_credentials
from quantum_trader.app.guard.freqtrade_veto import LOCK_S, FreqtradeBars, FreqtradeVeto, PairVerdict
from quantum_trader.app.guard.modes import GuardMode, ModeFile
from quantum_trader.app.guard.report import guard_report
from quantum_trader.app.guard.service import GuardService
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, VenueError, VenueUnavailable

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


class World:
    """A served freqtrade, and the guard's folder."""

    def __init__(self, folder: Path, state: FreqtradeState, url: str) -> None:
        self.folder, self.freqtrade, self.url = folder, state, url

    def enforce(self) -> None:
        """Put the bot into ENFORCED."""
        ModeFile(self.folder).set_mode("freqtrade", GuardMode.ENFORCED, "tester", "", NOW_NS)

    def observe(self) -> None:
        """Put the bot into OBSERVE."""
        ModeFile(self.folder).set_mode("freqtrade", GuardMode.OBSERVE, "tester", "", NOW_NS)

    @contextmanager
    def veto(self, confidence: float | None = None) -> Iterator[FreqtradeVeto]:
        """Guard the freqtrade, as a process that starts anew."""
        rest = FreqtradeRest(self.url, Credentials(USER, PASSWORD))
        service = GuardService(
            self.folder, GuardSettings(profile="SAFE"), FreqtradeBars(rest, "1h", 3_600_000), self.now
        )
        try:
            yield FreqtradeVeto(service, "freqtrade", rest, self.now, confidence=confidence, sleep=lambda _: None)
        finally:
            service.close()

    def now(self) -> int:
        """The time of both."""
        return self.freqtrade.now_ns

    def locked(self) -> dict[str, str]:
        """Return the reasons of the locks in force, by pair."""
        return {one["pair"]: one["reason"] for one in self.freqtrade.active()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A freqtrade with two rising pairs and an account of 10,000."""
    state = FreqtradeState(NOW_NS + 5 * NS_PER_MINUTE)
    with freqtrade_at(state) as url:
        yield World(tmp_path / "state", state, url)


def codes(verdict: PairVerdict) -> list[str]:
    """Return the codes of the refusals."""
    return [one.code for one in verdict.refusals]


def test_observe_writes_no_lock_and_says_what_it_would_lock(world: World) -> None:
    """A loss of the day closes trading by rule B1; the report has it, once."""
    with world.veto() as veto:
        calm = veto.cycle()
        world.freqtrade.profit = -600.0
        lost, again = veto.cycle(), veto.cycle()
    with world.veto() as veto:
        restarted = veto.cycle()
    (report,) = guard_report(world.folder)

    assert [one.refusals for one in calm.pairs] == [(), ()]
    assert [(one.action, codes(one)) for one in lost.pairs] == [("WOULD_LOCK", ["B1"])] * 2
    assert [one.action for one in (*again.pairs, *restarted.pairs)] == [""] * 4
    assert not [one for one in world.freqtrade.asked if not one.startswith("GET ")]
    assert (report.locks, report.would_lock) == (0, 2)
    assert [(one.rule, one.blocked, one.would_have_blocked) for one in report.rules] == [("B1", 0, 2)]


def test_enforced_locks_what_the_policy_refuses_and_frees_it_again(world: World) -> None:
    """Each pair of the whitelist has a lock with the rule and the reason; a day later, with the loss back, none."""
    world.enforce()
    with world.veto() as veto:
        veto.cycle()
        world.freqtrade.profit = -600.0
        lost = veto.cycle()
        locked = world.locked()
        world.freqtrade.profit = 0.0
        for _ in range(26 * 12):
            world.freqtrade.now_ns += 5 * NS_PER_MINUTE
            after = veto.cycle()
    (report,) = guard_report(world.folder)

    assert [(one.action, one.is_locked) for one in lost.pairs] == [("LOCKED", True)] * 2
    assert set(locked) == {BTC, ETH}
    assert all(one.startswith("quantum-trader guard freqtrade: B1: Daily DD limit hit") for one in locked.values())
    assert [(one.is_locked, one.refusals) for one in after.pairs] == [(False, ())] * 2
    assert world.locked() == {}
    assert report.locks >= 2


def test_a_lock_is_renewed_before_it_ends_and_there_is_one_a_pair(world: World) -> None:
    """While the policy refuses, no moment is without a lock, and old ones are removed."""
    world.enforce()
    with world.veto(confidence=0.0) as veto:
        for _ in range(3 * 60):
            veto.cycle()
            active = world.freqtrade.active()
            assert {one["pair"] for one in active} == {BTC, ETH}
            assert len(active) == 2
            assert all(one["lock_end_timestamp"] * 10**6 > world.now() + NS_PER_MINUTE for one in active)
            world.freqtrade.now_ns += NS_PER_MINUTE

    assert len(world.freqtrade.locks) < 20
    assert sum(one == "POST locks" for one in world.freqtrade.asked) < 20


def test_locks_of_others_are_never_touched(world: World) -> None:
    """Neither a person's nor a protection's, on a pair that the guard locks and frees."""
    end_ms = (world.now() + 5 * NS_PER_HOUR) // 10**6
    for reason in ("Cooldown period for 3 candles", "quantum-trader guard other: B1: lost", "mine"):
        world.freqtrade.add_lock(BTC, end_ms, reason)
    others = {one["id"] for one in world.freqtrade.active()}
    world.enforce()
    with world.veto(confidence=0.0) as veto:
        veto.cycle()
        assert len(world.freqtrade.active()) == 5
    with world.veto(confidence=0.95) as veto:
        veto.cycle()

    assert {one["id"] for one in world.freqtrade.active()} == others


def test_back_in_observe_its_locks_are_removed(world: World) -> None:
    """The pairs are free at once; what would be locked is said."""
    world.enforce()
    with world.veto(confidence=0.0) as veto:
        veto.cycle()
        assert set(world.locked()) == {BTC, ETH}
        world.observe()
        cycle = veto.cycle()

    assert world.locked() == {}
    assert [one.action for one in cycle.pairs] == ["WOULD_LOCK"] * 2


def test_closed_trades_make_the_losing_streak_and_count_once(world: World) -> None:
    """Those from before the first start too, over restarts, in the order in which they were closed."""
    for number in range(1, 4):
        world.freqtrade.close_trade(number, -1.0)
    with world.veto() as veto:
        veto.cycle()
        assert veto.bot.streak[0] == 3
        world.freqtrade.close_trade(4, -1.0)
        veto.cycle()
        veto.cycle()
        assert veto.bot.streak[0] == 4
    with world.veto() as veto:
        veto.cycle()
        assert veto.bot.streak[0] == 4
        for number in range(5, 120):
            world.freqtrade.close_trade(number, 1.0 if number == 100 else -1.0)
        veto.cycle()
        assert veto.bot.streak[0] == 19
    (report,) = guard_report(world.folder)

    assert (report.exits, report.losing_exits) == (119, 118)


def test_open_trades_count_as_positions_and_exposure(world: World) -> None:
    """Rule B4 refuses where their stakes use up the limit."""
    world.freqtrade.open_trade(1, 9_000.0)
    with world.veto() as veto:
        cycle = veto.cycle()

    assert cycle.open_trades == 1
    assert all("B4" in codes(one) for one in cycle.pairs)


@pytest.mark.parametrize("trouble", ["profit", "open trade", "balance", "trades", "status"])
def test_an_account_that_is_not_known_locks_every_pair(world: World, trouble: str) -> None:
    """A price that freqtrade has not, an answer that does not come: nothing may be entered."""
    world.enforce()
    with world.veto() as veto:
        assert not any(one.is_locked for one in veto.cycle().pairs)
        if trouble == "profit":
            world.freqtrade.profit_known = False
        elif trouble == "open trade":
            world.freqtrade.open_trade(1, 10.0, None)
        else:
            world.freqtrade.refuses.add(f"GET {trouble}")
        cycle = veto.cycle()

    assert [(one.is_locked, codes(one)) for one in cycle.pairs] == [(True, ["STATE"])] * 2


def test_a_reading_of_the_capital_between_a_trade_and_the_wallet_is_no_peak_and_no_loss(world: World) -> None:
    """freqtrade counts a new trade's stake twice for seconds; what trades have lost counts at once."""
    world.enforce()
    equities = []
    with world.veto() as veto:
        for starting in (10_000.0, 10_300.0, 10_000.0, 9_700.0, 10_000.0, 10_000.0):
            world.freqtrade.starting = starting
            world.freqtrade.now_ns += 20 * NS_PER_SECOND
            cycle = veto.cycle()
            equities.append((cycle.equity, [codes(one) for one in cycle.pairs]))
        world.freqtrade.profit = -600.0
        lost = veto.cycle()

    assert equities == [(10_000.0, [[], []])] * 6
    assert (lost.equity, [codes(one) for one in lost.pairs]) == (9_400.0, [["B1"], ["B1"]])


def test_a_capital_that_never_settles_is_an_account_that_is_not_known(world: World) -> None:
    """At a start, where there is no reading to keep: nothing may be entered."""
    world.enforce()
    world.freqtrade.drift = 500.0
    with world.veto() as veto:
        cycle = veto.cycle()

    assert [codes(one) for one in cycle.pairs] == [["STATE"]] * 2
    assert "starting_capital" in cycle.pairs[0].reason


def test_requests_that_take_minutes_do_not_turn_time_back(world: World) -> None:
    """Each moment is read when it is used: no lock has ended before it is set, and no evaluation lies in the past."""
    world.enforce()
    world.freqtrade.slow_ns = 40 * NS_PER_SECOND
    with world.veto(confidence=0.0) as veto:
        for _ in range(5):
            cycle = veto.cycle()
            assert [codes(one) for one in cycle.pairs] == [["CONFIDENCE"]] * 2

    assert all(one["lock_end_timestamp"] > one["lock_timestamp"] for one in world.freqtrade.locks)


def test_candles_that_stop_lock_the_pair(world: World) -> None:
    """Old candles are refused by name, and only for their pair."""
    world.enforce()
    with world.veto() as veto:
        veto.cycle()
        world.freqtrade.refuses.add("GET pair_candles")
        world.freqtrade.now_ns += 4 * NS_PER_HOUR
        cycle = veto.cycle()

    assert [codes(one)[0] for one in cycle.pairs] == ["STALE_BARS", "STALE_BARS"]
    assert "502" in cycle.pairs[0].reason


def test_a_pair_that_cannot_be_measured_is_locked(world: World) -> None:
    """A coin-margined market is none that the policy knows; other pairs are not affected."""
    world.freqtrade.pairs = ["BTC/USD:BTC", BTC]
    world.enforce()
    with world.veto() as veto:
        cycle = veto.cycle()

    assert [(one.pair, one.is_locked, codes(one)) for one in cycle.pairs] == [
        ("BTC/USD:BTC", True, ["SYMBOL"]), (BTC, False, []),
    ]


def test_a_lock_that_freqtrade_does_not_take_is_said(world: World) -> None:
    """The pair is shown as not locked, with the answer."""
    world.enforce()
    world.freqtrade.refuses.add("POST locks")
    with world.veto(confidence=0.0) as veto:
        cycle = veto.cycle()

    assert [(one.is_locked, "502" in one.problem) for one in cycle.pairs] == [(False, True)] * 2


def test_one_that_does_not_answer_is_an_error_and_a_wrong_password_too(world: World, tmp_path: Path) -> None:
    """Told apart: the first may come back."""
    world.freqtrade.refuses.add("GET whitelist")
    with world.veto() as veto, pytest.raises(VenueError, match="answered 502"):
        veto.cycle()
    with pytest.raises(ConfigError, match="user or password is wrong"):
        FreqtradeRest(world.url, Credentials(USER, "wrong")).config()
    with pytest.raises(VenueUnavailable, match="does not answer"):
        FreqtradeRest("http://127.0.0.1:9", Credentials(USER, PASSWORD)).config()


@pytest.mark.parametrize(("url", "told"), [
    ("ftp://127.0.0.1", "must be like"), ("127.0.0.1:8080", "must be like"),
    ("http://someone:secret-word@127.0.0.1:8080", "give them in the environment"),
    ("http://192.168.1.4:8080", "would travel unencrypted"),
])
def test_an_address_that_would_give_the_password_away_is_refused(url: str, told: str) -> None:
    """No message repeats a password."""
    with pytest.raises(ConfigError, match=told) as refused:
        FreqtradeRest(url, Credentials(USER, PASSWORD))

    assert "secret-word" not in str(refused.value)
    assert PASSWORD not in repr(Credentials(USER, PASSWORD))


def test_a_file_of_credentials_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Two lines; refused where others may read it, or where there is something else in it."""
    path = tmp_path / "credentials"
    path.write_text(f"{USER}\n{PASSWORD}\n")
    path.chmod(0o600)
    assert read_credentials(path) == Credentials(USER, PASSWORD)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_credentials(path)
    path.chmod(0o600)
    path.write_text("one line")
    with pytest.raises(ConfigError, match="two lines"):
        read_credentials(path)


def guard_freqtrade(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `quantum-trader guard freqtrade` with *words*."""
    return subprocess.run(
        [sys.executable, "-m", "quantum_trader", "guard", "freqtrade", *words], capture_output=True, text=True,
        timeout=60.0, check=False, env=environment(**variables), stdin=subprocess.DEVNULL,
    )


def test_the_command_reads_the_password_from_the_environment_and_leaves_it_nowhere(tmp_path: Path) -> None:
    """One cycle as JSON; neither its words nor a file of the folder has the password."""
    variables = {"FREQTRADE__API_SERVER__USERNAME": USER, "FREQTRADE__API_SERVER__PASSWORD": PASSWORD}
    state = tmp_path / "state"
    with freqtrade_at(FreqtradeState(time.time_ns())) as url:
        without = guard_freqtrade(url, "--state", str(state), "--once")
        done = guard_freqtrade(url, "--state", str(state), "--once", "--json", "--profile", "SAFE", **variables)
        wrong = guard_freqtrade(url, "--state", str(state), "--once", **variables | {
            "FREQTRADE__API_SERVER__PASSWORD": "wrong"})
    cycle: dict[str, Any] = json.loads(done.stdout)

    assert (without.returncode, "give --credentials FILE" in without.stderr) == (2, True)
    assert (wrong.returncode, "user or password is wrong" in wrong.stderr) == (2, True)
    assert (cycle["mode"], cycle["equity"]) == ("OBSERVE", 10_000.0)
    assert [one["pair"] for one in cycle["pairs"]] == [BTC, ETH]
    assert "forced entries pass no lock" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert not [path for path in state.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]


def test_a_lock_lasts_minutes(world: World) -> None:
    """A guard that ends leaves locks that run out by themselves, at the end of the candle."""
    world.enforce()
    with world.veto(confidence=0.0) as veto:
        veto.cycle()

    assert all(
        one["lock_end_timestamp"] * 10**6 <= world.now() + int(LOCK_S * NS_PER_SECOND) + NS_PER_HOUR
        for one in world.freqtrade.active()
    )


def test_money_paid_out_of_freqtrades_account_is_no_loss(world: World) -> None:
    """Its starting capital settles elsewhere, while the veto runs or between two runs; a trade's loss still counts."""
    world.enforce()
    with world.veto() as veto:
        veto.cycle()
        world.freqtrade.starting = 6_000.0
        veto.cycle()
        paid_out = veto.cycle()
    world.freqtrade.starting = 20_000.0
    with world.veto() as veto:
        paid_in = veto.cycle()
        peak = veto.bot.policy.day_peak[1]
        world.freqtrade.profit = -700.0
        lost = veto.cycle()

    assert (paid_out.equity, [pair.reason for pair in paid_out.pairs if "B1" in pair.reason]) == (6_000.0, [])
    assert (paid_in.equity, peak) == (20_000.0, 20_000.0)
    assert all("B1" in pair.reason for pair in lost.pairs if not pair.reason.startswith("SYMBOL"))
