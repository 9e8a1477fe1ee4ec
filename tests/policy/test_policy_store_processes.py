"""Real processes that change one policy store at the same time lose nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quantum_trader.policy import PolicyStore

EACH = 25
WRITER = """
import sys
from quantum_trader.policy import PolicyStore
from quantum_trader.policy.policy_store import StaleVersionError

path, who, kind = sys.argv[1:]
store = PolicyStore(path)
print("ready", flush=True)
sys.stdin.readline()
made = refused = 0
while made < 25:
    seen = None if kind == "any" else store.version
    trades = (store.pilot.max_trades_per_hour + 1) % 1000
    values = {"max_trades_per_hour": trades, "enabled": made % 2 == 0}
    try:
        made += len(store.change(values, seen_version=seen, actor=who, reason=f"change {made}").changes)
    except StaleVersionError:
        refused += 1
print(made, refused)
"""


def written_by(path: Path, *kinds: str) -> list[tuple[int, int]]:
    """(changes made, changes refused as stale) of one process for each of *kinds*, all started at once."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), f"writer {number}", kind], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )
        for number, kind in enumerate(kinds)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told = [writer.communicate(timeout=120)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * len(writers)
    return [(int(made), int(refused)) for made, refused in (one.split() for one in told)]


def check_history(path: Path, writers: int) -> None:
    """Every change of every writer is there once, in the order in which it was made."""
    reading = PolicyStore(path).read()
    assert (reading.trouble, reading.notice, reading.state.version) == ("", "", writers * EACH)
    times = [one.ts_ns for one in reading.state.changes]
    assert times == sorted(times)
    for number in range(writers):
        own = [one.reason for one in reading.state.changes if one.actor == f"writer {number}"]
        assert own == [f"change {index}" for index in range(EACH)]


def test_two_processes_that_change_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each change holds for any version: all of them are in the history, which is one."""
    path = tmp_path / "store.json"

    assert written_by(path, "any", "any") == [(EACH, 0), (EACH, 0)]
    check_history(path, 2)


def test_two_processes_that_compare_versions_lose_nothing(tmp_path: Path) -> None:
    """A change made against an old version is refused, and made again on the new one."""
    path = tmp_path / "store.json"

    assert [made for made, _ in written_by(path, "newest", "newest")] == [EACH, EACH]
    check_history(path, 2)


DYING = """
import os, sys
from quantum_trader.policy import PolicyStore
from quantum_trader.policy import storage

path, last = sys.argv[1], int(sys.argv[2])
replaced, plain = [], os.replace


def replace(*names):
    if len(replaced) == last:
        os._exit(9)  # as kill -9: no handler, no cleaning up
    replaced.append(names)
    plain(*names)


storage.os.replace = replace
PolicyStore(path).change({"mode": "OFF"}, seen_version=None, actor="b", reason="r")
"""


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("replaced", [0, 1])
def test_a_process_killed_in_a_change_leaves_the_store_before_or_after_it(
    tmp_path: Path, replaced: int, damaged: bool
) -> None:
    """Before the file is replaced, and before its copy is. The lock is free, and the next change is made."""
    path = tmp_path / "store.json"
    PolicyStore(path).change({"mode": "PRIMARY"}, seen_version=0, actor="a", reason="r")
    if damaged:
        path.write_bytes(b"{")
    killed = subprocess.run([sys.executable, "-c", DYING, str(path), str(replaced)], timeout=60, check=False)
    assert killed.returncode == 9

    reading = PolicyStore(path).read()
    assert reading.pilot.mode.value == ("OFF" if replaced or damaged else "PRIMARY")
    assert bool(reading.trouble) == (damaged and not replaced)
    assert reading.state.version == 1 + replaced  # after damage the OFF on record is the whole change
    if damaged:
        assert (tmp_path / "store.json.damaged-1").read_bytes() == b"{"
    PolicyStore(path).change({"mode": "HYBRID"}, seen_version=1 + replaced, actor="c", reason="r")
    assert PolicyStore(path).pilot.mode.value == "HYBRID"
