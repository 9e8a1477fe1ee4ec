"""State folders that somebody prepared: links are not followed, FIFOs do not block, open folders are refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.domain.errors import StateError

DEADLINE_S = 120.0  # a hang ends the test; a refusal takes a second
RUN = ["run", "--symbols", "BTCUSDT", "--from", "2018-01-01", "--to", "2018-01-03", "--state"]
REFUSED_AT_START = (
    "lock", "checkpoint", "records.jsonl", "journal", "journal/rings", "journal/wal", "journal/lake",
    "journal/rings/engine.lock", "journal/rings/engine.ring", "journal/rings/engine.flusher",
)
READ_OR_REPLACED = ("report.json", "report.html", "operator.jsonl", "intents.jsonl", "traces.jsonl", "rollout.json")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a folder of another user is made with chown")


def plant_link(path: Path, victim: Path) -> None:
    """A link to the victim's file, or to the victim's folder where a folder belongs."""
    folder = path.name in ("journal", "rings", "wal", "lake")
    path.symlink_to(victim.parent / "victims" if folder else victim)


def plant_fifo(path: Path, victim: Path) -> None:
    """A FIFO: whoever opens it for reading or writing waits for the other end."""
    os.mkfifo(path)


def commands(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "quantum_trader.app.cli.main", *words, str(state)], capture_output=True, text=True,
        timeout=DEADLINE_S, check=False,
    )


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of somebody, beside an empty folder of somebody."""
    (tmp_path / "victims").mkdir()
    (tmp_path / "victim").write_bytes(b"precious\n")
    return tmp_path / "victim"


@pytest.mark.parametrize("plant", [plant_link, plant_fifo], ids=["link", "fifo"])
@pytest.mark.parametrize("name", REFUSED_AT_START)
def test_a_run_refuses_a_planted_file_that_it_would_write(
    name: str, plant: Callable[[Path, Path], None], victim: Path, tmp_path: Path
) -> None:
    """Exit 2 with the name and the remedy; the victim's file and folder stay as they were."""
    (tmp_path / "st" / name).parent.mkdir(parents=True, mode=0o700)
    for folder in (tmp_path / "st").rglob("*"):
        folder.chmod(0o700)
    plant(tmp_path / "st" / name, victim)
    result = CliRunner().invoke(app, [*RUN, str(tmp_path / "st")])
    assert result.exit_code == 2, result.output
    assert Path(name).name in result.output
    assert "symbolic link" in result.output or "not a regular file" in result.output or "not a folder" in result.output
    assert victim.read_bytes() == b"precious\n"
    assert list((tmp_path / "victims").iterdir()) == []


@pytest.mark.parametrize("plant", [plant_link, plant_fifo], ids=["link", "fifo"])
def test_a_run_neither_follows_nor_waits_for_what_it_only_reads_or_replaces(
    plant: Callable[[Path, Path], None], victim: Path, tmp_path: Path
) -> None:
    """It ends as ever; what was planted was replaced or left alone, and the victim's file stays as it was."""
    state = tmp_path / "st"
    state.mkdir(mode=0o700)
    for name in READ_OR_REPLACED:
        plant(state / name, victim)
    ended = commands(state, *RUN)
    assert ended.returncode == 0, ended.stderr
    for name in ("report.json", "report.html"):
        assert stat.S_ISREG((state / name).lstat().st_mode), name
    assert victim.read_bytes() == b"precious\n"
    halted = CliRunner().invoke(app, ["halt", "--state", str(state), "--reason", "x"])
    assert halted.exit_code == 2
    assert "operator.jsonl" in halted.output
    assert victim.read_bytes() == b"precious\n"


