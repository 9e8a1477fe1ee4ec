"""`quantum-trader pilot status | promote | demote` on journals that a recorder has filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.pilot_run import FIRST_NS, record_days, record_intent, recording
from tests.journal.pilot_records import pilot_changed, pilot_failed
from tests.pilot.test_artefact import artefact
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.pilot_journal import pilot_history
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MINUTE
from quantum_trader.domain.enums import PilotMode
from quantum_trader.pilot.artefact import Artefact, save_artefact
from quantum_trader.policy import PolicyStore
from quantum_trader.policy.pilot_evidence import SEEDS_COUNT, SEEDS_KEY
from quantum_trader.policy.policy_store_file import STORE_FILE


def trained(seeds: float | None = 0.3) -> Artefact:
    """A model whose card states the lower quartile of its seeds; nothing of them for None."""
    made, metrics = artefact(), {} if seeds is None else {SEEDS_KEY: seeds, SEEDS_COUNT: 16.0}
    return msgspec.structs.replace(made, card=msgspec.structs.replace(made.card, metrics=metrics))


def model_in(folder: Path, seeds: float | None = 0.3) -> Path:
    """A folder with the model that decides in the journals here."""
    save_artefact(folder / "model", trained(seeds))
    return folder / "model"


def state_with(folder: Path, days: int, pilot: float, signals: float, seeds: float | None = 0.3) -> Path:
    """A state folder whose journal has *days* days of the shadow books, of the model with these *seeds*."""
    state = folder / "run"
    state.mkdir(mode=0o700)
    with recording(state) as recorder:
        record_days(recorder, days, pilot, signals, model=trained(seeds).card.identity)
    return state


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 days on which the pilot earned more than the signals; nobody writes there."""
    return state_with(tmp_path_factory.mktemp("better"), 40, 0.004, 0.001)


def call(*arguments: str | Path) -> Result:
    """Run one pilot command."""
    return CliRunner().invoke(app, ["pilot", *map(str, arguments)])


def told(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """Run one pilot command for a machine."""
    result = call(*arguments, "--json")
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def mode_of(state: Path) -> PilotMode:
    """The mode in the folder's store, read anew."""
    return PolicyStore(state / STORE_FILE).pilot.mode


def test_a_folder_without_a_pilot_says_so(tmp_path: Path) -> None:
    """The defaults, nothing decided, what is needed; looking makes no file."""
    tmp_path.chmod(0o700)
    shown = call("status", "--state", tmp_path)

    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0] == "mode in force  SHADOW: its decisions are recorded and never traded"
    assert "since          the start: its mode was never changed" in lines
    assert "model          none has decided yet" in lines
    assert "  - days of market: 0, needs at least 20" in lines
    assert lines[-1] == "No decision of the pilot is on record yet."
    assert list(tmp_path.iterdir()) == []
    assert call("status", "--state", tmp_path / "none").exit_code == 2


def test_the_three_books_are_shown_with_what_they_say(better: Path) -> None:
    """Means a day in basis points, intervals, trades in R, how they ended, and one line of verdict."""
    shown = call("status", "--state", better).stdout
    document = told("status", "--state", better)
    books = document["evidence"]["bp_a_day"]

    assert list(books) == ["pilot", "signals", "hybrid", "pilot - signals", "hybrid - signals"]
    assert books["pilot"]["mean"] == pytest.approx(40.0, abs=6.0)
    assert books["pilot - signals"]["mean"] == pytest.approx(30.0, abs=8.0)
    assert books["pilot - signals"]["interval"][0] > 0.0
    assert document["evidence"]["trades"] == {
        "count": 80, "mean_r": 0.25, "win_rate": 0.5, "exits": {"FLAT": 40, "STOP": 40},
    }
    assert document["live_status"]["shadow_decisions"] == document["decisions_total"] == 80
    assert "shadow books   40 days of market (960 hours), 2022-01-08 to 2022-02-16" in shown
    assert "shadow trades  80, mean +0.25 R, 50% won; ended by FLAT 40, STOP 40" in shown
    assert shown.splitlines()[-1] == "The pilot earns more than the signals, and more than nothing."


@pytest.mark.parametrize(("days", "pilot", "signals", "verdict"), [
    (12, 0.004, 0.0, "Too early to tell: 12 days of market, and 20 are needed."),
    (25, 0.001, 0.001, "Whether the pilot earns more than the signals cannot be told from luck."),
    (25, -0.004, 0.002, "The pilot earns less than the signals."),
    (25, -0.004, -0.012, "The pilot earns more than the signals; that it earns anything is not shown."),
])
def test_the_verdict_is_a_sentence(tmp_path: Path, days: int, pilot: float, signals: float, verdict: str) -> None:
    """Too early, luck, worse, less bad."""
    state = state_with(tmp_path, days, pilot, signals)

    assert told("status", "--state", state)["verdict"] == verdict


