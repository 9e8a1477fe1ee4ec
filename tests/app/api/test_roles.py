"""The authorisation matrix: every road of the API with every role, on loopback and on an address that others reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.app.api.clients import bearer, client_of, refusal, token_of

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.endpoints import Endpoint
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.server import endpoints_of
from quantum_trader.app.api.stopping import Stopper
from quantum_trader.app.api.tokens import Role

ALL: list[Role | None] = [None, *Role]
OPEN = AccessSettings(host="0.0.0.0", has_tls=True)
OWNERS_ALONE = {"PUT /api/v1/gates", "PUT /api/v1/gates/{gate}", "PUT /api/v1/rollout/{switch}", "PUT /api/v1/pilot"}


def roads(folder: Path) -> list[Endpoint]:
    """Every road."""
    return endpoints_of(RunReader(folder), Stopper(folder))


def asked(client: Any, road: Endpoint, headers: dict[str, str]) -> Any:
    """One request whose values are refused where somebody may ask at all: nothing is changed here."""
    path = road.path.replace("{", "no-").replace("}", "")
    if road.body is None:
        return client.request(road.method, path, params={"nonsense": "1"}, headers=headers)
    return client.request(road.method, path, content=b"[]", headers={**headers, "Content-Type": "application/json"})


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize("settings", [AccessSettings(), OPEN], ids=["loopback", "others"])
def test_each_road_lets_in_the_roles_that_may(folder: Path, role: Role | None, settings: AccessSettings) -> None:
    """401 without a token where one is needed, 403 with one that does not suffice, else the values are looked at."""
    client = client_of(folder, settings)
    headers = bearer(token_of(folder, role)) if role is not None else {}
    for road in roads(folder):
        if road.role is None or road.has_own_login:
            continue
        is_open = settings.is_loopback and road.role is Role.VIEWER
        expected = 400
        if role is None and not is_open:
            expected = 401
        elif role is not None and not role.may(road.role):
            expected = 403
        answer = asked(client, road, headers)
        assert answer.status_code == expected, f"{road.method} {road.path} as {role}: {answer.text}"
        refusal(answer)


def test_what_changes_something_needs_a_trader_and_settings_an_owner(folder: Path) -> None:
    """No road that changes something is open to a viewer."""
    for road in roads(folder):
        name = f"{road.method} {road.path}"
        if road.is_read or road.has_own_login or not road.is_change:
            continue
        assert road.role is not None, name
        assert road.role.may(Role.TRADER), name
        assert (road.role is Role.OWNER) == (name in OWNERS_ALONE), name


def test_every_road_is_described_with_an_example(folder: Path, finished: Path) -> None:
    """The OpenAPI names its summary, what it needs, its answers and an example of each body."""
    document = json.loads(client_of(folder).get("/api/openapi.json").text)
    for road in roads(folder):
        told = document["paths"][road.path][road.method.lower()]
        assert told["summary"].endswith("."), road.path
        content = told["responses"]["200"]["content"]
        assert all("example" in one for one in content.values()), road.path
        assert {"400", "401", "403", "404", "409", "429", "503"} <= set(told["responses"])
        if road.body is not None:
            body = told["requestBody"]["content"]["application/json"]
            assert body["example"] == road.body_example
            assert body["schema"]
