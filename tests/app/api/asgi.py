"""Asks an ASGI application one question, without a network."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp


def get(app: ASGIApp, path: str, **headers: str) -> tuple[int, str, bytes]:
    """Status, type and body of the answer to GET *path*."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "headers": [(b"host", b"127.0.0.1:8000"), *((key.encode(), one.encode()) for key, one in headers.items())],
    }
    asyncio.run(app(scope, receive, send))
    types = dict(sent[0]["headers"])
    return sent[0]["status"], types[b"content-type"].decode(), b"".join(one.get("body", b"") for one in sent[1:])
