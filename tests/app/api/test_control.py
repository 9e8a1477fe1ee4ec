"""Changing a run over the API: what is asked reaches the run's folder, and who asked is on record."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.api.clients import bearer, client_of, refusal, token_of

from quantum_trader.app.api.changes import FILE_NAME, ChangeLog
from quantum_trader.app.api.stopping import Stopper
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.runs.gates_record import gates_of
from quantum_trader.app.runs.operator_requests import Action, OperatorRequests
from quantum_trader.app.runs.pilot_store import store_of
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.policy.rollout_file import read_state

WHY = {"reason": "a test"}


@pytest.fixture
def owner(folder: Path) -> TestClient:
    """A client with an owner's token."""
    made = client_of(folder)
    made.headers.update(bearer(token_of(folder, Role.OWNER, "me")))
    return made


def changed(client: TestClient, method: str, road: str, body: dict[str, Any]) -> Any:
    """A change that was made."""
    answer = client.request(method, f"/api/v1/{road}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(folder: Path) -> list[tuple[str, str, str]]:
    """The requests that the run will act on."""
    return [(one.action.value, one.reason, one.actor) for one in OperatorRequests(folder, 0).poll()]


def test_halt_and_resume_are_requests_of_the_folder(owner: TestClient, folder: Path) -> None:
    """With reason and name; the answer says whether a process acts at once."""
    assert changed(owner, "POST", "halt", WHY)["alive"] is False
    held = StateDir(folder)
    assert changed(owner, "POST", "resume", WHY)["alive"] is True
    held.close()
    assert asked(folder) == [("halt", "a test", "me over the API"), ("resume", "a test", "me over the API")]


def test_a_stop_of_a_run_on_paper_is_left_to_its_next_start(owner: TestClient, folder: Path) -> None:
    """And does not claim to be flat."""
    changed(owner, "POST", "flatten", WHY)
    for _ in range(100):
        told = owner.get("/api/v1/flatten").json()
        if told["state"] != "running":
            break
    assert (told["state"], told["flat"]) == ("requested", None)
    assert "next start" in told["text"]
    assert asked(folder) == [("flatten", "a test", "me over the API")]


def test_a_stop_that_runs_goes_on_whatever_is_asked(
    owner: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second stop starts none, a halt is taken, and a resume is refused until the stop has ended."""
    ends, began = threading.Event(), []

    def stop(*asked: Any) -> tuple[bool, str]:
        began.append(asked)
        assert ends.wait(30.0)
        return True, "flat"

    monkeypatch.setattr(Stopper, "_stop", stop)
    try:
        told = [owner.post("/api/v1/flatten", json=WHY).json()["state"] for _ in range(2)]
        halted = owner.post("/api/v1/halt", json=WHY).status_code
        refused = refusal(owner.post("/api/v1/resume", json=WHY))
    finally:
        ends.set()
    deadline = time.monotonic() + 30.0
    while owner.get("/api/v1/flatten").json()["state"] == "running":
        assert time.monotonic() < deadline
    after = owner.post("/api/v1/resume", json=WHY).status_code

    assert (told, len(began), halted, after) == (["running", "running"], 1, 200, 200)
    assert refused[:2] == (409, "conflict")
    assert [one.action for one in OperatorRequests(folder, 0).poll()] == [Action.HALT, Action.RESUME]


def test_nobody_has_asked_for_a_stop_yet(owner: TestClient) -> None:
    """The progress says so."""
    assert owner.get("/api/v1/flatten").json()["state"] == "none"


def test_one_position_is_closed_by_its_process_alone(owner: TestClient, folder: Path) -> None:
    """409 where none runs, 404 where there is no such position."""
    held = owner.get("/api/v1/positions").json()["positions"]
    assert refusal(owner.post("/api/v1/positions/NONEUSDT/close", json=WHY))[0] == 404
    if not held:
        pytest.skip("the run ended without a position")
    symbol = held[0]["symbol"]
    assert refusal(owner.post(f"/api/v1/positions/{symbol}/close", json=WHY))[:2] == (409, "conflict")
    lock = StateDir(folder)
    told = changed(owner, "POST", f"positions/{symbol.lower()}/close", WHY)
    lock.close()
    assert told["symbol"] == symbol
    assert told["intent_id"] in (folder / "intents.jsonl").read_text()


def test_a_symbol_is_locked_and_unlocked(owner: TestClient, folder: Path) -> None:
    """A request of the folder with symbol, end and name; the next start takes it."""
    until = {**WHY, "until": "2100-03-30T16:00:00.5Z"}
    assert changed(owner, "POST", "symbols/ethusdt/lock", until)["action"] == "lock"
    (lock,) = OperatorRequests(folder, 0).poll()
    assert (lock.symbol, lock.actor, lock.reason) == ("ETHUSDT", "me over the API", "a test")
    assert lock.until_ns == 4_110_105_601_000_000_000  # rounded up to a second
    assert changed(owner, "POST", "symbols/ETHUSDT/unlock", WHY)["action"] == "unlock"
    assert asked(folder)[1:] == [("unlock", "a test", "me over the API")]
    assert refusal(owner.post("/api/v1/symbols/BTCUSDT/unlock", json=WHY))[:2] == (404, "not_found")
    status, _, message = refusal(owner.post("/api/v1/symbols/NONEUSDT/lock", json=until))
    assert (status, message) == (400, "symbol = 'NONEUSDT': the run does not trade it")
    for bad in ("2001-01-01T00:00:00Z", "soon"):
        status, _, message = refusal(owner.post("/api/v1/symbols/ETHUSDT/lock", json={**WHY, "until": bad}))
        assert status == 400
        assert message.startswith(f"until = {bad!r}")
    assert len(OperatorRequests(folder, 0).poll()) == 2


def test_gates_are_set_enforced_and_observed(owner: TestClient, folder: Path) -> None:
    """On the same evidence as the command; without it only with force."""
    made = changed(owner, "PUT", "gates", {**WHY, "values": {"scalp.max_spread_bps": "4"}})
    assert made["actor"] == "me over the API"
    assert gates_of(folder).settings.scalp.max_spread_bps == 4.0
    status, code, message = refusal(owner.put("/api/v1/gates/spread", json={**WHY, "enforced": True}))
    assert (status, code) == (409, "conflict")
    assert "spread" in message
    changed(owner, "PUT", "gates/spread", {**WHY, "enforced": True, "force": True})
    assert gates_of(folder).settings.enforced == ("spread",)
    changed(owner, "PUT", "gates/spread", {**WHY, "enforced": False})
    assert gates_of(folder).settings.enforced == ()
    assert refusal(owner.put("/api/v1/gates/nothing", json={**WHY, "enforced": True}))[0] == 400
    assert refusal(owner.put("/api/v1/gates", json={**WHY, "values": {"scalp.nothing": "4"}}))[0] == 400


def test_a_part_of_the_policy_is_promoted_and_rolled_back(owner: TestClient, folder: Path) -> None:
    """What is missing is named; force needs the reason that every change has."""
    name = owner.get("/api/v1/rollout").json()["switches"][0]["switch"]
    refused = refusal(owner.put(f"/api/v1/rollout/{name}", json={**WHY, "enforced": True}))
    assert refused[0] == 409
    changed(owner, "PUT", f"rollout/{name}", {**WHY, "enforced": True, "force": True})
    state = read_state(folder)
    assert state is not None
    assert state.config.is_enforced(name)
    changed(owner, "PUT", f"rollout/{name}", {**WHY, "enforced": False})
    assert not read_state(folder).config.is_enforced(name)  # type: ignore[union-attr]
    assert refusal(owner.put("/api/v1/rollout/nothing", json={**WHY, "enforced": True}))[0] == 400


def test_the_pilot_is_set(owner: TestClient, folder: Path) -> None:
    """Only what is named; a version that has gone is refused; a mode that trades says it has no evidence."""
    made = changed(owner, "PUT", "pilot", {**WHY, "min_confidence": 0.7})
    assert made["version"] == 1
    assert store_of(folder, None).pilot.min_confidence == 0.7
    assert refusal(owner.put("/api/v1/pilot", json={**WHY, "enabled": False, "version": 0}))[:2] == (409, "conflict")
    assert refusal(owner.put("/api/v1/pilot", json=WHY))[0] == 400
    assert refusal(owner.put("/api/v1/pilot", json={**WHY, "mode": "WILD"}))[0] == 400
    changed(owner, "PUT", "pilot", {**WHY, "mode": "HYBRID"})
    assert store_of(folder, None).read().state.changes[-1].reason.startswith("without evidence")


@pytest.mark.parametrize("body", [
    {}, {"reason": ""}, {"reason": "x" * 501}, {"reason": None}, {"reason": 1}, {"reason": "x", "more": 1}, [],
    "reason", {"reason": "x\ny"}, {"reason": "  "}, {"reason": "\u202ex"},
])
def test_a_change_without_a_usable_reason_is_refused(owner: TestClient, folder: Path, body: Any) -> None:
    """And nothing is asked of the run."""
    assert refusal(owner.post("/api/v1/halt", json=body))[0] == 400
    assert asked(folder) == []


def test_every_change_is_on_record_the_refused_ones_too(owner: TestClient, folder: Path) -> None:
    """Who, from where, what, why, and what came of it; never a token."""
    changed(owner, "POST", "halt", WHY)
    owner.put("/api/v1/gates/spread", json={**WHY, "enforced": True})
    lines = owner.get("/api/v1/changes").json()["changes"]
    assert [(one["action"], one["name"], one["role"], one["address"]) for one in lines] == [
        ("PUT /api/v1/gates/spread", "me", "owner", "127.0.0.1"), ("POST /api/v1/halt", "me", "owner", "127.0.0.1"),
    ]
    assert lines[1]["outcome"] == "done"
    assert "spread" in lines[0]["outcome"]
    assert "Bearer" not in (folder / FILE_NAME).read_text()
    assert len(ChangeLog(folder).last(1)) == 1


def test_a_damaged_line_of_the_record_is_left_out(owner: TestClient, folder: Path) -> None:
    """The others are shown."""
    changed(owner, "POST", "halt", WHY)
    with (folder / FILE_NAME).open("a") as file:
        file.write("{torn\n")
    assert len(owner.get("/api/v1/changes").json()["changes"]) == 1


@pytest.mark.parametrize("size", [(1 << 20) + 1, 5 << 20])
def test_a_body_that_is_too_large_is_refused(owner: TestClient, size: int) -> None:
    """With the limit."""
    content = b'{"reason":"' + b"x" * size + b'"}'
    answer = owner.post("/api/v1/halt", content=content, headers={"Content-Type": "application/json"})
    assert refusal(answer)[:2] == (413, "too_large")


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"reason": "x"} x', b'{"reason": 1e999}', b'{"reason": "\\ud800"}', b"null",
])
def test_a_body_that_is_no_json_is_refused(owner: TestClient, folder: Path, content: bytes) -> None:
    """Whatever its bytes are."""
    answer = owner.post("/api/v1/halt", content=content, headers={"Content-Type": "application/json"})
    assert refusal(answer)[0] == 400
    assert asked(folder) == []


def test_a_halt_that_cannot_be_put_on_record_is_told_as_the_halt_that_it_is(owner: TestClient, folder: Path) -> None:
    """The run has it; a change of settings says that the record failed."""
    (folder / FILE_NAME).mkdir()
    assert changed(owner, "POST", "halt", WHY)["action"] == "halt"
    assert asked(folder) == [("halt", "a test", "me over the API")]
    assert refusal(owner.post("/api/v1/resume", json=WHY))[0] == 503


def test_a_line_after_one_that_a_full_disk_cut_short_is_whole(owner: TestClient, folder: Path) -> None:
    """The short one is lost, and no other."""
    changed(owner, "POST", "halt", WHY)
    with (folder / FILE_NAME).open("ab") as file:
        file.write(b'{"ts_ns":1,"na')
    changed(owner, "POST", "resume", WHY)
    assert [one.action for one in ChangeLog(folder).last(10)] == ["POST /api/v1/resume", "POST /api/v1/halt"]
