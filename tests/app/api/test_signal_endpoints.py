"""Signals over HTTP: who may send, what is taken once, what is refused and counted, and what is nowhere."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient
from tests.app.api.clients import bearer, client_of, refusal, token_of
from typer.testing import CliRunner

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.api.webhook_secrets import webhook_secrets
from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.app.runs.model_state import ModelLine, ModelsState
from quantum_trader.app.runs.outside_intents import IntentRequest
from quantum_trader.app.runs.score_requests import ScoreRequest
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import LiveStatus, write_status
from quantum_trader.domain.enums import Side

NOW_NS = 1_770_000_000_000_000_000
BODY = {"action": "buy", "symbol": "BTCUSDT.P", "quantity": "0.01", "timestamp": "2026-02-02T02:39:55Z"}


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


class Sources:
    """A folder whose process is alive, one webhook, and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self.secret = webhook_secrets(folder).new("tv", Role.TRADER, 1)[1]
        self.client = self.client_at("127.0.0.1")

    def client_at(self, address: str) -> TestClient:
        """A client of a fresh server on the folder."""
        return client_of(self.folder, AccessSettings(), self.clock, address)

    def post(self, body: Any = None, source: str = "tv", client: TestClient | None = None, **more: Any) -> Any:
        """Post a body as text without any header of its own."""
        content = body if isinstance(body, (str, bytes)) else json.dumps(
            {"secret": self.secret, **(BODY if body is None else body), **more}
        )
        return (client or self.client).post(f"/api/v1/webhooks/{source}", content=content)

    def requests(self) -> list[IntentRequest]:
        """The intents that were handed to the run."""
        path = self.folder / "intents.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=IntentRequest) for line in lines]

    def counts(self, name: str = "tv") -> dict[str, Any]:
        """The counts of one source."""
        (line,) = [one for one in self.client.get("/api/v1/signals/sources").json()["sources"] if one["name"] == name]
        return {key: line[key] for key in ("received", "accepted", "duplicates", "expired", "refused")}


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    """A live folder that a process holds."""
    held = StateDir(tmp_path / "state")
    bind_folder(held.path, LiveSettings(
        mode=LiveMode.LOCAL, address="http://127.0.0.1:1", symbols=("BTCUSDT", "ETHUSDT"), interval="1m"
    ))
    yield Sources(held.path)
    held.close()


def test_a_body_is_taken_once_however_often_it_is_sent(sources: Sources) -> None:
    """Resends, at once and side by side, after a new server too, and after its lag: one intent."""
    first = sources.post()
    assert (first.status_code, first.json()["outcome"]) == (200, "accepted")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sources.post(), range(6)))
    assert {(one.status_code, one.json()["outcome"]) for one in answers} == {(200, "duplicate")}
    assert sources.post(client=sources.client_at("127.0.0.1")).json()["trace_id"] == first.json()["trace_id"]
    sources.clock.now_ns += 40 * 10**9
    assert sources.post().json()["outcome"] == "duplicate"
    sources.clock.now_ns += 20 * 10**9
    assert refusal(sources.post())[:2] == (409, "conflict")
    (request,) = sources.requests()
    assert (request.intent_id, request.symbol, request.side) == (first.json()["trace_id"], "BTCUSDT", Side.LONG)
    assert (request.qty, request.source, request.ttl_s) == (0.01, "tv", 30.0)
    assert sources.counts() == {"received": 10, "accepted": 1, "duplicates": 8, "expired": 1, "refused": {}}


def test_a_body_without_time_and_id_is_new_after_a_minute_and_one_with_an_id_never(sources: Sources) -> None:
    """The window is the source's repeat_s; an id stays known."""
    plain, named = {"action": "buy", "symbol": "BTCUSDT"}, {"action": "buy", "symbol": "ETHUSDT", "signal_id": "x"}
    for seconds, outcomes in ((0, ["accepted", "accepted"]), (59, ["duplicate"] * 2), (61, ["accepted", "duplicate"])):
        sources.clock.now_ns = NOW_NS + seconds * 10**9
        text = [json.dumps({**one, "secret": sources.secret}) for one in (plain, named)]
        assert [sources.post(one).json()["outcome"] for one in text] == outcomes
    assert [one.intent_id for one in sources.requests()][1] == "tv-x"