@pytest.mark.parametrize("words", [["status", "--state"], ["report", "--state"], ["journal", "verify", "--state"]])
def test_commands_that_read_a_folder_never_block(words: list[str], tmp_path: Path) -> None:
    """A FIFO under every name they read."""
    state = tmp_path / "st"
    (state / "journal" / "lake").mkdir(parents=True)
    for name in (*READ_OR_REPLACED, "status.json", "live.json", "lock", "checkpoint", "journal/lake/manifest.json"):
        os.mkfifo(state / name)
    assert "Traceback" not in commands(state, *words).stderr


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_state_folder_that_others_may_write_is_refused(mode: int, tmp_path: Path) -> None:
    """Nothing is written into it."""
    (tmp_path / "st").mkdir()
    (tmp_path / "st").chmod(mode)
    result = CliRunner().invoke(app, [*RUN, str(tmp_path / "st")])
    assert result.exit_code == 2
    assert f"--state {tmp_path / 'st'}: has mode {mode:04o}, which lets others write it" in result.output
    assert "chmod go-w" in result.output
    assert list((tmp_path / "st").iterdir()) == []


def test_the_folder_of_a_dead_run_can_be_closed_out_even_where_others_may_write(tmp_path: Path) -> None:
    """Who only closes positions holds the lock that is there, and writes nothing."""
    StateDir(tmp_path / "st").close()
    (tmp_path / "st").chmod(0o777)
    with pytest.raises(StateError, match="chmod go-w"):
        StateDir(tmp_path / "st")
    StateDir(tmp_path / "st", or_read_only=True).close()


@needs_root
def test_root_halts_another_users_run_and_that_user_can_read_the_request(tmp_path: Path) -> None:
    """The request belongs to the folder's owner; a run of root's in that folder is refused."""
    state = tmp_path / "st"
    StateDir(state).close()
    for path in (state, state / "lock"):
        os.chown(path, 12345, 12345)
    ask(state, OperatorRequest(action=Action.HALT, reason="x", actor="root", ts_ns=1))
    found = (state / "operator.jsonl").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (12345, 0o600)
    with pytest.raises(StateError, match="belongs to user 12345"):
        StateDir(state)


def test_a_run_with_umask_0_leaves_nothing_open(tmp_path: Path) -> None:
    """Folders that were missing above the state folder too: 0700, and files 0600."""
    before = os.umask(0)
    try:
        result = CliRunner().invoke(app, [*RUN, str(tmp_path / "a" / "b" / "st")])
        assert result.exit_code == 0, result.output
        os.umask(0)
        for words in (["halt", "--reason", "x"], ["journal", "export", "--out", str(tmp_path / "a" / "x.jsonl")]):
            result = CliRunner().invoke(app, [*words, "--state", str(tmp_path / "a" / "b" / "st")])
            assert result.exit_code == 0, result.output
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert len(modes) > 15
    wrong = {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)}
    assert wrong == {}


def test_an_export_does_not_follow_a_link_under_its_temporary_name(victim: Path, tmp_path: Path) -> None:
    """The name of the temporary file can be guessed; a link there is replaced."""
    assert CliRunner().invoke(app, [*RUN, str(tmp_path / "st")]).exit_code == 0
    (tmp_path / ".x.jsonl.partial").symlink_to(victim)
    words = ["journal", "export", "--state", str(tmp_path / "st"), "--out", str(tmp_path / "x.jsonl")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert victim.read_bytes() == b"precious\n"


@pytest.mark.parametrize(("value", "says"), [
    (np.array([1, None], dtype=object), "cannot store an array of objects"), (2**70, "can't serialize ints"),
    ({1j}, "cannot store complex"), (deque([1]), "cannot store deque"),
])
def test_a_state_that_cannot_be_saved_says_so_and_leaves_the_one_before(tmp_path: Path, value: Any, says: str) -> None:
    """What a model remembers may be anything; it must not end a live session, nor spoil its checkpoint."""
    folder = StateDir(tmp_path / "state")
    try:
        folder.save_checkpoint({"own": [1, 2]})
        with pytest.raises(StateError, match=says):
            folder.save_checkpoint({"own": value})
        assert folder.load_checkpoint() == {"own": [1, 2]}
    finally:
        folder.close()
