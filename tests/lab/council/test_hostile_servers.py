"""Servers that send what no server should: the report stands, the budget counts, the key stays here."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.lab.council.chat_server import Answering, ChatServer, statements
from tests.lab.council.sitting import model, settings, sit

from quantum_trader.domain.errors import ConfigError
from quantum_trader.lab.council.answers import AnswerStore, ChatMessage, ModelAnswer
from quantum_trader.lab.council.calls import ModelCaller, most_usd
from quantum_trader.lab.council.council import BY_RULES
from quantum_trader.lab.council.ledger import AskedAlready, CostLedger, CouncilCall
from quantum_trader.lab.council.settings import CouncilModel, load_council

SENTENCE = "The win rate was {win_rate}."


@pytest.fixture
def serve() -> Iterator[Any]:
    """A function that starts a server with given answers."""
    running = []

    def start(answering: Answering) -> ChatServer:
        context = ChatServer(answering).running()
        running.append(context)
        return context.__enter__()

    yield start
    for one in running:
        one.__exit__(None, None, None)


def ledger(folder: Path) -> CostLedger:
    """The ledger of *folder*."""
    return CostLedger(folder, clock=time.time_ns, pause=time.sleep)


def completion(text: str = "", **values: Any) -> dict[str, Any]:
    """A body of OpenAI's protocol; *values* take the place of its parts."""
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "one",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
    } | values


@pytest.mark.parametrize("body", [
    json.dumps(completion(choices=[])), json.dumps(completion(choices=None)), "[" * 100_000,
    json.dumps(completion("\ud800")), json.dumps(completion(usage={"prompt_tokens": "x"})),
])
def test_a_body_that_breaks_a_reader_ends_no_sitting(serve: Any, tmp_path: Path, body: str) -> None:
    """No choices, a hundred thousand brackets, half a letter: the analyst is left out, its calls are settled."""
    server = serve(lambda *asked: web.Response(text=body, content_type="application/json"))
    found = sit(settings(server.base_url, "One", judge=False), tmp_path)

    assert found.written_by == BY_RULES
    assert [one.name for one in found.left_out] == ["One"]
    assert all(one.outcome for one in ledger(tmp_path).calls())


@pytest.mark.parametrize("usage", [
    None, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": -1_000_000_000, "completion_tokens": -1, "total_tokens": -1},
    {"prompt_tokens": 10**30, "completion_tokens": 1, "total_tokens": 1},
])
def test_an_answer_without_a_count_of_tokens_costs_what_was_reserved(
    serve: Any, tmp_path: Path, usage: dict[str, int] | None
) -> None:
    """A provider bills it, whether its answer says so or not; no count lowers or bursts what a month has cost."""
    server = serve(lambda *asked: completion(statements(SENTENCE), usage=usage))
    made = settings(server.base_url, "One", judge=False)
    sit(made, tmp_path)
    call = ledger(tmp_path).calls()[0]
    asked = tuple(ChatMessage(role=one["role"], text=one["content"]) for one in server.requests[0]["messages"])

    assert call.outcome == "answered"
    assert call.usd == pytest.approx(most_usd(made.analysts[0], asked))


def test_a_key_that_a_server_echoes_is_in_no_report(serve: Any, tmp_path: Path) -> None:
    """Providers name the key that they refuse."""
    server = serve(lambda *asked: web.json_response({"error": {"message": "no such key: Bearer secret"}}, status=401))
    found = sit(settings(server.base_url, "One", judge=False), tmp_path)

    assert "no such key: Bearer (key)" in found.left_out[0].why
    assert "secret" not in repr(found)


def test_a_redirect_is_not_followed(serve: Any, tmp_path: Path) -> None:
    """Figures and key go to the address that was written, and to no other; the reason says what to do."""
    other = serve(lambda *asked: statements(SENTENCE))
    server = serve(lambda *asked: web.Response(
        status=307, headers={"Location": f"{other.base_url}/chat/completions"}))
    found = sit(settings(server.base_url, "One", judge=False), tmp_path)

    assert other.requests == []
    assert "base_url" in found.left_out[0].why
    assert [one.usd for one in ledger(tmp_path).calls()] == [0.0]


