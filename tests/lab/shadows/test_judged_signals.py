"""Signals read from a run's journal: gates, decisions and shadow results as they were recorded, and what is made of
them.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.gates import app as gates_app
from quantum_trader.app.cli.shadows import app as shadows_app
from quantum_trader.app.runs import journal_commands, replay
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import StateError
from quantum_trader.engine.decision_inputs import gate_inputs_of
from quantum_trader.journal.trade_journal import TradeJournal
from quantum_trader.lab.learning.meta_label_samples import recorded_findings
from quantum_trader.lab.shadows.judged_signals import (
    NONE,
    OPEN,
    RESOLVED,
    VOID,
    JudgedSignals,
    read_judged_signals,
)
from quantum_trader.lab.shadows.meta_labels import meta_label_table
from quantum_trader.lab.shadows.thresholds import limits_of_row
from quantum_trader.market.instruments import instruments_for
from quantum_trader.models.entry_features import ENTRY_FEATURES
from quantum_trader.models.gates import GATES, gate_readings


def settings(start: str = "2018-03-01", end: str = "2018-03-31") -> RunSettings:
    """Some weeks of the bundled bars with the intraday models."""
    flags = {
        "data.start": (start, "t"), "data.end": (end, "t"), "models": (({"model": "intraday-demo"},), "t"),
    }
    return load_settings(None, flags).settings


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("shadows")
    run(settings(), RunOptions(state_dir=folder))
    return folder


@pytest.fixture(scope="module")
def signals(state: Path) -> JudgedSignals:
    """Its signals."""
    return read_judged_signals(state)


def records(state: Path, topic: str) -> dict[str, dict[str, Any]]:
    """The data of the records of one topic, by signal."""
    found = {}
    for line in (state / "records.jsonl").read_bytes().splitlines():
        record = msgspec.json.decode(line)
        if record["topic"] == topic:
            found[record["data"]["signal_id"]] = {**record["data"], "ts_ns": record["ts_ns"]}
    return found


def test_every_signal_is_there_with_its_result(state: Path, signals: JudgedSignals) -> None:
    """Each decision of the record file, in order; each result under its signal; none without a fate."""
    decided, ended = records(state, "signal.decided"), records(state, "shadow.closed")
    assert list(signals.signal_ids) == list(decided)
    assert len(signals) > 100
    for at, name in enumerate(signals.signal_ids):
        assert signals.reasons[at] == decided[name]["reason"]
        if name in ended:
            one = ended[name]
            assert (signals.outcome[at], signals.end_ns[at]) == (RESOLVED, one["ts_ns"])
            assert (signals.net_bps[at], signals.r[at], signals.entry_ns[at]) == (
                one["net_bps"], one["r"], one["entry_ns"]
            )
        else:
            assert signals.outcome[at] in (OPEN, VOID, NONE)
    assert np.count_nonzero(signals.outcome == RESOLVED) == len(ended)
    assert np.count_nonzero(signals.outcome == OPEN) > 0


def test_a_result_is_made_of_its_fills_and_its_funding(state: Path, signals: JudgedSignals) -> None:
    """From the record alone: the move between the fills, less both fees, plus the funding, in bps of the entry; R is
    that over the stop's distance; and the entry is the bar that opens at the signal.
    """
    symbols = sorted(set(signals.symbols))
    fees = {one.symbol: one.taker_fee_bps for one in instruments_for(symbols, [100.0] * len(symbols)).instruments}
    sides = {name: 1.0 if one["action"] == "LONG" else -1.0 for name, one in records(state, "signal.decided").items()}
    paid = 0
    for name, one in records(state, "shadow.closed").items():
        entry, fill = one["entry_price"], one["exit_price"]
        moved = sides[name] * (fill - entry) - (entry + fill) * fees[one["symbol"]] / 1e4
        assert one["net_bps"] == pytest.approx(moved / entry * 1e4 + one["funding_bps"], abs=1e-6)
        assert one["cost_bps"] > 2.0 * fees[one["symbol"]] - 1.0
        assert one["entry_ns"] == signals.ts_ns[signals.signal_ids.index(name)]
        assert (one["r"] > 0.0) == (one["net_bps"] > 0.0)
        paid += one["funding_bps"] != 0.0
    assert paid > 20  # the assumed rate, at 00, 08 and 16 UTC


def test_features_are_checked_against_the_other_records_of_the_decision(state: Path) -> None:
    """Every signal of a run agrees with its inputs and its time; one that was rewritten afterwards does not."""
    table = meta_label_table(state)
    every = np.arange(len(table), dtype=np.int64)

    assert np.isfinite(table.gate_inputs[:, 0]).all()
    assert recorded_findings(table, every) == ()
    for name in ("confidence", "cost_bps", "weekday"):
        rows = table.rows.copy()
        rows[7, ENTRY_FEATURES.index(name)] += 1.0
        (found,) = recorded_findings(msgspec.structs.replace(table, rows=rows), every)
        assert (found.feature, found.value) == (name, 1.0)
    numbers = table.record_numbers.copy()
    numbers[7, 0] = numbers[7, 1] + 1
    (found,) = recorded_findings(msgspec.structs.replace(table, record_numbers=numbers), every)
    assert "were recorded after their results" in found.told


def test_the_gates_are_those_of_the_inputs(signals: JudgedSignals) -> None:
    """Figure, limit and verdict of each gate follow from the inputs and limits on record."""
    for at in range(0, len(signals), 7):
        inputs = gate_inputs_of(tuple(signals.gate_inputs[at].tolist()))
        for place, one in enumerate(gate_readings(inputs, limits_of_row(signals.gate_limits[at].tolist()))):
            assert one.gate == GATES[place]
            assert (one.measured, one.passed) == (signals.measured[at, place], signals.passed[at, place])
            assert one.observed == pytest.approx(signals.observed[at, place], nan_ok=True)


def test_the_table_of_a_meta_label(state: Path, signals: JudgedSignals) -> None:
    """Features in their order, the label, and the span of each settled signal; nothing was known after its signal."""
    table = meta_label_table(state)
    judged = records(state, "signal.judged")
    assert (table.names, table.rows.shape) == (ENTRY_FEATURES, (len(table), len(ENTRY_FEATURES)))
    assert len(table) == int(signals.settled.sum()) == len(signals) - table.left_out
    assert 20 < int(table.labels.sum()) < len(table)
    for at in range(0, len(table), 5):
        features = judged[table.signal_ids[at]]["features"]
        expected = [math.nan if features[name] is None else features[name] for name in ENTRY_FEATURES]
        np.testing.assert_array_equal(table.rows[at], expected)
        assert table.labels[at] == (table.net_bps[at] > 0.0)
    assert bool((table.known_ns <= table.starts_ns).all())
    assert bool((table.ends_ns > table.starts_ns).all())
    assert bool((np.diff(table.starts_ns) >= 0).all())
    assert set(table.models) == {"ensemble"}


def test_the_trade_journal_has_the_whole_shadow_trade(state: Path, signals: JudgedSignals, tmp_path: Path) -> None:
    """Result in bps, probability, features at entry, regime, model, duration and why it was not traded."""
    journal_commands.feed_book(state, url=tmp_path / "book.db")
    with TradeJournal(tmp_path / "book.db") as journal:
        rows = {row["signal_id"]: row for row in journal.rows("shadow_trades", limit=100_000)}
    assert len(rows) == np.count_nonzero(signals.outcome == RESOLVED)
    for name, row in rows.items():
        at = signals.signal_ids.index(name)
        assert (row["pnl_bps"], row["r"]) == (signals.net_bps[at], signals.r[at])
        assert (row["reason"], row["regime"]) == (signals.reasons[at], signals.regimes[at])
        assert (row["model"], row["probability"]) == ("ensemble", signals.confidence[at])
        assert row["duration_s"] == (signals.end_ns[at] - signals.ts_ns[at]) / 1e9
        features = msgspec.json.decode(row["features"]) if isinstance(row["features"], str) else row["features"]
        assert set(features) == set(ENTRY_FEATURES)


def test_a_folder_without_signals_says_so(tmp_path: Path) -> None:
    """No journal, and a journal of a run that had no signal."""
    with pytest.raises(StateError, match="there is no journal"):
        read_judged_signals(tmp_path / "none")
    run(settings("2017-10-01", "2017-10-01"), RunOptions(state_dir=tmp_path / "short"))
    with pytest.raises(StateError, match="no signal judged by gates"):
        read_judged_signals(tmp_path / "short")


def test_a_run_that_was_resumed_has_the_same_results(
    tmp_path: Path, signals: JudgedSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of open shadow trades and continued: fills, funding and results to the last bit."""
    def pace(now_ns: int) -> None:
        if now_ns >= signals.ts_ns[0] + 36 * NS_PER_HOUR:
            raise InterruptedError

    monkeypatch.setattr(replay, "_CHECKPOINT_EVERY_S", 0.0)
    with pytest.raises(InterruptedError):
        run(settings(), RunOptions(state_dir=tmp_path), pace=pace)
    assert run(settings(), RunOptions(state_dir=tmp_path)).resumed
    again = read_judged_signals(tmp_path)
    assert again.data_hash == signals.data_hash
    np.testing.assert_array_equal(again.funding_bps, signals.funding_bps)
    np.testing.assert_array_equal(again.entry_ns, signals.entry_ns)


