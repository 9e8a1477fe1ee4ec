"""The lake: one view over everything, from any process, that reads the journal and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest
from tests.journal.producer import START_NS, health, order
from tests.journal.records import decision, record_line, trade

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.journal import event_logger, lake
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.flusher import Committer
from quantum_trader.journal.lake import Lake, snapshot
from quantum_trader.journal.manifest import read_manifest
from quantum_trader.journal.publish import publish_segments
from quantum_trader.journal.ring import HEAD_BYTES, RECORD_BYTES, WORD_HEAD, WORD_MAGIC
from quantum_trader.journal.segments import segments_of

SMALL = 1 << 20
DAY_NS = 86_400_000_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with a published part of two kinds."""
    with EventLogger(tmp_path / "journal", ring_bytes=SMALL) as logger:
        for number in range(1, 301):
            logger.log(order(number) if number % 3 else health(number))
    return tmp_path / "journal"


def test_the_view_spans_ring_log_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events in all three places at once: each is read once."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    logger = EventLogger(tmp_path, ring_bytes=SMALL)
    committer = Committer(tmp_path, "main", publish_s=99.0)
    for number in range(1, 101):
        logger.log(order(number))
    committer.step(0.0)
    committer.rotate()
    publish_segments(tmp_path, committer.finished)
    for number in range(101, 201):
        logger.log(order(number))
    committer.step(0.0)
    for number in range(201, 301):
        logger.log(order(number))
    rows = Lake(tmp_path).sql(
        "select seq, trace_id, symbol, cast(payload->>'$.facts.number' as int) as n, ts_ns from events order by seq"
    ).to_pylist()
    committer.close()
    logger.close()

    assert rows == [
        {"seq": n, "trace_id": f"t{n}", "symbol": "BTCUSDT", "n": n, "ts_ns": START_NS + n} for n in range(1, 301)
    ]


def test_counts_by_kind(journal: Path) -> None:
    """Counts by kind, in SQL and without opening a part."""
    table = Lake(journal).sql("select kind, count(*) as n from events group by 1 order by 1")

    assert table.to_pylist() == [{"kind": "health", "n": 100}, {"kind": "order", "n": 200}]
    assert Lake(journal).counts() == {"health": 100, "order": 200}
    assert Lake(journal).sql("select count(*) as n from events where kind = ?", ["order"]).to_pylist() == [{"n": 200}]


def test_a_block_that_is_read_in_pieces_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is read while blocks are appended: of two new ones only the second is complete, and the ring had both."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    logger = EventLogger(tmp_path, ring_bytes=SMALL)
    committer = Committer(tmp_path, "main", publish_s=99.0)
    for number in range(1, 65):
        logger.log(order(number))
    committer.step(0.0)
    for number in range(65, 193):
        logger.log(order(number))
    segment = tmp_path / "wal" / "main-0000000001.seg"

    def while_it_is_written(directory: Path) -> list[Path]:
        before = committer._writer.size if committer._writer else 0
        committer.step(0.0)
        with segment.open("r+b") as handle:
            handle.seek(before)
            handle.write(bytes(100))
        return segments_of(directory)

    monkeypatch.setattr(lake, "segments_of", while_it_is_written)
    found = snapshot(tmp_path)
    committer.close()
    logger.close()

    assert [(chunk.first_seq, len(chunk.records)) for _, _, chunk in found.chunks] == [(1, 64), (65, 128)]
    assert found.damage == []


def test_what_is_published_while_the_log_is_read_is_seen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment goes into the lake between the listing of the log and its reading; the next one is half written."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    logger = EventLogger(tmp_path, ring_bytes=SMALL)
    committer = Committer(tmp_path, "main", publish_s=99.0)
    for number in range(1, 65):
        logger.log(order(number))
    committer.step(0.0)
    for number in range(65, 129):
        logger.log(order(number))

    def while_it_is_published(directory: Path) -> list[Path]:
        committer.rotate()
        committer.step(0.0)
        paths = segments_of(directory)
        publish_segments(tmp_path, paths[:1])
        with paths[1].open("r+b") as handle:
            handle.write(b"x" * 200)
        return paths

    monkeypatch.setattr(lake, "segments_of", while_it_is_published)
    found = snapshot(tmp_path)
    committer.close()
    logger.close()

    assert sum(part.rows for part in found.manifest.parts) == 64
    assert [(chunk.first_seq, len(chunk.records)) for _, _, chunk in found.chunks] == [(65, 64)]
    assert found.damage == []


