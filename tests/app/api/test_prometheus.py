"""The metrics of a run: what they say, that their labels are bounded, and that Prometheus reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tests.app.api.asgi import get
from tests.app.notify.noted_run import NOW, NotedRun
from tests.app.notify.test_run_watch import RESULT

from quantum_trader.app.api.access import AccessSettings
from quantum_trader.app.api.prometheus import MOST_SYMBOLS, OTHERS, PREFIX, exposition
from quantum_trader.app.api.server import app_of
from quantum_trader.app.runs.model_state import ModelsState
from quantum_trader.app.runs.run_condition import Condition, RunCondition, run_condition
from quantum_trader.app.runs.status import HaltLine, PositionLine

HALT = HaltLine(kind="governor", reason="EMERGENCY", exit_path="resume")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunCondition:
    """A live run that makes progress, with everything that a status can say."""
    with NotedRun(tmp_path_factory.mktemp("metrics") / "run") as run:
        run.live()
        run.says(
            halts=(HALT,), in_doubt=2, dropped_events=3, lag_s=0.25, queue_fill=0.5, governor="DEFENSIVE",
            result=msgspec.structs.replace(RESULT, drawdown_pct=-4.0, deepest_drawdown_pct=-9.0, return_pct=12.0),
            models=ModelsState(models=(), silent_since_ns=NOW - 3_600 * 10**9), last_event_age_s=7.0,
        )
        return run_condition(run.folder, NOW + 2 * 10**9)


def values(found: RunCondition) -> dict[tuple[str, ...], float]:
    """(name, values of labels...) -> value, as Prometheus reads it; each once."""
    read: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(exposition(found, NOW + 2 * 10**9).decode()):
        for sample in family.samples:
            labels = (sample.labels[name] for name in sorted(sample.labels, reverse=True))  # symbol, then side
            key = (sample.name.removeprefix(PREFIX), *labels)
            assert key not in read
            read[key] = sample.value
    return read


def test_the_figures_of_the_status_are_told_in_base_units(found: RunCondition) -> None:
    """Ratios from 0 to 1, seconds, USDT."""
    told = values(found)

    expected = {
        "equity_usdt": 1000.0, "drawdown_ratio": 0.04, "deepest_drawdown_ratio": 0.09, "return_ratio": 0.12,
        "orders_in_doubt": 2.0, "dropped_events_total": 3.0, "decision_lag_seconds": 0.25, "queue_fill_ratio": 0.5,
        "status_age_seconds": 2.0, "equity_age_seconds": 12.0, "last_event_age_seconds": 7.0, "open_positions": 1.0,
        "unprotected_positions": 0.0, "open_orders": 1.0, "halts_in_force": 1.0, "requests_pending": 0.0,
        "models_silent_seconds": 3_590.0, "process_alive": 1.0, "run_progress": 1.0,
    }
    assert {name: told[name,] for name in expected} == pytest.approx(expected)
    assert told["halt_in_force", "governor"] == 1.0
    assert told["position_quantity", "BTCUSDT", "LONG"] == 0.5
    assert told["position_notional_usdt", "BTCUSDT", "LONG"] == 50.0


def test_one_state_of_each_set_holds(found: RunCondition) -> None:
    """The governor's level and what the run is doing."""
    told = values(found)

    assert [key[1] for key, value in told.items() if key[0] == "governor_level" and value] == ["DEFENSIVE"]
    assert {key[1] for key in told if key[0] == "run_condition"} == {one.value for one in Condition}
    assert [key[1] for key, value in told.items() if key[0] == "run_condition" and value] == ["running"]


def test_what_is_not_known_is_left_out(found: RunCondition) -> None:
    """Neither 0 nor NaN, which rules would take for a figure."""
    status = msgspec.structs.replace(
        found.status, equity=None, equity_ns=0, result=None, lag_s=None, governor=None, models=None,
        checkpoint_age_s=float("nan"),
    )
    told = {key[0] for key in values(msgspec.structs.replace(found, status=status))}

    assert not told & {
        "equity_usdt", "equity_age_seconds", "drawdown_ratio", "decision_lag_seconds", "governor_level",
        "models_silent_seconds", "checkpoint_age_seconds",
    }


@given(st.lists(st.builds(
    PositionLine, symbol=st.text(max_size=60), side=st.sampled_from(["LONG", "SHORT"]),
    qty=st.floats(allow_nan=True, allow_infinity=True), entry_price=st.floats(allow_nan=True),
    mark_price=st.floats(0.0, 1e9),
), max_size=12))
def test_symbols_of_any_letters_are_read_back(found: RunCondition, positions: list[PositionLine]) -> None:
    """Quotes, line ends, letters of any script and halves of them; no row comes twice."""
    status = msgspec.structs.replace(found.status, positions=tuple(positions))
    told = values(msgspec.structs.replace(found, status=status))

    assert told["open_positions",] == len(positions)
    assert all(len(key[1]) <= 40 for key in told if key[0] == "position_quantity")


def test_a_thousand_positions_are_a_hundred_rows_and_the_rest_in_one(found: RunCondition) -> None:
    """The largest by name; the sum is that of all."""
    positions = tuple(
        PositionLine(symbol=f"S{number}USDT", side="LONG", qty=1.0, entry_price=float(number + 1))
        for number in range(1000)
    )
    status = msgspec.structs.replace(found.status, positions=positions)
    told = values(msgspec.structs.replace(found, status=status))
    worth = {key[1]: value for key, value in told.items() if key[0] == "position_notional_usdt"}

    assert len(worth) == MOST_SYMBOLS + 1
    assert worth["S999USDT"] == 1000.0
    assert OTHERS in worth
    assert sum(worth.values()) == pytest.approx(500_500.0)


def test_the_road_gives_prometheus_text(tmp_path: Path) -> None:
    """With the type of the format, of a folder as it is now."""
    with NotedRun(tmp_path / "run") as run:
        run.says()
        status, kind, body = get(app_of(run.folder, AccessSettings(), lambda: NOW), "/metrics")

    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\nquantum_trader_process_alive 0.0\n" in body


def test_the_metrics_of_a_server_that_others_reach_need_a_token(tmp_path: Path) -> None:
    """Positions and equity are nobody's business."""
    with NotedRun(tmp_path / "run") as run:
        run.says()
        app = app_of(run.folder, AccessSettings(host="0.0.0.0", has_tls=True), lambda: NOW)
        status, _, body = get(app, "/metrics")

    assert status == 401
    assert b"equity" not in body


def test_promtool_finds_nothing_to_better(found: RunCondition) -> None:
    """Names, units, help texts and types as Prometheus wants them."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing (Debian package prometheus): the format is read by the parser alone")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition(found, NOW), capture_output=True, timeout=60, check=False
    )

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
