"""The process beside a run: from the journal and the status to a real server, over restarts and a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.app.notify.http_target import HttpTarget, http_target
from tests.app.notify.noted_run import NOW, NotedRun
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.notify.notify_run import NotifyLock, NotifyRun
from quantum_trader.app.notify.secret_addresses import TargetAddress
from quantum_trader.app.notify.sender import Delivered, SendOrder
from quantum_trader.app.notify.settings import KindSettings, NotifySettings, PingSettings, TargetSettings
from quantum_trader.domain.errors import StateError
from quantum_trader.venues.binance.keys import Secret

S = 1_000_000_000
SECRET = "s3cr3t-t0k3n-of-a-person"
HALTED = "new entries stop: daily loss limit: daily loss; ends: the next day"
SETTINGS = NotifySettings(
    targets={"hook": TargetSettings()}, kinds={"fill": KindSettings(window_s=0.0), "halt": KindSettings(window_s=0.0)},
    ping=PingSettings(every_s=60.0), stopped_after_s=5.0,
)
ADDRESSES = {
    "hook": TargetAddress(Secret(f"json://hook.example/{SECRET}"), "environment"),
    "ping": TargetAddress(Secret(f"https://ping.example/{SECRET}"), "environment"),
}


class Told:
    """Takes orders in the place of the network."""

    def __init__(self) -> None:
        self.orders: list[SendOrder] = []
        self.answer = Delivered(True)

    def __call__(self, order: SendOrder) -> Delivered:
        self.orders.append(order)
        return self.answer

    @property
    def texts(self) -> list[str]:
        """The texts of messages, without their times."""
        return [one.text.partition("UTC  ")[2] or one.text for one in self.orders if not one.is_ping]

    @property
    def pings(self) -> int:
        """How often was pinged."""
        return len([one for one in self.orders if one.is_ping])


class Beside:
    """Notifications of *run* whose clock the test moves."""

    def __init__(self, run: NotedRun, told: Told) -> None:
        self.now_ns = NOW
        self._pool = ThreadPoolExecutor(1)
        self.run = NotifyRun(run.folder, SETTINGS, ADDRESSES, self._pool, told, now_ns=lambda: self.now_ns)

    def step(self, seconds: float = 0.0) -> None:
        """Look once, and wait until everything is sent and noted."""
        self.now_ns += int(seconds * S)
        self.run.step()
        self.run.finish()


def test_halts_and_fills_of_the_journal_are_told_once(tmp_path: Path) -> None:
    """Also when another process goes on after a restart; what was before the first start is not told."""
    told = Told()
    with NotedRun(tmp_path / "run") as run:
        run.fill("OLDUSDT")
        first = Beside(run, told)
        first.step()
        run.fill("BTCUSDT")
        run.halt()
        first.step(1)
        assert told.texts == [HALTED, "BTCUSDT: BUY 0.5 at 101.50"]

        run.fill("ETHUSDT")
        second = Beside(run, told)
        second.step(2)
        second.step(2)
    assert told.texts[2:] == ["ETHUSDT: BUY 0.5 at 101.50"]
    assert SECRET not in (tmp_path / "run" / "notify" / "state.json").read_text()
    assert (tmp_path / "run" / "notify" / "state.json").stat().st_mode & 0o777 == 0o600


def test_what_could_not_be_sent_waits_over_a_restart(tmp_path: Path) -> None:
    """And is told once the service answers."""
    told = Told()
    with NotedRun(tmp_path / "run") as run:
        beside = Beside(run, told)
        beside.step()
        told.answer = Delivered(False, "unreachable")
        run.halt()
        beside.step(1)
        again = Beside(run, told)
        again.step(2)
        assert len(told.orders) == 1  # the pause is not over
        told.answer = Delivered(True)
        again.step(10)
        again.step(60)

    assert len(told.orders) == 2


def test_a_folder_that_holds_another_run_is_told_from_its_beginning(tmp_path: Path) -> None:
    """Its journal is shorter than what was taken of the one before."""
    import shutil

    told = Told()
    with NotedRun(tmp_path / "run") as run:
        beside = Beside(run, told)
        beside.step()
        for _ in range(3):
            run.fill("OLDUSDT")
        beside.step(1)
    shutil.rmtree(tmp_path / "run" / "journal")
    with NotedRun(tmp_path / "run") as run:
        run.fill("NEWUSDT")
        Beside(run, told).step(1)

    assert len(re.findall("OLDUSDT", told.orders[0].text)) == 3
    assert told.texts[1:] == ["NEWUSDT: BUY 0.5 at 101.50"]


def test_a_full_disk_keeps_nobody_from_being_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be noted is told all the same."""
    told = Told()
    with NotedRun(tmp_path / "run") as run:
        beside = Beside(run, told)
        beside.step()
        run.halt("the disk is full")

        def full(path: Path, content: bytes) -> None:
            raise StateError(f"{path}: No space left on device")

        monkeypatch.setattr("quantum_trader.app.notify.notify_run.write_private", full)
        beside.step(1)

    assert len(told.texts) == 1


