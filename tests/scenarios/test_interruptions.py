"""A run that is stopped half-way, with what may change or break before it goes on; entries that fill in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quantum_trader.app.runs import replay as runner
from quantum_trader.app.runs.operator_requests import FILE_NAME, Action, OperatorRequest, OperatorRequests, ask
from quantum_trader.app.runs.replay import memory_run, run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.errors import StateError
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.policy.rollout_file import RolloutFile

SPAN = {"data.start": "2018-01-01", "data.end": "2018-01-31", "models": ({"model": "intraday-demo"},)}


class StoppedError(Exception):
    """The process ends here."""


def settings(**more: Any) -> RunSettings:
    """A month of the bundled bars with a few settings changed."""
    return load_settings(None, {key: (value, "test") for key, value in {**SPAN, **more}.items()}).settings


def half_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch, chosen: RunSettings) -> None:
    """Run the first hundred moments, with a checkpoint at every look, and stop there without one."""
    monkeypatch.setattr(runner, "_CHECKPOINT_EVERY_S", -1.0)
    moments = []

    def pace(ts_ns: int) -> None:
        moments.append(ts_ns)
        if len(moments) == 100:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(chosen, RunOptions(state_dir=folder), pace=pace)


def test_records_that_were_cut_are_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records shorter than the checkpoint says are an error, and are not filled up."""
    half_a_run(tmp_path, monkeypatch, settings())
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StateError, match="shorter than its checkpoint says"):
        run(settings(), RunOptions(state_dir=tmp_path))
    assert path.stat().st_size == 50


def test_records_that_were_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte changed in what the checkpoint covers is an error."""
    half_a_run(tmp_path, monkeypatch, settings())
    path = tmp_path / "records.jsonl"
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StateError, match="not what its checkpoint was made with"):
        run(settings(), RunOptions(state_dir=tmp_path))


def test_a_rollback_while_stopped_is_in_force_before_the_first_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first moment after the restart already runs in OBSERVE."""
    chosen = settings(**{"rollout.mode": "LIVE", "rollout.use_for_trading_gate": True})
    half_a_run(tmp_path, monkeypatch, chosen)
    file = RolloutFile(tmp_path)
    file.write(msgspec.structs.replace(
        file.state, config=OrchestratorIntegrationConfig.create_observe_mode(), revision=file.state.revision + 1
    ))
    seen: list[bool] = []
    take = runner._take_requests

    def looked(session: Any, now_ns: int) -> int:
        seen.append(session.engine.policy.integration.use_for_trading_gate)
        return take(session, now_ns)

    monkeypatch.setattr(runner, "_take_requests", looked)
    run(chosen, RunOptions(state_dir=tmp_path))
    assert seen[0] is False


def test_a_folder_from_when_the_intraday_models_were_the_default_goes_on_under_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings name no model. Without a name it is refused, and the message says what to give."""
    unnamed = msgspec.structs.replace(settings(), models=())
    half_a_run(tmp_path / "old", monkeypatch, unnamed)
    with pytest.raises(StateError) as refused:
        run(settings(models=()), RunOptions(state_dir=tmp_path / "old"))
    assert 'models = ["intraday-demo"], now ["tsmom_fast"' in str(refused.value)
    assert "continue with --model intraday-demo" in str(refused.value)
    run(settings(), RunOptions(state_dir=tmp_path / "old"))
    _, whole = memory_run(unnamed)
    assert (tmp_path / "old" / "records.jsonl").read_bytes().splitlines() == whole.lines
    with pytest.raises(StateError, match="account.start_equity"):
        run(settings(**{"account.start_equity": 500.0}), RunOptions(state_dir=tmp_path / "old"))


def test_a_request_after_a_torn_one_is_not_lost(tmp_path: Path) -> None:
    """A line that a full disk cut short is passed over; the request appended after it is taken."""
    (tmp_path / "lock").touch()
    (tmp_path / FILE_NAME).write_bytes(b'{"action":"re')
    wanted = OperatorRequest(action=Action.HALT, reason="now", actor="me", ts_ns=1)
    ask(tmp_path, wanted)
    assert OperatorRequests(tmp_path, 0).poll() == [wanted]


def test_entries_that_fill_in_parts_never_fill_after_their_intent_has_expired() -> None:
    """With a small share of each bar's volume no trade is opened again after its end, and no stop is loosened."""
    _, sink = memory_run(settings(**{"venue.participation": 0.00005}))
    records = [msgspec.json.decode(line) for line in sink.lines]
    expiry = {r["data"]["intent_id"]: r["data"]["expires_ns"] for r in records if r["topic"] == "trade.intent"}
    orders = {r["data"]["client_order_id"]: r["data"] for r in records if r["topic"] == "order.submitted"}
    parts = [r["data"] for r in records if r["topic"] == "order.filled" and r["data"]["client_order_id"] in orders]
    openings = [fill for fill in parts if not orders[fill["client_order_id"]]["reduce_only"]]
    assert any(fill["qty"] < orders[fill["client_order_id"]]["qty"] for fill in openings)
    for fill in openings:
        assert fill["ts_ns"] <= expiry[orders[fill["client_order_id"]]["intent_id"]]
    traces = [r["trace_id"] for r in records if r["topic"] == "trade.closed"]
    assert len(traces) == len(set(traces)) > 0