def test_a_signal_that_was_noted_before_the_process_died_is_handed_over_once(sources: Sources) -> None:
    """Noted and not written: written by the resend. Written and not noted so: not written again."""
    sources.post()
    base = sqlite3.connect(sources.folder / "signals.db")
    base.execute("update signals set outcome = 'pending'")
    base.commit()
    assert sources.post().json()["outcome"] == "duplicate"
    (sources.folder / "intents.jsonl").unlink()
    answer = sources.post().json()
    assert answer["outcome"] == "accepted"
    assert [one.intent_id for one in sources.requests()] == [answer["trace_id"]]
    assert sources.post().json()["outcome"] == "duplicate"
    base.close()


def test_a_wrong_secret_is_refused_alike_counted_and_limited(sources: Sources) -> None:
    """No source, another's secret, a revoked or no one: 401; after ten 429; the right secret is let in still."""
    other = webhook_secrets(sources.folder).new("other", Role.TRADER, 1)[1]
    told = set()
    for source, secret in (("tv", other), ("tv", "x"), ("nobody", sources.secret), ("tv", sources.secret[:-1] + "!")):
        told.add(refusal(sources.post(source=source, secret=secret)))
    assert {one[0] for one in told} == {401}
    assert len(told) == 1
    for _ in range(6):
        assert sources.post("no secret at all").status_code == 401
    assert refusal(sources.post(secret="x"))[0] == 429
    assert sources.post().status_code == 200
    assert sources.post(secret="x", client=sources.client_at("10.0.0.9")).status_code == 401
    webhook_secrets(sources.folder).revoke("tv", 2)
    assert sources.post(client=sources.client_at("10.0.0.10")).status_code == 401
    assert sources.counts()["accepted"] == 1
    assert sources.counts()["refused"]["wrong_secret"] >= 9
    assert "nobody" not in sources.client.get("/api/v1/signals/sources").text


def test_a_webhooks_secret_is_no_token_of_the_api(sources: Sources) -> None:
    """It lets in signals and nothing else."""
    for method, road in (("POST", "halt"), ("POST", "signals"), ("GET", "status")):
        answer = sources.client.request(method, f"/api/v1/{road}", headers=bearer(sources.secret), json={"reason": "x"})
        assert answer.status_code == 401


def test_bad_bodies_are_refused_with_their_reason_and_counted(sources: Sources) -> None:
    """NaN, huge, nested, wrong symbol, expired, unknown action: a clear error each, no intent, a row each."""
    secret = f'"secret": "{sources.secret}"'
    for body, status, said in (
        ('{"action": "buy", "symbol": "BTCUSDT", "price": NaN, %s}', 400, "price = nan"),
        ('{"action": "buy", "symbol": "BTCUSDT", %s, "x": ' + "[" * 50 + "]" * 50 + "}", 400, "nested 51 levels"),
        ('{"action": "buy", "symbol": "BTCUSDT", %s, "x": "' + "y" * 17_000 + '"}', 413, "at most 16,384"),
        ('{"action": "buy", "symbol": "XRPUSDT", %s}', 400, "this run trades BTCUSDT, ETHUSDT"),
        ('{"action": "hold", "symbol": "BTCUSDT", %s}', 400, "action = 'hold': is no action"),
        ('{"action": "buy", "symbol": "BTCUSDT", "timestamp": "2026-02-02T02:00:00Z", %s}', 409, "2400.0 s old"),
        ('{"action": "buy", "symbol": "BTCUSDT", %s', 400, "is no JSON"),
        ('{"action": "buy", "symbol": "BTCUSDT", "signal_id": "qt-rest", %s}', 400, "form of the system's own ids"),
    ):
        code, _, message = refusal(sources.post(body % secret))
        assert (code, said in message) == (status, True), message
    assert sources.requests() == []
    assert sources.counts() == {
        "received": 8, "accepted": 0, "duplicates": 0, "expired": 1,
        "refused": {"bad_value": 2, "nested": 1, "too_large": 1, "unknown_symbol": 1, "unknown_action": 1,
                    "unreadable": 1},
    }
    rows = sources.client.get("/api/v1/signals/received", params={"source": "tv"}).json()["signals"]
    assert len(rows) == 8
    assert {row["outcome"] for row in rows} == {"refused", "expired"}


