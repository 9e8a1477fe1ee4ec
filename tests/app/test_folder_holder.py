"""Which process holds a run's folder, and that no other is ever killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantum_trader.app.runs import folder_holder
from quantum_trader.app.runs.folder_holder import holding_pid, kill_holder
from quantum_trader.app.runs.state_dir import StateDir

HOLD = (
    "import sys; from pathlib import Path; from quantum_trader.app.runs.state_dir import StateDir; "
    "held = StateDir(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A program that has nothing to do with the folder."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the folder tmp_path/run."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("without_list", [False, True])
def test_another_programs_number_in_the_lock_is_not_killed(
    tmp_path: Path, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, *, without_list: bool
) -> None:
    """The lock is held, and its file names a program that took the number since."""
    held = StateDir(tmp_path / "run")
    (tmp_path / "run" / "lock").write_text(f"{bystander.pid}\n")
    if without_list:
        monkeypatch.setattr(folder_holder, "_LOCKS", tmp_path / "none")
    assert holding_pid(tmp_path / "run") != bystander.pid
    assert kill_holder(tmp_path / "run") == 0
    assert bystander.poll() is None
    held.close()


@pytest.mark.parametrize("without_list", [False, True])
def test_the_process_that_holds_the_folder_is_killed(
    tmp_path: Path, run: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, *, without_list: bool
) -> None:
    """With the kernel's list of locks, and without."""
    if without_list:
        monkeypatch.setattr(folder_holder, "_LOCKS", tmp_path / "none")
    assert kill_holder(tmp_path / "run") == run.pid
    run.wait(10.0)
    assert kill_holder(tmp_path / "run") == 0


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs the kernel's list of locks")
def test_a_holder_that_could_not_write_its_number_is_found(tmp_path: Path, run: subprocess.Popen[bytes]) -> None:
    """As on a full disk."""
    (tmp_path / "run" / "lock").write_text("")
    assert holding_pid(tmp_path / "run") == run.pid


def test_a_folder_that_nobody_holds_has_no_holder(tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    """A shared lock, such as that of one who looks whether it is held, is none."""
    StateDir(tmp_path / "run").close()
    lock = tmp_path / "run" / "lock"
    lock.write_text(f"{bystander.pid}\n")
    descriptor = os.open(lock, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert holding_pid(tmp_path / "run") == 0
    assert kill_holder(tmp_path / "run") == 0
    os.close(descriptor)
    assert bystander.poll() is None