@pytest.mark.parametrize("response", [
    {"text": '{"id": "' + "x" * (9 << 20) + '"}'}, {"body": b"\x1f\x8b", "headers": {"Content-Encoding": "gzip"}},
])
def test_an_endless_answer_is_not_read(serve: Any, tmp_path: Path, response: dict[str, Any]) -> None:
    """Past 8 MiB, or packed so that it may unfold to any size."""
    server = serve(lambda *asked: web.Response(**response))
    found = sit(settings(server.base_url, "One", judge=False), tmp_path)

    assert found.written_by == BY_RULES
    assert "the answer is" in found.left_out[0].why


class _Port:
    """Answers, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, model: CouncilModel, key: str, messages: tuple[ChatMessage, ...]) -> ModelAnswer:
        self.asked += 1
        return ModelAnswer(text="said", input_tokens=10, output_tokens=10)


class _DyingLedger(CostLedger):
    """Ends the program where a call's cost would be written."""

    def settle(self, call: CouncilCall, outcome: str, **rest: Any) -> None:
        raise KeyboardInterrupt


def test_an_answer_is_kept_before_its_cost_is_written(tmp_path: Path) -> None:
    """A program that dies between the two asks nobody a second time."""
    port, messages = _Port(), (ChatMessage(role="user", text="what"),)
    one = model("http://127.0.0.1:9/v1", "One")

    async def no_wait(wait_s: float) -> None:
        raise AssertionError(wait_s)

    def caller(costs: CostLedger) -> ModelCaller:
        return ModelCaller(port, AnswerStore(tmp_path), costs, limit_usd=1.0, sleep=no_wait, clock=time.time_ns)

    dying = caller(_DyingLedger(tmp_path, clock=time.time_ns, pause=time.sleep))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(dying.ask(one, "key", messages, snapshot="s", prompt="p"))
    again = asyncio.run(caller(ledger(tmp_path)).ask(one, "key", messages, snapshot="s", prompt="p"))

    assert isinstance(again, ModelAnswer)
    assert port.asked == 1
    assert [call.outcome for call in ledger(tmp_path).calls()] == ["answered"]


def test_two_processes_do_not_pay_for_one_question(tmp_path: Path) -> None:
    """Both looked before either asked: the second to reserve is told, and asks only when told to."""
    first = ledger(tmp_path).reserve("question", "One", 0.1, 12.0)
    second = ledger(tmp_path).reserve("question", "One", 0.1, 12.0)
    other = ledger(tmp_path).reserve("another", "One", 0.1, 12.0)
    again = ledger(tmp_path).reserve("question", "One", 0.1, 12.0, again=True)

    assert isinstance(first, CouncilCall)
    assert second == AskedAlready(call=first)
    assert "another process is asking" in str(second)
    assert isinstance(other, CouncilCall)
    assert isinstance(again, CouncilCall)


@pytest.mark.parametrize("seat", ["[[analysts]]", "[judge]"])
def test_a_model_with_a_key_has_prices(tmp_path: Path, seat: str) -> None:
    """Without them every call would cost nothing and no budget would stop it; a written 0.0 is a price."""
    file = tmp_path / "council.toml"
    analyst = '[[analysts]]\nname = "Local"\nmodel = "l"\nbase_url = "http://127.0.0.1:1/v1"\n'
    paid = f'{seat}\nname = "Paid"\nmodel = "p"\nbase_url = "http://127.0.0.1:1/v1"\napi_key_env = "SOME_KEY"\n'
    prices = "input_usd_per_million = 0.0\noutput_usd_per_million = 0.0\n"
    file.write_text(analyst + paid)
    with pytest.raises(ConfigError, match=r"'Paid': input_usd_per_million and output_usd_per_million: missing"):
        load_council(file)
    file.write_text(analyst + paid + prices)

    assert load_council(file).analysts[0].name == "Local"
