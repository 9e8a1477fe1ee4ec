"""Who may ask freqtrade's roads: name and token by Basic, signed tokens for FreqUI, roles, and what ends them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.server import app_of
from quantum_trader.app.api.tokens import Role, TokenStore
from quantum_trader.app.runs.operator_requests import Action, OperatorRequests

ROAD = "/freqtrade/api/v1"
OPEN = AccessSettings(host="0.0.0.0", names=("testserver",))  # reading needs a token


class Clock:
    """A time that a test moves, in ns."""

    def __init__(self) -> None:
        self.ns = time.time_ns()

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder in which no process runs and nothing was traded."""
    (tmp_path / "lock").touch(0o600)
    return tmp_path


def client_of(folder: Path, settings: AccessSettings = OPEN, clock: Callable[[], int] = time.time_ns) -> TestClient:
    """A client of the folder's API."""
    return TestClient(app_of(folder, settings, clock), base_url="http://testserver")


def basic(name: str, token: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}"}


def bearer(token: str) -> dict[str, str]:
    """The header of a signed token, or of a token."""
    return {"Authorization": f"Bearer {token}"}


def test_basic_needs_the_tokens_name_and_text(folder: Path) -> None:
    """Right name and token read; a wrong one of either, or none, is refused, and too many wrong ones have to wait."""
    token = TokenStore(folder).new("phone", Role.VIEWER, 1)[1]
    client = client_of(folder)
    assert client.get(f"{ROAD}/count", headers=basic("phone", token)).status_code == 200
    for wrong in (basic("other", token), basic("phone", token + "x"), {}, {"Authorization": "Basic ???"}):
        assert client.get(f"{ROAD}/count", headers=wrong).status_code == 401
    assert client.get(f"{ROAD}/ping").json() == {"status": "pong"}
    codes = [client.get(f"{ROAD}/count", headers=basic("phone", "guess")).status_code for _ in range(12)]
    assert codes[-1] == 429
    assert client.get(f"{ROAD}/count", headers=basic("phone", token)).status_code == 200


def test_basic_is_for_these_roads_alone(folder: Path) -> None:
    """The other roads take tokens as Bearer, and no signed tokens."""
    token = TokenStore(folder).new("phone", Role.OWNER, 1)[1]
    client = client_of(folder)
    access = client.post(f"{ROAD}/token/login", headers=basic("phone", token)).json()["access_token"]
    assert client.get("/api/v1/status", headers=basic("phone", token)).status_code == 401
    assert client.get("/api/v1/status", headers=bearer(access)).status_code == 401
    assert client.get("/api/v1/status", headers=bearer(token)).status_code == 200


def test_a_login_gives_signed_tokens_that_end(folder: Path) -> None:
    """The access token reads for a quarter of an hour, the refresh token makes new ones and reads nothing itself."""
    clock = Clock()
    token = TokenStore(folder).new("ui", Role.VIEWER, 1)[1]
    client = client_of(folder, clock=clock)
    pair = client.post(f"{ROAD}/token/login", headers=basic("ui", token)).json()
    assert client.get(f"{ROAD}/count", headers=bearer(pair["access_token"])).status_code == 200
    assert client.get(f"{ROAD}/count", headers=bearer(pair["refresh_token"])).status_code == 401
    assert client.post(f"{ROAD}/token/refresh", headers=bearer(pair["access_token"])).status_code == 401
    clock.ns += 901 * 10**9
    assert client.get(f"{ROAD}/count", headers=bearer(pair["access_token"])).status_code == 401
    fresh = client.post(f"{ROAD}/token/refresh", headers=bearer(pair["refresh_token"])).json()["access_token"]
    assert client.get(f"{ROAD}/count", headers=bearer(fresh)).status_code == 200
    clock.ns += 31 * 86_400 * 10**9
    assert client.post(f"{ROAD}/token/refresh", headers=bearer(pair["refresh_token"])).status_code == 401


def test_a_signed_token_ends_with_its_token_and_its_process(folder: Path) -> None:
    """Revoked with the token that logged in, and not known to a server that was started anew."""
    store = TokenStore(folder)
    token = store.new("ui", Role.VIEWER, 1)[1]
    client = client_of(folder)
    pair = client.post(f"{ROAD}/token/login", headers=basic("ui", token)).json()
    assert client_of(folder).get(f"{ROAD}/count", headers=bearer(pair["access_token"])).status_code == 401
    store.revoke("ui", 2)
    assert client.get(f"{ROAD}/count", headers=bearer(pair["access_token"])).status_code == 401
    assert client.post(f"{ROAD}/token/refresh", headers=bearer(pair["refresh_token"])).status_code == 401


