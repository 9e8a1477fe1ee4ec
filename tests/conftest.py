"""What every test stands on: the same examples on every machine, and no setting from the person's environment."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# The first example may compile kernels: no deadline.
settings.register_profile(
    "quick", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", settings.get_profile("quick"), derandomize=False, max_examples=500, print_blob=True
)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _no_profile_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the person's own ORCH_PROFILE out of every test."""
    monkeypatch.delenv("ORCH_PROFILE", raising=False)
