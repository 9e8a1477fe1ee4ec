"""Every decision is timed while it is made, kept beside the records, and shown by `trace show`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs import trace_file
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.runs.trace_file import FILE_NAME, TraceFile, measured, road_of
from quantum_trader.app.settings import load_settings
from quantum_trader.journal.tracer import Span, Trace, analyze


def trace(name: str) -> Trace:
    """A finished trace."""
    span = Span(name="signal", start_ns=0, end_ns=10, outcome="OK", facts={"reason": "x" * 200})
    return Trace(trace_id=name, symbol="BTCUSDT", start_ns=0, end_ns=10, outcome="DONE", spans=(span,))


def test_every_decision_of_a_run_is_timed_and_shown(tmp_path: Path) -> None:
    """As many traces as signals that ended; one is drawn with what took its time on this machine."""
    settings = load_settings(None, {
        "data.start": ("2018-01-01", "test"), "data.end": ("2018-02-10", "test"),
        "policy.profile": ("STANDARD", "test"), "models": (({"model": "intraday-demo"},), "test"),
    }).settings
    result = run(settings, RunOptions(state_dir=tmp_path))
    lines = [msgspec.json.decode(line, type=Trace) for line in (tmp_path / FILE_NAME).read_bytes().splitlines()]
    closed = [one for one in lines if one.outcome == "CLOSED"]
    blocked = {one.trace_id for one in lines if one.outcome.startswith("BLOCKED")}
    assert len({one.trace_id for one in closed}) == len(result.facts.trades) > 0
    assert len(blocked) == sum(result.facts.refusals.values()) > 0
    road = analyze(road_of(closed[0]))
    assert [span.name for span in road.spans][:3] == ["signal", "gates", "sizing"]
    assert road.bottleneck
    assert road.total_ns > 0
    shown = CliRunner().invoke(app, ["trace", "show", closed[0].trace_id, "--state", str(tmp_path)])
    assert "measured" in shown.output


def test_the_file_is_bounded_and_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full its older half goes."""
    monkeypatch.setattr(trace_file, "_MOST_BYTES", 4_000)
    file = TraceFile(tmp_path)
    for number in range(40):
        file.add(trace(f"t{number}"))
        file.flush()
    assert (tmp_path / FILE_NAME).stat().st_size <= 4_400
    assert measured(tmp_path, "t39") is not None
    assert measured(tmp_path, "t0") is None
