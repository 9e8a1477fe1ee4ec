"""Clients of the API in this process, with and without tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.server import app_of
from quantum_trader.app.api.tokens import Role, TokenStore

LOOPBACK = "http://127.0.0.1:8000"


def client_of(
    folder: Path, settings: AccessSettings | None = None, now_ns: Callable[[], int] = time.time_ns,
    address: str = "127.0.0.1",
) -> TestClient:
    """A client that asks from *address*."""
    app = app_of(folder, settings if settings is not None else AccessSettings(), now_ns)
    return TestClient(app, base_url=LOOPBACK, client=(address, 50000))


def token_of(folder: Path, role: Role, name: str = "") -> str:
    """The text of a new token."""
    return TokenStore(folder).new(name or f"a-{role.value}", role, 1)[1]


def bearer(token: str) -> dict[str, str]:
    """The header that shows *token*."""
    return {"Authorization": f"Bearer {token}"}


def refusal(answer: Any) -> tuple[int, str, str]:
    """Status, code and message of an answer that is no success, in the one format."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message"}, body
    return answer.status_code, body["error"]["code"], body["error"]["message"]