def test_rate_failures_and_what_the_run_has_are_shown(tmp_path: Path) -> None:
    """Openings of the pilot in the hour before the newest record; the last failure; the settings the run took."""
    state = tmp_path / "run"
    state.mkdir(mode=0o700)
    with recording(state) as recorder:
        record_intent(recorder, 1, FIRST_NS - 60 * NS_PER_MINUTE)
        record_intent(recorder, 2, FIRST_NS - 59 * NS_PER_MINUTE)
        record_intent(recorder, 3, FIRST_NS - NS_PER_MINUTE, filled=False)
        record_intent(recorder, 4, FIRST_NS - NS_PER_MINUTE, reduce_only=True)
        record_intent(recorder, 5, FIRST_NS - NS_PER_MINUTE, source="signals")
        for number, source in ((6, "RL_V3_HYBRID_SIGNAL_PRIMARY"), (7, "RL_V3_HYBRID_CONSENSUS")):  # the signals'
            record_intent(recorder, number, FIRST_NS - NS_PER_MINUTE, source=source)
        recorder.record("pilot.failed", "", FIRST_NS - 2, pilot_failed(error="first"))
        recorder.record("pilot.failed", "", FIRST_NS - 1, pilot_failed(what="SLOW", error="took 4 s"))
        recorder.record("pilot.changed", "", FIRST_NS, pilot_changed())
    document, shown = told("status", "--state", state), call("status", "--state", state).stdout

    assert document["rate"] == {"opened_last_hour": 2, "max_trades_per_hour": 10}
    assert (document["live_status"]["trade_intents_total"], document["live_status"]["trade_intents_executed"]) == (6, 5)
    assert (document["failures"], document["last_failure"]["what"]) == (2, "SLOW")
    assert "failures       2, the last at 2022-01-07T23:59:59.999999Z (SLOW): took 4 s" in shown
    assert "the run has    PRIMARY of version 1 since 2022-01-08T00:00:00Z" in shown


def test_evidence_is_of_the_model_that_decided_last(tmp_path: Path) -> None:
    """Days on which another one decided, and its trades, do not count."""
    state = tmp_path / "run"
    state.mkdir(mode=0o700)
    with recording(state) as recorder:
        record_days(recorder, 5, 0.01, 0.0, model="old")
        record_days(recorder, 3, 0.0, 0.0, first=5, model="new")
    evidence = pilot_history(state).evidence

    assert (evidence.model, evidence.days, evidence.trades, evidence.first_day) == ("new", 3, 6, "2022-01-13")


def test_a_store_that_cannot_be_used_is_off_and_is_not_promoted(tmp_path: Path) -> None:
    """Status tells it with exit code 1; promote refuses, demote repairs."""
    state = state_with(tmp_path, 25, 0.004, 0.0)
    (state / STORE_FILE).write_text("{}")
    (state / STORE_FILE).chmod(0o600)
    shown = call("status", "--state", state)

    assert shown.exit_code == 1
    assert "mode in force  OFF: the pilot does nothing" in shown.stdout
    assert "PROBLEM" in shown.stdout
    assert call("promote", "--to", "PRIMARY", "--state", state, "--force", "--reason", "x").exit_code == 2
    assert call("demote", "--state", state, "--reason", "repair").exit_code == 0
    assert mode_of(state) is PilotMode.SHADOW


@pytest.mark.parametrize("mode", ["PRIMARY", "hybrid"])
def test_evidence_promotes(tmp_path: Path, mode: str) -> None:
    """The change is in the store's history with the evidence, the model, who and why."""
    state, model = state_with(tmp_path, 40, 0.004, 0.001), model_in(tmp_path)
    made = told("promote", "--to", mode, "--state", state, "--model", model, "--by", "ann", "--reason", "as agreed")

    assert (made["mode_in_force"], made["forced"], made["missing"]) == (mode.upper(), False, [])
    change = PolicyStore(state / STORE_FILE).read().state.changes[-1]
    assert (change.actor, change.after.mode.value) == ("ann", mode.upper())
    assert change.reason.startswith("on evidence: 40 days, 80 shadow trades")
    assert change.reason.endswith(f"model {trained().card.identity[:12]}; as agreed")
    assert told("status", "--state", state)["since"]["actor"] == "ann"

    again = call("promote", "--to", mode, "--state", state, "--model", model, "--force", "--reason", "x")
    assert again.exit_code == 1
    assert f"mode: {mode.upper()} already, needs another mode" in again.stderr


