"""STOP where something else is broken too: the disk, the server before, another server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantum_trader.app.api import stopping
from quantum_trader.app.api.stopping import BROKEN_OFF, STOP_FILE, Stopper, StopProgress
from quantum_trader.app.runs.flatten import FlattenResult
from quantum_trader.app.runs.live_settings import FOLDER_FILE, LiveFolder, LiveMode, TriggerOn
from quantum_trader.app.runs.operator_requests import FILE_NAME, Action, OperatorRequest
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import DIRECT_FILE, LiveStatus, PositionLine, write_status

ASKED = OperatorRequest(action=Action.FLATTEN, reason="a test", actor="me", ts_ns=1)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The folder of a testnet account, whose process has ended."""
    folder = tmp_path / "live"
    StateDir(folder).close()
    settings = LiveFolder(
        mode=LiveMode.TESTNET, endpoint="testnet", address="", symbols=("BTCUSDT",), interval="1m",
        trigger_on=TriggerOn.MARK_PRICE,
    )
    (folder / FOLDER_FILE).write_bytes(msgspec.json.encode(settings))
    return folder


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were closed at the venue."""
    folders: list[Path] = []

    def flatten(folder: Path, *_: Any) -> FlattenResult:
        folders.append(folder)
        return FlattenResult(
            flat=True, looks=1, text="flat", closed=("BTCUSDT",), cancelled=0, positions=(), orders=()
        )

    monkeypatch.setattr(stopping, "venue_of", lambda *_, **__: (None, str))
    monkeypatch.setattr(stopping, "flatten_now", flatten)
    return folders


def ended(stopper: Stopper, within_s: float = 20.0) -> StopProgress:
    """How the stop ended."""
    ends = time.monotonic() + within_s
    while (told := stopper.progress()).state == "running":
        assert time.monotonic() < ends, told
        time.sleep(0.02)
    return told


def test_a_process_that_cannot_be_asked_is_killed_and_all_is_closed(
    live: Path, closed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: no request can be written, and STOP does not end there."""
    held = StateDir(live)
    (live / FILE_NAME).mkdir()  # no request can be written
    monkeypatch.setattr(stopping, "kill_holder", lambda _: (held.close(), 4711)[1])
    stopper = Stopper(live)
    stopper.start(ASKED)
    told = ended(stopper)
    assert (told.state, told.flat, closed) == ("done", True, [live])
    said = " ".join(one.text for one in told.steps)
    assert "cannot be asked" in said
    assert "killing the process 4711" in said


def test_a_holder_that_cannot_be_told_is_not_killed(
    live: Path, closed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """STOP says how to find and end it."""
    held = StateDir(live)
    monkeypatch.setattr(stopping, "kill_holder", lambda _: 0)
    stopper = Stopper(live)
    stopper.start(ASKED, hangs_s=0.3)
    told = ended(stopper)
    assert (told.state, told.flat, closed) == ("failed", False, [])
    assert "lsof" in told.text
    held.close()


def test_one_who_closes_everything_already_is_not_killed(
    live: Path, closed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server or command: its steps are signs of life; once it has ended, the rest is closed from here."""
    held = StateDir(live)
    monkeypatch.setattr(stopping, "kill_holder", lambda _: 0)
    stopper = Stopper(live)
    stopper.start(ASKED, hangs_s=0.6)
    for _ in range(8):
        with (live / DIRECT_FILE).open("ab") as file:
            file.write(b"{}\n")
        time.sleep(0.2)
    assert stopper.progress().state == "running"
    held.close()
    assert (ended(stopper).state, closed) == ("done", [live])


@pytest.mark.parametrize("ends", [False, True])
def test_a_process_that_stops_in_the_middle_of_closing_is_closed_for(
    live: Path, closed: list[Path], monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """It has taken the request, then hangs or dies with a position open: what is left is closed from here."""
    held = StateDir(live)
    monkeypatch.setattr(stopping, "kill_holder", lambda _: 0 if ends else (held.close(), 4711)[1])
    line = PositionLine(symbol="BTCUSDT", side="LONG", qty=1.0, entry_price=100.0)
    status = LiveStatus(
        written_ns=1, pid=4711, started_ns=1, mode="TESTNET", endpoint="testnet", equity_ns=1, positions=(line,)
    )
    write_status(live, status)
    stopper = Stopper(live)
    stopper.start(ASKED, hangs_s=0.6)
    time.sleep(0.3)
    write_status(live, msgspec.structs.replace(status, written_ns=2, operator_taken=1))
    if ends:
        time.sleep(0.5)
        held.close()
    told = ended(stopper)
    said = " ".join(one.text for one in told.steps)
    assert "the process has taken the request" in said
    assert ("the process ended with positions in BTCUSDT" if ends else "while it closed: it hangs") in said
    assert (told.state, told.flat, closed) == ("done", True, [live])


def test_a_process_that_lives_and_takes_no_request_is_not_waited_for_all_the_time(
    live: Path, closed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the deadline is left to close everything from here."""
    held = StateDir(live)
    monkeypatch.setattr(stopping, "kill_holder", lambda _: (held.close(), 4711)[1])
    status = LiveStatus(written_ns=1, pid=4711, started_ns=1, mode="TESTNET", endpoint="testnet")
    stopper = Stopper(live)
    stopper.start(ASKED, hangs_s=60.0, deadline_s=2.0)
    for number in range(2, 6):
        write_status(live, msgspec.structs.replace(status, written_ns=number))
        time.sleep(0.1)
    assert (ended(stopper).state, closed) == ("done", [live])


def test_a_new_server_tells_of_the_stop_before(live: Path, closed: list[Path]) -> None:
    """How it ended; of one that a killed server began, that it must be asked for once more."""
    stopper = Stopper(live)
    stopper.start(ASKED)
    before = ended(stopper)
    ends = time.monotonic() + 5.0
    while Stopper(live).progress().state != "done" and time.monotonic() < ends:
        time.sleep(0.02)
    assert Stopper(live).progress().text == before.text
    (live / STOP_FILE).write_bytes(msgspec.json.encode(
        StopProgress(state="running", flat=None, took_s=0.0, text="stopping", steps=())
    ))
    assert Stopper(live).progress() == BROKEN_OFF
    (live / STOP_FILE).write_text("{")
    assert Stopper(live).progress().state == "none"