def test_another_process_reads_while_this_one_writes(tmp_path: Path) -> None:
    """Events accepted before the other process queries are in its result."""
    code = (
        "import sys; from quantum_trader.journal.lake import Lake; "
        "print(Lake(sys.argv[1]).sql('select count(*) as n, count(distinct seq) as d, max(seq) as last from events')"
        ".to_pylist()[0])"
    )
    with EventLogger(tmp_path, ring_bytes=SMALL, publish_s=0.05) as logger:
        number, seen = 0, []
        for _ in range(3):
            number += 1
            logger.log(order(number))
            accepted = number
            reader = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            while reader.poll() is None:
                number += 1
                logger.log(order(number))
            output, _ = reader.communicate()
            seen.append((accepted, eval_counts(output)))

    for accepted, (n, distinct, last) in seen:
        assert n == distinct == last >= accepted


def eval_counts(text: str) -> tuple[int, int, int]:
    """The three numbers of a printed row."""
    n, distinct, last = (int(piece.split(":")[1].strip(" }\n")) for piece in text.split(","))
    return n, distinct, last


FORBIDDEN = [
    "select * from read_csv('{secret}')",
    "select * from read_text('{secret}')",
    "select * from read_blob('{secret}')",
    "select * from '{secret}'",
    "from read_csv_auto('{secret}')",
    "select * from glob('{folder}/*')",
    "select * from read_json('{secret}')",
    "select * from read_parquet('{folder}/other.parquet')",
    "select * from read_csv('https://example.com/a.csv')",
    "select * from read_parquet('s3://bucket/a.parquet')",
    "copy (select 1) to '{folder}/out.csv'",
    "copy events to '{folder}/out.parquet'",
    "copy (select * from events) to '{part}'",
    "export database '{folder}/out'",
    "attach '{folder}/other.db'",
    "install httpfs",
    "load httpfs",
    "pragma enable_profiling",
    "pragma database_list",
    "set enable_external_access = true",
    "reset lock_configuration",
    "create table t as select 1",
    "create macro m() as 1",
    "drop view events",
    "insert into journal_tail select * from journal_tail",
    "delete from events",
    "checkpoint",
    "call pragma_version()",
    "select 1; select 2",
    "select 1; copy events to '{folder}/out.csv'",
    "",
    "select secret_of_this_test from secret_of_this_test",
    "select * from query('copy events to ''{folder}/out.csv''')",
    "select * from sqlite_scan('{secret}', 't')",
]


