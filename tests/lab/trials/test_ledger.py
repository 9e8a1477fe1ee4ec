"""The trial ledger: what is recorded stays, is counted once or raw, and survives killed and crowding writers."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.trials.made_trials import made_trial

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.lab.trials.ledger import LEDGER_FILE, TrialLedger
from quantum_trader.lab.trials.record import Trial, TrialRecord, decode_line, encode_line, hash_of_values


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    """In order, with its time and run; the file and its folder are private."""
    ledger = TrialLedger(tmp_path / "trials", clock=lambda: 7)
    trials = [made_trial(number, sharpe=0.01 * number, days=300) for number in range(3)]
    assert ledger.read().records == ()
    assert ledger.record(trials, "run 1").trials == 3
    found = ledger.read()
    assert [one.trial for one in found.records] == trials
    assert {(one.ts_ns, one.run) for one in found.records} == {(7, "run 1")}
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger.folder.stat().st_mode) == 0o700


def test_the_same_trial_of_two_runs_is_two_raw_and_one_distinct(tmp_path: Path) -> None:
    """And a run that records its trial again replaces it: the result of a seed, say."""
    ledger = TrialLedger(tmp_path)
    ledger.record([made_trial(1)], "first")
    ledger.record([made_trial(1)], "second")
    ledger.record([made_trial(1, metrics={"reward": 0.5})], "second")
    records = ledger.read().records
    assert len(records) == 2
    assert len({one.trial.identity for one in records}) == 1
    assert records[1].trial.metrics == {"reward": 0.5}


def test_other_settings_or_other_data_are_another_trial() -> None:
    """The label and the source are not what a trial is."""
    one = made_trial(1)
    assert made_trial(1, label="x", source="y").identity == one.identity
    assert made_trial(2).identity != one.identity != made_trial(1, data="e" * 64).identity
    assert hash_of_values({"a": 1, "b": 2}) == hash_of_values({"b": 2, "a": 1})


def test_half_a_line_is_moved_aside_and_reported(tmp_path: Path) -> None:
    """A reader says so; the next writer repairs it and nothing else is lost."""
    ledger = TrialLedger(tmp_path)
    ledger.record([made_trial(1), made_trial(2)], "run")
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"check":"00')
    assert "no whole line" in ledger.read().damage[0]
    done = ledger.record([made_trial(3)], "run")
    assert "12 bytes" in done.repaired
    assert (tmp_path / f"{LEDGER_FILE}.damaged-1").read_bytes() == b'{"check":"00'
    found = ledger.read()
    assert (len(found.records), found.damage) == (3, ())
    assert ledger.record([made_trial(4)], "run").repaired == ""


def test_a_file_of_nothing_but_half_a_line_is_repaired(tmp_path: Path) -> None:
    """Also one that is longer than what is read at once."""
    ledger = TrialLedger(tmp_path)
    ledger.record([], "run")
    tmp_path.chmod(0o700)
    ledger.path.touch(mode=0o600)
    ledger.path.write_bytes(b"x" * 200_000)
    assert "200,000 bytes" in ledger.record([made_trial(1)], "run").repaired
    assert len(ledger.read().records) == 1


def test_a_damaged_line_is_left_out_and_reported(tmp_path: Path) -> None:
    """A changed digit does not pass its checksum; the lines around it stay."""
    ledger = TrialLedger(tmp_path)
    ledger.record([made_trial(number, sharpe=0.125) for number in range(3)], "run")
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"0.125", b"0.925")
    ledger.path.write_bytes(b"".join(lines))
    found = ledger.read()
    assert [one.trial.settings["number"] for one in found.records] == [0, 2]
    assert found.damage == ("line 2 cannot be read and is left out: its checksum is another one",)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(line: bytes) -> None:
    """Nothing else comes out of a damaged line."""
    try:
        found = decode_line(line)
    except ValueError:
        return
    assert isinstance(found, TrialRecord)


def test_a_record_survives_its_line() -> None:
    """NaN and infinity among the figures become unknown, as JSON has them."""
    record = TrialRecord(ts_ns=1, run="r", trial=made_trial(metrics={"a": float("nan")}))
    assert decode_line(encode_line(record).rstrip(b"\n")).trial.metrics == {"a": None}


def test_a_full_disk_records_nothing(tmp_path: Path) -> None:
    """StateError, and the file is as it was: all of a batch or none of it."""
    ledger = TrialLedger(tmp_path)
    ledger.record([made_trial(1)], "run")
    before = ledger.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 300, limits[1]))
    try:
        with pytest.raises(StateError, match="no trial was recorded"):
            ledger.record([made_trial(number) for number in range(100)], "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, kept)
    assert ledger.path.read_bytes() == before


def test_a_folder_that_cannot_be_used_is_refused_before_the_work(tmp_path: Path) -> None:
    """A file in its place, a link, a folder that others may write."""
    (tmp_path / "file").write_text("x")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "open", "link"):
        with pytest.raises(StateError):
            TrialLedger(tmp_path / name).check_writable()


def append(folder: str, number: int, count: int) -> None:
    """Record *count* trials one by one: a process of its own."""
    ledger = TrialLedger(Path(folder))
    for place in range(count):
        ledger.record([made_trial(number * 1_000 + place)], f"run {number}")


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Four processes, 25 records each: 100 whole lines."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append, args=(str(tmp_path), number, 25)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = TrialLedger(tmp_path).read()
    assert (len(found.records), found.damage) == (100, ())


KILLED = """
import sys
from pathlib import Path
from tests.lab.trials.made_trials import made_trial
from quantum_trader.lab.trials.ledger import TrialLedger
ledger = TrialLedger(Path(sys.argv[1]))
number = 0
while True:
    ledger.record([made_trial(number * 50 + place) for place in range(50)], "run")
    number += 1
    print(number, flush=True)
