"""``why`` and ``why-not`` on the state that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.test_house import ROOT
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.why import RunRecords, explain_signal, why_nothing
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, iso
from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.shadows.judged_signals import read_judged_signals

FIRST, LAST = "2018-03-01", "2018-06-15"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a run of the bundled recording, as `make run` leaves it, of three and a half months."""
    folder = tmp_path_factory.mktemp("why") / "last-run"
    result = CliRunner().invoke(app, ["run", "--exit", "--state", str(folder), "--from", FIRST, "--to", LAST])
    assert result.exit_code == 0, result.output
    return folder


def asked(*words: str) -> dict[str, Any]:
    """The JSON answer of a command."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def decided(state: Path, where: str) -> list[dict[str, Any]]:
    """Signals of the run, oldest first."""
    rows: list[dict[str, Any]] = Lake(state / "journal").sql(
        f"select signal_id, symbol, reason, ts_ns from decisions where {where} order by signal_id"
    ).to_pylist()
    return rows


def test_every_refused_signal_of_the_run_is_explained(state: Path) -> None:
    """The reason on record, a sentence, and changes or a plain word."""
    refused = decided(state, "decision = 'BLOCKED'")
    assert len(refused) >= 5
    for one in refused:
        found = explain_signal(state, one["signal_id"])
        assert found.recorded_reason == found.explanation.reason == one["reason"]
        assert found.explanation.summary.startswith(one["symbol"])
        assert found.explanation.what_to_change
        assert found.notes == ()


def test_why_prints_the_margin_and_each_change(state: Path) -> None:
    """For a person, and as JSON."""
    one = decided(state, "reason = 'LOW_CONFIDENCE'")[0]
    result = CliRunner().invoke(app, ["why", one["signal_id"], "--state", str(state)])
    assert result.exit_code == 0
    assert "was not traded: " in result.stdout
    assert "margin: -" in result.stdout
    assert "expected return before costs: at least" in result.stdout
    told = asked("why", one["signal_id"].lstrip("s0"), "--state", str(state))
    assert told["signal_id"] == one["signal_id"]
    assert {change["input"] for change in told["explanation"]["changes"]} >= {"confidence", "expected_bps"}


def test_the_answers_in_the_documents_are_those_of_the_commands(state: Path) -> None:
    """Every `why` and `why-not` of the page, word for word, of the run that it names."""
    text = (ROOT / "docs" / "how-to-why-flat.md").read_text().split("```text\n")[1].split("\n```")[0]
    ran, *shown = text.removeprefix("$ quantum-trader ").split("$ quantum-trader ")
    assert ran.strip() == f"run --from {FIRST} --to {LAST} --state spring"
    answers = [block.split("\n", 1) for block in shown]
    assert len(answers) == 2
    for line, answer in answers:
        words = [str(state) if word == "spring" else word for word in line.split()]
        result = CliRunner().invoke(app, words)
        assert result.stdout.replace(str(state), "spring").strip() == answer.strip()


def test_why_of_an_approved_signal_says_what_came_closest_and_what_became_of_it(state: Path) -> None:
    """The trade that it opened, where it is closed."""
    traces = Lake(state / "journal").sql("select trace_id from trades order by trace_id limit 1").to_pylist()
    told = asked("why", traces[0]["trace_id"], "--state", str(state))
    assert told["explanation"]["decision"] == "ALLOWED"
    assert told["outcome"]["trade_id"]
    assert told["outcome"]["pnl"] is not None
    assert "closest to refusing it" in told["explanation"]["summary"]


def test_an_unknown_signal_is_answered_with_the_nearest_ids(state: Path) -> None:
    """And a word that is no id with the range."""
    with pytest.raises(InputError, match=r"s00000001 to s\d+; the nearest are .*s\d+"):
        explain_signal(state, "s00009999")
    with pytest.raises(InputError, match="SIGNAL_ID = 'nonsense'"):
        explain_signal(state, "nonsense")
    result = CliRunner().invoke(app, ["why", "s00009999", "--state", str(state)])
    assert result.exit_code != 0
    for word in ("9" * 5_000, "²", "s", "-1", "s1; drop"):
        with pytest.raises(InputError, match="is no id of a signal, such as s00000012; the run has the signals"):
            explain_signal(state, word)


def test_a_folder_without_a_journal_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Naming the folder."""
    for ask in (
        lambda: explain_signal(tmp_path, "s00000001"), lambda: why_nothing(tmp_path, "BTCUSDT", 0),
        lambda: read_judged_signals(tmp_path),
    ):
        with pytest.raises(StateError, match=f"--state {tmp_path}: there is no journal; give the folder of a run"):
            ask()


def states_of(state: Path, wanted: str) -> tuple[str, int]:
    """A symbol and a time at which the models' decision had become *wanted*."""
    rows = Lake(state / "journal").sql(
        "select ts_ns, symbols, states from model_decisions order by ts_ns desc"
    ).to_pylist()
    for row in rows:
        for symbol, found in zip(row["symbols"], row["states"], strict=True):
            if found == wanted:
                return symbol, row["ts_ns"]
    raise AssertionError(wanted)