def test_the_ping_follows_progress_and_not_life(tmp_path: Path) -> None:
    """None while the status is old, though the process holds its folder; one a minute while it is fresh."""
    told = Told()
    with NotedRun(tmp_path / "run") as run:
        run.live()
        beside = Beside(run, told)
        for seconds in (0, 30, 29, 1):
            run.says(beside.now_ns + seconds * S)
            beside.step(seconds)
        assert told.pings == 2
        beside.step(60)  # no newer status
        beside.step(600)
        assert told.pings == 2
        run.says(beside.now_ns)
        beside.step()
    assert told.pings == 3


def test_a_death_with_an_open_position_is_told_once(tmp_path: Path) -> None:
    """After the grace."""
    told = Told()
    with NotedRun(tmp_path / "run") as run:
        run.live()
        run.says()
        beside = Beside(run, told)
        beside.step()
        run.end()
        for _ in range(4):
            beside.step(3)

    assert [text for text in told.texts if "the process is dead with 1 open position" in text] == told.texts[:1]
    assert len(told.texts) == 1


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """Both would tell the same."""
    lock = NotifyLock(tmp_path)
    with pytest.raises(StateError, match=r"another process \(pid \d+\) notifies"):
        NotifyLock(tmp_path)
    lock.close()
    NotifyLock(tmp_path).close()


def test_damaged_notes_are_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "notify").mkdir()
    (tmp_path / "notify" / "state.json").write_text("{")
    with ThreadPoolExecutor(1) as pool, pytest.raises(StateError, match="damaged; remove it"):
        NotifyRun(tmp_path, SETTINGS, ADDRESSES, pool, Told())


# ---- the command, with a real server --------------------------------------------------------------------------------
def settings_file(folder: Path, target: HttpTarget) -> Path:
    """Settings with one target that is allowed to reach the server."""
    file = folder / "notify.toml"
    file.write_text(
        f'poll_s = 0.1\nstopped_after_s = 0.5\n[kinds.fill]\nwindow_s = 0\n[kinds.halt]\nwindow_s = 0\ncooldown_s = 0\n'
        f'[targets.hook]\nallow = ["{target.place}"]\n'
    )
    file.chmod(0o600)
    return file


def started(
    processes: list[subprocess.Popen[str]], run: NotedRun, file: Path, target: HttpTarget, *more: str
) -> subprocess.Popen[str]:
    """`quantum-trader notify run` of *run*."""
    environ = {**os.environ, "QT_NOTIFY_HOOK": f"json://{target.place}/{SECRET}"}
    processes.append(subprocess.Popen(
        [sys.executable, "-m", "quantum_trader", "notify", "run", "--state", str(run.folder), "--settings", str(file),
         "--json", *more], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ))
    return processes[-1]


