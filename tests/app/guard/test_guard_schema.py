"""Schemathesis over the guard's OpenAPI: whatever is asked, no failure of the server, and every answer as described."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.app.guard.bars import NOW_NS, store_bars

from quantum_trader.app.api.access import Access, AccessSettings
from quantum_trader.app.api.endpoints import OPENAPI
from quantum_trader.app.api.guard import first_token, guard_app
from quantum_trader.app.api.tokens import TokenStore
from quantum_trader.app.guard.bots import GuardSettings
from quantum_trader.app.guard.markets import BarFolder
from quantum_trader.app.guard.service import GuardService

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[tuple[Any, str]]:
    """The application of a guard, and the bots' token."""
    state = tmp_path / "state"
    service = GuardService(
        state, GuardSettings(profile="SAFE"), BarFolder(store_bars(tmp_path / "bars")), lambda: NOW_NS
    )
    token = first_token(state, NOW_NS)
    assert token is not None
    app = guard_app(service, Access(AccessSettings(), TokenStore(state), lambda: NOW_NS))
    yield app, token.read_text().strip()
    service.close()


@pytest.mark.parametrize("examples", [25, pytest.param(500, marks=pytest.mark.long)])
def test_no_question_makes_the_guard_fail(guard: tuple[Any, str], examples: int) -> None:
    """Each road with examples made from its own description, and against it."""
    app, token = guard
    schema = schemathesis.openapi.from_asgi(OPENAPI, app, headers={"Host": "127.0.0.1"})
    operations = [one.ok() for one in schema.get_all_operations()]
    assert {one.path for one in operations} == {"/v1/decide", "/v1/fills", "/v1/status"}
    for operation in operations:
        @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
                  database=None)
        @given(case=operation.as_strategy())
        def asks(case: Any) -> None:
            case.call_and_validate(
                headers={"Authorization": f"Bearer {token}", "Host": "127.0.0.1"}, checks=CHECKS
            )

        asks()
