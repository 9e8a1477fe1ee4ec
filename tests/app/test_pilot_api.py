"""The router of the pilot's live status, on a state folder that a recorder has filled."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.pilot_run import FIRST_NS, record_days, record_intent, recording

from quantum_trader.domain.clock import NS_PER_SECOND, iso
from quantum_trader.domain.errors import StateError
from quantum_trader.live.pilot_metrics import RLv3LiveStatusResponse, RLv3MetricsStore
from quantum_trader.policy import PolicyStore
from quantum_trader.policy.policy_store_file import STORE_FILE

pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("httpx2", reason="FastAPI's TestClient needs it")
from fastapi import FastAPI
from fastapi.testclient import TestClient

from quantum_trader.app.api.pilot_status import pilot_router

URL = "/api/v1/rl-v3/dashboard/live-status"


def client(source: RLv3MetricsStore | Path, clock: list[int] | None = None) -> TestClient:
    """A client of a server with the router of *source*."""
    app = FastAPI()
    app.include_router(pilot_router(source, (lambda: clock[0]) if clock is not None else (lambda: 0)))
    return TestClient(app)


def test_a_state_folder_answers_its_settings_and_its_journal(tmp_path: Path) -> None:
    """Exactly the published fields; a change is known within 10 seconds."""
    with recording(tmp_path) as recorder:
        record_days(recorder, 2, 0.0, 0.0)
        record_intent(recorder, 1, FIRST_NS)
    seconds = [0]
    asked = client(tmp_path, seconds)
    first = asked.get(URL)

    assert first.status_code == 200
    assert tuple(first.json()) == RLv3LiveStatusResponse.__struct_fields__
    assert first.json() == {
        "enabled": True, "mode": "SHADOW", "min_confidence": 0.6, "trade_intents_total": 1,
        "trade_intents_executed": 1, "shadow_decisions": 4, "last_decision_at": iso(FIRST_NS + 90_000 * NS_PER_SECOND),
        "last_trade_intent_at": iso(FIRST_NS),
    }

    PolicyStore(tmp_path / STORE_FILE).change({"min_confidence": 0.8}, seen_version=None, actor="ann", reason="test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantum_trader.policy.policy_store.CACHED_NS", 0)
        assert asked.get(URL).json()["min_confidence"] == 0.8


def test_a_store_in_memory_answers_at_once() -> None:
    """What it has taken up to now."""
    store = RLv3MetricsStore()
    asked = client(store)
    before = asked.get(URL).json()["shadow_decisions"]
    store.record_live_decision({"ts_ns": 1, "symbol": "BTCUSDT", "action": "HOLD", "confidence": 0.5})

    assert (before, asked.get(URL).json()["shadow_decisions"]) == (0, 1)


def test_a_folder_that_is_not_there_is_refused_and_one_that_goes_is_told(tmp_path: Path) -> None:
    """Refused when the router is made; 503 with the reason later."""
    with pytest.raises(StateError, match="no such folder"):
        pilot_router(tmp_path / "none")
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    asked = client(folder)
    folder.rmdir()
    answered = asked.get(URL)

    assert answered.status_code == 503
    assert "no such folder" in answered.json()["detail"]
