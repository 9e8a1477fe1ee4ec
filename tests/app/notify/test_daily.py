"""The insight of a finished day and the alarms of the catalogue, from the journal of a real run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.notify.daily import alarms_of, insight_of_day
from quantum_trader.app.notify.notices import NoticeKind
from quantum_trader.lab.metrics.catalogue import Catalogue, load_catalogue
from quantum_trader.lab.metrics.metric import AlertRule

NOW = 1_700_000_000_000_000_000
HOUR = 3_600_000_000_000


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of some weeks."""
    folder = tmp_path_factory.mktemp("daily") / "run"
    words = ["run", "--from", "2018-03-01", "--to", "2018-03-20", "--model", "intraday-demo", "--pilot", "",
             "--state", str(folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return folder


def test_the_insight_of_a_day_is_one_notice(state: Path) -> None:
    """Its day, its summary, and what to do."""
    (found,) = insight_of_day(state, "2018-03-15")

    assert (found.kind, found.key) == (NoticeKind.INSIGHT, "2018-03-15")
    assert found.text.startswith("2018-03-15: ")
    assert len(found.text) > 40


def test_a_day_without_events_has_no_insight(state: Path) -> None:
    """Nor has a folder without a journal."""
    assert insight_of_day(state, "2019-01-01") == []
    assert insight_of_day(state / "missing", "2018-03-15") == []


def test_a_broken_rule_of_the_last_day_is_told_once_in_its_cool_down(state: Path) -> None:
    """By a catalogue with one rule that every day breaks and one that none does."""
    whole = load_catalogue()
    rules = {"trades": AlertRule(below=1e9, least_samples=0, cooldown_hours=6.0), "signals": AlertRule(above=1e9)}
    strict = Catalogue(whole.relations, {
        name: msgspec.structs.replace(whole.metrics[name], alert=rule) for name, rule in rules.items()
    })
    title = whole.metrics["trades"].title

    (first,) = alarms_of(state, NOW, strict)

    assert (first.kind, first.key) == (NoticeKind.ALERT, title)
    assert first.text.startswith(f"{title}: ")
    assert "below the limit" in first.text
    assert alarms_of(state, NOW + HOUR, strict) == []
    assert len(alarms_of(state, NOW + 6 * HOUR, strict)) == 1
    assert alarms_of(state / "missing", NOW, strict) == []