def test_too_many_signals_are_refused_and_what_closes_is_limited_last(sources: Sources) -> None:
    """Two a minute: the third entry waits, an exit does not."""
    (sources.folder / "signal_sources.toml").write_text("[tv]\nper_minute = 2\n")
    sent = [sources.post(signal_id=f"n{number}") for number in range(3)]
    assert [one.status_code for one in sent] == [200, 200, 429]
    assert sent[2].headers["Retry-After"]
    assert sources.post(action="close", signal_id="c").status_code == 200
    sources.clock.now_ns += 50 * 10**9
    assert sources.post(signal_id="n4").status_code == 429
    sources.clock.now_ns += 11 * 10**9
    assert sources.post(signal_id="n4", timestamp="").status_code == 200
    assert sources.counts()["refused"] == {"too_many": 2}


def test_without_a_process_nothing_is_kept_and_the_sender_tries_again(tmp_path: Path) -> None:
    """503 for a webhook, which is sent again; 409 with a token; taken once the process is there."""
    (tmp_path / "lock").touch(0o600)
    bind_folder(tmp_path, LiveSettings(mode=LiveMode.LOCAL, address="http://127.0.0.1:1", symbols=("BTCUSDT",)))
    sources = Sources(tmp_path)
    assert refusal(sources.post())[:2] == (503, "unavailable")
    token = token_of(tmp_path, Role.TRADER, "desk")
    order = {"id": "1", "symbol": "BTCUSDT", "action": "LONG"}
    assert sources.client.post("/api/v1/signals", json=order, headers=bearer(token)).status_code == 409
    assert sources.requests() == []
    held = StateDir(tmp_path)
    assert sources.post().json()["outcome"] == "accepted"
    held.close()


def test_bad_settings_of_a_source_hold_every_signal_back(sources: Sources) -> None:
    """503 with file, key and value: the sender sends again once it is mended."""
    (sources.folder / "signal_sources.toml").write_text("[tv]\nsize = 'much'\n")
    status, _, message = refusal(sources.post())
    assert status == 503
    assert "[tv] invalid enum value 'much'" in message
    (sources.folder / "signal_sources.toml").write_text("[tv]\nsize = 'risk'\n")
    assert sources.post().json()["sized_in"] == "risk"


def test_a_token_hands_over_a_signal_in_the_apis_own_form(sources: Sources) -> None:
    """Typed and checked; a viewer may not; size, stop and confidence arrive as stated; its id again is nothing."""
    viewer, trader = token_of(sources.folder, Role.VIEWER), token_of(sources.folder, Role.TRADER, "desk")
    order = {
        "id": "a-1", "symbol": "BTC/USDT", "action": "SHORT", "size": 250.0, "sized_in": "quote", "stop_pct": 2.0,
        "confidence": 0.7, "leverage": 2.0, "timestamp": NOW_NS // 10**6,
    }

    def send(headers: dict[str, str], **changes: Any) -> Any:
        return sources.client.post("/api/v1/signals", json={**order, **changes}, headers=headers)

    assert send({}).status_code == 401
    assert send(bearer(viewer)).status_code == 403
    assert send(bearer(trader)).json()["trace_id"] == "desk-a-1"
    assert send(bearer(trader), size=900.0).json()["outcome"] == "duplicate"
    (request,) = sources.requests()
    intent = request.intent(100.0, 1_000.0)
    assert (intent.qty, intent.stop_price, intent.confidence, intent.leverage) == (2.5, 102.0, 0.7, 2.0)
    for changes, said in (
        ({"action": "UP"}, "; use CLOSE, CLOSE_LONG, CLOSE_SHORT, LONG, SHORT"),
        ({"size": -1}, "expected `float` >= 0.0"), ({"x": 1}, "unknown"),
        ({"id": "a b"}, "$.id"), ({"size": 0.0}, "size = 0: is needed"), ({"symbol": "DOGE"}, "this run trades"),
    ):
        status, _, message = refusal(send(bearer(trader), **changes))
        assert status == 400
        assert said in message
    assert sources.counts("desk")["refused"] == {"unreadable": 4, "bad_value": 1, "unknown_symbol": 1}


