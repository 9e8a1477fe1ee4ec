"""A server that speaks OpenAI's chat protocol and Anthropic's, over loopback, with answers that a test decides."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

Answer = str | dict[str, Any] | web.Response  # text of the message, content of the whole body, or a whole response
Answering = Callable[[str, list[dict[str, str]], int], Answer | float]


class ChatServer:
    """Keeps every request; *answering* gets (model, messages, number of the model's request from 0).

    A float it gives is a time to be silent for before the connection is closed.
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.requests: list[dict[str, Any]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()

    @property
    def base_url(self) -> str:
        """Of OpenAI's protocol."""
        return f"http://127.0.0.1:{self.port}/v1"

    def asked(self, model: str) -> list[dict[str, Any]]:
        """The requests to one model."""
        return [one for one in self.requests if one["model"] == model]

    async def _reply(self, request: web.Request) -> web.Response:
        body = await request.json()
        number = len(self.asked(body["model"]))
        self.requests.append(body | {"authorization": request.headers.get("Authorization", ""), "path": request.path})
        answer = self.answering(body["model"], body["messages"], number)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response(status=500, text="too late")
        if isinstance(answer, web.Response):
            return answer
        if isinstance(answer, dict):
            return web.json_response(answer)
        return web.json_response(self._wrapped(body["model"], answer, request.path))

    @staticmethod
    def _wrapped(model: str, text: str, path: str) -> dict[str, Any]:
        if path.endswith("/messages"):
            return {"id": "m", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
                    "stop_sequence": None, "content": [{"type": "text", "text": text}],
                    "usage": {"input_tokens": 1_000, "output_tokens": 100}}
        return {
            "id": "c", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
        }

    def serve(self) -> None:
        """Run until stopped; for a thread of its own."""
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._reply)
        app.router.add_post("/v1/messages", self._reply)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        left = asyncio.all_tasks(self._loop)
        for one in left:
            one.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    @contextmanager
    def running(self) -> Iterator[ChatServer]:
        """The server on a port of its own while the block runs."""
        thread = threading.Thread(target=self.serve, daemon=True)
        thread.start()
        self._ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)


def statements(*sentences: str | tuple[str, list[dict[str, str]]], **rest: Any) -> str:
    """A model's answer: sentences, with claims where one has them."""
    made = [
        {"text": one, "claims": []} if isinstance(one, str) else {"text": one[0], "claims": one[1]} for one in sentences
    ]
    return json.dumps({"statements": made, **rest})
