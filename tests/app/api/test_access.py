"""Who may ask the API: host names, origins, tokens, roles, and how often a wrong token may be tried."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.app.api.clients import bearer, client_of, refusal, token_of
from typer.testing import CliRunner

from quantum_trader.app.api.access import AccessSettings, check_exposure, host_name, is_loopback
from quantum_trader.app.api.tokens import FILE_NAME, Role, TokenStore
from quantum_trader.app.cli.main import app
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, InputError, StateError

STATUS = "/api/v1/status"
HALT = "/api/v1/halt"
WHY = {"reason": "test"}
OPEN = AccessSettings(host="0.0.0.0", has_tls=True, names=("bot.example",))


def test_on_loopback_reading_needs_no_token_and_changing_does(client: TestClient, folder: Path) -> None:
    """The refusal says how to make one."""
    assert client.get(STATUS).status_code == 200
    status, code, message = refusal(client.post(HALT, json=WHY))
    assert (status, code) == (401, "unauthorized")
    assert "quantum-trader token new --role trader" in message
    assert not (folder / "operator.jsonl").exists()
    assert client.post(HALT, json=WHY, headers=bearer(token_of(folder, Role.TRADER))).status_code == 200
    assert "a-trader over the API" in (folder / "operator.jsonl").read_text()


def test_on_another_address_reading_needs_a_token_too(folder: Path) -> None:
    """Unless the operator makes reading public."""
    asked = client_of(folder, OPEN, address="203.0.113.9")
    assert refusal(asked.get(STATUS))[0] == 401
    assert asked.get(STATUS, headers=bearer(token_of(folder, Role.VIEWER))).status_code == 200
    public = client_of(folder, AccessSettings(host="0.0.0.0", has_tls=True, is_read_public=True))
    assert public.get(STATUS).status_code == 200
    assert refusal(public.post(HALT, json=WHY))[0] == 401


@pytest.mark.parametrize("road", ["/api/v1/trades", "/freqtrade/api/v1/count"])
def test_a_token_in_the_address_is_refused_and_not_repeated(folder: Path, road: str) -> None:
    """Addresses end up in logs; the refusal names the parameter alone."""
    token = token_of(folder, Role.OWNER)
    told = client_of(folder).get(f"{road}?token={token}")
    assert refusal(told)[0] == 400
    assert "token" in refusal(told)[2]
    assert token not in told.text


def test_behind_a_proxy_reading_on_loopback_can_need_a_token(folder: Path) -> None:
    """Whoever reaches the proxy reaches loopback."""
    asked = client_of(folder, AccessSettings(is_read_private=True))
    assert refusal(asked.get(STATUS))[0] == 401
    assert asked.get(STATUS, headers=bearer(token_of(folder, Role.VIEWER))).status_code == 200


@pytest.mark.parametrize("name", [
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil",
    "127.0.0.1:80@evil.example", "[::1]evil.example", "[::1", "localhost:80.evil.example",
])
def test_another_host_name_is_refused(client: TestClient, name: str) -> None:
    """A page whose name was pointed at this machine (DNS rebinding) reads nothing."""
    assert refusal(client.get(STATUS, headers={"Host": name}))[:2] == (421, "unknown_host")


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_the_names_of_loopback_are_known(client: TestClient, name: str) -> None:
    """With and without a port."""
    assert client.get(STATUS, headers={"Host": name}).status_code == 200


def test_a_server_that_others_reach_has_the_names_it_was_given(folder: Path) -> None:
    """And its addresses, which nobody can point elsewhere."""
    asked, token = client_of(folder, OPEN), bearer(token_of(folder, Role.VIEWER))
    for name in ("bot.example", "bot.example:8000", "192.0.2.7:8000", "[2001:db8::1]"):
        assert asked.get(STATUS, headers={**token, "Host": name}).status_code == 200, name
    assert refusal(asked.get(STATUS, headers={**token, "Host": "other.example"}))[0] == 421


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost:8000"}, {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
])
def test_a_page_of_another_origin_changes_nothing(client: TestClient, folder: Path, headers: dict[str, str]) -> None:
    """Not even with the token of an owner."""
    token = bearer(token_of(folder, Role.OWNER))
    assert refusal(client.post(HALT, json=WHY, headers={**token, **headers}))[:2] == (403, "forbidden")
    assert not (folder / "operator.jsonl").exists()


def test_a_page_of_the_own_origin_may(client: TestClient, folder: Path) -> None:
    """The dashboard is one."""
    headers = {**bearer(token_of(folder, Role.TRADER)), "Origin": "http://127.0.0.1:8000"}
    assert client.post(HALT, json=WHY, headers=headers).status_code == 200


def test_no_answer_is_open_to_other_origins(client: TestClient) -> None:
    """There is no CORS, also not for a preflight."""
    for answer in (
        client.get(STATUS, headers={"Origin": "https://evil.example"}),
        client.options(HALT, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert client.get(STATUS).headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_is_no_change(client: TestClient, folder: Path, kind: str) -> None:
    """What a page can send without asking first is refused by its type."""
    headers = {**bearer(token_of(folder, Role.OWNER)), "Content-Type": kind}
    assert refusal(client.post(HALT, content=b'{"reason":"x"}', headers=headers))[0] == 415


def test_wrong_tokens_are_limited_and_the_right_one_is_let_in(folder: Path) -> None:
    """Guesses never keep the owner from stopping the run."""
    now = [1_700_000_000 * NS_PER_SECOND]
    asked = client_of(folder, now_ns=lambda: now[0])
    right = bearer(token_of(folder, Role.TRADER))
    for _ in range(10):
        assert refusal(asked.get(STATUS, headers=bearer("qt_wrong_token")))[0] == 401
    answer = asked.get(STATUS, headers=bearer("qt_wrong_token"))
    assert refusal(answer)[:2] == (429, "too_many_requests")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert asked.post(HALT, json=WHY, headers=right).status_code == 200
    now[0] += 61 * NS_PER_SECOND
    assert refusal(asked.get(STATUS, headers=bearer("qt_wrong_token")))[0] == 401


def test_wrong_tokens_of_one_address_do_not_count_for_another(folder: Path) -> None:
    """They are counted by address."""
    for _ in range(11):
        client_of(folder).get(STATUS, headers=bearer("x"))
    assert refusal(client_of(folder, address="127.0.0.2").get(STATUS, headers=bearer("x")))[0] == 401


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer ", "qt_x", "bearer\t"])
def test_another_scheme_is_refused(client: TestClient, header: str) -> None:
    """With the form that is right."""
    assert "Bearer TOKEN" in refusal(client.get(STATUS, headers={"Authorization": header}))[2]


def test_a_revoked_token_is_refused_at_once(client: TestClient, folder: Path) -> None:
    """Without a restart of the server."""
    token = bearer(token_of(folder, Role.TRADER, "phone"))
    assert client.post(HALT, json=WHY, headers=token).status_code == 200
    TokenStore(folder).revoke("phone", 2)
    assert refusal(client.post(HALT, json=WHY, headers=token))[0] == 401


def test_a_damaged_file_of_tokens_lets_nobody_in(client: TestClient, folder: Path) -> None:
    """And says what to do."""
    token = bearer(token_of(folder, Role.OWNER))
    (folder / FILE_NAME).write_text("{")
    status, code, message = refusal(client.post(HALT, json=WHY, headers=token))
    assert (status, code) == (503, "unavailable")
    assert "token new" in message


def test_others_reach_no_server_without_tls_and_a_token(folder: Path) -> None:
    """Either is named with what to do."""
    plain = AccessSettings(host="192.0.2.7")
    with pytest.raises(ConfigError, match="--tls-cert"):
        check_exposure(plain, TokenStore(folder), without_tls=False)
    with pytest.raises(ConfigError, match="token new"):
        check_exposure(plain, TokenStore(folder), without_tls=True)
    token_of(folder, Role.VIEWER)
    check_exposure(plain, TokenStore(folder), without_tls=True)
    check_exposure(AccessSettings(), TokenStore(folder / "nothing"), without_tls=False)


def test_loopback_is_every_address_of_the_machine_itself() -> None:
    """And no other."""
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.nip.io")))
    assert [host_name(one) for one in ("[::1]:80", "A.b:1", "::1")] == ["[::1]", "a.b", ""]


# ---- tokens ---------------------------------------------------------------------------------------------------------
def test_the_file_keeps_no_secret_and_is_private(folder: Path) -> None:
    """Only hashes, mode 0600."""
    text = token_of(folder, Role.OWNER)
    file = folder / FILE_NAME
    assert text not in file.read_text()
    assert text.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_names_are_unique_among_valid_tokens(folder: Path) -> None:
    """A revoked one's name is free again; a bad name is refused."""
    store = TokenStore(folder)
    store.new("phone", Role.VIEWER, 1)
    with pytest.raises(InputError, match="a valid token has it"):
        store.new("phone", Role.OWNER, 2)
    ended = store.revoke("phone", 3)
    assert ended.revoked_ns == 3
    assert store.new("phone", Role.TRADER, 4)[0].role is Role.TRADER
    for bad in ("", "a b", "x" * 41, "../x", "-x", "ü"):
        with pytest.raises(InputError, match="use letters"):
            store.new(bad, Role.VIEWER, 5)
    with pytest.raises(InputError, match="valid are: phone"):
        store.revoke("tablet", 6)


