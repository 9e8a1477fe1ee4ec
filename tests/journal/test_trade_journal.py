"""The trade journal: every row once, no figure without data, private, and up to date by itself."""

from __future__ import annotations

import io
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.enums import ExitReason, Side
from quantum_trader.domain.errors import ConfigError, DataError, InputError, StateError
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.journal import migrations, tables
from quantum_trader.journal.feeder import JournalFeeder
from quantum_trader.journal.trade_journal import NEWEST_MIGRATION, TradeJournal

NOW = 1_700_000_000_000_000_000
POSTGRES = os.environ.get("QT_TEST_POSTGRES", "")
MIGRATIONS = str(Path(migrations.__file__).parent)


def trade(number: int, pnl: float = 1.0, exit_ns: int = NOW) -> ClosedTrade:
    """Trade *number*, closed an hour after it was opened."""
    return ClosedTrade(
        trade_id=f"t{number}", trace_id=f"tr{number}", symbol="BTCUSDT", side=Side.LONG, qty=1.0,
        entry_ns=exit_ns - 3_600 * 10**9, exit_ns=exit_ns, entry_price=100.0, exit_price=101.0, stop_price=99.0,
        target_price=0.0, exit_reason=ExitReason.STOP, pnl=pnl, fees=0.1, funding=-0.05, slippage_bps=2.0,
        risk_amount=1.0, r_multiple=pnl, mfe_r=1.0, mae_r=-0.5, stop_distance_pct=1.0, stop_distance_atr=2.0,
        target_distance_atr=0.0, bars_held=3, regime_entry="TRENDING", regime_exit="RANGING", exit_mode="TRAIL",
        confidence=0.6, policy_hash="", model="ensemble",
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[TradeJournal]:
    """An empty journal whose clock stands at NOW."""
    with TradeJournal(tmp_path / "deep" / "journal.db", clock=lambda: NOW) as opened:
        yield opened


def test_without_trades_nothing_is_known(journal: TradeJournal) -> None:
    """A count of zero is a fact; a rate or a sum of nothing is not."""
    stats = journal.get_stats(mode="paper", days=7)

    assert stats.total_trades == 0
    assert (stats.win_rate, stats.total_pnl, stats.mean_r, stats.profit_factor, stats.fees) == (None,) * 5


def test_figures_of_known_trades(journal: TradeJournal) -> None:
    """Two wins, one loss, one that ended at nothing."""
    journal.add_trades([trade(1, 3.0), trade(2, 1.0), trade(3, -2.0), trade(4, 0.0)], "PAPER")

    stats = journal.get_stats("paper")

    assert (stats.total_trades, stats.wins, stats.losses, stats.win_rate, stats.total_pnl) == (4, 2, 1, 0.5, 2.0)
    assert (stats.profit_factor, stats.best_pnl, stats.worst_pnl, stats.mean_duration_s) == (2.0, 3.0, -2.0, 3600.0)


def test_mode_and_days_choose(journal: TradeJournal) -> None:
    """Days count back from now; the first moment of the span is in it."""
    journal.add_trades([trade(1, exit_ns=NOW - 7 * NS_PER_DAY), trade(2, exit_ns=NOW - 7 * NS_PER_DAY - 1)], "PAPER")
    journal.add_trades([trade(3, -1.0)], "LIVE")

    assert journal.get_stats("PAPER", 7).total_trades == 1
    assert journal.get_stats(days=30).total_trades == 3
    assert journal.get_stats("live").total_pnl == -1.0
    assert journal.get_stats("live", days=1, now_ns=NOW + 2 * NS_PER_DAY).total_pnl is None


def test_a_replays_days_count_back_from_its_own_end(journal: TradeJournal) -> None:
    """The trades are years old; "the last week" is the recording's."""
    journal.add_trades([trade(k, exit_ns=NOW // 2 + k * NS_PER_DAY) for k in range(10)], "REPLAY")

    stats = journal.get_stats("REPLAY", days=2)

    assert (stats.total_trades, stats.until_ns) == (3, NOW // 2 + 9 * NS_PER_DAY)


def test_a_row_written_again_changes_nothing(journal: TradeJournal) -> None:
    """By run and id; the same id of another run is another trade."""
    assert journal.add_trades([trade(1), trade(2)], "PAPER") == 2
    assert journal.add_trades([trade(2, 99.0), trade(3)], "PAPER") == 1
    assert journal.add_trades([trade(1)], "PAPER", run_id="another") == 1
    assert journal.get_stats().total_pnl == 4.0


def test_many_rows_go_in_batches(journal: TradeJournal) -> None:
    """More than one statement holds."""
    assert journal.add_trades((trade(k) for k in range(1234)), "PAPER") == 1234
    assert [row["trade_id"] for row in journal.rows("trades", limit=2)] == ["t998", "t999"]


def test_every_table_takes_its_rows(journal: TradeJournal) -> None:
    """Nested values are kept as JSON, unknown values as NULL."""
    journal.add_models([{"model_id": "m1", "created_ns": 1, "metrics": {"auc": 0.7}, "parents": ["m0"]}])
    journal.add_sessions([{"session_id": "x", "started_ns": 1, "model_id": "m1", "seed": 7}])
    journal.add_exports([{"export_id": "e", "exported_ns": 2, "model_id": "m1", "sha256": "ab"}])
    journal.add_shadow_trades([{"signal_id": "s", "closed_ns": 3, "symbol": "BTCUSDT", "r": 0.5, "traded": True}])
    journal.add_halts([{"halt_id": "h", "raised_ns": 4, "kind": "operator", "reason": "why"}])
    journal.add_audit([{"entry_id": "a", "ts_ns": 5, "actor": "me", "action": "halt", "before": [], "after": ["x"]}])

    assert journal.rows("models")[0]["metrics"] == '{"auc":0.7}'
    assert journal.rows("sessions")[0]["ended_ns"] is None
    assert journal.rows("shadow_trades")[0]["traded"] == 1
    assert [len(journal.rows(name)) for name in ("exports", "halts", "audit")] == [1, 1, 1]


@pytest.mark.parametrize(("table", "row", "match"), [
    ("trades", {"trade_id": "1", "colour": "red"}, "no column 'colour'"), ("ideas", {}, "must be one of"),
    ("halts", {"raised_ns": 1}, "halt_id: is missing"), ("audit", {"entry_id": "1"}, "ts_ns: is missing"),
])
def test_rows_that_do_not_fit_are_refused(journal: TradeJournal, table: str, row: dict[str, Any], match: str) -> None:
    """The error names the column, and nothing is written."""
    with pytest.raises(InputError, match=match):
        journal.add(table, [row])


def test_a_mode_and_a_span_must_be_given_right(journal: TradeJournal) -> None:
    """An empty mode and a negative span are refused."""
    with pytest.raises(InputError, match="mode"):
        journal.add_trades([trade(1)], " ")
    with pytest.raises(InputError, match="days"):
        journal.get_stats(days=0)
    with pytest.raises(InputError, match="days = inf"):
        journal.get_stats(days=float("inf"))
    with pytest.raises(InputError, match="mode = ' '"):
        journal.get_stats(mode=" ")


def test_the_file_is_private_and_in_wal_mode(journal: TradeJournal, tmp_path: Path) -> None:
    """The database and what SQLite puts beside it, in a folder of its owner."""
    journal.add_trades([trade(1)], "PAPER")
    folder = tmp_path / "deep"

    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600,
    }
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_reader_is_not_blocked_by_a_writer(journal: TradeJournal, tmp_path: Path) -> None:
    """It reads committed rows while more are being written."""
    journal.add_trades([trade(1)], "PAPER")
    with (
        TradeJournal(tmp_path / "deep" / "journal.db", clock=lambda: NOW) as other,
        other._writing() as connection,
    ):
        connection.execute(text("DELETE FROM trades"))
        assert journal.get_stats().total_trades == 1


def test_two_writers_and_two_that_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Everything arrives once, and the tables are made once."""
    failed: list[Exception] = []

    def write(part: int) -> None:
        try:
            with TradeJournal(tmp_path / "j.db") as journal:
                for k in range(10):
                    journal.add_trades([trade(part * 100 + k)], "PAPER")
        except StateError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with TradeJournal(tmp_path / "j.db") as journal:
        assert journal.get_stats().total_trades == 40


def test_the_migrations_make_what_the_tables_say(journal: TradeJournal) -> None:
    """Every table with its columns and indexes, at the newest version."""
    engine = create_engine(journal.url)
    found = inspect(engine)

    for table in tables.METADATA.tables.values():
        assert [column["name"] for column in found.get_columns(table.name)] == list(table.c.keys())
        assert {index["name"] for index in found.get_indexes(table.name)} == {index.name for index in table.indexes}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == NEWEST_MIGRATION
    engine.dispose()


def test_the_migrations_speak_postgresql() -> None:
    """As statements a database administrator can read."""
    config = Config(output_buffer=io.StringIO())
    config.set_main_option("script_location", MIGRATIONS)
    config.set_main_option("sqlalchemy.url", "postgresql://")

    command.upgrade(config, "head", sql=True)

    written = config.output_buffer.getvalue()  # type: ignore[attr-defined]
    assert "CREATE TABLE trades" in written
    assert "DOUBLE PRECISION" in written
    assert "BIGINT" in written


@pytest.mark.skipif(POSTGRES == "", reason="QT_TEST_POSTGRES names no server")
def test_a_postgresql_server_does_the_same() -> None:
    """Tables made once by several that come at once, rows once, figures alike, halts ended."""
    run_id = uuid.uuid4().hex
    failed: list[Exception] = []

    def write(part: int) -> None:
        try:
            with TradeJournal(POSTGRES) as opened:
                opened.add_trades([trade(part), trade(99)], f"TEST-{run_id}", run_id)
        except StateError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with TradeJournal(POSTGRES, clock=lambda: NOW) as opened:
        stats = opened.get_stats(f"test-{run_id}", days=1)
        assert (stats.total_trades, stats.total_pnl, stats.win_rate) == (5, 5.0, 1.0)
        assert opened.add_trades([trade(1), trade(7)], f"TEST-{run_id}", run_id) == 1
        feeder = JournalFeeder(opened, "paper")
        feeder.feed_all([line("run.started", {"settings": run_id}, "r1"), *run_lines()[1:]])
        assert feeder.new == {"trades": 1, "shadow_trades": 1, "halts": 1, "audit": 2}
        assert [row["cleared_ns"] for row in opened.rows("halts") if row["run_id"] == feeder.run_id] == [NOW + 1]


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    """The error says which program to use."""
    path = tmp_path / "j.db"
    TradeJournal(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(StateError, match="newer program"):
        TradeJournal(path)


def test_an_unusable_database_is_reported_without_the_password(tmp_path: Path) -> None:
    """A damaged file and an unknown kind of database."""
    path = tmp_path / "j.db"
    path.write_bytes(b"this is not a database" * 100)

    with pytest.raises(StateError, match="not a database"):
        TradeJournal(path)
    with pytest.raises(ConfigError) as caught:
        TradeJournal("nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)


def line(topic: str, data: Any, event_id: str, trace_id: str = "", ts_ns: int = NOW) -> bytes:
    """One record as the recorder writes it."""
    return msgspec.json.encode({
        "seq": 1, "event_id": event_id, "topic": topic, "trace_id": trace_id, "ts_ns": ts_ns, "received_ns": ts_ns,
        "source": "engine", "schema": 1, "data": data,
    })


def run_lines() -> list[bytes]:
    """A short run: a signal, its trade and shadow, a halt with its end, and two changes by a person."""
    return [
        line("run.started", {"settings": "a"}, "r1", ts_ns=0),
        line("signal.generated", {
            "signal_id": "s1", "action": "LONG", "confidence": 0.6, "model": "m", "ts_ns": NOW - 10**9,
            "votes": {"a": 1},
        }, "e1", "tr1"),
        line("trade.closed", trade(1, 5.0), "e2", "tr1"),
        line("shadow.closed", {
            "signal_id": "s1", "symbol": "BTCUSDT", "r": 1.5, "exit": "TARGET", "bars_held": 4, "traded": True,
        }, "e3", "tr1"),
        line("halt.raised", {"kind": "governor", "reason": "8 losses", "owner": "risk", "exit_path": "resume"}, "e4"),
        line("halt.cleared", {"kind": "governor", "reason": "resumed: ok"}, "e5", ts_ns=NOW + 1),
        line("operator.requested", {"action": "resume", "actor": "me", "reason": "ok", "ts_ns": 1}, "r2"),
        line("rollout.changed", {
            "actor": "me", "action": "promote", "switch": "risk_sizing", "before": [], "after": ["risk_sizing"],
            "reason": "evidence",
        }, "p1"),
        line("order.filled", {"price": 1.0}, "e6"),
    ]


def test_records_fill_the_journal_once(journal: TradeJournal) -> None:
    """Fed twice, in another order of batches, each row is there once."""
    first = JournalFeeder(journal, "paper").feed_all(run_lines())
    again = JournalFeeder(journal, "paper", batch=1).feed_all(run_lines())

    assert first == {"trades": 1, "shadow_trades": 1, "halts": 1, "audit": 2}
    assert set(again.values()) == {0}
    shadow, halt = journal.rows("shadow_trades")[0], journal.rows("halts")[0]
    assert (shadow["side"], shadow["probability"], shadow["duration_s"]) == ("LONG", 0.6, 1.0)
    assert (halt["cleared_ns"], halt["cleared_by"]) == (NOW + 1, "resumed: ok")
    assert [row["action"] for row in journal.rows("audit")] == ["promote", "resume"]
    assert journal.get_stats("PAPER").total_pnl == 5.0


def test_a_record_without_its_fields_is_refused(journal: TradeJournal) -> None:
    """The error names the record, and nothing of it is written."""
    with pytest.raises(DataError, match="fields of its topic"):
        JournalFeeder(journal).feed(line("shadow.closed", {"symbol": "BTCUSDT"}, "e1"))


@pytest.mark.parametrize("name", ["what?.db", "50%20.db", "a#b.db"])
def test_any_file_name_is_the_files_name(tmp_path: Path, name: str) -> None:
    """The whole name is used, without URL parsing."""
    TradeJournal(tmp_path / name).close()

    assert [path.name for path in tmp_path.iterdir()] == [name]
