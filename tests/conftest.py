"""What every test stands on: the same examples on every machine, and nothing of the person's own environment."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

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
_NUMBERS = count()  # of ledgers


@pytest.fixture(autouse=True)
def _no_profile_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the person's own ORCH_PROFILE out of every test."""
    monkeypatch.delenv("ORCH_PROFILE", raising=False)


@pytest.fixture(autouse=True, scope="session")
def _no_home_of_the_person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What lies in a home by default (registry, ledger, checked models, locks) lies in one of the session.

    Its .cache is the person's: compiled kernels are shared, and processes of their own find them there.
    """
    cache, home = Path.home() / ".cache", tmp_path_factory.getbasetemp() / "home"
    cache.mkdir(parents=True, exist_ok=True)
    home.mkdir()
    (home / ".cache").symlink_to(cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_ledger_of_the_person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is tried by fixtures that several tests share is recorded in a ledger of the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTUM_TRADER_TRIALS", str(tmp_path_factory.getbasetemp() / "trials" / "shared"))
        yield


@pytest.fixture(autouse=True)
def _trials_in_a_folder_of_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a test tries is recorded in a ledger of its own, and never in the person's."""
    folder = tmp_path_factory.getbasetemp() / "trials" / str(next(_NUMBERS))
    monkeypatch.setenv("QUANTUM_TRADER_TRIALS", str(folder))
