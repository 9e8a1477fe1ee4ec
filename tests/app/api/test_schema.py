"""Schemathesis over the whole OpenAPI: whatever is asked, no failure of the server, and every answer as described."""

from __future__ import annotations

import shutil
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
from tests.app.api.clients import bearer, token_of

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.endpoints import OPENAPI
from quantum_trader.app.api.server import app_of
from quantum_trader.app.api.tokens import Role

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SLOW = {"/api/v1/signals/{signal_id}", "/api/v1/insights", "/api/v1/metrics", "/api/v1/journal/sql"}  # seconds each


@pytest.fixture(scope="module")
def served(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """The application of a folder that may be changed, and an owner's token."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("schema") / "run"))
    return app_of(folder, AccessSettings()), token_of(folder, Role.OWNER)


def every(app: Any) -> list[Any]:
    """Every operation of the OpenAPI."""
    schema = schemathesis.openapi.from_asgi(OPENAPI, app, headers={"Host": "127.0.0.1"})
    return [one.ok() for one in schema.get_all_operations()]


@pytest.mark.parametrize("examples", [4, pytest.param(60, marks=pytest.mark.long)])
def test_no_request_makes_the_server_fail(served: tuple[Any, str], examples: int) -> None:
    """Each road with examples made from its own description, and against it."""
    app, token = served
    headers = {**bearer(token), "Host": "127.0.0.1"}
    operations = every(app)
    assert len(operations) > 40
    for operation in operations:
        few = max(1, examples // 4) if operation.path in SLOW else examples

        @settings(max_examples=few, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck),
                  database=None)
        @given(case=operation.as_strategy())
        def asks(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        asks()

