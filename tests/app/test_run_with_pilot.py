"""A run with a pilot: recorded beside the signals, resumed and replayed to the byte, set by the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.pilot.made_pilot import saved, untrained

from quantum_trader.app.report.pilot import pilot_lines, pilot_section
from quantum_trader.app.runs.journal_commands import replay
from quantum_trader.app.runs.pilot_run import PILOT_FOLDER, pilot_store
from quantum_trader.app.runs.replay import Run, memory_run, run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, PilotOptions, RunSettings, load_settings
from quantum_trader.domain.clock import to_ns
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.pilot.artefact import load_artefact, save_artefact

CHILD = """
import sys, pathlib, time
import quantum_trader.app.runs.replay as runner
runner._CHECKPOINT_EVERY_S = 0.02
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, PilotOptions, RunSettings
from quantum_trader.domain.clock import to_ns
from quantum_trader.domain.enums import PilotMode
settings = RunSettings(
    data=DataSettings(start="2018-01-01", end="2018-01-20"),
    pilot=PilotOptions(model=sys.argv[2], mode=PilotMode(sys.argv[3]), min_confidence=0.0),
)
print("go", flush=True)
runner.run(settings, RunOptions(state_dir=pathlib.Path(sys.argv[1])), pace=lambda ns: time.sleep(0.002))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained pilot."""
    return saved(tmp_path_factory.mktemp("pilot"))


def settings(
    model: Path | str, mode: PilotMode = PilotMode.SHADOW, end: str = "2018-01-20", **more: Any
) -> RunSettings:
    """Three weeks of the bundled bars beside a pilot."""
    return RunSettings(
        data=DataSettings(start="2018-01-01", end=end), pilot=PilotOptions(model=str(model), mode=mode, **more)
    )


def records(folder: Path) -> list[dict[str, Any]]:
    """Every record of a state folder."""
    return [msgspec.json.decode(line) for line in (folder / "records.jsonl").read_bytes().splitlines()]


def has_grown(folder: Path) -> bool:
    """Whether a run in *folder* is some days in."""
    file = folder / "records.jsonl"
    return file.exists() and file.stat().st_size > 200_000


def without_pilot(lines: list[bytes]) -> list[tuple[str, Any]]:
    """Topic and data of the records that are not the pilot's own."""
    found = [msgspec.json.decode(line) for line in lines]
    others = [one for one in found if not one["topic"].startswith(("pilot.", "run.started"))]
    return [
        (one["topic"], one["data"]) for one in others
        if (one["topic"], one["data"].get("role")) != ("model.in_force", "pilot")
    ]


def test_a_shadowed_pilot_changes_nothing_that_is_traded(model: Path) -> None:
    """The signals trade the same, record for record, with and without a pilot in SHADOW or OFF."""
    _, alone = memory_run(settings(""))
    for mode in (PilotMode.SHADOW, PilotMode.OFF):
        result, beside = memory_run(settings(model, mode))
        assert without_pilot(beside.lines) == without_pilot(alone.lines)
        topics = Counter(msgspec.json.decode(line)["topic"] for line in beside.lines)
        assert (topics["pilot.decided"] > 800) is (mode is PilotMode.SHADOW)
        assert topics["pilot.failed"] == 0
        assert not any("failures" in note for note in result.facts.notes)


@pytest.mark.parametrize("mode", [PilotMode.SHADOW, PilotMode.HYBRID])
def test_a_killed_run_with_a_pilot_ends_as_an_uninterrupted_one(mode: PilotMode, model: Path, tmp_path: Path) -> None:
    """kill -9 and start again: the same bytes."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(settings(model, mode, min_confidence=0.0), RunOptions(state_dir=whole))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(killed), str(model), mode.value], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline and not has_grown(killed):
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    result = run(settings(model, mode, min_confidence=0.0), RunOptions(state_dir=killed))
    assert result.resumed
    assert (killed / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()


def test_a_day_with_a_pilot_is_proven_from_the_state_folder_alone(model: Path, tmp_path: Path) -> None:
    """The folder keeps the model; the day's records come out the same, byte for byte."""
    moved = saved(tmp_path / "elsewhere")
    run(settings(moved), RunOptions(state_dir=tmp_path / "state"))
    (moved / "card.json").unlink()
    proof = replay(tmp_path / "state", "2018-01-10")
    assert proof.identical, proof.difference
    kept = load_artefact(tmp_path / "state" / PILOT_FOLDER)
    assert kept.card.identity == load_artefact(model).card.identity


def test_a_day_is_not_proven_with_another_pilot(model: Path, tmp_path: Path) -> None:
    """Another model in the folder is told."""
    run(settings(model, end="2018-01-05"), RunOptions(state_dir=tmp_path / "state"))
    saved(tmp_path / "state" / PILOT_FOLDER, seed=4)
    with pytest.raises(DataError, match="the run used"):
        replay(tmp_path / "state", "2018-01-03")


