"""Notifications beside `serve`, `run` and `live`: one process tells, others wait for their turn, none stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.app.notify.http_target import HttpTarget, http_target
from tests.app.notify.noted_run import NotedRun
from tests.app.notify.test_notify_run import SECRET, halts, settings_file, until

from quantum_trader.app.notify.notify_run import read_notify_state

pytest.importorskip("apprise")


def quantum_trader(processes: list[subprocess.Popen[str]], target: HttpTarget, *words: str) -> subprocess.Popen[str]:
    """A command of the program that knows the address of *target*."""
    environ = {**os.environ, "QT_NOTIFY_HOOK": f"json://{target.place}/{SECRET}"}
    processes.append(subprocess.Popen(
        [sys.executable, "-m", "quantum_trader", *words], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ))
    return processes[-1]


def lives(pid: int) -> bool:
    """Whether the process *pid* is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def teller(folder: Path) -> int:
    """Pid of the process that notifies of the run in *folder*; 0: none does."""
    try:
        pid = int((folder / "notify" / "lock").read_text() or "0")
    except OSError:
        return 0
    return pid if lives(pid) else 0


def are_told(folder: Path, reasons: list[str], target: HttpTarget) -> bool:
    """Whether the halts of *reasons* have reached *target*, each once, and that is noted."""
    found = read_notify_state(folder)
    return halts(target) == reasons and found is not None and not any(one.left for one in found.outbox.messages)


def test_one_process_tells_and_the_next_takes_over_when_it_dies(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """Each halt is told once, before the kill, after it, and where it came between the two."""
    with http_target() as target, NotedRun(tmp_path / "run") as run:
        run.live()
        run.says(time.time_ns())
        file = settings_file(tmp_path, target)
        words = ["notify", "run", "--state", str(run.folder), "--settings", str(file), "--wait"]
        first = quantum_trader(processes, target, *words)
        assert until(lambda: teller(run.folder) == first.pid)
        second = quantum_trader(processes, target, *words)
        refused = quantum_trader(processes, target, *words[:-1])
        _, why = refused.communicate(timeout=60)
        assert (refused.returncode, f"another process (pid {first.pid}) notifies of this run" in why) == (2, True)
        run.halt("h1")
        assert until(lambda: are_told(run.folder, ["h1"], target))
        first.kill()
        run.halt("h2")
        assert until(lambda: are_told(run.folder, ["h1", "h2"], target))
        assert teller(run.folder) == second.pid
        run.halt("h3")
        assert until(lambda: are_told(run.folder, ["h1", "h2", "h3"], target))


def test_one_that_waits_ends_with_its_run(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    """It has nothing to tell: the other one did."""
    with http_target() as target, NotedRun(tmp_path / "run") as run:
        run.live()
        run.says(time.time_ns())
        file = settings_file(tmp_path, target)
        words = ["notify", "run", "--state", str(run.folder), "--settings", str(file), "--wait"]
        first = quantum_trader(processes, target, *words)
        assert until(lambda: teller(run.folder) == first.pid)
        second = quantum_trader(processes, target, *words, "--until-end")
        assert second.stdout is not None
        assert "telling hook" in second.stdout.readline()
        time.sleep(1.0)  # it has seen that the run lives
        assert second.poll() is None
        run.end()
        assert second.wait(60) == 0
        assert first.poll() is None
        assert until(lambda: len(target.posted) == 1)


def test_a_server_tells_and_leaves_nobody_behind_when_it_is_killed(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """`serve --notify`: a halt is told once though `live --notify` runs too, which takes over."""
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    with http_target() as target, NotedRun(tmp_path / "run") as run:
        run.live()
        run.says(time.time_ns())
        file = settings_file(tmp_path, target)
        server = quantum_trader(
            processes, target, "serve", "--state", str(run.folder), "--port", "0", "--notify", str(file)
        )
        assert until(lambda: teller(run.folder) > 0)
        pid = teller(run.folder)
        assert pid != server.pid
        beside = quantum_trader(
            processes, target, "notify", "run", "--state", str(run.folder), "--settings", str(file), "--wait",
            "--until-end",
        )
        run.halt("h1")
        assert until(lambda: are_told(run.folder, ["h1"], target))
        server.kill()
        assert until(lambda: teller(run.folder) == beside.pid)
        assert until(lambda: not lives(pid))
        run.halt("h2")
        assert until(lambda: are_told(run.folder, ["h1", "h2"], target))


def test_a_replay_is_told_by_run_notify(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Its fills come in few messages, and the process beside it ends after it; the replay is the same as without."""
    with http_target() as target:
        file = settings_file(tmp_path, target)
        state = tmp_path / "state"
        words = ["run", "--from", "2018-03-01", "--to", "2018-03-10", "--symbols", "BTCUSDT", "--model",
                 "intraday-demo", "--pilot", "", "--json"]
        told = quantum_trader(processes, target, *words, "--state", str(state), "--notify", str(file))
        out, errors = told.communicate(timeout=300)
        assert (told.returncode, SECRET in out + errors) == (0, False), errors
        assert until(lambda: any("BTCUSDT: BUY" in one["message"] for one in target.posted), 60.0)
        assert until(lambda: teller(state) == 0, 60.0)
        quiet = quantum_trader(processes, target, *words, "--state", str(tmp_path / "quiet"))
        quiet.communicate(timeout=300)
        assert (state / "records.jsonl").read_bytes() == (tmp_path / "quiet" / "records.jsonl").read_bytes()


@pytest.mark.parametrize("words", [["run"], ["serve", "--state", "nowhere"]])
def test_notifications_need_a_folder(tmp_path: Path, words: list[str], processes: list[subprocess.Popen[str]]) -> None:
    """Of a run, which the refusal names."""
    with http_target() as target:
        file = settings_file(tmp_path, target)
        refused = quantum_trader(processes, target, *words, "--notify", str(file))
        _, why = refused.communicate(timeout=60)
        assert refused.returncode == 2
        assert "--state" in why