"""


@pytest.mark.parametrize("batches", [1, 3, 7])
def test_a_killed_writer_loses_at_most_what_it_was_writing(tmp_path: Path, batches: int) -> None:
    """kill -9 at any moment: every batch that it reported is there, and the next writer goes on."""
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
    )
    assert writer.stdout is not None
    for _ in range(batches):
        writer.stdout.readline()
    time.sleep(0.001 * batches)
    writer.kill()
    told = batches + len(writer.stdout.read().splitlines())
    writer.wait()
    writer.stdout.close()
    ledger = TrialLedger(tmp_path)
    ledger.record([made_trial(10**6)], "another")
    found = ledger.read()
    assert found.damage == ()
    assert len(found.records) >= 50 * told + 1


@pytest.mark.parametrize(("changes", "told"), [
    ({"kind": "luck"}, "kind"), ({"source": " "}, "source"), ({"data_hash": ""}, "data_hash"),
    ({"p_value": 1.5}, "p_value"), ({"label": "x" * 301}, "label"),
])
def test_a_trial_that_cannot_be_is_refused(changes: dict[str, object], told: str) -> None:
    """InputError names the key."""
    with pytest.raises(InputError, match=told):
        made_trial(**changes)  # type: ignore[arg-type]


def test_the_p_value_of_a_ratio_is_that_of_the_probabilistic_one() -> None:
    """PSR 0.982 of the published example; one that was given stands; without a ratio there is none."""
    assert made_trial(sharpe=0.458, days=24).tested == pytest.approx(1.0 - 0.982, abs=1e-3)
    assert made_trial(sharpe=0.458, days=24, p_value=0.5).tested == 0.5
    assert (made_trial().tested, made_trial(sharpe=0.5, days=3).tested) == (None, None)


def test_runs_without_a_name_have_different_ones(tmp_path: Path) -> None:
    """Of one process too."""
    times = iter((1, 2))
    ledger = TrialLedger(tmp_path, clock=lambda: next(times))
    assert ledger.new_run("sweep") != ledger.new_run("sweep")


def test_trials_of_one_set_of_data_are_read_alone(tmp_path: Path) -> None:
    """What a sweep needs afterwards."""
    ledger = TrialLedger(tmp_path)
    ledger.record([made_trial(1), made_trial(2, data="e" * 64)], "run")
    found: tuple[Trial, ...] = tuple(one.trial for one in ledger.read("e" * 64).records)
    assert [one.settings["number"] for one in found] == [2]