def until(done: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether *done* became true in time."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    return done()


def halts(target: HttpTarget) -> list[str]:
    """The reasons of the halts that the server was told of, repeats marked by their note left in."""
    return re.findall(r"limit: (h\d+);", "\n".join(one["message"] for one in target.posted))


def test_a_command_that_is_killed_again_and_again_loses_no_halt(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """Each halt arrives; one arrives twice only where its message says that it may have."""
    with http_target() as target, NotedRun(tmp_path / "run") as run:
        run.live()
        run.says(time.time_ns())
        file = settings_file(tmp_path, target)
        process = started(processes, run, file, target)
        assert until(lambda: (run.folder / "notify" / "state.json").exists())
        for number in range(6):
            run.halt(f"h{number}")
            if number % 2:
                time.sleep(0.15 * number)  # a kill at another point each time
                process.kill()
                process.wait()
                process = started(processes, run, file, target)
        assert until(lambda: set(halts(target)) == {f"h{number}" for number in range(6)})
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)

        repeated = [one for one in target.posted if "may have reached you before" in one["message"]]
        twice = [one for one in set(halts(target)) if halts(target).count(one) > 1]
        assert all(any(f": {one};" in told["message"] for told in repeated) for one in twice)
        assert process.returncode == 0, errors
        assert SECRET not in out + errors
        for path in (run.folder / "notify").iterdir():
            assert SECRET not in path.read_text()


def test_until_the_end_tells_of_a_death_with_open_positions_and_ends(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """As `live --notify` starts it: the run's process is killed, people hear of it, and the process beside it ends."""
    with http_target() as target, NotedRun(tmp_path / "run") as run:
        run.live()
        run.says(time.time_ns())
        process = started(processes, run, settings_file(tmp_path, target), target, "--until-end")
        assert until(lambda: (run.folder / "notify" / "state.json").exists())
        run.end()
        out, errors = process.communicate(timeout=60)

    assert process.returncode == 0, errors
    assert ["stopped with open trades" in one["title"] for one in target.posted] == [True]
    assert [json.loads(line)["ok"] for line in out.splitlines()] == [True]


def test_the_test_command_sends_to_each_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 where one does not get through; the address is shown nowhere."""
    with http_target() as target:
        file = settings_file(tmp_path, target)
        monkeypatch.setenv("QT_NOTIFY_HOOK", f"json://{target.place}/{SECRET}")
        fine = CliRunner().invoke(app, ["notify", "test", "--settings", str(file), "--json"])
        target.status = 500
        wrong = CliRunner().invoke(app, ["notify", "test", "--settings", str(file)])

    assert json.loads(fine.stdout) == [{"target": "hook", "service": "json", "ok": True, "why": ""}]
    assert target.posted[0]["message"] == "This is a test of the notifications."
    assert (fine.exit_code, wrong.exit_code) == (0, 1)
    assert "could not be reached, or refused" in wrong.stdout
    assert SECRET not in fine.output + wrong.output


def test_the_list_shows_targets_and_messages_without_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told, what waits and why."""
    told = Told()
    with NotedRun(tmp_path / "run") as run, http_target() as target:
        beside = Beside(run, told)
        beside.step()
        run.halt()
        beside.step(1)
        told.answer = Delivered(False, "unreachable")
        run.fill()
        beside.step(1)
        file = settings_file(tmp_path, target)
        monkeypatch.setenv("QT_NOTIFY_HOOK", f"json://{target.place}/{SECRET}")
        words = ["notify", "list", "--state", str(run.folder), "--settings", str(file)]
        shown, document = CliRunner().invoke(app, words), CliRunner().invoke(app, [*words, "--json"])

    assert "run: halt  (told hook)" in shown.stdout
    assert "run: fill  (hook not yet: unreachable)" in shown.stdout
    assert [one["left"] for one in json.loads(document.stdout)["messages"]] == [{}, {"hook": "unreachable"}]
    assert SECRET not in shown.output + document.output


def test_settings_without_anybody_to_tell_are_refused(tmp_path: Path) -> None:
    """A watcher that tells nobody would look like one that works."""
    file = tmp_path / "notify.toml"
    file.write_text("quiet_hours = '22:00-07:00'\n")
    file.chmod(0o600)
    found = CliRunner().invoke(app, ["notify", "run", "--state", str(tmp_path), "--settings", str(file)])

    assert found.exit_code == 2
    assert "nobody to tell" in found.stderr
