"""The guard as bots reach it: HTTP on loopback, from a process of its own that may be killed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.guard.bars import store_bars
from tests.app.guard.serving import ServedGuard, command, served

QUESTION = {
    "bot": "mine", "id": "1", "symbol": "BTC/USDT:USDT", "side": "LONG", "stop": 3.0, "stake": 200.0,
    "equity": 10_000.0, "positions": [],
}


def exit_of(number: int, profit: float = -1.0) -> dict[str, Any]:
    """Return the report of exit *number*."""
    return {"bot": "mine", "id": f"exit-{number}", "fill": "EXIT", "symbol": "BTCUSDT", "side": "LONG",
            "profit": profit}


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGuard]:
    """A served guard over a store of hourly bars up to now."""
    folder = tmp_path_factory.mktemp("guard")
    store_bars(folder / "bars", end_ns=time.time_ns())
    with served(folder / "state", "--data", str(folder / "bars"), "--profile", "SAFE") as found:
        yield found


def test_a_bot_asks_and_reports(guard: ServedGuard) -> None:
    """OBSERVE permits everything; ENFORCED gives the verdict; the report and the status say it."""
    state = str(guard.state)
    observed = guard.ask("/v1/decide", QUESTION | {"bot": "asking", "confidence": 0.1})
    command("mode", "ENFORCED", "--bot", "asking", "--state", state, "--reason", "seen enough")
    refused = guard.ask("/v1/decide", QUESTION | {"bot": "asking", "id": "2", "confidence": 0.1})
    permitted = guard.ask("/v1/decide", QUESTION | {"bot": "asking", "id": "3", "confidence": 0.9})
    counted = guard.ask("/v1/fills", exit_of(1) | {"bot": "asking"})
    report = json.loads(command("report", "--state", state, "--bot", "asking", "--json"))["bots"][0]
    status = json.loads(command("status", "--state", state, "--json"))

    assert (observed[0], observed[1]["allow"], observed[1]["mode"]) == (200, True, "OBSERVE")
    assert (refused[1]["allow"], refused[1]["max_stake"]) == (False, 0.0)
    assert refused[1]["reason"].startswith("CONFIDENCE ")
    assert (permitted[1]["allow"], permitted[1]["max_stake"]) == (True, 200.0)
    assert counted == (200, {"bot": "asking", "id": "exit-1", "is_counted": True, "losing_streak": 1})
    assert [report[name] for name in ("questions", "blocked", "would_have_blocked", "losing_exits")] == [3, 1, 1, 1]
    assert status["alive"]
    (market,) = [one for one in status["running"]["markets"] if one["symbol"] == "BTCUSDT"]
    assert (market["trend"], market["direction"]) == ("TRENDING", "UP")


def test_asking_and_reporting_need_a_token_and_reading_does_not(guard: ServedGuard) -> None:
    """401 without one, with a wrong one too; the token's file belongs to its owner alone."""
    assert guard.ask("/v1/decide", QUESTION, token=None)[0] == 401
    assert guard.ask("/v1/fills", exit_of(1), token="qt_wrong")[0] == 401
    assert guard.ask("/v1/status", token=None)[0] == 200
    assert (guard.state / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("change", "told"), [
    ({"stop": 0}, "$.stop"), ({"stop": 101}, "$.stop"), ({"stake": -5}, "$.stake"), ({"side": "UP"}, "$.side"),
    ({"symbol": "../../etc"}, "symbol = '../../etc'"), ({"bot": "../x"}, "bot = '../x'"), ({"extra": 1}, "extra"),
    ({"id": ""}, "$.id"), ({"equity": "much"}, "$.equity"), ({"confidence": 2}, "$.confidence"),
    ({"positions": [{"symbol": "BTCUSDT", "stake": -1}]}, "stake = -1"),
])
def test_what_is_wrong_is_named(guard: ServedGuard, change: dict[str, Any], told: str) -> None:
    """400 with the key and the value, and nothing is counted."""
    status, answer = guard.ask("/v1/decide", QUESTION | {"bot": "wrong"} | change)

    assert status == 400
    assert told in answer["error"]["message"]
    assert not (guard.state / "bots" / "wrong").exists()


def test_a_page_of_another_origin_changes_nothing(guard: ServedGuard) -> None:
    """Nor does a request under another host's name."""
    assert guard.ask("/v1/fills", exit_of(1), headers={"Origin": "https://example.org"})[0] == 403
    assert guard.ask("/v1/status", headers={"Host": "example.org"})[0] == 421


def test_a_kill_loses_no_answered_report(tmp_path: Path) -> None:
    """Killed within a hundred reports: those that were answered are counted, and all sent again count once."""
    state, bars = tmp_path / "state", str(store_bars(tmp_path / "bars", end_ns=time.time_ns()))
    answered = []
    with served(state, "--data", bars) as guard:
        def report() -> None:
            for number in range(100):
                try:
                    status, answer = guard.ask("/v1/fills", exit_of(number))
                except OSError:
                    return
                assert (status, answer["is_counted"]) == (200, True)
                answered.append(answer["losing_streak"])

        thread = threading.Thread(target=report)
        thread.start()
        while len(answered) < 20:
            assert thread.is_alive()
            time.sleep(0.001)
        guard.kill()
        thread.join(20.0)
    with served(state, "--data", bars) as guard:
        again = [guard.ask("/v1/fills", exit_of(number))[1] for number in range(100)]

    assert 20 <= len(answered) < 100
    assert [one["is_counted"] for one in again[: len(answered)]] == [False] * len(answered)
    assert again[-1]["losing_streak"] == 100


def test_a_damaged_bot_is_halted_until_a_person_resumes(tmp_path: Path) -> None:
    """The report and the status say so; `resume` needs a reason, and the next question is answered by the policy."""
    state, bars = tmp_path / "state", str(store_bars(tmp_path / "bars", end_ns=time.time_ns()))
    with served(state, "--data", bars) as guard:
        guard.ask("/v1/decide", QUESTION)
        command("mode", "ENFORCED", "--bot", "mine", "--state", str(state))
    journal = state / "bots" / "mine" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"BTCUSDT", b"ETHUSDT"))
    with served(state, "--data", bars) as guard:
        refused = guard.ask("/v1/decide", QUESTION | {"id": "2"})[1]
        report = command("report", "--state", str(state))
        assert "--reason '': say why" in command(
            "resume", "--bot", "mine", "--state", str(state), "--reason", " ", code=2).replace("' '", "''")
        command("resume", "--bot", "mine", "--state", str(state), "--reason", "flat")
        after = guard.ask("/v1/decide", QUESTION | {"id": "3"})[1]

    assert (refused["allow"], refused["refusals"][0]["code"]) == (False, "STATE")
    assert "journal.jsonl.damaged-1" in refused["reason"]
    assert "halted: journal.jsonl" in report
    assert after["allow"]


def test_it_listens_to_this_machine_alone(tmp_path: Path) -> None:
    """Another address is refused, and so is a start without a source of bars."""
    state = str(tmp_path / "state")
    bars = str(store_bars(tmp_path / "bars"))

    assert "--host 0.0.0.0: others reach it" in command(
        "serve", "--state", state, "--data", bars, "--host", "0.0.0.0", code=2)
    assert "name one source of bars" in command("serve", "--state", state, code=2)
    assert "--bars 5m" in command("serve", "--state", state, "--data", bars, "--bars", "5m", code=2)
