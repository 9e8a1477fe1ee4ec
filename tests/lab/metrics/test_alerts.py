"""Alarms: a value that breaks its rule is told once in each cool-down, to the log and to every notifier."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.lab.metrics.alerts import TOLD_FILE, AlertDesk, broken_rules
from quantum_trader.lab.metrics.catalogue import Catalogue, load_catalogue
from quantum_trader.lab.metrics.finished_days import FOLDER
from quantum_trader.lab.metrics.metric import AlertRule
from quantum_trader.lab.metrics.values import MetricKey, MetricSnapshot, MetricValue

DAY, NOW = "2026-11-27", 1_795_000_000_000_000_000


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str, str]] = []

    def notify(self, title: str, text: str, level: str) -> None:
        """Keep it."""
        self.texts.append((title, text, level))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Two rules: slippage above 20 bps of 20 fills or more, profit below -500."""
    whole = load_catalogue()
    rules = {
        "slippage_bps": AlertRule(above=20.0, least_samples=20, cooldown_hours=6.0),
        "pnl_total": AlertRule(below=-500.0),
    }
    return Catalogue(whole.relations, {
        name: msgspec.structs.replace(whole.metrics[name], alert=rule) for name, rule in rules.items()
    })


def snapshot(catalogue: Catalogue, slippage: float | None, pnl: float, samples: int = 20) -> MetricSnapshot:
    """A day with these two values."""
    values = [
        MetricValue(key=MetricKey("slippage_bps", DAY), value=slippage, samples=samples),
        MetricValue(key=MetricKey("pnl_total", DAY), value=pnl, samples=3),
    ]
    return MetricSnapshot(catalogue.metrics, values, DAY)


@pytest.mark.parametrize(("slippage", "pnl", "samples", "broken"), [
    (20.0, -500.0, 20, []), (20.1, -500.0, 20, ["slippage_bps"]), (20.1, -500.1, 20, ["slippage_bps", "pnl_total"]),
    (99.0, 0.0, 19, []), (None, 0.0, 20, []), (-99.0, 9999.0, 20, []),
])
def test_a_value_breaks_its_rule_beyond_the_limit_with_enough_samples(
    catalogue: Catalogue, slippage: float | None, pnl: float, samples: int, broken: list[str]
) -> None:
    """At the limit nothing; no data and too few samples nothing; the other side nothing."""
    assert [one.key.metric for one in broken_rules(snapshot(catalogue, slippage, pnl, samples))] == broken


def test_an_alarm_is_told_once_in_each_cool_down(
    tmp_path: Path, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    """Also by another desk of the same folder; each rule has its own cool-down."""
    alerts, heard = broken_rules(snapshot(catalogue, 25.0, -600.0)), Heard()
    with caplog.at_level(logging.WARNING):
        told = [
            [one.key.metric for one in AlertDesk(tmp_path, catalogue, [heard]).tell(alerts, NOW + hours * NS_PER_HOUR)]
            for hours in (0, 5, 6, 23, 24)
        ]
    assert told == [["slippage_bps", "pnl_total"], [], ["slippage_bps"], ["slippage_bps"], ["pnl_total"]]
    assert len(heard.texts) == len(caplog.records) == 5
    assert heard.texts[0] == (
        "Mean slippage", "+25.0 bps, above the limit of +20.0 bps (slippage_bps@2026-11-27, 20 samples)", "WARNING",
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"{\"slippage_bps:above\": \"x\"}", b"\xff"])
def test_a_damaged_note_counts_as_none(tmp_path: Path, catalogue: Catalogue, content: bytes) -> None:
    """An alarm told twice is better than one that is not told."""
    tmp_path.chmod(0o700)
    (tmp_path / FOLDER).mkdir(mode=0o700)
    (tmp_path / FOLDER / TOLD_FILE).write_bytes(content)
    alerts = broken_rules(snapshot(catalogue, 25.0, 0.0))
    assert AlertDesk(tmp_path, catalogue).tell(alerts, NOW) == alerts
    assert AlertDesk(tmp_path, catalogue).tell(alerts, NOW + 1) == []


def test_a_note_of_a_clock_that_was_ahead_silences_nothing(tmp_path: Path, catalogue: Catalogue) -> None:
    """An alarm noted in the future is told now."""
    alerts = broken_rules(snapshot(catalogue, 25.0, 0.0))
    AlertDesk(tmp_path, catalogue).tell(alerts, NOW + 1000 * NS_PER_HOUR)
    assert AlertDesk(tmp_path, catalogue).tell(alerts, NOW) == alerts