def test_a_changed_signed_token_is_refused(folder: Path) -> None:
    """Another token's id, a later end, another algorithm, a signature cut short: none is let in."""
    store = TokenStore(folder)
    token, owner = store.new("ui", Role.VIEWER, 1)[1], store.new("owner", Role.OWNER, 1)[0]
    client = client_of(folder)
    header, body, signature = client.post(
        f"{ROAD}/token/login", headers=basic("ui", token)
    ).json()["access_token"].split(".")
    claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "=="))

    def packed(content: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(content)).rstrip(b"=").decode()

    for forged in (
        f"{header}.{packed({**claims, 'sub': owner.id})}.{signature}",
        f"{header}.{packed({**claims, 'exp': claims['exp'] + 60})}.{signature}",
        f"{packed({'alg': 'none', 'typ': 'JWT'})}.{body}.", f"{header}.{body}.{signature[:-4]}", "a.b.c", "..",
    ):
        assert client.get(f"{ROAD}/count", headers=bearer(forged)).status_code == 401, forged


def test_the_role_decides_what_a_login_may_do(folder: Path) -> None:
    """A viewer's Basic login and its signed token change nothing; a trader's halt is handed to the run."""
    store = TokenStore(folder)
    viewer, trader = store.new("viewer", Role.VIEWER, 1)[1], store.new("trader", Role.TRADER, 1)[1]
    client = client_of(folder)
    signed = client.post(f"{ROAD}/token/login", headers=basic("viewer", viewer)).json()["access_token"]
    for login in (basic("viewer", viewer), bearer(signed)):
        assert client.post(f"{ROAD}/stop", headers=login).status_code == 403
        assert client.request("DELETE", f"{ROAD}/locks/1", headers=login).status_code == 403
    assert OperatorRequests(folder, 0).poll() == []
    assert client.post(f"{ROAD}/stop", headers=basic("trader", trader)).status_code == 200
    (request,) = OperatorRequests(folder, 0).poll()
    assert (request.action, request.actor) == (Action.HALT, "trader over the API")


def test_pages_of_other_origins_change_nothing(folder: Path) -> None:
    """Also with the right password: a browser that knows it is not made to use it."""
    trader = TokenStore(folder).new("trader", Role.TRADER, 1)[1]
    answer = client_of(folder).post(
        f"{ROAD}/stop", headers={**basic("trader", trader), "Origin": "https://elsewhere.example"}
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("query", ["", "?token=wrong", "?token=a.b.c"])
def test_the_socket_needs_a_token(folder: Path, query: str) -> None:
    """Where reading needs one."""
    from starlette.websockets import WebSocketDisconnect

    with client_of(folder).websocket_connect(f"{ROAD}/message/ws{query}") as socket:
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
        assert ended.value.code == 1008


def test_an_empty_folder_is_answered(folder: Path) -> None:
    """Before anything was traded every list is empty and every sum 0."""
    client = client_of(folder, AccessSettings())
    headers = {"Host": "127.0.0.1"}
    for road in ("status", "performance", "entries", "exits", "mix_tags"):
        assert client.get(f"{ROAD}/{road}", headers=headers).json() == [], road
    assert client.get(f"{ROAD}/trades", headers=headers).json()["total_trades"] == 0
    assert client.get(f"{ROAD}/profit", headers=headers).json()["profit_all_coin"] == 0.0
    for road in ("balance", "stats", "daily", "logs", "locks", "show_config", "health", "blacklist", "whitelist"):
        assert client.get(f"{ROAD}/{road}", headers=headers).status_code == 200, road


def test_one_named_origin_may_use_these_roads(folder: Path) -> None:
    """FreqUI's origin is let in where the operator names it: its preflight, its reads, and no other road or origin."""
    trader = TokenStore(folder).new("trader", Role.TRADER, 1)[1]
    ui = "http://ui.example:3000"
    client = client_of(folder, msgspec.structs.replace(OPEN, ui_origin=ui))
    asked = {"Origin": ui, "Access-Control-Request-Method": "POST"}
    preflight = client.options(f"{ROAD}/stop", headers=asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, ui)
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-allow-credentials"] == "true"  # FreqUI's login asks for it
    answer = client.post(f"{ROAD}/stop", headers={**basic("trader", trader), "Origin": ui})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ui)
    refused = client.get(f"{ROAD}/count", headers={"Origin": ui})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ui)
    for road, origin in ((f"{ROAD}/stop", "http://ui.example:3001"), ("/api/v1/halt", ui)):
        other = client.post(road, headers={**bearer(trader), "Origin": origin}, json={"reason": "x"})
        assert other.status_code == 403
        assert "access-control-allow-origin" not in other.headers
        assert client.options(road, headers={**asked, "Origin": origin}).status_code == 405