def test_the_commands_answer_as_text_and_as_json(state: Path, signals: JudgedSignals, tmp_path: Path) -> None:
    """Both commands, with every table and every gate; the JSON has the same counts."""
    runner = CliRunner()
    shown = runner.invoke(shadows_app, ["--state", str(state)])
    assert shown.exit_code == 0, shown.output
    assert f"{len(signals):,} signals of ensemble" in shown.stdout
    assert all(gate in shown.stdout for gate in GATES)
    asked = runner.invoke(shadows_app, ["--state", str(state), "--by", "symbol", "--json"])
    plain = msgspec.json.decode(asked.stdout)
    assert (plain["signals"], plain["by_gate"], plain["by_reason"]) == (len(signals), [], [])
    assert {row["name"] for row in plain["by_symbol"]} <= set(signals.symbols)
    assert plain["all_refused"]["bps"]["net"] == pytest.approx(-float(np.nansum(
        signals.net_bps[signals.settled & ~signals.traded]
    )))
    advice = runner.invoke(gates_app, ["advice", "--state", str(state), "--trials", str(tmp_path), "--json"])
    told = msgspec.json.decode(advice.stdout)
    assert [one["gate"] for one in told["gates"]] == list(GATES)
    assert told["trials"] == told["tried"] == len((tmp_path / "trials.jsonl").read_bytes().splitlines())
    text = runner.invoke(gates_app, ["advice", "--state", str(state), "--trials", str(tmp_path), "--gate", "volume"])
    assert "min_volume_ratio" in text.stdout
    assert "spread:" not in text.stdout


@pytest.mark.parametrize(
    ("app", "arguments", "word"),
    [(shadows_app, ["--by", "week"], "--by"), (gates_app, ["advice", "--gate", "spred"], "--gate"),
     (shadows_app, ["--good-below-bps", "20"], "good_below_bps"),
     (gates_app, ["advice", "--first-share", "2"], "first_share")],
)
def test_a_bad_argument_is_named(state: Path, app: Any, arguments: list[str], word: str) -> None:
    """The option and its value."""
    name, rest = (arguments[:1], arguments[1:]) if arguments[0] == "advice" else ([], arguments)
    result = CliRunner().invoke(app, [*name, "--state", str(state), *rest])
    assert result.exit_code != 0
    assert word in str(result.exception)


def test_reading_changes_nothing(state: Path) -> None:
    """The journal's files are the same before and after."""
    def content() -> dict[str, str]:
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((state / "journal").rglob("*")) if path.is_file() and path.suffix != ".ring"
        }

    before = content()
    read_judged_signals(state)
    assert content() == before