def test_the_secret_is_in_no_file_answer_or_log(sources: Sources, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever it stands in a body; the folder keeps its hash alone, in files of its owner."""
    for body in (
        {"symbol": sources.secret}, {"action": sources.secret}, {"signal_id": sources.secret}, {sources.secret: "x"},
        {"quantity": sources.secret}, {"timestamp": f"at {sources.secret}"}, {},
    ):
        answer = sources.post({**BODY, **body})
        assert sources.secret not in answer.text
    sources.post(f"{sources.secret},buy")
    held = b"".join(path.read_bytes() for path in sources.folder.rglob("*") if path.is_file())
    assert sources.secret.encode() not in held
    assert sources.secret.rpartition("_")[2].encode() not in held
    assert b"qts_" not in held
    assert "qts_" not in caplog.text
    assert "qts_" not in sources.client.get("/api/v1/signals/received").text
    assert all(path.stat().st_mode & 0o077 == 0 for path in sources.folder.rglob("*signal*"))


def test_a_held_inbox_makes_nobody_wait_for_ever(sources: Sources) -> None:
    """Another process holds it: 503 within two seconds, and the sender tries again; other roads answer meanwhile."""
    sources.post()
    with (sources.folder / ".signals.db.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda number: sources.post(signal_id=f"n{number}"), range(4)))
        assert time.perf_counter() - began < 4.0
        assert {one.status_code for one in answers} == {503}
        assert "send again" in refusal(answers[0])[2]
    assert sources.post(signal_id="n1").json()["outcome"] == "accepted"
    assert len(sources.requests()) == 2


def test_an_answer_comes_within_a_second(sources: Sources) -> None:
    """TradingView gives up after three; the disk is written four times by then."""
    (sources.folder / "signal_sources.toml").write_text("[tv]\nper_minute = 6000\n")
    took = []
    for number in range(30):
        began = time.perf_counter()
        assert sources.post(signal_id=f"n{number}").status_code == 200
        took.append(time.perf_counter() - began)
    assert sorted(took)[-3] < 1.0


def test_the_command_makes_lists_tries_and_revokes_sources(sources: Sources, tmp_path: Path) -> None:
    """With --json; a name is taken once; a body is tried without a secret and without an effect."""
    def call(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["source", *words, "--state", str(sources.folder), "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if code == 0 else result.stderr

    made = call("new", "desk", "--token")
    assert made["path"] == "/api/v1/signals"
    for taken in ("desk", "tv"):
        assert "there is a valid source or token of this name" in call("new", taken, code=2)
    assert "counts its own trades under this name" in call("new", "Pilot", code=2)
    sources.post()
    rows = {row["name"]: row for row in call("list")}
    assert (rows["tv"]["kind"], rows["desk"]["kind"]) == ("webhook", "token")
    assert rows["tv"]["counts"]["accepted"] == 1
    assert made["secret"] not in json.dumps(rows)
    body = tmp_path / "body.json"
    body.write_text(json.dumps({**BODY, "takeProfit": {"percent": 3}}))
    tried = call("try", "tv", str(body))
    assert (tried["action"], tried["symbol"], tried["ignored"]) == ("LONG", "BTCUSDT", ["takeprofit.percent"])
    body.write_text('{"action": "up"}')
    assert "action = 'up': is no action" in call("try", "tv", str(body), code=2)
    assert len(sources.requests()) == 1
    assert call("revoke", "desk")["name"] == "desk"
    assert "no valid source has this name" in call("revoke", "desk", code=2)
    assert [row["name"] for row in call("list") if row["revoked"]] == ["desk"]
    shown = CliRunner().invoke(app, ["source", "list", "--state", str(sources.folder)])
    assert "tv  webhook" in shown.stdout
    assert "accepted 1, duplicates 0" in shown.stdout


@pytest.mark.parametrize("field", ["action", "symbol", "quantity", "timestamp"])
def test_a_token_of_the_api_in_a_wrong_place_is_repeated_nowhere(sources: Sources, field: str) -> None:
    """Neither in the answer nor in what readers see, by either road."""
    token = token_of(sources.folder, Role.TRADER)
    answers = [sources.post(**{field: token})]
    order = {"id": "a-1", "symbol": "BTCUSDT", "action": "LONG", field if field != "quantity" else "id": token}
    answers.append(sources.client.post("/api/v1/signals", json=order, headers=bearer(token)))
    answers.append(sources.client.get("/api/v1/signals/received"))
    assert [one.status_code >= 400 for one in answers] == [True, True, False], [one.text for one in answers]
    assert not any(token.lower() in one.text.lower() for one in answers)


# ---------------------------------------------------------------------- scores


def with_models(sources: Sources, *lines: ModelLine) -> None:
    """Let the folder's process state its models, and the sources tv and desk enter as scores."""
    (sources.folder / "signal_sources.toml").write_text(
        "[tv]\nenter_as = 'scores'\nconfidence = 0.6\n[desk]\nenter_as = 'scores'\n"
    )
    write_status(sources.folder, LiveStatus(
        written_ns=NOW_NS, pid=os.getpid(), started_ns=NOW_NS, mode="LOCAL", endpoint="local",
        models=ModelsState(models=lines),
    ))
    sources.client = sources.client_at("127.0.0.1")


def scores(sources: Sources) -> list[ScoreRequest]:
    """The scores that were handed to the run."""
    path = sources.folder / "scores.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=ScoreRequest) for line in lines]


ANY = ModelLine(name="outside-scores", symbols=("BTCUSDT", "ETHUSDT"), scores_of="")


def test_a_source_that_enters_as_scores_hands_over_scores_once(sources: Sources) -> None:
    """No intent; a resend is a duplicate, also where the process died before it was marked; ages and lives arrive."""
    with_models(sources, ANY)
    answer = sources.post({**BODY, "horizon": "2h"}).json()
    assert (answer["outcome"], answer["enters_as"], answer["score"]) == ("accepted", "scores", 0.6)
    assert (answer["size"], answer["ignored"]) == (0.0, ["quantity"])
    assert sources.post({**BODY, "horizon": "2h"}).json()["outcome"] == "duplicate"
    base = sqlite3.connect(sources.folder / "signals.db")
    base.execute("update signals set outcome = 'pending'")
    base.commit()
    base.close()
    assert sources.post({**BODY, "horizon": "2h"}).json()["outcome"] == "duplicate"
    (score,) = scores(sources)
    assert (score.score_id, score.symbol, score.score, score.source) == (answer["trace_id"], "BTCUSDT", 0.6, "tv")
    assert (score.ts_ns, score.age_ns, score.life_ns) == (NOW_NS, NOW_NS - 1_769_999_995 * 10**9, 7_200 * 10**9)
    assert sources.requests() == []
    assert sources.counts() == {"received": 3, "accepted": 1, "duplicates": 2, "expired": 0, "refused": {}}


def test_a_token_hands_over_a_score_in_the_apis_own_form(sources: Sources) -> None:
    """With a horizon or an expiry; an action with its confidence is a score as well; wrong values are named."""
    with_models(sources, ANY)
    trader = token_of(sources.folder, Role.TRADER, "desk")

    def send(**body: Any) -> Any:
        return sources.client.post("/api/v1/signals", json={"symbol": "ETH/USDT", **body}, headers=bearer(trader))

    assert send(id="a-1", score=-2.5, horizon="30m").json()["score"] == -2.5
    assert send(id="a-1", score=1.0).json()["outcome"] == "duplicate"
    assert send(id="a-2", action="SHORT", confidence=0.4, size=3.0).json()["ignored"] == ["quantity"]
    assert send(id="a-3", action="CLOSE_SHORT").json()["score"] == 0.0
    told = [(one.score_id, one.score, one.life_ns, one.leaves) for one in scores(sources)]
    assert told == [
        ("desk-a-1", -2.5, 1_800 * 10**9, None), ("desk-a-2", -0.4, 0, None), ("desk-a-3", 0.0, 0, Side.SHORT)
    ]
    for body, said in (
        ({"score": 1e7}, "expected `float` <= 1000000.0"), ({"score": 1, "action": "LONG"}, "one of the two is needed"),
        ({}, "one of the two is needed"), ({"score": 1, "horizon": "x"}, "horizon = 'x'"),
        ({"score": 1, "symbol": "DOGEUSDT"}, "this run trades"), ({"score": 1, "expires": "x"}, "expires = 'x'"),
    ):
        status, _, message = refusal(send(id="b-1", **body))
        assert status == 400
        assert said in message
    answer = sources.client.post(
        "/api/v1/signals", content='{"id": "n", "symbol": "ETHUSDT", "score": NaN}',
        headers={**bearer(trader), "Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    (sources.folder / "signal_sources.toml").unlink()
    assert 'enter_as = "scores"' in refusal(send(id="c-1", score=1.0))[2]
    assert len(scores(sources)) == 3


@pytest.mark.parametrize(("line", "reason", "says"), [
    (None, "no_model", "start it with --model outside-scores"),
    (ModelLine(name="ewmac", symbols=("BTCUSDT",)), "no_model", "no model of this run takes the scores of tv"),
    (ModelLine(name="x", symbols=("BTCUSDT",), scores_of="other"), "no_model", "remove enter_as from [tv]"),
    (ModelLine(name="x", symbols=("ETHUSDT",), scores_of="tv"), "unknown_symbol", "x is for ETHUSDT"),
])
def test_a_score_that_no_model_of_the_run_takes_is_refused_and_counted(
    line: ModelLine | None, reason: str, says: str, sources: Sources
) -> None:
    """Without such a model, for another source's, for another symbol: nothing is kept, and the answer says why."""
    with_models(sources, *([line] if line is not None else []))
    status, _, message = refusal(sources.post())
    assert status == (409 if reason == "no_model" else 400)
    assert says in message
    assert sources.counts()["refused"] == {reason: 1}
    assert scores(sources) == []


def test_scores_expire_and_flood_as_intents_do(sources: Sources) -> None:
    """An old body, one whose score is over, and too many a minute."""
    with_models(sources, ANY)
    sources.clock.now_ns += 70 * 10**9
    assert refusal(sources.post())[0] == 409
    assert refusal(sources.post({"symbol": "BTCUSDT", "score": 1, "expires": 1_770_000_069}))[0] == 409
    assert sources.counts()["expired"] == 2
    for number in range(31):
        last = sources.post({"symbol": "BTCUSDT", "score": 1, "signal_id": f"n{number}"})
    assert last.status_code == 429


def test_a_body_is_tried_as_a_score(sources: Sources, tmp_path: Path) -> None:
    """`source try` shows the score and what is ignored; `source list` says how the source enters."""
    with_models(sources, ANY)
    body = tmp_path / "body.json"
    body.write_text(json.dumps({**BODY, "horizon": "2h"}))
    words = ["source", "try", "tv", str(body), "--state", str(sources.folder)]
    shown = CliRunner().invoke(app, words).stdout.splitlines()
    assert {"score: 0.6", "life_s: 7200.0", "ignored: quantity"} <= set(shown)
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["score"] == 0.6
    listed = CliRunner().invoke(app, ["source", "list", "--state", str(sources.folder)]).stdout
    assert "valid  enters as scores  received 0" in listed
    assert scores(sources) == []
