"""The dashboard and the alert rules: every metric that they name is one that the program exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.app.notify.noted_run import NOW, NotedRun
from tests.app.notify.test_run_watch import RESULT

from quantum_trader.app.api.prometheus import exposition
from quantum_trader.app.runs.model_state import ModelsState
from quantum_trader.app.runs.run_condition import run_condition
from quantum_trader.app.runs.status import HaltLine

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
NAME = re.compile(r"\bquantum_trader_\w+")
HAS_PROMTOOL = shutil.which("promtool") is not None
NO_PROMTOOL = "promtool is missing (Debian package prometheus): rules are read as YAML alone"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of the samples of a run that says everything, with the names of their labels."""
    with NotedRun(tmp_path_factory.mktemp("monitoring") / "run") as run:
        run.live()
        run.says(
            halts=(HaltLine(kind="governor", reason="x", exit_path="y"),), result=RESULT, last_event_age_s=1.0,
            models=ModelsState(models=(), silent_since_ns=NOW - 10**12),
        )
        (run.folder / "checkpoint").write_bytes(b"")
        text = exposition(run_condition(run.folder, NOW), NOW).decode()
    return {
        sample.name: set(sample.labels) for family in text_string_to_metric_families(text) for sample in family.samples
    }


def dashboard() -> dict[str, Any]:
    """The dashboard's document."""
    document: dict[str, Any] = json.loads((DEPLOY / "grafana" / "quantum-trader.json").read_text())
    return document


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    """Every expression of the dashboard and of the rules."""
    board = dashboard()
    yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])
    yield from (one["expr"] for one in board["annotations"]["list"] if "expr" in one)
    yield from (one["definition"] for one in board["templating"]["list"] if one["type"] == "query")
    yield from (rule["expr"] for rule in rules())


def test_every_metric_that_is_asked_for_is_exported(exported: dict[str, set[str]]) -> None:
    """A renamed metric would leave a panel empty and an alert silent."""
    asked = {name for expression in expressions() for name in NAME.findall(expression)}

    assert len(asked) >= 20
    assert asked <= set(exported)


def test_every_metric_is_shown_or_watched(exported: dict[str, set[str]]) -> None:
    """But for those that only say which run it is, and those of which another tells the same."""
    asked = {name for expression in expressions() for name in NAME.findall(expression)}

    assert {name.removeprefix("quantum_trader_") for name in set(exported) - asked} == {
        "run_info", "process_alive", "checkpoint_age_seconds", "problems", "open_positions", "profit_usdt",
        "return_ratio",
    } - {name.removeprefix("quantum_trader_") for name in asked}


def test_labels_that_are_asked_for_are_exported(exported: dict[str, set[str]]) -> None:
    """Those of the scrape, job and instance, come from Prometheus."""
    for expression in expressions():
        for name, inside in re.findall(r"\b(quantum_trader_\w+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)\s*[=!]", inside)) - {"job", "instance"}
            assert labels <= exported[name], expression


def test_the_dashboard_is_one_that_grafana_11_and_12_import() -> None:
    """Schema, ids, places and a data source that is chosen at the import."""
    board = dashboard()
    panels = board["panels"]

    assert board["schemaVersion"] in (39, 40, 41)
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    assert all(panel["type"] in {"stat", "timeseries", "table"} for panel in panels)
    cells = [
        (x, y) for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "no panel lies on another"
    assert max(x for x, _ in cells) < 24


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    """And how urgent it is."""
    for rule in rules():
        assert re.fullmatch(r"QuantumTrader[A-Z]\w+", rule["alert"])
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


@pytest.mark.skipif(not HAS_PROMTOOL, reason=NO_PROMTOOL)
def test_promtool_takes_rules_and_configuration() -> None:
    """Expressions, templates and durations."""
    for words in (["check", "rules", str(RULES)], ["check", "config", str(RULES.parent / "prometheus.yml")]):
        checked = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


SERIES = "{job='quantum-trader', instance='a'}"
FIRES: list[tuple[str, dict[str, str], str]] = [  # alert, series, when it fires and not a minute before
    ("QuantumTraderUnreachable", {"up": "0x20"}, "2m"),
    ("QuantumTraderNoProgress", {"quantum_trader_run_progress": "0x20", "quantum_trader_open_positions": "1x20"}, "2m"),
    ("QuantumTraderUnprotectedPosition", {"quantum_trader_unprotected_positions": "1x20"}, "1m"),
    ("QuantumTraderNotReconciled", {"quantum_trader_unreconciled_seconds": "181x20"}, "1m"),
    ("QuantumTraderHalted", {"quantum_trader_entries_halted": "1x40"}, "15m"),
]
SILENT: list[tuple[str, dict[str, str]]] = [
    ("QuantumTraderNoProgress", {"quantum_trader_run_progress": "0x20", "quantum_trader_open_positions": "0x20"}),
    ("QuantumTraderNoProgress", {"quantum_trader_run_progress": "1x20", "quantum_trader_open_positions": "3x20"}),
    ("QuantumTraderQueueFull", {"quantum_trader_queue_fill_ratio": "0.8x20"}),
    ("QuantumTraderEventsLost", {"quantum_trader_dropped_events_total": "7x20"}),
]


@pytest.mark.skipif(not HAS_PROMTOOL, reason=NO_PROMTOOL)
def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """On series of figures, judged by Prometheus itself."""
    def case(alert: str, series: dict[str, str], at: str, fires: bool) -> dict[str, Any]:
        critical = {rule["alert"]: rule["labels"]["severity"] for rule in rules()}[alert]
        expected = [{"exp_labels": {"severity": critical, "job": "quantum-trader", "instance": "a"}}] if fires else []
        return {
            "interval": "1m",
            "input_series": [{"series": f"{name}{SERIES}", "values": value} for name, value in series.items()],
            "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
        }

    tests = [case(alert, series, at, True) for alert, series, at in FIRES]
    tests += [case(alert, series, f"{int(at[:-1]) - 1}m", False) for alert, series, at in FIRES]
    tests += [case(alert, series, "18m", False) for alert, series in SILENT]
    plain = yaml.safe_load(RULES.read_text())
    for rule in plain["groups"][0]["rules"]:
        rule.pop("annotations")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(plain))
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))

    checked = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