def test_a_run_is_not_continued_with_another_pilot(model: Path, tmp_path: Path) -> None:
    """The identity of the model is part of the run's."""
    session = Run(settings(model), RunOptions(state_dir=tmp_path / "state"))
    session.save(0)
    session.close()
    with pytest.raises(StateError, match="other pilot"):
        Run(settings(saved(tmp_path / "other", seed=4)), RunOptions(state_dir=tmp_path / "state"))


def test_settings_changed_while_it_runs_are_in_force_and_on_record(model: Path, tmp_path: Path) -> None:
    """A change in the policy store reaches the engine, with who and why, and later decisions are made in that mode."""
    folder, asked = tmp_path / "state", []
    chosen = settings(model)

    def change(close_ns: int) -> None:
        if len(asked) == 0 and (folder / "records.jsonl").exists():
            store = pilot_store(folder, chosen)
            asked.append(store.change({"mode": "OFF"}, seen_version=None, actor="ann", reason="a look without it"))

    class Impatient(Run):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            store = self.pilot._store
            assert store is not None
            store._clock = iter(range(0, 1 << 62, 20_000_000_000)).__next__  # each reading is a new one

    import quantum_trader.app.runs.replay as runner

    before, runner.Run = runner.Run, Impatient
    try:
        run(chosen, RunOptions(state_dir=folder), pace=change)
    finally:
        runner.Run = before
    changes = [one["data"] for one in records(folder) if one["topic"] == "pilot.changed"]
    assert [(one["actor"], one["after"]["mode"]) for one in changes] == [("start", "SHADOW"), ("ann", "OFF")]
    assert changes[1]["reason"] == "a look without it"
    topics = [one["topic"] for one in records(folder)]
    off = topics.index("pilot.changed", topics.index("pilot.changed") + 1)
    assert topics[:off].count("pilot.decided") > 0
    assert topics[off:].count("pilot.decided") == 0


def test_the_store_begins_with_the_settings_of_the_run(model: Path, tmp_path: Path) -> None:
    """What a settings file says of the pilot is the first version; then the store has the last word."""
    chosen = settings(model, PilotMode.HYBRID, end="2018-01-03", max_trades_per_hour=2)
    run(chosen, RunOptions(state_dir=tmp_path / "state"))
    store = pilot_store(tmp_path / "state", chosen)
    assert (store.pilot.mode, store.pilot.max_trades_per_hour, store.version) == (PilotMode.HYBRID, 2, 1)


def test_a_folder_that_is_no_pilot_and_bars_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """With the key and what to do."""
    with pytest.raises(DataError, match="name the folder of a trained pilot"):
        Run(settings(tmp_path), RunOptions())
    short = saved(tmp_path / "short", interval="5m")
    with pytest.raises(ConfigError, match="cannot see these bars"):
        Run(settings(short), RunOptions())


def test_pilot_settings_of_a_file_are_checked(tmp_path: Path) -> None:
    """A wrong value names its key."""
    file = tmp_path / "run.toml"
    file.write_text('[pilot]\nmodel = "x"\nmin_confidence = 1.5\n')
    with pytest.raises(ConfigError, match=r"pilot\.min_confidence = 1\.5: must be a number from 0 to 1"):
        load_settings(file)
    file.write_text('[pilot]\nmode = "TURBO"\n')
    with pytest.raises(ConfigError, match=r"pilot\.mode = 'TURBO': must be one of OFF, SHADOW, PRIMARY, HYBRID"):
        load_settings(file)


def test_a_pilot_decides_nothing_on_bars_that_it_was_trained_on(tmp_path: Path) -> None:
    """Its first decision, shadow trade and day come after the last of them; in PRIMARY signals trade until then."""
    until_ns = to_ns(datetime(2018, 1, 10))
    save_artefact(tmp_path / "pilot", untrained(until_ns=until_ns))
    result, sink = memory_run(settings(tmp_path / "pilot", PilotMode.PRIMARY))
    found = [msgspec.json.decode(line) for line in sink.lines]
    decided = [one["data"]["closed_ns"] for one in found if one["topic"] == "pilot.decided"]
    assert min(decided) == until_ns + 30 * 60 * 10**9
    assert min(one["data"]["entry_ns"] for one in found if one["topic"] == "pilot.closed") >= until_ns
    assert next(one["data"]["day"] for one in found if one["topic"] == "pilot.day") == "2018-01-10"
    intents = [one for one in found if one["topic"] == "trade.intent"]
    assert {one["data"]["source"] for one in intents if one["ts_ns"] <= until_ns} == {"MODEL"}
    assert result.facts.pilot is not None
    assert not result.facts.pilot.known_until_end


def test_a_run_on_trained_bars_alone_says_so(tmp_path: Path) -> None:
    """In place of figures that would prove nothing."""
    save_artefact(tmp_path / "pilot", untrained(until_ns=to_ns(datetime(2018, 6, 1))))
    result, sink = memory_run(settings(tmp_path / "pilot", end="2018-01-10"))
    assert not any(b'"pilot.decided"' in line for line in sink.lines)
    (line,) = pilot_lines(pilot_section(result.facts.pilot))
    assert "trained on bars until 2018-06-01, and this run has no later ones" in line