def test_why_not_of_a_refused_signal_is_its_explanation(state: Path) -> None:
    """Asked hours after the decision, which still is the last one."""
    one = decided(state, "reason = 'LOW_CONFIDENCE'")[0]
    found = why_nothing(state, one["symbol"].lower(), one["ts_ns"] + 5 * NS_PER_HOUR)
    assert found.state == "SIGNAL"
    assert found.signal is not None
    assert found.signal.signal_id == one["signal_id"]
    assert found.summary == found.signal.explanation.summary
    assert found.what_to_change == found.signal.explanation.what_to_change


@pytest.mark.parametrize(("wanted", "says"), [
    ("HELD", "held already"), ("SMALL", "from flat one of 0.5"), ("REFUSED", "still refused"),
    ("STOPPED_OUT", "After a stop"),
])
def test_why_not_without_a_signal_says_what_became_of_the_target(state: Path, wanted: str, says: str) -> None:
    """From the record of the models' decision, with their forecast."""
    try:
        symbol, ts_ns = states_of(state, wanted)
    except AssertionError:
        pytest.skip(f"no symbol of these months was {wanted}")
    found = why_nothing(state, symbol, ts_ns)
    assert found.state == wanted
    assert says in found.summary
    assert found.forecast is not None
    assert found.forecast.score is not None


def test_why_not_names_the_command_that_tells_the_rest(state: Path) -> None:
    """With the folder that was asked, so that it can be run as it stands."""
    one = decided(state, "reason = 'LOW_CONFIDENCE'")[0]
    result = CliRunner().invoke(app, ["why-not", one["symbol"], "--at", iso(one["ts_ns"]), "--state", str(state)])
    assert f"quantum-trader why {one['signal_id']} --state {state}" in result.stdout


def test_why_not_in_the_pause_after_a_refused_signal_tells_why_that_was_refused(tmp_path: Path) -> None:
    """The pause alone would hide what keeps the symbol from trading."""
    result = CliRunner().invoke(app, [
        "run", "--exit", "--model", "intraday-demo", "--state", str(tmp_path), "--from", FIRST, "--to", "2018-03-12"
    ])
    assert result.exit_code == 0, result.output
    symbol, ts_ns = states_of(tmp_path, "PAUSE")
    found = why_nothing(tmp_path, symbol, ts_ns)
    assert found.signal is not None
    assert found.signal.explanation.symbol == symbol
    assert "in this direction is not over. When it was last a signal (s" in found.summary
    assert found.signal.explanation.summary in found.summary
    assert found.what_to_change == (found.signal.explanation.what_to_change if found.signal.recorded_reason else ())
    assert found.as_of == (found.signal.time if found.signal.recorded_reason else "")  # they are not the decision's
    symbol, ts_ns = states_of(tmp_path, "NEAR_HALF")
    found = why_nothing(tmp_path, symbol, ts_ns)
    assert found.forecast is not None
    assert f"it was {found.forecast.confidence:.3f} for the likelier direction" in found.summary
    assert "a signal needs 0.515" in found.summary
    assert found.what_to_change[0].startswith("probability of the likelier direction: at least 0.515 instead of 0.5")


def test_why_not_of_a_traded_signal_says_that_it_was_traded(state: Path) -> None:
    """And names it."""
    one = decided(state, "decision = 'ALLOWED'")[0]
    found = why_nothing(state, one["symbol"], one["ts_ns"])
    assert f"signal {one['signal_id']}" in found.summary


def test_why_not_outside_the_recording_and_of_another_symbol(state: Path) -> None:
    """A time before the first and after the last record, before the first decision, and a symbol nobody trades."""
    first, last = RunRecords(state).span()
    assert why_nothing(state, "BTCUSDT", first - NS_PER_DAY).state == "OUTSIDE"
    assert why_nothing(state, "BTCUSDT", last + 3 * NS_PER_DAY).state == "OUTSIDE"
    early = why_nothing(state, "BTCUSDT", first)
    assert early.state == "NO_DECISION"
    assert "first bar was complete" in early.summary
    with pytest.raises(InputError, match="did you mean BTCUSDT"):
        why_nothing(state, "BTCUSD", first)
    with pytest.raises(InputError, match="did you mean ETHUSDT"):
        why_nothing(state, "eth", first)
    with pytest.raises(InputError, match="it trades BTCUSDT, EOSUSDT"):  # and not ETHUSDT, which ends alike
        why_nothing(state, "DOGEUSDT", first)
    result = CliRunner().invoke(app, ["why-not", "BTCUSDT", "--at", "soon", "--state", str(state)])
    assert result.exit_code != 0
    assert "--at = 'soon'" in str(result.exception) or "--at" in result.output


def test_why_not_warms_up_with_what_each_model_lacks(tmp_path: Path) -> None:
    """At the beginning of the recording, where no bars are before it."""
    folder = tmp_path / "run"
    result = CliRunner().invoke(
        app, ["run", "--exit", "--state", str(folder), "--from", "2017-10-01", "--to", "2017-10-20"]
    )
    assert result.exit_code == 0, result.output
    found = asked("why-not", "BTCUSDT", "--at", "2017-10-10T12:00", "--state", str(folder))
    assert found["state"] == "WARM_UP"
    assert " of " in found["summary"]
    assert "days" in found["summary"]