def test_roles_are_in_order() -> None:
    """Each may do what the ones before it may."""
    assert [[one.may(needed) for needed in Role] for one in Role] == [
        [True, False, False], [True, True, False], [True, True, True],
    ]


def test_a_link_in_the_place_of_the_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Nobody lets the server read tokens of another folder."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    token_of(other, Role.OWNER)
    (folder / FILE_NAME).symlink_to(other / FILE_NAME)
    with pytest.raises((StateError, OSError)):
        TokenStore(folder).all()


def test_the_command_makes_lists_and_revokes(folder: Path) -> None:
    """The text is shown once; JSON says the same."""
    runner = CliRunner()

    def call(*words: str) -> str:
        result = runner.invoke(app, ["token", *words, "--state", str(folder), "--json"])
        assert result.exit_code == 0, result.output
        return result.stdout

    made = json.loads(call("new", "--role", "trader", "--name", "phone"))
    assert TokenStore(folder).find(made["token"]) is not None
    listed = json.loads(call("list"))
    assert [(one["name"], one["role"], one["revoked"]) for one in listed] == [("phone", "trader", None)]
    assert made["token"] not in call("list")
    assert json.loads(call("revoke", made["id"]))["name"] == "phone"
    assert TokenStore(folder).find(made["token"]) is None
    wrong = runner.invoke(app, ["token", "new", "--role", "admin", "--state", str(folder)])
    assert wrong.exit_code == 2
    assert "viewer, trader, owner" in wrong.stderr


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_what_a_proxy_hands_on_needs_a_token_also_on_loopback(client: TestClient, folder: Path, header: str) -> None:
    """It comes from others, though the connection is this machine's; freqtrade's roads and the sockets too."""
    proxied = {header: "203.0.113.9"}
    assert refusal(client.get(STATUS, headers=proxied))[0] == 401
    assert refusal(client.get("/freqtrade/api/v1/status", headers=proxied))[0] == 401
    assert client.get(STATUS, headers={**proxied, **bearer(token_of(folder, Role.VIEWER))}).status_code == 200
    with client.websocket_connect("/freqtrade/api/v1/message/ws", headers={**proxied, "Host": "127.0.0.1"}) as one:
        assert one.receive()["code"] == 1008


def test_a_login_that_is_no_base64_is_refused(client: TestClient) -> None:
    """In one format."""
    headers = {b"Authorization": b"Basic \xff\xfe"}
    assert refusal(client.post("/freqtrade/api/v1/token/login", headers=headers))[0] == 401