def test_without_evidence_it_is_refused_with_everything_that_is_missing(tmp_path: Path) -> None:
    """Exit code 1, each condition with its figures, and the store as it was."""
    state = state_with(tmp_path, 12, 0.0, 0.0)
    refused = call("promote", "--to", "PRIMARY", "--state", state)
    document = told("promote", "--to", "PRIMARY", "--state", state, code=1)

    assert (refused.exit_code, refused.stdout) == (1, "")
    for text in (
        "PRIMARY: not promoted; it still needs", "  - days of market: 12, needs at least 20",
        "  - shadow trades that have ended: 24, needs at least 30",
        "  - the model's card: not known, needs --model FOLDER of the model",
        'To promote it anyway: --force --reason "why"',
    ):
        assert text in refused.stderr
    assert len(document["missing"]) == 3
    assert not (state / STORE_FILE).exists()


def test_seeds_that_are_not_above_zero_refuse(tmp_path: Path) -> None:
    """However good the shadow books are: the best seed may be luck."""
    for name, seeds, why in (("none", None, "not stated"), ("bad", -0.2, "-0.20, needs above zero")):
        folder = tmp_path / name
        folder.mkdir()
        state, model = state_with(folder, 40, 0.004, 0.001, seeds), model_in(folder, seeds)
        document = told("promote", "--to", "PRIMARY", "--state", state, "--model", model, code=1)
        assert len(document["missing"]) == 1
        assert f"{SEEDS_KEY} in the model's card: {why}" in document["missing"][0]


def test_the_card_of_another_model_is_refused(better: Path, tmp_path: Path) -> None:
    """It says nothing about the one that decided."""
    refused = call("promote", "--to", "PRIMARY", "--state", better, "--model", model_in(tmp_path, 0.9))

    assert refused.exit_code == 2
    assert "give the folder of the model that decided" in " ".join(refused.stderr.split())


def test_force_needs_a_reason_and_is_recorded_as_forced(tmp_path: Path) -> None:
    """With what it passed over."""
    state = state_with(tmp_path, 3, 0.0, 0.0)
    without = call("promote", "--to", "HYBRID", "--state", state, "--force")
    forced = call("promote", "--to", "HYBRID", "--state", state, "--force", "--reason", "a demonstration")

    assert without.exit_code == 2
    assert "needs --reason" in without.stderr
    assert forced.exit_code == 0
    assert "condition not met: days of market: 3, needs at least 20" in forced.stdout
    change = PolicyStore(state / STORE_FILE).read().state.changes[-1]
    assert change.reason.startswith("forced: a demonstration; model ")
    assert "not met: days of market: 3" in change.reason
    assert mode_of(state) is PilotMode.HYBRID


@pytest.mark.parametrize("mode", ["SHADOW", "off"])
def test_demotion_asks_for_nothing(tmp_path: Path, mode: str) -> None:
    """From any mode, with or without a journal."""
    tmp_path.chmod(0o700)
    call("promote", "--to", "PRIMARY", "--state", tmp_path, "--force", "--reason", "x")
    made = told("demote", "--to", mode, "--state", tmp_path)

    assert made["mode_in_force"] == mode.upper()
    assert mode_of(tmp_path).value == mode.upper()


@pytest.mark.parametrize(("command", "mode", "hint"), [
    ("promote", "SHADOW", "--to 'SHADOW': must be PRIMARY or HYBRID for `pilot promote`; `pilot demote` has"),
    ("demote", "PRIMARY", "--to 'PRIMARY': must be SHADOW or OFF for `pilot demote`; `pilot promote` has the others"),
])
def test_a_mode_of_the_other_command_is_named(tmp_path: Path, command: str, mode: str, hint: str) -> None:
    """Exit code 2."""
    refused = call(command, "--to", mode, "--state", tmp_path)

    assert refused.exit_code == 2
    assert hint in " ".join(refused.stderr.split())


def test_days_are_counted_once_where_a_day_is_recorded_again(tmp_path: Path) -> None:
    """A run that continues after a crash may record a day's sums again: the last record counts."""
    state = tmp_path / "run"
    state.mkdir(mode=0o700)
    with recording(state) as recorder:
        record_days(recorder, 2, 0.0, 0.0, noise=0.0)
        record_days(recorder, 1, 0.5, 0.0, noise=0.0, first=1)
    evidence = pilot_history(state).evidence

    assert (evidence.days, evidence.last_day) == (2, "2022-01-09")
    assert evidence.result("pilot").mean == pytest.approx(0.25)
    assert FIRST_NS % NS_PER_DAY == 0