@pytest.fixture(scope="module")
def shared_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal shared by read-only tests."""
    path = tmp_path_factory.mktemp("lake") / "journal"
    with EventLogger(path, ring_bytes=SMALL) as logger:
        logger.log(order(1))
    return path


@pytest.mark.parametrize("query", FORBIDDEN)
def test_sql_reads_only_the_journal(shared_journal: Path, query: str) -> None:
    """No other file, no network, no setting, no write, no variable of the program."""
    journal = shared_journal
    secret = journal.parent / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    secret_of_this_test = duckdb.connect().sql("select 1").to_arrow_table()
    duckdb.connect().execute(f"copy (select 1) to '{journal.parent}/other.parquet'")
    part = next((journal / "lake").rglob("*.parquet"))
    before = sorted((path, path.stat().st_size) for path in journal.parent.rglob("*"))
    with pytest.raises(InputError):
        Lake(journal).sql(query.format(secret=secret, folder=journal.parent, part=part))

    assert sorted((path, path.stat().st_size) for path in journal.parent.rglob("*")) == before
    assert secret_of_this_test.num_rows == 1


def test_a_flipped_byte_in_a_part_is_named_and_set_aside(journal: Path) -> None:
    """The check names the part and its events; queries leave it out and report it."""
    parts = sorted((journal / "lake").rglob("*.parquet"))
    healthy = next(path for path in parts if "health" in str(path))
    content = healthy.read_bytes()
    healthy.write_bytes(content[:40] + bytes([content[40] ^ 0xFF]) + content[41:-20] + bytes(20))
    lake = Lake(journal)
    rows = lake.sql("select kind, count(*) as n, max(payload) as p from events group by 1").to_pylist()

    assert [(row["kind"], row["n"]) for row in rows] == [("order", 200)]
    assert [found.path for found in lake.damage] == [str(healthy.relative_to(journal / "lake"))]
    assert [(found.reason, found.first_seq) for found in Lake(journal).check()] == [("checksum does not match", 3)]


def test_a_vanished_part_is_reported(journal: Path) -> None:
    """A part that was removed by hand is damage; the rest is read."""
    next((journal / "lake").rglob("kind=health/*.parquet")).unlink()
    lake = Lake(journal)

    assert lake.sql("select distinct kind from events").to_pylist() == [{"kind": "order"}]
    assert len(lake.damage) == 1


def test_a_damaged_segment_is_published_without_its_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read goes into the lake, the damage into the manifest, the segment itself aside."""
    monkeypatch.setattr(event_logger.EventLogger, "_start_flusher", lambda self: None)
    logger = EventLogger(tmp_path, ring_bytes=SMALL)
    committer = Committer(tmp_path, "main", publish_s=99.0)
    for number in range(1, 1001):
        logger.log(order(number))
    committer.step(0.0)
    committer.rotate()
    path = committer.finished[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = Lake(tmp_path).sql("select count(*) as n from events").to_pylist()[0]["n"]
    (tmp_path / "damaged").mkdir()
    os.link(path, tmp_path / "damaged" / path.name)  # by a publication that was killed before it was done
    publish_segments(tmp_path, [path])
    committer.close()
    logger.close()
    damage = Lake(tmp_path).check()

    assert before == Lake(tmp_path).counts()["order"] == 1000 - 64
    assert len(damage) == 1
    assert damage[0].last_seq - damage[0].first_seq == 63
    assert (tmp_path / "damaged" / path.name).exists()


def test_small_parts_are_merged(tmp_path: Path) -> None:
    """The same events in fewer files; old files stay a minute for readers that have them open."""
    for number in range(1, 13):
        with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
            logger.log(order(number))
    lake = Lake(tmp_path)
    before = list(lake.lines())
    merged = lake.compact(least=4)

    assert merged > 0
    assert len(read_manifest(tmp_path).parts) < 12 - merged + 1
    assert list(lake.lines()) == before
    assert lake.check() == []
    assert len(read_manifest(tmp_path).retired) > 0


def test_old_days_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole days, by when events were received; the last ones stay."""
    clock = iter(day * DAY_NS for day in range(100))
    monkeypatch.setattr(event_logger.time, "time_ns", lambda: next(clock))
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        for day in range(5):
            logger.log_line("note", 7, b'{"day":%d}' % day)
    lake = Lake(tmp_path)
    removed = lake.retain(2, today=date(1970, 1, 5))

    assert removed == 3
    assert [payload for _, _, payload in lake.lines()] == [b'{"day":3}', b'{"day":4}']
    with pytest.raises(InputError, match="at least 1"):
        lake.retain(0)


def test_roll_ups_answer_the_common_questions(tmp_path: Path) -> None:
    """Events by day, trades by day and symbol, refusals by reason."""
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        for pnl in (5.0, -2.0):
            logger.log_line("trade.closed", 1, record_line("trade.closed", trade(pnl), 1))
        blocked = decision(decision="BLOCKED", reason="LOW_CONFIDENCE", features_ts_ns=1)
        for made in (blocked, decision(features_ts_ns=1)):
            logger.log_line("signal.decided", DAY_NS, record_line("signal.decided", made, DAY_NS))
        logger.log_checked_line("risk.denied", DAY_NS, b'{"data":{"reason":"LEVERAGE"}}')
    lake = Lake(tmp_path)

    assert lake.sql("select symbol, trades, pnl, wins from trades_by_day").to_pylist() == [
        {"symbol": "BTCUSDT", "trades": 2, "pnl": 3.0, "wins": 1}
    ]
    assert lake.sql("select reason, refusals from refusals_by_reason order by 1").to_pylist() == [
        {"reason": "LEVERAGE", "refusals": 1}, {"reason": "LOW_CONFIDENCE", "refusals": 1}
    ]
    assert lake.sql("select sum(events) as n from events_by_day").to_pylist() == [{"n": 5}]


def test_an_empty_journal_answers_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    """An empty journal answers; a missing one is named."""
    assert Lake(tmp_path).sql("select count(*) as n from events").to_pylist() == [{"n": 0}]
    assert Lake(tmp_path).sql("select * from events").column_names[:3] == ["producer", "seq", "kind"]
    with pytest.raises(StateError, match="no journal"):
        Lake(tmp_path / "missing")
    with pytest.raises(InputError, match="no_such_column"):
        Lake(tmp_path).sql("select no_such_column from events")


@pytest.mark.parametrize("name", ["symbol=BTC", "seq=5", "kind=x", "it's", "back\\slash", "a[1]"])
def test_any_folder_may_hold_a_journal(tmp_path: Path, name: str) -> None:
    """Its path is not parsed as column, pattern or SQL."""
    with EventLogger(tmp_path / name, ring_bytes=SMALL) as logger:
        logger.log(order(1))
        logger.log(health(2))
    rows = Lake(tmp_path / name).sql("select seq, kind, symbol from events order by seq").to_pylist()

    assert rows == [{"seq": 1, "kind": "order", "symbol": "BTCUSDT"}, {"seq": 2, "kind": "health", "symbol": ""}]


def test_any_changed_byte_of_the_manifest_is_reported(journal: Path) -> None:
    """A changed digit would hide or duplicate events."""
    path = journal / "lake" / "manifest.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        with pytest.raises(StateError, match=r"manifest\.json: damaged"):
            Lake(journal).check()


@pytest.mark.parametrize(("word", "value"), [(WORD_MAGIC, 0), (WORD_HEAD, 1 << 40), (WORD_HEAD, 301)])
def test_a_damaged_ring_is_named_and_the_rest_is_read(journal: Path, word: int, value: int) -> None:
    """Out of range or not a ring: the other producers' events are read, and the damage is reported."""
    with EventLogger(journal, "other", ring_bytes=SMALL) as logger:
        logger.log(order(1))
    path = journal / "rings" / "main.ring"
    content = bytearray(path.read_bytes())
    content[8 * word : 8 * word + 8] = value.to_bytes(8, "little")
    record = HEAD_BYTES + 300 * RECORD_BYTES
    content[record : record + 8] = (0xFFFFFF | 5 << 32).to_bytes(8, "little")  # longer than the ring's end
    path.write_bytes(bytes(content))
    lake = Lake(journal)

    assert lake.sql("select count(*) as n from events").to_pylist() == [{"n": 301}]
    assert [found.path for found in lake.damage] == [found.path for found in lake.check()] == ["main.ring"]


def test_a_part_that_vanished_is_not_merged(journal: Path) -> None:
    """Another process merged or removed it meanwhile: no error, no loss."""
    with EventLogger(journal, ring_bytes=SMALL) as logger:
        logger.log(order(1))
    next((journal / "lake").rglob("kind=order/*.parquet")).unlink()

    assert Lake(journal).compact(least=2) == 0


def test_the_last_number_outlives_its_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention removes events but keeps the last event number."""
    monkeypatch.setattr(event_logger.time, "time_ns", lambda: 0)
    with EventLogger(tmp_path, ring_bytes=SMALL) as logger:
        logger.log(order(1))
        logger.log(order(2))
    lake = Lake(tmp_path)
    lake.retain(1, today=date(2024, 1, 1))

    assert lake.counts() == {}
    assert (lake.last_number("main"), lake.last_number("nobody")) == (2, 0)
